"""Several ranks are one: the same losses to rounding, one voice, one set of files, one end.

The first half lets threads stand for processes, so it needs no MPI; the second half starts real ones with mpiexec.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import littlebaby as lb
from littlebaby import errors, plans
from littlebaby.inference.baby import Baby
from littlebaby.runs.settings import Config
from littlebaby.runs.store import Workspace
from littlebaby.training import mpi as them
from littlebaby.training.chat_data import ChatBatches, PaddedRows
from littlebaby.training.data import Batches, validation_windows
from littlebaby.training.loop import Done, Evaluation, Step, begin, train
from littlebaby.training.mpi import SINGLE_PROCESS, Ranks, launched_ranks, serialize

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import kills  # noqa: E402

EXACT = 1e-12     # float64: what another order of adding up may change in a loss or a weight after a few dozen steps
IDS = (np.cumsum(np.random.default_rng(0).integers(1, 3, 3000)) % 11).astype(np.int32)
BIN = Path(sys.executable).parent


# threads stand for processes

class Table:
    """What mpi4py's communicator does, among threads that sit around one table"""

    def __init__(self, n):
        self.n, self.said, self.gate = n, [None] * n, threading.Barrier(n, timeout=60)

    def seat(self, number):
        def allgather(mine):
            self.said[number] = mine
            self.gate.wait()
            heard = list(self.said)
            self.gate.wait()
            return heard

        def summed(_, array):
            array[...] = sum(allgather(array.copy()))

        def taken(array):
            array[...] = allgather(array.copy())[0]

        return SimpleNamespace(Get_size=lambda: self.n, Get_rank=lambda: number, allgather=allgather, Allreduce=summed, Bcast=taken,
                               bcast=lambda what: allgather(what)[0])


def side_by_side(n, work):
    """[what work(ranks) returns on each of n ranks]"""
    if n == 1:
        return [work(SINGLE_PROCESS)]
    table = Table(n)
    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(lambda number: work(Ranks(table.seat(number))), range(n)))


def config(**more):
    return Config(**{**dict(n_layers=2, n_emb=16, n_heads=2, n_ctx=16, batch_size=8, n_vocab=11, n_steps=20, s_eval=5, n_sample=0,
                            s_warmup=3, r_dropout=0.0, r_learn=1e-2, d_type="fp64", c_device_cpu_cores=1), **more})


def trained(cfg, n, batches=None, valid=None, stop=lambda ranks, step: False):
    """[(weights, losses, validation losses, aux, how it ended)] of n ranks"""
    def work(ranks):
        baby = Baby(cfg, seed=1)
        state = begin(baby, cfg.n_steps)
        events = list(train(baby, state, batches or Batches(IDS[:2500], cfg, 1), valid or validation_windows([IDS[2500:]], cfg),
                            lambda: stop(ranks, state.step), ranks=ranks))
        rows = [event for event in events if isinstance(event, Evaluation)]
        return (baby.flat, [event.loss for event in events if isinstance(event, Step)], [row.valid_loss for row in rows],
                [row.aux_loss or 0.0 for row in rows], [row.load for row in rows], events[-1], state)

    return side_by_side(n, work)


def talk():
    """Conversations whose rows count from 1 to 9 targets of 16: nothing is right here unless every token weighs the same"""
    rows = [(IDS[16 * i:16 * i + 16], np.where(np.arange(16) < 1 + i % 9, IDS[16 * i + 1:16 * i + 17], -1)) for i in range(100)]
    return rows[:80], PaddedRows(rows[80:])


CASES = dict(plain=dict(), accumulated=dict(n_accumulate=2, c_optimizer="muon"), uneven=dict(batch_size=7), clipped=dict(r_clip=0.01),
             experts=dict(c_network="moe", n_experts=4, n_active=2, r_aux=0.01, c_balance="sequence", r_bias_update=0.001),
             held_back=dict(c_optimizer="muonclip", qk_clip=0.05), documents=dict(c_pack="within"))


