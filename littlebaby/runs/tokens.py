"""Token files: a text as token ids, mapped into memory, so that only the parts that are used are loaded.

    bytes 0-7      LBTOKENS
          8-11     version, 1
          12-15    bytes per token, 2 (uint16) or 4 (uint32)
          16-23    number of tokens
          24-27    size of the vocabulary
          28-31    length of the record at the end, bytes
          32-63    sha256 of the tokenizer: of its record as JSON with sorted keys and no spaces
          64-      the tokens; then the record, JSON: the tokenizer, the sha256 of the tokens and facts about the text
All numbers are unsigned and little-endian. Between two documents are the tokens of the tokenizer's `begin`.

Two formats of other programs are read as well: .bin, uint16 without a header, and .npy, a row of int32 or smaller integers. They do not
name the tokenizer that made them, so the user has to name it.
"""
import json
import struct
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ..errors import BadInput
from . import disk

SUFFIXES = (".tok", ".bin", ".npy")
HEAD = struct.Struct("<8sIIQII32s")
MAGIC, FORMAT = b"LBTOKENS", 1
MOST_RECORD = 2**26      # bytes
CHUNK = 2**22            # tokens that are checked at a time
NAME_TOKENIZER = "give the path of its tokenizer.json as c_tokenizer"


class Tokens(NamedTuple):
    """A token file"""
    path: Path
    ids: np.ndarray          # (n,) a memory map
    tokenizer: dict | None   # its record; None where the file has none
    vocabulary: int          # its size; 0 where the file does not name it
    characters: int          # of the text; 0 where the file does not name it
    bytes: int               # of this file
    sha256: str              # of the header and the record, which holds that of the tokens; without a header, of the whole file


def fingerprint(tokenizer: dict[str, Any]) -> bytes:
    """sha256 of the record of a tokenizer; equal for equal records, whatever the order of their keys"""
    return sha256(json.dumps(tokenizer, sort_keys=True, separators=(",", ":")).encode("utf-8", "backslashreplace")).digest()


def token_dtype(vocabulary: int) -> np.dtype:
    """The type of the tokens of a vocabulary of this size"""
    return np.dtype("<u2") if vocabulary <= 2**16 else np.dtype("<u4")


def write_token_file(file: IO[bytes], blocks: Iterable[bytes], tokenizer: dict[str, Any], size: int,
                     facts: Callable[[], dict[str, Any]]) -> int:
    """Write a token file into an open, empty file while the blocks are computed; returns the number of tokens

    blocks     the ids as bytes, in the type that `token_dtype` names
    tokenizer  its record
    size       of its vocabulary
    facts      called at the end: what the record says of the text, such as {"characters": n}
    """
    dtype, written, digest = token_dtype(size), 0, sha256()
    file.write(bytes(HEAD.size))
    for block in blocks:
        file.write(block)
        digest.update(block)
        written += len(block)
    record = json.dumps(dict(tokenizer=tokenizer, sha256=digest.hexdigest(), **facts()), ensure_ascii=True).encode()
    file.write(record)
    file.seek(0)
    count = written // dtype.itemsize
    file.write(HEAD.pack(MAGIC, FORMAT, dtype.itemsize, count, size, len(record), fingerprint(tokenizer)))
    return count


def read_token_file(path: Path) -> Tokens:
    """Map a token file into memory. BadInput: empty, truncated, longer than its header says, or damaged."""
    with disk.explain_os_errors("read", path):
        if not path.stat().st_size:
            raise BadInput(f"{path} is empty: there is nothing to learn from")
        if path.suffix == ".npy":
            return read_npy(path)
        with open(path, "rb") as file:
            head = file.read(HEAD.size)
    if path.suffix == ".bin" and head[:8] != MAGIC:
        return read_headerless(path)
    return read_with_header(path, head)


