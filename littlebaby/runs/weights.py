"""Weights in files, bit for bit: a stream of little-endian values in base64, nested lists, or safetensors.

A file may come from an unknown origin: all sizes are checked before anything is allocated, and all bytes against their sha256.
"""
import json
import os
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open

from ..errors import BadInput, RunFailed
from .records import ModelFile, Parameters, Tensor

Arrays = dict[str, np.ndarray]           # {name: array}

BLOCK = 3 * 2**14                        # bytes per line of base64; a multiple of 3, so that the lines can be joined
MOST_BYTES = 2**40
CODES = dict(float16="F16", float32="F32", float64="F64", int8="I8", int16="I16", int32="I32", int64="I64", uint8="U8", uint16="U16",
             uint32="U32", uint64="U64", bool="BOOL")    # what safetensors calls NumPy's types


def plain(array: ArrayLike) -> np.ndarray:
    """The array in C order and little-endian; without a copy where it is so already"""
    array = np.asarray(array)
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def raw(array: np.ndarray) -> np.ndarray:
    """The bytes (n,) of a plain array, without a copy"""
    return array.reshape(-1).view(np.uint8)


def digest(arrays: Arrays) -> str:
    """sha256 of the bytes of all plain arrays, in hexadecimal"""
    total = sha256()
    for array in arrays.values():
        total.update(raw(array).data)
    return total.hexdigest()


def describe(arrays: Arrays, kinds: Mapping[str, str], trainable: Mapping[str, bool]) -> dict[str, Any]:
    """The entries parameters, sha256 and tensors of a manifest

    arrays: {name: plain array}      kinds: {name: kind, see `tree.Leaf`}      trainable: {name: whether training changes it}
    RunFailed for a weight that is not finite, because such a model could not be loaded.
    """
    tensors, offset = dict[str, Tensor](), 0
    for name, a in arrays.items():
        if not np.isfinite(a).all():
            raise RunFailed(f"the model was not saved: {name} holds a number that is not finite")
        dtype: Any = a.dtype.name                                 # Tensor checks that it is a type of weights
        tensors[name] = Tensor(shape=list(a.shape), dtype=dtype, kind=kinds[name], trainable=trainable[name], offset=offset)
        offset += a.nbytes
    counts = {trained: sum(a.size for name, a in arrays.items() if trainable[name] == trained) for trained in (True, False)}
    parameters = Parameters(trainable=counts[True], frozen=counts[False], total=counts[True] + counts[False])
    return dict(parameters=parameters, sha256=digest(arrays), tensors=tensors)


def base64_blocks(arrays: Arrays) -> list[str]:
    """The bytes of all plain arrays, one after the other, as lines of base64"""
    stream = b"".join(a.tobytes() for a in arrays.values())
    return [b64encode(stream[i:i + BLOCK]).decode() for i in range(0, len(stream), BLOCK)]


def check_sizes(manifest: ModelFile, where: Path | str) -> int:
    """How many bytes the tensors of a manifest have. BadInput unless they lie end to end and have possible sizes"""
    offset = 0
    for name, t in manifest.tensors.items():
        if t.offset != offset:
            raise BadInput(f"{where}: {name} begins at byte {t.offset} and should begin at {offset}")
        offset += prod(t.shape) * np.dtype(t.dtype).itemsize
        if offset > MOST_BYTES or len(t.shape) > 32:
            raise BadInput(f"{where}: {name} has shape {t.shape}, larger than any model")
    return offset


