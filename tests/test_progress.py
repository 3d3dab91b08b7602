"""The progress in the tour: recorded by the exercises, shown to a learner, and to a teacher for a whole class."""
import csv
import errno
import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

import littlebaby as lb
from littlebaby.cli import main
from littlebaby.runs import disk, store
from littlebaby.runs.store import Workspace
from littlebaby.show import tour as tours
from littlebaby.show.lessons import LESSONS
from littlebaby.show.tour import exercise

TOTAL = sum(len(lesson.exercises) for lesson in LESSONS)         # exercises of the tour


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A workspace, in which the exercises record"""
    (tmp_path / "ws").mkdir()
    monkeypatch.setenv("LITTLEBABY_HOME", str(tmp_path / "ws"))
    monkeypatch.setattr(store, "LASTING", [])
    monkeypatch.setattr(tours, "failed_to_record", [])
    return tmp_path / "ws"


def checked(lesson, number, *answers):
    """Answer an exercise whose solution is 3"""
    @exercise(lesson=lesson, number=number)
    def check(n):
        if n is None:                                            # pytest would change the messages of asserts
            raise AssertionError("put a number in place of None.")
        if n + 1 != 4:
            raise AssertionError(f"{n} is wrong.")
        return "3 it is."

    for answer in answers:
        check(answer)


def recorded(home):
    return [(each.lesson, each.number, each.attempts, each.solved) for each in Workspace(home).progress()]


# recording

def test_attempts_count_up_to_the_first_correct_answer(home, capsys):
    checked(2, 1, None, 5, "x", 3, 3, 7, None)
    checked(1, 2, 4)
    assert recorded(home) == [(1, 2, 1, False), (2, 1, 3, True)]
    said = capsys.readouterr().out.splitlines()
    assert said[:4] == ["✗ put a number in place of None.", "✗ 5 is wrong.", '✗ TypeError: can only concatenate str (not "int") to str',
                        "✓ 3 it is."] and len(said) == 8
    tried, solved = Workspace(home).progress()
    assert tried.time is None and solved.time is not None and solved.version == lb.__version__
    checked(2, 1, 3)
    assert Workspace(home).progress()[1] == solved
    text = (home / "outputs/progress.json").read_text("utf-8")
    assert set(json.loads(text)["exercises"][0]) == {"lesson", "number", "attempts", "solved", "time", "version"}     # no answer


def test_an_exercise_that_was_not_begun_leaves_no_file(home):
    checked(1, 1, None, None)
    assert not list(home.iterdir())


def test_a_lesson_with_a_temporary_workspace_records_in_the_lasting_one(home):
    code = ("from littlebaby.runs import store; from littlebaby.show.tour import record_attempt; store.temporary_workspace();"
            "assert store.Workspace().root != store.lasting_workspace().root; record_attempt(7, 2, True)")
    subprocess.run([sys.executable, "-c", code], check=True)
    assert recorded(home) == [(7, 2, 1, True)]


def test_the_folder_of_a_lesson_with_progress_is_the_workspace_of_the_folders_below(home, monkeypatch):
    (home / "deep").mkdir()
    monkeypatch.delenv("LITTLEBABY_HOME")
    monkeypatch.chdir(home / "deep")
    assert Workspace().root == home / "deep"
    Workspace(home).record_attempt(1, 1, True)
    assert Workspace().root == home


def test_processes_at_once_lose_no_attempt_of_each_other(home):
    code = """
import sys
from threading import Thread
from littlebaby.show.tour import record_attempt
def work():
    for _ in range(4):
        record_attempt(1, int(sys.argv[1]), False)
        record_attempt(2, 1, False)
