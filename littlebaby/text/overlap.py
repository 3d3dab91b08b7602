"""Memorization: how much of a generated text occurs verbatim in the training text."""
from typing import NamedTuple

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


class Passage(NamedTuple):
    """A passage of a text that the training text contains; `before` and `after` stand around its first occurrence there"""
    text: str
    start: int           # position in the text, characters
    position: int        # of its first occurrence in the training text, characters
    occurrences: int     # in the training text
    before: str
    after: str


def passages(generated: str, source: str, most: int = 5, least: int = 8, context: int = 40) -> list[Passage]:
    """The longest passages of `generated`, at most `most`, that occur in `source`, each not inside another one, the longest first.

    least: characters of the shortest passage      context: characters around the occurrence
    """
    found, end = [], 0
    for start in range(len(generated)):
        longer = end
        while longer < len(generated) and generated[start:longer + 1] in source:
            longer += 1
        if longer - start >= least and longer > end:             # else it lies inside the passage before
            found.append((start, longer))
        end = max(longer, start + 1)
    return [Passage(text := generated[start:stop], start, at := source.find(text), source.count(text), source[max(0, at - context):at],
                    source[at + len(text):at + len(text) + context])
            for start, stop in sorted(found, key=lambda each: each[0] - each[1])[:most]]
