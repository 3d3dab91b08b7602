"""The diary of a run: how its loss fell, what it said by then, what it knows by heart, and what a finetune changed in it. Several runs
stand side by side.
"""
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from ..check.inspect_model import root_mean_squares
from ..errors import BadInput
from ..text.overlap import SPAN, longest
from ..training.data import split, windows
from ..training.evaluate import evaluate
from ..training.parallel import Workers
from . import charts, html
from .card import SAMPLES, facts, shape, state
from .charts import FLOOR, GRAY, TRAIN, VALID
from .formatting import align_columns, align_pairs
from .html import html_table, picture, section, shaded
from .microscope import heat

LINES = (TRAIN, VALID, FLOOR, "#7a5cc0", "#b58900", "#1b2a3a", "#cc79a7", "#56b4e9")
WINDOWS = 32         # of a text, on which an old and a new baby are compared
TOKENS = 80          # that both write after a prompt


@dataclass(frozen=True)
class Entry:
    """What is told of one run"""
    name: str
    info: dict               # as plans.info tells it
    report: Any              # a Report, None where the run has none
    source: str | None       # the text that it learned from, None where it is no longer there
    tuned: Any = None        # a Change, of a finetune whose base is still there


@dataclass(frozen=True)
class Change:
    """What a finetune did"""
    base: str
    weights: dict = field(default_factory=dict)      # {"blocks.0.att.wq": (the old one, new - old)}
    losses: list = field(default_factory=list)       # of (text, loss before, loss after), nats per token; None where it cannot be read
    written: list = field(default_factory=list)      # of (prompt, text before, text after)


@dataclass(frozen=True)
class Diary:
    """Runs side by side; shows itself in a notebook, `save(path)` writes a page"""
    entries: list

    def _repr_html_(self):
        return html.html_fragment(body(self))

    def save(self, path):
        """Write the page; returns its path"""
        return html.save(path, f"diary {self.entries[0].name[:8]}", body(self))

    def __str__(self):
        return summary(self)


# old against new

def difference(old, new):
    """{name: (the old weight, new - old)}; where the vocabulary has grown, of the rows that both have"""
    out = {}
    for name, w in old.items():
        if name in new:
            same = tuple(slice(min(a, b)) for a, b in zip(w.shape, new[name].shape))
            out[name] = w[same], new[name][same] - w[same]
    return out


def loss_on(baby, text):
    """Nats per token on the held-out part of a text, WINDOWS windows of it; None where it is too short, or the baby cannot spell it"""
    tokenizer = baby.tokenizer
    if tokenizer.unknown_in(text):
        return None
    try:
        _, held_out = split(tokenizer.encode(text), baby.config, tokenizer.encode(tokenizer.begin))
        return float(evaluate(Workers(1), baby.p, baby.config, windows(held_out, baby.config.n_ctx, WINDOWS, 0.5)))
    except BadInput:
        return None


def share(pair):
    """The norm of a weight's change, relative to the norm of the weight"""
    old, moved = pair
    return float(np.linalg.norm(moved)) / max(float(np.linalg.norm(old)), 1e-12)


def recited_mask(written, source):
    """(n) which characters of a text lie in a stretch of SPAN or more that stands word for word in its source"""
    mark = np.zeros(len(written), bool)
    for i in range(len(written) - SPAN + 1):
        if written[i:i + SPAN] in source:
            mark[i:i + SPAN] = True
    return mark


# in words

def summary(d):
    out = []
    for entry in d.entries:
        info = entry.info
        head = f"{entry.name}  {state(info['report'] or {}, info['in_use'], info['resumable'])}\n{shape(info['config'])}"
        out.append(f"{head}\n\n{align_pairs(entry_text(entry))}")
        if entry.tuned:
            number = lambda value: "-" if value is None else f"{value:.4f}"
            rows = [("text", "before", "after"), *((name, number(before), number(after)) for name, before, after in entry.tuned.losses)]
            moved = align_pairs([(leaf, f"{100 * value:.2g}% of its length") for leaf, value in largest_changes(entry.tuned)])
            out.append(f"what the finetune changed\n\n{align_columns(rows)}\n\n{moved}")
    return "\n\n".join(out)


