"""The GPT: embedding, L blocks, head, loss. The same forward is used in training, evaluation and generation.

    x = token(ids) + position        x = block_i(x), i < L        logits = norm(x) head
A block is an attention f and a network f, each with a residual connection: pre, x + f(norm x), or post, norm(x + f x).
Radford et al. 2019; Vaswani et al. 2017.
"""
from ..arrays import cross_entropy, embedding, linear
from ..arrays.tree import matrix, table, vector
from .context import Context, variant


def params(cfg):
    """The spec of a whole model, from which `tree.init`, `tree.views` and `tree.named` make arrays."""
    attention, norm, position = parts(cfg)
    block = lambda i: dict(norm1=norm.params(cfg), att=attention.params(cfg), norm2=norm.params(cfg), net=network(cfg, i).params(cfg))
    p = dict(token=table(cfg.n_vocab, cfg.n_emb), position=position.params(cfg), blocks=[block(i) for i in range(cfg.n_layers)])
    if cfg.c_sequence == "pre" or cfg.b_norm_last:
        p["norm"] = norm.params(cfg)
    if cfg.b_scalar_head:                                        # a reward model: one number in place of V logits
        return p | dict(head=dict(w=matrix(cfg.n_emb, 1, std=0.0, kind="head")))
    p["head"] = {} if cfg.b_tied else dict(w=matrix(cfg.n_emb, cfg.n_vocab, kind="head"))
    if cfg.c_bias == "out" or cfg.b_bias_head:
        p["head"]["b"] = vector(cfg.n_vocab)
    return p


def parts(cfg):
    """The modules of a config: attention, norm, position"""
    return variant("attentions", cfg.c_attention), variant("norms", cfg.c_norm), variant("positions", cfg.c_position)


def network(cfg, i):
    """The module of the network of layer i: c_network, or another one if that module's `network_of_layer` returns one"""
    module = variant("networks", cfg.c_network)
    return variant("networks", module.network_of_layer(cfg, i)) if hasattr(module, "network_of_layer") else module


def pre(norm, f, pn, p, x, ctx, part):
    """x + f(norm x): the residual stream is not normalized, so gradients pass it unchanged (Xiong et al. 2020)

    pn, gn: weights of the norm, and their gradients      p, g: those of f      part: attention or network
    """
    n, back_n = norm.forward(pn, x, ctx)
    y, back_f = f(p, n, ctx)
    y = ctx.observe(part, y)
    y += x

    def backward(dy, gn, g):
        dx = back_n(back_f(dy, g), gn)
        dx += dy
        return dx

    return y, backward


def post(norm, f, pn, p, x, ctx, part):
    """norm(x + f x): the order of the original Transformer; arguments as in `pre`"""
    y, back_f = f(p, x, ctx)
    y = ctx.observe(part, y)
    y += x
    n, back_n = norm.forward(pn, y, ctx)

    def backward(dn, gn, g):
        dy = back_n(dn, gn)
        dx = back_f(dy, g)
        dx += dy
        return dx

    return n, backward


def block(p, x, ctx):
    attention, norm, _ = parts(ctx.cfg)
    sublayer = pre if ctx.cfg.c_sequence == "pre" else post
    x, back_att = sublayer(norm, attention.forward, p.norm1, p.att, x, ctx.inside("att"), "attention")
    x, back_net = sublayer(norm, network(ctx.cfg, ctx.layer_index).forward, p.norm2, p.net, x, ctx.inside("net"), "network")
    x = ctx.observe("block", x)

    def backward(dx, g):
        return back_att(back_net(dx, g.norm2, g.net), g.norm1, g.att)

    return x, backward


def forward(p, ids, ctx):
    """ids (B, T) -> logits (B, T, V), backward; `backward(dlogits, g)` adds the gradient of every weight to g"""
    _, norm, position = parts(ctx.cfg)

    # token and position                                         (B, T) -> (B, T, D)
    x, back_token = embedding(ids, p.token)
    x, back_position = position.forward(p.position, x, ctx)
    x, back_drop = ctx.dropout(x)
    x = ctx.observe("embedding", x)

    backs = []
    for i, pb in enumerate(p.blocks):
        x, back = block(pb, x, ctx.layer(i))
        backs.append(back)

    # logits of the next token                                   (B, T, D) -> (B, T, V)
    x, back_norm = norm.forward(p.norm, x, ctx) if "norm" in p else (x, lambda dx, g: dx)
    logits, back_head = linear(x, unembedding(p), p.head.get("b"))

    def backward(dlogits, g):
        dx, dw, db = back_head(dlogits)
        if "w" in p.head:
            g.head.w += dw
        else:
            g.token += dw.T                                      # tied: the token table is used twice, and its gradient is the sum
        g.head.add(b=db)
        dx = back_norm(dx, g.get("norm"))
        while backs:                                             # frees the activations of each block after its backward
            back = backs.pop()
            dx = back(dx, g.blocks[len(backs)])
        dx = back_position(back_drop(dx), g.position)
        g.token += back_token(dx)

    return logits, backward


def unembedding(p):
    """The matrix of the head (D, V); with b_tied it is the token table, transposed"""
    return p.head.w if "w" in p.head else p.token.T


def loss(p, ids, targets, ctx):
    """The mean cross-entropy over counted targets (B, T), in nats; a target of -1 is not counted"""
    logits, _ = forward(p, ids, ctx.counting(targets))
    return cross_entropy(logits, targets)[0]


def loss_and_grad(p, g, ids, targets, ctx):
    """Add the gradient of cross-entropy + auxiliary losses, times ctx.share and ctx.scale, to g; returns the cross-entropy in nats"""
    logits, backward = forward(p, ids, ctx.counting(targets))
    value, back = cross_entropy(logits, targets)
    backward(back(ctx.share * ctx.scale), g)
    return value


def post_step(p, stats, cfg):
    """Called after the optimizer step: every variant with a `post_step` updates its weights from the statistics that it reported"""
    attention, _, _ = parts(cfg)
    for i, pb in enumerate(p.blocks):
        reported = {name: value for (layer, name), (_, value) in stats.items() if layer == i}
        for module, part in ((attention, pb.att), (network(cfg, i), pb.net)):
            if hasattr(module, "post_step"):
                module.post_step(part, reported, cfg)


__all__ = ["Context", "post_step", "forward", "loss", "loss_and_grad", "params", "unembedding"]
