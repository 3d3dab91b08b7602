"""A picture of every variant, measured from outside: who acts on whom in it, without opening it. What is new needs no code here.

    attention   |dy_t / dx_j| of one layer, tokens by tokens, and its mean by distance
    network     |dy_i / dx_j| of one layer, dimensions by dimensions, and how y bends as x grows
    norm        the same
    position    as for an attention: norm and mha over the same token everywhere, so that only positions tell
    optimizer   the loss of a matrix fitted under a lopsided load, step by step, beside all others

Weights are drawn once, matrices so that what they give is as large as what they get: at the size they start with, in training, scores
are all but equal, and pictures with them.
"""
from importlib import import_module

import numpy as np

from ..arrays import tree
from ..check.laws import KEYS
from ..model.context import Context, variant
from ..runs.settings import Config, allowed
from .charts import GRAY, INK, PALE, TRAIN, VALID, plainly, png

SMALL = dict(n_vocab=64, n_ctx=64, n_emb=32, n_heads=4, n_layers=1, d_type="fp64", s_window=16)
PROBES = 8           # random directions in which a token's y is asked
LINES = 6            # dimensions whose bend is drawn
SIDE, STEPS, LOPSIDED = 24, 60, 30.0
RATES = [10 ** (e / 4) for e in range(-16, 5)]


def variant_picture(folder, name):
    """PNG bytes"""
    return png(dict(attentions=mixing, positions=mixing, optimizers=descents).get(folder, response_picture)(folder, name), dpi=110)


def random_layer(layer, cfg, rng):
    """A layer's weights, and its gradients' place"""
    spec = layer.params(cfg)
    flat = tree.init(spec, rng, float)
    p = tree.views(spec, flat)
    for path, (first, last) in tree.offsets(spec).items():
        leaf = dict(tree.leaves(spec))[path]
        if leaf.kind in ("matrix", "router"):
            flat[first:last] *= leaf.shape[0] ** -0.5 / (leaf.std or 1)
    return p, tree.views(spec, np.zeros_like(flat))


# attentions and positions: tokens by tokens

def influence(folder, name, T=64):
    """(T, T): how much token t's y moves with token j's x, as a share of all that moves it"""
    rng = np.random.default_rng(0)
    cfg = Config(**SMALL, **({"c_position": "none"} | {KEYS[folder]: name}))
    if folder == "positions":
        forward, x = placed(cfg, rng), np.repeat(0.02 * rng.standard_normal((1, 1, cfg.n_emb)), T, 1)
    else:
        layer = variant(folder, name)
        p, g = random_layer(layer, cfg, rng)

        def forward(x):
            y, backward = layer.forward(p, x, Context(cfg))
            return y, lambda dy: backward(dy, g)
        x = rng.standard_normal((1, T, cfg.n_emb))

    return acted(forward, x, rng)


def acted(forward, x, rng, probes=PROBES, block=64):
    """(T, T): how much token t's y moves with token j's x (1, T, D), as a share of all that moves it, seen through `probes` directions

    Copy t of the text is asked about its token t alone, `block` copies at a time.
    """
    _, T, D = x.shape
    moved = np.zeros((T, T))
    for first in range(0, T, block):
        t = np.arange(first, min(first + block, T))
        for _ in range(probes):
            y, backward = forward(np.repeat(x, len(t), 0))       # (T, T, D)
            dy = np.zeros_like(y)
            dy[t - first, t] = rng.standard_normal((len(t), D))
            moved[t] += (backward(dy) ** 2).sum(-1)
    moved = np.sqrt(moved)
    return moved / moved.sum(-1, keepdims=True)


def placed(cfg, rng):
    """Positions as they come to act: position, norm and mha"""
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


