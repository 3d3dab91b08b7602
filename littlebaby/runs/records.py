"""What the files of a run hold, apart from its settings: every field with type, unit and meaning.

`littlebaby catalog --all` writes schemas/ from these records.
"""
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..errors import BadInput, quoted
from .settings import STRICT, Config

NAME = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:_finetuned(?:_[0-9]{1,4})?)?"     # of a run

try:
    VERSION = version("littlebaby")
except PackageNotFoundError:
    VERSION = "not installed"


def note(default, meaning, unit=""):
    """One field of a file: its default (... where there must be one), what it says, in which unit"""
    return Field(default, description=meaning, json_schema_extra={"unit": unit})


# a number that was measured: null in the file where it came out as no number
Number = Annotated[float | None, BeforeValidator(lambda v: None if hasattr(v, "__float__") and not isfinite(v) else v)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=f"^{NAME}$")]


def now():
    return datetime.now(timezone.utc)


class ConfigFile(Config):
    """configs/config_GUID.json: the settings, defaults included, and where they come from"""
    version: str = note("", "The littlebaby that wrote the file.")
    guid: str = note("", "The run.")
    base: str = note("", "The run whose weights this one started from, empty for a training from scratch.")
    time: AwareDatetime | None = note(None, "When the run began.")

    @property
    def config(self):
        return Config(**self.model_dump(include=set(Config.model_fields)))


class TokenizerFile(BaseModel):
    """tokenizers/tokenizer_GUID.json; what else it holds is the kind's own"""
    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    version: str = note(VERSION, "The littlebaby that wrote the file.")
    guid: Name = note(..., "The run.")
    kind: Literal["char", "word", "bpe"] = note(..., "What a token is.")
    begin: str = note(..., "What stands before a document.")
    vocabulary: list[str] = note(..., "The tokens in the order of their ids.")
    merges: list[str] = note([], "bpe: pairs that become one token, in the order in which they are joined.")
    special: list[str] = note([], "bpe: tokens that are never spelled out.")
    special_tokens: dict[str, Any] = note({}, "A model from elsewhere: the ids of bos, eos (all of them), pad and unk, those that its "
                                              "tokenizer puts around a prompt, and its chat template.")


class Tensor(BaseModel):
    """Where a weight lies in the stream of bytes, and what it is"""
    model_config = STRICT
    shape: list[Count] = note(..., "Its shape; matrices are (in, out).")
    dtype: Literal["float16", "float32", "float64"] = note(..., "Type of its numbers, little-endian.")
    kind: str = note(..., "What an optimizer may do with it: matrix, table, head, vector, ...")
    trainable: bool = note(..., "Whether training changes it.")
    offset: Count = note(..., "Where it begins in the stream.", "bytes")


class Parameters(BaseModel):
    model_config = STRICT
    trainable: Count = note(..., "How many numbers training changes.")
    frozen: Count = note(..., "How many it leaves alone.")
    total: Count = note(..., "Both together.")


class ModelFile(BaseModel):
    """models/model_GUID.json: the manifest and, unless `file` names another place, the weights"""
    model_config = STRICT
    format: Literal[1] = note(1, "Version of this layout.")
    version: str = note(VERSION, "The littlebaby that wrote the file.")
    guid: Name = note(..., "The run.")
    time: AwareDatetime = Field(default_factory=now, description="When it was written.")
    parameters: Parameters = note(..., "Counts.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of all weights' bytes, one after the other in this order.")
    tensors: dict[str, Tensor] = note(..., "The weights by name, in the order of the stream.")
    file: str = note("", "safetensors: the file beside this one that holds the weights.")
    blocks: list[str] = note([], "json: the stream in base64, in pieces.")
    lists: dict[str, Any] = note({}, "lists: the weights as nested lists of numbers.")


