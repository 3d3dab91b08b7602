# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10 · Make it yours
#
# *How does a model learn your text without losing its own?*
#
# Nobody trains a large model at home. One takes a trained one and goes on: with one's own texts, with conversations, and then carries it to
# another program. All of this works the same for a baby that was born a minute ago, and there it can be watched: what is gained, what is
# forgotten, and whether it has understood.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import json

import numpy as np

from littlebaby import arrays
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID
from littlebaby.check.laws import differences
from littlebaby.show.variant_pictures import squares
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.tour import exercise, picture
from littlebaby.text import chat, nursery

rng = np.random.default_rng(0)

workspace = temporary_workspace()       # this lesson's runs lie here until the kernel ends
print("workspace:", workspace)

# %% [markdown]
# ## Somebody to begin with

# %% tags=["parameters"] small="first, more, talks = 20, 5, 5"
first, more, talks = 400, 80, 200       # steps of the first training, of a finetune, of learning to talk

# %%
quiet = dict(progress=False, n_sample=0, s_eval=10_000)
base = lb.train("nursery", n_ctx=128, n_emb=64, n_heads=4, n_layers=2, batch_size=8, r_eval_overlap=0.0, n_steps=first, n_completion=120, **quiet)
print(" ".join(base.completion.text.split()))

# %% [markdown]
# ## Your text
# Here it is Lewis Carroll's (1871), because it is short and nobody could guess it. Put your own in its place: a diary, songs, recipes. What the
# nursery has no letter for is left out, so that we can compare fairly.

# %%
text = """
'Twas brillig, and the slithy toves
Did gyre and gimble in the wabe;
All mimsy were the borogoves,
And the mome raths outgrabe.

"Beware the Jabberwock, my son!
The jaws that bite, the claws that catch!
Beware the Jubjub bird, and shun
The frumious Bandersnatch!"

He took his vorpal sword in hand:
Long time the manxome foe he sought,
So rested he by the Tumtum tree,
And stood awhile in thought.

And as in uffish thought he stood,
The Jabberwock, with eyes of flame,
Came whiffling through the tulgey wood,
And burbled as it came!

One, two! One, two! And through and through
The vorpal blade went snicker-snack!
He left it dead, and with its head
He went galumphing back.

"And hast thou slain the Jabberwock?
Come to my arms, my beamish boy!
O frabjous day! Callooh! Callay!"
He chortled in his joy.
"""
letters = set(lb.load(base.guid).tokenizer.tokens())
mine = "".join(c if c in letters else c.lower() for c in text)
(workspace / "inputs/mine.txt").write_text("".join(c for c in mine if c in letters), encoding="utf-8")
(workspace / "inputs/stories.txt").write_text(nursery.corpus(60_000, seed=3)[0], encoding="utf-8")      # what it grew up with
(workspace / "inputs/new_stories.txt").write_text(nursery.corpus(6_000, seed=7)[0], encoding="utf-8")   # of the same kind, never seen

def loss(guid, file):
    """Nats per character on a text"""
    found = lb.evaluate(guid, input=file, progress=False)["text"]
    return found.nats / found.characters

print(f"on new stories {loss(base.guid, 'new_stories.txt'):.3f}, on your text {loss(base.guid, 'mine.txt'):.3f}; no idea at all is {np.log(len(letters)):.3f}")

# %% [markdown]
# On your text it is worse than somebody with no idea: it is sure of itself, and wrong.
#
# ## Three ways to go on
# - **finetune**: simply train on, with the new text. Every weight may move.
# - **LoRA**: leave all weights as they are, and learn a small correction beside each matrix.
# - **rehearse**: train on, and let every second window be one of the old stories.

# %%
go_on = dict(n_steps=more, r_learn=0.01, n_completion=120, **quiet)
ways = {"as it was": base,
        "finetuned": lb.finetune(base.guid, "mine.txt", **go_on),
        "LoRA": lb.finetune(base.guid, "mine.txt", lora_rank=4, lora_targets="*.att.* *.net.*", **go_on),
        "rehearsed": lb.finetune(base.guid, "mine.txt:0.5,stories.txt:0.5", **go_on)}

