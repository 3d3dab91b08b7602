"""What can go wrong on a user's side, said in one sentence."""
import re
from difflib import get_close_matches
from numbers import Real

LONGEST = 200     # characters of a word in a sentence; a path or a name out of a file may be longer
MOST = 3000       # characters in all
SEEDS = 2**63 - 1  # the largest seed of a random generator
TOKENS = 10**7    # the most tokens to be written at once


class BadInput(ValueError):
    """The user's input cannot be used: the sentence names the thing, what is allowed and the nearest right one. Exit code 2.

    What a sentence quotes may come out of a hostile file: what no terminal should be sent is written out, and long words are cut.
    """

    def __init__(self, sentence):
        message = re.sub(rf"\S{{{LONGEST},}}", lambda word: f"{word[0][:100]}...{word[0][-60:]}", readable(sentence))
        super().__init__(message if len(message) <= MOST else f"{message[:MOST - 500]} ... {message[-400:]}")


class RunFailed(RuntimeError):
    """The input was fine and the run failed all the same; what was written stays. Exit code 1.

    reason: in two words, as a report keeps it
    """
    reason = "failed"


class NotFinite(RunFailed):
    """No loss or gradient was a finite number for many steps in a row"""
    reason = "not finite"


class WorkerLost(RunFailed):
    """A worker thread did not answer; whole: whether weights and state still are those after a whole step"""
    reason, whole = "worker lost", True


def readable(text):
    """The text with every character that cannot be shown as its code"""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def nearest(what, value, allowed):
    """The sentence for a word that is not among the allowed ones.

    >>> nearest("c_attention", "mah", ["mha", "moh"])
    "c_attention is 'mah'; allowed are mha, moh; did you mean mha?"
    """
    allowed = [str(word) for word in allowed]
    close = get_close_matches(str(value), allowed, 9, 0.5)
    close.sort(key=lambda word: sorted(word) != sorted(str(value)))              # letters that changed places come first
    return f"{what} is {value!r}; allowed are {', '.join(allowed)}" + (f"; did you mean {close[0]}?" if close else "")


def not_a_divisor(name, value, whole_name, whole):
    """The sentence for a number that must divide another one.

    >>> not_a_divisor("n_heads", 5, "head_size", 8)
    'n_heads is 5; allowed are divisors of head_size, 8; did you mean 4?'
    """
    near = min((n for n in range(1, whole + 1) if whole % n == 0), key=lambda n: (abs(n - value), n))
    return f"{name} is {value}; allowed are divisors of {whole_name}, {whole}; did you mean {near}?"


def quoted(value):
    """A value as a sentence quotes it, cut where it is long"""
    try:
        text = repr(value)
    except ValueError:                                           # Python writes no whole number of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def number(name, value, least, most, whole=False, allowed=None):
    """The value as an int (`whole`) or a float, both ends of the range included; every number that a user gives comes through here.

    Numbers of NumPy and texts such as "5" count as numbers, True and False do not. `allowed` says the range in other words.
    BadInput: no number, nan, out of range, a fraction where a whole number is asked for

    >>> number("samples", "2", 1, 8, whole=True)
    2
    """
    found = parsed(value)
    if found is None or not least <= found <= most or (whole and found % 1):
        raise BadInput(out_of_range(name, value, least, most, whole, allowed))
    return int(found) if whole else float(found)


def seeded(value):
    """A seed for a random generator, checked"""
    return number("seed", value, 0, SEEDS, whole=True)


def parsed(value):
    """A number, or a text that spells one, as a number; None for anything else"""
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return value.item() if hasattr(value, "item") else value     # a number of NumPy as one of Python


def out_of_range(name, value, least, most, whole=False, allowed=None):
    """The sentence for a number that `number` refuses: its name, the value, the range, the nearest allowed number"""
    found = parsed(value)
    near = ""
    if found is not None and found == found:
        close = min(max(found, least), most)
        near = f"; did you mean {round(close) if whole else close}?"
    text = allowed or f"{'a whole number' if whole else 'a number'} from {least:,} to {most:,}"
    return f"{name} is {quoted(value if found is None else found)}; allowed is {text}{near}"
