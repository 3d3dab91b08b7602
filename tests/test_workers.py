"""Worker threads: the numbers of one thread bit for bit, errors as they were, one that hangs told in a sentence, and nobody left behind."""
import subprocess
import sys
import threading

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.arrays import backend
from littlebaby.errors import WorkerLost
from littlebaby.inference.baby import Baby
from littlebaby.model import gpt
from littlebaby.runs.settings import Config
from littlebaby.runs.store import Workspace
from littlebaby.training import parallel
from littlebaby.training.data import Batches, windows
from littlebaby.training.loop import Done, Evaluation, Step, begin, train
from littlebaby.training.lora import with_adapters
from littlebaby.training.optimizers import adamw
from littlebaby.training.parallel import Workers

IDS = np.array([int(c) for c in "0123401234012340122340123401234" * 40])


@pytest.fixture(autouse=True)
def three_cores(monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: 3)


def started(adapters=False, **more):
    cfg = Config(**{**dict(n_ctx=8, n_emb=16, n_heads=2, n_layers=1, batch_size=4, n_vocab=5, r_dropout=0.1, n_steps=12, s_eval=4,
                           r_learn=1e-2, n_sample=0, s_warmup=3), **more})
    baby = Baby(cfg, seed=1)
    if adapters:
        baby = with_adapters(Baby(cfg.replace(lora_rank=2), flat=baby.flat))
    return baby, begin(baby, 12), Batches(IDS[:1000], cfg, 0), windows(IDS[1000:], 8)


def numbers(*setting):
    return [(e.step, e.loss, e.norm) if isinstance(e, Step) else e.valid_loss for e in train(*setting) if isinstance(e, Step | Evaluation)]


def alive():
    return {thread for thread in threading.enumerate() if thread.name == "littlebaby worker"}


def ended(threads):
    """Whether workers that were told to end have ended, or end within seconds"""
    for thread in threads:
        thread.join(5)
    return not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("more", [dict(), dict(c_optimizer="muon", n_accumulate=2), dict(d_type="fp16", r_dropout=0.0),
                                  dict(c_network="moe", r_aux=0.1), dict(adapters=True)], ids=str)
def test_at_once_and_one_after_the_other_give_the_same_bits(more, monkeypatch):
    setting = started(**more)
    found = numbers(*setting)
    assert len(found) == 15 and found[-1] < found[0][1]
    monkeypatch.setattr(Workers, "run", lambda self, fn: [fn(i) for i in range(self.n)])
    other = started(**more)
    assert numbers(*other) == found
    assert (other[0].flat == setting[0].flat).all() and setting[1].shards == 3
    assert all(np.array_equal(a, other[1].optimizer[name]) for name, a in setting[1].optimizer.items())


def test_nobody_is_left_when_a_training_ends_or_is_dropped():
    before, steps = alive(), train(*started())
    assert [next(steps) for _ in range(3)]
    begun = alive() - before
    steps.close()
    assert len(begun) == 2 and ended(begun)
    assert list(train(*started()))[-1] == Done("finished", 12) and ended(alive() - before)


def test_an_error_in_a_worker_arrives_as_it_was(monkeypatch):
    me, real, before = threading.current_thread(), gpt.loss_and_grad, alive()

    def fails(*given):
        if threading.current_thread() is not me:
            raise FloatingPointError("seven")
        return real(*given)

    monkeypatch.setattr(gpt, "loss_and_grad", fails)
    with pytest.raises(FloatingPointError, match="seven"):
        numbers(*started())
    assert ended(alive() - before)


