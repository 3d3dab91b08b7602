# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5 · Ένα μπλοκ
#
# *Η προσοχή μεταφέρει πληροφορία ανάμεσα στα tokens· ποιος την επεξεργάζεται;*
#
# Ένα GPT είναι μια στοίβα από όμοια μέρη, και το κάθε μέρος λέγεται **μπλοκ** (block). Ένα μπλοκ έχει μια προσοχή, όπου τα tokens
# ανταλλάσσουν πληροφορία, και ένα δίκτυο, που επεξεργάζεται κάθε token χωριστά: πρώτα μιλούν όλα μεταξύ τους, ύστερα το καθένα σκέφτεται
# αυτά που άκουσε. Κάθε token παριστάνεται με ένα διάνυσμα, που πηγαίνει από μπλοκ σε μπλοκ· η προσοχή και το δίκτυο το διαβάζουν και
# προσθέτουν σ' αυτό την έξοδό τους, με μια υπολειμματική σύνδεση. Τα διανύσματα αυτά λέγονται **υπολειμματικό ρεύμα** (residual stream),
# σαν ένα ποτάμι όπου κάθε στρώμα ρίχνει λίγο νερό. Το μάθημα αυτό συνδυάζει τα μέρη των μαθημάτων 2 και 4, ώσπου να έχετε ξαναφτιάξει
# ολόκληρο το μοντέλο της βιβλιοθήκης, με αποτελέσματα ίσα ως το τελευταίο ψηφίο.
#
# Δύο λέξεις μπερδεύονται εύκολα. Σ' αυτά τα μαθήματα *στρώμα* είναι μία συνάρτηση με το `backward` της: ένα γραμμικό στρώμα, μια προσοχή,
# ένα δίκτυο. *Μπλοκ* είναι μια προσοχή και ένα δίκτυο μαζί. Αλλού και το μπλοκ λέγεται συχνά στρώμα (layer), κι έτσι το λέει και η
# βιβλιοθήκη όταν τα μετρά: `n_layers=6` σημαίνει έξι μπλοκ.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import arrays
from littlebaby import text as texts
from littlebaby.arrays import tree
from littlebaby.model.context import Context, variant
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID
from littlebaby.show.tour import exercise, picture

rng = np.random.default_rng(0)

# %% [markdown]
# ## Τα μέρη
# Ένα config ονομάζει αρχεία: `c_attention="mha"` είναι το `model/attentions/mha.py`, και ούτω καθεξής. Κάθε αρχείο έχει δύο συναρτήσεις: η
# `params(cfg)` επιστρέφει τα σχήματα και τις αρχικές τιμές των βαρών, και η `forward(p, x, ctx)` επιστρέφει το `y` και τη
# `backward(dy, g)`. Το `p` έχει τα βάρη με τα ονόματά τους, και το `g` έχει μια θέση για την κλίση του καθενός· το `ctx` λέει στο στρώμα τα
# σχετικά με την τωρινή κλήση, λόγου χάρη από ποιο σημείο του κειμένου αρχίζει. Το στρώμα του τρίτου μαθήματος έχει αυτή τη μορφή.

# %%
cfg = lb.Config(n_vocab=40, n_ctx=32, n_emb=32, n_heads=4, n_layers=6, d_type="fp64")
attention, network, norm = (variant(kind, name) for kind, name in
                            (("attentions", cfg.c_attention), ("networks", cfg.c_network), ("norms", cfg.c_norm)))

def fresh(part, seed=0):
    """Τυχαία βάρη ενός μέρους, και μηδενικά για τις κλίσεις τους"""
    spec = part.params(cfg)
    flat = tree.init(spec, np.random.default_rng(seed), float)
    return tree.views(spec, flat), tree.views(spec, np.zeros_like(flat))

for part in (attention, network, norm):
    p, _ = fresh(part)
    print(f"{part.__name__.split('.')[-1]:10}", {name: w.shape for name, w in p.items()})

