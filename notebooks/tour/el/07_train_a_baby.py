# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7 · Η εκπαίδευση ενός μωρού
#
# *Τι συμβαίνει ανάμεσα στον θόρυβο και σε μια πρόταση;*
#
# Έχετε το μοντέλο και την κλίση του. Η εκπαίδευση είναι αυτό που κάνατε στο δεύτερο μάθημα, πολλές φορές: παίρνετε μια παρτίδα κειμένου,
# υπολογίζετε την απώλεια και την κλίση, αλλάζετε τα βάρη. Αρχίζετε ακριβώς με εκείνον τον βρόχο, τώρα με ένα ολόκληρο GPT. Ύστερα τον
# βελτιώνετε σε τρία σημεία, αφήνετε τον βρόχο της βιβλιοθήκης να εκπαιδεύσει ένα μωρό (baby, όπως λέει η βιβλιοθήκη ένα μοντέλο), και το
# βλέπετε να μεγαλώνει.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np
from threadpoolctl import threadpool_limits

from littlebaby import text as texts
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.tour import TrainingBar, exercise, picture, visible
from littlebaby.text import nursery

workspace = temporary_workspace()       # εδώ μένουν τα runs αυτού του μαθήματος ώσπου να κλείσει ο kernel
print("workspace:", workspace)
threadpool_limits(1);                   # ένα μοντέλο τόσο μικρό όσο το πρώτο τρέχει ταχύτερα σε έναν πυρήνα

# %% [markdown]
# ## Τι είναι μια παρτίδα
# Μια παρτίδα έχει εισόδους `x`, που είναι παράθυρα του κειμένου, και στόχους `y`, που είναι τα ίδια παράθυρα έναν χαρακτήρα αργότερα. Το
# μοντέλο προβλέπει λοιπόν τον επόμενο χαρακτήρα σε *κάθε* θέση: ένα παράθυρο 32 χαρακτήρων περιέχει 32 προβλέψεις, με συμφραζόμενα από 1 ως
# 32 χαρακτήρες.

# %%
story, _ = nursery.corpus(120_000, seed=1)
tokenizer = texts.train("char", story)
ids = tokenizer.encode(story)
seen, unseen = ids[:100_000], ids[100_000:]

cfg = lb.Config(n_ctx=32, n_emb=32, n_heads=4, n_layers=2)

def batch(ids, rng, rows=8):
    """Παράθυρα σε τυχαία σημεία του κειμένου -> είσοδοι (rows, 32), στόχοι (rows, 32)"""
    starts = rng.integers(len(ids) - cfg.n_ctx, size=rows)
    windows = ids[starts[:, None] + np.arange(cfg.n_ctx + 1)]
    return windows[:, :-1], windows[:, 1:]

x, y = batch(seen, np.random.default_rng(0))
print("σχήματα", x.shape, "και", y.shape)
print("είσοδος", repr(tokenizer.decode(x[0])))
print("στόχος ", repr(tokenizer.decode(y[0])))

# %% [markdown]
# ## Ο βρόχος
# Το `lb.Baby` είναι το μοντέλο του πέμπτου μαθήματος με τυχαία βάρη. Η `loss_and_grads` είναι το εμπρόσθιο και το οπίσθιο πέρασμά του, και
# η `weights` επιστρέφει όλα τα βάρη με τα ονόματά τους· όποιος αλλάζει τα στοιχεία τους αλλάζει το μοντέλο. Δεν χρειαζόμαστε τίποτε άλλο.
# Να πάλι ο βρόχος του δεύτερου μαθήματος, η κατάβαση κλίσης:

# %% tags=["parameters"] small="steps = 12"
steps = 500

# %%
baby = lb.Baby(cfg, tokenizer=tokenizer, seed=0)
weights, rng, plain = baby.weights(), np.random.default_rng(0), []

for step in range(steps):
    x, y = batch(seen, rng)
    loss, grads = baby.loss_and_grads(x, y)
    for name in grads:
        weights[name] -= 0.3 * grads[name]
    plain.append(loss)

