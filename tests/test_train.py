"""The loop without a disk: what one seed does it does again, a stopped run goes on as if it had never stopped, bad steps are skipped."""
import copy

import numpy as np
import pytest

from littlebaby.errors import RunFailed
from littlebaby.learning.baby import Baby
from littlebaby.learning.data import Batches, windows
from littlebaby.learning.optimizers import adamw
from littlebaby.learning.train import Done, Evaluation, Step, begin, train
from littlebaby.runs.records import Config

IDS = np.array([int(c) for c in "0123401234012340122340123401234" * 40])


def config(**more):
    return Config(**{**dict(n_ctx=8, n_emb=16, n_heads=2, n_layers=1, batch_size=4, n_vocab=5, r_dropout=0.1, n_steps=30, s_eval=10,
                            r_learn=1e-2, n_sample=0, s_warmup=3, d_type="fp64"), **more})


def run(cfg, stop_at=None, state=None, baby=None, batches=None):
    baby = baby or Baby(cfg, seed=cfg.seed)
    state = state or begin(baby, cfg.n_steps)
    events = list(train(baby, state, batches or Batches(IDS[:1000], cfg, cfg.seed), windows(IDS[1000:], cfg.n_ctx),
                        stop=lambda: state.step == stop_at))
    return baby, state, events


def kinds(events, kind):
    return [e for e in events if isinstance(e, kind)]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_learning(optimizer):
    _, state, events = run(config(c_optimizer=optimizer, r_learn=0.1 if optimizer == "sgd" else 1e-2))
    losses = [e.loss for e in kinds(events, Step)]
    assert len(losses) == 30 and losses[0] == pytest.approx(np.log(5), abs=0.1) and losses[-1] < 1.0
    rows = kinds(events, Evaluation)
    assert [row.step for row in rows] == [10, 20, 30] and rows[-1].valid_loss == state.best_loss < 1.0
    assert rows[0].train_loss == pytest.approx(np.mean(losses[:10])) and rows[-1].tokens == 30 * 32 == state.tokens
    assert events[-1] == Done("finished", 30)


def test_the_same_seed_is_the_same_run():
    (a, _, _), (b, _, _), (other, _, _) = run(config()), run(config()), run(config(seed=1))
    assert np.array_equal(a.flat, b.flat) and not np.array_equal(a.flat, other.flat)


@pytest.mark.parametrize("more", [{}, dict(n_accumulate=3), dict(c_optimizer="muon")], ids=["adamw", "accumulation", "muon"])
@pytest.mark.parametrize("stop_at", [1, 10, 17])
def test_a_stopped_run_goes_on_bit_for_bit(stop_at, more):
    whole, _, events = run(config(**more))
    part, state, first = run(config(**more), stop_at)
    assert first[-1] == Done("interrupted", stop_at)
    _, state, rest = run(config(**more), state=copy.deepcopy(state), baby=part)
    assert np.array_equal(part.flat, whole.flat)
    same = lambda events: [(e.step, e.loss, e.rate, e.norm) for e in kinds(events, Step)]
    assert same(first) + same(rest) == same(events)
    assert [e.valid_loss for e in kinds(first + rest, Evaluation)] == [e.valid_loss for e in kinds(events, Evaluation)]
    assert [e.train_loss for e in kinds(first + rest, Evaluation)] == [e.train_loss for e in kinds(events, Evaluation)]


def test_accumulating_is_a_larger_batch():
    """4 batches of 2 rows, summed, are one step on 8 rows"""
    class Rows:
        def __init__(self, rows):
            self.rows = rows

        def batch(self, i):
            x = np.stack([IDS[j:j + 9] for j in range(self.rows * i, self.rows * (i + 1))])
            return x[:, :-1], x[:, 1:]

    small = config(r_dropout=0.0, batch_size=2, n_accumulate=4, n_steps=5)
    large = config(r_dropout=0.0, batch_size=8, n_steps=5)
    a, b = (run(cfg, batches=Rows(cfg.batch_size))[0] for cfg in (small, large))
    assert np.abs(a.flat - b.flat).max() < 1e-12


def test_the_best_weights_are_kept_and_patience_ends():
    """A learning rate that explodes after a while: the best weights are from before"""
    cfg = config(r_learn=3.0, c_optimizer="sgd", s_eval=1, n_patience=4, s_warmup="none", c_schedule="constant", r_clip=0.0)
    baby, state, events = run(cfg)
    rows = kinds(events, Evaluation)
    assert events[-1].reason == "early stop" and state.waited == 4 and rows[-1].step == state.best_step + 4
    assert state.best_loss == min(row.valid_loss for row in rows)
    best = Baby(cfg, flat=state.best_flat)
    x, y = windows(IDS[1000:], cfg.n_ctx)[:]
    assert best.loss(x, y) == pytest.approx(state.best_loss, rel=1e-12) and best.loss(x, y) < baby.loss(x, y)


def test_steps_without_a_finite_gradient_are_skipped(monkeypatch):
    cfg, calls = config(), []
    real = adamw.step

    def poisoned(baby):
        """The third and fourth step meet a weight that is no number; it heals afterwards"""
        weight = baby.weights()["blocks.0.att.wq"]
        keep = weight[0, 0].copy()

        def stop():
            calls.append(0)
            if len(calls) == 2:
                weight[0, 0] = np.nan
            if len(calls) == 4:
                weight[0, 0] = keep
            return False

        return stop

    monkeypatch.setattr(adamw, "step", lambda *a, **k: real(*a, **k))
    baby = Baby(cfg)
    state = begin(baby, 8)
    events = list(train(baby, state, Batches(IDS, cfg, 0), windows(IDS[1000:], 8), stop=poisoned(baby)))
    assert [e.skipped for e in kinds(events, Step)] == [False, False, True, True, False, False, False, False]
    assert state.skipped == 2 and np.isfinite(baby.flat).all() and state.tokens == 6 * 32


def test_ten_bad_steps_in_a_row_end_the_run_by_name():
    cfg = config()
    baby = Baby(cfg)
    baby.weights()["blocks.0.att.wq"][0, 0] = np.nan
    with pytest.raises(RunFailed, match=r"10 steps in a row .* step 10: the gradient of \S+ is the first"):
        list(train(baby, begin(baby, 30), Batches(IDS, cfg, 0), windows(IDS[1000:], 8)))


def test_samples_grow_up():
    class Digits:
        size, decode = 5, staticmethod(lambda ids: "".join(map(str, ids)))

    cfg = config(n_sample=12)
    baby = Baby(cfg, tokenizer=Digits)
    events = list(train(baby, begin(baby, 30), Batches(IDS, cfg, 0), windows(IDS[1000:], 8), begins_with=IDS[None, :1]))
    samples = [e.sample for e in kinds(events, Evaluation)]
    assert all(len(s) == 12 for s in samples) and "1234" in samples[-1]


def test_no_validation_text():
    cfg = config()
    baby = Baby(cfg)
    events = list(train(baby, state := begin(baby, 30), Batches(IDS, cfg, 0), windows(IDS[:1], 8)))
    assert [e.valid_loss for e in kinds(events, Evaluation)] == [None] * 3 and state.best_step == 30
