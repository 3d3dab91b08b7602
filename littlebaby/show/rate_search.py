"""The search for a learning rate as a page: the loss against the rate, and the rate that it suggests."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.learning_rates import running_mean, suggestion
from . import html
from .charts import FLOOR, GRAY, TRAIN, plainly


@dataclass(frozen=True)
class RateSearch:
    """A training with a growing learning rate; shows itself in a notebook, `save(path)` writes a page

    name      the training text
    rates     of every step
    losses    of every step, nats per token
    """
    name: str
    rates: Sequence[float]
    losses: Sequence[float]

    @property
    def rate(self) -> float:
        """The suggested r_learn"""
        return suggestion(self.rates, self.losses).rate

    @property
    def reason(self) -> str:
        """Why, in one sentence"""
        return suggestion(self.rates, self.losses).reason

    def data(self) -> dict[str, Any]:
        """For JSON"""
        return dict(input=self.name, r_learn=self.rate, reason=self.reason, rates=list(self.rates),
                    losses=[loss if np.isfinite(loss) else None for loss in self.losses])

    def _repr_html_(self) -> str:
        return html.html_fragment(body(self))

    def save(self, path: str | Path) -> Path:
        """Write the page; returns its path"""
        return html.save(path, f"learning rate for {self.name}", body(self))

    def __str__(self) -> str:
        return self.reason

    __repr__ = __str__


def body(found: RateSearch) -> str:
    """The page's HTML"""
    about = ("The rate grows by the same factor in every step of one short training. Thin: the loss of each batch; thick: its running "
             "mean; dashed: the suggested rate.")
    return html.head(f"A learning rate for {found.name}", found.reason) + html.section(
        "Loss against learning rate", about, html.picture(draw(found), found.reason))


def draw(found: RateSearch) -> Any:
    """The losses against the rates as a matplotlib Figure"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.8), facecolor="white", layout="constrained")
    axes, means = figure.subplots(), running_mean(found.losses)
    axes.plot(found.rates, found.losses, color=TRAIN, lw=0.6, alpha=0.4)
    axes.plot(found.rates, means, color=TRAIN, lw=1.8)
    axes.axvline(found.rate, color=FLOOR, ls=(0, (6, 3)), lw=1.2)
    axes.set_xscale("log")
    low, high = np.nanmin(means), np.nanmax(means)
    axes.set_ylim(low - 0.1 * (high - low) - 1e-3, high + 0.1 * (high - low) + 1e-3)
    axes.set_xlabel("learning rate", color=GRAY, fontsize=9)
    plainly(axes, "loss (nats per token)")
    return figure
