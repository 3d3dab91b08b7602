"""Data: token ids -> training and validation split -> windows -> batches.

The ids may be a memory map: only the windows of a batch are read. Everything stays in NumPy; the trainer takes a batch to its
device. Which windows a batch holds depends on the seed and the batch's number alone, so a resumed run needs to remember nothing.

n tokens, T = n_ctx, B = batch_size.
"""
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np

from ..errors import BadInput

SHUFFLE, ORDER = 1, 2    # branches of the seed


def generator(seed, *branch):
    """A generator for one purpose, apart from all others of the same seed, and the same whatever the device"""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=branch))


def split(ids, cfg, begin=()):
    """The training ids, the first share `r_split` (one window at least), and the validation ids, the rest (perhaps none).

    `c_shuffle` rearranges the text before it is cut, with the seed: none; documents, what follows the ids `begin` each time they
    occur; windows, stretches of 10 T tokens. Without it both results are views of ids.
    BadInput: fewer than T + 1 tokens, or documents asked of a text that is a single one.
    """
    n, least = len(ids), cfg.n_ctx + 1
    if n < least:
        raise BadInput(f"the text has {n} tokens and n_ctx {cfg.n_ctx} needs at least {least}: use a longer text"
                       + (f", or n_ctx {n - 1} or less" if n > 1 else ""))
    if cfg.c_shuffle != "none":
        starts = documents(ids, begin) if cfg.c_shuffle == "documents" else np.arange(0, n, 10 * cfg.n_ctx)
        if cfg.c_shuffle == "documents" and len(starts) == 1:
            raise BadInput(f"c_shuffle is 'documents' and the text, {n} tokens, is a single document: use windows or none")
        pieces = np.split(ids, starts[1:])
        order = generator(cfg.seed, SHUFFLE).permutation(len(pieces))
        ids = np.concatenate([pieces[i] for i in order])
    border = max(round(n * cfg.r_split), least)
    return ids[:border], ids[border:]


def documents(ids, begin):
    """Where documents start: at 0 and behind every occurrence of the ids `begin`"""
    found = np.full(max(0, len(ids) - len(begin)), len(begin) > 0)   # an occurrence at the very end begins nothing
    for i, symbol in enumerate(begin):
        found &= ids[i:i + len(found)] == symbol
    return np.concatenate([[0], np.flatnonzero(found) + len(begin)])


@dataclass(frozen=True)
class Batches:
    """The batches of a training run, numbered from 0, without end.

    An epoch is one pass over the tokens: windows laid end to end from a random first offset, in a random order, both drawn anew
    from the seed and the epoch. Every token but the ends of the text is then a target about once per epoch. `stride` (0: T) is the
    distance between windows; 1 shows every token T times per epoch. A batch that outlasts an epoch goes on with the next one's.
    """
    ids: np.ndarray      # (n,), n > T
    cfg: object
    seed: int

    @property
    def windows(self):
        """Windows per epoch: (n - 1) // T with the usual stride"""
        return (len(self.ids) - 1 - self.cfg.n_ctx) // (self.cfg.stride or self.cfg.n_ctx) + 1

    @property
    def steps_per_epoch(self):
        return self.steps(1)

    def steps(self, epochs):
        """Batches until that many epochs are over"""
        return ceil(epochs * self.windows / self.cfg.batch_size)

    def batch(self, number):
        """x, y: (B, T) ids and the ids that follow them"""
        T, B = self.cfg.n_ctx, self.cfg.batch_size
        epochs, places = np.divmod(np.arange(number * B, (number + 1) * B), self.windows)
        starts = np.concatenate([self.starts(epoch)[places[epochs == epoch]] for epoch in np.unique(epochs).tolist()])
        return cut(self.ids, starts, T)

    def starts(self, epoch):
        """Where the windows of an epoch start, in the order in which they are shown"""
        return arrange(len(self.ids) - self.cfg.n_ctx, self.windows, self.cfg.stride or self.cfg.n_ctx, self.seed, epoch)


@lru_cache(maxsize=2)
def arrange(room, count, stride, seed, epoch):
    """`count` of the `room` possible starts, `stride` apart from a random first one, in a random order. What would run over the end
    of the text comes from its beginning."""
    rng = generator(seed, ORDER, epoch)
    return rng.permutation((rng.integers(stride) + stride * np.arange(count)) % room)


def windows(ids, n_ctx, limit=0, overlap=0.0):
    """For evaluation: x, y (W, T), consecutive windows in which every token but the first is a target once.

    overlap: the share of a window that reaches back over the one before; what was a target already has y -1, which no loss counts, so
    no token but the first T is judged with less than overlap T tokens in view. The last window reaches back as far as it must.
    limit > 0 takes only that many windows, always the same, evenly spread. T is n - 1 where there is no more; with fewer than two
    tokens W is 0.
    """
    n = len(ids)
    T = max(1, min(n_ctx, n - 1))
    fresh = max(1, round(T * (1 - overlap)))
    count = 1 + max(0, -(-(n - 1 - T) // fresh)) if n > 1 else 0
    chosen = np.arange(limit) * count // limit if 0 < limit < count else np.arange(count)
    due = np.where(chosen > 0, T + (chosen - 1) * fresh, 0)
    starts = np.minimum(chosen * fresh, n - 1 - T)
    x, y = cut(ids, starts, T)
    return x, np.where(starts[:, None] + np.arange(T) < due[:, None], -1, y)


def cut(ids, starts, T):
    """x, y: (len(starts), T) whole numbers, the windows from starts on and what follows each of their tokens"""
    window = ids[starts[:, None] + np.arange(T + 1)].astype(np.int32)
    return window[:, :-1], window[:, 1:]