def entry_text(entry):
    report = entry.info["report"]
    return facts(report, report["figures"]) if report else []


def largest_changes(tuned, n=5):
    """The weights that changed most"""
    return sorted(((name, share(pair)) for name, pair in tuned.weights.items()), key=lambda each: -each[1])[:n]


# as a page

def body(d):
    names = [short(entry) for entry in d.entries]
    one = len(d.entries) == 1
    head = html.head(f"The diary of {names[0]}" if one else "Diaries side by side",
                     "; ".join(f"{entry.name}: {shape(entry.info['config'])}" for entry in d.entries[:1]) if one else ", ".join(names))
    parts = [head, curves(d), cards(d), samples(d), written(d), *(finetuned(entry) for entry in d.entries if entry.tuned)]
    return "".join(parts)


def short(entry):
    return entry.name[:8] + entry.name[36:]


def curves(d):
    reports = [entry.report for entry in d.entries]
    if not any(report and report.evaluations for report in reports):
        return section("How the loss fell", "No evaluation yet.")
    if len(reports) == 1 and not reports[0].base_evaluations:
        return section("How the loss fell", "", picture(charts.draw(reports[0]), "loss, learning rate and length of the gradient"))
    about = "Loss on held-out text over the tokens learned from"
    before = any(report and report.base_evaluations and report.base not in [each.name for each in d.entries] for report in reports)
    return section("How the loss fell", f"{about}; dotted: how it had gone for the base, on its own text." if before else f"{about}.",
                   picture(together(d), "losses of all runs"))


