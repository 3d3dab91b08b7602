# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 8 · Experts
#
# *Can a model know more than it thinks about at a time?*
#
# Two thirds of a block are its network, and every token pays for all of it: a comma as much as a rare word. A **mixture of experts** has many
# networks and a **router**, which sends each token to a few of them. Nearly all large models are built so today. The idea is three lines long;
# the trouble is that, left alone, experts become unemployed. We will see it happen, and cure it.

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
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.show.variant_pictures import squares
from littlebaby.show.tour import exercise, picture

rng = np.random.default_rng(0)

# %% [markdown]
# ## By hand
# For each token: score all experts, take the best $k$, let them answer, and weigh their answers by a softmax over the $k$ scores.
#
# $$s = \text{softmax}(x\, w_{router}) \qquad y = \sum_{i \in \text{best } k} \frac{s_i}{\sum_{\text{best } k} s}\; \text{expert}_i(x)$$

# %%
cfg = lb.Config(c_network="moe", n_experts=8, n_active=2, s_expert=32, n_emb=16, n_heads=2, n_vocab=9, n_ctx=16, d_type="fp64")
moe, mlp = variant("networks", "moe"), variant("networks", "mlp")
spec = moe.params(cfg)
p = tree.views(spec, 0.3 * rng.standard_normal(tree.size(spec)))

def by_hand(p, x):
    """(N, D) -> (N, D), token by token"""
    y = np.zeros_like(x)
    for n, token in enumerate(x):
        s, _ = arrays.softmax(token @ p.router)                            # (D) -> (E)
        best = np.argsort(-s)[:cfg.n_active]
        for i in best:
            answer, _ = mlp.forward(p.experts[i], token[None], Context(cfg))
            y[n] += s[i] / s[best].sum() * answer[0]
    return y

x = rng.standard_normal((12, 16))
y, backward = moe.forward(p, x[None], Context(cfg))
print(f"by hand and library: {abs(by_hand(p, x) - y[0]).max():.0e} apart")

# %% [markdown]
# The library does not walk token by token. It sorts them by expert, gives every expert all of its tokens in one block, and leads the answers
# home; then one product serves many tokens. The result is the same.
#
# And the gradient? *Which* experts are asked is a decision, a whole number: it has no slope, and the backward treats it as given. *How much* an
# answer counts has one, and through it the router learns: if an answer was good, its score rises.

# %%
from littlebaby.check import laws

for asked in (1, 2, 4):
    print(f"{asked} of 4 experts asked: gradient off by {laws.gradient(moe, laws.config('networks', 'moe', n_active=asked)):.0e}")

# %% [markdown]
# ## What it costs, and what it has
# More experts: more weights. The same number asked: the same work. So knowledge and cost come apart.

# %%
from littlebaby.check.preflight import flops

def size_and_work(E, k):
    """All weights of a model, and the millions of operations that one token costs, forward and backward"""
    cfg = lb.Config(c_network="moe", n_experts=E, n_active=k, n_emb=128, n_heads=4, n_layers=4, n_vocab=50)
    spec = lb.Baby(cfg).spec
    return tree.size(spec), sum(flops(cfg, spec)) / 1e6

left, right = picture("million weights, by number of experts", "million operations for a token, two experts asked", widths=(1, 1))
numbers = [2, 4, 8, 16]
sizes, works = zip(*(size_and_work(E, 2) for E in numbers))
left.bar([str(E) for E in numbers], [n / 1e6 for n in sizes], color=TRAIN)
right.bar([str(E) for E in numbers], works, color=VALID)
print(f"from 2 to 16 experts: {sizes[-1] / sizes[0]:.1f} times the weights, {works[-1] / works[0]:.2f} times the work")

# %% [markdown]
# ## Unemployment
# At first all experts are alike. One is a little better for some reason; it is asked more, so it learns more, so it is better still. The rich
# get richer. Here eight experts learn the nursery, one asked per token, and we write down who was asked. Without a remedy, and with one: a second,
# small loss that grows where loads are unequal (`r_aux`).

# %% tags=["parameters"] small="steps = 20"
steps = 200

# %%
from littlebaby.training.data import Batches, validation_windows
from littlebaby.training.loop import Evaluation, Step, begin, train
from littlebaby.text import nursery

story, _ = nursery.corpus(120_000, seed=1)
tokenizer = texts.train("char", story)
ids = tokenizer.encode(story)

