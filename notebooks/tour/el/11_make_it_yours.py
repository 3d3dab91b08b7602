# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 11 · Κάντε το δικό σας
#
# *Πώς μαθαίνει ένα μοντέλο το κείμενό σας χωρίς να ξεχάσει το δικό του;*
#
# Κανείς δεν εκπαιδεύει ένα μεγάλο μοντέλο στο σπίτι του. Παίρνουμε ένα εκπαιδευμένο μοντέλο, συνεχίζουμε να το εκπαιδεύουμε με δικά μας
# κείμενα ή συνομιλίες, κάτι που λέγεται **μικρορύθμιση** (finetuning), και το εξάγουμε για άλλα προγράμματα. Όλα αυτά γίνονται με τον ίδιο
# τρόπο και σε ένα μωρό που γεννήθηκε πριν από ένα λεπτό, κι εκεί μπορείτε να μετρήσετε τι μαθαίνεται, τι ξεχνιέται, και αν το μοντέλο βρήκε
# έναν κανόνα ή απλώς απομνημόνευσε τα παραδείγματά του.

# %%
try:
    import littlebaby as lb
except ImportError:                     # Colab, Kaggle
    # %pip install -q littlebaby
    import littlebaby as lb
import json

import numpy as np

from littlebaby import arrays
from littlebaby.show.charts import FLOOR, GRAY, INK, TRAIN, VALID
from littlebaby.check.laws import differences
from littlebaby.show.variant_pictures import squares
from littlebaby.runs.store import temporary_workspace
from littlebaby.show.tour import TrainingBar, exercise, picture
from littlebaby.text import chat, nursery

rng = np.random.default_rng(0)

workspace = temporary_workspace()       # εδώ μένουν τα runs αυτού του μαθήματος ώσπου να κλείσει ο kernel
print("workspace:", workspace)

# %% [markdown]
# ## Το μοντέλο βάσης
# Πρώτα εκπαιδεύουμε ένα μικρό μωρό με το nursery. Ένα μοντέλο που πρόκειται να μικρορυθμιστεί λέγεται **μοντέλο βάσης** (base model).

# %% tags=["parameters"] small="base_steps, text_steps, chat_steps = 20, 5, 5"
base_steps, text_steps, chat_steps = 400, 80, 200       # της πρώτης εκπαίδευσης, της μικρορύθμισης με κείμενο, με συνομιλίες

# %%
quiet = dict(progress=TrainingBar(), n_sample=0, s_eval=10_000)
base = lb.train("nursery", "characters", n_ctx=128, n_emb=64, n_heads=4, n_layers=2, batch_size=8, r_eval_overlap=0.0, n_steps=base_steps,
                n_completion=120, **quiet)
print(" ".join(base.completion.text.split()))

# %% [markdown]
# ## Το κείμενό σας
# Το κείμενο εδώ είναι του Λιούις Κάρολ (1871), επειδή είναι σύντομο και δύσκολο να προβλεφθεί. Αντικαταστήστε το με ένα δικό σας: ένα
# ημερολόγιο, τραγούδια, συνταγές. Χαρακτήρες που δεν υπάρχουν στο nursery, όπως οι ελληνικοί, μένουν έξω, ώστε όλα τα μοντέλα να έχουν το
# ίδιο λεξιλόγιο και να συγκρίνονται οι απώλειές τους.

# %%
text = """
'Twas brillig, and the slithy toves
Did gyre and gimble in the wabe;
All mimsy were the borogoves,
And the mome raths outgrabe.

"Beware the Jabberwock, my son!
The jaws that bite, the claws that catch!
Beware the Jubjub bird, and shun
The frumious Bandersnatch!"

He took his vorpal sword in hand:
Long time the manxome foe he sought,
So rested he by the Tumtum tree,
And stood awhile in thought.

And as in uffish thought he stood,
The Jabberwock, with eyes of flame,
Came whiffling through the tulgey wood,
And burbled as it came!

One, two! One, two! And through and through
The vorpal blade went snicker-snack!
He left it dead, and with its head
He went galumphing back.

"And hast thou slain the Jabberwock?
Come to my arms, my beamish boy!
O frabjous day! Callooh! Callay!"
He chortled in his joy.
"""
vocabulary = set(lb.load(base.guid).tokenizer.tokens())
mine = "".join(c if c in vocabulary else c.lower() for c in text)
(workspace / "inputs/mine.txt").write_text("".join(c for c in mine if c in vocabulary), encoding="utf-8")
(workspace / "inputs/stories.txt").write_text(nursery.corpus(60_000, seed=3)[0], encoding="utf-8")      # κείμενο εκπαίδευσης όπως του μοντέλου βάσης
(workspace / "inputs/new_stories.txt").write_text(nursery.corpus(6_000, seed=7)[0], encoding="utf-8")   # κείμενο επικύρωσης του ίδιου είδους

