"""A baby under the microscope: a page about what happens inside it while it processes one text, from check/inspect_model."""
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..check.inspect_model import Inspection, inspect_model, mean_distances, root_mean_squares
from ..inference.baby import Baby
from . import html
from .charts import GRAY, INK, PALE, TRAIN, VALID, plainly
from .formatting import align_columns, align_pairs, format_bytes
from .html import bar, html_table, picture, section, shaded, tint, visible
from .variant_pictures import squares

WIDTH = 100          # tokens in the coloured text of the attention
LINE = 392           # pixels of tokens in a block of the predictions by layer; two blocks fit side by side on a wide page
BINS = np.linspace(-4, 4, 81)


class Microscope(Inspection):
    """An Inspection that shows itself in a notebook; `save(path)` writes a page"""

    def visible_tokens(self, ids: Any) -> list[str]:
        """The texts of token ids, line breaks and blanks made visible"""
        return [visible(text) for text in self.decode(ids)]

    def _repr_html_(self) -> str:
        return html.html_fragment(body(self))

    def save(self, path: str | Path) -> Path:
        """Write the page; returns its path"""
        return html.save(path, f"microscope {self.name[:8]}", body(self))

    def __str__(self) -> str:
        return summary(self)


def examine(baby: Baby, text: str, name: str = "") -> Microscope:
    """The Microscope of a baby and a text; `name`: of its run. BadInput: the baby has no tokenizer, or knows no token of the text"""
    return Microscope(**vars(inspect_model(baby, text, name)))


# as text

def summary(m: Microscope) -> str:
    """The microscope as plain text"""
    L, h = len(m.mixing), m.config.n_heads
    hard = np.argsort(-m.losses)[:3]
    seen = [visible(token) for token in m.tokens]
    worst = ", ".join(f"{seen[i + 1]} after {''.join(seen[max(0, i - 7):i + 1])} ({m.losses[i]:.2f})" for i in hard)
    lines = [("text", "".join(seen)),
             ("loss", f"{m.loss:.4f} nats per token, the mean over {len(m.losses)} tokens; uniform guessing gives "
                      f"{np.log(m.config.n_vocab):.2f}"),
             ("highest losses", worst),
             ("next token", "  ".join(f"{word} {p:.0%}" for word, p in zip(m.visible_tokens(m.top_ids[-1, -1]), m.probabilities[-1, -1])))]
    rows = [("layer", "predicts", "probability", "mean probability of the actual next token", "mean distance, tokens",
             "memory kept for backward")]
    names = ["embedding", *map(str, range(1, L + 1))]
    for i, name in enumerate(names):
        distance = "-" if not i else f"{mean_distances(m.attention.get(i - 1, m.mixing[i - 1][None])).mean():.1f}"
        rows.append((name, m.visible_tokens(m.top_ids[i, -1, :1])[0], f"{m.probabilities[i, -1, 0]:.0%}",
                     f"{m.target_probabilities[i].mean():.0%}", distance, "-" if not i else format_bytes(sum(m.memory[i - 1].values()))))
    how = f"the attention weights of {h} heads" if m.attention else "its backward pass, because it has no attention weights"
    note = f"The mean distance of {m.config.c_attention} is computed from {how}."
    return f"{m.name}\n\n{align_pairs(lines)}\n\n{align_columns(rows)}\n\n{note}"


# as a page

def body(m: Microscope) -> str:
    """The page's HTML"""
    cfg = m.config
    size = f"the first {len(m.ids)} of {m.token_count} tokens" if m.token_count > len(m.ids) else f"a text of {len(m.ids)} tokens"
    model = f"{cfg.c_attention} + {cfg.c_network}, n_layers {cfg.n_layers}, n_emb {cfg.n_emb}"
    parts = [html.head("Under the microscope", f"{m.name}: {model}, {size}"), colored_sentence(m), by_layer(m), attention_section(m)]
    if m.chosen_experts:
        parts.append(experts(m))
    return "".join([*parts, weights_section(m), memory_section(m)])


