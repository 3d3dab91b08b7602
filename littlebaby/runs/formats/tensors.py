"""Arrays out of files that strangers have written: named, shaped, and read only when they are asked for.

A file's own header is compared with its length before anything is allocated, so no array is larger than the file it lies in
(or, where numbers are packed, than a small multiple of it).
"""
import json
import re
from math import prod
from tokenize import TokenError
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from safetensors import safe_open

from ...errors import BadInput
from .. import disk
from ..weights import damaged

TYPES = dict(F64="<f8", F32="<f4", F16="<f2", BF16="<u2")
CODES = dict(fp64="F64", fp32="F32", fp16="F16", bf16="BF16")
MOST_JSON = 256 * 2**20                  # bytes of a config.json, an index or a tokenizer.json
PLACE = 64                               # bytes; the data of a safetensors file begins at a multiple of it


class Lazy:
    """What `read` will give: an array of this shape, made anew each time somebody asks"""

    def __init__(self, shape, read, dtype=np.dtype("f4")):
        self.shape, self.read, self.dtype = tuple(shape), read, dtype

    def __array__(self, dtype=None, copy=None):
        return self.read() if dtype is None else self.read().astype(dtype)


def json_object(path, most=MOST_JSON):
    """The object that a small JSON file holds"""
    with disk.explain_os_errors("read", path):
        if path.stat().st_size > most:
            raise BadInput(f"{path} has {path.stat().st_size:,} bytes; no more than {most:,} are read")
    data = disk.read_json(path)
    if not isinstance(data, dict):
        raise BadInput(f"{path} holds {type(data).__name__} where an object belongs")
    return data


# safetensors

def safetensors(path):
    """{name: array} of one safetensors file, without the empty ones: transformers writes shared experts that there are none of"""
    return {name: a for name, a in entries(path).items() if a is not None}


def entries(path):
    """{name: array, None where it holds no number} of one safetensors file, a lone number as a row of one; numbers of a type that no
    model's weights have stay unread"""
    with disk.explain_os_errors("read", path), damaged(path), safe_open(path, "numpy") as file:  # checks that all lies end to end
        about = {name: (part.get_dtype(), part.get_shape() or [1]) for name in file.keys() for part in [file.get_slice(name)]}
    with disk.explain_os_errors("read", path), open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    place = lambda name: 8 + length + header[name]["data_offsets"][0]
    return {name: stored(path, name, code, shape, place(name)) if prod(shape) else None for name, (code, shape) in about.items()}


def stored(path, name, code, shape, offset):
    """One array at its place in a file"""
    def refuse():
        raise BadInput(f"{path}: {name} is of type {code}; {', '.join(TYPES)} are read")

    if code not in TYPES:
        return Lazy(shape, refuse)
    values = np.memmap(path, TYPES[code], "r", offset, tuple(shape))
    if code == "BF16":
        return Lazy(shape, lambda: widened(values))
    return np.asarray(values)


def widened(values):
    """bfloat16 as uint16 -> float32: its bits are the upper half"""
    return (np.asarray(values, "<u4") << 16).view("<f4")


