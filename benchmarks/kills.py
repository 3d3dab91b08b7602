"""Kill a training, at random moments and at every single write, or let the disk refuse the write, and see what is left.

A killed training is a process of its own that SIGKILL ends: from outside after a random time, or by itself in the place of its n-th
write, of which half is then done. Afterwards the workspace must list, every file under its final name must be whole, and the run must go
on from its last checkpoint, be killed again on the way, and end with the weights, moments, losses and words of the run that nobody
killed. A disk that refuses must be told in one sentence, and then the same holds.

    python benchmarks/kills.py --write
"""
import argparse
import errno
import json
import os
import signal
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from shutil import rmtree
from tempfile import mkdtemp

import numpy as np
from tqdm import tqdm

import littlebaby as lb
from littlebaby import plans
from littlebaby.runs import disk
from littlebaby.runs.store import Workspace, checkpoints
from littlebaby.runs.weights import load_safetensors

TEXT = "The little baby learns to speak, and says what it has learned. " * 30
TINY = dict(n_layers=1, n_emb=8, n_heads=2, n_ctx=8, batch_size=4, n_accumulate=2, r_dropout=0.1, n_steps=8, s_eval=4, s_checkpoint=2,
            n_sample=4, n_completion=10, c_optimizer="muon")
PNG = b"\x89PNG, and all the rest of a picture"


# what a disk is told, counted

