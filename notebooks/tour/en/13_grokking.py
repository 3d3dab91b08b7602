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
# In lesson 1 overfitting looked final: the training loss falls, the validation loss rises, and one stops. Here we do not stop. On some
# tasks a model first memorizes all its examples, and much later, when the training loss has long been near 0, the validation loss falls,
# too: the model has found the rule. This is called **grokking** (Power et al. 2022,
# [arXiv:2201.02177](https://arxiv.org/abs/2201.02177)). In this lesson you see it happen, find out what drives it, and then open the
# model and read the rule in its weights.

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
# $p = 12$: five hours after 9 o'clock it is 2 o'clock. We take $p = 31$. Every number is a token; the model reads $a$ and $b$, and after
# $b$ it has to predict $(a + b) \bmod p$. There are only $31 \cdot 31 = 961$ pairs. Half of them, chosen at random, are for training.

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
# Nothing in a token says that it is a number: 7 and 8 are two vectors of random numbers, no closer to each other than 7 and 30. A model
# that only memorizes is helpless on the other half of the pairs.
#
# ## Wait for it
# The model has one block with one head. We train it twice with Adam, as in lesson 7, always on all 480 training pairs at once: with
# strong weight decay, which multiplies every weight by $1 - \text{rate} \cdot \text{decay}$ in each step, and without. The learning rate
# falls to 0 along a straight line. As in lesson 12 the first weights are four times as large as usual. We train the matrices and leave
# the weights of the norms at 1. In the pictures the axis of the steps is logarithmic: step 100 is in the middle between 10 and 1000. On
# the right is the root of the sum of the squares of all trained weights, their norm: a measure of how large the weights are.

# %% tags=["parameters"] small="steps = 60"
steps = 4000

# %%
def right(baby, rows):
    """The share of these pairs for which the most likely token is the sum"""
    return (baby.logits(pairs[rows])[:, -1].argmax(axis=-1) == sums[rows]).mean()

def train(decay, highest_rate=0.004):
    """Adam with weight decay -> baby, history: (step, loss of the seen pairs, loss of the unseen ones, norm of the weights) in each row"""
    cfg = lb.Config(n_vocab=p, n_ctx=2, n_emb=32, n_heads=1, n_layers=1, c_bias="none", c_activation="relu")
    baby = lb.Baby(cfg, seed=0)
    weights = {name: w for name, w in baby.weights().items() if w.ndim == 2}               # all but those of the norms
    for w in weights.values():
        w *= 4
    means, squares = ({name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2))
    history, measured = [], set(np.geomspace(1, steps, 100).round())
    for step in range(1, steps + 1):
        rate = highest_rate * (1 - (step - 1) / steps)
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

left, right_axes = picture("loss in nats, by step", "norm of the weights, by step", widths=(1.5, 1), height=3.6)
left.plot(history[:, 0], history[:, 1], color=TRAIN, lw=1.8)
left.plot(history[:, 0], history[:, 2], color=VALID, lw=1.8)
left.plot(without[:, 0], without[:, 2], color=GRAY, lw=1.4, ls=":")
left.axhline(np.log(p), color=PALE, ls=(0, (6, 3)))
right_axes.plot(history[:, 0], history[:, 3], color=FLOOR, lw=1.8)
right_axes.plot(without[:, 0], without[:, 3], color=GRAY, lw=1.4, ls=":")
for axes in (left, right_axes):
    axes.set_xscale("log")
    axes.set_ylim(0)
for axes, y, label, color in ((left, 0.08, "training pairs", TRAIN), (left, 0.5, "validation pairs", VALID),
                              (left, 0.92, "validation pairs, without weight decay", GRAY),
                              (right_axes, 0.3, "with weight decay", FLOOR), (right_axes, 0.92, "without", GRAY)):
    axes.text(0.03, y, label, color=color, transform=axes.transAxes)
for name, model, rows in (("with weight decay", baby, history), ("without", memorizer, without)):
    print(f"{name:17} right for {right(model, seen):4.0%} of the training pairs and {right(model, unseen):4.0%} of the validation pairs; "
          f"norm of the weights {rows[-1, 3]:.1f}, at most {rows[:, 3].max():.1f}")
for name, column in (("training", 1), ("validation", 2)):
    low = history[history[:, column] < 0.5, 0]
    print(f"with weight decay the loss of the {name} pairs is below 0.5 for the first time at step {low[0]:.0f}" if len(low) else "not yet")

