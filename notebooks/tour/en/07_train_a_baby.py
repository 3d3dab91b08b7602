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
# gradient, change the weights. You begin with exactly that loop, now with a whole GPT. Then you improve it in three places, let the
# library's loop train a baby, and watch it grow up.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np
from threadpoolctl import threadpool_limits

from littlebaby import text as texts
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.tour import TrainingBar, exercise, picture, visible
from littlebaby.text import nursery

workspace = temporary_workspace()       # this lesson's runs lie here until the kernel ends
print("workspace:", workspace)
threadpool_limits(1);                   # a model as small as the first one is fastest on one core

# %% [markdown]
# ## What a batch is
# A batch has inputs `x`, which are windows of the text, and targets `y`, which are the same windows one character later. So the model
# predicts the next character at *every* position: a window of 32 characters contains 32 predictions, with contexts of 1 to 32 characters.

# %%
story, _ = nursery.corpus(120_000, seed=1)
tokenizer = texts.train("char", story)
ids = tokenizer.encode(story)
seen, unseen = ids[:100_000], ids[100_000:]

cfg = lb.Config(n_ctx=32, n_emb=32, n_heads=4, n_layers=2)

def batch(ids, rng, rows=8):
    """Windows at random places of the text -> inputs (rows, 32), targets (rows, 32)"""
    starts = rng.integers(len(ids) - cfg.n_ctx, size=rows)
    windows = ids[starts[:, None] + np.arange(cfg.n_ctx + 1)]
    return windows[:, :-1], windows[:, 1:]

x, y = batch(seen, np.random.default_rng(0))
print("shapes ", x.shape, "and", y.shape)
print("input  ", repr(tokenizer.decode(x[0])))
print("target ", repr(tokenizer.decode(y[0])))

# %% [markdown]
# ## The loop
# `lb.Baby` is the model of lesson 5 with random weights. `loss_and_grads` is its forward and backward pass, and `weights` returns all weights
# by name; whoever changes their elements changes the model. That is all we need. Here is the loop of lesson 2 again, gradient descent:

# %% tags=["parameters"] small="steps = 12"
steps = 500

# %%
baby = lb.Baby(cfg, tokenizer=tokenizer, seed=0)
weights, rng, plain = baby.weights(), np.random.default_rng(0), []

for step in range(steps):
    x, y = batch(seen, rng)
    loss, grads = baby.loss_and_grads(x, y)
    for name in grads:
        weights[name] -= 0.3 * grads[name]
    plain.append(loss)

print(f"{sum(w.size for w in weights.values()):,} weights in {len(weights)} arrays; loss {plain[0]:.2f} at first, {np.mean(plain[-50:]):.2f} in the end")
print(baby.decode(baby.generate(baby.encode("Zoe "), 150, temperature=0.8, seed=0)))

# %% [markdown]
# It learns. The end of this lesson is nothing but this loop with a larger model and more steps, and three improvements.
#
# ## A better step
# The part of the loop that changes the weights is called the **optimizer**. Plain gradient descent, also called **SGD**, has a weakness: the
# gradients of some weights are always large, those of others always small, and a learning rate that suits the first is far too small for the
# second. **Adam** divides by that size. For every weight it keeps two running means, of its gradient and of the square of its gradient,
# and changes the weight by the first divided by the root of the second: by about the learning rate, however small the gradient is.

# %%
def sgd(w, gradient, memory, step, rate):
    w -= rate * gradient

def adam(w, gradient, memory, step, rate):
    """memory: the running means of the gradient and of its square, which start at 0"""
    m, v = memory
    m += 0.1 * (gradient - m)
    v += 0.01 * (gradient ** 2 - v)
    w -= rate * (m / (1 - 0.9 ** step)) / (np.sqrt(v / (1 - 0.99 ** step)) + 1e-8)      # without the divisors the first means are too small

def train(optimizer, rate, schedule=lambda step: 1, clip=np.inf):
    """The loop above with an optimizer -> baby, the loss of every step, the gradient norm of every step"""
    baby = lb.Baby(cfg, tokenizer=tokenizer, seed=0)
    weights, rng, losses, norms = baby.weights(), np.random.default_rng(0), [], []
    memories = {name: np.zeros((2, *w.shape), w.dtype) for name, w in weights.items()}
    for step in range(1, steps + 1):
        loss, grads = baby.loss_and_grads(*batch(seen, rng))
        norm = np.sqrt(sum((gradient ** 2).sum() for gradient in grads.values()))
        for name, gradient in grads.items():
            optimizer(weights[name], gradient * min(1, clip / norm), memories[name], step, rate * schedule(step))
        losses.append(loss)
        norms.append(norm)
    return baby, losses, norms

