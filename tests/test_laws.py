"""The laws, checked for every file in model/; a new file needs no tests of its own. `pytest tests/test_laws.py -k mha` checks one."""
import threading
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from strict import Array, crossings, strict

from littlebaby.arrays import backend, kernels, ops, scans, tree
from littlebaby.check import laws
from littlebaby.model import gpt
from littlebaby.model.context import Context, variant, variants
from littlebaby.model.gpt import post, pre
from littlebaby.training.parallel import Workers, gradient, shard_gradient

CASES = laws.cases()
LABELS = [f"{name}-{'-'.join(f'{k}={v}' for k, v in more.items()) or 'plain'}" for _, name, more in CASES]
every = pytest.mark.parametrize("folder, name, more", CASES, ids=LABELS)


@pytest.fixture
def small_blocks(monkeypatch):
    """Block sizes so small that five tokens span several blocks"""
    monkeypatch.setattr(kernels, "BLOCK", 2)
    monkeypatch.setattr(scans, "BLOCK", 2)
    monkeypatch.setattr(kernels, "CHUNK", 16)
    monkeypatch.setattr(kernels, "SAFE", 2.0)                    # so that only some rows are shifted before exp


@every
@pytest.mark.parametrize("how", laws.INPUTS.values(), ids=laws.INPUTS.keys())
def test_gradient(folder, name, more, how, small_blocks):
    cfg = laws.config(folder, name, r_dropout=0.2, **more)
    assert laws.gradient(variant(folder, name), cfg, **how) < laws.EXACT


@every
def test_dtype(folder, name, more):
    """With float32 weights and inputs, y, dx and every gradient are float32"""
    cfg, layer = laws.config(folder, name, r_dropout=0.2, **more), variant(folder, name)
    s = laws.random_layer(layer, cfg, dtype=np.float32)
    y, backward = layer.forward(s.p, s.x, Context(cfg, np.random.default_rng(0)))
    dtypes = []

    class Recorder(np.ndarray):
        def __iadd__(self, other):
            dtypes.append(other.dtype)
            return super().__iadd__(other)

    dx = backward(s.dy, tree.views(s.spec, np.zeros_like(s.flat).view(Recorder)))
    assert {y.dtype, dx.dtype, *dtypes} == {np.dtype(np.float32)}


@every
def test_decoding(folder, name, more):
    for sequence in ("pre", "post"):
        assert laws.decoding(laws.config(folder, name, c_sequence=sequence, **more)) < laws.EQUAL


@every
def test_causality(folder, name, more, small_blocks):
    assert laws.causality(laws.config(folder, name, **more)) <= laws.allowed_change(variant(folder, name))


@every
def test_every_leaf_has_a_gradient(folder, name, more):
    assert laws.life(laws.config(folder, name, r_dropout=0.1, **more)) == []


@pytest.mark.parametrize("sequence", [pre, post])
def test_residual_connections(sequence):
    """The gradients of pre and post around a network"""
    cfg = laws.config()
    norm, network = variant("norms", "layernorm"), variant("networks", "mlp")

    def forward(p, x, ctx):
        y, backward = sequence(norm, network.forward, p.norm, p.net, x, ctx, "network")
        return y, lambda dy, g: backward(dy, g.norm, g.net)

    sublayer = SimpleNamespace(params=lambda cfg: dict(norm=norm.params(cfg), net=network.params(cfg)), forward=forward)
    assert laws.gradient(sublayer, cfg) < laws.EXACT


MODELS = [dict(c_attention=a, c_network=n, c_position=pos, c_sequence=seq, b_tied=tied)
          for a in variants("attentions") for n in variants("networks")
          for pos, seq, tied in (("learned", "pre", False), ("rope", "post", True), ("none", "pre", True))]
MODELS.append(dict(c_sequence="post", b_norm_last=True))


@pytest.mark.parametrize("settings", MODELS, ids=["-".join(map(str, m.values())) for m in MODELS])
def test_whole_model(settings):
    assert laws.model_gradient(laws.config(r_dropout=0.1, **settings)) < laws.EXACT


