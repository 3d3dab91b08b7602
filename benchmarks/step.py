"""One training step of littlebaby beside others': `python benchmarks/step.py [S0 S1 S2 S3 GPT-2]`, needs `pip install -e '.[peers]' jax`.

A step is a batch drawn, forward, cross-entropy, backward, clipping and AdamW on random tokens, fp32, two threads: littlebaby's own
training loop with its events and checks, against PyTorch with fused AdamW and scaled_dot_product_attention, eager and compiled, a
jitted step of JAX, and littlebaby without its faster twins: arrays/ops.py as it is there to be read.
"""
from itertools import count
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
    from littlebaby.training.data import Batches, windows
    from littlebaby.training.loop import Step, begin, train

    cfg = lb.Config(**size, c_bias="all", c_position="learned", c_optimizer="adamw", r_learn=LEARN, r_weight_decay=DECAY, r_beta1=BETAS[0],
                    r_beta2=BETAS[1], r_adam_eps=EPS, r_clip=CLIP, c_schedule="constant", s_warmup="none", s_eval=10 ** 9, n_sample=0,
                    c_device="cpu", c_device_cpu_cores=turns.THREADS)
    plans.use_device(cfg)
    baby, ids = lb.Baby(cfg), text(size)

    def steps():
        clock = perf_counter()
        for event in train(baby, begin(baby, 10 ** 9), Batches(ids, cfg, 0), windows(ids[:0], cfg.n_ctx)):
            if isinstance(event, Step):
                yield perf_counter() - clock
            clock = perf_counter()

    return tree.size(baby.spec), steps()


def plain(size):
    """littlebaby with every primitive as ops has it"""
    from littlebaby.arrays import kernels

    kernels.on_cpu = lambda: False
    return littlebaby(size)


def compiled(size):
    return pytorch(size, compile=True)


def pytorch(size, compile=False):
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
    run = torch.compile(model) if compile else model

    def steps():
        while True:
            clock = perf_counter()
            window = ids[torch.randint(len(ids) - T, (B, 1)) + torch.arange(T + 1)]
            loss = cross_entropy(run(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            clip_grad_norm_(weights, CLIP)
            optimizer.step()
            loss.item()
            yield perf_counter() - clock

    return model.size(), steps()


def jax(size):
    """The same of JAX"""
    import peer_jax
    from jax import numpy as jnp

    shape = dict(size)
    B, T, h = shape.pop("batch_size"), size["n_ctx"], size["n_heads"]
    p, ids, rng = peer_jax.init(**shape), text(size), np.random.default_rng(0)
    parameters = peer_jax.size(p)

    def steps():
        nonlocal p
        moments = tuple(peer_jax.jax.tree.map(jnp.zeros_like, p) for _ in range(2))
        for i in count(1):
            clock = perf_counter()
            window = ids[rng.integers(0, len(ids) - T, (B, 1)) + np.arange(T + 1)]
            p, moments, loss = peer_jax.step(p, moments, float(i), window[:, :-1], window[:, 1:], h, LEARN, DECAY, BETAS, EPS, CLIP)
            loss.block_until_ready()
            yield perf_counter() - clock

    return parameters, steps()


def text(size):
    """Random tokens to learn from"""
    return np.random.default_rng(0).integers(0, size["n_vocab"], 200_000)


CONTENDERS = {"PyTorch": pytorch, "littlebaby": littlebaby, "torch.compile": compiled, "JAX": jax, "its plain ops": plain}
HEADS = ("size | kernels of NumPy | PyTorch eager, ms | littlebaby, ms | ratio | its range | torch.compile | JAX | its plain ops | "
         "PyTorch, MB | littlebaby, MB | cores used by others")


def row(size, medians, foreign, kernels, memory):
    theirs, *others = medians.values()
    (mine, *rest) = ([a / b for a, b in zip(each, theirs)] for each in others)
    milliseconds = " | ".join(f"{1000 * median(medians[name]):.1f}" for name in ("PyTorch", "littlebaby"))
    beside = " | ".join([f"{median(ratios):.2f}" for ratios in rest] or ["–"] * 3)
    most = " | ".join(f"{memory[name] / 1e6:,.0f}" for name in ("PyTorch", "littlebaby"))
    return f"{size} | {kernels} | {milliseconds} | {turns.spread(mine)} | {beside} | {most} | {turns.load(foreign)}"


def main():
    chosen = turns.options(__doc__, ["S0", "S1", "S2", "S3"])
    if chosen.contender:
        return turns.serve(*CONTENDERS[chosen.contender](turns.SIZES[chosen.sizes[0]]), chosen.seconds)
    names = lambda size: list(CONTENDERS)[:2 if size == turns.LARGE else None]
    turns.publish("step", HEADS, (row(*match) for match in turns.matches(names, chosen)), chosen.write)


if __name__ == "__main__":
    main()
