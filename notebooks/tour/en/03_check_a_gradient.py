# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 · Check a gradient
#
# *If your backward pass were wrong, how would you notice?*
#
# Most people would say: the loss would not fall. In this lesson we plant a mistake and see whether the loss falls all the same. Then we
# compute the gradient in a second way, from the loss alone, and compare the two to ten digits. Every layer of this library is checked in
# this way.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import arrays
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.show.tour import exercise, picture

# %% [markdown]
# ## A mistake that learns
# We train a small network to compute $\sin 2x$, once with the right backward pass and once with a wrong one, which leaves out the
# derivative of `gelu`: it passes the gradient through the activation unchanged. That is no small slip, because every gradient below the
# activation is wrong.

# %%
x = np.linspace(-3, 3, 64)[:, None]
goal = np.sin(2 * x)

def learn(skip_gelu, steps=4000, rate=0.01):
    rng = np.random.default_rng(0)
    w1, b1, w2 = rng.standard_normal((1, 32)), rng.standard_normal(32), 0.2 * rng.standard_normal((32, 1))
    losses = []
    for _ in range(steps):
        u, back_u = arrays.linear(x, w1, b1)             # (N, 1) -> (N, 32)
        a, back_a = arrays.gelu(u)
        y, back_y = arrays.linear(a, w2)                 # (N, 32) -> (N, 1)
        da, dw2, _ = back_y(2 * (y - goal) / len(x))
        du = da if skip_gelu else back_a(da)             # the mistake: du = da
        _, dw1, db1 = back_u(du)
        for weight, gradient in ((w1, dw1), (b1, db1), (w2, dw2)):
            weight -= rate * gradient
        losses.append(((y - goal) ** 2).mean())
    return losses, y

right, right_output = learn(skip_gelu=False)
wrong, wrong_output = learn(skip_gelu=True)
left, axes = picture("loss, by step", "output of each network; dashed: sin 2x", widths=(1, 1))
left.plot(right, color=TRAIN, label="right backward pass")
left.plot(wrong, color=VALID, label="wrong backward pass")
left.legend(frameon=False, fontsize=8, labelcolor=GRAY)
left.set_ylim(0, 2)
axes.plot(x, goal, color=GRAY, ls=(0, (6, 3)))
axes.plot(x, right_output, color=TRAIN)
axes.plot(x, wrong_output, color=VALID)
for name, losses in (("right", right), ("wrong", wrong)):
    print(f"{name} backward pass: the loss falls from {losses[0]:.3f} to {losses[-1]:.3f}")

# %% [markdown]
# The loss falls with the wrong backward pass, too, and it falls quite handsomely. Without the right curve beside it one would call this a
# success, blame the remaining loss on the learning rate, and publish. A falling loss proves nothing about a gradient.
#
# ## Finite differences
# The gradient makes a claim: *if this weight changes by a small amount $h$, the loss changes by the gradient times $h$*. The claim can be
# tested: change the weight by $h$ in both directions, and compute the loss each time. This is called a **central difference**, one kind of
# **finite difference**:
#
# $$\frac{df}{dx} \approx \frac{f(x + h) - f(x - h)}{2h}$$
#
# It uses only the forward pass, so a mistake in the backward pass cannot affect it. But it needs two forward passes for every single
# weight, which is why nobody trains with it.

# %%
rng = np.random.default_rng(0)
x0, dy = rng.standard_normal(6), rng.standard_normal(6)
y, back = arrays.gelu(x0)

h = 1e-5
slopes = np.array([((arrays.gelu(x0 + h * e)[0] - arrays.gelu(x0 - h * e)[0]) * dy).sum() / (2 * h) for e in np.eye(6)])
print("backward pass       ", back(dy).round(8))
print("central differences ", slopes.round(8))
print(f"largest difference between the two: {abs(back(dy) - slopes).max():.0e}")

# %% [markdown]
# Why `dy`? A layer has many outputs, but a gradient is that of a single number. So we take the sum of all outputs, each multiplied by a
# random number from `dy`. The gradient of this sum is `back(dy)`. Because every output has a different factor, errors in different outputs
# do not cancel.
#
# ## How small should the step be?
# The error of the formula is proportional to $h^2$, so a smaller $h$ is better. But for a small $h$ two almost equal numbers are
# subtracted: their rounding errors remain, and are divided by $h$. So a very small $h$ is worse again, and the best step is somewhere
# between.

# %%
def difference_error(h, dtype):
    """The largest error of a central difference with step h, computed in this dtype"""
    a, exact = x0.astype(dtype), back(dy)
    step = dtype(h)
    ups = np.array([(arrays.gelu(a + step * e)[0] - arrays.gelu(a - step * e)[0]) @ dy.astype(dtype) for e in np.eye(6, dtype=dtype)])
    return abs(ups / (2 * step) - exact).max()

