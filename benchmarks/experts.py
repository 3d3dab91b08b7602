"""moe on two cores, in two shards or in one worker whose products use both cores: `python benchmarks/experts.py [4 8 16 32 64 PRESET]`.

The model is S1 with so many experts of width 128, two of them asked; or a preset, with a vocabulary of 512. A step is one of the training
loop. What it came to, and why `how_many` in training/parallel.py shares every batch out all the same, says docs/log.md.
"""
from statistics import median
from time import perf_counter

import numpy as np
import turns

import littlebaby as lb
from littlebaby import plans
from littlebaby.arrays import tree
from littlebaby.runs.presets import preset
from littlebaby.training import loop
from littlebaby.training.data import Batches, windows

ALWAYS = dict(s_eval=10 ** 9, n_sample=0, c_device="cpu", c_device_cpu_cores=turns.THREADS)
CONTENDERS = {"two shards": 2, "one": 1}


def config(size):
    if size.isdigit():
        return lb.Config(**turns.SIZES["S1"], **ALWAYS, c_network="moe", n_experts=int(size), n_active=2, s_expert=128)
    return lb.Config(**{**preset(size), "n_vocab": 512, **ALWAYS})


def contender(size, workers):
    """How many parameters, and without end the seconds of a step with so many workers"""
    loop.worker_count = lambda cfg: workers
    cfg = config(size)
    plans.use_device(cfg)
    baby, ids = lb.Baby(cfg), np.random.default_rng(0).integers(0, cfg.n_vocab, 200_000)

    def steps():
        clock = perf_counter()
        for event in loop.train(baby, loop.begin(baby, 10 ** 9), Batches(ids, cfg, 0), windows(ids[:0], cfg.n_ctx)):
            if isinstance(event, loop.Step):
                yield perf_counter() - clock
            clock = perf_counter()

    return tree.size(baby.spec), steps()


def row(size, medians, foreign, kernels, _memory):
    ratios = [one / two for one, two in zip(medians["one"], medians["two shards"])]
    milliseconds = " | ".join(f"{1000 * median(medians[name]):.1f}" for name in CONTENDERS)
    cfg = config(size)
    tokens = cfg.batch_size * cfg.n_ctx * cfg.n_active // cfg.n_experts
    return f"{size} | {tokens} | {kernels} | {milliseconds} | {turns.spread(ratios)} | {turns.load(foreign)}"


def main():
    chosen = turns.options(__doc__, ["4", "8", "16", "32", "64", "tiny-nano-kimi-k2"])
    if chosen.contender:
        return turns.serve(*contender(chosen.sizes[0], CONTENDERS[chosen.contender]), chosen.seconds)
    turns.publish("experts", "experts | tokens per expert | kernels of NumPy | two shards, ms | one worker, ms | ratio | its range | "
                  "cores used by others", (row(*match) for match in turns.matches(lambda size: CONTENDERS, chosen)), chosen.write)


if __name__ == "__main__":
    main()
