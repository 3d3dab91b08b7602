"""Helpers that all tokenizers share: checks of text, ids and files.

A character a tokenizer never saw goes by one rule in all of them: its nearest known form takes its place, or the text is refused.
"""
import json
import unicodedata
from reprlib import repr as short

import numpy as np

from littlebaby.errors import BadInput, nearest

MAX_VOCABULARY = 2 ** 21

# the plain form of characters that Unicode does not take apart itself
PLAIN = {odd: plain for plain, odds in {
    "'": "‘’‚‛′ʼ`´", '"': "“”„‟″«»", "-": "‐‑‒–—―−", " ": "\t\v\f", "\n": "\x85\u2028\u2029",
    "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "d": "đ", "D": "Đ",
}.items() for odd in odds}


# --- unknown characters ---

def plain_character(character):
    """The character without accents and typography: é -> e, “ -> ", … -> ..., ﬁ -> fi; "" for an accent that stands alone."""
    apart = unicodedata.normalize("NFKD", PLAIN.get(character, character))
    return "".join(part for part in apart if not unicodedata.combining(part))


def replacements(strange, known):
    """{character: its nearest known form, or "" where there is none} for every character of `strange`, in order.

    Nearest is, in this order: the other case; the plain form, in its own case and the other; a known character with the same plain
    form (so that ' finds ’ where a text has only that, and α finds ά).
    """
    kin: dict = {}
    for character in sorted(known):
        kin.setdefault(plain_character(character).casefold(), []).append(character)

    def nearest_form(character):
        bare = plain_character(character)
        alike = kin.get(bare.casefold(), []) if bare else []
        same_case_first = sorted(alike, key=lambda other: other.isupper() != character.isupper())
        for form in (character.swapcase(), bare, bare.swapcase(), bare.casefold(), *same_case_first):
            if all(part in known for part in form):
                return form
        return ""

    return {character: nearest_form(character) for character in sorted(strange)}


def replace_unknown(text, known, unknown):
    """The text in known characters only: `unknown` says whether unknown characters are replaced ("replace") or raise BadInput ("error")."""
    strange = set(text) - known
    if strange and unknown == "error":
        first = sorted((text.index(character), character) for character in strange)
        named = ", ".join(f"{character!r} at position {place}" for place, character in first[:5])
        more = f" and {len(first) - 5} more" if len(first) > 5 else ""
        raise BadInput(f"the tokenizer never saw {named}{more}; c_unknown replace takes the nearest known form of each")
    return text.translate(str.maketrans(replacements(strange, known))) if strange else text


def checked_rule(unknown):
    """`unknown`, which must be a rule that exists."""
    if unknown not in ("replace", "error"):
        raise BadInput(nearest("c_unknown", unknown, ["replace", "error"]))
    return unknown


# --- text and ids ---

def checked_text(text):
    """The text, which must hold something and be writable as UTF-8."""
    if not text:
        raise BadInput("the text is empty: there is nothing to learn tokens from")
    return writable(text)


def writable(text):
    """The text, which must be writable as UTF-8: half of a surrogate pair is not a character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"the text has {text[error.start]!r} at position {error.start}, which is no Unicode character") from None
    return text


def begin_of(text, first):
    """What stands before a document of this text: an empty line, else a new line, else the text's own `first` token."""
    return "\n\n" if "\n\n" in text else "\n" if "\n" in text else first


def checked_ids(ids, size):
    """ids as an array (n,) of int64; raises BadInput for one outside 0 … size - 1."""
    ids = np.asarray(ids, dtype=np.int64)
    outside = ids[(ids < 0) | (ids >= size)]
    if outside.size:
        raise BadInput(f"token {outside[0]} is not in the vocabulary, which goes from 0 to {size - 1}")
    return ids


# --- files from outside ---

def jsonl_rows(text):
    """(line number, object) for every line of a JSONL text that is not empty"""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:        # nested a thousand deep is nothing either
                raise BadInput(f"line {number} is not JSON ({str(error)[:80]}); there must be one object a line") from None
            if not isinstance(row, dict):
                raise BadInput(f"line {number} holds {type(row).__name__} where an object belongs")
            yield number, row


def field(record, name, kind):
    """record[name], which must be there and of this Python type."""
    names = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"}
    if not isinstance(record, dict):
        raise BadInput(f"the tokenizer file holds {type(record).__name__} where an object with {name!r} belongs")
    if name not in record:
        raise BadInput(f"the tokenizer file has no {name!r}")
    if type(record[name]) is not kind:
        raise BadInput(f"{name!r} in the tokenizer file must be {names[kind]}, not {short(record[name])}")
    return record[name]


def texts(record, name):
    """record[name], which must be a list of different texts, none of them empty."""
    found = field(record, name, list)
    if len(found) > MAX_VOCABULARY:
        raise BadInput(f"{name!r} in the tokenizer file has {len(found)} entries; at most {MAX_VOCABULARY} are read")
    seen = set()
    for place, text in enumerate(found):
        if type(text) is not str or not text:
            raise BadInput(f"entry {place} of {name!r} in the tokenizer file must be a text that is not empty, not {short(text)}")
        if text in seen:
            raise BadInput(f"{short(text)} occurs twice in {name!r} of the tokenizer file")
        seen.add(writable(text))
    return found
