"""special_tokens: the tokens that begin, end and pad a text, and those that a tokenizer puts around every prompt.

An imported model has them in its files (generation_config.json, the post-processor of its tokenizer, the header of a GGUF). A tokenizer
that was trained here has none: its `begin` separates documents.
"""
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from littlebaby.errors import BadInput

if TYPE_CHECKING:
    from littlebaby.text import Tokenizer

T = TypeVar("T")


class SpecialTokens(NamedTuple):
    """The ids of each role; None, () or "" where a role is not used

    eos            all ids that end a generation, in the order of the model's files
    eos_token      the id that the tokenizer calls eos, where that is not the first of `eos`
    prefix suffix  the ids that the tokenizer puts before and after every text
    chat_template  Jinja as in transformers: a text, or [{"name": ..., "template": ...}, ...]; stored for export, not executed here
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
    def stops(self) -> tuple[int, ...]:
        """Every id that ends a generation"""
        return self.eos if self.eos_token is None or self.eos_token in self.eos else (*self.eos, self.eos_token)

    @property
    def main_eos(self) -> int | None:
        """The eos id for formats that have room for a single one, or None"""
        return self.eos_token if self.eos_token is not None else self.eos[0] if self.eos else None

    def to_json(self) -> dict[str, Any]:
        """{role: its ids} of the roles that are used"""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._asdict().items()
                if value != self._field_defaults[name]}

    @classmethod
    def from_json(cls, record: Any, size: int) -> "SpecialTokens":
        """The SpecialTokens of a record of `to_json`. BadInput where it is none, or has an id outside a vocabulary of `size` tokens"""
        if not isinstance(record, dict):
            raise BadInput(f"'special_tokens' in the tokenizer file is not an object; it may name {', '.join(cls._fields)}")
        if unknown := sorted(record.keys() - set(cls._fields)):
            raise BadInput(f"'special_tokens' in the tokenizer file names {unknown[0]!r:.40}; it may name {', '.join(cls._fields)}")
        found = dict[str, Any]()
        for name, value in record.items():
            ids = value if isinstance(value, list) else [value]
            if name == "chat_template":
                found[name] = checked_template(value)
            elif isinstance(value, list) != isinstance(cls._field_defaults[name], tuple) or \
                    not all(type(i) is int and 0 <= i < size for i in ids):
                raise BadInput(f"{name!r} of 'special_tokens' in the tokenizer file is {value!r:.40}; allowed are ids from 0 to {size - 1}")
            else:
                found[name] = tuple(value) if isinstance(value, list) else value
        return cls(**found)


def checked_template(value: Any) -> Any:
    """The chat template. BadInput unless it has one of the two forms of SpecialTokens.chat_template"""
    named = isinstance(value, list) and all(isinstance(each, dict) and set(each) == {"name", "template"} and
                                            all(isinstance(text, str) for text in each.values()) for each in value)
    if not isinstance(value, str) and not named:
        raise BadInput(f"a chat template is a text or a list of objects with 'name' and 'template', not {value!r:.40}")
    return value


def special_record(tokenizer: "Tokenizer") -> dict[str, Any]:
    """The entry "special_tokens" of a tokenizer's record; {} where there are none"""
    found = tokenizer.special_tokens.to_json()
    return {"special_tokens": found} if found else {}


def with_special_tokens(tokenizer: T, special_tokens: SpecialTokens) -> T:
    """A copy of the tokenizer with these special tokens"""
    other: Any = copy(tokenizer)
    other.special_tokens = special_tokens
    return other


def surrounded(tokenizer: "Tokenizer", ids: np.ndarray) -> np.ndarray:
    """ids (n,) of a text -> the prefix of the tokenizer, the ids and the suffix, (n + their lengths,)"""
    special = tokenizer.special_tokens
    return np.concatenate([np.array(special.prefix, np.int32), ids, np.array(special.suffix, np.int32)])


def bare(tokenizer: "Tokenizer", ids: ArrayLike) -> np.ndarray:
    """ids (n,) without the prefix and the suffix of the tokenizer, where they begin and end with these: the inverse of `surrounded`"""
    special, ids = tokenizer.special_tokens, np.asarray(ids)
    n, m = len(special.prefix), len(special.suffix)
    ids = ids[n:] if n and tuple(ids[:n]) == special.prefix else ids
    return ids[:-m] if m and tuple(ids[-m:]) == special.suffix else ids


def prompt_ids(tokenizer: "Tokenizer", prompt: str) -> np.ndarray:
    """ids (n,) that a model gets before it generates; an empty prompt begins a document. BadInput where no character is known"""
    if not prompt:
        return np.array(tokenizer.special_tokens.prefix, np.int32) if tokenizer.special_tokens.prefix else tokenizer.encode(tokenizer.begin)
    ids = tokenizer.encode(prompt)
    if not len(ids):
        raise BadInput(f"the tokenizer of this model knows no character of the prompt {prompt!r}")
    return surrounded(tokenizer, ids)
