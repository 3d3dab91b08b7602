"""What the lessons in notebooks/tour share: pictures in one style, and exercises whose check prints one sentence."""
from functools import wraps

from .charts import plainly


def picture(*headings, widths=None, height=3.2):
    """The axes of a new figure, one for each heading, side by side; a list of them, or for one heading the axes alone"""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(headings), figsize=(8, height), dpi=110, squeeze=False, width_ratios=widths,
                                   facecolor="white", layout="constrained")
    for each, heading in zip(axes[0], headings):
        plainly(each, heading)
    return list(axes[0]) if len(headings) > 1 else axes[0, 0]


def exercise(check):
    """Decorate a function that consists of asserts so that it prints a verdict and raises nothing, and the notebook runs on.

    It prints ✓ and what the function returns, or ✗ and the message of the first assert that fails.

    >>> @exercise
    ... def check(n):
    ...     assert n is not None, "put a number in place of None."
    ...     return f"{n} it is."
    >>> check(None)
    ✗ put a number in place of None.
    """
    @wraps(check)
    def verdict(*answers):
        try:
            print("✓", check(*answers))
        except AssertionError as failure:
            print("✗", failure)
        except Exception as error:                               # the learner's code may raise anything
            print("✗", f"{type(error).__name__}: {error}")

    return verdict
