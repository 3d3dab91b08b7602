# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 17 · Steering and features
#
# *Can you change what a model writes without changing its weights?*
#
# The output of a block is a vector for each token, and everything that the later parts of the model know about the text is in these vectors.
# If a property of the text is a direction in their space, then adding this direction should make the model write as if the text had the
# property. In this lesson we find such directions in two ways, first from texts and then with a second small model. Each time we measure
# what the direction does, and what it damages.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import re
from collections import Counter

import numpy as np

from littlebaby.arrays import backend
from littlebaby.check.features import fidelity, outputs, pieces, raised_logits
from littlebaby.check.laws import differences
from littlebaby.inference.steering import adding, mean_output
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.charts import FLOOR, GRAY, TRAIN, VALID
from littlebaby.show.tour import TrainingBar, exercise, picture, visible
from littlebaby.text import nursery, stories
from littlebaby.training import sparse_autoencoder

rng = np.random.default_rng(0)

workspace = temporary_workspace()       # this lesson's runs lie here until the kernel ends
print("workspace:", workspace)

# %% [markdown]
# First we train a baby on the nursery. Its tokenizer is that of lesson 10, so that most tokens are whole words.

# %% tags=["parameters"] small="base_steps, fit_steps, most_windows, searched = 20, 20, 8, 4"
base_steps, fit_steps = 600, 600        # steps of the two trainings
most_windows, searched = 250, 256       # windows of text for the second training, features that we try

# %%
run = lb.train("nursery", "characters", c_tokenizer="bpe", s_vocabulary=600, n_ctx=96, n_emb=64, n_heads=4, n_layers=2, batch_size=16,
               r_learn=0.01, r_eval_overlap=0.0, n_steps=base_steps, n_completion=60, progress=TrainingBar(), n_sample=0, s_eval=10_000)
baby = lb.load(run.guid)
print(" ".join(run.completion.text.split()))

# %% [markdown]
# ## A direction from texts
# The stories of the nursery have four plots. Somebody loses a toy, or is hungry, or there is a race, or a birthday. We write some sentences
# about birthdays and some from the other plots, and take the mean output of the last block over all tokens of each set. The difference of
# the two means is our direction: what both sets have in common cancels.

# %%
birthday = ["It was the birthday of Ben.", "It was the birthday of Zoe.", "Gus was seven that evening.", "Ada was four that Friday."]
others = ['"Let us race to the lake!" Ben said.', "Gus wanted to race to the hill.", "Ada had a bun and some jam in a red bag.",
          "Ada had a red kite, but the wind took the kite."]
layer = 1                               # the last block of two, counted from 0
direction = mean_output(baby, birthday, layer) - mean_output(baby, others, layer)           # (D,)
print(f"{len(direction)} numbers, length {np.linalg.norm(direction):.2f}")

# %% [markdown]
# ## Steer
# **Steering** adds this vector, times a strength, to the output of the block at every token. No weight changes. To measure it, we take the first
# three sentences of a hundred new stories. In the fourth the model has to choose a plot. We let it write 24 tokens for each beginning, and
# count two things: the texts about a birthday, and the price, which is how many of the new sentences are correct. (`stories.marks` compares
# a text with the grammar of the nursery: a sentence is correct if the grammar allows it after the story so far.)

# %%
begins = [re.match(r"(?:[^.]+\.){3}", story).group() for story in nursery.corpus(300_000, seed=7)[0].split("\n\n") if story]
encoded = [baby.encode("\n\n" + begin) for begin in begins]
length = Counter(map(len, encoded)).most_common(1)[0][0]
prompts = np.stack([ids for ids in encoded if len(ids) == length][:100])                    # all of the same length, (100, T)
print(baby.decode(prompts[0]).strip())

def write(vector, prompts, seed=3):
    """One story for each row of prompts (n, T), with the vector (D,) added to the output of the block"""
    with backend.blas_threads(1):
        new = baby.generate(prompts, 24, seed=seed, replace_value=adding({layer: vector}))
    return [baby.decode(np.concatenate(each)).strip("\n").split("\n\n")[0] for each in zip(prompts, new)]

