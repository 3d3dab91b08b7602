# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 8 · Ο ζωολογικός κήπος της προσοχής
#
# *Πρέπει κάθε token να προσέχει όλα τα προηγούμενα;*
#
# Η προσοχή του τέταρτου μαθήματος κρατά όλα τα κλειδιά και τις τιμές, και συγκρίνει κάθε νέο ερώτημα με όλα τα κλειδιά. Για μακριά κείμενα
# αυτό κοστίζει, κι έτσι έχουν επινοηθεί πολλές άλλες προσοχές. Η βιβλιοθήκη έχει πάνω από μια ντουζίνα, και η ρύθμιση `c_attention` διαλέγει
# ανάμεσά τους. Μπορούμε λοιπόν να τις συγκρίνουμε: ποια tokens χρησιμοποιούν, πόση μνήμη χρειάζονται, και πόσο καλά μαθαίνουν. Στο τέλος
# γράφετε και μία δική σας.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import arrays
from littlebaby import text as texts
from littlebaby.model.context import Context, variant, variants
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.show.tour import exercise, picture

# %% [markdown]
# ## Ένας φάκελος είναι ο κατάλογος
# Κάθε αρχείο στο `model/attentions` είναι μια προσοχή· για να προσθέσετε μία, προσθέτετε ένα αρχείο. Το docstring του την περιγράφει, στα
# αγγλικά:

# %%
from textwrap import shorten

zoo = variants("attentions")
for name in zoo:
    doc = variant("attentions", name).__doc__
    print(f"{doc.splitlines()[0]}\n      {shorten(doc.split(chr(10) * 2)[1], 130, placeholder=' …')}")

# %% [markdown]
# ## Ποια tokens χρησιμοποιούν
# Το οπίσθιο πέρασμα μπορεί να το δείξει αυτό χωρίς να κοιτάξουμε τον κώδικα. Δίνουμε 64 τυχαία διανύσματα σε ένα στρώμα με τυχαία βάρη.
# Τότε η κλίση της εξόδου $t$ ως προς την είσοδο $j$ λέει πόσο εξαρτάται το token $t$ από το token $j$. Στις εικόνες κάθε γραμμή είναι μια
# έξοδος, κάθε στήλη μια είσοδος, και το σκούρο σημαίνει ισχυρή εξάρτηση.

# %%
from littlebaby.check.variant_measures import influence
from littlebaby.show.variant_pictures import squares

names = ["mha", "swa", "decay", "rfa", "gla", "hybrid"]
for three in (names[:3], names[3:]):
    for axes, name in zip(picture(*three, height=2.9), three):
        squares(axes, influence("attentions", name), name)
        axes.set_xticks([0, 32])
        axes.set_yticks([0, 32])

# %% [markdown]
# - Η `mha` χρησιμοποιεί όλα τα προηγούμενα tokens, η `swa` μόνο όσα βρίσκονται σε ένα **κυλιόμενο παράθυρο** (sliding window) των 16.
# - Στη `decay` η επίδραση ενός token σβήνει όσο αυτό απομακρύνεται.
# - Η `rfa` έχει ένα παράθυρο, και μια μνήμη που σβήνει για τα tokens πριν από αυτό.
# - Η `gla` αναμειγνύει τα τελευταία οκτώ tokens.
# - Στη `hybrid` οι μισές κεφαλές προσέχουν όπως στο τέταρτο μάθημα, και οι άλλες μισές σβήνουν.
#
# Σε όλες τις εικόνες το μέρος πάνω από τη διαγώνιο είναι κενό: κάθε προσοχή είναι αιτιατή.
#
# ## Πόση μνήμη χρειάζονται
# Όσο ένα μοντέλο παράγει κείμενο, token προς token, μια προσοχή αποθηκεύει όσα θα χρειαστούν τα επόμενα tokens, αντί να τα υπολογίζει ξανά
# για κάθε νέο. Για τη `mha` αυτή η αποθήκη περιέχει όλα τα κλειδιά (keys) και τις τιμές (values)· από αυτά έχει το συνηθισμένο όνομά της,
# **κρυφή μνήμη KV** (KV cache). Με μακριά κείμενα μπορεί να πιάσει περισσότερη μνήμη ενός διακομιστή απ' όση πιάνουν τα βάρη. Πόσους
# αριθμούς αποθηκεύει κάθε προσοχή, σε ένα μπλοκ με πλάτος 128;

# %%
from littlebaby.arrays import tree
from littlebaby.check.preflight import numbers

