"""The pictures of a comparison of runs, as matplotlib Figures: loss against cost, and loss during training."""
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evaluation.run_statistics import Cell, mean_curve
from .charts import GRAY, INK, PALE, TRAIN, VALID, plainly, scale
from .diary import LINES
from .formatting import format_number

COLOURED = len(LINES)        # cells with a colour of their own
NEAR = 0.02                  # of the range of all points: points nearer than this share a label
WIDE = 8                     # ratio of the largest to the smallest cost from which its axis is logarithmic


def fronts(cells: Sequence[Cell], on_front: Mapping[str, Sequence[Cell]], costs: Mapping[str, str]) -> Any:
    """Validation loss against each cost, with the cells of the Pareto front joined. costs: {measure: its name}"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.9), facecolor="white", layout="constrained")
    for axes, (cost, about) in zip(figure.subplots(1, len(costs), sharey=True, squeeze=False)[0], costs.items()):
        known = [cell for cell in cells if cell.mean("valid_loss") is not None and cell.mean(cost) is not None]
        x, y = np.array([[cell.mean(cost), cell.mean("valid_loss")] for cell in known], float).reshape(-1, 2).T
        axes.errorbar(x, y, [cell.std("valid_loss") or 0 for cell in known], fmt="o", ms=5, color=TRAIN, ecolor=PALE, elinewidth=1)
        front = [(cell.mean(cost), cell.mean("valid_loss")) for cell in on_front[cost]]
        axes.plot(*zip(*front), "o-", color=VALID, ms=5, lw=1.4, zorder=5)
        for point, numbers in labels(np.stack([x, y], 1), [cell.number for cell in known]):
            axes.annotate(numbers, point, xytext=(5, 4), textcoords="offset points", fontsize=9, color=INK)
        if len(x) and x.min() > 0 and x.max() > WIDE * x.min():
            axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: format_number(value))
        axes.set_xlabel(about, color=GRAY, fontsize=9)
        plainly(axes, "validation loss (nats per token)")
    return figure


def labels(points: np.ndarray, numbers: Sequence[int]) -> list[tuple[tuple[float, float], str]]:
    """[(point, text)]: the numbers of the points (n, 2), those of points too near to each other for two texts in one"""
    near = NEAR * np.maximum(np.ptp(points, axis=0), 1e-12) if len(points) else 0
    found: list[tuple[np.ndarray, list[str]]] = []
    for point, number in zip(points, numbers):
        group = next((texts for other, texts in found if (abs(other - point) < near).all()), None)
        if group is None:
            found.append((point, [str(number)]))
        else:
            group.append(str(number))
    return [((float(x), float(y)), ", ".join(texts)) for (x, y), texts in found]


def curves(cells: Sequence[Cell], coloured: Sequence[Cell]) -> Any:
    """Validation loss against training tokens, seconds and FLOPs: the mean over the seeds of each cell. coloured: cells with a colour"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.9), facecolor="white", layout="constrained")
    every = {cell.number: mean_curve(cell.runs) for cell in cells}
    colours = {cell.number: colour for cell, colour in zip(coloured, LINES)}
    for i, (axes, about) in enumerate(zip(figure.subplots(1, 3, sharey=True), ("training tokens", "seconds of training", "FLOPs"))):
        for cell in sorted(cells, key=lambda cell: cell.number in colours):          # the gray ones lie below
            curve, colour = every[cell.number], colours.get(cell.number)
            x, loss, spread = curve[:, i], curve[:, 3], curve[:, 4]
            label = f"cell {cell.number}: {cell.mean('valid_loss') or np.nan:.3f}" if colour and len(curve) else None
            axes.plot(x, loss, "-" if len(x) > 1 else "o", ms=4, color=colour or PALE, lw=1.5 if colour else 0.9, label=label)
            if colour and spread.any():
                axes.fill_between(x, loss - spread, loss + spread, color=colour, alpha=0.15, lw=0)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda value, _: format_number(value))
        axes.set_xlabel(about, color=GRAY, fontsize=9)
        scale(axes, np.concatenate([curve[:, 3] for curve in every.values()]))
        plainly(axes, "validation loss" if i == 0 else "")
    figure.axes[-1].legend(frameon=False, fontsize=8, labelcolor="linecolor", handlelength=1)
    return figure
