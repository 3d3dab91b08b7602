"""One batch, several threads, one gradient: every worker takes its rows of the batch and its own gradient vector, then they are summed.

NumPy gives the interpreter free during products and element-wise work, so threads scale; each worker's products then use one BLAS thread.
A single worker leaves the cores to its products. On a GPU one worker feeds the device.
"""
from concurrent.futures import ThreadPoolExecutor

from ..arrays import tree
from ..arrays.backend import cores, generator, on_cpu
from ..model import gpt
from ..model.context import Context, join
from .flat import walk


class Workers:
    """n threads, this one among them; `run(fn)` calls fn(0) ... fn(n - 1) at once and returns their results"""

    def __init__(self, n):
        self.n = n
        self.others = ThreadPoolExecutor(n - 1, "baby") if n > 1 else None

    def run(self, fn):
        futures = [self.others.submit(fn, i) for i in range(1, self.n)] if self.others else []
        try:
            return [fn(0)] + [f.result() for f in futures]
        finally:                                                 # whoever fails, no thread is left writing
            for f in futures:
                f.exception()

    def close(self):
        if self.others:
            self.others.shutdown()


def threads(cfg):
    """Processor cores that a step uses: those that a config allows; on a GPU one feeds the device"""
    return min(cfg.c_device_cpu_cores or cores(), cores()) if on_cpu() else 1


def how_many(cfg):
    """Workers for a config: one for each core, no more than the rows of a batch. Few rows for each expert of moe are no reason for fewer
    workers: products in several threads gain little there, and lose much where others use the machine, too (docs/log.md)."""
    return min(threads(cfg), cfg.batch_size)


def share(rows, workers):
    """The rows of each worker: as even as can be, in order, none empty"""
    n = min(workers, rows)
    return [slice(rows * i // n, rows * (i + 1) // n) for i in range(n)]


def gradient(workers, grads, spec, p, cfg, batches, seeds, scale=1.0):
    """The gradient of the mean loss over all counted tokens of `batches`, a list of (ids, targets), (B, T) each

    grads: a flat vector per worker; the sum is in grads[0]. seeds: [seed, step], from which every shard draws its own dropout.
    scale: what gradients are multiplied with on their way through the layers; in the sum it is undone.
    Returns the mean cross-entropy and what the layers said.
    """
    counted = sum(int((targets >= 0).sum()) for _, targets in batches)

    def work(i):
        grads[i].fill(0)
        g, loss, books = tree.views(spec, grads[i]), 0.0, []
        for number, (ids, targets) in enumerate(batches):
            shards = share(len(ids), workers.n)
            if i >= len(shards):
                continue
            part = int((targets[shards[i]] >= 0).sum()) / max(counted, 1)
            ctx = Context(cfg, generator(*seeds, number, i), share=part, scale=scale)
            loss += part * gpt.loss_and_grad(p, g, ids[shards[i]], targets[shards[i]], ctx)
            books.append(ctx.book)
        return loss, books

    def add_up(first, last, spare):
        for other in grads[1:]:
            grads[0][first:last] += other[first:last]

    results = workers.run(work)
    if len(grads) > 1:
        walk([(0, grads[0].size)], grads[0].dtype, add_up, workers)
    if scale != 1:
        grads[0] *= 1 / scale
    return sum(loss for loss, _ in results), join(book for _, books in results for book in books)
