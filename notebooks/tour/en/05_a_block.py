# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5 · A block
#
# *Attention finds things. Who thinks about them?*
#
# A GPT is one block, stacked. A block is an attention, which brings tokens together, and a network, which works on each token alone; both read
# from a stream of numbers and add to it what they found. This lesson puts the pieces of lessons 2 and 4 together until nothing is missing: at
# the end stands the library's whole model, rebuilt, equal to the last digit.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import arrays
from littlebaby.arrays import tree
from littlebaby.model.context import Context, variant
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID
from littlebaby.show.tour import exercise, picture

rng = np.random.default_rng(0)

# %% [markdown]
# ## The parts
# A config names files: `c_attention="mha"` is `model/attentions/mha.py`, and so on. Each file has `params(cfg)`, which says what weights it
# needs, and `forward(p, x, ctx)`, which gives `y` and `backward(dy, g)`. You have written such a thing yourself, in lesson 3.

# %%
cfg = lb.Config(n_vocab=40, n_ctx=32, n_emb=32, n_heads=4, n_layers=6, d_type="fp64")
attention, network, norm = (variant(kind, name) for kind, name in
                            (("attentions", cfg.c_attention), ("networks", cfg.c_network), ("norms", cfg.c_norm)))

def fresh(part, seed=0):
    """A part's weights, drawn at random, and a place for their gradients"""
    spec = part.params(cfg)
    flat = tree.init(spec, np.random.default_rng(seed), float)
    return tree.views(spec, flat), tree.views(spec, np.zeros_like(flat))

for part in (attention, network, norm):
    p, _ = fresh(part)
    print(f"{part.__name__.split('.')[-1]:10}", {name: w.shape for name, w in p.items()})

# %% [markdown]
# All weights lie in **one** long vector; `p.up` is a view into it, and so is the gradient's `g.up`. That is why optimizers in this library
# are so short: to them a model is a vector.
#
# ## Why a stream?
# One could simply put layer on layer: the output of one is the input of the next. Let us stack 24 networks so and follow the gradient from the
# top, where it sets out, to the bottom. Then with a norm before each, and then with a stream to which every layer *adds*: $x + f(\text{norm}(x))$.
#
# Two things are measured: how long the gradient still is, and how much it still resembles what set out (the cosine of the angle between them).

# %%
from littlebaby.check.variant_measures import random_layer

def depths(norms, stream, layers=24):
    """The length of the gradient and its likeness to the first one, at every depth from the top to the bottom"""
    rng = np.random.default_rng(0)
    x, backs, ctx = rng.standard_normal((2, 16, cfg.n_emb)), [], Context(cfg)
    for i in range(layers):
        (pn, gn), (p, g) = fresh(norm), random_layer(network, cfg, rng)
        n, back_n = norm.forward(pn, x, ctx) if norms else (x, lambda dy, g: dy)
        y, back_f = network.forward(p, n, ctx)
        backs.append((back_n, gn, back_f, g))
        x = x + y if stream else y
    first = dx = rng.standard_normal(x.shape)
    lengths, likeness = [1.0], [1.0]
    for back_n, gn, back_f, g in reversed(backs):
        through = back_n(back_f(dx, g), gn)
        dx = dx + through if stream else through
        lengths.append(np.linalg.norm(dx) / np.linalg.norm(first))
        likeness.append((dx * first).sum() / np.linalg.norm(dx) / np.linalg.norm(first))
    return lengths, likeness

left, right = picture("length of the gradient, by layers gone back", "its likeness to the one that set out", widths=(1, 1))
for norms, stream, color, name in ((False, False, GRAY, "layer on layer"), (True, False, VALID, "with norms"), (True, True, TRAIN, "in a stream")):
    lengths, likeness = depths(norms, stream)
    left.semilogy(lengths, color=color, lw=1.8, label=name)
    right.plot(likeness, color=color, lw=1.8)
    print(f"{name:15} after 24 layers: length {lengths[-1]:.1e}, likeness {likeness[-1]:+.2f}")
left.legend(frameon=False, fontsize=8, labelcolor=GRAY);

# %% [markdown]
# Bare layers let the gradient die on its way down. Norms keep it alive, but look to the right: what arrives has nothing in common with what set
# out; one layer is enough for that. In a stream one path leads past every layer (you wrote it in lesson 2: `dx + dy`), and
# the lowest layer still hears what the top has said.
#
# ## The block
# Norm, attention, add; norm, network, add. And the same backward. The `+` in both directions is what you just saw.

