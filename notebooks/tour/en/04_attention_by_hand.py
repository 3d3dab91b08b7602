# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · Attention by hand
#
# *`Zoe hid a mask. At night Z…`: how can the model know that `oe` comes next?*
#
# The model of lesson 2 had a context of three characters, each in a fixed place. To use what came a hundred characters earlier, every
# token must be able to *search* the whole context for what it needs, wherever that is. This is what **attention** does, and its formula has
# three lines. We write it with loops, make it find something, and compare it with the library.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import arrays
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID
from littlebaby.check.laws import differences
from littlebaby.show.variant_pictures import squares
from littlebaby.show.tour import exercise, picture

rng = np.random.default_rng(0)

# %% [markdown]
# ## Query, key, value
# Think of a library: you come with a question, compare it with the titles on the backs of all books, and read most in the books whose titles
# fit best. In attention every token $t$ has three vectors: a **query** $q_t$ (what am I looking for?), a **key** $k_t$ (how can I be found?),
# and a **value** $v_t$ (what do I contribute?). The token compares its query with the keys of all tokens up to itself. Each comparison gives
# a **score** $s_{tj}$, a dot product; a softmax turns the scores into **attention weights** $a_{tj}$, and the output $o_t$ is the mean of the
# values with these weights:
#
# $$s_{tj} = \frac{q_t \cdot k_j}{\sqrt d} \qquad a_{tj} = \frac{e^{s_{tj}}}{\sum_{i \le t} e^{s_{ti}}} \qquad o_t = \sum_{j \le t} a_{tj}\, v_j$$

# %%
def by_hand(q, k, v):
    """queries, keys, values (T, d) -> output (T, d), attention weights (T, T)"""
    T, d = q.shape
    a, o = np.zeros((T, T)), np.zeros_like(v)
    for t in range(T):
        s = np.array([q[t] @ k[j] for j in range(t + 1)]) / np.sqrt(d)     # only tokens up to t
        e = np.exp(s - s.max())
        a[t, :t + 1] = e / e.sum()
        for j in range(t + 1):
            o[t] += a[t, j] * v[j]
    return o, a

T, d = 6, 4
q, k, v = rng.standard_normal((3, T, d))
o, a = by_hand(q, k, v)
library_o, _ = arrays.attention(q[None, None], k[None, None], v[None, None], d ** -0.5)      # (B, h, T, d): one text, one head
print(a.round(2))
print(f"largest difference between loops and library: {abs(o - library_o[0, 0]).max():.0e}")

# %% [markdown]
# These are the attention weights. Each row sums to 1, and above the diagonal there are zeros: no token can use a later one. This is called
# a **causal mask**. It is needed because in training all tokens of a text are predicted at once; a token that could see the next one would
# only have to copy it.
#
# ## Make it find something
# Nothing is trained so far. Let us *choose* queries and keys by hand, so that attention solves the riddle at the top. The key of a token
# says which character came *before* it, and its query says which character it *is* itself: together they search for tokens that came
# after the same character. The value of a token is its own character.

# %%
text = "Zoe hid a mask. At night Z"
characters = sorted(set(text))
one_hot = np.eye(len(characters))[[characters.index(c) for c in text]]      # (T, V)

query = one_hot                                                        # "I am a Z"
key = np.vstack([np.zeros(len(characters)), one_hot[:-1]])             # "before me came a Z"
value = one_hot                                                        # "I am an o"

from littlebaby.show.tour_pictures import attention_picture

soft_output, soft_weights = by_hand(4 * query, 4 * key, value)
scores = (4 * key) @ (4 * query[-1]) / np.sqrt(len(characters))
attention_picture(("1. scores: the last query, that of Z, times the key of every token", "2. attention weights: the softmax of the scores",
                   "3. values, one-hot vectors: darker with a larger weight", "output"),
                  text, scores, soft_weights[-1], characters, value, soft_output[-1])

# %% [markdown]
# These are the three lines of the formula for the last token, `Z`. Only one key fits its query: that of the `o`, before which came a `Z`. So the
# `o` has a high score, and the softmax gives it most of the weight. The output is the mean of all values with these weights: much `o`, and a
# little of everything else. With larger queries and keys hardly anything else remains. Here are the weights of *all* tokens, with factor
# 10 in place of 4:

# %%
output, weights = by_hand(10 * query, 10 * key, value)

axes = picture("attention weights", height=5)
squares(axes, weights, "attention weights: a row for each query, a column for each key")
axes.set_xticks(range(len(text)), list(text.replace(" ", "␣")), fontsize=8)
axes.set_yticks(range(len(text)), list(text.replace(" ", "␣")), fontsize=8)

print("output of the last token:", {c.replace(" ", "␣"): round(float(p), 3)
                                    for c, p in sorted(zip(characters, output[-1]), key=lambda each: -each[1])[:3]})

