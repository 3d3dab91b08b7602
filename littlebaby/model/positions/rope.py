"""rope: rotary positions.

Queries and keys are turned, pair by pair, by an angle that grows with the position; a score then depends on the distance alone:
    (u, v)_i -> (u cos - v sin, u sin + v cos)        angle = t base^(-2i/d)        base = `rope_base`
`rope_layout` says which numbers form a pair: interleaved (2i, 2i + 1) or half (i, i + d/2); the two are not weight-compatible.

A model that learned n = `n_rope_ctx` tokens reads f = `r_rope_factor` times as many when its pairs turn f times slower, as in the mean
of both speeds: angle (s + (1 - s) / f), where `c_rope_scale` says what share s keeps its speed:
    linear    none                        llama3    a pair with c turns in n tokens: (c - slow) / (fast - slow), between 0 and 1
    yarn      from 1 to 0 along the pairs i, between those with `r_rope_fast` and with `r_rope_slow` turns; cos and sin times `r_rope_gain`

Cost O(B T H).  Cache per token 0.  Tables are made in float64 whatever the model's type.
Su et al. 2021, arXiv:2104.09864; linear: Chen et al. 2023, arXiv:2306.15595; yarn: Peng et al. 2023, arXiv:2309.00071.
"""
from functools import lru_cache
from math import ceil, floor, log, pi
from typing import NamedTuple

from ...arrays import rotate as turn
from ...arrays.backend import on_cpu, xp


class Rule(NamedTuple):
    """How fast the pairs turn"""
    base: float
    scale: str
    factor: float
    n: int           # tokens
    slow: float      # turns in n tokens
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
    """cos and sin of every angle, (n_ctx, d/2) each; `here` keeps the tables of two devices apart"""
    speed = rule.base ** (-xp.arange(0, d, 2, dtype="float64") / d)               # (d/2)
    s = speed_factors(d, speed, rule)
    angle = xp.outer(xp.arange(n_ctx, dtype="float64"), speed * (s + (1 - s) / rule.factor))
    return (rule.gain * xp.cos(angle)).astype(dtype), (rule.gain * xp.sin(angle)).astype(dtype)


def speed_factors(d, speed, rule):
    """The share of its speed that each pair keeps, (d/2); or of all of them"""
    if rule.scale == "llama3":
        return xp.clip((rule.n * speed / (2 * pi) - rule.slow) / (rule.fast - rule.slow), 0, 1)
    if rule.scale == "yarn":
        pair = lambda turns: d * log(rule.n / (2 * pi * turns)) / (2 * log(rule.base))
        first, last = max(floor(pair(rule.fast)), 0), min(ceil(pair(rule.slow)), d - 1)
        return 1 - xp.clip((xp.arange(d // 2, dtype="float64") - first) / max(last - first, 0.001), 0, 1)
    return 0.0 if rule.scale == "linear" else 1.0
