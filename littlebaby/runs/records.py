"""The records in the files of a run, apart from its settings: every field with its type, unit and meaning.

`littlebaby catalog --all` writes schemas/ from these records.
"""
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..errors import BadInput, quoted
from .settings import STRICT, Config

COMPLETE = ("finished", "early stop", "time limit")      # the values of stop_reason of a training that reached its end
DERIVED = "(?:_(?:finetuned|school)(?:_[0-9]{1,4})?)?"   # end of the name of a run that was derived from another one
NAME = f"[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}{DERIVED}"      # of a run
DIRECTION = "[a-z][a-z0-9-]{0,39}"                       # the name of a direction

try:
    VERSION = version("littlebaby")
except PackageNotFoundError:
    VERSION = "not installed"


def note(default, meaning, unit=""):
    """A field of a file: its default (... if it is required), its meaning and its unit"""
    return Field(default, description=meaning, json_schema_extra={"unit": unit})


# a measured number; one that is not finite is null in the file
Number = Annotated[float | None, BeforeValidator(lambda v: None if hasattr(v, "__float__") and not isfinite(v) else v)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=f"^{NAME}$")]


def now():
    return datetime.now(timezone.utc)


class ConfigFile(Config):
    """configs/config_GUID.json: all settings, defaults included"""
    version: str = note("", "Version of littlebaby that wrote the file.")
    guid: str = note("", "The run.")
    base: str = note("", "The run whose weights this one started from, empty for a training from scratch.")
    time: AwareDatetime | None = note(None, "Start of the run.")

    @property
    def config(self):
        return Config(**self.model_dump(include=set(Config.model_fields)))


class TokenizerFile(BaseModel):
    """tokenizers/tokenizer_GUID.json; each kind of tokenizer adds fields of its own"""
    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    version: str = note(VERSION, "Version of littlebaby that wrote the file.")
    guid: Name = note(..., "The run.")
    kind: Literal["char", "word", "bpe"] = note(..., "Kind of tokenizer: a token is a character, a word, or a sequence of bytes.")
    begin: str = note(..., "Text before every document.")
    vocabulary: list[str] = note(..., "The tokens in the order of their ids.")
    merges: list[str] = note([], "bpe: pairs of tokens that are merged, in the order of the merges.")
    special: list[str] = note([], "bpe: special tokens.")
    special_tokens: dict[str, Any] = note({}, "Imported models: the ids of bos, eos (all of them), pad and unk, the ids that "
                                              "its tokenizer adds around a prompt, and its chat template.")


class Tensor(BaseModel):
    """One weight: its place in the stream of bytes, shape and kind"""
    model_config = STRICT
    shape: list[Count] = note(..., "Its shape; matrices are (in, out).")
    dtype: Literal["float16", "float32", "float64"] = note(..., "Type of its numbers, little-endian.")
    kind: str = note(..., "Its kind, which decides how an optimizer treats it: matrix, table, head, vector, ...")
    trainable: bool = note(..., "Whether training changes it.")
    offset: Count = note(..., "Index of its first byte in the stream.", "bytes")


class Parameters(BaseModel):
    model_config = STRICT
    trainable: Count = note(..., "Number of weights that training changes.")
    frozen: Count = note(..., "Number of weights that training does not change.")
    total: Count = note(..., "Number of all weights.")


