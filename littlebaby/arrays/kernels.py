"""Faster versions of functions of ops for the CPU, with the same names and arguments; tests check that the results are equal.

What makes them faster: products of 2-D arrays; element-wise operations in chunks that fit into the cache; sums over rows and columns as
products with ones (BLAS adds faster than a ufunc); `out=` into existing arrays; causal attention in blocks, without the masked keys.
"""
import threading
from copy import deepcopy
from functools import lru_cache, wraps
from math import sqrt
from typing import Any

import numpy as np

from . import ops
from .backend import on_cpu
from .ops import Array, Back
from .tree import Lora

CHUNK = 131072     # numbers per chunk: half a megabyte in float32
BLOCK = 64         # queries per attention block
LONG = 2048        # with more keys than this, backward recomputes the T T / 2 weights of each head instead of storing them, to save memory
SAFE = 60.0        # exp of scores up to here does not overflow float32, nor do its sums over a million keys
MASKED = -1e30     # a score whose exp is 0


def fast_on_cpu(fast: Back) -> Back:
    """A function that calls `fast` on the CPU, and the function of the same name in ops on a GPU"""
    plain = getattr(ops, fast.__name__)

    @wraps(plain)
    def op(*args, **settings):
        return (fast if on_cpu() else plain)(*args, **settings)

    return op


@lru_cache(256)
def ones(n: int, dtype: Any) -> Array:
    """Ones (n,), read-only, for sums as matrix products"""
    a = np.ones(n, dtype)
    a.flags.writeable = False
    return a


local = threading.local()


def scratch(like: Array, slot: int = 0) -> Array:
    """A buffer with the shape of `like` for intermediate results; the next call with this slot in this thread overwrites it"""
    pool = local.__dict__.setdefault("pool", {})
    key = slot, like.dtype
    if key not in pool or pool[key].size < like.size:
        pool[key] = np.empty(max(like.size, CHUNK), like.dtype)
    return pool[key][:like.size].reshape(like.shape)


