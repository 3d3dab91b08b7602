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
# *Attention moves information between tokens; what processes it?*
#
# A GPT is a stack of **blocks** of the same form. A block has an attention, in which tokens exchange information, and a network, which
# processes each token alone: first all talk to each other, then each thinks about what it has heard. Every token is represented by a vector,
# which goes from block to block; attention and network each read it and add their output to it, through a residual connection. These
# vectors are called the **residual stream**, a river into which every layer pours a little. This lesson puts the parts of lessons 2 and
# 4 together, until you have rebuilt the whole model of the library, with equal results to the last digit.
#
# Two words are easily mixed up. In these lessons a *layer* is one function with its `backward`: a linear layer, an attention, a network. A
# *block* is an attention and a network together. Elsewhere a block is often called a layer, too, and so does the library where it counts
# them: `n_layers=6` means six blocks.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import arrays
from littlebaby import text as texts
from littlebaby.arrays import tree
from littlebaby.model.context import Context, variant
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID
from littlebaby.show.tour import exercise, picture

rng = np.random.default_rng(0)

# %% [markdown]
# ## The parts
# A config names files: `c_attention="mha"` is `model/attentions/mha.py`, and so on. Each file has two functions: `params(cfg)` returns the
# shapes and initial values of the weights, and `forward(p, x, ctx)` returns `y` and `backward(dy, g)`. Here `p` has the weights by name,
# and `g` has a place for the gradient of each; `ctx` tells the layer about the current call, for example where in the text it begins. The
# layer of lesson 3 has this form.

# %%
cfg = lb.Config(n_vocab=40, n_ctx=32, n_emb=32, n_heads=4, n_layers=6, d_type="fp64")
attention, network, norm = (variant(kind, name) for kind, name in
                            (("attentions", cfg.c_attention), ("networks", cfg.c_network), ("norms", cfg.c_norm)))

def fresh(part, seed=0):
    """Random weights of a part, and zeros for their gradients"""
    spec = part.params(cfg)
    flat = tree.init(spec, np.random.default_rng(seed), float)
    return tree.views(spec, flat), tree.views(spec, np.zeros_like(flat))

for part in (attention, network, norm):
    p, _ = fresh(part)
    print(f"{part.__name__.split('.')[-1]:10}", {name: w.shape for name, w in p.items()})

# %% [markdown]
# All weights of a model are in *one* long vector: `p.up` is a view of a part of it, and `g.up` a view of the same part of the gradient
# vector. That is why the code that changes the weights (lesson 7) is so short: to it a model is one vector.
#
# ## Why a residual stream?
# The simplest stack makes the output of each layer the input of the next. Let us stack 24 networks in three ways: (1) like this, (2) with
# a **normalization** layer (*norm* for short) before each network, which scales every vector to the same size, as one turns a microphone up
# or down until it fits, (3) with a residual stream to which every network *adds*: $x + f(\text{norm}(x))$. We start with a random
# gradient at the top and follow it through the backward pass to the bottom.
#
# Two things are measured at every depth: the **gradient norm**, which is the length of the gradient as a vector, relative to that at the
# top, and the cosine similarity between the gradient and that at the top (1: same direction, 0: nothing in common).

# %%
from littlebaby.check.variant_measures import random_layer

def follow_gradient(norms, stream, layers=24):
    """The relative gradient norm and the cosine similarity to the gradient at the top, at every depth from the top to the bottom"""
    rng = np.random.default_rng(0)
    x, backs, ctx = rng.standard_normal((2, 16, cfg.n_emb)), [], Context(cfg)
    for i in range(layers):
        (pn, gn), (p, g) = fresh(norm), random_layer(network, cfg, rng)
        n, back_n = norm.forward(pn, x, ctx) if norms else (x, lambda dy, g: dy)
        y, back_f = network.forward(p, n, ctx)
        backs.append((back_n, gn, back_f, g))
        x = x + y if stream else y
    top = dx = rng.standard_normal(x.shape)
    sizes, similarities = [1.0], [1.0]
    for back_n, gn, back_f, g in reversed(backs):
        through = back_n(back_f(dx, g), gn)
        dx = dx + through if stream else through
        sizes.append(np.linalg.norm(dx) / np.linalg.norm(top))
        similarities.append((dx * top).sum() / np.linalg.norm(dx) / np.linalg.norm(top))
    return sizes, similarities

