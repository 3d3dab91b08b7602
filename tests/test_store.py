"""The workspace: whole files or none, the right run or a sentence, nothing lost, nothing believed that a stranger wrote."""
import errno
import json
import os
import shlex
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from littlebaby.errors import BadInput, RunFailed
from littlebaby.runs import disk
from littlebaby.runs.records import Chat, Completion, Direction, Evaluation, Report, SweepCell, SweepFile, SweepRun, schemas
from littlebaby.runs.settings import Config
from littlebaby.runs.store import Workspace, resume_command, resume_hint
from littlebaby.text import from_json, train

A, B = "0b2f8a52-7b0c-4f7e-9d3c-5a1f6f2f7c11", "0b2f9999-7b0c-4f7e-9d3c-5a1f6f2f7c22"
NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=timezone.utc)
FORMS = ["json", "lists", "safetensors"]


def sentence(call, *args, **named):
    with pytest.raises(BadInput) as caught:
        call(*args, **named)
    return str(caught.value)


@pytest.fixture
def home(tmp_path):
    return Workspace(tmp_path)


def tensors(dtype="float32"):
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((4, 6)).astype(dtype)
    return {"token": wide[:, :3], "blocks.0.att.wq": wide.T, "one": np.array(np.pi, dtype),
            "norm": np.array([1e-38, -0.0, 5e-45], dtype)}


def save(home, name=A, snapshot="auto", arrays=None):
    arrays = arrays or tensors()
    home.save_model(name, arrays, dict.fromkeys(arrays, "matrix"), {each: each != "norm" for each in arrays}, snapshot)
    return arrays


def whole(home, name=A):
    """A run with every file it can have"""
    home.save_config(name, Config(n_layers=2))
    home.save_tokenizer(name, train("char", "a text").to_json())
    save(home, name, "safetensors")
    home.save_report(name, Report(guid=name, evaluations=[Evaluation(step=1, tokens=2)]))
    home.save_completion(name, Completion(guid=name, text="x"), final=True)
    home.save_completion(name, Completion(guid=name, text="x", time=NOON))
    home.save_chat(Chat(guid=name, time=NOON, messages=[dict(role="user", content="x")]))
    home.save_chart(name, b"png")
    home.save_checkpoint(name, 1, tensors(), dict(step=1))


def everything(home):
    return sorted(str(p.relative_to(home.root)) for p in home.root.rglob("*") if p.is_file() and "lock" not in p.name)


# names

def test_a_workspace_is_here_or_where_it_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LITTLEBABY_HOME", raising=False)
    assert Workspace().root == Workspace("same").root == tmp_path
    monkeypatch.setenv("LITTLEBABY_HOME", str(tmp_path / "home"))
    assert Workspace().root == tmp_path / "home" and Workspace("same").root == tmp_path
    (tmp_path / "file").touch()
    assert sentence(Workspace, tmp_path / "file") == f"{tmp_path / 'file'} is a file; a workspace is a folder"


def test_a_run_is_found_by_name_beginning_or_last(home):
    for name in (A, B, f"{A}_finetuned", f"{A}_finetuned_2"):
        home.save_config(name, Config())
    assert home.resolve(A) == home.resolve("0b2f8") == home.resolve(A.upper()) == A
    assert home.resolve("0b2f8a52_finetuned") == f"{A}_finetuned" and home.resolve(f"{A}_finetuned_2") == f"{A}_finetuned_2"
    assert home.resolve("last") == f"{A}_finetuned_2" and home.derived("0b2f8" + A[5:], "finetuned") == f"{A}_finetuned_3"
    assert home.derived(B, "finetuned") == f"{B}_finetuned" and home.new() not in home.names()
    home.delete(A)
    assert sentence(home.resolve, "0b2f8").startswith("2 runs begin with 0b2f8: ") and "there is no run" in sentence(home.resolve, A)
    home.delete(f"{A}_finetuned")
    assert home.resolve("0b2f8a52") == f"{A}_finetuned_2"


