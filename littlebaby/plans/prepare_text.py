"""Texts to learn from: fetched, made, prepared."""
from pathlib import Path

from .. import text as texts
from ..errors import BadInput, nearest, number, parsed, quoted, seeded
from ..runs import corpus, disk, sources
from ..runs import prepare as preparing
from ..runs.fetch import fetch as download
from ..runs.settings import Config
from ..show.progress import Counter
from ..text import nursery as grammar
from .process_control import open_workspace


def fetch(name, path=None, progress=True):
    """Bring a text into inputs/ by its name or URL, or a data set by datasets:NAME; returns its path"""
    with Counter(progress) as counter:
        return download(name, open_workspace(path), counter)


def nursery(size="300kB", seed=0, path=None):
    """Write a nursery of this size into inputs/; returns its path"""
    length, seed = parse_size(size), seeded(seed)
    return open_workspace(path).write_input(f"nursery_{size}_{seed}.txt", (story for story, _ in grammar.pieces(length, seed)))


def prepare(input, output=None, tokenizer="char", s_vocabulary=4096, c_unknown="replace", encoding="utf-8", field="text", size=None,
            workers=0, path=None, progress=True):
    """Turn texts of any size into a token file, from which a training reads only what it needs; returns its path.

    output     a path, or None: inputs/NAME.tok      tokenizer  char, word or bpe, which learn from the text (s_vocabulary, c_unknown);
    a tokenizer.json; a GUID or last, the tokenizer of that run      field  of .jsonl and .parquet
    size       read no further than that many characters, 300kB, 1GB (None: everything)      workers  processes (0: one a core)
    A text whose tokens are to be learned is read twice. Interrupted, it leaves nothing behind.
    """
    workspace = open_workspace(path)
    found = sources.find(workspace, input)
    if len(found) > 1 or found[0].kind == "tokens" or found[0].weight is not None:
        raise BadInput("prepare makes one token file of texts: token files and weights are not allowed, they are for train")
    workers, s_vocabulary = number("workers", workers, 0, 4096, whole=True), number("s_vocabulary", s_vocabulary, 2, 2**24, whole=True)
    stem = Path(found[0].name.split(" and ")[0].removeprefix(sources.DATASET).replace("/", "_")).name.split(".")[0]
    lies = Path(output).expanduser().absolute() if output else workspace.root / "inputs" / f"{stem}.tok"
    if lies.suffix != ".tok":
        raise BadInput(f"output is {str(output)!r}; a token file's name ends in .tok; did you mean {lies.with_suffix('.tok')}?")
    if lies.exists():
        raise BadInput(f"{lies} exists already; choose another name or delete it first")
    disk.require_writable(lies.parent)
    if tokenizer in texts.KINDS:
        Config(c_tokenizer=tokenizer, s_vocabulary=s_vocabulary, c_unknown=c_unknown)
        kind = tokenizer
    elif str(tokenizer).endswith(".json"):
        kind = corpus.tokenizer_from_file(tokenizer)
    elif str(tokenizer) == "last" or set(str(tokenizer).lower()[:8]) <= set("0123456789abcdef-"):
        kind = texts.from_json(workspace.load_tokenizer(workspace.resolve(tokenizer)))
    else:
        raise BadInput(nearest("tokenizer", tokenizer, texts.KINDS) + "; or a tokenizer.json, or a run's GUID")
    with Counter(progress) as counter:
        return preparing.prepare(workspace, found[0].paths, lies, kind, s_vocabulary, c_unknown, encoding, field,
                                 size and parse_size(size), workers, counter)


def parse_size(size):
    """300kB, 10MB, 1GB or a number, in bytes"""
    words = dict(gb=10 ** 9, mb=10 ** 6, kb=10 ** 3, b=1)
    word = size.strip().lower() if isinstance(size, str) else ""
    unit = next((u for u in words if word.endswith(u)), "")
    value = parsed(word.removesuffix(unit) if word else size)
    value = None if value is None else value * words.get(unit, 1)
    if value is None or not 1000 <= value <= 10 ** 12:
        near = "" if value is None or value != value else f"; did you mean {'1kB' if value < 1000 else '1000GB'}?"
        raise BadInput(f"size is {quoted(size)}; allowed is a number of bytes from 1kB to 1000GB, such as 300kB, 10MB or 1GB{near}")
    return int(value)
