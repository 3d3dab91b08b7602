"""bpe: byte pair encoding. Tokens are learned: whatever stands side by side most often becomes one.

A text is bytes (UTF-8), and the 256 bytes are the first tokens, so any text in any script can be written and none is unknown.
Learning repeats one step: find the pair of neighbours that occurs most often, give it a token of its own, and write that token
wherever the pair stood. "t h" becomes "th", later "th e" becomes "the", later " the" is one token. Encoding replays these merges
on a new text in the order in which they were learned.

Pairs never reach over the border of a word: the text is first cut into pieces by the rule of GPT-2 (a word with the space before
it, a number, a run of punctuation, a run of white space), and only the inside of a piece is merged.

Files spell a token with one visible letter a byte ("Ġthe" is " the"), as GPT-2 began it and everyone reads it.

Gage 1994, A New Algorithm for Data Compression. Sennrich, Haddow, Birch 2016, arXiv:1508.07909. Radford et al. 2019 (GPT-2).
"""
import json
import unicodedata
from array import array
from collections import Counter, defaultdict
from copy import copy
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise

import numpy as np
import regex

from littlebaby.errors import BadInput, nearest
from littlebaby.text.marks import Marks, marks_from_json
from littlebaby.text.oniguruma import translated
from littlebaby.text.tokenizer_helpers import MAX_VOCABULARY, begin_of, checked_ids, checked_text, field, texts, writable

NO_MARKS = Marks()
GPT2 = (r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",)
FORMS = ("", "NFC", "NFD", "NFKC", "NFKD")

# byte -> letter: a visible character stands for itself, the others take the letters from U+0100 on
VISIBLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
HIDDEN = [byte for byte in range(256) if byte not in VISIBLE]
LETTER_OF = {byte: chr(byte) for byte in VISIBLE} | {byte: chr(256 + n) for n, byte in enumerate(HIDDEN)}
BYTE_OF = {letter: byte for byte, letter in LETTER_OF.items()}

WALL = -1
MOST_REMEMBERED = 2**18     # pieces, some 40 MB
LONGEST_REMEMBERED = 256    # characters: longer ones hardly come again


# --- the two algorithms ---

def learn(pieces, tokens, size, min_frequency):
    """Learn merges until there are `size` tokens, or until no pair is left that occurs `min_frequency` times.

    pieces   {piece: how often it occurs in the text}, each of them a tuple of ids
    tokens  spelling of every id so far; the learned ones are appended
    returns  the merges as pairs of spellings, in the order in which they were learned

    The most frequent pair wins; among equals the smaller left id, then the smaller right id.

    Every merge makes the row shorter by one token and touches only its neighbours, so all the learning together costs no more
    steps than the row is long (and a heap's logarithm for finding the winner).
    """
    # all pieces in one row, a wall around each:  | t h e | t h e n |     with how often the text has the piece
    row, weight = [WALL], [0]
    for piece, n in pieces.items():
        row += (*piece, WALL)
        weight += [n] * (len(piece) + 1)

    # who stands beside whom: indices of neighbours, which stay true while merged tokens drop out
    before, after = list(range(-1, len(row) - 1)), list(range(1, len(row) + 1))

    # every pair: how often it occurs, and where its left part stands
    often, places = Counter(), defaultdict(list)

    def gain(i):
        pair = row[i], row[after[i]]
        if WALL not in pair:
            often[pair] += weight[i]
            places[pair].append(i)
            return pair

    def lose(i):
        often[row[i], row[after[i]]] -= weight[i]               # nobody asks for a pair with a wall

    for i in range(len(row) - 1):
        gain(i)
    heap = [(-n, *pair) for pair, n in often.items()]
    heapify(heap)

    merges = []
    while heap and len(tokens) < size:
        n, left, right = heappop(heap)
        now = often[left, right]
        if now != -n:                                           # outdated: other merges took some of its places
            if now > 0:
                heappush(heap, (-now, left, right))
            continue
        if now < min_frequency:
            break

        # the winner gets a token: a new one always, since equal bytes are merged in equal order wherever they stand
        joined = len(tokens)
        merges.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])

        # and is written wherever the pair stands:  h [left] [right] k  ->  h [joined] k
        gained = set()
        for i in sorted(places.pop((left, right))):
            j = after[i]
            if row[i] != left or row[j] != right:               # in "aaa" the first pair takes the second one's left part
                continue
            h, k = before[i], after[j]
            for place in (h, i, j):
                lose(place)
            row[i], row[j] = joined, WALL
            after[i], before[k] = k, i
            gained |= {gain(h), gain(i)}
        for pair in gained - {None}:
            heappush(heap, (-often[pair], *pair))
    return merges