def raise_one(**settings):
    """A small baby with experts, its losses, and the share of tokens of each expert, (evaluations, layers, E)"""
    cfg = lb.Config(c_network="moe", n_experts=8, n_active=1, s_expert=32, c_router="softmax", n_ctx=64, n_emb=32, n_heads=4, n_layers=2,
                    batch_size=8, c_position="rope", n_sample=0, r_learn=0.01, n_steps=steps, s_eval=10, **settings)
    baby = lb.Baby(cfg, tokenizer=tokenizer, seed=0)
    events = list(train(baby, begin(baby, steps), Batches(ids, cfg, 0), validation_windows([ids[:0]], cfg)))
    loads = np.array([event.load for event in events if isinstance(event, Evaluation)], float)
    return baby, [event.loss for event in events if isinstance(event, Step)], loads / loads.sum(-1, keepdims=True)

SHADES = "#23507a", TRAIN, "#8fb5d8", "#cfe0f0", "#7d2b17", VALID, "#e3a596", "#f5dcd4"

babies = {name: raise_one(**settings) for name, settings in (("left alone", dict(r_aux=0.0)), ("equal loads rewarded", dict(r_aux=0.02)))}
for axes, (name, (_, losses, loads)) in zip(picture(*(f"who is asked in layer 1, by step: {name}" for name in babies), widths=(1, 1)), babies.items()):
    axes.stackplot(10 * (1 + np.arange(len(loads))), loads[:, 0].T, colors=SHADES, lw=0)
    axes.set_ylim(0, 1)
    axes.set_xlim(10, steps)
    print(f"{name:20} loss {np.mean(losses[-20:]):.3f}   in layer 1 the busiest and the idlest got at first {loads[0, 0].max():.1%} and "
          f"{loads[0, 0].min():.1%} of all tokens, in the end {loads[-1, 0].max():.1%} and {loads[-1, 0].min():.1%}")

# %% [markdown]
# Each colour is an expert, its height the share of tokens that it gets; an eighth, 12.5%, would be just. On the left some bands are hardly to be
# seen: whoever is not asked does not learn, and so is not asked. On the right all have work, and the loss has not suffered from it. For a model on
# many machines, one expert on each, the busiest decides how long everybody waits; and an expert that nobody asks is memory paid for nothing.
#
# ## What do they know?
# Let the second baby read, and see to whom each character went.

# %%
baby = babies["equal loads rewarded"][0]

from littlebaby.model import gpt

read, held = ids[:12_800].reshape(200, 64), {}
gpt.forward(baby.p, read, Context(baby.config, decisions=held))            # what is decided on the way is noted in `held`
chosen = held[0, "chosen"][:, 0]                                           # whom every token asked in the first layer

shares = np.zeros((8, tokenizer.size))
np.add.at(shares, (chosen, read.reshape(-1)), 1)
often = np.argsort(-shares.sum(0))[:28]
axes = picture("share of each character's occurrences that goes to each expert", height=3.2)
squares(axes, shares[:, often] / shares[:, often].sum(0), axes.get_title(loc="left"))
axes.set_aspect("auto")
axes.set_xticks(range(28), [{" ": "␣", "\n": "⏎"}.get(c, c) for c in np.array(tokenizer.tokens())[often]], fontsize=9)
axes.set_yticks(range(8), [f"expert {i}" for i in range(8)]);

# %% [markdown]
# Nobody gave them subjects. Some characters go to one expert alone; the others are divided, by what stands before them.
#
# ## Try it
# ### 1. How sure, among those asked?
# `scores` are the router's logits, `chosen` the numbers of the experts asked. Return how much each answer counts: chances among the chosen ones
# only, so that they sum to 1.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(weigh):
    scores, chosen = np.array([[2.0, -1.0, 0.5, 1.0], [0.0, 3.0, 2.9, -2.0]]), np.array([[0, 3], [1, 2]])
    w = weigh(scores, chosen)
    assert w is not None, "weigh returns None: take the chosen scores of each row, and turn them into chances."
    assert np.shape(w) == (2, 2), f"two tokens with two experts each make (2, 2) weights; yours have shape {np.shape(w)}."
    assert np.allclose(np.sum(w, 1), 1), f"the weights of a token should sum to 1; yours sum to {np.sum(w, 1).round(3).tolist()}."
    picked = np.take_along_axis(scores, chosen, 1)
    right = np.exp(picked) / np.exp(picked).sum(1, keepdims=True)
    assert np.allclose(w, right), f"the first token should get {right[0].round(3).tolist()}; yours gets {np.round(w[0], 3).tolist()}."
    s, _ = arrays.softmax(scores)
    theirs, _ = moe.gate_weights(s, chosen, lb.Config(c_network="moe", n_experts=4, n_active=2))
    return f"the library is {abs(theirs - w).max():.0e} apart: chances among all, shared out anew, are chances among the chosen."

