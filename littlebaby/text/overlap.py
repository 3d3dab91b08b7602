"""Memorization: how much of a generated text occurs verbatim in the training text."""

SPAN = 50          # characters: phrases of this length hardly repeat by accident


def longest(generated: str, source: str) -> str:
    """The longest substring of `generated` that occurs in `source`; "" where they have no character in common"""
    start = length = 0
    for i in range(len(generated)):
        while i + length < len(generated) and generated[i:i + length + 1] in source:
            start, length = i, length + 1
    return generated[start:start + length]


def recited(generated: str, source: str, span: int = SPAN) -> float | None:
    """The share of all substrings of `span` characters of `generated` that occur in `source`; None where it is shorter than `span`"""
    pieces = [generated[i:i + span] for i in range(len(generated) - span + 1)]
    return sum(piece in source for piece in pieces) / len(pieces) if pieces else None
