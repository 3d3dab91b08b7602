"""Laws that let a mistake pass are worth nothing: here a copy of each file is broken in one place, and a law must notice.

A planted mistake is (file, the text as it stands, the broken text, the laws that may notice, settings).
"""
import sys
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest

from littlebaby.arrays import kernels
from littlebaby.model import context
from littlebaby.show import laws

LAYERS = [
    ("attentions.mha", "(H // h) ** -0.5 / ctx.cfg.r_temp", "(H // h) ** -0.5", "formula", dict(r_temp=1.7)),
    ("attentions.mha", "back_rq(dq), back_rk(dk), dv)", "dq, back_rk(dk), dv)", "gradient", dict(c_position="rope")),
    ("attentions.mha", "merge_heads(back_rq(dq), back_rk(dk), dv)", "merge_heads(back_rk(dk), back_rq(dq), dv)", "gradient", {}),
    ("attentions.mha", "split_heads(qkv[..., H:H + K], h * K // H)", "split_heads(qkv[..., K:H + K] * 0.99, h * K // H)", "formula", {}),
    ("attentions.mha", "back_y(back_drop(dy))", "back_y(dy)", "gradient", dict(r_dropout=0.3)),
    ("attentions.mha", "k, v = ctx.extend(k=k, v=v)", "k, v = ctx.extend(last=4, k=k, v=v)", "decoding", {}),
    ("attentions.mha", "g.wo += dwo", "pass", "gradient life", {}),
    ("attentions.mha", "return dx\n", "return dx * 0.5\n", "gradient", {}),
    ("networks.mlp", "back_up(back_act(da))", "back_up(da)", "gradient", {}),
    ("networks.mlp", "g.b1 += db1[0]", "g.b1 += 2 * db1[0]", "gradient", {}),
    ("networks.swi", "swiglu(w[..., :F], w[..., F:])", "swiglu(w[..., :F], w[..., :F])", "gradient", {}),
    ("norms.layernorm", "g.b += db", "g.b += dw", "gradient", {}),
    ("norms.rmsnorm", "rmsnorm(x, p.w", "rmsnorm(x + 1e-3 * x[:, ::-1], p.w", "causality", {}),
    ("positions.learned", "back(dy.sum(0))", "back(dy[0])", "gradient", {}),
    ("positions.learned", "ctx.start, ctx.start + x.shape[1]", "0, x.shape[1]", "decoding", {}),
    ("positions.rope", "slice(ctx.start, ctx.start + T)", "slice(0, T)", "decoding", {}),
]
PRIMITIVES = [
    ("da -= mean[..., i:e, :]", "da -= 0", "gradient"),                                    # the missing softmax term
    ("dq *= scale\n        return", "return", "gradient"),                                 # the lost scale
    ("s[..., past + i:] += triangle(e - i, q.dtype)", "s[..., past + i:] += 0 * triangle(e - i, q.dtype)", "causality"),
    ("np.triu(np.full((n, n), MASKED, dtype), 1)", "np.triu(np.full((n, n), MASKED, dtype), 2)", "causality"),    # off by one
    ("a = s * keep", "a = s", "gradient"),                                                 # dropout forgotten on one path
    ("da *= keep", "pass", "gradient"),
    ("out[..., :stop, :] += d", "out[..., :stop, :] = d", "gradient"),                     # a block's share overwritten
    ("np.maximum.accumulate(np.vecdot(k5, k5), -1)", "np.broadcast_to(np.vecdot(k5, k5).max(-1, keepdims=True), k5.shape[:-1])",
     "causality"),                                                                         # a bound that reads later keys
]


def broken(module, old, new):
    """A copy of a module with one place broken, under the name NAME_broken beside it"""
    source = open(module.__file__).read()
    assert old in source, f"{module.__name__} no longer says {old!r}: plant the mistake anew"
    copy = ModuleType(f"{module.__name__}_broken")
    copy.__package__, copy.__file__ = module.__package__, module.__file__
    exec(compile(source.replace(old, new, 1), copy.__name__, "exec"), copy.__dict__)
    return copy


def formula(cfg):
    """What mha computes against its formula, in three lines of plain NumPy"""
    layer = context.variant("attentions", cfg.c_attention)
    s = laws.start(layer, cfg)
    w, h = laws.tree.named(s.spec, s.flat), cfg.n_heads
    q, k, v = (np.moveaxis((s.x @ w[name]).reshape(2, 5, h, -1), 2, 1) for name in ("wq", "wk", "wv"))
    e = np.exp(q @ k.swapaxes(-1, -2) / (q.shape[-1] ** 0.5 * cfg.r_temp)) * np.tri(5)
    o = np.moveaxis(e / e.sum(-1, keepdims=True) @ v, 1, 2).reshape(2, 5, -1)
    return np.abs(layer.forward(s.p, s.x, laws.Context(cfg))[0] - o @ w["wo"] - w["bo"]).max()


def verdict(law, folder, name, cfg):
    """How far the law is broken: 0 is innocent"""
    if law == "gradient":
        return laws.gradient(context.variant(folder, name), cfg)
    if law == "life":
        return float(len(laws.life(cfg)))
    return dict(decoding=laws.decoding, causality=laws.causality, formula=formula)[law](cfg)


@pytest.mark.parametrize("where, old, new, by, more", LAYERS, ids=[f"{where}: {new[:40]}" for where, _, new, _, _ in LAYERS])
def test_a_broken_layer_is_caught(where, old, new, by, more, monkeypatch):
    folder, name = where.split(".")
    copy = broken(import_module(f"littlebaby.model.{where}"), old, new)
    monkeypatch.setitem(sys.modules, f"littlebaby.model.{where}_broken", copy)
    context.variant.cache_clear()
    right = laws.config(folder, name, **more)
    wrong = right.model_copy(update={laws.KEYS[folder]: f"{name}_broken"})
    for law in by.split():
        assert verdict(law, folder, name, right) < 1e-6 < verdict(law, folder, f"{name}_broken", wrong)


@pytest.mark.parametrize("old, new, by", PRIMITIVES, ids=[new[:40] for _, new, _ in PRIMITIVES])
def test_a_broken_attention_is_caught(old, new, by, monkeypatch):
    monkeypatch.setattr(kernels, "BLOCK", 2)
    monkeypatch.setattr(kernels, "SAFE", 1.0)
    cfg = laws.config(r_dropout=0.3 if by == "gradient" else 0.0)
    assert verdict(by, "attentions", "mha", cfg) < (1e-6 if by == "gradient" else 1e-300)
    copy = broken(kernels, old, new)
    copy.BLOCK, copy.SAFE = 2, 1.0
    monkeypatch.setattr(import_module("littlebaby.model.attentions.mha"), "attention", copy.attention)
    assert verdict(by, "attentions", "mha", cfg) > (1e-6 if by == "gradient" else 0)
