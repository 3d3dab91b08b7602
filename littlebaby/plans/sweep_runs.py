"""The runs of a sweep: one after the other in this process, or several at once in processes of their own through joblib.

A run is named before it begins, so that after a kill at any moment the sweep finds it again: what its files say decides whether it is
finished, resumed from its checkpoint, or begun anew.
"""
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

from ..errors import BadInput, RunFailed
from ..runs import disk, records
from ..runs.settings import Config
from ..runs.store import Workspace
from .training import resume_run, train_as
from .training_data import recall_input

WAIT = 0.2            # seconds between two looks at the running processes
LOOK = 1.0            # seconds between two looks of such a process at the lock that tells it to go on
MISSING = ("a sweep with several runs at once needs {}, which is not installed: pip install 'littlebaby[sweep]'; or choose one run at a "
           "time, --jobs 1")


class Task(NamedTuple):
    """A run that is to be trained"""
    root: Path                   # of the workspace
    guid: str
    settings: dict[str, Any]     # all that differ from the defaults
    origin: dict[str, Any]       # the input, as `remember_input` describes it


class Outcome(NamedTuple):
    """How a run ended: neither means that it is complete"""
    error: str = ""
    interrupted: bool = False


def is_complete(workspace: Workspace, guid: str) -> bool:
    """Whether a run has reached its end"""
    return workspace.existing("report", guid).exists() and workspace.load_report(guid).stop_reason in records.COMPLETE


def train_one(task: Task, stop: Callable[[], bool]) -> Outcome:
    """Train a run, or what is left of it. Whatever goes wrong belongs to this run alone, except that nothing can be written"""
    workspace = Workspace(task.root)
    try:
        while disk.is_locked(workspace.path("lock", task.guid)):     # its process outlives a killed sweep until the end of a step
            if stop():
                return Outcome(interrupted=True)
            sleep(WAIT)
        if is_complete(workspace, task.guid):                    # killed after the report, before the end
            return Outcome()
        if workspace.load_checkpoint(task.guid):
            run = resume_run(workspace, task.guid, None, False, stop)
        else:
            if task.guid in workspace.names():
                workspace.delete(task.guid)
            cfg = Config(**task.settings)
            run = train_as(workspace, task.guid, cfg, recall_input(workspace, task.origin, None), task.origin["encoding"], False, stop)
        return Outcome(interrupted=run.report.stop_reason == "interrupted")
    except KeyboardInterrupt:
        return Outcome(interrupted=True)
    except disk.CannotWrite:
        raise
    except (BadInput, RunFailed) as error:
        return Outcome(str(error))
    except MemoryError:
        return Outcome("there was not enough memory")
    except Exception as error:                                   # a defect in one variant must not end the other runs
        return Outcome(f"{type(error).__name__}: {error}")


def one_by_one(tasks: Sequence[Task], stopped: Callable[[], bool]) -> Iterator[tuple[Task, Outcome]]:
    """Train the runs in this process; yields each with its outcome. It ends early after the first that is interrupted"""
    for task in tasks:
        if stopped():
            break
        outcome = train_one(task, stopped)
        yield task, outcome
        if outcome.interrupted:
            break


def in_processes(workspace: Workspace, sweep: str, tasks: Sequence[Task], jobs: int, stopped: Callable[[], bool],
                 tick: Callable[[], None]) -> Iterator[tuple[Task, Outcome]]:
    """Train the runs in `jobs` processes at once; yields each with its outcome, in the order in which they end.

    The processes work as long as this one holds a lock, so that they end with it, however it ends. After the death of a process, which
    takes the others with it, the runs that were in work are tried again, one at a time: one that dies alone has failed.

    Args:
        sweep: Name of the sweep.
        stopped: Function that returns whether to stop.
        tick: Function that is called several times a second.
    """
    executor, waiting, alone = process_pool(), deque(tasks), set[str]()
    running: dict[Future, Task] = {}
    with ExitStack() as lock:
        name = f"{sweep}_running"
        lock.enter_context(workspace.lock_sweep(name))
        try:
            while waiting or running:
                if stopped():
                    waiting.clear()
                    lock.close()
                while waiting and len(running) < (1 if alone else jobs):
                    task = waiting.popleft()
                    running[executor(jobs).submit(train_in_process, task, workspace.path("sweep_lock", name))] = task
                tick()
                for future in wait(running, WAIT, FIRST_COMPLETED).done:
                    task = running.pop(future)
                    try:
                        outcome = future.result()
                    except BrokenProcessPool:
                        outcome = Outcome("its process died, perhaps for lack of memory", stopped())
                        if not outcome.interrupted and task.guid not in alone:
                            alone.add(task.guid)
                            waiting.appendleft(task)
                            continue
                    alone.discard(task.guid)
                    yield task, outcome
        finally:
            executor(jobs).shutdown(wait=False, kill_workers=bool(running))


def train_in_process(task: Task, lock: Path) -> Outcome:
    """`train_one` in a process of its own, until another process gives up the lock"""
    looked = monotonic()

    def stop() -> bool:
        nonlocal looked
        if monotonic() - looked < LOOK:
            return False
        looked = monotonic()
        return not disk.is_locked(lock)

    return train_one(task, stop)


def process_pool() -> Callable[[int], Any]:
    """The function of joblib that returns its pool of processes, a new one where the old one is broken. BadInput: joblib is missing"""
    try:
        from joblib.externals.loky import get_reusable_executor
    except ModuleNotFoundError as error:
        raise BadInput(MISSING.format(error.name)) from None
    return lambda jobs: get_reusable_executor(max_workers=jobs, kill_workers=False)
