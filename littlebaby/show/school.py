"""Runs of `school`: a line for every row of measures, the samples before and after in a table, the chart."""
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..runs.records import Report
from .formatting import align_columns, format_number, percent

WHAT = dict(reward="reward", accuracy="preferred text gained more", margin="margin", kl="KL", entropy="entropy", length="length",
            ended="ended")
PERCENT = ("accuracy", "ended", "distinct", "clipped")


def measures_line(step: int, measures: dict[str, float]) -> str:
    """A row of measures in one line"""
    number = lambda name, value: f"{value:.0%}" if name in PERCENT else f"{value:.0f}" if name == "length" else f"{value:.3f}"
    return f"step {step:>6,}   " + "   ".join(f"{WHAT[name]} {number(name, measures[name])}" for name in WHAT if name in measures)


def facts(report: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, value) lines of a card: the method, and the samples before and after"""
    school = report["school"]
    learned = f"the reward {school['reward']}" if school["reward"] else f"{school['pairs']:,} pairs"
    lines = [("school", f"{school['method']} with {learned}")]
    moments = [(moment, school[moment]) for moment in ("before", "after") if school[moment]]
    if moments:
        about = moments[0][1]
        lines.append(("samples", f"{about['samples']} at temperature {about['temperature']:g}\n" + align_columns(
            [("", *(moment for moment, _ in moments)), *judged_rows([found for _, found in moments])])))
    return lines


def judged_rows(judged: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """(name, value, ...) of judged samples, one value for each of them"""
    mark = lambda name: lambda found: percent(found["marks"][name]) if name in (found["marks"] or {}) else None
    rows = {
        "reward": lambda found: None if found["reward"] is None else f"{found['reward']:.3f}",
        "correct sentences": mark("sentences"), "correct stories": mark("stories"),
        "right answers": mark("answers"), "right steps": mark("steps"),
        "mean number of steps": lambda found: f"{found['marks']['mean_steps']:.2f}" if "mean_steps" in (found["marks"] or {}) else None,
        "most frequent plot": lambda found: most_frequent_plot(found["marks"]),
        "distinct": lambda found: percent(found["distinct"]), "ended": lambda found: percent(found["ended"]),
        "mean length in tokens": lambda found: f"{found['length']:.0f}",
        "longest passage copied": lambda found: None if found["longest_overlap"] is None else f"{found['longest_overlap']} characters",
        "copied share": lambda found: None if found["copied_share"] is None else f"{found['copied_share']:.0%}",
    }
    return [(name, *map(str, values)) for name, row in rows.items() if None not in (values := [row(found) for found in judged])]


def most_frequent_plot(marks: dict[str, Any] | None) -> str | None:
    """The most frequent of the four plots of the nursery's stories and its share; None for other texts. A quarter is the nursery's own"""
    plots = (marks or {}).get("plots") or {}
    name = max(plots, key=lambda plot: plots[plot], default="")
    return f"{name} {percent(plots[name] / max(sum(plots.values()), 1))}" if name else None


def draw(report: Report) -> Any:
    """The chart as a matplotlib Figure: reward with its spread, KL divergence, entropy, length over the steps; or margin and accuracy"""
    from matplotlib.figure import Figure

    from .charts import GRAY, INK, PALE, TRAIN, plainly, title

    rows = [row for row in report.evaluations if row.measures]
    if len(rows) > 2 and 2 * (rows[-1].step - rows[-2].step) < rows[1].step - rows[0].step:      # the mean of few steps, where time ran out
        rows.pop()
    step = np.array([row.step for row in rows])
    column = lambda name: np.array([np.nan if (value := getattr(row.measures, name)) is None else value for row in rows], float)
    shown = [("reward", "mean reward of the samples, drawn at temperature 1, and its spread"),
             ("accuracy", "pairs whose preferred text gained more"),
             ("margin", "margin (nats)"), ("kl", "KL divergence from the start (nats per token)"), ("entropy", "entropy (nats per token)"),
             ("length", "mean length (tokens)"), ("clipped", "share of tokens whose gain was clipped")]
    shown = [(name, heading) for name, heading in shown if np.isfinite(column(name)).any() and (name != "clipped" or column(name).any())]
    figure = Figure(figsize=(8, 2.6 + 1.15 * max(len(shown) - 1, 1)), facecolor="white", layout="constrained")
    panels = figure.subplots(max(len(shown), 1), 1, sharex=True, height_ratios=[3] + [1] * (len(shown) - 1 if shown else 0), squeeze=False)
    for axes, (name, heading) in zip(panels[:, 0], shown):
        values, color = column(name), TRAIN if name == "reward" else INK
        axes.plot(step, values, ".-" if len(step) < 3 else "-", color=color, lw=1.6 if name == "reward" else 1.2)
        if name == "reward":
            spread = column("reward_std")
            axes.fill_between(step, values - spread, values + spread, color=TRAIN, alpha=0.15, lw=0)
            if report.school and report.school.before and report.school.after:
                for moment, judged in (("before", report.school.before), ("after", report.school.after)):
                    if judged.reward is not None:
                        axes.axhline(judged.reward, color=PALE if moment == "before" else GRAY, lw=1, ls=(0, (6, 3)))
                        x, side = (0.99, "right") if moment == "before" else (0.01, "left")      # where the curve is not
                        label = f"{moment}, {judged.samples} samples at temperature {judged.temperature:g}: {judged.reward:.3f}"
                        axes.annotate(label, (x, judged.reward), ha=side, xycoords=("axes fraction", "data"), xytext=(0, 3),
                                      textcoords="offset points", color=GRAY, fontsize=8)
        plainly(axes, heading)
    panels[-1, 0].set_xlabel("step", color=GRAY, fontsize=9)
    panels[-1, 0].xaxis.set_major_formatter(lambda value, _: format_number(value) if value else "0")
    figure.suptitle(f"{title(report)}: {report.school.method if report.school else ''}", x=0.01, ha="left", fontsize=11, color=INK)
    return figure
