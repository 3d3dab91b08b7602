# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 14 · Bits, κρυφή μνήμη, εικασίες
#
# *Πώς μπορεί ένα εκπαιδευμένο μοντέλο να γίνει μικρότερο και ταχύτερο;*
#
# Για να παραγάγει ένα token, ένα μοντέλο χρησιμοποιεί κάθε βάρος του περίπου μία φορά. Ένας επεξεργαστής πολλαπλασιάζει ταχύτερα απ' όσο
# του φέρνει αριθμούς η μνήμη του, κι έτσι με ένα μεγάλο μοντέλο ο περισσότερος χρόνος πηγαίνει στην ανάγνωση των βαρών. Από εδώ προκύπτουν
# τρία κόλπα: να γίνουν τα βάρη μικρότερα, να μην υπολογίζεται τίποτα δύο φορές, και να χρησιμοποιείται κάθε βάρος, αφού διαβαστεί μία φορά,
# για πολλά tokens. Το πρώτο κόλπο αλλάζει λίγο το μοντέλο, και μετράμε πόσο. Τα άλλα δύο δεν αλλάζουν καθόλου το κείμενο.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
from time import perf_counter

import numpy as np

from littlebaby import arrays
from littlebaby.arrays import backend
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.charts import FLOOR, GRAY, INK, PALE, TRAIN, VALID
from littlebaby.show.tour import TrainingBar, exercise, picture, visible
from littlebaby.show.variant_pictures import squares
from littlebaby.text import nursery

workspace = temporary_workspace()       # εδώ μένουν τα runs αυτού του μαθήματος ώσπου να κλείσει ο kernel
print("workspace:", workspace)

# %% [markdown]
# ## Δύο μωρά
# Εκπαιδεύουμε ένα μωρό για αυτό το μάθημα, και ένα δεύτερο με το ένα έβδομο των βαρών του, που αργότερα θα βοηθήσει το πρώτο. Όλες οι
# απώλειες παρακάτω μετριούνται σε νέες ιστορίες. Η εντροπία τους είναι γνωστή (μάθημα 1): κανένα μοντέλο δεν μπορεί να έχει μικρότερη
# απώλεια.

# %% tags=["parameters"] small="steps, small_steps, samples = 30, 20, 40"
steps, small_steps, samples = 1000, 600, 1000       # της εκπαίδευσης, του μικρού μωρού· πόσες φορές τραβάμε στην τελευταία εικόνα

# %%
settings = dict(n_ctx=128, batch_size=8, r_eval_overlap=0.0, s_eval=10_000, n_sample=0, progress=TrainingBar())
with backend.blas_threads(1):                       # τόσο μικροί πίνακες πολλαπλασιάζονται γρηγορότερα με ένα μόνο νήμα
    run = lb.train("nursery", "characters", n_emb=64, n_heads=4, n_layers=2, n_steps=steps, **settings)
    small_run = lb.train("nursery", "characters", n_emb=32, n_heads=2, n_layers=1, n_steps=small_steps, **settings)
model, small = lb.load(run.guid), lb.load(small_run.guid)

new_text = nursery.corpus(6_000, seed=7)[0]
ids, floor = model.encode(new_text), nursery.floor(new_text)
windows = np.stack([ids[i:i + 129] for i in range(0, len(ids) - 129, 128)])
x, y = windows[:, :-1], windows[:, 1:]

for name, baby in {"μεγάλο": model, "μικρό": small}.items():
    print(f"{name:8} {baby.flat.size:7,} βάρη, απώλεια σε νέες ιστορίες {baby.loss(x, y):.3f} nats ανά χαρακτήρα")
print(f"εντροπία                   {floor:27.3f}")

# %% [markdown]
# ## Λιγότερα bits
# Ένα βάρος σε float32 πιάνει 32 bits. Η **κβάντιση** (quantization) στρογγυλοποιεί κάθε βάρος σε μία από λίγες *στάθμες* (levels) που
# απέχουν το ίδιο μεταξύ τους, και αποθηκεύει μόνο τον αριθμό της στάθμης, έναν μικρό ακέραιο $q$. Η απλούστερη μορφή είναι συμμετρική: οι
# στάθμες είναι $-n, \dots, n$, πολλαπλασιασμένες με μια *κλίμακα* (scale) $s$, που διαλέγεται έτσι ώστε το μεγαλύτερο βάρος να γίνει η
# τελευταία στάθμη. Για $n = 2^{b-1} - 1$ αρκούν $b$ bits.
#
# $$s = \frac{\max |w|}{n} \qquad q = \mathrm{round}(w / s) \qquad w \approx s\,q$$
#
# Ένας πίνακας μπορεί να έχει μία κλίμακα, ή μία για κάθε στήλη. Στο $y = x\,w$ μια στήλη υπολογίζει μία έξοδο, άρα το άθροισμα μπορεί να
# υπολογιστεί με τους αριθμούς των σταθμών και να πολλαπλασιαστεί ύστερα με την κλίμακα. Στον πίνακα των ενσωματώσεων αυτό που ανήκει σε ένα
# token είναι η γραμμή· εκεί κάθε γραμμή παίρνει μια κλίμακα.

# %%
def quantize(w, bits, axis=None):
    """w (I, O), στρογγυλοποιημένο· axis None: μία κλίμακα για όλον τον πίνακα, 0: μία για κάθε στήλη, 1: μία για κάθε γραμμή"""
    n = 2 ** (bits - 1) - 1
    scale = abs(w).max(axis, keepdims=True) / n
    return scale * np.round(w / scale)

matrices = {name: w for name, w in model.weights().items() if w.ndim == 2}
scale_axis = {name: 1 if name == "token" else 0 for name in matrices}

def changed(change):
    """Ένα αντίγραφο του μοντέλου όπου κάθε πίνακας w αντικαθίσταται από το change(name, w)"""
    copy = lb.Baby(model.config, tokenizer=model.tokenizer, flat=model.flat.copy())
    for name in matrices:
        copy.weights()[name][...] = change(name, matrices[name])
    return copy

