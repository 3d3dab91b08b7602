# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6 · Δειγματοληψία
#
# *`Zoe hid a …`: ένα μοντέλο δίνει σε κάθε χαρακτήρα μια πιθανότητα. Ποιον πρέπει να γράψει;*
#
# Ένα γλωσσικό μοντέλο υπολογίζει πιθανότητες, και τίποτα περισσότερο. Για να παραχθεί κείμενο, πρέπει να διαλέξουμε έναν χαρακτήρα, να τον
# προσθέσουμε στο κείμενο, και πάλι από την αρχή. Ο τρόπος της επιλογής αποφασίζει αν το κείμενο είναι βαρετό ή ζωντανό, σωστό ή γεμάτο
# λάθη, και τίποτα από αυτά δεν αλλάζει ούτε ένα βάρος. Σ' αυτό το μάθημα διαλέγετε με πέντε τρόπους, βλέπετε τι κάνει ο καθένας στις
# πιθανότητες, και μετράτε τι κάνει ο καθένας στο κείμενο.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import numpy as np
from threadpoolctl import threadpool_limits

from littlebaby import arrays
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.tour import TrainingBar, exercise, picture, probability_bars
from littlebaby.text import stories

workspace = temporary_workspace()       # εδώ μένει το run αυτού του μαθήματος ώσπου να κλείσει ο kernel
print("workspace:", workspace)
threadpool_limits(1);                   # ένα τόσο μικρό μοντέλο τρέχει ταχύτερα σε έναν πυρήνα

# %% [markdown]
# ## Ένα μοντέλο για να διαλέγουμε
# Χρειαζόμαστε ένα μοντέλο που τα βάρη του δεν είναι τυχαία. Αυτό εδώ είναι ένα GPT με δύο μπλοκ, όπως του πέμπτου μαθήματος, που
# εκπαιδεύτηκε μισό λεπτό· το επόμενο μάθημα δείχνει πώς.

# %% tags=["parameters"] small="steps = 20"
steps = 400

# %%
run = lb.train("nursery", "characters", progress=TrainingBar(), n_ctx=128, n_emb=64, n_heads=4, n_layers=2, batch_size=8, n_steps=steps,
               s_eval=steps, n_sample=0, n_completion=0)
baby = lb.load(run.guid)
print(f"απώλεια επικύρωσης {run.report.best_valid_loss:.3f}, perplexity {np.exp(run.report.best_valid_loss):.2f}")

# %% [markdown]
# ## Ο επόμενος χαρακτήρας
# Το κείμενο που συνεχίζει το μοντέλο λέγεται **προτροπή** (prompt). Η `baby.logits` επιστρέφει τα logits μετά από κάθε χαρακτήρα της· η
# softmax της τελευταίας γραμμής έχει τις πιθανότητες του επόμενου χαρακτήρα.

# %%
def next_logits(prompt):
    """Τα logits του επόμενου χαρακτήρα, (V)"""
    return baby.logits(baby.encode(prompt))[0, -1].astype(float)

characters = baby.tokenizer.tokens()
pair = picture("επόμενος χαρακτήρας μετά το: Zoe hid a", "επόμενος χαρακτήρας μετά το: Zoe hid a y", widths=(1, 1), height=2.8)
for axes, prompt in zip(pair, ("Zoe hid a ", "Zoe hid a y")):
    p, _ = arrays.softmax(next_logits(prompt))
    probability_bars(axes, characters, p)
    print(f"{prompt:12} πιθανότερος: {characters[p.argmax()]!r} με {p.max():.0%}· όλοι εκτός από τους πέντε πιθανότερους: {np.sort(p)[:-5].sum():.1%}")

# %% [markdown]
# Μετά το `Zoe hid a` είναι δυνατά πολλά χρώματα, και το μοντέλο σωστά μοιράζει την πιθανότητα στα πρώτα γράμματά τους. Έχει όμως και μια
# ουρά από μικρές πιθανότητες: κάθε λάθος χαρακτήρας έχει από λίγη. Μετά το `y` είναι σχεδόν βέβαιο.
#
# ## Πάντα τον πιθανότερο
# Η πιο απλή επιλογή είναι ο πιθανότερος χαρακτήρας, κάθε φορά. Αυτό λέγεται **άπληστη αποκωδικοποίηση** (greedy decoding). Μοιάζει η πιο
# σίγουρη επιλογή:

# %%
def generate(prompt, choose, n=250, seed=0):
    """Η προτροπή και n ακόμη χαρακτήρες· choose(logits, rng) -> id του επόμενου χαρακτήρα"""
    rng, ids = np.random.default_rng(seed), list(baby.encode(prompt))
    for _ in range(n):
        z = baby.logits(ids[-baby.config.n_ctx:])[0, -1].astype(float)
        ids.append(choose(z, rng))
    return baby.decode(ids)

