"""Memorization: how much of a generated text occurs verbatim in the training text."""

SPAN = 50          # characters: phrases of this length hardly repeat by accident


def longest(generated: str, source: str) -> str:
    """The longest substring of `generated` that occurs in `source`; "" where they have no character in common"""
    start = length = 0
    for i in range(len(generated)):
        while i + length < len(generated) and generated[i:i + length + 1] in source:
            start, length = i, length + 1
    return generated[start:start + length]


def copied(generated: str, source: str, span: int = SPAN) -> list[bool]:
    """Which characters of `generated` lie in a passage of `span` characters or more that occurs in `source`"""
    marks = [False] * len(generated)
    for i in range(len(generated) - span + 1):
        if generated[i:i + span] in source:
            marks[i:i + span] = [True] * span
    return marks


def copied_share(generated: str, source: str, span: int = SPAN) -> float | None:
    """The share of characters that `copied` marks; None for an empty text"""
    return sum(copied(generated, source, span)) / len(generated) if generated else None
