"""What can go wrong on a user's side, said in one sentence."""
import re
from difflib import get_close_matches

LONGEST = 200     # characters of a word in a sentence; a path or a name out of a file may be longer
MOST = 3000       # characters in all


class BadInput(ValueError):
    """The user's input cannot be used: the sentence names the thing, what is allowed and the nearest right one. Exit code 2.

    What a sentence quotes may come out of a hostile file: what no terminal should be sent is written out, and long words are cut.
    """

    def __init__(self, sentence):
        said = re.sub(rf"\S{{{LONGEST},}}", lambda word: f"{word[0][:100]}...{word[0][-60:]}", readable(sentence))
        super().__init__(said if len(said) <= MOST else f"{said[:MOST - 500]} ... {said[-400:]}")


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
