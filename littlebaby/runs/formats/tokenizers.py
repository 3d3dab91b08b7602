"""Tokenizers in foreign files: a Hugging Face tokenizer.json in both directions, vocab.json with merges.txt for reading only.

A char or word tokenizer is written as a WordLevel model behind Split pre-tokenizers: char splits a text into characters; word splits it
into words that the vocabulary has, and everything else into characters. A Fuse decoder joins the tokens without spaces between them.
"""
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import regex

from ... import text
from ...errors import BadInput, quoted
from ...text import Tokenizer
from ...text.bpe import BPE, QWEN2
from ...text.special_tokens import SpecialTokens, checked_template, with_special_tokens
from ...text.tokenizer_helpers import MAX_VOCABULARY
from ...text.word import PIECES
from .tensors import json_object

OWN = "littlebaby"                       # the key of tokenizer_config.json under which littlebaby keeps settings of its own


class Companions(NamedTuple):
    """The files beside a tokenizer.json; {} for a file that does not exist"""
    config: Mapping[str, Any]        # config.json
    generation: Mapping[str, Any]    # generation_config.json
    about: Mapping[str, Any]         # tokenizer_config.json and, of older folders, special_tokens_map.json
    added: list[dict[str, Any]]      # [{"content", "id", ...}, ...] of tokens that tokenizer.json itself does not list
    template: Any                    # the chat template, from whichever file has it


def in_folder(folder: Path, size: int, config: Mapping[str, Any]) -> tuple[Tokenizer | None, str]:
    """(tokenizer or None, a note where the folder has one that is not imported, else "")

    size: that of the model's vocabulary      config: the object of config.json
    """
    path = folder / "tokenizer.json"
    try:
        if path.exists():
            return from_object(json_object(path), size, companions(folder, config)), ""
        if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
            files = companions(folder, config)
            return from_object(from_two_files(folder, files), size, files), ""
    except BadInput as error:
        return None, f"the tokenizer was not imported: {error}"
    others = [name for name in ("tokenizer.model", "spiece.model") if (folder / name).exists()]
    return None, f"the tokenizer was not imported: {others[0]} is of SentencePiece, and only byte-level BPE is read" if others else ""


def companions(folder: Path, config: Mapping[str, Any]) -> Companions:
    """The Companions of a folder, each key from the file from which transformers takes it. BadInput where an id or a template is invalid"""
    read = lambda name: json_object(folder / name) if (folder / name).exists() else {}
    about, old = read("tokenizer_config.json"), read("special_tokens_map.json")
    listed = about.get("added_tokens_decoder")
    if isinstance(listed, dict):
        try:
            added = [dict(token if isinstance(token, dict) else dict(content=token), id=int(i)) for i, token in listed.items()]
        except ValueError:
            raise BadInput("the 'added_tokens_decoder' of tokenizer_config.json has a key that is not an id") from None
        about = old | about
    else:
        added = [dict(content=token, id=i) for token, i in read("added_tokens.json").items()]
        about = about | {key: value for key, value in old.items() if value is not None}
    if (folder / "chat_template.jinja").exists():
        template = (folder / "chat_template.jinja").read_bytes().decode(errors="replace")
    else:
        template = about.get("chat_template") or read("chat_template.json").get("chat_template") or ""
    return Companions(config, read("generation_config.json"), about, added, checked_template(template))


# the special tokens of the classes of transformers where tokenizer_config.json names none
END = "<|endoftext|>"
CLASSES = dict(GPT2=dict(bos_token=END, eos_token=END, unk_token=END), Qwen2=dict(eos_token=END, pad_token=END, unk_token=END))
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def tokenizer_class(files: Companions) -> str:
    """GPT2, Qwen2 or another class of transformers, without "Tokenizer" or "TokenizerFast" at its end; "" where none is named"""
    named = files.about.get("tokenizer_class")
    kind = dict(qwen2="Qwen2", gpt2="GPT2", starcoder2="GPT2").get(str(files.config.get("model_type")), "")
    return named.removesuffix("Fast").removesuffix("Tokenizer") if isinstance(named, str) else kind


