"""Training texts: downloaded, generated, and tokenized into files."""
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import text as texts
from ..errors import BadInput, nearest, number, parsed, quoted, seeded
from ..runs import corpus, disk, sources
from ..runs import prepare as preparing
from ..runs.fetch import fetch as download
from ..runs.settings import Config
from ..show.progress import Counter
from ..text import nursery as nurseries
from .process_control import open_workspace


def fetch(name: str, path: str | Path | None = None, progress: bool = True) -> Path:
    """Download a text into inputs/, or copy one that the Hugging Face cache or NLTK's data on this machine hold.

    Args:
        name: tinyshakespeare, tinystories, tinystories_valid or fineweb_edu, a URL, datasets:NAME for a data set of the package datasets,
            or the name of a file on this machine.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        progress: Whether to show a progress bar.

    Returns:
        Path of the text. A known text that is already in inputs/ is not downloaded again.

    Raises:
        BadInput: There is no such name, the download failed, its sha256 is not the known one, or another file of that name exists.

    >>> lb.fetch("poems.txt", progress=False).name               # a file in NLTK's data
    'poems.txt'
    """
    with Counter(progress) as counter:
        return download(name, open_workspace(path), counter)


def nursery(size: str | int = "300kB", seed: int = 0, path: str | Path | None = None, kind: str = "stories") -> Path:
    """Generate a nursery, a training text whose exact entropy is known, in inputs/.

    Args:
        size: Length in bytes, 1,000 or more, as a number or with a unit: "300kB", "10MB", "1GB".
        seed: Seed of the random numbers.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        kind: "stories", very short stories, or "sums", sums of one-digit numbers that are solved step by step or at once.

    Returns:
        Path of the text: nursery_SIZE_SEED.txt for stories, nursery_sums_SIZE_SEED.txt for sums.

    Raises:
        BadInput: A number is out of range, there is no such kind, or the file exists already.

    >>> lb.nursery("2kB", seed=1).name, lb.nursery("2kB", seed=1, kind="sums").name
    ('nursery_2kB_1.txt', 'nursery_sums_2kB_1.txt')
    """
    length, seed = parse_size(size), seeded(seed)
    nurseries.module_of(kind)                                    # an unknown kind is refused before the file is opened
    name = f"nursery_{size}_{seed}.txt" if kind == "stories" else f"nursery_{kind}_{size}_{seed}.txt"
    return open_workspace(path).write_input(name, (text for text, _ in nurseries.pieces(length, seed, kind)))


def prepare(input: str | Path | Sequence[str], output: str | Path | None = None, tokenizer: str = "char", s_vocabulary: int = 4096,
            c_unknown: str = "replace", encoding: str = "utf-8", field: str = "text", size: str | int | None = None, workers: int = 0,
            path: str | Path | None = None, progress: bool = True) -> Path:
    """Tokenize texts of any size into a token file, which `train` maps into memory and does not load.

    Args:
        input: Text files: a path, a name in inputs/, a folder, a pattern, or a list of these.
        output: Path of the token file, ending in .tok [inputs/NAME.tok].
        tokenizer: char, word or bpe, which is trained on the text, so that the text is read twice; the path of a tokenizer.json; or the
            GUID of a run, or "last", for that run's tokenizer.
        s_vocabulary: Vocabulary size of word and bpe, in tokens.
        c_unknown: "replace" maps unknown characters to their nearest known form, "error" refuses them.
        encoding: Encoding of the text files.
        field: Name of the field of .jsonl lines, and of the column of .parquet files, that holds the text.
        size: Number of characters to read, as in `nursery` [all].
        workers: Number of processes; 0 means one per core.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        progress: Whether to show a progress bar.

    Returns:
        Path of the token file. An interrupted call leaves no file.

    Raises:
        BadInput: The input or an argument cannot be used, or the token file exists already.

    >>> lb.prepare("nursery_5kB_0.txt", workers=1, progress=False).name
    'nursery_5kB_0.tok'
    """
    workspace = open_workspace(path)
    found = sources.find(workspace, input)
    if len(found) > 1 or found[0].kind == "tokens" or found[0].weight is not None:
        raise BadInput("prepare makes one token file from texts; token files and weights are allowed in train only")
    workers, s_vocabulary = number("workers", workers, 0, 4096, whole=True), number("s_vocabulary", s_vocabulary, 2, 2**24, whole=True)
    stem = Path(found[0].name.split(" and ")[0].removeprefix(sources.DATASET).replace("/", "_")).name.split(".")[0]
    file = Path(output).expanduser().absolute() if output else workspace.root / "inputs" / f"{stem}.tok"
    if file.suffix != ".tok":
        raise BadInput(f"output is {str(output)!r}; allowed are names that end in .tok; did you mean {file.with_suffix('.tok')}?")
    kind: Any
    if tokenizer in texts.KINDS:
        Config(c_tokenizer=tokenizer, s_vocabulary=s_vocabulary, c_unknown=c_unknown)
        kind = tokenizer
    elif str(tokenizer).endswith(".json"):
        kind = corpus.tokenizer_from_file(tokenizer)
    elif re.fullmatch(r"last|[0-9a-f-]{4,}(_\w+)?", str(tokenizer).lower()):
        kind = texts.from_json(workspace.load_tokenizer(workspace.resolve(tokenizer, "tokenizer")))
    else:
        raise BadInput(nearest("tokenizer", tokenizer, texts.KINDS) + "; the path of a tokenizer.json, and a run's GUID, 4 or more "
                                                                   "characters of it or last, are allowed too")
    most = parse_size(size) if size else None
    if file.exists():
        raise BadInput(f"{file} exists already; choose another name or delete it first")
    disk.require_writable(file.parent)
    with Counter(progress) as counter:
        return preparing.prepare(workspace, found[0].paths, file, kind, s_vocabulary, c_unknown, encoding, field, most, workers, counter)


def parse_size(size: str | int) -> int:
    """Number of bytes of a size such as 300kB, 10MB, 1GB or 5000; BadInput if it is not from 1kB to 1000GB"""
    units = dict(gb=10 ** 9, mb=10 ** 6, kb=10 ** 3, b=1)
    word = size.strip().lower() if isinstance(size, str) else ""
    unit = next((u for u in units if word.endswith(u)), "")
    value = parsed(word.removesuffix(unit) if word else size)
    value = None if value is None else value * units.get(unit, 1)
    if value is None or not 1000 <= value <= 10 ** 12:
        near = "" if value is None or value != value else f"; did you mean {'1kB' if value < 1000 else '1000GB'}?"
        raise BadInput(f"size is {quoted(size)}; allowed is a number of bytes from 1kB to 1000GB, such as 300kB, 10MB or 1GB{near}")
    return int(value)
