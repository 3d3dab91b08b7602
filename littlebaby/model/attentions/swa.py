"""swa: sliding-window attention.

As gqa, but a token attends to the last W = `s_window` tokens only, itself included. Since each layer uses the outputs of the one below, L
layers together reach L (W - 1) tokens back.
    a = softmax(q k' / (sqrt(d) tau)) over the last W keys        y = merge(a v) wo
`n_kv_heads` heads of keys are shared by all heads, as in gqa; with n_heads of them and a W that covers all tokens, swa is mha.

Cost O(B T (W + 64) H + B T D H).  Cache per token 2 n d numbers, only of the last W - 1 tokens.
Beltagy et al. 2020, arXiv:2004.05150; Jiang et al. 2023, arXiv:2310.06825.
"""
from ...arrays import window_attention
from . import gqa
from .gqa import check, params, post_step
from .mha import output_projection, queries_keys_values

__all__ = ["check", "forward", "params", "post_step"]

OPTIONS = dict(gqa.OPTIONS, s_window=(64, "Attention window: a token attends to itself and the s_window - 1 tokens before it.", (2, 2**20),
                                      "tokens"))
SCORE_BIAS = True


def forward(p, x, ctx):
    W, scale = ctx.cfg.s_window, ctx.cfg.head_width ** -0.5 / ctx.cfg.r_temp
    q, k, v, back_qkv = queries_keys_values(p, x, ctx, last=W - 1)           # (B, T, D) -> (B, h, T, d), two (B, n, S, d)
    ctx.record_scores(q, k, scale, W)

    # as mha, within the window                                  (B, h, T, d) -> (B, T, D)
    rate, rng = ctx.drop
    o, _, back_o = window_attention(q, k, v, scale, W, rate, rng, ctx.slopes(q))
    y, back_y = output_projection(p, o, ctx)

    def backward(dy, g):
        dq, dk, dv = back_o(back_y(dy, g))
        return back_qkv(dq, dk, dv, g)

    return y, backward


CASES = [dict(n_kv_heads=2, c_position="rope"), dict(n_kv_heads=4, c_bias="all", r_temp=1.7), dict(s_window=2), dict(s_window=16),
         dict(n_kv_heads=2, c_position="alibi")]
