"""aft: attention-free transformer, its simple form.

There are no queries: every channel is a running weighted mean of its values, in which the weight of a token is the exp of its key.
    e = exp(clip(x wk / tau, +-20))        y_t = (sum_{j<=t} e_j v_j / sum_{j<=t} e_j) wo        v = x wv
The clip keeps the sums within the range of float32; a clipped key has no gradient.

Cost O(B T H (D + C)), C = 64 the block size.  Cache per token 0, plus a state of 2 H numbers.
Zhai et al. 2021, arXiv:2105.14103.  Deviations: there is no gate sigmoid(q), as there is none in The Little Baby; a temperature tau
(`r_temp`) is added; `c_bias` all has the effect of out, because a bias of k cancels and a bias of v acts like one of the output.
"""
from ...arrays import linear, running_mean
from ...arrays.backend import xp
from ...arrays.tree import fused_matrices, matrix, vector
from ..context import residual_std


def params(cfg):
    D, H = cfg.n_emb, cfg.head_size
    p = dict(wkv=fused_matrices(D, wk=H, wv=H), wo=matrix(H, D, std=residual_std(cfg)))
    if cfg.c_bias != "none" or cfg.b_bias_attention_out:
        p["bo"] = vector(D)
    return p


def forward(p, x, ctx):
    H, scale = ctx.cfg.head_size, 1 / ctx.cfg.r_temp

    kv, back_kv = linear(x, p.wkv)                               # (B, T, D) -> (B, T, 2H)
    o, back_o, state = running_mean(kv[..., :H] * scale, kv[..., H:], ctx.recall("sums"))       # (B, T, H)
    ctx.keep(sums=state)
    o, back_drop = ctx.dropout(o)
    y, back_y = linear(ctx.observe("heads", o), p.wo, p.get("bo"))               # (B, T, H) -> (B, T, D)

    def backward(dy, g):
        do, dwo, dbo = back_y(dy)
        dk, dv = back_o(back_drop(do))
        dx, dwkv, _ = back_kv(xp.concatenate([dk * scale, dv], -1))          # two (B, T, H) -> (B, T, 2H) -> (B, T, D)

        g.add(wkv=dwkv, wo=dwo, bo=dbo)
        return dx

    return y, backward


CASES = [dict(c_bias="none"), dict(r_temp=1.7, head_size=12)]