# %% [markdown]
# Όλα τα βάρη ενός μοντέλου βρίσκονται σε *ένα* μακρύ διάνυσμα: το `p.up` είναι μια όψη (view) ενός κομματιού του, και το `g.up` μια όψη του
# ίδιου κομματιού του διανύσματος της κλίσης. Γι' αυτό είναι τόσο σύντομος ο κώδικας που αλλάζει τα βάρη (μάθημα 7): για εκείνον ένα μοντέλο
# είναι ένα διάνυσμα.
#
# ## Γιατί ένα υπολειμματικό ρεύμα;
# Η πιο απλή στοίβα κάνει την έξοδο κάθε στρώματος είσοδο του επόμενου. Ας στοιβάξουμε 24 δίκτυα με τρεις τρόπους: (1) έτσι, (2) με ένα
# στρώμα που λέγεται **κανονικοποίηση** (normalization, συντομότερα norm) πριν από κάθε δίκτυο, το οποίο φέρνει κάθε διάνυσμα στο ίδιο
# μέγεθος, όπως δυναμώνει ή χαμηλώνει κανείς ένα μικρόφωνο ώσπου να ταιριάζει, (3) με ένα υπολειμματικό ρεύμα όπου κάθε δίκτυο *προσθέτει*:
# $x + f(\text{norm}(x))$. Ξεκινάμε με μια τυχαία κλίση στην κορυφή και την ακολουθούμε στο οπίσθιο πέρασμα ως τη βάση.
#
# Σε κάθε βάθος μετράμε δύο πράγματα: τη **νόρμα της κλίσης** (gradient norm), που είναι το μήκος της κλίσης ως διανύσματος, σε σχέση με το
# μήκος στην κορυφή, και την ομοιότητα συνημιτόνου ανάμεσα στην κλίση και στην κλίση της κορυφής (1: ίδια κατεύθυνση, 0: τίποτα κοινό).

# %%
from littlebaby.check.variant_measures import random_layer

def follow_gradient(norms, stream, layers=24):
    """Η σχετική νόρμα της κλίσης και η ομοιότητα συνημιτόνου με την κλίση της κορυφής, σε κάθε βάθος από την κορυφή ως τη βάση"""
    rng = np.random.default_rng(0)
    x, backs, ctx = rng.standard_normal((2, 16, cfg.n_emb)), [], Context(cfg)
    for i in range(layers):
        (pn, gn), (p, g) = fresh(norm), random_layer(network, cfg, rng)
        n, back_n = norm.forward(pn, x, ctx) if norms else (x, lambda dy, g: dy)
        y, back_f = network.forward(p, n, ctx)
        backs.append((back_n, gn, back_f, g))
        x = x + y if stream else y
    top = dx = rng.standard_normal(x.shape)
    sizes, similarities = [1.0], [1.0]
    for back_n, gn, back_f, g in reversed(backs):
        through = back_n(back_f(dx, g), gn)
        dx = dx + through if stream else through
        sizes.append(np.linalg.norm(dx) / np.linalg.norm(top))
        similarities.append((dx * top).sum() / np.linalg.norm(dx) / np.linalg.norm(top))
    return sizes, similarities

left, right = picture("νόρμα της κλίσης, ανά στρώμα κάτω από την κορυφή", "ομοιότητα συνημιτόνου με την κλίση της κορυφής", widths=(1, 1))
for norms, stream, color, name in ((False, False, GRAY, "μόνο δίκτυα"), (True, False, VALID, "με norm"),
                                   (True, True, TRAIN, "με ρεύμα")):
    sizes, similarities = follow_gradient(norms, stream)
    left.semilogy(sizes, color=color, lw=1.8, label=name)
    right.plot(similarities, color=color, lw=1.8)
    print(f"{name:15} μετά από 24 στρώματα: νόρμα της κλίσης {sizes[-1]:.1e}, ομοιότητα συνημιτόνου {similarities[-1]:+.2f}")