def cache_size(name, tokens):
    """Πόσους αριθμούς έχει η κρυφή μνήμη μιας προσοχής μετά από τόσα tokens: την τρέχουμε, και μετράμε"""
    cfg = lb.Config(c_attention=name, n_ctx=1024, n_emb=128, n_heads=4, n_vocab=50, c_position="none", s_window=64)
    layer, cache = variant("attentions", name), {}
    spec = layer.params(cfg)
    layer.forward(tree.views(spec, np.zeros(tree.size(spec))), np.zeros((1, tokens, 128)), Context(cfg, cache=cache))
    return numbers(cache)

axes = picture("αριθμοί στην κρυφή μνήμη ενός μπλοκ, ανά tokens ως τώρα· πράσινο: στο τέλος σταθεροί", height=3.8)
lengths = [1, 4, 16, 64, 256, 1024]
lines = {name: [cache_size(name, n) for n in lengths] for name in zoo}
ends = {}
for name, line in lines.items():
    axes.loglog(lengths, line, color=FLOOR if line[-1] == cache_size(name, 512) else TRAIN, lw=1.6)
    ends.setdefault(round(np.log(line[-1]), 1), []).append(name)
for height, same in ends.items():
    axes.annotate(", ".join(same), (1024, np.exp(height)), (6, 0), textcoords="offset points", va="center", color=INK, fontsize=8)
axes.set_xlim(1, 1024)
print("αριθμοί στην κρυφή μνήμη μετά από 1,024 tokens:", ", ".join(f"{name} {lines[name][-1]:,}" for name in ("mha", "gqa", "mla", "decay")))

# %% [markdown]
# Ανάμεσα στη `mha` και στη `decay`, που σε ένα config διαφέρουν κατά μία λέξη, υπάρχει ένας συντελεστής δύο χιλιάδων. Οι κρυφές μνήμες με
# τις πράσινες γραμμές δεν μεγαλώνουν πέρα από ένα σταθερό μέγεθος, όσο μακρύ κι αν είναι το κείμενο: κρατούν μόνο τα τελευταία tokens, ή
# μια σύνοψη όλων των tokens σε σταθερό πλήθος αριθμών. Όλα τα άλλα χάνονται.
#
# ## Πόσο καλά μαθαίνουν
# Κοστίζει σε ποιότητα μια μικρότερη κρυφή μνήμη; Ο μόνος τίμιος τρόπος να το μάθουμε είναι να τις εκπαιδεύσουμε όλες, με το ίδιο κείμενο,
# τα ίδια βήματα και τον ίδιο σπόρο. Χρειάζονται λίγα δευτερόλεπτα για καθεμία.

# %% tags=["parameters"] small="steps, compared = 30, ['mha', 'swa', 'decay']"
steps, compared = 120, zoo

# %%
from littlebaby.training.data import Batches, validation_windows
from littlebaby.training.loop import Step, begin, train
from littlebaby.text import nursery

story, _ = nursery.corpus(120_000, seed=1)
tokenizer = texts.train("char", story)
ids = tokenizer.encode(story)

def losses(**settings):
    """Η απώλεια κάθε βήματος μιας μικρής εκπαίδευσης"""
    cfg = lb.Config(n_ctx=64, n_emb=32, n_heads=4, n_layers=2, batch_size=8, c_position="rope", s_window=16, n_sample=0,
                    r_learn=0.01, n_steps=steps).replace(**settings)
    baby = lb.Baby(cfg, tokenizer=tokenizer, seed=0)
    return [event.loss for event in train(baby, begin(baby, steps), Batches(ids, cfg, 0), validation_windows([ids[:0]], cfg)) if isinstance(event, Step)]

final = {name: np.mean(losses(c_attention=name)[-20:]) for name in compared}
order = sorted(final, key=final.get)
axes = picture(f"απώλεια εκπαίδευσης μετά από {steps} βήματα, nats ανά χαρακτήρα", height=3.4)
axes.plot([final[name] for name in order], "o", color=TRAIN)
for i, name in enumerate(order):
    axes.annotate(f"{final[name]:.2f}", (i, final[name]), (0, 7), textcoords="offset points", ha="center", color=GRAY, fontsize=8)
axes.set_xticks(range(len(order)), order, color=INK)
axes.margins(y=0.25)

