"""rfa: recurrent focused attention.

Sliding-window attention with a memory: a token looks back over W = `s_window` tokens, itself included, and at one thing more, the
fading mean K of the keys that have left the window, which stands for the fading mean V of their values.
    K_t = sum_{j<=t-W} lambda^{t-W-j} k_j / z_t,  z_t = sum_{j<=t-W} lambda^{t-W-j},  V_t likewise;  lambda = sigmoid(l) per head
    a = softmax of the W scores and q_t K_t', all over sqrt(d) tau        y = merge(a [v; V]) wo
One more score in a softmax is a gate: where ln_sum is the ln of the window's sum, the memory weighs sigmoid(score - ln_sum) and the
window the rest. l learns from texts of W + 2 tokens on, for the memory's first token is its own mean. Where W reaches every token,
rfa is mha.

Cost O(B T (W + 64) H + B T D H).  Cache per token 2 H, of the last W tokens only, for all others 2 H + h numbers.
The Little Baby; a compressed memory behind a window: Rae et al. 2019, arXiv:1911.05507.  Deviations: the memory is a mean from its
first token on, for the weights' sum is carried along; decoding is the same model as training.
"""
from math import log

from ...arrays import discounted_mean, linear, log_sigmoid, merge_heads, sigmoid, split_heads, window_attention
from ...arrays.backend import xp
from ...arrays.tree import vector
from . import mha


def params(cfg):
    return dict(mha.params(cfg), l=vector(cfg.n_heads, log(9)))


def forward(p, x, ctx):
    h, H, W = ctx.cfg.n_heads, ctx.cfg.head_size, ctx.cfg.s_window
    scale = (H // h) ** -0.5 / ctx.cfg.r_temp

    # queries, keys, values                                      (B, T, D) -> (B, T, 3H) -> (B, h, T, d)
    qkv, back_qkv = linear(x, p.wqkv, p.get("bqkv"))
    q, k, v = (split_heads(qkv[..., i * H:(i + 1) * H], h) for i in range(3))
    q, back_rq = ctx.rotate(q)
    k, back_rk = ctx.rotate(k)
    k, v = ctx.extend(last=W, k=k, v=v)                          # decoding: the window before, and the token that leaves it

    # the window and the memory beside it                        (B, h, T, d) -> (B, T, H) -> (B, T, D)
    w, back_w = log_sigmoid(p.l)                                 # ln lambda, (h)
    o, back_o = attend(q, k, v, w, scale, ctx)
    y, back_y = linear(merge_heads(o), p.wo, p.get("bo"))
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        do, dwo, *dbo = back_y(back_drop(dy))
        dq, dk, dv, dw = back_o(split_heads(do, h))
        dx, dwqkv, *dbqkv = back_qkv(merge_heads(back_rq(dq), back_rk(dk), dv))

        g.wqkv += dwqkv
        g.l += back_w(dw)
        g.wo += dwo
        if dbqkv:
            g.bqkv += dbqkv[0]
        if dbo:
            g.bo += dbo[0]
        return dx

    return y, backward


def attend(q, k, v, w, scale, ctx):
    """q (B, h, T, d)   k, v (B, h, S, d)   w (h) -> o (B, h, T, d), back(do) -> dq, dk, dv, dw; S - T <= W"""
    (T, d), W = q.shape[2:], ctx.cfg.s_window
    n = k.shape[2] - W
    near, ln_sum, back_near = window_attention(q, k, v, scale, W, *ctx.drop)
    if n <= 0:                                                   # nothing has left the window yet
        return near, lambda do: (*back_near(do), xp.zeros_like(w))

    # n tokens leave the window, one before each of the last n queries                   (B, h, n, 2d), (B, h, n, 1)
    gone, late = (..., slice(n), slice(None)), (..., slice(T - n, T), slice(None))
    mean, back_mean, state = discounted_mean(xp.concatenate([k[gone], v[gone]], -1), w, ctx.recall("mean"))
    ctx.keep(mean=state)
    K, V = mean[..., :d], mean[..., d:]
    a, back_a = sigmoid((q[late] * K).sum(-1, keepdims=True) * scale - ln_sum[late])
    m, back_drop = ctx.dropout(a)
    o = near.copy()
    o[late] = (1 - a) * near[late] + m * V

    def back(do):
        do_late, dnear, dln_sum = do[late], do.copy(), xp.zeros_like(ln_sum)
        ds = back_a(back_drop((do_late * V).sum(-1, keepdims=True)) - (do_late * near[late]).sum(-1, keepdims=True))
        dnear[late] *= 1 - a
        dln_sum[late] = -ds
        ds = ds * scale
        dmean, dw = back_mean(xp.concatenate([ds * q[late], m * do_late], -1))
        dq, dk, dv = back_near(dnear, dln_sum)
        dq[late] += ds * K
        dk[gone] += dmean[..., :d]
        dv[gone] += dmean[..., d:]
        return dq, dk, dv, dw

    return o, back
