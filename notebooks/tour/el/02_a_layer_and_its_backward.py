# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2 · Ένα στρώμα και το οπίσθιο πέρασμά του
#
# *Αν μια πρόβλεψη ήταν λάθος, ποιο από δέκα χιλιάδες βάρη προκάλεσε το σφάλμα, και πόσο;*
#
# Στο πρώτο μάθημα η πρόβλεψη αναζητήθηκε σε έναν πίνακα με μετρήσεις. Από εδώ και πέρα υπολογίζεται: οι χαρακτήρες των συμφραζομένων
# γίνονται αριθμοί, οι αριθμοί περνούν από μερικές συναρτήσεις, και το αποτέλεσμα είναι ένα logit για κάθε token. Μια τέτοια συνάρτηση
# λέγεται **στρώμα** (layer). Έχει και δικούς της αριθμούς· ο καθένας τους λέγεται **βάρος** (weight, αλλιώς *παράμετρος*), και μοιάζει με
# κουμπί σε κονσόλα ήχου. **Εκπαίδευση** (training) σημαίνει να στρίβουμε τα κουμπιά έτσι ώστε η απώλεια να πέφτει. Γι' αυτό χρειαζόμαστε
# την παράγωγο της απώλειας ως προς κάθε βάρος. Όλες μαζί οι παράγωγοι λέγονται **κλίση** (gradient): η κλίση λέει προς τα πού να στρίψουμε
# το κάθε κουμπί, και πόσο βοηθά αυτό. Σ' αυτό το μάθημα υπολογίζετε μια κλίση με το χέρι, και ύστερα εκπαιδεύετε ένα μοντέλο με αυτήν.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import arrays
from littlebaby import text as texts
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.show.tour import exercise, picture

rng = np.random.default_rng(0)

# %% [markdown]
# ## Ένα στρώμα
# Στο πιο απλό στρώμα κάθε έξοδος είναι ένα σταθμισμένο άθροισμα όλων των εισόδων, $y = x w$. Αυτό είναι το **γραμμικό στρώμα** (linear
# layer). Στη βιβλιοθήκη ένα στρώμα είναι μια συνάρτηση που επιστρέφει *δύο* πράγματα: την έξοδό της, και μια συνάρτηση `back` που
# υπολογίζει κλίσεις. Κάθε μέρος του GPT έχει αυτή τη μορφή.

# %%
x = rng.standard_normal((4, 3))                          # (N, I): N = 4 γραμμές, I = 3 είσοδοι, O = 2 έξοδοι
w = rng.standard_normal((3, 2))                          # (I, O)
y, back = arrays.linear(x, w)                            # (N, O)
print(f"μεγαλύτερη διαφορά ανάμεσα στο y και στο x w: {abs(y - x @ w).max():.0e}")

# %% [markdown]
# Η `back` απαντά στο εξής ερώτημα: *αν ξέρουμε το `dy`, την κλίση της απώλειας ως προς `y`, ποιες είναι οι κλίσεις `dx` και `dw` ως προς
# `x` και `w`;* Ας τις βρούμε. Αφού $y_{no} = \sum_i x_{ni} w_{io}$, μια μικρή μεταβολή του $w_{io}$ μεταβάλλει το $y_{no}$ κατά $x_{ni}$
# φορές τόσο, σε κάθε γραμμή $n$. Η μεταβολή της απώλειας είναι το άθροισμα για όλες τις γραμμές· για το $x$ είναι το άθροισμα για όλες τις
# εξόδους:
#
# $$dw_{io} = \sum_n x_{ni}\, dy_{no} \qquad\qquad dx_{ni} = \sum_o dy_{no}\, w_{io}$$
#
# Αυτά τα αθροίσματα υπολογίζονται με βρόχους, ή με δύο γινόμενα πινάκων:

# %%
dy = rng.standard_normal(y.shape)