def colored_sentence(m: Microscope) -> str:
    """The text, each token on a colour that shows its loss"""
    uniform = np.log(m.config.n_vocab)
    predicted = m.visible_tokens(m.top_ids[-1, :, :1].reshape(-1))[:-1]
    notes = ["begins the document"] + [f"{visible(token)}: loss {loss:.2f} nats, probability {np.exp(-loss):.1%}; most probable was {best}"
                                       for token, loss, best in zip(m.tokens[1:], m.losses, predicted)]
    words = [shown(m.tokens[0], True)] + [shown(token) for token in m.tokens[1:]]
    step = lambda share: f'<span style="background: {tint(share, VALID)}; padding: 1px 9px; color: {INK}">{share * uniform:.1f}</span>'
    scale = "".join(step(i / 4) for i in range(5))
    return section("Loss of each token",
                   f"Mean loss {m.loss:.3f} nats per token, a perplexity of {np.exp(m.loss):.1f}.",
                   shaded(words, [0, *m.losses / uniform], VALID, notes),
                   f'<p class="pale">white: no loss &#160; {scale} nats &#160; darkest: the loss of uniform guessing, '
                   f"ln {m.config.n_vocab}</p>")


def shown(token: str, first: bool = False) -> str:
    """A token as part of a text: a line break is shown as a sign and also breaks the line"""
    return visible(token) if first or token != "\n" else "⏎\n"


def by_layer(m: Microscope) -> str:
    """The next token as each layer predicts it"""
    L = len(m.mixing)
    names = ["embedding", *(f"block {i + 1}" for i in range(L))]
    cell = lambda word, p: f'<span class="mono" style="background: {tint(p)}; padding: 1px 6px">{escape(word)}</span> {p:.0%}'
    rows = [["after", *(f"{place}." for place in range(1, m.top_ids.shape[-1] + 1)), "mean probability of the actual next token"]]
    for i in reversed(range(L + 1)):
        rows.append([names[i], *(cell(word, p) for word, p in zip(m.visible_tokens(m.top_ids[i, -1]), m.probabilities[i, -1])),
                     bar(m.target_probabilities[i].mean(), most=90) + f" {m.target_probabilities[i].mean():.0%}"])
    return section("Next-token predictions, layer by layer",
                   "The final norm and the head, applied to each block's output: the five most probable tokens after the text.",
                   html_table(rows),
                   '<p class="pale">The most probable next token after every token, by layer: darker for higher probability, bold where '
                   "it is correct. The lowest line is the text.</p>", prediction_strips(m, names))


