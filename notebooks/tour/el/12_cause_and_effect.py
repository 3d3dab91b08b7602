# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 12 · Αιτία και αποτέλεσμα
#
# *Ποιο μέρος ενός μοντέλου κάνει την πρόβλεψή του;*
#
# Μια εικόνα βαρών προσοχής δείχνει πού κοιτάζει μια κεφαλή. Δεν δείχνει αν η πρόβλεψη εξαρτάται από αυτό. Για να βρει κανείς τις αιτίες,
# κάνει πειράματα: αλλάζει ένα πράγμα, κρατά όλα τα άλλα ίδια, και μετρά το αποτέλεσμα. Σε ένα μοντέλο μπορούμε να αλλάξουμε κάθε αριθμό,
# άρα εδώ τα πειράματα είναι εύκολα. Σε αυτό το μάθημα παρακολουθούμε ένα μοντέλο να μαθαίνει ένα κόλπο, το αποσυναρμολογούμε, και βρίσκουμε
# τα μέρη που κάνουν τη δουλειά.

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
# ## Ένα κείμενο που επαναλαμβάνεται
# Τα κείμενά μας είναι τυχαία γράμματα που μετά από λίγο επαναλαμβάνονται. Τα πρώτα γράμματα δεν μπορούν να προβλεφθούν. Όλα τα επόμενα
# μπορούν, από ένα μοντέλο που κοιτάζει πίσω: πού έχει ξαναεμφανιστεί το τωρινό γράμμα, και ποιο γράμμα το ακολούθησε εκεί; Η απόσταση
# ανάμεσα στις επαναλήψεις είναι άλλη σε κάθε παρτίδα, και γι' αυτό δεν βοηθά να κοιτάζει κανείς πάντα τον ίδιο αριθμό tokens πίσω.

# %%
letters, T = "abcdefghijklmnop", 32