dw = np.zeros_like(w)
dx = np.zeros_like(x)
for n in range(4):
    for i in range(3):
        for o in range(2):
            dw[i, o] += x[n, i] * dy[n, o]
            dx[n, i] += dy[n, o] * w[i, o]

library_dx, library_dw, _ = back(dy)                     # η τρίτη είναι η κλίση μιας πόλωσης· αυτό το στρώμα δεν έχει
print("μεγαλύτερη διαφορά")
print(f"βρόχων από γινόμενα πινάκων   dw {abs(dw - x.T @ dy).max():.0e}   dx {abs(dx - dy @ w.T).max():.0e}")
print(f"βρόχων από τη βιβλιοθήκη      dw {abs(dw - library_dw).max():.0e}   dx {abs(dx - library_dx).max():.0e}")

# %% [markdown]
# Για να το θυμάστε: το `dw` έχει το σχήμα του `w`, και υπάρχει ένας μόνο τρόπος να πολλαπλασιάσει κανείς το `x` με το `dy` για να βγει αυτό
# το σχήμα. Προσέξτε και το `+=`: ένας αριθμός που χρησιμοποιείται πολλές φορές παίρνει το άθροισμα των κλίσεων από όλες τις χρήσεις του.
#
# ## Από τα tokens στα διανύσματα
# Ένα στρώμα υπολογίζει με αριθμούς που το μέγεθός τους κάτι σημαίνει. Το μέγεθος ενός token id δεν σημαίνει τίποτα: το `e` έχει το 26 και
# το `f` το 27, χωρίς γι' αυτό να μοιάζουν. Το πρώτο στρώμα ενός μοντέλου δίνει λοιπόν σε κάθε token ένα διάνυσμα, που λέγεται
# **ενσωμάτωση** (embedding). Είναι μια αναζήτηση σε πίνακα: ο πίνακας έχει μια γραμμή από βάρη για κάθε token του λεξιλογίου, και το id
# λέει ποια γραμμή θα πάρουμε.

# %%
from littlebaby.show.tour_pictures import lookup_picture
from littlebaby.text import nursery

story, _ = nursery.corpus(120_000, seed=1)
tokenizer = texts.train("char", story)
ids, V = tokenizer.encode(story), tokenizer.size
seen, unseen = ids[:100_000], ids[100_000:]

table = rng.standard_normal((V, 12))
rows, back = arrays.embedding(tokenizer.encode("red"), table)                   # (3) -> (3, 12)
print("ίσες με τις γραμμές του πίνακα:", np.array_equal(rows, table[tokenizer.encode("red")]))
lookup_picture((f"ο πίνακας: {V} γραμμές από 12 βάρη", "ενσωματώσεις των r, e, d: οι γραμμές των ids"), table, tokenizer.tokens(), "red",
               tokenizer.encode("red"))

# %% [markdown]
# Οι αριθμοί του πίνακα είναι βάρη όπως όλα τα άλλα: στην αρχή τυχαία, και μετά εκπαιδεύονται. Η `back` του προσθέτει την κλίση κάθε
# διανύσματος στη γραμμή από όπου πάρθηκε το διάνυσμα· οι γραμμές των άλλων tokens δεν παίρνουν τίποτα.
#
# ## Μια αλυσίδα από στρώματα
# Ένα μοντέλο αποτελείται από στρώματα, όπου η έξοδος του ενός είναι η είσοδος του επόμενου. Ο δρόμος από την είσοδο ως την απώλεια λέγεται
# **εμπρόσθιο πέρασμα** (forward pass). Το **οπίσθιο πέρασμα** (backward pass) κάνει τον ίδιο δρόμο προς τα πίσω: καλεί τις συναρτήσεις
# `back` των ίδιων στρωμάτων με την αντίστροφη σειρά, και η καθεμία παίρνει την κλίση ως προς την έξοδο του στρώματός της και επιστρέφει την
# κλίση ως προς την είσοδό του. Να ένα ολόκληρο γλωσσικό μοντέλο με συμφραζόμενα τριών χαρακτήρων. Μια τέτοια αλυσίδα από στρώματα λέγεται
# **νευρωνικό δίκτυο** (neural network), ή συντομότερα **δίκτυο**.