print(f"{sum(w.size for w in weights.values()):,} βάρη σε {len(weights)} πίνακες· απώλεια {plain[0]:.2f} στην αρχή, {np.mean(plain[-50:]):.2f} στο τέλος")
print(baby.decode(baby.generate(baby.encode("Zoe "), 150, temperature=0.8, seed=0)))

# %% [markdown]
# Μαθαίνει. Το τέλος αυτού του μαθήματος δεν είναι παρά ο ίδιος βρόχος με μεγαλύτερο μοντέλο και περισσότερα βήματα, και με τρεις
# βελτιώσεις.
#
# ## Ένα καλύτερο βήμα
# Το μέρος του βρόχου που αλλάζει τα βάρη λέγεται **βελτιστοποιητής** (optimizer). Η απλή κατάβαση κλίσης, που λέγεται και **SGD**
# (stochastic gradient descent, στοχαστική κατάβαση κλίσης), έχει μια αδυναμία: οι κλίσεις κάποιων βαρών είναι πάντα μεγάλες, άλλων πάντα
# μικρές, και ένας ρυθμός μάθησης που ταιριάζει στα πρώτα είναι υπερβολικά μικρός για τα δεύτερα. Ο **Adam** διαιρεί με αυτό το μέγεθος. Για
# κάθε βάρος κρατά δύο κινητούς μέσους όρους, της κλίσης του και του τετραγώνου της κλίσης του, και αλλάζει το βάρος κατά τον πρώτο
# διαιρεμένο με τη ρίζα του δεύτερου: περίπου κατά τον ρυθμό μάθησης, όσο μικρή κι αν είναι η κλίση.

# %%
def sgd(w, gradient, memory, step, rate):
    w -= rate * gradient

def adam(w, gradient, memory, step, rate):
    """memory: οι κινητοί μέσοι της κλίσης και του τετραγώνου της, που ξεκινούν από 0"""
    m, v = memory
    m += 0.1 * (gradient - m)
    v += 0.01 * (gradient ** 2 - v)
    w -= rate * (m / (1 - 0.9 ** step)) / (np.sqrt(v / (1 - 0.99 ** step)) + 1e-8)      # χωρίς τους διαιρέτες οι πρώτοι μέσοι είναι πολύ μικροί

def train(optimizer, rate, schedule=lambda step: 1, clip=np.inf):
    """Ο παραπάνω βρόχος με έναν βελτιστοποιητή -> μωρό, η απώλεια κάθε βήματος, η νόρμα της κλίσης κάθε βήματος"""
    baby = lb.Baby(cfg, tokenizer=tokenizer, seed=0)
    weights, rng, losses, norms = baby.weights(), np.random.default_rng(0), [], []
    memories = {name: np.zeros((2, *w.shape), w.dtype) for name, w in weights.items()}
    for step in range(1, steps + 1):
        loss, grads = baby.loss_and_grads(*batch(seen, rng))
        norm = np.sqrt(sum((gradient ** 2).sum() for gradient in grads.values()))
        for name, gradient in grads.items():
            optimizer(weights[name], gradient * min(1, clip / norm), memories[name], step, rate * schedule(step))
        losses.append(loss)
        norms.append(norm)
    return baby, losses, norms

curves = {"sgd": plain, "adam": train(adam, 0.005)[1]}
axes = picture("απώλεια σε nats ανά χαρακτήρα, ανά βήμα, με δύο βελτιστοποιητές", height=3.4)
for (name, losses), color in zip(curves.items(), (GRAY, TRAIN)):
    axes.plot(running(losses), color=color, lw=1.8)
    axes.annotate(f"{name} {np.mean(losses[-50:]):.2f}", (len(losses), running(losses)[-1]), (6, 0), textcoords="offset points", color=color,
                  va="center")
axes.set_xlim(0, len(losses));

