"""What can be learned from: texts of any size and form, and token files. Found by path, name, folder or wildcard, read as a stream.

    tale.txt                       a file, or the name of one in inputs/
    books/     books/*.md          all of a folder, all that fit; sorted
    a.txt,b.jsonl                  one after the other
    a.tok:0.7,b.tok:0.3            a mixture: how often a window comes from each
    datasets:NAME[#CONFIG]         a data set of Hugging Face, or a folder of one, as a stream (pip install 'littlebaby[data]')

.txt, .md and what has no known ending is a document each; .jsonl has one in the field "text" of every line, .parquet in the column
"text" of every row; .txt.gz, .md.gz and .jsonl.gz are unpacked on the way. Between documents stands the tokenizer's end token.
"""
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob, has_magic
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ..errors import BadInput, number, quoted
from . import disk, encodings, tokens

TEXTS = (".txt", ".md", ".jsonl", ".parquet", ".txt.gz", ".md.gz", ".jsonl.gz")
KNOWN = (*TEXTS, *tokens.SUFFIXES)
DATASET = "datasets:"
PIECE = 2**20            # characters of a block
MOST_LINE = 2**28        # characters of a .jsonl line
MOST_BLOCKS = 16         # that one block may be as long as


class Source(NamedTuple):
    """One source of a mixture: texts that follow each other, or a token file"""
    name: str
    paths: tuple         # of files; of one word "datasets:..." for a data set
    weight: float | None # None: by its size
    kind: str            # text or tokens


# --- finding ---

def find(workspace, where):
    """The sources that an input means: a path, a name in inputs/, a pattern, several with commas or in a list, with or without weights.

    Texts without weights are one source, one after the other; every token file is one of its own. A list of Sources is what it means.
    BadInput: nothing there, nothing in it that can be read, weights for some only.
    """
    if isinstance(where, list) and where and all(isinstance(each, Source) for each in where):
        return where
    words = split_words(workspace, where)
    if not words:
        raise BadInput("input is empty; allowed are a file, a folder, a pattern such as books/*.txt, or several with commas")
    named = [weighted(workspace, word) for word in words]
    with_weight = [weight for _, weight in named if weight is not None]
    if 0 < len(with_weight) < len(named):
        bare = next(word for word, weight in named if weight is None)
        raise BadInput(f"{quoted(bare)} has no weight and others have: give every source one, as in a.tok:0.7,b.tok:0.3, or none")
    for word, weight in named:
        if weight is not None and not (weight > 0 and weight >= sum(with_weight) / 1000):
            raise BadInput(f"the weight of {word} is {weight:g}, less than a thousandth of all together, {sum(with_weight):g}")
    found, following = [], []
    for word, weight in named:
        paths = matching_files(workspace, word)
        texts = [path for path in paths if kind_of(path) == "text"]
        maps = [path for path in paths if kind_of(path) == "tokens"]
        if weight is not None and maps and len(paths) > 1:
            raise BadInput(f"{quoted(word)} is {len(paths)} files, token files among them, and has one weight; give each file its own")
        if texts and weight is not None:
            found.append(Source(named_after(texts), tuple(texts), weight, "text"))
        following += texts if weight is None else []
        found += [Source(path.name, (path,), weight, "tokens") for path in maps]
    if following:
        found.insert(0, Source(named_after(following), tuple(following), None, "text"))
    return found


def split_words(workspace, where):
    """The single words of an input: those of a list, each parted at its commas where it is no file's name as a whole"""
    words = [str(where)] if isinstance(where, str | Path) else [str(word) for word in where]
    return [part for word in words for part
            in ([word] if exists_exactly(workspace, word) else filter(None, map(str.strip, word.split(","))))]


def weighted(workspace, word):
    """("a.tok", 0.7) of a.tok:0.7, (word, None) where it has no weight"""
    name, colon, weight = word.rpartition(":")
    if not colon or not re.fullmatch(r"[+-]?(\d*\.?\d+([eE][+-]?\d+)?|nan|inf)", weight) or exists_exactly(workspace, word):
        return word, None
    return name, number(f"the weight of {name}", weight, 1e-9, 10**9)


def exists_exactly(workspace, word):
    """Whether there is a file or a folder of exactly this name"""
    try:
        return any(path.exists() for path in places(workspace, word))
    except (OSError, ValueError, RuntimeError):
        return False