left.legend(frameon=False, fontsize=8, labelcolor=GRAY);

# %% [markdown]
# Στην απλή στοίβα η κλίση χάνεται στον δρόμο προς τα κάτω. Οι κανονικοποιήσεις το εμποδίζουν αυτό, αλλά δείτε τη δεξιά εικόνα: με ή χωρίς
# κανονικοποίηση, η κλίση δεν έχει τίποτα κοινό με εκείνη της κορυφής, κιόλας μετά από ένα στρώμα. Σε ένα υπολειμματικό ρεύμα ένας δρόμος
# παρακάμπτει κάθε στρώμα (τον γράψατε στο δεύτερο μάθημα: `dx + dy`), κι έτσι η κλίση μένει όμοια με την κλίση της κορυφής για πολλά
# στρώματα.
#
# ## Το μπλοκ
# Κανονικοποίηση, προσοχή, πρόσθεση· κανονικοποίηση, δίκτυο, πρόσθεση. Το οπίσθιο πέρασμα κάνει το ίδιο με την αντίστροφη σειρά. Το `+` και
# στις δύο κατευθύνσεις είναι η υπολειμματική σύνδεση.

# %%
def residual(f, pn, p, x, ctx):
    """x + f(norm x), -> (B, T, D), backward"""
    n, back_n = norm.forward(pn, x, ctx)
    y, back_f = f(p, n, ctx)

    def backward(dy, gn, g):
        return dy + back_n(back_f(dy, g), gn)

    return x + y, backward

def block(p, x, ctx):
    x, back_att = residual(attention.forward, p.norm1, p.att, x, ctx)
    x, back_net = residual(network.forward, p.norm2, p.net, x, ctx)

    def backward(dx, g):
        return back_att(back_net(dx, g.norm2, g.net), g.norm1, g.att)

    return x, backward

# %% [markdown]
# ## Ολόκληρο το μοντέλο
# Λείπουν ακόμη η είσοδος και η έξοδος. Η είσοδος του πρώτου μπλοκ είναι η ενσωμάτωση κάθε token συν μια **κωδικοποίηση θέσης** (position
# encoding): ένα διάνυσμα για κάθε θέση, εδώ από έναν δεύτερο πίνακα, όπως οι αριθμοί των σελίδων σε ένα βιβλίο (τρίτη άσκηση του τέταρτου
# μαθήματος: χωρίς θέσεις η σειρά των tokens είναι άγνωστη). Μετά το τελευταίο μπλοκ μια κανονικοποίηση και ένα γραμμικό στρώμα, που λέγεται
# **κεφαλή εξόδου** (output head), υπολογίζουν τα logits. Με τις κεφαλές της προσοχής έχει κοινό μόνο το όνομα.
#
# Αυτή είναι πάλι η εικόνα του πρώτου μαθήματος, τώρα με όλα της τα μέρη. Τα σχήματα είναι εκείνα των διανυσμάτων που βγαίνουν από κάθε
# μέρος: $B$ κείμενα με $T$ tokens, διανύσματα με $D$ αριθμούς, ένα λεξιλόγιο με $V$ tokens.

# %%
from littlebaby.show.tour_pictures import gpt_picture
from littlebaby.text import nursery

tokenizer = texts.train("char", nursery.corpus(20_000, seed=1)[0])
untrained = lb.Baby(cfg, tokenizer=tokenizer, seed=0)
ids = untrained.encode("hid a ")
p, _ = arrays.softmax(untrained.logits(ids)[0, -1])
gpt_picture("ένα ολόκληρο GPT, και ένα από τα μπλοκ του", "hid a ", ids,
            [("ενσωμάτωση\n+ θέση", "(B, T, D)"), ("μπλοκ 1", "(B, T, D)"), ("μπλοκ 2", "(B, T, D)"), ("", ""), ("norm", "(B, T, D)"),
             ("κεφαλή\nεξόδου", "(B, T, V)"), ("softmax", "(B, T, V)")],
            "πριν την εκπαίδευση", dict(zip(tokenizer.tokens(), p.tolist())), ("norm", "προσοχή", "norm", "δίκτυο", "υπολειμματικό ρεύμα"))

