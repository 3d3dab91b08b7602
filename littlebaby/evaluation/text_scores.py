"""Text scores: perplexity and bits of a text, and log-likelihoods of continuations, from which tasks are scored.

    perplexity per token, per word    exp(nats / tokens), exp(nats / words)
    bits per byte, per character      nats / (ln 2 bytes), nats / (ln 2 characters): comparable whatever the tokenizer

Every token of the text counts, the first one after what begins a document. Of several choices the one of the greatest score is taken:

    raw             sum log p                 prefers short choices
    per token       sum log p / tokens        KodaLite's
    per character   sum log p / characters    lm-eval's acc_norm; without the space that leads in

Chance is what guessing reaches. The standard error of an accuracy a over n questions is sqrt(a (1 - a) / n). A cloze is right where each
token of the target is the likeliest; its perplexity per word takes a target for a word, exp(mean nats of a target).
"""
from dataclasses import dataclass, replace
from math import exp, inf, log

import numpy as np

from ..errors import BadInput
from ..inference.generate import Reader
from ..training.data import windows
from ..training.evaluate import evaluate
from ..training.parallel import Workers, worker_count


@dataclass(frozen=True)
class TextScores:
    """Perplexity and bits of a text"""
    tokens: int
    words: int
    characters: int
    bytes: int
    nats: float                    # of the whole text
    perplexity_per_token: float
    perplexity_per_word: float
    bits_per_byte: float
    bits_per_character: float


def perplexity(nats):
    return exp(nats) if nats < 700 else inf


def score_text(baby, text, overlap=None, progress=iter):
    """The TextScores of a text, read in windows that overlap by this share (None: the config's r_eval_overlap)

    progress: wraps the iteration, for example with a progress bar
    """
    cfg, tokenizer = baby.config, baby.tokenizer
    ids, begin = tokenizer.encode(text), tokenizer.encode(tokenizer.begin)
    if not len(ids):
        raise BadInput("the text has no character that this baby's tokenizer knows")
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


def likelihoods(baby, context, continuations):
    """[(log p (t), whether each token is the likeliest (t)), ...] of continuations (t) of a context (T), all ids

    The context is read once, and each continuation goes on from its cache. Of a context that is too long with a continuation, the
    newest ids that fit are read.
    """
    n_ctx, heads, out = baby.config.n_ctx, {}, []
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
