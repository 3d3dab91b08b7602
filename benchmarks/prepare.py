"""How fast a large text becomes tokens, and how much memory it takes to train from them.

    python benchmarks/prepare.py --size 1GB --write

A nursery of this size is told (ten of a tenth of it, with ten seeds, one after the other), prepared as
char and as bpe on two processes, and trained from; all of it is deleted at the end. CPU seconds are those of all processes together:
on a machine that others use, too, megabytes per CPU second and core say more than those per second of the clock.
"""
import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import turns

import littlebaby as lb
from littlebaby.runs.store import Workspace
from littlebaby.text import nursery

PICTURE = turns.DOCS / "pictures" / "memory.png"
TRAINED = dict(n_layers=2, n_emb=64, n_heads=4, n_ctx=256, batch_size=32, s_eval=200, n_eval_windows=20, n_sample=0, n_completion=0,
               r_eval_overlap=0.0)


def children():
    """The numbers of the processes that this one's threads have begun and that are there yet"""
    return [int(pid) for each in Path("/proc/self/task").glob("*/children") for pid in each.read_text().split()]


def held():
    """Bytes of memory that this process and its workers hold, what they share counted once: all of it, and what no file backs"""
    total = bare = 0
    for pid in [os.getpid(), *children()]:
        try:
            lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        except OSError:                             # it ended in between
            continue
        pages = {name: int(value.split()[0]) * 1024 for name, value in lines.items()}
        total, bare = total + pages["Pss"], bare + pages["Pss_Anon"] + pages["Pss_Shmem"]
    return total, bare


class Watched:
    """Memory over time while the block runs: .rows of (seconds, all bytes, those that no file backs), .seconds, .cpu"""

    def __init__(self, every=0.5):
        self.every, self.rows, self.over = every, [], threading.Event()

    def __enter__(self):
        self.began, self.before = time.perf_counter(), turns.spent()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.over.wait(self.every):
            self.rows.append((time.perf_counter() - self.began, *held()))

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.seconds, self.cpu = time.perf_counter() - self.began, turns.spent() - self.before

    @property
    def peak(self):
        return max(total for _, total, _ in self.rows)


def told(size, seeds=10):
    for seed in range(seeds):
        yield from (story for story, _ in nursery.pieces(size // seeds, seed))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", default="1GB")
    options.add_argument("--steps", type=int, default=2000)
    options.add_argument("--folder", help="where the text goes for a while [the system's place for temporary files]")
    options.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md and the picture into docs/pictures")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        home = Workspace(folder)
        path = home.write_input("nursery.txt", told(lb.plans.parse_size(chosen.size)))
        size, table = path.stat().st_size, []
        for kind in ("char", "bpe"):
            with Watched() as watched:
                made = lb.prepare(path, Path(folder) / f"{kind}.tok", kind, path=folder, workers=2, progress=False)
            table.append((kind, size / 1e6, made.stat().st_size / 1e6, watched.seconds, watched.cpu, size / 1e6 / watched.seconds,
                          2 * size / 1e6 / watched.cpu, watched.peak / 2**20))
            print(table[-1], flush=True)
        with Watched() as watched:
            run = lb.train(Path(folder) / "char.tok", path=folder, n_steps=chosen.steps, progress=False, **TRAINED)
        made_of = (Path(folder) / "char.tok").stat().st_size
        shown = run.report.figures.tokens
    rows = watched.rows
    settled = [row for row in rows if row[0] > 0.2 * watched.seconds]
    grown = (settled[-1][1] - settled[0][1]) / 2**20
    below = (f"Trained from char.tok, {chosen.steps:,} steps, {shown:,} tokens in {watched.seconds:.0f} s: at most "
             f"{max(row[1] for row in rows) / 2**20:.0f} MiB in use by all its processes, {max(row[2] for row in rows) / 2**20:.0f} MiB "
             f"of it backed by no file; from the first fifth of the time to the end it changed by {grown:+.1f} MiB.\n\n"
             f"![Memory while training from a token file](pictures/{PICTURE.name})")
    heads = "tokenizer | text, MB | token file, MB | s | CPU s | MB/s | MB per CPU second, two cores | peak memory, MiB"
    turns.publish("prepare", heads, (" | ".join([kind, *(f"{n:,.0f}" for n in (a, b, c, d)), f"**{e:.1f}**", f"{f:.1f}", f"{g:,.0f}"])
                                     for kind, a, b, c, d, e, f, g in table), chosen.write, below=below)
    if chosen.write:
        picture(rows, made_of)


def picture(rows, size):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3))
    axes.axhline(size / 2**20, color="0.6", linestyle=":", label="the token file")
    axes.plot([t for t, *_ in rows], [r / 2**20 for _, r, _ in rows], label="memory of all its processes")
    axes.set(xlabel="seconds of training", ylabel="MiB", ylim=(0, None))
    axes.legend(frameon=False, loc="center right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=120)


if __name__ == "__main__":
    main()
