"""char: every character is a token.

The smallest vocabulary and the longest sequences: nothing to learn, nothing to explain, and the model has to find words by itself.
"""
import numpy as np

from littlebaby.errors import BadInput
from littlebaby.text.special_tokens import SpecialTokens, special_record, with_special_tokens
from littlebaby.text.tokenizer_helpers import begin_of, checked_ids, checked_rule, checked_text, field, replace_unknown, replacements, texts


class Char:
    """Characters as ids 0 … size - 1: `vocabulary[i]` is character i."""

    kind = "char"
    special_tokens = SpecialTokens()

    def __init__(self, vocabulary, begin, unknown="replace"):
        self.vocabulary, self.begin, self.unknown = list(vocabulary), begin, checked_rule(unknown)
        self.size = len(self.vocabulary)
        self.known = frozenset(self.vocabulary)
        if not self.size or any(len(token) != 1 for token in self.vocabulary):
            raise BadInput("the vocabulary of a char tokenizer must be single characters, at least one")
        if not begin or not self.known.issuperset(begin):
            raise BadInput(f"'begin' is {begin!r:.40}, which the vocabulary cannot encode")

        # two tables turn a whole text at once: id -> code point, code point -> id
        self.code_of = np.array([ord(token) for token in self.vocabulary], dtype="<u4")
        self.id_of = np.zeros(self.code_of.max() + 1, dtype=np.int32)
        self.id_of[self.code_of] = np.arange(self.size)

    @classmethod
    def train(cls, text, unknown="replace"):
        """The characters of the text, sorted."""
        return cls(sorted(set(checked_text(text))), begin_of(text, text[0]), unknown)

    def encode(self, text):
        """text -> ids (n,) int32; raises BadInput for an unknown character where the rule is "error"."""
        codes = np.frombuffer(replace_unknown(text, self.known, self.unknown).encode("utf-32-le"), dtype="<u4")
        return self.id_of[codes]

    def parts(self, left, right):
        """Whether every text can be cut between these two characters without other ids"""
        return True

    def decode(self, ids):
        """ids (n,) -> text"""
        return self.code_of[checked_ids(ids, self.size)].tobytes().decode("utf-32-le")

    def decode_bytes(self, ids):
        """ids (n,) -> the text in UTF-8"""
        return self.decode(ids).encode()

    def unknown_in(self, text):
        """{unknown character: what takes its place, "" for nothing}, sorted"""
        return replacements(set(text) - self.known, self.known)

    def extend(self, text):
        """(a tokenizer that knows the text as well, the characters that are new): they go to the end, so no old id changes."""
        new = sorted(set(checked_text(text)) - self.known)
        return with_special_tokens(Char(self.vocabulary + new, self.begin, self.unknown), self.special_tokens), new

    def tokens(self):
        """The tokens in the order of their ids, for people to look at."""
        return list(self.vocabulary)

    def to_json(self):
        return {"kind": self.kind, "begin": self.begin, "unknown": self.unknown, **special_record(self), "vocabulary": self.vocabulary}

    @classmethod
    def from_json(cls, record):
        """Raises BadInput where the record is not what to_json writes."""
        return cls(texts(record, "vocabulary"), field(record, "begin", str), field(record, "unknown", str))
