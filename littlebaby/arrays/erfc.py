"""The complementary error function for arrays on every device; NumPy has none."""
from functools import lru_cache
from math import cos, log, pi
from math import erfc as math_erfc
from typing import Any

from .backend import xp

FAR = 26.0                                                       # erfc is below 1e-295 from here on
NEAR = 2 / (2 + FAR)


def erfc(x: Any) -> Any:
    """The complementary error function, accurate to 1e-13, without a gradient.

    For z >= 0, erfc z = t exp(P(t) - z^2) with t = 2 / (2 + z) and a smooth P, computed as a Chebyshev series by Clenshaw's algorithm.
    """
    z = xp.minimum(xp.abs(x), FAR)
    t = 2 / (2 + z)
    u = (2 * t - 1 - NEAR) * (1 / (1 - NEAR))                    # t in [NEAR, 1] -> u in [-1, 1]
    first, *rest = erfc_series()
    above, value = 0.0, 0.0
    for c in reversed(rest):
        above, value = value, 2 * u * value - above + c
    y = t * xp.exp(first + u * value - above - z * z)
    return xp.where(x < 0, 2 - y, y)


@lru_cache(1)
def erfc_series(n: int = 40) -> tuple[float, ...]:
    """The n Chebyshev coefficients of P, from Python's math.erfc at the Chebyshev nodes"""
    angles = [pi * (j + 0.5) / n for j in range(n)]
    ts = [((1 - NEAR) * cos(a) + 1 + NEAR) / 2 for a in angles]
    values = [log(math_erfc(2 / t - 2) / t) + (2 / t - 2) ** 2 for t in ts]
    series = [2 / n * sum(v * cos(i * a) for v, a in zip(values, angles)) for i in range(n)]
    return series[0] / 2, *series[1:]
