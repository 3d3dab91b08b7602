"""Primitive operations, each with its gradient, in order of increasing complexity.

Each is one function: `y, back = op(*arrays, **settings)`. `back(dy)` returns the gradients of all array arguments, in their order. No
argument of op or back is changed. The caller may overwrite y, unless the docstring says that y can be the argument itself or that back uses
y. Nothing here uses names of weights, configs or layers.

Letters, everywhere in littlebaby:
    B batch   T new tokens   S all tokens so far   D n_emb   H head_size (all heads)   h heads   n key/value heads   d = H / h
    V vocabulary   F hidden width   N rows (B T)   I, O any width in, out
"""
from collections.abc import Callable
from math import pi, sqrt
from typing import Any

from .backend import scatter_add, xp
from .erfc import erfc
from .tree import Lora

Array = Any                   # of NumPy or CuPy
Back = Callable[..., Any]     # dy -> the gradients


# shapes

def rows(x: Array) -> Array:
    """(..., I) -> (N, I)"""
    return x.reshape(-1, x.shape[-1])


def split_heads(x: Array, h: int) -> Array:
    """(B, T, h d) -> (B, h, T, d); its gradient is merge_heads"""
    B, T, H = x.shape
    return x.reshape(B, T, h, H // h).transpose(0, 2, 1, 3)


def merge_heads(*xs: Array) -> Array:
    """(B, h, T, d), ... -> (B, T, sum of h d), concatenated; its gradient is split_heads of each part"""
    flat = [x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1) for x in xs]
    return flat[0] if len(flat) == 1 else xp.concatenate(flat, -1)


# linear algebra

def matmul_as(x: Array, w: Array) -> Array:
    """x w, computed in the type of w (half precision with d_type fp16) and returned in the type of x"""
    return (x.astype(w.dtype, copy=False) @ w).astype(x.dtype, copy=False)


def linear(x: Array, w: Array, b: Array = None) -> tuple[Array, Back]:
    """y = x w + b          x (..., I)   w (I, O)   b (O) or None, whose gradient is None. If w is a Lora, dw is that of its adapters"""
    if isinstance(w, Lora):
        return adapted(x, w, b)
    y = matmul_as(rows(x), w)                                    # (N, I) (I, O) -> (N, O)
    if b is not None:
        y += b

    def back(dy):
        dy = rows(dy)
        dx = matmul_as(dy, w.T).reshape(x.shape)
        dw = matmul_as(rows(x).T, dy.astype(w.dtype, copy=False))
        return dx, dw, None if b is None else dy.sum(0)

    return y.reshape(*x.shape[:-1], w.shape[1]), back


def adapted(x: Array, w: Lora, b: Array = None) -> tuple[Array, Back]:
    """y = x w.w + w.scale (x w.a) w.b + b          x (..., I); dw is (da, db), since w.w is frozen     Hu et al. 2021, arXiv:2106.09685"""
    y = matmul_as(rows(x), w.w)                                  # (N, I) (I, O) -> (N, O)
    u = xp.empty(0)
    if b is not None:
        y += b
    if w.columns:
        u = rows(x) @ w.a                                        # (N, I) (I, r) -> (N, r)
        u *= w.scale
    for w_columns, a_columns, b_columns in w.parts():
        y[:, w_columns] += u[:, a_columns] @ w.b[:, b_columns]

    def back(dy):
        dy = rows(dy)
        dx = matmul_as(dy, w.w.T)
        dw: tuple = ()
        if w.columns:
            du, db = xp.empty_like(u), xp.empty_like(w.b)
            for w_columns, a_columns, b_columns in w.parts():
                du[:, a_columns] = dy[:, w_columns] @ w.b[:, b_columns].T
                db[:, b_columns] = u[:, a_columns].T @ dy[:, w_columns]
            du *= w.scale
            dx += du @ w.a.T
            dw = rows(x).T @ du, db
        return dx.reshape(x.shape), dw, None if b is None else dy.sum(0)

    return y.reshape(*x.shape[:-1], w.shape[1]), back


