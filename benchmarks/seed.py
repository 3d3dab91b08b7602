"""littlebaby beside its seed, The Little Baby: `THE_LITTLE_BABY=path/to/its/checkout python benchmarks/seed.py [S0 S1]`.

A step of either: forward, cross-entropy, backward and AdamW on random tokens, two threads; the seed computes in float64, as it always does,
and does not clip. And what either writes: one text of a window, keys and values cached. The seed's attention has no biases on queries,
keys and values, so littlebaby's, which has, has a few more numbers to learn.
"""
import os
import sys
from contextlib import redirect_stdout
from statistics import median
from time import perf_counter

import generate
import numpy as np
import step
import turns


def theirs(size):
    """The seed's model of this size, its own function for loss and gradients, its optimizer"""
    sys.path.insert(0, os.environ["THE_LITTLE_BABY"])
    from src.functions.process import value_and_grad
    from src.gpt import GPT
    from src.optimizers.adam import AdamW

    with redirect_stdout(sys.stderr):                            # it greets, and standard output belongs to turns.serve
        model = GPT(dict(c_device="cpu", c_device_cpu_cores=turns.THREADS, c_tokenizer="char", c_sequence="pre", c_attention="mha",
                         c_network="mlp", n_emb=size["n_emb"], n_ctx=size["n_ctx"], dropout=0.0, n_layers=size["n_layers"],
                         head_size=size["n_emb"], n_heads=size["n_heads"]))
        model.expand_embeddings(size["n_vocab"])
    return model, value_and_grad, AdamW


def learning(size):
    """Nothing to compare the parameters with, and without end the seconds of a step"""
    model, value_and_grad, AdamW = theirs(size)
    T, B, ids, rng = size["n_ctx"], size["batch_size"], step.text(size), np.random.default_rng(0)

    def steps():
        optimizer = AdamW(np, model.parameters(), learning_rate=step.LEARN)
        while True:
            clock = perf_counter()
            window = ids[rng.integers(0, len(ids) - T, (B, 1)) + np.arange(T + 1)]
            _, grads = value_and_grad(model, window[:, :-1], window[:, 1:], False)
            optimizer.step(grads)
            yield perf_counter() - clock

    return None, steps()


def writing(size):
    """The same, of a token"""
    model, _, _ = theirs(size)

    def texts():
        while True:
            clock = perf_counter()
            model.generate(None, None, True, size["n_ctx"])
            yield (perf_counter() - clock) / size["n_ctx"]

    return None, texts()


CONTENDERS = {"learn": lambda size: (None, step.littlebaby(size)[1]), "it learns": learning,
              "write": lambda size: (None, generate.littlebaby(size)[1]), "it writes": writing}


def row(size, medians, foreign):
    times = lambda slow, fast: turns.spread([a / b for a, b in zip(medians[slow], medians[fast])])
    learned, written = ([median(medians[name]) for name in names] for names in (("it learns", "learn"), ("it writes", "write")))
    return " | ".join([size, *(f"{1000 * seconds:,.1f}" for seconds in learned), times("it learns", "learn"),
                       *(f"{1 / seconds:,.0f}" for seconds in written), times("it writes", "write"), turns.load(foreign)])


def main():
    chosen = turns.options(__doc__, ["S0", "S1"])
    if "THE_LITTLE_BABY" not in os.environ:
        sys.exit("THE_LITTLE_BABY is not set; it says where a checkout of github.com/koureasstavros/TheLittleBaby lies")
    if chosen.contender:
        return turns.serve(*CONTENDERS[chosen.contender](turns.SIZES[chosen.sizes[0]]), chosen.seconds)
    rows = (row(size, *turns.rounds(CONTENDERS, size, chosen)[:2]) for size in chosen.sizes)
    turns.publish("seed", "size | a step of the seed, ms | of littlebaby, ms | times faster | its range | "
                  "generation with the seed, tokens/s | littlebaby | times faster | its range | cores used by others", rows, chosen.write)


if __name__ == "__main__":
    main()
