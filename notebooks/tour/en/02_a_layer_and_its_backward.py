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
# *If a prediction was wrong, which of ten thousand weights caused the error, and by how much?*
#
# In lesson 1 a prediction was looked up in a table of counts. From now on it is computed: the characters of the context become numbers,
# the numbers pass through a few functions, and the result is a logit for every token. Such a function is called a **layer**. It has numbers
# of its own, its **weights** (also called *parameters*), like the knobs of a mixing desk. **Training** means turning the knobs so that the
# loss falls. For that we need the derivative of the loss with respect to every weight, the **gradient**: it says in which direction to turn
# each knob, and how much that helps. In this lesson you compute a gradient by hand, and then train a model with it.

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
# In the simplest layer every output is a weighted sum of all inputs, $y = x w$. It is called a **linear layer**. In the library a layer is a
# function that returns *two* things: its output, and a function `back` that computes gradients. Every part of the GPT has this form.

# %%
x = rng.standard_normal((4, 3))                          # (N, I): N = 4 rows, I = 3 inputs, O = 2 outputs
w = rng.standard_normal((3, 2))                          # (I, O)
y, back = arrays.linear(x, w)                            # (N, O)
print(f"largest difference between y and x w: {abs(y - x @ w).max():.0e}")

# %% [markdown]
# `back` answers this question: *given `dy`, the gradient of the loss with respect to `y`, what are the gradients `dx` and `dw` with
# respect to `x` and `w`?* Let us derive them. Since $y_{no} = \sum_i x_{ni} w_{io}$, changing $w_{io}$ by a small amount changes $y_{no}$
# by $x_{ni}$ times that amount, in every row $n$. The change of the loss is the sum over all rows; for $x$ it is the sum over all outputs:
#
# $$dw_{io} = \sum_n x_{ni}\, dy_{no} \qquad\qquad dx_{ni} = \sum_o dy_{no}\, w_{io}$$
#
# These sums can be computed with loops, or with two matrix products:

# %%
dy = rng.standard_normal(y.shape)

dw = np.zeros_like(w)
dx = np.zeros_like(x)
for n in range(4):
    for i in range(3):
        for o in range(2):
            dw[i, o] += x[n, i] * dy[n, o]
            dx[n, i] += dy[n, o] * w[i, o]

library_dx, library_dw, _ = back(dy)                     # the third one is the gradient of a bias; this layer has none
print("largest difference")
print(f"between loops and matrix products   dw {abs(dw - x.T @ dy).max():.0e}   dx {abs(dx - dy @ w.T).max():.0e}")
print(f"between loops and library           dw {abs(dw - library_dw).max():.0e}   dx {abs(dx - library_dx).max():.0e}")

# %% [markdown]
# An aid to memory: `dw` has the shape of `w`, and there is only one way to multiply `x` and `dy` to get that shape. Also notice the `+=`:
# a number that is used several times gets the sum of the gradients of all its uses.
#
# ## From tokens to vectors
# A layer computes with numbers whose size means something. The size of a token id means nothing: `e` has 26 and `f` 27, but they are not
# alike. So the first layer of a model gives every token a vector, its **embedding**. It is a look-up in a table: the table has a row of
# weights for every token of the vocabulary, and the id says which row to take.

# %%
from littlebaby.show.tour_pictures import lookup_picture
from littlebaby.text import nursery

story, _ = nursery.corpus(120_000, seed=1)
tokenizer = texts.train("char", story)
ids, V = tokenizer.encode(story), tokenizer.size
seen, unseen = ids[:100_000], ids[100_000:]

table = rng.standard_normal((V, 12))
rows, back = arrays.embedding(tokenizer.encode("red"), table)                   # (3) -> (3, 12)
print("equal to the rows of the table:", np.array_equal(rows, table[tokenizer.encode("red")]))
lookup_picture((f"the table: {V} rows of 12 weights", "embeddings of r, e, d: the rows of their ids"), table, tokenizer.tokens(), "red",
               tokenizer.encode("red"))

# %% [markdown]
# The numbers in the table are weights like all others: random at first, and trained. Its `back` adds the gradient of each vector to the row
# that it was taken from; the rows of all other tokens get none.
#
# ## A chain of layers
# A model consists of layers, where the output of one is the input of the next. The way from the input to the loss is called the **forward
# pass**. The **backward pass** goes the same way back: it calls the `back` functions of the same layers in reverse order, and each one receives
# the gradient of its layer's output and returns the gradient of its layer's input. Here is a whole language model with a context of three
# characters. A chain of layers like this one is called a **neural network**, or **network** for short.

