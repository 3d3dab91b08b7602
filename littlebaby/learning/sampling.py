"""Sampling: from the logits of the next token to a choice. B rows, V vocabulary.

Each setting acts once, in this order, on what the earlier ones left; at its default it does nothing:

    repetition penalty r    z <- z / r where z > 0, z r elsewhere, for every token that occurs before (Keskar et al. 2019)
    temperature t           z <- z / t; t = 0 leaves only the likeliest token
    top-k                   the k likeliest tokens stay
    top-p                   the fewest likeliest tokens whose probabilities reach p together stay (Holtzman et al. 2020)
    min-p                   tokens at least min_p times as likely as the likeliest stay (Nguyen et al. 2024)

and the probabilities are softmax(z) over what stays. All in float64 on the CPU, the same for every device.
"""
from dataclasses import dataclass
from math import inf

import numpy as np

from ..arrays.backend import to_numpy
from ..errors import BadInput

ALLOWED = {
    "temperature": ("0 (always the likeliest token) or more", lambda v: 0 <= v < inf),
    "top_k": ("0 (off) or a whole number of tokens", lambda v: v >= 0 and v % 1 == 0),
    "top_p": ("above 0, up to 1 (off)", lambda v: 0 < v <= 1),
    "min_p": ("from 0 (off) to 1", lambda v: 0 <= v <= 1),
    "repetition_penalty": ("above 0; 1 is off, more than 1 repeats less", lambda v: 0 < v < inf),
}


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. BadInput names every setting that is out of its range."""
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self):
        wrong = [f"{name} is {getattr(self, name)}; allowed is {allowed}" for name, (allowed, fits) in ALLOWED.items()
                 if not fits(getattr(self, name))]
        if wrong:
            raise BadInput("; ".join(wrong))


def probabilities(logits, previous, settings):
    """(B, V) logits, the B lists of ids that stand before, a Sampling -> (B, V) probabilities, float64; each row sums to 1"""
    z = np.array(to_numpy(logits), np.float64)
    V = z.shape[-1]

    if settings.repetition_penalty != 1:
        for row, ids in zip(z, previous):
            ids = np.asarray(ids, np.int64)
            row[ids] *= np.where(row[ids] > 0, 1 / settings.repetition_penalty, settings.repetition_penalty)

    # w is proportional to the probabilities, 1 for the likeliest token                                   (B, V)
    if settings.temperature:
        w = np.exp((z - z.max(-1, keepdims=True)) / settings.temperature)
    else:
        w = (np.arange(V) == z.argmax(-1)[:, None]).astype(np.float64)

    if 0 < settings.top_k < V:
        least = np.partition(w, -settings.top_k)[:, -settings.top_k, None]
        w[w < least] = 0

    if settings.top_p < 1:
        order = np.argsort(-w, kind="stable")
        ranked = np.take_along_axis(w, order, -1)
        before = np.cumsum(ranked, -1) - ranked
        ranked[before >= settings.top_p * ranked.sum(-1, keepdims=True)] = 0
        np.put_along_axis(w, order, ranked, -1)

    if settings.min_p:
        w[w < settings.min_p] = 0

    return w / w.sum(-1, keepdims=True)


def draw(probs, rng):
    """(B, V) probabilities -> (B,) ids, one draw from the generator each; a token of probability 0 is never drawn"""
    reached = np.cumsum(probs, -1)
    aim = to_numpy(rng.random((len(probs), 1))) * reached[:, -1:]
    return (reached <= aim).sum(-1)
