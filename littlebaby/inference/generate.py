"""Generation: the prompt in one forward pass, then one token per pass. The caches belong to `Reader`, not to the layers.

The window rule: when the window holds n_ctx tokens and another one is added, the window shrinks to its newest half and grows again. The
rule is the same with and without a cache, so both generate the same tokens; the cache is computed again once in n_ctx / 2 tokens.
"""
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..arrays.backend import on_cpu, to_numpy, xp
from ..model import gpt
from ..model.context import Context, Rows
from .decoder import decoder
from .sampling import Sampling, draw, probabilities

ENDING = 16        # characters before the newest token that can belong to the end of a text
FULL = 0.8         # share of the rows of a batch below which rows that have ended are taken out


class Reader:
    """A model with a cache for B growing rows of ids: only new ids are computed

    replace_value: what the model uses in place of the values that its layers observe, as in `Context`; None: those values
    """

    def __init__(self, p: Any, cfg: Any, cached: bool = True, replace_value: Callable | None = None) -> None:
        self.p, self.cfg, self.cached, self.replace_value = p, cfg, cached, replace_value
        self.first, self.seen = 0, 0                             # index of the window's first id; number of its ids in the cache
        self.cache: dict = {}
        self.decodes = cached and on_cpu() and replace_value is None             # the decoder observes nothing
        self.decoders: dict[bool, Callable] = {}                 # for one text, for a batch; made when they are needed

    def fit_window(self, T: int) -> int:
        """Apply the window rule for T ids; returns how many more ids the window has room for"""
        n_ctx = self.cfg.n_ctx
        if T - self.first > n_ctx:                               # of a prompt that is too long the newest n_ctx ids, later the newest half
            self.first, self.seen, self.cache = T - (max(1, n_ctx // 2) if self.seen else n_ctx), 0, {}
        return n_ctx - (T - self.first)

    def read(self, ids: np.ndarray, n: int = 1) -> np.ndarray:
        """Logits (B, n, V) after each of the last n of ids (B, T); the ids must begin with those of the call before"""
        T = ids.shape[1]
        self.fit_window(T)
        if self.cached:
            new, ctx = ids[:, self.first + self.seen:], Context(self.cfg, None, self.seen, self.cache, replace_value=self.replace_value)
        else:
            new, ctx = ids[:, self.first:], Context(self.cfg, replace_value=self.replace_value)
        if self.decodes and self.seen and new.shape[1] == 1:     # one token of every text
            logits = self.next_logits(new)[:, None]              # (B, V) -> (B, 1, V)
        else:
            logits, _ = gpt.forward(self.p, xp.asarray(new), ctx)             # (B, T new, V)
        self.seen = T - self.first
        return to_numpy(logits[:, -n:])

    def next_logits(self, new: np.ndarray) -> np.ndarray:
        """Logits (B, V) after one more token (B, 1) of every text, by the decoder"""
        batch = len(new) > 1
        if batch not in self.decoders:
            self.decoders[batch] = decoder(self.p, self.cfg, batch)
        logits = self.decoders[batch](new[:, 0] if batch else new[0, 0], self.seen, self.cache)
        return logits if batch else logits[None]

    def keep_rows(self, rows: np.ndarray) -> None:
        """Continue with these rows only: indices (k,) or a mask (B,)"""
        self.cache = select_rows(self.cache, rows)

    def fork(self) -> "Reader":
        """A copy of this reader with the same cache contents. Both write new rows into the same memory, so when one of them reads, the rows
        that the other one has added since the fork become invalid"""
        other = Reader(self.p, self.cfg, self.cached, self.replace_value)
        other.first, other.seen, other.cache = self.first, self.seen, copy_cache(self.cache)
        return other


def copy_cache(cache: dict) -> dict:
    """A cache that can be extended independently: `Rows` are forked, because they grow in place; states are only ever replaced"""
    copies: dict[Any, Callable] = {dict: copy_cache, Rows: Rows.fork}
    return {name: copies.get(type(kept), lambda state: state)(kept) for name, kept in cache.items()}


def select_rows(cache: dict, rows: np.ndarray) -> dict:
    """A cache with these rows of the batch only; the first axis of every array in a cache is the batch"""
    chosen: dict[Any, Callable] = {dict: lambda part: select_rows(part, rows), Rows: lambda kept: kept.select(rows)}
    return {name: chosen.get(type(kept), lambda state: state[rows])(kept) for name, kept in cache.items()}


def generate(p: Any, cfg: Any, ids: Any, max_tokens: int, sampling: Sampling, rng: Any, cached: bool = True,
             replace_value: Callable | None = None) -> Iterator[np.ndarray]:
    """Yield max_tokens columns (B,) of new ids that follow ids (B, T); B equal prompts give B samples. replace_value: as for `Reader`"""
    reader = Reader(p, cfg, cached, replace_value)
    for _ in range(max_tokens):
        chosen = draw(probabilities(reader.read(ids)[:, 0], ids, sampling), rng)
        ids = append(ids, chosen)
        yield chosen


def until_eos(columns: Iterable[np.ndarray], eos: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield columns (B,) of new ids until every row has had one of the eos ids; that column is included"""
    ended: Any = False
    for column in columns:
        yield column
        ended = ended | np.isin(column, eos)
        if np.all(ended):
            return


def before_eos(row: Any, eos: Sequence[int]) -> Any:
    """The ids of a row (n,) before its first eos id"""
    found = np.flatnonzero(np.isin(row, eos))
    return row[:found[0]] if len(found) else row


class DrawnNumbers:
    """The random numbers of some rows, drawn in advance: row i has those that its generator would give one after the other"""

    def __init__(self, rngs: Sequence[np.random.Generator], n: int) -> None:
        self.numbers = np.stack([rng.random(n) for rng in rngs])             # (rows, n)
        self.rows, self.used = np.arange(len(rngs)), 0

    def random(self, shape: tuple[int, ...]) -> np.ndarray:
        """(k, 1): the next number of each of the k rows that are left"""
        self.used += 1
        return self.numbers[self.rows, self.used - 1].reshape(shape)


def generate_each(p: Any, cfg: Any, prompts: Sequence[np.ndarray], max_tokens: int, sampling: Sampling,
                  rngs: Sequence[np.random.Generator], ends: Callable[[str], bool] = lambda text: False,
                  token_texts: Sequence[str] | None = None) -> list[np.ndarray]:
    """The ids that follow each prompt (T_i,), with one random generator per prompt: [(n_i,), ...], n_i <= max_tokens. Each result is that
    of the prompt alone.

    Prompts of equal length are one batch, from which texts that have ended are taken out. Prompts of different lengths are not padded to
    one batch, because the padding would enter the state of every attention that has no mask.

    Args:
        ends: Whether a text, of which at least the newest token and ENDING characters are given, has ended; its last id completes the end.
        token_texts: The text of every token of the vocabulary, for `ends`; None: every text has max_tokens ids.
    """
    out: list[Any] = [None] * len(prompts)
    for length in sorted({len(prompt) for prompt in prompts}):
        alive = np.array([i for i, prompt in enumerate(prompts) if len(prompt) == length])
        ids = np.zeros((len(alive), length + max_tokens), np.int64)
        ids[:, :length] = np.stack([prompts[i] for i in alive])
        reader, numbers, tails = Reader(p, cfg), DrawnNumbers([rngs[i] for i in alive], max_tokens), [""] * len(alive)
        for T in range(length, length + max_tokens):
            chosen = draw(probabilities(reader.read(ids[:, :T])[:, 0], ids[:, :T], sampling), numbers)
            ids[:, T] = chosen
            if token_texts is None:
                continue
            tails = [tail[-ENDING:] + token_texts[i] for tail, i in zip(tails, chosen.tolist())]
            for row, tail in enumerate(tails):
                if out[alive[row]] is None and ends(tail):
                    out[alive[row]] = ids[row, length:T + 1].copy()
            left = np.array([out[i] is None for i in alive])
            if not left.any():
                break
            if left.sum() <= FULL * len(alive):                  # taking rows out copies the cache, so it is not done for every row
                alive, ids, numbers.rows = alive[left], ids[left], numbers.rows[left]
                tails = [tail for tail, keep in zip(tails, left) if keep]
                reader.keep_rows(left)
        for row, i in enumerate(alive):
            if out[i] is None:
                out[i] = ids[row, length:].copy()
    return out


def append(ids: Any, column: Any) -> np.ndarray:
    """(B, T), (B,) -> (B, T + 1)"""
    return to_numpy(xp.concatenate([xp.asarray(ids), xp.asarray(column)[:, None]], 1))


def until_stop(pieces: Iterable[str], stops: Sequence[str]) -> Iterator[str]:
    """Yield the text of `pieces` up to the first stop string, which is left out; an end that may become a stop string is held back"""
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


def possible_stop_length(text: str, stops: Sequence[str]) -> int:
    """Number of characters at the end of `text` that are the beginning of a stop string"""
    longest = max((len(stop) for stop in stops), default=1) - 1
    return next((n for n in range(min(longest, len(text)), 0, -1) if any(stop.startswith(text[-n:]) for stop in stops)), 0)
