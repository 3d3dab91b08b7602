# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1 · Ένα μοντέλο είναι μια μαντεψιά
#
# *Τι ακολουθεί: `Zoe hid a yellow mask beside a red d…`;*
#
# Μαντέψατε `o`, και μάλιστα με σιγουριά. Αυτό είναι όλο κι όλο που κάνει ένα **γλωσσικό μοντέλο** (language model): διαβάζει το κείμενο ως
# εδώ και προβλέπει, για κάθε χαρακτήρα, την **πιθανότητα** να είναι ο επόμενος. Όλα τα άλλα σ' αυτή την περιήγηση (η προσοχή, οι ειδικοί, η
# συνομιλία) υπάρχουν για να γίνεται καλύτερη αυτή η πρόβλεψη. Πριν λοιπόν φτιάξουμε οτιδήποτε, ας δούμε πώς μετριέται το πόσο καλή είναι
# μια πρόβλεψη, και πόσο καλή μπορεί να γίνει αν απλώς μετράμε.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
from collections import Counter

import numpy as np

from littlebaby import arrays
from littlebaby import text as texts
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID
from littlebaby.show.tour import exercise, picture

# %% [markdown]
# Το κείμενο της περιήγησης λέγεται *nursery*, παιδικό δωμάτιο: μικρές ιστορίες, στα αγγλικά, που τις παράγει μια γραμματική γνωστή ως την
# τελευταία της λέξη. Είναι σπάνια πολυτέλεια. Για τον Σαίξπηρ ή τον Παπαδιαμάντη κανείς δεν ξέρει πόσο καλά μπορεί στην καλύτερη περίπτωση
# να προβλεφθεί ο επόμενος χαρακτήρας, δηλαδή την **εντροπία** (entropy) του κειμένου· για το nursery μπορούμε να την υπολογίσουμε.

# %%
from littlebaby.text import nursery

story, _ = nursery.corpus(120_000, seed=1)
floor = nursery.floor(story)
print(story[:330])

# %% [markdown]
# Ένα μοντέλο διαβάζει το κείμενο σε κομμάτια. Ένα τέτοιο κομμάτι λέγεται **token**· εδώ είναι ο κάθε χαρακτήρας (το δέκατο μάθημα έχει
# μεγαλύτερα). Το μοντέλο δουλεύει με αριθμούς, γι' αυτό κάθε token παίρνει από έναν, το **token id** του, σαν τον αριθμό μιας θέσης στο
# θέατρο. Ο κατάλογος όλων των tokens είναι το **λεξιλόγιο** (vocabulary), και αυτό που μεταφράζει από κείμενο σε ids και πίσω είναι ο
# **tokenizer**. Το τελευταίο έκτο του κειμένου το κρατάμε για **επικύρωση** (validation): ένα μοντέλο κρίνεται σε κείμενο με το οποίο δεν
# εκπαιδεύτηκε, όπως ένας μαθητής κρίνεται σε ερωτήσεις που δεν ήταν στο βιβλίο.

# %%
tokenizer = texts.train("char", story)
ids = tokenizer.encode(story)
V = tokenizer.size
seen, unseen = ids[:100_000], ids[100_000:]

print(V, "χαρακτήρες:", "".join(tokenizer.tokens()))
print("Zoe ->", tokenizer.encode("Zoe"), "->", tokenizer.decode(tokenizer.encode("Zoe")))

# %% [markdown]
# ## Πού πάει η περιήγηση
# Αυτό είναι ένα ολόκληρο **GPT** (generative pretrained transformer), το είδος του μοντέλου που στο τέλος θα έχετε φτιάξει, εκπαιδεύσει και
# αποσυναρμολογήσει. Αριστερά μπαίνει ένα κείμενο, ως token ids. Δεξιά βγαίνει μια πιθανότητα για κάθε token που θα μπορούσε να είναι το
# επόμενο.

# %%
from littlebaby.show.tour_pictures import gpt_picture

