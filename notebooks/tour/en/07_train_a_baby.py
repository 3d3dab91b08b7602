# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7 · Train a baby
#
# *What happens between noise and a sentence?*
#
# You have the model and its gradient. Training is what you did in lesson 2, many times: take a batch of text, compute the loss and the
# gradient, change the weights. In this lesson you see that loop in six lines, and learn why plain gradient descent is not enough. Then you
# let the library train a baby, and watch it grow up.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import text as texts
from littlebaby.training.data import Batches
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.tour import exercise, picture
from littlebaby.text import nursery

workspace = temporary_workspace()       # this lesson's runs lie here until the kernel ends
print("workspace:", workspace)

# %% [markdown]
# ## What a batch is
# A batch has inputs `x`, which are windows of the text, and targets `y`, which are the same windows one character later. So the model
# predicts the next character at *every* position: a window of 32 characters contains 32 predictions, with contexts of 1 to 32 characters.

# %%
story, _ = nursery.corpus(120_000, seed=1)
tokenizer = texts.train("char", story)
ids = tokenizer.encode(story)

cfg = lb.Config(n_ctx=32, n_emb=32, n_heads=4, n_layers=2, batch_size=8, c_device_cpu_cores=1)
batches = Batches(ids, cfg, seed=0)
x, y = batches.batch(0)
print("shapes ", x.shape, "and", y.shape)
print("input  ", repr(tokenizer.decode(x[0])))
print("target ", repr(tokenizer.decode(y[0])))

# %% [markdown]
# ## The training loop
# Here is the whole loop. `loss_and_grad` is the model of lesson 5, forward and backward: it returns the loss and adds the gradient of
# every weight into one vector. The optimizer's function `step` uses this vector to change the weights; each optimizer of the library is
# one short file.

# %%
from importlib import import_module

from littlebaby.arrays import tree
from littlebaby.model import gpt
from littlebaby.model.context import Context

def learn(name, rate, steps=100):
    """Train a new baby with this optimizer and learning rate; returns the loss of every step"""
    settings = cfg.replace(c_optimizer=name, r_momentum=0 if name == "sgd" else 0.95)
    optimizer = import_module(f"littlebaby.training.optimizers.{name}")
    baby, losses = lb.Baby(settings, tokenizer=tokenizer, seed=0), []
    state = optimizer.state(baby.spec, baby.flat.dtype)
    for step in range(steps):
        gradient = np.zeros_like(baby.flat)
        losses.append(gpt.loss_and_grad(baby.p, tree.views(baby.spec, gradient), *batches.batch(step), Context(settings)))
        optimizer.step(baby.flat, gradient, state, baby.spec, settings, rate)
    return losses

# %% [markdown]
# We compare three optimizers. `sgd` is plain gradient descent, as in lesson 2. `adamw` gives every weight a step of about the same size,
# however small its gradient is. `muon` gives all directions of a weight matrix a step of about the same size. Model, text and batches are
# the same for all three; each has a learning rate that suits it.

# %%
axes = picture("loss in nats per character, by step, with three optimizers", height=3.6)
for name, rate, color in (("sgd", 0.5, GRAY), ("adamw", 0.01, TRAIN), ("muon", 0.02, VALID)):
    losses = learn(name, rate)
    axes.plot(running(losses), color=color, lw=1.8)
    axes.annotate(f"{name} {np.mean(losses[-10:]):.2f}", (len(losses), running(losses)[-1]), (6, 0), textcoords="offset points",
                  color=color, va="center")
axes.set_xlim(0, len(losses));

# %% [markdown]
# All three first learn the frequency of each character, which gives the loss of the first table of lesson 1, 3.04. (The bump of `adamw`
# comes from its first steps, which are too large; exercise 2 shows the remedy.) `sgd` stays there for a long time: the gradients of
# frequent characters are large, but the directions that would lower the loss further have small gradients, so `sgd` hardly moves in them.
# The other two optimizers take large steps in these directions, too.
#
# ## A real training
# `lb.train` contains this loop, and what a training run needs besides: several threads, warm-up and decay of the learning rate, evaluation
# on validation text, checkpoints, and resuming after an interruption. First let it estimate the cost.

