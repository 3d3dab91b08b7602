# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6 · Train a baby
#
# *What happens between noise and a sentence?*
#
# You have the model and its gradient. Training is what you did in lesson 2, again and again: some text, the loss, the gradient, a step. In this
# lesson you write that loop in six lines, see why nobody steps straight downhill, and then let the library train a baby and watch it grow up.

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
# Windows of the text, and beside them the same windows moved on by one: at *every* place the next character is asked for. A window of 32 is 32
# exercises at once, from "one character in view" to "thirty-two in view".

# %%
story, _ = nursery.corpus(120_000, seed=1)
tokenizer = texts.train("char", story)
ids = tokenizer.encode(story)

cfg = lb.Config(n_ctx=32, n_emb=32, n_heads=4, n_layers=2, batch_size=8, c_device_cpu_cores=1)
batches = Batches(ids, cfg, seed=0)
x, y = batches.batch(0)
print(x.shape, "and", y.shape)
print("in view ", repr(tokenizer.decode(x[0])))
print("asked   ", repr(tokenizer.decode(y[0])))

# %% [markdown]
# ## The loop
# Here it is, whole. `loss_and_grad` is lesson 5: it adds the gradient of every weight into one vector. The optimizer's `step` is a rule that turns
# this vector into a step; each optimizer of the library is one short file.

# %%
from importlib import import_module

from littlebaby.arrays import tree
from littlebaby.model import gpt
from littlebaby.model.context import Context

def learn(optimizer, rate, steps=100):
    """The loss of every step"""
    settings = cfg.replace(c_optimizer=optimizer, r_momentum=0 if optimizer == "sgd" else 0.95)
    rule = import_module(f"littlebaby.training.optimizers.{optimizer}")
    baby, losses = lb.Baby(settings, tokenizer=tokenizer, seed=0), []
    state = rule.state(baby.spec, baby.flat.dtype)
    for step in range(steps):
        gradient = np.zeros_like(baby.flat)
        losses.append(gpt.loss_and_grad(baby.p, tree.views(baby.spec, gradient), *batches.batch(step), Context(settings)))
        rule.step(baby.flat, gradient, state, baby.spec, settings, rate)
    return losses

# %% [markdown]
# `sgd` steps straight downhill. `adamw` gives every weight a step of about the same size, whatever its slope. `muon` evens out the step of a
# whole matrix. Same model, same text, same gradients; each with a rate that suits it.

# %%
axes = picture("loss in nats per character, by step: the same gradients, used in three ways", height=3.6)
for optimizer, rate, color in (("sgd", 0.5, GRAY), ("adamw", 0.01, TRAIN), ("muon", 0.02, VALID)):
    losses = learn(optimizer, rate)
    axes.plot(running(losses), color=color, lw=1.8)
    axes.annotate(f"{optimizer} {np.mean(losses[-10:]):.2f}", (len(losses), running(losses)[-1]), (6, 0), textcoords="offset points",
                  color=color, va="center")
axes.set_xlim(0, len(losses));

# %% [markdown]
# All three first learn how often each character occurs, the loss of lesson 1's first table, 3.04. (The bump of `adamw` is a step that was too long,
# while it knew nothing yet; exercise 2 is the remedy.) The plain way downhill gets stuck there for a
# long time: the frequent characters shout, and the directions that matter are flat. An optimizer listens to the quiet ones, too.
#
# ## The real thing
# `lb.train` does all that, and what a run needs besides: several threads, warm-up and decay of the rate, evaluation on held-out text, saving,
# going on after an interruption. First ask what it will cost.

# %% tags=["parameters"] small="settings = dict(n_ctx=64, n_emb=32, n_heads=4, n_layers=2, n_steps=60, s_eval=10, n_completion=100)"
settings = dict(n_ctx=256, n_emb=96, n_heads=6, n_steps=300, s_eval=50, n_completion=400)

