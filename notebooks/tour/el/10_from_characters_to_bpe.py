# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10 · Από τους χαρακτήρες στο BPE
#
# *Τι είναι ένα token;*
#
# Ως τώρα κάθε χαρακτήρας ήταν ένα token. Αυτό είναι απλό, αλλά μακραίνει τα κείμενα: συμφραζόμενα 256 tokens είναι λιγότερα από πέντε
# γραμμές. Θα μπορούσε κανείς να κάνει token κάθε λέξη, αλλά τι γίνεται τότε με μια λέξη που δεν εμφανίστηκε ποτέ στην εκπαίδευση; Η
# **κωδικοποίηση ζευγών byte** (byte pair encoding, BPE) βρίσκεται ανάμεσα στα δύο: ξεκινά από bytes, και το κείμενο εκπαίδευσης αποφασίζει
# ποια μεγαλύτερα tokens αξίζει να υπάρχουν. Θα τη γράψετε σε μια ντουζίνα γραμμές, και θα βρείτε ακριβώς τα tokens της βιβλιοθήκης.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
from collections import Counter

import numpy as np

from littlebaby import text as texts
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.tour import TrainingBar, exercise, picture
from littlebaby.text import bpe, nursery

workspace = temporary_workspace()       # εδώ μένουν τα runs αυτού του μαθήματος ώσπου να κλείσει ο kernel
print("workspace:", workspace)

# %% [markdown]
# ## Συγχωνεύσεις
# Ο αλγόριθμος επαναλαμβάνει ένα βήμα, που λέγεται **συγχώνευση** (merge): βρίσκει τα δύο γειτονικά tokens που εμφανίζονται μαζί πιο συχνά,
# και τα κάνει ένα token. Πριν από αυτό το κείμενο χωρίζεται σε κομμάτια (μια λέξη με το κενό πριν από αυτήν, ένας αριθμός, σημεία στίξης),
# γιατί οι συγχωνεύσεις δεν περνούν ποτέ τα όρια ενός κομματιού. Αρκεί λοιπόν να μετρήσουμε πόσο συχνά εμφανίζεται κάθε κομμάτι:

# %%
story, _ = nursery.corpus(120_000, seed=1)
pieces = Counter(bpe.translated(*bpe.GPT2).compiled.findall(story))
print(len(pieces), "διαφορετικά κομμάτια· τα συχνότερα:", pieces.most_common(6))

# %%
def most_frequent_pair(counts):
    """counts: {tokens ενός κομματιού: πόσο συχνά εμφανίζεται το κομμάτι}· εξίσου συχνά ζευγάρια έχουν τη σειρά των χαρακτήρων τους"""
    pairs = Counter()
    for tokens, n in counts.items():
        for pair in zip(tokens, tokens[1:]):
            pairs[pair] += n
    return max(pairs, key=lambda pair: (pairs[pair], [-ord(c) for c in "".join(pair)]))

def merge(tokens, pair):
    """Αντικαθιστά κάθε ζευγάρι `pair` γειτονικών tokens, από τα αριστερά, με ένα token"""
    out, i = [], 0
    while i < len(tokens):
        found = tuple(tokens[i:i + 2]) == pair
        out.append("".join(pair) if found else tokens[i])
        i += 1 + found
    return tuple(out)

counts = {tuple(piece.replace(" ", "Ġ").replace("\n", "Ċ")): n for piece, n in pieces.items()}     # το GPT-2 γράφει το κενό ως Ġ, την αλλαγή γραμμής ως Ċ
merges = []
for _ in range(40):
    pair = most_frequent_pair(counts)
    counts = {merge(tokens, pair): n for tokens, n in counts.items()}
    merges.append(pair)
print(" ".join("".join(pair) for pair in merges))

# %% [markdown]
# Αυτά είναι τα νέα tokens, με τη σειρά που βρέθηκαν: πρώτα ζευγάρια γραμμάτων, ύστερα κομμάτια λέξεων, ύστερα ολόκληρες λέξεις με το κενό
# τους. Η βιβλιοθήκη κάνει το ίδιο με έναν σωρό (heap), ώστε σαράντα χιλιάδες συγχωνεύσεις να θέλουν δευτερόλεπτα και όχι μέρες:

# %%
library = texts.train("bpe", story, 257 + 40)            # ένα token για το τέλος ενός κειμένου, 256 bytes, και 40 συγχωνεύσεις
print(f"ίδιες με τις συγχωνεύσεις της βιβλιοθήκης: {sum(a == b for a, b in zip(merges, library.merges))} από 40, με την ίδια σειρά")

# %% [markdown]
# ## Πόσο κονταίνει το κείμενο;
# Κάθε νέο token κονταίνει λίγο το κείμενο, αλλά μεγαλώνει την ενσωμάτωση και την κεφαλή εξόδου ενός μοντέλου. Πόσα tokens αξίζουν τον κόπο;

# %%
sizes = [257, 300, 350, 400, 500, 700, 1000]
tokenizers = [texts.train("bpe", story, size) for size in sizes]
axes = picture("χαρακτήρες ανά token, ανά μέγεθος του λεξιλογίου", height=3.2)
axes.plot([t.size for t in tokenizers], [len(story) / len(t.encode(story)) for t in tokenizers], "o-", color=TRAIN)
axes.set_ylim(0)
for t in (tokenizers[0], tokenizers[2], tokenizers[-1]):
    tokens = [t.decode([i]) for i in t.encode("Zoe hid a yellow mask beside a red door.")]
    print(f"λεξιλόγιο {t.size}: {'·'.join(tokens)}")

# %% [markdown]
# Το nursery έχει λίγες λέξεις, κι έτσι η καμπύλη τελειώνει νωρίς: όταν κάθε λέξη είναι ένα token, δεν μένει τίποτα για συγχώνευση, και η
# εκπαίδευση του tokenizer σταματά, εδώ με λεξιλόγιο 809 αντί για 1,000. Για μια πραγματική γλώσσα τα λεξιλόγια έχουν δεκάδες χιλιάδες
# tokens.
#
# ## Πόσο κοστίζει άλλο κείμενο;
# Ένας tokenizer ταιριάζει στο κείμενο με το οποίο εκπαιδεύτηκε. Αυτός εδώ εκπαιδεύτηκε με αγγλικές ιστορίες· πόσα tokens χρειάζεται για
# άλλο κείμενο;

# %%
t = tokenizers[-1]
for name, line in (("αγγλικά", "Once there was a kind fox named Ada."), ("αγγλ. κεφαλαία", "ONCE THERE WAS A KIND FOX NAMED ADA."),
                   ("γερμανικά", "Es war einmal ein lieber Fuchs."), ("ελληνικά", "Μια φορά ήταν μια καλή αλεπού."), ("ένας αριθμός", "3141592653589793")):
    n = len(t.encode(line))
    print(f"{name:17} {len(line):3} χαρακτήρες, {n:3} tokens, {n / len(line):.2f} tokens ανά χαρακτήρα")
    assert t.decode(t.encode(line)) == line

# %% [markdown]
# Κάθε κείμενο μπορεί να γίνει tokens: όπου δεν ταιριάζει κανένα μεγαλύτερο token, κάθε byte είναι ένα token. Τα ελληνικά όμως χρειάζονται
# πάνω από ένα token ανά *χαρακτήρα*, και τα κεφαλαία χρειάζονται σχεδόν τέσσερις φορές τόσα tokens όσα οι ίδιες λέξεις με πεζά. Οι ομιλητές
# πολλών γλωσσών πληρώνουν αυτό το τίμημα, σε χρήμα και σε μήκος συμφραζομένων, για tokenizers που εκπαιδεύτηκαν κυρίως με αγγλικά.
#
# ## Σύγκριση μοντέλων με διαφορετικούς tokenizers
# Οι απώλειες δύο μοντέλων με διαφορετικούς tokenizers δεν συγκρίνονται: το ένα μοντέλο προβλέπει έναν χαρακτήρα, το άλλο μισή λέξη, που
# είναι φυσικά δυσκολότερο. Συγκρίνεται όμως η απώλεια στο ίδιο *κείμενο*, σε **bits ανά χαρακτήρα** (bits per character).

# %% tags=["parameters"] small="settings = dict(n_ctx=32, n_emb=32, n_heads=4, n_layers=1, n_steps=30, batch_size=4)"
settings = dict(n_ctx=64, n_emb=48, n_heads=4, n_layers=2, n_steps=200, batch_size=8)

# %%
from math import log

