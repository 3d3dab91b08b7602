"""The commands that train or compare many runs: sweep, compare."""
from .. import plans
from ..errors import BadInput
from .answers import Answer, print_line
from .options import Common, Everywhere, Whole, app


@app.command
def sweep(plan: str | None = None, *, jobs: Whole = 0, resume: str | None = None, quiet: bool = False, common: Everywhere = Common()):
    """Train a model for every choice of settings in a plan, several at once, and compare the runs. Writes JSON, CSV and a page to outputs/.

    Args:
        plan: The plan, a JSON or YAML file; docs/sweep.md explains its keys.
        jobs: Number of runs at once; 0 means as many as there are cores, or one on a GPU.
        resume: Continue a sweep: its GUID, the first 4 or more characters of it, or last for the newest.
        quiet: No progress bar and no line for every run.
    """
    if plan is None and resume is None:
        raise BadInput("sweep needs a plan, a JSON or YAML file, or --resume last; docs/sweep.md shows plans")
    found = plans.sweep(plan, jobs=jobs, path=common.path, resume=resume, progress=not quiet)
    if not found.finished:
        print_line(f"interrupted and saved; `littlebaby sweep --resume {found.name[:8]}` continues the sweep")
    return Answer(found.data(), "\n".join([str(found), "", *map(str, found.files)]), 0 if found.finished else 130)


@app.command
def compare(*guids: str, common: Everywhere = Common()):
    """Compare runs in one table: losses, speed, cost, best compromises, effect of each setting. Writes a page and CSV to outputs/.

    Args:
        guids: The runs: their GUIDs, the first 4 or more characters of each, or last [all runs].
    """
    found = plans.compare(*guids, path=common.path)
    files = [str(file) for file in plans.save_comparison(found, "compare", common.path)]
    return Answer(found.data() | dict(files=files), "\n".join([str(found), "", *files]).rstrip())
