"""latent: attention through learned queries.

Each head has M = `n_latents` learned queries z, which attend to all tokens so far and are the same for every token. The output of a token
is a weighted mean of their M results, with weights from how well its own query q matches the M learned keys r.
    e_jm = exp(clip(k_j z_m' / (sqrt(d) tau), +-20))        b_t = softmax over m of q_t r_m' / (sqrt(d) tau)
    y_t = merge(sum_m b_tm (sum_{j<=t} e_jm v_j / sum_{j<=t} e_jm)) wo
The result of a learned query is a running mean, so it is causal and its state does not grow. Together the two steps are linear attention
with keys e and queries b / sum e.

Cost O(B T H D + B T h (M + d) C), C = 64 the block size.  Cache per token 0, plus a state of h M (d + 1) numbers.
After nanoKimi; Jaegle et al. 2021, arXiv:2103.03206.  Deviations: the originals attend to the whole text, also to later tokens; the clip is
added; `c_bias` all has the effect of out, because a bias of k cancels and a bias of v acts like one of the output.
"""
from ...arrays import exp_clip, linear, linear_attention, matmul, merge_heads, running_sum, softmax, split_heads
from ...arrays.tree import Leaf, fused_matrices, matrix, vector
from ..context import residual_std

OPTIONS = dict(n_latents=(16, "Learned queries per head; the state grows in proportion.", (2, 2**12)))


def params(cfg):
    D, H, M = cfg.n_emb, cfg.head_size, cfg.n_latents
    p = dict(wqkv=fused_matrices(D, wq=H, wk=H, wv=H), z=Leaf((M, H), "table", std=1.0), r=Leaf((M, H), "table", std=1.0),
             wo=matrix(H, D, std=residual_std(cfg)))
    if cfg.c_bias != "none" or cfg.b_bias_attention_out:
        p["bo"] = vector(D)
    return p


def forward(p, x, ctx):
    h, H = ctx.cfg.n_heads, ctx.cfg.head_size
    scale = (H // h) ** -0.5 / ctx.cfg.r_temp

    # queries, keys, values                                      (B, T, D) -> (B, T, 3H) -> (B, h, T, d)
    qkv, back_qkv = linear(x, p.wqkv)
    q, k, v = (split_heads(qkv[..., i * H:(i + 1) * H], h) for i in range(3))

    # weights of the tokens for each learned query, and of the learned queries for each token        (B, h, T, M)
    s, back_s = matmul(k * scale, latent_queries(p.z, h))
    e, back_e = exp_clip(s)
    t, back_t = matmul(q * scale, latent_queries(p.r, h))
    b, back_b = softmax(t)

    # the running means, and their weighted mean                 (B, h, T, d) -> (B, T, H) -> (B, T, D)
    weight, back_weight, last_weight = running_sum(e, ctx.recall("weight"))
    u = b / weight
    o, back_o, sums = linear_attention(u, e, v, ctx.recall("sums"))
    ctx.keep(weight=last_weight, sums=sums)
    y, back_y = linear(ctx.observe("heads", merge_heads(o)), p.wo, p.get("bo"))
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        do, dwo, dbo = back_y(back_drop(dy))
        du, de, dv = back_o(split_heads(do, h))
        db = du / weight
        de += back_weight(-db * u)
        dk, dz = back_s(back_e(de))
        dq, dr = back_t(back_b(db))
        dx, dwqkv, _ = back_qkv(merge_heads(dq * scale, dk * scale, dv))

        g.add(wqkv=dwqkv, z=latent_query_gradient(dz), r=latent_query_gradient(dr), wo=dwo, bo=dbo)
        return dx

    return y, backward


def latent_queries(z, h):
    """(M, h d) -> (1, h, d, M); its gradient is latent_query_gradient"""
    return split_heads(z[None], h).swapaxes(-1, -2)


def latent_query_gradient(dz):
    """(B, h, d, M) -> (M, h d), summed over the batch"""
    return merge_heads(dz.sum(0, keepdims=True).swapaxes(-1, -2))[0]


CASES = [dict(c_bias="none"), dict(n_latents=2), dict(r_temp=1.7, head_size=12)]
