"""The laws: checks that hold for every attention, network, norm and position, as functions that return errors. `littlebaby check` shows
them, tests/test_laws.py asserts them for every file.

    1 gradient     backward agrees with finite differences of forward
    2 decoding     passes over parts of a text, with a cache, agree with one pass over the whole text
    3 shards       the gradients of the halves of a batch sum to that of the whole; only in tests/test_laws.py
    4 causality    a later token does not change the output of an earlier one
    5 life         every trainable weight has a gradient
    6 read-only    neither forward nor backward changes its arguments
    7 device       a GPU computes the same; only in tests/test_laws.py
A layer is any module or object with `params(cfg)` and `forward(p, x, ctx)`.
"""
from types import SimpleNamespace

import numpy as np

from ..arrays import tree
from ..errors import BadInput, nearest
from ..model import gpt
from ..model.context import Context, variant, variants
from ..runs.settings import Config

FOLDERS = ("attentions", "networks", "norms", "positions")
KEYS = dict(attentions="c_attention", networks="c_network", norms="c_norm", positions="c_position")
SMALL = dict(n_vocab=11, n_ctx=16, n_emb=8, head_size=8, n_heads=4, n_layers=2, r_hidden=1.5, norm_eps=1e-5, d_type="fp64",
             s_window=3, s_kernel=3, n_latents=3)

EXACT = 1e-6     # the relative error of a gradient must be below this
EQUAL = 1e-10    # the difference of two computations of the same result must be below this
INPUTS: dict[str, dict] = {"ordinary": {}, "large": dict(size=3.0, x_size=2.0), "one token": dict(T=1)}      # arguments of random_layer
CUTS = (0, 3, 5, 6, 7, 8, 9)     # where decoding divides nine tokens: a chunk of three, one of two, then single tokens


def cases():
    """[(folder, name, settings), ...]: every variant with its default settings, and with each of the CASES of its file"""
    return [(folder, name, more) for folder in FOLDERS for name in variants(folder)
            for more in [{}, *getattr(variant(folder, name), "CASES", [])]]


def verdicts(name):
    """The results of the laws for every case of one variant: [{"settings", "gradient", "decoding", "causality", "life", "kept"}, ...]

    gradient: the largest relative error on all INPUTS, with dropout; decoding: the largest difference between passes with a cache and one
    full pass; causality: the largest change of an output that a later token causes; life: the leaves without a gradient; kept: whether
    all laws hold. BadInput: there is no such variant.
    """
    if name not in (known := sorted({each for _, each, _ in cases()})):
        raise BadInput(nearest("variant", name, known))
    rows = []
    for folder, _, more in (case for case in cases() if case[1] == name):
        cfg, dropping = (config(folder, name, r_dropout=rate, **more) for rate in (0.0, 0.2))
        worst = max(gradient(variant(folder, name), dropping, **how) for how in INPUTS.values())
        row = dict(gradient=float(worst), decoding=float(decoding(cfg)), causality=float(causality(cfg)), life=life(cfg))
        kept = worst < EXACT and row["decoding"] < EQUAL and row["causality"] <= allowed_change(variant(folder, name)) and not row["life"]
        rows.append(dict(settings=more, **row, kept=bool(kept)))
    return rows


def entries(folder, name, settings):
    """How many elements law 1 compares for one case: of x and of all trainable weights, for each of INPUTS"""
    cfg, layer = config(folder, name, **settings), variant(folder, name)
    return sum(random_layer(layer, cfg, **how).x.size + tree.size(layer.params(cfg), train=True) for how in INPUTS.values())


def allowed_change(layer):
    """The change that law 4 allows: 0, or rounding errors in a routed layer, whose sums depend on how many tokens an expert gets"""
    return EQUAL if hasattr(layer, "ROUTED") else 0.0


def config(folder=None, name=None, **more):
    chosen = {KEYS[folder]: name} if folder else {}
    return Config(**{**SMALL, **chosen, **more})


def random_layer(layer, cfg, size=0.5, seed=1, T=5, B=2, dtype=float, x_size=1.0):
    """Random weights, times `size`, a random input x (B, T, D), times `x_size`, and a random dy, from a seed"""
    spec = layer.params(cfg)
    rng = np.random.default_rng(seed)
    flat = (rng.standard_normal(tree.size(spec)) * size).astype(dtype)
    x = (rng.standard_normal((B, T, cfg.n_emb)) * x_size).astype(dtype)
    return SimpleNamespace(spec=spec, flat=flat, p=tree.views(spec, flat), x=x, dy=rng.standard_normal(x.shape).astype(dtype))


def differences(f, a, h=1e-4):
    """df/da for every element of a, by central differences with two step sizes, combined to an error of fourth order (Richardson 1911)"""
    out = np.zeros_like(a)
    for i in np.ndindex(a.shape):
        before, d = a[i], []
        for e in (h, h / 2):
            a[i] = before + e
            up = f()
            a[i] = before - e
            d.append((up - f()) / (2 * e))
        a[i] = before
        out[i] = (4 * d[1] - d[0]) / 3
    return out


def gradient(layer, cfg, **how):
    """Law 1: the largest relative error of the gradients of x and of all leaves. Law 6 is checked too: inputs are set read-only."""
    return max(gradients(layer, cfg, **how).values())