@pytest.mark.parametrize("case", [*CASES, "conversations"])
def test_ranks_are_one_to_rounding(case):
    """float64, dropout off: with 2 and 4 ranks the same losses as alone, and on every rank the same weights, bit for bit"""
    cfg = config(**CASES.get(case, {}))
    rows, valid = talk()
    batches = ChatBatches(rows, cfg, 1) if case == "conversations" else Batches(IDS[:2500], cfg, 1, (3,))
    valid = valid if case == "conversations" else validation_windows([IDS[2500:]], cfg, (3,))
    flat, losses, judged, aux, load, *_ = trained(cfg, 1, batches, valid)[0]
    assert losses[-1] < losses[0] and (case != "experts" or min(aux) > 0)
    for n in (2, 4):
        everyone = trained(cfg, n, batches, valid)
        for theirs in everyone:
            assert np.array_equal(theirs[0], everyone[0][0])
            for mine, other in zip((flat, losses, judged, aux), theirs):
                assert np.max(np.abs(np.subtract(mine, other))) < EXACT
            assert theirs[4] == load and theirs[5] == Done("finished", 20)


def test_as_many_parts_draw_the_same_dropout_whoever_takes_them(monkeypatch):
    """Two threads in one process, or one in each of two: the same parts of the batch, the same masks"""
    monkeypatch.setattr("littlebaby.training.parallel.cores", lambda: 2)
    alone = trained(config(r_dropout=0.2, c_device_cpu_cores=2), 1)[0]
    assert alone[-1].shards == 2
    for theirs in trained(config(r_dropout=0.2), 2):
        assert np.max(np.abs(alone[0] - theirs[0])) < EXACT


def test_one_stops_all_in_the_same_step():
    ends = trained(config(), 4, stop=lambda ranks, step: ranks.number == 2 and step == 7)
    assert [each[5] for each in ends] == [Done("interrupted", 7)] * 4 and all(np.array_equal(each[0], ends[0][0]) for each in ends)


@pytest.mark.parametrize("bad", ["loss", "norm"])
def test_a_bad_step_of_one_is_skipped_by_all_and_halves_every_scale(bad, monkeypatch):
    """fp16: what overflows on rank 1 alone, in its part of the sum or after it, is no step for anyone"""
    from littlebaby.training import loop

    cfg, told = config(d_type="fp16", n_steps=6, s_eval=6), threading.local()
    real = dict(gradient=loop.gradient, clip=loop.clip)

    def gradient(workers, grads, *rest):
        told.worse = workers.ranks.number == 1 and rest[2][1] == 2         # the step that begins after two
        if bad == "loss" and told.worse:
            monkey = workers.ranks.allreduce
            workers.ranks.allreduce = lambda flat: (flat.fill(np.inf), monkey(flat))
            try:
                return real["gradient"](workers, grads, *rest)
            finally:
                workers.ranks.allreduce = monkey
        return real["gradient"](workers, grads, *rest)

    def clip(grad, limit):
        norm, coefficient = real["clip"](grad, limit)
        return (float("inf") if bad == "norm" and told.worse else norm), coefficient

    monkeypatch.setattr(loop, "gradient", gradient)
    monkeypatch.setattr(loop, "clip", clip)
    for theirs in (everyone := trained(cfg, 2)):
        state = theirs[-1]
        assert (state.skipped, state.scale, state.steady, state.step) == (1, loop.FIRST_SCALE / 2, 3, 6)
        assert np.array_equal(theirs[0], everyone[0][0]) and np.isfinite(theirs[0]).all()


def test_a_memory_map_travels_as_the_place_of_its_file(tmp_path):
    path = tmp_path / "ids.bin"
    np.arange(1000, dtype="<u2").tofile(path)
    whole = np.memmap(path, "<u2", "r", 20, (900,))
    part = whole[100:][50:300]
    sent = serialize(dict(part=part, nothing=whole[:0]))
    found = them.pickle.loads(sent)
    assert len(sent) < 600 and isinstance(found["part"], np.memmap) and not len(found["nothing"])
    assert np.array_equal(found["part"], np.arange(160, 410)) and found["part"].filename == part.filename


# what a launcher says

