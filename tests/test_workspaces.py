"""Which folder a workspace is, from wherever one stands; runs that go on after a move; workspaces that cannot be written."""
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.errors import BadInput
from littlebaby.runs import disk, store
from littlebaby.runs.store import Workspace, workspace_root

TINY = dict(n_layers=1, n_emb=8, n_heads=2, n_ctx=8, batch_size=4, n_steps=8, s_eval=4, n_sample=0, n_completion=10, progress=False)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A workspace with a text, and the folder beside it to stand in"""
    monkeypatch.delenv("LITTLEBABY_HOME", raising=False)
    home = tmp_path / "ws"
    (home / "inputs").mkdir(parents=True)
    (home / "inputs/t.txt").write_text("hello small world. " * 100)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    return home


def clone(folder):
    (folder / "littlebaby").mkdir(parents=True)
    (folder / "littlebaby/__init__.py").touch()
    (folder / "pyproject.toml").write_text('[project]\nname = "littlebaby"\n')
    (folder / "notebooks/tour/en").mkdir(parents=True)
    return folder


def test_below_a_clone_or_a_workspace_it_is_the_root(home, tmp_path, monkeypatch):
    monkeypatch.chdir(clone(tmp_path / "clone") / "notebooks/tour/en")
    assert workspace_root() == tmp_path / "clone" and workspace_root("same") == Path.cwd()
    (tmp_path / "used/deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "used/deep")
    assert workspace_root() == Path.cwd()
    (tmp_path / "used/configs").mkdir()
    assert workspace_root() == Path.cwd()                        # an empty configs/ may be anybody's
    (tmp_path / "used/configs/config_0b2f8a52-0000-4000-8000-000000000000.json").write_text("{}")
    assert workspace_root() == tmp_path / "used"
    monkeypatch.setenv("LITTLEBABY_HOME", str(home))
    assert workspace_root() == home and workspace_root("here") == tmp_path / "used/deep/here"


def test_the_home_directory_is_nobodys_workspace_by_accident(tmp_path, monkeypatch):
    monkeypatch.delenv("LITTLEBABY_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/report_x.json").write_text("{}")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert workspace_root() == tmp_path / "work"
    monkeypatch.chdir(tmp_path)
    assert workspace_root() == tmp_path


def test_a_relative_workspace_stays_where_it_was_when_first_named(home, tmp_path, monkeypatch):
    steps = []

    def leaves():                                                # another cell's %cd while it trains
        steps.append(0)
        if len(steps) == 3:
            os.chdir(tmp_path / "elsewhere")

    run = lb.train("t.txt", path="ws", stop=leaves, **TINY)
    assert Path.cwd().name == "elsewhere" and not list(Path.cwd().iterdir())
    assert run.chart() == home / f"outputs/chart_{run.guid}.png" and run.chart().exists()
    os.chdir(tmp_path)
    talk = lb.chat(run.guid, path="ws", max_tokens=2, seed=1)
    talk("hello")
    os.chdir(tmp_path / "elsewhere")
    assert talk.save().parent == home / "outputs"
    monkeypatch.setenv("LITTLEBABY_HOME", "ws")
    monkeypatch.setattr(store, "HOMES", {})
    os.chdir(tmp_path)
    assert [each.name for each in lb.list()] == [run.guid]
    os.chdir("/")
    assert [each.name for each in lb.list()] == [run.guid]


def interrupted(where, **more):
    return lb.train(where, stop=lambda: True, **{**TINY, **more})


def weights(run, home):
    return Workspace(home).load_model(run.guid)[0]


@pytest.mark.parametrize("given", ["ws/inputs/t.txt", "t.txt", "t", "ws/inputs/t*.txt", ["ws/inputs/t.txt"], "absolute"])
def test_resumed_from_elsewhere_and_after_a_move(given, home, tmp_path, monkeypatch):
    given = str(home / "inputs/t.txt") if given == "absolute" else given
    whole = lb.train(given, path="ws", **TINY)
    run = interrupted(given, path="ws")
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/t.txt").write_text("another text of the same name, which is not meant. " * 50)
    moved = tmp_path / "moved"
    shutil.move(home, moved)
    again = lb.train(resume=run.guid, path=moved, progress=False)
    assert again.report.stop_reason == "finished"
    assert all(np.array_equal(a, weights(whole, moved)[name]) for name, a in weights(again, moved).items())
    assert lb.diary(run.guid, path=moved).entries[0].source


def test_a_text_that_was_renamed_is_found_by_its_content(home, tmp_path):
    (tmp_path / "mine.txt").write_text("some other small world. " * 100)
    run = interrupted("mine.txt", path="ws")
    (tmp_path / "mine.txt").rename(home / "inputs/renamed.txt")
    assert lb.train(resume="last", path="ws", progress=False).report.stop_reason == "finished"
    run = interrupted("renamed.txt", path="ws")
    (home / "inputs/renamed.txt").write_text("it has changed. " * 100)
    with pytest.raises(BadInput, match="is not the text that .* learns from"):
        lb.train(resume=run.guid, path="ws", progress=False)


def test_chat_files_and_token_files_are_remembered_too(home, tmp_path, monkeypatch):
    lb.prepare("t.txt", tokenizer="char", path="ws", output="ws/inputs/t.tok", progress=False)
    talk = [dict(role="user", content="hello"), dict(role="assistant", content="small world")]
    (home / "inputs/talks.jsonl").write_text(20 * (json.dumps(dict(messages=talk)) + "\n"))
    base = lb.train("t.txt", path="ws", **{**TINY, "n_ctx": 64})
    cut = [interrupted("ws/inputs/t.tok", path="ws"),
           lb.finetune(base.guid, chat="ws/inputs/talks.jsonl", path="ws", stop=lambda: True, n_steps=8, progress=False)]
    monkeypatch.chdir("/")
    for run in cut:
        assert lb.train(resume=run.guid, path=home, progress=False).report.stop_reason == "finished"


@pytest.fixture
def read_only(home, monkeypatch):
    """A workspace with a run on a disk that takes nothing any more"""
    run = lb.train("t.txt", path="ws", **TINY)

    def refuse(*_given, **_named):
        raise OSError(errno.EROFS, "Read-only file system")

    def mkdir(self, *_given, **_named):
        return refuse() if home in (self, *self.parents) else os.makedirs(self, exist_ok=True)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "touch", refuse)
    return run


def test_a_read_only_workspace_shows_what_it_cannot_keep(read_only, home, capsys):
    guid = read_only.guid
    assert [run.name for run in lb.list("ws")] == [guid] and lb.info(guid, "ws")["guid"] == guid
    texts = [lb.inference(guid, "hello", max_tokens=5, seed=1, path="ws").text for _ in range(2)]
    assert len(texts[0]) == 5 and texts[0] == texts[1]
    said = capsys.readouterr().err
    assert said.count("the text was not kept: cannot lock") == 1 and "the disk is read-only" in said and "--path" in said
    assert lb.evaluate(guid, "t.txt", path="ws", progress=False)["text"].tokens == 1900
    page = lb.plans.save_page(lb.microscope(guid, "hello", path="ws"), "microscope", guid, "ws")
    assert page.exists() and home not in page.parents and "it lies in a temporary folder" in capsys.readouterr().err
    talk = lb.chat(guid, path="ws", max_tokens=2, seed=1)
    assert talk("hello") is not None
    with pytest.raises(BadInput, match="the disk is read-only"):
        talk.save()
    with pytest.raises(BadInput, match="the disk is read-only; --out FOLDER writes the export elsewhere"):
        lb.export(guid, path="ws")


def test_a_training_refuses_before_it_computes(read_only, monkeypatch):
    monkeypatch.setattr("littlebaby.plans.training.load_input", lambda *given: pytest.fail("it reads the text already"))
    with pytest.raises(disk.CannotWrite, match="cannot write .*ws: the disk is read-only"):
        lb.train("t.txt", path="ws", **TINY)
    with pytest.raises(disk.CannotWrite, match="the disk is read-only"):
        lb.finetune(read_only.guid, "t.txt", path="ws", progress=False)


def test_inference_from_a_shell_succeeds_in_a_read_only_workspace(home, tmp_path):
    run = lb.train("t.txt", path="ws", **TINY)
    code = ("import pathlib, sys; from littlebaby import cli\n"
            "def refuse(*given, **named): raise OSError(30, 'Read-only file system')\n"
            "pathlib.Path.mkdir = refuse; sys.exit(cli.main())")
    done = subprocess.run([sys.executable, "-c", code, "inference", run.guid, "--path", "ws", "--max_tokens", "5", "--seed", "1"],
                          capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.strip() and "the text was not kept" in done.stderr
