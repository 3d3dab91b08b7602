"""dpo: direct preference optimization, from pairs of texts of which the first is preferred; no reward is needed.

    margin = (logp_0 - ref_0) - (logp_1 - ref_1)         logp: the sum over the tokens of a text; ref: the same of the model at the start
    dpo    loss = -log sigmoid(r_dpo margin)             Rafailov et al. 2023, arXiv:2305.18290
    ipo    loss = (margin - 1 / (2 r_dpo))^2             with means over the tokens in place of sums; Azar et al. 2023, arXiv:2310.12036

dpo pushes the margin up without end, ever more weakly; ipo stops at a fixed margin, so it cannot overfit pairs that always agree.
"""
import numpy as np

from . import reward_model

OPTIONS = dict(
    r_dpo=(0.1, "dpo: beta; a smaller value lets the model move farther from the model at the start.", (1e-4, 1000)),
    c_dpo=("dpo", "dpo: the loss of a pair, dpo or ipo.", ("dpo", "ipo")))


def pair_loss(logp, reference, lengths, cfg):
    moved = logp - reference                                     # (P, 2)
    if cfg.c_dpo == "dpo":                                       # the loss of a reward model whose reward is r_dpo (logp - ref)
        loss, drewards = reward_model.rank_loss(cfg.r_dpo * moved)
        return loss, cfg.r_dpo * drewards
    scale = 1 / np.maximum(lengths, 1)
    short = (moved * scale) @ np.array([1, -1]) - 0.5 / cfg.r_dpo            # (P, 2) -> (P)
    return short ** 2, 2 * short[:, None] * np.array([1, -1]) * scale