def merge(row, ranks, joined):
    """Apply merges to one piece, always the one that was learned first, and from left to right.

    row      ids of the piece's bytes; used up on the way
    ranks    {(left, right): place in the order of learning}
    joined   for every rank the id that replaces the pair
    returns  ids of the piece's tokens
    """
    before, after = list(range(-1, len(row) - 1)), list(range(1, len(row) + 1))
    heap = [(ranks[pair], i) for i, pair in enumerate(pairwise(row)) if pair in ranks]
    heapify(heap)
    while heap:
        rank, i = heappop(heap)
        j = after[i]
        if j == len(row) or ranks.get((row[i], row[j])) != rank:    # a merge beside it took one of the two
            continue
        h, k = before[i], after[j]
        row[i], row[j], after[i] = joined[rank], WALL, k
        if k < len(row):
            before[k] = i
            if (row[i], row[k]) in ranks:
                heappush(heap, (ranks[row[i], row[k]], i))
        if h >= 0 and (row[h], row[i]) in ranks:
            heappush(heap, (ranks[row[h], row[i]], h))
    return [i for i in row if i != WALL]


class Merged(dict):
    """piece -> its ids as bytes of int32, merged when it is met for the first time: a text says the same words again and again

    byte_ids, ranks, joined  as in `merge`; a byte of id None is left out      whole  {bytes: ids} of pieces that are not merged
    """

    def __init__(self, byte_ids, ranks, joined, whole):
        super().__init__()
        self.byte_ids, self.ranks, self.joined, self.whole = byte_ids, ranks, joined, whole

    def __missing__(self, piece):
        data = piece.encode()
        ids = self.whole.get(data) or merge([i for byte in data if (i := self.byte_ids[byte]) is not None], self.ranks, self.joined)
        if len(self) == MOST_REMEMBERED:
            self.clear()
        spelled = array("i", ids).tobytes()
        if len(piece) <= LONGEST_REMEMBERED:
            self[piece] = spelled
        return spelled


# --- the tokenizer ---

