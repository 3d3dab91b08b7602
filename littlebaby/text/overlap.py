"""Memorization: how much of a generated text occurs verbatim in the training text."""
from typing import NamedTuple

import numpy as np

SPAN = 50                        # characters: phrases of this length hardly repeat by accident
CHUNK = 2**22                    # characters of the training text whose fingerprints are computed at a time
BASE = 0x5DEECE66D1F3A4B7        # of the fingerprints, odd


def longest(generated: str, source: str) -> str:
    """The longest substring of `generated` that occurs in `source`; "" where they have no character in common

    Its length is found by bisection: where a passage of n characters occurs, its first n - 1 occur, too.
    """
    start, length, beyond = 0, 0, len(generated) + 1             # a passage of `length` occurs, none of `beyond`
    while beyond - length > 1:
        middle = min((length + beyond) // 2, 2 * length + SPAN)
        found = np.flatnonzero(occurring(generated, source, middle))
        if len(found):
            start, length = int(found[0]), middle
        else:
            beyond = middle
    return generated[start:start + length]


def copied(generated: str, source: str, span: int = SPAN) -> list[bool]:
    """Which characters of `generated` lie in a passage of `span` characters or more that occurs in `source`"""
    begins = np.concatenate([occurring(generated, source, span), np.zeros(min(span - 1, len(generated)), bool)])
    before = np.concatenate([np.zeros(span, int), np.cumsum(begins)])            # number of such passages that begin before each place
    return (before[span:] > before[:-span]).tolist()


def occurring(generated: str, source: str, n: int) -> np.ndarray:
    """(len(generated) - n + 1,): which of the passages of n characters of `generated` occur in `source`. They are compared by their
    fingerprints, of which two different passages have the same one with a probability of about 1 in 10^19"""
    wanted, at = np.unique(fingerprints(generated, n), return_inverse=True)
    found = np.zeros(len(wanted), bool)
    for first in range(0, len(source) - n + 1 if len(wanted) else 0, CHUNK):
        prints = fingerprints(source[first:first + CHUNK + n - 1], n)
        place = np.minimum(np.searchsorted(wanted, prints), len(wanted) - 1)
        found[place[wanted[place] == prints]] = True
    return found[at]


def fingerprints(text: str, n: int) -> np.ndarray:
    """(len(text) - n + 1,) uint64: sum_j c_{i+j} b^j mod 2^64 of the passages of n characters at i, c the scrambled characters

    Karp and Rabin 1987, Efficient randomized pattern-matching algorithms
    """
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
    codes = (codes + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    codes ^= codes >> np.uint64(29)
    powers = lambda base: np.concatenate([np.ones(1, np.uint64), np.cumprod(np.full(len(codes), base, np.uint64))])
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(codes * powers(BASE)[:-1])])
    if len(codes) < n:
        return sums[:0]
    return (sums[n:] - sums[:-n]) * powers(pow(BASE, -1, 2**64))[:len(codes) - n + 1]


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
