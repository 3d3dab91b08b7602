"""Sweeps: the cells of a plan, their statistics, the record, and that a sweep survives interruptions, kills and failing cells."""
import csv
import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from statistics import mean, stdev

import numpy as np
import pytest

import littlebaby as lb
from littlebaby import cli
from littlebaby.errors import BadInput
from littlebaby.evaluation import learning_rates, run_statistics, search
from littlebaby.evaluation.run_statistics import Cell, MeasuredRun
from littlebaby.plans import sweep_runs
from littlebaby.plans.sweep_plan import checked_plan, read_plan
from littlebaby.runs import disk
from littlebaby.runs.run_files import checkpoints, step_of
from littlebaby.runs.store import Workspace
from littlebaby.show import comparison_pictures
from littlebaby.text import nursery

TINY = dict(n_layers=1, n_emb=16, n_heads=2, n_ctx=16, batch_size=4, n_steps=6, s_eval=3, n_completion=0, n_sample=0, n_eval_windows=8,
            c_device="cpu")
GRID = dict(r_learn=[0.01, 0.03], n_heads=[1, 2])


@pytest.fixture
def home(tmp_path):
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "tale.txt").write_text(nursery.corpus(5_000, 1)[0])
    return tmp_path


def swept(home, **more):
    return lb.sweep(**dict(input="tale", jobs=1, path=home, progress=False, **TINY) | more)


def losses(found):
    return [run.measures["valid_loss"] for cell in found.cells for run in cell.runs]


def record(home, found):
    return json.loads((home / f"outputs/sweep_{found.name}.json").read_text())


def under_way(home, names):
    """Whether one of these runs has saved a checkpoint after its first"""
    return any(step_of(path) > 0 for name in names for path in checkpoints(home / f"models/checkpoint_{name}"))


# choices and statistics

def test_a_grid_has_all_combinations():
    assert search.grid(dict(a=[1, 2], b=["x"], c=[3, 4])) == [dict(a=a, b="x", c=c) for a in (1, 2) for c in (3, 4)]


def test_random_choices_stay_in_their_ranges_and_follow_their_scale():
    rng = np.random.default_rng(0)
    drawn = search.random_choices(dict(r_learn=[0.001, 0.1], n_layers=[1, 4], r_dropout=[0.0, 0.5], c_norm=["a", "b", "c"]), 4000, rng)
    rates, layers, dropouts = (np.array([each[name] for each in drawn]) for name in ("r_learn", "n_layers", "r_dropout"))
    assert rates.min() >= 0.001 and rates.max() <= 0.1
    assert np.median(rates) == pytest.approx(0.01, rel=0.08)                 # the middle on a logarithmic scale
    assert set(layers.tolist()) == {1, 2, 3, 4} and all(isinstance(each["n_layers"], int) for each in drawn)
    shares = np.log([3, 5 / 3, 7 / 5, 9 / 7]) / np.log(9)                     # of the logarithms of 0.5 to 4.5
    assert np.bincount(layers)[1:] / 4000 == pytest.approx(shares, abs=0.03)
    assert dropouts.mean() == pytest.approx(0.25, abs=0.01) and {each["c_norm"] for each in drawn} == {"a", "b", "c"}
    again = search.random_choices(dict(r_learn=[0.001, 0.1]), 3, np.random.default_rng(5))
    assert again == search.random_choices(dict(r_learn=[0.001, 0.1]), 3, np.random.default_rng(5))


def test_two_words_are_a_list_and_no_range():
    drawn = search.random_choices(dict(c_network=["mlp", "swi"], b_tied=[True, False]), 50, np.random.default_rng(0))
    assert {(each["c_network"], each["b_tied"]) for each in drawn} == {(a, b) for a in ("mlp", "swi") for b in (True, False)}


@pytest.mark.parametrize("given, keep, kept", [
    ([4.0, 1.0, 3.0, 2.0], 0.5, [1, 3]), ([4.0, 1.0, 3.0], 0.5, [1, 2]), ([2.0, None, 1.0, float("nan")], 0.9, [0, 2]),
    ([3.0, 2.0, 1.0], 0.1, [2]), ([None, None], 0.5, [])])
def test_halving_keeps_the_lowest_losses(given, keep, kept):
    assert search.survivors(given, keep) == kept


