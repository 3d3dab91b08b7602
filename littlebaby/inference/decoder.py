"""decoder: a faster gpt.forward for the next token of one text, or of each of B texts, on the CPU, without a backward pass.

For one token a function call costs as much time as the matrix product in it. So weights, widths and tables are looked up once per text,
arrays have no unnecessary axes, and nothing is stored for a backward pass. The cache is that of gpt.forward, and the two can be used
alternately. A variant without a fast version here is called through its own forward, so every variant can be decoded. A test checks that
the results equal those of gpt.forward; speed: docs/benchmarks.md.

Letters as in arrays/ops.py; x is the vector (D,) of the token of one text, or those (B, D) of B texts, and `place` their position in the
window.
"""
from collections.abc import Callable
from math import sqrt
from types import ModuleType
from typing import Any

import numpy as np

from .. import arrays
from ..arrays.tree import Lora
from ..model.context import Context, variant
from ..model.gpt import network, parts, unembedding


def decoder(p: Any, cfg: Any, batch: bool = False) -> Callable[[Any, int, dict], np.ndarray]:
    """The function logits(token, place, cache) -> (V,), with the cache of all earlier tokens, to which it adds this one; with `batch` the
    function for B texts, tokens (B,) -> (B, V)"""
    _, norm, position = parts(cfg)
    pre, head, bias = cfg.c_sequence == "pre", unembedding(p), p.head.get("b")
    norm_of = batch_normalizer if batch else normalizer
    blocks = [[(norm_of(pb.norm1, cfg), part_function(variant("attentions", cfg.c_attention), pb.att, cfg, i, "att")),
               (norm_of(pb.norm2, cfg), part_function(network(cfg, i), pb.net, cfg, i, "net"))] for i, pb in enumerate(p.blocks)]
    last = norm_of(p.norm, cfg) if "norm" in p else None

    def logits(token, place, cache):
        x = p.token[token]                                       # (D,) or (B, D)
        x = position.forward(p.position, x.reshape(-1, 1, x.shape[-1]), Context(cfg, start=place))[0].reshape(x.shape)
        for steps in blocks:
            for norm, f in steps:
                x = x + f(norm(x), place, cache) if pre else norm(x + f(x, place, cache))
        z = np.dot(last(x) if last else x, head)
        return z if bias is None else z + bias

    return logits


def normalizer(p: Any, cfg: Any) -> Callable:
    """The function of a norm: x (D,) -> (D,)"""
    w, b, D, eps = p.w, p.get("b"), cfg.n_emb, cfg.norm_eps
    share = np.full(D, 1 / D, w.dtype)

    def rmsnorm(x):
        y = x * (1 / sqrt(np.dot(x, x) / D + eps))
        y *= w
        return y

    def layernorm(x):
        y = x - np.dot(x, share)
        y *= 1 / sqrt(np.dot(y, y) / D + eps)
        y *= w
        y += b
        return y

    return rmsnorm if b is None else layernorm


def batch_normalizer(p: Any, cfg: Any) -> Callable:
    """The function of a norm for B texts: x (B, D) -> (B, D)"""
    w, b, D, eps = p.w, p.get("b"), cfg.n_emb, cfg.norm_eps
    share = np.full(D, 1 / D, w.dtype)

    def scaled(x):
        x *= (1 / np.sqrt(np.dot(x * x, share) + eps))[:, None]  # the root of the mean square: (B, D) -> (B)
        x *= w
        return x

    def layernorm(x):
        y = scaled(x - np.dot(x, share)[:, None])
        y += b
        return y

    return layernorm if b is not None else lambda x: scaled(x.copy())


def part_function(module: ModuleType, p: Any, cfg: Any, i: int, part: str) -> Callable:
    """The function (x, place, cache) -> x of an attention ("att") or network ("net"): its fast version here, if there is one"""
    fast = FAST.get(module.__name__.rpartition(".")[2])
    if fast and not any(isinstance(w, Lora) for w in p.values()):
        return fast(p, cfg, i)

    def f(x, place, cache):
        rows = x.reshape(-1, 1, x.shape[-1])                     # (B, 1, D)
        return module.forward(p, rows, Context(cfg, start=place, cache=cache).layer(i).inside(part))[0].reshape(x.shape)

    return f


def product(w: Any, b: Any) -> Callable:
    """The function x (..., I) -> x w + b (..., O)"""
    if b is None:
        return lambda x: np.dot(x, w)

    def f(x):
        y = np.dot(x, w)
        y += b
        return y

    return f


