"""Schedules: the tables of two other trainers, which begin one update earlier, with one that does nothing."""
import json
from types import SimpleNamespace

import pytest

from littlebaby.learning.schedules import multiplier, warmup


def settings(c_schedule, s_warmup=0, r_learn_min=0.0, s_decay=0, c_decay="linear"):
    return SimpleNamespace(c_schedule=c_schedule, s_warmup=s_warmup, r_learn_min=r_learn_min, s_decay=s_decay, c_decay=c_decay)


@pytest.mark.parametrize("row", range(5))
def test_equals_transformers_and_kilat(reference, row):
    """Step s is their update s, counted from 0: their idle update 0 is left out"""
    table = json.loads((reference("optimisers_a") / "schedules.json").read_text())["tables"][row]
    cfg = settings("wsd" if "wsd" in table["kind"] else "cosine", table["warmup_steps"], table["floor_ratio"], table.get("decay_steps", 0))
    N = table["total_steps"]
    ours = [multiplier(step, N, cfg) for step in range(1, N + 1)]
    assert ours == pytest.approx(table["multiplier"][1:N + 1], rel=0, abs=1e-15)


def test_shapes():
    line = settings("linear", 3, 0.2)
    assert [multiplier(s, 8, line) for s in range(1, 9)] == pytest.approx([1 / 3, 2 / 3, 1, 0.84, 0.68, 0.52, 0.36, 0.2])
    root = settings("wsd", "none", 0.0, 4, "1-sqrt")
    assert [multiplier(s, 6, root) for s in range(1, 7)] == pytest.approx([1, 1, 0.5, 1 - 0.5 ** 0.5, 1 - 0.75 ** 0.5, 0])
    assert {multiplier(s, 9, settings("constant", 0, 0.3)) for s in range(1, 10)} == {1}


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "wsd"])
@pytest.mark.parametrize("s_warmup", ["none", "auto", 7, 0.25])
@pytest.mark.parametrize("total", [2, 7, 11, 200])
def test_rises_then_falls_and_starts_above_zero(schedule, s_warmup, total):
    cfg = settings(schedule, s_warmup)
    rates = [multiplier(step, total, cfg) for step in range(1, total + 1)]
    W = warmup(cfg, total)
    assert rates[0] > 0 and all(0 <= rate <= 1 for rate in rates)
    assert rates[:W] == sorted(rates[:W]) and rates[W:] == sorted(rates[W:], reverse=True)


def test_warmup_rules():
    runs = [("none", 5000), ("auto", 5000), ("auto", 100), (12, 90), (0.1, 90)]
    assert [warmup(settings("linear", s_warmup), total) for s_warmup, total in runs] == [0, 100, 10, 12, 9]