def test_alone_no_mpi_is_loaded(monkeypatch):
    for name in them.LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    launched_ranks.cache_clear()
    assert launched_ranks() is SINGLE_PROCESS and "mpi4py" not in sys.modules
    monkeypatch.setenv("PMI_SIZE", "1")
    launched_ranks.cache_clear()
    assert launched_ranks() is SINGLE_PROCESS and "mpi4py" not in sys.modules


def test_a_launcher_without_mpi4py_or_of_another_mpi_is_told(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    launched_ranks.cache_clear()
    with pytest.raises(errors.BadInput, match=r"^an MPI launcher started this process, and mpi4py cannot be used \(.*\): "
                                              r"pip install 'littlebaby\[mpi\]'$"):
        lb.train("tale", progress=False)
    world = SimpleNamespace(COMM_WORLD=SimpleNamespace(Get_size=lambda: 1), Get_library_version=lambda: "MPICH Version:      9\nmore")
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=world))
    with pytest.raises(errors.BadInput, match="^the launcher started 2 processes and mpi4py sees 1: they belong to different MPIs; "
                                              "mpi4py uses MPICH Version: +9, so start with the mpiexec of that one$"):
        lb.train("tale", progress=False)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(plans.training_run.charts, "chart", lambda report, steps: kills.PNG)
    yield
    launched_ranks.cache_clear()


# real processes

@pytest.fixture(scope="module")
def mpiexec():
    """(n, words) -> the finished mpiexec of n processes of this Python"""
    if not find_spec("mpi4py"):
        pytest.skip("mpi4py is not installed")
    beside = BIN / "mpiexec"
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    if not launcher:
        pytest.skip("there is no mpiexec")
    hydra = "HYDRA" in subprocess.run([launcher, "--version"], capture_output=True, text=True).stdout
    more = [] if hydra else ["--allow-run-as-root", "--oversubscribe"]

    def start(n, *words):
        return subprocess.run([launcher, *more, "-n", str(n), sys.executable, *map(str, words)], capture_output=True, text=True,
                              timeout=300, env=os.environ | dict(OPENBLAS_NUM_THREADS="1", PYTHONPATH=str(ROOT)))

    return start


SMALL = kills.TINY | dict(r_dropout=0.0, d_type="fp64", b_keep_last=True, c_device_cpu_cores=1)
PROGRAM = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[1])
import kills, littlebaby as lb
from littlebaby import plans
from littlebaby.training.mpi import launched_ranks
plans.training_run.charts.chart = lambda report, steps: kills.PNG
how, settings = json.loads(sys.argv[2]), json.loads(sys.argv[3])
steps = iter(range(1, 1000))
def stop():
    step = next(steps)
    if how.get("rank") == launched_ranks().number and step == how["step"]:
        return os.kill(os.getpid(), how["signal"]) if "signal" in how else True
