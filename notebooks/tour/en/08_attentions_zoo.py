# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 8 · Attention's zoo
#
# *Must every token attend to every earlier one?*
#
# The attention of lesson 4 keeps all keys and values, and compares each new query with all keys. For long texts that is expensive, so many
# other attentions have been invented. The library has more than a dozen, and the setting `c_attention` chooses among them. So we can
# compare them: which tokens they use, how much memory they need, and how well they learn. At the end you write one yourself.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import arrays
from littlebaby import text as texts
from littlebaby.model.context import Context, variant, variants
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.show.tour import exercise, picture

# %% [markdown]
# ## A folder is the list
# Every file in `model/attentions` is an attention; to add one, add a file. Its docstring describes it:

# %%
from textwrap import shorten

zoo = variants("attentions")
for name in zoo:
    doc = variant("attentions", name).__doc__
    print(f"{doc.splitlines()[0]}\n      {shorten(doc.split(chr(10) * 2)[1], 130, placeholder=' …')}")

# %% [markdown]
# ## Which tokens they use
# The backward pass can show this without a look at the code. We give 64 random vectors to a layer with random weights. Then the gradient
# of output $t$ with respect to input $j$ tells how much token $t$ depends on token $j$. In the pictures each row is an output, each column
# an input, and dark means a strong dependence.

# %%
from littlebaby.check.variant_measures import influence
from littlebaby.show.variant_pictures import squares

names = ["mha", "swa", "decay", "rfa", "gla", "hybrid"]
for three in (names[:3], names[3:]):
    for axes, name in zip(picture(*three, height=2.9), three):
        squares(axes, influence("attentions", name), name)
        axes.set_xticks([0, 32])
        axes.set_yticks([0, 32])

# %% [markdown]
# - `mha` uses all earlier tokens, `swa` only those in a **sliding window** of 16.
# - In `decay` the influence of a token fades with its distance.
# - `rfa` has a window, and a fading memory of the tokens before it.
# - `gla` mixes the last eight tokens.
# - In `hybrid` half of the heads attend as in lesson 4, and the other half fade.
#
# In all pictures the part above the diagonal is empty: every attention is causal.
#
# ## How much memory they need
# While a model generates text, token by token, an attention stores what later tokens will need, instead of computing it again for every new token. For `mha` this store
# contains all keys and values, hence its usual name, **KV cache**; with long texts it can need more of a server's memory than the weights do.
# How many numbers does each attention store, in one block of width 128?

# %%
from littlebaby.arrays import tree
from littlebaby.check.preflight import numbers

def cache_size(name, tokens):
    """How many numbers the cache of one attention has after so many tokens: run it, and count"""
    cfg = lb.Config(c_attention=name, n_ctx=1024, n_emb=128, n_heads=4, n_vocab=50, c_position="none", s_window=64)
    layer, cache = variant("attentions", name), {}
    spec = layer.params(cfg)
    layer.forward(tree.views(spec, np.zeros(tree.size(spec))), np.zeros((1, tokens, 128)), Context(cfg, cache=cache))
    return numbers(cache)

axes = picture("numbers in the cache of one block, by tokens so far; green: constant in the end", height=3.8)
lengths = [1, 4, 16, 64, 256, 1024]
lines = {name: [cache_size(name, n) for n in lengths] for name in zoo}
ends = {}
for name, line in lines.items():
    axes.loglog(lengths, line, color=FLOOR if line[-1] == cache_size(name, 512) else TRAIN, lw=1.6)
    ends.setdefault(round(np.log(line[-1]), 1), []).append(name)
for height, same in ends.items():
    axes.annotate(", ".join(same), (1024, np.exp(height)), (6, 0), textcoords="offset points", va="center", color=INK, fontsize=8)
axes.set_xlim(1, 1024)
print("numbers in the cache after 1,024 tokens:", ", ".join(f"{name} {lines[name][-1]:,}" for name in ("mha", "gqa", "mla", "decay")))

# %% [markdown]
# Between `mha` and `decay`, which differ in one word of a config, there is a factor of two thousand. The caches with green lines do not
# grow beyond a fixed size, however long the text is: they keep only the last tokens, or a summary of all tokens in a fixed number of
# values. Everything else is lost.
#
# ## How well they learn
# Does a smaller cache cost quality? The only honest way to find out is to train them all, with the same text, number of steps and seed.
# This takes a few seconds for each of them.

