"""What the lessons in notebooks/tour share: pictures in one style, and exercises that answer in one sentence."""
from functools import wraps

from .charts import plainly


def picture(*headings, widths=None, height=3.2):
    """The axes of a new figure, side by side, one for each heading; a single one comes without a list"""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(headings), figsize=(8, height), dpi=110, squeeze=False, width_ratios=widths,
                                   facecolor="white", layout="constrained")
    for each, heading in zip(axes[0], headings):
        plainly(each, heading)
    return list(axes[0]) if len(headings) > 1 else axes[0, 0]


def exercise(check):
    """Turn a function of asserts into one that says its verdict and never stops a notebook.

    ✓ and what the function returns, or ✗ and the sentence of the first assert that does not hold

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
        except AssertionError as sentence:
            print("✗", sentence)
        except Exception as error:                               # the learner's own code may raise anything
            print("✗", f"{type(error).__name__}: {error}")

    return verdict