def greedy(z, rng):
    return int(z.argmax())

print(generate("Zoe hid a ", greedy, 600))

# %% [markdown]
# Οι λέξεις είναι σωστές, αλλά το κείμενο σύντομα κάνει κύκλους: ολόκληρες προτάσεις ξανάρχονται. Και είναι το ίδιο κείμενο σε κάθε κλήση.
# Ένα μακρύ κείμενο όπου κάθε χαρακτήρας είναι ο πιθανότερος είναι το ίδιο πολύ *απίθανο*: κανείς δεν μιλά έτσι.
#
# ## Τραβήξτε έναν χαρακτήρα
# Η δειγματοληψία τραβά τυχαία τον επόμενο χαρακτήρα, τον καθένα με την πιθανότητά του, όπως στο πρώτο μάθημα. Οι αριθμοί έρχονται από μια
# γεννήτρια τυχαίων αριθμών, που ξεκινά από έναν αριθμό: ο αριθμός αυτός είναι ο **σπόρος** (seed). Η γεννήτρια μοιάζει με τράπουλα που τη
# σειρά της την έχει ορίσει ο σπόρος: ο ίδιος σπόρος δίνει το ίδιο κείμενο, άλλος σπόρος άλλο.

# %%
def sample(z, rng):
    p, _ = arrays.softmax(z)
    return int(rng.choice(len(p), p=p))

for seed in (1, 1, 2):
    print(f"σπόρος {seed}   {' '.join(generate('Zoe hid a ', sample, 110, seed).split())}")

# %% [markdown]
# Τώρα το κείμενο είναι ζωντανό, αλλά έχει λάθη. Ένας χαρακτήρας από την ουρά είναι απίθανος σε μία θέση· σε εκατό χαρακτήρες όμως κάποιος
# τραβιέται αργά ή γρήγορα, και το μοντέλο πρέπει να συνεχίσει από εκεί. Τι υπάρχει ανάμεσα στους δύο τρόπους επιλογής;
#
# ## Θερμοκρασία
# Διαιρέστε όλα τα logits με έναν αριθμό $t$, που λέγεται **θερμοκρασία** (temperature), πριν από τη softmax: $p_i \propto e^{z_i / t}$.
# Κάτω από 1 οι διαφορές των logits μεγαλώνουν, κι έτσι οι πιθανοί χαρακτήρες γίνονται ακόμη πιθανότεροι· κοντά στο 0 αυτό είναι η άπληστη
# αποκωδικοποίηση. Πάνω από 1 οι διαφορές μικραίνουν, και όλοι οι χαρακτήρες πλησιάζουν μεταξύ τους. (Ο τύπος έρχεται από τη φυσική, όπου
# λέει πώς διαφέρουν οι ενέργειες των θερμών και των ψυχρών μορίων.)

# %%
def with_temperature(t):
    return lambda z, rng: sample(z / t, rng)

z = next_logits("Zoe hid a ")
temperatures = 0.3, 1, 2
for axes, t in zip(picture(*(f"θερμοκρασία {t}" for t in temperatures), height=2.6), temperatures):
    probability_bars(axes, characters, arrays.softmax(z / t)[0], most=10)
    axes.set_ylim(0, 0.7)
    print(f"θερμοκρασία {t:3}   {' '.join(generate('Zoe hid a ', with_temperature(t), 100).split())}")

# %% [markdown]
# Ποια θερμοκρασία είναι η καλύτερη; Παράγουμε 32 κείμενα σε κάθε θερμοκρασία και μετράμε δύο πράγματα: πόσες από τις λέξεις τους υπάρχουν
# στο nursery, και πόσες από τις τριάδες λέξεών τους είναι διαφορετικές. Το πρώτο λέει αν το κείμενο είναι σωστό, το δεύτερο αν έχει
# ποικιλία. (Η `baby.generate` κάνει ό,τι και η `generate`, για πολλά κείμενα μαζί και πιο γρήγορα.)

# %%
NAMES = "Ada", "Ben", "Dot", "Eli", "Gus", "Pia", "Sam", "Zoe"

def quality(**settings):
    """Από 32 κείμενα: το ποσοστό των λέξεων που υπάρχουν, και το ποσοστό των τριάδων λέξεων που είναι διαφορετικές"""
    prompts = [baby.encode(f"{name} {verb} ") for name in NAMES for verb in ("was", "had", "saw", "and")]
    words = [word for row in baby.generate(prompts, 150, seed=0, **settings) for word in stories.words_of(baby.decode(row))[1:-1]]
    groups = list(zip(words, words[1:], words[2:]))
    return np.mean([word in stories.known_words() for word in words]), len(set(groups)) / len(groups)

