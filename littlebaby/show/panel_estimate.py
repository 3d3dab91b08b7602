"""The estimate in the panel: what the chosen training would cost and what its model looks like, renewed after every change."""
import threading
from collections.abc import Callable
from time import sleep
from typing import Any

import ipywidgets as widgets

from ..check.preflight import preflight
from ..errors import BadInput
from . import panel_html
from .panel_live import show

PATIENCE = 0.4          # seconds without a change after which the speed of this machine is measured


class Estimate:
    """`view` is the widget, `request()` asks for a new estimate.

    choice: () -> (Config, number of training tokens), or BadInput      wanted: () -> whether an estimate is to be computed now
    machine: a lock that everything holds that would disturb a measurement
    """

    def __init__(self, choice: Callable, wanted: Callable[[], bool], machine: threading.Lock) -> None:
        self.choice, self.wanted, self.machine = choice, wanted, machine
        self.requested = self.answered = 0           # numbers of the latest request and of the latest one that was answered
        self.thread: threading.Thread | None = None
        self.costs = widgets.HTML(layout=widgets.Layout(width="330px"))
        self.architecture = widgets.Image(format="png", layout=widgets.Layout(width="215px", display="none"))
        self.view = widgets.HBox([self.architecture, self.costs], layout=widgets.Layout(grid_gap="10px"))

    def request(self) -> None:
        """Estimate anew in a thread; of several requests only the latest is answered"""
        self.requested += 1
        number = self.requested
        if self.wanted():
            self.thread = start_thread(lambda: self.answer(number))

    def answer(self, number: int) -> None:
        """Show what can be counted, and after PATIENCE also what must be measured"""
        sleep(PATIENCE / 4)
        with self.machine:
            if number != self.requested or not self.wanted():
                return
            self.answered = number
            try:
                cfg, tokens = self.choice()
                show(self.architecture, panel_html.architecture(cfg))
                self.costs.value = panel_html.cost_tiles(preflight(cfg, tokens, probe=False), "measuring this machine")
            except BadInput as error:
                show(self.architecture, b"")
                self.costs.value = panel_html.message_html(str(error), wrong=True)
                return
        sleep(PATIENCE)
        with self.machine:
            if number == self.requested and self.wanted():
                self.costs.value = panel_html.cost_tiles(preflight(cfg, tokens))


def start_thread(work: Callable[[], Any]) -> threading.Thread:
    """Start `work` in a thread, which is returned; where threads cannot start, as in a browser's Python, run it now"""
    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        work()
    return thread
