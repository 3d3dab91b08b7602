"""The loss on validation text: mean cross-entropy in nats per token, without dropout and without auxiliary losses."""
from collections.abc import Callable
from typing import Any

from ..arrays.backend import xp
from ..model import gpt
from ..model.context import Context
from .parallel import Workers


def evaluate(workers: Workers, p: Any, cfg: Any, windows: Any) -> float:
    """The mean loss, nats per token, over every target of `windows` that is not -1. A slice of windows is (ids, targets), (n, T) each"""
    return mean_loss(workers, loss_sums(workers, p, cfg, windows))


def loss_sums(workers: Workers, p: Any, cfg: Any, windows: Any) -> Callable[[int], tuple[float, int]]:
    """The function sums(i) that returns the sum of the losses in nats of worker i's windows, and their number of targets"""
    rows_of_worker = workers.rows(len(windows))

    def sums(i: int) -> tuple[float, int]:
        loss, counted = 0.0, 0
        rows = range(*rows_of_worker[i].indices(len(windows))) if i < len(rows_of_worker) else range(0)
        for first in rows[::cfg.batch_size]:
            x, t = map(xp.asarray, windows[first:min(first + cfg.batch_size, rows.stop)])
            n = int((t >= 0).sum())
            loss += n * gpt.loss(p, x, t, Context(cfg))
            counted += n
        return loss, counted

    return sums


def mean_loss(workers: Workers, sums: Callable[[int], tuple[float, int]]) -> float:
    """The mean loss, nats per token, over all workers of all ranks. sums: from `loss_sums`"""
    results = [each for of_rank in workers.ranks.allgather(workers.run(sums)) for each in of_rank]
    return sum(loss for loss, _ in results) / max(sum(n for _, n in results), 1)
