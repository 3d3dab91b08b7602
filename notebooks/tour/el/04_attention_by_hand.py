# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · Η προσοχή με το χέρι
#
# *`Zoe hid a mask. At night Z…`: πώς μπορεί να ξέρει το μοντέλο ότι ακολουθεί `oe`;*
#
# Το μοντέλο του δεύτερου μαθήματος είχε συμφραζόμενα τριών χαρακτήρων, τον καθένα σε σταθερή θέση. Για να χρησιμοποιήσει κάτι που ήρθε
# εκατό χαρακτήρες νωρίτερα, κάθε token πρέπει να μπορεί να *ψάξει* σε όλα τα συμφραζόμενα αυτό που χρειάζεται, όπου κι αν βρίσκεται. Αυτό
# κάνει η **προσοχή** (attention), και ο τύπος της έχει τρεις γραμμές. Τη γράφουμε με βρόχους, την κάνουμε να βρει κάτι, και τη συγκρίνουμε
# με τη βιβλιοθήκη.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import arrays
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID
from littlebaby.check.laws import differences
from littlebaby.show.variant_pictures import squares
from littlebaby.show.tour import exercise, picture

rng = np.random.default_rng(0)

# %% [markdown]
# ## Ερώτημα, κλειδί, τιμή
# Σκεφτείτε μια βιβλιοθήκη με βιβλία: έρχεστε με μια ερώτηση, τη συγκρίνετε με τους τίτλους στις ράχες όλων των βιβλίων, και διαβάζετε
# περισσότερο τα βιβλία που ο τίτλος τους ταιριάζει καλύτερα. Στην προσοχή κάθε token $t$ έχει τρία διανύσματα: ένα **ερώτημα** (query)
# $q_t$ (τι ψάχνω;), ένα **κλειδί** (key) $k_t$ (πώς μπορούν να με βρουν;), και μία **τιμή** (value) $v_t$ (τι προσφέρω;). Το token
# συγκρίνει το ερώτημά του με τα κλειδιά όλων των tokens μέχρι και το ίδιο. Κάθε σύγκριση δίνει μια **βαθμολογία** (score) $s_{tj}$, ένα
# εσωτερικό γινόμενο· μια softmax κάνει την κάθε βαθμολογία **βάρος προσοχής** (attention weight) $a_{tj}$, και η έξοδος $o_t$ είναι ο μέσος
# όρος των τιμών με αυτά τα βάρη:
#
# $$s_{tj} = \frac{q_t \cdot k_j}{\sqrt d} \qquad a_{tj} = \frac{e^{s_{tj}}}{\sum_{i \le t} e^{s_{ti}}} \qquad o_t = \sum_{j \le t} a_{tj}\, v_j$$

# %%
def by_hand(q, k, v):
    """ερωτήματα, κλειδιά, τιμές (T, d) -> έξοδος (T, d), βάρη προσοχής (T, T)"""
    T, d = q.shape
    a, o = np.zeros((T, T)), np.zeros_like(v)
    for t in range(T):
        s = np.array([q[t] @ k[j] for j in range(t + 1)]) / np.sqrt(d)     # μόνο τα tokens μέχρι το t
        e = np.exp(s - s.max())
        a[t, :t + 1] = e / e.sum()
        for j in range(t + 1):
            o[t] += a[t, j] * v[j]
    return o, a

T, d = 6, 4
q, k, v = rng.standard_normal((3, T, d))
o, a = by_hand(q, k, v)
library_o, _ = arrays.attention(q[None, None], k[None, None], v[None, None], d ** -0.5)      # (B, h, T, d): ένα κείμενο, μία κεφαλή
print(a.round(2))
print(f"μεγαλύτερη διαφορά ανάμεσα σε βρόχους και βιβλιοθήκη: {abs(o - library_o[0, 0]).max():.0e}")

# %% [markdown]
# Αυτά είναι τα βάρη προσοχής. Κάθε γραμμή έχει άθροισμα 1, και πάνω από τη διαγώνιο υπάρχουν μηδενικά: κανένα token δεν μπορεί να
# χρησιμοποιήσει ένα επόμενο. Αυτό λέγεται **αιτιατή μάσκα** (causal mask). Χρειάζεται επειδή στην εκπαίδευση προβλέπονται όλα τα tokens
# ενός κειμένου μαζί· ένα token που θα έβλεπε το επόμενό του θα αρκούσε να το αντιγράψει.
#
# ## Κάντε τη να βρει κάτι
# Ως τώρα τίποτα δεν έχει εκπαιδευτεί. Ας *διαλέξουμε* ερωτήματα και κλειδιά με το χέρι, έτσι που η προσοχή να λύσει τον γρίφο της αρχής. Το
# κλειδί ενός token λέει ποιος χαρακτήρας ήρθε *πριν* από αυτό, και το ερώτημά του λέει ποιος χαρακτήρας *είναι* το ίδιο: μαζί ψάχνουν
# tokens που ήρθαν μετά από τον ίδιο χαρακτήρα. Η τιμή ενός token είναι ο ίδιος ο χαρακτήρας του.

