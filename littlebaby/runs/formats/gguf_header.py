"""The header of a GGUF: its values, and the arrays at their places in the file.

The reader of the package gguf trusts every count in a header, so the header is read here; quantised arrays are unpacked by that package.
"""
import struct
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput
from ...text.tokenizer_helpers import MAX_VOCABULARY
from .. import disk
from . import tensors

# types of values as struct formats, and the types of arrays that are not packed
SCALARS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?"))) | {10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
STORED = {0: "F32", 1: "F16", 28: "F64", 30: "BF16"}
MOST_TENSORS = 2**20


class Header:
    """The values and the arrays of a file: every count is compared with the bytes that are left before it is used

    values: {key: value}      tensors: {name: array}, read when they are used
    BadInput: truncated, damaged, or of an unknown version.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.values, self.tensors = path, dict[str, Any](), dict[str, np.ndarray | tensors.Lazy]()
        with disk.explain_os_errors("read", path):
            if path.stat().st_size < 24:
                raise BadInput(f"{path} is truncated: a GGUF has 24 bytes at least")
            self.data = np.memmap(path, np.uint8, "r")
        self.at = 0
        if bytes(self.take(4)) != b"GGUF":
            raise BadInput(f"{path} is not a GGUF: it does not begin with the letters GGUF")
        if (version := self.scalar("<I")) not in (2, 3):
            raise BadInput(f"{path} is GGUF version {version}; 2 and 3 are read")
        n_tensors, n_values = self.scalar("<Q"), self.scalar("<Q")
        if n_tensors > MOST_TENSORS or n_values > MOST_TENSORS:
            raise BadInput(f"{path} is damaged: it claims {n_tensors:,} tensors and {n_values:,} values")
        for _ in range(n_values):
            name = self.string()
            self.values[name] = self.value(self.scalar("<I"))
        infos = [self.tensor_info() for _ in range(n_tensors)]
        alignment = self.values.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise BadInput(f"{path} is damaged: its alignment is {alignment!r:.40}")
        self.at += -self.at % alignment
        for name, shape, kind, offset in infos:
            if name in self.tensors:
                raise BadInput(f"{path} holds {name} twice")
            self.tensors[name] = self.tensor(name, shape, kind, self.at + offset)

    def take(self, n: int) -> np.ndarray:
        """The next n bytes"""
        if n > len(self.data) - self.at:
            left = len(self.data) - self.at
            raise BadInput(f"{self.path} is truncated or damaged: at byte {self.at:,} it claims {n:,} more, and {left:,} are left")
        self.at += n
        return self.data[self.at - n:self.at]

    def scalar(self, form: str) -> Any:
        """The next number, of this format of struct"""
        return struct.unpack(form, bytes(self.take(struct.calcsize(form))))[0]

    def string(self) -> str:
        """The next text: its length in bytes, then UTF-8"""
        return bytes(self.take(self.scalar("<Q"))).decode(errors="replace")

    def value(self, kind: int, inside: bool = False) -> Any:
        """The next value of this type. inside: whether it is an element of an array, which may not be an array itself"""
        if kind in SCALARS:
            return self.scalar(SCALARS[kind])
        if kind == STRING:
            return self.string()
        if kind != ARRAY or inside:
            raise BadInput(f"{self.path} is damaged: there is no value of type {kind}")
        kind, n = self.scalar("<I"), self.scalar("<Q")
        if n > 4 * MAX_VOCABULARY:
            raise BadInput(f"{self.path} claims a list of {n:,} values; at most {4 * MAX_VOCABULARY:,} are read")
        if kind in SCALARS:
            dtype = np.dtype(SCALARS[kind])
            return self.take(n * dtype.itemsize).view(dtype).tolist()
        return [self.value(kind, True) for _ in range(n)]

    def tensor_info(self) -> tuple[str, tuple[int, ...], int, int]:
        """The next (name, shape, type, offset in bytes) of an array; the file has the last axis first"""
        name, n = self.string(), self.scalar("<I")
        if n > 4:
            raise BadInput(f"{self.path}: {name} has {n} axes; at most 4 are read")
        return name, tuple(self.scalar("<Q") for _ in range(n))[::-1], self.scalar("<I"), self.scalar("<Q")

    def tensor(self, name: str, shape: tuple[int, ...], kind: int, offset: int) -> np.ndarray | tensors.Lazy:
        """An array at its offset (bytes) in the file; a packed one is unpacked when it is used"""
        block, size = (1, np.dtype(tensors.TYPES[STORED[kind]]).itemsize) if kind in STORED else block_size(kind, name, self.path)
        n = prod(shape)
        if not shape or not n or shape[-1] % block or offset + n // block * size > len(self.data):
            raise BadInput(f"{self.path} is truncated or damaged: {name} of shape {list(shape)} does not lie inside its {len(self.data):,} "
                           f"bytes")
        if kind in STORED:
            return tensors.stored(self.path, name, STORED[kind], shape, offset)
        values = self.data[offset:offset + n // block * size].reshape(-1, shape[-1] // block * size)
        return tensors.Lazy(shape, lambda: unpacked(values, kind).reshape(shape))


def package(user: str) -> Any:
    """The package gguf. BadInput where it is not installed; user: what needs it, the subject of that sentence"""
    try:
        return import_module("gguf")
    except ModuleNotFoundError:
        raise BadInput(f"{user} needs the package gguf: pip install 'littlebaby[formats]'") from None


def block_size(kind: int, name: str, path: Path) -> tuple[int, int]:
    """(elements, bytes) of a block of a quantised type. BadInput for an unknown type"""
    gguf = package(f"{name} of {path}, which is quantised,")
    try:
        return gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
    except (ValueError, KeyError):
        raise BadInput(f"{path}: {name} is of an unknown type, {kind}") from None


def unpacked(values: np.ndarray, kind: int) -> np.ndarray:
    """Quantised bytes (rows, bytes a row) as float32. BadInput for a type that the package gguf cannot unpack"""
    gguf = package("a quantised tensor")
    try:
        return gguf.quants.dequantize(values, gguf.GGMLQuantizationType(kind))
    except NotImplementedError:
        raise BadInput(f"tensors of type {gguf.GGMLQuantizationType(kind).name} are not read") from None
