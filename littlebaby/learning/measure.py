"""Measures: how well a baby foresees a text, and how often the right answer is the one it finds likeliest.

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
from math import exp, inf, log, sqrt

import numpy as np

from ..errors import BadInput
from .data import windows
from .evaluate import evaluate
from .generate import Reader
from .parallel import Workers, how_many


@dataclass(frozen=True)
class Foresight:
    """How well a text was foreseen"""
    tokens: int
    words: int
    characters: int
    bytes: int
    nats: float                    # of the whole text
    perplexity_per_token: float
    perplexity_per_word: float
    bits_per_byte: float
    bits_per_character: float


@dataclass(frozen=True)
class Accuracy:
    accuracy: float
    error: float                   # standard error


@dataclass(frozen=True)
class Choices:
    """How a multiple choice went"""
    questions: int
    chance: float
    raw: Accuracy
    per_token: Accuracy
    per_character: Accuracy


@dataclass(frozen=True)
class Cloze:
    """How often targets were written word for word"""
    questions: int
    exact: Accuracy
    perplexity_per_token: float
    perplexity_per_word: float


def accuracy(right):
    share = sum(right) / len(right)
    return Accuracy(share, sqrt(share * (1 - share) / len(right)))


def power(nats):
    return exp(nats) if nats < 700 else inf


def foresight(baby, text, overlap=None, watch=iter):
    """A Foresight of a text, read in windows that overlap by this share (None: the config's r_overlap)

    watch: what goes through the parts of the work, such as a progress bar
    """
    cfg, tokenizer = baby.config, baby.tokenizer
    ids, begin = tokenizer.encode(text), tokenizer.encode(tokenizer.begin)
    if not len(ids):
        raise BadInput("the text has nothing that this baby's tokenizer knows")
    begin = begin[-cfg.n_ctx:]
    views = windows(np.concatenate([begin, ids]), cfg.n_ctx, 0, cfg.r_overlap if overlap is None else overlap, len(begin))
    workers, nats, part = Workers(how_many(cfg)), 0.0, how_many(cfg) * cfg.batch_size
    try:
        for first in watch(range(0, len(views), part)):
            here = replace(views, chosen=views.chosen[first:first + part])
            nats += evaluate(workers, baby.p, cfg, here) * int((here[:][1] >= 0).sum())
    finally:
        workers.close()
    heard = tokenizer.decode(ids)
    words, size = len(heard.split()), len(heard.encode())
    return Foresight(len(ids), words, len(heard), size, nats, power(nats / len(ids)), power(nats / max(words, 1)), nats / log(2) / size,
                     nats / log(2) / len(heard))


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


def score(baby, items, watch=iter):
    """(Choices or None, Cloze or None) of items, each with context, choices and the number of the answer"""
    tokenizer, chosen, clozes, chances = baby.tokenizer, [], [], []
    for item in watch(items):
        context = tokenizer.encode(item.context or tokenizer.begin)
        if not len(context):
            context = tokenizer.encode(tokenizer.begin)
        found = likelihoods(baby, context, [tokenizer.encode(choice) for choice in item.choices])
        if len(found) == 1:
            clozes.append((-found[0][0].sum(), len(found[0][0]), found[0][1].all()))
            continue
        raw = np.array([logp.sum() for logp, _ in found])
        tokens = np.array([len(logp) for logp, _ in found])
        characters = np.array([max(1, len(choice.lstrip())) for choice in item.choices])
        chosen.append([values.argmax() == item.answer for values in (raw, raw / tokens, raw / characters)])
        chances.append(1 / len(found))
    choices = Choices(len(chosen), sum(chances) / len(chances), *map(accuracy, zip(*chosen))) if chosen else None
    nats, tokens, exact = zip(*clozes) if clozes else ((), (), ())
    cloze = Cloze(len(clozes), accuracy(exact), power(sum(nats) / sum(tokens)), power(sum(nats) / len(clozes))) if clozes else None
    return choices, cloze
