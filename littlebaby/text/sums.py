"""sums: sums of one-digit numbers, solved step by step or at once, whose entropy is known and whose answers can be verified.

    4+7+2+9? 11+2+9 13+9=22.        every addition is spelled out: two thoughts, then the answer; three steps
    4+7+2+9? 11+2+9=22.             the second step jumps to the answer
    4+7+2+9?=22.                    the only step jumps to the answer

The problem ends at "?". The number of its terms and every term are drawn uniformly. While more than one addition remains, a step is either
a thought, a space and the expression with its first two terms added, with probability 2/3, or a jump, "=" and the answer, with
probability 1/3; after that, everything is determined. A thought needs one of 324 additions, a jump from five terms one of 59,049 sums: a
small model learns the first soon and the second late. The choice has a character of its own because a number that could be a sum of two
terms or of all of them is learned far more slowly.
"""
import re
from math import inf, log
from os.path import commonprefix
from random import Random
from typing import NamedTuple

from littlebaby.text.stories import END, Parsed

LENGTHS = range(2, 6)    # terms of a problem
TERMS = range(1, 10)     # what a term may be
THOUGHT = 2 / 3          # probability of a thought where a jump is possible, too

BEGINNING = re.compile(r"(?:[1-9]\+){1,4}(?:[1-9]\??)?|[1-9]?")          # the longest beginning of a text that may begin a problem
EXPRESSION = re.compile(r"[0-9]{1,9}(?:\+[0-9]{1,9})+")


class Step(NamedTuple):
    text: str
    p: float           # its probability
    terms: list[int]   # those that remain; none after the answer


def steps_from(terms: list[int]) -> list[Step]:
    """The steps that may follow an expression of two or more terms: the answer, and a thought where more than one addition remains

    >>> [step.text for step in steps_from([11, 2, 9])]
    ['=22.', ' 13+9']
    """
    answer = f"={sum(terms)}."
    if len(terms) == 2:
        return [Step(answer, 1, [])]
    rest = [terms[0] + terms[1], *terms[2:]]
    return [Step(answer, 1 - THOUGHT, []), Step(" " + written(rest), THOUGHT, rest)]


def written(terms: list[int]) -> str:
    """An expression as text: [11, 2, 9] as 11+2+9"""
    return "+".join(map(str, terms))


def numbers(expression: str) -> list[int]:
    """The terms of an expression: 11+2+9 as [11, 2, 9]"""
    return [int(term) for term in expression.split("+")]


def problem_nats(terms: list[int]) -> float:
    """-ln(the probability of a problem)"""
    return log(len(LENGTHS)) + len(terms) * log(len(TERMS))


def document(rng: Random) -> tuple[str, float]:
    """One random problem with its solution and the blank line after it, and its nats"""
    draw = lambda options: options[int(rng.random() * len(options))]
    terms = [draw(TERMS) for _ in range(draw(LENGTHS))]
    text, nats = [written(terms) + "?"], problem_nats(terms)
    while terms:
        options = steps_from(terms)
        step = options[0] if rng.random() < options[0].p else options[-1]
        text.append(step.text)
        nats, terms = nats - log(step.p), step.terms
    return "".join(text) + END, nats


def parse(text: str, start: int = 0) -> Parsed:
    """The document that begins at `start`. One that stops too early is none; then `end` is len(text)."""
    problem = BEGINNING.match(text, start)
    assert problem is not None                                   # it may be empty
    at = problem.end()
    if not problem[0].endswith("?"):
        return Parsed(0, inf, at)
    terms = numbers(problem[0][:-1])
    nats = problem_nats(terms)
    while terms:
        options = [step if step.terms else step._replace(text=step.text + END) for step in steps_from(terms)]
        right = next((step for step in options if text.startswith(step.text, at)), None)
        if right is None:
            return Parsed(0, inf, at + max(len(commonprefix((step.text, text[at:at + len(step.text)]))) for step in options))
        at, nats, terms = at + len(right.text), nats - log(right.p), right.terms
    return Parsed(1, nats, at)


class Judgement(NamedTuple):
    correct: bool      # whether the final answer is right
    steps: int         # number of thoughts, plus one for the answer
    right_steps: int   # number of steps that follow from the expression before them


def judge(document: str) -> Judgement:
    """Whether the answer of a document is right, whatever its steps are, and how many steps it has

    Only the problem, the text up to "?", is trusted: it may have more or longer terms than those of the nursery. The answer is the text
    after the first "=", with the full stop that ends it. What follows a blank line is another document.

    >>> judge("4+7+2? 12+2=13.")
    Judgement(correct=True, steps=2, right_steps=0)
    """
    problem, _, solution = document.partition(END)[0].partition("?")
    steps, right_steps, before = re.findall("[ =][^ =]*", solution), 0, problem
    for step in steps:
        if EXPRESSION.fullmatch(before):
            right_steps += step in [right.text for right in steps_from(numbers(before))]
        before = step[1:]
    correct = bool(EXPRESSION.fullmatch(problem)) and solution.partition("=")[2] == f"{sum(numbers(problem))}."
    return Judgement(correct, len(steps), right_steps)


class Marks(NamedTuple):
    answers: float     # share of the problems whose final answer is right
    steps: float       # share of the steps that follow from the expression before them
    mean_steps: float  # mean number of steps of a problem


def marks(text: str) -> Marks | None:
    """How much of a generated text is correct, counted over its complete documents; None where they have no step"""
    judged = [judge(each) for each in text.split(END)[:-1] if each.strip()]
    correct, steps, right_steps = (sum(column) for column in zip(*judged)) if judged else (0, 0, 0)
    return Marks(correct / len(judged), right_steps / steps, steps / len(judged)) if steps else None
