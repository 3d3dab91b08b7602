"""sweep: many trainings over choices of settings and seeds, several at once, with a record from which a sweep can be resumed."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..arrays import backend
from ..errors import BadInput, number
from ..evaluation.run_statistics import Cell
from ..evaluation.search import survivors
from ..runs import sources
from ..runs.records import SweepCell, SweepFile, SweepRun
from ..runs.settings import Config
from ..runs.store import Workspace, brief, command
from ..show.comparison import Comparison
from ..show.formatting import plural
from ..show.sweep_progress import SweepProgress
from ..training.mpi import launched_ranks
from .comparison import measured_run, save_comparison
from .process_control import interruptible, open_workspace
from .sweep_plan import Plan, checked_plan, read_plan
from .sweep_runs import Outcome, Task, in_processes, is_complete, one_by_one, process_pool
from .training_data import combined, remember_input


def sweep(plan: str | Path | Mapping[str, Any] | None = None, *, input: str | Path | list[str] | None = None, preset: str | None = None,
          grid: Mapping[str, Sequence[Any]] | None = None, list: Sequence[Mapping[str, Any]] | None = None,
          random: Mapping[str, Any] | None = None, seeds: int | Sequence[int] | None = None, halving: Mapping[str, Any] | None = None,
          jobs: int = 0, path: str | Path | None = None, resume: str | None = None, progress: bool = True,
          stop: Callable[[], bool] | None = None, **settings: Any) -> Comparison:
    """Train a model for every choice of some settings and every seed, several at once, and compare the runs.

    Each run is an ordinary run on one core. A run that fails does so alone. Ctrl-C, SIGTERM and `stop` end all runs after their current
    steps; the sweep can then be resumed, as after a kill at any moment. The results are outputs/sweep_GUID.json, .csv and .html.

    Args:
        plan: JSON or YAML file of a plan, or a dict: the following arguments, with `settings` as one of them. Arguments override it.
        input: Training text, as in `train` [the nursery].
        preset: As in `train`.
        grid: {setting: values}; all their combinations are tried.
        list: Choices of settings that are tried as they are.
        random: {setting: its range [low, high], or values}, and "n", the number of random choices, and "seed", that of the draws. Ranges
            above 0 are sampled on a logarithmic scale.
        seeds: Number of seeds, each with a run of every choice, or the seeds themselves [1].
        halving: Successive halving, such as {"n_steps": [100, 300, 900], "keep": 0.5}: all choices are trained for 100 steps, the half
            with the lowest mean validation loss anew for 300 steps, and the best half of these for 900.
        jobs: Number of runs at once; 0 means as many as there are cores, or one on a GPU. More than one needs joblib.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        resume: Sweep to continue: its GUID, the first 4 or more characters of it, or "last".
        progress: Whether to show a bar and a line for every run.
        stop: Function that is called during the runs; the sweep ends when it returns True.
        settings: Settings of `Config` that all runs share.

    Returns:
        A page: it displays itself in a notebook, and has `cells`, `best`, `guids`, `table()`, `importance()`.

    Raises:
        BadInput: A key of the plan, a setting or the input cannot be used, no choice is valid, or joblib is missing.

    >>> tiny = dict(n_layers=1, n_emb=16, n_ctx=16, batch_size=4, n_steps=3, n_completion=0, n_sample=0)
    >>> found = lb.sweep(input="nursery_5kB_0.txt", grid={"r_learn": [0.01, 0.02]}, seeds=2, jobs=1, progress=False, **tiny)
    >>> len(found.cells), len(found.guids), found.best.settings["r_learn"] in (0.01, 0.02)
    (2, 4, True)
    """
    workspace = open_workspace(path)
    if launched_ranks().n > 1:
        raise BadInput("a sweep starts its processes itself: run it without mpiexec")
    given = dict(input=input, preset=preset, grid=grid, list=list, random=random, seeds=seeds, halving=halving)
    jobs = number("jobs", jobs, 0, 4096, whole=True)
    if resume is not None:
        if plan is not None or settings or any(value is not None for value in given.values()):
            raise BadInput("a resumed sweep keeps its own plan: give --resume without a plan, or start a new sweep")
        record = workspace.load_sweep(str(resume))
        require_same_text(workspace, record)
        checked = checked_plan(record.plan)
    else:
        contents = dict(plan if isinstance(plan, Mapping) else read_plan(plan) if plan is not None else {})
        contents |= {key: value for key, value in given.items() if value is not None}
        if settings:
            contents["settings"] = dict(contents.get("settings") or {}) | settings
        checked = checked_plan(contents)
        record = new_record(workspace, checked)
    jobs = jobs or jobs_at_once(record)
    if jobs > 1:
        process_pool()
    workspace.require_writable()
    with workspace.lock_sweep(record.guid), interruptible(stop) as stopped:
        record = workspace.load_sweep(record.guid) if resume is not None else record
        workspace.save_sweep(record)
        return finished(workspace, checked, record, jobs, progress, stopped)


def new_record(workspace: Workspace, plan: Plan) -> SweepFile:
    """The record of a new sweep, with the names of all runs of its first round. BadInput: no choice of settings is valid"""
    origin = remember_input(workspace, plan.input or "nursery", "utf-8")
    steps = dict(n_steps=plan.halving.n_steps[0]) if plan.halving else {}
    choices = [choice | steps for choice in plan.choices]
    configs = [config_of(plan.settings, choice) for choice in choices]
    names = dict.fromkeys(name for choice in choices for name in choice)
    valid = next((found for found in configs if isinstance(found, Config)), None)
    if valid is None:
        raise BadInput(str(configs[0]))
    # every cell has a value for each setting in which the cells differ
    shown = [{name: choice.get(name, getattr(valid, name)) if isinstance(found, str) else getattr(found, name) for name in names}
             for choice, found in zip(choices, configs)]
    errors = {i: found for i, found in enumerate(configs) if isinstance(found, str)}
    first = {repr(settings): i for i, settings in reversed([*enumerate(shown)])}         # aliases and rounding may make choices equal
    cells = [new_cell(workspace, shown[i], plan.seeds, 1, errors.get(i, "")) for i in sorted(first.values())]
    return SweepFile(guid=workspace.new(), plan=plain(plan.given), config=plan.settings, origin=origin, cells=cells)


def config_of(settings: Mapping[str, Any], choice: Mapping[str, Any]) -> Config | str:
    """The Config of a choice, or the sentence that says why it is not allowed"""
    try:
        found = Config(**combined(settings, choice))
    except BadInput as error:
        return str(error)
    if found.lora_rank:
        return f"lora_rank is {found.lora_rank}; allowed is 0 in a sweep, whose runs are trained from scratch; did you mean 0?"
    return found


def new_cell(workspace: Workspace, settings: dict[str, Any], seeds: Sequence[int], turn: int, error: str = "") -> SweepCell:
    return SweepCell(settings=settings, round=turn, runs=[SweepRun(guid=workspace.new(), seed=seed, error=error) for seed in seeds])


def plain(value: Any) -> Any:
    """A value of a plan as JSON holds it"""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(each) for each in value]
    return value.item() if hasattr(value, "item") else value if isinstance(value, int | float | str) or value is None else str(value)


def require_same_text(workspace: Workspace, record: SweepFile) -> None:
    """BadInput where the training text of a sweep has changed since its start"""
    digests = lambda found: [file["sha256"] for source in found for file in source["files"]]
    now = sources.remember(workspace, sources.recall(workspace, record.origin.get("sources")))
    if digests(now) != digests(record.origin["sources"]):
        raise BadInput(f"the training text of the sweep {brief(record.guid)} has changed: its sha256 differs; restore it, or start a new "
                       f"sweep")


def jobs_at_once(record: SweepFile) -> int:
    """How many runs are trained at once: as many as there are cores for, but no more than the record has; one on a GPU"""
    cfg = next(found for cell in record.cells if isinstance(found := config_of(record.config, cell.settings), Config))
    if backend.use(cfg.c_device, cfg.c_device_gpu_core, cfg.c_device_gpu_tensor) == "gpu":
        return 1
    return max(1, min(backend.cores() // max(1, cfg.c_device_cpu_cores), sum(len(cell.runs) for cell in record.cells)))


def finished(workspace: Workspace, plan: Plan, record: SweepFile, jobs: int, progress: bool, stopped: Callable[[], bool]) -> Comparison:
    """Train what is left of a sweep, round after round, and write its results"""
    rounds = len(plan.halving.n_steps) if plan.halving else 1
    over = False
    for turn in range(1, rounds + 1):
        if plan.halving and turn > 1 and not any(cell.round == turn for cell in record.cells):
            record = with_next_round(workspace, plan.halving.n_steps[turn - 1], plan.halving.keep, record, turn)
            workspace.save_sweep(record)
        record, over = trained_round(workspace, record, turn, jobs, progress, stopped)
        if not over:
            break
    found = results(workspace, record, over)
    workspace.save_sweep(record.model_copy(update=dict(finished=over, table=found.table())))
    saved = save_comparison(found, "sweep", workspace.root)
    return replace(found, files=[workspace.path("sweep", record.guid), *saved])


def with_next_round(workspace: Workspace, n_steps: int, keep: float, record: SweepFile, turn: int) -> SweepFile:
    """The record with the cells of the next round of a successive halving: the best of the round before it"""
    before = [cell for cell in cells_of(workspace, record) if cell.round == turn - 1]
    kept = survivors([cell.mean("valid_loss") for cell in before], keep)
    new = [new_cell(workspace, {**before[i].settings, "n_steps": n_steps}, [run.seed for run in before[i].runs], turn) for i in kept]
    return record.model_copy(update=dict(cells=[*record.cells, *new]))


def trained_round(workspace: Workspace, record: SweepFile, turn: int, jobs: int, progress: bool,
                  stopped: Callable[[], bool]) -> tuple[SweepFile, bool]:
    """The record after the training of all runs of a round that have not ended yet, and whether all of them have ended now"""
    where = {run.guid: (number, cell, run) for number, cell in enumerate(record.cells, 1) for run in cell.runs if cell.round == turn}
    left = [guid for guid, (_, _, run) in where.items() if not run.error and not is_complete(workspace, guid)]
    tasks = [Task(workspace.root, guid, combined(record.config, where[guid][1].settings) | dict(seed=where[guid][2].seed), record.origin)
             for guid in left]
    bar = SweepProgress(len(where), len(where) - len(left), progress)
    try:
        outcomes = one_by_one(tasks, stopped) if jobs == 1 else in_processes(workspace, record.guid, tasks, jobs, stopped, bar.tick)
        for task, outcome in outcomes if tasks else ():
            if outcome.interrupted:
                continue
            left.remove(task.guid)
            record = with_outcome(record, task.guid, outcome)
            workspace.save_sweep(record)
            number, cell, run = where[task.guid]
            bar.ended(number, cell.settings, measured_run(workspace, task.guid, run.seed, outcome.error))
    finally:
        bar.close()
    return record, not left


def with_outcome(record: SweepFile, guid: str, outcome: Outcome) -> SweepFile:
    """The record with the error of a run"""
    runs_of = lambda cell: [run.model_copy(update=dict(error=outcome.error)) if run.guid == guid else run for run in cell.runs]
    return record.model_copy(update=dict(cells=[cell.model_copy(update=dict(runs=runs_of(cell))) for cell in record.cells]))


def cells_of(workspace: Workspace, record: SweepFile) -> Sequence[Cell]:
    """The cells of a sweep with the numbers of their runs' reports; a run that has not ended has none"""
    measure = lambda run: measured_run(workspace, run.guid, run.seed, run.error, whole=True)
    return [Cell(number, cell.settings, [*map(measure, cell.runs)], cell.round) for number, cell in enumerate(record.cells, 1)]


def results(workspace: Workspace, record: SweepFile, over: bool) -> Comparison:
    """The results of a sweep so far"""
    cells = cells_of(workspace, record)
    runs = [run for cell in cells for run in cell.runs]
    ended = sum(bool(run.error or run.measures) for run in runs)
    what = f"{plural(len(cells), 'cell')}, {plural(len(runs), 'run')}"
    resume = command(f"sweep --resume {brief(record.guid)}", workspace.root)
    state = "" if over else f"; {ended} of them have ended, and `{resume}` continues the others"
    return Comparison(record.guid, f"Sweep {record.guid[:8]}", f"{what}{state}", cells, over)