def read_with_header(path: Path, head: bytes) -> Tokens:
    """A .tok file. head: its first 64 bytes"""
    length = path.stat().st_size
    if head[:8] != MAGIC[:len(head)]:
        raise BadInput(f"{path} is not a token file: it does not begin with {MAGIC.decode()}; `littlebaby prepare` makes one from a text")
    if len(head) < HEAD.size:
        raise BadInput(f"{path} is truncated in its header: it has {length} bytes and a header has {HEAD.size}")
    _, version, width, count, size, record_length, digest = HEAD.unpack(head)
    if version != FORMAT:
        raise BadInput(f"{path} is a token file of version {version}; this littlebaby reads version {FORMAT}: prepare it again")
    if width not in (2, 4) or not 0 < size <= 2**24 or record_length > MOST_RECORD:
        raise BadInput(f"{path} is damaged: its header says {width} bytes per token, a vocabulary of {size}, a record of {record_length} "
                       f"bytes")
    if length != (expected := HEAD.size + count * width + record_length):
        what = "is truncated" if length < expected else "is longer than its header says"
        raise BadInput(f"{path} {what}: a file of {count:,} tokens has {expected:,} bytes and this one has {length:,}")
    with disk.explain_os_errors("read", path), open(path, "rb") as file:
        file.seek(HEAD.size + count * width)
        data = file.read()
    record = disk.parse(data, path)
    if not isinstance(record, dict) or not isinstance(record.get("tokenizer"), dict):
        raise BadInput(f"{path} is damaged: its record has no tokenizer")
    if fingerprint(record["tokenizer"]) != digest:
        raise BadInput(f"{path} is damaged: its tokenizer is not the one that its header's sha256 names")
    characters = record.get("characters")
    known = characters if type(characters) is int and 0 <= characters < 2**63 else 0
    ids = memory_map(path, f"<u{width}", HEAD.size, count)
    return Tokens(path, ids, record["tokenizer"], size, known, length, sha256(head + data).hexdigest())


def read_headerless(path: Path) -> Tokens:
    """A .bin file of uint16 without a header, as nanoGPT and others write it"""
    length = path.stat().st_size
    if length % 2:
        raise BadInput(f"{path} has {length:,} bytes, an odd number; a .bin file has two bytes per token")
    return Tokens(path, memory_map(path, "<u2", 0, length // 2), None, 0, 0, length, disk.digest(path))


def read_npy(path: Path) -> Tokens:
    """A .npy file, as np.save writes it. BadInput unless it is one row of integers of at most 4 bytes"""
    try:
        with open(path, "rb") as file:
            read_head = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, dtype = read_head[np.lib.format.read_magic(file)](file)
            offset = file.tell()
    except OSError:
        raise
    except Exception:                                            # its header is parsed as Python source, which can fail in any way
        raise BadInput(f"{path} is not a readable .npy file: its header is damaged, or of an unknown version") from None
    if len(shape) != 1 or dtype.kind not in "iu" or dtype.itemsize > 4:
        raise BadInput(f"{path} holds numbers of shape {shape} and type {dtype}; tokens are a row of whole numbers, int32 or smaller")
    length, expected = path.stat().st_size, offset + shape[0] * dtype.itemsize
    if length != expected:
        raise BadInput(f"{path} {'is truncated' if length < expected else 'is longer than its header says'}: "
                       f"a file of {shape[0]:,} tokens has {expected:,} bytes and this one has {length:,}")
    return Tokens(path, memory_map(path, dtype, offset, shape[0]), None, 0, 0, length, disk.digest(path))


def memory_map(path: Path, dtype: Any, offset: int, count: int) -> np.ndarray:
    """`count` numbers (n,) from an offset (bytes) of a file. BadInput where there are none"""
    if not count:
        raise BadInput(f"{path} holds no tokens: there is nothing to learn from")
    with disk.explain_os_errors("read", path):
        return np.memmap(path, dtype, "r", offset, (count,))


def check_ids(tokens: Tokens, size: int, progress: Callable[[int], None] = lambda n_bytes: None) -> Tokens:
    """The same tokens. BadInput unless every one is in a vocabulary of this size; reads the whole file

    progress: called with the number of bytes of each part that has been checked
    """
    with disk.explain_os_errors("read", tokens.path), open(tokens.path, "rb") as file:
        file.seek(tokens.ids.offset)
        for first in range(0, len(tokens.ids), CHUNK):
            chunk = np.fromfile(file, tokens.ids.dtype, min(CHUNK, len(tokens.ids) - first))
            for extreme in (int(chunk.max()), int(chunk.min())):
                if not 0 <= extreme < size:
                    raise BadInput(f"{tokens.path} holds the token {extreme}, and the vocabulary goes from 0 to {size - 1}: "
                                   f"the file was made with another tokenizer")
            progress(chunk.nbytes)
    return tokens