def full_matrix(w: Array) -> tuple[Array, Back]:
    """w, or w.w + w.scale w.a w.b for a Lora, for products outside of `linear`; back(dw) is the gradient to be added to g"""
    if not isinstance(w, Lora):
        return w, lambda dw: dw
    y = xp.array(w.w)
    for w_columns, a_columns, b_columns in w.parts():
        y[:, w_columns] += w.scale * (w.a[:, a_columns] @ w.b[:, b_columns])

    def back(dw):
        if not w.columns:
            return ()
        da, db = xp.empty_like(w.a), xp.empty_like(w.b)
        for w_columns, a_columns, b_columns in w.parts():
            da[:, a_columns] = w.scale * (dw[:, w_columns] @ w.b[:, b_columns].T)
            db[:, b_columns] = w.scale * (w.a[:, a_columns].T @ dw[:, w_columns])
        return da, db

    return y, back


def matmul(a: Array, b: Array) -> tuple[Array, Back]:
    """y = a b              a (..., M, K)   b (..., K, N)"""
    def back(dy):
        return dy @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ dy

    return a @ b, back


def embedding(ids: Array, w: Array) -> tuple[Array, Back]:
    """y = w[ids]           ids (...)   w (V, D)   y (..., D); back returns dw only, since ids have no gradient"""
    def back(dy):
        dw = xp.zeros_like(w)
        scatter_add(dw, ids.reshape(-1), rows(dy))
        return dw

    return w[ids], back


# element by element

def gelu(x: Array) -> tuple[Array, Back]:
    """y = x/2 (1 + tanh(c (x + a x^3))),  c = sqrt(2/pi), a = 0.044715      Hendrycks & Gimpel 2016, arXiv:1606.08415"""
    c, a = sqrt(2 / pi), 0.044715
    t = xp.tanh(c * (x + a * x * x * x))

    def back(dy):
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * a * x * x))

    return 0.5 * x * (1 + t), back


def gelu_exact(x: Array) -> tuple[Array, Back]:
    """y = x Phi(x),  Phi(x) = erfc(-x / sqrt 2) / 2"""
    phi = 0.5 * erfc(x * -sqrt(0.5))

    def back(dy):
        return dy * (phi + x * xp.exp(-0.5 * x * x) * (1 / sqrt(2 * pi)))

    return x * phi, back


def relu(x: Array) -> tuple[Array, Back]:
    """y = max(x, 0)"""
    def back(dy):
        return dy * (x > 0)

    return xp.maximum(x, 0), back


def relu2(x: Array) -> tuple[Array, Back]:
    """y = max(x, 0)^2      So et al. 2021, arXiv:2109.08668"""
    r = xp.maximum(x, 0)

    def back(dy):
        return dy * (2 * r)

    return r * r, back


def sigmoid(x: Array) -> tuple[Array, Back]:
    """y = 1 / (1 + exp -x), accurate also for very negative x; back uses y, so y must not be overwritten"""
    e = xp.exp(-xp.abs(x))
    y = xp.where(x < 0, e, 1) / (1 + e)

    def back(dy):
        return dy * y * (1 - y)

    return y, back


def silu(x: Array) -> tuple[Array, Back]:
    """y = x sigmoid(x)     Elfwing et al. 2017, arXiv:1702.03118"""
    s, _ = sigmoid(x)

    def back(dy):
        return dy * s * (1 + x * (1 - s))

    return x * s, back


def glu(a: Array, z: Array) -> tuple[Array, Back]:
    """y = a sigmoid(z)     Dauphin et al. 2016, arXiv:1612.08083"""
    s, _ = sigmoid(z)

    def back(dy):
        da = dy * s
        return da, da * a * (1 - s)

    return a * s, back


def swiglu(a: Array, b: Array) -> tuple[Array, Back]:
    """y = silu(a) b        Shazeer 2020, arXiv:2002.05202"""
    s, _ = sigmoid(a)
    u = a * s

    def back(dy):
        return dy * b * (s + u * (1 - s)), dy * u

    return u * b, back


