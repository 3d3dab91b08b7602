"""Inspection of runs: scores on texts and tasks, the microscope, the walk and the diary. The pages display themselves in a notebook;
`save(path)` writes them to a file."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import backend
from ..check.features import inspect_features, outputs, pieces
from ..errors import BadInput, number, quoted
from ..evaluation import finetune_change as finetunes
from ..evaluation import tasks
from ..evaluation.tasks import score_items
from ..evaluation.text_scores import score_text
from ..inference.baby import Baby
from ..inference.sampling import Sampling
from ..runs.fetch import HUB_TASKS, questions
from ..runs.records import Report
from ..runs.store import Workspace
from ..show import diary as diaries
from ..show import features as pages
from ..show import microscope as scope
from ..show import walk as walks
from ..show.formatting import unknown_in
from ..show.progress import counted
from ..text.tokenizer_helpers import jsonl_rows
from ..training.parallel import generation_threads, worker_count
from ..training.sparse_autoencoder import fit
from .generation import generate_completion
from .manage import info
from .model_io import load
from .process_control import interruptible, keep_result, open_workspace, print_to_stderr
from .steering import checked_layer
from .training_data import training_text

SAMPLE_LENGTH = 160          # tokens to generate for the microscope, and characters of the text that it shows
COMPLETION_LENGTH = 80       # tokens that a finetuned baby and its base generate after each prompt


def evaluate(guid: str = "last", input: str | Path | None = None, task: str | Path | None = None, path: str | Path | None = None,
             encoding: str = "utf-8", limit: int = 0, overlap: float | None = None, progress: bool = True) -> dict[str, Any]:
    """Evaluate a run's model: perplexity and bits per byte of a text, accuracy on a task, or both.

    Args:
        guid: Run: its GUID, the first 4 or more characters of it, or "last".
        input: Text file, or the name of one in inputs/.
        task: JSONL file of questions (formats: `evaluation.tasks`), or the name of a task that the package datasets downloads:
            arc_challenge, arc_easy, boolq, hellaswag, lambada, openbookqa, piqa or winogrande.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        encoding: Encoding of the files.
        limit: Number of questions, from the first; 0 means all.
        overlap: Fraction of each window of the text that is context only and not scored, 0 to 0.95 [the run's r_eval_overlap].
        progress: Whether to show a progress bar.

    Returns:
        {"text": TextScores, "choices": Choices, "cloze": Cloze}; None for each that was not asked for.

    Raises:
        BadInput: Neither input nor task is given, a file or the run cannot be read, or an answer does not fit into n_ctx.

    >>> scores = lb.evaluate("last", "nursery_5kB_0.txt", progress=False)["text"]
    >>> scores.tokens == scores.characters, 1 < scores.perplexity_per_token < 50
    (True, True)
    """
    if input is None and task is None:
        raise BadInput("evaluate needs a text, --input FILE, or questions, --task FILE.jsonl, or both")
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


def task_items(workspace: Workspace, task: str | Path | None, encoding: str, limit: int) -> list[tuple[int, tasks.Item]]:
    """[(line or row number, Item), ...] of a task file or of a task that the package datasets downloads"""
    if task is None:
        return []
    rows = None
    if str(task) not in HUB_TASKS:
        try:
            rows = jsonl_rows(workspace.read_text(task, encoding).text)
        except BadInput as error:
            raise BadInput(f"{error}; a task is a JSONL file or one of {', '.join(HUB_TASKS)}") from None
    try:
        if rows is None:
            return tasks.numbered(enumerate(questions(str(task))[:limit or None], 1))
        return tasks.numbered(rows)[:limit or None]
    except BadInput as error:
        raise BadInput(f"{task}: {error}") from None


def answerable(baby: Baby, questions: list[tuple[int, tasks.Item]], task: str | Path | None) -> list[tasks.Item]:
    """The items, after a check that each answer has 1 to n_ctx tokens; BadInput names the line of one that has not"""
    n_ctx = baby.config.n_ctx
    for line, item in questions:
        for choice in item.choices:
            if not 0 < (n := len(baby.tokenizer.encode(choice))) <= n_ctx:
                raise BadInput(f"{task}: line {line} has the answer {quoted(choice)} with {n} tokens; allowed are 1 to n_ctx, {n_ctx}")
    return [item for _, item in questions]


def microscope(guid: str = "last", text: str | None = None, path: str | Path | None = None) -> scope.Microscope:
    """Run a model on a text and record losses, attention, the predictions of every layer, gradients and memory.

    Args:
        guid: Run: its GUID, the first 4 or more characters of it, or "last".
        text: Text to run it on [the beginning of a text that it generated].
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].

    Returns:
        A page: it displays itself in a notebook, and `save(path)` writes it as HTML.

    Raises:
        BadInput: There is no such run, or it knows no character of the text.

    >>> seen = lb.microscope("last", "Ada hid a ball.")
    >>> seen.tokens[-5:]
    ['b', 'a', 'l', 'l', '.']
    """
    workspace = open_workspace(path)
    name = workspace.resolve(guid, "model")
    baby = load(name, workspace.root)
    if text is None:
        final = workspace.existing("completion", name).exists()
        completion = workspace.load_completion(name) if final else generate_completion(baby, name, "", Sampling(temperature=0.8),
                                                                                       SAMPLE_LENGTH, seed=0)
        text = completion.text.strip()[:SAMPLE_LENGTH]
    if note := unknown_in(baby.require_tokenizer(), text):
        print_to_stderr(note)
    return scope.examine(baby, text, name)


def features(guid: str = "last", input: str | Path | None = None, layer: int | None = None, n_features: int | None = None,
             n_active: int = 16, n_steps: int = 1000, path: str | Path | None = None, progress: bool = True) -> pages.FeaturesPage:
    """Find features in the outputs of a layer with a sparse autoencoder, and for each the texts in which it is active.

    The autoencoder and its features are saved as models/features_GUID.safetensors and outputs/features_GUID.json. `inference` can steer
    with every feature. After Ctrl-C the features of the steps so far are shown and saved.

    Args:
        guid: Run: its GUID, the first 4 or more characters of it, or "last".
        input: Text file, or the name of one in inputs/ [the run's training text].
        layer: The layer, from 0 to n_layers - 1, as in the names of the weights [the middle one].
        n_features: Number of features [4 n_emb].
        n_active: The most features that are active in a token.
        n_steps: Steps of the autoencoder's training, 1,024 tokens each.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        progress: Whether to show progress bars.

    Returns:
        A page: it displays itself in a notebook, and `save(path)` writes it as HTML.

    Raises:
        BadInput: There is no such run or layer, a number is out of range, or the training text does not exist any more.

    >>> found = lb.features("last", n_features=32, n_active=4, n_steps=20, progress=False)
    >>> found.n_features, found.active <= 4, len(found.described[0].raised)
    (32, True, 6)
    """
    workspace = open_workspace(path)
    name = workspace.resolve(guid, "model")
    baby = load(name, workspace.root)
    layer = checked_layer(layer, baby.config)
    F = 4 * baby.config.n_emb if n_features is None else number("n_features", n_features, 2, 2**20, whole=True)
    n_active, n_steps = number("n_active", n_active, 1, F, whole=True), number("n_steps", n_steps, 1, 10**7, whole=True)
    report = workspace.load_report(name) if workspace.existing("report", name).exists() else None
    text = workspace.read_text(input).text if input else training_text(workspace, report)
    if text is None:
        raise BadInput(f"the training text of {name} does not exist any more, or is no text file; give a text with --input")
    rng = np.random.default_rng(0)
    rows, held_out = pieces(baby, text, rng)
    rows = rows[:, :-1]
    x = outputs(baby, rows, layer, lambda rows: counted(rows, "reading", progress))          # (n, T, D)
    trained, done = fit(x.reshape(-1, x.shape[-1]), F, n_active, n_steps, rng), 0
    with interruptible(None) as stopped:
        for weights, _ in counted(trained, "training the autoencoder", progress, n_steps):
            p, done = weights, done + 1
            if stopped():
                break
    found = inspect_features(baby, p, n_active, layer, rows, x, held_out, done, name)
    page = pages.FeaturesPage(**vars(found))
    arrays = {each: backend.to_numpy(a) for each, a in p.items()} | dict(means=found.means.astype(backend.to_numpy(p.b).dtype))
    keep_result(lambda: workspace.save_features(name, arrays, page.data()))
    return page


def walk(variant: str, **settings: Any) -> walks.Walk:
    """Trace an attention, network or norm line by line, forward and backward, with the arrays that each line computes.

    Args:
        variant: Name of an attention, network or norm, such as "mha".
        settings: Settings of `Config`, such as n_heads=2.

    Returns:
        A page: it displays itself in a notebook, and `save(path)` writes it as HTML. Its method `break_(mistake)` traces a copy with one of
        its `mistakes`.

    Raises:
        BadInput: There is no such variant, or a setting is not allowed.

    >>> broken = lb.walk("mha").break_("lost scale")
    >>> broken.wrong()                                           # the arrays whose gradient is wrong
    ['x', 'wq']
    """
    return walks.walk(variant, **settings)


def diary(*guids: str, prompts: Sequence[str] = (), path: str | Path | None = None) -> diaries.Diary:
    """Compare runs: losses, samples, sizes and memorized text; for a finetune also how its weights, losses and completions changed.

    Args:
        guids: Runs: the GUID of each, the first 4 or more characters of it, or "last" [the newest run].
        prompts: Prompts that a finetuned model and its base both continue [an empty one, and the beginnings of their training texts].
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].

    Returns:
        A page: it displays itself in a notebook, and `save(path)` writes it as HTML.

    Raises:
        BadInput: There is no such run.

    >>> len(lb.diary("last").entries)
    1
    """
    workspace = open_workspace(path)
    return diaries.Diary([diary_entry(workspace, workspace.resolve(guid), prompts) for guid in guids or ["last"]])


def diary_entry(workspace: Workspace, name: str, prompts: Sequence[str]) -> diaries.Entry:
    """The entry of a run in a diary"""
    about, report = info(name, workspace.root), None
    if about["report"]:
        report = workspace.load_report(name)
    source = training_text(workspace, report)
    base = report and report.base
    change = None
    if base and base in workspace.names() and workspace.existing("model", base).exists():
        change = finetune_change(workspace, base, name, report, source, prompts)
    return diaries.Entry(name, about, report, source, change)


def finetune_change(workspace: Workspace, base: str, name: str, after: Report | None, source: str | None,
                    prompts: Sequence[str]) -> Any:
    """How a finetune changed weights, losses and completions. Both models are run, which takes seconds"""
    old, new = load(base, workspace.root), load(name, workspace.root)
    first = workspace.load_report(base) if workspace.existing("report", base).exists() else None
    sources = {title: text for title,
               text in ((text_title(first, "old"), training_text(workspace, first)), (text_title(after, "new"), source)) if text}
    beginnings = dict.fromkeys(["", *(" ".join(text.split(" ")[:4]) for text in sources.values())])
    completed = lambda baby, prompt: generate_completion(baby, name, prompt, Sampling(temperature=0.8), COMPLETION_LENGTH, seed=0).text
    hosts = [{each: backend.to_numpy(w) for each, w in baby.weights().items()} for baby in (old, new)]
    return finetunes.Change(base, finetunes.weight_changes(*hosts),
                            [(title, *(finetunes.held_out_loss(baby, text) for baby in (old, new))) for title, text in sources.items()],
                            [(prompt, completed(old, prompt), completed(new, prompt)) for prompt in prompts or beginnings])


def text_title(report: Report | None, age: str) -> str:
    """Heading for the training text of the base (age "old") or of the finetune ("new")"""
    return f"{report.input.name}, the {age} text" if report and report.input else f"the {age} text"


def save_page(page: Any, kind: str, name: str, path: str | Path | None = None) -> Path | None:
    """Write a page to outputs/KIND_NAME.html and return its path; if it cannot be written, print the reason and return None"""
    workspace = open_workspace(path)
    return keep_result(lambda: page.save(workspace.path(kind, name)))