left, right = picture("gradient norm, by layers below the top", "cosine similarity to the gradient at the top", widths=(1, 1))
for norms, stream, color, name in ((False, False, GRAY, "networks only"), (True, False, VALID, "with norms"),
                                   (True, True, TRAIN, "residual stream")):
    sizes, similarities = follow_gradient(norms, stream)
    left.semilogy(sizes, color=color, lw=1.8, label=name)
    right.plot(similarities, color=color, lw=1.8)
    print(f"{name:15} after 24 layers: gradient norm {sizes[-1]:.1e}, cosine similarity {similarities[-1]:+.2f}")
left.legend(frameon=False, fontsize=8, labelcolor=GRAY);

# %% [markdown]
# In the plain stack the gradient vanishes on its way down. Norms prevent that, but look at the right picture: with or without norms, the
# gradient has nothing in common with the one at the top, already after one layer. In a residual stream one path leads past every layer
# (you wrote it in lesson 2: `dx + dy`), so the gradient stays similar to the one at the top for many layers.
#
# ## The block
# Norm, attention, add; norm, network, add. The backward pass does the same in reverse order. The `+` in both directions is the residual
# connection.

# %%
def residual(f, pn, p, x, ctx):
    """x + f(norm x), -> (B, T, D), backward"""
    n, back_n = norm.forward(pn, x, ctx)
    y, back_f = f(p, n, ctx)

    def backward(dy, gn, g):
        return dy + back_n(back_f(dy, g), gn)

    return x + y, backward

def block(p, x, ctx):
    x, back_att = residual(attention.forward, p.norm1, p.att, x, ctx)
    x, back_net = residual(network.forward, p.norm2, p.net, x, ctx)

    def backward(dx, g):
        return back_att(back_net(dx, g.norm2, g.net), g.norm1, g.att)

    return x, backward

# %% [markdown]
# ## The whole model
# The input and the output are still missing. The input of the first block is the embedding of each token plus a **position encoding**: a
# vector for each position, here from a second table, like the page numbers in a book (exercise 3 of lesson 4: without positions the order
# of the tokens is unknown). After the last block a norm and a linear layer, the **output head**, compute the logits. It shares only its name
# with the heads of attention.
#
# This is the picture of lesson 1 again, now with everything in it. The shapes are those of the vectors that leave each part: $B$ texts of $T$
# tokens, vectors of $D$ numbers, a vocabulary of $V$ tokens.

# %%
from littlebaby.show.tour_pictures import gpt_picture
from littlebaby.text import nursery

tokenizer = texts.train("char", nursery.corpus(20_000, seed=1)[0])
untrained = lb.Baby(cfg, tokenizer=tokenizer, seed=0)
ids = untrained.encode("hid a ")
p, _ = arrays.softmax(untrained.logits(ids)[0, -1])
gpt_picture("a whole GPT, and one of its blocks", "hid a ", ids,
            [("embedding\n+ position", "(B, T, D)"), ("block 1", "(B, T, D)"), ("block 2", "(B, T, D)"), ("", ""), ("norm", "(B, T, D)"),
             ("output\nhead", "(B, T, V)"), ("softmax", "(B, T, V)")],
            "before training", dict(zip(tokenizer.tokens(), p.tolist())), ("norm", "attention", "norm", "network", "residual stream"))

# %% [markdown]
# The prediction is still noise: all characters are about equally likely. There is no more to a GPT than this picture, and no more than the
# next cell.

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
gradient = np.zeros_like(baby.flat)
backward(tree.views(baby.spec, gradient))

library_loss, library_grads = baby.loss_and_grads(ids, targets)
grads = tree.named(baby.spec, gradient)
print(f"loss {loss:.6f}, difference from the library {abs(loss - library_loss):.0e}; loss of a uniform prediction: {np.log(40):.6f}")
largest = max(abs(grads[name] - library_grads[name]).max() for name in grads)
print(f"{len(grads)} gradients, largest difference from the library {largest:.0e}")

# %% [markdown]
# Before training, the loss is about that of a uniform prediction, $\ln V$. This is worth checking whenever you build a model: if the first
# loss is far from $\ln V$, somebody has made a mistake.
#
# ## Where are the weights?
# The config of GPT-2 is a preset of the library, so we can count which parts its 124 million weights belong to.

# %%
from math import prod

from littlebaby.model import gpt as library_gpt
from littlebaby.runs.presets import preset

