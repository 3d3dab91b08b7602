"""Primitives along the sequence: running sums and means, filters, windows, computed in blocks as matrix products, not token by token.

As in ops: `y, back = op(*arrays, **settings)`. An op that can continue an earlier call takes the state of that call as `past` and returns
its own state as a third value; its back is valid for past=None only, since generation has no backward pass. T is axis -2 everywhere.
"""
from collections.abc import Iterator
from typing import Any

from .backend import xp
from .ops import Array, Back, dropout

BLOCK = 64     # tokens per block


def split_blocks(x: Array, C: int) -> Array:
    """(..., T, D) -> (..., n, C, D); the last block is padded with zeros"""
    *lead, T, D = x.shape
    if T % C:
        x = xp.concatenate([x, xp.zeros((*lead, -T % C, D), x.dtype)], -2)
    return x.reshape(*lead, -1, C, D)


def join_blocks(x: Array, T: int) -> Array:
    """(..., n, C, D) -> (..., T, D): the blocks end to end, without the padding"""
    *lead, n, C, D = x.shape
    return x.reshape(*lead, n * C, D)[..., :T, :]


# element by element

def exp_clip(x: Array, limit: float = 20.0) -> tuple[Array, Back]:
    """y = exp(clip(x, +-limit)), so that sums of a million elements cannot overflow float32; the gradient is 0 where x is clipped"""
    y = xp.exp(xp.clip(x, -limit, limit))

    def back(dy):
        return dy * y * (xp.abs(x) < limit)

    return y, back


def elu_plus_one(x: Array) -> tuple[Array, Back]:
    """y = elu(x) + 1: x + 1 for x > 0, else exp x, always positive; y' = min(y, 1)      Clevert et al. 2015, arXiv:1511.07289"""
    y = xp.maximum(x, 0) + xp.exp(xp.minimum(x, 0))

    def back(dy):
        return dy * xp.minimum(y, 1)

    return y, back


def log_sigmoid(x: Array) -> tuple[Array, Back]:
    """y = ln sigmoid(x), y' = 1 - sigmoid(x); both are accurate even if the sigmoid rounds to 1"""
    def back(dy):
        return dy * xp.exp(-xp.logaddexp(0, x))

    return -xp.logaddexp(0, -x), back


# running sums

def scan(x: Array, w: Array = None) -> Array:
    """y_t = e^w y_{t-1} + x_t with y_{-1} = 0, without a gradient     x (..., T, D); w (h, 1, 1) for x (..., h, T, D), None: 0

    Inside a block of C tokens it is a product with a triangular matrix of powers of e^w; between blocks it is the same scan over the last y
    of each block.
    """
    T = x.shape[-2]
    C = min(BLOCK, T)
    i = xp.arange(C, dtype=x.dtype)[:, None]
    weights = xp.tri(C, dtype=x.dtype)
    if w is not None:                                            # no negative powers, which would overflow
        weights = (weights * xp.exp(w * xp.maximum(i - i.T, 0)))[:, None]                # (h, 1, C, C)
    y = weights @ split_blocks(x, C)                             # (..., n, C, D)
    if y.shape[-3] > 1:
        ends = scan(y[..., -1, :], None if w is None else C * w)[..., :-1, None, :]
        y[..., 1:, :, :] += ends if w is None else xp.exp(w * (i + 1))[:, None] * ends
    return join_blocks(y, T)


def scan_back(dy: Array, w: Array = None) -> Array:
    """The gradient of scan: the same scan from the last token to the first"""
    return scan(dy[..., ::-1, :], w)[..., ::-1, :]


def running_sum(x: Array, past: Array = None) -> tuple[Array, Back, Array]:
    """y_t = y_{t-1} + x_t; returns y, back, state (..., 1, D): the last y"""
    y = scan(x)
    if past is not None:
        y += past
    return y, scan_back, y[..., -1:, :]


def running_mean(k: Array, v: Array, past: Array = None) -> tuple[Array, Back, Array]:
    """y_t = sum_{j<=t} e_j v_j / sum_{j<=t} e_j,  e = exp(clip(k, +-20)), channel by channel      k, v (..., T, D)

    Returns y, back, state (..., 1, 2D): both sums.     Zhai et al. 2021, arXiv:2105.14103
    """
    D = k.shape[-1]
    e, back_e = exp_clip(k)
    sums, back_sums, state = running_sum(xp.concatenate([e * v, e], -1), past)
    weight = sums[..., D:]
    y = sums[..., :D] / weight

    def back(dy):
        dn = dy / weight
        both = back_sums(xp.concatenate([dn, -dn * y], -1))
        dn, dd = both[..., :D], both[..., D:]
        return back_e(dn * v + dd), dn * e

    return y, back, state


