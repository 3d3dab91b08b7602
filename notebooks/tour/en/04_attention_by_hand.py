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
# Lesson 2's model had three characters in view, each in a fixed place. To use what was said a hundred characters ago, every character must be
# able to **look for** what it needs, wherever that stands. Attention is exactly this, and it is five lines long. We write them with loops, make
# them find something, and then compare with the library.

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
# ## Question, key, value
# Every token $t$ comes with three vectors: a **question** $q_t$ (what am I looking for?), a **key** $k_t$ (what am I?), and a **value** $v_t$
# (what do I have to say?). It compares its question with the keys of all tokens up to itself, and takes a mixture of their values:
#
# $$s_{tj} = \frac{q_t \cdot k_j}{\sqrt d} \qquad a_{tj} = \frac{e^{s_{tj}}}{\sum_{i \le t} e^{s_{ti}}} \qquad o_t = \sum_{j \le t} a_{tj}\, v_j$$

# %%
def by_hand(q, k, v):
    """(T, d), (T, d), (T, d) -> what every token takes home (T, d), and who looked at whom (T, T)"""
    T, d = q.shape
    a, o = np.zeros((T, T)), np.zeros_like(v)
    for t in range(T):
        s = np.array([q[t] @ k[j] for j in range(t + 1)]) / np.sqrt(d)     # no token later than t is asked
        e = np.exp(s - s.max())
        a[t, :t + 1] = e / e.sum()
        for j in range(t + 1):
            o[t] += a[t, j] * v[j]
    return o, a

T, d = 6, 4
q, k, v = rng.standard_normal((3, T, d))
o, a = by_hand(q, k, v)
theirs, back = arrays.attention(q[None, None], k[None, None], v[None, None], d ** -0.5)      # (B, h, T, d), one text and one head
print(a.round(2))
print(f"by hand and library: {abs(o - theirs[0, 0]).max():.0e} apart")

# %% [markdown]
# Each row sums to 1, and above the diagonal there are zeros: nobody sees the future. That is not modesty. In training every token's guess is
# judged at once, and whoever could see the next token would have nothing left to learn.
#
# ## Make it find something
# Nothing is learned so far; let us *write* questions and keys, so that attention solves the riddle at the top. A token's key shall say which
# character stood **before** it, and its question ask for **itself**: "who came after somebody like me?" The value is the token's own character.

# %%
text = "Zoe hid a mask. At night Z"
names = sorted(set(text))
one_hot = np.eye(len(names))[[names.index(c) for c in text]]          # (T, V)

question = one_hot                                                     # I am a Z
key = np.vstack([np.zeros(len(names)), one_hot[:-1]])                  # before me stood a ...
value = one_hot                                                        # and I am a ...
_, looks = by_hand(10 * question, 10 * key, value)

axes = picture("who looks at whom", height=5)
squares(axes, looks, "each row a character that looks, each column one that is looked at")
axes.set_xticks(range(len(text)), list(text.replace(" ", "␣")), fontsize=8)
axes.set_yticks(range(len(text)), list(text.replace(" ", "␣")), fontsize=8)

chances = looks[-1] @ value
print({c.replace(" ", "␣"): round(float(p), 3) for c, p in sorted(zip(names, chances), key=lambda each: -each[1])[:3]})

# %% [markdown]
# The last row looks at one place only, the `o` after the first `Z`, and so it guesses `o`. (Rows that find nobody like themselves look at all
# alike; a space looks at everyone that followed a space.) Give it any name and it will repeat it, even one
# that it has never met: this is no table. Trained models discover this very trick, in two layers (one makes "before me stood a …" known, the
# other asks); it is called an *induction head*.
#
# ## Why divide by √d?
# A sum of $d$ products of random numbers grows like $\sqrt d$. Large scores make a softmax decide for a single token, and where it has
# decided, its slope is nearly zero: nothing can be learned any more.

# %%
rows = []
for d in (4, 16, 64, 256, 1024):
    q, k = rng.standard_normal((2, 300, 32, d))
    s = (q[:, :1] * k).sum(-1)                                         # (300, 32): one question and 32 keys, 300 times
    for scale in (1, d ** -0.5):
        y, back_y = arrays.softmax(s * scale)
        slope = abs(back_y(rng.standard_normal(y.shape))).mean()
        rows.append((d, scale, s.std() * scale, y.max(-1).mean(), slope))
print("          as they are                        divided by √d")
print("   d      scores   largest weight   slope    scores   largest weight   slope")
for (d, *plain), (_, *scaled) in zip(rows[::2], rows[1::2]):
    print(f"{d:4}   ", *(f"{score:7.1f} {weight:16.2f} {slope:9.4f} " for _, score, weight, slope in (plain, scaled)))

# %% [markdown]
# ## The way back
# Attention is three steps: scores, softmax, mixture. So its backward is three steps, the other way round. You know them all: products from
# lesson 2, softmax from the exercise in lesson 3.

# %%
def attention(q, k, v):
    """(T, d) each -> o (T, d), back(do) -> dq, dk, dv"""
    T, d = q.shape
    s = q @ k.T / np.sqrt(d)                                           # (T, T)
    s[~np.tri(T, dtype=bool)] = -np.inf
    a, back_a = arrays.softmax(s)
    o = a @ v                                                          # (T, d)

    def back(do):
        da = do @ v.T                                                  # what a weight was worth: its value, asked by the blame
        dv = a.T @ do                                                  # a value is to blame wherever it was looked at
        ds = back_a(da) / np.sqrt(d)
        return ds @ k, ds.T @ q, dv

    return o, back