hs = 10.0 ** np.arange(-11, 0.1, 0.25)
axes = picture("error of a central difference, by the step h", height=3.6)
for dtype, color, name in ((np.float32, VALID, "float32"), (np.float64, TRAIN, "float64")):
    errors = [difference_error(h, dtype) for h in hs]
    axes.loglog(hs, errors, color=color)
    i = int(np.argmin(errors))
    axes.plot(hs[i], errors[i], "o", color=color)
    axes.annotate(f"{name}: best near h = {hs[i]:.0e}", (hs[i], errors[i]), (-22, -14), textcoords="offset points", color=color, ha="right")
axes.set_ylim(1e-13, 1e3);

# %% [markdown]
# On the right the error grows like $h^2$; on the left it is the rounding error. Models are trained in float32, where even the best step
# has an error a million times larger than in float64. This example has only six numbers; in the loss of a whole model hardly a digit would
# be right, and a wrong gradient could not be distinguished from a right one. *Gradients are checked in float64.*
#
# The error can be reduced further: at $h$ it is four times as large as at $h/2$, so the two differences can be combined in such a way that
# the error cancels. This is Richardson extrapolation (1911), and the library's function `differences` uses it.

# %%
from littlebaby.check.laws import differences

probe = x0.copy()
better = differences(lambda: (arrays.gelu(probe)[0] * dy).sum(), probe, h=1e-3)
print(f"h = 1e-3, error of one difference: {difference_error(1e-3, np.float64):.0e}; of two combined: {abs(better - back(dy)).max():.0e}")

# %% [markdown]
# ## The law
# The library has a few **laws**, which are automatic checks that every layer must pass. The first one is this gradient check. It covers
# every kind of layer that you will meet, every weight and every input element, with ordinary and with large inputs. You can run it at any
# time; in a shell the command is `littlebaby check rmsnorm`.

# %%
for name in ("rmsnorm", "decay"):
    for row in lb.check(name):
        print(f"{name:8} {str(row['settings']):20} relative error {row['gradient']:.0e}   {'passed' if row['kept'] else 'FAILED'}")

# %% [markdown]
# ## Break it
# Does the law notice mistakes? Here is a small layer, with `forward` and `backward` in the form that the library uses, and with mistakes
# that can be switched on. `laws.gradient` returns the largest error of the gradient of any weight or input, relative to that gradient's
# largest element.

# %%
from types import SimpleNamespace

from littlebaby.arrays.tree import matrix, vector
from littlebaby.check import laws

def layer(mistake=""):
    """y = relu2(rmsnorm(x) up) down, with a mistake in its backward"""
    def params(cfg):
        return dict(scale=vector(cfg.n_emb, 1.0), up=matrix(cfg.n_emb, 12), down=matrix(12, cfg.n_emb))

    def forward(p, x, ctx):
        n, back_n = arrays.rmsnorm(x, p.scale)
        u, back_u = arrays.linear(n, p.up)
        a, back_a = arrays.relu2(u)
        y, back_y = arrays.linear(a, p.down)

        def backward(dy, g):
            da, ddown, _ = back_y(dy)
            du = da * (u > 0) if mistake == "wrong activation" else back_a(da)
            dn, dup, _ = back_u(du)
            dx, dscale = back_n(dn)
            g.scale += dscale
            g.up += dup * (0.999 if mistake == "factor 0.999" else 1)
            if mistake != "missing gradient":
                g.down += ddown
            return dn * p.scale if mistake == "constant norm" else dx

        return y, backward

    return SimpleNamespace(params=params, forward=forward)

for mistake in ("", "wrong activation", "constant norm", "missing gradient", "factor 0.999"):
    error = laws.gradient(layer(mistake), laws.config())
    print(f"{mistake or 'no mistake':18} relative error {error:.0e}   {'passed' if error < laws.EXACT else 'FAILED'}")

