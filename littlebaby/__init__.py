"""littlebaby: a whole GPT, forward and backward, written by hand on NumPy or CuPy.

>>> import littlebaby as lb
>>> run = lb.train(input="inputs/my.txt", n_layers=4, c_attention="gqa", seed=0)
>>> lb.inference(run.guid, prompt="Once", max_tokens=200).text
>>> lb.load(run.guid).loss_and_grads(ids, targets)
"""
from .errors import BadInput, RunFailed
from .learning.baby import Baby
from .plans import Run, chat, check, delete, evaluate, fetch, finetune, inference, info, load, nursery, pack, panel, preflight, train
from .plans import runs as list  # noqa: A004
from .runs.records import VERSION as __version__
from .runs.records import Config

__all__ = ["BadInput", "Baby", "Config", "Run", "RunFailed", "__version__", "chat", "check", "delete", "evaluate", "fetch", "finetune",
           "inference", "info", "list", "load", "nursery", "pack", "panel", "preflight", "train"]
