"""Is it learning or reciting? How much of a written text stands word for word in the text it learned from."""

SPAN = 50          # characters: longer than chance repeats a phrase


def longest(written, source):
    """The longest piece of `written` that occurs in `source`; "" if no character does"""
    start = length = 0
    for i in range(len(written)):
        while i + length < len(written) and written[i:i + length + 1] in source:
            start, length = i, length + 1
    return written[start:start + length]


def recited(written, source, span=SPAN):
    """The share of all `span` characters long pieces of `written` that occur in `source`; None if it is shorter than one"""
    pieces = [written[i:i + span] for i in range(len(written) - span + 1)]
    return sum(piece in source for piece in pieces) / len(pieces) if pieces else None
