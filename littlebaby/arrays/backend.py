"""The only file that knows where arrays live: NumPy on the CPU, CuPy on the GPU. Everyone else writes `from .backend import xp`."""
import ctypes
import os
import sys
from contextlib import contextmanager
from threading import Lock

import numpy
from threadpoolctl import ThreadpoolController

from ..errors import BadInput

# found once, at import: the search holds the dynamic loader's lock while it waits for Python's, and an import in another thread does the
# opposite; together they would wait for ever
LIBRARIES = ThreadpoolController()
DTYPES = {"fp16": numpy.float32, "fp32": numpy.float32, "fp64": numpy.float64}


class Module:
    """Stands for numpy or cupy; `use` says which."""

    def __getattr__(self, name):
        return getattr(use.module, name)


xp = Module()


def use(device="cpu", number=0, tensor=False):
    """Choose where arrays live: "cpu", "gpu", "auto" (the GPU if there is one) or a module with NumPy's names. Returns the choice.

    number: which GPU      tensor: let it multiply in tf32, about three digits
    """
    module = numpy if device == "cpu" else device
    if device in ("gpu", "auto"):
        os.environ["CUPY_TF32"] = str(int(tensor))
        module = gpu_module() or numpy
        if device == "gpu" and module is numpy:
            raise BadInput("c_device is 'gpu' and no GPU was found: install littlebaby[gpu] (CUDA 12) or littlebaby[gpu13] (CUDA 13), "
                           "or use c_device cpu")
        if module is not numpy:
            found = module.cuda.runtime.getDeviceCount()
            if number >= found:
                raise BadInput(f"c_device_gpu_core is {number}; allowed are 0 to {found - 1}, the GPUs of this machine")
            module.cuda.Device(number).use()
    use.module = module
    return "cpu" if module is numpy else "gpu"


use.module = numpy


def gpu_module():
    """CuPy if it can be imported and sees a GPU (importing it succeeds on a machine without one)"""
    try:
        import cupy
    except ImportError:
        return None
    try:
        return cupy if cupy.cuda.is_available() else None
    except Exception:                                            # a driver that answers with an error is no GPU
        return None


def on_cpu():
    return use.module is numpy


def dtype(name):
    """What weights and sums are held in, as an array type; fp16 halves only what is multiplied in training"""
    return numpy.dtype(DTYPES[name])


def generator(*seeds):
    """A generator of its own for every list of numbers: [seed, step, shard] gives the same draws however the work is split"""
    return xp.random.default_rng(list(seeds) if on_cpu() else hash(seeds) % 2 ** 63)


def to_numpy(a):
    return a if isinstance(a, numpy.ndarray) else use.module.asnumpy(a)


def scatter_add(table, index, rows):
    """table[index] += rows, counting repeated indices"""
    (numpy if on_cpu() else use.module).add.at(table, index, rows)


def tune_malloc():
    """Ask glibc to hand freed arrays out again instead of returning them to the system: a third of a training step's time.

    Arrays below 1 GiB come from the heap (M_MMAP_THRESHOLD), the heap is never trimmed, and every thread has an arena of its own.
    Returns whether the system understood.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        return all([libc.mallopt(-3, 1 << 30), libc.mallopt(-1, (1 << 31) - 1), libc.mallopt(-8, 2 * cores())])
    except (OSError, AttributeError):
        return False


def cores():
    """The processor cores this process may use"""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def blas_threads(n):
    """Matrix products use n threads each inside this block; None leaves the number as it is.

    The setting belongs to the whole process: where blocks of several threads overlap, the smallest number holds, and the number from
    before comes back when the last block ends.
    """
    mine = object()
    set_blas_limit(mine, n)
    try:
        yield
    finally:
        set_blas_limit(mine, None)


def set_blas_limit(owner, n):
    """The limit that `owner` asks for, None to withdraw it; the smallest of all that are asked for is set"""
    blas = [library for library in LIBRARIES.lib_controllers if library.user_api == "blas"]
    with set_blas_limit.lock:
        limits = set_blas_limit.limits
        if not limits:
            set_blas_limit.before = [library.get_num_threads() for library in blas]
        if n:
            limits[owner] = n
        elif limits.pop(owner, None) is None:
            return
        for library, before in zip(blas, set_blas_limit.before):
            library.set_num_threads(min(limits.values(), default=before))


set_blas_limit.lock, set_blas_limit.limits, set_blas_limit.before = Lock(), {}, []


def peak_memory():
    """The most memory this process has had, in bytes; None where the system does not tell"""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def describe():
    """One line about what computes: for reports and the first line of a run"""
    if not on_cpu():
        name = use.module.cuda.runtime.getDeviceProperties(0)["name"].decode()
        return f"GPU {name}"
    blas: dict = next((i for i in LIBRARIES.info() if i["user_api"] == "blas"), {})
    kernels = f"{blas.get('internal_api', 'no BLAS')} {blas.get('version') or ''}, {blas.get('architecture') or 'unknown'} kernels"
    return f"CPU, {cores()} cores, {kernels}"
