"""mla: multi-head latent attention.

The cache holds neither keys nor values, only a narrow latent vector c per token, from which the keys and values of all heads are computed:
    c = norm(x wdk)     q_i, q'_i = x wq_i     k_i = c wuk_i     k' = x wkr     v_i = c wuv_i
    s_i = (q_i k_i' + rope(q'_i) rope(k')') / (sqrt(n + r) tau)     a = softmax(s), later tokens masked     y = merge(a_i v_i) wo
Only q' and k', r = `mla_rope` wide, are rotated to their positions, and all heads share one k'; with rotated k_i the absorption below would
not be possible. With `mla_latent` split the values have a latent of their own, x wdv; with `mla_q_rank` the queries have one, x wdq.

For few new tokens keys and values need not be computed: q_i (c wuk_i)' = (q_i wuk_i') c' and a_i (c wuv_i) = (a_i c) wuv_i, so the latents
serve as the keys and values of all heads. In this form, called absorbed, mla is gqa with a single wide key head.

Cost O(B T^2 h (n + r + v) + B T D h (n + r + v)).  Cache per token c + r numbers, or 2 c + r if split.
DeepSeek-AI 2024, arXiv:2405.04434.  Deviations: the norm of the latents is a setting, `mla_norm`, with an eps of its own, 1e-6 for
rmsnorm and 1e-5 for layernorm; `c_bias` all means out.
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
    p = dict(heads(cfg, h), wo=matrix(h * cfg.mla_v, D, std=residual_std(cfg)))
    if cfg.c_bias != "none" or cfg.b_bias_attention_out:
        p["bo"] = vector(D)
    return p


def forward(p, x, ctx):
    o, back_o = mix(p, x, ctx, ctx.cfg.n_heads)                  # (B, T, D) -> (B, T, h v)
    y, back_y = linear(o, p.wo, p.get("bo"))                     # (B, T, h v) -> (B, T, D)
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        do, dwo, dbo = back_y(back_drop(dy))
        g.add(wo=dwo, bo=dbo)
        return back_o(do, g)

    return y, backward


def breadth(cfg):
    """Numbers per row and token in scores and weighted sums: widths of the keys and values of all heads, not absorbed"""
    return cfg.n_heads * (cfg.mla_nope + cfg.mla_rope + cfg.mla_v)


# the heads without the output projection; hybrid uses them too

def heads(cfg, h):
    """The weights of h heads"""
    widths = {name: n for name, n in latent_widths(cfg, h).items() if n}
    p: dict = dict(down=fused_matrices(cfg.n_emb, **widths), wuk=matrix(cfg.mla_rank, h * cfg.mla_nope),
                   wuv=matrix(cfg.mla_rank, h * cfg.mla_v))
    if cfg.mla_q_rank:
        p["wuq"] = matrix(cfg.mla_q_rank, h * (cfg.mla_nope + cfg.mla_rope))
    norm = dict(none=(), rmsnorm=("w",), layernorm=("w", "b"))[cfg.mla_norm]
    for latent in ("wdq", "wdk", "wdv"):
        if norm and latent in widths:
            p["norm_" + latent] = {name: vector(widths[latent], float(name == "w")) for name in norm}
    return p


def latent_widths(cfg, h):
    """Widths of the parts of one product: queries or their latent, latent of the keys, latent of the values if split, rotated key"""
    queries = dict(wdq=cfg.mla_q_rank) if cfg.mla_q_rank else dict(wq=h * (cfg.mla_nope + cfg.mla_rope))
    return dict(queries, wdk=cfg.mla_rank, wdv=cfg.mla_rank if cfg.mla_latent == "split" else 0, wkr=cfg.mla_rope)


def normalized(p, latent, z, ctx):
    """A latent after its norm, `mla_norm`"""
    norm = p.get("norm_" + latent)
    if not norm:
        return z, lambda dz, g: dz
    y, back = getattr(arrays, ctx.cfg.mla_norm)(z, *norm.values())

    def backward(dy, g):
        dz, *dnorm = back(dy)
        for leaf, d in zip(g["norm_" + latent].values(), dnorm):
            leaf += d
        return dz

    return y, backward


def rotate_tail(x, n, ctx):
    """x (B, h, T, n + r) with its last r numbers rotated to their positions"""
    part, back_part = ctx.rotate(x[..., n:])
    if not part.size:
        return x, lambda dy: dy
    return xp.concatenate([x[..., :n], part], -1), lambda dy: xp.concatenate([dy[..., :n], back_part(dy[..., n:])], -1)


def mix(p, x, ctx, h):
    """(B, T, D) -> (B, T, h v), backward"""
    cfg = ctx.cfg
    n, r, c, split = cfg.mla_nope, cfg.mla_rope, cfg.mla_rank, cfg.mla_latent == "split"
    scale = (n + r) ** -0.5 / cfg.r_temp

    # queries, latents and rotated key in one product            (B, T, D) -> (B, T, sum of widths)
    z, back_z = linear(x, p.down)
    ends = list(accumulate(latent_widths(cfg, h).values(), initial=0))
    zq, zk, zv, kr = (z[..., a:b] for a, b in zip(ends, ends[1:]))

    # queries                                                    (B, h, T, n + r)
    zq, back_nq = normalized(p, "wdq", zq, ctx)
    q, back_q = linear(zq, p.wuq) if "wuq" in p else (zq, None)
    q, back_rq = rotate_tail(split_heads(q, h), n, ctx)

    # the cache: the latent and the rotated key                  (B, 1, T, c + r), and if split (B, 1, T, c)
    zk, back_nk = normalized(p, "wdk", zk, ctx)
    kr, back_rk = ctx.rotate(kr[:, None])
    row = xp.concatenate([zk[:, None], kr], -1)
    if split:
        zv, back_nv = normalized(p, "wdv", zv, ctx)
        row, cv = ctx.extend(row=row, cv=zv[:, None])
    else:
        row, = ctx.extend(row=row)
        cv = row[..., :c]
    if ctx.cache is not None and absorbing_pays(cfg, x.shape[1]):
        return absorbed(p, q, row, cv, scale, ctx), None

    # keys and values of every head                              (B, S, c) -> (B, h, S, n + r), (B, h, S, v)
    k, back_k = linear(row[:, 0, :, :c], p.wuk)
    v, back_v = linear(cv[:, 0], p.wuv)
    k, v = split_heads(k, h), split_heads(v, h)
    if r:
        k = xp.concatenate([k, xp.broadcast_to(row[..., c:], (*k.shape[:3], r))], -1)
    ctx.record_scores(q, k, scale)
    o, back_o = attention(q, k, v, scale, *ctx.drop, ctx.slopes(q))

    def backward(do, g):
        dq, dk, dv = back_o(split_heads(do, h))
        dzk, dwuk, _ = back_k(merge_heads(dk[..., :n]))
        dzv, dwuv, _ = back_v(merge_heads(dv))
        g.wuk += dwuk
        g.wuv += dwuv

        dq = merge_heads(back_rq(dq))
        if back_q:
            dq, dwuq, _ = back_q(dq)
            g.wuq += dwuq

        # the rotated key is shared by all heads, the latent by keys and values: their gradients are sums
        dkr = back_rk(dk[..., n:].sum(1, keepdims=True))[:, 0]   # (B, h, T, r) -> (B, T, r)
        dlatents = [back_nk(dzk, g), back_nv(dzv, g)] if split else [back_nk(dzk + dzv, g)]
        dx, ddown, _ = back_z(xp.concatenate([back_nq(dq, g), *dlatents, dkr], -1))
        g.down += ddown
        return dx

    return merge_heads(o), backward


def absorbing_pays(cfg, T):
    """Whether absorption needs fewer multiplications: per head and cached token 2 c T, in place of (T + c) (n + v)"""
    c, wide = cfg.mla_rank, cfg.mla_nope + cfg.mla_v
    return 2 * c * T < (T + c) * wide


def absorbed(p, q, row, cv, scale, ctx):
    """The same without the keys and values: wuk is applied to the queries, wuv to the mean of latents. (B, h, T, n + r) -> (B, T, h v)"""
    h, n, c = q.shape[1], ctx.cfg.mla_nope, ctx.cfg.mla_rank
    unfold = lambda w: full_matrix(w)[0].reshape(c, h, -1).transpose(1, 0, 2)  # (c, h d) -> (h, c, d)
    asks = xp.concatenate([q[..., :n] @ unfold(p.wuk).swapaxes(-1, -2), q[..., n:]], -1)     # (B, h, T, c + r)
    o, _ = attention(asks, row, cv, scale, slopes=ctx.slopes(q))             # (B, h, T, c)
    return merge_heads(o @ unfold(p.wuv))


def post_step(p, stats, cfg):
    """muonclip: scales queries and keys of each head, and of the rotated part, whose key is shared, the queries only"""
    gamma = qk_clip_scale(stats, cfg)
    if gamma is None or isinstance(p.wuk, Lora):                 # a frozen matrix is not scaled
        return
    root, n, r = xp.sqrt(gamma)[:, None], cfg.mla_nope, cfg.mla_rope
    of_q = xp.concatenate([xp.repeat(root, n, 1), xp.repeat(gamma[:, None], r, 1)], 1).reshape(-1)      # (h (n + r))
    wq = p.wuq if "wuq" in p else p.down[:, :len(of_q)]
    wq *= of_q
    p.wuk *= xp.repeat(root, n)


def defaults(cfg):
    d = max(1, cfg.head_width)
    rotated = dict(mla_rope=2 * max(1, round(d / 4))) if rotates(cfg) else {}
    return dict(mla_rank=max(1, cfg.n_emb // 4), mla_nope=d, mla_v=d, **rotated)


def rotated_width(cfg):
    """How many numbers of a query rope rotates; without this function all of a head's"""
    return cfg.mla_rope


def check(cfg):
    if rotates(cfg) and cfg.mla_rope % 2:
        yield f"mla_rope is {cfg.mla_rope}, and rope rotates pairs; allowed are even numbers; did you mean {cfg.mla_rope + 1}?"


CASES = [
    dict(mla_latent="split", mla_norm="none", c_position="rope", c_bias="none", b_bias_attention_out=True),
    dict(mla_q_rank=3, mla_norm="layernorm", mla_v=3, r_temp=1.7), dict(mla_rank=9, mla_nope=1, mla_v=1, mla_rope=4, c_bias="all"),
    dict(mla_rank=9, mla_nope=1, mla_latent="split", mla_q_rank=5, c_position="rope", rope_layout="interleaved", c_bias="none"),
    dict(c_position="alibi")]
