"""What the lessons in notebooks/tour share: pictures in one style, and exercises whose check prints one sentence."""
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from ..runs.store import lasting_workspace
from .charts import PALE, TRAIN, plainly


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