# %% [markdown]
# After less than a hundred steps the training pairs are memorized. On the validation pairs the model is then *worse* than guessing (the
# dashed line), and it stays so for several hundred steps. Whoever stops there sees overfitting. Then, within a few hundred steps, the
# model answers pairs that it has never seen.
#
# What drives it, when the training loss is already near 0? The gray lines answer: weight decay. Without it the weights grow, and in these
# 4000 steps the model does not find the rule. With it the weights shrink all the time, and only what lowers the loss grows again. A list
# of 480 answers needs large weights; a rule that gives all of them manages with smaller ones. So the norm is lower after the rule has
# replaced the list than at its highest point. Weight decay does not know the rule. It prefers small weights, and here the rule needs
# smaller ones. (The jumps of the loss, after which it recovers, occur late in trainings with Adam, which divides even tiny gradients by
# their own size. Thilak et al. (2022, [arXiv:2206.04817](https://arxiv.org/abs/2206.04817)) call them *slingshots*. In their trainings
# grokking occurs even without weight decay, and then almost always when such a jump begins.)
#
# ## Open the embedding
# Which rule? We did not tell the model that numbers lie on a circle. If it has discovered this, the embedding must show it: on the way
# from token 0 to token 30 and on to 0 again, its coordinates must go up and down like waves. A wave of frequency $k$ goes up and down $k$
# times on this way. The Fourier transform writes each coordinate as a sum of such waves, $k = 0, \dots, 15$. The square of the size of a
# wave, summed over all coordinates, is its power, and the powers of all frequencies are the **Fourier spectrum** of the embedding.

# %%
def spectrum(table):
    """table (p, D) -> the power of the frequencies 1, ..., (p - 1) / 2 as shares of their sum; frequency 0, the mean, does not count"""
    power = (np.abs(np.fft.rfft(table, axis=0)) ** 2).sum(axis=1)[1:]
    return power / power.sum()