def cells_of(table, **settings):
    """Cells of {tuple of values: losses of its seeds}"""
    return [Cell(i, dict(zip(settings["names"], values)), [MeasuredRun(f"{i}.{seed}", seed, dict(valid_loss=loss))
                                                           for seed, loss in enumerate(each)])
            for i, (values, each) in enumerate(table.items(), 1)]


def test_importance_of_a_table_with_known_variances():
    """loss = 3 a + 2 b + seed, each of them +1 or -1: shares of the variance 9/14, 4/14 and 1/14"""
    table = {(a, b, "same"): [3 * a + 2 * b + s for s in (-1, 1)] for a in (-1, 1) for b in (-1, 1)}
    cells = cells_of(table, names=("a", "b", "c"))
    found = run_statistics.importance(cells)
    assert [each.setting for each in found] == ["a", "b"]                    # c has a single value
    assert [each.share for each in found] == pytest.approx([9 / 14, 4 / 14])
    assert run_statistics.share_of_seeds(cells) == pytest.approx(1 / 14)
    assert found[0].means == {"-1": -3, "1": 3} and found[1].means == {"-1": -2, "1": 2}


def test_a_setting_dealt_out_at_random_explains_what_is_said_of_chance():
    rng, shares = np.random.default_rng(0), []
    values = rng.permuted(np.tile([0] * 3 + [1] * 3 + [2] * 3, (2000, 1)), axis=1)
    noise = rng.standard_normal((9, 2))
    for dealt in values:
        found, = run_statistics.importance(cells_of({(str(v), i): row for i, (v, row) in enumerate(zip(dealt, noise))}, names=("x",)))
        shares.append(found.share)
    assert np.mean(shares) == pytest.approx(found.chance, rel=0.05)


def test_many_numbers_are_put_into_three_groups():
    values = [9, 1, 2, 8, 5, 4]
    assert run_statistics.grouped(values) == ["8 to 9", "1 to 2", "1 to 2", "8 to 9", "4 to 5", "4 to 5"]
    assert run_statistics.grouped([1, 2, 2, 5]) == ["1", "2", "2", "5"]
    assert run_statistics.grouped(list("abcdef")) == list("abcdef")


def test_the_pareto_front_against_its_definition():
    points = [(x, 30 - x + extra) for x, extra in np.random.default_rng(1).integers(0, 9, (60, 2)).tolist()]
    better = lambda p, q: p != q and p[0] <= q[0] and p[1] <= q[1]
    expected = {i for i, q in enumerate(points) if not any(better(p, q) for p in points)}
    assert set(run_statistics.pareto_front(points)) == expected and 3 <= len(expected) < 60


def test_mean_and_deviation_ignore_what_is_not_known():
    cell = Cell(1, {}, [MeasuredRun("a", 0, dict(valid_loss=1.0)), MeasuredRun("b", 1, dict(valid_loss=2.0)),
                        MeasuredRun("c", 2, {}, error="died"), MeasuredRun("d", 3, dict(valid_loss=float("inf")))])
    assert cell.mean("valid_loss") == 1.5 and cell.std("valid_loss") == pytest.approx(0.5 ** 0.5)
    assert cell.mean("memory") is None and cell.std("memory") is None and [run.guid for run in cell.failed] == ["c"]


def test_a_mean_curve_ends_with_the_shortest_run():
    runs = [MeasuredRun("a", 0, {}, [(1, 1, 1, 4.0), (2, 2, 2, 2.0)]), MeasuredRun("b", 1, {}, [(3, 3, 3, 6.0)]), MeasuredRun("c", 2)]
    assert run_statistics.mean_curve(runs).tolist() == [[2, 2, 2, 5, pytest.approx(2 ** 0.5)]]
    assert run_statistics.mean_curve(runs[2:]).shape == (0, 5)


def test_labels_of_points_at_one_place_are_joined():
    points = np.array([[0.0, 0.0], [1.0, 1.0], [0.001, 0.001]])
    assert comparison_pictures.labels(points, [1, 2, 3]) == [((0.0, 0.0), "1, 3"), ((1.0, 1.0), "2")]


# plans

