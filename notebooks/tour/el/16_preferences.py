# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 16 · Προτιμήσεις
#
# *Πώς μαθαίνει ένα μοντέλο ποιο από δύο κείμενα είναι καλύτερο;*
#
# Μια ανταμοιβή είναι ένας αριθμός, και οι καλοί αριθμοί είναι δύσκολο να δοθούν: αυτή η ιστορία αξίζει 6 ή 7; Είναι ευκολότερο να συγκρίνει
# κανείς. Όταν κάποιος διαβάζει δύο απαντήσεις και διαλέγει τη μία, προκύπτει μια **προτίμηση** (preference): ένα ζευγάρι κειμένων, όπου το
# πρώτο, το επιλεγμένο (chosen), είναι καλύτερο από το δεύτερο, το απορριμμένο (rejected). Σε αυτό το μάθημα μαθαίνουμε κατευθείαν από
# τέτοια ζευγάρια, χωρίς ανταμοιβή και χωρίς νέα δείγματα, και κοιτάζουμε προσεκτικά τι παθαίνουν έτσι και τα δύο κείμενα.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import json

import numpy as np
from threadpoolctl import threadpool_limits

from littlebaby.runs.store import temporary_workspace
from littlebaby.show.charts import FLOOR, GRAY, TRAIN, VALID
from littlebaby.show.tour import TrainingBar, exercise, picture
from littlebaby.text import stories

workspace = temporary_workspace()       # εδώ μένουν τα runs αυτού του μαθήματος ώσπου να κλείσει ο kernel
print("workspace:", workspace)
threadpool_limits(1)                    # ένα τόσο μικρό μοντέλο τρέχει ταχύτερα σε έναν πυρήνα
rng = np.random.default_rng(0)

# %% [markdown]
# ## Ζευγάρια
# Εκπαιδεύουμε το μωρό του προηγούμενου μαθήματος. Γράφει ιστορίες, δύο κάθε φορά, και κριτής είναι η γραμματική του nursery: επιλέγεται η
# ιστορία με τις περισσότερες σωστές προτάσεις πριν από το πρώτο λάθος της. Δύο ιστορίες εξίσου καλές δεν δίνουν ζευγάρι.

# %% tags=["parameters"] small="base_steps, n_texts, pair_steps, best_steps = 300, 96, (1, 2), 1"
base_steps, n_texts, pair_steps, best_steps = 1000, 1024, (5, 10, 20, 40, 80), 16

# %%
base = lb.train("nursery", "characters", c_tokenizer="bpe", s_vocabulary=512, n_ctx=128, n_emb=64, n_heads=4, n_layers=2, batch_size=8,
                r_learn=0.006, n_steps=base_steps, s_eval=10_000, n_sample=0, n_completion=0, progress=TrainingBar())
baby = lb.load(base.guid)
start = baby.encode(baby.tokenizer.begin)                        # μια κενή γραμμή, που χωρίζει τις ιστορίες

def write(model, n, seed):
    """n ιστορίες ενός μοντέλου"""
    rows = [row for i in range(0, n, 64) for row in model.generate(np.tile(start, (64, 1)), 110, seed=seed + i)]
    return [model.decode(row).strip().split("\n\n")[0] for row in rows[:n]]

def right_sentences(text):
    """Αριθμός των προτάσεων πριν από το πρώτο λάθος"""
    end = stories.parse(text + stories.END).end                  # ο πρώτος χαρακτήρας που δεν θα τον είχε εκεί καμία ιστορία
    return sum(mark.end() <= end for mark in stories.SENTENCE_END.finditer(text + stories.END))

texts = write(baby, n_texts, seed=0)
points = [right_sentences(text) for text in texts]
pairs = [(texts[i], texts[j]) if points[i] > points[j] else (texts[j], texts[i])
         for i, j in zip(range(0, n_texts, 2), range(1, n_texts, 2)) if points[i] != points[j]]
