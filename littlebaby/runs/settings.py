"""The settings of a run: type, default, range, unit and meaning of each, and the error messages for wrong values.

`Config` is one flat record. The settings of all models are fields of `Common` below. A setting that only some variants use is declared in
the files of these variants in model/ and training/optimizers, as plain data:

    OPTIONS          {setting: (default, meaning, allowed, unit)}    allowed: (smallest, largest), or the words; none for true or false
    defaults(cfg)    {setting: value}, the values that replace 0
    check(cfg)       yields an error message for every value that does not fit; called only if the variant is chosen

So a new file in one of these folders adds its own settings.
"""
from difflib import get_close_matches
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator, model_validator

from ..errors import SEEDS, TOKENS, BadInput, nearest, not_a_divisor, out_of_range, parsed, quoted
from .aliases import ALIASES, OLD_VALUES, renamed

HERE = Path(__file__).parent
STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
GROUPS = ("model", "training", "school", "data", "device", "output")
PREFIXES = dict(c_="a choice, or for c_device_ a property of the device", n_="a number of things",
                r_="a real number: a rate, a ratio or a factor", s_="a size or a length, in numbers, tokens or steps", b_="true or false")

# the values of these settings are the names of the files in a folder
FOLDERS = dict(c_attention="model/attentions", c_network="model/networks", c_norm="model/norms", c_position="model/positions",
               c_optimizer="training/optimizers", c_school="training/school")
GROUP_OF = dict(c_optimizer="training", c_school="school")       # of the variants' settings; model for all others


def setting(group, default, meaning, least=None, most=None, unit="", variants=()):
    """One setting: its default, its meaning and, for a number, the smallest and the largest allowed value"""
    return Field(default, ge=least, le=most, description=meaning, json_schema_extra={"group": group, "unit": unit, "variants": [*variants]})


model, training, school, data, device, output = (partial(setting, group) for group in GROUPS)


