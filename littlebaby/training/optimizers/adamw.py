"""adamw: Adam with decoupled weight decay.

Every weight changes by at most about the learning rate per step, against the direction of its recent mean gradient:

    m <- b1 m + (1 - b1) g              mean gradient over about 1 / (1 - b1) steps
    v <- b2 v + (1 - b2) g^2            mean squared gradient over about 1 / (1 - b2) steps
    p <- p (1 - lr r_weight_decay)      weight decay, of matrices, tables and heads only, independent of the gradient
    p <- p - lr m^ / (sqrt(v^) + eps)   m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t) correct the bias of means that start at zero

Settings `r_beta1`, `r_beta2`, `r_adam_eps`, `r_weight_decay`. State: two numbers per weight.
Kingma & Ba 2015, arXiv 1412.6980; Loshchilov & Hutter 2019, arXiv 1711.05101.
"""
from math import sqrt
from typing import Any

from ...arrays.backend import xp
from ...arrays.tree import size
from ..flat import for_each_chunk, weight_decay

OPTIONS = dict(
    r_beta1=(0.9, "Decay of adamw's mean gradient, and of the mean in lion's direction: 0.9 averages over about 10 steps.", (0, 0.99999)),
    r_beta2=(0.99, "Decay of adamw's mean squared gradient, and of lion's mean gradient: 0.99 averages over about 100 steps.",
             (0, 0.999999)),
    r_adam_eps=(1e-8, "Epsilon of adamw, added to the root of the mean square.", (1e-16, 1)))


def state(spec: Any, dtype: Any) -> dict:
    """{"m", "v"}: (n,) each, one number per trainable weight; "t": number of steps so far"""
    n = size(spec, train=True)
    return dict(m=xp.zeros(n, dtype), v=xp.zeros(n, dtype), t=0)


def step(flat: Any, grad: Any, state: dict, spec: Any, cfg: Any, lr: float, workers: Any = None,
         ranges: list[tuple[int, int]] | None = None) -> None:
    """Update flat (n,), the trainable weights, and state in place. grad: (n,), is not changed; lr: learning rate of this step.
    ranges: the ranges of flat to update, [(first, last), ...]; None: all of it"""
    state["t"] += 1
    b1, b2 = cfg.r_beta1, cfg.r_beta2
    # sqrt(v^) + eps = (sqrt(v) + eps root) / root: this form saves one pass over the numbers
    root = sqrt(1 - b2 ** state["t"])
    rate, eps = lr * root / (1 - b1 ** state["t"]), cfg.r_adam_eps * root
    shrink = weight_decay(spec, 1 - lr * cfg.r_weight_decay)

    def update(first, last, spare):
        p, g, m, v = (a[first:last] for a in (flat, grad, state["m"], state["v"]))
        shrink(flat, first, last)

        m *= b1
        m += xp.multiply(g, 1 - b1, out=spare)

        v *= b2
        xp.multiply(g, g, out=spare)
        spare *= 1 - b2
        v += spare

        xp.sqrt(v, out=spare)
        spare += eps
        xp.divide(m, spare, out=spare)
        spare *= rate
        p -= spare

    for_each_chunk([(0, grad.size)] if ranges is None else ranges, flat.dtype, update, workers)
