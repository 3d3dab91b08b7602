# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 14 · Bits, cache, speculation
#
# *How can a trained model be made smaller and faster?*
#
# To generate one token, a model uses each of its weights about once. A processor multiplies faster than its memory delivers numbers, so
# with a large model most of the time is spent on reading the weights. That suggests three tricks: make the weights smaller, compute nothing
# twice, and use every weight for several tokens once it has been read. The first trick changes the model a little, and we measure how much.
# The other two do not change the text at all.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
from time import perf_counter

import numpy as np

from littlebaby import arrays
from littlebaby.arrays import backend
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.charts import FLOOR, GRAY, INK, PALE, TRAIN, VALID
from littlebaby.show.tour import TrainingBar, exercise, picture, visible
from littlebaby.show.variant_pictures import squares
from littlebaby.text import nursery

workspace = temporary_workspace()       # this lesson's runs lie here until the kernel ends
print("workspace:", workspace)

# %% [markdown]
# ## Two babies
# We train a baby for this lesson, and a second one with a seventh of its weights, which will help the first one later. Every loss below is
# measured on new stories. Their entropy is known (lesson 1): no model can have a lower loss.

# %% tags=["parameters"] small="steps, small_steps, samples = 30, 20, 40"
steps, small_steps, samples = 1000, 600, 1000       # of the training, of that of the smaller baby; drawings for the last picture

# %%
settings = dict(n_ctx=128, batch_size=8, r_eval_overlap=0.0, s_eval=10_000, n_sample=0, progress=TrainingBar())
with backend.blas_threads(1):                       # such small matrices are multiplied fastest by a single thread
    run = lb.train("nursery", "characters", n_emb=64, n_heads=4, n_layers=2, n_steps=steps, **settings)
    small_run = lb.train("nursery", "characters", n_emb=32, n_heads=2, n_layers=1, n_steps=small_steps, **settings)
model, small = lb.load(run.guid), lb.load(small_run.guid)

new_text = nursery.corpus(6_000, seed=7)[0]
ids, floor = model.encode(new_text), nursery.floor(new_text)
windows = np.stack([ids[i:i + 129] for i in range(0, len(ids) - 129, 128)])
x, y = windows[:, :-1], windows[:, 1:]

for name, baby in {"model": model, "small": small}.items():
    print(f"{name:8} {baby.flat.size:7,} weights, loss on new stories {baby.loss(x, y):.3f} nats per character")
print(f"entropy                    {floor:27.3f}")

# %% [markdown]
# ## Fewer bits
# A weight in float32 takes 32 bits. **Quantization** rounds every weight to one of a few equally spaced *levels* and stores only the number
# of the level, a small integer $q$. The simplest form is symmetric: the levels are $-n, \dots, n$, multiplied by a *scale* $s$, which is
# chosen so that the largest weight becomes the last level. $b$ bits are enough for $n = 2^{b-1} - 1$.
#
# $$s = \frac{\max |w|}{n} \qquad q = \mathrm{round}(w / s) \qquad w \approx s\,q$$
#
# A matrix can have one scale, or one for each column. In $y = x\,w$ a column computes one output, so the sum can be computed with the
# numbers of the levels and multiplied by the scale afterwards. In the table of embeddings it is a row that belongs to one token; there each
# row gets a scale.

# %%
def quantize(w, bits, axis=None):
    """w (I, O), rounded; axis None: one scale for the whole matrix, 0: one for each column, 1: one for each row"""
    n = 2 ** (bits - 1) - 1
    scale = abs(w).max(axis, keepdims=True) / n
    return scale * np.round(w / scale)

matrices = {name: w for name, w in model.weights().items() if w.ndim == 2}
scale_axis = {name: 1 if name == "token" else 0 for name in matrices}

def changed(change):
    """A copy of the model in which every matrix w is replaced by change(name, w)"""
    copy = lb.Baby(model.config, tokenizer=model.tokenizer, flat=model.flat.copy())
    for name in matrices:
        copy.weights()[name][...] = change(name, matrices[name])
    return copy

column = matrices["blocks.0.att.wq"][1:9, :1]
scale = abs(column).max() / 7
print("eight weights     ", *(f"{w:6.3f}" for w in column[:, 0]))
print("their levels      ", *(f"{q:6.0f}" for q in (column / scale).round()[:, 0]), f"   4 bits, scale {scale:.4f}")
print("rounded           ", *(f"{w:6.3f}" for w in quantize(column, 4)[:, 0]))

