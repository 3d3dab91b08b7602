"""Why a model predicts what it predicts: a page and a short text, from check/causes."""
from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..check.causes import Causes
from . import html
from .charts import TRAIN, VALID
from .formatting import align_columns, plural
from .html import html_table, section, tint, visible

STRONGEST = 5            # causes in the table
POSITIONS = 16           # columns of a map of positions; longer texts continue in other tables
NUMBERED = 15            # a grid with more columns has its numbers only in the notes under the mouse
LOOKS, COPIES = 0.3, 0.9 # from these scores on a head is said to attend to the token before or to repeat, and to copy
CARRIES = 0.2            # from this fraction on a part is said to restore the logit difference
COLUMNS = ("Loss: the change of the loss of the text, in nats per token.",
           "Adds directly: the part's term in the logit difference, which is a sum.",
           "Restores (last column): the fraction of the logit difference that returns if the part's output is put into the corrupted text.")
ABLATED = dict(zero="zeros", mean="its mean", resample="its output in another text")


class Cause(Causes):
    """Causes that show themselves in a notebook; `save(path)` writes a page"""

    def _repr_html_(self) -> str:
        return html.html_fragment(body(self))

    def save(self, path: str | Path) -> Path:
        """Write the page; returns its path"""
        return html.save(path, f"cause {self.name[:8]}", body(self))

    def __str__(self) -> str:
        return summary(self)

    def strongest(self) -> list["Part"]:
        """The heads and networks whose ablation changes the logit difference most, the largest change first"""
        return strongest_parts(self)


class Part(NamedTuple):
    """A head or a network with its effects"""
    name: str            # "block 1, head 2" or "block 1, network"
    difference: float    # change of the logit difference without it
    loss: float          # change of the loss of the text without it, nats per token
    direct: float        # what it adds to the logit difference directly
    remark: str          # what is known about it


def explain(causes: Causes) -> Cause:
    """Causes with their page"""
    return Cause(**vars(causes))


# what is seen, in words

def strongest_parts(c: Causes) -> list[Part]:
    """The STRONGEST parts"""
    differences, losses = c.ablation.difference_changes, c.ablation.loss_changes
    heads = [Part(f"block {i + 1}, head {j + 1}", float(change), float(losses["heads"][i, j]), float(c.attribution.heads[i, j]),
                  head_remark(c, i, j)) for (i, j), change in np.ndenumerate(differences["heads"])]
    networks = [Part(f"block {i + 1}, network", float(change), float(losses["network"][i]), float(c.attribution.networks[i]),
                     network_remark(c, i))
                for i, change in enumerate(differences["network"])]
    return sorted(heads + networks, key=lambda part: -abs(part.difference))[:STRONGEST]


def head_remark(c: Causes, i: int, j: int) -> str:
    """What a head attends to, and what it does elsewhere"""
    said, scores = [], c.scores
    if c.attended is not None and np.isfinite(c.attended[i, j]).all():
        weights = c.attended[i, j]
        best = int(weights.argmax())
        if weights[best] >= LOOKS:
            said.append(f"from the last token it attends most to {around(c.tokens, best)} ({weights[best]:.0%})")
    known = lambda score, least: score is not None and score[i, j] >= least
    if known(scores.previous, LOOKS):
        said.append("it usually attends to the token before")
    if known(scores.induction, LOOKS):
        said.append("on repeated text it attends to what followed the same token earlier (an induction head)")
    if known(scores.copying, COPIES):
        said.append("it raises the logits of the tokens that it attends to")
    if c.patching is not None and c.patching.heads[i, j] >= CARRIES:
        said.append(f"restores {c.patching.heads[i, j]:.0%}")
    return "; ".join(said)


def network_remark(c: Causes, i: int) -> str:
    """Where a network restores most"""
    if c.patching is None or (row := c.patching.positions["network"][i]).max() < CARRIES:
        return ""
    return f"restores {row.max():.0%} at {around(c.tokens, int(row.argmax()))}"


def around(tokens: Sequence[str], t: int) -> str:
    """A token with the text around it, so that it can be found"""
    last = len(tokens) - 1
    place = "the last token" if t == last else f"token {t + 1} of {last + 1}"
    return f'"{visible(tokens[t])}" in "{"".join(visible(each) for each in tokens[max(0, t - 6):t + 4])}", {place}'


def question(c: Causes) -> str:
    """What the model predicts, in a sentence"""
    chance = lambda p: f"{p:.1%}" if p >= 0.001 else "less than 0.1%"
    right, other = map(chance, c.probabilities)
    sentence = (f"After the text the model gives {visible(c.answer)} a probability of {right} and {visible(c.wrong)} {other}; their logit "
                f"difference is {c.ablation.difference:.2f}.")
    if c.corrupted_probabilities is None or c.patching is None:
        return sentence
    right, other = map(chance, c.corrupted_probabilities)
    return f"{sentence} After the corrupted text they are {right} and {other}, with a difference of {c.patching.corrupted:.2f}."


