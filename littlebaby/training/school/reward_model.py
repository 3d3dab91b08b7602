"""reward_model: a GPT whose head gives one number, the reward of a text, learned from pairs of which the first is preferred.

    p(0 is preferred to 1) = sigmoid(r_0 - r_1)         loss = -log sigmoid(r_0 - r_1)

r is the output of the head where the last token of a text is predicted. The loss depends on differences only, so a constant may be added
to all rewards. The head starts at 0: every text has the same reward, and the loss is log 2.
Bradley & Terry 1952; Christiano et al. 2017, arXiv:1706.03741; Ouyang et al. 2022, arXiv:2203.02155.
"""
import numpy as np


def rank_loss(rewards):
    """rewards (P, 2) -> loss (P,), d loss / d rewards (P, 2)"""
    margin = rewards[:, 0] - rewards[:, 1]                       # (P)
    loss = np.logaddexp(0, -margin)
    return loss, -np.exp(-loss - margin)[:, None] * np.array([1, -1])        # d/dx -log sigmoid(x) = -sigmoid(-x)
