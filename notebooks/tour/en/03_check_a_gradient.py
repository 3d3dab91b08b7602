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
# *If your backward were wrong, how would you notice?*
#
# Most people would say: the loss would not fall. In this lesson we plant a mistake and see whether it falls. Then we ask the loss itself, and
# reach a certainty of ten digits: the certainty on which everything in this library stands.

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
# A small network is to learn $\sin 2x$. Its backward is right, or it forgets that `gelu` bends: it passes the blame through as if there were no
# bend at all. That is no small slip; every gradient below the bend is wrong.

# %%
x = np.linspace(-3, 3, 64)[:, None]
goal = np.sin(2 * x)

def learn(forgets, steps=4000, rate=0.01):
    rng = np.random.default_rng(0)
    w1, b1, w2 = rng.standard_normal((1, 32)), rng.standard_normal(32), 0.2 * rng.standard_normal((32, 1))
    losses = []
    for _ in range(steps):
        u, back_u = arrays.linear(x, w1, b1)             # (N, 1) -> (N, 32)
        a, back_a = arrays.gelu(u)
        y, back_y = arrays.linear(a, w2)                 # (N, 32) -> (N, 1)
        da, dw2, _ = back_y(2 * (y - goal) / len(x))
        du = da if forgets else back_a(da)
        _, dw1, db1 = back_u(du)
        for weight, gradient in ((w1, dw1), (b1, db1), (w2, dw2)):
            weight -= rate * gradient
        losses.append(((y - goal) ** 2).mean())
    return losses, y

right, curve = learn(False)
wrong, bent = learn(True)
left, axes = picture("loss, by step", "what each has learned, and the goal, dashed", widths=(1, 1))
left.plot(right, color=TRAIN, label="right backward")
left.plot(wrong, color=VALID, label="wrong backward")
left.legend(frameon=False, fontsize=8, labelcolor=GRAY)
left.set_ylim(0, 2)
axes.plot(x, goal, color=GRAY, ls=(0, (6, 3)))
axes.plot(x, curve, color=TRAIN)
axes.plot(x, bent, color=VALID)
print(f"the loss falls from {right[0]:.3f} to {right[-1]:.3f} with the right backward, from {wrong[0]:.3f} to {wrong[-1]:.3f} with the wrong one")

# %% [markdown]
# It falls. It falls quite handsomely. Whoever has no right one beside it would call this a success, blame the rest on the learning rate, and
# publish. A falling loss proves nothing about a gradient.
#
# ## Ask the loss
# The gradient claims: *move this weight by a little and the loss moves by so much*. So move the weight by a little, to both sides, and see:
#
# $$\frac{df}{dx} \approx \frac{f(x + h) - f(x - h)}{2h}$$
#
# This needs no idea of the backward at all, which is why it is such a good judge. It needs two forwards for every single number, which is why
# nobody trains with it.

# %%
rng = np.random.default_rng(0)
x0, dy = rng.standard_normal(6), rng.standard_normal(6)
y, back = arrays.gelu(x0)

h = 1e-5
slopes = np.array([((arrays.gelu(x0 + h * e)[0] - arrays.gelu(x0 - h * e)[0]) * dy).sum() / (2 * h) for e in np.eye(6)])
print("backward   ", back(dy).round(8))
print("differences", slopes.round(8))
print(f"apart        {abs(back(dy) - slopes).max():.0e}")

# %% [markdown]
# The trick with `dy`: a layer gives many numbers, a slope belongs to one. So we take the sum of all outputs, each weighed with a random number.
# Its gradient is `back(dy)`, and no error can hide, because every output counts differently.
#
# ## How small is a little?
# Smaller is better: the formula is off by about $h^2$. But smaller is worse, too: two numbers that are almost equal are subtracted, and what
# is left are the roundings of the last digit, divided by $h$. Somewhere between lies the best step.

# %%
def off(h, dtype):
    """The largest error of a difference of step h, with numbers of this type"""
    a, exact = x0.astype(dtype), back(dy)
    step = dtype(h)
    ups = np.array([(arrays.gelu(a + step * e)[0] - arrays.gelu(a - step * e)[0]) @ dy.astype(dtype) for e in np.eye(6, dtype=dtype)])
    return abs(ups / (2 * step) - exact).max()

hs = 10.0 ** np.arange(-11, 0.1, 0.25)
axes = picture("error of a difference, by the step h", height=3.6)
for dtype, color, name in ((np.float32, VALID, "float32"), (np.float64, TRAIN, "float64")):
    errors = [off(h, dtype) for h in hs]
    axes.loglog(hs, errors, color=color)
    i = int(np.argmin(errors))
    axes.plot(hs[i], errors[i], "o", color=color)
    axes.annotate(f"{name}: best near h = {hs[i]:.0e}", (hs[i], errors[i]), (-22, -14), textcoords="offset points", color=color, ha="right")
axes.set_ylim(1e-13, 1e3);

