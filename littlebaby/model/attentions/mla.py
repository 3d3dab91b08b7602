"""mla: multi-head latent attention.

The cache holds neither keys nor values, only a narrow latent vector z per token, from which the keys and values of all heads are computed:
    z = norm(x wdk)     [q_i; qr_i] = x wq_i     k_i = z wuk_i     kr = x wkr     v_i = z wuv_i
    s_i = (q_i k_i' + rope(qr_i) rope(kr)') / (sqrt(n + r) tau)     a = softmax(s), later tokens masked     y = merge(a_i v_i) wo
Widths: c = `mla_rank` of z, n = `mla_nope` of q_i and k_i, r = `mla_rope` of qr_i and kr, v = `mla_v` of v_i. Only qr_i and kr are rotated
to their positions, and all heads share one kr; with rotated k_i the absorption below would not be possible. With `mla_latent` split the
values have a latent of their own, norm(x wdv); with `mla_q_rank` the queries have one, norm(x wdq).

For few new tokens keys and values need not be computed: q_i (z wuk_i)' = (q_i wuk_i') z' and a_i (z wuv_i) = (a_i z) wuv_i, so the latents
are used as the keys and values of all heads. In this form, called absorbed, mla is gqa with a single wide key head.

Cost O(B T^2 h (n + r + v) + B T D h (n + r + v)).  Cache per token c + r numbers, or 2 c + r if split.
DeepSeek-AI 2024, arXiv:2405.04434.  Deviations: the norm of the latents is a setting, `mla_norm`, whose eps does not depend on `norm_eps`:
1e-6 for rmsnorm and 1e-5 for layernorm; `c_bias` all has the effect of out.
"""
from itertools import accumulate

from ... import arrays
from ...arrays import attention, full_matrix, linear, merge_heads, split_heads
from ...arrays.backend import xp
from ...arrays.tree import Lora, fused_matrices, matrix, vector
from ..context import qk_clip_scale, residual_std, rotates

OPTIONS = dict(
    mla_latent=("joint", "joint: one latent for keys and values; split: one for each, which doubles the cache.", ("joint", "split")),
    mla_rank=(0, "Width of the latents that are cached in place of keys and values; 0 means a quarter of n_emb.", (0, 2**16)),
    mla_q_rank=(0, "Width of a latent for the queries; 0 computes the queries from the token directly.", (0, 2**16)),
    mla_norm=("rmsnorm", "Normalization of the latents.", ("none", "rmsnorm", "layernorm")),
    mla_nope=(0, "Width of each head's queries and keys without position (not rotated by rope); 0 means head_size / n_heads.", (0, 2**16)),
    mla_rope=(0, "Width of the part that rope rotates, whose key all heads share; 0 means half a head with rope and none without.",
              (0, 2**16)),
    mla_v=(0, "Width of each head's values; 0 means head_size / n_heads.", (0, 2**16)))
SCORE_BIAS = True


def params(cfg):
    D, h = cfg.n_emb, cfg.n_heads
    p = dict(head_params(cfg, h), wo=matrix(h * cfg.mla_v, D, std=residual_std(cfg)))
    if cfg.c_bias != "none" or cfg.b_bias_attention_out:
        p["bo"] = vector(D)
    return p


def forward(p, x, ctx):
    o, back_o = merged_heads(p, x, ctx, ctx.cfg.n_heads)         # (B, T, D) -> (B, T, h v)
    y, back_y = linear(ctx.observe("heads", o), p.wo, p.get("bo"))               # (B, T, h v) -> (B, T, D)
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        do, dwo, dbo = back_y(back_drop(dy))
        g.add(wo=dwo, bo=dbo)
        return back_o(do, g)

    return y, backward


def key_and_value_width(cfg):
    """Width of the keys and values of all heads together, not absorbed: the multiplications per pair of tokens that attention needs"""
    return cfg.n_heads * (cfg.mla_nope + cfg.mla_rope + cfg.mla_v)


# the heads without the output projection; hybrid uses them too

def head_params(cfg, h):
    """The spec of the weights of h heads"""
    widths = {name: n for name, n in latent_widths(cfg, h).items() if n}
    p: dict = dict(down=fused_matrices(cfg.n_emb, **widths), wuk=matrix(cfg.mla_rank, h * cfg.mla_nope),
                   wuv=matrix(cfg.mla_rank, h * cfg.mla_v))
    if cfg.mla_q_rank:
        p["wuq"] = matrix(cfg.mla_q_rank, h * (cfg.mla_nope + cfg.mla_rope))
    norm_leaves = dict(none=(), rmsnorm=("w",), layernorm=("w", "b"))[cfg.mla_norm]
    for latent in ("wdq", "wdk", "wdv"):
        if norm_leaves and latent in widths:
            p["norm_" + latent] = {name: vector(widths[latent], float(name == "w")) for name in norm_leaves}
    return p


