# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 17 · Καθοδήγηση και χαρακτηριστικά
#
# *Μπορείτε να αλλάξετε ό,τι γράφει ένα μοντέλο χωρίς να αλλάξετε τα βάρη του;*
#
# Η έξοδος ενός μπλοκ είναι ένα διάνυσμα για κάθε token, και όλα όσα ξέρουν για το κείμενο τα επόμενα μέρη του μοντέλου βρίσκονται σε αυτά
# τα διανύσματα. Αν μια ιδιότητα του κειμένου είναι μια κατεύθυνση στον χώρο τους, τότε όταν προσθέτουμε αυτή την κατεύθυνση, το μοντέλο θα
# έπρεπε να γράφει σαν να είχε το κείμενο αυτή την ιδιότητα. Σε αυτό το μάθημα βρίσκουμε τέτοιες κατευθύνσεις με δύο τρόπους, πρώτα από
# κείμενα και ύστερα με ένα δεύτερο μικρό μοντέλο. Κάθε φορά μετράμε τι κάνει η κατεύθυνση, και τι χαλάει.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import re
from collections import Counter

import numpy as np

from littlebaby.arrays import backend
from littlebaby.check.features import fidelity, outputs, pieces, raised_logits
from littlebaby.check.laws import differences
from littlebaby.inference.steering import adding, mean_output
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.charts import FLOOR, GRAY, TRAIN, VALID
from littlebaby.show.tour import TrainingBar, exercise, picture, visible
from littlebaby.text import nursery, stories
from littlebaby.training import sparse_autoencoder

rng = np.random.default_rng(0)

workspace = temporary_workspace()       # εδώ μένουν τα runs αυτού του μαθήματος ώσπου να κλείσει ο kernel
print("workspace:", workspace)

# %% [markdown]
# Πρώτα εκπαιδεύουμε ένα μωρό με το nursery. Ο tokenizer του είναι εκείνος του δέκατου μαθήματος, ώστε τα περισσότερα tokens να είναι
# ολόκληρες λέξεις.

# %% tags=["parameters"] small="base_steps, fit_steps, most_windows, searched = 20, 20, 8, 4"
base_steps, fit_steps = 600, 600        # βήματα των δύο εκπαιδεύσεων
most_windows, searched = 250, 256       # παράθυρα κειμένου για τη δεύτερη εκπαίδευση, χαρακτηριστικά που δοκιμάζουμε

# %%
run = lb.train("nursery", "characters", c_tokenizer="bpe", s_vocabulary=600, n_ctx=96, n_emb=64, n_heads=4, n_layers=2, batch_size=16,
               r_learn=0.01, r_eval_overlap=0.0, n_steps=base_steps, n_completion=60, progress=TrainingBar(), n_sample=0, s_eval=10_000)
baby = lb.load(run.guid)
print(" ".join(run.completion.text.split()))

# %% [markdown]
# ## Μια κατεύθυνση από κείμενα
# Οι ιστορίες του nursery έχουν τέσσερις πλοκές. Κάποιος χάνει ένα παιχνίδι, ή πεινά, ή γίνεται ένας αγώνας, ή υπάρχουν γενέθλια. Γράφουμε
# μερικές προτάσεις για γενέθλια και μερικές από τις άλλες πλοκές, και παίρνουμε για κάθε σύνολο τη μέση έξοδο του τελευταίου μπλοκ σε όλα
# τα tokens του. Η διαφορά των δύο μέσων όρων είναι η κατεύθυνσή μας: ό,τι κοινό έχουν τα δύο σύνολα εξουδετερώνεται.

# %%
birthday = ["It was the birthday of Ben.", "It was the birthday of Zoe.", "Gus was seven that evening.", "Ada was four that Friday."]
others = ['"Let us race to the lake!" Ben said.', "Gus wanted to race to the hill.", "Ada had a bun and some jam in a red bag.",
          "Ada had a red kite, but the wind took the kite."]
