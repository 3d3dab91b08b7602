# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 15 · Rewards
#
# *How does a model learn from a judgement, when nobody shows it the right text?*
#
# Until now there was always a text to imitate. But often it is easier to say whether a text is good than to write a good one. In
# **reinforcement learning** the model writes texts of its own, a function judges each of them with a number, the **reward**, and the model
# changes so that its mean reward grows. This works well, sometimes too well: the model does what the reward says, not what you meant.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np
from threadpoolctl import threadpool_limits

from littlebaby.runs.store import temporary_workspace
from littlebaby.show.charts import FLOOR, GRAY, PALE, TRAIN, VALID
from littlebaby.show.tour import TrainingBar, exercise, picture
from littlebaby.text import stories

workspace = temporary_workspace()       # this lesson's runs lie here until the kernel ends
print("workspace:", workspace)
threadpool_limits(1)                    # a model as small as this one is fastest on one core
rng = np.random.default_rng(0)

# %% [markdown]
# ## A baby that makes mistakes
# We train a small baby on the nursery, as in lesson 7, with a BPE tokenizer of 512 tokens, and stop early. Most of its words are right. Most
# of its stories are not, and the grammar of the nursery finds every mistake: a toy that changes its colour, a friend with a new name.

# %% tags=["parameters"] small="base_steps, hand_steps, school_steps = 30, 2, 2"
base_steps, hand_steps, school_steps = 1000, 16, 30

# %%
base = lb.train("nursery", "characters", c_tokenizer="bpe", s_vocabulary=512, n_ctx=128, n_emb=64, n_heads=4, n_layers=2, batch_size=8,
                r_learn=0.006, n_steps=base_steps, s_eval=10_000, n_sample=0, n_completion=0, progress=TrainingBar())
baby = lb.load(base.guid)
start = baby.encode(baby.tokenizer.begin)                        # a blank line, which separates the stories

for new in baby.generate(np.tile(start, (3, 1)), 110, seed=1):
    print("-", baby.decode(new).strip().split("\n\n")[0])

# %% [markdown]
# ## How can one learn from a number?
# Take a model with one prediction and three tokens. It draws token $i$ with the probability $p_i$, and the reward of this token is $r_i$. The
# mean reward is $J = \sum_i p_i r_i$. We want its gradient, although the reward is a function without a derivative. But it needs
# none, because only the probabilities depend on the weights. Since $d \ln p = dp / p$,
#
# $$dJ = \sum_i r_i \, dp_i = \sum_i p_i \; r_i \, d \ln p_i$$
#
# This step is called the **log-derivative trick**. The sum over all tokens, each with its probability, is a mean over samples: draw tokens,
# and average $r \, d \ln p$ over them. The result is called the **policy gradient** (Williams 1992). For a softmax, $d \ln p_i$ is known from
# lesson 2: by the logits it is 1 at token $i$ and 0 elsewhere, minus $p$.

# %%
tokens, z, r = ("cat", "fox", "owl"), np.array([1.0, 0.3, -0.2]), np.array([0.0, 0.0, 1.0])

def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()

def push(z, i):
    """d ln p_i by the logits"""
    return np.eye(3)[i] - softmax(z)

p = softmax(z)
moves = [("probabilities", 0 * z), ("drew owl, good: +1", push(z, 2)), ("drew cat, bad: -1", -push(z, 0))]
for axes, (heading, change) in zip(picture(*(heading for heading, _ in moves), height=2.6), moves):
    after = softmax(z + change)
    axes.bar(tokens, p, color=PALE)
    axes.bar(tokens, after, width=0.5, color=TRAIN)
    axes.set_ylim(0, 0.8)
    for i in range(3):
        axes.annotate(f"{after[i]:.0%}", (i, max(p[i], after[i])), (0, 3), textcoords="offset points", ha="center", color=GRAY)

formula = sum(p[i] * r[i] * push(z, i) for i in range(3))
drawn = rng.choice(3, size=10_000, p=p)
slope = [(softmax(z + h) @ r - softmax(z - h) @ r) / 2e-5 for h in 1e-5 * np.eye(3)]
print("gradient of the mean reward: finite differences", np.round(slope, 3), " formula", np.round(formula, 3),
      " mean of 10,000 samples", np.round(np.mean([r[i] * push(z, i) for i in drawn], 0), 3))