def attention(p: Any, cfg: Any, i: int) -> Callable:
    """The function (x, place, cache) -> x of mha and gqa"""
    h, H = cfg.n_heads, cfg.head_size
    d, K = H // h, (p.wqkv.shape[1] - H) // 2
    n, scale = K // d, d ** -0.5 / cfg.r_temp
    qkv, join = product(p.wqkv, p.get("bqkv")), product(p.wo, p.get("bo"))
    rotate, penalties = rotation(cfg, d, p.wo.dtype), distance_penalties(cfg, n, p.wo.dtype)

    def f(x, place, cache):
        y = qkv(x)                                               # (H + 2K) or (B, H + 2K)
        z = y[..., :H + K].reshape(-1, h + n, d)                 # queries, then keys; B = 1 for one text
        z = rotate(z, place) if rotate else z
        s, v = z[:, :h].reshape(-1, n, h // n, d), y[..., H + K:].reshape(-1, n, 1, d)
        rows = cache[i]["att"]
        keys, values = rows["k"].append(z[:, h:, None]), rows["v"].append(v)     # (B, n, S, d)

        s = np.matmul(s, keys.swapaxes(2, 3))                    # (B, n, h/n, S)
        s *= scale
        if penalties is not None:
            s -= penalties[..., -s.shape[-1]:]
        s -= np.maximum.reduce(s, -1, keepdims=True)
        np.exp(s, out=s)
        o = np.matmul(s, values)                                 # (B, n, h/n, d)
        o /= np.add.reduce(s, -1, keepdims=True)
        return join(o.reshape(*x.shape[:-1], H))

    return f


def rotation(cfg: Any, d: int, dtype: np.dtype) -> Callable | None:
    """The function of rope, (z (B, heads, d), place) -> z rotated to its position; None for positions without a rotation"""
    position = variant("positions", cfg.c_position)
    if not hasattr(position, "rotate"):
        return None
    cos, sin = position.cos_sin_tables(d, cfg.n_ctx, position.rule(cfg), dtype.name, True)             # (n_ctx, d/2)
    if cfg.rope_layout == "interleaved":                         # a pair is one complex number, a rotation one product
        angle = cos + 1j * sin
        return lambda z, place: (z.view(angle.dtype) * angle[place]).view(dtype)
    cos, sin = np.concatenate([cos, cos], 1), np.concatenate([-sin, sin], 1)                     # (n_ctx, d)

    def rotate(z, place):
        other = z.reshape(*z.shape[:-1], 2, d // 2)[..., ::-1, :].reshape(z.shape)
        return z * cos[place] + other * sin[place]

    return rotate


def distance_penalties(cfg: Any, n: int, dtype: np.dtype) -> np.ndarray | None:
    """(n, h/n, n_ctx): alibi's penalties of the keys, from the farthest to the nearest; None for positions without penalties"""
    position = variant("positions", cfg.c_position)
    if not hasattr(position, "slopes"):
        return None
    slopes = position.slope_table(cfg.n_heads, dtype.name, True).reshape(n, -1, 1)
    return slopes * np.arange(cfg.n_ctx - 1, -1, -1, dtype=dtype)


def mlp(p: Any, cfg: Any, i: int) -> Callable:
    """The function (x, place, cache) -> x of mlp"""
    up, down = product(p.up, p.get("b1")), product(p.down, p.get("b2"))
    activation = gelu if cfg.c_activation == "gelu" else lambda u: getattr(arrays, cfg.c_activation)(u)[0]
    return lambda x, place, cache: down(activation(up(x)))


def swi(p: Any, cfg: Any, i: int) -> Callable:
    """The function (x, place, cache) -> x of swi"""
    wide, down, F = product(p.wide, p.get("bwide")), product(p.down, p.get("bdown")), len(p.down)
    gated = swiglu if cfg.c_gate_activation == "silu" else lambda a, b: getattr(arrays, cfg.c_gate_activation)(a)[0] * b

    def f(x, place, cache):
        y = wide(x)                                              # (2F) or (B, 2F)
        return down(gated(y[..., :F], y[..., F:]))

    return f


def gelu(x: np.ndarray) -> np.ndarray:
    """arrays.gelu for a few rows (..., F), without a backward pass"""
    c = sqrt(2 / np.pi)
    y = x * x
    y *= c * 0.044715
    y += c
    y *= x
    np.tanh(y, out=y)
    y += 1
    y *= x
    y *= 0.5
    return y


def swiglu(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """arrays.swiglu for a few rows (..., F), without a backward pass"""
    y = a * 0.5                                                  # sigmoid a = (1 + tanh(a/2)) / 2
    np.tanh(y, out=y)
    y += 1
    y *= a
    y *= b
    y *= 0.5
    return y


FAST = dict(mha=attention, gqa=attention, mlp=mlp, swi=swi)
