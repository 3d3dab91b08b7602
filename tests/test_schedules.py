"""Schedules: the tables of two other trainers, less their first update, which does nothing."""
import json
from types import SimpleNamespace

import pytest

from littlebaby.training.schedules import multiplier, warmup


def settings(c_schedule, s_warmup=0, r_learn_min=0.0, s_schedule_decay=0, c_schedule_decay="linear"):
    return SimpleNamespace(c_schedule=c_schedule, s_warmup=s_warmup, r_learn_min=r_learn_min, s_schedule_decay=s_schedule_decay,
                           c_schedule_decay=c_schedule_decay)


@pytest.mark.parametrize("row", range(5))
def test_equals_transformers_and_kilat(reference, row):
    """Their W warm-up updates begin with an idle one: ours with W - 1 warm-up steps and one step less in all are the other ones.
    Without warm-up there is no idle one, and step s is their update s - 1."""
    table = json.loads((reference("optimisers_a") / "schedules.json").read_text())["tables"][row]
    W, N, theirs = table["warmup_steps"], table["total_steps"], table["multiplier"]
    idle = 1 if W else 0
    cfg = settings("wsd" if "wsd" in table["kind"] else "cosine", W - idle, table["floor_ratio"], table.get("decay_steps", 0))
    ours = [multiplier(step, N - idle, cfg) for step in range(1, N - idle + 1)]
    assert ours == pytest.approx(theirs[idle:N], rel=0, abs=1e-15)
    assert multiplier(N - idle + 1, N - idle, cfg) == pytest.approx(theirs[N], abs=1e-15)


def test_shapes():
    line = settings("linear", 3, 0.2)
    assert [multiplier(s, 8, line) for s in range(1, 9)] == pytest.approx([0.25, 0.5, 0.75, 1, 0.84, 0.68, 0.52, 0.36])
    root = settings("wsd", "none", 0.0, 4, "1-sqrt")
    assert [multiplier(s, 6, root) for s in range(1, 7)] == pytest.approx([1, 1, 1, 0.5, 1 - 0.5 ** 0.5, 1 - 0.75 ** 0.5])
    assert {multiplier(s, 9, settings("constant", 0, 0.3)) for s in range(1, 12)} == {1}


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "wsd"])
@pytest.mark.parametrize("s_warmup", ["none", "auto", 7, 0.25])
@pytest.mark.parametrize("total", [1, 2, 7, 11, 200])
def test_every_step_learns_and_none_overshoots(schedule, s_warmup, total):
    cfg = settings(schedule, s_warmup, 0.0, 50)
    rates = [multiplier(step, total, cfg) for step in range(1, total + 1)]
    assert all(0 < rate <= 1 for rate in rates)
    W = warmup(cfg, total)
    assert rates[:W] == sorted(rates[:W]) and rates[W:] == sorted(rates[W:], reverse=True)
    assert W >= total or rates[W] == 1
    if W < total:
        assert multiplier(total + 5, total, cfg) == (1 if schedule == "constant" else 0)


def test_warmup_rules():
    runs = [("none", 5000), ("auto", 5000), ("auto", 100), (12, 90), (0.1, 90)]
    assert [warmup(settings("linear", s_warmup), total) for s_warmup, total in runs] == [0, 100, 10, 12, 9]