def together(d):
    """The validation losses of several runs, and of their bases, as a matplotlib Figure"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), facecolor="white", layout="constrained")
    axes, seen, ends, names = figure.subplots(), [], [], [entry.name for entry in d.entries]
    for entry, colour in zip(d.entries, cycle(LINES)):
        rows = (entry.report.evaluations if entry.report else []) or []
        old = entry.report.base_evaluations if entry.report else []
        shown = [] if entry.report and entry.report.base in names else old       # a base that is here has a line of its own
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
    axes.set_xlabel("tokens learned from", color=GRAY, fontsize=9)
    charts.plainly(axes, "loss, nats per token")
    return figure


def cycle(values):
    while True:
        yield from values


def cards(d):
    """What each run came to; between several, the settings in which they differ"""
    lines = [dict(entry_text(entry)) for entry in d.entries]
    keys = dict.fromkeys(key for each in lines for key in each)
    names = [f"<b>{escape(short(entry))}</b>" for entry in d.entries]
    long = tuple(range(1, len(names) + 1))
    parts = [html_table([["", *names], *([key, *(escape(each.get(key, "-")) for each in lines)] for key in keys)], long=long)]
    configs = [entry.info["config"] for entry in d.entries]
    rows = [[f"<code>{key}</code>", *(escape(str(each.get(key))) for each in configs)] for key in configs[0]
            if len({str(each.get(key)) for each in configs}) > 1]
    if rows:
        parts.append('<p class="pale">The settings in which they differ:</p>' + html_table([["setting", *names], *rows], long=long))
    return section("The card", "", *parts)


def samples(d):
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
        grown = html_table([["step", "loss", "what it wrote"], *lines], long=(2,))
        parts.append(f'<section><p class="pale">{escape(short(entry))}</p>{grown}</section>')
    return section("Growing up", "Samples from an empty prompt, by training step.", f'<div class="columns">{"".join(parts)}</div>')


def clean(text):
    return "".join(c if c.isprintable() or c == "\n" else html.visible(c) for c in text).strip()


def written(d):
    """What they write now, with what they know by heart"""
    parts = []
    for entry in d.entries:
        text, figures = clean(entry.info["completion"]), (entry.info["report"] or {}).get("figures") or {}
        if not text:
            continue
        if entry.source is None:
            says = "Its text is no longer there. When it ended: "
            says += f"{figures['longest_overlap']} characters in one piece by heart." if figures.get("longest_overlap") is not None else "-"
            mark = np.zeros(len(text))
        else:
            mark, piece = recited_mask(text, entry.source), longest(text, entry.source)
            says = (f"{mark.mean():.0%} of its characters lie in stretches of {SPAN} or more that stand word for word in its text; the "
                    f"longest piece has {len(piece)} characters: “{' '.join(piece.split())[:120]}”")
        parts.append(f'<section><p class="pale">{escape(short(entry))}. {escape(says)}</p>{runs_of(text, mark)}</section>')
    return section("What it writes, and what of that it knows by heart", "Red: copied from the text it learned from; white: its own.",
                   f'<div class="columns">{"".join(parts)}</div>') if parts else ""


def runs_of(text, mark):
    """A text with its marked stretches on colour"""
    pieces, shares, first = [], [], 0
    for i in range(1, len(text) + 1):
        if i == len(text) or mark[i] != mark[first]:
            pieces.append(text[first:i])
            shares.append(0.55 * mark[first])
            first = i
    return shaded(pieces, shares, VALID, small=True)


def finetuned(entry):
    """What a finetune changed: losses, weights, words"""
    tuned, number = entry.tuned, lambda value: "–" if value is None else f"{value:.3f}"
    verdict = lambda before, after: "" if None in (before, after) else f"{'+' if after > before else '−'}{abs(after - before):.3f}"
    losses = [["held-out text", "before", "after", "change"],
              *([escape(name), number(before), number(after), verdict(before, after)] for name, before, after in tuned.losses)]
    prompts = [["prompt", "before", "after"]]
    prompts += [[f"<code>{escape(prompt) or '(nothing)'}</code>", *(escape(clean(text)) for text in texts)]
                for prompt, *texts in tuned.written]
    rest = ", ".join(f"{name} {share(pair):.1%}" for name, pair in tuned.weights.items() if not name.startswith("blocks."))
    dash = "A dash: it does not know all tokens of that text." if any(None in each for _, *each in tuned.losses) else ""
    return section(f"What the finetune changed: {short(entry)}", f"Against its base {tuned.base}. {dash}", html_table(losses),
                   '<p class="pale">How far every weight has moved, in percent of its own length, block by block. '
                   f"Outside the blocks: {escape(rest)}.</p>", picture(moved(tuned), "change of the weights by layer"),
                   '<p class="pale">The same prompts, the same seed, before and after:</p>', html_table(prompts, long=(1, 2)))


def moved(tuned):
    """How far the weights of every layer have moved, as a matplotlib Figure"""
    from matplotlib.figure import Figure

    L = 1 + max(int(name.split(".")[1]) for name in tuned.weights if name.startswith("blocks."))
    old, new = ({name: pair[i] for name, pair in tuned.weights.items()} for i in (0, 1))
    layers = [(root_mean_squares(old, i), root_mean_squares(new, i)) for i in range(L)]
    leaves = list(dict.fromkeys(leaf for before, _ in layers for leaf in before))
    percent = lambda before, after, leaf: 100 * after[leaf] / max(before[leaf], 1e-12) if leaf in before else np.nan
    grid = np.array([[percent(*layer, leaf) for layer in layers] for leaf in leaves])
    figure = Figure(figsize=(min(9.0, 2.2 + 1.1 * L), 0.7 + 0.235 * len(leaves)), facecolor="white", layout="constrained")
    heat(figure.subplots(), grid, VALID, [f"{i + 1}" for i in range(L)], leaves, "moved, in percent")
    return figure
