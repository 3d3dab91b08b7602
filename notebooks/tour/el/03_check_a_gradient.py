# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 · Ο έλεγχος μιας κλίσης
#
# *Αν το οπίσθιο πέρασμά σας ήταν λάθος, πώς θα το καταλαβαίνατε;*
#
# Οι περισσότεροι θα έλεγαν: η απώλεια δεν θα έπεφτε. Σ' αυτό το μάθημα βάζουμε επίτηδες ένα λάθος, και βλέπουμε αν η απώλεια πέφτει παρ'
# όλα αυτά. Ύστερα υπολογίζουμε την κλίση με έναν δεύτερο τρόπο, από την απώλεια μόνο, και συγκρίνουμε τις δύο σε δέκα ψηφία. Έτσι ελέγχεται
# κάθε στρώμα αυτής της βιβλιοθήκης.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np

from littlebaby import arrays
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID, running
from littlebaby.show.tour import exercise, picture

# %% [markdown]
# ## Ένα λάθος που μαθαίνει
# Εκπαιδεύουμε ένα μικρό δίκτυο να υπολογίζει το $\sin 2x$, μια φορά με το σωστό οπίσθιο πέρασμα και μια φορά με ένα λάθος, που παραλείπει
# την παράγωγο της `gelu`: αφήνει την κλίση να περάσει από την ενεργοποίηση αμετάβλητη. Δεν είναι μικρή απροσεξία, αφού κάθε κλίση κάτω από
# την ενεργοποίηση βγαίνει λάθος.

# %%
x = np.linspace(-3, 3, 64)[:, None]
goal = np.sin(2 * x)

def learn(skip_gelu, steps=4000, rate=0.01):
    rng = np.random.default_rng(0)
    w1, b1, w2 = rng.standard_normal((1, 32)), rng.standard_normal(32), 0.2 * rng.standard_normal((32, 1))
    losses = []
    for _ in range(steps):
        u, back_u = arrays.linear(x, w1, b1)             # (N, 1) -> (N, 32)
        a, back_a = arrays.gelu(u)
        y, back_y = arrays.linear(a, w2)                 # (N, 32) -> (N, 1)
        da, dw2, _ = back_y(2 * (y - goal) / len(x))
        du = da if skip_gelu else back_a(da)             # το λάθος: du = da
        _, dw1, db1 = back_u(du)
        for weight, gradient in ((w1, dw1), (b1, db1), (w2, dw2)):
            weight -= rate * gradient
        losses.append(((y - goal) ** 2).mean())
    return losses, y

right, right_output = learn(skip_gelu=False)
wrong, wrong_output = learn(skip_gelu=True)
left, axes = picture("απώλεια, ανά βήμα", "έξοδος κάθε δικτύου· διακεκομμένη: sin 2x", widths=(1, 1))
left.plot(right, color=TRAIN, label="σωστό οπίσθιο πέρασμα")
left.plot(wrong, color=VALID, label="λάθος οπίσθιο πέρασμα")
left.legend(frameon=False, fontsize=8, labelcolor=GRAY)
left.set_ylim(0, 2)
axes.plot(x, goal, color=GRAY, ls=(0, (6, 3)))
axes.plot(x, right_output, color=TRAIN)
axes.plot(x, wrong_output, color=VALID)
for name, losses in (("σωστό", right), ("λάθος", wrong)):
    print(f"{name} οπίσθιο πέρασμα: η απώλεια πέφτει από {losses[0]:.3f} σε {losses[-1]:.3f}")

