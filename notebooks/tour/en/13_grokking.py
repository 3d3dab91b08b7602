# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 13 · Grokking
#
# *Can a model find a rule long after it has memorized its examples?*
#
# In lesson 1 overfitting looked final: the training loss falls, the validation loss rises, and one stops. Here we do not stop. On some tasks
# a model first memorizes all its examples, and much later, when the training loss has long been near 0, the validation loss falls, too: the
# model has found the rule. This is called **grokking** (Power et al. 2022, [arXiv:2201.02177](https://arxiv.org/abs/2201.02177)). In this
# lesson you see it happen, find out what drives it, and then open the model and read the rule in its weights.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby.arrays import backend
from littlebaby.show.charts import FLOOR, GRAY, PALE, TRAIN, VALID
from littlebaby.show.tour import exercise, picture

rng = np.random.default_rng(0)

# %% [markdown]
# ## Sums on a clock
# The task is **modular addition**: add two numbers from 0 to $p - 1$, and subtract $p$ if the sum is $p$ or more. A clock does this with
# $p = 12$: five hours after 9 o'clock it is 2 o'clock. We take $p = 31$. Every number is a token; the model reads $a$ and $b$, and after $b$ it
# has to predict $(a + b) \bmod p$. There are only $31 \cdot 31 = 961$ pairs. Half of them, chosen at random, are for training.

# %%
p = 31
pairs = np.stack(np.divmod(np.arange(p * p), p), axis=1)    # (961, 2), each row a, b
sums = pairs.sum(axis=1) % p
targets = np.stack([np.full(p * p, -1), sums], axis=1)      # -1: the prediction after a is not counted
shuffled = rng.permutation(p * p)
seen, unseen = shuffled[:p * p // 2], shuffled[p * p // 2:]

for i in seen[:3]:
    print(f"{pairs[i, 0]} + {pairs[i, 1]} = {sums[i]}")
print(f"{len(seen)} pairs for training, {len(unseen)} for validation; guessing gives {np.log(p):.2f} nats")

# %% [markdown]
# Nothing in a token says that it is a number: 7 and 8 are two vectors of random numbers, no closer to each other than 7 and 30. A model that
# only memorizes is helpless on the other half of the pairs.
#
# ## Wait for it
# The model has one block with one head. We train it twice with Adam, as in lesson 7, always on all 480 training pairs at once: with strong
# weight decay, which makes every weight smaller by the factor $1 - \text{rate} \cdot \text{decay}$ in each step, and without. As in
# lesson 12 the first weights are four times as large as usual. We train the matrices and leave the weights of the norms at 1, so that the
# length of the vector of all trained weights, the norm of the weights, says how large the solution is that the model has found.

# %% tags=["parameters"] small="steps = 60"
steps = 4000

# %%
def right(baby, rows):
    """The share of these pairs for which the most likely token is the sum"""
    return (baby.logits(pairs[rows])[:, -1].argmax(axis=-1) == sums[rows]).mean()

def train(decay, rate=0.002):
    """Adam with weight decay -> baby, history: (step, loss of the seen pairs, loss of the unseen ones, norm of the weights) in each row"""
    cfg = lb.Config(n_vocab=p, n_ctx=2, n_emb=32, n_heads=1, n_layers=1, c_bias="none", c_activation="relu")
    baby = lb.Baby(cfg, seed=0)
    weights = {name: w for name, w in baby.weights().items() if w.ndim == 2}               # all but those of the norms
    for w in weights.values():
        w *= 4
    means, squares = ({name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2))
    history, measured = [], set(np.geomspace(1, steps, 100).round())
    for step in range(1, steps + 1):
        loss, grads = baby.loss_and_grads(pairs[seen], targets[seen])
        if step in measured:
            norm = np.sqrt(sum((w ** 2).sum() for w in weights.values()))
            history.append((step, loss, baby.loss(pairs[unseen], targets[unseen]), norm))
        for name, w in weights.items():
            means[name] += 0.1 * (grads[name] - means[name])
            squares[name] += 0.001 * (grads[name] ** 2 - squares[name])
            w *= 1 - rate * decay
            w -= rate * (means[name] / (1 - 0.9 ** step)) / (np.sqrt(squares[name] / (1 - 0.999 ** step)) + 1e-8)
    return baby, np.array(history)

with backend.blas_threads(1):                               # such small matrices are multiplied fastest by a single thread
    baby, history = train(decay=1.0)
    memorizer, without = train(decay=0.0)

left, middle = picture("loss in nats, by step", "norm of the weights, by step", widths=(1.5, 1), height=3.6)
left.plot(history[:, 0], history[:, 1], color=TRAIN, lw=1.8)
left.plot(history[:, 0], history[:, 2], color=VALID, lw=1.8)
left.plot(without[:, 0], without[:, 2], color=GRAY, lw=1.2, ls=":")
left.axhline(np.log(p), color=PALE, ls=(0, (6, 3)))
middle.plot(history[:, 0], history[:, 3], color=FLOOR, lw=1.8)
middle.plot(without[:, 0], without[:, 3], color=GRAY, lw=1.2, ls=":")
for axes in (left, middle):
    axes.set_xscale("log")
    axes.set_ylim(0)
for x, y, label, color in ((0.02, 0.1, "training pairs", TRAIN), (0.02, 0.5, "validation pairs", VALID), (0.02, 0.95, "validation pairs, no weight decay", GRAY)):
    left.text(x, y, label, color=color, transform=left.transAxes)
for x, y, label, color in ((0.05, 0.1, "with weight decay", FLOOR), (0.05, 0.9, "without", GRAY)):
    middle.text(x, y, label, color=color, transform=middle.transAxes)
for name, model, rows in (("with weight decay", baby, history), ("without", memorizer, without)):
    print(f"{name:18} right: {right(model, seen):4.0%} of the training pairs, {right(model, unseen):4.0%} of the validation pairs; norm {rows[-1, 3]:.1f}")
for name, column in (("training", 1), ("validation", 2)):
    low = history[history[:, column] < 0.3, 0]
    print(f"loss of the {name} pairs below 0.3: " + (f"from step {low[0]:.0f}" if len(low) else "not yet"))
