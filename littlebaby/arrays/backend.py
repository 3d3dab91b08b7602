"""The choice of NumPy on the CPU or CuPy on the GPU. It is made only here; all other files use `from .backend import xp`."""
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import numpy
from threadpoolctl import ThreadpoolController

from ..errors import BadInput

# found once, at import: the search takes the lock of the dynamic loader and then Python's lock, while an import in another thread takes the
# two in the opposite order, so a later search could deadlock
LIBRARIES = ThreadpoolController()
DTYPES = {"fp16": numpy.float32, "fp32": numpy.float32, "fp64": numpy.float64}


class Module:
    """The module numpy or cupy, whichever `use` chose"""

    def __getattr__(self, name: str) -> Any:
        return getattr(use.module, name)


xp = Module()


def use(device: str | ModuleType = "cpu", number: int = 0, tensor: bool = False) -> str:
    """Choose the device of all arrays from now on; returns "cpu" or "gpu".

    Args:
        device: "cpu", "gpu", "auto" (the GPU if there is one), or a module with NumPy's functions.
        number: Number of the GPU, counted from 0.
        tensor: Whether the GPU may multiply in tf32, with about three digits of precision.

    Raises:
        BadInput: There is no GPU, or none of this number.
    """
    module: Any = numpy if device == "cpu" else device
    if device in ("gpu", "auto"):
        os.environ["CUPY_TF32"] = str(int(tensor))
        module = gpu_module() or numpy
        if device == "gpu" and module is numpy:
            raise BadInput("c_device is 'gpu' and no GPU was found: install littlebaby[gpu] (CUDA 12) or littlebaby[gpu13] (CUDA 13), "
                           "or use c_device cpu")
        if module is not numpy:
            found = module.cuda.runtime.getDeviceCount()
            if number >= found:
                raise BadInput(f"c_device_gpu_core is {number}; allowed are 0 to {found - 1}, the GPUs of this machine; did you mean "
                               f"{found - 1}?")
            module.cuda.Device(number).use()
    use.module = module
    return "cpu" if module is numpy else "gpu"


use.module = numpy


def gpu_module() -> Any:
    """CuPy if it is installed and there is a GPU, else None"""
    try:
        import cupy
    except ImportError:
        return None
    try:
        return cupy if cupy.cuda.is_available() else None
    except Exception:                                            # a driver that reports an error counts as no GPU
        return None


def on_cpu() -> bool:
    """Whether arrays are NumPy's"""
    return use.module is numpy


def dtype(name: str) -> numpy.dtype:
    """The array type of weights and sums for a d_type; for fp16 it is float32, because only products in training use half precision"""
    return numpy.dtype(DTYPES[name])


def generator(*seeds: int) -> Any:
    """A random generator for these numbers, such as (seed, step, shard): equal numbers give equal draws"""
    return xp.random.default_rng(list(seeds) if on_cpu() else hash(seeds) % 2 ** 63)


def to_numpy(a: Any) -> Any:
    """The array as a NumPy array; copied only from a GPU"""
    return a if isinstance(a, numpy.ndarray) else use.module.asnumpy(a)


def scatter_add(table: Any, index: Any, rows: Any) -> None:
    """table[index] += rows, where rows of repeated indices add up"""
    (numpy if on_cpu() else use.module).add.at(table, index, rows)


def tune_malloc() -> bool:
    """Make glibc reuse the memory of freed arrays instead of returning it to the system, which saves a third of the time of a step.

    Arrays below 1 GiB come from the heap (M_MMAP_THRESHOLD), the heap is never trimmed, and every thread has an arena of its own.
    Returns whether the system supports it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        return all([libc.mallopt(-3, 1 << 30), libc.mallopt(-1, (1 << 31) - 1), libc.mallopt(-8, 2 * cores())])
    except (OSError, AttributeError):
        return False


def cores() -> int:
    """Number of processor cores that this process may use"""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def blas_threads(n: int | None) -> Iterator[None]:
    """Inside this block a matrix product uses n BLAS threads; None does not change the number.

    The setting belongs to the whole process: while blocks of several threads overlap, the smallest number is used, and the number from
    before is restored when the last block ends.
    """
    owner = object()
    set_blas_limit(owner, n)
    try:
        yield
    finally:
        set_blas_limit(owner, None)


def set_blas_limit(owner: object, n: int | None) -> None:
    """Set the limit of one owner, or remove it (None); the smallest of all limits is used"""
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


def peak_memory() -> int | None:
    """Largest memory use of this process so far, in bytes; None if the system does not report it"""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def total_memory() -> int | None:
    """Memory of the GPU, or on a CPU of the machine or of the container that this process runs in, in bytes; None if it is unknown"""
    if not on_cpu():
        return int(use.module.cuda.runtime.memGetInfo()[1])
    found = []
    with suppress(AttributeError, ValueError, OSError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(ValueError, OSError):                      # a container without a limit says "max"
            found.append(int(Path(limit).read_text()))
    return min(found, default=None)


def describe() -> str:
    """The device in one line, for reports and the start message of a run"""
    if not on_cpu():
        name = use.module.cuda.runtime.getDeviceProperties(0)["name"].decode()
        return f"GPU {name}"
    blas: dict = next((i for i in LIBRARIES.info() if i["user_api"] == "blas"), {})
    kernels = f"{blas.get('internal_api', 'no BLAS')} {blas.get('version') or ''}, {blas.get('architecture') or 'unknown'} kernels"
    return f"CPU, {cores()} cores, {kernels}"
