"""diff, whose heads form pairs: by formula token by token, in every layer, by kin, and broken on purpose."""
import sys
from math import exp, sqrt

import numpy as np
import pytest
from test_recurrent_variants import drawn, outputs, softmax

from littlebaby.arrays import tree
from littlebaby.check import laws, preflight
from littlebaby.check.mistakes import broken_copy as broken
from littlebaby.errors import BadInput
from littlebaby.model import context
from littlebaby.model.context import Context, variant
from littlebaby.model.positions.alibi import head_slopes
from littlebaby.runs.settings import Config
from littlebaby.training import flat as flat_vector


def small(**more):
    return laws.config("attentions", "diff", **{**dict(r_temp=1.3, c_position="none"), **more})


def formula(x, w, cfg, layer=0):
    """One text x (T, D) -> (T, D), token by token and pair by pair"""
    d, o, lambda_0 = cfg.head_width, np.zeros((len(x), cfg.head_size)), 0.8 - 0.6 * exp(-0.3 * layer)
    factor = exp(w["lq"][0] @ w["lk"][0]) - exp(w["lq"][1] @ w["lk"][1]) + lambda_0
    q, k, v = (x @ w[name] + w.get(name.replace("w", "b"), 0) for name in ("wq", "wk", "wv"))
    slopes = head_slopes(cfg.n_heads) if cfg.c_position == "alibi" else np.zeros(cfg.n_heads)
    for pair in range(cfg.n_heads // 2):
        both = slice(2 * pair * d, (2 * pair + 2) * d)
        for t in range(len(x)):
            a = []
            for i in (2 * pair, 2 * pair + 1):
                own = slice(i * d, (i + 1) * d)
                a.append(softmax([q[t, own] @ k[j, own] / sqrt(d) / cfg.r_temp - slopes[i] * (t - j) for j in range(t + 1)]))
            u = (a[0] - factor * a[1]) @ v[:t + 1, both]
            o[t, both] = (1 - lambda_0) * u / sqrt((u ** 2).mean() + cfg.norm_eps)
    return o @ w["wo"] + w["bo"]


def apart(cfg, right=None, layer_index=0, **how):
    """How far a layer is from its formula, relative to the largest number"""
    right = right or variant("attentions", "diff")
    s = laws.random_layer(right, cfg, **how)
    y, _ = right.forward(s.p, s.x, Context(cfg, layer_index=layer_index))
    w = {key: value.astype(float) for key, value in tree.named(s.spec, s.flat).items()}
    want = np.array([formula(x, w, cfg, layer_index) for x in s.x.astype(float)])
    return np.abs(y - want).max() / np.abs(want).max()


@pytest.mark.parametrize("more", [dict(n_heads=2), {}, dict(n_heads=8, head_size=24, c_bias="all"), dict(c_position="alibi"),
                                  dict(norm_eps=0.1)])
def test_formula(more):
    """Law 8, ordinary and large inputs, in the first layer and in a deep one"""
    for T in (1, 9):
        for layer_index in (0, 7):
            for x_size in (1.0, 6.0):
                assert apart(small(**more), layer_index=layer_index, T=T, x_size=x_size) < 1e-11


def test_formula_in_float32():
    """Several blocks of the kernels, in the type that trainings use"""
    assert apart(small(n_ctx=256, head_size=16), T=150, dtype=np.float32) < 2e-5


@pytest.mark.parametrize("layer_index, lambda_0", [(0, 0.2), (1, 0.355509), (11, 0.77787)])
def test_lambda_begins_by_the_number_of_the_layer(layer_index, lambda_0):
    """At one token both heads attend to it alone, and with lq 0 a pair is (1 - lambda_0) v before its norm"""
    cfg = small(n_heads=2, c_bias="none")
    s = laws.random_layer(variant("attentions", "diff"), cfg, T=1)
    s.p.lq[...] = 0
    y, _ = variant("attentions", "diff").forward(s.p, s.x, Context(cfg).layer(layer_index))
    v = s.x @ tree.named(s.spec, s.flat)["wv"] * (1 - lambda_0)
    want = (1 - lambda_0) * v / np.sqrt((v ** 2).mean(-1, keepdims=True) + cfg.norm_eps) @ s.p.wo
    assert np.abs(y - want).max() < 1e-5


# kin

def test_what_both_heads_of_a_pair_attend_to_cancels():
    """Law 9: heads with equal queries and keys subtract lambda times the same, so that only the sign of 1 - lambda is left by the norm; and
    that output is mha's, normalized over each pair of heads"""
    cfg = small(c_bias="none", norm_eps=1e-30)
    w, x = drawn("diff", cfg)
    for name in ("wq", "wk"):
        w[name][...] = np.repeat(w[name].reshape(8, 2, 2, 2)[:, :, :1], 2, axis=2).reshape(8, 8)
    w["lk"][...] = 0
    o = outputs("mha", cfg, dict(w, wo=np.eye(8)), x).reshape(2, 12, 2, 4)                   # two pairs, each 2 d wide
    o = 0.8 * o / np.sqrt((o ** 2).mean(-1, keepdims=True))
    assert np.abs(outputs("diff", cfg, w, x) - o.reshape(2, 12, 8) @ w["wo"]).max() < 1e-12
    w["lk"][0], w["lq"][0] = 1, 1                                # lambda is e^2 - 1 + 0.2, above 1
    assert np.abs(outputs("diff", cfg, w, x) + o.reshape(2, 12, 8) @ w["wo"]).max() < 1e-12


# what it is made of

def test_heads_form_pairs():
    for n, width, near in ((1, 120, 2), (3, 120, 2), (15, 120, 12), (15, 30, 10)):
        with pytest.raises(BadInput, match=f"n_heads is {n}, and the heads of diff form pairs.* even numbers; did you mean {near}"):
            Config(c_attention="diff", n_emb=width, n_heads=n)


def test_first_weights_and_cost():
    """lq and lk are drawn with 0.1, no matrices for muon, and do not decay; the cache is that of mha, the scores cost half as much again"""
    cfg = Config(c_attention="diff", n_emb=512, head_size=512, n_heads=2, n_ctx=64, n_vocab=50)
    spec, mha = (variant("attentions", name).params(cfg) for name in ("diff", "mha"))
    p = tree.views(spec, tree.init(spec, np.random.default_rng(0), np.float64))
    assert p.lq.shape == p.lk.shape == (2, 256) and abs(p.lq.std() / 0.1 - 1) < 0.1
    assert spec["lq"].kind == "vector" not in flat_vector.DECAYED_KINDS and tree.size(spec) == tree.size(mha) + 4 * 256
    assert preflight.memory_of(cfg) == (65 / 2, 1024, 0) == preflight.memory_of(cfg.replace(c_attention="mha"))
    assert preflight.mixing_flops(cfg) == 1.5 * preflight.mixing_flops(cfg.replace(c_attention="mha"))


# planted mistakes

LAYERS = [
    ("- factor * second", "- second", "formula", {}),
    ("e[0] - e[1] + lambda_0", "e[0] - e[1]", "formula", {}),
    ("1 - lambda_0, o.dtype", "1, o.dtype", "formula", {}),
    ("* ctx.layer_index", "* 0", "formula", {}),
    ("/ ctx.cfg.r_temp", "", "formula", {}),
    ("xp.repeat(pair_v, 2, 1)", "xp.concatenate([pair_v, pair_v], 1)", "formula", {}),
    ("*ctx.drop, ctx.slopes(q)", "*ctx.drop", "formula", dict(c_position="alibi")),
    ("[dfactor, -dfactor]", "[dfactor, dfactor]", "gradient", {}),
    ("-dfactor]) * e)", "-dfactor]))", "gradient", {}),
    ("[do, -factor * do]", "[do, -do]", "gradient", {}),
    ("*dv.shape[2:]).sum(2)", "*dv.shape[2:])[:, :, 0]", "gradient", {}),
    ("lq=de * p.lk, lk=de * p.lq", "lq=de * p.lq, lk=de * p.lk", "gradient", {}),
    ("queries_keys_values(p, x, ctx)", "queries_keys_values(p, x, ctx, last=4)", "decoding", {}),
]


@pytest.mark.parametrize("old, new, by, more", LAYERS, ids=[f"diff: {new[:40]}" for _, new, _, _ in LAYERS])
def test_a_broken_layer_is_caught(old, new, by, more, monkeypatch):
    right = variant("attentions", "diff")
    copy, cfg = broken(right, old, new), small(**more)
    monkeypatch.setitem(sys.modules, "littlebaby.model.attentions.diff_broken", copy)
    context.variant.cache_clear()

    def verdict(layer, label):
        if by == "decoding":
            return laws.decoding(cfg.model_copy(update=dict(c_attention=label)))
        return apart(cfg, layer, layer_index=7, T=9) if by == "formula" else laws.gradient(layer, cfg, T=7)

    assert verdict(right, "diff") < 1e-6 < verdict(copy, "diff_broken")
