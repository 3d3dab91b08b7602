"""What can go wrong on a user's side, said in one sentence."""
from difflib import get_close_matches


class BadInput(ValueError):
    """The user's input cannot be used: the sentence names the thing, what is allowed and the nearest right one. Exit code 2."""


class RunFailed(RuntimeError):
    """The input was fine and the run failed all the same; what was written stays. Exit code 1."""


def nearest(what, value, allowed):
    """The sentence for a word that is not among the allowed ones.

    >>> nearest("c_attention", "mah", ["gqa", "mha"])
    "c_attention is 'mah'; allowed are gqa, mha; did you mean mha?"
    """
    allowed = [str(word) for word in allowed]
    close = get_close_matches(str(value), allowed, 3, 0.5)
    close.sort(key=lambda word: sorted(word) != sorted(str(value)))          # letters that changed places first
    return f"{what} is {value!r}; allowed are {', '.join(allowed)}" + (f"; did you mean {close[0]}?" if close else "")