class ModelFile(BaseModel):
    """models/model_GUID.json: the manifest and, unless `file` names another file, the weights"""
    model_config = STRICT
    format: Literal[1] = note(1, "Version of this layout.")
    version: str = note(VERSION, "Version of littlebaby that wrote the file.")
    guid: Name = note(..., "The run.")
    time: AwareDatetime = Field(default_factory=now, description="Time of writing.")
    parameters: Parameters = note(..., "Numbers of weights.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="sha256 of the stream: the bytes of all weights in the order of `tensors`.")
    tensors: dict[str, Tensor] = note(..., "The weights by name, in the order of the stream.")
    file: str = note("", "safetensors: the file in the same folder that holds the weights.")
    blocks: list[str] = note([], "json: the stream in base64, in pieces.")
    lists: dict[str, Any] = note({}, "lists: the weights as nested lists of numbers.")


class Measures(BaseModel):
    """Learning from rewards and preferences: means over the steps since the last row"""
    model_config = STRICT
    reward: Number = note(None, "Mean reward of the samples.")
    reward_std: Number = note(None, "Standard deviation of their rewards.")
    kl: Number = note(None, "Estimated KL divergence of the model from the one at the start, per token.", "nats")
    entropy: Number = note(None, "Entropy of the next token, the mean over all tokens of the samples.", "nats")
    clipped: Number = note(None, "Fraction of the tokens whose gain was clipped.")
    length: Number = note(None, "Mean length of the samples.", "tokens")
    ended: Number = note(None, "Fraction of the samples that reached their end within n_answer tokens.")
    distinct: Number = note(None, "Fraction of the samples that are distinct.")
    failed: Number = note(None, "Samples per step for which the reward failed.")
    margin: Number = note(None, "Pairs: how much more the log-probability of the preferred text has grown than that of the other.", "nats")
    accuracy: Number = note(None, "Pairs: fraction in which it has grown more.")


class Marks(BaseModel):
    """How much of some generated texts follows the grammar of the nursery's stories"""
    model_config = STRICT
    words: Share = note(..., "Fraction of the words that are in the nursery's vocabulary.")
    sentences: Share = note(..., "Fraction of the sentences that are possible at their place in the story.")
    stories: Share = note(..., "Fraction of the stories that are correct from beginning to end.")
    mistakes: dict[str, Count] = note({}, "Number of stories whose first mistake is a wrong name or animal (who), a wrong toy or food "
                                          "(what), a wrong colour (color), or something else (other).", "stories")
    vocabulary: Count = note(0, "Number of different words of the nursery that occur in them.", "words")
    before_mistake: float = note(0.0, "Mean number of correct sentences of a story.", "sentences")
    plots: dict[str, Count] = note({}, "Number of stories of each plot; in the nursery all four are equally frequent.", "stories")


class SumMarks(BaseModel):
    """How much of some generated texts is correct arithmetic, for the nursery's sums"""
    model_config = STRICT
    answers: Share = note(..., "Fraction of the problems whose final answer is right.")
    steps: Share = note(..., "Fraction of the steps that follow from the expression before them.")
    mean_steps: float = note(..., "Mean number of steps of a problem.", "steps")


MARKS: dict[str, type[Marks | SumMarks]] = dict(stories=Marks, sums=SumMarks)    # by kind of nursery


class Evaluation(BaseModel):
    """The state of a training at one evaluation"""
    model_config = STRICT
    step: Count = note(..., "Steps so far.", "steps")
    tokens: Count = note(..., "Training targets so far.", "tokens")
    train_loss: Number = note(None, "Mean cross-entropy of the batches since the last evaluation, with dropout.", "nats")
    valid_loss: Number = note(None, "Cross-entropy over the validation windows, without dropout.", "nats")
    aux_loss: Number = note(None, "moe: load-balancing loss, the mean since the last row; not included in the losses above.", "nats")
    load: list[list[Count]] = note([], "moe: tokens routed to each expert since the last row, per layer; [] for a dense layer.",
                                   "tokens")
    bits_per_character: Number = note(None, "The validation loss in bits per character.", "bits")
    rate: Number = note(None, "Learning rate.")
    norm: Number = note(None, "Gradient norm of the last step, before clipping.")
    clipped: Share = note(0.0, "Fraction of the steps since the last row whose gradient was clipped.")
    skipped: Count = note(0, "Steps so far without a finite loss or gradient.", "steps")
    tokens_per_second: Number = note(None, "Speed since the last row.", "tokens/s")
    seconds: Number = note(None, "Time spent in steps so far.", "s")
    best: bool = note(False, "Whether no earlier row had a lower validation loss.")
    sample: str = note("", "Text that the model generated at this step.")
    marks: Marks | SumMarks | None = note(None, "How much of 64 texts is correct, if the input is from the nursery.")
    measures: Measures | None = note(None, "Learning from rewards and preferences: the means since the last row.")


class Input(BaseModel):
    model_config = STRICT
    name: str = note(..., "Name of the file.")
    bytes: Count = note(..., "Its size.", "bytes")
    characters: Count = note(..., "Its length.", "characters")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="sha256 of the file's bytes.")
    path: str = note("", "Path of the file relative to the workspace; empty if it is outside the workspace, and for several files.")


