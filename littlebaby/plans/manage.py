"""The files of runs: listed, shown, packed and deleted."""
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..runs import store
from ..runs.shipped import alias
from .process_control import open_workspace


def info(guid: str = "last", path: str | Path | None = None) -> dict[str, Any]:
    """Settings, report, completion and files of a run.

    Args:
        guid: Run: its GUID, the first 4 or more characters of it, or "last".
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].

    Returns:
        {"guid": name, "config": {setting: value}, "report": {field: value} or None, "completion": text, "resumable": bool, "in_use": bool,
        "checkpoint": its step or None, "files": [{"path": str, "bytes": int}, ...]}

    Raises:
        BadInput: There is no such run, or a file of it is damaged.

    >>> about = lb.info("last")
    >>> about["config"]["n_emb"], about["report"]["stop_reason"]
    (16, 'finished')
    """
    workspace = open_workspace(path)
    name = workspace.resolve(guid)
    cfg = workspace.load_config(name)
    report = workspace.load_report(name) if workspace.existing("report", name).exists() else None
    completion = workspace.load_completion(name).text if workspace.existing("completion", name).exists() else ""
    run = workspace.run(name)
    return dict(guid=name, config=cfg.model_dump(), report=report and report.model_dump(mode="json"), completion=completion,
                resumable=run.resumable, in_use=run.in_use, checkpoint=run.checkpoint,
                files=[dict(path=str(file.path), bytes=file.bytes) for file in workspace.files(name)])


def runs(path: str | Path | None = None) -> list[store.Run]:
    """All runs of a workspace but the trained babies that come with littlebaby; `lb.list` is this function.

    Args:
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].

    Returns:
        The runs, oldest first, each with name, time, bytes, config and report.

    >>> [run.config.n_layers for run in lb.list()]
    [1]
    """
    return open_workspace(path).list()


def babies(path: str | Path | None = None) -> list[store.Run]:
    """The trained babies that come with littlebaby, the youngest first: 3-months, 6-months, 12-months, 24-months, 48-months.

    Every function and command takes these names in place of a GUID, in every workspace; what they generate is saved in the workspace.

    Args:
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].

    Returns:
        The runs, each with name, time, bytes, config and report.

    >>> [run.report.figures.parameters.total for run in lb.babies()][0] < 100_000
    True
    """
    return open_workspace(path).babies()


def delete(guid: str, path: str | Path | None = None, finetuned: bool = False, yes: bool = False,
           ask: Callable[[str], str] = input) -> list[str]:
    """Delete all files of a run, after asking. Exported files and all other runs are kept.

    Args:
        guid: Run: its GUID, the first 4 or more characters of it, or "last".
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        finetuned: Whether to delete the run's finetunes too.
        yes: Whether to delete without a question.
        ask: Function that shows a question and returns the answer; "y" and "yes" agree.

    Returns:
        Paths of the deleted files; [] if the answer was no.

    Raises:
        BadInput: There is no such run, a process is using it, or it comes with littlebaby and yes is False.

    >>> len(lb.delete("last", yes=True)) > 3
    True
    >>> lb.list()
    []
    """
    workspace = open_workspace(path)
    name = workspace.resolve(guid)
    if alias(name) and not yes:
        raise BadInput(f"{alias(name)} comes with littlebaby; allowed with `littlebaby delete {alias(name)} --yes`, which deletes its "
                       f"files in {workspace.root}; in a clone, `git checkout .` brings those of the baby back")
    workspace.require_unused(workspace.family(name, finetuned))
    files = workspace.files_to_delete(name, finetuned)
    listing = "\n".join(f"  {file.path}  {file.bytes:,} bytes" for file in files)
    which = "this file" if len(files) == 1 else f"these {len(files)} files"
    if not yes and ask(f"{listing}\nDelete {which}? [y/N] ").strip().lower() not in ("y", "yes"):
        return []
    return [str(file.path) for file in workspace.delete(name, finetuned)]


def pack(guid: str = "last", path: str | Path | None = None) -> Path:
    """Pack all files of a run into one zip, outputs/archive_GUID.zip, to copy it to another workspace.

    Args:
        guid: Run: its GUID, the first 4 or more characters of it, or "last".
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].

    Returns:
        Path of the zip.

    Raises:
        BadInput: There is no such run, or a process is using it.

    >>> lb.pack("last").suffix
    '.zip'
    """
    workspace = open_workspace(path)
    name = workspace.resolve(guid)
    with workspace.lock(name):
        return workspace.pack(name)
