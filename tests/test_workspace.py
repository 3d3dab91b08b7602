"""Where runs go, what they remember of their text, and what happens where nothing can be written."""
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import changed_files, copied_clone

import littlebaby as lb
from littlebaby import plans
from littlebaby.cli import main
from littlebaby.plans import process_control
from littlebaby.runs import disk, sources, store
from littlebaby.runs.store import Workspace

SMALL = dict(n_layers=1, n_emb=16, n_heads=2, n_ctx=16, batch_size=4, n_steps=8, s_eval=4, n_completion=0, n_sample=0, c_device_cpu_cores=1,
             r_split=0.8, progress=False)
TEXT = "hello small world. " * 60
RUN = "0b2f8a52-1111-4222-8333-444455556666"


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch):
    monkeypatch.delenv("LITTLEBABY_HOME", raising=False)
    monkeypatch.setattr(process_control, "ANNOUNCED", set())


@pytest.fixture
def home(tmp_path):
    """A workspace with a text"""
    (tmp_path / "ws/inputs").mkdir(parents=True)
    (tmp_path / "ws/inputs/t.txt").write_text(TEXT)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "ws"


def interrupted(where, input="t.txt", **more):
    """A run that was stopped after 4 steps"""
    asked = iter(range(100))
    run = lb.train(input, path=where, stop=lambda: next(asked) >= 3, **SMALL, **more)
    assert run.report.stop_reason == "interrupted"
    return run


def finished(guid, where):
    report = lb.train(resume=guid, path=where, progress=False).report
    assert report.stop_reason == "finished" and report.evaluations[-1].step == 8
    return report


# where the workspace is

