"""Positions alibi and sinusoidal, lion, the gated networks, adapters and presets: by formula, by kinship, by other implementations."""
from importlib import import_module

import numpy as np
import pytest
from test_laws import narrow  # noqa: F401
from test_laws_bite import broken
from test_optimizers import CFG, Threads

from littlebaby.arrays import kernels, ops, tree
from littlebaby.errors import BadInput
from littlebaby.learning.optimizers import lion
from littlebaby.model import gpt
from littlebaby.model.context import Context, variant
from littlebaby.model.positions.alibi import prices
from littlebaby.runs.records import allowed
from littlebaby.show import laws

# positions


def test_alibi_slopes_are_the_papers():
    """Eight heads 1/2, 1/4, ... 1/256; sixteen begin at 2^-0.5; twelve are eight and every other one of sixteen"""
    assert prices(8) == [2.0 ** -i for i in range(1, 9)] and prices(1) == [2.0 ** -8]
    assert prices(16) == pytest.approx([2.0 ** (-i / 2) for i in range(1, 17)], rel=1e-15)
    assert prices(12) == pytest.approx(prices(8) + [2.0 ** -0.5, 2.0 ** -1.5, 2.0 ** -2.5, 2.0 ** -3.5], rel=1e-15)


@pytest.mark.parametrize("name, n", [("mha", 4), ("gqa", 2)])
def test_alibi_is_its_formula(name, n):
    """Law 8: a loop over tokens and heads, from s = q k' / (sqrt(d) tau) - m_i (t - j)"""
    cfg = laws.config("attentions", name, n_kv_heads=n, c_position="alibi", r_temp=1.3)
    s = laws.start(variant("attentions", name), cfg, T=7)
    w, d, want = tree.named(s.spec, s.flat), 2, np.zeros_like(s.x)
    for b in range(2):
        q, k, v = (s.x[b] @ w[each] for each in ("wq", "wk", "wv"))
        for t in range(7):
            heads = []
            for i in range(4):
                mine, shared = slice(i * d, (i + 1) * d), slice(i * n // 4 * d, (i * n // 4 + 1) * d)
                e = np.exp([q[t, mine] @ k[j, shared] / (d ** 0.5 * 1.3) - 2.0 ** (-8 * (i + 1) / 4) * (t - j) for j in range(t + 1)])
                heads.append(sum(a * v[j, shared] for j, a in enumerate(e / e.sum())))
            want[b, t] = np.concatenate(heads) @ w["wo"] + w["bo"]
    y, _ = variant("attentions", name).forward(s.p, s.x, Context(cfg))
    assert np.abs(y - want).max() < 1e-12


@pytest.mark.parametrize("T, size", [(6, 1), (6, 9), (2, 1), (1, 1)])
def test_sloped_attention_equals_its_plain_twin(T, size, narrow):  # noqa: F811
    r = np.random.default_rng(0).standard_normal
    arrays = [size * r((2, 4, T, 4)), size * r((2, 2, 6, 4)), r((2, 2, 6, 3))]
    (y, back), (want, want_back) = (room.attention(*arrays, 0.5, slopes=np.array([2.0, 0.5, 0.1, 0.0])) for room in (kernels, ops))
    dy = r(y.shape)
    assert np.abs(y - want).max() < 1e-12 and all(np.abs(a - b).max() < 1e-12 for a, b in zip(back(dy), want_back(dy)))
    assert np.abs(y - kernels.attention(*arrays, 0.5)[0]).max() > 1e-3


def test_alibi_needs_scores():
    """Every attention that the config lets alibi stand beside listens to it"""
    for name in allowed("c_attention"):
        try:
            priced = laws.config("attentions", name, c_position="alibi")
        except BadInput as refused:
            assert f"c_attention is '{name}'" in str(refused)
            continue
        _, _, p, rng = laws.model(priced)
        ids = rng.integers(0, 11, (2, 8))
        plain, sloped = (gpt.forward(p, ids, Context(cfg))[0] for cfg in (priced.replace(c_position="none"), priced))
        assert np.abs(plain - sloped).max() > 1e-3


@pytest.mark.parametrize("D", [8, 7])
def test_sinusoidal_is_its_formula(D):
    cfg = laws.config("positions", "sinusoidal", n_emb=D)
    x = np.random.default_rng(0).standard_normal((2, 5, D))
    y, _ = variant("positions", "sinusoidal").forward({}, x, Context(cfg, start=3))
    want = [[[D ** 0.5 * x[b, t, i] + (np.cos if i % 2 else np.sin)((t + 3) / 10000 ** ((i - i % 2) / D)) for i in range(D)]
             for t in range(5)] for b in range(2)]
    assert np.abs(y - want).max() < 1e-12


@pytest.mark.parametrize("old, new, law", [
    ("s -= deep_slopes", "s += deep_slopes", "formula"),
    ("ops.distance(past + i, past + e, past + e)", "abs(ops.distance(past + i, past + e, past + e) - 1)", "formula"),
    ("slopes.reshape(n, h // n, 1) *", "slopes.reshape(n, h // n, 1)[::-1] *", "decoding")])
def test_a_broken_price_is_caught(old, new, law, monkeypatch):
    if law == "decoding":
        cfg = laws.config("attentions", "gqa", n_kv_heads=2, c_position="alibi")
        measure = lambda: laws.decoding(cfg)
    else:
        r = np.random.default_rng(0).standard_normal
        q, k, v = (r((2, 4, 6, 3)) for _ in "qkv")
        slopes = np.array([0.5, 0.25, 0.125, 0.0])
        measure = lambda: np.abs(import_module("littlebaby.model.attentions.mha").attention(q, k, v, 1.0, slopes=slopes)[0]
                                 - ops.attention(q, k, v, 1.0, slopes=slopes)[0]).max()
    assert measure() < 1e-10
    monkeypatch.setattr(import_module("littlebaby.model.attentions.mha"), "attention", broken(kernels, old, new).attention)
    assert measure() > 1e-6


# lion


def test_lion_by_its_formula():
    """A zero gradient at the start moves nothing; a direction may differ from the memory's; vectors do not decay"""
    spec = dict(w=tree.Leaf((2,), "matrix"), b=tree.vector(2))
    flat, memory = np.array([1.0, -2.0, 3.0, 4.0]), lion.state(spec, "f8")
    p, m = flat.copy(), np.zeros(4)
    turned = 0
    for g in np.array([[1.0, -1.0, 0.5, 0.0], [-8.0, 3.0, -0.1, 2.0], [0.0, 0.0, 0.0, -0.1]]):
        lion.step(flat, g, memory, spec, CFG, 0.1)
        direction = np.sign(0.9 * m + 0.1 * g)
        turned += (direction * m < 0).sum()
        p = p * [0.99, 0.99, 1, 1] - 0.1 * direction
        m = 0.95 * m + 0.05 * g
        np.testing.assert_allclose(flat, p, rtol=1e-15)
        np.testing.assert_allclose(memory["m"], m, rtol=1e-14)
    assert turned == 2 and list(memory) == ["m"]


def test_lion_shared_among_workers_bit_for_bit_and_frozen_leaves_stay():
    spec = dict(a=tree.matrix(100, 301), gain=tree.vector(77), cold=tree.matrix(9, 9, train=False), bias=tree.vector(40000))
    rng = np.random.default_rng(0)
    n = tree.size(spec, train=True)
    start = rng.standard_normal(tree.size(spec)).astype("f4")
    alone, shared = start.copy(), start.copy()
    memories = [lion.state(spec, "f4") for _ in range(2)]
    for _ in range(3):
        grad = rng.standard_normal(n).astype("f4")
        grad.flags.writeable = False
        lion.step(alone, grad, memories[0], spec, CFG, 1e-2)
        lion.step(shared[:n], grad, memories[1], spec, CFG, 1e-2, Threads())
    assert np.array_equal(alone, shared) and np.array_equal(memories[0]["m"], memories[1]["m"])
    assert np.array_equal(alone[n:], start[n:]) and memories[0]["m"].dtype == np.float32
    moved = np.abs(tree.views(spec, alone)["gain"] - tree.views(spec, start)["gain"]) / 1e-2
    assert np.abs(moved - np.round(moved)).max() < 1e-3 and set(np.round(moved)) <= {1.0, 3.0}


# networks


def logistic(x):
    return 1 / (1 + np.exp(-x))


def test_gln_is_its_formula():
    cfg = laws.config("networks", "gln")
    s = laws.start(variant("networks", "gln"), cfg)
    y, _ = variant("networks", "gln").forward(s.p, s.x, Context(cfg))
    assert np.abs(y - (s.x @ s.p.w + s.p.b) * logistic(s.x @ s.p.u + s.p.c)).max() < 1e-12


def test_ggl_is_its_formula():
    """A loop over groups and numbers: number i of group g lands at place i G + g"""
    cfg = laws.config("networks", "ggl", n_emb=6, n_groups_ggl=3)
    s = laws.start(variant("networks", "ggl"), cfg)
    w, want = tree.named(s.spec, s.flat), np.zeros_like(s.x)
    for g in range(3):
        part = s.x[..., 2 * g:2 * g + 2]
        out = (part @ w[f"a{g}"]) * logistic(part @ w[f"u{g}"])
        for i in range(2):
            want[..., i * 3 + g] = out[..., i]
    y, _ = variant("networks", "ggl").forward(s.p, s.x, Context(cfg))
    assert np.abs(y - want).max() < 1e-12


def test_ggl_of_one_group_is_gln_without_biases():
    """Law 9"""
    one, other = laws.config("networks", "ggl", n_groups_ggl=1), laws.config("networks", "gln", c_bias="none")
    s = laws.start(variant("networks", "ggl"), one)
    y, _ = variant("networks", "gln").forward(tree.views(variant("networks", "gln").params(other), s.flat), s.x, Context(other))
    assert np.abs(y - variant("networks", "ggl").forward(s.p, s.x, Context(one))[0]).max() < 1e-12


def test_groups_divide_the_width():
    with pytest.raises(BadInput, match="n_groups_ggl is 3; allowed are divisors of n_emb, 8; did you mean 2"):
        laws.config("networks", "ggl", n_groups_ggl=3)


@pytest.mark.parametrize("name, old, new", [
    ("gln", "return dx_a + dx\n", "return dx_a\n"), ("gln", "g.c += dc[0]", "g.c += 2 * dc[0]"),
    ("ggl", "back_z(dz)", "back_z(da)"), ("ggl", ".reshape(B * T, n, G).transpose(2, 0, 1)", ".reshape(B * T, G, n).swapaxes(0, 1)")])
def test_a_broken_network_is_caught(name, old, new):
    layer = import_module(f"littlebaby.model.networks.{name}")
    cfg = laws.config("networks", name, n_emb=6, n_groups_ggl=2)
    assert laws.gradient(layer, cfg) < 1e-6 < laws.gradient(broken(layer, old, new), cfg)
