"""One training step of littlebaby beside PyTorch's, in one run: `python benchmarks/step.py [S0 S1 S2 S3]`.

The contenders take turns in processes of their own, five bursts each, so that a busy machine slows both; the figure to quote is the
ratio of medians. A step is forward, cross-entropy, backward, clipping and AdamW on random tokens, fp32, two threads: littlebaby's own
training loop with its events and checks, against eager PyTorch with fused AdamW and scaled_dot_product_attention.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

SIZES = dict(S0=dict(n_layers=4, n_heads=4, n_emb=128, n_ctx=64, n_vocab=65, batch_size=12),
             S1=dict(n_layers=4, n_heads=4, n_emb=128, n_ctx=128, n_vocab=65, batch_size=16),
             S2=dict(n_layers=6, n_heads=6, n_emb=384, n_ctx=256, n_vocab=65, batch_size=16),
             S3=dict(n_layers=4, n_heads=4, n_emb=256, n_ctx=256, n_vocab=4096, batch_size=8))
BURSTS, SECONDS, WARM = 5, 4.0, 3


def littlebaby(size):
    """Seconds of every step of a burst, as littlebaby's own loop takes them"""
    import littlebaby as lb
    from littlebaby.arrays import backend
    from littlebaby.learning.data import Batches
    from littlebaby.learning.train import Step, begin, train

    backend.keep_memory()
    cfg = lb.Config(**size, c_bias="all", c_optimizer="adamw", c_position="learned", n_sample=0, s_eval=10 ** 9, c_device="cpu")
    baby = lb.Baby(cfg)
    ids = np.random.default_rng(0).integers(0, cfg.n_vocab, 200_000)
    clock = time.perf_counter()
    for event in train(baby, begin(baby, 10 ** 9), Batches(ids, cfg, 0), (ids[None, :0], ids[None, :0])):
        if isinstance(event, Step):
            yield time.perf_counter() - clock
        clock = time.perf_counter()


def pytorch(size):
    """The same model and step in PyTorch"""
    import torch
    from torch import nn
    from torch.nn import functional as f

    torch.set_num_threads(2)
    D, h, V, T, B = (size[key] for key in ("n_emb", "n_heads", "n_vocab", "n_ctx", "batch_size"))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.qkv, self.out = nn.LayerNorm(D), nn.Linear(D, 3 * D), nn.Linear(D, D)
            self.norm2, self.up, self.down = nn.LayerNorm(D), nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

        def forward(self, x):
            q, k, v = (z.view(B, T, h, -1).transpose(1, 2) for z in self.qkv(self.norm1(x)).chunk(3, -1))
            x = x + self.out(f.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, D))
            return x + self.down(f.gelu(self.up(self.norm2(x)), approximate="tanh"))

    token, place, norm, head = nn.Embedding(V, D), nn.Embedding(T, D), nn.LayerNorm(D), nn.Linear(D, V, bias=False)
    blocks = nn.Sequential(*(Block() for _ in range(size["n_layers"])))
    weights = [w for module in (token, place, blocks, norm, head) for w in module.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, V, (B, T + 1)))
    while True:
        clock = time.perf_counter()
        x = blocks(token(ids[:, :-1]) + place(torch.arange(T)))
        loss = f.cross_entropy(head(norm(x)).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        loss.item()
        yield time.perf_counter() - clock


def burst(contender, name):
    """In a process of its own: the median step of a few seconds, in seconds"""
    times = []
    for seconds in dict(littlebaby=littlebaby, pytorch=pytorch)[contender](SIZES[name]):
        times.append(seconds)
        if len(times) > WARM + 2 and sum(times[WARM:]) > SECONDS:
            break
    print(json.dumps(statistics.median(times[WARM:])))


def measured(name):
    """{contender: medians of its bursts}, taken in turns"""
    out = dict(littlebaby=[], pytorch=[])
    for _ in range(BURSTS):
        for contender, medians in out.items():
            line = subprocess.run([sys.executable, __file__, name, "--burst", contender], capture_output=True, text=True, check=True).stdout
            medians.append(json.loads(line))
    return out


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("sizes", nargs="*", default=["S0", "S1"])
    options.add_argument("--burst")
    chosen = options.parse_args()
    if chosen.burst:
        return burst(chosen.burst, chosen.sizes[0])
    from littlebaby.arrays.backend import describe
    print(f"{describe()}; OPENBLAS_CORETYPE {os.environ.get('OPENBLAS_CORETYPE', 'not set')}; load {os.getloadavg()[0]:.1f} before\n")
    print("| size | littlebaby, ms | PyTorch eager, ms | ratio | spread of the ratio |\n|---|---|---|---|---|")
    for name in chosen.sizes:
        times = measured(name)
        ratios = sorted(a / b for a, b in zip(times["littlebaby"], times["pytorch"]))
        mine, theirs = (1000 * statistics.median(times[who]) for who in ("littlebaby", "pytorch"))
        print(f"| {name} | {mine:.1f} | {theirs:.1f} | {statistics.median(ratios):.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
