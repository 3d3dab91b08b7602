"""The estimated cost of a training, before it begins: parameters, FLOPs, memory, tokens per parameter, and time on this machine.

Nothing of the model's size is allocated. Everything except the time is computed from the spec and the config.

    FLOPs of one token, forward    2 for every weight of a matrix (a tied table counts once, as the head); k / E of that for an expert, if
                                   k of E experts are active
                                   + 4 H r for an attention over earlier rows (scores and weighted sum), r rows on average, (T + 1) / 2
                                     for a causal window of T; 2 w r if the file defines the width w, `key_and_value_width(cfg)`
                                   + 4 s for an attention with a state of s numbers, which is updated and read
    backward                       twice that, for the gradients of the input and of the weight; once for a frozen weight
The sum is 6 N + 12 L H r: the 6 N of Kaplan et al. 2020 (arXiv:2001.08361) and their 12 L H T, with a causal mask.
About 20 tokens per parameter are the best use of FLOPs: Hoffmann et al. 2022, arXiv:2203.15556.
"""
import os
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from statistics import median
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..arrays import backend, tree
from ..arrays.kernels import LONG
from ..inference.baby import Baby
from ..model import gpt
from ..model.context import Context, variant
from ..runs.settings import module_of
from ..training.data import Batches
from ..training.loop import Step, begin, train
from ..training.parallel import threads, worker_count

GOOD_RATIO = 20             # tokens per parameter
PROBE_SECONDS = 2.0
PROBE_FLOPS = 7e10          # a step with more FLOPs is not measured itself; a smaller config is
MIN_MEASUREMENTS = 3        # least number of measurements of a median
LOOK_BACK = 512             # number of tokens from which the growth of an attention's cache is determined
SLOW_STEP = 120.0           # seconds
CORE_SPEED, GPU_SPEED = 4e10, 1e13      # FLOPs per second of a processor core and of a GPU in training, roughly
PRODUCTS = ("matrix", "head", "router", "lora")      # kinds of leaves that are multiplied with activations


@dataclass(frozen=True)
class Preflight:
    """The estimated cost of a training"""
    parts: dict                     # parameters of embedding, attention, network, norms, head
    trainable: int                  # parameters
    frozen: int                     # parameters
    flops_forward: float            # FLOPs of one token, forward
    flops_per_token: float          # FLOPs of one token, forward and backward
    flops: float                    # FLOPs of the whole training, without evaluations
    memory_parts: dict              # bytes of weights, best weights, optimizer, gradients, activations
    memory: int                     # bytes
    steps: int
    tokens_per_step: int
    tokens: int                     # training targets of all steps
    train_tokens: int               # size of the training split
    tokens_per_parameter: float     # tokens / trainable
    tokens_per_second: float | None     # None if nothing was measured
    seconds: float | None               # with evaluations, without samples and files; None if nothing was measured
    device: str
    warnings: list[str]
    vocabulary: int = 0             # tokens of this text's tokenizer
    published_vocabulary: int = 0   # vocabulary that the preset names; 0 if it names none
    published: int = 0              # parameters with that vocabulary

    @property
    def total(self) -> int:
        """Number of parameters"""
        return self.trainable + self.frozen