# %%
text = "Zoe hid a mask. At night Z"
characters = sorted(set(text))
one_hot = np.eye(len(characters))[[characters.index(c) for c in text]]      # (T, V)

query = one_hot                                                        # «είμαι ένα Z»
key = np.vstack([np.zeros(len(characters)), one_hot[:-1]])             # «πριν από μένα ήρθε ένα Z»
value = one_hot                                                        # «είμαι ένα o»

from littlebaby.show.tour_pictures import attention_picture

soft_output, soft_weights = by_hand(4 * query, 4 * key, value)
scores = (4 * key) @ (4 * query[-1]) / np.sqrt(len(characters))
attention_picture(("1. βαθμολογίες: το τελευταίο ερώτημα, του Z, επί το κλειδί κάθε token", "2. βάρη προσοχής: η softmax των βαθμολογιών",
                   "3. τιμές, διανύσματα one-hot: πιο σκούρες με μεγαλύτερο βάρος", "έξοδος"),
                  text, scores, soft_weights[-1], characters, value, soft_output[-1])

# %% [markdown]
# Αυτές είναι οι τρεις γραμμές του τύπου για το τελευταίο token, το `Z`. Μόνο ένα κλειδί ταιριάζει στο ερώτημά του: το κλειδί του `o`, που
# πριν από αυτό ήρθε ένα `Z`. Το `o` έχει λοιπόν υψηλή βαθμολογία, και η softmax του δίνει το μεγαλύτερο μέρος του βάρους. Η έξοδος είναι ο
# μέσος όρος όλων των τιμών με αυτά τα βάρη: πολύ `o`, και λίγο από όλα τα άλλα. Με μεγαλύτερα ερωτήματα και κλειδιά δεν μένει σχεδόν τίποτε
# άλλο. Εδώ είναι τα βάρη *όλων* των tokens, με συντελεστή 10 αντί για 4:

# %%
output, weights = by_hand(10 * query, 10 * key, value)

axes = picture("βάρη προσοχής", height=5)
squares(axes, weights, "βάρη προσοχής: μια γραμμή για κάθε ερώτημα, μια στήλη για κάθε κλειδί")
axes.set_xticks(range(len(text)), list(text.replace(" ", "␣")), fontsize=8)
axes.set_yticks(range(len(text)), list(text.replace(" ", "␣")), fontsize=8)

print("έξοδος του τελευταίου token:", {c.replace(" ", "␣"): round(float(p), 3)
                                    for c, p in sorted(zip(characters, output[-1]), key=lambda each: -each[1])[:3]})

# %% [markdown]
# Η τελευταία γραμμή, του δεύτερου `Z`, έχει όλο το βάρος της σε μία θέση, στο `o` μετά το πρώτο `Z`. Η έξοδος είναι λοιπόν `o`, κι αυτή
# είναι η πρόβλεψη. (Όπου δεν ταιριάζει κανένα προηγούμενο token, τα βάρη μιας γραμμής είναι ίσα· τα βάρη ενός κενού μοιράζονται σε όλα τα
# tokens που ήρθαν μετά από κενό.) Με οποιοδήποτε άλλο όνομα θα έκανε το ίδιο, ακόμη και με ένα που δεν εμφανίστηκε ποτέ στην εκπαίδευση:
# τίποτα δεν αναζητείται σε πίνακα. Τα εκπαιδευμένα μοντέλα βρίσκουν αυτό το κόλπο μόνα τους, με δύο στρώματα προσοχής: το πρώτο δίνει σε
# κάθε token την πληροφορία ποιος χαρακτήρας ήρθε πριν από αυτό, και το δεύτερο ψάχνει. Αυτό λέγεται **κεφαλή επαγωγής** (induction head).
#
# ## Γιατί διαιρούμε με √d;
# Ένα άθροισμα $d$ γινομένων τυχαίων αριθμών (με μέση τιμή 0 και διασπορά 1) έχει τυπική απόκλιση $\sqrt d$. Με μεγάλες βαθμολογίες η
# softmax δίνει σχεδόν όλο το βάρος σε ένα token, και τότε η κλίση της είναι σχεδόν μηδέν: οι βαθμολογίες σχεδόν δεν μαθαίνονται πια.

