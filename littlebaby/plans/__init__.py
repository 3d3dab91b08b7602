"""The plans: train, finetune, inference, delete, info and the other commands as functions. Each reads files, computes and writes files.
Only this package combines all others; the command line, Python and the panel call the same functions.
"""
from ..runs.store import resume_command
from ..training.mpi import launched_ranks
from .documents import renew_generated
from .estimates import bench, check, config_and_tokens, panel, preflight
from .generation import chat, inference
from .inspection import diary, evaluate, microscope, save_page, walk
from .interchange import Export, export, import_
from .manage import delete, info, pack, runs
from .model_io import grow_vocabulary, load, use_device
from .prepare_text import fetch, nursery, parse_size, prepare
from .training import Run, finetune, train
from .training_data import finetune_config, make_config

__all__ = ["Export", "Run", "bench", "chat", "check", "config_and_tokens", "delete", "diary", "evaluate", "export", "fetch",
           "finetune", "finetune_config", "grow_vocabulary", "import_", "inference", "info", "launched_ranks", "load",
           "make_config", "microscope", "nursery", "pack", "panel", "parse_size", "preflight", "prepare", "renew_generated",
           "resume_command", "runs", "save_page", "train", "use_device", "walk"]
