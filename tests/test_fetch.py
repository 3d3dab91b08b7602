"""Fetching a text: from a server, from this machine, and every way in which it can fail, each in one sentence."""
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import sleep

import pytest

from littlebaby.errors import BadInput
from littlebaby.runs import fetch as module
from littlebaby.runs.fetch import KNOWN, Source, fetch, name_of
from littlebaby.runs.store import Workspace

TEXT = "Ὦ τέκνα, Κάδμου τοῦ πάλαι νέα τροφή\n".encode() * 1000


class Library(BaseHTTPRequestHandler):
    def __init__(self, asked, *args):
        self.asked = asked
        super().__init__(*args)

    def do_GET(self):
        self.asked.append(self.path)
        if self.path.startswith("/odd/"):
            return self.odd(self.path.rpartition("/")[2].removesuffix(".txt"))
        there = self.path.startswith("/books/")
        self.send_response(200 if there else 404)
        self.end_headers()
        self.wfile.write(TEXT if there else b"no such book")

    def odd(self, manner):
        """A server as one meets them: the whole file, or what its manner makes of it"""
        first, rest = 0, TEXT
        asked = self.headers.get("Range")
        if asked and manner not in ("deaf", "other"):
            first = int(asked.removeprefix("bytes=").rstrip("-"))
            if first >= len(TEXT):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(TEXT)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            rest = TEXT[first:]
        length = len(rest) + 1000 * (manner == "boasts")
        if manner == "short":
            length, rest = 1000, rest[:1000]
        self.send_response(206 if first or asked and manner == "other" else 200)
        if first or manner == "other":
            self.send_header("Content-Range", f"bytes {first}-{len(TEXT) - 1}/{len(TEXT)}")
        self.send_header("Content-Length", str(length))
        if manner != "nameless":
            self.send_header("ETag", f'"{manner}{len(self.asked) if manner == "changes" else ""}"')
        self.end_headers()
        if manner == "stalls":
            self.wfile.write(rest[:20_000])
            self.wfile.flush()
            sleep(1.5)
        elif manner in ("truncates", "deaf", "other", "changes", "nameless"):
            self.wfile.write(rest[:len(TEXT) if manner == "changes" and len(self.asked) > 2 else 20_000])
        else:
            self.wfile.write(rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Library, asked)) as httpd:
        Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", asked
        httpd.shutdown()


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace on a machine that has neither texts nor downloads yet"""
    import pooch
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk"))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    return Workspace(tmp_path / "home")


def sentence(*args):
    with pytest.raises(BadInput) as caught:
        fetch(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_url(server, workspace):
    url, asked = server
    path = fetch(f"{url}/books/oedipus.txt?page=1", workspace)
    assert path == workspace.root / "inputs" / "oedipus.txt" and path.read_bytes() == TEXT
    assert workspace.read_text("oedipus").text == TEXT.decode()
    assert "exists already" in sentence(f"{url}/books/oedipus.txt", workspace)


def test_a_pinned_url_and_wrong_bytes(server, workspace):
    url, asked = server
    right, wrong = sha256(TEXT).hexdigest(), sha256(b"other").hexdigest()
    said = sentence(f"{url}/books/a.txt#sha256={wrong}", workspace)
    assert "its bytes do not have the sha256 " + wrong in said and not (workspace.root / "inputs").exists()
    assert fetch(f"{url}/books/a.txt#sha256={right}", workspace).read_bytes() == TEXT
    assert "is no sha256; allowed are 64 hexadecimal digits" in sentence(f"{url}/books/b.txt#sha256=abc", workspace)


@pytest.mark.parametrize("manner, requests", [("truncates", 4), ("stalls", 4), ("boasts", 2)])
def test_a_server_that_breaks_off_is_gone_on_with(server, workspace, monkeypatch, manner, requests):
    """66,000 bytes in pieces of 20,000; after the last byte of a file that was said to be longer, there is no more"""
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    url, asked = server
    path = fetch(f"{url}/odd/{manner}.txt#sha256={sha256(TEXT).hexdigest()}", workspace)
    assert path.read_bytes() == TEXT and len(asked) == requests and len(TEXT) == 66_000


def test_what_is_another_version_by_now_is_begun_anew(server, workspace):
    url, asked = server
    assert fetch(f"{url}/odd/changes.txt", workspace).read_bytes() == TEXT and len(asked) > 2


@pytest.mark.parametrize("manner", ["deaf", "nameless", "other"])
def test_a_server_that_never_comes_to_an_end(server, workspace, manner):
    """deaf: begins from the start every time; nameless: nothing says that the rest is of the same file; other: sends another part"""
    url, asked = server
    said = sentence(f"{url}/odd/{manner}.txt", workspace)
    assert "the download was interrupted 5 times after 20,000 bytes; they are kept, and the next call continues from there" in said
    assert 5 <= len(asked) <= 6 and not (workspace.root / "inputs").exists()


def test_the_next_call_goes_on(server, workspace):
    url, _ = server
    calls = []

    def stop_after_two(what, n):
        calls.append(n)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(f"{url}/odd/truncates.txt", workspace, stop_after_two)
    told = []
    assert fetch(f"{url}/odd/truncates.txt", workspace, lambda what, n: told.append(n)).read_bytes() == TEXT
    assert sum(told) == len(TEXT) - sum(calls)


def test_a_short_length_is_found_out_by_the_sha256(server, workspace):
    url, _ = server
    said = sentence(f"{url}/odd/short.txt#sha256={sha256(TEXT).hexdigest()}", workspace)
    assert "its bytes do not have the sha256" in said and not (workspace.root / "inputs").exists()


def test_what_was_downloaded_once_needs_no_network(server, workspace):
    url, asked = server
    pinned = f"{url}/books/c.txt#sha256={sha256(TEXT).hexdigest()}"
    fetch(pinned, workspace)
    again = Workspace(workspace.root.with_name("other"))
    assert fetch(pinned, again).read_bytes() == TEXT and asked == ["/books/c.txt"]


def test_a_server_that_says_no_and_one_that_is_not_there(server, workspace):
    url, _ = server
    assert sentence(f"{url}/none.txt", workspace) == f"cannot fetch {url}/none.txt: the server answers 404 Not Found"
    said = sentence("http://127.0.0.1:9/books/a.txt", workspace)
    assert "cannot be reached; without a network, put the file into" in said and str(workspace.root / "inputs") in said
    assert list(workspace.root.rglob("*")) == []


def test_a_known_name(server, workspace, monkeypatch):
    url, asked = server
    source = Source(f"{url}/books/input.txt", len(TEXT), sha256(TEXT).hexdigest(), "a test")
    monkeypatch.setitem(KNOWN, "oedipus", source)
    path = fetch("oedipus", workspace)
    assert path.name == "oedipus.txt" and path.read_bytes() == TEXT
    assert fetch("oedipus", workspace) == path and asked == ["/books/input.txt"]
    path.write_bytes(b"something else")
    assert "exists already" in sentence("oedipus", workspace) and path.read_bytes() == b"something else"


def test_texts_that_lie_on_this_machine(workspace, tmp_path, monkeypatch):
    folder = tmp_path / "nltk" / "corpora" / "gutenberg"
    folder.mkdir(parents=True)
    (folder / "antigone.txt").write_bytes(TEXT)
    monkeypatch.setitem(KNOWN, "oedipus", Source("http://127.0.0.1:9/x", len(TEXT), sha256(TEXT).hexdigest(), "a test"))
    assert fetch("antigone", workspace).read_bytes() == TEXT
    assert fetch("oedipus", workspace).name == "oedipus.txt"           # the same bytes under another name: no network needed
    assert "did you mean antigone.txt?" in sentence("antigon.txt", workspace)


def test_a_known_name_without_a_known_hash_is_found_by_its_file_name(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    folder = tmp_path / "hf" / "hub" / "datasets--roneneldan--TinyStories" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (folder / "TinyStoriesV2-GPT4-valid.txt").write_bytes(TEXT)
    assert fetch("tinystories-valid", workspace).name == "tinystories_valid.txt"
    assert (workspace.root / "inputs" / "tinystories_valid.txt").read_bytes() == TEXT


def test_a_data_set_of_a_folder(workspace, tmp_path):
    pytest.importorskip("datasets", reason="datasets is not installed")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text('{"text": "ä\\n"}\n{"text": "b"}\n')
    path = fetch(f"datasets:{tmp_path / 'set'}", workspace)
    assert path.suffix == ".jsonl" and path.read_text("utf-8") == '{"text": "ä\\n"}\n{"text": "b"}\n'


def test_names_that_are_none(workspace):
    assert sentence("tinyshakespear", workspace).startswith("name is 'tinyshakespear'; allowed are tinyshakespeare")
    for url in ("ftp://127.0.0.1/a.txt", "file:///etc/passwd"):
        assert "is no address that can be fetched" in sentence(url, workspace)


@pytest.mark.parametrize("url, name", [
    ("https://a.org/b/c.txt", "c.txt"), ("https://a.org/b/c.txt/", "c.txt"), ("https://a.org/%2e%2e%2fetc%2fpasswd", "passwd.txt"),
    ("https://a.org/", "a_org.txt"), ("https://a.org/.hidden", "hidden.txt"), ("https://a.org/Ödipus Rex", "Ödipus_Rex.txt")])
def test_a_url_becomes_a_harmless_name(url, name):
    assert name_of(url) == name


def test_the_pinned_shakespeare_is_the_real_one(data):
    source = KNOWN["tinyshakespeare"]
    assert module.matches_source(data("tinyshakespeare.txt"), source) and source.bytes == 1_115_394
