"""tasks: questions with a correct answer, read from the JSONL rows in which they are published, and the scores of a model on them.

The names of a row's fields determine its task. Contexts and choices are formatted as in KodaLite; context and choice are tokenized
separately. ⏎ is a line break, | separates context and choice.

    choice      context, choices, answer (number from 0)          any multiple choice
    cloze       context, target                                   the target must be generated exactly
    hellaswag   ctx, endings, label                               ctx and a space | the ending
    arc         question, choices {text, label}, answerKey        Question: ...⏎Answer: | a space and the choice; easy and challenge
    openbookqa  question_stem, choices, answerKey                 the stem | a space and the choice
    winogrande  sentence with _, option1, option2, answer         the text before _ | the option and the text after _
    piqa        goal, sol1, sol2, label                           Question: ...⏎Answer: | a space and the solution
    boolq       question, passage, answer (true, false)           passage⏎Question: ...?⏎Answer: | " no", " yes"
    lambada     text                                              all but its last word | a space and that word

Of several choices the one with the highest score is taken. There are three scores, from the probability p of each token of the choice:

    raw             sum ln p                 prefers short choices
    per token       sum ln p / tokens        as in KodaLite
    per character   sum ln p / characters    as acc_norm of lm-eval, without the leading space

The standard error of an accuracy a over n questions is sqrt(a (1 - a) / n). A cloze is correct if every token of the target is the most
likely one.

Zellers et al. 2019 (HellaSwag), Clark et al. 2018 (ARC), Mihaylov et al. 2018 (OpenBookQA), Sakaguchi et al. 2020 (WinoGrande),
Bisk et al. 2020 (PIQA), Clark et al. 2019 (BoolQ), Paperno et al. 2016 (LAMBADA). Scores with another format are not comparable.
"""
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from littlebaby.errors import BadInput

from ..inference.baby import Baby
from ..text.tokenizer_helpers import unknown_fields
from .text_scores import likelihoods, perplexity


class Item(NamedTuple):
    """A question; a cloze has one choice, its target"""
    context: str
    choices: list[str]
    answer: int              # index of the correct choice


def numbered(numbered_rows: Iterable[tuple[int, dict]]) -> list[tuple[int, Item]]:
    """[(number, Item), ...] of (number, row) pairs; BadInput names the first row that is of no known task or has no correct answer"""
    found = [(number, item_of_row(number, row)) for number, row in numbered_rows]
    if not found:
        raise BadInput("the task has no rows")
    return found


def item_of_row(number: int, row: dict) -> Item:
    """The item of a row; its number is for the error"""
    for fields, make in READERS.items():
        if row.keys() >= set(fields):
            try:
                made = make(*(row[name] for name in fields))
            except (LookupError, TypeError, ValueError, AttributeError):
                made = None
            if made is None or not made.choices or not 0 <= made.answer < len(made.choices) or not all(made.choices):
                raise BadInput(f"line {number} has {', '.join(fields)} with values that are not allowed; allowed are choices that are "
                               f"texts and not empty, and the correct one of them")
            return made
    raise BadInput(unknown_fields(number, row, "; with ".join(", ".join(fields) for fields in READERS)))


def spaced(text: str) -> str:
    """A space and the answer; "" for an empty answer"""
    return " " + text if text.strip() else ""


def multiple_choice(question: str, choices: dict, key: str) -> Item:
    """A row of ARC or OpenBookQA"""
    return Item(question, [spaced(text) for text in choices["text"]], choices["label"].index(key))


def fill_in_blank(sentence: str, option1: str, option2: str, answer: Any) -> Item:
    """A row of WinoGrande"""
    before, after = sentence.split("_", 1)
    return Item(before, [option + after if option.strip() else "" for option in (option1, option2)], int(answer) - 1)


def last_word(text: str) -> Item:
    """A row of LAMBADA"""
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
    """A fraction of correct answers, 0 to 1"""
    accuracy: float
    error: float                   # standard error


@dataclass(frozen=True)
class Choices:
    """Result of the multiple-choice questions"""
    questions: int                 # number of questions
    chance: float                  # expected accuracy of random guessing, 0 to 1
    raw: Accuracy
    per_token: Accuracy
    per_character: Accuracy


@dataclass(frozen=True)
class Cloze:
    """Result of the cloze questions"""
    questions: int                 # number of questions
    exact: Accuracy                # of targets whose tokens are all the most likely ones
    perplexity_per_token: float    # of the targets: exp(mean nats of a token)
    perplexity_per_word: float     # with every target counted as one word: exp(mean nats of a target)


def accuracy(right: Sequence[bool]) -> Accuracy:
    """The Accuracy of a list of correct and wrong answers"""
    share = sum(right) / len(right)
    return Accuracy(share, sqrt(share * (1 - share) / len(right)))


def score_items(baby: Baby, items: Sequence[Item], progress: Callable[[Any], Iterable] = iter) -> tuple[Choices | None, Cloze | None]:
    """The results of the multiple-choice items and of the cloze items; None for a kind that does not occur.

    progress: function that wraps an iterable, for example with a progress bar
    """
    tokenizer = baby.require_tokenizer()
    chosen: list[list[bool]] = []            # whether each of the three scores is highest for the correct choice
    clozes: list[tuple[float, int, bool]] = []           # nats, tokens, whether exact
    chances: list[float] = []
    for item in progress(items):
        context = tokenizer.encode(item.context or tokenizer.begin)
        if not len(context):
            context = tokenizer.encode(tokenizer.begin)
        found = likelihoods(baby, context, [tokenizer.encode(choice) for choice in item.choices])
        if len(found) == 1:
            clozes.append((float(-found[0][0].sum()), len(found[0][0]), bool(found[0][1].all())))
            continue
        raw = np.array([logp.sum() for logp, _ in found])
        tokens = np.array([len(logp) for logp, _ in found])
        characters = np.array([max(1, len(choice.lstrip())) for choice in item.choices])
        chosen.append([bool(values.argmax() == item.answer) for values in (raw, raw / tokens, raw / characters)])
        chances.append(1 / len(found))
    choices = Choices(len(chosen), sum(chances) / len(chances), *map(accuracy, zip(*chosen))) if chosen else None
    cloze = None
    if clozes:
        nats, lengths, exact = zip(*clozes)
        cloze = Cloze(len(clozes), accuracy(exact), perplexity(sum(nats) / sum(lengths)), perplexity(sum(nats) / len(clozes)))
    return choices, cloze
