"""One stream of littlebaby beside PyTorch's: `python benchmarks/generate.py [S1 S2]`, needs `pip install -e '.[peers]'`.

From one token on, until the window is full: keys and values cached, the next token drawn at temperature 1, every id handed out as
it comes. littlebaby's own generate, against eager PyTorch with preallocated caches, with one thread and with two; the faster one
counts.
"""
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
import turns


def littlebaby(size):
    """How many parameters, and without end the seconds per token of one text as the product writes it"""
    import littlebaby as lb
    from littlebaby import plans
    from littlebaby.arrays import tree
    from littlebaby.learning.generate import generate
    from littlebaby.learning.sampling import Sampling

    cfg = lb.Config(**size, c_bias="all", c_position="learned", c_device="cpu", c_device_cpu_cores=turns.THREADS)
    plans.device(cfg)
    baby, rng, begin = lb.Baby(cfg), np.random.default_rng(0), np.zeros((1, 1), int)

    def texts():
        while True:
            clock = perf_counter()
            ids = [int(column[0]) for column in generate(baby.p, cfg, begin, cfg.n_ctx, Sampling(), rng)]
            yield (perf_counter() - clock) / len(ids)

    return tree.size(baby.spec), texts()


def pytorch(size, threads):
    """The same of PyTorch"""
    import torch
    from peer import GPT

    torch.set_num_threads(threads)
    shape = {key: value for key, value in size.items() if key != "batch_size"}
    T, h = size["n_ctx"], size["n_heads"]
    model = GPT(**shape).eval()
    caches = torch.zeros(size["n_layers"], 2, 1, h, T, size["n_emb"] // h)

    @torch.inference_mode()
    def write():
        token, ids = torch.zeros(1, 1, dtype=torch.long), []
        for place in range(T):
            token = torch.multinomial(torch.softmax(model(token, caches, place)[:, -1], -1), 1)
            ids.append(token.item())
        return ids

    def texts():
        while True:
            clock = perf_counter()
            ids = write()
            yield (perf_counter() - clock) / len(ids)

    return model.size(), texts()


CONTENDERS = {"littlebaby": littlebaby,
              "PyTorch, 1 thread": partial(pytorch, threads=1),
              "PyTorch, 2 threads": partial(pytorch, threads=2)}


def row(size, medians, foreign, kernels):
    mine, one, two = medians.values()
    ratios = [min(b, c) / a for a, b, c in zip(mine, one, two)]
    speeds = " | ".join(f"{1 / median(times):,.0f}" for times in (mine, one, two))
    return f"{size} | {kernels} | {speeds} | {turns.spread(ratios)} | {turns.load(foreign)}"


def main():
    chosen = turns.options(__doc__, ["S1", "S2"])
    if chosen.contender:
        return turns.serve(*CONTENDERS[chosen.contender](turns.SIZES[chosen.sizes[0]]), chosen.seconds)
    turns.publish("generate", f"size | kernels of NumPy | {' | '.join(CONTENDERS)} | ratio | its range | cores used by others",
                  (row(*match) for match in turns.matches(lambda size: CONTENDERS, chosen)), chosen.write)


if __name__ == "__main__":
    main()