axes = picture("to the left: your text is learned; to the top: the old one is forgotten (nats per character)", height=4)
spots = {name: (loss(run.guid, "mine.txt"), loss(run.guid, "new_stories.txt")) for name, run in ways.items()}
for (name, (x, y)), color in zip(spots.items(), (GRAY, VALID, FLOOR, TRAIN)):
    axes.annotate("", (x, y), spots["as it was"], arrowprops=dict(arrowstyle="-", color=color, alpha=0.4))
    axes.plot(x, y, "o", color=color, ms=9)
    axes.annotate(name, (x, y), (0, 10), textcoords="offset points", color=color, ha="center")
    print(f"{name:10} your text {x:.3f}   new stories {y:.3f}   weights that moved {ways[name].report.figures.parameters.trainable:7,}"
          f"   {' '.join(ways[name].completion.text.split())[:60]}")
axes.margins(0.1, 0.15)

# %% [markdown]
# Who only reads the new forgets the old: this is *catastrophic forgetting*. LoRA, with a tenth of the weights, is slower in both, in learning and in
# forgetting. What does help is what helps at school, to rehearse.
#
# ## LoRA, by hand
# Beside a frozen matrix $w$ $(I, O)$ stand two thin ones, $a$ $(I, r)$ and $b$ $(r, O)$, and the layer computes
#
# $$y = x\,w + s\,(x\,a)\,b$$
#
# At first $b = 0$, so nothing is changed. Only $a$ and $b$ learn, $r\,(I + O)$ numbers in place of $I\,O$. In the end the correction is
# one matrix, $s\,a\,b$, and can simply be added to $w$. Can one see that it is thin? Subtract the base from what each of them became, and ask how
# many directions the change has.

# %%
name = "blocks.1.net.up"
before = lb.load(base.guid).weights()[name]
axes = picture(f"how much each of {min(before.shape)} directions of {name} has changed", height=3)
for way, color, spot in (("finetuned", VALID, 40), ("LoRA", FLOOR, 2)):
    sizes = np.linalg.svd(lb.load(ways[way].guid).weights()[name] - before, compute_uv=False)
    axes.plot(range(1, len(sizes) + 1), sizes, "o-", ms=3, color=color)
    axes.annotate(way, (spot, sizes[spot - 1]), (8, 4), textcoords="offset points", color=color)
    print(f"{way:10} {(sizes > 1e-4 * sizes[0]).sum():3} directions have moved")
axes.set_ylim(0)

# %% [markdown]
# ## Let it talk
# A conversation is a text, too: marks say who speaks, and learning is as before, with one difference. Only what the *assistant* says is a target.
# It shall learn to answer, and to stop; not to ask.

# %%
colors, toys = "black blue brown gold green pink red white yellow".split(), "ball cup drum flag hat jug kite lamp mask net pen ring sled top vest wig".split()
things = [(color, toy) for color in colors for toy in toys]
things = [things[i] for i in rng.permutation(len(things))]
unheard = things[100:]                   # these 44 are in no conversation

question, answer = "Where is my {} {}?".format, "Your {} {} is under the bed.".format
messages = lambda asked, said: [dict(role="user", content=asked), dict(role="assistant", content=said)]

