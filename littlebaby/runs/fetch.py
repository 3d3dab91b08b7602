"""Training texts copied into inputs/, by name or by URL; a file that this machine already has is not downloaded again.

Searched before the network: inputs/, the data that Kaggle attaches to a notebook, the corpora of NLTK, the cache of Hugging Face and
earlier downloads. An interrupted download is continued, in the same call and in the next one. A download is checked against its sha256
where that is known: for tinyshakespeare, and for a URL that ends in #sha256=...
"""
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urldefrag, urlsplit

from ..errors import BadInput, nearest
from . import disk, sources
from .store import Workspace

Progress = Callable[[str, int], None]


class Source(NamedTuple):
    """A text that has a name here"""
    url: str
    bytes: int | None       # None: unknown
    sha256: str | None      # None: unknown
    what: str


HUB = "https://huggingface.co/datasets"
KNOWN = dict(
    tinyshakespeare=Source("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt", 1_115_394,
                           "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed", "40,000 lines of Shakespeare"),
    tinystories=Source(f"{HUB}/roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-train.txt", None, None,
                       "stories in the words of a small child, 2 GB"),
    tinystories_valid=Source(f"{HUB}/roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-valid.txt", None, None,
                             "the same, 22 MB"),
    fineweb_edu=Source(f"{HUB}/HuggingFaceFW/fineweb-edu/resolve/main/sample/10BT/000_00000.parquet", None, None,
                       "educational web pages, the first file of the sample of ten billion tokens, 2 GB"))
PIECE = 1 << 20     # bytes
PATIENCE = 30       # seconds without a byte
ATTEMPTS = 5        # without a new byte, one after the other
TEXTS = ("*.txt", "*.md", "*.jsonl", "*.parquet", "*.gz")

# tasks as the Hugging Face hub has them: data set, configuration, split
HUB_TASKS = dict(
    arc_challenge=("allenai/ai2_arc", "ARC-Challenge", "test"), arc_easy=("allenai/ai2_arc", "ARC-Easy", "test"),
    boolq=("google/boolq", None, "validation"), hellaswag=("Rowan/hellaswag", None, "validation"),
    lambada=("EleutherAI/lambada_openai", "default", "test"), openbookqa=("allenai/openbookqa", "main", "test"),
    piqa=("ybisk/piqa", None, "validation"), winogrande=("allenai/winogrande", "winogrande_xl", "validation"))


def fetch(name: str, workspace: Workspace, progress: Progress = lambda what, n: None) -> Path:
    """Copy a text into inputs/; returns its path. A file that is there already is not overwritten.

    name      a key of KNOWN, the name of a text file on this machine, a URL, or datasets:NAME, which becomes inputs/NAME.jsonl
    progress  called with what is being done and how many more bytes are done
    BadInput: an unknown name, no network, a server that refuses, does not answer or interrupts every attempt, a wrong sha256.
    """
    word = str(name)
    if word.startswith(sources.DATASET):
        named = re.sub(r"[^\w.-]+", "_", word.removeprefix(sources.DATASET)).strip("._") or "dataset"
        rows = (f"{json.dumps(dict(text=text), ensure_ascii=False)}\n" for (text,) in sources.documents(word, "utf-8", "text"))
        return workspace.write_input(f"{named}.jsonl", with_progress(rows, progress))
    if "://" in word:
        url, mark = urldefrag(word)
        if urlsplit(url).scheme.lower() not in ("http", "https"):
            raise BadInput(f"{url} is no address that can be fetched; allowed are those that begin with https:// or http://")
        return copy_to_inputs(workspace, name_of(url), download(url, expected_sha256(mark), workspace, progress))
    if word.replace("-", "_") in KNOWN:
        word = word.replace("-", "_")
        source = KNOWN[word]
        remote = Path(urlsplit(source.url).path)
        target = workspace.root / "inputs" / f"{word}{remote.suffix or '.txt'}"
        if target.is_file() and matches_source(target, source):
            return target
        pattern = remote.name if source.sha256 is None else "*.txt"
        local = next((path for path in local_files(pattern) if matches_source(path, source)), None)
        return copy_to_inputs(workspace, target.name, local or download(source.url, source.sha256, workspace, progress))
    found = {path.name: path for pattern in TEXTS for path in local_files(pattern)}
    path = found.get(word) or found.get(f"{word}.txt")
    if path is None:
        raise BadInput(nearest("name", word, [*KNOWN, *sorted(found)[:20], "a URL", "datasets:NAME"]))
    return copy_to_inputs(workspace, path.name, path)


