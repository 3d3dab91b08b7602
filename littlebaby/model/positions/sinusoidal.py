"""sinusoidal: sine and cosine waves.

Each pair of dimensions is the sine and cosine of the position, with wavelengths from 2 pi tokens to 10,000 times that:
    y_t = sqrt(D) x_t + w_t        w_t,2i = sin(t 10000^(-2i/D))        w_t,2i+1 = cos(t 10000^(-2i/D))
A shift by k tokens rotates every pair by a fixed angle, so a linear map can compute it. The factor sqrt(D) makes the token vectors about as
large as the waves.

Cost O(B T D).  Cache per token 0.  Nothing is trained; the table is computed in float64 for every d_type.
Vaswani et al. 2017, arXiv:1706.03762 (3.4, 3.5).
"""
from functools import lru_cache

from ...arrays.backend import on_cpu, xp


def params(cfg):
    return {}


def forward(p, x, ctx):
    T, D = x.shape[1:]
    waves = position_table(D, ctx.cfg.n_ctx, x.dtype.name, on_cpu())[ctx.start:ctx.start + T]            # (T, D)
    return x * D ** 0.5 + waves, lambda dy, g: dy * D ** 0.5


@lru_cache(32)
def position_table(D, n_ctx, dtype, cpu):
    """w (n_ctx, D); `cpu` (whether arrays are on the CPU) is a key of the cache, so that each device has a table of its own"""
    angle = xp.outer(xp.arange(n_ctx, dtype="float64"), 10000.0 ** (-xp.arange(0, D, 2, dtype="float64") / D))
    table = xp.empty((n_ctx, D))
    table[:, 0::2] = xp.sin(angle)
    table[:, 1::2] = xp.cos(angle[:, :D // 2])
    return table.astype(dtype)


CASES = [dict(n_emb=7)]