@contextmanager
def at_write(number, act, lasting=False):
    """`act()` in the place of the number-th thing that disk.py does to the disk (lasting: and of all later ones); a write is half done

    Yields a list that holds how many there were so far.
    """
    seen, places = [0], [(os, "fsync"), (os, "replace"), (disk, "rmtree"), (Path, "mkdir"), (Path, "unlink")]
    real = [getattr(owner, name) for owner, name in places]

    def due():
        seen[0] += 1
        return seen[0] == number or lasting and seen[0] > number

    def counted(call):
        def instead(*given, **named):
            if due():
                act()
            return call(*given, **named)
        return instead

    class File:
        def __init__(self, file):
            self.file = file

        def write(self, piece):
            if due():
                piece = memoryview(piece)
                self.file.write(piece[:len(piece) // 2])
                self.file.flush()
                act()
            return self.file.write(piece)

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    disk.open = lambda *given: File(counted(open)(*given))
    for (owner, name), call in zip(places, real):
        setattr(owner, name, counted(call))
    try:
        yield seen
    finally:
        del disk.open
        for (owner, name), call in zip(places, real):
            setattr(owner, name, call)


def failing(number):
    """An act for `at_write`: the disk answers with this error"""
    def act():
        raise OSError(number, os.strerror(number))
    return act


def die():
    os.kill(os.getpid(), signal.SIGKILL)


# a run, and what must be true of it

def begun(home):
    """A new workspace with the text"""
    Workspace(home).write_input("tale.txt", [TEXT])
    return home


def go(home, **more):
    """Go on with what is there, or train; what was killed before its first checkpoint is removed, as its owner would. Returns its name

    One that was killed while the checkpoint of a finished run went is resumed, too: it has nothing to do but that.
    """
    plans.training_run.charts.chart = lambda report, steps: PNG                   # drawing takes longer than all the rest
    workspace = Workspace(home)
    for run in workspace.list():
        if run.report and run.report.stop_reason == "finished" and (run.checkpoint is None or run.config.b_keep_last):
            return run.name
        if run.resumable:
            return lb.train(resume=run.name, path=home, progress=False).guid
        try:
            lb.train(resume=run.name, path=home, progress=False)
        except lb.BadInput as error:
            assert "has no checkpoint" in str(error), error
        workspace.delete(run.name)
    return lb.train("tale", path=home, progress=False, **TINY | more).guid


def whole(home):
    """Everything that lies under its final name is whole, and the workspace lists; returns how many such files there are"""
    workspace, count = Workspace(home), 0
    for run in workspace.list():
        assert not run.damaged, run.damaged
        for path in checkpoints(workspace.path("checkpoint", run.name)):
            load_safetensors(path)
        for file in workspace.files(run.name):
            count += 1
            if file.path.suffix == disk.TEMPORARY or file.path.is_dir():
                continue
            kind = file.path.name.partition("_")[0]
            if kind == "chart":
                assert file.path.read_bytes() == PNG
            else:
                getattr(workspace, f"load_{kind}")(run.name)
    return count


def come_to(home, name):
    """What a run has come to, clocks left out: weights, losses, words, and its last checkpoint"""
    workspace = Workspace(home)
    arrays, _ = workspace.load_model(name)
    rows = [row.model_dump(exclude={"seconds", "tokens_per_second"}) for row in workspace.load_report(name).evaluations]
    saved = workspace.load_checkpoint(name)
    moments = {f"checkpoint {path}": array for path, array in saved[0].items()} if saved else {}
    return arrays | moments, dict(rows=rows, text=workspace.load_completion(name).text)


def equal(found, wanted):
    (arrays, words), (others, more) = found, wanted
    return words == more and arrays.keys() == others.keys() and all(np.array_equal(arrays[name], others[name]) for name in arrays)


# killing

def process(home, more, number=None, delay=None):
    """`go` in a process of its own, killed in place of its number-th write or after a delay; whether it ended by itself"""
    child = os.fork()
    if not child:
        try:
            with at_write(number, die):
                go(home, **more)
        except BaseException as error:                               # whatever it is, this process must not return
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(3)
        os._exit(0)
    if delay is not None:
        time.sleep(delay)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "a training failed that should have gone on"
    return os.WIFEXITED(status)


def kill(folder, more, wanted, moments):
    """A training killed at each of `moments`, dicts for `process`, then let to its end; returns what happened"""
    home = begun(folder / "the run ä")
    kills = left = 0
    for moment in moments:
        kills += not process(home, more, **moment)
        left += len([path for path in home.rglob(f".*{disk.TEMPORARY}")])
        whole(home)
    saved = [run.checkpoint for run in Workspace(home).list()]
    process(home, more)
    name, = Workspace(home).names()
    assert whole(home) and equal(come_to(home, name), wanted), (moments, saved)
    assert not list(home.rglob(f".*{disk.TEMPORARY}")), "what was half-written stays behind"
    rmtree(home)
    return dict(kills=kills, half_written=left, before_the_first=saved in ([], [None]))


def refuse(folder, more, wanted, number, act, lasting):
    """A training whose number-th write (lasting: and all later ones) comes to `act`, then let to its end; returns what was said"""
    home = begun(folder / "the run")
    said = ""
    with at_write(number, act, lasting):
        try:
            go(home, **more)
        except lb.BadInput as error:
            said = str(error)
            assert len(said.splitlines()) == 1 and said.startswith("cannot "), said
        except KeyboardInterrupt:
            said = "interrupted"
    whole(home)
    name = go(home, **more)
    assert whole(home) and equal(come_to(home, name), wanted), (number, said)
    assert not list(home.rglob(f".*{disk.TEMPORARY}")), "what was half-written stays behind"
    rmtree(home)
    return said


def interrupted():
    raise KeyboardInterrupt


REFUSALS = ((failing(errno.ENOSPC), True), (failing(errno.EIO), False), (failing(errno.ENOSPC), False), (failing(errno.EIO), True),
            (interrupted, False))


def campaign(random, writes, refusals, seed=0):
    """`random` kills at random moments, one at each write and then one in the run that goes on, and one refusal by the disk at each write

    writes, refusals: at how many writes, evenly spread; more than there are mean all
    """
    folder, draw = Path(mkdtemp(prefix="kills-")), Random(seed)
    kinds = [dict(b_keep_last=keep, c_device_cpu_cores=cores) for keep, cores in ((True, 1), (False, 2), (True, 2), (False, 1))]
    variants = kinds + [kind | dict(n_steps=40, s_checkpoint=1) for kind in kinds]       # the longer ones for random moments
    wanted, seconds = [], []
    for i, more in enumerate(variants):
        home, before = begun(folder / f"whole {i}"), time.perf_counter()
        process(home, more)
        seconds.append(time.perf_counter() - before)
        wanted.append(come_to(home, *Workspace(home).names()))
    home = begun(folder / "counted")
    with at_write(None, die) as seen:
        go(home, **variants[0])
    points = seen[0]
    spread = lambda n: sorted({i * points // min(n, points) + 1 for i in range(min(n, points))})
    done: dict = dict(random=[], writes=[], refusals=[])
    while sum(each["kills"] for each in done["random"]) < random:
        which = 4 + len(done["random"]) % 4
        moments = [dict(delay=draw.uniform(0, seconds[which])) for _ in range(2)]
        done["random"].append(kill(folder, variants[which], wanted[which], moments))
    for number in tqdm(spread(writes), "writes", disable=None):
        which = number % 4
        moments = [dict(number=number), dict(number=draw.randint(1, 40))]
        done["writes"].append(kill(folder, variants[which], wanted[which], moments))
    for i, number in enumerate(tqdm(spread(refusals), "refusals", disable=None)):
        for act, lasting in REFUSALS if refusals >= points else [REFUSALS[i % len(REFUSALS)]]:
            done["refusals"].append(refuse(folder, variants[0], wanted[0], number, act, lasting))
    rmtree(folder)
    total = lambda how, what: sum(each[what] for each in done[how])
    return dict(points=points, refusals=len(done["refusals"]), told=sum(map(bool, done["refusals"])),
                **{f"{how}_{what}": total(how, what) for how in ("random", "writes") for what in
                   ("kills", "half_written", "before_the_first")})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--random", type=int, default=200, help="kills at random moments [200]")
    parser.add_argument("--writes", type=int, default=10_000, help="kills at a write [at each one]")
    parser.add_argument("--refusals", type=int, default=10_000, help="refusals by the disk [each kind of them at each write]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the figures for machines")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md, too")
    asked = parser.parse_args()
    found = campaign(asked.random, asked.writes, asked.refusals, asked.seed)
    if asked.json:
        print(json.dumps(found))
    else:
        import turns
        turns.publish("kills", "what | times | temporary files left behind, all removed on resuming | trainings without a checkpoint yet",
                      rows(found), asked.write)


def rows(found):
    for what, how in (("SIGKILL at random moments", "random"), (f"SIGKILL at each of {found['points']} writes, and again later", "writes")):
        yield f"{what} | {found[how + '_kills']} | {found[how + '_half_written']} | {found[how + '_before_the_first']}"
    yield (f"ENOSPC, EIO (once, or from then on) and Ctrl-C at each write | {found['refusals']}, {found['told']} of them "
           f"with a message | - | -")


if __name__ == "__main__":
    main()
