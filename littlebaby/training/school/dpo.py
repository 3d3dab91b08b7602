"""dpo: direct preference optimization, from pairs of texts of which the first is preferred; no reward is needed.

    margin = (logp_0 - ref_0) - (logp_1 - ref_1)         logp: the sum over the tokens of a text; ref: the same of the model at the start
    dpo    loss = -log sigmoid(r_dpo margin)             Rafailov et al. 2023, arXiv:2305.18290
    ipo    loss = (margin - 1 / (2 r_dpo))^2             with means over the tokens in place of sums; Azar et al. 2023, arXiv:2310.12036

dpo pushes the margin up without end, ever more weakly; ipo stops at a fixed margin, so it cannot overfit pairs that always agree.
"""
import numpy as np

OPTIONS = dict(
    r_dpo=(0.1, "dpo: beta; a smaller value lets the model move farther from the model at the start.", (1e-4, 1000)),
    c_dpo=("dpo", "dpo: the loss of a pair, dpo or ipo.", ("dpo", "ipo")))


def pair_loss(logp, reference, lengths, cfg):
    scale = 1 / np.maximum(lengths, 1) if cfg.c_dpo == "ipo" else np.ones(lengths.shape)
    moved = (logp - reference) * scale                           # (P, 2)
    margin = moved[:, 0] - moved[:, 1]                           # (P)
    if cfg.c_dpo == "ipo":
        loss, dmargin = (margin - 0.5 / cfg.r_dpo) ** 2, 2 * (margin - 0.5 / cfg.r_dpo)
    else:
        loss = np.logaddexp(0, -cfg.r_dpo * margin)              # -log sigmoid
        dmargin = -cfg.r_dpo * np.exp(-loss - cfg.r_dpo * margin)                # d/dx -log sigmoid(x) = -sigmoid(-x)
    return loss, dmargin[:, None] * np.array([1, -1]) * scale