threads = [Thread(target=work) for _ in range(2)]
for each in threads: each.start()
for each in threads: each.join()
"""
    processes = [subprocess.Popen([sys.executable, "-c", code, str(n)], stdout=subprocess.PIPE) for n in (1, 2, 3)]
    assert [process.communicate()[0] for process in processes] == [b""] * 3
    assert recorded(home) == [(1, 1, 8, False), (1, 2, 8, False), (1, 3, 8, False), (2, 1, 24, False)]


def test_a_read_only_disk_is_told_once_and_the_lesson_runs_on(home, monkeypatch, capsys):
    def refuse(path):
        raise OSError(errno.EROFS, "Read-only file system", str(path))
    monkeypatch.setattr(disk, "FileLock", refuse)
    checked(1, 1, 5, 3)
    checked(1, 2, 3)
    assert capsys.readouterr().out.splitlines() == [
        "✗ 5 is wrong.", f"(your progress is not recorded: cannot lock {home}/outputs/.lock_progress: the disk is read-only)",
        "✓ 3 it is.", "✓ 3 it is."]


def test_a_damaged_file_is_told_once_and_kept(home, capsys):
    path = home / "outputs/progress.json"
    path.parent.mkdir()
    path.write_text('{"exercises": [')
    checked(1, 1, 5, 3)
    assert capsys.readouterr().out.splitlines() == [
        "✗ 5 is wrong.", f"(your progress is not recorded: {path} is truncated (line 1, column 16))", "✓ 3 it is."]
    assert path.read_text() == '{"exercises": ['
    assert main(["tour", "--path", str(home)]) == 2 and capsys.readouterr().err == f"{path} is truncated (line 1, column 16)\n"
    path.write_bytes(b" " * 1_000_001)
    with pytest.raises(lb.BadInput) as error:
        lb.tour(home)
    assert str(error.value) == f"{path} is larger than 1,000,000 bytes; the progress in the tour has a few thousand"


# what a learner sees

def test_the_tour_shows_every_lesson_and_the_next_exercise(home, capsys):
    for lesson, number, answers in ((1, 1, [3]), (1, 2, [5, 3]), (2, 2, [5])):
        checked(lesson, number, *answers)
    capsys.readouterr()
    assert main(["tour"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "1 · A model is a guess         2 of 3  ✓ The weather   ✓ Bits   · Never say never"
    assert lines[2] == "2 · A layer and its backward   0 of 3  · An activation of your own   ✗ Used twice   · The learning rate"
    notebooks = lb.tour().notebooks
    assert lines[1 + len(LESSONS):] == [
        "", "✓ solved   ✗ tried, not solved yet   · not tried", "",
        f"2 of {TOTAL} exercises solved; next: 1.3 Never say never, in 01_a_model_is_a_guess.ipynb", f"notebooks: {notebooks}",
        f'to open:   jupyter lab "{notebooks / "01_a_model_is_a_guess.ipynb"}"', f"progress:  {home / 'outputs/progress.json'}"]
    assert (notebooks / "01_a_model_is_a_guess.ipynb").is_file()
    assert main(["tour", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["solved"], data["total"], data["next"]["title"], len(data["lessons"])) == (2, TOTAL, "Never say never", len(LESSONS))
    assert [(each["solved"], each["attempts"]) for each in data["lessons"][0]["exercises"]] == [(True, 1), (True, 2), (False, 0)]
    ElementTree.fromstring(f"<div>{lb.tour()._repr_html_()}</div>")


def test_the_tour_without_notebooks_and_with_all_exercises_solved(home, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["littlebaby.plans.lessons"], "CLONE", home)
    for each in lb.tour().exercises:
        Workspace(home).record_attempt(each.lesson.number, each.number, True)
    assert str(lb.tour()).splitlines()[-3:-1] == [
        f"{TOTAL} of {TOTAL} exercises solved: the tour is complete",
        "notebooks: not part of the installed package; they are in notebooks/tour/en of the repository"]
    Workspace(home).record_attempt(LESSONS[-1].number + 1, 1, True)                  # of a later version
    assert lb.tour().solved == TOTAL


# what a teacher sees

@pytest.fixture
def school(tmp_path):
    """A class: ann has two workspaces, dora has not begun; the files of eve, fay and gus cannot be used"""
    root = tmp_path / "school"
    for place, answers in {"ann/a": [(1, 1, 1), (5, 2, 0)], "ann/b/c": [(5, 2, 0), (5, 2, 1), (1, 1, 0)],
                           "bob": [(1, 1, 1), (5, 2, 0), (1, 2, 0), (1, 2, 1)], "=2<b>": [(1, 1, 1)]}.items():
        for lesson, number, solved in answers:
            Workspace(root / place).record_attempt(lesson, number, bool(solved))
    (root / "dora").mkdir()
    (root / ".hidden/outputs").mkdir(parents=True)
    (root / ".hidden/outputs/progress.json").write_text("{")
    for name, text in (("eve", '{"exercises": ['), ("fay", '{"exercises": [{"lesson": 0, "number": 1, "version": ""}]}')):
        (root / name / "outputs").mkdir(parents=True)
        (root / name / "outputs/progress.json").write_text(text)
    (root / "gus/outputs").mkdir(parents=True)
    (root / "gus/outputs/progress.json").symlink_to(root / "bob/outputs/progress.json")
    return root


def test_a_class_has_every_learner_and_the_hardest_exercise_first(school):
    found = lb.class_progress(school)
    assert {learner: [(each.name, each.solved, each.progress.attempts) for each in exercises if each.progress]
            for learner, exercises in found.learners.items()} == {
        "=2<b>": [("1.1", True, 1)], "ann": [("1.1", True, 2), ("5.2", True, 3)],
        "bob": [("1.1", True, 1), ("1.2", True, 2), ("5.2", False, 1)]}
    assert [(each.name, each.tried, each.solved, each.attempts) for each in found.difficulties[:4]] == [
        ("5.2", 2, 1, 2.0), ("1.2", 1, 1, 2.0), ("1.1", 3, 3, 4 / 3), ("1.3", 0, 0, 0.0)]
    assert found.not_begun == ["dora"]
    eve, fay, gus = (school / name / "outputs/progress.json" for name in ("eve", "fay", "gus"))
    assert found.skipped == [f"{eve} is truncated (line 1, column 16)",
                             f"{fay}: exercises.0.lesson is 0: input should be greater than or equal to 1",
                             f"{gus} is a link or a device, not a file"]


def test_a_class_is_printed_and_written_as_a_page_and_as_csv(school, home, capsys):
    assert main(["tour", "--class", str(school)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == f"reading the progress of every learner in {school}\n"
    assert lines[2].startswith(f"ann      2 of {TOTAL}         5  ")
    assert lines[2].split()[-len(LESSONS):] == ["✓··", *["···"] * 3, "·✓·", *["···"] * (len(LESSONS) - 5)]
    assert lines[8].split() == ["5.2", "The", "original", "order", "2", "1", "50%", "2.0"]
    page, table = home / "outputs/class_school.html", home / "outputs/class_school.csv"
    assert lines[-2:] == [str(page), str(table)] and "no progress in: dora" in lines
    tree = ElementTree.fromstring(page.read_text("utf-8").removeprefix("<!DOCTYPE html>\n"))
    learners = [["".join(cell.itertext()) for cell in row] for row in list(tree.iter("table"))[1]]
    assert learners[0][3:] == ["5.2", "1.2", "1.1"] and [row[:2] + row[3:] for row in learners[1:]] == [
        ["=2<b>", f"1 of {TOTAL}", "", "", "✓ 1"], ["ann", f"2 of {TOTAL}", "✓ 3", "", "✓ 2"],
        ["bob", f"2 of {TOTAL}", "✗ 1", "✓ 2", "✓ 1"]]
    rows = list(csv.DictReader(table.read_text("utf-8-sig").splitlines()))
    assert len(rows) == 3 * TOTAL
    assert [(row["learner"], row["lesson"], row["exercise"], row["solved"], row["attempts"]) for row in rows[:3]] \
        == [("'=2<b>", "5", "2", "0", "0"), ("ann", "5", "2", "1", "3"), ("bob", "5", "2", "0", "1")]
    assert main(["tour", "--class", str(school), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["files"] == [str(page), str(table)] and [each["learner"] for each in data["learners"]] == ["=2<b>", "ann", "bob"]
    assert data["exercises"][0] == dict(name="5.2", title="The original order", solved=1, tried=2, attempts=2.0)


def test_one_workspace_is_a_class_of_one_and_its_own_folders_are_no_learners(school):
    lone = lb.class_progress(school / "bob")
    assert list(lone.learners) == ["bob"] and not lone.not_begun and not lone.skipped


def test_a_class_that_cannot_be_saved_is_shown_all_the_same(school, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/outputs").touch()
    assert main(["tour", "--class", str(school), "--path", str(tmp_path / "full"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["files"] == [] and "could not be saved" in err


def test_a_folder_that_is_no_class_is_told(tmp_path):
    give = "give the folder that contains the learners' folders"
    for folder, sentence in ((tmp_path / "none", f"there is no folder {tmp_path / 'none'}; {give}"),
                             (tmp_path, f"there is no outputs/progress.json in {tmp_path} or in a folder below it; {give}")):
        with pytest.raises(lb.BadInput) as error:
            lb.class_progress(folder)
        assert str(error.value) == sentence


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_does_not_stop_the_reading(school):
    (school / "dora/outputs").mkdir()
    os.mkfifo(school / "dora/outputs/progress.json")
    assert f"{school / 'dora/outputs/progress.json'} is a link or a device, not a file" in lb.class_progress(school).skipped
