"""Speculative decoding: a small model guesses ahead, the large one judges all its guesses in one call.

A guess x, drawn from the draft's q, stays with the chance min(1, p(x) / q(x)), p the target's own; at the first one refused a token is
drawn from max(0, p - q), brought to sum 1, and the guesses after it are forgotten. What stays follows p exactly, whatever q is:

    q(x) min(1, p(x) / q(x)) + sum_z max(0, q(z) - p(z)) max(0, p(x) - q(x)) / sum_z max(0, p(z) - q(z))  =  p(x)

At temperature 0 it is the target's likeliest token. Where all guesses stay the same call has given one token more. Every memory can be
forgotten, running states too, since a refused guess is read by a fork of the reader; what stood before it is read again next time.
Leviathan et al. 2023, arXiv:2211.17192; Chen et al. 2023, arXiv:2302.01318.
"""
import numpy as np

from ..arrays.backend import to_numpy
from .generate import Reader
from .sampling import draw, probabilities

PATIENCE = 4      # times `ahead` tokens that may wait to be read for good


def speculate(target, draft, ids, max_tokens, sampling, rng, ahead=4):
    """Yield max_tokens ids after ids (1, T); target and draft are pairs (p, cfg) of one vocabulary, `ahead` guesses are made at a time"""
    ids, large, small = to_numpy(ids), Reader(*target), Reader(*draft)
    end = ids.shape[1] + max_tokens
    while ids.shape[1] < end:
        T = ids.shape[1]
        k = min(ahead, large.look(T), end - T - 1)               # no further than the view reaches

        # guess                                                  k tokens, q (k, V)
        guesses, q, reader = ids, [], small
        for i in range(k):
            q.append(probabilities(reader.read(guesses)[:, 0], guesses, sampling))
            guesses = append_id(guesses, draw(q[-1], rng)[0])
            if i == 0:
                reader = small.fork()                            # what it reads from now on may be refused

        # judge: p (k + 1, V), after each guess and before the first
        if T - large.first - large.seen > PATIENCE * max(ahead, 1):
            large.read(ids[:, :-1])
        fork = large.fork()
        logits = fork.read(guesses, k + 1)[0]
        for i in range(k + 1):
            p = probabilities(logits[i:i + 1], guesses[:, :T + i], sampling)
            stays, rest = acceptance(p[0], q[i][0], guesses[0, T + i]) if i < k else (0.0, p[0])
            refused = draw(np.array([[stays, 1 - stays]]), rng)[0]
            chosen = draw(rest[None], rng)[0] if refused else guesses[0, T + i]
            ids = append_id(ids, chosen)
            yield int(chosen)
            if refused:
                break
        if i == k:
            large = fork                                         # nothing was refused: what the fork has read is right


def acceptance(p, q, guess):
    """The chance that a guess from q (V) stays, and the distribution (V) that takes its place: together they are p (V)"""
    rest = np.maximum(p - q, 0)
    return min(1.0, p[guess] / q[guess]), rest / rest.sum() if rest.any() else p


def append_id(ids, new):
    """(1, T) -> (1, T + 1)"""
    return np.concatenate([ids, [[new]]], 1)
