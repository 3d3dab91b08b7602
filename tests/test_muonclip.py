"""muonclip: the scores that heads reach, and how those above `qk_clip` are held back, exactly and alone."""
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from strict import crossings, strict

from littlebaby.arrays import backend, scans, tree
from littlebaby.check import laws
from littlebaby.check.mistakes import broken_copy as broken
from littlebaby.inference.baby import Baby
from littlebaby.model import gpt
from littlebaby.model.context import Context, variant
from littlebaby.training.loop import Step, begin, train
from littlebaby.training.lora import with_adapters
from littlebaby.training.optimizers import muon, muonclip
from littlebaby.training.parallel import Workers, gradient, shard_gradient

KINDS = [
    ("mha", dict(c_bias="all", c_position="rope", r_temp=0.7)), ("gqa", dict(n_kv_heads=2, c_bias="all")), ("gqa", dict(n_kv_heads=4)),
    ("moh", dict(c_bias="all")), ("swh", {}), ("swa", dict(n_kv_heads=1, c_position="rope")), ("swa", dict(n_kv_heads=4)),
    ("diff", dict(c_bias="all", c_position="rope")),
    ("mla", dict(mla_rank=7)), ("mla", dict(mla_rope=4, c_position="rope", mla_nope=3, mla_rank=7)),
    ("mla", dict(mla_rope=4, c_position="rope", mla_q_rank=6, mla_latent="split", mla_norm="layernorm", mla_rank=7)),
    ("hybrid", dict(r_recall=0.75, mla_rope=2, c_position="rope", mla_rank=7)), ("hybrid", dict(r_recall=1, mla_rank=7))]
every_kind = pytest.mark.parametrize("name, more", KINDS, ids=[f"{name}-{'-'.join(map(str, more.values()))}" for name, more in KINDS])


def clipping(name, **more):
    return laws.config("attentions", name, c_optimizer="muonclip", **more)


def heard(layer, p, x, cfg):
    """The largest score of each head, as a training forward notes it"""
    ctx = Context(cfg, np.random.default_rng(0))
    layer.forward(p, x, ctx)
    return ctx.stats[0, "score"][1]