class Common(BaseModel):
    """The settings that do not belong to a variant"""
    model_config = STRICT

    # model
    c_sequence: Literal["pre", "post"] = model(
        "pre", "Where a block normalizes: pre, before each sublayer (trains more stably), or post, after it, as in the 2017 Transformer.")
    c_attention: str = model("mha", "Attention variant: the name of a file in model/attentions.")
    c_network: str = model("mlp", "Feed-forward network of each block: the name of a file in model/networks. Most parameters are there.")
    c_norm: str = model("layernorm", "Normalization: the name of a file in model/norms; rmsnorm is a little faster.")
    c_position: str = model("learned", "Position encoding: the name of a file in model/positions.")
    n_vocab: int = model(0, "Vocabulary size; 0 uses the tokenizer's.", 0, 2**24, "tokens")
    n_ctx: int = model(256, "Context length: the largest number of tokens in the model's input. Time and memory of attention grow with its "
                            "square.", 2, 2**20, "tokens")
    n_emb: int = model(128, "Embedding width, the size of each token's vector. Parameters and time grow with its square.", 1, 2**16)
    head_size: int = model(0, "Total width of all attention heads; 0 means n_emb.", 0, 2**17)
    n_heads: int = model(4, "Number of attention heads, each head_size / n_heads wide; hardly changes the number of parameters.", 1, 1024)
    n_layers: int = model(4, "Number of blocks; parameters and time grow in proportion.", 1, 1024)
    r_hidden: float = model(4.0, "Hidden width of the network as a multiple of n_emb.", 0.01, 64)
    s_hidden: int = model(0, "Hidden width of the network; 0 means r_hidden * n_emb.", 0, 2**20)
    c_bias: Literal["none", "out", "all"] = model(
        "out", "Which linear layers add a bias: none of them, the output projections and the head (out), or all but the head, as in GPT-2 "
               "(all).")
    b_bias_attention_in: bool = model(False, "Biases on queries, keys and values even if c_bias is not all, as in Qwen 2.")
    b_bias_attention_out: bool = model(False, "A bias on the attention's output projection even if c_bias is none.")
    b_bias_network: bool = model(False, "Biases in the network even if c_bias is none.")
    b_bias_head: bool = model(False, "A bias on the head even if c_bias is not out; finetuning on a text with new tokens adds it.")
    b_scalar_head: bool = model(False, "A head with one output, the reward of a text, instead of one for every token; `school` trains such "
                                       "reward models.")
    b_norm_last: bool = model(False, "A norm before the head even if c_sequence is post; with pre there always is one.")
    norm_eps: float = model(0.0, "Epsilon of the norms, added to the variance; 0 means 1e-5 for layernorm and 1e-6 for rmsnorm.", 0, 0.1)
    b_tied: bool = model(False, "Use the token embedding as the head, too; saves n_vocab * n_emb parameters.")
    r_temp: float = model(1.0, "Temperature of the attention softmax: scores are divided by it; above 1 spreads attention, below 1 "
                               "sharpens it.", 0.01, 100)
    d_type: Literal["fp16", "fp32", "fp64"] = model(
        "fp32", "Number type. fp64 takes twice the memory and time. fp16 stores matrices in half precision for a GPU and keeps the main "
                "copy of the weights and all sums in fp32.")

    # training
    n_epochs: int = training(1, "Epochs: passes over the training tokens; time grows in proportion.", 1, 10**6)
    n_steps: int = training(0, "Number of optimizer steps, used instead of n_epochs; 0 uses n_epochs. Time grows in proportion.", 0, 10**9,
                            "steps")
    batch_size: int = training(8, "Windows of n_ctx tokens per batch; a larger batch gives a less noisy gradient and takes more time and "
                                  "memory.", 1, 2**16)
    n_accumulate: int = training(1, "Gradient accumulation: batches summed into one step; a larger batch without its memory.", 1, 2**16)
    r_dropout: float = training(0.0, "Dropout: the fraction of activations set to 0 in training; helps in trainings of many epochs.",
                                0, 0.99)
    c_optimizer: str = training("adamw", "Optimizer: the name of a file in training/optimizers.")
    r_learn: float = training(3e-3, "Peak learning rate: too high diverges, too low learns slowly.", 1e-9, 100)
    c_schedule: Literal["constant", "linear", "cosine", "wsd"] = training(
        "cosine", "Learning-rate schedule after the warm-up; wsd (warm-up, stable, decay) is constant until its last steps.")
    r_learn_min: float = training(0.1, "Final learning rate, as a fraction of r_learn.", 0, 1)
    s_warmup: Literal["none", "auto"] | int | float = training(
        "auto", "Warm-up: steps in which the learning rate rises linearly to r_learn: none, auto (2% of all steps, at least 10), a number "
                "of steps, or a fraction of all steps.", unit="steps")
    s_schedule_decay: int = training(0, "Steps in which wsd lowers the learning rate at the end; 0 means a fifth of all steps.", 0, 10**9,
                                     "steps")
    c_schedule_decay: Literal["linear", "1-sqrt"] = training("linear", "Shape of wsd's decay.")
    r_weight_decay: float = training(0.1, "Weight decay of matrices and embedding tables: shrinks weights towards 0 to reduce overfitting.",
                                     0, 10)
    r_clip: float = training(1.0, "Gradient clipping: a gradient with a larger norm is scaled down to this norm; 0 turns clipping off.",
                             0, 10**9)
    n_patience: int = training(0, "Early stopping: training stops after this many evaluations in a row without a better validation "
                                  "loss; 0 turns it off.", 0, 10**6)
    n_eval_windows: int = training(0, "Windows per evaluation; 0 means the whole validation split: exact, and slower.", 0, 10**9, "windows")
    r_eval_overlap: float = training(
        0.0, "Fraction of each evaluation window that is used as context and not scored: at 0.5 every token is scored with at least half a "
             "window of context, in twice the time. 0 is usual. Not used if c_pack is within.", 0, 0.95)
    s_eval: int = training(0, "Steps between evaluations; 0 means 20 evaluations in all.", 0, 10**9, "steps")
    s_checkpoint: int = training(0, "Steps between checkpoints; 0 means a checkpoint at each evaluation.", 0, 10**9, "steps")
    r_checkpoint_minutes: float = training(10.0, "A checkpoint is also written after this many minutes without one; 0 turns this off.",
                                           0, 10**6, "minutes")
    lora_rank: int = training(0, "LoRA: finetune adapters of this rank and freeze the model's own weights; 0 finetunes all weights.",
                              0, 2**16)
    lora_alpha: float = training(0.0, "LoRA: adapters are scaled by lora_alpha / lora_rank; 0 means twice lora_rank.", 0, 10**6)
    lora_targets: str = training("*.att.*", "LoRA: the matrices that get adapters: names or wildcards, separated by commas or spaces.")
    r_minutes: float = training(0.0, "Training ends after so many minutes of steps, if n_steps or n_epochs have not ended it before; 0 "
                                     "turns this off. The learning-rate schedule does not know of it. On a command line --minutes is the "
                                     "same.", 0, 10**6, "minutes")
    seed: int = training(0, "Random seed: the same seed gives the same run.", 0, SEEDS)

    # school: learning from rewards and preferences
    c_school: str = school("grpo", "Method of learning from rewards or preferences: the name of a file in training/school.")
    c_reward: Literal["nursery", "sums", "format", "length", "function", "model"] = school(
        "nursery", "Reward of a text: nursery (correct sentences and correct stories), sums (the right answer), format, length; "
                   "function, one given in Python; model, a reward model, given by its GUID.")
    n_per_prompt: int = school(0, "Samples of the same prompt, which are compared with each other; 0 means all samples of a step, or 2 "
                                  "for dpo.", 0, 2**16)
    n_answer: int = school(0, "Largest length of a sample; 0 means as long as n_ctx permits.", 0, 2**20, "tokens")
    n_updates: int = school(1, "Optimizer steps from the samples of one sampling.", 1, 1024)
    c_unfinished: Literal["zero", "judge", "skip"] = school(
        "zero", "Samples that have not ended after n_answer tokens: zero gives them the reward 0, judge judges them like the others, skip "
                "learns nothing from them.")
    c_reward_failure: Literal["stop", "skip"] = school(
        "stop", "If the reward raises an exception or returns no finite number: stop the run, or skip the sample.")

    # data
    c_tokenizer: str = data("char", "Tokenizer: char, word, bpe, or the path of a tokenizer.json.")
    s_vocabulary: int = data(4096, "Vocabulary size of word and bpe tokenizers; larger means fewer tokens per text and a slower head.",
                             2, 2**24, "tokens")
    c_unknown: Literal["replace", "error"] = data(
        "replace", "Characters that the tokenizer does not know: replace them by the nearest known form, or stop with an error.")
    c_field: str = data("text", "The field of .jsonl lines or column of .parquet rows that holds the text.")
    c_shuffle: Literal["none", "documents", "windows"] = data(
        "none", "What is shuffled before the training-validation split: nothing (none), documents, or sections of 10 * n_ctx tokens "
                "(windows).")
    c_pack: Literal["across", "within"] = data(
        "across", "How documents fill windows: a window can contain parts of several documents (across), or of one document only (within), "
                  "and is padded if the rest of the document is shorter than a window.")
    r_split: float = data(0.9, "Fraction of the text that is trained on; the rest is for validation.", 0.01, 1)
    c_template: Literal["kodalite", "chatml", "plain", "line"] = data(
        "kodalite", "Chat template: marks such as <|user|> (kodalite), those of ChatML (chatml), or the names of the roles, for small "
                    "vocabularies, with empty lines between messages (plain) or only after an answer (line).")
    stride: int = data(0, "Tokens from the start of one training window to the next; 0 means n_ctx; 1 uses each token n_ctx times.",
                       0, 2**20, "tokens")

    # device
    c_device: Literal["cpu", "gpu", "auto"] = device("auto", "Where to compute; auto uses a GPU if there is one.")
    c_device_cpu_cores: int = device(0, "CPU cores to use; 0 means all.", 0, 4096)
    c_device_gpu_core: int = device(0, "Index of the GPU to use, counted from 0.", 0, 1023)
    c_device_gpu_tensor: bool = device(False, "Let the GPU multiply matrices in TF32: faster, with about three digits of precision.")

    # output
    c_snapshot: Literal["auto", "json", "safetensors", "lists"] = output(
        "auto", "Format of the model file; auto is json below 8 million parameters and safetensors from there on.")
    b_keep_last: bool = output(False, "Keep the checkpoint with the last weights when a run has finished.")
    n_sample: int = output(80, "Tokens of the sample generated at each evaluation; 0 for none.", 0, 10**6, "tokens")
    n_completion: int = output(1000, "Tokens of the completion generated at the end of training; 0 for none.", 0, TOKENS, "tokens")