def from_two_files(folder: Path, files: Companions) -> dict[str, Any]:
    """The object of a tokenizer.json, made from vocab.json and merges.txt with the pre-tokenizer of the class that reads them

    BadInput where littlebaby does not know the pre-tokenizer of that class.
    """
    kind = tokenizer_class(files)
    kind = "GPT2" if kind in ("", "PreTrained", "TokenizersBackend") else kind
    if kind not in CLASSES:
        raise BadInput(f"vocab.json and merges.txt are read as {kind}Tokenizer's; "
                       f"littlebaby knows the pre-tokenizers of {' and '.join(CLASSES)}")
    vocab = json_object(folder / "vocab.json")
    merges = (folder / "merges.txt").read_bytes().decode(errors="replace").split("\n")
    merges = [line for line in merges[merges[0].startswith("#version"):] if line]
    cut = dict(type="ByteLevel", add_prefix_space=bool(files.about.get("add_prefix_space")), use_regex=kind == "GPT2")
    qwen2 = dict(type="Split", pattern=dict(Regex=QWEN2[0]), behavior="Isolated", invert=False)
    named = named_tokens(files, vocab)
    inserted = lambda role: [dict(SpecialToken=dict(id=named[role]))] if files.about.get(f"add_{role}") and role in named else []
    end = [dict(content=END, id=vocab[END])] if END in vocab else []
    return dict(added_tokens=end, model=dict(vocab=vocab, merges=merges), normalizer=dict(type="NFC") if kind == "Qwen2" else None,
                pre_tokenizer=dict(type="Sequence", pretokenizers=[qwen2, cut]) if kind == "Qwen2" else cut,
                post_processor=dict(type="TemplateProcessing", single=[*inserted("bos_token"), SEQUENCE, *inserted("eos_token")]))


def content_of(token: Any) -> str | None:
    """The text of a token that a file gives as a text or as an object with a "content"; None where it has neither"""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) and content else None


def named_tokens(files: Companions, vocab: Mapping[str, int]) -> dict[str, str]:
    """{"bos_token": its text, ...} as tokenizer_config.json names them, or the defaults of its class where it names none"""
    defaults = {key: token for key, token in CLASSES.get(tokenizer_class(files), {}).items() if token in vocab}
    configured = {key: content_of(files.about[key]) for key in NAMED if key in files.about}
    return {key: token for key, token in (defaults | configured).items() if token}


def from_object(record: dict[str, Any], size: int, files: Companions) -> Tokenizer:
    """The tokenizer of the object of a tokenizer.json, with `size` tokens; an id without a token gets <|unused_ID|>

    BadInput where the object is invalid, has more tokens than `size`, or is of a kind that littlebaby cannot reproduce.
    """
    if "kind" in record or "vocab" in record:
        return fitted(text.from_json(record), size)
    model, own = record.get("model"), files.about.get(OWN)
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict):
        raise BadInput("a tokenizer.json has a 'model' with a 'vocab'; this one has none")
    named = named_tokens(files, model["vocab"])
    if model.get("type") == "WordLevel":
        ids = {**model["vocab"]}
        special = special_tokens(record, ids, named, files, size)
        return with_special_tokens(fitted(word_level(model["vocab"], own), size), special)
    added = record.get("added_tokens") or []
    if not isinstance(added, list) or not all(isinstance(token, dict) and isinstance(token.get("content"), str) for token in added):
        raise BadInput("the 'added_tokens' of a tokenizer.json are a list of objects with a 'content'; these are not")
    added = with_other_tokens(added, model["vocab"], named, files, size)
    ids = {**model["vocab"], **{token["content"]: token.get("id") for token in added}}
    if (largest := max((i for i in ids.values() if type(i) is int), default=-1)) >= size:
        raise BadInput(f"the tokenizer has a token with id {largest:,}, but the model's token table has {size:,} rows")
    special = special_tokens(record, ids, named, files, size)
    if all(type(i) is int and i >= 0 for i in ids.values()) and size <= MAX_VOCABULARY:
        unused = sorted(set(range(size)) - set(ids.values()))
        record = {**record, "added_tokens": [*added, *(dict(content=f"<|unused_{i}|>", id=i) for i in unused)]}
    token_of = {i: token for token, i in ids.items() if type(i) is int}
    if isinstance(own, dict) and isinstance(own.get("begin"), str) and own["begin"]:
        begin = own["begin"]
    else:
        first = next((token_of[i] for i in (special.bos, *special.eos, special.eos_token) if i in token_of), None)
        begin = first if first in {token["content"] for token in added} else None
    tokenizer = fitted(BPE.from_tokenizer_json(record, begin), size)
    end = end_id(tokenizer)
    if end is not None and isinstance(own, dict) and own.get("special_tokens") == {} and special == SpecialTokens(bos=end, eos=(end,)):
        return tokenizer                                         # `tokenizer_files` added the end of text only for other programs
    return with_special_tokens(tokenizer, special)


