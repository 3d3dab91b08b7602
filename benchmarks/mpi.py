"""Several ranks on this machine, one BLAS thread each: what a step takes, what an Allreduce takes, and what more machines would make of it.

    python benchmarks/mpi.py --write

Each turn is a fresh mpiexec, so that waiting ranks, which never sleep, disturb nobody; the contenders take turns. The batch is the same
whatever the number of ranks. What N ranks would take is a model of measured numbers and a stated network.
"""
import argparse
import json
import os
import subprocess
import sys
from itertools import islice
from math import ceil, log2
from pathlib import Path
from shutil import which
from statistics import median
from time import perf_counter, process_time

import numpy as np
import turns

import littlebaby as lb
from littlebaby import plans
from littlebaby.arrays import tree
from littlebaby.check.preflight import preflight
from littlebaby.runs.presets import preset
from littlebaby.training.data import Batches, windows
from littlebaby.training.loop import Step, begin, train
from littlebaby.training.mpi import launched_ranks

SIZES = ("S1", "S3")
RANKS = (1, 2, 4)
LENGTHS = tuple(4 ** i for i in range(5, 13))       # float32 numbers of an Allreduce: 4 kB to 64 MB
NETWORKS = {"Ethernet, 1 Gbit/s": (50e-6, 0.117e9), "Ethernet, 10 Gbit/s": (20e-6, 1.17e9), "InfiniBand, 100 Gbit/s": (2e-6, 11e9)}
MANY = (2, 4, 8, 16, 64)


# what one mpiexec measures

class Meter:
    """Ranks whose every word is timed: processor seconds spent in MPI, where a rank that waits never sleeps"""

    def __init__(self, ranks):
        self.ranks, self.n, self.number, self.processor = ranks, ranks.n, ranks.number, 0.0

    def timed(self, call, what):
        own = process_time()
        answer = call(what)
        self.processor += process_time() - own
        return answer

    def allgather(self, mine):
        return self.timed(self.ranks.allgather, mine)

    def broadcast(self, what=None):
        return self.timed(self.ranks.broadcast, what)

    def allreduce(self, flat):
        self.timed(self.ranks.allreduce, flat)


def steps(cfg, meter):
    """Without end, of a step of the product's loop: seconds, and processor seconds outside MPI"""
    plans.use_device(cfg)
    baby, ids = lb.Baby(cfg, seed=0), np.random.default_rng(0).integers(0, cfg.n_vocab, 200_000)
    own, clock = process_time(), perf_counter()
    for event in train(baby, begin(baby, 10 ** 9), Batches(ids, cfg, 0), windows(ids[:0], cfg.n_ctx), ranks=meter):
        if isinstance(event, Step):
            yield perf_counter() - clock, process_time() - own - meter.processor
            meter.processor = 0.0
            own, clock = process_time(), perf_counter()


def stepping(size, rows, seconds, ranks):
    """dict(step, work, own): median seconds of a step, median processor seconds of a rank's work in it, and the processor seconds of all
    ranks in all"""
    cfg = lb.Config(**turns.SIZES[size] | dict(batch_size=rows), c_device="cpu", c_device_cpu_cores=1, s_eval=10 ** 9, n_sample=0,
                    c_optimizer="adamw")
    endless = steps(cfg, Meter(ranks))
    warm = [next(endless)[0] for _ in range(turns.WARM)]
    count = ranks.broadcast(max(turns.LEAST, ceil(seconds / min(warm))))
    own, taken = process_time(), list(islice(endless, count))
    own = sum(ranks.allgather(process_time() - own))
    return dict(step=median(step for step, _ in taken), work=float(np.mean(ranks.allgather(median(work for _, work in taken)))), own=own)


def adding(seconds, ranks):
    """{numbers: seconds of the fastest tenth of Allreduces}: a rank that has to wait for a core is no property of MPI"""
    found = {}
    for n in LENGTHS:
        flat = np.zeros(n, np.float32)
        times = []
        while ranks.broadcast(len(times) < 5 or sum(times) < seconds / len(LENGTHS)):
            ranks.allgather(None)                                # all begin together
            clock = perf_counter()
            ranks.allreduce(flat)
            times.append(perf_counter() - clock)
        found[n] = float(np.quantile(times, 0.1))
    return found


def measure(n, *words):
    """What n ranks found"""
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else which("mpiexec")
    if not launcher:
        sys.exit("there is no mpiexec: pip install 'littlebaby[mpi]'")
    about = subprocess.run([launcher, "--version"], capture_output=True, text=True).stdout
    more = [] if "HYDRA" in about else ["--allow-run-as-root", "--oversubscribe"]
    start = [launcher, *more, "-n", str(n)] if n > 1 else []
    done = subprocess.run([*start, sys.executable, __file__, "--contender", *map(str, words)], stdout=subprocess.PIPE, text=True,
                          env=os.environ | dict(OPENBLAS_NUM_THREADS="1"))
    if done.returncode:
        sys.exit("a contender ended early; its own words stand above")
    return json.loads(done.stdout)


# from measured numbers to N ranks

def line(rows, times):
    """(fixed, per row): the seconds of a step with that many rows, as a straight line"""
    slope, fixed = np.polyfit(rows, times, 1)
    return max(fixed, 0.0), slope


def allreduce(n, bytes_, latency, bandwidth):
    """Seconds of an Allreduce that halves the vector at every exchange, then doubles it (Thakur et al. 2005): 2 log2 n messages, in all
    2 (n - 1) / n of the bytes"""
    return 2 * ceil(log2(n)) * latency + 2 * (n - 1) / n * bytes_ / bandwidth


