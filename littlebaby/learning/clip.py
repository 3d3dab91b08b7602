"""Clipping: a gradient longer than the limit keeps its direction and gets the limit's length (Pascanu et al. 2013, arXiv:1211.5063)."""
from math import sqrt

from ..arrays.backend import on_cpu, xp

CHUNK = 32768      # numbers per dot product: partial sums in float64 keep the norm of millions of float32 exact


def clip(grad, limit):
    """Scale the flat `grad` in place by min(1, limit / (norm + 1e-6)); returns its norm before and the factor. limit 0: never"""
    size = CHUNK if on_cpu() else max(grad.size, 1)
    parts = (grad[i:i + size] for i in range(0, grad.size, size))
    norm = sqrt(sum(float(xp.dot(part, part)) for part in parts))
    factor = min(1.0, limit / (norm + 1e-6)) if limit else 1.0
    if factor < 1:
        grad *= factor
    return norm, factor
