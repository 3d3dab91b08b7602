# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10 · From characters to BPE
#
# *What is a token?*
#
# Until now every character was a token. That is simple, but it makes texts long: a context of 256 tokens is less than five lines. One
# could make every word a token, but then what about a word that never occurred in training? **Byte pair encoding** (BPE) is between the
# two: it starts with bytes, and the training text decides which longer tokens are worth having. You will write it in a dozen lines, and
# get exactly the library's tokens.

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
from littlebaby.show.tour import TrainingBar, exercise, picture
from littlebaby.text import bpe, nursery

workspace = temporary_workspace()       # this lesson's runs lie here until the kernel ends
print("workspace:", workspace)

# %% [markdown]
# ## Merges
# The algorithm repeats one step, a **merge**: find the two adjacent tokens that occur together most often, and make them one token. Before
# that the text is split into pieces (a word with the space before it, a number, punctuation), because merges never cross the border of a
# piece. So it is enough to count how often every piece occurs:

# %%
story, _ = nursery.corpus(120_000, seed=1)
pieces = Counter(bpe.translated(*bpe.GPT2).compiled.findall(story))
print(len(pieces), "different pieces; the most frequent:", pieces.most_common(6))

# %%
def most_frequent_pair(counts):
    """counts: {tokens of a piece: how often the piece occurs}; equally frequent pairs are ordered by their characters"""
    pairs = Counter()
    for tokens, n in counts.items():
        for pair in zip(tokens, tokens[1:]):
            pairs[pair] += n
    return max(pairs, key=lambda pair: (pairs[pair], [-ord(c) for c in "".join(pair)]))

def merge(tokens, pair):
    """Replace every `pair` of adjacent tokens, from the left, with one token"""
    out, i = [], 0
    while i < len(tokens):
        found = tuple(tokens[i:i + 2]) == pair
        out.append("".join(pair) if found else tokens[i])
        i += 1 + found
    return tuple(out)

counts = {tuple(piece.replace(" ", "Ġ").replace("\n", "Ċ")): n for piece, n in pieces.items()}     # GPT-2 writes a space as Ġ, a line end as Ċ
merges = []
for _ in range(40):
    pair = most_frequent_pair(counts)
    counts = {merge(tokens, pair): n for tokens, n in counts.items()}
    merges.append(pair)
print(" ".join("".join(pair) for pair in merges))

# %% [markdown]
# These are the new tokens, in the order in which they were found: first pairs of letters, then parts of words, then whole words with their
# space. The library does the same with a heap, so that forty thousand merges take seconds and not days:

# %%
library = texts.train("bpe", story, 257 + 40)            # a token for the end of a text, 256 bytes, and 40 merges
print(f"equal to the library's merges: {sum(a == b for a, b in zip(merges, library.merges))} of 40, in the same order")

# %% [markdown]
# ## How much shorter does the text become?
# Every new token makes the text a little shorter, but the embedding and the head of a model larger. How many tokens are worth it?

# %%
sizes = [257, 300, 350, 400, 500, 700, 1000]
tokenizers = [texts.train("bpe", story, size) for size in sizes]
axes = picture("characters per token, by size of the vocabulary", height=3.2)
axes.plot([t.size for t in tokenizers], [len(story) / len(t.encode(story)) for t in tokenizers], "o-", color=TRAIN)
axes.set_ylim(0)
for t in (tokenizers[0], tokenizers[2], tokenizers[-1]):
    tokens = [t.decode([i]) for i in t.encode("Zoe hid a yellow mask beside a red door.")]
    print(f"vocabulary of {t.size}: {'·'.join(tokens)}")

# %% [markdown]
# The nursery has few words, so the curve ends early: when every word is a token, nothing is left to merge, and the training stops, here
# with a vocabulary of 809 instead of 1,000. For a real language vocabularies have tens of thousands of tokens.
#
# ## What does other text cost?
# A tokenizer fits the text that it was trained on. This one was trained on English stories; how many tokens does it need for other text?

# %%
t = tokenizers[-1]
for name, line in (("English", "Once there was a kind fox named Ada."), ("English, shouted", "ONCE THERE WAS A KIND FOX NAMED ADA."),
                   ("German", "Es war einmal ein lieber Fuchs."), ("Greek", "Μια φορά ήταν μια καλή αλεπού."), ("a number", "3141592653589793")):
    n = len(t.encode(line))
    print(f"{name:17} {len(line):3} characters, {n:3} tokens, {n / len(line):.2f} tokens per character")
    assert t.decode(t.encode(line)) == line

# %% [markdown]
# Every text can be tokenized: where no longer token fits, each byte is a token. But Greek needs more than one token per *character*, and
# capital letters need nearly four times as many tokens as the same words in small letters. Speakers of many languages pay this price, in
# money and in context length, for tokenizers that were trained mostly on English.
#
# ## Comparing models with different tokenizers
# The losses of two models with different tokenizers cannot be compared: one model predicts a character, the other half a word, which is of
# course harder. What can be compared is the loss on the same *text*, in **bits per character**.

# %% tags=["parameters"] small="settings = dict(n_ctx=32, n_emb=32, n_heads=4, n_layers=1, n_steps=30, batch_size=4)"
settings = dict(n_ctx=64, n_emb=48, n_heads=4, n_layers=2, n_steps=200, batch_size=8)

# %%
from math import log

