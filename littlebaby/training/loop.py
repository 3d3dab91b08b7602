"""The training loop: it yields events and uses no files, so a notebook can plot it live and a test can run it without a disk.

    for event in train(baby, state, train_batches, valid_windows): ...

One step: draw batches, forward and backward in shards, clip the gradient, optimizer step, then the layers' `post_step`. Every batch and
every dropout mask is a function of (seed, step, shard), and `State` holds everything else: a run that resumes from its state computes the
same numbers as without the interruption. `training/checkpoint.py` saves and restores every field of State, also ones added later.
"""
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from math import isfinite
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from ..arrays import tree
from ..arrays.backend import blas_threads, on_cpu, to_numpy, xp
from ..errors import NotFinite, WorkerLost
from ..inference.baby import Baby
from ..inference.generate import before_eos, generate, until_eos
from ..inference.sampling import Sampling
from ..model import gpt
from .clip import clip
from .evaluate import loss_sums, mean_loss
from .mpi import SINGLE_PROCESS, Ranks
from .objectives import MEASURE, Objective, next_token
from .parallel import Workers, gradient, shard_gradient, threads, worker_count
from .schedules import multiplier

MOST_SKIPPED = 10  # steps in a row without a finite loss or gradient, after which the run fails
# loss scaling of fp16: the gradients of the backward pass are multiplied by a scale
FIRST_SCALE = 2.0 ** 16        # at the start; halved after a step whose gradient overflowed
GROW_AFTER = 2000              # steps in a row with a finite gradient after which the scale is doubled


@dataclass
class State:
    """The state of a run besides config, weights and data. Its fields are numbers, arrays, and lists and dicts of them"""
    total: int                    # steps of the whole run
    optimizer: dict
    # a batch on a CPU is divided into shards, each with its own dropout mask; a resumed run keeps their number, also on another machine,
    # so that the masks stay the same; only if the number of MPI processes changes is it chosen again: one shard per core
    shards: int = 1
    ranks: int = 1                # MPI processes
    step: int = 0                 # steps so far, including the skipped ones
    tokens: int = 0               # training targets so far
    seconds: float = 0.0          # time spent in steps
    skipped: int = 0              # steps without a finite loss or gradient
    skipped_in_a_row: int = 0
    scale: float = 1.0            # loss scale; always 1 except in fp16
    steady: int = 0               # steps with a finite gradient since the scale last changed
    best_loss: float = float("inf")          # lowest validation loss, nats per token
    best_step: int = 0
    best_flat: Any = None         # the weights at best_step
    waited: int = 0               # evaluations since the best one
    sampled: Any = None           # learning from rewards with n_updates above 1: the weights that drew the newest samples
    measures: dict = field(default_factory=dict)                 # sums of the steps' measures since the last evaluation
    recent: dict = field(default_factory=lambda: no_recent_losses())            # sums since the last evaluation


def no_recent_losses() -> dict[str, Any]:
    """Empty sums for `State.recent`"""
    return dict(loss=0.0, aux=0.0, steps=0, clipped=0, tokens=0, seconds=0.0, load=[])


@dataclass(frozen=True)
class Step:
    """A step has been made"""
    step: int
    loss: float                   # mean of this batch, nats per token
    rate: float                   # learning rate
    norm: float                   # gradient norm before clipping
    skipped: bool                 # loss or gradient was not finite, so the weights were not changed
    tokens_per_second: float
    measures: dict[str, float] = field(default_factory=dict)     # learning from rewards: reward, kl, entropy, ... of this step


@dataclass(frozen=True)
class Evaluation:
    """The validation loss has been computed"""
    step: int
    tokens: int                   # training targets so far
    train_loss: float             # mean since the last evaluation, with dropout, nats per token
    valid_loss: float | None      # nats per token; None without validation text, where the newest weights always count as the best
    aux_loss: float | None        # mean of the layers' auxiliary losses; None if they have none
    load: list                    # tokens routed to each expert since the last evaluation, a list per layer
    rate: float                   # learning rate of the last step
    norm: float                   # gradient norm of the last step before clipping
    clipped: float                # fraction of the steps since the last evaluation whose gradient was clipped
    skipped: int                  # skipped steps so far
    tokens_per_second: float      # since the last evaluation
    seconds: float                # time in steps so far
    best: bool                    # whether this is the lowest validation loss so far
    sample: str                   # generated text
    measures: dict[str, float] = field(default_factory=dict)     # as in Step, the means since the last evaluation
    marks: dict[str, Any] | None = None    # how much of some generated texts is correct, where the caller can judge them


@dataclass(frozen=True)
class Checkpoint:
    """The caller should save weights and state now"""
    step: int