# %%
def step(f, pn, p, x, ctx):
    """x + f(norm x)"""
    n, back_n = norm.forward(pn, x, ctx)
    y, back_f = f(p, n, ctx)

    def backward(dy, gn, g):
        return dy + back_n(back_f(dy, g), gn)

    return x + y, backward

def block(p, x, ctx):
    x, back_att = step(attention.forward, p.norm1, p.att, x, ctx)
    x, back_net = step(network.forward, p.norm2, p.net, x, ctx)

    def backward(dx, g):
        return back_att(back_net(dx, g.norm2, g.net), g.norm1, g.att)

    return x, backward

# %% [markdown]
# ## The whole model
# What remains is the way in and the way out: a row of a table for every token, plus a row for its position (lesson 4, exercise 3: without it
# the past is a bag); and at the top a product that gives a number for every character. There is no more to a GPT than this cell.

# %%
def gpt(p, ids, targets):
    """ids, targets (B, T) -> loss, backward(g)"""
    ctx = Context(cfg)
    x, back_token = arrays.embedding(ids, p.token)                         # (B, T) -> (B, T, D)
    x = x + p.position.table[:ids.shape[1]]
    backs = []
    for pb in p.blocks:
        x, back = block(pb, x, ctx)
        backs.append(back)
    x, back_norm = norm.forward(p.norm, x, ctx)
    z, back_head = arrays.linear(x, p.head.w, p.head.b)                    # (B, T, D) -> (B, T, V)
    loss, back_loss = arrays.cross_entropy(z, targets)

    def backward(g):
        dx, dw, db = back_head(back_loss())
        g.head.w += dw
        g.head.b += db
        dx = back_norm(dx, g.norm)
        for back, gb in zip(reversed(backs), reversed(g.blocks)):
            dx = back(dx, gb)
        g.position.table[:ids.shape[1]] += dx.sum(0)
        g.token += back_token(dx)

    return loss, backward

baby = lb.Baby(cfg, seed=0)
ids, targets = rng.integers(0, 40, (2, 3, 32))

loss, backward = gpt(baby.p, ids, targets)
mine = np.zeros_like(baby.flat)
backward(tree.views(baby.spec, mine))

library, gradients = baby.loss_and_grads(ids, targets)
named = tree.named(baby.spec, mine)
print(f"loss {loss:.6f}, from the library's {abs(loss - library):.0e} apart; no idea at all would be {np.log(40):.6f}")
print(f"{len(gradients)} gradients, at most {max(abs(named[name] - gradients[name]).max() for name in gradients):.0e} apart")

# %% [markdown]
# A fresh baby has, to two digits, no idea at all. That is worth checking whenever you build a model: if the first loss is far from $\ln V$, it
# begins with an opinion, and somebody has made a mistake.
#
# ## Where are the weights?
# The config of GPT-2 is a preset of the library, so let us ask where its 124 million numbers are.

# %%
from math import prod

from littlebaby.model import gpt as library_gpt
from littlebaby.runs.records import preset

def weights(cfg):
    """{part: how many numbers}"""
    parts = {}
    for path, leaf in tree.leaves(library_gpt.params(cfg)):
        name = next((label for key, label in ((".att.", "attention"), (".net.", "network"), ("token", "token table"),
                                             ("position", "positions"), ("head", "head")) if key in path), "norms")
        parts[name] = parts.get(name, 0) + prod(leaf.shape)
    return parts

gpt2 = lb.Config(**preset("gpt2")).replace(n_vocab=50257)
parts = weights(gpt2)
axes = picture(f"{sum(parts.values()):,} weights of GPT-2, in millions", height=2.4)
names = sorted(parts, key=parts.get)
axes.barh(names, [parts[name] / 1e6 for name in names], color=TRAIN)
for i, name in enumerate(names):
    axes.annotate(f"{parts[name] / 1e6:.2f}", (parts[name] / 1e6, i), (5, 0), textcoords="offset points", va="center", color=INK)
axes.grid(False)