# %% [markdown]
# Η πρόβλεψη είναι ακόμη θόρυβος: όλοι οι χαρακτήρες είναι περίπου εξίσου πιθανοί. Ένα GPT δεν έχει τίποτα περισσότερο από αυτή την εικόνα,
# και τίποτα περισσότερο από το επόμενο κελί.

# %%
def gpt(p, ids, targets):
    """ids, targets (B, T) -> loss, backward(g)"""
    ctx = Context(cfg)
    x, back_token = arrays.embedding(ids, p.token)                         # (B, T) -> (B, T, D)
    x = x + p.position.table[:ids.shape[1]]
    backs = []
    for pb in p.blocks:
        x, back = block(pb, x, ctx)
        backs.append(back)
    x, back_norm = norm.forward(p.norm, x, ctx)
    z, back_head = arrays.linear(x, p.head.w, p.head.b)                    # (B, T, D) -> (B, T, V)
    loss, back_loss = arrays.cross_entropy(z, targets)

    def backward(g):
        dx, dw, db = back_head(back_loss())
        g.head.w += dw
        g.head.b += db
        dx = back_norm(dx, g.norm)
        for back, gb in zip(reversed(backs), reversed(g.blocks)):
            dx = back(dx, gb)
        g.position.table[:ids.shape[1]] += dx.sum(0)
        g.token += back_token(dx)

    return loss, backward

baby = lb.Baby(cfg, seed=0)
ids, targets = rng.integers(0, 40, (2, 3, 32))

loss, backward = gpt(baby.p, ids, targets)
gradient = np.zeros_like(baby.flat)
backward(tree.views(baby.spec, gradient))

library_loss, library_grads = baby.loss_and_grads(ids, targets)
grads = tree.named(baby.spec, gradient)
print(f"απώλεια {loss:.6f}, διαφορά από τη βιβλιοθήκη {abs(loss - library_loss):.0e}· απώλεια μιας ομοιόμορφης πρόβλεψης: {np.log(40):.6f}")
largest = max(abs(grads[name] - library_grads[name]).max() for name in grads)
print(f"{len(grads)} κλίσεις, μεγαλύτερη διαφορά από τη βιβλιοθήκη {largest:.0e}")

# %% [markdown]
# Πριν από την εκπαίδευση, η απώλεια είναι περίπου όση και μιας ομοιόμορφης πρόβλεψης, $\ln V$. Αξίζει να το ελέγχετε κάθε φορά που
# φτιάχνετε ένα μοντέλο: αν η πρώτη απώλεια απέχει πολύ από το $\ln V$, κάποιος έκανε λάθος.
#
# ## Πού είναι τα βάρη;
# Το config του GPT-2 είναι ένα preset της βιβλιοθήκης, οπότε μπορούμε να μετρήσουμε σε ποια μέρη ανήκουν τα 124 εκατομμύρια βάρη του.

# %%
from math import prod

from littlebaby.model import gpt as library_gpt
from littlebaby.runs.presets import preset

def weights(cfg):
    """{μέρος: πλήθος βαρών}"""
    parts = {}
    for path, leaf in tree.leaves(library_gpt.params(cfg)):
        name = next((label for key, label in ((".att.", "προσοχή"), (".net.", "δίκτυο"), ("token", "ενσωμάτωση"),
                                             ("position", "θέσεις"), ("head", "κεφαλή")) if key in path), "norm")
        parts[name] = parts.get(name, 0) + prod(leaf.shape)
    return parts

