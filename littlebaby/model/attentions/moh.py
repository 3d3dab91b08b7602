"""moh: mixture of heads.

As mha, but the output of every head is multiplied by a weight per token, from a small gate wg; the mean of the h weights is 1.
    w = h softmax(x wg)        y = concat_i(w_i o_i) wo        o_i = the output of head i, as in mha
With wg = 0 every weight is 1, and moh is mha.

Cost O(B T^2 H + B T D (H + h)).  Cache per token 2 H numbers.
Peng et al. 2020, arXiv:2005.06537; Jin et al. 2024, arXiv:2410.11842.  Deviations: every token uses all heads, while the papers choose
some of them; the heads are concatenated, while The Little Baby adds them up in d dimensions.
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
    o, back_o = mha.head_outputs(p, x, ctx)                      # (B, T, D) -> (B, h, T, d)

    # the weight of each head                                    (B, T, D) -> (B, T, h)
    z, back_z = linear(x, p.wg)
    w, back_w = softmax(z)
    y, back_weigh = weight_heads(o, h * w)                       # (B, h, T, d)
    y, back_y = mha.output_projection(p, y, ctx)                 # (B, h, T, d) -> (B, T, D)

    def backward(dy, g):
        do, dw = back_weigh(back_y(dy, g))
        dx, dwg, _ = back_z(back_w(h * dw))

        g.wg += dwg
        return dx + back_o(do, g)

    return y, backward


def check(cfg):
    if cfg.n_heads == 1:
        yield (f"n_heads is 1, and {cfg.c_attention} weighs heads against each other; allowed are 2 or more; "
               f"did you mean c_attention mha?")


CASES = [dict(c_bias="all", r_temp=1.7), dict(c_bias="none", c_position="rope", head_size=16), dict(c_position="alibi")]