axes = picture("ποσοστό λέξεων που υπάρχουν (μπλε) και διαφορετικών τριάδων λέξεων (κόκκινο), ανά θερμοκρασία", height=3)
grid = [0, 0.2, 0.4, 0.6, 0.8, 1, 1.3, 1.6, 2]
exist, varied = zip(*(quality(temperature=t) for t in grid))
axes.plot(grid, exist, "o-", color=TRAIN)
axes.plot(grid, varied, "o-", color=VALID)
axes.set_ylim(0, 1.05)
for t in (0, 0.4, 0.8, 1, 2):
    print(f"θερμοκρασία {t:3}   λέξεις που υπάρχουν {exist[grid.index(t)]:.1%}   διαφορετικές τριάδες {varied[grid.index(t)]:.1%}")

# %% [markdown]
# Δεν υπάρχει μία καλύτερη: η ορθότητα πληρώνεται με ποικιλία. Για ιστορίες συνηθίζεται 0.5 ως 1, για απαντήσεις που πρέπει να είναι σωστές
# λιγότερο. Τα plans της βιβλιοθήκης χρησιμοποιούν 0.8, αν δεν διαλέξετε άλλη.
#
# ## Κόψτε την ουρά
# Η θερμοκρασία αλλάζει όλες τις πιθανότητες. Μπορεί όμως κανείς και να αφήσει τελείως έξω τους απίθανους χαρακτήρες, και να διαιρέσει τις
# υπόλοιπες πιθανότητες με το άθροισμά τους:
#
# - η **top-k** κρατά τους $k$ πιθανότερους χαρακτήρες·
# - η **top-p**, που λέγεται και **δειγματοληψία πυρήνα** (nucleus sampling), κρατά το μικρότερο σύνολο πιθανότερων χαρακτήρων που οι
#   πιθανότητές τους έχουν άθροισμα τουλάχιστον $p$.
#
# Εδώ είναι και οι δύο για τις δύο προτροπές πιο πάνω. Οι γκρίζες ράβδοι έχουν κοπεί.

# %%
def top_k(p, k):
    """Ποιοι χαρακτήρες μένουν, (V)"""
    return p >= np.sort(p)[-k]

def top_p(p, share):
    order = np.argsort(-p)
    before = np.cumsum(p[order]) - p[order]              # το άθροισμα όλων των πιθανότερων χαρακτήρων
    kept = np.zeros(len(p), bool)
    kept[order] = before < share
    return kept

prompts = "Zoe hid a ", "Zoe hid a y"
for name, keep in (("top-k, k = 4", lambda p: top_k(p, 4)), ("top-p, p = 0.8", lambda p: top_p(p, 0.8))):
    for axes, prompt in zip(picture(*(f"{name}, μετά το: {prompt}" for prompt in prompts), widths=(1, 1), height=2.2), prompts):
        p, _ = arrays.softmax(next_logits(prompt))
        probability_bars(axes, characters, p, keep(p))
        print(f"{name:15} μετά το {prompt!r:14} κρατά {''.join(np.array(characters)[keep(p)]):10} με {p[keep(p)].sum():.0%} της πιθανότητας")

# %% [markdown]
# Το nursery έχει εννέα χρώματα, που αρχίζουν από `b`, `g`, `p`, `r`, `w` ή `y`. Άρα οι τέσσερις χαρακτήρες της top-k είναι πολύ λίγοι μετά
# το `Zoe hid a `, και πάρα πολλοί μετά το `Zoe hid a y`. Η top-p κρατά περισσότερους από τέσσερις μετά την πρώτη προτροπή και μόνο έναν
# μετά τη δεύτερη: ακολουθεί τη βεβαιότητα του ίδιου του μοντέλου. Στην `lb.inference` όλα αυτά είναι ρυθμίσεις, μαζί με δύο ακόμη: η
# **min-p** κρατά χαρακτήρες με τουλάχιστον ένα δοσμένο ποσοστό της μεγαλύτερης πιθανότητας, και η **ποινή επανάληψης** (repetition penalty)
# χαμηλώνει τα logits των tokens που έχουν ήδη εμφανιστεί. Υπολογίζει η βιβλιοθήκη το ίδιο μ' εμάς;

# %%
from littlebaby.inference.sampling import Sampling, probabilities

