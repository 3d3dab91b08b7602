"""mha: multi-head attention.

Every token has a query q, a key k and a value v. Its output is a weighted mean of the values so far, with weights from how well its q
matches their k.
    s = q k' / (sqrt(d) tau)        a = softmax(s), later tokens masked        y = merge(a v) wo
There are h heads in parallel, each with d = H / h dimensions of its own.

Cost O(B T^2 H + B T D H).  Cache per token 2 H numbers.
Vaswani et al. 2017, arXiv:1706.03762.  Deviation: a temperature tau (`r_temp`), 1 by default.
"""
from ...arrays import attention, linear, merge_heads, split_heads
from ...arrays.backend import xp
from ...arrays.tree import Lora, fused_matrices, fused_vectors, matrix, vector
from ..context import qk_clip_scale, residual_std

SCORE_BIAS = True        # its scores can carry a bias, such as alibi's


def params(cfg):
    return weights(cfg, cfg.head_size)


def weights(cfg, K):
    """The spec with keys of total width K: H, or less if query heads share keys"""
    D, H = cfg.n_emb, cfg.head_size
    p = dict(wqkv=fused_matrices(D, wq=H, wk=K, wv=K), wo=matrix(H, D, std=residual_std(cfg)))
    if cfg.c_bias == "all" or cfg.b_bias_attention_in:
        p["bqkv"] = fused_vectors(bq=H, bk=K, bv=K)
    if cfg.c_bias != "none" or cfg.b_bias_attention_out:
        p["bo"] = vector(D)
    return p


def forward(p, x, ctx):
    o, back_o = head_outputs(p, x, ctx)                          # (B, T, D) -> (B, h, T, d)
    y, back_y = output_projection(p, o, ctx)                     # (B, h, T, d) -> (B, T, D)

    def backward(dy, g):
        return back_o(back_y(dy, g), g)

    return y, backward


def head_outputs(p, x, ctx):
    """The outputs of all heads, not concatenated: (B, T, D) -> (B, h, T, d), backward; moh and swh multiply them by weights"""
    scale = ctx.cfg.head_width ** -0.5 / ctx.cfg.r_temp
    q, k, v, back_qkv = queries_keys_values(p, x, ctx)           # (B, T, D) -> (B, h, T, d), two (B, n, S, d)
    ctx.record_scores(q, k, scale)

    # scores, softmax, weighted mean of the values; the gradient of softmax: arrays/ops.py                (B, h, T, d)
    o, back_o = attention(q, k, v, scale, *ctx.drop, ctx.slopes(q))

    def backward(do, g):
        return back_qkv(*back_o(do), g)

    return o, backward


def queries_keys_values(p, x, ctx, last=None):
    """q (B, h, T, d), k and v (B, n, S, d), backward. In decoding, k and v contain the cached rows: of all earlier tokens, or of `last`"""
    h, H = ctx.cfg.n_heads, ctx.cfg.head_size
    K = (p.wqkv.shape[1] - H) // 2                               # total width of the keys: n d

    # one product, three slices                                  (B, T, D) -> (B, T, H + 2K) -> (B, h, T, d), two (B, n, T, d)
    qkv, back_qkv = linear(x, p.wqkv, p.get("bqkv"))
    q, k, v = split_heads(qkv[..., :H], h), split_heads(qkv[..., H:H + K], h * K // H), split_heads(qkv[..., H + K:], h * K // H)
    q, back_rq = ctx.rotate(q)
    k, back_rk = ctx.rotate(k)
    k, v = ctx.extend(last=last, k=k, v=v)

    def backward(dq, dk, dv, g):
        dx, dwqkv, dbqkv = back_qkv(merge_heads(back_rq(dq), back_rk(dk), dv))   # -> (B, T, H + 2K) -> (B, T, D)

        g.add(wqkv=dwqkv, bqkv=dbqkv)
        return dx

    return q, k, v, backward


def output_projection(p, o, ctx):
    """All heads concatenated, then multiplied by wo"""
    y, back_y = linear(ctx.observe("heads", merge_heads(o)), p.wo, p.get("bo"))     # (B, h, T, d) -> (B, T, H) -> (B, T, D)
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        do, dwo, dbo = back_y(back_drop(dy))

        g.add(wo=dwo, bo=dbo)
        return split_heads(do, o.shape[1])

    return y, backward


def post_step(p, stats, cfg):
    """For muonclip: scale the weights of the queries and keys of each head, or of the queries only if heads share keys"""
    gamma = qk_clip_scale(stats, cfg)
    if gamma is None or isinstance(p.wqkv, Lora):                # a frozen matrix is not scaled
        return
    H = cfg.head_size
    unshared = p.wqkv.shape[1] == 3 * H                          # every query head has a key head of its own
    factor = xp.repeat(xp.sqrt(gamma) if unshared else gamma, H // cfg.n_heads)  # (H)
    for leaf in (p.wqkv, p.bqkv) if "bqkv" in p else (p.wqkv,):
        leaf[..., :H] *= factor
        if unshared:
            leaf[..., H:2 * H] *= factor


CASES = [dict(c_bias="all"), dict(c_position="rope", rope_layout="half"), dict(c_position="rope", rope_layout="interleaved"),
         dict(c_position="rope", c_rope_scale="yarn", r_rope_factor=4, rope_base=100),
         dict(r_temp=1.7), dict(c_bias="none", b_bias_attention_out=True), dict(head_size=12), dict(c_position="alibi")]
