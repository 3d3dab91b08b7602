"""Whole files or none: written under a temporary name, synced, renamed. What goes wrong is said in one sentence.

`write` is the way of every file: whoever is killed in it, wherever, leaves the old file or the new one under its name, and at most a
temporary one beside it. Only the store calls what writes here.
"""
import errno
import json
import os
import time
from contextlib import contextmanager, suppress
from hashlib import sha256
from math import isfinite
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from tempfile import TemporaryFile

from filelock import FileLock, Timeout

from ..errors import BadInput

TEMPORARY = ".part"
MOST_JSON = 4 * 2**30                   # bytes; nothing littlebaby writes as JSON comes near
ATTEMPTS = 20 if os.name == "nt" else 1  # Windows refuses to rename over a file that a virus scanner is reading

REASONS = {
    errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EROFS: "the disk is read-only",
    errno.EFBIG: "the file grows too large for this disk", errno.ENAMETOOLONG: "the name is too long",
    errno.EACCES: "permission is denied", errno.EPERM: "permission is denied", errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder", errno.ENOENT: "there is no such file",
    errno.EIO: "the disk does not answer as it should",
}
NO_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF)    # what disks say that cannot sync a folder


class InUse(BadInput):
    """Somebody else holds the lock"""


class CannotWrite(BadInput):
    """The disk refuses to write or to lock"""


@contextmanager
def explain_os_errors(verb, path):
    """An OSError inside becomes one sentence: cannot VERB PATH: the reason"""
    try:
        yield
    except OSError as error:
        reason = REASONS.get(error.errno or 0) or error.strerror or str(error)
        kind = CannotWrite if verb in ("write", "lock") else BadInput
        raise kind(f"cannot {verb} {shortened(path)}: {reason}") from None


def shortened(path):
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-60:]}"


@contextmanager
def replacing(path):
    """A temporary file beside `path` to write into; it takes the place of `path` when all went well, and is gone when not"""
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
        with suppress(OSError):                  # a disk that refuses this, too, has said so already
            temporary.unlink(missing_ok=True)


def rename(temporary, path):
    for attempt in range(ATTEMPTS):
        try:
            return os.replace(temporary, path)
        except PermissionError:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.05)


def sync_folder(folder):
    """Makes the new name itself last"""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in NO_FOLDERS:
            raise


def write_file(path, pieces):
    """A file of these pieces of bytes, in the place of the one that may be there"""
    with replacing(path) as temporary, open(temporary, "xb") as file:
        for piece in pieces:
            file.write(piece)


def require_writable(folder):
    """CannotWrite where no file can be made in a folder, or in the nearest that exists above it; leaves nothing"""
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    with explain_os_errors("write", folder), TemporaryFile(dir=nearest):
        pass


def write_json(path, data):
    # a lone surrogate, as a terminal may hand over, becomes the escape that JSON has for it
    write_file(path, [indented_json(data).encode("utf-8", "backslashreplace")])


def indented_json(data):
    """JSON for people too: every key on its own line, and every item of what it holds; deeper things stay on that line"""
    line = lambda value: json.dumps(value, ensure_ascii=False, allow_nan=False)

    def opened(value):
        if isinstance(value, dict) and value:
            return "{\n  " + ",\n  ".join(f"{line(k)}: {line(v)}" for k, v in value.items()) + "\n }"
        if isinstance(value, list) and value:
            return "[\n  " + ",\n  ".join(map(line, value)) + "\n ]"
        return line(value)

    return "{\n " + ",\n ".join(f"{line(k)}: {opened(v)}" for k, v in data.items()) + "\n}\n"


def remove(path):
    """A file or a whole folder; a link goes, what it points to stays"""
    with explain_os_errors("delete", path):
        if path.is_dir() and not path.is_symlink():
            rmtree(path)
        else:
            path.unlink(missing_ok=True)


def read_bytes(path):
    with explain_os_errors("read", path):
        return Path(path).read_bytes()


def read_json(path):
    """What a JSON file holds. BadInput: missing, too large, not UTF-8, damaged, or a number in it that is none"""
    with explain_os_errors("read", path):
        if path.stat().st_size > MOST_JSON:
            raise BadInput(f"{path} is larger than {MOST_JSON / 2**30:.0f} GiB, more than a JSON file of littlebaby ever is")
    return parse(read_bytes(path), path)


def parse(data, where):
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=not_a_number, parse_float=number)
    except BadInput as error:
        raise BadInput(f"{where} holds {error}, which is no number to go on with") from None
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        what = "is empty" if not data.strip() else "is truncated" if cut else f"is damaged: {error.msg.lower()}"
        raise BadInput(f"{where} {what} (line {error.lineno}, column {error.colno})") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is damaged: the byte at {error.start} is not UTF-8") from None
    except (ValueError, RecursionError):
        raise BadInput(f"{where} is damaged: nested too deep, or a number too long") from None


def not_a_number(word):
    raise BadInput(word)


def number(text):
    value = float(text)
    return value if isfinite(value) else not_a_number(text)


@contextmanager
def locked(path, sentence, patience=0.5):
    """Holds the lock file `path`, after `patience` seconds at most, in which whoever only looks is gone again

    InUse(sentence): another process, or another part of this one, holds it. The system frees what the dead held.
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


def is_locked(path):
    """Whether somebody holds the lock file `path`"""
    if not path.exists():
        return False
    try:
        with locked(path, "", 0):
            return False
    except InUse:
        return True
    except BadInput:                             # a folder to read only: nobody trains in it
        return False


def digest(path):
    """sha256 of a file's bytes, in hexadecimal"""
    with explain_os_errors("read", path), open(path, "rb") as file:
        seen = sha256()
        while piece := file.read(2**20):
            seen.update(piece)
        return seen.hexdigest()
