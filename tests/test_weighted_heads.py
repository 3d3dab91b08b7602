"""moh and swh, which weigh the heads of mha: by formula token by token, by kin, and broken on purpose."""
import sys
from importlib import import_module

import numpy as np
import pytest
from test_recurrent_variants import outputs, parts, softmax

from littlebaby.arrays import ops, tree
from littlebaby.check import laws
from littlebaby.check.mistakes import broken_copy as broken
from littlebaby.errors import BadInput
from littlebaby.model import context
from littlebaby.model.context import Context, variant
from littlebaby.runs.settings import Config
from littlebaby.training.optimizers import muon

every = pytest.mark.parametrize("name", ["moh", "swh"])


def loops(name, x, w, cfg):
    """One text x (T, D) -> (T, D), from the formula: the heads of mha, each times its weight, side by side"""
    o = np.zeros((len(x), cfg.head_size))
    for (q, k, v), own, i in parts(x, w, cfg):
        for t in range(len(x)):
            worth = softmax(x[t] @ w["wg"])
            weight = cfg.n_heads * worth[i] if name == "moh" else float(i == list(worth).index(max(worth)))
            a = softmax([q[t] @ k[j] / cfg.head_width ** 0.5 / cfg.r_temp for j in range(t + 1)])
            o[t, own] = weight * sum(each * v[j] for j, each in enumerate(a))
    return o @ w["wo"] + w["bo"]


def apart(name, cfg, layer=None, **how):
    """How far a layer is from its formula, relative to the largest number"""
    layer = layer or variant("attentions", name)
    s = laws.random_layer(layer, cfg, **how)
    y, _ = layer.forward(s.p, s.x, Context(cfg))
    w = {key: value.astype(float) for key, value in tree.named(s.spec, s.flat).items()}
    want = np.array([loops(name, x, w, cfg) for x in s.x.astype(float)])
    return np.abs(y - want).max() / np.abs(want).max()


def small(name, **more):
    return laws.config("attentions", name, **{**dict(r_temp=1.3), **more})


@every
@pytest.mark.parametrize("heads", [2, 4, 8])
def test_formula(name, heads):
    """Law 8, ordinary and large inputs, and in the type that trainings use"""
    cfg = small(name, n_heads=heads)
    for T in (1, 9):
        assert apart(name, cfg, T=T) < 1e-12 and apart(name, cfg, T=T, x_size=6.0) < 1e-12
    assert apart(name, cfg, T=100, dtype=np.float32) < 2e-5


def test_weigh_against_differences():
    r = np.random.default_rng(0).standard_normal
    o, w, dy = r((2, 3, 4, 5)), r((2, 4, 3)), r((2, 3, 4, 5))
    y, back = ops.weight_heads(o, w)
    assert all(np.array_equal(y[b, i, t], o[b, i, t] * w[b, t, i]) for b, i, t in np.ndindex(2, 3, 4))
    for a, d in zip((o, w), back(dy)):
        assert laws.relative(d, laws.differences(lambda: (ops.weight_heads(o, w)[0] * dy).sum(), a), 0) < 1e-9


# kin

def drawn(name, cfg, T=12):
    s = laws.random_layer(variant("attentions", name), cfg, T=T)
    return tree.named(s.spec, s.flat), s.x


@pytest.mark.parametrize("heads", [2, 4, 8])
@pytest.mark.parametrize("position", ["none", "rope", "alibi"])
def test_without_its_gate_moh_is_mha(heads, position):
    """Law 9, bit for bit: h / h is 1"""
    cfg = small("moh", n_heads=heads, head_size=16, c_position=position, c_bias="all")
    w, x = drawn("moh", cfg)
    assert np.abs(outputs("moh", cfg, w, x) - outputs("mha", cfg, w, x)).max() > 1e-3
    w["wg"][...] = 0
    assert np.array_equal(outputs("moh", cfg, w, x), outputs("mha", cfg, w, x))


def test_three_heads_without_a_gate_are_mha_to_rounding():
    cfg = small("moh", n_heads=3, n_emb=9, head_size=9)
    w, x = drawn("moh", cfg)
    w["wg"][...] = 0
    assert np.abs(outputs("moh", cfg, w, x) - outputs("mha", cfg, w, x)).max() < 1e-14


def test_a_sure_gate_makes_moh_swh():
    """Law 9: with a gate a million times larger, moh is h times swh before the bias"""
    cfg = small("moh", c_bias="none")
    w, x = drawn("moh", cfg)
    w["wg"][...] *= 1e6
    assert np.abs(outputs("moh", cfg, w, x) - 4 * outputs("swh", cfg, w, x)).max() < 1e-12


