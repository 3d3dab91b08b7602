"""lion: evolved sign momentum.

Every weight changes by exactly the learning rate, up or down, and by weight decay: only the sign of the mean gradient is used.

    c = b1 m + (1 - b1) g           the newest gradient has more weight here than in m
    p <- p (1 - lr r_weight_decay)  weight decay, of matrices, tables and heads only, independent of the gradient
    p <- p - lr sign(c)
    m <- b2 m + (1 - b2) g          mean gradient over about 1 / (1 - b2) steps

An update is larger than AdamW's. An r_learn three to ten times smaller with an r_weight_decay larger by the same factor is comparable
(section 5 of the paper). Settings `r_beta1`, `r_beta2`, `r_weight_decay`. State: one number per weight.
Chen et al. 2023, arXiv 2302.06675.
"""
from typing import Any

from ...arrays.backend import xp
from ...arrays.tree import size
from ..flat import for_each_chunk, weight_decay
from . import adamw

OPTIONS = {name: adamw.OPTIONS[name] for name in ("r_beta1", "r_beta2")}


def state(spec: Any, dtype: Any) -> dict:
    """{"m"}: (n,), one number per trainable weight"""
    return dict(m=xp.zeros(size(spec, train=True), dtype))


def step(flat: Any, grad: Any, state: dict, spec: Any, cfg: Any, lr: float, workers: Any = None) -> None:
    """Update flat (n,), the trainable weights, and state in place. grad: (n,), is not changed; lr: learning rate of this step"""
    b1, b2 = cfg.r_beta1, cfg.r_beta2
    shrink = weight_decay(spec, 1 - lr * cfg.r_weight_decay)

    def update(first, last, spare):
        p, g, m = (a[first:last] for a in (flat, grad, state["m"]))
        shrink(flat, first, last)

        # sign(c) = sign(b1 / (1 - b1) m + g): this form saves one pass over the numbers
        xp.multiply(m, b1 / (1 - b1), out=spare)
        spare += g
        xp.sign(spare, out=spare)
        spare *= lr
        p -= spare

        m *= b2
        m += xp.multiply(g, 1 - b2, out=spare)

    for_each_chunk([(0, grad.size)], flat.dtype, update, workers)