# %% [markdown]
# Two thirds of a block are its network. Attention, which everybody talks about, is the smaller part: it fetches; most of what the model *knows*
# lies in the networks.
#
# ## Try it
# ### 1. Count without looking
# A block of width $D$ has four matrices $(D, D)$ in its attention and two in its network, $(D, 4D)$ and $(4D, D)$. How many numbers in the
# matrices of $L$ blocks? This is the formula that people carry in their heads.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(count):
    n = count(1, 1)
    assert n is not None, "count returns None: return a formula of D and L."
    assert n == 12, f"at D = 1 a block has 4 + 4 + 4 = 12 numbers in its matrices; yours says {n}."
    right = sum(prod(leaf.shape) for path, leaf in tree.leaves(library_gpt.params(gpt2)) if leaf.kind == "matrix")
    assert count(768, 12) == right, f"for GPT-2, D = 768 and L = 12, there are {right:,}; yours says {count(768, 12):,}."
    return f"12 D² L = {right:,} for GPT-2. Twice as wide is four times as large; twice as deep is twice as large."

# %% tags=["exercise"]
def count(D, L):
    """Numbers in the matrices of L blocks of width D"""
    return None

check(count)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def count(D, L):
#     """Numbers in the matrices of L blocks of width D"""
#     return 12 * D * D * L
#
# check(count)
# ```
#
# </details>

# %% [markdown]
# ### 2. The original order
# In 2017 the norm came last: $\text{norm}(x + f(x))$. Write its backward. (The library calls it `c_sequence="post"`.)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from types import SimpleNamespace

from littlebaby.check import laws

@exercise
def check(post):
    def forward(p, x, ctx):
        y, back = post(network.forward, p["norm"], p["net"], x, ctx)
        return y, lambda dy, g: back(dy, g["norm"], g["net"])

    layer = SimpleNamespace(params=lambda cfg: dict(norm=norm.params(cfg), net=network.params(cfg)), forward=forward)
    small = laws.config()
    s = laws.random_layer(layer, small)
    _, back = forward(s.p, s.x, Context(small))
    assert back(s.dy, tree.views(s.spec, np.zeros_like(s.flat))) is not None, "backward returns None: first back_n, then both paths of the sum."
    error = laws.gradient(layer, small)
    assert error < laws.EXACT, f"the law finds an error of {error:.1g}: the blame passes the norm first, then takes both paths, around f and through it."
    return f"off by {error:.0e}. Here even the path around f goes through every norm: deep post models need care, and warm-up, to train."

# %% tags=["exercise"]
def post(f, pn, p, x, ctx):
    """norm(x + f x); backward(dn, gn, g) -> dx"""
    y, back_f = f(p, x, ctx)
    n, back_n = norm.forward(pn, x + y, ctx)

    def backward(dn, gn, g):
        return None

    return n, backward

check(post)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def post(f, pn, p, x, ctx):
#     """norm(x + f x); backward(dn, gn, g) -> dx"""
#     y, back_f = f(p, x, ctx)
#     n, back_n = norm.forward(pn, x + y, ctx)
#
#     def backward(dn, gn, g):
#         dy = back_n(dn, gn)
#         return dy + back_f(dy, g)
#
#     return n, backward
#
# check(post)
# ```
#
# </details>

# %% [markdown]
# ### 3. Who talks to whom?
# Change one token of a text and see which other tokens notice, after the attention alone and after the network alone. Predict first. Then give
# the two sets of places whose output changes when token 3 of 8 changes.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
def notice(part):
    """The places whose output changes with token 3"""
    p, _ = fresh(part)
    x = np.random.default_rng(1).standard_normal((1, 8, cfg.n_emb))
    other = x.copy()
    other[0, 3] += 1
    a, b = (part.forward(p, each, Context(cfg))[0] for each in (x, other))
    return set(np.flatnonzero(abs(a - b).max(-1)[0]).tolist())

@exercise
def check(after_attention, after_network):
    assert after_attention is not None and after_network is not None, "put sets of places in, such as {0, 1, 2}, for the attention and the network."
    assert set(after_network) == notice(network), "a network works on every token alone: who can notice that token 3 has changed?"
    assert set(after_attention) == notice(attention), "in an attention all who come later may look at token 3, it may look at itself, and nobody earlier can."
    return "attention is the only place where tokens meet; all the rest of a GPT happens to each of them alone."

# %% tags=["exercise"]
after_attention = None
after_network = None

check(after_attention, after_network)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# after_attention = {3, 4, 5, 6, 7}
# after_network = {3}
#
# check(after_attention, after_network)
# ```
#
# </details>

# %% [markdown]
# **Next:** [6 · Train a baby](06_train_a_baby.ipynb). You have a whole model and its gradient; it is time to let it learn.
