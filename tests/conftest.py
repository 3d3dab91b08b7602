"""Where the numbers of others lie, and a workspace of one's own for every test."""
import os
import shutil
import signal
import subprocess
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


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A fresh clone without the package's code, in which notebooks run where they lie; nobody names a workspace"""
    monkeypatch.delenv("LITTLEBABY_HOME", raising=False)
    root, project = tmp_path / "clone", Path(__file__).parents[1]
    for folder in ("notebooks", "inputs"):
        shutil.copytree(project / folder, root / folder)
    (root / "littlebaby").mkdir()
    for file in ("pyproject.toml", ".gitignore", "littlebaby/__init__.py"):
        shutil.copy(project / file, root / file)
    git = lambda *words: subprocess.run(["git", "-C", root, *words], check=True, capture_output=True, text=True).stdout
    git("init", "--quiet")
    git("add", "--all")
    yield root
    assert [line for line in git("status", "--porcelain").splitlines() if line[:2] != "A "] == []


@pytest.fixture(autouse=True)
def signals():
    """Ctrl-C and a closed terminal end a test as in a terminal, though a background job or nohup began them all deaf to it"""
    usual = dict(SIGINT=signal.default_int_handler, SIGHUP=signal.SIG_DFL)
    old = {getattr(signal, name): signal.signal(getattr(signal, name), what) for name, what in usual.items() if hasattr(signal, name)}
    yield
    for number, what in old.items():
        signal.signal(number, what)
