"""The sources of a training: texts of any size, and token files, found by path, name, folder or wildcard and read as a stream.

    tale.txt                       a file, or the name of one in inputs/
    books/     books/*.md          all files of a folder, or all that match; sorted
    a.txt,b.jsonl                  one after the other
    a.tok:0.7,b.tok:0.3            a mixture: the share of the windows that come from each
    datasets:NAME[#CONFIG]         a data set of Hugging Face, or of a local folder, as a stream (pip install 'littlebaby[data]')

A .txt, a .md or a file with an unknown suffix is one document; a .jsonl has one document in the field "text" of every line, a .parquet in
the column "text" of every row; .txt.gz, .md.gz and .jsonl.gz are decompressed while they are read. Between two documents is the text that
the tokenizer names: <|endoftext|> or an empty line.
"""
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from glob import glob, has_magic
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BadInput, number, quoted
from . import disk, encodings, tokens
from .store import Workspace

TEXTS = (".txt", ".md", ".jsonl", ".parquet", ".txt.gz", ".md.gz", ".jsonl.gz")
KNOWN = (*TEXTS, *tokens.SUFFIXES)
DATASET = "datasets:"
GIVE_FIELD = "give the name of one as --c_field, or in prepare as --field"
PIECE = 2**20            # characters of a block
MOST_LINE = 2**28        # characters of a .jsonl line
MOST_BLOCKS = 16         # a block may be as long as this many of usual length


class Source(NamedTuple):
    """One source of a mixture: texts that follow each other, or a token file"""
    name: str
    paths: tuple[Any, ...]     # Paths of files; for a data set the single text "datasets:..."
    weight: float | None       # None: proportional to its size
    kind: str                  # text or tokens


# --- finding ---

def find(workspace: Workspace, where: Any) -> list[Source]:
    """The sources that an input names

    where: a path, a name in inputs/, a wildcard, several of these with commas or in a list, with or without weights; or a list of Sources
    All texts without weights are one source, one after the other; every token file is a source of its own.
    BadInput: a file does not exist, a folder has no readable file, only some sources have weights.
    """
    if isinstance(where, list) and where and all(isinstance(each, Source) for each in where):
        return where
    words = split_words(workspace, where)
    if not words:
        raise BadInput("input is empty; allowed are a file, a folder, a pattern such as books/*.txt, or several with commas")
    named = [weighted(workspace, word) for word in words]
    with_weight = [weight for _, weight in named if weight is not None]
    if 0 < len(with_weight) < len(named):
        without_weight = next(word for word, weight in named if weight is None)
        raise BadInput(f"{quoted(without_weight)} has no weight and others have: give every source one, as in a.tok:0.7,b.tok:0.3, or none")
    for word, weight in named:
        if weight is not None and not (weight > 0 and weight >= sum(with_weight) / 1000):
            raise BadInput(f"the weight of {word} is {weight:g}, less than a thousandth of the sum of all weights, {sum(with_weight):g}")
    found, without_weights = [], []
    for word, weight in named:
        paths = matching_files(workspace, word)
        texts = [path for path in paths if kind_of(path) == "text"]
        token_files = [path for path in paths if kind_of(path) == "tokens"]
        if weight is not None and token_files and len(paths) > 1:
            raise BadInput(f"{quoted(word)} is {len(paths)} files, token files among them, and has one weight; give each file its own")
        if texts and weight is not None:
            found.append(Source(named_after(texts), tuple(texts), weight, "text"))
        without_weights += texts if weight is None else []
        found += [Source(path.name, (path,), weight, "tokens") for path in token_files]
    if without_weights:
        found.insert(0, Source(named_after(without_weights), tuple(without_weights), None, "text"))
    return found


def split_words(workspace: Workspace, where: Any) -> list[str]:
    """The words of an input, each of them one source: split at commas, unless a file has the whole name"""
    words = [str(where)] if isinstance(where, str | Path) else [str(word) for word in where]
    return [part for word in words for part
            in ([word] if exists_exactly(workspace, word) else filter(None, map(str.strip, word.split(","))))]