gpt2 = lb.Config(**preset("gpt2")).replace(n_vocab=50257)
parts = weights(gpt2)
axes = picture(f"{sum(parts.values()):,} βάρη του GPT-2, σε εκατομμύρια", height=2.4)
names = sorted(parts, key=parts.get)
axes.barh(names, [parts[name] / 1e6 for name in names], color=TRAIN)
for i, name in enumerate(names):
    axes.annotate(f"{parts[name] / 1e6:.2f}", (parts[name] / 1e6, i), (5, 0), textcoords="offset points", va="center", color=INK)
axes.grid(False)

# %% [markdown]
# Τα δύο τρίτα των βαρών ενός μπλοκ βρίσκονται στο δίκτυό του, που λέγεται **πολυστρωματικό perceptron** (multilayer perceptron, MLP): ένα
# γραμμικό στρώμα, μια συνάρτηση ενεργοποίησης, και άλλο ένα γραμμικό στρώμα. Η προσοχή, για την οποία μιλούν όλοι, είναι το μικρότερο
# μέρος.
#
# ## Δοκιμάστε
# ### 1. Μετρήστε τα βάρη
# Ένα μπλοκ με πλάτος $D$ έχει τέσσερις πίνακες $(D, D)$ στην προσοχή του και δύο στο δίκτυό του, $(D, 4D)$ και $(4D, D)$. Πόσα βάρη έχουν
# οι πίνακες $L$ μπλοκ; Αυτόν τον τύπο αξίζει να τον θυμάστε.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=5, number=1)
def check(count):
    n = count(1, 1)
    assert n is not None, "η count επιστρέφει None: επιστρέψτε έναν τύπο με τα D και L."
    assert n == 12, f"για D = 1 ένα μπλοκ έχει 4 + 4 + 4 = 12 βάρη στους πίνακές του· το αποτέλεσμά σας είναι {n}."
    assert count(1, 2) == 24, f"δύο μπλοκ έχουν τα διπλάσια βάρη από ένα, 24 για D = 1· το αποτέλεσμά σας είναι {count(1, 2)}."
    assert count(2, 1) == 48, f"ένας πίνακας (D, D) έχει D² βάρη, άρα το D = 2 δίνει τετραπλάσια απ' ό,τι το D = 1, 48· το αποτέλεσμά σας είναι {count(2, 1)}."
    right = sum(prod(leaf.shape) for path, leaf in tree.leaves(library_gpt.params(gpt2)) if leaf.kind == "matrix")
    assert count(768, 12) == right, f"για το GPT-2, με D = 768 και L = 12, πρέπει να είναι {right:,}· το αποτέλεσμά σας είναι {count(768, 12):,}."
    return f"12 D² L = {right:,} για το GPT-2. Διπλάσιο πλάτος σημαίνει τετραπλάσια βάρη, διπλάσιο βάθος σημαίνει διπλάσια βάρη."

# %% tags=["exercise"]
def count(D, L):
    """Πλήθος βαρών στους πίνακες L μπλοκ με πλάτος D"""
    return None

check(count)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def count(D, L):
#     """Πλήθος βαρών στους πίνακες L μπλοκ με πλάτος D"""
#     return 12 * D * D * L
#
# check(count)
# ```
#
# </details>

# %% [markdown]
# ### 2. Η αρχική σειρά
# Στον πρώτο transformer (2017) η κανονικοποίηση ερχόταν τελευταία: $\text{norm}(x + f(x))$. Γράψτε το οπίσθιο πέρασμα. (Στη βιβλιοθήκη αυτό
# είναι το `c_sequence="post"`.)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
from types import SimpleNamespace

from littlebaby.check import laws

