"""The laws of the house, as functions that return numbers: `littlebaby check` shows them, tests/test_laws.py asserts them for every file.

A layer is any file with `params(cfg)` and `forward(p, x, ctx)`; `layer` below may also be a stand-in with these two.
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

EXACT = 1e-6     # what the laws demand of a gradient
EQUAL = 1e-10    # and of two ways to compute the same
OPTION_SETTINGS: dict[str, dict] = {"ordinary": {}, "large": dict(size=3.0, x_size=2.0), "one token": dict(T=1)}


def cases():
    """Every variant with its default settings and with each of its file's CASES: (folder, name, settings)"""
    return [(folder, name, more) for folder in FOLDERS for name in variants(folder)
            for more in [{}, *getattr(variant(folder, name), "CASES", [])]]


def verdicts(name):
    """The laws' numbers for every option of one variant: [{"settings", "gradient", "decoding", "causality", "life", "kept"}, ...]

    gradient: the worst relative error on ordinary and large inputs and at one token, dropout on; decoding: the largest difference between
    cached and full; causality: the largest change that a later token causes, rounding where tokens are routed; life: leaves without a
    gradient.
    """
    if name not in (known := sorted({each for _, each, _ in cases()})):
        raise BadInput(nearest("variant", name, known))
    rows = []
    for folder, _, more in (case for case in cases() if case[1] == name):
        cfg, dropping = (config(folder, name, r_dropout=rate, **more) for rate in (0.0, 0.2))
        worst = max(gradient(variant(folder, name), dropping, **how) for how in OPTION_SETTINGS.values())
        row = dict(gradient=float(worst), decoding=float(decoding(cfg)), causality=float(causality(cfg)), life=life(cfg))
        kept = worst < EXACT and row["decoding"] < EQUAL and row["causality"] <= leeway(variant(folder, name)) and not row["life"]
        rows.append(dict(settings=more, **row, kept=bool(kept)))
    return rows


def entries(folder, name, settings):
    """How many numbers law 1 compares for one option: of inputs and trainable weights, in every one of HOWS"""
    cfg, layer = config(folder, name, **settings), variant(folder, name)
    return sum(random_layer(layer, cfg, **how).x.size + tree.size(layer.params(cfg), train=True) for how in OPTION_SETTINGS.values())


def leeway(layer):
    """The difference that law 4 allows: none; for a routed layer, whose sums depend on how many tokens an expert gets, rounding"""
    return EQUAL if hasattr(layer, "ROUTED") else 0.0


def config(folder=None, name=None, **more):
    chosen = {KEYS[folder]: name} if folder else {}
    return Config(**{**SMALL, **chosen, **more})


def random_layer(layer, cfg, size=0.5, seed=1, T=5, B=2, dtype=float, x_size=1.0):
    """Random weights, inputs and dy, from a seed"""
    spec = layer.params(cfg)
    rng = np.random.default_rng(seed)
    flat = (rng.standard_normal(tree.size(spec)) * size).astype(dtype)
    x = (rng.standard_normal((B, T, cfg.n_emb)) * x_size).astype(dtype)
    return SimpleNamespace(spec=spec, flat=flat, p=tree.views(spec, flat), x=x, dy=rng.standard_normal(x.shape).astype(dtype))


def differences(f, a, h=1e-4):
    """df/da by central differences at two steps, combined so that the error is of fourth order (Richardson 1911)"""
    out = np.zeros_like(a)
    for i in np.ndindex(a.shape):
        keep, d = a[i], []
        for e in (h, h / 2):
            a[i] = keep + e
            up = f()
            a[i] = keep - e
            d.append((up - f()) / (2 * e))
        a[i] = keep
        out[i] = (4 * d[1] - d[0]) / 3
    return out


def gradient(layer, cfg, **how):
    """Law 1: the worst error of any leaf's or x's gradient, relative to the leaf's largest entry. And law 6: inputs are read-only."""
    return max(gradients(layer, cfg, **how).values())


