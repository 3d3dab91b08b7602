"""grpo: group relative policy optimization.

    A_i    = (r_i - mean r) / std r                      the mean and the standard deviation of the group
    ratio  = exp(logp - old)
    loss   = -min(ratio A, clip(ratio, 1 - low, 1 + high) A) + r_kl (exp(ref - logp) - (ref - logp) - 1)

The clipping stops the gain of a token whose probability has already changed enough since the samples were drawn; it only matters if
`n_updates` is above 1, because the ratio is 1 in the first update. The last term estimates the KL divergence from the frozen model at the
start (k3 of Schulman 2020): it is never negative, and its mean is the divergence. Its derivative by logp is 1 - exp(ref - logp).

Variants: `b_group_std` false and `c_token_mean` constant give Dr. GRPO (Liu et al. 2025, arXiv:2503.20783); r_clip_high 0.28 and
`c_token_mean` step are two parts of DAPO (Yu et al. 2025, arXiv:2503.14476).
Shao et al. 2024, arXiv:2402.03300.
"""
import numpy as np

OPTIONS = dict(
    r_clip_low=(0.2, "grpo: a token gains nothing more once its probability has fallen by this fraction since the sampling.", (0, 1)),
    r_clip_high=(0.2, "grpo: a token gains nothing more once its probability has risen by this fraction since the sampling.", (0, 100)),
    r_kl=(0.02, "grpo: weight of the KL divergence from the model at the start; 0 lets the model move freely.", (0, 1000)),
    b_group_std=(True, "grpo: divide the advantages of a group by the standard deviation of its rewards."),
    c_token_mean=("sample", "grpo: how the losses of tokens are averaged: in every sample and then over the samples (sample), over all "
                            "tokens of a step (step), or divided by the longest possible answer (constant).",
                  ("sample", "step", "constant")))
EPS = 1e-4      # added to the standard deviation, as in the TRL library


def advantages(rewards, cfg):
    a = rewards - rewards.mean(1, keepdims=True)
    return a / (rewards.std(1, ddof=1, keepdims=True) + EPS) if cfg.b_group_std and rewards.shape[1] > 1 else a


def weights(counted, cfg):
    N = len(counted)
    if cfg.c_token_mean == "sample":
        return counted / (N * np.maximum(counted.sum(1, keepdims=True), 1))
    return counted / (max(counted.sum(), 1) if cfg.c_token_mean == "step" else N * cfg.n_answer)


def token_loss(logp, old, reference, advantage, cfg):
    ratio = np.exp(logp - old)
    gain, bound = ratio * advantage, np.clip(ratio, 1 - cfg.r_clip_low, 1 + cfg.r_clip_high) * advantage
    clipped = bound < gain
    loss, dlogp = -np.minimum(gain, bound), np.where(clipped, 0, -gain)         # d ratio / d logp = ratio
    if cfg.r_kl:
        away = reference - logp
        loss += cfg.r_kl * (np.exp(away) - away - 1)
        dlogp += cfg.r_kl * (1 - np.exp(away))
    return loss, dlogp, clipped
