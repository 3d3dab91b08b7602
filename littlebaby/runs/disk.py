"""Reading and writing files: atomic writes, JSON, locks, and an error of one sentence for everything that can go wrong.

Every file is written under a temporary name, synced to the disk and then renamed. A process that is killed meanwhile leaves the old file or
the new one under its name, and at most a temporary file beside it. Only the store calls the functions that write.
"""
import errno
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from math import isfinite
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from tempfile import TemporaryFile
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from ..errors import BadInput

TEMPORARY = ".part"
MOST_JSON = 4 * 2**30                   # bytes; no JSON file of littlebaby is nearly as large
ATTEMPTS = 20 if os.name == "nt" else 1  # Windows refuses to rename over a file that a virus scanner is reading

REASONS = {
    errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EROFS: "the disk is read-only",
    errno.EFBIG: "the file is too large for this disk", errno.ENAMETOOLONG: "the name is too long",
    errno.EACCES: "permission is denied", errno.EPERM: "permission is denied", errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder", errno.ENOENT: "there is no such file",
    errno.EIO: "the disk reports an error",
}
NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF)    # errors of disks that cannot sync a folder


class InUse(BadInput):
    """Another process holds the lock"""


class CannotWrite(BadInput):
    """The disk refuses to write or to lock"""


@contextmanager
def explain_os_errors(verb: str, path: Path | str) -> Iterator[None]:
    """Turn an OSError inside into one sentence: cannot VERB PATH: the reason. CannotWrite where the verb is write or lock, else BadInput"""
    try:
        yield
    except OSError as error:
        reason = REASONS.get(error.errno or 0) or error.strerror or str(error)
        kind = CannotWrite if verb in ("write", "lock") else BadInput
        raise kind(f"cannot {verb} {shortened(path)}: {reason}") from None


def shortened(path: Path | str) -> str:
    """The path, shortened in the middle to some 160 characters where it has more than 200"""
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-60:]}"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The path of a temporary file to write; it replaces `path` at the end, and is deleted where an error occurs. CannotWrite"""
    temporary = path.with_name(f".{path.name[:180]}.{token_hex(4)}{TEMPORARY}")
    try:
        with explain_os_errors("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            rename(temporary, path)
            if os.name != "nt":
                sync_folder(path.parent)
    finally:
        with suppress(OSError):                  # a disk that refuses this as well has already caused an error
            temporary.unlink(missing_ok=True)


def rename(temporary: Path, path: Path) -> None:
    """Rename a file, over an existing one too. OSError"""
    for attempt in range(ATTEMPTS):
        try:
            return os.replace(temporary, path)
        except PermissionError:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.05)


def sync_folder(folder: Path) -> None:
    """Make the new name of a file durable. OSError"""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise


def write_file(path: Path, pieces: Iterable[Any]) -> None:
    """Write a file of these pieces of bytes (or buffers); an existing one is replaced. CannotWrite"""
    with replacing(path) as temporary, open(temporary, "xb") as file:
        for piece in pieces:
            file.write(piece)


def require_writable(folder: Path) -> None:
    """CannotWrite where no file can be written into a folder, or into its nearest parent that exists; leaves no file"""
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    with explain_os_errors("write", folder), TemporaryFile(dir=nearest):
        pass


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write an object as indented JSON. CannotWrite"""
    # half of a surrogate pair, which a terminal may pass on, becomes its escape in JSON
    write_file(path, [indented_json(data).encode("utf-8", "backslashreplace")])


def indented_json(data: dict[str, Any]) -> str:
    """JSON that people can read: each key on its own line, and each item of its value; what is nested deeper stays on that line

    ValueError for NaN and Infinity.
    """
    line = lambda value: json.dumps(value, ensure_ascii=False, allow_nan=False)

    def indented(value):
        if isinstance(value, dict) and value:
            return "{\n  " + ",\n  ".join(f"{line(k)}: {line(v)}" for k, v in value.items()) + "\n }"
        if isinstance(value, list) and value:
            return "[\n  " + ",\n  ".join(map(line, value)) + "\n ]"
        return line(value)

    return "{\n " + ",\n ".join(f"{line(k)}: {indented(v)}" for k, v in data.items()) + "\n}\n"


def remove(path: Path) -> None:
    """Delete a file or a whole folder, if it exists; of a link the link, not its target. BadInput"""
    with explain_os_errors("delete", path):
        if path.is_dir() and not path.is_symlink():
            rmtree(path)
        else:
            path.unlink(missing_ok=True)


def read_bytes(path: Path | str) -> bytes:
    """The bytes of a file. BadInput"""
    with explain_os_errors("read", path):
        return Path(path).read_bytes()


def read_json(path: Path) -> Any:
    """The value that a JSON file holds. BadInput: missing, too large, not UTF-8, damaged, or with NaN or Infinity in it"""
    with explain_os_errors("read", path):
        if path.stat().st_size > MOST_JSON:
            raise BadInput(f"{path} is larger than {MOST_JSON / 2**30:.0f} GiB, the largest JSON file that is read")
    return parse(read_bytes(path), path)


def parse(data: bytes, where: Path | str) -> Any:
    """The value of JSON in UTF-8. where: the file that the error names. BadInput: not UTF-8, damaged, or with NaN or Infinity in it"""
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=not_a_number, parse_float=number)
    except BadInput as error:
        raise BadInput(f"{where} holds {error}; allowed are finite numbers") from None
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        what = "is empty" if not data.strip() else "is truncated" if cut else f"is damaged: not valid JSON, {error.msg.lower()}"
        raise BadInput(f"{where} {what} (line {error.lineno}, column {error.colno})") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is damaged: the byte at {error.start} is not UTF-8") from None
    except (ValueError, RecursionError):
        raise BadInput(f"{where} is damaged: nested too deep, or a number too long") from None


def not_a_number(word: str) -> NoReturn:
    """BadInput with only this word, which `parse` puts into a sentence"""
    raise BadInput(word)


def number(text: str) -> float:
    """The finite number of a JSON text. BadInput, see `not_a_number`"""
    value = float(text)
    return value if isfinite(value) else not_a_number(text)


@contextmanager
def locked(path: Path, sentence: str, patience: float = 0.5) -> Iterator[None]:
    """Hold the lock file `path`; the operating system releases it where the process dies

    patience: how many seconds to wait for it at most; `is_locked` of another process holds it for less than the default
    InUse(sentence) where another process, or another part of this one, holds it.
    """
    with explain_os_errors("lock", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            raise InUse(sentence) from None
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether the lock file `path` is held"""
    if not path.exists():
        return False
    try:
        with locked(path, "", 0):
            return False
    except InUse:
        return True
    except BadInput:                             # a read-only folder: no process can train in it
        return False


def digest(path: Path) -> str:
    """sha256 of the bytes of a file, in hexadecimal. BadInput"""
    with explain_os_errors("read", path), open(path, "rb") as file:
        total = sha256()
        while piece := file.read(2**20):
            total.update(piece)
        return total.hexdigest()
