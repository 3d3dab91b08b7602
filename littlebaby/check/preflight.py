"""What a training would cost, before it begins: parameters, arithmetic, memory, the data's share, minutes on this machine.

Nothing of the model's size is allocated: all but the minutes follows from the spec and the config.

    FLOPs of one token, forward    2 w for every number w of a matrix (a tied table is one: the head), of k experts out of E k / E
                                   of that
                                   + 4 H r for an attention that looks back at rows: scores and mixture, r rows on average, (T + 1) / 2
                                     of a causal window of T; 2 b r where a file says with `breadth(cfg)` that b numbers meet a row
                                   + 4 s for one that carries a state of s numbers: brought up to date and read
    backward                       twice that, once for the input and once for the weight; once only for a frozen weight
Summed up, 6 N + 12 L H r: the 6 N of Kaplan et al. 2020 (arXiv:2001.08361) and their 12 L H T, causal.
About 20 tokens per parameter make the best use of arithmetic: Hoffmann et al. 2022, arXiv:2203.15556.
"""
import os
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from math import prod
from statistics import median
from time import perf_counter
from types import SimpleNamespace

import numpy as np

from ..arrays import backend, tree
from ..arrays.kernels import LONG
from ..inference.baby import Baby
from ..model import gpt
from ..model.context import Context, variant
from ..training.data import Batches
from ..training.loop import Step, begin, train
from ..training.parallel import worker_count

GOOD_RATIO = 20             # tokens per parameter
PROBE_SECONDS = 2.0
PROBE_FLOPS = 7e10          # the largest step that is probed as it is; larger ones are probed smaller
MIN_MEASUREMENTS = 3        # measurements that a median is taken of
LOOK_BACK = 512             # tokens after which an attention's memory is looked at
PRODUCTS = ("matrix", "head", "router", "lora")


@dataclass(frozen=True)
class Preflight:
    """What a training would cost"""
    parts: dict                     # parameters: embedding, attention, network, norms, head
    trainable: int
    frozen: int
    flops_forward: float            # one token
    flops_per_token: float          # forward and backward
    flops: float                    # the whole training
    memory_parts: dict              # bytes: weights, best weights, optimizer, gradients, activations
    memory: int                     # bytes
    steps: int
    tokens_per_step: int
    tokens: int                     # learned from, every pass over the text counted
    train_tokens: int               # there are
    tokens_per_parameter: float
    tokens_per_second: float | None     # None where nothing was probed
    seconds: float | None               # evaluations included, samples and files not
    device: str
    warnings: list
    vocabulary: int = 0             # tokens, of this text's tokenizer
    published_vocabulary: int = 0   # the vocabulary that a preset names, and the parameters with it; 0 where it names none
    published: int = 0

    @property
    def total(self):
        return self.trainable + self.frozen


