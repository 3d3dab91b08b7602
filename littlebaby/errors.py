"""What can go wrong on a user's side, said in one sentence."""
from difflib import get_close_matches


class BadInput(ValueError):
    """The user's input cannot be used: the sentence names the thing, what is allowed and the nearest right one. Exit code 2."""


class RunFailed(RuntimeError):
    """The input was fine and the run failed all the same; what was written stays. Exit code 1."""


def nearest(what, value, allowed):
    """The sentence for a word that is not among the allowed ones.

    >>> nearest("c_attention", "mah", ["mha", "moh"])
    "c_attention is 'mah'; allowed are mha, moh; did you mean mha?"
    """
    allowed = [str(word) for word in allowed]
    close = get_close_matches(str(value)[:60], allowed, 9, 0.5)
    close.sort(key=lambda word: sorted(word) != sorted(str(value)))              # letters that changed places come first
    said = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return f"{what} is {said}; allowed are {', '.join(allowed)}" + (f"; did you mean {close[0]}?" if close else "")