def weights(cfg):
    """{part: number of weights}"""
    parts = {}
    for path, leaf in tree.leaves(library_gpt.params(cfg)):
        name = next((label for key, label in ((".att.", "attention"), (".net.", "network"), ("token", "token embedding"),
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
# Two thirds of the weights of a block are in its network (a **multilayer perceptron**, or MLP: a linear layer, an activation function, and
# another linear layer). Attention, which everybody talks about, is the smaller part.
#
# ## Try it
# ### 1. Count the weights
# A block of width $D$ has four matrices $(D, D)$ in its attention and two in its network, $(D, 4D)$ and $(4D, D)$. How many weights do the
# matrices of $L$ blocks have? This formula is worth remembering.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=5, number=1)
def check(count):
    n = count(1, 1)
    assert n is not None, "count returns None: return a formula of D and L."
    assert n == 12, f"for D = 1 a block has 4 + 4 + 4 = 12 weights in its matrices; your result is {n}."
    assert count(1, 2) == 24, f"two blocks have twice the weights of one, 24 for D = 1; your result is {count(1, 2)}."
    assert count(2, 1) == 48, f"a matrix (D, D) has D² weights, so D = 2 gives four times as many as D = 1, 48; your result is {count(2, 1)}."
    right = sum(prod(leaf.shape) for path, leaf in tree.leaves(library_gpt.params(gpt2)) if leaf.kind == "matrix")
    assert count(768, 12) == right, f"for GPT-2, with D = 768 and L = 12, it should be {right:,}; your result is {count(768, 12):,}."
    return f"12 D² L = {right:,} for GPT-2. Twice the width means four times the weights, twice the depth means twice the weights."

# %% tags=["exercise"]
def count(D, L):
    """Number of weights in the matrices of L blocks of width D"""
    return None

check(count)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def count(D, L):
#     """Number of weights in the matrices of L blocks of width D"""
#     return 12 * D * D * L
#
# check(count)
# ```
#
# </details>

# %% [markdown]
# ### 2. The original order
# In the first transformer (2017) the norm came last: $\text{norm}(x + f(x))$. Write the backward pass. (In the library this is
# `c_sequence="post"`.)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from types import SimpleNamespace

from littlebaby.check import laws

@exercise(lesson=5, number=2)
def check(post):
    def forward(p, x, ctx):
        y, back = post(network.forward, p["norm"], p["net"], x, ctx)
        return y, lambda dy, g: back(dy, g["norm"], g["net"])

    layer = SimpleNamespace(params=lambda cfg: dict(norm=norm.params(cfg), net=network.params(cfg)), forward=forward)
    small = laws.config()
    s = laws.random_layer(layer, small)
    _, back = forward(s.p, s.x, Context(small))
    assert back(s.dy, tree.views(s.spec, np.zeros_like(s.flat))) is not None, "backward returns None: call back_n, then add both paths."
    error = laws.gradient(layer, small)
    assert error < laws.EXACT, f"the check finds an error of {error:.1g}: go through the norm first, and once, then add both paths, past f and through f."
    return f"error {error:.0e}. Here even the path past f goes through every norm: deep models of this kind need a long warm-up to train."

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
# ### 3. Which tokens change?
# If token 3 of 8 (counted from 0) changes, at which positions does the output change, after an attention alone and after a network alone?
# Predict, and put in the two sets of positions.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
def changed(part):
    """The positions whose output changes with token 3"""
    p, _ = fresh(part)
    x = np.random.default_rng(1).standard_normal((1, 8, cfg.n_emb))
    other = x.copy()
    other[0, 3] += 1
    a, b = (part.forward(p, each, Context(cfg))[0] for each in (x, other))
    return set(np.flatnonzero(abs(a - b).max(-1)[0]).tolist())

@exercise(lesson=5, number=3)
def check(after_attention, after_network):
    assert after_attention is not None and after_network is not None, "put two sets of positions in place of None, such as {0, 1, 2}."
    assert all(isinstance(each, (set, list, tuple)) for each in (after_attention, after_network)), "put in two sets, such as {3}, also for one position."
    assert set(after_network) == changed(network), "a network works on every token alone: only the output of one position can change."
    assert set(after_attention) == changed(attention), "in an attention, token 3 and all later tokens use token 3; earlier tokens cannot."
    return "only in attention do tokens affect each other; all other parts of a GPT work on each token alone."

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
# **Next:** [6 · Sampling](06_sampling.ipynb). The model gives probabilities; to write a text, one character has to be chosen.
