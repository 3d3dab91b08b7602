"""Where the time of a training step goes, and what each choice for speed gains: `python benchmarks/anatomy.py [S1 S3]`.

Where it goes: one worker with half of the batch and one BLAS thread, which is what each of the two workers does; every primitive that the
model calls is watched, there and back. What a choice gains: the whole step with that choice switched off beside the step as it is.
"""
import sys
from collections import Counter
from functools import wraps
from importlib import import_module
from itertools import islice
from time import perf_counter

import numpy as np
import step
import turns

from littlebaby import arrays
from littlebaby.arrays import backend, kernels, ops
from littlebaby.show.charts import INK, plainly, png
from littlebaby.training import flat, loop

PICTURE = turns.DOCS / "pictures" / "step.png"
ALT = "![a step's time by what it is spent on](pictures/step.png)"
PARTS = dict(linear="matrices", attention="attention", gelu="gelu", layernorm="norms", embedding="embedding", cross_entropy="loss",
             step="AdamW", clip="clipping")
REST = "the rest"
STEPS = 30
TWINS = ("attention", "gelu", "layernorm", "cross_entropy", "embedding", "linear")


# where it goes

def everywhere(old, new):
    """`new` in the place of `old`, wherever the package goes by that name"""
    for name, module in list(sys.modules.items()):
        if name == "littlebaby.arrays" or name.startswith("littlebaby.") and not name.startswith("littlebaby.arrays."):
            for key, value in list(vars(module).items()):
                if value is old:
                    setattr(module, key, new)


def watched(op, spent):
    """`op` that notes its seconds in spent[name, way]"""
    def timed(fn, way):
        @wraps(fn)
        def run(*args, **settings):
            clock = perf_counter()
            result = fn(*args, **settings)
            spent[op.__name__, way] += perf_counter() - clock
            return (result[0], timed(result[1], "back")) if way == "there" else result

        return run

    return timed(op, "there" if hasattr(arrays, op.__name__) else "")


def watch():
    """From here on, everything named in PARTS notes its seconds: in what is returned"""
    spent: Counter = Counter()
    for op in [getattr(arrays, name) for name in PARTS if hasattr(arrays, name)] + [loop.clip]:
        everywhere(op, watched(op, spent))
    adamw = import_module("littlebaby.training.optimizers.adamw")
    adamw.step = watched(adamw.step, spent)
    return spent


def anatomy(size, spent):
    """Milliseconds of a step by (part, way), all of it under ("", "")"""
    half = dict(turns.SIZES[size])
    half["batch_size"] //= 2
    turns.THREADS = 1
    _, steps = step.littlebaby(half)
    for _ in range(turns.WARM):
        next(steps)
    spent.clear()
    spent["", ""] = sum(islice(steps, STEPS))
    return {part: 1000 * seconds / STEPS for part, seconds in spent.items()}


def shares(spent):
    """[(part, ms there, ms back, share)], the largest first, the rest last"""
    total = spent["", ""]
    rows = [(name, spent.get((op, "there"), spent.get((op, ""), 0.0)), spent.get((op, "back"), 0.0)) for op, name in PARTS.items()]
    rows = sorted(((name, there, back, (there + back) / total) for name, there, back in rows), key=lambda row: -row[3])
    known = sum(share for *_, share in rows)
    return [*rows, (REST, (1 - known) * total, 0.0, 1 - known)]


def picture(found):
    """A bar a size, cut into its parts. found: {size: shares}"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.6 * len(found)), layout="constrained")
    axes = figure.subplots()
    names = list(PARTS.values())[:4] + ["AdamW", "loss", REST]
    colors = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#9498a0", "#a463f2", "#d8d8d8"]
    for y, rows in enumerate(found.values()):
        share, left = Counter(), 0.0
        for name, _, _, part in rows:
            share[name if name in names else REST] += part
        for name, color in zip(names, colors):
            axes.barh(y, share[name], left=left, color=color, height=0.7, label=name if y == 0 else None)
            if share[name] > 0.05:
                axes.text(left + share[name] / 2, y, f"{100 * share[name]:.0f}%", ha="center", va="center", color=INK, fontsize=9)
            left += share[name]
    plainly(axes, "a training step's time")
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.grid(False)
    figure.legend(loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    return png(figure)


# what a choice gains

def without(choice):
    """Switch one choice off, before a step is taken"""
    if choice in TWINS:
        everywhere(getattr(arrays, choice), getattr(ops, choice))
    match choice:
        case "one worker per core":
            loop.worker_count = lambda cfg: 1
        case "memory kept":
            backend.tune_malloc = lambda: None
        case "element-wise work in chunks":
            kernels.CHUNK = 2 ** 24
        case "attention in blocks":
            kernels.BLOCK = 2 ** 40
        case "no row maximum if a bound suffices":
            kernels.needs_shift = lambda q5, k5, past: np.ones(q5.shape[:-1], bool)
        case "sums as products":
            kernels.column_sum = lambda x: x.sum(0)
        case "AdamW in chunks":
            flat.CHUNK = 2 ** 40


CHOICES = ["", "one worker per core", "memory kept", *TWINS, "element-wise work in chunks", "attention in blocks",
           "no row maximum if a bound suffices", "sums as products", "AdamW in chunks"]


def main():
    chosen = turns.options(__doc__, ["S1", "S3"], page=turns.SPEED)
    if chosen.contender is not None:
        without(chosen.contender)
        return turns.serve(*step.littlebaby(turns.SIZES[chosen.sizes[0]]), chosen.seconds)

    gains = []
    for size in chosen.sizes:
        medians, foreign, *_ = turns.rounds(CHOICES, size, chosen)
        for choice in CHOICES[1:]:
            ratios = [off / on for off, on in zip(medians[choice], medians[""])]
            gains.append(f"{size} | {choice} | {turns.spread(ratios)} | {turns.load(foreign)}")
    turns.publish("gains", "size | without | the step takes times | its range | cores used by others", gains, chosen.write, turns.SPEED)

    spent = watch()
    found = {size: shares(anatomy(size, spent)) for size in chosen.sizes}
    rows = [f"{size} | {name} | {there:.2f} | {back:.2f} | {100 * share:.1f}%"
            for size, parts in found.items() for name, there, back, share in parts]
    turns.publish("anatomy", "size | part | forward, ms | backward, ms | share", rows, chosen.write, turns.SPEED, ALT)
    if chosen.write:
        PICTURE.write_bytes(picture(found))


if __name__ == "__main__":
    main()