class Environment(BaseModel):
    model_config = STRICT
    device: str = note(..., "Description of the device.")
    python: str = note(..., "Version of Python.")
    platform: str = note("", "Operating system and machine.")
    libraries: dict[str, str] = note({}, "Versions of the libraries that are used.")
    threads: Count = note(0, "CPU cores that compute a step, on each rank.")
    ranks: Count = note(1, "MPI processes that trained together.")
    peak_memory: Count | None = note(None, "Peak memory of the process.", "bytes")


class Figures(BaseModel):
    """The final figures of a run"""
    model_config = STRICT
    parameters: Parameters = note(..., "Numbers of weights.")
    embedding: Count = note(0, "Parameters of the token and position tables.")
    parts: dict[str, Count] = note({}, "Parameters by part of the model.")
    flops_per_token: Number = note(None, "FLOPs of one token, forward and backward.", "FLOPs")
    flops: Number = note(None, "FLOPs of the whole run.", "FLOPs")
    memory: Count | None = note(None, "Estimated memory of a step.", "bytes")
    tokens: Count = note(0, "Training targets.", "tokens")
    tokens_per_parameter: Number = note(None, "Training targets per parameter; large models are best for their compute with about 20.")
    train_loss: Number = note(None, "Training loss of the last evaluation.", "nats")
    valid_loss: Number = note(None, "Validation loss of the weights that were kept.", "nats")
    bits_per_character: Number = note(None, "The same in bits per character.", "bits")
    seconds: Number = note(None, "Time spent in steps.", "s")
    tokens_per_second: Number = note(None, "Mean speed of the whole run.", "tokens/s")
    longest_overlap: Count | None = note(None, "Length of the longest substring of the completion that occurs in the input.", "characters")
    copied_share: Number = note(None, "Share of the completion's characters in passages of 50 or more that occur in the input.")
    overlap_share: Number = note(None, "Only in reports of version 0.1: the share of the completion's substrings of 50 characters that "
                                       "occur in the input.")


class Judgement(BaseModel):
    """Samples of a model at one moment, judged"""
    model_config = STRICT
    samples: Count = note(..., "Number of samples.")
    temperature: float = note(..., "Temperature of the sampling.")
    reward: Number = note(None, "Their mean reward; c_unfinished says how those without an end count.")
    reward_std: Number = note(None, "Standard deviation of their rewards.")
    ended: Share = note(..., "Fraction that reached their end within n_answer tokens.")
    length: Number = note(None, "Their mean length.", "tokens")
    distinct: Share = note(..., "Fraction of the samples that are distinct.")
    longest_overlap: Count | None = note(None, "Length of the longest passage of a sample that occurs in the training text.", "characters")
    copied_share: Number = note(None, "Share of their characters in passages of 50 or more that occur in the training text.")
    marks: Marks | SumMarks | None = note(None, "How much of them is correct, if the training text is from the nursery.")
    texts: list[str] = note([], "The first of them.")


class School(BaseModel):
    """What a run of `school` learned"""
    model_config = STRICT
    method: str = note(..., "Method: a file of training/school.")
    reward: str = note("", "Name of the reward, empty for given pairs.")
    pairs: Count = note(0, "Number of given pairs.")
    before: Judgement | None = note(None, "Samples of the model at the start.")
    after: Judgement | None = note(None, "Samples of the model at the end.")