layer = 1                               # το τελευταίο από δύο μπλοκ, μετρώντας από το 0
direction = mean_output(baby, birthday, layer) - mean_output(baby, others, layer)           # (D,)
print(f"{len(direction)} αριθμοί, μήκος {np.linalg.norm(direction):.2f}")

# %% [markdown]
# ## Καθοδηγήστε
# Η **καθοδήγηση** (steering) προσθέτει αυτό το διάνυσμα, επί μια ένταση, στην έξοδο του μπλοκ σε κάθε token. Κανένα βάρος δεν αλλάζει. Για
# να τη μετρήσουμε, παίρνουμε τις τρεις πρώτες προτάσεις από εκατό καινούργιες ιστορίες. Στην τέταρτη το μοντέλο πρέπει να διαλέξει μια
# πλοκή. Το αφήνουμε να γράψει 24 tokens για κάθε αρχή, και μετράμε δύο πράγματα: τα κείμενα για γενέθλια, και το τίμημα, δηλαδή πόσες από
# τις καινούργιες προτάσεις είναι σωστές. (Η `stories.marks` συγκρίνει ένα κείμενο με τη γραμματική του nursery: μια πρόταση είναι σωστή αν
# η γραμματική την επιτρέπει μετά την ιστορία ως εκεί.)

# %%
begins = [re.match(r"(?:[^.]+\.){3}", story).group() for story in nursery.corpus(300_000, seed=7)[0].split("\n\n") if story]
encoded = [baby.encode("\n\n" + begin) for begin in begins]
length = Counter(map(len, encoded)).most_common(1)[0][0]
prompts = np.stack([ids for ids in encoded if len(ids) == length][:100])                    # όλες με το ίδιο μήκος, (100, T)
print(baby.decode(prompts[0]).strip())

def write(vector, prompts, seed=3):
    """Μία ιστορία για κάθε γραμμή του prompts (n, T), με το διάνυσμα (D,) να προστίθεται στην έξοδο του μπλοκ"""
    with backend.blas_threads(1):
        new = baby.generate(prompts, 24, seed=seed, replace_value=adding({layer: vector}))
    return [baby.decode(np.concatenate(each)).strip("\n").split("\n\n")[0] for each in zip(prompts, new)]

def count(texts):
    """(ποσοστό των κειμένων για γενέθλια, σωστές προτάσεις ανά κείμενο μετά τις τρεις πρώτες)"""
    about = np.mean([bool(re.search(r"birthday|was \w+ that", text)) for text in texts])
    joined = "".join(text + "\n\n" for text in texts)
    correct = stories.marks(joined).sentences * len(stories.SENTENCE_END.findall(joined))
    return about, max(0, correct / len(texts) - 3)

strengths = (-2, -1, 0, 1, 1.5, 2, 3)
by_texts = [count(write(strength * direction, prompts)) for strength in strengths]
left, right = picture("ποσοστό κειμένων για γενέθλια, ανά ένταση", "σωστές νέες προτάσεις ανά κείμενο, ανά ένταση", height=2.8)
for axes, values, color in zip((left, right), zip(*by_texts), (TRAIN, VALID)):
    axes.plot(strengths, values, "o-", color=color)
    axes.set_ylim(bottom=0)
for strength, (about, correct) in zip(strengths, by_texts):
    print(f"ένταση {strength:4}: {about:4.0%} για γενέθλια, {correct:.2f} σωστές προτάσεις ανά κείμενο")

# %%
for strength in (-2, 0, 1.5, 3):
    print(f"ένταση {strength}")
    for text, prompt in zip(write(strength * direction, prompts[:3]), prompts):
        print("   ..." + text[len(baby.decode(prompt).strip("\n")):].replace("\n", " "))