def test_the_command_that_resumes_a_run_names_its_workspace(home, monkeypatch):
    there = f"littlebaby train --resume 0b2f8a52_finetuned --path {shlex.quote(str(home.root))}"
    assert resume_command(f"{A}_finetuned", home.root) == there and resume_command(A, None) == "littlebaby train --resume 0b2f8a52"
    monkeypatch.setenv("LITTLEBABY_HOME", str(home.root))
    assert resume_command(A, home.root) == "littlebaby train --resume 0b2f8a52"


def test_last_skips_runs_that_lack_the_needed_file(home):
    for name in (A, B):
        home.save_config(name, Config())
    assert sentence(home.resolve, "last", "model") == f"{B} has no model, and no checkpoint from which it could be continued"
    home.save_checkpoint(B, 7, dict(x=np.zeros(2)), {})
    unfinished = f"{B} has no model yet: it has not finished; {resume_hint(B, home.root, 7)}"
    assert sentence(home.resolve, "last", "model") == sentence(home.resolve, B, "model") == unfinished
    home.save_model(A, dict(a=np.ones(3)), dict(a="matrix"), dict(a=True))
    assert home.resolve("last", "model") == A and home.resolve("last") == B and home.run(A).has_model and not home.run(B).has_model
    with home.lock(B):
        assert sentence(home.resolve, B, "model") == f"{B} has no model yet: it is being trained; wait for its end"
        assert home.resolve("last", "model") == A
        assert sentence(home.require_unused, [A, B]) == f"{B} is in use by another process; wait for its end or stop it"
    assert home.require_unused([A, B]) is None


def test_a_run_that_is_none_is_told(home):
    assert sentence(home.resolve, "last") == f"there is no run in {home.root} yet; `littlebaby train --path {home.root}` makes one, and " \
        "3-months, 6-months, 12-months, 24-months, 48-months come with littlebaby"
    assert sentence(home.resolve, A) == f"there is no run {A} in {home.root}; there is none at all yet"
    home.save_config(A, Config())
    home.save_config(B, Config())
    assert sentence(home.resolve, "../" + A).startswith(f"'../{A}' contains a path; a GUID is a name such as ")
    assert sentence(home.resolve, "..").startswith("'..' contains a path")
    assert sentence(home.resolve, "hamlet") == "'hamlet' is not a GUID; allowed are a uuid, the first 4 or more of its " \
        "characters, last, 3-months, 6-months, 12-months, 24-months, 48-months"
    assert sentence(home.resolve, "0b2") == "'0b2' is too short: give 4 or more characters of the GUID"
    assert sentence(home.resolve, "0b2f") == f"2 runs begin with 0b2f: {A}, {B}; give more characters"
    assert sentence(home.resolve, "ffff8a52") == f"there is no run ffff8a52 in {home.root}; the nearest are {A}, {B}"


def test_runs_are_listed_whatever_is_damaged(home):
    assert home.list() == []
    whole(home, B)
    home.save_config(A, Config(n_layers=3))
    home.path("report", A).write_text('{"guid": ')
    first, second = home.list()
    assert (first.name, first.config, first.damaged, first.report.evaluations[0].tokens) == (B, Config(n_layers=2), [], 2)
    assert first.bytes == sum(p.stat().st_size for p in home.root.rglob(f"*{B}*/*")) + sum(
        p.stat().st_size for p in home.root.rglob(f"*{B}*") if p.is_file() and "lock" not in p.name)
    assert second.name == A and second.report is None
    assert second.damaged == [f"{home.path('report', A)} is truncated (line 1, column 10)"]
    assert abs(second.time - datetime.now(timezone.utc)) < timedelta(minutes=1)


