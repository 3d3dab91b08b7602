# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 15 · Ανταμοιβές
#
# *Πώς μαθαίνει ένα μοντέλο από μια κρίση, όταν κανείς δεν του δείχνει το σωστό κείμενο;*
#
# Ως τώρα υπήρχε πάντα ένα κείμενο προς μίμηση. Συχνά όμως είναι ευκολότερο να πει κανείς αν ένα κείμενο είναι καλό παρά να γράψει ένα καλό
# κείμενο. Στην **ενισχυτική μάθηση** (reinforcement learning) το μοντέλο γράφει δικά του κείμενα, μια συνάρτηση κρίνει το καθένα με έναν
# αριθμό, την **ανταμοιβή** (reward), και το μοντέλο αλλάζει έτσι ώστε η μέση ανταμοιβή του να μεγαλώνει. Αυτό πετυχαίνει, καμιά φορά
# υπερβολικά καλά: το μοντέλο κάνει ό,τι λέει η ανταμοιβή, όχι ό,τι εννοούσατε.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np
from threadpoolctl import threadpool_limits

from littlebaby.runs.store import temporary_workspace
from littlebaby.show.charts import FLOOR, GRAY, PALE, TRAIN, VALID
from littlebaby.show.tour import TrainingBar, exercise, picture
from littlebaby.text import stories

workspace = temporary_workspace()       # εδώ μένουν τα runs αυτού του μαθήματος ώσπου να κλείσει ο kernel
print("workspace:", workspace)
threadpool_limits(1)                    # ένα τόσο μικρό μοντέλο τρέχει ταχύτερα σε έναν πυρήνα
rng = np.random.default_rng(0)

# %% [markdown]
# ## Ένα μωρό που κάνει λάθη
# Εκπαιδεύουμε ένα μικρό μωρό με το nursery, όπως στο έβδομο μάθημα, με έναν tokenizer BPE 512 tokens, και σταματάμε νωρίς. Οι περισσότερες
# λέξεις του είναι σωστές. Οι περισσότερες ιστορίες του δεν είναι, και η γραμματική του nursery βρίσκει κάθε λάθος: ένα παιχνίδι που αλλάζει
# χρώμα, έναν φίλο με καινούργιο όνομα.

# %% tags=["parameters"] small="base_steps, hand_steps, school_steps = 30, 2, 2"
base_steps, hand_steps, school_steps = 1000, 16, 30

# %%
base = lb.train("nursery", "characters", c_tokenizer="bpe", s_vocabulary=512, n_ctx=128, n_emb=64, n_heads=4, n_layers=2, batch_size=8,
                r_learn=0.006, n_steps=base_steps, s_eval=10_000, n_sample=0, n_completion=0, progress=TrainingBar())
baby = lb.load(base.guid)
start = baby.encode(baby.tokenizer.begin)                        # μια κενή γραμμή, που χωρίζει τις ιστορίες

for new in baby.generate(np.tile(start, (3, 1)), 110, seed=1):
    print("-", baby.decode(new).strip().split("\n\n")[0])

# %% [markdown]
# ## Πώς μαθαίνει κανείς από έναν αριθμό;
# Πάρτε ένα μοντέλο με μία πρόβλεψη και τρία tokens. Τραβά το token $i$ με πιθανότητα $p_i$, και η ανταμοιβή αυτού του token είναι $r_i$. Η
# μέση ανταμοιβή είναι $J = \sum_i p_i r_i$. Θέλουμε την κλίση της, αν και η ανταμοιβή είναι μια συνάρτηση χωρίς παράγωγο. Δεν χρειάζεται
# όμως παράγωγο, γιατί από τα βάρη εξαρτώνται μόνο οι πιθανότητες. Αφού $d \ln p = dp / p$,
#
# $$dJ = \sum_i r_i \, dp_i = \sum_i p_i \; r_i \, d \ln p_i$$
#
# Αυτό το βήμα λέγεται **κόλπο της λογαριθμικής παραγώγου** (log-derivative trick). Το άθροισμα σε όλα τα tokens, όπου το καθένα έχει την
# πιθανότητά του, είναι ένας μέσος όρος δειγμάτων: τραβήξτε tokens, και πάρτε τον μέσο όρο του $r \, d \ln p$ σε αυτά. Το αποτέλεσμα λέγεται
# **κλίση πολιτικής** (policy gradient, Williams 1992). Για μια softmax το $d \ln p_i$ είναι γνωστό από το δεύτερο μάθημα: ως προς τα logits
# είναι 1 στο token $i$ και 0 αλλού, μείον $p$.

