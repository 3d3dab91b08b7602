# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1 · A model is a guess
#
# *What comes next: `Zoe hid a yellow mask beside a red d…`?*
#
# You guessed `o`, and you were rather sure. That is all a language model does: it reads what stands so far and says, for every letter there
# is, how likely it comes next. Everything else in this tour (attention, experts, chat) serves to make that guess better. So before we
# build anything, let us find out what a guess is *worth*, in numbers, and how far one comes by counting alone.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import arrays
from littlebaby import text as texts
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID
from littlebaby.show.tour import exercise, picture

# %% [markdown]
# The text of this tour is the *nursery*: small stories told by a grammar that we know completely. That is a rare luxury. For Shakespeare
# nobody can say how well the next letter can be guessed at best; for the nursery we can compute it.

# %%
from littlebaby.text import nursery

story, _ = nursery.corpus(120_000, seed=1)
floor = nursery.floor(story)
print(story[:330])

# %% [markdown]
# A model works on numbers, so every character gets one. The last sixth of the text we put aside: a guess is judged on text that it has not
# seen.

# %%
tokenizer = texts.train("char", story)
ids = tokenizer.encode(story)
V = tokenizer.size
seen, unseen = ids[:100_000], ids[100_000:]

print(V, "characters:", "".join(tokenizer.tokens()))
print("Zoe ->", tokenizer.encode("Zoe"), "->", tokenizer.decode(tokenizer.encode("Zoe")))

# %% [markdown]
# ## The first model: how often?
# Without looking at anything before, the best we can do is to say how often each character occurs.

# %%
often = np.bincount(seen, minlength=V)
p = often / often.sum()

axes = picture("share of each character in the nursery")
order = np.argsort(-p)
axes.bar(range(V), p[order], color=TRAIN)
axes.set_xticks(range(V), [{" ": "␣", "\n": "⏎"}.get(c, c) for c in np.array(tokenizer.tokens())[order]], fontsize=7);

# %% [markdown]
# ## What is a guess worth?
# The model said: *o* has chance $p$. Then *o* came. How surprised was it? We want a surprise of 0 for $p = 1$, and two independent surprises
# should add where their chances multiply. Only one function does that: $-\ln p$. Its unit is the **nat**; divided by $\ln 2$ it is bits.
#
# The mean surprise over a text is the **loss**. It is the one number that all of training tries to lower.

# %%
uniform = -np.log(1 / V)                # no idea at all: every character alike
single = -np.log(p[unseen]).mean()

print(f"no idea       {uniform:.3f} nats per character, as good as choosing among {np.exp(uniform):.1f}")
print(f"how often     {single:.3f} nats per character, as good as choosing among {np.exp(single):.1f}")
print(f"perfection    {floor:.3f} nats per character, as good as choosing among {np.exp(floor):.2f}")

# %% [markdown]
# Read the last column aloud: somebody who knows the nursery's grammar hesitates, on average, between fewer than two characters. Counting
# has a long way to go.
#
# The library computes the same loss from *logits*, numbers that become chances when a softmax is applied to them. Logarithms of chances are
# such numbers. `cross_entropy` also returns a second thing, `back`; that is lesson 2.

# %%
logits = np.tile(np.log(p), (len(unseen), 1))            # the same guess at every place, (N, V)
loss, back = arrays.cross_entropy(logits, unseen)
print(f"by hand {single:.12f}\nlibrary {loss:.12f}\napart   {abs(loss - single):.0e}")

# %% [markdown]
# ## The second model: what follows what?
# After `q` comes `u`. So let us count pairs: one row for each character, and in it what came next. Each row, divided by its sum, is a guess.

# %%
pairs = np.zeros((V, V))
np.add.at(pairs, (seen[:-1], seen[1:]), 1)
after = (pairs + 0.01) / (pairs + 0.01).sum(1, keepdims=True)      # a hundredth of a count for what was never seen

double = -np.log(after[unseen[:-1], unseen[1:]]).mean()
print(f"what follows what: {double:.3f} nats per character, as good as choosing among {np.exp(double):.1f}")

