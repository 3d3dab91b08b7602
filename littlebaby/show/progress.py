"""Progress of a run: a bar with the loss and the time left, and a line with a sample at each evaluation."""
import sys
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from ..training.loop import Done, Evaluation, Step
from .formatting import percent
from .school import measures_line


@dataclass(frozen=True)
class Began:
    """The first event that `plans.train` reports"""
    guid: str
    step: int                     # steps already done, of a resumed run
    total: int                    # steps of the whole run
    floor: float | None           # the lowest possible loss in nats per token, where it is known
    message: str                  # the lines that are printed before the first step
    minutes: float = 0.0          # of steps, after which the run ends earlier; 0: no limit


class Watcher:
    """Call it with every event of a run, `Began` first. out: a text stream, stderr by default"""

    def __init__(self, out: Any = None) -> None:
        self.out = out or sys.stderr
        self.floor: float | None = None
        self.loss: float | None = None
        self.bar: Any = None                                     # from Began on

    def __call__(self, event: Any) -> None:
        if isinstance(event, Began):
            self.floor = event.floor
            print(event.message, file=self.out)
            total = None if event.minutes else event.total
            self.bar = tqdm(total=total, initial=event.step, unit="step", file=self.out, dynamic_ncols=True, mininterval=0.5)
        else:
            with self.ignoring_closed_output():
                self.show(event)

    @contextmanager
    def ignoring_closed_output(self):
        """A closed terminal ends the progress display, not the run"""
        try:
            yield
        except OSError:
            self.bar.disable = True

    def show(self, event: Any) -> None:
        if isinstance(event, Step):
            # the loss of one batch is noisy: the bar shows a running mean over about twenty
            self.loss = event.loss if self.loss is None or event.skipped else 0.95 * self.loss + 0.05 * event.loss
            what = f"reward {event.measures['reward']:.3f}" if "reward" in event.measures else f"loss {self.loss:.3f}"
            self.bar.set_postfix_str(f"{what}, {event.tokens_per_second:,.0f} tokens/s", refresh=False)
            self.bar.update(event.step - self.bar.n)
        elif isinstance(event, Evaluation):
            self.print_line(line(event, self.floor))
            if event.sample:
                self.print_line("    " + " ".join(event.sample.split())[:200] + "\n")
        elif isinstance(event, Done):
            self.close()

    def print_line(self, text: str) -> None:
        self.bar.write(text, file=self.out)

    def close(self):
        if self.bar is not None:
            with self.ignoring_closed_output():
                self.bar.close()


def counted(pieces: Iterable, what: str, shown: bool = True, total: int | None = None) -> Iterable:
    """Yields the pieces, and shows a bar that counts them. total: how many there are, for pieces without a length"""
    return tqdm(pieces, desc=what, total=total, file=sys.stderr, dynamic_ncols=True, leave=False, delay=2, disable=not shown)


class Counter:
    """The progress of a long task in bytes: `counter("reading", 1000)` adds 1000. No bar where `shown` is False or within two seconds"""

    def __init__(self, shown: bool = True, out: Any = None) -> None:
        self.out, self.shown, self.what = out or sys.stderr, shown, ""
        self.bar: Any = None

    def __call__(self, what: str, n: int) -> None:
        if self.shown and what != self.what:
            self.close()
            self.what = what
            self.bar = tqdm(desc=what, unit="B", unit_scale=True, file=self.out, dynamic_ncols=True, mininterval=0.5, delay=2)
        if self.bar is not None:
            self.bar.update(n)

    def close(self):
        if self.bar is not None:
            self.bar.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def line(event: Evaluation, floor: float | None) -> str:
    """An evaluation in one line; "best" marks the lowest validation loss so far"""
    valid = "" if event.valid_loss is None else f"   valid loss {event.valid_loss:.3f}{' (best)' if event.best else '       '}"
    if event.measures:
        return measures_line(event.step, event.measures)
    above = f"   {event.valid_loss / floor:.2f} times the lowest possible loss" if floor and event.valid_loss is not None else ""
    correct = "   " + marks_in_words(event.marks) if event.marks else ""
    return f"step {event.step:>6,}   train loss {event.train_loss:.3f}{valid}{above}{correct}"


def marks_in_words(marks: dict[str, Any]) -> str:
    """The share of correct texts, in two words"""
    return f"{percent(marks['stories'])} of stories correct" if "stories" in marks else f"{percent(marks['answers'])} of answers right"