# %% [markdown]
# Πετυχαίνει, και έχει ένα τίμημα. Το διάνυσμα λέει το ίδιο σε κάθε token, και εκεί όπου δεν ταιριάζει, στη μέση μιας πρότασης. Ένα διάνυσμα
# αρκετά μακρύ ώστε να καθορίζει κάθε φορά την πλοκή πνίγει όλα τα άλλα που έχει να πει το μπλοκ, και οι λέξεις διαλύονται.
#
# Η `lb.direction` υπολογίζει και αποθηκεύει ένα τέτοιο διάνυσμα με ένα όνομα, και η `lb.inference` καθοδηγεί με αυτό:

# %%
lb.direction(run.guid, "birthday", more=birthday, less=others, layer=layer)
done = lb.inference(run.guid, baby.decode(prompts[1]), max_tokens=24, seed=1, steer=dict(birthday=1.5))
print(" ".join(done.text.split()))

# %% [markdown]
# ## Πολύ λίγες διαστάσεις
# Για να βρει κανείς μια κατεύθυνση από κείμενα, πρέπει να ξέρει τι ψάχνει. Τι άλλο υπάρχει στην έξοδο ενός μπλοκ; Οι 64 αριθμοί της, ένας
# ένας, δεν απαντούν σε αυτό. Ένα κείμενο έχει πολύ περισσότερες ιδιότητες απ' όσους αριθμούς έχει ένα μπλοκ, κι έτσι κάθε αριθμός ανήκει σε
# πολλές από αυτές, κάτι που λέγεται **υπέρθεση** (superposition). Σε κάθε token όμως ισχύουν μόνο λίγες ιδιότητες.
#
# Αυτό το εκμεταλλεύεται ένας **αραιός αυτοκωδικοποιητής** (sparse autoencoder). Είναι ένα δεύτερο μικρό μοντέλο, που ξαναφτιάχνει κάθε
# έξοδο $x$ του μπλοκ ως άθροισμα λίγων κατευθύνσεων από έναν μακρύ κατάλογο, και τον κατάλογο τον μαθαίνει. Στη μέση του έχει έναν αριθμό
# $f$ για κάθε κατεύθυνση. Μένουν μόνο οι $k$ μεγαλύτεροι· όλοι οι άλλοι μηδενίζονται, και όσοι μένουν λέγονται ενεργοί. Μια κατεύθυνση μαζί
# με τον αριθμό της λέγεται **χαρακτηριστικό** (feature).
#
# $$u = (x - c)\,W_\text{up} + b, \qquad f = \text{τα } k \text{ μεγαλύτερα του } u \text{, αν είναι πάνω από } 0, \qquad y = f\,W_\text{down} + c$$
#
# Η απώλεια είναι το τετράγωνο της απόστασης ανάμεσα στο $x$ και στο $y$. Όλα τα μέρη τα ξέρετε από το δεύτερο μάθημα. Η επιλογή των
# μεγαλύτερων δρα σαν συνάρτηση ενεργοποίησης: η κλίση περνά όπου μένει ο αριθμός, και αλλού είναι 0.

# %%
def autoencoder(up, b, down, c, x, k):
    """x (N, D), up (D, F), b (F), down (F, D), c (D) -> η απώλεια, f (N, F), back() -> οι κλίσεις των up, b, down και c"""
    u = (x - c) @ up + b                                    # (N, D) -> (N, F)
    stays = (u >= np.sort(u, 1)[:, -k, None]) & (u > 0)     # (N, F) bool
    f = u * stays
    y = f @ down + c                                        # (N, F) -> (N, D)

    def back():
        dy = 2 * (y - x) / len(x)                           # (N, D)
        du = dy @ down.T * stays                            # (N, D) -> (N, F)
        dx = du @ up.T                                      # (N, F) -> (N, D)
        return (x - c).T @ du, du.sum(0), f.T @ dy, dy.sum(0) - dx.sum(0)

    return ((y - x) ** 2).sum() / len(x), f, back

# %% [markdown]
# Το $c$ χρησιμοποιείται δύο φορές, άρα η κλίση του έχει δύο όρους. Όπως πάντα, πιστεύουμε ένα οπίσθιο πέρασμα μόνο αφού το συγκρίνουμε με
# πεπερασμένες διαφορές.

