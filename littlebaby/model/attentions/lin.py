"""lin: kernel linear attention.

As mha, but the weight of a key is a product of features of query and key, which are positive, in place of the exp of their product. So the
query can be taken out of the sums over the keys, which are then the same for all queries: a state that does not grow.
    phi(x) = elu(x) + 1        y_t = merge(phi(q_t) S_t / (phi(q_t) z_t' + 1e-6)) wo
    S_t = sum_{j<=t} phi(k_j)' v_j        z_t = sum_{j<=t} phi(k_j)
S and z are computed as one sum, of values with one more number, 1; in training in blocks of C tokens, as matrix products.

Cost O(B T H (D + d + C)), C = 64 the block size.  Cache per token 0, plus a state of h d^2 + h d numbers.
Katharopoulos et al. 2020, arXiv:2006.16236; the 1e-6 is in their code.  `c_position` rope has no effect, because products of features of
rotated queries and keys would not depend on distances only; nor has `r_temp`.
"""
from ...arrays import elu_plus_one, linear, linear_attention, merge_heads, split_heads
from ...arrays.backend import xp
from .mha import output_projection, params

__all__ = ["forward", "params"]


def forward(p, x, ctx):
    h, H, d = ctx.cfg.n_heads, ctx.cfg.head_size, ctx.cfg.head_width

    # features of queries and keys, values                       (B, T, D) -> (B, T, 3H) -> (B, h, T, d)
    qkv, back_qkv = linear(x, p.wqkv, p.get("bqkv"))
    q, k, v = (split_heads(qkv[..., i * H:(i + 1) * H], h) for i in range(3))
    q, back_q = elu_plus_one(q)
    k, back_k = elu_plus_one(k)

    # weighted sums of the values and of ones, their quotient    (B, h, T, d) -> (B, h, T, d + 1) -> (B, h, T, d)
    v_and_one = xp.concatenate([v, xp.ones((*v.shape[:-1], 1), v.dtype)], -1)
    sums, back_sums, state = linear_attention(q, k, v_and_one, ctx.recall("sums"))
    ctx.keep(sums=state)
    weight = sums[..., d:] + 1e-6                                # (B, h, T, 1)
    o = sums[..., :d] / weight
    y, back_y = output_projection(p, o, ctx)                     # (B, h, T, d) -> (B, T, D)

    def backward(dy, g):
        dv = back_y(dy, g) / weight                              # of the sums of values; next to it that of the sums of ones
        dq, dk, dv = back_sums(xp.concatenate([dv, -(dv * o).sum(-1, keepdims=True)], -1))
        dx, dwqkv, dbqkv = back_qkv(merge_heads(back_q(dq), back_k(dk), dv[..., :d]))        # -> (B, T, 3H) -> (B, T, D)

        g.add(wqkv=dwqkv, bqkv=dbqkv)
        return dx

    return y, backward


CASES = [dict(c_bias="all"), dict(c_bias="none", head_size=12), dict(n_heads=1)]
