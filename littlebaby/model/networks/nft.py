"""nft: network-free transformer.

Instead of a feed-forward network there is a second attention: the running mean of aft, with a gate (`b_network_gate`).
    e = exp(clip(x wk, +-20))        m_t = sum_{j<=t} e_j v_j / sum_{j<=t} e_j        y = (m * sigmoid(x wq)) wo        v = x wv
It has a state, so its decoding is checked like that of an attention.

Cost O(B T D (4D + C)), C = 64 the block size.  Cache per token 0, plus a state of 2 D numbers.
The Little Baby; Zhai et al. 2021, arXiv:2105.14103.  `c_bias` all has the effect of out.
"""
from ...arrays import glu, linear, running_mean
from ...arrays.backend import xp
from ...arrays.tree import fused_matrices, matrix, vector
from ..context import residual_std
from . import gln

OPTIONS = gln.OPTIONS


def params(cfg):
    D = cfg.n_emb
    wide = fused_matrices(D, wk=D, wv=D, wq=D) if cfg.b_network_gate else fused_matrices(D, wk=D, wv=D)
    p = dict(wide=wide, wo=matrix(D, D, std=residual_std(cfg)))
    return dict(p, bo=vector(D)) if cfg.network_bias else p


def forward(p, x, ctx):
    D = ctx.cfg.n_emb

    # the running mean and its gate                              (B, T, D) -> (B, T, 3D) -> (B, T, D)
    kvq, back_wide = linear(x, p.wide)
    m, back_m, state = running_mean(kvq[..., :D], kvq[..., D:2 * D], ctx.recall("sums"))
    ctx.keep(sums=state)
    o, back_gate = glu(m, kvq[..., 2 * D:]) if ctx.cfg.b_network_gate else (m, lambda do: (do,))
    o, back_inner = ctx.dropout(o)

    y, back_y = linear(o, p.wo, p.get("bo"))
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        do, dwo, dbo = back_y(back_drop(dy))
        dm, *dq = back_gate(back_inner(do))
        dx, dwide, _ = back_wide(xp.concatenate([*back_m(dm), *dq], -1))

        g.add(wide=dwide, wo=dwo, bo=dbo)
        return dx

    return y, backward


CASES = [dict(c_bias="none"), dict(b_network_gate=False)]
