"""The progress of a sweep: a bar over its runs, and a line for each run that has ended."""
import sys
from collections.abc import Mapping
from typing import Any

from tqdm.auto import tqdm

from ..evaluation.run_statistics import MeasuredRun
from .formatting import setting_value


class SweepProgress:
    """Total: number of runs; ended: how many of them have ended already. Nothing is shown where `shown` is False"""

    def __init__(self, total: int, ended: int, shown: bool = True, out: Any = None) -> None:
        self.out, self.shown = out or sys.stderr, shown
        self.bar: Any = tqdm(total=total, initial=ended, unit="run", file=self.out, dynamic_ncols=True, disable=not shown)

    def tick(self) -> None:
        """Redraw the bar on a terminal, so that its clock goes on during a long run"""
        if self.shown and self.out.isatty():
            self.bar.refresh()

    def ended(self, number: int, settings: Mapping[str, Any], run: MeasuredRun) -> None:
        """A run of the cell of this number has ended"""
        if self.shown:
            self.bar.write(run_line(number, settings, run), file=self.out)
            self.bar.update()

    def close(self) -> None:
        self.bar.close()


def run_line(number: int, settings: Mapping[str, Any], run: MeasuredRun) -> str:
    """A run in one line: its cell, settings and seed, then its loss and duration, or its error"""
    what = " ".join([f"cell {number}", *(f"{name}={setting_value(value)}" for name, value in settings.items()), f"seed {run.seed}"])
    loss, seconds = run.measures.get("valid_loss"), run.measures.get("seconds")
    result = f"failed: {run.error}" if run.error else f"validation loss {'-' if loss is None else f'{loss:.4f}'}, {seconds or 0:.1f} s"
    return f"{what}   {result}   {run.guid[:8]}"
