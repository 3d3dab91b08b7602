"""char: every character is a token.

The smallest vocabulary and the longest sequences: there is nothing to train, and the model has to learn words by itself.
"""
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from littlebaby.errors import BadInput
from littlebaby.text.special_tokens import SpecialTokens, special_record, with_special_tokens
from littlebaby.text.tokenizer_helpers import begin_of, checked_ids, checked_rule, checked_text, field, replace_unknown, replacements, texts


class Char:
    """Characters as ids 0 … size - 1: `vocabulary[i]` is character i

    begin    the text that separates documents
    unknown  the rule for unknown characters, "replace" or "error"
    BadInput where the vocabulary is not one of single characters, or lacks a character of `begin`.
    """

    kind: Literal["char"] = "char"
    special_tokens = SpecialTokens()

    def __init__(self, vocabulary: list[str], begin: str, unknown: str = "replace") -> None:
        self.vocabulary, self.begin, self.unknown = list(vocabulary), begin, checked_rule(unknown)
        self.size = len(self.vocabulary)
        self.known = frozenset(self.vocabulary)
        if not self.size or any(len(token) != 1 for token in self.vocabulary):
            raise BadInput("the vocabulary of a char tokenizer must be single characters, at least one")
        if not begin or not self.known.issuperset(begin):
            raise BadInput(f"'begin' is {begin!r:.40}, which the vocabulary cannot encode")

        # two tables that convert a whole text at once: id -> code point, code point -> id
        self.code_of = np.array([ord(token) for token in self.vocabulary], dtype="<u4")
        self.id_of = np.zeros(self.code_of.max() + 1, dtype=np.int32)
        self.id_of[self.code_of] = np.arange(self.size)

    @classmethod
    def train(cls, text: str, unknown: str = "replace") -> "Char":
        """The characters of the text, sorted. BadInput where it is empty."""
        return cls(sorted(set(checked_text(text))), begin_of(text, text[0]), unknown)

    def encode(self, text: str) -> np.ndarray:
        """text -> ids (n,) int32. BadInput for an unknown character where the rule is "error"."""
        codes = np.frombuffer(replace_unknown(text, self.known, self.unknown).encode("utf-32-le"), dtype="<u4")
        return self.id_of[codes]

    def can_split(self, left: str, right: str) -> bool:
        """Whether every text can be split between these two neighbouring characters without a change of its ids"""
        return True

    def decode(self, ids: ArrayLike) -> str:
        """ids (n,) -> text. BadInput for an id outside the vocabulary."""
        return self.code_of[checked_ids(ids, self.size)].tobytes().decode("utf-32-le")

    def decode_bytes(self, ids: ArrayLike) -> bytes:
        """ids (n,) -> the text in UTF-8"""
        return self.decode(ids).encode()

    def unknown_in(self, text: str) -> dict[str, str]:
        """{unknown character: what replaces it, "" for nothing}, sorted"""
        return replacements(set(text) - self.known, self.known)

    def extend(self, text: str) -> tuple["Char", list[str]]:
        """(a tokenizer that also knows the characters of the text, the new ones): new ids follow the old ones, which do not change."""
        new = sorted(set(checked_text(text)) - self.known)
        return with_special_tokens(Char(self.vocabulary + new, self.begin, self.unknown), self.special_tokens), new

    def tokens(self) -> list[str]:
        """The tokens in the order of their ids, for display."""
        return list(self.vocabulary)

    def to_json(self) -> dict[str, Any]:
        """The record of a tokenizer file"""
        return {"kind": self.kind, "begin": self.begin, "unknown": self.unknown, **special_record(self), "vocabulary": self.vocabulary}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Char":
        """The tokenizer of a record of `to_json`, without its special tokens. BadInput where it is none."""
        return cls(texts(record, "vocabulary"), field(record, "begin", str), field(record, "unknown", str))
