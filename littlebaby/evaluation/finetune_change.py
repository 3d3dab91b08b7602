"""What a finetune changed: the losses of both models on a text, and the change of every weight."""
from dataclasses import dataclass, field

import numpy as np

from ..errors import BadInput
from ..inference.baby import Baby
from ..training.data import split, windows
from ..training.evaluate import evaluate
from ..training.parallel import Workers

WINDOWS = 32         # of a text, on which the base and the finetuned model are compared


@dataclass(frozen=True)
class Change:
    """A finetuned model compared with its base"""
    base: str                # the name of the base's run
    weights: dict = field(default_factory=dict)      # {"blocks.0.att.wq": (base's weight, finetuned - base)}
    losses: list = field(default_factory=list)       # (text's title, loss before, loss after), nats per token, None: unknown tokens
    completions: list = field(default_factory=list)  # (prompt, completion before, completion after)


def weight_changes(base: dict[str, np.ndarray], finetuned: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{name: (base's weight, finetuned - base)}; where the vocabulary has grown, of the rows that both have"""
    out = {}
    for name, w in base.items():
        if name in finetuned:
            same = tuple(slice(min(a, b)) for a, b in zip(w.shape, finetuned[name].shape))
            out[name] = w[same], finetuned[name][same] - w[same]
    return out


def relative_change(pair: tuple[np.ndarray, np.ndarray]) -> float:
    """The norm of a weight's change, relative to the norm of the weight"""
    base, change = pair
    return float(np.linalg.norm(change)) / max(float(np.linalg.norm(base)), 1e-12)


def held_out_loss(baby: Baby, text: str) -> float | None:
    """Nats per token on WINDOWS windows of a text's held-out part; None where it is too short or has characters unknown to the tokenizer"""
    tokenizer = baby.require_tokenizer()
    if tokenizer.unknown_in(text):
        return None
    try:
        _, held_out = split(tokenizer.encode(text), baby.config, tokenizer.encode(tokenizer.begin))
        return float(evaluate(Workers(1), baby.p, baby.config, windows(held_out, baby.config.n_ctx, WINDOWS, 0.5)))
    except BadInput:
        return None