def test_a_file_that_goes_while_one_looks_is_no_trouble(home, monkeypatch):
    """Runs at work write temporary files and rename them between a look at the folder and one at the file"""
    whole(home)
    real, gone = home.scan, home.root / "outputs" / f".report_{A}.json.0a1b2c3d.part"
    bytes_before = home.list()[0].bytes
    monkeypatch.setattr(home, "scan", lambda: {name: [gone, *paths] for name, paths in real().items()} | {B: [gone]})
    lost, found = home.list()
    assert found.bytes == bytes_before > 0 and found.damaged == [] and lost.name == B and lost.bytes == 0


# delete

def test_delete_takes_one_run_and_no_other(home):
    tuned = f"{A}_finetuned"
    whole(home)
    mine = everything(home)
    for other in (tuned, f"{tuned}_2", B):
        whole(home, other)
    home.write_input(f"config_{A}.json", ["an input is nobody's"])
    (home.root / "configs" / "notes.txt").write_text("mine")
    (home.root / "models" / f".model_{A}.json.01234567.part").write_text("left behind")
    before = set(everything(home))
    mine.append(f"models/.model_{A}.json.01234567.part")
    going = home.files_to_delete(A)
    assert len(mine) == len(going) == 11 and {str(f.path.relative_to(home.root)) for f in going} == {
        m if "checkpoint" not in m else f"models/checkpoint_{A}" for m in mine}
    assert home.delete(A) == going and before - set(everything(home)) == set(mine)
    assert home.names() == {tuned, f"{tuned}_2", B}

    home.delete(tuned, finetuned=True)
    assert home.names() == {f"{tuned}_2", B}
    home.save_config(A, Config())
    home.delete(A, finetuned=True)
    assert home.names() == {B} and (home.root / "configs" / "notes.txt").exists() and home.inputs() == [f"config_{A}.json"]
    assert not [p for p in (home.root / "models").iterdir() if A in p.name]


def test_delete_follows_no_link(home, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "state_000001.safetensors").write_text("precious")
    (home.root / "models").mkdir()
    home.path("checkpoint", A).symlink_to(elsewhere)
    home.delete(A)
    assert (elsewhere / "state_000001.safetensors").read_text() == "precious" and not home.path("checkpoint", A).is_symlink()