def discounted_mean(x: Array, w: Array, past: Array = None) -> tuple[Array, Back, Array]:
    """y_t = s_t / z_t,  s_t = e^w s_{t-1} + x_t,  z_t = e^w z_{t-1} + 1        x (B, h, T, d)   w (h), the log of the decay factor

    Returns y, back, state (B, h, 1, d + 1): s and z of the last token. It is also y_t = y_{t-1} + (x_t - y_{t-1}) / z_t, hence
    dw = -sum dx_t (x_t - y_{t-1}) z'_t / z_t: a sum of differences, which is accurate in float32 also for e^w near 1.
    """
    d = x.shape[-1]
    w = w[:, None, None]
    sums = scan(xp.concatenate([x, xp.ones((*x.shape[:-1], 1), x.dtype)], -1), w)
    if past is not None:
        sums += xp.exp(w * xp.arange(1, x.shape[-2] + 1, dtype=x.dtype)[:, None]) * past
    y, z = sums[..., :d] / sums[..., d:], sums[0, ..., d:]       # z (h, T, 1): equal in all rows of the batch

    def back(dy):
        dx = scan_back(dy / z, w)
        ratio = xp.exp(w) * scan(z, w)[:, :-1] / z[:, 1:]        # z' / z, where z' = dz/dw, from the second token on
        dw = (dx[..., 1:, :] * (y[..., :-1, :] - x[..., 1:, :]) * ratio).sum((0, 2, 3))
        return dx, dw

    return y, back, sums[..., -1:, :]


def linear_attention(q: Array, k: Array, v: Array, past: Array = None) -> tuple[Array, Back, Array]:
    """y_t = sum_{j<=t} (q_t k_j) v_j: attention without its softmax       q, k (..., T, M)   v (..., T, d)

    Returns y, back, state (..., M, d): the sum of k_j' v_j. Keys of the same block are used as in attention, earlier ones through that sum.
    Katharopoulos et al. 2020, arXiv:2006.16236.
    """
    *lead, T, M = q.shape
    C, d = min(BLOCK, T), v.shape[-1]
    qs, ks, vs, mask = split_blocks(q, C), split_blocks(k, C), split_blocks(v, C), xp.tri(C, dtype=q.dtype)

    def sums_before(s):
        """(..., n, M, d) -> (..., n + 1, M, d): the sums over the blocks before each block, and over all blocks"""
        sums = scan(s.reshape(*lead, -1, M * d))
        return xp.concatenate([xp.zeros_like(sums[..., :1, :]), sums], -2).reshape(*lead, -1, M, d)

    sums = sums_before(ks.swapaxes(-1, -2) @ vs)
    if past is not None:
        sums += past[..., None, :, :]
    a = qs @ ks.swapaxes(-1, -2)                                 # (..., n, C, C)
    a *= mask
    y = a @ vs
    y += qs @ sums[..., :-1, :, :]

    def back(dy):
        dys = split_blocks(dy, C)
        da = dys @ vs.swapaxes(-1, -2)
        da *= mask
        dsums = qs.swapaxes(-1, -2) @ dys                        # the gradient of the sum over all earlier blocks
        after = sums_before(dsums[..., ::-1, :, :])[..., -2::-1, :, :]       # the sums over the blocks after each block
        dq = da @ ks + dys @ sums[..., :-1, :, :].swapaxes(-1, -2)
        dk = da.swapaxes(-1, -2) @ qs + vs @ after.swapaxes(-1, -2)
        dv = a.swapaxes(-1, -2) @ dys + ks @ after
        return join_blocks(dq, T), join_blocks(dk, T), join_blocks(dv, T)

    return join_blocks(y, T), back, sums[..., -1, :, :]


# filters and windows

def causal_filter(x: Array, f: Array, T: int) -> tuple[Array, Back]:
    """y_t = sum_{i<K} f_i x_{t-i}, channel by channel, for the last T rows      x (B, S, D), 0 before its first row   f (K, D)"""
    K, (B, S, D) = len(f), x.shape
    padding = max(0, K - 1 + T - S)
    xs = xp.concatenate([xp.zeros((B, padding, D), x.dtype), x], 1) if padding else x
    end = xs.shape[1]
    earlier = lambda i: slice(end - T - i, end - i)              # T rows, i tokens before the last T
    y = xs[:, earlier(0)] * f[0]
    for i in range(1, K):
        y += xs[:, earlier(i)] * f[i]

    def back(dy):
        dx, df = xp.zeros_like(xs), xp.empty_like(f)
        for i in range(K):
            dx[:, earlier(i)] += dy * f[i]
            df[i] = xp.einsum("btd,btd->d", dy, xs[:, earlier(i)])
        return dx[:, padding:], df

    return y, back


