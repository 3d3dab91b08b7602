"""The help of the commands: options in two columns, settings in the sections of `plans.text_output.sections`, with their defaults.

The help shows what the command would do: the default of a setting is that of the preset on the command line, and the settings of the
variants that it chooses stand before those of the others.
"""
import textwrap
from contextvars import ContextVar
from functools import cached_property
from shutil import get_terminal_size

from ..errors import BadInput
from ..plans import text_output

WIDE = 26            # columns of names
WITH_SCHOOL = ("training", "optimizer", "device", "output")      # first words of the sections that concern `school`, beside its own


class Help:
    """What the help of one command line shows of the settings; read and derived once, when the help is asked for"""

    def __init__(self, words=()):
        self.words, self.command, self.given = words, words[0] if words else "", options_given(words)

    @cached_property
    def defaults(self):
        """({setting: the value that the command would use}, a sentence that says whose values they are)"""
        command, given = self.command, self.given
        if command == "finetune":
            return {}, ("A setting that is not given has the base run's value, with two exceptions: n_steps, or n_epochs without n_steps, "
                        "is half of the base's, and r_learn, except with LoRA, a fifth of it.")
        if command == "school":
            return text_output.school_defaults(), "A setting without a value in brackets has the base run's value."
        if command == "walk":
            return {}, "A setting that is not given has a value small enough to read."
        file = given.get("config", "")
        text = given.get("input") or [word for word in self.words[1:2] if not word.startswith("-")]
        name = given.get("preset", "" if file else text_output.default_preset(text))
        try:
            chosen = text_output.make_config(name or None, file or None).model_dump(exclude_unset=True)
        except BadInput:                                         # the command itself refuses it
            name, file, chosen = "nursery", "", text_output.preset("nursery")
        standard = {key: field.default for key, field in text_output.Config.model_fields.items()}
        whose = " and ".join(filter(None, [name and f"preset {name}", file]))
        other = "" if "preset" in given else "; `--preset NAME --help` shows those of another preset"
        return standard | chosen, f"The values in brackets are those of {whose}, used for settings that are not given{other}."

    @cached_property
    def titles(self):
        """The titles of the sections that concern the command, in their order: the variants that it chooses before all others"""
        chosen = {**self.defaults[0], **self.given}
        titles = text_output.sections({key: value for key, value in chosen.items() if key in text_output.FOLDERS})
        own, others = ([title for title in titles if (title.split()[0] == "school") is is_own] for is_own in (True, False))
        return [*own, *(title for title in others if title.split()[0] in WITH_SCHOOL)] if self.command == "school" else others


help_of_command: ContextVar[Help | None] = ContextVar("help_of_command", default=None)


def show(console, _options, panel):
    """Print a group of options or commands: name and meaning in two columns"""
    settings = panel.title.startswith("Settings: ")
    titles = current_help().titles if settings else []
    if settings and panel.title.removeprefix("Settings: ") not in titles:
        return
    if panel.entries:
        print(f"{panel.title}:", file=console.file)
    values, about = current_help().defaults if settings else ({}, "")
    if settings and panel.title == f"Settings: {titles[0]}":
        for note in (text_output.prefixes_in_words(), about):
            print(textwrap.fill(note, max(40, get_terminal_size().columns - 2)), file=console.file)
    for entry in panel.entries:
        name = entry.positional_label or next(iter(entry.positive_names + entry.positive_shorts), "")
        meaning = "".join(segment.text for segment in console.render(entry.description or ""))
        default = text_output.setting_value(values[name[2:]]) if name[2:] in values else entry.default
        lines = textwrap.wrap(" ".join(meaning.split()) + f" [{default}]" * bool(default), max(30, get_terminal_size().columns - WIDE - 4))
        gap = [""] if len(name) >= WIDE else []
        print(f"  {name:<{WIDE}}" + f"\n{'':<{WIDE + 2}}".join(gap + lines), file=console.file)
    print(file=console.file)


def options_given(words):
    """{option: its text} of a command line, hyphens as underscores"""
    given = [word.partition("=") for word in words]
    return {name.lstrip("-").replace("-", "_"): value or following
            for (name, _, value), following in zip(given, (*words[1:], "")) if name.startswith("--")}


def current_help():
    """The Help of the command line that runs"""
    return help_of_command.get() or Help()


def place_in_help(group):
    """Where a section stands in the help; 0 is the command's own options"""
    titles, title = current_help().titles, group.name.removeprefix("Settings: ")
    return 1 + (titles.index(title) if title in titles else len(titles))
