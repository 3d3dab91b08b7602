"""special_tokens: which tokens begin, end and pad a text, and which a tokenizer puts around every prompt.

A model from elsewhere says it in its own files (generation_config.json, a tokenizer's post-processor, a GGUF's header). A tokenizer that
was learned here has none of them: what begins a document is its `begin`.
"""
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from littlebaby.errors import BadInput


class SpecialTokens(NamedTuple):
    """Ids by their role; None, () and "" where there is none

    eos            all the ids that end what the model writes, in its own order
    eos_token      the one that its tokenizer calls eos, where that is not the first of `eos`
    prefix suffix  what its tokenizer puts before and after every text
    chat_template  Jinja as transformers takes it: a text, or [{"name": ..., "template": ...}, ...]; kept for others, not run here
    """
    bos: int | None = None
    eos: tuple[int, ...] = ()
    eos_token: int | None = None
    pad: int | None = None
    unk: int | None = None
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    chat_template: Any = ""

    @property
    def stops(self):
        """Every id that ends what the model writes"""
        return self.eos if self.eos_token is None or self.eos_token in self.eos else (*self.eos, self.eos_token)

    @property
    def main_eos(self):
        """The one id to name where there is room for a single one, or None"""
        return self.eos_token if self.eos_token is not None else self.eos[0] if self.eos else None

    def to_json(self):
        """What differs from a tokenizer without any, {} where nothing does"""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._asdict().items()
                if value != self._field_defaults[name]}

    @classmethod
    def from_json(cls, record, size):
        """Raises BadInput where the record is not what to_json writes for a vocabulary of `size`"""
        if not isinstance(record, dict) or (strange := sorted(record.keys() - set(cls._fields))):
            said = f"'special_tokens' in the tokenizer file names {strange[0]!r:.40}" if isinstance(record, dict) else \
                "'special_tokens' in the tokenizer file is no object"
            raise BadInput(f"{said}; it may name {', '.join(cls._fields)}")
        found = {}
        for name, value in record.items():
            ids = value if isinstance(value, list) else [value]
            if name == "chat_template":
                found[name] = checked_template(value)
            elif isinstance(value, list) != isinstance(cls._field_defaults[name], tuple) or \
                    not all(type(i) is int and 0 <= i < size for i in ids):
                raise BadInput(f"{name!r} of 'special_tokens' in the tokenizer file is {value!r:.40}; its ids lie between 0 and {size - 1}")
            else:
                found[name] = tuple(value) if isinstance(value, list) else value
        return cls(**found)


def checked_template(value):
    """A chat template, or BadInput"""
    named = isinstance(value, list) and all(isinstance(each, dict) and set(each) == {"name", "template"} and
                                            all(isinstance(text, str) for text in each.values()) for each in value)
    if not isinstance(value, str) and not named:
        raise BadInput(f"a chat template is a text or a list of objects with 'name' and 'template', not {value!r:.40}")
    return value


def special_record(tokenizer):
    """The entry of a tokenizer's record: {} where there are no special tokens"""
    found = tokenizer.special_tokens.to_json()
    return {"special_tokens": found} if found else {}


def with_special_tokens(tokenizer, special_tokens):
    """The same tokenizer with these special tokens"""
    other = copy(tokenizer)
    other.special_tokens = special_tokens
    return other


def surrounded(tokenizer, ids):
    """ids (n,) of a text between the prefix and the suffix of its tokenizer"""
    special = tokenizer.special_tokens
    return np.concatenate([np.array(special.prefix, np.int32), ids, np.array(special.suffix, np.int32)])


def bare(tokenizer, ids):
    """ids (n,) without the prefix and the suffix that `surrounded` puts around them"""
    special, ids = tokenizer.special_tokens, np.asarray(ids)
    n, m = len(special.prefix), len(special.suffix)
    ids = ids[n:] if n and tuple(ids[:n]) == special.prefix else ids
    return ids[:-m] if m and tuple(ids[-m:]) == special.suffix else ids


def prompt_ids(tokenizer, prompt):
    """ids (n,) of what a model reads before it writes; an empty prompt begins a document"""
    if not prompt:
        return np.array(tokenizer.special_tokens.prefix, np.int32) if tokenizer.special_tokens.prefix else tokenizer.encode(tokenizer.begin)
    ids = tokenizer.encode(prompt)
    if not len(ids):
        raise BadInput(f"nothing of the prompt {prompt!r} is known to this model's tokenizer")
    return surrounded(tokenizer, ids)