# %%
rows = []
for d in (4, 16, 64, 256, 1024):
    q, k = rng.standard_normal((2, 300, 32, d))
    s = (q[:, :1] * k).sum(-1)                                         # (300, 32): ένα ερώτημα και 32 κλειδιά, 300 φορές
    for scale in (1, d ** -0.5):
        y, back_y = arrays.softmax(s * scale)
        gradient = abs(back_y(rng.standard_normal(y.shape))).mean()
        rows.append((d, scale, s.std() * scale, y.max(-1).mean(), gradient))
print("          βαθμολογίες όπως είναι               βαθμολογίες διά √d")
print("   d     βαθμολ.    μέγιστο βάρος     κλίση   βαθμολ.    μέγιστο βάρος     κλίση")
for (d, *plain), (_, *scaled) in zip(rows[::2], rows[1::2]):
    print(f"{d:4}   ", *(f"{score:7.1f} {weight:16.2f} {gradient:9.4f}  " for _, score, weight, gradient in (plain, scaled)))

# %% [markdown]
# Ο πίνακας δείχνει την τυπική απόκλιση των βαθμολογιών, και τους μέσους όρους του μεγαλύτερου βάρους και της απόλυτης τιμής της κλίσης.
# Χωρίς τη διαίρεση η κλίση μικραίνει καθώς μεγαλώνει το $d$· με αυτήν δεν αλλάζει τίποτα.
#
# ## Το οπίσθιο πέρασμα
# Η προσοχή έχει τρία βήματα: βαθμολογίες, softmax, σταθμισμένο άθροισμα. Το οπίσθιο πέρασμά της έχει λοιπόν τρία βήματα με την αντίστροφη
# σειρά. Τα ξέρετε όλα: τα γινόμενα πινάκων από το δεύτερο μάθημα, τη softmax από τη δεύτερη άσκηση του τρίτου μαθήματος.

# %%
def attention(q, k, v):
    """το καθένα (T, d) -> o (T, d), back(do) -> dq, dk, dv"""
    T, d = q.shape
    s = q @ k.T / np.sqrt(d)                                           # (T, T)
    s[~np.tri(T, dtype=bool)] = -np.inf
    a, back_a = arrays.softmax(s)
    o = a @ v                                                          # (T, d)

    def back(do):
        da = do @ v.T                                                  # o = a v, άρα τα da και dv είναι όπως στο μάθημα 2
        dv = a.T @ do
        ds = back_a(da) / np.sqrt(d)
        return ds @ k, ds.T @ q, dv                                    # s = q kᵀ, άρα dq = ds k και dk = dsᵀ q

    return o, back

T, d = 6, 4
q, k, v, do = rng.standard_normal((4, T, d))
_, back = attention(q, k, v)
_, library_back = arrays.attention(q[None, None], k[None, None], v[None, None], d ** -0.5)
print("μεγαλύτερη διαφορά   από τη βιβλιοθήκη   από πεπερασμένες διαφορές")
for name, mine, library, x in zip("qkv", back(do), library_back(do[None, None]), (q, k, v)):
    slopes = differences(lambda: (attention(q, k, v)[0] * do).sum(), x)
    print(f"d{name} {abs(mine - library[0, 0]).max():33.0e} {abs(mine - slopes).max():22.0e}")

# %% [markdown]
# ## Κεφαλές
# Ένα σταθμισμένο άθροισμα απαντά σε ένα ερώτημα, αλλά ένα token μπορεί να χρειάζεται πολλά: ποιος μιλά, τι χρώμα είχε η πόρτα. Γι' αυτό το
# πλάτος μοιράζεται σε πολλά μέρη. Το καθένα λέγεται **κεφαλή** (head) και έχει δικά του ερωτήματα, κλειδιά και τιμές, όπως πολλοί
# αναγνώστες που διαβάζουν το ίδιο κείμενο με διαφορετικές ερωτήσεις. Αυτή είναι η **προσοχή πολλών κεφαλών** (multi-head attention). Η
# παραλλαγή `mha` της βιβλιοθήκης είναι η παραπάνω προσοχή, με τους πίνακες βαρών που υπολογίζουν ερωτήματα, κλειδιά και τιμές από ένα
# token, και με `split_heads` και `merge_heads` γύρω της. Το επόμενο κελί δείχνει το αρχείο της γραμμή προς γραμμή, όπως τρέχει σε δύο
# μικροσκοπικά κείμενα: αριστερά το εμπρόσθιο πέρασμα, με τους αριθμούς που υπολόγισε κάθε γραμμή, δεξιά το οπίσθιο. Τώρα μπορείτε να το
# διαβάσετε ολόκληρο.

