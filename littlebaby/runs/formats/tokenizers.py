"""Tokenizers in the files of others: a Hugging Face tokenizer.json in both directions, vocab.json with merges.txt inward.

char and word are a WordLevel model after Splits: characters are cut one by one; a word is cut off where the vocabulary has it, and
what it has not is cut into characters. The texts they give back are joined by a Fuse decoder.
"""
import json

import regex

from ... import text
from ...errors import BadInput
from ...text.bpe import BPE
from ...text.marks import Marks, marks_from_json, marks_of
from ...text.tokenizer_helpers import MAX_VOCABULARY
from ...text.word import PIECES
from ..disk import read_bytes
from ..records import quoted
from .tensors import json_object

OWN = "littlebaby"                       # where a file of ours keeps what the others have no place for


def in_folder(folder, size, config):
    """(a tokenizer of `size` tokens or None, a sentence where there is one that nobody here can follow)"""
    own, about = folder / "tokenizer.json", folder / "tokenizer_config.json"
    try:
        if own.exists():
            said, record = json_object(about) if about.exists() else {}, json_object(own)
            return with_marks(from_object(record, size, config, said.get(OWN)), folder, config, said, record), ""
        if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
            said, record = json_object(about) if about.exists() else {}, from_two_files(folder)
            return with_marks(from_object(record, size, config), folder, config, said, record), ""
    except BadInput as error:
        return None, f"the tokenizer was left behind: {error}"
    others = [name for name in ("tokenizer.model", "spiece.model") if (folder / name).exists()]
    return None, f"the tokenizer was left behind: {others[0]} is of SentencePiece, and byte-level BPE is read" if others else ""


def from_two_files(folder):
    """The object of a tokenizer.json, of GPT-2's two older files"""
    vocab = json_object(folder / "vocab.json")
    merges = (folder / "merges.txt").read_bytes().decode(errors="replace").split("\n")
    merges = [line for line in merges[merges[0].startswith("#version"):] if line]
    added = {"<|endoftext|>": vocab["<|endoftext|>"]} if "<|endoftext|>" in vocab else {}
    if (file := folder / "added_tokens.json").exists():
        added |= json_object(file)
    if (file := folder / "tokenizer_config.json").exists():
        for i, token in (json_object(file).get("added_tokens_decoder") or {}).items():
            if not isinstance(token, dict) or not str(i).isdecimal():
                raise BadInput("the added_tokens_decoder of tokenizer_config.json holds something else than tokens by id")
            added[token.get("content")] = int(i)
    if (file := folder / "special_tokens_map.json").exists():
        special = json_object(file)
        words = [spelled(special.get(key)) for key in special if key.endswith("_token")]
        words += map(spelled, special.get("additional_special_tokens") or [])
        added |= {word: vocab[word] for word in words if word in vocab}
    end = [dict(content=content, id=i) for content, i in added.items()]
    return dict(added_tokens=end, pre_tokenizer=dict(type="ByteLevel", add_prefix_space=False), model=dict(vocab=vocab, merges=merges))


def spelled(token):
    """How a special token is spelled that stands as a text or as an object with a `content`; "" for none"""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def with_marks(tokenizer, folder, config, about, record):
    """The tokenizer with the marks of its model: tokenizer_config.json, config.json, generation_config.json, the post-processor"""
    if tokenizer.kind != "bpe":
        return tokenizer
    if isinstance(kept := about.get(OWN), dict):                 # a file of ours: the marks that it had here
        return tokenizer.with_marks(marks_from_json(kept.get("marks", {}), tokenizer.vocabulary))
    generation = json_object(folder / "generation_config.json") if (folder / "generation_config.json").exists() else {}
    token_of = lambda i: tokenizer.vocabulary[i] if type(i) is int and 0 <= i < tokenizer.size else ""
    vocabulary = set(tokenizer.vocabulary)
    known = lambda *words: next((word for word in words if word in vocabulary), "")
    several = lambda ids: [token_of(i) for i in (ids if isinstance(ids, list) else [ids])]
    one = lambda name: known(spelled(about.get(f"{name}_token")), token_of(config.get(f"{name}_token_id")))
    ends = [spelled(about.get("eos_token")), *several(config.get("eos_token_id")), *several(generation.get("eos_token_id"))]
    before, after = frame(record.get("post_processor"))
    if "post_processor" not in record:                           # the two older files: settings say it
        before = [one("bos")] if about.get("add_bos_token") is True and one("bos") else []
        after = [one("eos")] if about.get("add_eos_token") is True and one("eos") else []
    return tokenizer.with_marks(Marks(one("bos"), tuple(dict.fromkeys(filter(known, ends))), one("pad"), one("unk"), tuple(before),
                                      tuple(after), chat_template(folder, about)))


