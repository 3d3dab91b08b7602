"""Training with several MPI processes (ranks), on one machine or on many. Without an MPI launcher there is one process and MPI is not
loaded.

Each rank holds the same weights and optimizer state, computes its rows of the same batch, and makes the same step with the same summed
gradient (parallel.py). Every value that decides what happens next is gathered from all ranks, so all of them decide the same.
"""
import os
import pickle
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np

from ..arrays.backend import cores, to_numpy, xp
from ..errors import BadInput

# environment variables with the number of processes, set by the launchers of Open MPI, MPICH and MVAPICH
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
LAUNCHED = (*SIZES, "PMIX_RANK")                                         # Slurm sets PMIX_RANK and none of the others


class Ranks:
    """The processes of a training; this one is `number` of `n`, counted from 0. All make the same calls in the same order.

    Args:
        comm: Communicator of mpi4py; None for a single process.
        cores: Processor cores of this rank; None: all that the process may use.
    """

    def __init__(self, comm: Any = None, cores: int | None = None) -> None:
        self.comm, self.cores = comm, cores
        self.n: int = comm.Get_size() if comm else 1
        self.number: int = comm.Get_rank() if comm else 0

    @property
    def first(self) -> bool:
        """Whether this is rank 0"""
        return self.number == 0

    def allgather(self, mine: Any) -> list:
        """The values of all ranks, in the order of their numbers"""
        return self.comm.allgather(mine) if self.comm else [mine]

    def broadcast(self, what: Any = None) -> Any:
        """The value of rank 0, on every rank"""
        return deserialize(self.comm.bcast(serialize(what) if self.first else None)) if self.comm else what

    def allreduce(self, flat: Any) -> None:
        """Replace flat (n,) on every rank by the sum over all ranks"""
        if self.comm:
            host = to_numpy(flat)
            self.comm.Allreduce(None, host)                      # None: in place
            copy_to_device(host, flat)

    def sync_weights(self, flat: Any) -> None:
        """Replace flat (n,) on every rank by that of rank 0. Different processors round differently, so the weights would drift apart"""
        if self.comm:
            host = to_numpy(flat)
            self.comm.Bcast(host)
            copy_to_device(host, flat)

    def abort(self, code: int) -> None:
        """End all processes at once, with this exit code"""
        self.comm.Abort(code)


SINGLE_PROCESS = Ranks()


def copy_to_device(host: np.ndarray, flat: Any) -> None:
    """Copy host (n,) to flat (n,) on the device; does nothing if they are the same array"""
    if host is not flat:
        flat[...] = xp.asarray(host)


@lru_cache(1)
def launched_ranks() -> Ranks:
    """The ranks that an MPI launcher (mpiexec, srun) started together with this process.

    Raises:
        BadInput: A launcher started this process, and mpi4py is missing or belongs to another MPI.
    """
    sizes = [os.environ[name] for name in SIZES if name in os.environ]
    if "1" in sizes or not any(name in os.environ for name in LAUNCHED):
        return SINGLE_PROCESS
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise BadInput(f"an MPI launcher started this process, and mpi4py cannot be used ({str(error).splitlines()[0]}): "
                       f"pip install 'littlebaby[mpi]'") from None
    comm = MPI.COMM_WORLD
    if sizes and sizes[0] != str(comm.Get_size()):
        library = MPI.Get_library_version().split("\n")[0].strip("\0 ")
        raise BadInput(f"the launcher started {sizes[0]} processes and mpi4py sees {comm.Get_size()}: they belong to different MPIs; "
                       f"mpi4py uses {library}, so start with the mpiexec of that one")
    if comm.Get_size() == 1:
        return SINGLE_PROCESS
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(cores()))
    near = comm.Split_type(MPI.COMM_TYPE_SHARED).allgather(mine)                        # of all ranks on this machine
    return Ranks(comm, max(1, len(set().union(*near)) // len(near)))


# what is sent between ranks

class Packer(pickle.Pickler):
    """A pickler that sends a memory map as the path and offset of its file; the receiver maps the same file"""

    def reducer_override(self, each: Any) -> Any:
        """How to pickle a memory map"""
        if not isinstance(each, np.memmap):
            return NotImplemented
        if not each.size:
            return np.empty, (each.shape, each.dtype)
        whole = each
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        address = lambda array: array.__array_interface__["data"][0]
        return np.memmap, (each.filename, each.dtype, "r", each.offset + address(each) - address(whole), each.shape)


def serialize(what: Any) -> bytes:
    """Any value as bytes, memory maps as references to their files"""
    buffer = BytesIO()
    Packer(buffer, pickle.HIGHEST_PROTOCOL).dump(what)
    return buffer.getvalue()


def deserialize(data: bytes) -> Any:
    """The value that `serialize` turned into bytes"""
    return pickle.loads(data)
