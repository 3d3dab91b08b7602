"""Numbers of many runs: means over seeds, the best compromises, and how much the choice of each setting matters.

A cell is one choice of settings, with a run for every seed. Nothing here knows files.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

MEASURES = ("valid_loss", "bits_per_character", "correct_texts", "tokens_per_second", "seconds", "memory", "parameters", "flops")
MOST_VALUES = 5          # distinct numbers of a setting up to which each number is a group of its own
GROUPS = 3               # groups of equal size, from low to high, into which more numbers are divided


@dataclass(frozen=True)
class MeasuredRun:
    """What is known of one run"""
    guid: str
    seed: int
    measures: Mapping[str, float | None] = field(default_factory=dict)       # by the names in MEASURES
    curve: Sequence[tuple[float, float, float, float]] = ()     # training tokens, seconds, FLOPs and validation loss of its evaluations
    error: str = ""                                              # why it failed


@dataclass(frozen=True)
class Cell:
    """A choice of settings and its runs, one for every seed"""
    number: int                   # from 1
    settings: Mapping[str, Any]   # those in which the cells differ
    runs: Sequence[MeasuredRun]
    round: int = 1                # of a successive halving

    def values(self, measure: str) -> list[float]:
        """The numbers of its runs that have one"""
        found = [run.measures.get(measure) for run in self.runs]
        return [value for value in found if value is not None and isfinite(value)]

    def mean(self, measure: str) -> float | None:
        """Mean over the seeds; None where no run has a number"""
        return float(np.mean(values)) if (values := self.values(measure)) else None

    def std(self, measure: str) -> float | None:
        """Standard deviation over the seeds, with n - 1 in the denominator; None for fewer than two runs"""
        return float(np.std(values, ddof=1)) if len(values := self.values(measure)) > 1 else None

    @property
    def failed(self) -> list[MeasuredRun]:
        return [run for run in self.runs if run.error]


class Importance(NamedTuple):
    """How much of the variance of the loss the choice of one setting explains"""
    setting: str
    share: float                  # variance of the group means / variance of all runs
    chance: float                 # the share that is expected if the values of the setting were dealt out to the cells at random
    means: dict[str, float]       # {value or range of values: mean loss of its runs}


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The indices of the points of which no other one is at most as large in both coordinates and smaller in one, by the first coordinate

    >>> pareto_front([(1, 3), (2, 2), (3, 2.5), (4, 1)])
    [0, 1, 3]
    """
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        if not front or points[i][1] < points[front[-1]][1] or points[i] == points[front[-1]]:
            front.append(i)
    return front


def importance(cells: Sequence[Cell], measure: str = "valid_loss") -> list[Importance]:
    """For every setting that has several values, the share of the variance that its choice explains; the largest share first.

    The runs are grouped by the value of the setting. The share is the variance of the group means, weighted with the groups' sizes, divided
    by the variance of all runs (the correlation ratio, eta squared): 0 if all groups have the same mean, 1 if all runs of a group have the
    same loss. [] for fewer than three runs or without variance.
    """
    runs = [(cell.settings, value) for cell in cells for value in cell.values(measure)]
    losses = np.array([loss for _, loss in runs])
    if len(runs) < 3 or not losses.var():
        return []
    n, between_cells = sum(bool(cell.values(measure)) for cell in cells), 1 - (share_of_seeds(cells, measure) or 0.0)
    found = []
    for name in dict.fromkeys(name for settings, _ in runs for name in settings):
        labels = grouped([settings.get(name) for settings, _ in runs])
        groups = {label: losses[[each == label for each in labels]] for label in dict.fromkeys(labels)}
        if len(groups) > 1:
            share, chance = explained(list(groups.values())), between_cells * (len(groups) - 1) / max(n - 1, 1)
            found.append(Importance(name, share, chance, {label: float(group.mean()) for label, group in groups.items()}))
    return sorted(found, key=lambda each: -each.share)


def share_of_seeds(cells: Sequence[Cell], measure: str = "valid_loss") -> float | None:
    """The share of the variance of the loss within the cells, whose runs differ only by the seed; None where no cell has two runs"""
    groups = [np.array(values) for cell in cells if (values := cell.values(measure))]
    if not any(len(group) > 1 for group in groups) or not np.concatenate(groups).var():
        return None
    return 1 - explained(groups)


def explained(groups: Sequence[np.ndarray]) -> float:
    """The variance of the means of groups of numbers, weighted with their sizes, divided by the variance of all numbers"""
    every = np.concatenate(groups)
    between = sum(len(group) * (group.mean() - every.mean()) ** 2 for group in groups) / len(every)
    return float(between / every.var())


def grouped(values: Sequence[Any]) -> list[str]:
    """The name of the group of every value: the value itself, or for more than MOST_VALUES different numbers its range, one of GROUPS"""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    distinct = sorted(set(numbers))
    if len(numbers) < len(values) or len(distinct) <= MOST_VALUES:
        return [str(value) for value in values]
    parts = np.array_split(np.array(distinct), GROUPS)
    ends = [(part[0], part[-1]) for part in parts]
    return [next(f"{low:g} to {high:g}" for low, high in ends if low <= value <= high) for value in values]


def mean_curve(runs: Sequence[MeasuredRun]) -> np.ndarray:
    """(n, 5): mean training tokens, seconds, FLOPs and validation loss at each evaluation, and the standard deviation of the loss, over the
    runs; only evaluations that all runs with a curve have made"""
    curves = [np.array(run.curve, float).reshape(-1, 4) for run in runs if len(run.curve)]
    n = min(map(len, curves), default=0)
    if not n:
        return np.zeros((0, 5))
    every = np.stack([curve[:n] for curve in curves])            # (runs, n, 4)
    spread = every[:, :, 3].std(0, ddof=1) if len(curves) > 1 else np.zeros(n)
    return np.column_stack([every.mean(0), spread])
