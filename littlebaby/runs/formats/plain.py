"""littlebaby's own weights by its own names: config.json and tokenizer.json beside model.safetensors or model.npz."""
from io import BytesIO

import numpy as np

from ...errors import BadInput
from ..disk import indented_json
from ..records import VERSION
from .tensors import as_safetensors, as_type
from .weight_table import CONVERSIONS, Row, checked, matched, shapes

MARK = "littlebaby"


def recognizes(config):
    return config.get("format") == MARK


def read_weights(config, theirs, where):
    """(Config, weights one after the other)"""
    settings = {name: value for name, value in config.items() if name not in ("format", "version")}
    cfg = checked(settings, theirs, where)
    return cfg, matched([Row((name,), (name,), CONVERSIONS[""]) for name in shapes(cfg)], cfg, theirs, where)


def config(cfg):
    """The object of a config.json"""
    return dict(format=MARK, version=VERSION, **cfg.model_dump(mode="json"))


def plain_files(cfg, weights, tokenizer, d_type, kind):
    """{file name: pieces of bytes} of a folder with model.safetensors or, where `kind` is npz, model.npz"""
    made = {"config.json": [indented_json(config(cfg)).encode()]}
    made |= {"tokenizer.json": [indented_json(tokenizer.to_json()).encode()]} if tokenizer else {}
    if kind == "npz":
        return made | {"model.npz": as_npz(weights, d_type)}
    return made | {"model.safetensors": as_safetensors(weights, d_type)}


def as_npz(weights, d_type):
    """The one piece of an uncompressed .npz"""
    if d_type == "bf16":
        raise BadInput("d_type is bf16; allowed in an npz are fp32, fp16, fp64: NumPy has no bf16")
    file = BytesIO()
    np.savez(file, **{name: as_type(w, d_type) for name, w in weights.items()})
    yield file.getbuffer()