def count(texts):
    """(share of the texts about a birthday, correct sentences per text after the first three)"""
    about = np.mean([bool(re.search(r"birthday|was \w+ that", text)) for text in texts])
    joined = "".join(text + "\n\n" for text in texts)
    correct = stories.marks(joined).sentences * len(stories.SENTENCE_END.findall(joined))
    return about, max(0, correct / len(texts) - 3)

strengths = (-2, -1, 0, 1, 1.5, 2, 3)
by_texts = [count(write(strength * direction, prompts)) for strength in strengths]
left, right = picture("share of the texts about a birthday, by strength", "correct new sentences per text, by strength", height=2.8)
for axes, values, color in zip((left, right), zip(*by_texts), (TRAIN, VALID)):
    axes.plot(strengths, values, "o-", color=color)
    axes.set_ylim(bottom=0)
for strength, (about, correct) in zip(strengths, by_texts):
    print(f"strength {strength:4}: {about:4.0%} about a birthday, {correct:.2f} correct sentences per text")

# %%
for strength in (-2, 0, 1.5, 3):
    print(f"strength {strength}")
    for text, prompt in zip(write(strength * direction, prompts[:3]), prompts):
        print("   ..." + text[len(baby.decode(prompt).strip("\n")):].replace("\n", " "))

# %% [markdown]
# It works, and it has a price. The vector says the same at every token, also where it does not fit, in the middle of a sentence. A vector
# that is long enough to decide the plot every time drowns everything else that the block has to say, and the words fall apart.
#
# `lb.direction` computes and saves such a vector under a name, and `lb.inference` steers with it:

# %%
lb.direction(run.guid, "birthday", more=birthday, less=others, layer=layer)
done = lb.inference(run.guid, baby.decode(prompts[1]), max_tokens=24, seed=1, steer=dict(birthday=1.5))
print(" ".join(done.text.split()))

# %% [markdown]
# ## Too few dimensions
# For a direction from texts one has to know what to look for. What else is in the output of a block? Its 64 single numbers do not answer
# that. A text has many more properties than a block has numbers, so that every number belongs to several of them, which is called
# **superposition**. But only few properties hold at any one token.
#
# A **sparse autoencoder** uses that. It is a second small model, which rebuilds each output $x$ of the block as a sum of few directions out of
# a long list, and it learns the list. In its middle it has one number $f$ for each direction. Only the $k$ largest of them stay; all others
# are set to 0, and those that stay are called active. A direction together with its number is called a **feature**.
#
# $$u = (x - c)\,W_\text{up} + b, \qquad f = \text{the largest } k \text{ of } u \text{, if above } 0, \qquad y = f\,W_\text{down} + c$$
#
# The loss is the squared distance between $x$ and $y$. You know every part from lesson 2. The choice of the largest acts like an
# activation function: the gradient passes where the number stays, and is 0 elsewhere.

# %%
def autoencoder(up, b, down, c, x, k):
    """x (N, D), up (D, F), b (F), down (F, D), c (D) -> the loss, f (N, F), back() -> the gradients of up, b, down and c"""
    u = (x - c) @ up + b                                    # (N, D) -> (N, F)
    stays = (u >= np.sort(u, 1)[:, -k, None]) & (u > 0)     # (N, F) bool
    f = u * stays
    y = f @ down + c                                        # (N, F) -> (N, D)

    def back():
        dy = 2 * (y - x) / len(x)                           # (N, D)
        du = dy @ down.T * stays                            # (N, D) -> (N, F)
        dx = du @ up.T                                      # (N, F) -> (N, D)
        return (x - c).T @ du, du.sum(0), f.T @ dy, dy.sum(0) - dx.sum(0)

    return ((y - x) ** 2).sum() / len(x), f, back

# %% [markdown]
# $c$ is used twice, so its gradient has two terms. As always we believe a backward pass only after comparing it with finite differences.

# %%
weights = [rng.standard_normal(shape) for shape in ((4, 9), 9, (9, 4), 4)]
x = rng.standard_normal((5, 4))
for name, weight, gradient in zip(("up", "b", "down", "c"), weights, autoencoder(*weights, x, 3)[2]()):
    slopes = differences(lambda: autoencoder(*weights, x, 3)[0], weight)
    print(f"{name:5} largest difference between gradient and finite difference {abs(gradient - slopes).max():.0e}")