# %% [markdown]
# Η απώλεια πέφτει και με το λάθος οπίσθιο πέρασμα, και μάλιστα πέφτει αρκετά καλά. Χωρίς τη σωστή καμπύλη δίπλα του θα το λέγαμε επιτυχία,
# θα ρίχναμε το φταίξιμο για την υπόλοιπη απώλεια στον ρυθμό μάθησης, και θα το δημοσιεύαμε. Μια απώλεια που πέφτει δεν αποδεικνύει τίποτα
# για μια κλίση.
#
# ## Πεπερασμένες διαφορές
# Η κλίση ισχυρίζεται κάτι: *αν αυτό το βάρος μεταβληθεί κατά ένα μικρό $h$, η απώλεια μεταβάλλεται κατά την κλίση επί $h$*. Ο ισχυρισμός
# ελέγχεται: μεταβάλλουμε το βάρος κατά $h$ προς τις δύο κατευθύνσεις, και υπολογίζουμε κάθε φορά την απώλεια. Αυτό λέγεται **κεντρική
# διαφορά** (central difference), και είναι ένα είδος από αυτό που λέγεται **πεπερασμένη διαφορά** (finite difference):
#
# $$\frac{df}{dx} \approx \frac{f(x + h) - f(x - h)}{2h}$$
#
# Χρησιμοποιεί μόνο το εμπρόσθιο πέρασμα, οπότε ένα λάθος στο οπίσθιο δεν μπορεί να την επηρεάσει. Χρειάζεται όμως δύο εμπρόσθια περάσματα
# για κάθε βάρος χωριστά, και γι' αυτό κανείς δεν εκπαιδεύει με αυτήν.

# %%
rng = np.random.default_rng(0)
x0, dy = rng.standard_normal(6), rng.standard_normal(6)
y, back = arrays.gelu(x0)

h = 1e-5
slopes = np.array([((arrays.gelu(x0 + h * e)[0] - arrays.gelu(x0 - h * e)[0]) * dy).sum() / (2 * h) for e in np.eye(6)])
print("οπίσθιο πέρασμα     ", back(dy).round(8))
print("κεντρικές διαφορές  ", slopes.round(8))
print(f"μεγαλύτερη διαφορά ανάμεσά τους: {abs(back(dy) - slopes).max():.0e}")

# %% [markdown]
# Γιατί `dy`; Ένα στρώμα έχει πολλές εξόδους, αλλά μια κλίση είναι πάντα η κλίση ενός μόνο αριθμού. Παίρνουμε λοιπόν το άθροισμα όλων των
# εξόδων, την καθεμία επί έναν τυχαίο αριθμό από το `dy`. Η κλίση αυτού του αθροίσματος είναι `back(dy)`. Επειδή κάθε έξοδος έχει άλλον
# συντελεστή, τα σφάλματα διαφορετικών εξόδων δεν αλληλοεξουδετερώνονται.
#
# ## Πόσο μικρό πρέπει να είναι το βήμα;
# Το σφάλμα του τύπου είναι ανάλογο του $h^2$, άρα ένα μικρότερο $h$ είναι καλύτερο. Για μικρό $h$ όμως αφαιρούνται δύο σχεδόν ίσοι αριθμοί:
# τα σφάλματα στρογγύλευσής τους μένουν, και διαιρούνται με $h$. Ένα πολύ μικρό $h$ είναι λοιπόν πάλι χειρότερο, και το καλύτερο βήμα
# βρίσκεται κάπου στη μέση.

# %%
def difference_error(h, dtype):
    """Το μεγαλύτερο σφάλμα μιας κεντρικής διαφοράς με βήμα h, υπολογισμένης σε αυτό το dtype"""
    a, exact = x0.astype(dtype), back(dy)
    step = dtype(h)
    ups = np.array([(arrays.gelu(a + step * e)[0] - arrays.gelu(a - step * e)[0]) @ dy.astype(dtype) for e in np.eye(6, dtype=dtype)])
    return abs(ups / (2 * step) - exact).max()

hs = 10.0 ** np.arange(-11, 0.1, 0.25)
axes = picture("σφάλμα μιας κεντρικής διαφοράς, ανάλογα με το βήμα h", height=3.6)
for dtype, color, name in ((np.float32, VALID, "float32"), (np.float64, TRAIN, "float64")):
    errors = [difference_error(h, dtype) for h in hs]
    axes.loglog(hs, errors, color=color)
    i = int(np.argmin(errors))
    axes.plot(hs[i], errors[i], "o", color=color)
    axes.annotate(f"{name}: καλύτερο κοντά στο h = {hs[i]:.0e}", (hs[i], errors[i]), (-22, -14), textcoords="offset points", color=color, ha="right")