z = next_logits("Zoe hid a ")
p, _ = arrays.softmax(z / 0.8)
p = np.where(top_p(p, 0.9), p, 0)
p /= p.sum()
library_p = probabilities(z[None], [[]], Sampling(temperature=0.8, top_p=0.9))[0]
print(f"μεγαλύτερη διαφορά από τη βιβλιοθήκη: {abs(p - library_p).max():.0e}\n")

for settings in (dict(temperature=1.0), dict(temperature=1.0, top_k=4), dict(temperature=1.0, top_p=0.9), dict(temperature=0.8, top_p=0.9)):
    known, different = quality(**settings)
    print(f"{str(settings):36} λέξεις που υπάρχουν {known:.1%}   διαφορετικές τριάδες {different:.1%}")
print("\n" + "Zoe hid a" + lb.inference(run.guid, prompt="Zoe hid a", max_tokens=200, temperature=0.8, top_p=0.9, seed=1).text)

# %% [markdown]
# Όταν κόβεται η ουρά, φεύγουν οι περισσότερες λάθος λέξεις, και το κείμενο κρατά το μεγαλύτερο μέρος της ποικιλίας του. Μια θερμοκρασία
# κάτω από 1 και η top-p χρησιμοποιούνται συχνά μαζί.
#
# ## Δοκιμάστε
# ### 1. Δύο φορές πιο κρύο
# Σε θερμοκρασία 1 ένα μοντέλο δίνει στο `a` τετραπλάσια πιθανότητα απ' ό,τι στο `b`. Πόσες φορές την πιθανότητα του `b` παίρνει το `a` σε
# θερμοκρασία 0.5, και πόσες σε θερμοκρασία 2; (Τα logits του `a` και του `b` διαφέρουν κατά $\ln 4$.)

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=6, number=1)
def check(cold, hot):
    assert cold is not None and hot is not None, "βάλτε δύο αριθμούς στη θέση του None: ο λόγος είναι e υψωμένο στο (ln 4) / t."
    assert not np.isclose(cold, 8), "με το t διαιρούνται τα logits, όχι οι πιθανότητες: (ln 4) / 0.5 = 2 ln 4 = ln 4²."
    assert cold > 4, "ανάποδα: μια χαμηλή θερμοκρασία κάνει το πιθανό token ακόμη πιθανότερο."
    assert np.isclose(cold, 16), f"στο 0.5 η διαφορά των logits είναι (ln 4) / 0.5, και ο λόγος είναι e σε αυτή τη δύναμη· δεν είναι {cold:.4g}."
    assert np.isclose(hot, 2), f"στο 2 η διαφορά των logits είναι (ln 4) / 2, και ο λόγος είναι e σε αυτή τη δύναμη· δεν είναι {hot:.4g}."
    return "ο λόγος υψώνεται στη δύναμη 1/t: 16 φορές σε θερμοκρασία 0.5, 2 φορές στο 2, 4¹⁰ = ένα εκατομμύριο φορές στο 0.1."

# %% tags=["exercise"]
cold = None
hot = None

check(cold, hot)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# cold = 4 ** (1 / 0.5)
# hot = 4 ** (1 / 2)
#
# check(cold, hot)
# ```
#
# </details>

# %% [markdown]
# ### 2. Ο πυρήνας
# Γράψτε μόνοι σας την top-p, αυτή τη φορά με τις νέες πιθανότητες: κρατήστε το μικρότερο σύνολο πιθανότερων tokens που οι πιθανότητές τους
# έχουν άθροισμα τουλάχιστον `share`, δώστε σε όλα τα άλλα πιθανότητα 0, και κάντε πάλι το άθροισμα 1. Κάθε token μένει στη θέση του.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=6, number=2)
def check(nucleus):
    p = np.array([0.1, 0.45, 0.15, 0.3])
    got = nucleus(p.copy(), 0.8)
    assert got is not None, "η nucleus επιστρέφει None: ταξινομήστε τις πιθανότητες, κρατήστε τις μεγαλύτερες ώσπου να έχουν άθροισμα share, και διαιρέστε με το άθροισμά τους."
    got = np.asarray(got, float)
    assert got.shape == (4,), f"μπαίνουν 4 πιθανότητες και πρέπει να βγουν 4, με 0 για ένα token που κόβεται· το δικό σας έχει σχήμα {got.shape}."
    assert not np.allclose(np.sort(got)[::-1], [0.6, 0.4, 0, 0]), "0.45 + 0.3 είναι μόνο 0.75, λιγότερο από 0.8: κρατιέται και το token που περνά το όριο."
    assert not np.isclose(got.sum(), 0.9), "μένουν τα σωστά tokens, αλλά οι πιθανότητες πρέπει να έχουν πάλι άθροισμα 1: διαιρέστε με το άθροισμά τους."
    assert not np.allclose(got, [0.5, 1 / 3, 1 / 6, 0], atol=1e-8), "το αποτέλεσμα είναι ταξινομημένο: βάλτε κάθε πιθανότητα πίσω στη θέση του token της."
    assert np.allclose(got, [0, 0.5, 1 / 6, 1 / 3]), f"από {p.tolist()} με share 0.8 το αποτέλεσμα πρέπει να είναι [0, 0.5, 0.1667, 0.3333]· το δικό σας είναι {got.round(4).tolist()}."
    z = np.random.default_rng(0).standard_normal((20, 30)) * 3
    for row in z:
        right = probabilities(row[None], [[]], Sampling(top_p=0.7))[0]
        assert np.allclose(nucleus(arrays.softmax(row)[0], 0.7), right), "αποτυγχάνει για άλλες πιθανότητες: το σύνολο πρέπει να είναι το μικρότερο."
    return "ίσο με της βιβλιοθήκης για είκοσι τυχαία μοντέλα: όσο λιγότερο βέβαιο το μοντέλο, τόσο περισσότερα tokens μένουν."