def latent_widths(cfg, h):
    """{part: width} of the leaf `down`: queries or their latent, latent of the keys, latent of the values (0 if joint), rotated key"""
    queries = dict(wdq=cfg.mla_q_rank) if cfg.mla_q_rank else dict(wq=h * (cfg.mla_nope + cfg.mla_rope))
    return dict(queries, wdk=cfg.mla_rank, wdv=cfg.mla_rank if cfg.mla_latent == "split" else 0, wkr=cfg.mla_rope)


def normalized(p, latent, z, ctx):
    """`mla_norm` of z (B, T, c), with the weights of the norm of `latent`: wdq, wdk or wdv"""
    norm = p.get("norm_" + latent)
    if not norm:
        return z, lambda dz, g: dz
    y, back = getattr(arrays, ctx.cfg.mla_norm)(z, *norm.values())

    def backward(dy, g):
        dz, *dnorm = back(dy)
        for gradient, d in zip(g["norm_" + latent].values(), dnorm):
            gradient += d
        return dz

    return y, backward


def rotate_tail(x, n, ctx):
    """x (B, h, T, n + r) with its last r numbers rotated to their positions"""
    tail, back_tail = ctx.rotate(x[..., n:])
    if not tail.size:
        return x, lambda dy: dy
    return xp.concatenate([x[..., :n], tail], -1), lambda dy: xp.concatenate([dy[..., :n], back_tail(dy[..., n:])], -1)


def merged_heads(p, x, ctx, h):
    """The outputs of h heads, concatenated: (B, T, D) -> (B, T, h v), backward"""
    cfg = ctx.cfg
    n, r, c = cfg.mla_nope, cfg.mla_rope, cfg.mla_rank
    scale = (n + r) ** -0.5 / cfg.r_temp

    # queries, latents and rotated key in one product            (B, T, D) -> (B, T, sum of widths) -> (B, T, width) each
    z, back_z = linear(x, p.down)
    ends = list(accumulate(latent_widths(cfg, h).values(), initial=0))
    zq, zk, zv, kr = (z[..., a:b] for a, b in zip(ends, ends[1:]))
    q, back_q = queries(p, zq, ctx, h)                           # (B, T, .) -> (B, h, T, n + r)
    zk_kr, zv, back_latents = latents(p, zk, zv, kr, ctx)        # (B, T, .) -> (B, 1, S, c + r), (B, 1, S, c)
    if ctx.cache is not None and absorption_is_cheaper(cfg, x.shape[1]):
        return absorbed(p, q, zk_kr, zv, scale, ctx), None

    # keys and values of every head                              (B, S, c) -> (B, h, S, n), (B, h, S, v)
    k, back_k = linear(zk_kr[:, 0, :, :c], p.wuk)
    v, back_v = linear(zv[:, 0], p.wuv)
    k, v = split_heads(k, h), split_heads(v, h)
    if r:                                                        # (B, h, S, n) -> (B, h, S, n + r)
        k = xp.concatenate([k, xp.broadcast_to(zk_kr[..., c:], (*k.shape[:3], r))], -1)
    ctx.record_scores(q, k, scale)
    o, back_o = attention(q, k, v, scale, *ctx.drop, ctx.slopes(q))          # (B, h, T, v)

    def backward(do, g):
        dq, dk, dv = back_o(split_heads(do, h))                  # (B, h, T, n + r) twice, (B, h, T, v)
        dzk, dwuk, _ = back_k(merge_heads(dk[..., :n]))
        dzv, dwuv, _ = back_v(merge_heads(dv))
        dkr = dk[..., n:].sum(1, keepdims=True)                  # (B, h, T, r) -> (B, 1, T, r), because all heads share the rotated key
        dx, ddown, _ = back_z(xp.concatenate([back_q(dq, g), back_latents(dzk, dzv, dkr, g)], -1))

        g.wuk += dwuk
        g.wuv += dwuv
        g.down += ddown
        return dx

    return merge_heads(o), backward


def queries(p, zq, ctx, h):
    """The queries of h heads, which are zq or computed from it as their latent: (B, T, .) -> (B, h, T, n + r), backward"""
    zq, back_norm = normalized(p, "wdq", zq, ctx)
    q, back_q = linear(zq, p.wuq) if "wuq" in p else (zq, None)  # (B, T, .) -> (B, T, h (n + r))
    q, back_rotation = rotate_tail(split_heads(q, h), ctx.cfg.mla_nope, ctx)

    def backward(dq, g):
        dq = merge_heads(back_rotation(dq))                      # (B, h, T, n + r) -> (B, T, h (n + r))
        if back_q:
            dq, dwuq, _ = back_q(dq)                             # (B, T, h (n + r)) -> (B, T, mla_q_rank)
            g.wuq += dwuq
        return back_norm(dq, g)

    return q, backward