# %% [markdown]
# The table can be looked at. A dark square says: after the letter on the left, the letter at the bottom is likely.

# %%
from littlebaby.show.variant_pictures import squares

letters = tokenizer.encode("".join(c for c in tokenizer.tokens() if c == " " or c.islower()))
axes = picture("after the letter on the left comes the letter at the bottom", height=5.2)
squares(axes, after[np.ix_(letters, letters)], axes.get_title(loc="left"))
for ticks in (axes.set_xticks, axes.set_yticks):
    ticks(range(len(letters)), ["␣", *tokenizer.decode(letters[1:])], fontsize=8)

# %% [markdown]
# ## Why not look further back?
# With $k$ characters in view we count what follows each group of $k$. The longer the group, the rarer it is, so where a group was never seen
# we lean on the shorter one: $p_k = (\text{count} + p_{k-1}) / (\text{all} + 1)$.

# %%
from collections import Counter

def count(text, k):
    """How often each k + 1 characters occur, and each k"""
    return Counter(text[i:i + k + 1] for i in range(len(text) - k)), Counter(text[i:i + k] for i in range(len(text) - k))

past, future = story[:100_000], story[100_000:]
tables = [count(past, k) for k in range(17)]

def chance(text, k):
    """The chance of the last character of text, given the k before it"""
    if k < 0:
        return 1 / V
    whole, group = tables[k]
    return (whole[text[-k - 1:]] + chance(text, k - 1)) / (group[text[-k - 1:-1]] + 1)

def loss_of(text, k, places):
    return np.mean([-np.log(chance(text[i - 16:i + 1], k)) for i in places])

places = range(16, 19_000, 5)
known = [loss_of(past, k, places) for k in range(17)]
new = [loss_of(future, k, places) for k in range(17)]

axes = picture("loss in nats per character, by how many characters are in view", height=3.6)
axes.plot(known, "o-", color=TRAIN, ms=4)
axes.plot(new, "o-", color=VALID, ms=4)
axes.axhline(floor, color=FLOOR, ls=(0, (6, 3)))
axes.annotate("text it counted", (4, known[4]), (-4, -16), textcoords="offset points", color=TRAIN, ha="right")
axes.annotate("new text", (16, new[16]), (-4, 9), textcoords="offset points", color=VALID, ha="right")
axes.annotate("perfection", (0, floor), (0, 4), textcoords="offset points", color=FLOOR)
axes.set_ylim(0)
best = int(np.argmin(new))
print(f"on new text best with {best} in view: {new[best]:.3f} nats; on its own text then {known[best]:.3f}, with 16 in view {known[16]:.3f}")
print(f"groups of 2: {len(tables[2][1]):,}   of 6: {len(tables[6][1]):,}   of 16: {len(tables[16][1]):,}")

# %% [markdown]
# Three things are worth a second look.
#
# - On its own text the blue line passes *perfection*. Nobody can foresee the text that well; the table *remembers* it. This is
#   learning by heart, and it is why a baby is always judged on unseen text.
# - On new text more view stops helping, and then it hurts: most long groups were seen once, and one case is made a rule.
# - The table grows and grows. It has no idea that `red door` and `gold door` have anything in common.
#
# ## Let it write
# A guess can also speak: draw the next character by its chances, append it, repeat.

# %%
def write(k, n=160, seed=0):
    rng, out = np.random.default_rng(seed), "\n\n"
    for _ in range(n):
        view = out[-k:] if k else ""
        chances = np.array([chance(view.rjust(k) + c, k) for c in tokenizer.tokens()])
        out += rng.choice(tokenizer.tokens(), p=chances / chances.sum())
    return out.strip()

for k in (0, 1, 3, 8):
    print(f"--- {k} in view\n{write(k)}\n")