axes.set_ylim(1e-13, 1e3);

# %% [markdown]
# Στα δεξιά το σφάλμα μεγαλώνει όπως το $h^2$· στα αριστερά είναι το σφάλμα στρογγύλευσης. Τα μοντέλα εκπαιδεύονται σε float32, όπου ακόμη
# και το καλύτερο βήμα έχει σφάλμα ένα εκατομμύριο φορές μεγαλύτερο απ' ό,τι σε float64. Αυτό το παράδειγμα έχει μόνο έξι αριθμούς· στην
# απώλεια ενός ολόκληρου μοντέλου δεν θα ήταν σωστό σχεδόν κανένα ψηφίο, και μια λάθος κλίση δεν θα ξεχώριζε από μια σωστή. *Οι κλίσεις
# ελέγχονται σε float64.*
#
# Το σφάλμα μπορεί να μικρύνει κι άλλο: στο $h$ είναι τετραπλάσιο απ' ό,τι στο $h/2$, άρα οι δύο διαφορές συνδυάζονται έτσι ώστε το σφάλμα
# να απαλείφεται. Αυτή είναι η παρέκταση Richardson (1911), και τη χρησιμοποιεί η συνάρτηση `differences` της βιβλιοθήκης.

# %%
from littlebaby.check.laws import differences

probe = x0.copy()
better = differences(lambda: (arrays.gelu(probe)[0] * dy).sum(), probe, h=1e-3)
print(f"h = 1e-3, σφάλμα μίας διαφοράς: {difference_error(1e-3, np.float64):.0e}· δύο συνδυασμένων: {abs(better - back(dy)).max():.0e}")

# %% [markdown]
# ## Ο νόμος
# Η βιβλιοθήκη έχει μερικούς αυτόματους ελέγχους, που κάθε στρώμα πρέπει να τους περνά· ο καθένας λέγεται **νόμος** (law). Ο πρώτος είναι
# αυτός ο έλεγχος της κλίσης. Καλύπτει κάθε είδος στρώματος που θα συναντήσετε, κάθε βάρος και κάθε στοιχείο της εισόδου, με συνηθισμένες
# και με μεγάλες εισόδους. Μπορείτε να τον τρέξετε όποτε θέλετε· σε ένα κέλυφος η εντολή είναι `littlebaby check rmsnorm`.

# %%
for name in ("rmsnorm", "decay"):
    for row in lb.check(name):
        print(f"{name:8} {str(row['settings']):20} σχετικό σφάλμα {row['gradient']:.0e}   {'πέρασε' if row['kept'] else 'ΑΠΕΤΥΧΕ'}")

# %% [markdown]
# ## Χαλάστε το
# Προσέχει ο νόμος τα λάθη; Εδώ είναι ένα μικρό στρώμα, με `forward` και `backward` στη μορφή που χρησιμοποιεί η βιβλιοθήκη, και με λάθη που
# μπορεί κανείς να τα ανάψει. Η `laws.gradient` επιστρέφει το μεγαλύτερο σφάλμα της κλίσης οποιουδήποτε βάρους ή εισόδου, σε σχέση με το
# μεγαλύτερο στοιχείο αυτής της κλίσης.

# %%
from types import SimpleNamespace

from littlebaby.arrays.tree import matrix, vector
from littlebaby.check import laws

def layer(mistake=""):
    """y = relu2(rmsnorm(x) up) down, με ένα λάθος στο backward του"""
    def params(cfg):
        return dict(scale=vector(cfg.n_emb, 1.0), up=matrix(cfg.n_emb, 12), down=matrix(12, cfg.n_emb))

    def forward(p, x, ctx):
        n, back_n = arrays.rmsnorm(x, p.scale)
        u, back_u = arrays.linear(n, p.up)
        a, back_a = arrays.relu2(u)
        y, back_y = arrays.linear(a, p.down)

        def backward(dy, g):
            da, ddown, _ = back_y(dy)
            du = da * (u > 0) if mistake == "λάθος ενεργοποίηση" else back_a(da)
            dn, dup, _ = back_u(du)
            dx, dscale = back_n(dn)
            g.scale += dscale
            g.up += dup * (0.999 if mistake == "συντελεστής 0.999" else 1)
            if mistake != "λείπει κλίση":
                g.down += ddown
            return dn * p.scale if mistake == "σταθερό norm" else dx

        return y, backward

    return SimpleNamespace(params=params, forward=forward)