# %% tags=["parameters"] small="settings = dict(n_ctx=64, n_emb=32, n_heads=4, n_layers=2, n_steps=60, s_eval=10, n_completion=100)"
settings = dict(n_ctx=256, n_emb=96, n_heads=6, n_steps=300, s_eval=50, n_completion=400)

# %%
from littlebaby.show.estimate_tables import preflight_table

print(preflight_table(lb.preflight("nursery", **settings)))

# %%
run = lb.train("nursery", progress=False, **settings)

# %% [markdown]
# (With `progress=True`, the default, a bar shows the loss during training. Here we look at the results afterwards.)
#
# At every evaluation a run keeps the validation loss and a sample of generated text:

# %%
floor = run.report.nursery_floor
for row in run.report.evaluations:
    print(f"step {row.step:4}   validation loss {row.valid_loss:.3f}   {' '.join(row.sample.split())[:80]}")
print(f"entropy     {floor:21.3f}")

# %% [markdown]
# First it learns characters, then word-like groups, then words, and then sentences. Nobody planned that order: it is the order in which
# the loss falls fastest. No model can have a lower loss than the entropy of the text (lesson 1).

# %%
from IPython.display import Image

Image(run.chart(), width=800)

# %%
perplexity = np.exp(run.report.best_valid_loss)
print(f"{run.report.figures.parameters.total:,} weights, trained on {run.report.figures.tokens:,} characters")
print(f"validation loss {run.report.best_valid_loss:.3f}, perplexity {perplexity:.2f}; the lowest perplexity possible is {np.exp(floor):.2f}\n")
print("Zoe hid a" + lb.inference(run.guid, prompt="Zoe hid a", max_tokens=250, temperature=0.5, seed=1).text)

# %% [markdown]
# The best table of lesson 1 reached a loss of 0.49 with a context of seven characters; a longer context made it worse. This baby has a
# context of 256 characters, and its loss is lower. The training was short, too: the default training, `lb.train("nursery")`, uses almost
# five times as many characters.
#
# ## Look inside
# In lesson 4 you chose the attention weights of a head by hand. What attention weights has this baby learned? The microscope shows what
# happens in a model while it processes a sentence; `lb.microscope(run.guid)` alone shows a page with everything. Here we use it for one
# question: how far back does each head look? For every head we compute the mean distance, in characters, between a token and those that it
# attends to, weighted by the attention weights, and show the head with the shortest distance and the head with the longest.

# %%
from littlebaby.show.microscope import distances
from littlebaby.show.variant_pictures import squares

seen = lb.microscope(run.guid, "Zoe hid a yellow mask. At night Z")
distance = {(layer + 1, head + 1): n for layer, heads in seen.attention.items() for head, n in enumerate(distances(heads))}
near, far = min(distance, key=distance.get), max(distance, key=distance.get)

labels = [token.replace(" ", "␣").replace("\n", "⏎") for token in seen.tokens]
pair = picture(*(f"layer {layer}, head {head}: {distance[layer, head]:.1f} characters back" for layer, head in (near, far)), height=4.2)
for axes, (layer, head) in zip(pair, (near, far)):
    squares(axes, seen.attention[layer - 1][head - 1], axes.get_title(loc="left"))
    axes.set_xticks(range(len(labels)), labels, fontsize=6)
    axes.set_yticks(range(len(labels)), labels, fontsize=6)
print("mean distance of the heads of each layer:")
for layer, heads in seen.attention.items():
    print(f"    layer {layer + 1}  ", "  ".join(f"{n:.1f}" for n in sorted(distances(heads))))
print(f"mean distance with equal attention weights: {(len(labels) - 1) / 4:.1f}")
likely = zip(seen.visible_tokens(seen.top_ids[-1, -1]), seen.probabilities[-1, -1])
print("prediction after the last Z:", ", ".join(f"{token} {p:.0%}" for token, p in likely))

# %% [markdown]
# Nobody assigned tasks to the heads, yet they have divided the work: some attend mostly to the characters of the current word, especially
# to the first; others attend to characters all over the sentence.
#
# ## Try it
# ### 1. Momentum
# A rolling ball does not stop at every stone. Write one step of gradient descent with momentum: the velocity is `mu` times the old
# velocity plus the gradient, and the weights change by `rate` times the velocity, downhill. Return the new weights and the new velocity.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from littlebaby.arrays.tree import vector
from littlebaby.training.optimizers import sgd

