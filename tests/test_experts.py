"""moe and lor: by formula token by token, by kin, in shards, in whole trainings, and broken on purpose."""
import json
import sys
from importlib import import_module
from itertools import product
from math import sqrt, tanh
from types import SimpleNamespace

import numpy as np
import pytest

from littlebaby import plans
from littlebaby.arrays import tree
from littlebaby.check import laws, preflight
from littlebaby.check.mistakes import broken_copy as broken
from littlebaby.errors import BadInput
from littlebaby.inference.baby import Baby
from littlebaby.model import context, gpt
from littlebaby.model.context import Context, variant
from littlebaby.model.networks import lor, moe
from littlebaby.runs.settings import Config
from littlebaby.training import flat as flat_vector
from littlebaby.training.loop import begin, train
from littlebaby.training.parallel import Workers, gradient, shard_gradient

# the formulas, token by token: w the weights by name, x (T, D) one text -> (T, D)


def expert(x, w, stem, cfg):
    """One token (D) through one mlp or swi"""
    of = lambda name: w.get(f"{stem}.{name}", 0)
    if cfg.c_expert == "mlp":
        u = x @ of("up") + of("b1")
        return np.array([0.5 * v * (1 + tanh(sqrt(2 / np.pi) * (v + 0.044715 * v ** 3))) for v in u]) @ of("down") + of("b2")
    a, b = x @ of("gate") + of("bgate"), x @ of("up") + of("bup")
    return (a / (1 + np.exp(-a)) * b) @ of("down") + of("bdown")


def scores(x, w, cfg):
    z = x @ w["router"]
    return 1 / (1 + np.exp(-z)) if "sigmoid" in cfg.c_router else np.exp(z - max(z)) / np.exp(z - max(z)).sum()