# %% [markdown]
# `sparse_autoencoder.fit` trains with these gradients and Adam. It does two more things: every direction keeps the length 1, and a feature
# that is never active starts again, because it would get no gradient any more. We train three autoencoders on the outputs of our block for
# 24,000 tokens, with 256 features each, of which 1, 4 or 8 may be active at a token. How good are they? We let the model go on with the
# rebuilt outputs in place of its own, and measure its loss.

# %%
rows, held_out = pieces(baby, nursery.corpus(200_000, seed=3)[0], rng)
rows = rows[:most_windows, :-1]
F, trained, measured = 256, {}, {}
with backend.blas_threads(1):
    x = outputs(baby, rows, layer)                                                           # (windows, T, D)
    for k in (1, 4, 8):
        *_, (trained[k], _) = sparse_autoencoder.fit(x.reshape(-1, x.shape[-1]), F, k, fit_steps, np.random.default_rng(0))
        measured[k] = fidelity(baby, trained[k], k, layer, held_out)

k, p = 8, trained[8]
f = np.stack([sparse_autoencoder.forward(p, each, k)[1] for each in x])                      # (windows, T, F)
assert np.allclose(autoencoder(p.up, p.b, p.down, p.shift, x[0], k)[1], f[0], atol=1e-4)     # the library's f is ours

axes = picture("loss of the model with rebuilt outputs, nats per token", height=2.6)
names = ["the mean", *(f"{k} active" for k in measured), "own outputs"]
losses = [measured[8]["mean_loss"], *(each["rebuilt_loss"] for each in measured.values()), measured[8]["loss"]]
axes.bar(names, losses, color=[GRAY, TRAIN, TRAIN, TRAIN, FLOOR], width=0.6)
for i, loss in enumerate(losses):
    axes.annotate(f"{loss:.2f}", (i, loss), (0, 3), textcoords="offset points", ha="center")
axes.margins(y=0.15)
print({f"{k} active": f"{each['explained']:.0%} of the variance explained" for k, each in measured.items()})

# %% [markdown]
# Eight numbers out of 256 replace the 64 numbers of the output, and the model hardly notices.
#
# ## What a feature means
# We ask of a feature in which tokens it is most active, and which logits its direction raises. Here are the eight features with the largest
# sums. The token in brackets is the one where the feature is active; only the text up to there matters.

# %%
active = (f > 0).mean((0, 1))                                                                # (F)
mean = f.sum((0, 1)) / np.maximum((f > 0).sum((0, 1)), 1)                                    # (F), where it is active
raised = raised_logits(baby, p.down, rows[:1])                                               # (F, V)

def describe(feature):
    """Print the tokens that a feature raises most, and the three windows where it is most active, up to that token"""
    tokens = " ".join(visible([baby.decode([i]) for i in np.argsort(-raised[feature])[:5]]))
    print(f"feature {feature}, active at {active[feature]:.1%} of the tokens, raises {tokens}")
    for window in np.argsort(-f[:, :, feature].max(1))[:3]:
        at = f[window, :, feature].argmax()
        before, token = visible([baby.decode(rows[window, max(0, at - 6):at]), baby.decode(rows[window, at:at + 1])])
        print(f"      {before}[{token}]")

for feature in np.argsort(-f.sum((0, 1)))[:8]:
    describe(feature)

# %% [markdown]
# Nobody has told the autoencoder what to look for. Many of its features are places in the grammar: here comes a name, a color, an animal,
# a new sentence. That is what this model has to know. In larger models, which read more than the nursery, such features stand for cities,
# errors in programs or flattery (Templeton et al. 2024). Other features have no simple meaning, here and there.
#
# ## Steer with a feature
# A row of $W_\text{down}$ is a direction like the one from texts, and can be used in the same way. Which of them leads to birthdays? We try
# every one at twice its usual strength on 25 beginnings, and keep the one for which most texts go on with a correct sentence about a
# birthday. The best of 256 was also lucky, so we measure it on the other 75 beginnings.

# %%
def correct_birthdays(texts):
    """Share of the texts whose fourth sentence is about a birthday and correct"""
    fourth = [re.match(r"(?:[^.]+\.){4}", text + "\n\n") for text in texts]
    return np.mean([bool(each and re.search(r"birthday|was \w+ that", each.group()) and stories.parse(text + "\n\n").end >= each.end())
                    for each, text in zip(fourth, texts)])