# %%
def forward(p, ids, targets):
    """ids (N, 3), targets (N) -> loss, backward; backward() -> {name: gradient}"""
    e, back_e = arrays.embedding(ids, p["token"])                        # (N, 3) -> (N, 3, 12), a row of the table for every id
    u, back_u = arrays.linear(e.reshape(len(e), -1), p["up"])            # (N, 36) -> (N, 64)
    a, back_a = arrays.gelu(u)
    z, back_z = arrays.linear(a, p["head"], p["bias"])                   # (N, 64) -> (N, V)
    loss, back_loss = arrays.cross_entropy(z, targets)

    def backward():
        da, dhead, dbias = back_z(back_loss())
        de, dup, _ = back_u(back_a(da))
        dtoken = back_e(de.reshape(e.shape))
        return dict(token=dtoken, up=dup, head=dhead, bias=dbias)

    return loss, backward

# %% [markdown]
# Compare `backward`, from top to bottom, with `forward`, from bottom to top: the layers have the same order. `gelu`, in the middle, is an
# **activation function**, a function that is not linear: it lets large numbers pass, and stops negative ones. Without it two layers could do
# no more than one, because $x\,w_1 w_2$ is again a single $x\,w$. (`bias` is a **bias**, a weight that is added to an output whatever the
# input is.)
#
# The backward pass starts at the loss, whose gradient with respect to the logits is wonderfully simple: the predicted probabilities minus
# the target as a **one-hot vector** (1 for the character that came next, 0 for all others).

# %%
z = rng.standard_normal((1, 5))
target = np.array([2])
predicted = np.exp(z) / np.exp(z).sum()
_, back = arrays.cross_entropy(z.copy(), target)
print("predicted probabilities   ", predicted.round(3)[0])
print("minus the one-hot target  ", (predicted - np.eye(5)[target]).round(3)[0])
print("gradient of cross_entropy ", back().round(3)[0])

# %% [markdown]
# ## Train it
# We start from random weights. Then every **step** takes some random examples from the text, a **batch**, computes the loss and the gradient,
# and changes the weights by a small amount in the direction *opposite* to the gradient, as one walks down a hill in the fog. This is
# **gradient descent**; the size of the change is the gradient times the **learning rate**, the length of one's stride.

# %%
def examples(ids):
    """Every group of three characters (N, 3), and the character after each (N)"""
    return np.stack([ids[:-3], ids[1:-2], ids[2:-1]], 1), ids[3:]

