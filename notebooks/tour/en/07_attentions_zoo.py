# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7 · Attention's zoo
#
# *Must every token look at every other?*
#
# The attention of lesson 4 keeps all keys and values, and compares each new question with all of them. For long texts that is dear, and so people
# have invented many other ways to look back. The library has a dozen. They all live behind the same door, `c_attention="…"`, so we can put
# them side by side: look at them, weigh their memory, train them. At the end you write one yourself.

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
# ## The register is a folder
# Every file in `model/attentions` is an attention; whoever adds a file has added one. Its first lines say what it is.

# %%
from textwrap import shorten

zoo = variants("attentions")
for name in zoo:
    doc = variant("attentions", name).__doc__
    print(f"{doc.splitlines()[0]}\n      {shorten(doc.split(chr(10) * 2)[1], 130, placeholder=' …')}")

# %% [markdown]
# ## What they look at
# We can see it without reading a line of their code. Let a layer with random weights read 64 random tokens; then ask its backward, for each
# token: *who is to blame for your output?* Each row is a token that reads, each column one that is read.

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
# `mha` may look anywhere, `swa` only through a window of 16; `decay` lets everything fade; `rfa` has a window and, behind it, one fading memory;
# `gla` mixes eight neighbours; in `hybrid` half of the heads look back and the other half fade. And never does anything lie above the diagonal.
#
# ## What they remember
# While a text is written, token by token, an attention keeps what later tokens will need: its **cache**. For `mha` this is every key and every
# value, and the cache, not the weights, is what fills the memory of a server on long texts. How many numbers does each keep, for one layer of
# width 128?

# %%
from littlebaby.arrays import tree
from littlebaby.check.preflight import numbers

def cache(name, tokens):
    """How many numbers one layer keeps after so many tokens: let it read them, and count"""
    cfg = lb.Config(c_attention=name, n_ctx=1024, n_emb=128, n_heads=4, n_vocab=50, c_position="none", s_window=64)
    layer, kept = variant("attentions", name), {}
    spec = layer.params(cfg)
    layer.forward(tree.views(spec, np.zeros(tree.size(spec))), np.zeros((1, tokens, 128)), Context(cfg, cache=kept))
    return numbers(kept)

axes = picture("numbers that one layer keeps, by tokens so far", height=3.8)
lengths = [1, 4, 16, 64, 256, 1024]
lines = {name: [cache(name, n) for n in lengths] for name in zoo}
ends = {}
for name, line in lines.items():
    axes.loglog(lengths, line, color=FLOOR if line[-1] == cache(name, 512) else TRAIN, lw=1.6)
    ends.setdefault(round(np.log(line[-1]), 1), []).append(name)
for at, kin in ends.items():
    axes.annotate(", ".join(kin), (1024, np.exp(at)), (6, 0), textcoords="offset points", va="center", color=INK, fontsize=8)
axes.set_xlim(1, 1024)
print(f"after 1,024 tokens mha keeps {lines['mha'][-1]:,} numbers, gqa {lines['gqa'][-1]:,}, mla {lines['mla'][-1]:,}, decay {lines['decay'][-1]:,}")

# %% [markdown]
# A factor of two thousand between neighbours that differ in one word of a config. The green ones keep the same however long the text becomes:
# they squeeze the past into a state of fixed size, and what does not fit is gone.
#
# ## What they learn
# Is it worth it? The only honest answer is to train them, all with the same text, steps and seed. Twelve trainings of a few seconds.

# %% tags=["parameters"] small="steps, who = 30, ['mha', 'swa', 'decay']"
steps, who = 120, zoo

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

ends = {name: np.mean(losses(c_attention=name)[-20:]) for name in who}
order = sorted(ends, key=ends.get)
axes = picture(f"loss after {steps} steps, nats per character", height=3.4)
axes.plot([ends[name] for name in order], "o", color=TRAIN)
for i, name in enumerate(order):
    axes.annotate(f"{ends[name]:.2f}", (i, ends[name]), (0, 7), textcoords="offset points", ha="center", color=GRAY, fontsize=8)
axes.set_xticks(range(len(order)), order, color=INK)
axes.margins(y=0.25)

