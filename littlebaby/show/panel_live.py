"""Progress of a run in the panel: a bar, the loss curve, the samples."""
from collections.abc import Callable
from time import perf_counter
from typing import Any

import ipywidgets as widgets

from ..training.loop import Evaluation, Step
from . import panel_html
from .charts import WHY_BELOW
from .formatting import format_duration
from .progress import Began

STATUS_INTERVAL = 0.25       # seconds between two updates of the numbers
DRAWING = 0.05               # share of the time that may be spent on drawing
LONGEST_PAUSE = 10.0         # seconds; the first picture takes long, because it loads the library that draws it


class Live:
    """Call it with every event of a run, `Began` first; `progress` and `view` are the widgets. rows(guid): the evaluations that the
    report of a resumed run already has, so that its curve is complete"""

    def __init__(self, rows: Callable[[str], list]) -> None:
        self.rows, self.step = rows, 0
        self.history: Any = None                                 # a LossHistory, from Began on
        self.last_shown = self.drawn = self.pause = 0.0
        self.bar = widgets.FloatProgress(min=0, max=1, layout=widgets.Layout(width="180px"))
        self.status = widgets.HTML()
        self.status.add_class("lb-status")
        self.progress = widgets.HBox([self.bar, self.status], layout=widgets.Layout(align_items="center", flex_flow="row wrap"))
        self.curve = widgets.Image(format="png", layout=widgets.Layout(width="540px", max_width="100%", display="none"))
        self.curve.add_class("lb-curve")
        self.samples = widgets.HTML(layout=widgets.Layout(flex="1 1 300px", min_width="0"))
        self.caption = widgets.HTML(layout=widgets.Layout(width="100%"))
        self.view = widgets.HBox([self.curve, self.samples, self.caption],
                                 layout=widgets.Layout(flex_flow="row wrap", grid_gap="14px", margin="6px 0"))
        self.hide()

    def __call__(self, event: Any) -> None:
        now = perf_counter()
        if isinstance(event, Began):
            self.begin(event, now)
        elif isinstance(event, Step):
            self.step = event.step
            self.history.step(event)
            if now - self.last_shown > STATUS_INTERVAL or event.step == self.total:
                self.show_status(event, now)
        elif isinstance(event, Evaluation):
            self.history.rows.append(event)
            self.caption.value = "" if event.valid_loss is None else panel_html.hint(WHY_BELOW)
            self.samples.value = panel_html.samples_so_far(self.history.rows)
        if (self.history.points or self.history.rows) and (not isinstance(event, Step) or now - self.drawn > self.pause):
            show(self.curve, self.history.picture(self.step if self.minutes else self.total))
            self.drawn = perf_counter()
            self.pause = min(max(1.0, (self.drawn - now) / DRAWING), LONGEST_PAUSE)

    def begin(self, event, now):
        self.history, self.total = panel_html.LossHistory(event.floor, self.rows(event.guid)), event.total
        self.minutes = event.minutes
        self.step = self.first = event.step
        self.began = self.last_shown = self.drawn = now
        self.length = 60 * event.minutes or max(event.total, 1)  # in seconds or in steps
        self.bar.value, self.bar.max = 0 if event.minutes else event.step, self.length
        self.bar.layout.display = self.view.layout.display = None
        self.caption.value = ""
        self.samples.value = panel_html.samples_so_far(self.history.rows)

    def show_history(self, guid: str, drawn: bool, remarks: str) -> None:
        """The samples of a run that ended; drawn: whether its final picture takes the place of the curve; remarks: what it means, HTML"""
        rows = self.rows(guid)
        self.view.layout.display = None if rows or drawn else "none"
        self.samples.value = panel_html.samples_so_far(rows) if rows else ""
        self.caption.value = remarks
        if drawn:
            self.curve.layout.display = "none"

    def show_again(self) -> None:
        """The curve and the samples of the last training, after `hide`"""
        self.bar.layout.display = self.view.layout.display = None
        show(self.curve, self.history.picture(self.total) if self.history.points or self.history.rows else b"")

    def hide(self):
        self.say("")
        show(self.curve, b"")
        self.bar.layout.display = self.view.layout.display = "none"

    def show_status(self, event, now):
        self.last_shown, self.bar.value = now, now - self.began if self.minutes else event.step
        left = (now - self.began) / (event.step - self.first) * (self.total - event.step)
        left = max(0, min(left, 60 * self.minutes - (now - self.began))) if self.minutes else left
        total = "" if self.minutes else f" of {self.total:,}"
        self.say(f"step {event.step:,}{total} · {self.history.what} {self.history.mean or event.loss:.3f} · "
                 f"{event.tokens_per_second:,.0f} tokens/s · {format_duration(left)} left")

    def say(self, text: str) -> None:
        self.status.value = panel_html.hint(text) if text else ""


def show(image: widgets.Image, png: bytes) -> None:
    """Show a PNG in an Image; empty bytes hide it"""
    image.value, image.layout.display = png, None if png else "none"
