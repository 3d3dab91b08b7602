"""What a longer text costs every attention, in time and memory: `python benchmarks/cost.py [NAME ...]`.

One layer, forward and backward, fp32, one text of T = 128, 256, ..., 8192 tokens. Time is measured without, memory with tracemalloc.
"""
import argparse
import gc
import sys
import tracemalloc
from math import log
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import turns

from littlebaby import plans
from littlebaby.arrays import backend, tree
from littlebaby.model.context import Context, variant
from littlebaby.runs.settings import Config, allowed
from littlebaby.show.charts import GRAY, INK, plainly, png
from littlebaby.show.formatting import format_bytes, format_number

LENGTHS = [2 ** i for i in range(7, 14)]
MODEL = dict(n_vocab=64, n_emb=64, n_heads=4, n_layers=1, c_position="none", c_device="cpu")
REPEATS, SECONDS = 3, 1.0            # the fewest measurements of a time, and for how long they go on
PICTURE = turns.VARIANTS.parent / "pictures" / "cost.png"
ALT = "![time and memory per token of every attention over the length of the text](pictures/cost.png)"


def layer(name, T, **settings):
    """A function that runs one attention forward and backward over a text of T tokens"""
    cfg = Config(**{**MODEL, **settings}, c_attention=name, n_ctx=T)
    attention, rng, number = variant("attentions", name), np.random.default_rng(0), backend.dtype("fp32")
    spec = attention.params(cfg)
    p, g = tree.views(spec, tree.init(spec, rng, number)), tree.views(spec, np.zeros(tree.size(spec), number))
    x, dy = rng.standard_normal((2, 1, T, cfg.n_emb)).astype(number)

    def step():
        _, backward = attention.forward(p, x, Context(cfg))
        backward(dy, g)

    return step


def peak(name, T, **settings):
    """The most bytes that a step holds at a time, beyond what was there before it"""
    step = layer(name, T, **settings)
    step()                                                       # tables that are made once and kept
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    step()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most - before


def seconds(name, T):
    """The median time of a step"""
    step, taken, begun = layer(name, T), [], perf_counter()
    step()
    while len(taken) < REPEATS or perf_counter() - begun < SECONDS:
        clock = perf_counter()
        step()
        taken.append(perf_counter() - clock)
    return median(taken)


def slope(values, lengths):
    """With which power of the length a cost grows, from half the longest text to the longest"""
    return log(values[-1] / values[-2]) / log(lengths[-1] / lengths[-2]) if len(values) > 1 else float("nan")


def measured(chosen):
    """Rows for the table; what they hold goes into `chosen.costs` as {name: (seconds, bytes)}, one number per length"""
    for name in chosen.names or allowed("c_attention"):
        turns.wait(chosen.wait)
        before, own = turns.moment(), turns.spent()
        times = [seconds(name, T) for T in chosen.lengths]
        load = turns.load(turns.others([(before, turns.moment(), turns.spent() - own)]))
        room = [peak(name, T) for T in chosen.lengths]
        chosen.costs[name] = times, room
        cells = [f"{1e6 * t / T:.1f}, {format_bytes(m / T)}" for t, m, T in zip(times, room, chosen.lengths)]
        yield f"`{name}` | {' | '.join(cells)} | {slope(times, chosen.lengths):.2f}, {slope(room, chosen.lengths):.2f} | {load}"


def draw(costs, lengths):
    """Time and memory per token over the length of the text, both axes logarithmic, as a Figure"""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.2), facecolor="white", layout="constrained")
    for axes, part, heading in zip(figure.subplots(1, 2), (0, 1), ("microseconds per token", "memory per token")):
        ends = sorted(costs, key=lambda name: costs[name][part][-1])
        for i, name in enumerate(costs):
            each = np.array(costs[name][part]) / lengths * (1 if part else 1e6)
            color, dash = (INK, "-") if name == "mha" else (colormaps["tab10"](i % 10), "-" if i < 10 else "--")
            axes.plot(lengths, each, ".-" if dash == "-" else ".--", color=color, lw=2.4 if name == "mha" else 1.4)
            axes.annotate(name, (lengths[-1], each[-1]), color=color, fontsize=9, xytext=(1.07, (ends.index(name) + 0.5) / len(ends)),
                          textcoords="axes fraction", va="center", arrowprops=dict(arrowstyle="-", color=color, lw=0.5),
                          annotation_clip=False)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(lengths, list(map(str, lengths)))
        low, high = axes.get_ylim()
        axes.set_yticks([n * 10.0 ** e for e in range(-2, 9) for n in (1, 2, 5) if low < n * 10.0 ** e < high])
        axes.set_yticks([], minor=True)
        axes.yaxis.set_major_formatter(lambda value, _, part=part: format_bytes(value) if part else format_number(value))
        axes.set_xlabel("tokens of the text", color=GRAY, fontsize=9)
        plainly(axes, heading)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="attentions; default all")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help=f"default {' '.join(map(str, LENGTHS))}")
    parser.add_argument("--picture", type=Path, help="where else to put the picture")
    chosen = turns.publishing(parser, turns.VARIANTS)
    chosen.costs = {}
    plans.use_device(Config(**MODEL))
    heads = " | ".join(f"T = {T}" for T in chosen.lengths)
    turns.publish("cost", f"µs, memory per token | {heads} | power of T | cores used by others", measured(chosen), chosen.write,
                  turns.VARIANTS, ALT)
    for path in [chosen.picture] * bool(chosen.picture) + [PICTURE] * chosen.write:
        path.write_bytes(png(draw(chosen.costs, chosen.lengths), dpi=110))
    return 0


if __name__ == "__main__":
    sys.exit(main())
