"""A corpus: the texts and token files of an input. Small texts are in memory, token files are mapped, large texts become token files."""
import json
import os
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import text as texts
from ..errors import BadInput
from . import disk, prepare, sources, tokens
from .settings import Config
from .sources import Source
from .store import Workspace

IN_MEMORY = 2**26        # characters; a longer text is trained on through a token file
Progress = Callable[[str, int], None]


class Part(NamedTuple):
    """One source of a corpus"""
    name: str
    weight: float | None             # None: proportional to its size
    text: str | None                 # None: it is a token file
    tokens: tokens.Tokens | None     # None: it is a text

    def ids(self, tokenizer: texts.Tokenizer) -> np.ndarray:
        """Its token ids (n,)"""
        return tokenizer.encode(self.text or "") if self.tokens is None else self.tokens.ids


class Corpus(NamedTuple):
    """The texts and token files of an input"""
    name: str
    bytes: int
    sha256: str          # of the bytes of a file; of several files, of their sha256 one after the other
    characters: int      # without those of token files that do not name them
    parts: list[Part]

    @property
    def text(self) -> str:
        """The texts that are in memory"""
        return "".join(part.text for part in self.parts if part.text is not None)


def read_corpus(workspace: Workspace, where: Any, cfg: Config, tokenizer: texts.Tokenizer | None = None, encoding: str = "utf-8",
                progress: Progress = lambda what, n: None) -> tuple[Corpus, texts.Tokenizer]:
    """(corpus, tokenizer): everything that an input names, and the tokenizer of its ids

    where      as for `sources.find`
    tokenizer  that of a model that is trained further: texts extend it, token files must have been made with it
    progress   called with what is being done and how much more of it is done: characters, or bytes of a token file
    BadInput: see sources and tokens; token files of different tokenizers; a token file without a tokenizer where c_tokenizer names none.
    """
    found = sources.find(workspace, where)
    given = tokenizer or (tokenizer_from_file(cfg.c_tokenizer) if cfg.c_tokenizer not in texts.KINDS else None)
    token_files = {source: tokens.read_token_file(source.paths[0]) for source in found if source.kind == "tokens"}
    given = common_tokenizer(token_files.values(), given, cfg.c_tokenizer)
    end = given.begin if given else prepare.separator(cfg.c_tokenizer)
    loaded = {source: load(source, end, encoding, cfg.c_field) for source in found if source.kind == "text"}
    in_memory = {source: text for source, text in loaded.items() if text is not None}
    learned: texts.Tokenizer | None = given

    if loaded and len(in_memory) == len(loaded):
        whole = "".join(each.text for each in in_memory.values())
        extended = given.extend(whole)[0] if given and tokenizer else given
        learned = extended or texts.train(cfg.c_tokenizer, whole, cfg.s_vocabulary, cfg.c_unknown)
    elif loaded:
        key = cache_key(found, cfg, given, encoding)
        paths = {source: workspace.root / "tokens" / f"{Path(source.name).stem}_{key}_{i}.tok" for i, source in enumerate(loaded)}
        if all(path.exists() for path in paths.values()):
            learned = texts.from_json(tokens.read_token_file(next(iter(paths.values()))).tokenizer)
        else:
            all_blocks = (block for source in loaded for block
                          in sources.text_blocks(sources.text(source.paths, end, encoding, cfg.c_field), sources.anywhere))
            learned = learn(all_blocks, cfg, given, tokenizer, progress)
            for source, path in paths.items():
                prepare.prepare(workspace, source.paths, path, learned, cfg.s_vocabulary, cfg.c_unknown, encoding, cfg.c_field,
                                workers=cfg.c_device_cpu_cores, progress=progress)
        token_files |= {source: tokens.read_token_file(path) for source, path in paths.items()}
        in_memory = {}
    assert learned, "without a text there is a token file, and `common_tokenizer` requires a tokenizer for it"
    for each in token_files.values():
        tokens.check_ids(each, learned.size, lambda n: progress("checking tokens", n))
    parts = [Part(s.name, s.weight, *((in_memory[s].text, None) if s in in_memory else (None, token_files[s]))) for s in found]
    files = [*in_memory.values(), *token_files.values()]
    digests = [each.sha256 for each in files]
    return Corpus(sources.named_after([part.name for part in parts]), sum(each.bytes for each in files),
                  digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest(),
                  sum(len(each.text) for each in in_memory.values()) + sum(each.characters for each in token_files.values()),
                  parts), learned


