# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2 · A layer and its backward
#
# *If a guess was wrong, which of ten thousand numbers is to blame, and by how much?*
#
# In lesson 1 a guess was looked up in a table of counts. From now on it is computed: the characters in view become numbers, the numbers go
# through a few **layers**, and out come chances. A layer holds **weights**, and learning means moving the weights so that the loss falls. For
# that we need the loss's slope in every weight: its **gradient**. In this lesson you compute one by hand, and then let it teach a model.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import arrays
from littlebaby import text as texts
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.show.tour import exercise, picture

rng = np.random.default_rng(0)

# %% [markdown]
# ## One layer
# The simplest one: every output is a weighted sum of all inputs, $y = x w$. In the library it is a function that returns **two** things:
# what it computes, and a function that goes the same way backward. That shape is all there is; every piece of the GPT has it.

# %%
x = rng.standard_normal((4, 3))                          # (N, I) four rows of three numbers
w = rng.standard_normal((3, 2))                          # (I, O)
y, back = arrays.linear(x, w)                            # (N, O)
print("y = x w to", f"{abs(y - x @ w).max():.0e}")

# %% [markdown]
# `back` answers this question: *if the loss changes by `dy` for a small change of `y`, by how much does it change for a small change of `x`,
# and of `w`?* Let us derive it. With $y_{no} = \sum_i x_{ni} w_{io}$, moving $w_{io}$ by a little moves $y_{no}$ by $x_{ni}$ times as much,
# in every row $n$. So the loss moves by the sum of all those moves:
#
# $$dw_{io} = \sum_n x_{ni}\, dy_{no} \qquad\qquad dx_{ni} = \sum_o dy_{no}\, w_{io}$$
#
# Two loops, or two products of matrices:

# %%
dy = rng.standard_normal(y.shape)

dw = np.zeros_like(w)
dx = np.zeros_like(x)
for n in range(4):
    for i in range(3):
        for o in range(2):
            dw[i, o] += x[n, i] * dy[n, o]
            dx[n, i] += dy[n, o] * w[i, o]

theirs = back(dy)
print(f"loops and products   dw {abs(dw - x.T @ dy).max():.0e}   dx {abs(dx - dy @ w.T).max():.0e}")
print(f"loops and library    dw {abs(dw - theirs[1]).max():.0e}   dx {abs(dx - theirs[0]).max():.0e}")

# %% [markdown]
# A help for the memory: a gradient has the shape of what it is the gradient of, and there is only one way to multiply the two things at hand
# into that shape. And notice the `+=`: what is used several times collects the blame of every use.
#
# ## A chain
# A model is layers on top of each other. Its backward is the same layers, asked in the opposite order: each hands the one below it what
# *its* output is to blame for. Here is a whole language model with three characters in view:

# %%
def forward(p, ids, targets):
    """ids (N, 3), targets (N) -> loss, backward; backward() -> {name: gradient}"""
    e, back_e = arrays.embedding(ids, p["token"])                        # (N, 3) -> (N, 3, 12)
    u, back_u = arrays.linear(e.reshape(len(e), -1), p["up"])            # (N, 36) -> (N, 64)
    a, back_a = arrays.gelu(u)
    z, back_z = arrays.linear(a, p["head"], p["bias"])                   # (N, 64) -> (N, V)
    loss, back_loss = arrays.cross_entropy(z, targets)

    def backward():
        da, dhead, dbias = back_z(back_loss())
        de, dup, _ = back_u(back_a(da))                    # _: the gradient of a bias that is not there
        dtoken = back_e(de.reshape(e.shape))
        return dict(token=dtoken, up=dup, head=dhead, bias=dbias)

    return loss, backward

# %% [markdown]
# Read `backward` from top to bottom, and `forward` from bottom to top: it is the same story. The bend in the middle (`gelu`) is what makes two
# layers more than one: without it, $x\,w_1 w_2$ is just another $x\,w$.
#
# And where does it all begin? With the loss, whose own backward is wonderfully simple: **the chances that were said, minus the truth**.

