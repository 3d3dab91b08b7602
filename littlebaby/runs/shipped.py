"""The trained babies that come with littlebaby: ordinary runs with fixed names, in a clone in its folders, else in the installed package.

`benchmarks/ages.py` makes them.
"""
from functools import cache
from pathlib import Path

from .run_files import PLACES, files_of_runs

AGES = (3, 6, 12, 24, 48)
SHIPPED = {f"{age}-months": f"{age:02d}babe00-0000-4000-8000-{age:012d}" for age in AGES}      # {alias: name of the run}
HERE = Path(__file__).parents[1]
HOMES = [HERE.parent, HERE / "babies"]       # of a clone, and of an installed package


def alias(name: str) -> str:
    """The alias of a run that comes with littlebaby: "24-months"; "" for any other run"""
    return next((word for word, shipped in SHIPPED.items() if shipped == name), "")


def home(name: str) -> Path | None:
    """The folder in whose folders the files of this run come with littlebaby; None if it is not such a run, or was deleted"""
    return next((each for each in HOMES if alias(name) and (each / PLACES["config"].format(name)).exists()), None)


@cache
def shipped_files(folder: Path) -> dict[str, list[Path]]:
    """{run: its files} of the runs that come with littlebaby in this folder; they do not change while it runs"""
    return {name: paths for name, paths in files_of_runs(folder).items() if alias(name)}
