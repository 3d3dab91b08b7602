"""Notebooks with panel, trainings, generations and previews beside each other, at random: none may hang or leave anything behind.

Every notebook has a kernel, a workspace and cells of its own. Some cells leave a thread at work that never rests (matrix products,
preflight, generation, pictures, a second training, a panel that trains) while the next ones train in the foreground. A notebook has hung
when a cell takes longer than PATIENCE. At its end it says which files, child processes and worker threads it still has; after the kernel
is gone, every process that it began must be gone, too.

    python benchmarks/stress.py --minutes 60 --write
"""
import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from shutil import rmtree

import nbformat
import turns
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

PATIENCE = 120          # seconds for a cell; the longest takes about five where nothing else runs
MARK = "LITTLEBABY_STRESS"

BEGIN = """
%matplotlib inline
import os, sys, threading, time
import numpy as np, matplotlib.pyplot as plt
import littlebaby as lb
from pathlib import Path
Path("inputs").mkdir(exist_ok=True); Path("inputs/t.txt").write_text("hello small world, said the baby. " * 400)
small = dict(path=".", progress=False, n_layers=1, n_emb=32, n_heads=2, n_ctx=64, n_completion=20, n_eval_windows=2, n_sample=20)
after = lambda seconds: lambda end=time.time() + seconds: time.time() > end
over, busy, panels = threading.Event(), [], []
def beside(work):
    def endless():
        while not over.is_set(): work()
    busy.append(threading.Thread(target=endless)); busy[-1].start()
run = lb.train("t.txt", **{**small, "n_steps": 20}); baby = lb.load(run.guid, path="."); a = np.ones((400, 400), "f4")
files = lambda: sorted(os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}"))
"""
BESIDE = dict(
    products="beside(lambda: a @ a)",
    preflight="beside(lambda: lb.preflight(path='.'))",
    generation="beside(lambda: baby.generate(np.zeros((8, 4), int), 100))",
    pictures="""
from littlebaby.show import charts
beside(lambda: charts.chart(run.report, [(i, 3.0 - i / 20, 1e-3, 1.0) for i in range(1, 21)]))""",
    training="beside(lambda: lb.train('t.txt', **{**small, 'n_steps': 30, 'n_emb': 64}))",
    panel="panels.append(lb.panel('.'))",
    panel_trains="""
panel = lb.panel('.'); panels.append(panel); panel.input.value = 't.txt'
panel.fields.controls['n_steps'].value = 100000; panel.press_run()""",
    importing="beside(lambda: __import__('importlib').reload(__import__('json')))")
FOREGROUND = dict(
    train="print(lb.train(**{**small, 'n_steps': 100000, 'n_emb': 64}, stop=after(1)).report.stop_reason)",
    train_tiny="print(lb.train('t.txt', **{**small, 'n_steps': 30}).report.stop_reason)",
    resume="""
cut = lb.train('t.txt', **{**small, 'n_steps': 20}, stop=lambda: True)
print(lb.train(resume=cut.guid, path='.', progress=False).report.stop_reason)""",
    finetune="print(lb.finetune(run.guid, 't.txt', path='.', progress=False, n_steps=10).report.stop_reason)",
    inference="print(len(lb.inference(run.guid, 'hello', max_tokens=50, path='.').text))",
    preview="print(lb.preflight(path='.'))",
    evaluate="print(lb.evaluate(run.guid, 'inputs/t.txt', path='.'))",
    microscope="lb.microscope(run.guid, 'hello world', path='.')",
    diary="lb.diary(run.guid, path='.')",
    picture="plt.plot([1, 2, 3]); plt.show()",
    prepare="print(lb.prepare('t.txt', path='.', progress=False, tokenizer='char', workers=2, output=f'{time.time()}.tok'))",
    panel_again="panels.append(lb.panel('.'))")
END = """
over.set()
for thread in busy: thread.join()
for panel in panels:
    panel.stopping.set()
    while panel.busy: time.sleep(0.1)
    if panel.foreseeing: panel.foreseeing.join()
time.sleep(0.5)
import gc; gc.collect()
print("LEFT", [f for f in files() if "/inputs" in f or "/models" in f or "/outputs" in f or "/configs" in f],
      [t.name for t in threading.enumerate() if t.name == "littlebaby worker"],
      Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
"""


def notebook(draw):
    """Cells, and the names of what they do"""
    before = draw.sample(sorted(BESIDE), draw.randint(1, 3))
    then = [draw.choice(["train", "train_tiny", "resume"]), *draw.choices(sorted(FOREGROUND), k=3)]
    draw.shuffle(then)
    return [BEGIN, *(BESIDE[name] for name in before), *(FOREGROUND[name] for name in then), END], [*before, "|", *then]


def run(cells, mark):
    """What came of the notebook: fine, or what went wrong"""
    home = tempfile.mkdtemp(prefix="stress-")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(book, timeout=PATIENCE, kernel_name="python3", resources=dict(metadata=dict(path=home)))
    os.environ[MARK] = mark                                      # what the kernel begins has it from here
    try:
        client.execute()
    except CellTimeoutError:
        return f"hung in cell {sum(cell.execution_count is not None for cell in book.cells)}"
    except CellExecutionError as error:
        return f"failed: {str(error).strip().splitlines()[-1]}"
    finally:
        rmtree(home, ignore_errors=True)
    said = "".join(output.get("text", "") for output in book.cells[-1].outputs)
    if "LEFT [] [] []" not in said:
        return f"left behind: {said.strip()}"
    time.sleep(0.5)
    return f"processes left: {left}" if (left := marked(mark)) else "fine"


def marked(mark):
    """Processes, zombies too, that have this mark in their environment, besides our own"""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (place / "environ").read_bytes().split(b"\0") and int(place.name) != os.getpid():
                found.append(f"{place.name} {(place / 'cmdline').read_text()[:80]}")
        except OSError:
            pass
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--notebooks", type=int, default=10 ** 6, help="stop after so many")
    parser.add_argument("--seed", type=int, default=0)
    chosen = turns.publishing(parser)
    draw, began, results, cells = Random(chosen.seed), time.monotonic(), Counter(), Counter()
    while time.monotonic() - began < 60 * chosen.minutes and sum(results.values()) < chosen.notebooks:
        book, names = notebook(draw)
        result = run(book, f"{os.getpid()}-{sum(results.values())}")
        results[result.partition(":")[0].partition(" in cell")[0]] += 1
        cells.update(names)
        print(sum(results.values()), " ".join(names), "->", result, flush=True)
    files = len(os.listdir("/proc/self/fd"))
    minutes = (time.monotonic() - began) / 60
    rows = [f"{sum(results.values())} | {minutes:.0f} | {sum(cells.values()) - cells['|']:,} | {results['hung']} | {results['failed']} | "
            f"{results['left behind']} | {results['processes left']}"]
    heads = "notebooks | minutes | cells with something at work | hung | failed | left files, threads or children | left processes"
    turns.publish("stress", heads, rows, chosen.write)
    sys.exit(results["fine"] != sum(results.values()) or files > 64)


if __name__ == "__main__":
    main()
