# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 9 · Ειδικοί
#
# *Μπορεί ένα μοντέλο να έχει περισσότερα βάρη από όσα χρησιμοποιεί για κάθε token;*
#
# Τα δύο τρίτα των βαρών ενός μπλοκ βρίσκονται στο δίκτυό του, και κάθε token τα χρησιμοποιεί όλα: ένα κόμμα όσο και μια σπάνια λέξη. Ένα
# **μείγμα ειδικών** (mixture of experts) έχει πολλά δίκτυα, και το καθένα είναι ένας **ειδικός** (expert). Ένας **δρομολογητής** (router)
# στέλνει κάθε token σε λίγους από αυτούς, όπως η υποδοχή ενός νοσοκομείου στέλνει κάθε ασθενή στους κατάλληλους γιατρούς. Πολλά από τα
# μεγαλύτερα σημερινά μοντέλα είναι φτιαγμένα έτσι. Η ιδέα χωρά σε τρεις γραμμές, αλλά έχει ένα πρόβλημα: αν δεν γίνει κάτι, μερικοί ειδικοί
# μένουν άνεργοι. Θα το δούμε να συμβαίνει, και θα το θεραπεύσουμε.

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
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.show.variant_pictures import squares
from littlebaby.show.tour import exercise, picture

rng = np.random.default_rng(0)

# %% [markdown]
# ## Με το χέρι
# Για κάθε token ο δρομολογητής δίνει σε κάθε ειδικό μια πιθανότητα $s_i$. Οι $k$ ειδικοί με τις μεγαλύτερες πιθανότητες υπολογίζουν τις
# εξόδους τους, και το αποτέλεσμα είναι το σταθμισμένο άθροισμα αυτών των εξόδων. Τα βάρη είναι οι πιθανότητες των $k$ ειδικών, διαιρεμένες
# με το άθροισμά τους ώστε να έχουν άθροισμα 1:
#
# $$s = \text{softmax}(x\, w_{router}) \qquad y = \sum_{i \in \text{top } k} \frac{s_i}{\sum_{j \in \text{top } k} s_j}\; \text{expert}_i(x)$$

# %%
cfg = lb.Config(c_network="moe", n_experts=8, n_active=2, s_expert=32, n_emb=16, n_heads=2, n_vocab=9, n_ctx=16, d_type="fp64")
moe, mlp = variant("networks", "moe"), variant("networks", "mlp")
spec = moe.params(cfg)
p = tree.views(spec, 0.3 * rng.standard_normal(tree.size(spec)))

def by_hand(p, x):
    """(N, D) -> (N, D), token προς token"""
    y = np.zeros_like(x)
    for n, token in enumerate(x):
        s, _ = arrays.softmax(token @ p.router)                            # (D) -> (E)
        chosen = np.argsort(-s)[:cfg.n_active]
        for i in chosen:
            output, _ = mlp.forward(p.experts[i], token[None], Context(cfg))
            y[n] += s[i] / s[chosen].sum() * output[0]
    return y

x = rng.standard_normal((12, 16))
y, backward = moe.forward(p, x[None], Context(cfg))
print(f"μεγαλύτερη διαφορά ανάμεσα σε βρόχους και βιβλιοθήκη: {abs(by_hand(p, x) - y[0]).max():.0e}")

# %% [markdown]
# Η βιβλιοθήκη δεν τα επεξεργάζεται ένα ένα. Ταξινομεί τα tokens ανά ειδικό, ώστε κάθε ειδικός να επεξεργάζεται όλα τα δικά του μαζί, και
# βάζει τις εξόδους πίσω στην αρχική σειρά. Το αποτέλεσμα είναι το ίδιο.
#
# Και η κλίση; Το *ποιοι* ειδικοί επιλέγονται δεν έχει παράγωγο, γιατί είναι διακριτή επιλογή· το οπίσθιο πέρασμα θεωρεί την επιλογή
# δεδομένη. Το *πόσο* μετρά κάθε έξοδος έχει παράγωγο, και μέσα από αυτήν μαθαίνει ο δρομολογητής: αν ένα μεγαλύτερο βάρος για έναν ειδικό
# θα κατέβαζε την απώλεια, η βαθμολογία του ανεβαίνει.

