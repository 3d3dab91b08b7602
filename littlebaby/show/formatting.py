"""Numbers in few characters, and tables in plain text."""
import re
from collections.abc import Sequence

from ..text import Tokenizer, spelled_words

NUMBER = re.compile(r"-|[\d.,]*\d(e[+-]?\d+)?%?( ?[kMGTPE]?B?)")


def format_number(number: float) -> str:
    """1234567 as 1.23M"""
    for unit, name in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.3g}"


def format_bytes(number: float) -> str:
    """1234567 bytes as 1.23 MB"""
    text = format_number(number)
    return f"{text[:-1]} {text[-1]}B" if text[-1].isalpha() else f"{text} B"


def format_duration(seconds: float) -> str:
    """Seconds as seconds, minutes, hours or days"""
    if seconds < 0.5:
        return "less than a second"
    if seconds < 90:
        return plural(round(seconds), "second")
    if seconds < 5400:
        return plural(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} hours" if seconds < 172800 else plural(round(seconds / 86400), "day")


def percent(share: float) -> str:
    """A share in percent, rounded down: 100% means all"""
    return f"{int(100 * share)}%"


def plural(number: int, noun: str) -> str:
    """1 layer, 2 layers, 1,000 layers"""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def setting_value(value: object) -> str:
    """The value of a setting as it is written in JSON and on a command line: true, 0.1, mha"""
    return str(value).lower() if isinstance(value, bool) else str(value)


def unknown_in(tokenizer: Tokenizer, text: str) -> str:
    """`unknown_parts` of a text"""
    return unknown_parts(tokenizer.unknown_in(text), spelled_words(tokenizer, text))


def unknown_parts(replaced: dict[str, str], spelled: Sequence[str]) -> str:
    """A line each on the characters and the words of a prompt that are not in the vocabulary, "" where there are none

    replaced   {character: its replacement, "" if dropped}
    spelled    the words that are read as single characters
    """
    lines = [unknown_characters(replaced)] if replaced else []
    if spelled:
        lines.append(f"not in the vocabulary, so read letter by letter: {', '.join(spelled)}")
    return "\n".join(lines)


def unknown_characters(replaced: dict[str, str]) -> str:
    """A sentence on characters that are not in the vocabulary"""
    dropped = [old for old, new in replaced.items() if not new]
    parts = [f"{' '.join(dropped)} {'was' if len(dropped) == 1 else 'were'} dropped"] if dropped else []
    parts += [f"{old} was read as {new}" for old, new in replaced.items() if new]
    return f"unknown characters: {'; '.join(parts)}"


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts as aligned lines, the first row the heading; columns of numbers are right-aligned"""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = [all(NUMBER.fullmatch(row[i]) for row in rows[1:]) for i in range(len(widths))]
    return "\n".join("  ".join(cell.rjust(n) if r else cell.ljust(n) for cell, n, r in zip(row, widths, right)).rstrip()
                     for row in rows)


def align_pairs(pairs: Sequence[tuple[str, str]]) -> str:
    """(name, value) pairs as lines with aligned values; a value of several lines is indented as a whole"""
    wide = max((len(name) for name, _ in pairs), default=0) + 2
    return "\n".join(f"{name:<{wide}}" + value.replace("\n", "\n" + " " * wide) for name, value in pairs)
