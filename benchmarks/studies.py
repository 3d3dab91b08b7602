"""Questions about settings, each answered by a sweep: `python benchmarks/studies.py [pairs optimizers ...] [--write]`.

All models are small and learn the nursery, whose floor is known, so a loss says how far a model is from the best possible one. Every study
is a plan of `lb.sweep`, with three seeds (two where there are many cells), and its runs stay in the workspace.
"""
import argparse
from math import inf, log, sqrt
from time import perf_counter

import numpy as np
import turns

import littlebaby as lb
from littlebaby.runs.settings import allowed
from littlebaby.runs.shipped import SHIPPED
from littlebaby.show.comparison import importance_sentence
from littlebaby.show.formatting import format_number
from littlebaby.text import nursery

PAGE = turns.DOCS / "experiments.md"
TOKENS = 8 * 128                         # of a step
BASE = dict(n_layers=2, n_emb=64, n_heads=4, n_ctx=128, batch_size=8, n_steps=500, s_eval=500, n_sample=0, n_completion=0)
PAIRED = dict(c_attention=allowed("c_attention"), c_network=[each for each in allowed("c_network") if each != "lor"])

BITS = "bits_per_character"
HEADS = "settings | bits per character | behind the best | nats per story above the floor | parameters | seconds of a run"


def rates(optimizer, *values):
    return [dict(c_optimizer=optimizer, r_learn=value) for value in values]