prompt = "hid a "
after = Counter(story[i + len(prompt)] for i in range(len(story)) if story.startswith(prompt, i))
gpt_picture("ένα ολόκληρο GPT· πάνω από κάθε μέρος: το μάθημα που το φτιάχνει", prompt, tokenizer.encode(prompt),
            [("ενσωμάτωση", "μάθημα 2"), ("μπλοκ 1", "μαθήματα 4, 5"), ("μπλοκ 2", ""), ("", ""), ("κεφαλή", "μάθημα 5"), ("softmax", "αυτό το μάθημα")],
            "επόμενος χαρακτήρας", {c: n / after.total() for c, n in after.items()})

# %% [markdown]
# Σ' αυτό το μάθημα αρχίζουμε από δεξιά, από τις πιθανότητες, και αφήνουμε έξω όλα τα άλλα: τα πιο απλά μοντέλα δεν έχουν κανένα μέρος. (Οι
# ράβδοι δείχνουν πόσο συχνά ακολουθεί πραγματικά ο κάθε χαρακτήρας το `hid a ` στο κείμενό μας. Ένα καλό μοντέλο θα προέβλεπε ακριβώς
# αυτό.)
#
# ## Το πρώτο μοντέλο: πόσο συχνά;
# Αν δεν κοιτάξουμε τους προηγούμενους χαρακτήρες, η καλύτερη δυνατή πρόβλεψη είναι η συχνότητα του κάθε χαρακτήρα.

# %%
often = np.bincount(seen, minlength=V)
p = often / often.sum()

axes = picture("η συχνότητα κάθε χαρακτήρα στο nursery")
order = np.argsort(-p)
axes.bar(range(V), p[order], color=TRAIN)
axes.set_xticks(range(V), [{" ": "␣", "\n": "⏎"}.get(c, c) for c in np.array(tokenizer.tokens())[order]], fontsize=7);

# %% [markdown]
# ## Πόσο καλή είναι μια πρόβλεψη;
# Το μοντέλο προέβλεψε το *o* με πιθανότητα $p$. Και ήρθε το *o*. Πόσο ξαφνιάστηκε; Θέλουμε μια έκπληξη που να είναι 0 όταν $p = 1$, και οι
# εκπλήξεις δύο ανεξάρτητων γεγονότων να προστίθενται, αφού οι πιθανότητές τους πολλαπλασιάζονται. Εκτός από τη μονάδα μέτρησης, μόνο μία
# συνάρτηση το πετυχαίνει: $-\ln p$, σε **nats**· διαιρεμένη με $\ln 2$ είναι σε bits.
#
# Η μέση έκπληξη σε ένα κείμενο είναι η **απώλεια** (loss), ή αλλιώς **διασταυρούμενη εντροπία** (cross-entropy). Είναι ο ένας αριθμός που η
# εκπαίδευση προσπαθεί να κατεβάσει. Η εκθετική της είναι η **perplexity**: ένα μοντέλο με perplexity 10 είναι τόσο αβέβαιο σαν να διάλεγε
# ανάμεσα σε 10 εξίσου πιθανούς χαρακτήρες.

# %%
uniform = -np.log(1 / V)                # καμία γνώση: όλοι οι χαρακτήρες εξίσου πιθανοί
single = -np.log(p[unseen]).mean()

print(f"ομοιόμορφη     {uniform:.3f} nats ανά χαρακτήρα, perplexity {np.exp(uniform):.1f}")
print(f"συχνότητες     {single:.3f} nats ανά χαρακτήρα, perplexity {np.exp(single):.1f}")
print(f"εντροπία       {floor:.3f} nats ανά χαρακτήρα, perplexity {np.exp(floor):.2f}")

