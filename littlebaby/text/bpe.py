"""bpe: byte pair encoding. Tokens are learned: repeatedly, the most frequent pair of neighbouring tokens becomes a new token.

A text is bytes (UTF-8), and the 256 bytes are the first tokens, so every text in every script can be encoded and no character is unknown.
Learning repeats one step: find the most frequent pair of neighbours, give it a token of its own, and replace the pair by that token
wherever it occurs. "t h" becomes "th", later "th e" becomes "the", later " the" is one token. Encoding applies these merges to a new text
in the order in which they were learned.

No token contains parts of two words: the text is first split into pieces by the pattern of GPT-2 (a word with the space before it, a
number, a run of punctuation, a run of white space), and only tokens inside a piece are merged.

In files a token is a string with one visible character per byte ("Ġthe" for " the"); GPT-2 introduced this form, and all programs use it.
It is called the spelling of a token below.

Gage 1994, A New Algorithm for Data Compression. Sennrich, Haddow, Birch 2016, arXiv:1508.07909. Radford et al. 2019 (GPT-2).
"""
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, Literal

import numpy as np
import regex
from numpy.typing import ArrayLike

from littlebaby.errors import BadInput, nearest
from littlebaby.text.byte_pairs import MergedPieces, learn
from littlebaby.text.oniguruma import Pattern, translated
from littlebaby.text.special_tokens import SpecialTokens, special_record
from littlebaby.text.tokenizer_helpers import MAX_VOCABULARY, begin_of, checked_ids, checked_text, field, texts, writable

