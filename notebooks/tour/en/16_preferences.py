# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 16 · Preferences
#
# *How does a model learn which of two texts is better?*
#
# A reward is a number, and good numbers are hard to give: is this story a 6 or a 7? It is easier to compare. People who read two answers and
# choose one of them produce a **preference**: a pair of texts, of which the first, the chosen one, is better than the second, the rejected one.
# In this lesson we learn from such pairs directly, without a reward and without new samples, and look closely at what that does to both texts.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import json

import numpy as np
from threadpoolctl import threadpool_limits

from littlebaby.runs.store import temporary_workspace
from littlebaby.show.charts import FLOOR, GRAY, TRAIN, VALID
from littlebaby.show.tour import TrainingBar, exercise, picture
from littlebaby.text import stories

workspace = temporary_workspace()       # this lesson's runs lie here until the kernel ends
print("workspace:", workspace)
threadpool_limits(1)                    # a model as small as this one is fastest on one core
rng = np.random.default_rng(0)

# %% [markdown]
# ## Pairs
# We train the baby of the lesson before. It writes stories, two at a time, and the grammar of the nursery is the judge: the story with more right
# sentences before its first mistake is chosen. Two stories that are equally good give no pair.

# %% tags=["parameters"] small="base_steps, n_texts, pair_steps, best_steps = 300, 96, (1, 2), 1"
base_steps, n_texts, pair_steps, best_steps = 1000, 1024, (5, 10, 20, 40, 80), 16

# %%
base = lb.train("nursery", "characters", c_tokenizer="bpe", s_vocabulary=512, n_ctx=128, n_emb=64, n_heads=4, n_layers=2, batch_size=8,
                r_learn=0.006, n_steps=base_steps, s_eval=10_000, n_sample=0, n_completion=0, progress=TrainingBar())
baby = lb.load(base.guid)
start = baby.encode(baby.tokenizer.begin)                        # a blank line, which separates the stories

def write(model, n, seed):
    """n stories of a model"""
    rows = [row for i in range(0, n, 64) for row in model.generate(np.tile(start, (64, 1)), 110, seed=seed + i)]
    return [model.decode(row).strip().split("\n\n")[0] for row in rows[:n]]

def right_sentences(text):
    """Number of sentences before the first mistake"""
    end = stories.parse(text + stories.END).end                  # the first character that no story could have there
    return sum(mark.end() <= end for mark in stories.SENTENCE_END.finditer(text + stories.END))

texts = write(baby, n_texts, seed=0)
points = [right_sentences(text) for text in texts]
pairs = [(texts[i], texts[j]) if points[i] > points[j] else (texts[j], texts[i])
         for i, j in zip(range(0, n_texts, 2), range(1, n_texts, 2)) if points[i] != points[j]]