# %% [markdown]
# The wide bars are the probabilities before, the narrow ones those after a step of size 1. A drawn token with a positive number becomes more
# likely and all others less; with a negative number it is the other way round.
#
# Which number should a sample get? Not the reward itself: if all rewards are positive, every sample pushes up, and chance decides. What counts is
# whether a sample is better than the others. So one subtracts a **baseline**, the mean reward of the other samples, and the difference is the
# **advantage** of the sample. This does not change the gradient's mean, because $\sum_i p_i \, d \ln p_i = d \sum_i p_i = d\,1 = 0$; it only
# removes noise.
#
# ## By hand
# A text is a sequence of draws, so its $\ln p$ is the sum over its tokens, which is minus the loss times their number. That means that we have
# had the gradient since lesson 2. Here is the whole method. The baby writes the first 16 tokens of stories, and the reward is 1 for a text with
# a cat.

# %%
learner, n, length, rate = lb.load(base.guid), 32, 16, 0.02
weights, cats = learner.weights(), []

for step in range(hand_steps):
    new = learner.generate(np.tile(start, (n, 1)), length, seed=1000 * step)               # sample: (n, length)
    texts = [learner.decode(row) for row in new]
    rewards = np.array([float(" cat" in text) for text in texts])                          # judge
    advantages = (rewards - rewards.mean()) * n / (n - 1)                                  # = reward - mean of the others
    total = {name: np.zeros_like(w) for name, w in weights.items()}
    for advantage, row in zip(advantages, new):
        ids = np.concatenate([start, row])
        targets = np.where(np.arange(1, len(ids)) < len(start), -1, ids[1:])               # the prompt is not a target
        for name, g in learner.loss_and_grads(ids[:-1], targets)[1].items():               # the gradient of -ln p / length
            total[name] += np.float32(advantage * length / n) * g
    for name, w in weights.items():
        w -= np.float32(rate) * total[name]
    cats.append(rewards.mean())

axes = picture("share of texts with a cat, by step", height=2.4)
axes.plot(range(1, hand_steps + 1), cats, "o-", ms=4, color=TRAIN)
axes.set_ylim(0, 1.05)
for text in texts[:5]:
    print("-", " ".join(text.split()))

# %% [markdown]
# Within a few steps almost every text has a cat, though nobody has shown the baby a single one of these texts. Look at them, though. We wanted
# stories about cats. We did not say so; we said that the word must occur.
#
# ## With the library
# `lb.school` does the same with whole stories and with what you know from lesson 7: Adam, clipping, all cores. Its default method is `grpo`, which
# also divides the advantages by their standard deviation. A first reward that sounds reasonable: half the share of sentences that the
# grammar allows, and half a point for a story that is correct from beginning to end.

# %%
def school(reward, **settings):
    return lb.school(base.guid, reward=reward, n_steps=school_steps, r_learn=1.5e-3, batch_size=16, n_accumulate=2, s_eval=1, n_completion=0,
                     progress=TrainingBar(), **settings)

def curve(run, measure):
    return np.array([getattr(row.measures, measure) for row in run.report.evaluations])

def show(run):
    """The samples before and after in numbers, and two of them"""
    for moment, judged in (("before", run.report.school.before), ("after", run.report.school.after)):
        right = f"right sentences {judged.marks.sentences:4.0%}, right stories {judged.marks.stories:3.0%}" if judged.marks else ""
        print(f"{moment:6} reward {judged.reward:.2f}, {right}, length {judged.length:3.0f}, distinct {judged.distinct:.0%}")
    for text in run.report.school.after.texts[:2]:
        print("-", " ".join(text.split())[:300])

def mostly_right(prompt, text):
    marks = stories.marks(prompt + text + stories.END)
    return (marks.sentences + marks.stories) / 2 if marks else 0.0

first = school(mostly_right)
for axes, measure in zip(picture("mean reward, by step", "mean length of a story, tokens", height=2.6), ("reward", "length")):
    axes.plot(curve(first, measure), color=TRAIN)
    axes.set_ylim(0)
show(first)

