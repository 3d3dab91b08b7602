"""Which settings a sweep tries: all combinations of some values, random ones, and in successive halving the best of a round again.

A choice is a dict {setting: value}. Nothing here trains.
"""
from collections.abc import Mapping, Sequence
from itertools import product
from math import ceil, exp, isfinite, log
from typing import Any

import numpy as np

DIGITS = 3          # significant digits of a number that is drawn


def grid(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations of the values; the last setting changes first

    >>> grid({"n_layers": [2, 3], "c_norm": ["rmsnorm"]})
    [{'n_layers': 2, 'c_norm': 'rmsnorm'}, {'n_layers': 3, 'c_norm': 'rmsnorm'}]
    """
    return [dict(zip(values, each)) for each in product(*values.values())]


def random_choices(values: Mapping[str, Sequence[Any]], n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """n random choices. Two numbers are the ends of a range, anything else is a list of values, of which one is drawn"""
    return [{name: draw(each, rng) for name, each in values.items()} for _ in range(n)]


def draw(values: Sequence[Any], rng: np.random.Generator) -> Any:
    """A value of a list, or a number of a range. A range is sampled on a logarithmic scale if both ends are above 0, otherwise evenly;
    between two whole numbers the result is a whole number, both ends included"""
    if not is_range(values):
        return values[int(rng.integers(len(values)))]
    low, high = sorted(values)
    whole = isinstance(low, int) and isinstance(high, int)
    if whole:                                                    # every whole number owns the interval half a unit to both sides
        low, high = low - 0.5, high + 0.5
    x = float(exp(rng.uniform(log(low), log(high)))) if low > 0 else float(rng.uniform(low, high))
    return min(max(round(x), min(values)), max(values)) if whole else float(f"{x:.{DIGITS}g}")


def is_range(values: Sequence[Any]) -> bool:
    """Whether values are the two ends of a range rather than a list to choose from"""
    return len(values) == 2 and all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)


def without_repetitions(choices: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The choices in their order, each only once"""
    return list({repr(sorted(each.items())): each for each in reversed(choices)}.values())[::-1]


def survivors(losses: Sequence[float | None], keep: float) -> list[int]:
    """The indices of the share `keep` of all choices with the lowest losses, at least one, in their order. A choice without a finite loss
    (None: its runs failed) is never among them

    >>> survivors([3.0, 1.0, None, 2.0], 0.5)
    [1, 3]
    """
    known = sorted((loss, i) for i, loss in enumerate(losses) if loss is not None and isfinite(loss))
    return sorted(i for _, i in known[:max(1, ceil(keep * len(losses)))])
