# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 9 · Experts
#
# *Can a model have more weights than it uses for each token?*
#
# Two thirds of a block's weights are in its network, and every token uses all of them: a comma as much as a rare word. A **mixture of
# experts** has many networks, the **experts**, and a **router**, which sends each token to a few of them, as a hospital's reception sends
# every patient to the right doctors. Many of the largest models today are
# built this way. The idea is three lines long, but it has a problem: without a remedy some experts become unemployed. We will see it
# happen, and cure it.

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
# For each token the router gives every expert a probability $s_i$. The $k$ experts with the highest probabilities compute their outputs,
# and the result is the weighted sum of these outputs. The weights are the probabilities of the $k$ experts, divided by their sum so that
# they sum to 1:
#
# $$s = \text{softmax}(x\, w_{router}) \qquad y = \sum_{i \in \text{top } k} \frac{s_i}{\sum_{j \in \text{top } k} s_j}\; \text{expert}_i(x)$$

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
        chosen = np.argsort(-s)[:cfg.n_active]
        for i in chosen:
            output, _ = mlp.forward(p.experts[i], token[None], Context(cfg))
            y[n] += s[i] / s[chosen].sum() * output[0]
    return y

x = rng.standard_normal((12, 16))
y, backward = moe.forward(p, x[None], Context(cfg))
print(f"largest difference between loops and library: {abs(by_hand(p, x) - y[0]).max():.0e}")

# %% [markdown]
# The library does not process token by token. It sorts the tokens by expert, so that each expert processes all of its tokens at once, and
# puts the outputs back in the original order. The result is the same.
#
# And the gradient? *Which* experts are selected has no derivative, because it is a discrete choice; the backward pass treats the selection
# as fixed. *How much* each output counts has a derivative, and through it the router learns: if a larger weight of an expert would lower
# the loss, its score rises.

# %%
from littlebaby.check import laws

for k in (1, 2, 4):
    print(f"{k} of 4 experts selected: relative error of the gradient {laws.gradient(moe, laws.config('networks', 'moe', n_active=k)):.0e}")

# %% [markdown]
# ## Weights and work
# More experts mean more weights. But if the number of experts per token stays the same, a token needs the same number of operations.

# %%
from littlebaby.check.preflight import flops

def size_and_work(E, k):
    """The number of weights of a model, and the millions of operations for one token, forward and backward"""
    cfg = lb.Config(c_network="moe", n_experts=E, n_active=k, n_emb=128, n_heads=4, n_layers=4, n_vocab=50)
    spec = lb.Baby(cfg).spec
    return tree.size(spec), sum(flops(cfg, spec)) / 1e6

left, right = picture("million weights, by number of experts", "million operations per token, two experts selected", widths=(1, 1))
numbers = [2, 4, 8, 16]
sizes, works = zip(*(size_and_work(E, 2) for E in numbers))
left.bar([str(E) for E in numbers], [n / 1e6 for n in sizes], color=TRAIN)
right.bar([str(E) for E in numbers], works, color=VALID)
print(f"16 experts instead of 2: {sizes[-1] / sizes[0]:.1f} times the weights, {works[-1] / works[0]:.2f} times the operations")

# %% [markdown]
# ## Unemployment
# At the start of the training all experts are about equally good. If one is a little better by accident, the router selects it more often;
# so it is trained more and becomes better still. The rich get richer. Here we train eight experts on the nursery, with one selected per
# token, and record the **load** of each expert: the share of tokens that it gets. We do this twice: without a remedy, and with a
# **load-balancing loss**, a small second loss that grows when the loads are unequal (the setting `r_aux` is its factor).

# %% tags=["parameters"] small="steps = 20"
steps = 200

# %%
from littlebaby.training.data import Batches, validation_windows
from littlebaby.training.loop import Evaluation, Step, begin, train
from littlebaby.text import nursery

story, _ = nursery.corpus(120_000, seed=1)
tokenizer = texts.train("char", story)
ids = tokenizer.encode(story)

def train_experts(**settings):
    """Train a small baby with experts -> baby, training losses, loads (evaluations, layers, E)"""
    cfg = lb.Config(c_network="moe", n_experts=8, n_active=1, s_expert=32, c_router="softmax", n_ctx=64, n_emb=32, n_heads=4, n_layers=2,
                    batch_size=8, c_position="rope", n_sample=0, r_learn=0.01, n_steps=steps, s_eval=10, **settings)
    baby = lb.Baby(cfg, tokenizer=tokenizer, seed=0)
    events = list(train(baby, begin(baby, steps), Batches(ids, cfg, 0), validation_windows([ids[:0]], cfg)))
    loads = np.array([event.load for event in events if isinstance(event, Evaluation)], float)
    return baby, [event.loss for event in events if isinstance(event, Step)], loads / loads.sum(-1, keepdims=True)

