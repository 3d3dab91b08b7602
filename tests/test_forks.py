"""Workers in processes of their own: the numbers of threads bit for bit, errors and deaths told in words, and nobody left behind."""
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from littlebaby.arrays import backend, tree
from littlebaby.errors import RunFailed
from littlebaby.learning import forks
from littlebaby.learning import train as loop
from littlebaby.learning.baby import Baby
from littlebaby.learning.data import Batches, windows
from littlebaby.learning.lora import with_adapters
from littlebaby.learning.train import Done, Evaluation, Step, begin, train
from littlebaby.model import gpt
from littlebaby.runs.records import Config

pytestmark = pytest.mark.skipif(not forks.possible(), reason="workers are threads on this system: it does not fork safely")

IDS = np.array([int(c) for c in "0123401234012340122340123401234" * 40])


@pytest.fixture(autouse=True)
def three_cores(monkeypatch):
    monkeypatch.setattr("littlebaby.learning.parallel.cores", lambda: 3)
    monkeypatch.setattr(loop, "WORTH_FORKING", 0)


def started(adapters=False, **more):
    cfg = Config(**{**dict(n_ctx=8, n_emb=16, n_heads=2, n_layers=1, batch_size=4, n_vocab=5, r_dropout=0.1, n_steps=12, s_eval=4,
                           r_learn=1e-2, n_sample=0, s_warmup=3), **more})
    baby = Baby(cfg, seed=1)
    if adapters:
        baby = with_adapters(Baby(cfg.replace(lora_rank=2), flat=baby.flat))
    return baby, begin(baby, 12), Batches(IDS[:1000], cfg, 0), windows(IDS[1000:], 8)


def whole(*setting):
    return [(e.step, e.loss, e.norm) if isinstance(e, Step) else e.valid_loss for e in train(*setting) if isinstance(e, Step | Evaluation)]


def children():
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in listed}


@pytest.mark.parametrize("more", [dict(), dict(c_optimizer="muon", n_accumulate=2), dict(d_type="fp16", r_dropout=0.0),
                                  dict(c_network="moe", r_aux=0.1), dict(adapters=True)], ids=str)
def test_processes_and_threads_give_the_same_bits(more, monkeypatch):
    setting = started(**more)
    numbers = whole(*setting)
    assert len(numbers) == 15 and numbers[-1] < numbers[0][1]
    monkeypatch.setattr(loop, "possible", lambda: False)
    other = started(**more)
    assert whole(*other) == numbers
    assert (other[0].flat == setting[0].flat).all() and setting[1].shards == 3
    assert all(np.array_equal(a, other[1].optimizer[name]) for name, a in setting[1].optimizer.items())


def test_a_system_that_grants_no_more_processes_gets_threads(monkeypatch):
    before, numbers, real, made = children(), whole(*started()), os.fork, []

    def one_only():
        if made:
            raise OSError(11, "Resource temporarily unavailable")
        made.append(0)
        return real()

    monkeypatch.setattr(os, "fork", one_only)
    steps = train(*started())
    assert next(steps) and made and children() == before
    steps.close()
    made.clear()
    assert whole(*started()) == numbers


def test_what_a_notebook_put_in_the_place_of_a_function_holds_in_every_process(monkeypatch):
    """A learner's own version of anything takes part in all shards, not only in the first"""
    plain = whole(*started())
    real = gpt.loss_and_grad
    monkeypatch.setattr(gpt, "loss_and_grad", lambda *given: 2 * real(*given))
    assert [loss for _, loss, _ in whole(*started())[:4]] == pytest.approx([2 * loss for _, loss, _ in plain[:4]], rel=1e-6)


def test_a_short_run_forks_nothing(monkeypatch):
    before, setting = children(), started()
    monkeypatch.setattr(loop, "WORTH_FORKING", 6 * setting[0].flat.size * 4 * 8 * 12)            # 12 steps of 4 windows of 8
    steps = train(*setting)
    next(steps)
    assert children() == before
    steps.close()
    setting[1].total = 13
    steps = train(*setting)
    next(steps)
    assert len(children() - before) == 2


