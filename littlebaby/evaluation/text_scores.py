"""Text scores: perplexity and bits of a text, and the log-likelihoods of continuations, from which tasks are scored.

    perplexity per token, per word    exp(nats / tokens), exp(nats / words)
    bits per byte, per character      nats / (ln 2 bytes), nats / (ln 2 characters): comparable between tokenizers

nats is the sum of -ln p over all tokens of the text; the context of the first one is the text that begins a document.
"""
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import exp, inf, log
from typing import Any

import numpy as np

from ..errors import BadInput
from ..inference.baby import Baby
from ..inference.generate import Reader
from ..training.data import windows
from ..training.evaluate import evaluate
from ..training.parallel import Workers, worker_count


@dataclass(frozen=True)
class TextScores:
    """Perplexity and bits of a text"""
    tokens: int                    # number of tokens
    words: int                     # number of words, separated by white space
    characters: int                # number of characters
    bytes: int                     # number of bytes in UTF-8
    nats: float                    # negative log-likelihood of the whole text, nats
    perplexity_per_token: float
    perplexity_per_word: float
    bits_per_byte: float
    bits_per_character: float


def perplexity(nats: float) -> float:
    """exp of the mean nats of a token or word; inf if that is too large"""
    return exp(nats) if nats < 700 else inf


def score_text(baby: Baby, text: str, overlap: float | None = None, progress: Callable[[Any], Iterable] = iter) -> TextScores:
    """The TextScores of a text.

    Args:
        overlap: Fraction of each window that repeats the one before and is not scored again [the config's r_eval_overlap].
        progress: Function that wraps an iterable, for example with a progress bar.

    Raises:
        BadInput: The tokenizer knows no character of the text.
    """
    cfg, tokenizer = baby.config, baby.require_tokenizer()
    ids, begin = tokenizer.encode(text), tokenizer.encode(tokenizer.begin)
    if not len(ids):
        raise BadInput("this model's tokenizer knows no character of the text")
    begin = begin[-cfg.n_ctx:]
    views = windows(np.concatenate([begin, ids]), cfg.n_ctx, 0, cfg.r_eval_overlap if overlap is None else overlap, len(begin))
    workers, nats, part = Workers(worker_count(cfg)), 0.0, worker_count(cfg) * cfg.batch_size
    try:
        for first in progress(range(0, len(views), part)):
            here = replace(views, chosen=views.chosen[first:first + part])
            nats += evaluate(workers, baby.p, cfg, here) * int((here[:][1] >= 0).sum())
    finally:
        workers.close()
    decoded = tokenizer.decode(ids)
    words, size = len(decoded.split()), len(decoded.encode())
    return TextScores(len(ids), words, len(decoded), size, nats, perplexity(nats / len(ids)), perplexity(nats / max(words, 1)),
                      nats / log(2) / size,
                      nats / log(2) / len(decoded))


def likelihoods(baby: Baby, context: np.ndarray, continuations: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Log-likelihoods of continuations [(t,), ...] of a context (T,), all token ids.

    The context is computed once, and its cache is used for all continuations. If context and continuation together are longer than n_ctx,
    the context loses its oldest ids.

    Returns:
        [(ln p of each token (t,), in nats; whether each token is the most likely one (t,)), ...]

    Raises:
        BadInput: A continuation has no token or more than n_ctx.
    """
    n_ctx, out = baby.config.n_ctx, []
    heads: dict[int, tuple[Reader, np.ndarray]] = {}
    for ids in continuations:
        if not 0 < len(ids) <= n_ctx:
            raise BadInput(f"an answer has {len(ids)} tokens; allowed are 1 to n_ctx, {n_ctx}")
        first = max(0, len(context) + len(ids) - 1 - n_ctx)
        whole = np.concatenate([context[first:], ids])[None]
        if first not in heads:
            reader = Reader(baby.p, baby.config)
            heads[first] = reader, reader.read(whole[:, :len(context) - first])
        reader, z = heads[first]                                                         # z (1, 1, V)
        if len(ids) > 1:
            z = np.concatenate([z, reader.fork().read(whole[:, :-1], len(ids) - 1)], 1)  # (1, t, V)
        z = z[0].astype(np.float64)
        z -= z.max(-1, keepdims=True)
        chosen = z[np.arange(len(ids)), ids]
        out.append((chosen - np.log(np.exp(z).sum(-1)), chosen == 0))
    return out
