"""Schedules: the learning rate of a step is r_learn * multiplier(step, total, cfg).

It rises during W warm-up steps, W from `s_warmup`:

    "none" 0; "auto" max(10, 2% of the steps); a number of steps; or a fraction of the steps, below 1
    step / (W + 1)    so that step 1 already learns and step W + 1 has the whole rate

and then falls from 1 towards the floor f, `r_learn_min`, given as a fraction of r_learn (0.1 ends at a tenth of the rate):

    1 - (1 - f) fallen(x)    x = 0 at the first step of the fall, 1 one step after the last: with f = 0 the last step still learns

`c_schedule` says how: constant (does not fall), linear, cosine (Loshchilov & Hutter 2017, arXiv 1608.03983), or wsd, warm-up-stable-
decay: constant until the last `s_schedule_decay` steps (0: a fifth of all), then by `c_schedule_decay`, linear or 1-sqrt
(Hu et al. 2024, arXiv 2404.06395; Hägele et al. 2024, arXiv 2405.18392).
"""
from math import cos, pi, sqrt

FALLEN = {                           # how much of the way down is behind us at the share x of the time
    "constant": lambda x: 0.0,
    "linear": lambda x: x,
    "cosine": lambda x: (1 - cos(pi * x)) / 2,
    "1-sqrt": sqrt,
}


def warmup(cfg, total):
    """The number of warm-up steps in a run of total steps"""
    if cfg.s_warmup == "none":
        return 0
    if cfg.s_warmup == "auto":
        return max(10, round(0.02 * total))
    return round(cfg.s_warmup * total if cfg.s_warmup < 1 else cfg.s_warmup)


def multiplier(step, total, cfg):
    """What to multiply r_learn with at step 1, 2, ..., total; from then on the floor"""
    rise = warmup(cfg, total)
    if step <= rise:
        return step / (rise + 1)
    wsd, span = cfg.c_schedule == "wsd", total - rise
    if wsd:
        span = min(span, cfg.s_schedule_decay or round(0.2 * total))
    x = (step - 1 - (total - span)) / max(1, span)
    return 1 - (1 - cfg.r_learn_min) * FALLEN[cfg.c_schedule_decay if wsd else cfg.c_schedule](min(1.0, max(0.0, x)))