# %% [markdown]
# Norms and biases are few and stay as they are; all matrices are rounded. We compute with the rounded values in float32, because the loss
# is the same; a program that saves memory stores $q$ and $s$.

# %%
all_bits = [8, 6, 5, 4, 3, 2]
loss_before = model.loss(x, y)
one = {bits: changed(lambda name, w: quantize(w, bits)).loss(x, y) for bits in all_bits}
many = {bits: changed(lambda name, w: quantize(w, bits, scale_axis[name])).loss(x, y) for bits in all_bits}

n_weights, n_scales = sum(w.size for w in matrices.values()), sum(w.shape[1 - scale_axis[name]] for name, w in matrices.items())
print("bits per weight   kilobytes   one scale per matrix   one per column")
print(f"{32:15}   {n_weights * 4 / 1000:9.1f}   {loss_before:20.3f}   {loss_before:14.3f}")
for bits in all_bits:
    print(f"{bits:15}   {(n_weights * bits / 8 + n_scales * 4) / 1000:9.1f}   {one[bits]:20.3f}   {many[bits]:14.3f}")

axes = picture("loss by bits per weight, nats per character", height=3.6)
for losses, name, color, offset in ((one, "one scale per matrix", VALID, (-10, 4)), (many, "one scale per column", TRAIN, (10, -8))):
    axes.semilogy(all_bits, losses.values(), "o-", color=color)
    axes.annotate(name, (3, losses[3]), offset, textcoords="offset points", color=color, ha="left" if offset[0] > 0 else "right", va="center")
for height, name, color in ((floor, "entropy", FLOOR), (loss_before, "32 bits", GRAY)):
    axes.axhline(height, color=color, ls=(0, (6, 3)))
    axes.annotate(name, (2, height), (0, -9), textcoords="offset points", color=color, ha="right", va="center")
axes.invert_xaxis()
axes.set_yticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
axes.set_yticks([], minor=True)
axes.set_ylim(0.16, 9);

# %% [markdown]
# Eight bits lose nothing that one could measure: most of the 32 bits were never needed. At four bits it matters how many scales there are,
# and more of them cost little: here 5 kilobytes, in larger matrices an even smaller part. With three bits the model is damaged, and with
# two, that is with three levels, its loss is higher than that of a uniform prediction, $\ln 47 = 3.85$.
#
# ## One large weight
# Why do more scales help? The largest weight determines the levels of all weights that share its scale. A weight or value that is far
# larger than the others is called an **outlier**. We plant one: a single weight out of 16,384 gets twenty times the standard deviation of
# its matrix.

# %%
name, place = "blocks.0.net.up", (5, 7)
with_outlier = matrices[name].copy()
with_outlier[place] = 20 * with_outlier.std()

left, right = picture("weights, and the levels of 4 bits", "the same with one outlier, at the arrow", widths=(1, 1.6), height=2.8)
for axes, w in ((left, matrices[name]), (right, with_outlier)):
    scale = abs(w).max() / 7
    axes.hist(w.ravel(), 80, color=TRAIN)
    for q in range(-7, 8):
        axes.axvline(scale * q, color=VALID, lw=0.6)
    levels = np.unique(np.round(w / scale))
    print(f"{len(levels)} of 15 levels are used; {(np.round(w / scale) == 0).mean():.0%} of the weights become 0")
left.set_xticks([-0.5, 0, 0.5])
right.annotate("", (with_outlier[place], 0), (with_outlier[place], 500), arrowprops=dict(arrowstyle="->", color=INK))

def loss_with(w):
    """The loss of the model with w in place of this one matrix"""
    return changed(lambda each, old: w if each == name else old).loss(x, y)

def apart(w):
    """All weights but the outlier with 4 bits and one scale; the outlier stays as it is"""
    rest = w.copy()
    rest[place] = 0
    rest = quantize(rest, 4)
    rest[place] = w[place]
    return rest

print(f"\nno outlier    4 bits, one scale                           loss {loss_with(quantize(matrices[name], 4)):.3f}")
for words, w in {"32 bits": with_outlier, "4 bits, one scale": quantize(with_outlier, 4), "4 bits, one scale per column": quantize(with_outlier, 4, 0),
                 "4 bits, one scale, the outlier stored apart": apart(with_outlier)}.items():
    print(f"one outlier   {words:43} loss {loss_with(w):.3f}")

