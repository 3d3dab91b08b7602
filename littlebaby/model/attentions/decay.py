"""decay: heads with exponential decay.

There are no queries and no keys: every head is a mean of the values, in which the weight of a token is multiplied by lambda at every later
token. Lambda is learned.
    y_t = merge(sum_{j<=t} lambda^{t-j} v_j / sum_{j<=t} lambda^{t-j}) wo        lambda = sigmoid(l), one per head, 0.9 at the start
With lambda 1 it is the mean of all values so far, with lambda 0 the value of the token itself.

Cost O(B T H (D + C)), C = 64 the block size.  Cache per token 0, plus a state of H + h numbers.
Kilat 2025; RetNet, Sun et al. 2023, arXiv:2307.08621.  Deviations: the sum of the weights is part of the state and is not computed from
lambda, which is inaccurate near 1; `c_bias` all has the effect of out, because a bias of v acts like one of the output.
"""
from math import log

from ...arrays import discounted_mean, linear, log_sigmoid, merge_heads, split_heads
from ...arrays.tree import matrix, vector
from ..context import residual_std


def params(cfg):
    D, H = cfg.n_emb, cfg.head_size
    p = dict(head_params(cfg, cfg.n_heads), wo=matrix(H, D, std=residual_std(cfg)))
    if cfg.c_bias != "none" or cfg.b_bias_attention_out:
        p["bo"] = vector(D)
    return p


def forward(p, x, ctx):
    o, back_o = merged_heads(p, x, ctx, ctx.cfg.n_heads)         # (B, T, D) -> (B, T, H)
    y, back_y = linear(ctx.observe("heads", o), p.wo, p.get("bo"))               # (B, T, H) -> (B, T, D)
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        do, dwo, dbo = back_y(back_drop(dy))
        g.add(wo=dwo, bo=dbo)
        return back_o(do, g)

    return y, backward


# the heads without the output projection; hybrid uses them too

def head_params(cfg, h):
    """The spec of the weights of h heads"""
    return dict(wv=matrix(cfg.n_emb, h * cfg.head_width), l=vector(h, log(9)))


def merged_heads(p, x, ctx, h):
    """The outputs of h heads, concatenated: (B, T, D) -> (B, T, h d), backward"""
    v, back_v = linear(x, p.wv)                                  # (B, T, D) -> (B, T, h d)
    ln_lambda, back_lambda = log_sigmoid(p.l)                    # (h)
    o, back_o, state = discounted_mean(split_heads(v, h), ln_lambda, ctx.recall("mean"))      # (B, h, T, d)
    ctx.keep(mean=state)

    def backward(do, g):
        dv, dln_lambda = back_o(split_heads(do, h))
        dx, dwv, _ = back_v(merge_heads(dv))
        g.wv += dwv
        g.l += back_lambda(dln_lambda)
        return dx

    return merge_heads(o), backward


CASES = [dict(c_bias="none"), dict(head_size=12)]
