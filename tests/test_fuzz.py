"""Every reader, fed with broken files: it reads them or says in a sentence why not, in little time and memory, and touches nothing else.

A few hundred for each reader; benchmarks/fuzz.py does millions, and what it found lies in fuzzed/.
"""
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither the limits nor the timer that this needs")
if os.name != "nt":
    import fuzz

NAMES = ["config", "run's config", "run's tokenizer", "run's report", "run's completion", "model", "weights", "weights' manifest",
         "checkpoint", "char tokenizer", "word tokenizer", "bpe tokenizer", "token file", "npy", "bin", "config.json", "tokenizer.json",
         "model.safetensors", "npz", "gguf", "The Little Baby's model", "The Little Baby's config", "The Little Baby's tokenizer", "GUID"]
FOUND = sorted((Path(__file__).parent / "fuzzed").glob("*"))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """(home, {name: reader}); what is trained here draws no picture"""
    pytest.importorskip("gguf", reason="gguf is not installed: pip install -e '.[formats]'")
    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(fuzz.plans.training_run.charts, "chart", None)         # set anew by readers, undone here
        home = tmp_path_factory.mktemp("fuzz").resolve()
        yield home, fuzz.readers(home)


def judged(shelf, name, data):
    home, readers = shelf
    with fuzz.bounds(fuzz.home_of(readers[name], home)):
        came = readers[name](data)
    readers[name].mend()
    return came


def test_every_reader_is_here(shelf):
    """And each reads what is whole"""
    assert list(shelf[1]) == NAMES
    for reader in shelf[1].values():
        reader.read()


@pytest.mark.parametrize("name", NAMES)
def test_broken_files_are_read_or_refused(name, shelf):
    home, readers = shelf

    @settings(max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def broken(rng):
        data = readers[name].broken(rng, home / "outside" / "secret.json")
        assert judged(shelf, name, data) in ("read", "refused")

    broken()


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_was_found_once_is_refused_now(path, shelf):
    name = path.name.rpartition("-")[0].replace("_", " ")
    assert judged(shelf, name, path.read_bytes()) in ("read", "refused")


def test_the_bounds_bite(shelf, monkeypatch):
    """What fuzzing looks for is seen: an escape, an allocation, a hang, an exception, no sentence"""
    home, readers = shelf
    config, outside = readers["config"], home / "outside" / "secret.json"

    def verdict(read):
        monkeypatch.setattr(config, "read", read)
        return judged(shelf, "config", config.valid)[0]

    assert verdict(lambda: outside.read_text()) == f"Escape: open {outside}"
    assert verdict(lambda: (home / "config" / "x").rename(outside)).startswith("Escape: os.rename")
    assert verdict(lambda: bytearray(2**30)).startswith("MemoryError")
    assert verdict(lambda: {}["nothing"]).startswith("KeyError")
    assert verdict(lambda: (_ for _ in ()).throw(fuzz.BadInput(""))) == "a sentence that is none"
    monkeypatch.setattr(fuzz, "MOST_SECONDS", 0.05)

    def endless():
        while True:
            pass

    assert verdict(endless).startswith("Hang")
