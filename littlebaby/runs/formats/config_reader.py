"""ConfigReader: typed access to the settings of a foreign config.json. Every error is one sentence that names the file and the key.

Also here is what several formats read in the same way: the scaling of rope, and sizes that are read from the shapes of the weights.
"""
from math import log
from pathlib import Path
from typing import Any

from ...errors import BadInput, nearest, quoted
from .tensors import Arrays
from .transformers_configs import ROPE_BASE

ACTIVATIONS = dict(gelu_new="gelu", gelu_pytorch_tanh="gelu", gelu_fast="gelu", gelu="gelu_exact", relu="relu", relu2="relu2",
                   silu="silu", swish="silu")
MAX_CONTEXT = 2**20                      # tokens; a longer context length is lowered to this
ROPE_SCALINGS = ("linear", "llama3", "yarn")
REQUIRED: Any = ...                      # the default of a key that must be there


class ConfigReader:
    """The settings of a foreign file, read one key at a time; a null counts as missing

    data: {key: value}      where: the file that the errors name
    """

    def __init__(self, data: dict[str, Any], where: Path | str) -> None:
        self.data, self.where = data, where

    def get(self, key: str, default: Any = REQUIRED) -> Any:
        """The value of a key. BadInput where it is missing and there is no default"""
        value = self.data.get(key)
        if value is None:
            value = default
        if value is REQUIRED:
            raise BadInput(f"{self.where} lacks {key!r}")
        return value

    def integer(self, key: str, default: Any = REQUIRED) -> Any:
        """A whole number, or the default. BadInput for another type, or beyond ±2^40"""
        return self.typed(key, default, int, "a whole number")

    def number(self, key: str, default: Any = REQUIRED) -> Any:
        """An int or a float, or the default. BadInput for another type, or beyond ±2^40"""
        return self.typed(key, default, (int, float), "a number")

    def typed(self, key: str, default: Any, kind: Any, kind_in_words: str) -> Any:
        """A number of this Python type (or one of several), or the default"""
        value = self.get(key, default)
        if value is not default and (isinstance(value, bool) or not isinstance(value, kind) or abs(value) > 2**40):
            raise BadInput(f"{self.where}: {key} is {quoted(value)} and should be {kind_in_words}")
        return value

    def require(self, key: str, allowed: tuple, meaning: str, default: Any = REQUIRED) -> None:
        """BadInput unless the value is one of `allowed`; a missing key counts as `default`, or as the first of them

        meaning: the part of the sentence that says what another value would mean
        """
        value = self.data.get(key, allowed[0] if default is REQUIRED else default)
        if value not in allowed:
            raise BadInput(f"{self.where}: {key} is {quoted(value)}, {meaning}; littlebaby supports {key} "
                           f"{' or '.join(str(each).lower() for each in allowed)}")

    def activation(self, key: str) -> str:
        """The c_activation of the name that transformers has for it. BadInput for another name"""
        value = self.get(key)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise BadInput(f"{self.where}: " + nearest(key, value, ACTIVATIONS))
        return ACTIVATIONS[value]

    def rope(self) -> dict[str, Any]:
        """Our settings of rope. transformers 5 keeps them in rope_parameters, older versions in rope_scaling and rope_theta"""
        default = ROPE_BASE.get(str(self.data.get("model_type")), 10000.0)
        for key in ("rope_parameters", "rope_scaling"):
            scaling = self.get(key, {})
            if not isinstance(scaling, dict):
                raise BadInput(f"{self.where}: {key} is {quoted(scaling)} and should be an object")
            if scaling:
                inside = ConfigReader(scaling, f"{self.where}, {key}")
                base = float(inside.number("rope_theta", self.number("rope_theta", default)))
                return dict(rope_base=base) | rope_scaling_settings(inside, self)
        return dict(rope_base=float(self.number("rope_theta", default)))


def rope_scaling_settings(scaling: ConfigReader, config: ConfigReader) -> dict[str, Any]:
    """Our settings of the scaling of rope, from its object in a config. BadInput for a rule that littlebaby lacks"""
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return {}
    if kind not in ROPE_SCALINGS:
        raise BadInput(f"{scaling.where}: rope is scaled by the rule {quoted(kind)}; littlebaby supports default, "
                       f"{', '.join(ROPE_SCALINGS)}")
    n_ctx = config.integer("max_position_embeddings")
    trained_n_ctx = scaling.integer("original_max_position_embeddings", config.integer("original_max_position_embeddings", n_ctx))
    factor = float(scaling.number("factor", n_ctx / max(trained_n_ctx, 1)))
    found = dict(c_rope_scale=kind, r_rope_factor=factor, n_rope_ctx=min(trained_n_ctx, MAX_CONTEXT), r_rope_gain=1.0)
    if kind == "llama3":
        return found | dict(r_rope_slow=float(scaling.number("low_freq_factor")), r_rope_fast=float(scaling.number("high_freq_factor")))
    if kind == "yarn":
        scaling.require("truncate", (True,), "which leaves pairs between two frequencies")
        # the paper's gain is 1 + ln f / 10; DeepSeek weights that logarithm here (mscale) and in the softmax (mscale_all_dim)
        gain = lambda weight: 1 + 0.1 * weight * log(max(factor, 1))
        mscale, mscale_all = scaling.number("mscale", 0), scaling.number("mscale_all_dim", 0)
        usual = gain(mscale) / gain(mscale_all) if mscale and mscale_all else gain(1)
        return found | dict(r_rope_slow=float(scaling.number("beta_slow", 1) or 1),
                            r_rope_fast=float(scaling.number("beta_fast", 32) or 32),
                            r_rope_gain=float(scaling.number("attention_factor", usual)))
    return found


def yarn_temperature(c: ConfigReader) -> float:
    """r_temp, by which the scores before the softmax are divided, of a DeepSeek model with yarn; 1 without yarn"""
    for key in ("rope_parameters", "rope_scaling"):
        scaling = c.get(key, {})
        if not isinstance(scaling, dict) or not scaling.get("mscale_all_dim"):
            continue
        if scaling.get("rope_type", scaling.get("type", "default")) != "default":
            inside = ConfigReader(scaling, f"{c.where}, {key}")
            return (1 + 0.1 * inside.number("mscale_all_dim") * log(max(inside.number("factor"), 1))) ** -2
    return 1.0


def aux_loss_setting(r_aux: float, n_active: int) -> float:
    """r_aux, at least 0.01 where each token selects a single expert: then the auxiliary loss alone trains the router"""
    return r_aux or (0.01 if n_active == 1 else 0.0)


def rows_of(foreign: Arrays, name: str, c: ConfigReader) -> int:
    """The first entry of the shape of an array, 0 for a scalar. BadInput where the file lacks it"""
    if name not in foreign:
        raise BadInput(f"{c.where} is of an architecture with {name}, which the weights lack")
    return foreign[name].shape[0] if foreign[name].shape else 0