# %% [markdown]
# The reward is several times as large. And the stories are hardly stories any more: one or two sentences, then the end. A short text has few
# places for a mistake, so its share of right sentences is high; for the half point of a whole story the baby was too weak. Right stories, which
# did occur before, have become rarer. When a model raises its reward in a way that was not meant, this is called **reward hacking**. It is no
# malice: the gradient follows the shortest way up. So the library's own reward for this, `nursery`, counts the right sentences out of at
# least six, the length of the shortest story: one right sentence alone is worth a twelfth of a point.
#
# ## A bad reward
# Now a reward that is really badly written. We would like happier stories, so we count: which share of the words is *happy*? Besides the
# reward, three measures tell what happens. The entropy of the predictions falls when the model always writes the same. So does the share of
# distinct texts among 200 samples. And the **KL divergence** says how far the model has moved from the base model: the mean of $\ln (p / q)$
# over the tokens that it writes, where $p$ is its own probability and $q$ that of the base model; 0 if both are equal.

# %%
def happiness(prompt, text):
    return text.count("happy") / max(1, len(text.split()))

bad = school(happiness)
show(bad)
print(f"entropy {curve(bad, 'entropy')[0]:.2f} -> {curve(bad, 'entropy')[-1]:.2f} nats a token, KL divergence {curve(bad, 'kl')[-1]:.1f} nats a token")

# %% [markdown]
# The same again and again, and the reward is nearly perfect. Whoever looks at the reward alone sees a great success.
#
# ## Two remedies
# The first is a leash: the KL divergence, times a weight, is subtracted from the reward, so that every step away from the base model has to
# pay. `r_kl` is this weight; 0.02 is the default, and we set it to 0.3. The second is a better reward, which says what we mean: a story that
# has *happy* in it and is right. It counts the right sentences up to the first mistake, at most five, so a short text gains nothing.

# %%
def right_and_happy(prompt, text):
    end = stories.parse(text + stories.END).end                  # the first character that no story could have there
    right = sum(mark.end() <= end for mark in stories.SENTENCE_END.finditer(text + stories.END))
    return min(right, 5) / 5 * ("happy" in text[:end])

leashed = school(happiness, r_kl=0.3)
show(leashed)
print()
mended = school(right_and_happy)
show(mended)

runs = (("bad reward", bad, VALID), ("with a leash", leashed, GRAY), ("better reward", mended, FLOOR))
panels = picture("share of happy words", "entropy, nats", "KL divergence, nats", height=2.8)
for name, run, color in runs:
    for axes, measure in zip(panels, ("reward", "entropy", "kl")):
        if measure != "reward" or run is not mended:              # its reward has another scale
            axes.plot(curve(run, measure), color=color)
for i, (name, _, color) in enumerate(runs):
    panels[2].text(0.04, 0.92 - 0.1 * i, name, color=color, transform=panels[2].transAxes)

# %% [markdown]
# The leash keeps the baby near its own language, at the price of less reward: it slows the hacking, but it does not know what we meant. The
# better reward brings happy animals *and* more right sentences than before. Read its samples to the end: after the fifth right sentence nothing
# is counted any more, and there the text may decay. Every reward has gaps. So look at samples, at a measure that is not rewarded, and at the KL
# divergence, before you believe a curve.
#
# In a shell the same is `littlebaby school last`; [docs/school.md](../../../docs/school.md) has all methods and settings.
#
# ## Try it
# ### 1. Better than the others
# `r` $(n)$ are the rewards of $n$ samples. Return their advantages: each reward minus the mean of the *other* rewards.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from littlebaby.training.school import reinforce

@exercise(lesson=15, number=1)
def check(advantages):
    r = np.array([1.0, 0.0, 0.0, 3.0])
    found = advantages(r)
    assert found is not None, "advantages returns None: subtract from each reward the mean of the others."
    assert np.shape(found) == (4,), f"return one advantage for each of the 4 rewards; your result has the shape {np.shape(found)}."
    assert not np.allclose(found, r - r.mean()), "that subtracts the mean of all; a sample's own reward does not belong to its baseline."
    assert not np.allclose(found, r - (r.sum() - r)), "that subtracts the sum of the others; divide it by their number, n - 1."
    assert not np.allclose(found, (r.sum() - r) / 3 - r), "the sign is wrong: a sample that is better than the others has a positive advantage."
    assert np.allclose(found, r - (r.sum() - r) / 3), f"for 1, 0, 0, 3 the last advantage is 3 - 1/3 = 2.67; yours is {found[3]:.2f}."
    drawn = rng.random(8)
    assert np.allclose(advantages(drawn), reinforce.advantages(drawn[None], None)[0]), "for 8 rewards the others are 7."
    return f"as in the library; their sum is {abs(found.sum()):.0f}, so equal rewards teach nothing."