def places(workspace, word):
    """Where a path may lie: as it stands, in the workspace, in its inputs/"""
    word = os.path.expanduser(word)
    return [Path(word).absolute(), workspace.root / word, workspace.root / "inputs" / word]


def matching_files(workspace, word):
    """The files that a word means, sorted and absolute"""
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


def local_dataset(workspace, word):
    """The same word, the folder of a local data set made absolute"""
    name, hash_, config = word.removeprefix(DATASET).partition("#")
    near = next((path for path in places(workspace, name) if path.exists()), name) if name else name
    return f"{DATASET}{near}{hash_}{config}"


# --- remembering, for a run that is resumed elsewhere ---

def remember(workspace, found):
    """Sources as a checkpoint keeps them: each file by its path, relative where it lies in the workspace, its size and its sha256"""
    return [dict(name=source.name, weight=source.weight, kind=source.kind, files=[remember_file(workspace, path) for path in source.paths])
            for source in found]


def remember_file(workspace, path):
    return dict(path=str(path), bytes=0, sha256="") if str(path).startswith(DATASET) else workspace.fingerprint(path)


def recall(workspace, remembered):
    """The sources that a checkpoint keeps, their files where they lie now. BadInput: one is gone, or the record is damaged"""
    try:
        return [Source(each["name"], tuple(recall_file(workspace, **file) for file in each["files"]), each["weight"], each["kind"])
                for each in remembered]
    except (KeyError, TypeError, AttributeError):
        raise BadInput("the checkpoint does not say what its run learns from; give it with --input") from None


def recall_file(workspace, path, bytes, sha256):
    return local_dataset(workspace, path) if path.startswith(DATASET) else workspace.recall(path, bytes, sha256)


def recall_words(workspace, where, record):
    """The input of a checkpoint that keeps only the words that were typed: what they mean in this workspace, by their names and, where it
    is a single file, by its contents too. record: the report's Input"""
    words = split_words(workspace, where)
    name, weight = weighted(workspace, words[0]) if words else ("", None)
    if len(words) == 1 and weight is None and not words[0].startswith(DATASET) and not has_magic(name) and record:
        if not any(path.is_dir() for path in places(workspace, name)):
            return str(workspace.recall(name, record.bytes, record.sha256))
    return [moved_word(workspace, word) for word in words]


def moved_word(workspace, word):
    """A typed word, its file or folder replaced by the one of that name in inputs/ where it is gone"""
    name, weight = weighted(workspace, word)
    inside = workspace.root / "inputs" / re.split(r"[/\\]", name)[-1]
    if word.startswith(DATASET) or exists_exactly(workspace, name) or not (inside.exists() or has_magic(name)):
        return word
    return str(inside) if weight is None else f"{inside}:{weight}"


def kind_of(path):
    return "tokens" if str(path).lower().endswith(tokens.SUFFIXES) and not str(path).startswith(DATASET) else "text"


def named_after(paths):
    first = paths[0] if str(paths[0]).startswith(DATASET) else Path(paths[0]).name
    return first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"


# --- reading texts as a stream ---

def text(paths, end, encoding="utf-8", field="text", size=None):
    """The texts of these files in pieces of any length, all one text: between two documents stands `end`.

    size: stop behind the document that reaches so many characters (None: read all)
    """
    before, length = False, 0
    for path in paths:
        for document in documents(path, encoding, field):
            if before:
                yield end
            before = True
            for piece in document:
                length += len(piece)
                yield piece
            if size and length >= size:
                return


def text_blocks(pieces, parts, size=PIECE):
    """The same text in blocks of at most about `size` characters.

    A block ends at the last place up to `size`, or else at the first one behind it, where `parts(left, right)` says of the two
    characters around it that the tokenizer gives both sides the ids that they have in the whole text.
    BadInput where 16 blocks have no such place: tokens cut in two would not be the text's own.
    """
    kept, length, searched, due, done = [], 0, 0, size, 0
    for piece in pieces:
        kept.append(piece)
        length += len(piece)
        while length > due:
            whole = "".join(kept)
            end = place(whole, parts, size, searched)
            if end:
                yield whole[:end]
                kept, length, searched, due, done = [whole[end:]], length - end, 0, size, done + end
            elif length >= MOST_BLOCKS * size:
                raise BadInput(f"the text has {length:,} characters, from character {done:,} on, without a place where this tokenizer "
                               f"certainly parts tokens; allowed are up to {MOST_BLOCKS * size:,}: give it line ends, or use "
                               f"c_tokenizer char, which can be cut anywhere")
            else:
                kept, searched, due = [whole], length - 1, length + size
    if rest := "".join(kept):
        yield rest