def test_nobody_is_left_when_a_training_ends_or_is_dropped():
    before = children()
    steps = train(*started())
    assert [next(steps) for _ in range(3)] and len(children() - before) == 2
    steps.close()
    assert children() == before
    assert list(train(*started()))[-1] == Done("finished", 12) and children() == before


def test_an_error_in_a_process_arrives_as_it_was(monkeypatch):
    me, real = os.getpid(), gpt.loss_and_grad

    def fails(*given):
        if os.getpid() != me:
            raise FloatingPointError("seven")
        return real(*given)

    monkeypatch.setattr(gpt, "loss_and_grad", fails)
    with pytest.raises(FloatingPointError, match="seven"):
        whole(*started())


def test_a_process_that_dies_ends_the_run_with_a_sentence():
    before, steps = children(), train(*started())
    while not isinstance(next(steps), Step):
        pass
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(RunFailed, match="was ended from outside; where memory is short"):
        next(steps)
    assert children() == before


def test_who_is_killed_leaves_no_process_and_no_file_held(tmp_path):
    """The killed one's pipes and locks are not kept open by those it forked"""
    code = ("import sys; sys.path[:0] = sys.argv[2:]; import test_forks as t; from littlebaby.learning import parallel\n"
            "parallel.cores = lambda: 3; t.loop.WORTH_FORKING = 0\n"
            "held = open(sys.argv[1], 'w'); import fcntl; fcntl.flock(held, fcntl.LOCK_EX)\n"
            "steps = t.train(*t.started()); [next(steps) for _ in range(3)]; print(*t.children(), flush=True); sys.stdin.read()")
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "lock", Path(__file__).parent], **pipes) as first:
        forked = first.stdout.readline().split()
        assert len(forked) == 2
        first.kill()
        first.wait()
        import fcntl
        with open(tmp_path / "lock") as again:
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert first.stdout.read() == ""                         # returns when nobody has this pipe any more
    ends = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2] for pid in forked):
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_what_is_shared_is_seen_by_all():
    a = forks.shared(np.arange(6.0).reshape(2, 3))
    fork = forks.Fork(5, [lambda number, scale: a.__imul__(scale) is a and number])
    a += 1
    fork.ask(0, (2.0,))
    assert fork.answer() == 5 and (a == 2 * (np.arange(6.0).reshape(2, 3) + 1)).all()
    assert 2**16 < forks.private(fork.pid) < 2**30
    fork.close()


def test_a_run_in_another_thread_forks_too():
    """As the panel's runs are"""
    numbers, heard = whole(*started()), []
    thread = threading.Thread(target=lambda: heard.append(whole(*started())))
    thread.start()
    thread.join()
    assert heard == [numbers]


def test_the_most_memory_counts_the_forks(monkeypatch):
    monkeypatch.setattr(backend.peak_memory, "forks", 0)
    alone = backend.peak_memory()
    whole(*started())
    assert backend.peak_memory.forks > 2**17 and backend.peak_memory() >= alone + backend.peak_memory.forks


def test_a_baby_is_born_where_all_processes_see_it(monkeypatch):
    """And with the weights that it has where nothing can be forked, drawn in pieces of any length"""
    flat = Baby(Config(n_vocab=5), seed=3).flat
    monkeypatch.setattr(tree, "PIECE", 999)
    assert forks.shared(flat) is flat and forks.zeros((2, 3), "f4").shape == (2, 3) and not forks.zeros(0, "f8").size
    monkeypatch.setattr(forks, "possible", lambda: False)
    other = Baby(Config(n_vocab=5), seed=3).flat
    assert other.base is None and (other == flat).all() and forks.shared(other) is other
