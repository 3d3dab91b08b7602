"""word: frequent words are tokens; all other words are encoded character by character.

A text is split into words (each with the space before it), numbers, empty lines, and single characters for everything else. The most
frequent of these become tokens, and so does every single character: a word that is not a token is encoded by its characters. So nothing is
lost, spaces and new lines included, and no token for unknown words is needed.
"""
from collections import Counter
from collections.abc import Collection
from itertools import chain
from typing import Any, Literal

import numpy as np
import regex
from numpy.typing import ArrayLike

from littlebaby.errors import BadInput
from littlebaby.text.special_tokens import SpecialTokens, special_record, with_special_tokens
from littlebaby.text.tokenizer_helpers import begin_of, checked_ids, checked_rule, checked_text, field, replace_unknown, replacements, texts

# a word keeps the apostrophes inside it; an empty line is one token, since it separates documents, and a model that has seen only the
# second of two new lines could not know whether the next document has begun; everything else is split into single characters
PIECES = regex.compile(r" ?[\p{L}\p{M}]+(?:['’][\p{L}\p{M}]+)*| ?\p{N}+|\n\n|.", regex.DOTALL)

# the characters that can continue a piece; every other character begins one
INSIDE = regex.compile(r"[\p{L}\p{M}\p{N}'’]")

# a word that occurs once does not become a token: one example is too few to learn its embedding
MIN_FREQUENCY = 2


def frequent(text: str, known: Collection[str], room: int) -> list[str]:
    """At most `room` words and numbers of the text that are not in `known`: the most frequent first, equally frequent ones sorted."""
    frequency = Counter(PIECES.findall(text))
    words = [piece for piece, n in frequency.items() if n >= MIN_FREQUENCY and len(piece) > 1 and piece not in known]
    return sorted(words, key=lambda piece: (-frequency[piece], piece))[:max(room, 0)]


class Word:
    """Characters and words as ids 0 … size - 1: `vocabulary[i]` is token i

    begin    the text that separates documents
    unknown  the rule for unknown characters, "replace" or "error"
    limit    the number of tokens up to which `extend` adds words; it adds all characters in any case
    BadInput where the vocabulary lacks a character of `begin`.
    """

    kind: Literal["word"] = "word"
    special_tokens = SpecialTokens()

    def __init__(self, vocabulary: list[str], begin: str, unknown: str = "replace", limit: int = 4096) -> None:
        self.vocabulary, self.begin, self.unknown, self.limit = list(vocabulary), begin, checked_rule(unknown), limit
        self.size = len(self.vocabulary)
        self.ids = {token: i for i, token in enumerate(self.vocabulary)}
        self.known = frozenset(token for token in self.vocabulary if len(token) == 1)
        if not begin or not self.known.issuperset(begin):
            raise BadInput(f"'begin' is {begin!r:.40}, which the vocabulary cannot encode")

    @classmethod
    def train(cls, text: str, size: int = 4096, unknown: str = "replace") -> "Word":
        """The characters of the text, sorted, then its most frequent words, up to `size` tokens in all. BadInput: too many characters."""
        characters = sorted(set(checked_text(text)))
        if len(characters) > size:
            raise BadInput(f"the text has {len(characters)} different characters, more than s_vocabulary {size} leaves room for")
        words = frequent(text, characters, size - len(characters))
        return cls(characters + words, begin_of(text, PIECES.match(text)[0]), unknown, size)

    def encode_piece(self, piece: str) -> list[int]:
        """The ids of one piece: of the word itself, else of its space and the word, else of its characters."""
        if piece in self.ids:
            return [self.ids[piece]]
        if piece[0] == " ":
            return [self.ids[" "], *self.encode_piece(piece[1:])]
        return [self.ids[character] for character in piece]

    def encode(self, text: str) -> np.ndarray:
        """text -> ids (n,) int32. BadInput for an unknown character where the rule is "error"."""
        pieces = PIECES.findall(replace_unknown(text, self.known, self.unknown))
        ids_of = {piece: self.encode_piece(piece) for piece in set(pieces)}
        return np.fromiter(chain.from_iterable(map(ids_of.__getitem__, pieces)), dtype=np.int32)

    def can_split(self, left: str, right: str) -> bool:
        """Whether every text can be split between these two neighbouring characters without a change of its ids

        False where `right` can continue a piece, or is unknown, since its replacement could; and between two new lines, also if an
        unknown character between them could be dropped.
        """
        return right in self.known and not INSIDE.match(right) and (right != "\n" or left in self.known and left != "\n")

    def decode(self, ids: ArrayLike) -> str:
        """ids (n,) -> text. BadInput for an id outside the vocabulary."""
        return "".join(map(self.vocabulary.__getitem__, checked_ids(ids, self.size).tolist()))

    def decode_bytes(self, ids: ArrayLike) -> bytes:
        """ids (n,) -> the text in UTF-8"""
        return self.decode(ids).encode()

    def unknown_in(self, text: str) -> dict[str, str]:
        """{unknown character: what replaces it, "" for nothing}, sorted; a word that is no token is not unknown."""
        return replacements(set(text) - self.known, self.known)

    def spelled_in(self, text: str) -> list[str]:
        """The words of a text that are no tokens, in their order, each once: they are encoded by their characters"""
        pieces = PIECES.findall(replace_unknown(text, self.known, "replace"))
        return list(dict.fromkeys(word for piece in pieces if (word := piece.strip()) and not {piece, word} & self.ids.keys()))

    def extend(self, text: str) -> tuple["Word", list[str]]:
        """(a tokenizer that also knows the tokens of the text, the new ones): new ids follow the old ones, which do not change.

        All new characters are added, then the most frequent new words up to `limit` tokens in all.
        """
        characters = sorted(set(checked_text(text)) - self.known)
        words = frequent(text, self.ids.keys() | characters, self.limit - self.size - len(characters))
        new = characters + words
        return with_special_tokens(Word(self.vocabulary + new, self.begin, self.unknown, self.limit), self.special_tokens), new

    def tokens(self) -> list[str]:
        """The tokens in the order of their ids, for display."""
        return list(self.vocabulary)

    def to_json(self) -> dict[str, Any]:
        """The record of a tokenizer file"""
        return {"kind": self.kind, "begin": self.begin, "unknown": self.unknown, "limit": self.limit, **special_record(self),
                "vocabulary": self.vocabulary}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Word":
        """The tokenizer of a record of `to_json`, without its special tokens. BadInput where it is none."""
        return cls(texts(record, "vocabulary"), field(record, "begin", str), field(record, "unknown", str),
                   field(record, "limit", int))
