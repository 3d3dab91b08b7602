"""The learning-rate range test: a short training with a growing rate shows where it diverges (Smith 2017, arXiv 1506.01186)."""
from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np

MARGIN = 3          # the suggested rate is this many times smaller than that of the lowest loss
DIVERGED = 1.5      # times the lowest mean loss: the loss at which the search ends
MEMORY = 0.9        # of the running mean of the loss


class Suggestion(NamedTuple):
    """A learning rate, and why"""
    rate: float
    reason: str


def growing_rate(step: int, total: int, least: float, most: float) -> float:
    """The rate of step 1 to `total`, from `least` to `most` by the same factor each

    >>> [round(growing_rate(step, 3, 0.001, 0.1), 6) for step in (1, 2, 3)]
    [0.001, 0.01, 0.1]
    """
    return least * (most / least) ** ((step - 1) / max(total - 1, 1))


def running_mean(losses: Sequence[float]) -> np.ndarray:
    """(n,) exponential running mean, without the bias towards 0 at the beginning; NaN from the first loss on that is not finite"""
    mean, out = 0.0, np.empty(len(losses))
    for i, loss in enumerate(losses):
        mean = MEMORY * mean + (1 - MEMORY) * (loss if isfinite(loss) else np.nan)
        out[i] = mean / (1 - MEMORY ** (i + 1))
    return out


def has_diverged(losses: Sequence[float]) -> bool:
    """Whether the running mean is not finite, or DIVERGED times its lowest value"""
    means = running_mean(losses)
    return bool(len(means)) and not means[-1] <= DIVERGED * np.nanmin(means)


def suggestion(rates: Sequence[float], losses: Sequence[float]) -> Suggestion:
    """A rate for a training from the losses of one with growing rates"""
    means = running_mean(losses)
    lowest = int(np.nanargmin(means))
    rate = float(f"{rates[lowest] / MARGIN:.2g}")
    end = ("beyond it the loss rises again" if lowest < len(means) - 1 else
           "no tried rate was too high, so a higher one may be better")
    return Suggestion(rate, f"r_learn {rate:g} is a third of {rates[lowest]:.2g}, the rate at which the mean loss was lowest, "
                            f"{means[lowest]:.3f}; {end}")
