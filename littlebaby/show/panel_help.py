"""Help in a panel: a sentence on the setting at which the pointer or the focus is, and what the chosen attention and network do.

The sentences change by CSS alone, because a notebook runs no script of ours: all of them lie at one place, and one is visible.
"""
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np

from ..check.variant_measures import influence, response
from ..model.context import variant
from ..runs.settings import Key
from . import catalog
from .charts import GRAY, PALE, TRAIN, png
from .formatting import setting_value
from .panel_html import QUIET
from .panel_job import start_thread
from .variant_pictures import LINES, squares

TOKENS = 24             # in the picture of an attention
ABOUT_INPUTS = dict(preset="A named set of settings; choosing one fills in all fields.",
                    text="The training text: a file, or a name in inputs/; for a finetune also conversations, a .jsonl file.")
CAPTIONS = dict(attentions="measured: a row is a token, a column a token before it; darker: it has more influence",
                networks=f"measured: {LINES} outputs for one token scaled from -4 to 4")


class Help:
    """`view` shows one of the sentences {name: text}: that of the widget at which the pointer is, else that of the one with the focus.
    lines: the lines for which there is room, so that nothing moves when the sentence changes"""

    def __init__(self, sentences: Mapping[str, str], lines: int) -> None:
        self.sentences = sentences
        rules = "".join(
            f".lb-panel:has(.lb-for-{name}:hover) .lb-on-{name},"
            f".lb-panel:has(.lb-for-{name}:focus-within):not(:has(.lb-for:hover)) .lb-on-{name}{{display:block}}" for name in sentences)
        items = "".join(f'<div class="lb-sentence lb-on-{name}"><b>{name}</b> {escape(text)}</div>' for name, text in sentences.items())
        self.view = widgets.HTML(
            f"<style>.lb-sentence{{display:none}}{rules}"
            f".lb-panel:has(.lb-for:hover,.lb-for:focus-within) .lb-nothing{{display:none}}</style>"
            f'<div class="lb-help" style="font-size:12px;line-height:1.4;min-height:{1.4 * lines}em;{QUIET}">{items}'
            f'<div class="lb-nothing">Point at a setting, or click into it, to read what it does.</div></div>')

    def label(self, name: str) -> str:
        """The name of a setting, with its sentence as the tooltip"""
        return f'<div style="text-align:right;font-size:13px" title="{escape(self.sentences[name])}">{name}</div>'

    def follow(self, name: str, shown: Any, control: Any = None) -> None:
        """Show the sentence of `name` while the pointer or the focus is in the widget `shown`, and as the tooltip of its control"""
        control = control or shown
        shown.add_class("lb-for")
        shown.add_class(f"lb-for-{name}")
        setattr(control, "tooltip" if control.has_trait("tooltip") else "description_tooltip", self.sentences[name])


def setting_help(key: Key) -> str:
    """What a setting does, its allowed values and its default"""
    words = f"{key.allowed} {key.unit}".strip()
    return f"{key.meaning} {words[0].upper()}{words[1:]}; default {setting_value(key.default)}."


class About:
    """What a variant does, in a sentence and a small picture; `view` is the widget. folder: attentions or networks"""

    def __init__(self, folder: str) -> None:
        self.folder, self.name = folder, ""
        self.view = widgets.HTML(layout=widgets.Layout(flex="1 1 250px", min_width="0"))

    def show(self, name: str) -> None:
        """Show the sentence at once, and the picture as soon as it is measured"""
        if name != self.name:
            self.name = name
            self.view.value = about_html(self.folder, name, b"")
            start_thread(lambda: self.draw(name))

    def draw(self, name: str) -> None:
        drawn = small_picture(self.folder, name)
        if name == self.name:
            self.view.value = about_html(self.folder, name, drawn)


def about_html(folder: str, name: str, drawn: bytes) -> str:
    """The full name of a variant, its idea and its picture"""
    title, idea, *_ = catalog.reading(variant(folder, name))
    place = 'style="width:96px;height:96px;flex:0 0 auto;border-radius:4px"'
    image = (f'<img class="lb-about" alt="{escape(CAPTIONS[folder])}" src="data:image/png;base64,{b64encode(drawn).decode()}" {place}/>'
             if drawn else f"<div {place}></div>")
    return (f'<div style="display:flex;gap:10px;align-items:flex-start;line-height:1.35">{image}<div style="font-size:12px;min-width:0">'
            f"<b>{escape(name)}</b>, {escape(title)}. {escape(idea.replace('`', ''))}"
            f'<div style="font-size:11px;{QUIET}">{escape(CAPTIONS[folder])}</div></div></div>')


@cache
def small_picture(folder: str, name: str) -> bytes:
    """PNG bytes: an attention's influence of tokens on tokens, or a network's outputs for a scaled input"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1), facecolor="white")
    axes = figure.add_axes((0.06, 0.06, 0.88, 0.88))
    if folder == "attentions":
        squares(axes, influence(folder, name, TOKENS), "")
    else:
        size, y = response(folder, name)
        for i in range(LINES):
            axes.plot(size, y[:, i], color=TRAIN, lw=1, alpha=1 - 0.12 * i)
        axes.axhline(0, color=PALE, lw=0.6)
        axes.axvline(0, color=PALE, lw=0.6)
        axes.set_ylim(*np.array((-1.08, 1.08)) * np.abs(y[:, :LINES]).max())
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(GRAY)
    axes.spines[:].set_linewidth(0.4)
    return png(figure, 192)