# %%
tokens, z, r = ("cat", "fox", "owl"), np.array([1.0, 0.3, -0.2]), np.array([0.0, 0.0, 1.0])

def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()

def push(z, i):
    """Η κλίση του ln p_i ως προς τα logits"""
    return np.eye(3)[i] - softmax(z)

p = softmax(z)
moves = [("πιθανότητες", 0 * z), ("βγήκε owl, καλό: +1", push(z, 2)), ("βγήκε cat, κακό: -1", -push(z, 0))]
for axes, (heading, change) in zip(picture(*(heading for heading, _ in moves), height=2.6), moves):
    after = softmax(z + change)
    axes.bar(tokens, p, color=PALE)
    axes.bar(tokens, after, width=0.5, color=TRAIN)
    axes.set_ylim(0, 0.8)
    for i in range(3):
        axes.annotate(f"{after[i]:.0%}", (i, max(p[i], after[i])), (0, 3), textcoords="offset points", ha="center", color=GRAY)

formula = sum(p[i] * r[i] * push(z, i) for i in range(3))
drawn = rng.choice(3, size=10_000, p=p)
slope = [(softmax(z + h) @ r - softmax(z - h) @ r) / 2e-5 for h in 1e-5 * np.eye(3)]
print("κλίση της μέσης ανταμοιβής: πεπερασμένες διαφορές", np.round(slope, 3), " τύπος", np.round(formula, 3),
      " μέσος όρος 10,000 δειγμάτων", np.round(np.mean([r[i] * push(z, i) for i in drawn], 0), 3))

# %% [markdown]
# Οι φαρδιές ράβδοι είναι οι πιθανότητες πριν, οι στενές είναι οι πιθανότητες μετά από ένα βήμα με μέγεθος 1. Όταν ένα token βγαίνει και
# παίρνει θετικό αριθμό, γίνεται πιθανότερο και όλα τα άλλα λιγότερο πιθανά· με αρνητικό αριθμό γίνεται το αντίθετο.
#
# Ποιον αριθμό πρέπει να πάρει ένα δείγμα; Όχι την ίδια την ανταμοιβή: αν όλες οι ανταμοιβές είναι θετικές, κάθε δείγμα σπρώχνει προς τα
# πάνω, και αποφασίζει η τύχη. Σημασία έχει αν ένα δείγμα είναι καλύτερο από τα άλλα. Αφαιρούμε λοιπόν μια **βάση σύγκρισης** (baseline), τη
# μέση ανταμοιβή των άλλων δειγμάτων, και η διαφορά είναι το **πλεονέκτημα** (advantage) του δείγματος. Αυτό δεν αλλάζει τον μέσο όρο της
# κλίσης, γιατί $\sum_i p_i \, d \ln p_i = d \sum_i p_i = d\,1 = 0$· αφαιρεί μόνο θόρυβο.
#
# ## Με το χέρι
# Ένα κείμενο βγαίνει με πολλά τραβήγματα στη σειρά, άρα το $\ln p$ του είναι το άθροισμα στα tokens του, δηλαδή μείον η απώλεια επί τον
# αριθμό τους. Έχουμε λοιπόν την κλίση από το δεύτερο μάθημα. Να ολόκληρη η μέθοδος. Το μωρό γράφει τα πρώτα 16 tokens ιστοριών, και η
# ανταμοιβή είναι 1 για ένα κείμενο με γάτα (cat).

# %%
learner, n, length, rate = lb.load(base.guid), 32, 16, 0.02
weights, cats = learner.weights(), []

for step in range(hand_steps):
    new = learner.generate(np.tile(start, (n, 1)), length, seed=1000 * step)               # δειγματοληψία: (n, length)
    texts = [learner.decode(row) for row in new]
    rewards = np.array([float(" cat" in text) for text in texts])                          # κρίση
    advantages = (rewards - rewards.mean()) * n / (n - 1)                                  # = ανταμοιβή - μέσος όρος των άλλων
    total = {name: np.zeros_like(w) for name, w in weights.items()}
    for advantage, row in zip(advantages, new):
        ids = np.concatenate([start, row])
        targets = np.where(np.arange(1, len(ids)) < len(start), -1, ids[1:])               # η προτροπή δεν είναι στόχος
        for name, g in learner.loss_and_grads(ids[:-1], targets)[1].items():               # η κλίση του -ln p / length
            total[name] += np.float32(advantage * length / n) * g
    for name, w in weights.items():
        w -= np.float32(rate) * total[name]
    cats.append(rewards.mean())

