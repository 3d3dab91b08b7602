"""Decoding a file in a given encoding. An error names the position that cannot be decoded and an encoding that probably fits."""
import codecs
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

from ..errors import BadInput, quoted

PIECE = 2**20            # bytes that are read at a time
EXAMINED = 2**16         # bytes from which the likely encoding is guessed
COMMON = "utf-8, utf-16, latin-1, cp1252"


def decoded(file: Any, path: Path, encoding: str) -> Iterator[str]:
    """The text of an open binary file in pieces, without a byte-order mark

    path: its name, for the errors
    BadInput: an unknown encoding; bytes that it cannot decode, with their offset and, in a .jsonl, the line.
    """
    decoder, read, line, start = decoder_of(encoding), 0, 1, b""
    while True:
        data = file.read(PIECE)
        start = start or data[:EXAMINED]
        try:
            piece = decoder.decode(data, not data)
        except UnicodeDecodeError as error:
            line += text_before(error).count("\n")
            where = f"{path}, line {line}," if ".jsonl" in path.name.lower() else str(path)
            offset = read + len(data) - len(error.object) + error.start
            near = error.object[error.start:error.start + EXAMINED]
            raise BadInput(f"{where} is not {encoding.upper()}: byte {error.object[error.start]:#04x} at offset {offset} is invalid; "
                           f"give --encoding, for example --encoding {likely(start, near, encoding)}") from None
        except UnicodeError:
            raise BadInput(f"{path} is not {encoding.upper()}: there is no byte-order mark at offset 0; give --encoding, for example "
                           f"--encoding {likely(start, start, encoding)}") from None
        if not read and not is_wide(encoding) and (wide := utf16_without_mark(start)):
            raise BadInput(f"{path} is not {encoding.upper()}: from offset {start.index(0)} on every other byte is zero; give --encoding, "
                           f"for example --encoding {wide}")
        yield piece if read else piece.removeprefix("\ufeff")
        read += len(data)
        line += piece.count("\n")
        if not data:
            return


def decoder_of(encoding: str) -> codecs.IncrementalDecoder:
    """A decoder for pieces of bytes. BadInput for an unknown encoding"""
    try:
        TextIOWrapper(BytesIO(), encoding)       # refuses codecs that do not give text, such as hex
        return codecs.getincrementaldecoder(encoding)()
    except (LookupError, ValueError):
        raise BadInput(f"--encoding {quoted(encoding)} is not an encoding; common ones are {COMMON}") from None


def text_before(error: UnicodeDecodeError) -> str:
    """The text before an invalid byte"""
    return error.object[:error.start].decode(error.encoding, "replace")


def likely(start: bytes, near: bytes, encoding: str) -> str:
    """The encoding that a file probably has, from its first bytes and from those after a byte that is invalid in `encoding`"""
    if start[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if wide := utf16_without_mark(start):
        return wide
    candidates = ["utf-8", "cp1252", "latin-1"] if any(0x80 <= byte < 0xa0 for byte in near) else ["utf-8", "latin-1", "cp1252"]
    others = [name for name in candidates if codecs.lookup(name) != codecs.lookup(encoding)]
    return next(name for name in others if is_decodable(start, name) and is_decodable(near, name))


def is_wide(encoding: str) -> bool:
    """Whether an encoding takes 2 or 4 bytes a character"""
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def utf16_without_mark(start: bytes) -> str | None:
    """utf-16-le or utf-16-be where every other byte is zero, more often than in a text of single bytes, else None"""
    even, odd = start[::2].count(0), start[1::2].count(0)
    return None if max(even, odd) <= len(start) // 8 else "utf-16-le" if odd > even else "utf-16-be"


def is_decodable(data: bytes, encoding: str) -> bool:
    """Whether bytes are valid in an encoding; a character may be incomplete at their end"""
    try:
        codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeError:
        return False
    return True


def encoding_hint(line: str, encoding: str) -> str:
    """The end of a sentence on a line that is not JSON, where the encoding may be the cause; "" where nothing suggests that"""
    better = is_wide(encoding) and is_decodable(line.encode(encoding, "ignore").removeprefix(codecs.BOM_UTF16), "utf-8")
    return f"; it was read as {encoding.upper()}, and its bytes are UTF-8: try --encoding utf-8" if better else ""