# %%
def forward(p, ids, targets):
    """ids (N, 3), targets (N) -> loss, backward; backward() -> {όνομα: κλίση}"""
    e, back_e = arrays.embedding(ids, p["token"])                        # (N, 3) -> (N, 3, 12), μια γραμμή του πίνακα για κάθε id
    u, back_u = arrays.linear(e.reshape(len(e), -1), p["up"])            # (N, 36) -> (N, 64)
    a, back_a = arrays.gelu(u)
    z, back_z = arrays.linear(a, p["head"], p["bias"])                   # (N, 64) -> (N, V)
    loss, back_loss = arrays.cross_entropy(z, targets)

    def backward():
        da, dhead, dbias = back_z(back_loss())
        de, dup, _ = back_u(back_a(da))
        dtoken = back_e(de.reshape(e.shape))
        return dict(token=dtoken, up=dup, head=dhead, bias=dbias)

    return loss, backward

# %% [markdown]
# Συγκρίνετε το `backward`, από πάνω προς τα κάτω, με το `forward`, από κάτω προς τα πάνω: τα στρώματα έχουν την ίδια σειρά. Η `gelu`, στη
# μέση, είναι μια **συνάρτηση ενεργοποίησης** (activation function), μια συνάρτηση που δεν είναι γραμμική: αφήνει τους μεγάλους αριθμούς να
# περάσουν, και σταματά τους αρνητικούς. Χωρίς αυτήν δύο στρώματα δεν θα έκαναν τίποτα περισσότερο από ένα, γιατί το $x\,w_1 w_2$ είναι πάλι
# ένα απλό $x\,w$. (Το `bias` είναι μια **πόλωση**, bias: ένα βάρος που προστίθεται σε μια έξοδο, όποια κι αν είναι η είσοδος.)
#
# Το οπίσθιο πέρασμα αρχίζει από την απώλεια, που η κλίση της ως προς τα logits είναι υπέροχα απλή: οι πιθανότητες της πρόβλεψης μείον τον
# στόχο, γραμμένο ως **διάνυσμα one-hot** (1 για τον χαρακτήρα που ήρθε, 0 για όλους τους άλλους).

# %%
z = rng.standard_normal((1, 5))
target = np.array([2])
predicted = np.exp(z) / np.exp(z).sum()
_, back = arrays.cross_entropy(z.copy(), target)
print("πιθανότητες της πρόβλεψης  ", predicted.round(3)[0])
print("μείον τον στόχο one-hot     ", (predicted - np.eye(5)[target]).round(3)[0])
print("κλίση της cross_entropy     ", back().round(3)[0])

# %% [markdown]
# ## Η εκπαίδευση
# Ξεκινάμε από τυχαία βάρη. Ύστερα κάθε **βήμα** (step) παίρνει μερικά τυχαία παραδείγματα από το κείμενο, μια **παρτίδα** (batch),
# υπολογίζει την απώλεια και την κλίση, και αλλάζει λίγο τα βάρη προς την κατεύθυνση την *αντίθετη* από την κλίση, όπως κατεβαίνει κανείς
# έναν λόφο μέσα στην ομίχλη. Αυτή είναι η **κατάβαση κλίσης** (gradient descent)· το μέγεθος της αλλαγής είναι η κλίση επί έναν αριθμό που
# λέγεται **ρυθμός μάθησης** (learning rate), κάτι σαν το μήκος του διασκελισμού μας.

# %%
def examples(ids):
    """Κάθε ομάδα τριών χαρακτήρων (N, 3), και ο χαρακτήρας μετά από καθεμία (N)"""
    return np.stack([ids[:-3], ids[1:-2], ids[2:-1]], 1), ids[3:]

