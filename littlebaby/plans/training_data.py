"""Preparation of a training: settings -> Config; input -> Corpus or Conversations -> TrainingData."""
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import text as texts
from ..errors import BadInput
from ..inference.baby import Baby
from ..runs import corpus, disk, presets, records, sources
from ..runs.aliases import renamed
from ..runs.settings import Config
from ..runs.store import Workspace
from ..show.progress import Counter
from ..text import chat as talk
from ..text import nursery
from ..training.chat_data import ChatBatches, PaddedRows, conversation_rows, split_conversations
from ..training.data import Batches, Mixture, split, validation_windows
from ..training.objectives import Objective, next_token

SAMPLE_TOKENS = 2**20  # tokens of the validation split from which its characters per token are estimated


def make_config(preset: str | None = None, config: str | Path | None = None, settings: Mapping[str, Any] | tuple = (),
                input: Any = None) -> Config:
    """A Config: settings override the JSON file `config`, which overrides the preset. Without preset and config the preset is the default
    one for the input.

    Raises:
        BadInput: There is no such preset, the file does not hold a JSON object, or a setting is not allowed.
    """
    chosen = presets.preset(preset or presets.default_preset(input)) if preset or not config else {}
    if config:
        data = disk.read_json(Path(config))
        if not isinstance(data, dict):
            raise BadInput(f"{config} is not a config: it must be a JSON object with settings, such as {{\"n_layers\": 4}}")
        chosen |= {key: value for key, value in data.items() if key not in ("version", "guid", "base", "time")}
    return Config(**combined(chosen, renamed(dict(settings))))


