"""muon: momentum, orthogonalised.

A hidden matrix is a map, and its gradient is mostly a few strong directions. Muon keeps all directions and forgets their strength:
the update is the nearest thing to an orthogonal matrix, so that every direction is learned at the same pace.

    M <- mu M + g                        mu = `r_momentum`
    O = orthogonal(g + mu M)             Nesterov's look ahead, then Newton and Schulz, below
    W <- W (1 - lr r_weight_decay) - lr 0.2 sqrt(max(n, m)) O        the factor gives O the size of AdamW's updates, for any (n, m) matrix

Tables, heads, routers and vectors go to AdamW with the same learning rate. One number remembered per weight of a matrix.
Jordan 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025, arXiv 2502.16982 (decay and size).
"""
from ...arrays.backend import xp
from ...arrays.tree import leaves, offsets
from . import adamw, sgd

OPTIONS = dict(adamw.OPTIONS, r_momentum=sgd.OPTIONS["r_momentum"])

A, B, C = 3.4445, -4.7750, 2.0315      # a quintic that pushes singular values from (0, 1] to about 1, and the small ones fastest

state = adamw.state                    # of a hidden matrix, "m" holds M and "v" stays 0


def step(flat, grad, state, spec, cfg, lr, workers=None):
    """Update the trainable stretch of flat, and state, in place. grad: (trainable,), only read; lr: this step's learning rate"""
    hidden, rest = sort(spec)
    adamw.step(flat, grad, state, spec, cfg, lr, workers, rest)

    def work(i):
        for first, last, shape, columns in hidden[i::workers.n if workers else 1]:
            W, g, M = (a[first:last].reshape(shape)[:, columns] for a in (flat, grad, state["m"]))
            M *= cfg.r_momentum
            M += g
            W *= 1 - lr * cfg.r_weight_decay
            W -= lr * 0.2 * max(g.shape) ** 0.5 * orthogonal(g + cfg.r_momentum * M)

    if workers:
        workers.run(work)
    else:
        work(0)


def sort(spec):
    """The hidden matrices, parts of fused ones apart, as (first, last, shape, columns), and the runs of all that is none"""
    hidden, rest, at = [], [], offsets(spec)
    for path, leaf in leaves(spec):
        if not leaf.train:
            continue
        if leaf.kind != "matrix":
            rest.append(at[path])
            continue
        start = 0
        for _, width in leaf.parts or [(path, leaf.shape[1])]:
            hidden.append((*at[path], leaf.shape, slice(start, start + width)))
            start += width
    return hidden, rest


def orthogonal(G, steps=5):
    """U V' of the singular value decomposition U S V' of G (n, m), nearly: singular values end between about 0.7 and 1.2

    X <- (A + B S + C S^2) X, S = X X', which changes the singular values alone: s <- A s + B s^3 + C s^5.
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