# %% [markdown]
# Surprised? At this age, what matters is to see the last few characters, and those who can do nothing else are ahead: a filter over eight
# neighbours has its answer built in, while `mha` must first *learn* to look nearby. Give them more `steps` and see who catches up. A benchmark tells about
# its own length as much as about the models in it.
#
# ## Try it
# ### 1. How far does a window reach?
# A layer of `swa` with a window of 16 sees 16 tokens, itself included. But what it sees has itself looked back, one layer below. How many tokens
# **back** can the top of 3 such layers see? And of `L` layers with a window of `W`?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
def measured(L, W, T=40):
    """How far back the last token of L layers hears a change"""
    rng, swa, far = np.random.default_rng(0), variant("attentions", "swa"), 0
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

@exercise
def check(reach):
    assert reach(3, 16) is not None, "reach returns None: return a number of tokens, from the number of layers L and the window W."
    assert reach(1, 4) != 4, "a window of 4 counts the token itself: one layer reaches 3 tokens back."
    for L, W in ((1, 4), (2, 4), (3, 4), (2, 8), (3, 8)):
        assert reach(L, W) == measured(L, W), f"{L} layers with a window of {W} hear a change {measured(L, W)} tokens back; yours says {reach(L, W)}."
    return f"L (W - 1), as measured: 3 layers with 16 reach {reach(3, 16)} back; depth makes up for width."

# %% tags=["exercise"]
def reach(L, W):
    """How many tokens back the top of L layers with windows of W can see"""
    return None

check(reach)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def reach(L, W):
#     """How many tokens back the top of L layers with windows of W can see"""
#     return L * (W - 1)
#
# check(reach)
# ```
#
# </details>

# %% [markdown]
# ### 2. The price of a long conversation
# A model of 32 layers and width 4096 has read 100,000 tokens; every number of its cache takes 2 bytes. `mha` keeps a key and a value of the
# full width for each token in each layer. How many **gigabytes** ($10^9$ bytes) is that? And for `gqa`, in which every 8 of 32 heads share
# their key and value?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(mha, gqa):
    assert mha is not None and gqa is not None, "put numbers in place of None: tokens, times layers, times key and value, times width, times bytes."
    right = 100_000 * 32 * 2 * 4096 * 2 / 1e9
    assert abs(mha / right - 0.5) > 1e-6, "that is half of it: there is a key and a value for every token."
    assert abs(mha / right - 1) < 1e-2, f"mha is not {mha:.4g} GB: multiply 100,000 tokens, 32 layers, 2 vectors, 4096 numbers and 2 bytes."
    assert abs(gqa / right * 8 - 1) < 1e-2, f"where 8 heads share one key and one value, what is kept shrinks to an eighth of {mha:.4g} GB."
    return f"{mha:.1f} GB for one conversation, more than the weights of many a model; gqa makes it {gqa:.1f} GB."

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
# ### 3. Your own
# The humblest attention there is: every token takes home the plain mean of all values up to itself. The forward is here. Write the backward: `dv`
# from `do` (a value is part of all means from its own token on), then the rest. The library's own law is the judge.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from types import SimpleNamespace

from littlebaby.arrays.tree import matrix
from littlebaby.check import laws

@exercise
def check(forward):
    layer = SimpleNamespace(params=lambda cfg: dict(wv=matrix(cfg.n_emb, 8), wo=matrix(8, cfg.n_emb)), forward=forward)
    cfg = laws.config()
    s = laws.random_layer(layer, cfg)
    _, back = forward(s.p, s.x, Context(cfg))
    g = tree.views(s.spec, np.zeros_like(s.flat))
    assert back(s.dy, g) is not None, "backward returns None: from do make dv, from dv dx, and add dwo and dwv into g on the way."
    assert g.wo.any() and g.wv.any(), "a weight has got no gradient: g.wo += dwo and g.wv += dwv."
    error = laws.gradient(layer, cfg)
    assert error < laws.EXACT, f"the law finds an error of {error:.1g}: dv_j is the sum of do_t / (t + 1) over all t from j on, a cumsum from the end."
    return f"off by {error:.0e}: you have written a layer of a language model, and proved it. As a file in model/attentions it would train."

# %% tags=["exercise"]
def forward(p, x, ctx):
    """y_t = (mean of x_j wv over j <= t) wo"""
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
#     """y_t = (mean of x_j wv over j <= t) wo"""
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
# **Next:** [8 · Experts](08_experts.ipynb): a model may know more than it thinks about at a time.
