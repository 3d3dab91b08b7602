"""What the files hold: every setting of a run with type, range, default, unit and meaning, and the shape of everything it leaves behind.

Config is what a run is made from; it knows its own ranges and tells all that is wrong with it at once. The other records are the
contents of a run's files. `python -c "from littlebaby.runs.store import write_schemas; write_schemas()"` writes schemas/ from them.
"""
import json
from datetime import datetime, timezone
from difflib import get_close_matches
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import BadInput, nearest

HERE = Path(__file__).parent
STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
GROUPS = ("model", "training", "data", "device", "output")

# where the folder is the registry: a file there is a value here
FOLDERS = dict(c_attention="model/attentions", c_network="model/networks", c_norm="model/norms", c_position="model/positions",
               c_optimizer="learning/optimizers")

# what older systems and other people call the same thing
ALIASES = dict(s_head="head_size", s_batch="batch_size", s_emb="n_emb", s_ctx="n_ctx", dropout="r_dropout", lr="r_learn",
               learning_rate="r_learn", num_epochs="n_epochs", n_embd="n_emb", block_size="n_ctx", n_head="n_heads", n_layer="n_layers",
               n_kv_head="n_kv_heads", vocab_size="n_vocab", max_iters="n_steps", weight_decay="r_decay", grad_clip="r_clip",
               warmup="s_warmup", c_tokeniser="c_tokenizer")
OLD_VALUES = dict(c_attention=dict(lda="gla"), c_network=dict(lin="gln"))

try:
    VERSION = version("littlebaby")
except PackageNotFoundError:
    VERSION = "not installed"


def key(group, default, meaning, least=None, most=None, unit=""):
    """One setting: its default, what it does, and where it can be measured the range, both ends included"""
    return Field(default, ge=least, le=most, description=meaning, json_schema_extra={"group": group, "unit": unit})


model, training, data, device, output = (partial(key, group) for group in GROUPS)


