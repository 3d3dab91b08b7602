"""layernorm: layer normalization.

Subtract the mean of a token's D numbers, divide by their standard deviation, then scale and shift each dimension:
    y = w (x - mean) / sqrt(var + eps) + b        eps = `norm_eps`

Cost O(B T D).  Cache per token 0.
Ba et al. 2016, arXiv:1607.06450.
"""
from ...arrays import layernorm
from ...arrays.tree import vector

EPS = 1e-5       # the eps if norm_eps is 0


def params(cfg):
    return dict(w=vector(cfg.n_emb, 1.0), b=vector(cfg.n_emb))


def forward(p, x, ctx):
    y, back = layernorm(x, p.w, p.b, ctx.cfg.norm_eps)

    def backward(dy, g):
        dx, dw, db = back(dy)
        g.w += dw
        g.b += db
        return dx

    return y, backward
