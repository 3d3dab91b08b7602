"""Steering: a direction is added to the output of a layer, at every token, so that the model writes more of something.

    direction = mean output of the layer over the tokens of `more` - the same of `less`        (D,)
    x <- x + strength direction                                                              after the layer, at every token

A strength of 1 moves the mean of the texts `less` to that of the texts `more`; a negative one moves the other way. The weights do not
change. Turner et al. 2023, arXiv:2308.10248; Rimsky et al. 2024, arXiv:2312.06681.
"""
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..arrays.backend import to_numpy, xp
from ..errors import BadInput
from ..model import gpt
from ..model.context import Context
from .baby import Baby


def block_outputs(baby: Baby, ids: Any, layer: int) -> np.ndarray:
    """The output (B, T, D) of a layer for ids (B, T), with T up to n_ctx"""
    recorded: dict = {}
    gpt.forward(baby.p, xp.asarray(ids), Context(baby.config, recorder=recorded))
    return to_numpy(recorded[layer, "block"])


def mean_output(baby: Baby, texts: Iterable[str], layer: int) -> np.ndarray:
    """(D,) in float64: the mean output of a layer over all tokens of the texts. Each is read from the beginning of a document, in pieces of
    n_ctx tokens; the tokens that begin the document are not counted.

    BadInput: the tokenizer knows no token of the texts
    """
    tokenizer, n_ctx = baby.require_tokenizer(), baby.config.n_ctx
    begin, total, count = tokenizer.encode(tokenizer.begin)[:n_ctx // 2], np.zeros(baby.config.n_emb), 0
    room = n_ctx - len(begin)
    for text in texts:
        ids = tokenizer.encode(text)
        for first in range(0, len(ids), room):
            piece = ids[first:first + room]
            x = block_outputs(baby, np.concatenate([begin, piece])[None], layer)[0, len(begin):]         # (T, D)
            total += x.sum(0, dtype=np.float64)
            count += len(piece)
    if not count:
        raise BadInput("the model's tokenizer knows no token of the texts of a direction; give texts with at least one known token")
    return total / count


def difference(baby: Baby, more: Iterable[str], less: Iterable[str], layer: int) -> np.ndarray:
    """The direction (D,), in the type of the weights, from the texts `less` to the texts `more` in the output of a layer"""
    return (mean_output(baby, more, layer) - mean_output(baby, less, layer)).astype(to_numpy(baby.flat[:0]).dtype)


def adding(shifts: Mapping[int, Any]) -> Callable[[int, str, Any], Any]:
    """The function replace_value(layer, name, value) that adds shifts[layer] (D,) to the output (B, T, D) of each of these layers"""
    def replace_value(layer: int, name: str, value: Any) -> Any:
        if name != "block" or layer not in shifts:
            return value
        return value + xp.asarray(shifts[layer], value.dtype)

    return replace_value
