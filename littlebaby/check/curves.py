"""What the curves of a training mean, and what to change for the next one, in at most three sentences.

    remarks(curve)     the sentences, the most important first; [] where nothing is remarkable

Each rule is a function of a `Curve` that returns a sentence without its capital and its full stop, "" if it does not apply. For a training
that was unstable or learned nothing no rule judges the length, because its end says nothing about that.

A learning rate that decays to 0 flattens every curve. So a flat end is evidence that nothing is left to learn only where the rate was still
high. Where it has decayed, the second half of the training is judged, and as the decay itself lowers the loss, too, the sentence does not
promise that more steps would.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Any

import numpy as np

from ..runs.records import Evaluation
from ..runs.settings import Config

SHORTEST = 20            # steps; a shorter training is judged by its skipped steps alone
SETTLED = 0.2            # the learning rate has decayed if it is below this fraction of its highest value
NOTABLE = 0.02           # a change of the loss, relative, that a reader can see in the chart
LEVEL = 0.005            # a change that no reader can see
CHANCE = 0.95            # of the loss of a guess: a higher loss is that of a guess
GAP = 0.9                # training loss over validation loss, below which the model knows its text better than others
NEAR = 1.03              # times the lowest possible loss: a lower loss is close to it
MOST_CLIPPED = 0.5       # fraction of the steps
HEAVY_TAIL = 2.5         # 95th percentile of the gradient norms over their median; 1.3 to 1.6 in trainings without spikes
USUAL_RATE = 1e-3        # a learning rate with which a small model learns
FP16_SEARCH = 20         # steps that the search for the loss scale of fp16 may skip


@dataclass(frozen=True)
class Curve:
    """The curves of a training that ended, and what they are judged by"""
    rows: Sequence[Evaluation]
    steps: np.ndarray                 # (n, 4): step, loss in nats per token, learning rate, gradient norm before clipping
    cfg: Config
    reason: str = "finished"          # stop_reason of the report
    vocabulary: int = 0               # tokens
    floor: float | None = None        # lowest possible loss, nats per token; None where it is unknown
    frequencies: float | None = None  # loss of a guess by the frequency of each token, nats per token; None where it is unknown

    @cached_property
    def loss(self) -> np.ndarray:
        """(n,) losses of the steps that were not skipped"""
        return self.steps[~self.skipped, 1]

    @cached_property
    def skipped(self) -> np.ndarray:
        """(n,) whether loss or gradient of a step was not finite"""
        return ~np.isfinite(self.steps[:, [1, 3]]).all(1)

    @cached_property
    def at(self) -> np.ndarray:
        """(r,) steps of the evaluations"""
        return np.array([row.step for row in self.rows], float)

    @cached_property
    def train(self) -> np.ndarray:
        """(r,) training losses, the means since the evaluation before"""
        return np.array([np.nan if row.train_loss is None else row.train_loss for row in self.rows], float)

    @cached_property
    def judged(self) -> np.ndarray:
        """(r,) validation losses; without validation text the training losses"""
        valid = np.array([np.nan if row.valid_loss is None else row.valid_loss for row in self.rows], float)
        return valid if np.isfinite(valid).all() else self.train

    @property
    def judged_name(self) -> str:
        return "training loss" if self.judged is self.train else "validation loss"

    @property
    def best(self) -> int:
        """Index of the evaluation with the lowest loss"""
        return int(np.argmin(self.judged))

    @property
    def last_rate(self) -> float:
        """The learning rate of the last step as a fraction of the highest one"""
        rates = self.steps[:, 2]
        return float(rates[-1] / max(rates.max(), 1e-30))


def remarks(curve: Curve) -> list[str]:
    """What the curves of a training mean, in at most three sentences, the most important first"""
    found = [skipped(curve)]
    if len(curve.loss) >= SHORTEST:
        found.append(trouble := unstable(curve) or flat(curve) or clipped(curve))
        if len(curve.rows) > 3 and np.isfinite(curve.judged).all():
            found.append(learned_by_heart(curve) or ("" if trouble else end(curve)))
    return [f"{sentence[0].upper()}{sentence[1:]}." for sentence in found if sentence]


def end(curve: Curve) -> str:
    """What the end of a stable training says about its length"""
    return close_to_floor(curve) or gap_widens(curve) or still_falling(curve) or best_long_ago(curve) or level(curve)


def loss_by_frequency(windows: Any) -> float | None:
    """The loss, in nats per token, of a guess by the frequency of each token among the targets of `windows`, None without windows

    The entropy of a sample is too low, by (tokens that occur - 1) / (2 n) in the mean, which is added (Miller 1955). windows: as for
    `training.evaluate.evaluate`; 2^20 targets are enough.
    """
    if not len(windows):
        return None
    _, first = windows[slice(0, 1)]
    _, targets = windows[slice(0, max(1, 2**20 // first.shape[1]))]
    counts = np.bincount(targets[targets >= 0])
    counts = counts[counts > 0]
    share = counts / max(counts.sum(), 1)
    return float(-(share * np.log(share)).sum() + (len(counts) - 1) / (2 * counts.sum())) if len(counts) else None


# stability

def skipped(curve: Curve) -> str:
    """Steps without a finite loss or gradient. fp16 skips some on purpose, until it has found its loss scale"""
    n, total = int(curve.skipped.sum()), len(curve.steps)
    if not n or curve.cfg.d_type == "fp16" and n <= max(FP16_SEARCH, 0.01 * total):
        return ""
    return f"steps were skipped because their loss or gradient was not finite, {n:,} of {total:,}: use {gentler(curve.cfg)}"


def unstable(curve: Curve) -> str:
    """The training loss rose far above a level that it had reached, for several steps, whether or not it came back. Below the best
    validation loss it may rise, because a text that is learned by heart is cut into other windows in every epoch"""
    found = jump(curve.loss, 5) or jump(curve.loss, max(5, len(curve.loss) // 25))
    if not found or found[1] < min(curve.judged[np.isfinite(curve.judged)], default=0):
        return ""
    low, high, since, peak, back = found
    steps = curve.steps[~curve.skipped, 0]
    after = "" if back is None else f" and came back by step {steps[back]:,.0f}"
    return (f"the training was unstable: its loss rose from {low:.2f} at step {steps[since]:,.0f} to {high:.2f} at step "
            f"{steps[peak]:,.0f}{after}; use {gentler(curve.cfg)}")


def jump(loss: np.ndarray, width: int) -> tuple[float, float, int, int, int | None] | None:
    """The largest rise of the losses (n,) above their lowest value so far, both as medians of `width` steps: (lowest value, highest value,
    index of each, index at which the losses are back near the lowest value or None). None where it is no more than noise.

    The noise of a step is measured by the differences of consecutive steps, which no trend changes.
    """
    blocks = np.median(loss[:len(loss) // width * width].reshape(-1, width), 1)
    blocks = np.concatenate([loss[:1], blocks])                  # the loss before the first update, from which a rise may start
    lowest = np.minimum.accumulate(blocks)
    peak = int(np.argmax(blocks - lowest))
    noise = 1.25 * np.median(np.abs(np.diff(loss))) / 0.954 / np.sqrt(width)      # standard deviation of a median
    if blocks[peak] - lowest[peak] <= max(0.05 * lowest[peak], 7 * noise):
        return None
    since = int(np.argmin(blocks[:peak + 1]))
    back = np.flatnonzero(blocks[peak:] <= lowest[peak] + max(NOTABLE * lowest[peak], 3 * noise))
    place = lambda block: min(max(block * width - width // 2, 0), len(loss) - 1)
    return float(lowest[peak]), float(blocks[peak]), place(since), place(peak), place(peak + int(back[0])) if len(back) else None


def flat(curve: Curve) -> str:
    """The loss is no lower than that of a guess, and does not fall"""
    quarter = max(1, len(curve.loss) // 4)
    second, last = np.median(curve.loss[quarter:2 * quarter]), np.median(curve.loss[-quarter:])
    if last < (1 - NOTABLE) * second or curve.vocabulary < 2:
        return ""
    chance = log(curve.vocabulary)
    advice = (f"raise r_learn, to {max(10 * curve.cfg.r_learn, USUAL_RATE):.1g} for example; if that changes nothing, look for a mistake "
              f"in the text or the settings")
    if last > CHANCE * chance:
        return (f"the model has learned nothing: its loss stayed at {last:.2f}, and a blind guess among {curve.vocabulary:,} tokens has "
                f"{chance:.2f}; {advice}")
    if curve.frequencies and last > CHANCE * curve.frequencies:
        return (f"the model has learned only how frequent each token is: its loss stayed at {last:.2f}, and a guess by frequency has "
                f"{curve.frequencies:.2f}; try r_learn {curve.cfg.r_learn / 10:.1g} and {10 * curve.cfg.r_learn:.1g}")
    return ""


def clipped(curve: Curve) -> str:
    """Most steps of the second half were clipped. For optimizers that divide the gradient by its size that alone is harmless, and shows
    steps that are too large only where the norms differ widely"""
    norms, limit = curve.steps[~curve.skipped, 3], curve.cfg.r_clip
    norms = norms[len(norms) // 2:]
    share = float(np.mean(norms > limit)) if limit else 0.0
    typical, large = np.median(norms), np.quantile(norms, 0.95)
    if share < MOST_CLIPPED or curve.cfg.c_optimizer != "sgd" and large < HEAVY_TAIL * typical:
        return ""
    return (f"the gradient was clipped in {share:.0%} of the steps of the second half (its norm was {typical:.2g} in the median, above "
            f"{large:.2g} in a twentieth of them, and r_clip is {limit:g}): use {gentler(curve.cfg)}")


def gentler(cfg: Config) -> str:
    """The advice for steps that are too large"""
    return f"a lower r_learn, {cfg.r_learn / 3:.1g} for example, or a longer s_warmup"


# the end

def learned_by_heart(curve: Curve) -> str:
    """The validation loss has risen since its lowest value, and the training loss has fallen"""
    best, judged, train = curve.best, curve.judged, curve.train
    if judged is train or not 0 < len(judged) - 1 - best:
        return ""
    ended, trained = judged[best + 1:][-2:].mean(), train[-1]
    if ended < (1 + NOTABLE) * judged[best] or trained > (1 - NOTABLE) * train[best]:
        return ""
    return (f"since step {curve.at[best]:,.0f} the model learns its text by heart: the validation loss rose from {judged[best]:.2f} to "
            f"{judged[-1]:.2f} while the training loss fell to {trained:.2f}; the weights of step {curve.at[best]:,.0f} were kept; "
            f"more text, {more_dropout(curve.cfg)} or fewer steps{'' if curve.cfg.n_patience else ' (n_patience 3)'} would help")


def gap_widens(curve: Curve) -> str:
    """The training loss is far below the validation loss and falls much faster"""
    half = int(np.argmax(curve.at >= curve.at[-1] / 2))
    judged, train = curve.judged, curve.train
    if judged is train or train[-1] > GAP * judged[-1] or train[half] - train[-1] < 2 * (judged[half] - judged[-1]):
        return ""
    return (f"the model begins to learn its text by heart: the training loss fell to {train[-1]:.2f}, the validation loss only to "
            f"{judged[-1]:.2f}; more text or {more_dropout(curve.cfg)} would help more than further steps")


def more_dropout(cfg: Config) -> str:
    """The next larger r_dropout"""
    return f"r_dropout {min(0.5, cfg.r_dropout + 0.1):g}"


def close_to_floor(curve: Curve) -> str:
    """The loss is close to the lowest possible one"""
    loss = curve.judged[curve.best]
    if not curve.floor or loss > NEAR * curve.floor:
        return ""
    return (f"little is left to learn: the {curve.judged_name}, {loss:.3f}, is {max(loss / curve.floor - 1, 0):.1%} above the lowest "
            f"possible loss, {curve.floor:.3f}")


def still_falling(curve: Curve) -> str:
    """The loss fell in the second half so that twice the steps would lower it notably, and it ends at its lowest value"""
    if curve.reason not in ("finished", "time limit") or curve.judged[-1] > (1 + LEVEL) * curve.judged[curve.best]:
        return ""
    gain = gain_of_doubling(curve)
    if gain < NOTABLE * curve.judged[-1]:
        return ""
    half, end = int(np.argmax(curve.at >= curve.at[-1] / 2)), len(curve.at) - 1
    floor = f" (the lowest possible loss is {curve.floor:.2f})" if curve.floor else ""
    fall = (f"the {curve.judged_name} fell from {curve.judged[half]:.2f} at step {curve.at[half]:,.0f} to {curve.judged[end]:.2f} at step "
            f"{curve.at[end]:,.0f}{floor}")
    if curve.last_rate < SETTLED and curve.judged[end - 1] - curve.judged[end] < LEVEL * curve.judged[end]:
        return (f"{fall} and is flat there because the learning rate has decayed, which does not mean that it has converged; a longer "
                f"training, {longer(curve)}, shows whether it goes lower")
    return f"{fall} and is still falling: train longer, with {longer(curve)} for example"


def gain_of_doubling(curve: Curve) -> float:
    """By how much twice the steps would lower the loss, in nats per token, if it goes on falling with the logarithm of the steps as in the
    second half"""
    late = curve.at >= curve.at[-1] / 2
    if late.sum() < 2:
        return 0.0
    slope, _ = np.polyfit(np.log(curve.at[late]), curve.judged[late], 1)
    return float(-slope * log(2))


def longer(curve: Curve) -> str:
    """The setting that makes the training twice as long"""
    cfg = curve.cfg
    if curve.reason == "time limit":
        return f"r_minutes {2 * cfg.r_minutes:g}"
    return f"n_steps {2 * cfg.n_steps}" if cfg.n_steps else f"n_epochs {2 * cfg.n_epochs}"


def best_long_ago(curve: Curve) -> str:
    """The last part of the training, at least 40% of it and four evaluations, brought no better loss"""
    best, last = curve.at[curve.best], curve.at[-1]
    if best > 0.6 * last or len(curve.at) - 1 - curve.best < 4 or curve.reason == "interrupted":
        return ""
    until = "fewer steps" if curve.cfg.n_patience else "fewer steps or n_patience 3"
    return (f"the lowest {curve.judged_name} was at step {best:,.0f}, and the {last - best:,.0f} steps after it brought nothing better: "
            f"{until} would save them")


def level(curve: Curve) -> str:
    """The loss hardly fell in the second half, at a learning rate that has not decayed"""
    late = curve.judged[curve.at >= curve.at[-1] / 2]
    if curve.reason not in ("finished", "time limit") or curve.last_rate < 0.5 or len(late) < 4 \
            or abs(gain_of_doubling(curve)) > NOTABLE * late[-1]:
        return ""
    return ("the loss was level in the second half, at a learning rate that was still high: a rate that decays, c_schedule cosine with "
            "r_learn_min 0, usually lowers the loss more than further steps")