# %% tags=["parameters"] small="steps, compared = 30, ['mha', 'swa', 'decay']"
steps, compared = 120, zoo

# %%
from littlebaby.training.data import Batches, validation_windows
from littlebaby.training.loop import Step, begin, train
from littlebaby.text import nursery

story, _ = nursery.corpus(120_000, seed=1)
tokenizer = texts.train("char", story)
ids = tokenizer.encode(story)

def losses(**settings):
    """The loss of every step of a small training"""
    cfg = lb.Config(n_ctx=64, n_emb=32, n_heads=4, n_layers=2, batch_size=8, c_position="rope", s_window=16, n_sample=0,
                    r_learn=0.01, n_steps=steps).replace(**settings)
    baby = lb.Baby(cfg, tokenizer=tokenizer, seed=0)
    return [event.loss for event in train(baby, begin(baby, steps), Batches(ids, cfg, 0), validation_windows([ids[:0]], cfg)) if isinstance(event, Step)]

final = {name: np.mean(losses(c_attention=name)[-20:]) for name in compared}
order = sorted(final, key=final.get)
axes = picture(f"training loss after {steps} steps, nats per character", height=3.4)
axes.plot([final[name] for name in order], "o", color=TRAIN)
for i, name in enumerate(order):
    axes.annotate(f"{final[name]:.2f}", (i, final[name]), (0, 7), textcoords="offset points", ha="center", color=GRAY, fontsize=8)
axes.set_xticks(range(len(order)), order, color=INK)
axes.margins(y=0.25)

# %% [markdown]
# Surprised? After so few steps, what helps most is the last few characters, so an attention that can use nothing else is ahead: `gla` mixes
# the last eight tokens from the start, while `mha` must first *learn* to attend to nearby ones. Increase `steps` and see which ones catch
# up. The result of a benchmark depends on the length of the trainings as much as on the models.
#
# ## Try it
# ### 1. How far does a window reach?
# In a layer of `swa` with a window of 16, a token attends to 16 tokens, itself included. But the vectors that it attends to already
# contain information from earlier tokens, through the layer below. How many tokens *back* can information reach through a stack of 3
# such layers? And through `L` layers with a window of `W`?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
def measured(L, W, T=40):
    """How many tokens back the output of the last token depends on the input, in L layers"""
    rng, swa = np.random.default_rng(0), variant("attentions", "swa")
    from littlebaby.check.variant_measures import random_layer
    cfg = lb.Config(c_attention="swa", n_ctx=64, n_emb=16, n_heads=2, n_vocab=9, s_window=W, d_type="fp64", c_position="none")
    layers, x = [random_layer(swa, cfg, rng) for _ in range(L)], rng.standard_normal((1, T, 16))
    backs = []
    for p, g in layers:
        y, back = swa.forward(p, x, Context(cfg))
        x, _ = x + y, backs.append((back, g))
    dx = np.zeros_like(x)
    dx[0, -1] = 1
    for back, g in reversed(backs):
        dx = dx + back(dx, g)
    return T - 1 - int(np.flatnonzero(abs(dx[0]).max(-1))[0])

@exercise(lesson=8, number=1)
def check(reach):
    assert reach(3, 16) is not None, "reach returns None: return a number of tokens, from the number of layers L and the window W."
    assert reach(1, 4) != 4, "a window of 4 counts the token itself: one layer reaches 3 tokens back."
    for L, W in ((1, 4), (2, 4), (3, 4), (2, 8), (3, 8)):
        assert reach(L, W) == measured(L, W), f"{L} layers with a window of {W} reach {measured(L, W)} tokens back: each adds the same; your result is {reach(L, W)}."
    return f"L (W - 1), as measured: 3 layers with a window of 16 reach {reach(3, 16)} tokens back; more layers can replace a wider window."

# %% tags=["exercise"]
def reach(L, W):
    """How many tokens back information can reach through L layers with a window of W"""
    return None

check(reach)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def reach(L, W):
#     """How many tokens back information can reach through L layers with a window of W"""
#     return L * (W - 1)
#
# check(reach)
# ```
#
# </details>