def preflight(cfg, n_tokens, probe=True, published_vocabulary=0):
    """A Preflight for a config with n_vocab and a training split of n_tokens; `probe` spends two seconds on real steps

    published_vocabulary: the vocabulary with which a preset was published, whose parameters are counted, too (0: none)
    """
    spec = gpt.params(cfg)
    trainable, frozen = tree.size(spec, train=True), tree.size(spec, train=False)
    forward, both = flops(cfg, spec)
    batches = Batches(np.broadcast_to(np.int32(0), n_tokens), cfg, cfg.seed)
    steps = cfg.n_steps or max(1, batches.steps(cfg.n_epochs) // cfg.n_accumulate)
    per_step = cfg.batch_size * cfg.n_ctx * cfg.n_accumulate
    memory = bytes_of(cfg, spec)
    seconds = speed = None
    if probe and (speed := tokens_per_second(cfg, both, sum(memory.values()))):
        evaluated = n_tokens * (1 - cfg.r_split) / cfg.r_split
        if cfg.n_eval_windows:
            evaluated = min(evaluated, cfg.n_eval_windows * cfg.n_ctx)
        times = steps // (cfg.s_eval or max(1, steps // 20))
        seconds = (steps * per_step + times * evaluated * forward / both) / speed
    tokens = steps * per_step
    published = tree.size(gpt.params(cfg.replace(n_vocab=published_vocabulary))) if published_vocabulary else 0
    return Preflight(parameters_by_part(spec), trainable, frozen, forward, both, both * tokens, memory, sum(memory.values()), steps,
                     per_step, tokens,
                     n_tokens, tokens / max(trainable, 1), speed, seconds, backend.describe(), warnings(cfg),
                     cfg.n_vocab, published_vocabulary, published)


def parameters_by_part(spec):
    """Parameters by part of the model"""
    names = dict(token="embedding", position="embedding", norm="norms", norm1="norms", norm2="norms", att="attention", net="network")
    found = Counter(dict.fromkeys(("embedding", "attention", "network", "norms", "head"), 0))
    for path, leaf in tree.leaves(spec):
        where = path.split(".")
        found[names.get(where[2] if where[0] == "blocks" else where[0], "head")] += prod(leaf.shape)
    return dict(found)


# arithmetic

def flops(cfg, spec):
    """FLOPs of one token: forward, and forward with backward"""
    forward, backward = products(spec, cfg)
    if cfg.b_tied:
        head = 2 * prod(spec["token"].shape)
        forward, backward = forward + head, backward + 2 * head
    mixing = cfg.n_layers * mixing_flops(cfg)
    return forward + mixing, forward + backward + 3 * mixing


def share_of_tokens(path, cfg):
    """The share of tokens that meet a leaf: of experts, those that ask it"""
    return cfg.n_active / cfg.n_experts if "experts" in path.split(".") else 1


def products(spec, cfg):
    """FLOPs of one token in the products with a spec's matrices: forward, backward"""
    forward = backward = 0.0
    for path, leaf in tree.leaves(spec):
        if leaf.kind in PRODUCTS:
            once = 2 * prod(leaf.shape) * share_of_tokens(path, cfg)
            forward += once
            backward += once * (2 if leaf.train else 1)
    return forward, backward


def mixing_flops(cfg):
    """FLOPs of one token, forward, with which one layer's attention brings tokens together"""
    rows, growth, state = memory_of(cfg)
    attention = variant("attentions", cfg.c_attention)
    breadth = attention.breadth(cfg) if hasattr(attention, "breadth") else 2 * cfg.head_size
    return (2 * breadth * rows if growth else 0) + 4 * state


@lru_cache(8)
def memory_of(cfg):
    """What one layer's attention remembers, found by running it: rows that a token looks back at on average, numbers added per
    token, numbers of a state that does not grow"""
    attention = variant("attentions", cfg.c_attention)
    spec = attention.params(cfg)
    n = tree.size(spec)
    p = tree.views(spec, backend.xp.zeros(n, backend.dtype(cfg.d_type)))

    def kept(T):
        cache: dict = {}
        attention.forward(p, backend.xp.zeros((1, T, cfg.n_emb), backend.dtype(cfg.d_type)), Context(cfg, cache=cache))
        return numbers(cache)

    far = int(max(2, min(cfg.n_ctx, LOOK_BACK, 4e9 / max(n, 1))))
    first, second, last = kept(1), kept(2), kept(far)
    growth = second - first
    state = first - growth
    seen = (last - state) / growth if growth else 0             # rows left after `far` tokens: all, or a window's
    window = cfg.n_ctx if seen >= far else seen
    rows = (window * (window + 1) / 2 + (cfg.n_ctx - window) * window) / cfg.n_ctx
    return rows, growth, state


def numbers(cache):
    """How many numbers a cache holds: it has rows and states"""
    return sum(map(numbers, cache.values())) if isinstance(cache, dict) else cache.size


# memory

def bytes_of(cfg, spec):
    """Bytes by what they hold. Activations are an estimate: for every token what each product reads and writes, the stream around it
    and its gradient, the logits three times, and an attention's weights where they are kept."""
    one = backend.dtype(cfg.d_type).itemsize
    total, trainable = tree.size(spec), tree.size(spec, train=True)
    few = dict(w=tree.vector(100))
    optimizer = import_module(f"..training.optimizers.{cfg.c_optimizer}", __package__)
    remembered = sum(getattr(a, "size", 0) for a in optimizer.state(few, backend.dtype(cfg.d_type)).values()) / 100
    wide = sum(sum(leaf.shape) * share_of_tokens(path, cfg) for path, leaf in tree.leaves(spec)
               if path.startswith("blocks.") and leaf.kind in PRODUCTS)
    rows, growth, _ = memory_of(cfg)
    weights = cfg.n_heads * rows if growth and cfg.n_ctx <= LONG else 0
    per_token = 1.25 * (wide + cfg.n_layers * 4 * cfg.n_emb) + 1.6 * cfg.n_vocab + cfg.n_layers * weights
    halves = 2 * total if cfg.d_type == "fp16" else 0             # the copy that products see
    return dict(weights=one * total + halves, best=one * total, optimizer=round(one * trainable * remembered),
                gradients=one * trainable * worker_count(cfg), activations=round(one * cfg.batch_size * cfg.n_ctx * per_token))


# time

def tokens_per_second(cfg, per_token, memory):
    """Targets learned per second, from real steps on random ids; None where even a small step is too large to try"""
    small = next((each for each in smaller(cfg) if step_flops(each) <= PROBE_FLOPS), None)
    if small is None:
        return None
    baby = Baby(small)
    typical = median_of(steps(baby), PROBE_SECONDS)
    _, spent = flops(small, baby.spec)
    return small.batch_size * small.n_ctx * small.n_accumulate * spent / per_token / typical


def steps(baby):
    """Without end the seconds of a step in the training loop, on random ids"""
    cfg = baby.config
    ids, targets = np.random.default_rng(0).integers(0, cfg.n_vocab, (2, cfg.batch_size, cfg.n_ctx))
    clock = perf_counter()
    for event in train(baby, begin(baby, 10 ** 9), SimpleNamespace(batch=lambda number: (ids, targets)), ()):
        if isinstance(event, Step):
            yield perf_counter() - clock
        clock = perf_counter()


def median_of(measurements, seconds):
    """The median of endless measurements that go on for so many seconds, LEAST of them at least and the first one left out"""
    end, taken = perf_counter() + seconds, list[float]()
    with closing(measurements):
        next(measurements)
        while len(taken) < MIN_MEASUREMENTS or perf_counter() < end:
            taken.append(next(measurements))
    return median(taken)


def smaller(cfg):
    """The config and ever smaller ones, whose step tells how long the whole one's takes"""
    yield (cfg := cfg.replace(s_eval=0, s_checkpoint=0))
    yield (cfg := cfg.replace(n_accumulate=1))
    while cfg.batch_size > worker_count(cfg):
        yield (cfg := cfg.replace(batch_size=max(cfg.batch_size // 2, worker_count(cfg))))
    yield (cfg := cfg.replace(n_layers=min(cfg.n_layers, 2), n_dense_layers=min(cfg.n_dense_layers, 1)))
    yield (cfg := cfg.replace(n_vocab=min(cfg.n_vocab, 4096)))
    yield cfg.replace(n_layers=1, n_dense_layers=0, n_ctx=min(cfg.n_ctx, 128))


def step_flops(cfg):
    """Roughly: 6 for every parameter and token"""
    return 6 * tree.size(gpt.params(cfg)) * cfg.batch_size * cfg.n_ctx * cfg.n_accumulate


# words

def warnings(cfg):
    """What slows this machine down without need"""
    found = []
    if cfg.d_type == "fp16" and backend.on_cpu():
        found.append("d_type fp16 is made for a GPU: this processor multiplies in half precision a hundred times slower than in fp32")
    if kind := os.environ.get("OPENBLAS_CORETYPE"):
        found.append(f"OPENBLAS_CORETYPE={kind} is set: it makes NumPy use that processor's matrix kernels, often half as fast as this "
                     f"one's own; `unset OPENBLAS_CORETYPE` and start again")
    return found
