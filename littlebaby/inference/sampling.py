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

import numpy as np

from ..arrays.backend import to_numpy
from ..errors import BadInput, number

# name: smallest, largest, whether a whole number, what is allowed in words
ALLOWED = {
    "temperature": (0, 10**6, False, "0 (always the likeliest token) or more, up to 1,000,000"),
    "top_k": (0, 2**31, True, "0 (off) or a whole number of tokens, up to 2,147,483,648"),
    "top_p": (1e-6, 1, False, "above 0, from 1e-06 up to 1 (off)"),
    "min_p": (0, 1, False, "a number from 0 (off) to 1"),
    "repetition_penalty": (1e-6, 10**6, False, "a number from 1e-06 to 1,000,000; 1 is off, more than 1 repeats less"),
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
        wrong = []
        for name, (least, most, whole, allowed) in ALLOWED.items():
            try:
                object.__setattr__(self, name, number(name, getattr(self, name), least, most, whole, allowed))
            except BadInput as error:
                wrong.append(str(error))
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
        with np.errstate(over="ignore"):                         # far below 1, a temperature makes -inf of a difference: weight 0
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