# %%
from littlebaby.check import laws

for k in (1, 2, 4):
    print(f"ειδικοί που επιλέγονται: {k} από 4· σχετικό σφάλμα της κλίσης {laws.gradient(moe, laws.config('networks', 'moe', n_active=k)):.0e}")

# %% [markdown]
# ## Βάρη και έργο
# Περισσότεροι ειδικοί σημαίνουν περισσότερα βάρη. Αν όμως ο αριθμός των ειδικών ανά token μένει ίδιος, ένα token χρειάζεται τον ίδιο αριθμό
# πράξεων.

# %%
from littlebaby.check.preflight import flops

def size_and_work(E, k):
    """Το πλήθος των βαρών ενός μοντέλου, και τα εκατομμύρια πράξεων για ένα token, στο εμπρόσθιο και στο οπίσθιο πέρασμα"""
    cfg = lb.Config(c_network="moe", n_experts=E, n_active=k, n_emb=128, n_heads=4, n_layers=4, n_vocab=50)
    spec = lb.Baby(cfg).spec
    return tree.size(spec), sum(flops(cfg, spec)) / 1e6

left, right = picture("εκατομμύρια βάρη, ανά αριθμό ειδικών", "εκατομμύρια πράξεις ανά token, με δύο ειδικούς", widths=(1, 1))
numbers = [2, 4, 8, 16]
sizes, works = zip(*(size_and_work(E, 2) for E in numbers))
left.bar([str(E) for E in numbers], [n / 1e6 for n in sizes], color=TRAIN)
right.bar([str(E) for E in numbers], works, color=VALID)
print(f"16 ειδικοί αντί για 2: {sizes[-1] / sizes[0]:.1f} φορές τα βάρη, {works[-1] / works[0]:.2f} φορές οι πράξεις")

# %% [markdown]
# ## Ανεργία
# Στην αρχή της εκπαίδευσης όλοι οι ειδικοί είναι περίπου εξίσου καλοί. Αν ένας τύχει να είναι λίγο καλύτερος, ο δρομολογητής τον επιλέγει
# συχνότερα· εκπαιδεύεται λοιπόν περισσότερο και γίνεται ακόμη καλύτερος. Οι πλούσιοι γίνονται πλουσιότεροι. Εδώ εκπαιδεύουμε οκτώ ειδικούς
# με το nursery, με έναν να επιλέγεται για κάθε token, και καταγράφουμε για κάθε ειδικό το **φορτίο** (load) του: το ποσοστό των tokens που
# παίρνει. Το κάνουμε δύο φορές: χωρίς κανένα μέτρο, και με μια **απώλεια εξισορρόπησης φορτίου** (load-balancing loss), μια μικρή δεύτερη
# απώλεια που μεγαλώνει όταν τα φορτία είναι άνισα (η ρύθμιση `r_aux` είναι ο συντελεστής της).

# %% tags=["parameters"] small="steps = 20"
steps = 200

# %%
from littlebaby.training.data import Batches, validation_windows
from littlebaby.training.loop import Evaluation, Step, begin, train
from littlebaby.text import nursery

story, _ = nursery.corpus(120_000, seed=1)
tokenizer = texts.train("char", story)
ids = tokenizer.encode(story)

def train_experts(**settings):
    """Εκπαιδεύει ένα μικρό μωρό με ειδικούς -> μωρό, απώλειες εκπαίδευσης, φορτία (αξιολογήσεις, στρώματα, E)"""
    cfg = lb.Config(c_network="moe", n_experts=8, n_active=1, s_expert=32, c_router="softmax", n_ctx=64, n_emb=32, n_heads=4, n_layers=2,
                    batch_size=8, c_position="rope", n_sample=0, r_learn=0.01, n_steps=steps, s_eval=10, **settings)
    baby = lb.Baby(cfg, tokenizer=tokenizer, seed=0)
    events = list(train(baby, begin(baby, steps), Batches(ids, cfg, 0), validation_windows([ids[:0]], cfg)))
    loads = np.array([event.load for event in events if isinstance(event, Evaluation)], float)
    return baby, [event.loss for event in events if isinstance(event, Step)], loads / loads.sum(-1, keepdims=True)