def test_a_second_process_is_refused(home):
    home.save_config(A, Config())
    said = f"{A} is in use by another process; wait for its end or stop it"
    code = ("import sys; from littlebaby.runs.store import Workspace\n"
            "with Workspace(sys.argv[1]).lock(sys.argv[2]): print('held', flush=True); sys.stdin.read()")
    pipe = subprocess.PIPE
    other = subprocess.Popen([sys.executable, "-c", code, str(home.root), A], stdin=pipe, stdout=pipe, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        assert sentence(home.lock(A).__enter__) == said and sentence(home.delete, A) == said and home.names() == {A}
        with home.lock(B):
            pass
    finally:
        other.communicate("")
    with home.lock(A):
        assert sentence(home.lock(A).__enter__) == said
    home.delete(A)
    assert home.names() == set()


# what files hold

def test_every_file_keeps_to_its_schema(home):
    for name, form in zip((A, f"{A}_finetuned", B), FORMS):
        home.save_config(name, Config(), base=A)
        save(home, name, form)
        home.save_report(name, Report(guid=name, evaluations=[Evaluation(step=1, tokens=2, norm=float("nan"))]))
        home.save_completion(name, Completion(guid=name, text="x", prompt="\ud800é", replaced={"ß": "ss"}), final=True)
        kind = dict(zip(FORMS, ("char", "word", "bpe")))[form]
        home.save_tokenizer(name, train(kind, "one text, two texts and three texts " * 9, 300).to_json())
        said = home.save_chat(Chat(guid=name, messages=[dict(role="user", content="é\n\u2028")]))
        home.record_attempt(1, 1, form == FORMS[-1])
        home.save_direction(Direction(guid=name, name="party", layer=1, more=["é"], less=["a"], norm=2.0, vector=[0.5, -1.0]))
        cell = SweepCell(settings=dict(r_learn=0.1), runs=[SweepRun(guid=name, seed=0)])
        home.save_sweep(SweepFile(guid=name, plan=dict(seeds=1), config={}, origin={}, cells=[cell]))
        for kind, schema in schemas().items():
            path = said if kind == "chat" else home.path(kind, f"party_{name}" if kind == "direction" else name)
            Draft202012Validator(schema).validate(json.loads(path.read_text("utf-8")))
        assert said.read_text("utf-8").count("\n") == 1 and "é" in said.read_text("utf-8")
    head = home.load_config_file(A)
    assert (head.config, head.base, head.guid) == (Config(), A, A) and head.version and head.time.utcoffset() == timedelta(0)
    assert home.load_completion(A).prompt == "\ud800é" and "é" in home.path("completion", A).read_text("utf-8")
    assert home.load_report(A).evaluations == [Evaluation(step=1, tokens=2)]


def test_tokenizers_come_back(home):
    for kind in ("char", "word", "bpe"):
        tokenizer = train(kind, "one text, two texts and three texts\n" * 9, 300)
        home.save_tokenizer(A, tokenizer.to_json())
        again = from_json(home.load_tokenizer(A))
        assert again.to_json() == tokenizer.to_json()
        assert again.encode("two texts").tolist() == tokenizer.encode("two texts").tolist()


def test_completions_of_one_second_stand_side_by_side(home):
    paths = [home.save_completion(A, Completion(guid=A, text=str(i), time=NOON)) for i in range(3)]
    assert [p.name for p in paths] == [f"completion_{A}_20260102120000{end}.json" for end in ("", "_2", "_3")]
    home.save_completion(A, Completion(guid=A, text="end"), final=True)
    assert [c.text for c in home.completions(A)] == ["0", "1", "2", "end"]


def test_old_spellings_are_found_and_go(home):
    tuned = f"{A}_finetuned"
    home.save_config(tuned, Config())
    home.save_completion(tuned, Completion(guid=tuned, text="old"), final=True)
    home.path("config", tuned).rename(home.root / "configs" / f"config_{A}_fineuned.json")
    home.path("completion", tuned).rename(home.root / "outputs" / f"complation_{A}_fineuned.json")
    assert home.names() == {tuned} and home.load_completion(tuned).text == "old" and home.load_config(tuned) == Config()
    home.path("tokenizer", A).parent.mkdir()
    home.path("tokenizer", A).write_text(json.dumps(dict(guid=A, kind="char", begin="a", vocabilary=["a"])))
    assert home.load_tokenizer(A)["vocabulary"] == ["a"]
    home.delete(tuned)
    assert home.names() == {A}


def test_a_flat_config_of_old_is_read(home):
    home.path("config", A).parent.mkdir()
    home.path("config", A).write_text('\ufeff{"n_ctx": 16, "dropout": 0.1, "num_epochs": 1, "lr": 0.001}', "utf-8")
    assert home.load_config(A) == Config(n_ctx=16, r_dropout=0.1, r_learn=0.001)


# weights

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", FORMS)
def test_weights_come_back_exactly(home, form, dtype):
    arrays = save(home, A, form, tensors(dtype))
    back, manifest = home.load_model(A)
    assert list(back) == list(arrays)
    for name, a in arrays.items():
        assert back[name].dtype == a.dtype and back[name].shape == a.shape and back[name].tobytes() == a.tobytes(), name
    assert manifest.parameters.model_dump() == dict(trainable=37, frozen=3, total=40)
    size = np.dtype(dtype).itemsize
    assert [t.offset for t in manifest.tensors.values()] == [0, 12 * size, 36 * size, 37 * size]
    assert manifest.tensors["blocks.0.att.wq"].model_dump() == dict(shape=[6, 4], dtype=dtype, kind="matrix", trainable=True,
                                                                     offset=12 * size)
    assert manifest.file == (f"model_{A}.safetensors" if form == "safetensors" else "")


def test_many_blocks_join(home):
    arrays = save(home, A, "json", {"a": np.random.default_rng(1).standard_normal(20_001), "b": np.zeros((0, 3))})
    back, manifest = home.load_model(A)
    assert len(manifest.blocks) == 4 and np.array_equal(back["a"], arrays["a"]) and back["b"].shape == (0, 3)


def test_large_models_lie_in_safetensors(home, monkeypatch):
    monkeypatch.setattr("littlebaby.runs.store.SAFETENSORS_FROM", 40)
    save(home)
    assert home.path("weights", A).exists() and not home.load_model(A)[1].blocks
    monkeypatch.setattr("littlebaby.runs.store.SAFETENSORS_FROM", 41)
    save(home, B)
    assert not home.path("weights", B).exists()


def test_a_model_that_is_not_finite_is_not_saved(home):
    save(home)
    bad = tensors() | {"norm": np.array([1, np.nan, 2], "float32")}
    with pytest.raises(RunFailed, match="^the model was not saved: norm holds a number that is not finite$"):
        save(home, A, arrays=bad)
    assert home.load_model(A)[0]["norm"][1] == 0


def change(home, form, edit):
    save(home, A, form)
    path = home.path("model", A)
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
    return sentence(home.load_model, A).removeprefix(f"{path}")


def reshape(data, name, shape): data["tensors"][name]["shape"] = shape


SHORT = " bytes of weights and its tensors need 160: it is truncated or damaged"


@pytest.mark.parametrize("form, edit, said", [
    ("json", lambda d: d.update(sha256="0" * 64), " is damaged: its weights do not have the sha256 that it names"),
    ("json", lambda d: d["blocks"].pop(), f" holds 0{SHORT}"),
    ("json", lambda d: d.update(blocks=[d["blocks"][0][:-8]]), f" holds 156{SHORT}"),
    ("json", lambda d: d.update(blocks=["!" + d["blocks"][0][1:]]), " is damaged: its weights are not base64"),
    ("json", lambda d: d.update(blocks=["é" + d["blocks"][0][1:]]), " is damaged: its weights are not base64"),
    ("json", lambda d: reshape(d, "norm", [4]), " holds 160 bytes of weights and its tensors need 164: it is truncated or damaged"),
    ("json", lambda d: reshape(d, "norm", [2**40, 2**40]), f": norm has shape {[2**40, 2**40]}, larger than any model"),
    ("json", lambda d: reshape(d, "norm", [-3]), ": tensors.norm.shape.0 is -3: input should be greater than or equal to 0"),
    ("json", lambda d: d["tensors"]["one"].update(offset=0), ": one begins at byte 0 and should begin at 144"),
    ("json", lambda d: d["tensors"]["one"].update(dtype="object"), ": tensors.one.dtype is 'object': input should be 'float16', "
                                                                  "'float32' or 'float64'"),
    ("json", lambda d: d.update(format=2), ": format is 2: input should be 1"),
    ("json", lambda d: d.update(extra=2), ": extra is 2: extra inputs are not permitted"),
    ("lists", lambda d: d["lists"].update(norm=[1, 2]), ": norm has shape [2] and should have [3]"),
    ("lists", lambda d: d["lists"].update(norm=[1, [2], 3]), ": norm is not a table of numbers"),
    ("lists", lambda d: d["lists"].update(norm=["a", "b", "c"]), ": norm is not a table of numbers"),
    ("lists", lambda d: d["lists"].update(norm=[1, 2, 4]), " is damaged: its weights do not have the sha256 that it names"),
    *(("safetensors", lambda d, f=f: d.update(file=f), f" names its weights {f!r}; only a file beside it is read, never a path")
      for f in ("../secret.safetensors", "/etc/passwd", "..", "C:model.safetensors", "..\\secret.safetensors"))])
def test_a_changed_manifest_is_told(home, form, edit, said):
    assert change(home, form, edit) == said


def test_a_changed_weights_file_is_told(home):
    wrong = change(home, "safetensors", lambda d: reshape(d, "norm", [2]))
    path = home.path("weights", A)
    assert wrong == f"{path}: norm is F32 of shape [3] and should be F32 of shape [2]"
    wrong = change(home, "safetensors", lambda d: d["tensors"].pop("norm"))
    assert wrong == f"{path} does not hold the tensors that its manifest names"
    assert change(home, "safetensors", lambda d: d.update(file="gone.safetensors")).endswith("gone.safetensors is missing")

    save(home, A, "safetensors")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert sentence(home.load_model, A) == f"{path} is damaged: its weights do not have the sha256 that it names"
    path.write_bytes(data[:-10])
    assert sentence(home.load_model, A).startswith(f"{path} is truncated or damaged: ")
    path.write_bytes(b"\xff" * 20)
    assert sentence(home.load_model, A).startswith(f"{path} is truncated or damaged: ")


@pytest.mark.parametrize("text, said", [
    ("", "is empty (line 1, column 1)"),
    ('{"format": 1, "tens', "is truncated (line 1, column 15)"),
    ('{"format": 1', "is truncated (line 1, column 13)"),
    ('{"format" 1}', "is damaged: not valid JSON, expecting ':' delimiter (line 1, column 11)"),
    ('{"format": NaN}', "holds NaN; allowed are finite numbers"),
    ('{"format": -Infinity}', "holds -Infinity; allowed are finite numbers"),
    ('{"format": 1e999}', "holds 1e999; allowed are finite numbers"),
    ("[" * 100_000, "is damaged: nested too deep, or a number too long"),
    ("1" * 10_000, "is damaged: nested too deep, or a number too long"),
    ("[1]", "holds a list, not a JSON object"),
    ('{"wte_weight": [[1.0]]}', "is a model of The Little Baby v0: it has no manifest, and this version cannot read it"),
    ("{}", "is not a model that littlebaby wrote: it has no manifest, and this version cannot read it")])
def test_damaged_json_is_told(home, text, said):
    path = home.path("model", A)
    path.parent.mkdir()
    path.write_text(text)
    assert sentence(home.load_model, A) == f"{path} {said}"


def test_missing_and_unreadable_files_are_told(home):
    assert sentence(home.load_model, A) == f"cannot read {home.path('model', A)}: there is no such file"
    home.path("report", A).mkdir(parents=True)
    assert sentence(home.load_report, A) == f"cannot read {home.path('report', A)}: it is a folder"
    home.path("config", A).parent.mkdir()
    home.path("config", A).write_bytes(b'{"c_norm": "\xff"}')
    assert sentence(home.load_config, A) == f"{home.path('config', A)} is damaged: the byte at 12 is not UTF-8"


# writing

@pytest.mark.parametrize("number, reason", [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the disk is read-only"),
                                            (errno.EACCES, "permission is denied"), (errno.EDQUOT, "the disk quota is used up")])
def test_a_disk_that_refuses_loses_nothing(home, monkeypatch, number, reason):
    whole(home)
    before = {name: (home.root / name).read_bytes() for name in everything(home)}

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk.os, "fsync", refuse)
    for kind, write in dict(config=lambda: home.save_config(A, Config(n_layers=9)), weights=lambda: save(home, A, "safetensors"),
                            model=lambda: save(home), chart=lambda: home.save_chart(A, b"new")).items():
        assert sentence(write) == f"cannot write {home.path(kind, A)}: {reason}"
    assert f"_{A}_20260102120000_2.json: {reason}" in sentence(home.save_completion, A, Completion(guid=A, text="x", time=NOON))
    assert sentence(home.write_input, "new.txt", ["text"]).endswith(reason)
    assert sentence(home.save_checkpoint, A, 2, tensors(), {}).endswith(reason)
    assert {name: (home.root / name).read_bytes() for name in everything(home)} == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_finds_no_room_is_told_and_leaves_nothing(home, form):
    code = ("import resource, signal, sys, numpy\n"
            "from littlebaby.runs.store import Workspace\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999))\n"
            "home, name, form = sys.argv[1:]\n"
            "try: Workspace(home).save_model(name, dict(a=numpy.ones(9999)), dict(a='matrix'), dict(a=True), form)\n"
            "except ValueError as error: print(error)")
    said = subprocess.run([sys.executable, "-c", code, str(home.root), A, form], stdout=subprocess.PIPE, text=True).stdout
    path = home.path("weights" if form == "safetensors" else "model", A)
    assert said == f"cannot write {path}: the file is too large for this disk\n" and everything(home) == []


