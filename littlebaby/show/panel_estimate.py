"""The estimate in the panel: what the chosen training would cost and what its model looks like, renewed after every change."""
import threading
from collections.abc import Callable
from time import sleep
from typing import Any

import ipywidgets as widgets

from ..check.preflight import preflight
from ..errors import BadInput
from . import panel_html
from .panel_job import JOBS, start_thread
from .panel_live import show

PATIENCE = 0.4          # seconds without a change after which the speed of this machine is measured
HEIGHT = 400            # pixels of the architecture, which stay reserved: a button below must not move while it is being pressed


class Estimate:
    """`view` is the widget, `request()` asks for a new estimate.

    choice: () -> (Config, number of training tokens), or BadInput      key: () -> what the choice depends on
    displayed: () -> whether the panel displays the cost
    """

    def __init__(self, choice: Callable, key: Callable[[], Any], displayed: Callable[[], bool]) -> None:
        self.choice, self.key, self.displayed = choice, key, displayed
        self.requested = 0                           # number of the latest request
        self.answered: Any = None                    # the key of the choice whose estimate is complete
        self.thread: threading.Thread | None = None
        self.costs = widgets.HTML(layout=widgets.Layout(flex="1 1 260px", max_width="340px", min_width="0"))
        self.architecture = widgets.Image(format="png", layout=widgets.Layout(width="215px", display="none"))
        self.view = widgets.HBox([self.architecture, self.costs], layout=widgets.Layout(grid_gap="10px", flex_flow="row wrap",
                                                                                        min_height=f"{HEIGHT}px"))

    def request(self) -> None:
        """Estimate anew in a thread, or after the job that runs; of several requests only the latest is answered"""
        self.requested += 1
        number = self.requested
        if not self.displayed() or self.key() == self.answered:
            return
        if JOBS.running:
            self.answered = None
            show(self.architecture, b"")
            self.costs.value = panel_html.hint(f"the cost of this choice is estimated after {JOBS.running}")
        else:
            self.thread = start_thread(lambda: self.answer(number))

    def wanted(self, number: int) -> bool:
        """Whether a request is to be answered now"""
        return number == self.requested and self.displayed() and not JOBS.running

    def answer(self, number: int) -> None:
        """Show what can be counted, and after PATIENCE also what must be measured"""
        sleep(PATIENCE / 4)
        with JOBS.machine:
            if not self.wanted(number):
                return
            self.answered, key = None, self.key()
            try:
                cfg, tokens = self.choice()
                show(self.architecture, panel_html.architecture(cfg))
                self.costs.value = panel_html.cost_tiles(preflight(cfg, tokens, probe=False), "measuring this machine")
            except BadInput as error:
                show(self.architecture, b"")
                self.costs.value = panel_html.message_html(str(error), wrong=True)
                return
        sleep(PATIENCE)
        with JOBS.machine:
            if self.wanted(number):
                self.costs.value = panel_html.cost_tiles(preflight(cfg, tokens))
                self.answered = key