# %%
weights = [rng.standard_normal(shape) for shape in ((4, 9), 9, (9, 4), 4)]
x = rng.standard_normal((5, 4))
for name, weight, gradient in zip(("up", "b", "down", "c"), weights, autoencoder(*weights, x, 3)[2]()):
    slopes = differences(lambda: autoencoder(*weights, x, 3)[0], weight)
    print(f"{name:5} μεγαλύτερη διαφορά ανάμεσα στην κλίση και στην πεπερασμένη διαφορά {abs(gradient - slopes).max():.0e}")

# %% [markdown]
# Η `sparse_autoencoder.fit` εκπαιδεύει με αυτές τις κλίσεις και με τον Adam. Κάνει και δύο πράγματα ακόμη: κάθε κατεύθυνση κρατά μήκος 1,
# και ένα χαρακτηριστικό που δεν είναι ποτέ ενεργό ξαναρχίζει από την αρχή, γιατί δεν θα έπαιρνε πια κλίση. Εκπαιδεύουμε τρεις
# αυτοκωδικοποιητές με τις εξόδους του μπλοκ μας για 24,000 tokens, με 256 χαρακτηριστικά τον καθένα, από τα οποία μπορούν να είναι ενεργά
# σε ένα token 1, 4 ή 8. Πόσο καλοί είναι; Αφήνουμε το μοντέλο να συνεχίσει με τις εξόδους που ξαναφτιάχτηκαν στη θέση των δικών του, και
# μετράμε την απώλειά του.

# %%
rows, held_out = pieces(baby, nursery.corpus(200_000, seed=3)[0], rng)
rows = rows[:most_windows, :-1]
F, trained, measured = 256, {}, {}
with backend.blas_threads(1):
    x = outputs(baby, rows, layer)                                                           # (παράθυρα, T, D)
    for k in (1, 4, 8):
        *_, (trained[k], _) = sparse_autoencoder.fit(x.reshape(-1, x.shape[-1]), F, k, fit_steps, np.random.default_rng(0))
        measured[k] = fidelity(baby, trained[k], k, layer, held_out)

k, p = 8, trained[8]
f = np.stack([sparse_autoencoder.forward(p, each, k)[1] for each in x])                      # (παράθυρα, T, F)
assert np.allclose(autoencoder(p.up, p.b, p.down, p.shift, x[0], k)[1], f[0], atol=1e-4)     # το f της βιβλιοθήκης είναι το δικό μας

axes = picture("απώλεια του μοντέλου με εξόδους που ξαναφτιάχτηκαν, nats ανά token", height=2.6)
names = ["μέσος όρος", *(f"ενεργά: {k}" for k in measured), "δικές του έξοδοι"]
losses = [measured[8]["mean_loss"], *(each["rebuilt_loss"] for each in measured.values()), measured[8]["loss"]]
axes.bar(names, losses, color=[GRAY, TRAIN, TRAIN, TRAIN, FLOOR], width=0.6)
for i, loss in enumerate(losses):
    axes.annotate(f"{loss:.2f}", (i, loss), (0, 3), textcoords="offset points", ha="center")
axes.margins(y=0.15)
print({f"ενεργά: {k}": f"εξηγείται το {each['explained']:.0%} της διασποράς" for k, each in measured.items()})

# %% [markdown]
# Οκτώ αριθμοί από τους 256 αντικαθιστούν τους 64 αριθμούς της εξόδου, και το μοντέλο σχεδόν δεν το καταλαβαίνει.
#
# ## Τι σημαίνει ένα χαρακτηριστικό
# Για κάθε χαρακτηριστικό ρωτάμε σε ποια tokens είναι πιο ενεργό, και ποια logits ανεβάζει η κατεύθυνσή του. Δείτε τα οκτώ χαρακτηριστικά με
# τα μεγαλύτερα αθροίσματα. Το token μέσα στις αγκύλες είναι εκείνο όπου το χαρακτηριστικό είναι ενεργό· σημασία έχει μόνο το κείμενο ως
# εκεί.

