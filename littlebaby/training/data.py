"""Data: token ids -> training and validation split -> windows -> batches.

The ids may be a memory map of any size: only the windows of a batch are read. Everything is NumPy; the training loop copies a batch to
its device. The windows of a batch depend only on the seed and the batch's number, so a checkpoint need not store them. The random order of
the windows is computed again for each batch.

n tokens, T = n_ctx, B = batch_size.
"""
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, isqrt
from typing import Any

import numpy as np

from ..errors import BadInput

SHUFFLE, ORDER, MIX = 1, 2, 3    # branches of the seed, one for each use of random numbers
ROUNDS = 6                       # rounds of the Feistel network of `permute`
SHARES = 1000                    # consecutive rows of a mixture in which every source has exactly its share
CHUNK = 2**22                    # tokens that are searched at a time


def generator(seed: int, *branch: int) -> np.random.Generator:
    """A random generator, independent of the other branches of the same seed, and equal on every device"""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=branch))


# --- training and validation ---

def split(ids: np.ndarray, cfg: Any, begin: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
    """(training ids, validation ids): the first fraction `r_split` of ids (n,), at least T + 1, and the rest, which may be empty.

    `c_shuffle` shuffles the text before the split, with the seed: "documents", each of which follows an occurrence of the ids `begin`, or
    "windows", pieces of 10 T tokens. With "none" both results are views of ids.

    Raises:
        BadInput: There are fewer than T + 1 tokens; c_shuffle is "documents" and there is only one document; or ids is a memory map
            and c_shuffle is not "none".
    """
    n, least = len(ids), cfg.n_ctx + 1
    if n < least:
        raise BadInput(f"the text has {n} tokens and n_ctx {cfg.n_ctx} needs at least {least}: use a longer text"
                       + (f", or n_ctx {n - 1} or less" if n > 1 else ""))
    if cfg.c_shuffle != "none":
        if isinstance(ids, np.memmap):
            raise BadInput(f"c_shuffle is '{cfg.c_shuffle}'; allowed with a token file, which is memory-mapped, is none; did you mean "
                           f"none? The order of the windows in training is random anyway")
        starts = documents(ids, begin) if cfg.c_shuffle == "documents" else np.arange(0, n, 10 * cfg.n_ctx)
        if cfg.c_shuffle == "documents" and len(starts) == 1:
            raise BadInput(f"c_shuffle is 'documents', and the text of {n} tokens is a single document; allowed are windows and none; did "
                           f"you mean windows?")
        pieces = np.split(ids, starts[1:])
        order = generator(cfg.seed, SHUFFLE).permutation(len(pieces))
        ids = np.concatenate([pieces[i] for i in order])
    border = max(round(n * cfg.r_split), least)
    return ids[:border], ids[border:]


def documents(ids: np.ndarray, begin: Sequence[int]) -> np.ndarray:
    """Indices at which documents start: 0, and after every occurrence of the ids `begin` (except one at the end of the text)"""
    starts, room = [np.zeros(1, int)], len(ids) - len(begin) if len(begin) else 0
    for first in range(0, room, CHUNK):
        chunk = ids[first:min(first + CHUNK, room) + len(begin) - 1]
        found = np.full(len(chunk) - len(begin) + 1, True)
        for i, token in enumerate(begin):
            found &= chunk[i:i + len(found)] == token
        starts.append(first + np.flatnonzero(found) + len(begin))
        drop_pages(ids)
    return np.concatenate(starts)


# --- a random order that needs no memory ---

def permute(i: Any, n: int, keys: np.ndarray) -> np.ndarray:
    """The values of a random permutation of 0 … n - 1 at the indices i. The keys (rounds,) determine it; it is never stored.

    A Feistel network makes a permutation of any hash function. It writes a number as two digits in base `side` and adds a hash of one
    digit to the other. This can be inverted, because the hash can be computed again and subtracted, so different numbers have different
    results. After a few rounds, in which the digits take turns, each digit depends on both:

        left, right  ->  right, (left + hash(right, key)) mod side        side = ceil(sqrt(n))

    The network permutes 0 … side² - 1, of which fewer than 2 side + 1 numbers are n or above. A result of n or more goes through
    the network again until it is below n. It stays on its cycle of the permutation, so the whole is a permutation of 0 … n - 1.

    i (k,) integers below n, keys (rounds,) uint64 -> (k,) int64. Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains
    """
    side = np.uint64(isqrt(n - 1) + 1)
    i = np.array(i, np.uint64)
    outside = np.ones(i.shape, bool)
    while outside.any():
        left, right = np.divmod(i[outside], side)
        for key in keys:
            left, right = right, (left + mix_bits(right ^ key)) % side
        i[outside] = left * side + right
        outside = i >= n
    return i.astype(np.int64)


def mix_bits(x: Any) -> Any:
    """uint64 -> uint64 below 2^32, each bit of which depends on all bits of x (the finalizer of splitmix64: Steele et al. 2014)"""
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x >> np.uint64(32)


def permutation_keys(rng: np.random.Generator) -> np.ndarray:
    """Random keys (rounds,) for `permute`"""
    return rng.integers(2**64, size=ROUNDS, dtype=np.uint64)


# --- batches ---

@dataclass(frozen=True)
class Batches:
    """The batches of a training run, numbered 0, 1, 2, ... without end.

    An epoch is one pass over the tokens in a random order, a function of the seed and the epoch; a batch may contain the end of one epoch
    and the beginning of the next. `c_pack` says what a window is:
    across   Windows of T tokens, end to end from a random first offset; a window may contain the end of one document and the beginning
             of the next. Every token, except near the ends of the text, is a target about once per epoch. `stride` (0: T) is the distance
             between the starts of two windows; with stride 1 every token is a target T times per epoch. There is no mask between
             documents: attention sees all earlier tokens of the window.
    within   No window contains tokens of two documents. The first window of a document begins with the ids `begin` before it, the next
             one is T tokens later, and the last one is padded with targets of -1, which the loss does not count. Every token except the
             first of the text is a target exactly once per epoch. Many short documents make many half-empty windows.
    """
    ids: np.ndarray      # (n,), n > T
    cfg: Any
    seed: int
    begin: tuple = ()    # the ids that stand before every document

    @property
    def step(self) -> int:
        """Tokens from one window to the next"""
        return self.cfg.stride or self.cfg.n_ctx

    @cached_property
    def pieces(self) -> "Pieces | None":
        """The windows of c_pack "within", None for "across" """
        return Pieces.of(self.ids, self.begin, self.cfg.n_ctx) if self.cfg.c_pack == "within" else None

    @property
    def windows(self) -> int:
        """Windows per epoch; for "across" with the default stride (n - 1) // T"""
        return len(self.pieces) if self.pieces is not None else (len(self.ids) - 1 - self.cfg.n_ctx) // self.step + 1

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches of one epoch"""
        return self.steps(1)

    def steps(self, epochs: float) -> int:
        """Number of batches in `epochs` epochs, rounded up"""
        return ceil(epochs * self.windows / self.cfg.batch_size)

    def batch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """x, y: (B, T) ids and targets"""
        B = self.cfg.batch_size
        return self.rows(np.arange(number * B, (number + 1) * B))

    def rows(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x, y: (len(places), T), the windows at these places, counted from the first one of epoch 0"""
        epochs, places = np.divmod(places, self.windows)
        x = np.empty((len(places), self.cfg.n_ctx), np.int32)
        y = np.empty_like(x)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            x[here], y[here] = self.rows_of_epoch(epoch, places[here])
        return x, y

    def rows_of_epoch(self, epoch: int, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x, y: (len(places), T), the windows at these places of one epoch"""
        if self.pieces is not None:
            return self.pieces.cut(permute(places, self.windows, permutation_keys(generator(self.seed, ORDER, epoch))))
        return cut_windows(self.ids, self.starts(epoch, places), self.cfg.n_ctx)

    def starts(self, epoch: int, places: np.ndarray | None = None) -> np.ndarray:
        """For "across": the indices at which the windows at these places of an epoch start (None: all places)"""
        rng = generator(self.seed, ORDER, epoch)
        offset = rng.integers(self.step)
        numbers = permute(np.arange(self.windows) if places is None else places, self.windows, permutation_keys(rng))
        return (offset + self.step * numbers) % (len(self.ids) - self.cfg.n_ctx)


@dataclass(frozen=True)
class Mixture:
    """Batches of several sources, each with a share of the rows in proportion to its weight.

    Of every SHARES consecutive rows each source has exactly its share, rounded; the order of the rows among them is random. Each source
    has epochs of its own. An epoch of the mixture has as many windows as all sources together.
    """
    sources: list        # of Batches
    weights: list        # of numbers, each at least 1 / SHARES of their sum
    seed: int

    @cached_property
    def borders(self) -> np.ndarray:
        """(sources + 1,): before SHARES rows are shuffled, source k has the rows from borders[k] to borders[k + 1] - 1"""
        return np.append(0, np.round(np.cumsum(self.weights) / np.sum(self.weights) * SHARES).astype(int))

    @property
    def windows(self) -> int:
        """Windows per epoch"""
        return sum(source.windows for source in self.sources)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches of one epoch"""
        return self.steps(1)

    def steps(self, epochs: float) -> int:
        """Number of batches in `epochs` epochs, rounded up"""
        return ceil(epochs * self.windows / self.sources[0].cfg.batch_size)

    def origins(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(sources, places): the source of each of these rows, and its place for that source's `Batches.rows`"""
        rounds, rows = np.divmod(rows, SHARES)
        for each in np.unique(rounds).tolist():
            here = rounds == each
            rows[here] = permute(rows[here], SHARES, permutation_keys(generator(self.seed, MIX, each)))
        source = np.searchsorted(self.borders, rows, "right") - 1
        return source, rounds * np.diff(self.borders)[source] + rows - self.borders[source]

    def batch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """x, y: (B, T) ids and targets"""
        cfg = self.sources[0].cfg
        origins, places = self.origins(np.arange(number * cfg.batch_size, (number + 1) * cfg.batch_size))
        x = np.empty((cfg.batch_size, cfg.n_ctx), np.int32)
        y = np.empty_like(x)
        for k in np.unique(origins).tolist():
            x[origins == k], y[origins == k] = self.sources[k].rows(places[origins == k])
        return x, y


# --- evaluation ---

@dataclass(frozen=True)
class Windows:
    """Windows for evaluation, cut on access: `windows[a:b]` is x, y of rows a to b, (b - a, T) each"""
    ids: np.ndarray      # (n,)
    T: int               # n_ctx, or n - 1 if that is less
    fresh: int           # tokens from one window to the next
    chosen: np.ndarray   # (W,), numbers of the windows that are used
    known: int = 0       # tokens at the beginning that are no targets

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        chosen, last = self.chosen[rows], len(self.ids) - 1 - self.T
        since = np.where(chosen > 0, self.T + 1 + (chosen - 1) * self.fresh, self.known)
        return cut_windows(self.ids, np.minimum(chosen * self.fresh, last), self.T, since)


def windows(ids: np.ndarray, n_ctx: int, limit: int = 0, overlap: float = 0.0, known: int = 0) -> Windows:
    """Consecutive windows for evaluation, in which every token except the first is a target once.

    Args:
        ids: (n,); with fewer than two there is no window.
        limit: Number of windows, evenly spread over the text and always the same; 0: all.
        overlap: Fraction of a window that repeats the end of the one before. Its targets are -1, so that every target after the first T
            has at least overlap * T tokens of context. The last window overlaps more if necessary.
        known: Number of tokens at the beginning, at most T, that are context only.
    """
    n = len(ids)
    T = max(1, min(n_ctx, n - 1))
    fresh = max(1, round(T * (1 - overlap)))
    count = 1 + max(0, -(-(n - 1 - T) // fresh)) if n > 1 else 0
    return Windows(ids, T, fresh, evenly_spaced(count, limit), known)


def evenly_spaced(count: int, limit: int) -> np.ndarray:
    """`limit` of the numbers 0 to count - 1, evenly spread; all of them if limit is 0 or not below count"""
    return np.arange(limit) * count // limit if 0 < limit < count else np.arange(count)


def validation_windows(parts: Sequence[np.ndarray], cfg: Any, begin: Sequence[int] = ()) -> "Windows | Pieces | JoinedWindows":
    """The windows on which a run's validation loss is measured: n_eval_windows of the validation ids of all sources, in their order.

    With c_pack "within" windows stay inside documents, as in training, and r_eval_overlap has no effect. Sources whose validation ids do
    not fill a window are left out, but at least one source is kept.
    """
    parts = [ids for ids in parts if len(ids) > cfg.n_ctx] or parts[:1]
    limit = -(-cfg.n_eval_windows // len(parts))
    found: list[Any]
    if cfg.c_pack == "within":
        found = [Pieces.of(ids, begin, cfg.n_ctx, limit) for ids in parts if len(ids) > 1]
    else:
        found = [windows(ids, cfg.n_ctx, limit, cfg.r_eval_overlap) for ids in parts]
    return found[0] if len(found) == 1 else JoinedWindows(found)


@dataclass(frozen=True)
class JoinedWindows:
    """The windows of several sources, one source after the other"""
    parts: list          # of Windows or Pieces

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        ids, targets, first = [], [], 0
        for part in self.parts:
            here = slice(max(rows.start - first, 0), max(min(rows.stop - first, len(part)), 0))
            if here.start < here.stop:
                x, y = part[here]
                ids.append(x)
                targets.append(y)
            first += len(part)
        return np.concatenate(ids), np.concatenate(targets)


# --- windows ---

@dataclass(frozen=True)
class Pieces:
    """The windows of a text that stay inside its documents, cut on access. They take 24 bytes of memory per document."""
    ids: np.ndarray      # (n,)
    T: int
    opens: np.ndarray    # (d,), start of each document's first window: at the `begin` before the document
    first: np.ndarray    # (d + 1,), index of each document's first token, and n
    count: np.ndarray    # (d + 1,), number of windows of all documents before each document, and of all
    chosen: np.ndarray | None        # numbers of the windows that are used; None: all

    @classmethod
    def of(cls, ids: np.ndarray, begin: Sequence[int], T: int, limit: int = 0) -> "Pieces":
        """The windows of ids (n,); limit: number of windows, evenly spread (0: all)"""
        starts = documents(ids, begin)
        opens = np.maximum(starts - len(begin), 0)
        first = np.append(starts, len(ids))
        count = np.append(0, np.cumsum(-(-np.maximum(first[1:] - 1 - opens, 0) // T)))
        return cls(ids, T, opens, first, count, evenly_spaced(int(count[-1]), limit) if limit else None)

    def __len__(self) -> int:
        return int(self.count[-1]) if self.chosen is None else len(self.chosen)

    def __getitem__(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        return self.cut(np.arange(*rows.indices(len(self))) if self.chosen is None else self.chosen[rows])

    def cut(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x, y: (len(numbers), T), the windows of these numbers"""
        j = np.searchsorted(self.count, numbers, "right") - 1
        return cut_windows(self.ids, self.opens[j] + self.T * (numbers - self.count[j]), self.T, self.first[j], self.first[j + 1])


def cut_windows(ids: np.ndarray, starts: np.ndarray, T: int, since: Any = 0, until: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """x, y: (len(starts), T) int32, the windows that begin at `starts`, and the token that follows each of their tokens.

    y is -1 if the index of the following token is below `since` or not below `until`; each is one number, or one per window (until None:
    the end of the text).
    """
    place = starts[:, None] + np.arange(T + 1)                                     # (W, T+1)
    until = np.reshape(len(ids) if until is None else until, (-1, 1))
    window = ids[np.minimum(place, until - 1)].astype(np.int32)
    drop_pages(ids)
    follows = place[:, 1:]
    counted = (follows >= np.reshape(since, (-1, 1))) & (follows < until)
    return window[:, :-1], np.where(counted, window[:, 1:], np.int32(-1))


def drop_pages(ids: np.ndarray) -> None:
    """Tell the operating system that the pages of a memory map are not needed now; it may keep them, but they no longer count as memory
    of this process. Without this, the process would appear to use more and more memory until it has read the whole file."""
    if isinstance(ids, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        ids._mmap.madvise(mmap.MADV_DONTNEED)
