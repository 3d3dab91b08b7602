"""How the learning rate moves over a run: up in the warm-up, then down by the shape of `c_schedule`.

    constant    1
    linear      1 -> m                     m = r_learn_min, the floor as a fraction of r_learn
    cosine      m + (1 - m) (1 + cos pi f) / 2,  f the done fraction        Loshchilov & Hutter 2017, arXiv:1608.03983
    wsd         1, then in the last s_decay steps down to m: linear, or 1 - sqrt f        Hu et al. 2024, arXiv:2404.06395
Update number `step` counts from 1 and never has a multiplier of 0 by its warm-up: step / s_warmup for step <= s_warmup.
"""
from math import cos, pi, sqrt


def warmup(cfg, total):
    """The warm-up in steps: s_warmup none | auto (2% of the steps, at least 10) | a number of steps | a fraction of them"""
    if cfg.s_warmup == "none":
        return 0
    if cfg.s_warmup == "auto":
        return max(10, round(0.02 * total))
    return round(cfg.s_warmup * total) if 0 < cfg.s_warmup < 1 else int(cfg.s_warmup)


def multiplier(step, total, cfg):
    """What r_learn is multiplied with at update number `step` (1, 2, ... total)"""
    warm = warmup(cfg, total)
    if step <= warm:
        return step / warm
    low = cfg.r_learn_min
    done = min(1.0, (step - warm) / max(1, total - warm))
    if cfg.c_schedule == "linear":
        return 1 + (low - 1) * done
    if cfg.c_schedule == "cosine":
        return low + (1 - low) * (1 + cos(pi * done)) / 2
    if cfg.c_schedule == "wsd":
        decay = cfg.s_decay or max(1, round(0.2 * total))
        done = max(0.0, (step - (total - decay)) / decay)
        return 1 + (low - 1) * (sqrt(done) if cfg.c_decay == "1-sqrt" else done)
    return 1.0