class Evaluation(BaseModel):
    """One row of a report"""
    model_config = STRICT
    step: Count = note(..., "Updates so far.", "steps")
    tokens: Count = note(..., "Training targets so far.", "tokens")
    train_loss: Number = note(None, "Mean cross-entropy of the batches since the last row, with dropout.", "nats")
    valid_loss: Number = note(None, "Cross-entropy over the validation windows, without dropout.", "nats")
    aux_loss: Number = note(None, "moe: what unequal loads cost besides, the mean since the last row; in neither of the two.", "nats")
    load: list[list[Count]] = note([], "moe: tokens routed to each expert since the last row, per layer; [] for a dense layer.",
                                   "tokens")
    bits_per_character: Number = note(None, "The validation loss in bits, divided among characters.", "bits")
    rate: Number = note(None, "Learning rate.")
    norm: Number = note(None, "Length of the last step's gradient before clipping.")
    clipped: Share = note(0.0, "Share of the steps since the last row whose gradient was shortened.")
    skipped: Count = note(0, "Steps so far without a finite loss or gradient.", "steps")
    tokens_per_second: Number = note(None, "Speed since the last row.", "tokens/s")
    seconds: Number = note(None, "Time spent in steps so far.", "s")
    best: bool = note(False, "Whether no earlier row had a lower validation loss.")
    sample: str = note("", "What the model wrote at this point.")


class Input(BaseModel):
    model_config = STRICT
    name: str = note(..., "Name of the file.")
    bytes: Count = note(..., "Its size.", "bytes")
    characters: Count = note(..., "Its length.", "characters")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of the file's bytes.")
    path: str = note("", "Where the file lies, relative to the workspace; empty where it lies outside, and for several files.")


class Environment(BaseModel):
    model_config = STRICT
    device: str = note(..., "Where it ran, in words.")
    python: str = note(..., "Version of Python.")
    platform: str = note("", "The system, in words.")
    libraries: dict[str, str] = note({}, "Versions of the libraries it stands on.")
    threads: Count = note(0, "Processor cores that shared a step, on each rank.")
    ranks: Count = note(1, "Processes that trained together.")
    peak_memory: Count | None = note(None, "Most memory in use at a time.", "bytes")


class Figures(BaseModel):
    """What a run comes to"""
    model_config = STRICT
    parameters: Parameters = note(..., "Counts.")
    embedding: Count = note(0, "Parameters of the token and position tables.")
    parts: dict[str, Count] = note({}, "Parameters by part of the model.")
    flops_per_token: Number = note(None, "Arithmetic of one token, forward and backward.", "FLOPs")
    flops: Number = note(None, "Arithmetic of the whole run.", "FLOPs")
    memory: Count | None = note(None, "Estimated memory of a step.", "bytes")
    tokens: Count = note(0, "Training targets.", "tokens")
    tokens_per_parameter: Number = note(None, "About 20 is a good use of arithmetic.")
    train_loss: Number = note(None, "At the end.", "nats")
    valid_loss: Number = note(None, "Of the weights that were kept.", "nats")
    bits_per_character: Number = note(None, "Of the weights that were kept.", "bits")
    seconds: Number = note(None, "Time spent in steps.", "s")
    tokens_per_second: Number = note(None, "Over the whole run.", "tokens/s")
    longest_overlap: Count | None = note(None, "Longest stretch of the completion found word for word in the input.", "characters")
    copied_share: Number = note(None, "Share of the completion's characters in passages of 50 or more that occur in the input.")
    overlap_share: Number = note(None, "Only in reports of version 0.1: the share of the completion's substrings of 50 characters that "
                                       "occur in the input.")


class Marks(BaseModel):
    """How much of the completion is right, where the text's grammar is known"""
    model_config = STRICT
    words: Share = note(..., "Share of its words that the nursery knows.")
    sentences: Share = note(..., "Share of its sentences that stand where the story so far allows them.")
    stories: Share = note(..., "Share of its stories that are right from beginning to end.")


class Report(BaseModel):
    """outputs/report_GUID.json"""
    model_config = STRICT
    version: str = note(VERSION, "The littlebaby that wrote the file.")
    guid: Name = note(..., "The run.")
    base: str = note("", "The run whose weights this one started from.")
    origin: str = note("", "The file or folder that an imported model came from.")
    started: AwareDatetime = Field(default_factory=now, description="When the run began.")
    ended: AwareDatetime | None = note(None, "When it ended.")
    input: Input | None = note(None, "The text.")
    tokenizer: str = note("", "Kind of tokenizer.")
    vocabulary: Count = note(0, "Its size.", "tokens")
    train_tokens: Count = note(0, "Size of the training split.", "tokens")
    valid_tokens: Count = note(0, "Size of the validation split.", "tokens")
    evaluations: list[Evaluation] = note([], "How it went.")
    base_evaluations: list[Evaluation] = note([], "How it had gone for the base.")
    best_step: Count = note(0, "The step whose weights were kept.", "steps")
    best_valid_loss: Number = note(None, "Their validation loss.", "nats")
    stop_reason: str = note("", "finished, early stop, interrupted, not finite, worker lost, failed, or imported.")
    nursery_floor: Number = note(None, "Entropy of the input where it is known: no model can have a lower loss.", "nats per token")
    marks: Marks | None = note(None, "How much of the completion is right, where the input is the nursery's.")
    environment: Environment | None = note(None, "Where it ran.")
    figures: Figures | None = note(None, "What it came to.")