def test_an_interruption_leaves_no_trace(home):
    def pieces():
        yield "half "
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        home.write_input("new.txt", pieces())
    assert everything(home) == []


def test_windows_may_refuse_a_while(home, monkeypatch):
    replace, refusals = os.replace, iter([True, True, False])

    def busy(*paths):
        if next(refusals):
            raise PermissionError(13, "in use")
        replace(*paths)

    monkeypatch.setattr(disk.os, "replace", busy)
    monkeypatch.setattr(disk, "ATTEMPTS", 3)
    monkeypatch.setattr(disk.time, "sleep", lambda _: None)
    home.save_chart(A, b"png")
    assert home.path("chart", A).read_bytes() == b"png" and everything(home) == [f"outputs/chart_{A}.png"]

    refusals = iter([True] * 3)                    # and not for ever
    assert sentence(home.save_chart, A, b"new") == f"cannot write {home.path('chart', A)}: permission is denied"
    assert list(refusals) == [] and home.path("chart", A).read_bytes() == b"png" and everything(home) == [f"outputs/chart_{A}.png"]


def test_a_workspace_inside_a_file_is_told(tmp_path):
    (tmp_path / "file").touch()
    home = Workspace(tmp_path / "file" / "inside")
    assert sentence(home.save_chart, A, b"").endswith(": a part of the path is a file, not a folder")


