"""Arrays from files of unknown origin: each has a name and a shape, and is read only when it is used.

The header of a file is compared with the file's length before anything is allocated, so no array is larger than the file that holds it
(or, where values are packed, than a small multiple of it).
"""
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any, NoReturn
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.typing import ArrayLike
from safetensors import safe_open

from ...errors import BadInput
from .. import disk
from ..weights import damaged

TYPES = dict(F64="<f8", F32="<f4", F16="<f2", BF16="<u2")
CODES = dict(fp64="F64", fp32="F32", fp16="F16", bf16="BF16")
MOST_JSON = 256 * 2**20                  # bytes of a config.json, an index or a tokenizer.json
ALIGNMENT = 64                           # bytes; the data of a safetensors file begins at a multiple of it


class Lazy:
    """An array of known shape and type whose values are computed each time that NumPy converts it, by the function `read`"""

    def __init__(self, shape: Iterable[int], read: Callable[[], np.ndarray], dtype: np.dtype = np.dtype("f4")) -> None:
        self.shape, self.read, self.dtype = tuple(shape), read, dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.read() if dtype is None else self.read().astype(dtype)


Arrays = Mapping[str, np.ndarray | Lazy]       # {name in the file: array}


def json_object(path: Path, most: int = MOST_JSON) -> dict[str, Any]:
    """The object that a JSON file of at most `most` bytes holds. BadInput: missing, too large, damaged, or no object"""
    with disk.explain_os_errors("read", path):
        if path.stat().st_size > most:
            raise BadInput(f"{path} has {path.stat().st_size:,} bytes; at most {most:,} are read")
    data = disk.read_json(path)
    if not isinstance(data, dict):
        raise BadInput(f"{path} holds a value of type {type(data).__name__}; it must hold an object")
    return data


# safetensors

def safetensors(path: Path) -> Arrays:
    """{name: array} of one safetensors file, without empty arrays: transformers writes shared experts of width 0"""
    return {name: a for name, a in entries(path).items() if a is not None}


def entries(path: Path) -> dict[str, np.ndarray | Lazy | None]:
    """{name: array, None where it has no elements} of one safetensors file; a scalar becomes an array of shape (1,)

    An array of a type that no model's weights have is refused only when its values are read. BadInput: missing, truncated, damaged.
    """
    with disk.explain_os_errors("read", path), damaged(path), safe_open(path, "numpy") as file:  # checks that the arrays lie end to end
        types_shapes = {name: (part.get_dtype(), part.get_shape() or [1]) for name in file.keys() for part in [file.get_slice(name)]}
    with disk.explain_os_errors("read", path), open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    offset = lambda name: 8 + length + header[name]["data_offsets"][0]
    return {name: stored(path, name, code, shape, offset(name)) if prod(shape) else None for name, (code, shape) in types_shapes.items()}


def stored(path: Path, name: str, code: str, shape: Iterable[int], offset: int) -> np.ndarray | Lazy:
    """One array at its offset (bytes) in a file, mapped into memory; bfloat16 and unknown types as Lazy

    code: the type as safetensors names it. BadInput, when the values are read, for a type not in TYPES.
    """
    def refuse() -> NoReturn:
        raise BadInput(f"{path}: {name} is of type {code}; {', '.join(TYPES)} are read")

    if code not in TYPES:
        return Lazy(shape, refuse)
    values = np.memmap(path, TYPES[code], "r", offset, tuple(shape))
    if code == "BF16":
        return Lazy(shape, lambda: widened(values))
    return np.asarray(values)


def widened(values: ArrayLike) -> np.ndarray:
    """bfloat16 as uint16 -> float32: its bits are the upper half"""
    return (np.asarray(values, "<u4") << 16).view("<f4")