class Settings(BaseModel):
    """How a text was sampled"""
    model_config = STRICT
    max_tokens: Count = note(200, "Maximum number of tokens to generate.", "tokens")
    repetition_penalty: float = note(1.0, "Repetition penalty: lowers the logits of tokens that occurred before; 1 changes nothing.")
    temperature: float = note(1.0, "Temperature: logits are divided by it; below 1 favours likely tokens, above 1 unlikely ones; 0 always "
                                   "takes the likeliest.")
    top_k: Count = note(0, "Top-k sampling: keep only the k likeliest tokens; 0 keeps all.")
    top_p: float = note(1.0, "Nucleus sampling: keep the smallest set of tokens whose probabilities sum to at least p.")
    min_p: float = note(0.0, "Min-p sampling: keep tokens with at least this fraction of the likeliest token's probability.")
    stop: list[str] = note([], "Strings that end generation.")


class Completion(BaseModel):
    """outputs/completion_GUID.json at the end of a training, outputs/completion_GUID_yyyymmddhhmmss.json for each inference"""
    model_config = STRICT
    version: str = note(VERSION, "The littlebaby that wrote the file.")
    guid: Name = note(..., "The run whose model wrote it.")
    time: AwareDatetime = Field(default_factory=now, description="When.")
    prompt: str = note("", "The prompt, as it was typed.")
    replaced: dict[str, str] = note({}, "Characters of the prompt that the tokenizer does not know, and their replacements.")
    text: str = note(..., "The generated text, without the prompt.")
    samples: list[str] = note([], "All texts, where more than one was asked for.")
    prompt_tokens: Count = note(0, "Length of the prompt.", "tokens")
    tokens: Count = note(0, "Length of the text.", "tokens")
    seed: int = note(0, "Where its randomness started.")
    settings: Settings = note(Settings(), "How it was sampled.")


class Message(BaseModel):
    model_config = STRICT
    role: Literal["system", "user", "assistant"] = note(..., "Who says it.")
    content: str = note(..., "What is said.")


class Chat(BaseModel):
    """outputs/chat_GUID_yyyymmddhhmmss.jsonl: a conversation in one line, as finetune --chat reads it"""
    model_config = STRICT
    version: str = note(VERSION, "The littlebaby that wrote the file.")
    guid: Name = note(..., "The run whose model answered.")
    time: AwareDatetime = Field(default_factory=now, description="When.")
    template: str = note("", "How the conversation was spelled for the model.")
    messages: list[Message] = note(..., "What was said, in order.")
    seed: int = note(0, "Where its randomness started.")
    settings: Settings = note(Settings(), "How the answers were sampled.")


FILES = dict(config=ConfigFile, tokenizer=TokenizerFile, model=ModelFile, report=Report, completion=Completion, chat=Chat)


def schemas():
    """{name: JSON Schema} of every kind of file, the same whatever version writes it"""
    made = {name: record.model_json_schema() for name, record in FILES.items()}
    for schema in made.values():
        schema["properties"].get("version", {}).pop("default", None)
    return made


def parse_record(record, data, where):
    """A record from what a JSON file held; BadInput names the file and every wrong place in it"""
    if not isinstance(data, dict):
        raise BadInput(f"{where} holds {'a list' if isinstance(data, list) else quoted(data)} where an object belongs")
    try:
        return record(**data)
    except BadInput as error:
        raise BadInput("\n".join(f"{where}: {line}" for line in str(error).splitlines())) from None
    except ValidationError as error:
        raise BadInput("\n".join(f"{where}: {field_path(each['loc'])} is {quoted(each['input'])}: {each['msg'].lower()}"
                                 for each in error.errors()[:5])) from None


def field_path(keys):
    """Where in a record something stands, as it is written where that can be shown"""
    word = ".".join(map(str, keys))
    return word if word.isprintable() and len(word) < 100 else quoted(word)
