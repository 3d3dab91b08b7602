"""Many texts at once: `python benchmarks/streams.py [1 8 64]`, the number of streams.

The model has the shapes of the preset nursery and random weights. Every stream draws 100 tokens at temperature 1 after the same prompt,
with two worker threads as in `school`; the numbers of streams take turns. The ratio is that of their tokens per second to the first.
"""
import sys
from statistics import median
from time import perf_counter

import numpy as np
import turns

from littlebaby import plans
from littlebaby.arrays.backend import blas_threads
from littlebaby.inference.baby import Baby
from littlebaby.inference.sampling import Sampling
from littlebaby.plans.training_data import make_config
from littlebaby.text import nursery
from littlebaby.text.word import Word
from littlebaby.training.parallel import Workers
from littlebaby.training.rollouts import Sampler

TURNS, TOKENS = 5, 100


def speed(sampler, streams):
    """Tokens per second of all streams together"""
    prompts = [np.array([0, 0])] * streams
    rngs = [np.random.default_rng([0, i]) for i in range(streams)]
    clock = perf_counter()
    drawn = sampler.draw(sampler.baby.p, prompts, TOKENS, Sampling(), rngs)
    return (sum(map(len, drawn.ids)) - 2 * streams) / (perf_counter() - clock)


def main():
    chosen = turns.options(__doc__, ["1", "8", "64"])
    turns.wait(chosen.wait)
    cfg = make_config("nursery", settings=dict(c_device="cpu", c_device_cpu_cores=turns.THREADS))
    plans.use_device(cfg)
    sampler = Sampler(Baby(cfg, tokenizer=Word.train(nursery.corpus(20_000, 0)[0])), Workers(turns.THREADS))
    sampler.end = "never"                                        # random texts end early
    own, before = turns.spent(), turns.moment()
    with blas_threads(1):
        found = [[speed(sampler, int(size)) for size in chosen.sizes] for _ in range(TURNS)]
    foreign = turns.others([(before, turns.moment(), turns.spent() - own)])
    rows = (f"{size} | {median(each[i] for each in found):,.0f} | {turns.spread([each[i] / each[0] for each in found])} | "
            f"{turns.load(foreign)}" for i, size in enumerate(chosen.sizes))
    turns.publish("streams", "streams | tokens/s together | ratio to the first | its range | cores used by others", rows, chosen.write)


if __name__ == "__main__":
    sys.exit(main())
