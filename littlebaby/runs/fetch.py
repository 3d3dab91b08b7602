"""Texts to learn from, brought into inputs/: by name or by URL, and from this machine where it has them already.

Looked through before the network: inputs/, what Kaggle attaches to a notebook, NLTK's corpora, the cache of Hugging Face and what was
downloaded before. A download that breaks off is gone on with, here and in the next call. It is checked against its sha256 where that is
known: for tinyshakespeare, and for a URL that ends in #sha256=...
"""
import json
import os
import re
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urlsplit

from ..errors import BadInput, nearest
from . import disk, sources


class Source(NamedTuple):
    url: str
    bytes: int | None       # None: not known here
    sha256: str | None      # None: not known here
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
                       "pages that teach, the first file of the sample of ten billion tokens, 2 GB"))
PIECE = 1 << 20     # bytes
PATIENCE = 30       # seconds without a byte
ATTEMPTS = 5        # in a row that bring nothing
TEXTS = ("*.txt", "*.md", "*.jsonl", "*.parquet", "*.gz")

# tasks as the Hugging Face hub has them: data set, configuration, split
HUB_TASKS = dict(
    arc_challenge=("allenai/ai2_arc", "ARC-Challenge", "test"), arc_easy=("allenai/ai2_arc", "ARC-Easy", "test"),
    boolq=("google/boolq", None, "validation"), hellaswag=("Rowan/hellaswag", None, "validation"),
    lambada=("EleutherAI/lambada_openai", "default", "test"), openbookqa=("allenai/openbookqa", "main", "test"),
    piqa=("ybisk/piqa", None, "validation"), winogrande=("allenai/winogrande", "winogrande_xl", "validation"))


def fetch(name, workspace, progress=lambda what, n: None):
    """inputs/NAME.txt for a known name, a text file that lies on this machine, or a URL; returns its path. What is there stays.
    datasets:NAME becomes inputs/NAME.jsonl.

    progress is told what is being done and how many bytes more have been.
    BadInput: a name that nobody knows, no network, a server that says no, stalls or breaks off again and again, bytes that are not the
    expected ones.
    """
    word = str(name)
    if word.startswith(sources.DATASET):
        named = re.sub(r"[^\w.-]+", "_", word.removeprefix(sources.DATASET)).strip("._") or "dataset"
        rows = (f"{json.dumps(dict(text=text), ensure_ascii=False)}\n" for (text,) in sources.documents(word, "utf-8", "text"))
        return workspace.write_input(f"{named}.jsonl", with_progress(rows, progress))
    if "://" in word:
        url, mark = urldefrag(word)
        if urlsplit(url).scheme.lower() not in ("http", "https"):
            raise BadInput(f"{url} is no address to fetch from; those begin with https:// or http://")
        return copy_to_inputs(workspace, name_of(url), download(url, pin(mark), workspace, progress))
    if word.replace("-", "_") in KNOWN:
        word = word.replace("-", "_")
        source = KNOWN[word]
        end = Path(urlsplit(source.url).path)
        lies = workspace.root / "inputs" / f"{word}{end.suffix or '.txt'}"
        if lies.is_file() and matches_source(lies, source):
            return lies
        named = end.name if source.sha256 is None else "*.txt"
        found = next((path for path in local_files(named) if matches_source(path, source)), None)
        return copy_to_inputs(workspace, lies.name, found or download(source.url, source.sha256, workspace, progress))
    found = {path.name: path for pattern in TEXTS for path in local_files(pattern)}
    path = found.get(word) or found.get(f"{word}.txt")
    if path is None:
        raise BadInput(nearest("name", word, [*KNOWN, *sorted(found)[:20]]) + "; a URL will do, too, and datasets:NAME")
    return copy_to_inputs(workspace, path.name, path)


def with_progress(pieces, progress):
    for piece in pieces:
        yield piece
        progress("fetching", len(piece))


def copy_to_inputs(workspace, name, path):
    """A copy in inputs/"""
    def pieces():
        with open(path, "rb") as file:
            while piece := file.read(PIECE):
                yield piece

    return workspace.write_input(name, pieces())


def local_files(pattern):
    """Files in the places where other tools leave texts"""
    hub = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub"
    folders = [Path("/kaggle/input"), *(Path(each) / "corpora" for each in nltk()), *sorted(hub.glob("datasets--*/snapshots"))]
    return (path for folder in folders if folder.is_dir() for path in sorted(folder.rglob(pattern)) if path.is_file())


def nltk():
    """Where NLTK keeps its data, as its own documentation lists it"""
    named = [each for each in os.environ.get("NLTK_DATA", "").split(os.pathsep) if each]
    return [*named, Path.home() / "nltk_data", "/usr/share/nltk_data", "/usr/local/share/nltk_data", "/usr/lib/nltk_data"]


def matches_source(path, source):
    """Whether a file is what a source names; where its bytes are not known here, its name has to do"""
    return source.sha256 is None or path.stat().st_size == source.bytes and disk.digest(path) == source.sha256


