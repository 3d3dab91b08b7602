"""mlp: multilayer perceptron.

A matrix to F dimensions, an activation, and a matrix back to D dimensions:
    y = f(x up + b1) down + b2        f = `c_activation`: gelu, gelu_exact, relu, relu2 or silu

Cost O(B T D F), F = `s_hidden` or `r_hidden` D.  Cache per token 0.
Vaswani et al. 2017, arXiv:1706.03762, with the activation of Radford et al. 2018 (gelu).
"""
from ... import arrays
from ...arrays import linear
from ...arrays.tree import matrix, vector
from ..context import residual_std

OPTIONS = dict(c_activation=("gelu", "Activation function; relu is the fastest.", ("gelu", "gelu_exact", "relu", "relu2", "silu")))


def params(cfg):
    return weights(cfg, cfg.hidden)


def weights(cfg, F):
    D = cfg.n_emb
    p = dict(up=matrix(D, F), down=matrix(F, D, std=residual_std(cfg)))
    return dict(p, b1=vector(F), b2=vector(D)) if cfg.network_bias else p


def forward(p, x, ctx):
    u, back_up = linear(x, p.up, p.get("b1"))                    # (B, T, D) -> (B, T, F)
    a, back_act = getattr(arrays, ctx.cfg.c_activation)(u)
    y, back_down = linear(a, p.down, p.get("b2"))                # (B, T, F) -> (B, T, D)
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        da, ddown, db2 = back_down(back_drop(dy))
        dx, dup, db1 = back_up(back_act(da))

        g.add(up=dup, down=ddown, b1=db1, b2=db2)
        return dx

    return y, backward


CASES = [dict(c_activation=a) for a in ("gelu_exact", "relu", "relu2", "silu")] + [dict(c_bias="none")]
