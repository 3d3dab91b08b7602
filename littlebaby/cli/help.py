"""The help of the commands: options in two columns, settings in the sections of `plans.text_output.sections`, with their defaults.

The help shows what the command would do: the default of a setting is that of the preset on the command line, and the settings of the
variants that it chooses stand before those of the others.
"""
import textwrap
from contextvars import ContextVar
from shutil import get_terminal_size

from ..errors import BadInput
from ..plans import text_output

WIDE = 26            # columns of names
words_of_command: ContextVar[tuple[str, ...]] = ContextVar("words_of_command", default=())


def show(console, _options, panel):
    """Print a group of options or commands: name and meaning in two columns"""
    settings = panel.title.startswith("Settings: ")
    if panel.entries:
        print(f"{panel.title}:", file=console.file)
    values, about = defaults(words_of_command.get()) if settings else ({}, "")
    if panel.title == "Settings: model":
        for note in (text_output.prefixes_in_words(), about):
            print(textwrap.fill(note, max(40, get_terminal_size().columns - 2)), file=console.file)
    for entry in panel.entries:
        name = entry.positional_label or next(iter(entry.positive_names + entry.positive_shorts), "")
        meaning = "".join(segment.text for segment in console.render(entry.description or ""))
        default = in_words(values[name[2:]]) if name[2:] in values else entry.default
        lines = textwrap.wrap(" ".join(meaning.split()) + f" [{default}]" * bool(default), max(30, get_terminal_size().columns - WIDE - 4))
        gap = [""] if len(name) >= WIDE else []
        print(f"  {name:<{WIDE}}" + f"\n{'':<{WIDE + 2}}".join(gap + lines), file=console.file)
    print(file=console.file)


def defaults(words):
    """({setting: the value that the command would use}, a sentence that says whose values they are)"""
    command, given = words[0] if words else "", options_given(words)
    if command == "finetune":
        return {}, "A setting that is not given has the base run's value; half its steps or epochs, and a fifth of its r_learn."
    if command == "walk":
        return {}, "A setting that is not given has a value small enough to read."
    file = given.get("config", "")
    name = given.get("preset", "" if file else "nursery")
    try:
        chosen = text_output.make_config(name or None, file or None).model_dump(exclude_unset=True)
    except BadInput:                                             # the command itself refuses it
        name, file, chosen = "nursery", "", text_output.preset("nursery")
    standard = {key: field.default for key, field in text_output.Config.model_fields.items()}
    whose = " and ".join(filter(None, [name and f"preset {name}", file]))
    other = "" if "preset" in given else "; `--preset NAME --help` shows those of another preset"
    return standard | chosen, f"The values in brackets are those of {whose}, used for settings that are not given{other}."


def in_words(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def options_given(words):
    """{option: its text} of a command line, hyphens as underscores"""
    given = [word.partition("=") for word in words]
    return {name.lstrip("-").replace("-", "_"): value or following
            for (name, _, value), following in zip(given, (*words[1:], "")) if name.startswith("--")}


def place_in_help(group):
    """The settings of the variants that the command chooses stand before those of the others"""
    words = words_of_command.get()
    chosen = {**defaults(words)[0], **options_given(words)}
    order = list(text_output.sections({key: value for key, value in chosen.items() if key in text_output.FOLDERS}))
    return 1 + order.index(group.name.removeprefix("Settings: "))
