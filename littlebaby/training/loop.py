"""The training loop: it yields what happens and touches no file, so a notebook plots it live and a test runs it without a disk.

    for event in train(baby, state, train_batches, valid_windows): ...

One step: draw batches, forward and backward in shards, clip, optimizer, the layers' own `after`. Every batch and every dropout
mask is a function of (seed, step, shard), and `State` holds all the rest: a run that goes on from its state is the run that never
stopped. `training/checkpoint.py` makes arrays and numbers of a State: a field added here is saved and restored without another word.
"""
from dataclasses import dataclass, field
from importlib import import_module
from math import isfinite
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from ..arrays import tree
from ..arrays.backend import blas_threads, on_cpu, to_numpy, xp
from ..errors import NotFinite, WorkerLost
from ..inference.generate import before_eos, generate, until_eos
from ..inference.sampling import Sampling
from ..model import gpt
from .clip import clip
from .evaluate import loss_sums, mean_loss
from .mpi import SINGLE_PROCESS
from .parallel import Workers, gradient, shard_gradient, threads, worker_count
from .schedules import multiplier

MOST_SKIPPED = 10  # steps in a row without a finite loss or gradient
FIRST_SCALE = 2.0 ** 16        # fp16: gradients are multiplied with a scale on their way: this, half of it after each overflow,
GROW_AFTER = 2000              # twice after so many good steps in a row


@dataclass
class State:
    """All that a run is, besides its config, its weights and its data: numbers, arrays, and lists and dicts of them"""
    total: int                    # steps it will make
    optimizer: dict
    shards: int = 1               # parts of a batch on a CPU, each with its own dropout: it goes on with as many on any machine,
    ranks: int = 1                # and on as many processes; another number of these takes as many parts as it has cores
    step: int = 0                 # steps done, the skipped ones among them
    tokens: int = 0               # targets learned from
    seconds: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    scale: float = 1.0            # what gradients are multiplied with on their way; 1 but in fp16
    steady: int = 0               # good steps since it last changed
    best_loss: float = float("inf")
    best_step: int = 0
    best_flat: object = None
    waited: int = 0               # evaluations since the best one
    recent: dict = field(default_factory=lambda: no_recent_losses())            # since the last evaluation


def no_recent_losses():
    return dict(loss=0.0, aux=0.0, steps=0, clipped=0, tokens=0, seconds=0.0, load=[])


@dataclass(frozen=True)
class Step:
    step: int
    loss: float                   # of this batch, in nats
    rate: float                   # learning rate
    norm: float                   # of the gradient, before clipping
    skipped: bool
    tokens_per_second: float


@dataclass(frozen=True)
class Evaluation:
    step: int
    tokens: int
    train_loss: float             # the mean since the last evaluation, with dropout
    valid_loss: float | None      # None where there is no validation text: the newest weights then count as the best
    aux_loss: float | None        # the mean of the layers' own losses, None where they have none
    load: list                    # tokens of each expert since the last evaluation, a list per layer
    rate: float
    norm: float                   # of the last step
    clipped: float                # share of the steps since the last evaluation
    skipped: int                  # steps so far
    tokens_per_second: float
    seconds: float
    best: bool
    sample: str


@dataclass(frozen=True)
class Checkpoint:
    """Now is the time to save weights and state"""
    step: int


@dataclass(frozen=True)
class Done:
    reason: str                   # finished | early stop | interrupted
    step: int


def begin(baby, total):
    """The state of a run that has not started"""
    optimizer = import_module(f"{__package__}.optimizers.{baby.config.c_optimizer}")
    scale = FIRST_SCALE if baby.config.d_type == "fp16" else 1.0
    return State(total, optimizer.state(baby.spec, baby.flat.dtype), scale=scale, shards=worker_count(baby.config))


