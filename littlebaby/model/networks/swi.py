"""swi: SwiGLU, a gated perceptron.

One half of the hidden layer is a gate for the other half:
    y = (f(x gate + bg) * (x up + bu)) down + bd        f = `c_gate_activation`: silu(a) = a sigmoid(a), gelu (GEGLU) or relu (ReGLU)

Cost O(B T D 3F), F = `s_hidden` or `r_hidden` D.  Cache per token 0.
Shazeer 2020, arXiv:2002.05202.
"""
from ... import arrays
from ...arrays import linear, swiglu
from ...arrays.backend import xp
from ...arrays.tree import fused_matrices, fused_vectors, matrix, vector
from ..context import residual_std

OPTIONS = dict(c_gate_activation=("silu", "swi: activation function of the gate: silu is SwiGLU, gelu GEGLU, relu ReGLU.",
                                  ("gelu", "gelu_exact", "relu", "silu")))


def params(cfg):
    return weights(cfg, cfg.hidden)


def weights(cfg, F):
    D = cfg.n_emb
    p = dict(wide=fused_matrices(D, gate=F, up=F), down=matrix(F, D, std=residual_std(cfg)))
    return dict(p, bwide=fused_vectors(bgate=F, bup=F), bdown=vector(D)) if cfg.network_bias else p


def forward(p, x, ctx):
    F = p.down.shape[0]
    z, back_wide = linear(x, p.wide, p.get("bwide"))             # (B, T, D) -> (B, T, 2F)
    u, back_act = gated(z[..., :F], z[..., F:], ctx.cfg.c_gate_activation)       # (B, T, 2F) -> (B, T, F)
    y, back_down = linear(u, p.down, p.get("bdown"))             # (B, T, F) -> (B, T, D)
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        du, ddown, dbdown = back_down(back_drop(dy))
        dx, dwide, dbwide = back_wide(xp.concatenate(back_act(du), -1))

        g.add(wide=dwide, down=ddown, bwide=dbwide, bdown=dbdown)
        return dx

    return y, backward


def gated(a, b, activation):
    """f(a) b, and backward: dy -> da, db"""
    if activation == "silu":
        return swiglu(a, b)                                      # as below, in one function
    u, back_act = getattr(arrays, activation)(a)
    return u * b, lambda dy: (back_act(dy * b), dy * u)


CASES = [*(dict(c_gate_activation=activation, c_bias="all") for activation in ("gelu", "gelu_exact", "relu")), dict(c_bias="all"),
         dict(c_bias="none"), dict(c_bias="none", b_bias_network=True), dict(s_hidden=5)]