class Config(BaseModel):
    """Every setting of a run. Where 0 stands for a rule, the rule is applied at once: a Config holds final values.

    >>> Config(n_emb=64, n_heads=2).head_size
    64
    """
    model_config = STRICT

    # model
    c_sequence: Literal["pre", "post"] = model("pre", "Normalise before each sublayer (steady training) or after it, as in 2017.")
    c_attention: str = model("mha", "How tokens look at earlier tokens: a file in model/attentions.")
    c_network: str = model("mlp", "What is done with each token alone: a file in model/networks; it holds most of the parameters.")
    c_norm: str = model("layernorm", "What keeps activations at a steady size: a file in model/norms; rmsnorm is a little faster.")
    c_position: str = model("learned", "How the model knows the order of tokens: a file in model/positions.")
    n_vocab: int = model(0, "Size of the vocabulary; 0 takes the tokenizer's.", 0, 2**24, "tokens")
    n_ctx: int = model(256, "How far the model looks back; attention's cost and memory grow with its square.", 2, 2**20, "tokens")
    n_emb: int = model(128, "Width of a token inside the model; parameters and time grow with its square.", 1, 2**16)
    head_size: int = model(0, "Width of all attention heads together; 0 means n_emb.", 0, 2**17)
    n_heads: int = model(4, "Attention heads, which share head_size among them; no effect on the number of parameters.", 1, 1024)
    n_kv_heads: int = model(0, "Key and value heads of gqa; 0 means a quarter of n_heads; fewer make a smaller cache.", 0, 1024)
    n_layers: int = model(4, "Blocks on top of each other; parameters and time grow in proportion.", 1, 1024)
    r_hidden: float = model(4.0, "Hidden width of a network as a multiple of n_emb; two thirds of a block at 4.", 0.01, 64)
    s_hidden: int = model(0, "Hidden width of a network in numbers, in place of r_hidden; 0 leaves it to r_hidden.", 0, 2**20)
    c_activation: Literal["gelu", "gelu_exact", "relu", "relu2", "silu"] = model("gelu", "The bend of an mlp; relu is the fastest.")
    c_bias: Literal["none", "out", "all"] = model(
        "out", "Which products add a bias: none, output projections and head, or all as in GPT-2; next to no cost.")
    b_bias_attention_out: bool = model(False, "A bias on the attention's output even where c_bias is none.")
    norm_eps: float = model(0.0, "Added to a variance before its root; 0 means 1e-5 for layernorm and 1e-6 for rmsnorm.", 0, 0.1)
    rope_base: float = model(10000.0, "The slowest wavelength of rope; larger ones reach further back.", 1, 10**9)
    rope_layout: Literal["half", "interleaved"] = model("half", "Which numbers rope turns together: halves as llama, or neighbours.")
    b_tied: bool = model(False, "Use the token table as the head too; saves n_vocab x n_emb parameters.")
    r_temp: float = model(1.0, "Temperature of attention: above 1 it looks at more tokens, below 1 at fewer.", 0.01, 100)
    d_type: Literal["fp32", "fp64"] = model("fp32", "Type of weights and sums; fp64 is twice as large and half as fast.")

    # training
    n_epochs: int = training(1, "Passes over the training tokens; time grows in proportion.", 1, 10**6)
    n_steps: int = training(0, "Updates of the weights, in place of n_epochs; 0 leaves it to n_epochs.", 0, 10**9, "steps")
    batch_size: int = training(8, "Windows per step; a larger one steadies the gradient, takes longer and needs more memory.", 1, 2**16)
    n_accumulate: int = training(1, "Batches summed into one step: a larger batch without its memory.", 1, 2**16)
    r_dropout: float = training(0.0, "Share of activations dropped while training; helps where a text is read many times.", 0, 0.99)
    c_optimizer: str = training("adamw", "How gradients change weights: a file in learning/optimizers.")
    r_learn: float = training(3e-3, "Learning rate at its highest; too high diverges, too low is slow.", 1e-9, 100)
    c_schedule: Literal["constant", "linear", "cosine", "wsd"] = training("cosine", "How the learning rate falls after the warm-up.")
    r_learn_min: float = training(0.1, "Where the learning rate ends, as a fraction of r_learn.", 0, 1)
    s_warmup: Literal["none", "auto"] | int | float = training(
        "auto", "Steps in which the learning rate rises: none, auto (2%, at least 10), a number, or a fraction of all.", unit="steps")
    s_decay: int = training(0, "Steps in which wsd falls at the end; 0 means a fifth of all.", 0, 10**9, "steps")
    c_decay: Literal["linear", "1-sqrt"] = training("linear", "The shape of wsd's fall.")
    r_beta1: float = training(0.9, "Memory of adamw's mean gradient: 0.9 looks back about 10 steps.", 0, 0.99999)
    r_beta2: float = training(0.99, "Memory of adamw's mean square: 0.99 looks back about 100 steps.", 0, 0.999999)
    r_eps: float = training(1e-8, "Keeps adamw from dividing by nothing.", 1e-16, 1)
    r_decay: float = training(0.1, "Weight decay of matrices and tables: pulls weights to 0, so that fewer are learned by heart.", 0, 10)
    r_momentum: float = training(0.9, "Memory of sgd's mean gradient.", 0, 0.99999)
    b_nesterov: bool = training(False, "Let sgd look one step ahead.")
    r_clip: float = training(1.0, "Longest gradient that is used as it is; longer ones are shortened; 0 never does.", 0, 10**9)
    n_patience: int = training(0, "Evaluations without a better validation loss after which training stops; 0 never does.", 0, 10**6)
    n_eval: int = training(0, "Windows per evaluation; 0 means the whole validation split, exact and slower.", 0, 10**9, "windows")
    s_eval: int = training(0, "Steps between evaluations; 0 means twenty evaluations in all.", 0, 10**9, "steps")
    s_checkpoint: int = training(0, "Steps between checkpoints; 0 means one at each evaluation.", 0, 10**9, "steps")
    seed: int = training(0, "Where all randomness starts: the same seed gives the same run.", 0, 2**63 - 1)

    # data
    c_tokenizer: str = data("char", "How text becomes tokens: char, word, bpe, or the path of a tokenizer.json.")
    s_vocabulary: int = data(4096, "Symbols that word and bpe may learn; more make texts shorter and the head slower.", 2, 2**24, "tokens")
    c_unknown: Literal["replace", "error"] = data("replace", "Unknown symbols become their nearest known form, or an error.")
    c_shuffle: Literal["none", "documents", "windows"] = data(
        "none", "What is shuffled before the split: nothing, documents, or stretches of 10 n_ctx.")
    r_split: float = data(0.9, "Share of the text that is trained on; the rest validates.", 0.01, 1)
    stride: int = data(0, "Distance between the windows of an epoch; 0 means n_ctx, 1 shows each token n_ctx times.", 0, 2**20, "tokens")

    # device
    c_device: Literal["cpu", "gpu", "auto"] = device("auto", "Where to compute; auto takes a GPU if there is one.")
    c_device_cpu_cores: int = device(0, "Processor cores to use; 0 means all.", 0, 4096)
    c_device_gpu_core: int = device(0, "Number of the GPU to use, counted from 0.", 0, 1023)
    c_device_gpu_tensor: bool = device(False, "Let a GPU multiply in tf32: faster, with about three digits.")

    # output
    c_snapshot: Literal["auto", "json", "safetensors", "lists"] = output(
        "auto", "Form of the model file: auto is json below 8 million parameters, safetensors from there on.")
    b_keep_last: bool = output(False, "Keep the checkpoint with the last weights when a run ends well.")
    n_sample: int = output(80, "Tokens of the sample at each evaluation; 0 for none.", 0, 10**6, "tokens")
    n_completion: int = output(1000, "Tokens written at the end of training; 0 for none.", 0, 10**7, "tokens")

    def __init__(self, /, **settings: Any):
        try:
            super().__init__(**renamed(settings))
        except ValidationError as error:
            raise BadInput("\n".join(dict.fromkeys(complaint(each) for each in error.errors()))) from None

    @field_validator(*FOLDERS)
    @classmethod
    def lies_in_its_folder(cls, value, info):
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
    def fits_together(self):
        self.fill("head_size", self.n_emb)
        self.fill("n_kv_heads", max(n for n in divisors(self.n_heads) if n <= max(1, self.n_heads // 4)))
        self.fill("norm_eps", 1e-5 if self.c_norm == "layernorm" else 1e-6)
        width, wrong = self.head_size // self.n_heads, []
        if self.head_size % self.n_heads:
            wrong.append(f"n_heads is {self.n_heads}; allowed are divisors of head_size, {self.head_size}; "
                         f"did you mean {closest(self.n_heads, divisors(self.head_size))}?")
        elif self.c_position == "rope" and width % 2:
            even = [n for n in divisors(self.head_size) if self.head_size // n % 2 == 0]
            wrong.append(f"n_heads is {self.n_heads}, which makes heads {width} wide; rope turns pairs and allows even widths only; "
                         + (f"did you mean {closest(self.n_heads, even)}?" if even else f"did you mean head_size {self.head_size + 1}?"))
        if self.n_heads % self.n_kv_heads:
            wrong.append(f"n_kv_heads is {self.n_kv_heads}; allowed are divisors of n_heads, {self.n_heads}; "
                         f"did you mean {closest(self.n_kv_heads, divisors(self.n_heads))}?")
        if wrong:
            raise BadInput("\n".join(wrong))
        return self

    def fill(self, name, value):
        """Put a rule's value where 0 asks for it; the field then counts as not chosen, so that `replace` applies the rule anew"""
        if not getattr(self, name):
            self.__dict__[name] = value
            self.__pydantic_fields_set__.discard(name)

    def replace(self, **changes: Any):
        """The same settings but for these, checked; what a rule has filled in follows what it depends on"""
        return Config(**{name: getattr(self, name) for name in Config.model_fields if name in self.model_fields_set} | renamed(changes))

    @property
    def hidden(self):
        """F, the hidden width of a network"""
        return self.s_hidden or max(1, round(self.r_hidden * self.n_emb))

    @property
    def head_width(self):
        """d, the width of one head"""
        return self.head_size // self.n_heads


# what is told about settings, right or wrong

class Key(NamedTuple):
    name: str
    group: str       # one of GROUPS
    default: Any
    allowed: str     # in words
    unit: str
    meaning: str


def keys():
    """Every setting, for tables, help texts and panels"""
    fields = Config.model_fields
    extra = lambda name: fields[name].json_schema_extra
    return [Key(name, extra(name)["group"], fields[name].default, in_words(name), extra(name)["unit"], fields[name].description)
            for name in fields]


def allowed(name):
    """The words that a setting may be, [] where it is no choice between words: allowed("c_attention") -> ["gqa", "mha"]"""
    if name in FOLDERS:
        return sorted(module.name for module in iter_modules([str(HERE.parent / FOLDERS[name])]))
    if name == "c_tokenizer":
        return ["bpe", "char", "word"]
    kind = Config.model_fields[name].annotation
    return list(get_args(kind)) if get_origin(kind) is Literal else []


def limits(name):
    """The smallest and the largest value of a number, (None, None) for what is none"""
    found = {end: getattr(m, end) for m in Config.model_fields[name].metadata for end in ("ge", "le") if hasattr(m, end)}
    return found.get("ge"), found.get("le")


def in_words(name):
    """What a setting may be, said in words"""
    if name == "s_warmup":
        return "none, auto, a number of steps or a fraction between 0 and 1"
    if name == "c_tokenizer":
        return "bpe, char, word or the path of a tokenizer.json"
    if words := allowed(name):
        return ", ".join(words)
    kind = Config.model_fields[name].annotation
    if kind is bool:
        return "true or false"
    least, most = limits(name)
    return f"{'a whole number' if kind is int else 'a number'} from {least:,} to {most:,}"


def complaint(error):
    """One line for one of pydantic's errors: the key, the value, what is allowed, the nearest right one"""
    if not error["loc"]:
        return str(error["ctx"]["error"])
    name, value = error["loc"][0], error["input"]
    if error["type"] == "extra_forbidden":
        return unknown(name)
    if allowed(name) and name != "c_tokenizer":
        return nearest(name, value, allowed(name))
    words, (least, most) = allowed(name) or ["none", "auto"], limits(name)
    near = get_close_matches(str(value), words, 1, 0.5) if isinstance(value, str) and least is None else []
    if least is not None and isinstance(value, int | float) and value == value:
        near = [min(max(value, least), most)]
        if Config.model_fields[name].annotation is int:
            near = [round(near[0])]
    return f"{name} is {shown(value)}; allowed is {in_words(name)}" + (f"; did you mean {near[0]}?" if near else "")


def unknown(name):
    near = get_close_matches(name, [*Config.model_fields, *ALIASES], 1, 0.5)
    return f"{shown(name)} is no setting" + (f"; did you mean {ALIASES.get(near[0], near[0])}?" if near
                                             else "; `littlebaby catalog` lists them all")


def renamed(settings):
    """The same settings under their present names; both an old and the present name of one is refused"""
    new = {}
    for name, value in settings.items():
        right = ALIASES.get(name, name)
        if right in new:
            raise BadInput(f"{right} is given twice, once under another name ({', '.join(n for n in settings if ALIASES.get(n) == right)})")
        new[right] = value
    return new


def shown(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def divisors(n):
    return [i for i in range(1, n + 1) if n % i == 0]


def closest(value, choices):
    return min(choices, key=lambda each: (abs(each - value), each))


# presets: presets/*.json, an "about" and the settings that differ from the defaults

def presets():
    """{name: what it is}"""
    return {path.stem: json.loads(path.read_text("utf-8"))["about"] for path in sorted((HERE / "presets").glob("*.json"))}


def preset(name):
    """The settings of a preset; `Config(**preset("gpt2"))` is the whole of it. BadInput for a name that is none"""
    if name not in presets():
        raise BadInput(nearest("preset", name, presets()))
    settings = json.loads((HERE / "presets" / f"{name}.json").read_text("utf-8"))
    del settings["about"]
    return settings