column = matrices["blocks.0.att.wq"][1:9, :1]
scale = abs(column).max() / 7
print("οκτώ βάρη         ", *(f"{w:6.3f}" for w in column[:, 0]))
print("οι στάθμες τους   ", *(f"{q:6.0f}" for q in (column / scale).round()[:, 0]), f"   4 bits, κλίμακα {scale:.4f}")
print("στρογγυλοποιημένα ", *(f"{w:6.3f}" for w in quantize(column, 4)[:, 0]))

# %% [markdown]
# Οι κανονικοποιήσεις και οι πολώσεις είναι λίγες και μένουν όπως είναι· στρογγυλοποιούνται όλοι οι πίνακες. Υπολογίζουμε με τις
# στρογγυλοποιημένες τιμές σε float32, επειδή η απώλεια είναι η ίδια· ένα πρόγραμμα που θέλει να γλιτώσει μνήμη αποθηκεύει τα $q$ και $s$.

# %%
all_bits = [8, 6, 5, 4, 3, 2]
loss_before = model.loss(x, y)
one = {bits: changed(lambda name, w: quantize(w, bits)).loss(x, y) for bits in all_bits}
many = {bits: changed(lambda name, w: quantize(w, bits, scale_axis[name])).loss(x, y) for bits in all_bits}

n_weights, n_scales = sum(w.size for w in matrices.values()), sum(w.shape[1 - scale_axis[name]] for name, w in matrices.items())
print(" bits ανά βάρος   kilobytes     κλίμακα ανά πίνακα        ανά στήλη")
print(f"{32:15}   {n_weights * 4 / 1000:9.1f}   {loss_before:20.3f}   {loss_before:14.3f}")
for bits in all_bits:
    print(f"{bits:15}   {(n_weights * bits / 8 + n_scales * 4) / 1000:9.1f}   {one[bits]:20.3f}   {many[bits]:14.3f}")

axes = picture("απώλεια ανά bits κάθε βάρους, nats ανά χαρακτήρα", height=3.6)
for losses, name, color, offset in ((one, "μία κλίμακα ανά πίνακα", VALID, (-10, 4)), (many, "μία κλίμακα ανά στήλη", TRAIN, (10, -8))):
    axes.semilogy(all_bits, losses.values(), "o-", color=color)
    axes.annotate(name, (3, losses[3]), offset, textcoords="offset points", color=color, ha="left" if offset[0] > 0 else "right", va="center")
for height, name, color in ((floor, "εντροπία", FLOOR), (loss_before, "32 bits", GRAY)):
    axes.axhline(height, color=color, ls=(0, (6, 3)))
    axes.annotate(name, (2, height), (0, -9), textcoords="offset points", color=color, ha="right", va="center")
axes.invert_xaxis()
axes.set_yticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
axes.set_yticks([], minor=True)
axes.set_ylim(0.16, 9);

# %% [markdown]
# Τα οκτώ bits δεν χάνουν τίποτα που να μπορεί να μετρηθεί: τα περισσότερα από τα 32 bits δεν χρειάστηκαν ποτέ. Στα τέσσερα bits έχει
# σημασία πόσες κλίμακες υπάρχουν, και οι περισσότερες κοστίζουν λίγο: εδώ 5 kilobytes, σε μεγαλύτερους πίνακες ένα ακόμη μικρότερο μέρος.
# Με τρία bits το μοντέλο παθαίνει ζημιά, και με δύο, δηλαδή με τρεις στάθμες, η απώλειά του είναι μεγαλύτερη από μιας ομοιόμορφης
# πρόβλεψης, $\ln 47 = 3.85$.
#
# ## Ένα μεγάλο βάρος
# Γιατί βοηθούν οι περισσότερες κλίμακες; Το μεγαλύτερο βάρος καθορίζει τις στάθμες όλων των βαρών που έχουν την ίδια κλίμακα. Ένα βάρος ή
# μια τιμή που είναι πολύ μεγαλύτερη από τις άλλες λέγεται **ακραία τιμή** (outlier). Βάζουμε εμείς μία: ένα μόνο βάρος από τα 16,384
# παίρνει είκοσι φορές την τυπική απόκλιση του πίνακά του.

# %%
name, place = "blocks.0.net.up", (5, 7)
with_outlier = matrices[name].copy()
with_outlier[place] = 20 * with_outlier.std()

left, right = picture("βάρη, και οι στάθμες των 4 bits", "το ίδιο με μία ακραία τιμή, στο βέλος", widths=(1, 1.6), height=2.8)
for axes, w in ((left, matrices[name]), (right, with_outlier)):
    scale = abs(w).max() / 7
    axes.hist(w.ravel(), 80, color=TRAIN)
    for q in range(-7, 8):
        axes.axvline(scale * q, color=VALID, lw=0.6)
    levels = np.unique(np.round(w / scale))
    print(f"χρησιμοποιούνται {len(levels)} από 15 στάθμες· το {(np.round(w / scale) == 0).mean():.0%} των βαρών γίνεται 0")
left.set_xticks([-0.5, 0, 0.5])
right.annotate("", (with_outlier[place], 0), (with_outlier[place], 500), arrowprops=dict(arrowstyle="->", color=INK))

def loss_with(w):
    """Η απώλεια του μοντέλου με το w στη θέση αυτού του ενός πίνακα"""
    return changed(lambda each, old: w if each == name else old).loss(x, y)

def apart(w):
    """Όλα τα βάρη εκτός από την ακραία τιμή με 4 bits και μία κλίμακα· η ακραία τιμή μένει όπως είναι"""
    rest = w.copy()
    rest[place] = 0
    rest = quantize(rest, 4)
    rest[place] = w[place]
    return rest

print(f"\nχωρίς ακραία τιμή   4 bits, μία κλίμακα                              απώλεια {loss_with(quantize(matrices[name], 4)):.3f}")
for words, w in {"32 bits": with_outlier, "4 bits, μία κλίμακα": quantize(with_outlier, 4), "4 bits, μία κλίμακα ανά στήλη": quantize(with_outlier, 4, 0),
                 "4 bits, μία κλίμακα, η ακραία τιμή χωριστά": apart(with_outlier)}.items():
    print(f"με μία ακραία τιμή  {words:43} απώλεια {loss_with(w):.3f}")

