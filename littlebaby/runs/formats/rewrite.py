"""The same model in another form: what a foreign architecture lacks is expressed by what it has. Each function returns (config, weights).

Weights are {our name: array}. Before and after, the models compute the same function up to rounding; the weight tables need not know of
these changes.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import BadInput
from ..settings import Config
from .weight_table import shapes

Weights = Mapping[str, np.ndarray]


def pairs(cfg: Config, weights: Weights, layout: str) -> tuple[Config, Weights]:
    """Another layout of the pairs that rope rotates, "half" or "interleaved": the columns of queries and keys are permuted in each head"""
    if cfg.rope_layout == layout:
        return cfg, weights
    d, out = cfg.head_width, dict(weights)
    inner = (d // 2, 2) if layout == "half" else (2, d // 2)
    for name, w in weights.items():
        if name.rpartition(".")[2] in ("wq", "wk", "bq", "bk"):
            by_pair = np.asarray(w).reshape(*w.shape[:-1], -1, *inner)           # (..., h d) -> (..., h, d/2, 2) or (..., h, 2, d/2)
            out[name] = np.moveaxis(by_pair, -1, -2).reshape(w.shape)
    return cfg.replace(rope_layout=layout), out


def biased(cfg: Config, weights: Weights, **settings: Any) -> tuple[Config, Weights]:
    """Zero biases wherever a model with these settings has a bias and `weights` has none"""
    with_biases = cfg.replace(**settings)
    missing = {name: np.zeros(shape, "f4") for name, shape in shapes(with_biases).items() if name not in weights}
    return with_biases, {**weights, **missing}


def without_head_bias(cfg: Config, weights: Weights) -> tuple[Config, Weights]:
    """The head's bias absorbed by the head's matrix, which requires that the last norm is a layernorm

    A layernorm leaves out one direction: z sums to 0, so for y = z g + b the sum of y_i / g_i is the same for every token, and a column
    along 1 / g gives a constant. W' = W + (1/g) u' adds the bias u that way, after b has been moved away from where that sum is 0.
    BadInput where g is nearly 0 in some channel.
    """
    if "head.b" not in weights:
        return cfg, weights
    out = {name: w for name, w in weights.items() if name != "head.b"}
    g, b, bias = (np.asarray(weights[name], "f8") for name in ("norm.w", "norm.b", "head.b"))
    w = np.asarray(weights["head.w"] if "head.w" in weights else np.asarray(weights["token"]).T, "f8")       # (D, V)
    if np.abs(g).min() < 1e-3 * np.abs(g).max():
        raise BadInput("the weight of the last norm is nearly 0 in a channel, so the head's matrix cannot absorb the head's bias")
    step = g if (b / g).sum() >= 0 else -g
    moved = b + step
    u = (bias - step @ w) / (moved / g).sum()
    dtype = np.asarray(weights["norm.w"]).dtype
    out |= {"norm.b": moved.astype(dtype), "head.w": (w + np.outer(1 / g, u)).astype(dtype)}
    return cfg.replace(c_bias="none" if cfg.c_bias == "none" else "all", b_bias_head=False, b_tied=False), out


def with_end(cfg: Config, weights: Weights) -> tuple[Config, Weights]:
    """One more token in the vocabulary, an end-of-text token that the model has never seen

    Its row is the mean of all rows, so its logit is the mean of all logits, which is never the highest.
    """
    out = dict(weights)
    token = np.asarray(weights["token"])
    out["token"] = np.concatenate([token, token.mean(0, keepdims=True)])
    if "head.w" in weights:
        w = np.asarray(weights["head.w"])
        out["head.w"] = np.concatenate([w, w.mean(1, keepdims=True)], 1)
    if "head.b" in weights:
        bias = np.asarray(weights["head.b"])
        out["head.b"] = np.append(bias, bias.mean()).astype(bias.dtype)
    return cfg.replace(n_vocab=cfg.n_vocab + 1), out
