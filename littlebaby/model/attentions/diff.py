"""diff: differential attention.

As mha, but heads form pairs, and the attention weights of the second head of a pair are subtracted from those of the first: what both
attend to, such as tokens that do not matter, cancels. A pair has one value of width 2 d, and its output is normalized.
    a_i = softmax(q_i k_i' / (sqrt(d) tau)), later tokens masked        o_j = (a_2j - lambda a_2j+1) [v_2j; v_2j+1]
    y = merge((1 - lambda_0) o_j / sqrt(mean o_j^2 + eps)) wo        lambda = exp(lq_1 lk_1') - exp(lq_2 lk_2') + lambda_0
One lambda, learned as the vectors lq and lk of width d, serves all pairs of a layer. It starts near lambda_0 = 0.8 - 0.6 exp(-0.3 l) in
layer l = 0, 1, ...: from 0.2 in the first to 0.8 in deep ones. eps is `norm_eps`.

Cost O(B T^2 H + B T D H).  Cache per token 2 H numbers.
Ye et al. 2024, arXiv:2410.05258.  Deviations: the norm has no gain, as in transformers' DiffLlama; `n_heads` counts heads, not pairs;
attention weights have dropout, each head its own, which the paper leaves open; with alibi each head has its own slope.
"""
from math import exp

from ...arrays import attention, merge_heads, rmsnorm, split_heads
from ...arrays.backend import xp
from ...arrays.tree import Leaf
from . import mha
from .mha import post_step

__all__ = ["check", "forward", "key_and_value_width", "params", "post_step"]

SCORE_BIAS = True


def params(cfg):
    return dict(mha.params(cfg), **{name: Leaf((2, cfg.head_width), "vector", std=0.1) for name in ("lq", "lk")})


def forward(p, x, ctx):
    h, d = ctx.cfg.n_heads, ctx.cfg.head_width
    scale, lambda_0 = d ** -0.5 / ctx.cfg.r_temp, 0.8 - 0.6 * exp(-0.3 * ctx.layer_index)
    q, k, v, back_qkv = mha.queries_keys_values(p, x, ctx)       # (B, T, D) -> (B, h, T, d), two (B, h, S, d)
    ctx.record_scores(q, k, scale)

    # the values of a pair, for both its heads                   (B, h, S, d) -> (B, h/2, S, 2d) -> (B, h, S, 2d)
    pair_v = split_heads(merge_heads(v), h // 2)
    o, back_o = attention(q, k, xp.repeat(pair_v, 2, 1), scale, *ctx.drop, ctx.slopes(q))    # (B, h, T, 2d)

    # the difference, normalized                                 (B, h, T, 2d) -> (B, h/2, T, 2d) -> (B, T, D)
    e = xp.exp((p.lq * p.lk).sum(-1))                            # (2)
    factor = e[0] - e[1] + lambda_0
    second = o[:, 1::2]
    n, back_n = rmsnorm(o[:, ::2] - factor * second, xp.full(2 * d, 1 - lambda_0, o.dtype), ctx.cfg.norm_eps)
    y, back_y = mha.output_projection(p, n, ctx)

    def backward(dy, g):
        do, _ = back_n(back_y(dy, g))                            # (B, h/2, T, 2d)
        dfactor = -(do * second).sum()
        de = (xp.stack([dfactor, -dfactor]) * e)[:, None]        # (2, 1), of the exponents
        dq, dk, dv = back_o(xp.stack([do, -factor * do], 2).reshape(o.shape))    # (B, h, T, d) twice, (B, h, T, 2d)
        dv = dv.reshape(*do.shape[:2], 2, *dv.shape[2:]).sum(2)  # both heads used it: (B, h/2, T, 2d)

        g.add(lq=de * p.lk, lk=de * p.lq)
        return back_qkv(dq, dk, split_heads(merge_heads(dv), h), g)

    return y, backward


def key_and_value_width(cfg):
    """Width of the keys and of the values, twice as wide, of all heads: the multiplications per pair of tokens that attention needs"""
    return 3 * cfg.head_size


def check(cfg):
    if cfg.n_heads % 2:
        near = min(range(2, cfg.head_size + 3, 2), key=lambda n: (cfg.head_size % n > 0, abs(n - cfg.n_heads)))
        yield f"n_heads is {cfg.n_heads}, and the heads of diff form pairs; allowed are even numbers; did you mean {near}?"


CASES = [dict(c_bias="all", r_temp=1.7), dict(c_bias="none", c_position="rope", head_size=16), dict(n_heads=2, c_position="alibi")]