# %%
from littlebaby.show.estimate_tables import preflight_table

print(preflight_table(lb.preflight("nursery", **settings)))

# %%
run = lb.train("nursery", progress=False, **settings)

# %% [markdown]
# (With `progress=True`, as usual, a bar shows the loss while it learns. Here we look afterwards.)
#
# A run keeps what its baby said on the way. From noise to sentences:

# %%
floor = run.report.nursery_floor
for row in run.report.evaluations:
    print(f"step {row.step:4}   loss {row.valid_loss:.3f}   {' '.join(row.sample.split())[:80]}")
print(f"                perfection {floor:.3f}")

# %% [markdown]
# Characters first, then word-like things, then words, then who did what to whom. Nobody planned that order: it is the order of what lowers the
# loss fastest.

# %%
from IPython.display import Image

Image(run.chart(), width=800)

# %%
perplexity = np.exp(run.report.best_valid_loss)
print(f"{run.report.figures.parameters.total:,} weights, {run.report.figures.tokens:,} characters learned from")
print(f"loss {run.report.best_valid_loss:.3f}: it chooses among {perplexity:.2f} characters, who knows the grammar among {np.exp(floor):.2f}\n")
print("Zoe hid a" + lb.inference(run.guid, prompt="Zoe hid a", max_tokens=250, temperature=0.5, seed=1).text)

# %% [markdown]
# The best table of lesson 1 reached 0.49, with seven characters in view; more view made it worse. This baby has 256 in view, and the more the
# better. It has just begun, too: the preset's own training, `lb.train("nursery")`, shows it almost five times as much.
#
# ## Look inside
# In lesson 4 you wrote by hand where a head looks. Where do the heads of this baby look, which nobody wrote? The microscope shows what happens while
# it reads a sentence; `lb.microscope(run.guid)` alone is a page with everything. Here we ask it one thing: how far back does each head look?

# %%
from littlebaby.show.microscope import distances
from littlebaby.show.variant_pictures import squares

seen = lb.microscope(run.guid, "Zoe hid a yellow mask. At night Z")
back = {(layer + 1, head + 1): n for layer, heads in seen.attention.items() for head, n in enumerate(distances(heads))}
near, far = min(back, key=back.get), max(back, key=back.get)

signs = [token.replace(" ", "␣").replace("\n", "⏎") for token in seen.tokens]
views = picture(*(f"layer {layer}, head {head}: {back[layer, head]:.1f} characters back" for layer, head in (near, far)), height=4.2)
for axes, (layer, head) in zip(views, (near, far)):
    squares(axes, seen.attention[layer - 1][head - 1], axes.get_title(loc="left"))
    axes.set_xticks(range(len(signs)), signs, fontsize=6)
    axes.set_yticks(range(len(signs)), signs, fontsize=6)
print("characters back, by layer:", *("  ".join(f"{n:.1f}" for n in sorted(distances(heads))) for heads in seen.attention.values()), sep="\n    ")
print(f"a head that looks at all alike: {(len(signs) - 1) / 4:.1f}")
print("after the last Z it expects:", ", ".join(f"{word} {chance:.0%}" for word, chance in zip(seen.visible_tokens(seen.top_ids[-1, -1]), seen.probabilities[-1, -1])))

# %% [markdown]
# Nobody gave them their parts. Yet they have shared the work: some keep to the last letters, where the word is being spelled (its first letter is
# asked again and again); others reach across the sentence, for who was there.
#
# ## Try it
# ### 1. Momentum
# A ball that rolls does not stop at every stone. Write one step of descent with memory: the speed is `mu` times the old speed plus the gradient;
# the weights move by `rate` times the speed, downhill. Return the new weights and the new speed.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from littlebaby.arrays.tree import vector
from littlebaby.training.optimizers import sgd