def mixing(folder, name):
    shares = influence(folder, name)
    T = len(shares)
    figure, (left, right) = panels()
    squares(left, shares, "who acts on whom")
    left.set_xlabel("token that is read", color=GRAY, fontsize=9)
    left.set_ylabel("token that reads", color=GRAY, fontsize=9)
    far = np.arange(T // 2)
    means = [np.diagonal(shares, -d)[-T // 2:].mean() for d in far]
    right.plot(far, means, color=TRAIN, lw=1.8)
    right.set_ylim(0, 1.08 * max(means))
    plainly(right, "share of what acts, by distance in tokens")
    return figure


# networks and norms: dimensions by dimensions

def layer_of(folder, name):
    """x -> y, backward(dy) of one layer with weights drawn, and its config"""
    cfg, rng = Config(**SMALL, **{KEYS[folder]: name}), np.random.default_rng(0)
    layer = variant(folder, name)
    p, g = random_layer(layer, cfg, rng)

    def forward(x):
        y, backward = layer.forward(p, x, Context(cfg))
        return y, lambda dy: backward(dy, g)

    return forward, cfg, rng


def jacobian(folder, name, N=32):
    """(D, D): how much dimension i of y moves with dimension j of x, over N random tokens"""
    forward, cfg, rng = layer_of(folder, name)
    D = cfg.n_emb
    _, backward = forward(np.tile(rng.standard_normal((N, 1, D)), (D, 1, 1)))
    dx = backward(np.repeat(np.eye(D), N, 0)[:, None])           # (D N, 1, D)
    return np.sqrt((dx.reshape(D, N, D) ** 2).mean(1))


def response(folder, name):
    """How large x is, and y: (S), (S, D) along a straight line of tokens through 0"""
    forward, cfg, rng = layer_of(folder, name)
    size, line = np.linspace(-4, 4, 401), rng.standard_normal(cfg.n_emb)
    return size, forward(size[:, None, None] * line)[0][:, 0]


def response_picture(folder, name):
    figure, (left, right) = panels()
    squares(left, jacobian(folder, name), "which dimension acts on which")
    left.set_xlabel("dimension of x", color=GRAY, fontsize=9)
    left.set_ylabel("dimension of y", color=GRAY, fontsize=9)
    size, y = response(folder, name)
    for i in range(LINES):
        right.plot(size, y[:, i], color=TRAIN, lw=1.4, alpha=1 - 0.12 * i)
    right.axhline(0, color=PALE, lw=0.8)
    right.axvline(0, color=PALE, lw=0.8)
    plainly(right, f"{LINES} dimensions of y as x grows along a line")
    return figure


# optimizers: the same way down for all

def descent(name, rate):
    """Losses (STEPS + 1) of W (n, n) fitted to a target through a load whose directions differ LOPSIDED times in strength"""
    rng = np.random.default_rng(0)
    spec = dict(w=tree.matrix(SIDE, SIDE))
    cfg = Config(c_optimizer=name, r_weight_decay=0)
    module = import_module(f"littlebaby.training.optimizers.{name}")
    flat, state = np.zeros(SIDE * SIDE), module.state(spec, np.dtype(float))
    load, goal = np.geomspace(1, 1 / LOPSIDED, SIDE)[:, None], rng.standard_normal((SIDE, SIDE))
    losses = []
    for step in range(STEPS + 1):
        off = load * (flat.reshape(SIDE, SIDE) - goal)
        losses.append((off * off).mean() / (load * load).mean())
        if step < STEPS:
            module.step(flat, (load * off).reshape(-1), state, spec, cfg, rate * (1 - step / STEPS))
    return np.array(losses)


def descents(_, name):
    figure, axes = panels(1)
    ways = {each: best(each) for each in allowed("c_optimizer")}
    order = sorted(ways, key=lambda each: ways[each][1][-1])
    for each in sorted(ways, key=lambda each: each == name):     # the one that it is about lies on top
        (rate, losses), mine = ways[each], each == name
        axes.plot(losses, color=VALID if mine else PALE, lw=2 if mine else 1.4)
        axes.annotate(f"{each}, rate {rate:.2g}", (1.02, 0.05 + 0.08 * order.index(each)), xycoords="axes fraction",
                      color=VALID if mine else GRAY, fontsize=9, annotation_clip=False)
    axes.set_yscale("log")
    plainly(axes, f"loss of a matrix fitted in {STEPS} steps, each optimizer at its best rate, which falls to 0")
    return figure


def best(name):
    """The rate whose last loss is lowest, and its losses"""
    with np.errstate(all="ignore"):
        ways = {rate: descent(name, rate) for rate in RATES}
    return min(ways.items(), key=lambda way: way[1][-1] if np.isfinite(way[1][-1]) else np.inf)


# what the pictures share

def panels(n=2):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), facecolor="white", layout="constrained")
    return figure, figure.subplots(1, n, width_ratios=(1, 1.3)) if n == 2 else figure.subplots()


def squares(axes, matrix, heading):
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    axes.imshow(matrix, cmap=LinearSegmentedColormap.from_list("ink", ["white", TRAIN, INK]), norm=PowerNorm(0.5, 0, matrix.max()),
                interpolation="nearest")
    plainly(axes, heading)
    axes.grid(False)
