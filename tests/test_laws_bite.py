"""The laws detect mistakes: each test changes a copy of a file in one place and requires that a law fails for the copy.

The mistakes are those of check/mistakes.py, which `walk` can plant too.
"""
import sys
from importlib import import_module

import numpy as np
import pytest

from littlebaby.arrays import kernels
from littlebaby.check import laws, mistakes
from littlebaby.model import context

LAYERS = [mistake for mistake in mistakes.PLANTED if mistake.where != "kernels"]
PRIMITIVES = [mistake for mistake in mistakes.PLANTED if mistake.where == "kernels"]


def formula_error(cfg):
    """The largest difference between the output of mha and its formula in plain NumPy"""
    layer = context.variant("attentions", cfg.c_attention)
    s = laws.random_layer(layer, cfg)
    w, h = laws.tree.named(s.spec, s.flat), cfg.n_heads
    q, k, v = (np.moveaxis((s.x @ w[name]).reshape(2, 5, h, -1), 2, 1) for name in ("wq", "wk", "wv"))
    e = np.exp(q @ k.swapaxes(-1, -2) / (q.shape[-1] ** 0.5 * cfg.r_temp)) * np.tri(5)
    o = np.moveaxis(e / e.sum(-1, keepdims=True) @ v, 1, 2).reshape(2, 5, -1)
    return np.abs(layer.forward(s.p, s.x, laws.Context(cfg))[0] - o @ w["wo"] - w["bo"]).max()


def law_error(law, folder, name, cfg):
    """The error that a law finds in a variant; 0 if the law holds exactly"""
    if law == "gradient":
        return laws.gradient(context.variant(folder, name), cfg)
    if law == "life":
        return float(len(laws.life(cfg)))
    return dict(decoding=laws.decoding, causality=laws.causality, formula=formula_error)[law](cfg)


@pytest.mark.parametrize("mistake", LAYERS, ids=[f"{each.where}: {each.name}" for each in LAYERS])
def test_a_broken_layer_is_caught(mistake, monkeypatch):
    folder, name = mistake.where.split(".")
    monkeypatch.setitem(sys.modules, f"littlebaby.model.{mistake.where}_broken", mistakes.planted(mistake))
    context.variant.cache_clear()
    right = laws.config(folder, name, **mistake.settings)
    wrong = right.model_copy(update={laws.KEYS[folder]: f"{name}_broken"})
    for law in mistake.by.split():
        assert law_error(law, folder, name, right) < 1e-6 < law_error(law, folder, f"{name}_broken", wrong)


@pytest.mark.parametrize("mistake", PRIMITIVES, ids=[each.name for each in PRIMITIVES])
def test_a_broken_attention_is_caught(mistake, monkeypatch):
    monkeypatch.setattr(kernels, "BLOCK", mistakes.SMALL_BLOCK)
    monkeypatch.setattr(kernels, "SAFE", mistakes.SMALL_SAFE)
    cfg = laws.config(r_dropout=0.3 if mistake.by == "gradient" else 0.0)
    assert law_error(mistake.by, "attentions", "mha", cfg) < (1e-6 if mistake.by == "gradient" else 1e-300)
    monkeypatch.setattr(import_module("littlebaby.model.attentions.mha"), "attention", mistakes.planted(mistake).attention)
    assert law_error(mistake.by, "attentions", "mha", cfg) > (1e-6 if mistake.by == "gradient" else 0)
