"""adamw: Adam with decoupled weight decay.

Every weight moves by about the learning rate, in the direction its gradient has lately agreed on:

    m <- b1 m + (1 - b1) g              the gradient, averaged over about 1 / (1 - b1) steps
    v <- b2 v + (1 - b2) g^2            its square, averaged over about 1 / (1 - b2) steps
    p <- p (1 - lr r_weight_decay)             matrices, tables and heads only, and apart from the gradient
    p <- p - lr m^ / (sqrt(v^) + eps)   with m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t): averages that began at zero are too small

Settings `r_beta1`, `r_beta2`, `r_adam_eps`, `r_weight_decay`. Two numbers remembered per weight.
Kingma & Ba 2015, arXiv 1412.6980; Loshchilov & Hutter 2019, arXiv 1711.05101.
"""
from math import sqrt

from ...arrays.backend import xp
from ...arrays.tree import size
from ..flat import for_each_chunk, weight_decay

OPTIONS = dict(
    r_beta1=(0.9, "Decay of adamw's mean gradient, and of the mean in lion's direction: 0.9 averages over about 10 steps.", (0, 0.99999)),
    r_beta2=(0.99, "Decay of adamw's mean squared gradient, and of lion's mean gradient: 0.99 averages over about 100 steps.",
             (0, 0.999999)),
    r_adam_eps=(1e-8, "Epsilon of adamw, added to the root of the mean square.", (1e-16, 1)))


def state(spec, dtype):
    """{"m", "v"}: one number each per trainable weight; "t": steps done"""
    n = size(spec, train=True)
    return dict(m=xp.zeros(n, dtype), v=xp.zeros(n, dtype), t=0)


def step(flat, grad, state, spec, cfg, lr, workers=None, runs=None):
    """Update the trainable stretch of flat, and state, in place. grad: (trainable,), only read; lr: this step's learning rate;
    runs: the stretches [(first, last), ...] to update, None for all"""
    state["t"] += 1
    b1, b2 = cfg.r_beta1, cfg.r_beta2
    # sqrt(v^) + eps = (sqrt(v) + eps root) / root: one pass over the numbers less
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

    for_each_chunk([(0, grad.size)] if runs is None else runs, flat.dtype, update, workers)