# %% [markdown]
# The outlier itself does hardly any harm. But with a common scale it pulls the levels apart, and almost all other weights fall on the same
# few levels. A scale per column confines the damage to one column of 256; to store the outlier apart avoids it.
#
# This is what decides how few bits a large model needs. There the worst outliers are not weights but activations: in models of more than
# about six billion weights, a few dimensions of the residual stream are up to twenty times larger than all others. Dettmers et al.
# ([2022](https://arxiv.org/abs/2208.07339)) multiply these few in 16 bits, and more than 99.9% of the values in 8 bits, with a scale for
# each row and column, and the model predicts as well as before. Frantar et al. ([2022](https://arxiv.org/abs/2210.17323)) keep the weights
# in 3 or 4 bits: they round one row after the other, and after each they correct the rows that are not yet rounded, so that the outputs of
# the layer on some real text change as little as possible.
#
# ## Which weights need their bits?
# We round one matrix at a time to two bits, leave all others as they are, and look at how much the loss rises.

# %%
only = lambda each: changed(lambda name, w: quantize(w, 2, scale_axis[name]) if name == each else w)
rise = {each: only(each).loss(x, y) - loss_before for each in matrices}
axes = picture("rise of the loss if only this matrix has 2 bits; number of its weights", height=3.6)
axes.barh(list(rise), rise.values(), color=[VALID if name == "token" else TRAIN for name in rise])
for i, (name, height) in enumerate(rise.items()):
    axes.annotate(f"{matrices[name].size:,}", (max(height, 0), i), (4, 0), textcoords="offset points", va="center", color=GRAY, fontsize=8)
axes.invert_yaxis()
axes.grid(False)

for words, bits_of in {"4 bits for all": lambda name: 4, "3 bits for all": lambda name: 3,
                       "embeddings 8, both blocks 3": lambda name: 8 if name == "token" else 3,
                       "embeddings 8, block 1 4, block 2 3": lambda name: 8 if name == "token" else 4 if "blocks.0" in name else 3}.items():
    loss = changed(lambda name, w: quantize(w, bits_of(name), scale_axis[name])).loss(x, y)
    mean = sum(w.size * bits_of(name) for name, w in matrices.items()) / n_weights
    print(f"{words:34}  {mean:.2f} bits per weight on average, loss {loss:.3f}")

# %% [markdown]
# The table of embeddings has 3% of the weights and needs its bits most. It is used twice, at the beginning and as the output head, and
# everything that the model knows about a token at first is in its row. More bits for so small a part are cheap, and many programs for
# quantized models keep embeddings or output head in more bits. The first block needs more than the second, because everything that follows
# computes with its errors.
#
# ## Nothing twice
# Now to the second trick. The KV cache of lesson 8 stores keys and values so that they need not be computed again. That is allowed because
# attention is causal: a new token changes nothing in the tokens before it. Let us look at the keys in the last block, before and after a
# token is added:

# %%
from littlebaby.model import gpt
from littlebaby.model.context import Context

def cached_keys(n):
    """The keys of the last block in the cache after n tokens: (heads, n, width of a head)"""
    cache = {}
    gpt.forward(model.p, ids[None, :n], Context(model.config, cache=cache))
    rows = cache[1]["att"]["k"]
    return rows.buffer[0, :, rows.first:rows.stop]

before, after = cached_keys(23), cached_keys(24)
print("keys of 23 tokens", before.shape, "  keys of 24 tokens", after.shape,
      f"  largest change of the first 23: {abs(after[:, :23] - before).max():.0e}")

from littlebaby.check.causes import all_attention_weights
from littlebaby.check.interventions import run as run_and_record

weights = all_attention_weights(model, run_and_record(model, ids[None, :24])[1])[1, 0, 0]
pair = picture("without a cache, token 24 computes all of these", "with a cache, the last row", height=3.6)
for axes, rows in zip(pair, (weights, np.where(np.arange(24)[:, None] == 23, weights, 0))):
    squares(axes, rows, axes.get_title(loc="left"))
    axes.set_xticks(range(24), visible(new_text[:24]), fontsize=7)
    axes.set_yticks([0, 23], ["1", "24"])
pair[1].text(11.5, 11.5, "not computed again", color=GRAY, ha="center", va="center");