def random_weights(seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda i, o: rng.standard_normal((i, o)) * i ** -0.5
    return dict(token=0.1 * rng.standard_normal((V, 12)), up=draw(36, 64), head=0.1 * draw(64, V), bias=np.zeros(V))

# %%
def learn(p, steps=2500, rate=3.0, rows=128):
    """Gradient descent on p; returns the loss of every step"""
    rng, (xs, ys), losses = np.random.default_rng(1), examples(seen), []
    for step in range(steps):
        batch = rng.integers(len(xs), size=rows)
        loss, backward = forward(p, xs[batch], ys[batch])
        for name, gradient in backward().items():
            p[name] -= rate * (1 - step / steps) * gradient            # the learning rate falls to 0
        losses.append(loss)
    return losses

p = random_weights()
losses = learn(p)
valid_loss, _ = forward(p, *examples(unseen))
print(f"training loss    {losses[0]:.3f} at the first step, {np.mean(losses[-100:]):.3f} over the last 100 (a uniform prediction has {np.log(V):.3f})")
print(f"validation loss  {valid_loss:.3f}")

# %% [markdown]
# How good is that? Let us compare it with the tables of lesson 1, which count what follows one, two and three characters.

# %%
def table_loss(k, a=0.05):
    """The validation loss of a table that counts what follows k characters, with a added to every count"""
    key = lambda ids: sum(ids[i:len(ids) - k + i].astype(int) * V ** i for i in range(k))
    table = np.zeros((V ** k, V), np.float32) + a
    np.add.at(table, (key(seen), seen[k:]), 1)
    rows = table[key(unseen)]
    return -np.log(rows[np.arange(len(rows)), unseen[k:]] / rows.sum(1)).mean()

axes = picture("loss in nats per character, by step", height=3.6)
axes.plot(losses, color=TRAIN, lw=0.5, alpha=0.35)
axes.plot(running(losses), color=TRAIN, lw=1.6)
for k in (1, 2, 3):
    axes.axhline(table_loss(k), color=GRAY, lw=1, ls=(0, (6, 3)))
    axes.annotate(f"table, context {k}", (len(losses), table_loss(k)), (6, 0), textcoords="offset points", color=GRAY, va="center")
axes.set_xlim(0, len(losses))
axes.set_ylim(0.5)
weights = sum(w.size for w in p.values())
print(f"model               {weights:9,} weights, validation loss {valid_loss:.3f}")
print(f"table, context 3    {V ** 3 * V:9,} counts,  validation loss {table_loss(3):.3f}")

# %% [markdown]
# The model has about a thousandth of the numbers, and its loss is not much higher. The table learns about each group of characters
# separately. The weights are *shared* by all groups: what the model learns after `red` also helps after `bed`. This can be seen in the
# embeddings, the rows of the table `token`. Here they are after the training, projected from 12 dimensions onto two:

# %%
often = [i for i in range(V) if (seen == i).mean() > 0.004]
token = p["token"][often] - p["token"][often].mean(0)
_, _, axis = np.linalg.svd(token, full_matrices=False)
places = token @ axis[:2].T                              # (n, 12) -> (n, 2): the two directions in which the vectors differ most

axes = picture("embeddings of the characters: capitals blue, vowels red, other small letters dark, the rest green", height=4)
axes.grid(False)
for place, i in zip(places, often):
    c = tokenizer.tokens()[i]
    kind = VALID if c in "aeiou" else INK if c.islower() else TRAIN if c.isupper() else FLOOR
    axes.text(*place, {" ": "␣", "\n": "⏎"}.get(c, c), color=kind, fontsize=22 if c in ".,\"" else 11, ha="center", va="center")
axes.set_xlim(places[:, 0].min() - 0.3, places[:, 0].max() + 0.3)
axes.set_ylim(places[:, 1].min() - 0.3, places[:, 1].max() + 0.3);

# %% [markdown]
# At the start they were small random vectors. Characters that are used in similar ways now have similar vectors: see where the capitals
# are, and who keeps the full stop company. Nobody told the model what a name or a sentence is; it only had to predict the next character.
#
# ## Try it
# ### 1. An activation of your own
# *softplus* is the activation $y = \ln(1 + e^x)$; its derivative is $1 / (1 + e^{-x})$. Write its `back`.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=2, number=1)
def check(softplus):
    x, dy, h = np.linspace(-3, 3, 7), np.arange(1.0, 8), 1e-5
    y, back = softplus(x)
    dx = back(dy)
    assert dx is not None, "back returns None: return dy times the derivative at x."
    slope = (softplus(x + h)[0] - softplus(x - h)[0]) / (2 * h)
    assert not np.allclose(dx, slope), "this is the derivative alone: multiply it by dy."
    assert np.allclose(dx, dy * slope), f"at x = 3 the derivative is {slope[-1]:.4f} and dy is 7; their product is not {dx[-1]:.4f}."
    return f"equal to a numerical derivative to {abs(dx - dy * slope).max():.0e}; lesson 3 shows how to check any backward pass so."

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
# Here the output of a layer is added to its input: $y = x + x w$. This is called a **residual connection**: the layer does not replace its
# input, it makes a correction to it. Every block of a GPT has two of them (lesson 5). `x` is used twice. Write `back`; `back_f(dy)` returns the gradients of $x w$ alone.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=2, number=2)
def check(residual):
    x, w, dy = rng.standard_normal((4, 3)), rng.standard_normal((3, 3)), rng.standard_normal((4, 3))
    answer = residual(x, w)[1](dy)
    assert answer is not None, "back returns None: return dx and dw, in this order."
    assert isinstance(answer, (tuple, list)) and len(answer) >= 2, "return two arrays: dx and dw."
    dx, dw, *_ = answer
    assert np.allclose(dw, x.T @ dy), "dw should be the one that back_f returns, in second place: only the product x w depends on w."
    assert not np.allclose(dx, dy @ w.T), "dx contains only the gradient through x w: y also depends on x directly."
    assert np.allclose(dx, dy + dy @ w.T), "dx should be the sum of two gradients: dy itself, and the dx that back_f returns."
    return "two paths forward, two gradients backward, and their sum: this is the += that you will see in every layer."

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
# ### 3. The learning rate
# `learn(random_weights(), steps=300, rate=...)` returns the losses of a short training. Find a learning rate with which the mean loss of
# the last 50 steps is below 1.5: try a few powers of ten, then values between the best two.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=2, number=3)
def check(rate):
    assert rate is not None, "put a learning rate in place of None, such as 0.1, and look at the loss after 300 steps."
    with np.errstate(all="ignore"):
        end = np.mean(learn(random_weights(), steps=300, rate=rate)[-50:])
    assert np.isfinite(end) and end < 4, f"with {rate} every step goes too far, so that the loss rises instead of falling."
    assert end < 1.5, f"with {rate} the mean loss of the last 50 steps is {end:.3f}; it should be below 1.5: try a {'larger' if rate < 4 else 'smaller'} rate."
    return f"{end:.3f} with {rate}: the learning rate is the setting that you should always try first."

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
# **Next:** [3 · Check a gradient](03_check_a_gradient.ipynb): a model with a wrong backward pass often learns all the same. How does one
# notice?