@exercise(lesson=5, number=2)
def check(post):
    def forward(p, x, ctx):
        y, back = post(network.forward, p["norm"], p["net"], x, ctx)
        return y, lambda dy, g: back(dy, g["norm"], g["net"])

    layer = SimpleNamespace(params=lambda cfg: dict(norm=norm.params(cfg), net=network.params(cfg)), forward=forward)
    small = laws.config()
    s = laws.random_layer(layer, small)
    _, back = forward(s.p, s.x, Context(small))
    assert back(s.dy, tree.views(s.spec, np.zeros_like(s.flat))) is not None, "η backward επιστρέφει None: καλέστε τη back_n, και ύστερα προσθέστε τους δύο δρόμους."
    error = laws.gradient(layer, small)
    assert error < laws.EXACT, f"ο έλεγχος βρίσκει σφάλμα {error:.1g}: περάστε πρώτα από την κανονικοποίηση, και μία φορά, και ύστερα προσθέστε τους δύο δρόμους, δίπλα από την f και μέσα από την f."
    return f"σφάλμα {error:.0e}. Εδώ ακόμη και ο δρόμος δίπλα από την f περνά από κάθε κανονικοποίηση: τέτοια βαθιά μοντέλα χρειάζονται μεγάλη προθέρμανση για να εκπαιδευτούν."

# %% tags=["exercise"]
def post(f, pn, p, x, ctx):
    """norm(x + f x); backward(dn, gn, g) -> dx"""
    y, back_f = f(p, x, ctx)
    n, back_n = norm.forward(pn, x + y, ctx)

    def backward(dn, gn, g):
        return None

    return n, backward

check(post)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def post(f, pn, p, x, ctx):
#     """norm(x + f x); backward(dn, gn, g) -> dx"""
#     y, back_f = f(p, x, ctx)
#     n, back_n = norm.forward(pn, x + y, ctx)
#
#     def backward(dn, gn, g):
#         dy = back_n(dn, gn)
#         return dy + back_f(dy, g)
#
#     return n, backward
#
# check(post)
# ```
#
# </details>

# %% [markdown]
# ### 3. Ποια tokens αλλάζουν;
# Αν αλλάξει το token 3 από 8 (μετρώντας από το 0), σε ποιες θέσεις αλλάζει η έξοδος, μετά από μια προσοχή μόνη της και μετά από ένα δίκτυο
# μόνο του; Προβλέψτε, και βάλτε τα δύο σύνολα θέσεων.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
def changed(part):
    """Οι θέσεις που η έξοδός τους αλλάζει μαζί με το token 3"""
    p, _ = fresh(part)
    x = np.random.default_rng(1).standard_normal((1, 8, cfg.n_emb))
    other = x.copy()
    other[0, 3] += 1
    a, b = (part.forward(p, each, Context(cfg))[0] for each in (x, other))
    return set(np.flatnonzero(abs(a - b).max(-1)[0]).tolist())

@exercise(lesson=5, number=3)
def check(after_attention, after_network):
    assert after_attention is not None and after_network is not None, "βάλτε δύο σύνολα θέσεων στη θέση του None, λόγου χάρη {0, 1, 2}."
    assert all(isinstance(each, (set, list, tuple)) for each in (after_attention, after_network)), "βάλτε δύο σύνολα, λόγου χάρη {3}, ακόμη και για μία θέση."
    assert set(after_network) == changed(network), "ένα δίκτυο δουλεύει σε κάθε token χωριστά: μόνο η έξοδος μίας θέσης μπορεί να αλλάξει."
    assert set(after_attention) == changed(attention), "σε μια προσοχή το token 3 και όλα τα επόμενα χρησιμοποιούν το token 3· τα προηγούμενα δεν μπορούν."
    return "μόνο στην προσοχή επηρεάζουν τα tokens το ένα το άλλο· όλα τα άλλα μέρη ενός GPT δουλεύουν σε κάθε token χωριστά."

# %% tags=["exercise"]
after_attention = None
after_network = None

check(after_attention, after_network)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# after_attention = {3, 4, 5, 6, 7}
# after_network = {3}
#
# check(after_attention, after_network)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [6 · Δειγματοληψία](06_sampling.ipynb). Το μοντέλο δίνει πιθανότητες· για να γραφτεί ένα κείμενο, πρέπει να διαλέξουμε έναν
# χαρακτήρα.