def preflight(cfg: Any, n_tokens: int, probe: bool = True, published_vocabulary: int = 0) -> Preflight:
    """A Preflight for a config with n_vocab and a training split of n_tokens.

    Args:
        probe: Whether to measure real training steps for 2 seconds.
        published_vocabulary: Vocabulary of the published model of a preset, with which its parameters are counted too; 0: none.
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
                     n_tokens, tokens / max(trainable, 1), speed, seconds, backend.describe(), warnings(cfg, spec),
                     cfg.n_vocab, published_vocabulary, published)


def parameters_by_part(spec: Any) -> dict[str, int]:
    """Number of parameters of each part of the model"""
    names = dict(token="embedding", position="embedding", norm="norms", norm1="norms", norm2="norms", att="attention", net="network")
    found = Counter(dict.fromkeys(("embedding", "attention", "network", "norms", "head"), 0))
    for path, leaf in tree.leaves(spec):
        where = path.split(".")
        found[names.get(where[2] if where[0] == "blocks" else where[0], "head")] += prod(leaf.shape)
    return dict(found)


# arithmetic

def flops(cfg: Any, spec: Any) -> tuple[float, float]:
    """FLOPs of one token: (forward, forward and backward)"""
    forward, backward = products(spec, cfg)
    if cfg.b_tied:
        head = 2 * prod(spec["token"].shape)
        forward, backward = forward + head, backward + 2 * head
    mixing = cfg.n_layers * mixing_flops(cfg)
    return forward + mixing, forward + backward + 3 * mixing


def share_of_tokens(path: str, cfg: Any) -> float:
    """Fraction of the tokens that are multiplied with a leaf: below 1 for a routed expert, 1 for all others"""
    return cfg.n_active / cfg.n_experts if "experts" in path.split(".") else 1


def products(spec: Any, cfg: Any) -> tuple[float, float]:
    """FLOPs of one token in the products with the matrices of a spec: (forward, backward)"""
    forward = backward = 0.0
    for path, leaf in tree.leaves(spec):
        if leaf.kind in PRODUCTS:
            once = 2 * prod(leaf.shape) * share_of_tokens(path, cfg)
            forward += once
            backward += once * (2 if leaf.train else 1)
    return forward, backward


def mixing_flops(cfg: Any) -> float:
    """FLOPs of one token, forward, in one layer's attention besides the products with its matrices"""
    rows, growth, state = memory_of(cfg)
    attention = variant("attentions", cfg.c_attention)
    width = attention.key_and_value_width(cfg) if hasattr(attention, "key_and_value_width") else 2 * cfg.head_size
    return (2 * width * rows if growth else 0) + 4 * state


@lru_cache(8)
def memory_of(cfg: Any) -> tuple[float, int, int]:
    """The cache of one layer's attention, measured by running it: (mean number of rows that a token attends to, numbers that are added
    per token, numbers of the state that does not grow)"""
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
    seen = (last - state) / growth if growth else 0             # rows in the cache after `far` tokens: all, or those of a window
    window = cfg.n_ctx if seen >= far else seen
    rows = (window * (window + 1) / 2 + (cfg.n_ctx - window) * window) / cfg.n_ctx
    return rows, growth, state


def numbers(cache: Any) -> int:
    """Number of elements of a cache, which holds rows and states"""
    return sum(map(numbers, cache.values())) if isinstance(cache, dict) else cache.size


# memory

def bytes_of(cfg: Any, spec: Any) -> dict[str, int]:
    """Bytes of weights, best weights, optimizer state, gradients and activations. The activations are an estimate: for every token the
    inputs and outputs of all products, the residual stream and its gradient, the logits three times, and the attention weights if they
    are stored."""
    one = backend.dtype(cfg.d_type).itemsize
    total, trainable = tree.size(spec), tree.size(spec, train=True)
    few = dict(w=tree.vector(100))
    optimizer = module_of("c_optimizer", cfg.c_optimizer)
    state_size = sum(getattr(a, "size", 0) for a in optimizer.state(few, backend.dtype(cfg.d_type)).values()) / 100    # per weight
    wide = sum(sum(leaf.shape) * share_of_tokens(path, cfg) for path, leaf in tree.leaves(spec)
               if path.startswith("blocks.") and leaf.kind in PRODUCTS)
    rows, growth, _ = memory_of(cfg)
    weights = cfg.n_heads * rows if growth and cfg.n_ctx <= LONG else 0
    per_token = 1.25 * (wide + cfg.n_layers * 4 * cfg.n_emb) + 1.6 * cfg.n_vocab + cfg.n_layers * weights
    halves = 2 * total if cfg.d_type == "fp16" else 0             # the copy in half precision that is used in products
    return dict(weights=one * total + halves, best=one * total, optimizer=round(one * trainable * state_size),
                gradients=one * trainable * worker_count(cfg), activations=round(one * cfg.batch_size * cfg.n_ctx * per_token))


# time

def tokens_per_second(cfg: Any, per_token: float, memory: int) -> float | None:
    """Training targets per second, from real steps on random ids; None if even the smallest config is too large to measure"""
    small = next((each for each in smaller(cfg) if step_flops(each) <= PROBE_FLOPS), None)
    if small is None:
        return None
    baby = Baby(small)
    typical = median_of(steps(baby), PROBE_SECONDS)
    _, spent = flops(small, baby.spec)
    return small.batch_size * small.n_ctx * small.n_accumulate * spent / per_token / typical


