"""Killed at any moment, refused at any write, locked, read-only, in odd places: a run is never lost."""
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import pytest

import littlebaby as lb
from littlebaby import plans
from littlebaby.runs import disk
from littlebaby.runs.store import Workspace, resume_hint

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import kills  # noqa: E402

unix = pytest.mark.skipif(os.name == "nt", reason="Windows has neither fork nor SIGKILL")


def campaign(*words):
    """benchmarks/kills.py in a process of its own, which forks; every broken promise ends it with an error"""
    command = [sys.executable, BENCHMARKS / "kills.py", "--json", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | dict(OPENBLAS_NUM_THREADS="1"))
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return json.loads(done.stdout)


@unix
def test_killed_at_random_moments_and_in_the_middle_of_writes():
    found = campaign("--random", 6, "--writes", 6, "--refusals", 0, "--seed", 1)
    assert found["random_kills"] >= 6 and found["writes_kills"] >= 6 and found["points"] > 100


@unix
@pytest.mark.slow
def test_killed_at_every_write():
    found = campaign("--random", 200, "--refusals", 0)
    assert found["random_kills"] >= 200 and found["writes_kills"] >= found["points"] > 100


def small(path, **more):
    return lb.train("tale", path=path, progress=False, **kills.TINY | dict(c_device_cpu_cores=1) | more)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(plans.training_run.charts, "chart", lambda report, steps: kills.PNG)
    return kills.begun(tmp_path / "home")


def half(path, at=5, **more):
    """A run stopped after a step"""
    steps = count(1)
    return small(path, stop=lambda: next(steps) == at, **more)


# the disk refuses

@pytest.mark.parametrize("act, lasting", [
    (kills.failing(errno.ENOSPC), True), (kills.failing(errno.ENOSPC), False), (kills.failing(errno.EIO), True),
    (kills.interrupted, False)], ids=["full", "full for a moment", "broken", "Ctrl-C"])
def test_a_write_that_fails_loses_nothing(tmp_path, monkeypatch, act, lasting):
    """At every 23rd thing done to the disk; benchmarks/kills.py takes all of them"""
    monkeypatch.setattr(plans.training_run.charts, "chart", None)                 # set by kills, undone here
    more = dict(c_device_cpu_cores=1, b_keep_last=True)
    home = kills.begun(tmp_path / "whole")
    with kills.at_write(None, None) as seen:
        name = kills.go(home, **more)
    wanted, told = kills.come_to(tmp_path / "whole", name), 0
    for number in range(5, seen[0], 23):
        told += bool(kills.refuse(tmp_path, more, wanted, number, act, lasting))
    assert told >= 5


def test_a_full_disk_says_how_to_go_on(home):
    """After the checkpoint of step 4 nothing can be written any more"""
    whole = kills.come_to(home, small(home, b_keep_last=True, s_checkpoint=1).guid)
    counting = count(1)
    stop = lambda: monkey.setattr(disk.os, "fsync", lambda _: kills.failing(errno.ENOSPC)()) if next(counting) == 4 else None
    with pytest.MonkeyPatch.context() as monkey, pytest.raises(lb.BadInput) as refused:
        small(home, stop=stop, b_keep_last=True, s_checkpoint=1)
    name = next(run.name for run in lb.list(home) if run.resumable)
    path = Workspace(home).path("checkpoint", name) / "state_000000005.safetensors"
    assert str(refused.value) == f"cannot write {path}: the disk is full; {resume_hint(name, home, 4)}"
    assert kills.equal(kills.come_to(home, lb.train(resume="last", path=home, progress=False).guid), whole)


