"""Decoding: read the prompt, then one token a call. The caches live here, not in the layers.

The window rule: when `n_ctx` tokens are in view and one more is wanted, the view shrinks to its newest half and grows again. It is the
same with and without a cache, so the two write the same text, always; and the cache is refilled once in n_ctx / 2 tokens.
"""
import numpy as np

from ..arrays.backend import on_cpu, to_numpy, xp
from ..model import gpt
from ..model.context import Context, Rows
from .decoder import decoder
from .sampling import draw, probabilities


class Reader:
    """A model with a cache for B growing rows of ids: only new ids are computed"""

    def __init__(self, p, cfg, cached=True):
        self.p, self.cfg, self.cached = p, cfg, cached
        self.first, self.seen, self.cache = 0, 0, {}             # where the view begins, how much of it is read, what was kept
        self.one = decoder(p, cfg) if cached and on_cpu() else None

    def look(self, T):
        """Apply the window rule for a view that ends with id T - 1; returns how many more ids it has room for"""
        n_ctx = self.cfg.n_ctx
        if T - self.first > n_ctx:                               # at once too long: the newest; grown too long: their newer half
            self.first, self.seen, self.cache = T - (max(1, n_ctx // 2) if self.seen else n_ctx), 0, {}
        return n_ctx - (T - self.first)

    def read(self, ids, n=1):
        """The logits (B, n, V) after each of the last n of ids (B, T), which begin with those read before"""
        T = ids.shape[1]
        self.look(T)
        if self.cached:
            new, ctx = ids[:, self.first + self.seen:], Context(self.cfg, start=self.seen, cache=self.cache)
        else:
            new, ctx = ids[:, self.first:], Context(self.cfg)
        if self.one and self.seen and new.shape == (1, 1):       # one token of one text: the fast decoder
            logits = self.one(new[0, 0], self.seen, self.cache)[None, None]
        else:
            logits, _ = gpt.forward(self.p, xp.asarray(new), ctx)             # (B, T new, V)
        self.seen = T - self.first
        return to_numpy(logits[:, -n:])

    def fork(self):
        """Another reader that has read the same. Rows that the two add lie in the same places: go on with one of them only, or with
        one after the other"""
        other = Reader(self.p, self.cfg, self.cached)
        other.first, other.seen, other.cache = self.first, self.seen, copy_cache(self.cache)
        return other


def copy_cache(cache):
    """A cache that can go on by itself: states are never changed, only replaced; rows are added to"""
    copies = {dict: copy_cache, Rows: Rows.fork}
    return {name: copies.get(type(kept), lambda state: state)(kept) for name, kept in cache.items()}


def generate(p, cfg, ids, max_tokens, sampling, rng, cached=True):
    """Yield up to max_tokens columns of new ids (B,) after ids (B, T); equal prompts in the B rows give B samples"""
    reader = Reader(p, cfg, cached)
    for _ in range(max_tokens):
        chosen = draw(probabilities(reader.read(ids)[:, 0], ids, sampling), rng)
        ids = append(ids, chosen)
        yield chosen


class RowGenerators:
    """A generator for every row: row i draws what it would draw alone"""

    def __init__(self, rngs):
        self.rngs = rngs

    def random(self, shape):
        return np.concatenate([rng.random((1, *shape[1:])) for rng in self.rngs])


def generate_each(p, cfg, prompts, max_tokens, sampling, rngs):
    """The max_tokens ids that follow each of the prompts, rows of any lengths, with a generator for each: what each gives alone

    Prompts of one length share every call. Others do not: filling them up would put strangers into every memory but a masked one.
    """
    out = [None] * len(prompts)
    for length in sorted({len(prompt) for prompt in prompts}):
        rows = [i for i, prompt in enumerate(prompts) if len(prompt) == length]
        ids, rng = np.stack([prompts[i] for i in rows]), RowGenerators([rngs[i] for i in rows])
        columns = list(generate(p, cfg, ids, max_tokens, sampling, rng))
        for i, row in zip(rows, np.stack(columns, 1) if columns else ids[:, :0]):
            out[i] = row
    return out


def append(ids, column):
    """(B, T), (B,) -> (B, T + 1)"""
    return to_numpy(xp.concatenate([xp.asarray(ids), xp.asarray(column)[:, None]], 1))


def until_stop(pieces, stops):
    """The text of `pieces` up to the first stop string, which is left out; what may yet become one is held back"""
    held = ""
    for piece in pieces:
        held += piece
        found = [held.index(stop) for stop in stops if stop in held]
        if found:
            yield held[:min(found)]
            return
        ready = len(held) - possible_stop_length(held, stops)
        if ready:
            yield held[:ready]
            held = held[ready:]
    yield held


def possible_stop_length(text, stops):
    """How many characters at the end of `text` could begin a stop string"""
    longest = max((len(stop) for stop in stops), default=1) - 1
    return next((n for n in range(min(longest, len(text)), 0, -1) if any(stop.startswith(text[-n:]) for stop in stops)), 0)
