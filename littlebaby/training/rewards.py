"""Rewards: functions of a prompt and the text that a model wrote after it, which return a number; more is better.

Those below can be chosen by name, `c_reward`; a notebook may use any function with the same two arguments. `judge` calls a reward on the
samples of a step and copes with one that fails.
"""
import re
from collections.abc import Callable, Sequence
from math import isfinite
from random import Random
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..errors import BadInput
from ..text import stories
from ..text.sums import document
from ..text.sums import judge as judge_sum

Reward = Callable[[str, str], float]
SHORTEST = 6        # sentences of the shortest story of the nursery


def nursery(prompt: str, text: str) -> float:
    """Half the share of the sentences that the nursery's grammar allows after the story so far, out of at least SHORTEST, and half a point
    for a correct story; without this minimum a single correct sentence would be worth half a point"""
    marks = stories.marks(prompt + text + stories.END)
    return (min(marks.sentences, marks.before_mistake / SHORTEST) + marks.stories) / 2 if marks else 0.0


def sums(prompt: str, text: str) -> float:
    """1 for the right answer of a sum, 0 for a wrong one, however it was found; the prompt is the sum up to its question mark"""
    return float(judge_sum(prompt + text).correct)


def format(prompt: str, text: str) -> float:
    """An example of a reward for form: the share of the sentences that begin with a capital letter and have at least three words"""
    sentences = [each.strip(' "') for each in re.findall(r'[^.!?]+[.!?]', text)]
    return sum(each[:1].isupper() and len(each.split()) >= 3 for each in sentences) / len(sentences) if sentences else 0.0


def length(prompt: str, text: str) -> float:
    """An example of a reward for a length: 1 for a text of 200 characters, less for shorter and longer ones, 0 from 400 on"""
    return max(0.0, 1 - abs(len(text) - 200) / 200)


REWARDS: dict[str, Reward] = dict(nursery=nursery, sums=sums, format=format, length=length)
# the prompts that a reward needs, drawn anew for every step; without them every text begins a new document
PROMPTS: dict[str, Callable[[Random], str]] = dict(sums=lambda rng: document(rng)[0].partition("?")[0] + "?")


class Judged(NamedTuple):
    """The rewards of some samples"""
    rewards: np.ndarray       # (N,) float64, nan where there is none
    failed: int               # samples for which the reward raised an exception or returned no finite number
    message: str              # the first failure in words, "" if there is none
    seconds: float            # time that the reward took for all samples


def judge(reward: Reward, prompts: Sequence[str], texts: Sequence[str], failures: str = "stop") -> Judged:
    """The reward of every text.

    Args:
        failures: What follows if the reward raises an exception or returns no finite number: "stop" raises BadInput, "skip" gives the
            sample no reward, so that nothing is learned from it.
    """
    rewards, failed, message, clock = np.full(len(texts), np.nan), 0, "", perf_counter()
    for i, (prompt, text) in enumerate(zip(prompts, texts)):
        try:
            value: Any = reward(prompt, text)
            rewards[i] = float(value)
            wrong = "" if isfinite(rewards[i]) else f"returned {value!r}"
        except Exception as error:
            wrong = f"raised {type(error).__name__}: {error}"
        if not wrong:
            continue
        rewards[i], failed = np.nan, failed + 1
        message = message or f"the reward {name_of(reward)} {wrong} for the text {text[:60]!r}"
        if failures == "stop":
            raise BadInput(f"{message}; it must return a finite number; c_reward_failure skip leaves such samples out")
    return Judged(rewards, failed, message, perf_counter() - clock)


class RewardModel:
    """The reward of a trained reward model: the output of its head after the last token of the text and its end"""

    def __init__(self, name: str, baby: Any) -> None:
        self.__name__, self.baby = name, baby

    def __call__(self, prompt: str, text: str) -> float:
        tokenizer, n_ctx = self.baby.require_tokenizer(), self.baby.config.n_ctx
        ids = tokenizer.encode(tokenizer.begin + prompt + text + tokenizer.begin)[:n_ctx + 1]
        return float(self.baby.logits(ids[:-1])[0, -1, 0])


def name_of(reward: Reward) -> str:
    """The name of a reward function"""
    return getattr(reward, "__name__", type(reward).__name__)
