"""The tour: how far a learner has come, and a whole class."""
import os
from pathlib import Path

from ..errors import BadInput, readable
from ..runs.records import ExerciseProgress
from ..runs.store import PLACES, Workspace
from ..show.class_progress import ClassProgress, merged
from ..show.tour_progress import Tour, all_exercises
from .process_control import keep_result, open_workspace

CLONE = Path(__file__).parents[2]
NOTEBOOKS = "notebooks/tour/en"
OF_A_WORKSPACE = {"inputs", *(place.split("/")[0] for place in PLACES.values())}       # folders that are no learner's


def tour(path: str | Path | None = None) -> Tour:
    """The lessons of the tour, their exercises, and which of them are solved.

    Args:
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].

    Returns:
        A table: it displays itself, and has `exercises`, `solved`, `next` and `notebooks`.

    Raises:
        BadInput: outputs/progress.json is damaged.

    >>> progress = lb.tour()
    >>> progress.solved, progress.next.title
    (0, 'The weather')
    """
    workspace = open_workspace(path)
    places = [root / NOTEBOOKS for root in (workspace.root, CLONE)]
    return Tour(list(all_exercises(workspace.progress())), workspace.path("progress", ""),
                next((place for place in places if place.is_dir()), None))


def class_progress(folder: str | Path) -> ClassProgress:
    """The progress of all learners of a class in the tour.

    Args:
        folder: Folder that contains one folder for each learner. All workspaces in a learner's folder, at any depth, count together.

    Returns:
        A page: it displays itself in a notebook; `save(path)` writes it as HTML, `save_csv(path)` as CSV. Damaged files are skipped.

    Raises:
        BadInput: There is no such folder, or no workspace with progress in it.

    >>> lb.class_progress(".")
    Traceback (most recent call last):
    littlebaby.errors.BadInput: there is no outputs/progress.json in ...
    """
    root = Path(os.path.expanduser(str(folder))).resolve()
    if not root.is_dir():
        raise BadInput(f"there is no folder {root}; give the folder that contains the learners' folders")
    found: dict[str, list[ExerciseProgress]] = {}
    skipped, begun = [], set[str]()
    for file in progress_files(root):
        inside = file.relative_to(root).parts
        learner = readable(inside[0] if len(inside) > 2 else root.name)
        begun.add(learner)
        try:
            if file.is_symlink() or not file.is_file():
                raise BadInput(f"{file} is a link or a device, not a file")
            entries = Workspace(file.parents[1]).progress()
        except BadInput as error:
            skipped.append(str(error).splitlines()[0])
        else:
            found.setdefault(learner, []).extend(entries)
    if not found and not skipped:
        raise BadInput(f"there is no {PLACES['progress']} in {root} or in a folder below it; give the folder that contains the learners' "
                       f"folders")
    folders = [each.name for each in sorted(root.iterdir()) if each.is_dir() and each.name[0] != "." and each.name not in OF_A_WORKSPACE]
    return ClassProgress(root, {learner: list(all_exercises(merged(found[learner]))) for learner in sorted(found)},
                         [each for each in map(readable, folders) if each not in begun], skipped)


def progress_files(root: Path) -> list[Path]:
    """Every outputs/progress.json in a folder and below it; hidden folders and links to folders are omitted"""
    found = []
    for folder, folders, _ in os.walk(root):
        folders[:] = [each for each in folders if not each.startswith(".")]
        path = Path(folder) / PLACES["progress"]
        if os.path.lexists(path):
            found.append(path)
    return sorted(found)


def save_class(found: ClassProgress, path: str | Path | None = None) -> list[Path]:
    """Write outputs/class_FOLDER.html and .csv and return their paths; if they cannot be written, print the reason and return []"""
    workspace = open_workspace(path)
    name = found.folder.name or "root"
    return keep_result(lambda: [found.save(workspace.path("learners", name)), found.save_csv(workspace.path("learners_csv", name))]) or []
