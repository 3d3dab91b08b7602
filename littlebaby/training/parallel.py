"""The gradient of one batch, computed by several workers: each takes some rows of the batch and has a gradient vector of its own; the
vectors are summed over the workers of this process and, with MPI, over all ranks.

A worker is a thread, since NumPy releases Python's lock during matrix products and element-wise operations. With several workers, each
uses one BLAS thread; a single worker uses BLAS threads on all cores. On a GPU there is one worker.
"""
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any

from ..arrays import tree
from ..arrays.backend import cores, generator, on_cpu
from ..errors import WorkerLost
from ..model.context import Context, merge_stats
from .flat import for_each_chunk
from .mpi import SINGLE_PROCESS, Ranks, launched_ranks
from .objectives import Objective, next_token

SMALL = 2**22      # weights below which generation uses one BLAS thread
PATIENCE = 300     # least time in seconds to wait for the other workers after worker 0 has finished
MANY = 20          # times the duration of worker 0 to wait for the others, if that is longer


class Workers:
    """The n worker threads of this rank; the calling thread is worker 0.

    Args:
        shards: Number of parts of a batch on all ranks together; this rank takes an even share of them, at least one.
        ranks: The MPI processes that train together.
    """

    def __init__(self, shards: int, ranks: Ranks = SINGLE_PROCESS) -> None:
        mine = split_rows(shards, ranks.n)[ranks.number]
        self.ranks, self.shards, self.first, self.n = ranks, shards, mine.start, mine.stop - mine.start
        self.tasks: list[SimpleQueue] = [SimpleQueue() for _ in range(self.n - 1)]
        for tasks in self.tasks:                                 # daemon: a thread that never returns must not keep Python from exiting
            Thread(target=serve, args=(tasks,), name="littlebaby worker", daemon=True).start()

    def run(self, fn: Callable[[int], Any]) -> list:
        """The results of fn(0) ... fn(n - 1), each called in its thread at the same time.

        Raises:
            WorkerLost: A thread takes far longer than fn(0), although their shares of the work are equal.
        """
        begun = perf_counter()
        futures: list[Future] = [Future() for _ in self.tasks]
        for i, (tasks, future) in enumerate(zip(self.tasks, futures), 1):
            tasks.put((fn, i, future))
        try:
            first = fn(0)
        finally:                                                 # if fn(0) fails, the others must still end before the caller goes on
            bound = max(PATIENCE, MANY * (perf_counter() - begun))
            late = wait(futures, bound).not_done
        if late:
            raise WorkerLost(f"{len(late)} of {self.n} worker threads did not answer for {bound:.0f} seconds; c_device_cpu_cores 1 "
                             f"trains without worker threads")
        return [first] + [future.result() for future in futures]

    def close(self) -> None:
        """End the threads"""
        for tasks in self.tasks:
            tasks.put(None)

    def rows(self, count: int) -> list[slice]:
        """The rows of each thread if `count` rows are divided among all shards; threads without a row are left out at the end"""
        return split_rows(count, self.shards)[self.first:self.first + self.n]


def serve(tasks: SimpleQueue) -> None:
    """The body of a worker thread: run the tasks one after another until None is received"""
    while (task := tasks.get()) is not None:
        fn, i, future = task
        try:
            future.set_result(fn(i))
        except BaseException as error:
            future.set_exception(error)
        del task, fn, future, i                                  # so that no array stays alive while the thread waits


def threads(cfg: Any) -> int:
    """Number of processor cores that a step uses in this process: c_device_cpu_cores or all; on a GPU 1"""
    mine = launched_ranks().cores or cores()
    return min(cfg.c_device_cpu_cores or mine, mine) if on_cpu() else 1


def worker_count(cfg: Any, ranks: Ranks = SINGLE_PROCESS) -> int:
    """Number of workers for a config: one per core, at most one per row of a batch. This holds for moe too, although each expert then has
    few rows: BLAS threads gain little there, and lose much on a machine with other load (docs/log.md)"""
    return min(threads(cfg) * ranks.n, cfg.batch_size)


def generation_threads(flat: Any) -> int | None:
    """Number of BLAS threads for generating one text, None for all: with few weights one thread is faster than several, which must
    synchronize after every product"""
    return 1 if on_cpu() and flat.size < SMALL else None


def split_rows(rows: int, workers: int) -> list[slice]:
    """The rows of each worker, in order, as evenly as possible; workers without rows are left out"""
    n = min(workers, rows)
    return [slice(rows * i // n, rows * (i + 1) // n) for i in range(n)]


def gradient(workers: Workers, grads: list, shard: Callable, batches: list, seeds: Sequence[int], scale: float = 1.0) -> tuple[float, dict]:
    """Compute the gradient of the mean loss over all counted targets of the batches into grads[0].

    Args:
        grads: A flat vector (n,) per worker; grads[0] becomes the sum over all workers and ranks.
        shard: From `shard_gradient`.
        batches: The arrays of each batch, the same on every rank: [(ids, targets), ...], (B, T) each, or those of another objective.
        seeds: (seed, step), which determine the dropout masks of every shard.
        scale: Loss scale, by which gradients are multiplied in the backward pass; the sum is divided by it.

    Returns:
        The mean cross-entropy in nats, and the layers' statistics.
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
    gathered = workers.ranks.allgather((sum(loss for loss, _ in results), merge_stats(stats for _, many in results for stats in many)))
    return sum(loss for loss, _ in gathered), merge_stats(stats for _, stats in gathered)


def shard_gradient(workers: Workers, grads: list, spec: Any, p: Any, cfg: Any,
                   objective: Objective = next_token) -> Callable[..., tuple[float, list[dict]]]:
    """The function shard(i, batches, seeds, scale). It writes the contribution of worker i's rows to the gradient into grads[i] and returns
    their contribution to the loss, and the layers' statistics of each batch"""
    views = [tree.views(spec, grad) for grad in grads]

    def shard(i, batches, seeds, scale):
        counted = sum(int((targets >= 0).sum()) for _, targets, *_ in batches)
        grads[i].fill(0)
        loss, all_stats = 0.0, []
        for number, arrays in enumerate(batches):
            rows = workers.rows(len(arrays[0]))
            if i >= len(rows):
                continue
            mine: tuple[Any, ...] = tuple(None if each is None else each[rows[i]] for each in arrays)
            part = int((mine[1] >= 0).sum()) / max(counted, 1)
            ctx = Context(cfg, generator(*seeds, number, workers.first + i), share=part, scale=scale)
            loss += objective(p, views[i], mine, ctx)
            all_stats.append(ctx.stats)
        return loss, all_stats

    return shard
