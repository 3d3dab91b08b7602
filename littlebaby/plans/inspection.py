"""Inspection: measured on texts and tasks, under the microscope, line by line, side by side. Pages show themselves in a notebook, and
`save(path)` writes them."""
from ..arrays import backend
from ..errors import BadInput, number
from ..evaluation import tasks
from ..evaluation.tasks import score_items
from ..evaluation.text_scores import score_text
from ..inference.sampling import Sampling
from ..runs.fetch import HUB_TASKS, questions
from ..runs.records import quoted
from ..show import diary as diaries
from ..show import microscope as scope
from ..show import walk as walks
from ..show.progress import counted
from ..text.tokenizer_helpers import jsonl_rows
from ..training.parallel import generation_threads, worker_count
from .generation import generate_completion
from .manage import info
from .model_io import load
from .process_control import keep_result, open_workspace

SAMPLE_LENGTH = 160  # tokens, or characters, that a baby is shown of its own writing


def evaluate(guid="last", input=None, task=None, path=None, encoding="utf-8", limit=0, overlap=None, progress=True):
    """What a run's baby foresees of a text, and how it answers a task: dict(text=TextScores, choices=Choices, cloze=Cloze), None for what
    was not asked.

    task: a JSONL file of questions (`text.tasks` says of which kinds), or the name of one of the eight that `datasets` can bring
    limit: only the first questions, 0 for all      overlap: the share of a window that is only read; None is the run's r_eval_overlap
    """
    if input is None and task is None:
        raise BadInput("an evaluation needs a text, --input FILE, or questions, --task FILE.jsonl, or both")
    limit = number("limit", limit, 0, 10**9, whole=True)
    overlap = overlap if overlap is None else number("overlap", overlap, 0, 0.95)
    workspace = open_workspace(path)
    questions, source = task_items(workspace, task, encoding, limit), input and workspace.read_text(input, encoding)
    baby = load(guid, workspace.root)
    items = answerable(baby, questions, task)
    counter = lambda parts: counted(parts, "evaluating", progress)
    with backend.blas_threads(1 if worker_count(baby.config) > 1 else None):
        text = score_text(baby, source.text, overlap, counter) if source else None
    with backend.blas_threads(generation_threads(baby.flat)):
        choices, cloze = score_items(baby, items, counter) if items else (None, None)
    return dict(text=text, choices=choices, cloze=cloze)


def task_items(workspace, task, encoding, limit):
    """[(line or row, Item), ...] of a task, a file's or one that datasets brings"""
    if task is None:
        return []
    try:
        if str(task) in HUB_TASKS:
            return tasks.numbered(enumerate(questions(str(task))[:limit or None], 1))
        return tasks.numbered(jsonl_rows(workspace.read_text(task, encoding).text))[:limit or None]
    except BadInput as error:
        raise BadInput(f"{task}: {error}") from None


def answerable(baby, questions, task):
    """The items, each of whose answers has tokens for this baby and fits into its window; BadInput names the line that has another"""
    n_ctx = baby.config.n_ctx
    for line, item in questions:
        for choice in item.choices:
            if not 0 < (n := len(baby.tokenizer.encode(choice))) <= n_ctx:
                raise BadInput(f"{task}: line {line} has the answer {quoted(choice)}, which is {n} tokens for this baby; allowed are 1 to "
                               f"n_ctx, {n_ctx}")
    return [item for _, item in questions]


def microscope(guid="last", text=None, path=None):
    """A run's baby while it reads a text of yours: losses, attention, guesses by layer, gradients, memory. None: what it wrote itself"""
    workspace = open_workspace(path)
    name = workspace.resolve(guid)
    baby = load(name, workspace.root)
    if text is None:
        final = workspace.existing("completion", name).exists()
        completion = workspace.load_completion(name) if final else generate_completion(baby, name, "", Sampling(temperature=0.8),
                                                                                       SAMPLE_LENGTH, seed=0)
        text = completion.text.strip()[:SAMPLE_LENGTH]
    return scope.examine(baby, text, name)


def walk(variant, **settings):
    """An attention, network or norm line by line, forth and back, with its numbers; `break_` plants a mistake in a copy of it"""
    return walks.walk(variant, **settings)


def diary(*guids, prompts=(), path=None):
    """Runs side by side: losses, samples, cards, what they know by heart; what a finetune changed, with the texts that both write
    after `prompts` (none: nothing, and how its old and its new text begin). None given: the newest run"""
    workspace = open_workspace(path)
    return diaries.Diary([diary_entry(workspace, workspace.resolve(guid), prompts) for guid in guids or ["last"]])


def diary_entry(workspace, name, prompts):
    """A run's entry in a diary"""
    about, report = info(name, workspace.root), None
    if about["report"]:
        report = workspace.load_report(name)
    source = training_text(workspace, report)
    base = report and report.base
    known = bool(base) and base in workspace.names() and workspace.existing("model", base).exists()
    return diaries.Entry(name, about, report, source, finetune_change(workspace, base, name, report, source, prompts) if known else None)


def training_text(workspace, report):
    """The text that a run learned from, None where it is gone or has changed"""
    if not report or not report.input:
        return None
    about = report.input
    try:
        source = workspace.read_text(workspace.recall(about.path or about.name, about.bytes, about.sha256))
    except BadInput:
        return None
    return source.text if source.sha256 == about.sha256 else None


def finetune_change(workspace, base, name, after, source, prompts):
    """What a finetune changed. Reads and writes with both babies, which takes seconds"""
    old, new = load(base, workspace.root), load(name, workspace.root)
    first = workspace.load_report(base) if workspace.existing("report", base).exists() else None
    sources = {title: text for title,
               text in ((text_title(first, "old"), training_text(workspace, first)), (text_title(after, "new"), source)) if text}
    begins = dict.fromkeys(["", *(" ".join(text.split(" ")[:4]) for text in sources.values())])
    wrote = lambda baby, prompt: generate_completion(baby, name, prompt, Sampling(temperature=0.8), diaries.TOKENS, seed=0).text
    hosts = [{each: backend.to_numpy(w) for each, w in baby.weights().items()} for baby in (old, new)]
    return diaries.Change(base, diaries.difference(*hosts),
                          [(title, diaries.loss_on(old, text), diaries.loss_on(new, text)) for title, text in sources.items()],
                          [(prompt, wrote(old, prompt), wrote(new, prompt)) for prompt in prompts or begins])


def text_title(report, age):
    return f"{report.input.name}, the {age} text" if report and report.input else f"the {age} text"


def save_page(page, kind, name, path=None):
    """Write a page into outputs/; returns its path, None where it cannot be written, which is said"""
    workspace = open_workspace(path)
    return keep_result(lambda: page.save(workspace.path(kind, name)))