class BPE:
    """Byte pairs as ids 0 … size - 1.

    vocabulary       spelling of every id, one visible letter a byte
    merges           pairs of spellings in the order of learning
    special          spellings of the vocabulary that stand for themselves and are never merged, such as <|endoftext|>
    special_in_text  whether encode gives a special token's id where the text spells it, or takes it as ordinary text
    cuts             Oniguruma's patterns that cut a text into pieces, each cutting what the one before has left; GPT-2's where we learn
    form             the Unicode form that a text is brought into first ("" leaves it as it is)
    whole            whether a piece that is a token is taken as it is, even where no merges lead to it
    gaps             whether bytes may lack a token, as control characters do in some vocabularies of others: they are left out
    marks            the tokens that begin and end a text, of a tokenizer that came with a model
    """

    kind = "bpe"

    def __init__(self, vocabulary, merges, begin, special=("<|endoftext|>",), special_in_text=True, cuts=GPT2, form="", whole=False,
                 gaps=False, marks=NO_MARKS):
        self.marks = marks
        self.vocabulary, self.merges, self.begin = list(vocabulary), [tuple(pair) for pair in merges], begin
        self.special, self.special_in_text = tuple(special), special_in_text
        self.cuts, self.form, self.whole, self.gaps = tuple(cuts), form, whole, gaps
        self.size = len(self.vocabulary)
        ids = {spelling: i for i, spelling in enumerate(self.vocabulary)}
        try:
            self.byte_ids = [ids.get(LETTER_OF[byte]) if gaps else ids[LETTER_OF[byte]] for byte in range(256)]
            self.ranks = {(ids[left], ids[right]): rank for rank, (left, right) in enumerate(self.merges)}
            self.joined = [ids[left + right] for left, right in self.merges]
            self.special_ids = {spelling: [ids[spelling]] for spelling in self.special}
        except KeyError as missing:
            raise BadInput(f"the vocabulary lacks {missing}, which a byte, a merge or a special token needs") from None
        try:
            self.bytes = [spelling.encode() if spelling in self.special_ids else bytes(BYTE_OF[letter] for letter in spelling)
                          for spelling in self.vocabulary]
        except KeyError as letter:
            raise BadInput(f"the vocabulary contains {letter} in a token, which stands for no byte") from None
        if len(ids) < self.size or len(self.ranks) < len(self.merges) or "" in ids:
            raise BadInput("a token of the vocabulary or a merge occurs twice, or is empty")
        if form not in FORMS:
            raise BadInput(nearest("the Unicode form of the tokenizer", form, FORMS))
        self.patterns = [translated(cut) for cut in self.cuts]
        longest_first = sorted(self.special, key=len, reverse=True) if special_in_text else []
        self.cut = regex.compile("(" + "|".join(map(regex.escape, longest_first)) + ")") if longest_first else None
        as_they_are = {token: [i] for i, token in enumerate(self.bytes)} if whole else {}
        if special_in_text:
            as_they_are |= {spelling.encode(): ids for spelling, ids in self.special_ids.items()}
        self.parted = {}                                         # {two characters: what `parts` says of them}
        self.merged = Merged(self.byte_ids, self.ranks, self.joined, as_they_are)

    @classmethod
    def train(cls, text, size=4096, special=("<|endoftext|>",), special_in_text=True, min_frequency=2):
        """Learn from a text until there are `size` tokens: the special ones first, then the 256 bytes, then what is learned."""
        if size < 256 + len(special):
            raise BadInput(f"s_vocabulary is {size}; bpe needs at least {256 + len(special)}: every byte and special token has one")
        symbols = [*special, *LETTER_OF.values()]
        bare = cls(symbols, [], "\n", special, special_in_text)
        pieces = Counter(bare.pieces(checked_text(text)))
        spelled = {tuple(bare.byte_ids[byte] for byte in piece.encode()): n for piece, n in pieces.items() if piece not in special}
        merges = learn(spelled, symbols, size, min_frequency)

        divider = next((mark for mark in special if special_in_text and mark in pieces), "")
        return cls(symbols, merges, divider or begin_of(text, text[0]), special, special_in_text)

    def pieces(self, text):
        """The text cut into what is merged inside; special tokens are pieces of their own where they count as special."""
        if not self.cut:
            return self.plain_pieces(text)
        parts = self.cut.split(text)
        return [*chain.from_iterable([part] if odd % 2 else self.plain_pieces(part) for odd, part in enumerate(parts))]

    def plain_pieces(self, text):
        """A text without special tokens, cut by one pattern after the other; what none of them matches stays, too"""
        pieces = [unicodedata.normalize(self.form, text) if self.form else text]
        for pattern in self.patterns:
            pieces = [*chain.from_iterable(split_by_pattern(pattern, piece) for piece in pieces)]
        return pieces

    def encode(self, text):
        """text -> ids (n,) int32. No character is unknown; raises BadInput for half a surrogate pair, which UTF-8 cannot write."""
        return np.frombuffer(bytearray().join(map(self.merged.__getitem__, self.pieces(writable(text)))), dtype=np.int32)

    def parts(self, left, right):
        """Whether every text can be cut between these two characters, so that the ids of its two sides together are those of the whole"""
        pair = left + right
        if pair not in self.parted:
            self.parted[pair] = self.certainly_parts(left, right)
        return self.parted[pair]

    def certainly_parts(self, left, right):
        if self.special_in_text and any(left + right in mark for mark in self.special):
            return False
        if self.form and not apart_in(self.form, left, right):
            return False
        for pattern in self.patterns:
            if not pattern.separates(left, right):
                return False
            if pattern.begins(right):
                return True
        # a piece may go on here; but bytes that stand side by side in no token are never merged
        a, b = left.encode()[-1], right.encode()[0]
        return not self.whole and None not in (self.byte_ids[a], self.byte_ids[b]) and (a, b) not in self.neighbours

    @cached_property
    def neighbours(self):
        """The pairs of bytes that stand side by side in some token"""
        return {pair for token in self.bytes for pair in pairwise(token)}

    def decode(self, ids):
        """ids (n,) -> text; U+FFFD stands where the ids begin or end inside a character"""
        return self.decode_bytes(ids).decode(errors="replace")

    def decode_bytes(self, ids):
        """ids (n,) -> the exact bytes"""
        return b"".join(map(self.bytes.__getitem__, checked_ids(ids, self.size).tolist()))

    def unknown_in(self, text):
        """{}: bytes spell everything; or, where the vocabulary has gaps, {character without tokens: ""}"""
        return {each: "" for each in sorted(set(text)) if None in map(self.byte_ids.__getitem__, each.encode())} if self.gaps else {}

    def extend(self, text):
        """(this tokenizer, []): nothing has to be added."""
        return self, []

    def tokens(self):
        r"""The tokens in the order of their ids, for people to look at: " the", and \xe2 for a byte that is no whole character."""
        return [token.decode(errors="backslashreplace") for token in self.bytes]

    def to_json(self):
        kept_marks = {} if self.marks == NO_MARKS else {"marks": self.marks._asdict()}
        unlike_ours = {} if (self.cuts, self.form, self.whole, self.gaps) == (GPT2, "", False, False) else {
            "cuts": list(self.cuts), "form": self.form, "whole": self.whole, "gaps": self.gaps}
        return {"kind": self.kind, "begin": self.begin, "special": list(self.special), "special_in_text": self.special_in_text,
                **unlike_ours, **kept_marks, "vocabulary": self.vocabulary, "merges": [" ".join(pair) for pair in self.merges]}

    @classmethod
    def from_json(cls, record):
        """Raises BadInput where the record is not what to_json writes."""
        begin = writable(field(record, "begin", str))
        if not begin:
            raise BadInput("'begin' in the tokenizer file must be a text of one character or more")
        record = {"cuts": list(GPT2), "form": "", "whole": False, "gaps": False} | record
        vocabulary = texts(record, "vocabulary")
        return cls(vocabulary, pairs(texts(record, "merges")), begin,
                   texts(record, "special"), field(record, "special_in_text", bool), texts(record, "cuts"), field(record, "form", str),
                   field(record, "whole", bool), field(record, "gaps", bool), marks_from_json(record.get("marks", {}), vocabulary))

    def with_marks(self, marks):
        """The same tokenizer with these marks"""
        other = copy(self)
        other.marks = marks_from_json(marks._asdict(), self.vocabulary)
        return other

    # --- the files of others ---

    def post_processor(self):
        """The part of a tokenizer.json that puts marks before and behind a text; None where there are none"""
        marks = self.marks
        if not marks.before and not marks.after:
            return None
        mark = lambda token: {"SpecialToken": {"id": token, "type_id": 0}}
        one, other = ([*map(mark, marks.before), {"Sequence": {"id": which, "type_id": 0}}, *map(mark, marks.after)] for which in "AB")
        tokens = {each: {"id": each, "ids": [self.vocabulary.index(each)], "tokens": [each]} for each in (*marks.before, *marks.after)}
        return {"type": "TemplateProcessing", "single": one, "pair": [*one, *other], "special_tokens": tokens}

    def to_tokenizer_json(self):
        """The object of a Hugging Face tokenizer.json, which gives the same ids there."""
        specials = self.special_ids.items() if self.special_in_text else ()
        bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": self.cuts == GPT2}
        splits = [{"type": "Split", "pattern": {"Regex": cut}, "behavior": "Isolated", "invert": False} for cut in self.cuts]
        return {
            "version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True} for text, (i,) in specials],
            "normalizer": {"type": self.form} if self.form else None,
            "pre_tokenizer": bytes_ if self.cuts == GPT2 else {"type": "Sequence", "pretokenizers": [*splits, bytes_]},
            "post_processor": self.post_processor(),
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": self.whole,
                      "vocab": self.to_vocab(), "merges": [list(pair) for pair in self.merges]},
        }

    @classmethod
    def from_tokenizer_json(cls, record, begin=None):
        """The tokenizer of a Hugging Face tokenizer.json; raises BadInput unless it is byte-level BPE.

        Its added tokens count as special in a text, as they do there; `begin`, or the first of them, stands before a document. Its
        post-processor is not followed.
        """
        model = field(record, "model", dict)
        cuts, unlike = cuts_of(field(record, "pre_tokenizer", dict))
        unlike += [f"model.{name}" for name in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                                                "byte_fallback") if model.get(name)]
        unlike += ["model.type"] if model.get("type", "BPE") != "BPE" else []
        normal = record.get("normalizer") or {"type": ""}
        if isinstance(normal, dict) and normal.get("type") == "Sequence" and len(inside := field(normal, "normalizers", list)) < 2:
            normal = inside[0] if inside else {"type": ""}         # DeepSeek's is an empty one
        unlike += ["normalizer"] if not isinstance(normal, dict) or normal.get("type") not in FORMS else []
        if unlike:
            raise BadInput(f"this tokenizer.json is not byte-level BPE as GPT-2 began it: {', '.join(unlike)} differ")

        added = {}
        for token in field(record, "added_tokens", list):
            added[field(token, "content", str)] = field(token, "id", int)
            if any(token.get(flag) for flag in ("single_word", "lstrip", "rstrip")):
                raise BadInput(f"added token {token['content']!r:.40} has single_word, lstrip or rstrip, which is not supported")
        merges = [" ".join(map(str, pair)) if isinstance(pair, list) else pair for pair in field(model, "merges", list)]
        vocabulary = in_order(field(model, "vocab", dict) | added)
        return cls(vocabulary, pairs(texts({"merges": merges}, "merges")), begin or next(iter(added), "\n"), added, True, cuts,
                   normal["type"], bool(model.get("ignore_merges")), lacks_bytes(vocabulary))

    def to_vocab(self):
        """The object of a vocab.json: {spelling: id}"""
        return {spelling: i for i, spelling in enumerate(self.vocabulary)}

    def to_merges(self):
        """The text of a merges.txt"""
        return "\n".join(["#version: 0.2", *map(" ".join, self.merges), ""])

    @classmethod
    def from_files(cls, vocab, merges, special=("<|endoftext|>",), special_in_text=True):
        """The tokenizer of a vocab.json (or encoder.json) and a merges.txt (or vocab.bpe), given as their texts."""
        try:
            ids = json.loads(vocab)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"the vocabulary is not JSON: {error}") from None
        lines = merges.split("\n")
        lines = [line for line in lines[lines[0].startswith("#version"):] if line]
        return cls(in_order(field({"vocab": ids}, "vocab", dict)), pairs(texts({"merges": lines}, "merges")),
                   special[0] if special and special_in_text else "\n", special, special_in_text)


