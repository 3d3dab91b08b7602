# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 11 · Make it yours
#
# *How does a model learn your text without forgetting its own?*
#
# Nobody trains a large model at home. One takes a trained model, continues to train it with one's own texts or conversations, which is
# called **finetuning**, and exports it for other programs. All of this works in the same way with a baby that was born a minute ago, and
# there you can measure what is learned, what is forgotten, and whether the model has found a rule or only memorized its examples.

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
from littlebaby.show.tour import TrainingBar, exercise, picture
from littlebaby.text import chat, nursery

rng = np.random.default_rng(0)

workspace = temporary_workspace()       # this lesson's runs lie here until the kernel ends
print("workspace:", workspace)

# %% [markdown]
# ## The base model
# First we train a small baby on the nursery. A model that is to be finetuned is called a **base model**.

# %% tags=["parameters"] small="base_steps, text_steps, chat_steps = 20, 5, 5"
base_steps, text_steps, chat_steps = 400, 80, 200       # of the first training, of finetuning on a text, of finetuning on conversations

# %%
quiet = dict(progress=TrainingBar(), n_sample=0, s_eval=10_000)
base = lb.train("nursery", "characters", n_ctx=128, n_emb=64, n_heads=4, n_layers=2, batch_size=8, r_eval_overlap=0.0, n_steps=base_steps,
                n_completion=120, **quiet)
print(" ".join(base.completion.text.split()))

# %% [markdown]
# ## Your text
# The text here is by Lewis Carroll (1871), because it is short and hard to predict. Replace it with one of yours: a diary, songs, recipes.
# Characters that do not occur in the nursery are left out, so that all models have the same vocabulary and their losses can be compared.

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
vocabulary = set(lb.load(base.guid).tokenizer.tokens())
mine = "".join(c if c in vocabulary else c.lower() for c in text)
(workspace / "inputs/mine.txt").write_text("".join(c for c in mine if c in vocabulary), encoding="utf-8")
(workspace / "inputs/stories.txt").write_text(nursery.corpus(60_000, seed=3)[0], encoding="utf-8")      # training text like that of the base model
(workspace / "inputs/new_stories.txt").write_text(nursery.corpus(6_000, seed=7)[0], encoding="utf-8")   # validation text of the same kind

def loss(guid, file):
    """Nats per character on a text"""
    result = lb.evaluate(guid, input=file, progress=False)["text"]
    return result.nats / result.characters

print(f"loss of the base model: {loss(base.guid, 'new_stories.txt'):.3f} on new stories, {loss(base.guid, 'mine.txt'):.3f} on your text; "
      f"of a uniform prediction: {np.log(len(vocabulary)):.3f}")

# %% [markdown]
# On your text the loss is even higher than that of a uniform prediction: the model gives high probabilities to the wrong characters.
#
# ## Three ways to finetune
# - *Finetune*: train all weights on the new text.
# - **LoRA** (low-rank adaptation): leave all weights as they are, and train a small correction for each matrix, like notes in the margin of
#   a printed book.
# - **Rehearsal**: train all weights on a mixture, in which half of the windows are from old stories.

# %%
tuning = dict(n_steps=text_steps, r_learn=0.01, n_completion=120, **quiet)
models = {"base": base,
          "finetuned": lb.finetune(base.guid, "mine.txt", **tuning),
          "LoRA": lb.finetune(base.guid, "mine.txt", lora_rank=4, lora_targets="*.att.* *.net.*", **tuning),
          "rehearsed": lb.finetune(base.guid, "mine.txt:0.5,stories.txt:0.5", **tuning)}

axes = picture("loss on your text (to the right) and on new stories (upwards), nats per character", height=4)
points = {name: (loss(run.guid, "mine.txt"), loss(run.guid, "new_stories.txt")) for name, run in models.items()}
for (name, (x, y)), color in zip(points.items(), (GRAY, VALID, FLOOR, TRAIN)):
    axes.annotate("", (x, y), points["base"], arrowprops=dict(arrowstyle="-", color=color, alpha=0.4))
    axes.plot(x, y, "o", color=color, ms=9)
    axes.annotate(name, (x, y), (0, 10), textcoords="offset points", color=color, ha="center")
    print(f"{name:10} your text {x:.3f}   new stories {y:.3f}   trained weights {models[name].report.figures.parameters.trainable:7,}"
          f"   {' '.join(models[name].completion.text.split())[:60]}")
