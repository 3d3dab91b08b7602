"""Dialogue: conversations -> rows of ids and targets -> batches, in which only what is answered counts.

A row is one conversation, or as many of its exchanges as the model can see at once. Shorter rows of a batch are filled up at their
ends, which changes nothing before: no token looks ahead. A target of -1 is not counted, in the loss as in all that layers say.
B = batch_size, T the longest row of a batch, at most n_ctx.
"""
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np

from ..errors import BadInput
from ..text.chat import exchanges, ids_of, pieces
from .data import ORDER, SHUFFLE, generator


def conversation_rows(messages, form, tokenizer, n_ctx):
    """[(ids (t), targets (t)), ...] of one conversation, t <= n_ctx

    One that is too long is cut between exchanges, and every part begins with the system's message; an exchange that is too long by
    itself loses its end. A part in which nothing would count is left out.
    """
    head, rest = exchanges(messages)
    spelled = lambda parts: ids_of(pieces([*head, *(message for part in parts for message in part)], form), tokenizer)
    out = []
    while rest:
        n = 1
        while n < len(rest) and len(spelled(rest[:n + 1])[0]) <= n_ctx + 1:
            n += 1
        ids, learned = spelled(rest[:n])
        x, y = ids[:-1], np.where(learned[1:], ids[1:], -1)
        out.append((x[:n_ctx], y[:n_ctx]))
        rest = rest[n:]
    return [(x, y) for x, y in out if (y >= 0).any()]


def split_conversations(conversations, cfg):
    """The first share `r_split` of the conversations, one at least, to learn from, and the rest to validate; shuffled with the seed
    before unless c_shuffle is none"""
    if cfg.c_shuffle != "none":
        order = generator(cfg.seed, SHUFFLE).permutation(len(conversations))
        conversations = [conversations[i] for i in order]
    border = max(1, round(len(conversations) * cfg.r_split))
    return conversations[:border], conversations[border:]


def pad_rows(rows):
    """x, y: (len(rows), T), the short ones filled up with id 0, which has no target"""
    T = max((len(x) for x, _ in rows), default=0)
    x, y = np.zeros((len(rows), T), np.int32), np.full((len(rows), T), -1, np.int32)
    for i, (ids, targets) in enumerate(rows):
        x[i, :len(ids)], y[i, :len(ids)] = ids, targets
    return x, y


@dataclass(frozen=True, eq=False)
class PaddedRows:
    """Rows for evaluation, side by side when they are asked for: `rows[a:b]` is x, y of rows a to b, as long as the longest of them"""
    rows: list           # as `rows` makes them

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, chosen):
        return pad_rows(self.rows[chosen])


@dataclass(frozen=True, eq=False)
class ChatBatches:
    """The batches of a finetune on conversations, numbered from 0, without end: every row once in an epoch, in an order drawn anew
    from the seed and the epoch"""
    rows: list           # as `rows` makes them
    cfg: object
    seed: int

    def __post_init__(self):
        if not self.rows:
            raise BadInput(f"no answer of the conversations lies within n_ctx, {self.cfg.n_ctx} tokens: use shorter questions")

    def steps(self, epochs):
        """Batches until that many epochs are over"""
        return ceil(epochs * len(self.rows) / self.cfg.batch_size)

    def batch(self, number):
        """x, y: (B, T) ids and what is to be learned after each of them, -1 for nothing"""
        B = self.cfg.batch_size
        epochs, places = np.divmod(np.arange(number * B, (number + 1) * B), len(self.rows))
        return pad_rows([self.rows[epoch_order(len(self.rows), self.seed, epoch)[place]] for epoch, place in zip(epochs.tolist(), places)])


@lru_cache(maxsize=2)
def epoch_order(count, seed, epoch):
    """The order in which an epoch shows its rows"""
    return generator(seed, ORDER, epoch).permutation(count)