# %% [markdown]
# ### 2. The cache of a long conversation
# A model with 32 blocks and width 4096 has processed 100,000 tokens, and every number in its cache takes 2 bytes. `mha` stores a key and a
# value of the full width for each token in each block. How many *gigabytes* ($10^9$ bytes) is that? And with `gqa`, **grouped-query attention**,
# where the 32 heads form groups of 8, and each group has one key and one value?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=8, number=2)
def check(mha, gqa):
    assert mha is not None and gqa is not None, "put numbers in place of None: tokens, times blocks, times 2 vectors, times width, times bytes."
    right = 100_000 * 32 * 2 * 4096 * 2 / 1e9
    assert abs(mha / right - 0.5) > 1e-6, "that is half of it: there is a key and a value for every token."
    assert abs(mha / right * 2 ** 30 / 1e9 - 1) > 1e-6, "that is right in GiB, of 2³⁰ bytes: a gigabyte has 10⁹."
    assert abs(mha / right - 1) < 1e-2, f"mha is not {mha:.4g} GB: multiply 100,000 tokens, 32 blocks, 2 vectors, 4096 numbers and 2 bytes."
    assert abs(gqa / right * 8 - 1) < 1e-2, f"where 8 heads share one key and one value, the cache has an eighth of {mha:.4g} GB."
    return f"{mha:.1f} GB for one conversation, more than the weights of many models; with gqa it is {gqa:.1f} GB."

# %% tags=["exercise"]
mha = None
gqa = None

check(mha, gqa)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# mha = 100_000 * 32 * 2 * 4096 * 2 / 1e9
# gqa = mha / 8
#
# check(mha, gqa)
# ```
#
# </details>

# %% [markdown]
# ### 3. Your own attention
# The humblest attention there is: every token gets the mean of all values up to its own. The forward pass is given. Write the backward
# pass: first `dv` from `do` (the value of token $j$ is part of the mean of every token $t \ge j$), then the rest. The library's gradient
# check tests it.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from types import SimpleNamespace

from littlebaby.arrays.tree import matrix
from littlebaby.check import laws

@exercise(lesson=8, number=3)
def check(forward):
    layer = SimpleNamespace(params=lambda cfg: dict(wv=matrix(cfg.n_emb, 8), wo=matrix(8, cfg.n_emb)), forward=forward)
    cfg = laws.config()
    s = laws.random_layer(layer, cfg)
    _, back = forward(s.p, s.x, Context(cfg))
    g = tree.views(s.spec, np.zeros_like(s.flat))
    assert back(s.dy, g) is not None, "backward returns None: compute dv from do, then dx from dv, and add dwo and dwv to g."
    assert g.wo.any() and g.wv.any(), "a weight has no gradient: write g.wo += dwo and g.wv += dwv."
    error = laws.gradient(layer, cfg)
    assert error < laws.EXACT, f"the check finds an error of {error:.1g}: dv_j is the sum of do_t / (t + 1) over all t >= j, a cumsum from the end."
    return f"error {error:.0e}: you have written and verified a layer of a language model. As a file in model/attentions it could be trained."

# %% tags=["exercise"]
def forward(p, x, ctx):
    """y_t = (mean of x_j wv over all j <= t) wo"""
    v, back_v = arrays.linear(x, p.wv)                   # (B, T, D) -> (B, T, H)
    n = np.arange(1, x.shape[1] + 1)[:, None]            # (T, 1): 1, 2, 3, ...
    o = v.cumsum(1) / n
    y, back_y = arrays.linear(o, p.wo)                   # (B, T, H) -> (B, T, D)

    def backward(dy, g):
        do, dwo, _ = back_y(dy)
        return None

    return y, backward

check(forward)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def forward(p, x, ctx):
#     """y_t = (mean of x_j wv over all j <= t) wo"""
#     v, back_v = arrays.linear(x, p.wv)
#     n = np.arange(1, x.shape[1] + 1)[:, None]
#     o = v.cumsum(1) / n
#     y, back_y = arrays.linear(o, p.wo)
#
#     def backward(dy, g):
#         do, dwo, _ = back_y(dy)
#         dv = (do / n)[:, ::-1].cumsum(1)[:, ::-1]
#         dx, dwv, _ = back_v(dv)
#         g.wo += dwo
#         g.wv += dwv
#         return dx
#
#     return y, backward
#
# check(forward)
# ```
#
# </details>

# %% [markdown]
# **Next:** [9 · Experts](09_experts.ipynb): a model may have more weights than it uses for each token.