# %% [markdown]
# Η ίδια η ακραία τιμή σχεδόν δεν βλάπτει. Με κοινή κλίμακα όμως απομακρύνει τις στάθμες τη μία από την άλλη, και σχεδόν όλα τα άλλα βάρη
# πέφτουν στις ίδιες λίγες στάθμες. Μια κλίμακα ανά στήλη περιορίζει τη ζημιά σε μία στήλη από τις 256· αν η ακραία τιμή αποθηκευτεί
# χωριστά, δεν γίνεται ζημιά.
#
# Από αυτό εξαρτάται με πόσο λίγα bits τα καταφέρνει ένα μεγάλο μοντέλο. Εκεί οι χειρότερες ακραίες τιμές δεν είναι βάρη αλλά
# ενεργοποιήσεις: σε μοντέλα με πάνω από έξι περίπου δισεκατομμύρια βάρη, λίγες διαστάσεις του υπολειμματικού ρεύματος είναι ως και είκοσι
# φορές μεγαλύτερες από όλες τις άλλες. Οι Dettmers κ.ά. ([2022](https://arxiv.org/abs/2208.07339)) πολλαπλασιάζουν αυτές τις λίγες σε
# 16 bits, και πάνω από το 99.9% των τιμών σε 8 bits, με μια κλίμακα για κάθε γραμμή και στήλη, και το μοντέλο προβλέπει το ίδιο καλά όπως
# πριν. Οι Frantar κ.ά. ([2022](https://arxiv.org/abs/2210.17323)) κρατούν τα βάρη σε 3 ή 4 bits: στρογγυλοποιούν τη μία γραμμή μετά την
# άλλη, και μετά από καθεμία διορθώνουν τις γραμμές που δεν έχουν στρογγυλοποιηθεί ακόμη, ώστε οι έξοδοι του στρώματος σε κάποιο πραγματικό
# κείμενο να αλλάζουν όσο το δυνατόν λιγότερο.
#
# ## Ποια βάρη χρειάζονται τα bits τους;
# Στρογγυλοποιούμε έναν πίνακα κάθε φορά σε δύο bits, αφήνουμε όλους τους άλλους όπως είναι, και κοιτάζουμε πόσο ανεβαίνει η απώλεια.

# %%
only = lambda each: changed(lambda name, w: quantize(w, 2, scale_axis[name]) if name == each else w)
rise = {each: only(each).loss(x, y) - loss_before for each in matrices}
axes = picture("άνοδος της απώλειας αν μόνο αυτός ο πίνακας έχει 2 bits· αριθμός των βαρών του", height=3.6)
axes.barh(list(rise), rise.values(), color=[VALID if name == "token" else TRAIN for name in rise])
for i, (name, height) in enumerate(rise.items()):
    axes.annotate(f"{matrices[name].size:,}", (max(height, 0), i), (4, 0), textcoords="offset points", va="center", color=GRAY, fontsize=8)
axes.invert_yaxis()
axes.grid(False)

for words, bits_of in {"4 bits για όλα": lambda name: 4, "3 bits για όλα": lambda name: 3,
                       "ενσωματώσεις 8, και τα δύο μπλοκ 3": lambda name: 8 if name == "token" else 3,
                       "ενσωματώσεις 8, μπλοκ 1: 4, 2: 3": lambda name: 8 if name == "token" else 4 if "blocks.0" in name else 3}.items():
    loss = changed(lambda name, w: quantize(w, bits_of(name), scale_axis[name])).loss(x, y)
    mean = sum(w.size * bits_of(name) for name, w in matrices.items()) / n_weights
    print(f"{words:34}  κατά μέσο όρο {mean:.2f} bits ανά βάρος, απώλεια {loss:.3f}")

# %% [markdown]
# Ο πίνακας των ενσωματώσεων έχει το 3% των βαρών, και χρειάζεται τα bits του περισσότερο από όλους. Χρησιμοποιείται δύο φορές, στην αρχή
# και ως κεφαλή εξόδου, και ό,τι ξέρει στην αρχή το μοντέλο για ένα token βρίσκεται στη γραμμή του. Περισσότερα bits για ένα τόσο μικρό
# μέρος κοστίζουν λίγο, και πολλά προγράμματα για κβαντισμένα μοντέλα κρατούν τις ενσωματώσεις ή την κεφαλή εξόδου σε περισσότερα bits. Το
# πρώτο μπλοκ χρειάζεται περισσότερα από το δεύτερο, επειδή ό,τι ακολουθεί υπολογίζει με τα σφάλματά του.
#
# ## Τίποτα δύο φορές
# Και τώρα το δεύτερο κόλπο. Η κρυφή μνήμη KV του όγδοου μαθήματος αποθηκεύει κλειδιά και τιμές, για να μην υπολογίζονται ξανά. Αυτό
# επιτρέπεται επειδή η προσοχή είναι αιτιατή: ένα νέο token δεν αλλάζει τίποτα στα tokens πριν από αυτό. Ας δούμε τα κλειδιά στο τελευταίο
# μπλοκ, πριν και μετά από την προσθήκη ενός token:

# %%
from littlebaby.model import gpt
from littlebaby.model.context import Context

def cached_keys(n):
    """Τα κλειδιά του τελευταίου μπλοκ στην κρυφή μνήμη μετά από n tokens: (κεφαλές, n, πλάτος μιας κεφαλής)"""
    cache = {}
    gpt.forward(model.p, ids[None, :n], Context(model.config, cache=cache))
    rows = cache[1]["att"]["k"]
    return rows.buffer[0, :, rows.first:rows.stop]

before, after = cached_keys(23), cached_keys(24)
print("κλειδιά 23 tokens", before.shape, "  κλειδιά 24 tokens", after.shape,
      f"  η μεγαλύτερη αλλαγή στα πρώτα 23: {abs(after[:, :23] - before).max():.0e}")

from littlebaby.check.causes import all_attention_weights
from littlebaby.check.interventions import run as run_and_record

weights = all_attention_weights(model, run_and_record(model, ids[None, :24])[1])[1, 0, 0]
pair = picture("χωρίς κρυφή μνήμη, το token 24 τα υπολογίζει όλα", "με κρυφή μνήμη, η τελευταία γραμμή", height=3.6)
for axes, rows in zip(pair, (weights, np.where(np.arange(24)[:, None] == 23, weights, 0))):
    squares(axes, rows, axes.get_title(loc="left"))
    axes.set_xticks(range(24), visible(new_text[:24]), fontsize=7)
    axes.set_yticks([0, 23], ["1", "24"])
