"""littlebaby: a complete GPT, forward and backward, written by hand on NumPy or CuPy.

    import littlebaby as lb

    run = lb.train("my.txt", n_layers=4, c_attention="gqa", seed=0)      train on inputs/my.txt and save the run
    lb.inference(run.guid, "Once", max_tokens=200).text                  generate text with it
    baby = lb.load(run.guid)                                             its config, tokenizer and weights
    loss, grads = baby.loss_and_grads(ids, targets)                      gradients of all weights, by name

The documentation of every function contains an example: `help(lb.train)`. In it, a default that the signature does not show is given in
brackets; "last" is a run that was trained on the text nursery_5kB_0.txt, and `np` is NumPy.

Functions raise BadInput if an input cannot be used; its message names the allowed values. A training that fails raises RunFailed.

>>> lb.Config(n_heads=3)
Traceback (most recent call last):
littlebaby.errors.BadInput: n_heads is 3; allowed are divisors of head_size, 128; did you mean ...
"""
from .errors import BadInput, RunFailed
from .inference.baby import Baby
from .plans import (
    Export,
    Run,
    babies,
    bench,
    cause,
    chat,
    check,
    class_progress,
    compare,
    delete,
    diary,
    direction,
    evaluate,
    export,
    features,
    fetch,
    find_rate,
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
    school,
    sweep,
    tour,
    train,
    walk,
)
from .plans import runs as list  # noqa: A004
from .runs.records import VERSION as __version__
from .runs.settings import Config

__all__ = ["Baby", "BadInput", "Config", "Export", "Run", "RunFailed", "__version__", "babies", "bench", "cause", "chat", "check",
           "class_progress", "compare", "delete", "diary", "direction", "evaluate", "export", "features", "fetch", "find_rate",
           "finetune", "import_", "inference", "info", "list", "load", "microscope", "nursery", "pack", "panel", "preflight", "prepare",
           "school", "sweep", "tour", "train", "walk"]