run = lb.train(progress=False, stop=stop, **settings)
os.write(1, f"{launched_ranks().number}/{launched_ranks().n} {run.guid} {run.report.stop_reason}\\n".encode())
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run of one process that nobody disturbed: its weights, its moments, its rows"""
    with pytest.MonkeyPatch.context() as monkey:
        monkey.setattr(plans.training_run.charts, "chart", lambda report, steps: kills.PNG)
        home = kills.begun(tmp_path_factory.mktemp("alone"))
        return kills.come_to(home, lb.train("tale", path=home, progress=False, **SMALL).guid)


def go(mpiexec, n, how=(), **settings):
    return mpiexec(n, "-c", PROGRAM, ROOT / "benchmarks", json.dumps(dict(how)), json.dumps(settings, default=str))


def begun(mpiexec, n, home, how=(), **more):
    """What a training of n ranks printed, and the name of its run"""
    done = go(mpiexec, n, how, input="tale", path=kills.begun(home), **SMALL | more)
    name, = Workspace(home).names()
    return done, name


def left(home):
    """The only run, once those whom the launcher ends are gone: it can go on"""
    end = time.monotonic() + 60
    while (run := lb.list(home)[0]).in_use and time.monotonic() < end:
        time.sleep(0.1)
    assert run.resumable
    return run


def close(home, name, wanted):
    """A run came to the same weights, moments and losses, to rounding; its files are whole and nobody else wrote any"""
    assert kills.whole(home) == 7
    (arrays, words), (others, theirs) = kills.come_to(home, name), wanted
    assert arrays.keys() == others.keys() and words["text"] == theirs["text"]
    for key in arrays:
        error = np.abs(arrays[key] - others[key])
        assert np.nanmax(error[:, 1:] if key == "checkpoint steps" else error, initial=0) < EXACT, key
    for row, other in zip(words["rows"], theirs["rows"], strict=True):
        assert row["sample"] == other["sample"] and abs(row["valid_loss"] - other["valid_loss"]) < EXACT
    return True


@pytest.mark.parametrize("n", [2, 4])
def test_processes_are_one_to_rounding(n, mpiexec, alone, tmp_path):
    done, name = begun(mpiexec, n, tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert sorted(done.stdout.split("\n")[:-1]) == [f"{i}/{n} {name} finished" for i in range(n)]
    assert close(tmp_path, name, alone)
    about = Workspace(tmp_path).load_report(name).environment
    assert about.ranks == n and about.threads == 1


@pytest.mark.parametrize("n", [1, 4])
def test_two_begin_and_any_number_goes_on(n, mpiexec, alone, tmp_path):
    """Rank 1 alone is asked to stop after step 5"""
    done, name = begun(mpiexec, 2, tmp_path, dict(rank=1, step=5))
    assert sorted(done.stdout.split("\n")[:-1]) == [f"{i}/2 {name} interrupted" for i in range(2)], done.stderr
    assert Workspace(tmp_path).run(name).checkpoint == 5
    if n == 1:
        assert lb.train(resume="last", path=tmp_path, progress=False).guid == name
    else:
        assert go(mpiexec, n, resume="last", path=tmp_path).returncode == 0
    assert close(tmp_path, name, alone)


def test_a_dead_rank_ends_the_run_and_the_last_checkpoint_is_there(mpiexec, alone, tmp_path):
    done, name = begun(mpiexec, 2, tmp_path, dict(rank=1, step=5, signal=9))
    assert done.returncode != 0 and "finished" not in done.stdout
    assert left(tmp_path).checkpoint == 4
    assert lb.train(resume="last", path=tmp_path, progress=False).report.stop_reason == "finished" and close(tmp_path, name, alone)


def test_a_rank_that_fails_says_so_and_how_to_go_on(mpiexec, tmp_path):
    """An error that nobody foresaw, on rank 1 in step 5"""
    program = PROGRAM.replace("return os.kill(os.getpid(), how[\"signal\"])", "raise MemoryError('no room')")
    home = kills.begun(tmp_path)
    done = mpiexec(2, "-c", program, ROOT / "benchmarks", json.dumps(dict(rank=1, step=5, signal=0)),
                   json.dumps(dict(input="tale", path=str(home), **SMALL)))
    run = left(home)
    assert done.returncode != 0 and run.checkpoint == 4
    said = [line for line in done.stderr.split("\n") if "rank" in line and "littlebaby" in line]
    assert len(said) == 1 and re.search(rf"rank 1 of 2, on \S+: MemoryError: no room; `littlebaby train --resume {run.name[:8]}` continues "
                                           rf"the run from its last checkpoint$", said[0]), done.stderr


def test_the_shell_speaks_once_and_a_wrong_setting_ends_all(mpiexec, tmp_path):
    words = ("-m", "littlebaby", "train", "--path", tmp_path)
    done = mpiexec(2, *words, "--n_heads", "7", "--n_emb", "16")
    assert done.returncode == 2 and done.stderr.count("n_heads") == 1 and "Traceback" not in done.stderr, done.stderr
    done = mpiexec(2, *words, "--batch_size", "1")
    assert done.returncode == 2
    assert "batch_size is 1; allowed is at least 2, one row for each of the 2 ranks; did you mean 2?" in done.stderr
    assert not list(tmp_path.rglob("*.json")) and not list(tmp_path.rglob("*.part"))
