"""Processes forked from this one, which do what it asks: same code, same arrays, and a Python's lock of their own.

A fork starts in milliseconds and sees everything as it was, what a notebook defined included; what is `shared` it sees as it becomes.
Where the system cannot fork safely (macOS, whose own libraries forbid it; Windows) or a GPU computes, threads do the same work.
"""
import os
import signal
import sys
from mmap import mmap
from multiprocessing import Pipe

import numpy as np

from ..arrays.backend import on_cpu
from ..errors import RunFailed


def possible():
    """Whether workers can be processes here"""
    return sys.platform == "linux" and on_cpu()


def zeros(shape, dtype):
    """Zeros that processes forked later see change; where nothing can be forked, zeros like any others"""
    if not possible():
        return np.zeros(shape, dtype)
    return np.ndarray(shape, dtype, mmap(-1, max(int(np.prod(shape)) * np.dtype(dtype).itemsize, 1)))


def shared(a):
    """The numbers of an array where processes forked later see them change; the array itself if it lies there or nothing can be forked"""
    if not possible() or isinstance(a.base, mmap):
        return a
    room = zeros(a.shape, a.dtype)
    room[...] = a
    return room


class Fork:
    """A process that runs task(number, ...) for one of the tasks it was made with: `ask`, then `answer`."""

    def __init__(self, number, tasks):
        self.line, theirs = Pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                serve(theirs, number, tasks)
            finally:
                os._exit(0)                                      # nothing that the other process began is ended here
        theirs.close()

    def ask(self, which, given):
        try:
            self.line.send((which, given))
        except OSError:
            raise self.gone() from None

    def answer(self):
        try:
            fine, result = self.line.recv()
        except (EOFError, OSError):
            raise self.gone() from None
        if not fine:
            raise result
        return result

    def gone(self):
        return RunFailed(f"process {self.pid}, which worked on a part of the batch, was ended from outside; where memory is short, the "
                         f"system ends processes: c_device_cpu_cores 1 or a smaller batch_size needs less")

    def close(self):
        """Ends the process, whatever it is doing"""
        self.line.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def private(pid):
    """Bytes that a process shares with nobody, 0 where the system does not tell. What a fork has it keeps: the last is the most"""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return 1024 * sum(int(line.split()[1]) for line in file if line.startswith("Private_"))
    except (OSError, NameError):                                 # NameError: the interpreter is going, and `open` is gone
        return 0


def serve(line, number, tasks):
    """Do what is asked until nobody is there to ask"""
    signal.signal(signal.SIGINT, signal.SIG_IGN)                 # Ctrl-C reaches all processes of a terminal: the first one decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    files = max(map(int, os.listdir("/proc/self/fd")))
    os.closerange(3, line.fileno())                              # a lock or a pipe must not outlive its owner through us
    os.closerange(line.fileno() + 1, files + 1)
    while True:
        try:
            which, given = line.recv()
        except (EOFError, OSError):
            return
        try:
            answer = True, tasks[which](number, *given)
        except Exception as error:
            answer = False, error
        line.send(answer)
