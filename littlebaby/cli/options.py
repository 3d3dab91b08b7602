"""The options of the commands: one option for every setting, in the sections of `text_output.sections`, and those of every command."""
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

  littlebaby train                              train on the nursery, in about two minutes
  littlebaby train --input my.txt --n_layers 6  train on your own text
  littlebaby inference last --prompt "Once"     generate text with the newest run
  littlebaby info last                          show the card of the newest run
  littlebaby list                               list all runs

`littlebaby --help` lists all commands, `littlebaby train --help` all settings."""


def show(console, _options, panel):
    """Print a group of options or commands of the help: name and meaning in two columns"""
    wide = 26
    if panel.entries:
        print(f"{panel.title}:", file=console.file)
    if panel.title == "Settings: model":
        for sentence in (text_output.prefixes_in_words(), about_defaults(words_of_command.get())):
            print(textwrap.fill(sentence, max(40, get_terminal_size().columns - 2)), file=console.file)
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


def about_defaults(words):
    """What the values in brackets in a command's help mean, in a sentence; words: of the command line"""
    if "finetune" in words:
        return ("The values in brackets are the defaults of a new model. A setting that is not given keeps the value of the base, except "
                "that n_steps or n_epochs is half of the base's, and r_learn a fifth of it (all of it with lora_rank).")
    if "walk" in words:
        return "The values in brackets are the defaults of a training; walk uses a smaller model, with n_emb 8 and n_ctx 16."
    name = dict(zip(words, words[1:])).get("--preset", "nursery")
    changes = text_output.preset(name) if name in text_output.presets() else {}
    given = ", ".join(f"{key} {str(value).lower() if isinstance(value, bool) else value}" for key, value in changes.items())
    return (f"The values in brackets are the defaults without a preset. A preset is used unless --config is given without --preset; the "
            f"default one is nursery. The preset {name} sets {given}.")


def place_in_help(group):
    """Sort key of a section of settings: the variants that the command chooses come before all other variants"""
    return 1 + list(text_output.sections(chosen_variants(words_of_command.get()))).index(group.name.removeprefix("Settings: "))


def chosen_variants(words):
    """{"c_attention": name, ...}: the variants that the words of a command line choose"""
    given = [word.partition("=") for word in words]
    values = {name.lstrip("-").replace("-", "_"): value or following
              for (name, _, value), following in zip(given, (*words[1:], "")) if name.startswith("--")}
    from_preset = text_output.preset(values["preset"]) if values.get("preset") in text_output.presets() else {}
    return {key: value for key, value in {**from_preset, **values}.items() if key in text_output.FOLDERS}


def option(key, group):
    """The option of a setting, with underscores or hyphens in its name; `Config` checks its value"""
    default = str(key.default).lower() if isinstance(key.default, bool) else key.default
    return Annotated[str | None, Parameter(name=(f"--{key.name}", f"--{key.name.replace('_', '-')}"), group=group,
                                           help=f"{key.meaning} [{default}]", show_default=False)]


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
