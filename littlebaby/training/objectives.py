"""What a step minimizes. An objective is a function (p, g, arrays, ctx) -> loss. It adds its gradient with respect to the weights p to g.

arrays: the rows of a batch for one worker, each an array (rows, ...) or None; the first two are ids and targets. ctx.share is the fraction
of the step's targets in this call. A loss is the contribution of these rows to the loss of the step, so the losses of all calls add up.
"""
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import log_likelihood
from ..arrays.backend import to_numpy, xp
from ..model import gpt
from ..model.context import Context

Objective = Callable[[Any, Any, tuple, Context], float]
MEASURE = "measure."       # beginning of the names of the statistics that objectives report: means over the step's tokens or pairs


def next_token(p: Any, g: Any, arrays: tuple, ctx: Context) -> float:
    """The objective of train and finetune: the mean cross-entropy of the targets (b, T)"""
    ids, targets = arrays
    return ctx.share * gpt.loss_and_grad(p, g, ids, targets, ctx)


def policy_gradient(method: ModuleType) -> Objective:
    """The objective of a method in training/school that learns from rewards.

    Its arrays are ids and targets (b, T), weight (b, T) of each token, advantage (b,), old (b, T), or None if the samples were drawn from
    the present weights, and reference (b, T).
    """
    def objective(p, g, arrays, ctx):
        ids, targets, weight, advantage, old, reference = arrays
        logits, backward = gpt.forward(p, ids, ctx.counting(targets))        # (b, T, V)
        counted = to_numpy(targets) >= 0
        mean = lambda values: ctx.share * float((values * counted).sum()) / max(int(counted.sum()), 1)
        ctx.note(MEASURE + "entropy", mean(to_numpy(entropy(logits))))

        tokens, back = log_likelihood(logits, targets)
        logp = to_numpy(tokens).astype(np.float64)               # (b, T)
        loss, dlogp, clipped = method.token_loss(logp, logp if old is None else old, reference, advantage[:, None], ctx.cfg)
        away = reference - logp
        ctx.note(MEASURE + "kl", mean(np.exp(away) - away - 1))
        ctx.note(MEASURE + "clipped", mean(clipped))
        backward(back(xp.asarray(weight * dlogp * ctx.scale, logits.dtype)), g)
        return float((weight * loss).sum())

    return objective


def preference(method: ModuleType) -> Objective:
    """The objective of a method in training/school that learns from pairs, the mean loss over all pairs.

    Its arrays are ids and targets (b, 2, T), of which the first text of a pair is preferred, weight (b,) of each pair, and reference
    (b, 2), the sums of the log-probabilities of the frozen model.
    """
    def objective(p, g, arrays, ctx):
        ids, targets, weight, reference = arrays
        T, counted = ids.shape[-1], to_numpy(targets) >= 0
        logits, backward = gpt.forward(p, ids.reshape(-1, T), ctx.counting(targets.reshape(-1, T)))          # (2 b, T, V)
        tokens, back = log_likelihood(logits, targets.reshape(-1, T))
        logp = to_numpy(tokens).astype(np.float64).reshape(-1, 2, T).sum(-1)     # (2 b, T) -> (b, 2)
        loss, dlogp = method.pair_loss(logp, reference, counted.sum(-1), ctx.cfg)
        moved = logp - reference
        ctx.note(MEASURE + "margin", float((weight * (moved[:, 0] - moved[:, 1])).sum()))
        ctx.note(MEASURE + "accuracy", float((weight * (moved[:, 0] > moved[:, 1])).sum()))
        dtokens = (weight[:, None] * dlogp * ctx.scale)[..., None] * counted                         # (b, 2) -> (b, 2, T)
        backward(back(xp.asarray(dtokens.reshape(-1, T), logits.dtype)), g)
        return float((weight * loss).sum())

    return objective


def ranking(method: ModuleType) -> Objective:
    """The objective of a reward model, the mean loss over all pairs; arrays as for `preference`, without the reference"""
    def objective(p, g, arrays, ctx):
        ids, targets, weight = arrays
        (b, _, T), counted = ids.shape, to_numpy(targets) >= 0
        outputs, backward = gpt.forward(p, ids.reshape(-1, T), ctx.counting(targets.reshape(-1, T)))         # (2 b, T, 1)
        last = T - 1 - counted[..., ::-1].argmax(-1)             # (b, 2): where the last token of each text is predicted
        at = np.arange(b)[:, None], np.arange(2), last
        rewards = to_numpy(outputs).reshape(b, 2, T)[at]         # (b, 2)
        loss, drewards = method.rank_loss(rewards.astype(np.float64))
        ctx.note(MEASURE + "accuracy", float((weight * (rewards[:, 0] > rewards[:, 1])).sum()))
        doutputs = np.zeros((b, 2, T))
        doutputs[at] = weight[:, None] * drewards * ctx.scale
        backward(xp.asarray(doutputs.reshape(-1, T, 1), outputs.dtype), g)
        return float((weight * loss).sum())

    return objective


def objective_of(method: ModuleType) -> Objective:
    """The objective of a method in training/school"""
    if hasattr(method, "rank_loss"):
        return ranking(method)
    return preference(method) if hasattr(method, "pair_loss") else policy_gradient(method)


def log_likelihoods(p: Any, cfg: Any, ids: np.ndarray, targets: np.ndarray, rows: int) -> np.ndarray:
    """(N, T): the log-probability of every target, 0 where it is -1, in float64; `rows` of them at a time"""
    def part(first):
        logits, _ = gpt.forward(p, xp.asarray(ids[first:first + rows]), Context(cfg))
        return to_numpy(log_likelihood(logits, xp.asarray(targets[first:first + rows]))[0]).astype(np.float64)

    return np.concatenate([part(first) for first in range(0, len(ids), rows)])


def entropy(logits: Any) -> Any:
    """The entropy of softmax(logits) in nats: (..., V) -> (...)"""
    z = logits - logits.max(-1, keepdims=True)
    e = xp.exp(z)
    total = e.sum(-1)
    return xp.log(total) - (e * z).sum(-1) / total
