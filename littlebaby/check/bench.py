"""The speed of this machine with models of four sizes: a training step, its matrix products alone, and generation.

The floor of a step is the time of its matrix products alone on the same number of cores, without norm, softmax and optimizer. The sizes
are those of docs/benchmarks.md, so that the results can be compared.
"""
from collections.abc import Generator
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import Any

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
GPT2 = dict(c_bias="all", c_position="learned", c_optimizer="adamw")     # as GPT-2, with which other programs are measured
SECONDS = 2.0                    # of measuring for each figure


@dataclass(frozen=True)
class Bench:
    """One size on this machine; seconds are medians"""
    size: str
    parameters: int
    step: float                  # seconds of a training step
    floor: float                 # seconds of its matrix products alone
    learned: float               # training targets per second
    written: float               # generated tokens per second, of one text
    flops: float                 # FLOPs per second in training


def config(size: str, **more: Any) -> Config:
    """The config of one of the SIZES, without evaluations, samples and checkpoints"""
    settings: dict[str, Any] = dict(**SIZES[size], **GPT2, s_eval=10 ** 9, s_checkpoint=10 ** 9, n_sample=0, **more)
    return Config(**settings)


def bench(name: str, cfg: Config) -> Bench:
    """Measure a size; cfg: config(name)"""
    baby, tokens = Baby(cfg), cfg.batch_size * cfg.n_ctx
    step, floor = median_of(steps(baby), SECONDS), median_of(products(baby), SECONDS)
    with backend.blas_threads(generation_threads(baby.flat)):
        generated = 1 / median_of(texts(baby), SECONDS)
    _, per_token = flops(cfg, baby.spec)
    return Bench(name, tree.size(baby.spec), step, floor, tokens / step, generated, per_token * tokens / step)


def products(baby: Baby) -> Generator[float, None, None]:
    """Yield the seconds of the matrix products of a step, x w, dy w' and x' dy, without end; each worker computes those of its rows"""
    cfg = baby.config
    workers = Workers(worker_count(cfg))
    rows = max(part.stop - part.start for part in split_rows(cfg.batch_size, workers.n)) * cfg.n_ctx
    shapes = [leaf.shape for _, leaf in tree.leaves(baby.spec) if leaf.kind in ("matrix", "head")]
    array = lambda *shape: xp.ones(shape, baby.flat.dtype)
    work = [[(array(rows, n_in), array(n_in, n_out), array(rows, n_out), array(rows, n_in), array(n_in, n_out), array(rows, n_out))
             for n_in, n_out in set(shapes)] for _ in range(workers.n)]
    counts = {shape: shapes.count(shape) for shape in set(shapes)}

    def multiply(i):
        for x, w, dy, dx, dw, y in work[i]:
            for _ in range(counts[w.shape]):
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


def texts(baby: Baby) -> Generator[float, None, None]:
    """Yield the seconds per token of generating one text of n_ctx tokens, without end"""
    cfg, rng = baby.config, np.random.default_rng(0)
    while True:
        clock = perf_counter()
        count = sum(1 for _ in islice(generate(baby.p, cfg, np.zeros((1, 1), int), cfg.n_ctx, Sampling(), rng), cfg.n_ctx))
        yield (perf_counter() - clock) / count