def weighted(workspace: Workspace, word: str) -> tuple[str, float | None]:
    """("a.tok", 0.7) of a.tok:0.7, (word, None) where it has no weight. BadInput: a weight that is no positive number"""
    name, colon, weight = word.rpartition(":")
    if not colon or not re.fullmatch(r"[+-]?(\d*\.?\d+([eE][+-]?\d+)?|nan|inf)", weight) or exists_exactly(workspace, word):
        return word, None
    return name, number(f"the weight of {name}", weight, 1e-9, 10**9)


def exists_exactly(workspace: Workspace, word: str) -> bool:
    """Whether a file or a folder with exactly this name exists"""
    try:
        return any(path.exists() for path in places(workspace, word))
    except (OSError, ValueError, RuntimeError):
        return False


def places(workspace: Workspace, word: str) -> list[Path]:
    """The paths that a word may mean: as it is, in the workspace, in its inputs/"""
    word = os.path.expanduser(word)
    return [Path(word).absolute(), workspace.root / word, workspace.root / "inputs" / word]


def matching_files(workspace: Workspace, word: str) -> list[Any]:
    """The absolute paths of the files that a word means, sorted; for a data set its word. BadInput where there are none"""
    if word.startswith(DATASET):
        return [local_dataset(workspace, word)]
    if has_magic(word) and not exists_exactly(workspace, word):
        for folder in (Path.cwd(), workspace.root, workspace.root / "inputs"):
            if found := [path for name in sorted(glob(os.path.expanduser(word), root_dir=folder)) if (path := folder / name).is_file()]:
                return found
        raise BadInput(f"nothing matches {quoted(word)}, neither as a path nor in {workspace.root / 'inputs'}")
    path = workspace.locate(word).absolute()
    if path.is_dir():
        with disk.explain_os_errors("read", path):
            found = [p for p in sorted(path.rglob("*")) if p.is_file() and p.name[0] != "." and p.name.lower().endswith(KNOWN)]
        if not found:
            raise BadInput(f"{path} is a folder without readable files; readable are files that end in {', '.join(KNOWN)}")
        return found
    return [path]


def local_dataset(workspace: Workspace, word: str) -> str:
    """The word of a data set; where it names a local folder, with the absolute path of that"""
    name, hash_, config = word.removeprefix(DATASET).partition("#")
    local = next((path for path in places(workspace, name) if path.exists()), name) if name else name
    return f"{DATASET}{local}{hash_}{config}"


# --- the sources in a checkpoint, for a run that is resumed elsewhere ---

def remember(workspace: Workspace, found: Iterable[Source]) -> list[dict[str, Any]]:
    """Sources as a checkpoint stores them: each file by its path, relative if it is inside the workspace, its size and its sha256"""
    return [dict(name=source.name, weight=source.weight, kind=source.kind, files=[remember_file(workspace, path) for path in source.paths])
            for source in found]


def remember_file(workspace: Workspace, path: Any) -> dict[str, Any]:
    """dict(path, bytes, sha256) of a file; of a data set its word, without size and sha256"""
    return dict(path=str(path), bytes=0, sha256="") if str(path).startswith(DATASET) else workspace.fingerprint(path)


def recall(workspace: Workspace, remembered: Any) -> list[Source]:
    """The sources that a checkpoint stores, with their files where these are now. BadInput: a file is missing, or the record is damaged"""
    try:
        return [Source(each["name"], tuple(recall_file(workspace, **file) for file in each["files"]), each["weight"], each["kind"])
                for each in remembered]
    except (KeyError, TypeError, AttributeError):
        raise BadInput("the checkpoint does not name the text that its run learns from; give it with --input") from None


def recall_file(workspace: Workspace, path: str, bytes: int, sha256: str) -> Any:
    """The path, or the word of a data set, that `remember_file` recorded. BadInput where the file is missing"""
    return local_dataset(workspace, path) if path.startswith(DATASET) else workspace.recall(path, bytes, sha256)


def recall_words(workspace: Workspace, where: Any, record: Any) -> Any:
    """The input of a checkpoint that stores only the words that the user typed, for `find` in this workspace

    Files are found by their names and, where the input is a single file, by its contents too. record: the Input of the report, or None
    BadInput where that single file is missing.
    """
    words = split_words(workspace, where)
    name, weight = weighted(workspace, words[0]) if words else ("", None)
    if len(words) == 1 and weight is None and not words[0].startswith(DATASET) and not has_magic(name) and record:
        if not any(path.is_dir() for path in places(workspace, name)):
            return str(workspace.recall(name, record.bytes, record.sha256))
    return [moved_word(workspace, word) for word in words]


