"""Process control: Ctrl-C and other signals, and processes that train together. Rank 0 carries the plan out and alone reads, writes and
prints; the other ranks compute with it."""
import platform
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from functools import wraps
from inspect import signature
from typing import Any, NamedTuple

from ..errors import BadInput, RunFailed
from ..runs import disk
from ..runs.settings import Config
from ..runs.store import Workspace, brief
from ..training.checkpoint import state_from_arrays
from ..training.loop import train as events
from ..training.mpi import launched_ranks
from .model_io import baby_for, use_device


def print_to_stderr(line):
    with suppress(OSError):                                      # a terminal that is gone must not end a run
        print(line, file=sys.stderr)


NAMED: set = set()       # the roots that `open_workspace` has named


def open_workspace(path=None):
    """The workspace of a plan. One that nobody named, found above the current folder, is named once in every process"""
    workspace = Workspace(path)
    if workspace.found and workspace.root not in NAMED:
        NAMED.add(workspace.root)
        print_to_stderr(f"workspace: {workspace.root}  (--path same: the current folder)")
    return workspace


def keep_result(save):
    """What `save` returns; None, and one sentence, where the disk refuses or another process writes: what was computed is shown all the
    same"""
    try:
        return save()
    except (disk.CannotWrite, disk.InUse, OSError) as error:
        print_to_stderr(f"the result could not be kept: {error}; to keep results, give --path with a folder that can "
                        f"be written and that holds a copy of the run")
        return None


@contextmanager
def interruptible(stop, patient=False):
    """A question "stop now?" that Ctrl-C, SIGTERM and a closed terminal answer with yes; a second Ctrl-C interrupts at once, unless
    `patient`"""
    asked = threading.Event()

    def hear(number, _frame):
        if asked.is_set() and number == signal.SIGINT and not patient:
            raise KeyboardInterrupt
        asked.set()

    old = {}
    if threading.current_thread() is threading.main_thread():
        known = [getattr(signal, word) for word in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, word)]
        ignored = [number for number in known if signal.getsignal(number) == signal.SIG_IGN]         # as nohup does
        old = {number: signal.signal(number, hear) for number in known if number not in ignored}
    try:
        yield lambda: asked.is_set() or bool(stop and stop())
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


class Task(NamedTuple):
    """What all ranks begin with"""
    name: str
    config: Config
    arrays: dict           # weights and state, as `freeze` gives them
    numbers: dict
    batches: Any
    valid: Any


def on_all_ranks(plan):
    """The plan, under mpiexec too: all ranks return the same Run, or raise the same error"""
    @wraps(plan)
    def shared(*words, **settings):
        ranks = launched_ranks()
        if ranks.n == 1:
            return plan(*words, **settings)
        if not ranks.first:
            return follow_first_process(ranks, signature(plan).bind(*words, **settings).arguments.get("stop"))
        try:
            return ranks.broadcast(plan(*words, **settings))
        except (Exception, KeyboardInterrupt) as error:
            ranks.broadcast(error)
            raise

    return shared


def follow_first_process(ranks, stop):
    """Train along with the first rank, for as many runs as it calls for, until it says what came of them"""
    while isinstance(order := ranks.broadcast(), Task):
        with all_or_none(ranks, order.name), interruptible(stop, patient=True) as stopped, suppress(RunFailed):
            use_device(order.config)
            baby = baby_for(order.config)
            state = state_from_arrays(baby, order.arrays, order.numbers)
            for _ in events(baby, state, order.batches, order.valid, stopped, ranks=ranks):
                pass
    if isinstance(order, BaseException):
        raise order
    return order


@contextmanager
def all_or_none(ranks, name):
    """Within, ranks work in step, and what ends one of them ends all, with one sentence. A RunFailed has come to each of them."""
    try:
        yield
    except RunFailed:
        raise
    except BaseException as error:
        if ranks.n > 1:
            if not isinstance(error, KeyboardInterrupt):
                where = "" if ranks.first else f"rank {ranks.number} of {ranks.n}, on {platform.node()}: "
                what = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
                print_to_stderr(f"{where}{what}" + ("" if ranks.first else f"; {resume_hint(name)} its last checkpoint"))
            ranks.abort(2 if isinstance(error, BadInput) else 130 if isinstance(error, KeyboardInterrupt) else 1)
        raise


def resume_hint(name):
    return f"`littlebaby train --resume {brief(name)}` goes on from"