# %%
active = (f > 0).mean((0, 1))                                                                # (F)
mean = f.sum((0, 1)) / np.maximum((f > 0).sum((0, 1)), 1)                                    # (F), όπου είναι ενεργό
raised = raised_logits(baby, p.down, rows[:1])                                               # (F, V)

def describe(feature):
    """Τυπώνει τα tokens που ανεβάζει περισσότερο ένα χαρακτηριστικό, και τα τρία παράθυρα όπου είναι πιο ενεργό, ως εκείνο το token"""
    tokens = " ".join(visible([baby.decode([i]) for i in np.argsort(-raised[feature])[:5]]))
    print(f"χαρακτηριστικό {feature}, ενεργό στο {active[feature]:.1%} των tokens, ανεβάζει {tokens}")
    for window in np.argsort(-f[:, :, feature].max(1))[:3]:
        at = f[window, :, feature].argmax()
        before, token = visible([baby.decode(rows[window, max(0, at - 6):at]), baby.decode(rows[window, at:at + 1])])
        print(f"      {before}[{token}]")

for feature in np.argsort(-f.sum((0, 1)))[:8]:
    describe(feature)

# %% [markdown]
# Κανείς δεν είπε στον αυτοκωδικοποιητή τι να ψάξει. Πολλά από τα χαρακτηριστικά του είναι σημεία της γραμματικής: εδώ έρχεται ένα όνομα,
# ένα χρώμα, ένα ζώο, μια νέα πρόταση. Αυτά χρειάζεται να ξέρει αυτό το μοντέλο. Σε μεγαλύτερα μοντέλα, που διαβάζουν περισσότερα από το
# nursery, τέτοια χαρακτηριστικά αντιστοιχούν σε πόλεις, σε λάθη προγραμμάτων ή στην κολακεία (Templeton κ.ά. 2024). Άλλα χαρακτηριστικά δεν
# έχουν απλό νόημα, ούτε εδώ ούτε εκεί.
#
# ## Καθοδήγηση με ένα χαρακτηριστικό
# Μια γραμμή του $W_\text{down}$ είναι μια κατεύθυνση όπως εκείνη από τα κείμενα, και χρησιμοποιείται με τον ίδιο τρόπο. Ποια από αυτές
# οδηγεί σε γενέθλια; Δοκιμάζουμε καθεμία με το διπλάσιο της συνηθισμένης της έντασης σε 25 αρχές, και κρατάμε εκείνη με την οποία τα
# περισσότερα κείμενα συνεχίζουν με μια σωστή πρόταση για γενέθλια. Η καλύτερη από τις 256 ήταν και τυχερή, γι' αυτό τη μετράμε στις άλλες
# 75 αρχές.

# %%
def correct_birthdays(texts):
    """Ποσοστό των κειμένων που η τέταρτη πρότασή τους είναι για γενέθλια και σωστή"""
    fourth = [re.match(r"(?:[^.]+\.){4}", text + "\n\n") for text in texts]
    return np.mean([bool(each and re.search(r"birthday|was \w+ that", each.group()) and stories.parse(text + "\n\n").end >= each.end())
                    for each, text in zip(fourth, texts)])

found = [correct_birthdays(write(2 * mean[i] * p.down[i], prompts[:25])) for i in range(searched)]
best = int(np.argmax(found))
describe(best)

rest, times = prompts[25:], (0, 1, 2, 3, 4)
by_texts = [count(write(strength * direction, rest)) for strength in (0, 0.5, 1, 1.5, 2, 3)]
by_feature = [count(write(n * mean[best] * p.down[best], rest)) for n in times]
axes = picture("ποσοστό κειμένων για γενέθλια (προς τα πάνω), σωστές νέες προτάσεις ανά κείμενο (προς τα δεξιά)", height=3.4)
for values, name, color in ((by_texts, "κατεύθυνση από κείμενα", TRAIN), (by_feature, "ένα χαρακτηριστικό", VALID)):
    about, correct = zip(*values)
    axes.plot(correct, about, "o-", color=color)
    axes.annotate(name, (correct[2], about[2]), (8, 6), textcoords="offset points", color=color)
