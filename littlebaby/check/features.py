"""The features of a layer: what a sparse autoencoder finds in its outputs, and what each feature means.

    outputs      the outputs of the layer on pieces of a text, on which the autoencoder is trained (`training.sparse_autoencoder`)
    fidelity     how well it rebuilds outputs that it was not trained on: the explained variance, and the loss of the model if it goes on
                 with the rebuilt outputs in place of the real ones
    examples     the pieces of text in which a feature is most active
    raised       the tokens whose logits its direction raises most: the direction times the weights of the last norm and the head. The
                 divisor of the norm is frozen at its root mean square, and the layers between are left out
"""
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays.backend import to_numpy, xp
from ..errors import BadInput
from ..inference.baby import Baby
from ..inference.steering import block_outputs
from ..model import gpt
from ..model.context import Context
from ..training import sparse_autoencoder
from ..training.data import split

TOKENS = 2**16       # tokens of the training text whose outputs the autoencoder is trained on, at most
HELD_OUT = 2**12     # tokens of the held-out text on which it is measured, at most
SHOWN = 24           # features that are described
EXAMPLES = 4         # pieces of text for each of them
BEFORE, AFTER = 40, 12               # tokens of an example before and after the one where the feature is most active
RAISED = 6           # tokens whose logits a feature raises most


@dataclass(frozen=True)
class Example:
    """A piece of text in which a feature is active"""
    tokens: list[str]
    activations: list[float]     # of the feature, one per token
    peak: int                    # index of the token where it is most active


@dataclass(frozen=True)
class Feature:
    """One feature"""
    number: int                  # from 0: its row in `down`
    share: float                 # of the tokens in which it is active
    mean: float                  # activation, over the tokens in which it is active
    raised: list[tuple[str, float]]      # (token, how much its logit rises if the feature grows by `mean`)
    examples: list[Example]      # the most active first


@dataclass(frozen=True)
class Features:
    """The features of one layer"""
    name: str                    # of the run
    config: Any
    layer: int                   # from 0
    n_features: int              # F
    n_active: int                # the most features that are active in a token
    steps: int                   # of the training of the autoencoder
    tokens: int                  # whose outputs it was trained on
    explained: float             # fraction of the variance of held-out outputs that the autoencoder rebuilds
    active: float                # mean number of active features per token
    dead: int                    # features that are active in none of `tokens`
    loss: float                  # of the model on held-out text, nats per token
    rebuilt_loss: float          # the same if the layer's outputs are replaced by what the autoencoder rebuilds
    mean_loss: float             # the same if they are replaced by their mean
    shares: np.ndarray           # (F) fraction of the tokens in which each feature is active
    means: np.ndarray            # (F) mean activation in these tokens
    described: list[Feature]     # SHOWN features, those with the largest mean over all tokens first


