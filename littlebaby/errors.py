"""The errors that a user can cause, each with a message of one sentence, and the checks of numbers that the user gives."""
import re
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Real
from typing import Any

LONGEST = 200     # characters of a word in a message; a path or a name from a file may be longer
MOST = 3000       # characters of a message
SEEDS = 2**63 - 1  # the largest seed of a random generator
TOKENS = 10**7    # the most tokens of one generation


class BadInput(ValueError):
    """The user's input cannot be used: the sentence names the thing, the allowed values and the nearest of them. Exit code 2.

    A sentence may quote a hostile file: control characters, which a terminal might execute, become escape codes; long words are shortened.
    """

    def __init__(self, sentence: str) -> None:
        message = re.sub(rf"\S{{{LONGEST},}}", lambda word: f"{word[0][:100]}...{word[0][-60:]}", readable(sentence))
        super().__init__(message if len(message) <= MOST else f"{message[:MOST - 500]} ... {message[-400:]}")


class RunFailed(RuntimeError):
    """The input was valid and the run failed nevertheless; the files that it wrote stay. Exit code 1.

    reason: one or two words, for the report
    """
    reason = "failed"


class NotFinite(RunFailed):
    """No loss or gradient was a finite number for many steps in a row"""
    reason = "not finite"


class WorkerLost(RunFailed):
    """A worker thread did not answer; whole: whether weights and optimizer state are still those after a complete step"""
    reason, whole = "worker lost", True


def readable(text: str) -> str:
    """The text with every character that cannot be displayed replaced by its escape code"""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def nearest(what: str, value: object, allowed: Iterable[object]) -> str:
    """The sentence for a word that is not among the allowed ones

    >>> nearest("c_attention", "mah", ["mha", "moh"])
    "c_attention is 'mah'; allowed are mha, moh; did you mean mha?"
    """
    words = [str(word) for word in allowed]
    close = get_close_matches(str(value), words, 9, 0.5)
    # a word of the same letters comes first, then one that differs only in its number, by so little: fp16 for fp8
    close.sort(key=lambda word: (sorted(word) != sorted(str(value)), difference(word, str(value))))
    return f"{what} is {value!r}; allowed are {', '.join(words)}" + (f"; did you mean {close[0]}?" if close else "")


def difference(word: str, other: str) -> float:
    """The difference of the numbers in two words that are equal otherwise, infinite where they are not"""
    if re.sub(r"\d+", "#", word) != re.sub(r"\d+", "#", other):
        return float("inf")
    return sum(abs(int(a) - int(b)) for a, b in zip(re.findall(r"\d+", word), re.findall(r"\d+", other)))


def not_a_divisor(name: str, value: int, whole_name: str, whole: int) -> str:
    """The sentence for a number that must divide another one.

    >>> not_a_divisor("n_heads", 5, "head_size", 8)
    'n_heads is 5; allowed are divisors of head_size, 8; did you mean 4?'
    """
    near = min((n for n in range(1, whole + 1) if whole % n == 0), key=lambda n: (abs(n - value), n))
    return f"{name} is {value}; allowed are divisors of {whole_name}, {whole}; did you mean {near}?"


def quoted(value: object) -> str:
    """A value as a sentence quotes it, shortened to 60 characters"""
    try:
        text = repr(value)
    except ValueError:                                           # Python converts no int of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def number(name: str, value: Any, least: float, most: float, whole: bool = False, allowed: str | None = None) -> Any:
    """The value as an int if `whole`, else as a float, checked against the range, both ends included; for every number that a user gives

    Numbers of NumPy and texts such as "5" count as numbers, True and False do not. allowed: the range in words, for the error.
    BadInput: not a number, NaN, out of range, or a fraction where a whole number is required.

    >>> number("samples", "2", 1, 8, whole=True)
    2
    """
    found = parsed(value)
    if found is None or not least <= found <= most or (whole and found % 1):
        raise BadInput(out_of_range(name, value, least, most, whole, allowed))
    return int(found) if whole else float(found)


def seeded(value: Any) -> int:
    """A seed for a random generator. BadInput: not a whole number from 0 to SEEDS"""
    return number("seed", value, 0, SEEDS, whole=True)


def parsed(value: Any) -> Any:
    """The int or float of a number or of a text such as "5"; None for anything else"""
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return value.item() if hasattr(value, "item") else value     # a NumPy scalar as a Python number


def out_of_range(name: str, value: Any, least: float, most: float, whole: bool = False, allowed: str | None = None) -> str:
    """The sentence for a number that `number` refuses: its name, the value, the range, the nearest allowed number"""
    found = parsed(value)
    near = ""
    if found is not None and found == found:
        close = min(max(found, least), most)
        near = f"; did you mean {round(close) if whole else close}?"
    text = allowed or f"{'a whole number' if whole else 'a number'} from {least:,} to {most:,}"
    return f"{name} is {quoted(value if found is None else found)}; allowed is {text}{near}"