axes.margins(0.1, 0.15)

# %% [markdown]
# A model that is finetuned on the new text alone forgets the old one: this is called **catastrophic forgetting**. LoRA, which trains a tenth
# as many weights, learns less of the new text and forgets less of the old one. What helps is what helps at school: to rehearse.
#
# ## LoRA, by hand
# LoRA keeps a matrix $w$ $(I, O)$ frozen and adds two narrow ones, the **adapters** $a$ $(I, r)$ and $b$ $(r, O)$. The layer computes
#
# $$y = x\,w + s\,(x\,a)\,b$$
#
# At first $b = 0$, so the output is unchanged. Only $a$ and $b$ are trained, which have $r\,(I + O)$ weights instead of $I\,O$. After the
# training the correction $s\,a\,b$ can be added to $w$. It is a matrix of **rank** $r$ at most: it changes at most $r$ independent
# directions. We can see this in the singular values of the change, which is the finetuned matrix minus that of the base model: the rank is
# the number of singular values above 0.

# %%
name = "blocks.1.net.up"
before = lb.load(base.guid).weights()[name]
axes = picture(f"singular values of the change of {name}", height=3)
for model, color, at in (("finetuned", VALID, 40), ("LoRA", FLOOR, 2)):
    change = np.linalg.svd(lb.load(models[model].guid).weights()[name] - before, compute_uv=False)
    axes.plot(range(1, len(change) + 1), change, "o-", ms=3, color=color)
    axes.annotate(model, (at, change[at - 1]), (8, 4), textcoords="offset points", color=color)
    print(f"{model:10} rank of the change {(change > 1e-4 * change[0]).sum()} of {len(change)}")
axes.set_ylim(0);

# %% [markdown]
# ## Conversations
# A conversation is a text, too, in which special marks tell who speaks. The training is as before, with one difference: only the tokens of
# the *assistant* are targets. The model shall learn to answer and to stop, but not to write the questions.

# %%
colors, toys = "black blue brown gold green pink red white yellow".split(), "ball cup drum flag hat jug kite lamp mask net pen ring sled top vest wig".split()
things = [(color, toy) for color in colors for toy in toys]
things = [things[i] for i in rng.permutation(len(things))]
new_things = things[100:]                # these 44 are in no training conversation

question, answer = "Where is my {} {}?".format, "Your {} {} is under the bed.".format
conversation = lambda user, assistant: [dict(role="user", content=user), dict(role="assistant", content=assistant)]