def pieces(baby: Baby, text: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(rows (n, T + 1) of ids of the training part of a text, the same of its held-out part), from random places; T is n_ctx or less.

    BadInput: the text is too short
    """
    tokenizer, cfg = baby.require_tokenizer(), baby.config
    parts = split(tokenizer.encode(text), cfg, tokenizer.encode(tokenizer.begin))
    T = min(cfg.n_ctx, *(len(part) - 1 for part in parts))
    if T < 2:
        raise BadInput(f"the text has too few tokens for features, {sum(map(len, parts))}; allowed are texts whose held-out part, "
                       f"r_valid of it, has at least 3")
    rows = lambda ids, most: np.stack([ids[at:at + T + 1] for at in rng.integers(len(ids) - T, size=max(1, min(most, len(ids)) // T))])
    return rows(parts[0], TOKENS), rows(parts[1], HELD_OUT)


def outputs(baby: Baby, rows: np.ndarray, layer: int, steps: Callable[[Any], Iterable] = iter) -> Any:
    """The outputs (n, T, D) of a layer for rows of ids (n, T). steps: wraps the iterable of rows, for example with a progress bar"""
    return xp.stack([xp.asarray(block_outputs(baby, row[None], layer)[0]) for row in steps(rows)])


def inspect_features(baby: Baby, p: Any, n_active: int, layer: int, rows: np.ndarray, x: Any, held_out: np.ndarray, steps: int,
                     name: str = "") -> Features:
    """The Features of an autoencoder with weights p. rows (n, T) ids and x (n, T, D) the layer's outputs for them; held_out (m, T + 1)"""
    n, F = len(rows), p.b.size
    peaks, places = np.zeros((n, F)), np.zeros((n, F), int)
    counts, sums = np.zeros(F, int), np.zeros(F)
    for i in range(n):
        f = to_numpy(sparse_autoencoder.forward(p, x[i], n_active)[1])           # (T, F)
        peaks[i], places[i] = f.max(0), f.argmax(0)
        counts += (f > 0).sum(0)
        sums += f.sum(0)
    means = sums / np.maximum(counts, 1)
    chosen = np.argsort(-sums, kind="stable")[:SHOWN]
    chosen = chosen[counts[chosen] > 0]
    raised = raised_logits(baby, to_numpy(p.down)[chosen] * means[chosen, None], rows[:1])               # (chosen, V)
    describe = lambda i, logits: Feature(
        int(i), float(counts[i] / rows.size), float(means[i]),
        [(baby.decode([t]), float(logits[t])) for t in np.argsort(-logits, kind="stable")[:RAISED]],
        [example(baby, p, n_active, rows[j], x[j], int(i), int(places[j, i]))
         for j in np.argsort(-peaks[:, i], kind="stable")[:EXAMPLES] if peaks[j, i] > 0])
    return Features(name, baby.config, layer, F, n_active, steps, rows.size, active=float(counts.sum() / rows.size),
                    dead=int((counts == 0).sum()), shares=counts / rows.size, means=means,
                    described=[describe(i, logits) for i, logits in zip(chosen, raised)], **fidelity(baby, p, n_active, layer, held_out))


def fidelity(baby: Baby, p: Any, n_active: int, layer: int, rows: np.ndarray) -> dict[str, float]:
    """{"explained", "loss", "rebuilt_loss", "mean_loss"} of `Features` on rows (m, T + 1) of ids"""
    ids, targets = xp.asarray(rows[:, :-1]), xp.asarray(rows[:, 1:])
    x = xp.asarray(block_outputs(baby, ids, layer))              # (m, T, D)
    flat = x.reshape(-1, x.shape[-1])                            # (m T, D)
    rebuilt, mean = sparse_autoencoder.forward(p, flat, n_active)[0], flat.mean(0)
    explained = 1 - float(((flat - rebuilt) ** 2).sum() / ((flat - mean) ** 2).sum())

    def loss(new=None):
        replace_value = lambda i, name, value: value if new is None or (i, name) != (layer, "block") else new
        return float(gpt.loss(baby.p, ids, targets, Context(baby.config, replace_value=replace_value)))

    return dict(explained=explained, loss=loss(), rebuilt_loss=loss(rebuilt.reshape(x.shape)),
                mean_loss=loss(xp.broadcast_to(mean, x.shape)))


def example(baby: Baby, p: Any, n_active: int, ids: np.ndarray, x: Any, feature: int, place: int) -> Example:
    """The part of a row of ids (T), whose outputs are x (T, D), around the place where a feature is most active"""
    first = max(0, place - BEFORE)
    near = slice(first, place + AFTER)
    f = to_numpy(sparse_autoencoder.forward(p, x[near], n_active)[1])[:, feature]
    return Example([baby.decode([i]) for i in ids[near]], f.tolist(), place - first)


def raised_logits(baby: Baby, directions: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(n, V): how much each logit rises if directions (n, D) are added to the last layer's output, with the divisor of the last norm frozen
    at its root mean square over rows of ids (m, T)"""
    p, cfg = baby.p, baby.config
    d, head = directions, to_numpy(gpt.unembedding(p))
    if "norm" in p:
        x = block_outputs(baby, rows, cfg.n_layers - 1)          # (m, T, D)
        if "b" in p.norm:                                        # layernorm, which subtracts the mean of the D numbers
            x, d = x - x.mean(-1, keepdims=True), d - d.mean(-1, keepdims=True)
        d = d * to_numpy(p.norm.w) / np.sqrt((x * x).mean() + cfg.norm_eps)
    return d @ head