T, d = 6, 4
q, k, v, do = rng.standard_normal((4, T, d))
_, mine = attention(q, k, v)
_, theirs = arrays.attention(q[None, None], k[None, None], v[None, None], d ** -0.5)
for name, a, b, x in zip("qkv", mine(do), theirs(do[None, None]), (q, k, v)):
    slopes = differences(lambda: (attention(q, k, v)[0] * do).sum(), x)
    print(f"d{name}   from the library {abs(a - b[0, 0]).max():.0e}   from the slopes {abs(a - slopes).max():.0e}")

# %% [markdown]
# ## Heads
# One mixture is one answer, but a token may want to know several things: who is speaking, what colour the door was. So the width is cut into
# **heads**, and each head asks a question of its own. The library's variant `mha` is the attention above, with the weights that make questions,
# keys and values out of a token, and `split_heads` and `merge_heads` around it. Here is its file, walked through line by line on two tiny texts: on
# the left the way forth, with the numbers that each line computed; on the right the way back. You can read all of it now.

# %%
lb.walk("mha")

# %% [markdown]
# ## Try it
# ### 1. Look at your neighbour
# Write questions and keys, $(T, T)$, so that every token looks at the token just **before** it (the first, which has none, at itself). Use
# positions: row $t$ of `np.eye(T)` says "I stand at $t$". Large numbers make attention sure.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(neighbour):
    answer = neighbour(8)
    assert answer is not None, "neighbour returns None: return the questions and the keys, each an array of shape (T, T)."
    q, k = answer
    assert np.shape(q) == np.shape(k) == (8, 8), f"both should have shape (8, 8) for T = 8; they have {np.shape(q)} and {np.shape(k)}."
    _, a = by_hand(np.asarray(q, float), np.asarray(k, float), np.eye(8))
    right = a[np.arange(1, 8), np.arange(7)]
    assert right.min() > 0.5, f"token {right.argmin() + 1} gives its neighbour only {right.min():.2f}: what must its question ask, what must the key at t - 1 say?"
    assert right.min() > 0.99, f"the right ones are found, but with {right.min():.2f} only: multiply questions or keys by a large number."
    return f"every token is at least {right.min():.4f} sure of its neighbour: half of an induction head is yours."

# %% tags=["exercise"]
def neighbour(T):
    """Questions (T, T) and keys (T, T)"""
    return None

check(neighbour)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def neighbour(T):
#     """Questions (T, T) and keys (T, T)"""
#     keys = np.eye(T)                             # I stand at t
#     questions = 50 * np.eye(T)[np.maximum(np.arange(T) - 1, 0)]      # I look for the one at t - 1
#     return questions, keys
#
# check(neighbour)
# ```
#
# </details>

# %% [markdown]
# ### 2. Is the future safe?
# Write a test that finds out whether an attention peeks: change the last token's key and value, and see whether any **earlier** output moves.
# It is given a function `(q, k, v) -> o` and returns True if it peeks.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
def blind(q, k, v):
    return attention(q, k, v)[0]

def peeking(q, k, v):
    a, _ = arrays.softmax(q @ k.T / np.sqrt(q.shape[1]))
    return a @ v

def sly(q, k, v):
    """Not one key of the future is looked at; but the scores are divided by the largest of all"""
    s = q @ k.T
    s = s / abs(s).max()
    s[~np.tri(len(q), dtype=bool)] = -np.inf
    return arrays.softmax(s)[0] @ v

@exercise
def check(peeks):
    first = peeks(blind)
    assert first is not None, "peeks returns None: call it twice, with another last key and value, and compare all outputs but the last."
    assert not first, "an honest attention is accused: leave out the last output, which may change, and compare the others."
    assert peeks(peeking), "an attention without any mask goes unnoticed: are both the last key and the last value changed?"
    assert peeks(sly), "the sly one goes unnoticed: it reads only keys of the future, and only the largest score, so change the last key by a lot."
    return "honest, peeking and sly, all told apart. The sly one is real: a maximum over the whole sequence is how such leaks are born."

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
# Swap two tokens of the past, key and value together. What happens to the last output? Predict first; then measure `moved`, the largest change
# of `by_hand(q, k, v)[0][-1]` when tokens 1 and 3 change places in `k` and in `v`.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(moved):
    assert moved is not None, "put a number in place of None: the largest change of the last output when tokens 1 and 3 change places."
    assert 0 <= moved < 1e-12, f"you measured {moved:.2g}: swap the rows 1 and 3 of k and of v alike, leave q as it is, compare the last output."
    return f"{moved:.0e}: to attention the past is a bag, not a row. That is why models need positions (rope, learned, alibi); lesson 5 adds them."

# %% tags=["exercise"]
moved = None

check(moved)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# places = [0, 3, 2, 1, 4, 5]
# moved = abs(by_hand(q, k, v)[0][-1] - by_hand(q, k[places], v[places])[0][-1]).max()
#
# check(moved)
# ```
#
# </details>

# %% [markdown]
# **Next:** [5 · A block](05_a_block.ipynb): attention finds, a network thinks, and a stream carries both.
