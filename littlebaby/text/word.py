"""word: frequent words are tokens, everything else is spelled.

A text is cut into words (each with the space before it), numbers, and single characters for all the rest. The most frequent words
and numbers become tokens of their own, and so does every single character: a word that is no token is spelled by its characters.
So nothing is lost, spaces and new lines included, and no token for "unknown" is needed.
"""
from collections import Counter
from itertools import chain

import numpy as np
import regex

from littlebaby.errors import BadInput
from littlebaby.text.special_tokens import SpecialTokens, special_record, with_special_tokens
from littlebaby.text.tokenizer_helpers import begin_of, checked_ids, checked_rule, checked_text, field, replace_unknown, replacements, texts

# a word keeps the apostrophes inside it; whatever is neither word nor number is cut into single characters
PIECES = regex.compile(r" ?[\p{L}\p{M}]+(?:['’][\p{L}\p{M}]+)*| ?\p{N}+|.", regex.DOTALL)

# what a piece can go on with; everything else begins one
INSIDE = regex.compile(r"[\p{L}\p{M}\p{N}'’]")

# a word met a single time is spelled: one example is too few to learn what it means
MIN_FREQUENCY = 2


def frequent(text, known, room):
    """At most `room` words and numbers of the text that are not known yet: the most frequent first, equals in sorted order."""
    often = Counter(PIECES.findall(text))
    words = [piece for piece, n in often.items() if n >= MIN_FREQUENCY and len(piece) > 1 and piece not in known]
    return sorted(words, key=lambda piece: (-often[piece], piece))[:max(room, 0)]


class Word:
    """Characters and words as ids 0 … size - 1. The vocabulary never grows beyond `limit` by words, only by characters."""

    kind = "word"
    special_tokens = SpecialTokens()

    def __init__(self, vocabulary, begin, unknown="replace", limit=4096):
        self.vocabulary, self.begin, self.unknown, self.limit = list(vocabulary), begin, checked_rule(unknown), limit
        self.size = len(self.vocabulary)
        self.ids = {token: i for i, token in enumerate(self.vocabulary)}
        self.known = frozenset(token for token in self.vocabulary if len(token) == 1)
        if not begin or not self.known.issuperset(begin):
            raise BadInput(f"'begin' is {begin!r:.40}, which the vocabulary cannot encode")

    @classmethod
    def train(cls, text, size=4096, unknown="replace"):
        """The characters of the text, sorted, then its most frequent words up to `size` tokens in all."""
        characters = sorted(set(checked_text(text)))
        if len(characters) > size:
            raise BadInput(f"the text has {len(characters)} different characters, more than s_vocabulary {size} leaves room for")
        words = frequent(text, characters, size - len(characters))
        return cls(characters + words, begin_of(text, PIECES.match(text)[0]), unknown, size)

    def spell(self, piece):
        """One piece as a list of ids: the word itself, else its space and the word, else its characters."""
        if piece in self.ids:
            return [self.ids[piece]]
        if piece[0] == " ":
            return [self.ids[" "], *self.spell(piece[1:])]
        return [self.ids[character] for character in piece]

    def encode(self, text):
        """text -> ids (n,) int32; raises BadInput for an unknown character where the rule is "error"."""
        pieces = PIECES.findall(replace_unknown(text, self.known, self.unknown))
        spelled = {piece: self.spell(piece) for piece in set(pieces)}
        return np.fromiter(chain.from_iterable(map(spelled.__getitem__, pieces)), dtype=np.int32)

    def parts(self, left, right):
        """Whether every text can be cut between these two characters without other ids: not where what takes the place of an unknown one
        could join its neighbours"""
        return right in self.known and not INSIDE.match(right)

    def decode(self, ids):
        """ids (n,) -> text"""
        return "".join(map(self.vocabulary.__getitem__, checked_ids(ids, self.size).tolist()))

    def decode_bytes(self, ids):
        """ids (n,) -> the text in UTF-8"""
        return self.decode(ids).encode()

    def unknown_in(self, text):
        """{unknown character: what takes its place, "" for nothing}, sorted; unknown words are not among them: they are spelled."""
        return replacements(set(text) - self.known, self.known)

    def extend(self, text):
        """(a tokenizer that knows the text as well, the tokens that are new): they go to the end, so no old id changes.

        All new characters come in, then the most frequent new words as far as `limit` has room; the others are spelled.
        """
        characters = sorted(set(checked_text(text)) - self.known)
        words = frequent(text, self.ids.keys() | characters, self.limit - self.size - len(characters))
        new = characters + words
        return with_special_tokens(Word(self.vocabulary + new, self.begin, self.unknown, self.limit), self.special_tokens), new

    def tokens(self):
        """The tokens in the order of their ids, for people to look at."""
        return list(self.vocabulary)

    def to_json(self):
        return {"kind": self.kind, "begin": self.begin, "unknown": self.unknown, "limit": self.limit, **special_record(self),
                "vocabulary": self.vocabulary}

    @classmethod
    def from_json(cls, record):
        """Raises BadInput where the record is not what to_json writes."""
        return cls(texts(record, "vocabulary"), field(record, "begin", str), field(record, "unknown", str),
                   field(record, "limit", int))
