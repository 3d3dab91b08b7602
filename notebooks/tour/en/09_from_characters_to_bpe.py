# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 9 · From characters to BPE
#
# *What is a symbol?*
#
# Until now a symbol was a character. That is simple, and long: a window of 256 sees hardly five lines. One could take words instead; but then
# what of a word that was never seen? **Byte pair encoding** lies between: it begins with bytes, and lets the text itself say which symbols are
# worth having. You will write it in a dozen lines, and get the library's symbols, one by one.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
from collections import Counter

import numpy as np

from littlebaby import text as texts
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.tour import exercise, picture
from littlebaby.text import bpe, nursery

workspace = temporary_workspace()       # this lesson's runs lie here until the kernel ends
print("workspace:", workspace)

# %% [markdown]
# ## One step
# Look for the two neighbours that stand side by side most often, and make them one symbol. That is all, again and again.

# %%
story, _ = nursery.corpus(120_000, seed=1)
words = Counter(bpe.translated(*bpe.GPT2).compiled.findall(story))    # a word with the space before it, a number, punctuation: merges stay inside these
print(len(words), "different pieces; the most frequent:", words.most_common(6))

# %%
def most_frequent_pair(spelled):
    """spelled: {tuple of symbols: how often}"""
    pairs = Counter()
    for symbols, n in spelled.items():
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += n
    return max(pairs, key=lambda pair: (pairs[pair], [-ord(c) for c in "".join(pair)]))

def merge(symbols, pair):
    """Every `pair` of the symbols, from the left, becomes one"""
    out, i = [], 0
    while i < len(symbols):
        both = tuple(symbols[i:i + 2]) == pair
        out.append("".join(pair) if both else symbols[i])
        i += 1 + both
    return tuple(out)

spelled = {tuple(word.replace(" ", "Ġ").replace("\n", "Ċ")): n for word, n in words.items()}     # GPT-2 writes a space as Ġ
merges = []
for _ in range(40):
    pair = most_frequent_pair(spelled)
    spelled = {merge(symbols, pair): n for symbols, n in spelled.items()}
    merges.append(pair)
print(" ".join("".join(pair) for pair in merges))

# %% [markdown]
# Read what it found, from left to right: first pairs of letters, then ends of words, then words with their space. Now the library's, which does
# the same with a heap, so that forty thousand merges take seconds and not days:

# %%
library = texts.train("bpe", story, 257 + 40)            # one mark for the end of a text, 256 bytes, and 40 learned symbols
print(f"the same symbols: {sum(a == b for a, b in zip(merges, library.merges))} of 40, in the same order")

# %% [markdown]
# (Where two pairs are equally frequent, somebody has to go first; a difference there is a matter of taste, not of truth.)
#
# ## How much shorter?
# Every new symbol shortens the text a little, and makes the table and the head of a model longer. Where does it stop to pay?

# %%
sizes = [257, 300, 350, 400, 500, 700, 1000]
tokenizers = [texts.train("bpe", story, size) for size in sizes]
axes = picture("characters per symbol, by size of the vocabulary", height=3.2)
axes.plot([t.size for t in tokenizers], [len(story) / len(t.encode(story)) for t in tokenizers], "o-", color=TRAIN)
axes.set_ylim(0)
for t in (tokenizers[0], tokenizers[2], tokenizers[-1]):
    pieces = [t.decode([i]) for i in t.encode("Zoe hid a yellow mask beside a red door.")]
    print(f"{t.size:5} symbols: {'·'.join(pieces)}")

# %% [markdown]
# The nursery has few words, so the curve ends early: once every word is a symbol nothing is left to merge, and the tokenizer stops by itself at
# whatever it has. A real language goes on for tens of thousands.
#
# ## Whose symbols?
# A tokenizer learns the habits of its text. Let this one, which has read English, spell other things:

# %%
t = tokenizers[-1]
for name, line in (("English", "Once there was a kind fox named Ada."), ("English, shouted", "ONCE THERE WAS A KIND FOX NAMED ADA."),
                   ("German", "Es war einmal ein lieber Fuchs."), ("Greek", "Μια φορά ήταν μια καλή αλεπού."), ("a number", "3141592653589793")):
    n = len(t.encode(line))
    print(f"{name:17} {len(line):3} characters, {n:3} symbols, {n / len(line):.2f} for each")
    assert t.decode(t.encode(line)) == line

# %% [markdown]
# Nothing is unknown: what has no symbol is spelled in bytes. But Greek costs more than one symbol per *character*, shouting nearly four times as
# much as speaking, and that is what people of many languages pay, in money and in window, for tokenizers that read mostly English.
#
# ## Who is better?
# Now we have models whose losses cannot be compared: one is asked for a character, the other for half a word, so of course its guess is harder.
# What can be compared is the surprise at the same **text**: bits per character.

# %% tags=["parameters"] small="settings = dict(n_ctx=32, n_emb=32, n_heads=4, n_layers=1, n_steps=30, batch_size=4)"
settings = dict(n_ctx=64, n_emb=48, n_heads=4, n_layers=2, n_steps=200, batch_size=8)

# %%
from math import log