for n, (about, correct) in zip(times, by_feature):
    print(f"χαρακτηριστικό {best} επί {n}: {about:4.0%} για γενέθλια, {correct:.2f} σωστές προτάσεις ανά κείμενο")

# %% [markdown]
# Για τον ίδιο αριθμό γενεθλίων το χαρακτηριστικό κοστίζει λιγότερες σωστές προτάσεις. Κοιτάξτε τα tokens όπου είναι ενεργό, κι εκείνα που
# ανεβάζει. Όταν γράφαμε αυτό το μάθημα, ήταν ενεργό στο τέλος της τρίτης πρότασης, όπου διαλέγεται η πλοκή, και ανέβαζε τη λέξη *It*, με
# την οποία αρχίζει το *It was the birthday of*. Η κατεύθυνση από κείμενα περιέχει και τις άλλες λέξεις των προτάσεών μας, όπως *seven* και
# *Friday*, και τις ανεβάζει παντού. Αν προστεθεί πολλές φορές, κάνει ζημιά και το χαρακτηριστικό.
#
# Μην περιμένετε πάρα πολλά από οκτώ προτάσεις. Σε ένα μωρό που εκπαιδεύτηκε με `seed=5` η κατεύθυνση από κείμενα δεν έφερε περισσότερα
# γενέθλια, 14% με ένταση 2 αντί για 16% με ένταση 0, ενώ το καλύτερο χαρακτηριστικό έφερε και πάλι 39%. Το νόημά του όμως ήταν λιγότερο
# καθαρό: ήταν ενεργό στη λέξη *Once*. Τι κάνει μια κατεύθυνση πρέπει να μετριέται από την αρχή σε κάθε μοντέλο.
#
# Με μία εντολή παίρνετε μια σελίδα με όλα τα χαρακτηριστικά ενός run: `lb.features(run.guid)`, ή σε ένα κέλυφος `littlebaby features last`.
# Ύστερα η `lb.inference(run.guid, steer={"feature12": 3})` καθοδηγεί με το χαρακτηριστικό που έχει αριθμό 12.
#
# ## Δοκιμάστε
# ### 1. Μια κατεύθυνση με μήκος 1
# Έχετε τις εξόδους `more` $(N, D)$ και `less` $(M, D)$ για τα tokens δύο συνόλων κειμένων. Επιστρέψτε την κατεύθυνση από τον μέσο όρο του
# `less` προς τον μέσο όρο του `more`, με μήκος 1, ώστε να μπορούν να συγκριθούν οι εντάσεις διαφορετικών κατευθύνσεων.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=17, number=1)
def check(unit_direction):
    more, less = rng.standard_normal((5, 3)) + [4, 0, 0], rng.standard_normal((7, 3)) + [0, 3, 0]
    d = unit_direction(more, less)
    assert d is not None, "η unit_direction επιστρέφει None: επιστρέψτε τη διαφορά των δύο μέσων όρων, διαιρεμένη με το μήκος της."
    assert np.shape(d) == (3,), f"μια κατεύθυνση έχει έναν αριθμό για καθεμία από τις 3 διαστάσεις· η δική σας έχει σχήμα {np.shape(d)}: πάρτε τον μέσο όρο στα tokens, axis 0."
    right = more.mean(0) - less.mean(0)
    assert np.sum(right * d) > 0, "η κατεύθυνσή σας δείχνει από το more προς το less: αντιμεταθέστε τα."
    size = np.linalg.norm(d)
    assert abs(size - 1) < 1e-9, f"το μήκος της πρέπει να είναι 1, και είναι {size:.2f}: διαιρέστε με το np.linalg.norm της διαφοράς."
    assert np.allclose(d, right / np.linalg.norm(right)), "το μήκος της είναι 1, αλλά δείχνει αλλού: αφαιρέστε πρώτα τους δύο μέσους όρους, και ύστερα διαιρέστε."
    cosine = unit_direction(p.down[[best]], np.zeros((1, 64))) @ direction / np.linalg.norm(direction)
    return f"δείχνει από το less προς το more· το συνημίτονο ανάμεσα στην κατεύθυνσή μας από κείμενα και στο χαρακτηριστικό {best} είναι {cosine:.2f}."

