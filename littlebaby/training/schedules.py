"""Schedules: the learning rate of a step is r_learn * multiplier(step, total, cfg).

The multiplier rises during W warm-up steps, with W from `s_warmup`:

    "none" 0; "auto" max(10, 2% of the steps); a number of steps; or a fraction of the steps, below 1
    step / (W + 1)    above 0 in step 1, and 1 in step W + 1

Then it decays from 1 towards `r_learn_min`, f, a fraction of r_learn (0.1 ends at a tenth of the rate):

    1 - (1 - f) decayed(x)    x is 0 at the first step of the decay and 1 one step after the last, so the last rate is above 0 even if f = 0

`c_schedule` is constant (no decay), linear, cosine (Loshchilov & Hutter 2017, arXiv 1608.03983), or wsd, warm-up-stable-decay: constant
until the last `s_schedule_decay` steps (0: a fifth of all), then a decay by `c_schedule_decay`, linear or 1-sqrt
(Hu et al. 2024, arXiv 2404.06395; Hägele et al. 2024, arXiv 2405.18392).
"""
from collections.abc import Callable
from math import cos, pi, sqrt
from typing import Any

DECAYED: dict[str, Callable[[float], float]] = {     # fraction of the decay that is done at the fraction x of its time
    "constant": lambda x: 0.0,
    "linear": lambda x: x,
    "cosine": lambda x: (1 - cos(pi * x)) / 2,
    "1-sqrt": sqrt,
}


def warmup(cfg: Any, total: int) -> int:
    """Number of warm-up steps in a run of `total` steps"""
    if cfg.s_warmup == "none":
        return 0
    if cfg.s_warmup == "auto":
        return max(10, round(0.02 * total))
    return round(cfg.s_warmup * total if cfg.s_warmup < 1 else cfg.s_warmup)


def multiplier(step: int, total: int, cfg: Any) -> float:
    """The factor of r_learn at step 1, 2, ..., total; r_learn_min after that"""
    rise = warmup(cfg, total)
    if step <= rise:
        return step / (rise + 1)
    wsd, span = cfg.c_schedule == "wsd", total - rise
    if wsd:
        span = min(span, cfg.s_schedule_decay or round(0.2 * total))
    x = (step - 1 - (total - span)) / max(1, span)
    return 1 - (1 - cfg.r_learn_min) * DECAYED[cfg.c_schedule_decay if wsd else cfg.c_schedule](min(1.0, max(0.0, x)))