def test_a_switch_that_always_stands_on_one_head_is_that_head():
    cfg = small("swh")
    w, x = drawn("swh", cfg)
    x[..., 0] = 1
    w["wg"][...] = 0
    w["wg"][0, 2] = 5.0
    alone = {**w, "wo": np.where(np.arange(8)[:, None] // 2 == 2, w["wo"], 0)}
    assert np.abs(outputs("swh", cfg, w, x) - outputs("mha", cfg, alone, x)).max() < 1e-14


# what they are made of

def test_straight_through():
    """swh: y comes from one head, the gate's gradient from all: that of the soft mixture, taken at y's own dy"""
    cfg, layer = small("swh", c_bias="none"), variant("attentions", "swh")
    s = laws.random_layer(layer, cfg)
    grad = np.zeros_like(s.flat)
    g = tree.views(s.spec, grad)
    layer.forward(s.p, s.x, Context(cfg))[1](s.dy, g)
    w = tree.named(s.spec, s.flat)
    want = np.zeros_like(g.wg)
    each = np.stack([outputs("mha", cfg, {**w, "wo": np.where(np.arange(8)[:, None] // 2 == i, w["wo"], 0)}, s.x) for i in range(4)], -1)
    for b, t in np.ndindex(2, 5):
        worth, gain = softmax(s.x[b, t] @ w["wg"]), s.dy[b, t] @ each[b, t]                # (h), (h)
        want += np.outer(s.x[b, t], worth * (gain - worth @ gain))
    assert laws.relative(g.wg, want, 0) < 1e-12


def test_a_silent_head_learns_nothing_but_that_it_was_silent():
    cfg, layer = small("swh"), variant("attentions", "swh")
    s = laws.random_layer(layer, cfg)
    s.x[..., 0] = 1
    s.p.wg[...] = 0
    s.p.wg[0, 2] = 5.0
    g = tree.views(s.spec, np.zeros_like(s.flat))
    layer.forward(s.p, s.x, Context(cfg))[1](s.dy, g)
    silent = np.arange(8) // 2 != 2
    assert not g.wo[silent].any() and g.wo[~silent].all() and g.wg.all()


@every
def test_the_gate_is_no_matrix_for_muon_and_does_not_decay(name):
    cfg = small(name, c_optimizer="muon", r_weight_decay=0.5)
    spec = variant("attentions", name).params(cfg)
    assert spec["wg"].kind == "router" and spec["wg"].shape == (8, 4)
    flat = np.ones(tree.size(spec))
    state = muon.state(spec, flat.dtype)
    muon.step(flat, np.zeros_like(flat), state, spec, cfg, 0.1)
    p = tree.views(spec, flat)
    assert (p.wg == 1).all() and (p.wqkv < 1).all()


@every
def test_one_head_has_nothing_to_choose_from(name):
    with pytest.raises(BadInput, match=f"n_heads is 1, and {name} weighs heads"):
        Config(c_attention=name, n_heads=1)


# planted mistakes

LAYERS = [
    ("moh", "weight_heads(o, h * w)", "weight_heads(o, w)", "formula kin"),
    ("moh", "back_w(h * dw)", "back_w(dw)", "gradient"),
    ("moh", "return dx + back_o(do, g)", "return back_o(do, g)", "gradient"),
    ("moh", "return dx + back_o(do, g)", "back_o(do, g); return dx", "gradient"),
    ("moh", "g.wg += dwg", "pass", "gradient"),
    ("moh", "softmax(z)", "softmax(z.swapaxes(1, 2))[0].swapaxes(1, 2), softmax(z)[1]", "causality formula"),
    ("moh", "do, dw = back_weigh(back_y(dy, g))", "do, dw = back_weigh(back_y(dy, g)); do /= h", "gradient"),
    ("swh", "== xp.arange(h)", "== xp.arange(h) + 1", "formula"),
    ("swh", "w.argmax(-1)", "w.argmin(-1)", "formula"),
    ("swh", "- ctx.freeze_decision(\"stop\", w)", "", "formula"),
    ("swh", "(w - ctx.freeze_decision(\"stop\", w))", "0 * w", "gradient"),
    ("swh", "return dx + back_o(do, g)", "return back_o(do, g)", "gradient"),
    ("swh", "w.argmax(-1)", "w[:, ::-1].argmax(-1)", "causality decoding"),
]


def verdict(law, name, cfg, layer, label):
    """How far the law is broken: 0 is innocent. `label`: under which name the layer is found"""
    if law == "gradient":
        return laws.gradient(layer, cfg, T=7)
    if law == "formula":
        return apart(name, cfg, layer=layer, T=9)
    if law == "kin":
        s = laws.random_layer(layer, cfg)
        s.p.wg[...] = 0
        w = tree.named(s.spec, s.flat)
        return np.abs(layer.forward(s.p, s.x, Context(cfg))[0] - outputs("mha", cfg, w, s.x)).max()
    wanted = cfg.model_copy(update=dict(c_attention=label))
    return dict(decoding=laws.decoding, causality=laws.causality)[law](wanted)


@pytest.mark.parametrize("name, old, new, by", LAYERS, ids=[f"{name}: {new[:40]}" for name, _, new, _ in LAYERS])
def test_a_broken_layer_is_caught(name, old, new, by, monkeypatch):
    right = import_module(f"littlebaby.model.attentions.{name}")
    copy = broken(right, old, new)
    monkeypatch.setitem(sys.modules, f"littlebaby.model.attentions.{name}_broken", copy)
    context.variant.cache_clear()
    cfg = small(name)
    for law in by.split():
        assert verdict(law, name, cfg, right, name) < 1e-6 < verdict(law, name, cfg, copy, f"{name}_broken")


@every
@pytest.mark.parametrize("old, new", [("dy * w, (dy * o)", "dy, (dy * o)"), ("(dy * o).sum(-1)", "(dy * w).sum(-1)"),
                                      ("return o * w, back", "return o * w[::-1], back")])
def test_a_broken_primitive_is_caught(name, old, new, monkeypatch):
    layer, cfg = variant("attentions", name), small(name)
    assert laws.gradient(layer, cfg) < 1e-6
    monkeypatch.setattr(layer, "weight_heads", broken(ops, old, new).weight_heads)
    assert laws.gradient(layer, cfg) > 1e-6