def steps_of(batch):
    """Batches of so many rows, and steps with 500 x TOKENS tokens in all"""
    return dict(batch_size=batch, n_steps=4000 // batch, s_eval=4000 // batch)


STUDIES = dict(
    pairs=dict(grid=PAIRED, seeds=2),
    # as many numbers are active for a token in each: a network of 256, or two experts of 128 of E
    experts=dict(list=[dict(c_network="mlp", s_hidden=256), *(
        dict(c_network="moe", n_experts=E, n_active=2, s_expert=128, r_aux=aux) for E in (4, 8, 16) for aux in (0.0, 0.01))], seeds=3),
    optimizers=dict(list=[*rates("adamw", .003, .006, .012, .024), *rates("muon", .005, .01, .02, .04), *rates("muonclip", .01, .02),
                          *rates("lion", .0003, .001, .003), *rates("sgd", .03, .1, .3)], seeds=3),
    width=dict(grid=dict(n_emb=[32, 64, 128], r_learn=[.0015, .003, .006, .012, .024]), settings=dict(c_optimizer="adamw"), seeds=2),
    batch=dict(list=[steps_of(batch) | dict(r_learn=rate) for batch in (4, 16, 64) for rate in (.0015, .003, .006, .012, .024, .048)],
               settings=dict(c_optimizer="adamw"), seeds=2),
    context=dict(list=[dict(n_ctx=T, batch_size=TOKENS // T) for T in (8, 16, 32, 64, 128, 256)], seeds=3),
    shape=dict(list=[dict(n_layers=1, n_emb=92), dict(n_layers=2, n_emb=64), dict(n_layers=4, n_emb=44), dict(n_layers=8, n_emb=32)],
               seeds=3),
    scaling=dict(list=[dict(n_emb=D, n_steps=n, s_eval=n) for D in (16, 32, 64, 96) for n in (125, 250, 500, 1000, 2000)], seeds=2),
    tokens=dict(list=[dict(c_tokenizer="char", n_ctx=512), dict(c_tokenizer="bpe", s_vocabulary=300, n_ctx=256),
                      dict(c_tokenizer="bpe", s_vocabulary=600, n_ctx=164), dict(c_tokenizer="word")], seeds=3),
    recall=dict(list=[dict(c_attention="hybrid", r_recall=share) for share in (0, .25, .5, .75, 1)], seeds=3),
    shared=dict(list=[dict(c_attention="gqa", n_kv_heads=n) for n in (8, 4, 2, 1)], settings=dict(n_heads=8), seeds=3),
    filters=dict(list=[dict(c_attention="mha"), *(dict(c_attention="gla", s_kernel=K) for K in (3, 8, 32, 128))], seeds=3),
)


def settings_of(cell):
    return ", ".join(f"{name} {value}" for name, value in cell.settings.items() if name != "s_eval")


def floor_of(found):
    """Bits per character that the best possible model needs, and characters per story, of the nursery that all runs learned"""
    report, text = lb.info(found.guids[0])["report"], nursery.corpus(100_000, seed=0)[0]
    figures = report["figures"]
    return figures["bits_per_character"] * report["nursery_floor"] / figures["valid_loss"], len(text) / text.count("\n\n")


def row(cell, best, floor, story):
    """A cell: its bits per character, how much worse it is than the best cell with the standard error of the difference, and its cost"""
    if cell.failed:
        return f"{settings_of(cell)} | {cell.failed[0].error} | | | |"
    bits, spread = cell.mean(BITS), cell.std(BITS)
    error = sqrt((spread ** 2 + best.std(BITS) ** 2) / len(cell.runs))
    behind = "" if cell is best else f"{bits - best.mean(BITS):.4f} ± {error:.4f}"
    return (f"{settings_of(cell)} | {bits:.4f} ± {spread:.4f} | {behind} | {(bits - floor) * log(2) * story:.1f} | "
            f"{format_number(cell.mean('parameters'))} | {cell.mean('seconds'):.0f}")


def study(name, jobs):
    """The rows of a study, the best cell first, and a line for below the table"""
    plan, clock = STUDIES[name], perf_counter()
    found = lb.sweep(dict(plan, input="nursery", preset="nursery", settings=BASE | plan.get("settings", {})), jobs=jobs)
    minutes, (floor, story) = (perf_counter() - clock) / 60, floor_of(found)
    cells = sorted(found.cells, key=lambda cell: (bool(cell.failed), cell.mean(BITS) or 0))
    lines = [f"{len(found.guids)} runs, {minutes:.0f} minutes. The floor is {floor:.4f} bits per character."]
    if "grid" in plan:
        lines += [f"- {importance_sentence(each)}" for each in found.importance()]
    if name == "scaling":
        lines.append(fitted(cells, floor))
    return [row(cell, cells[0], floor, story) for cell in cells], "\n\n".join(lines)


def fitted(cells, floor):
    """bits - floor = A / N^a + B / D^b for N parameters and D tokens, with the least squared relative error, and what follows for the five
    babies"""
    runs = [(cell.mean("parameters"), cell.settings["n_steps"] * TOKENS, bits - floor) for cell in cells for bits in cell.values(BITS)]
    N, D, excess = np.array(runs).T

    def fit(a, b):
        """The error for exponents, infinite where A or B is not positive, and A, B; each equation is divided by its excess"""
        terms = np.stack([N ** -a, D ** -b], 1) / excess[:, None]                # (runs, 2)
        factors = np.linalg.lstsq(terms, np.ones(len(excess)), rcond=None)[0]
        return float(np.mean((terms @ factors - 1) ** 2)) if (factors > 0).all() else inf, *factors

    tried = np.arange(.05, 2, .05)
    (error, A, B), a, b = min(((fit(a, b), a, b) for a in tried for b in tried), key=lambda each: each[0][0])
    predicted = lambda n, d: A / n ** a + B / d ** b
    lines = [f"bits - floor = {A:.3g} / N^{a:.2f} + {B:.3g} / D^{b:.2f} for N parameters and D tokens, within {sqrt(error):.0%} "
             f"(root mean square over {len(runs)} runs)."]
    for baby in SHIPPED:
        figures = lb.info(baby)["report"]["figures"]
        n, d, measured = figures["parameters"]["trainable"], figures["tokens"], figures["bits_per_character"] - floor
        lines.append(f"- {baby}: N = {format_number(n)}, D = {format_number(d)}, {d / n:.0f} tokens per parameter: "
                     f"{predicted(n, d):.4f} bits above the floor by this law, {measured:.4f} measured")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(STUDIES), metavar="NAME", help=f"of {', '.join(STUDIES)}")
    parser.add_argument("--jobs", type=int, default=0, help="runs at once; default as many as cores")
    chosen = turns.publishing(parser, PAGE)
    for name in chosen.names:
        rows, below = study(name, chosen.jobs)
        turns.publish(name, HEADS, rows, chosen.write, PAGE, below)


if __name__ == "__main__":
    main()