results = {}
for kind in ("char", "bpe"):
    run = lb.train("nursery", "characters", progress=TrainingBar(), c_tokenizer=kind, s_vocabulary=600, n_completion=200, n_sample=0,
                   s_eval=settings["n_steps"], r_eval_overlap=0.0, **settings)
    report = run.report
    results[kind] = report.best_valid_loss, report.figures.bits_per_character
    print(f"{kind:5} vocabulary {report.vocabulary:3}   loss {report.best_valid_loss:.3f} nats per token   "
          f"{report.figures.bits_per_character:.3f} bits per character   {report.figures.parameters.total:,} weights")
    print("      ", " ".join(run.completion.text.split())[:110], "\n")
print(f"entropy of the text: {nursery.floor(story) / log(2):.3f} bits per character")

left, right = picture("nats per token: not comparable", "bits per character: comparable; dashed: entropy", height=2.6)
for axes, values in zip((left, right), zip(*results.values())):
    axes.bar(list(results), values, color=(TRAIN, VALID), width=0.5)
    for i, value in enumerate(values):
        axes.annotate(f"{value:.2f}", (i, value), (0, 3), textcoords="offset points", ha="center", color=INK)
    axes.margins(x=0.3, y=0.15)
right.axhline(nursery.floor(story) / log(2), color=FLOOR, ls=(0, (6, 3)));

# %% [markdown]
# In nats per token the two look alike. In bits per character they do not: a token of `bpe` has several characters, so the same loss per
# token is a much lower loss per character. With the same number of steps and the same context length in tokens, the `bpe` model was
# trained on several times as much text, has a context several times as long in characters, and never has to learn the spelling of a word.
# The price is more weights, because the embedding and the head grow with the vocabulary.
#
# ## Try it
# ### 1. Bits per character
# A model has a mean loss of `nats` per token on a text of `characters` characters, which its tokenizer divides into `tokens` tokens. How
# many bits per character is that?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=10, number=1)
def check(bits):
    a = bits(np.log(2), 100, 100)
    assert a is not None, "bits returns None: convert the nats of the whole text to bits, and divide by its number of characters."
    assert abs(a - 1) < 1e-10, f"ln 2 nats per token, with as many tokens as characters, is 1 bit per character; your result is {a:.3f}."
    b = bits(2.0, 100, 400)
    right = 2 * 100 / np.log(2) / 400
    assert abs(b - 2 / np.log(2)) > 1e-10, "that is bits per token: multiply by the number of tokens and divide by that of characters."
    assert abs(b - 2 * 4 / np.log(2)) > 1e-10, "the other way round: a text of 100 tokens and 400 characters has fewer bits per character than per token."
    assert abs(b - right) < 1e-10, f"2 nats for each of 100 tokens is {right:.4f} bits for each of 400 characters; your result is {b:.4f}."
    return f"a loss of 2.0 per token of four characters is better than one of 0.6 per character: {b:.3f} bits against {0.6 / np.log(2):.3f}."

# %% tags=["exercise"]
def bits(nats, tokens, characters):
    """Bits per character"""
    return None

check(bits)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def bits(nats, tokens, characters):
#     """Bits per character"""
#     return nats * tokens / np.log(2) / characters
#
# check(bits)
# ```
#
# </details>

# %% [markdown]
# ### 2. Tokenize a word
# Training a tokenizer gives the merges. To tokenize a new word, start with its single characters and apply all merges *in the order in
# which they were learned*. Write this function; use `merge` from above.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=10, number=2)
def check(tokenize):
    trained = texts.train("bpe", story, 500)
    assert tokenize("Ġfox", trained.merges) is not None, "tokenize returns None: begin with tuple(word), and call merge for every pair in order."
    assert len(list(tokenize("Ġfox", trained.merges))) < 4, "Ġfox is still in single characters: replace the tokens by what merge returns."
    for word in ("Ġfox", "Ġyellow", "ĠMonday", "Ġmarched", "Once", "Ġunheard"):
        right = tuple(trained.vocabulary[i] for i in trained.encode(word.replace("Ġ", " ")))
        got = tuple(tokenize(word, trained.merges))
        assert got == right, f"the tokens of {word} should be {' '.join(right)}; yours are {' '.join(got)}."
    return "six words have the same tokens as in the library, even one that is not in the story: " + "·".join(tokenize("Ġunheard", trained.merges))

# %% tags=["exercise"]
def tokenize(word, merges):
    """The tokens of a word; merges: [(left, right), ...]"""
    return None

check(tokenize)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def tokenize(word, merges):
#     """The tokens of a word; merges: [(left, right), ...]"""
#     tokens = tuple(word)
#     for pair in merges:
#         tokens = merge(tokens, tuple(pair))
#     return tokens
#
# check(tokenize)
# ```
#
# </details>

# %% [markdown]
# ### 3. Bytes
# How many bytes does UTF-8 need for `e`, `é`, `ε` and `🦊`? Guess first; then put the four numbers in a list. (`"é".encode()` returns the
# bytes.) This is the number of tokens that each needs if it did not occur in the tokenizer's training text.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=10, number=3)
def check(lengths):
    assert lengths is not None, "put a list of four numbers in place of None, such as [1, 1, 1, 1]."
    right = [len(c.encode()) for c in "eéε🦊"]
    assert len(lengths) == 4, f"there are four characters; your list has {len(lengths)}."
    wrong = next((c for c, n, r in zip("eéε🦊", lengths, right) if n != r), None)
    assert wrong is None, f"{wrong} does not have that many bytes: compute len({wrong!r}.encode())."
    return f"{right} bytes; the library's tokenizer without any merges needs {[len(texts.train('bpe', story, 257).encode(c)) for c in 'eéε🦊']} tokens."

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
# **Next:** [11 · Make it yours](11_make_it_yours.ipynb): your text, your baby, and a conversation.
