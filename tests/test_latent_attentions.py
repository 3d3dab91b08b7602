"""Attentions that keep latents: by formula token by token and head by head, in caches of known size, by kin, and broken on purpose."""
import sys
from importlib import import_module
from math import sqrt

import numpy as np
import pytest

from littlebaby.arrays import tree
from littlebaby.check import laws, preflight
from littlebaby.check.mistakes import broken_copy as broken
from littlebaby.errors import BadInput
from littlebaby.model import context, gpt
from littlebaby.model.context import Context, variant
from littlebaby.runs.settings import Config

KINDS = [dict(mla_norm=norm, mla_latent=latent, mla_q_rank=q, mla_rope=r, c_position=position, **more)
         for norm, latent, q, r, position, more in (
             ("none", "joint", 0, 0, "none", {}), ("layernorm", "split", 0, 0, "none", dict(mla_v=5)),
             ("rmsnorm", "joint", 6, 4, "rope", dict(mla_nope=3)), ("none", "split", 0, 4, "rope", dict(rope_layout="interleaved")),
             ("layernorm", "split", 5, 3, "none", dict(mla_nope=1, mla_v=1)), ("rmsnorm", "joint", 0, 0, "alibi", {}))]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=["-".join(map(str, kind.values())) for kind in KINDS])


def small(name="mla", **more):
    return laws.config("attentions", name, **{**dict(mla_rank=7, r_temp=1.3, n_ctx=64), **more})


# the formula, token by token and head by head: w the weights by name, x (T, D) one text -> (T, D)

def softmax(s):
    e = np.exp(s - np.max(s))
    return e / e.sum()


def normal(z, w, latent, cfg):
    gain, bias = (w.get(f"norm_{latent}.{each}") for each in "wb")
    if cfg.mla_norm == "none":
        return z
    if cfg.mla_norm == "rmsnorm":
        return z / sqrt((z ** 2).mean() + 1e-6) * gain
    return (z - z.mean()) / sqrt(z.var() + 1e-5) * gain + bias


