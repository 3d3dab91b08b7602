"""The trained babies that come with littlebaby: in every workspace, apart from its runs, better with age."""
import shutil
import subprocess
from pathlib import Path

import pytest

import littlebaby as lb
from littlebaby.cli import main
from littlebaby.plans.judgement import JUDGED, marks, nursery_texts
from littlebaby.runs.shipped import AGES, SHIPPED, alias, home
from littlebaby.runs.store import Workspace

CLONE = Path(__file__).parents[1]
NAMES = list(SHIPPED.values())
YOUNG = SHIPPED["3-months"]


def files():
    return [path for folder in ("configs", "tokenizers", "models", "outputs") for path in (CLONE / folder).glob("*_??babe00-*")
            if not path.stem.rpartition("_")[2].isdigit()]


@pytest.mark.parametrize("age", SHIPPED)
def test_every_baby_tells_something_in_an_empty_workspace(age, tmp_path, capsys):
    assert main(["inference", age, "--prompt", "Once", "--max_tokens", "20", "--path", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("Once")
    assert [path.parent.name for path in tmp_path.rglob("*_*.json")] == ["outputs"]          # the completion, and no copy of the baby
    assert lb.info(age, path=tmp_path)["guid"] == SHIPPED[age] == lb.info(SHIPPED[age][:6], path=tmp_path)["guid"]


def test_babies_and_runs_stay_apart(tmp_path, capsys):
    assert lb.list(tmp_path) == [] and [run.name for run in lb.babies(tmp_path)] == NAMES
    lb.inference("3-months", max_tokens=3, path=tmp_path)
    assert lb.list(tmp_path) == []                               # a text of a baby makes no run of it
    with pytest.raises(lb.BadInput, match="there is no run in .* yet; .* 48-months come with littlebaby"):
        lb.info("last", path=tmp_path)
    run = lb.finetune("3-months", "nursery", path=tmp_path, n_steps=1, n_completion=0, n_sample=0, n_eval_windows=1, progress=False)
    assert run.guid == f"{YOUNG}_finetuned" and run.report.base == YOUNG and not alias(run.guid)
    assert [each.name for each in lb.list(tmp_path)] == [run.guid] and lb.info("last", path=tmp_path)["guid"] == run.guid
    assert main(["list", "--path", str(tmp_path)]) == 0
    own, babies = capsys.readouterr().out.split("babies that come with littlebaby:")
    assert run.guid in own and all(age in babies and age not in own for age in SHIPPED)


def test_a_baby_is_not_deleted_by_mistake(tmp_path):
    before = files()
    with pytest.raises(lb.BadInput, match="3-months comes with littlebaby; allowed with `littlebaby delete 3-months --yes`"):
        lb.delete("3-months", path=tmp_path, ask=lambda question: "y")
    lb.inference("3-months", max_tokens=3, path=tmp_path)
    assert [Path(path).parent for path in lb.delete("3-months", path=tmp_path, yes=True)] == [tmp_path / "outputs"]
    assert files() == before and home(YOUNG) == CLONE


def test_the_nearest_name_is_proposed(tmp_path):
    with pytest.raises(lb.BadInput, match="'24-month' is not a GUID; .* did you mean 24-months?"):
        lb.info("24-month", path=tmp_path)


def test_a_packed_baby_is_a_run_elsewhere(tmp_path, monkeypatch):
    packed = lb.pack("3-months", path=tmp_path / "one")
    shutil.unpack_archive(packed, tmp_path / "two")
    monkeypatch.setattr("littlebaby.runs.shipped.HOMES", [])
    one = lb.load(YOUNG, path=tmp_path / "two")
    monkeypatch.undo()
    assert (one.flat == lb.load("3-months").flat).all()


def test_git_keeps_babies_and_ignores_runs():
    if not shutil.which("git") or not (CLONE / ".git").exists():
        pytest.skip("no git, or no clone")
    ignored = lambda path: subprocess.run(["git", "-C", str(CLONE), "check-ignore", "-q", str(path)]).returncode == 0
    assert not any(map(ignored, files()))
    for name in (YOUNG.replace("babe", "baby"), f"{YOUNG}_finetuned", f"{YOUNG}_20261130120000", NAMES[0].replace("03", "0b", 1)[::-1]):
        assert ignored(CLONE / "outputs" / f"completion_{name}.json") and ignored(CLONE / "models" / f"model_{name}.safetensors"), name


def test_the_babies_are_small():
    assert len(files()) == 7 * len(AGES) and sum(path.stat().st_size for path in files()) < 8e6


def test_everything_improves_with_age():
    reports = [Workspace(CLONE).load_report(name) for name in NAMES]
    columns = zip(*((-report.figures.bits_per_character, report.judged.marks.sentences, report.judged.marks.stories,
                     report.judged.marks.before_mistake) for report in reports))
    for values in columns:
        assert list(values) == sorted(values), values
    words = [report.judged.marks.vocabulary for report in reports]               # of 252, which 200 stories of the nursery all use
    assert words[0] < 150 and all(240 < n <= 252 for n in words[1:])
    eldest = reports[-1].judged
    assert eldest.marks.stories > 0.9 and eldest.distinct > 0.99 and eldest.longest_overlap < 150
    assert min(eldest.marks.plots.values()) > 20                 # of 200: it has not learned to avoid a plot


def test_a_report_says_what_its_baby_does():
    baby, told = lb.load("24-months"), Workspace(CLONE).load_report(SHIPPED["24-months"]).judged
    found = marks(nursery_texts(baby, "stories", JUDGED), "stories")
    assert found.stories == pytest.approx(told.marks.stories, abs=0.08)          # products are rounded differently on other processors
    assert found.sentences == pytest.approx(told.marks.sentences, abs=0.05)