GPT2 = (r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",)
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",)
QWEN2 = (LLAMA3[0].replace("{1,3}", ""),)
FORMS = ("", "NFC", "NFD", "NFKC", "NFKD")

# byte -> character: a visible character represents itself, the other bytes are represented by the characters from U+0100 on
VISIBLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
HIDDEN = [byte for byte in range(256) if byte not in VISIBLE]
CHARACTER_OF = {byte: chr(byte) for byte in VISIBLE} | {byte: chr(256 + n) for n, byte in enumerate(HIDDEN)}
BYTE_OF = {character: byte for byte, character in CHARACTER_OF.items()}


class BPE:
    """A byte-level BPE tokenizer with the ids 0 … size - 1

    vocabulary       spelling of every id, one visible character per byte
    merges           pairs of spellings in the order of learning
    begin            the text that separates documents
    special          special tokens, such as <|endoftext|>: their spellings are plain texts, and no merge leads to them
    special_in_text  whether encode gives the id of a special token where a text contains its spelling, or treats that as ordinary text
    cuts             patterns for Oniguruma that split a text into pieces; each splits the pieces of the pattern before it
    form             the Unicode normalization form that a text is converted to first ("": none)
    whole            whether a piece that is a token gets the id of that token even if no merges lead to it
    gaps             whether some bytes may have no token, as in some imported vocabularies; encode leaves these bytes out
    BadInput: the vocabulary lacks the token of a byte or of a merge or a special token, has a token twice, or a pattern is not supported.
    """

    kind: Literal["bpe"] = "bpe"
    special_tokens = SpecialTokens()

    def __init__(self, vocabulary: Iterable[str], merges: Iterable[Sequence[str]], begin: str,
                 special: Iterable[str] = ("<|endoftext|>",), special_in_text: bool = True, cuts: Iterable[str] = GPT2, form: str = "",
                 whole: bool = False, gaps: bool = False) -> None:
        self.vocabulary, self.merges, self.begin = list(vocabulary), [tuple(pair) for pair in merges], begin
        self.special, self.special_in_text = tuple(special), special_in_text
        self.cuts, self.whole, self.gaps = tuple(cuts), whole, gaps
        self.form: Any = form
        self.size = len(self.vocabulary)
        ids = {spelling: i for i, spelling in enumerate(self.vocabulary)}
        try:
            self.byte_ids = [ids.get(CHARACTER_OF[byte]) if gaps else ids[CHARACTER_OF[byte]] for byte in range(256)]
            self.ranks = {(ids[left], ids[right]): rank for rank, (left, right) in enumerate(self.merges)}
            self.joined = [ids[left + right] for left, right in self.merges]
            self.special_ids = {spelling: [ids[spelling]] for spelling in self.special}
        except KeyError as missing:
            raise BadInput(f"the vocabulary lacks {missing}, which a byte, a merge or a special token needs") from None
        try:
            self.bytes = [spelling.encode() if spelling in self.special_ids else bytes(BYTE_OF[character] for character in spelling)
                          for spelling in self.vocabulary]
        except KeyError as character:
            raise BadInput(f"the vocabulary contains {character} in a token, which represents no byte") from None
        if len(ids) < self.size or len(self.ranks) < len(self.merges) or "" in ids:
            raise BadInput("a token of the vocabulary or a merge occurs twice, or is empty")
        if form not in FORMS:
            raise BadInput(nearest("the Unicode form of the tokenizer", form, FORMS))
        self.patterns = [translated(cut) for cut in self.cuts]
        longest_first = sorted(self.special, key=len, reverse=True) if special_in_text else []
        self.special_pattern = regex.compile("(" + "|".join(map(regex.escape, longest_first)) + ")") if longest_first else None
        not_merged = {token: [i] for i, token in enumerate(self.bytes)} if whole else {}
        if special_in_text:
            not_merged |= {spelling.encode(): ids for spelling, ids in self.special_ids.items()}
        self.splittable = dict[str, bool]()                      # {two characters: the result of `can_split`}
        self.ids_of_piece = MergedPieces(self.byte_ids, self.ranks, self.joined, not_merged)

    @classmethod
    def train(cls, text: str, size: int = 4096, special: Sequence[str] = ("<|endoftext|>",), special_in_text: bool = True,
              min_frequency: int = 2) -> "BPE":
        """Learn from a text until there are `size` tokens: the special tokens first, then the 256 bytes, then the learned ones

        min_frequency: how often a pair must occur to become a token
        BadInput: an empty text, or a size below the number of bytes and special tokens.
        """
        if size < 256 + len(special):
            raise BadInput(f"s_vocabulary is {size}; bpe needs at least {256 + len(special)}: every byte and special token has one")
        spellings = [*special, *CHARACTER_OF.values()]
        unmerged = cls(spellings, [], "\n", special, special_in_text)
        pieces = Counter(unmerged.pieces(checked_text(text)))
        id_of = {byte: i for i, byte in enumerate(CHARACTER_OF, len(special))}
        ids = {tuple(id_of[byte] for byte in piece.encode()): n for piece, n in pieces.items() if piece not in special}
        merges = learn(ids, spellings, size, min_frequency)

        separator = next((token for token in special if special_in_text and token in pieces), "")
        return cls(spellings, merges, separator or begin_of(text, text[0]), special, special_in_text)

    def pieces(self, text: str) -> list[str]:
        """The text split into pieces, inside which merges take place; a special token is a piece of its own if `special_in_text`."""
        if not self.special_pattern:
            return self.plain_pieces(text)
        parts = self.special_pattern.split(text)                 # every second part is a special token
        return [*chain.from_iterable([part] if i % 2 else self.plain_pieces(part) for i, part in enumerate(parts))]

    def plain_pieces(self, text: str) -> list[str]:
        """The pieces of a text without special tokens: the patterns split it one after the other, and text between matches is kept"""
        pieces = [unicodedata.normalize(self.form, text) if self.form else text]
        for pattern in self.patterns:
            pieces = [*chain.from_iterable(split_by_pattern(pattern, piece) for piece in pieces)]
        return pieces

    def encode(self, text: str) -> np.ndarray:
        """text -> ids (n,) int32. No character is unknown. BadInput: half a surrogate pair, which UTF-8 cannot represent."""
        return np.frombuffer(bytearray().join(map(self.ids_of_piece.__getitem__, self.pieces(writable(text)))), dtype=np.int32)

    def can_split(self, left: str, right: str) -> bool:
        """Whether a text can always be split between these two neighbouring characters without changing its ids; False if this is unsure"""
        pair = left + right
        if pair not in self.splittable:
            self.splittable[pair] = self.can_split_uncached(left, right)
        return self.splittable[pair]

    def can_split_uncached(self, left: str, right: str) -> bool:
        """The result of `can_split`, computed without its cache"""
        if self.special_in_text and any(left + right in token for token in self.special):
            return False
        if self.form and not independent(self.form, left, right):
            return False
        for pattern in self.patterns:
            if not pattern.separates(left, right):
                return False
            if pattern.begins(right):
                return True
        # the two characters may be in the same piece, but bytes that are not neighbours in any token are never merged
        a, b = left.encode()[-1], right.encode()[0]
        return not self.whole and None not in (self.byte_ids[a], self.byte_ids[b]) and (a, b) not in self.neighbours

    @cached_property
    def neighbours(self) -> set[tuple[int, int]]:
        """The pairs of bytes that are neighbours in some token"""
        return {pair for token in self.bytes for pair in pairwise(token)}

    def decode(self, ids: ArrayLike) -> str:
        """ids (n,) -> text, with U+FFFD where the ids begin or end inside a character. BadInput for an id outside the vocabulary."""
        return self.decode_bytes(ids).decode(errors="replace")

    def decode_bytes(self, ids: ArrayLike) -> bytes:
        """ids (n,) -> the exact bytes"""
        return b"".join(map(self.bytes.__getitem__, checked_ids(ids, self.size).tolist()))

    def unknown_in(self, text: str) -> dict[str, str]:
        """{}, because bytes represent every character; if some bytes have no token, {character with such a byte: ""}"""
        return {each: "" for each in sorted(set(text)) if None in map(self.byte_ids.__getitem__, each.encode())} if self.gaps else {}

    def extend(self, text: str) -> tuple["BPE", list[str]]:
        """(this tokenizer, []): no character is unknown, so no token is added."""
        return self, []

    def tokens(self) -> list[str]:
        r"""The tokens in the order of their ids, for display: " the", and \xe2 for a byte that is part of a character."""
        return [token.decode(errors="backslashreplace") for token in self.bytes]

    def to_json(self) -> dict[str, Any]:
        """The record of a tokenizer file; it contains the pre-tokenizer only if that is not the one of GPT-2"""
        pre_tokenizer = {} if (self.cuts, self.form, self.whole, self.gaps) == (GPT2, "", False, False) else {
            "cuts": list(self.cuts), "form": self.form, "whole": self.whole, "gaps": self.gaps}
        return {"kind": self.kind, "begin": self.begin, "special": list(self.special), "special_in_text": self.special_in_text,
                **pre_tokenizer, **special_record(self), "vocabulary": self.vocabulary, "merges": [" ".join(pair) for pair in self.merges]}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "BPE":
        """The tokenizer of a record of `to_json`, without its attribute `special_tokens`. BadInput: it is wrong."""
        begin = writable(field(record, "begin", str))
        if not begin:
            raise BadInput("'begin' in the tokenizer file must be a text of one character or more")
        record = {"cuts": list(GPT2), "form": "", "whole": False, "gaps": False} | record
        return cls(texts(record, "vocabulary"), pairs(texts(record, "merges")), begin,
                   texts(record, "special"), field(record, "special_in_text", bool), texts(record, "cuts"), field(record, "form", str),
                   field(record, "whole", bool), field(record, "gaps", bool))

    # --- foreign files ---

    def to_tokenizer_json(self) -> dict[str, Any]:
        """The object of a Hugging Face tokenizer.json with which the library tokenizers gives the same ids."""
        special_ids = self.special_ids if self.special_in_text else {}
        bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": self.cuts == GPT2}
        splits = [{"type": "Split", "pattern": {"Regex": cut}, "behavior": "Isolated", "invert": False} for cut in self.cuts]
        return {
            "version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True} for text, (i,) in special_ids.items()],
            "normalizer": {"type": self.form} if self.form else None,
            "pre_tokenizer": bytes_ if self.cuts == GPT2 else {"type": "Sequence", "pretokenizers": [*splits, bytes_]},
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": self.whole,
                      "vocab": self.to_vocab(), "merges": [list(pair) for pair in self.merges]},
        }

    @classmethod
    def from_tokenizer_json(cls, record: dict[str, Any], begin: str | None = None) -> "BPE":
        """The tokenizer of the object of a Hugging Face tokenizer.json; its post-processor is read by runs/formats

        Its added tokens become special tokens, and encode finds them in a text. begin: the text that separates documents; None: the first
        added token. BadInput: it is not byte-level BPE, or has options that this class does not support.
        """
        model = field(record, "model", dict)
        cuts, unsupported = cuts_of(field(record, "pre_tokenizer", dict))
        unsupported += [f"model.{name}" for name in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                                                "byte_fallback") if model.get(name)]
        unsupported += ["model.type"] if model.get("type", "BPE") != "BPE" else []
        normalizer = record.get("normalizer") or {"type": ""}
        if isinstance(normalizer, dict) and normalizer.get("type") == "Sequence" and \
                len(steps := field(normalizer, "normalizers", list)) < 2:
            normalizer = steps[0] if steps else {"type": ""}       # the normalizer of DeepSeek is an empty sequence
        unsupported += ["normalizer"] if not isinstance(normalizer, dict) or normalizer.get("type") not in FORMS else []
        if unsupported:
            raise BadInput(f"this tokenizer.json is not byte-level BPE like that of GPT-2: {', '.join(unsupported)} differ")

        added = dict[str, int]()
        for token in field(record, "added_tokens", list):
            added[field(token, "content", str)] = field(token, "id", int)
            if any(token.get(flag) for flag in ("single_word", "lstrip", "rstrip")):
                raise BadInput(f"added token {token['content']!r:.40} has single_word, lstrip or rstrip, which is not supported")
        merges = [" ".join(map(str, pair)) if isinstance(pair, list) else pair for pair in field(model, "merges", list)]
        vocabulary = in_order(field(model, "vocab", dict) | added)
        return cls(vocabulary, pairs(texts({"merges": merges}, "merges")), begin or next(iter(added), "\n"), added, True, cuts,
                   normalizer["type"], bool(model.get("ignore_merges")), lacks_bytes(vocabulary))

    def to_vocab(self) -> dict[str, int]:
        """The object of a vocab.json: {spelling: id}"""
        return {spelling: i for i, spelling in enumerate(self.vocabulary)}

    @classmethod
    def from_files(cls, vocab: str, merges: str, special: Sequence[str] = ("<|endoftext|>",), special_in_text: bool = True) -> "BPE":
        """The tokenizer from the texts of a vocab.json (or encoder.json) and a merges.txt (or vocab.bpe). BadInput: one is wrong."""
        try:
            ids = json.loads(vocab)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"the vocabulary is not JSON: {error}") from None
        lines = merges.split("\n")
        lines = [line for line in lines[lines[0].startswith("#version"):] if line]
        return cls(in_order(field({"vocab": ids}, "vocab", dict)), pairs(texts({"merges": lines}, "merges")),
                   special[0] if special and special_in_text else "\n", special, special_in_text)


