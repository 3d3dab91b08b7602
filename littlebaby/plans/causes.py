"""The plan cause: why a model predicts what it predicts. The questions that it asks by itself, and the values and texts that it needs."""
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..arrays import backend
from ..arrays.backend import to_numpy, xp
from ..check import causes
from ..check.inspect_model import MAX_TOKENS
from ..check.interventions import ABLATIONS, logit_difference, run
from ..errors import BadInput, nearest
from ..inference.baby import Baby
from ..runs.records import Report
from ..runs.store import Workspace
from ..show import causes as pages
from ..show.formatting import unknown_in
from ..show.progress import counted
from ..text import overlap, stories
from ..training.parallel import generation_threads
from .inspection import SAMPLE_LENGTH
from .model_io import load
from .process_control import open_workspace, print_to_stderr
from .training_data import training_text

QUESTIONS = 12           # names of heroes among which the clearest question about a nursery is chosen
ROWS, TAIL = 8, 20_000   # pieces of the training text over which ablated values are averaged, from its last TAIL characters
SEARCHED = 30_000_000    # characters of the longest training text in which passages are searched


class Question(NamedTuple):
    """The ids of a text and of a corrupted text, and the two next tokens that are compared"""
    ids: Any                     # (1, T)
    corrupted: Any               # (1, T') or None
    answer: int
    wrong: int


def cause(guid: str = "last", text: str | None = None, corrupted: str | None = None, answer: str | None = None, wrong: str | None = None,
          ablation: str = "mean", path: str | Path | None = None, progress: bool = True) -> pages.Cause:
    """Ask why a run's model predicts one continuation of a text rather than another one.

    The parts of the model are removed one by one (ablation), their direct contributions to the logit are added up, and, if there is a
    corrupted text, values of one text are put into the run of the other (activation patching).

    Args:
        guid: Run: its GUID, the first 4 or more characters of it, or "last".
        text: Text whose continuation is explained [for a run trained on the nursery the beginning of a story; else that of the last line
            of the training text; else the beginning of a text that the run generated].
        corrupted: Text of the same number of tokens that should be continued in another way, such as the text with another name [for the
            nursery the story with another name; else none].
        answer: Continuation that is explained; its first token that differs from `wrong` counts [the most likely token].
        wrong: Continuation that it is compared with [with a corrupted text its most likely token; else the second likeliest one].
        ablation: What replaces the output of an ablated part: "zero", zeros; "mean", its mean over pieces of the training text;
            "resample", its output in the corrupted text, or in a piece of the training text.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        progress: Whether to show a progress bar.

    Returns:
        A record of all effects: `ablation`, `attribution`, `patching`, `scores`, `passages` and more, and `strongest()`, the parts that
        matter most. It displays itself in a notebook, and `save(path)` writes it as a page.

    Raises:
        BadInput: There is no such run, it knows no token of the text, the texts differ in length, or the continuations do not differ.

    >>> why = lb.cause("last", "Ada met B", answer="en", wrong="ox", progress=False)
    >>> why.answer, why.wrong, why.ablation.difference_changes["heads"].shape
    ('e', 'o', (1, 2))
    """
    if ablation not in ABLATIONS:
        raise BadInput(nearest("ablation", ablation, ABLATIONS))
    if text is None and (corrupted, answer, wrong) != (None, None, None):
        raise BadInput("corrupted, answer and wrong belong to a text; give it as text")
    workspace = open_workspace(path)
    name = workspace.resolve(guid, "model")
    baby = load(name, workspace.root)
    report = workspace.load_report(name) if workspace.existing("report", name).exists() else None
    source = training_text(workspace, report)
    with backend.blas_threads(generation_threads(baby.flat)):
        if text is None:
            asked = own_question(baby, workspace, name, report, source)
        else:
            for given in (text, corrupted or ""):
                if note := unknown_in(baby.require_tokenizer(), given):
                    print_to_stderr(note)
            asked = question(baby, text, corrupted, answer, wrong)
        texts, reference = reference_texts(baby, ablation, asked, source)
        passages, no_passages = None, "the training text is not there any more"
        if source is not None:
            whole = baby.require_tokenizer().decode([*to_numpy(asked.ids)[0], asked.answer])
            short = len(source) <= SEARCHED
            passages, no_passages = (overlap.passages(whole, source), "") if short else (None, "the training text is too long")
        found = causes.find_causes(baby, name, asked.ids, asked.answer, asked.wrong, asked.corrupted, ablation, texts, reference, passages,
                                   no_passages, partial(counted, what="running the model", shown=progress))
    return pages.explain(found)


# the question

