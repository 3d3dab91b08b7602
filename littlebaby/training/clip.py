"""Clipping: a gradient longer than `limit` keeps its direction and loses its excess length (Pascanu et al. 2013, arXiv 1211.5063)."""
from math import isfinite, sqrt

from ..arrays.backend import xp
from .flat import chunk_size


def clip(grad, limit):
    """Scale the flat gradient in place by min(1, limit / (norm + 1e-6)); limit 0 leaves it alone. Returns (norm, coefficient).

    The norm is that of the whole vector before clipping. Where it is not finite nothing is scaled: such a step is to be skipped.
    """
    size = chunk_size(grad.size)
    norm = sqrt(sum(float(xp.dot(g, g)) for g in (grad[first:first + size] for first in range(0, grad.size, size))))
    coefficient = min(1.0, limit / (norm + 1e-6)) if limit and isfinite(norm) else 1.0
    if coefficient < 1:
        grad *= coefficient
    return norm, coefficient
