"""learned: a learned vector for every position.

The vector of its position is added to every token vector:
    y_t = x_t + table_t        t counted from `ctx.start`

Cost O(B T D).  Cache per token 0.  There are no vectors for positions from `n_ctx` on.
Gehring et al. 2017, arXiv:1705.03122; Radford et al. 2018.
"""
from ...arrays import embedding
from ...arrays.backend import xp
from ...arrays.tree import table


def params(cfg):
    return dict(table=table(cfg.n_ctx, cfg.n_emb))


def forward(p, x, ctx):
    positions = xp.arange(ctx.start, ctx.start + x.shape[1])
    vectors, back = embedding(positions, p.table)                # (T) -> (T, D)

    def backward(dy, g):
        g.table += back(dy.sum(0))
        return dy

    return x + vectors, backward
