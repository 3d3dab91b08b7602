"""What is saved and taken up again is the run itself: to the last bit, whatever learns, wherever it was cut."""
import copy
import json

import numpy as np
import pytest

from littlebaby.errors import BadInput
from littlebaby.inference.baby import Baby
from littlebaby.runs.settings import Config, allowed
from littlebaby.runs.store import Workspace
from littlebaby.training import loop
from littlebaby.training.checkpoint import state_from_arrays, state_to_arrays
from littlebaby.training.data import Batches, windows
from littlebaby.training.loop import Checkpoint, Done, Evaluation, State, Step, begin, train
from littlebaby.training.lora import with_adapters

GUID = "0b2f8a52-7b0c-4f7e-9d3c-5a1f6f2f7c11"
IDS = np.array([int(c) for c in "0123401234012340122340123401234" * 40])
STEPS = 14


def config(**more):
    """An epoch of 62 windows, which batches of 4 do not end with; two batches a step, dropout, an evaluation every 4 steps"""
    return Config(**{**dict(n_ctx=8, n_emb=8, n_heads=2, n_layers=1, batch_size=4, n_accumulate=2, n_vocab=5, r_dropout=0.2, n_steps=STEPS,
                            s_eval=4, s_checkpoint=3, r_learn=1e-2, n_sample=0, s_warmup=3, r_checkpoint_minutes=0, c_device_cpu_cores=1),
                            **more})


def babe(cfg):
    baby = Baby(cfg, seed=cfg.seed)
    return with_adapters(baby) if cfg.lora_rank else baby


def go(baby, state, stop=lambda: False):
    cfg = baby.config
    return train(baby, state, Batches(IDS[:500], cfg, cfg.seed), windows(IDS[1000:], cfg.n_ctx), stop)


def seen(events):
    """All numbers that a run shows, clocks left out"""
    step = lambda e: (e.step, e.loss, e.rate, e.norm)
    row = lambda e: (e.step, e.tokens, e.train_loss, e.valid_loss, e.aux_loss, e.load, e.clipped, e.best)
    return [step(e) if isinstance(e, Step) else row(e) for e in events if isinstance(e, Step | Evaluation)]


def same(a, b):
    """Weights and states, every array and number of them but the clocks"""
    (arrays, numbers), (others, more) = state_to_arrays(*a), state_to_arrays(*b)
    for each in (numbers, more):
        each["seconds"] = each["recent"]["seconds"] = 0
    assert numbers == more and arrays.keys() == others.keys()
    return all(np.array_equal(arrays[name], others[name]) and arrays[name].dtype == others[name].dtype for name in arrays)


@pytest.mark.parametrize("more", [
    *(dict(c_optimizer=name) for name in allowed("c_optimizer")), dict(c_network="moe", r_bias_update=0.01, n_active=2),
    dict(d_type="fp64"), dict(lora_rank=2)], ids=lambda more: " ".join(map(str, more.values())))
@pytest.mark.parametrize("cores", [1, 2])
def test_a_run_goes_on_from_every_checkpoint_to_the_same_bits(tmp_path, monkeypatch, more, cores):
    """Killed after any checkpoint, taken up again from the disk: no weight, moment or shown number can tell"""
    monkeypatch.setattr("littlebaby.training.parallel.cores", lambda: cores)
    cfg, home = config(c_device_cpu_cores=0, **more), Workspace(tmp_path)
    baby = babe(cfg)
    state, shown, saved = begin(baby, STEPS), [], {}
    assert state.shards == cores
    for event in go(baby, state):
        shown.append(event)
        if isinstance(event, Checkpoint):
            home.save_checkpoint(GUID, state.step, *state_to_arrays(baby, state))
            saved[state.step] = home.load_checkpoint(GUID)[:2]
    assert shown[-1] == Done("finished", STEPS) and [*saved] == [0, 3, 6, 9, 12]

    monkeypatch.setattr("littlebaby.training.parallel.cores", lambda: 1 if cores == 2 else 2)       # on another machine
    for step, (arrays, numbers) in saved.items():
        again = babe(cfg.replace(seed=1))
        again.config = cfg
        other = state_from_arrays(again, arrays, numbers)
        rest = list(go(again, other))
        assert seen(rest) == seen(e for e in shown if e.step > step) and rest[-1] == shown[-1]
        assert same((again, other), (baby, state))


