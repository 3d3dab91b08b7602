"""Process control: Ctrl-C and other signals, and MPI processes that train together. Only rank 0 runs the whole plan,
reads and writes files and prints; the other ranks only compute."""
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from ..arrays import backend
from ..errors import BadInput, RunFailed
from ..runs import disk, records
from ..runs.settings import Config
from ..runs.store import Workspace, command, resume_hint
from ..training.checkpoint import state_from_arrays
from ..training.loop import train as events
from ..training.mpi import Ranks, launched_ranks
from ..training.parallel import threads
from .model_io import baby_for, use_device

T = TypeVar("T")
Arguments = ParamSpec("Arguments")


def print_to_stderr(line: str) -> None:
    """Print a line of progress; a closed terminal is ignored"""
    with suppress(OSError):
        print(line, file=sys.stderr)


ANNOUNCED: set[Path] = set()       # workspaces whose path `open_workspace` has printed


def open_workspace(path: str | Path | None = None) -> Workspace:
    """The workspace of a plan. If it was found in a parent folder, its path is printed, once per process"""
    workspace = Workspace(path)
    if workspace.found and workspace.root not in ANNOUNCED:
        ANNOUNCED.add(workspace.root)
        print_to_stderr(f"workspace: {workspace.root}  (--path same: the current folder)")
    return workspace


def keep_result(save: Callable[[], T]) -> T | None:
    """The result of `save()`; if it cannot write, the reason is printed and None returned, so that the plan still shows its result"""
    try:
        return save()
    except (disk.CannotWrite, disk.InUse, OSError) as error:
        print_to_stderr(f"the result could not be saved: {error}; to save results, give --path with a writable folder that holds a copy "
                        f"of the run")
        return None


@contextmanager
def interruptible(stop: Callable[[], bool] | None, patient: bool = False) -> Iterator[Callable[[], bool]]:
    """Context manager. It yields a function that returns whether to stop: after Ctrl-C, SIGTERM, a closed terminal, or when `stop`
    returns True.

    A second Ctrl-C raises KeyboardInterrupt at once, unless `patient`.
    """
    requested = threading.Event()

    def handle(number, _frame):
        if requested.is_set() and number == signal.SIGINT and not patient:
            raise KeyboardInterrupt
        requested.set()

    old = {}
    if threading.current_thread() is threading.main_thread():
        known = [getattr(signal, word) for word in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, word)]
        ignored = [number for number in known if signal.getsignal(number) == signal.SIG_IGN]         # as under nohup
        old = {number: signal.signal(number, handle) for number in known if number not in ignored}
    try:
        yield lambda: requested.is_set() or bool(stop and stop())
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


class Task(NamedTuple):
    """A training that rank 0 starts on all ranks"""
    name: str
    config: Config
    arrays: dict           # weights and state: the two results of `state_to_arrays`
    numbers: dict
    batches: Any
    valid: Any


def on_all_ranks(plan: Callable[Arguments, T]) -> Callable[Arguments, T]:
    """The plan for use under mpiexec: rank 0 runs it, the other ranks compute with it; all return the same Run or raise the same error"""
    @wraps(plan)
    def shared(*args: Arguments.args, **kwargs: Arguments.kwargs) -> T:
        ranks = launched_ranks()
        if ranks.n == 1:
            return plan(*args, **kwargs)
        if not ranks.first:
            return follow_first_process(ranks, signature(plan).bind(*args, **kwargs).arguments.get("stop"))
        try:
            return ranks.broadcast(plan(*args, **kwargs))
        except (Exception, KeyboardInterrupt) as error:
            ranks.broadcast(error)
            raise

    return shared


def follow_first_process(ranks: Ranks, stop: Callable[[], bool] | None) -> Any:
    """Take part in every training that rank 0 starts; returns the plan's result, or raises its error, when rank 0 sends it"""
    while isinstance(received := ranks.broadcast(), Task):
        with all_or_none(ranks, received.name), interruptible(stop, patient=True) as stopped, suppress(RunFailed):
            use_device(received.config)
            baby = baby_for(received.config)
            state = state_from_arrays(baby, received.arrays, received.numbers)
            for _ in events(baby, state, received.batches, received.valid, stopped, ranks=ranks):
                pass
    if isinstance(received, BaseException):
        raise received
    return received


@contextmanager
def all_or_none(ranks: Ranks, name: str) -> Iterator[None]:
    """Inside, an exception on one rank is printed once and ends all ranks. A RunFailed is raised on every rank anyway and passes through"""
    try:
        yield
    except RunFailed:
        raise
    except BaseException as error:
        if ranks.n > 1:
            if not isinstance(error, KeyboardInterrupt):
                where = "" if ranks.first else f"rank {ranks.number} of {ranks.n}, on {platform.node()}: "
                what = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
                print_to_stderr(f"{where}{what}" + ("" if ranks.first else f"; {resume_hint(name, None)}"))
            ranks.abort(2 if isinstance(error, BadInput) else 130 if isinstance(error, KeyboardInterrupt) else 1)
        raise


def newest_interrupted(workspace: Workspace) -> str:
    """Name of the newest run that can be resumed"""
    found = [run.name for run in workspace.list() if run.resumable]
    if not found:
        raise BadInput(f"there is no interrupted run in {workspace.root} to resume; `{command('list', workspace.root)}` shows all runs")
    return found[-1]


def environment(cfg: Config) -> records.Environment:
    """Device, versions, threads and peak memory of this process, for a report"""
    libraries = {name: version(name) for name in ("numpy", "threadpoolctl", "regex", "pydantic")}
    return records.Environment(device=backend.describe(), python=platform.python_version(), platform=platform.platform(),
                               libraries=libraries, threads=threads(cfg), ranks=launched_ranks().n, peak_memory=backend.peak_memory())