class Report(BaseModel):
    """outputs/report_GUID.json"""
    model_config = STRICT
    version: str = note(VERSION, "Version of littlebaby that wrote the file.")
    guid: Name = note(..., "The run.")
    base: str = note("", "The run whose weights this one started from.")
    origin: str = note("", "The file or folder that an imported model came from.")
    started: AwareDatetime = Field(default_factory=now, description="Start of the run.")
    ended: AwareDatetime | None = note(None, "End of the run.")
    input: Input | None = note(None, "The training text.")
    tokenizer: str = note("", "Kind of tokenizer.")
    vocabulary: Count = note(0, "Size of the vocabulary.", "tokens")
    train_tokens: Count = note(0, "Size of the training split.", "tokens")
    valid_tokens: Count = note(0, "Size of the validation split.", "tokens")
    evaluations: list[Evaluation] = note([], "The evaluations during training.")
    base_evaluations: list[Evaluation] = note([], "The evaluations of the base.")
    best_step: Count = note(0, "The step whose weights were kept.", "steps")
    best_valid_loss: Number = note(None, "Their validation loss.", "nats")
    stop_reason: str = note("", "finished, early stop, time limit, interrupted, not finite, worker lost, failed, or imported.")
    nursery_floor: Number = note(None, "Entropy of the input where it is known: no model can have a lower loss.", "nats per token")
    judged: Judgement | None = note(None, "Texts of the model, judged, if the input is from the nursery.")
    marks: Marks | SumMarks | None = note(None, "Only in reports of version 0.1: how much of the completion is correct.")
    school: School | None = note(None, "Learning from rewards and preferences: method, reward, samples before and after.")
    environment: Environment | None = note(None, "Device, versions and memory.")
    remarks: list[str] = note([], "What the curves of the training mean and what to change next time, at most three sentences, the most "
                                  "important first.")
    figures: Figures | None = note(None, "The final figures.")


class Settings(BaseModel):
    """The sampling settings of a text"""
    model_config = STRICT
    max_tokens: Count = note(200, "Maximum number of tokens to generate.", "tokens")
    repetition_penalty: float = note(1.0, "Repetition penalty: lowers the logits of tokens that occurred before; 1 changes nothing.")
    temperature: float = note(1.0, "Temperature: logits are divided by it; below 1 favours likely tokens, above 1 unlikely ones; 0 always "
                                   "takes the most likely token.")
    top_k: Count = note(0, "Top-k sampling: keep only the k most likely tokens; 0 keeps all.")
    top_p: float = note(1.0, "Nucleus sampling: keep the smallest set of the most likely tokens whose probabilities sum to at least top_p.")
    min_p: float = note(0.0, "Min-p sampling: keep tokens with at least this fraction of the highest probability.")
    stop: list[str] = note([], "Strings that end generation.")


class Steering(BaseModel):
    """A direction that was added to the output of a layer, at every token"""
    model_config = STRICT
    name: str = note(..., "Name of the direction.")
    layer: Count = note(..., "The layer, from 0.")
    strength: float = note(..., "The factor of the direction.")


class Completion(BaseModel):
    """outputs/completion_GUID.json at the end of a training, outputs/completion_GUID_yyyymmddhhmmss.json for each inference"""
    model_config = STRICT
    version: str = note(VERSION, "Version of littlebaby that wrote the file.")
    guid: Name = note(..., "The run whose model generated it.")
    time: AwareDatetime = Field(default_factory=now, description="Time of generation.")
    prompt: str = note("", "The prompt, as given.")
    replaced: dict[str, str] = note({}, "Characters of the prompt that the tokenizer does not know, and their replacements.")
    spelled: list[str] = note([], "Words of the prompt that the tokenizer does not know, so that it reads their characters.")
    text: str = note(..., "The generated text, without the prompt.")
    samples: list[str] = note([], "All texts, if there are several.")
    prompt_tokens: Count = note(0, "Length of the prompt.", "tokens")
    tokens: Count = note(0, "Length of the text.", "tokens")
    seed: int = note(0, "Seed of the random numbers.")
    settings: Settings = note(Settings(), "Sampling settings.")
    steering: list[Steering] = note([], "The directions with which the model was steered.")
    file: str = Field(default="", exclude=True, description="Where the completion was saved; not part of the file.")


class Direction(BaseModel):
    """outputs/direction_NAME_GUID.json: a direction in the output of a layer, with which inference steers"""
    model_config = STRICT
    version: str = note(VERSION, "Version of littlebaby that wrote the file.")
    guid: Name = note(..., "The run in whose model it is a direction.")
    time: AwareDatetime = Field(default_factory=now, description="Time of writing.")
    name: str = Field(pattern=f"^{DIRECTION}$", description="Name of the direction.")
    layer: Count = note(..., "The layer, from 0.")
    more: list[str] = note(..., "Texts to whose mean output it points.")
    less: list[str] = note(..., "Texts from whose mean output it points.")
    norm: float = note(..., "Its length.")
    vector: list[float] = note(..., "Its n_emb numbers: the mean output for the texts `more` minus that for `less`.")