def chat_template(folder, about):
    """The Jinja template of a model's conversations, the one named default where there are several; "" for none"""
    if (file := folder / "chat_template.jinja").exists():
        return read_bytes(file).decode("utf-8", "replace")
    said = about.get("chat_template")
    if isinstance(said, list):
        named = {each.get("name"): each.get("template") for each in said if isinstance(each, dict)}
        said = named.get("default", next(iter(named.values()), ""))
    return said if isinstance(said, str) else ""


def frame(processor):
    """(the tokens that a post-processor puts before a text, those behind it). BadInput where it does something else, too"""
    kind = processor.get("type") if isinstance(processor, dict) else None
    if processor is None or kind == "ByteLevel":
        return [], []
    if kind == "Sequence":
        before: list[str] = []
        after: list[str] = []
        for each in processor.get("processors") or []:
            first, last = frame(each)
            before, after = first + before, after + last
        return before, after
    if kind in ("BertProcessing", "RobertaProcessing"):
        return [processor["cls"][0]], [processor["sep"][0]]
    if kind != "TemplateProcessing" or not isinstance(processor.get("single"), list):
        raise BadInput(f"the post-processor of this tokenizer.json is {quoted(kind)}; TemplateProcessing, ByteLevel and Sequences are read")
    at = next((i for i, each in enumerate(processor["single"]) if "Sequence" in each), len(processor["single"]))
    tokens = {name: about.get("tokens", [name]) for name, about in (processor.get("special_tokens") or {}).items()}
    names = [each["SpecialToken"]["id"] if "SpecialToken" in each else None for each in processor["single"]]
    spell = lambda part: [token for name in part if name is not None for token in tokens.get(name, [name])]
    return spell(names[:at]), spell(names[at + 1:])


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


def marks_out(tokenizer):
    """The Marks that others are told; for a tokenizer of ours, the one token that ends a document"""
    marks, end = marks_of(tokenizer), end_of(tokenizer)
    if marks.bos or marks.eos or not end:
        return marks
    return marks._replace(bos=end, eos=(end,))


def mark_ids(tokenizer):
    """{"bos_token_id", "eos_token_id", "pad_token_id"} as config.json and generation_config.json have them; None for none"""
    marks = marks_out(tokenizer)
    place = lambda token: tokenizer.vocabulary.index(token) if token else None
    ends = [place(token) for token in marks.eos]
    eos = ends if len(ends) > 1 else ends[0] if ends else None
    return dict(bos_token_id=place(marks.bos), eos_token_id=eos, pad_token_id=place(marks.pad))


def tokenizer_files(tokenizer, n_ctx):
    """{file name: pieces of bytes}: what AutoTokenizer reads"""
    marks = marks_out(tokenizer)
    words = dict(bos_token=marks.bos, eos_token=next(iter(marks.eos), ""), pad_token=marks.pad, unk_token=marks.unk,
                 chat_template=marks.chat_template)
    about = dict(tokenizer_class="PreTrainedTokenizerFast", model_max_length=n_ctx, clean_up_tokenization_spaces=False,
                 **{key: word for key, word in words.items() if word})
    about[OWN] = {key: value for key, value in tokenizer.to_json().items() if key in ("kind", "begin", "unknown", "limit", "marks")}
    made = {"tokenizer.json": to_object(tokenizer), "tokenizer_config.json": about}
    return {name: [json.dumps(record, ensure_ascii=False).encode()] for name, record in made.items()}
