"""Bytes as text: in the encoding that is given, or one sentence that names the place that does not fit and an encoding that would."""
import codecs
from io import BytesIO, TextIOWrapper

from ..errors import BadInput, quoted

PIECE = 2**20            # bytes that are read at a time
LOOKED_AT = 2**16        # bytes from which the likely encoding is told
COMMON = "utf-8, utf-16, latin-1, cp1252"


def decoded(file, path, encoding):
    """The text of an open binary file in pieces, without a byte-order mark. BadInput names the offset, and of a .jsonl the line."""
    decoder, read, line, start = decoder_of(encoding), 0, 1, b""
    while True:
        data = file.read(PIECE)
        start = start or data[:LOOKED_AT]
        try:
            piece = decoder.decode(data, not data)
        except UnicodeDecodeError as error:
            line += good(error).count("\n")
            where = f"{path}, line {line}," if ".jsonl" in path.name.lower() else str(path)
            offset = read + len(data) - len(error.object) + error.start
            near = error.object[error.start:error.start + LOOKED_AT]
            raise BadInput(f"{where} is not {encoding.upper()}: byte {error.object[error.start]:#04x} at offset {offset} does not fit; "
                           f"give --encoding, for example --encoding {likely(start, near, encoding)}") from None
        except UnicodeError:
            raise BadInput(f"{path} is not {encoding.upper()}: there is no byte-order mark at offset 0; give --encoding, for example "
                           f"--encoding {likely(start, start, encoding)}") from None
        if not read and not is_wide(encoding) and (wide := without_mark(start)):
            raise BadInput(f"{path} is not {encoding.upper()}: from offset {start.index(0)} on every other byte is zero; give --encoding, "
                           f"for example --encoding {wide}")
        yield piece if read else piece.removeprefix("\ufeff")
        read += len(data)
        line += piece.count("\n")
        if not data:
            return


def decoder_of(encoding):
    try:
        TextIOWrapper(BytesIO(), encoding)       # refuses codecs that are not of text, such as hex
        return codecs.getincrementaldecoder(encoding)()
    except (LookupError, ValueError):
        raise BadInput(f"--encoding {quoted(encoding)} is not an encoding; common ones are {COMMON}") from None


def good(error):
    """The text before a byte that does not fit"""
    return error.object[:error.start].decode(error.encoding, "replace")


def likely(start, near, encoding):
    """The encoding that a file is probably in, by its first bytes and those around a place that does not fit `encoding`"""
    if start[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if wide := without_mark(start):
        return wide
    fitting = ["utf-8", "cp1252", "latin-1"] if any(0x80 <= byte < 0xa0 for byte in near) else ["utf-8", "latin-1", "cp1252"]
    others = [name for name in fitting if codecs.lookup(name) != codecs.lookup(encoding)]
    return next(name for name in others if is_decodable(start, name) and is_decodable(near, name))


def is_wide(encoding):
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def without_mark(start):
    """utf-16-le or -be where every other byte is zero more often than a text of single bytes could have it, else None"""
    even, odd = start[::2].count(0), start[1::2].count(0)
    return None if max(even, odd) <= len(start) // 8 else "utf-16-le" if odd > even else "utf-16-be"


def is_decodable(data, encoding):
    """Whether bytes can be read so, but for a character that their end cuts"""
    try:
        codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeError:
        return False
    return True


def doubt(line, encoding):
    """What to say of a line that is not JSON where its encoding may be why: "" where there is no sign of that"""
    better = is_wide(encoding) and is_decodable(line.encode(encoding, "ignore").removeprefix(codecs.BOM_UTF16), "utf-8")
    return f"; it was read as {encoding.upper()}, and its bytes are UTF-8: try --encoding utf-8" if better else ""