def where_it_is(c: Causes) -> str:
    """After which block the deciding information is at which position"""
    assert c.patching is not None
    found = c.patching.positions["block"]
    best = [(int(row.argmax()), i + 1) for i, row in enumerate(found)]
    parts = []
    for t, members in groupby(best, key=lambda each: each[0]):
        blocks = [i for _, i in members]
        named = f"block {blocks[0]}" if len(blocks) == 1 else f"blocks {blocks[0]} {'and' if len(blocks) == 2 else 'to'} {blocks[-1]}"
        parts.append(f"after {named} at {around(c.tokens, t)} ({found[blocks[-1] - 1, t]:.0%} restored)")
    return f"Most of what decides between {visible(c.answer)} and {visible(c.wrong)} is {'; '.join(parts)}."


def strongest_place(c: Causes, name: str) -> str:
    """The cell of a map that restores most"""
    assert c.patching is not None
    found = c.patching.positions[name]
    i, t = np.unravel_index(int(found.argmax()), found.shape)
    return f"The {name} that restores most is that of block {i + 1} at {around(c.tokens, int(t))}: {found[i, t]:.0%}."


# as text

def summary(c: Causes) -> str:
    """The answer as plain text: the question, the strongest causes, and where the information is"""
    shown = "".join(visible(token) for token in c.tokens)
    lines = [c.name, "", f"text       {shown}"]
    if c.corrupted is not None:
        lines.append(f"corrupted  {''.join(visible(token) for token in c.corrupted)}")
    rows = [("without", "difference", "loss", "adds directly", "what is known about it"), *(
        (part.name, f"{part.difference:+.2f}", f"{part.loss:+.3f}", f"{part.direct:+.2f}", part.remark) for part in strongest_parts(c))]
    lines += ["", question(c), "", "The strongest causes", "", align_columns(rows), "", f"Difference: {about_ablation(c)}",
              *columns_in_words(c)]
    if c.patching is not None:
        lines += ["", where_it_is(c)]
    if c.passages:
        lines += ["", f"Longest passage that is in the training text: {''.join(map(visible, c.passages[0].text))}, "
                      f"{plural(c.passages[0].occurrences, 'time')}"]
    return "\n".join(lines)


def about_ablation(c: Causes) -> str:
    return (f"the change of the logit difference, {visible(c.answer)} minus {visible(c.wrong)}, if the output of a part is replaced by "
            f"{ABLATED[c.ablation.kind]}{f' ({c.reference})' if c.reference else ''}.")


# as a page

def body(c: Causes) -> str:
    """The page's HTML"""
    cfg = c.config
    model = f"{cfg.c_attention} + {cfg.c_network}, n_layers {cfg.n_layers}, n_emb {cfg.n_emb}"
    parts = [html.head(f"Why {visible(c.answer)} and not {visible(c.wrong)}?", f"{c.name}: {model}, {plural(len(c.tokens), 'token')}"),
             texts_section(c), strongest_section(c), ablation_section(c), direct_section(c)]
    if c.patching is not None:
        parts.append(patching_section(c))
    return "".join([*parts, scores_section(c), passages_section(c)])


def texts_section(c: Causes) -> str:
    differs = [1.0] * len(c.tokens) if c.corrupted is None else [float(a != b) for a, b in zip(c.tokens, c.corrupted)]
    marked = [0.0] * len(c.tokens) if c.corrupted is None else differs
    parts = [html.shaded([visible(token) for token in c.tokens], marked)]
    if c.corrupted is not None:
        parts += ['<p class="pale">The corrupted text, in which the coloured tokens are others:</p>',
                  html.shaded([visible(token) for token in c.corrupted], marked, VALID)]
    return section("The question", question(c), *parts)


def strongest_section(c: Causes) -> str:
    rows = [["part", "difference", "loss", "adds directly", "what is known about it"]]
    rows += [[part.name, f"{part.difference:+.2f}", f"{part.loss:+.3f}", f"{part.direct:+.2f}", escape(part.remark)]
             for part in strongest_parts(c)]
    return section("The strongest causes", f"Difference: {about_ablation(c)} If it is negative, the model prefers {visible(c.answer)} less "
                   f"without the part. {' '.join(columns_in_words(c))}",
                   html_table(rows, long=(4,)))


def columns_in_words(c: Causes) -> tuple[str, ...]:
    """What the columns of the table of the strongest causes mean; only with a corrupted text is anything restored"""
    return COLUMNS if c.patching is not None else COLUMNS[:2]


