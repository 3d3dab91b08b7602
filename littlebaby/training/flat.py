"""The flat vector of all weights as an optimizer updates it: in chunks that fit into the CPU's cache, distributed over the workers."""
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..arrays.backend import on_cpu, xp
from ..arrays.tree import leaves, offsets

DECAYED_KINDS = ("matrix", "table", "head")  # kinds of leaves with weight decay; biases, norms, filters and routers have none
CHUNK = 131072                            # numbers per chunk; with fewer, threads wait for Python's lock at every call (docs/log.md)


def chunk_size(n: int) -> int:
    """How many of n numbers to process at a time: CHUNK on the CPU, all of them on the GPU, where every call costs a launch"""
    return min(n, CHUNK) if on_cpu() else n


def for_each_chunk(runs: Sequence[tuple[int, int]], dtype: Any, update: Callable[[int, int, Any], None], workers: Any = None) -> None:
    """Call update(first, last, spare) for every chunk of the ranges `runs`, [(first, last), ...]; spare (last - first,) is a buffer.

    The chunks are distributed over the workers (None: this thread). If what update does to one number does not depend on other numbers,
    the result is the same bit for bit for any number of workers.
    """
    size = chunk_size(max((last - first for first, last in runs), default=0))
    pieces = [(at, min(at + size, last)) for first, last in runs for at in range(first, last, size or 1)]
    n_workers = workers.n if workers else 1

    def work(i):
        spare = xp.empty(size, dtype)
        for first, last in pieces[len(pieces) * i // n_workers:len(pieces) * (i + 1) // n_workers]:
            update(first, last, spare[:last - first])

    if workers:
        workers.run(work)
    else:
        work(0)


def parts(spec: Any) -> Iterator[tuple[Any, tuple[int, int], slice]]:
    """(leaf, its range in the flat vector, the columns of the part) of every trainable leaf, of a fused one for each part"""
    at = offsets(spec)
    for path, leaf in leaves(spec):
        start = 0
        for _, width in (leaf.parts or [(path, leaf.shape[-1])]) if leaf.train else ():
            yield leaf, at[path], slice(start, start + width)
            start += width


def weight_decay(spec: Any, factor: float) -> Callable[[Any, int, int], None]:
    """The function shrink(flat, first, last) that multiplies the weights in flat[first:last] with weight decay by `factor`"""
    at, runs = offsets(spec), list[tuple]()
    for path, leaf in leaves(spec):
        if leaf.train and leaf.kind in DECAYED_KINDS:
            first, last = at[path]
            if runs and runs[-1][1] == first:                    # adjacent leaves are one range
                first = runs.pop()[0]
            runs.append((first, last))
    ends = [last for _, last in runs]

    def shrink(flat, first, last):
        for i in range(bisect_right(ends, first), len(runs)):
            a, b = runs[i]
            if a >= last:
                break
            flat[max(a, first):min(b, last)] *= factor

    return shrink