def combined(settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, overridden by others; n_epochs alone replaces n_steps"""
    found = dict(settings)
    if "n_epochs" in more and "n_steps" not in more:
        found.pop("n_steps", None)
    return found | dict(more)


def finetune_config(cfg: Config, settings: Mapping[str, Any] | tuple = ()) -> Config:
    """The Config of a finetune: that of the base with these settings. Defaults: half the base's n_steps or n_epochs, a fifth of its r_learn
    (all of it with lora_rank), lora_rank 0 and lora_alpha 0."""
    named = renamed(dict(settings))
    if "n_epochs" in named or not cfg.n_steps:
        half = dict(n_steps=0, n_epochs=max(1, cfg.n_epochs // 2))
    else:
        half = dict(n_steps=max(1, cfg.n_steps // 2))
    new = cfg.replace(**{"lora_rank": 0, "lora_alpha": 0.0, **half, **named})
    return new if "r_learn" in named or new.lora_rank else new.replace(r_learn=cfg.r_learn / 5)


def load_input(workspace: Workspace, where: Any, cfg: Config, tokenizer: Any = None, encoding: str = "utf-8",
               progress: Any = True, chat: bool = False) -> tuple[Any, Any]:
    """(source, tokenizer) of an input: a Corpus, or with `chat` the Conversations of a JSONL file, and the tokenizer for it.

    Args:
        where: The input, as in `train`, or the Sources that `recall_input` returns.
        tokenizer: Tokenizer of the model that is finetuned; unknown characters of the input are added to it. None: c_tokenizer.

    Raises:
        BadInput: As in `corpus.read_corpus` and `text.chat.conversations`.
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
    pieces = [talk.pieces(messages, form) for messages in found]
    text = "\n".join(map(talk.as_text, pieces))
    apart = "\n".join(piece for each in pieces for piece, _ in each)             # as they are tokenized
    return Conversations(file.name, file.bytes, file.sha256, len(text), text, found), tokenizer.extend(apart)[0]


class Conversations(NamedTuple):
    """Conversations of a JSONL file"""
    name: str
    bytes: int
    sha256: str
    characters: int          # length of `text`
    text: str                # all conversations, formatted with the chat template
    conversations: list      # of lists of messages, {"role": ..., "content": ...}


def remember_input(workspace: Workspace, where: Any, encoding: str, chat: bool = False) -> dict[str, Any]:
    """The input as a checkpoint stores it: path, size and sha256 of each file, encoding and format"""
    if chat:
        path = workspace.input_path(where)
        found = [sources.Source(path.name, (path,), None, "text")]
    else:
        found = sources.find(workspace, where)
    words = [str(path) for source in found for path in source.paths]
    return dict(input=words, encoding=encoding, chat=chat, sources=sources.remember(workspace, found))


def recall_input(workspace: Workspace, origin: dict, record: records.Input | None) -> Any:
    """The input that a checkpoint stores, in a form that `load_input` accepts. An older checkpoint stores only what the user typed; its
    file is then identified by the report's Input `record`."""
    if "sources" not in origin:
        return sources.recall_words(workspace, origin["input"], record)
    found = sources.recall(workspace, origin["sources"])
    return str(found[0].paths[0]) if origin.get("chat") else found


def training_text(workspace: Workspace, report: records.Report | None) -> str | None:
    """The training text of a run; None if its file is gone or has changed"""
    if not report or not report.input:
        return None
    about = report.input
    try:
        source = workspace.read_text(workspace.recall(about.path or about.name, about.bytes, about.sha256))
    except BadInput:
        return None
    return source.text if source.sha256 == about.sha256 else None


def is_complete(meta: Any) -> bool:
    """Whether the JSON part of a checkpoint has all entries that `resume_run` needs"""
    origin = meta.get("origin") if isinstance(meta, dict) else None
    origin = origin if isinstance(origin, dict) else {}
    inputs = origin.get("input")
    words = inputs if isinstance(inputs, list) else [inputs]
    return bool(inputs) and all(isinstance(word, str) for word in [*words, origin.get("encoding")]) \
        and isinstance(meta.get("state"), dict) and "report" in meta


def input_record(source: "corpus.Corpus | Conversations", origin: dict) -> records.Input:
    """The report's record of an input. origin: from `remember_input`"""
    paths = [file["path"] for each in origin["sources"] for file in each["files"]]
    inside = len(paths) == 1 and not Path(paths[0]).is_absolute() and not paths[0].startswith(sources.DATASET)
    return records.Input(name=source.name, bytes=source.bytes, characters=source.characters, sha256=source.sha256,
                         path=paths[0] if inside else "")


class TrainingData(NamedTuple):
    """Batches to train on, windows to validate on, and the prompt of samples and of the final completion"""
    batches: Any           # Batches, Mixture or ChatBatches; in school a function of the baby and its State
    valid: Any             # windows for `training.evaluate.evaluate`
    train_tokens: int      # size of the training split
    valid_tokens: int      # size of the validation split
    characters_per_token: float  # of the validation targets
    nats_floor: float | None  # lowest possible loss in nats per token; None where it is unknown
    start: np.ndarray      # (t,) ids of the prompt
    nursery: str = ""      # the kind of nursery that the text is from, a name in text.nursery.KINDS; empty for another text
    prompt: str = ""       # the same as text
    stops: tuple = ()      # strings that end the completion
    about: str = ""        # what the model learns from, for the message at the start; "": the text
    objective: Objective = next_token
    judged: Callable[[Baby], records.Judgement] | None = None    # samples of the model, judged


def text_data(source: Any, cfg: Config, tokenizer: Any) -> TrainingData:
    """TrainingData of a Corpus: every token is a target"""
    begins = tokenizer.encode(tokenizer.begin)
    trained, held = zip(*(split(part.ids(tokenizer), cfg, begins) for part in source.parts))
    each = [Batches(ids, cfg, cfg.seed, tuple(begins)) for ids in trained]
    batches = Mixture(each, [part.weight or len(ids) for part, ids in zip(source.parts, trained)], cfg.seed) if len(each) > 1 else each[0]
    sample = np.concatenate([ids[:SAMPLE_TOKENS // len(held)] for ids in held])
    decoded = tokenizer.decode(sample)
    length = len(decoded) / max(len(sample), 1)
    known = nursery.recognize(decoded)
    return TrainingData(batches, validation_windows(held, cfg, begins), sum(map(len, trained)), sum(map(len, held)), length,
                        known.floor * length if known else None, begins, known.kind if known else "")


def conversation_data(source: Any, cfg: Config, tokenizer: Any) -> TrainingData:
    """TrainingData of Conversations: only the assistant's tokens are targets"""
    form = talk.template(cfg.c_template)
    rows_of = lambda part: [row for messages in part for row in conversation_rows(messages, form, tokenizer, cfg.n_ctx)]
    trained, held = map(rows_of, split_conversations(source.conversations, cfg))
    valid = PaddedRows(held[:cfg.n_eval_windows or None])
    _, y = valid[:]
    decoded = tokenizer.decode(y[y >= 0])
    first = source.conversations[0]
    question = talk.question(first[:next(i for i, message in enumerate(first) if message["role"] == "assistant")], form)
    size = lambda part: sum(len(ids) for ids, _ in part)
    return TrainingData(ChatBatches(trained, cfg, cfg.seed), valid, size(trained), size(held), len(decoded) / max(int((y >= 0).sum()), 1),
                        None, talk.ids_of(question, tokenizer)[0], prompt=talk.as_text(question), stops=form.stops)


def with_own_tokenizer(cfg: Config, path: Path) -> Config:
    """The config, with the path of a tokenizer file replaced by that of the run's own copy, because the original file may be gone"""
    return cfg if cfg.c_tokenizer in texts.KINDS else cfg.replace(c_tokenizer=str(path))
