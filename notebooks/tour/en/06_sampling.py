# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6 · Sampling
#
# *`Zoe hid a …`: a model gives every character a probability. Which one should it write?*
#
# A language model computes probabilities, and no more. To generate text, one character has to be chosen, appended to the text, and so on.
# How it is chosen decides whether the text is dull or lively, correct or full of mistakes, and none of this changes a single weight. In
# this lesson you choose in five ways, see what each does to the probabilities, and measure what each does to the text.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np
from threadpoolctl import threadpool_limits

from littlebaby import arrays
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.tour import TrainingBar, exercise, picture, probability_bars
from littlebaby.text import stories

workspace = temporary_workspace()       # this lesson's run lies here until the kernel ends
print("workspace:", workspace)
threadpool_limits(1);                   # so small a model is fastest on one core

# %% [markdown]
# ## A model to choose with
# We need a model whose weights are not random. This one is a GPT of two blocks like the one in lesson 5, trained for half a minute; the
# next lesson shows how.

# %% tags=["parameters"] small="steps = 20"
steps = 400

# %%
run = lb.train("nursery", "characters", progress=TrainingBar(), n_ctx=128, n_emb=64, n_heads=4, n_layers=2, batch_size=8, n_steps=steps,
               s_eval=steps, n_sample=0, n_completion=0)
baby = lb.load(run.guid)
print(f"validation loss {run.report.best_valid_loss:.3f}, perplexity {np.exp(run.report.best_valid_loss):.2f}")

# %% [markdown]
# ## The next character
# The text that the model continues is called the **prompt**. `baby.logits` returns the logits after every character of it; the softmax of
# the last row has the probabilities of the character that comes next.

# %%
def next_logits(prompt):
    """The logits of the next character, (V)"""
    return baby.logits(baby.encode(prompt))[0, -1].astype(float)

characters = baby.tokenizer.tokens()
pair = picture("next character after: Zoe hid a", "next character after: Zoe hid a y", widths=(1, 1), height=2.8)
for axes, prompt in zip(pair, ("Zoe hid a ", "Zoe hid a y")):
    p, _ = arrays.softmax(next_logits(prompt))
    probability_bars(axes, characters, p)
    print(f"{prompt:12} most likely: {characters[p.argmax()]!r} with {p.max():.0%}; all but the five most likely: {np.sort(p)[:-5].sum():.1%}")

# %% [markdown]
# After `Zoe hid a` many colours are possible, and the model rightly divides the probability among their first letters. It has a tail of
# small probabilities, too: every wrong character has a little. After `y` it is nearly certain.
#
# ## Always the most likely one
# The simplest choice is the most likely character, every time. This is called **greedy decoding**. It seems to be the safest choice:

# %%
def generate(prompt, choose, n=250, seed=0):
    """The prompt and n more characters; choose(logits, rng) -> id of the next character"""
    rng, ids = np.random.default_rng(seed), list(baby.encode(prompt))
    for _ in range(n):
        z = baby.logits(ids[-baby.config.n_ctx:])[0, -1].astype(float)
        ids.append(choose(z, rng))
    return baby.decode(ids)

def greedy(z, rng):
    return int(z.argmax())

print(generate("Zoe hid a ", greedy, 600))

# %% [markdown]
# The words are correct, but the text soon runs in circles: whole sentences come again. And it is the same text at every call. A long text
# in which every single character is the most likely one is itself very *unlikely*: nobody speaks like this.
#
# ## Draw a character
# Sampling draws the next character at random, each with its probability, as in lesson 1. The numbers come from a random number
# generator that starts from a **seed**, like a pack of cards whose order the seed has fixed: the same seed gives the same text, another seed another one.

# %%
def sample(z, rng):
    p, _ = arrays.softmax(z)
    return int(rng.choice(len(p), p=p))

for seed in (1, 1, 2):
    print(f"seed {seed}   {' '.join(generate('Zoe hid a ', sample, 110, seed).split())}")

