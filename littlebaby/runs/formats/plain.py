"""littlebaby's own weights by its own names: config.json and tokenizer.json beside model.safetensors or model.npz."""
from io import BytesIO

import numpy as np

from ...errors import BadInput
from ..disk import page
from ..records import VERSION
from .table import HOWS, Row, checked, matched, shapes
from .tensors import as_safetensors, as_type

MARK = "littlebaby"


def fits(config):
    return config.get("format") == MARK


def read(config, theirs, where):
    """(Config, weights one after the other)"""
    settings = {name: value for name, value in config.items() if name not in ("format", "version")}
    cfg = checked(settings, theirs, where)
    return cfg, matched([Row((name,), (name,), HOWS[""]) for name in shapes(cfg)], cfg, theirs, where)


def config(cfg):
    """The object of a config.json"""
    return dict(format=MARK, version=VERSION, **cfg.model_dump(mode="json"))


def files(cfg, weights, tokenizer, d_type, kind):
    """{file name: pieces of bytes} of a folder with model.safetensors or, where `kind` is npz, model.npz"""
    made = {"config.json": [page(config(cfg)).encode()]}
    made |= {"tokenizer.json": [page(tokenizer.to_json()).encode()]} if tokenizer else {}
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
