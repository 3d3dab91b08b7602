"""What a training will cost, before it begins: counted from the spec without making a weight, and timed by a probe of two seconds."""
import os
from dataclasses import dataclass
from math import prod
from time import perf_counter

import numpy as np

from ..arrays import tree
from ..arrays.backend import describe
from ..learning.baby import Baby
from ..learning.data import Batches
from ..learning.parallel import how_many
from ..learning.train import Step, begin, train
from ..model import gpt

CHINCHILLA = 20                        # tokens per parameter for the best use of arithmetic (Hoffmann et al. 2022, arXiv:2203.15556)
PROBE = 2.0                            # seconds
PARTS = dict(token="embedding", position="embedding", att="attention", net="network", head="head")


@dataclass(frozen=True)
class Preflight:
    parts: dict                        # parameters by part: embedding, attention, network, norms, head
    trainable: int
    frozen: int
    flops_per_token: float             # forward and backward
    tokens: int                        # targets that the run will learn from
    steps: int
    flops: float                       # of the whole run
    memory: int                        # bytes of a step, an estimate
    tokens_per_parameter: float
    seconds_per_step: float | None     # None without a probe
    minutes: float | None
    device: str
    warning: str                       # what slows this machine down, "" if nothing is known

    @property
    def total(self):
        return self.trainable + self.frozen


def preflight(cfg, n_tokens, probe=True):
    """The Preflight of a config whose n_vocab is known, on a training split of n_tokens"""
    spec = gpt.params(cfg)
    batch = cfg.batch_size * cfg.n_accumulate * cfg.n_ctx
    steps = cfg.n_steps or max(1, round(cfg.n_epochs * n_tokens / batch))
    per_token, trainable = flops(cfg, spec), tree.size(spec, train=True)
    seconds = seconds_per_step(cfg) if probe else None
    forced = os.environ.get("OPENBLAS_CORETYPE")
    return Preflight(
        parts(spec), trainable, tree.size(spec, train=False), per_token, steps * batch, steps, per_token * steps * batch, memory(cfg, spec),
        steps * batch / max(trainable, 1), seconds, seconds and seconds * steps / 60, describe(),
        f"OPENBLAS_CORETYPE={forced} is set and may force slow matrix kernels: unset it to let the machine choose" if forced else "")


def parts(spec):
    """Parameters by part of the model"""
    out = dict.fromkeys(("embedding", "attention", "network", "norms", "head"), 0)
    for path, leaf in tree.leaves(spec):
        part = next((PARTS[word] for word in path.split(".") if word in PARTS), "norms")
        out[part] += prod(leaf.shape)
    return out


def flops(cfg, spec):
    """Forward and backward of one token: 6 for every weight of a product (Kaplan et al. 2020), and attention's own

    Scores and mixing are 2 H n_ctx / 2 multiply-adds a layer forward (half of the square is masked), twice that backward.
    """
    products = sum(prod(leaf.shape) for path, leaf in tree.leaves(spec) if leaf.kind in ("matrix", "head", "router"))
    products += cfg.n_vocab * cfg.n_emb if cfg.b_tied else 0
    return 6 * products + 6 * cfg.n_layers * cfg.head_size * cfg.n_ctx


def memory(cfg, spec):
    """Bytes: weights, best weights and two moments, a gradient per worker, and the activations that a backward waits for

    A layer keeps about 16 arrays of D and 2.5 of F per token, and half a square of attention weights per head; the logits come once.
    """
    n, size = tree.size(spec), np.dtype(dict(fp32="f4", fp64="f8")[cfg.d_type]).itemsize
    rows = cfg.batch_size * cfg.n_ctx
    layer = rows * (16 * cfg.n_emb + 2.5 * cfg.hidden) + cfg.batch_size * cfg.n_heads * cfg.n_ctx ** 2 / 2
    return int(size * (n * (4 + how_many(cfg)) + cfg.n_layers * layer + 2 * rows * cfg.n_vocab))


def seconds_per_step(cfg):
    """The median time of real training steps on random tokens, for about two seconds after a first one"""
    ids = np.random.default_rng(0).integers(0, cfg.n_vocab, cfg.n_ctx * max(2, cfg.batch_size) + 1)
    short = cfg.replace(n_sample=0, n_patience=0, s_eval=10 ** 9)
    baby, times = Baby(short), []
    clock = perf_counter()
    for event in train(baby, begin(baby, 10 ** 6), Batches(ids, short, 0), (ids[None, :0], ids[None, :0])):
        now = perf_counter()
        if isinstance(event, Step):
            times.append(now - clock)
        if len(times) > 2 and sum(times[1:]) > PROBE:
            break
        clock = now
    return float(np.median(times[1:] or times))


def table(plan):
    """A Preflight as lines for a terminal"""
    shares = ", ".join(f"{name} {n:,}" for name, n in plan.parts.items() if n)
    lines = [("parameters", f"{plan.total:,}: {shares}"),
             ("tokens", f"{plan.tokens:,} in {plan.steps:,} steps, {plan.tokens_per_parameter:.1f} per parameter (about {CHINCHILLA} is a good use)"),
             ("arithmetic", f"{plan.flops_per_token:.3g} FLOPs per token, {plan.flops:.3g} in all"),
             ("memory", f"about {plan.memory / 2 ** 20:,.0f} MiB"), ("device", plan.device)]
    if plan.minutes is not None:
        lines.append(("time", f"about {plan.minutes:.1f} minutes, {plan.seconds_per_step * 1000:.0f} ms a step"))
    if plan.warning:
        lines.append(("warning", plan.warning))
    return "\n".join(f"{name:<11} {value}" for name, value in lines)
