"""reinforce: policy gradient with a baseline.

The mean reward J of the model's samples grows along its gradient, which needs no derivative of the reward:

    dJ = mean_i A_i sum_t d logp_it         A_i = r_i - mean of the other rewards in the group

The baseline, the mean of the others, does not depend on sample i, so it changes the variance of the gradient and not its mean.
Williams 1992; leave-one-out baseline: Kool et al. 2019, Ahmadian et al. 2024, arXiv:2402.14740.
"""
import numpy as np


def advantages(rewards, cfg):
    n = rewards.shape[1]
    return (rewards - rewards.mean(1, keepdims=True)) * (n / max(n - 1, 1))      # = r_i - mean of the others


def weights(counted, cfg):
    return counted / len(counted)


def token_loss(logp, old, reference, advantage, cfg):
    return -advantage * logp, -advantage, np.zeros(logp.shape, bool)