def test_a_run_stopped_early_stays_stopped():
    """A checkpoint at the very evaluation that ends a run: no step more is made"""
    cfg = config(n_patience=1, r_learn=0.5, s_checkpoint=4, d_type="fp64")
    baby = babe(cfg)
    state = begin(baby, STEPS)
    for event in go(baby, state):
        if isinstance(event, Checkpoint):
            last = copy.deepcopy(state_to_arrays(baby, state))
    assert event == Done("early stop", state.step) and last[1]["step"] == state.step < STEPS
    again = babe(cfg)
    other = state_from_arrays(again, *last)
    assert list(go(again, other)) == [event] and same((again, other), (baby, state))


@pytest.mark.parametrize("more, steps", [
    (dict(s_checkpoint=5), [0, 5, 10]), (dict(s_checkpoint=0), [0, 4, 8, 12, 14]), (dict(s_checkpoint=100), [0]),
    (dict(s_checkpoint=100, r_checkpoint_minutes=10), [0, 3, 6, 9, 12]), (dict(s_checkpoint=5, r_checkpoint_minutes=10), [0, 3, 5, 8, 10,
                                                                                                                          13])])
def test_checkpoints_come_by_steps_and_by_minutes(monkeypatch, more, steps):
    """Four minutes a step, by a clock that no change of the hour moves"""
    monkeypatch.setattr(loop, "monotonic", lambda: now[0])
    now, baby = [0], babe(config(**more))
    for event in go(baby, begin(baby, STEPS)):
        if isinstance(event, Step):
            now[0] += 240
        if isinstance(event, Checkpoint):
            assert event.step == steps.pop(0)
    assert steps == []


def test_a_new_field_of_the_state_is_saved_by_itself(monkeypatch):
    """What another version adds keeps its default where an old checkpoint lacks it; what this one does not know is refused"""
    baby = babe(config())
    state = begin(baby, STEPS)
    state.waited, state.best_flat = 3, baby.flat + 1
    arrays, numbers = state_to_arrays(baby, state)
    numbers = json.loads(json.dumps(numbers))
    del numbers["waited"]
    old = state_from_arrays(babe(config(seed=4)), arrays, numbers)
    assert old.waited == State(1, {}).waited == 0 and np.array_equal(old.best_flat, baby.flat + 1) and old.best_loss == float("inf")
    with pytest.raises(BadInput, match="holds scaler, which this version does not know; a newer littlebaby wrote it"):
        state_from_arrays(baby, arrays, numbers | dict(scaler=2.0))


@pytest.mark.parametrize("spoil, said", [
    (lambda a, n: a.pop("flat"), "flat is missing; allowed is float32 of shape"),
    (lambda a, n: a.update(flat=a["flat"][:-1]), r"flat is float32 of shape \(\d+,\); allowed is float32"),
    (lambda a, n: a.update({"optimizer.m": a["optimizer.m"].astype("float64")}), "optimizer.m is float64 of shape"),
    (lambda a, n: n["optimizer"].pop("v"), "it holds m, t; allowed are m, v, t"),
    (lambda a, n: n.update(best_flat=dict(array="optimizer.m")), "optimizer.m is float32"),
    (lambda a, n: n.update(step="ten"), "it holds 'ten' in place of a value of type int"),
    (lambda a, n: n.update(recent=[]), r"it holds \[\] in place of a value of type dict")])
def test_a_checkpoint_that_does_not_fit_is_told(spoil, said):
    baby = babe(config(lora_rank=2))
    arrays, numbers = state_to_arrays(baby, begin(baby, STEPS))
    spoil(arrays, numbers)
    with pytest.raises(BadInput, match=said):
        state_from_arrays(baby, arrays, numbers)