found = [correct_birthdays(write(2 * mean[i] * p.down[i], prompts[:25])) for i in range(searched)]
best = int(np.argmax(found))
describe(best)

rest, times = prompts[25:], (0, 1, 2, 3, 4)
by_texts = [count(write(strength * direction, rest)) for strength in (0, 0.5, 1, 1.5, 2, 3)]
by_feature = [count(write(n * mean[best] * p.down[best], rest)) for n in times]
axes = picture("share of the texts about a birthday (upwards), correct new sentences per text (to the right)", height=3.4)
for values, name, color in ((by_texts, "direction from texts", TRAIN), (by_feature, "one feature", VALID)):
    about, correct = zip(*values)
    axes.plot(correct, about, "o-", color=color)
    axes.annotate(name, (correct[2], about[2]), (8, 6), textcoords="offset points", color=color)
for n, (about, correct) in zip(times, by_feature):
    print(f"feature {best} times {n}: {about:4.0%} about a birthday, {correct:.2f} correct sentences per text")

# %% [markdown]
# For the same number of birthdays the feature costs fewer correct sentences. Look at the tokens where it is active, and at those that it
# raises. When we wrote this lesson, it was active at the end of the third sentence, where the plot is chosen, and raised the word *It*, which
# begins *It was the birthday of*. The direction from texts also contains the other words of our sentences, such as *seven* and *Friday*, and
# raises them everywhere. Added many times over, the feature does damage, too.
#
# Do not expect too much of eight sentences. In a baby trained with `seed=5` the direction from texts brought no more birthdays, 14% at
# strength 2 instead of 16% at 0, while the best feature still brought 39%. Its meaning was less clear, though: it was active at the word
# *Once*. What a direction does has to be measured in every model anew.
#
# With one command you get a page of all features of a run: `lb.features(run.guid)`, or in a shell `littlebaby features last`. Then
# `lb.inference(run.guid, steer={"feature12": 3})` steers with the feature number 12.
#
# ## Try it
# ### 1. A direction of length 1
# Given the outputs `more` $(N, D)$ and `less` $(M, D)$ for the tokens of two sets of texts, return the direction from the mean of `less` to the
# mean of `more`, with the length 1, so that the strengths of different directions can be compared.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=17, number=1)
def check(unit_direction):
    more, less = rng.standard_normal((5, 3)) + [4, 0, 0], rng.standard_normal((7, 3)) + [0, 3, 0]
    d = unit_direction(more, less)
    assert d is not None, "unit_direction returns None: return the difference of the two means, divided by its length."
    assert np.shape(d) == (3,), f"a direction has one number for each of the 3 dimensions; yours has the shape {np.shape(d)}: take the mean over the tokens, axis 0."
    right = more.mean(0) - less.mean(0)
    assert np.sum(right * d) > 0, "your direction points from more to less: exchange them."
    size = np.linalg.norm(d)
    assert abs(size - 1) < 1e-9, f"its length should be 1, and is {size:.2f}: divide by np.linalg.norm of the difference."
    assert np.allclose(d, right / np.linalg.norm(right)), "its length is 1, but it points elsewhere: subtract the two means first, then divide."
    cosine = unit_direction(p.down[[best]], np.zeros((1, 64))) @ direction / np.linalg.norm(direction)
    return f"it points from less to more; the cosine between our direction from texts and feature {best} is {cosine:.2f}."

# %% tags=["exercise"]
def unit_direction(more, less):
    """more (N, D), less (M, D) -> (D,)"""
    return None

check(unit_direction)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def unit_direction(more, less):
#     """more (N, D), less (M, D) -> (D,)"""
#     d = more.mean(0) - less.mean(0)
#     return d / np.linalg.norm(d)
#
# check(unit_direction)
# ```
#
# </details>