# %% [markdown]
# The keys differ by no more than rounding. The pictures show the attention weights of one head: row $t$ says how much token $t$ attends to
# each token. Without a cache a model computes the whole triangle again for every new token, and also the queries, keys, values and networks
# of all tokens before. How many multiplications is that? Each of $t$ tokens is multiplied with all $N$ weights of the matrices, and in each
# of $L$ blocks of width $H$ a token costs $2H$ for each token that it attends to:
#
# $$\text{without: } t\,N + 2 H L\,\frac{t\,(t + 1)}{2} \qquad\qquad \text{with: } N + 2 H L\,t$$

# %%
from littlebaby.inference.generate import generate
from littlebaby.inference.sampling import Sampling

N, H, L, T = n_weights, model.config.head_size, model.config.n_layers, 120
t = np.arange(1, T + 1)
multiplications = {False: t * N + H * L * t * (t + 1), True: N + 2 * H * L * t}

def seconds_of_tokens(cached):
    """Seconds for each of T new tokens"""
    seconds, begin = [], perf_counter()
    for _ in generate(model.p, model.config, ids[None, :1], T, Sampling(temperature=0), np.random.default_rng(0), cached):
        seconds.append(perf_counter() - begin)
        begin = perf_counter()
    return seconds

with backend.blas_threads(1):
    seconds = {cached: np.min([seconds_of_tokens(cached) for _ in range(5)], 0) for cached in (False, True)}    # the shortest of five times