def chunks(x: Array) -> list[slice]:
    """Slices of the rows of x (N, I) with about CHUNK numbers each"""
    step = max(1, CHUNK // x.shape[1])
    return [slice(i, i + step) for i in range(0, len(x), step)]


def column_sum(x: Array) -> Array:
    """(N, I) -> (I)"""
    return ones(len(x), x.dtype) @ x


@fast_on_cpu
def linear(x: Array, w: Array, b: Array = None) -> tuple[Array, Back]:
    if isinstance(w, Lora) or w.dtype != x.dtype:
        return ops.linear(x, w, b)
    x2 = ops.rows(x)
    y = np.matmul(x2, w)
    if b is not None:
        y += b

    def back(dy):
        dy = ops.rows(dy)
        return np.matmul(dy, w.T).reshape(x.shape), x2.T @ dy, None if b is None else column_sum(dy)

    return y.reshape(*x.shape[:-1], w.shape[1]), back


@fast_on_cpu
def embedding(ids: Array, w: Array) -> tuple[Array, Back]:
    def back(dy):
        flat, dy, V = ids.reshape(-1), ops.rows(dy), len(w)
        if V <= 256:                                             # a product with one-hot rows adds up repeated ids
            hot = np.zeros((len(flat), V), dy.dtype)
            hot[np.arange(len(flat)), flat] = 1
            return hot.T @ dy
        order = np.argsort(flat, kind="stable")
        sorted_ids = flat[order]
        starts = np.flatnonzero(np.r_[True, sorted_ids[1:] != sorted_ids[:-1]])
        dw = np.zeros_like(w)
        dw[sorted_ids[starts]] = np.add.reduceat(dy[order], starts, axis=0)
        return dw

    return w[ids], back


@fast_on_cpu
def gelu(x: Array) -> tuple[Array, Back]:
    # with q = sigmoid 2u:  y = x q  and  y' = q + (1 - q) y 2u',  2u' = 2c + 6 c a x^2 = -3 w - 4c  where  w = -2c - 2 c a x^2 = -2u / x
    c, shape, x2 = sqrt(2 / np.pi), x.shape, ops.rows(x)         # back does not use x, so that x can be freed
    y, d = np.empty_like(x2), np.empty_like(x2)
    for z in chunks(x2):
        u, q = x2[z], d[z]
        w = np.multiply(u, u, out=scratch(u))
        w *= -2 * c * 0.044715
        w -= 2 * c
        sigmoid_of_negated(np.multiply(w, u, out=q))
        np.multiply(u, q, out=y[z])
        w *= -3
        w -= 4 * c
        w *= y[z]
        rest = np.subtract(1, q, out=scratch(q, 1))
        rest *= w
        q += rest

    def back(dy):
        return dy * d.reshape(shape)

    return y.reshape(shape), back


def sigmoid_of_negated(x: Array) -> None:
    """x <- sigmoid(-x) = 1 / (1 + exp x), in place; if exp overflows the result is 0, the right limit. exp takes half the time of tanh"""
    with np.errstate(over="ignore"):
        np.exp(x, out=x)
    x += 1
    np.divide(1, x, out=x)


@fast_on_cpu
def swiglu(a: Array, b: Array) -> tuple[Array, Back]:
    shape, a2, b2 = a.shape, ops.rows(a), ops.rows(b)
    u, s, y = np.empty_like(a2), np.empty_like(a2), np.empty_like(a2)
    for z in chunks(a2):
        t = np.negative(a2[z], out=s[z])
        sigmoid_of_negated(t)
        np.multiply(a2[z], t, out=u[z])
        np.multiply(u[z], b2[z], out=y[z])

    def back(dy):
        dy = ops.rows(dy)
        da, db = np.empty_like(u), np.empty_like(u)
        for z in chunks(dy):
            np.multiply(dy[z], u[z], out=db[z])
            t = np.subtract(1, s[z], out=da[z])                  # silu' = s + u (1 - s)
            t *= u[z]
            t += s[z]
            t *= b2[z]
            t *= dy[z]
        return da.reshape(shape), db.reshape(shape)

    return y.reshape(shape), back


@fast_on_cpu
def rmsnorm(x: Array, w: Array, eps: float = 1e-6) -> tuple[Array, Back]:
    shape, x2 = x.shape, ops.rows(x)
    N, D = x2.shape
    n, y, r = np.empty_like(x2), np.empty_like(x2), np.empty((N, 1), x.dtype)
    for z in chunks(x2):
        rz = r[z]
        np.vecdot(x2[z], x2[z], out=rz[:, 0])
        inverse_root(rz, D, eps)
        np.multiply(x2[z], rz, out=n[z])
        np.multiply(n[z], w, out=y[z])

    def back(dy):
        dy = ops.rows(dy)
        dx, dyn, wD = np.empty_like(dy), np.empty_like(dy), w * (1 / D)
        for z in chunks(dy):
            t = np.multiply(dy[z], n[z], out=dyn[z])
            mean = np.matmul(t, wD)[:, None]
            d = np.multiply(dy[z], w, out=dx[z])
            d -= np.multiply(n[z], mean, out=scratch(d))
            d *= r[z]
        return dx.reshape(shape), column_sum(dyn)

    return y.reshape(shape), back


@fast_on_cpu
def layernorm(x: Array, w: Array, b: Array, eps: float = 1e-5) -> tuple[Array, Back]:
    shape, x2 = x.shape, ops.rows(x)
    N, D = x2.shape
    n, y, r = np.empty_like(x2), np.empty_like(x2), np.empty((N, 1), x.dtype)
    share = ones(D, x.dtype) * (1 / D)
    for z in chunks(x2):
        nz, rz = n[z], r[z]
        np.subtract(x2[z], np.matmul(x2[z], share)[:, None], out=nz)
        np.vecdot(nz, nz, out=rz[:, 0])
        inverse_root(rz, D, eps)
        nz *= rz
        np.multiply(nz, w, out=y[z])
        y[z] += b

    def back(dy):
        dy = ops.rows(dy)
        dx, dyn, wD = np.empty_like(dy), np.empty_like(dy), w * (1 / D)
        for z in chunks(dy):
            t = np.multiply(dy[z], n[z], out=dyn[z])
            mean, mean_n = np.matmul(dy[z], wD)[:, None], np.matmul(t, wD)[:, None]
            d = np.multiply(dy[z], w, out=dx[z])
            d -= mean
            d -= np.multiply(n[z], mean_n, out=scratch(d))
            d *= r[z]
        return dx.reshape(shape), column_sum(dyn), column_sum(dy)

    return y.reshape(shape), back


def inverse_root(total: Array, D: int, eps: float) -> None:
    """total <- 1 / sqrt(total / D + eps), in place"""
    total *= 1 / D
    total += eps
    np.sqrt(total, out=total)
    np.divide(1, total, out=total)


@fast_on_cpu
def cross_entropy(logits: Array, targets: Array) -> tuple[float, Back]:
    z, t = ops.rows(logits), targets.reshape(-1)
    counted = t >= 0
    n = max(int(np.count_nonzero(counted)), 1)
    at = np.where(counted, t, 0)
    loss = 0.0
    e = z if z.flags.writeable else np.empty_like(z)             # the logits are overwritten
    total = np.empty(len(z), z.dtype)
    for c in chunks(z):
        row = np.arange(len(t[c]))
        ez = np.subtract(z[c], z[c].max(-1, keepdims=True), out=e[c])
        picked = ez[row, at[c]]
        np.exp(ez, out=ez)
        np.matmul(ez, ones(ez.shape[1], ez.dtype), out=total[c])
        loss += float(((np.log(total[c]) - picked) * counted[c]).sum())

    def back(scale=1.0):
        weight = counted * (scale / n)
        for c in chunks(e):
            row, ez = np.arange(len(t[c])), e[c]
            ez *= (weight[c] / total[c]).astype(ez.dtype)[:, None]
            ez[row, at[c]] -= weight[c].astype(ez.dtype)
        return e.reshape(logits.shape)

    return loss / n, back


@fast_on_cpu
def rotate(x: Array, cos: Array, sin: Array, layout: str) -> tuple[Array, Back]:
    if layout == "interleaved" and x.strides[-1] == x.itemsize:
        kind = np.complex64 if x.dtype == np.float32 else np.complex128
        angle = cos.astype(kind)                                 # a pair is one complex number, a rotation one product
        angle.imag = sin
        back_angle = angle.conj()
        return (x.view(kind) * angle).view(x.dtype), lambda dy: rotate_pairs(dy, kind, back_angle)
    half = x.shape[-1] // 2

    def rotated(z, sin):
        if layout == "interleaved":
            return ops.rotate(z, cos, sin, layout)[0]
        one, two, y = z[..., :half], z[..., half:], np.empty_like(z)
        np.multiply(one, cos, out=y[..., :half])
        np.multiply(two, cos, out=y[..., half:])
        t = np.multiply(two, sin)
        y[..., :half] -= t
        np.multiply(one, sin, out=t)
        y[..., half:] += t
        return y

    return rotated(x, sin), lambda dy: rotated(dy, -sin)


def rotate_pairs(x: Array, kind: Any, angle: Array) -> Array:
    """The pairs of x as complex numbers of type `kind`, multiplied by `angle`, as an array of the type of x"""
    return (np.ascontiguousarray(x).view(kind) * angle).view(x.dtype)


@lru_cache(64)
def causal_mask(n: int, dtype: Any) -> Array:
    """(n, n) 0 at and below the diagonal, MASKED above: added to the scores of a block on the diagonal"""
    return np.triu(np.full((n, n), MASKED, dtype), 1)


@fast_on_cpu
def attention(q: Array, k: Array, v: Array, scale: float, rate: float = 0.0, rng: Any = None, slopes: Array = None) -> tuple[Array, Back]:
    (B, h, T, d), (n, S), dv = q.shape, k.shape[1:3], v.shape[3]
    if T == 1 and rng is None:
        return one_query(q, k, v, scale, slopes)
    m, past = h // n, S - T                                      # heads of a group; keys before the first query
    # a block of rows must hold the same positions of all heads, so the heads of a group get an axis: (B, n, m, T, .) and (B, n, 1, S, .)
    deep = lambda z: z.reshape(B, n, m, *z.shape[2:])
    qs = heads_last(B, h, T, d, q.dtype)
    np.multiply(q, scale, out=qs)
    q5, k5, v5 = deep(qs), k[:, :, None], v[:, :, None]
    o = heads_last(B, h, T, dv, q.dtype)
    o5, inverse, shift = deep(o), np.empty((B, n, m, T, 1), q.dtype), needs_shift(q5, k5, past)
    blocks = [(i, min(i + BLOCK, T)) for i in range(0, T, BLOCK)]
    kept = []
    deep_slopes = None if slopes is None else slopes.reshape(n, m, 1, 1)

    def exp_scores(i, j, rng):
        """exp of the scores of queries i ... j - 1 with all keys up to j - 1, and the dropout mask or None"""
        s = np.matmul(q5[..., i:j, :], k5[..., :past + j, :].swapaxes(-1, -2))      # (B, n, m, j - i, past + j)
        if slopes is not None:                                   # this only lowers scores, so the bound of needs_shift still holds
            s -= deep_slopes * ops.distance(past + i, past + j, past + j).astype(s.dtype)
        s[..., past + i:] += causal_mask(j - i, q.dtype)
        if shift is not None and shift[..., i:j].any():          # the other rows have scores below SAFE
            s -= np.where(shift[..., i:j, None], s.max(-1, keepdims=True), 0)
        np.exp(s, out=s)
        if rng is None or not rate:
            return s, None
        keep = (rng.random(s.shape, dtype=np.float32) >= rate).astype(s.dtype)
        keep *= 1 / (1 - rate)
        return s, keep

    for i, j in blocks:
        rng_before = None if S <= LONG else deepcopy(rng)        # in a long text backward draws the same random numbers again
        s, keep = exp_scores(i, j, rng)
        total = inverse[..., i:j, :]
        np.matmul(s, ones(past + j, q.dtype)[:, None], out=total)
        np.divide(1, total, out=total)
        np.matmul(s if keep is None else s * keep, v5[..., :past + j, :], out=o5[..., i:j, :])
        kept.append((s, keep) if S <= LONG else rng_before)
    o5 *= inverse

    def back(do):
        dq, dk, dv_ = (heads_last(B, *shape, q.dtype) for shape in ((h, T, d), (n, S, d), (n, S, dv)))
        dq5, dk5, dv5 = deep(dq), dk[:, :, None], dv_[:, :, None]
        dn = heads_last(B, h, T, dv, q.dtype)
        dn5 = deep(dn)
        np.multiply(deep(do), inverse, out=dn5)
        mean = np.vecdot(dn, o).reshape(B, n, m, T, 1)           # the sum of a da over the keys
        fresh = True
        for (i, j), stored in zip(reversed(blocks), reversed(kept)):
            s, keep = stored if S <= LONG else exp_scores(i, j, stored)
            da = np.matmul(dn5[..., i:j, :], v5[..., :past + j, :].swapaxes(-1, -2))
            a = s
            if keep is not None:
                da *= keep
                a = s * keep
            da -= mean[..., i:j, :]
            da *= s                                              # now the gradient of the scores
            np.matmul(da, k5[..., :past + j, :], out=dq5[..., i:j, :])
            add_group(dv5, a, dn5[..., i:j, :], past + j, fresh)
            add_group(dk5, da, q5[..., i:j, :], past + j, fresh)
            fresh = False
        dq *= scale
        return dq, dk, dv_

    return o, back


def add_group(out: Array, a: Array, b: Array, stop: int, fresh: bool) -> None:
    """out[:stop] += a' b, summed over the heads of a group; if `fresh` (the first block, which has all keys) out = a' b"""
    if fresh and a.shape[2] == 1:
        np.matmul(a.swapaxes(-1, -2), b, out=out)
        return
    d = np.matmul(a.swapaxes(-1, -2), b)                         # (B, n, m, stop, .)
    if d.shape[2] > 1:
        d = d.sum(2, keepdims=True)
    if fresh:
        out[...] = d
    else:
        out[..., :stop, :] += d


def heads_last(B: int, h: int, T: int, d: int, dtype: Any) -> Array:
    """An uninitialized (B, h, T, d) with the memory layout (B, T, h, d), so that merge_heads need not copy it"""
    return np.empty((B, T, h, d), dtype).transpose(0, 2, 1, 3)


def needs_shift(q5: Array, k5: Array, past: int) -> Array:
    """A mask (B, n, m, T) of the rows whose maximum must be subtracted before exp, None if there are none: the rows in which
    |q_t| max_{j<=t} |k_j|, an upper bound of the scores, is not below SAFE. Later keys are not used, so that not even the last bit of a
    token's result depends on later tokens."""
    bound = np.maximum.accumulate(np.vecdot(k5, k5), -1)[..., past:]
    bound = bound * np.vecdot(q5, q5)                            # (B, n, m, T), the square of the bound
    return None if bound.max() < SAFE * SAFE else ~(bound < SAFE * SAFE)


def one_query(q: Array, k: Array, v: Array, scale: float, slopes: Array) -> tuple[Array, Back]:
    """attention for one query, as in generation: without mask and blocks"""
    B, h, _, d = q.shape
    n, dv = k.shape[1], v.shape[3]
    s = np.matmul((q * scale).reshape(B, n, h // n, d), k.swapaxes(-1, -2))         # (B, n, h/n, S)
    if slopes is not None:
        s -= slopes.reshape(n, h // n, 1) * ops.distance(k.shape[2] - 1, k.shape[2], k.shape[2]).astype(s.dtype)
    s -= s.max(-1, keepdims=True)
    np.exp(s, out=s)
    o = np.matmul(s, v)
    o /= s.sum(-1, keepdims=True)

    def back(do):
        return ops.attention(q, k, v, scale, slopes=slopes)[1](do)

    return o.reshape(B, h, 1, dv), back