def loss(guid, file):
    """Nats ανά χαρακτήρα σε ένα κείμενο"""
    result = lb.evaluate(guid, input=file, progress=False)["text"]
    return result.nats / result.characters

print(f"απώλεια του μοντέλου βάσης: {loss(base.guid, 'new_stories.txt'):.3f} σε νέες ιστορίες, {loss(base.guid, 'mine.txt'):.3f} στο κείμενό σας· "
      f"μιας ομοιόμορφης πρόβλεψης: {np.log(len(vocabulary)):.3f}")

# %% [markdown]
# Στο κείμενό σας η απώλεια είναι μεγαλύτερη ακόμη και από μιας ομοιόμορφης πρόβλεψης: το μοντέλο δίνει υψηλές πιθανότητες στους λάθος
# χαρακτήρες.
#
# ## Τρεις τρόποι μικρορύθμισης
# - *Απλή μικρορύθμιση*: εκπαιδεύουμε όλα τα βάρη με το νέο κείμενο.
# - **LoRA** (low-rank adaptation, προσαρμογή χαμηλής τάξης): αφήνουμε όλα τα βάρη όπως είναι, και εκπαιδεύουμε μια μικρή διόρθωση για κάθε
#   πίνακα, σαν σημειώσεις στο περιθώριο ενός τυπωμένου βιβλίου.
# - **Επανάληψη** (rehearsal): εκπαιδεύουμε όλα τα βάρη με ένα μείγμα, όπου τα μισά παράθυρα είναι από παλιές ιστορίες.

# %%
tuning = dict(n_steps=text_steps, r_learn=0.01, n_completion=120, **quiet)
models = {"βάση": base,
          "απλή": lb.finetune(base.guid, "mine.txt", **tuning),
          "LoRA": lb.finetune(base.guid, "mine.txt", lora_rank=4, lora_targets="*.att.* *.net.*", **tuning),
          "επανάληψη": lb.finetune(base.guid, "mine.txt:0.5,stories.txt:0.5", **tuning)}

axes = picture("απώλεια στο κείμενό σας (προς τα δεξιά) και σε νέες ιστορίες (προς τα πάνω), nats ανά χαρακτήρα", height=4)
points = {name: (loss(run.guid, "mine.txt"), loss(run.guid, "new_stories.txt")) for name, run in models.items()}
for (name, (x, y)), color in zip(points.items(), (GRAY, VALID, FLOOR, TRAIN)):
    axes.annotate("", (x, y), points["βάση"], arrowprops=dict(arrowstyle="-", color=color, alpha=0.4))
    axes.plot(x, y, "o", color=color, ms=9)
    axes.annotate(name, (x, y), (0, 10), textcoords="offset points", color=color, ha="center")
    print(f"{name:10} κείμενό σας {x:.3f}   νέες ιστορίες {y:.3f}   βάρη που εκπαιδεύονται {models[name].report.figures.parameters.trainable:7,}"
          f"   {' '.join(models[name].completion.text.split())[:60]}")
axes.margins(0.1, 0.15)