# %% [markdown]
# Η τελευταία γραμμή είναι το όριο: όποιος ξέρει τη γραμματική του nursery διστάζει, κατά μέσο όρο, ανάμεσα σε λιγότερους από δύο
# χαρακτήρες. Κανένα μοντέλο δεν μπορεί να έχει μικρότερη απώλεια σε νέο κείμενο. Το μέτρημα έχει πολύ δρόμο ακόμη.
#
# Ένα μοντέλο που υπολογίζει την πρόβλεψή του δεν υπολογίζει πιθανότητες απευθείας. Υπολογίζει για κάθε token έναν οποιονδήποτε αριθμό, το
# **logit** του: όσο μεγαλύτερος, τόσο πιο πιθανό. Η **softmax** κάνει τα logits πιθανότητες: υψώνει το e στον καθένα, οπότε γίνονται
# θετικοί, και διαιρεί με το άθροισμα, $p_i = e^{z_i} / \sum_j e^{z_j}$. Και οι λογάριθμοι πιθανοτήτων είναι logits. Η βιβλιοθήκη υπολογίζει
# την απώλεια από logits. (Η `cross_entropy` επιστρέφει και μια συνάρτηση, το `back`· γι' αυτήν μιλάει το δεύτερο μάθημα.)

# %%
z = np.log(p)
print(f"μεγαλύτερη διαφορά ανάμεσα στη softmax(z) και στο p: {abs(np.exp(z) / np.exp(z).sum() - p).max():.0e}")

logits = np.tile(z, (len(unseen), 1))                    # η ίδια πρόβλεψη σε κάθε θέση, (N, V)
loss, back = arrays.cross_entropy(logits, unseen)
print(f"με το χέρι    {single:.12f}\nβιβλιοθήκη    {loss:.12f}\nδιαφορά       {abs(loss - single):.0e}")

# %% [markdown]
# ## Το δεύτερο μοντέλο: τι ακολουθεί τι;
# Μετά το `q` έρχεται το `u`. Ας μετρήσουμε λοιπόν ζευγάρια: μία γραμμή για κάθε χαρακτήρα, με το πόσες φορές ήρθε ο καθένας μετά από αυτόν.
# Κάθε γραμμή, διαιρεμένη με το άθροισμά της, είναι μια πρόβλεψη. Αυτό λέγεται **μοντέλο διγραμμάτων** (bigram model).

# %%
pairs = np.zeros((V, V))
np.add.at(pairs, (seen[:-1], seen[1:]), 1)
after = (pairs + 0.01) / (pairs + 0.01).sum(1, keepdims=True)      # το 0.01 προστίθεται σε κάθε μέτρηση, και σε ό,τι δεν φάνηκε ποτέ

double = -np.log(after[unseen[:-1], unseen[1:]]).mean()
print(f"ζευγάρια: {double:.3f} nats ανά χαρακτήρα, perplexity {np.exp(double):.1f}")

# %% [markdown]
# Αυτός είναι ο πίνακας. Ένα σκούρο τετράγωνο σημαίνει: μετά τον χαρακτήρα αριστερά, ο χαρακτήρας κάτω είναι πιθανός.

# %%
from littlebaby.show.variant_pictures import squares

letters = tokenizer.encode("".join(c for c in tokenizer.tokens() if c == " " or c.islower()))
axes = picture("μετά τον χαρακτήρα αριστερά έρχεται ο χαρακτήρας κάτω", height=5.2)
squares(axes, after[np.ix_(letters, letters)], axes.get_title(loc="left"))
for ticks in (axes.set_xticks, axes.set_yticks):
    ticks(range(len(letters)), ["␣", *tokenizer.decode(letters[1:])], fontsize=8)

# %% [markdown]
# ## Γιατί να μην κοιτάξουμε πιο πίσω;
# Με **συμφραζόμενα** (context) $k$ χαρακτήρων μετράμε τι ακολουθεί κάθε ομάδα $k$ χαρακτήρων. Όσο μεγαλύτερη η ομάδα τόσο πιο σπάνια είναι·
# όπου μια ομάδα δεν φάνηκε ποτέ, χρησιμοποιούμε την πρόβλεψη της μικρότερης: $p_k = (\text{φορές} + p_{k-1}) / (\text{όλες} + 1)$.

