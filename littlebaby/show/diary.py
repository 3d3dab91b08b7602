"""The diary of a run: its losses, its samples, what it has memorized, and what a finetune changed. Several runs are shown
side by side.
"""
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..check.inspect_model import root_mean_squares
from ..evaluation.finetune_change import WINDOWS, Change, relative_change
from ..text.overlap import copied, longest
from . import charts, html
from .card import SAMPLES, facts, memorized, shape, state
from .charts import FLOOR, GRAY, TRAIN, VALID
from .formatting import align_columns, align_pairs
from .html import html_table, picture, section, shaded
from .microscope import heat

LINES = (TRAIN, VALID, FLOOR, "#7a5cc0", "#b58900", "#1b2a3a", "#cc79a7", "#56b4e9")


@dataclass(frozen=True)
class Entry:
    """One run of a diary"""
    name: str
    info: dict               # as plans.info returns it
    report: Any              # a Report, None where the run has none
    source: str | None       # its training text, None where that no longer exists
    change: Change | None = None     # of a finetune whose base still exists


@dataclass(frozen=True)
class Diary:
    """Runs side by side; shows itself in a notebook, `save(path)` writes a page"""
    entries: list[Entry]

    def _repr_html_(self) -> str:
        return html.html_fragment(body(self))

    def save(self, path: str | Path) -> Path:
        """Write the page; returns its path"""
        return html.save(path, f"diary {self.entries[0].name[:8]}", body(self))

    def __str__(self) -> str:
        return summary(self)


# as text

def summary(d: Diary) -> str:
    """The diary as plain text"""
    out = []
    for entry in d.entries:
        info = entry.info
        head = f"{entry.name}  {state(info['report'] or {}, info['in_use'], info['resumable'])}\n{shape(info['config'])}"
        out.append(f"{head}\n\n{align_pairs(entry_facts(entry))}")
        if entry.change:
            number = lambda value: "-" if value is None else f"{value:.4f}"
            rows = [(f"validation loss on {WINDOWS} windows of", "before", "after"),
                    *((name, number(before), number(after)) for name, before, after in entry.change.losses)]
            changes = align_pairs([(leaf, f"changed by {100 * value:.2g}% of its norm") for leaf, value in largest_changes(entry.change)])
            out.append(f"what the finetune changed\n\n{align_columns(rows)}\n\n{changes}")
    return "\n\n".join(out)


def entry_facts(entry: Entry) -> list[tuple[str, str]]:
    """(name, value) lines of the run's card"""
    report = entry.info["report"]
    return facts(report, report["figures"]) if report else []


def largest_changes(change: Change, n: int = 5) -> list[tuple[str, float]]:
    """(name, relative change) of the n weights that changed most"""
    return sorted(((name, relative_change(pair)) for name, pair in change.weights.items()), key=lambda each: -each[1])[:n]


# as a page

def body(d: Diary) -> str:
    """The page's HTML"""
    names = [short(entry) for entry in d.entries]
    one = len(d.entries) == 1
    head = html.head(f"The diary of {names[0]}" if one else "Diaries side by side",
                     "; ".join(f"{entry.name}: {shape(entry.info['config'])}" for entry in d.entries[:1]) if one else ", ".join(names))
    parts = [head, curves(d), cards(d), samples(d), completions(d)]
    return "".join([*parts, *(finetuned(entry, entry.change) for entry in d.entries if entry.change)])


def short(entry: Entry) -> str:
    """A run's short name: the first characters of its GUID and its suffix"""
    return entry.name[:8] + entry.name[36:]


def curves(d: Diary) -> str:
    """The losses of all runs; of a single one also learning rate and gradient norm"""
    reports = [entry.report for entry in d.entries]
    if not any(report and report.evaluations for report in reports):
        return section("Loss during training", "There is no evaluation yet.")
    if len(reports) == 1 and not reports[0].base_evaluations:
        return section("Loss during training", "", picture(charts.draw(reports[0]), "loss, learning rate and gradient norm"))
    about = "Validation loss over the training tokens"
    before = any(report and report.base_evaluations and report.base not in [each.name for each in d.entries] for report in reports)
    return section("Loss during training", f"{about}; dotted: that of the base, on the base's text." if before else f"{about}.",
                   picture(loss_curves(d), "validation losses of all runs"))