SHADES = "#23507a", TRAIN, "#8fb5d8", "#cfe0f0", "#7d2b17", VALID, "#e3a596", "#f5dcd4"

babies = {name: train_experts(**settings) for name, settings in (("without balancing", dict(r_aux=0.0)), ("with balancing", dict(r_aux=0.02)))}
for axes, (name, (_, losses, loads)) in zip(picture(*(f"loads in block 1, by step, {name}" for name in babies), widths=(1, 1)), babies.items()):
    axes.stackplot(10 * (1 + np.arange(len(loads))), loads[:, 0].T, colors=SHADES, lw=0)
    axes.set_ylim(0, 1)
    axes.set_xlim(10, steps)
    print(f"{name:18} training loss {np.mean(losses[-20:]):.3f}")
    for when, load in (("step 10", loads[0, 0]), (f"step {steps}", loads[-1, 0])):
        print(f"    {when:9} largest load in block 1 {load.max():.1%}, smallest {load.min():.1%}")

# %% [markdown]
# Each colour is an expert, and the height of its band is its load; equal loads would be an eighth, 12.5%. On the left some bands can
# hardly be seen: an expert that is not selected is not trained, and so it is not selected later. On the right all experts have work, and
# the loss is no higher. Balance matters: if every expert is on a machine of its own, all machines wait for the one with the largest load;
# and an expert that is never selected occupies memory for nothing.
#
# ## Which characters go to which expert?
# We let the second baby process some text, and count to which expert each character was sent.

# %%
baby = babies["with balancing"][0]

from littlebaby.model import gpt

rows, decisions = ids[:12_800].reshape(200, 64), {}
gpt.forward(baby.p, rows, Context(baby.config, decisions=decisions))       # the forward pass stores its discrete choices in `decisions`
chosen = decisions[0, "chosen"][:, 0]                                      # the expert of every token in the first block

counts = np.zeros((8, tokenizer.size))
np.add.at(counts, (chosen, rows.reshape(-1)), 1)
often = np.argsort(-counts.sum(0))[:28]
axes = picture("share of each character's occurrences that goes to each expert", height=3.2)
squares(axes, counts[:, often] / counts[:, often].sum(0), axes.get_title(loc="left"))
axes.set_aspect("auto")
axes.set_xticks(range(28), [{" ": "␣", "\n": "⏎"}.get(c, c) for c in np.array(tokenizer.tokens())[often]], fontsize=9)
axes.set_yticks(range(8), [f"expert {i}" for i in range(8)]);

# %% [markdown]
# Nobody assigned characters to experts. Some characters go to a single expert; others are divided among several, depending on the
# characters before them.
#
# ## Try it
# ### 1. The weights of the outputs
# `scores` are the router's logits, and `chosen` has the indices of the selected experts of each token. Return the weight of each selected
# expert's output: a softmax over the scores of the selected experts only, so that the weights of a token sum to 1.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=9, number=1)
def check(output_weights):
    scores, chosen = np.array([[2.0, -1.0, 0.5, 1.0], [0.0, 3.0, 2.9, -2.0]]), np.array([[0, 3], [1, 2]])
    w = output_weights(scores, chosen)
    assert w is not None, "output_weights returns None: take the chosen scores of each row, and apply a softmax to them."
    assert not isinstance(w, tuple), "arrays.softmax returns two things, y and back: return the first."
    assert np.shape(w) == (2, 2), f"two tokens with two experts each have weights of shape (2, 2); yours have shape {np.shape(w)}."
    assert np.allclose(np.sum(w, 1), 1), f"the weights of a token should sum to 1; yours sum to {np.sum(w, 1).round(3).tolist()}."
    picked = np.take_along_axis(scores, chosen, 1)
    right = np.exp(picked) / np.exp(picked).sum(1, keepdims=True)
    assert np.allclose(w, right), f"the weights of the first token should be {right[0].round(3).tolist()}; yours are {np.round(w[0], 3).tolist()}: apply a softmax."
    s, _ = arrays.softmax(scores)
    library, _ = moe.gate_weights(s, chosen, lb.Config(c_network="moe", n_experts=4, n_active=2))
    return f"difference from the library {abs(library - w).max():.0e}: it divides the selected probabilities by their sum, which is the same."

