"""Progress of a run in the panel: a bar, the loss curve, the latest sample."""
from time import perf_counter
from typing import Any

import ipywidgets as widgets

from ..training.loop import Evaluation, Step
from . import panel_html
from .formatting import format_duration
from .progress import Began

TELLING = 0.25          # seconds between two looks at the numbers
DRAWING = 0.05          # share of the time that may go into pictures


class Live:
    """Call it with every event of a run, `Began` first; `bar`, `status` and `view` are the widgets. rows(guid): what a report holds of
    a run that goes on, so that its line is whole"""

    def __init__(self, rows):
        self.rows, self.step = rows, 0
        self.course: Any = None                                  # from Began on, as the clock's times
        self.last_shown = self.drawn = self.pause = 0.0
        self.bar = widgets.FloatProgress(min=0, max=1, layout=widgets.Layout(width="180px"))
        self.status = widgets.HTML()
        self.status.add_class("lb-status")
        self.curve = widgets.Image(format="png", layout=widgets.Layout(width="540px", display="none"))
        self.curve.add_class("lb-curve")
        self.samples = widgets.HTML(layout=widgets.Layout(flex="1 1 300px", min_width="0"))
        self.view = widgets.HBox([self.curve, self.samples], layout=widgets.Layout(flex_flow="row wrap", grid_gap="14px", margin="6px 0"))
        self.hide()

    def __call__(self, event):
        now = perf_counter()
        if isinstance(event, Began):
            self.begin(event, now)
        elif isinstance(event, Step):
            self.step = event.step
            self.course.step(event)
            if now - self.last_shown > TELLING or event.step == self.total:
                self.tell(event, now)
        elif isinstance(event, Evaluation):
            self.course.rows.append(event)
            self.samples.value = panel_html.samples_so_far(self.course.rows)
        if not isinstance(event, Step) or now - self.drawn > self.pause:
            show(self.curve, self.course.picture(self.total))
            self.drawn = perf_counter()
            self.pause = max(1.0, (self.drawn - now) / DRAWING)

    def begin(self, event, now):
        self.course, self.total = panel_html.LossHistory(event.floor, self.rows(event.guid)), event.total
        self.step = self.first = event.step
        self.began = self.last_shown = self.drawn = now
        self.bar.value, self.bar.max = event.step, max(event.total, 1)
        self.bar.layout.display = self.view.layout.display = None
        self.samples.value = panel_html.samples_so_far(self.course.rows)

    def hide(self):
        self.say("")
        self.bar.layout.display = self.view.layout.display = "none"

    def tell(self, event, now):
        self.last_shown, self.bar.value = now, event.step
        left = (now - self.began) / (event.step - self.first) * (self.total - event.step)
        self.say(f"step {event.step:,} of {self.total:,} · loss {self.course.mean or event.loss:.3f} · "
                 f"{event.tokens_per_second:,.0f} tokens/s · {format_duration(left)} left")

    def say(self, text):
        self.status.value = panel_html.hint(text) if text else ""


def show(image, png):
    """Put a picture into an Image; empty bytes hide it"""
    image.value, image.layout.display = png, None if png else "none"
