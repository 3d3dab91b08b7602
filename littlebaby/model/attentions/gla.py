"""gla: gated linear attention of The Little Baby.

There are no scores: two projections of a token are multiplied, and in every channel a learned filter sums the last K = `s_kernel` tokens.
    n = layernorm((x wk) * (x wv))        c_t = sum_{i<K} f_i n_{t-i}        y = relu(c) wo
The filter is causal. A filter centered on the token would include the next token, which is the target, and reach a loss near 0 without
learning anything useful.
It is not the gated linear attention that was published in 2023; its older name is lda.

Cost O(B T H (D + K)).  Cache per token H, of the last K - 1 tokens only.
The Little Baby; one filter per channel: Wu et al. 2019, arXiv:1901.10430.  `c_bias` all has the effect of out.
"""
from ...arrays import causal_filter, layernorm, linear, relu
from ...arrays.backend import xp
from ...arrays.tree import fused_matrices, matrix, vector
from ..context import residual_std

OPTIONS = dict(s_kernel=(8, "Length of the causal filters: each mixes a token and the s_kernel - 1 tokens before it.", (1, 1024), "tokens"))


def params(cfg):
    D, H, K = cfg.n_emb, cfg.head_size, cfg.s_kernel
    p = dict(wkv=fused_matrices(D, wk=H, wv=H), w=vector(H, 1.0), b=vector(H), f=matrix(K, H, std=K ** -0.5, kind="taps"),
             wo=matrix(H, D, std=residual_std(cfg)))
    if cfg.c_bias != "none" or cfg.b_bias_attention_out:
        p["bo"] = vector(D)
    return p


def forward(p, x, ctx):
    H = ctx.cfg.head_size

    # two projections, multiplied                                 (B, T, D) -> (B, T, 2H) -> (B, T, H)
    kv, back_kv = linear(x, p.wkv)
    k, v = kv[..., :H], kv[..., H:]
    n, back_n = layernorm(k * v, p.w, p.b)

    # the filter over the last K tokens                          (B, T, H) -> (B, T, D)
    n, = ctx.extend(last=ctx.cfg.s_kernel - 1, n=n)
    c, back_c = causal_filter(n, p.f, x.shape[1])
    r, back_r = relu(c)
    r, back_drop = ctx.dropout(r)
    y, back_y = linear(ctx.observe("heads", r), p.wo, p.get("bo"))

    def backward(dy, g):
        dr, dwo, dbo = back_y(dy)
        dn, df = back_c(back_r(back_drop(dr)))
        dkv, dw, db = back_n(dn)
        dx, dwkv, _ = back_kv(xp.concatenate([dkv * v, dkv * k], -1))        # two (B, T, H) -> (B, T, 2H) -> (B, T, D)

        g.add(wkv=dwkv, w=dw, b=db, f=df, wo=dwo, bo=dbo)
        return dx

    return y, backward


CASES = [dict(c_bias="none"), dict(s_kernel=1), dict(s_kernel=4, head_size=12)]
