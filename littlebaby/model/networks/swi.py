"""swi: SwiGLU, a gated perceptron.

One half of the hidden layer is a gate for the other half:
    y = (silu(x gate + bg) * (x up + bu)) down + bd        silu(a) = a sigmoid(a)

Cost O(B T D 3F), F = `s_hidden` or `r_hidden` D.  Cache per token 0.
Shazeer 2020, arXiv:2002.05202.
"""
from ...arrays import linear, swiglu
from ...arrays.backend import xp
from ...arrays.tree import fused_matrices, fused_vectors, matrix, vector
from ..context import residual_std


def params(cfg):
    return weights(cfg, cfg.hidden)


def weights(cfg, F):
    D = cfg.n_emb
    p = dict(wide=fused_matrices(D, gate=F, up=F), down=matrix(F, D, std=residual_std(cfg)))
    return dict(p, bwide=fused_vectors(bgate=F, bup=F), bdown=vector(D)) if cfg.network_bias else p


def forward(p, x, ctx):
    F = p.down.shape[0]
    z, back_wide = linear(x, p.wide, p.get("bwide"))             # (B, T, D) -> (B, T, 2F)
    u, back_act = swiglu(z[..., :F], z[..., F:])                 # (B, T, 2F) -> (B, T, F)
    y, back_down = linear(u, p.down, p.get("bdown"))             # (B, T, F) -> (B, T, D)
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        du, ddown, dbdown = back_down(back_drop(dy))
        dx, dwide, dbwide = back_wide(xp.concatenate(back_act(du), -1))

        g.add(wide=dwide, down=ddown, bwide=dbwide, bdown=dbdown)
        return dx

    return y, backward


CASES = [dict(c_bias="all"), dict(c_bias="none"), dict(c_bias="none", b_bias_network=True), dict(s_hidden=5)]
