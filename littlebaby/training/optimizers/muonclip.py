"""muonclip: muon with clipped attention scores.

After muon's step, the query and key weights of a head whose largest attention score S exceeds c = `qk_clip` are scaled down so that the
score would have been c. With muon alone, queries and keys can grow together until the softmax gives nearly all weight to one token.

    W <- muon's step
    gamma = min(1, c / S)                S: the maximum over the step's batch and all pairs of tokens in the mask, after rope
    wq <- sqrt(gamma) wq                 in mha, moh, swh, and in mla and hybrid for the part that is not rotated, where heads share no key
    wk <- sqrt(gamma) wk
    wq <- gamma wq                       where heads share a key, and only wq: in gqa, swa, and in mla and hybrid for the rotated part

The momentum is not scaled. Attentions without such scores are trained as with muon. Measuring S costs one more product of queries and
keys in every layer's forward pass. State: two numbers per weight, of which matrices use one.
Kimi Team 2025, arXiv 2507.20534.
"""
from . import muon
from .muon import state, step

__all__ = ["state", "step"]

OPTIONS = dict(muon.OPTIONS, qk_clip=(100.0, "Largest attention score of a head: beyond it the head's query and key weights are scaled "
                                             "down.", (0.01, 10**6)))
NEEDS_SCORES = True      # the training loop records the largest attention score of each head
