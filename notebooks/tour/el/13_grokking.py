# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 13 · Grokking
#
# *Μπορεί ένα μοντέλο να βρει έναν κανόνα πολύ αφότου απομνημονεύσει τα παραδείγματά του;*
#
# Στο πρώτο μάθημα η υπερπροσαρμογή έμοιαζε οριστική: η απώλεια εκπαίδευσης πέφτει, η απώλεια επικύρωσης ανεβαίνει, και σταματάμε. Εδώ δεν
# σταματάμε. Σε κάποια προβλήματα ένα μοντέλο πρώτα απομνημονεύει όλα τα παραδείγματά του, και πολύ αργότερα, όταν η απώλεια εκπαίδευσης
# είναι από καιρό κοντά στο 0, πέφτει και η απώλεια επικύρωσης: το μοντέλο βρήκε τον κανόνα. Αυτό λέγεται **grokking** (Power κ.ά. 2022,
# [arXiv:2201.02177](https://arxiv.org/abs/2201.02177)). Σε αυτό το μάθημα το βλέπετε να συμβαίνει, βρίσκετε τι το προκαλεί, και ύστερα
# ανοίγετε το μοντέλο και διαβάζετε τον κανόνα στα βάρη του.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby.arrays import backend
from littlebaby.show.charts import FLOOR, GRAY, PALE, TRAIN, VALID
from littlebaby.show.tour import exercise, picture

rng = np.random.default_rng(0)

# %% [markdown]
# ## Αθροίσματα σε ένα ρολόι
# Το πρόβλημα είναι η **πρόσθεση modulo** (modular addition): προσθέστε δύο αριθμούς από 0 ως $p - 1$, και αφαιρέστε $p$ αν το άθροισμα
# είναι $p$ ή περισσότερο. Ένα ρολόι το κάνει αυτό με $p = 12$: πέντε ώρες μετά τις 9 είναι 2 η ώρα. Παίρνουμε $p = 31$. Κάθε αριθμός είναι
# ένα token· το μοντέλο διαβάζει $a$ και $b$, και μετά το $b$ πρέπει να προβλέψει το $(a + b) \bmod p$. Υπάρχουν μόνο $31 \cdot 31 = 961$
# ζευγάρια. Τα μισά, διαλεγμένα τυχαία, είναι για την εκπαίδευση.