SHADES = "#23507a", TRAIN, "#8fb5d8", "#cfe0f0", "#7d2b17", VALID, "#e3a596", "#f5dcd4"

babies = {name: train_experts(**settings) for name, settings in (("χωρίς εξισορρόπηση", dict(r_aux=0.0)), ("με εξισορρόπηση", dict(r_aux=0.02)))}
for axes, (name, (_, losses, loads)) in zip(picture(*(f"φορτία στο μπλοκ 1 ανά βήμα, {name}" for name in babies), widths=(1, 1)), babies.items()):
    axes.stackplot(10 * (1 + np.arange(len(loads))), loads[:, 0].T, colors=SHADES, lw=0)
    axes.set_ylim(0, 1)
    axes.set_xlim(10, steps)
    print(f"{name:18} απώλεια εκπαίδευσης {np.mean(losses[-20:]):.3f}")
    for when, load in (("βήμα 10", loads[0, 0]), (f"βήμα {steps}", loads[-1, 0])):
        print(f"    {when:9} μεγαλύτερο φορτίο στο μπλοκ 1 {load.max():.1%}, μικρότερο {load.min():.1%}")

# %% [markdown]
# Κάθε χρώμα είναι ένας ειδικός, και το ύψος της λωρίδας του είναι το φορτίο του· ίσα φορτία θα ήταν ένα όγδοο, 12.5%. Αριστερά μερικές
# λωρίδες μόλις που φαίνονται: ένας ειδικός που δεν επιλέγεται δεν εκπαιδεύεται, κι έτσι δεν επιλέγεται ούτε αργότερα. Δεξιά όλοι οι ειδικοί
# έχουν δουλειά, και η απώλεια δεν είναι μεγαλύτερη. Η ισορροπία έχει σημασία: αν κάθε ειδικός βρίσκεται σε δικό του μηχάνημα, όλα τα
# μηχανήματα περιμένουν εκείνο με το μεγαλύτερο φορτίο· κι ένας ειδικός που δεν επιλέγεται ποτέ πιάνει μνήμη χωρίς λόγο.
#
# ## Ποιοι χαρακτήρες πηγαίνουν σε ποιον ειδικό;
# Βάζουμε το δεύτερο μωρό να επεξεργαστεί ένα κείμενο, και μετράμε σε ποιον ειδικό στάλθηκε κάθε χαρακτήρας.

# %%
baby = babies["με εξισορρόπηση"][0]

from littlebaby.model import gpt

rows, decisions = ids[:12_800].reshape(200, 64), {}
gpt.forward(baby.p, rows, Context(baby.config, decisions=decisions))       # το εμπρόσθιο πέρασμα αποθηκεύει τις διακριτές επιλογές του στο `decisions`
chosen = decisions[0, "chosen"][:, 0]                                      # ο ειδικός κάθε token στο πρώτο μπλοκ

counts = np.zeros((8, tokenizer.size))
np.add.at(counts, (chosen, rows.reshape(-1)), 1)
often = np.argsort(-counts.sum(0))[:28]
axes = picture("ποσοστό των εμφανίσεων κάθε χαρακτήρα που πηγαίνει σε κάθε ειδικό", height=3.2)
squares(axes, counts[:, often] / counts[:, often].sum(0), axes.get_title(loc="left"))
axes.set_aspect("auto")
axes.set_xticks(range(28), [{" ": "␣", "\n": "⏎"}.get(c, c) for c in np.array(tokenizer.tokens())[often]], fontsize=9)
axes.set_yticks(range(8), [f"ειδικός {i}" for i in range(8)]);