@exercise
def check(step):
    rng = np.random.default_rng(0)
    w, velocity, mu, rate = rng.standard_normal(5), np.zeros(5), 0.9, 0.1
    library_w, state = w.copy(), sgd.state(dict(w=vector(5)), float)
    for _ in range(4):
        g = rng.standard_normal(5)
        answer = step(w, g, velocity, rate, mu)
        assert answer is not None, "step returns None: return the new weights and the new velocity, in this order."
        w, velocity = answer
        sgd.step(library_w, g, state, dict(w=vector(5)), lb.Config(r_momentum=mu, r_weight_decay=0), rate)
    assert not np.allclose(w, 2 * library_w), "the weights are twice as large as they should be."
    assert np.allclose(velocity, state["m"]), "the velocity is wrong: it is mu times the old velocity plus the gradient, without the rate."
    assert np.allclose(w, library_w), "the velocity is right, but the weights are wrong: subtract rate times the new velocity."
    return f"equal to the library's sgd to {abs(w - library_w).max():.0e} after four steps."

# %% tags=["exercise"]
def step(w, gradient, velocity, rate, mu):
    """-> w, velocity"""
    return None

check(step)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def step(w, gradient, velocity, rate, mu):
#     """-> w, velocity"""
#     velocity = mu * velocity + gradient
#     return w - rate * velocity, velocity
#
# check(step)
# ```
#
# </details>

# %% [markdown]
# ### 2. The learning rate schedule
# The learning rate is not the same in every step. During the first `warmup` steps it rises: step 1 has $1/(\text{warmup} + 1)$ of the full
# rate, step 2 has $2/(\text{warmup} + 1)$, and so on. Then it falls along half a cosine: the first step after the warm-up has the full
# rate, and one step after the last it would be 0. Write the multiplier of the rate, a number between 0 and 1.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from littlebaby.training.schedules import multiplier

@exercise
def check(schedule):
    assert schedule(1, 100, 10) is not None, "schedule returns None: return a number between 0 and 1 for every step."
    settings = lb.Config(s_warmup=10, r_learn_min=0.0, c_schedule="cosine")
    for step in range(1, 101):
        right, got = multiplier(step, 100, settings), schedule(step, 100, 10)
        where = "during the warm-up" if step <= 10 else "after the warm-up"
        assert abs(got - right) < 1e-10, f"at step {step}, {where}, it should be {right:.4f}; your result is {got:.4f}."
    return "all hundred steps agree with the library. The small steps at the end reduce the noise of the random batches."

# %% tags=["exercise"]
def schedule(step, total, warmup):
    """The multiplier of the learning rate at step 1, 2, ..., total"""
    return None

check(schedule)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def schedule(step, total, warmup):
#     """The multiplier of the learning rate at step 1, 2, ..., total"""
#     if step <= warmup:
#         return step / (warmup + 1)
#     x = (step - 1 - warmup) / (total - warmup)
#     return (1 + np.cos(np.pi * x)) / 2
#
# check(schedule)
# ```
#
# </details>

# %% [markdown]
# ### 3. Is it memorized?
# Does the baby repeat the stories that it was trained on, or does it tell new ones? `written` is the text that it generated after
# training, and `source` is the training text. Find the length, in characters, of the longest part of `written` that also occurs in
# `source`.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from littlebaby.runs.store import Workspace
from littlebaby.text.overlap import longest

source, written = Workspace(None).read_text("nursery", "utf-8").text, run.completion.text

@exercise
def check(n):
    right = len(longest(written, source))
    assert n is not None, "put a number in place of None: try lengths from large to small until a part of `written` is found in `source`."
    assert n <= right, f"no part of `written` with {n} characters occurs in `source`."
    assert n == right, f"a part longer than {n} characters occurs in `source`."
    return f"{n} of {len(written)} characters: it has memorized phrases, as we do, and tells its own stories with them."

# %% tags=["exercise"]
# `a in b` is True if the text a occurs in the text b
overlap = None

check(overlap)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# overlap = 0
# for start in range(len(written)):
#     while start + overlap < len(written) and written[start:start + overlap + 1] in source:
#         overlap += 1
#
# check(overlap)
# ```
#
# </details>

# %% [markdown]
# **Next:** [8 · Attention's zoo](08_attentions_zoo.ipynb): there are many forms of attention, and one setting chooses among them.
