"""bestof: rejection sampling. The best samples of every group are training text, the others are left out.

    A_i = 1 / r_best for the fraction r_best of the group with the highest rewards, 0 for the others
    loss = -A logp, the mean over all tokens of the answers

A group whose rewards are all equal has no best samples, so nothing is learned from it.
Dong et al. 2023 (RAFT), arXiv:2304.06767; Touvron et al. 2023 (Llama 2), arXiv:2307.09288, section 3.2.3.
"""
import numpy as np

from .reinforce import token_loss

OPTIONS = dict(r_best=(0.25, "bestof: fraction of the samples of a group that the model is trained on.", (0.001, 1)))


def advantages(rewards, cfg):
    n = rewards.shape[1]
    kept = max(1, round(cfg.r_best * n))
    a = np.zeros_like(rewards)
    best = np.argsort(-rewards, 1, kind="stable")[:, :kept]
    np.put_along_axis(a, best, n / kept, 1)
    return a * (np.ptp(rewards, 1) > 0)[:, None]


def weights(counted, cfg):
    return counted / max(counted.sum(), 1)


__all__ = ["advantages", "token_loss", "weights"]
