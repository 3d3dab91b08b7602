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


def git(root, *words):
    author = [part for key in ("user.name=test", "user.email=test@localhost", "commit.gpgsign=false") for part in ("-c", key)]
    return subprocess.run(["git", "-C", str(root), *author, *words], check=True, capture_output=True, text=True).stdout


def copied_clone(root):
    """What a notebook needs of the repository, committed in a repository of its own at `root`"""
    project = Path(__file__).parents[1]
    for name in ("littlebaby", "notebooks"):
        shutil.copytree(project / name, root / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name in ("pyproject.toml", ".gitignore", "inputs/nursery.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy2(project / name, root / name)
    for path in (path for folder in ("configs", "tokenizers", "models", "outputs") for path in (project / folder).glob("*babe00*")):
        (root / path.parent.name).mkdir(exist_ok=True)
        shutil.copy2(path, root / path.parent.name)
    if shutil.which("git"):
        git(root, "init", "-q")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "a clone")
    return root


def changed_files(root):
    """What `git status` tells of in a clone, nothing where there is no git"""
    return git(root, "status", "--porcelain").splitlines() if shutil.which("git") else []


@pytest.fixture(scope="session")
def clone(tmp_path_factory):
    """A fresh clone, in which all notebooks of the session run one after the other"""
    return copied_clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture
def in_clone(clone, monkeypatch):
    """The same, with its package the one that is imported, and no workspace named"""
    monkeypatch.setenv("PYTHONPATH", str(clone))
    monkeypatch.delenv("LITTLEBABY_HOME", raising=False)
    return clone


@pytest.fixture(autouse=True)
def signals():
    """Ctrl-C and a closed terminal end a test as in a terminal, though a background job or nohup began them all deaf to it"""
    usual = dict(SIGINT=signal.default_int_handler, SIGHUP=signal.SIG_DFL)
    old = {getattr(signal, name): signal.signal(getattr(signal, name), what) for name, what in usual.items() if hasattr(signal, name)}
    yield
    for number, what in old.items():
        signal.signal(number, what)


@pytest.fixture
def home(tmp_path):
    """A workspace for a panel, with a small text"""
    from littlebaby.text import nursery

    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "tale.txt").write_text(nursery.corpus(20_000, 1)[0])
    return tmp_path


@pytest.fixture
def panel(home, monkeypatch):
    """A panel on a small text, with a small model chosen; nothing is measured"""
    from panel_tools import TINY, choose

    import littlebaby as lb
    from littlebaby.show import panel_estimate

    monkeypatch.setattr(panel_estimate, "PATIENCE", 0)
    quick = panel_estimate.preflight
    monkeypatch.setattr(panel_estimate, "preflight", lambda cfg, tokens, probe=True: quick(cfg, tokens, probe=False))
    made = lb.panel(home)
    made.input.value = "tale"
    choose(made, **TINY)
    return made
