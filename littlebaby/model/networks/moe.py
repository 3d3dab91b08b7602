"""moe: mixture of experts.

A router scores E networks, the experts, for every token; the k experts with the highest scores are used, and their outputs are summed with
weights. With k = E all experts are used (dense).
    s = softmax(x router) or sigmoid(x router)            C = the k largest of s + bias
    y = sum_{i in C} w_i expert_i(x) + shared(x)          w_i = r s_i, or r s_i / sum_C s
k, E, r are `n_active`, `n_experts`, `r_route_scale`. With `n_expert_groups` above 1, C is chosen from the `n_active_expert_groups` best
groups. The score of a group is the highest score of its experts, or with a bias the sum of the two highest. Tokens are sorted by expert,
and each expert computes its tokens in one block.

Without balancing, the experts that learn first get all tokens. Two methods prevent that, one at a time or together:
    r_aux E sum_i f_i P_i     an auxiliary loss: f_i is the fraction of choices of expert i, P_i its mean score, s_i / sum s
    bias_i + u or - u         after each step, for a load below or above the mean, u = `r_bias_update`; w_i does not contain the bias

Cost O(B T (k + n_shared) D F) for E D F weights, F = `s_expert`.  Cache per token 0.
Shazeer et al. 2017, arXiv:1701.06538; the loss: Fedus et al. 2021, arXiv:2101.03961; shared experts: Dai et al. 2024, arXiv:2401.06066;
groups and bias: DeepSeek-AI 2024, arXiv:2412.19437.  Deviations: the capacity of an expert is not limited; the loss can be
computed per sequence.
"""
from ...arrays import linear, proportions, sigmoid, softmax
from ...arrays.backend import to_numpy, xp
from ...arrays.tree import matrix, vector
from ...errors import not_a_divisor
from ..context import variant

OPTIONS = dict(
    n_experts=(4, "Number of experts: parameters grow with it, time only with n_active.", (1, 4096)),
    n_active=(0, "Experts that compute each token (top-k); 0 means all experts: no routing, and the longest time.", (0, 4096)),
    n_shared=(0, "Shared experts, which compute every token; together they are one network of their joint width.", (0, 256)),
    c_expert=("mlp", "Network of an expert.", ("mlp", "swi")),
    s_expert=(0, "Hidden width of an expert; 0 means that of a whole network.", (0, 2**20)),
    c_router=("softmax_topk", "Weights of the chosen experts: softmax over the chosen (softmax_topk) or over all (softmax), sigmoids "
                              "normalized over the chosen (sigmoid), or plain sigmoids (sigmoid_raw).",
              ("softmax_topk", "softmax", "sigmoid", "sigmoid_raw")),
    n_expert_groups=(1, "Groups of experts, a divisor of n_experts: a token only uses experts of its best groups.", (1, 4096)),
    n_active_expert_groups=(0, "Groups that each token may use; 0 means all.", (0, 4096)),
    r_route_scale=(1.0, "Factor on the output of the routed experts.", (0.001, 1000)),
    r_aux=(0.01, "Weight of the load-balancing loss; at 0 a few experts may get all tokens.", (0, 100)),
    c_aux=("topk", "Scale of the load-balancing loss: equal loads give r_aux (topk) or r_aux * n_active (share).", ("share", "topk")),
    c_balance=("sequence", "Tokens over which loads are balanced: those of a sequence, which gives the same loss on any number of "
                           "threads, or those of a thread's part of the batch.", ("sequence", "batch")),
    r_bias_update=(0.0, "Step of the selection bias, which favours experts with few tokens; used with or instead of r_aux.", (0, 1)),
    n_dense_layers=(0, "Number of layers, from the first one, that have one network of full width instead of experts.", (0, 1023)))
ROUTED = True    # the number of rows of an expert's matrix product depends on later tokens, and the rounding of its sums depends on it
UNNORMALIZED = ("softmax", "sigmoid_raw")  # routers whose scores are the weights without normalization


def params(cfg):
    net, E, F = variant("networks", cfg.c_expert), cfg.n_experts, cfg.s_expert
    p = dict(router=matrix(cfg.n_emb, E, kind="router"), experts=[net.weights(cfg, F) for _ in range(E)])
    if cfg.n_shared:
        p["shared"] = net.weights(cfg, cfg.n_shared * F)         # one network of their joint width equals the sum of n_shared experts
    if cfg.r_bias_update:
        p["bias"] = vector(E, train=False)
    return p