unseen, pairs = pairs[:len(pairs) // 5], pairs[len(pairs) // 5:]

print(f"{n_texts} ιστορίες με {np.mean(points):.2f} σωστές προτάσεις κατά μέσο όρο· {len(pairs)} ζευγάρια για μάθηση, {len(unseen)} για έλεγχο\n")
for name, text in zip(("επιλεγμένη", "απορριμμένη"), pairs[0]):
    print(f"{name:8}", text, "\n")

# %% [markdown]
# ## Από μια προτίμηση σε μια απώλεια
# Ας υποθέσουμε ότι κάθε κείμενο $x$ έχει μια ανταμοιβή $r(x)$, και ότι οι άνθρωποι διαλέγουν το καλύτερο από δύο κείμενα με πιθανότητα
# $\sigma(r_1 - r_2)$, όπου $\sigma(z) = 1 / (1 + e^{-z})$. Ας υποθέσουμε ακόμη ότι εκπαιδεύσαμε ένα μοντέλο ως την καλύτερη μέση ανταμοιβή,
# με λουρί μια απόκλιση KL με βάρος $\beta$, όπως στο προηγούμενο μάθημα. Τότε μπορεί να αποδειχθεί ότι οι καλύτερες πιθανότητες είναι
#
# $$p(x) = q(x)\, e^{r(x) / \beta} / Z$$
#
# όπου $q$ είναι το παγωμένο μοντέλο από το οποίο ξεκίνησε, που λέγεται **μοντέλο αναφοράς** (reference model), και $Z$ το άθροισμα που τις
# κάνει πιθανότητες. Το $Z$, ένα άθροισμα σε όλα τα κείμενα, δεν μπορεί να το υπολογίσει κανείς. Λύστε όμως ως προς την ανταμοιβή,
# $r(x) = \beta \ln \frac{p(x)}{q(x)} + \beta \ln Z$, και πάρτε τη διαφορά δύο κειμένων: το $Z$ εξαφανίστηκε! Η διαφορά των ανταμοιβών είναι
# $\beta$ επί το **περιθώριο** (margin)
#
# $$m = \ln \frac{p(x_1)}{q(x_1)} - \ln \frac{p(x_2)}{q(x_2)}$$
#
# που λέει πόσο περισσότερο κέρδισε το επιλεγμένο κείμενο από το απορριμμένο. Το ίδιο το μοντέλο περιέχει λοιπόν μια ανταμοιβή, και μπορούμε
# να το εκπαιδεύσουμε με τη διασταυρούμενη εντροπία των προτιμήσεων, $-\ln \sigma(\beta m)$. Αυτό είναι η **άμεση βελτιστοποίηση
# προτιμήσεων** (direct preference optimization), DPO (Rafailov κ.ά. 2023). Η IPO (Azar κ.ά. 2023) έχει άλλη απώλεια,
# $(m - \frac{1}{2 \beta})^2$, στη βιβλιοθήκη με μέσους όρους στα tokens στη θέση των αθροισμάτων.

# %%
m, beta = np.linspace(-40, 60, 200), 0.1
losses = {"DPO": (np.logaddexp(0, -beta * m), -beta / (1 + np.exp(beta * m)), TRAIN),
          "IPO": ((m - 0.5 / beta) ** 2 / 400, (m - 0.5 / beta) / 200, VALID)}
left, right = picture("απώλεια ενός ζευγαριού, ανά περιθώριο", "παράγωγος: πόσο δυνατά σπρώχνει", height=2.8)
for name, (loss, slope, color) in losses.items():
    left.plot(m, loss, color=color)
    right.plot(m, slope, color=color)
    left.annotate(name, (m[-1], loss[-1]), (-26, 6), textcoords="offset points", color=color)
right.axhline(0, color=GRAY, lw=0.8)
for axes in (left, right):
    axes.axvline(0.5 / beta, color=GRAY, lw=0.8, ls=":")

# %% [markdown]
# Η IPO είναι εδώ διαιρεμένη με το 400, ώστε να χωράνε και οι δύο σε μία εικόνα. Η DPO σπρώχνει το περιθώριο προς τα πάνω χωρίς τέλος, όλο
# και πιο αδύναμα όμως, και ποτέ προς τα κάτω. Η IPO έχει έναν στόχο, τη γραμμή με τις τελείες: πέρα από αυτήν το ζευγάρι τραβά προς τα
# πίσω. Αυτό έχει σημασία όταν τα ζευγάρια συμφωνούν πάντα μεταξύ τους, γιατί τότε τίποτα δεν σταματά τη DPO.
#
# ## Η εκπαίδευση
# Η `lb.school` διαβάζει τα ζευγάρια από ένα αρχείο. Σταματάμε την ίδια εκπαίδευση μετά από 5, 10, 20, 40 και 80 βήματα, για να τη δούμε και
# στο ενδιάμεσο.

# %%
lines = [json.dumps(dict(prompt="", chosen=chosen, rejected=rejected)) for chosen, rejected in pairs]
(workspace / "inputs/pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")

def school(steps, **settings):
    return lb.school(base.guid, n_steps=steps, r_learn=2e-4, s_eval=1, n_completion=0, progress=TrainingBar(), **settings)

runs = [school(steps, pairs="pairs.jsonl", r_dpo=0.1, batch_size=8, n_accumulate=1) for steps in pair_steps]
rows = [row.measures for row in runs[-1].report.evaluations]

def log_probability(model, text):
    """Το ln p ολόκληρου του κειμένου και του τέλους του: το άθροισμα στα tokens του"""
    ids = np.concatenate([start, model.encode(text + "\n\n")])[:129]
    targets = np.where(np.arange(1, len(ids)) < len(start), -1, ids[1:])             # η προτροπή δεν είναι στόχος
    return -model.loss(ids[:-1], targets) * (targets >= 0).sum()

def gains(model):
    """ln p - ln q και των δύο κειμένων κάθε ζευγαριού που δεν ήταν στην εκπαίδευση: (ζευγάρια, 2)"""
    return np.array([[log_probability(model, text) for text in pair] for pair in unseen]) - before

before = np.array([[log_probability(baby, text) for text in pair] for pair in unseen])
moved = [0 * before] + [gains(lb.load(run.guid)) for run in runs]

left, right = picture("περιθώριο των ζευγαριών ενός βήματος", "ζευγάρια όπου κέρδισε το επιλεγμένο", height=2.6)
left.plot([row.margin for row in rows], color=TRAIN)
right.plot([row.accuracy for row in rows], color=TRAIN)
for axes, values in ((left, [np.mean(g[:, 0] - g[:, 1]) for g in moved[1:]]), (right, [np.mean(g[:, 0] > g[:, 1]) for g in moved[1:]])):
    axes.plot(pair_steps, values, "o-", color=VALID)
right.text(0.98, 0.12, "ζευγάρια της εκπαίδευσης", color=TRAIN, ha="right", transform=right.transAxes)
right.text(0.98, 0.02, "νέα ζευγάρια", color=VALID, ha="right", transform=right.transAxes)
for steps, g in zip(pair_steps, moved[1:]):
    print(f"{steps:3} βήματα: περιθώριο νέων ζευγαριών {np.mean(g[:, 0] - g[:, 1]):6.2f}, το επιλεγμένο κείμενο κέρδισε περισσότερο στο {np.mean(g[:, 0] > g[:, 1]):.0%}")

# %% [markdown]
# Στην πρώτη εποχή, ως το βήμα 40, κάθε ζευγάρι είναι καινούργιο. Στη δεύτερη το περιθώριο γίνεται ξαφνικά μεγάλο και τα περισσότερα
# ζευγάρια βγαίνουν σωστά, αλλά στα ζευγάρια που δεν ήταν στην εκπαίδευση σχεδόν τίποτα δεν αλλάζει: το μοντέλο κυρίως απομνημόνευσε τις
# λίγες εκατοντάδες ζευγάρια που είδε. Το περιθώριο στην εκπαίδευση λέει λίγα.
#
# ## Τι παθαίνουν και τα δύο κείμενα
# Το περιθώριο είναι μια διαφορά. Μεγαλώνει και όταν *και τα δύο* κείμενα γίνονται λιγότερο πιθανά, αν το απορριμμένο πέφτει ταχύτερα.
# Κοιτάξτε λοιπόν και τα δύο.

# %%
axes = picture("ln p - ln q των νέων κειμένων, ανά βήμα", height=3)
for i, (name, color) in enumerate((("επιλεγμένο", FLOOR), ("απορριμμένο", VALID))):
    mean, spread = (np.array([f(g[:, i]) for g in moved]) for f in (np.mean, np.std))
    axes.plot([0, *pair_steps], mean, "o-", color=color)
    axes.fill_between([0, *pair_steps], mean - spread, mean + spread, color=color, alpha=0.12, lw=0)
    axes.annotate(name, (pair_steps[-1], mean[-1]), (6, 0), textcoords="offset points", color=color, va="center")
axes.axhline(0, color=GRAY, lw=0.8)
axes.set_xlim(0, pair_steps[-1] * 1.15)
last = moved[-1]
print(f"μετά από {pair_steps[-1]} βήματα: επιλεγμένο {last[:, 0].mean():+.1f} nats, απορριμμένο {last[:, 1].mean():+.1f}· "
      f"το επιλεγμένο κείμενο έγινε λιγότερο πιθανό στο {np.mean(last[:, 0] < 0):.0%} των ζευγαριών")

# %% [markdown]
# Πέφτουν και τα επιλεγμένα κείμενα. Το φαινόμενο είναι γνωστό (Razin κ.ά. 2024): και τα δύο κείμενα είναι του ίδιου μοντέλου και έχουν
# πολλά κοινά, άρα ό,τι σπρώχνει προς τα κάτω το ένα σπρώχνει και το άλλο. Η πιθανότητα που χάνουν και τα δύο πηγαίνει σε κείμενα που δεν
# υπάρχουν σε κανένα ζευγάρι, και για αυτά η απώλεια δεν λέει τίποτα.
#
# ## Είναι καλύτερες οι ιστορίες;
# Αυτό που θέλαμε δεν ήταν το περιθώριο, ήταν καλύτερες ιστορίες. Αφήνουμε λοιπόν κάθε μοντέλο να γράψει 256 καινούργιες. Για σύγκριση
# υπάρχει η **δειγματοληψία με απόρριψη** (rejection sampling), η μέθοδος `bestof`: από κάθε 64 κείμενα, το ένα τέταρτο, εκείνα με τη
# μεγαλύτερη ανταμοιβή, γίνεται κείμενο εκπαίδευσης, όπως στο έβδομο μάθημα. Τραβά και κρίνει 1,024 κείμενα, όσα τραβήξαμε κι εμείς για τα
# ζευγάρια.

# %%
def quality(model):
    return np.mean([right_sentences(text) for text in write(model, 256, seed=10_000)])

best = school(best_steps, reward=lambda prompt, text: right_sentences(text), c_school="bestof", batch_size=16, n_accumulate=4)
scores = [quality(baby)] + [quality(lb.load(run.guid)) for run in runs]
score = quality(lb.load(best.guid))

axes = picture("σωστές προτάσεις πριν από το πρώτο λάθος, μέσος όρος 256 νέων ιστοριών, ανά βήμα της DPO", height=2.8)
axes.plot([0, *pair_steps], scores, "o-", color=TRAIN)
axes.axhline(score, color=FLOOR, ls="--")
axes.annotate("bestof", (pair_steps[-1], score), (0, 4), textcoords="offset points", color=FLOOR, ha="right")
axes.annotate("DPO", (pair_steps[-1], scores[-1]), (0, 8), textcoords="offset points", color=TRAIN, ha="right")
print(f"βάση {scores[0]:.2f}· DPO", ", ".join(f"{each:.2f} μετά από {steps}" for steps, each in zip(pair_steps, scores[1:])), f"βήματα· bestof {score:.2f}")
print("\nDPO:   ", write(lb.load(runs[-1].guid), 1, seed=3)[0], "\n\nbestof:", write(lb.load(best.guid), 1, seed=3)[0])

# %% [markdown]
# Στην αρχή η DPO κάνει τις ιστορίες λίγο καλύτερες. Ύστερα γίνονται χειρότερες, ενώ το περιθώριο της ίδιας εκπαίδευσης συνεχίζει να
# μεγαλώνει: η εκπαίδευση βρήκε έναν τρόπο να ξεχωρίζει τα επιλεγμένα κείμενα από τα απορριμμένα, που δεν είναι καλύτερο γράψιμο. (Ένας
# μέσος όρος 256 ιστοριών έχει αβεβαιότητα περίπου 0.1, άρα οι μικρές διαφορές δεν σημαίνουν τίποτα.) Η `bestof` δεν έχει κάποιο περιθώριο
# που να μπορεί να το μεγαλώνει χωρίς όριο: μιμείται καλά κείμενα, και μετά από κάθε βήμα τραβά νέα από το καλύτερο μοντέλο. Η DPO έχει όλη
# την ώρα τα ίδια παλιά ζευγάρια. Το πλεονέκτημά της είναι άλλο: δεν χρειάζεται έναν κριτή που να είναι πάντα εκεί. Τα ζευγάρια μπορούν να
# τα δώσουν άνθρωποι, μία φορά. Στην πράξη σταματάμε νωρίς, παίρνουμε μεγαλύτερο $\beta$, ή προσθέτουμε την απώλεια του επιλεγμένου
# κειμένου, για να μην πέφτει.
#
# Σε ένα κέλυφος αυτό είναι η εντολή `littlebaby school last --pairs pairs.jsonl`.
#
# ## Δοκιμάστε
# ### 1. Το περιθώριο
# Έχετε τους λογαρίθμους των πιθανοτήτων των tokens του επιλεγμένου και του απορριμμένου κειμένου, από το μοντέλο και από το μοντέλο
# αναφοράς: `p1`, `q1` $(t_1)$ και `p2`, `q2` $(t_2)$. Επιστρέψτε το περιθώριο του ζευγαριού.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=16, number=1)
def check(margin):
    p1, q1, p2, q2 = np.array([-1.0, -2.0]), np.array([-2.0, -3.0]), np.array([-4.0, -1.0, -1.0, -2.0]), np.array([-2.0, -1.0, -1.0, -1.0])
    found = margin(p1, q1, p2, q2)
    assert found is not None, "η margin επιστρέφει None: αθροίστε τους λογαρίθμους κάθε κειμένου, και ύστερα συγκρίνετε."
    assert np.ndim(found) == 0, f"επιστρέψτε έναν αριθμό· το αποτέλεσμά σας έχει σχήμα {np.shape(found)}."
    assert not np.isclose(found, 1 + 0.75), "αυτοί είναι μέσοι όροι στα tokens· το ln p ενός κειμένου είναι το άθροισμα στα tokens του."
    assert not np.isclose(found, -5), "το πρόσημο είναι λάθος: το περιθώριο είναι θετικό αν κέρδισε περισσότερο το επιλεγμένο κείμενο."
    assert not np.isclose(found, 5) or np.isclose(margin(p1, p1, p2, p2), 0), "λείπει το μοντέλο αναφοράς: αν δεν άλλαξε τίποτα, το περιθώριο πρέπει να είναι 0."
    assert np.isclose(found, 5), f"το επιλεγμένο κείμενο κέρδισε 2 nats, το απορριμμένο έχασε 3, άρα το περιθώριο είναι 5· το δικό σας είναι {found:.2f}."
    return "5 nats: το επιλεγμένο κείμενο κέρδισε 2, το απορριμμένο έχασε 3."

# %% tags=["exercise"]
def margin(p1, q1, p2, q2):
    """p1, q1 (t1), p2, q2 (t2) λογάριθμοι των πιθανοτήτων των tokens -> ένας αριθμός, σε nats"""
    return None

check(margin)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def margin(p1, q1, p2, q2):
#     """p1, q1 (t1), p2, q2 (t2) λογάριθμοι των πιθανοτήτων των tokens -> ένας αριθμός, σε nats"""
#     return (p1.sum() - q1.sum()) - (p2.sum() - q2.sum())
#
# check(margin)
# ```
#
# </details>

# %% [markdown]
# ### 2. Η παράγωγος της DPO
# Επιστρέψτε την παράγωγο του $-\ln \sigma(\beta m)$ ως προς το περιθώριο $m$.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=16, number=2)
def check(slope):
    m, beta = np.array([-3.0, 0.0, 8.0]), 0.5
    found = slope(m, beta)
    assert found is not None, "η slope επιστρέφει None: η παράγωγος του -ln sigma(z) είναι -sigma(-z)."
    assert np.shape(found) == (3,), f"επιστρέψτε μία παράγωγο για καθένα από τα 3 περιθώρια· το αποτέλεσμά σας έχει σχήμα {np.shape(found)}."
    right = -beta / (1 + np.exp(beta * m))
    assert not np.allclose(found, -right), "το πρόσημο είναι λάθος: ένα μεγαλύτερο περιθώριο χαμηλώνει την απώλεια."
    assert not np.allclose(found, right / beta), "λείπει ο συντελεστής beta, από τον κανόνα της αλυσίδας."
    assert not np.allclose(found, -beta / (1 + np.exp(-beta * m))), "η δική σας μεγαλώνει μαζί με το περιθώριο· το σπρώξιμο είναι δυνατό όπου το περιθώριο είναι αρνητικό."
    h = 1e-5
    differences = (np.logaddexp(0, -beta * (m + h)) - np.logaddexp(0, -beta * (m - h))) / (2 * h)
    assert np.allclose(found, differences), f"στο περιθώριο 0 οι πεπερασμένες διαφορές δίνουν {differences[1]:.3f}· το αποτέλεσμά σας είναι {found[1]:.3f}."
    return f"συμφωνεί με τις πεπερασμένες διαφορές: {found[0]:.2f} στο -3, {found[1]:.2f} στο 0, {found[2]:.2f} στο 8."

# %% tags=["exercise"]
def slope(m, beta):
    """m (n) περιθώρια -> (n)"""
    return None

check(slope)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def slope(m, beta):
#     """m (n) περιθώρια -> (n)"""
#     return -beta / (1 + np.exp(beta * m))
#
# check(slope)
# ```
#
# </details>

# %% [markdown]
# ### 3. Τα ζευγάρια μιας ομάδας
# Μια ομάδα κειμένων με την ίδια προτροπή έχει τις ανταμοιβές `r` $(n)$. Επιστρέψτε όλα τα ζευγάρια δεικτών `(i, j)` όπου το κείμενο `i`
# είναι καλύτερο από το κείμενο `j`, ως σύνολο (set). Κείμενα με ίσες ανταμοιβές δεν κάνουν ζευγάρι.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=16, number=3)
def check(all_pairs):
    found = all_pairs([2, 5, 2, 7])
    assert found is not None, "η all_pairs επιστρέφει None: περάστε από όλα τα i και j, και κρατήστε εκείνα με r[i] > r[j]."
    assert all(np.shape(pair) == (2,) for pair in found), "επιστρέψτε ζευγάρια με δύο δείκτες το καθένα, όπως {(1, 0), (3, 0)}."
    found, right = {tuple(int(i) for i in pair) for pair in found}, {(1, 0), (1, 2), (3, 0), (3, 1), (3, 2)}
    assert found != {(j, i) for i, j in right}, "η σειρά είναι λάθος: πρώτο έρχεται το καλύτερο κείμενο."
    assert not found & {(0, 2), (2, 0)}, "τα κείμενα 0 και 2 έχουν ίσες ανταμοιβές, άρα δεν κάνουν ζευγάρι."
    assert found == right, f"για τις ανταμοιβές 2, 5, 2, 7 υπάρχουν 5 ζευγάρια· από αυτά έχετε {len(found & right)}, και άλλα {len(found - right)} που δεν ισχύουν."
    group = [right_sentences(text) for text in texts[:16]]
    return f"16 ιστορίες αυτού του μαθήματος δίνουν {len(all_pairs(group))} ζευγάρια αντί για 8 το πολύ, αλλά τα ζευγάρια έχουν κοινά κείμενα."

# %% tags=["exercise"]
def all_pairs(r):
    """r: μια λίστα n ανταμοιβών -> {(δείκτης του καλύτερου κειμένου, δείκτης του άλλου), ...}"""
    return None

check(all_pairs)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def all_pairs(r):
#     """r: μια λίστα n ανταμοιβών -> {(δείκτης του καλύτερου κειμένου, δείκτης του άλλου), ...}"""
#     return {(i, j) for i in range(len(r)) for j in range(len(r)) if r[i] > r[j]}
#
# check(all_pairs)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [17 · Καθοδήγηση και χαρακτηριστικά](17_steering_and_features.ipynb): μπορείτε να αλλάξετε ό,τι γράφει ένα μοντέλο χωρίς να
# αλλάξετε τα βάρη του;