# %% [markdown]
# Κανείς δεν ανέθεσε χαρακτήρες στους ειδικούς. Μερικοί χαρακτήρες πηγαίνουν σε έναν μόνο ειδικό· άλλοι μοιράζονται σε πολλούς, ανάλογα με
# τους χαρακτήρες πριν από αυτούς.
#
# ## Δοκιμάστε
# ### 1. Τα βάρη των εξόδων
# Τα `scores` είναι τα logits του δρομολογητή, και το `chosen` έχει τους δείκτες των ειδικών που επιλέχθηκαν για κάθε token. Επιστρέψτε το
# βάρος της εξόδου κάθε επιλεγμένου ειδικού: μια softmax στις βαθμολογίες μόνο των επιλεγμένων ειδικών, ώστε τα βάρη ενός token να έχουν
# άθροισμα 1.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=9, number=1)
def check(output_weights):
    scores, chosen = np.array([[2.0, -1.0, 0.5, 1.0], [0.0, 3.0, 2.9, -2.0]]), np.array([[0, 3], [1, 2]])
    w = output_weights(scores, chosen)
    assert w is not None, "η output_weights επιστρέφει None: πάρτε τις επιλεγμένες βαθμολογίες κάθε γραμμής, και εφαρμόστε σ' αυτές μια softmax."
    assert not isinstance(w, tuple), "η arrays.softmax επιστρέφει δύο πράγματα, y και back: επιστρέψτε το πρώτο."
    assert np.shape(w) == (2, 2), f"δύο tokens με δύο ειδικούς το καθένα έχουν βάρη με σχήμα (2, 2)· τα δικά σας έχουν σχήμα {np.shape(w)}."
    assert np.allclose(np.sum(w, 1), 1), f"τα βάρη ενός token πρέπει να έχουν άθροισμα 1· τα δικά σας έχουν {np.sum(w, 1).round(3).tolist()}."
    picked = np.take_along_axis(scores, chosen, 1)
    right = np.exp(picked) / np.exp(picked).sum(1, keepdims=True)
    assert np.allclose(w, right), f"τα βάρη του πρώτου token πρέπει να είναι {right[0].round(3).tolist()}· τα δικά σας είναι {np.round(w[0], 3).tolist()}: εφαρμόστε μια softmax."
    s, _ = arrays.softmax(scores)
    library, _ = moe.gate_weights(s, chosen, lb.Config(c_network="moe", n_experts=4, n_active=2))
    return f"διαφορά από τη βιβλιοθήκη {abs(library - w).max():.0e}: εκείνη διαιρεί τις επιλεγμένες πιθανότητες με το άθροισμά τους, που είναι το ίδιο."

# %% tags=["exercise"]
def output_weights(scores, chosen):
    """βαθμολογίες (N, E), επιλεγμένοι ειδικοί (N, k) -> βάρη των εξόδων τους (N, k)"""
    return None

check(output_weights)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def output_weights(scores, chosen):
#     """βαθμολογίες (N, E), επιλεγμένοι ειδικοί (N, k) -> βάρη των εξόδων τους (N, k)"""
#     picked = np.take_along_axis(scores, chosen, 1)
#     return arrays.softmax(picked)[0]
#
# check(output_weights)
# ```
#
# </details>

# %% [markdown]
# ### 2. Το τίμημα της ανισότητας
# Η απώλεια εξισορρόπησης φορτίου είναι $E \sum_i f_i P_i$, όπου $f_i$ είναι το ποσοστό των tokens που στάλθηκαν στον ειδικό $i$, και $P_i$
# η μέση πιθανότητα που δίνει ο δρομολογητής στον ειδικό $i$. Γράψτε την για πιθανότητες `s` $(N, E)$, όπου κάθε token στέλνεται στον
# πιθανότερο ειδικό του. Πόση είναι όταν όλα τα φορτία είναι ίσα, και πόση όταν ένας ειδικός παίρνει όλα τα tokens;

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=9, number=2)
def check(balance_loss):
    even, one = np.eye(4)[np.arange(8) % 4] * 0.96 + 0.01, np.tile([0.97, 0.01, 0.01, 0.01], (8, 1))
    a, b = balance_loss(even), balance_loss(one)
    assert a is not None, "η balance_loss επιστρέφει None: f_i είναι το ποσοστό των γραμμών με το μέγιστό τους στη στήλη i, P_i ο μέσος όρος της στήλης i."
    assert abs(a - 0.25) > 1e-10, "με ίσα φορτία πρέπει να είναι 1· το αποτέλεσμά σας για 4 ειδικούς είναι το ένα τέταρτο: λείπει ο συντελεστής E."
    assert abs(a - 1) < 1e-10, f"με ίσα φορτία και ίσες μέσες πιθανότητες πρέπει να είναι 1· το αποτέλεσμά σας είναι {a:.3f}."
    assert abs(b - 4 * 0.97) < 1e-10, f"αν ένας από 4 ειδικούς παίρνει όλα τα tokens με πιθανότητα 0.97, πρέπει να είναι 3.88· το αποτέλεσμά σας είναι {b:.3f}: το f μετρά tokens."
    s = arrays.softmax(np.random.default_rng(0).standard_normal((50, 5)))[0]
    f = np.bincount(s.argmax(1), minlength=5) / 50
    right = 5 * (f * s.mean(0)).sum()
    assert abs(balance_loss(s) - right) < 1e-10, "το E πρέπει να είναι ο αριθμός των στηλών του s, και το f_i το ποσοστό των γραμμών με το μέγιστό τους στη στήλη i."
    return "1 για ίσα φορτία, σχεδόν E αν ένας ειδικός τα παίρνει όλα. Το f δεν έχει παράγωγο· η κλίση χαμηλώνει το P, περισσότερο όπου το f είναι μεγαλύτερο."