@pytest.mark.parametrize("T, S, n, window", [(9, 9, 4, None), (9, 9, 2, None), (9, 9, 1, 3), (9, 9, 4, 20), (4, 11, 2, 5), (1, 6, 2, None)])
@pytest.mark.parametrize("block", [2, 64])
def test_peaks_pair_by_pair(T, S, n, window, block, monkeypatch):
    monkeypatch.setattr(scans, "BLOCK", block)
    rng = np.random.default_rng(T)
    for shift in (0, -3):                                        # a head whose scores are all below 0 too
        q, k = rng.standard_normal((2, 4, T, 3)) + 1, rng.standard_normal((2, n, S, 3)) + shift
        want = [max(0.7 * q[b, i, t] @ k[b, i * n // 4, j] for b in range(2) for t in range(T)
                    for j in range(max(0, S - T + t + 1 - (window or S)), S - T + t + 1)) for i in range(4)]
        assert np.abs(scans.max_scores(q, k, 0.7, window) - want).max() < 1e-12
    assert scans.max_scores(q.astype("f4"), k.astype("f4"), 0.7, window).dtype == np.float32


def exact(name, more, layer=None):
    """The worst relative distance from `qk_clip` of a head above it, and the worst change of one below"""
    cfg, right = clipping(name, **more), variant("attentions", name)
    s = laws.random_layer(right, cfg, T=9)
    before, said = (heard(each, s.p, s.x, cfg) for each in (right, layer or right))
    cut = cfg.replace(qk_clip=float(np.sort(before)[-3:].mean()))
    assert (before > cut.qk_clip).any() and (before < cut.qk_clip).any() and before.dtype == s.x.dtype
    (layer or right).post_step(s.p, dict(score=said), cut)
    after, over = heard(right, s.p, s.x, cut), before > cut.qk_clip
    return np.abs(after[over] / cut.qk_clip - 1).max(), np.abs(after - before)[~over].max()


@every_kind
def test_loud_heads_reach_the_clip_and_the_others_do_not_change(name, more):
    far, changed = exact(name, more)
    assert far < 1e-12 and changed == 0


@every_kind
def test_what_scores_do_not_use_stays(name, more):
    """Bit for bit: values, outputs, latents, the turned key; and everything, where no head is loud or nobody watched"""
    cfg, layer = clipping(name, qk_clip=0.1, **more), variant("attentions", name)
    s = laws.random_layer(layer, cfg, T=9)
    kept, said = s.flat.copy(), dict(score=heard(layer, s.p, s.x, cfg))
    layer.post_step(s.p, {}, cfg)
    layer.post_step(s.p, said, cfg.replace(qk_clip=1e6))
    assert np.array_equal(s.flat, kept)
    layer.post_step(s.p, said, cfg)
    old, new = tree.named(s.spec, kept), tree.named(s.spec, s.flat)
    shared = name in ("gqa", "swa") and cfg.n_kv_heads < 4
    may = {"wq", "bq", "wuq", "wuk"} | (set() if shared else {"wk", "bk"})
    changed = {key.removeprefix("mla.") for key in old if not np.array_equal(old[key], new[key])}
    assert changed == may & {key.removeprefix("mla.") for key in old}


@every_kind
def test_only_muonclip_watches_and_watching_changes_nothing(name, more):
    cfg, layer = clipping(name, **more), variant("attentions", name)
    s = laws.random_layer(layer, cfg)
    books = []
    for other, rng in ((cfg, None), (cfg.replace(c_optimizer="muon"), np.random.default_rng(0)), (cfg, np.random.default_rng(0))):
        ctx = Context(other, rng)
        y, backward = layer.forward(s.p, s.x, ctx)
        grad = np.zeros_like(s.flat)
        books.append((ctx.stats, y, backward(s.dy, tree.views(s.spec, grad)), grad))
    assert not books[0][0] and not books[1][0] and len(books[2][0]) == 1
    assert all(np.array_equal(a, b) for a, b in zip(books[1][1:], books[2][1:]))


def test_a_hybrid_without_recalling_heads_has_no_scores():
    cfg, layer = clipping("hybrid", r_recall=0), variant("attentions", "hybrid")
    s = laws.random_layer(layer, cfg)
    ctx = Context(cfg, np.random.default_rng(0))
    layer.forward(s.p, s.x, ctx)
    layer.post_step(s.p, {}, cfg)
    assert ctx.stats == {}


@pytest.mark.parametrize("n", [1, 2])
def test_the_largest_of_all_shards_and_batches_counts(n):
    cfg = clipping("mha")
    spec, flat, p, rng = laws.model(cfg)
    batches = [tuple(rng.integers(0, 11, (2, 5, 6))) for _ in range(3)]
    workers = Workers(n)
    grads = [np.zeros_like(flat) for _ in range(n)]
    _, book = gradient(workers, grads, shard_gradient(workers, grads, spec, p, cfg), batches, (1, 2))
    workers.close()
    for layer in (0, 1):
        want = []
        for ids, _ in batches:
            ctx = Context(cfg, np.random.default_rng(0))
            gpt.forward(p, ids, ctx)
            want.append(ctx.stats[layer, "score"][1])
        assert np.abs(book[layer, "score"][1] - np.max(want, 0)).max() < 1e-12


def steps(cfg, n, seed=0):
    """Weights and largest first-layer scores of a training on one batch: [(flat, scores), ...]"""
    baby = Baby(cfg, seed=seed)
    baby.flat[:] += np.random.default_rng(1).standard_normal(baby.flat.size) * 0.3
    ids = np.random.default_rng(2).integers(0, 11, (2, 4, 8))
    out = []
    for event in train(baby, begin(baby, n), SimpleNamespace(batch=lambda number: ids), ()):
        if isinstance(event, Step):
            ctx = Context(cfg.replace(c_optimizer="muonclip"), np.random.default_rng(0))
            gpt.forward(baby.p, ids[0], ctx)
            out.append((baby.flat.copy(), ctx.stats[0, "score"][1]))
    return out


@pytest.mark.parametrize("name", ["mha", "gqa", "mla", "hybrid"])
def test_in_a_training(name):
    """At a rate that moves nothing one step brings every head to the clip; at a real one scores stay near it, where muon's grow"""
    still = clipping(name, r_learn=1e-9, r_weight_decay=0, qk_clip=0.05, s_warmup="none", c_schedule="constant")
    (_, scores), = steps(still, 1)
    assert 0.04 < scores.max() < 0.0501
    loud = still.replace(r_learn=0.3, qk_clip=1.0)
    held, free = steps(loud, 12)[-1][1].max(), steps(loud.replace(c_optimizer="muon"), 12)[-1][1].max()
    assert free > 3 and held < 0.6 * free


def test_with_a_clip_beyond_reach_it_is_muon():
    cfg = clipping("mla", qk_clip=1e6)
    pairs = zip(steps(cfg, 4), steps(cfg.replace(c_optimizer="muon"), 4))
    assert all(np.array_equal(a, b) for (a, _), (b, _) in pairs)
    assert muonclip.step is muon.step and muonclip.state is muon.state


@pytest.mark.parametrize("name", ["mha", "mla", "hybrid"])
def test_frozen_matrices_stay(name):
    """Finetuning adapters: however loud a head, its base is not touched"""
    cfg = clipping(name, c_bias="all", qk_clip=0.01, lora_rank=2, d_type="fp64")
    baby = with_adapters(Baby(cfg, seed=0))
    baby.flat[:] += np.random.default_rng(1).standard_normal(baby.flat.size)
    before, n = baby.flat.copy(), tree.size(baby.spec, train=True)
    ids = np.random.default_rng(2).integers(0, 11, (2, 4, 8))
    list(train(baby, begin(baby, 2), SimpleNamespace(batch=lambda number: ids), ()))
    assert np.array_equal(baby.flat[n:], before[n:]) and not np.array_equal(baby.flat[:n], before[:n])


@every_kind
def test_on_another_device(name, more):
    """The same restraint on the stand-in device, and nothing crosses its border"""
    cfg, layer = clipping(name, qk_clip=0.1, **more), variant("attentions", name)
    s = laws.random_layer(layer, cfg, T=9)
    there = s.flat.copy()
    layer.post_step(s.p, dict(score=heard(layer, s.p, s.x, cfg)), cfg)
    try:
        backend.use(strict)
        there, x, ctx = strict.asarray(there), strict.asarray(s.x), Context(cfg, backend.generator(0))
        p = tree.views(s.spec, there)
        crossings.clear()
        layer.forward(p, x, ctx)
        layer.post_step(p, dict(score=ctx.stats[0, "score"][1]), cfg)
        assert crossings == []
    finally:
        backend.use("cpu")
    assert np.abs(there.a - s.flat).max() < 1e-12


MISTAKES = [
    ("mha", "xp.sqrt(gamma) if unshared else gamma", "xp.sqrt(gamma)", "gqa", dict(n_kv_heads=2)),
    ("mha", "xp.sqrt(gamma) if unshared else gamma", "xp.sqrt(xp.sqrt(gamma))", "mha", {}),
    ("mha", "ctx.record_scores(q, k, scale)", "ctx.record_scores(q, k, 1.0)", "mha", {}),
    ("mha", "leaf[..., H:2 * H] *= factor", "pass", "mha", {}),
    ("mha", "leaf[..., :H] *= factor", "leaf[..., :H] *= factor[::-1]", "mha", {}),
    ("mha", '(p.wqkv, p.bqkv) if "bqkv" in p else (p.wqkv,)', "(p.wqkv,)", "mha", dict(c_bias="all")),
    ("mla", "xp.repeat(gamma[:, None], r, 1)", "xp.repeat(root, r, 1)", "mla", dict(mla_rope=4)),
    ("mla", "p.wuk *= xp.repeat(root, n)", "p.wuk *= xp.repeat(gamma, n)", "mla", {}),
    ("mla", "[xp.repeat(root, n, 1), xp.repeat(gamma[:, None], r, 1)]", "[xp.repeat(gamma[:, None], r, 1), xp.repeat(root, n, 1)]", "mla",
     dict(mla_rope=4)),
    ("mla", 'p.wuq if "wuq" in p else', "", "mla", dict(mla_q_rank=9)),
]


@pytest.mark.parametrize("file, old, new, name, more", MISTAKES, ids=[f"{each[0]}: {each[2][:40]}" for each in MISTAKES])
def test_a_broken_clip_is_caught(file, old, new, name, more):
    copy = broken(import_module(f"littlebaby.model.attentions.{file}"), old, new)
    assert max(exact(name, more)) < 1e-12
    assert max(exact(name, more, copy)) > 1e-6
