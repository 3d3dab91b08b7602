# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 12 · Cause and effect
#
# *Which part of a model makes its prediction?*
#
# A picture of attention weights shows where a head looks. It does not show whether the prediction depends on that. To find causes one makes
# experiments: change one thing, keep everything else, and measure the effect. In a model every number can be changed, so here experiments
# are easy. In this lesson we watch a model learn a trick, take it apart, and find the parts that do the work.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby.arrays import backend
from littlebaby.check.causes import attribute, head_scores
from littlebaby.check.interventions import Patch, ablate, ablation_values, logit_difference, patch_everywhere, run
from littlebaby.show.charts import FLOOR, TRAIN, VALID
from littlebaby.show.tour import exercise, picture
from littlebaby.show.variant_pictures import squares

rng = np.random.default_rng(0)

# %% [markdown]
# ## A text that repeats itself
# Our texts are random letters that are repeated after a while. The first letters cannot be predicted. All later ones can, by a model that
# looks back: where did the current letter occur before, and which letter followed it there? The distance between the repetitions is another
# one in every batch, so that looking back by a fixed number of tokens does not help.

# %%
letters, T = "abcdefghijklmnop", 32

def repeated(rows, period):
    """Random token ids, repeated after `period` tokens: (rows, T)"""
    return np.tile(rng.integers(len(letters), size=(rows, period)), T // period + 1)[:, :T]

def text(ids):
    return "".join(letters[i] for i in ids)

for period in (5, 7, 11):
    print(text(repeated(1, period)[0]))

# %% [markdown]
# ## Watch a trick being learned
# The model has two blocks with two heads each, and we train it with Adam, as in lesson 7. Its first weights are four times as large as usual,
# which shortens the wait. In lesson 4 you met the trick that it has to find, with two heads that work together. The first is a
# **previous-token head**: it attends to the token before, and so tells every token what came before it. The second is an induction head: it
# searches for the token that came after an earlier occurrence of the current one. Every fifty steps we measure how much attention weight each
# head gives to these tokens.

# %% tags=["parameters"] small="steps = 60"
steps = 1500

# %%
baby = lb.Baby(lb.Config(n_vocab=len(letters), n_ctx=T, n_emb=32, n_heads=2, n_layers=2, r_hidden=1.0), seed=0)
baby.flat[baby.flat != 1] *= 4                              # all weights but those of the norms, which are 1
weights, means, squares_of = baby.weights(), {}, {}
history = []                                                # (step, loss on letters that can be predicted, scores)

with backend.blas_threads(1):                               # such small matrices are multiplied fastest by a single thread
    for step in range(1, steps + 1):
        period = int(rng.integers(4, T // 2 + 1))
        ids = repeated(16, period)
        _, grads = baby.loss_and_grads(ids[:, :-1], ids[:, 1:])
        for name, g in grads.items():                       # Adam, with a warm-up of 50 steps
            means[name] = 0.9 * means.get(name, 0) + 0.1 * g
            squares_of[name] = 0.98 * squares_of.get(name, 0) + 0.02 * g ** 2
            size = means[name] / (1 - 0.9 ** step) / (np.sqrt(squares_of[name] / (1 - 0.98 ** step)) + 1e-8)
            weights[name][...] -= np.float32(0.005 * min(1, step / 50)) * size.astype(np.float32)
        if step % 50 == 0:
            ids = repeated(64, 10)
            targets = np.where(np.arange(1, T) >= 10, ids[:, 1:], -1)        # -1: not counted
            history.append((step, baby.loss(ids[:, :-1], targets), head_scores(baby)))

at = [step for step, _, _ in history]
left, right = picture("loss of predictable letters, nats", "attention weights of the heads", height=3)
left.plot(at, [loss for _, loss, _ in history], color=TRAIN)
for head in range(2):
    right.plot(at, [scores.previous[0, head] for _, _, scores in history], color=VALID, ls="-" if head else ":")
    right.plot(at, [scores.induction[1, head] for _, _, scores in history], color=FLOOR, ls="-" if head else ":")
for height, label, color in ((0.44, "heads of block 1, on the token before", VALID), (0.34, "heads of block 2, on the token to copy", FLOOR)):
    right.text(0.98, height, label, color=color, ha="right", transform=right.transAxes)
print(f"loss of predictable letters: {history[0][1]:.2f} nats at step {at[0]}, {history[-1][1]:.2f} at step {at[-1]}; guessing gives {np.log(len(letters)):.2f}")

# %% [markdown]
# For some hundred steps nothing seems to happen. Then both heads appear within a few steps, and the loss falls. Neither is of use without the
# other: until a previous-token head exists, there is nothing that an induction head could find, and a gradient shows the way to both only
# when both exist a little (Olsson et al. 2022).
#
# ## Take a part away
# Does the model really use these heads? We run it on a text and replace the output of one part by a value that says nothing about the text:
# the mean of that output over other texts. This is called **ablation**. What we measure is the **logit difference**: the logit of the right
# next letter minus the logit of a wrong one. It is 0 for a model that cannot tell the two apart.

# %%
period = 7
pattern = rng.permutation(len(letters))                     # different letters, so that only one of them can follow
clean = np.tile(pattern[:period], 3)[None, :2 * period + 1] # the pattern twice, and the letter that begins it a third time
answer, wrong = int(pattern[1]), int(pattern[period])       # the letter that follows, and one that does not occur
others = repeated(64, 9)
without = ablate(baby, clean, "mean", ablation_values(baby, "mean", [others]), answer, wrong)

print(f"text {text(clean[0])}, right {letters[answer]}, wrong {letters[wrong]}, logit difference {without.difference:.1f}\n")
names = [f"block {i + 1}, {part}" for i in range(2) for part in ("head 1", "head 2", "network")]
changes = [x for i in range(2) for x in (*without.difference_changes["heads"][i], without.difference_changes["network"][i])]
axes = picture("change of the logit difference without a part", height=2.6)
axes.barh(names, changes, color=[VALID if x < 0 else FLOOR for x in changes])
axes.invert_yaxis()
for name, x in zip(names, changes):
    print(f"without {name:16} {x:+6.1f}")

# %% [markdown]
# The heads that matter are those that grew in the picture above. Where a single head of a block does the job, the model hardly prefers the
# right letter any more without it; where both heads do it, they share the work, and each has a shorter bar. A part with a short bar may
# still have looked at interesting places; the prediction just does not depend on it alone.
#
# ## Put a value back
# Ablation says which part matters, not what it carries. For that we need a second text, here called the corrupted one, which differs in one
# letter of the pattern, so that another letter should follow. While the model reads the corrupted text, we replace a single value by the one
# that it has in the clean text. If the prediction changes back, this value carries the difference. This is called **activation patching**.
# We do it for the output of every block at every position.

# %%
corrupted = np.where(np.arange(clean.shape[1]) % period == 1, wrong, clean)              # the letter after the first one is another
patched = patch_everywhere(baby, clean, corrupted, answer, wrong)
print(f"clean      {text(clean[0])}   logit difference {patched.clean:+.1f}")
print(f"corrupted  {text(corrupted[0])}   logit difference {patched.corrupted:+.1f}")

axes = picture("part of the logit difference that one value restores", height=1.9)
squares(axes, patched.positions["block"].clip(0, 1), "part of the logit difference that one value restores")
axes.set_xticks(range(clean.shape[1]), text(clean[0]))
axes.set_yticks(range(2), ["block 1", "block 2"])
for i, t in zip(*np.where(patched.positions["block"] > 0.1)):
    print(f"after block {i + 1}, at position {t} ({letters[clean[0, t]]}): {patched.positions['block'][i, t]:.0%} restored")

# %% [markdown]
# After block 1 the difference is where the letters differ; after block 2 it is at the last token, where the prediction is made. In between, the
# attention of block 2 has moved it. So the trick is no longer a guess from pictures: we have seen each of its steps.
#
# ## Add it up
# There is also a way without any experiment. The last block's output is the sum of the embedding and of all outputs of heads and networks, and
# the logits are a linear function of it, apart from the scale of the last norm. If that scale is kept as it is, the logit difference is a sum
# with one term for each part, exactly.

# %%
terms = attribute(baby, clean, answer, wrong)
parts = {"embedding": terms.embedding, **{f"block {i + 1}, head {j + 1}": terms.heads[i, j] for i in range(2) for j in range(2)},
         **{f"block {i + 1}, network": terms.networks[i] for i in range(2)},
         "biases": terms.attention_biases.sum() + terms.norm_offsets.sum() + terms.head_bias}
for name, x in parts.items():
    print(f"{name:17} {x:+6.2f}")
print(f"{'sum':17} {sum(parts.values()):+6.2f}, the logit difference is {terms.total:+.2f}")

# %% [markdown]
# A previous-token head adds next to nothing itself, though the prediction needs it: its work is used by the induction head of block 2. A
# sum shows the last step of a computation, an experiment shows all of them. With one command you get all of this for a model of your own:
# `lb.cause(guid, text, corrupted)`, or in a shell `littlebaby cause last`.
#
# ## Try it
# ### 1. The score of an induction head
# `a` $(2n, 2n)$ are attention weights on $n$ random letters that are repeated once: row $t$ has the weights of token $t$. Return the mean weight
# that the tokens $n, \dots, 2n - 1$ give to the token that followed the same letter in the first copy.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=12, number=1)
def check(induction_score):
    n = 5
    at_distance = lambda d: np.array([[float(j == max(t - d, 0)) for j in range(2 * n)] for t in range(2 * n)])
    found = induction_score(at_distance(n - 1), n)
    assert found is not None, "induction_score returns None: return the mean of some entries of a."
    assert np.ndim(found) == 0, f"return one number, the mean; your result has the shape {np.shape(found)}."
    assert not np.isclose(induction_score(at_distance(n), n), 1), "that is the same letter itself, n tokens before; the one that followed it is one token later."
    assert not np.isclose(induction_score(at_distance(1), n), 1), "that is the token before; the one to copy is n - 1 tokens before."
    assert not np.isclose(found, n), "that is the sum of the n weights; divide it by n."
    assert np.isclose(found, 1), f"a head that always attends n - 1 tokens back should have the score 1; yours is {found:.2f}."
    mixed = rng.random((2 * n, 2 * n))
    assert np.isclose(induction_score(mixed, n), mixed[range(n, 2 * n), range(1, n + 1)].mean()), "only the tokens of the second copy count, from n on."
    ids = np.tile(rng.integers(len(letters), size=(1, 12)), 2)
    from littlebaby.check.causes import all_attention_weights
    a = all_attention_weights(baby, run(baby, ids)[1])[1, 0]
    return f"the two heads of block 2 have {induction_score(a[0], 12):.2f} and {induction_score(a[1], 12):.2f}."

# %% tags=["exercise"]
def induction_score(a, n):
    """a (2n, 2n) attention weights -> a number from 0 to 1"""
    return None

check(induction_score)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def induction_score(a, n):
#     """a (2n, 2n) attention weights -> a number from 0 to 1"""
#     t = np.arange(n, 2 * n)
#     return a[t, t - n + 1].mean()
#
# check(induction_score)
# ```
#
# </details>

# %% [markdown]
# ### 2. An attention without one of its heads
# The outputs of all heads of an attention, side by side, are `o` $(T, H)$; each head has $d$ columns. The attention's output is `o @ wo`. Return
# what it would be if head number `j` gave only zeros.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=12, number=2)
def check(without_head):
    o, wo, d = rng.standard_normal((5, 6)), rng.standard_normal((6, 4)), 2
    kept = o.copy()
    found = without_head(o, wo, 1, d)
    assert found is not None, "without_head returns None: set the columns of head j to 0, then multiply by wo."
    assert np.array_equal(o, kept), "your function has changed o itself, which others still need: change a copy of it."
    assert np.shape(found) == (5, 4), f"the output of an attention should have the shape (5, 4) here; yours has {np.shape(found)}."
    assert not np.allclose(found, o[:, 2:4] @ wo[2:4]), "that is what head j adds; return what the other heads add."
    assert not np.allclose(found, o @ wo - o[:, 1:2] @ wo[1:2]), "that removes one column; head j has d of them, from j d to (j + 1) d."
    assert np.allclose(found, o @ wo - o[:, 2:4] @ wo[2:4]), "head 1 of heads with 2 columns each has the columns 2 and 3 of o."
    _, values = run(baby, clean)
    wo, o = baby.weights()["blocks.1.att.wo"], values[1, "heads"][0]
    bias = baby.weights()["blocks.1.att.bo"]
    logits, _ = run(baby, clean, [Patch(1, "attention", without_head(o, wo, 1, 16) + bias)])
    return f"with it in block 2 the logit difference is {logit_difference(logits, answer, wrong):.1f} instead of {without.difference:.1f}."

# %% tags=["exercise"]
def without_head(o, wo, j, d):
    """o (T, H), wo (H, D), number j of a head, its width d -> (T, D)"""
    return None

check(without_head)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def without_head(o, wo, j, d):
#     """o (T, H), wo (H, D), number j of a head, its width d -> (T, D)"""
#     o = o.copy()
#     o[:, j * d:(j + 1) * d] = 0
#     return o @ wo
#
# check(without_head)
# ```
#
# </details>

# %% [markdown]
# ### 3. How much was restored?
# You have three logit differences: of the clean text, of the corrupted text, and of the corrupted text with one value patched. Return which
# part of the difference between the first two the patch has restored: 0 if nothing has changed, 1 if the prediction is as in the clean text.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=12, number=3)
def check(restored):
    assert restored(4.0, -4.0, 0.0) is not None, "restored returns None: compare the patched value with that of the corrupted text."
    assert not np.isclose(restored(4.0, -4.0, -4.0), 1), "that is the part that is still missing: a patch without an effect should give 0."
    assert np.isclose(restored(4.0, -4.0, -4.0), 0), f"a patch that changes nothing should give 0; yours gives {restored(4.0, -4.0, -4.0):.2f}."
    assert np.isclose(restored(4.0, -4.0, 4.0), 1), f"a patch that restores everything should give 1; yours gives {restored(4.0, -4.0, 4.0):.2f}."
    assert np.isclose(restored(5.0, 1.0, 2.0), 0.25), f"from 1 to 2, on the way from 1 to 5, is a quarter; yours is {restored(5.0, 1.0, 2.0):.2f}."
    i, t = np.unravel_index(patched.positions["block"][:1].argmax(), patched.positions["block"][:1].shape)
    logits, _ = run(baby, corrupted, [Patch(0, "block", run(baby, clean)[1][0, "block"], slice(t, t + 1))])
    found = restored(patched.clean, patched.corrupted, logit_difference(logits, answer, wrong))
    assert np.isclose(found, patched.positions["block"][i, t], atol=1e-5), "the library's result for the strongest position of block 1 differs."
    return f"the strongest position after block 1 restores {found:.0%}."

# %% tags=["exercise"]
def restored(clean, corrupted, patched):
    """Three logit differences -> a number, 0 to 1 where the patch leads towards the clean text"""
    return None

check(restored)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def restored(clean, corrupted, patched):
#     """Three logit differences -> a number, 0 to 1 where the patch leads towards the clean text"""
#     return (patched - corrupted) / (clean - corrupted)
#
# check(restored)
# ```
#
# </details>

# %% [markdown]
# **Next:** [13 · Grokking](13_grokking.ipynb): can a model find a rule long after it has memorized its examples?
