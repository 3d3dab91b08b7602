"""What a job shows in a panel: its progress and messages; of a run its story, picture and card; a page."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets

from ..errors import BadInput, RunFailed
from . import panel_html
from .panel_live import Live, show


class Outcome:
    """`view` is the widget; `wrong`: whether the message is an error. rows: as for Live"""

    def __init__(self, rows: Callable[[str], list]) -> None:
        self.live, self.wrong = Live(rows), False
        self.stopped: tuple[str, str] | None = None      # the plan whose training was stopped, and what was said then
        self.message, self.text, self.card, self.page = (widgets.HTML() for _ in range(4))
        self.chart = widgets.Image(format="png", layout=widgets.Layout(width="540px", max_width="100%", display="none"))
        self.live.view.children = [self.chart, *self.live.view.children]
        self.view = widgets.VBox([self.live.progress, self.message, self.text, self.live.view, self.card, self.page])

    def clear(self) -> None:
        self.wrong, self.stopped = False, None
        for each in (self.message, self.text, self.card, self.page):
            each.value = ""
        self.live.hide()
        show(self.chart, b"")

    def say(self, text: str, wrong: bool = False) -> None:
        self.wrong = wrong
        self.message.value = panel_html.message_html(text, wrong)

    def say_stopped(self, plan: str, text: str) -> None:
        """Tell the end of a training of `plan` that was stopped; its curve stays"""
        self.stopped = plan, text
        self.say(text)

    def change_plan(self, plan: str) -> None:
        """Clear everything, but show the curve of the training that was stopped in this plan. plan: "" where the folder has changed"""
        stopped = self.stopped if plan else None
        self.clear()
        self.stopped = stopped
        if stopped and stopped[0] == plan:
            self.say(stopped[1])
            self.live.show_again()

    def forget_error(self) -> None:
        """Remove an error, because its cause may have been mended"""
        if self.wrong:
            self.say("")

    def show_run(self, info: dict[str, Any], chart: bytes) -> None:
        """The story of a run, its picture, what its curves mean, and its card. info: from plans.info"""
        self.say("")
        self.text.value = panel_html.story(info["completion"])
        self.live.show_history(info["guid"], bool(chart), panel_html.remarks(info["report"]))
        show(self.chart, chart)
        self.card.value = panel_html.card(info)

    @contextmanager
    def errors_as_messages(self) -> Iterator[None]:
        """Show an error raised inside as one sentence"""
        try:
            yield
        except (BadInput, RunFailed) as error:
            self.say(str(error), wrong=True)
        except Exception as error:          # a defect of this program: a traceback would be lost in a thread
            self.say(f"internal error: {type(error).__name__}: {error}", wrong=True)