def dropout(x: Array, rate: float, rng: Any) -> tuple[Array, Back]:
    """Set a random fraction `rate` of x to 0 and multiply the rest by 1 / (1 - rate); y is x itself if rng is None or rate is 0"""
    if rng is None or rate == 0:
        return x, lambda dy: dy
    keep = (rng.random(x.shape, dtype=xp.float32) >= rate).astype(x.dtype) * (1 / (1 - rate))

    def back(dy):
        return dy * keep

    return x * keep, back


def rotate(x: Array, cos: Array, sin: Array, layout: str) -> tuple[Array, Back]:
    """Rotary positions: rotate each pair of numbers of x (..., T, d) by its angle, and the gradient by the negative angle

    cos, sin: of the angles, (T, d/2)

    layout: "interleaved": pairs (0, 1), (2, 3), ...; "half": pairs (0, d/2), (1, d/2 + 1), ...     Su et al. 2021, arXiv:2104.09864
    """
    half = x.shape[-1] // 2
    one, two = (slice(0, None, 2), slice(1, None, 2)) if layout == "interleaved" else (slice(half), slice(half, None))

    def rotated(z, sin):
        y = xp.empty_like(z)
        y[..., one] = z[..., one] * cos - z[..., two] * sin
        y[..., two] = z[..., one] * sin + z[..., two] * cos
        return y

    return rotated(x, sin), lambda dy: rotated(dy, -sin)


# over the last axis

def softmax(x: Array) -> tuple[Array, Back]:
    """y_i = exp x_i / sum_j exp x_j"""
    y = xp.exp(x - x.max(-1, keepdims=True))
    y /= y.sum(-1, keepdims=True)

    def back(dy):
        dx = y * dy
        dx -= y * dx.sum(-1, keepdims=True)
        return dx

    return y, back


def proportions(x: Array) -> tuple[Array, Back]:
    """y_i = x_i / (sum_j x_j + 1e-20)          x_i >= 0, whose sum may be 0; back uses y"""
    total = x.sum(-1, keepdims=True) + 1e-20
    y = x / total

    def back(dy):
        return (dy - (dy * y).sum(-1, keepdims=True)) / total

    return y, back


def rmsnorm(x: Array, w: Array, eps: float = 1e-6) -> tuple[Array, Back]:
    """y = w n,  n = x / sqrt(mean x^2 + eps)          Zhang & Sennrich 2019, arXiv:1910.07467"""
    r = 1 / xp.sqrt((x * x).mean(-1, keepdims=True) + eps)
    n = x * r

    def back(dy):
        dn = dy * w
        dx = r * (dn - n * (dn * n).mean(-1, keepdims=True))
        return dx, rows(dy * n).sum(0)

    return n * w, back


def layernorm(x: Array, w: Array, b: Array, eps: float = 1e-5) -> tuple[Array, Back]:
    """y = w n + b,  n = (x - mean) / sqrt(var + eps)  Ba et al. 2016, arXiv:1607.06450"""
    n = x - x.mean(-1, keepdims=True)
    r = 1 / xp.sqrt((n * n).mean(-1, keepdims=True) + eps)
    n *= r

    def back(dy):
        dn = dy * w
        dx = r * (dn - dn.mean(-1, keepdims=True) - n * (dn * n).mean(-1, keepdims=True))
        return dx, rows(dy * n).sum(0), rows(dy).sum(0)

    return n * w + b, back


def cross_entropy(logits: Array, targets: Array) -> tuple[float, Back]:
    """The mean over counted tokens of -log softmax(logits)[target], in nats; a token with target -1 is not counted

    logits (..., V)   targets (...)   y a number, 0 if no token is counted. `logits` may be overwritten.
    """
    z, t = rows(logits), targets.reshape(-1)                     # (N, V), (N,)
    counted = t >= 0
    n = max(int(counted.sum()), 1)
    at = xp.arange(len(t)), xp.where(counted, t, 0)
    z = z - z.max(-1, keepdims=True)
    e = xp.exp(z)
    total = e.sum(-1)                                            # (N,)
    loss = float(((xp.log(total) - z[at]) * counted).sum()) / n

    def back(scale=1.0):
        """scale: the factor by which the loss is multiplied in the total loss"""
        d = e / total[:, None]
        d[at] -= 1
        d *= counted[:, None] * (scale / n)
        return d.astype(z.dtype).reshape(logits.shape)

    return loss, back