# %%
def count(text, k):
    """Πόσες φορές εμφανίζονται κάθε k + 1 χαρακτήρες, και πόσες κάθε k"""
    return Counter(text[i:i + k + 1] for i in range(len(text) - k)), Counter(text[i:i + k] for i in range(len(text) - k))

past, future = story[:100_000], story[100_000:]
tables = [count(past, k) for k in range(17)]

def probability(text, k):
    """Η πιθανότητα του τελευταίου χαρακτήρα, όταν ξέρουμε τους k πριν από αυτόν"""
    if k < 0:
        return 1 / V
    whole, group = tables[k]
    return (whole[text[-k - 1:]] + probability(text, k - 1)) / (group[text[-k - 1:-1]] + 1)

def loss_of(text, k, places):
    return np.mean([-np.log(probability(text[i - 16:i + 1], k)) for i in places])

places = range(16, 19_000, 5)
known = [loss_of(past, k, places) for k in range(17)]
new = [loss_of(future, k, places) for k in range(17)]

axes = picture("απώλεια σε nats ανά χαρακτήρα, ανάλογα με το μήκος των συμφραζομένων", height=3.6)
axes.plot(known, "o-", color=TRAIN, ms=4)
axes.plot(new, "o-", color=VALID, ms=4)
axes.axhline(floor, color=FLOOR, ls=(0, (6, 3)))
axes.annotate("εκπαίδευση", (4, known[4]), (-4, -16), textcoords="offset points", color=TRAIN, ha="right")
axes.annotate("επικύρωση", (16, new[16]), (-4, 9), textcoords="offset points", color=VALID, ha="right")
axes.annotate("εντροπία", (0, floor), (0, 4), textcoords="offset points", color=FLOOR)
axes.set_ylim(0)
best = int(np.argmin(new))
print(f"μικρότερη απώλεια επικύρωσης με συμφραζόμενα {best}: {new[best]:.3f} nats· απώλεια εκπαίδευσης εκεί {known[best]:.3f}, με 16 {known[16]:.3f}")
print(f"ομάδες των 2: {len(tables[2][1]):,}   των 6: {len(tables[6][1]):,}   των 16: {len(tables[16][1]):,}")

# %% [markdown]
# Τρία πράγματα αξίζουν δεύτερη ματιά.
#
# - Στο κείμενο της εκπαίδευσης η μπλε γραμμή πέφτει κάτω από την εντροπία. Κανείς δεν μπορεί να προβλέψει τόσο καλά το κείμενο· ο πίνακας
#   το *απομνημόνευσε*. Αυτό λέγεται **υπερπροσαρμογή** (overfitting), και γι' αυτό ένα μοντέλο κρίνεται πάντα σε κείμενο που δεν έχει δει.
# - Στο κείμενο επικύρωσης τα περισσότερα συμφραζόμενα από ένα σημείο και πέρα δεν ωφελούν, και ύστερα βλάπτουν: οι περισσότερες μακριές
#   ομάδες φάνηκαν μία φορά, και η μία περίπτωση περνά για κανόνας.
# - Ο πίνακας μεγαλώνει κι όλο μεγαλώνει. Δεν ξέρει ότι το `red door` και το `gold door` έχουν κάτι κοινό.
#
# ## Παραγωγή κειμένου
# Ένα μοντέλο που προβλέπει μπορεί και να παράγει κείμενο: τραβάμε τυχαία τον επόμενο χαρακτήρα, τον καθένα με την πιθανότητά του, τον
# γράφουμε στο τέλος, και ξανά από την αρχή. Αυτό λέγεται **δειγματοληψία** (sampling)· το έκτο μάθημα μιλάει μόνο γι' αυτήν.

