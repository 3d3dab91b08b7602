"""Learning curves of every attention (beside mlp) and every network (beside mha): `python benchmarks/curves.py [NAME ...]`.

Tiny Shakespeare by characters, the same tokens and as nearly as can be the same number of parameters for all, three seeds. A run is kept
as a file in `--results`, and an interrupted benchmark goes on where it stopped; runs stand side by side, a thread each.
"""
import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from time import process_time

import numpy as np
import turns

from littlebaby import plans
from littlebaby.arrays import tree
from littlebaby.inference.baby import Baby
from littlebaby.model import gpt
from littlebaby.runs.settings import Config, allowed
from littlebaby.show.charts import GRAY, INK, plainly, png
from littlebaby.show.formatting import format_number
from littlebaby.text.char import Char
from littlebaby.training.data import Batches, split, windows
from littlebaby.training.evaluate import evaluate
from littlebaby.training.loop import Evaluation, begin, train
from littlebaby.training.parallel import Workers

MODEL = dict(n_layers=4, n_emb=96, n_heads=4, n_ctx=128, batch_size=8, c_position="sinusoidal", c_optimizer="muon", r_momentum=0.95,
             r_learn=0.02, r_learn_min=0.0, n_eval_windows=32, c_device="cpu", c_device_cpu_cores=1)
STEPS, POINTS = 400, 16                            # updates of a run, and evaluations on the way
REFERENCE = ("mha", "mlp")
WIDTHS = ("s_hidden", "s_expert", "head_size")      # the first of them that a pair has is fitted until it has the reference's parameters
PICTURE = turns.VARIANTS.parent / "pictures" / "curves.png"
ALT = "![validation loss of every attention and network over the tokens learned from](pictures/curves.png)"


def pairs():
    """(attention, network) of every curve"""
    return [(name, "mlp") for name in allowed("c_attention")] + [("mha", name) for name in allowed("c_network") if name != "mlp"]


def name_of(pair):
    """What a pair is about: the one of the two that is not the reference's"""
    return next((name for name, usual in zip(pair, REFERENCE) if name != usual), "mha")


def size(cfg):
    return tree.size(gpt.params(cfg))


def fitted(pair, symbols):
    """The pair's config with the number of parameters that is nearest to the reference's"""
    plain = Config(**MODEL, n_vocab=symbols)
    cfg, goal = plain.replace(c_attention=pair[0], c_network=pair[1]), size(plain)
    for key in WIDTHS:
        step = 2 * cfg.n_heads if key == "head_size" else 1
        wide = lambda n: cfg.replace(**{key: n * step})
        if key not in Config.model_fields or size(wide(8)) == size(wide(16)):
            continue
        low, high = 1, 4096 // step                              # halved until they are neighbours
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if size(wide(middle)) <= goal else (low, middle)
        return min((cfg, wide(low), wide(high)), key=lambda each: abs(size(each) - goal))
    return cfg


def settings(pair, seed, steps, symbols):
    return fitted(pair, symbols).replace(seed=seed, n_steps=steps, s_eval=max(1, steps // POINTS))


def run(pair, seed, steps, text):
    """One training: validation losses on the way over a part of the validation text, at the end over all of it"""
    tokenizer, own = Char.train(text), process_time()
    cfg = settings(pair, seed, steps, tokenizer.size)
    plans.use_device(cfg)
    learned, held_out = split(tokenizer.encode(text), cfg)
    baby = Baby(cfg, seed=seed)
    validation = windows(held_out, cfg.n_ctx, cfg.n_eval_windows)
    rows = [event for event in train(baby, begin(baby, steps), Batches(learned, cfg, seed), validation)
            if isinstance(event, Evaluation)]
    loss = evaluate(Workers(1), baby.p, cfg, windows(held_out, cfg.n_ctx))
    return dict(pair=pair, seed=seed, settings=cfg.model_dump(mode="json"), parameters=size(cfg), seconds=process_time() - own,
                tokens=[row.tokens for row in rows], losses=[row.valid_loss for row in rows], loss=loss)


# what is kept

def place(folder, pair, seed):
    return folder / f"{'-'.join(pair)}-{seed}.json"


def kept(folder, pair, seed, steps, symbols):
    """A run's result, None where there is none with these settings"""
    path = place(folder, pair, seed)
    result = json.loads(path.read_text()) if path.exists() else None
    return result if result and result["settings"] == settings(pair, seed, steps, symbols).model_dump(mode="json") else None


def keep(folder, result):
    path = place(folder, result["pair"], result["seed"])
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result))
    part.replace(path)


