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
from typing import NamedTuple

from littlebaby.errors import BadInput
from littlebaby.text.symbols import rows


class Item(NamedTuple):
    """A question; a cloze has a single choice, which is the answer"""
    context: str
    choices: list[str]
    answer: int


def read(text):
    """The items of a JSONL text"""
    return [item for _, item in numbered(rows(text))]


def numbered(numbered_rows):
    """[(number, Item), ...] of (number, row) pairs; BadInput names the row that is of no task, or that has no right answer"""
    found = [(number, item(number, row)) for number, row in numbered_rows]
    if not found:
        raise BadInput("the task has no rows")
    return found


def item(number, row):
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


def lettered(question, choices, key):
    return Item(question, [spaced(text) for text in choices["text"]], choices["label"].index(key))


def blank(sentence, option1, option2, answer):
    before, after = sentence.split("_", 1)
    return Item(before, [option + after if option.strip() else "" for option in (option1, option2)], int(answer) - 1)


def last_word(text):
    context, word = text.rsplit(" ", 1)
    return Item(context, [spaced(word)], 0)


READERS = {
    ("context", "choices", "answer"): lambda context, choices, answer: Item(context + "", [c + "" for c in choices], int(answer)),
    ("context", "target"): lambda context, target: Item(context + "", [target + ""], 0),
    ("ctx", "endings", "label"): lambda ctx, endings, label: Item(ctx + " ", [e + "" for e in endings], int(label)),
    ("question_stem", "choices", "answerKey"): lettered,
    ("question", "choices", "answerKey"): lambda q, choices, key: lettered(f"Question: {q}\nAnswer:", choices, key),
    ("sentence", "option1", "option2", "answer"): blank,
    ("goal", "sol1", "sol2", "label"): lambda goal, a, b, label: Item(f"Question: {goal}\nAnswer:", [spaced(a), spaced(b)], int(label)),
    ("question", "passage", "answer"): lambda q, passage, yes: Item(f"{passage}\nQuestion: {q}?\nAnswer:", [" no", " yes"], int(yes)),
    ("text",): last_word,
}
