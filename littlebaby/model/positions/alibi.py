"""alibi: attention with linear biases.

Nothing is added to the token vectors; a penalty in proportion to the distance is subtracted from every score, with a slope m_i per head i:
    s = q k' / (sqrt(d) tau) - m_i (t - j)        m_i = 2^(-8 i / h), i = 1 ... h
So near tokens get more weight than far ones, most of all in the first head, and the model works on longer texts than it was trained on. The
`attention` primitive subtracts the penalty (argument `slopes`), which does not depend on the temperature tau.

Cost O(B h T^2).  Cache per token 0.
Press et al. 2021, arXiv:2108.12409. If h is not a power of two, the heads above the largest power of two get every second slope of the next
power of two, as in their code.
"""
from functools import lru_cache

from ...arrays.backend import on_cpu, xp
from ..context import variant, variants


def params(cfg):
    return {}


def forward(p, x, ctx):
    return x, lambda dy, g: dy


def slopes(q):
    """The penalty of each head of q (B, h, T, d) per token of distance, (h,)"""
    return slope_table(q.shape[1], q.dtype.name, on_cpu())


@lru_cache(32)
def slope_table(h, dtype, cpu):
    """m_1 ... m_h as an array (h,); `cpu` (whether arrays are on the CPU) is a key of the cache, so that each device has its own table"""
    return xp.array(head_slopes(h), dtype)


def head_slopes(h):
    """m_1 ... m_h as a list"""
    power = 2 ** (h.bit_length() - 1)                            # the largest power of two up to h
    evenly = [2 ** (-8 * i / power) for i in range(1, power + 1)]
    return evenly + head_slopes(2 * power)[::2][:h - power] if h > power else evenly


def check(cfg):
    if not hasattr(variant("attentions", cfg.c_attention), "SCORE_BIAS"):
        able = [name for name in variants("attentions") if hasattr(variant("attentions", name), "SCORE_BIAS")]
        yield (f"c_attention is '{cfg.c_attention}', whose scores cannot carry alibi's bias; allowed with c_position alibi are "
               f"{', '.join(able)}; did you mean c_position none?")
