"""muonclip: muon, and no head that shouts.

Under muon queries and keys can grow together until a softmax hears one token only. After muon's step, a head whose largest score S has
passed c = `qk_clip` is held back, just so far that what it said in this step would have been c:

    W <- muon's step
    gamma = min(1, c / S)                S over the step's texts and all pairs of tokens that look at each other, after rope
    wq <- sqrt(gamma) wq                 both of mha, moh and swh, and of a head's own key in mla and hybrid; the scores shrink by gamma
    wk <- sqrt(gamma) wk
    wq <- gamma wq                       alone where heads share a key: gqa, swa and the turned part of mla

Momentum knows nothing of it. Attentions without such scores learn as with muon. Watching them costs one product of queries and keys more
in each layer's forward. One number remembered per weight of a matrix.
Kimi Team 2025, arXiv 2507.20534.
"""
from . import muon
from .muon import state, step

__all__ = ["state", "step"]

OPTIONS = dict(muon.OPTIONS, qk_clip=(100.0, "Largest attention score of a head: beyond it the head's query and key weights are scaled "
                                             "down.", (0.01, 10**6)))
NEEDS_SCORES = True      # the training loop records the largest attention score of each head
