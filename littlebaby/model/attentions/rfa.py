"""rfa: recurrent focused attention.

Sliding-window attention with a memory: a token attends to the last W = `s_window` tokens, itself included, and to one more key K with a
value V, which are means of the keys and values before the window, with weights that decay exponentially.
    K_t = sum_{j<=t-W} lambda^{t-W-j} k_j / z_t,  z_t = sum_{j<=t-W} lambda^{t-W-j},  V_t likewise;  lambda = sigmoid(l) per head
    a = softmax of the W scores and q_t K_t', all over sqrt(d) tau        y = merge(a [v; V]) wo
One more score in a softmax acts as a gate: if ln_sum is the log of the sum of exps over the window, the memory has the weight
sigmoid(score - ln_sum), and the window the rest. l has a gradient only in texts of at least W + 2 tokens, because the mean of one token
does not depend on lambda. If W covers all tokens, rfa is mha.

Cost O(B T (W + 64) H + B T D H).  Cache per token 2 H, of the last W tokens only, plus a state of 2 H + h numbers.
The Little Baby; a compressed memory before a window: Rae et al. 2019, arXiv:1911.05507.  Deviations: the memory is a mean from its
first token on, because the sum of the weights is part of the state; decoding gives the same results as training.
"""
from math import log

from ...arrays import discounted_mean, log_sigmoid, sigmoid, window_attention
from ...arrays.backend import xp
from ...arrays.tree import vector
from . import mha, swa

OPTIONS = dict(s_window=swa.OPTIONS["s_window"])


def params(cfg):
    return dict(mha.params(cfg), l=vector(cfg.n_heads, log(9)))


def forward(p, x, ctx):
    scale = ctx.cfg.head_width ** -0.5 / ctx.cfg.r_temp
    # decoding needs the last W tokens, one of which leaves the window         (B, T, D) -> (B, h, T, d), two (B, h, S, d)
    q, k, v, back_qkv = mha.queries_keys_values(p, x, ctx, last=ctx.cfg.s_window)

    # window and memory                                          (B, h, T, d) -> (B, T, D)
    ln_lambda, back_lambda = log_sigmoid(p.l)                    # (h)
    o, back_o = attend(q, k, v, ln_lambda, scale, ctx)
    y, back_y = mha.output_projection(p, o, ctx)

    def backward(dy, g):
        dq, dk, dv, dln_lambda = back_o(back_y(dy, g))

        g.l += back_lambda(dln_lambda)
        return back_qkv(dq, dk, dv, g)

    return y, backward


def attend(q, k, v, ln_lambda, scale, ctx):
    """Attention to the window and the memory: o (B, h, T, d), back(do) -> dq, dk, dv, dln_lambda

    q (B, h, T, d)   k, v (B, h, S, d), S - T <= W   ln_lambda (h)
    """
    (T, d), W = q.shape[2:], ctx.cfg.s_window
    n = k.shape[2] - W
    near, ln_sum, back_near = window_attention(q, k, v, scale, W, *ctx.drop)
    if n <= 0:                                                   # nothing has left the window yet
        return near, lambda do: (*back_near(do), xp.zeros_like(ln_lambda))

    # the memory: the window of each of the last n queries excludes one token more than the window before      K, V (B, h, n, d)
    outside, last = (..., slice(n), slice(None)), (..., slice(T - n, T), slice(None))
    mean, back_mean, state = discounted_mean(xp.concatenate([k[outside], v[outside]], -1), ln_lambda, ctx.recall("mean"))
    ctx.keep(mean=state)
    K, V = mean[..., :d], mean[..., d:]
    a, back_a = sigmoid((q[last] * K).sum(-1, keepdims=True) * scale - ln_sum[last])     # the weight of the memory, (B, h, n, 1)
    a_dropped, back_drop = ctx.dropout(a)
    o = near.copy()
    o[last] = (1 - a) * near[last] + a_dropped * V

    def back(do):
        do_last, dnear, dln_sum = do[last], do.copy(), xp.zeros_like(ln_sum)
        ds = back_a(back_drop((do_last * V).sum(-1, keepdims=True)) - (do_last * near[last]).sum(-1, keepdims=True))
        dnear[last] *= 1 - a
        dln_sum[last] = -ds
        ds = ds * scale
        dmean, dln_lambda = back_mean(xp.concatenate([ds * q[last], a_dropped * do_last], -1))
        dq, dk, dv = back_near(dnear, dln_sum)
        dq[last] += ds * K
        dk[outside] += dmean[..., :d]
        dv[outside] += dmean[..., d:]
        return dq, dk, dv, dln_lambda

    return o, back


CASES = [dict(c_bias="all", r_temp=1.7, c_position="rope"), dict(c_bias="none", s_window=2, head_size=12), dict(s_window=14)]