results = {}
for kind in ("char", "bpe"):
    run = lb.train("nursery", "characters", progress=TrainingBar(), c_tokenizer=kind, s_vocabulary=600, n_completion=200, n_sample=0,
                   s_eval=settings["n_steps"], r_eval_overlap=0.0, **settings)
    report = run.report
    results[kind] = report.best_valid_loss, report.figures.bits_per_character
    print(f"{kind:5} λεξιλόγιο {report.vocabulary:3}   απώλεια {report.best_valid_loss:.3f} nats ανά token   "
          f"{report.figures.bits_per_character:.3f} bits ανά χαρακτήρα   {report.figures.parameters.total:,} βάρη")
    print("      ", " ".join(run.completion.text.split())[:110], "\n")
print(f"εντροπία του κειμένου: {nursery.floor(story) / log(2):.3f} bits ανά χαρακτήρα")

left, right = picture("nats ανά token: δεν συγκρίνονται", "bits ανά χαρακτήρα: συγκρίνονται· παύλες: εντροπία", height=2.6)
for axes, values in zip((left, right), zip(*results.values())):
    axes.bar(list(results), values, color=(TRAIN, VALID), width=0.5)
    for i, value in enumerate(values):
        axes.annotate(f"{value:.2f}", (i, value), (0, 3), textcoords="offset points", ha="center", color=INK)
    axes.margins(x=0.3, y=0.15)
right.axhline(nursery.floor(story) / log(2), color=FLOOR, ls=(0, (6, 3)));

# %% [markdown]
# Σε nats ανά token τα δύο μοιάζουν ισάξια. Σε bits ανά χαρακτήρα δεν είναι: ένα token του `bpe` έχει πολλούς χαρακτήρες, άρα η ίδια απώλεια
# ανά token είναι πολύ μικρότερη απώλεια ανά χαρακτήρα. Με τα ίδια βήματα και το ίδιο μήκος συμφραζομένων σε tokens, το μοντέλο με το `bpe`
# εκπαιδεύτηκε με πολλαπλάσιο κείμενο, έχει συμφραζόμενα πολλαπλάσια σε χαρακτήρες, και δεν χρειάζεται ποτέ να μάθει την ορθογραφία μιας
# λέξης. Το τίμημα είναι περισσότερα βάρη, γιατί η ενσωμάτωση και η κεφαλή εξόδου μεγαλώνουν μαζί με το λεξιλόγιο.
#
# ## Δοκιμάστε
# ### 1. Bits ανά χαρακτήρα
# Ένα μοντέλο έχει μέση απώλεια `nats` ανά token σε ένα κείμενο με `characters` χαρακτήρες, που ο tokenizer του το χωρίζει σε `tokens`
# tokens. Πόσα bits ανά χαρακτήρα είναι αυτό;

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=10, number=1)
def check(bits):
    a = bits(np.log(2), 100, 100)
    assert a is not None, "η bits επιστρέφει None: μετατρέψτε τα nats ολόκληρου του κειμένου σε bits, και διαιρέστε με τον αριθμό των χαρακτήρων του."
    assert abs(a - 1) < 1e-10, f"ln 2 nats ανά token, με τόσα tokens όσους χαρακτήρες, είναι 1 bit ανά χαρακτήρα· το αποτέλεσμά σας είναι {a:.3f}."
    b = bits(2.0, 100, 400)
    right = 2 * 100 / np.log(2) / 400
    assert abs(b - 2 / np.log(2)) > 1e-10, "αυτά είναι bits ανά token: πολλαπλασιάστε με τον αριθμό των tokens και διαιρέστε με τον αριθμό των χαρακτήρων."
    assert abs(b - 2 * 4 / np.log(2)) > 1e-10, "ανάποδα: ένα κείμενο με 100 tokens και 400 χαρακτήρες έχει λιγότερα bits ανά χαρακτήρα παρά ανά token."
    assert abs(b - right) < 1e-10, f"2 nats για καθένα από 100 tokens είναι {right:.4f} bits για καθέναν από 400 χαρακτήρες· το αποτέλεσμά σας είναι {b:.4f}."
    return f"μια απώλεια 2.0 ανά token τεσσάρων χαρακτήρων είναι καλύτερη από μια 0.6 ανά χαρακτήρα: {b:.3f} bits έναντι {0.6 / np.log(2):.3f}."