# %% [markdown]
# Και οι δύο περνούν γρήγορα την απώλεια του πρώτου πίνακα του πρώτου μαθήματος, 3.04: έμαθαν τη συχνότητα κάθε χαρακτήρα. Ύστερα ο `sgd`
# επιβραδύνεται, και ο `adam` όχι. Η βιβλιοθήκη έχει πέντε βελτιστοποιητές, τον καθένα σε ένα σύντομο αρχείο στο `training/optimizers`. Ο
# `adamw` είναι ο Adam με **εξασθένηση βαρών** (weight decay), που κάνει σε κάθε βήμα κάθε βάρος λίγο μικρότερο, ώστε να μένουν μεγάλα μόνο
# τα βάρη που χρειάζονται. Ο `muon`, που τον χρησιμοποιεί η προκαθορισμένη εκπαίδευση, πηγαίνει ένα βήμα πιο πέρα από τον Adam: σε όλες τις
# *κατευθύνσεις* ενός πίνακα βαρών δίνει μια αλλαγή με περίπου το ίδιο μέγεθος.
#
# ## Ένα βήμα όχι υπερβολικά μεγάλο
# Με υψηλό ρυθμό μάθησης η εκπαίδευση είναι γρήγορη, αν δεν αποτύχει. Δύο προσθήκες την κάνουν ασφαλέστερη. Ένα **πρόγραμμα του ρυθμού
# μάθησης** (learning rate schedule) αλλάζει τον ρυθμό από βήμα σε βήμα: ο ρυθμός ανεβαίνει σε μια σύντομη **προθέρμανση** (warm-up), σαν
# του δρομέα, επειδή οι πρώτες κλίσεις ενός τυχαίου μοντέλου είναι κακός οδηγός, και ύστερα πέφτει, επειδή τα μικρά βήματα στο τέλος
# εξομαλύνουν τον θόρυβο των τυχαίων παρτίδων. Και η **περικοπή της κλίσης** (gradient clipping) βάζει όριο στη νόρμα της κλίσης: μια κλίση
# με νόρμα πάνω από το όριο μικραίνει ώσπου να το φτάσει.

# %%
def warm_up_and_decay(step, warmup=10):
    return step / (warmup + 1) if step <= warmup else 1 - (step - warmup) / (steps - warmup)

axes, right = picture("απώλεια ανά βήμα, με ρυθμό μάθησης 0.02", "νόρμα της κλίσης ανά βήμα", widths=(1.4, 1), height=3.2)
for name, color, options in (("σταθερός ρυθμός", GRAY, {}), ("με πρόγραμμα και περικοπή", TRAIN, dict(schedule=warm_up_and_decay, clip=1.0))):
    trained, losses, norms = train(adam, 0.02, **options)
    axes.plot(running(losses), color=color, lw=1.8, label=name)
    right.plot(norms, color=color, lw=0.8)
    valid_loss = trained.loss(*batch(unseen, np.random.default_rng(1), 300))
    print(f"{name:30} απώλεια εκπαίδευσης {np.mean(losses[-50:]):.2f}, επικύρωσης {valid_loss:.2f}")
right.axhline(1, color=VALID, ls=(0, (6, 3)))
axes.legend(frameon=False, fontsize=8, labelcolor=GRAY);