@exercise
def check(step):
    rng = np.random.default_rng(0)
    w, speed, mu, rate = rng.standard_normal(5), np.zeros(5), 0.9, 0.1
    theirs, state = w.copy(), sgd.state(dict(w=vector(5)), float)
    for _ in range(4):
        g = rng.standard_normal(5)
        answer = step(w, g, speed, rate, mu)
        assert answer is not None, "step returns None: return the new weights and the new speed, in this order."
        w, speed = answer
        sgd.step(theirs, g, state, dict(w=vector(5)), lb.Config(r_momentum=mu, r_weight_decay=0), rate)
    assert not np.allclose(w, 2 * theirs), "the ball rolls twice as fast as it should."
    assert np.allclose(speed, state["m"]), "the speed is off: mu times the old speed, plus the gradient, and no rate in it yet."
    assert np.allclose(w, theirs), "the speed is right, but the weights are off: they move by rate times the new speed, against it."
    return f"equal to the library's sgd to {abs(w - theirs).max():.0e} after four steps."

# %% tags=["exercise"]
def step(w, gradient, speed, rate, mu):
    """-> w, speed"""
    return None

check(step)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def step(w, gradient, speed, rate, mu):
#     """-> w, speed"""
#     speed = mu * speed + gradient
#     return w - rate * speed, speed
#
# check(step)
# ```
#
# </details>

# %% [markdown]
# ### 2. Up and down again
# Nobody trains at one rate. It rises from nearly nothing during `rise` steps (step 1 has $1/(\text{rise} + 1)$ of it), and then falls along half
# a cosine: 1 at the first step after the rise, 0 one step after the last. Write it.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from littlebaby.training.schedules import multiplier

@exercise
def check(share):
    assert share(1, 100, 10) is not None, "share returns None: return a number between 0 and 1 for every step."
    plan = lb.Config(s_warmup=10, r_learn_min=0.0, c_schedule="cosine")
    for step in range(1, 101):
        right, got = multiplier(step, 100, plan), share(step, 100, 10)
        where = "while it rises" if step <= 10 else "while it falls"
        assert abs(got - right) < 1e-10, f"at step {step}, {where}, it should be {right:.4f}; yours says {got:.4f}."
    return "all hundred steps agree with the library's. Steps late in the fall move little, and lower the loss most: the noise settles."

# %% tags=["exercise"]
def share(step, total, rise):
    """What share of the rate has step 1, 2, ..., total"""
    return None

check(share)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def share(step, total, rise):
#     """What share of the rate has step 1, 2, ..., total"""
#     if step <= rise:
#         return step / (rise + 1)
#     x = (step - 1 - rise) / (total - rise)
#     return (1 + np.cos(np.pi * x)) / 2
#
# check(share)
# ```
#
# </details>

# %% [markdown]
# ### 3. Was it caught?
# Does the baby remember stories, or does it tell new ones? `run.completion.text` is what it wrote at the end. Find the length of the longest
# stretch of it that stands word for word in the text it learned from, `source` below.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from littlebaby.runs.store import Workspace
from littlebaby.text.overlap import longest

source, written = Workspace(None).read_text("nursery", "utf-8").text, run.completion.text

@exercise
def check(n):
    right = len(longest(written, source))
    assert n is not None, "put a number in place of None: try lengths from large to small until a stretch of `written` is found in `source`."
    assert n <= right, f"no stretch of {n} characters of `written` stands in `source`."
    assert n == right, f"there is a longer one than {n}."
    return f"{n} of {len(written)} characters: it knows phrases by heart, as we do, and tells its own stories with them."

# %% tags=["exercise"]
# written in source is True where the one text stands in the other
caught = None

check(caught)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# caught = 0
# for start in range(len(written)):
#     while start + caught < len(written) and written[start:start + caught + 1] in source:
#         caught += 1
#
# check(caught)
# ```
#
# </details>

# %% [markdown]
# **Next:** [7 · Attention's zoo](07_attentions_zoo.ipynb): there are many ways to look back, and one setting chooses among them.