def with_other_tokens(added: list[dict[str, Any]], vocab: Mapping[str, int], named: Mapping[str, str], files: Companions,
                      size: int) -> list[dict[str, Any]]:
    """The added tokens of a tokenizer.json and those of the files beside it, [{"content", "id"}, ...]

    A token whose text is known keeps its id; a named token without an id gets the next one, as in transformers, unless it is `size` or
    more. BadInput where a token has no text.
    """
    added = list(added)
    ids = {**vocab, **{token["content"]: token.get("id") for token in added}}
    more = files.about.get("additional_special_tokens") or files.about.get("extra_special_tokens") or []
    more = [content_of(token) for token in (more.values() if isinstance(more, dict) else more if isinstance(more, list) else [])]
    by_name: list[dict[str, Any]] = [dict(content=token, id=None) for token in (*named.values(), *more) if token]
    known = {token["content"] for token in added}
    for token in (*files.added, *by_name):
        content = content_of(token)
        if content is None:
            raise BadInput("an added token in tokenizer_config.json has no 'content'")
        if content in known:
            continue
        following = max((i for i in ids.values() if type(i) is int), default=-1) + 1
        if content not in ids and token["id"] is None and following >= size:
            continue                                             # the model's token table has no row for it
        ids.setdefault(content, following if token["id"] is None else token["id"])
        added.append({**token, "content": content, "id": ids[content]})
        known.add(content)
    return added


# special tokens, and the tokens around every text

def special_tokens(record: Mapping[str, Any], ids: Mapping[str, Any], named: Mapping[str, str], files: Companions,
                   size: int) -> SpecialTokens:
    """The SpecialTokens of a tokenizer, from all its files

    eos comes from generation_config.json, else from config.json, else from the tokenizer; bos and pad come from the tokenizer where it
    names them. An id of `size` or more is ignored. BadInput where the post-processor cannot be reproduced.
    record: the object of tokenizer.json      ids: {text of a token: id}      named: from `named_tokens`
    """
    def numbers(key):
        for file in (files.generation, files.config):
            value = file.get(key)
            found = [i for i in (value if isinstance(value, list) else [value]) if type(i) is int and 0 <= i < size]
            if found:
                return tuple(dict.fromkeys(found))
        return ()

    def role(name):
        own = ids.get(named.get(f"{name}_token", ""))
        return own if type(own) is int and 0 <= own < size else None

    first = lambda name: role(name) if role(name) is not None else next(iter(numbers(f"{name}_token_id")), None)
    eos, own = numbers("eos_token_id"), role("eos")
    prefix, suffix = around(record.get("post_processor"), ids, size)
    return SpecialTokens(first("bos"), eos or (() if own is None else (own,)), own if eos and own != eos[0] else None, first("pad"),
                         role("unk"), prefix, suffix, files.template)


SEQUENCE = dict(Sequence=dict(id="A"))


