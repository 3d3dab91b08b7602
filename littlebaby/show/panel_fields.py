"""A form with every setting, made from the records: name, allowed values, meaning. No setting is named here."""
from html import escape

import ipywidgets as widgets

from ..runs.settings import FOLDERS, Config, allowed, keys, prefixes_in_words, sections
from .panel_html import QUIET, WRONG, hint


class Fields:
    """The settings by name (`controls`), all of them to be seen and searched (`view`), and what was changed of them.

    changed: called after every change that a person makes
    """

    def __init__(self, changed):
        self.changed, self.quiet = changed, False
        self.keys = keys()
        self.filled = {key.name: key.default for key in self.keys}
        self.controls = {key.name: control(key) for key in self.keys}
        for each, shown in self.controls.items():
            shown.add_class(f"lb-{each}")
        name = widgets.Layout(width="152px", flex="0 0 auto")
        row = widgets.Layout(align_items="center", overflow="hidden", min_height="34px")
        self.names = {key.name: widgets.HTML(layout=name) for key in self.keys}
        self.rows = {key.name: widgets.HBox([self.names[key.name], self.controls[key.name], meaning(key)], layout=row) for key in self.keys}
        self.groups = widgets.Accordion(selected_index=None)
        self.titles = []
        self.search = widgets.Text(placeholder="find a setting: rate, cache, tokens …", layout=widgets.Layout(width="320px"))
        legend = widgets.HTML(hint(prefixes_in_words()))
        found = widgets.VBox([self.groups])
        self.search.observe(lambda _: setattr(found, "children", self.matching() or [self.groups]), "value")
        self.view = widgets.VBox([self.search, legend, found])
        for each in self.controls.values():
            each.observe(self.on_change, "value")
        self.marked()
        self.arrange()

    def arrange(self):
        """The groups in the order of `sections`, the settings of the chosen variants before those of the others"""
        found = sections({key: self.value(key) for key in FOLDERS})
        if list(found) != self.titles:
            opened = None if self.groups.selected_index is None else self.titles[self.groups.selected_index]
            self.titles = list(found)
            self.groups.selected_index = None
            self.groups.children = [widgets.VBox([self.rows[key.name] for key in members]) for members in found.values()]
            for i, (title, members) in enumerate(found.items()):
                self.groups.set_title(i, f"{title}, {len(members)} setting{'s' * (len(members) > 1)}")
            self.groups.selected_index = None if opened is None else self.titles.index(opened)

    def matching(self):
        """The rows in whose name or meaning the searched words stand; none where nothing is searched"""
        words = self.search.value.lower().split()
        rows = [self.rows[key.name] for key in self.keys if words and all(word in f"{key.name} {key.meaning}".lower() for word in words)]
        return rows or [widgets.HTML(hint("no setting contains these words"))] * bool(words)

    def on_change(self, _change):
        if not self.quiet:
            self.marked()
            self.arrange()
            self.changed()

    def fill(self, settings):
        """Put these values in, the defaults for all others; nothing then counts as changed"""
        self.quiet = True
        try:
            for key in self.keys:
                self.filled[key.name] = settings.get(key.name, key.default)
                value = self.filled[key.name]
                self.controls[key.name].value = str(value) if isinstance(self.controls[key.name], widgets.Text) else value
        finally:
            self.quiet = False
        self.marked()
        self.arrange()

    def changes(self):
        """{setting: value} of those that differ from what was filled in"""
        return {name: value for name in self.filled if (value := self.value(name)) != self.filled[name]}

    def value(self, name):
        """A control's value; a number that was typed into a text is one"""
        value = self.controls[name].value
        for kind in (int, float) if isinstance(value, str) else ():
            try:
                return kind(value)
            except ValueError:
                continue
        return value

    def marked(self):
        """The names, those that were changed in another colour"""
        for name, label in self.names.items():
            mark = f"font-weight:600;{WRONG}" if self.value(name) != self.filled[name] else ""
            label.value = f'<span style="font-family:monospace;font-size:12px;{mark}">{name}</span>'


def control(key):
    """What a setting's type asks for: a choice, a tick, a number, a text"""
    layout = widgets.Layout(width="140px", flex="0 0 auto")
    kind, words = Config.model_fields[key.name].annotation, allowed(key.name)
    if key.name == "c_tokenizer":
        return widgets.Combobox(value=key.default, options=words, layout=layout)         # or the path of a file
    if words:
        return widgets.Dropdown(options=words, value=key.default, layout=layout)
    if kind is bool:
        return widgets.Checkbox(value=key.default, indent=False, layout=layout)
    if kind in (int, float):
        return (widgets.IntText if kind is int else widgets.FloatText)(value=key.default, layout=layout)
    return widgets.Text(value=str(key.default), continuous_update=False, layout=layout)


def meaning(key):
    """What it does, what it may be, what it is by itself"""
    default = str(key.default).lower() if isinstance(key.default, bool) else key.default
    choices = "" if allowed(key.name) else f"{key.allowed} {key.unit}".strip() + "; "
    return widgets.HTML(f'<div style="font-size:12px;line-height:1.3;white-space:normal">{escape(key.meaning)}'
                        f'<div style="{QUIET};font-size:11px">{escape(choices)}default {escape(str(default))}</div></div>',
                        layout=widgets.Layout(flex="1 1 0", margin="0 0 0 10px", min_width="0"))