tables = {"without weight decay": memorizer.weights()["token"], "with weight decay": baby.weights()["token"]}
pair = picture(*(f"Fourier spectrum {name}" for name in tables), widths=(1, 1), height=2.8)
for axes, (name, table), color in zip(pair, tables.items(), (GRAY, FLOOR)):
    axes.bar(range(1, p // 2 + 1), spectrum(table), color=color)
    axes.set_ylim(0, 1.1 * spectrum(tables["with weight decay"]).max())
    strongest = np.argsort(-spectrum(table))[:5] + 1
    print(f"{name:21} the five strongest of {p // 2} frequencies, {', '.join(map(str, strongest))}, have {spectrum(table)[strongest - 1].sum():.0%} of the power")

# %% [markdown]
# The model that memorizes uses all frequencies about equally, as a table of random numbers does. The other one has chosen a few, and
# which ones is chance. For the strongest frequency $k$ we look at the embedding from the two directions in which this wave is found, that
# of $\cos(2\pi k a / p)$ and that of $\sin(2\pi k a / p)$. The line joins each number $a$ with the one whose wave is one $p$-th of a turn
# ahead.

# %%
def directions(table, k):
    """table (p, D) -> its coordinates (p, 2) along the two directions that belong to the frequency k"""
    angle = 2 * np.pi * k * np.arange(p) / p
    basis = table.T @ np.stack([np.cos(angle), np.sin(angle)], axis=1)                     # (D, 2)
    return table @ (basis / np.linalg.norm(basis, axis=0))

pair = picture(*(f"two directions of the embedding, {name}" for name in tables), widths=(1, 1), height=4)
for axes, (name, table), color in zip(pair, tables.items(), (GRAY, FLOOR)):
    k = np.argmax(spectrum(table)) + 1
    at = directions(table, k)
    order = pow(int(k), -1, p) * np.arange(p + 1) % p       # k times these numbers is 0, 1, 2, ... modulo p
    axes.plot(*at[order].T, color=PALE, lw=1)
    for a in range(p):
        axes.text(*at[a], a, color=color, ha="center", va="center", fontsize=9)
    axes.set_aspect("equal")
    axes.set_xticks([], [])
    axes.set_yticks([], [])
    radius = np.linalg.norm(at, axis=1)
    print(f"{name:21} frequency {k:2}; the distances from the middle have a standard deviation of {radius.std() / radius.mean():.0%} of their mean")

# %% [markdown]
# The model has built a clock. Number $a$ is the hand of a clock at the angle $2\pi k a / p$, and adding two numbers is adding their
# angles:
#
# $$\cos(\alpha + \beta) = \cos\alpha \cos\beta - \sin\alpha \sin\beta \qquad \sin(\alpha + \beta) = \sin\alpha \cos\beta + \cos\alpha \sin\beta$$
#
# These formulas need only products and sums. The output head can then compare the angle of the sum with that of every number $c$, with a
# logit that is large where $\cos(2\pi k (a + b - c) / p)$ is large. Nanda et al. (2023, [arXiv:2301.05217](https://arxiv.org/abs/2301.05217))
# found this algorithm in a model of the same kind. In exercise 3 you write it and compare its logits with those of our model.
#
# ## Does it use the clock?
# A picture is not yet a cause (lesson 12). So we make two experiments with the embedding. In the first we keep only the five strongest
# frequencies, in the second we remove only these. The same experiments with the model without weight decay are for comparison.

# %%
def with_frequencies(model, kept):
    """A copy of the model whose embedding consists of its mean and of the waves with these frequencies"""
    copy = lb.Baby(model.config, flat=model.flat.copy())
    waves = np.fft.rfft(copy.weights()["token"], axis=0)
    waves[[k for k in range(1, len(waves)) if k not in kept]] = 0
    copy.weights()["token"][...] = np.fft.irfft(waves, n=p, axis=0)
    return copy

for (name, table), model in zip(tables.items(), (memorizer, baby)):
    strongest = set(np.argsort(-spectrum(table))[:5] + 1)
    others = set(range(1, p // 2 + 1)) - strongest
    print(f"{name}: right for {right(model, slice(None)):.0%} of all pairs, "
          f"with the five strongest frequencies alone {right(with_frequencies(model, strongest), slice(None)):.0%}, "
          f"with the ten others alone {right(with_frequencies(model, others), slice(None)):.0%}")

# %% [markdown]
# Ten of the fifteen waves can go, if they are the right ten: the model hardly misses them. Without the other five it can only guess. A
# model that has memorized needs all of them.
#
# ## Try it
# ### 1. Shrink the weights
# Write one step with weight decay: the optimizer has computed `direction`, the weights change by `rate` times the direction, downhill,
# and apart from that every old weight loses the share `rate * decay` of itself. Return the new weights.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=13, number=1)
def check(step):
    w, direction = np.array([1.0, -2.0, 0.5]), np.array([1.0, 1.0, -1.0])
    kept = w.copy()
    found = step(w, direction, 0.1, 0.5)
    assert found is not None, "step returns None: return the new weights."
    assert np.array_equal(w, kept), "your function has changed w itself: return new weights, and leave the old ones."
    assert np.shape(found) == (3,), f"three weights should become three; your result has the shape {np.shape(found)}."
    still = step(w, 0 * direction, 0.1, 0.5)
    assert not np.allclose(still, 0.5 * w), "with a direction of 0 your weights lose the share decay; they should lose rate * decay, which here is 5%."
    assert not np.allclose(still, w), "with a direction of 0 your weights stay as they are; they should lose 5% here, whatever the direction is."
    assert np.allclose(still, 0.95 * w), f"with a direction of 0 a weight of 1 should become 0.95 here; yours becomes {still[0]:.3f}."
    assert not np.allclose(found, 0.95 * (w - 0.1 * direction)), "that shrinks the step, too: only the old weights lose a share."
    assert np.allclose(found, 0.95 * w - 0.1 * direction), f"here a weight of 1 should become 0.850; yours becomes {found[0]:.3f}."
    return f"a weight that is not needed halves in {np.log(0.5) / np.log(1 - 0.004):.0f} steps at the highest rate of this lesson."

# %% tags=["exercise"]
def step(w, direction, rate, decay):
    """Weights and direction of the same shape -> the new weights"""
    return None

check(step)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def step(w, direction, rate, decay):
#     """Weights and direction of the same shape -> the new weights"""
#     return (1 - rate * decay) * w - rate * direction
#
# check(step)
# ```
#
# </details>

# %% [markdown]
# ### 2. How strong is a wave?
# `values` are $p$ numbers, one coordinate of the embedding for each token. Return the power of the frequency `k` in them: the square of
# the sum of `values` times $\cos(2\pi k a / p)$, plus the square of the sum of `values` times $\sin(2\pi k a / p)$, over all
# tokens $a$.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=13, number=2)
def check(power):
    angle = 2 * np.pi * np.arange(p) / p
    found = power(np.cos(3 * angle), 3)
    assert found is not None, "power returns None: multiply the values by both waves, sum each product, and square the two sums."
    assert np.ndim(found) == 0, f"return one number; your result has the shape {np.shape(found)}."
    assert not np.isclose(power(np.sin(3 * angle), 3), 0), "a sine of frequency 3 has the power 0 in your result: use the sine as well as the cosine."
    assert not np.isclose(found, p / 2), "that is the size of the wave, or a sum without squares: the power is its square."
    assert np.isclose(found, p ** 2 / 4), f"the power of a cosine of frequency 3 should be {p ** 2 / 4:.2f}; yours is {found:.2f}."
    assert np.isclose(power(np.cos(3 * angle), 5), 0), "a cosine of frequency 3 should have no power at frequency 5: use k."
    values = rng.standard_normal(p)
    right_power = abs(np.fft.rfft(values)[4]) ** 2
    assert np.isclose(power(values, 4), right_power), f"for random values the power should be {right_power:.2f}; yours is {power(values, 4):.2f}: square each sum, then add."
    table = tables["with weight decay"]
    all_powers = [sum(power(values, k) for values in table.T) for k in range(1, p // 2 + 1)]
    assert np.allclose(all_powers / np.sum(all_powers), spectrum(table), atol=1e-4), "the spectrum of the baby's embedding differs from the one above."
    return f"it agrees with the Fourier transform; the strongest frequency of your baby, {np.argmax(all_powers) + 1}, has {spectrum(table).max():.0%} of the power."

# %% tags=["exercise"]
def power(values, k):
    """values (p,), a frequency k -> a number"""
    return None

check(power)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def power(values, k):
#     """values (p,), a frequency k -> a number"""
#     angle = 2 * np.pi * k * np.arange(p) / p
#     return (values @ np.cos(angle)) ** 2 + (values @ np.sin(angle)) ** 2
#
# check(power)
# ```
#
# </details>

# %% [markdown]
# ### 3. Add on a circle
# Now write the rule by hand. The function gets the cosine and the sine of two angles, not the angles themselves, and returns the cosine
# and the sine of their sum. Use only multiplication, addition and subtraction, as a network could.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=13, number=3)
def check(add):
    alpha, beta = 0.3, 0.5
    answer = add(np.cos(alpha), np.sin(alpha), np.cos(beta), np.sin(beta))
    assert answer is not None, "add returns None: return the cosine and the sine of the sum of the angles."
    assert isinstance(answer, (tuple, list)) and len(answer) == 2, "return two numbers: the cosine and the sine."
    assert not np.allclose(answer, (np.cos(alpha) + np.cos(beta), np.sin(alpha) + np.sin(beta))), "that adds two arrows; it should add their angles."
    assert not np.isclose(answer[0], np.cos(alpha - beta)), "that is the cosine of the difference of the angles: mind the sign."
    assert not np.allclose(answer, (np.sin(alpha + beta), np.cos(alpha + beta))), "that is the sine first: return the cosine, then the sine."
    assert np.isclose(answer[0], np.cos(alpha + beta)), f"the cosine should be {np.cos(alpha + beta):.3f}; yours is {answer[0]:.3f}."
    assert np.isclose(answer[1], np.sin(alpha + beta)), f"the cosine is right, the sine should be {np.sin(alpha + beta):.3f}; yours is {answer[1]:.3f}."
    strongest = np.argsort(-spectrum(tables["with weight decay"]))[:5] + 1
    c, logits = np.arange(p), 0
    for k in strongest:
        wave = lambda numbers: (np.cos(2 * np.pi * k * numbers / p), np.sin(2 * np.pi * k * numbers / p))
        cosine, sine = add(*wave(pairs[:, 0]), *wave(pairs[:, 1]))
        logits = logits + np.outer(cosine, wave(c)[0]) + np.outer(sine, wave(c)[1])      # cos(2 pi k (a + b - c) / p)
    assert (logits.argmax(axis=1) == sums).all(), "with arrays in place of numbers the sums are wrong: use only *, + and -."
    agreement = np.corrcoef(logits.ravel(), baby.logits(pairs)[:, -1].ravel())[0, 1]
    return f"your rule with the baby's five frequencies is right for all {p * p} pairs; the correlation of its logits with the baby's is {agreement:.2f}."

# %% tags=["exercise"]
def add(cos_a, sin_a, cos_b, sin_b):
    """-> the cosine and the sine of the sum of the two angles"""
    return None

check(add)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def add(cos_a, sin_a, cos_b, sin_b):
#     """-> the cosine and the sine of the sum of the two angles"""
#     return cos_a * cos_b - sin_a * sin_b, sin_a * cos_b + cos_a * sin_b
#
# check(add)
# ```
#
# </details>

# %% [markdown]
# **Next:** [14 · Bits, cache, speculation](14_bits_cache_speculation.ipynb): how few bits a weight needs, and how generation is made fast.
