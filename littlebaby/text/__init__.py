"""text: how a text becomes numbers and comes back.

char, word, bpe: the tokenizers, one file each, alike in what they offer. tokenizer_helpers: what the three share. special_tokens: bos, eos
and the like, of models from elsewhere. oniguruma: the patterns of others' tokenizers. nursery: a text to learn from whose entropy is known.
chat: conversations as text. tasks: questions with a right answer.
A tokenizer never changes: extend gives a new one in which every old id means what it meant.
"""
import codecs

from littlebaby.errors import BadInput, nearest
from littlebaby.text.bpe import BPE
from littlebaby.text.char import Char
from littlebaby.text.special_tokens import SpecialTokens, with_special_tokens
from littlebaby.text.tokenizer_helpers import begin_of, field, texts
from littlebaby.text.word import Word

KINDS = {"char": Char, "word": Word, "bpe": BPE}


def train(kind, text, size=4096, unknown="replace"):
    """A tokenizer of this kind for this text: `size` is for word and bpe, the rule `unknown` (replace, error) for char and word."""
    if kind == "char":
        return Char.train(text, unknown)
    if kind == "word":
        return Word.train(text, size, unknown)
    if kind == "bpe":
        return BPE.train(text, size)
    raise BadInput(nearest("c_tokenizer", kind, KINDS))


def from_json(record):
    """The tokenizer of a record that to_json wrote; a Hugging Face tokenizer.json and old files of The Little Baby are read too.

    Raises BadInput for anything else.
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


def stream(tokenizer, ids):
    """Pieces of text as their ids come in, never half a character; together they are decode of all the ids."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for i in ids:
        if text := decoder.decode(tokenizer.decode_bytes([i])):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text