def from_blocks(manifest: ModelFile, where: Path | str) -> Arrays:
    """{name: array} from the base64 lines of a manifest. where: the file that errors name. BadInput: damaged, or not finite"""
    size = check_sizes(manifest, where)
    held = sum(len(block) // 4 * 3 - block[-2:].count("=") for block in manifest.blocks)
    if held != size:
        raise BadInput(f"{where} holds {held:,} bytes of weights and its tensors need {size:,}: it is truncated or damaged")
    try:
        stream = np.frombuffer(bytearray().join(b64decode(block, validate=True) for block in manifest.blocks), np.uint8)
    except (NotBase64, ValueError):
        raise BadInput(f"{where} is damaged: its weights are not base64") from None
    if len(stream) != size:
        raise BadInput(f"{where} is damaged: its weights are not base64")
    arrays = {}
    for name, t in manifest.tensors.items():
        dtype = np.dtype(t.dtype).newbyteorder("<")
        arrays[name] = stream[t.offset:t.offset + prod(t.shape) * dtype.itemsize].view(dtype).reshape(t.shape)
    return checked(arrays, manifest, where)


def from_lists(manifest: ModelFile, where: Path | str) -> Arrays:
    """{name: array} from the nested lists of a manifest. where: the file that errors name. BadInput: damaged, or not finite"""
    check_sizes(manifest, where)
    arrays = {}
    for name, t in manifest.tensors.items():
        try:
            arrays[name] = np.array(manifest.lists.get(name), t.dtype)
        except (ValueError, TypeError, OverflowError):
            raise BadInput(f"{where}: {name} is not a table of numbers") from None
        if list(arrays[name].shape) != t.shape:
            raise BadInput(f"{where}: {name} has shape {list(arrays[name].shape)} and should have {t.shape}")
    return checked(arrays, manifest, where)


def from_safetensors(manifest: ModelFile, path: Path) -> Arrays:
    """{name: array} from the safetensors file of a manifest. BadInput: missing, damaged, other tensors, or not finite"""
    check_sizes(manifest, path)
    with damaged(path), safe_open(path, "numpy") as file:
        if set(file.keys()) != set(manifest.tensors):
            raise BadInput(f"{path} does not hold the tensors that its manifest names")
        for name, t in manifest.tensors.items():
            part = file.get_slice(name)              # shape and type, without the values
            if part.get_shape() != t.shape or part.get_dtype() != CODES[t.dtype]:
                raise BadInput(f"{path}: {name} is {part.get_dtype()} of shape {part.get_shape()} "
                               f"and should be {CODES[t.dtype]} of shape {t.shape}")
        arrays = {name: file.get_tensor(name) for name in manifest.tensors}
    return checked(arrays, manifest, path)


def checked(arrays: Arrays, manifest: ModelFile, where: Path | str) -> Arrays:
    """The arrays. BadInput unless they have the sha256 of the manifest and only finite numbers"""
    if digest(arrays) != manifest.sha256:
        raise BadInput(f"{where} is damaged: its weights do not have the sha256 that it names")
    for name, a in arrays.items():
        if not np.isfinite(a).all():
            raise BadInput(f"{where}: {name} holds NaN or Infinity")
    return arrays


def safetensors(arrays: Arrays, meta: Any) -> Iterator[Any]:
    """The pieces of bytes of a .safetensors file: the length of its header, the header, the arrays

    arrays: {name: plain array}      meta: any value that JSON can hold
    Written without the library, so that these files are written like all others and no array is copied.
    """
    text, offset = json.dumps(meta), 0
    header: dict = {"__metadata__": {"meta": text, "sha256": seal(arrays, text)}}
    for name, a in arrays.items():
        header[name] = dict(dtype=CODES[a.dtype.name], shape=a.shape, data_offsets=[offset, offset + a.nbytes])
        offset += a.nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)              # the arrays begin at a multiple of 8
    yield len(head).to_bytes(8, "little") + head
    for a in arrays.values():
        yield raw(a)


def load_safetensors(path: Path) -> tuple[Arrays, Any]:
    """({name: array}, meta) of a file that `safetensors` wrote. BadInput: missing or damaged"""
    with damaged(path), safe_open(path, "numpy") as file:
        arrays, notes = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    if seal(arrays, notes.get("meta", "")) != notes.get("sha256"):
        raise BadInput(f"{path} is damaged: its contents do not have the sha256 that it names")
    return arrays, json.loads(notes["meta"])


def seal(arrays: Arrays, text: str) -> str:
    """sha256 of a text and of all arrays with their names, types and shapes, in hexadecimal"""
    arrays = dict(sorted(arrays.items()))
    contents = [text, [[name, a.dtype.str, list(a.shape)] for name, a in arrays.items()], digest(arrays)]
    return sha256(json.dumps(contents).encode()).hexdigest()


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Turn an error of the library safetensors into BadInput of one sentence, or into the OSError that it reports"""
    try:
        yield
    except FileNotFoundError:
        raise BadInput(f"{path} is missing") from None
    except SafetensorError as error:
        if about := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(about[1]), os.strerror(int(about[1]))) from None
        raise BadInput(f"{path} is truncated or damaged: {str(error).lower()}") from None