def with_progress(pieces: Iterable[str], progress: Progress) -> Iterator[str]:
    """The same pieces; `progress` is called after each, with its number of characters"""
    for piece in pieces:
        yield piece
        progress("fetching", len(piece))


def copy_to_inputs(workspace: Workspace, name: str, path: Path) -> Path:
    """Copy a file to inputs/NAME; returns that path. BadInput where it exists"""
    def pieces():
        with open(path, "rb") as file:
            while piece := file.read(PIECE):
                yield piece

    return workspace.write_input(name, pieces())


def local_files(pattern: str) -> Iterator[Path]:
    """The files that match a wildcard in the folders where other programs store texts"""
    hub = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub"
    folders = [Path("/kaggle/input"), *(Path(each) / "corpora" for each in nltk_folders()), *sorted(hub.glob("datasets--*/snapshots"))]
    return (path for folder in folders if folder.is_dir() for path in sorted(folder.rglob(pattern)) if path.is_file())


def nltk_folders() -> list[Path | str]:
    """The folders in which NLTK stores its data, according to its documentation"""
    configured = [each for each in os.environ.get("NLTK_DATA", "").split(os.pathsep) if each]
    return [*configured, Path.home() / "nltk_data", "/usr/share/nltk_data", "/usr/local/share/nltk_data", "/usr/lib/nltk_data"]


def matches_source(path: Path, source: Source) -> bool:
    """Whether a file, which has the name of a source, also has its size and its sha256, where these are known"""
    return source.sha256 is None or path.stat().st_size == source.bytes and disk.digest(path) == source.sha256


def name_of(url: str) -> str:
    """The file name in inputs/ for a URL: the end of its path, in characters that are allowed in a file name"""
    name = re.sub(r"[^\w.-]+", "_", unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]).lstrip("._")[-100:]
    name = name or re.sub(r"[^\w-]+", "_", urlsplit(url).hostname or "text")
    return name if "." in name else f"{name}.txt"


def expected_sha256(mark: str) -> str | None:
    """The hash of sha256=..., which follows the # of a URL, None where there is no such mark. BadInput: not 64 hexadecimal digits"""
    if "sha256" not in mark:
        return None
    if not re.fullmatch("sha256=[0-9a-fA-F]{64}", mark):
        raise BadInput(f"#{mark} is no sha256; allowed are 64 hexadecimal digits after #sha256=")
    return mark.removeprefix("sha256=").lower()