words = st.text()
plain = st.none() | st.booleans() | st.integers(-2**60, 2**60) | words | st.floats(allow_nan=False, allow_infinity=False)
nested = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(words, nested))
def test_a_page_is_json(data):
    assert disk.parse(disk.indented_json(data).encode("utf-8", "backslashreplace"), "page") == data


# checkpoints

def test_two_checkpoints_are_kept_and_the_newest_whole_one_counts(home):
    assert home.load_checkpoint(A) is None
    there = lambda: [p.name for p in sorted(home.path("checkpoint", A).iterdir())]

    def save(step):
        more = {"t": np.array(step), "ids": np.arange(step), "on": np.array([True]), "no": np.zeros((0, 2))}
        home.save_checkpoint(A, step, tensors() | more, dict(step=step, best=float("inf"), reason="é"))

    def damage(step):
        path = home.path("checkpoint", A) / f"state_{step:09d}.safetensors"
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        return f"{path} is damaged: its contents do not have the sha256 that it names"

    for step in (10, 200, 3000):
        save(step)
    assert there() == ["state_000000200.safetensors", "state_000003000.safetensors"]
    arrays, meta, wrong = home.load_checkpoint(A)
    assert meta == dict(step=3000, best=float("inf"), reason="é") and arrays["t"] == 3000 and arrays["ids"].dtype == np.arange(1).dtype
    assert wrong == [] and arrays["no"].shape == (0, 2)
    assert arrays["blocks.0.att.wq"].tobytes() == tensors()["blocks.0.att.wq"].tobytes()

    said = damage(3000)
    assert home.load_checkpoint(A)[1:] == (dict(step=200, best=float("inf"), reason="é"), [said])
    save(210)                                      # the run that went on from 200: the damaged one is behind it
    assert there() == ["state_000000200.safetensors", "state_000000210.safetensors"]
    first, second = damage(200), damage(210)
    assert sentence(home.load_checkpoint, A) == second != first
    home.remove_checkpoint(A)
    assert home.load_checkpoint(A) is None and home.names() == set()