@cache
def module_of(key: str, name: str) -> ModuleType:
    """The module that a setting chooses: module_of("c_attention", "mha") -> littlebaby.model.attentions.mha"""
    return import_module(f"littlebaby.{FOLDERS[key].replace('/', '.')}.{name}")


def files_of(key: str) -> list[str]:
    """The names of the files that a setting may choose"""
    return sorted(module.name for module in iter_modules([str(HERE.parent / FOLDERS[key])]))


def variant_settings() -> dict[str, Any]:
    """{setting: (type, field)} of all OPTIONS of the variants, for pydantic; several files may declare the same setting"""
    fields: dict[str, Any] = {}
    for key in FOLDERS:
        declared: dict[str, tuple] = {}
        owners: dict[str, list[str]] = {}
        for name in files_of(key):
            for option, entry in getattr(module_of(key, name), "OPTIONS", {}).items():
                if declared.setdefault(option, entry) != entry:
                    raise TypeError(f"{option} is declared in {FOLDERS[key]}/{name}.py and differently in {owners[option][0]}.py")
                owners.setdefault(option, []).append(name)
        for option, entry in declared.items():
            default, meaning, allowed, unit = entry + (None, None, None, "")[len(entry):]
            words = allowed if isinstance(default, str) else None
            group = GROUP_OF.get(key, "model")
            least, most = (None, None) if words or not allowed else allowed
            fields[option] = (Literal[words] if words else type(default)), setting(group, default, meaning, least, most, unit,
                                                                                   [key, *owners[option]])
    return fields


