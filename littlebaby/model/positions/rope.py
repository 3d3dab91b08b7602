"""rope: rotary positions.

Each pair of numbers of queries and keys is rotated by an angle in proportion to the position, so a score depends on positions only through
their distance:
    (u, v)_i -> (u cos - v sin, u sin + v cos)        angle = t base^(-2i/d)        base = `rope_base`
`rope_layout` determines which numbers form a pair: interleaved (2i, 2i + 1) or half (i, i + d/2). Weights trained with one layout do not
work with the other.

A model trained on n = `n_rope_ctx` tokens can be used on f = `r_rope_factor` times as many, if its pairs rotate more slowly: by
angle (s + (1 - s) / f), where s is 1 for a pair that keeps its speed and 0 for one that is f times slower. `c_rope_scale` determines s:
    linear    0
    llama3    for a pair with c rotations in n tokens: (c - slow) / (fast - slow), clipped to 0 ... 1; `r_rope_slow` and `r_rope_fast`
    yarn      falls from 1 to 0 between the pairs i with `r_rope_fast` and `r_rope_slow` rotations; cos and sin times `r_rope_gain`

Cost O(B T H).  Cache per token 0.  The tables are computed in float64 for every d_type.
Su et al. 2021, arXiv:2104.09864; linear: Chen et al. 2023, arXiv:2306.15595; yarn: Peng et al. 2023, arXiv:2309.00071.
"""
from functools import lru_cache
from math import ceil, floor, log, pi
from typing import NamedTuple

from ...arrays import rotate as rotate_pairs
from ...arrays.backend import on_cpu, xp
from ..context import variant

OPTIONS = dict(
    rope_base=(10000.0, "Base of the angles: with a larger base pairs rotate more slowly, for longer contexts.", (1, 10**9)),
    rope_layout=("half", "Numbers that form a pair: i and i + d/2 as in Llama (half), or neighbours (interleaved).",
                 ("half", "interleaved")),
    c_rope_scale=("none", "Slower rotation for a longer context than in training: of no pair (none), all pairs (linear), or slow pairs "
                          "only, by the rule of Llama 3 (llama3) or of the YaRN paper (yarn).", ("none", "linear", "llama3", "yarn")),
    r_rope_factor=(1.0, "Factor by which c_rope_scale slows rotation and extends the context.", (1, 2**16)),
    n_rope_ctx=(0, "The context length before c_rope_scale; 0 means n_ctx / r_rope_factor.", (0, 2**20), "tokens"),
    r_rope_slow=(1.0, "Pairs with fewer rotations than this in n_rope_ctx tokens are slowed by the whole r_rope_factor.", (0.001, 2**16)),
    r_rope_fast=(0.0, "Pairs with more rotations than this keep their speed; 0 means 4 for llama3 and 32 for yarn.", (0, 2**16)),
    r_rope_gain=(0.0, "Factor on rotated queries and keys; 0 means 1, and for yarn 1 + ln(r_rope_factor) / 10.", (0, 100)))


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
    positions = slice(ctx.start, ctx.start + T)
    return rotate_pairs(x, cos[positions], sin[positions], ctx.cfg.rope_layout)


def rule(cfg):
    return Rule(cfg.rope_base, cfg.c_rope_scale, cfg.r_rope_factor, cfg.n_rope_ctx, cfg.r_rope_slow, cfg.r_rope_fast, cfg.r_rope_gain)


@lru_cache(32)
def cos_sin_tables(d, n_ctx, rule, dtype, cpu):
    """cos and sin of every angle, (n_ctx, d/2) each; `cpu` (whether arrays are on the CPU) is a key of the cache, one for each device"""
    speed = rule.base ** (-xp.arange(0, d, 2, dtype="float64") / d)               # (d/2)
    s = speed_factors(d, speed, rule)
    angle = xp.outer(xp.arange(n_ctx, dtype="float64"), speed * (s + (1 - s) / rule.factor))
    return (rule.gain * xp.cos(angle)).astype(dtype), (rule.gain * xp.sin(angle)).astype(dtype)


def speed_factors(d, speed, rule):
    """s of each pair, (d/2,), or one number for all pairs"""
    if rule.scale == "llama3":
        return xp.clip((rule.n * speed / (2 * pi) - rule.slow) / (rule.fast - rule.slow), 0, 1)
    if rule.scale == "yarn":
        pair = lambda rotations: d * log(rule.n / (2 * pi * rotations)) / (2 * log(rule.base))
        first, last = max(floor(pair(rule.fast)), 0), min(ceil(pair(rule.slow)), d - 1)
        return 1 - xp.clip((xp.arange(d // 2, dtype="float64") - first) / max(last - first, 0.001), 0, 1)
    return 0.0 if rule.scale == "linear" else 1.0


def defaults(cfg):
    yarn = cfg.c_rope_scale == "yarn"
    return dict(n_rope_ctx=max(1, round(cfg.n_ctx / cfg.r_rope_factor)), r_rope_fast=32.0 if yarn else 4.0,
                r_rope_gain=1 + log(cfg.r_rope_factor) / 10 if yarn else 1.0)


def check(cfg):
    if cfg.head_size % cfg.n_heads == 0 and cfg.head_width % 2 and not hasattr(variant("attentions", cfg.c_attention), "rotated_width"):
        pair = 2 * cfg.n_heads
        yield (f"head_size is {cfg.head_size}, which gives heads of width {cfg.head_width}, and rope rotates pairs; "
               f"allowed are multiples of {pair}; did you mean {max(1, round(cfg.head_size / pair)) * pair}?")
    if cfg.r_rope_fast <= cfg.r_rope_slow:
        yield (f"r_rope_fast is {cfg.r_rope_fast:g}; allowed is a number above r_rope_slow, {cfg.r_rope_slow:g}; "
               f"did you mean {4 * cfg.r_rope_slow:g}?")
    if cfg.c_rope_scale == "yarn" and cfg.rope_base == 1:
        yield "rope_base is 1.0, with which all pairs rotate equally fast, so yarn finds no slow pairs; did you mean 10000?"