axes = picture("ποσοστό των κειμένων με γάτα, ανά βήμα", height=2.4)
axes.plot(range(1, hand_steps + 1), cats, "o-", ms=4, color=TRAIN)
axes.set_ylim(0, 1.05)
for text in texts[:5]:
    print("-", " ".join(text.split()))

# %% [markdown]
# Μέσα σε λίγα βήματα σχεδόν όλα τα κείμενα έχουν μια γάτα, αν και κανείς δεν έδειξε στο μωρό ούτε ένα από αυτά τα κείμενα. Διαβάστε τα
# όμως. Θέλαμε ιστορίες για γάτες. Δεν είπαμε αυτό· είπαμε ότι πρέπει να υπάρχει η λέξη.
#
# ## Με τη βιβλιοθήκη
# Η `lb.school` κάνει το ίδιο με ολόκληρες ιστορίες και με όσα ξέρετε από το έβδομο μάθημα: Adam, περικοπή, όλους τους πυρήνες. Η
# προκαθορισμένη μέθοδός της είναι η `grpo`, που επιπλέον διαιρεί τα πλεονεκτήματα με την τυπική τους απόκλιση. Μια πρώτη ανταμοιβή που
# ακούγεται λογική: το μισό του ποσοστού των προτάσεων που επιτρέπει η γραμματική, και μισός πόντος για μια ιστορία που είναι σωστή από την
# αρχή ως το τέλος.

# %%
def school(reward, **settings):
    return lb.school(base.guid, reward=reward, n_steps=school_steps, r_learn=1.5e-3, batch_size=16, n_accumulate=2, s_eval=1, n_completion=0,
                     progress=TrainingBar(), **settings)

def curve(run, measure):
    return np.array([getattr(row.measures, measure) for row in run.report.evaluations])

def show(run):
    """Τα δείγματα πριν και μετά σε αριθμούς, και δύο από αυτά"""
    for moment, judged in (("πριν", run.report.school.before), ("μετά", run.report.school.after)):
        right = f"σωστές προτάσεις {judged.marks.sentences:4.0%}, σωστές ιστορίες {judged.marks.stories:3.0%}" if judged.marks else ""
        print(f"{moment:6} ανταμοιβή {judged.reward:.2f}, {right}, μήκος {judged.length:3.0f}, διαφορετικά {judged.distinct:.0%}")
    for text in run.report.school.after.texts[:2]:
        print("-", " ".join(text.split())[:300])

def mostly_right(prompt, text):
    marks = stories.marks(prompt + text + stories.END)
    return (marks.sentences + marks.stories) / 2 if marks else 0.0

first = school(mostly_right)
for axes, measure in zip(picture("μέση ανταμοιβή, ανά βήμα", "μέσο μήκος μιας ιστορίας, tokens", height=2.6), ("reward", "length")):
    axes.plot(curve(first, measure), color=TRAIN)
    axes.set_ylim(0)
show(first)