def turned(z, t, cfg):
    """Pairs of z at position t turned one by one"""
    if cfg.c_position != "rope":
        return z
    y, r = z.copy(), len(z)
    for i in range(r // 2):
        one, two = (2 * i, 2 * i + 1) if cfg.rope_layout == "interleaved" else (i, i + r // 2)
        angle = t * cfg.rope_base ** (-2 * i / r)
        y[one], y[two] = z[one] * np.cos(angle) - z[two] * np.sin(angle), z[one] * np.sin(angle) + z[two] * np.cos(angle)
    return y


def mla(x, w, cfg, h=None, joined=True):
    T, h, n, r, v = len(x), h or cfg.n_heads, cfg.mla_nope, cfg.mla_rope, cfg.mla_v
    o = np.zeros((T, h * v))
    asks = [normal(x[t] @ w["wdq"], w, "wdq", cfg) @ w["wuq"] if cfg.mla_q_rank else x[t] @ w["wq"] for t in range(T)]
    latents = [normal(x[t] @ w["wdk"], w, "wdk", cfg) for t in range(T)]
    others = [normal(x[t] @ w["wdv"], w, "wdv", cfg) for t in range(T)] if cfg.mla_latent == "split" else latents
    shared = [turned(x[t] @ w["wkr"], t, cfg) if r else np.zeros(0) for t in range(T)]
    for i in range(h):
        price = 2 ** (-8 * (i + 1) / h) if cfg.c_position == "alibi" else 0
        for t in range(T):
            q = asks[t][i * (n + r):(i + 1) * (n + r)]
            s = [(q[:n] @ (latents[j] @ w["wuk"])[i * n:(i + 1) * n] + turned(q[n:], t, cfg) @ shared[j]) / sqrt(n + r) / cfg.r_temp
                 - price * (t - j) for j in range(t + 1)]
            o[t, i * v:(i + 1) * v] = sum(a * (others[j] @ w["wuv"])[i * v:(i + 1) * v] for j, a in enumerate(softmax(s)))
    return o @ w["wo"] + w["bo"] if joined else o


def decay(x, w, d):
    o = np.zeros((len(x), w["wv"].shape[1]))
    for i, l in enumerate(w["l"]):                               # noqa: E741
        share, own = 1 / (1 + np.exp(-l)), slice(i * d, (i + 1) * d)
        for t in range(len(x)):
            weights = share ** np.arange(t, -1.0, -1)
            o[t, own] = weights @ (x @ w["wv"])[:t + 1, own] / weights.sum()
    return o


def hybrid(x, w, cfg):
    part = lambda name: {key.removeprefix(name + "."): value for key, value in w.items() if key.startswith(name + ".")}
    recalling, d, y = int(cfg.n_heads * cfg.r_recall), cfg.head_width, np.zeros_like(x)
    found = [decay(x, part("decay"), d)] if recalling < cfg.n_heads else []
    found += [mla(x, part("mla"), cfg, recalling, joined=False)] if recalling else []
    for t, o in enumerate(np.concatenate(found, 1)):
        u = np.maximum(np.concatenate([x[t], o]) @ w["w1"] + w["b1"], 0)
        gate = 1 / (1 + np.exp(-(u @ w["w2"] + w["b2"])))
        y[t] = sum(o[j] * gate[j if cfg.c_hybrid_gate == "channel" else j // d] * w["wo"][j] for j in range(len(o))) + w["bo"]
    return y


FORMULAS = dict(mla=mla, hybrid=hybrid)


def apart(cfg, layer=None, **how):
    """How far a layer is from its formula, relative to the largest number"""
    layer = layer or variant("attentions", cfg.c_attention)
    s = laws.random_layer(layer, cfg, **how)
    y, _ = layer.forward(s.p, s.x, Context(cfg))
    w = {key: value.astype(float) for key, value in tree.named(s.spec, s.flat).items()}
    want = np.array([FORMULAS[cfg.c_attention](x, w, cfg) for x in s.x.astype(float)])
    return np.abs(y - want).max() / np.abs(want).max()


@every_kind
def test_formula(kind):
    for T in (1, 9):
        for x_size in (1.0, 5.0):
            assert apart(small(**kind), T=T, x_size=x_size) < 1e-11


@pytest.mark.parametrize("gate", ["channel", "head"])
@pytest.mark.parametrize("share", [0, 0.3, 0.5, 0.99, 1])
def test_formula_of_the_hybrid(gate, share):
    """Any number of recalling heads, none and all of them too: 0.3 and 0.99 of four are rounded down"""
    for more in (dict(), dict(mla_latent="split", mla_q_rank=5, mla_norm="layernorm", mla_rope=4, c_position="rope")):
        for x_size in (1.0, 5.0):
            assert apart(small("hybrid", c_hybrid_gate=gate, r_recall=share, **more), T=9, x_size=x_size) < 1e-11


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_in_float32(name):
    """Several blocks of the kernels, in the type that trainings use"""
    assert apart(small(name, n_ctx=256, mla_rope=4, c_position="rope"), T=150, dtype=np.float32) < 2e-5


# what is kept

@every_kind
def test_absorbed_equals_expanded(kind, monkeypatch):
    """The latents as keys and values of one wide head are the same attention, in chunks and single tokens"""
    mla, cfg = variant("attentions", "mla"), small(**kind)
    s = laws.random_layer(mla, cfg, T=12)
    whole, _ = mla.forward(s.p, s.x, Context(cfg))
    taken, absorbed = [], mla.absorbed
    monkeypatch.setattr(mla, "absorbed", lambda *given: taken.append(1) or absorbed(*given))
    for always in (True, False):
        monkeypatch.setattr(mla, "absorption_is_cheaper", lambda cfg, T, answer=always: answer)
        cache, ends = {}, (0, 4, 6, *range(7, 13))
        y = [mla.forward(s.p, s.x[:, a:b], Context(cfg, start=a, cache=cache))[0] for a, b in zip(ends, ends[1:])]
        assert np.abs(np.concatenate(y, 1) - whole).max() < 1e-12 * np.abs(whole).max()
        assert len(taken) == 8
    mla.forward(s.p, s.x, Context(cfg))
    assert len(taken) == 8                                       # training unfolds: it has a backward


def test_absorption_where_it_is_cheaper():
    """Counted: products of both ways, and single tokens always, a long prompt never, at the sizes of real models"""
    mla = variant("attentions", "mla")
    for more in (dict(mla_rank=512, mla_nope=128, mla_v=128), dict(mla_rank=128, mla_nope=64, mla_v=64), dict(mla_rank=256)):
        cfg = small(n_emb=896, head_size=896, n_heads=8, **{"mla_rank": 256, **more})
        c, wide = cfg.mla_rank, cfg.mla_nope + cfg.mla_v
        for T in (1, 2, 50, 100, 128, 129, 171, 172, 1000):
            assert mla.absorption_is_cheaper(cfg, T) == (T * 2 * c < T * wide + c * wide)
        assert mla.absorption_is_cheaper(cfg, 1) and not mla.absorption_is_cheaper(cfg, 1000)


@pytest.mark.parametrize("latent, rope, numbers", [("joint", 0, 7), ("joint", 4, 11), ("split", 0, 14), ("split", 4, 18)])
def test_the_cache_holds_latents_and_the_turned_key(latent, rope, numbers):
    """To the number, and nothing per head; preflight finds the same and counts the work"""
    for h in (2, 4):
        cfg = small(mla_latent=latent, mla_rope=rope, n_heads=h, c_position="rope" if rope else "none")
        layer, cache = variant("attentions", "mla"), {}
        s = laws.random_layer(layer, cfg, T=9)
        for a, b in ((0, 5), (5, 8), (8, 9)):
            layer.forward(s.p, s.x[:, a:b], Context(cfg, start=a, cache=cache))
        assert sum(rows.size for rows in cache.values()) == 2 * 9 * numbers
        assert preflight.memory_of(cfg) == (65 / 2, numbers, 0)
        assert preflight.mixing_flops(cfg) == 2 * h * (2 * cfg.head_width + rope) * 65 / 2


@pytest.mark.parametrize("share, growth, state", [(0, 0, 12), (0.25, 11, 9), (0.5, 11, 6), (1, 11, 0)])
def test_the_hybrid_remembers_as_its_parts_do(share, growth, state):
    """Latents whatever the number of recalling heads, d + 1 numbers for every fading one"""
    cfg = small("hybrid", r_recall=share, mla_rope=4, c_position="rope")
    layer, cache = variant("attentions", "hybrid"), {}
    s = laws.random_layer(layer, cfg, T=9)
    for a, b in ((0, 5), (5, 8), (8, 9)):
        layer.forward(s.p, s.x[:, a:b], Context(cfg, start=a, cache=cache))
    assert preflight.numbers(cache) == 2 * (9 * growth + state)
    assert preflight.memory_of(cfg)[1:] == (growth, state)
    assert preflight.mixing_flops(cfg) == 2 * 4 * share * (2 + 4 + 2) * 65 / 2 + 4 * state


@pytest.mark.parametrize("name", FORMULAS)
def test_prefill_is_causal(name):
    """A prompt's later tokens change nothing before them, with a cache as without, bit for bit"""
    cfg = small(name, c_position="rope", mla_rope=4, n_layers=3)
    _, _, p, rng = laws.model(cfg)
    ids = rng.integers(0, 11, (2, 12))
    other = ids.copy()
    other[:, 7:] = (other[:, 7:] + 3) % 11
    one, two = (gpt.forward(p, each, Context(cfg, cache={}))[0] for each in (ids, other))
    assert np.array_equal(one[:, :7], two[:, :7]) and np.abs(one[:, 7:] - two[:, 7:]).max() > 0.01
    plain, _ = gpt.forward(p, ids, Context(cfg))
    assert np.abs(one - plain).max() < 1e-12


# kin

def outputs(cfg, w, x):
    """What the layer makes of x with the weights in w that it knows; what w lacks is 0"""
    layer = variant("attentions", cfg.c_attention)
    spec = layer.params(cfg)
    flat = np.zeros(tree.size(spec))
    for key, view in tree.named(spec, flat).items():
        view[...] = w.get(key, 0)
    return layer.forward(tree.views(spec, flat), x, Context(cfg))[0]


def drawn(cfg, T=12):
    s = laws.random_layer(variant("attentions", cfg.c_attention), cfg, T=T)
    return tree.named(s.spec, s.flat), s.x


def test_a_latent_as_wide_as_the_token_is_mha():
    """Law 9: where the latent is the token itself, unfolding is mha's projection; and where only the turned key counts, mqa's"""
    cfg = small(mla_rank=8, mla_norm="none", c_position="none")
    w, x = drawn(cfg)
    w["wdk"][...] = np.eye(8)
    mha = dict(w, wk=w["wuk"], wv=w["wuv"])
    assert np.abs(outputs(cfg, w, x) - outputs(cfg.replace(c_attention="mha"), mha, x)).max() < 1e-12

    cfg = small(mla_rank=8, mla_norm="none", c_position="rope", mla_nope=1, mla_rope=2, r_temp=sqrt(2 / 3), mla_v=2)
    w, x = drawn(cfg)
    w["wdk"][...], w["wuk"][...] = np.eye(8), 0
    w["wuv"][...] = np.tile(w["wuv"][:, :2], 4)
    mqa = dict(w, wq=w["wq"].reshape(8, 4, 3)[:, :, 1:].reshape(8, 8), wk=w["wkr"], wv=w["wuv"][:, :2])
    one = cfg.replace(c_attention="gqa", n_kv_heads=1, r_temp=1.0)
    assert np.abs(outputs(cfg, w, x) - outputs(one, mqa, x)).max() < 1e-12


def test_one_latent_or_two():
    """Law 9: split latents that are equal are a joint one"""
    cfg = small(mla_latent="split")
    w, x = drawn(cfg)
    w["wdv"][...], w["norm_wdv.w"][...] = w["wdk"], w["norm_wdk.w"]
    assert np.abs(outputs(cfg, w, x) - outputs(cfg.replace(mla_latent="joint"), w, x)).max() < 1e-12


def test_a_hybrid_of_one_kind_behind_an_open_gate_is_that_kind():
    """Law 9: gate 1, all heads of one kind"""
    for share, name in ((0, "decay"), (1, "mla")):
        cfg = small("hybrid", r_recall=share)
        w, x = drawn(cfg)
        w["w2"][...], w["b2"][...] = 0, 40
        alone = {key.removeprefix(name + "."): value for key, value in w.items()}
        assert np.abs(outputs(cfg, w, x) - outputs(cfg.replace(c_attention=name), alone, x)).max() < 1e-12


def test_a_gate_of_heads_is_one_of_channels_that_agree():
    """Law 9"""
    cfg = small("hybrid", c_hybrid_gate="head")
    w, x = drawn(cfg)
    wide = dict(w, w2=np.repeat(w["w2"], 2, 1), b2=np.repeat(w["b2"], 2))
    assert np.abs(outputs(cfg, w, x) - outputs(cfg.replace(c_hybrid_gate="channel"), wide, x)).max() < 1e-12


def test_heads_of_the_hybrid_are_all_of_one_width():
    with pytest.raises(BadInput, match="mla_v is 3; allowed in hybrid.* 2; did you mean 2"):
        small("hybrid", mla_v=3)
    with pytest.raises(BadInput, match="mla_rope is 3.* even numbers; did you mean 4"):
        small("mla", mla_rope=3, c_position="rope")
    assert small("mla", mla_rope=3, c_position="none").mla_rope == 3


# sizes of real models

@pytest.mark.parametrize("name, more, numbers", [
    ("hybrid", dict(n_emb=512, n_heads=8, n_ctx=2048, mla_rank=128, mla_q_rank=128, mla_norm="layernorm"), 1_410_564),
    ("mla", dict(n_emb=896, n_heads=8, mla_latent="split", mla_norm="none", mla_rank=256, mla_nope=56, mla_rope=56, mla_v=112,
                 c_position="rope", b_bias_attention_out=True), 2_459_520)])
def test_a_layer_counts_exactly(name, more, numbers):
    """The attentions of BabyKilat and of NANO-KIMI-K2"""
    cfg = Config(c_attention=name, c_bias="none", **more)
    assert tree.size(variant("attentions", name).params(cfg)) == numbers
    assert (cfg.mla_nope, cfg.mla_v) == ((64, 64) if name == "hybrid" else (56, 112))


# planted mistakes

LAYERS = [
    ("mla", "(n + r) ** -0.5", "n ** -0.5", "formula", {}),
    ("mla", "/ cfg.r_temp", "", "formula", {}),
    ("mla", "dk[..., n:].sum(1, keepdims=True)", "dk[..., n:][:, :1]", "gradient", {}),
    ("mla", "back_rotation(dkr)", "dkr", "gradient", {}),
    ("mla", "dzk + dzv", "dzk", "gradient", dict(mla_latent="joint")),
    ("mla", "merge_heads(back_rotation(dq))", "merge_heads(dq)", "gradient", {}),
    ("mla", "back_norm(dq, g)", "dq", "gradient", dict(mla_q_rank=7)),
    ("mla", "back_norm_v(dzv, g)", "back_norm_k(dzv, g)", "gradient", {}),
    ("mla", "kr, back_rotation = ctx.rotate(kr[:, None])", "kr, back_rotation = kr[:, None], lambda d: d", "formula", {}),
    ("mla", 'normalized(p, "wdv", zv, ctx)', 'normalized(p, "wdk", zv, ctx)', "formula", {}),
    ("mla", "extend(zk_kr=zk_kr, zv=zv[:, None])", "extend(zk_kr=zk_kr, zv=zk_kr[..., :c])", "formula", {}),
    ("mla", "zk_kr, = ctx.extend(zk_kr=zk_kr)", "zk_kr, = ctx.extend(last=4, zk_kr=zk_kr)", "decoding", dict(mla_latent="joint")),
    ("mla", "*ctx.drop, ctx.slopes(q)", "*ctx.drop", "formula", dict(c_position="alibi")),
    ("mla", "scale, slopes=ctx.slopes(q)", "scale", "decoding", dict(c_position="alibi")),
    ("mla", "by_head(p.wuk).swapaxes(-1, -2), q[..., n:]", "by_head(p.wuk).swapaxes(-1, -2), 0 * q[..., n:]", "decoding", {}),
    ("mla", "latent_q, zk_kr, zv, scale", "latent_q, zk_kr, zk_kr[..., :c], scale", "decoding", {}),
    ("mla", "o @ by_head(p.wuv)", "o @ by_head(p.wuv)[::-1]", "decoding", {}),
    ("hybrid", "dgated * channel_gate + dxo[..., D:]", "dgated * channel_gate", "gradient", {}),
    ("hybrid", "dxo[..., :D].copy()", "xp.zeros_like(x)", "gradient", {}),
    ("hybrid", "dgated * channel_gate +", "dgated +", "gradient", {}),
    ("hybrid", "back_s(back_gate(dgate))", "back_s(dgate)", "gradient", {}),
    ("hybrid", "back_z(back_u(du))", "back_z(du)", "gradient", {}),
    ("hybrid", "first += h * d", "first = 0", "gradient", {}),
    ("hybrid", "[x, *outputs]", "[x, *outputs[::-1]]", "formula", {}),
    ("hybrid", '"heads", o * channel_gate', '"heads", o * (1 - channel_gate)', "formula", {}),
    ("hybrid", "xp.repeat(gate, d, -1)", "xp.concatenate([gate] * d, -1)", "formula", dict(c_hybrid_gate="head")),
]


def verdict(law, cfg, layer, label):
    """How far the law is broken: 0 is innocent. `label`: under which name the layer is found"""
    if law == "gradient":
        return laws.gradient(layer, cfg, T=7)
    if law == "formula":
        return apart(cfg, layer=layer, T=9)
    return laws.decoding(cfg.model_copy(update=dict(c_attention=label)))


@pytest.mark.parametrize("name, old, new, by, more", LAYERS, ids=[f"{name}: {new[:40]}" for name, _, new, _, _ in LAYERS])
def test_a_broken_layer_is_caught(name, old, new, by, more, monkeypatch):
    right = import_module(f"littlebaby.model.attentions.{name}")
    copy = broken(right, old, new)
    monkeypatch.setitem(sys.modules, f"littlebaby.model.attentions.{name}_broken", copy)
    context.variant.cache_clear()
    cfg = small(name, **{**dict(mla_latent="split", mla_rope=4, c_position="rope"), **more})
    assert verdict(by, cfg, right, name) < 1e-6 < verdict(by, cfg, copy, f"{name}_broken")