def narrowed(values: ArrayLike) -> np.ndarray:
    """float32 -> bfloat16 as uint16, rounded to nearest, ties to even"""
    bits = np.ascontiguousarray(values, "<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def as_type(values: ArrayLike, d_type: str) -> np.ndarray:
    """An array in C order, little-endian, of type fp64, fp32, fp16 or bf16 (as uint16). BadInput where a value overflows that type"""
    if d_type == "bf16":
        return narrowed(values)
    with np.errstate(over="ignore"):
        out = np.ascontiguousarray(values, TYPES[CODES[d_type]])
    if not np.isfinite(out).all():
        raise BadInput(f"a weight of {np.abs(values).max():.3g} is more than {d_type} can hold; take bf16 or fp32")
    return out


def as_safetensors(arrays: Mapping[str, np.ndarray], d_type: str,
                   metadata: Iterable[tuple[str, str]] = ()) -> Iterator[bytes | memoryview]:
    """The pieces of bytes of a safetensors file of {name: array}, all of one type, one array in memory at a time

    Written without the library, which writes no bfloat16 from NumPy and of which one release wrote views wrongly.
    """
    size, at, header = np.dtype(TYPES[CODES[d_type]]).itemsize, 0, dict[str, Any]()
    for name, a in arrays.items():
        end = at + prod(a.shape) * size
        header[name] = dict(dtype=CODES[d_type], shape=list(a.shape), data_offsets=[at, end])
        at = end
    text = json.dumps(dict(__metadata__=dict(metadata), **header) if metadata else header).encode()
    text += b" " * (-(len(text) + 8) % ALIGNMENT)
    yield len(text).to_bytes(8, "little") + text
    for a in arrays.values():
        yield as_type(a, d_type).data.cast("B")


def no_adapters(folder: Path) -> None:
    """BadInput where a folder holds adapters of peft, beside a model or alone: without them the model would compute something else"""
    with disk.explain_os_errors("read", folder):
        found = sorted(p.name for p in folder.iterdir() if p.name.startswith("adapter_") and p.suffix in (".json", ".safetensors", ".bin"))
    if found:
        raise BadInput(f"{folder} holds {found[0]}, an adapter of peft; adapters are not read, and without them the model would compute "
                       f"something else: merge it into its base first, with merge_and_unload() of peft and save_pretrained")


def in_folder(folder: Path) -> tuple[Arrays, Path]:
    """({name: array}, the file or index that was read) of the safetensors files of a folder's model

    BadInput: adapters aside, a folder without safetensors files, or with several of which none is named model.safetensors.
    """
    with disk.explain_os_errors("read", folder):
        here = sorted(p for p in folder.iterdir() if p.is_file())
    files = [p for p in here if p.suffix == ".safetensors"]
    named = [p for name in ("model", "weights") for p in files if p.stem == name]
    indexes = [p for p in here if p.name.endswith(".safetensors.index.json")]
    if indexes and not named:                                    # like transformers: beside one whole file an index is ignored
        return sharded(indexes[0]), indexes[0]
    pickled = [p for p in here if p.suffix in (".bin", ".pt", ".pth") and p.name != "training_args.bin"]
    if not files and pickled:
        raise BadInput(f"{folder} holds {pickled[0].name} and no safetensors file: pickled weights can run code and are not read; if you "
                       f"trust their origin, AutoModelForCausalLM.from_pretrained(...).save_pretrained(...) of transformers "
                       f"writes them as safetensors")
    if not named and len(files) != 1:
        raise BadInput(f"{folder} holds {len(files)} safetensors files, none of them named model.safetensors; give one file")
    path = (named or files)[0]
    return safetensors(path), path


def sharded(index: Path) -> Arrays:
    """{name: array} of the files that a model.safetensors.index.json names, all in its folder. BadInput: damaged, or a path outside it"""
    files = json_object(index).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
        raise BadInput(f"{index} has no weight_map from names to files")
    if bad := [file for file in files.values() if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", file)]:
        raise BadInput(f"{index} names a file {bad[0]!r:.60}; only safetensors files beside it are read, never a path")
    shards = {file: entries(index.with_name(file)) for file in dict.fromkeys(files.values())}
    for name, file in files.items():
        if name not in shards[file]:
            raise BadInput(f"{index} says that {name} is in {file}, which does not hold it")
    return {name: a for name, file in files.items() if (a := shards[file][name]) is not None}


# npz

def npz(path: Path) -> Arrays:
    """{name: array} of an uncompressed .npz of arrays of floating-point numbers. BadInput: compressed, truncated, damaged, another type"""
    found = {}
    try:
        with disk.explain_os_errors("read", path), ZipFile(path) as archive:
            for each in archive.infolist():
                if each.compress_type != ZIP_STORED:
                    raise BadInput(f"{path}: {each.filename} is compressed; only plain .npz files are read, as numpy.savez writes them")
                with archive.open(each) as member:
                    version = np.lib.format.read_magic(member)
                    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                    shape, fortran, dtype = read_header(member)
                    if dtype.kind != "f" or dtype.itemsize > 8 or prod(shape) * dtype.itemsize != each.file_size - member.tell():
                        raise BadInput(f"{path}: {each.filename} is {dtype} of shape {shape}, which does not agree with its "
                                       f"{each.file_size:,} bytes")
                    values = np.frombuffer(member.read(), dtype).reshape(shape, order="F" if fortran else "C")
                found[each.filename.removesuffix(".npy")] = values
    except (BadZipFile, ValueError, EOFError, RuntimeError, SyntaxError, TokenError) as error:      # NumPy parses a header as Python
        if isinstance(error, BadInput):
            raise
        reason = str(error).splitlines()[0].lower()[:100] if str(error) else "it ends too early"
        raise BadInput(f"{path} is truncated or damaged: {reason}") from None
    return found
