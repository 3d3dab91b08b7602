"""Processes that train together, on one machine or on many, through MPI; without an MPI launcher one process, and no MPI is loaded.

Each rank holds the same weights and moments, takes its rows of the same batch, and makes the same step from the same summed gradient
(parallel.py). What decides something is asked of all and answered to all, so what happens on one rank happens on all, in one step.
"""
import os
import pickle
from functools import lru_cache
from io import BytesIO

import numpy as np

from ..arrays.backend import cores, to_numpy, xp
from ..errors import BadInput

SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")      # what the launchers of Open MPI, MPICH and their kin set,
LAUNCHED = (*SIZES, "PMIX_RANK")                                         # and what Slurm sets, which names no size


class Ranks:
    """The processes of a training, of which this one is `number` of `n`. All of them make the same calls in the same order.

    comm: a communicator of mpi4py, None for a process alone      cores: processor cores of this rank, None: all that it may use
    """

    def __init__(self, comm=None, cores=None):
        self.comm, self.cores = comm, cores
        self.n: int = comm.Get_size() if comm else 1
        self.number: int = comm.Get_rank() if comm else 0

    @property
    def first(self):
        return self.number == 0

    def allgather(self, mine):
        """[the value of each rank], in the order of their numbers"""
        return self.comm.allgather(mine) if self.comm else [mine]

    def broadcast(self, what=None):
        """The first rank's value, on every rank"""
        return deserialize(self.comm.bcast(serialize(what) if self.first else None)) if self.comm else what

    def allreduce(self, flat):
        """flat (n) becomes the sum of all ranks' flats, the same on each: one Allreduce"""
        if self.comm:
            host = to_numpy(flat)
            self.comm.Allreduce(None, host)                      # None: in place
            copy_to_device(host, flat)

    def sync_weights(self, flat):
        """flat (n) becomes the first one's: machines of different kinds round differently, and weights drift apart"""
        if self.comm:
            host = to_numpy(flat)
            self.comm.Bcast(host)
            copy_to_device(host, flat)

    def abort(self, code):
        """Ends all processes at once, with this exit code"""
        self.comm.Abort(code)


SINGLE_PROCESS = Ranks()


def copy_to_device(host, flat):
    """Back to the device, where it came from one"""
    if host is not flat:
        flat[...] = xp.asarray(host)


@lru_cache(1)
def launched_ranks():
    """The ranks that a launcher (mpiexec, srun) started with this process; BadInput where that was asked for and cannot be"""
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
    """A memory map is sent as the place where its file lies, and whoever unpacks it maps that, too"""

    def reducer_override(self, each):
        if not isinstance(each, np.memmap):
            return NotImplemented
        if not each.size:
            return np.empty, (each.shape, each.dtype)
        whole = each
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        address = lambda array: array.__array_interface__["data"][0]
        return np.memmap, (each.filename, each.dtype, "r", each.offset + address(each) - address(whole), each.shape)


def serialize(what):
    room = BytesIO()
    Packer(room, pickle.HIGHEST_PROTOCOL).dump(what)
    return room.getvalue()


def deserialize(data):
    return pickle.loads(data)