def repeated(rows, period):
    """Τυχαία token ids, που επαναλαμβάνονται μετά από `period` tokens: (rows, T)"""
    return np.tile(rng.integers(len(letters), size=(rows, period)), T // period + 1)[:, :T]

def text(ids):
    return "".join(letters[i] for i in ids)

for period in (5, 7, 11):
    print(text(repeated(1, period)[0]))

# %% [markdown]
# ## Δείτε πώς μαθαίνεται ένα κόλπο
# Το μοντέλο έχει δύο μπλοκ με δύο κεφαλές το καθένα, και το εκπαιδεύουμε με τον Adam, όπως στο έβδομο μάθημα. Τα αρχικά του βάρη είναι
# τετραπλάσια από τα συνηθισμένα, κι έτσι περιμένουμε λιγότερο. Το κόλπο που πρέπει να βρει το ξέρετε από το τέταρτο μάθημα: δύο κεφαλές που
# δουλεύουν μαζί. Η πρώτη είναι μια **κεφαλή προηγούμενου token** (previous-token head): προσέχει το token που είναι ακριβώς πριν, κι έτσι
# λέει σε κάθε token τι ήρθε πριν από αυτό. Η δεύτερη είναι μια κεφαλή επαγωγής: ψάχνει το token που ήρθε μετά από μια προηγούμενη εμφάνιση
# του τωρινού. Κάθε πενήντα βήματα μετράμε πόσο βάρος προσοχής δίνει κάθε κεφαλή σε αυτά τα tokens.

# %% tags=["parameters"] small="steps = 60"
steps = 1500

# %%
baby = lb.Baby(lb.Config(n_vocab=len(letters), n_ctx=T, n_emb=32, n_heads=2, n_layers=2, r_hidden=1.0), seed=0)
baby.flat[baby.flat != 1] *= 4                              # όλα τα βάρη εκτός από των κανονικοποιήσεων, που είναι 1
weights, means, squares_of = baby.weights(), {}, {}
history = []                                                # (βήμα, απώλεια στα γράμματα που μπορούν να προβλεφθούν, βαθμοί των κεφαλών)

with backend.blas_threads(1):                               # τόσο μικροί πίνακες πολλαπλασιάζονται γρηγορότερα με ένα μόνο νήμα
    for step in range(1, steps + 1):
        period = int(rng.integers(4, T // 2 + 1))
        ids = repeated(16, period)
        _, grads = baby.loss_and_grads(ids[:, :-1], ids[:, 1:])
        for name, g in grads.items():                       # Adam, με προθέρμανση 50 βημάτων
            means[name] = 0.9 * means.get(name, 0) + 0.1 * g
            squares_of[name] = 0.98 * squares_of.get(name, 0) + 0.02 * g ** 2
            size = means[name] / (1 - 0.9 ** step) / (np.sqrt(squares_of[name] / (1 - 0.98 ** step)) + 1e-8)
            weights[name][...] -= np.float32(0.005 * min(1, step / 50)) * size.astype(np.float32)
        if step % 50 == 0:
            ids = repeated(64, 10)
            targets = np.where(np.arange(1, T) >= 10, ids[:, 1:], -1)        # -1: δεν μετράει
            history.append((step, baby.loss(ids[:, :-1], targets), head_scores(baby)))

at = [step for step, _, _ in history]
left, right = picture("απώλεια προβλέψιμων γραμμάτων, nats", "βάρη προσοχής των κεφαλών", height=3)
left.plot(at, [loss for _, loss, _ in history], color=TRAIN)
for head in range(2):
    right.plot(at, [scores.previous[0, head] for _, _, scores in history], color=VALID, ls="-" if head else ":")
    right.plot(at, [scores.induction[1, head] for _, _, scores in history], color=FLOOR, ls="-" if head else ":")
for height, label, color in ((0.44, "μπλοκ 1, στο προηγούμενο token", VALID), (0.34, "μπλοκ 2, στο token προς αντιγραφή", FLOOR)):
    right.text(0.98, height, label, color=color, ha="right", transform=right.transAxes)
print(f"απώλεια προβλέψιμων γραμμάτων: {history[0][1]:.2f} nats στο βήμα {at[0]}, {history[-1][1]:.2f} στο βήμα {at[-1]}· μιας ομοιόμορφης πρόβλεψης: {np.log(len(letters)):.2f}")

# %% [markdown]
# Για μερικές εκατοντάδες βήματα δεν φαίνεται να συμβαίνει τίποτα. Ύστερα εμφανίζονται και οι δύο κεφαλές μέσα σε λίγα βήματα, και η απώλεια
# πέφτει. Καμία δεν χρησιμεύει χωρίς την άλλη: όσο δεν υπάρχει κεφαλή προηγούμενου token, μια κεφαλή επαγωγής δεν έχει τι να βρει, και η
# κλίση δείχνει τον δρόμο προς αυτές μόνο όταν υπάρχουν ήδη και οι δύο, έστω και λίγο (Olsson κ.ά. 2022).
#
# ## Αφαιρέστε ένα μέρος
# Χρησιμοποιεί πράγματι το μοντέλο αυτές τις κεφαλές; Το τρέχουμε σε ένα κείμενο και αντικαθιστούμε την έξοδο ενός μέρους με μια τιμή που
# δεν λέει τίποτα για το κείμενο: τον μέσο όρο αυτής της εξόδου σε άλλα κείμενα. Αυτό λέγεται **αποκοπή** (ablation). Μετράμε τη **διαφορά
# των logits** (logit difference): το logit του σωστού επόμενου γράμματος μείον το logit ενός λάθος γράμματος. Είναι 0 για ένα μοντέλο που
# δεν μπορεί να ξεχωρίσει το ένα από το άλλο.

# %%
period = 7
pattern = rng.permutation(len(letters))                     # διαφορετικά γράμματα, ώστε μόνο ένα από αυτά να μπορεί να ακολουθήσει
clean = np.tile(pattern[:period], 3)[None, :2 * period + 1] # το μοτίβο δύο φορές, και το γράμμα που το αρχίζει τρίτη φορά
answer, wrong = int(pattern[1]), int(pattern[period])       # το γράμμα που ακολουθεί, και ένα που δεν υπάρχει στο κείμενο
others = repeated(64, 9)
without = ablate(baby, clean, "mean", ablation_values(baby, "mean", [others]), answer, wrong)

print(f"κείμενο {text(clean[0])}, σωστό {letters[answer]}, λάθος {letters[wrong]}, διαφορά των logits {without.difference:.1f}\n")
names = [f"μπλοκ {i + 1}, {part}" for i in range(2) for part in ("κεφαλή 1", "κεφαλή 2", "δίκτυο")]
changes = [x for i in range(2) for x in (*without.difference_changes["heads"][i], without.difference_changes["network"][i])]
axes = picture("μεταβολή της διαφοράς των logits χωρίς ένα μέρος", height=2.6)
axes.barh(names, changes, color=[VALID if x < 0 else FLOOR for x in changes])
axes.invert_yaxis()
for name, x in zip(names, changes):
    print(f"χωρίς {name:16}\t{x:+6.1f}")

# %% [markdown]
# Σημασία έχουν οι κεφαλές που η γραμμή τους ανέβηκε στην πρώτη εικόνα. Όπου σε ένα μπλοκ κάνει τη δουλειά μία μόνο κεφαλή, χωρίς αυτήν το
# μοντέλο σχεδόν δεν προτιμά πια το σωστό γράμμα· όπου την κάνουν και οι δύο, τη μοιράζονται, και η καθεμία έχει πιο κοντή ράβδο. Και ένα
# μέρος με κοντή ράβδο μπορεί να κοίταξε σε ενδιαφέροντα σημεία· απλώς η πρόβλεψη δεν εξαρτάται μόνο από αυτό.
#
# ## Επαναφέρετε μια τιμή
# Η αποκοπή λέει ποιο μέρος έχει σημασία, όχι τι μεταφέρει. Για να το μάθουμε κι αυτό, χρειαζόμαστε ένα δεύτερο κείμενο, που εδώ το λέμε
# αλλοιωμένο (corrupted): διαφέρει σε ένα γράμμα του μοτίβου, κι έτσι θα έπρεπε να ακολουθεί άλλο γράμμα. Όσο το μοντέλο διαβάζει το
# αλλοιωμένο κείμενο, αντικαθιστούμε μία μόνο τιμή με εκείνη που υπολόγισε στο αρχικό, το καθαρό (clean) κείμενο. Αν η πρόβλεψη
# ξαναγίνει όπως ήταν, αυτή η τιμή μεταφέρει τη διαφορά. Αυτό λέγεται **activation patching**, κατά λέξη «μπάλωμα ενεργοποιήσεων». Το
# κάνουμε για την έξοδο κάθε μπλοκ σε κάθε θέση.

# %%
corrupted = np.where(np.arange(clean.shape[1]) % period == 1, wrong, clean)              # το γράμμα μετά το πρώτο είναι άλλο
patched = patch_everywhere(baby, clean, corrupted, answer, wrong)
print(f"καθαρό      {text(clean[0])}   διαφορά των logits {patched.clean:+.1f}")
print(f"αλλοιωμένο  {text(corrupted[0])}   διαφορά των logits {patched.corrupted:+.1f}")

axes = picture("ποσοστό της διαφοράς των logits που επαναφέρει μία τιμή", height=1.9)
squares(axes, patched.positions["block"].clip(0, 1), "ποσοστό της διαφοράς των logits που επαναφέρει μία τιμή")
axes.set_xticks(range(clean.shape[1]), text(clean[0]))
axes.set_yticks(range(2), ["μπλοκ 1", "μπλοκ 2"])
for i, t in zip(*np.where(patched.positions["block"] > 0.1)):
    print(f"μετά το μπλοκ {i + 1}, στη θέση {t} ({letters[clean[0, t]]}): επανέρχεται το {patched.positions['block'][i, t]:.0%}")

# %% [markdown]
# Μετά το μπλοκ 1 η διαφορά βρίσκεται εκεί όπου διαφέρουν τα γράμματα· μετά το μπλοκ 2 βρίσκεται στο τελευταίο token, όπου γίνεται η
# πρόβλεψη. Στο ενδιάμεσο τη μετέφερε η προσοχή του μπλοκ 2. Το κόλπο λοιπόν δεν είναι πια κάτι που το μαντεύουμε από εικόνες: είδαμε
# καθένα από τα βήματά του.
#
# ## Προσθέστε τα μέρη
# Υπάρχει και ένας τρόπος χωρίς κανένα πείραμα. Η έξοδος του τελευταίου μπλοκ είναι το άθροισμα της ενσωμάτωσης και όλων των εξόδων των
# κεφαλών και των δικτύων, και τα logits είναι γραμμική συνάρτησή της, αν εξαιρέσουμε τον συντελεστή κλίμακας της τελευταίας
# κανονικοποίησης. Αν αυτός ο συντελεστής μείνει όπως είναι, η διαφορά των logits είναι ακριβώς ένα άθροισμα με έναν όρο για κάθε μέρος.

# %%
terms = attribute(baby, clean, answer, wrong)
parts = {"ενσωμάτωση": terms.embedding, **{f"μπλοκ {i + 1}, κεφαλή {j + 1}": terms.heads[i, j] for i in range(2) for j in range(2)},
         **{f"μπλοκ {i + 1}, δίκτυο": terms.networks[i] for i in range(2)},
         "πολώσεις": terms.attention_biases.sum() + terms.norm_offsets.sum() + terms.head_bias}
for name, x in parts.items():
    print(f"{name:17} {x:+6.2f}")
print(f"{'άθροισμα':17} {sum(parts.values()):+6.2f}, η διαφορά των logits είναι {terms.total:+.2f}")

# %% [markdown]
# Μια κεφαλή προηγούμενου token δεν προσθέτει η ίδια σχεδόν τίποτα, κι όμως η πρόβλεψη τη χρειάζεται: τη δουλειά της τη χρησιμοποιεί η
# κεφαλή επαγωγής του μπλοκ 2. Το άθροισμα δείχνει το τελευταίο βήμα ενός υπολογισμού, το πείραμα δείχνει όλα τα βήματα. Με μία εντολή έχετε όλα
# αυτά για ένα δικό σας μοντέλο: `lb.cause(guid, text, corrupted)`, ή σε ένα κέλυφος `littlebaby cause last`.
#
# ## Δοκιμάστε
# ### 1. Ο βαθμός μιας κεφαλής επαγωγής
# Το `a` $(2n, 2n)$ είναι βάρη προσοχής σε $n$ τυχαία γράμματα που επαναλαμβάνονται μία φορά: η γραμμή $t$ έχει τα βάρη του token $t$.
# Επιστρέψτε το μέσο βάρος που δίνουν τα tokens $n, \dots, 2n - 1$ στο token που ακολούθησε το ίδιο γράμμα στο πρώτο αντίγραφο.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=12, number=1)
def check(induction_score):
    n = 5
    at_distance = lambda d: np.array([[float(j == max(t - d, 0)) for j in range(2 * n)] for t in range(2 * n)])
    found = induction_score(at_distance(n - 1), n)
    assert found is not None, "η induction_score επιστρέφει None: επιστρέψτε τον μέσο όρο κάποιων στοιχείων του a."
    assert np.ndim(found) == 0, f"επιστρέψτε έναν αριθμό, τον μέσο όρο· το αποτέλεσμά σας έχει σχήμα {np.shape(found)}."
    assert not np.isclose(induction_score(at_distance(n), n), 1), "αυτό είναι το ίδιο γράμμα, n tokens πριν· εκείνο που το ακολούθησε είναι ένα token αργότερα."
    assert not np.isclose(induction_score(at_distance(1), n), 1), "αυτό είναι το αμέσως προηγούμενο token· εκείνο που πρέπει να αντιγραφεί είναι n - 1 tokens πριν."
    assert not np.isclose(found, n), "αυτό είναι το άθροισμα των n βαρών· διαιρέστε το με το n."
    assert np.isclose(found, 1), f"μια κεφαλή που προσέχει πάντα n - 1 tokens πίσω πρέπει να έχει βαθμό 1· το αποτέλεσμά σας είναι {found:.2f}."
    mixed = rng.random((2 * n, 2 * n))
    assert np.isclose(induction_score(mixed, n), mixed[range(n, 2 * n), range(1, n + 1)].mean()), "μετράνε μόνο τα tokens του δεύτερου αντιγράφου, από το n και μετά."
    ids = np.tile(rng.integers(len(letters), size=(1, 12)), 2)
    from littlebaby.check.causes import all_attention_weights
    a = all_attention_weights(baby, run(baby, ids)[1])[1, 0]
    return f"οι δύο κεφαλές του μπλοκ 2 έχουν βαθμό {induction_score(a[0], 12):.2f} και {induction_score(a[1], 12):.2f}."

# %% tags=["exercise"]
def induction_score(a, n):
    """a (2n, 2n) βάρη προσοχής -> ένας αριθμός από 0 ως 1"""
    return None

check(induction_score)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def induction_score(a, n):
#     """a (2n, 2n) βάρη προσοχής -> ένας αριθμός από 0 ως 1"""
#     t = np.arange(n, 2 * n)
#     return a[t, t - n + 1].mean()
#
# check(induction_score)
# ```
#
# </details>

# %% [markdown]
# ### 2. Μια προσοχή χωρίς μία από τις κεφαλές της
# Οι έξοδοι όλων των κεφαλών μιας προσοχής, η μία δίπλα στην άλλη, είναι το `o` $(T, H)$· κάθε κεφαλή έχει $d$ στήλες. Η έξοδος της προσοχής
# είναι `o @ wo`. Επιστρέψτε ποια θα ήταν, αν η κεφαλή με αριθμό `j` έδινε μόνο μηδενικά.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=12, number=2)
def check(without_head):
    o, wo, d = rng.standard_normal((5, 6)), rng.standard_normal((6, 4)), 2
    kept = o.copy()
    found = without_head(o, wo, 1, d)
    assert found is not None, "η without_head επιστρέφει None: μηδενίστε τις στήλες της κεφαλής j, και ύστερα πολλαπλασιάστε με το wo."
    assert np.array_equal(o, kept), "η συνάρτησή σας άλλαξε το ίδιο το o, που χρειάζεται και αλλού: αλλάξτε ένα αντίγραφό του."
    assert np.shape(found) == (5, 4), f"η έξοδος μιας προσοχής πρέπει εδώ να έχει σχήμα (5, 4)· η δική σας έχει {np.shape(found)}."
    assert not np.allclose(found, o[:, 2:4] @ wo[2:4]), "αυτό είναι ό,τι προσθέτει η κεφαλή j· επιστρέψτε ό,τι προσθέτουν οι άλλες κεφαλές."
    assert not np.allclose(found, o @ wo - o[:, 1:2] @ wo[1:2]), "έτσι αφαιρείται μία στήλη· η κεφαλή j έχει d στήλες, από τη στήλη j d ως πριν από την (j + 1) d."
    assert np.allclose(found, o @ wo - o[:, 2:4] @ wo[2:4]), "όταν κάθε κεφαλή έχει 2 στήλες, η κεφαλή 1 έχει τις στήλες 2 και 3 του o."
    _, values = run(baby, clean)
    wo, o = baby.weights()["blocks.1.att.wo"], values[1, "heads"][0]
    bias = baby.weights()["blocks.1.att.bo"]
    logits, _ = run(baby, clean, [Patch(1, "attention", without_head(o, wo, 1, 16) + bias)])
    return f"με αυτή την έξοδο στο μπλοκ 2 η διαφορά των logits είναι {logit_difference(logits, answer, wrong):.1f} αντί για {without.difference:.1f}."

# %% tags=["exercise"]
def without_head(o, wo, j, d):
    """o (T, H), wo (H, D), αριθμός j μιας κεφαλής, πλάτος της d -> (T, D)"""
    return None

check(without_head)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def without_head(o, wo, j, d):
#     """o (T, H), wo (H, D), αριθμός j μιας κεφαλής, πλάτος της d -> (T, D)"""
#     o = o.copy()
#     o[:, j * d:(j + 1) * d] = 0
#     return o @ wo
#
# check(without_head)
# ```
#
# </details>

# %% [markdown]
# ### 3. Πόσο επανήλθε;
# Έχετε τρεις διαφορές των logits: του καθαρού κειμένου, του αλλοιωμένου, και του αλλοιωμένου με μία τιμή από το καθαρό. Επιστρέψτε ποιο
# ποσοστό της απόστασης ανάμεσα στις δύο πρώτες επανέφερε η αντικατάσταση: 0 αν δεν άλλαξε τίποτα, 1 αν η πρόβλεψη είναι όπως στο καθαρό
# κείμενο.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=12, number=3)
def check(restored):
    assert restored(4.0, -4.0, 0.0) is not None, "η restored επιστρέφει None: συγκρίνετε το patched με την τιμή του αλλοιωμένου κειμένου."
    assert not np.isclose(restored(4.0, -4.0, -4.0), 1), "αυτό είναι το ποσοστό που λείπει ακόμη: μια αντικατάσταση χωρίς αποτέλεσμα πρέπει να δίνει 0."
    assert np.isclose(restored(4.0, -4.0, -4.0), 0), f"μια αντικατάσταση που δεν αλλάζει τίποτα πρέπει να δίνει 0· το αποτέλεσμά σας είναι {restored(4.0, -4.0, -4.0):.2f}."
    assert np.isclose(restored(4.0, -4.0, 4.0), 1), f"μια αντικατάσταση που επαναφέρει τα πάντα πρέπει να δίνει 1· το αποτέλεσμά σας είναι {restored(4.0, -4.0, 4.0):.2f}."
    assert np.isclose(restored(5.0, 1.0, 2.0), 0.25), f"από το 1 ως το 2, στον δρόμο από το 1 ως το 5, είναι ένα τέταρτο· το αποτέλεσμά σας είναι {restored(5.0, 1.0, 2.0):.2f}."
    i, t = np.unravel_index(patched.positions["block"][:1].argmax(), patched.positions["block"][:1].shape)
    logits, _ = run(baby, corrupted, [Patch(0, "block", run(baby, clean)[1][0, "block"], slice(t, t + 1))])
    found = restored(patched.clean, patched.corrupted, logit_difference(logits, answer, wrong))
    assert np.isclose(found, patched.positions["block"][i, t], atol=1e-5), "το αποτέλεσμα της βιβλιοθήκης για την ισχυρότερη θέση του μπλοκ 1 είναι διαφορετικό."
    return f"η ισχυρότερη θέση μετά το μπλοκ 1 επαναφέρει το {found:.0%}."

# %% tags=["exercise"]
def restored(clean, corrupted, patched):
    """Τρεις διαφορές των logits -> ένας αριθμός, από 0 ως 1 όπου η αντικατάσταση οδηγεί προς το καθαρό κείμενο"""
    return None

check(restored)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def restored(clean, corrupted, patched):
#     """Τρεις διαφορές των logits -> ένας αριθμός, από 0 ως 1 όπου η αντικατάσταση οδηγεί προς το καθαρό κείμενο"""
#     return (patched - corrupted) / (clean - corrupted)
#
# check(restored)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [13 · Grokking](13_grokking.ipynb): μπορεί ένα μοντέλο να βρει έναν κανόνα πολύ αφότου απομνημονεύσει τα παραδείγματά του;