def latents(p, zk, zv, kr, ctx):
    """The latents, normalized, and the rotated key, with those of earlier tokens from the cache

    zk (B, T, c), zv (B, T, c), or (B, T, 0) if joint, kr (B, T, r) -> zk_kr (B, 1, S, c + r), zv (B, 1, S, c), backward
    """
    c, split = ctx.cfg.mla_rank, ctx.cfg.mla_latent == "split"
    zk, back_norm_k = normalized(p, "wdk", zk, ctx)
    kr, back_rotation = ctx.rotate(kr[:, None])                  # (B, T, r) -> (B, 1, T, r)
    zk_kr = xp.concatenate([zk[:, None], kr], -1)                # (B, 1, T, c + r)
    if split:
        zv, back_norm_v = normalized(p, "wdv", zv, ctx)
        zk_kr, zv = ctx.extend(zk_kr=zk_kr, zv=zv[:, None])      # T -> S
    else:
        zk_kr, = ctx.extend(zk_kr=zk_kr)                         # T -> S
        zv = zk_kr[..., :c]

    def backward(dzk, dzv, dkr, g):
        # a joint latent is used twice, for keys and for values, and its gradient is the sum
        dlatents = [back_norm_k(dzk, g), back_norm_v(dzv, g)] if split else [back_norm_k(dzk + dzv, g)]
        return xp.concatenate([*dlatents, back_rotation(dkr)[:, 0]], -1)         # (B, T, 2 c + r), or (B, T, c + r) if joint

    return zk_kr, zv, backward


def absorption_is_cheaper(cfg, T):
    """Whether absorption needs fewer multiplications: per head and cached token 2 c T instead of (T + c) (n + v)"""
    c, n, v = cfg.mla_rank, cfg.mla_nope, cfg.mla_v
    return 2 * c * T < (T + c) * (n + v)


def absorbed(p, q, zk_kr, zv, scale, ctx):
    """The outputs of `merged_heads`, (B, T, h v), from the latents, without keys and values: wuk is applied to the queries, wuv to the
    weighted means of the latents. q (B, h, T, n + r)   zk_kr (B, 1, S, c + r)   zv (B, 1, S, c)"""
    h, n, c = q.shape[1], ctx.cfg.mla_nope, ctx.cfg.mla_rank
    by_head = lambda w: full_matrix(w)[0].reshape(c, h, -1).transpose(1, 0, 2)               # (c, h d) -> (h, c, d)
    latent_q = xp.concatenate([q[..., :n] @ by_head(p.wuk).swapaxes(-1, -2), q[..., n:]], -1)    # (B, h, T, c + r)
    o, _ = attention(latent_q, zk_kr, zv, scale, slopes=ctx.slopes(q))       # (B, h, T, c)
    return merge_heads(o @ by_head(p.wuv))                                   # (B, h, T, v) -> (B, T, h v)


def post_step(p, stats, cfg):
    """For muonclip: scale the weights of the queries and keys of each head; of the rotated part, whose key is shared, only the queries"""
    gamma = qk_clip_scale(stats, cfg)
    if gamma is None or isinstance(p.wuk, Lora):                 # a frozen matrix is not scaled
        return
    root, n, r = xp.sqrt(gamma)[:, None], cfg.mla_nope, cfg.mla_rope
    q_factor = xp.concatenate([xp.repeat(root, n, 1), xp.repeat(gamma[:, None], r, 1)], 1).reshape(-1)  # (h (n + r))
    wq = p.wuq if "wuq" in p else p.down[:, :len(q_factor)]
    wq *= q_factor
    p.wuk *= xp.repeat(root, n)


def defaults(cfg):
    d = max(1, cfg.head_width)
    rotated = dict(mla_rope=2 * max(1, round(d / 4))) if rotates(cfg) else {}
    return dict(mla_rank=max(1, cfg.n_emb // 4), mla_nope=d, mla_v=d, **rotated)


def rotated_width(cfg):
    """Width of the part of a query that rope rotates; in attentions without this function rope rotates the whole query"""
    return cfg.mla_rope


def check(cfg):
    if rotates(cfg) and cfg.mla_rope % 2:
        yield f"mla_rope is {cfg.mla_rope}, and rope rotates pairs; allowed are even numbers; did you mean {cfg.mla_rope + 1}?"


CASES = [
    dict(mla_latent="split", mla_norm="none", c_position="rope", c_bias="none", b_bias_attention_out=True),
    dict(mla_q_rank=3, mla_norm="layernorm", mla_v=3, r_temp=1.7), dict(mla_rank=9, mla_nope=1, mla_v=1, mla_rope=4, c_bias="all"),
    dict(mla_rank=9, mla_nope=1, mla_latent="split", mla_q_rank=5, c_position="rope", rope_layout="interleaved", c_bias="none"),
    dict(c_position="alibi")]
