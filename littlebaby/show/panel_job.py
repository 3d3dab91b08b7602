"""The job of this process, a training, a generation or a page: there is one at a time, and every panel shows it and can stop it."""
import threading
from collections import deque
from collections.abc import Callable
from typing import Any


class Jobs:
    """`running`: the name of the running job, "" for none. A panel follows the jobs of all panels from `join` on

    machine: a lock that a job holds, and a measurement that a job would disturb
    """

    def __init__(self) -> None:
        self.running, self.thread = "", threading.current_thread()
        self.outcome: Any = None                         # of the latest job
        self.stopping, self.machine, self.starting = threading.Event(), threading.Lock(), threading.Lock()
        self.panels = deque[Any](maxlen=8)               # those of cells that were run again are never displayed again

    def join(self, panel: Any) -> None:
        self.panels.append(panel)

    def begin(self, name: str, outcome: Any, work: Callable[[], Any]) -> None:
        """Run `work` in a thread, unless a job is running; every panel then shows `outcome`"""
        with self.starting:
            if self.running:
                return
            self.running, self.outcome = name, outcome
        self.stopping.clear()
        outcome.clear()
        for panel in list(self.panels):
            panel.follow()
        self.thread = start_thread(lambda: self.run(outcome, work))

    def run(self, outcome: Any, work: Callable[[], Any]) -> None:
        """Run `work` while nothing is measured, and show its errors"""
        try:
            with self.machine, outcome.errors_as_messages():
                work()
        finally:
            self.running = ""
            for panel in list(self.panels):
                panel.after_job()

    def reason_to_wait(self) -> str:
        """Why no job can begin now, "" where one can"""
        return f"wait for the end of {self.running}, or press Stop" if self.running else ""

    def stop(self) -> None:
        self.stopping.set()
        if self.outcome:
            self.outcome.live.say("stopping …")


def start_thread(work: Callable[[], Any]) -> threading.Thread:
    """Start `work` in a thread, which is returned; where threads cannot start, as in a browser's Python, run it now"""
    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        work()
    return thread


JOBS = Jobs()
