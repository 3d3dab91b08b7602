"""HTML pages for notebooks and files: the pictures are part of the HTML, there is no script, and nothing is loaded from elsewhere. A page
looks the same in a notebook, as a file and on paper.

A page is a title and a body; the body is well-formed, so that a test can parse it. Whatever a colour means, a word, a number or a sign
means too.
"""
from base64 import b64encode
from collections.abc import Collection, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..runs import disk
from .charts import FLOOR, GRAY, INK, PALE, TRAIN, VALID, png
from .formatting import NUMBER

CSS = f"""
.littlebaby {{ background: white; color: {INK}; font: 14px/1.5 system-ui, sans-serif; padding: 20px 24px; max-width: 1000px;
  box-sizing: border-box;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
.littlebaby h1 {{ font-size: 21px; font-weight: 600; margin: 0 0 2px; }}
.littlebaby h2 {{ font-size: 15px; font-weight: 600; margin: 30px 0 4px; border-top: 1px solid {PALE}; padding-top: 14px; }}
.littlebaby p {{ margin: 3px 0 10px; max-width: 820px; }}
.littlebaby .pale, .littlebaby th {{ color: {GRAY}; font-weight: normal; }}
.littlebaby .pale {{ font-size: 12.5px; }}
.littlebaby img {{ display: block; margin: 8px 0; max-width: 100%; }}
.littlebaby pre, .littlebaby code, .littlebaby .mono {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
.littlebaby pre {{ font-size: 11.5px; line-height: 1.45; white-space: pre-wrap; background: none; color: inherit; padding: 0;
  margin: 6px 0; }}
.littlebaby code {{ font-size: 12px; background: none; color: inherit; padding: 0; }}
.littlebaby table {{ border-collapse: collapse; margin: 8px 0; font-size: 12.5px; }}
.littlebaby tr, .littlebaby th, .littlebaby td {{ background: none; border: 0; }}
.littlebaby th, .littlebaby td {{ padding: 2px 10px 2px 0; text-align: left; vertical-align: top; white-space: nowrap; }}
.littlebaby .headed tr:first-child th {{ white-space: normal; }}
.littlebaby td.number, .littlebaby th.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
.littlebaby td.long {{ white-space: pre-wrap; overflow-wrap: anywhere; min-width: 160px; }}
.littlebaby .text {{ font-size: 15px; line-height: 1.75; overflow-wrap: anywhere; margin: 8px 0; }}
.littlebaby .small {{ font-size: 12px; line-height: 1.35; margin: 0; }}
.littlebaby .text span {{ padding: 1px 0; border-radius: 2px; white-space: pre-wrap; }}
.littlebaby .wide {{ overflow-x: auto; }}
.littlebaby .right {{ color: {FLOOR}; }}
.littlebaby .wrong {{ color: {VALID}; font-weight: 600; }}
.littlebaby .bar {{ display: inline-block; height: 9px; border-radius: 1px; vertical-align: middle; }}
.littlebaby .columns {{ display: flex; gap: 28px; flex-wrap: wrap; }}
.littlebaby .columns section {{ flex: 1 1 300px; min-width: 0; }}
@media print {{ .littlebaby {{ padding: 0; }} .littlebaby h2, .littlebaby p.pale {{ break-after: avoid; }}
  .littlebaby tr, .littlebaby img {{ break-inside: avoid; }}
  .littlebaby .wide {{ overflow: visible; zoom: 0.72; }} }}
"""
VISIBLE_SIGNS = {"\n": "⏎", "\t": "⇥", " ": "·", "": "∅"}


def html_fragment(body: str) -> str:
    """The body with its style, for a notebook"""
    return f'<style>{CSS}</style><div class="littlebaby">{body}</div>'


def html_document(title: str, body: str) -> str:
    """A complete HTML document"""
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width"/>'
            f'<title>{escape(title)}</title></head><body style="margin: 0 auto; max-width: 1048px">{html_fragment(body)}</body></html>\n')


def save(path: str | Path, title: str, body: str) -> Path:
    """Write the complete document into a file; returns its path"""
    path = Path(path)
    disk.write_file(path, [html_document(title, body).encode("utf-8", "backslashreplace")])
    return path


# pieces of a body

def head(title: str, line: str) -> str:
    """The heading of a page, with a line below it"""
    return f'<h1>{escape(title)}</h1><p class="pale">{escape(line)}</p>'


def section(title: str, about: str, *parts: str) -> str:
    """A section: its heading, a line that explains it, and its HTML parts"""
    return "".join([f"<h2>{escape(title)}</h2>", f'<p class="pale">{escape(about)}</p>' if about else "", *parts])


def picture(figure: Any, alt: str) -> str:
    """A matplotlib Figure at its own size, with twice the resolution of a screen"""
    width = round(96 * figure.get_figwidth())
    return f'<img alt="{escape(alt)}" style="width: {width}px" src="data:image/png;base64,{b64encode(png(figure, 192)).decode()}"/>'


def html_table(rows: Sequence[Sequence[str]], long: Collection[int] = ()) -> str:
    """A table of HTML cells, the first row the heading. Columns of numbers are right-aligned; the columns in `long` may wrap"""
    numbers = [all(NUMBER.fullmatch(row[i]) for row in rows[1:]) for i in range(len(rows[0]))]
    kind = lambda i: ' class="number"' if numbers[i] else ' class="long"' if i in long else ""
    line = lambda tag, row: "<tr>" + "".join(f"<{tag}{kind(i)}>{cell}</{tag}>" for i, cell in enumerate(row)) + "</tr>"
    return f'<div class="wide"><table class="headed">{line("th", rows[0])}{"".join(line("td", row) for row in rows[1:])}</table></div>'


def bar(share: float, colour: str = TRAIN, most: float = 160) -> str:
    """A bar of `share` times `most` pixels"""
    return f'<span class="bar" style="width: {max(1, round(most * share))}px; background: {colour}"></span>'


def tint(share: float, colour: str = TRAIN, most: float = 0.72) -> str:
    """A colour between white at share 0 and `colour` at 1, limited to `most` so that text on it stays readable"""
    share = most * min(max(float(share), 0.0), 1.0)
    parts = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + share * (part - 255)):02x}" for part in parts)


def shaded(words: Sequence[str], shares: Iterable[float], colour: str = TRAIN, notes: Sequence[str] | None = None,
           small: bool = False, framed: int = -1) -> str:
    """A text with a background colour for each word; a word's note shows when the mouse points at it. Lines break at visible blanks.
    framed: the index of a word with a frame"""
    notes, blank, frame = notes or [""] * len(words), VISIBLE_SIGNS[" "], f"; outline: 1px solid {INK}"
    spans = ("<wbr/>" * (word[:1] == blank != word)
             + f'<span style="background: {tint(share, colour)}{frame * (i == framed)}"' + (f' title="{escape(note)}"' if note else "")
             + f">{escape(word)}</span>" + "<wbr/>" * (word[-1:] == blank)
             for i, (word, share, note) in enumerate(zip(words, shares, notes)))
    return f'<div class="text mono{" small" if small else ""}">{"".join(spans)}</div>'


def visible(token: str) -> str:
    """A token with signs for line breaks, tabs, blanks and characters that cannot be printed; ∅ for an empty one"""
    if token in VISIBLE_SIGNS:
        return VISIBLE_SIGNS[token]
    return "".join(c if c.isprintable() and c != " " else VISIBLE_SIGNS.get(c) or f"\\x{ord(c):02x}" for c in token)
