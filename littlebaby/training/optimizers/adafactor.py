"""adafactor: mean squared gradients stored as one number per row and one per column.

Every matrix changes by at most a fraction lr of its own size. For a matrix (n, m) AdamW keeps n m mean squares; here they are the outer
product of the means of rows and columns, which is exact if the squares have rank 1. A vector keeps all of its own. There is no momentum.

    b = 1 - t^-`r_factor_decay`         t: number of the step, so the mean covers more and more steps
    R <- b R + (1 - b) mean_j g_ij^2    C <- b C + (1 - b) mean_i g_ij^2         (n), (m)
    V = R C' / mean R                   (n, m)
    u = g / sqrt(V)                     u <- u / max(1, rms(u) / `r_factor_clip`)
    p <- p (1 - lr r_weight_decay)      weight decay, of matrices, tables and heads only, independent of the gradient
    p <- p - min(lr, 1 / sqrt(t)) max(rms(p), `r_factor_least`) u

rms(x) is the root of the mean square of all numbers of a matrix or vector: the step is a fraction lr of the size of the weights.
Equal to torch.optim.Adafactor. State: n + m numbers for a matrix (n, m).
Shazeer & Stern 2018, arXiv 1804.04235, without its momentum.
"""
from math import sqrt
from typing import Any

import numpy as np

from ...arrays.backend import xp
from ..flat import DECAYED_KINDS, parts

OPTIONS = dict(
    r_factor_decay=(0.8, "adafactor: the mean square of step t forgets the fraction t^-r_factor_decay.", (0.1, 2)),
    r_factor_clip=(1.0, "adafactor: largest root mean square of an update, before it is scaled by the size of the weights.", (1e-3, 1000)),
    r_factor_least=(1e-3, "adafactor: size that weights have at least where a step is a fraction of it, so that weights at 0 can begin.",
                    (1e-12, 1)))
LEAST = np.finfo(np.float32).eps         # of a mean of squares, which divides


def state(spec: Any, dtype: Any) -> dict:
    """{"rows", "columns"}: the means of all matrices, concatenated; {"v"}: those of vectors; "t": number of steps so far"""
    found = places(spec)
    total = lambda key: xp.zeros(max((each[key][1] for each in found), default=0), dtype)
    return dict(rows=total("rows"), columns=total("columns"), v=total("v"), t=0)


def places(spec: Any) -> list[dict]:
    """For every trainable matrix, vector and part of a fused matrix: dict(at, the range of its leaf in the flat vector; shape, of the leaf;
    part, its columns; decayed; and its ranges in the arrays of the state)"""
    found, ends = [], dict(rows=0, columns=0, v=0)

    def next_range(key: str, n: int) -> tuple[int, int]:
        ends[key] += n
        return ends[key] - n, ends[key]

    for leaf, at, part in parts(spec):
        width = part.stop - part.start
        sizes = dict(rows=0, columns=0, v=width) if len(leaf.shape) == 1 else dict(rows=leaf.shape[0], columns=width, v=0)
        found.append(dict(at=at, shape=leaf.shape, part=part, decayed=leaf.kind in DECAYED_KINDS,
                          **{key: next_range(key, n) for key, n in sizes.items()}))
    return found


def step(flat: Any, grad: Any, state: dict, spec: Any, cfg: Any, lr: float, workers: Any = None) -> None:
    """Update flat (n,), the trainable weights, and state in place. grad: (n,), is not changed; lr: learning rate of this step"""
    state["t"] += 1
    forgotten, rate = state["t"] ** -cfg.r_factor_decay, min(lr, 1 / sqrt(state["t"]))
    found = places(spec)

    def update(i):
        for part in found[i::workers.n if workers else 1]:
            p, g = (a[slice(*part["at"])].reshape(part["shape"])[..., part["part"]] for a in (flat, grad))
            rows, columns, v = (state[key][slice(*part[key])] for key in ("rows", "columns", "v"))
            squares = g * g
            if g.ndim == 1:
                v += forgotten * (squares - v)
                mean_square = v
            else:
                rows += forgotten * (squares.mean(1) - rows)                     # (n, m) -> (n)
                columns += forgotten * (squares.mean(0) - columns)               # (n, m) -> (m)
                mean_square = rows[:, None] * (columns / max(float(rows.mean()), LEAST))         # (n), (m) -> (n, m)
            u = g / xp.sqrt(xp.maximum(mean_square, LEAST ** 2))
            size = max(rms(p), cfg.r_factor_least)
            if part["decayed"]:
                p *= 1 - lr * cfg.r_weight_decay
            p -= rate * size / max(1.0, rms(u) / cfg.r_factor_clip) * u

    if workers:
        workers.run(update)
    else:
        update(0)


def rms(x: Any) -> float:
    """The root mean square"""
    return float(xp.sqrt(xp.mean(x * x)))