def ablation_section(c: Causes) -> str:
    found, h, L = c.ablation.difference_changes, c.config.n_heads, c.config.n_layers
    losses = c.ablation.loss_changes
    columns = [*(f"{j + 1}" for j in range(h)), "attention", "network", "both"]
    joined = lambda each: np.column_stack([each["heads"], each["attention"], each["network"], each["layer"]])
    blocks = [f"block {i + 1}" for i in range(L)]
    everything = joined(found)
    i, j = np.unravel_index(int(np.abs(everything).argmax()), everything.shape)
    named = [*(f"head {j + 1}" for j in range(h)), "the attention", "the network", "the whole"]
    seen = f"What matters most is {named[j]} of block {i + 1}: without it the difference changes by {everything[i, j]:+.2f}."
    harm = joined(losses)
    k, m = np.unravel_index(int(harm.argmax()), harm.shape)
    loss_seen = f"The text needs {named[m]} of block {k + 1} most: without it the loss rises by {harm[k, m]:.2f} nats per token."
    return section("Without a part", f"Every cell is one run of the model in which the output of one part is replaced by "
                   f"{ABLATED[c.ablation.kind]}; the last column replaces attention and network of the block. Blue: without it the "
                   f"model prefers {visible(c.answer)} less, so the part is a reason for {visible(c.answer)}. Red: a reason against it.",
                   said(seen), grid(-everything, blocks, columns, shown=everything, corner="head"),
                   caption("The loss of the whole text", "Its change in nats per token. Blue: the part is needed."),
                   said(loss_seen), grid(harm, blocks, columns, corner="head"))


def direct_section(c: Causes) -> str:
    a, h = c.attribution, c.config.n_heads
    rest = a.embedding + a.attention_biases.sum() + a.norm_offsets.sum() + a.head_bias
    values = np.column_stack([a.heads, a.networks])
    i, j = np.unravel_index(int(np.abs(values).argmax()), values.shape)
    part = f"head {j + 1}" if j < h else "the network"
    sums = [["embedding", "all heads", "all networks", "biases of the attentions", "norms", "bias of the output", "sum"],
            [f"{x:+.2f}" for x in (a.embedding, a.heads.sum(), a.networks.sum(), a.attention_biases.sum(), a.norm_offsets.sum(),
                                   a.head_bias, a.heads.sum() + a.networks.sum() + rest)]]
    return section("What every part adds directly", "The logit difference is a sum: every part adds a vector to the last token, and that "
                   "vector times the output weights is the part's contribution. What a part does through later parts is not in its "
                   f"number. Blue: for {visible(c.answer)}; red: for {visible(c.wrong)}.",
                   said(f"The largest direct contribution is {values[i, j]:+.2f}, from {part} of block {i + 1}; all parts together give "
                        f"the logit difference, {a.total:.2f}."),
                   grid(values, [f"block {i + 1}" for i in range(len(values))], [*(f"{j + 1}" for j in range(h)), "network"],
                        corner="head"),
                   html_table(sums))


def patching_section(c: Causes) -> str:
    p = c.patching
    assert p is not None
    names = dict(block="Everything after a block", attention="The output of the attention", network="The output of the network")
    parts = []
    for name, title in names.items():
        seen = where_it_is(c) if name == "block" else strongest_place(c, name)
        parts += [caption(title, "at one position"), said(seen), position_maps(c, p.positions[name])]
    i, j = np.unravel_index(int(p.heads.argmax()), p.heads.shape)
    L, h = p.heads.shape
    parts += [caption("The output of one head", "at all positions"),
              said(f"The head that restores most is head {j + 1} of block {i + 1}: {p.heads[i, j]:.0%}."),
              grid(p.heads, [f"block {i + 1}" for i in range(L)], [f"{j + 1}" for j in range(h)], percent=True, scale=1.0, corner="head")]
    before = f" The texts are equal before token {p.first + 1}, where nothing can be restored." if p.first > 1 else ""
    return section("Where the information is", "The model reads the corrupted text, and one value is replaced by that of the original "
                   f"text. A cell says how many percent of the logit difference return: 100 means that this value alone decides.{before} "
                   "Blue: towards the original prediction; red: away from it.", *parts)


def position_maps(c: Causes, values: np.ndarray) -> str:
    """A map (L, T) from the first position that differs on, in tables of POSITIONS columns"""
    assert c.patching is not None
    rows, out = [f"block {i + 1}" for i in range(len(values))], []
    for first in range(c.patching.first, values.shape[1], POSITIONS):
        here = slice(first, first + POSITIONS)
        out.append(grid(values[:, here], rows, [visible(token) for token in c.tokens[here]], percent=True, scale=1.0, narrow=True,
                        zeros=False))
    return f'<div class="columns" style="gap: 0 28px">{"".join(out)}</div>'


