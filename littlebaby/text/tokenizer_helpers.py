"""Helpers that all tokenizers share: checks of texts, ids and files.

All tokenizers treat an unknown character by one rule: its nearest known form replaces it, or the text is refused.
"""
import json
import unicodedata
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from littlebaby.errors import BadInput, nearest

MAX_VOCABULARY = 2 ** 21     # tokens

# the plain form of characters that Unicode does not decompose
PLAIN = {odd: plain for plain, odds in {
    "'": "‘’‚‛′ʼ`´", '"': "“”„‟″«»", "-": "‐‑‒–—―−", " ": "\t\v\f", "\n": "\x85\u2028\u2029",
    "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "d": "đ", "D": "Đ",
}.items() for odd in odds}


# --- unknown characters ---

def plain_character(character: str) -> str:
    """The character without accents and typography: é -> e, “ -> ", … -> ..., ﬁ -> fi; "" for a combining accent."""
    decomposed = unicodedata.normalize("NFKD", PLAIN.get(character, character))
    return "".join(part for part in decomposed if not unicodedata.combining(part))


def replacements(unknown: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """{character: its nearest known form, or "" where there is none} for every unknown character, sorted.

    The nearest form is the first of these that is known: the other case; the plain form, in its own case and the other; a known character
    with the same plain form (so ' becomes ’ where a text has only that, and α becomes ά).
    """
    by_plain_form: dict[str, list[str]] = {}
    for character in sorted(known):
        by_plain_form.setdefault(plain_character(character).casefold(), []).append(character)

    def nearest_form(character):
        plain = plain_character(character)
        alike = by_plain_form.get(plain.casefold(), []) if plain else []
        same_case_first = sorted(alike, key=lambda other: other.isupper() != character.isupper())
        for form in (character.swapcase(), plain, plain.swapcase(), plain.casefold(), *same_case_first):
            if all(part in known for part in form):
                return form
        return ""

    return {character: nearest_form(character) for character in sorted(unknown)}


def replace_unknown(text: str, known: frozenset[str], rule: str) -> str:
    """The text in known characters only: each unknown one is replaced (rule "replace") or raises BadInput (rule "error")."""
    unknown = set(text) - known
    if unknown and rule == "error":
        first = sorted((text.index(character), character) for character in unknown)
        named = ", ".join(f"{character!r} at position {position}" for position, character in first[:5])
        more = f" and {len(first) - 5} more" if len(first) > 5 else ""
        raise BadInput(f"the tokenizer does not know {named}{more}; c_unknown replace takes the nearest known form of each")
    return text.translate({ord(c): form for c, form in replacements(unknown, known).items()}) if unknown else text


def checked_rule(unknown: str) -> str:
    """`unknown`. BadInput unless it is "replace" or "error"."""
    if unknown not in ("replace", "error"):
        raise BadInput(nearest("c_unknown", unknown, ["replace", "error"]))
    return unknown


# --- text and ids ---

def checked_text(text: str) -> str:
    """The text. BadInput where it is empty, or cannot be written as UTF-8."""
    if not text:
        raise BadInput("the text is empty: there is nothing to learn tokens from")
    return writable(text)


def writable(text: str) -> str:
    """The text. BadInput where it cannot be written as UTF-8: half of a surrogate pair is not a character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"the text has {text[error.start]!r} at position {error.start}, which is no Unicode character") from None
    return text


def begin_of(text: Container[str], first: str) -> str:
    """What separates the documents of a text: an empty line where it has one, else a new line, else `first`, its first token."""
    return "\n\n" if "\n\n" in text else "\n" if "\n" in text else first


def checked_ids(ids: ArrayLike, size: int) -> np.ndarray:
    """ids as an array (n,) of int64. BadInput for one outside 0 … size - 1."""
    ids = np.asarray(ids, dtype=np.int64)
    outside = ids[(ids < 0) | (ids >= size)]
    if outside.size:
        raise BadInput(f"token {outside[0]} is not in the vocabulary, which goes from 0 to {size - 1}")
    return ids


# --- files ---

def jsonl_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) for every line of a JSONL text that is not empty. BadInput names a line that is not an object"""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:        # RecursionError: nested too deep
                where = f"{error.msg.lower()}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "nested too deep"
                raise BadInput(f"line {number} is not JSON ({where}); every line must hold one object") from None
            if not isinstance(row, dict):
                raise BadInput(f"line {number} holds a value of type {type(row).__name__}; every line must hold one object")
            yield number, row


def field(record: Any, name: str, kind: type) -> Any:
    """record[name] of the object of a tokenizer file. BadInput where it is missing or of another Python type than `kind`."""
    names = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"}
    if not isinstance(record, dict):
        raise BadInput(f"the tokenizer file holds a value of type {type(record).__name__}; it must hold an object with {name!r}")
    if name not in record:
        raise BadInput(f"the tokenizer file has no {name!r}")
    if type(record[name]) is not kind:
        raise BadInput(f"{name!r} in the tokenizer file must be {names[kind]}, not {short(record[name])}")
    return record[name]


def texts(record: Any, name: str) -> list[str]:
    """record[name]. BadInput unless it is a list of different texts, none of them empty."""
    found = field(record, name, list)
    if len(found) > MAX_VOCABULARY:
        raise BadInput(f"{name!r} in the tokenizer file has {len(found)} entries; at most {MAX_VOCABULARY} are read")
    seen = set()
    for position, text in enumerate(found):
        if type(text) is not str or not text:
            raise BadInput(f"entry {position} of {name!r} in the tokenizer file must be a text that is not empty, not {short(text)}")
        if text in seen:
            raise BadInput(f"{short(text)} occurs twice in {name!r} of the tokenizer file")
        seen.add(writable(text))
    return found


def unknown_fields(number: int, row: Mapping[str, Any], allowed: str) -> str:
    """The sentence for a row of a JSONL text whose fields are not those of a known format. number: its line"""
    names = ", ".join(map(repr, [*row][:6]))
    found = f"the field {names}" if len(row) == 1 else f"the fields {names}" if row else "no fields"
    return f"line {number} has {found}; allowed are rows with {allowed}"