# %% tags=["exercise"]
def weigh(scores, chosen):
    """(N, E) scores and (N, k) experts -> (N, k), how much each answer counts"""
    return None

check(weigh)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def weigh(scores, chosen):
#     """(N, E) scores and (N, k) experts -> (N, k), how much each answer counts"""
#     picked = np.take_along_axis(scores, chosen, 1)
#     return arrays.softmax(picked)[0]
#
# check(weigh)
# ```
#
# </details>

# %% [markdown]
# ### 2. The price of inequality
# The second loss is $E \sum_i f_i P_i$: $f_i$ the share of tokens that went to expert $i$, $P_i$ the router's mean chance for it. Write it, for
# chances `s` $(N, E)$ where each token goes to its best expert. What is it when all are equal, and what when one gets everything?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(price):
    even, greedy = np.eye(4)[np.arange(8) % 4] * 0.96 + 0.01, np.tile([0.97, 0.01, 0.01, 0.01], (8, 1))
    assert price(even) is not None, "price returns None: count who is the best of each row, and average the chances of each expert."
    assert abs(price(even) - 1) < 1e-10, f"with equal loads and equal mean chances it is 1, whatever E; yours says {price(even):.3f}."
    assert abs(price(greedy) - 4 * 0.97) < 1e-10, f"where all go to an expert with chance 0.97, it is 4 times 0.97 = 3.88; yours says {price(greedy):.3f}."
    s = arrays.softmax(np.random.default_rng(0).standard_normal((50, 5)))[0]
    f = np.bincount(s.argmax(1), minlength=5) / 50
    assert abs(price(s) - 5 * (f * s.mean(0)).sum()) < 1e-10, "E should be the number of columns of s, and f the share of rows whose best expert it is."
    return "1 when equal, nearly E when one takes all. Counting has no slope, so the gradient flows through P alone: the crowded get a lower chance."

# %% tags=["exercise"]
def price(s):
    """(N, E) chances -> E sum_i f_i P_i"""
    return None

check(price)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def price(s):
#     """(N, E) chances -> E sum_i f_i P_i"""
#     N, E = s.shape
#     f = np.bincount(s.argmax(1), minlength=E) / N
#     return E * (f * s.mean(0)).sum()
#
# check(price)
# ```
#
# </details>

# %% [markdown]
# ### 3. Sparse giants
# A model has 61 layers, 58 of them with 256 experts and one shared expert that all tokens ask; a token asks 8 of the 256. An expert has three
# matrices of 7168 × 2048. How many billion weights do the experts (and the shared ones) hold, and how many billion of them does one token use?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(held, used):
    one = 3 * 7168 * 2048 / 1e9
    assert held is not None and used is not None, "put numbers in place of None: first the weights of one expert, then layers times experts."
    assert abs(held / (58 * 256 * one) - 1) > 1e-6, "the shared expert is missing: 257 in each of the 58 layers."
    assert abs(held / (58 * 257 * one) - 1) < 1e-3, f"one expert has {one:.4f} billion weights; all of 58 layers with 257 are not {held:.4g} billion."
    assert abs(used / (58 * 9 * one) - 1) < 1e-3, f"a token asks 8 experts and the shared one in each of 58 layers; that is not {used:.4g} billion."
    return f"{held:.0f} billion held, {used:.0f} billion used: a token reads {used / held:.1%} of what the experts know. (This is DeepSeek-V3.)"

# %% tags=["exercise"]
held = None
used = None

check(held, used)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# expert = 3 * 7168 * 2048 / 1e9
# held = 58 * 257 * expert
# used = 58 * 9 * expert
#
# check(held, used)
# ```
#
# </details>

# %% [markdown]
# **Next:** [9 · From characters to BPE](09_from_characters_to_bpe.ipynb): who says that a symbol must be a letter?