# %% tags=["exercise"]
def unit_direction(more, less):
    """more (N, D), less (M, D) -> (D,)"""
    return None

check(unit_direction)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def unit_direction(more, less):
#     """more (N, D), less (M, D) -> (D,)"""
#     d = more.mean(0) - less.mean(0)
#     return d / np.linalg.norm(d)
#
# check(unit_direction)
# ```
#
# </details>

# %% [markdown]
# ### 2. Χωρίς μια κατεύθυνση
# Αντί να προσθέσει κανείς μια κατεύθυνση, μπορεί να την αφαιρέσει. Επιστρέψτε τα διανύσματα `x` χωρίς τη συνιστώσα τους κατά μήκος του `d`:
# ό,τι μένει είναι ορθογώνιο στο `d`, δηλαδή το εσωτερικό γινόμενό του με το `d` είναι 0. Το μήκος του `d` μπορεί να είναι οποιοδήποτε.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=17, number=2)
def check(without):
    x, d = rng.standard_normal((5, 3)), np.array([0.0, 2.0, 1.0])
    kept = x.copy()
    y = without(x, d)
    assert y is not None, "η without επιστρέφει None: αφαιρέστε από κάθε γραμμή του x τη συνιστώσα της κατά μήκος του d."
    assert np.shape(y) == (5, 3), f"το αποτέλεσμα πρέπει να έχει το σχήμα του x, (5, 3)· το δικό σας έχει {np.shape(y)}."
    assert np.array_equal(x, kept), "η συνάρτησή σας άλλαξε το ίδιο το x: επιστρέψτε έναν νέο πίνακα."
    part = (x @ d)[:, None] * d / (d @ d)
    assert not np.allclose(y, part), "αυτή είναι η συνιστώσα κατά μήκος του d· επιστρέψτε ό,τι μένει από το x χωρίς αυτήν."
    assert not np.allclose(y, x + part), "έτσι η συνιστώσα κατά μήκος του d προστίθεται άλλη μια φορά: αφαιρέστε την."
    assert not np.allclose(y, x - part * (d @ d)), "αυτό είναι σωστό μόνο για d με μήκος 1: διαιρέστε με το d @ d."
    assert not np.allclose(y, x - part * np.linalg.norm(d)), "το d εμφανίζεται δύο φορές, άρα διαιρέστε δύο φορές με το μήκος του, δηλαδή με το d @ d."
    assert np.allclose(y @ d, 0), f"το εσωτερικό γινόμενο της πρώτης γραμμής με το d πρέπει να είναι 0· το δικό σας είναι {y[0] @ d:.2f}."
    assert np.allclose(y, x - part), "είναι ορθογώνιο στο d, αλλά άλλαξε και κάτι άλλο."
    d = p.down[best]
    remove = lambda i, name, value: without(value.reshape(-1, 64), d).reshape(value.shape) if (i, name) == (layer, "block") else value
    new = baby.generate(prompts, 24, seed=3, replace_value=remove)
    about, _ = count([baby.decode(np.concatenate(each)).strip("\n").split("\n\n")[0] for each in zip(prompts, new)])
    return f"χωρίς την κατεύθυνση του χαρακτηριστικού {best} το {about:.0%} των κειμένων είναι για γενέθλια, αντί για {count(write(0 * d, prompts))[0]:.0%}."

# %% tags=["exercise"]
def without(x, d):
    """x (N, D), d (D) -> (N, D)"""
    return None

check(without)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def without(x, d):
#     """x (N, D), d (D) -> (N, D)"""
#     return x - np.outer(x @ d, d) / (d @ d)
#
# check(without)
# ```
#
# </details>