def gradients(layer, cfg, **how):
    """The relative error of each gradient, see `relative`: {"x": error, "wq": error, ...}"""
    s = random_layer(layer, cfg, **how)
    decisions: dict = {}
    ctx = lambda: Context(cfg, np.random.default_rng(7), decisions=decisions, share=0.7)
    grad = np.zeros(tree.size(s.spec, train=True))
    for a in (s.x, s.flat, s.dy):
        a.flags.writeable = False
    y, backward = layer.forward(tree.views(s.spec, s.flat), s.x, ctx())
    y_before = y.copy()
    dx = backward(s.dy, tree.views(s.spec, grad))
    assert np.array_equal(y, y_before), "backward changed the y that forward returned"
    for a in (s.x, s.flat):
        a.flags.writeable = True

    def f():
        c = ctx()
        y, _ = layer.forward(s.p, s.x, c)
        return (y * s.dy).sum() + auxiliary_sum(c)

    numerical = tree.named(s.spec, differences(f, s.flat)[:grad.size])
    largest = max((np.abs(d).max() for d in numerical.values()), default=0)
    errors = {name: relative(g, numerical[name], largest) for name, g in tree.named(s.spec, grad).items()}
    return dict(x=relative(dx, differences(f, s.x), 0), **errors)


def auxiliary_sum(ctx):
    """The sum of the auxiliary losses that layers reported to ctx"""
    return sum(value for (_, name), (_, value) in ctx.stats.items() if name.startswith("aux."))


def relative(got, want, largest):
    """The largest error of a gradient, divided by the largest element of `want`, or by largest / 1000 if that is more

    largest: the largest element of all gradients, so that a leaf with almost no effect is not measured by its rounding errors
    """
    return np.abs(got - want).max() / max(np.abs(want).max(), 1e-3 * largest, 1e-12)


def model_gradient(cfg, seed=3, n=150):
    """Law 1 for a whole model: the largest relative error of n randomly chosen elements of the flat vector"""
    spec, rng = gpt.params(cfg), np.random.default_rng(seed)
    flat = tree.init(spec, rng, float) + 0.1 * rng.standard_normal(tree.size(spec))
    p, grad = tree.views(spec, flat), np.zeros_like(flat)
    ids, targets = rng.integers(0, 11, (2, 2, 6))
    targets[0, 2] = -1
    decisions: dict = {}
    ctx = lambda: Context(cfg, np.random.default_rng(7), decisions=decisions)

    def total():
        c = ctx()
        return gpt.loss(p, ids, targets, c) + auxiliary_sum(c)

    gpt.loss_and_grad(p, tree.views(spec, grad), ids, targets, ctx())
    chosen = rng.choice(flat.size, n, replace=False)
    want = np.zeros(n)
    for j, i in enumerate(chosen):
        element = flat[i:i + 1]
        want[j] = differences(total, element, h=1e-6)[0]    # so small a step that it crosses no kink of a clip or a relu
    return np.abs(grad[chosen] - want).max() / np.abs(want).max()


def model(cfg, seed=0, size=0.3, dtype=float):
    """(spec, flat, p, rng) of a model whose trainable weights have been changed at random; frozen weights have their initial values"""
    spec, rng = gpt.params(cfg), np.random.default_rng(seed)
    flat, trainable = tree.init(spec, rng, float), tree.size(spec, train=True)
    flat[:trainable] += size * rng.standard_normal(trainable)
    flat = flat.astype(dtype)
    return spec, flat, tree.views(spec, flat), rng


def decoding(cfg):
    """Law 2: the largest difference between one pass over nine tokens and passes over three, two and then single tokens with a cache"""
    _, _, p, rng = model(cfg)
    return cached_difference(lambda ids, ctx: gpt.forward(p, ids, ctx)[0], rng.integers(0, 11, (2, 9)), cfg)


def cached_difference(forward, x, cfg):
    """Law 2 of `forward(x, ctx)`, a model or a layer, on nine tokens x (B, 9) or (B, 9, D)"""
    cache: dict = {}
    parts = [forward(x[:, a:b], Context(cfg, start=a, cache=cache)) for a, b in zip(CUTS, CUTS[1:])]
    return np.abs(np.concatenate(parts, 1) - forward(x, Context(cfg))).max()


def causality(cfg):
    """Law 4: the largest change of the logits before token 5 if token 5 and all later ones change, with small and with large weights; 0
    means that the logits are equal bit for bit"""
    worst = 0.0
    for size in (0.3, 3.0):
        _, _, p, rng = model(cfg, size=size)
        ids = rng.integers(0, 11, (2, 12))
        other = ids.copy()
        other[:, 5:] = (other[:, 5:] + rng.integers(1, 11, (2, 7))) % 11
        worst = max(worst, earlier_change(lambda ids, ctx: gpt.forward(p, ids, ctx)[0], ids, other, cfg))
    return worst


def earlier_change(forward, x, other, cfg):
    """Law 4 of `forward(x, ctx)`, a model or a layer: the largest difference before token 5 of two inputs that are equal up to there"""
    a, b = (forward(each, Context(cfg))[:, :5] for each in (x, other))
    return np.abs(a - b).max()


def life(cfg):
    """Law 5: the names of the trainable leaves whose gradient is 0 in every element after one batch"""
    spec, flat, p, rng = model(cfg)
    grad = np.zeros(tree.size(spec, train=True))
    ids, targets = rng.integers(0, 11, (2, 4, cfg.n_ctx))
    gpt.loss_and_grad(p, tree.views(spec, grad), ids, targets, Context(cfg, np.random.default_rng(0)))
    return [name for name, g in tree.named(spec, grad).items() if not g.any()]
