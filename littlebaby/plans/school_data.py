"""Preparation of a run of `school`: what its model is judged by, the samples or pairs it learns from, and samples before and after."""
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays.backend import on_cpu
from ..errors import BadInput
from ..inference.baby import Baby
from ..runs import records
from ..runs.settings import Config, module_of
from ..runs.store import Workspace
from ..show.formatting import plural
from ..text import nursery
from ..text.special_tokens import prompt_ids
from ..text.tokenizer_helpers import jsonl_rows
from ..training.data import windows
from ..training.loop import State
from ..training.objectives import objective_of
from ..training.parallel import Workers
from ..training.rewards import REWARDS, Reward, RewardModel, name_of
from ..training.rollouts import Pairs, Rollouts, judge_samples
from .judgement import JUDGED, SEED_OF_JUDGED, document_start, draw_prompts, generate_texts, judgement
from .model_io import load
from .process_control import print_to_stderr
from .training_data import TrainingData, training_text


class Schooling(NamedTuple):
    """What a run of `school` learns from"""
    name: str                        # of the reward, or of the file of pairs
    bytes: int
    sha256: str
    characters: int
    text: str                        # the training text of the base, "" if it is gone
    tokens: tuple[int, int]          # its training and validation tokens
    base: Baby
    reward: Reward | None            # None for given pairs
    prompts: list[str]
    pairs: list[tuple[str, str, str]]


def school_source(workspace: Workspace, base: Baby, report: records.Report, cfg: Config, reward: Reward | None, origin: dict) -> Schooling:
    """The Schooling of a base and of the `origin` of a run: dict(prompts=[...], pairs=path or None, ...).

    Raises:
        BadInput: c_reward is function and no function is given, or the pairs or the reward model cannot be used.
    """
    text = training_text(workspace, report) or ""
    if origin["pairs"]:
        file = workspace.read_text(origin["pairs"], origin["encoding"])
        return Schooling(file.name, file.bytes, file.sha256, len(file.text), text, (0, 0), base, None, [],
                         read_pairs(file.name, file.text))
    if origin["reward_model"]:
        name = workspace.resolve(origin["reward_model"], "model")
        reward = RewardModel(name, load(name, workspace.root, reward_model=True))
    if reward is None and cfg.c_reward == "function":
        raise BadInput("c_reward is function, so the run needs its function: lb.school(..., reward=function)")
    about = report.input or records.Input(name="no text", bytes=0, characters=0, sha256="0" * 64)
    counts = report.train_tokens, report.valid_tokens
    return Schooling(about.name, about.bytes, about.sha256, about.characters, text, counts, base, reward or REWARDS[cfg.c_reward],
                     origin["prompts"], [])


def read_pairs(name: str, text: str) -> list[tuple[str, str, str]]:
    """[(prompt, chosen, rejected), ...] of JSONL lines {"prompt": ..., "chosen": ..., "rejected": ...}; a prompt may be missing"""
    found = []
    for number, row in jsonl_rows(text):
        words = [row.get("prompt", ""), row.get("chosen"), row.get("rejected")]
        if not all(isinstance(word, str) for word in words):
            raise BadInput(f"{name}, line {number}: allowed is an object with the texts prompt, chosen and rejected, such as "
                           f'{{"prompt": "", "chosen": "A right story.", "rejected": "A wrong story."}}')
        found.append(tuple(words))
    if not found:
        raise BadInput(f"{name} has no pairs; allowed are lines with the texts prompt, chosen and rejected")
    return found


def school_data(source: Schooling, cfg: Config, tokenizer: Any) -> TrainingData:
    """TrainingData of a Schooling"""
    method = module_of("c_school", cfg.c_school)
    chosen = lambda rng, n: [document_start(tokenizer, prompt) for prompt in draw_prompts(rng, n, source.prompts, cfg.c_reward)]
    first = source.prompts[0] if source.prompts else ""

    def batches(baby: Baby, state: State) -> Rollouts | Pairs:
        if source.pairs:
            pairs = [tuple(pair_row(tokenizer, prompt, text, cfg.n_ctx) for text in (good, bad)) for prompt, good, bad in source.pairs]
            return Pairs(pairs, cfg, None if cfg.b_scalar_head else source.base, Workers(state.shards if on_cpu() else 1))
        assert source.reward
        return Rollouts(baby, state, method, source.reward, chosen, source.base, print_to_stderr)

    empty = windows(np.zeros(0, np.int32), cfg.n_ctx)
    asked = chosen(np.random.default_rng([cfg.seed, SEED_OF_JUDGED]), JUDGED) if source.reward else []
    judging = (lambda baby: judged(baby, source, cfg, asked)) if source.reward else None
    return TrainingData(batches, empty, *source.tokens, characters_per_token=1.0, nats_floor=None, start=prompt_ids(tokenizer, first),
                        prompt=first, stops=(tokenizer.begin,), about=in_words(source, cfg), objective=objective_of(method), judged=judging)


def in_words(source: Schooling, cfg: Config) -> str:
    """What the model learns from and for how long, in two lines"""
    N = cfg.batch_size * cfg.n_accumulate
    if source.pairs:
        what, each = f"{source.name}: {plural(len(source.pairs), 'pair')}, method {cfg.c_school}", plural(cfg.batch_size, "pair")
    else:
        assert source.reward
        what, each = f"reward {name_of(source.reward)}, method {cfg.c_school}", f"{plural(N, 'sample')} of at most {cfg.n_answer} tokens"
    steps = f"{cfg.r_minutes:g} minute{'s' * (cfg.r_minutes != 1)} of steps" if cfg.r_minutes else plural(cfg.n_steps, "step")
    judged = f"\n{JUDGED} samples are judged first, and again at the end" if source.reward else ""
    return f"{what}\n{steps} of {each}{judged}"


def pair_row(tokenizer: Any, prompt: str, text: str, n_ctx: int) -> tuple[np.ndarray, np.ndarray]:
    """ids and targets (t,) of a prompt and one text of a pair with its end, cut to n_ctx tokens; the targets of the prompt are -1"""
    start, answer = document_start(tokenizer, prompt), np.asarray(tokenizer.encode(text + tokenizer.begin))
    ids = np.concatenate([start, answer])[:n_ctx + 1]
    return ids[:-1], np.where(np.arange(1, len(ids)) < len(start), -1, ids[1:])


def with_longest_answer(cfg: Config, tokenizer: Any, prompts: Sequence[str]) -> Config:
    """The config with an n_answer that fits into the window together with every prompt"""
    some = prompts or draw_prompts(np.random.default_rng(0), JUDGED, [], cfg.c_reward)
    room = cfg.n_ctx + 1 - max(len(document_start(tokenizer, prompt)) for prompt in some)
    if room < 1 or cfg.n_answer > room:
        raise BadInput(f"n_answer is {cfg.n_answer}; allowed with the longest prompt and n_ctx, {cfg.n_ctx}, is at most {max(room, 0)}; "
                       f"did you mean {max(room, 0)}?")
    return cfg if cfg.n_answer else cfg.replace(n_answer=room)


def judged(baby: Baby, source: Schooling, cfg: Config, prompts: list[np.ndarray]) -> records.Judgement:
    """The Judgement of texts of a model, the same random numbers before and after"""
    assert source.reward
    drawn = generate_texts(baby, prompts, cfg.n_answer)
    known = nursery.recognize(source.text[:10_000]) if source.text else None
    return judgement(drawn, known.kind if known else "", source.text,
                     judge_samples(source.reward, drawn, cfg.c_unfinished, "skip").rewards)