# %%
def write(k, n=160, seed=0):
    rng, out = np.random.default_rng(seed), "\n\n"
    for _ in range(n):
        view = out[-k:] if k else ""
        p = np.array([probability(view.rjust(k) + c, k) for c in tokenizer.tokens()])
        out += rng.choice(tokenizer.tokens(), p=p / p.sum())
    return out.strip()

for k in (0, 1, 3, 8):
    print(f"--- συμφραζόμενα {k}\n{write(k)}\n")

# %% [markdown]
# Με συμφραζόμενα οκτώ χαρακτήρων θυμίζει το nursery. Ρωτήστε το όμως ποιος κοιμάται στο τέλος της ιστορίας: το όνομα ειπώθηκε πριν από
# τριακόσιους χαρακτήρες, κι εκείνο κοίταξε οκτώ. Για να βλέπει μακριά *και* να γενικεύει, η πρόβλεψη πρέπει να υπολογίζεται, όχι να
# αναζητείται σε πίνακα. Αυτό χτίζουν τα επόμενα μαθήματα.
#
# ## Δοκιμάστε
# Βάλτε την απάντησή σας στη θέση του `None` και τρέξτε το κελί· απαντά με ✓, ή με ✗ και μια υπόδειξη. Οι λύσεις είναι διπλωμένες από κάτω
# τους.
#
# ### 1. Ο καιρός
# Βρέχει επτά μέρες στις δέκα. Ένας μετεωρολόγος λέει κάθε πρωί: «βροχή, με πιθανότητα $p$». Υπολογίστε τη μέση έκπληξη ανά ημέρα, σε nats·
# μια στεγνή μέρα η πιθανότητα αυτού που έγινε ήταν $1 - p$. Ποιο $p$ κοστίζει λιγότερο; Συμφέρει να υπερβάλλει κανείς;

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=1, number=1)
def check(cost):
    value = cost(0.9)
    assert value is not None, "η cost επιστρέφει None: επιστρέψτε τη μέση έκπληξη, όπου η βροχή μετράει όσο συχνά έρχεται, και η στεγνή μέρα επίσης."
    assert value > 0, "μια έκπληξη δεν είναι αρνητική: είναι *μείον* ο λογάριθμος της πιθανότητας."
    assert abs(cost(0.5) - np.log(2)) < 1e-10, f"με p = 0.5 η έκπληξη είναι κάθε μέρα ln 2 = 0.693· η συνάρτησή σας δίνει {cost(0.5):.3f}."
    assert abs(value + 0.7 * np.log(0.9) + 0.3 * np.log(0.1)) < 1e-10, "με p = 0.9 μια στεγνή μέρα, τρεις στις δέκα, πρέπει να κοστίζει -ln 0.1."
    grid = np.linspace(0.01, 0.99, 99)
    return f"η απώλεια είναι μικρότερη στο {grid[np.argmin([cost(q) for q in grid])]:.2f}, την αληθινή πιθανότητα: όποιος την κατεβάζει γίνεται ειλικρινής."

# %% tags=["exercise"]
def cost(p):
    """Nats ανά ημέρα για όποιον προβλέπει «βροχή, με πιθανότητα p» εκεί όπου βρέχει επτά μέρες στις δέκα"""
    return None

check(cost)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def cost(p):
#     """Nats ανά ημέρα για όποιον προβλέπει «βροχή, με πιθανότητα p» εκεί όπου βρέχει επτά μέρες στις δέκα"""
#     return -0.7 * np.log(p) - 0.3 * np.log(1 - p)
#
# check(cost)
# ```
#
# </details>