for mistake in ("", "λάθος ενεργοποίηση", "σταθερό norm", "λείπει κλίση", "συντελεστής 0.999"):
    error = laws.gradient(layer(mistake), laws.config())
    print(f"{mistake or 'χωρίς λάθος':18} σχετικό σφάλμα {error:.0e}   {'πέρασε' if error < laws.EXACT else 'ΑΠΕΤΥΧΕ'}")

# %% [markdown]
# Βρίσκεται ακόμη και το τελευταίο λάθος, που κάνει την κλίση ενός πίνακα μικρότερη κατά 0.1%: το σφάλμα της είναι πάνω από επτά δυνάμεις
# του δέκα μεγαλύτερο από το σφάλμα στρογγύλευσης. Καμία καμπύλη απώλειας δεν θα το είχε δείξει ποτέ.
#
# ## Δοκιμάστε
# ### 1. Πεπερασμένες διαφορές
# Γράψτε μόνοι σας την κεντρική διαφορά: την παράγωγο της `f` ως προς κάθε στοιχείο του `x`. Για κάθε στοιχείο: μεταβάλετέ το κατά `h` προς
# τις δύο κατευθύνσεις, υπολογίστε κάθε φορά την `f`, και επαναφέρετέ το.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=3, number=1)
def check(slopes):
    x = np.array([[0.5, -1.0], [2.0, 0.1]])
    kept = x.copy()
    got = slopes(lambda a: (a ** 3).sum() + a[0, 0] * a[1, 1], x)
    assert got is not None, "η slopes επιστρέφει None: επιστρέψτε έναν πίνακα με το σχήμα του x, με μία παράγωγο για κάθε στοιχείο."
    want = 3 * kept ** 2 + np.array([[0.1, 0], [0, 0.5]])
    assert np.allclose(x, kept, rtol=0, atol=1e-9), "το x άλλαξε: επαναφέρετε κάθε στοιχείο αφού υπολογίσετε την f."
    assert np.shape(got) == x.shape, f"το x έχει σχήμα {x.shape}, το ίδιο πρέπει να έχει και το αποτέλεσμα, μία παράγωγο για κάθε στοιχείο· το δικό σας έχει {np.shape(got)}."
    assert not np.allclose(got, 2 * want, atol=1e-4), "διπλάσιο από το σωστό: τα δύο σημεία απέχουν 2h, άρα διαιρέστε με 2h."
    assert np.allclose(got, want, atol=1e-6) or not np.allclose(got, want, atol=1e-3), \
        "σχεδόν σωστό, αλλά μια διαφορά προς τη μία πλευρά έχει σφάλμα ανάλογο του h: μεταβάλετε το x κατά h προς τις δύο κατευθύνσεις."
    assert np.allclose(got, want, atol=1e-6), f"στο x[0, 0] = 0.5 η παράγωγος είναι {want[0, 0]:.3f}· η δική σας είναι {got[0, 0]:.3f}."
    return f"σωστό με σφάλμα {abs(got - want).max():.0e}, μόνο από τιμές της f. Αυτές οι λίγες γραμμές ελέγχουν κάθε οπίσθιο πέρασμα."

# %% tags=["exercise"]
def slopes(f, x, h=1e-5):
    """df/dx για κάθε στοιχείο του x, (…) -> (…)"""
    return None

check(slopes)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def slopes(f, x, h=1e-5):
#     """df/dx για κάθε στοιχείο του x, (…) -> (…)"""
#     out = np.zeros_like(x)
#     for i in np.ndindex(x.shape):
#         kept = x[i]
#         x[i] = kept + h
#         up = f(x)
#         x[i] = kept - h
#         out[i] = (up - f(x)) / (2 * h)
#         x[i] = kept
#     return out
#
# check(slopes)
# ```
#
# </details>