def test_the_workspace_is_the_nearest_clone_or_folder_with_runs_above(tmp_path, monkeypatch):
    (tmp_path / "clone/littlebaby").mkdir(parents=True)
    (tmp_path / "clone/littlebaby/__init__.py").touch()
    (tmp_path / "clone/pyproject.toml").write_text('[project]\nname = "littlebaby"\n')
    for folder in ("clone/notebooks/tour", "clone/notebooks/runs/deep", "other/inputs", "other/littlebaby", "other/configs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "other/configs/config_me.json").touch()                   # another program's
    place = lambda folder: monkeypatch.chdir(tmp_path / folder) or Workspace()
    assert (place("clone/notebooks/tour").root, place("clone/notebooks/tour").found) == (tmp_path / "clone", True)
    assert (place("clone").root, place("clone").found) == (tmp_path / "clone", False)
    assert place("other/inputs").root == tmp_path / "other/inputs"
    for kind in ("config", "tokenizer", "model", "report"):
        path = Workspace(tmp_path / "clone/notebooks/runs").path(kind, RUN)
        path.parent.mkdir(exist_ok=True)
        path.touch()
        assert place("clone/notebooks/runs/deep").root == tmp_path / "clone/notebooks/runs"
        path.unlink()
    assert place("clone/notebooks/runs/deep").root == tmp_path / "clone"
    assert Workspace("same").root == Path.cwd() and Workspace("x").root == Path.cwd() / "x"
    monkeypatch.setenv("LITTLEBABY_HOME", str(tmp_path / "named"))
    assert Workspace().root == tmp_path / "named" and not Workspace().found


@pytest.mark.parametrize("shared", ["home", "temporary"])
def test_a_run_in_the_home_folder_or_the_temporary_one_does_not_catch_all_below(tmp_path, monkeypatch, shared):
    Workspace(tmp_path).path("config", RUN).parent.mkdir()
    Workspace(tmp_path).path("config", RUN).touch()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert Workspace().root == tmp_path
    if shared == "home":
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
    else:
        monkeypatch.setattr(store.tempfile, "gettempdir", lambda: str(tmp_path))
    assert Workspace().root == tmp_path / "below"


def test_a_workspace_that_was_found_is_told_in_the_first_line_and_once(tmp_path, monkeypatch, capsys):
    clone = copied_clone(tmp_path / "clone")
    monkeypatch.chdir(clone / "notebooks")
    settings = [f"--{key}={value}" for key, value in SMALL.items() if key != "progress"]
    assert main(["train", "nursery", "--quiet", *settings]) == 0
    assert capsys.readouterr().err.splitlines()[0].startswith(f"workspace: {clone} ")
    assert len(list(clone.glob("configs/config_*.json"))) == 1 + 5 and not changed_files(clone)
    assert main(["list"]) == 0 and "workspace:" not in capsys.readouterr().err
    assert main(["list", "--path", "same", "--json"]) == 0 and json.loads(capsys.readouterr().out)["runs"] == []


def test_git_ignores_every_file_of_a_workspace_but_the_nursery(tmp_path):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    clone = copied_clone(tmp_path / "clone")
    files = [place.format(RUN) for place in store.PLACES.values()] + ["tokens/t_1.tok", "inputs/t.txt", "exports/x/model.safetensors"]
    for file in files:
        (clone / file).parent.mkdir(parents=True, exist_ok=True)
        (clone / file).touch()
    assert not changed_files(clone)


def test_a_pattern_in_a_workspace_with_brackets_in_its_name(home, monkeypatch):
    home = home.rename(home.parent / "ws[1]")
    monkeypatch.chdir(home.parent / "elsewhere")
    found, = sources.find(Workspace(home), "*.txt")
    assert found.paths == (home / "inputs/t.txt",) and sources.find(Workspace(home), "inputs/*.txt") == [found]


def test_a_relative_workspace_does_not_move_with_the_current_folder(home, monkeypatch):
    monkeypatch.chdir(home.parent)
    steps = iter(range(100))
    run = lb.train("t.txt", path="ws", stop=lambda: next(steps) == 3 and os.chdir("elsewhere"), **SMALL)
    assert list((home.parent / "elsewhere").iterdir()) == [] and run.chart().exists() and run.root == home
    monkeypatch.chdir(home.parent)
    talk = lb.chat(run.guid, path="ws", max_tokens=2, seed=1)
    talk("hello")
    monkeypatch.chdir("elsewhere")
    assert talk.save().parent == home / "outputs"


def test_a_relative_home_is_resolved_when_it_is_first_named(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    monkeypatch.setenv("LITTLEBABY_HOME", "ws")
    monkeypatch.chdir(tmp_path)
    assert Workspace().root == tmp_path / "ws"
    monkeypatch.chdir("below")
    assert Workspace().root == tmp_path / "ws"
    code = "import os, littlebaby; os.chdir('below'); from littlebaby.runs.store import Workspace; print(Workspace().root)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | dict(LITTLEBABY_HOME="w2"), capture_output=True,
                          text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "w2")


def test_a_panel_stays_in_its_workspace(home, monkeypatch):
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed: pip install -e '.[test]'")
    monkeypatch.chdir(home.parent)
    panel = lb.panel("ws")
    monkeypatch.chdir("elsewhere")
    assert panel.workspace.root == home
    panel.folder.value = "typed"
    monkeypatch.chdir(home)
    assert panel.workspace.root == home.parent / "elsewhere/typed"


# what a run remembers of its text

def jsonl(path, folded=False):
    lines = "".join(json.dumps(dict(text=TEXT[:200] + str(n))) + "\n" for n in range(6)).encode()
    path.write_bytes(gzip.compress(lines) if folded else lines)


MADE = {
    "a path": ("inputs/t.txt", lambda inputs: None),
    "a name": ("t", lambda inputs: None),
    "a folder": ("inputs/books", lambda inputs: [(inputs / "books").mkdir(), (inputs / "books/a.txt").write_text(TEXT),
                                                 (inputs / "books/b.txt").write_text(TEXT[5:])]),
    "a list": (["inputs/t.txt", "inputs/u.txt"], lambda inputs: (inputs / "u.txt").write_text(TEXT[3:])),
    "commas and weights": ("inputs/t.txt:0.7,inputs/u.txt:0.3", lambda inputs: (inputs / "u.txt").write_text(TEXT[3:])),
    "a pattern": ("inputs/*.txt", lambda inputs: (inputs / "u.txt").write_text(TEXT[3:])),
    "jsonl": ("inputs/j.jsonl", lambda inputs: jsonl(inputs / "j.jsonl")),
    "jsonl.gz": ("inputs/j.jsonl.gz", lambda inputs: jsonl(inputs / "j.jsonl.gz", True)),
    "a token file": ("inputs/t.tok", lambda inputs: lb.prepare(inputs / "t.txt", path=inputs.parent, progress=False, workers=1)),
}


@pytest.mark.parametrize("case", MADE)
def test_a_moved_workspace_goes_on_from_anywhere(home, monkeypatch, case):
    input, make = MADE[case]
    make(home / "inputs")
    monkeypatch.chdir(home)
    run = interrupted(None, input)
    moved = home.rename(home.parent / "moved [2]")
    monkeypatch.chdir(home.parent / "elsewhere")
    assert finished(run.guid, moved).input == run.report.input


def test_an_absolute_path_in_the_workspace_is_remembered_relative_to_it(home, monkeypatch):
    monkeypatch.chdir(home.parent / "elsewhere")
    run = interrupted(home, home / "inputs/t.txt")
    assert run.report.input.path == "inputs/t.txt"
    assert str(home) not in json.dumps(Workspace(home).load_checkpoint(run.guid)[1]["origin"]["sources"])


def test_a_text_from_elsewhere_is_found_by_its_contents_in_inputs(home, monkeypatch):
    outside = home.parent / "elsewhere/mine.txt"
    outside.write_text(TEXT[7:])
    monkeypatch.chdir(outside.parent)
    run = interrupted(home, "mine.txt")
    outside.rename(home / "inputs/another name.md")
    outside.write_text(TEXT[8:] + "x")                                # of the same name and size, but another text
    report = finished(run.guid, home)
    assert report.input.sha256 == run.report.input.sha256
    assert plans.inspection.training_text(Workspace(home), report) == TEXT[7:]


def test_a_text_that_is_gone_is_told_and_can_be_given(home, monkeypatch):
    run = interrupted(home)
    text = (home / "inputs/t.txt").rename(home.parent / "elsewhere/t2.txt")
    with pytest.raises(lb.BadInput, match=r"^the training text of the run, 'inputs/t.txt', does not exist any more, .* --input$"):
        lb.train(resume=run.guid, path=home)
    assert lb.train(input=text, resume=run.guid, path=home, progress=False).report.stop_reason == "finished"


@pytest.mark.parametrize("words", ["inputs/t.txt", "/of/another/machine/t.txt", "C:\\texts\\t.txt", "t", ["inputs/t.txt"]])
def test_a_checkpoint_that_keeps_only_words_goes_on(home, monkeypatch, words):
    run = interrupted(home)
    workspace = Workspace(home)
    arrays, meta, _ = workspace.load_checkpoint(run.guid)
    workspace.save_checkpoint(run.guid, 4, arrays, meta | dict(origin=dict(input=words, encoding="utf-8")))
    monkeypatch.chdir(home.parent / "elsewhere")
    finished(run.guid, home)


def test_old_words_for_several_files_are_found_by_their_names(home, monkeypatch):
    (home / "inputs/u.txt").write_text(TEXT[3:])
    run = interrupted(home, "t.txt:0.5,u.txt:0.5")
    workspace = Workspace(home)
    arrays, meta, _ = workspace.load_checkpoint(run.guid)
    workspace.save_checkpoint(run.guid, 4, arrays, meta | dict(origin=dict(input="/gone/t.txt:0.5,/gone/u.txt:0.5", encoding="utf-8")))
    finished(run.guid, home)


def test_conversations_and_a_tokenizer_file_are_found_again(home, monkeypatch):
    base = lb.train("t.txt", path=home, **SMALL | dict(n_ctx=64))
    talk = dict(messages=[dict(role="user", content="hello"), dict(role="assistant", content="small world")])
    (home / "inputs/talks.jsonl").write_text((json.dumps(talk) + "\n") * 12)
    tokenizer = home.parent / "tokenizer.json"
    shutil.copy(Workspace(home).path("tokenizer", base.guid), tokenizer)
    monkeypatch.chdir(home)
    asked = iter(range(100))
    tuned = lb.finetune(base.guid, chat="inputs/talks.jsonl", n_steps=8, s_eval=4, stop=lambda: next(asked) >= 3, progress=False)
    other = interrupted(home, c_tokenizer="../tokenizer.json")
    tokenizer.unlink()
    moved = home.rename(home.parent / "moved")
    monkeypatch.chdir(home.parent / "elsewhere")
    finished(tuned.guid, moved)
    finished(other.guid, moved)


def test_inputs_of_the_workspace_are_found_from_anywhere(home, monkeypatch):
    run = lb.train("inputs/t.txt", path=home, **SMALL)
    monkeypatch.chdir(home.parent / "elsewhere")
    assert lb.evaluate(run.guid, "inputs/t.txt", path=home, progress=False)["text"].characters == len(TEXT)
    assert lb.finetune(run.guid, "inputs/t.txt", path=home, **SMALL | dict(n_steps=1)).report.stop_reason == "finished"


# where nothing can be written

@pytest.fixture
def read_only(home, monkeypatch):
    """A workspace with a run, on a disk that refuses whatever would change it, as root is refused too"""
    run = lb.train("t.txt", path=home, **SMALL)
    refuse = lambda path: (_ for _ in ()).throw(OSError(disk.errno.EROFS, "Read-only file system", str(path)))
    opened, make, lock, temporary = open, Path.mkdir, disk.FileLock, disk.TemporaryFile
    inside = lambda path: str(path).startswith(str(home))
    monkeypatch.setattr(disk, "open", lambda path, mode="r", *more, **words:
                        refuse(path) if inside(path) and mode != "rb" else opened(path, mode, *more, **words), raising=False)
    monkeypatch.setattr(Path, "mkdir", lambda path, *more, **words:
                        refuse(path) if inside(path) and not path.exists() else make(path, *more, **words))
    monkeypatch.setattr(disk, "FileLock", lambda path: refuse(path) if inside(path) else lock(path))
    monkeypatch.setattr(disk, "TemporaryFile", lambda dir: refuse(dir) if inside(dir) else temporary(dir=dir))
    return home, run.guid


SHOWN = {"inference": ["inference", "last", "--prompt", "hello", "--max_tokens", "5"],
         "microscope": ["microscope", "last", "--text", "hello"],
         "cause": ["cause", "last", "--text", "hello"],
         "walk": ["walk", "mlp"], "diary": ["diary", "last"]}


@pytest.mark.parametrize("words", SHOWN.values(), ids=SHOWN)
def test_what_was_computed_is_shown_and_told_once_that_it_is_not_kept(read_only, capsys, words):
    assert main([*words, "--path", str(read_only[0])]) == 0
    out, err = capsys.readouterr()
    notes = [line for line in err.splitlines() if "could not be saved" in line]
    assert len(notes) == 1 and "the disk is read-only" in notes[0] and "--path" in notes[0] and len(out) >= 5
    assert main([*words, "--path", str(read_only[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out).get("path") is None


def test_looking_and_measuring_need_no_writing(read_only, capsys):
    home, guid = read_only
    for words in (["list"], ["info"], ["evaluate", "last", "--input", "t.txt", "--quiet"]):
        assert main([*words, "--path", str(home)]) == 0 and capsys.readouterr().err == ""
    talk = lb.chat(guid, path=home, max_tokens=3, seed=1)
    answer = talk("hello")
    with pytest.raises(lb.BadInput, match="the disk is read-only$"):
        talk.save()
    assert talk.messages[-1]["content"] == answer.strip()


def test_what_can_only_write_refuses_before_it_computes(read_only, capsys, monkeypatch):
    home, guid = read_only
    computing = lambda *_, **__: pytest.fail("it computes")
    for module, name in ((plans.training, "load_input"), (plans.training, "Baby"), (plans.interchange, "load"),
                         (plans.prepare_text.preparing, "prepare")):
        monkeypatch.setattr(module, name, computing)
    for words in (["train", "t.txt"], ["finetune", guid, "t.txt"], ["export", guid], ["prepare", "t.txt"], ["pack"], ["nursery"]):
        assert main([*words, "--path", str(home)]) == 2
        assert capsys.readouterr().err.splitlines()[-1].count("the disk is read-only") == 1
