"""Sampling: from the logits z of the next token to a choice. B rows, V vocabulary.

Each setting is applied once, in this order, to the result of those before it; at its default it does nothing:

    repetition penalty r    z <- z / r where z > 0, z r elsewhere, for every token that occurred before (Keskar et al. 2019)
    temperature t           z <- z / t; t = 0 keeps only the most likely token
    top-k                   keeps the k most likely tokens
    top-p                   keeps the smallest set of most likely tokens whose probabilities sum to at least p (Holtzman et al. 2020)
    min-p                   keeps the tokens with at least min_p times the highest probability (Nguyen et al. 2024)

The probabilities are the softmax of z over the tokens that are kept. All is computed in float64 on the CPU, equally for every device.
"""
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays.backend import to_numpy
from ..errors import BadInput, number

# name: smallest, largest, whether an integer, the allowed values in words
ALLOWED = {
    "repetition_penalty": (1e-6, 10**6, False, "a number from 1e-06 to 1,000,000; 1 is off, more than 1 repeats less"),
    "temperature": (0, 10**6, False, "a number from 0 (always the most likely token) to 1,000,000"),
    "top_k": (0, 2**31, True, "a whole number of tokens from 0 (off) to 2,147,483,648"),
    "top_p": (1e-6, 1, False, "a number from 1e-06 to 1 (off)"),
    "min_p": (0, 1, False, "a number from 0 (off) to 1"),
}


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen. The settings are applied in the order in which they stand here.

    Raises:
        BadInput: Names every setting that is out of its range.
    """
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        wrong = []
        for name, (least, most, whole, allowed) in ALLOWED.items():
            try:
                object.__setattr__(self, name, number(name, getattr(self, name), least, most, whole, allowed))
            except BadInput as error:
                wrong.append(str(error))
        if wrong:
            raise BadInput("; ".join(wrong))


def probabilities(logits: Any, previous: Iterable, settings: Sampling) -> np.ndarray:
    """(B, V) logits and the B rows of previous ids -> (B, V) probabilities in float64; each row sums to 1"""
    z = np.array(to_numpy(logits), np.float64)
    V = z.shape[-1]

    if settings.repetition_penalty != 1:
        for row, ids in zip(z, previous):
            ids = np.asarray(ids, np.int64)
            row[ids] *= np.where(row[ids] > 0, 1 / settings.repetition_penalty, settings.repetition_penalty)

    # w is proportional to the probabilities, 1 for the most likely token                                 (B, V)
    if settings.temperature:
        with np.errstate(over="ignore"):                         # a tiny temperature makes a difference -inf, and the weight 0
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


def draw(probs: np.ndarray, rng: Any) -> np.ndarray:
    """(B, V) probabilities -> (B,) ids, with one random number per row; a token of probability 0 is never drawn"""
    reached = np.cumsum(probs, -1)
    aim = to_numpy(rng.random((len(probs), 1))) * reached[:, -1:]
    return (reached <= aim).sum(-1)