# %% [markdown]
# Ο ρυθμός 0.02 είναι τέσσερις φορές ο προηγούμενος, και όταν μένει σταθερός, η εκπαίδευση είναι πιο αργή από την απλή κατάβαση κλίσης. Με
# πρόγραμμα και με περικοπή (η διακεκομμένη γραμμή είναι το όριο) πετυχαίνει. Χάρη σ' αυτά τα δύο είναι ευκολότερο να βρεθεί ένας αρκετά
# καλός ρυθμός.
#
# ## Τι προσθέτει ο βρόχος της βιβλιοθήκης
# Η `lb.train` περιέχει τον βρόχο που μόλις είδατε, και με τις τρεις βελτιώσεις. Γύρω του είναι τα πράγματα που χρειάζεται μια εκπαίδευση
# ωρών και δεν χρειάζεται μια εκπαίδευση δευτερολέπτων:
#
# - επικύρωση σε τακτά διαστήματα: η απώλεια σε κείμενο με το οποίο δεν γίνεται εκπαίδευση. Διατηρούνται τα βάρη με τη μικρότερη απώλεια
#   επικύρωσης.
# - ένα δείγμα κειμένου σε κάθε επικύρωση, γιατί μια απώλεια λέει λίγα για το πώς διαβάζεται ένα κείμενο.
# - πότε πότε ένα **σημείο ελέγχου** (checkpoint), σαν αποθηκευμένο παιχνίδι: ένα αρχείο με όλα τα βάρη, τη μνήμη του βελτιστοποιητή, και τη
#   θέση μέσα στο κείμενο. Μετά από μια διακοπή ρεύματος η `lb.train(resume="last")` συνεχίζει από εκεί, και υπολογίζει τους ίδιους αριθμούς
#   όπως χωρίς τη διακοπή.
# - παρτίδες με τέτοια σειρά, που κάθε μέρος του κειμένου χρησιμοποιείται μία φορά πριν χρησιμοποιηθεί κάποιο ξανά· ένα τέτοιο πέρασμα
#   λέγεται **εποχή** (epoch).
# - πολλά νήματα (threads), το καθένα με ένα μέρος κάθε παρτίδας· και μια εκτίμηση του κόστους πριν αρχίσει οτιδήποτε:

# %% tags=["parameters"] small="settings = dict(n_ctx=64, n_emb=32, n_heads=4, n_layers=2, n_steps=60, s_eval=10, n_completion=100)"
settings = dict(n_ctx=256, n_emb=96, n_heads=6, n_steps=300, s_eval=50, n_completion=400)

# %%
from littlebaby.show.estimate_tables import preflight_table

print(preflight_table(lb.preflight("nursery", "characters", **settings)))

# %%
run = lb.train("nursery", "characters", progress=TrainingBar(), **settings)

# %% [markdown]
# (Η γραμμή μετρά τα βήματα. Με `progress=True`, που είναι το προκαθορισμένο, μια μπάρα δείχνει και την απώλεια όσο διαρκεί η εκπαίδευση·
# εδώ κοιτάζουμε τα αποτελέσματα μετά.)
#
# Σε κάθε αξιολόγηση ένα run κρατά την απώλεια επικύρωσης και ένα δείγμα από το κείμενο που παράγει:

# %%
floor = run.report.nursery_floor
for row in run.report.evaluations:
    print(f"βήμα {row.step:4}   απώλεια επικύρωσης {row.valid_loss:.3f}   {' '.join(row.sample.split())[:80]}")
print(f"εντροπία       {floor:21.3f}")

# %% [markdown]
# Πρώτα μαθαίνει χαρακτήρες, ύστερα ομάδες που μοιάζουν με λέξεις, ύστερα λέξεις, και ύστερα προτάσεις. Κανείς δεν σχεδίασε αυτή τη σειρά:
# είναι η σειρά με την οποία η απώλεια πέφτει γρηγορότερα. Κανένα μοντέλο δεν μπορεί να έχει απώλεια μικρότερη από την εντροπία του κειμένου
# (μάθημα 1). Εδώ είναι ολόκληρο το run, με το πρόγραμμα και τη νόρμα της κλίσης κάτω από την απώλεια:

# %%
from IPython.display import Image

Image(run.chart(), width=800)

