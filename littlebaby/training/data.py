"""Data: token ids -> training and validation split -> windows -> batches.

The ids may be a memory map of any size: only the windows of a batch are read. Everything stays in NumPy; the trainer takes a batch to
its device. Which windows a batch holds depends on the seed and the batch's number alone, so a resumed run needs to remember nothing,
and the order of the windows is computed where it is asked for, so it needs no memory either.

n tokens, T = n_ctx, B = batch_size.
"""
import mmap
from dataclasses import dataclass
from functools import cached_property
from math import ceil, isqrt

import numpy as np

from ..errors import BadInput

SHUFFLE, ORDER, MIX = 1, 2, 3    # branches of the seed
ROUNDS = 6                       # of a permutation
SHARES = 1000                    # rows of a mixture in which every source has exactly its share
CHUNK = 2**22                    # tokens that are looked through at a time


def generator(seed, *branch):
    """A generator for one purpose, apart from all others of the same seed, and the same whatever the device"""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=branch))


# --- training and validation ---

def split(ids, cfg, begin=()):
    """The training ids, the first share `r_split` (one window at least), and the validation ids, the rest (perhaps none).

    `c_shuffle` rearranges the text before it is cut, with the seed: none; documents, what follows the ids `begin` each time they
    occur; windows, stretches of 10 T tokens. Without it both results are views of ids.
    BadInput: fewer than T + 1 tokens, documents asked of a text that is a single one, or a memory map that is to be rearranged.
    """
    n, least = len(ids), cfg.n_ctx + 1
    if n < least:
        raise BadInput(f"the text has {n} tokens and n_ctx {cfg.n_ctx} needs at least {least}: use a longer text"
                       + (f", or n_ctx {n - 1} or less" if n > 1 else ""))
    if cfg.c_shuffle != "none":
        if isinstance(ids, np.memmap):
            raise BadInput(f"c_shuffle is '{cfg.c_shuffle}', which rearranges the text in memory, and a token file is memory-mapped; "
                           f"allowed here is none: the windows are shown in random order all the same")
        starts = documents(ids, begin) if cfg.c_shuffle == "documents" else np.arange(0, n, 10 * cfg.n_ctx)
        if cfg.c_shuffle == "documents" and len(starts) == 1:
            raise BadInput(f"c_shuffle is 'documents' and the text, {n} tokens, is a single document: use windows or none")
        pieces = np.split(ids, starts[1:])
        order = generator(cfg.seed, SHUFFLE).permutation(len(pieces))
        ids = np.concatenate([pieces[i] for i in order])
    border = max(round(n * cfg.r_split), least)
    return ids[:border], ids[border:]


def documents(ids, begin):
    """Where documents start: at 0 and behind every occurrence of the ids `begin` (an occurrence at the very end begins nothing)"""
    starts, room = [np.zeros(1, int)], len(ids) - len(begin) if len(begin) else 0
    for first in range(0, room, CHUNK):
        stretch = ids[first:min(first + CHUNK, room) + len(begin) - 1]
        found = np.full(len(stretch) - len(begin) + 1, True)
        for i, token in enumerate(begin):
            found &= stretch[i:i + len(found)] == token
        starts.append(first + np.flatnonzero(found) + len(begin))
        drop_pages(ids)
    return np.concatenate(starts)


# --- an order that needs no memory ---

def permute(i, n, keys):
    """Where each of the numbers i < n goes in a random permutation of 0 … n - 1 that is drawn by its `keys` and stored nowhere.

    A Feistel network turns any function into a permutation. Write a number with two digits and add to one digit whatever the other
    one says: who knows the result can take it away again, so no two numbers meet. After a few rounds, the digits taking turns,
    every digit depends on every other:

        left, right  ->  right, (left + hash(right, key)) mod side        side² >= n, the next square

    The square is a little larger than n. A number that lands outside walks on until it is inside (outside there are fewer than
    2 side + 1 places, so hardly one does); the walk keeps to its cycle, so it is a permutation still.

    i  (k,) whole numbers      keys  (rounds,) uint64      Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains
    """
    side = np.uint64(isqrt(n - 1) + 1)
    i = np.array(i, np.uint64)
    walking = np.ones(i.shape, bool)
    while walking.any():
        left, right = np.divmod(i[walking], side)
        for key in keys:
            left, right = right, (left + mix_bits(right ^ key)) % side
        i[walking] = left * side + right
        walking = i >= n
    return i.astype(np.int64)


def mix_bits(x):
    """uint64 -> uint64 below 2^32, each bit of which depends on all bits of x (the finisher of splitmix64: Steele and others 2014)"""
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x >> np.uint64(32)


def permutation_keys(rng):
    return rng.integers(2**64, size=ROUNDS, dtype=np.uint64)


# --- batches ---