# %% [markdown]
# The last row, that of the second `Z`, has all its weight at one place, the `o` after the first `Z`. So the output is `o`, and that is the
# prediction. (Where no earlier token matches, the weights of a row are equal; the weights of a space are divided among all tokens that
# came after a space.) With any other name it would do the same, even with one that never occurred in training: nothing is looked up in a
# table. Trained models find this trick by themselves, with two attention layers: the first gives every token the information which character came
# before it, the second searches. This is called an **induction head**.
#
# ## Why divide by √d?
# A sum of $d$ products of random numbers (with mean 0 and variance 1) has a standard deviation of $\sqrt d$. With large scores the softmax
# gives nearly all weight to one token, and then its gradient is nearly zero: the scores can hardly be learned any more.

# %%
rows = []
for d in (4, 16, 64, 256, 1024):
    q, k = rng.standard_normal((2, 300, 32, d))
    s = (q[:, :1] * k).sum(-1)                                         # (300, 32): one query and 32 keys, 300 times
    for scale in (1, d ** -0.5):
        y, back_y = arrays.softmax(s * scale)
        gradient = abs(back_y(rng.standard_normal(y.shape))).mean()
        rows.append((d, scale, s.std() * scale, y.max(-1).mean(), gradient))
print("          scores as they are                   scores divided by √d")
print("   d      scores   largest weight  gradient    scores   largest weight  gradient")
for (d, *plain), (_, *scaled) in zip(rows[::2], rows[1::2]):
    print(f"{d:4}   ", *(f"{score:7.1f} {weight:16.2f} {gradient:9.4f}  " for _, score, weight, gradient in (plain, scaled)))

# %% [markdown]
# The table shows the standard deviation of the scores, and the means of the largest weight and of the absolute gradient. Without the
# division the gradient shrinks as $d$ grows; with it nothing changes.
#
# ## The backward pass
# Attention has three steps: scores, softmax, weighted sum. So its backward pass has three steps in reverse order. You know them all: matrix
# products from lesson 2, the softmax from exercise 2 of lesson 3.

# %%
def attention(q, k, v):
    """(T, d) each -> o (T, d), back(do) -> dq, dk, dv"""
    T, d = q.shape
    s = q @ k.T / np.sqrt(d)                                           # (T, T)
    s[~np.tri(T, dtype=bool)] = -np.inf
    a, back_a = arrays.softmax(s)
    o = a @ v                                                          # (T, d)

    def back(do):
        da = do @ v.T                                                  # o = a v, so da and dv are as in lesson 2
        dv = a.T @ do
        ds = back_a(da) / np.sqrt(d)
        return ds @ k, ds.T @ q, dv                                    # s = q kᵀ, so dq = ds k and dk = dsᵀ q

    return o, back

T, d = 6, 4
q, k, v, do = rng.standard_normal((4, T, d))
_, back = attention(q, k, v)
_, library_back = arrays.attention(q[None, None], k[None, None], v[None, None], d ** -0.5)
print("largest difference     from the library   from finite differences")
for name, mine, library, x in zip("qkv", back(do), library_back(do[None, None]), (q, k, v)):
    slopes = differences(lambda: (attention(q, k, v)[0] * do).sum(), x)
    print(f"d{name} {abs(mine - library[0, 0]).max():33.0e} {abs(mine - slopes).max():22.0e}")

# %% [markdown]
# ## Heads
# One weighted sum answers one query, but a token may need several things: who is speaking, what colour the door was. So the width is
# divided among several **heads**, each with its own queries, keys and values, like several readers who go through the same text with different
# questions. This is **multi-head attention**. The library's variant `mha` is the attention above, with the weight matrices that compute queries, keys and values from a token, and with `split_heads` and `merge_heads`
# around it. The next cell shows its file line by line, run on two tiny texts: on the left the forward pass, with the numbers that each
# line computed; on the right the backward pass. You can read all of it now.

# %%
lb.walk("mha")