# %% [markdown]
# Η απώλεια επικύρωσης βρίσκεται συχνά *κάτω* από την απώλεια εκπαίδευσης. Δεν είναι λάθος: η μπλε γραμμή είναι ο μέσος όρος των τελευταίων
# βημάτων, στα οποία το μοντέλο ήταν ακόμη χειρότερο απ' ό,τι τώρα. Ένας δεύτερος λόγος, σε άλλες εκπαιδεύσεις, είναι το **dropout**
# (`r_dropout`): σε κάθε βήμα της εκπαίδευσης μηδενίζει ένα τυχαίο μέρος των ενεργοποιήσεων, ενάντια στην υπερπροσαρμογή, κι έτσι μεγαλώνει
# την απώλεια εκπαίδευσης· στην επικύρωση είναι σβηστό. Η υπερπροσαρμογή φαίνεται αλλιώς: η απώλεια εκπαίδευσης συνεχίζει να πέφτει, ενώ η
# απώλεια επικύρωσης ανεβαίνει.

# %%
perplexity = np.exp(run.report.best_valid_loss)
print(f"{run.report.figures.parameters.total:,} βάρη, εκπαίδευση με {run.report.figures.tokens:,} χαρακτήρες")
print(f"απώλεια επικύρωσης {run.report.best_valid_loss:.3f}, perplexity {perplexity:.2f}· η μικρότερη δυνατή perplexity είναι {np.exp(floor):.2f}\n")
print("Zoe hid a" + lb.inference(run.guid, prompt="Zoe hid a", max_tokens=250, temperature=0.5, seed=1).text)

# %% [markdown]
# Ο καλύτερος πίνακας του πρώτου μαθήματος έφτασε σε απώλεια 0.49 με συμφραζόμενα επτά χαρακτήρων· με περισσότερα γινόταν χειρότερος. Αυτό
# το μωρό έχει συμφραζόμενα 256 χαρακτήρων, και η απώλειά του είναι μικρότερη. Η εκπαίδευση ήταν και σύντομη: το preset `characters`
# χωρίς αυτές τις ρυθμίσεις χρησιμοποιεί σχεδόν πέντε φορές τόσους χαρακτήρες.
#
# ## Δείτε μέσα
# Στο τέταρτο μάθημα διαλέξατε τα βάρη προσοχής μιας κεφαλής με το χέρι. Τι βάρη προσοχής έχει μάθει αυτό το μωρό; Το microscope, το
# μικροσκόπιο, δείχνει τι συμβαίνει μέσα σε ένα μοντέλο όσο επεξεργάζεται μια πρόταση· το `lb.microscope(run.guid)` μόνο του δείχνει μια
# σελίδα με τα πάντα. Εδώ το χρησιμοποιούμε για μία ερώτηση: πόσο πίσω κοιτάζει κάθε κεφαλή; Για κάθε κεφαλή υπολογίζουμε τη μέση απόσταση,
# σε χαρακτήρες, ανάμεσα σε ένα token και σε εκείνα που προσέχει, σταθμισμένη με τα βάρη προσοχής, και δείχνουμε την κεφαλή με τη μικρότερη
# απόσταση και την κεφαλή με τη μεγαλύτερη.

# %%
from littlebaby.check.inspect_model import mean_distances
from littlebaby.show.variant_pictures import squares

inside = lb.microscope(run.guid, "Zoe hid a yellow mask. At night Z")
distance = {(block + 1, head + 1): n for block, heads in inside.attention.items() for head, n in enumerate(mean_distances(heads))}
near, far = min(distance, key=distance.get), max(distance, key=distance.get)

labels = visible(inside.tokens)
pair = picture(*(f"μπλοκ {block}, κεφαλή {head}: {distance[block, head]:.1f} χαρακτήρες πίσω" for block, head in (near, far)), height=4.2)
for axes, (block, head) in zip(pair, (near, far)):
    squares(axes, inside.attention[block - 1][head - 1], axes.get_title(loc="left"))
    axes.set_xticks(range(len(labels)), labels, fontsize=8, family="monospace")
    axes.set_yticks(range(len(labels)), labels, fontsize=8, family="monospace")
print("μέση απόσταση των κεφαλών κάθε μπλοκ:")
for block, heads in inside.attention.items():
    print(f"    μπλοκ {block + 1}  ", "  ".join(f"{n:.1f}" for n in sorted(mean_distances(heads))))