# %% [markdown]
# Η ανταμοιβή είναι αρκετές φορές μεγαλύτερη. Και οι ιστορίες σχεδόν δεν είναι πια ιστορίες: μία ή δύο προτάσεις, και τέλος. Ένα σύντομο
# κείμενο έχει λίγα σημεία για λάθη, άρα το ποσοστό των σωστών προτάσεών του είναι υψηλό· για τον μισό πόντο μιας ολόκληρης ιστορίας το μωρό
# ήταν πολύ αδύναμο. Οι σωστές ιστορίες, που πριν υπήρχαν, έγιναν σπανιότερες. Όταν ένα μοντέλο ανεβάζει την ανταμοιβή του με τρόπο που δεν
# τον εννοούσαμε, αυτό λέγεται **εκμετάλλευση της ανταμοιβής** (reward hacking). Δεν υπάρχει κακία εδώ: η κλίση ακολουθεί τον συντομότερο
# δρόμο προς τα πάνω. Γι' αυτό η ανταμοιβή που έχει η ίδια η βιβλιοθήκη για τις ιστορίες, η `nursery`, διαιρεί τον αριθμό των σωστών
# προτάσεων με τουλάχιστον έξι, το μήκος της συντομότερης ιστορίας: μία μόνη σωστή πρόταση αξίζει ένα δωδέκατο του πόντου.
#
# ## Μια κακή ανταμοιβή
# Τώρα μια ανταμοιβή γραμμένη πραγματικά άσχημα. Θα θέλαμε πιο χαρούμενες ιστορίες, άρα μετράμε: τι ποσοστό των λέξεων είναι *happy*; Εκτός
# από την ανταμοιβή, τρία μεγέθη λένε τι συμβαίνει. Η εντροπία των προβλέψεων πέφτει όταν το μοντέλο γράφει πάντα το ίδιο. Το ίδιο κάνει και
# το ποσοστό των διαφορετικών κειμένων ανάμεσα σε 200 δείγματα. Και η **απόκλιση KL** (KL divergence) λέει πόσο έχει απομακρυνθεί το μοντέλο
# από το μοντέλο βάσης: είναι ο μέσος όρος του $\ln (p / q)$ στα tokens που γράφει, όπου $p$ είναι η δική του πιθανότητα και $q$ του
# μοντέλου βάσης· 0 αν οι δύο είναι ίσες.

# %%
def happiness(prompt, text):
    return text.count("happy") / max(1, len(text.split()))

bad = school(happiness)
show(bad)
print(f"εντροπία {curve(bad, 'entropy')[0]:.2f} -> {curve(bad, 'entropy')[-1]:.2f} nats ανά token, απόκλιση KL {curve(bad, 'kl')[-1]:.1f} nats ανά token")

# %% [markdown]
# Το ίδιο ξανά και ξανά, και η ανταμοιβή είναι σχεδόν τέλεια. Όποιος κοιτάζει μόνο την ανταμοιβή βλέπει μια μεγάλη επιτυχία.
#
# ## Δύο τρόποι διόρθωσης
# Ο πρώτος είναι ένα λουρί: από την ανταμοιβή αφαιρείται η απόκλιση KL επί ένα βάρος, ώστε κάθε βήμα μακριά από το μοντέλο βάσης να έχει ένα
# κόστος. Το `r_kl` είναι αυτό το βάρος· το προκαθορισμένο είναι 0.02, κι εμείς βάζουμε 0.3. Ο δεύτερος είναι μια καλύτερη ανταμοιβή, που
# λέει ό,τι εννοούμε: μια ιστορία που περιέχει το *happy* και είναι σωστή. Μετρά τις σωστές προτάσεις ως το πρώτο λάθος, το πολύ πέντε, κι
# έτσι ένα σύντομο κείμενο δεν κερδίζει τίποτα.

# %%
def right_and_happy(prompt, text):
    end = stories.parse(text + stories.END).end                  # ο πρώτος χαρακτήρας που δεν θα τον είχε εκεί καμία ιστορία
    right = sum(mark.end() <= end for mark in stories.SENTENCE_END.finditer(text + stories.END))
    return min(right, 5) / 5 * ("happy" in text[:end])

leashed = school(happiness, r_kl=0.3)
show(leashed)
print()
mended = school(right_and_happy)
show(mended)

runs = (("κακή ανταμοιβή", bad, VALID), ("με λουρί", leashed, GRAY), ("καλύτερη ανταμοιβή", mended, FLOOR))
panels = picture("ποσοστό λέξεων happy", "εντροπία, nats", "απόκλιση KL, nats", height=2.8)
for name, run, color in runs:
    for axes, measure in zip(panels, ("reward", "entropy", "kl")):
        if measure != "reward" or run is not mended:              # η δική της ανταμοιβή έχει άλλη κλίμακα
            axes.plot(curve(run, measure), color=color)
for i, (name, _, color) in enumerate(runs):
    panels[2].text(0.04, 0.92 - 0.1 * i, name, color=color, transform=panels[2].transAxes)

