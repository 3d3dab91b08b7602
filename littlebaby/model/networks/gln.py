"""gln: gated linear.

There is no hidden layer: one matrix, and a second one that computes a gate, 0 to 1, for each of its outputs.
    y = (x w + b) * sigmoid(x u + c)        without `b_network_gate`: y = x w + b

Cost O(B T D 2D).  Cache per token 0.
Dauphin et al. 2016, arXiv:1612.08083.
"""
from ...arrays import glu, linear
from ...arrays.tree import matrix, vector
from ..context import residual_std

OPTIONS = dict(b_network_gate=(True, "Multiply the output by a sigmoid gate; without it gln is one linear layer, and nft has no gate."))


def params(cfg):
    D = cfg.n_emb
    p = dict(w=matrix(D, D, std=residual_std(cfg)))
    if cfg.b_network_gate:
        p["u"] = matrix(D, D)
    if cfg.network_bias:
        p |= dict(b=vector(D), c=vector(D)) if cfg.b_network_gate else dict(b=vector(D))
    return p


def forward(p, x, ctx):
    a, back_a = linear(x, p.w, p.get("b"))                       # (B, T, D) -> (B, T, D)
    y, back_gate = gate(p, x, a) if ctx.cfg.b_network_gate else (a, lambda dy, g: (dy, 0))
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        da, dx = back_gate(back_drop(dy), g)
        dx_a, dw, db = back_a(da)

        g.add(w=dw, b=db)
        return dx_a + dx

    return y, backward


def gate(p, x, a):
    """a * sigmoid(x u + c); its backward returns da and the gate's part of dx"""
    z, back_z = linear(x, p.u, p.get("c"))
    y, back_y = glu(a, z)

    def backward(dy, g):
        da, dz = back_y(dy)
        dx, du, dc = back_z(dz)

        g.add(u=du, c=dc)
        return da, dx

    return y, backward


CASES = [dict(c_bias="none"), dict(b_network_gate=False), dict(b_network_gate=False, c_bias="none")]