pair[1].text(11.5, 11.5, "δεν υπολογίζονται ξανά", color=GRAY, ha="center", va="center");

# %% [markdown]
# Τα κλειδιά διαφέρουν μόνο όσο η στρογγυλοποίηση. Οι εικόνες δείχνουν τα βάρη προσοχής μιας κεφαλής: η γραμμή $t$ λέει πόσο προσέχει το
# token $t$ κάθε token. Χωρίς κρυφή μνήμη ένα μοντέλο υπολογίζει για κάθε νέο token ολόκληρο το τρίγωνο ξανά, και μαζί τα ερωτήματα, τα
# κλειδιά, τις τιμές και τα δίκτυα όλων των προηγούμενων tokens. Πόσοι πολλαπλασιασμοί είναι αυτό; Καθένα από $t$ tokens πολλαπλασιάζεται με
# όλα τα $N$ βάρη των πινάκων, και σε καθένα από $L$ μπλοκ με πλάτος $H$ ένα token κοστίζει $2H$ για κάθε token που προσέχει:
#
# $$\text{χωρίς: } t\,N + 2 H L\,\frac{t\,(t + 1)}{2} \qquad\qquad \text{με: } N + 2 H L\,t$$

# %%
from littlebaby.inference.generate import generate
from littlebaby.inference.sampling import Sampling

N, H, L, T = n_weights, model.config.head_size, model.config.n_layers, 120
t = np.arange(1, T + 1)
multiplications = {False: t * N + H * L * t * (t + 1), True: N + 2 * H * L * t}

def seconds_of_tokens(cached):
    """Πόσα δευτερόλεπτα χρειάζεται καθένα από T νέα tokens"""
    seconds, begin = [], perf_counter()
    for _ in generate(model.p, model.config, ids[None, :1], T, Sampling(temperature=0), np.random.default_rng(0), cached):
        seconds.append(perf_counter() - begin)
        begin = perf_counter()
    return seconds

with backend.blas_threads(1):
    seconds = {cached: np.min([seconds_of_tokens(cached) for _ in range(5)], 0) for cached in (False, True)}    # ο μικρότερος από πέντε χρόνους