def predicted(n, rows, fixed, each, bytes_, network):
    """Seconds of a step of `rows` rows on n ranks: all that is done once for every rank, its rows, the gradient, and four short messages"""
    latency, bandwidth = network
    return fixed + each * ceil(rows / n) + allreduce(n, bytes_, latency, bandwidth) + 4 * 2 * ceil(log2(n)) * latency


# the tables

def compared(chosen, sums, kept):
    """A row for each size and number of ranks; `sums`: {numbers: seconds of an Allreduce}; `kept` gets what `modelled` needs"""
    for size in chosen.sizes:
        B = turns.SIZES[size]["batch_size"]
        contenders = [(n, B) for n in RANKS] + [(1, B // 2), (1, B // 4)]
        turns.wait(chosen.wait)
        found, spans = {each: [] for each in contenders}, []
        for _ in range(chosen.rounds):
            for n, rows in contenders:
                before = turns.moment()
                result = measure(n, size, rows, chosen.seconds)
                spans.append((before, turns.moment(), result["own"]))
                found[n, rows].append(result)
        middle = {each: {key: median(result[key] for result in results) for key in results[0]} for each, results in found.items()}
        cfg, alone = lb.Config(**turns.SIZES[size]), middle[1, B]
        kept[size] = *line([B, B // 2, B // 4], [middle[1, rows]["work"] for rows in (B, B // 2, B // 4)]), tree.size(lb.Baby(cfg).spec), B
        for n in RANKS:
            here = middle[n, B]
            clocks = [one["step"] / some["step"] for one, some in zip(found[1, B], found[n, B])]
            add = float(np.interp(kept[size][2], list(sums), list(sums.values()))) if n > 1 else 0.0
            gain = alone["work"] / (here["work"] + add)
            yield (f"{size} | {kept[size][2]:,} | {n} x {B // n} | {1000 * here['step']:.1f} | {median(clocks):.2f} | "
                   f"{min(clocks):.2f} to {max(clocks):.2f} | {1000 * here['work']:.1f} | {1000 * add:.2f} | **{gain:.2f}** | "
                   f"{gain / n:.0%} | {turns.load(turns.others(spans))}")


def sizes_of_sums(chosen, sums):
    """A row for each length of an Allreduce; `sums` gets {numbers: seconds} of two ranks, for which the cores suffice"""
    rounds = [{n: measure(n, "add", 0, chosen.seconds) for n in RANKS[1:]} for _ in range(chosen.rounds)]
    for length in LENGTHS:
        cells = []
        for n in RANKS[1:]:
            taken = min(each[n][str(length)] for each in rounds)
            if n == 2:
                sums[length] = taken
            cells += [f"{1000 * taken:.3f}", f"{4e-9 * length / taken:.2f}"]
        yield f"{length:,} | {4 * length / 1e6:,.3f} | " + " | ".join(cells)


def modelled(kept):
    """A row for each model and network: times as fast, and efficiency, with N ranks of one thread"""
    rate = {size: per / turns.SIZES[size]["n_ctx"] / flops(lb.Config(**turns.SIZES[size])) for size, (_, per, _, _) in kept.items()}
    cases = {size: (fixed, per, count, rows) for size, (fixed, per, count, rows) in kept.items()}
    big, last = lb.Config(**preset("gpt2")), list(kept)[-1]
    fixed, _, count, _ = kept[last]
    parameters = tree.size(lb.Baby(big).spec)
    cases["GPT-2, computed"] = (fixed * parameters / count, rate[last] * flops(big) * big.n_ctx, parameters, 480)
    for name, (fixed, per, count, rows) in cases.items():
        for network, about in NETWORKS.items():
            alone = fixed + per * rows
            times = [predicted(n, rows, fixed, per, 4 * count, about) for n in MANY]
            yield f"{name} | {count:,} | {rows} | {alone:,.2f} | {network} | " + " | ".join(
                f"{alone / t:.1f}, {alone / t / n:.0%}" if n <= rows else "-" for n, t in zip(MANY, times))


def flops(cfg):
    return preflight(cfg, 10 ** 6, probe=False).flops_per_token


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", default=SIZES, metavar="SIZE", help=f"default {' '.join(SIZES)}")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender; default 5")
    parser.add_argument("--seconds", type=float, default=4.0, help="the least length of a turn; default 4")
    parser.add_argument("--contender", nargs=3, help=argparse.SUPPRESS)
    chosen = turns.publishing(parser)
    if chosen.contender:
        what, rows, seconds = chosen.contender
        ranks = launched_ranks()
        found = adding(float(seconds), ranks) if what == "add" else stepping(what, int(rows), float(seconds), ranks)
        if ranks.first:
            print(json.dumps(found))
        return
    kept: dict = {}
    sums: dict = {}
    turns.publish("allreduce", "numbers | MB | 2 ranks, ms | GB/s | 4 ranks, ms | GB/s", sizes_of_sums(chosen, sums), chosen.write)
    turns.publish("mpi", "size | parameters | ranks x rows | ms a step | speedup over one rank by the clock | its range | "
                  "CPU ms of a rank's work | ms of an Allreduce | speedup with a core for each rank | efficiency | "
                  "cores used by others",
                  compared(chosen, sums, kept), chosen.write)
    turns.publish("ranks", "model | parameters | rows | s a step, one rank | network | " + " | ".join(f"{n} ranks" for n in MANY),
                  modelled(kept), chosen.write)


if __name__ == "__main__":
    main()
