"""The plans: train, finetune, inference, delete, info and the other commands as functions. Each reads files, computes and writes files.
Only this package combines all others; the command line, Python and the panel call the same functions.
"""
from ..runs.store import brief, resume_hint
from ..training.mpi import launched_ranks
from .causes import cause
from .comparison import compare, save_comparison
from .documents import renew_generated
from .estimates import bench, check, config_and_tokens, panel, preflight
from .generation import chat, inference
from .inspection import diary, evaluate, features, microscope, save_page, walk
from .interchange import Export, export, import_
from .lessons import class_progress, save_class, tour
from .manage import babies, delete, info, pack, runs
from .model_io import grow_vocabulary, load, use_device
from .prepare_text import fetch, nursery, parse_size, prepare
from .rate_search import find_rate
from .school import school
from .steering import direction
from .sweep import sweep
from .training import finetune, train
from .training_data import finetune_config, make_config
from .training_run import Run

__all__ = ["Export", "Run", "babies", "bench", "brief", "cause", "chat", "check", "class_progress", "compare", "config_and_tokens",
           "delete", "diary", "direction", "evaluate", "export", "features", "fetch", "find_rate", "finetune", "finetune_config",
           "grow_vocabulary", "import_", "inference", "info", "launched_ranks", "load", "make_config", "microscope", "nursery", "pack",
           "panel", "parse_size", "preflight", "prepare", "renew_generated", "resume_hint", "runs", "save_class", "save_comparison",
           "save_page", "school", "sweep", "tour", "train", "use_device", "walk"]
