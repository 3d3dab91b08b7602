"""What this machine makes of littlebaby: a training step and a stream of text in four sizes, and how near to the bare products they come.

The floor of a step is the time of its matrix products alone, on as many cores, with nothing in between: no norm, no softmax, no optimizer.
The sizes are those of the benchmarks, so that a table from here can be laid beside theirs.
"""
from dataclasses import dataclass
from itertools import islice
from time import perf_counter

import numpy as np

from ..arrays import backend, tree
from ..arrays.backend import xp
from ..inference.baby import Baby
from ..inference.generate import generate
from ..inference.sampling import Sampling
from ..runs.settings import Config
from ..training.parallel import Workers, generation_threads, split_rows, worker_count
from .preflight import flops, median_of, steps

SIZES = dict(S0=dict(n_layers=4, n_heads=4, n_emb=128, n_ctx=64, n_vocab=65, batch_size=12),
             S1=dict(n_layers=4, n_heads=4, n_emb=128, n_ctx=128, n_vocab=65, batch_size=16),
             S2=dict(n_layers=6, n_heads=6, n_emb=384, n_ctx=256, n_vocab=65, batch_size=16),
             S3=dict(n_layers=4, n_heads=4, n_emb=256, n_ctx=256, n_vocab=4096, batch_size=8))
GPT2 = dict(c_bias="all", c_position="learned", c_optimizer="adamw")     # the shape that others are measured in
SECONDS = 2.0                    # for each figure


@dataclass(frozen=True)
class Bench:
    """One size on this machine; seconds are medians"""
    size: str
    parameters: int
    step: float                  # seconds of a training step
    floor: float                 # seconds of its matrix products alone
    learned: float               # tokens per second in training
    written: float               # tokens per second of one stream of text
    flops: float                 # floating-point operations per second in training


def config(size, **more):
    """A model of one of the SIZES, of which nothing is evaluated, sampled or saved"""
    return Config(**SIZES[size], **GPT2, s_eval=10 ** 9, s_checkpoint=10 ** 9, n_sample=0, **more)


def bench(name, cfg):
    """A Bench of a config(name)"""
    baby, tokens = Baby(cfg), cfg.batch_size * cfg.n_ctx
    step, floor = median_of(steps(baby), SECONDS), median_of(products(baby), SECONDS)
    with backend.blas_threads(generation_threads(baby.flat)):
        written = 1 / median_of(texts(baby), SECONDS)
    _, per_token = flops(cfg, baby.spec)
    return Bench(name, tree.size(baby.spec), step, floor, tokens / step, written, per_token * tokens / step)


def products(baby):
    """Without end the seconds of a step's matrix products, each worker with its rows: x w, and backward dy w' and x' dy"""
    cfg = baby.config
    workers = Workers(worker_count(cfg))
    rows = max(part.stop - part.start for part in split_rows(cfg.batch_size, workers.n)) * cfg.n_ctx
    shapes = [leaf.shape for _, leaf in tree.leaves(baby.spec) if leaf.kind in ("matrix", "head")]
    array = lambda *shape: xp.ones(shape, baby.flat.dtype)
    work = [[(array(rows, n_in), array(n_in, n_out), array(rows, n_out), array(rows, n_in), array(n_in, n_out), array(rows, n_out))
             for n_in, n_out in set(shapes)] for _ in range(workers.n)]
    often = {shape: shapes.count(shape) for shape in set(shapes)}

    def multiply(i):
        for x, w, dy, dx, dw, y in work[i]:
            for _ in range(often[w.shape]):
                xp.matmul(x, w, out=y)
                xp.matmul(dy, w.T, out=dx)
                xp.matmul(x.T, dy, out=dw)

    with backend.blas_threads(1 if workers.n > 1 else None):
        try:
            while True:
                clock = perf_counter()
                workers.run(multiply)
                yield perf_counter() - clock
        finally:
            workers.close()


def texts(baby):
    """Without end the seconds per token of one text that fills the window"""
    cfg, rng = baby.config, np.random.default_rng(0)
    while True:
        clock = perf_counter()
        written = sum(1 for _ in islice(generate(baby.p, cfg, np.zeros((1, 1), int), cfg.n_ctx, Sampling(), rng), cfg.n_ctx))
        yield (perf_counter() - clock) / written