# %% [markdown]
# ### 2. Bits
# Ένα πρόγραμμα συμπίεσης που χρησιμοποιεί τις προβλέψεις ενός μοντέλου χρειάζεται ένα bit για κάθε bit απώλειας. Πόσα *bytes* θα χρειαζόταν
# το μοντέλο των ζευγαριών για όλο το `unseen`; (Η απώλειά του `double` είναι σε nats ανά χαρακτήρα, και $\ln 2$ nats κάνουν ένα bit.)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=1, number=2)
def check(size):
    right = double / np.log(2) / 8 * len(unseen)
    assert size is not None, "βάλτε έναν αριθμό στη θέση του None: nats ανά χαρακτήρα, σε bits, σε bytes, επί τους χαρακτήρες του `unseen`."
    assert abs(size / right - 8) > 1e-3, "αυτός είναι ο αριθμός των bits· οκτώ κάνουν ένα byte."
    assert abs(size / right - np.log(2)) > 1e-3, "έτσι τα nats μετρούν σαν να ήταν bits: διαιρέστε με ln 2."
    assert abs(size / right * len(unseen) - 1) > 1e-3, "τόσο χρειάζεται κατά μέσο όρο ένας χαρακτήρας: επί τους χαρακτήρες του `unseen`."
    assert abs(size / right - 1) < 1e-3, f"η απάντησή σας είναι {size:,.0f}· διαιρέστε τα nats με ln 2 για bits και με 8 για bytes, και μετρήστε όλο το `unseen`."
    return f"{size:,.0f} bytes αντί για {len(unseen):,}: κάθε γλωσσικό μοντέλο μπορεί να συμπιέσει κείμενο, και το καλύτερο συμπιέζει περισσότερο."

# %% tags=["exercise"]
size = None

check(size)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# size = double / np.log(2) / 8 * len(unseen)
#
# check(size)
# ```
#
# </details>

# %% [markdown]
# ### 3. Ποτέ μη λες ποτέ
# Πιο πάνω προσθέσαμε 0.01 σε κάθε μέτρηση (λέγεται **εξομάλυνση**, smoothing). Χωρίς αυτό η απώλεια σε νέο κείμενο είναι άπειρη: ένα
# ζευγάρι που δεν φάνηκε ποτέ έχει πιθανότητα 0, και η έκπληξή του είναι άπειρη. Υπολογίστε την πρόβλεψη για οποιοδήποτε `a` στη θέση του
# 0.01.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=1, number=3)
def check(guess):
    p = guess(pairs, 0.5)
    assert p is not None, "η guess επιστρέφει None: προσθέστε το a σε κάθε μέτρηση και διαιρέστε κάθε γραμμή με το άθροισμά της."
    assert np.shape(p) == (V, V) and np.allclose(np.sum(p, 1), 1), \
        "κάθε γραμμή πρέπει να δίνει άθροισμα 1: αφού προσθέσετε το a, διαιρέστε κάθε γραμμή με το άθροισμά της, .sum(1, keepdims=True)."
    assert np.allclose(p, (pairs + 0.5) / (pairs + 0.5).sum(1, keepdims=True)), "προσθέστε το ίδιο a σε κάθε μέτρηση, πριν διαιρέσετε."
    with np.errstate(divide="ignore"):
        cost = lambda a: -np.log(guess(pairs, a)[unseen[:-1], unseen[1:]]).mean()
        return "  ".join(f"a = {a}: {cost(a):.3f}" for a in (0.001, 0.1, 10, 1000)) + "   η πολλή εξομάλυνση κρύβει όσα μετρήθηκαν."

# %% tags=["exercise"]
def guess(counts, a):
    """(V, V) μετρήσεις -> (V, V) πιθανότητες, κάθε γραμμή μια πρόβλεψη"""
    return None

check(guess)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def guess(counts, a):
#     """(V, V) μετρήσεις -> (V, V) πιθανότητες, κάθε γραμμή μια πρόβλεψη"""
#     return (counts + a) / (counts + a).sum(1, keepdims=True)
#
# check(guess)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [2 · Ένα στρώμα και το οπίσθιο πέρασμά του](02_a_layer_and_its_backward.ipynb), όπου η πρόβλεψη υπολογίζεται, και
# μαθαίνεται.