# %% tags=["exercise"]
def nucleus(p, share):
    """πιθανότητες (V) -> πιθανότητες (V)"""
    return None

check(nucleus)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def nucleus(p, share):
#     """πιθανότητες (V) -> πιθανότητες (V)"""
#     order = np.argsort(-p)
#     before = np.cumsum(p[order]) - p[order]
#     out = np.zeros_like(p)
#     out[order[before < share]] = p[order[before < share]]
#     return out / out.sum()
#
# check(nucleus)
# ```
#
# </details>

# %% [markdown]
# ### 3. Τραβήξτε μόνοι σας
# Μια γεννήτρια τυχαίων αριθμών δίνει αριθμούς $u$ από 0 ως 1, όλους εξίσου πιθανούς. Πώς γίνεται ένας τέτοιος αριθμός token; Βάλτε τις
# πιθανότητες τη μία δίπλα στην άλλη, σαν κομμάτια μιας γραμμής από το 0 ως το 1, και πάρτε το token που στο κομμάτι του πέφτει το $u$.
# Γράψτε το· η `np.cumsum` βοηθά.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=6, number=3)
def check(draw):
    p = np.array([0.2, 0.0, 0.5, 0.3])
    first = draw(p, 0.1)
    assert first is not None, "η draw επιστρέφει None: μετρήστε πόσα από τα συσσωρευτικά αθροίσματα του p είναι το πολύ u."
    assert np.ndim(first) == 0, f"η draw πρέπει να επιστρέφει τη θέση ενός token· η δική σας επιστρέφει {first!r}."
    assert draw(p, 0.1) == 0, f"το u = 0.1 πέφτει στο πρώτο κομμάτι, από 0 ως 0.2, άρα είναι το token 0· το δικό σας είναι {draw(p, 0.1)}."
    assert draw(p, 0.69) == 2 and draw(p, 0.71) == 3, \
        f"το κομμάτι του token 2 τελειώνει στο 0.2 + 0 + 0.5 = 0.7: το 0.69 είναι token 2 και το 0.71 token 3· τα δικά σας είναι {draw(p, 0.69)} και {draw(p, 0.71)}."
    assert draw(p, 0.2) == 2, f"ακριβώς στο u = 0.2 το κομμάτι του token 0 έχει τελειώσει, και του token 1 είναι κενό: είναι το token 2· το δικό σας είναι {draw(p, 0.2)}. Μετρήστε τα αθροίσματα <= u."
    counts = np.bincount([draw(p, u) for u in np.random.default_rng(0).random(20_000)], minlength=4) / 20_000
    return f"σε 20,000 τραβήγματα τα ποσοστά είναι {', '.join(f'{n:.3f}' for n in counts)}, όπου το p είναι {', '.join(f'{n:.3f}' for n in p)}."

# %% tags=["exercise"]
def draw(p, u):
    """πιθανότητες (V), u από 0 ως κάτω από 1 -> θέση ενός token"""
    return None

check(draw)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def draw(p, u):
#     """πιθανότητες (V), u από 0 ως κάτω από 1 -> θέση ενός token"""
#     return int((np.cumsum(p) <= u).sum())
#
# check(draw)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [7 · Η εκπαίδευση ενός μωρού](07_train_a_baby.ipynb). Το μοντέλο αυτού του μαθήματος εκπαιδεύτηκε σε μία γραμμή· το επόμενο
# ανοίγει αυτή τη γραμμή.
