"""The options of the commands: one for every setting, in the sections of `plans.sections`, and those of every command."""
import textwrap
from contextvars import ContextVar
from dataclasses import dataclass, make_dataclass
from difflib import get_close_matches
from shutil import get_terminal_size
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from ..errors import BadInput, parsed
from ..plans import text_output

WELCOME = """littlebaby: a whole GPT, forward and backward, written by hand.

  littlebaby train                              train on the nursery's stories, in about two minutes
  littlebaby train --input my.txt --n_layers 6  train on a text of yours
  littlebaby inference last --prompt "Once"     generate text with the newest run
  littlebaby info last                          show its card
  littlebaby list                               list all runs

`littlebaby --help` lists every command, `littlebaby train --help` every setting."""


def show(console, _options, panel):
    """A group of options or commands in the help: name and meaning in two columns"""
    wide = 26
    if panel.entries:
        print(f"{panel.title}:", file=console.file)
    if panel.title == "Settings: model":
        print(textwrap.fill(text_output.prefixes_in_words(), max(40, get_terminal_size().columns - 2)), file=console.file)
    for entry in panel.entries:
        name = entry.positional_label or next(iter(entry.positive_names + entry.positive_shorts), "")
        meaning = "".join(segment.text for segment in console.render(entry.description or ""))
        default = f" [{entry.default}]" if entry.default else ""
        lines = textwrap.wrap(f"{' '.join(meaning.split())}{default}", max(30, get_terminal_size().columns - wide - 4))
        gap = [""] if len(name) >= wide else []
        print(f"  {name:<{wide}}" + f"\n{'':<{wide + 2}}".join(gap + lines), file=console.file)
    print(file=console.file)


flat = Parameter(name="*")
words_of_command: ContextVar[tuple[str, ...]] = ContextVar("words_of_command", default=())


def place_in_help(group):
    """The settings of the variants that the command chooses stand before those of the others"""
    return 1 + list(text_output.sections(chosen_variants(words_of_command.get()))).index(group.name.removeprefix("Settings: "))


def chosen_variants(words):
    """{"c_attention": name, ...} as far as the words of a command line say"""
    given = [word.partition("=") for word in words]
    values = {name.lstrip("-").replace("-", "_"): value or following
              for (name, _, value), following in zip(given, (*words[1:], "")) if name.startswith("--")}
    from_preset = text_output.preset(values["preset"]) if values.get("preset") in text_output.presets() else {}
    return {key: value for key, value in {**from_preset, **values}.items() if key in text_output.FOLDERS}


def option(key, group):
    """A setting as an option, under its own name and with hyphens; `Config` checks its value"""
    default = str(key.default).lower() if isinstance(key.default, bool) else key.default
    return Annotated[str | None, Parameter(name=(f"--{key.name}", f"--{key.name.replace('_', '-')}"), group=group,
                                           help=f"{key.meaning} [{default}]", show_default=False)]


groups = {title: (Group(f"Settings: {title}", sort_key=place_in_help), members) for title, members in text_output.sections().items()}
Settings = make_dataclass("Settings", [(key.name, option(key, group), None) for group, members in groups.values() for key in members],
                          kw_only=True, namespace=dict(__module__=__name__))


@dataclass(kw_only=True)
class Common:
    path: Annotated[str | None, Parameter(help="The workspace; same: the current folder [LITTLEBABY_HOME, else the nearest folder from the "
                                                    "current one up that is a clone or has runs, else the current one].")] = None
    json: Annotated[bool, Parameter(help="Print one JSON object and nothing else.")] = False


Chosen = Annotated[Settings, flat]  # type: ignore[valid-type]  # a class made at run time
Everywhere = Annotated[Common, flat]
Others = Annotated[str, Parameter(show=False)]        # names that are no option's: older names of settings, and mistakes
Text = Annotated[str, Parameter(allow_leading_hyphen=True)]
Whole = Annotated[Any, Parameter(converter=lambda _, tokens: tokens[0].value)]      # a number is checked by the plan, `errors.number`
Real = Annotated[Any, Parameter(converter=lambda _, tokens: tokens[0].value)]
OPTIONS = ("input", "chat", "preset", "config", "resume", "encoding", "quiet", "path", "json")

app = App(name="littlebaby", help=WELCOME.splitlines()[0], version=text_output.VERSION, help_formatter=show, help_format="plaintext",
          suppress_keyboard_interrupt=False,
          default_parameter=Parameter(negative=(), name_transform=str,
                                    show_default=lambda value: "" if value is False or value == "" else value))


def given_settings(settings, others):
    """The settings that were given, numbers as numbers. BadInput: a name that is nearly an option's"""
    others = {name.replace("-", "_"): value for name, value in others.items()}
    for name in others:
        near = get_close_matches(name, [*OPTIONS, *text_output.Config.model_fields, *text_output.ALIASES], 1, 0.6)
        if near and near[0] in OPTIONS:
            raise BadInput(f"--{name} is not an option; did you mean --{near[0]}?")
    given = {name: value for name, value in vars(settings).items() if value is not None}
    return {name: number(name, value) for name, value in (given | others).items()}


def number(name, value):
    """A setting's text as a number where it is to be one; what is none stays as it is, for Config to refuse"""
    field = text_output.Config.model_fields.get(text_output.ALIASES.get(name, name))
    found = parsed(value) if field and field.annotation is not str else None
    return value if found is None else found
