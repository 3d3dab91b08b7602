"""moh: mixture of heads.

As mha, but every token also says how much each head's answer is worth to it: h weights whose mean is 1, from a small gate wg.
    w = h softmax(x wg)        y = concat_i(w_i o_i) wo        o_i = the answer of head i, as in mha
Where wg is 0, every weight is 1, and moh is mha.

Cost O(B T^2 H + B T D (H + h)).  Cache per token 2 H numbers.
Peng et al. 2020, arXiv:2005.06537; Jin et al. 2024, arXiv:2410.11842.  Deviations: the weights are soft, no head is left out; the heads
stay side by side, where The Little Baby added them up in one head's d dimensions.
"""
from ...arrays import linear, softmax, weight_heads
from ...arrays.tree import matrix
from . import mha
from .mha import post_step

__all__ = ["post_step", "forward", "params"]

SCORE_BIAS = True


def params(cfg):
    return dict(mha.params(cfg), wg=matrix(cfg.n_emb, cfg.n_heads, kind="router"))


def forward(p, x, ctx):
    h = ctx.cfg.n_heads
    o, back_o = mha.heads(p, x, ctx)                             # (B, T, D) -> (B, h, T, d)

    # what each head's answer is worth                           (B, T, D) -> (B, T, h)
    z, back_z = linear(x, p.wg)
    w, back_w = softmax(z)
    y, back_weigh = weight_heads(o, h * w)                       # (B, h, T, d)
    y, back_y = mha.output_projection(p, y, ctx)                              # (B, h, T, d) -> (B, T, D)

    def backward(dy, g):
        do, dw = back_weigh(back_y(dy, g))
        dx, dwg, _ = back_z(back_w(h * dw))

        g.wg += dwg
        return dx + back_o(do, g)

    return y, backward


def check(cfg):
    if cfg.n_heads == 1:
        yield (f"n_heads is 1, and {cfg.c_attention} weighs heads against each other; allowed are 2 and more; "
               f"did you mean c_attention mha?")


CASES = [dict(c_bias="all", r_temp=1.7), dict(c_bias="none", c_position="rope", head_size=16), dict(c_position="alibi")]