# %% tags=["exercise"]
def balance_loss(s):
    """πιθανότητες (N, E) -> E sum_i f_i P_i"""
    return None

check(balance_loss)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def balance_loss(s):
#     """πιθανότητες (N, E) -> E sum_i f_i P_i"""
#     N, E = s.shape
#     f = np.bincount(s.argmax(1), minlength=E) / N
#     return E * (f * s.mean(0)).sum()
#
# check(balance_loss)
# ```
#
# </details>

# %% [markdown]
# ### 3. Αραιοί γίγαντες
# Ένα μοντέλο έχει 61 μπλοκ. Στα 58 από αυτά υπάρχουν 256 ειδικοί, από τους οποίους επιλέγονται 8 για κάθε token, και ένας κοινός ειδικός,
# που τον χρησιμοποιούν όλα τα tokens. Ένας ειδικός έχει τρεις πίνακες 7168 × 2048. Πόσα δισεκατομμύρια βάρη έχουν όλοι οι ειδικοί μαζί, με
# τους κοινούς, και πόσα δισεκατομμύρια από αυτά χρησιμοποιεί ένα token;

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=9, number=3)
def check(total, used):
    one = 3 * 7168 * 2048 / 1e9
    assert total is not None and used is not None, "βάλτε αριθμούς στη θέση του None: πρώτα τα βάρη ενός ειδικού, ύστερα μπλοκ επί ειδικούς."
    assert abs(total / (58 * 256 * one) - 1) > 1e-6, "λείπει ο κοινός ειδικός: υπάρχουν 257 σε καθένα από τα 58 μπλοκ."
    assert abs(total / (61 * 257 * one) - 1) > 1e-6, "μόνο 58 από τα 61 μπλοκ έχουν ειδικούς."
    assert abs(total / (58 * 257 * one) - 1) < 1e-3, f"58 μπλοκ έχουν 257 ειδικούς με {one:.4f} δισεκατομμύρια βάρη ο καθένας· αυτό δεν είναι {total:.4g} δισεκατομμύρια."
    assert abs(used / (58 * 9 * one) - 1) < 1e-3, f"ένα token χρησιμοποιεί 8 ειδικούς και τον κοινό σε καθένα από 58 μπλοκ· αυτό δεν είναι {used:.4g} δισεκατομμύρια."
    return f"{total:.0f} δισεκατομμύρια συνολικά, από τα οποία ένα token χρησιμοποιεί {used:.0f} δισεκατομμύρια, το {used / total:.1%}. (Αυτό είναι το DeepSeek-V3.)"

# %% tags=["exercise"]
total = None
used = None

check(total, used)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# expert = 3 * 7168 * 2048 / 1e9
# total = 58 * 257 * expert
# used = 58 * 9 * expert
#
# check(total, used)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [10 · Από τους χαρακτήρες στο BPE](10_from_characters_to_bpe.ipynb): ποιος λέει ότι ένα token πρέπει να είναι χαρακτήρας;
