"""The names and places of the files of runs, and the folder that is the workspace. Nothing here writes.

    inputs/NAME.txt, inputs/NAME.tok         texts to train on, and token files
    tokens/NAME_KEY.tok                      the token file that a training made of a text too large for memory, for the next training
    configs/config_GUID.json                 tokenizers/tokenizer_GUID.json
    models/model_GUID.json (.safetensors)    models/checkpoint_GUID/
    models/adapters_GUID.safetensors         the adapters that a finetune has trained, without its base
    outputs/report_GUID.json                 outputs/completion_GUID[_time].json        outputs/chart_GUID.png
    outputs/chat_GUID_time.jsonl             saved conversations
    exports/GUID_huggingface/ ...            models for other programs; they are kept when the run is deleted
    outputs/microscope_GUID.html             outputs/diary_GUID.html                    outputs/walk_VARIANT.html, of no run
    outputs/cause_GUID.html
    outputs/direction_NAME_GUID.json         a direction with which inference steers
    outputs/features_GUID.json (.html)       the features of a layer, and models/features_GUID.safetensors, the autoencoder that has them
    outputs/compare_GUID.html (.csv)         several runs in one table, the first of them GUID
    outputs/sweep_GUID.json (.csv, .html)    the runs of a sweep and its results; GUID is the sweep's own name
    outputs/find_rate_NAME.html              a search for a learning rate on the text NAME, of no run
    outputs/archive_GUID.zip                 all of these in one file, to copy to another machine
    outputs/progress.json                    the exercises of the tour that were tried in this workspace
    outputs/class_FOLDER.html (.csv)         the progress of all learners whose workspaces are in a folder
A finetuned run is GUID_finetuned, the next one GUID_finetuned_2. Files of older versions, whose names are misspelled, are found as well.
"""
import os
import re
import tempfile
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import NamedTuple

from . import disk
from .records import DIRECTION, NAME

PLACES = dict(
    config="configs/config_{}.json", tokenizer="tokenizers/tokenizer_{}.json", model="models/model_{}.json",
    weights="models/model_{}.safetensors", adapters="models/adapters_{}.safetensors", checkpoint="models/checkpoint_{}",
    lock="models/.lock_{}", queue="outputs/.lock_{}", report="outputs/report_{}.json", completion="outputs/completion_{}.json",
    chart="outputs/chart_{}.png", chat="outputs/chat_{}.jsonl", archive="outputs/archive_{}.zip", export="exports/{}",
    microscope="outputs/microscope_{}.html", cause="outputs/cause_{}.html", diary="outputs/diary_{}.html", walk="outputs/walk_{}.html",
    progress="outputs/progress.json", progress_lock="outputs/.lock_progress", learners="outputs/class_{}.html",
    learners_csv="outputs/class_{}.csv",
    direction="outputs/direction_{}.json", features="outputs/features_{}.html", features_data="outputs/features_{}.json",
    autoencoder="models/features_{}.safetensors", compare="outputs/compare_{}.html", compare_csv="outputs/compare_{}.csv",
    sweep="outputs/sweep_{}.json", sweep_page="outputs/sweep_{}.html", sweep_csv="outputs/sweep_{}.csv",
    sweep_lock="outputs/.lock_sweep_{}", find_rate="outputs/find_rate_{}.html")
FOLDERS = sorted({place.split("/")[0] for place in PLACES.values()} - {"exports"})     # an export does not belong to its run any more

# a file of a run, complete or left half-written, under its right name or an old spelling
OF_A_RUN = re.compile(
    r"\.?(?:config|tokenizer|model|adapters|checkpoint|report|completion|complation|chart|chat|archive|microscope|cause|diary|compare|"
    rf"features|direction_{DIRECTION})"
    rf"_({NAME.replace('tuned', 't?uned')})"
    rf"(?:_\d{{14}}(?:_\d+)?)?(?:\.jsonl?|\.safetensors|\.png|\.zip|\.html|\.csv)?(?:\.[0-9a-f]{{8}}\{disk.TEMPORARY})?")
OLD_SPELLINGS = [("completion_", "complation_"), ("_finetuned", "_fineuned")]


class File(NamedTuple):
    """A file or a folder with its size"""
    path: Path
    bytes: int


def enclosing_workspace(folder: Path) -> Path:
    """The nearest of a folder and its parents that is a clone of littlebaby or holds files of runs or the progress in the tour; the folder
    itself where none does

    The root, the home folder and the folder for temporary files never become the workspace of a folder below them, even if a run has left
    files there.
    """
    shared = {Path(folder.anchor), Path(os.path.expanduser("~")), Path(tempfile.gettempdir())}
    shared |= {each.resolve() for each in shared}
    return next((each for each in (folder, *folder.parents) if is_clone(each) or each not in shared and holds_runs(each)), folder)


def is_clone(folder: Path) -> bool:
    """Whether a folder is a clone of the repository of littlebaby"""
    with suppress(OSError, UnicodeDecodeError):
        if (folder / "littlebaby" / "__init__.py").is_file():
            return bool(re.search(r"(?m)^name *= *[\"']littlebaby[\"']", (folder / "pyproject.toml").read_text(encoding="utf-8")))
    return False


def holds_runs(folder: Path) -> bool:
    """Whether a folder has a file of a run, or the progress in the tour, at its place in a workspace"""
    with suppress(OSError):
        if (folder / PLACES["progress"]).is_file():
            return True
        return any(OF_A_RUN.fullmatch(path.name) for place in FOLDERS if (folder / place).is_dir() for path in (folder / place).iterdir())
    return False


def files_of_runs(root: Path) -> dict[str, list[Path]]:
    """{run: the paths of all its files and folders} of a workspace"""
    found: dict[str, list[Path]] = {}
    for folder in FOLDERS:
        with disk.explain_os_errors("read", root / folder):
            paths = sorted((root / folder).iterdir()) if (root / folder).is_dir() else []
        for path in paths:
            if match := OF_A_RUN.fullmatch(path.name):
                found.setdefault(match[1].replace("_fineuned", "_finetuned"), []).append(path)
    return found


def unused_path(path: Path, time: datetime) -> Path:
    """`path` with a time in its name, and a number if a file of that name exists; the caller holds the lock against other writers"""
    stem = f"{path.stem}_{time:%Y%m%d%H%M%S}"
    return next(p for i in count(1) if not (p := path.with_name(f"{stem}_{i}{path.suffix}" if i > 1 else f"{stem}{path.suffix}")).exists())


def sized(path: Path) -> File:
    """A file or folder with the number of its bytes; what another process has just deleted or renamed counts 0"""
    files = inside(path) if path.is_dir() and not path.is_symlink() else [path]
    return File(path, sum(stat.st_size for each in files if (stat := stat_of(each))))


def inside(folder: Path) -> list[Path]:
    """All files and folders in a folder, at any depth; none where it does not exist any more"""
    with suppress(FileNotFoundError):
        return list(folder.rglob("*"))
    return []


def stat_of(path: Path) -> os.stat_result | None:
    """The stat of a file, None where it does not exist any more"""
    with suppress(FileNotFoundError):
        return path.lstat()
    return None


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first"""
    return sorted((path for path in inside(folder) if re.fullmatch(r"state_\d+\.safetensors", path.name)), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The number of steps after which a checkpoint was written"""
    return int(checkpoint.stem[6:])


def brief(name: str) -> str:
    """A run's name shortened to what usually identifies it: 0b2f8a52, 0b2f8a52_finetuned_2"""
    return name[:8] + name[36:]