milliseconds = {cached: 1000 * s for cached, s in seconds.items()}
for axes, values in zip(picture("multiplications for token t", "milliseconds for token t", height=3), (multiplications, milliseconds)):
    for cached, color, name in ((False, VALID, "without cache"), (True, FLOOR, "with cache")):
        axes.semilogy(t, values[cached], color=color, lw=1.5)
        axes.annotate(name, (T, values[cached][T // 2:].min()), (0, -6), textcoords="offset points", color=color, ha="right", va="top")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    axes.set_ylim(bottom=values[True].min() / 2)

print("without a cache, compared with one:")
for words, part in ((f"token {T}", slice(T - 1, T)), (f"all {T} tokens", slice(T))):
    more, longer = (values[False][part].sum() / values[True][part].sum() for values in (multiplications, seconds))
    print(f"    {words:14} {more:5.0f} times the multiplications, {longer:5.1f} times the seconds on this machine")

texts = {cached: model.generate(ids[:8], T, temperature=0.8, seed=1, cached=cached) for cached in (True, False)}
print(f"\nthe same text: {np.array_equal(texts[True], texts[False])}\n{new_text[:8]}{model.decode(texts[True])}")

# %% [markdown]
# The cache saves almost all multiplications and does not change a single character. (The first token gains nothing; there is nothing to
# store yet.) It does not save as much time: with a cache each weight is read for the sake of one multiplication, without one for $t$ of
# them. A processor is far better at the second. That is no reason to do without a cache, but it is an opportunity, which the third trick
# takes.
#
# ## What the cache costs
# The price is memory. For each token and block, `mha` stores a key and a value of the full width $H$; `gqa` has $n$ heads of width $d$ for
# keys and values; `mla` stores a vector of width $c$, from which all keys and values can be computed, and $r$ numbers for the position.
# Formula, and what is counted in the arrays:

# %%
from littlebaby.check.preflight import numbers
from littlebaby.inference.generate import Reader

for name in ("mha", "gqa", "mla"):
    cfg = lb.Config(c_attention=name, n_ctx=128, n_emb=128, n_heads=8, n_kv_heads=2 if name == "gqa" else 0, n_layers=3, c_position="rope")
    reader = Reader(lb.Baby(cfg, vocab_size=model.tokenizer.size).p, cfg)
    reader.read(ids[None, :100])
    formula, words = dict(mha=(2 * cfg.head_size, "2 H"), gqa=(2 * cfg.n_kv_heads * cfg.head_width, "2 n d"),
                          mla=(cfg.mla_rank + cfg.mla_rope, "c + r"))[name]
    print(f"{name}   {words:5} = {formula:3} numbers; of 100 tokens in 3 blocks {100 * 3 * formula:6,}; counted {numbers(reader.cache):6,}; "
          f"{numbers(reader.cache) * 4 / 1000:5.1f} kilobytes")

# %% [markdown]
# A cache can be quantized, too. With long texts that can save more memory than quantizing the weights does.
#
# ## Several at once
# Here is a model with 25 million random weights, too large for the fast memory inside the processor. How long does it take to read several
# new tokens in one call, compared with one token?

# %% tags=["parameters"] small="width, calls = 128, 2"
width, calls = 1024, 5

# %%
large = lb.Baby(lb.Config(n_ctx=128, n_emb=width, n_heads=8, n_layers=2), vocab_size=model.tokenizer.size, seed=0)
reader, counts = Reader(large.p, large.config), (1, 2, 4, 8, 16, 32)
with backend.blas_threads(1):
    reader.read(ids[None, :64])
    times = {n: [] for n in counts}
    for n in calls * counts:
        fork, begin = reader.fork(), perf_counter()         # a copy of the cache with 64 tokens
        fork.read(ids[None, :64 + n], n)
        times[n].append(perf_counter() - begin)
for n in counts[1:]:
    print(f"{n:3} tokens in one call: {min(times[n]) / min(times[1]):5.1f} times as long as one token")
del large, reader

# %% [markdown]
# The more tokens there are in one call, the less each of them costs. On a GPU the effect is larger still, because its memory is even slower
# compared with its arithmetic: a few tokens take about as long as one (Chen et al. [2023](https://arxiv.org/abs/2302.01318)). But a text is
# generated token by token; how could one know several in advance?
#
# One guesses. In **speculative decoding** a second, cheaper model, the **draft model**, proposes the next few tokens. The model itself
# reads all proposals in one call, which tells it what it would have written at each place. The proposals are kept up to the first one that
# is wrong, and in its place the model's own token is used, which the same call has computed. So every call yields at least one token. Here
# is what happens at temperature 0, with six proposals at a time:

# %%
def check_proposals(draft, ids, ahead):
    """How many of the draft's proposals are right, and the new ids, at temperature 0"""
    proposed = draft.generate(ids, ahead, temperature=0)
    wanted = model.logits(np.concatenate([ids, proposed]))[0, len(ids) - 1:].argmax(-1)     # (ahead + 1): the model's token at each place
    right = int((proposed == wanted[:-1]).cumprod().sum())
    return right, wanted[:right + 1]

def rounds(draft, ids, ahead, length=100):
    """The rounds that lead to `length` ids: (number of right proposals, new ids) of each"""
    found = []
    while len(ids) < length:
        found.append(check_proposals(draft, ids, ahead))
        ids = np.concatenate([ids, found[-1][1]])
    return found

with backend.blas_threads(1):
    found = rounds(small, ids[:20], 6)
print(new_text[:20] + "".join(f"{model.decode(new[:-1])}[{model.decode(new[-1:])}]" for _, new in found))
print(f"\n{sum(len(new) for _, new in found)} characters in {len(found)} calls of the model. In brackets: the model's own. "
      "All others: proposals of the small baby")

# %% [markdown]
# The small baby makes many mistakes, but most characters are easy: after `Once th` anybody would write `ere`. The share of proposals that
# are accepted is called the **acceptance rate**. It depends on how many tokens are proposed at a time, because after a wrong one all others
# are lost. As the draft model we can use the small baby, or the model itself, rounded to few bits, which on a suitable machine is cheaper,
# too:

# %% tags=["parameters"] small="lengths, prompts = (1, 4), [ids[:20]]"
lengths, prompts = (1, 2, 3, 4, 6, 8, 12), [ids[i:i + 20] for i in range(0, 4800, 600)]

# %%
drafts = {"4 bits": changed(lambda name, w: quantize(w, 4, scale_axis[name])), "small baby": small,
          "3 bits": changed(lambda name, w: quantize(w, 3, scale_axis[name]))}
left, right = picture("acceptance rate, by number of proposals", "tokens per call of the model", height=3.4)
with backend.blas_threads(1):
    for (name, draft), color in zip(drafts.items(), (FLOOR, TRAIN, VALID)):
        found = {ahead: [each for prompt in prompts for each in rounds(draft, prompt, ahead)] for ahead in lengths}
        rates = [np.mean([right for right, _ in found[ahead]]) / ahead for ahead in lengths]
        per_call = [np.mean([len(new) for _, new in found[ahead]]) for ahead in lengths]
        for axes, values in ((left, rates), (right, per_call)):
            axes.plot(lengths, values, "o-", ms=4, color=color)
            axes.annotate(name, (lengths[-1], values[-1]), (7, 0), textcoords="offset points", color=color, va="center")
        print(f"{name:10}  acceptance rate {rates[0]:.0%} with {lengths[0]} proposal, {rates[-1]:.0%} with {lengths[-1]}; "
              f"tokens per call {per_call[0]:.1f} to {per_call[-1]:.1f}")
left.set_xticks(lengths)
right.set_xticks(lengths)
left.set_ylim(0, 1)
left.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
right.set_ylim(0);

# %% [markdown]
# More proposals yield more tokens per call, but less and less, and each has its price. How many are best depends on how much cheaper the
# draft model is. The best of the three is the one that agrees with the model most often; the small baby, with a seventh of the weights, is
# better than the model itself with 3 bits.
#
# ## The same text
# `Baby.speculate` is the library's version, with a cache for both models. (In a shell: `littlebaby inference GUID --draft GUID`.)

# %%
with backend.blas_threads(1):
    begin = perf_counter()
    plain = model.generate(ids[:20], 100, temperature=0)
    plain_seconds = perf_counter() - begin
    for name, draft in drafts.items():
        begin = perf_counter()
        text = model.speculate(draft, ids[:20], 100, ahead=6, temperature=0)
        longer = (perf_counter() - begin) / plain_seconds
        print(f"draft model {name:10}   the same text as without: {np.array_equal(text, plain)}   {longer:.1f} times as long")

# %% [markdown]
# The text is the same, but it took longer! For babies speculation does not pay: their weights fit into the fast memory, and what takes time
# is not to read them but to call the functions. It pays where a call with several tokens takes little longer than one with a single token:
# with large models, above all on GPUs.
#
# And above temperature 0, where tokens are drawn? Let $p$ be the model's probabilities and $q$ those of the draft model. A proposal, that
# is a token $x$ drawn from $q$, is accepted with the probability $\min(1, p(x) / q(x))$: always if the model thinks it likelier than the
# draft model does, and less often if the draft model proposes it too often. If it is rejected, another one is drawn in a way that exactly
# makes up for it (exercise 3). Then every token has the probability $p$, however bad the draft model is (Leviathan et al.
# [2022](https://arxiv.org/abs/2211.17192)). We draw the character after `Zoe hid a ` many times:

# %%
prompt = model.encode("Zoe hid a ")
with backend.blas_threads(1):
    drawn = [model.speculate(small, prompt, 2, seed=i)[0] for i in range(samples)]
share = np.bincount(drawn, minlength=model.tokenizer.size) / samples
p, q = (arrays.softmax(baby.logits(prompt)[0, -1:])[0][0] for baby in (model, small))

likely = np.argsort(-p)[:12]
axes = picture("the character after Zoe hid a: probabilities, and the shares that were drawn", height=3.2)
for place, values, color, name in ((-0.27, q, PALE, "draft model"), (0, p, FLOOR, "model"), (0.27, share, TRAIN, f"drawn with both, {samples:,} times")):
    axes.bar(np.arange(12) + place, values[likely], 0.25, color=color, label=name)
axes.set_xticks(range(12), visible([model.tokenizer.tokens()[i] for i in likely]))
axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
axes.legend(frameon=False, labelcolor=GRAY)
print(f"largest difference between a share and the model's probability {abs(share - p).max():.3f}, the draft model's {abs(share - q).max():.3f}; "
      f"chance alone causes about {np.sqrt(p.max() * (1 - p.max()) / samples):.3f}")

# %% [markdown]
# ## Try it
# ### 1. A better scale
# The largest weight need not be a level. With a smaller scale the levels are closer together; the few weights beyond the last level $n$ are
# then rounded to it. Try the hundred scales $\frac{i}{100} \cdot \frac{\max |w|}{n}$, $i = 1, \dots, 100$, and return the one with the
# smallest sum of squared errors. `np.clip(q, -n, n)` keeps levels within their limits.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=14, number=1)
def check(best_scale):
    w = np.random.default_rng(1).standard_normal(500)
    scales = np.arange(1, 101) / 100 * abs(w).max() / 3
    errors = np.array([((s * np.clip(np.round(w / s), -3, 3) - w) ** 2).sum() for s in scales])
    found, best = best_scale(w, 3), scales[errors.argmin()]
    assert found is not None, "best_scale returns None: return the scale with the smallest sum of squared errors."
    assert np.ndim(found) == 0, f"return one number, the best scale; your result has the shape {np.shape(found)}."
    assert not np.isclose(found, scales[-1]), "that is the scale with which the largest weight is the last level; a smaller one has a smaller error."
    assert not np.isclose(found, scales[0]), "that is the smallest scale: without a limit more levels are always better, so clip them to -n, ..., n."
    assert not np.isclose(found, errors.min()), "that is the smallest error; return the scale that has it."
    assert not np.isclose(found, best * 3 / abs(w).max()), "that is the factor i / 100; return the scale, which is the factor times max |w| / n."
    assert np.isclose(found, best), f"for 500 normal weights and 3 bits the best scale is {best:.4f}; yours is {found:.4f}."
    def rounded(name, w, bits):
        limit, columns = 2 ** (bits - 1) - 1, w if scale_axis[name] == 0 else w.T
        s = np.array([best_scale(each, bits) for each in columns.T], np.float32)
        columns = s * np.clip(np.round(columns / s), -limit, limit)
        return columns if scale_axis[name] == 0 else columns.T
    return (f"{best:.4f} instead of {scales[-1]:.4f}. With the best scale of every column, 3 bits have a loss of "
            f"{changed(lambda name, w: rounded(name, w, 3)).loss(x, y):.3f} instead of {many[3]:.3f}.")

# %% tags=["exercise"]
def best_scale(w, bits):
    """w (n_weights,) -> the scale, a number"""
    return None

check(best_scale)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def best_scale(w, bits):
#     """w (n_weights,) -> the scale, a number"""
#     n = 2 ** (bits - 1) - 1
#     scales = np.arange(1, 101) / 100 * abs(w).max() / n
#     errors = [((s * np.clip(np.round(w / s), -n, n) - w) ** 2).sum() for s in scales]
#     return scales[np.argmin(errors)]
#
# check(best_scale)
# ```
#
# </details>

# %% [markdown]
# ### 2. One token with a cache
# Write the attention of one head for one new token. `x` $(D)$ is its vector; `keys` and `values` $(S, d)$ are those of the $S$ tokens
# before, from the cache. Return the output $(d)$, and the cache for the next token. As in lesson 4, scores are divided by the root of $d$,
# and the token attends to itself, too.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=14, number=2)
def check(attend):
    rng = np.random.default_rng(2)
    D, d, S, n = 6, 4, 3, 8
    tokens, (wq, wk, wv) = rng.standard_normal((n, D)), rng.standard_normal((3, D, d))
    q, k, v = tokens @ wq, tokens @ wk, tokens @ wv
    def output(t, scale=d ** -0.5, keys=None):
        seen = t + 1 if keys is None else keys
        return arrays.softmax(scale * q[t:t + 1] @ k[:seen].T)[0][0] @ v[:seen]
    answer = attend(tokens[S], wq, wk, wv, k[:S].copy(), v[:S].copy())
    assert answer is not None, "attend returns None: return the output, the keys and the values, in this order."
    assert isinstance(answer, tuple) and len(answer) == 3, "return three arrays: the output, and the keys and values for the next token."
    o, keys, values = answer
    assert np.shape(o) == (d,), f"the output of one token should have the shape ({d},); yours has {np.shape(o)}."
    assert not np.allclose(o, output(S, keys=S)), "the token does not attend to itself: add its key and value first."
    assert not np.allclose(o, output(S, scale=1)), "the scores are too large: divide them by the root of d."
    assert np.allclose(o, output(S)), "the output differs from that of attention to all tokens at once."
    shapes = f"your keys have {np.shape(keys)}, your values {np.shape(values)}"
    assert np.shape(keys) == np.shape(values) == (S + 1, d), f"the cache of {S + 1} tokens has the shape ({S + 1}, {d}); {shapes}."
    assert np.allclose(keys, k[:S + 1]) and np.allclose(values, v[:S + 1]), "the new rows of the cache should be x wk and x wv, at the end."
    keys, values, error = np.zeros((0, d)), np.zeros((0, d)), 0.0
    for t in range(n):
        o, keys, values = attend(tokens[t], wq, wk, wv, keys, values)
        error = max(error, abs(o - output(t)).max())
    assert error < 1e-12, f"from an empty cache on, the outputs differ by {error:.1g} from those of attention to all tokens at once."
    return f"{n} tokens, one after the other, agree with all of them at once to {error:.0e}. That is a KV cache."

# %% tags=["exercise"]
def attend(x, wq, wk, wv, keys, values):
    """x (D,), wq, wk, wv (D, d), keys and values (S, d) -> output (d,), keys and values (S + 1, d)"""
    return None

check(attend)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def attend(x, wq, wk, wv, keys, values):
#     """x (D,), wq, wk, wv (D, d), keys and values (S, d) -> output (d,), keys and values (S + 1, d)"""
#     keys, values = np.vstack([keys, x @ wk]), np.vstack([values, x @ wv])
#     scores = keys @ (x @ wq) / np.sqrt(keys.shape[1])
#     a = np.exp(scores - scores.max())
#     return a / a.sum() @ values, keys, values
#
# check(attend)
# ```
#
# </details>

# %% [markdown]
# ### 3. Accept or replace
# `p` and `q` $(V)$ are the probabilities of the model and of the draft model, and `token` was drawn from `q`. Return the probability with
# which it is accepted, and the probabilities $(V)$ from which another token is drawn if it is rejected. Together they must give every token
# the probability $p$. Think of a bar picture of $p$ and $q$: where $q$ is higher, the proposals beyond $p$ are rejected. Where $p$ is
# higher, how much is missing?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
numbers_in = lambda values: ", ".join(f"{value:.2f}" for value in values)

@exercise(lesson=14, number=3)
def check(accept):
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    answers = [accept(p, q, token) for token in range(3)]
    assert answers[0] is not None, "accept returns None: return a probability and an array of probabilities."
    pairs = all(isinstance(answer, tuple) and len(answer) == 2 for answer in answers)
    assert pairs, "return two things: a probability and an array of probabilities."
    rates, others = [answer[0] for answer in answers], [np.asarray(answer[1]) for answer in answers]
    assert not np.allclose(rates, p), "a token is accepted with p alone; but q proposes some tokens often and others rarely: compare the two."
    assert not np.isclose(rates[2], 1), "of a token with q = 0.6 and p = 0.2 two of three proposals should be rejected: p / q, not q / p."
    assert max(rates) <= 1, f"a probability cannot be {max(rates):.2f}: where p is higher than q, accept always."
    assert np.allclose(rates, [1, 1, 1 / 3]), f"for p = 0.5, 0.3, 0.2 and q = 0.2, 0.2, 0.6 return 1, 1, 1/3; yours are {numbers_in(rates)}."
    assert others[2].shape == (3,), f"the second result should have the shape (3,), one probability for each token; yours has {others[2].shape}."
    assert not np.allclose(others[2], p), "with p itself, tokens that q proposes often come too often: draw only from what is missing."
    assert np.isclose(others[2].sum(), 1), f"the probabilities of the other tokens should sum to 1; yours sum to {others[2].sum():.2f}."
    total = sum(q[x] * (rates[x] * np.eye(3)[x] + (1 - rates[x]) * others[x]) for x in range(3))
    assert np.allclose(total, p), f"together this gives the probabilities {numbers_in(total)} instead of 0.50, 0.30, 0.20."
    from littlebaby.inference.speculative import acceptance
    p, q = np.random.default_rng(3).dirichlet(np.ones(8), 2)
    mine, theirs = accept(p, q, int((q - p).argmax())), acceptance(p, q, int((q - p).argmax()))
    assert np.isclose(mine[0], theirs[0]) and np.allclose(mine[1], theirs[1]), "for eight tokens the result differs from the library's."
    rate = q @ [accept(p, q, x)[0] for x in range(8)]
    return f"every token has exactly the probability p. For two random p and q {rate:.0%} are accepted, which is the sum of min(p, q)."

# %% tags=["exercise"]
def accept(p, q, token):
    """p and q (V,) -> probability that the token is accepted, probabilities (V,) of the token that replaces it if not"""
    return None

check(accept)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def accept(p, q, token):
#     """p and q (V,) -> probability that the token is accepted, probabilities (V,) of the token that replaces it if not"""
#     missing = np.maximum(p - q, 0)
#     return min(1, p[token] / q[token]), missing / missing.sum()
#
# check(accept)
# ```
#
# </details>

# %% [markdown]
# **Next:** [15 · Rewards](15_rewards.ipynb): how does a model learn from a judgement, when nobody shows it the right text?
