"""Measurements of single variants that need no knowledge of their code: what the pictures of the variants draw.

    attention   |dy_t / dx_j| of one layer, tokens by tokens
    position    the same, of norm and mha on the same token at every position, so that only the positions differ
    network     |dy_i / dx_j| of one layer, dimensions by dimensions, and y along a straight line of inputs
    norm        the same
    optimizer   the losses of fitting one matrix to targets whose directions differ in strength

Weights are random, and every matrix is scaled so that its output is as large as its input: at the standard deviation of an initial model
the scores of attention are nearly equal, and all attentions would look alike.
"""
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import tree
from ..model.context import Context, variant
from ..runs.settings import Config, module_of
from .laws import KEYS

SMALL: dict[str, Any] = dict(n_vocab=64, n_ctx=64, n_emb=32, n_heads=4, n_layers=1, d_type="fp64", s_window=16)
PROBES = 8           # random directions in which a token's output is measured
SIDE, STEPS, LOPSIDED = 24, 60, 30.0     # of the fitted matrix, its fit, and its strongest direction relative to its weakest
RATES = [10 ** (e / 4) for e in range(-16, 5)]


def random_layer(layer: Any, cfg: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """(p, g): random weights of a layer, and zeros for their gradients"""
    spec = layer.params(cfg)
    flat = tree.init(spec, rng, float)
    p = tree.views(spec, flat)
    for path, (first, last) in tree.offsets(spec).items():
        leaf = dict(tree.leaves(spec))[path]
        if leaf.kind in ("matrix", "router"):
            flat[first:last] *= leaf.shape[0] ** -0.5 / (leaf.std or 1)
    return p, tree.views(spec, np.zeros_like(flat))


# attentions and positions: tokens by tokens

def influence(folder: str, name: str, T: int = 64) -> np.ndarray:
    """(T, T): how much the output of token t changes with the input of token j, as a share of row t; an attention or a position"""
    rng = np.random.default_rng(0)
    cfg = Config(**SMALL, **({"c_position": "none"} | {KEYS[folder]: name}))
    if folder == "positions":
        forward, x = norm_and_mha(cfg, rng), np.repeat(0.02 * rng.standard_normal((1, 1, cfg.n_emb)), T, 1)
    else:
        layer = variant(folder, name)
        p, g = random_layer(layer, cfg, rng)

        def forward(x):
            y, backward = layer.forward(p, x, Context(cfg))
            return y, lambda dy: backward(dy, g)
        x = rng.standard_normal((1, T, cfg.n_emb))

    return influence_shares(forward, x, rng)


def influence_shares(forward: Callable, x: np.ndarray, rng: np.random.Generator, probes: int = PROBES, batch: int = 64) -> np.ndarray:
    """(T, T): how much the output of token t changes with the input of token j, as a share of row t.

    forward(x) -> y, backward(dy), for x (1, T, D) repeated. Measured in `probes` random directions: copy t of the text has a dy at its
    token t only, `batch` copies at a time.
    """
    _, T, _ = x.shape
    squares = np.zeros((T, T))
    for first in range(0, T, batch):
        t = np.arange(first, min(first + batch, T))
        for _ in range(probes):
            y, backward = forward(np.repeat(x, len(t), 0))       # (copies, T, D)
            dy = np.zeros_like(y)
            dy[t - first, t] = rng.standard_normal((len(t), y.shape[-1]))
            squares[t] += (backward(dy) ** 2).sum(-1)
    size = np.sqrt(squares)
    return size / size.sum(-1, keepdims=True)


def norm_and_mha(cfg: Any, rng: np.random.Generator) -> Callable:
    """x -> y, backward(dy) of position, layernorm and mha with random weights"""
    parts = [variant("positions", cfg.c_position), variant("norms", "layernorm"), variant("attentions", "mha")]
    weights = [random_layer(part, cfg, rng) for part in parts]

    def forward(x):
        backs: list = []
        for part, (p, g) in zip(parts, weights):
            x, back = part.forward(p, x, Context(cfg))
            backs.insert(0, (back, g))

        def backward(dy):
            for back, g in backs:
                dy = back(dy, g)
            return dy

        return x, backward

    return forward


# networks and norms: dimensions by dimensions

def random_network(folder: str, name: str) -> tuple[Callable, Any, np.random.Generator]:
    """(x -> y, backward(dy); config; generator) of one layer with random weights"""
    cfg, rng = Config(**SMALL, **{KEYS[folder]: name}), np.random.default_rng(0)
    layer = variant(folder, name)
    p, g = random_layer(layer, cfg, rng)

    def forward(x):
        y, backward = layer.forward(p, x, Context(cfg))
        return y, lambda dy: backward(dy, g)

    return forward, cfg, rng


def jacobian(folder: str, name: str, N: int = 32) -> np.ndarray:
    """(D, D): how much dimension i of y changes with dimension j of x, the root mean square over N random tokens"""
    forward, cfg, rng = random_network(folder, name)
    D = cfg.n_emb
    _, backward = forward(np.tile(rng.standard_normal((N, 1, D)), (D, 1, 1)))
    dx = backward(np.repeat(np.eye(D), N, 0)[:, None])           # (D N, 1, D)
    return np.sqrt((dx.reshape(D, N, D) ** 2).mean(1))


def response(folder: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(S), (S, D): the factors of one random token x, from -4 to 4, and y for each"""
    forward, cfg, rng = random_network(folder, name)
    size, line = np.linspace(-4, 4, 401), rng.standard_normal(cfg.n_emb)
    return size, forward(size[:, None, None] * line)[0][:, 0]


# optimizers

def descent(name: str, rate: float) -> np.ndarray:
    """(STEPS + 1): the losses of fitting W (n, n) to a target whose rows weigh between 1 and 1 / LOPSIDED in the loss"""
    rng = np.random.default_rng(0)
    spec = dict(w=tree.matrix(SIDE, SIDE))
    cfg = Config(c_optimizer=name, r_weight_decay=0)
    module = module_of("c_optimizer", name)
    flat, state = np.zeros(SIDE * SIDE), module.state(spec, np.dtype(float))
    row_weights, target = np.geomspace(1, 1 / LOPSIDED, SIDE)[:, None], rng.standard_normal((SIDE, SIDE))
    losses = []
    for step in range(STEPS + 1):
        error = row_weights * (flat.reshape(SIDE, SIDE) - target)
        losses.append((error * error).mean() / (row_weights * row_weights).mean())
        if step < STEPS:
            module.step(flat, (row_weights * error).reshape(-1), state, spec, cfg, rate * (1 - step / STEPS))
    return np.array(losses)


def best_descent(name: str) -> tuple[float, np.ndarray]:
    """The learning rate of RATES whose last loss is lowest, and its losses"""
    with np.errstate(all="ignore"):
        descents = {rate: descent(name, rate) for rate in RATES}
    return min(descents.items(), key=lambda each: each[1][-1] if np.isfinite(each[1][-1]) else np.inf)