# %% [markdown]
# ## Try it
# ### 1. The neighbour
# Write queries and keys, each of shape $(T, T)$, with which every token gives nearly all its weight to the token just *before* it, and
# the first token, which has none before it, to itself. Use positions: row $t$ of `np.eye(T)` is a one-hot vector for position $t$. Large
# numbers bring a weight near 1.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=4, number=1)
def check(neighbour):
    answer = neighbour(8)
    assert answer is not None, "neighbour returns None: return the queries and the keys, each an array of shape (T, T)."
    assert len(answer) == 2, "return two arrays, the queries and the keys."
    q, k = (np.asarray(each, float) for each in answer)
    assert q.shape == k.shape == (8, 8), f"both should have shape (8, 8) for T = 8; they have {q.shape} and {k.shape}."
    _, a = by_hand(q, k, np.eye(8))
    goal, found = np.maximum(np.arange(8) - 1, 0), a.argmax(1)
    assert list(found) != list(range(8)), "every token finds itself: query t should equal the key of token t - 1, not its own key."
    flat = next((t for t in range(1, 8) if np.ptp(a[t, :t + 1]) < 1e-6), None)
    assert flat is None, f"all weights of token {flat} are equal, since no key up to its own fits its query: it should look for token {flat and flat - 1}."
    wrong = int(np.argmax(found != goal))
    assert found[wrong] == goal[wrong], f"token {wrong} finds token {found[wrong]}: its query should equal the key of token {goal[wrong]}."
    right = a[np.arange(8), goal]
    assert right.min() > 0.99, f"the idea is right, every token finds its neighbour, but with a weight of {right.min():.2f}: multiply the queries by 50."
    return f"every token gives its neighbour a weight of at least {right.min():.4f}: half of an induction head is yours."

# %% tags=["exercise"]
def neighbour(T):
    """-> queries (T, T), keys (T, T)"""
    return None

check(neighbour)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def neighbour(T):
#     """-> queries (T, T), keys (T, T)"""
#     keys = np.eye(T)                                                 # "I am at t"
#     queries = 50 * np.eye(T)[np.maximum(np.arange(T) - 1, 0)]        # "I look for position t - 1"
#     return queries, keys
#
# check(neighbour)
# ```
#
# </details>

# %% [markdown]
# ### 2. Is it causal?
# Write a test that finds out whether an attention uses later tokens: change the key and the value of the last token, and see whether any
# *earlier* output changes. Your function gets an attention `(q, k, v) -> o`, and returns True if it uses later tokens ("peeks").

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
def causal(q, k, v):
    return attention(q, k, v)[0]

def unmasked(q, k, v):
    a, _ = arrays.softmax(q @ k.T / np.sqrt(q.shape[1]))
    return a @ v

def sly(q, k, v):
    """Masked, but all scores are divided by the largest one, which may be a later token's"""
    s = q @ k.T
    s = s / abs(s).max()
    s[~np.tri(len(q), dtype=bool)] = -np.inf
    return arrays.softmax(s)[0] @ v

@exercise(lesson=4, number=2)
def check(peeks):
    first = peeks(causal)
    assert first is not None, "peeks returns None: call attend again with another last key and value, and compare all outputs but the last."
    assert not first or peeks(unmasked), "the answer is upside down: it should be True if an earlier output changes."
    assert not first, "it returns True for a causal attention: leave out the last output, which may change, and compare the others."
    assert peeks(unmasked), "it returns False for an attention without a mask: change both the last key and the last value."
    assert peeks(sly), "it returns False for an attention that uses the largest of all scores: change the last key by a large factor."
    return "right for all three. The sly one is a real bug: a maximum over the whole sequence is how a model comes to use later tokens."

# %% tags=["exercise"]
def peeks(attend):
    """Does attend(q, k, v) -> o (T, d) let an earlier token see the last one?"""
    q, k, v = np.random.default_rng(0).standard_normal((3, 6, 4))
    return None

check(peeks)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def peeks(attend):
#     """Does attend(q, k, v) -> o (T, d) let an earlier token see the last one?"""
#     q, k, v = np.random.default_rng(0).standard_normal((3, 6, 4))
#     before = attend(q, k, v)[:-1]
#     k, v = k.copy(), v.copy()
#     k[-1] *= 100
#     v[-1] += 1
#     return not np.array_equal(before, attend(q, k, v)[:-1])
#
# check(peeks)
# ```
#
# </details>

# %% [markdown]
# ### 3. Does order matter?
# Exchange two earlier tokens, key and value together. What happens to the last output? Predict first; then measure `change`, the largest
# change of an element of `by_hand(q, k, v)[0][-1]` when tokens 1 and 3 are exchanged in `k` and in `v`.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=4, number=3)
def check(change):
    assert change is not None, "put a number in place of None: the largest change of the last output when tokens 1 and 3 are exchanged."
    assert 0 <= change < 1e-12, f"you measured {change:.2g}: exchange rows 1 and 3 of k and of v, but not of q, and compare the last output."
    return f"{change:.0e}: attention alone does not know the order of the tokens. That is why models need positions, which lesson 5 adds."

# %% tags=["exercise"]
change = None

check(change)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# places = [0, 3, 2, 1, 4, 5]
# change = abs(by_hand(q, k, v)[0][-1] - by_hand(q, k[places], v[places])[0][-1]).max()
#
# check(change)
# ```
#
# </details>

# %% [markdown]
# **Next:** [5 · A block](05_a_block.ipynb), in which attention and a network are joined into the part that a GPT repeats.
