"""The drawings of the tour: a whole GPT, an embedding as a look-up in a table, and the three steps of attention.

All words in a drawing are arguments, so that a translated lesson can translate them.
"""
from collections.abc import Sequence
from typing import Any

import numpy as np

from .charts import GRAY, INK, PALE, TRAIN, VALID, plainly
from .tour import picture, visible

SOFT = "#e8eff6"     # inside of a box


def gpt_picture(heading: str, tokens: str, ids: Sequence[int], parts: Sequence[tuple[str, str]], next_token: str,
                following: dict[str, float], block: Sequence[str] = ()) -> None:
    """A whole GPT from left to right: the tokens with their ids, a box for each part, and bars for the next token.

    parts: (name, small note above it) of each box; one named "" is drawn as dots. next_token: the heading of the bars; following:
    {token: probability}. block: the names (norm, attention, norm, network, residual stream) in an enlarged block below, which is the
    second part; nothing for none
    """
    axes = picture(heading, height=4.6 if block else 2.3)
    axes.axis("off")
    axes.set_xlim(0, 100)
    axes.set_ylim(-36 if block else 0, 30)
    for y, token, id_ in zip(np.linspace(26, 4, len(tokens)), visible(tokens), ids):
        axes.text(1.5, y, token, color=INK, fontsize=10, family="monospace", ha="center", va="center")
        axes.text(6, y, str(id_), color=GRAY, fontsize=8, ha="center", va="center")
    left, right, gap = 11.0, 80.0, 2.2
    width = (right - left + gap / 2) / (len(parts) - 0.6) - gap        # of a box; dots have 0.4 of it
    x: float = left
    for name, note in parts:
        wide = width if name else 0.4 * width - 0.6 * gap
        arrow(axes, (x - gap, 14), (x, 14))
        if name:
            box(axes, x, 5, wide, 18, name)
        else:
            axes.text(x + wide / 2, 14, "…", color=INK, fontsize=12, ha="center", va="center")
        axes.text(x + wide / 2, 25.5, note, color=GRAY, fontsize=7, ha="center", va="center")
        x += wide + gap
    arrow(axes, (x - gap, 14), (x, 14))
    likely = sorted(following, key=lambda token: -following[token])[:5]
    axes.text(82, 27, next_token, color=GRAY, fontsize=8)
    for i, token in enumerate(likely):
        y = 22 - i * 4.4
        axes.text(83, y, visible(token)[0], color=INK, fontsize=10, family="monospace", va="center")
        axes.barh(y, 13 * following[token], left=86, height=2.6, color=TRAIN)
        axes.text(87 + 13 * following[token], y, f"{following[token]:.0%}", color=GRAY, fontsize=7, va="center")
    if block:
        for edge, corner in ((left + width + gap, 3), (left + 2 * width + gap, 97)):
            axes.plot([edge, corner], [5, -2], color=PALE, lw=1)
        enlarged_block(axes, block)


def enlarged_block(axes: Any, names: Sequence[str]) -> None:
    """A block below the picture of a GPT: the residual stream, past which run attention and network, each behind a norm"""
    norm1, attention, norm2, network, stream = names
    axes.add_patch(rounded(3, -35, 94, 33, "white"))
    axes.annotate("", (96, -29), (4, -29), arrowprops=dict(arrowstyle="-|>", color=TRAIN, lw=3))
    axes.text(4.5, -32.5, stream, color=TRAIN, fontsize=8, va="center")
    for x, first, second in ((9, norm1, attention), (53, norm2, network)):
        axes.plot([x, x], [-29, -13], color=GRAY, lw=1)
        arrow(axes, (x, -13), (x + 3, -13))
        box(axes, x + 3, -18, 9, 10, first)
        arrow(axes, (x + 12, -13), (x + 15, -13))
        box(axes, x + 15, -21, 17, 16, second)
        axes.plot([x + 32, x + 36], [-13, -13], color=GRAY, lw=1)
        arrow(axes, (x + 36, -13), (x + 36, -26.5))
        axes.plot(x + 36, -29, "o", ms=13, mfc="white", mec=TRAIN, mew=1.6)
        axes.text(x + 36, -29.1, "+", color=INK, fontsize=12, ha="center", va="center")


