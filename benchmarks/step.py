"""One training step of littlebaby beside PyTorch's: `python benchmarks/step.py [S0 S1 S2 S3]`, needs `pip install -e '.[peers]'`.

A step is a batch drawn, forward, cross-entropy, backward, clipping and AdamW on random tokens, fp32, two threads: littlebaby's own
training loop with its events and checks, against eager PyTorch with fused AdamW and scaled_dot_product_attention.
"""
from statistics import median
from time import perf_counter

import numpy as np
import turns

LEARN, DECAY, BETAS, EPS, CLIP = 1e-3, 0.1, (0.9, 0.99), 1e-8, 1.0


def littlebaby(size):
    """How many parameters, and without end the seconds of a step as the product's loop takes it"""
    import littlebaby as lb
    from littlebaby import plans
    from littlebaby.arrays import tree
    from littlebaby.learning.data import Batches, windows
    from littlebaby.learning.train import Step, begin, train

    cfg = lb.Config(**size, c_bias="all", c_position="learned", c_optimizer="adamw", r_learn=LEARN, r_decay=DECAY, r_beta1=BETAS[0],
                    r_beta2=BETAS[1], r_eps=EPS, r_clip=CLIP, c_schedule="constant", s_warmup="none", s_eval=10 ** 9, n_sample=0,
                    c_device="cpu", c_device_cpu_cores=turns.THREADS)
    plans.device(cfg)
    baby, ids = lb.Baby(cfg), text(size)

    def steps():
        clock = perf_counter()
        for event in train(baby, begin(baby, 10 ** 9), Batches(ids, cfg, 0), windows(ids[:0], cfg.n_ctx)):
            if isinstance(event, Step):
                yield perf_counter() - clock
            clock = perf_counter()

    return tree.size(baby.spec), steps()


def pytorch(size):
    """The same of PyTorch"""
    import torch
    from peer import GPT
    from torch.nn.functional import cross_entropy
    from torch.nn.utils import clip_grad_norm_

    torch.set_num_threads(turns.THREADS)
    shape = dict(size)
    B, T = shape.pop("batch_size"), size["n_ctx"]
    model, ids = GPT(**shape), torch.from_numpy(text(size))
    weights = list(model.parameters())
    optimizer = torch.optim.AdamW([dict(params=[w for w in weights if w.ndim > 1], weight_decay=DECAY),
                                   dict(params=[w for w in weights if w.ndim == 1], weight_decay=0.0)],
                                  lr=LEARN, betas=BETAS, eps=EPS, fused=True)

    def steps():
        while True:
            clock = perf_counter()
            window = ids[torch.randint(len(ids) - T, (B, 1)) + torch.arange(T + 1)]
            loss = cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            clip_grad_norm_(weights, CLIP)
            optimizer.step()
            loss.item()
            yield perf_counter() - clock

    return model.size(), steps()


def text(size):
    """Random tokens to learn from"""
    return np.random.default_rng(0).integers(0, size["n_vocab"], 200_000)


CONTENDERS = {"littlebaby": littlebaby, "PyTorch": pytorch}


def row(size, medians, foreign, kernels):
    mine, theirs = medians["littlebaby"], medians["PyTorch"]
    ratios = [a / b for a, b in zip(mine, theirs)]
    milliseconds = " | ".join(f"{1000 * median(times):.1f}" for times in (mine, theirs))
    return f"{size} | {kernels} | {milliseconds} | {turns.spread(ratios)} | {turns.load(foreign)}"


def main():
    chosen = turns.options(__doc__, ["S0", "S1", "S2", "S3"])
    if chosen.contender:
        return turns.serve(*CONTENDERS[chosen.contender](turns.SIZES[chosen.sizes[0]]), chosen.seconds)
    turns.publish("step", "size | kernels of NumPy | littlebaby, ms | PyTorch eager, ms | ratio | its range | cores used by others",
                  (row(*match) for match in turns.matches(CONTENDERS, chosen)), chosen.write)


if __name__ == "__main__":
    main()
