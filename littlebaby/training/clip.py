"""Gradient clipping: a gradient whose norm exceeds a limit is scaled down to it (Pascanu et al. 2013, arXiv 1211.5063)."""
from math import isfinite, sqrt
from typing import Any

from ..arrays.backend import xp
from .flat import chunk_size


def clip(grad: Any, limit: float) -> tuple[float, float]:
    """Scale the flat gradient (n,) in place by min(1, limit / (norm + 1e-6)); with limit 0 it is not scaled.

    Returns (norm, coefficient): the norm of the whole gradient before clipping, and the factor by which it was scaled. If the norm is not
    finite, nothing is scaled: the caller skips such a step.
    """
    size = chunk_size(grad.size)
    norm = sqrt(sum(float(xp.dot(g, g)) for g in (grad[first:first + size] for first in range(0, grad.size, size))))
    coefficient = min(1.0, limit / (norm + 1e-6)) if limit and isfinite(norm) else 1.0
    if coefficient < 1:
        grad *= coefficient
    return norm, coefficient