def test_a_plan_expands_grid_list_and_random_without_repetitions():
    plan = checked_plan(dict(grid=dict(r_learn=[0.01, 0.02]), list=[dict(r_learn=0.02), dict(n_layers=3)],
                             random=dict(r_learn=[0.001, 0.1], n=2, seed=3), seeds=[4, 7]))
    assert plan.choices[:3] == [dict(r_learn=0.01), dict(r_learn=0.02), dict(n_layers=3)] and len(plan.choices) == 5
    assert plan.seeds == [4, 7] and checked_plan(dict(settings=dict(seed=5), seeds=2)).seeds == [5, 6]
    assert checked_plan(dict(settings=dict(n_epochs=1))).settings.get("n_steps") is None


@pytest.mark.parametrize("plan, sentence", [
    (dict(gird={}), "the key of a plan is 'gird'.*did you mean grid"),
    (dict(grid=dict(r_leran=[1])), "'r_leran' is not a setting; did you mean r_learn"),
    (dict(settings=dict(n_layer=1), grid=dict(n_hedas=[1])), "'n_hedas' is not a setting; did you mean n_heads"),
    (dict(grid=dict(r_learn=0.1)), "r_learn in grid is 0.1; allowed is a list of values"),
    (dict(grid=[1]), r"grid is \[1\]; allowed in a plan is an object"),
    (dict(list=dict(r_learn=1)), "list is .* allowed in a plan is a list of settings"),
    (dict(list=[3]), "an entry of list is 3; allowed are settings"),
    (dict(random=dict(r_learn=[0.1, 1], n=0)), "n of random is 0; allowed is a whole number from 1"),
    (dict(seeds=0), "seeds is 0; allowed is a whole number from 1"), (dict(seeds=[1, 1]), "a list of different seeds"),
    (dict(grid=dict(seed=[1, 2])), "only the key seeds"), (dict(preset="nursry"), "did you mean nursery"),
    (dict(halving=dict(n_steps=[5], keep=0.5)), "at least two growing numbers"),
    (dict(halving=dict(n_steps=[5, 3])), r"did you mean \[3, 5\]"),
    (dict(halving=dict(n_step=[5, 3])), "the key of halving is 'n_step'.*did you mean n_steps"),
    (dict(halving=dict(n_steps=[3, 5], keep=2)), "keep of halving is 2; allowed is a number from 0.01 to 0.99"),
    (dict(halving=dict(n_steps=[3, 5]), grid=dict(n_steps=[1, 2])), "the key halving gives n_steps"),
    (dict(grid=dict(r_learn=list(range(400)), n_layers=list(range(400)))), "the plan has 160,000 runs"),
    (dict(grid=dict(r_learn=list(range(400))), seeds=1000), "the plan has 400,000 runs")])
def test_a_wrong_plan_gets_one_sentence(plan, sentence):
    with pytest.raises(BadInput, match=sentence) as error:
        checked_plan(plan)
    assert "\n" not in str(error.value)


def test_a_plan_is_read_from_json_and_yaml(tmp_path, monkeypatch):
    pytest.importorskip("yaml")
    (tmp_path / "plan.json").write_text('{"grid": {"r_learn": [0.001, 0.02]}, "seeds": 3}')
    (tmp_path / "plan.yaml").write_text("grid: {r_learn: [1e-3, 0.02]}  # YAML takes 1e-3 for a text\nseeds: 3\n")
    plans = [checked_plan(read_plan(tmp_path / name)) for name in ("plan.json", "plan.yaml")]
    assert plans[0].choices == plans[1].choices == [dict(r_learn=0.001), dict(r_learn=0.02)] and plans[0].seeds == plans[1].seeds
    for name, text, sentence in (("a.json", "{", "a.json"), ("b.json", "[1]", "is not a plan: it must hold an object"),
                                 ("c.yml", "a: [", "c.yml is no YAML"), ("d.yml", "!!python/object/apply:os.system [ls]", "is no YAML")):
        (tmp_path / name).write_text(text)
        with pytest.raises(BadInput, match=sentence):
            read_plan(tmp_path / name)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(BadInput, match=r"needs pyyaml: pip install 'littlebaby\[sweep\]'; a plan in JSON works without it"):
        read_plan(tmp_path / "plan.yaml")