# %%
lb.walk("mha")

# %% [markdown]
# ## Δοκιμάστε
# ### 1. Ο γείτονας
# Γράψτε ερωτήματα και κλειδιά, με σχήμα $(T, T)$ το καθένα, με τα οποία κάθε token δίνει σχεδόν όλο το βάρος του στο token που είναι
# ακριβώς *πριν* από αυτό, και το πρώτο token, που δεν έχει κανένα πριν του, στον εαυτό του. Χρησιμοποιήστε θέσεις: η γραμμή $t$ του
# `np.eye(T)` είναι ένα διάνυσμα one-hot για τη θέση $t$. Μεγάλοι αριθμοί φέρνουν ένα βάρος κοντά στο 1.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=4, number=1)
def check(neighbour):
    answer = neighbour(8)
    assert answer is not None, "η neighbour επιστρέφει None: επιστρέψτε τα ερωτήματα και τα κλειδιά, το καθένα έναν πίνακα με σχήμα (T, T)."
    assert len(answer) == 2, "επιστρέψτε δύο πίνακες, τα ερωτήματα και τα κλειδιά."
    q, k = (np.asarray(each, float) for each in answer)
    assert q.shape == k.shape == (8, 8), f"και τα δύο πρέπει να έχουν σχήμα (8, 8) για T = 8· έχουν {q.shape} και {k.shape}."
    _, a = by_hand(q, k, np.eye(8))
    goal, found = np.maximum(np.arange(8) - 1, 0), a.argmax(1)
    assert list(found) != list(range(8)), "κάθε token βρίσκει τον εαυτό του: το ερώτημα t πρέπει να είναι ίσο με το κλειδί του token t - 1, όχι με το δικό του."
    flat = next((t for t in range(1, 8) if np.ptp(a[t, :t + 1]) < 1e-6), None)
    assert flat is None, f"όλα τα βάρη του token {flat} είναι ίσα, αφού κανένα κλειδί ως το δικό του δεν ταιριάζει στο ερώτημά του: πρέπει να ψάχνει το token {flat and flat - 1}."
    wrong = int(np.argmax(found != goal))
    assert found[wrong] == goal[wrong], f"το token {wrong} βρίσκει το token {found[wrong]}: το ερώτημά του πρέπει να είναι ίσο με το κλειδί του token {goal[wrong]}."
    right = a[np.arange(8), goal]
    assert right.min() > 0.99, f"η ιδέα είναι σωστή, κάθε token βρίσκει τον γείτονά του, αλλά με βάρος {right.min():.2f}: πολλαπλασιάστε τα ερωτήματα επί 50."
    return f"κάθε token δίνει στον γείτονά του βάρος τουλάχιστον {right.min():.4f}: η μισή κεφαλή επαγωγής είναι δική σας."

# %% tags=["exercise"]
def neighbour(T):
    """-> ερωτήματα (T, T), κλειδιά (T, T)"""
    return None

check(neighbour)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def neighbour(T):
#     """-> ερωτήματα (T, T), κλειδιά (T, T)"""
#     keys = np.eye(T)                                                 # «είμαι στη θέση t»
#     queries = 50 * np.eye(T)[np.maximum(np.arange(T) - 1, 0)]        # «ψάχνω τη θέση t - 1»
#     return queries, keys
#
# check(neighbour)
# ```
#
# </details>

# %% [markdown]
# ### 2. Είναι αιτιατή;
# Γράψτε μια δοκιμή που βρίσκει αν μια προσοχή χρησιμοποιεί επόμενα tokens: αλλάξτε το κλειδί και την τιμή του τελευταίου token, και δείτε
# αν αλλάζει κάποια *προηγούμενη* έξοδος. Η συνάρτησή σας παίρνει μια προσοχή `(q, k, v) -> o`, και επιστρέφει True αν αυτή χρησιμοποιεί
# επόμενα tokens («κρυφοκοιτάζει»).

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
def causal(q, k, v):
    return attention(q, k, v)[0]

