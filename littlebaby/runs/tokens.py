"""Token files: a text as the numbers a model reads, mapped into memory as it lies. Nothing is loaded but what is looked at.

    bytes 0-7      LBTOKENS
          8-11     version, 1
          12-15    bytes per token, 2 (uint16) or 4 (uint32)
          16-23    count of tokens
          24-27    size of the vocabulary
          28-31    length of the record at the end
          32-63    sha256 of the tokenizer: of its record as JSON with sorted keys and no spaces
          64-      the tokens; then the record, JSON: the tokenizer, and what the text was
All numbers are unsigned and little-endian. Documents end with what the tokenizer's `begin` spells, for it stands before the next one.

Two forms of other systems are read as well, .bin, which is bare uint16, and .npy, a row of int32 or another whole number. They do not
say which tokenizer made them, so that one has to be named.
"""
import json
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import BadInput
from . import disk

SUFFIXES = (".tok", ".bin", ".npy")
HEAD = struct.Struct("<8sIIQII32s")
MAGIC, FORMAT = b"LBTOKENS", 1
MOST_RECORD = 2**26      # bytes
CHUNK = 2**22            # tokens that are looked through at a time
ASK = "give the path of its tokenizer.json as c_tokenizer"


class Tokens(NamedTuple):
    path: Path
    ids: Any                 # (n,) a memory map
    tokenizer: dict | None   # its record; None where the file does not know
    vocabulary: int          # 0 where the file does not know
    characters: int          # of the text, 0 where the file does not know
    bytes: int               # of this file
    sha256: str              # of the header and the record, which holds that of the tokens; of a bare file's bytes


def fingerprint(tokenizer):
    """sha256 of a tokenizer's record, as bytes; equal for equal tokenizers whoever wrote them down"""
    return sha256(json.dumps(tokenizer, sort_keys=True, separators=(",", ":")).encode("utf-8", "backslashreplace")).digest()


def token_dtype(vocabulary):
    """The type of a token that can be any of so many"""
    return np.dtype("<u2") if vocabulary <= 2**16 else np.dtype("<u4")


def write_token_file(file, blocks, tokenizer, size, text):
    """Write a token file into an open, empty one, as the blocks come; returns the number of tokens.

    blocks     the ids as bytes of the right width
    tokenizer  its record      size  of its vocabulary
    text       what the record says of the text, asked for at the end
    """
    dtype, written, digest = token_dtype(size), 0, sha256()
    file.write(bytes(HEAD.size))
    for block in blocks:
        file.write(block)
        digest.update(block)
        written += len(block)
    record = json.dumps(dict(tokenizer=tokenizer, sha256=digest.hexdigest(), **text()), ensure_ascii=True).encode()
    file.write(record)
    file.seek(0)
    count = written // dtype.itemsize
    file.write(HEAD.pack(MAGIC, FORMAT, dtype.itemsize, count, size, len(record), fingerprint(tokenizer)))
    return count


def read_token_file(path):
    """Map a token file into memory. BadInput: damaged, cut off, longer than it says, or another tokenizer than it says."""
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


def read_with_header(path, head):
    length = path.stat().st_size
    if head[:8] != MAGIC[:len(head)]:
        raise BadInput(f"{path} is not a token file: it does not begin with {MAGIC.decode()}; `littlebaby prepare` makes one from a text")
    if len(head) < HEAD.size:
        raise BadInput(f"{path} is truncated in its header: it has {length} bytes and a header {HEAD.size}")
    _, version, wide, count, size, tail, digest = HEAD.unpack(head)
    if version != FORMAT:
        raise BadInput(f"{path} is a token file of version {version}; this littlebaby reads version {FORMAT}: prepare it anew")
    if wide not in (2, 4) or not 0 < size <= 2**24 or tail > MOST_RECORD:
        raise BadInput(f"{path} is damaged: its header says {wide} bytes a token, a vocabulary of {size}, a record of {tail} bytes")
    if length != (due := HEAD.size + count * wide + tail):
        what = "is truncated" if length < due else "is longer than its header says"
        raise BadInput(f"{path} {what}: {count:,} tokens make {due:,} bytes and it has {length:,}")
    with disk.explain_os_errors("read", path), open(path, "rb") as file:
        file.seek(HEAD.size + count * wide)
        data = file.read()
    record = disk.parse(data, path)
    if not isinstance(record, dict) or not isinstance(record.get("tokenizer"), dict):
        raise BadInput(f"{path} is damaged: its record has no tokenizer")
    if fingerprint(record["tokenizer"]) != digest:
        raise BadInput(f"{path} is damaged: its tokenizer is not the one that its header's sha256 names")
    characters = record.get("characters")
    known = characters if type(characters) is int and 0 <= characters < 2**63 else 0
    ids = memory_map(path, f"<u{wide}", HEAD.size, count)
    return Tokens(path, ids, record["tokenizer"], size, known, length, sha256(head + data).hexdigest())


def read_headerless(path):
    """Tokens without a header, as nanoGPT and others write them"""
    length = path.stat().st_size
    if length % 2:
        raise BadInput(f"{path} has {length:,} bytes, an odd number: a .bin file holds tokens of two bytes each")
    return Tokens(path, memory_map(path, "<u2", 0, length // 2), None, 0, 0, length, disk.digest(path))


def read_npy(path):
    """Tokens as np.save writes them"""
    try:
        with open(path, "rb") as file:
            read_head = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, dtype = read_head[np.lib.format.read_magic(file)](file)
            offset = file.tell()
    except OSError:
        raise
    except Exception:                                            # its header is read as Python source, which can fail in any way
        raise BadInput(f"{path} is not a readable .npy file: its header is damaged, or of a version that is not known") from None
    if len(shape) != 1 or dtype.kind not in "iu" or dtype.itemsize > 4:
        raise BadInput(f"{path} holds numbers of shape {shape} and type {dtype}; tokens are a row of whole numbers, int32 or smaller")
    length, due = path.stat().st_size, offset + shape[0] * dtype.itemsize
    if length != due:
        raise BadInput(f"{path} {'is truncated' if length < due else 'is longer than its header says'}: "
                       f"{shape[0]:,} tokens make {due:,} bytes and it has {length:,}")
    return Tokens(path, memory_map(path, dtype, offset, shape[0]), None, 0, 0, length, disk.digest(path))


def memory_map(path, dtype, offset, count):
    if not count:
        raise BadInput(f"{path} holds no tokens: there is nothing to learn from")
    with disk.explain_os_errors("read", path):
        return np.memmap(path, dtype, "r", offset, (count,))


def check_ids(tokens, size, progress=lambda done: None):
    """The tokens, each of which must be in a vocabulary of this size: one pass over the file, progress told in bytes"""
    with disk.explain_os_errors("read", tokens.path), open(tokens.path, "rb") as file:
        file.seek(tokens.ids.offset)
        for first in range(0, len(tokens.ids), CHUNK):
            stretch = np.fromfile(file, tokens.ids.dtype, min(CHUNK, len(tokens.ids) - first))
            for worst in (int(stretch.max()), int(stretch.min())):
                if not 0 <= worst < size:
                    raise BadInput(f"{tokens.path} holds the token {worst}, and its vocabulary goes from 0 to {size - 1}: "
                                   f"it was made with another tokenizer")
            progress(stretch.nbytes)
    return tokens