READER = """
import os, sys
sys.path.insert(0, sys.argv[2])
import kills, littlebaby as lb
from littlebaby import cli
from pathlib import Path
home, counting = kills.begun(Path(sys.argv[1]) / "home"), iter(range(1, 100))
look = lambda *plans: [cli.main([*words.split(), "--path", str(home)]) for words in plans]
kills.go(home)
assert look("list", "info") == [0, 0]                        # all modules are in: afterwards they may be out of reach
if os.geteuid() == 0:
    for path in [home, *home.rglob("*")]:
        os.chown(path, 65534, 65534)
    os.setegid(65534)
    os.seteuid(65534)
stop = lambda: next(counting) == 3 and [path.chmod(0o555) for path in home.rglob("*") if path.is_dir()] and False
try:
    lb.train("tale", path=home, progress=False, stop=stop, **kills.TINY)
except lb.BadInput as error:
    print(error, file=sys.stderr)
print(look("train tale", "list", "info"))
"""


@pytest.mark.skipif(os.name == "nt", reason="on Windows a folder's mode does not keep anyone from writing in it")
def test_a_folder_to_read_only_is_told():
    """In a process without root's rights: refused on the way, refused at the start; to look is allowed"""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        done = subprocess.run([sys.executable, "-c", READER, folder, str(BENCHMARKS)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        home = Path(folder) / "home"
        assert (home / "models").stat().st_mode & 0o777 == 0o555, done.stderr
        for path in [path for path in home.rglob("*") if path.is_dir()]:
            path.chmod(0o755)
        name = Workspace(home).resolve("last")
        assert done.stdout.splitlines()[-1] == "[2, 0, 0]" and done.stderr.count("\n") == 2, done.stderr
        first, second = done.stderr.splitlines()
        assert first.endswith(f": permission is denied; {resume_hint(name, home, 2)}")
        assert second.startswith("cannot write ") and second.endswith(": permission is denied")
        assert lb.train(resume=name, path=home, progress=False).report.stop_reason == "finished"


def test_a_damaged_checkpoint_is_passed_over_with_a_sentence(home, capsys):
    whole = kills.come_to(home, small(home, b_keep_last=True).guid)
    name = half(home, b_keep_last=True).guid
    older, newest = sorted(Workspace(home).path("checkpoint", name).iterdir())
    newest.write_bytes(newest.read_bytes()[:-100])
    assert lb.train(resume=name, path=home, progress=False).guid == name
    said = capsys.readouterr().err
    assert said.startswith(f"{newest} is truncated or damaged") and said.endswith("resuming from the checkpoint before it, of step 4\n")
    assert kills.equal(kills.come_to(home, name), whole)


def test_a_checkpoint_of_another_version_is_told(home):
    name = half(home).guid
    workspace = Workspace(home)
    arrays, meta, _ = workspace.load_checkpoint(name)
    workspace.save_checkpoint(name, 6, arrays, dict(state=meta["state"], rows=[]))
    with pytest.raises(lb.BadInput, match=f"^the checkpoint of {name} was written by another version of littlebaby; only that"):
        lb.train(resume=name, path=home)
    assert [run.resumable for run in lb.list(home)] == [True]


# locks

def test_a_second_process_is_refused_and_a_dead_one_is_not_waited_for(home):
    """A training in its own process holds its run; SIGKILL frees it at once"""
    code = ("import sys; sys.path.insert(0, sys.argv[2]); import kills, littlebaby as lb\n"
            "def stop(): print('step', flush=True); sys.stdin.readline()\n"
            "lb.train('tale', path=sys.argv[1], progress=False, stop=stop, c_device_cpu_cores=1, **kills.TINY)")
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, str(home), str(BENCHMARKS)], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "step\n"
        run, = lb.list(home)
        assert run.in_use and not run.resumable and run.checkpoint == 0 and lb.info(run.name, home)["in_use"]
        for call in (lambda: lb.train(resume=run.name, path=home), lambda: lb.delete(run.name, path=home, yes=True)):
            with pytest.raises(lb.BadInput, match=f"^{run.name} is in use by another process; wait for its end or stop it$"):
                call()
        with pytest.raises(lb.BadInput, match="^there is no interrupted run in "):
            lb.train(resume="last", path=home)
        beside = small(home)                                         # another training in the same workspace
        assert beside.report.stop_reason == "finished"
        other.kill()
    run, = (each for each in lb.list(home) if each.name == run.name)
    assert run.resumable and not run.in_use
    assert kills.equal(kills.come_to(home, lb.train(resume="last", path=home, progress=False).guid), kills.come_to(home, beside.guid))


def test_finetunes_of_one_base_get_names_of_their_own(home):
    base = small(home).guid
    workspace = Workspace(home)
    with workspace.locked_derived(base, "finetuned") as first, workspace.locked_derived(base, "finetuned") as second:
        assert (first, second) == (f"{base}_finetuned", f"{base}_finetuned_2")
        assert lb.finetune(base, "tale", path=home, progress=False, n_steps=2).guid == f"{base}_finetuned_3"
    assert lb.finetune(base, "tale", path=home, progress=False, n_steps=2).guid == f"{base}_finetuned"


# what people see

def test_an_interrupted_run_is_listed_told_resumed_and_deleted(home, capsys):
    from littlebaby.cli import main

    base = small(home).guid
    steps = count(1)
    tuned = lb.finetune(base, "tale", path=home, progress=False, n_steps=8, s_checkpoint=2, stop=lambda: next(steps) == 5).guid
    words = ("--path", str(home))
    assert [run.resumable for run in lb.list(home)] == [False, True]
    assert main(["list", *words]) == 0
    first, second = capsys.readouterr().out.partition("\n\n")[0].splitlines()[1:]       # without the babies
    assert " finished " in first and "interrupted, resumable" in second
    assert main(["info", tuned, *words]) == 0
    handle = f"{base[:8]}_finetuned"
    assert f"`littlebaby train --resume {handle} --path {home}` continues the run from step 5" in capsys.readouterr().out
    assert main(["list", "--json", *words]) == 0
    assert [run["resumable"] for run in json.loads(capsys.readouterr().out)["runs"]] == [False, True]
    assert main(["train", "--resume", handle, "--quiet", *words]) == 0 and f"{tuned}  finished\n" in capsys.readouterr().out
    left = half(home).guid
    assert Workspace(home).path("checkpoint", left).exists()
    lb.delete(left, path=home, yes=True)
    assert not [path for path in home.rglob(f"*{left}*")] and not [run for run in lb.list(home) if run.resumable]


def test_what_was_left_half_written_goes_with_the_next_resume(home):
    name = half(home).guid
    workspace = Workspace(home)
    left = [workspace.path("checkpoint", name) / ".state_000000006.safetensors.0a1b2c3d.part",
            home / "outputs" / f".completion_{name}_20260102120000.json.0a1b2c3d.part"]
    other = home / "outputs" / ".report_0b2f8a52-7b0c-4f7e-9d3c-5a1f6f2f7c11.json.0a1b2c3d.part"
    for path in [*left, other]:
        path.write_text("half")
    lb.train(resume=name, path=home, progress=False)
    assert not any(path.exists() for path in left) and other.exists()


@pytest.mark.parametrize("place", ["with spaces (1)", "Läufe 実行 🙂", "it's; $HOME & `rm`", "%s {0} [a-z]*"])
def test_odd_places(tmp_path, monkeypatch, place):
    monkeypatch.setattr(plans.training_run.charts, "chart", lambda report, steps: kills.PNG)
    home = kills.begun(tmp_path / place)
    name = half(home, c_snapshot="safetensors").guid
    done = lb.train(resume="last", path=home, progress=False)
    assert done.guid == name and lb.inference(name, path=home, max_tokens=3).tokens == 3 and kills.whole(home) > 6


# signals and terminals

def test_an_interrupted_kernel_saves_the_run(home):
    """The notebook's stop button, on a real kernel"""
    manager = pytest.importorskip("jupyter_client.manager", reason="jupyter_client is not installed")
    kernel, client = manager.start_new_kernel(env=os.environ | dict(PYTHONPATH=str(BENCHMARKS.parent)))
    try:
        endless = kills.TINY | dict(n_steps=10**6, s_eval=10**6)
        client.execute(f"import littlebaby as lb\nlb.train('tale', path={str(home)!r}, progress=False, **{endless!r}).report.stop_reason")
        end = time.monotonic() + 120
        while time.monotonic() < end and not any((run.checkpoint or 0) > 2 for run in lb.list(home)):
            time.sleep(0.1)
        kernel.interrupt_kernel()
        messages = iter(lambda: client.get_iopub_msg(timeout=60), None)
        assert next(each["content"] for each in messages if each["msg_type"] in ("execute_result", "error"))["data"]["text/plain"] \
            == "'interrupted'"
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    run, = lb.list(home)
    assert run.resumable and run.report.stop_reason == "interrupted" and run.checkpoint > 2


def test_a_second_ctrl_c_ends_at_once_and_says_how_to_go_on(home, capsys):
    def impatient():
        if next(steps) == 5:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    steps, whole = count(1), kills.come_to(home, small(home, b_keep_last=True).guid)
    with pytest.raises(KeyboardInterrupt):
        small(home, stop=impatient, b_keep_last=True)
    name = next(run.name for run in lb.list(home) if run.resumable)
    assert capsys.readouterr().err == f"stopped immediately; {resume_hint(name, home, 4)}\n"
    assert kills.equal(kills.come_to(home, lb.train(resume="last", path=home, progress=False).guid), whole)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no terminal hangs up here")
def test_a_closed_terminal_saves_the_run_and_nohup_keeps_it_going(home):
    send = lambda: os.kill(os.getpid(), signal.SIGHUP) if next(steps) == 3 else None
    steps = count(1)
    assert small(home, stop=send).report.stop_reason == "interrupted"
    old, steps = signal.signal(signal.SIGHUP, signal.SIG_IGN), count(1)
    try:
        assert small(home, stop=send).report.stop_reason == "finished"
    finally:
        signal.signal(signal.SIGHUP, old)


def test_a_terminal_that_is_gone_does_not_end_a_run(home, monkeypatch):
    class Gone:
        encoding, isatty = "utf-8", lambda self: False
        write = flush = lambda *_: kills.failing(errno.EPIPE)() if next(steps) > 20 else None

    steps = count()
    monkeypatch.setattr("sys.stderr", Gone())
    assert lb.train("tale", path=home, **kills.TINY).report.stop_reason == "finished" and next(steps) > 20


def test_ten_bad_steps_leave_a_run_that_can_be_looked_at_and_resumed(home, monkeypatch):
    """From step 4 on every gradient is none; the last good step is what is kept"""
    real = plans.training_run.events

    def poisoned(baby, state, *rest):
        for event in real(baby, state, *rest):
            if getattr(event, "step", 0) == 4:
                monkeypatch.setattr("littlebaby.training.loop.clip", lambda grad, limit: (float("nan"), 1.0))
            yield event

    with monkeypatch.context() as patch:
        patch.setattr(plans.training_run, "events", poisoned)
        with pytest.raises(lb.RunFailed, match="10 steps in a row .* is saved up to step 14"):
            small(home, n_steps=30)
    run, = lb.list(home)
    assert run.report.stop_reason == "not finite" and run.resumable and run.checkpoint == 14
    assert lb.inference(run.name, path=home, max_tokens=3).tokens == 3
    monkeypatch.undo()
    monkeypatch.setattr(plans.training_run.charts, "chart", lambda report, steps: kills.PNG)
    done = lb.train(resume="last", path=home, progress=False)
    assert done.report.stop_reason == "finished" and done.report.evaluations[-1].skipped == 10