def question(baby: Baby, text: str, corrupted: str | None = None, answer: str | None = None, wrong: str | None = None) -> Question:
    """The Question of a text, with likely tokens where a continuation is not given"""
    given = [each for each in (answer, wrong) if each is not None]
    context, following = context_and_tokens(baby, text, given)
    ids = in_window(baby, context)
    if ids.shape[1] < 2:
        raise BadInput(f"the model's tokenizer knows no token of the text {text!r:.60}; give a text with at least one known token")
    other = None if corrupted is None else in_window(baby, context_and_tokens(baby, corrupted, given)[0])
    if other is not None and other.shape == ids.shape and not to_numpy(other != ids).any():
        raise BadInput("the corrupted text has the tokens of the text; allowed is one that differs from it")
    tokens = dict(zip([name for name, each in (("answer", answer), ("wrong", wrong)) if each is not None], following))
    if "answer" not in tokens:
        tokens["answer"] = likeliest(baby, ids, tokens.get("wrong"))
    if "wrong" not in tokens:
        tokens["wrong"] = likeliest(baby, ids if other is None else other, tokens["answer"])
    return Question(ids, other, tokens["answer"], tokens["wrong"])


def context_and_tokens(baby: Baby, text: str, continuations: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """(ids (n,) that the text and its continuations begin with, the next id of each continuation): tokens may span the end of the text"""
    encode = baby.require_tokenizer().encode
    rows = [encode(text + each) for each in continuations]
    compared = rows if len(rows) == 2 else [*rows, encode(text)]
    n = next((i for i, column in enumerate(zip(*compared)) if len(set(column)) > 1), min(map(len, compared)))
    if any(len(row) <= n for row in rows):
        if len(rows) == 2:
            raise BadInput(f"answer is {continuations[0]!r} and wrong {continuations[1]!r}, and one begins with the other; allowed are two "
                           f"continuations that differ in a token")
        raise BadInput(f"the model's tokenizer knows no token of the continuation {continuations[0]!r:.60}; give one with a known token")
    return compared[0][:n], [int(row[n]) for row in rows]


def in_window(baby: Baby, ids: np.ndarray) -> Any:
    """(1, T): the token that begins a document and the ids, at most the last MAX_TOKENS or n_ctx"""
    tokenizer = baby.require_tokenizer()
    return xp.asarray(np.concatenate([tokenizer.encode(tokenizer.begin), ids])[-min(MAX_TOKENS, baby.config.n_ctx):][None])


def likeliest(baby: Baby, ids: Any, except_for: int | None = None) -> int:
    """The likeliest token after ids (1, T), or the likeliest other one"""
    order = np.argsort(-to_numpy(run(baby, ids)[0][0, -1]), kind="stable")
    return int(order[0] if order[0] != except_for else order[1])


def own_question(baby: Baby, workspace: Workspace, name: str, report: Report | None, source: str | None) -> Question:
    """The question about a run whose user gave no text"""
    if report is not None and report.nursery_floor is not None and (asked := nursery_question(baby)):
        return asked
    lines = [line for line in (source or "")[-TAIL:].splitlines() if " " in line.strip()]
    if lines:
        text = lines[-1].strip().rpartition(" ")[0]
        return question(baby, text + " " * (baby.require_tokenizer().kind == "char"))
    if workspace.existing("completion", name).exists():
        return question(baby, workspace.load_completion(name).text.strip()[:SAMPLE_LENGTH])
    raise BadInput(f"there is no text to ask about: the training text of {name} is not there, and it has no completion; give a text")


def nursery_question(baby: Baby) -> Question | None:
    """The question about a name that the model answers most clearly; None if no story fits into n_ctx, or the tokenizer, like that of a run
    on sums, lacks the letters of the stories"""
    asked = []
    for text, corrupted, answer, wrong in islice(stories.name_questions(0), QUESTIONS):
        if baby.require_tokenizer().unknown_in(text):
            continue
        each = question(baby, text, corrupted, answer, wrong)
        if each.ids.shape == each.corrupted.shape and each.ids.shape[1] < baby.config.n_ctx:
            margins = [logit_difference(run(baby, ids)[0], each.answer, each.wrong) for ids in (each.ids, each.corrupted)]
            asked.append((min(margins[0], -margins[1]), each))
    return max(asked, key=lambda each: each[0])[1] if asked else None


# values for ablation

def reference_texts(baby: Baby, ablation: str, asked: Question, source: str | None) -> tuple[list[Any], str]:
    """([ids (B, T')] whose values replace those of ablated parts, what they are in words)"""
    T = asked.ids.shape[1]
    ids = baby.require_tokenizer().encode(source[-TAIL:]) if source else np.zeros(0, int)
    if ablation == "resample" and asked.corrupted is not None:
        return [asked.corrupted], "the corrupted text"
    if len(ids) > T:
        starts = np.linspace(0, len(ids) - T, 1 if ablation == "resample" else ROWS).astype(int)
        return [xp.asarray(np.stack([ids[start:start + T] for start in starts]))], "taken from the training text"
    if ablation == "resample":
        raise BadInput("ablation is 'resample', which needs a corrupted text or the training text of the run; allowed without them are "
                       "zero, mean; did you mean mean?")
    return [asked.ids], "" if ablation == "zero" else "over this text"