def moved_word(workspace: Workspace, word: str) -> str:
    """A typed word; where its file or folder does not exist any more, that of the same name in inputs/"""
    name, weight = weighted(workspace, word)
    inside = workspace.root / "inputs" / re.split(r"[/\\]", name)[-1]
    if word.startswith(DATASET) or exists_exactly(workspace, name) or not (inside.exists() or has_magic(name)):
        return word
    return str(inside) if weight is None else f"{inside}:{weight}"


def kind_of(path: Any) -> str:
    """text or tokens, by the suffix"""
    return "tokens" if str(path).lower().endswith(tokens.SUFFIXES) and not str(path).startswith(DATASET) else "text"


def named_after(paths: Sequence[Any]) -> str:
    """The name of a source of these files, for reports and progress lines"""
    first = paths[0] if str(paths[0]).startswith(DATASET) else Path(paths[0]).name
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"


# --- reading texts as a stream ---

def text(paths: Iterable[Any], end: str, encoding: str = "utf-8", field: str = "text", size: int | None = None) -> Iterator[str]:
    """The texts of these files as one text, in pieces of any length

    end       the text between two documents
    encoding  of text files and .jsonl
    field     of a .jsonl, .parquet or data set
    size      stop after the document that reaches this number of characters; None: read all
    BadInput where a file cannot be read.
    """
    any_before, length = False, 0
    for path in paths:
        for document in documents(path, encoding, field):
            if any_before:
                yield end
            any_before = True
            for piece in document:
                length += len(piece)
                yield piece
            if size and length >= size:
                return


def text_blocks(pieces: Iterable[str], can_split: Callable[[str, str], bool], size: int = PIECE) -> Iterator[str]:
    """The same text in blocks of about `size` characters, each of which can be tokenized alone

    A block ends at the last position up to `size`, else at the first one after it, where `can_split(left, right)` is true of the two
    characters around it: the tokenizer gives both sides the ids that they have in the whole text.
    BadInput where a stretch of 16 times `size` has no such position.
    """
    kept, length, searched, search_at, done = list[str](), 0, 0, size, 0
    for piece in pieces:
        kept.append(piece)
        length += len(piece)
        while length > search_at:
            whole = "".join(kept)
            end = split_position(whole, can_split, size, searched)
            if end:
                yield whole[:end]
                kept, length, searched, search_at, done = [whole[end:]], length - end, 0, size, done + end
            elif length >= MOST_BLOCKS * size:
                raise BadInput(f"the text has {length:,} characters, from character {done:,} on, without a position where this tokenizer "
                               f"certainly ends a token; allowed are up to {MOST_BLOCKS * size:,}: insert line ends, or use c_tokenizer "
                               f"char, with which a text can be split anywhere")
            else:
                kept, searched, search_at = [whole], length - 1, length + size
    if rest := "".join(kept):
        yield rest


def split_position(text: str, can_split: Callable[[str, str], bool], size: int, searched: int) -> int:
    """Where to split a text that is longer than `size`, 0 for nowhere. searched: the position up to which there is none"""
    near, far = range(size, searched, -1), range(max(size, searched) + 1, len(text))
    return next((i for i in chain(near, far) if can_split(text[i - 1], text[i])), 0)


def anywhere(left: str, right: str) -> bool:
    """`can_split` of a text that is not tokenized"""
    return True


