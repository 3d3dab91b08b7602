"""tasks: questions with a right answer, read from the rows in which they are published.

What a row's fields are says which task it is of. Contexts and choices are spelled as KodaLite spells them; context and choice are
tokenized each alone.

    choice      context, choices, answer (number from 0)          any multiple choice
    cloze       context, target                                   any text that is to be gone on with word for word
    hellaswag   ctx, endings, label                               ctx and a space | the ending
    arc         question, choices {text, label}, answerKey        Question: ...⏎Answer: | a space and the choice; easy and challenge
    openbookqa  question_stem, choices, answerKey                 the stem | a space and the choice
    winogrande  sentence with _, option1, option2, answer         what stands before _ | the option and the rest
    piqa        goal, sol1, sol2, label                           Question: ...⏎Answer: | a space and the solution
    boolq       question, passage, answer (true, false)           passage⏎Question: ...?⏎Answer: | " no", " yes"
    lambada     text                                              all but its last word | a space and that word

Zellers et al. 2019 (HellaSwag), Clark et al. 2018 (ARC), Mihaylov et al. 2018 (OpenBookQA), Sakaguchi et al. 2020 (WinoGrande),
Bisk et al. 2020 (PIQA), Clark et al. 2019 (BoolQ), Paperno et al. 2016 (LAMBADA). Scores by other spellings are other scores.
"""
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from littlebaby.errors import BadInput
from littlebaby.text.tokenizer_helpers import jsonl_rows

from .text_scores import likelihoods, perplexity


class Item(NamedTuple):
    """A question; a cloze has a single choice, which is the answer"""
    context: str
    choices: list[str]
    answer: int


def read_items(text):
    """The items of a JSONL text"""
    return [item for _, item in numbered(jsonl_rows(text))]


def numbered(numbered_rows):
    """[(number, Item), ...] of (number, row) pairs; BadInput names the row that is of no task, or that has no right answer"""
    found = [(number, item_of_row(number, row)) for number, row in numbered_rows]
    if not found:
        raise BadInput("the task has no rows")
    return found


def item_of_row(number, row):
    for fields, make in READERS.items():
        if row.keys() >= set(fields):
            try:
                made = make(*(row[name] for name in fields))
            except (LookupError, TypeError, ValueError, AttributeError):
                made = None
            if made is None or not made.choices or not 0 <= made.answer < len(made.choices) or not all(made.choices):
                raise BadInput(f"line {number} has {', '.join(fields)}, but not as they should be: choices that are texts and not empty, "
                               f"and the right one among them")
            return made
    raise BadInput(f"line {number} has {', '.join(map(repr, [*row][:6])) or 'nothing'}; known are rows with "
                   + "; with ".join(", ".join(fields) for fields in READERS))


def spaced(text):
    """An answer behind a space; "" where there is no answer"""
    return " " + text if text.strip() else ""


def multiple_choice(question, choices, key):
    return Item(question, [spaced(text) for text in choices["text"]], choices["label"].index(key))


def fill_in_blank(sentence, option1, option2, answer):
    before, after = sentence.split("_", 1)
    return Item(before, [option + after if option.strip() else "" for option in (option1, option2)], int(answer) - 1)


def last_word(text):
    context, word = text.rsplit(" ", 1)
    return Item(context, [spaced(word)], 0)


READERS: dict[tuple, Callable] = {
    ("context", "choices", "answer"): lambda context, choices, answer: Item(context + "", [c + "" for c in choices], int(answer)),
    ("context", "target"): lambda context, target: Item(context + "", [target + ""], 0),
    ("ctx", "endings", "label"): lambda ctx, endings, label: Item(ctx + " ", [e + "" for e in endings], int(label)),
    ("question_stem", "choices", "answerKey"): multiple_choice,
    ("question", "choices", "answerKey"): lambda q, choices, key: multiple_choice(f"Question: {q}\nAnswer:", choices, key),
    ("sentence", "option1", "option2", "answer"): fill_in_blank,
    ("goal", "sol1", "sol2", "label"): lambda goal, a, b, label: Item(f"Question: {goal}\nAnswer:", [spaced(a), spaced(b)], int(label)),
    ("question", "passage", "answer"): lambda q, passage, yes: Item(f"{passage}\nQuestion: {q}?\nAnswer:", [" no", " yes"], int(yes)),
    ("text",): last_word,
}


@dataclass(frozen=True)
class Accuracy:
    accuracy: float
    error: float                   # standard error


@dataclass(frozen=True)
class Choices:
    """How a multiple choice went"""
    questions: int
    chance: float
    raw: Accuracy
    per_token: Accuracy
    per_character: Accuracy


@dataclass(frozen=True)
class Cloze:
    """How often targets were written word for word"""
    questions: int
    exact: Accuracy
    perplexity_per_token: float
    perplexity_per_word: float


def accuracy(right):
    share = sum(right) / len(right)
    return Accuracy(share, sqrt(share * (1 - share) / len(right)))


def score_items(baby, items, progress=iter):
    """(Choices or None, Cloze or None) of items, each with context, choices and the number of the answer"""
    tokenizer, chosen, clozes, chances = baby.tokenizer, [], [], []
    for item in progress(items):
        context = tokenizer.encode(item.context or tokenizer.begin)
        if not len(context):
            context = tokenizer.encode(tokenizer.begin)
        found = likelihoods(baby, context, [tokenizer.encode(choice) for choice in item.choices])
        if len(found) == 1:
            clozes.append((-found[0][0].sum(), len(found[0][0]), found[0][1].all()))
            continue
        raw = np.array([logp.sum() for logp, _ in found])
        tokens = np.array([len(logp) for logp, _ in found])
        characters = np.array([max(1, len(choice.lstrip())) for choice in item.choices])
        chosen.append([values.argmax() == item.answer for values in (raw, raw / tokens, raw / characters)])
        chances.append(1 / len(found))
    choices = Choices(len(chosen), sum(chances) / len(chances), *map(accuracy, zip(*chosen))) if chosen else None
    cloze = None
    if clozes:
        nats, lengths, exact = zip(*clozes)
        cloze = Cloze(len(clozes), accuracy(exact), perplexity(sum(nats) / sum(lengths)), perplexity(sum(nats) / len(clozes)))
    return choices, cloze
