"""A walk through one layer: its forward and, beside it, its backward, each line with the values that it computed.

`break_` shows a copy of the layer with a planted mistake: the gradients that the laws find wrong, and all changed values, are red.
"""
import re
import textwrap
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..check import mistakes
from ..check.mistakes import Mistake
from ..check.trace import LayerTrace, Line, Part, Value, trace
from . import html
from .charts import FLOOR, GRAY, VALID
from .formatting import align_columns, align_pairs, plural
from .html import section, tint

THREADS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#7a5cc0", "#8c6d31")      # Okabe & Ito's, two darkened
CODE = 62            # characters of a row of code
CHARACTER, ROW, SMALL_ROW, GAP, COLUMN, BETWEEN = 6.93, 17, 15, 7, 452, 64       # pixels: a character's width, heights, gap, widths
FOUND_BY = dict(formula="a wrong y", gradient="a wrong gradient", decoding="decoding", causality="causality",
                life="a weight without gradient")
NUMBERS = 4          # elements of a tensor that are shown


class Walk(LayerTrace):
    """A LayerTrace that shows itself in a notebook; `save(path)` writes a page.

    >>> w = walk("mha")
    >>> broken = w.break_("lost scale")
    >>> broken.wrong(), broken.fix().wrong()
    (['x', 'wq'], [])
    """

    def break_(self, mistake: str) -> "Walk":
        """The walk through a copy with this mistake, with the settings that the mistake needs. BadInput: the layer has no such mistake"""
        return Walk(**vars(trace(self.name, self.settings, mistake)))

    def fix(self) -> "Walk":
        """The walk through the layer without a mistake"""
        return Walk(**vars(trace(self.name, self.settings)))

    def _repr_html_(self) -> str:
        return html.html_fragment(body(self))

    def _ipython_display_(self) -> None:
        """In a notebook: the page, and above it a button for every mistake that can be planted"""
        from IPython.display import HTML, display

        with suppress(ModuleNotFoundError):                      # without ipywidgets the page alone
            display(buttons(self))
        display(HTML(self._repr_html_()))

    def save(self, path: str | Path) -> Path:
        """Write the page; returns its path"""
        return html.save(path, f"walk {self.name}", body(self))

    def __str__(self) -> str:
        return summary(self)


def walk(name: str, **settings: Any) -> Walk:
    """A Walk through an attention, a network or a norm on two texts of five tokens, in float64; `settings` as for a training.

    BadInput: there is no such variant
    """
    return Walk(**vars(trace(name, settings)))


def buttons(w: Walk) -> Any:
    """Widgets: a button for every mistake, and below them the walk through the layer with the one that was pressed"""
    import ipywidgets as widgets

    page, planted = widgets.HTML(), mistakes.mistakes_of(w.name, w.folder)
    correct = widgets.Button(description="no mistake", button_style="success", layout=widgets.Layout(width="auto", display="none"))

    def plant(pressed):
        page.value = f"<p>Running {escape(w.name)} with the mistake “{escape(pressed.description)}” …</p>"
        page.value = w.break_(pressed.description)._repr_html_()
        correct.layout.display = ""

    def remove(_pressed):
        page.value, correct.layout.display = "", "none"

    all_of_them = [widgets.Button(description=name, tooltip=each.about, layout=widgets.Layout(width="auto"))
                   for name, each in planted.items()]
    for each in all_of_them:
        each.on_click(plant)
    correct.on_click(remove)
    label = widgets.HTML("Plant a mistake in a copy of this layer, and see which laws find it:")
    flow = widgets.Layout(display="flex", flex_flow="row wrap")
    return widgets.VBox([label, widgets.Box([*all_of_them, correct], layout=flow), page])


# as text

def value_in_words(value: Value) -> str:
    """A value as text: name and number of a scalar; name, shape, norm (between bars) and first elements of a tensor"""
    if not value.array.ndim:
        return f"{value.name} = {value.array.item():.4g}"
    if not value.array.size:
        return f"{value.name} {shape(value)}"
    first = " ".join(f"{number:d}" if value.array.dtype.kind in "iu" else f"{float(number):.2f}"
                    for number in value.array.reshape(-1)[:NUMBERS])
    return f"{value.name} {shape(value)} |{value.norm:.3g}| {first}{' …' if value.array.size > NUMBERS else ''}"


def shape(value: Value) -> str:
    return "(" + ", ".join(map(str, value.array.shape)) + ")"