def unmasked(q, k, v):
    a, _ = arrays.softmax(q @ k.T / np.sqrt(q.shape[1]))
    return a @ v

def sly(q, k, v):
    """Με μάσκα, αλλά όλες οι βαθμολογίες διαιρούνται με τη μεγαλύτερη, που μπορεί να είναι επόμενου token"""
    s = q @ k.T
    s = s / abs(s).max()
    s[~np.tri(len(q), dtype=bool)] = -np.inf
    return arrays.softmax(s)[0] @ v

@exercise(lesson=4, number=2)
def check(peeks):
    first = peeks(causal)
    assert first is not None, "η peeks επιστρέφει None: καλέστε ξανά την attend με άλλο τελευταίο κλειδί και τιμή, και συγκρίνετε όλες τις εξόδους εκτός από την τελευταία."
    assert not first or peeks(unmasked), "η απάντηση είναι ανάποδα: πρέπει να είναι True αν αλλάζει μια προηγούμενη έξοδος."
    assert not first, "επιστρέφει True για μια αιτιατή προσοχή: αφήστε έξω την τελευταία έξοδο, που επιτρέπεται να αλλάξει, και συγκρίνετε τις άλλες."
    assert peeks(unmasked), "επιστρέφει False για μια προσοχή χωρίς μάσκα: αλλάξτε και το τελευταίο κλειδί και την τελευταία τιμή."
    assert peeks(sly), "επιστρέφει False για μια προσοχή που χρησιμοποιεί τη μεγαλύτερη από όλες τις βαθμολογίες: αλλάξτε το τελευταίο κλειδί με μεγάλο συντελεστή."
    return "σωστό και για τις τρεις. Η πονηρή είναι πραγματικό σφάλμα: με ένα μέγιστο σε όλη την ακολουθία ένα μοντέλο καταλήγει να χρησιμοποιεί επόμενα tokens."

# %% tags=["exercise"]
def peeks(attend):
    """Αφήνει η attend(q, k, v) -> o (T, d) ένα προηγούμενο token να δει το τελευταίο;"""
    q, k, v = np.random.default_rng(0).standard_normal((3, 6, 4))
    return None

check(peeks)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def peeks(attend):
#     """Αφήνει η attend(q, k, v) -> o (T, d) ένα προηγούμενο token να δει το τελευταίο;"""
#     q, k, v = np.random.default_rng(0).standard_normal((3, 6, 4))
#     before = attend(q, k, v)[:-1]
#     k, v = k.copy(), v.copy()
#     k[-1] *= 100
#     v[-1] += 1
#     return not np.array_equal(before, attend(q, k, v)[:-1])
#
# check(peeks)
# ```
#
# </details>

# %% [markdown]
# ### 3. Έχει σημασία η σειρά;
# Ανταλλάξτε δύο προηγούμενα tokens, κλειδί και τιμή μαζί. Τι παθαίνει η τελευταία έξοδος; Προβλέψτε πρώτα· ύστερα μετρήστε το `change`, τη
# μεγαλύτερη μεταβολή ενός στοιχείου του `by_hand(q, k, v)[0][-1]` όταν ανταλλάσσονται τα tokens 1 και 3 στο `k` και στο `v`.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=4, number=3)
def check(change):
    assert change is not None, "βάλτε έναν αριθμό στη θέση του None: τη μεγαλύτερη μεταβολή της τελευταίας εξόδου όταν ανταλλάσσονται τα tokens 1 και 3."
    assert 0 <= change < 1e-12, f"μετρήσατε {change:.2g}: ανταλλάξτε τις γραμμές 1 και 3 του k και του v, αλλά όχι του q, και συγκρίνετε την τελευταία έξοδο."
    return f"{change:.0e}: η προσοχή μόνη της δεν ξέρει τη σειρά των tokens. Γι' αυτό τα μοντέλα χρειάζονται θέσεις, που τις προσθέτει το μάθημα 5."

# %% tags=["exercise"]
change = None

check(change)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# places = [0, 3, 2, 1, 4, 5]
# change = abs(by_hand(q, k, v)[0][-1] - by_hand(q, k[places], v[places])[0][-1]).max()
#
# check(change)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [5 · Ένα μπλοκ](05_a_block.ipynb), όπου η προσοχή και ένα δίκτυο ενώνονται στο μέρος που επαναλαμβάνει ένα GPT.