# %% [markdown]
# Even the last mistake is found, which makes the gradient of one matrix 0.1% too small: its error is more than seven powers of ten above
# the rounding error. No loss curve would ever have shown it.
#
# ## Try it
# ### 1. Finite differences
# Write the central difference yourself: the derivative of `f` with respect to every element of `x`. For each element: change it by `h` in
# both directions, compute `f` each time, and restore it.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=3, number=1)
def check(slopes):
    x = np.array([[0.5, -1.0], [2.0, 0.1]])
    kept = x.copy()
    got = slopes(lambda a: (a ** 3).sum() + a[0, 0] * a[1, 1], x)
    assert got is not None, "slopes returns None: return an array with the shape of x, with one derivative for each element."
    want = 3 * kept ** 2 + np.array([[0.1, 0], [0, 0.5]])
    assert np.allclose(x, kept, rtol=0, atol=1e-9), "x has changed: restore every element after computing f."
    assert np.shape(got) == x.shape, f"x has shape {x.shape}, and so should the result, a slope for each element; yours has {np.shape(got)}."
    assert not np.allclose(got, 2 * want, atol=1e-4), "twice too large: the two places are 2h apart, so divide by 2h."
    assert np.allclose(got, want, atol=1e-6) or not np.allclose(got, want, atol=1e-3), \
        "nearly right, but a difference to one side has an error proportional to h: change x by h in both directions."
    assert np.allclose(got, want, atol=1e-6), f"at x[0, 0] = 0.5 the derivative is {want[0, 0]:.3f}; yours is {got[0, 0]:.3f}."
    return f"right to {abs(got - want).max():.0e}, from values of f alone. These few lines can check any backward pass."

# %% tags=["exercise"]
def slopes(f, x, h=1e-5):
    """df/dx for every element of x, (…) -> (…)"""
    return None

check(slopes)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def slopes(f, x, h=1e-5):
#     """df/dx for every element of x, (…) -> (…)"""
#     out = np.zeros_like(x)
#     for i in np.ndindex(x.shape):
#         kept = x[i]
#         x[i] = kept + h
#         up = f(x)
#         x[i] = kept - h
#         out[i] = (up - f(x)) / (2 * h)
#         x[i] = kept
#     return out
#
# check(slopes)
# ```
#
# </details>

# %% [markdown]
# ### 2. Which one is right?
# Ann, Ben and Cid have each written a `back` for softmax, and only one of the three is right. Find out which (with `differences`, or with
# your own `slopes`), and set `who` to its name.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
def softmax(x, how):
    y, _ = arrays.softmax(x)

    def back(dy):
        if how == "ann":
            return y * (1 - y) * dy
        if how == "ben":
            return y * (dy - (y * dy).sum(-1, keepdims=True))
        return y * (dy - dy.mean(-1, keepdims=True))

    return y, back

@exercise(lesson=3, number=2)
def check(name):
    assert name is not None, 'put "ann", "ben" or "cid" in place of None, after you have measured which one is right.'
    assert name in ("ann", "ben", "cid"), f'{name} is not among the three; the names are "ann", "ben" and "cid".'
    x, dy = rng.standard_normal((2, 5)), rng.standard_normal((2, 5))
    error = abs(softmax(x, name)[1](dy) - differences(lambda: (softmax(x, name)[0] * dy).sum(), x)).max()
    assert error < 1e-8, f"the gradient of {name} has an error of {error:.2f} on random numbers."
    return f"error {error:.0e}. Raising one probability lowers all others, which is why the formula needs the sum of y times dy."

# %% tags=["exercise"]
# softmax(x, "ann"), softmax(x, "ben") and softmax(x, "cid") each return y and back

who = None

check(who)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# x, dy = rng.standard_normal((2, 5)), rng.standard_normal((2, 5))
# errors = {}
# for name in ("ann", "ben", "cid"):
#     y, back = softmax(x, name)
#     errors[name] = abs(back(dy) - differences(lambda: (softmax(x, name)[0] * dy).sum(), x)).max()
# who = min(errors, key=errors.get)
#
# check(who)
# ```
#
# </details>

# %% [markdown]
# ### 3. Half a check
# A friend checks with a `dy` of ones. That is a trap: one of the two wrong functions above passes *every* such check. Which one? (What is
# the sum of the outputs of a softmax, for any `x`?)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=3, number=3)
def check(name):
    assert name is not None, "put a name in place of None: compare back(np.ones(...)) of each with the gradient of y.sum()."
    assert name in ("ann", "ben", "cid"), f'{name} is not among the three; the names are "ann", "ben" and "cid".'
    assert name != "ben", "ben passes the check, but ben is right; look for one that passes and is wrong."
    answer = softmax(rng.standard_normal((2, 5)), name)[1](np.ones((2, 5)))
    assert abs(answer).max() < 1e-12, f"the sum of a softmax is always 1, so its gradient is 0; {name} returns {abs(answer).max():.2f}."
    return f"where all elements of dy are equal, {name} returns 0, which is right; for other dy it is wrong. Always check with a random dy."

# %% tags=["exercise"]
fooled = None

check(fooled)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# fooled = "cid"       # dy minus its mean is 0 for a dy of ones
#
# check(fooled)
# ```
#
# </details>

# %% [markdown]
# **Next:** [4 · Attention by hand](04_attention_by_hand.ipynb). With a check like this one dares to write any backward pass.