def steps(baby: Baby) -> Generator[float, None, None]:
    """Yield the seconds of a step of the training loop on random ids, without end"""
    cfg = baby.config
    ids, targets = np.random.default_rng(0).integers(0, cfg.n_vocab, (2, cfg.batch_size, cfg.n_ctx))
    clock = perf_counter()
    for event in train(baby, begin(baby, 10 ** 9), SimpleNamespace(batch=lambda number: (ids, targets)), ()):
        if isinstance(event, Step):
            yield perf_counter() - clock
        clock = perf_counter()


def median_of(measurements: Generator[float, None, None], seconds: float) -> float:
    """The median of endless measurements, taken for so many seconds, at least MIN_MEASUREMENTS of them, without the first one"""
    end, taken = perf_counter() + seconds, list[float]()
    with closing(measurements):
        next(measurements)
        while len(taken) < MIN_MEASUREMENTS or perf_counter() < end:
            taken.append(next(measurements))
    return median(taken)


def smaller(cfg: Any) -> Iterator[Any]:
    """Yield the config and ever smaller ones, from whose speed that of the first is estimated"""
    yield (cfg := cfg.replace(s_eval=0, s_checkpoint=0))
    yield (cfg := cfg.replace(n_accumulate=1))
    while cfg.batch_size > worker_count(cfg):
        yield (cfg := cfg.replace(batch_size=max(cfg.batch_size // 2, worker_count(cfg))))
    yield (cfg := cfg.replace(n_layers=min(cfg.n_layers, 2), n_dense_layers=min(cfg.n_dense_layers, 1)))
    yield (cfg := cfg.replace(n_vocab=min(cfg.n_vocab, 4096)))
    yield cfg.replace(n_layers=1, n_dense_layers=0, n_ctx=min(cfg.n_ctx, 128))


def step_flops(cfg: Any) -> float:
    """Rough estimate of the FLOPs of a step: 6 per parameter and token"""
    return 6 * tree.size(gpt.params(cfg)) * cfg.batch_size * cfg.n_ctx * cfg.n_accumulate


# warnings

def warnings(cfg: Any, spec: Any = None) -> list[str]:
    """Sentences about settings that make this machine slower than necessary, or that it is too small or too slow for. cfg: with n_vocab;
    spec: of the model with its adapters [that of the config]"""
    spec = spec or gpt.params(cfg)
    found = [*too_large(cfg, spec), *too_slow(cfg, spec)]
    if cfg.d_type == "fp16" and backend.on_cpu():
        found.append("d_type fp16 is made for a GPU: this processor multiplies in half precision a hundred times slower than in fp32")
    if kind := os.environ.get("OPENBLAS_CORETYPE"):
        found.append(f"OPENBLAS_CORETYPE={kind} is set: NumPy uses the matrix kernels of that processor, often half as fast as those of "
                     f"this one; `unset OPENBLAS_CORETYPE` and start again")
    return found


def too_large(cfg: Any, spec: Any) -> Iterator[str]:
    """Yield a sentence if a step needs more memory than there is"""
    needed, there = sum(bytes_of(cfg, spec).values()), backend.total_memory()
    if there and needed > there:
        where = "this machine" if backend.on_cpu() else "the GPU"
        yield (f"a step needs about {needed / 1e9:,.3g} GB of memory, and {where} has {there / 1e9:,.3g} GB: lower n_ctx, batch_size, "
               f"n_emb or n_layers")


def too_slow(cfg: Any, spec: Any) -> Iterator[str]:
    """Yield a sentence if a step takes long; the speed is that of an ordinary machine, because measuring it takes such a step"""
    speed = CORE_SPEED * threads(cfg) if backend.on_cpu() else GPU_SPEED
    seconds = flops(cfg, spec)[1] * cfg.batch_size * cfg.n_ctx * cfg.n_accumulate / speed
    if seconds > SLOW_STEP:
        long = f"{seconds / 60:,.0f} minutes" if seconds < 5400 else f"{seconds / 3600:,.0f} hours"
        more = ", batch_size or n_accumulate" if cfg.n_accumulate > 1 else ", or batch_size"
        yield f"a single step takes about {long} on this device, and Stop or Ctrl-C waits for its end: lower n_ctx, now {cfg.n_ctx:,}{more}"