def around(processor: Any, ids: Mapping[str, Any], size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(ids before, ids after) every text, of the post_processor of a tokenizer.json

    ids: {text of a token: id}. BadInput where one is not below `size`, or the post_processor cannot be reproduced.
    """
    before, after = around_by_name(processor, ids)
    if any(type(i) is not int or not 0 <= i < size for i in (*before, *after)):
        raise BadInput("its post_processor adds a token to every text that the vocabulary lacks")
    return tuple(before), tuple(after)


def around_by_name(processor: Any, ids: Mapping[str, Any]) -> tuple[list, list]:
    """The same, before the ids are checked"""
    if not processor:
        return [], []
    kind = processor.get("type") if isinstance(processor, dict) else None
    if kind == "ByteLevel":                                      # changes positions in the text, not ids
        return [], []
    if kind == "Sequence" and isinstance(processor.get("processors"), list):
        adding = [found for each in processor["processors"] if any(found := around_by_name(each, ids))]
        if len(adding) > 1:                                      # the ids that the library gives then follow no documented rule
            raise BadInput(f"its post_processor adds tokens to every text {len(adding)} times; littlebaby supports one time")
        return adding[0] if adding else ([], [])
    if kind in ("BertProcessing", "RobertaProcessing"):
        ends = [processor.get(name) for name in ("cls", "sep")]
        if all(isinstance(end, list) and len(end) == 2 for end in ends):
            return [ends[0][1]], [ends[1][1]]
    if kind == "TemplateProcessing" and isinstance(processor.get("single"), list):
        return around_template(processor, ids)
    raise BadInput(f"its post_processor is {quoted(kind)}; littlebaby supports ByteLevel, TemplateProcessing, BertProcessing, "
                   f"RobertaProcessing and a Sequence of them")


def around_template(processor: Mapping[str, Any], ids: Mapping[str, Any]) -> tuple[list, list]:
    """(ids before, ids after) of a TemplateProcessing. BadInput unless its template contains the text exactly once"""
    sides: list = [[]]
    table = processor.get("special_tokens") or {}
    for part in processor["single"]:
        name = part.get("SpecialToken", {}).get("id") if isinstance(part, dict) and isinstance(part.get("SpecialToken", {}), dict) else None
        if isinstance(part, dict) and "Sequence" in part:
            sides.append([])
        elif not isinstance(name, str):
            raise BadInput("its post_processor has a template with a part that is neither a token nor the text")
        elif isinstance(table, dict) and isinstance(entry := table.get(name), dict) and isinstance(entry.get("ids"), list):
            sides[-1] += entry["ids"]
        else:
            sides[-1].append(ids.get(name))
    if len(sides) != 2:
        raise BadInput(f"its post_processor has a template that contains the text {len(sides) - 1} times; littlebaby supports one time")
    return sides[0], sides[1]


def fitted(tokenizer: Tokenizer, size: int) -> Tokenizer:
    """The tokenizer. BadInput unless it has as many tokens as the model's token table has rows"""
    if tokenizer.size != size:
        raise BadInput(f"the tokenizer has {tokenizer.size:,} tokens, but the model's token table has {size:,} rows")
    return tokenizer


# char and word as a tokenizer.json

def to_object(tokenizer: Tokenizer) -> dict[str, Any]:
    """The object of a tokenizer.json with which the library tokenizers gives the same ids"""
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


# the pattern of word for Oniguruma, in which (?m) makes a dot match a new line
ONIGURUMA = f"(?m:{PIECES.pattern})"


def known_words(vocabulary: list[str]) -> str:
    """A pattern that splits a piece: it matches the piece, or what follows its space, if the vocabulary has it; else single characters"""
    words = sorted((word for word in vocabulary if len(word) > 1), key=lambda word: (-len(word), word))
    either = "|".join(regex.sub(r"([\\^$.|?*+()\[\]{}])", r"\\\1", word) for word in words)
    return rf"\A(?:{either})\z|(?<=\A )(?:{either})\z|(?m:.)" if words else "(?m:.)"


def word_level(vocab: Mapping[str, int], own: Any) -> Tokenizer:
    """The char or word tokenizer that `to_object` wrote

    own: what `tokenizer_files` wrote under OWN; without it, every token must be a character. BadInput where the vocabulary is invalid.
    """
    if not isinstance(own, dict):
        if any(len(token) != 1 for token in vocab):
            raise BadInput("a WordLevel tokenizer.json is read where every token is a character, or where littlebaby wrote it")
        own = dict(kind="char", begin="\n" if "\n" in vocab else next(iter(vocab), ""), unknown="replace")
    if sorted(map(str, vocab.values())) != sorted(map(str, range(len(vocab)))):
        raise BadInput(f"the ids of the vocabulary must be 0 to {len(vocab) - 1}, each once; there are {quoted([*vocab.values()][:3])} ...")
    return text.from_json({**own, "vocabulary": sorted(vocab, key=vocab.__getitem__)})


# writing

def end_id(tokenizer: Tokenizer | None) -> int | None:
    """The id that ends a document; None where the tokenizer has none, or there is no tokenizer"""
    if tokenizer is None:
        return None
    if tokenizer.special_tokens.main_eos is not None:
        return tokenizer.special_tokens.main_eos
    if tokenizer.kind != "bpe" or not tokenizer.special:
        return None
    return tokenizer.special_ids[tokenizer.begin if tokenizer.begin in tokenizer.special else tokenizer.special[0]][0]


def ids_for_others(tokenizer: Tokenizer | None) -> dict[str, Any]:
    """{"bos_token_id": ..., "eos_token_id": an id or a list, "pad_token_id": ...} for config.json and generation_config.json"""
    special = tokenizer.special_tokens if tokenizer else SpecialTokens()
    end = end_id(tokenizer)
    eos: Any = list(special.eos) if len(special.eos) > 1 else end if not special.eos else special.eos[0]
    bos = end if special.bos is None and not special.eos else special.bos
    return dict(bos_token_id=bos, eos_token_id=eos, pad_token_id=special.pad)


def post_processor(tokenizer: Tokenizer) -> dict[str, Any] | None:
    """The post_processor of a tokenizer.json that puts the prefix and the suffix around every text; None where both are empty"""
    special = tokenizer.special_tokens
    if not special.prefix and not special.suffix:
        return None
    token = lambda i, side: dict(SpecialToken=dict(id=f"<{i}>", type_id=side))
    one = lambda name, side: [*(token(i, side) for i in special.prefix), dict(Sequence=dict(id=name, type_id=side)),
                              *(token(i, side) for i in special.suffix)]
    tokens = {f"<{i}>": dict(id=f"<{i}>", ids=[i], tokens=[tokenizer.vocabulary[i]]) for i in (*special.prefix, *special.suffix)}
    return dict(type="TemplateProcessing", single=one("A", 0), pair=[*one("A", 0), *one("B", 1)], special_tokens=tokens)


def tokenizer_files(tokenizer: Tokenizer, n_ctx: int) -> dict[str, list[bytes]]:
    """{file name: pieces of bytes} of the files that AutoTokenizer reads. n_ctx: the context length, tokens"""
    special, end = tokenizer.special_tokens, end_id(tokenizer)
    roles = dict(bos_token=end if special.bos is None and not special.eos else special.bos, eos_token=end, pad_token=special.pad,
                 unk_token=special.unk)
    # AutoTokenizer encodes a named token wherever a text contains its text: only tokens that are special here are named, for the others
    # config.json has the ids
    named = {key: tokenizer.vocabulary[i] for key, i in roles.items() if i is not None}
    about: dict[str, Any] = dict(tokenizer_class="PreTrainedTokenizerFast", model_max_length=n_ctx, clean_up_tokenization_spaces=False)
    about |= {key: token for key, token in named.items() if token in getattr(tokenizer, "special", ())}
    if special.chat_template:
        about["chat_template"] = special.chat_template
    about[OWN] = {key: value for key, value in tokenizer.to_json().items() if key in ("kind", "begin", "unknown", "limit")}
    about[OWN] |= {} if special.to_json() else dict(special_tokens={})
    records = {"tokenizer.json": to_object(tokenizer) | dict(post_processor=post_processor(tokenizer)), "tokenizer_config.json": about}
    return {name: [json.dumps(record, ensure_ascii=False).encode()] for name, record in records.items()}