curves = {"sgd": plain, "adam": train(adam, 0.005)[1]}
axes = picture("loss in nats per character, by step, with two optimizers", height=3.4)
for (name, losses), color in zip(curves.items(), (GRAY, TRAIN)):
    axes.plot(running(losses), color=color, lw=1.8)
    axes.annotate(f"{name} {np.mean(losses[-50:]):.2f}", (len(losses), running(losses)[-1]), (6, 0), textcoords="offset points", color=color,
                  va="center")
axes.set_xlim(0, len(losses));

# %% [markdown]
# Both soon pass the loss of the first table of lesson 1, 3.04: they have learned the frequency of each character. Then `sgd` becomes slow,
# and `adam` does not. The library has five optimizers, each a short file in `training/optimizers`. `adamw` is Adam with **weight decay**,
# which makes every weight a little smaller in each step, so that only weights that are needed stay large. `muon`, which the default training
# uses, goes one step further than Adam: it gives all *directions* of a weight matrix a change of about the same size.
#
# ## A step that is not too large
# With a high learning rate training is fast, if it does not fail. Two additions make it safer. A **learning rate schedule** changes the rate
# from step to step: it rises in a short **warm-up**, like a runner's, because the first gradients of a random model are a poor guide, and then falls, because
# small steps at the end average out the noise of the random batches. And **gradient clipping** limits the gradient norm: a
# gradient with a norm above the limit is scaled down to it.

# %%
def warm_up_and_decay(step, warmup=10):
    return step / (warmup + 1) if step <= warmup else 1 - (step - warmup) / (steps - warmup)

axes, right = picture("loss, by step, with a learning rate of 0.02", "gradient norm, by step", widths=(1.4, 1), height=3.2)
for name, color, options in (("constant rate", GRAY, {}), ("with a schedule and clipping", TRAIN, dict(schedule=warm_up_and_decay, clip=1.0))):
    trained, losses, norms = train(adam, 0.02, **options)
    axes.plot(running(losses), color=color, lw=1.8, label=name)
    right.plot(norms, color=color, lw=0.8)
    valid_loss = trained.loss(*batch(unseen, np.random.default_rng(1), 300))
    print(f"{name:30} training loss {np.mean(losses[-50:]):.2f}, validation loss {valid_loss:.2f}")
right.axhline(1, color=VALID, ls=(0, (6, 3)))
axes.legend(frameon=False, fontsize=8, labelcolor=GRAY);

# %% [markdown]
# The rate of 0.02 is four times the one from above, and with a constant rate the training is slower than plain gradient descent. With a schedule and with
# clipping (the dashed line is the limit) it works. These two make it easier to find a rate that is good enough.
#
# ## What the library's loop adds
# `lb.train` contains the loop that you have just seen, with all three improvements. Around it are the things that a training of hours needs
# and one of seconds does not:
#
# - validation at regular intervals: the loss on text that is not trained on. The weights with the lowest validation loss are kept.
# - a sample of generated text at every validation, because a loss says little about how a text reads.
# - a **checkpoint** now and then, like a saved game: a file with all weights, the optimizer's memory, and the position in the text. After a power cut
#   `lb.train(resume="last")` continues from it, and computes the same numbers as without the interruption.
# - batches in an order in which every part of the text is used once before any is used again; one such pass is called an **epoch**.
# - several threads, each with a part of every batch; and an estimate of the cost before anything starts:

# %% tags=["parameters"] small="settings = dict(n_ctx=64, n_emb=32, n_heads=4, n_layers=2, n_steps=60, s_eval=10, n_completion=100)"
settings = dict(n_ctx=256, n_emb=96, n_heads=6, n_steps=300, s_eval=50, n_completion=400)

# %%
from littlebaby.show.estimate_tables import preflight_table

print(preflight_table(lb.preflight("nursery", "characters", **settings)))

# %%
run = lb.train("nursery", "characters", progress=TrainingBar(), **settings)

# %% [markdown]
# (The line counts the steps. With `progress=True`, the default, a bar shows the loss during training, too; here we look at the results
# afterwards.)
#
# At every evaluation a run keeps the validation loss and a sample of generated text:

# %%
floor = run.report.nursery_floor
for row in run.report.evaluations:
    print(f"step {row.step:4}   validation loss {row.valid_loss:.3f}   {' '.join(row.sample.split())[:80]}")
print(f"entropy     {floor:21.3f}")

# %% [markdown]
# First it learns characters, then word-like groups, then words, and then sentences. Nobody planned that order: it is the order in which
# the loss falls fastest. No model can have a lower loss than the entropy of the text (lesson 1). Here is the whole run, with the schedule
# and the gradient norm below the loss:

# %%
from IPython.display import Image

Image(run.chart(), width=800)

# %% [markdown]
# The validation loss often lies *below* the training loss. That is no mistake: the blue line is a mean over the last steps, in which the model
# was still worse than now. A second reason, in other trainings, is **dropout** (`r_dropout`): it sets a random part of the activations
# to 0 in each training step, against overfitting, which makes the training loss higher; in validation it is off. Overfitting looks
# different: the training loss falls on while the validation loss rises.

