"""One batch, several workers, one gradient: every worker takes its rows of the batch and its own gradient vector, then they are summed,
over the workers of this process and, where several train together, over all ranks.

A worker is a thread: NumPy releases Python's lock during products and element-wise work. Each worker's products use one BLAS thread; a
single worker leaves the cores to its products. On a GPU one worker feeds the device.
"""
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from time import perf_counter

from ..arrays import tree
from ..arrays.backend import cores, generator, on_cpu
from ..errors import WorkerLost
from ..model import gpt
from ..model.context import Context, merge_stats
from .flat import for_each_chunk
from .mpi import SINGLE_PROCESS, launched_ranks

SMALL = 2**22      # weights
PATIENCE = 300     # seconds that a worker may take longer than the first one, or MANY times as long, whichever is more
MANY = 20


class Workers:
    """The workers of `shards` parts of a batch, or on this rank's even share of them, at least one: n, the calling thread among them.

    `run(fn)` calls fn(0) ... fn(n - 1) at once, each in its thread, and returns their results.
    """

    def __init__(self, shards, ranks=SINGLE_PROCESS):
        mine = split_rows(shards, ranks.n)[ranks.number]
        self.ranks, self.shards, self.first, self.n = ranks, shards, mine.start, mine.stop - mine.start
        self.tasks: list[SimpleQueue] = [SimpleQueue() for _ in range(self.n - 1)]
        for tasks in self.tasks:                                 # daemons: one that never returns must not keep the interpreter from ending
            Thread(target=serve, args=(tasks,), name="littlebaby worker", daemon=True).start()

    def run(self, fn):
        """WorkerLost where one takes far longer than the first one did, for their shares of the work are even"""
        begun = perf_counter()
        futures: list[Future] = [Future() for _ in self.tasks]
        for i, (tasks, future) in enumerate(zip(self.tasks, futures), 1):
            tasks.put((fn, i, future))
        try:
            first = fn(0)
        finally:                                                 # whoever fails, no thread is left writing
            bound = max(PATIENCE, MANY * (perf_counter() - begun))
            late = wait(futures, bound).not_done
        if late:
            raise WorkerLost(f"{len(late)} of {self.n} worker threads did not answer for {bound:.0f} seconds; c_device_cpu_cores 1 works "
                             f"without them")
        return [first] + [future.result() for future in futures]

    def close(self):
        for tasks in self.tasks:
            tasks.put(None)

    def rows(self, count):
        """The rows of each thread, of `count` rows; a last one without any is left out"""
        return split_rows(count, self.shards)[self.first:self.first + self.n]


def serve(tasks):
    """Do what is asked, one task after the other, until there is none"""
    while (task := tasks.get()) is not None:
        fn, i, future = task
        try:
            future.set_result(fn(i))
        except BaseException as error:
            future.set_exception(error)
        del task, fn, future, i                                  # nothing that was asked for outlives its answer here


def threads(cfg):
    """Processor cores that a step uses in this process: those that a config allows; on a GPU one feeds the device"""
    mine = launched_ranks().cores or cores()
    return min(cfg.c_device_cpu_cores or mine, mine) if on_cpu() else 1


def worker_count(cfg, ranks=SINGLE_PROCESS):
    """Workers for a config: one for each core, no more than the rows of a batch. Few rows for each expert of moe are no reason for fewer
    workers: products in several threads gain little there, and lose much where others use the machine, too (docs/log.md)."""
    return min(threads(cfg) * ranks.n, cfg.batch_size)


def generation_threads(flat):
    """BLAS threads with which one text is written, None for all: few weights are multiplied with a single row faster by one thread than by
    several that must meet after every product"""
    return 1 if on_cpu() and flat.size < SMALL else None


def split_rows(rows, workers):
    """The rows of each worker: as even as can be, in order, none empty"""
    n = min(workers, rows)
    return [slice(rows * i // n, rows * (i + 1) // n) for i in range(n)]


def gradient(workers, grads, shard, batches, seeds, scale=1.0):
    """The gradient of the mean loss over all counted tokens of `batches`, a list of (ids, targets), (B, T) each, the same on each rank

    grads: a flat vector per worker; the sum of all, on all ranks, is in grads[0]. shard: `sharded(workers, grads, ...)`.
    seeds: [seed, step], from which every shard draws its own dropout. scale: what gradients are multiplied with on their way through the
    layers; in the sum it is undone. Returns the mean cross-entropy and the layers' statistics.
    """
    def add_up(first, last, spare):
        for other in grads[1:]:
            grads[0][first:last] += other[first:last]

    results = workers.run(lambda i: shard(i, batches, seeds, scale))
    if len(grads) > 1:
        for_each_chunk([(0, grads[0].size)], grads[0].dtype, add_up, workers)
    workers.ranks.allreduce(grads[0])
    if scale != 1:
        grads[0] *= 1 / scale
    gathered = workers.ranks.allgather((sum(loss for loss, _ in results), merge_stats(book for _, books in results for book in books)))
    return sum(loss for loss, _ in gathered), merge_stats(book for _, book in gathered)


def shard_gradient(workers, grads, spec, p, cfg):
    """The function shard(i, batches, seeds, scale) that fills grads[i] with what worker i's rows add to the gradient and returns what
    they add to the loss, and the layers' statistics of each batch"""
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
            books.append(ctx.stats)
        return loss, books

    return shard