found = {}
for kind in ("char", "bpe"):
    run = lb.train("nursery", progress=False, c_tokenizer=kind, s_vocabulary=600, n_completion=200, n_sample=0, s_eval=settings["n_steps"],
                   r_eval_overlap=0.0, **settings)
    report = run.report
    found[kind] = report.best_valid_loss, report.figures.bits_per_character
    print(f"{kind:5} {report.vocabulary:4} symbols   loss {report.best_valid_loss:.3f} nats per symbol   "
          f"{report.figures.bits_per_character:.3f} bits per character   {report.figures.parameters.total:,} weights")
    print("      ", " ".join(run.completion.text.split())[:110], "\n")
print(f"perfection: {nursery.floor(story) / log(2):.3f} bits per character")

left, right = picture("nats per symbol: cannot be compared", "bits per character: can be; dashed is perfection", height=2.6)
for axes, values in zip((left, right), zip(*found.values())):
    axes.bar(list(found), values, color=(TRAIN, VALID), width=0.5)
    for i, value in enumerate(values):
        axes.annotate(f"{value:.2f}", (i, value), (0, 3), textcoords="offset points", ha="center", color=INK)
    axes.margins(x=0.3, y=0.15)
right.axhline(nursery.floor(story) / log(2), color=FLOOR, ls=(0, (6, 3)))

# %% [markdown]
# On the left they look alike. On the right, where both are asked about the same text, they do not: a symbol of `bpe` is several letters, so the same
# surprise buys several times as much. With the same steps and the same window it has read that much more and sees that much farther, and it never
# has to learn how a word is spelled. What it pays are weights: the table that it reads with and the head that it guesses with grow with the vocabulary.
#
# ## Try it
# ### 1. Compare fairly
# A model has a loss of `nats` per symbol, on a text of `characters` characters that it spells in `symbols` symbols. How many bits per character?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(bits):
    a = bits(np.log(2), 100, 100)
    assert a is not None, "bits returns None: all nats of the text, as bits, divided among its characters."
    assert abs(a - 1) < 1e-10, f"ln 2 nats per symbol, as many symbols as characters: that is 1 bit per character; yours says {a:.3f}."
    b = bits(2.0, 100, 400)
    assert abs(b - 2 * 100 / np.log(2) / 400) < 1e-10, f"2 nats for each of 100 symbols, over 400 characters, are {50 / np.log(2) / 100:.4f} bits; yours says {b:.4f}."
    return f"a loss of 2.0 with four characters per symbol beats a loss of 0.6 per character: {b:.3f} bits against {0.6 / np.log(2):.3f}."

# %% tags=["exercise"]
def bits(nats, symbols, characters):
    """Bits per character"""
    return None

check(bits)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def bits(nats, symbols, characters):
#     """Bits per character"""
#     return nats * symbols / np.log(2) / characters
#
# check(bits)
# ```
#
# </details>

# %% [markdown]
# ### 2. Spell it
# Learning is one half, spelling the other: a new word is spelled by replaying the merges **in the order in which they were learned**. Write it,
# with `merge` from above.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(spell):
    trained = texts.train("bpe", story, 500)
    assert spell("Ġfox", trained.merges) is not None, "spell returns None: begin with tuple(word), apply merge for every pair in order, return what is left."
    for word in ("Ġfox", "Ġyellow", "ĠMonday", "Ġmarched", "Once", "Ġunheard"):
        right = tuple(trained.vocabulary[i] for i in trained.encode(word.replace("Ġ", " ")))
        got = tuple(spell(word, trained.merges))
        assert got == right, f"{word} is {' '.join(right)}; yours spells {' '.join(got)}."
    return "six words spelled as the library spells them, one that it had never seen among them: " + "·".join(spell("Ġunheard", trained.merges))

# %% tags=["exercise"]
def spell(word, merges):
    """The symbols of a word, by replaying the merges, [(left, right), ...]"""
    return None

check(spell)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def spell(word, merges):
#     """The symbols of a word, by replaying the merges, [(left, right), ...]"""
#     symbols = tuple(word)
#     for pair in merges:
#         symbols = merge(symbols, tuple(pair))
#     return symbols
#
# check(spell)
# ```
#
# </details>

# %% [markdown]
# ### 3. Bytes
# How many bytes does UTF-8 need for `e`, `é`, `ε` and `🦊`? Guess first; then put the four numbers in a list. (`"é".encode()` gives bytes.) This
# is how many symbols each costs a tokenizer that has never met it.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(lengths):
    assert lengths is not None, "put a list of four numbers in place of None, such as [1, 1, 1, 1]."
    right = [len(c.encode()) for c in "eéε🦊"]
    assert len(lengths) == 4, f"there are four characters; your list has {len(lengths)}."
    wrong = next((c for c, n, r in zip("eéε🦊", lengths, right) if n != r), None)
    assert wrong is None, f"{wrong} does not have that many bytes: ask len({wrong!r}.encode())."
    return f"{right}; and the library's untrained tokenizer needs {[len(texts.train('bpe', story, 257).encode(c)) for c in 'eéε🦊']} symbols."

# %% tags=["exercise"]
lengths = None

check(lengths)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# lengths = [len(c.encode()) for c in "eéε🦊"]
#
# check(lengths)
# ```
#
# </details>

# %% [markdown]
# **Next:** [10 · Make it yours](10_make_it_yours.ipynb): your text, your baby, and a conversation.
