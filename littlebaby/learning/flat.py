"""The flat vector as an optimizer walks it: in chunks that stay in the cache, shared by the workers, decaying where asked."""
from bisect import bisect_right

from ..arrays.backend import on_cpu, xp
from ..arrays.tree import leaves, places

DECAYED = ("matrix", "table", "head")     # kinds of leaves that weight decay shrinks; biases, gains, taps and routers it spares
CHUNK = 32768                             # numbers at a time: five float32 arrays of this length fit a core's second-level cache


def chunk(n):
    """How many of n numbers to work on at a time: CHUNK on the CPU; all of them on the GPU, where every call costs a launch"""
    return min(n, CHUNK) if on_cpu() else n


def walk(n, dtype, update, workers=None):
    """Call update(first, last, spare) for chunk after chunk of n numbers; spare is an array of last - first to compute in.

    workers (optional) has `.n` and `.run(work)`, which calls work(0) ... work(n - 1) in threads. What update does to one number
    must not depend on its neighbours: then the result is the same bit for bit however the vector is shared.
    """
    crew = workers.n if workers else 1
    share = -(-n // crew)

    def work(i):
        end, size = min((i + 1) * share, n), chunk(share)
        spare = xp.empty(size, dtype)
        for first in range(i * share, end, size):
            last = min(first + size, end)
            update(first, last, spare[:last - first])

    if workers:
        workers.run(work)
    else:
        work(0)


def decay(spec, factor):
    """The function shrink(flat, first, last) that multiplies by factor what of flat[first:last] belongs to a DECAYED leaf"""
    at, runs = places(spec), []
    for path, leaf in leaves(spec):
        if leaf.train and leaf.kind in DECAYED:
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