print(f"μέση απόσταση με ίσα βάρη προσοχής: {(len(labels) - 1) / 4:.1f}")
likely = zip(inside.visible_tokens(inside.top_ids[-1, -1]), inside.probabilities[-1, -1])
print("πρόβλεψη μετά το τελευταίο Z:", ", ".join(f"{token} {p:.0%}" for token, p in likely))

# %% [markdown]
# Κανείς δεν ανέθεσε δουλειές στις κεφαλές, κι όμως αυτές μοίρασαν το έργο: κάποιες προσέχουν κυρίως τους χαρακτήρες της τωρινής λέξης, και
# προπάντων τον πρώτο· άλλες προσέχουν χαρακτήρες σε όλη την πρόταση.
#
# ## Δοκιμάστε
# ### 1. Ορμή
# Μια μπάλα που κυλά δεν σταματά σε κάθε πετραδάκι. Γράψτε ένα βήμα κατάβασης κλίσης με **ορμή** (momentum): η ταχύτητα είναι `mu` φορές η
# παλιά ταχύτητα συν την κλίση, και τα βάρη αλλάζουν κατά `rate` φορές την ταχύτητα, προς τα κάτω. Επιστρέψτε τα νέα βάρη και τη νέα
# ταχύτητα.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
from littlebaby.arrays.tree import vector
from littlebaby.training.optimizers import sgd

@exercise(lesson=7, number=1)
def check(step):
    rng = np.random.default_rng(0)
    w, velocity, mu, rate = rng.standard_normal(5), np.zeros(5), 0.9, 0.1
    library_w, state = w.copy(), sgd.state(dict(w=vector(5)), float)
    for _ in range(4):
        g = rng.standard_normal(5)
        answer = step(w, g, velocity, rate, mu)
        assert answer is not None, "η step επιστρέφει None: επιστρέψτε τα νέα βάρη και τη νέα ταχύτητα, με αυτή τη σειρά."
        assert isinstance(answer, (tuple, list)) and len(answer) == 2, "επιστρέψτε δύο πίνακες: τα νέα βάρη και τη νέα ταχύτητα."
        w, velocity = answer
        sgd.step(library_w, g, state, dict(w=vector(5)), lb.Config(r_momentum=mu, r_weight_decay=0), rate)
    assert np.allclose(velocity, state["m"]), "η ταχύτητα είναι λάθος: είναι mu φορές η παλιά ταχύτητα συν την κλίση, χωρίς το rate, και χωρίς το 1 - mu."
    assert np.allclose(w, library_w), "η ταχύτητα είναι σωστή, αλλά τα βάρη είναι λάθος: αφαιρέστε rate φορές τη νέα ταχύτητα."
    return f"μετά από τέσσερα βήματα διαφέρει από τον sgd της βιβλιοθήκης κατά {abs(w - library_w).max():.0e}."

# %% tags=["exercise"]
def step(w, gradient, velocity, rate, mu):
    """-> w, velocity"""
    return None

check(step)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def step(w, gradient, velocity, rate, mu):
#     """-> w, velocity"""
#     velocity = mu * velocity + gradient
#     return w - rate * velocity, velocity
#
# check(step)
# ```
#
# </details>

# %% [markdown]
# ### 2. Το πρόγραμμα του ρυθμού μάθησης
# Ο ρυθμός μάθησης δεν είναι ο ίδιος σε κάθε βήμα. Στα πρώτα `warmup` βήματα ανεβαίνει: το βήμα 1 έχει το $1/(\text{warmup} + 1)$ του
# πλήρους ρυθμού, το βήμα 2 το $2/(\text{warmup} + 1)$, και ούτω καθεξής. Ύστερα πέφτει κατά μήκος μισού συνημιτόνου: το πρώτο βήμα μετά την
# προθέρμανση έχει τον πλήρη ρυθμό, και ένα βήμα μετά το τελευταίο θα ήταν 0. Γράψτε τον πολλαπλασιαστή του ρυθμού, έναν αριθμό από 0 ως 1.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
from littlebaby.training.schedules import multiplier

