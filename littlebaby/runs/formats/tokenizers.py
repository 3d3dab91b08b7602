"""Tokenizers in the files of others: a Hugging Face tokenizer.json in both directions, vocab.json with merges.txt inward.

char and word are a WordLevel model after Splits: characters are cut one by one; a word is cut off where the vocabulary has it, and
what it has not is cut into characters. The texts they give back are joined by a Fuse decoder.
"""
import json

import regex

from ... import text
from ...errors import BadInput
from ...text.bpe import BPE
from ...text.tokenizer_helpers import MAX_VOCABULARY
from ...text.word import PIECES
from ..records import quoted
from .tensors import json_object

OWN = "littlebaby"                       # where a file of ours keeps what the others have no place for


def in_folder(folder, size, config):
    """(a tokenizer of `size` tokens or None, a sentence where there is one that nobody here can follow)"""
    own, about = folder / "tokenizer.json", folder / "tokenizer_config.json"
    try:
        if own.exists():
            kept = json_object(about).get(OWN) if about.exists() else None
            return from_object(json_object(own), size, config, kept), ""
        if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
            return from_object(from_two_files(folder), size, config), ""
    except BadInput as error:
        return None, f"the tokenizer was left behind: {error}"
    others = [name for name in ("tokenizer.model", "spiece.model") if (folder / name).exists()]
    return None, f"the tokenizer was left behind: {others[0]} is of SentencePiece, and byte-level BPE is read" if others else ""


def from_two_files(folder):
    """The object of a tokenizer.json, of GPT-2's two older files"""
    vocab = json_object(folder / "vocab.json")
    merges = (folder / "merges.txt").read_bytes().decode(errors="replace").split("\n")
    merges = [line for line in merges[merges[0].startswith("#version"):] if line]
    end = [dict(content="<|endoftext|>", id=vocab["<|endoftext|>"])] if "<|endoftext|>" in vocab else []
    return dict(added_tokens=end, pre_tokenizer=dict(type="ByteLevel", add_prefix_space=False), model=dict(vocab=vocab, merges=merges))


def from_object(record, size, config, kept=None):
    """The tokenizer of the object of a tokenizer.json; ids without a token get one that no text spells"""
    if "kind" in record or "vocab" in record:
        return fitted(text.from_json(record), size)
    model = record.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict):
        raise BadInput("a tokenizer.json has a 'model' with a 'vocab'; this one has none")
    if model.get("type") == "WordLevel":
        return fitted(word_level(model["vocab"], kept), size)
    added = record.get("added_tokens") or []
    if not isinstance(added, list) or not all(isinstance(token, dict) and isinstance(token.get("content"), str) for token in added):
        raise BadInput("the 'added_tokens' of a tokenizer.json are a list of objects with a 'content'; these are not")
    ids = {**model["vocab"], **{token["content"]: token.get("id") for token in added}}
    if (largest := max((i for i in ids.values() if type(i) is int), default=-1)) >= size:
        raise BadInput(f"the tokenizer has a token of id {largest:,} and the model's table {size:,} rows")
    if all(type(i) is int and i >= 0 for i in ids.values()) and size <= MAX_VOCABULARY:
        free = sorted(set(range(size)) - set(ids.values()))
        record = {**record, "added_tokens": [*added, *(dict(content=f"<|unused_{i}|>", id=i) for i in free)]}
    spelled = {i: token for token, i in ids.items() if type(i) is int}
    if isinstance(kept, dict) and isinstance(kept.get("begin"), str) and kept["begin"]:
        return fitted(BPE.from_tokenizer_json(record, kept["begin"]), size)
    begin = next((spelled[i] for key in ("bos_token_id", "eos_token_id") if type(i := config.get(key)) is int and i in spelled), None)
    return fitted(BPE.from_tokenizer_json(record, begin if begin in {token["content"] for token in added} else None), size)


def fitted(tokenizer, size):
    """The tokenizer, which must have as many tokens as the model's table has rows"""
    if tokenizer.size != size:
        raise BadInput(f"the tokenizer has {tokenizer.size:,} tokens and the model's table {size:,} rows")
    return tokenizer


# char and word as others read them

def to_object(tokenizer):
    """The object of a tokenizer.json, which gives the same ids in the library tokenizers"""
    if tokenizer.kind == "bpe":
        return tokenizer.to_tokenizer_json()
    vocabulary = tokenizer.tokens()
    cut = lambda pattern: dict(type="Split", pattern=dict(Regex=pattern), behavior="Isolated", invert=False)
    splits = [cut(r"(?m:.)")] if tokenizer.kind == "char" else [cut(ONIGURUMA), cut(known_words(vocabulary))]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": splits}, "post_processor": None, "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": {token: i for i, token in enumerate(vocabulary)}, "unk_token": vocabulary[0]},
    }


# word's own pattern for Oniguruma, where (?m) lets a dot stand for a new line
ONIGURUMA = f"(?m:{PIECES.pattern})"


def known_words(vocabulary):
    """A pattern for one piece: the whole of it where it is a word of the vocabulary, or what follows its space, or one character"""
    words = sorted((word for word in vocabulary if len(word) > 1), key=lambda word: (-len(word), word))
    either = "|".join(regex.sub(r"([\\^$.|?*+()\[\]{}])", r"\\\1", word) for word in words)
    return rf"\A(?:{either})\z|(?<=\A )(?:{either})\z|(?m:.)" if words else "(?m:.)"


def word_level(vocab, own):
    """char or word, from the vocabulary that to_object wrote and what `files` kept beside it"""
    if not isinstance(own, dict):
        if any(len(token) != 1 for token in vocab):
            raise BadInput("a WordLevel tokenizer.json is read where every token is a character, or where littlebaby wrote it")
        own = dict(kind="char", begin="\n" if "\n" in vocab else next(iter(vocab), ""), unknown="replace")
    if sorted(map(str, vocab.values())) != sorted(map(str, range(len(vocab)))):
        raise BadInput(f"the ids of the vocabulary must be 0 to {len(vocab) - 1}, each once; there are {quoted([*vocab.values()][:3])} ...")
    return text.from_json({**own, "vocabulary": sorted(vocab, key=vocab.__getitem__)})


def end_of(tokenizer):
    """The single token that ends a document, "" where the tokenizer has none"""
    if tokenizer is None or tokenizer.kind != "bpe" or not tokenizer.special:
        return ""
    return tokenizer.begin if tokenizer.begin in tokenizer.special else tokenizer.special[0]


def tokenizer_files(tokenizer, n_ctx, end=""):
    """{file name: pieces of bytes}: what AutoTokenizer reads"""
    about = dict(tokenizer_class="PreTrainedTokenizerFast", model_max_length=n_ctx, clean_up_tokenization_spaces=False,
                 **dict(eos_token=end, bos_token=end) if end else {})
    about[OWN] = {key: value for key, value in tokenizer.to_json().items() if key in ("kind", "begin", "unknown", "limit")}
    made = {"tokenizer.json": to_object(tokenizer), "tokenizer_config.json": about}
    return {name: [json.dumps(record, ensure_ascii=False).encode()] for name, record in made.items()}
