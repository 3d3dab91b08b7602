"""The commands that try settings or compare runs: sweep, compare, find_rate."""
from .. import plans
from ..errors import BadInput
from .answers import Answer, print_line, with_path
from .options import Chosen, Common, Everywhere, Others, Real, Settings, Whole, app, given_settings


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
        print_line(f"interrupted and saved: {found.about}")
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


@app.command(name="find_rate")
def find_rate(input: list[str] | None = None, *, preset: str | None = None, config: str | None = None, encoding: str = "utf-8",
              least: Real = 1e-4, most: Real = 1.0, quiet: bool = False, settings: Chosen = Settings(), common: Everywhere = Common(),
              **others: Others):
    """Suggest a learning rate by one short training in which it grows. Writes a page to outputs/. Takes the settings of train.

    Args:
        input: The training text, as for train [nursery].
        preset: A named set of settings; `littlebaby catalog presets` lists them [nursery; characters for another text].
        config: A JSON file of settings. With it, no preset is used; with --preset, its settings override the preset's.
        encoding: Encoding of the text.
        least: Learning rate of the first step.
        most: Learning rate of the last step; --n_steps gives their number [150].
        quiet: No progress bar.
    """
    given = given_settings(settings, others)
    found = plans.find_rate(input, preset, config, common.path, encoding, given.pop("n_steps", 150), least, most, not quiet, **given)
    path = plans.save_page(found, "find_rate", found.name.removesuffix(".txt").replace(" ", "_"), common.path)
    return Answer(found.data() | dict(path=path and str(path)), with_path(found, path))