def summary(w: LayerTrace) -> str:
    """The walk as plain text"""
    broken = f", planted mistake: {w.mistake.name}. {w.mistake.about}" if w.mistake else ""
    out = [f"{w.name}: {w.folder[:-1]}, 2 rows of 5 tokens, n_emb {w.config.n_emb}{broken}",
           "Beside each line are the values that it computed: name, shape, |norm|, first entries."]
    for part in w.parts:
        for way, lines in (("forward", part.forward), ("backward", part.backward)):
            pairs = [(one_line(line.code), "\n".join(map(value_in_words, line.values)) or "-")
                     for line in lines if not line.comment]
            out.append(f"{title(part)}, {way}\n{textwrap.indent(align_pairs(pairs), '  ')}")
    rows = [("check", "error", "allowed", "")]
    rows += [(label(name), f"{error:.1e}", f"{allowed:.0e}", "correct" if error <= allowed else "WRONG")
             for name, (error, allowed) in w.checks.items()]
    out.append(align_columns(rows))
    if not w.mistake:
        out.append("mistakes that can be planted with --break: " + ", ".join(w.mistakes))
    return "\n\n".join(out)


def one_line(code: str, most: int = 70) -> str:
    """A statement of several lines in one, shortened to `most` characters"""
    joined = " ".join(code.split())
    return joined if len(joined) <= most else joined[:most - 2] + " …"


def title(part: Part) -> str:
    return f"{Path(part.file).stem}.{part.name}"


def label(name: str) -> str:
    """The words for a key of `LayerTrace.checks`"""
    words = {"decoding": "decoding", "causality": "causality", "y unchanged": "y, compared with the correct layer"}
    return words.get(name, f"gradient of {name}")


# as a page

def body(w: LayerTrace) -> str:
    """The page's HTML"""
    about = f"{w.folder[:-1]} {w.name}, two texts of five tokens, n_emb {w.config.n_emb}, {plural(w.config.n_heads, 'head')}, float64"
    out = [html.head(f"A walk through {w.name}, forward and backward", about)]
    if w.mistake:
        out.append(f'<p><span class="wrong">✗ planted mistake: {escape(w.mistake.name)}.</span> {escape(w.mistake.about)}</p>')
        out.append(changed(w.mistake))
    out.append(checked(w))
    legend = ("Left: forward. Right: backward. Under each line are the values that it computed: name, shape, |norm|, first elements. A "
              "coloured curve connects the line that assigns a back_x with the line that calls it; gray lines did not run. "
              "Letters: B texts, T tokens, S all tokens so far, D n_emb, H head_size, h heads, d = H / h the width of a head, K the width "
              "of the keys of all heads, F the hidden width of a network."
              + (" Red values differ from those of the correct layer." if w.mistake else ""))
    out += [section(title(part), "" if i else legend, side_by_side(part, w.mistake)) for i, part in enumerate(w.parts)]
    if not w.mistake:
        found_by = lambda mistake: ", ".join(FOUND_BY[law] for law in mistake.by.split())
        out.append(section("Plant a mistake", "walk(…).break_(name) runs a copy of the layer with the mistake, fix() the correct layer.",
                           html.html_table([["mistake", "description", "found by"], *(
                               [f"<code>{escape(each.name)}</code>", escape(each.about), found_by(each)]
                               for each in mistakes.mistakes_of(w.name, w.folder).values())], long=(1,))))
    return "".join(out)


def changed(mistake: Mistake) -> str:
    """The changed code of the file, before and after"""
    where = "arrays/kernels.py" if mistake.where == "kernels" else f"model/{mistake.where.replace('.', '/')}.py"
    old, new = (" ".join(each.split()) for each in (mistake.old, mistake.new))
    return (f'<pre style="border-left: 3px solid {VALID}; padding-left: 10px">{escape(where)}\n'
            f'<span class="right">− {escape(old)}</span>\n<span class="wrong">+ {escape(new)}</span></pre>')


def checked(w: LayerTrace) -> str:
    """The results of the laws, with a bar for each error on a logarithmic scale"""
    rows = [["", "error", "", "", "allowed"]]
    for name, (error, allowed) in w.checks.items():
        correct = error <= allowed
        power = np.log10(max(error, 1e-16)) if np.isfinite(error) else 0
        mark = '<span class="right">✓ correct</span>' if correct else '<span class="wrong">✗ wrong</span>'
        rows.append([f'<span class="{"" if correct else "wrong"}">{escape(label(name))}</span>', f"{error:.1g}",
                     html.bar(min(1, (power + 16) / 16), FLOOR if correct else VALID, 150), mark, f"{allowed:.1g}"])
    about = ("Gradients: compared with finite differences of the forward. Decoding: token by token with a cache, compared with one pass "
             "over all tokens. Causality: how much a later token changes the output of earlier ones. ")
    verdict = f"Wrong: {'; '.join(map(label, w.wrong()))}." if w.wrong() else "All checks pass."
    return section("The laws", about + verdict, html.html_table(rows))


