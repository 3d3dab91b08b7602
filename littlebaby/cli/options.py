"""The options of the commands: one for every setting, in the sections of `plans.sections`, and those of every command."""
import re
from dataclasses import dataclass, make_dataclass
from difflib import get_close_matches
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from ..errors import BadInput, parsed
from ..plans import text_output
from .help import place_in_help, show

WELCOME = """littlebaby: a whole GPT, forward and backward, written by hand.

  littlebaby train                              train on the nursery, in about two minutes
  littlebaby train --input my.txt --n_layers 6  train on your own text
  littlebaby inference last "Once"              generate text with the newest run
  littlebaby info last                          show the card of the newest run
  littlebaby list                               list all runs

`littlebaby --help` lists all commands, `littlebaby train --help` all settings."""


flat = Parameter(name="*")


def option(key, group):
    """A setting as an option, under its own name and with hyphens; `Config` checks its value. The help lists the allowed words if the
    meaning does not explain each of them"""
    words = text_output.allowed(key.name)
    unexplained = [word for word in words if not re.search(rf"\b{word}\b", key.meaning)]
    meaning = f"{key.meaning} Allowed: {', '.join(words)}." if unexplained else key.meaning
    return Annotated[str | None, Parameter(name=(f"--{key.name}", f"--{key.name.replace('_', '-')}"), group=group, help=meaning,
                                           show_default=False)]


groups = {title: (Group(f"Settings: {title}", sort_key=place_in_help), members) for title, members in text_output.sections().items()}
Settings = make_dataclass("Settings", [(key.name, option(key, group), None) for group, members in groups.values() for key in members],
                          kw_only=True, namespace=dict(__module__=__name__))


@dataclass(kw_only=True)
class Common:
    path: Annotated[str | None, Parameter(help="Folder of the workspace; `same` means the current folder [LITTLEBABY_HOME; else the "
                                                    "nearest folder, from the current one up, that is a clone or contains runs; "
                                                    "else the current folder].")] = None
    json: Annotated[bool, Parameter(help="Print one JSON object and nothing else.")] = False


Chosen = Annotated[Settings, flat]  # type: ignore[valid-type]  # a class made at run time
Everywhere = Annotated[Common, flat]
Others = Annotated[str, Parameter(show=False)]        # undeclared options: older names of settings, and mistakes
Text = Annotated[str, Parameter(allow_leading_hyphen=True)]
Whole = Annotated[Any, Parameter(converter=lambda _, tokens: tokens[0].value)]     # the plan checks it
Real = Annotated[Any, Parameter(converter=lambda _, tokens: tokens[0].value)]
OPTIONS = ("input", "chat", "preset", "config", "resume", "encoding", "quiet", "path", "json")

app = App(name="littlebaby", help=WELCOME.splitlines()[0], version=text_output.VERSION, help_formatter=show, help_format="plaintext",
          suppress_keyboard_interrupt=False,
          default_parameter=Parameter(negative=(), name_transform=str,
                                    show_default=lambda value: "" if value is None or value is False or value == "" else f"{value}"))


def given_settings(settings, others):
    """{setting: value} of a command line, numbers as numbers. BadInput: a name that resembles an option's"""
    others = {name.replace("-", "_"): value for name, value in others.items()}
    for name in others:
        near = get_close_matches(name, [*OPTIONS, *text_output.Config.model_fields, *text_output.ALIASES], 1, 0.6)
        if near and near[0] in OPTIONS:
            raise BadInput(f"--{name} is not an option; did you mean --{near[0]}?")
    given = {name: value for name, value in vars(settings).items() if value is not None}
    return {name: number(name, value) for name, value in (given | others).items()}


def number(name, value):
    """The value of a setting, as a number if the setting is one. A text that is not a number is returned unchanged; Config refuses it"""
    field = text_output.Config.model_fields.get(text_output.ALIASES.get(name, name))
    found = parsed(value) if field and field.annotation is not str else None
    return value if found is None else found