# %% tags=["exercise"]
def advantages(r):
    """r (n) rewards -> (n)"""
    return None

check(advantages)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def advantages(r):
#     """r (n) rewards -> (n)"""
#     return r - (r.sum() - r) / (len(r) - 1)
#
# check(advantages)
# ```
#
# </details>

# %% [markdown]
# ### 2. The gradient at the logits
# A token `i` was drawn from the softmax of the logits `z` $(V)$, and its advantage is `a`. Training minimizes $-a \ln p_i$. Return the
# gradient with respect to `z`.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=15, number=2)
def check(policy_gradient):
    z, i, a = rng.standard_normal(5), 3, 0.7
    found, p = policy_gradient(z, i, a), np.exp(z) / np.exp(z).sum()
    assert found is not None, "policy_gradient returns None: begin with softmax(z)."
    assert np.shape(found) == (5,), f"return one number for each of the 5 logits; your result has the shape {np.shape(found)}."
    right = a * (p - np.eye(5)[i])
    assert not np.allclose(found, -right), "that is the gradient of a ln p; training minimizes, so the loss has a minus."
    assert not np.allclose(found, right / a), "that is the gradient of -ln p; multiply it by the advantage."
    assert not np.allclose(found, a * p), "the drawn token has a term more: ln p_i = z_i - ln(sum of e to the z)."
    assert np.allclose(found, right), f"the gradient at the drawn token should be {right[i]:.3f}; yours is {found[i]:.3f}."
    return f"with a negative advantage the same token is pushed down: its gradient is {policy_gradient(z, i, -a)[i]:+.2f} instead of {found[i]:+.2f}."

# %% tags=["exercise"]
def policy_gradient(z, i, a):
    """z (V) logits, i the drawn token, a its advantage -> the gradient of -a ln p_i by z, (V)"""
    return None

check(policy_gradient)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def policy_gradient(z, i, a):
#     """z (V) logits, i the drawn token, a its advantage -> the gradient of -a ln p_i by z, (V)"""
#     g = a * softmax(z)
#     g[i] -= a
#     return g
#
# check(policy_gradient)
# ```
#
# </details>

# %% [markdown]
# ### 3. How far has it moved?
# `p` and `q` $(V)$ are the probabilities that two models give to the next token. Return the KL divergence of `p` from `q`: the mean of
# $\ln (p / q)$ over tokens that are drawn from `p`. A sum is enough, nothing has to be drawn.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=15, number=3)
def check(divergence):
    p, q = np.array([0.5, 0.4, 0.1]), np.array([0.2, 0.3, 0.5])
    found = divergence(p, q)
    assert found is not None, "divergence returns None: sum p ln(p / q) over all tokens."
    assert np.ndim(found) == 0, f"return one number; your result has the shape {np.shape(found)}."
    assert not np.isclose(found, (q * np.log(q / p)).sum()), "p and q are exchanged; the tokens are drawn from p."
    assert not np.isclose(found, np.log(p / q).mean()), "that counts every token equally; tokens drawn from p come with the probability p."
    assert not np.isclose(found, -(p * np.log(p / q)).sum()), "the sign is wrong; a KL divergence is never negative."
    assert np.isclose(found, (p * np.log(p / q)).sum()), f"for the first two models it should be {(p * np.log(p / q)).sum():.3f} nats; yours is {found:.3f}."
    first = lambda run: softmax(lb.load(run.guid).logits(start[None])[0, -1].astype(float))
    return (f"at the first token of a story: bad reward {divergence(first(bad), first(base)):.2f} nats, with a leash "
            f"{divergence(first(leashed), first(base)):.2f}, better reward {divergence(first(mended), first(base)):.2f}.")

# %% tags=["exercise"]
def divergence(p, q):
    """p, q (V) probabilities -> a number, in nats"""
    return None

check(divergence)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def divergence(p, q):
#     """p, q (V) probabilities -> a number, in nats"""
#     return (p * np.log(p / q)).sum()
#
# check(divergence)
# ```
#
# </details>

# %% [markdown]
# **Next:** [16 · Preferences](16_preferences.ipynb): which of two texts is better?
