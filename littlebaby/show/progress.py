"""Progress of a run: a bar with the loss and the time left, and a line with a sample at each evaluation."""
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from ..training.loop import Done, Evaluation, Step


@dataclass(frozen=True)
class Began:
    """The first event of a run: its name and its number of steps"""
    guid: str
    step: int                     # steps done, of a run that goes on
    total: int
    floor: float | None           # nats per token below which no model can come, where that is known
    words: str                    # what it says of itself


class Watcher:
    """Call it with every event of a run, `Began` first; writes to `out`, the terminal's stderr or a notebook's cell"""

    def __init__(self, out=None):
        self.out, self.floor, self.loss = out or sys.stderr, None, None
        self.bar: Any = None                                     # from Began on

    def __call__(self, event):
        if isinstance(event, Began):
            self.floor = event.floor
            print(event.words, file=self.out)
            self.bar = tqdm(total=event.total, initial=event.step, unit="step", file=self.out, dynamic_ncols=True, mininterval=0.5)
        else:
            with self.unheard():
                self.show(event)

    @contextmanager
    def unheard(self):
        """A closed terminal ends the progress display, not the run"""
        try:
            yield
        except OSError:
            self.bar.disable = True

    def show(self, event):
        if isinstance(event, Step):
            # one batch says little: the bar shows a mean over about twenty
            self.loss = event.loss if self.loss is None or event.skipped else 0.95 * self.loss + 0.05 * event.loss
            self.bar.set_postfix_str(f"loss {self.loss:.3f}, {event.tokens_per_second:,.0f} tokens/s", refresh=False)
            self.bar.update(event.step - self.bar.n)
        elif isinstance(event, Evaluation):
            self.print_line(line(event, self.floor))
            if event.sample:
                self.print_line("    " + " ".join(event.sample.split())[:200] + "\n")
        elif isinstance(event, Done):
            self.close()

    def print_line(self, text):
        self.bar.write(text, file=self.out)

    def close(self):
        if self.bar is not None:
            with self.unheard():
                self.bar.close()


def counted(pieces, what, shown=True):
    """The pieces one after the other, and a bar that counts them"""
    return tqdm(pieces, desc=what, file=sys.stderr, dynamic_ncols=True, leave=False, delay=2, disable=not shown)


class Counter:
    """Progress of a long task, in increments: `counter("reading", 1000)`; quiet where `shown` is False or it takes no time"""

    def __init__(self, shown=True, out=None):
        self.out, self.shown, self.what, self.bar = out or sys.stderr, shown, None, None

    def __call__(self, what, n):
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


def line(event, floor):
    """One evaluation in one line; a star marks the best so far"""
    valid = "" if event.valid_loss is None else f"   valid {event.valid_loss:.3f}{' *' if event.best else '  '}"
    above = f"   {event.valid_loss / floor:.2f} x the floor" if floor and valid else ""
    return f"step {event.step:>6,}   train {event.train_loss:.3f}{valid}{above}"