def random_weights(seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda i, o: rng.standard_normal((i, o)) * i ** -0.5
    return dict(token=0.1 * rng.standard_normal((V, 12)), up=draw(36, 64), head=0.1 * draw(64, V), bias=np.zeros(V))

# %%
def learn(p, steps=2500, rate=3.0, rows=128):
    """Κατάβαση κλίσης στο p· επιστρέφει την απώλεια κάθε βήματος"""
    rng, (xs, ys), losses = np.random.default_rng(1), examples(seen), []
    for step in range(steps):
        batch = rng.integers(len(xs), size=rows)
        loss, backward = forward(p, xs[batch], ys[batch])
        for name, gradient in backward().items():
            p[name] -= rate * (1 - step / steps) * gradient            # ο ρυθμός μάθησης πέφτει ως το 0
        losses.append(loss)
    return losses

p = random_weights()
losses = learn(p)
valid_loss, _ = forward(p, *examples(unseen))
print(f"απώλεια εκπαίδευσης  {losses[0]:.3f} στο πρώτο βήμα, {np.mean(losses[-100:]):.3f} στα τελευταία 100 (η ομοιόμορφη πρόβλεψη έχει {np.log(V):.3f})")
print(f"απώλεια επικύρωσης   {valid_loss:.3f}")

# %% [markdown]
# Πόσο καλό είναι αυτό; Ας το συγκρίνουμε με τους πίνακες του πρώτου μαθήματος, που μετρούν τι ακολουθεί έναν, δύο και τρεις χαρακτήρες.

# %%
def table_loss(k, a=0.05):
    """Η απώλεια επικύρωσης ενός πίνακα που μετρά τι ακολουθεί k χαρακτήρες, με το a να προστίθεται σε κάθε μέτρηση"""
    key = lambda ids: sum(ids[i:len(ids) - k + i].astype(int) * V ** i for i in range(k))
    table = np.zeros((V ** k, V), np.float32) + a
    np.add.at(table, (key(seen), seen[k:]), 1)
    rows = table[key(unseen)]
    return -np.log(rows[np.arange(len(rows)), unseen[k:]] / rows.sum(1)).mean()

axes = picture("απώλεια σε nats ανά χαρακτήρα, ανά βήμα", height=3.6)
axes.plot(losses, color=TRAIN, lw=0.5, alpha=0.35)
axes.plot(running(losses), color=TRAIN, lw=1.6)
for k in (1, 2, 3):
    axes.axhline(table_loss(k), color=GRAY, lw=1, ls=(0, (6, 3)))
    axes.annotate(f"πίνακας, k = {k}", (len(losses), table_loss(k)), (6, 0), textcoords="offset points", color=GRAY, va="center")
axes.set_xlim(0, len(losses))
axes.set_ylim(0.5)
weights = sum(w.size for w in p.values())
print(f"μοντέλο              {weights:9,} βάρη,      απώλεια επικύρωσης {valid_loss:.3f}")
print(f"πίνακας, k = 3       {V ** 3 * V:9,} μετρήσεις, απώλεια επικύρωσης {table_loss(3):.3f}")

# %% [markdown]
# Το μοντέλο έχει περίπου το ένα χιλιοστό των αριθμών, και η απώλειά του δεν είναι πολύ μεγαλύτερη. Ο πίνακας μαθαίνει για κάθε ομάδα
# χαρακτήρων χωριστά. Τα βάρη όμως είναι *κοινά* για όλες τις ομάδες: ό,τι μαθαίνει το μοντέλο μετά το `red` βοηθά και μετά το `bed`. Αυτό
# φαίνεται στις ενσωματώσεις, τις γραμμές του πίνακα `token`. Εδώ τις βλέπετε μετά την εκπαίδευση, να προβάλλονται από τις 12 διαστάσεις σε
# δύο:

# %%
often = [i for i in range(V) if (seen == i).mean() > 0.004]
token = p["token"][often] - p["token"][often].mean(0)
_, _, axis = np.linalg.svd(token, full_matrices=False)
places = token @ axis[:2].T                              # (n, 12) -> (n, 2): οι δύο κατευθύνσεις στις οποίες τα διανύσματα διαφέρουν περισσότερο

axes = picture("ενσωματώσεις των χαρακτήρων: κεφαλαία μπλε, φωνήεντα κόκκινα, άλλα πεζά σκούρα, τα υπόλοιπα πράσινα", height=4)
axes.grid(False)
for place, i in zip(places, often):
    c = tokenizer.tokens()[i]
    kind = VALID if c in "aeiou" else INK if c.islower() else TRAIN if c.isupper() else FLOOR
    axes.text(*place, {" ": "␣", "\n": "⏎"}.get(c, c), color=kind, fontsize=22 if c in ".,\"" else 11, ha="center", va="center")
axes.set_xlim(places[:, 0].min() - 0.3, places[:, 0].max() + 0.3)
axes.set_ylim(places[:, 1].min() - 0.3, places[:, 1].max() + 0.3);

# %% [markdown]
# Στην αρχή ήταν μικρά τυχαία διανύσματα. Χαρακτήρες που χρησιμοποιούνται με παρόμοιο τρόπο έχουν τώρα παρόμοια διανύσματα: δείτε πού
# βρίσκονται τα κεφαλαία, και ποιος κάνει παρέα στην τελεία. Κανείς δεν είπε στο μοντέλο τι είναι όνομα ή τι είναι πρόταση· έπρεπε μόνο να
# προβλέπει τον επόμενο χαρακτήρα.
#
# ## Δοκιμάστε
# ### 1. Μια δική σας ενεργοποίηση
# Η *softplus* είναι η ενεργοποίηση $y = \ln(1 + e^x)$· η παράγωγός της είναι $1 / (1 + e^{-x})$. Γράψτε τη `back` της.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=2, number=1)
def check(softplus):
    x, dy, h = np.linspace(-3, 3, 7), np.arange(1.0, 8), 1e-5
    y, back = softplus(x)
    dx = back(dy)
    assert dx is not None, "η back επιστρέφει None: επιστρέψτε το dy επί την παράγωγο στο x."
    slope = (softplus(x + h)[0] - softplus(x - h)[0]) / (2 * h)
    assert not np.allclose(dx, slope), "αυτή είναι μόνο η παράγωγος: πολλαπλασιάστε την με το dy."
    assert np.allclose(dx, dy * slope), f"στο x = 3 η παράγωγος είναι {slope[-1]:.4f} και το dy είναι 7· το γινόμενό τους δεν είναι {dx[-1]:.4f}."
    return f"διαφέρει από την αριθμητική παράγωγο κατά {abs(dx - dy * slope).max():.0e}· το τρίτο μάθημα δείχνει πώς ελέγχεται έτσι κάθε οπίσθιο πέρασμα."

# %% tags=["exercise"]
def softplus(x):
    y = np.log1p(np.exp(x))

    def back(dy):
        return None

    return y, back

check(softplus)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def softplus(x):
#     y = np.log1p(np.exp(x))
#
#     def back(dy):
#         return dy / (1 + np.exp(-x))
#
#     return y, back
#
# check(softplus)
# ```
#
# </details>

# %% [markdown]
# ### 2. Δύο χρήσεις
# Εδώ η έξοδος ενός στρώματος προστίθεται στην είσοδό του: $y = x + x w$. Αυτό λέγεται **υπολειμματική σύνδεση** (residual connection): το
# στρώμα δεν αντικαθιστά την είσοδό του, τη διορθώνει. Κάθε μπλοκ ενός GPT έχει δύο τέτοιες (μάθημα 5). Το `x` χρησιμοποιείται δύο φορές.
# Γράψτε τη `back`· η `back_f(dy)` επιστρέφει τις κλίσεις μόνο του $x w$.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=2, number=2)
def check(residual):
    x, w, dy = rng.standard_normal((4, 3)), rng.standard_normal((3, 3)), rng.standard_normal((4, 3))
    answer = residual(x, w)[1](dy)
    assert answer is not None, "η back επιστρέφει None: επιστρέψτε dx και dw, με αυτή τη σειρά."
    assert isinstance(answer, (tuple, list)) and len(answer) >= 2, "επιστρέψτε δύο πίνακες: dx και dw."
    dx, dw, *_ = answer
    assert np.allclose(dw, x.T @ dy), "το dw πρέπει να είναι αυτό που επιστρέφει η back_f στη δεύτερη θέση: μόνο το γινόμενο x w εξαρτάται από το w."
    assert not np.allclose(dx, dy @ w.T), "το dx περιέχει μόνο την κλίση μέσα από το x w: το y εξαρτάται από το x και απευθείας."
    assert np.allclose(dx, dy + dy @ w.T), "το dx πρέπει να είναι το άθροισμα δύο κλίσεων: του ίδιου του dy, και του dx που επιστρέφει η back_f."
    return "δύο δρόμοι προς τα εμπρός, δύο κλίσεις προς τα πίσω, και το άθροισμά τους: αυτό είναι το += που θα δείτε σε κάθε στρώμα."

# %% tags=["exercise"]
def residual(x, w):
    f, back_f = arrays.linear(x, w)

    def back(dy):
        return None

    return x + f, back

check(residual)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def residual(x, w):
#     f, back_f = arrays.linear(x, w)
#
#     def back(dy):
#         dx, dw, _ = back_f(dy)
#         return dx + dy, dw
#
#     return x + f, back
#
# check(residual)
# ```
#
# </details>

# %% [markdown]
# ### 3. Ο ρυθμός μάθησης
# Η `learn(random_weights(), steps=300, rate=...)` επιστρέφει τις απώλειες μιας σύντομης εκπαίδευσης. Βρείτε έναν ρυθμό μάθησης με τον οποίο
# η μέση απώλεια των τελευταίων 50 βημάτων είναι κάτω από 1.5: δοκιμάστε μερικές δυνάμεις του δέκα, και ύστερα τιμές ανάμεσα στις δύο
# καλύτερες.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=2, number=3)
def check(rate):
    assert rate is not None, "βάλτε έναν ρυθμό μάθησης στη θέση του None, λόγου χάρη 0.1, και δείτε την απώλεια μετά από 300 βήματα."
    with np.errstate(all="ignore"):
        end = np.mean(learn(random_weights(), steps=300, rate=rate)[-50:])
    assert np.isfinite(end) and end < 4, f"με {rate} κάθε βήμα πηγαίνει υπερβολικά μακριά, και η απώλεια ανεβαίνει αντί να πέφτει."
    assert end < 1.5, f"με {rate} η μέση απώλεια των τελευταίων 50 βημάτων είναι {end:.3f}· πρέπει να πέσει κάτω από 1.5: δοκιμάστε {'μεγαλύτερο' if rate < 4 else 'μικρότερο'} ρυθμό."
    return f"{end:.3f} με {rate}: ο ρυθμός μάθησης είναι η ρύθμιση που αξίζει πάντα να δοκιμάζετε πρώτη."

# %% tags=["exercise"]
rate = None

check(rate)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# rate = 4
#
# check(rate)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [3 · Ο έλεγχος μιας κλίσης](03_check_a_gradient.ipynb): ένα μοντέλο με λάθος οπίσθιο πέρασμα συχνά μαθαίνει παρ' όλα αυτά.
# Πώς το καταλαβαίνει κανείς;