@dataclass(frozen=True)
class Done:
    """The run has ended"""
    reason: str                   # finished, early stop, time limit or interrupted
    step: int


def begin(baby: Baby, total: int) -> State:
    """The state of a run of `total` steps before the first of them"""
    optimizer = import_module(f"{__package__}.optimizers.{baby.config.c_optimizer}")
    scale = FIRST_SCALE if baby.config.d_type == "fp16" else 1.0
    return State(total, optimizer.state(baby.spec, baby.flat.dtype), scale=scale, shards=worker_count(baby.config))


def train(baby: Baby, state: State, batches: Any, valid: Any, stop: Callable[[], bool] = lambda: False, begins_with: Any = None,
          ranks: Ranks = SINGLE_PROCESS, objective: Objective = next_token,
          schedule: Callable[[int, int, Any], float] = multiplier) -> Iterator[Step | Evaluation | Checkpoint | Done]:
    """Train a baby in place from `state` on; yields Step, Evaluation and Checkpoint events, and one Done at the end.

    Args:
        baby: Model; its weights and `state` change.
        state: From `begin`, or restored from a checkpoint.
        batches: `batches.batch(i)` returns ids and targets (B, T), or the arrays of another objective, for i = 0, 1, ...
        valid: Windows for `evaluate`.
        stop: Function that is called after every step; the run ends when it returns True on any rank.
        begins_with: Prompt (1, T) of the sample at every evaluation; None for no samples.
        ranks: MPI processes that train together; the other arguments are equal on all of them.
        objective: What a step minimizes.
        schedule: Function of step, number of steps and settings: the factor of r_learn.

    Raises:
        NotFinite: MOST_SKIPPED steps in a row had no finite loss or gradient.
        WorkerLost: A worker thread did not answer.
    """
    cfg, spec, halved = baby.config, baby.spec, baby.config.d_type == "fp16"
    optimizer = import_module(f"{__package__}.optimizers.{cfg.c_optimizer}")
    if ranks.n != state.ranks:
        state.ranks, state.shards = ranks.n, ranks.broadcast(worker_count(cfg, ranks))
    workers = Workers(state.shards if on_cpu() else ranks.n, ranks)
    trained = tree.size(spec, train=True)
    grads = [xp.zeros(trained, baby.flat.dtype) for _ in range(workers.n)]
    half: Any = xp.zeros(baby.flat.size, xp.float16) if halved else None
    p = tree.views(spec, baby.flat, half)
    shard, sums = shard_gradient(workers, grads, spec, p, cfg, objective), loss_sums(workers, baby.p, cfg, valid)
    every = cfg.s_eval or max(1, state.total // 20)
    saved = monotonic()

    def one_step():
        first = state.step * cfg.n_accumulate
        drawn = [on_device(batches.batch(first + i)) for i in range(cfg.n_accumulate)]
        if halved:
            half[...] = baby.flat
        loss, stats = gradient(workers, grads, shard, drawn, (cfg.seed, state.step), state.scale)
        norm, coefficient = clip(grads[0], cfg.r_clip)
        state.step += 1
        rate = cfg.r_learn * schedule(state.step, state.total, cfg)
        fine = all(ranks.allgather(isfinite(loss) and isfinite(norm)))
        if fine:
            try:
                optimizer.step(baby.flat[:trained], grads[0], state.optimizer, spec, cfg, rate, workers)
            except WorkerLost as lost:
                lost.whole = False
                raise
            gpt.post_step(baby.p, stats, cfg)
        if halved:
            rescale(state, fine)
        tokens = sum(int((targets >= 0).sum()) for _, targets, *_ in drawn)
        return loss, norm, rate, coefficient < 1, fine, tokens, stats

    def measure(rate, norm):
        recent = state.recent
        ranks.sync_weights(baby.flat)
        valid_loss = mean_loss(workers, sums) if len(valid) else None
        better = valid_loss is None or valid_loss < state.best_loss
        state.waited = 0 if better else state.waited + 1
        if better:
            state.best_step, state.best_flat = state.step, baby.flat.copy()
            state.best_loss = float("inf") if valid_loss is None else valid_loss
        steps = max(recent["steps"], 1)
        event = Evaluation(state.step, state.tokens, recent["loss"] / steps, valid_loss, recent["aux"] / steps or None, recent["load"],
                           rate, norm, recent["clipped"] / steps, state.skipped, recent["tokens"] / max(recent["seconds"], 1e-9),
                           state.seconds, better, sample(), {name: total / steps for name, total in state.measures.items()})
        state.recent, state.measures = no_recent_losses(), {}
        return event

    def sample():
        if begins_with is None or not cfg.n_sample:
            return ""
        eos = baby.require_tokenizer().special_tokens.stops
        ids = generate(baby.p, cfg, begins_with, cfg.n_sample, Sampling(temperature=0.8), np.random.default_rng([cfg.seed, state.step]))
        return baby.decode(before_eos([int(column[0]) for column in until_eos(ids, eos)], eos))

    def over():
        """The reason for which the run ends after this step, "" if it continues"""
        if cfg.n_patience and state.waited >= cfg.n_patience:
            return "early stop"
        if cfg.r_minutes and state.seconds >= 60 * cfg.r_minutes:
            return "time limit"
        return "finished" if state.step == state.total else ""

    with blas_threads(1 if workers.n > 1 else threads(cfg)):
        try:
            if not state.step:
                yield Checkpoint(0)
            while not (reason := over()):
                clock = perf_counter()
                loss, norm, rate, clipped, fine, tokens, stats = one_step()
                measures = getattr(batches, "measures", {}) | measures_of(stats)
                seconds = perf_counter() - clock
                state.seconds += seconds
                if fine:
                    state.skipped_in_a_row = 0
                    state.tokens += tokens
                    for name, value in dict(loss=loss, aux=auxiliary_losses(stats), steps=1, clipped=clipped, tokens=tokens,
                                            seconds=seconds).items():
                        state.recent[name] += value
                    state.recent["load"] = add_loads(state.recent["load"], expert_loads(stats, cfg))
                    for name, value in measures.items():
                        state.measures[name] = state.measures.get(name, 0.0) + value
                else:
                    state.skipped += 1
                    state.skipped_in_a_row += 1
                yield Step(state.step, loss, rate, norm, not fine, tokens / seconds, measures)
                if state.skipped_in_a_row >= MOST_SKIPPED:
                    raise NotFinite(not_finite(baby, grads[0], loss, state.step))
                measured = state.step % every == 0 or bool(over())
                if measured:
                    yield measure(rate, norm)
                # a checkpoint comes after the evaluation of its step, so that a resumed run does not miss or repeat the evaluation
                late = cfg.r_checkpoint_minutes and monotonic() - saved >= 60 * cfg.r_checkpoint_minutes
                if late or (state.step % cfg.s_checkpoint == 0 if cfg.s_checkpoint else measured):
                    yield Checkpoint(state.step)
                    saved = monotonic()
                if any(ranks.allgather(bool(stop()))) and not over():
                    reason = "interrupted"
                    break
        finally:
            workers.close()
    yield Done(reason, state.step)


def rescale(state: State, fine: bool) -> None:
    """Update the loss scale after a step (fine: its gradient was finite). The scale is as large as possible, so that small gradients do not
    underflow in half precision, and it is halved when a gradient overflows. Micikevicius et al. 2017, arXiv:1710.03740.
    """
    state.steady = state.steady + 1 if fine else 0
    if not fine:
        state.scale /= 2
    elif state.steady == GROW_AFTER:
        state.scale, state.steady = 2 * state.scale, 0


def auxiliary_losses(stats: dict) -> float:
    """The sum of the layers' auxiliary losses"""
    return sum(float(value) for (_, name), (_, value) in stats.items() if name.startswith("aux."))


def measures_of(stats: dict) -> dict[str, float]:
    """What the objective has reported"""
    return {name.removeprefix(MEASURE): float(value) for (_, name), (_, value) in stats.items() if name.startswith(MEASURE)}


def on_device(arrays: tuple) -> tuple:
    """The arrays of a batch; ids and targets, the first two, on the device"""
    return (*map(xp.asarray, arrays[:2]), *arrays[2:])


def expert_loads(stats: dict, cfg: Any) -> list[list]:
    """Number of tokens routed to each expert, a list per layer; [] if no layer has experts"""
    load = [to_numpy(stats[i, "load"][1]).tolist() if (i, "load") in stats else [] for i in range(cfg.n_layers)]
    return load if any(load) else []


def add_loads(load: list[list], more: list[list]) -> list[list]:
    """The sums of two results of `expert_loads`; the first may be empty"""
    return [[a + b for a, b in zip(*layers)] for layers in zip(load, more)] if load else more


def not_finite(baby: Baby, grad: Any, loss: float, step: int) -> str:
    """The message of NotFinite: the step, and the first weight whose gradient is not finite"""
    bad = [name for name, g in tree.named(baby.spec, grad).items() if not bool(xp.isfinite(g).all())]
    where = f"the gradients of {len(bad)} weights are not finite, the first is {bad[0]}" if bad else f"the loss is {loss}"
    return (f"{MOST_SKIPPED} steps in a row had no finite loss or gradient, the last one step {step}: {where}; "
            f"a lower r_learn or a longer s_warmup usually helps")