# %% [markdown]
# ### 2. Without a direction
# Instead of adding a direction one can take it out. Return the vectors `x` without their part along `d`: what remains is orthogonal to `d`,
# so its dot product with `d` is 0. The length of `d` can be any.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=17, number=2)
def check(without):
    x, d = rng.standard_normal((5, 3)), np.array([0.0, 2.0, 1.0])
    kept = x.copy()
    y = without(x, d)
    assert y is not None, "without returns None: subtract from each row of x its part along d."
    assert np.shape(y) == (5, 3), f"the result should have the shape of x, (5, 3); yours has {np.shape(y)}."
    assert np.array_equal(x, kept), "your function has changed x itself: return a new array."
    part = (x @ d)[:, None] * d / (d @ d)
    assert not np.allclose(y, part), "that is the part along d; return what remains of x without it."
    assert not np.allclose(y, x + part), "that adds the part along d once more: subtract it."
    assert not np.allclose(y, x - part * (d @ d)), "that is right for a d of length 1 only: divide by d @ d."
    assert not np.allclose(y, x - part * np.linalg.norm(d)), "d occurs twice, so divide by its length twice, which is d @ d."
    assert np.allclose(y @ d, 0), f"the dot product of the first row with d should be 0; yours is {y[0] @ d:.2f}."
    assert np.allclose(y, x - part), "it is orthogonal to d, but something else has changed, too."
    d = p.down[best]
    remove = lambda i, name, value: without(value.reshape(-1, 64), d).reshape(value.shape) if (i, name) == (layer, "block") else value
    new = baby.generate(prompts, 24, seed=3, replace_value=remove)
    about, _ = count([baby.decode(np.concatenate(each)).strip("\n").split("\n\n")[0] for each in zip(prompts, new)])
    return f"without feature {best}'s direction {about:.0%} of the texts are about a birthday, instead of {count(write(0 * d, prompts))[0]:.0%}."

# %% tags=["exercise"]
def without(x, d):
    """x (N, D), d (D) -> (N, D)"""
    return None

check(without)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def without(x, d):
#     """x (N, D), d (D) -> (N, D)"""
#     return x - np.outer(x @ d, d) / (d @ d)
#
# check(without)
# ```
#
# </details>

# %% [markdown]
# ### 3. How much is explained?
# The lesson says how much of the variance an autoencoder explains. Compute it: 1 minus the sum of the squared errors of `y` $(N, D)$, divided
# by the sum of the squared errors that one would make with the mean of all rows of `x` $(N, D)$ in place of every row.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=17, number=3)
def check(explained):
    x = rng.standard_normal((50, 3)) * [1, 2, 3] + [5, 1, 0]
    mean = np.broadcast_to(x.mean(0), x.shape)
    y = 0.75 * x + 0.25 * mean
    got = explained(y, x)
    assert got is not None, "explained returns None: return 1 minus a quotient of two sums of squares."
    assert np.ndim(got) == 0, f"return one number; your result has the shape {np.shape(got)}: sum over both axes."
    errors = ((x - y) ** 2).sum()
    assert not np.isclose(got, 1 / 16), "that is the part that is not explained: subtract it from 1."
    assert not np.isclose(got, 1 - errors / (x ** 2).sum()), "that compares with zeros in place of the mean of the rows: subtract x.mean(0) from x."
    assert not np.isclose(got, 1 - errors / ((x - x.mean()) ** 2).sum()), "x.mean() is one number; x.mean(0) is the mean of all rows, with D numbers."
    assert np.isclose(explained(x, x), 1), f"y = x explains everything, 1; your result is {explained(x, x):.2f}."
    assert np.isclose(got, 15 / 16), f"for errors that are a quarter as large as those of the mean it should be {15 / 16:.4f}; yours is {got:.4f}."
    x = outputs(baby, held_out[:, :-1], layer).reshape(-1, 64)
    got = explained(sparse_autoencoder.forward(p, x, k)[0], x)
    assert np.isclose(got, measured[k]["explained"], atol=1e-3), f"for our autoencoder it should be {measured[k]['explained']:.3f}; yours is {got:.3f}."
    return f"our autoencoder with {k} active features explains {got:.1%}, as the library says."

# %% tags=["exercise"]
def explained(y, x):
    """y (N, D), x (N, D) -> a number, at most 1"""
    return None

check(explained)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def explained(y, x):
#     """y (N, D), x (N, D) -> a number, at most 1"""
#     return 1 - ((x - y) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
#
# check(explained)
# ```
#
# </details>

# %% [markdown]
# **The end of the tour, and the beginning of yours.** You have counted, differentiated, looked inside, compared, routed, merged, talked,
# experimented, rounded and steered, and every number was one that you could check. There is no line in the library that you cannot read now: open
# `littlebaby/model/gpt.py`, and see.