# %% [markdown]
# On the right the slope of $h^2$, on the left the noise of rounding. In float32, with which one trains, the best step is still a million
# times worse than in float64, and that for six numbers; in a sum over a whole model hardly a digit is left, and a wrong gradient looks like
# an honest one. **Gradients are checked in float64.**
#
# One step further: the error at $h$ is four times the error at $h/2$, so the two can be combined until it cancels. The library's own
# `differences` does that (Richardson's idea, 1911).

# %%
from littlebaby.check.laws import differences

probe = x0.copy()
better = differences(lambda: (arrays.gelu(probe)[0] * dy).sum(), probe, h=1e-3)
print(f"one difference, h = 1e-3: off by {off(1e-3, np.float64):.0e};   two of them combined: {abs(better - back(dy)).max():.0e}")

# %% [markdown]
# ## The law
# Every attention, network, norm and position of the library has to pass this, for every weight and every input, on ordinary and on large
# inputs, with dropout on. So can you, any time; in a shell it is `littlebaby check rmsnorm`.

# %%
for name in ("rmsnorm", "decay"):
    for row in lb.check(name):
        print(f"{name:8} {str(row['settings']):24} gradient off by {row['gradient']:.0e}   {'kept' if row['kept'] else 'BROKEN'}")

# %% [markdown]
# ## Break it
# Does the law bite? Here is a small layer, with `forward` and `backward` as the library writes them, and a place for a mistake. `gradient`
# is the library's judge: the worst error of any weight or input, relative to the largest one.

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
            du = da * (u > 0) if mistake == "another bend" else back_a(da)
            dn, dup, _ = back_u(du)
            dx, dscale = back_n(dn)
            g.scale += dscale
            g.up += dup * (0.999 if mistake == "a thousandth" else 1)
            if mistake != "forgotten weight":
                g.down += ddown
            return dn * p.scale if mistake == "norm as a constant" else dx

        return y, backward

    return SimpleNamespace(params=params, forward=forward)

for mistake in ("", "another bend", "norm as a constant", "forgotten weight", "a thousandth"):
    error = laws.gradient(layer(mistake), laws.config())
    print(f"{mistake or 'no mistake':20} {error:.0e}   {'passes' if error < laws.EXACT else 'caught'}")

# %% [markdown]
# Even a thousandth too little in one matrix is caught, eight powers of ten above the noise. No loss curve would ever have shown it.
#
# ## Try it
# ### 1. The judge
# Write the central difference yourself: the slope of `f` at every element of `x`. Move one element, ask `f` twice, put it back.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(slopes):
    x = np.array([[0.5, -1.0], [2.0, 0.1]])
    kept = x.copy()
    got = slopes(lambda a: (a ** 3).sum() + a[0, 0] * a[1, 1], x)
    assert got is not None, "slopes returns None: return an array of x's shape, with one slope for each element."
    want = 3 * kept ** 2 + np.array([[0.1, 0], [0, 0.5]])
    assert np.array_equal(x, kept), "x is not as it was: put every element back after asking."
    assert np.shape(got) == x.shape, f"x has shape {x.shape} and so should its slopes; yours have {np.shape(got)}."
    assert np.allclose(got, want, atol=1e-6), f"at x[0, 0] = 0.5 the slope is {want[0, 0]:.3f}; yours says {got[0, 0]:.3f}."
    return f"right to {abs(got - want).max():.0e}, without knowing how f is made. Any backward can be judged with these few lines."

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
# ### 2. Which one lies?
# Three softmaxes, three backwards, and only one of them is right. Find it (with `laws.differences`, or with your own judge) and put its name in.

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

@exercise
def check(name):
    assert name is not None, 'put "ann", "ben" or "cid" in place of None, once you have measured who is right.'
    assert name in ("ann", "ben", "cid"), f'{name} is not among the three; the names are "ann", "ben" and "cid".'
    x, dy = rng.standard_normal((2, 5)), rng.standard_normal((2, 5))
    error = abs(softmax(x, name)[1](dy) - differences(lambda: (softmax(x, name)[0] * dy).sum(), x)).max()
    assert error < 1e-8, f"{name}'s backward is off by {error:.2f} on random numbers."
    return f"off by {error:.0e}. Raising one chance lowers all others: that is the sum which the others forgot."

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
# A friend checks with `dy` all ones. It is quick, and it is a trap: for one of the three softmaxes above *every* such check is passed, though
# its backward is wrong. Which one? (What is the sum of a softmax, whatever you do to `x`?)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(name):
    assert name is not None, "put a name in place of None: compute back(np.ones(...)) for each and compare with the slopes of y.sum()."
    assert name in ("ann", "ben", "cid"), f'{name} is not among the three; the names are "ann", "ben" and "cid".'
    assert name != "ben", "ben passes, but ben is right; look for one that passes and is wrong."
    answer = softmax(rng.standard_normal((2, 5)), name)[1](np.ones((2, 5)))
    assert abs(answer).max() < 1e-12, f"the sum of a softmax is always 1, so all slopes are 0; {name} says {abs(answer).max():.2f}."
    return f"{name} says 0 for every dy of equal numbers, which is the truth there and nowhere else: always check with random dy."

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
# **Next:** [4 · Attention by hand](04_attention_by_hand.ipynb). With a judge like this one dares to write anything.