class Config(create_model("VariantSettings", __base__=Common, __module__=__name__, **variant_settings())):  # type: ignore[misc]
    """All settings of a run. If 0 means that a rule computes the value, a Config contains the computed value.

    Raises errors.BadInput with one line for every wrong setting.

    >>> Config(n_emb=64, n_heads=2).head_size
    64
    """

    def __init__(self, /, **settings: Any):
        try:
            super().__init__(**renamed(settings))
        except ValidationError as error:
            raise BadInput("\n".join(dict.fromkeys(error_sentence(each) for each in error.errors()))) from None

    @field_validator("*", mode="before")
    @classmethod
    def is_a_number(cls, value, info):
        kind = cls.model_fields[info.field_name].annotation
        if kind in (int, float) or (kind is not bool and isinstance(value, bool)):
            value = parsed(value)
            if value is None:
                raise ValueError
        return value

    @field_validator(*FOLDERS)
    @classmethod
    def is_a_file_of_its_folder(cls, value, info):
        value = OLD_VALUES.get(info.field_name, {}).get(value, value)
        if value not in allowed(info.field_name):
            raise ValueError
        return value

    @field_validator("c_tokenizer")
    @classmethod
    def is_a_kind_or_a_file(cls, value):
        if value not in allowed("c_tokenizer") and not value.endswith(".json"):
            raise ValueError
        return value

    @field_validator("s_warmup")
    @classmethod
    def is_steps_or_a_fraction(cls, value):
        if isinstance(value, str) or 0 < value < 1:
            return value
        if value != int(value) or not 0 <= value <= 10**9:
            raise ValueError
        return int(value)

    @model_validator(mode="after")
    def apply_rules_and_check(self):
        modules = {key: module_of(key, getattr(self, key)) for key in FOLDERS}
        self.fill("head_size", self.n_emb)
        self.fill("norm_eps", modules["c_norm"].EPS)
        self.fill("lora_alpha", 2.0 * self.lora_rank)
        for rule in DEFAULTS:
            for name, value in rule(self).items():
                self.fill(name, value)
        wrong = [not_a_divisor("n_heads", self.n_heads, "head_size", self.head_size)] if self.head_size % self.n_heads else []
        for module in modules.values():
            wrong += module.check(self) if hasattr(module, "check") else []
        if wrong:
            raise BadInput("\n".join(wrong))
        return self

    def fill(self, name: str, value) -> None:
        """Set a setting that is 0 to the value of its rule. The field then counts as not given, so that `replace` applies the rule again"""
        if not getattr(self, name):
            self.__dict__[name] = value
            self.__pydantic_fields_set__.discard(name)

    def replace(self, **changes: Any) -> "Config":
        """A Config with these changes, checked; values that a rule filled in are computed again. Raises errors.BadInput"""
        return Config(**self.model_dump(exclude_unset=True) | renamed(changes))

    @property
    def hidden(self) -> int:
        """F, the hidden width of a network"""
        return self.s_hidden or max(1, round(self.r_hidden * self.n_emb))

    @property
    def network_bias(self) -> bool:
        """Whether the linear layers of a network add a bias"""
        return self.c_bias != "none" or self.b_bias_network

    @property
    def needs_scores(self) -> bool:
        """Whether the optimizer needs the largest attention score of each head"""
        return hasattr(module_of("c_optimizer", self.c_optimizer), "NEEDS_SCORES")

    @property
    def head_width(self) -> int:
        """d, the width of one head"""
        return self.head_size // self.n_heads


DEFAULTS = [module.defaults for key in FOLDERS for name in files_of(key) if hasattr(module := module_of(key, name), "defaults")]


# describing settings, for tables, help and panels

