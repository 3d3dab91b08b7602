"""Speculative decoding: a small model, the draft, proposes tokens, and the large model, the target, checks all of them in one call.

A proposed token x, drawn from the draft's distribution q, is accepted with probability min(1, p(x) / q(x)), where p is the target's
distribution. At the first rejected token, one is drawn from max(0, p - q), normalized to sum 1, in its place, and the proposals after it
are dropped. The resulting tokens follow p exactly, for any q:

    q(x) min(1, p(x) / q(x)) + sum_z max(0, q(z) - p(z)) max(0, p(x) - q(x)) / sum_z max(0, p(z) - q(z))  =  p(x)

At temperature 0 every token is the target's most likely one. If all proposals are accepted, the same call yields one more token. Every
kind of cache, also one with running states, can be rolled back: a fork of the reader reads the proposals, and after a rejection the fork
is dropped and the accepted tokens are read again.
Leviathan et al. 2023, arXiv:2211.17192; Chen et al. 2023, arXiv:2302.01318.
"""
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..arrays.backend import to_numpy
from .generate import Reader
from .sampling import Sampling, draw, probabilities

UNREAD = 4        # the target reads accepted tokens into its own cache when more than UNREAD * ahead of them are missing there


def speculate(target: tuple[Any, Any], draft: tuple[Any, Any], ids: Any, max_tokens: int, sampling: Sampling, rng: Any, ahead: int = 4,
              replace_value: Callable | None = None) -> Iterator[int]:
    """Yield max_tokens ids that follow ids (1, T).

    Args:
        target, draft: Pairs (p, cfg) of weights and config, with the same vocabulary.
        ahead: Number of tokens that the draft proposes at a time.
        replace_value: As for `Reader`, of the target; the draft is not changed.
    """
    ids, large, small = to_numpy(ids), Reader(*target, True, replace_value), Reader(*draft)
    end = ids.shape[1] + max_tokens
    while ids.shape[1] < end:
        T = ids.shape[1]
        k = min(ahead, large.fit_window(T), end - T - 1)         # no further than the target's window

        # propose                                                k tokens, q (k, V)
        proposed, q, reader = ids, [], small
        for i in range(k):
            q.append(probabilities(reader.read(proposed)[:, 0], proposed, sampling))
            proposed = append_id(proposed, draw(q[-1], rng)[0])
            if i == 0:
                reader = small.fork()                            # the tokens that it reads from now on may be rejected

        # check                                                  p (k + 1, V): before the first proposal, and after each of them
        if T - large.first - large.seen > UNREAD * max(ahead, 1):
            large.read(ids[:, :-1])
        fork = large.fork()
        logits = fork.read(proposed, k + 1)[0]
        for i in range(k + 1):
            p = probabilities(logits[i:i + 1], proposed[:, :T + i], sampling)
            accepted, rest = acceptance(p[0], q[i][0], proposed[0, T + i]) if i < k else (0.0, p[0])
            rejected = draw(np.array([[accepted, 1 - accepted]]), rng)[0]
            chosen = draw(rest[None], rng)[0] if rejected else proposed[0, T + i]
            ids = append_id(ids, chosen)
            yield int(chosen)
            if rejected:
                break
        if i == k:
            large = fork                                         # nothing was rejected: the fork's cache is right


def acceptance(p: np.ndarray, q: np.ndarray, token: int) -> tuple[float, np.ndarray]:
    """(probability of accepting a token that was drawn from q (V), distribution (V) of the token that replaces a rejected one).

    Together they give the distribution p (V).
    """
    rest = np.maximum(p - q, 0)
    return min(1.0, p[token] / q[token]), rest / rest.sum() if rest.any() else p


def append_id(ids: np.ndarray, new: int) -> np.ndarray:
    """(1, T) -> (1, T + 1)"""
    return np.concatenate([ids, [[new]]], 1)
