"""What the benchmarks share: contenders that take turns, an eye on what else the machine does, and the page that keeps the figures.

Every contender has a process of its own, warms up, and then measures a burst whenever its turn comes: A B A B ... A busy or slowly
warming machine then slows both, and the figure to quote is the median over rounds of the ratio within a round.
"""
import argparse
import json
import os
import platform
import re
import subprocess
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from math import nan
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import numpy  # noqa: F401  brings its BLAS into the process
from threadpoolctl import threadpool_info

from littlebaby.arrays.backend import peak_memory
from littlebaby.check import bench

LARGE = "GPT-2"                # 163 million numbers, with a head of its own: for two contenders at a time
SIZES = bench.SIZES | {LARGE: dict(n_layers=12, n_heads=12, n_emb=768, n_ctx=1024, n_vocab=50257, batch_size=1)}
THREADS = 2
WARM, LEAST = 3, 3            # measurements before the first burst; the fewest of a burst
QUIET = 0.2                   # cores that other processes may use before a figure is marked
AVX512 = ("SkylakeX", "Cooperlake", "SapphireRapids")     # OpenBLAS kernels that OPENBLAS_CORETYPE=Haswell replaces by slower ones
DOCS = Path(__file__).parents[1] / "docs"
PAGE, SPEED, VARIANTS = DOCS / "benchmarks.md", DOCS / "speed.md", DOCS / "variants" / "README.md"


# the machine

def machine():
    """One line: processor, BLAS and its kernels, versions, the load before"""
    found, chosen = blas(), os.environ.get("OPENBLAS_CORETYPE", "not set")
    versions = f"Python {platform.python_version()}, NumPy {installed('numpy')}, PyTorch {installed('torch')}"
    return (f"{processor()}, {os.cpu_count()} cores; {found['internal_api']} {found['version']}, {found['architecture']} kernels, "
            f"OPENBLAS_CORETYPE {chosen}; {versions}; load average before {os.getloadavg()[0]:.2f}; {date.today()}")


def processor():
    try:
        return re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


def blas():
    """NumPy's BLAS: internal_api, version, architecture (the kernels that it chose)"""
    unknown = dict(internal_api="BLAS", version="unknown", architecture="unknown")
    return unknown | next((each for each in threadpool_info() if each["user_api"] == "blas"), {})


def installed(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def moment():
    """Now, and the processor seconds that this machine has spent on anyone so far, nan where it does not tell"""
    try:
        user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    except OSError:
        return perf_counter(), nan
    return perf_counter(), (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def spent():
    """Processor seconds of this process and of its children that have ended"""
    return sum(os.times()[:4])


def others(spans):
    """Cores that other processes kept busy in the mean, from spans of (moment before, moment after, our own processor seconds)"""
    foreign = sum(after[1] - before[1] - own for before, after, own in spans)
    return foreign / sum(after[0] - before[0] for before, after, _ in spans)


def wait(minutes):
    """Until other processes leave the machine alone for five seconds, or the minutes are over"""
    end = perf_counter() + 60 * minutes
    while True:
        before = moment()
        sleep(5)
        if not others([(before, moment(), 0)]) > QUIET or perf_counter() > end:
            return


def load(cores):
    """A table's last cell: what others took meanwhile"""
    return f"{max(cores, 0):.2f}" + (", **under foreign load**" if cores > QUIET else "")


# contenders

def serve(parameters, measurements, seconds):
    """A contender's process: a burst of at least so many seconds for every line that comes in. measurements: an endless iterator"""
    for _ in range(WARM):
        next(measurements)
    print(json.dumps(dict(parameters=parameters, kernels=blas()["architecture"])), flush=True)
    for _ in sys.stdin:
        own, before, taken = spent(), perf_counter(), []
        while perf_counter() - before < seconds or len(taken) < LEAST:
            taken.append(next(measurements))
        print(json.dumps(dict(median=median(taken), own=spent() - own, memory=peak_memory())), flush=True)


class Contender:
    """A process that measures when it is asked. coretype: what OPENBLAS_CORETYPE is there, None for OpenBLAS's own choice"""

    def __init__(self, name, size, seconds, coretype):
        environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
        command = [sys.executable, sys.argv[0], size, "--contender", name, "--seconds", str(seconds)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment | (dict(OPENBLAS_CORETYPE=coretype) if coretype else {}))
        self.about = self.hear()

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a contender ended early; its own words stand above")
        return json.loads(line)

    def burst(self):
        print(file=self.process.stdin, flush=True)
        return self.hear()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def rounds(names, size, chosen, coretype=None):
    """({name: its median in every round}, cores that others took, the kernels of the first contender, {name: bytes it had at most})"""
    contenders = {name: Contender(name, size, chosen.seconds, coretype) for name in names}
    abouts = [contender.about for contender in contenders.values()]
    if len({about["parameters"] for about in abouts}) > 1:
        sys.exit(f"the contenders are not the same model: {abouts}")
    wait(chosen.wait)
    medians, memory, spans = {name: [] for name in names}, {}, []
    for _ in range(chosen.rounds):
        for name, contender in contenders.items():
            before = moment()
            result = contender.burst()
            spans.append((before, moment(), result["own"]))
            medians[name].append(result["median"])
            memory[name] = result["memory"]
    for contender in contenders.values():
        contender.close()
    return medians, others(spans), abouts[0]["kernels"], memory


def matches(names, chosen):
    """(size, what `rounds` returns) of every size, of the contenders names(size); where OpenBLAS chooses AVX-512 kernels, once more with
    Haswell's"""
    for size in chosen.sizes:
        found = rounds(names(size), size, chosen)
        yield size, *found
        if found[2] in AVX512:
            yield size, *rounds(names(size), size, chosen, "Haswell")


def spread(values):
    """Median and range of a few numbers, in words"""
    return f"**{median(values):.2f}** | {min(values):.2f} to {max(values):.2f}"


def options(doc, sizes, page=PAGE):
    """The command line of those whose contenders take turns"""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("sizes", nargs="*", default=sizes, metavar="SIZE", help=f"default {' '.join(sizes)}")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender; default 7")
    parser.add_argument("--seconds", type=float, default=4.0, help="the least length of a turn; default 4")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    return publishing(parser, page)


def publishing(parser, page=PAGE):
    """The options of every benchmark, parsed with those that `parser` has already"""
    parser.add_argument("--wait", type=float, default=10, help="minutes to wait for a quiet machine; default 10")
    parser.add_argument("--write", action="store_true", help=f"put the table into {page.relative_to(DOCS.parent)}, too")
    return parser.parse_args()


# the page

def publish(name, heads, rows, write, page=PAGE, below=""):
    """Print a table as its rows come; with `write`, also put it, and what is to stand below it, between the page's marks <!-- name -->
    and <!-- end -->"""
    lines = []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    say(f"{machine()}.\n")
    say(f"| {heads} |")
    say("|---" * (heads.count("|") + 1) + "|")
    for row in rows:
        say(f"| {row} |")
    print()
    if write:
        block = "\n".join(lines + ["", below] * bool(below))
        mark = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
        text, found = mark.subn(lambda _: f"{block}\n", page.read_text(), count=1)
        if not found:
            sys.exit(f"{page} has no place for {name}")
        page.write_text(text)