# %% [markdown]
# The text is lively now, but it has mistakes. A character from the tail is unlikely at any one place; over a hundred characters one of them
# is drawn sooner or later, and the model has to continue from there. What is between the two ways of choosing?
#
# ## Temperature
# Divide all logits by a number $t$, the **temperature**, before the softmax: $p_i \propto e^{z_i / t}$. Below 1 the differences between the
# logits grow, so likely characters become more likely still; near 0 this is greedy decoding. Above 1 the differences shrink, and all
# characters become more equal. (The formula comes from physics, where it says how the energies of hot and cold molecules differ.)

# %%
def with_temperature(t):
    return lambda z, rng: sample(z / t, rng)

z = next_logits("Zoe hid a ")
temperatures = 0.3, 1, 2
for axes, t in zip(picture(*(f"temperature {t}" for t in temperatures), height=2.6), temperatures):
    probability_bars(axes, characters, arrays.softmax(z / t)[0], most=10)
    axes.set_ylim(0, 0.7)
    print(f"temperature {t:3}   {' '.join(generate('Zoe hid a ', with_temperature(t), 100).split())}")

# %% [markdown]
# Which temperature is best? We generate 32 texts at each temperature and measure two things: how many of their words exist in the
# nursery, and how many of their groups of three words are different. The first says whether the text is correct, the second whether it is
# varied. (`baby.generate` does what `generate` does, for many texts at once and faster.)

# %%
NAMES = "Ada", "Ben", "Dot", "Eli", "Gus", "Pia", "Sam", "Zoe"

def quality(**settings):
    """Of 32 generated texts: the share of words that exist, and the share of groups of three words that are different"""
    prompts = [baby.encode(f"{name} {verb} ") for name in NAMES for verb in ("was", "had", "saw", "and")]
    words = [word for row in baby.generate(prompts, 150, seed=0, **settings) for word in stories.words_of(baby.decode(row))[1:-1]]
    groups = list(zip(words, words[1:], words[2:]))
    return np.mean([word in stories.known_words() for word in words]), len(set(groups)) / len(groups)

axes = picture("share of words that exist (blue), and of different groups of three words (red), by temperature", height=3)
grid = [0, 0.2, 0.4, 0.6, 0.8, 1, 1.3, 1.6, 2]
exist, varied = zip(*(quality(temperature=t) for t in grid))
axes.plot(grid, exist, "o-", color=TRAIN)
axes.plot(grid, varied, "o-", color=VALID)
axes.set_ylim(0, 1.05)
for t in (0, 0.4, 0.8, 1, 2):
    print(f"temperature {t:3}   words that exist {exist[grid.index(t)]:.1%}   different groups {varied[grid.index(t)]:.1%}")

# %% [markdown]
# There is no best one: correctness is paid for with variety. For stories 0.5 to 1 is usual, for answers that should be right less. The
# library's plans use 0.8 unless you choose another.
#
# ## Cut off the tail
# Temperature changes all probabilities. One can also leave out unlikely characters altogether, and divide the others by their sum:
#
# - **top-k** keeps the $k$ most likely characters;
# - **top-p**, also called **nucleus sampling**, keeps the smallest set of most likely characters whose probabilities sum to at least $p$.
#
# Here are both for the two prompts from above. Gray bars are cut off.

# %%
def top_k(p, k):
    """Which characters are kept, (V)"""
    return p >= np.sort(p)[-k]

def top_p(p, share):
    order = np.argsort(-p)
    before = np.cumsum(p[order]) - p[order]              # the sum of all more likely characters
    kept = np.zeros(len(p), bool)
    kept[order] = before < share
    return kept

