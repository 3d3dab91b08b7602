"""Texts that a model writes at one moment, judged: how many are correct, how different they are, what they copy.

Each text begins a new document. N: number of texts.
"""
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np

from ..arrays.backend import blas_threads, on_cpu
from ..inference.baby import Baby
from ..inference.sampling import Sampling
from ..runs import records
from ..text import nursery
from ..text.overlap import copied_share, longest
from ..text.special_tokens import prompt_ids
from ..training.parallel import Workers, worker_count
from ..training.rewards import PROMPTS
from ..training.rollouts import Sampler, Samples

JUDGED = 200                # texts that are judged at the end of a run
FEWER = 64                  # at each evaluation
TEMPERATURE = 0.8           # of these texts, that of inference
SHOWN = 3                   # of them are in the report
SEED_OF_JUDGED = 6          # branch of the seed


def document_start(tokenizer: Any, prompt: str) -> np.ndarray:
    """(t,) ids of a prompt at the beginning of a document"""
    if tokenizer.special_tokens.prefix or not prompt:
        return prompt_ids(tokenizer, prompt)
    return np.asarray(tokenizer.encode(tokenizer.begin + prompt))


def draw_prompts(rng: np.random.Generator, n: int, prompts: Sequence[str], about: str) -> list[str]:
    """n of the prompts that were given, or else n of those that a reward or a kind of nursery, `about`, needs; "" begins a new document"""
    if prompts:
        return [prompts[i] for i in rng.choice(len(prompts), n, replace=n > len(prompts))]
    draw = PROMPTS.get(about, lambda _: "")
    return [draw(Random(int(rng.integers(2**63)))) for _ in range(n)]


def generate_texts(baby: Baby, prompts: Sequence[np.ndarray], max_tokens: int) -> Samples:
    """A text after each of the prompts (t_i,); a run always uses the same random numbers, so that its models can be compared"""
    workers, seed = Workers(worker_count(baby.config) if on_cpu() else 1), baby.config.seed
    try:
        with blas_threads(1 if workers.n > 1 else None):
            rngs = [np.random.default_rng([seed, SEED_OF_JUDGED, i]) for i in range(len(prompts))]
            return Sampler(baby, workers).draw(baby.p, prompts, max_tokens, Sampling(temperature=TEMPERATURE), rngs)
    finally:
        workers.close()


def nursery_texts(baby: Baby, kind: str, n: int) -> Samples:
    """n documents of this kind of nursery as the model writes them, each at most as long as its window permits"""
    tokenizer = baby.require_tokenizer()
    prompts = [document_start(tokenizer, prompt) for prompt in draw_prompts(np.random.default_rng(baby.config.seed), n, [], kind)]
    return generate_texts(baby, prompts, max(1, baby.config.n_ctx + 1 - max(map(len, prompts))))


def marks(drawn: Samples, kind: str) -> records.Marks | records.SumMarks | None:
    """How much of the texts of this kind of nursery is correct; None where they have no sentence"""
    found = nursery.module_of(kind).marks(page(whole(drawn)))
    return records.MARKS[kind](**found._asdict()) if found else None


def page(texts: Sequence[str]) -> str:
    """The texts, each with the end of a document"""
    return "".join(f"{text}{nursery.END}" for text in texts)


def whole(drawn: Samples) -> list[str]:
    """The texts with their prompts"""
    return [prompt + text for prompt, text in zip(drawn.prompts, drawn.texts)]


def judgement(drawn: Samples, kind: str, source: str, rewards: np.ndarray | None = None) -> records.Judgement:
    """The record of judged texts.

    Args:
        kind: That of the nursery from which the training text is, "" for none.
        source: Training text, "" where it is gone.
        rewards: (N,), nan for none.
    """
    texts = whole(drawn)
    fine = rewards[~np.isnan(rewards)] if rewards is not None else np.zeros(0)
    return records.Judgement(
        samples=len(texts), temperature=TEMPERATURE, reward=float(fine.mean()) if len(fine) else None,
        reward_std=float(fine.std()) if len(fine) else None, ended=float(drawn.ended.mean()),
        length=float(np.mean([len(ids) for ids in drawn.ids] - drawn.answer)), distinct=len(set(texts)) / len(texts),
        longest_overlap=len(longest("\0".join(texts), source)) if source else None,
        copied_share=copied_share(page(texts), source) if source else None,
        marks=marks(drawn, kind) if kind else None, texts=texts[:SHOWN])
