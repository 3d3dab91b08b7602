"""swh: switch heads.

As moh, but only one head is used for each token: the one with the largest gate value, with weight 1.
    w = softmax(x wg)        y = concat_i(m_i o_i) wo        m_i = 1 for the largest w_i, else 0
The derivative of m with respect to wg is 0, so the gate is trained with the straight-through estimator: forward computes with
m + w - stop(w), where stop(w) is w treated as a constant: the value is m, the gradient that of w. So the gate gets a gradient from the
unused heads too.

Cost O(B T^2 H + B T D (H + h)).  Cache per token 2 H numbers.
Fedus et al. 2021, arXiv:2101.03961, applied to heads; Bengio et al. 2013, arXiv:1308.3432.
"""
from ...arrays import linear, softmax, weight_heads
from ...arrays.backend import xp
from . import mha, moh
from .mha import post_step
from .moh import check, params

__all__ = ["check", "forward", "params", "post_step"]

SCORE_BIAS = True


def forward(p, x, ctx):
    h = ctx.cfg.n_heads
    o, back_o = mha.head_outputs(p, x, ctx)                      # (B, T, D) -> (B, h, T, d)

    # one head per token                                         (B, T, D) -> (B, T, h)
    z, back_z = linear(x, p.wg)
    w, back_w = softmax(z)
    best = ctx.freeze_decision("head", w.argmax(-1))             # (B, T); of equal weights the first
    m = (best[..., None] == xp.arange(h)) + (w - ctx.freeze_decision("stop", w))
    y, back_weigh = weight_heads(o, m)                           # (B, h, T, d)
    y, back_y = mha.output_projection(p, y, ctx)                 # (B, h, T, d) -> (B, T, D)

    def backward(dy, g):
        do, dw = back_weigh(back_y(dy, g))
        dx, dwg, _ = back_z(back_w(dw))

        g.wg += dwg
        return dx + back_o(do, g)

    return y, backward


CASES = moh.CASES