# %% [markdown]
# Ένα μοντέλο που μικρορυθμίζεται μόνο με το νέο κείμενο ξεχνά το παλιό: αυτό λέγεται **καταστροφική λήθη** (catastrophic forgetting). Η
# LoRA, που εκπαιδεύει το ένα δέκατο των βαρών, μαθαίνει λιγότερο από το νέο κείμενο και ξεχνά λιγότερο από το παλιό. Αυτό που βοηθά είναι
# αυτό που βοηθά και στο σχολείο: η επανάληψη.
#
# ## Η LoRA με το χέρι
# Η LoRA κρατά παγωμένο έναν πίνακα $w$ $(I, O)$ και προσθέτει δύο στενούς, τους $a$ $(I, r)$ και $b$ $(r, O)$, που ο καθένας τους λέγεται
# **προσαρμογέας** (adapter). Το στρώμα υπολογίζει
#
# $$y = x\,w + s\,(x\,a)\,b$$
#
# Στην αρχή $b = 0$, οπότε η έξοδος δεν αλλάζει. Εκπαιδεύονται μόνο οι $a$ και $b$, που έχουν $r\,(I + O)$ βάρη αντί για $I\,O$. Μετά την
# εκπαίδευση η διόρθωση $s\,a\,b$ μπορεί να προστεθεί στον $w$. Είναι ένας πίνακας με **τάξη** (rank) το πολύ $r$: αλλάζει το πολύ $r$
# ανεξάρτητες κατευθύνσεις. Αυτό φαίνεται στις ιδιάζουσες τιμές της αλλαγής, δηλαδή του πίνακα μετά τη μικρορύθμιση μείον τον πίνακα του
# μοντέλου βάσης: η τάξη είναι ο αριθμός των ιδιαζουσών τιμών που είναι πάνω από το 0.

# %%
name = "blocks.1.net.up"
before = lb.load(base.guid).weights()[name]
axes = picture(f"ιδιάζουσες τιμές της αλλαγής του {name}", height=3)
for model, color, at in (("απλή", VALID, 40), ("LoRA", FLOOR, 2)):
    change = np.linalg.svd(lb.load(models[model].guid).weights()[name] - before, compute_uv=False)
    axes.plot(range(1, len(change) + 1), change, "o-", ms=3, color=color)
    axes.annotate(model, (at, change[at - 1]), (8, 4), textcoords="offset points", color=color)
    print(f"{model:10} τάξη της αλλαγής {(change > 1e-4 * change[0]).sum()} από {len(change)}")
axes.set_ylim(0);

# %% [markdown]
# ## Συνομιλίες
# Και μια συνομιλία είναι ένα κείμενο, όπου ειδικά σημάδια λένε ποιος μιλά. Η εκπαίδευση είναι όπως πριν, με μία διαφορά: στόχοι είναι μόνο
# τα tokens του *βοηθού* (assistant). Το μοντέλο πρέπει να μάθει να απαντά και να σταματά, όχι να γράφει τις ερωτήσεις.

# %%
colors, toys = "black blue brown gold green pink red white yellow".split(), "ball cup drum flag hat jug kite lamp mask net pen ring sled top vest wig".split()
things = [(color, toy) for color in colors for toy in toys]
things = [things[i] for i in rng.permutation(len(things))]
new_things = things[100:]                # αυτά τα 44 δεν υπάρχουν σε καμία συνομιλία της εκπαίδευσης

question, answer = "Where is my {} {}?".format, "Your {} {} is under the bed.".format
conversation = lambda user, assistant: [dict(role="user", content=user), dict(role="assistant", content=assistant)]