def asked(s, w, cfg):
    """The experts that one token asks: one after the other the best that is left, in the groups that are open"""
    worth, size = s + w.get("bias", 0), cfg.n_experts // cfg.n_expert_groups
    inside = lambda g: sorted(worth[g * size:(g + 1) * size])
    rank = lambda g: sum(inside(g)[-2:]) if cfg.r_bias_update else inside(g)[-1]
    groups = sorted(range(cfg.n_expert_groups), key=lambda g: (-rank(g), g))[:cfg.n_active_expert_groups]
    return sorted((i for i in range(cfg.n_experts) if i // size in groups), key=lambda i: (-worth[i], i))[:cfg.n_active]


def mixture(x, w, cfg):
    out = []
    for token in x:
        s = scores(token, w, cfg)
        chosen = asked(s, w, cfg)
        total = 1 if cfg.c_router in ("softmax", "sigmoid_raw") else sum(s[i] for i in chosen)
        y = sum(cfg.r_route_scale * s[i] / total * expert(token, w, f"experts.{i}", cfg) for i in chosen)
        out.append(y + (expert(token, w, "shared", cfg) if cfg.n_shared else 0))
    return np.array(out)


def unequal(x, w, cfg, counts):
    """The loss r E sum_i f_i P_i: x (B, T, D), counts (B, T); of every sequence, by its share of the tokens, or of all at once"""
    rows = [(x[b], counts[b]) for b in range(len(x))] if cfg.c_balance == "sequence" else [(x.reshape(-1, x.shape[-1]), counts.reshape(-1))]
    loss = 0
    for tokens, real in rows:
        s = [scores(t, w, cfg) for t, yes in zip(tokens, real) if yes]
        if s:
            f = sum(np.bincount(asked(each, w, cfg), minlength=cfg.n_experts) for each in s) / len(s)
            P = sum(each / each.sum() for each in s) / len(s)
            loss += len(s) / counts.sum() * (f * P).sum() / (cfg.n_active if cfg.c_aux == "topk" else 1)
    return cfg.r_aux * cfg.n_experts * loss


def lowrank(x, w, cfg):
    return x @ w["w0"] + w["b0"] + cfg.network_alpha / cfg.network_rank * (x @ w["a"] @ w["b"])


def apart(layer, cfg, formula, **how):
    """How far a layer is from its formula, relative to the largest number"""
    s = laws.random_layer(layer, cfg, **how)
    y, _ = layer.forward(s.p, s.x, Context(cfg))
    w = {name: value.astype(float) for name, value in tree.named(s.spec, s.flat).items()}
    want = np.array([formula(x, w, cfg) for x in s.x.astype(float)])
    return np.abs(y - want).max() / np.abs(want).max()


def small(**more):
    return laws.config("networks", "moe", **{**dict(n_experts=6, n_active=2, s_expert=5), **more})


MIXTURES = [dict(c_router=router, c_expert=net, n_active=k) for router, net, k in
            product(("softmax_topk", "softmax", "sigmoid", "sigmoid_raw"), ("mlp", "swi"), (1, 2, 5, 6))] + [
    dict(n_shared=2, r_route_scale=2.5, c_bias="all"), dict(c_bias="none", c_router="softmax", n_shared=1),
    dict(c_router="sigmoid", r_bias_update=0.1), dict(r_bias_update=0.1, n_active=3),
    dict(n_expert_groups=3, n_active_expert_groups=1), dict(n_expert_groups=2, n_active_expert_groups=1, n_active=3, c_router="sigmoid"),
    dict(n_expert_groups=3, n_active_expert_groups=2, n_active=4, r_bias_update=0.1), dict(n_expert_groups=6, n_active_expert_groups=3,
                                                                                           r_bias_update=0.1),
    dict(n_expert_groups=2, n_active_expert_groups=1, c_router="sigmoid", r_bias_update=0.1, n_shared=1)]
names = lambda settings: ["-".join(map(str, more.values())) for more in settings]


@pytest.mark.parametrize("more", MIXTURES, ids=names(MIXTURES))
def test_formula(more):
    """Law 8, ordinary and large inputs, one token and many"""
    for T, x_size in ((1, 1.0), (9, 1.0), (40, 4.0)):
        assert apart(moe, small(**more), mixture, T=T, x_size=x_size) < 1e-12
    assert apart(moe, small(**more), mixture, T=60, dtype=np.float32) < 2e-5


@pytest.mark.parametrize("more", [dict(zip(("c_balance", "c_aux", "c_router"), each)) for each in
                                  product(("sequence", "batch"), ("share", "topk"), ("softmax_topk", "softmax", "sigmoid", "sigmoid_raw"))],
                         ids=lambda more: "-".join(more.values()))
def test_the_loss_of_unequal_loads(more):
    """Its formula, tokens without a target left out; its whole gradient, though y has none, with half the tokens"""
    cfg = small(r_aux=0.3, **more)
    s = laws.random_layer(moe, cfg, B=3, T=7)
    counts = np.ones((3, 7), bool)
    counts[1, 2:] = counts[0] = False
    w = tree.named(s.spec, s.flat)
    held: dict = {}

    def said(grad=None):
        ctx = Context(cfg, np.random.default_rng(0), share=0.7, counted=counts, decisions=held)
        y, backward = moe.forward(s.p, s.x, ctx)
        if grad is not None:
            grad[0] = backward(np.zeros_like(y), tree.views(s.spec, grad[1]))
        return ctx.stats[0, "aux.balance"][1]

    grad = [None, np.zeros_like(s.flat)]
    assert abs(said(grad) - 0.7 * unequal(s.x, w, cfg, counts)) < 1e-14
    assert laws.relative(grad[0], laws.differences(said, s.x), 0) < 1e-8
    assert laws.relative(grad[1], laws.differences(said, s.flat), 0) < 1e-8
    assert np.abs(grad[0][0]).max() == 0 < np.abs(grad[0][2]).max()
    assert not {name: g for name, g in tree.named(s.spec, grad[1]).items() if name != "router" and g.any()}


def test_equal_loads_cost_what_the_settings_say():
    """topk: r_aux; share: n_active times that; an asked-for-everything costs up to n_experts / n_active times as much"""
    for c_aux, router in product(("topk", "share"), ("softmax", "sigmoid")):
        cfg = small(n_emb=6, head_size=12, c_aux=c_aux, c_router=router, r_aux=0.25, c_bias="none")
        p = moe.params(cfg)
        flat = np.zeros(tree.size(p))
        views = tree.views(p, flat)
        views.router[...] = 40 * np.eye(6)
        x = np.eye(6) + 0.999 * np.roll(np.eye(6), 1, 1)         # token i asks i and i + 1
        even, one = (said_of(moe, views, each[None] - 1, cfg) for each in (x, np.tile(x[:1], (6, 1))))
        assert abs(even / (0.25 * (2 if c_aux == "share" else 1)) - 1) < 1e-9
        assert abs(one / even - 3) < 0.1


def said_of(layer, p, x, cfg):
    ctx = Context(cfg, np.random.default_rng(0))
    layer.forward(p, x, ctx)
    return ctx.stats[0, "aux.balance"][1]


def test_a_reported_loss_is_cross_entropy_alone():
    """And evaluation and a dense mixture report nothing else, for there is nothing to balance"""
    cfg = laws.config("networks", "moe", n_active=2, r_aux=5.0)
    spec, flat, p, rng = laws.model(cfg)
    ids, targets = rng.integers(0, 11, (2, 3, 6))
    ctx = Context(cfg, np.random.default_rng(0))
    plain = gpt.loss(p, ids, targets, Context(cfg))
    assert gpt.loss_and_grad(p, tree.views(spec, np.zeros_like(flat)), ids, targets, ctx) == plain
    assert laws.auxiliary_sum(ctx) > 2 * 5 * 0.9
    for quiet in (Context(cfg), Context(cfg.replace(n_active=0), np.random.default_rng(0)),
                  Context(cfg.replace(r_aux=0), np.random.default_rng(0))):
        gpt.loss(p, ids, targets, quiet)
        assert laws.auxiliary_sum(quiet) == 0 and {(0, "load"), (1, "load")} == set(quiet.stats)


# who is asked

@pytest.mark.parametrize("more", [dict(n_active=1, c_router="softmax"), dict(n_active=1), dict(n_active=2, c_router="sigmoid"),
                                  dict(n_active=3, n_shared=1), dict(n_active=2, c_expert="swi", r_dropout=0.2)])
def test_an_expert_that_no_one_asks_and_one_that_all_ask(more):
    """All gradients by differences; the idle expert's is 0 and there"""
    cfg = small(r_bias_update=0.1, **more)
    s = laws.random_layer(moe, cfg)
    trained = tree.size(s.spec, train=True)

    push = np.array([9.0, 0, -9, 0, 0, -9])
    forward = lambda p, x, ctx: moe.forward(tree.Tree(p, bias=push), x, ctx)

    assert laws.gradient(SimpleNamespace(params=moe.params, forward=forward), cfg) < laws.EXACT
    grad, ctx = np.zeros(trained), Context(cfg)
    forward(s.p, s.x, ctx)[1](s.dy, tree.views(s.spec, grad))
    load = ctx.stats[0, "load"][1]
    assert load[0] == 10 and load[2] == load[5] == 0 and load.sum() == 10 * cfg.n_active
    g = tree.named(s.spec, grad)
    alive = lambda i: {bool(g[name].any()) for name in g if name.startswith(f"experts.{i}.")}
    assert alive(0) == {True} and alive(2) == alive(5) == {False}


def test_between_equals_the_smaller_number_is_asked():
    for router, k in product(("softmax", "softmax_topk", "sigmoid"), (1, 2, 4)):
        cfg = small(n_active=k, c_router=router)
        s = laws.random_layer(moe, cfg)
        s.p.router[...] = 0
        ctx = Context(cfg)
        moe.forward(s.p, s.x, ctx)
        assert ctx.stats[0, "load"][1].tolist() == [10] * k + [0] * (6 - k)
    cfg = small(n_expert_groups=3, n_active_expert_groups=2, n_active=4)
    assert moe.select_experts(np.full((1, 6), 0.5), None, cfg).tolist() == [[0, 1, 2, 3]]
    assert moe.select_experts(np.array([[1.0, 0, 2, 0, 2, 9]]), np.zeros(6), cfg).tolist() == [[5, 2, 4, 3]]


def test_sparse_means_sparse(monkeypatch):
    """Every expert is called once, and together they see k rows for each token"""
    cfg, seen = small(n_active=2), []
    mlp = variant("networks", "mlp")
    forward = mlp.forward
    monkeypatch.setattr(mlp, "forward", lambda p, x, ctx: (seen.append(len(x)), forward(p, x, ctx))[1])
    s = laws.random_layer(moe, cfg, T=50)
    ctx = Context(cfg)
    moe.forward(s.p, s.x, ctx)
    assert seen == ctx.stats[0, "load"][1].tolist() and len(seen) == 6 and sum(seen) == 2 * 100


def test_a_lonely_choice_teaches_the_router_nothing_but_balance():
    """Renormalised over one expert every weight is 1: no gradient but the loss's own. So r_aux 0 is refused"""
    cfg = small(n_active=1, r_aux=0.5)
    s = laws.random_layer(moe, cfg)
    for rng, learns in ((None, False), (np.random.default_rng(0), True)):
        g = tree.views(s.spec, np.zeros_like(s.flat))
        moe.forward(s.p, s.x, Context(cfg, rng))[1](s.dy, g)
        assert (np.abs(g.router).max() > 1e-6) == learns and (learns or np.abs(g.router).max() < 1e-14)


def test_routers_far_from_0_stay_finite():
    """float32, scores that underflow: weights are numbers, and no gradient is anything else"""
    for router, size in product(("softmax", "softmax_topk", "sigmoid"), (1e2, 1e4)):
        cfg = small(c_router=router, n_active=3, d_type="fp32")
        s = laws.random_layer(moe, cfg, dtype=np.float32)
        s.p.router[...] = -np.abs(s.p.router) * size
        grad = np.zeros_like(s.flat)
        y, backward = moe.forward(s.p, np.abs(s.x), Context(cfg, np.random.default_rng(0)))
        assert np.isfinite(y).all() and np.isfinite(backward(s.dy, tree.views(s.spec, grad))).all() and np.isfinite(grad).all()


# kin

@pytest.mark.parametrize("net", ["mlp", "swi"])
@pytest.mark.parametrize("router", ["softmax_topk", "softmax"])
def test_one_expert_alone_is_that_network(net, router):
    """Law 9, gradients and dropout too"""
    cfg = small(n_experts=1, n_active=1, c_expert=net, c_router=router, s_expert=7, s_hidden=7, r_dropout=0.3)
    layer = variant("networks", net)
    s, alone = laws.random_layer(moe, cfg), layer.params(cfg)
    w = tree.named(s.spec, s.flat)
    plain = np.zeros(tree.size(alone))
    for name, view in tree.named(alone, plain).items():
        view[...] = w[f"experts.0.{name}"]
    got, want = np.zeros_like(s.flat), np.zeros_like(plain)
    y, back = moe.forward(s.p, s.x, Context(cfg, np.random.default_rng(3)))
    z, back_alone = layer.forward(tree.views(alone, plain), s.x, Context(cfg, np.random.default_rng(3)))
    dx, dz = back(s.dy, tree.views(s.spec, got)), back_alone(s.dy, tree.views(alone, want))
    assert np.abs(y - z).max() < 1e-14 and np.abs(dx - dz).max() < 1e-14
    g = tree.named(s.spec, got)
    assert all(np.abs(g[f"experts.0.{name}"] - d).max() < 1e-13 for name, d in tree.named(alone, want).items())


def test_equal_experts_are_one_and_their_order_is_nothing():
    cfg = small(n_active=3, c_bias="all", r_bias_update=0.1)
    s = laws.random_layer(moe, cfg)
    y, _ = moe.forward(s.p, s.x, Context(cfg))
    order = np.random.default_rng(0).permutation(6)
    turned = tree.Tree(s.p, router=s.p.router[:, order], bias=s.p.bias[order], experts=[s.p.experts[i] for i in order])
    assert np.abs(moe.forward(turned, s.x, Context(cfg))[0] - y).max() < 1e-13
    same = tree.Tree(s.p, experts=[s.p.experts[4]] * 6)
    want, _ = variant("networks", "mlp").forward(s.p.experts[4], s.x, Context(cfg))
    assert np.abs(moe.forward(same, s.x, Context(cfg))[0] - want).max() < 1e-13
    tokens = np.random.default_rng(1).permutation(10)
    mixed, _ = moe.forward(s.p, s.x.reshape(10, 8)[tokens].reshape(2, 5, 8), Context(cfg))
    assert np.abs(mixed.reshape(10, 8) - y.reshape(10, 8)[tokens]).max() < 1e-13


def test_shared_experts_are_experts_side_by_side():
    """One network of their joint width is the sum of n_shared of s_expert"""
    cfg = small(n_shared=3, c_bias="none", c_expert="swi")
    s = laws.random_layer(moe, cfg)
    bare, _ = moe.forward(tree.Tree({k: v for k, v in s.p.items() if k != "shared"}), s.x, Context(cfg))
    w, common = tree.named(s.spec, s.flat), 0
    for i in range(3):
        part = slice(5 * i, 5 * i + 5)
        a, b = s.x @ w["shared.gate"][:, part], s.x @ w["shared.up"][:, part]
        common = common + (a / (1 + np.exp(-a)) * b) @ w["shared.down"][part]
    assert np.abs(moe.forward(s.p, s.x, Context(cfg))[0] - bare - common).max() < 1e-13


def test_the_first_layers_may_be_dense():
    cfg = laws.config(c_network="moe", n_layers=3, n_dense_layers=2, c_expert="swi", s_hidden=9, s_expert=4, n_active=2, c_bias="none")
    blocks = gpt.params(cfg)["blocks"]
    assert [set(block["net"]) for block in blocks] == [{"wide", "down"}] * 2 + [{"router", "experts"}]
    assert blocks[1]["net"]["down"].shape == (9, 8) and blocks[2]["net"]["experts"][3]["down"].shape == (4, 8)
    assert laws.model_gradient(cfg.replace(r_dropout=0.1)) < laws.EXACT
    assert laws.decoding(cfg) < 1e-10


# shards and steps

@pytest.mark.parametrize("more", [dict(), dict(c_router="sigmoid", r_bias_update=0.1, c_aux="share"), dict(c_router="softmax", n_active=1)])
def test_shards_and_accumulated_batches_equal_the_whole(more):
    """Law 3 with the loss of unequal loads, windows without a target among them; over a batch that loss is not additive"""
    cfg = laws.config("networks", "moe", **{**dict(n_active=2, r_aux=0.5), **more})
    spec, flat, p, rng = laws.model(cfg)
    ids, targets = rng.integers(0, 11, (2, 5, 6))
    targets[0] = targets[3, 2:] = -1

    def run(n, cfg, batches):
        workers = Workers(n)
        grads = [np.zeros(tree.size(spec, train=True)) for _ in range(n)]
        loss, book = gradient(workers, grads, shard_gradient(workers, grads, spec, p, cfg), batches, (1, 2))
        workers.close()
        return loss, {key: value for key, (_, value) in book.items()}, grads[0]

    loss, said, whole = run(1, cfg, [(ids, targets)])
    for n, batches in ((2, [(ids, targets)]), (3, [(ids, targets)]), (1, [(ids[:2], targets[:2]), (ids[2:], targets[2:])]),
                       (2, [(ids[:1], targets[:1]), (ids[1:], targets[1:])])):
        other, heard, parts = run(n, cfg, batches)
        assert abs(loss - other) < 1e-12 and np.abs(whole - parts).max() < 1e-12
        assert abs(said[1, "aux.balance"] - heard[1, "aux.balance"]) < 1e-14 and said[1, "aux.balance"] > 0.3
        assert (said[0, "load"] == heard[0, "load"]).all() and said[0, "load"].sum() == 30 * cfg.n_active
    batch = cfg.replace(c_balance="batch")
    assert abs(run(1, batch, [(ids, targets)])[1][1, "aux.balance"] - run(2, batch, [(ids, targets)])[1][1, "aux.balance"]) > 1e-6


def batches_of(ids, B, T):
    """Windows of one text of ids"""
    class Windows:
        @staticmethod
        def batch(i):
            at = np.random.default_rng([7, i]).integers(0, len(ids) - T, B)
            rows = at[:, None] + np.arange(T + 1)
            return ids[rows[:, :-1]], ids[rows[:, 1:]]

    return Windows


def trained(steps=40, spoil=0.0, **more):
    """A small baby after some steps, and its last evaluation; spoil: how much the router prefers expert 0 at first"""
    cfg = Config(**{**dict(n_vocab=12, n_ctx=16, n_emb=16, n_heads=2, n_layers=2, c_network="moe", n_active=2, s_expert=16, n_sample=0,
                           s_warmup="none", c_device_cpu_cores=1, c_norm="rmsnorm", c_position="rope", r_learn=1e-2, s_eval=10), **more})
    baby = Baby(cfg, vocab_size=12)
    for name, w in baby.weights().items():
        if name.endswith("norm2.w"):
            w[0] = 3.0
        if name.endswith("net.router"):
            w[:, 0] += spoil * np.sign(np.random.default_rng(0).standard_normal(len(w)))
    ids = np.random.default_rng(0).integers(0, 12, 400).cumsum() % 12
    events = list(train(baby, begin(baby, steps), batches_of(ids, 4, 16), (ids[None, :16], ids[None, 1:17])))
    return baby, [event for event in events if hasattr(event, "load")]


def test_a_training_tells_what_each_expert_answered():
    baby, rows = trained(steps=20, n_dense_layers=1, n_experts=3)
    assert len(rows) == 2
    for row in rows:
        dense, load = row.load
        assert dense == [] and len(load) == 3 and sum(load) == 10 * 4 * 16 * 2 and all(isinstance(n, int) for n in load)
        assert 0.009 < row.aux_loss < 0.03
    assert all(row.load == [] and row.aux_loss is None for row in trained(steps=10, c_network="mlp")[1])
    assert all(row.aux_loss is None and row.load for row in trained(steps=10, r_aux=0)[1])


def test_both_remedies_spread_the_load():
    """Tokens that all prefer one expert: with the loss, and with the bias, others get their part; with neither they do not"""
    ill, loss, bias = (trained(60, spoil=0.5, n_experts=6, **more)[1] for more in (
        dict(r_aux=0), dict(r_aux=0.3), dict(r_aux=0, r_bias_update=0.02)))
    spread = lambda rows: max(max(layer) / sum(layer) for layer in rows[-1].load)
    assert spread(loss) < 0.8 * spread(ill) and spread(bias) < 0.8 * spread(ill)


def test_the_bias_follows_the_load_and_is_no_gradients():
    """after: + u where an expert had less than the mean, - u where more; frozen, so the optimizer has no moment for it"""
    cfg = small(r_bias_update=0.25)
    spec = moe.params(cfg)
    assert not spec["bias"].train and spec["bias"].fill == spec["bias"].std == 0
    p = tree.views(spec, np.zeros(tree.size(spec)))
    moe.post_step(p, dict(load=np.array([4, 0, 9, 3, 2, 6])), cfg)
    assert p.bias.tolist() == [0, 0.25, -0.25, 0.25, 0.25, -0.25]
    moe.post_step(p, dict(load=np.array([4, 0, 9, 3, 2, 6])), cfg.replace(lora_rank=2))
    assert p.bias.tolist() == [0, 0.25, -0.25, 0.25, 0.25, -0.25]
    baby, _ = trained(12, r_bias_update=0.25, n_dense_layers=1)
    bias = baby.weights()["blocks.1.net.bias"]
    assert bias.dtype == np.float32 and bias.any() and not np.abs(bias * 4 % 1).any()
    assert begin(baby, 1).optimizer["m"].size == tree.size(baby.spec, train=True) == baby.flat.size - 4


def test_first_weights_and_what_an_optimizer_may_do():
    cfg = Config(c_network="moe", n_emb=256, n_experts=64, n_layers=8, s_expert=300, n_active=2, c_expert="swi", c_bias="none")
    spec = moe.params(cfg)
    p = tree.views(spec, tree.init(spec, np.random.default_rng(0), np.float64))
    assert abs(p.router.std() / 0.02 - 1) < 0.05 and abs(p.experts[63].down.std() / 0.02 * 4 - 1) < 0.02
    assert spec["router"].kind == "router" and "router" not in flat_vector.DECAYED_KINDS
    assert {leaf.kind for path, leaf in tree.leaves(spec) if path.startswith("experts")} == {"matrix"}


# whole runs

TINY = dict(n_ctx=16, n_emb=16, n_heads=2, n_layers=2, batch_size=4, n_steps=12, s_eval=4, n_completion=20, n_sample=0, progress=False,
            c_device="cpu", c_device_cpu_cores=2)


def test_a_run_keeps_its_bias_its_report_and_its_way(tmp_path):
    """Stopped and resumed it is the run that never stopped; the model file and a reload hold the bias; a finetune goes on from it"""
    settings = dict(TINY, c_network="moe", n_active=2, r_bias_update=0.01, n_dense_layers=1, n_experts=3, s_expert=8)
    whole = plans.train(path=tmp_path / "a", **settings)
    count = iter(range(100))
    cut = plans.train(path=tmp_path / "b", stop=lambda: next(count) == 5, **settings)
    assert cut.report.stop_reason == "interrupted"
    resumed = plans.train(path=tmp_path / "b", resume=cut.guid, progress=False)
    a, b = (plans.load(run.guid, run.root) for run in (whole, resumed))
    assert np.array_equal(a.flat, b.flat) and a.weights()["blocks.1.net.bias"].any()
    rows = [[(row.load, row.aux_loss) for row in run.report.evaluations] for run in (whole, resumed)]
    assert rows[0] == rows[1] and [sum(load[1]) for load, _ in rows[0]] == [4 * 4 * 16 * 2] * 3
    manifest = json.loads((whole.root / "models" / f"model_{whole.guid}.json").read_text())
    assert not manifest["tensors"]["blocks.1.net.bias"]["trainable"] and manifest["parameters"]["frozen"] == 3
    tuned = plans.finetune(whole.guid, "nursery", path=tmp_path / "a", progress=False, n_steps=2, lora_rank=2, lora_targets="*")
    assert np.array_equal(plans.load(tuned.guid, tmp_path / "a").weights()["blocks.1.net.bias"], a.weights()["blocks.1.net.bias"])


def test_the_card_shows_the_experts(tmp_path):
    from littlebaby.show.card import card
    run = plans.train(path=tmp_path, **dict(TINY, n_steps=2, c_network="moe", n_active=1, n_experts=3, s_expert=8, n_dense_layers=1))
    text = card(plans.info(run.guid, tmp_path))
    line = next(line for line in text.splitlines() if line.startswith("experts"))
    assert "dense; " in line and line.count("%") == 3


def test_preflight_counts_the_experts_a_token_meets():
    """Four of sixteen experts: a quarter of their arithmetic, all of their parameters; and a probe of a small copy goes through"""
    cfg = Config(n_vocab=60, n_layers=3, n_dense_layers=2, c_network="moe", n_experts=16, n_active=4, n_shared=1, s_expert=32, n_emb=64)
    one = 2 * 64 * 32
    mine = preflight.products(moe.params(cfg), cfg)[0]
    assert mine == 2 * (64 * 16 + 5 * one) and tree.size(moe.params(cfg)) == 64 * 16 + 17 * (one + 32 + 64)
    dense = cfg.replace(n_active=16)
    sparse, all_ = (preflight.preflight(each, 10 ** 6, probe=False) for each in (cfg, dense))
    assert all_.flops_forward - sparse.flops_forward == 2 * 12 * one and all_.total == sparse.total
    assert sparse.memory_parts["weights"] == all_.memory_parts["weights"]
    assert sparse.memory_parts["activations"] < all_.memory_parts["activations"]
    assert preflight.preflight(cfg.replace(n_ctx=32, batch_size=2), 10 ** 4).tokens_per_second > 0


def test_published_sizes():
    """BabyKilat's network, from its card's 2,162,688 per expert: 4 routed, 2 shared; NANO-KIMI's 8 routed and 2 shared of width 1024"""
    kilat = Config(c_network="moe", c_expert="swi", c_bias="none", n_emb=512, n_heads=8, s_expert=1408, n_active=2, n_shared=2)
    assert tree.size(moe.params(kilat)) == 6 * 2_162_688 + 512 * 4
    kimi = Config(c_network="moe", c_expert="swi", c_bias="none", n_emb=896, n_heads=8, s_expert=1024, n_experts=8, n_active=2, n_shared=2)
    assert tree.size(moe.params(kimi)) == 27_532_288


REFUSED = [
    (dict(n_active=7), "n_active is 7; allowed is a whole number from 1 to n_experts, 6; did you mean 6?"),
    (dict(n_expert_groups=4), "n_expert_groups is 4; allowed are divisors of n_experts, 6; did you mean 3?"),
    (dict(n_expert_groups=3, n_active_expert_groups=5),
     "n_active_expert_groups is 5; allowed is a whole number from 1 to n_expert_groups, 3; did you mean 3?"),
    (dict(n_expert_groups=3, n_active_expert_groups=1, n_active=3),
     "n_active is 3; allowed is a whole number from 1 to 2, the experts of 1 of 3 groups"),
    (dict(n_active=1, r_aux=0), "n_active is 1, and c_router softmax_topk then gives every expert's output the weight 1"),
    (dict(n_active=1, r_aux=0, c_router="sigmoid"), "did you mean r_aux 0.01?"),
    (dict(n_dense_layers=2), "n_dense_layers is 2, which leaves none of 2 layers to moe"),
    (dict(c_expert="moe"), "c_expert"), (dict(c_router="top1"), "c_router"), (dict(n_shared=-1), "n_shared")]


@pytest.mark.parametrize("more, sentence", REFUSED, ids=names(more for more, _ in REFUSED))
def test_what_cannot_be_is_refused_with_a_reason(more, sentence):
    with pytest.raises(BadInput) as refusal:
        small(**more)
    assert sentence in str(refusal.value)
    if not more.keys() & {"c_expert", "c_router", "n_shared"}:
        laws.config(c_network="mlp", **{**dict(n_experts=6, n_active=2), **more})       # another network does not mind


def test_what_is_left_open_follows():
    cfg = small(n_active=0, s_expert=0, n_expert_groups=3)
    assert (cfg.n_active, cfg.n_active_expert_groups, cfg.s_expert) == (6, 3, cfg.hidden)
    more = cfg.replace(n_experts=12, s_hidden=21)
    assert (more.n_active, more.s_expert) == (12, 21) and small(n_active=1, r_aux=0, c_router="softmax").n_active == 1


# lor

def test_lor_is_its_formula():
    for more in (dict(), dict(network_rank=3, network_alpha=5.0)):
        cfg = laws.config("networks", "lor", **more)
        assert apart(lor, cfg, lowrank) < 1e-13
        assert apart(lor, cfg, lowrank, dtype=np.float32) < 1e-5


def test_lor_begins_as_its_projection_and_learns_beside_it(tmp_path):
    """Frozen numbers are counted apart, saved, and stay bit for bit; a and b move"""
    run = plans.train(path=tmp_path, **TINY, c_network="lor", network_rank=3)
    counts, D = run.report.figures.parameters, 16
    assert counts.frozen == 2 * (D * D + D) and counts.total - counts.frozen == counts.trainable
    after, before = plans.load(run.guid, tmp_path), Baby(run.config, seed=run.config.seed)
    moved = {name.split(".")[-1]: bool((after.weights()[name] != w).any()) for name, w in before.weights().items() if ".net." in name}
    assert moved == dict(w0=False, b0=False, a=True, b=True)
    assert not before.weights()["blocks.0.net.b"].any() and before.weights()["blocks.0.net.w0"].any()
    manifest = json.loads((run.root / "models" / f"model_{run.guid}.json").read_text())["tensors"]
    assert not manifest["blocks.1.net.w0"]["trainable"] and manifest["blocks.1.net.a"]["trainable"]
    about = preflight.preflight(run.config, 1000, probe=False)
    assert about.frozen == counts.frozen and about.trainable == counts.trainable
    forward, backward = preflight.products(lor.params(run.config), run.config)
    assert forward == 2 * (D * D + 2 * 3 * D) and backward == 2 * (D * D + 2 * 2 * 3 * D)
    assert about.memory_parts["weights"] == 4 * counts.total and about.memory_parts["optimizer"] == 8 * counts.trainable


# planted mistakes

ROUTED = dict(n_active=2, n_experts=4)
WRONG_PROPORTIONS = """from ...arrays import linear, sigmoid, softmax


def proportions(x):
    total = x.sum(-1, keepdims=True)
    y = x / total
    return y, lambda dy: {}"""
MISTAKES = [
    ("moe", "s.copy() if bias is None else s + bias", "s.copy()", "formula", dict(r_bias_update=0.1)),
    ("moe", "else proportions(s[at])", "else (s[at], lambda dshare: dshare)", "formula", {}),
    ("moe", "else proportions(s[at])", "else (proportions(s)[0][at], lambda dshare: dshare)", "formula", dict(c_router="sigmoid")),
    ("moe", "if cfg.c_router in UNNORMALIZED", "if cfg.c_router not in UNNORMALIZED", "formula", {}),
    ("moe", "return cfg.r_route_scale * share, back", "return share, back", "formula", dict(r_route_scale=1.7)),
    ("moe", "back_share(dw * cfg.r_route_scale)", "back_share(dw)", "gradient", dict(r_route_scale=1.7)),
    ("moe", "from ...arrays import linear, proportions, sigmoid, softmax", WRONG_PROPORTIONS.format("dy / total"), "gradient", {}),
    ("moe", "from ...arrays import linear, proportions, sigmoid, softmax",
     WRONG_PROPORTIONS.format("dy - (dy * y).sum(-1, keepdims=True)"), "gradient", {}),
    ("moe", "a[order // k]", "a[order % len(a)]", "formula", {}),
    ("moe", "a[inverse]", "a[order]", "formula", {}),
    ("moe", "dpermuted *= gates", "pass", "gradient", {}),
    ("moe", "(dpermuted * outputs).sum(-1)[inverse]", "(dpermuted * outputs).sum(-1)", "gradient", {}),
    ("moe", "outputs * gates", "outputs * w.reshape(-1, 1)", "formula", {}),
    ("moe", 'drows += back_shared(dy, g.get("shared"))', "pass", "gradient", dict(n_shared=1)),
    ("moe", "return (drows + drows_z)", "return drows", "gradient", {}),
    ("moe", "back_w(dw) + back_balance()", "back_w(dw)", "gradient", {}),
    ("moe", "back_P(aux_weight * penalty)", "back_P(penalty)", "gradient", {}),
    ("moe", "back_P(aux_weight * penalty)", "aux_weight * penalty", "gradient", dict(c_router="sigmoid")),
    ("moe", "[..., -2:].sum(-1)", "[..., -1:].sum(-1)", "formula", dict(n_experts=6, n_expert_groups=2, n_active_expert_groups=1,
                                                                        r_bias_update=0.1)),
    ("moe", "grouped.max(-1)", "grouped.min(-1)", "formula", dict(n_experts=6, n_expert_groups=2, n_active_expert_groups=1)),
    ("moe", "s.copy() if bias is None", "s - s.mean(0) if bias is None", "causality decoding", {}),
    ("moe", "bias is None else s + bias", "bias is None else s - bias", "formula", dict(r_bias_update=0.1)),
    ("moe", "g.router += drouter", "pass", "gradient life", {}),
    ("lor", "u *= scale", "pass", "formula", dict(network_alpha=3.0)),
    ("lor", "du * scale", "du", "gradient", {}),
    ("lor", "return dx + dx_a", "return dx", "gradient", {}),
    ("lor", "dy = back_drop(dy)", "pass", "gradient", dict(r_dropout=0.3)),
    ("lor", "a=da, ", "", "gradient life", {}),
]


def verdict(law, name, cfg, layer, label):
    """How far the law is broken: 0 is innocent. `label`: under which name the layer is found"""
    if law == "gradient":
        return laws.gradient(layer, cfg, T=7)
    if law == "formula":
        return apart(layer, cfg, dict(moe=mixture, lor=lowrank)[name], T=9)
    wanted = cfg.model_copy(update=dict(c_network=label))
    if law == "life":
        return float(len(laws.life(wanted)))
    return dict(decoding=laws.decoding, causality=laws.causality)[law](wanted)


@pytest.mark.parametrize("name, old, new, by, more", MISTAKES, ids=[f"{each[0]}: {each[2][:40]}" for each in MISTAKES])
def test_a_broken_layer_is_caught(name, old, new, by, more, monkeypatch):
    right = import_module(f"littlebaby.model.networks.{name}")
    copy = broken(right, old, new)
    monkeypatch.setitem(sys.modules, f"littlebaby.model.networks.{name}_broken", copy)
    context.variant.cache_clear()
    cfg = laws.config("networks", name, **{**(ROUTED if name == "moe" else {}), "r_aux": 0.3, **more})
    for law in by.split():
        assert verdict(law, name, cfg, right, name) < 1e-6 < verdict(law, name, cfg, copy, f"{name}_broken")