# %% [markdown]
# Ξαφνιαστήκατε; Μετά από τόσο λίγα βήματα βοηθούν περισσότερο οι λίγοι τελευταίοι χαρακτήρες, κι έτσι προηγείται μια προσοχή που δεν μπορεί
# να χρησιμοποιήσει τίποτε άλλο: η `gla` αναμειγνύει από την αρχή τα τελευταία οκτώ tokens, ενώ η `mha` πρέπει πρώτα να *μάθει* να προσέχει
# τα κοντινά. Αυξήστε το `steps` και δείτε ποιες την προφταίνουν. Το αποτέλεσμα μιας τέτοιας σύγκρισης εξαρτάται από τη διάρκεια της
# εκπαίδευσης όσο και από τα μοντέλα.
#
# ## Δοκιμάστε
# ### 1. Ως πού φτάνει ένα παράθυρο;
# Σε ένα στρώμα `swa` με παράθυρο 16 ένα token προσέχει 16 tokens, μαζί με τον εαυτό του. Αλλά τα διανύσματα που προσέχει περιέχουν ήδη
# πληροφορία από προηγούμενα tokens, μέσα από το στρώμα από κάτω. Πόσα tokens *πίσω* μπορεί να φτάσει η πληροφορία μέσα από μια στοίβα 3
# τέτοιων στρωμάτων; Και μέσα από `L` στρώματα με παράθυρο `W`;

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
def measured(L, W, T=40):
    """Πόσα tokens πίσω εξαρτάται η έξοδος του τελευταίου token από την είσοδο, σε L στρώματα"""
    rng, swa = np.random.default_rng(0), variant("attentions", "swa")
    from littlebaby.check.variant_measures import random_layer
    cfg = lb.Config(c_attention="swa", n_ctx=64, n_emb=16, n_heads=2, n_vocab=9, s_window=W, d_type="fp64", c_position="none")
    layers, x = [random_layer(swa, cfg, rng) for _ in range(L)], rng.standard_normal((1, T, 16))
    backs = []
    for p, g in layers:
        y, back = swa.forward(p, x, Context(cfg))
        x, _ = x + y, backs.append((back, g))
    dx = np.zeros_like(x)
    dx[0, -1] = 1
    for back, g in reversed(backs):
        dx = dx + back(dx, g)
    return T - 1 - int(np.flatnonzero(abs(dx[0]).max(-1))[0])

@exercise(lesson=8, number=1)
def check(reach):
    assert reach(3, 16) is not None, "η reach επιστρέφει None: επιστρέψτε ένα πλήθος tokens, από το πλήθος των στρωμάτων L και το παράθυρο W."
    assert reach(1, 4) != 4, "ένα παράθυρο 4 μετρά και το ίδιο το token: ένα στρώμα φτάνει 3 tokens πίσω."
    for L, W in ((1, 4), (2, 4), (3, 4), (2, 8), (3, 8)):
        assert reach(L, W) == measured(L, W), f"{L} στρώματα με παράθυρο {W} φτάνουν {measured(L, W)} tokens πίσω: το καθένα προσθέτει το ίδιο· το αποτέλεσμά σας είναι {reach(L, W)}."
    return f"L (W - 1), όπως μετρήθηκε: 3 στρώματα με παράθυρο 16 φτάνουν {reach(3, 16)} tokens πίσω· περισσότερα στρώματα αντικαθιστούν ένα πιο πλατύ παράθυρο."

# %% tags=["exercise"]
def reach(L, W):
    """Πόσα tokens πίσω μπορεί να φτάσει η πληροφορία μέσα από L στρώματα με παράθυρο W"""
    return None

check(reach)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def reach(L, W):
#     """Πόσα tokens πίσω μπορεί να φτάσει η πληροφορία μέσα από L στρώματα με παράθυρο W"""
#     return L * (W - 1)
#
# check(reach)
# ```
#
# </details>

# %% [markdown]
# ### 2. Η κρυφή μνήμη μιας μακριάς συνομιλίας
# Ένα μοντέλο με 32 μπλοκ και πλάτος 4096 έχει επεξεργαστεί 100,000 tokens, και κάθε αριθμός στην κρυφή μνήμη του πιάνει 2 bytes. Η `mha`
# αποθηκεύει για κάθε token σε κάθε μπλοκ ένα κλειδί και μία τιμή με το πλήρες πλάτος. Πόσα *gigabytes* ($10^9$ bytes) είναι αυτά; Και με τη
# `gqa`, που είναι η **προσοχή ομαδοποιημένων ερωτημάτων** (grouped-query attention), όπου οι 32 κεφαλές χωρίζονται σε ομάδες των 8, και
# κάθε ομάδα έχει ένα κλειδί και μία τιμή;

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=8, number=2)
def check(mha, gqa):
    assert mha is not None and gqa is not None, "βάλτε αριθμούς στη θέση του None: tokens, επί μπλοκ, επί 2 διανύσματα, επί πλάτος, επί bytes."
    right = 100_000 * 32 * 2 * 4096 * 2 / 1e9
    assert abs(mha / right - 0.5) > 1e-6, "αυτό είναι το μισό: για κάθε token υπάρχει ένα κλειδί και μία τιμή."
    assert abs(mha / right * 2 ** 30 / 1e9 - 1) > 1e-6, "αυτό είναι σωστό σε GiB, των 2³⁰ bytes: ένα gigabyte έχει 10⁹."
    assert abs(mha / right - 1) < 1e-2, f"η mha δεν είναι {mha:.4g} GB: πολλαπλασιάστε 100,000 tokens, 32 μπλοκ, 2 διανύσματα, 4096 αριθμούς και 2 bytes."
    assert abs(gqa / right * 8 - 1) < 1e-2, f"όπου 8 κεφαλές μοιράζονται ένα κλειδί και μία τιμή, η κρυφή μνήμη είναι το ένα όγδοο των {mha:.4g} GB."
    return f"{mha:.1f} GB για μία συνομιλία, περισσότερα από τα βάρη πολλών μοντέλων· με τη gqa είναι {gqa:.1f} GB."

