"""The files of runs: shown, packed, deleted."""
from .process_control import open_workspace


def info(guid="last", path=None):
    """The card of a run: what it is, what it came to, which files it has"""
    workspace = open_workspace(path)
    name = workspace.resolve(guid)
    cfg = workspace.load_config(name)
    report = workspace.load_report(name) if workspace.existing("report", name).exists() else None
    written = workspace.load_completion(name).text if workspace.existing("completion", name).exists() else ""
    run = workspace.run(name)
    return dict(guid=name, config=cfg.model_dump(), report=report and report.model_dump(mode="json"), completion=written,
                resumable=run.resumable, in_use=run.in_use, checkpoint=run.checkpoint,
                files=[dict(path=str(file.path), bytes=file.bytes) for file in workspace.files(name)])


def runs(path=None):
    """Every run of a workspace, the oldest first"""
    return open_workspace(path).list()


def delete(guid, path=None, finetuned=False, yes=False, ask=input):
    """Remove all files of a run and of no other, its finetunes only if asked; returns the paths that went.

    ask: a question to which "y" or "yes" agrees; `yes` asks nothing
    """
    workspace = open_workspace(path)
    name = workspace.resolve(guid)
    going = workspace.going(name, finetuned)
    listing = "\n".join(f"  {file.path}  {file.bytes:,} bytes" for file in going)
    if not yes and ask(f"{listing}\nDelete these {len(going)}? [y/N] ").strip().lower() not in ("y", "yes"):
        return []
    return [str(file.path) for file in workspace.delete(name, finetuned)]


def pack(guid="last", path=None):
    """All files of a run in one zip, outputs/archive_GUID.zip, to take it elsewhere; returns its path"""
    workspace = open_workspace(path)
    name = workspace.resolve(guid)
    with workspace.lock(name):
        return workspace.pack(name)
