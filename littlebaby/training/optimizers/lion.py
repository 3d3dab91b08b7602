"""lion: evolved sign momentum.

Every weight moves by exactly the learning rate, up or down; only the direction is left of what the gradients have said:

    c = b1 m + (1 - b1) g           this gradient weighs more in the direction than in the memory
    p <- p (1 - lr r_weight_decay)         matrices, tables and heads only, and apart from the gradient
    p <- p - lr sign(c)
    m <- b2 m + (1 - b2) g          the gradient, averaged over about 1 / (1 - b2) steps

A sign is longer than AdamW's update: r_learn three to ten times smaller and r_weight_decay as much larger do the same (their section 5).
Settings `r_beta1`, `r_beta2`, `r_weight_decay`. One number remembered per weight.
Chen et al. 2023, arXiv 2302.06675.
"""
from ...arrays.backend import xp
from ...arrays.tree import size
from ..flat import for_each_chunk, weight_decay
from . import adamw

OPTIONS = {name: adamw.OPTIONS[name] for name in ("r_beta1", "r_beta2")}


def state(spec, dtype):
    """{"m"}: one number per trainable weight"""
    return dict(m=xp.zeros(size(spec, train=True), dtype))


def step(flat, grad, state, spec, cfg, lr, workers=None):
    """Update the trainable stretch of flat, and state, in place. grad: (trainable,), only read; lr: this step's learning rate"""
    b1, b2 = cfg.r_beta1, cfg.r_beta2
    shrink = weight_decay(spec, 1 - lr * cfg.r_weight_decay)

    def update(first, last, spare):
        p, g, m = (a[first:last] for a in (flat, grad, state["m"]))
        shrink(flat, first, last)

        # sign(c) = sign(b1 / (1 - b1) m + g): one pass over the numbers less
        xp.multiply(m, b1 / (1 - b1), out=spare)
        spare += g
        xp.sign(spare, out=spare)
        spare *= lr
        p -= spare

        m *= b2
        m += xp.multiply(g, 1 - b2, out=spare)

    for_each_chunk([(0, grad.size)], flat.dtype, update, workers)
