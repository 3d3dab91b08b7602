"""What a layer may know besides its weights and its input, and what it may report. Made anew for every call, never stored.

It is the only door for randomness, position and memory: the same `forward` trains, evaluates and decodes with another context.
"""
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from ..arrays import dropout, max_scores
from ..arrays.backend import xp


def variants(kind):
    """The names that lie in a folder: `variants("attentions")` -> ["gqa", "mha"]"""
    return sorted(m.name for m in iter_modules(import_module(f"{__package__}.{kind}").__path__))


@lru_cache(None)
def variant(kind, name):
    """The file that a config's name means"""
    return import_module(f"{__package__}.{kind}.{name}")


def rotates(cfg):
    """Whether the position encoding rotates queries and keys"""
    return hasattr(variant("positions", cfg.c_position), "rotate")


def residual_std(cfg):
    """The spread of matrices that write into the residual stream: 2 L of them add up (Radford et al. 2019)"""
    return 0.02 * (2 * cfg.n_layers) ** -0.5


def qk_clip_scale(stats, cfg):
    """What the scores of each head are to shrink by so that none passes `qk_clip`, (h); None where they were not recorded"""
    return cfg.qk_clip / xp.maximum(stats["score"], cfg.qk_clip) if "score" in stats else None


class Rows:
    """The newest rows of a growing array (..., S, d), at most `most`, in a buffer with spare room behind them: a row is added without
    moving those before it. bounded: no more than `most` rows will ever come, so the buffer need be no longer."""

    def __init__(self, most, bounded):
        self.most, self.length = most, most if bounded else 2 * most + 64
        self.buffer: Any = None
        self.first = self.stop = 0

    def append(self, new):
        """new (..., T, d) -> the kept rows, then the new ones (..., S, d), all of them seen this once"""
        T = new.shape[-2]
        if self.buffer is None or self.stop + T > self.buffer.shape[-2]:         # first call, or no room left: moved once in many tokens
            kept = new[..., :0, :] if self.buffer is None else self.buffer[..., self.first:self.stop, :]
            n = kept.shape[-2]
            self.buffer = xp.empty((*new.shape[:-2], max(self.length, n + T), new.shape[-1]), new.dtype)
            self.buffer[..., :n, :] = kept
            self.first, self.stop = 0, n
        self.buffer[..., self.stop:self.stop + T, :] = new
        first, self.stop = self.first, self.stop + T
        self.first = max(first, self.stop - self.most)
        return self.buffer[..., first:self.stop, :]

    @property
    def size(self):
        """How many numbers are kept"""
        return self.buffer[..., self.first:self.stop, :].size

    def fork(self):
        """Other rows that begin with these; they share the buffer, so only one of the two may go on"""
        other = Rows.__new__(Rows)
        other.__dict__.update(self.__dict__)
        return other


@dataclass(frozen=True)
class Context:
    cfg: object
    rng: object = None      # a generator in training, None in evaluation and decoding
    start: int = 0          # position of the first token of this call
    cache: object = None    # None in training; in decoding a dict of arrays, one room per layer and part
    share: float = 1.0      # this call's part of the step's tokens (shards, accumulated batches)
    scale: float = 1.0      # what gradients are multiplied with, so that half precision can hold the small ones
    stats: dict = field(default_factory=dict)  # what the layers report: {(layer, name): (join, value)}
    decisions: object = None  # laws only: the decisions of the first run, repeated in the probes
    layer_index: int = 0    # the layer's number
    counted: object = None  # (B, T), which tokens have a target that counts; None: all
    recorder: dict | None = None  # inspection only: a dict for what layers observe, {(layer, name): value}

    def layer(self, i):
        return replace(self.inside(i), layer_index=i)

    def counting(self, targets):
        return replace(self, counted=targets >= 0)

    def inside(self, *path):
        """The context of a part: its own room in the cache, so that two parts may use one name."""
        cache = self.cache
        for name in path if cache is not None else ():
            cache = cache.setdefault(name, {})
        return replace(self, cache=cache)

    # what a layer reports

    def aux(self, name, value):
        """A loss of the layer's own. Returns scale * d total / d value, with which its backward multiplies."""
        self.stats[self.layer_index, "aux." + name] = xp.add, self.share * value
        return self.share * self.scale

    def note(self, name, value, join=None):
        """A statistic; `join` (xp.add or xp.maximum) says how shards and accumulated batches come together."""
        self.stats[self.layer_index, name] = join or xp.add, value

    def observe(self, name, value):
        """Record a value for inspection; does nothing without a recorder."""
        if self.recorder is not None:
            self.recorder[self.layer_index, name] = value

    def record_scores(self, q, k, scale, window=None):
        """Report the largest attention score of each head if the optimizer needs it (`qk_clip_scale`); otherwise this costs nothing"""
        self.observe("scores", (q, k, scale, window))
        if self.cfg.needs_scores and self.rng is not None:
            self.note("score", max_scores(q, k, scale, window), xp.maximum)

    def freeze_decision(self, name, value):
        """value; but while the gradient law probes, the value of the first run: backward treats it as a constant."""
        self.observe(name, value)
        return value if self.decisions is None else self.decisions.setdefault((self.layer_index, name), value)

    # what depends on the call

    @property
    def drop(self) -> tuple[float, Any]:
        """(rate, generator), for primitives that drop inside"""
        return self.cfg.r_dropout, self.rng

    def dropout(self, x):
        return dropout(x, *self.drop)

    def rotate(self, x):
        """Queries or keys (B, h, T, d) turned to their positions, where the positions turn anything"""
        turn = getattr(variant("positions", self.cfg.c_position), "rotate", None)
        return turn(x, self) if turn and x.size else (x, lambda dy: dy)

    def slopes(self, q):
        """What each head of q (B, h, T, d) pays for distance, (h); None where the positions ask for nothing"""
        priced = getattr(variant("positions", self.cfg.c_position), "slopes", None)
        return priced(q) if priced else None

    # memory: rows (extend) and running states (recall, keep); in training all three are the identity

    def extend(self, last=None, **new):
        """The rows kept so far, then the new ones (axis -2). Keeps all of them, or the `last` ones."""
        if self.cache is None:
            return tuple(new.values())
        most = self.cfg.n_ctx if last is None else last
        return tuple(self.cache.setdefault(name, Rows(most, last is None)).append(x) for name, x in new.items())

    def recall(self, name):
        """What `keep` stored at the end of the last call; None in training and at the first token."""
        return None if self.cache is None else self.cache.get(name)

    def keep(self, **states):
        """Store states for the next call; copies, so no large array stays alive."""
        if self.cache is not None:
            self.cache.update((name, xp.array(state)) for name, state in states.items())


def merge_stats(all_stats):
    """The statistics of the shards and accumulated batches of one step, joined"""
    out: dict = {}
    for stats in all_stats:
        for key, (how, value) in stats.items():
            out[key] = (how, how(out[key][1], value)) if key in out else (how, value)
    return out