def documents(path: Any, encoding: str, field: str) -> Iterator[Iterable[str]]:
    """The documents of a file, each as pieces of text; line ends become \\n, a byte-order mark is removed. BadInput: unreadable"""
    if str(path).startswith(DATASET):
        yield from dataset(str(path).removeprefix(DATASET), field)
        return
    name = path.name.lower().removesuffix(".gz")
    with reading(path):
        if name.endswith(".parquet"):
            yield from parquet(path, field)
        elif name.endswith(".jsonl"):
            yield from jsonl_fields(path, field, encoding)
        else:
            yield plain(path, encoding)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn every error of reading a file, which may be compressed, into BadInput of one sentence"""
    try:
        with disk.explain_os_errors("read", path):
            yield
    except (EOFError, zlib.error) as error:
        raise BadInput(f"{path} is truncated or damaged: {error}") from None


def opened(path: Path) -> Any:
    """An open binary file, decompressed where its suffix is .gz"""
    if path.suffix.lower() != ".gz":
        return open(path, "rb")
    return io.BufferedReader(gzip.open(path, "rb"))


def plain(path: Path, encoding: str) -> Iterator[str]:
    """A text file in pieces"""
    ends = io.IncrementalNewlineDecoder(None, translate=True)
    with reading(path), opened(path) as file:
        for piece in encodings.decoded(file, path, encoding):
            if piece := ends.decode(piece):
                yield piece
        if piece := ends.decode("", True):
            yield piece


def jsonl_fields(path: Path, field: str, encoding: str) -> Iterator[list[str]]:
    """[the text in a field] of every line of a .jsonl; empty lines are skipped"""
    with opened(path) as file:
        for number, line in enumerate(cut_at_line_ends(encodings.decoded(file, path, encoding), path), 1):
            if line.strip():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    raise BadInput(f"{path}, line {number}, is not JSON: a .jsonl file holds one object on every line"
                                   + encodings.encoding_hint(line, encoding)) from None
                yield [field_text(record, field, f"{path}, line {number},")]


def cut_at_line_ends(pieces: Iterable[str], path: Path) -> Iterator[str]:
    """The lines of a text that comes in pieces. BadInput where one is longer than MOST_LINE"""
    number, line_parts, length = 1, list[str](), 0
    for piece in pieces:
        first, *others = piece.split("\n")
        line_parts.append(first)
        length += len(first)
        if others:
            yield "".join(line_parts)
            yield from others[:-1]
            number, line_parts, length = number + len(others), others[-1:], len(others[-1])
        if length > MOST_LINE:
            raise BadInput(f"{path}, line {number}, is longer than {MOST_LINE / 2**20:.0f} MiB, the longest line that is read")
    yield "".join(line_parts)


def parquet(path: Path, field: str) -> Iterator[list[str]]:
    """[the text in a column] of every row of a .parquet"""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as reader
    except ImportError:
        raise BadInput(f"{path} needs pyarrow, which is not installed: pip install 'littlebaby[data]'") from None
    try:
        with reader.ParquetFile(path) as file:
            if field not in file.schema_arrow.names:
                raise BadInput(f"{path} has no column {field!r}; its columns are {', '.join(file.schema_arrow.names[:10])}; "
                               f"{GIVE_FIELD}")
            row = 0
            for batch in file.iter_batches(1024, columns=[field]):
                for value in batch.column(0).to_pylist():
                    row += 1
                    yield [field_text({field: value}, field, f"{path}, row {row},")]
    except (arrow.ArrowException, OSError) as error:
        raise BadInput(f"{path} is not a readable .parquet file: {str(error).splitlines()[0]}") from None


def dataset(word: str, field: str) -> Iterator[list[str]]:
    """[the text in a field] of every row of a Hugging Face data set. word: its name there or the path of a folder, and #CONFIG"""
    try:
        import datasets
    except ImportError:
        raise BadInput(f"{DATASET}{word} needs datasets, which is not installed: pip install 'littlebaby[data]'") from None
    name, _, config = word.partition("#")
    try:
        found = datasets.load_dataset(name, config or None, split="train", streaming=True)
        for number, row in enumerate(found, 1):
            yield [field_text(row, field, f"{DATASET}{word}, row {number},")]
    except BadInput:
        raise
    except Exception as error:                   # the network, the hub and a dozen formats raise errors of many types
        raise BadInput(f"cannot read {DATASET}{word}: {' '.join(str(error).split())[:200] or type(error).__name__}; without a network "
                       f"give local files, .parquet or .jsonl, or datasets: and the path of a folder with them") from None


def field_text(record: Any, field: str, where: str) -> str:
    """The text in a field of a record. where: the subject of the error. BadInput where there is no such field, or no text in it"""
    if not isinstance(record, dict):
        raise BadInput(f"{where} holds a value of type {type(record).__name__}; it must hold an object with the field {field!r}")
    if field not in record:
        raise BadInput(f"{where} has no field {field!r}; there are {', '.join(map(str, list(record)[:10]))}; {GIVE_FIELD}")
    if not isinstance(record[field], str):
        raise BadInput(f"{where} has {quoted(record[field])} in {field!r}; it must hold a text")
    return record[field].replace("\r\n", "\n").replace("\r", "\n")