def name_of(url):
    """The name under which a URL's text lies in inputs/: the end of its path, as a file may be called"""
    name = re.sub(r"[^\w.-]+", "_", unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]).lstrip("._")[-100:]
    name = name or re.sub(r"[^\w-]+", "_", urlsplit(url).hostname or "text")
    return name if "." in name else f"{name}.txt"


def pin(mark):
    """The hash in a URL's #sha256=..., None where there is no such mark"""
    if "sha256" not in mark:
        return None
    if not re.fullmatch("sha256=[0-9a-fA-F]{64}", mark):
        raise BadInput(f"#{mark} is no sha256: that is 64 hexadecimal digits after #sha256=")
    return mark.removeprefix("sha256=").lower()


def download(url, expected, workspace, progress=lambda what, n: None):
    """The bytes of a URL as a file in pooch's cache; one that lies there is not fetched again"""
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")
    by_hand = f"with no network, put the file into {workspace.root / 'inputs'} by hand, or learn from the nursery, which needs none"
    cache = Path(pooch.os_cache("littlebaby"))
    try:
        return Path(pooch.retrieve(url, expected and f"sha256:{expected}", path=cache, downloader=resuming(cache, expected, progress)))
    except requests.HTTPError as error:
        said = error.response is not None and f"{error.response.status_code} {error.response.reason}"
        raise BadInput(f"cannot fetch {url}: the server answers {said or error}") from None
    except BrokenOff as error:
        raise BadInput(f"cannot fetch {url}: {error}; they are kept, and the next call goes on from there") from None
    except (requests.ConnectionError, requests.Timeout):
        raise BadInput(f"cannot fetch {url}: the server cannot be reached; {by_hand}") from None
    except requests.RequestException as error:
        raise BadInput(f"cannot fetch {url}: {type(error).__name__}; {by_hand}") from None
    except ValueError:
        raise BadInput(f"cannot fetch {url}: its bytes are not the ones with sha256 {expected}; nothing was kept") from None
    except OSError as error:
        raise BadInput(f"cannot fetch {url}: {error.strerror or error}") from None


class BrokenOff(Exception):
    """A server that began to send a file and did not end"""


def resuming(cache, expected, progress):
    """A downloader for pooch that goes on where it broke off: within this call, and in the next one with what it left in `cache`"""
    import requests
    import urllib3

    def get(url, part):
        """One attempt to bring the rest of the file; True where it has come to its end"""
        about, have = part.with_suffix(".json"), part.stat().st_size if part.exists() else 0
        known = disk.read_json(about).get("version") if have and about.exists() else None
        if have and not (known or expected):
            have = 0                                          # nobody could tell whether the rest belongs to it
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {}), **({"If-Range": known} if known else {})}
        with requests.get(url, headers=headers, stream=True, timeout=PATIENCE) as answer:
            if have and answer.status_code == 416:
                if answer.headers.get("Content-Range") == f"bytes */{have}":
                    return True
                disk.remove(part)
                return False
            answer.raise_for_status()
            going_on = have and answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if answer.status_code == 206 and not going_on:
                raise requests.ConnectionError("another part than the one that was asked for")
            first = have if going_on else 0
            if not going_on:
                disk.write_json(about, dict(url=url, version=version_of(answer.headers)))
            with open(part, "ab" if going_on else "wb") as file:
                while piece := answer.raw.read1(PIECE):       # what has come, however little: it is not lost if no more does
                    file.write(piece)
                    progress("fetching", len(piece))
                have = file.tell()
            if int(answer.headers.get("Content-Length", 0)) > have - first:
                raise requests.ConnectionError("fewer bytes than were announced")
        return True

    def download(url, output, _pooch):
        part = cache / f"{sha256(url.encode()).hexdigest()[:16]}.part"
        best = fruitless = 0
        while True:
            try:
                if get(url, part):
                    break
            except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError):
                if not part.exists():
                    raise
            came = part.stat().st_size if part.exists() else 0
            best, fruitless = max(best, came), 0 if came > best else fruitless + 1
            if fruitless == ATTEMPTS:
                raise BrokenOff(f"it broke off {ATTEMPTS} times after {best:,} bytes")
        disk.rename(part, Path(output))
        disk.remove(part.with_suffix(".json"))

    return download


def version_of(headers):
    """What tells one version of a file on a server from the next, None where nothing does"""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def questions(name):
    """The rows of a task on the Hugging Face hub, brought by the package datasets, which keeps them for the next time"""
    if name not in HUB_TASKS:
        raise BadInput(nearest("task", name, HUB_TASKS) + "; a JSONL file will do, too")
    try:
        from datasets import load_dataset
    except ImportError:
        raise BadInput(f"{name} from the hub needs the package datasets: pip install littlebaby[data]; or give a JSONL file of its "
                       f"rows") from None
    place, configuration, part = HUB_TASKS[name]
    try:
        return [dict(row) for row in load_dataset(place, configuration, split=part)]
    except Exception as error:         # no network, no such set any more, a full disk: the package has many names for it
        raise BadInput(f"cannot bring {place}: {' '.join(str(error).split())[:200]}; a JSONL file of its rows will do, too") from None
