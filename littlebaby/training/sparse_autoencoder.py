"""A sparse autoencoder: the output of a layer as the sum of few directions out of many, with a hand-written backward pass.

    u = (x - shift) up + b                                     (N, D) -> (N, F)
    f = the n_active largest of u that are above 0, else 0     (N, F), the code: how strongly each feature is active
    y = f down + shift                                         (N, F) -> (N, D)
    loss = mean over the N tokens of |x - y|^2

A feature is one of the F numbers of the code, and its direction is its row of `down`, which always has length 1. A layer has D numbers for
many more properties of a text than D, so that most of its numbers mean several things at once; of F > D features, of which few are active
at a time, many mean one thing (Bricken et al. 2023, "Towards monosemanticity"; Cunningham et al. 2023, arXiv:2309.08600).
Makhzani & Frey 2013, arXiv:1312.5663 (the n_active largest); Gao et al. 2024, arXiv:2406.04093.
"""
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..arrays import linear, tree
from ..arrays.backend import to_numpy, xp
from .optimizers import adamw

BATCH = 1024        # tokens of a step
RATE = 3e-3         # learning rate of the first steps; it decreases linearly to 0
REVIVALS = 10       # how often in a training the features that have become inactive start again
ADAM = SimpleNamespace(r_beta1=0.9, r_beta2=0.999, r_adam_eps=1e-8, r_weight_decay=0.0)


def params(D: int, F: int) -> dict:
    """The spec of an autoencoder with F features of D numbers"""
    return dict(up=tree.matrix(D, F), b=tree.vector(F), down=tree.matrix(F, D), shift=tree.vector(D))


def forward(p: Any, x: Any, n_active: int) -> tuple[Any, Any, Any]:
    """x (N, D) -> y (N, D), the code f (N, F), backward; `backward(dy, g)` adds the gradients to g and returns dx"""
    u, back_up = linear(x - p.shift, p.up, p.b)                  # (N, D) -> (N, F)
    f, back_largest = largest(u, n_active)
    y, back_down = linear(f, p.down, p.shift)                    # (N, F) -> (N, D)

    def backward(dy, g):
        df, ddown, dshift = back_down(dy)
        dx, dup, db = back_up(back_largest(df))
        g.add(up=dup, b=db, down=ddown, shift=dshift - dx.sum(0))
        return dx

    return y, f, backward


def largest(u: Any, n_active: int) -> tuple[Any, Any]:
    """The n_active largest of each row of u (N, F) that are above 0; the others become 0. The gradient of the choice is 0"""
    least = xp.partition(u, -n_active, -1)[:, -n_active, None]   # (N, 1)
    kept = (u >= least) & (u > 0)
    return xp.where(kept, u, u.dtype.type(0)), lambda df: df * kept


def loss_and_grad(p: Any, g: Any, x: Any, n_active: int) -> tuple[float, Any, Any]:
    """(the loss of x (N, D), the code (N, F), the errors y - x (N, D)); the gradients are added to g"""
    y, f, backward = forward(p, x, n_active)
    y -= x
    backward(y * (2 / len(x)), g)
    return float((y * y).sum()) / len(x), f, y


def fit(x: Any, n_features: int, n_active: int, n_steps: int, rng: np.random.Generator) -> Iterator[tuple[Any, float]]:
    """Train an autoencoder on x (N, D), the outputs of a layer for N tokens. Yields (its weights, the loss of the step as a fraction of the
    variance of x) after every step; after any of them the weights can be used."""
    N, D = x.shape
    spec = params(D, n_features)
    flat, grad = (xp.zeros(tree.size(spec), x.dtype) for _ in range(2))
    p, g, state = tree.views(spec, flat), tree.views(spec, grad), adamw.state(spec, x.dtype)
    sample = x[xp.asarray(rng.integers(N, size=2**14))]
    mean = sample.mean(0)                                        # (D)
    unit = float(xp.sqrt(((sample - mean) ** 2).sum(1).mean()))  # the root mean square length of x - mean, so that RATE fits any layer

    p.shift[...] = mean / unit
    restart(p, xp.ones(n_features, bool), xp.asarray(rng.standard_normal((n_features, D)), x.dtype))
    active = xp.zeros(n_features, bool)
    for step in range(1, n_steps + 1):
        grad[...] = 0
        loss, f, errors = loss_and_grad(p, g, x[xp.asarray(rng.integers(N, size=BATCH))] / unit, n_active)
        g.down -= (g.down * p.down).sum(1, keepdims=True) * p.down               # what would only change the lengths
        adamw.step(flat, grad, state, spec, ADAM, RATE * (1 - (step - 1) / n_steps))
        p.down /= lengths(p.down)
        active |= (f > 0).any(0)
        if step % max(1, n_steps // REVIVALS) == 0 and step < 0.9 * n_steps:
            restart(p, ~active, worst(errors, int((~active).sum()), rng), state, spec)
            active[...] = False
        yield rescaled(spec, flat, unit), loss


def lengths(rows: Any) -> Any:
    """(n, D) -> (n, 1)"""
    return xp.sqrt((rows * rows).sum(1, keepdims=True))


def worst(errors: Any, n: int, rng: np.random.Generator) -> Any:
    """n of the rows of -errors (N, D), drawn with probabilities that grow with the fourth power of their lengths: (n, D)"""
    weights = to_numpy(lengths(errors)[:, 0]).astype(np.float64) ** 4
    return -errors[xp.asarray(rng.choice(len(errors), n, p=weights / weights.sum()))]


def restart(p: Any, which: Any, directions: Any, state: dict | None = None, spec: Any = None) -> None:
    """Give the features `which` (F,), a mask, new directions (n, D), and forget what the optimizer knows of them. Without that, features
    that are never among the largest of any token get no gradient and are lost (Bricken et al. 2023)"""
    p.down[which] = directions / lengths(directions)
    p.up[:, which] = p.down[which].T                             # the code begins as the projection on the direction
    p.b[which] = 0
    for moment in [tree.views(spec, state[name]) for name in ("m", "v")] if state else []:
        moment.down[which], moment.up[:, which], moment.b[which] = 0, 0, 0


def rescaled(spec: Any, flat: Any, unit: float) -> Any:
    """The weights for outputs in their own unit, from those for outputs that are divided by `unit`"""
    p = tree.views(spec, flat.copy())
    p.b[...] *= unit
    p.shift[...] *= unit
    return p
