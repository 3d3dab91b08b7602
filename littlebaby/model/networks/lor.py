"""lor: low-rank adaptation of a frozen projection.

A random matrix that is never trained, plus a trained matrix of low rank:
    y = x w0 + b0 + (alpha / r) (x a) b        w0 and b0 are frozen; b is 0 at the start
r and alpha are `network_rank` and `network_alpha`.

Cost O(B T D (D + 2r)), of D^2 + 2 r D weights 2 r D are trained.  Cache per token 0.
Hu et al. 2021, arXiv:2106.09685.  Deviation: the adapted matrix is random, not pretrained.
"""
from ...arrays import linear
from ...arrays.tree import matrix, vector
from ..context import residual_std

OPTIONS = dict(
    network_rank=(4, "Rank of the trained update beside the frozen matrix.", (1, 2**16)),
    network_alpha=(0.0, "The update is scaled by network_alpha / network_rank; 0 means twice network_rank.", (0, 10**6)))


def params(cfg):
    D, r = cfg.n_emb, cfg.network_rank
    p = dict(w0=matrix(D, D, std=residual_std(cfg), train=False), a=matrix(D, r, std=D ** -0.5, kind="lora"),
             b=matrix(r, D, std=0, kind="lora"))
    return p if cfg.c_bias == "none" else dict(p, b0=vector(D, train=False))


def forward(p, x, ctx):
    scale = ctx.cfg.network_alpha / ctx.cfg.network_rank
    y, back_0 = linear(x, p.w0, p.get("b0"))                     # (B, T, D) -> (B, T, D)
    u, back_a = linear(x, p.a)                                   # (B, T, D) -> (B, T, r)
    u *= scale
    v, back_b = linear(u, p.b)                                   # (B, T, r) -> (B, T, D)
    y += v
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        dy = back_drop(dy)
        dx, dw0, db0 = back_0(dy)
        du, db, _ = back_b(dy)
        dx_a, da, _ = back_a(du * scale)

        g.add(w0=dw0, a=da, b=db, b0=db0)
        return dx + dx_a

    return y, backward


def defaults(cfg):
    return dict(network_alpha=2.0 * cfg.network_rank)


CASES = [dict(c_bias="none"), dict(network_rank=1, network_alpha=3)]
