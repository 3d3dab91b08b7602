"""The picture of every variant, drawn from the numbers of check/variant_measures. A new variant needs no code here."""

import numpy as np

from ..check.variant_measures import STEPS, best_descent, influence, jacobian, response
from ..runs import records
from .charts import GRAY, INK, PALE, TRAIN, VALID, plainly, png

LINES = 6            # dimensions of y whose curve is drawn


def variant_picture(folder: str, name: str) -> bytes:
    """PNG bytes"""
    return png(dict(attentions=mixing, positions=mixing, optimizers=descents).get(folder, response_picture)(folder, name), dpi=110)


def mixing(folder, name):
    shares = influence(folder, name)
    T = len(shares)
    figure, (left, right) = panels()
    squares(left, shares, "who acts on whom")
    left.set_xlabel("token that is read", color=GRAY, fontsize=9)
    left.set_ylabel("token that reads", color=GRAY, fontsize=9)
    far = np.arange(T // 2)
    means = [np.diagonal(shares, -d)[-T // 2:].mean() for d in far]
    right.plot(far, means, color=TRAIN, lw=1.8)
    right.set_ylim(0, 1.08 * max(means))
    plainly(right, "share of what acts, by distance in tokens")
    return figure


def response_picture(folder, name):
    figure, (left, right) = panels()
    squares(left, jacobian(folder, name), "which dimension acts on which")
    left.set_xlabel("dimension of x", color=GRAY, fontsize=9)
    left.set_ylabel("dimension of y", color=GRAY, fontsize=9)
    size, y = response(folder, name)
    for i in range(LINES):
        right.plot(size, y[:, i], color=TRAIN, lw=1.4, alpha=1 - 0.12 * i)
    right.axhline(0, color=PALE, lw=0.8)
    right.axvline(0, color=PALE, lw=0.8)
    plainly(right, f"{LINES} dimensions of y as x grows along a line")
    return figure


def descents(_, name):
    figure, axes = panels(1)
    ways = {each: best_descent(each) for each in records.allowed("c_optimizer")}
    order = sorted(ways, key=lambda each: ways[each][1][-1])
    for each in sorted(ways, key=lambda each: each == name):     # the one that it is about lies on top
        (rate, losses), mine = ways[each], each == name
        axes.plot(losses, color=VALID if mine else PALE, lw=2 if mine else 1.4)
        axes.annotate(f"{each}, rate {rate:.2g}", (1.02, 0.05 + 0.08 * order.index(each)), xycoords="axes fraction",
                      color=VALID if mine else GRAY, fontsize=9, annotation_clip=False)
    axes.set_yscale("log")
    plainly(axes, f"loss of a matrix fitted in {STEPS} steps, each optimizer at its best rate, which falls to 0")
    return figure


# what the pictures share

def panels(n=2):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), facecolor="white", layout="constrained")
    return figure, figure.subplots(1, n, width_ratios=(1, 1.3)) if n == 2 else figure.subplots()


def squares(axes, matrix, heading):
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    axes.imshow(matrix, cmap=LinearSegmentedColormap.from_list("ink", ["white", TRAIN, INK]), norm=PowerNorm(0.5, 0, matrix.max()),
                interpolation="nearest")
    plainly(axes, heading)
    axes.grid(False)
