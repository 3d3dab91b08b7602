"""The same model in another form: what a foreign architecture lacks is expressed in what it has. Each gives (Config, {our name: array}).

The functions computed are equal, to rounding; no table of names need know of any of this.
"""
import numpy as np

from ...errors import BadInput
from .weight_table import shapes


def pairs(cfg, weights, layout):
    """rope's pairs in another layout: the columns of queries and keys change places inside each head"""
    if cfg.rope_layout == layout:
        return cfg, weights
    d, out = cfg.head_width, dict(weights)
    inner = (d // 2, 2) if layout == "half" else (2, d // 2)
    for name, w in weights.items():
        if name.rpartition(".")[2] in ("wq", "wk", "bq", "bk"):
            apart = np.asarray(w).reshape(*w.shape[:-1], -1, *inner)             # (..., h d) -> (..., h, d/2, 2) or (..., h, 2, d/2)
            out[name] = np.moveaxis(apart, -1, -2).reshape(w.shape)
    return cfg.replace(rope_layout=layout), out


def biased(cfg, weights, **more):
    """Every bias that `more` asks for beside those there are: new ones are zero"""
    fuller = cfg.replace(**more)
    missing = {name: np.zeros(shape, "f4") for name, shape in shapes(fuller).items() if name not in weights}
    return fuller, weights | missing


def without_head_bias(cfg, weights):
    """The head's bias inside the head's matrix.

    A layernorm leaves out one direction: z sums to 0, so for y = z g + b the sum of y_i / g_i is the same for every token, and a column
    that looks along 1 / g sees a constant. W' = W + (1/g) u' puts the bias there, after b has been moved away from where that sum is 0.
    """
    if "head.b" not in weights:
        return cfg, weights
    out = {name: w for name, w in weights.items() if name != "head.b"}
    g, b, bias = (np.asarray(weights[name], "f8") for name in ("norm.w", "norm.b", "head.b"))
    w = np.asarray(weights["head.w"] if "head.w" in weights else np.asarray(weights["token"]).T, "f8")       # (D, V)
    if np.abs(g).min() < 1e-3 * np.abs(g).max():
        raise BadInput("the last norm silences a channel, so that the head's bias finds no room in its matrix")
    step = g if (b / g).sum() >= 0 else -g
    moved = b + step
    u = (bias - step @ w) / (moved / g).sum()
    kind = np.asarray(weights["norm.w"]).dtype
    out |= {"norm.b": moved.astype(kind), "head.w": (w + np.outer(1 / g, u)).astype(kind)}
    return cfg.replace(c_bias="none" if cfg.c_bias == "none" else "all", b_bias_head=False, b_tied=False), out


def with_end(cfg, weights):
    """One token more, for an end that the model has never seen: its row is the mean of all rows, and so its score the mean of all
    scores, which is never the highest"""
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