def loss_curves(d: Diary) -> Any:
    """The validation losses of several runs, and of their bases, as a matplotlib Figure"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), facecolor="white", layout="constrained")
    axes, seen, ends, names = figure.subplots(), [], [], [entry.name for entry in d.entries]
    for entry, colour in zip(d.entries, cycle(LINES)):
        rows = (entry.report.evaluations if entry.report else []) or []
        old = entry.report.base_evaluations if entry.report else []
        shown = [] if entry.report and entry.report.base in names else old       # a base that is in the diary has a line of its own
        for each, style, shift in ((shown, ":", 0), (rows, "-", old[-1].tokens if old else 0)):
            points = [(row.tokens + shift, row.valid_loss) for row in each if row.valid_loss is not None]
            if points:
                axes.plot(*zip(*points), style, color=colour, lw=1.7, marker="o" if style == "-" else None, ms=3)
                seen += [loss for _, loss in points]
        if rows and points:
            ends.append((points[-1], f"{short(entry)}: {points[-1][1]:.3f}", colour))
    charts.scale(axes, np.array(seen))
    for i, (_, text, colour) in enumerate(sorted(ends, key=lambda end: -end[0][1])):
        axes.annotate(f"— {text}", (0.99, 0.97 - 0.075 * i), xycoords="axes fraction", ha="right", va="top", color=colour, fontsize=9)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: charts.format_number(value))
    axes.set_xlabel("training tokens", color=GRAY, fontsize=9)
    charts.plainly(axes, "validation loss (nats per token)")
    return figure


def cycle(values: Sequence[str]) -> Iterable[str]:
    while True:
        yield from values


def cards(d: Diary) -> str:
    """The card of each run, and the settings in which several runs differ"""
    lines = [dict(entry_facts(entry)) for entry in d.entries]
    keys = dict.fromkeys(key for each in lines for key in each)
    names = [f"<b>{escape(short(entry))}</b>" for entry in d.entries]
    long = tuple(range(1, len(names) + 1))
    parts = [html_table([["", *names], *([key, *(escape(each.get(key, "-")) for each in lines)] for key in keys)], long=long)]
    configs = [entry.info["config"] for entry in d.entries]
    rows = [[f"<code>{key}</code>", *(escape(str(each.get(key))) for each in configs)] for key in configs[0]
            if len({str(each.get(key)) for each in configs}) > 1]
    if rows:
        parts.append('<p class="pale">The settings in which they differ:</p>' + html_table([["setting", *names], *rows], long=long))
    return section("Results", "", *parts)


def samples(d: Diary) -> str:
    """The samples of each run during training"""
    parts = []
    for entry in d.entries:
        rows = entry.report.evaluations if entry.report else []
        rows = [row for row in rows if row.sample]
        n = min(SAMPLES + 1, len(rows))
        shown = [rows[i * (len(rows) - 1) // max(1, n - 1)] for i in range(n)]
        number = lambda value: "-" if value is None else f"{value:.3f}"
        lines = [[f"{row.step:,}", number(row.valid_loss if row.valid_loss is not None else row.train_loss),
                  escape(clean(row.sample))] for row in shown]
        table = html_table([["step", "loss", "sample"], *lines], long=(2,))
        parts.append(f'<section><p class="pale">{escape(short(entry))}</p>{table}</section>')
    return section("Growing up", "Samples at evaluations during training, generated from an empty prompt.",
                   f'<div class="columns">{"".join(parts)}</div>')


def clean(text: str) -> str:
    """A text with its unprintable characters made visible"""
    return "".join(c if c.isprintable() or c == "\n" else html.visible(c) for c in text).strip()


def completions(d: Diary) -> str:
    """The completion of each run, its verbatim copies marked"""
    parts = []
    for entry in d.entries:
        text, figures = clean(entry.info["completion"]), (entry.info["report"] or {}).get("figures") or {}
        if not text:
            continue
        if entry.source is None:
            about, longest_copy = "The training text no longer exists.", figures.get("longest_overlap")
            if longest_copy is not None:
                about += f" At the end of training: {memorized(longest_copy, figures.get('copied_share'))}."
            mark = np.zeros(len(text))
        else:
            mark, piece = np.array(copied(text, entry.source)), longest(text, entry.source)
            about = f"{memorized(len(piece), mark.mean())}. The longest: “{' '.join(piece.split())[:120]}”"
            about = about[0].upper() + about[1:]
        parts.append(f'<section><p class="pale">{escape(short(entry))}. {escape(about)}</p>{marked_text(text, mark)}</section>')
    return section("Completion and memorized text", "Red: copied verbatim from the training text; white: not copied.",
                   f'<div class="columns">{"".join(parts)}</div>') if parts else ""


def marked_text(text: str, mark: np.ndarray) -> str:
    """A text with its marked characters on colour"""
    pieces, shares, first = list[str](), list[float](), 0
    for i in range(1, len(text) + 1):
        if i == len(text) or mark[i] != mark[first]:
            pieces.append(text[first:i])
            shares.append(0.55 * mark[first])
            first = i
    return shaded(pieces, shares, VALID, small=True)


def finetuned(entry: Entry, change: Change) -> str:
    """What a finetune changed: losses, weights, completions"""
    number = lambda value: "–" if value is None else f"{value:.3f}"
    difference = lambda before, after: "" if None in (before, after) else f"{'+' if after > before else '−'}{abs(after - before):.3f}"
    losses = [[f"validation loss on {WINDOWS} windows of", "before", "after", "change"],
              *([escape(name), number(before), number(after), difference(before, after)] for name, before, after in change.losses)]
    prompts = [["prompt", "before", "after"]]
    prompts += [[f"<code>{escape(prompt) or '(nothing)'}</code>", *(escape(clean(text)) for text in texts)]
                for prompt, *texts in change.completions]
    rest = ", ".join(f"{name} {relative_change(pair):.1%}" for name, pair in change.weights.items() if not name.startswith("blocks."))
    dash = "A dash: the text has unknown tokens or is too short." if any(None in each for _, *each in change.losses) else ""
    return section(f"What the finetune changed: {short(entry)}", f"Compared with its base {change.base}. {dash}", html_table(losses),
                   '<p class="pale">The norm of the change of every weight matrix or vector, in percent of its own norm, block by block. '
                   f"Outside the blocks: {escape(rest)}.</p>", picture(changes_by_block(change), "change of the weights by block"),
                   '<p class="pale">Completions of the same prompts with the same seed, before and after:</p>',
                   html_table(prompts, long=(1, 2)))


def changes_by_block(change: Change) -> Any:
    """The relative change of every leaf in every block, as a matplotlib Figure"""
    from matplotlib.figure import Figure

    L = 1 + max(int(name.split(".")[1]) for name in change.weights if name.startswith("blocks."))
    base, changes = ({name: pair[i] for name, pair in change.weights.items()} for i in (0, 1))
    layers = [(root_mean_squares(base, i), root_mean_squares(changes, i)) for i in range(L)]
    leaves = list(dict.fromkeys(leaf for before, _ in layers for leaf in before))
    percent = lambda before, after, leaf: 100 * after[leaf] / max(before[leaf], 1e-12) if leaf in before else np.nan
    grid = np.array([[percent(*layer, leaf) for layer in layers] for leaf in leaves])
    figure = Figure(figsize=(min(9.0, 2.2 + 1.1 * L), 0.7 + 0.235 * len(leaves)), facecolor="white", layout="constrained")
    heat(figure.subplots(), grid, VALID, [f"{i + 1}" for i in range(L)], leaves, "norm of the change, % of the weight's norm")
    return figure
