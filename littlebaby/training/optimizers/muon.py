"""muon: momentum, orthogonalized.

The update of a matrix is its momentum with all singular values set to about 1. A gradient mostly has a few large singular values; with
them made equal, the matrix learns in all directions at the same rate.

    M <- mu M + g                        mu = `r_momentum`
    O = orthogonal(g + mu M)             Nesterov momentum, then a Newton-Schulz iteration, below
    W <- W (1 - lr r_weight_decay) - lr 0.2 sqrt(max(n, m)) O        the factor gives O the size of AdamW's updates, for any (n, m) matrix

Tables, heads, routers and vectors are updated by AdamW with the same learning rate.
State: two numbers per weight, of which matrices use one.
Jordan 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025, arXiv 2502.16982 (decay and size).
"""
from typing import Any

from ...arrays.backend import xp
from ...arrays.tree import leaves, offsets
from ..flat import parts
from . import adamw, sgd

OPTIONS = dict(adamw.OPTIONS, r_momentum=sgd.OPTIONS["r_momentum"])

A, B, C = 3.4445, -4.7750, 2.0315      # coefficients of a polynomial that moves singular values in (0, 1] towards 1, small ones fastest

state = adamw.state                    # for a hidden matrix "m" holds M, and "v" stays 0


def step(flat: Any, grad: Any, state: dict, spec: Any, cfg: Any, lr: float, workers: Any = None) -> None:
    """Update flat (n,), the trainable weights, and state in place. grad: (n,), is not changed; lr: learning rate of this step"""
    hidden, rest = matrices_and_rest(spec)
    adamw.step(flat, grad, state, spec, cfg, lr, workers, rest)

    def update_matrices(i):
        for first, last, shape, columns in hidden[i::workers.n if workers else 1]:
            W, g, M = (a[first:last].reshape(shape)[:, columns] for a in (flat, grad, state["m"]))
            M *= cfg.r_momentum
            M += g
            W *= 1 - lr * cfg.r_weight_decay
            W -= lr * 0.2 * max(g.shape) ** 0.5 * orthogonal(g + cfg.r_momentum * M)

    if workers:
        workers.run(update_matrices)
    else:
        update_matrices(0)


def matrices_and_rest(spec: Any) -> tuple[list[tuple], list[tuple[int, int]]]:
    """([(first, last, shape, columns), ...] of the hidden matrices, one for each part of a fused matrix; [(first, last), ...] of all other
    trainable weights)"""
    hidden = [(*flat_range, leaf.shape, columns) for leaf, flat_range, columns in parts(spec) if leaf.kind == "matrix"]
    at = offsets(spec)
    return hidden, [at[path] for path, leaf in leaves(spec) if leaf.train and leaf.kind != "matrix"]


def orthogonal(G: Any, steps: int = 5) -> Any:
    """G (n, m) with all singular values moved to about 0.7 to 1.2: an approximation of U V', where U S V' is the decomposition of G.

    Each step is X <- (A + B S + C S^2) X with S = X X'. It changes only the singular values: s <- A s + B s^3 + C s^5.
    """
    tall = G.shape[0] > G.shape[1]
    X = G.T if tall else G
    X = X * (1 / max(float(xp.linalg.norm(X)), 1e-7))
    for _ in range(steps):
        S = X @ X.T                                              # (n, n), n <= m
        P = S @ S
        P *= C
        S *= B
        P += S
        P.reshape(-1)[::len(P) + 1] += A                         # on the diagonal
        X = P @ X
    return X.T if tall else X