class Key(NamedTuple):
    """The description of one setting"""
    name: str
    group: str                  # one of GROUPS
    default: Any
    allowed: str
    unit: str
    meaning: str
    variants: tuple[str, ...]   # () or, for the setting of variants, what chooses them and their names: ("c_attention", "rfa", "swa")


def keys() -> list[Key]:
    """The descriptions of all settings, in the order of `Config`"""
    def described(name, field):
        extra = field.json_schema_extra
        return Key(name, extra["group"], field.default, allowed_in_words(name), extra["unit"], field.description, tuple(extra["variants"]))

    return [described(name, field) for name, field in Config.model_fields.items()]


def sections(chosen: dict[str, str] | None = None) -> dict[str, list[Key]]:
    """{title: settings} in the order in which help and panel show them: each group, followed by the settings of its chosen variants;
    last, the settings of the variants that are not chosen.

    chosen: {"c_attention": name, ...}; a key that is missing means its default
    """
    chosen = {key: (chosen or {}).get(key, Config.model_fields[key].default) for key in FOLDERS}
    found: dict[str, list[Key]] = {group: [] for group in GROUPS}
    places = {group: (place, 0) for place, group in enumerate(GROUPS)}
    for key in keys():
        title, place = key.group, places[key.group]
        if key.variants:
            kind, *names = key.variants
            title, place = f"{kind.removeprefix('c_')} {', '.join(names)}", (place[0], 1) if chosen[kind] in names else (len(GROUPS), 0)
        found.setdefault(title, []).append(key)
        places.setdefault(title, place)
    return {title: found[title] for title in sorted(found, key=lambda title: places[title])}


def allowed(name: str) -> list[str]:
    """The allowed words of a setting, [] if its values are not words: allowed("c_norm") -> ["layernorm", "rmsnorm"]"""
    if name in FOLDERS:
        return files_of(name)
    if name == "c_tokenizer":
        return ["bpe", "char", "word"]
    kind = Config.model_fields[name].annotation
    return list(get_args(kind)) if get_origin(kind) is Literal else []


def limits(name: str) -> tuple[Any, Any]:
    """The smallest and the largest allowed value of a setting, (None, None) if it is not a number"""
    found = {end: getattr(m, end) for m in Config.model_fields[name].metadata for end in ("ge", "le") if hasattr(m, end)}
    return found.get("ge"), found.get("le")


def allowed_in_words(name: str) -> str:
    """The allowed values of a setting, in words"""
    if name == "s_warmup":
        return "none, auto, a number of steps or a fraction between 0 and 1"
    if name == "c_tokenizer":
        return "bpe, char, word or the path of a tokenizer.json"
    if name == "c_field":
        return "a name"
    if name == "lora_targets":
        return "names or wildcards such as *.att.*, blocks.0.net.up"
    if words := allowed(name):
        return ", ".join(words)
    kind = Config.model_fields[name].annotation
    if kind is bool:
        return "true or false"
    least, most = limits(name)
    return f"{'a whole number' if kind is int else 'a number'} from {least:,} to {most:,}"


def prefixes_in_words() -> str:
    """The meanings of the prefixes of settings, in one sentence"""
    kinds = "; ".join(f"{prefix} {meaning}" for prefix, meaning in PREFIXES.items())
    return f"The prefix of a setting, if it has one, gives its kind: {kinds}."


# error messages

def error_sentence(error) -> str:
    """The message for an error of pydantic, one line: the setting, its value, the allowed values, the nearest of them"""
    if not error["loc"]:
        return str(error.get("ctx", {}).get("error", error["msg"]))
    name, value = error["loc"][0], error["input"]
    if error["type"] == "extra_forbidden":
        return unknown_setting(name)
    if name not in Config.model_fields:
        return f"{name} is {quoted(value)}: {error['msg'].lower()}"
    if allowed(name) and name != "c_tokenizer":
        return nearest(name, value, allowed(name))
    least, most = limits(name)
    if least is not None:
        return out_of_range(name, value, least, most, Config.model_fields[name].annotation is int)
    near = get_close_matches(value, allowed(name) or ["none", "auto"], 1, 0.5) if isinstance(value, str) else []
    return f"{name} is {quoted(value)}; allowed is {allowed_in_words(name)}" + (f"; did you mean {near[0]}?" if near else "")


def unknown_setting(name: str) -> str:
    """The message for a name that is not the name of a setting"""
    near = get_close_matches(name, [*Config.model_fields, *ALIASES], 1, 0.5)
    return f"{quoted(name)} is not a setting" + (f"; did you mean {ALIASES.get(near[0], near[0])}?" if near
                                                 else "; `littlebaby catalog config` lists all settings")