def log_likelihood(logits: Array, targets: Array) -> tuple[Array, Back]:
    """log softmax(logits)[target] of every token, in nats; 0 for a token with target -1

    logits (..., V)   targets (...)   y (...)
    """
    z, t = rows(logits), targets.reshape(-1)                     # (N, V), (N,)
    counted = t >= 0
    at = xp.arange(len(t)), xp.where(counted, t, 0)
    z = z - z.max(-1, keepdims=True)
    e = xp.exp(z)
    total = e.sum(-1)                                            # (N,)
    y = (z[at] - xp.log(total)) * counted

    def back(dy):
        weight = dy.reshape(-1) * counted                        # (N,)
        d = e * (-weight / total)[:, None]
        d[at] += weight
        return d.astype(z.dtype).reshape(logits.shape)

    return y.astype(z.dtype).reshape(targets.shape), back


# attention

def distance(first: int, last: int, S: int) -> Array:
    """(last - first, S): distance in tokens from each key to the queries at first ... last - 1; negative for keys after the query"""
    return xp.arange(first, last)[:, None] - xp.arange(S)


def attention(q: Array, k: Array, v: Array, scale: float, rate: float = 0.0, rng: Any = None,
              slopes: Array = None) -> tuple[Array, Back]:
    """o = softmax(scale q k', later tokens masked) v: a weighted mean of the values up to each query's own position

    q (B, h, T, d)   k (B, n, S, d)   v (B, n, S, dv)   o (B, h, T, dv)       the last query has the position of the last key
    The h/n query heads of a group share one key head; dropout with `rate` is applied to the softmax weights; `slopes` (h), constants of
    0 or more, are multiplied by the distance of query and key and subtracted from the scores.
    Vaswani et al. 2017, arXiv:1706.03762; groups: Ainslie et al. 2023, arXiv:2305.13245; slopes: Press et al. 2021, arXiv:2108.12409.
    """
    (B, h, T, _), (n, S) = q.shape, k.shape[1:3]
    # the heads of a group form one matrix, so the products for dk and dv sum over them
    group = lambda z: z.reshape(B, n, h // n * T, -1)            # (B, h, T, .) -> (B, n, h/n T, .)
    ungroup = lambda z: z.reshape(B, h, T, -1)                   # (B, n, h/n T, .) -> (B, h, T, .)

    # scores and softmax                                         (B, h, T, S)
    s, back_s = matmul(group(q * scale), k.swapaxes(-1, -2))
    s = ungroup(s)
    if slopes is not None:
        s -= slopes[:, None, None] * distance(S - T, S, S).astype(s.dtype)
    s[..., ~xp.tri(T, S, S - T, dtype=bool)] = -xp.inf
    a, back_a = softmax(s)
    a, back_drop = dropout(a, rate, rng)

    # weighted mean of the values                                (B, h, T, dv)
    o, back_o = matmul(group(a), v)

    def back(do):
        da, dv = back_o(group(do))
        ds = back_a(back_drop(ungroup(da)))
        dq, dk = back_s(group(ds))
        return ungroup(dq) * scale, dk.swapaxes(-1, -2), dv

    return ungroup(o), back


def weight_heads(o: Array, w: Array) -> tuple[Array, Back]:
    """y = w o: the outputs of the heads o (B, h, T, d), multiplied by a weight per token and head, w (B, T, h)"""
    w = w.swapaxes(1, 2)[..., None]                              # (B, h, T, 1)

    def back(dy):
        return dy * w, (dy * o).sum(-1).swapaxes(1, 2)

    return o * w, back
