"""ggl: balanced gated grouped linear with channel shuffle.

The D channels of a token form G groups of n = D / G, and every group has a gated matrix of its own. Together they cost G times less than
one gated matrix of width D:
    y_g = (x_g a_g) * sigmoid(x_g u_g), g = 1 ... G        y = the first channels of all groups, then the second ones, ...
The shuffle distributes the channels of every group over all groups of the next layer. G is `n_groups_ggl`.

Cost O(B T D 2D / G).  Cache per token 0.
Zhang et al. 2017 (ShuffleNet), arXiv:1707.01083; gates: Dauphin et al. 2016, arXiv:1612.08083.
"""
from ...arrays import full_matrix, glu, matmul
from ...arrays.tree import fused_matrices
from ...errors import not_a_divisor
from ..context import residual_std

OPTIONS = dict(n_groups_ggl=(4, "Number of groups of channels, a divisor of n_emb; more groups take less time and mix fewer channels.",
                             (1, 2**16)))


def params(cfg):
    G = cfg.n_groups_ggl
    n = cfg.n_emb // G
    return dict(a=fused_matrices(n, std=residual_std(cfg), **{f"a{i}": n for i in range(G)}),
                u=fused_matrices(n, **{f"u{i}": n for i in range(G)}))


def forward(p, x, ctx):
    B, T, D = x.shape
    G = ctx.cfg.n_groups_ggl
    n = D // G

    # matrix and gate of every group                             (B, T, D) -> (G, B T, n), with matrices (G, n, n)
    group = lambda w: w.reshape(n, G, n).swapaxes(0, 1)
    xs = x.reshape(B * T, G, n).swapaxes(0, 1)
    (wa, back_wa), (wu, back_wu) = full_matrix(p.a), full_matrix(p.u)
    a, back_a = matmul(xs, group(wa))
    z, back_z = matmul(xs, group(wu))
    y, back_y = glu(a, z)

    # the shuffle                                                (G, B T, n) -> (B T, n, G) -> (B, T, D)
    y, back_drop = ctx.dropout(y.transpose(1, 2, 0).reshape(B, T, D))

    def backward(dy, g):
        da, dz = back_y(back_drop(dy).reshape(B * T, n, G).transpose(2, 0, 1))
        dx_a, dw_a = back_a(da)
        dx_z, dw_z = back_z(dz)

        apart = lambda dw: dw.swapaxes(0, 1).reshape(n, D)       # (G, n, n) -> (n, D)
        g.a += back_wa(apart(dw_a))
        g.u += back_wu(apart(dw_z))
        return (dx_a + dx_z).swapaxes(0, 1).reshape(B, T, D)

    return y, backward


def check(cfg):
    if cfg.n_emb % cfg.n_groups_ggl:
        yield not_a_divisor("n_groups_ggl", cfg.n_groups_ggl, "n_emb", cfg.n_emb)


CASES = [dict(n_groups_ggl=1), dict(n_groups_ggl=2), dict(n_emb=6, n_groups_ggl=2)]