def test_without_joblib_one_run_at_a_time_still_works(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib.externals.loky", None)
    with pytest.raises(BadInput, match=r"needs joblib.*pip install 'littlebaby\[sweep\]'.*--jobs 1"):
        swept(home, grid=dict(r_learn=[0.01]), jobs=2)
    assert swept(home, grid=dict(r_learn=[0.01])).finished


# sweeps

def test_a_grid_of_two_settings_and_two_seeds(home):
    """Four cells with the means and deviations of the reports of their eight runs, in record, page and CSV"""
    found = swept(home, grid=GRID, seeds=2)
    assert found.finished and len(found.cells) == 4 and len(set(found.guids)) == 8
    assert [dict(cell.settings) for cell in found.cells] == search.grid(GRID)
    kept = record(home, found)
    assert kept["finished"] and [cell["settings"] for cell in kept["cells"]] == search.grid(GRID)
    rows = list(csv.DictReader((home / f"outputs/sweep_{found.name}.csv").read_text().splitlines()))
    page = (home / f"outputs/sweep_{found.name}.html").read_text()
    xml.fromstring(page)
    for cell, row, line in zip(found.cells, kept["table"], rows):
        reports = [lb.info(run.guid, home) for run in cell.runs]
        assert [each["config"]["seed"] for each in reports] == [0, 1]
        assert all(each["config"]["r_learn"] == cell.settings["r_learn"] and each["config"]["c_device_cpu_cores"] == 1 for each in reports)
        of = lambda name: [each["report"]["figures"][name] for each in reports]
        for measure in ("valid_loss", "bits_per_character", "tokens_per_second", "seconds", "flops"):
            for which, expected in (("mean", mean(of(measure))), ("std", stdev(of(measure)))):
                assert row[measure][which] == pytest.approx(expected, rel=1e-12)
                assert float(line[f"{measure}_{which}"]) == row[measure][which]
        assert row["parameters"]["mean"] == of("parameters")[0]["total"] and row["memory"]["mean"] == of("memory")[0]
        assert line["guids"].split() == row["guids"] == [run.guid for run in cell.runs]
        assert float(line["r_learn"]) == cell.settings["r_learn"] and line["failed"] == "0"
        loss = f"{row['valid_loss']['mean']:.4f} ± {row['valid_loss']['std']:.4f}"
        assert loss in page and loss in str(found)
        assert all(run.guid in page for run in cell.runs)
    assert found.best.mean("valid_loss") == min(cell.mean("valid_loss") for cell in found.cells)
    assert {each.setting for each in found.importance()} == {"r_learn", "n_heads"}
    assert page.count("<img") == 2


def test_a_stopped_sweep_continues_with_the_same_runs_and_ends_with_the_same_losses(home, tmp_path_factory):
    whole = swept(home, grid=GRID)
    calls = iter(range(100))
    half = swept(home, grid=GRID, stop=lambda: next(calls) >= 12)            # in the middle of the second run
    assert not half.finished and sum(bool(run.measures) for cell in half.cells for run in cell.runs) == 1
    assert len([each for each in lb.list(home) if each.resumable]) == 1 and "--resume" in half.about
    rest = lb.sweep(resume=half.name[:8], jobs=1, path=home, progress=False)
    assert rest.finished and rest.guids == half.guids and not set(rest.guids) & set(whole.guids)
    assert losses(rest) == losses(whole)
    assert [each["guids"][0] for each in record(home, rest)["table"]] == rest.guids
    again = lb.sweep(resume="last", jobs=1, path=home, progress=False)
    assert again.guids == rest.guids and losses(again) == losses(rest)


@pytest.mark.skipif(os.name == "nt", reason="a kill that leaves no time is a POSIX signal")
def test_a_killed_sweep_continues(home):
    """Killed at whatever moment it is after its first checkpoints, the processes of its runs included"""
    pytest.importorskip("joblib")
    settings = dict(TINY, n_steps=400, s_eval=20)
    whole = swept(home, grid=dict(r_learn=[0.01, 0.03, 0.05]), **settings)
    (home / "plan.json").write_text(json.dumps(dict(input="tale", settings=settings, grid=dict(r_learn=[0.01, 0.03, 0.05]))))
    before = Workspace(home).names()
    child = subprocess.Popen([sys.executable, "-m", "littlebaby", "sweep", str(home / "plan.json"), "--jobs", "2", "--path", str(home),
                              "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not under_way(home, Workspace(home).names() - before):
        assert child.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    killed = Workspace(home).load_sweep("last")
    guids = [run.guid for cell in killed.cells for run in cell.runs]
    assert not killed.finished
    rest = lb.sweep(resume=killed.guid, jobs=2, path=home, progress=False)
    assert rest.finished and rest.guids == guids and losses(rest) == losses(whole)
    assert all(report["stop_reason"] == "finished" for report in (lb.info(guid, home)["report"] for guid in guids))


def test_runs_at_once_give_the_numbers_of_one_at_a_time(home):
    pytest.importorskip("joblib")
    assert losses(swept(home, grid=GRID, jobs=2)) == losses(swept(home, grid=GRID))


def test_an_interrupted_sweep_of_several_processes_saves_and_continues(home):
    pytest.importorskip("joblib")
    long = dict(n_steps=2000, s_eval=500, s_checkpoint=200)
    half = swept(home, grid=dict(r_learn=[0.01, 0.02]), jobs=2, stop=lambda: under_way(home, Workspace(home).names()), **long)
    assert not half.finished
    started = [each for each in lb.list(home) if each.name in half.guids]
    assert all(each.resumable or each.report.stop_reason == "finished" for each in started)
    rest = lb.sweep(resume="last", jobs=1, path=home, progress=False)
    assert rest.finished and rest.guids == half.guids
    assert losses(rest) == losses(swept(home, grid=dict(r_learn=[0.01, 0.02]), **long))


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_a_failing_cell_fails_alone(home, monkeypatch):
    """One whose settings do not fit together, one that diverges, one with a defect"""
    real = sweep_runs.train_as

    def broken(workspace, name, cfg, *rest):
        if cfg.r_dropout:
            raise ZeroDivisionError("a defect")
        return real(workspace, name, cfg, *rest)

    monkeypatch.setattr(sweep_runs, "train_as", broken)
    diverges = dict(r_learn=100.0, c_optimizer="sgd", r_clip=0, n_steps=60, s_warmup="none")
    found = swept(home, list=[dict(r_learn=0.01), dict(n_heads=3), diverges, dict(r_dropout=0.5)])
    assert found.finished
    errors = [cell.runs[0].error for cell in found.cells]
    assert not errors[0] and errors[1].startswith("n_heads is 3; allowed are divisors of head_size, 16")
    assert "had no finite loss or gradient" in errors[2] and errors[3] == "ZeroDivisionError: a defect"
    assert found.best.number == 1 and [bool(cell.values("valid_loss")) for cell in found.cells] == [True, False, False, False]
    page = (home / f"outputs/sweep_{found.name}.html").read_text()
    assert "ZeroDivisionError: a defect" in page and "1, 1 failed" in page and "seed 0 failed: ZeroDivisionError" in str(found)
    kept = record(home, found)
    assert [cell["runs"][0]["error"] for cell in kept["cells"]] == errors
    again = lb.sweep(resume=found.name, jobs=1, path=home, progress=False)   # what has failed is not tried again
    assert [cell.runs[0].error for cell in again.cells] == errors


def test_a_full_disk_ends_the_sweep_and_no_cell_fails(home, monkeypatch):
    def full(*_):
        raise disk.CannotWrite("cannot write: the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(sweep_runs, "train_as", full)
        with pytest.raises(BadInput, match="the disk is full"):
            swept(home, grid=GRID)
    rest = lb.sweep(resume="last", jobs=1, path=home, progress=False)
    assert rest.finished and not any(cell.failed for cell in rest.cells)


def test_a_process_that_dies_fails_alone(home, monkeypatch):
    """The pool of processes breaks with it; the runs beside it are trained all the same"""
    pytest.importorskip("joblib")
    (home / "dies.py").write_text("import os, littlebaby.plans.sweep_runs as runs\nreal = runs.train_one\n"
                                  "def train_in_process(task, lock):\n"
                                  "    if task.settings['r_learn'] == 0.02:\n        os._exit(1)\n"
                                  "    return real(task, lambda: False)\n")
    monkeypatch.syspath_prepend(home)
    import dies
    monkeypatch.setattr(sweep_runs, "train_in_process", dies.train_in_process)
    found = swept(home, grid=dict(r_learn=[0.01, 0.02, 0.03]), jobs=2)
    assert found.finished and ["died" in cell.runs[0].error for cell in found.cells] == [False, True, False]
    assert [len(cell.values("valid_loss")) for cell in found.cells] == [1, 0, 1]


def test_halving_trains_the_best_longer(home):
    found = swept(home, grid=dict(r_learn=[0.001, 0.003, 0.01, 0.03]), seeds=2, halving=dict(n_steps=[3, 6, 12], keep=0.5))
    rounds = [[cell for cell in found.cells if cell.round == turn] for turn in (1, 2, 3)]
    assert [len(each) for each in rounds] == [4, 2, 1]
    for before, after in zip(rounds, rounds[1:]):
        best = sorted(before, key=lambda cell: cell.mean("valid_loss"))[:len(after)]
        assert {cell.settings["r_learn"] for cell in after} == {cell.settings["r_learn"] for cell in best}
        assert max(cell.mean("valid_loss") for cell in best) <= min(cell.mean("valid_loss") for cell in before if cell not in best)
    assert [{cell.settings["n_steps"] for cell in each} for each in rounds] == [{3}, {6}, {12}]
    assert all(lb.info(run.guid, home)["report"]["evaluations"][-1]["step"] == 12 for run in rounds[2][0].runs)
    assert [each.setting for each in found.importance()] == ["r_learn"]      # of the first round alone: n_steps is the same there


def test_a_resumed_sweep_keeps_its_plan_and_its_text(home):
    found = swept(home, grid=dict(r_learn=[0.01]))
    with pytest.raises(BadInput, match="a resumed sweep keeps its own plan"):
        lb.sweep(resume="last", path=home, seeds=2)
    with pytest.raises(BadInput, match="the sweep is 'abcd'"):
        lb.sweep(resume="abcd", path=home)
    (home / "inputs/tale.txt").write_text("another text. " * 300)
    with pytest.raises(BadInput, match=f"training text of the sweep {found.name[:8]} has changed"):
        lb.sweep(resume="last", path=home)


def test_a_sweep_in_work_is_left_alone(home):
    found = swept(home, grid=dict(r_learn=[0.01]))
    with Workspace(home).lock_sweep(found.name), pytest.raises(BadInput, match="another process is working on the sweep"):
        lb.sweep(resume="last", jobs=1, path=home, progress=False)


def test_a_sweep_without_a_valid_choice_or_text_trains_nothing(home):
    with pytest.raises(BadInput, match="n_heads is 3; allowed are divisors"):
        swept(home, grid=dict(n_heads=[3, 5]))
    with pytest.raises(BadInput, match="there is no file 'tail'.*did you mean tale"):
        swept(home, input="tail", grid=GRID)
    with pytest.raises(BadInput, match="there is no sweep in"):
        lb.sweep(resume="last", path=home)
    assert not list(home.glob("outputs/sweep_*")) and not lb.list(home)


# compare

def test_compare_joins_runs_that_differ_by_the_seed(home):
    small = dict(TINY, path=home, progress=False)
    runs = [lb.train("tale", r_learn=rate, seed=seed, **small) for rate, seed in ((0.01, 0), (0.03, 0), (0.01, 1))]
    found = lb.compare(*(run.guid for run in runs), path=home)
    assert [dict(cell.settings) for cell in found.cells] == [dict(r_learn=0.01), dict(r_learn=0.03)]
    assert [[run.guid for run in cell.runs] for cell in found.cells] == [[runs[0].guid, runs[2].guid], [runs[1].guid]]
    assert found.cells[0].mean("valid_loss") == mean(runs[i].report.figures.valid_loss for i in (0, 2))
    assert found.cells[0].std("valid_loss") == pytest.approx(stdev(runs[i].report.figures.valid_loss for i in (0, 2)))
    assert sorted(lb.compare(path=home).guids) == sorted(found.guids)
    with pytest.raises(BadInput, match="there is no run"):
        lb.compare("0123", path=home)


def test_compare_names_the_texts_of_runs_of_different_texts(home):
    (home / "inputs" / "other.txt").write_text("abc def " * 200)
    small = dict(TINY, path=home, progress=False)
    names = [lb.train(text, **small).guid for text in ("tale", "other")]
    assert [cell.settings["text"] for cell in lb.compare(*names, path=home).cells] == ["tale.txt", "other.txt"]


# in a shell

def test_the_commands(home, capsys):
    (home / "plan.json").write_text(json.dumps(dict(input="tale", settings=TINY, grid=dict(r_learn=[0.01, 0.02]))))
    assert cli.main(["sweep", str(home / "plan.json"), "--jobs", "1", "--path", str(home), "--json"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert [cell["settings"]["r_learn"] for cell in answer["cells"]] == [0.01, 0.02] and answer["finished"]
    assert "cell 1 r_learn=0.01 seed 0   validation loss " in err and answer["cells"][1]["guids"][0][:8] in err
    assert [file.rpartition(".")[2] for file in answer["files"]] == ["json", "html", "csv"]
    guids = [cell["guids"][0] for cell in answer["cells"]]
    assert cli.main(["compare", *guids, "--path", str(home), "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert [cell["valid_loss"] for cell in compared["cells"]] == [cell["valid_loss"] for cell in answer["cells"]]
    assert (home / f"outputs/compare_{guids[0]}.html").exists() and (home / f"outputs/compare_{guids[0]}.csv").exists()
    lb.delete(guids[0], home, yes=True)
    assert not list(home.glob(f"outputs/compare_{guids[0]}*"))
    assert cli.main(["sweep", "--path", str(home)]) == 2 and "sweep needs a plan" in capsys.readouterr().err
    assert cli.main(["sweep", str(home / "no.json")]) == 2


# the search for a learning rate

def test_rates_grow_by_one_factor_and_the_suggestion_is_a_third_of_the_best():
    rates = [learning_rates.growing_rate(step, 101, 1e-4, 1.0) for step in range(1, 102)]
    assert rates[0] == 1e-4 and rates[-1] == pytest.approx(1.0)
    assert np.diff(np.log(rates)) == pytest.approx(np.full(100, np.log(1e4) / 100))
    losses = [3 - 0.02 * i if i < 60 else 2 + 0.2 * (i - 60) for i in range(101)]
    means = learning_rates.running_mean(losses)
    weights = 0.9 ** np.arange(70, -1, -1)
    assert means[70] == pytest.approx((weights * losses[:71]).sum() / weights.sum())
    found = learning_rates.suggestion(rates, losses)
    assert found.rate == pytest.approx(rates[int(means.argmin())] / 3, rel=0.02) and "rises again" in found.reason
    assert "a higher one may be better" in learning_rates.suggestion(rates[:50], losses[:50]).reason
    assert not learning_rates.has_diverged(losses[:60])
    assert learning_rates.has_diverged(losses) and learning_rates.has_diverged([1.0, np.nan])


def test_find_rate_trains_with_growing_rates_and_ends_where_it_diverges(home):
    small = {name: value for name, value in TINY.items() if name not in ("n_steps", "s_eval")}
    found = lb.find_rate("tale", path=home, n_steps=60, least=1e-3, most=100, c_optimizer="sgd", r_clip=0, progress=False, **small)
    assert len(found.rates) < 60 and learning_rates.has_diverged(found.losses) and not learning_rates.has_diverged(found.losses[:-1])
    assert found.rates == pytest.approx([1e-3 * 1e5 ** (i / 59) for i in range(len(found.rates))])
    assert f"{found.rate:g}" in found.reason and not lb.list(home)
    xml.fromstring(found.save(home / "outputs/find.html").read_text())
    with pytest.raises(BadInput, match="most is 0.001; allowed is a rate above least, 0.01"):
        lb.find_rate("tale", path=home, least=0.01, most=0.001)


def test_the_command_find_rate(home, capsys):
    words = [word for name, value in TINY.items() if name != "s_eval" for word in (f"--{name}", str(value))]
    words[words.index("--n_steps") + 1] = "25"
    assert cli.main(["find_rate", "tale", *words, "--path", str(home), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["rates"]) == 25 and answer["path"].endswith("find_rate_tale.html")
