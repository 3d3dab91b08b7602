"""Methods of learning from rewards and preferences, one file each; the setting `c_school` chooses one.

A method that learns from rewards judges samples of the model. N samples are G groups of n samples of the same prompt, and T is the length
of the longest one. The file has

    advantages(rewards, cfg)    (G, n) -> (G, n): how much better each sample is than the others of its group
    weights(counted, cfg)       (N, T) whether a token belongs to the answer -> (N, T) its weight in the loss
    token_loss(logp, old, reference, advantage, cfg)    (b, T) each -> loss, d loss / d logp, clipped, all (b, T)

where logp is the log-probability of each token, `old` that of the model that sampled it, and `reference` that of the frozen model at the
start. The loss of a step is the sum of weights * loss over all tokens.

A method that learns from preferences compares P pairs of texts, of which the first is preferred:

    pair_loss(logp, reference, lengths, cfg)    (P, 2) sums over the tokens of each text -> loss (P,), d loss / d logp (P, 2)
    rank_loss(rewards)                          of a reward model: (P, 2) its outputs -> loss (P,), d loss / d rewards (P, 2)
"""