def forward(p, x, ctx):
    cfg, D = ctx.cfg, x.shape[-1]
    net, E, k = variant("networks", cfg.c_expert), cfg.n_experts, cfg.n_active
    rows = x.reshape(-1, D)                                      # (B, T, D) -> (N, D)
    N = len(rows)

    # the chosen experts and the weight of each output           (N, D) -> (N, E) -> (N, k)
    z, back_z = linear(rows, p.router)
    s, back_s = (sigmoid if "sigmoid" in cfg.c_router else softmax)(z)
    chosen = ctx.freeze_decision("chosen", select_experts(s, p.get("bias"), cfg))
    w, back_w = gate_weights(s, chosen, cfg)
    back_balance = balance_loss(s, chosen, x.shape, ctx)

    # N k assignments, sorted by expert; permute and unpermute are each other's gradient
    order = xp.argsort(chosen.reshape(-1), kind="stable")        # (N k)
    inverse = xp.empty_like(order)                               # (N k), inverse[order[i]] = i
    inverse[order] = xp.arange(N * k)
    permute = lambda a: a[order // k]                            # (N, D) -> (N k, D)
    unpermute = lambda a: a[inverse].reshape(N, k, D).sum(1)     # (N k, D) -> (N, D)
    load = xp.bincount(chosen.reshape(-1), minlength=E)          # (E)
    ctx.note("load", load)
    ends = to_numpy(load.cumsum()).tolist()                      # the only numbers that are copied from a GPU to the CPU
    blocks = [slice(first, last) for first, last in zip([0, *ends], ends)]

    # every expert computes its own block                        (N k, D) -> (N k, D) -> (N, D)
    permuted, gates = permute(rows), w.reshape(-1, 1)[order]     # (N k, D), (N k, 1)
    outputs, backs = zip(*(net.forward(pe, permuted[block], ctx) for pe, block in zip(p.experts, blocks)))
    outputs = xp.concatenate(outputs)
    y = unpermute(outputs * gates)
    shared, back_shared = net.forward(p.shared, rows, ctx) if "shared" in p else (0, lambda dy, g: 0)
    y += shared

    def backward(dy, g):
        dy = dy.reshape(N, D)                                    # (B, T, D) -> (N, D)
        dpermuted = permute(dy)                                  # (N, D) -> (N k, D)
        dw = (dpermuted * outputs).sum(-1)[inverse].reshape(N, k)
        dpermuted *= gates
        drows = unpermute(xp.concatenate([back(dpermuted[block], ge) for back, block, ge in zip(backs, blocks, g.experts)]))
        drows += back_shared(dy, g.get("shared"))
        drows_z, drouter, _ = back_z(back_s(back_w(dw) + back_balance()))        # (N, k) -> (N, E) -> (N, D)

        g.router += drouter
        return (drows + drows_z).reshape(x.shape)

    return y.reshape(x.shape), backward


def select_experts(s, bias, cfg):
    """The experts of each token, (N, E) -> (N, k); of equal scores the expert with the smaller number"""
    (N, E), k = s.shape, cfg.n_active
    if k == E:
        return xp.broadcast_to(xp.arange(E), (N, E))
    s = s.copy() if bias is None else s + bias
    if cfg.n_active_expert_groups < cfg.n_expert_groups:
        grouped = s.reshape(N, cfg.n_expert_groups, -1)          # (N, E) -> (N, G, E / G)
        group_scores = grouped.max(-1) if bias is None else xp.sort(grouped, -1)[..., -2:].sum(-1)
        best = xp.argsort(-group_scores, -1, kind="stable")[:, :cfg.n_active_expert_groups]
        allowed = (best[..., None] == xp.arange(cfg.n_expert_groups)).any(1)     # (N, G)
        s = xp.where(allowed[..., None], grouped, -xp.inf).reshape(N, E)
    tokens, chosen = xp.arange(N), []
    for _ in range(k):                                           # k maxima, one after the other, cost less than sorting E scores
        chosen.append(s.argmax(1))
        s[tokens, chosen[-1]] = -xp.inf
    return xp.stack(chosen, 1)


def gate_weights(s, chosen, cfg):
    """The weight of each chosen expert's output: scores (N, E) -> w (N, k), back(dw) -> ds"""
    at = xp.arange(len(s))[:, None], chosen                      # s[at]: (N, k)
    share, back_share = (s[at], lambda dshare: dshare) if cfg.c_router in UNNORMALIZED else proportions(s[at])

    def back(dw):
        ds = xp.zeros_like(s)                                    # (N, k) -> (N, E)
        ds[at] = back_share(dw * cfg.r_route_scale)
        return ds

    return cfg.r_route_scale * share, back


def balance_loss(s, chosen, shape, ctx):
    """In training, report the auxiliary loss r_aux E sum_i f_i P_i, of each sequence or of the whole batch. Returns back: back() is ds
    (N, E), or 0 if there is no such loss.

    f is a fraction of choices, so it has no gradient; P has one. Tokens without a target are counted in neither.
    """
    cfg, (N, E) = ctx.cfg, s.shape
    if ctx.rng is None or not cfg.r_aux or cfg.n_active == E:
        return lambda: 0
    # c: the weight of each token in a mean over all tokens      (N, .) -> (B, T, .), or (1, N, .) for the whole batch
    per_sequence = lambda a: a.reshape(shape[0] if cfg.c_balance == "sequence" else 1, -1, a.shape[-1])
    c = xp.ones((N, 1), s.dtype) if ctx.counted is None else ctx.counted.reshape(N, 1).astype(s.dtype)
    c = per_sequence(c / xp.maximum(c.sum(), 1))
    f = expert_fractions(per_sequence(chosen), c, cfg)           # (B, 1, E)
    P, back_P = proportions(s) if "sigmoid" in cfg.c_router else (s, lambda dP: dP)          # a softmax sums to 1 already
    penalty = cfg.r_aux * E * (c * f).reshape(N, E)              # (B, T, E) -> (N, E)
    aux_weight = ctx.aux("balance", (penalty * P).sum())         # P is that of each token here, and c takes the mean
    return lambda: back_P(aux_weight * penalty)


def expert_fractions(chosen, c, cfg):
    """f (B, 1, E): how often an expert is chosen, per counted token; with `c_aux` topk divided by k, as a fraction of all choices"""
    choices = (chosen[..., None] == xp.arange(cfg.n_experts)).astype(c.dtype).sum(2)     # (B, T, k) -> (B, T, E)
    f = (c * choices).sum(1, keepdims=True) / xp.maximum(c.sum(1, keepdims=True), 1e-20)         # 0 / 1e-20 without counted tokens
    return f / cfg.n_active if cfg.c_aux == "topk" else f


def post_step(p, stats, cfg):
    """Update the selection bias; in a model with adapters it is frozen, like all other weights of the base"""
    if cfg.r_bias_update and not cfg.lora_rank:
        p.bias += cfg.r_bias_update * xp.sign(stats["load"].mean() - stats["load"])


def defaults(cfg):
    return dict(s_expert=cfg.hidden, n_active=cfg.n_experts, n_active_expert_groups=cfg.n_expert_groups)


def check(cfg):
    E, k, G, active = cfg.n_experts, cfg.n_active, cfg.n_expert_groups, cfg.n_active_expert_groups
    if E % G:
        yield not_a_divisor("n_expert_groups", G, "n_experts", E)
    elif active > G:
        yield f"n_active_expert_groups is {active}; allowed is a whole number from 1 to n_expert_groups, {G}; did you mean {G}?"
    elif k > (largest := active * E // G):
        limit = f"n_experts, {E}" if active == G else f"{largest}, the experts of {active} of {G} groups"
        yield f"n_active is {k}; allowed is a whole number from 1 to {limit}; did you mean {largest}?"
    if k == 1 < E and cfg.c_router in ("softmax_topk", "sigmoid") and not cfg.r_aux:
        yield (f"n_active is 1, and c_router {cfg.c_router} then gives every expert's output the weight 1: with r_aux 0 the router has no "
               f"gradient; allowed are c_router softmax, r_aux above 0 or n_active from 2; did you mean r_aux 0.01?")
    if cfg.n_dense_layers >= cfg.n_layers:
        yield (f"n_dense_layers is {cfg.n_dense_layers}, which leaves none of {cfg.n_layers} layers to moe; allowed is a whole "
               f"number from 0 to {cfg.n_layers - 1}; did you mean {cfg.n_layers - 1}?")


def network_of_layer(cfg, i):
    """The name of the network of layer i: c_expert at full width in the first `n_dense_layers`, moe in all others"""
    return cfg.c_expert if i < cfg.n_dense_layers else cfg.c_network


CASES = [
    dict(c_expert="swi", c_bias="all", n_shared=2, r_route_scale=1.7), dict(n_active=2), dict(n_active=1, n_dense_layers=1),
    dict(n_active=2, c_router="softmax", c_aux="share", c_bias="none", n_shared=1, s_expert=5),
    dict(n_active=2, c_router="sigmoid", c_expert="swi", c_balance="batch", r_bias_update=0.01),
    dict(n_active=3, c_router="sigmoid_raw", r_route_scale=1.7),
    dict(n_active=2, c_router="sigmoid", n_experts=6, n_expert_groups=3, n_active_expert_groups=2, r_bias_update=0.01),
    dict(n_active=3, n_experts=6, n_expert_groups=3, n_active_expert_groups=2, s_hidden=5)]