# %% [markdown]
# ### 3. Πόσο εξηγείται;
# Το μάθημα λέει τι ποσοστό της διασποράς εξηγεί ένας αυτοκωδικοποιητής. Υπολογίστε το: 1 μείον το άθροισμα των τετραγώνων των σφαλμάτων του
# `y` $(N, D)$, διαιρεμένο με το άθροισμα των τετραγώνων των σφαλμάτων που θα έκανε κανείς με τον μέσο όρο όλων των γραμμών του `x` $(N, D)$
# στη θέση κάθε γραμμής.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=17, number=3)
def check(explained):
    x = rng.standard_normal((50, 3)) * [1, 2, 3] + [5, 1, 0]
    mean = np.broadcast_to(x.mean(0), x.shape)
    y = 0.75 * x + 0.25 * mean
    got = explained(y, x)
    assert got is not None, "η explained επιστρέφει None: επιστρέψτε 1 μείον ένα πηλίκο δύο αθροισμάτων τετραγώνων."
    assert np.ndim(got) == 0, f"επιστρέψτε έναν αριθμό· το αποτέλεσμά σας έχει σχήμα {np.shape(got)}: αθροίστε και στους δύο άξονες."
    errors = ((x - y) ** 2).sum()
    assert not np.isclose(got, 1 / 16), "αυτό είναι το μέρος που δεν εξηγείται: αφαιρέστε το από το 1."
    assert not np.isclose(got, 1 - errors / (x ** 2).sum()), "έτσι συγκρίνετε με μηδενικά στη θέση του μέσου όρου των γραμμών: αφαιρέστε το x.mean(0) από το x."
    assert not np.isclose(got, 1 - errors / ((x - x.mean()) ** 2).sum()), "το x.mean() είναι ένας αριθμός· το x.mean(0) είναι ο μέσος όρος όλων των γραμμών, με D αριθμούς."
    assert np.isclose(explained(x, x), 1), f"το y = x εξηγεί τα πάντα, 1· το αποτέλεσμά σας είναι {explained(x, x):.2f}."
    assert np.isclose(got, 15 / 16), f"για σφάλματα που είναι το ένα τέταρτο των σφαλμάτων του μέσου όρου πρέπει να είναι {15 / 16:.4f}· το αποτέλεσμά σας είναι {got:.4f}."
    x = outputs(baby, held_out[:, :-1], layer).reshape(-1, 64)
    got = explained(sparse_autoencoder.forward(p, x, k)[0], x)
    assert np.isclose(got, measured[k]["explained"], atol=1e-3), f"για τον αυτοκωδικοποιητή μας πρέπει να είναι {measured[k]['explained']:.3f}· το αποτέλεσμά σας είναι {got:.3f}."
    return f"ο αυτοκωδικοποιητής μας με {k} ενεργά χαρακτηριστικά εξηγεί το {got:.1%}, όπως λέει και η βιβλιοθήκη."

# %% tags=["exercise"]
def explained(y, x):
    """y (N, D), x (N, D) -> ένας αριθμός, το πολύ 1"""
    return None

check(explained)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def explained(y, x):
#     """y (N, D), x (N, D) -> ένας αριθμός, το πολύ 1"""
#     return 1 - ((x - y) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
#
# check(explained)
# ```
#
# </details>

# %% [markdown]
# **Το τέλος της περιήγησης, και η αρχή της δικής σας.** Μετρήσατε, παραγωγίσατε, κοιτάξατε μέσα, συγκρίνατε, δρομολογήσατε, συγχωνεύσατε,
# συνομιλήσατε, πειραματιστήκατε, στρογγυλοποιήσατε και καθοδηγήσατε, και κάθε αριθμός ήταν ένας που μπορούσατε να τον ελέγξετε. Δεν υπάρχει
# γραμμή στη βιβλιοθήκη που να μην μπορείτε τώρα να τη διαβάσετε: ανοίξτε το `littlebaby/model/gpt.py`, και δείτε.
