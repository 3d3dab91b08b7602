"""Variants that walk along the tokens: by formula token by token, in streams of constant memory, by kin, and broken on purpose."""
import sys
from importlib import import_module
from math import exp, inf, log, log1p, sqrt

import numpy as np
import pytest

from littlebaby.arrays import ops, scans, tree
from littlebaby.check import laws
from littlebaby.check.mistakes import broken_copy as broken
from littlebaby.model import context
from littlebaby.model.context import Context, Rows, variant
from littlebaby.runs.settings import Config
from littlebaby.training import flat as flat_vector

LAMBDAS = [0.01, 0.5, 0.9, 0.999, 1 - 1e-7]


def logit(share):
    return log(share) - log1p(-share)


# the formulas, token by token: w the weights by name, x (T, D) one text -> (T, D)

def parts(x, w, cfg):
    """The heads of one text: per head its q, k, v (T, d) where there are such weights, and its stretch of the head_size numbers"""
    d, group = cfg.head_width, w["wv"].shape[1]
    for i in range(cfg.n_heads):
        own = slice(i * d, (i + 1) * d)
        shared = slice(i * group // cfg.head_size * d, (i * group // cfg.head_size + 1) * d)
        yield [x @ w[name][:, own if name == "wq" else shared] for name in ("wq", "wk", "wv") if name in w], own, i


def softmax(s):
    e = np.exp(s - np.max(s))
    return e / e.sum()


def swa(x, w, cfg):
    o = np.zeros((len(x), cfg.head_size))
    for (q, k, v), own, _ in parts(x, w, cfg):
        for t in range(len(x)):
            seen = range(max(0, t - cfg.s_window + 1), t + 1)
            a = softmax([q[t] @ k[j] / sqrt(cfg.head_width) / cfg.r_temp for j in seen])
            o[t, own] = sum(weight * v[j] for weight, j in zip(a, seen))
    return o @ w["wo"] + w["bo"]


def rfa(x, w, cfg):
    o, W = np.zeros((len(x), cfg.head_size)), cfg.s_window
    for (q, k, v), own, i in parts(x, w, cfg):
        share = 1 / (1 + exp(-w["l"][i]))
        for t in range(len(x)):
            keys, values = list(k[max(0, t - W + 1):t + 1]), list(v[max(0, t - W + 1):t + 1])
            if t >= W:
                fading = [share ** (t - W - j) for j in range(t - W + 1)]
                keys.append(sum(f * k[j] for j, f in enumerate(fading)) / sum(fading))
                values.append(sum(f * v[j] for j, f in enumerate(fading)) / sum(fading))
            a = softmax([q[t] @ key / sqrt(cfg.head_width) / cfg.r_temp for key in keys])
            o[t, own] = sum(weight * value for weight, value in zip(a, values))
    return o @ w["wo"] + w["bo"]


def decay(x, w, cfg):
    o = np.zeros((len(x), cfg.head_size))
    for (v,), own, i in parts(x, w, cfg):
        share, s, z = 1 / (1 + exp(-w["l"][i])), 0, 0
        for t in range(len(x)):
            s, z = share * s + v[t], share * z + 1
            o[t, own] = s / z
    return o @ w["wo"] + w["bo"]


def aft(x, w, cfg, temperature=None):
    k, v = x @ w["wk"] / (temperature or cfg.r_temp), x @ w["wv"]
    e = np.exp(np.clip(k, -20, 20))
    o = np.array([(e[:t + 1] * v[:t + 1]).sum(0) / e[:t + 1].sum(0) for t in range(len(x))])
    gate = 1 / (1 + np.exp(-x @ w["wq"])) if "wq" in w else 1
    return (o * gate) @ w["wo"] + w["bo"]


def nft(x, w, cfg):
    return aft(x, w, cfg, temperature=1.0)


def gla(x, w, cfg):
    n = (x @ w["wk"]) * (x @ w["wv"])
    n = (n - n.mean(-1, keepdims=True)) / np.sqrt(n.var(-1, keepdims=True) + 1e-5) * w["w"] + w["b"]
    c = [sum(w["f"][i] * n[t - i] for i in range(min(cfg.s_kernel, t + 1))) for t in range(len(x))]
    return np.maximum(c, 0) @ w["wo"] + w["bo"]


def latent(x, w, cfg):
    o, by = np.zeros((len(x), cfg.head_size)), sqrt(cfg.head_width) * cfg.r_temp
    for (q, k, v), own, _ in parts(x, w, cfg):
        z, r = w["z"][:, own], w["r"][:, own]
        for t in range(len(x)):
            b = softmax([q[t] @ label / by for label in r])
            for m in range(cfg.n_latents):
                a = softmax([np.clip(k[j] @ z[m] / by, -20, 20) for j in range(t + 1)])
                o[t, own] += b[m] * sum(weight * v[j] for j, weight in enumerate(a))
    return o @ w["wo"] + w["bo"]


def lin(x, w, cfg):
    o, phi = np.zeros((len(x), cfg.head_size)), lambda z: np.where(z > 0, z + 1, np.exp(np.minimum(z, 0)))
    for (q, k, v), own, _ in parts(x, w, cfg):
        S, z = np.zeros((cfg.head_width, cfg.head_width)), np.zeros(cfg.head_width)
        for t in range(len(x)):
            S, z = S + np.outer(phi(k[t]), v[t]), z + phi(k[t])
            o[t, own] = phi(q[t]) @ S / (phi(q[t]) @ z + 1e-6)
    return o @ w["wo"] + w["bo"]


FORMULAS = dict(swa=swa, rfa=rfa, decay=decay, aft=aft, gla=gla, latent=latent, lin=lin, nft=nft)
every = pytest.mark.parametrize("name", FORMULAS)


def folder(name):
    return "networks" if name == "nft" else "attentions"


def small(name, **more):
    return laws.config(folder(name), name, **{**dict(n_kv_heads=2, s_window=6, s_kernel=4, r_temp=1.3), **more})


def apart(name, cfg, l=None, layer=None, **how):                 # noqa: E741
    """How far a layer is from its formula, relative to the largest number; l: what p.l is, where it is not drawn"""
    layer = layer or variant(folder(name), name)
    s = laws.random_layer(layer, cfg, **how)
    if l is not None:
        s.p.l[:] = l
    y, _ = layer.forward(s.p, s.x, Context(cfg))
    w = {key: value.astype(float) for key, value in tree.named(s.spec, s.flat).items()}
    want = np.array([FORMULAS[name](x, w, cfg) for x in s.x.astype(float)])
    return np.abs(y - want).max() / np.abs(want).max()


@every
@pytest.mark.parametrize("block", [2, 5, 64])
def test_formula(name, block, monkeypatch):
    """Law 8, with blocks shorter and longer than the text, ordinary and large inputs"""
    monkeypatch.setattr(scans, "BLOCK", block)
    for T in (1, 6, 23):
        for x_size in (1.0, 6.0):
            assert apart(name, small(name), T=T, x_size=x_size) < 1e-11


@every
def test_formula_in_float32(name):
    """Several blocks of the real size, in the type that trainings use"""
    assert apart(name, small(name, s_window=40), T=150, dtype=np.float32) < 2e-5


@pytest.mark.parametrize("name", ["decay", "rfa"])
@pytest.mark.parametrize("share", LAMBDAS)
def test_formula_at_every_pace(name, share, monkeypatch):
    monkeypatch.setattr(scans, "BLOCK", 4)
    assert apart(name, small(name), l=logit(share), T=23) < 1e-11
    assert apart(name, small(name), l=logit(share), T=23, dtype=np.float32) < 2e-5


@pytest.mark.parametrize("block", [4, 64])
@pytest.mark.parametrize("share", LAMBDAS)
def test_discounted_mean_at_every_pace(share, block, monkeypatch):
    """The gradient, of ln lambda itself too; and in float32 with a mean far from 0, in which small differences would drown"""
    monkeypatch.setattr(scans, "BLOCK", block)
    r = np.random.default_rng(0).standard_normal
    w, x, dy = np.full(3, log(share)), r((2, 3, 11, 2)), r((2, 3, 11, 2))
    dx, dw = scans.discounted_mean(x, w)[1](dy)
    f = lambda: (scans.discounted_mean(x, w)[0] * dy).sum()
    assert laws.relative(dx, laws.differences(f, x), 0) < 1e-9 and laws.relative(dw, laws.differences(f, w), 0) < 1e-9

    x, dy = 30 + r((1, 3, 500, 2)), r((1, 3, 500, 2))
    want, got = (scans.discounted_mean(x.astype(t), w.astype(t))[1](dy.astype(t)) for t in (np.float64, np.float32))
    for a, b in zip(got, want):
        assert a.dtype == np.float32 and laws.relative(a, b, 0) < 1e-4


def test_log_sigmoid_keeps_its_digits_near_1():
    ls = np.array([logit(share) for share in LAMBDAS])
    for dtype, exact in ((np.float64, 1e-14), (np.float32, 2e-6)):
        y, back = scans.log_sigmoid(ls.astype(dtype))
        assert np.abs(y / [-log1p(exp(-v)) for v in ls] - 1).max() < exact
        assert np.abs(back(np.ones(5, dtype)) / [1 / (1 + exp(v)) for v in ls] - 1).max() < exact


@pytest.mark.parametrize("T, S, window, n", [(9, 9, 3, 4), (9, 9, 3, 2), (9, 9, 20, 1), (4, 9, 6, 2), (1, 7, 4, 2)])
@pytest.mark.parametrize("block", [2, 64])
def test_window_attention_is_attention_with_the_rest_masked(T, S, window, n, block, monkeypatch):
    """Every output and gradient, ln_sum's too, against plain differences"""
    monkeypatch.setattr(scans, "BLOCK", block)
    r = np.random.default_rng(0).standard_normal
    q, k, v, do, dl = r((2, 4, T, 3)), r((2, n, S, 3)), r((2, n, S, 3)), r((2, 4, T, 3)), r((2, 4, T, 1))
    o, ln_sum, back = scans.window_attention(q, k, v, 0.7, window)
    far = ops.distance(S - T, S, S)
    s = np.where((far >= 0) & (far < window), 0.7 * q @ np.repeat(k, 4 // n, 1).swapaxes(-1, -2), -inf)
    e = np.exp(s)
    assert np.abs(o - e / e.sum(-1, keepdims=True) @ np.repeat(v, 4 // n, 1)).max() < 1e-12
    assert np.abs(ln_sum - np.log(e.sum(-1, keepdims=True))).max() < 1e-12

    def f():
        o, ln_sum, _ = scans.window_attention(q, k, v, 0.7, window)
        return (o * do).sum() + (ln_sum * dl).sum()

    for a, d in zip((q, k, v), back(do, dl)):
        assert laws.relative(d, laws.differences(f, a), 0) < 1e-9


@pytest.mark.parametrize("T", [1, 4, 11])
@pytest.mark.parametrize("name, shapes", [
    ("running_sum", "d"), ("running_mean", "dd"), ("linear_attention", "mmd"), ("log_sigmoid", "d"), ("exp_clip", "d"),
    ("elu_plus_one", "d")])
def test_primitives(name, shapes, T, monkeypatch):
    """Every gradient by differences, and a text in two calls as in one"""
    monkeypatch.setattr(scans, "BLOCK", 3)
    rng, op = np.random.default_rng(5), getattr(scans, name)
    arrays = [rng.standard_normal((2, 3, T, dict(d=2, m=4)[c])) for c in shapes]
    y, back, *state = op(*arrays)
    dy = rng.standard_normal(y.shape)
    grads = back(dy)
    for a, d in zip(arrays, grads if isinstance(grads, tuple) else (grads,)):
        assert laws.relative(d, laws.differences(lambda: (op(*arrays)[0] * dy).sum(), a), 0) < 1e-9
    if state and T > 1:
        first, _, past = op(*(a[..., :T // 2, :] for a in arrays))
        second, _, last = op(*(a[..., T // 2:, :] for a in arrays), past)
        assert np.abs(np.concatenate([first, second], -2) - y).max() < 1e-12 and np.abs(last - state[0]).max() < 1e-12


# streams

NUMBERS = dict(swa=lambda c: 2 * c.n_kv_heads * c.head_width * (c.s_window - 1), decay=lambda c: c.head_size + c.n_heads,
               rfa=lambda c: 2 * c.head_size * (c.s_window + 1) + c.n_heads, aft=lambda c: 2 * c.head_size,
               gla=lambda c: c.head_size * (c.s_kernel - 1),
               latent=lambda c: c.n_heads * c.n_latents * (c.head_width + 1),
               lin=lambda c: c.n_heads * (c.head_width ** 2 + c.head_width), nft=lambda c: 2 * c.n_emb)


@every
@pytest.mark.parametrize("cuts", [(3, 5), (1, 2, 11), (17, 23), (5, 6, 7, 18)])
def test_a_stream_equals_one_call_and_never_grows(name, cuts, monkeypatch):
    """Law 2 far past every window, in chunks and single tokens; the cache holds what the docstring says, to the number"""
    monkeypatch.setattr(scans, "BLOCK", 4)
    for position in ("none", "rope"):
        cfg, layer = small(name, n_ctx=256, head_size=16, c_position=position), variant(folder(name), name)
        s = laws.random_layer(layer, cfg, T=180)
        whole, _ = layer.forward(s.p, s.x, Context(cfg))
        cache: dict = {}
        ends = (0, *cuts, *range(cuts[-1] + 1, 181))
        y = [layer.forward(s.p, s.x[:, a:b], Context(cfg, start=a, cache=cache))[0] for a, b in zip(ends, ends[1:])]
        assert np.abs(np.concatenate(y, 1) - whole).max() < 1e-11 * np.abs(whole).max()

        assert sum(each.size for each in cache.values()) == 2 * NUMBERS[name](cfg)                   # two texts
        assert all(each.buffer.shape[-2] <= 2 * cfg.s_window + 64 for each in cache.values() if isinstance(each, Rows))


# kin

def outputs(name, cfg, w, x):
    """What a layer makes of x with the weights in w that it knows; what w lacks is 0"""
    layer = variant(folder(name), name)
    spec = layer.params(cfg)
    flat = np.zeros(tree.size(spec))
    for key, view in tree.named(spec, flat).items():
        view[...] = w.get(key, 0)
    return layer.forward(tree.views(spec, flat), x, Context(cfg))[0]


def drawn(name, cfg, T=12):
    s = laws.random_layer(variant(folder(name), name), cfg, T=T)
    return tree.named(s.spec, s.flat), s.x


@pytest.mark.parametrize("W", [12, 13, 16])
@pytest.mark.parametrize("position", ["none", "rope", "alibi"])
def test_a_window_that_reaches_everything_is_none(W, position):
    """Law 9: swa is gqa, and with keys of its own for every head mha; rfa, whose memory stays empty, is mha"""
    for n in (1, 2, 4):
        cfg = small("swa", s_window=W, n_kv_heads=n, c_position=position, c_bias="all")
        w, x = drawn("swa", cfg)
        y = outputs("swa", cfg, w, x)
        assert np.abs(y - outputs("gqa", cfg, w, x)).max() < 1e-12
        assert n < 4 or np.abs(y - outputs("mha", cfg, w, x)).max() < 1e-12
    cfg = small("rfa", s_window=W, c_position=position.replace("alibi", "learned"))
    w, x = drawn("rfa", cfg)
    assert np.abs(outputs("rfa", cfg, w, x) - outputs("mha", cfg, w, x)).max() < 1e-12
    narrow = cfg.replace(s_window=9)                              # at 11 the memory is one token, which is its own mean
    assert np.abs(outputs("rfa", narrow, w, x) - outputs("mha", cfg, w, x)).max() > 1e-6


def test_plain_means_are_one():
    """Law 9: nothing fades, all keys equal, all questions equal: decay, aft and latent are then the mean of all values so far"""
    cfg = small("decay")
    w, x = drawn("decay", cfg)
    w["l"] = 40.0
    want = np.cumsum(x @ w["wv"], 1) / np.arange(1, 13)[:, None] @ w["wo"] + w["bo"]
    for name in ("decay", "aft", "latent"):
        assert np.abs(outputs(name, cfg, w, x) - want).max() < 1e-12


def test_equal_features_are_equal_weights():
    """Law 9: without queries and keys every feature is 1, and lin is the mean of all values so far, but for the 1e-6"""
    cfg = small("lin", n_heads=1)
    w, x = drawn("lin", cfg)
    w["wq"][...] = w["wk"][...] = 0
    want = np.cumsum(x @ w["wv"], 1) / (np.arange(1, 13) + 1e-6 / 8)[:, None] @ w["wo"] + w["bo"]
    assert np.abs(outputs("lin", cfg, w, x) - want).max() < 1e-12


def test_nft_without_its_gate_is_aft():
    cfg = small("nft", b_network_gate=False, r_temp=1)
    w, x = drawn("nft", cfg)
    assert np.array_equal(outputs("nft", cfg, w, x), outputs("aft", cfg, w, x))


def test_one_latent_per_head_is_the_mean_that_its_question_makes():
    """Law 9: two equal questions are one; q then has no say"""
    cfg = small("latent", n_latents=2)
    w, x = drawn("latent", cfg)
    w["z"][1] = w["z"][0]
    y = outputs("latent", cfg, w, x)
    w["wq"] = 2 - w["wq"]
    assert np.abs(outputs("latent", cfg, w, x) - y).max() < 1e-12


# what they are made of

def test_the_pace_is_learned_only_from_a_memory_of_two():
    """rfa: l gets a gradient from W + 2 tokens on, and not before"""
    cfg, layer = small("rfa", s_window=4), variant("attentions", "rfa")
    for T, learns in ((4, False), (5, False), (6, True)):
        s = laws.random_layer(layer, cfg, T=T)
        g = tree.views(s.spec, np.zeros_like(s.flat))
        layer.forward(s.p, s.x, Context(cfg))[1](s.dy, g)
        assert g.l.all() == g.l.any() == learns


def test_first_weights():
    """Half-lives of 6.6 tokens; filters and questions large enough for a gradient; none of them for muon, no filter decays"""
    for name, leaf, std in (("gla", "f", 8 ** -0.5), ("latent", "z", 1.0), ("latent", "r", 1.0)):
        cfg = Config(c_attention=name, n_emb=512, head_size=512, s_kernel=8, n_latents=8)
        spec = variant("attentions", name).params(cfg)
        p = tree.views(spec, tree.init(spec, np.random.default_rng(0), np.float64))
        assert p[leaf].shape == (8, 512) and abs(p[leaf].std() / std - 1) < 0.05 and abs(p.wo.std() / 0.02 * 8 ** 0.5 - 1) < 0.02
        assert spec[leaf].kind != "matrix" and (spec[leaf].kind in flat_vector.DECAYED_KINDS) == (name == "latent")
    for name in ("decay", "rfa"):
        spec = variant("attentions", name).params(laws.config())
        p = tree.views(spec, tree.init(spec, np.random.default_rng(0), np.float64))
        assert np.abs(1 / (1 + np.exp(-p.l)) - 0.9).max() < 1e-12 and p.l.shape == (4,)


# planted mistakes

LAYERS = [
    ("attentions.swa", "last=W - 1", "last=W - 2", "decoding", {}),
    ("attentions.swa", "k, v, scale, W,", "k, v, scale, W + 1,", "formula", {}),
    ("attentions.swa", "/ ctx.cfg.r_temp", "", "formula", {}),
    ("attentions.swa", "return back_qkv(dq, dk, dv, g)", "return back_qkv(dq, dk, 0 * dv, g)", "gradient", {}),
    ("attentions.decay", "back_lambda(dln_lambda)", "dln_lambda", "gradient", {}),
    ("attentions.decay", 'ctx.recall("mean")', "None", "decoding", {}),
    ("attentions.aft", "dk * scale", "dk", "gradient", {}),
    ("attentions.aft", "back_o(back_drop(do))", "back_o(do)", "gradient", dict(r_dropout=0.3)),
    ("attentions.gla", "[dkv * v, dkv * k]", "[dkv * k, dkv * v]", "gradient", {}),
    ("attentions.gla", "last=ctx.cfg.s_kernel - 1", "last=ctx.cfg.s_kernel - 2", "decoding", {}),
    ("attentions.latent", "de += back_weight(-db * u)", "pass", "gradient", {}),
    ("attentions.latent", "u = b / weight", "u = b / weight[..., -1:, :]", "causality", {}),
    ("attentions.latent", "latent_queries(p.r, h)", "latent_queries(p.z, h)", "formula", {}),
    ("attentions.lin", "d:] + 1e-6", "d:] + 1e-3", "formula", {}),
    ("attentions.lin", "[dv, -(dv * o).sum(-1, keepdims=True)]", "[dv, 0 * dv[..., :1]]", "gradient", {}),
    ("attentions.lin", "back_q(dq), back_k(dk)", "back_k(dq), back_q(dk)", "gradient", {}),
    ("attentions.lin", 'ctx.recall("sums")', "None", "decoding", {}),
    ("attentions.rfa", "n = k.shape[2] - W", "n = k.shape[2] - W - 1", "formula decoding", {}),
    ("attentions.rfa", "last=ctx.cfg.s_window", "last=ctx.cfg.s_window - 1", "decoding", {}),
    ("attentions.rfa", "dln_sum[last] = -ds", "pass", "gradient", {}),
    ("attentions.rfa", "dnear[last] *= 1 - a", "pass", "gradient", {}),
    ("attentions.rfa", "a_dropped, back_drop = ctx.dropout(a)", "a_dropped, back_drop = a, ctx.dropout(a)[1]", "gradient",
     dict(r_dropout=0.3)),
    ("attentions.rfa", "* scale - ln_sum[last]", "- ln_sum[last]", "formula", {}),
    ("attentions.rfa", "ctx.keep(mean=state)", "pass", "decoding", {}),
    ("networks.nft", "back_m(dm)", "back_m(do)", "gradient", {}),
    ("networks.nft", "kvq[..., 2 * D:])", "kvq[..., :D])", "formula", {}),
]
PRIMITIVES = [
    ("decay", "discounted_mean", "xp.arange(1, x.shape[-2] + 1,", "xp.arange(0, x.shape[-2],", "decoding"),
    ("decay", "discounted_mean", "scan(z, w)[:, :-1] / z[:, 1:]", "scan(z, w)[:, 1:] / z[:, 1:]", "gradient"),
    ("decay", "discounted_mean", "xp.exp(w * (i + 1))", "xp.exp(w * i)", "formula"),
    ("decay", "discounted_mean", "C * w)[..., :-1", "w)[..., :-1", "formula"),
    ("decay", "discounted_mean", "weights = xp.tri(C, dtype", "weights = xp.tri(C, k=1, dtype", "causality formula"),
    ("aft", "running_mean", "* (xp.abs(x) < limit)", "", "gradient"),
    ("aft", "running_mean", "dn * v + dd", "dn * v", "gradient"),
    ("gla", "causal_filter", "y += xs[:, earlier(i)]", "y += xs[:, earlier(0)]", "formula"),
    ("gla", "causal_filter", "return dx[:, padding:], df", "return dx[:, :dx.shape[1] - padding], df", "gradient"),
    ("lin", "elu_plus_one", "dy * xp.minimum(y, 1)", "dy", "gradient"),
    ("latent", "linear_attention", "vs @ after.swapaxes(-1, -2)", "0 * (vs @ after.swapaxes(-1, -2))", "gradient"),
    ("latent", "linear_attention", "a *= mask", "pass", "causality"),
    ("latent", "linear_attention", "sums += past", "sums = sums + 0 * past", "decoding"),
    ("rfa", "window_attention", "ds += deep(dln_sum)[..., r, :]", "pass", "gradient"),
    ("swa", "window_attention", "& (distances < window)", "& (distances <= window)", "formula"),
    ("swa", "window_attention", "(distances >= 0)", "(distances >= -1)", "causality"),
    ("swa", "window_attention", "dq *= scale", "pass", "gradient"),
    ("swa", "window_attention", "dk[..., c, :] +=", "dk[..., c, :] =", "gradient"),
]


def verdict(law, name, cfg, layer, label):
    """How far the law is broken: 0 is innocent. `label`: under which name the layer is found"""
    if law == "gradient":
        return laws.gradient(layer, cfg, x_size=6.0, T=7)        # large enough for clips, long enough for memories
    if law == "formula":
        return apart(name, cfg, layer=layer, T=9)
    wanted = cfg.model_copy(update={laws.KEYS[folder(name)]: label})
    return dict(decoding=laws.decoding, causality=laws.causality)[law](wanted)


@pytest.mark.parametrize("where, old, new, by, more", LAYERS, ids=[f"{where}: {new[:40]}" for where, _, new, _, _ in LAYERS])
def test_a_broken_layer_is_caught(where, old, new, by, more, monkeypatch):
    name = where.split(".")[1]
    right = import_module(f"littlebaby.model.{where}")
    copy = broken(right, old, new)
    monkeypatch.setitem(sys.modules, f"littlebaby.model.{where}_broken", copy)
    context.variant.cache_clear()
    cfg = small(name, s_window=3, s_kernel=3, **more)
    for law in by.split():
        assert verdict(law, name, cfg, right, name) < 1e-6 < verdict(law, name, cfg, copy, f"{name}_broken")


@pytest.mark.parametrize("name, primitive, old, new, by", PRIMITIVES, ids=[f"{each[0]}: {each[3][:40]}" for each in PRIMITIVES])
def test_a_broken_primitive_is_caught(name, primitive, old, new, by, monkeypatch):
    layer, cfg = variant(folder(name), name), small(name, s_window=3, s_kernel=3, r_temp=0.3)
    monkeypatch.setattr(scans, "BLOCK", 2)
    assert all(verdict(law, name, cfg, layer, name) < 1e-6 for law in by.split())
    copy = broken(scans, old, new)
    copy.BLOCK = 2
    monkeypatch.setattr(layer, primitive, getattr(copy, primitive))
    assert all(verdict(law, name, cfg, layer, name) > 1e-6 for law in by.split())
