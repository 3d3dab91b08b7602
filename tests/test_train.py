"""The loop without a disk: what one seed does it does again, a stopped run goes on as if it had never stopped, bad steps are skipped."""
import copy
from contextlib import nullcontext

import numpy as np
import pytest
from strict import strict

from littlebaby.arrays import backend, tree
from littlebaby.errors import RunFailed
from littlebaby.inference.baby import Baby
from littlebaby.model import gpt
from littlebaby.model.context import Context
from littlebaby.runs.settings import Config, allowed
from littlebaby.text.special_tokens import SpecialTokens
from littlebaby.training import loop, parallel
from littlebaby.training.data import Batches, windows
from littlebaby.training.loop import FIRST_SCALE, GROW_AFTER, Done, Evaluation, Step, begin, train
from littlebaby.training.lora import with_adapters
from littlebaby.training.optimizers import adamw
from littlebaby.training.parallel import Workers, gradient, shard_gradient

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


@pytest.mark.parametrize("on, more, workers, products", [
    (2, dict(), 2, 1), (16, dict(), 8, 1), (2, dict(batch_size=1), 1, 2), (4, dict(batch_size=1, c_device_cpu_cores=3), 1, 3),
    (4, dict(c_device_cpu_cores=1), 1, 1), (4, dict(c_device_cpu_cores=99), 4, 1), (2, dict(c_network="moe", n_experts=64), 2, 1)])
def test_the_cores_are_shared_out(on, more, workers, products, monkeypatch):
    """Shards first, the experts of moe as all else; a single worker's products have all cores; on a device one worker feeds it"""
    limits = []
    monkeypatch.setattr(parallel, "cores", lambda: on)
    monkeypatch.setattr(loop, "blas_threads", lambda n: limits.append(n) or nullcontext())
    run(cfg := config(**{"batch_size": 8, **more, "n_steps": 1}))
    assert (parallel.worker_count(cfg), limits) == (workers, [products])
    try:
        backend.use(strict)
        assert parallel.worker_count(cfg) == parallel.threads(cfg) == 1
    finally:
        backend.use("cpu")


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
    with pytest.raises(RunFailed, match=r"10 steps in a row .* step 10: the gradients of \d+ weights are not finite, the first is \S+;"):
        list(train(baby, begin(baby, 30), Batches(IDS, cfg, 0), windows(IDS[1000:], 8)))


def test_samples_grow_up():
    class Digits:
        size, decode, special_tokens = 5, staticmethod(lambda ids: "".join(map(str, ids))), SpecialTokens()

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


# half precision

HALF = dict(d_type="fp16", n_ctx=8, n_emb=16, batch_size=4, r_dropout=0.0, c_device_cpu_cores=1)


def flowing(p, spec, scale, cfg):
    """The gradient of one batch as a step makes it, in one flat vector"""
    ids = np.random.default_rng(0).integers(0, 5, (2, 4, 8))
    grad, workers = np.zeros(tree.size(spec, train=True), np.float32), Workers(1)
    loss, _ = gradient(workers, [grad], shard_gradient(workers, [grad], spec, p, cfg), [tuple(ids)], (0, 0), scale)
    return loss, grad


GRID = [dict(c_attention=a, c_network=n) for a in allowed("c_attention") for n in allowed("c_network")]


@pytest.mark.parametrize("more", [*GRID, dict(c_network="moe", n_active=2, r_aux=3.0)], ids=lambda more: "-".join(map(str, more.values())))
def test_half_precision_is_nearly_single(more):
    """Every attention with every network, and a layer's own loss: through a half copy of the matrices comes nearly the exact gradient"""
    baby = Baby(config(**HALF, **more), seed=1)
    baby.flat += 0.1 * np.random.default_rng(0).standard_normal(baby.flat.size).astype(np.float32)
    nearly_single(baby)


