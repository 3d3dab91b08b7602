"""Primitives, each with its gradient, in order of increasing complexity.

Each is one function: `y, back = op(*arrays, **settings)`. `back(dy)` gives the gradient of every array argument, in the order
they were given. Arguments are read-only in both directions; y belongs to the caller unless the docstring says that it may be the
argument itself. Nothing here knows of names, configs or layers.

Letters, everywhere in littlebaby:
    B batch   T new tokens   S all tokens so far   D n_emb   H head_size (all heads)   h heads   n key/value heads   d = H / h
    V vocabulary   F hidden width   N rows (B T)   I, O any width in, out
"""
from math import pi, sqrt

from .backend import scatter_add, xp
from .erfc import erfc
from .tree import Lora

# shapes

def rows(x):
    """(..., I) -> (N, I)"""
    return x.reshape(-1, x.shape[-1])


def split_heads(x, h):
    """(B, T, h d) -> (B, h, T, d); its gradient is merge_heads"""
    B, T, H = x.shape
    return x.reshape(B, T, h, H // h).transpose(0, 2, 1, 3)


def merge_heads(*xs):
    """(B, h, T, d), ... -> (B, T, sum of h d), side by side; its gradient is split_heads of each part"""
    flat = [x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1) for x in xs]
    return flat[0] if len(flat) == 1 else xp.concatenate(flat, -1)


# linear algebra

def matmul_as(x, w):
    """x w, multiplied in w's precision and given in x's: where w is a half copy of a matrix (d_type fp16), so is the product"""
    return (x.astype(w.dtype, copy=False) @ w).astype(x.dtype, copy=False)


def linear(x, w, b=None):
    """y = x w + b          x (..., I)   w (I, O)   b (O) or None, then its gradient is None, too; a Lora in w's place gives its adapters'
    gradients for dw"""
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


def adapted(x, w, b=None):
    """y = x w + scale (x a) b + bias, for a Lora; of the frozen matrix no gradient is made     Hu et al. 2021, arXiv:2106.09685"""
    y = matmul_as(rows(x), w.w)                                  # (N, I) (I, O) -> (N, O)
    u = xp.empty(0)
    if b is not None:
        y += b
    if w.columns:
        u = rows(x) @ w.a                                        # (N, I) (I, r) -> (N, r)
        u *= w.scale
    for of_w, of_a, of_b in w.parts():
        y[:, of_w] += u[:, of_a] @ w.b[:, of_b]

    def back(dy):
        dy = rows(dy)
        dx = matmul_as(dy, w.w.T)
        dw: tuple = ()
        if w.columns:
            du, db = xp.empty_like(u), xp.empty_like(w.b)
            for of_w, of_a, of_b in w.parts():
                du[:, of_a] = dy[:, of_w] @ w.b[:, of_b].T
                db[:, of_b] = u[:, of_a].T @ dy[:, of_w]
            du *= w.scale
            dx += du @ w.a.T
            dw = rows(x).T @ du, db
        return dx.reshape(x.shape), dw, None if b is None else dy.sum(0)

    return y.reshape(*x.shape[:-1], w.shape[1]), back


def full_matrix(w):
    """The matrix that w stands for: itself, or a Lora's w + scale a b. For all who meet a matrix elsewhere than in `linear`;
    back(dw) is what `g` is to be given"""
    if not isinstance(w, Lora):
        return w, lambda dw: dw
    y = xp.array(w.w)
    for of_w, of_a, of_b in w.parts():
        y[:, of_w] += w.scale * (w.a[:, of_a] @ w.b[:, of_b])

    def back(dw):
        if not w.columns:
            return ()
        da, db = xp.empty_like(w.a), xp.empty_like(w.b)
        for of_w, of_a, of_b in w.parts():
            da[:, of_a] = w.scale * (dw[:, of_w] @ w.b[:, of_b].T)
            db[:, of_b] = w.scale * (w.a[:, of_a].T @ dw[:, of_w])
        return da, db

    return y, back


def matmul(a, b):
    """y = a b              a (..., M, K)   b (..., K, N)"""
    def back(dy):
        return dy @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ dy

    return a @ b, back


