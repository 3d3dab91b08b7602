"""compare: the same table and pictures for runs that exist as for those of a sweep."""
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..evaluation.run_statistics import Cell, MeasuredRun
from ..runs.records import COMPLETE, Report
from ..runs.store import Workspace
from ..show.comparison import Comparison
from ..show.formatting import plural
from .process_control import keep_result, open_workspace

NOT_COMPARED = ("seed", "c_device_cpu_cores", "n_vocab")     # settings that do not make another cell


def compare(*guids: str, path: str | Path | None = None) -> Comparison:
    """Compare runs in one table: losses, speed and cost, best compromises, and how much each setting matters.

    Runs whose settings differ only in the seed are one cell of the table, with the mean and the standard deviation over its runs. `diary`
    compares runs by their texts.

    Args:
        guids: Runs: the GUID of each, the first 4 or more characters of it, or "last" [all runs with a report].
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].

    Returns:
        A page: it displays itself in a notebook, `save(path)` writes it as HTML, `save_csv(path)` as CSV.

    Raises:
        BadInput: There is no such run, or one has no report.

    >>> found = lb.compare("last")
    >>> found.best.mean("valid_loss") == lb.info("last")["report"]["figures"]["valid_loss"]
    True
    """
    workspace = open_workspace(path)
    if guids:
        names = list(dict.fromkeys(workspace.require("report", workspace.resolve(guid)) for guid in guids))
    else:
        names = [run.name for run in workspace.list() if run.report and run.report.figures]
        if not names:
            raise BadInput(f"there is no finished run in {workspace.root} yet; `littlebaby train` makes one")
    configs = {name: workspace.load_config(name).model_dump() for name in names}
    shared = {key: [configs[name][key] for name in names] for key in configs[names[0]] if key not in NOT_COMPARED}
    differing = [key for key, values in shared.items() if any(value != values[0] for value in values)]
    texts = {name: text_of(workspace.load_report(name)) for name in names}
    if len(set(texts.values())) > 1:
        configs = {name: {"text": texts[name], **config} for name, config in configs.items()}
        differing = ["text", *differing]
    grouped: dict[tuple, list[str]] = {}
    for name in names:
        grouped.setdefault(tuple(str(configs[name][key]) for key in differing), []).append(name)
    cells = [Cell(i, {key: configs[members[0]][key] for key in differing},
                  [measured_run(workspace, name, configs[name]["seed"]) for name in members])
             for i, members in enumerate(grouped.values(), 1)]
    return Comparison(names[0], "Runs compared", f"{plural(len(names), 'run')} in {plural(len(cells), 'cell')}", cells)


def text_of(report: Report) -> str:
    """The name of a run's training text, and whether the run began with the weights of another one"""
    return (report.input.name if report.input else "-") + (f", after {report.base[:8]}" if report.base else "")


def measured_run(workspace: Workspace, name: str, seed: int, error: str = "", whole: bool = False) -> MeasuredRun:
    """What the report of a run says, as numbers. A run with an error or without final figures has none, nor has one that is interrupted if
    `whole`"""
    report = workspace.load_report(name) if workspace.existing("report", name).exists() else None
    if error or report is None or report.figures is None or whole and report.stop_reason not in COMPLETE:
        return MeasuredRun(name, seed, {}, (), error)
    figures, per_token = report.figures, report.figures.flops_per_token or 0.0
    curve = [(row.tokens, row.seconds or 0.0, per_token * row.tokens, row.valid_loss) 
             for row in report.evaluations if row.valid_loss is not None]
    measures = dict(valid_loss=figures.valid_loss, bits_per_character=figures.bits_per_character, correct_texts=correct_texts(report),
                    tokens_per_second=figures.tokens_per_second, seconds=figures.seconds, memory=figures.memory,
                    parameters=figures.parameters.total, flops=figures.flops)
    return MeasuredRun(name, seed, measures, curve)


def correct_texts(report: Report) -> float | None:
    """The share of the judged texts that are correct: stories, or answers of sums; None where none were judged"""
    marks: Any = report.judged and report.judged.marks
    return None if marks is None else marks.stories if hasattr(marks, "stories") else marks.answers


def save_comparison(found: Comparison, kind: str, path: str | Path | None = None) -> list[Path]:
    """Write outputs/KIND_GUID.html and .csv and return their paths; if they cannot be written, print the reason and return [].
    kind: compare or sweep"""
    workspace = open_workspace(path)
    page = "compare" if kind == "compare" else "sweep_page"
    paths = workspace.path(page, found.name), workspace.path(f"{kind}_csv", found.name)
    return keep_result(lambda: [found.save(paths[0]), found.save_csv(paths[1])]) or []