def gradients(layer, cfg, **how):
    """The same for each: {"x": error, "wq": error, ...}"""
    s = random_layer(layer, cfg, **how)
    held: dict = {}
    ctx = lambda: Context(cfg, np.random.default_rng(7), decisions=held, share=0.7)
    grad = np.zeros(tree.size(s.spec, train=True))
    for a in (s.x, s.flat, s.dy):
        a.flags.writeable = False
    y, backward = layer.forward(tree.views(s.spec, s.flat), s.x, ctx())
    kept = y.copy()
    dx = backward(s.dy, tree.views(s.spec, grad))
    assert np.array_equal(y, kept), "backward wrote into its own forward's y"
    for a in (s.x, s.flat):
        a.flags.writeable = True

    def f():
        c = ctx()
        y, _ = layer.forward(s.p, s.x, c)
        return (y * s.dy).sum() + auxiliary_sum(c)

    probed = tree.named(s.spec, differences(f, s.flat)[:grad.size])
    largest = max((np.abs(d).max() for d in probed.values()), default=0)
    errors = {name: relative(g, probed[name], largest) for name, g in tree.named(s.spec, grad).items()}
    return dict(x=relative(dx, differences(f, s.x), 0), **errors)


def auxiliary_sum(ctx):
    """The sum of the layers' own losses"""
    return sum(value for (_, name), (_, value) in ctx.stats.items() if name.startswith("aux."))


def relative(got, want, largest):
    """Relative to the leaf; a leaf that is all but unused is measured against a thousandth of the largest gradient"""
    return np.abs(got - want).max() / max(np.abs(want).max(), 1e-3 * largest, 1e-12)


def model_gradient(cfg, seed=3, n=150):
    """Law 1 for a whole model: sampled entries of the flat vector"""
    spec, rng = gpt.params(cfg), np.random.default_rng(seed)
    flat = tree.init(spec, rng, float) + 0.1 * rng.standard_normal(tree.size(spec))
    p, grad = tree.views(spec, flat), np.zeros_like(flat)
    ids, targets = rng.integers(0, 11, (2, 2, 6))
    targets[0, 2] = -1
    held: dict = {}
    ctx = lambda: Context(cfg, np.random.default_rng(7), decisions=held)

    def total():
        c = ctx()
        return gpt.loss(p, ids, targets, c) + auxiliary_sum(c)

    gpt.loss_and_grad(p, tree.views(spec, grad), ids, targets, ctx())
    at = rng.choice(flat.size, n, replace=False)
    want = np.zeros(n)
    for j, i in enumerate(at):
        entry = flat[i:i + 1]
        want[j] = differences(total, entry, h=1e-6)[0]      # so short that no bend lies in between
    return np.abs(grad[at] - want).max() / np.abs(want).max()


def model(cfg, seed=0, size=0.3, dtype=float):
    """A model away from its first weights; what is frozen stays where it begins"""
    spec, rng = gpt.params(cfg), np.random.default_rng(seed)
    flat, trained = tree.init(spec, rng, float), tree.size(spec, train=True)
    flat[:trained] += size * rng.standard_normal(trained)
    flat = flat.astype(dtype)
    return spec, flat, tree.views(spec, flat), rng


def decoding(cfg):
    """Law 2: prefill 3, a chunk of 2, then single tokens against one full pass: the largest difference"""
    _, _, p, rng = model(cfg)
    ids = rng.integers(0, 11, (2, 9))
    full, _ = gpt.forward(p, ids, Context(cfg))
    cache: dict = {}
    cut = (0, 3, 5, 6, 7, 8, 9)
    parts = [gpt.forward(p, ids[:, a:b], Context(cfg, start=a, cache=cache))[0] for a, b in zip(cut, cut[1:])]
    return np.abs(np.concatenate(parts, 1) - full).max()


def causality(cfg):
    """Law 4: the largest change before token 5 when it and later ones change; 0 means bit for bit. Large inputs too."""
    worst = 0.0
    for size in (0.3, 3.0):
        _, _, p, rng = model(cfg, size=size)
        ids = rng.integers(0, 11, (2, 12))
        other = ids.copy()
        other[:, 5:] = (other[:, 5:] + rng.integers(1, 11, (2, 7))) % 11
        a, b = (gpt.forward(p, each, Context(cfg))[0][:, :5] for each in (ids, other))
        worst = max(worst, np.abs(a - b).max())
    return worst


def life(cfg):
    """Law 5: the trainable leaves that one batch leaves without any gradient"""
    spec, flat, p, rng = model(cfg)
    grad = np.zeros(tree.size(spec, train=True))
    ids, targets = rng.integers(0, 11, (2, 4, cfg.n_ctx))
    gpt.loss_and_grad(p, tree.views(spec, grad), ids, targets, Context(cfg, np.random.default_rng(0)))
    return [name for name, g in tree.named(spec, grad).items() if not g.any()]