def embedding(ids, w):
    """y = w[ids]           ids (...)   w (V, D)   y (..., D); back gives dw alone: ids have no gradient"""
    def back(dy):
        dw = xp.zeros_like(w)
        scatter_add(dw, ids.reshape(-1), rows(dy))
        return dw

    return w[ids], back


# element by element

def gelu(x):
    """y = x/2 (1 + tanh(c (x + a x^3))),  c = sqrt(2/pi), a = 0.044715      Hendrycks & Gimpel 2016, arXiv:1606.08415"""
    c, a = sqrt(2 / pi), 0.044715
    t = xp.tanh(c * (x + a * x * x * x))

    def back(dy):
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * a * x * x))

    return 0.5 * x * (1 + t), back


def gelu_exact(x):
    """y = x Phi(x),  Phi(x) = erfc(-x / sqrt 2) / 2"""
    phi = 0.5 * erfc(x * -sqrt(0.5))

    def back(dy):
        return dy * (phi + x * xp.exp(-0.5 * x * x) * (1 / sqrt(2 * pi)))

    return x * phi, back


def relu(x):
    """y = max(x, 0)"""
    def back(dy):
        return dy * (x > 0)

    return xp.maximum(x, 0), back


def relu2(x):
    """y = max(x, 0)^2      So et al. 2021, arXiv:2109.08668"""
    r = xp.maximum(x, 0)

    def back(dy):
        return dy * (2 * r)

    return r * r, back


def sigmoid(x):
    """y = 1 / (1 + exp -x), exact in every digit however negative x is; y is no one's to overwrite"""
    e = xp.exp(-xp.abs(x))
    y = xp.where(x < 0, e, 1) / (1 + e)

    def back(dy):
        return dy * y * (1 - y)

    return y, back


def silu(x):
    """y = x sigmoid(x)     Elfwing et al. 2017, arXiv:1702.03118"""
    s, _ = sigmoid(x)

    def back(dy):
        return dy * s * (1 + x * (1 - s))

    return x * s, back


def glu(a, z):
    """y = a sigmoid(z)     Dauphin et al. 2016, arXiv:1612.08083"""
    s, _ = sigmoid(z)

    def back(dy):
        da = dy * s
        return da, da * a * (1 - s)

    return a * s, back


def swiglu(a, b):
    """y = silu(a) b        Shazeer 2020, arXiv:2002.05202"""
    s, _ = sigmoid(a)
    u = a * s

    def back(dy):
        return dy * b * (s + u * (1 - s)), dy * u

    return u * b, back


def dropout(x, rate, rng):
    """Zero a share `rate` of x and scale the rest up; y is x itself when rng is None or rate is 0"""
    if rng is None or rate == 0:
        return x, lambda dy: dy
    keep = (rng.random(x.shape, dtype=xp.float32) >= rate).astype(x.dtype) * (1 / (1 - rate))

    def back(dy):
        return dy * keep

    return x * keep, back


def rotate(x, cos, sin, layout):
    """Rotary positions: turn each pair of x (..., T, d) by its angle, cos, sin (T, d/2); the gradient turns back

    layout: interleaved pairs (0, 1), (2, 3), ... or half pairs (0, d/2), (1, d/2 + 1), ...     Su et al. 2021, arXiv:2104.09864
    """
    half = x.shape[-1] // 2
    one, two = (slice(0, None, 2), slice(1, None, 2)) if layout == "interleaved" else (slice(half), slice(half, None))

    def turn(z, s):
        y = xp.empty_like(z)
        y[..., one] = z[..., one] * cos - z[..., two] * s
        y[..., two] = z[..., one] * s + z[..., two] * cos
        return y

    return turn(x, sin), lambda dy: turn(dy, -sin)


# over the last axis

def softmax(x):
    """y_i = exp x_i / sum_j exp x_j"""
    y = xp.exp(x - x.max(-1, keepdims=True))
    y /= y.sum(-1, keepdims=True)

    def back(dy):
        dx = y * dy
        dx -= y * dx.sum(-1, keepdims=True)
        return dx

    return y, back


