"""What a layer may use in a call besides its weights and its input, and what it may report. A context is made for every call.

Randomness, positions and caches come only from the context: the same `forward` is used in training, evaluation and generation, with
different contexts.
"""
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from ..arrays import dropout, max_scores
from ..arrays.backend import xp


def variants(kind):
    """The names of the variants of a kind, which is a folder: `variants("attentions")` -> ["aft", "decay", ...]"""
    return sorted(m.name for m in iter_modules(import_module(f"{__package__}.{kind}").__path__))


@lru_cache(None)
def variant(kind, name):
    """The module of a variant, such as variant("attentions", "mha")"""
    return import_module(f"{__package__}.{kind}.{name}")


def rotates(cfg):
    """Whether the position encoding rotates queries and keys"""
    return hasattr(variant("positions", cfg.c_position), "rotate")


def residual_std(cfg):
    """Initial standard deviation of the 2 L matrices whose outputs are added to the residual stream (Radford et al. 2019)"""
    return 0.02 * (2 * cfg.n_layers) ** -0.5


def qk_clip_scale(stats, cfg):
    """The factors (h,) that bring the largest score of each head down to `qk_clip`; None if scores were not recorded"""
    return cfg.qk_clip / xp.maximum(stats["score"], cfg.qk_clip) if "score" in stats else None


class Rows:
    """The newest rows of a growing array (..., S, d), no more than `limit`, in a buffer with free space after them, so that rows can be
    added without copying the earlier ones. bounded: no more than `limit` rows will be added in all, so the buffer has no extra space."""

    def __init__(self, limit, bounded):
        self.limit, self.length = limit, limit if bounded else 2 * limit + 64
        self.buffer: Any = None
        self.first = self.stop = 0

    def append(self, new):
        """new (..., T, d) -> the kept rows and the new ones (..., S, d), including those that the next call will drop"""
        T = new.shape[-2]
        if self.buffer is None or self.stop + T > self.buffer.shape[-2]:         # first call, or the buffer is full, which is rare
            kept = new[..., :0, :] if self.buffer is None else self.buffer[..., self.first:self.stop, :]
            n = kept.shape[-2]
            self.buffer = xp.empty((*new.shape[:-2], max(self.length, n + T), new.shape[-1]), new.dtype)
            self.buffer[..., :n, :] = kept
            self.first, self.stop = 0, n
        self.buffer[..., self.stop:self.stop + T, :] = new
        first, self.stop = self.first, self.stop + T
        self.first = max(first, self.stop - self.limit)
        return self.buffer[..., first:self.stop, :]

    @property
    def size(self):
        """Number of elements of the kept rows"""
        return self.buffer[..., self.first:self.stop, :].size

    def select(self, batch):
        """A copy with these rows of the batch, the first axis, in a buffer of its own"""
        other = self.fork()
        other.buffer = self.buffer[batch]
        return other

    def fork(self):
        """A copy with the same rows. The two share the buffer: rows that one appends overwrite those of the other"""
        other = Rows.__new__(Rows)
        other.__dict__.update(self.__dict__)
        return other


