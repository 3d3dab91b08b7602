"""Runs and files as a panel shows them: the label of a run, why a plan cannot use it, an upload."""
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import sleep
from typing import Any

from ..errors import BadInput
from ..runs.shipped import alias
from ..runs.store import Workspace
from .card import state

WITH_MODEL = ("finetune", "school", "inference")           # plans that need a trained model
INTERVAL = 2.0          # seconds between two looks at a run of another process
NONE = "there is no run in this folder yet; train makes one"


@dataclass
class Choices:
    """What was chosen for a plan. source: the preset or the base run whose settings were changed"""
    run: str
    input: str
    source: str
    changes: dict[str, Any]


def why_not(plan: str, run: Any) -> str:
    """Why a plan cannot use the chosen run, None if there is none; "" where it can"""
    if plan == "train":
        return ""
    if not run:
        return NONE
    if run.in_use and plan != "info":
        return "this run is being trained by another process; wait for its end"
    if plan in WITH_MODEL and not run.has_model:
        resume = f"; Resume continues it from step {run.checkpoint:,}" if run.resumable else ""
        return f"this run has not finished and has no model yet{resume}"
    return ""


def run_label(run: Any) -> str:
    """A run in one line, for the picker"""
    cfg, report = run.config, run.report
    words = [alias(run.name) or run.name[:8] + run.name[36:], f"{cfg.c_attention} + {cfg.c_network}" if cfg else "damaged"]
    if report:
        bits = report.figures and report.figures.bits_per_character
        words += [report.input.name if report.input else "", f"{bits:.2f} bits" if bits else "",
                  state(vars(report), run.in_use, run.resumable)]
    return " · ".join(filter(None, words))


def is_conversations(text: str | None) -> bool:
    """Whether a text is a file of conversations"""
    return text is not None and text.endswith(".jsonl")


def uploaded_file(value: Any) -> list[tuple[str, Any]]:
    """[(name, bytes)] of an upload, from the value of ipywidgets 7, {name: {content}}, or of 8, ({name, content}, ...)"""
    if isinstance(value, dict):
        return [(name, each["content"]) for name, each in value.items()]
    return [(each["name"], each["content"]) for each in value]


class Elsewhere:
    """Waits for the ends of trainings by other processes, in threads; where threads cannot start there are no other processes"""

    def __init__(self) -> None:
        self.awaited = set[str]()

    def wait(self, workspace: Workspace, run: Any, then: Callable[[], None]) -> None:
        """Call `then` when no process trains this run any more; do nothing if none does now. run: as the workspace lists it, or None"""
        if run and run.in_use and run.name not in self.awaited:
            self.awaited.add(run.name)
            with suppress(RuntimeError):
                threading.Thread(target=self.look, args=(workspace, run.name, then), daemon=True).start()

    def look(self, workspace: Workspace, name: str, then: Callable[[], None]) -> None:
        with suppress(BadInput, OSError):                # a folder that is gone
            while name in workspace.names() and workspace.run(name).in_use:
                sleep(INTERVAL)
        self.awaited.discard(name)
        then()
