"""What a training learns from: settings become a Config, an input becomes a text or conversations, and these a Lesson."""
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import BadInput
from ..learning.data import Batches, Mixture, held_out, split
from ..learning.dialogue import Dialogues, Filled, divide, rows
from ..runs import corpus, disk, records
from ..show.progress import Counter
from ..text import chat as talk
from ..text import nursery as grammar

HEARD = 2**20       # tokens of the validation split from which its characters per token are counted


def configured(preset=None, config=None, settings=()):
    """A Config from a preset, over it a file, over that single settings; the nursery's preset where neither of the first two is given"""
    chosen = records.preset(preset or "nursery") if preset or not config else {}
    if config:
        data = disk.read_json(Path(config))
        if not isinstance(data, dict):
            raise BadInput(f"{config} is no config: settings by name belong there, {{\"n_layers\": 4}}")
        chosen |= {key: value for key, value in data.items() if key not in ("version", "guid", "base", "time")}
    settings = records.renamed(dict(settings))
    if "n_epochs" in settings and "n_steps" not in settings:
        chosen.pop("n_steps", None)
    return records.Config(**{**chosen, **settings})


def succeeding(cfg, settings=()):
    """The Config of a finetune: that of its base with half as many steps, unless told otherwise at a fifth of the rate"""
    settings = records.renamed(dict(settings))
    if "n_epochs" in settings or not cfg.n_steps:
        half = dict(n_steps=0, n_epochs=max(1, cfg.n_epochs // 2))
    else:
        half = dict(n_steps=max(1, cfg.n_steps // 2))
    new = cfg.replace(**{"lora_rank": 0, "lora_alpha": 0.0, **half, **settings})
    return new if "r_learn" in settings or new.lora_rank else new.replace(r_learn=cfg.r_learn / 5)


def material(workspace, where, cfg, tokenizer=None, encoding="utf-8", progress=True, chat=False):
    """(source, tokenizer): what an input means, a Corpus, or with `chat` the Dialogue of a JSONL file, and what its ids are made with.

    tokenizer: the one of a baby that goes on learning, which the source extends      BadInput: see corpus.read and chat.conversations
    """
    if not chat:
        with Counter(progress is True) as counter:
            return corpus.read(workspace, where, cfg, tokenizer, encoding, counter)
    file = workspace.read_text(where, encoding)
    try:
        found = talk.conversations(file.text)
    except BadInput as error:
        raise BadInput(f"{file.name}: {error}") from None
    form = talk.template(cfg.c_template)
    text = "\n".join(talk.spelled(talk.pieces(messages, form)) for messages in found)
    return Dialogue(file.name, file.bytes, file.sha256, len(text), text, found), tokenizer.extend(text)[0]


class Dialogue(NamedTuple):
    """Conversations to learn from"""
    name: str
    bytes: int
    sha256: str
    characters: int
    text: str                # what they spell
    conversations: list


def words(input):
    """An input as a checkpoint can remember it"""
    return [str(each) for each in input] if isinstance(input, list | tuple) else str(input)


def describe(source):
    return records.Input(name=source.name, bytes=source.bytes, characters=source.characters, sha256=source.sha256)


class Lesson(NamedTuple):
    """What a run learns from, how it is measured, and what it goes on from when it shows what it can"""
    batches: Any
    valid: Any             # windows for `evaluate`
    trained: int           # tokens
    held_out: int
    length: float          # characters per token that counts
    floor: float | None    # nats per token
    start: Any             # ids (t)
    prompt: str = ""
    stops: tuple = ()


def prose(source, cfg, tokenizer):
    """The lesson of texts: every token counts"""
    begins = tokenizer.encode(tokenizer.begin)
    trained, held = zip(*(split(part.ids(tokenizer), cfg, begins) for part in source.parts))
    each = [Batches(ids, cfg, cfg.seed, tuple(begins)) for ids in trained]
    batches = Mixture(each, [part.weight or len(ids) for part, ids in zip(source.parts, trained)], cfg.seed) if len(each) > 1 else each[0]
    sample = np.concatenate([ids[:HEARD // len(held)] for ids in held])
    heard = tokenizer.decode(sample)
    length = len(heard) / max(len(sample), 1)
    known = grammar.floor(heard)
    return Lesson(batches, held_out(held, cfg, begins), sum(map(len, trained)), sum(map(len, held)), length,
                  known * length if known else None, begins)


def dialogue(source, cfg, tokenizer):
    """The lesson of conversations: what the assistant says counts"""
    form = talk.template(cfg.c_template)
    cut = lambda part: [row for messages in part for row in rows(messages, form, tokenizer, cfg.n_ctx)]
    trained, held = map(cut, divide(source.conversations, cfg))
    valid = Filled(held[:cfg.n_eval or None])
    _, y = valid[:]
    heard = tokenizer.decode(y[y >= 0])
    first = source.conversations[0]
    asked = talk.question(first[:next(i for i, message in enumerate(first) if message["role"] == "assistant")], form)
    size = lambda part: sum(len(ids) for ids, _ in part)
    return Lesson(Dialogues(trained, cfg, cfg.seed), valid, size(trained), size(held), len(heard) / max(int((y >= 0).sum()), 1), None,
                  talk.ids_of(asked, tokenizer)[0], talk.spelled(asked), form.stops)