def lacks_bytes(vocabulary):
    """Whether some byte has no token, where hardly any does: more than a few missing are a mistake"""
    return 0 < len(set(LETTER_OF.values()) - set(vocabulary)) < 64


def apart_in(form, left, right):
    """Whether a Unicode form leaves these two characters as they are, whatever stands around them: no marks, no parts of Hangul syllables,
    and on the right nothing that a mark behind it could change"""
    joins = unicodedata.category(left)[0] == "M" or "\u1100" <= left <= "\u11ff" or "\ua960" <= left <= "\ud7ff" or left > "\uffff"
    return right.isascii() and not right.isalpha() and right not in "<=>" and not joins and unicodedata.normalize(form, left) == left


def split_by_pattern(pattern, text):
    """The matches of a pattern and what stands between them, in order"""
    at = 0
    for match in pattern.matches(text):
        if match.start() > at:
            yield text[at:match.start()]
        if match[0]:
            yield match[0]
        at = match.end()
    if at < len(text):
        yield text[at:]


def cuts_of(step):
    """(the patterns of a tokenizer.json's pre_tokenizer, the names of what has no counterpart here)"""
    steps = field(step, "pretokenizers", list) if step.get("type") == "Sequence" else [step]
    cuts, unlike = [], []
    for each in steps:
        kind = field(each, "type", str)
        if kind == "ByteLevel":
            cuts += GPT2 if each.get("use_regex", True) else ()
            unlike += ["pre_tokenizer.add_prefix_space"] if each.get("add_prefix_space", True) else []
        elif kind == "Digits":
            cuts.append(r"\p{N}" if each.get("individual_digits") else r"\p{N}+")
        elif kind == "Split" and isinstance(pattern := each.get("pattern"), dict) and \
                (each.get("behavior"), bool(each.get("invert"))) in (("Isolated", False), ("Removed", True)):
            cuts.append(field(pattern, "Regex", str) if "Regex" in pattern else regex.escape(field(pattern, "String", str)))
            if each["behavior"] == "Removed" and not all(map(translated(cuts[-1]).compiled.fullmatch, map(chr, range(0x3000)))):
                unlike.append("pre_tokenizer.Split (it removes text)")
        else:
            unlike.append(f"pre_tokenizer.{kind}")
    if not steps or steps[-1].get("type") != "ByteLevel":
        unlike.append("pre_tokenizer.type")
    return tuple(cuts), unlike


def pairs(merges):
    """["Ġ t", …] -> [("Ġ", "t"), …]"""
    found = [tuple(line.split(" ")) for line in merges]
    for pair in found:
        if len(pair) != 2 or not all(pair):
            raise BadInput(f"{' '.join(pair)!r:.40} is no merge: it must be two tokens with one space between")
    return found


def in_order(ids):
    """{spelling: id} -> spellings in the order of their ids, which must be 0, 1, 2, …"""
    if len(ids) > MAX_VOCABULARY:
        raise BadInput(f"the vocabulary has {len(ids)} tokens; at most {MAX_VOCABULARY} are read")
    if any(type(i) is not int for i in ids.values()) or sorted(ids.values()) != list(range(len(ids))):
        raise BadInput(f"the ids of the vocabulary must be 0 … {len(ids) - 1}, each once")
    return texts({"vocabulary": sorted(ids, key=ids.__getitem__)}, "vocabulary")