def narrowed(values):
    """float32 -> bfloat16 as uint16, the nearest one, of two equally near the even one"""
    bits = np.ascontiguousarray(values, "<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def as_type(values, d_type):
    """An array in C order, little-endian, of type fp64, fp32, fp16 or bf16 (as uint16)"""
    if d_type == "bf16":
        return narrowed(values)
    with np.errstate(over="ignore"):
        out = np.ascontiguousarray(values, TYPES[CODES[d_type]])
    if not np.isfinite(out).all():
        raise BadInput(f"a weight of {np.abs(values).max():.3g} is more than {d_type} can hold; take bf16 or fp32")
    return out


def as_safetensors(arrays, d_type, notes=()):
    """The pieces of a safetensors file of {name: array}, all of one type, one array in memory at a time.

    The library writes no bfloat16 from NumPy, and one release wrote views wrongly; the format is a header and the bytes.
    """
    size, at, header = np.dtype(TYPES[CODES[d_type]]).itemsize, 0, {}
    for name, a in arrays.items():
        last = at + prod(a.shape) * size
        header[name] = dict(dtype=CODES[d_type], shape=list(a.shape), data_offsets=[at, last])
        at = last
    text = json.dumps(dict(__metadata__=dict(notes), **header) if notes else header).encode()
    text += b" " * (-(len(text) + 8) % PLACE)
    yield len(text).to_bytes(8, "little") + text
    for a in arrays.values():
        yield memoryview(as_type(a, d_type)).cast("B")


def no_adapters(folder):
    """BadInput where adapters of peft lie beside a model, or alone: the model without them would be another one"""
    with disk.explain_os_errors("read", folder):
        found = sorted(p.name for p in folder.iterdir() if p.name.startswith("adapter_") and p.suffix in (".json", ".safetensors", ".bin"))
    if found:
        raise BadInput(f"{folder} holds {found[0]}, an adapter of peft, without which the model would be another one, and adapters are not "
                       f"read: merge it into its base first, with merge_and_unload() of peft and save_pretrained")


def in_folder(folder):
    """{name: array} of all the safetensors files that make up a folder's model, and the first of them"""
    with disk.explain_os_errors("read", folder):
        here = sorted(p for p in folder.iterdir() if p.is_file())
    files = [p for p in here if p.suffix == ".safetensors"]
    named = [p for name in ("model", "weights") for p in files if p.stem == name]
    indexes = [p for p in here if p.name.endswith(".safetensors.index.json")]
    if indexes and not named:                                    # beside a whole model an index is left over, as for transformers
        return sharded(indexes[0]), indexes[0]
    pickled = [p for p in here if p.suffix in (".bin", ".pt", ".pth") and p.name != "training_args.bin"]
    if not files and pickled:
        raise BadInput(f"{folder} holds {pickled[0].name} and no safetensors file: pickled weights can run code and are not read; where "
                       f"they come from somebody you trust, AutoModelForCausalLM.from_pretrained(...).save_pretrained(...) of transformers "
                       f"writes them as safetensors")
    if not named and len(files) != 1:
        raise BadInput(f"{folder} holds {len(files)} safetensors files, none of them named model.safetensors; give one file")
    path = (named or files)[0]
    return safetensors(path), path


def sharded(index):
    """{name: array} of the files that a model.safetensors.index.json names, all beside it"""
    places = json_object(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise BadInput(f"{index} has no weight_map from names to files")
    if bad := [file for file in places.values() if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", file)]:
        raise BadInput(f"{index} names a file {bad[0]!r:.60}; only safetensors files beside it are read, never a path")
    shards = {file: entries(index.with_name(file)) for file in dict.fromkeys(places.values())}
    for name, file in places.items():
        if name not in shards[file]:
            raise BadInput(f"{index} looks for {name} in {file}, which does not hold it")
    return {name: a for name, file in places.items() if (a := shards[file][name]) is not None}


# npz

def npz(path):
    """{name: array} of an uncompressed .npz of plain arrays"""
    found = {}
    try:
        with disk.explain_os_errors("read", path), ZipFile(path) as archive:
            for each in archive.infolist():
                if each.compress_type != ZIP_STORED:
                    raise BadInput(f"{path}: {each.filename} is compressed; only plain .npz files are read, as numpy.savez writes them")
                with archive.open(each) as member:
                    version = np.lib.format.read_magic(member)
                    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                    shape, fortran, dtype = read(member)
                    if dtype.kind != "f" or dtype.itemsize > 8 or prod(shape) * dtype.itemsize != each.file_size - member.tell():
                        raise BadInput(f"{path}: {each.filename} is {dtype} of shape {shape}, which its {each.file_size:,} bytes are not")
                    values = np.frombuffer(member.read(), dtype).reshape(shape, order="F" if fortran else "C")
                found[each.filename.removesuffix(".npy")] = values
    except (BadZipFile, ValueError, EOFError, RuntimeError, SyntaxError, TokenError) as error:      # numpy reads a head as Python
        if isinstance(error, BadInput):
            raise
        why = str(error).splitlines()[0].lower()[:100] if str(error) else "it ends too early"
        raise BadInput(f"{path} is truncated or damaged: {why}") from None
    return found
