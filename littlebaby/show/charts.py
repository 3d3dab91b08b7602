"""The picture of a run: loss, learning rate and length of the gradient over the tokens learned from, as the bytes of a PNG."""
from io import BytesIO

import numpy as np

INK, GRAY, PALE = "#1b2a3a", "#7b8794", "#c9d1d9"
TRAIN, VALID, FLOOR = "#8fb8de", "#c8442b", "#3a7d44"


def chart(report, steps=()):
    """PNG bytes. report: a Report with its evaluation rows; steps: (step, loss), or (step, loss, rate, norm), of every step"""
    bytes_ = BytesIO()
    draw(report, steps).savefig(bytes_, format="png", dpi=150)
    return bytes_.getvalue()


def draw(report, steps=()):
    """The picture as a matplotlib Figure"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.4), facecolor="white", layout="constrained")
    losses, rates, norms = figure.subplots(3, 1, sharex=True, height_ratios=(4, 1, 1))
    rows = report.evaluations
    column = lambda name: np.array([np.nan if (value := getattr(row, name)) is None else value for row in rows], float)
    tokens = column("tokens")
    lines = np.array([line[:4] for line in steps], float).reshape(len(steps), -1)
    at = np.interp(lines[:, 0], [0, *column("step")], [0, *tokens]) if len(rows) and len(steps) else np.zeros(0)
    fine = lines.shape[1] == 4 and len(at)

    if len(at):
        losses.plot(at, lines[:, 1], color=TRAIN, lw=0.6, alpha=0.45)
        smooth = running(lines[:, 1])
        losses.plot(at, smooth, color=TRAIN, lw=2)
        label(losses, at[-1], smooth[-1], "train", TRAIN)
    elif len(rows):
        losses.plot(tokens, column("train_loss"), color=TRAIN, lw=2)
        label(losses, tokens[-1], column("train_loss")[-1], "train", TRAIN)
    valid = column("valid_loss")
    if np.isfinite(valid).any():
        losses.plot(tokens, valid, "o-", color=VALID, lw=1.6, ms=3.5)
        best = int(np.nanargmin(valid))
        losses.plot(tokens[best], valid[best], "o", ms=9, mfc="none", mec=VALID, mew=1.4)
        label(losses, tokens[-1], valid[-1], f"validation\nbest {valid[best]:.3f}", VALID)
    if report.nursery_floor:
        losses.axhline(report.nursery_floor, color=FLOOR, lw=1.2, ls=(0, (6, 3)))
        losses.annotate(f"the floor of this text, {report.nursery_floor:.3f}", (0.01, report.nursery_floor),
                        xycoords=("axes fraction", "data"), xytext=(0, 4), textcoords="offset points", color=FLOOR)

    for axes, name, index in ((rates, "rate", 2), (norms, "norm", 3)):
        axes.plot(*((at, lines[:, index]) if fine else (tokens, column(name))), color=INK, lw=1.2)
    spread(losses, [lines[:, 1] if len(at) else column("train_loss"), valid, [report.nursery_floor or np.nan]])
    rates.set_ylim(bottom=0)
    norms.set_ylim(bottom=0)
    heading(losses, "loss, nats per token")
    heading(rates, "learning rate")
    heading(norms, "length of the gradient")
    norms.set_xlabel("tokens learned from", color=GRAY)
    norms.xaxis.set_major_formatter(lambda value, _: short(value))
    norms.set_xlim(0, max([*tokens, 1]))
    for axes in (losses, rates, norms):
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(PALE)
        axes.tick_params(colors=GRAY, length=3, labelsize=9)
        axes.grid(axis="y", color=PALE, lw=0.5, alpha=0.6)
    figure.suptitle(title(report), x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def running(values, memory=0.95):
    """A running mean that weighs each step by its age; steps without a finite loss do not count"""
    out, mean, weight = np.empty(len(values)), 0.0, 0.0
    for i, value in enumerate(values):
        if np.isfinite(value):
            mean, weight = memory * mean + (1 - memory) * value, memory * weight + 1 - memory
        out[i] = mean / weight if weight else np.nan
    return out


def label(axes, x, y, text, color):
    """What a line is, said at its end"""
    if np.isfinite(y):
        axes.annotate(text, (x, y), xytext=(7, 0), textcoords="offset points", va="center", color=color, annotation_clip=False)


def spread(axes, series):
    """Limits that show every value but the very first, highest steps' noise, and leave room below the lowest"""
    values = np.concatenate([np.asarray(each, float) for each in series])
    values = values[np.isfinite(values)]
    if len(values):
        low, high = values.min(), np.quantile(values, 0.999)
        axes.set_ylim(max(0, low - 0.08 * (high - low) - 0.02), high + 0.05 * (high - low) + 0.02)


def heading(axes, text):
    axes.set_title(text, loc="left", fontsize=9, color=GRAY)


def title(report):
    """Who it is, what it learned, how large it is"""
    figures = report.figures
    size = f", {short(figures.parameters.total)} parameters" if figures else ""
    return f"{report.guid[:8]} learns {report.input.name}{size}"


def short(number):
    """1,234,567 as 1.2M"""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.0f}"