def place(text, parts, size, searched):
    """Where to cut a text that is longer than `size`, 0 for nowhere; nothing up to `searched` has to be looked at again"""
    near, far = range(size, searched, -1), range(max(size, searched) + 1, len(text))
    return next((i for i in chain(near, far) if parts(text[i - 1], text[i])), 0)


def anywhere(left, right):
    """`parts` for a text that no tokenizer reads yet"""
    return True


def documents(path, encoding, field) -> Iterator[Iterator[str]]:
    """The documents of a file, each as pieces of text. Line ends become \\n, a byte-order mark goes."""
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
def reading(path):
    """What can go wrong with a file that is read bit by bit, in one sentence"""
    try:
        with disk.explain_os_errors("read", path):
            yield
    except (EOFError, zlib.error) as error:
        raise BadInput(f"{path} is truncated or damaged: {error}") from None


def opened(path):
    if path.suffix.lower() != ".gz":
        return open(path, "rb")
    return io.BufferedReader(gzip.open(path, "rb"))


def plain(path, encoding):
    """A text file in pieces"""
    ends = io.IncrementalNewlineDecoder(None, translate=True)
    with reading(path), opened(path) as file:
        for piece in encodings.decoded(file, path, encoding):
            if piece := ends.decode(piece):
                yield piece
        if piece := ends.decode("", True):
            yield piece


def jsonl_fields(path, field, encoding):
    """The field of every line of a .jsonl; empty lines do not count"""
    with opened(path) as file:
        for number, line in enumerate(cut_at_line_ends(encodings.decoded(file, path, encoding), path), 1):
            if line.strip():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    raise BadInput(f"{path}, line {number}, is not JSON: a .jsonl file holds one object on every line"
                                   + encodings.doubt(line, encoding)) from None
                yield [field_text(record, field, f"{path}, line {number},")]


def cut_at_line_ends(pieces, path):
    """The lines of a text that comes in pieces"""
    number, begun, length = 1, [], 0
    for piece in pieces:
        first, *others = piece.split("\n")
        begun.append(first)
        length += len(first)
        if others:
            yield "".join(begun)
            yield from others[:-1]
            number, begun, length = number + len(others), others[-1:], len(others[-1])
        if length > MOST_LINE:
            raise BadInput(f"{path}, line {number}, is longer than {MOST_LINE / 2**20:.0f} MiB, more than is read as one line")
    yield "".join(begun)


def parquet(path, field):
    """The column of every row of a .parquet"""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as reader
    except ImportError:
        raise BadInput(f"{path} needs pyarrow, which is not installed: pip install 'littlebaby[data]'") from None
    try:
        with reader.ParquetFile(path) as file:
            if field not in file.schema_arrow.names:
                raise BadInput(f"{path} has no column {field!r}; its columns are {', '.join(file.schema_arrow.names[:10])}: give --field")
            row = 0
            for batch in file.iter_batches(1024, columns=[field]):
                for value in batch.column(0).to_pylist():
                    row += 1
                    yield [field_text({field: value}, field, f"{path}, row {row},")]
    except (arrow.ArrowException, OSError) as error:
        raise BadInput(f"{path} is not a readable .parquet file: {str(error).splitlines()[0]}") from None


def dataset(word, field):
    """The rows of a Hugging Face data set, by the name it has there or by a folder's path, as they come"""
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
    except Exception as error:                   # whatever a network, a hub and a dozen formats can raise
        raise BadInput(f"cannot read {DATASET}{word}: {' '.join(str(error).split())[:200] or type(error).__name__}; with no network give "
                       f"files that lie here, .parquet or .jsonl, or datasets: and the path of a folder with them") from None


def field_text(record, field, where):
    """The text in a record's field"""
    if not isinstance(record, dict) or field not in record:
        names = ", ".join(map(str, list(record)[:10])) if isinstance(record, dict) else f"it holds {type(record).__name__}"
        raise BadInput(f"{where} has no field {field!r}; {f'there are {names}' if isinstance(record, dict) else names}: give --field")
    if not isinstance(record[field], str):
        raise BadInput(f"{where} has {quoted(record[field])} in {field!r} where a text belongs")
    return record[field].replace("\r\n", "\n").replace("\r", "\n")
