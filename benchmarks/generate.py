"""One stream of littlebaby beside PyTorch's: `python benchmarks/generate.py [S1 S2 SmolLM2-135M]`, needs `pip install -e '.[peers]'`.

From one token on, until the window is full: keys and values cached, the next token drawn at temperature 1, every id handed out as
it comes. littlebaby's own generate, against eager PyTorch with preallocated caches, with one thread and with two; the faster one
counts. SmolLM2-135M, of random numbers and with a window of 64, is on PyTorch's side the Llama of transformers.
"""
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
import turns

from littlebaby.runs.presets import preset

SMOLLM = "SmolLM2-135M"
SIZES = turns.SIZES | {SMOLLM: {**preset("smollm2-135m"), "n_ctx": 64, "batch_size": 1}}


def littlebaby(size):
    """How many parameters, and without end the seconds per token of one text as the product writes it"""
    import littlebaby as lb
    from littlebaby import plans
    from littlebaby.arrays import backend, tree
    from littlebaby.inference.generate import generate
    from littlebaby.inference.sampling import Sampling
    from littlebaby.training.parallel import generation_threads

    cfg = lb.Config(**dict(c_bias="all", c_position="learned") | size, c_device="cpu", c_device_cpu_cores=turns.THREADS)
    plans.use_device(cfg)
    baby, rng, begin = lb.Baby(cfg), np.random.default_rng(0), np.zeros((1, 1), int)

    def write():
        with backend.blas_threads(generation_threads(baby.flat)):
            return [int(column[0]) for column in generate(baby.p, cfg, begin, cfg.n_ctx, Sampling(), rng)]

    return tree.size(baby.spec), each_token(write)


def pytorch(size, threads):
    """The same of PyTorch"""
    import torch

    torch.set_num_threads(threads)
    model, begin = llama(size) if "s_hidden" in size else gpt(size)

    @torch.inference_mode()
    def write():
        logits, token, ids = begin(), torch.zeros(1, 1, dtype=torch.long), []
        for place in range(size["n_ctx"]):
            token = torch.multinomial(torch.softmax(logits(token, place)[:, -1], -1), 1)
            ids.append(token.item())
        return ids

    return sum(w.numel() for w in model.parameters()), each_token(write)


def gpt(size):
    """A model, and what gives for a new text the logits of its next token (1, 1), of which `place` stand before"""
    import torch
    from peer import GPT

    shape = {key: value for key, value in size.items() if key != "batch_size"}
    model = GPT(**shape).eval()
    caches = torch.zeros(size["n_layers"], 2, 1, size["n_heads"], size["n_ctx"], size["n_emb"] // size["n_heads"])
    return model, lambda: lambda token, place: model(token, caches, place)


def llama(size):
    """The same of transformers"""
    from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=size["n_vocab"], hidden_size=size["n_emb"], intermediate_size=size["s_hidden"], num_hidden_layers=size["n_layers"],
        num_attention_heads=size["n_heads"], num_key_value_heads=size["n_kv_heads"], tie_word_embeddings=True)).eval()

    def begin():
        cache = DynamicCache()
        return lambda token, place: model(token, past_key_values=cache, use_cache=True).logits

    return model, begin


def each_token(write):
    """Without end the seconds per token of a text that `write` writes"""
    while True:
        clock = perf_counter()
        ids = write()
        yield (perf_counter() - clock) / len(ids)


CONTENDERS = {"littlebaby": littlebaby,
              "PyTorch, 1 thread": partial(pytorch, threads=1),
              "PyTorch, 2 threads": partial(pytorch, threads=2)}


def row(size, medians, foreign, kernels, memory):
    mine, one, two = medians.values()
    ratios = [min(b, c) / a for a, b, c in zip(mine, one, two)]
    speeds = " | ".join(f"{1 / median(times):,.0f}" for times in (mine, one, two))
    most = " | ".join(f"{memory[name] / 1e6:,.0f}" for name in ("littlebaby", "PyTorch, 2 threads"))
    return f"{size} | {kernels} | {speeds} | {turns.spread(ratios)} | {most} | {turns.load(foreign)}"


def main():
    chosen = turns.options(__doc__, ["S1", "S2", SMOLLM])
    if chosen.contender:
        return turns.serve(*CONTENDERS[chosen.contender](SIZES[chosen.sizes[0]]), chosen.seconds)
    turns.publish("generate", f"size | kernels of NumPy | {' | '.join(CONTENDERS)} | ratio | its range | littlebaby, MB | PyTorch, MB | "
                  "cores used by others",
                  (row(*match) for match in turns.matches(lambda size: CONTENDERS, chosen)), chosen.write)


if __name__ == "__main__":
    main()
