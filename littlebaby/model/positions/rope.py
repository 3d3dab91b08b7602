"""rope: rotary positions.

Queries and keys are turned, pair by pair, by an angle that grows with the position; a score then depends on the distance alone:
    (u, v)_i -> (u cos - v sin, u sin + v cos)        angle = t base^(-2i/d)        base = `rope_base`
`rope_layout` says which numbers form a pair: interleaved (2i, 2i + 1) or half (i, i + d/2); the two are not weight-compatible.

Cost O(B T H).  Cache per token 0.  Tables are made in float64 whatever the model's type.
Su et al. 2021, arXiv:2104.09864.
"""
from functools import lru_cache

from ...arrays import rotate as turn
from ...arrays.backend import on_cpu, xp


def params(cfg):
    return {}


def forward(p, x, ctx):
    return x, lambda dy, g: dy


def rotate(x, ctx):
    T, d = x.shape[-2:]                                          # (B, h, T, d)
    cos, sin = tables(d, ctx.cfg.n_ctx, float(ctx.cfg.rope_base), x.dtype.name, on_cpu())
    here = slice(ctx.start, ctx.start + T)
    return turn(x, cos[here], sin[here], ctx.cfg.rope_layout)


@lru_cache(32)
def tables(d, n_ctx, base, dtype, here):
    """cos and sin of every angle, (n_ctx, d/2) each; `here` keeps the tables of two devices apart"""
    angle = xp.outer(xp.arange(n_ctx, dtype="float64"), base ** (-xp.arange(0, d, 2, dtype="float64") / d))
    return xp.cos(angle).astype(dtype), xp.sin(angle).astype(dtype)