@dataclass(frozen=True)
class Batches:
    """The batches of a training run, numbered from 0, without end.

    An epoch is one pass over the tokens, its order drawn anew from the seed and the epoch; a batch that outlasts one goes on with the
    next. `c_pack` says what a window is:
    across   windows laid end to end from a random first offset, over the ends of documents; what would run over the end of the text
             comes from its beginning. Every token but the ends of the text is a target about once per epoch. `stride` (0: T) is the
             distance between windows; 1 shows every token T times per epoch. Attention sees what stands before in a window, of
             another document too: nothing is masked.
    within   no window leaves its document. The first one begins with the ids `begin` that stand before it, the next goes on T tokens
             later, the last is filled up with targets of -1, which no loss counts. Every token but the first of the text is a target
             exactly once per epoch. Many short documents make many half-empty windows.
    """
    ids: np.ndarray      # (n,), n > T
    cfg: object
    seed: int
    begin: tuple = ()    # ids before a document

    @property
    def step(self):
        return self.cfg.stride or self.cfg.n_ctx

    @cached_property
    def pieces(self):
        """The windows that stay within documents, None where they may cross"""
        return Pieces.of(self.ids, self.begin, self.cfg.n_ctx) if self.cfg.c_pack == "within" else None

    @property
    def windows(self):
        """Windows per epoch; across: (n - 1) // T with the usual stride"""
        return len(self.pieces) if self.pieces is not None else (len(self.ids) - 1 - self.cfg.n_ctx) // self.step + 1

    @property
    def steps_per_epoch(self):
        return self.steps(1)

    def steps(self, epochs):
        """Batches until that many epochs are over"""
        return ceil(epochs * self.windows / self.cfg.batch_size)

    def batch(self, number):
        """x, y: (B, T) ids and the ids that follow them"""
        B = self.cfg.batch_size
        return self.rows(np.arange(number * B, (number + 1) * B))

    def rows(self, places):
        """x, y: (len(places), T), the windows at these places in the row of all epochs"""
        epochs, places = np.divmod(places, self.windows)
        x = np.empty((len(places), self.cfg.n_ctx), np.int32)
        y = np.empty_like(x)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            x[here], y[here] = self.shown(epoch, places[here])
        return x, y

    def shown(self, epoch, places):
        """x, y: (len(places), T), the windows that an epoch shows at these places"""
        if self.pieces is not None:
            return self.pieces.cut(permute(places, self.windows, permutation_keys(generator(self.seed, ORDER, epoch))))
        return cut_windows(self.ids, self.starts(epoch, places), self.cfg.n_ctx)

    def starts(self, epoch, places=None):
        """across: where the windows start that an epoch shows at these places (None: all of them)"""
        rng = generator(self.seed, ORDER, epoch)
        offset = rng.integers(self.step)
        numbers = permute(np.arange(self.windows) if places is None else places, self.windows, permutation_keys(rng))
        return (offset + self.step * numbers) % (len(self.ids) - self.cfg.n_ctx)


@dataclass(frozen=True)
class Mixture:
    """Batches of several sources, each with its share of the rows: in every SHARES rows, counted from the first, a source has exactly
    its weight's share, rounded; where its rows stand among the others is drawn anew each time. Each source goes through its own
    epochs. An epoch of the mixture has as many windows as all sources together.
    """
    sources: list        # of Batches
    weights: list        # of numbers, each at least 1 / SHARES of their sum
    seed: int

    @cached_property
    def borders(self):
        """(sources + 1,): source k has the rows borders[k] to borders[k + 1] of SHARES, before they are mixed"""
        return np.append(0, np.round(np.cumsum(self.weights) / np.sum(self.weights) * SHARES).astype(int))

    @property
    def windows(self):
        return sum(source.windows for source in self.sources)

    @property
    def steps_per_epoch(self):
        return self.steps(1)

    def steps(self, epochs):
        """Batches until as many windows are shown as all sources have, that many times"""
        return ceil(epochs * self.windows / self.sources[0].cfg.batch_size)

    def origins(self, rows):
        """(sources, places): from which source each of these rows comes, and its place in the row of that source's epochs"""
        rounds, rows = np.divmod(rows, SHARES)
        for each in np.unique(rounds).tolist():
            here = rounds == each
            rows[here] = permute(rows[here], SHARES, permutation_keys(generator(self.seed, MIX, each)))
        source = np.searchsorted(self.borders, rows, "right") - 1
        return source, rounds * np.diff(self.borders)[source] + rows - self.borders[source]

    def batch(self, number):
        """x, y: (B, T) ids and the ids that follow them"""
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
    """Windows for evaluation, cut when they are asked for: `windows[a:b]` is x, y of rows a to b, (b - a, T) each. T is n - 1 where
    there is no more."""
    ids: np.ndarray      # (n,)
    T: int
    fresh: int           # tokens from one window to the next
    chosen: np.ndarray   # (W,), which of all windows
    known: int = 0       # tokens at the beginning that are no targets

    def __len__(self):
        return len(self.chosen)

    def __getitem__(self, rows):
        chosen, last = self.chosen[rows], len(self.ids) - 1 - self.T
        since = np.where(chosen > 0, self.T + 1 + (chosen - 1) * self.fresh, self.known)
        return cut_windows(self.ids, np.minimum(chosen * self.fresh, last), self.T, since)