def lookup_picture(headings: Sequence[str], table: np.ndarray, tokens: Sequence[str], text: str, ids: Sequence[int]) -> None:
    """An embedding: the table (V, D) with a row for each of `tokens`, and the rows of the characters of `text`, beside each other"""
    left, right = picture(*headings, widths=(1, 1), height=4)
    left.figure.get_layout_engine().set(wspace=0.12)
    limit = abs(table).max()
    for axes, rows in ((left, table), (right, table[np.asarray(ids)])):
        axes.imshow(rows, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        axes.grid(False)
        axes.set_xticks([])
    left.set_yticks(range(len(tokens)), visible(tokens), fontsize=5)
    right.set_yticks(range(len(text)), [f"{token}  {id_}" for token, id_ in zip(visible(text), ids)], fontsize=10)
    right.yaxis.tick_right()
    for i, id_ in enumerate(ids):
        left.add_patch(frame(-0.5, id_ - 0.5, table.shape[1], 1))
        right.figure.add_artist(connection(left, (table.shape[1] - 0.5, id_), right, (-0.5, i)))


def attention_picture(headings: Sequence[str], text: str, scores: np.ndarray, weights: np.ndarray, characters: Sequence[str],
                      values: np.ndarray, output: np.ndarray) -> None:
    """Attention of the last token of `text`: its scores and attention weights (T,), the values (T, V), shaded by the weights, and their
    weighted sum, the output (V,). headings: of the four, in this order"""
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(3, 2, figsize=(8, 5.6), dpi=110, facecolor="white", layout="constrained", width_ratios=(6, 1),
                                   height_ratios=(1, 1, 2.2))
    T = len(text)
    for axes, heading, heights, color in ((grid[0, 0], headings[0], scores, GRAY), (grid[1, 0], headings[1], weights, TRAIN)):
        axes.bar(range(T), heights, color=color)
        axes.set_axisbelow(True)
        plainly(axes, heading)
    for axes, heading, shades in ((grid[2, 0], headings[2], (values * weights[:, None]).T), (grid[2, 1], headings[3], output[:, None])):
        axes.imshow(shades, cmap=shade(), vmin=0, vmax=max(output), aspect="auto", interpolation="nearest")
        plainly(axes, heading)
        axes.grid(False)
        axes.set_yticks(range(len(characters)), visible(characters), fontsize=7)
    where, which = np.nonzero(values)
    grid[2, 0].plot(where, which, "s", ms=7, mfc="none", mec=PALE, mew=0.7)
    for axes in grid[:, 0]:
        axes.set_xlim(-0.6, T - 0.4)
        axes.set_xticks(range(T), visible(text), fontsize=8)
    grid[2, 1].set_xticks([])
    grid[0, 1].axis("off")
    grid[1, 1].axis("off")


# pieces

def box(axes: Any, x: float, y: float, width: float, height: float, text: str) -> None:
    axes.add_patch(rounded(x, y, width, height, SOFT))
    axes.text(x + width / 2, y + height / 2, text, color=INK, fontsize=7.5, ha="center", va="center", linespacing=1.3)


def rounded(x: float, y: float, width: float, height: float, color: str) -> Any:
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=1.2", fc=color, ec=PALE, lw=1)


def arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops=dict(arrowstyle="-|>", color=GRAY, lw=1, shrinkA=0, shrinkB=0))


def frame(x: float, y: float, width: float, height: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, fill=False, ec=VALID, lw=1.2)


def connection(left: Any, start: tuple[float, float], right: Any, end: tuple[float, float]) -> Any:
    """An arrow from a place in one axes to a place in another"""
    from matplotlib.patches import ConnectionPatch

    return ConnectionPatch(start, end, left.transData, right.transData, arrowstyle="-|>", color=VALID, lw=0.8, mutation_scale=8)


def shade() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shade", ["white", TRAIN, INK])
