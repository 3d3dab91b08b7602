"""The contenders' model in JAX, as peer.py has it in PyTorch: weights in a dict, one jitted function for the whole step."""
from functools import partial

import jax
import jax.numpy as jnp


def init(n_layers, n_heads, n_emb, n_ctx, n_vocab):
    """The weights, matrices from N(0, 0.02^2), the rest at 0, gains at 1"""
    key = jax.random.PRNGKey(0)
    D = n_emb

    def matrix(*shape):
        nonlocal key
        key, here = jax.random.split(key)
        return 0.02 * jax.random.normal(here, shape)

    norm = lambda: dict(w=jnp.ones(D), b=jnp.zeros(D))
    dense = lambda n_in, n_out: dict(w=matrix(n_in, n_out), b=jnp.zeros(n_out))
    block = lambda: dict(norm1=norm(), qkv=dense(D, 3 * D), out=dense(D, D), norm2=norm(), up=dense(D, 4 * D), down=dense(4 * D, D))
    return dict(token=matrix(n_vocab, D), place=matrix(n_ctx, D), blocks=[block() for _ in range(n_layers)], norm=norm(),
                head=matrix(D, n_vocab))


def norm(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * p["w"] + p["b"]


def dense(p, x):
    return x @ p["w"] + p["b"]


def forward(p, ids, h):
    """ids (B, T) -> logits (B, T, V)"""
    B, T = ids.shape
    x = p["token"][ids] + p["place"][:T]
    for b in p["blocks"]:
        q, k, v = (z.reshape(B, T, h, -1) for z in jnp.split(dense(b["qkv"], norm(b["norm1"], x)), 3, -1))
        o = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + dense(b["out"], o.reshape(B, T, -1))
        x = x + dense(b["down"], jax.nn.gelu(dense(b["up"], norm(b["norm2"], x)), approximate=True))
    return norm(p["norm"], x) @ p["head"]


def loss(p, ids, targets, h):
    logits = forward(p, ids, h)
    picked = jnp.take_along_axis(logits, targets[..., None], -1)[..., 0]
    return (jax.nn.logsumexp(logits, -1) - picked).mean()


@partial(jax.jit, static_argnames=("h", "rate", "decay", "betas", "eps", "most"), donate_argnums=(0, 1))
def step(p, moments, i, ids, targets, h, rate, decay, betas, eps, most):
    """One step of AdamW, clipped to the norm `most`; i counts from 1. Returns weights, moments, loss"""
    value, grad = jax.value_and_grad(loss)(p, ids, targets, h)
    length = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(grad)))
    grad = jax.tree.map(lambda g: g * jnp.minimum(1.0, most / length), grad)
    first = jax.tree.map(lambda m, g: betas[0] * m + (1 - betas[0]) * g, moments[0], grad)
    second = jax.tree.map(lambda m, g: betas[1] * m + (1 - betas[1]) * g * g, moments[1], grad)

    def moved(w, m, v):
        w = w * (1 - rate * decay) if w.ndim > 1 else w
        return w - rate * (m / (1 - betas[0] ** i)) / (jnp.sqrt(v / (1 - betas[1] ** i)) + eps)

    return jax.tree.map(moved, p, first, second), (first, second), value


def size(p):
    return sum(w.size for w in jax.tree.leaves(p))