def windows(ids, n_ctx, limit=0, overlap=0.0, known=0):
    """For evaluation: consecutive windows in which every token but the first is a target once.

    overlap: the share of a window that reaches back over the one before; what was a target already has y -1, which no loss counts, so
    no token but the first T is judged with less than overlap T tokens in view. The last window reaches back as far as it must.
    limit > 0 takes only that many windows, always the same, evenly spread. known: that many tokens at the beginning, T at most, are only
    read. With fewer than two tokens there is no window.
    """
    n = len(ids)
    T = max(1, min(n_ctx, n - 1))
    fresh = max(1, round(T * (1 - overlap)))
    count = 1 + max(0, -(-(n - 1 - T) // fresh)) if n > 1 else 0
    return Windows(ids, T, fresh, evenly_spaced(count, limit), known)


def evenly_spaced(count, limit):
    """`limit` of the numbers below count, evenly spread; all of them where limit is 0 or larger"""
    return np.arange(limit) * count // limit if 0 < limit < count else np.arange(count)


def validation_windows(parts, cfg, begin=()):
    """What a run is measured by: n_eval_windows windows in all of the validation ids, source after source.

    As in training, `c_pack` within keeps windows inside documents; r_eval_overlap then has no meaning, for a document's first token has
    nothing to reach back to. Sources whose validation ids fill no window are left out, unless there is but one.
    """
    parts = [ids for ids in parts if len(ids) > cfg.n_ctx] or parts[:1]
    limit = -(-cfg.n_eval_windows // len(parts))
    if cfg.c_pack == "within":
        found = [Pieces.of(ids, begin, cfg.n_ctx, limit) for ids in parts if len(ids) > 1]
    else:
        found = [windows(ids, cfg.n_ctx, limit, cfg.r_eval_overlap) for ids in parts]
    return found[0] if len(found) == 1 else JoinedWindows(found)


@dataclass(frozen=True)
class JoinedWindows:
    """Windows of several sources, one after the other"""
    parts: list

    def __len__(self):
        return sum(map(len, self.parts))

    def __getitem__(self, rows):
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
    """The windows of a text that stay within its documents, cut when they are asked for. 24 bytes of memory a document."""
    ids: np.ndarray      # (n,)
    T: int
    opens: np.ndarray    # (d,), where a document's first window starts: at the `begin` before it
    first: np.ndarray    # (d + 1,), documents' first tokens, n at the end
    count: np.ndarray    # (d + 1,), windows of all documents before
    chosen: np.ndarray | None

    @classmethod
    def of(cls, ids, begin, T, limit=0):
        starts = documents(ids, begin)
        opens = np.maximum(starts - len(begin), 0)
        first = np.append(starts, len(ids))
        count = np.append(0, np.cumsum(-(-np.maximum(first[1:] - 1 - opens, 0) // T)))
        return cls(ids, T, opens, first, count, evenly_spaced(int(count[-1]), limit) if limit else None)

    def __len__(self):
        return int(self.count[-1]) if self.chosen is None else len(self.chosen)

    def __getitem__(self, rows):
        return self.cut(np.arange(*rows.indices(len(self))) if self.chosen is None else self.chosen[rows])

    def cut(self, numbers):
        """x, y: (len(numbers), T), the windows of these numbers"""
        j = np.searchsorted(self.count, numbers, "right") - 1
        return cut_windows(self.ids, self.opens[j] + self.T * (numbers - self.count[j]), self.T, self.first[j], self.first[j + 1])


def cut_windows(ids, starts, T, since=0, until=None):
    """x, y: (len(starts), T) whole numbers, the windows from starts on and what follows each of their tokens.

    y is -1 where the token that follows lies before `since` or not before `until` (for each window; None: the end of the text).
    """
    place = starts[:, None] + np.arange(T + 1)                                     # (W, T+1)
    until = np.reshape(len(ids) if until is None else until, (-1, 1))
    window = ids[np.minimum(place, until - 1)].astype(np.int32)
    drop_pages(ids)
    follows = place[:, 1:]
    counted = (follows >= np.reshape(since, (-1, 1))) & (follows < until)
    return window[:, :-1], np.where(counted, window[:, 1:], np.int32(-1))


def drop_pages(ids):
    """Tell the system that a memory map's pages are not needed: it keeps them as long as it likes, and they count as ours no longer.
    Without it a run would seem to need more and more memory, until it has seen the whole file."""
    if isinstance(ids, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        ids._mmap.madvise(mmap.MADV_DONTNEED)