@pytest.mark.parametrize("where, kept", [("gradient", 7), ("optimizer", 5)])
def test_a_worker_that_does_not_answer_ends_the_run_saved(where, kept, monkeypatch, tmp_path):
    """In the gradient weights are still those of the last step, which are saved; a torn optimizer step leaves the checkpoint before it"""
    monkeypatch.setattr(parallel, "PATIENCE", 0.2)
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs/t.txt").write_text("hello small world. " * 100)
    released, steps, run, step = threading.Event(), [0], Workers.run, adamw.step

    def hangs(self, fn):
        stuck = where == "gradient" and steps[0] == 7
        return run(self, lambda i: released.wait(20) if stuck and i == 1 else fn(i))

    def torn(*given):
        if where == "optimizer" and steps[0] == 7:
            run(given[-1], lambda i: i == 2 and released.wait(20))
        step(*given)

    monkeypatch.setattr(Workers, "run", hangs)
    monkeypatch.setattr(adamw, "step", torn)
    small = dict(path=tmp_path, n_layers=1, n_emb=16, n_heads=2, n_ctx=8, batch_size=4, n_steps=12, s_eval=5,
                 n_completion=0, n_eval_windows=2, c_optimizer="adamw")
    with pytest.raises(WorkerLost, match=f"^1 of 3 worker threads did not answer .* is saved up to step {kept}$"):
        lb.train("t.txt", progress=lambda event: steps.__setitem__(0, steps[0] + isinstance(event, Step)), **small)
    released.set()
    run = lb.list(tmp_path)[0]
    assert run.report.stop_reason == "worker lost" and run.checkpoint == kept and run.resumable
    monkeypatch.undo()
    monkeypatch.setattr(parallel, "cores", lambda: 3)
    again = lb.train(resume="last", path=tmp_path, progress=False)
    plain = lb.train("t.txt", progress=False, **small)
    of = lambda run: Workspace(tmp_path).load_model(run.guid)[0]
    assert again.report.stop_reason == "finished" and all(np.array_equal(a, of(plain)[name]) for name, a in of(again).items())


def test_blas_limits_of_overlapping_blocks_end_where_they_began():
    blas = [library for library in backend.LIBRARIES.lib_controllers if library.user_api == "blas"]
    now = lambda: {library.get_num_threads() for library in blas}
    first, second, before = backend.blas_threads(2), backend.blas_threads(1), now()
    first.__enter__()
    assert now() == {2}
    second.__enter__()
    with backend.blas_threads(None):
        assert now() == {1}
    first.__exit__(None, None, None)                             # not the one that was entered last
    assert now() == {1}
    second.__exit__(None, None, None)
    assert now() == before


def test_two_trainings_at_once_give_the_numbers_of_each_alone():
    alone, found = [numbers(*started()), numbers(*started(n_emb=32))], {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: numbers(*started(n_emb=n))})) for n in (16, 32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [found[16], found[32]] == alone


BESIDE = """
import sys, tempfile, threading
import numpy as np, littlebaby as lb
from pathlib import Path
home = Path(tempfile.mkdtemp()); (home / "inputs").mkdir(); (home / "inputs/t.txt").write_text("hello small world. " * 400)
small = dict(path=str(home), progress=False, n_layers=1, n_emb=32, n_heads=2, n_ctx=64, n_completion=0, n_eval_windows=2)
baby, a, over = lb.Baby(lb.Config(n_emb=32, n_heads=2, n_layers=1, n_ctx=64), vocab_size=20), np.ones((400, 400), "f4"), threading.Event()
beside = dict(products=lambda: a @ a, preflight=lambda: lb.preflight(path=str(home)),
              generation=lambda: baby.generate(np.zeros((4, 4), int), 100),
              training=lambda: lb.train("t.txt", **{**small, "n_steps": 20, "n_emb": 64}))[sys.argv[1]]
def work():
    while not over.is_set(): beside()
thread = threading.Thread(target=work); thread.start()
for _ in range(3):
    print(lb.train("t.txt", stop=lambda: True, **{**small, "n_steps": 100000}).report.stop_reason)
over.set(); thread.join()
"""


@pytest.mark.parametrize("what", ["products", "preflight", "generation", "training"])
def test_a_training_ends_beside_busy_threads(what):
    done = subprocess.run([sys.executable, "-c", BESIDE, what], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["interrupted"] * 3, done.stderr


def test_a_small_baby_computes_with_one_blas_thread(monkeypatch):
    blas = [library for library in backend.LIBRARIES.lib_controllers if library.user_api == "blas"]
    seen, whole = [], gpt.loss_and_grad
    monkeypatch.setattr(gpt, "loss_and_grad", lambda *given: (seen.append({each.get_num_threads() for each in blas}), whole(*given))[1])
    baby, row, before = Baby(Config(n_layers=1, n_emb=16, n_ctx=8), vocab_size=5), [1, 2, 3], {each.get_num_threads() for each in blas}
    baby.loss_and_grads(row, row)
    monkeypatch.setattr(sys.modules[Baby.__module__], "LITTLE_WORK", 0)
    baby.loss_and_grads(row, row)
    assert seen == [{1}, before] and {each.get_num_threads() for each in blas} == before