# %%
p = 31
pairs = np.stack(np.divmod(np.arange(p * p), p), axis=1)    # (961, 2), κάθε γραμμή a, b
sums = pairs.sum(axis=1) % p
targets = np.stack([np.full(p * p, -1), sums], axis=1)      # -1: η πρόβλεψη μετά το a δεν μετράει
shuffled = rng.permutation(p * p)
seen, unseen = shuffled[:p * p // 2], shuffled[p * p // 2:]

for i in seen[:3]:
    print(f"{pairs[i, 0]} + {pairs[i, 1]} = {sums[i]}")
print(f"{len(seen)} ζευγάρια για εκπαίδευση, {len(unseen)} για επικύρωση· απώλεια μιας ομοιόμορφης πρόβλεψης: {np.log(p):.2f} nats")

# %% [markdown]
# Τίποτα σε ένα token δεν λέει ότι είναι αριθμός: το 7 και το 8 είναι δύο διανύσματα από τυχαίους αριθμούς, και δεν είναι πιο κοντά το ένα
# στο άλλο απ' ό,τι το 7 και το 30. Ένα μοντέλο που μόνο απομνημονεύει δεν έχει τι να απαντήσει στα άλλα μισά ζευγάρια.
#
# ## Περιμένετε
# Το μοντέλο έχει ένα μπλοκ με μία κεφαλή. Το εκπαιδεύουμε δύο φορές με τον Adam, όπως στο έβδομο μάθημα, πάντα με όλα τα 480 ζευγάρια της
# εκπαίδευσης μαζί: μία με ισχυρή εξασθένηση βαρών, που σε κάθε βήμα πολλαπλασιάζει κάθε βάρος με $1 - \text{rate} \cdot \text{decay}$, και
# μία χωρίς. Ο ρυθμός μάθησης πέφτει ως το 0 σε ευθεία γραμμή. Όπως στο δωδέκατο μάθημα, τα αρχικά βάρη είναι τετραπλάσια από τα
# συνηθισμένα. Εκπαιδεύουμε τους πίνακες και αφήνουμε τα βάρη των κανονικοποιήσεων στο 1. Στις εικόνες ο άξονας των βημάτων είναι
# λογαριθμικός: το βήμα 100 είναι στη μέση ανάμεσα στο 10 και στο 1000. Δεξιά είναι η ρίζα του αθροίσματος των τετραγώνων όλων των βαρών που
# εκπαιδεύονται, η νόρμα τους: ένα μέτρο του πόσο μεγάλα είναι τα βάρη.

# %% tags=["parameters"] small="steps = 60"
steps = 4000

# %%
def right(baby, rows):
    """Σε τι ποσοστό από αυτά τα ζευγάρια το πιθανότερο token είναι το άθροισμα"""
    return (baby.logits(pairs[rows])[:, -1].argmax(axis=-1) == sums[rows]).mean()

def train(decay, highest_rate=0.004):
    """Adam με εξασθένηση βαρών -> baby, history: σε κάθε γραμμή (βήμα, απώλεια στα ζευγάρια της εκπαίδευσης, στα άλλα, νόρμα των βαρών)"""
    cfg = lb.Config(n_vocab=p, n_ctx=2, n_emb=32, n_heads=1, n_layers=1, c_bias="none", c_activation="relu")
    baby = lb.Baby(cfg, seed=0)
    weights = {name: w for name, w in baby.weights().items() if w.ndim == 2}               # όλα εκτός από των κανονικοποιήσεων
    for w in weights.values():
        w *= 4
    means, squares = ({name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2))
    history, measured = [], set(np.geomspace(1, steps, 100).round())
    for step in range(1, steps + 1):
        rate = highest_rate * (1 - (step - 1) / steps)
        loss, grads = baby.loss_and_grads(pairs[seen], targets[seen])
        if step in measured:
            norm = np.sqrt(sum((w ** 2).sum() for w in weights.values()))
            history.append((step, loss, baby.loss(pairs[unseen], targets[unseen]), norm))
        for name, w in weights.items():
            means[name] += 0.1 * (grads[name] - means[name])
            squares[name] += 0.001 * (grads[name] ** 2 - squares[name])
            w *= 1 - rate * decay
            w -= rate * (means[name] / (1 - 0.9 ** step)) / (np.sqrt(squares[name] / (1 - 0.999 ** step)) + 1e-8)
    return baby, np.array(history)

with backend.blas_threads(1):                               # τόσο μικροί πίνακες πολλαπλασιάζονται γρηγορότερα με ένα μόνο νήμα
    baby, history = train(decay=1.0)
    memorizer, without = train(decay=0.0)

left, right_axes = picture("απώλεια σε nats, ανά βήμα", "νόρμα των βαρών, ανά βήμα", widths=(1.5, 1), height=3.6)
left.plot(history[:, 0], history[:, 1], color=TRAIN, lw=1.8)
left.plot(history[:, 0], history[:, 2], color=VALID, lw=1.8)
left.plot(without[:, 0], without[:, 2], color=GRAY, lw=1.4, ls=":")
left.axhline(np.log(p), color=PALE, ls=(0, (6, 3)))
right_axes.plot(history[:, 0], history[:, 3], color=FLOOR, lw=1.8)
right_axes.plot(without[:, 0], without[:, 3], color=GRAY, lw=1.4, ls=":")
for axes in (left, right_axes):
    axes.set_xscale("log")
    axes.set_ylim(0)
for axes, y, label, color in ((left, 0.08, "ζευγάρια εκπαίδευσης", TRAIN), (left, 0.5, "ζευγάρια επικύρωσης", VALID),
                              (left, 0.92, "ζευγάρια επικύρωσης, χωρίς εξασθένηση βαρών", GRAY),
                              (right_axes, 0.3, "με εξασθένηση βαρών", FLOOR), (right_axes, 0.92, "χωρίς", GRAY)):
    axes.text(0.03, y, label, color=color, transform=axes.transAxes)
for name, model, rows in (("με εξασθένηση", baby, history), ("χωρίς εξασθένηση", memorizer, without)):
    print(f"{name:17} σωστό το {right(model, seen):4.0%} των ζευγαριών εκπαίδευσης και το {right(model, unseen):4.0%} των ζευγαριών επικύρωσης· "
          f"νόρμα των βαρών {rows[-1, 3]:.1f}, το πολύ {rows[:, 3].max():.1f}")
for name, column in (("εκπαίδευσης", 1), ("επικύρωσης", 2)):
    low = history[history[:, column] < 0.5, 0]
    print(f"με εξασθένηση βαρών η απώλεια των ζευγαριών {name} είναι κάτω από 0.5 πρώτη φορά στο βήμα {low[0]:.0f}" if len(low) else "όχι ακόμη")

# %% [markdown]
# Σε λιγότερα από εκατό βήματα τα ζευγάρια της εκπαίδευσης έχουν απομνημονευτεί. Στα ζευγάρια της επικύρωσης το μοντέλο είναι τότε
# *χειρότερο* από μια ομοιόμορφη πρόβλεψη (η διακεκομμένη γραμμή), και μένει έτσι για μερικές εκατοντάδες βήματα. Όποιος σταματήσει εκεί
# βλέπει υπερπροσαρμογή. Ύστερα, μέσα σε λίγες εκατοντάδες βήματα, το μοντέλο αρχίζει να απαντά σωστά για ζευγάρια που δεν έχει δει ποτέ.
#
# Τι το κάνει να αλλάζει, όταν η απώλεια εκπαίδευσης είναι ήδη κοντά στο 0; Την απάντηση τη δίνουν οι γκρίζες γραμμές: η εξασθένηση βαρών.
# Χωρίς αυτήν τα βάρη μεγαλώνουν, και σε αυτά τα 4000 βήματα το μοντέλο δεν βρίσκει τον κανόνα. Με αυτήν τα βάρη μικραίνουν συνέχεια, και
# ξαναμεγαλώνει μόνο ό,τι χαμηλώνει την απώλεια. Ένας κατάλογος 480 απαντήσεων χρειάζεται μεγάλα βάρη· σε έναν κανόνα που τις δίνει όλες
# αρκούν μικρότερα. Γι' αυτό η νόρμα, αφού ο κανόνας πάρει τη θέση του καταλόγου, είναι χαμηλότερη από τη μέγιστη τιμή της. Η εξασθένηση
# βαρών δεν ξέρει τον κανόνα. Προτιμά τα μικρά βάρη, κι εδώ ο κανόνας χρειάζεται μικρότερα. (Τα άλματα της απώλειας, που ύστερα ξαναπέφτει,
# εμφανίζονται αργά σε εκπαιδεύσεις με τον Adam, που διαιρεί ακόμη και πολύ μικρές κλίσεις με το μέγεθός τους. Οι Thilak κ.ά. (2022,
# [arXiv:2206.04817](https://arxiv.org/abs/2206.04817)) τα λένε *slingshots*, «σφεντόνες». Στις δικές τους εκπαιδεύσεις το grokking
# συμβαίνει και χωρίς εξασθένηση βαρών, και τότε σχεδόν πάντα όταν αρχίζει ένα τέτοιο άλμα.)
#
# ## Ανοίξτε την ενσωμάτωση
# Ποιον κανόνα; Δεν είπαμε στο μοντέλο ότι οι αριθμοί βρίσκονται σε έναν κύκλο. Αν το ανακάλυψε, πρέπει να φαίνεται στην ενσωμάτωση: στον
# δρόμο από το token 0 ως το token 30 και πάλι στο 0, οι συντεταγμένες της πρέπει να ανεβοκατεβαίνουν σαν κύματα. Ένα κύμα με συχνότητα $k$
# ανεβοκατεβαίνει $k$ φορές σε αυτόν τον δρόμο. Ο μετασχηματισμός Fourier γράφει κάθε συντεταγμένη ως άθροισμα τέτοιων κυμάτων,
# $k = 0, \dots, 15$. Το τετράγωνο του μεγέθους ενός κύματος, αθροισμένο σε όλες τις συντεταγμένες, είναι η ισχύς του. Οι τιμές της ισχύος
# για όλες τις συχνότητες είναι το **φάσμα Fourier** (Fourier spectrum) της ενσωμάτωσης.

# %%
def spectrum(table):
    """table (p, D) -> η ισχύς των συχνοτήτων 1, ..., (p - 1) / 2 ως ποσοστό του αθροίσματός τους, χωρίς τη συχνότητα 0, τον μέσο όρο"""
    power = (np.abs(np.fft.rfft(table, axis=0)) ** 2).sum(axis=1)[1:]
    return power / power.sum()

tables = {"χωρίς εξασθένηση": memorizer.weights()["token"], "με εξασθένηση": baby.weights()["token"]}
pair = picture(*(f"φάσμα Fourier {name}" for name in tables), widths=(1, 1), height=2.8)
for axes, (name, table), color in zip(pair, tables.items(), (GRAY, FLOOR)):
    axes.bar(range(1, p // 2 + 1), spectrum(table), color=color)
    axes.set_ylim(0, 1.1 * spectrum(tables["με εξασθένηση"]).max())
    strongest = np.argsort(-spectrum(table))[:5] + 1
    print(f"{name:21} οι πέντε ισχυρότερες από {p // 2} συχνότητες, {', '.join(map(str, strongest))}, έχουν το {spectrum(table)[strongest - 1].sum():.0%} της ισχύος")

# %% [markdown]
# Το μοντέλο που απομνημονεύει χρησιμοποιεί όλες τις συχνότητες περίπου εξίσου, όπως θα έκανε ένας πίνακας με τυχαίους αριθμούς. Το άλλο
# έχει διαλέξει λίγες, και ποιες είναι αυτές το αποφάσισε η τύχη. Για την ισχυρότερη συχνότητα $k$ κοιτάζουμε την ενσωμάτωση από τις δύο
# κατευθύνσεις όπου βρίσκεται αυτό το κύμα, του $\cos(2\pi k a / p)$ και του $\sin(2\pi k a / p)$. Η γραμμή ενώνει κάθε αριθμό $a$ με
# εκείνον που το κύμα του είναι ένα $p$-οστό της στροφής πιο μπροστά.

# %%
def directions(table, k):
    """table (p, D) -> οι συντεταγμένες του (p, 2) στις δύο κατευθύνσεις της συχνότητας k"""
    angle = 2 * np.pi * k * np.arange(p) / p
    basis = table.T @ np.stack([np.cos(angle), np.sin(angle)], axis=1)                     # (D, 2)
    return table @ (basis / np.linalg.norm(basis, axis=0))

pair = picture(*(f"δύο κατευθύνσεις της ενσωμάτωσης, {name}" for name in tables), widths=(1, 1), height=4)
for axes, (name, table), color in zip(pair, tables.items(), (GRAY, FLOOR)):
    k = np.argmax(spectrum(table)) + 1
    at = directions(table, k)
    order = pow(int(k), -1, p) * np.arange(p + 1) % p       # k επί αυτούς τους αριθμούς είναι 0, 1, 2, ... modulo p
    axes.plot(*at[order].T, color=PALE, lw=1)
    for a in range(p):
        axes.text(*at[a], a, color=color, ha="center", va="center", fontsize=9)
    axes.set_aspect("equal")
    axes.set_xticks([], [])
    axes.set_yticks([], [])
    radius = np.linalg.norm(at, axis=1)
    print(f"{name:21} συχνότητα {k:2}· οι αποστάσεις από το κέντρο έχουν τυπική απόκλιση {radius.std() / radius.mean():.0%} του μέσου όρου τους")

# %% [markdown]
# Το μοντέλο έφτιαξε ένα ρολόι. Ο αριθμός $a$ είναι ένας δείκτης ρολογιού στη γωνία $2\pi k a / p$, και για να προσθέσει κανείς δύο αριθμούς
# προσθέτει τις γωνίες τους:
#
# $$\cos(\alpha + \beta) = \cos\alpha \cos\beta - \sin\alpha \sin\beta \qquad \sin(\alpha + \beta) = \sin\alpha \cos\beta + \cos\alpha \sin\beta$$
#
# Αυτοί οι τύποι χρειάζονται μόνο γινόμενα και αθροίσματα. Ύστερα η κεφαλή εξόδου μπορεί να συγκρίνει τη γωνία του αθροίσματος με τη γωνία
# κάθε αριθμού $c$, με ένα logit που είναι μεγάλο όπου το $\cos(2\pi k (a + b - c) / p)$ είναι μεγάλο. Οι Nanda κ.ά. (2023,
# [arXiv:2301.05217](https://arxiv.org/abs/2301.05217)) βρήκαν αυτόν τον αλγόριθμο σε ένα μοντέλο του ίδιου είδους. Στην άσκηση 3 τον
# γράφετε και συγκρίνετε τα logits του με εκείνα του μοντέλου μας.
#
# ## Χρησιμοποιεί το ρολόι;
# Μια εικόνα δεν είναι ακόμη αιτία (μάθημα 12). Κάνουμε λοιπόν δύο πειράματα με την ενσωμάτωση. Στο πρώτο κρατάμε μόνο τις πέντε ισχυρότερες
# συχνότητες, στο δεύτερο αφαιρούμε μόνο αυτές. Για σύγκριση κάνουμε τα ίδια πειράματα και με το μοντέλο χωρίς εξασθένηση βαρών.

# %%
def with_frequencies(model, kept):
    """Ένα αντίγραφο του μοντέλου που η ενσωμάτωσή του αποτελείται από τον μέσο όρο της και από τα κύματα με αυτές τις συχνότητες"""
    copy = lb.Baby(model.config, flat=model.flat.copy())
    waves = np.fft.rfft(copy.weights()["token"], axis=0)
    waves[[k for k in range(1, len(waves)) if k not in kept]] = 0
    copy.weights()["token"][...] = np.fft.irfft(waves, n=p, axis=0)
    return copy

for (name, table), model in zip(tables.items(), (memorizer, baby)):
    strongest = set(np.argsort(-spectrum(table))[:5] + 1)
    others = set(range(1, p // 2 + 1)) - strongest
    print(f"{name}: σωστό το {right(model, slice(None)):.0%} όλων των ζευγαριών, "
          f"μόνο με τις πέντε ισχυρότερες συχνότητες το {right(with_frequencies(model, strongest), slice(None)):.0%}, "
          f"μόνο με τις άλλες δέκα το {right(with_frequencies(model, others), slice(None)):.0%}")

# %% [markdown]
# Δέκα από τα δεκαπέντε κύματα μπορούν να λείψουν, αν είναι τα σωστά δέκα: στο μοντέλο η έλλειψή τους σχεδόν δεν φαίνεται. Χωρίς τα άλλα
# πέντε μπορεί μόνο να μαντεύει. Ένα μοντέλο που έχει απομνημονεύσει τα χρειάζεται όλα.
#
# ## Δοκιμάστε
# ### 1. Μικρύνετε τα βάρη
# Γράψτε ένα βήμα με εξασθένηση βαρών: ο βελτιστοποιητής έχει υπολογίσει την κατεύθυνση `direction`, τα βάρη αλλάζουν κατά `rate` επί αυτήν,
# προς τα κάτω, και πέρα από αυτό κάθε παλιό βάρος χάνει το κλάσμα `rate * decay` του εαυτού του. Επιστρέψτε τα νέα βάρη.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=13, number=1)
def check(step):
    w, direction = np.array([1.0, -2.0, 0.5]), np.array([1.0, 1.0, -1.0])
    kept = w.copy()
    found = step(w, direction, 0.1, 0.5)
    assert found is not None, "η step επιστρέφει None: επιστρέψτε τα νέα βάρη."
    assert np.array_equal(w, kept), "η συνάρτησή σας άλλαξε το ίδιο το w: επιστρέψτε νέα βάρη, και αφήστε τα παλιά όπως είναι."
    assert np.shape(found) == (3,), f"τρία βάρη πρέπει να μείνουν τρία· το αποτέλεσμά σας έχει σχήμα {np.shape(found)}."
    still = step(w, 0 * direction, 0.1, 0.5)
    assert not np.allclose(still, 0.5 * w), "με κατεύθυνση 0 τα βάρη σας χάνουν το κλάσμα decay· πρέπει να χάνουν το rate * decay, που εδώ είναι 5%."
    assert not np.allclose(still, w), "με κατεύθυνση 0 τα βάρη σας μένουν όπως είναι· εδώ πρέπει να χάνουν 5%, όποια κι αν είναι η κατεύθυνση."
    assert np.allclose(still, 0.95 * w), f"με κατεύθυνση 0 ένα βάρος 1 πρέπει εδώ να γίνει 0.95· το δικό σας γίνεται {still[0]:.3f}."
    assert not np.allclose(found, 0.95 * (w - 0.1 * direction)), "έτσι μικραίνει και το βήμα: μόνο τα παλιά βάρη χάνουν ένα κλάσμα."
    assert np.allclose(found, 0.95 * w - 0.1 * direction), f"εδώ ένα βάρος 1 πρέπει να γίνει 0.850· το δικό σας γίνεται {found[0]:.3f}."
    return f"ένα βάρος που δεν χρειάζεται πέφτει στο μισό σε {np.log(0.5) / np.log(1 - 0.004):.0f} βήματα, με τον υψηλότερο ρυθμό μάθησης αυτού του μαθήματος."

# %% tags=["exercise"]
def step(w, direction, rate, decay):
    """Βάρη και κατεύθυνση με το ίδιο σχήμα -> τα νέα βάρη"""
    return None

check(step)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def step(w, direction, rate, decay):
#     """Βάρη και κατεύθυνση με το ίδιο σχήμα -> τα νέα βάρη"""
#     return (1 - rate * decay) * w - rate * direction
#
# check(step)
# ```
#
# </details>

# %% [markdown]
# ### 2. Πόσο ισχυρό είναι ένα κύμα;
# Το `values` είναι $p$ αριθμοί, μία συντεταγμένη της ενσωμάτωσης για κάθε token. Επιστρέψτε την ισχύ που έχει σε αυτούς η συχνότητα `k`: το
# τετράγωνο του αθροίσματος των `values` επί $\cos(2\pi k a / p)$, συν το τετράγωνο του αθροίσματος των `values` επί $\sin(2\pi k a / p)$,
# σε όλα τα tokens $a$.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=13, number=2)
def check(power):
    angle = 2 * np.pi * np.arange(p) / p
    found = power(np.cos(3 * angle), 3)
    assert found is not None, "η power επιστρέφει None: πολλαπλασιάστε τα values και με τα δύο κύματα, αθροίστε κάθε γινόμενο, και υψώστε τα δύο αθροίσματα στο τετράγωνο."
    assert np.ndim(found) == 0, f"επιστρέψτε έναν αριθμό· το αποτέλεσμά σας έχει σχήμα {np.shape(found)}."
    assert not np.isclose(power(np.sin(3 * angle), 3), 0), "ένα ημίτονο με συχνότητα 3 έχει στο αποτέλεσμά σας ισχύ 0: χρησιμοποιήστε και το ημίτονο, όχι μόνο το συνημίτονο."
    assert not np.isclose(found, p / 2), "αυτό είναι το μέγεθος του κύματος, ή ένα άθροισμα χωρίς τετράγωνα: η ισχύς είναι το τετράγωνό του."
    assert np.isclose(found, p ** 2 / 4), f"η ισχύς ενός συνημιτόνου με συχνότητα 3 πρέπει να είναι {p ** 2 / 4:.2f}· το αποτέλεσμά σας είναι {found:.2f}."
    assert np.isclose(power(np.cos(3 * angle), 5), 0), "ένα συνημίτονο με συχνότητα 3 δεν πρέπει να έχει ισχύ στη συχνότητα 5: χρησιμοποιήστε το k."
    values = rng.standard_normal(p)
    right_power = abs(np.fft.rfft(values)[4]) ** 2
    assert np.isclose(power(values, 4), right_power), f"για τυχαία values η ισχύς πρέπει να είναι {right_power:.2f}· η δική σας είναι {power(values, 4):.2f}: υψώστε κάθε άθροισμα στο τετράγωνο, και ύστερα προσθέστε."
    table = tables["με εξασθένηση"]
    all_powers = [sum(power(values, k) for values in table.T) for k in range(1, p // 2 + 1)]
    assert np.allclose(all_powers / np.sum(all_powers), spectrum(table), atol=1e-4), "το φάσμα της ενσωμάτωσης του μωρού διαφέρει από το παραπάνω."
    return f"συμφωνεί με τον μετασχηματισμό Fourier· η ισχυρότερη συχνότητα του μωρού σας, {np.argmax(all_powers) + 1}, έχει το {spectrum(table).max():.0%} της ισχύος."

# %% tags=["exercise"]
def power(values, k):
    """values (p,), μια συχνότητα k -> ένας αριθμός"""
    return None

check(power)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def power(values, k):
#     """values (p,), μια συχνότητα k -> ένας αριθμός"""
#     angle = 2 * np.pi * k * np.arange(p) / p
#     return (values @ np.cos(angle)) ** 2 + (values @ np.sin(angle)) ** 2
#
# check(power)
# ```
#
# </details>

# %% [markdown]
# ### 3. Πρόσθεση στον κύκλο
# Γράψτε τώρα τον κανόνα με το χέρι. Η συνάρτηση παίρνει το συνημίτονο και το ημίτονο δύο γωνιών, όχι τις ίδιες τις γωνίες, και επιστρέφει
# το συνημίτονο και το ημίτονο του αθροίσματός τους. Χρησιμοποιήστε μόνο πολλαπλασιασμό, πρόσθεση και αφαίρεση, όπως θα μπορούσε ένα δίκτυο.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=13, number=3)
def check(add):
    alpha, beta = 0.3, 0.5
    answer = add(np.cos(alpha), np.sin(alpha), np.cos(beta), np.sin(beta))
    assert answer is not None, "η add επιστρέφει None: επιστρέψτε το συνημίτονο και το ημίτονο του αθροίσματος των γωνιών."
    assert isinstance(answer, (tuple, list)) and len(answer) == 2, "επιστρέψτε δύο αριθμούς: το συνημίτονο και το ημίτονο."
    assert not np.allclose(answer, (np.cos(alpha) + np.cos(beta), np.sin(alpha) + np.sin(beta))), "έτσι προστίθενται δύο βέλη· πρέπει να προστίθενται οι γωνίες τους."
    assert not np.isclose(answer[0], np.cos(alpha - beta)), "αυτό είναι το συνημίτονο της διαφοράς των γωνιών: προσέξτε το πρόσημο."
    assert not np.allclose(answer, (np.sin(alpha + beta), np.cos(alpha + beta))), "εδώ το ημίτονο είναι πρώτο: επιστρέψτε το συνημίτονο, και ύστερα το ημίτονο."
    assert np.isclose(answer[0], np.cos(alpha + beta)), f"το συνημίτονο πρέπει να είναι {np.cos(alpha + beta):.3f}· το δικό σας είναι {answer[0]:.3f}."
    assert np.isclose(answer[1], np.sin(alpha + beta)), f"το συνημίτονο είναι σωστό, το ημίτονο πρέπει να είναι {np.sin(alpha + beta):.3f}· το δικό σας είναι {answer[1]:.3f}."
    strongest = np.argsort(-spectrum(tables["με εξασθένηση"]))[:5] + 1
    c, logits = np.arange(p), 0
    for k in strongest:
        wave = lambda numbers: (np.cos(2 * np.pi * k * numbers / p), np.sin(2 * np.pi * k * numbers / p))
        cosine, sine = add(*wave(pairs[:, 0]), *wave(pairs[:, 1]))
        logits = logits + np.outer(cosine, wave(c)[0]) + np.outer(sine, wave(c)[1])      # cos(2 pi k (a + b - c) / p)
    assert (logits.argmax(axis=1) == sums).all(), "με πίνακες στη θέση των αριθμών τα αθροίσματα βγαίνουν λάθος: χρησιμοποιήστε μόνο *, + και -."
    agreement = np.corrcoef(logits.ravel(), baby.logits(pairs)[:, -1].ravel())[0, 1]
    return f"ο κανόνας σας με τις πέντε συχνότητες του μωρού δίνει σωστό άθροισμα και για τα {p * p} ζευγάρια· η συσχέτιση των logits του με του μωρού είναι {agreement:.2f}."

# %% tags=["exercise"]
def add(cos_a, sin_a, cos_b, sin_b):
    """-> το συνημίτονο και το ημίτονο του αθροίσματος των δύο γωνιών"""
    return None

check(add)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def add(cos_a, sin_a, cos_b, sin_b):
#     """-> το συνημίτονο και το ημίτονο του αθροίσματος των δύο γωνιών"""
#     return cos_a * cos_b - sin_a * sin_b, sin_a * cos_b + cos_a * sin_b
#
# check(add)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [14 · Bits, κρυφή μνήμη, εικασίες](14_bits_cache_speculation.ipynb): πόσο λίγα bits χρειάζεται ένα βάρος, και πώς γίνεται
# γρήγορη η παραγωγή κειμένου.