prompts = "Zoe hid a ", "Zoe hid a y"
for name, keep in (("top-k, k = 4", lambda p: top_k(p, 4)), ("top-p, p = 0.8", lambda p: top_p(p, 0.8))):
    for axes, prompt in zip(picture(*(f"{name}, after: {prompt}" for prompt in prompts), widths=(1, 1), height=2.2), prompts):
        p, _ = arrays.softmax(next_logits(prompt))
        probability_bars(axes, characters, p, keep(p))
        print(f"{name:15} after {prompt!r:14} keeps {''.join(np.array(characters)[keep(p)]):10} with {p[keep(p)].sum():.0%} of the probability")

# %% [markdown]
# The nursery has nine colours, and they begin with `b`, `g`, `p`, `r`, `w` or `y`. So after `Zoe hid a ` the four characters of top-k are
# too few, and after `Zoe hid a y` they are too many. Top-p keeps more than four after the first prompt and a single one after the second: it
# follows the model's own certainty. In `lb.inference` all of these are settings, together with two more: **min-p** keeps characters with
# at least a given share of the highest probability, and a **repetition penalty** lowers the logits of tokens that have occurred before.
# Does the library compute the same as we do?

# %%
from littlebaby.inference.sampling import Sampling, probabilities

z = next_logits("Zoe hid a ")
p, _ = arrays.softmax(z / 0.8)
p = np.where(top_p(p, 0.9), p, 0)
p /= p.sum()
library_p = probabilities(z[None], [[]], Sampling(temperature=0.8, top_p=0.9))[0]
print(f"largest difference from the library: {abs(p - library_p).max():.0e}\n")

for settings in (dict(temperature=1.0), dict(temperature=1.0, top_k=4), dict(temperature=1.0, top_p=0.9), dict(temperature=0.8, top_p=0.9)):
    known, different = quality(**settings)
    print(f"{str(settings):36} words that exist {known:.1%}   different groups {different:.1%}")
print("\n" + "Zoe hid a" + lb.inference(run.guid, prompt="Zoe hid a", max_tokens=200, temperature=0.8, top_p=0.9, seed=1).text)

# %% [markdown]
# Cutting off the tail removes most wrong words, and the text keeps most of its variety. A temperature below 1 and top-p are often used
# together.
#
# ## Try it
# ### 1. Twice as cold
# At temperature 1 a model gives `a` four times the probability of `b`. How many times the probability of `b` does `a` get at temperature
# 0.5, and how many times at temperature 2? (The logits of `a` and `b` differ by $\ln 4$.)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=6, number=1)
def check(cold, hot):
    assert cold is not None and hot is not None, "put two numbers in place of None: the ratio is e to the power (ln 4) / t."
    assert not np.isclose(cold, 8), "it is the logits that are divided by t, not the probabilities: (ln 4) / 0.5 = 2 ln 4 = ln 4²."
    assert cold > 4, "the other way round: a low temperature makes the likely token likelier still."
    assert np.isclose(cold, 16), f"at 0.5 the difference of the logits is (ln 4) / 0.5, and the ratio is e to that power; it is not {cold:.4g}."
    assert np.isclose(hot, 2), f"at 2 the difference of the logits is (ln 4) / 2, and the ratio is e to that power; it is not {hot:.4g}."
    return "the ratio becomes its power 1/t: 16 times at temperature 0.5, 2 times at 2, 4¹⁰ = a million times at 0.1."

# %% tags=["exercise"]
cold = None
hot = None

check(cold, hot)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# cold = 4 ** (1 / 0.5)
# hot = 4 ** (1 / 2)
#
# check(cold, hot)
# ```
#
# </details>

