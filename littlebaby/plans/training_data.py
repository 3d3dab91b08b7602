"""What a training learns from: settings become a Config, an input becomes a text or conversations, and these TrainingData."""
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import BadInput
from ..runs import corpus, disk, presets, records, sources
from ..runs.aliases import renamed
from ..runs.settings import Config
from ..show.progress import Counter
from ..text import chat as talk
from ..text import nursery as grammar
from ..training.chat_data import ChatBatches, PaddedRows, conversation_rows, split_conversations
from ..training.data import Batches, Mixture, split, validation_windows

SAMPLE_TOKENS = 2**20  # tokens of the validation split from which its characters per token are counted


def make_config(preset=None, config=None, settings=()):
    """A Config from a preset, over it a file, over that single settings; the nursery's preset where neither of the first two is given"""
    chosen = presets.preset(preset or "nursery") if preset or not config else {}
    if config:
        data = disk.read_json(Path(config))
        if not isinstance(data, dict):
            raise BadInput(f"{config} is not a config: it must hold settings by name, {{\"n_layers\": 4}}")
        chosen |= {key: value for key, value in data.items() if key not in ("version", "guid", "base", "time")}
    settings = renamed(dict(settings))
    if "n_epochs" in settings and "n_steps" not in settings:
        chosen.pop("n_steps", None)
    return Config(**{**chosen, **settings})


def finetune_config(cfg, settings=()):
    """The Config of a finetune: that of its base with half as many steps, unless told otherwise at a fifth of the rate"""
    settings = renamed(dict(settings))
    if "n_epochs" in settings or not cfg.n_steps:
        half = dict(n_steps=0, n_epochs=max(1, cfg.n_epochs // 2))
    else:
        half = dict(n_steps=max(1, cfg.n_steps // 2))
    new = cfg.replace(**{"lora_rank": 0, "lora_alpha": 0.0, **half, **settings})
    return new if "r_learn" in settings or new.lora_rank else new.replace(r_learn=cfg.r_learn / 5)


def load_input(workspace, where, cfg, tokenizer=None, encoding="utf-8", progress=True, chat=False):
    """(source, tokenizer): what an input means, a Corpus, or with `chat` the Conversations of a JSONL file, and what its ids are made with.

    tokenizer: the one of a baby that goes on learning, which the source extends      BadInput: see corpus.read and chat.conversations
    """
    if not chat:
        with Counter(progress is True) as counter:
            return corpus.read_corpus(workspace, where, cfg, tokenizer, encoding, counter)
    file = workspace.read_text(where, encoding)
    try:
        found = talk.conversations(file.text)
    except BadInput as error:
        raise BadInput(f"{file.name}: {error}") from None
    form = talk.template(cfg.c_template)
    text = "\n".join(talk.as_text(talk.pieces(messages, form)) for messages in found)
    return Conversations(file.name, file.bytes, file.sha256, len(text), text, found), tokenizer.extend(text)[0]


class Conversations(NamedTuple):
    """Conversations to learn from"""
    name: str
    bytes: int
    sha256: str
    characters: int
    text: str                # what they spell
    conversations: list


def remember_input(workspace, where, encoding, chat=False):
    """An input as a checkpoint keeps it: its files by place and contents"""
    if chat:
        path = workspace.input_path(where)
        found = [sources.Source(path.name, (path,), None, "text")]
    else:
        found = sources.find(workspace, where)
    words = [str(path) for source in found for path in source.paths]
    return dict(input=words, encoding=encoding, chat=chat, sources=sources.remember(workspace, found))


def recall_input(workspace, origin, record):
    """The input that a checkpoint keeps, as `load_input` takes it; an older one keeps only the words"""
    if "sources" not in origin:
        return sources.recall_words(workspace, origin["input"], record)
    found = sources.recall(workspace, origin["sources"])
    return str(found[0].paths[0]) if origin.get("chat") else found


def input_record(source, origin):
    """What the report says of an input. origin: see `remember_input`"""
    paths = [file["path"] for each in origin["sources"] for file in each["files"]]
    inside = len(paths) == 1 and not Path(paths[0]).is_absolute() and not paths[0].startswith(sources.DATASET)
    return records.Input(name=source.name, bytes=source.bytes, characters=source.characters, sha256=source.sha256,
                         path=paths[0] if inside else "")


class TrainingData(NamedTuple):
    """What a run learns from, how it is measured, and what it goes on from when it shows what it can"""
    batches: Any
    valid: Any             # windows for `evaluate`
    train_tokens: int      # tokens
    valid_tokens: int
    characters_per_token: float  # characters per token that counts
    nats_floor: float | None  # nats per token
    start: Any             # ids (t)
    prompt: str = ""
    stops: tuple = ()


def text_data(source, cfg, tokenizer):
    """Training data of texts: every token counts"""
    begins = tokenizer.encode(tokenizer.begin)
    trained, held = zip(*(split(part.ids(tokenizer), cfg, begins) for part in source.parts))
    each = [Batches(ids, cfg, cfg.seed, tuple(begins)) for ids in trained]
    batches = Mixture(each, [part.weight or len(ids) for part, ids in zip(source.parts, trained)], cfg.seed) if len(each) > 1 else each[0]
    sample = np.concatenate([ids[:SAMPLE_TOKENS // len(held)] for ids in held])
    decoded = tokenizer.decode(sample)
    length = len(decoded) / max(len(sample), 1)
    known = grammar.floor(decoded)
    return TrainingData(batches, validation_windows(held, cfg, begins), sum(map(len, trained)), sum(map(len, held)), length,
                        known * length if known else None, begins)


def conversation_data(source, cfg, tokenizer):
    """Training data of conversations: only the assistant's tokens count"""
    form = talk.template(cfg.c_template)
    cut = lambda part: [row for messages in part for row in conversation_rows(messages, form, tokenizer, cfg.n_ctx)]
    trained, held = map(cut, split_conversations(source.conversations, cfg))
    valid = PaddedRows(held[:cfg.n_eval_windows or None])
    _, y = valid[:]
    decoded = tokenizer.decode(y[y >= 0])
    first = source.conversations[0]
    asked = talk.question(first[:next(i for i, message in enumerate(first) if message["role"] == "assistant")], form)
    size = lambda part: sum(len(ids) for ids, _ in part)
    return TrainingData(ChatBatches(trained, cfg, cfg.seed), valid, size(trained), size(held), len(decoded) / max(int((y >= 0).sum()), 1),
                        None,
                        talk.ids_of(asked, tokenizer)[0], talk.as_text(asked), form.stops)