# %%
perplexity = np.exp(run.report.best_valid_loss)
print(f"{run.report.figures.parameters.total:,} weights, trained on {run.report.figures.tokens:,} characters")
print(f"validation loss {run.report.best_valid_loss:.3f}, perplexity {perplexity:.2f}; the lowest perplexity possible is {np.exp(floor):.2f}\n")
print("Zoe hid a" + lb.inference(run.guid, prompt="Zoe hid a", max_tokens=250, temperature=0.5, seed=1).text)

# %% [markdown]
# The best table of lesson 1 reached a loss of 0.49 with a context of seven characters; a longer context made it worse. This baby has a
# context of 256 characters, and its loss is lower. The training was short, too: the preset `characters` without these settings uses
# almost five times as many characters.
#
# ## Look inside
# In lesson 4 you chose the attention weights of a head by hand. What attention weights has this baby learned? The microscope shows what
# happens in a model while it processes a sentence; `lb.microscope(run.guid)` alone shows a page with everything. Here we use it for one
# question: how far back does each head look? For every head we compute the mean distance, in characters, between a token and those that it
# attends to, weighted by the attention weights, and show the head with the shortest distance and the head with the longest.

# %%
from littlebaby.check.inspect_model import mean_distances
from littlebaby.show.variant_pictures import squares

inside = lb.microscope(run.guid, "Zoe hid a yellow mask. At night Z")
distance = {(block + 1, head + 1): n for block, heads in inside.attention.items() for head, n in enumerate(mean_distances(heads))}
near, far = min(distance, key=distance.get), max(distance, key=distance.get)

labels = visible(inside.tokens)
pair = picture(*(f"block {block}, head {head}: {distance[block, head]:.1f} characters back" for block, head in (near, far)), height=4.2)
for axes, (block, head) in zip(pair, (near, far)):
    squares(axes, inside.attention[block - 1][head - 1], axes.get_title(loc="left"))
    axes.set_xticks(range(len(labels)), labels, fontsize=8, family="monospace")
    axes.set_yticks(range(len(labels)), labels, fontsize=8, family="monospace")
print("mean distance of the heads of each block:")
for block, heads in inside.attention.items():
    print(f"    block {block + 1}  ", "  ".join(f"{n:.1f}" for n in sorted(mean_distances(heads))))
print(f"mean distance with equal attention weights: {(len(labels) - 1) / 4:.1f}")
likely = zip(inside.visible_tokens(inside.top_ids[-1, -1]), inside.probabilities[-1, -1])
print("prediction after the last Z:", ", ".join(f"{token} {p:.0%}" for token, p in likely))

# %% [markdown]
# Nobody assigned tasks to the heads, yet they have divided the work: some attend mostly to the characters of the current word, especially
# to the first; others attend to characters all over the sentence.
#
# ## Try it
# ### 1. Momentum
# A rolling ball does not stop at every stone. Write one step of gradient descent with **momentum**: the velocity is `mu` times the old
# velocity plus the gradient, and the weights change by `rate` times the velocity, downhill. Return the new weights and the new velocity.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from littlebaby.arrays.tree import vector
from littlebaby.training.optimizers import sgd

@exercise(lesson=7, number=1)
def check(step):
    rng = np.random.default_rng(0)
    w, velocity, mu, rate = rng.standard_normal(5), np.zeros(5), 0.9, 0.1
    library_w, state = w.copy(), sgd.state(dict(w=vector(5)), float)
    for _ in range(4):
        g = rng.standard_normal(5)
        answer = step(w, g, velocity, rate, mu)
        assert answer is not None, "step returns None: return the new weights and the new velocity, in this order."
        assert isinstance(answer, (tuple, list)) and len(answer) == 2, "return two arrays: the new weights and the new velocity."
        w, velocity = answer
        sgd.step(library_w, g, state, dict(w=vector(5)), lb.Config(r_momentum=mu, r_weight_decay=0), rate)
    assert np.allclose(velocity, state["m"]), "the velocity is wrong: it is mu times the old velocity plus the gradient, without the rate, and without 1 - mu."
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

@exercise(lesson=7, number=2)
def check(schedule):
    assert schedule(1, 100, 10) is not None, "schedule returns None: return a number between 0 and 1 for every step."
    settings = lb.Config(s_warmup=10, r_learn_min=0.0, c_schedule="cosine")
    for step in range(1, 101):
        right, got = multiplier(step, 100, settings), schedule(step, 100, 10)
        where = "during the warm-up of 10" if step <= 10 else "the first after the warm-up" if step == 11 else "after the warm-up"
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

@exercise(lesson=7, number=3)
def check(n):
    right = len(longest(written, source))
    assert n is not None, "put a number in place of None: try lengths from large to small until a part of `written` is found in `source`."
    assert not isinstance(n, str), "put the length of that part, a number, not the part itself."
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