def train(baby, state, batches, valid, stop=lambda: False, begins_with=None, ranks=SINGLE_PROCESS):
    """Train `baby` in place from `state` on; yields Step, Evaluation, Checkpoint and one Done.

    batches: `batches.batch(i)` -> ids, targets (B, T) for i = 0, 1, ...      valid: windows for `evaluate`
    stop: asked after every step      begins_with: ids (1, T) that a live sample goes on from, None for no samples
    ranks: who trains together, each with an equal baby, state, batches and valid; what one is told by `stop` all obey
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
    shard, listen = shard_gradient(workers, grads, spec, p, cfg), loss_sums(workers, baby.p, cfg, valid)
    every = cfg.s_eval or max(1, state.total // 20)
    saved = monotonic()

    def one_step():
        first = state.step * cfg.n_accumulate
        drawn = [tuple(map(xp.asarray, batches.batch(first + i))) for i in range(cfg.n_accumulate)]
        if halved:
            half[...] = baby.flat
        loss, book = gradient(workers, grads, shard, drawn, (cfg.seed, state.step), state.scale)
        norm, coefficient = clip(grads[0], cfg.r_clip)
        state.step += 1
        rate = cfg.r_learn * multiplier(state.step, state.total, cfg)
        fine = all(ranks.allgather(isfinite(loss) and isfinite(norm)))
        if fine:
            try:
                optimizer.step(baby.flat[:trained], grads[0], state.optimizer, spec, cfg, rate, workers)
            except WorkerLost as lost:
                lost.whole = False
                raise
            gpt.post_step(baby.p, book, cfg)
        if halved:
            rescale(state, fine)
        tokens = sum(int((t >= 0).sum()) for _, t in drawn)
        return loss, norm, rate, coefficient < 1, fine, tokens, book

    def measure(rate, norm):
        recent = state.recent
        ranks.sync_weights(baby.flat)
        valid_loss = mean_loss(workers, listen) if len(valid) else None
        better = valid_loss is None or valid_loss < state.best_loss
        state.waited = 0 if better else state.waited + 1
        if better:
            state.best_step, state.best_flat = state.step, baby.flat.copy()
            state.best_loss = float("inf") if valid_loss is None else valid_loss
        steps = max(recent["steps"], 1)
        event = Evaluation(state.step, state.tokens, recent["loss"] / steps, valid_loss, recent["aux"] / steps or None, recent["load"],
                           rate, norm, recent["clipped"] / steps, state.skipped, recent["tokens"] / max(recent["seconds"], 1e-9),
                           state.seconds, better, sample())
        state.recent = no_recent_losses()
        return event

    def sample():
        if begins_with is None or not cfg.n_sample:
            return ""
        eos = baby.require_tokenizer().special_tokens.stops
        ids = generate(baby.p, cfg, begins_with, cfg.n_sample, Sampling(temperature=0.8), np.random.default_rng([cfg.seed, state.step]))
        return baby.decode(before_eos([int(column[0]) for column in until_eos(ids, eos)], eos))

    def over():
        """Why there is no next step, "" where there is one"""
        if cfg.n_patience and state.waited >= cfg.n_patience:
            return "early stop"
        return "finished" if state.step == state.total else ""

    with blas_threads(1 if workers.n > 1 else threads(cfg)):
        try:
            if not state.step:
                yield Checkpoint(0)
            while not (reason := over()):
                clock = perf_counter()
                loss, norm, rate, clipped, fine, tokens, book = one_step()
                seconds = perf_counter() - clock
                state.seconds += seconds
                if fine:
                    state.skipped_in_a_row = 0
                    state.tokens += tokens
                    for name, value in dict(loss=loss, aux=auxiliary_losses(book), steps=1, clipped=clipped, tokens=tokens,
                                            seconds=seconds).items():
                        state.recent[name] += value
                    state.recent["load"] = add_loads(state.recent["load"], expert_loads(book, cfg))
                else:
                    state.skipped += 1
                    state.skipped_in_a_row += 1
                yield Step(state.step, loss, rate, norm, not fine, tokens / seconds)
                if state.skipped_in_a_row >= MOST_SKIPPED:
                    raise NotFinite(not_finite(baby, grads[0], loss, state.step))
                measured = state.step % every == 0 or state.step == state.total
                if measured:
                    yield measure(rate, norm)
                # only now is the state whole: a step and its evaluation are never torn apart
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


def rescale(state, fine):
    """The scale after a step: large, so that half precision holds the small ones among the gradients, but none overflows

    Micikevicius et al. 2017, arXiv:1710.03740.
    """
    state.steady = state.steady + 1 if fine else 0
    if not fine:
        state.scale /= 2
    elif state.steady == GROW_AFTER:
        state.scale, state.steady = 2 * state.scale, 0


def auxiliary_losses(stats):
    """The sum of the losses that the layers have of their own"""
    return sum(float(value) for (_, name), (_, value) in stats.items() if name.startswith("aux."))


def expert_loads(stats, cfg):
    """Tokens of each expert, a list per layer; [] where no layer has experts"""
    load = [to_numpy(stats[i, "load"][1]).tolist() if (i, "load") in stats else [] for i in range(cfg.n_layers)]
    return load if any(load) else []


def add_loads(load, more):
    return [[a + b for a, b in zip(*layers)] for layers in zip(load, more)] if load else more


def not_finite(baby, grad, loss, step):
    """The sentence for a run that cannot go on: which step, and where the first number that is none appeared"""
    bad = [name for name, g in tree.named(baby.spec, grad).items() if not bool(xp.isfinite(g).all())]
    where = f"the gradient of {bad[0]} is the first of {len(bad)} that are not finite" if bad else f"the loss is {loss}"
    return (f"{MOST_SKIPPED} steps in a row had no finite loss or gradient, the last one step {step}: {where}; "
            f"a lower r_learn or a longer s_warmup usually helps")
