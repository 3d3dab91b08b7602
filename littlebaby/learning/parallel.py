"""One batch, several workers, one gradient: every worker takes its rows of the batch and its own gradient vector, then they are summed,
over the workers of this process and, where several train together, over all ranks.

A worker is a thread, or on Linux a process forked from this one that sees the same weights (forks.py): NumPy gives the interpreter free
during products and element-wise work, but threads meet at Python's lock before and after each of them, and processes do not. The numbers
are the same bit for bit. Each worker's products use one BLAS thread; a single worker leaves the cores to its products. On a GPU one worker
feeds the device.
"""
from concurrent.futures import ThreadPoolExecutor

from ..arrays import tree
from ..arrays.backend import cores, generator, on_cpu, peak_memory
from ..model import gpt
from ..model.context import Context, join
from .flat import walk
from .forks import Fork, private
from .ranks import ALONE, together

SMALL = 2**22      # weights


class Workers:
    """Those who work on `shards` parts of a batch, or on this rank's even share of them, at least one: n, this thread among them.

    `run(fn)` calls fn(0) ... fn(n - 1) at once, in threads, and returns their results. `each(task, ...)` calls task(0, ...) to
    task(n - 1, ...), in processes if the task is one of those with which `fork` made them.
    """

    def __init__(self, shards, ranks=ALONE):
        mine = share(shards, ranks.n)[ranks.number]
        self.ranks, self.shards, self.first, self.n = ranks, shards, mine.start, mine.stop - mine.start
        self.others = ThreadPoolExecutor(self.n - 1, "baby") if self.n > 1 else None
        self.tasks, self.forks = (), []

    def run(self, fn):
        futures = [self.others.submit(fn, i) for i in range(1, self.n)] if self.others else []
        try:
            return [fn(0)] + [f.result() for f in futures]
        finally:                                                 # whoever fails, no thread is left writing
            for f in futures:
                f.exception()

    def fork(self, *tasks):
        """From here on `each` of these tasks runs in processes of their own, which see memory as it is now, and `shared` arrays as they
        become; where the system grants no more processes, in threads as before"""
        try:
            for i in range(1, self.n):
                self.forks.append(Fork(i, tasks))
            self.tasks = tasks
        except OSError:
            self.unfork()

    def each(self, task, *given):
        if task not in self.tasks:
            return self.run(lambda i: task(i, *given))
        for fork in self.forks:
            fork.ask(self.tasks.index(task), given)
        mine = task(0, *given)
        return [mine] + [fork.answer() for fork in self.forks]

    def unfork(self):
        peak_memory.forks = max(peak_memory.forks, sum(private(fork.pid) for fork in self.forks))
        while self.forks:
            self.forks.pop().close()

    def close(self):
        self.unfork()
        if self.others:
            self.others.shutdown()

    def rows(self, count):
        """The rows of each thread, of `count` rows; a last one without any is left out"""
        return share(count, self.shards)[self.first:self.first + self.n]


def threads(cfg):
    """Processor cores that a step uses in this process: those that a config allows; on a GPU one feeds the device"""
    mine = together().cores or cores()
    return min(cfg.c_device_cpu_cores or mine, mine) if on_cpu() else 1


def how_many(cfg, ranks=ALONE):
    """Workers for a config: one for each core, no more than the rows of a batch. Few rows for each expert of moe are no reason for fewer
    workers: products in several threads gain little there, and lose much where others use the machine, too (docs/log.md)."""
    return min(threads(cfg) * ranks.n, cfg.batch_size)


def threads_for_a_row(flat):
    """BLAS threads with which one text is written, None for all: few weights are multiplied with a single row faster by one thread than by
    several that must meet after every product"""
    return 1 if on_cpu() and flat.size < SMALL else None


def share(rows, workers):
    """The rows of each worker: as even as can be, in order, none empty"""
    n = min(workers, rows)
    return [slice(rows * i // n, rows * (i + 1) // n) for i in range(n)]


def gradient(workers, grads, shard, batches, seeds, scale=1.0):
    """The gradient of the mean loss over all counted tokens of `batches`, a list of (ids, targets), (B, T) each, the same on each rank

    grads: a flat vector per worker; the sum of all, on all ranks, is in grads[0]. shard: `sharded(workers, grads, ...)`.
    seeds: [seed, step], from which every shard draws its own dropout. scale: what gradients are multiplied with on their way through the
    layers; in the sum it is undone. Returns the mean cross-entropy and what the layers said.
    """
    def add_up(first, last, spare):
        for other in grads[1:]:
            grads[0][first:last] += other[first:last]

    results = workers.each(shard, batches, seeds, scale)
    if len(grads) > 1:
        walk([(0, grads[0].size)], grads[0].dtype, add_up, workers)
    workers.ranks.add(grads[0])
    if scale != 1:
        grads[0] *= 1 / scale
    said = workers.ranks.all_of((sum(loss for loss, _ in results), join(book for _, books in results for book in books)))
    return sum(loss for loss, _ in said), join(book for _, book in said)


def sharded(workers, grads, spec, p, cfg):
    """The function shard(i, batches, seeds, scale) that fills grads[i] with what worker i's rows add to the gradient and returns what
    they add to the loss, and what the layers said about each batch"""
    views = [tree.views(spec, grad) for grad in grads]

    def shard(i, batches, seeds, scale):
        counted = sum(int((targets >= 0).sum()) for _, targets in batches)
        grads[i].fill(0)
        loss, books = 0.0, []
        for number, (ids, targets) in enumerate(batches):
            rows = workers.rows(len(ids))
            if i >= len(rows):
                continue
            part = int((targets[rows[i]] >= 0).sum()) / max(counted, 1)
            ctx = Context(cfg, generator(*seeds, number, workers.first + i), share=part, scale=scale)
            loss += part * gpt.loss_and_grad(p, views[i], ids[rows[i]], targets[rows[i]], ctx)
            books.append(ctx.book)
        return loss, books

    return shard