# %% tags=["exercise"]
def bits(nats, tokens, characters):
    """Bits ανά χαρακτήρα"""
    return None

check(bits)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def bits(nats, tokens, characters):
#     """Bits ανά χαρακτήρα"""
#     return nats * tokens / np.log(2) / characters
#
# check(bits)
# ```
#
# </details>

# %% [markdown]
# ### 2. Από μια λέξη στα tokens της
# Η εκπαίδευση ενός tokenizer δίνει τις συγχωνεύσεις. Για να χωρίσετε σε tokens μια νέα λέξη, ξεκινήστε από τους χαρακτήρες της έναν έναν
# και εφαρμόστε όλες τις συγχωνεύσεις *με τη σειρά που μαθεύτηκαν*. Γράψτε αυτή τη συνάρτηση· χρησιμοποιήστε τη `merge` από πιο πάνω.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=10, number=2)
def check(tokenize):
    trained = texts.train("bpe", story, 500)
    assert tokenize("Ġfox", trained.merges) is not None, "η tokenize επιστρέφει None: ξεκινήστε από το tuple(word), και καλέστε τη merge για κάθε ζευγάρι με τη σειρά."
    assert len(list(tokenize("Ġfox", trained.merges))) < 4, "το Ġfox είναι ακόμη σε μεμονωμένους χαρακτήρες: αντικαταστήστε τα tokens με αυτό που επιστρέφει η merge."
    for word in ("Ġfox", "Ġyellow", "ĠMonday", "Ġmarched", "Once", "Ġunheard"):
        right = tuple(trained.vocabulary[i] for i in trained.encode(word.replace("Ġ", " ")))
        got = tuple(tokenize(word, trained.merges))
        assert got == right, f"τα tokens του {word} πρέπει να είναι {' '.join(right)}· τα δικά σας είναι {' '.join(got)}."
    return "έξι λέξεις έχουν τα ίδια tokens όπως στη βιβλιοθήκη, ακόμη και μία που δεν υπάρχει στην ιστορία: " + "·".join(tokenize("Ġunheard", trained.merges))

# %% tags=["exercise"]
def tokenize(word, merges):
    """Τα tokens μιας λέξης· merges: [(αριστερό, δεξί), ...]"""
    return None

check(tokenize)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def tokenize(word, merges):
#     """Τα tokens μιας λέξης· merges: [(αριστερό, δεξί), ...]"""
#     tokens = tuple(word)
#     for pair in merges:
#         tokens = merge(tokens, tuple(pair))
#     return tokens
#
# check(tokenize)
# ```
#
# </details>

# %% [markdown]
# ### 3. Bytes
# Πόσα bytes χρειάζεται το UTF-8 για τα `e`, `é`, `ε` και `🦊`; Μαντέψτε πρώτα· ύστερα βάλτε τους τέσσερις αριθμούς σε μια λίστα. (Το
# `"é".encode()` επιστρέφει τα bytes.) Τόσα tokens χρειάζεται το καθένα, αν δεν εμφανίστηκε στο κείμενο εκπαίδευσης του tokenizer.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=10, number=3)
def check(lengths):
    assert lengths is not None, "βάλτε μια λίστα με τέσσερις αριθμούς στη θέση του None, λόγου χάρη [1, 1, 1, 1]."
    right = [len(c.encode()) for c in "eéε🦊"]
    assert len(lengths) == 4, f"οι χαρακτήρες είναι τέσσερις· η λίστα σας έχει {len(lengths)}."
    wrong = next((c for c, n, r in zip("eéε🦊", lengths, right) if n != r), None)
    assert wrong is None, f"το {wrong} δεν έχει τόσα bytes: υπολογίστε το len({wrong!r}.encode())."
    return f"{right} bytes· ο tokenizer της βιβλιοθήκης χωρίς καμία συγχώνευση χρειάζεται {[len(texts.train('bpe', story, 257).encode(c)) for c in 'eéε🦊']} tokens."

# %% tags=["exercise"]
lengths = None

check(lengths)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# lengths = [len(c.encode()) for c in "eéε🦊"]
#
# check(lengths)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [11 · Κάντε το δικό σας](11_make_it_yours.ipynb): το κείμενό σας, το μωρό σας, και μια συνομιλία.
