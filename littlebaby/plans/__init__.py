"""The plans: train, finetune, inference, delete, info and their companions. Each reads, acts and writes; only here the rooms meet.

The shell, Python and a notebook call these same functions. `path` is the workspace (None: LITTLEBABY_HOME or the current folder).
"""
from .babies import device, grown, load
from .exchange import Export, export, import_
from .keeping import delete, info, pack, runs
from .lessons import configured, succeeding
from .looking import diary, evaluate, kept, microscope, walk
from .texts import fetch, in_bytes, nursery, prepare
from .training import Run, finetune, train
from .trials import bench, check, panel, preflight, sized
from .writing import chat, inference

__all__ = ["Export", "Run", "bench", "chat", "check", "configured", "delete", "device", "diary", "evaluate", "export", "fetch", "finetune",
           "grown", "import_", "in_bytes", "inference", "info", "kept", "load", "microscope", "nursery", "pack", "panel", "preflight",
           "prepare", "runs", "sized", "succeeding", "train", "walk"]