def test_adapters_in_half_precision():
    """The frozen base is multiplied in half precision, its adapters in single"""
    baby = with_adapters(Baby(config(**HALF, lora_rank=2, lora_targets="*.att.* *.net.*"), seed=1))
    trained = tree.size(baby.spec, train=True)
    baby.flat[:trained] += 0.1 * np.random.default_rng(0).standard_normal(trained).astype(np.float32)
    nearly_single(baby)


def nearly_single(baby):
    """In a fiftieth of the gradient's length, and of the loss in its third digit; a scale that is too large ends in no number"""
    halved = tree.views(baby.spec, baby.flat, baby.flat.astype(np.float16))
    exact, whole = flowing(baby.p, baby.spec, 1.0, baby.config)
    loss, half = flowing(halved, baby.spec, 2.0 ** 10, baby.config)
    assert half.dtype == baby.flat.dtype == np.float32 and 0 < abs(loss - exact) < 5e-3
    assert 0 < np.linalg.norm(half - whole) < 0.02 * np.linalg.norm(whole)
    with np.errstate(all="ignore"):
        assert not np.isfinite(flowing(halved, baby.spec, 2.0 ** 60, baby.config)[1]).all()


def test_a_scale_saves_gradients_that_half_precision_would_lose():
    """Too small a share of a loss, as in a huge batch: without a scale all but nothing is left of matrices' gradients"""
    baby = Baby(config(**HALF), seed=1)
    halved = tree.views(baby.spec, baby.flat, baby.flat.astype(np.float16))
    ids = np.random.default_rng(0).integers(0, 5, (2, 4, 8))

    def of_wo(p, scale):
        grad = np.zeros_like(baby.flat)
        gpt.loss_and_grad(p, tree.views(baby.spec, grad), *ids, Context(baby.config, share=1e-7, scale=scale))
        return tree.named(baby.spec, grad)["blocks.0.att.wo"] / scale / 1e-7

    want = of_wo(baby.p, 1.0)
    assert np.abs(of_wo(halved, 2.0 ** 30) - want).max() < 0.01 * np.abs(want).max()
    assert np.abs(of_wo(halved, 1.0) - want).max() > 0.5 * np.abs(want).max()


@pytest.mark.parametrize("more", [dict(), dict(c_optimizer="muon", n_accumulate=2), dict(c_network="moe", n_active=2, r_bias_update=0.01)],
                         ids=["adamw", "muon", "moe"])
def test_learning_in_half_precision(more):
    (baby, state, events), (_, _, same) = run(config(**HALF, **more)), run(config(**{**HALF, **more, "d_type": "fp32"}))
    half, single = ([e.loss for e in kinds(each, Step)] for each in (events, same))
    assert half[-1] < 1.0 and np.abs(np.array(half) - single).max() < 0.05 and half != single
    assert baby.flat.dtype == state.optimizer["m"].dtype == np.float32
    assert (state.scale, state.steady, state.skipped) == (FIRST_SCALE, 30, 0)


def test_an_overflow_halves_the_scale_and_skips_the_step():
    """And after enough good steps in a row it doubles; it goes on with a stopped run"""
    cfg = config(**HALF)
    baby = Baby(cfg)
    before, state = baby.flat.copy(), begin(baby, 30)
    state.scale = 2.0 ** 60
    with np.errstate(all="ignore"):
        _, _, events = run(cfg, stop_at=3, state=state, baby=baby)
    assert [e.skipped for e in kinds(events, Step)] == [True] * 3 and state.scale == 2.0 ** 57
    assert np.array_equal(baby.flat, before) and state.optimizer["t"] == 0 and state.skipped == 3
    state.scale, state.steady = 2.0 ** 10, GROW_AFTER - 2
    _, _, events = run(cfg, stop_at=6, state=state, baby=baby)
    assert not any(e.skipped for e in kinds(events, Step)) and (state.scale, state.steady) == (2.0 ** 11, 1)
    assert not np.array_equal(baby.flat, before) and begin(Baby(config()), 1).scale == 1.0