class Message(BaseModel):
    model_config = STRICT
    role: Literal["system", "user", "assistant"] = note(..., "Author of the message.")
    content: str = note(..., "Text of the message.")


class Chat(BaseModel):
    """outputs/chat_GUID_yyyymmddhhmmss.jsonl: a conversation in one line, in the format of `finetune --chat`"""
    model_config = STRICT
    version: str = note(VERSION, "Version of littlebaby that wrote the file.")
    guid: Name = note(..., "The run whose model answered.")
    time: AwareDatetime = Field(default_factory=now, description="Time of generation.")
    template: str = note("", "Chat template that formats the conversation.")
    messages: list[Message] = note(..., "The messages, in order.")
    seed: int = note(0, "Seed of the random numbers.")
    settings: Settings = note(Settings(), "Sampling settings of the answers.")


class ExerciseProgress(BaseModel):
    """What a learner has done in one exercise of the tour"""
    model_config = STRICT
    lesson: int = Field(ge=1, le=999, description="Number of the lesson.")
    number: int = Field(ge=1, le=999, description="Number of the exercise in its lesson.")
    attempts: Count = note(0, "Answers that were checked, up to and including the first correct one.")
    solved: bool = note(False, "Whether an answer was correct.")
    time: AwareDatetime | None = note(None, "Time of the first correct answer.")
    version: str = note(..., "Version of littlebaby that checked the last of these answers.")


class ProgressFile(BaseModel):
    """outputs/progress.json: the exercises of the tour that were tried in a workspace, without the answers"""
    model_config = STRICT
    exercises: list[ExerciseProgress] = note(..., "The exercises, by lesson and number.")


class SweepRun(BaseModel):
    model_config = STRICT
    guid: Name = note(..., "The run.")
    seed: Count = note(..., "Its seed.")
    error: str = note("", "Why it failed; empty for a run that is finished, or has still to be trained.")


class SweepCell(BaseModel):
    """A choice of settings"""
    model_config = STRICT
    settings: dict[str, Any] = note(..., "The settings in which it differs from `config`.")
    round: int = Field(1, ge=1, description="Successive halving: the round, from 1.")
    runs: list[SweepRun] = note(..., "Its runs, one for every seed.")


class SweepFile(BaseModel):
    """outputs/sweep_GUID.json: the runs of a sweep, written before the first of them begins and after each of them"""
    model_config = STRICT
    version: str = note(VERSION, "Version of littlebaby that wrote the file.")
    guid: Name = note(..., "Name of the sweep.")
    time: AwareDatetime = Field(default_factory=now, description="Start of the sweep.")
    plan: dict[str, Any] = note(..., "The plan, as given.")
    config: dict[str, Any] = note(..., "The settings that all runs share.")
    origin: dict[str, Any] = note(..., "The training text: path, size and sha256 of each file, and its encoding.")
    cells: list[SweepCell] = note(..., "The cells, in the order of their numbers.")
    finished: bool = note(False, "Whether all runs have ended.")
    table: list[dict[str, Any]] = note([], "The results so far: for every cell the mean and the standard deviation over its seeds.")


FILES = dict(config=ConfigFile, tokenizer=TokenizerFile, model=ModelFile, report=Report, completion=Completion, chat=Chat,
             direction=Direction, progress=ProgressFile, sweep=SweepFile)


def schemas():
    """{name: JSON Schema} of every kind of file, without the version of littlebaby"""
    made = {name: record.model_json_schema() for name, record in FILES.items()}
    for schema in made.values():
        schema["properties"].get("version", {}).pop("default", None)
    return made


def parse_record(record, data, where):
    """The record in the parsed contents of a JSON file; BadInput names the file and every wrong field"""
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
    """The path of a field in a record, quoted if it cannot be printed"""
    word = ".".join(map(str, keys))
    return word if word.isprintable() and len(word) < 100 else quoted(word)
