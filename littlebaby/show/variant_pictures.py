"""The picture of every variant, drawn from the numbers of check/variant_measures. A new variant needs no code here."""
from typing import Any

import numpy as np

from ..check.variant_measures import STEPS, best_descent, influence, jacobian, response
from ..runs.settings import allowed
from .charts import GRAY, INK, PALE, TRAIN, VALID, plainly, png

LINES = 6            # dimensions of y whose curve is drawn


def variant_picture(folder: str, name: str) -> bytes:
    """PNG bytes"""
    return png(dict(attentions=mixing, positions=mixing, optimizers=descents).get(folder, response_picture)(folder, name), dpi=110)


def mixing(folder: str, name: str) -> Any:
    """An attention or a position: influence of tokens on tokens, as a matplotlib Figure"""
    shares = influence(folder, name)
    T = len(shares)
    figure, (left, right) = panels()
    squares(left, shares, "influence of inputs on outputs")
    left.set_xlabel("input token", color=GRAY, fontsize=9)
    left.set_ylabel("output token", color=GRAY, fontsize=9)
    far = np.arange(T // 2)
    means = [np.diagonal(shares, -d)[-T // 2:].mean() for d in far]
    right.plot(far, means, color=TRAIN, lw=1.8)
    right.set_ylim(0, 1.08 * max(means))
    plainly(right, "mean share of influence, by distance in tokens")
    return figure


def response_picture(folder: str, name: str) -> Any:
    """A network or a norm: its Jacobian, and its output for scaled inputs, as a matplotlib Figure"""
    figure, (left, right) = panels()
    squares(left, jacobian(folder, name), "influence of dimensions of x on y")
    left.set_xlabel("dimension of x", color=GRAY, fontsize=9)
    left.set_ylabel("dimension of y", color=GRAY, fontsize=9)
    size, y = response(folder, name)
    for i in range(LINES):
        right.plot(size, y[:, i], color=TRAIN, lw=1.4, alpha=1 - 0.12 * i)
    right.axhline(0, color=PALE, lw=0.8)
    right.axvline(0, color=PALE, lw=0.8)
    plainly(right, f"{LINES} dimensions of y for a token x scaled from -4 to 4")
    return figure


def descents(_folder: str, name: str) -> Any:
    """An optimizer: its losses, beside those of all others, as a matplotlib Figure"""
    figure, axes = panels(1)
    best = {each: best_descent(each) for each in allowed("c_optimizer")}
    order = sorted(best, key=lambda each: best[each][1][-1])
    for each in sorted(best, key=lambda each: each == name):     # the picture's own optimizer lies on top
        (rate, losses), mine = best[each], each == name
        axes.plot(losses, color=VALID if mine else PALE, lw=2 if mine else 1.4)
        axes.annotate(f"{each}, learning rate {rate:.2g}", (1.02, 0.05 + 0.08 * order.index(each)), xycoords="axes fraction",
                      color=VALID if mine else GRAY, fontsize=9, annotation_clip=False)
    axes.set_yscale("log")
    plainly(axes, f"loss of fitting a matrix in {STEPS} steps, each optimizer at its best learning rate, which falls to 0")
    return figure


# shared by the pictures

def panels(n: int = 2) -> Any:
    """(figure, its n axes)"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), facecolor="white", layout="constrained")
    return figure, figure.subplots(1, n, width_ratios=(1, 1.3)) if n == 2 else figure.subplots()


def squares(axes: Any, matrix: np.ndarray, heading: str) -> None:
    """A matrix of shares as an image, darker for larger entries"""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    axes.imshow(matrix, cmap=LinearSegmentedColormap.from_list("ink", ["white", TRAIN, INK]), norm=PowerNorm(0.5, 0, matrix.max()),
                interpolation="nearest")
    plainly(axes, heading)
    axes.grid(False)
