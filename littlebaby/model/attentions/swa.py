"""swa: sliding-window attention.

As gqa, but a token looks back over the last W = `s_window` tokens only, itself included. Depth makes up for it: what one layer has
gathered the next one sees, so L layers reach L (W - 1) tokens back.
    a = softmax(q k' / (sqrt(d) tau)) over the last W keys        y = merge(a v) wo
`n_kv_heads` keys serve all heads, as in gqa; where it is n_heads and W reaches every token, swa is mha.

Cost O(B T (W + 64) H + B T D H).  Cache per token 2 n d, of the last W - 1 tokens only.
Beltagy et al. 2020, arXiv:2004.05150; Jiang et al. 2023, arXiv:2310.06825.
"""
from ...arrays import linear, merge_heads, split_heads, window_attention
from .gqa import after, params

__all__ = ["after", "forward", "params"]


def forward(p, x, ctx):
    h, n, H, W = ctx.cfg.n_heads, ctx.cfg.n_kv_heads, ctx.cfg.head_size, ctx.cfg.s_window
    K = n * H // h
    scale = (H // h) ** -0.5 / ctx.cfg.r_temp

    # queries, keys, values                                      (B, T, D) -> (B, T, H + 2K) -> (B, h, T, d), two (B, n, T, d)
    qkv, back_qkv = linear(x, p.wqkv, p.get("bqkv"))
    q, k, v = split_heads(qkv[..., :H], h), split_heads(qkv[..., H:H + K], n), split_heads(qkv[..., H + K:], n)
    q, back_rq = ctx.rotate(q)
    k, back_rk = ctx.rotate(k)
    k, v = ctx.extend(last=W - 1, k=k, v=v)                      # decoding: the window's tokens before

    ctx.watch(q, k, scale, W)

    # who looks at whom, no further than the window              (B, h, T, d) -> (B, T, H) -> (B, T, D)
    o, _, back_o = window_attention(q, k, v, scale, W, *ctx.drop, ctx.slopes(q))
    y, back_y = linear(merge_heads(o), p.wo, p.get("bo"))
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        do, dwo, *dbo = back_y(back_drop(dy))
        dq, dk, dv = back_o(split_heads(do, h))
        dx, dwqkv, *dbqkv = back_qkv(merge_heads(back_rq(dq), back_rk(dk), dv))

        g.wqkv += dwqkv
        g.wo += dwo
        if dbqkv:
            g.bqkv += dbqkv[0]
        if dbo:
            g.bo += dbo[0]
        return dx

    return y, backward
