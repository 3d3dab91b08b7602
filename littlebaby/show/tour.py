"""What the lessons in notebooks/tour share: pictures in one style, the progress of a training, and exercises whose check prints one
sentence."""
from collections.abc import Callable, Sequence
from functools import wraps
from time import perf_counter
from typing import Any

import numpy as np

from ..runs.store import lasting_workspace
from ..training.loop import Done, Step
from .charts import PALE, TRAIN, plainly
from .progress import Began

BAR_LENGTH, BAR_INTERVAL = 20, 0.3       # characters; seconds between two updates


def picture(*headings: str, widths: Sequence[float] | None = None, height: float = 3.2) -> Any:
    """The axes of a new figure, one for each heading, side by side; a list of them, or for one heading the axes alone"""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(headings), figsize=(8, height), dpi=110, squeeze=False, width_ratios=widths,
                                   facecolor="white", layout="constrained")
    for each, heading in zip(axes[0], headings):
        plainly(each, heading)
    return list(axes[0]) if len(headings) > 1 else axes[0, 0]


def visible(tokens: str | Sequence[str]) -> list[str]:
    """The tokens with spaces as ␣ and line breaks as ⏎"""
    return [token.replace(" ", "␣").replace("\n", "⏎") for token in tokens]


def probability_bars(axes: Any, tokens: Sequence[str], p: np.ndarray, kept: np.ndarray | None = None, most: int = 14) -> None:
    """A bar for each of the `most` most likely tokens. p: (V,) probabilities; kept: (V,) bool, the bars of all others are gray"""
    first = np.argsort(-p, kind="stable")[:most]
    axes.bar(range(len(first)), p[first], color=[TRAIN if kept is None or kept[i] else PALE for i in first])
    axes.set_xticks(range(len(first)), visible([tokens[i] for i in first]))
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


class TrainingBar:
    """For `progress` of a training in a notebook: one line that counts the steps. Of a training that has ended the same line remains every
    time, so the outputs of a notebook stay comparable; outside of notebooks nothing is shown"""

    def __init__(self) -> None:
        self.handle: Any = None          # of the line on the page, from Began on
        self.total, self.shown = 1, 0.0

    def __call__(self, event: Any) -> None:
        if isinstance(event, Began):
            self.total, self.handle, self.shown = event.total, notebook_line(self.line(event.step, event.total)), perf_counter()
        elif self.handle and (isinstance(event, Done) or isinstance(event, Step) and perf_counter() - self.shown > BAR_INTERVAL):
            self.handle.update(self.line(event.step, self.total), raw=True)
            self.shown = perf_counter()

    @staticmethod
    def line(step: int, total: int) -> dict[str, str]:
        """The line as IPython displays it"""
        full = BAR_LENGTH * step // total
        return {"text/plain": f"{'█' * full}{'░' * (BAR_LENGTH - full)} {step:,} / {total:,}"}


def notebook_line(content: dict[str, str]) -> Any:
    """Display a line in a notebook -> the handle that replaces it; None outside of notebooks"""
    from IPython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    return display(content, raw=True, display_id=True) if shell and hasattr(shell, "kernel") else None


def exercise(lesson: int, number: int) -> Callable[[Callable[..., str]], Callable[..., None]]:
    """Decorate a function that consists of asserts so that it prints a verdict and raises nothing, and the notebook runs on.

    It prints ✓ and what the function returns, or ✗ and the message of the first assert that fails. The answer is counted in
    outputs/progress.json as an attempt, unless the message contains None: that is the message for an exercise without an answer.

    >>> @exercise(lesson=1, number=1)
    ... def check(n):
    ...     assert n is not None, "put a number in place of None."
    ...     return f"{n} it is."
    >>> check(None)
    ✗ put a number in place of None.
    """
    def decorate(check: Callable[..., str]) -> Callable[..., None]:
        @wraps(check)
        def verdict(*answers: Any) -> None:
            solved, answered = False, True
            try:
                sentence, solved = check(*answers), True
            except AssertionError as failure:
                sentence = str(failure)
                answered = "None" not in sentence
            except Exception as error:                           # the learner's code may raise anything
                sentence = f"{type(error).__name__}: {error}"
            print("✓" if solved else "✗", sentence)
            if answered:
                record_attempt(lesson, number, solved)

        return verdict

    return decorate


failed_to_record: list[str] = []        # the reason, once an attempt could not be recorded


def record_attempt(lesson: int, number: int, solved: bool) -> None:
    """Count an answer in the workspace that outlives this process; the first time that this is impossible, print the reason"""
    try:
        lasting_workspace().record_attempt(lesson, number, solved)
    except Exception as error:          # whatever the disk does, the lesson runs on
        if not failed_to_record:
            failed_to_record.append(str(error))
            print(f"(your progress is not recorded: {error})")