# %% [markdown]
# Το λουρί κρατά το μωρό κοντά στη δική του γλώσσα, με τίμημα μια μικρότερη ανταμοιβή: επιβραδύνει την εκμετάλλευση, αλλά δεν ξέρει τι
# εννοούσαμε. Η καλύτερη ανταμοιβή φέρνει χαρούμενα ζώα *και* περισσότερες σωστές προτάσεις από πριν. Διαβάστε τα δείγματά της ως το τέλος:
# μετά την πέμπτη σωστή πρόταση δεν μετράει πια τίποτα, κι εκεί το κείμενο μπορεί να χαλάσει. Κάθε ανταμοιβή έχει κενά. Πριν πιστέψετε μια
# καμπύλη, κοιτάξτε λοιπόν δείγματα, ένα μέγεθος που δεν ανταμείβεται, και την απόκλιση KL.
#
# Σε ένα κέλυφος το ίδιο κάνει η εντολή `littlebaby school last`· στο [docs/school.md](../../../docs/school.md), στα αγγλικά, είναι όλες οι
# μέθοδοι και οι ρυθμίσεις.
#
# ## Δοκιμάστε
# ### 1. Καλύτερο από τα άλλα
# Το `r` $(n)$ είναι οι ανταμοιβές $n$ δειγμάτων. Επιστρέψτε τα πλεονεκτήματά τους: κάθε ανταμοιβή μείον τον μέσο όρο των *άλλων*
# ανταμοιβών.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
from littlebaby.training.school import reinforce

@exercise(lesson=15, number=1)
def check(advantages):
    r = np.array([1.0, 0.0, 0.0, 3.0])
    found = advantages(r)
    assert found is not None, "η advantages επιστρέφει None: αφαιρέστε από κάθε ανταμοιβή τον μέσο όρο των άλλων."
    assert np.shape(found) == (4,), f"επιστρέψτε ένα πλεονέκτημα για καθεμία από τις 4 ανταμοιβές· το αποτέλεσμά σας έχει σχήμα {np.shape(found)}."
    assert not np.allclose(found, r - r.mean()), "έτσι αφαιρείται ο μέσος όρος όλων· η ανταμοιβή του ίδιου του δείγματος δεν ανήκει στη βάση σύγκρισής του."
    assert not np.allclose(found, r - (r.sum() - r)), "έτσι αφαιρείται το άθροισμα των άλλων· διαιρέστε το με τον αριθμό τους, n - 1."
    assert not np.allclose(found, (r.sum() - r) / 3 - r), "το πρόσημο είναι λάθος: ένα δείγμα καλύτερο από τα άλλα έχει θετικό πλεονέκτημα."
    assert np.allclose(found, r - (r.sum() - r) / 3), f"για 1, 0, 0, 3 το τελευταίο πλεονέκτημα είναι 3 - 1/3 = 2.67· το δικό σας είναι {found[3]:.2f}."
    drawn = rng.random(8)
    assert np.allclose(advantages(drawn), reinforce.advantages(drawn[None], None)[0]), "όταν οι ανταμοιβές είναι 8, οι άλλες είναι 7."
    return f"όπως στη βιβλιοθήκη· το άθροισμά τους είναι {abs(found.sum()):.0f}, άρα από ίσες ανταμοιβές δεν μαθαίνει κανείς τίποτα."

# %% tags=["exercise"]
def advantages(r):
    """r (n) ανταμοιβές -> (n)"""
    return None

check(advantages)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def advantages(r):
#     """r (n) ανταμοιβές -> (n)"""
#     return r - (r.sum() - r) / (len(r) - 1)
#
# check(advantages)
# ```
#
# </details>