def tokenizer_from_file(path: Path | str) -> texts.Tokenizer:
    """The tokenizer of a tokenizer file. BadInput where it is none"""
    return texts.from_json(disk.read_json(Path(path).expanduser()))


def common_tokenizer(token_files: Iterable[tokens.Tokens], given: texts.Tokenizer | None, setting: str) -> texts.Tokenizer | None:
    """The one tokenizer of all token files and `given`; None where there is none

    setting: c_tokenizer, for the error. BadInput where there are several, or where none of the files names one and `given` is None.
    """
    for each in token_files:
        if each.tokenizer is not None:
            found = texts.from_json(each.tokenizer)
            if found.size != each.vocabulary:
                raise BadInput(f"{each.path} is damaged: its header has a vocabulary of {each.vocabulary}, its tokenizer one of "
                               f"{found.size}")
            if given and tokens.fingerprint(found.to_json()) != tokens.fingerprint(given.to_json()):
                raise BadInput(f"{each.path} was made with another tokenizer ({found.kind}, {found.size} tokens) than the rest "
                               f"({given.kind}, {given.size}): prepare it again with the same one, `littlebaby prepare --tokenizer ...`")
            given = found
    without_tokenizer = next((each.path for each in token_files if each.tokenizer is None), None)
    if without_tokenizer and not given:
        raise BadInput(f"{without_tokenizer} holds token ids and does not name their tokenizer, and c_tokenizer is {setting!r}: "
                       f"{tokens.NAME_TOKENIZER}")
    return given


class Loaded(NamedTuple):
    """A text in memory, with the size and the sha256 of its files"""
    text: str
    bytes: int
    sha256: str


def load(source: Source, end: str, encoding: str, field: str) -> Loaded | None:
    """The text of a source, None where it has more than IN_MEMORY characters; the other arguments are those of `sources.text`. BadInput"""
    paths, dataset = source.paths, str(source.paths[0]).startswith(sources.DATASET)
    pieces, length = [], 0
    for piece in sources.text(paths, end, encoding, field):
        pieces.append(piece)
        length += len(piece)
        if length > IN_MEMORY:
            return None
    text = "".join(pieces)
    if not text:
        raise BadInput(f"{paths[0] if len(paths) == 1 else source.name} is empty; give a text of at least one character")
    if dataset:
        return Loaded(text, 0, sha256(text.encode("utf-8", "backslashreplace")).hexdigest())
    digests = [disk.digest(path) for path in paths]
    return Loaded(text, sum(path.stat().st_size for path in paths),
                  digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest())


def learn(blocks: Iterable[str], cfg: Config, given: texts.Tokenizer | None, extensible: texts.Tokenizer | None,
          progress: Progress) -> texts.Tokenizer:
    """A tokenizer for texts too large for memory: `extensible` with their new tokens, else `given`, else a new one

    blocks: the texts in pieces
    """
    count_characters = lambda n: progress("reading", n)
    if extensible:
        sample, characters, _ = prepare.survey(blocks, count_characters)
        return extensible.extend(sample + "".join(sorted(characters - set(sample))))[0]
    return given or prepare.tokenizer_of(cfg.c_tokenizer, blocks, cfg.s_vocabulary, cfg.c_unknown, count_characters)


def cache_key(found: list[Source], cfg: Config, given: texts.Tokenizer | None, encoding: str) -> str:
    """A hash of everything that determines the token files of these sources"""
    files = [[str(path), *(() if str(path).startswith(sources.DATASET) else (os.stat(path).st_size, os.stat(path).st_mtime_ns))]
             for source in found for path in source.paths]
    contents: list[Any] = [files, encoding, cfg.c_field, given and tokens.fingerprint(given.to_json()).hex()]
    contents += [] if given else [cfg.c_tokenizer, cfg.s_vocabulary, cfg.c_unknown]
    return sha256(json.dumps(contents).encode()).hexdigest()[:12]
