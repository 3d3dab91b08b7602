# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # littlebaby: train a GPT, watch it learn to speak, check its gradients
#
# Everything below is NumPy (or CuPy), written by hand; nothing here differentiates by itself. There are five plans: **train**, **inference**,
# **info**, **finetune**, **delete**. Use them with buttons, in the panel, or as functions, in the cells after it.

# %%
# @title Begin { display-mode: "form" }
# @markdown Files lie in this folder; empty: in the clone that holds the notebook, else where it runs (`/content` in Colab, `/kaggle/working` in Kaggle).
folder = ""                             # @param {type:"string"}
# @markdown Colab only: keep them in your Drive, under MyDrive/littlebaby.
drive = False                           # @param {type:"boolean"}

import os

try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle: NumPy and CuPy stay as they are
    from glob import glob

    wheels = glob("/kaggle/input/**/littlebaby-*.whl", recursive=True)      # a data set of wheels, for Kaggle without internet
    source = f"--no-index --find-links {os.path.dirname(wheels[0])}" if wheels else ""
    # %pip install -q {source} littlebaby
    import littlebaby as lb
from littlebaby.arrays import backend
from littlebaby.runs.store import Workspace

if drive:
    from google.colab import drive as mydrive

    mydrive.mount("/content/drive")
    folder = folder or "/content/drive/MyDrive/littlebaby"
if folder:
    os.environ["LITTLEBABY_HOME"] = folder
os.environ["LITTLEBABY_HOME"] = str(Workspace().root)       # a %cd in another cell does not move it
print("workspace:", os.environ["LITTLEBABY_HOME"])
print(backend.describe())

# %% [markdown]
# ## The panel
# Choose, see what it will cost, press Run. It trains beside the notebook: other cells can be run meanwhile. Stop finishes the step and saves;
# Resume goes on as if it had never stopped, also after a disconnect.

# %%
lb.panel()

# %% [markdown]
# ## The same in Python: choose
# `text` is a file of yours, or `nursery`: small stories from a grammar whose exact entropy is known, so that perfection has a number.
# What is left empty or 0 is the preset's; `settings` may hold any setting of `littlebaby catalog config`. The nursery takes about two minutes
# on two processor cores.

# %% tags=["parameters"]
# @title Choose { display-mode: "form" }
text = "nursery"                        # @param {type:"string"}
preset = "nursery"                      # @param ["babykilat-card", "babykilat", "gpt2", "kodalite-1.3b", "little-baby", "nano-kimi-k2", "nanogpt-cpu", "nanogpt", "nanokimi", "nursery-grown", "nursery", "smollm2-135m", "tiny-babykilat", "tiny-gpt2", "tiny-kodalite", "tiny-nano-kimi-k2", "tiny-nanogpt", "tiny-nanokimi", "tiny-smollm2"]
attention = ""                          # @param ["", "aft", "decay", "gla", "gqa", "hybrid", "latent", "mha", "mla", "moh", "rfa", "swa", "swh"]
network = ""                            # @param ["", "ggl", "gln", "lor", "mlp", "moe", "nft", "swi"]
n_layers = 0                            # @param {type:"integer"}
n_steps = 0                             # @param {type:"integer"}
chosen = dict(c_attention=attention, c_network=network, n_layers=n_layers, n_steps=n_steps)
settings = {name: value for name, value in chosen.items() if value} | dict(preset=preset)

# %% [markdown]
# ## Before pressing Run: what will it cost?

# %%
from littlebaby.show.estimate_tables import preflight_table

print(preflight_table(lb.preflight(text, **settings)))

# %% [markdown]
# ## Train
# The bar shows the loss; now and then the baby says what it can say by now. Stopping the cell finishes the step and saves the run.

# %%
run = lb.train(text, **settings)

# %% [markdown]
# The picture of the run: the pale line is single batches, the dots are held-out text, the green line is the floor below which no model can come.

# %%
from IPython.display import Image

Image(run.chart())

# %% [markdown]
# ## Let it write
# An empty prompt begins a story. A higher temperature is bolder; try 0.2 and 1.5.

# %%
print(run.completion.text)

# %%
for temperature in (0.2, 0.8, 1.5):
    print(f"--- {temperature}\n{lb.inference(run.guid, temperature=temperature, max_tokens=200, seed=1).text}\n")

# %% [markdown]
# ## Look inside
# Your own baby reads your own sentence: where every head looks, how surprising each token is, what every layer would say next.

# %%
lb.microscope(run.guid, "The bear walked to the lake and sang of a red kite.")

# %% [markdown]
# ## Check a gradient yourself
# The backward pass says how the loss answers to every weight. Ask the loss directly: move one weight a little to both sides and look.

# %%
baby = lb.load(run.guid)
ids = baby.encode("The bear walked to the lake and sang of a red kite.")
loss, grads = baby.loss_and_grads(ids[:-1], ids[1:])

name, weight = "blocks.0.att.wq", baby.weights()["blocks.0.att.wq"]
i, j = divmod(int(abs(grads[name]).argmax()), weight.shape[1])
kept, h = float(weight[i, j]), 1e-2
weight[i, j] = kept + h
up = baby.loss(ids[:-1], ids[1:])
weight[i, j] = kept - h
down = baby.loss(ids[:-1], ids[1:])
weight[i, j] = kept
difference = (up - down) / (2 * h)
print(f"{name}[{i}, {j}]: backward {grads[name][i, j]:.5f}, difference {difference:.5f}")

# %% [markdown]
# In float64 the two agree to ten digits, for every weight of every variant: `littlebaby check mha` shows it, and `lb.walk("mha")` shows
# its forward lines beside its backward lines, with mistakes to plant.
#
# ## The card of the run

# %%
from littlebaby.show.card import card

print(card(lb.info(run.guid)))

# %% [markdown]
# ## Go on with another text
# New characters are appended; no learned row moves, and the old run stays as it is.

# %%
more = run.root / "inputs" / "more.txt"
more.parent.mkdir(exist_ok=True)
more.write_text("Zoë the bear said: naïve café! " * 200, encoding="utf-8")
tuned = lb.finetune(run.guid, "more.txt", n_steps=40)
print(lb.inference(tuned.guid, prompt="Zoë", max_tokens=60, seed=1).text)

# %% [markdown]
# ## Take a run elsewhere
# One zip with all its files. Unpacked in another workspace, `lb.inference`, `lb.finetune` and the panel find the run there.

# %%
from IPython.display import FileLink

packed = lb.pack(run.guid)
try:
    from google.colab import files

    files.download(str(packed))
except ImportError:
    display(FileLink(os.path.relpath(packed)))

# %% [markdown]
# ## All runs, and forgetting one
# `delete` lists the files and asks; `yes=True` answers for you. It removes the files of that run and of no other.

# %%
gone = lb.delete(tuned.guid, yes=True)
print(len(gone), "files deleted; left:", [r.name for r in lb.list()])