# %% [markdown]
# ### 2. Η κλίση στα logits
# Από τη softmax των logits `z` $(V)$ τραβήχτηκε το token `i`, και το πλεονέκτημά του είναι `a`. Η εκπαίδευση ελαχιστοποιεί το $-a \ln p_i$.
# Επιστρέψτε την κλίση ως προς το `z`.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=15, number=2)
def check(policy_gradient):
    z, i, a = rng.standard_normal(5), 3, 0.7
    found, p = policy_gradient(z, i, a), np.exp(z) / np.exp(z).sum()
    assert found is not None, "η policy_gradient επιστρέφει None: αρχίστε με τη softmax(z)."
    assert np.shape(found) == (5,), f"επιστρέψτε έναν αριθμό για καθένα από τα 5 logits· το αποτέλεσμά σας έχει σχήμα {np.shape(found)}."
    right = a * (p - np.eye(5)[i])
    assert not np.allclose(found, -right), "αυτή είναι η κλίση του a ln p· η εκπαίδευση ελαχιστοποιεί, άρα η απώλεια έχει ένα μείον."
    assert not np.allclose(found, right / a), "αυτή είναι η κλίση του -ln p· πολλαπλασιάστε τη με το πλεονέκτημα."
    assert not np.allclose(found, a * p), "το token που τραβήχτηκε έχει έναν όρο παραπάνω: ln p_i = z_i - ln(άθροισμα των e υψωμένων στα z)."
    assert np.allclose(found, right), f"η κλίση στο token που τραβήχτηκε πρέπει να είναι {right[i]:.3f}· η δική σας είναι {found[i]:.3f}."
    return f"με αρνητικό πλεονέκτημα το ίδιο token σπρώχνεται προς τα κάτω: η κλίση του είναι {policy_gradient(z, i, -a)[i]:+.2f} αντί για {found[i]:+.2f}."

# %% tags=["exercise"]
def policy_gradient(z, i, a):
    """z (V) logits, i το token που τραβήχτηκε, a το πλεονέκτημά του -> η κλίση του -a ln p_i ως προς το z, (V)"""
    return None

check(policy_gradient)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def policy_gradient(z, i, a):
#     """z (V) logits, i το token που τραβήχτηκε, a το πλεονέκτημά του -> η κλίση του -a ln p_i ως προς το z, (V)"""
#     g = a * softmax(z)
#     g[i] -= a
#     return g
#
# check(policy_gradient)
# ```
#
# </details>

# %% [markdown]
# ### 3. Πόσο μακριά έφτασε;
# Τα `p` και `q` $(V)$ είναι οι πιθανότητες που δίνουν δύο μοντέλα στο επόμενο token. Επιστρέψτε την απόκλιση KL του `p` από το `q`: τον
# μέσο όρο του $\ln (p / q)$ σε tokens που τραβιούνται από το `p`. Αρκεί ένα άθροισμα, δεν χρειάζεται να τραβηχτεί τίποτα.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=15, number=3)
def check(divergence):
    p, q = np.array([0.5, 0.4, 0.1]), np.array([0.2, 0.3, 0.5])
    found = divergence(p, q)
    assert found is not None, "η divergence επιστρέφει None: αθροίστε το p ln(p / q) σε όλα τα tokens."
    assert np.ndim(found) == 0, f"επιστρέψτε έναν αριθμό· το αποτέλεσμά σας έχει σχήμα {np.shape(found)}."
    assert not np.isclose(found, (q * np.log(q / p)).sum()), "τα p και q είναι ανάποδα· τα tokens τραβιούνται από το p."
    assert not np.isclose(found, np.log(p / q).mean()), "έτσι μετράνε όλα τα tokens το ίδιο· όσα τραβιούνται από το p βγαίνουν με πιθανότητα p."
    assert not np.isclose(found, -(p * np.log(p / q)).sum()), "το πρόσημο είναι λάθος· μια απόκλιση KL δεν είναι ποτέ αρνητική."
    assert np.isclose(found, (p * np.log(p / q)).sum()), f"για τα δύο πρώτα μοντέλα πρέπει να είναι {(p * np.log(p / q)).sum():.3f} nats· το αποτέλεσμά σας είναι {found:.3f}."
    first = lambda run: softmax(lb.load(run.guid).logits(start[None])[0, -1].astype(float))
    return (f"στο πρώτο token μιας ιστορίας: κακή ανταμοιβή {divergence(first(bad), first(base)):.2f} nats, με λουρί "
            f"{divergence(first(leashed), first(base)):.2f}, καλύτερη ανταμοιβή {divergence(first(mended), first(base)):.2f}.")

# %% tags=["exercise"]
def divergence(p, q):
    """p, q (V) πιθανότητες -> ένας αριθμός, σε nats"""
    return None

check(divergence)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def divergence(p, q):
#     """p, q (V) πιθανότητες -> ένας αριθμός, σε nats"""
#     return (p * np.log(p / q)).sum()
#
# check(divergence)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [16 · Προτιμήσεις](16_preferences.ipynb): ποιο από δύο κείμενα είναι καλύτερο;