milliseconds = {cached: 1000 * s for cached, s in seconds.items()}
for axes, values in zip(picture("πολλαπλασιασμοί για το token t", "χιλιοστά του δευτερολέπτου για το token t", height=3), (multiplications, milliseconds)):
    for cached, color, name in ((False, VALID, "χωρίς κρυφή μνήμη"), (True, FLOOR, "με κρυφή μνήμη")):
        axes.semilogy(t, values[cached], color=color, lw=1.5)
        axes.annotate(name, (T, values[cached][T // 2:].min()), (0, -6), textcoords="offset points", color=color, ha="right", va="top")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    axes.set_ylim(bottom=values[True].min() / 2)

print("χωρίς κρυφή μνήμη, σε σύγκριση με κρυφή μνήμη:")
for words, part in ((f"token {T}", slice(T - 1, T)), (f"όλα τα {T} tokens", slice(T))):
    more, longer = (values[False][part].sum() / values[True][part].sum() for values in (multiplications, seconds))
    print(f"    {words:14}  {more:5.0f} φορές οι πολλαπλασιασμοί, {longer:5.1f} φορές ο χρόνος σε αυτόν τον υπολογιστή")

texts = {cached: model.generate(ids[:8], T, temperature=0.8, seed=1, cached=cached) for cached in (True, False)}
print(f"\nτο ίδιο κείμενο: {np.array_equal(texts[True], texts[False])}\n{new_text[:8]}{model.decode(texts[True])}")

# %% [markdown]
# Η κρυφή μνήμη γλιτώνει σχεδόν όλους τους πολλαπλασιασμούς και δεν αλλάζει ούτε έναν χαρακτήρα. (Το πρώτο token δεν κερδίζει τίποτα· δεν
# υπάρχει ακόμη τίποτα αποθηκευμένο.) Δεν γλιτώνει άλλο τόσο χρόνο: με κρυφή μνήμη κάθε βάρος διαβάζεται για έναν μόνο πολλαπλασιασμό, χωρίς
# αυτήν για $t$. Ένας επεξεργαστής τα καταφέρνει πολύ καλύτερα με το δεύτερο. Αυτό δεν είναι λόγος να μην έχει κανείς κρυφή μνήμη, είναι
# όμως μια ευκαιρία, που την εκμεταλλεύεται το τρίτο κόλπο.
#
# ## Τι κοστίζει η κρυφή μνήμη
# Το τίμημα είναι μνήμη. Για κάθε token και μπλοκ η `mha` αποθηκεύει ένα κλειδί και μία τιμή με ολόκληρο το πλάτος $H$· η `gqa` έχει $n$
# κεφαλές με πλάτος $d$ για κλειδιά και τιμές· η `mla` αποθηκεύει ένα διάνυσμα με πλάτος $c$, από το οποίο μπορούν να υπολογιστούν όλα τα
# κλειδιά και οι τιμές, και $r$ αριθμούς για τη θέση. Ο τύπος, και τι μετράμε στους πίνακες:

# %%
from littlebaby.check.preflight import numbers
from littlebaby.inference.generate import Reader

for name in ("mha", "gqa", "mla"):
    cfg = lb.Config(c_attention=name, n_ctx=128, n_emb=128, n_heads=8, n_kv_heads=2 if name == "gqa" else 0, n_layers=3, c_position="rope")
    reader = Reader(lb.Baby(cfg, vocab_size=model.tokenizer.size).p, cfg)
    reader.read(ids[None, :100])
    formula, words = dict(mha=(2 * cfg.head_size, "2 H"), gqa=(2 * cfg.n_kv_heads * cfg.head_width, "2 n d"),
                          mla=(cfg.mla_rank + cfg.mla_rope, "c + r"))[name]
    print(f"{name}   {words:5} = {formula:3} αριθμοί· για 100 tokens σε 3 μπλοκ {100 * 3 * formula:6,}· μετρήσαμε {numbers(reader.cache):6,}· "
          f"{numbers(reader.cache) * 4 / 1000:5.1f} kilobytes")

# %% [markdown]
# Και μια κρυφή μνήμη μπορεί να κβαντιστεί. Με μακριά κείμενα έτσι γλιτώνει κανείς ίσως περισσότερη μνήμη απ' ό,τι με την κβάντιση των
# βαρών.
#
# ## Πολλά μαζί
# Να ένα μοντέλο με 25 εκατομμύρια τυχαία βάρη, υπερβολικά μεγάλο για τη γρήγορη μνήμη μέσα στον επεξεργαστή. Πόση ώρα χρειάζεται για να
# διαβάσει πολλά νέα tokens με μία κλήση, σε σύγκριση με ένα token;

# %% tags=["parameters"] small="width, calls = 128, 2"
width, calls = 1024, 5

# %%
large = lb.Baby(lb.Config(n_ctx=128, n_emb=width, n_heads=8, n_layers=2), vocab_size=model.tokenizer.size, seed=0)
reader, counts = Reader(large.p, large.config), (1, 2, 4, 8, 16, 32)
with backend.blas_threads(1):
    reader.read(ids[None, :64])
    times = {n: [] for n in counts}
    for n in calls * counts:
        fork, begin = reader.fork(), perf_counter()         # ένα αντίγραφο της κρυφής μνήμης με 64 tokens
        fork.read(ids[None, :64 + n], n)
        times[n].append(perf_counter() - begin)
for n in counts[1:]:
    print(f"{n:3} tokens σε μία κλήση: {min(times[n]) / min(times[1]):5.1f} φορές ο χρόνος ενός token")
del large, reader

# %% [markdown]
# Όσο περισσότερα tokens έχει μία κλήση, τόσο λιγότερο κοστίζει το καθένα. Σε μια GPU το φαινόμενο είναι ακόμη πιο έντονο, επειδή η μνήμη
# της είναι ακόμη πιο αργή σε σύγκριση με την αριθμητική της: λίγα tokens χρειάζονται περίπου όσο χρόνο χρειάζεται ένα (Chen κ.ά.
# [2023](https://arxiv.org/abs/2302.01318)). Ένα κείμενο όμως παράγεται token προς token· πώς μπορεί να ξέρει κανείς πολλά από πριν;
#
# Κάνοντας εικασίες. Στην **υποθετική αποκωδικοποίηση** (speculative decoding) ένα δεύτερο, φθηνότερο μοντέλο, το **πρόχειρο μοντέλο**
# (draft model), προτείνει μερικά από τα επόμενα tokens. Το ίδιο το μοντέλο τα διαβάζει όλα με μία κλήση, που του λέει τι θα είχε γράψει
# αυτό σε κάθε θέση. Τα tokens που προτάθηκαν κρατιούνται ως το πρώτο λάθος, και στη θέση εκείνου μπαίνει το token του ίδιου του μοντέλου,
# που το έχει υπολογίσει η ίδια κλήση. Έτσι κάθε κλήση δίνει τουλάχιστον ένα token. Δείτε τι συμβαίνει σε θερμοκρασία 0, όταν προτείνονται
# έξι tokens κάθε φορά:

# %%
def check_proposals(draft, ids, ahead):
    """Πόσα από τα tokens που προτείνει το draft είναι σωστά, και τα νέα ids, σε θερμοκρασία 0"""
    proposed = draft.generate(ids, ahead, temperature=0)
    wanted = model.logits(np.concatenate([ids, proposed]))[0, len(ids) - 1:].argmax(-1)     # (ahead + 1): το token του μοντέλου σε κάθε θέση
    right = int((proposed == wanted[:-1]).cumprod().sum())
    return right, wanted[:right + 1]

def rounds(draft, ids, ahead, length=100):
    """Οι γύροι ώσπου να γίνουν `length` τα ids: του καθενός (πόσα από τα προτεινόμενα είναι σωστά, τα νέα ids)"""
    found = []
    while len(ids) < length:
        found.append(check_proposals(draft, ids, ahead))
        ids = np.concatenate([ids, found[-1][1]])
    return found

with backend.blas_threads(1):
    found = rounds(small, ids[:20], 6)
print(new_text[:20] + "".join(f"{model.decode(new[:-1])}[{model.decode(new[-1:])}]" for _, new in found))
print(f"\n{sum(len(new) for _, new in found)} χαρακτήρες σε {len(found)} κλήσεις του μοντέλου. Μέσα σε αγκύλες: του ίδιου του μοντέλου. "
      "Όλοι οι άλλοι: του μικρού μωρού")

# %% [markdown]
# Το μικρό μωρό κάνει πολλά λάθη, οι περισσότεροι χαρακτήρες όμως είναι εύκολοι: μετά το `Once th` οποιοσδήποτε θα έγραφε `ere`. Το ποσοστό
# των προτεινόμενων tokens που γίνονται δεκτά λέγεται **ποσοστό αποδοχής** (acceptance rate). Εξαρτάται από το πόσα tokens προτείνονται κάθε
# φορά, επειδή μετά από ένα λάθος πάνε χαμένα και όλα τα επόμενα. Ως πρόχειρο μοντέλο μπορούμε να πάρουμε το μικρό μωρό, ή και το ίδιο το
# μοντέλο, στρογγυλοποιημένο σε λίγα bits, που σε κατάλληλο υπολογιστή είναι επίσης φθηνότερο:

# %% tags=["parameters"] small="lengths, prompts = (1, 4), [ids[:20]]"
lengths, prompts = (1, 2, 3, 4, 6, 8, 12), [ids[i:i + 20] for i in range(0, 4800, 600)]

# %%
drafts = {"4 bits": changed(lambda name, w: quantize(w, 4, scale_axis[name])), "μικρό μωρό": small,
          "3 bits": changed(lambda name, w: quantize(w, 3, scale_axis[name]))}
left, right = picture("ποσοστό αποδοχής, ανά αριθμό προτεινόμενων", "tokens ανά κλήση του μοντέλου", height=3.4)
with backend.blas_threads(1):
    for (name, draft), color in zip(drafts.items(), (FLOOR, TRAIN, VALID)):
        found = {ahead: [each for prompt in prompts for each in rounds(draft, prompt, ahead)] for ahead in lengths}
        rates = [np.mean([right for right, _ in found[ahead]]) / ahead for ahead in lengths]
        per_call = [np.mean([len(new) for _, new in found[ahead]]) for ahead in lengths]
        for axes, values in ((left, rates), (right, per_call)):
            axes.plot(lengths, values, "o-", ms=4, color=color)
            axes.annotate(name, (lengths[-1], values[-1]), (7, 0), textcoords="offset points", color=color, va="center")
        print(f"{name:10}  ποσοστό αποδοχής {rates[0]:.0%} όταν προτείνεται {lengths[0]} token, {rates[-1]:.0%} όταν προτείνονται {lengths[-1]}· "
              f"tokens ανά κλήση από {per_call[0]:.1f} ως {per_call[-1]:.1f}")
left.set_xticks(lengths)
right.set_xticks(lengths)
left.set_ylim(0, 1)
left.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
right.set_ylim(0);

# %% [markdown]
# Όταν προτείνονται περισσότερα, κάθε κλήση δίνει περισσότερα tokens, αλλά το κέρδος γίνεται όλο και μικρότερο, και το καθένα έχει το τίμημά
# του. Πόσα συμφέρουν εξαρτάται από το πόσο φθηνότερο είναι το πρόχειρο μοντέλο. Το καλύτερο από τα τρία είναι εκείνο που συμφωνεί συχνότερα
# με το μοντέλο· το μικρό μωρό, με το ένα έβδομο των βαρών, είναι καλύτερο από το ίδιο το μοντέλο με 3 bits.
#
# ## Το ίδιο κείμενο
# Η `Baby.speculate` είναι η εκδοχή της βιβλιοθήκης, με μια κρυφή μνήμη για κάθε μοντέλο. (Σε ένα κέλυφος:
# `littlebaby inference GUID --draft GUID`.)

# %%
with backend.blas_threads(1):
    begin = perf_counter()
    plain = model.generate(ids[:20], 100, temperature=0)
    plain_seconds = perf_counter() - begin
    for name, draft in drafts.items():
        begin = perf_counter()
        text = model.speculate(draft, ids[:20], 100, ahead=6, temperature=0)
        longer = (perf_counter() - begin) / plain_seconds
        print(f"πρόχειρο μοντέλο {name:10}   το ίδιο κείμενο όπως χωρίς αυτό: {np.array_equal(text, plain)}   {longer:.1f} φορές ο χρόνος")

# %% [markdown]
# Το κείμενο είναι το ίδιο, αλλά χρειάστηκε περισσότερο χρόνο! Στα μωρά οι εικασίες δεν συμφέρουν: τα βάρη τους χωράνε στη γρήγορη μνήμη, κι
# εκείνο που παίρνει χρόνο δεν είναι η ανάγνωσή τους αλλά οι κλήσεις των συναρτήσεων. Συμφέρουν όπου μια κλήση με πολλά tokens χρειάζεται
# λίγο μόνο περισσότερο χρόνο από μια κλήση με ένα: με μεγάλα μοντέλα, προπάντων σε GPU.
#
# Και σε θερμοκρασία πάνω από 0, όπου τα tokens τραβιούνται τυχαία; Έστω $p$ οι πιθανότητες του μοντέλου και $q$ του πρόχειρου μοντέλου. Ένα
# προτεινόμενο token $x$, που τραβήχτηκε από την $q$, γίνεται δεκτό με πιθανότητα $\min(1, p(x) / q(x))$: πάντα, αν το μοντέλο το θεωρεί
# πιθανότερο απ' ό,τι το πρόχειρο μοντέλο, και σπανιότερα, αν το πρόχειρο μοντέλο το προτείνει υπερβολικά συχνά. Αν απορριφθεί, τραβιέται
# ένα άλλο με τρόπο που το αντισταθμίζει ακριβώς (άσκηση 3). Τότε κάθε token έχει πιθανότητα $p$, όσο κακό κι αν είναι το πρόχειρο μοντέλο
# (Leviathan κ.ά. [2022](https://arxiv.org/abs/2211.17192)). Τραβάμε πολλές φορές τον χαρακτήρα μετά το `Zoe hid a `:

# %%
prompt = model.encode("Zoe hid a ")
with backend.blas_threads(1):
    drawn = [model.speculate(small, prompt, 2, seed=i)[0] for i in range(samples)]
share = np.bincount(drawn, minlength=model.tokenizer.size) / samples
p, q = (arrays.softmax(baby.logits(prompt)[0, -1:])[0][0] for baby in (model, small))

likely = np.argsort(-p)[:12]
axes = picture("ο χαρακτήρας μετά το Zoe hid a: πιθανότητες, και πόσο συχνά τραβήχτηκε", height=3.2)
for place, values, color, name in ((-0.27, q, PALE, "πρόχειρο μοντέλο"), (0, p, FLOOR, "μοντέλο"), (0.27, share, TRAIN, f"με τα δύο μαζί, {samples:,} φορές")):
    axes.bar(np.arange(12) + place, values[likely], 0.25, color=color, label=name)
axes.set_xticks(range(12), visible([model.tokenizer.tokens()[i] for i in likely]))
axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
axes.legend(frameon=False, labelcolor=GRAY)
print(f"η μεγαλύτερη διαφορά ενός ποσοστού από την πιθανότητα του μοντέλου {abs(share - p).max():.3f}, του πρόχειρου μοντέλου {abs(share - q).max():.3f}· "
      f"η τύχη μόνη της προκαλεί περίπου {np.sqrt(p.max() * (1 - p.max()) / samples):.3f}")

# %% [markdown]
# ## Δοκιμάστε
# ### 1. Μια καλύτερη κλίμακα
# Το μεγαλύτερο βάρος δεν είναι ανάγκη να είναι στάθμη. Με μικρότερη κλίμακα οι στάθμες είναι πιο κοντά η μία στην άλλη· τα λίγα βάρη πέρα
# από την τελευταία στάθμη $n$ στρογγυλοποιούνται τότε σε αυτήν. Δοκιμάστε τις εκατό κλίμακες $\frac{i}{100} \cdot \frac{\max |w|}{n}$,
# $i = 1, \dots, 100$, και επιστρέψτε εκείνη με το μικρότερο άθροισμα τετραγώνων των σφαλμάτων. Η `np.clip(q, -n, n)` κρατά τις στάθμες μέσα
# στα όριά τους.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=14, number=1)
def check(best_scale):
    w = np.random.default_rng(1).standard_normal(500)
    scales = np.arange(1, 101) / 100 * abs(w).max() / 3
    errors = np.array([((s * np.clip(np.round(w / s), -3, 3) - w) ** 2).sum() for s in scales])
    found, best = best_scale(w, 3), scales[errors.argmin()]
    assert found is not None, "η best_scale επιστρέφει None: επιστρέψτε την κλίμακα με το μικρότερο άθροισμα τετραγώνων των σφαλμάτων."
    assert np.ndim(found) == 0, f"επιστρέψτε έναν αριθμό, την καλύτερη κλίμακα· το αποτέλεσμά σας έχει σχήμα {np.shape(found)}."
    assert not np.isclose(found, scales[-1]), "αυτή είναι η κλίμακα που κάνει το μεγαλύτερο βάρος τελευταία στάθμη· μια μικρότερη έχει μικρότερο σφάλμα."
    assert not np.isclose(found, scales[0]), "αυτή είναι η μικρότερη κλίμακα: χωρίς όριο οι περισσότερες στάθμες είναι πάντα καλύτερες, γι' αυτό περιορίστε τις στις -n, ..., n."
    assert not np.isclose(found, errors.min()), "αυτό είναι το μικρότερο σφάλμα· επιστρέψτε την κλίμακα που το έχει."
    assert not np.isclose(found, best * 3 / abs(w).max()), "αυτός είναι ο συντελεστής i / 100· επιστρέψτε την κλίμακα, δηλαδή τον συντελεστή επί max |w| / n."
    assert np.isclose(found, best), f"για 500 κανονικά κατανεμημένα βάρη και 3 bits η καλύτερη κλίμακα είναι {best:.4f}· η δική σας είναι {found:.4f}."
    def rounded(name, w, bits):
        limit, columns = 2 ** (bits - 1) - 1, w if scale_axis[name] == 0 else w.T
        s = np.array([best_scale(each, bits) for each in columns.T], np.float32)
        columns = s * np.clip(np.round(columns / s), -limit, limit)
        return columns if scale_axis[name] == 0 else columns.T
    return (f"{best:.4f} αντί για {scales[-1]:.4f}. Με την καλύτερη κλίμακα για κάθε στήλη, τα 3 bits έχουν απώλεια "
            f"{changed(lambda name, w: rounded(name, w, 3)).loss(x, y):.3f} αντί για {many[3]:.3f}.")

# %% tags=["exercise"]
def best_scale(w, bits):
    """w (n_weights,) -> η κλίμακα, ένας αριθμός"""
    return None

check(best_scale)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def best_scale(w, bits):
#     """w (n_weights,) -> η κλίμακα, ένας αριθμός"""
#     n = 2 ** (bits - 1) - 1
#     scales = np.arange(1, 101) / 100 * abs(w).max() / n
#     errors = [((s * np.clip(np.round(w / s), -n, n) - w) ** 2).sum() for s in scales]
#     return scales[np.argmin(errors)]
#
# check(best_scale)
# ```
#
# </details>

# %% [markdown]
# ### 2. Ένα token με κρυφή μνήμη
# Γράψτε την προσοχή μιας κεφαλής για ένα νέο token. Το `x` $(D)$ είναι το διάνυσμά του· τα `keys` και `values` $(S, d)$ είναι τα κλειδιά
# και οι τιμές των $S$ προηγούμενων tokens, από την κρυφή μνήμη. Επιστρέψτε την έξοδο $(d)$, και την κρυφή μνήμη για το επόμενο token. Όπως
# στο τέταρτο μάθημα, οι βαθμολογίες διαιρούνται με τη ρίζα του $d$, και το token προσέχει και τον εαυτό του.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=14, number=2)
def check(attend):
    rng = np.random.default_rng(2)
    D, d, S, n = 6, 4, 3, 8
    tokens, (wq, wk, wv) = rng.standard_normal((n, D)), rng.standard_normal((3, D, d))
    q, k, v = tokens @ wq, tokens @ wk, tokens @ wv
    def output(t, scale=d ** -0.5, keys=None):
        seen = t + 1 if keys is None else keys
        return arrays.softmax(scale * q[t:t + 1] @ k[:seen].T)[0][0] @ v[:seen]
    answer = attend(tokens[S], wq, wk, wv, k[:S].copy(), v[:S].copy())
    assert answer is not None, "η attend επιστρέφει None: επιστρέψτε την έξοδο, τα κλειδιά και τις τιμές, με αυτή τη σειρά."
    assert isinstance(answer, tuple) and len(answer) == 3, "επιστρέψτε τρεις πίνακες: την έξοδο, και τα κλειδιά και τις τιμές για το επόμενο token."
    o, keys, values = answer
    assert np.shape(o) == (d,), f"η έξοδος ενός token πρέπει να έχει σχήμα ({d},)· η δική σας έχει {np.shape(o)}."
    assert not np.allclose(o, output(S, keys=S)), "το token δεν προσέχει τον εαυτό του: προσθέστε πρώτα το κλειδί και την τιμή του."
    assert not np.allclose(o, output(S, scale=1)), "οι βαθμολογίες είναι υπερβολικά μεγάλες: διαιρέστε τις με τη ρίζα του d."
    assert np.allclose(o, output(S)), "η έξοδος διαφέρει από εκείνη της προσοχής σε όλα τα tokens μαζί."
    shapes = f"τα δικά σας κλειδιά έχουν {np.shape(keys)}, οι τιμές {np.shape(values)}"
    assert np.shape(keys) == np.shape(values) == (S + 1, d), f"η κρυφή μνήμη {S + 1} tokens έχει σχήμα ({S + 1}, {d})· {shapes}."
    assert np.allclose(keys, k[:S + 1]) and np.allclose(values, v[:S + 1]), "οι νέες γραμμές της κρυφής μνήμης πρέπει να είναι x wk και x wv, στο τέλος."
    keys, values, error = np.zeros((0, d)), np.zeros((0, d)), 0.0
    for t in range(n):
        o, keys, values = attend(tokens[t], wq, wk, wv, keys, values)
        error = max(error, abs(o - output(t)).max())
    assert error < 1e-12, f"αν ξεκινήσουμε με άδεια κρυφή μνήμη, οι έξοδοι διαφέρουν κατά {error:.1g} από εκείνες της προσοχής σε όλα τα tokens μαζί."
    return f"{n} tokens, το ένα μετά το άλλο, συμφωνούν με όλα μαζί με διαφορά {error:.0e}. Αυτό είναι μια κρυφή μνήμη KV."

# %% tags=["exercise"]
def attend(x, wq, wk, wv, keys, values):
    """x (D,), wq, wk, wv (D, d), keys και values (S, d) -> έξοδος (d,), keys και values (S + 1, d)"""
    return None

check(attend)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def attend(x, wq, wk, wv, keys, values):
#     """x (D,), wq, wk, wv (D, d), keys και values (S, d) -> έξοδος (d,), keys και values (S + 1, d)"""
#     keys, values = np.vstack([keys, x @ wk]), np.vstack([values, x @ wv])
#     scores = keys @ (x @ wq) / np.sqrt(keys.shape[1])
#     a = np.exp(scores - scores.max())
#     return a / a.sum() @ values, keys, values
#
# check(attend)
# ```
#
# </details>

# %% [markdown]
# ### 3. Αποδοχή ή αντικατάσταση
# Τα `p` και `q` $(V)$ είναι οι πιθανότητες του μοντέλου και του πρόχειρου μοντέλου, και το `token` τραβήχτηκε από την `q`. Επιστρέψτε την
# πιθανότητα με την οποία γίνεται δεκτό, και τις πιθανότητες $(V)$ από τις οποίες τραβιέται ένα άλλο token αν απορριφθεί. Τα δύο μαζί πρέπει
# να δίνουν σε κάθε token την πιθανότητα $p$. Φανταστείτε μια εικόνα με τις ράβδους των $p$ και $q$: όπου η $q$ είναι ψηλότερη, απορρίπτεται
# ό,τι προτείνεται πέρα από την $p$. Όπου η $p$ είναι ψηλότερη, πόσο λείπει;

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
numbers_in = lambda values: ", ".join(f"{value:.2f}" for value in values)

@exercise(lesson=14, number=3)
def check(accept):
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    answers = [accept(p, q, token) for token in range(3)]
    assert answers[0] is not None, "η accept επιστρέφει None: επιστρέψτε μια πιθανότητα και έναν πίνακα πιθανοτήτων."
    pairs = all(isinstance(answer, tuple) and len(answer) == 2 for answer in answers)
    assert pairs, "επιστρέψτε δύο πράγματα: μια πιθανότητα και έναν πίνακα πιθανοτήτων."
    rates, others = [answer[0] for answer in answers], [np.asarray(answer[1]) for answer in answers]
    assert not np.allclose(rates, p), "εδώ ένα token γίνεται δεκτό με βάση μόνο το p· το q όμως προτείνει κάποια tokens συχνά και άλλα σπάνια: συγκρίνετε τα δύο."
    assert not np.isclose(rates[2], 1), "ένα token με q = 0.6 και p = 0.2 πρέπει να απορρίπτεται δύο στις τρεις φορές: p / q, όχι q / p."
    assert max(rates) <= 1, f"μια πιθανότητα δεν μπορεί να είναι {max(rates):.2f}: όπου το p είναι μεγαλύτερο από το q, δεχτείτε πάντα."
    assert np.allclose(rates, [1, 1, 1 / 3]), f"για p = 0.5, 0.3, 0.2 και q = 0.2, 0.2, 0.6 επιστρέψτε 1, 1, 1/3· τα δικά σας είναι {numbers_in(rates)}."
    assert others[2].shape == (3,), f"το δεύτερο αποτέλεσμα πρέπει να έχει σχήμα (3,), μία πιθανότητα για κάθε token· το δικό σας έχει {others[2].shape}."
    assert not np.allclose(others[2], p), "με το ίδιο το p, τα tokens που το q προτείνει συχνά βγαίνουν υπερβολικά συχνά: τραβήξτε μόνο από όσα λείπουν."
    assert np.isclose(others[2].sum(), 1), f"οι πιθανότητες των άλλων tokens πρέπει να έχουν άθροισμα 1· οι δικές σας έχουν {others[2].sum():.2f}."
    total = sum(q[x] * (rates[x] * np.eye(3)[x] + (1 - rates[x]) * others[x]) for x in range(3))
    assert np.allclose(total, p), f"όλα μαζί δίνουν τις πιθανότητες {numbers_in(total)} αντί για 0.50, 0.30, 0.20."
    from littlebaby.inference.speculative import acceptance
    p, q = np.random.default_rng(3).dirichlet(np.ones(8), 2)
    mine, theirs = accept(p, q, int((q - p).argmax())), acceptance(p, q, int((q - p).argmax()))
    assert np.isclose(mine[0], theirs[0]) and np.allclose(mine[1], theirs[1]), "για οκτώ tokens το αποτέλεσμα διαφέρει από της βιβλιοθήκης."
    rate = q @ [accept(p, q, x)[0] for x in range(8)]
    return f"κάθε token έχει ακριβώς την πιθανότητα p. Για δύο τυχαία p και q γίνεται δεκτό το {rate:.0%}, που είναι το άθροισμα των min(p, q)."

# %% tags=["exercise"]
def accept(p, q, token):
    """p και q (V,) -> πιθανότητα να γίνει δεκτό το token, πιθανότητες (V,) του token που το αντικαθιστά αν όχι"""
    return None

check(accept)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def accept(p, q, token):
#     """p και q (V,) -> πιθανότητα να γίνει δεκτό το token, πιθανότητες (V,) του token που το αντικαθιστά αν όχι"""
#     missing = np.maximum(p - q, 0)
#     return min(1, p[token] / q[token]), missing / missing.sum()
#
# check(accept)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [15 · Ανταμοιβές](15_rewards.ipynb): πώς μαθαίνει ένα μοντέλο από μια κρίση, όταν κανείς δεν του δείχνει το σωστό κείμενο;
