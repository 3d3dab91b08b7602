"""Conversations -> rows of ids and targets -> batches. Only the assistant's tokens are targets.

A row is one conversation, or as many of its exchanges as fit into n_ctx. Shorter rows of a batch are padded at their ends, which does not
change the results before, because the model is causal. A target of -1 is not counted, neither in the loss nor in the layers' statistics.
B = batch_size, T the length of the longest row of a batch, at most n_ctx.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np

from ..errors import BadInput
from ..text.chat import exchanges, ids_of, pieces
from .data import ORDER, SHUFFLE, generator


def conversation_rows(messages: list[dict], form: Any, tokenizer: Any, n_ctx: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """[(ids (t,), targets (t,)), ...] of one conversation, t <= n_ctx.

    A conversation that is too long is split between exchanges (a question and its answer), and every part begins with the system message;
    a single exchange that is too long loses its end. Parts without a target are left out. form: the chat template.
    """
    head, rest = exchanges(messages)
    encoded = lambda parts: ids_of(pieces([*head, *(message for part in parts for message in part)], form), tokenizer)
    out = []
    while rest:
        n = 1
        while n < len(rest) and len(encoded(rest[:n + 1])[0]) <= n_ctx + 1:
            n += 1
        ids, learned = encoded(rest[:n])
        x, y = ids[:-1], np.where(learned[1:], ids[1:], -1)
        out.append((x[:n_ctx], y[:n_ctx]))
        rest = rest[n:]
    return [(x, y) for x, y in out if (y >= 0).any()]


def split_conversations(conversations: list, cfg: Any) -> tuple[list, list]:
    """(training, validation): the first fraction `r_split` of the conversations, at least one, and the rest. Unless c_shuffle is none they
    are shuffled before, with the seed"""
    if cfg.c_shuffle != "none":
        order = generator(cfg.seed, SHUFFLE).permutation(len(conversations))
        conversations = [conversations[i] for i in order]
    border = max(1, round(len(conversations) * cfg.r_split))
    return conversations[:border], conversations[border:]


def pad_rows(rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """x, y: (len(rows), T), the shorter rows padded with id 0 and target -1"""
    T = max((len(x) for x, _ in rows), default=0)
    x, y = np.zeros((len(rows), T), np.int32), np.full((len(rows), T), -1, np.int32)
    for i, (ids, targets) in enumerate(rows):
        x[i, :len(ids)], y[i, :len(ids)] = ids, targets
    return x, y


@dataclass(frozen=True, eq=False)
class PaddedRows:
    """Rows for evaluation, padded on access: `rows[a:b]` is x, y of rows a to b, as long as the longest of them"""
    rows: list           # from `conversation_rows`

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: slice) -> tuple[np.ndarray, np.ndarray]:
        return pad_rows(self.rows[chosen])


@dataclass(frozen=True, eq=False)
class ChatBatches:
    """The batches of a finetune on conversations, numbered 0, 1, 2, ... without end. An epoch contains every row once, in a random order
    that is a function of the seed and the epoch"""
    rows: list           # from `conversation_rows`
    cfg: Any
    seed: int

    def __post_init__(self) -> None:
        if not self.rows:
            raise BadInput(f"no conversation has a part of an answer within its first n_ctx, {self.cfg.n_ctx}, tokens: use shorter ones")

    def steps(self, epochs: float) -> int:
        """Number of batches of so many epochs, rounded up"""
        return ceil(epochs * len(self.rows) / self.cfg.batch_size)

    def batch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """x, y: (B, T) ids and targets, -1 for tokens that are not the assistant's"""
        return pad_rows(rows_of_batch(self.rows, number, self.cfg.batch_size, self.seed))


def rows_of_batch(rows: Sequence[Any], number: int, B: int, seed: int) -> list:
    """The B rows of batch `number`. An epoch has every row once, in the order of `epoch_order`; a batch may begin the next one"""
    epochs, places = np.divmod(np.arange(number * B, (number + 1) * B), len(rows))
    return [rows[epoch_order(len(rows), seed, epoch)[place]] for epoch, place in zip(epochs.tolist(), places)]


@lru_cache(maxsize=2)
def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """(count,) the random order of the rows in an epoch"""
    return generator(seed, ORDER, epoch).permutation(count)