def rmsnorm(x, w, eps=1e-6):
    """y = w n,  n = x / sqrt(mean x^2 + eps)          Zhang & Sennrich 2019, arXiv:1910.07467"""
    r = 1 / xp.sqrt((x * x).mean(-1, keepdims=True) + eps)
    n = x * r

    def back(dy):
        dn = dy * w
        dx = r * (dn - n * (dn * n).mean(-1, keepdims=True))
        return dx, rows(dy * n).sum(0)

    return n * w, back


def layernorm(x, w, b, eps=1e-5):
    """y = w n + b,  n = (x - mean) / sqrt(var + eps)  Ba et al. 2016, arXiv:1607.06450"""
    n = x - x.mean(-1, keepdims=True)
    r = 1 / xp.sqrt((n * n).mean(-1, keepdims=True) + eps)
    n *= r

    def back(dy):
        dn = dy * w
        dx = r * (dn - dn.mean(-1, keepdims=True) - n * (dn * n).mean(-1, keepdims=True))
        return dx, rows(dy * n).sum(0), rows(dy).sum(0)

    return n * w + b, back


def cross_entropy(logits, targets):
    """The mean over counted tokens of -log softmax(logits)[target], in nats; a target of -1 is not counted

    logits (..., V)   targets (...)   y a number: 0 where nothing is counted.   `logits` are consumed: they may be overwritten.
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
        """scale: what the loss is multiplied with downstream"""
        d = e / total[:, None]
        d[at] -= 1
        d *= counted[:, None] * (scale / n)
        return d.astype(z.dtype).reshape(logits.shape)

    return loss, back


# attention

def distance(first, last, S):
    """(last - first, S): how far each key lies before the queries at first ... last - 1; below 0 for keys after them"""
    return xp.arange(first, last)[:, None] - xp.arange(S)


def attention(q, k, v, scale, rate=0.0, rng=None, slopes=None):
    """o = softmax(scale q k', future masked) v: every query mixes the values of the keys it matches, none of them later than itself

    q (B, h, T, d)   k (B, n, S, d)   v (B, n, S, dv)   o (B, h, T, dv)       the last query stands beside the last key
    The h/n query heads of a group share one key head; dropout `rate` falls on the mixing weights; with `slopes` (h), constants of zero
    or more, a score falls by its head's slope with every token between query and key.
    Vaswani et al. 2017, arXiv:1706.03762; groups: Ainslie et al. 2023, arXiv:2305.13245; slopes: Press et al. 2021, arXiv:2108.12409.
    """
    (B, h, T, _), (n, S) = q.shape, k.shape[1:3]
    # a group's heads stand in one tall matrix: their key's gradient sums over them by itself
    group = lambda z: z.reshape(B, n, h // n * T, -1)            # (B, h, T, .) -> (B, n, h/n T, .)
    apart = lambda z: z.reshape(B, h, T, -1)

    # who looks at whom                                          (B, h, T, S)
    s, back_s = matmul(group(q * scale), k.swapaxes(-1, -2))
    s = apart(s)
    if slopes is not None:
        s -= slopes[:, None, None] * distance(S - T, S, S).astype(s.dtype)
    s[..., ~xp.tri(T, S, S - T, dtype=bool)] = -xp.inf
    a, back_a = softmax(s)
    a, back_drop = dropout(a, rate, rng)

    # mix the values                                             (B, h, T, dv)
    o, back_o = matmul(group(a), v)

    def back(do):
        da, dv = back_o(group(do))
        ds = back_a(back_drop(apart(da)))
        dq, dk = back_s(group(ds))
        return apart(dq) * scale, dk.swapaxes(-1, -2), dv

    return apart(o), back


def weight_heads(o, w):
    """y = w o: each head's answer o (B, h, T, d) by that head's weight for each token, w (B, T, h)"""
    w = w.swapaxes(1, 2)[..., None]                              # (B, h, T, 1)

    def back(dy):
        return dy * w, (dy * o).sum(-1).swapaxes(1, 2)

    return o * w, back