def side_by_side(part: Part, mistake: Mistake | None) -> str:
    """Forward and backward as two columns of known height, with a curve from each assignment of a back_x to its call"""
    names = list(dict.fromkeys(name for line in part.forward for name in line.binds))
    colours = {name: THREADS[i % len(THREADS)] for i, name in enumerate(names)}
    left, height_left, binds = column(part.forward, colours, "binds", mistake)
    right, height_right, calls = column(part.backward, colours, "calls", mistake)
    height, whole, curves = max(height_left, height_right), 2 * COLUMN + BETWEEN, ""
    for name, starts in binds.items():
        for to in calls.get(name, []):
            at, y = starts[-1]
            edge, end = min(8 + at * CHARACTER, COLUMN) + 6, COLUMN + BETWEEN
            path = f"M {edge:.0f} {y} L {COLUMN} {y} C {COLUMN + BETWEEN / 2} {y}, {COLUMN + BETWEEN / 2} {to[1]}, {end - 2} {to[1]}"
            curves += (f'<path d="{path}" fill="none" stroke="{colours[name]}" stroke-width="1.8" opacity="0.7"/>'
                       f'<circle cx="{edge:.0f}" cy="{y}" r="2.5" fill="{colours[name]}"/>'
                       f'<circle cx="{end - 2}" cy="{to[1]}" r="3" fill="{colours[name]}"/>')
    style = f"flex: 0 0 {COLUMN}px; width: {COLUMN}px; height: {height}px; overflow: hidden"
    return (f'<div class="wide"><div class="mono" style="position: relative; display: flex; gap: {BETWEEN}px; width: {whole}px; '
            f'line-height: {ROW}px; font-size: 11.5px"><div style="{style}">{left}</div><div style="{style}">{right}</div>'
            f'<svg width="{whole}" height="{height}" style="position: absolute; left: 0; top: 0; pointer-events: none">{curves}</svg>'
            "</div></div>")


def column(lines: list[Line], colours: dict[str, str], which: str, mistake: Mistake | None) -> tuple[str, int, dict[str, list]]:
    """(HTML, its height, {back_x: [(length of its row in characters, the vertical middle of the row)]})"""
    out, y, places = list[str](), 0, dict[str, list]()
    for line in lines:
        rows = wrapped(re.split("[ ]{3,}", line.code.strip())[0] if line.comment else line.code)
        values = [(value_in_words(value)[:CODE + 8], value) for value in line.values]
        height = ROW * len(rows) + SMALL_ROW * len(values)
        for name in getattr(line, which):
            row = next((i for i, each in enumerate(rows) if re.search(rf"\b{name}\b", each)), 0)
            places.setdefault(name, []).append((len(rows[row]), y + ROW * row + ROW / 2))
        out.append(block(line, rows, values, colours, mistake, height))
        y += height + (0 if line.comment else GAP)
    return "".join(out), y, places


def block(line: Line, rows: list[str], values: list, colours: dict[str, str], mistake: Mistake | None, height: int) -> str:
    """A statement with its values, or a comment line, as HTML of a known height"""
    if line.comment:
        return f'<div style="height: {height}px; padding-left: 8px; white-space: pre; color: {GRAY}">{escape(chr(10).join(rows))}</div>'
    planted = mistake and any(same_code(line.code, each) for each in mistake.new.splitlines() if each.strip())
    edge = f"border-left: 3px solid {VALID}; padding-left: 5px; background: {tint(0.13, VALID)}" if planted else "padding-left: 8px"
    code = "\n".join(color_row(row, colours) for row in rows)
    small = "\n".join(f'<span class="wrong">{escape(text)}</span>' if value.changed else escape(text) for text, value in values)
    return (f'<div style="{edge}; height: {height}px; margin-bottom: {GAP}px; white-space: pre; overflow: hidden">'
            f'<span{"" if line.ran else f""" style="color: {GRAY}" """}>{code}</span>'
            f'<div style="color: {GRAY}; font-size: 10.5px; line-height: {SMALL_ROW}px">{small}</div></div>')


def same_code(code: str, new: str) -> bool:
    """Whether `code` contains `new`, white space ignored"""
    squeeze = lambda text: "".join(text.split())
    return squeeze(new) in squeeze(code)


def wrapped(code: str) -> list[str]:
    """Code in rows of at most CODE characters"""
    rows = list[str]()
    for line in code.splitlines():
        indent = len(line) - len(line.lstrip())
        rows += textwrap.wrap(line.strip(), CODE, initial_indent=" " * indent, subsequent_indent=" " * (indent + 4), break_on_hyphens=False)
    return rows


def color_row(row: str, colours: dict[str, str]) -> str:
    """A row of code with every back_x on its colour"""
    for_each = lambda match: (f'<span style="background: {tint(0.4, colours[match[0]])}; border-radius: 2px">{match[0]}</span>'
                              if match[0] in colours else match[0])
    return re.sub(r"\bback\w*", for_each, escape(row))