# %% tags=["exercise"]
mha = None
gqa = None

check(mha, gqa)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# mha = 100_000 * 32 * 2 * 4096 * 2 / 1e9
# gqa = mha / 8
#
# check(mha, gqa)
# ```
#
# </details>

# %% [markdown]
# ### 3. Μια δική σας προσοχή
# Η πιο ταπεινή προσοχή που υπάρχει: κάθε token παίρνει τον μέσο όρο όλων των τιμών μέχρι και τη δική του. Το εμπρόσθιο πέρασμα δίνεται.
# Γράψτε το οπίσθιο: πρώτα το `dv` από το `do` (η τιμή του token $j$ συμμετέχει στον μέσο όρο κάθε token $t \ge j$), ύστερα τα υπόλοιπα. Το
# δοκιμάζει ο έλεγχος κλίσης της βιβλιοθήκης.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
from types import SimpleNamespace

from littlebaby.arrays.tree import matrix
from littlebaby.check import laws

@exercise(lesson=8, number=3)
def check(forward):
    layer = SimpleNamespace(params=lambda cfg: dict(wv=matrix(cfg.n_emb, 8), wo=matrix(8, cfg.n_emb)), forward=forward)
    cfg = laws.config()
    s = laws.random_layer(layer, cfg)
    _, back = forward(s.p, s.x, Context(cfg))
    g = tree.views(s.spec, np.zeros_like(s.flat))
    assert back(s.dy, g) is not None, "η backward επιστρέφει None: υπολογίστε το dv από το do, ύστερα το dx από το dv, και προσθέστε τα dwo και dwv στο g."
    assert g.wo.any() and g.wv.any(), "ένα βάρος δεν έχει κλίση: γράψτε g.wo += dwo και g.wv += dwv."
    error = laws.gradient(layer, cfg)
    assert error < laws.EXACT, f"ο έλεγχος βρίσκει σφάλμα {error:.1g}: το dv_j είναι το άθροισμα των do_t / (t + 1) για όλα τα t >= j, μια cumsum από το τέλος."
    return f"σφάλμα {error:.0e}: γράψατε και επαληθεύσατε ένα στρώμα γλωσσικού μοντέλου. Ως αρχείο στο model/attentions θα μπορούσε να εκπαιδευτεί."

# %% tags=["exercise"]
def forward(p, x, ctx):
    """y_t = (μέσος όρος των x_j wv για όλα τα j <= t) wo"""
    v, back_v = arrays.linear(x, p.wv)                   # (B, T, D) -> (B, T, H)
    n = np.arange(1, x.shape[1] + 1)[:, None]            # (T, 1): 1, 2, 3, ...
    o = v.cumsum(1) / n
    y, back_y = arrays.linear(o, p.wo)                   # (B, T, H) -> (B, T, D)

    def backward(dy, g):
        do, dwo, _ = back_y(dy)
        return None

    return y, backward

check(forward)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def forward(p, x, ctx):
#     """y_t = (μέσος όρος των x_j wv για όλα τα j <= t) wo"""
#     v, back_v = arrays.linear(x, p.wv)
#     n = np.arange(1, x.shape[1] + 1)[:, None]
#     o = v.cumsum(1) / n
#     y, back_y = arrays.linear(o, p.wo)
#
#     def backward(dy, g):
#         do, dwo, _ = back_y(dy)
#         dv = (do / n)[:, ::-1].cumsum(1)[:, ::-1]
#         dx, dwv, _ = back_v(dv)
#         g.wo += dwo
#         g.wv += dwv
#         return dx
#
#     return y, backward
#
# check(forward)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [9 · Ειδικοί](09_experts.ipynb): ένα μοντέλο μπορεί να έχει περισσότερα βάρη από όσα χρησιμοποιεί για κάθε token.
