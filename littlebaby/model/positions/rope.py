"""rope: rotary positions.

Each pair of numbers of queries and keys is rotated by an angle in proportion to the position, so a score depends on positions only through
their distance:
    (u, v)_i -> (u cos - v sin, u sin + v cos)        angle = t base^(-2i/d)        base = `rope_base`
`rope_layout` says which numbers form a pair: interleaved (2i, 2i + 1) or half (i, i + d/2). Weights of one layout do not fit the other.

A model trained on n = `n_rope_ctx` tokens can be used on f = `r_rope_factor` times as many, if its pairs rotate more slowly: by
angle (s + (1 - s) / f), where s is 1 for a pair that keeps its speed and 0 for one that is f times slower. `c_rope_scale` gives s:
    linear    0                           llama3    for a pair with c rotations in n tokens: (c - slow) / (fast - slow), clipped to 0 ... 1
    yarn      falls from 1 to 0 between the pairs i with `r_rope_fast` and `r_rope_slow` rotations; cos and sin times `r_rope_gain`

Cost O(B T H).  Cache per token 0.  The tables are computed in float64 for every d_type.
Su et al. 2021, arXiv:2104.09864; linear: Chen et al. 2023, arXiv:2306.15595; yarn: Peng et al. 2023, arXiv:2309.00071.
"""
from functools import lru_cache
from math import ceil, floor, log, pi
from typing import NamedTuple

from ...arrays import rotate as turn
from ...arrays.backend import on_cpu, xp


class Rule(NamedTuple):
    """The settings that determine the angles"""
    base: float
    scale: str
    factor: float
    n: int           # tokens
    slow: float      # rotations in n tokens
    fast: float
    gain: float


def params(cfg):
    return {}


def forward(p, x, ctx):
    return x, lambda dy, g: dy


def rotate(x, ctx):
    T, d = x.shape[-2:]                                          # (B, h, T, d)
    cos, sin = cos_sin_tables(d, ctx.cfg.n_ctx, rule(ctx.cfg), x.dtype.name, on_cpu())
    here = slice(ctx.start, ctx.start + T)
    return turn(x, cos[here], sin[here], ctx.cfg.rope_layout)


def rule(cfg):
    return Rule(cfg.rope_base, cfg.c_rope_scale, cfg.r_rope_factor, cfg.n_rope_ctx, cfg.r_rope_slow, cfg.r_rope_fast, cfg.r_rope_gain)


@lru_cache(32)
def cos_sin_tables(d, n_ctx, rule, dtype, here):
    """cos and sin of every angle, (n_ctx, d/2) each; `here` is part of the cache's key, so that each device has tables of its own"""
    speed = rule.base ** (-xp.arange(0, d, 2, dtype="float64") / d)               # (d/2)
    s = speed_factors(d, speed, rule)
    angle = xp.outer(xp.arange(n_ctx, dtype="float64"), speed * (s + (1 - s) / rule.factor))
    return (rule.gain * xp.cos(angle)).astype(dtype), (rule.gain * xp.sin(angle)).astype(dtype)


def speed_factors(d, speed, rule):
    """s of each pair, (d/2,), or one number for all pairs"""
    if rule.scale == "llama3":
        return xp.clip((rule.n * speed / (2 * pi) - rule.slow) / (rule.fast - rule.slow), 0, 1)
    if rule.scale == "yarn":
        pair = lambda turns: d * log(rule.n / (2 * pi * turns)) / (2 * log(rule.base))
        first, last = max(floor(pair(rule.fast)), 0), min(ceil(pair(rule.slow)), d - 1)
        return 1 - xp.clip((xp.arange(d // 2, dtype="float64") - first) / max(last - first, 0.001), 0, 1)
    return 0.0 if rule.scale == "linear" else 1.0
