"""The contents of the files of a run, apart from its settings: every field with type, unit and meaning.

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
    """One field of a file: its default (... for a required field), its meaning and its unit"""
    return Field(default, description=meaning, json_schema_extra={"unit": unit})


# a measured number; NaN and infinity are null in the file
Number = Annotated[float | None, BeforeValidator(lambda v: None if hasattr(v, "__float__") and not isfinite(v) else v)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=f"^{NAME}$")]


def now():
    return datetime.now(timezone.utc)


class ConfigFile(Config):
    """configs/config_GUID.json: all settings, defaults included, with the run that they belong to"""
    version: str = note("", "Version of littlebaby that wrote the file.")
    guid: str = note("", "Name of the run.")
    base: str = note("", "Name of the run whose weights this run started from; empty for a training from scratch.")
    time: AwareDatetime | None = note(None, "Start of the run.")

    @property
    def config(self):
        return Config(**self.model_dump(include=set(Config.model_fields)))


class TokenizerFile(BaseModel):
    """tokenizers/tokenizer_GUID.json; it also contains fields that depend on the kind of tokenizer"""
    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    version: str = note(VERSION, "Version of littlebaby that wrote the file.")
    guid: Name = note(..., "Name of the run.")
    kind: Literal["char", "word", "bpe"] = note(..., "Kind of tokenizer.")
    begin: str = note(..., "Text that separates documents.")
    vocabulary: list[str] = note(..., "Tokens in the order of their ids.")
    merges: list[str] = note([], "bpe: pairs of tokens that are merged into one token, in the order of learning.")
    special: list[str] = note([], "bpe: special tokens, such as <|endoftext|>, which are never the result of a merge.")
    special_tokens: dict[str, Any] = note({}, "Imported models: the ids of bos, eos (all of them), pad and unk, the ids that the tokenizer "
                                              "puts around a prompt, and the chat template.")


class Tensor(BaseModel):
    """The shape and type of one weight, and its position in the byte stream of all weights"""
    model_config = STRICT
    shape: list[Count] = note(..., "Shape; matrices are (in, out).")
    dtype: Literal["float16", "float32", "float64"] = note(..., "Type of the numbers, little-endian.")
    kind: str = note(..., "Kind, which determines how an optimizer treats the weight: matrix, table, head, vector, ...")
    trainable: bool = note(..., "Whether training changes the weight.")
    offset: Count = note(..., "Position of the first byte in the stream.", "bytes")


class Parameters(BaseModel):
    model_config = STRICT
    trainable: Count = note(..., "Number of parameters that training changes.")
    frozen: Count = note(..., "Number of parameters that training does not change.")
    total: Count = note(..., "Number of all parameters.")


class ModelFile(BaseModel):
    """models/model_GUID.json: the manifest and, unless `file` names another place, the weights"""
    model_config = STRICT
    format: Literal[1] = note(1, "Version of the file format.")
    version: str = note(VERSION, "Version of littlebaby that wrote the file.")
    guid: Name = note(..., "Name of the run.")
    time: AwareDatetime = Field(default_factory=now, description="Time of writing.")
    parameters: Parameters = note(..., "Numbers of parameters.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the bytes of all weights, in the order of `tensors`.")
    tensors: dict[str, Tensor] = note(..., "Weights by name, in the order of the byte stream.")
    file: str = note("", "safetensors: name of the file in the same folder that contains the weights.")
    blocks: list[str] = note([], "json: the byte stream in base64, in pieces.")
    lists: dict[str, Any] = note({}, "lists: the weights as nested lists of numbers.")


class Evaluation(BaseModel):
    """The state of a training at one evaluation"""
    model_config = STRICT
    step: Count = note(..., "Optimizer steps so far.", "steps")
    tokens: Count = note(..., "Training targets so far.", "tokens")
    train_loss: Number = note(None, "Mean cross-entropy of the batches since the last evaluation, with dropout.", "nats")
    valid_loss: Number = note(None, "Cross-entropy over the validation windows, without dropout.", "nats")
    aux_loss: Number = note(None, "moe: mean load-balancing loss since the last evaluation; train_loss and valid_loss do not contain it.",
                            "nats")
    load: list[list[Count]] = note([], "moe: tokens routed to each expert since the last evaluation, per layer; [] for a dense layer.",
                                   "tokens")
    bits_per_character: Number = note(None, "Validation loss per character, in bits.", "bits")
    rate: Number = note(None, "Learning rate.")
    norm: Number = note(None, "Gradient norm of the last step, before clipping.")
    clipped: Share = note(0.0, "Fraction of the steps since the last evaluation whose gradient was clipped.")
    skipped: Count = note(0, "Steps so far that were skipped, because loss or gradient was not finite.", "steps")
    tokens_per_second: Number = note(None, "Speed since the last evaluation.", "tokens/s")
    seconds: Number = note(None, "Time spent in steps so far.", "s")
    best: bool = note(False, "Whether no earlier evaluation had a lower validation loss.")
    sample: str = note("", "Text that the model generated after this step.")


class Input(BaseModel):
    model_config = STRICT
    name: str = note(..., "Name of the file.")
    bytes: Count = note(..., "Size of the file.", "bytes")
    characters: Count = note(..., "Length of the text.", "characters")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the bytes of the file.")
    path: str = note("", "Path of the file, relative to the workspace; empty for a file outside of it and for several files.")


class Environment(BaseModel):
    model_config = STRICT
    device: str = note(..., "Device on which the run computed, in words.")
    python: str = note(..., "Version of Python.")
    platform: str = note("", "Operating system, in words.")
    libraries: dict[str, str] = note({}, "Versions of the libraries used.")
    threads: Count = note(0, "Worker threads of each rank.")
    ranks: Count = note(1, "Number of ranks: processes that trained together.")
    peak_memory: Count | None = note(None, "Largest memory use of the process.", "bytes")


class Figures(BaseModel):
    """The final numbers of a run"""
    model_config = STRICT
    parameters: Parameters = note(..., "Numbers of parameters.")
    embedding: Count = note(0, "Parameters of the token and position tables.")
    parts: dict[str, Count] = note({}, "Parameters by part of the model.")
    flops_per_token: Number = note(None, "Floating-point operations for one token, forward and backward.", "FLOPs")
    flops: Number = note(None, "Floating-point operations of the whole run.", "FLOPs")
    memory: Count | None = note(None, "Estimated memory of a step.", "bytes")
    tokens: Count = note(0, "Training targets.", "tokens")
    tokens_per_parameter: Number = note(None, "Training targets per parameter; about 20 are compute-optimal.")
    train_loss: Number = note(None, "Training loss at the end.", "nats")
    valid_loss: Number = note(None, "Validation loss of the saved weights.", "nats")
    bits_per_character: Number = note(None, "Validation loss of the saved weights per character, in bits.", "bits")
    seconds: Number = note(None, "Time spent in steps.", "s")
    tokens_per_second: Number = note(None, "Speed over the whole run.", "tokens/s")
    longest_overlap: Count | None = note(None, "Longest part of the completion that is verbatim in the training text.", "characters")
    overlap_share: Number = note(None, "Fraction of the completion's stretches of 50 characters that are verbatim in the training text.")


class Marks(BaseModel):
    """How much of the completion follows the grammar of the nursery"""
    model_config = STRICT
    words: Share = note(..., "Fraction of its words that are words of the nursery.")
    sentences: Share = note(..., "Fraction of its sentences that the grammar allows at their place in the story.")
    stories: Share = note(..., "Fraction of its stories that are correct as a whole.")


class Report(BaseModel):
    """outputs/report_GUID.json"""
    model_config = STRICT
    version: str = note(VERSION, "Version of littlebaby that wrote the file.")
    guid: Name = note(..., "Name of the run.")
    base: str = note("", "Name of the run whose weights this run started from; empty for a training from scratch.")
    origin: str = note("", "File or folder from which the model was imported.")
    started: AwareDatetime = Field(default_factory=now, description="Start of the run.")
    ended: AwareDatetime | None = note(None, "End of the run.")
    input: Input | None = note(None, "Training text.")
    tokenizer: str = note("", "Kind of tokenizer.")
    vocabulary: Count = note(0, "Size of the vocabulary.", "tokens")
    train_tokens: Count = note(0, "Size of the training split.", "tokens")
    valid_tokens: Count = note(0, "Size of the validation split.", "tokens")
    evaluations: list[Evaluation] = note([], "Evaluations of the run, in order.")
    base_evaluations: list[Evaluation] = note([], "Evaluations of the base, in order.")
    best_step: Count = note(0, "Step whose weights were saved.", "steps")
    best_valid_loss: Number = note(None, "Validation loss after that step.", "nats")
    stop_reason: str = note("", "Why the run ended: finished, early stop, interrupted, not finite, worker lost, failed, or imported.")
    nursery_floor: Number = note(None, "Entropy of a nursery text: the lowest loss that a model can have.", "nats per token")
    marks: Marks | None = note(None, "How much of the completion follows the grammar of the nursery, if the input is a nursery text.")
    environment: Environment | None = note(None, "Device, libraries and processes.")
    figures: Figures | None = note(None, "Final numbers.")


class Settings(BaseModel):
    """The settings of sampling"""
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
    version: str = note(VERSION, "Version of littlebaby that wrote the file.")
    guid: Name = note(..., "Name of the run whose model generated the text.")
    time: AwareDatetime = Field(default_factory=now, description="Time of generation.")
    prompt: str = note("", "The prompt, before characters are replaced.")
    replaced: dict[str, str] = note({}, "Characters of the prompt that the tokenizer does not know, and their replacements.")
    text: str = note(..., "The generated text, without the prompt.")
    samples: list[str] = note([], "All generated texts, if there are several.")
    prompt_tokens: Count = note(0, "Length of the prompt.", "tokens")
    tokens: Count = note(0, "Length of the text.", "tokens")
    seed: int = note(0, "Seed of the random generator.")
    settings: Settings = note(Settings(), "Settings of sampling.")


class Message(BaseModel):
    model_config = STRICT
    role: Literal["system", "user", "assistant"] = note(..., "Role of the author.")
    content: str = note(..., "Text of the message.")


class Chat(BaseModel):
    """outputs/chat_GUID_yyyymmddhhmmss.jsonl: a conversation in one line, in the format of `finetune --chat`"""
    model_config = STRICT
    version: str = note(VERSION, "Version of littlebaby that wrote the file.")
    guid: Name = note(..., "Name of the run whose model generated the answers.")
    time: AwareDatetime = Field(default_factory=now, description="Time of the conversation.")
    template: str = note("", "Chat template with which the conversation was formatted.")
    messages: list[Message] = note(..., "Messages in order.")
    seed: int = note(0, "Seed of the random generator.")
    settings: Settings = note(Settings(), "Settings of sampling of the answers.")


FILES = dict(config=ConfigFile, tokenizer=TokenizerFile, model=ModelFile, report=Report, completion=Completion, chat=Chat)


def schemas():
    """{name: JSON Schema} of every kind of file; it does not contain the version of littlebaby"""
    made = {name: record.model_json_schema() for name, record in FILES.items()}
    for schema in made.values():
        schema["properties"].get("version", {}).pop("default", None)
    return made


def parse_record(record, data, where):
    """A record from the contents of a JSON file. BadInput: a field is missing or wrong; names the file `where` and the fields"""
    if not isinstance(data, dict):
        raise BadInput(f"{where} holds {'a list' if isinstance(data, list) else quoted(data)}, not a JSON object")
    try:
        return record(**data)
    except BadInput as error:
        raise BadInput("\n".join(f"{where}: {line}" for line in str(error).splitlines())) from None
    except ValidationError as error:
        raise BadInput("\n".join(f"{where}: {field_path(each['loc'])} is {quoted(each['input'])}: {each['msg'].lower()}"
                                 for each in error.errors()[:5])) from None


def field_path(keys):
    """The path of a field in a record, such as tensors.token.shape; in quotes if it is long or cannot be printed"""
    path = ".".join(map(str, keys))
    return path if path.isprintable() and len(path) < 100 else quoted(path)
