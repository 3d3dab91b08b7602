"""Marks: the tokens with which a model's texts begin and end, as it came with them; char, word and our own bpe have none.

Training and evaluation read texts without them. A prompt is read as the model's other programs read it: `prompt_ids`; and it has finished
where it says one of `stop_ids`.
"""
from typing import Any, NamedTuple

import numpy as np

from littlebaby.errors import BadInput


class Marks(NamedTuple):
    """Each is a token of the vocabulary, spelled as there; "" or () where there is none"""
    bos: str = ""
    eos: tuple = ()              # all that end a text, the main one first
    pad: str = ""
    unk: str = ""
    before: tuple = ()           # what is put before every text that is read
    after: tuple = ()            # and behind it
    chat_template: str = ""      # Jinja, kept for other programs

    def tokens(self):
        return [*filter(None, (self.bos, self.pad, self.unk)), *self.eos, *self.before, *self.after]


def marks_from_json(record: Any, vocabulary) -> Marks:
    """What `Marks._asdict()` became in JSON. BadInput: not of this form, or a token that the vocabulary lacks"""
    if not isinstance(record, dict) or record.keys() - set(Marks._fields):
        raise BadInput(f"'marks' in the tokenizer file must be an object with {', '.join(Marks._fields)}")
    lists = {name: record.get(name, []) for name in ("eos", "before", "after")}
    words = {name: record.get(name, "") for name in ("bos", "pad", "unk", "chat_template")}
    if not all(isinstance(each, list | tuple) and all(isinstance(token, str) for token in each) for each in lists.values()) \
            or not all(isinstance(word, str) for word in words.values()):
        raise BadInput("'marks' in the tokenizer file holds something else than tokens")
    eos, before, after = (tuple(each) for each in lists.values())
    marks = Marks(words["bos"], eos, words["pad"], words["unk"], before, after, words["chat_template"])
    known = set(vocabulary)
    if missing := [token for token in marks.tokens() if token not in known]:
        raise BadInput(f"'marks' in the tokenizer file names {missing[0]!r:.60}, which the vocabulary lacks")
    return marks


def marks_of(tokenizer) -> Marks:
    return getattr(tokenizer, "marks", Marks())


def ids_of_marks(tokenizer, marks):
    return [tokenizer.vocabulary.index(mark) for mark in marks]


def prompt_ids(tokenizer, text):
    """The ids (n,) of a text as the model reads a prompt, with the marks that it puts before and behind"""
    marks = marks_of(tokenizer)
    before, after = (np.array(ids_of_marks(tokenizer, each), np.int32) for each in (marks.before, marks.after))
    return np.concatenate([before, tokenizer.encode(text), after])


def begun(tokenizer, ids):
    """ids (n,) of a conversation, behind the marks that come before every text, unless it begins with them"""
    before = np.array(ids_of_marks(tokenizer, marks_of(tokenizer).before), np.int32)
    return ids if np.array_equal(ids[:len(before)], before) else np.concatenate([before, ids])


def stop_ids(tokenizer):
    """The ids with which the model says that it has finished"""
    return set(ids_of_marks(tokenizer, marks_of(tokenizer).eos))