@pytest.mark.parametrize("attention", variants("attentions"))
@pytest.mark.parametrize("network", variants("networks"))
def test_shards(attention, network):
    """Law 3: the gradients of two halves of a batch, computed in two threads and added, are those of the batch. With dropout, two runs are
    equal bit for bit"""
    cfg = laws.config(c_attention=attention, c_network=network)
    spec, flat, p, rng = laws.model(cfg)
    ids, targets = rng.integers(0, 11, (2, 5, 6))
    targets[0] = -1                                              # so that the shards have different weights

    def run(n, cfg=cfg):
        workers = Workers(n)
        grads = [np.zeros_like(flat) for _ in range(n)]
        loss, _ = gradient(workers, grads, shard_gradient(workers, grads, spec, p, cfg), [(ids, targets)], (1, 2))
        workers.close()
        return loss, grads[0]

    (one, whole), (two, halves) = run(1), run(2)
    assert abs(one - two) < 1e-12 and np.abs(whole - halves).max() < 1e-12 * np.abs(whole).max() + 1e-15
    dropping = cfg.replace(r_dropout=0.3)
    assert np.array_equal(run(2, dropping)[1], run(2, dropping)[1])
    assert not np.array_equal(run(2, dropping)[1], halves)


def test_two_forwards_in_flight():
    """Nothing is stored on an object: two backwards that run in two threads, in the opposite order, give the same gradients"""
    cfg = laws.config()
    spec, flat, p, rng = laws.model(cfg)
    ids = rng.integers(0, 11, (2, 2, 6))
    dlogits = rng.standard_normal((2, 6, 11))

    def alone(i):
        g = np.zeros_like(flat)
        gpt.forward(p, ids[i], Context(cfg))[1](dlogits, tree.views(spec, g))
        return g

    want = [alone(0), alone(1)]
    backs = [gpt.forward(p, ids[i], Context(cfg))[1] for i in (0, 1)]
    got = [np.zeros_like(flat), np.zeros_like(flat)]
    threads = [threading.Thread(target=backs[i], args=(dlogits, tree.views(spec, got[i]))) for i in (1, 0)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(np.array_equal(a, b) for a, b in zip(got, want))


@every
def test_device(folder, name, more):
    """Law 7: the results on another device are the same, and no array is copied between the devices inside a forward or backward"""
    cfg, layer = laws.config(folder, name, **more), variant(folder, name)
    s = laws.random_layer(layer, cfg)
    want, backward = layer.forward(s.p, s.x, Context(cfg))
    grad = np.zeros_like(s.flat)
    want_dx = backward(s.dy, tree.views(s.spec, grad))
    try:
        backend.use(strict)
        flat, there, x, dy = map(strict.asarray, (s.flat, np.zeros_like(s.flat), s.x, s.dy))
        crossings.clear()
        y, backward = layer.forward(tree.views(s.spec, flat), x, Context(cfg))
        dx = backward(dy, tree.views(s.spec, there))
        # only a routed variant copies an array: the ends of the experts' blocks, which the CPU needs
        assert isinstance(y, Array) and crossings == ["out"] * hasattr(layer, "ROUTED")
    finally:
        backend.use("cpu")
    for a, b in ((y, want), (dx, want_dx), (there, grad)):
        assert np.abs(a.a - b).max(initial=0) < 1e-10


@pytest.mark.parametrize("halved", [False, True])
def test_device_training_step(halved):
    """A whole training step, with dropout and loss, on the stand-in device, in single and in half precision"""
    cfg = laws.config(r_dropout=0.1)
    spec, flat, _, rng = laws.model(cfg)
    ids, targets = rng.integers(0, 11, (2, 2, 6))
    try:
        backend.use(strict)
        flat, there = strict.asarray(flat), strict.asarray(np.zeros_like(flat))
        p = tree.views(spec, flat, flat.astype(np.float16) if halved else None)
        loss = gpt.loss_and_grad(p, tree.views(spec, there), strict.asarray(ids), strict.asarray(targets),
                                 Context(cfg, backend.generator(1, 2)))
    finally:
        backend.use("cpu")
    assert 1 < loss < 20 and np.isfinite(there.a).all() and there.a.any()


def test_mha_is_its_formula():
    """Law 8: mha equals a loop over tokens and heads written from s = q k' / (sqrt(d) tau), a = softmax(s), y = merge(a v) wo"""
    cfg = laws.config(r_temp=1.3)
    s = laws.random_layer(variant("attentions", "mha"), cfg, T=7)
    w, d = tree.named(s.spec, s.flat), 2
    want = np.zeros_like(s.x)
    for b in range(2):
        q, k, v = (s.x[b] @ w[name] for name in ("wq", "wk", "wv"))
        for t in range(7):
            heads = []
            for i in range(4):
                part = slice(i * d, (i + 1) * d)
                e = np.exp([q[t, part] @ k[j, part] / (d ** 0.5 * 1.3) for j in range(t + 1)])
                heads.append(sum(a * v[j, part] for j, a in enumerate(e / e.sum())))
            want[b, t] = np.concatenate(heads) @ w["wo"] + w["bo"]
    y, _ = variant("attentions", "mha").forward(s.p, s.x, Context(cfg))
    assert np.abs(y - want).max() < 1e-12


def test_gqa_with_a_key_head_for_every_head_is_mha():
    """Law 9: the logits are equal bit for bit"""
    a, b = (laws.config(c_attention=name, n_kv_heads=4) for name in ("mha", "gqa"))
    _, _, p, rng = laws.model(a)
    ids = rng.integers(0, 11, (2, 8))
    assert np.array_equal(gpt.forward(p, ids, Context(a))[0], gpt.forward(p, ids, Context(b))[0])


def test_gqa_is_mha_with_repeated_keys():
    """Law 9: gqa equals mha in which the heads of a group have equal key and value matrices"""
    cfg = laws.config(c_attention="gqa", n_kv_heads=2, c_bias="none")
    s = laws.random_layer(variant("attentions", "gqa"), cfg)
    w = tree.named(s.spec, s.flat)
    unshared = cfg.replace(c_attention="mha", n_kv_heads=4)
    spec = variant("attentions", "mha").params(unshared)
    flat = np.zeros(tree.size(spec))
    for name, view in tree.named(spec, flat).items():
        view[...] = np.repeat(w[name].reshape(8, 2, 2), 2, axis=1).reshape(8, 8) if name in ("wk", "wv") else w[name]
    y, _ = variant("attentions", "mha").forward(tree.views(spec, flat), s.x, Context(unshared))
    assert np.abs(y - variant("attentions", "gqa").forward(s.p, s.x, Context(cfg))[0]).max() < 1e-12


def kernel_cases():
    """[(name, arrays, settings), ...]: arguments for every kernel, which is to equal the function of this name in ops"""
    r = np.random.default_rng(0).standard_normal
    angle = r((6, 2))
    heads = [r((2, 4, 6, 4)), r((2, 2, 6, 4)), r((2, 2, 6, 3))]
    return [
        ("linear", (r((2, 3, 4)), r((4, 5)), r(5)), {}), ("linear", (r((2, 3, 4)), r((4, 5))), {}),
        ("gelu", (3 * r((2, 3, 4)),), {}), ("swiglu", (3 * r((2, 3, 4)), r((2, 3, 4))), {}),
        ("rmsnorm", (r((2, 30, 4)), r(4)), {}), ("layernorm", (r((2, 30, 4)), r(4), r(4)), {}),
        ("attention", tuple(heads), dict(scale=0.5)), ("attention", tuple(9 * a for a in heads), dict(scale=0.5)),
        ("attention", (heads[0], r((2, 4, 6, 4)), r((2, 4, 6, 4))), dict(scale=0.5)),
        ("attention", (r((2, 4, 2, 4)), r((2, 2, 6, 4)), r((2, 2, 6, 4))), dict(scale=0.5)),
        ("attention", (r((2, 4, 1, 4)), r((2, 2, 6, 4)), r((2, 2, 6, 4))), dict(scale=0.5)),
        ("rotate", (r((2, 3, 6, 4)),), dict(cos=np.cos(angle), sin=np.sin(angle), layout="half")),
        ("rotate", (r((2, 3, 6, 4)),), dict(cos=np.cos(angle), sin=np.sin(angle), layout="interleaved")),
    ]


@pytest.mark.parametrize("name, arrays, settings", kernel_cases(), ids=[f"{case[0]}{i}" for i, case in enumerate(kernel_cases())])
def test_kernels_equal_the_plain_primitives(name, arrays, settings, small_blocks):
    (y, back), (want, want_back) = (getattr(module, name)(*arrays, **settings) for module in (kernels, ops))
    assert np.abs(y - want).max() < 1e-12
    dy = np.random.default_rng(1).standard_normal(y.shape)
    got, expected = back(dy), want_back(dy)
    got, expected = (d if isinstance(d, tuple) else (d,) for d in (got, expected))
    assert [d is None for d in got] == [d is None for d in expected]
    assert all(np.abs(a - b).max() < 1e-12 for a, b in zip(got, expected) if b is not None)


@pytest.mark.parametrize("scale", [0.5, 9])
def test_attention_to_a_long_text_recomputes_its_weights(scale, small_blocks, monkeypatch):
    """The attention weights of a long text are not kept; backward computes the same weights again, bit for bit, also with dropout and with
    grouped heads"""
    r = np.random.default_rng(0).standard_normal
    q, k, v, do, slopes = r((2, 4, 50, 4)), r((2, 2, 53, 4)), r((2, 2, 53, 3)), r((2, 4, 50, 3)), np.array([0.1, 0.2, 0.0, 0.4])
    results, memory = [], []
    for long in (53, 52):
        monkeypatch.setattr(kernels, "LONG", long)
        rng = np.random.default_rng(7)
        tracemalloc.start()
        o, back = kernels.attention(q, k, v, scale, 0.3, rng, slopes)
        memory.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        results.append((o, *back(do), rng.random()))
    assert all(np.array_equal(a, b) for a, b in zip(*results))
    assert memory[1] < memory[0] - 8 * 2 * 4 * 50 * 25               # half of (B, h, T, T) in float64


@pytest.mark.parametrize("V", [7, 300])
def test_embedding_and_cross_entropy_equal_the_plain_primitives(V, small_blocks):
    rng = np.random.default_rng(0)
    ids, w, dy = rng.integers(0, V, (3, 40)), rng.standard_normal((V, 5)), rng.standard_normal((3, 40, 5))
    assert np.abs(kernels.embedding(ids, w)[1](dy) - ops.embedding(ids, w)[1](dy)).max() < 1e-12
    targets = ids.copy()
    targets[1, :7] = -1
    logits = 5 * rng.standard_normal((3, 40, V))
    (a, back_a), (b, back_b) = kernels.cross_entropy(logits.copy(), targets), ops.cross_entropy(logits.copy(), targets)
    assert abs(a - b) < 1e-12 and np.abs(back_a(0.3) - back_b(0.3)).max() < 1e-14
    nothing, back = kernels.cross_entropy(logits.copy(), np.full_like(targets, -1))
    assert nothing == 0 and not back().any()


@pytest.mark.parametrize("name", ["linear", "matmul", "gelu", "gelu_exact", "relu", "relu2", "silu", "sigmoid", "swiglu", "softmax",
                                  "proportions", "rmsnorm", "layernorm"])
def test_plain_primitives(name):
    """The gradients of the plain primitives, which are used on a GPU, equal finite differences"""
    r = np.random.default_rng(3).standard_normal
    shapes = dict(linear=[(2, 3, 4), (4, 5), (5,)], matmul=[(2, 3, 4), (2, 4, 5)], swiglu=[(3, 4), (3, 4)], rmsnorm=[(3, 4), (4,)],
                  layernorm=[(3, 4), (4,), (4,)])
    arrays = [2 * r(shape) for shape in shapes.get(name, [(3, 4)])]
    if name == "proportions":
        arrays = [np.abs(a) for a in arrays]
    op = getattr(ops, name)
    y, back = op(*arrays)
    dy = r(y.shape)
    grads = back(dy)
    for a, d in zip(arrays, grads if isinstance(grads, tuple) else (grads,)):
        assert laws.relative(d, laws.differences(lambda: (op(*arrays)[0] * dy).sum(), a), 0) < 1e-8


def test_erfc_equals_that_of_the_math_module():
    from math import erfc

    from littlebaby.arrays.erfc import erfc as erfc_of
    x = np.linspace(-30, 25, 5001)
    want = np.array([erfc(v) for v in x])
    assert np.abs(erfc_of(x) / want - 1).max() < 1e-12


def test_a_gradient_cannot_be_rebound():
    g = tree.views(dict(w=tree.matrix(2, 2)), np.zeros(4))
    with pytest.raises(TypeError, match=r"\+="):
        g.w = g.w * 2