# %% [markdown]
# ### 2. The nucleus
# Write top-p yourself, this time with the new probabilities: keep the smallest set of most likely tokens whose probabilities sum to at
# least `share`, give all others probability 0, and make the sum 1 again. Every token stays in its place.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=6, number=2)
def check(nucleus):
    p = np.array([0.1, 0.45, 0.15, 0.3])
    got = nucleus(p.copy(), 0.8)
    assert got is not None, "nucleus returns None: sort the probabilities, keep the largest until they sum to share, and divide by their sum."
    got = np.asarray(got, float)
    assert got.shape == (4,), f"4 probabilities go in and 4 should come out, 0 for a token that is cut off; yours has shape {got.shape}."
    assert not np.allclose(np.sort(got)[::-1], [0.6, 0.4, 0, 0]), "0.45 + 0.3 is only 0.75, less than 0.8: the token that crosses the border is kept, too."
    assert not np.isclose(got.sum(), 0.9), "the right tokens are kept, but the probabilities should sum to 1 again: divide by their sum."
    assert not np.allclose(got, [0.5, 1 / 3, 1 / 6, 0], atol=1e-8), "the result is sorted: put every probability back in its token's place."
    assert np.allclose(got, [0, 0.5, 1 / 6, 1 / 3]), f"of {p.tolist()} with share 0.8 the result should be [0, 0.5, 0.1667, 0.3333]; yours is {got.round(4).tolist()}."
    z = np.random.default_rng(0).standard_normal((20, 30)) * 3
    for row in z:
        right = probabilities(row[None], [[]], Sampling(top_p=0.7))[0]
        assert np.allclose(nucleus(arrays.softmax(row)[0], 0.7), right), "it fails for other probabilities: the set should be the smallest one."
    return "equal to the library's for twenty random models: the less certain the model, the more tokens are kept."

# %% tags=["exercise"]
def nucleus(p, share):
    """probabilities (V) -> probabilities (V)"""
    return None

check(nucleus)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def nucleus(p, share):
#     """probabilities (V) -> probabilities (V)"""
#     order = np.argsort(-p)
#     before = np.cumsum(p[order]) - p[order]
#     out = np.zeros_like(p)
#     out[order[before < share]] = p[order[before < share]]
#     return out / out.sum()
#
# check(nucleus)
# ```
#
# </details>

# %% [markdown]
# ### 3. Draw it yourself
# A random number generator gives numbers $u$ between 0 and 1, all equally likely. How does one make a token of it? Lay the probabilities
# side by side, as pieces of a line from 0 to 1, and take the token on whose piece $u$ falls. Write it; `np.cumsum` helps.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=6, number=3)
def check(draw):
    p = np.array([0.2, 0.0, 0.5, 0.3])
    first = draw(p, 0.1)
    assert first is not None, "draw returns None: count how many of the cumulative sums of p are at most u."
    assert np.ndim(first) == 0, f"draw should return the index of one token; yours returns {first!r}."
    assert draw(p, 0.1) == 0, f"u = 0.1 falls on the first piece, from 0 to 0.2, so it is token 0; yours is {draw(p, 0.1)}."
    assert draw(p, 0.69) == 2 and draw(p, 0.71) == 3, \
        f"the piece of token 2 ends at 0.2 + 0 + 0.5 = 0.7: 0.69 is token 2 and 0.71 token 3; yours are {draw(p, 0.69)} and {draw(p, 0.71)}."
    assert draw(p, 0.2) == 2, f"at u = 0.2 exactly the piece of token 0 is over, and that of token 1 is empty: it is token 2; yours is {draw(p, 0.2)}. Count the sums <= u."
    counts = np.bincount([draw(p, u) for u in np.random.default_rng(0).random(20_000)], minlength=4) / 20_000
    return f"of 20,000 draws the shares are {', '.join(f'{n:.3f}' for n in counts)}, where p is {', '.join(f'{n:.3f}' for n in p)}."

# %% tags=["exercise"]
def draw(p, u):
    """probabilities (V), u from 0 to below 1 -> index of a token"""
    return None

check(draw)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def draw(p, u):
#     """probabilities (V), u from 0 to below 1 -> index of a token"""
#     return int((np.cumsum(p) <= u).sum())
#
# check(draw)
# ```
#
# </details>

# %% [markdown]
# **Next:** [7 · Train a baby](07_train_a_baby.ipynb). This lesson's model was trained in one line; the next one opens that line.
