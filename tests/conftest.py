"""Where the numbers of others lie, and a workspace of one's own for every test."""
import os
import signal
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("LITTLEBABY_SHARED", Path(__file__).parents[2] / "shared"))


def lying(folder, name):
    path = SHARED / folder / name
    if not path.exists():
        pytest.skip(f"no {folder}/{name} beside the project")
    return path


@pytest.fixture
def reference():
    """case -> the folder with another implementation's numbers"""
    return lambda case: lying("reference", case)


@pytest.fixture
def data():
    """name -> a real text"""
    return lambda name: lying("data", name)


@pytest.fixture(autouse=True)
def signals():
    """Ctrl-C and a closed terminal end a test as in a terminal, though a background job or nohup began them all deaf to it"""
    usual = dict(SIGINT=signal.default_int_handler, SIGHUP=signal.SIG_DFL)
    old = {getattr(signal, name): signal.signal(getattr(signal, name), what) for name, what in usual.items() if hasattr(signal, name)}
    yield
    for number, what in old.items():
        signal.signal(number, what)