# %% [markdown]
# With eight characters in view it sounds like the nursery. But ask it who sleeps at the end of the story: the name was said three hundred
# characters ago, and it looked at eight. To look far *and* to generalise, the guess has to be computed instead of looked up. That is what
# the next lessons build.
#
# ## Try it
# Put your answer where `None` stands and run the cell; it answers with ✓, or with ✗ and a hint. Solutions are folded below each.
#
# ### 1. The weather
# It rains on seven days of ten. A forecaster says every morning: "rain, with chance $p$". Write the mean surprise per day; on a dry day the
# chance of what came was $1 - p$. Then see which $p$ costs least. Should one exaggerate?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(cost):
    value = cost(0.9)
    assert value is not None, "cost returns None: return 0.7 times the surprise at rain plus 0.3 times the surprise at a dry day."
    assert abs(cost(0.5) - np.log(2)) < 1e-10, f"whoever says 0.5 is surprised by ln 2 = 0.693 every day; yours says {cost(0.5):.3f}."
    assert abs(value + 0.7 * np.log(0.9) + 0.3 * np.log(0.1)) < 1e-10, "at 0.9 a dry day should cost -ln 0.1, on three days of ten."
    grid = np.linspace(0.01, 0.99, 99)
    return f"the cheapest guess is {grid[np.argmin([cost(q) for q in grid])]:.2f}: honesty costs least, and lowering the loss is becoming honest."

# %% tags=["exercise"]
def cost(p):
    """Nats per day for saying "rain with chance p" where it rains on seven days of ten"""
    return None

check(cost)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def cost(p):
#     """Nats per day for saying "rain with chance p" where it rains on seven days of ten"""
#     return -0.7 * np.log(p) - 0.3 * np.log(1 - p)
#
# check(cost)
# ```
#
# </details>

# %% [markdown]
# ### 2. Bits
# A file that is packed as well as this model can foresee it needs one bit for each bit of surprise. How many **bytes** would the pair model
# need for all of `unseen`? (Its loss `double` is in nats per character, and $\ln 2$ nats are one bit.)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(size):
    right = double / np.log(2) / 8 * len(unseen)
    assert size is not None, "put a number in place of None: nats per character, in bits, in bytes, times the characters of `unseen`."
    assert abs(size / right - 8) > 1e-3, "that is the number of bits; eight of them are a byte."
    assert abs(size / right - 1) < 1e-3, f"you say {size:,.0f}; divide nats by ln 2 for bits and by 8 for bytes, and count all of `unseen`."
    return f"{size:,.0f} bytes in place of {len(unseen):,}: every language model is a way to pack text, and the better model packs it smaller."

# %% tags=["exercise"]
size = None

check(size)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# size = double / np.log(2) / 8 * len(unseen)
#
# check(size)
# ```
#
# </details>

# %% [markdown]
# ### 3. Never say never
# Above we gave everything unseen a hundredth of a count. With 0 the loss on new text is infinite: one pair that was never seen has chance 0,
# and the surprise at it has no end. Write the guess for any `a` in place of 0.01.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(guess):
    p = guess(pairs, 0.5)
    assert p is not None, "guess returns None: add a to every count, then divide each row by its sum."
    assert np.shape(p) == (V, V) and np.allclose(np.sum(p, 1), 1), "every row should sum to 1: divide by .sum(1, keepdims=True) after adding a."
    assert np.allclose(p, (pairs + 0.5) / (pairs + 0.5).sum(1, keepdims=True)), "add the same a to every count before you divide."
    with np.errstate(divide="ignore"):
        cost = lambda a: -np.log(guess(pairs, a)[unseen[:-1], unseen[1:]]).mean()
        return "  ".join(f"a = {a}: {cost(a):.3f}" for a in (0.001, 0.1, 10, 1000)) + "   doubt everything, and you know nothing."

# %% tags=["exercise"]
def guess(counts, a):
    """(V, V) counts -> (V, V) chances, every row a guess"""
    return None

check(guess)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def guess(counts, a):
#     """(V, V) counts -> (V, V) chances, every row a guess"""
#     return (counts + a) / (counts + a).sum(1, keepdims=True)
#
# check(guess)
# ```
#
# </details>

# %% [markdown]
# **Next:** [2 · A layer and its backward](02_a_layer_and_its_backward.ipynb), in which a guess is computed, and learns.