def train_chat(different):
    """Το μοντέλο βάσης, μικρορυθμισμένο με εκατό συνομιλίες για τόσα διαφορετικά παιχνίδια, και είκοσι για τον εαυτό του"""
    pairs = [(question(*thing), answer(*thing)) for thing in things[:different]] * (100 // different) + 20 * [("Who are you?", "I am a little baby.")]
    lines = [json.dumps(dict(messages=conversation(*pair))) for pair in pairs]
    (workspace / "inputs/talks.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return lb.finetune(base.guid, chat="talks.jsonl", n_steps=chat_steps, r_learn=0.02, n_completion=40, **quiet)

example = conversation(question(*things[0]), answer(*things[0]))
for piece, is_target in chat.pieces(example, chat.template("kodalite")):
    print(f"{'στόχος' if is_target else 'είσοδος':8} {piece!r}")

# %%
chat_runs = {different: train_chat(different) for different in (100, 10)}

talk = lb.chat(chat_runs[100].guid, temperature=0, max_tokens=60)
for words in ("Who are you?", question(*new_things[0]), question(*new_things[1])):
    talk.reset()
    print(f"εσείς {words}\nμωρό  {talk(words)}\n")

# %% [markdown]
# Έμαθε έναν κανόνα, ή απομνημόνευσε τις απαντήσεις του; Οι συνομιλίες του ενός μωρού ήταν για 100 από τα 144 χρωματιστά παιχνίδια, μία φορά
# το καθένα· του άλλου για 10 παιχνίδια, δέκα φορές το καθένα. Ρωτάμε και τα δύο μωρά για όλα τα 144 παιχνίδια.

# %%
pair = picture(*(f"σωστές απαντήσεις· τελείες: {different} της εκπαίδευσης" for different in chat_runs), widths=(1, 1), height=3)
for axes, (different, run) in zip(pair, chat_runs.items()):
    talk, right = lb.chat(run.guid, temperature=0, max_tokens=60), np.zeros((len(colors), len(toys)))
    for color, toy in things:
        talk.reset()
        right[colors.index(color), toys.index(toy)] = talk(question(color, toy)) == answer(color, toy)
    squares(axes, right, axes.get_title(loc="left"))
    axes.set_aspect("auto")
    axes.plot([toys.index(toy) for _, toy in things[:different]], [colors.index(color) for color, _ in things[:different]], ".", color=VALID, ms=4)
    axes.set_xticks(range(len(toys)), toys, fontsize=7, rotation=90)
    axes.set_yticks(range(len(colors)), colors, fontsize=7)
    trained, new = ([right[colors.index(color), toys.index(toy)] for color, toy in part] for part in (things[:different], new_things))
    print(f"εκπαίδευση με {different:3} παιχνίδια: σωστό για {sum(trained):.0f} από αυτά τα {len(trained)}, και για {sum(new):.0f} από {len(new)} νέα")

# %% [markdown]
# Το σκούρο σημαίνει σωστή απάντηση. Ένα τόσο μικρό μοντέλο δύσκολα απομνημονεύει εκατό διαφορετικά παιχνίδια· ήταν ευκολότερο να μάθει έναν
# κανόνα, *επανάλαβε το παιχνίδι της ερώτησης*, κι ένας κανόνας ισχύει και για νέα παιχνίδια, αν και όχι ακόμη για όλα. (Είναι το κόλπο του
# τέταρτου μαθήματος: ψάξε προηγούμενα tokens και αντίγραψέ τα.) Δέκα παιχνίδια απομνημονεύονται εύκολα σαν κατάλογος, κι ένας κατάλογος δεν
# βοηθά σε ένα ενδέκατο. Το τι μαθαίνει ένα μοντέλο εξαρτάται από τα δεδομένα του: μαθαίνει έναν κανόνα όπου η απομνημόνευση είναι
# δυσκολότερη.
#
# Σε ένα κέλυφος μπορείτε να μιλήσετε με ένα μωρό με την εντολή `littlebaby chat GUID --path FOLDER`, όπου FOLDER είναι το workspace που
# τύπωσε το πρώτο κελί, και GUID είναι το `chat_runs[100].guid`. Χωρίς GUID μιλάτε με το πιο πρόσφατο μωρό, που εδώ είναι εκείνο με τα δέκα
# παιχνίδια.
#
# ## Πάρτε το μαζί σας
# Η `export` γράφει ένα μοντέλο για άλλα προγράμματα. Αυτό εδώ είναι για το `transformers`· το `to="gguf"` είναι για το llama.cpp, αν το
# llama.cpp υποστηρίζει την αρχιτεκτονική.

# %%
exported = lb.export(chat_runs[100].guid, "huggingface")
for file in exported.files:
    print(f"{file.stat().st_size:9,} bytes  {file.name}")
for note in exported.notes:
    print("σημείωση:", note)

loaded, original = lb.load(exported.folder), lb.load(chat_runs[100].guid)
ids = loaded.encode(question("red", "kite"))
print(f"φορτώθηκε ξανά: η απώλεια διαφέρει κατά {abs(loaded.loss(ids[:-1], ids[1:]) - original.loss(ids[:-1], ids[1:])):.0e}")

# %% [markdown]
# Η αντίθετη κατεύθυνση είναι η `lb.import_(folder)`: κάνει run το μοντέλο κάποιου άλλου, που ύστερα μπορείτε να το μικρορυθμίσετε, να
# συνομιλήσετε μαζί του και να το εξετάσετε σαν δικό σας. Η `lb.list()` δείχνει όλα τα runs του workspace, η `lb.diary(guid)` δείχνει τι
# άλλαξε η μικρορύθμιση, και η `lb.delete(guid)` διαγράφει ένα run.
#
# ## Δοκιμάστε
# ### 1. Η κλίση των προσαρμογέων
# Γράψτε το οπίσθιο πέρασμα του $y = x\,w + s\,(x\,a)\,b$ για τα `x`, `a` και `b`· το $w$ είναι παγωμένο και δεν χρειάζεται κλίση. Ό,τι
# χρειάζεστε υπάρχει στο δεύτερο μάθημα.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=11, number=1)
def check(lora):
    x, w, a, b, dy = (rng.standard_normal(shape) for shape in ((5, 6), (6, 4), (6, 2), (2, 4), (5, 4)))
    answer = lora(x, w, a, b, 0.5)[1](dy)
    assert answer is not None, "η back επιστρέφει None: επιστρέψτε dx, da και db, με αυτή τη σειρά."
    assert isinstance(answer, (tuple, list)) and len(answer) == 3, "επιστρέψτε τρεις πίνακες, dx, da και db."
    hints = dict(dx="το x χρησιμοποιείται στο x w και στο x a, άρα προσθέστε και τα δύο", da="da = xᵀ du, με du = s dy bᵀ", db="db = s uᵀ dy, με u = x a")
    for name, got, array in zip(("dx", "da", "db"), answer, (x, a, b)):
        slopes = differences(lambda: (lora(x, w, a, b, 0.5)[0] * dy).sum(), array)
        assert np.shape(got) == array.shape, f"το {name} πρέπει να έχει το σχήμα {array.shape}, όπως το {name[1]}· έχει {np.shape(got)}."
        assert np.allclose(got, slopes), f"το {name} έχει σφάλμα {abs(got - slopes).max():.2f}: {hints[name]}."
    da = lora(x, w, a, 0 * b, 0.5)[1](dy)[1]
    return f"και τα τρία συμφωνούν με τις πεπερασμένες διαφορές. Στην αρχή το b είναι 0, άρα το da είναι {abs(da).max():.0f}, και το πρώτο βήμα αλλάζει μόνο το b."

# %% tags=["exercise"]
def lora(x, w, a, b, s):
    """x (N, I), w (I, O), a (I, r), b (r, O) -> y (N, O), back(dy) -> dx, da, db"""
    u = x @ a
    y = x @ w + s * u @ b

    def back(dy):
        return None

    return y, back

check(lora)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def lora(x, w, a, b, s):
#     """x (N, I), w (I, O), a (I, r), b (r, O) -> y (N, O), back(dy) -> dx, da, db"""
#     u = x @ a
#     y = x @ w + s * u @ b
#
#     def back(dy):
#         du = s * dy @ b.T
#         return dy @ w.T + du @ a.T, x.T @ du, s * u.T @ dy
#
#     return y, back
#
# check(lora)
# ```
#
# </details>

# %% [markdown]
# ### 2. Το μέγεθος των προσαρμογέων
# Ένας πίνακας έχει σχήμα $(I, O)$, και οι προσαρμογείς του έχουν τάξη `r`. Πόσα βάρη έχουν οι προσαρμογείς, διαιρεμένα με τον αριθμό των
# βαρών του πίνακα; Και από ποια τάξη και πάνω δεν γλιτώνουν τίποτα;

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
@exercise(lesson=11, number=2)
def check(share):
    first, second = share(10, 10, 1), share(64, 256, 4)
    assert first is not None, "η share επιστρέφει None: διαιρέστε τον αριθμό των βαρών του a και του b μαζί με εκείνον του w."
    assert abs(first - 0.2) < 1e-12, f"ο a (10, 1) και ο b (1, 10) έχουν 20 βάρη, ο w (10, 10) έχει 100, άρα πρέπει να είναι 0.2· το αποτέλεσμά σας είναι {first:.3f}."
    assert abs(second - 4 * 320 / 64 / 256) < 1e-12, f"για (64, 256) και τάξη 4 πρέπει να είναι {4 * 320 / 64 / 256:.4f}· το αποτέλεσμά σας είναι {second:.4f}."
    return (f"για 4096 επί 4096 και τάξη 8: {share(4096, 4096, 8):.2%}. Οι προσαρμογείς γλιτώνουν βάρη κάτω από την τάξη I O / (I + O): "
            f"εδώ {4096 / 2:.0f}, για το δικό μας {name} {64 * 256 // 320}.")

# %% tags=["exercise"]
def share(I, O, r):
    """Τα βάρη των προσαρμογέων, διαιρεμένα με τα βάρη του πίνακα"""
    return None

check(share)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def share(I, O, r):
#     """Τα βάρη των προσαρμογέων, διαιρεμένα με τα βάρη του πίνακα"""
#     return r * (I + O) / (I * O)
#
# check(share)
# ```
#
# </details>

# %% [markdown]
# ### 3. Μόνο η απάντηση είναι στόχος
# Το `ids` είναι τα tokens μιας συνομιλίας, και το `is_target` λέει για καθένα αν ανήκει στον βοηθό. Επιστρέψτε τις εισόδους `x` και τους
# στόχους `y` για την εκπαίδευση. Ο στόχος ενός token είναι το επόμενο, ή -1 αν το επόμενο δεν ανήκει στον βοηθό· το -1 μένει έξω από την
# απώλεια.

# %% cellView="form" jupyter={"source_hidden": true} tags=["check"]
#@title έλεγχος
from littlebaby.training.chat_data import conversation_rows

@exercise(lesson=11, number=3)
def check(targets):
    answer = targets(np.array([7, 8, 9, 5]), np.array([False, False, True, True]))
    assert answer is not None, "η targets επιστρέφει None: επιστρέψτε το x, όλα τα ids εκτός από το τελευταίο, και το y, όλα εκτός από το πρώτο, με -1 για όσα δεν είναι στόχοι."
    assert isinstance(answer, (tuple, list)) and len(answer) == 2, "επιστρέψτε δύο πίνακες, τις εισόδους x και τους στόχους y."
    assert len(answer[0]) == len(answer[1]) == 3, "4 tokens έχουν 3 εισόδους και 3 στόχους: x είναι όλα τα ids εκτός από το τελευταίο, y όλα εκτός από το πρώτο."
    assert list(answer[1]) != [8, -1, -1], "η μάσκα είναι ανάποδα: βάλτε -1 όπου το επόμενο token δεν ανήκει στον βοηθό."
    assert list(answer[1]) != [-1, -1, 5], "λάθος κατά μία θέση: το y[i] είναι ids[i + 1], άρα εξαρτάται από το is_target[i + 1]."
    assert list(answer[1]) == [-1, 9, 5], f"για τα ids 7, 8, 9, 5, που τα δύο τελευταία είναι η απάντηση, το y πρέπει να είναι -1, 9, 5· το δικό σας είναι {list(answer[1])}."
    template, tokenizer = chat.template("kodalite"), lb.load(chat_runs[100].guid).tokenizer
    (x, y), = conversation_rows(example, template, tokenizer, 1000)
    got_x, got_y = targets(*chat.ids_of(chat.pieces(example, template), tokenizer))
    assert np.array_equal(got_x, x) and np.array_equal(got_y, y), \
        f"η πρώτη συνομιλία πρέπει να έχει {(y >= 0).sum()} στόχους διαφορετικούς από -1· η δική σας έχει {(np.array(got_y) >= 0).sum()}."
    return f"ίσο με της βιβλιοθήκης: από {len(x)} θέσεις οι {(y >= 0).sum()} έχουν στόχο, οι θέσεις της απάντησης και του σημαδιού που την τελειώνει."

# %% tags=["exercise"]
def targets(ids, is_target):
    """ids (n), is_target (n) -> x (n - 1), y (n - 1)"""
    return None

check(targets)

# %% [markdown] tags=["solution"]
# <details><summary>Λύση</summary>
#
# ```python
# def targets(ids, is_target):
#     """ids (n), is_target (n) -> x (n - 1), y (n - 1)"""
#     return ids[:-1], np.where(is_target[1:], ids[1:], -1)
#
# check(targets)
# ```
#
# </details>

# %% [markdown]
# **Συνέχεια:** [12 · Αιτία και αποτέλεσμα](12_cause_and_effect.ipynb): ποιο μέρος ενός μοντέλου κάνει την πρόβλεψή του;