# %% tags=["exercise"]
def output_weights(scores, chosen):
    """scores (N, E), chosen experts (N, k) -> weights of their outputs (N, k)"""
    return None

check(output_weights)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def output_weights(scores, chosen):
#     """scores (N, E), chosen experts (N, k) -> weights of their outputs (N, k)"""
#     picked = np.take_along_axis(scores, chosen, 1)
#     return arrays.softmax(picked)[0]
#
# check(output_weights)
# ```
#
# </details>

# %% [markdown]
# ### 2. The price of inequality
# The load-balancing loss is $E \sum_i f_i P_i$, where $f_i$ is the share of tokens that were sent to expert $i$, and $P_i$ is the mean
# probability that the router gives to expert $i$. Write it for probabilities `s` $(N, E)$, where each token is sent to its most probable
# expert. What is its value when all loads are equal, and when one expert gets all tokens?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=9, number=2)
def check(balance_loss):
    even, one = np.eye(4)[np.arange(8) % 4] * 0.96 + 0.01, np.tile([0.97, 0.01, 0.01, 0.01], (8, 1))
    a, b = balance_loss(even), balance_loss(one)
    assert a is not None, "balance_loss returns None: f_i is the share of rows with their maximum in column i, P_i the mean of column i."
    assert abs(a - 0.25) > 1e-10, "with equal loads it should be 1; your result is a quarter of that for 4 experts: the factor E is missing."
    assert abs(a - 1) < 1e-10, f"with equal loads and equal mean probabilities it should be 1; your result is {a:.3f}."
    assert abs(b - 4 * 0.97) < 1e-10, f"if one of 4 experts gets all tokens with probability 0.97, it should be 3.88; your result is {b:.3f}: f counts tokens."
    s = arrays.softmax(np.random.default_rng(0).standard_normal((50, 5)))[0]
    f = np.bincount(s.argmax(1), minlength=5) / 50
    right = 5 * (f * s.mean(0)).sum()
    assert abs(balance_loss(s) - right) < 1e-10, "E should be the number of columns of s, and f_i the share of rows with their maximum in column i."
    return "1 for equal loads, nearly E if one expert gets all. f has no derivative; the gradient lowers P, most where f is largest."

# %% tags=["exercise"]
def balance_loss(s):
    """probabilities (N, E) -> E sum_i f_i P_i"""
    return None

check(balance_loss)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def balance_loss(s):
#     """probabilities (N, E) -> E sum_i f_i P_i"""
#     N, E = s.shape
#     f = np.bincount(s.argmax(1), minlength=E) / N
#     return E * (f * s.mean(0)).sum()
#
# check(balance_loss)
# ```
#
# </details>

# %% [markdown]
# ### 3. Sparse giants
# A model has 61 blocks. In 58 of them there are 256 experts, of which 8 are selected for each token, and one shared expert, which every
# token uses. An expert has three matrices of 7168 × 2048. How many billion weights do all experts have together, with the shared ones, and
# how many billion of them does one token use?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=9, number=3)
def check(total, used):
    one = 3 * 7168 * 2048 / 1e9
    assert total is not None and used is not None, "put numbers in place of None: first the weights of one expert, then blocks times experts."
    assert abs(total / (58 * 256 * one) - 1) > 1e-6, "the shared expert is missing: there are 257 in each of the 58 blocks."
    assert abs(total / (61 * 257 * one) - 1) > 1e-6, "only 58 of the 61 blocks have experts."
    assert abs(total / (58 * 257 * one) - 1) < 1e-3, f"58 blocks have 257 experts of {one:.4f} billion weights each; that is not {total:.4g} billion."
    assert abs(used / (58 * 9 * one) - 1) < 1e-3, f"a token uses 8 experts and the shared one in each of 58 blocks; that is not {used:.4g} billion."
    return f"{total:.0f} billion in all, of which a token uses {used:.0f} billion, {used / total:.1%}. (This is DeepSeek-V3.)"

# %% tags=["exercise"]
total = None
used = None

check(total, used)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# expert = 3 * 7168 * 2048 / 1e9
# total = 58 * 257 * expert
# used = 58 * 9 * expert
#
# check(total, used)
# ```
#
# </details>

# %% [markdown]
# **Next:** [10 · From characters to BPE](10_from_characters_to_bpe.ipynb): who says that a token must be a character?