@dataclass(frozen=True)
class Context:
    cfg: object
    rng: object = None      # a generator in training, None in evaluation and decoding
    start: int = 0          # position of the first token of this call in the window
    cache: object = None    # None in training; in generation a dict with a dict for every layer and part
    share: float = 1.0      # fraction of the step's counted tokens in this call (shards, accumulated batches)
    scale: float = 1.0      # loss scale: gradients are multiplied by it, so that small ones do not underflow in half precision
    stats: dict = field(default_factory=dict)  # statistics of the layers: {(layer, name): (join, value)}
    decisions: object = None  # for the laws only: the decisions of the first run, which all later runs repeat
    layer_index: int = 0    # number of the layer
    counted: object = None  # (B, T), whether the target of a token is counted; None: all
    recorder: dict | None = None  # inspection only: a dict for what layers observe, {(layer, name): value}
    replace_value: Callable | None = None  # inspection only: replace_value(layer, name, value) -> the value that the model uses instead

    def layer(self, i):
        """The context of layer i, with a cache of its own"""
        return replace(self.inside(i), layer_index=i)

    def counting(self, targets):
        """The context in which the tokens with a target are counted; targets (B, T), -1 for no target"""
        return replace(self, counted=targets >= 0)

    def inside(self, *path):
        """The context of a part, with a cache of its own, so that two parts can use the same names."""
        cache = self.cache
        for name in path if cache is not None else ():
            cache = cache.setdefault(name, {})
        return replace(self, cache=cache)

    # what a layer reports

    def aux(self, name, value):
        """Report an auxiliary loss. Returns `scale` times the derivative of the step's total loss with respect to `value`; the layer
        multiplies its gradient by it in backward."""
        self.stats[self.layer_index, "aux." + name] = xp.add, self.share * value
        return self.share * self.scale

    def note(self, name, value, join=None):
        """Report a statistic; `join` (xp.add or xp.maximum) combines those of shards and accumulated batches."""
        self.stats[self.layer_index, name] = join or xp.add, value

    def observe(self, name, value):
        """Returns `value`. Inspection may record it, or return another value in its place, which backward does not take into account."""
        if self.replace_value is not None:
            new = self.replace_value(self.layer_index, name, value)
            value = value if new is value else new.copy()        # a copy, because the model may go on computing in the same memory
        if self.recorder is not None:
            self.recorder[self.layer_index, name] = value.copy() if hasattr(value, "copy") else value
        return value

    def record_scores(self, q, k, scale, window=None):
        """Report the largest attention score of each head if the optimizer needs it (`qk_clip_scale`); otherwise this costs nothing"""
        self.observe("scores", (q, k, scale, window))
        if self.rng is not None and self.cfg.needs_scores:
            self.note("score", max_scores(q, k, scale, window), xp.maximum)

    def freeze_decision(self, name, value):
        """`value`, a decision such as a choice of experts. While the gradient law computes finite differences, every run returns the value
        of the first run, because backward treats the decision as a constant."""
        value = self.observe(name, value)
        return value if self.decisions is None else self.decisions.setdefault((self.layer_index, name), value)

    # what depends on the call

    @property
    def drop(self) -> tuple[float, Any]:
        """(rate, generator), for primitives with dropout inside"""
        return self.cfg.r_dropout, self.rng

    def dropout(self, x):
        return dropout(x, *self.drop)

    def rotate(self, x):
        """Queries or keys (B, h, T, d), rotated to their positions if c_position rotates"""
        rotate = getattr(variant("positions", self.cfg.c_position), "rotate", None)
        return rotate(x, self) if rotate and x.size else (x, lambda dy: dy)

    def slopes(self, q):
        """The penalty of each head of q (B, h, T, d) per token of distance, (h,); None if c_position has no penalties"""
        slopes = getattr(variant("positions", self.cfg.c_position), "slopes", None)
        return slopes(q) if slopes else None

    # cache: rows (extend) and running states (recall, keep); without a cache, as in training, they do nothing

    def extend(self, last=None, **new):
        """The cached rows and the new ones, along axis -2. They stay in the cache for the next call: all of them, or the newest `last`."""
        if self.cache is None:
            return tuple(new.values())
        limit = self.cfg.n_ctx if last is None else last
        return tuple(self.cache.setdefault(name, Rows(limit, last is None)).append(x) for name, x in new.items())

    def recall(self, name):
        """The state that `keep` stored in the last call; None in training and in the first call."""
        return None if self.cache is None else self.cache.get(name)

    def keep(self, **states):
        """Store states for the next call, as copies, so that no large array of which they are views stays in memory."""
        if self.cache is not None:
            self.cache.update((name, xp.array(state)) for name, state in states.items())


def merge_stats(all_stats):
    """The combined statistics of the shards and accumulated batches of a step"""
    out: dict = {}
    for stats in all_stats:
        for key, (join, value) in stats.items():
            out[key] = (join, join(out[key][1], value)) if key in out else (join, value)
    return out