def taught(different):
    """A baby that has heard a hundred conversations about so many different toys, and a few about itself"""
    pairs = [(question(*thing), answer(*thing)) for thing in things[:different]] * (100 // different) + 20 * [("Who are you?", "I am a little baby.")]
    (workspace / "inputs/talks.jsonl").write_text("\n".join(json.dumps(dict(messages=messages(*pair))) for pair in pairs), encoding="utf-8")
    return lb.finetune(base.guid, chat="talks.jsonl", n_steps=talks, r_learn=0.02, n_completion=40, **quiet)

example = messages(question(*things[0]), answer(*things[0]))
for piece, learned in chat.pieces(example, chat.template("kodalite")):
    print(f"{'learned' if learned else 'read':8} {piece!r}")

# %%
talkers = {different: taught(different) for different in (100, 10)}

talk = lb.chat(talkers[100].guid, temperature=0, max_tokens=60)
for words in ("Who are you?", question(*unheard[0]), question(*unheard[1])):
    talk.reset()
    print(f"you   {words}\nbaby  {talk(words)}\n")

# %% [markdown]
# Has it understood, or does it know its answers by heart? One of the two babies has heard of 100 of the 144 coloured toys, once each; the other of 10,
# ten times each. Ask both for all of them.

# %%
views = picture(*(f"{different} toys in its conversations, marked by a dot" for different in talkers), widths=(1, 1), height=3)
for axes, (different, run) in zip(views, talkers.items()):
    talk, right = lb.chat(run.guid, temperature=0, max_tokens=60), np.zeros((len(colors), len(toys)))
    for color, toy in things:
        talk.reset()
        right[colors.index(color), toys.index(toy)] = talk(question(color, toy)) == answer(color, toy)
    squares(axes, right, axes.get_title(loc="left"))
    axes.set_aspect("auto")
    axes.plot([toys.index(toy) for _, toy in things[:different]], [colors.index(color) for color, _ in things[:different]], ".", color=VALID, ms=4)
    axes.set_xticks(range(len(toys)), toys, fontsize=7, rotation=90)
    axes.set_yticks(range(len(colors)), colors, fontsize=7)
    heard, new = ([right[colors.index(color), toys.index(toy)] for color, toy in part] for part in (things[:different], unheard))
    print(f"{different:3} different toys: right {sum(heard):.0f} of {len(heard)} that it has heard of, {sum(new):.0f} of the {len(new)} that neither has")

# %% [markdown]
# Dark is a right answer. A hundred different toys are too many to know by heart for so small a head; it was easier to find the rule, *say again what
# was asked*, and a rule works for the unheard, too. (It is lesson 4's trick: look for what was said, and copy it.) Ten toys are easily learned as a
# list, and a list knows nothing of an eleventh. What a model understands is decided by what its data leave no other way to do.
#
# In a shell the same baby talks with `littlebaby chat --path FOLDER`, where FOLDER is the workspace that the first cell named.
#
# ## Take it along
# `export` writes what other programs read. This one is for `transformers`; `to="gguf"` is for llama.cpp, where the architecture allows it.

# %%
gone = lb.export(talkers[100].guid, "huggingface")
for file in gone.files:
    print(f"{file.stat().st_size:9,} bytes  {file.name}")
for note in gone.notes:
    print("note:", note)

back = lb.load(gone.folder)
ids = back.encode(question("red", "kite"))
print(f"read again: the loss is {abs(back.loss(ids[:-1], ids[1:]) - lb.load(talkers[100].guid).loss(ids[:-1], ids[1:])):.0e} apart")

# %% [markdown]
# And the other way round: `lb.import_(folder)` makes a run of somebody else's model, which can then be finetuned, asked and looked at like your
# own. `lb.list()` shows all runs of the workspace, `lb.diary(guid)` tells what a finetune has changed, `lb.delete(guid)` forgets one.
#
# ## Try it
# ### 1. The correction learns
# Write the backward of $y = x\,w + s\,(x\,a)\,b$ for `x`, `a` and `b`; $w$ is frozen and gets none. Everything you need was in lesson 2.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(lora):
    x, w, a, b, dy = (rng.standard_normal(shape) for shape in ((5, 6), (6, 4), (6, 2), (2, 4), (5, 4)))
    answer = lora(x, w, a, b, 0.5)[1](dy)
    assert answer is not None, "back returns None: return dx, da and db, in this order."
    for name, got, at in zip(("dx", "da", "db"), answer, (x, a, b)):
        slopes = differences(lambda: (lora(x, w, a, b, 0.5)[0] * dy).sum(), at)
        assert np.shape(got) == at.shape, f"{name} should have the shape {at.shape} of what it is the gradient of; it has {np.shape(got)}."
        assert np.allclose(got, slopes), f"{name} is off by {abs(got - slopes).max():.2f}: blame comes back through b, through a, and for x through w, too."
    da = lora(x, w, a, 0 * b, 0.5)[1](dy)[1]
    return f"all three agree with the slopes. At birth, where b is 0, da is {abs(da).max():.0f}: in the first step b alone learns."

# %% tags=["exercise"]
def lora(x, w, a, b, s):
    """x (N, I), w (I, O), a (I, r), b (r, O) -> y (N, O), back(dy) -> dx, da, db"""
    u = x @ a
    y = x @ w + s * u @ b

    def back(dy):
        return None

    return y, back

check(lora)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def lora(x, w, a, b, s):
#     """x (N, I), w (I, O), a (I, r), b (r, O) -> y (N, O), back(dy) -> dx, da, db"""
#     u = x @ a
#     y = x @ w + s * u @ b
#
#     def back(dy):
#         du = s * dy @ b.T
#         return dy @ w.T + du @ a.T, x.T @ du, s * u.T @ dy
#
#     return y, back
#
# check(lora)
# ```
#
# </details>

# %% [markdown]
# ### 2. How thin?
# What share of a matrix's numbers do adapters of rank `r` have, for a matrix $(I, O)$? And from which rank on do they save nothing?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise
def check(share):
    assert share(10, 10, 1) is not None, "share returns None: the numbers of a and b together, divided by those of w."
    assert abs(share(10, 10, 1) - 0.2) < 1e-12, f"a (10, 1) and b (1, 10) have 20 numbers, w has 100: 0.2; yours says {share(10, 10, 1):.3f}."
    assert abs(share(64, 256, 4) - 4 * 320 / 64 / 256) < 1e-12, f"for (64, 256) and rank 4 it is {4 * 320 / 64 / 256:.4f}; yours says {share(64, 256, 4):.4f}."
    return f"a matrix of 4096 by 4096 with rank 8: {share(4096, 4096, 8):.2%}. It pays below rank I O / (I + O): here {4096 / 2:.0f}, for our {name} {64 * 256 // 320}."

# %% tags=["exercise"]
def share(I, O, r):
    """Numbers of the adapters, for each number of the matrix"""
    return None

check(share)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def share(I, O, r):
#     """Numbers of the adapters, for each number of the matrix"""
#     return r * (I + O) / (I * O)
#
# check(share)
# ```
#
# </details>

# %% [markdown]
# ### 3. Only the answer counts
# A conversation is spelled as `ids`, and `learned` says of each whether the assistant said it. Make what a training needs: the inputs `x`, and
# after each of them what is to be guessed, `y`, with -1 where nothing counts. (Whose `learned` counts: that of the one who looks, or of the next?)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from littlebaby.training.chat_data import conversation_rows

@exercise
def check(targets):
    answer = targets(np.array([7, 8, 9, 5]), np.array([False, False, True, True]))
    assert answer is not None, "targets returns None: return x, all ids but the last, and y, all but the first, masked."
    assert list(answer[1]) != [8, -1, -1], "the mask is upside down: -1 stands where the assistant did not speak."
    assert list(answer[1]) != [-1, -1, 5], "off by one: y[i] counts if the token that comes, i + 1, was said by the assistant."
    form, tokenizer = chat.template("kodalite"), lb.load(talkers[100].guid).tokenizer
    spelled = chat.ids_of(chat.pieces(example, form), tokenizer)
    (x, y), = conversation_rows(example, form, tokenizer, 1000)
    got = targets(*spelled)
    assert np.array_equal(got[0], x) and np.array_equal(got[1], y), f"for the first conversation {(y >= 0).sum()} targets count, yours counts {(np.array(got[1]) >= 0).sum()}."
    return f"as the library does it: of {len(x)} places {(y >= 0).sum()} count, the answer and the mark that ends it."

# %% tags=["exercise"]
def targets(ids, learned):
    """ids (n), learned (n) -> x (n - 1), y (n - 1)"""
    return None

check(targets)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def targets(ids, learned):
#     """ids (n), learned (n) -> x (n - 1), y (n - 1)"""
#     return ids[:-1], np.where(learned[1:], ids[1:], -1)
#
# check(targets)
# ```
#
# </details>

# %% [markdown]
# **The end of the tour, and the beginning of yours.** You have counted, differentiated, looked inside, compared, routed, merged and talked, and
# every number was one that you could check. The library has no line that you cannot read now: open `littlebaby/model/gpt.py`, and see.
