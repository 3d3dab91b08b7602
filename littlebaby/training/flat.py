"""The flat vector as an optimizer walks it: in chunks that stay in the cache, shared by the workers, decaying where asked."""
from bisect import bisect_right

from ..arrays.backend import on_cpu, xp
from ..arrays.tree import leaves, offsets

DECAYED_KINDS = ("matrix", "table", "head")  # kinds of leaves that weight decay shrinks; biases, gains, taps and routers it spares
CHUNK = 131072                            # numbers at a time; with fewer, threads wait for Python's lock at every call (docs/log.md)


def chunk_size(n):
    """How many of n numbers to work on at a time: CHUNK on the CPU; all of them on the GPU, where every call costs a launch"""
    return min(n, CHUNK) if on_cpu() else n


def for_each_chunk(runs, dtype, update, workers=None):
    """Call update(first, last, spare) for chunk after chunk of the runs [(first, last), ...]; spare is an array to compute in.

    workers (optional) has `.n` and `.run(work)`, which calls work(0) ... work(n - 1) in threads. What update does to one number
    must not depend on its neighbours: then the result is the same bit for bit however the vector is shared.
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


def weight_decay(spec, factor):
    """The function shrink(flat, first, last) that multiplies by factor what of flat[first:last] belongs to a DECAYED leaf"""
    at, runs = offsets(spec), list[tuple]()
    for path, leaf in leaves(spec):
        if leaf.train and leaf.kind in DECAYED_KINDS:
            first, last = at[path]
            if runs and runs[-1][1] == first:                    # neighbours shrink in one go
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
