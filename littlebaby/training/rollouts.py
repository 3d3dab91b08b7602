"""Batches for learning from rewards and preferences: samples of the model, judged; or pairs of texts.

N = batch_size * n_accumulate samples a step in groups of n_per_prompt with the same prompt, P pairs; T: the longest row's length. Like
`data.Batches`, both are functions of the seed, the number of the batch and, for samples, the weights from which they are drawn.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ..arrays import tree
from ..arrays.backend import on_cpu
from ..inference.baby import Baby
from ..inference.generate import before_eos, generate_each
from ..inference.sampling import Sampling
from .chat_data import pad_rows, rows_of_batch
from .loop import State
from .objectives import log_likelihoods
from .parallel import Workers, split_rows
from .rewards import Judged, Reward, judge

PROMPTS, SAMPLES = 4, 5         # branches of the seed, beside those of `data`
SLOW = 10.0                     # seconds of a reward for the samples of one step that are worth a message
ROWS = 8                        # rows of a forward pass of the reference


class Samples(NamedTuple):
    """Texts that the model wrote, each after its prompt"""
    prompts: list[str]            # without what separates documents
    texts: list[str]              # without the prompt and without the end
    ended: np.ndarray             # (N,) whether the text reached its end within n_answer tokens
    ids: list[np.ndarray]         # [(t_i,), ...] prompt and text, with the end
    answer: np.ndarray            # (N,) number of tokens of the prompt


class Sampler:
    """Draws texts from a model with all workers: each takes some of the rows, and the result does not depend on how many there are, apart
    from rounding"""

    def __init__(self, baby: Baby, workers: Workers) -> None:
        self.baby, self.workers, tokenizer = baby, workers, baby.require_tokenizer()
        self.eos = tokenizer.special_tokens.stops
        self.token_texts = [tokenizer.decode([i]) for i in range(tokenizer.size)]
        for i in self.eos:
            self.token_texts[i] = tokenizer.begin
        self.end = tokenizer.begin                               # the text before every document ends the one before it

    def draw(self, p: Any, prompts: Sequence[np.ndarray], max_tokens: int, sampling: Sampling, rngs: Sequence) -> Samples:
        """A text after each of the prompts (t_i,), of at most max_tokens tokens; p: the weights"""
        ends = lambda text: self.end in text
        shares = split_rows(len(prompts), self.workers.n)

        def share(i: int) -> list[np.ndarray]:
            mine = shares[i] if i < len(shares) else slice(0)
            return generate_each(p, self.baby.config, prompts[mine], max_tokens, sampling, rngs[mine], ends, self.token_texts)

        new = [ids for part in self.workers.run(share) for ids in part]
        decode = self.baby.require_tokenizer().decode
        written = [decode(before_eos(ids, self.eos)) for ids in new]
        ended = np.array([self.end in text or len(before_eos(ids, self.eos)) < len(ids) for text, ids in zip(written, new)])
        return Samples([decode(prompt).removeprefix(self.end) for prompt in prompts], [text.split(self.end)[0] for text in written], ended,
                       [np.concatenate([prompt, ids]) for prompt, ids in zip(prompts, new)], np.array([len(each) for each in prompts]))


class Rollouts:
    """The batches of learning from rewards. The first batch of a step draws and judges the samples of the whole step.

    Args:
        baby: The model that learns.
        state: Its state; `sampled` keeps the weights that drew the samples, so that a resumed run draws the same ones.
        method: A module of training/school.
        reward: The reward function.
        prompts: rng, n -> n prompts as ids.
        reference: (n,) the weights at the start.
        tell: Called with a sentence about a reward that fails or is slow, once for each kind.
    """

    def __init__(self, baby: Baby, state: State, method: ModuleType, reward: Reward, prompts: Callable[[Any, int], list[np.ndarray]],
                 reference: Baby, tell: Callable[[str], object] = lambda line: None) -> None:
        self.baby, self.state, self.method, self.reward, self.prompts, self.tell = baby, state, method, reward, prompts, tell
        self.reference, self.cfg = reference, baby.config
        self.workers = Workers(state.shards if on_cpu() else 1)
        self.sampler = Sampler(baby, self.workers)
        self.number = -1                                         # of the samples in `arrays`
        self.arrays: tuple = ()
        self.measures: dict[str, float] = {}                     # of the samples of the newest step
        self.told: set[str] = set()

    def close(self) -> None:
        """End the threads"""
        self.workers.close()

    def batch(self, number: int) -> tuple:
        """The arrays of batch `number` for the method's objective; see training/objectives.py"""
        cfg = self.cfg
        step, part = divmod(number, cfg.n_accumulate)
        if step // cfg.n_updates != self.number:
            self.sample(step // cfg.n_updates, fresh=step % cfg.n_updates == 0)
        rows = split_rows(len(self.arrays[0]), cfg.n_accumulate)
        chosen = rows[part] if part < len(rows) else slice(0)
        return tuple(None if each is None else each[chosen] for each in self.arrays)

    def sample(self, number: int, fresh: bool) -> None:
        """Draw and judge the samples of the steps from number * n_updates on; fresh: from the present weights"""
        cfg, several = self.cfg, self.cfg.n_updates > 1
        if several and fresh:
            self.state.sampled = self.baby.flat.copy()
        p = tree.views(self.baby.spec, self.state.sampled) if several else self.baby.p
        N = cfg.batch_size * cfg.n_accumulate
        n = cfg.n_per_prompt or (2 if hasattr(self.method, "pair_loss") else N)
        prompts = [prompt for prompt in self.prompts(np.random.default_rng([cfg.seed, PROMPTS, number]), N // n) for _ in range(n)]
        rngs = [np.random.default_rng([cfg.seed, SAMPLES, number, i]) for i in range(N)]
        drawn = self.sampler.draw(p, prompts, cfg.n_answer, Sampling(), rngs)
        judged = self.judge(drawn)
        fine = np.isfinite(judged.rewards)                       # (N,)
        mean, std = (judged.rewards[fine].mean(), judged.rewards[fine].std()) if fine.any() else (0.0, 0.0)
        groups = np.where(fine, judged.rewards, mean).reshape(-1, n)
        self.number = number
        lengths = [len(ids) for ids in drawn.ids] - drawn.answer                 # (N,)
        self.measures = dict(reward=float(mean), reward_std=float(std), length=float(lengths.mean()), ended=float(drawn.ended.mean()),
                             distinct=len(set(zip(drawn.prompts, drawn.texts))) / N, failed=float(judged.failed))
        ids, targets = rows_of(drawn)
        if hasattr(self.method, "pair_loss"):
            self.arrays = self.pairs(ids, targets, groups)
            return
        counted = (targets >= 0) & fine[:, None]
        targets = np.where(counted, targets, -1)
        advantage = self.method.advantages(groups, cfg).reshape(N)
        old = likelihoods(self.workers, p, cfg, ids, targets) if several else None
        reference = likelihoods(self.workers, self.reference.p, self.reference.config, ids, targets)
        self.arrays = ids, targets, self.method.weights(counted, cfg), advantage, old, reference

    def judge(self, drawn: Samples) -> Judged:
        """The rewards of samples"""
        judged = judge_samples(self.reward, drawn, self.cfg.c_unfinished, self.cfg.c_reward_failure)
        slow = f"the reward took {judged.seconds:.0f} s for the samples of a step" if judged.seconds > SLOW else ""
        for kind, line in (("failed", judged.message), ("slow", slow)):
            if line and kind not in self.told:
                self.told.add(kind)
                self.tell(f"{line}; this is said once")
        return judged

    def pairs(self, ids: np.ndarray, targets: np.ndarray, rewards: np.ndarray) -> tuple:
        """The arrays of pairs: the samples with the highest and the lowest reward of every group, unless the two are equal"""
        first = np.arange(len(rewards)) * rewards.shape[1]
        pair = np.stack([first + rewards.argmax(1), first + rewards.argmin(1)], 1)[np.ptp(rewards, 1) > 0]       # (P, 2)
        return pair_arrays(self.workers, self.reference, ids[pair], targets[pair])


@dataclass(eq=False)
class Pairs:
    """The batches of learning from given pairs of texts: batch_size pairs each. An epoch has every pair once, in a random order.

    pairs: [(ids and targets of the preferred text, of the other one), ...], (t,) each
    """
    pairs: list
    cfg: Any
    reference: Baby | None        # the model at the start; None for a reward model
    workers: Workers

    def close(self) -> None:
        """End the threads"""
        self.workers.close()

    def batch(self, number: int) -> tuple:
        """The arrays of batch `number` for the objective `preference`"""
        B = self.cfg.batch_size
        ids, targets = pad_rows([text for pair in rows_of_batch(self.pairs, number, B, self.cfg.seed) for text in pair])     # (2 B, T)
        T = ids.shape[1]
        ids, targets = ids.reshape(B, 2, T), targets.reshape(B, 2, T)
        if self.reference is None:
            return ids, targets, np.full(B, 1 / B)
        return pair_arrays(self.workers, self.reference, ids, targets)


def pair_arrays(workers: Workers, reference: Baby, ids: np.ndarray, targets: np.ndarray) -> tuple:
    """The arrays of the objective `preference` from ids and targets (P, 2, T)"""
    P, _, T = ids.shape
    logp = likelihoods(workers, reference.p, reference.config, ids.reshape(-1, T), targets.reshape(-1, T)) if P else np.zeros((0, T))
    return ids, targets, np.full(P, 1 / max(P, 1)), logp.reshape(P, 2, T).sum(-1)


def likelihoods(workers: Workers, p: Any, cfg: Any, ids: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """`log_likelihoods`, computed by all workers"""
    shares = split_rows(len(ids), workers.n)
    parts = workers.run(lambda i: log_likelihoods(p, cfg, ids[shares[i]], targets[shares[i]], ROWS) if i < len(shares) else None)
    return np.concatenate([part for part in parts if part is not None])


def judge_samples(reward: Reward, drawn: Samples, unfinished: str, failures: str) -> Judged:
    """The rewards of samples, nan for those that nothing is learned from; unfinished: as the setting c_unfinished"""
    chosen = np.flatnonzero(drawn.ended | (unfinished == "judge"))
    judged = judge(reward, [drawn.prompts[i] for i in chosen], [drawn.texts[i] for i in chosen], failures)
    rewards = np.full(len(drawn.texts), np.nan if unfinished == "skip" else 0.0)
    rewards[chosen] = judged.rewards
    return judged._replace(rewards=rewards)


def rows_of(drawn: Samples) -> tuple[np.ndarray, np.ndarray]:
    """ids and targets (N, T) of samples; the targets of the prompt are -1"""
    ids, targets = pad_rows([(each[:-1], each[1:]) for each in drawn.ids])
    return ids, np.where(np.arange(ids.shape[1]) < drawn.answer[:, None] - 1, -1, targets)