def window_blocks(T: int, S: int, window: int) -> Iterator[tuple[slice, slice, Array]]:
    """Yield for each block of the last T of S tokens: the rows r, the columns c of all keys in their windows, and the distances (r, c);
    a key is in the window if its distance is 0 or more and less than `window`"""
    for i in range(0, T, BLOCK):
        r = slice(i, min(i + BLOCK, T))
        positions = xp.arange(S - T + i, S - T + r.stop)[:, None]
        c = slice(max(0, S - T + i + 1 - window), S - T + r.stop)
        yield r, c, positions - xp.arange(c.start, c.stop)


def max_scores(q: Array, k: Array, scale: float, window: int | None = None) -> Array:
    """The largest score of each head, (h): max of scale q_t k_j over the batch and all j <= t, or the last `window` of them; no gradient

    q (B, h, T, d)   k (B, n, S, d)
    """
    (B, h, T, _), (n, S) = q.shape, k.shape[1:3]
    qs, ks, top = q.reshape(B, n, h // n, T, -1), k[:, :, None], []
    for r, c, distances in window_blocks(T, S, window or S):
        s = qs[..., r, :] @ ks[..., c, :].swapaxes(-1, -2)       # (B, n, h/n, rows, columns)
        s[..., (distances < 0) | (distances >= (window or S))] = -xp.inf
        top.append(s.max((0, 3, 4)))
    return xp.stack(top).max(0).reshape(h) * scale


def window_attention(q: Array, k: Array, v: Array, scale: float, window: int, rate: float = 0.0, rng: Any = None,
                     slopes: Array = None) -> tuple[Array, Array, Back]:
    """o = softmax(scale q k') v over the `window` keys that end at each query's position; ops.attention if the window covers all keys

    q (B, h, T, d)   k, v (B, n, S, d)   o (B, h, T, d)         Returns o, ln_sum, back.
    `slopes` as in ops.attention.
    ln_sum (B, h, T, 1) is the log of the softmax's denominator, with which a caller can add more keys. back(do, dln_sum) -> dq, dk, dv,
    which the caller may overwrite.
    """
    (B, h, T, _), (n, S) = q.shape, k.shape[1:3]
    deep = lambda z: z.reshape(B, n, h // n, T, -1)              # the heads of a group, with an axis for their shared key head
    qs, ks, vs = deep(q * scale), k[:, :, None], v[:, :, None]
    o, ln_sum, kept = xp.empty_like(qs), xp.empty_like(qs[..., :1]), []

    for r, c, distances in window_blocks(T, S, window):
        s = qs[..., r, :] @ ks[..., c, :].swapaxes(-1, -2)       # (B, n, h/n, rows, columns)
        if slopes is not None:
            s -= slopes.reshape(n, h // n, 1, 1) * distances.astype(s.dtype)
        s += xp.where((distances >= 0) & (distances < window), 0, -xp.inf).astype(s.dtype)
        top = s.max(-1, keepdims=True)
        s -= top
        xp.exp(s, out=s)
        total = s.sum(-1, keepdims=True)
        s /= total
        a, back_drop = dropout(s, rate, rng)
        o[..., r, :] = a @ vs[..., c, :]
        ln_sum[..., r, :] = top + xp.log(total)
        kept.append((r, c, s, a, back_drop))

    def back(do, dln_sum=None):
        do, dq, dk, dv = deep(do), xp.empty_like(qs), xp.zeros_like(k), xp.zeros_like(v)
        for r, c, s, a, back_drop in kept:
            ds = back_drop(do[..., r, :] @ vs[..., c, :].swapaxes(-1, -2))
            ds = ds - (ds * s).sum(-1, keepdims=True)
            if dln_sum is not None:
                ds += deep(dln_sum)[..., r, :]
            ds *= s
            dq[..., r, :] = ds @ ks[..., c, :]
            dk[..., c, :] += (ds.swapaxes(-1, -2) @ qs[..., r, :]).sum(2)
            dv[..., c, :] += (a.swapaxes(-1, -2) @ do[..., r, :]).sum(2)
        dq *= scale
        return dq.reshape(q.shape), dk, dv

    return o.reshape(q.shape), ln_sum.reshape(B, h, T, 1), back