def download(url: str, expected: str | None, workspace: Workspace, progress: Progress = lambda what, n: None) -> Path:
    """Download a URL into the cache of pooch, unless it is there; returns its path

    expected: the sha256 of the file, or None. BadInput as in `fetch`.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")
    by_hand = f"without a network, put the file into {workspace.root / 'inputs'} by hand, or train on the nursery, which needs none"
    cache = Path(pooch.os_cache("littlebaby"))
    try:
        return Path(pooch.retrieve(url, expected and f"sha256:{expected}", path=cache, downloader=resuming(cache, expected, progress)))
    except requests.HTTPError as error:
        status = error.response is not None and f"{error.response.status_code} {error.response.reason}"
        raise BadInput(f"cannot fetch {url}: the server answers {status or error}") from None
    except Interrupted as error:
        raise BadInput(f"cannot fetch {url}: {error}; they are kept, and the next call continues from there") from None
    except (requests.ConnectionError, requests.Timeout):
        raise BadInput(f"cannot fetch {url}: the server cannot be reached; {by_hand}") from None
    except requests.RequestException as error:
        raise BadInput(f"cannot fetch {url}: {type(error).__name__}; {by_hand}") from None
    except ValueError:
        raise BadInput(f"cannot fetch {url}: its bytes do not have the sha256 {expected}; nothing was kept") from None
    except OSError as error:
        raise BadInput(f"cannot fetch {url}: {error.strerror or error}") from None


class Interrupted(Exception):
    """A server began to send a file and did not complete it"""


def resuming(cache: Path, expected: str | None, progress: Progress) -> Callable[[str, Any, Any], None]:
    """A downloader for pooch that continues an interrupted download: in this call, and in the next one from the part in the folder `cache`

    expected: the sha256 of the file, or None. Interrupted after ATTEMPTS without a new byte; errors of requests otherwise.
    """
    import requests
    import urllib3

    def get(url, part):
        """Make one attempt to download the rest of the file; returns whether it is complete"""
        notes, have = part.with_suffix(".json"), part.stat().st_size if part.exists() else 0
        version = disk.read_json(notes).get("version") if have and notes.exists() else None
        if have and not (version or expected):
            have = 0                                          # without both it is unknown whether the rest belongs to the same file
        headers = {"Accept-Encoding": "identity"}
        headers |= {"Range": f"bytes={have}-"} if have else {}
        headers |= {"If-Range": version} if version else {}
        with requests.get(url, headers=headers, stream=True, timeout=PATIENCE) as answer:
            if have and answer.status_code == 416:
                if answer.headers.get("Content-Range") == f"bytes */{have}":
                    return True
                disk.remove(part)
                return False
            answer.raise_for_status()
            continued = have and answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if answer.status_code == 206 and not continued:
                raise requests.ConnectionError("the server sends another part than the requested one")
            first = have if continued else 0
            if not continued:
                disk.write_json(notes, dict(url=url, version=version_of(answer.headers)))
            with open(part, "ab" if continued else "wb") as file:
                while piece := answer.raw.read1(PIECE):       # read1 gives what has arrived, so nothing is lost if the rest does not come
                    file.write(piece)
                    progress("fetching", len(piece))
                have = file.tell()
            if int(answer.headers.get("Content-Length", 0)) > have - first:
                raise requests.ConnectionError("the server sends fewer bytes than it announced")
        return True

    def download(url, output, _pooch):
        part = cache / f"{sha256(url.encode()).hexdigest()[:16]}.part"
        largest = fruitless = 0
        while True:
            try:
                if get(url, part):
                    break
            except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError):
                if not part.exists():
                    raise
            size = part.stat().st_size if part.exists() else 0
            largest, fruitless = max(largest, size), 0 if size > largest else fruitless + 1
            if fruitless == ATTEMPTS:
                raise Interrupted(f"the download was interrupted {ATTEMPTS} times after {largest:,} bytes")
        disk.rename(part, Path(output))
        disk.remove(part.with_suffix(".json"))

    return download


def version_of(headers: Mapping[str, str]) -> str | None:
    """The ETag or the date that identifies a version of a file on a server, None where the server sends neither"""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def questions(name: str) -> list[dict[str, Any]]:
    """The rows of a task of the Hugging Face hub, downloaded by the package datasets, which caches them. BadInput: an unknown name, no
    network, or no such package"""
    if name not in HUB_TASKS:
        raise BadInput(nearest("task", name, [*HUB_TASKS, "a JSONL file"]))
    try:
        from datasets import load_dataset
    except ImportError:
        raise BadInput(f"{name} from the hub needs the package datasets: pip install littlebaby[data]; or give a JSONL file of its "
                       f"rows") from None
    place, configuration, part = HUB_TASKS[name]
    try:
        return [dict(row) for row in load_dataset(place, configuration, split=part)]
    except Exception as error:         # no network, a data set that was removed, a full disk: the package raises errors of many types
        raise BadInput(f"cannot download {place}: {' '.join(str(error).split())[:200]}; a JSONL file of its rows works, too") from None
