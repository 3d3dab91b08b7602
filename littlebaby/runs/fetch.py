"""Texts to learn from, brought into inputs/: by name or by URL, and from this machine where it has them already.

Looked through before the network: inputs/, what Kaggle attaches to a notebook, NLTK's corpora and what was downloaded before. A download
is checked against its sha256 where that is known: for the names in KNOWN, and for a URL that ends in #sha256=...
"""
import os
import re
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urlsplit

from ..errors import BadInput, nearest


class Source(NamedTuple):
    url: str
    bytes: int
    sha256: str
    what: str


KNOWN = dict(
    tinyshakespeare=Source("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt", 1_115_394,
                           "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed", "40,000 lines of Shakespeare"))
PIECE = 1 << 20     # bytes

# tasks as the Hugging Face hub has them: data set, configuration, split
HUB = dict(
    arc_challenge=("allenai/ai2_arc", "ARC-Challenge", "test"), arc_easy=("allenai/ai2_arc", "ARC-Easy", "test"),
    boolq=("google/boolq", None, "validation"), hellaswag=("Rowan/hellaswag", None, "validation"),
    lambada=("EleutherAI/lambada_openai", "default", "test"), openbookqa=("allenai/openbookqa", "main", "test"),
    piqa=("ybisk/piqa", None, "validation"), winogrande=("allenai/winogrande", "winogrande_xl", "validation"))


def fetch(name, workspace):
    """inputs/NAME.txt for a known name, a text file that lies on this machine, or a URL; returns its path. What is there stays.

    BadInput: a name that nobody knows, no network, a server that says no, bytes that are not the expected ones.
    """
    if "://" in str(name):
        url, mark = urldefrag(str(name))
        if urlsplit(url).scheme.lower() not in ("http", "https"):
            raise BadInput(f"{url} is no address to fetch from; those begin with https:// or http://")
        return keep(workspace, name_of(url), download(url, pin(mark), workspace))
    if name in KNOWN:
        source, lies = KNOWN[name], workspace.root / "inputs" / f"{name}.txt"
        if lies.is_file() and is_it(lies, source):
            return lies
        found = next((path for path in lying("*.txt") if is_it(path, source)), None)
        return keep(workspace, lies.name, found or download(source.url, source.sha256, workspace))
    word = str(name)
    found = {path.name: path for path in lying("*.txt")}
    path = found.get(word) or found.get(f"{word}.txt")
    if path is None:
        raise BadInput(nearest("name", word, [*KNOWN, *sorted(found)[:20]]) + "; a URL will do, too")
    return keep(workspace, path.name, path)


def keep(workspace, name, path):
    """A copy in inputs/"""
    def pieces():
        with open(path, "rb") as file:
            while piece := file.read(PIECE):
                yield piece

    return workspace.write_input(name, pieces())


def lying(pattern):
    """Files in the places where other tools leave texts"""
    folders = [Path("/kaggle/input"), *(Path(each) / "corpora" for each in nltk())]
    return (path for folder in folders if folder.is_dir() for path in sorted(folder.rglob(pattern)) if path.is_file())


def nltk():
    """Where NLTK keeps its data, as its own documentation lists it"""
    named = [each for each in os.environ.get("NLTK_DATA", "").split(os.pathsep) if each]
    return [*named, Path.home() / "nltk_data", "/usr/share/nltk_data", "/usr/local/share/nltk_data", "/usr/lib/nltk_data"]


def is_it(path, source):
    return path.stat().st_size == source.bytes and sha256(path.read_bytes()).hexdigest() == source.sha256


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


def download(url, expected, workspace):
    """The bytes of a URL as a file in pooch's cache; one that lies there is not fetched again"""
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")
    by_hand = f"with no network, put the file into {workspace.root / 'inputs'} by hand, or learn from the nursery, which needs none"
    try:
        return Path(pooch.retrieve(url, expected and f"sha256:{expected}", path=pooch.os_cache("littlebaby")))
    except requests.HTTPError as error:
        raise BadInput(f"cannot fetch {url}: the server answers {error.response.status_code} {error.response.reason}") from None
    except requests.ConnectionError:
        raise BadInput(f"cannot fetch {url}: the server cannot be reached; {by_hand}") from None
    except requests.RequestException as error:
        raise BadInput(f"cannot fetch {url}: {type(error).__name__}; {by_hand}") from None
    except ValueError:
        raise BadInput(f"cannot fetch {url}: its bytes are not the ones with sha256 {expected}; nothing was kept") from None
    except OSError as error:
        raise BadInput(f"cannot fetch {url}: {error.strerror or error}") from None


def questions(name):
    """The rows of a task on the Hugging Face hub, brought by the package datasets, which keeps them for the next time"""
    if name not in HUB:
        raise BadInput(nearest("task", name, HUB) + "; a JSONL file will do, too")
    try:
        from datasets import load_dataset
    except ImportError:
        raise BadInput(f"{name} from the hub needs the package datasets: pip install littlebaby[data]; or give a JSONL file of its "
                       f"rows") from None
    place, configuration, part = HUB[name]
    try:
        return [dict(row) for row in load_dataset(place, configuration, split=part)]
    except Exception as error:         # no network, no such set any more, a full disk: the package has many names for it
        raise BadInput(f"cannot bring {place}: {' '.join(str(error).split())[:200]}; a JSONL file of its rows will do, too") from None
