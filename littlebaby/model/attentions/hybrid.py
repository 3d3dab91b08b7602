"""hybrid: heads of decay and heads of mla behind a learned gate (BabyKilat).

A fraction `r_recall` of the heads are mla heads, which can attend to single earlier tokens at any distance; the others are decay heads,
whose state does not grow. A gate computes from the token and the outputs of all heads how much of each output passes:
    o = [decay(x); mla(x)]        u = relu([x; o] w1 + b1)        y = (o * sigmoid(u w2 + b2)) wo
There is one gate value per channel and token or, with `c_hybrid_gate` head, per head and token. The values are independent: all may be
near 1.

Cost O(B T D (D + 3 H)), plus those of decay and mla for their heads.  Cache per token that of mla, plus the state of decay.
Kilat 2025; the gate after Hochreiter & Schmidhuber 1997.  Deviations: all parts are trained on every device, while in the original the
decay heads get no gradient on a GPU; `c_bias` applies to wo only, so all has the effect of out, and the gate always has biases; of the
heads, only those of mla have dropout.
"""
from ...arrays import linear, relu, sigmoid
from ...arrays.backend import xp
from ...arrays.tree import matrix, vector
from ..context import residual_std
from . import decay, mla
from .mla import rotated_width

__all__ = ["check", "forward", "key_and_value_width", "params", "post_step", "rotated_width"]

OPTIONS = dict(
    mla.OPTIONS,
    r_recall=(0.5, "Fraction of the heads that are mla heads, rounded down; the others are decay heads.", (0, 1)),
    c_hybrid_gate=("channel", "What the gate scales: each channel, or each head as a whole.", ("channel", "head")))


def params(cfg):
    D, H = cfg.n_emb, cfg.head_size
    gates = H if cfg.c_hybrid_gate == "channel" else cfg.n_heads
    p = {name: module.head_params(cfg, h) for name, module, h in head_kinds(cfg)}
    p |= dict(w1=matrix(D + H, D), b1=vector(D), w2=matrix(D, gates), b2=vector(gates), wo=matrix(H, D, std=residual_std(cfg)))
    if cfg.c_bias != "none" or cfg.b_bias_attention_out:
        p["bo"] = vector(D)
    return p


def head_kinds(cfg):
    """[(name, module, number of heads), ...] of decay and mla, without a kind that has no heads"""
    h_mla = int(cfg.n_heads * cfg.r_recall)
    kinds = ("decay", decay, cfg.n_heads - h_mla), ("mla", mla, h_mla)
    return [(name, module, h) for name, module, h in kinds if h]


def key_and_value_width(cfg):
    """As in mla, for the mla heads"""
    return sum(mla.key_and_value_width(cfg) * h // cfg.n_heads for _, module, h in head_kinds(cfg) if module is mla)


def forward(p, x, ctx):
    D, d = x.shape[-1], ctx.cfg.head_width

    # the token and the outputs of all heads, concatenated       (B, T, D) -> (B, T, D + H)
    kinds = head_kinds(ctx.cfg)
    outputs, backs = zip(*(module.merged_heads(p[name], x, ctx, h) for name, module, h in kinds))
    xo = xp.concatenate([x, *outputs], -1)
    o = xo[..., D:]                                              # (B, T, H)

    # the gate of each channel, or of each head                  (B, T, D + H) -> (B, T, D) -> (B, T, H or h) -> (B, T, H)
    z, back_z = linear(xo, p.w1, p.b1)
    u, back_u = relu(z)
    s, back_s = linear(u, p.w2, p.b2)
    gate, back_gate = sigmoid(s)
    per_head = ctx.cfg.c_hybrid_gate == "head"
    channel_gate = xp.repeat(gate, d, -1) if per_head else gate

    y, back_y = linear(ctx.observe("heads", o * channel_gate), p.wo, p.get("bo"))       # (B, T, H) -> (B, T, D)
    y, back_drop = ctx.dropout(y)

    def backward(dy, g):
        dgated, dwo, dbo = back_y(back_drop(dy))                 # (B, T, D) -> (B, T, H)
        dgate = dgated * o
        if per_head:
            dgate = dgate.reshape(*gate.shape, d).sum(-1)        # (B, T, H) -> (B, T, h)
        du, dw2, db2 = back_s(back_gate(dgate))
        dxo, dw1, db1 = back_z(back_u(du))

        g.add(w1=dw1, b1=db1, w2=dw2, b2=db2, wo=dwo, bo=dbo)

        # x and o are used twice: by the gate and directly       (B, T, D + H) -> (B, T, D), (B, T, H)
        dx, do = dxo[..., :D].copy(), dgated * channel_gate + dxo[..., D:]
        first = 0
        for (name, _, h), back in zip(kinds, backs):
            dx += back(do[..., first:first + h * d], g[name])
            first += h * d
        return dx

    return y, backward


def post_step(p, stats, cfg):
    if "mla" in p:
        mla.post_step(p.mla, stats, cfg)


def check(cfg):
    yield from mla.check(cfg)
    if cfg.mla_v != cfg.head_width:
        yield (f"mla_v is {cfg.mla_v}; allowed in hybrid, whose heads all have the same width, is head_size / n_heads, "
               f"{cfg.head_width}; did you mean {cfg.head_width}?")


CASES = [dict(r_recall=0), dict(r_recall=1, c_hybrid_gate="head", c_position="rope"),
         dict(c_hybrid_gate="head", c_bias="none", r_temp=1.7, head_size=12),
         dict(r_recall=0.75, mla_latent="split", mla_norm="layernorm", mla_q_rank=3, mla_rank=9, mla_nope=1, c_position="rope")]
