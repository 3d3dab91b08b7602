"""littlebaby's own weights under its own names: config.json and tokenizer.json beside model.safetensors or model.npz."""
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput
from ...text import Tokenizer
from ..disk import indented_json
from ..records import VERSION
from ..settings import Config
from .tensors import Arrays, as_safetensors, as_type
from .weight_table import CONVERSIONS, Row, checked, matched, shapes

MARK = "littlebaby"


def recognizes(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of this format"""
    return config.get("format") == MARK


def read_weights(config: Mapping[str, Any], foreign: Arrays, where: Path | str) -> tuple[Config, Iterator[tuple[str, np.ndarray]]]:
    """(config, pairs of name and array). BadInput where the weights are not those of the config"""
    settings = {name: value for name, value in config.items() if name not in ("format", "version")}
    cfg = checked(settings, foreign, where)
    return cfg, matched([Row((name,), (name,), CONVERSIONS[""]) for name in shapes(cfg)], cfg, foreign, where)


def config(cfg: Config) -> dict[str, Any]:
    """The object of a config.json"""
    return dict(format=MARK, version=VERSION, **cfg.model_dump(mode="json"))


def plain_files(cfg: Config, weights: Mapping[str, np.ndarray], tokenizer: Tokenizer | None, d_type: str,
                kind: str) -> dict[str, Iterable[bytes | memoryview]]:
    """{file name: pieces of bytes} of a folder with model.npz where `kind` is "npz", else with model.safetensors"""
    files: dict[str, Iterable[bytes | memoryview]] = {"config.json": [indented_json(config(cfg)).encode()]}
    if tokenizer:
        files["tokenizer.json"] = [indented_json(tokenizer.to_json()).encode()]
    if kind == "npz":
        return files | {"model.npz": as_npz(weights, d_type)}
    return files | {"model.safetensors": as_safetensors(weights, d_type)}


def as_npz(weights: Mapping[str, np.ndarray], d_type: str) -> Iterator[memoryview]:
    """An uncompressed .npz as one piece of bytes. BadInput for bf16"""
    if d_type == "bf16":
        raise BadInput("d_type is bf16; allowed in an npz are fp32, fp16, fp64: NumPy has no bf16")
    file, arrays = BytesIO(), dict[str, Any]((name, as_type(w, d_type)) for name, w in weights.items())
    np.savez(file, **arrays)
    yield file.getbuffer()