# texts

def test_a_text_is_found_and_read(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = Workspace(tmp_path / "home")
    path = home.write_input("tale.txt", ["once ", b"upon\r\n", "ä time\r"])
    for where in ("tale", "tale.txt", path, str(path), "home/inputs/tale.txt"):
        text = home.read_text(where)
        assert (text.name, text.text, text.bytes) == ("tale.txt", "once upon\nä time\n", 19)
    assert text.sha256 == sha256(path.read_bytes()).hexdigest()
    (tmp_path / "tale").mkdir()
    assert home.read_text("tale").name == "tale.txt"                   # a folder of that name does not hide the text
    (tmp_path / "wide.txt").write_bytes("ä time".encode("utf-16"))
    assert home.read_text("wide.txt", "utf-16").text == "ä time"
    (tmp_path / "marked.txt").write_bytes("\ufeffx".encode())
    assert home.read_text("marked.txt").text == "x"


def test_a_text_that_cannot_be_read_is_told(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home.write_input("tale.txt", ["once"])
    inside = home.root / "inputs"
    assert sentence(home.read_text, "tlae") == (f"there is no file 'tlae', neither as a path nor in {inside}; there are tale.txt; "
                                                "did you mean tale.txt?")
    empty = Workspace(tmp_path / "other")
    assert sentence(empty.read_text, "x") == f"there is no file 'x', neither as a path nor in {tmp_path / 'other' / 'inputs'}"
    (tmp_path / "empty.txt").touch()
    assert sentence(home.read_text, "empty.txt") == "empty.txt is empty; give a text of at least one character"
    assert sentence(home.read_text, "inputs") == "inputs is a folder; give one text file in it"
    assert sentence(home.read_text, "a\0b").startswith("there is no file 'a\\x00b', neither as a path nor in")
    assert len(sentence(home.read_text, "x" * 5000)) < 400
    (tmp_path / "odd.txt").write_bytes(b"caf\xe9 au lait")
    assert sentence(home.read_text, "odd.txt") == (
        "odd.txt is not UTF-8: byte 0xe9 at offset 3 is invalid; give --encoding, for example --encoding latin-1")
    assert home.read_text("odd.txt", "latin-1").text == "café au lait"
    (tmp_path / "wide.txt").write_bytes("ä".encode("utf-16"))
    assert sentence(home.read_text, "wide.txt").endswith("--encoding utf-16")
    assert sentence(home.read_text, "odd.txt", "utf-88") == (
        "--encoding 'utf-88' is not an encoding; common ones are utf-8, utf-16, latin-1, cp1252")
    monkeypatch.setattr(disk.Path, "read_bytes", lambda _: (_ for _ in ()).throw(PermissionError(13, "no")))
    assert sentence(home.read_text, "tale") == f"cannot read {inside / 'tale.txt'}: permission is denied"


def test_an_input_is_never_overwritten_nor_elsewhere(home):
    path = home.write_input("tale.txt", ["once"])
    assert sentence(home.write_input, "tale.txt", ["twice"]) == f"{path} exists already; choose another name or delete it first"
    for name in ("../tale.txt", "a/b", "", ".hidden", "a\\b", "x" * 300, "a\0b"):
        assert sentence(home.write_input, name, ["x"]).endswith(" cannot be the name of a file in inputs/")
    assert path.read_text() == "once" and everything(home) == ["inputs/tale.txt"]
