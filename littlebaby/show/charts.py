"""The chart of a run: loss, learning rate and gradient norm over the training tokens, as the bytes of a PNG."""
from collections.abc import Sequence
from io import BytesIO
from textwrap import wrap
from typing import Any

import numpy as np

from ..runs.records import Report
from . import school
from .formatting import format_number

INK, GRAY, PALE = "#1b2a3a", "#66727f", "#c9d1d9"
TRAIN, VALID, FLOOR = "#3f7fb5", "#c8442b", "#2f7a3d"
WHY_BELOW = ("training: a running mean over past steps, with dropout if it is on; validation: the weights of that moment, without dropout, "
             "so it can be lower")
CAPTION, LINE = 125, 0.13     # of the caption: characters of a line, and its height in inches
CLOSE = 0.3                    # two losses whose logarithms differ by less end too close for two names side by side
TICKS = [d * 10.0 ** e for e in range(-4, 3) for d in (1, 1.5, 2, 3, 4, 6, 8)]


def chart(report: Report, steps: Sequence[tuple] = ()) -> bytes:
    """PNG bytes. report: with its evaluation rows; steps: (step, loss), or (step, loss, learning rate, gradient norm), of every step"""
    return png(school.draw(report) if report.school else draw(report, steps))


def png(figure: Any, dpi: float = 150) -> bytes:
    """A matplotlib Figure as PNG bytes"""
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=dpi)
    return picture.getvalue()


def draw(report: Report, steps: Sequence[tuple] = ()) -> Any:
    """The chart as a matplotlib Figure; arguments as for `chart`"""
    from matplotlib.figure import Figure

    rows = report.evaluations
    marked = [row for row in rows if row.marks]
    caption = [line for remark in report.remarks for line in wrap(remark, CAPTION)]
    height = (7.9 if marked else 6.4) + LINE * len(caption)
    figure = Figure(figsize=(8, height), facecolor="white", layout="constrained")
    heights = (4, 1.5, 1, 1) if marked else (4, 1, 1)
    losses, *right, rates, norms = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    column = lambda name: np.array([np.nan if (value := getattr(row, name)) is None else value for row in rows], float)
    tokens, valid = column("tokens"), column("valid_loss")
    each = np.array(list(steps) or np.zeros((0, 2)), float)      # (steps, 2 or 4)
    at = np.interp(each[:, 0], [0, *column("step")], [0, *tokens])

    if len(rows) and len(each):
        losses.plot(at, each[:, 1], color=TRAIN, lw=0.6, alpha=0.35)
        x, train = at, running(each[:, 1])
    else:
        x, train = tokens, column("train_loss")
    losses.plot(x, train, ".-" if len(x) == 1 else "-", color=TRAIN, lw=1.6)
    losses.plot(tokens, valid, "o-", color=VALID, lw=1.6, ms=3.5)
    if np.isfinite(valid).any():
        best = int(np.nanargmin(valid))
        losses.plot(tokens[best], valid[best], "o", ms=9, mfc="none", mec=VALID, mew=1.4)
        if np.isfinite(valid[-1]):
            losses.annotate(f"validation\nbest {valid[best]:.3f}", (tokens[-1], valid[-1]), xytext=(9, 0), textcoords="offset points",
                            va="center", color=VALID, annotation_clip=False)
    if len(x) and np.isfinite(train[-1]):
        losses.annotate("training", (x[-1], train[-1]), xytext=(9, beside(train[-1], valid[-1])), textcoords="offset points",
                        va="center", color=TRAIN, annotation_clip=False)
    if floor := report.nursery_floor:
        losses.axhline(floor, color=FLOOR, lw=1.2, ls=(0, (6, 3)))
        losses.annotate(f"lowest possible loss, {floor:.3f}", (0.01, floor), xycoords=("axes fraction", "data"), xytext=(0, 4),
                        textcoords="offset points", color=FLOOR)
    scale(losses, np.concatenate([train, valid, each[:, 1], [floor or np.nan]]))

    for axes in right:
        draw_marks(axes, marked)
    for axes, key, index in ((rates, "rate", 2), (norms, "norm", 3)):
        axes.plot(*((at, each[:, index]) if each.shape[1] > 2 and len(rows) else (tokens, column(key))), ".-" if len(rows) == 1 else "-",
                  color=INK, lw=1.2)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    norms.set_xlabel("training tokens", color=GRAY, fontsize=9)
    norms.xaxis.set_major_formatter(lambda value, _: format_number(value))
    norms.set_xlim(0, max([*tokens, 1]))
    for axes, heading in ((losses, "loss (nats per token)"), (rates, "learning rate"), (norms, "gradient norm before clipping")):
        plainly(axes, heading)
    figure.supxlabel("\n".join([*caption, *WHY_BELOW.replace("; ", ";\n", 1).splitlines()]), x=0.01, ha="left", fontsize=8, color=GRAY)
    figure.suptitle(title(report), x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def draw_marks(axes: Any, rows: Sequence[Any]) -> None:
    """The shares of correct texts over the training tokens; rows: the evaluations that have them"""
    names = dict(stories=INK, sentences=GRAY) if hasattr(rows[0].marks, "stories") else dict(answers=INK, steps=GRAY)
    for name, color in names.items():
        axes.plot([row.tokens for row in rows], [100 * getattr(row.marks, name) for row in rows], ".-", color=color, lw=1.4)
    axes.set_ylim(0, 103)
    whole, parts = names
    plainly(axes, f"correct {whole} (dark) and {parts} (gray), percent")


def plainly(axes: Any, heading: str) -> None:
    """Give axes the style of all charts: a heading on the left, pale lines, nothing else"""
    axes.set_title(heading, loc="left", fontsize=9, color=GRAY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.tick_params(which="both", colors=GRAY, length=3, labelsize=9)
    axes.grid(axis="y", color=PALE, lw=0.5, alpha=0.6)


def running(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """(n): an exponential running mean over about a hundredth of the values; values that are not finite do not count"""
    memory, out, mean, weight = 1 - 1 / max(4, len(values) / 100), np.empty(len(values)), 0.0, 0.0
    for i, value in enumerate(values):
        if np.isfinite(value):
            mean, weight = memory * mean + (1 - memory) * value, memory * weight + 1 - memory
        out[i] = mean / weight if weight else np.nan
    return out


def beside(loss: float, other: float) -> float:
    """By how many points to move the name of a curve that ends at `loss`, so that it does not cover the two lines at `other`"""
    return 0 if not abs(np.log(loss / other)) < CLOSE else 24 if loss >= other else -24


def scale(axes: Any, values: np.ndarray) -> None:
    """Make the y axis logarithmic with plain numbers, so that late improvements are as visible as early ones; for a small range it
    stays linear"""
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min() / 1.12, values.max() * 1.05) if len(values) else (0, 0)
    ticks = [tick for tick in TICKS if low <= tick <= high]
    if len(ticks) < 3:
        return
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.set_yticks(ticks)
    axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def title(report: Report) -> str:
    """The run, its training text and its size"""
    text = f" trained on {report.input.name}" if report.input else ""
    size = f", {format_number(report.figures.parameters.total)} parameters" if report.figures else ""
    return f"{report.guid[:8]}{text}{size}"

