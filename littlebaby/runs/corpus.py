"""A corpus: what an input comes to. Texts that fit into memory are there, token files are mapped, larger texts become token files."""
import json
import os
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from .. import text as texts
from ..errors import BadInput
from . import disk, prepare, sources, tokens

IN_MEMORY = 2**26        # characters of a text that is learned from without a token file


class Part(NamedTuple):
    name: str
    weight: float | None             # None: by its size
    text: str | None                 # None: in a token file
    tokens: tokens.Tokens | None     # None: in memory

    def ids(self, tokenizer):
        """(n,)"""
        return tokenizer.encode(self.text) if self.tokens is None else self.tokens.ids


class Corpus(NamedTuple):
    name: str
    bytes: int
    sha256: str          # of a file's bytes; of several, of their sha256 one after the other
    characters: int      # 0: unknown
    parts: list

    @property
    def text(self):
        """What of it is in memory"""
        return "".join(part.text for part in self.parts if part.text is not None)


def read_corpus(workspace, where, cfg, tokenizer=None, encoding="utf-8", progress=lambda what, n: None):
    """(corpus, tokenizer): all that an input means, and the tokenizer that its ids are or will be made with.

    tokenizer  the one of a baby that goes on learning: texts extend it, token files must have been made with it
    progress   told what is being done, and how much more of it has been: characters, or bytes of a token file
    BadInput: see sources and tokens; token files of different tokenizers, a bare one whose tokenizer nobody names.
    """
    found = sources.find(workspace, where)
    given = tokenizer or (tokenizer_from_file(cfg.c_tokenizer) if cfg.c_tokenizer not in texts.KINDS else None)
    maps = {source: tokens.read_token_file(source.paths[0]) for source in found if source.kind == "tokens"}
    given = common_tokenizer(maps.values(), given, cfg.c_tokenizer)
    end = given.begin if given else prepare.ends(cfg.c_tokenizer)
    loaded = {source: load(workspace, source, end, encoding, cfg.c_field) for source in found if source.kind == "text"}

    def all_blocks():
        for source in loaded:
            yield from sources.text_blocks(sources.text(source.paths, end, encoding, cfg.c_field), sources.anywhere)

    if loaded and None not in loaded.values():
        whole = "".join(each.text for each in loaded.values())
        learned = (given.extend(whole)[0] if tokenizer else given) or texts.train(cfg.c_tokenizer, whole, cfg.s_vocabulary, cfg.c_unknown)
    elif loaded:
        key = cache_key(found, cfg, given, encoding)
        lie = {source: workspace.root / "tokens" / f"{Path(source.name).stem}_{key}_{i}.tok" for i, source in enumerate(loaded)}
        if all(path.exists() for path in lie.values()):
            learned = texts.from_json(tokens.read_token_file(next(iter(lie.values()))).tokenizer)
        else:
            learned = learn(all_blocks(), cfg, given, tokenizer, progress)
            for source, path in lie.items():
                prepare.prepare(workspace, source.paths, path, learned, cfg.s_vocabulary, cfg.c_unknown, encoding, cfg.c_field,
                                workers=cfg.c_device_cpu_cores, progress=progress)
        maps |= {source: tokens.read_token_file(path) for source, path in lie.items()}
        loaded = {}
    else:
        learned = given
    for each in maps.values():
        tokens.check_ids(each, learned.size, lambda n: progress("looking through tokens", n))
    parts = [Part(s.name, s.weight, *((loaded[s].text, None) if s in loaded else (None, maps[s]))) for s in found]
    all_of_it = [*loaded.values(), *maps.values()]
    digests = [each.sha256 for each in all_of_it]
    return Corpus(sources.named_after([part.name for part in parts]), sum(each.bytes for each in all_of_it),
                  digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest(),
                  sum(len(each.text) for each in loaded.values()) + sum(each.characters for each in maps.values()), parts), learned


def tokenizer_from_file(path):
    """The tokenizer of a file"""
    return texts.from_json(disk.read_json(Path(path).expanduser()))


def common_tokenizer(maps, given, setting):
    """The one tokenizer of all token files and of whoever named one; None where there is neither"""
    for each in maps:
        if each.tokenizer is not None:
            found = texts.from_json(each.tokenizer)
            if found.size != each.vocabulary:
                raise BadInput(f"{each.path} is damaged: its header has a vocabulary of {each.vocabulary}, its tokenizer of {found.size}")
            if given and tokens.fingerprint(found.to_json()) != tokens.fingerprint(given.to_json()):
                raise BadInput(f"{each.path} was made with another tokenizer ({found.kind}, {found.size} tokens) than the rest "
                               f"({given.kind}, {given.size}): prepare it anew with the same one, `littlebaby prepare --tokenizer ...`")
            given = found
    bare = next((each.path for each in maps if each.tokenizer is None), None)
    if bare and not given:
        raise BadInput(f"{bare} is a bare row of tokens, which does not say what they stand for, and c_tokenizer is {setting!r}: "
                       f"{tokens.ASK}")
    return given


class Loaded(NamedTuple):
    text: str
    bytes: int
    sha256: str


def load(workspace, source, end, encoding, field):
    """A source's text, None where it is too large to be held"""
    paths, dataset = source.paths, str(source.paths[0]).startswith(sources.DATASET)
    pieces, length = [], 0
    for piece in sources.text(paths, end, encoding, field):
        pieces.append(piece)
        length += len(piece)
        if length > IN_MEMORY:
            return None
    text = "".join(pieces)
    if not text:
        raise BadInput(f"{paths[0] if len(paths) == 1 else source.name} is empty: there is nothing to learn from")
    if dataset:
        return Loaded(text, 0, sha256(text.encode("utf-8", "backslashreplace")).hexdigest())
    digests = [disk.digest(path) for path in paths]
    return Loaded(text, sum(path.stat().st_size for path in paths),
                  digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest())


def learn(blocks, cfg, given, growing, progress):
    """A tokenizer for texts too large to be held: a new one, the given one, or what `growing` becomes with their characters"""
    count_characters = lambda n: progress("reading", n)
    if growing:
        sample, characters, _ = prepare.survey(blocks, count_characters)
        return growing.extend(sample + "".join(sorted(characters - set(sample))))[0]
    return given or prepare.tokenizer_of(cfg.c_tokenizer, blocks, cfg.s_vocabulary, cfg.c_unknown, count_characters)


def cache_key(found, cfg, given, encoding):
    """A name for all that decides what the token files of these sources hold"""
    files = [[str(path), *(() if str(path).startswith(sources.DATASET) else (os.stat(path).st_size, os.stat(path).st_mtime_ns))]
             for source in found for path in source.paths]
    contents = [files, encoding, cfg.c_field, given and tokens.fingerprint(given.to_json()).hex()]
    contents += [] if given else [cfg.c_tokenizer, cfg.s_vocabulary, cfg.c_unknown]
    return sha256(json.dumps(contents).encode()).hexdigest()[:12]