# %%
z = rng.standard_normal((1, 5))
target = np.array([2])
said = np.exp(z) / np.exp(z).sum()
_, back = arrays.cross_entropy(z.copy(), target)
print("chances said   ", said.round(3)[0])
print("minus the truth", (said - np.eye(5)[target]).round(3)[0])
print("cross_entropy  ", back().round(3)[0])

# %% [markdown]
# ## Let it learn
# Draw weights at random; then, again and again: some text, the loss, the gradient, and a small step *against* it.

# %%
from littlebaby.text import nursery

story, _ = nursery.corpus(120_000, seed=1)
tokenizer = texts.train("char", story)
ids, V = tokenizer.encode(story), tokenizer.size
seen, unseen = ids[:100_000], ids[100_000:]

def cases(ids):
    """Every three characters, and the one that comes next: (N, 3), (N)"""
    return np.stack([ids[:-3], ids[1:-2], ids[2:-1]], 1), ids[3:]

def born(seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda i, o: rng.standard_normal((i, o)) * i ** -0.5
    return dict(token=0.1 * rng.standard_normal((V, 12)), up=draw(36, 64), head=0.1 * draw(64, V), bias=np.zeros(V))

# %%
def learn(p, steps=2500, rate=3.0, rows=128):
    """Steps down the slope; the loss of every step"""
    rng, (xs, ys), losses = np.random.default_rng(1), cases(seen), []
    for step in range(steps):
        some = rng.integers(len(xs), size=rows)
        loss, backward = forward(p, xs[some], ys[some])
        for name, gradient in backward().items():
            p[name] -= rate * (1 - step / steps) * gradient
        losses.append(loss)
    return losses

p = born()
losses = learn(p)
new, _ = forward(p, *cases(unseen))
print(f"loss at first {losses[0]:.3f} (no idea: {np.log(V):.3f}), in the end {np.mean(losses[-100:]):.3f}, on new text {new:.3f}")

# %% [markdown]
# How good is that? Lesson 1's tables are the yardstick: count what follows one character, and what follows three.

# %%
def counted(k, a=0.05):
    """The loss on new text of counting what follows k characters, with a added to every count"""
    key = lambda ids: sum(ids[i:len(ids) - k + i].astype(int) * V ** i for i in range(k))
    table = np.zeros((V ** k, V), np.float32) + a
    np.add.at(table, (key(seen), seen[k:]), 1)
    rows = table[key(unseen)]
    return -np.log(rows[np.arange(len(rows)), unseen[k:]] / rows.sum(1)).mean()

axes = picture("loss in nats per character, by step", height=3.6)
axes.plot(losses, color=TRAIN, lw=0.5, alpha=0.35)
axes.plot(running(losses), color=TRAIN, lw=1.6)
for k, name in ((1, "a table of what follows 1"), (2, "a table of what follows 2"), (3, "a table of what follows 3")):
    axes.axhline(counted(k), color=GRAY, lw=1, ls=(0, (6, 3)))
    axes.annotate(name, (len(losses), counted(k)), (6, 0), textcoords="offset points", color=GRAY, va="center")
axes.set_xlim(0, len(losses))
axes.set_ylim(0.5)
weights = sum(w.size for w in p.values())
print(f"{weights:,} weights reach {new:.3f}; a table of three has {V ** 3 * V:,} places and reaches {counted(3):.3f}")

# %% [markdown]
# A thousandth of the numbers, and not far away. The table learns each group by itself; the weights are *shared* by all of them, and what
# helps after `red d` helps after `bed d`. What is shared can be seen: here are the characters, each at the place that the model gave it.

# %%
often = [i for i in range(V) if (seen == i).mean() > 0.004]
token = p["token"][often] - p["token"][often].mean(0)
_, _, axis = np.linalg.svd(token, full_matrices=False)
places = token @ axis[:2].T                              # (n, 12) -> (n, 2): the two directions in which they differ most

axes = picture("the characters as the model sees them: names begin blue, red are vowels", height=4)
axes.grid(False)
for place, i in zip(places, often):
    c = tokenizer.tokens()[i]
    kind = VALID if c in "aeiou" else INK if c.islower() else TRAIN if c.isupper() else FLOOR
    axes.text(*place, {" ": "␣", "\n": "⏎"}.get(c, c), color=kind, fontsize=11, ha="center", va="center")
axes.set_xlim(places[:, 0].min() - 0.3, places[:, 0].max() + 0.3)
axes.set_ylim(places[:, 1].min() - 0.3, places[:, 1].max() + 0.3);

# %% [markdown]
# They all began in one heap at the middle. See where the capitals that begin names have gone, and who keeps the full stop company. Nobody
# told the model what a name or a sentence is; it only had to guess.
#
# ## Try it
# ### 1. A bend of your own
# *softplus* is a smooth corner: $y = \ln(1 + e^x)$. Give it its backward. (Its slope at $x$ is $1 / (1 + e^{-x})$.)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(softplus):
    x, dy, h = np.linspace(-3, 3, 7), np.arange(1.0, 8), 1e-5
    y, back = softplus(x)
    dx = back(dy)
    assert dx is not None, "back returns None: return dy times the slope at x."
    slope = (softplus(x + h)[0] - softplus(x - h)[0]) / (2 * h)
    assert not np.allclose(dx, slope), "that is the slope itself; the blame dy from above multiplies it."
    assert np.allclose(dx, dy * slope), f"at x = 3 the slope is {slope[-1]:.4f}, and with dy = 7 yours gives {dx[-1]:.4f}."
    return f"your back agrees with the slopes to {abs(dx - dy * slope).max():.0e}; how to be this sure of any backward is lesson 3."

# %% tags=["exercise"]
def softplus(x):
    y = np.log1p(np.exp(x))

    def back(dy):
        return None

    return y, back

check(softplus)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def softplus(x):
#     y = np.log1p(np.exp(x))
#
#     def back(dy):
#         return dy / (1 + np.exp(-x))
#
#     return y, back
#
# check(softplus)
# ```
#
# </details>

# %% [markdown]
# ### 2. Used twice
# A layer that is added to its own input: $y = x + x w$. Here `x` is used twice. Write its backward with the help of `back_f`. (Every block of
# a GPT is built this way; lesson 5.)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(residual):
    x, w, dy = rng.standard_normal((4, 3)), rng.standard_normal((3, 3)), rng.standard_normal((4, 3))
    answer = residual(x, w)[1](dy)
    assert answer is not None, "back returns None: return dx and dw, in this order."
    dx, dw, *_ = answer
    assert np.allclose(dw, x.T @ dy), "dw is what linear's own back says: the path around the layer has no weights."
    assert not np.allclose(dx, dy @ w.T), "dx lacks a path: y changes with x directly, too."
    assert np.allclose(dx, dy + dy @ w.T), "the blame of both paths adds up: dy straight through, and what comes back through w."
    return "two paths forward, two paths backward, one sum: this is the += that you will see in every layer."

# %% tags=["exercise"]
def residual(x, w):
    f, back_f = arrays.linear(x, w)

    def back(dy):
        return None

    return x + f, back

check(residual)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def residual(x, w):
#     f, back_f = arrays.linear(x, w)
#
#     def back(dy):
#         dx, dw, _ = back_f(dy)
#         return dx + dy, dw
#
#     return x + f, back
#
# check(residual)
# ```
#
# </details>

# %% [markdown]
# ### 3. How large a step?
# `learn(born(), steps=300, rate=...)` gives the losses of a short training. Find a rate that ends, over the last 50 steps, below 1.5 on
# average: try a few powers of ten, and then what lies between the best two.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(rate):
    assert rate is not None, "put a number in place of None, such as 0.1, and see where 300 steps come with it."
    with np.errstate(all="ignore"):
        end = np.mean(learn(born(), steps=300, rate=rate)[-50:])
    assert np.isfinite(end) and end < 4, f"with {rate} the loss explodes: every step overshoots the valley it aims at."
    assert end < 1.5, f"with {rate} the last 50 steps come to {end:.3f}; that is not below 1.5 yet."
    return f"{end:.3f} with {rate}: the learning rate is the one setting that you should always try first."

# %% tags=["exercise"]
rate = None

check(rate)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# rate = 4
#
# check(rate)
# ```
#
# </details>

# %% [markdown]
# **Next:** [3 · Check a gradient](03_check_a_gradient.ipynb): a wrong backward often learns all the same. How does one catch it?
