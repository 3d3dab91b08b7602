"""sgd: gradient descent with momentum.

Every weight moves against a decaying sum of its gradients; each step multiplies the older ones by mu.

    m <- mu m + g                        momentum
    p <- p (1 - lr r_weight_decay)       weight decay, of matrices, tables and heads only, independent of the gradient
    p <- p - lr m                        or, with Nesterov momentum, p - lr (g + mu m)

Settings `r_momentum` (mu; 0 is plain gradient descent), `b_nesterov`, `r_weight_decay`. State: one number per weight.
Polyak 1964; Nesterov 1983; Sutskever et al. 2013.
"""
from typing import Any

from ...arrays.backend import xp
from ...arrays.tree import size
from ..flat import for_each_chunk, weight_decay

OPTIONS = dict(
    r_momentum=(0.9, "Momentum: decay of the mean gradient; 0 is plain gradient descent.", (0, 0.99999)),
    b_nesterov=(False, "Nesterov momentum: the step is g + r_momentum * m instead of m, with gradient g and momentum m."))


def state(spec: Any, dtype: Any) -> dict:
    """{"m"}: (n,), one number per trainable weight"""
    return dict(m=xp.zeros(size(spec, train=True), dtype))


def step(flat: Any, grad: Any, state: dict, spec: Any, cfg: Any, lr: float, workers: Any = None) -> None:
    """Update flat (n,), the trainable weights, and state in place. grad: (n,), is not changed; lr: learning rate of this step"""
    shrink = weight_decay(spec, 1 - lr * cfg.r_weight_decay)

    def update(first, last, spare):
        p, g, m = (a[first:last] for a in (flat, grad, state["m"]))
        shrink(flat, first, last)

        m *= cfg.r_momentum
        m += g

        if cfg.b_nesterov:
            xp.multiply(m, cfg.r_momentum, out=spare)
            spare += g
            spare *= lr
        else:
            xp.multiply(m, lr, out=spare)
        p -= spare

    for_each_chunk([(0, grad.size)], flat.dtype, update, workers)