def results(chosen, wanted, text):
    """All results that were asked for, those of earlier calls first; whatever fails is told and left out"""
    symbols, folder, done, due = Char.train(text).size, chosen.results, [], []
    folder.mkdir(parents=True, exist_ok=True)
    for seed in chosen.seeds:
        for pair in wanted:
            found = kept(folder, pair, seed, chosen.steps, symbols)
            done, due = (done + [found], due) if found else (done, due + [(pair, seed)])
    print(f"{len(done)} runs are there, {len(due)} are to be made", file=sys.stderr)
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")           # for the processes below
    with ProcessPoolExecutor(chosen.jobs, get_context("spawn")) as pool:
        running = {pool.submit(run, pair, seed, chosen.steps, text): (pair, seed) for pair, seed in due}
        for each in as_completed(running):
            pair, seed = running[each]
            if each.exception():
                print(f"{name_of(pair)}, seed {seed}: {each.exception()!r}", file=sys.stderr, flush=True)
                continue
            keep(folder, each.result())
            done.append(each.result())
            print(f"{name_of(pair)}, seed {seed}: {done[-1]['loss']:.4f} in {done[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    return done


# what is shown

def together(runs, key=lambda each: tuple(each["pair"])):
    """{key: its runs, one per seed}, the lowest mean loss first"""
    of: dict = {}
    for each in runs:
        of.setdefault(key(each), []).append(each)
    return dict(sorted(of.items(), key=lambda item: mean(each["loss"] for each in item[1])))


def rows(runs):
    usual = Config(**MODEL).model_dump()
    for pair, of in together(runs).items():
        losses, first = [each["loss"] for each in of], of[0]
        width = next((f"{key} {first['settings'][key]}" for key in WIDTHS if first["settings"].get(key) != usual.get(key)), "")
        yield (f"`{pair[0]}` | `{pair[1]}` | **{mean(losses):.4f}** | {stdev(losses) if len(losses) > 1 else 0:.4f} | {len(losses)} | "
               f"{first['parameters']:,} | {width} | {first['tokens'][-1]:,} | {mean(each['seconds'] for each in of):.0f}")


def draw(runs):
    """The mean validation loss over the tokens learned from, attentions on the left, networks on the right, as a Figure"""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.6), facecolor="white", layout="constrained")
    losses = np.array([each["losses"] for each in runs])         # (runs, points)
    low, high = losses.min() * 0.985, losses[:, losses.shape[1] // 8].max()
    ticks = [tick / 10 for tick in range(10, 45) if low < tick / 10 < high]
    for axes, side, heading in zip(figure.subplots(1, 2, sharey=True), (0, 1), ("attentions, beside mlp", "networks, beside mha")):
        of = together([each for each in runs if each["pair"][1 - side] == REFERENCE[1 - side]], lambda each: each["pair"][side])
        for i, (name, each) in enumerate(of.items()):
            usual, tokens, curve = name == REFERENCE[side], each[0]["tokens"], np.mean([one["losses"] for one in each], 0)
            color, dash = (INK, "-") if usual else (colormaps["tab10"](i % 10), "-" if i < 10 else "--")
            axes.plot(tokens, curve, color=color, ls=dash, lw=2.4 if usual else 1.4, zorder=3 if usual else 2)
            # names stand one below the other, as the curves do
            axes.annotate(f"{name} {mean(one['loss'] for one in each):.3f}", (tokens[-1], curve[-1]), color=color, fontsize=9,
                          xytext=(1.07, (i + 0.5) / max(len(of), 14)), textcoords="axes fraction", va="center",
                          arrowprops=dict(arrowstyle="-", color=color, lw=0.5), annotation_clip=False)
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        axes.set_yticks(ticks, [f"{tick:.1f}" for tick in ticks])
        axes.set_yticks([], minor=True)
        axes.xaxis.set_major_formatter(lambda value, _: format_number(value))
        axes.set_xlabel("tokens learned from", color=GRAY, fontsize=9)
        plainly(axes, f"validation loss, nats per character: {heading}")
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="attentions and networks; default all")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where tinyshakespeare.txt lies")
    parser.add_argument("--results", type=Path, default=Path("outputs/curves"), help="where runs are kept; default outputs/curves")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default 0 1 2")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"updates of a run; default {STEPS}, fewer only to try this file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs side by side; default one per core")
    parser.add_argument("--picture", type=Path, help="where else to put the picture")
    parser.add_argument("--write", action="store_true", help="put the table into docs/variants/README.md and the picture beside it")
    chosen = parser.parse_args()
    wanted = [pair for pair in pairs() if not chosen.names or name_of(pair) in chosen.names]
    runs = results(chosen, wanted, (chosen.data / "tinyshakespeare.txt").read_text())
    if not runs:
        sys.exit("there is nothing to show")
    turns.publish("curves", "attention | network | validation loss | its spread | seeds | parameters | fitted width | tokens | s of a core",
                  rows(runs), chosen.write, turns.VARIANTS, ALT)
    for path in [chosen.picture] * bool(chosen.picture) + [PICTURE] * chosen.write:
        path.write_bytes(png(draw(runs), dpi=110))


if __name__ == "__main__":
    main()
