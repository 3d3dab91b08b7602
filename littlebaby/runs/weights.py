"""Weights as bytes and back, exact: a stream of little-endian values in base64, nested lists, or safetensors.

What is read may come from a stranger: every size is compared before anything is allocated, every byte against its sha256.
"""
import json
import os
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from contextlib import contextmanager
from hashlib import sha256
from math import prod

import numpy as np
from safetensors import SafetensorError, safe_open

from ..errors import BadInput, RunFailed
from .records import Parameters, Tensor

BLOCK = 3 * 2**14                        # bytes per line of base64; a multiple of 3, so that blocks join
MOST_BYTES = 2**40
CODES = dict(float16="F16", float32="F32", float64="F64", int8="I8", int16="I16", int32="I32", int64="I64", uint8="U8", uint16="U16",
             uint32="U32", uint64="U64", bool="BOOL")    # what safetensors calls NumPy's types


def plain(array):
    """The array in C order and little-endian; a view stays a view where it is that already"""
    array = np.asarray(array)
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def raw(array):
    """The bytes of a plain array, without a copy"""
    return array.reshape(-1).view(np.uint8)


def digest(arrays):
    total = sha256()
    for array in arrays.values():
        total.update(raw(array))
    return total.hexdigest()


def describe(arrays, kinds, trainable):
    """The part of a manifest that says what the arrays are: {name: plain array} -> dict(parameters, sha256, tensors)

    RunFailed for a weight that is not finite: such a model could never be loaded.
    """
    tensors, offset = {}, 0
    for name, a in arrays.items():
        if not np.isfinite(a).all():
            raise RunFailed(f"the model was not saved: {name} holds a number that is not finite")
        tensors[name] = Tensor(shape=list(a.shape), dtype=a.dtype.name, kind=kinds[name], trainable=trainable[name], offset=offset)
        offset += a.nbytes
    counts = {wanted: sum(a.size for name, a in arrays.items() if trainable[name] == wanted) for wanted in (True, False)}
    parameters = Parameters(trainable=counts[True], frozen=counts[False], total=counts[True] + counts[False])
    return dict(parameters=parameters, sha256=digest(arrays), tensors=tensors)


def base64_blocks(arrays):
    """The stream in base64, in pieces"""
    stream = b"".join(a.tobytes() for a in arrays.values())
    return [b64encode(stream[i:i + BLOCK]).decode() for i in range(0, len(stream), BLOCK)]


def check_sizes(manifest, where):
    """BadInput unless the tensors lie end to end, in sizes that can be; returns the length of the stream in bytes"""
    offset = 0
    for name, t in manifest.tensors.items():
        if t.offset != offset:
            raise BadInput(f"{where}: {name} begins at byte {t.offset} and should begin at {offset}")
        offset += prod(t.shape) * np.dtype(t.dtype).itemsize
        if offset > MOST_BYTES or len(t.shape) > 32:
            raise BadInput(f"{where}: {name} has shape {t.shape}, larger than any model")
    return offset


def from_blocks(manifest, where):
    """{name: array} from base64"""
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


def from_lists(manifest, where):
    """{name: array} from nested lists"""
    check_sizes(manifest, where)
    arrays = {}
    for name, t in manifest.tensors.items():
        try:
            arrays[name] = np.array(manifest.lists.get(name), t.dtype)
        except (ValueError, TypeError, OverflowError):
            raise BadInput(f"{where}: {name} is no table of numbers") from None
        if list(arrays[name].shape) != t.shape:
            raise BadInput(f"{where}: {name} has shape {list(arrays[name].shape)} and should have {t.shape}")
    return checked(arrays, manifest, where)


def from_safetensors(manifest, path):
    """{name: array} from the file beside the manifest"""
    check_sizes(manifest, path)
    with damaged(path), safe_open(path, "numpy") as file:
        if set(file.keys()) != set(manifest.tensors):
            raise BadInput(f"{path} does not hold the tensors that its manifest names")
        for name, t in manifest.tensors.items():
            part = file.get_slice(name)
            if part.get_shape() != t.shape or part.get_dtype() != CODES[t.dtype]:
                raise BadInput(f"{path}: {name} is {part.get_dtype()} of shape {part.get_shape()} "
                               f"and should be {CODES[t.dtype]} of shape {t.shape}")
        arrays = {name: file.get_tensor(name) for name in manifest.tensors}
    return checked(arrays, manifest, path)


def checked(arrays, manifest, where):
    if digest(arrays) != manifest.sha256:
        raise BadInput(f"{where} is damaged: its weights do not have the sha256 that it names")
    for name, a in arrays.items():
        if not np.isfinite(a).all():
            raise BadInput(f"{where}: {name} holds NaN or Infinity")
    return arrays


def safetensors(arrays, meta):
    """Plain arrays and a JSON-able meta as the pieces of a .safetensors file: the length of a header, the header, the bytes

    By hand, so that these files take the one way of all others to the disk, and no array is copied on it.
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


def load_safetensors(path):
    """(arrays, meta) of a file that `safetensors` made"""
    with damaged(path), safe_open(path, "numpy") as file:
        arrays, notes = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    if seal(arrays, notes.get("meta", "")) != notes.get("sha256"):
        raise BadInput(f"{path} is damaged: its contents do not have the sha256 that it names")
    return arrays, json.loads(notes["meta"])


def seal(arrays, text):
    """The sha256 of a whole file: the text, and every array with its name, type and shape"""
    arrays = dict(sorted(arrays.items()))
    about = [text, [[name, a.dtype.str, list(a.shape)] for name, a in arrays.items()], digest(arrays)]
    return sha256(json.dumps(about).encode()).hexdigest()


@contextmanager
def damaged(path):
    """The library's own error becomes a sentence, or the OSError that it is about"""
    try:
        yield
    except FileNotFoundError:
        raise BadInput(f"{path} is missing") from None
    except SafetensorError as error:
        if about := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(about[1]), os.strerror(int(about[1]))) from None
        raise BadInput(f"{path} is truncated or damaged: {str(error).lower()}") from None