def lacks_bytes(vocabulary: Iterable[str]) -> bool:
    """Whether 1 to 63 bytes have no token; if more bytes are missing, the vocabulary is wrong"""
    return 0 < len(set(CHARACTER_OF.values()) - set(vocabulary)) < 64


def independent(form: Any, left: str, right: str) -> bool:
    """Whether a Unicode normalization form changes neither of two neighbouring characters, whatever is around them

    False for marks, for parts of Hangul syllables, and for a right character that a mark after it could change.
    """
    joins = unicodedata.category(left)[0] == "M" or "\u1100" <= left <= "\u11ff" or "\ua960" <= left <= "\ud7ff" or left > "\uffff"
    return right.isascii() and not right.isalpha() and right not in "<=>" and not joins and unicodedata.normalize(form, left) == left


def split_by_pattern(pattern: Pattern, text: str) -> Iterator[str]:
    """The matches of a pattern and the text between them, in order"""
    at = 0
    for match in pattern.matches(text):
        if match.start() > at:
            yield text[at:match.start()]
        if match[0]:
            yield match[0]
        at = match.end()
    if at < len(text):
        yield text[at:]


def cuts_of(step: dict[str, Any]) -> tuple[tuple[str, ...], list[str]]:
    """(the patterns of the pre_tokenizer of a tokenizer.json, the names of its parts that are not supported)"""
    steps = field(step, "pretokenizers", list) if step.get("type") == "Sequence" else [step]
    cuts, unsupported = list[str](), list[str]()
    for each in steps:
        kind = field(each, "type", str)
        if kind == "ByteLevel":
            cuts += GPT2 if each.get("use_regex", True) else ()
            unsupported += ["pre_tokenizer.add_prefix_space"] if each.get("add_prefix_space", True) else []
        elif kind == "Digits":
            cuts.append(r"\p{N}" if each.get("individual_digits") else r"\p{N}+")
        elif kind == "Split" and isinstance(pattern := each.get("pattern"), dict) and \
                (each.get("behavior"), bool(each.get("invert"))) in (("Isolated", False), ("Removed", True)):
            cuts.append(field(pattern, "Regex", str) if "Regex" in pattern else regex.escape(field(pattern, "String", str)))
            if each["behavior"] == "Removed" and not all(map(translated(cuts[-1]).compiled.fullmatch, map(chr, range(0x3000)))):
                unsupported.append("pre_tokenizer.Split (it removes text)")
        else:
            unsupported.append(f"pre_tokenizer.{kind}")
    if not steps or steps[-1].get("type") != "ByteLevel":
        unsupported.append("pre_tokenizer.type")
    return tuple(cuts), unsupported


def pairs(merges: Iterable[str]) -> list[tuple[str, ...]]:
    """["Ġ t", …] -> [("Ġ", "t"), …]. BadInput: a merge is not two tokens with a space between them"""
    found = [tuple(line.split(" ")) for line in merges]
    for pair in found:
        if len(pair) != 2 or not all(pair):
            raise BadInput(f"{' '.join(pair)!r:.40} is not a merge: a merge is two tokens with one space between them")
    return found


def in_order(ids: Mapping[str, Any]) -> list[str]:
    """{spelling: id} -> spellings in the order of their ids. BadInput: the ids are not 0, 1, 2, …, each once"""
    if len(ids) > MAX_VOCABULARY:
        raise BadInput(f"the vocabulary has {len(ids)} tokens; at most {MAX_VOCABULARY} are read")
    if any(type(i) is not int for i in ids.values()) or sorted(ids.values()) != list(range(len(ids))):
        raise BadInput(f"the ids of the vocabulary must be 0 … {len(ids) - 1}, each once")
    return texts({"vocabulary": sorted(ids, key=ids.__getitem__)}, "vocabulary")