unseen, pairs = pairs[:len(pairs) // 5], pairs[len(pairs) // 5:]

print(f"{n_texts} stories with {np.mean(points):.2f} right sentences on average; {len(pairs)} pairs to learn from, {len(unseen)} to test with\n")
for name, text in zip(("chosen", "rejected"), pairs[0]):
    print(f"{name:8}", text, "\n")

# %% [markdown]
# ## From a preference to a loss
# Suppose that every text $x$ had a reward $r(x)$, and that people choose the better of two texts with the probability $\sigma(r_1 - r_2)$, where
# $\sigma(z) = 1 / (1 + e^{-z})$. And suppose that we had trained a model to the best mean reward, with a KL divergence of weight $\beta$ as a
# leash, as in the lesson before. For that one can show that the best probabilities are
#
# $$p(x) = q(x)\, e^{r(x) / \beta} / Z$$
#
# where $q$ is the frozen model from which it started, called the **reference model**, and $Z$ the sum that makes them probabilities. Nobody can
# compute $Z$, a sum over all texts. But solve it for the reward, $r(x) = \beta \ln \frac{p(x)}{q(x)} + \beta \ln Z$, and take the difference of
# two texts: $Z$ is gone! The difference of the rewards is $\beta$ times the **margin**
#
# $$m = \ln \frac{p(x_1)}{q(x_1)} - \ln \frac{p(x_2)}{q(x_2)}$$
#
# which says by how much more the chosen text has gained than the rejected one. So the model itself contains a reward, and we can train it with
# the cross-entropy of the preferences, $-\ln \sigma(\beta m)$. This is **direct preference optimization**, DPO (Rafailov et al. 2023). IPO
# (Azar et al. 2023) has another loss, $(m - \frac{1}{2 \beta})^2$, in the library with means over the tokens in place of sums.

# %%
m, beta = np.linspace(-40, 60, 200), 0.1
losses = {"DPO": (np.logaddexp(0, -beta * m), -beta / (1 + np.exp(beta * m)), TRAIN),
          "IPO": ((m - 0.5 / beta) ** 2 / 400, (m - 0.5 / beta) / 200, VALID)}
left, right = picture("loss of a pair, by its margin", "slope: how hard the pair pushes", height=2.8)
for name, (loss, slope, color) in losses.items():
    left.plot(m, loss, color=color)
    right.plot(m, slope, color=color)
    left.annotate(name, (m[-1], loss[-1]), (-26, 6), textcoords="offset points", color=color)
right.axhline(0, color=GRAY, lw=0.8)
for axes in (left, right):
    axes.axvline(0.5 / beta, color=GRAY, lw=0.8, ls=":")

# %% [markdown]
# IPO is divided by 400 here, so that both fit into one picture. DPO pushes the margin up without end, but ever more weakly, and never down. IPO
# has a goal, the dotted line: beyond it the pair pulls back. This matters when the pairs always agree, because then nothing stops DPO.
#
# ## Train
# `lb.school` reads the pairs from a file. We stop the same training after 5, 10, 20, 40 and 80 steps, to look at it in between.

# %%
lines = [json.dumps(dict(prompt="", chosen=chosen, rejected=rejected)) for chosen, rejected in pairs]
(workspace / "inputs/pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")

def school(steps, **settings):
    return lb.school(base.guid, n_steps=steps, r_learn=2e-4, s_eval=1, n_completion=0, progress=TrainingBar(), **settings)

runs = [school(steps, pairs="pairs.jsonl", r_dpo=0.1, batch_size=8, n_accumulate=1) for steps in pair_steps]
rows = [row.measures for row in runs[-1].report.evaluations]

def log_probability(model, text):
    """ln p of a whole text and its end: the sum over its tokens"""
    ids = np.concatenate([start, model.encode(text + "\n\n")])[:129]
    targets = np.where(np.arange(1, len(ids)) < len(start), -1, ids[1:])             # the prompt is not a target
    return -model.loss(ids[:-1], targets) * (targets >= 0).sum()

def gains(model):
    """ln p - ln q of both texts of every pair that was not trained on: (pairs, 2)"""
    return np.array([[log_probability(model, text) for text in pair] for pair in unseen]) - before

before = np.array([[log_probability(baby, text) for text in pair] for pair in unseen])
moved = [0 * before] + [gains(lb.load(run.guid)) for run in runs]

left, right = picture("margin of the pairs of a step", "pairs whose chosen text gained more", height=2.6)
left.plot([row.margin for row in rows], color=TRAIN)
right.plot([row.accuracy for row in rows], color=TRAIN)
for axes, values in ((left, [np.mean(g[:, 0] - g[:, 1]) for g in moved[1:]]), (right, [np.mean(g[:, 0] > g[:, 1]) for g in moved[1:]])):
    axes.plot(pair_steps, values, "o-", color=VALID)
right.text(0.98, 0.12, "pairs of the training", color=TRAIN, ha="right", transform=right.transAxes)
right.text(0.98, 0.02, "unseen pairs", color=VALID, ha="right", transform=right.transAxes)
for steps, g in zip(pair_steps, moved[1:]):
    print(f"{steps:3} steps: margin of unseen pairs {np.mean(g[:, 0] - g[:, 1]):6.2f}, of which the chosen text gained more {np.mean(g[:, 0] > g[:, 1]):.0%}")

# %% [markdown]
# In the first epoch, up to step 40, every pair is new. In the second one the margin is suddenly large and most pairs are right, but the pairs
# that were not trained on hardly move: the model has mostly memorized its few hundred pairs. A margin of the training tells little.
#
# ## What happens to both texts
# The margin is a difference. It also grows when both texts become *less* likely, if the rejected one falls faster. So look at both.

# %%
axes = picture("ln p - ln q of the unseen texts, by step", height=3)
for i, (name, color) in enumerate((("chosen", FLOOR), ("rejected", VALID))):
    mean, spread = (np.array([f(g[:, i]) for g in moved]) for f in (np.mean, np.std))
    axes.plot([0, *pair_steps], mean, "o-", color=color)
    axes.fill_between([0, *pair_steps], mean - spread, mean + spread, color=color, alpha=0.12, lw=0)
    axes.annotate(name, (pair_steps[-1], mean[-1]), (6, 0), textcoords="offset points", color=color, va="center")
axes.axhline(0, color=GRAY, lw=0.8)
axes.set_xlim(0, pair_steps[-1] * 1.15)
last = moved[-1]
print(f"after {pair_steps[-1]} steps: chosen {last[:, 0].mean():+.1f} nats, rejected {last[:, 1].mean():+.1f}; "
      f"the chosen text has become less likely in {np.mean(last[:, 0] < 0):.0%} of the pairs")

# %% [markdown]
# The chosen texts fall, too. This is a known effect (Razin et al. 2024): both texts come from the same model and have much in common, so what
# pushes one down also pushes the other. The probability that both lose goes to texts that occur in no pair, and about those the loss says
# nothing.
#
# ## Are the stories better?
# The margin is not what we wanted; we wanted better stories. So we let every model write 256 new ones. For comparison there is **rejection
# sampling**, the method `bestof`: of every 64 texts, the quarter with the highest reward is training text, as in lesson 7. It draws and judges
# 1,024 texts, as many as we drew for the pairs.

# %%
def quality(model):
    return np.mean([right_sentences(text) for text in write(model, 256, seed=10_000)])

best = school(best_steps, reward=lambda prompt, text: right_sentences(text), c_school="bestof", batch_size=16, n_accumulate=4)
scores = [quality(baby)] + [quality(lb.load(run.guid)) for run in runs]
score = quality(lb.load(best.guid))

axes = picture("right sentences before the first mistake, mean of 256 new stories, by step of DPO", height=2.8)
axes.plot([0, *pair_steps], scores, "o-", color=TRAIN)
axes.axhline(score, color=FLOOR, ls="--")
axes.annotate("bestof", (pair_steps[-1], score), (0, 4), textcoords="offset points", color=FLOOR, ha="right")
axes.annotate("DPO", (pair_steps[-1], scores[-1]), (0, 8), textcoords="offset points", color=TRAIN, ha="right")
print(f"base {scores[0]:.2f}; DPO", ", ".join(f"{each:.2f} after {steps}" for steps, each in zip(pair_steps, scores[1:])), f"steps; bestof {score:.2f}")
print("\nDPO:   ", write(lb.load(runs[-1].guid), 1, seed=3)[0], "\n\nbestof:", write(lb.load(best.guid), 1, seed=3)[0])

# %% [markdown]
# At first DPO makes the stories a little better. Then they become worse, while the margin of the same training still grows: the training has
# found a way to tell chosen from rejected texts that is not better writing. (A mean of 256 stories is uncertain by about 0.1, so small
# differences mean nothing.) `bestof` has no margin to overdo: it imitates good texts, and after every step it draws new ones from the better
# model. DPO has the same old pairs all the time. Its advantage is elsewhere: it needs no judge who is always there. The pairs can come from
# people, once. In practice one stops early, takes a larger $\beta$, or adds the loss of the chosen text, so that it does not fall.
#
# In a shell this is `littlebaby school last --pairs pairs.jsonl`.
#
# ## Try it
# ### 1. The margin
# You have the log-probabilities of the tokens of the chosen and the rejected text, from the model and from the reference model: `p1`, `q1`
# $(t_1)$ and `p2`, `q2` $(t_2)$. Return the margin of the pair.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=16, number=1)
def check(margin):
    p1, q1, p2, q2 = np.array([-1.0, -2.0]), np.array([-2.0, -3.0]), np.array([-4.0, -1.0, -1.0, -2.0]), np.array([-2.0, -1.0, -1.0, -1.0])
    found = margin(p1, q1, p2, q2)
    assert found is not None, "margin returns None: sum the log-probabilities of each text, then compare."
    assert np.ndim(found) == 0, f"return one number; your result has the shape {np.shape(found)}."
    assert not np.isclose(found, 1 + 0.75), "those are means over the tokens; ln p of a text is the sum over its tokens."
    assert not np.isclose(found, -5), "the sign is wrong: the margin is positive if the chosen text has gained more."
    assert not np.isclose(found, 5) or np.isclose(margin(p1, p1, p2, p2), 0), "the reference is missing: without a change the margin should be 0."
    assert np.isclose(found, 5), f"the chosen text has gained 2 nats, the rejected one has lost 3, so the margin is 5; yours is {found:.2f}."
    return "5 nats: the chosen text has gained 2, the rejected one has lost 3."

# %% tags=["exercise"]
def margin(p1, q1, p2, q2):
    """p1, q1 (t1), p2, q2 (t2) log-probabilities of tokens -> a number, in nats"""
    return None

check(margin)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def margin(p1, q1, p2, q2):
#     """p1, q1 (t1), p2, q2 (t2) log-probabilities of tokens -> a number, in nats"""
#     return (p1.sum() - q1.sum()) - (p2.sum() - q2.sum())
#
# check(margin)
# ```
#
# </details>

# %% [markdown]
# ### 2. The slope of DPO
# Return the derivative of $-\ln \sigma(\beta m)$ with respect to the margin $m$.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=16, number=2)
def check(slope):
    m, beta = np.array([-3.0, 0.0, 8.0]), 0.5
    found = slope(m, beta)
    assert found is not None, "slope returns None: the derivative of -ln sigma(z) is -sigma(-z)."
    assert np.shape(found) == (3,), f"return one slope for each of the 3 margins; your result has the shape {np.shape(found)}."
    right = -beta / (1 + np.exp(beta * m))
    assert not np.allclose(found, -right), "the sign is wrong: a larger margin lowers the loss."
    assert not np.allclose(found, right / beta), "the factor beta of the chain rule is missing."
    assert not np.allclose(found, -beta / (1 + np.exp(-beta * m))), "yours grows with the margin; the push is strong where the margin is negative."
    h = 1e-5
    differences = (np.logaddexp(0, -beta * (m + h)) - np.logaddexp(0, -beta * (m - h))) / (2 * h)
    assert np.allclose(found, differences), f"at the margin 0 finite differences give {differences[1]:.3f}; yours is {found[1]:.3f}."
    return f"it agrees with finite differences: {found[0]:.2f} at -3, {found[1]:.2f} at 0, {found[2]:.2f} at 8."

# %% tags=["exercise"]
def slope(m, beta):
    """m (n) margins -> (n)"""
    return None

check(slope)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def slope(m, beta):
#     """m (n) margins -> (n)"""
#     return -beta / (1 + np.exp(beta * m))
#
# check(slope)
# ```
#
# </details>

# %% [markdown]
# ### 3. Pairs of a group
# A group of texts of the same prompt has the rewards `r` $(n)$. Return all pairs `(i, j)` of indices in which text `i` is better than text
# `j`, as a set. Texts with equal rewards make no pair.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=16, number=3)
def check(all_pairs):
    found = all_pairs([2, 5, 2, 7])
    assert found is not None, "all_pairs returns None: go through all i and j, and keep those with r[i] > r[j]."
    assert all(np.shape(pair) == (2,) for pair in found), "return pairs of two indices each, such as {(1, 0), (3, 0)}."
    found, right = {tuple(int(i) for i in pair) for pair in found}, {(1, 0), (1, 2), (3, 0), (3, 1), (3, 2)}
    assert found != {(j, i) for i, j in right}, "the order is wrong: the better text comes first."
    assert not found & {(0, 2), (2, 0)}, "the texts 0 and 2 have equal rewards, so they make no pair."
    assert found == right, f"for the rewards 2, 5, 2, 7 there are 5 pairs; you have {len(found & right)} of them and {len(found - right)} others."
    group = [right_sentences(text) for text in texts[:16]]
    return f"16 stories of this lesson give {len(all_pairs(group))} pairs in place of 8 at most, but the pairs share texts."

# %% tags=["exercise"]
def all_pairs(r):
    """r: a list of n rewards -> {(index of the better text, index of the other one), ...}"""
    return None

check(all_pairs)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def all_pairs(r):
#     """r: a list of n rewards -> {(index of the better text, index of the other one), ...}"""
#     return {(i, j) for i in range(len(r)) for j in range(len(r)) if r[i] > r[j]}
#
# check(all_pairs)
# ```
#
# </details>

# %% [markdown]
# **Next:** [17 · Steering and features](17_steering_and_features.ipynb): can you change what a model writes without changing its weights?