def scores_section(c: Causes) -> str:
    told = dict(previous=("Token before", "Mean attention weight on the token before."),
                induction=("Induction", "Mean attention weight on the token that followed the current token when it occurred before: "
                                        "such a head continues a text that repeats itself."),
                copying=("Copying", "Fraction of the vocabulary for which the head, attending to a token, raises that token's own logit "
                                    "above the mean; 50% is chance."))
    parts = []
    for name, (title, meaning) in told.items():
        values = getattr(c.scores, name)
        if values is None:
            parts.append(f"<section>{caption(title, f'Not measured, because {escape(c.scores.reasons[name])}.')}</section>")
            continue
        i, j = np.unravel_index(int(np.nanargmax(values)), values.shape)
        rows, columns = [f"block {i + 1}" for i in range(len(values))], [f"{j + 1}" for j in range(values.shape[1])]
        seen = said(f"The highest score, {values[i, j]:.0%}, has head {j + 1} of block {i + 1}.")
        heads = grid(values, rows, columns, percent=True, scale=1.0, narrow=True, corner="head")
        parts.append(f"<section>{caption(title, meaning)}{seen}{heads}</section>")
    return section("What the heads do in general", "Measured on random tokens that are repeated once, not on the text above; 100 is the "
                   "highest score.", f'<div class="columns">{"".join(parts)}</div>')


def passages_section(c: Causes) -> str:
    about = "The longest passages of the text and the answer that occur word for word in the text that the model was trained on."
    if c.passages is None:
        return section("In the training text", f"Not searched: {c.no_passages}.")
    if not c.passages:
        return section("In the training text", f"{about} There is none of 8 characters or more.")
    shown = lambda text: escape("".join(each if each == " " else visible(each) for each in text))
    rows = [["characters", "times", "position", "where it occurs first"]]
    rows += [[str(len(each.text)), str(each.occurrences), f"{each.position:,}",
              f'<span class="mono">…{shown(each.before)}<span style="background: {tint(0.6)}">{shown(each.text)}</span>'
              f'{shown(each.after)}…</span>'] for each in c.passages]
    best = c.passages[0]
    return section("In the training text", about, said(f"The longest has {plural(len(best.text), 'character')} and occurs "
                   f"{plural(best.occurrences, 'time')}."), html_table(rows, long=(3,)))


def caption(title: str, meaning: str = "") -> str:
    """The name of a picture, and what it shows"""
    return f'<p class="pale" style="margin-top: 14px"><b>{title}</b> {meaning}</p>'


def said(sentence: str) -> str:
    """The sentence beside a picture"""
    return f"<p>{escape(sentence)}</p>"


def grid(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], percent: bool = False,
         scale: float | None = None, shown: np.ndarray | None = None, narrow: bool = False, zeros: bool = True, corner: str = "") -> str:
    """A heat map (rows, columns) as an HTML table: blue above 0, red below, the strongest at `scale` [the largest value].

    shown: the numbers in the cells [the values]. percent: numbers in percent. narrow: columns for tokens. zeros: whether cells show 0.
    corner: above the names of the rows.
    """
    numbers, finite = values if shown is None else shown, values[np.isfinite(values)]
    most = scale or max(np.abs(finite).max(initial=0.0), 1e-12)
    text = lambda x: f"{round(100 * x)}" if percent else f"{x:+.2f}"      # round: -0.1 is 0, not -0
    padding = "2px 3px" if narrow else "3px 6px"

    def cell(i: int, j: int) -> str:
        if not np.isfinite(values[i, j]):
            return f'<td style="padding: {padding}; text-align: center">–</td>'
        colour = tint(abs(values[i, j]) / most, TRAIN if values[i, j] >= 0 else VALID)
        inside = text(numbers[i, j]) if narrow or len(columns) <= NUMBERED else ""
        inside = inside if zeros or inside != "0" else ""
        return (f'<td style="background: {colour}; padding: {padding}; text-align: center; min-width: 20px" '
                f'title="{escape(f"{rows[i]}, {columns[j]}: {text(numbers[i, j])}")}">{inside}</td>')

    style = f'style="padding: {padding}; text-align: center; vertical-align: bottom"'
    head = "".join(f'<th {style}><span class="{"mono" if narrow else ""}">{escape(name)}</span></th>' for name in columns)
    lines = [f'<tr><th {style}>{corner}</th>{head}</tr>', *(f'<tr><th style="padding: {padding}">{name}</th>'
                                            + "".join(cell(i, j) for j in range(len(columns))) + "</tr>" for i, name in enumerate(rows))]
    return f'<div class="wide"><table style="font-size: {11 if narrow else 12.5}px">{"".join(lines)}</table></div>'
