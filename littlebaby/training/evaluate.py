"""How well a model guesses text it has not learned from: the mean cross-entropy in nats, without dropout, without auxiliary losses."""
from ..arrays.backend import xp
from ..model import gpt
from ..model.context import Context


def evaluate(workers, p, cfg, windows):
    """The mean over every counted target of `windows`, of which a slice is a pair of (n, T) arrays, ids and targets; -1 is not counted"""
    return mean_loss(workers, loss_sums(workers, p, cfg, windows))


def loss_sums(workers, p, cfg, windows):
    """The function listen(i) with the sum of the losses of worker i's windows, and how many targets were counted"""
    stretches = workers.rows(len(windows))

    def listen(i):
        loss, counted = 0.0, 0
        rows = range(*stretches[i].indices(len(windows))) if i < len(stretches) else range(0)
        for first in rows[::cfg.batch_size]:
            x, t = map(xp.asarray, windows[first:min(first + cfg.batch_size, rows.stop)])
            n = int((t >= 0).sum())
            loss += n * gpt.loss(p, x, t, Context(cfg))
            counted += n
        return loss, counted

    return listen


def mean_loss(workers, listen):
    results = [each for them in workers.ranks.allgather(workers.run(listen)) for each in them]
    return sum(loss for loss, _ in results) / max(sum(n for _, n in results), 1)
