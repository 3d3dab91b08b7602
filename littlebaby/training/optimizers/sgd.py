"""sgd: gradient descent with momentum.

Every weight rolls downhill like a ball, losing a share 1 - mu of its speed each step:

    m <- mu m + g                 the speed
    p <- p (1 - lr r_weight_decay)       matrices, tables and heads only, and apart from the gradient
    p <- p - lr m                 or, with Nesterov's look ahead, p - lr (g + mu m)

Settings `r_momentum` (mu; 0 is plain descent), `b_nesterov`, `r_weight_decay`. One number remembered per weight.
Polyak 1964; Nesterov 1983; Sutskever et al. 2013.
"""
from ...arrays.backend import xp
from ...arrays.tree import size
from ..flat import for_each_chunk, weight_decay

OPTIONS = dict(
    r_momentum=(0.9, "Momentum: decay of the mean gradient; 0 is plain gradient descent.", (0, 0.99999)),
    b_nesterov=(False, "Nesterov momentum: take the gradient's step from where the momentum leads."))


def state(spec, dtype):
    """{"m"}: one number per trainable weight"""
    return dict(m=xp.zeros(size(spec, train=True), dtype))


def step(flat, grad, state, spec, cfg, lr, workers=None):
    """Update the trainable stretch of flat, and state, in place. grad: (trainable,), only read; lr: this step's learning rate"""
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
