"""text: how a text becomes token ids and is decoded again.

char, word, bpe: the tokenizers, one file each, with the same methods. tokenizer_helpers: what the three share. special_tokens: bos, eos and
the like, of imported models. oniguruma: the pre-tokenizer patterns of imported tokenizers. nursery: training texts of known entropy,
of which stories and sums are the kinds. chat: conversations as text. overlap: how much of a generated text is memorized.
A tokenizer is immutable: extend gives a new one in which every old id keeps its meaning.
"""
import codecs
from collections.abc import Iterable, Iterator
from typing import Any

from littlebaby.errors import BadInput, nearest
from littlebaby.text.bpe import BPE
from littlebaby.text.char import Char
from littlebaby.text.special_tokens import SpecialTokens, with_special_tokens
from littlebaby.text.tokenizer_helpers import begin_of, field, texts
from littlebaby.text.word import Word

Tokenizer = Char | Word | BPE
KINDS: dict[str, Any] = {"char": Char, "word": Word, "bpe": BPE}


def train(kind: str, text: str, size: int = 4096, unknown: str = "replace") -> Tokenizer:
    """A tokenizer of a kind of KINDS, trained on a text

    size     of the vocabulary, for word and bpe
    unknown  the rule for unknown characters, "replace" or "error", for char and word
    BadInput: an unknown kind, an empty text, a size that is too small.
    """
    if kind == "char":
        return Char.train(text, unknown)
    if kind == "word":
        return Word.train(text, size, unknown)
    if kind == "bpe":
        return BPE.train(text, size)
    raise BadInput(nearest("c_tokenizer", kind, KINDS))


def from_json(record: Any) -> Tokenizer:
    """The tokenizer of a record that `to_json` wrote, of a Hugging Face tokenizer.json, or of an old file of The Little Baby

    BadInput for anything else.
    """
    if isinstance(record, dict) and "kind" not in record and "model" in record:
        return BPE.from_tokenizer_json(record)
    if isinstance(record, dict) and "kind" not in record and "vocab" in record:
        vocabulary = texts(record, "vocab")
        return Char(vocabulary, begin_of(vocabulary, "".join(vocabulary[:1])))
    kind = field(record, "kind", str)
    if kind not in KINDS:
        raise BadInput(nearest("'kind' in the tokenizer file", kind, KINDS))
    tokenizer = KINDS[kind].from_json(record)
    return with_special_tokens(tokenizer, SpecialTokens.from_json(record.get("special_tokens") or {}, tokenizer.size))


def spelled_words(tokenizer: Tokenizer, text: str) -> list[str]:
    """The words of a text that a tokenizer of words does not know, so that it encodes their characters; none for other tokenizers"""
    return tokenizer.spelled_in(text) if isinstance(tokenizer, Word) else []


def stream(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """The text of ids piece by piece, as they come, always of whole characters; all pieces together are the decoded ids."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for i in ids:
        if text := decoder.decode(tokenizer.decode_bytes([i])):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text