def train_chat(different):
    """The base model, finetuned on a hundred conversations about this many different toys, and twenty about itself"""
    pairs = [(question(*thing), answer(*thing)) for thing in things[:different]] * (100 // different) + 20 * [("Who are you?", "I am a little baby.")]
    lines = [json.dumps(dict(messages=conversation(*pair))) for pair in pairs]
    (workspace / "inputs/talks.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return lb.finetune(base.guid, chat="talks.jsonl", n_steps=chat_steps, r_learn=0.02, n_completion=40, **quiet)

example = conversation(question(*things[0]), answer(*things[0]))
for piece, is_target in chat.pieces(example, chat.template("kodalite")):
    print(f"{'target' if is_target else 'context':8} {piece!r}")

# %%
chat_runs = {different: train_chat(different) for different in (100, 10)}

talk = lb.chat(chat_runs[100].guid, temperature=0, max_tokens=60)
for words in ("Who are you?", question(*new_things[0]), question(*new_things[1])):
    talk.reset()
    print(f"you   {words}\nbaby  {talk(words)}\n")

# %% [markdown]
# Has it learned a rule, or has it memorized its answers? The conversations of one baby were about 100 of the 144 coloured toys, once each;
# those of the other about 10 toys, ten times each. We ask both babies about all 144 toys.

# %%
pair = picture(*(f"right answers; dots: {different} toys of the training" for different in chat_runs), widths=(1, 1), height=3)
for axes, (different, run) in zip(pair, chat_runs.items()):
    talk, right = lb.chat(run.guid, temperature=0, max_tokens=60), np.zeros((len(colors), len(toys)))
    for color, toy in things:
        talk.reset()
        right[colors.index(color), toys.index(toy)] = talk(question(color, toy)) == answer(color, toy)
    squares(axes, right, axes.get_title(loc="left"))
    axes.set_aspect("auto")
    axes.plot([toys.index(toy) for _, toy in things[:different]], [colors.index(color) for color, _ in things[:different]], ".", color=VALID, ms=4)
    axes.set_xticks(range(len(toys)), toys, fontsize=7, rotation=90)
    axes.set_yticks(range(len(colors)), colors, fontsize=7)
    trained, new = ([right[colors.index(color), toys.index(toy)] for color, toy in part] for part in (things[:different], new_things))
    print(f"trained on {different:3} toys: right for {sum(trained):.0f} of these {len(trained)}, and for {sum(new):.0f} of {len(new)} new toys")

# %% [markdown]
# Dark means a right answer. So small a model can hardly memorize a hundred different toys; it was easier to learn a rule, *repeat the toy
# in the question*, and a rule also works for new toys, if not yet for all. (It is the trick of lesson 4: search for earlier tokens and
# copy them.) Ten toys are easily memorized as a list, and a list does not help with an eleventh. What a model learns depends on its data:
# it learns a rule where memorizing is harder.
#
# In a shell you can talk to a baby with `littlebaby chat GUID --path FOLDER`, where FOLDER is the workspace that the first cell printed, and
# GUID is `chat_runs[100].guid`. Without a GUID you talk to the newest baby, here that of ten toys.
#
# ## Take it along
# `export` writes a model for other programs. This one is for `transformers`; `to="gguf"` is for llama.cpp, if llama.cpp supports the
# architecture.

# %%
exported = lb.export(chat_runs[100].guid, "huggingface")
for file in exported.files:
    print(f"{file.stat().st_size:9,} bytes  {file.name}")
for note in exported.notes:
    print("note:", note)

loaded, original = lb.load(exported.folder), lb.load(chat_runs[100].guid)
ids = loaded.encode(question("red", "kite"))
print(f"loaded again: the loss differs by {abs(loaded.loss(ids[:-1], ids[1:]) - original.loss(ids[:-1], ids[1:])):.0e}")

# %% [markdown]
# The other direction is `lb.import_(folder)`: it makes a run of somebody else's model, which you can then finetune, chat with and inspect
# like your own. `lb.list()` shows all runs of the workspace, `lb.diary(guid)` shows what the finetuning has changed, and `lb.delete(guid)`
# deletes a run.
#
# ## Try it
# ### 1. The gradient of the adapters
# Write the backward pass of $y = x\,w + s\,(x\,a)\,b$ for `x`, `a` and `b`; $w$ is frozen and needs no gradient. Everything you need was
# in lesson 2.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=11, number=1)
def check(lora):
    x, w, a, b, dy = (rng.standard_normal(shape) for shape in ((5, 6), (6, 4), (6, 2), (2, 4), (5, 4)))
    answer = lora(x, w, a, b, 0.5)[1](dy)
    assert answer is not None, "back returns None: return dx, da and db, in this order."
    assert isinstance(answer, (tuple, list)) and len(answer) == 3, "return three arrays, dx, da and db."
    hints = dict(dx="x is used in x w and in x a, so add both", da="da = xᵀ du, with du = s dy bᵀ", db="db = s uᵀ dy, with u = x a")
    for name, got, array in zip(("dx", "da", "db"), answer, (x, a, b)):
        slopes = differences(lambda: (lora(x, w, a, b, 0.5)[0] * dy).sum(), array)
        assert np.shape(got) == array.shape, f"{name} should have the shape {array.shape}, like {name[1]}; it has {np.shape(got)}."
        assert np.allclose(got, slopes), f"{name} has an error of {abs(got - slopes).max():.2f}: {hints[name]}."
    da = lora(x, w, a, 0 * b, 0.5)[1](dy)[1]
    return f"all three agree with finite differences. At first b is 0, so da is {abs(da).max():.0f}, and the first step changes b alone."

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
# ### 2. The size of the adapters
# A matrix has shape $(I, O)$, and its adapters have rank `r`. How many weights do the adapters have, divided by the number of weights of
# the matrix? And from which rank on do they save nothing?

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
@exercise(lesson=11, number=2)
def check(share):
    first, second = share(10, 10, 1), share(64, 256, 4)
    assert first is not None, "share returns None: divide the number of weights of a and b together by that of w."
    assert abs(first - 0.2) < 1e-12, f"a (10, 1) and b (1, 10) have 20 weights, w (10, 10) has 100, so it should be 0.2; your result is {first:.3f}."
    assert abs(second - 4 * 320 / 64 / 256) < 1e-12, f"for (64, 256) and rank 4 it should be {4 * 320 / 64 / 256:.4f}; your result is {second:.4f}."
    return (f"for 4096 by 4096 and rank 8: {share(4096, 4096, 8):.2%}. Adapters save weights below rank I O / (I + O): "
            f"here {4096 / 2:.0f}, for our {name} {64 * 256 // 320}.")

# %% tags=["exercise"]
def share(I, O, r):
    """Weights of the adapters, divided by the weights of the matrix"""
    return None

check(share)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def share(I, O, r):
#     """Weights of the adapters, divided by the weights of the matrix"""
#     return r * (I + O) / (I * O)
#
# check(share)
# ```
#
# </details>

# %% [markdown]
# ### 3. Only the answer is a target
# `ids` are the tokens of a conversation, and `is_target` says for each whether it belongs to the assistant. Return the inputs `x` and the
# targets `y` for the training. The target of a token is the next one, or -1 if the next one does not belong to the assistant; -1 is left
# out of the loss.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title check
from littlebaby.training.chat_data import conversation_rows

@exercise(lesson=11, number=3)
def check(targets):
    answer = targets(np.array([7, 8, 9, 5]), np.array([False, False, True, True]))
    assert answer is not None, "targets returns None: return x, all ids but the last, and y, all ids but the first, with -1 for those that are no targets."
    assert isinstance(answer, (tuple, list)) and len(answer) == 2, "return two arrays, the inputs x and the targets y."
    assert len(answer[0]) == len(answer[1]) == 3, "4 tokens have 3 inputs and 3 targets: x is all ids but the last, y all ids but the first."
    assert list(answer[1]) != [8, -1, -1], "the mask is inverted: put -1 where the next token does not belong to the assistant."
    assert list(answer[1]) != [-1, -1, 5], "off by one: y[i] is ids[i + 1], so it depends on is_target[i + 1]."
    assert list(answer[1]) == [-1, 9, 5], f"for ids 7, 8, 9, 5, of which the last two are the answer, y should be -1, 9, 5; yours is {list(answer[1])}."
    template, tokenizer = chat.template("kodalite"), lb.load(chat_runs[100].guid).tokenizer
    (x, y), = conversation_rows(example, template, tokenizer, 1000)
    got_x, got_y = targets(*chat.ids_of(chat.pieces(example, template), tokenizer))
    assert np.array_equal(got_x, x) and np.array_equal(got_y, y), \
        f"the first conversation should have {(y >= 0).sum()} targets other than -1; yours has {(np.array(got_y) >= 0).sum()}."
    return f"equal to the library's: of {len(x)} positions {(y >= 0).sum()} have a target, those of the answer and of the mark that ends it."

# %% tags=["exercise"]
def targets(ids, is_target):
    """ids (n), is_target (n) -> x (n - 1), y (n - 1)"""
    return None

check(targets)

# %% [markdown] tags=["solution"]
# <details><summary>Solution</summary>
#
# ```python
# def targets(ids, is_target):
#     """ids (n), is_target (n) -> x (n - 1), y (n - 1)"""
#     return ids[:-1], np.where(is_target[1:], ids[1:], -1)
#
# check(targets)
# ```
#
# </details>

# %% [markdown]
# **Next:** [12 · Cause and effect](12_cause_and_effect.ipynb): which part of a model makes its prediction?