# %% [markdown]
# ### 2. Ποια είναι σωστή;
# Η Ann, ο Ben και ο Cid έγραψαν ο καθένας μια `back` για τη softmax, και μόνο μία από τις τρεις είναι σωστή. Βρείτε ποια (με την
# `differences`, ή με τη δική σας `slopes`), και βάλτε στο `who` το όνομα.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
def softmax(x, how):
    y, _ = arrays.softmax(x)

    def back(dy):
        if how == "ann":
            return y * (1 - y) * dy
        if how == "ben":
            return y * (dy - (y * dy).sum(-1, keepdims=True))
        return y * (dy - dy.mean(-1, keepdims=True))

    return y, back

@exercise(lesson=3, number=2)
def check(name):
    assert name is not None, 'βάλτε "ann", "ben" ή "cid" στη θέση του None, αφού μετρήσετε ποια είναι σωστή.'
    assert name in ("ann", "ben", "cid"), f'το {name} δεν είναι ένα από τα τρία· τα ονόματα είναι "ann", "ben" και "cid".'
    x, dy = rng.standard_normal((2, 5)), rng.standard_normal((2, 5))
    error = abs(softmax(x, name)[1](dy) - differences(lambda: (softmax(x, name)[0] * dy).sum(), x)).max()
    assert error < 1e-8, f"η κλίση της {name} έχει σφάλμα {error:.2f} σε τυχαίους αριθμούς."
    return f"σφάλμα {error:.0e}. Όταν ανεβαίνει μια πιθανότητα, πέφτουν όλες οι άλλες· γι' αυτό ο τύπος χρειάζεται το άθροισμα του y επί dy."

# %% tags=["exercise"]
# οι softmax(x, "ann"), softmax(x, "ben") και softmax(x, "cid") επιστρέφουν η καθεμία y και back

who = None

check(who)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# x, dy = rng.standard_normal((2, 5)), rng.standard_normal((2, 5))
# errors = {}
# for name in ("ann", "ben", "cid"):
#     y, back = softmax(x, name)
#     errors[name] = abs(back(dy) - differences(lambda: (softmax(x, name)[0] * dy).sum(), x)).max()
# who = min(errors, key=errors.get)
#
# check(who)
# ```
#
# </details>

# %% [markdown]
# ### 3. Μισός έλεγχος
# Ένας φίλος ελέγχει με ένα `dy` όλο μονάδες. Αυτό είναι παγίδα: η μία από τις δύο λάθος συναρτήσεις πιο πάνω περνά *κάθε* τέτοιον έλεγχο.
# Ποια; (Πόσο είναι το άθροισμα των εξόδων μιας softmax, για οποιοδήποτε `x`;)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=3, number=3)
def check(name):
    assert name is not None, "βάλτε ένα όνομα στη θέση του None: συγκρίνετε το back(np.ones(...)) της καθεμιάς με την κλίση του y.sum()."
    assert name in ("ann", "ben", "cid"), f'το {name} δεν είναι ένα από τα τρία· τα ονόματα είναι "ann", "ben" και "cid".'
    assert name != "ben", "η ben περνά τον έλεγχο, αλλά η ben είναι σωστή· ψάξτε μία που περνά και είναι λάθος."
    answer = softmax(rng.standard_normal((2, 5)), name)[1](np.ones((2, 5)))
    assert abs(answer).max() < 1e-12, f"το άθροισμα μιας softmax είναι πάντα 1, άρα η κλίση του είναι 0· η {name} επιστρέφει {abs(answer).max():.2f}."
    return f"όπου όλα τα στοιχεία του dy είναι ίσα, η {name} επιστρέφει 0, που είναι σωστό· για άλλα dy είναι λάθος. Ελέγχετε πάντα με τυχαίο dy."

# %% tags=["exercise"]
fooled = None

check(fooled)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# fooled = "cid"       # το dy μείον τον μέσο του είναι 0 για dy όλο μονάδες
#
# check(fooled)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [4 · Η προσοχή με το χέρι](04_attention_by_hand.ipynb). Με έναν τέτοιον έλεγχο τολμά κανείς να γράψει όποιο οπίσθιο πέρασμα
# θέλει.
