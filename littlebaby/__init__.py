"""littlebaby: a whole GPT, forward and backward, written by hand on NumPy or CuPy.

>>> import littlebaby as lb
>>> run = lb.train(input="inputs/my.txt", n_layers=4, c_attention="gqa", seed=0)
>>> lb.inference(run.guid, prompt="Once", max_tokens=200).text
>>> lb.load(run.guid).loss_and_grads(ids, targets)
"""
from .errors import BadInput, RunFailed
from .inference.baby import Baby
from .plans import (
    Export,
    Run,
    bench,
    chat,
    check,
    delete,
    diary,
    evaluate,
    export,
    fetch,
    finetune,
    import_,
    inference,
    info,
    load,
    microscope,
    nursery,
    pack,
    panel,
    preflight,
    prepare,
    train,
    walk,
)
from .plans import runs as list  # noqa: A004
from .runs.records import VERSION as __version__
from .runs.settings import Config

__all__ = ["BadInput", "Baby", "Config", "Export", "Run", "RunFailed", "__version__", "bench", "chat", "check", "delete", "diary",
           "evaluate", "export", "fetch", "finetune", "import_", "inference", "info", "list", "load", "microscope", "nursery", "pack",
           "panel", "preflight", "prepare", "train", "walk"]
