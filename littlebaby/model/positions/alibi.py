"""alibi: attention with linear biases.

Nothing is added to a token; every score pays for its distance instead, and each head i has its own price:
    s = q k' / (sqrt(d) tau) - m_i (t - j)        m_i = 2^(-8 i / h), i = 1 ... h
Near tokens then count more than far ones, most in the first head, and lengths never trained on cost no surprise. The price is taken in the
`attention` primitive, whose `slopes` these are; it is the same at every temperature.

Cost O(B h T^2).  Cache per token 0.
Press et al. 2021, arXiv:2108.12409; where h is no power of two, as in their code, every other slope of twice as many heads fills up.
"""
from functools import lru_cache

from ...arrays.backend import on_cpu, xp
from ..context import variant, variants


def params(cfg):
    return {}


def forward(p, x, ctx):
    return x, lambda dy, g: dy


def slopes(q):
    """What each head of q (B, h, T, d) pays per token of distance, (h)"""
    return slope_table(q.shape[1], q.dtype.name, on_cpu())


@lru_cache(32)
def slope_table(h, dtype, here):
    """`here` keeps the tables of two devices apart"""
    return xp.array(head_slopes(h), dtype)


def head_slopes(h):
    """m_1 ... m_h"""
    whole = 2 ** (h.bit_length() - 1)                            # the largest power of two up to h
    evenly = [2 ** (-8 * i / whole) for i in range(1, whole + 1)]
    return evenly + head_slopes(2 * whole)[::2][:h - whole] if h > whole else evenly


def check(cfg):
    if not hasattr(variant("attentions", cfg.c_attention), "SCORE_BIAS"):
        able = [name for name in variants("attentions") if hasattr(variant("attentions", name), "SCORE_BIAS")]
        yield (f"c_attention is '{cfg.c_attention}', whose scores cannot carry alibi's bias; allowed with c_position alibi are "
               f"{', '.join(able)}; did you mean c_position none?")
