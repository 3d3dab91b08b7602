"""A form with every setting, made from the records: name, allowed values, meaning. No setting is named here.

Every widget costs the notebook a message, and a kernel that trains sends few of them per second: a row is made when it is first seen.
"""
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import ipywidgets as widgets

from ..runs.settings import FOLDERS, Config, Key, allowed, keys, limits, prefixes_in_words, sections
from .formatting import plural, setting_value
from .panel_html import QUIET, WRONG, hint

EXACT = 2**53           # the largest whole number up to which a browser's numbers are exact


class Fields:
    """The settings by name (`values`), all of them to be seen and searched (`view`), and those that differ from what was filled in.

    changed: called after every change that a person makes
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.changed, self.quiet = changed, False
        self.keys = {key.name: key for key in keys()}
        self.filled = {name: key.default for name, key in self.keys.items()}
        self.values = dict(self.filled)
        self.controls, self.names, self.rows = dict[str, Any](), dict[str, Any](), dict[str, Any]()
        self.styles = dict[type, Any]()              # one style for all widgets of a class
        self.layouts = dict(control=widgets.Layout(width="140px", flex="0 0 auto"), name=widgets.Layout(width="152px", flex="0 0 auto"),
                            meaning=widgets.Layout(flex="1 1 240px", margin="0 0 0 10px", min_width="0"),
                            row=widgets.Layout(align_items="center", flex_flow="row wrap", overflow="hidden", min_height="34px"),
                            group=widgets.Layout())
        self.groups = widgets.Accordion(selected_index=None)
        self.titles = list[str]()
        self.members = list[list[Key]]()             # the settings of each group
        self.boxes = list[Any]()                     # where their rows stand
        self.search = widgets.Text(placeholder="find a setting: rate, cache, tokens …", layout=widgets.Layout(width="320px"))
        found = widgets.VBox([self.groups])
        self.search.observe(lambda _: setattr(found, "children", self.matching() or [self.groups]), "value")
        self.groups.observe(lambda _: self.show_group(), "selected_index")
        self.legend = widgets.HTML(hint(prefixes_in_words()))
        self.view = widgets.VBox([self.search, self.legend, found])
        self.arrange()

    def control(self, name: str) -> Any:
        """The widget of a setting"""
        if name not in self.controls:
            made = self.controls[name] = control(self.keys[name], self.values[name], self.layouts["control"])
            made.style = self.styles.setdefault(type(made), made.style)
            made.add_class(f"lb-{name}")
            made.observe(lambda _: self.on_change(name), "value")
        return self.controls[name]

    def row(self, name: str) -> Any:
        """The row of a setting: its name, its widget, its meaning"""
        if name not in self.rows:
            text = lambda value, layout: widgets.HTML(value, layout=self.layouts[layout], style=self.legend.style)
            self.names[name] = text("", "name")
            self.rows[name] = widgets.HBox([self.names[name], self.control(name), text(meaning(self.keys[name]), "meaning")],
                                           layout=self.layouts["row"])
            self.mark()
        return self.rows[name]

    def arrange(self) -> None:
        """The groups in the order of `sections`, the settings of the chosen variants before those of the others"""
        found = {title: members for title, members in sections({key: self.values[key] for key in FOLDERS}).items()
                 if not title.startswith("school")}
        if list(found) != self.titles:
            opened = None if self.groups.selected_index is None else self.titles[self.groups.selected_index]
            self.groups.selected_index = None
            self.titles, self.members = list(found), list(found.values())
            self.boxes += [widgets.VBox([], layout=self.layouts["group"]) for _ in range(len(found) - len(self.boxes))]
            self.groups.children = self.boxes[:len(found)]
            for i, (title, members) in enumerate(found.items()):
                self.groups.set_title(i, f"{title}, {plural(len(members), 'setting')}")
            self.groups.selected_index = None if opened is None else self.titles.index(opened)

    def show_group(self) -> None:
        """Make the rows of the opened group"""
        if self.groups.selected_index is not None:
            opened = self.groups.selected_index
            self.boxes[opened].children = [self.row(key.name) for key in self.members[opened]]

    def matching(self) -> list[Any]:
        """The rows whose name or meaning contains the searched words; [] if nothing is searched"""
        words = self.search.value.lower().split()
        rows = [self.row(name) for name, key in self.keys.items() if words and all(word in f"{name} {key.meaning}".lower()
                                                                                  for word in words)]
        return rows or [widgets.HTML(hint("no setting contains these words"))] * bool(words)

    def on_change(self, name: str) -> None:
        self.values[name] = parsed(self.controls[name].value)
        if not self.quiet:
            self.mark()
            self.arrange()
            self.changed()

    def fill(self, settings: Mapping[str, Any], changes: Mapping[str, Any] | tuple = ()) -> None:
        """Fill in these values, the defaults for all others, and then the changes; only these count as changed"""
        self.filled = {name: settings.get(name, key.default) for name, key in self.keys.items()}
        self.values = self.filled | dict(changes)
        self.quiet = True
        try:
            for name, shown in self.controls.items():
                shown.value = str(self.values[name]) if isinstance(shown, widgets.Text) else self.values[name]
        finally:
            self.quiet = False
        self.mark()
        self.arrange()

    def changes(self) -> dict[str, Any]:
        """{setting: value} of those that differ from what was filled in"""
        return {name: value for name, value in self.values.items() if value != self.filled[name]}

    def mark(self) -> None:
        """Write the names, those of changed settings in another colour"""
        for name, label in self.names.items():
            mark = f"font-weight:600;{WRONG}" if self.values[name] != self.filled[name] else ""
            label.value = f'<span style="font-family:monospace;font-size:12px;{mark}">{name}</span>'


def control(key: Key, value: Any, layout: Any) -> Any:
    """The widget that fits a setting's type: a choice, a checkbox, a number, a text"""
    kind, words = Config.model_fields[key.name].annotation, allowed(key.name)
    if key.name == "c_tokenizer":
        return widgets.Combobox(value=value, options=words, layout=layout)         # or the path of a file
    if words:
        return widgets.Dropdown(options=words, value=value, layout=layout)
    if kind is bool:
        return widgets.Checkbox(value=value, indent=False, layout=layout)
    if kind in (int, float) and (limits(key.name)[1] or 0) <= EXACT:
        return number(value, kind is int, layout=layout)
    return widgets.Text(value=str(value), continuous_update=False, layout=layout)


def number(value: float, whole: bool, **more: Any) -> Any:
    """A widget for a number. ipywidgets' own for whole numbers swallows the point of 2.5 and makes 25 of it"""
    return widgets.FloatText(value=value, step=1 if whole else None, **more)


def parsed(value: Any) -> Any:
    """A widget's value; a text that is a number, and a number that is whole, as such"""
    for kind in (int, float) if isinstance(value, str) else ():
        try:
            return kind(value)
        except ValueError:
            continue
    return int(value) if isinstance(value, float) and value.is_integer() else value


def meaning(key: Key) -> str:
    """What a setting does, its allowed values and its default, as HTML"""
    return (f'<div style="font-size:12px;line-height:1.3;white-space:normal">{escape(key.meaning)}'
            f'<div style="{QUIET};font-size:11px">{escape(range_in_words(key))}</div></div>')


def range_in_words(key: Key) -> str:
    """The allowed values and the default of a setting"""
    choices = "" if allowed(key.name) else f"{key.allowed} {key.unit}".strip() + "; "
    return f"{choices}default {setting_value(key.default)}"