@exercise(lesson=7, number=2)
def check(schedule):
    assert schedule(1, 100, 10) is not None, "η schedule επιστρέφει None: επιστρέψτε έναν αριθμό από 0 ως 1 για κάθε βήμα."
    settings = lb.Config(s_warmup=10, r_learn_min=0.0, c_schedule="cosine")
    for step in range(1, 101):
        right, got = multiplier(step, 100, settings), schedule(step, 100, 10)
        where = "στην προθέρμανση των 10" if step <= 10 else "το πρώτο μετά την προθέρμανση" if step == 11 else "μετά την προθέρμανση"
        assert abs(got - right) < 1e-10, f"στο βήμα {step}, {where}, πρέπει να είναι {right:.4f}· το αποτέλεσμά σας είναι {got:.4f}."
    return "και τα εκατό βήματα συμφωνούν με τη βιβλιοθήκη. Τα μικρά βήματα στο τέλος μειώνουν τον θόρυβο των τυχαίων παρτίδων."

# %% tags=["exercise"]
def schedule(step, total, warmup):
    """Ο πολλαπλασιαστής του ρυθμού μάθησης στο βήμα 1, 2, ..., total"""
    return None

check(schedule)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def schedule(step, total, warmup):
#     """Ο πολλαπλασιαστής του ρυθμού μάθησης στο βήμα 1, 2, ..., total"""
#     if step <= warmup:
#         return step / (warmup + 1)
#     x = (step - 1 - warmup) / (total - warmup)
#     return (1 + np.cos(np.pi * x)) / 2
#
# check(schedule)
# ```
#
# </details>

# %% [markdown]
# ### 3. Το έχει απομνημονεύσει;
# Επαναλαμβάνει το μωρό τις ιστορίες με τις οποίες εκπαιδεύτηκε, ή λέει καινούριες; Το `written` είναι το κείμενο που παρήγαγε μετά την
# εκπαίδευση, και το `source` είναι το κείμενο εκπαίδευσης. Βρείτε το μήκος, σε χαρακτήρες, του πιο μακριού κομματιού του `written` που
# υπάρχει και στο `source`.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
from littlebaby.runs.store import Workspace
from littlebaby.text.overlap import longest

source, written = Workspace(None).read_text("nursery", "utf-8").text, run.completion.text

@exercise(lesson=7, number=3)
def check(n):
    right = len(longest(written, source))
    assert n is not None, "βάλτε έναν αριθμό στη θέση του None: δοκιμάστε μήκη από τα μεγάλα προς τα μικρά, ώσπου ένα κομμάτι του `written` να βρεθεί στο `source`."
    assert not isinstance(n, str), "βάλτε το μήκος αυτού του κομματιού, έναν αριθμό, όχι το ίδιο το κομμάτι."
    assert n <= right, f"κανένα κομμάτι του `written` με {n} χαρακτήρες δεν υπάρχει στο `source`."
    assert n == right, f"στο `source` υπάρχει κομμάτι πιο μακρύ από {n} χαρακτήρες."
    return f"{n} από {len(written)} χαρακτήρες: έχει απομνημονεύσει φράσεις, όπως κι εμείς, και λέει μ' αυτές δικές του ιστορίες."

# %% tags=["exercise"]
# το `a in b` είναι True αν το κείμενο a υπάρχει μέσα στο κείμενο b
overlap = None

check(overlap)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# overlap = 0
# for start in range(len(written)):
#     while start + overlap < len(written) and written[start:start + overlap + 1] in source:
#         overlap += 1
#
# check(overlap)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [8 · Ο ζωολογικός κήπος της προσοχής](08_attentions_zoo.ipynb): υπάρχουν πολλές μορφές προσοχής, και μία ρύθμιση διαλέγει
# ανάμεσά τους.