def prediction_strips(m: Microscope, names: list[str]) -> str:
    """Each layer's prediction above the actual token, in blocks of LINE pixels"""
    T, out, first = len(m.ids), list[str](), 1
    words = [m.visible_tokens(m.top_ids[i, :, 0]) for i in range(len(names))]
    actual = [visible(token) for token in m.tokens]
    widths = [6 + 7 * max(len(actual[t]), *(len(each[t - 1]) for each in words)) for t in range(1, T)]
    while first < T:
        last = first
        while last < T and sum(widths[first - 1:last]) <= LINE:
            last += 1
        last = max(last, first + 1)
        cell = lambda word, p, style="": (f'<td style="padding: 0 3px; text-align: center; background: {tint(p)}; {style}">'
                                          f"{escape(word)}</td>")
        head = lambda name: f'<th style="text-align: right; padding: 0 8px 0 0">{name}</th>'
        right = lambda i, t: "font-weight: 700" if m.top_ids[i, t - 1, 0] == m.ids[t] else ""
        rows = [head(names[i]) + "".join(cell(words[i][t - 1], m.probabilities[i, t - 1, 0], right(i, t)) for t in range(first, last))
                for i in reversed(range(len(names)))]
        bold = f"font-weight: 600; border-top: 1px solid {GRAY}"
        rows.append(head("text") + "".join(cell(actual[t], 0, bold) for t in range(first, last)))
        out.append('<table class="mono" style="font-size: 11.5px">' + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>")
        first = last
    return f'<div class="wide"><div class="columns" style="gap: 0 28px">{"".join(out)}</div></div>'


def attention_section(m: Microscope) -> str:
    """Attention weights or mixing as pictures, and the last token's as coloured text"""
    h = m.config.n_heads
    if m.attention:
        about = ("Each square is one head. A row is the token that attends, a column the token that it attends to; darker is a larger "
                 "weight, and each row sums to 1. Below: the number of the head, and the mean distance of its attention in tokens. The "
                 "last square of a block, all, is computed with the backward pass of its attention: how much the output of the row's "
                 "token changes with the input of the column's token, as a fraction of the sum of the row.")
    else:
        about = (f"{m.config.c_attention} has no attention weights. The picture is computed with its backward pass instead: how much the "
                 f"output of the row's token changes with the input of the column's token, as a fraction of the sum of the row; darker is "
                 f"more.")
    rows, T = [], len(m.ids)
    last = slice(max(0, T - WIDTH), T)
    for i in range(len(m.mixing)):
        heads = m.attention.get(i, m.mixing[i][None])
        for j, a in enumerate(heads):
            name = f"block {i + 1}, head {h - len(heads) + j + 1}" if i in m.attention else f"block {i + 1}"
            row = a[-1, last] / a[-1].max()
            rows.append(f'<tr><th>{name}</th><td>{shaded([visible(t) for t in m.tokens[last]], np.sqrt(row), small=True)}</td></tr>')
    last_token = f'<p class="pale">What the last token attends to:</p><div class="wide"><table>{"".join(rows)}</table></div>'
    return section("Attention", about, picture(maps(m), "attention of every layer and head"), last_token, head_table(m))


def maps(m: Microscope) -> Any:
    """The squares of all heads, one line of squares for each layer, as a matplotlib Figure"""
    from matplotlib.figure import Figure

    L, most = len(m.mixing), max((len(a) for a in m.attention.values()), default=0)
    across = min(most, 8) + 1 if most else min(L, 4)
    cells: list = []                                                   # lines of (matrix, label below it, label beside it)
    for i in range(L):
        heads, whole = m.attention.get(i, m.mixing[:0]), (m.mixing[i], "all" if most else f"block {i + 1}", "")
        named = [(a, f"{m.config.n_heads - len(heads) + j + 1}", "" if j else f"block {i + 1}") for j, a in enumerate(heads)]
        if not most and i % across:
            cells[-1].append(whole)
        elif not most:
            cells.append([whole])
        for first in range(0, most, across - 1):
            line = named[first:first + across - 1]
            cells.append(line + [None] * (across - 1 - len(line)) + [None if first else whole])
    side = min(2.2, 9.6 / across)
    figure = Figure(figsize=(across * side, len(cells) * (side + 0.3)), facecolor="white", layout="constrained")
    for line, row in zip(cells, figure.subplots(len(cells), across, squeeze=False)):
        for axes, cell in zip(row, line + [None] * across):
            square(axes, *cell) if cell else axes.set_axis_off()
    return figure


def square(axes: Any, matrix: np.ndarray, name: str, beside: str) -> None:
    """The square of one head; `beside`: the label of its line, "" for none"""
    squares(axes, matrix, "")
    axes.set_ylabel(beside, color=INK, fontsize=9)
    axes.set(xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[["top", "right"]].set_color(PALE)
    axes.set_xlabel(f"{name}: distance {mean_distances(matrix[None])[0]:.1f}", color=GRAY, fontsize=8, labelpad=2)


def head_table(m: Microscope) -> str:
    """For swh: the head whose output each token uses"""
    if not m.chosen_heads:
        return ""
    rows = [["", "the head whose output each token uses"]]
    for i, head in sorted(m.chosen_heads.items()):
        rows.append([f"block {i + 1}", shaded([f"{n + 1} " for n in head[0]], head[0] / max(m.config.n_heads - 1, 1), small=True)])
    return html_table(rows, long=(1,))


def experts(m: Microscope) -> str:
    """For moe: the share of tokens that each expert received, and which tokens these are"""
    E, parts = m.config.n_experts, []
    rows = [["", "share of the tokens of each expert"]]
    for i, load in sorted(m.expert_loads.items()):
        one = lambda e, share: f'<span style="white-space: nowrap; margin-right: 14px">{e + 1} {bar(share, most=60)} {share:.0%}</span>'
        rows.append([f"block {i + 1}", " ".join(one(e, share) for e, share in enumerate(load / max(load.sum(), 1)))])
    parts.append(html_table(rows, long=(1,)))
    if m.config.n_active < E:
        for i, chosen in sorted(m.chosen_experts.items()):
            lines = []
            for e in range(E):
                lines.append(f'<tr><th>block {i + 1}, expert {e + 1}</th><td>'
                             + shaded([visible(t) for t in m.tokens], (chosen == e).any(-1).astype(float) * 0.8, small=True) + "</td></tr>")
            parts.append(f'<div class="wide"><table>{"".join(lines)}</table></div>')
    routed = f"{m.config.n_active} of {E}" if m.config.n_active < E else f"all {E}"
    return section("Experts of each token", f"Every token is routed to {routed} experts. Blue: the tokens of the expert.", *parts)


def weights_section(m: Microscope) -> str:
    return section("Weights and gradients", "The root mean square of the elements of every weight and of its gradient for the loss of this "
                   "text, block by block; darker is larger. Right: the distribution of the elements of all matrices of a block; std is "
                   "their standard deviation.",
                   picture(sizes(m), "root mean squares of weights and gradients"))


def sizes(m: Microscope) -> Any:
    """Weights and gradients of every leaf and block, and distributions of the weights, as a matplotlib Figure"""
    from matplotlib.figure import Figure

    L = len(m.mixing)
    both = [[root_mean_squares(which, i) for i in range(L)] for which in (m.weights, m.gradients)]
    leaves = [leaf for leaf in dict.fromkeys(leaf for row in both[0] for leaf in row)]
    figure = Figure(figsize=(9.8, 0.9 + 0.235 * len(leaves)), facecolor="white", layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    for axes, rows, heading, colour in ((left, both[0], "weights, root mean square", TRAIN),
                                        (middle, both[1], "gradients, root mean square", VALID)):
        grid = np.array([[row.get(leaf, np.nan) for row in rows] for leaf in leaves])
        heat(axes, grid, colour, [f"{i + 1}" for i in range(L)], leaves if axes is left else [], heading)
    for i in range(L):
        entries = np.concatenate([w.reshape(-1) for n, w in m.weights.items() if n.startswith(f"blocks.{i}.") and w.ndim > 1])
        std, ground = entries.std() or 1.0, L - i - 1
        counts, edges = np.histogram(entries / std, BINS)
        right.fill_between((edges[1:] + edges[:-1]) / 2, ground, ground + 0.92 * counts / max(counts.max(), 1), color=tint(1), lw=0)
        right.annotate(f"block {i + 1}, std {std:.3f}", (-4, L - i - 0.14), color=GRAY, fontsize=8, va="top")
    right.set(yticks=[], xlim=(-4, 4), ylim=(0, L))
    plainly(right, "elements of the matrices, in standard deviations")
    right.spines["left"].set_visible(False)
    return figure


def heat(axes: Any, grid: np.ndarray, colour: str, across: list[str], down: list[str], heading: str) -> None:
    """A grid of numbers as coloured cells that contain the numbers; the colour follows the logarithm"""
    from matplotlib.colors import LinearSegmentedColormap

    logs = np.log10(np.where(grid > 0, grid, np.nan))
    low, high = (np.nanmin(logs), np.nanmax(logs)) if np.isfinite(logs).any() else (0, 1)
    pale = LinearSegmentedColormap.from_list("pale", ["white", tint(1, colour)])
    axes.imshow(logs, cmap=pale, vmin=low, vmax=max(high, low + 0.1), aspect="auto")
    for row, line in enumerate(grid):
        for column, value in enumerate(line):
            if np.isfinite(value) and len(across) <= 12:
                axes.text(column, row, f"{value:.2g}" if value >= 1e-3 or not value else f"{value:.0e}".replace("e-0", "e-"), ha="center",
                          va="center", fontsize=7.5, color=INK)
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(down)), down)
    plainly(axes, heading)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    axes.set_xlabel("block", color=GRAY, fontsize=8)


def memory_section(m: Microscope) -> str:
    """Memory that the backward of each block retains"""
    totals = [sum(parts.values()) for parts in m.memory]
    colours = dict(norms=PALE, attention=TRAIN, network=VALID)
    rows = [["", "total", "", *colours]]
    for i, parts in enumerate(m.memory):
        bars = "".join(bar(parts[name] / max(totals), colours[name], 130) for name in ("attention", "network", "norms") if parts[name])
        rows.append([f"block {i + 1}", format_bytes(totals[i]), bars, *(format_bytes(parts[name]) for name in colours)])
    return section("Memory kept for backward", f"Bytes of the arrays that each block's backward keeps until it is called, for these "
                   f"{len(m.ids)} tokens and without the weights: {format_bytes(sum(totals))} in total, "
                   f"{format_bytes(sum(totals) / len(m.ids))} per token. "
                   f"Blue: attention; red: network; gray: norms.", html_table(rows))
