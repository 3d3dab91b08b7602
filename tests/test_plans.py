"""The plans from end to end on a small text: what they write, what they keep, what they refuse."""
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.arrays import backend
from littlebaby.runs.store import Workspace
from littlebaby.text import nursery

TINY = dict(n_layers=1, n_emb=32, n_heads=2, n_ctx=32, batch_size=4, n_steps=30, n_completion=120, n_sample=20, s_eval=10,
            r_eval_overlap=0.0,
            progress=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace with one trained run on a small text"""
    path = tmp_path_factory.mktemp("home")
    (path / "inputs").mkdir()
    (path / "inputs" / "tale.txt").write_text(nursery.corpus(20_000, 1)[0])
    (path / "inputs" / "greek.txt").write_text("ὦ τέκνα, Κάδμου τοῦ πάλαι νέα τροφή. " * 200)
    return path


@pytest.fixture(scope="module")
def run(home):
    return lb.train("tale", path=home, seed=1, **TINY)


def test_a_run_is_its_files(home, run):
    names = sorted(str(file.path.relative_to(home)) for file in Workspace(home).files(run.guid))
    assert names == sorted([f"configs/config_{run.guid}.json", f"tokenizers/tokenizer_{run.guid}.json", f"models/model_{run.guid}.json",
                            f"outputs/report_{run.guid}.json", f"outputs/completion_{run.guid}.json", f"outputs/chart_{run.guid}.png"])
    report = run.report
    assert report.stop_reason == "finished" and report.evaluations[-1].valid_loss < report.evaluations[0].valid_loss
    assert report.best_valid_loss == min(row.valid_loss for row in report.evaluations)
    assert report.train_tokens + report.valid_tokens == report.input.characters and report.input.name == "tale.txt"
    text = (home / "inputs" / "tale.txt").read_text()[report.train_tokens:]
    assert report.nursery_floor == pytest.approx(nursery.floor(text)) and 0.1 < report.nursery_floor < 0.4
    assert report.figures.tokens == 30 * 4 * 32 and len(run.completion.text) == 120
    assert (home / f"outputs/chart_{run.guid}.png").read_bytes()[:4] == b"\x89PNG"


def test_the_kept_weights_are_the_best_ones(home, run):
    from littlebaby.training.data import split, windows
    baby = lb.load(run.guid, home)
    ids = baby.encode((home / "inputs" / "tale.txt").read_text())
    x, y = windows(split(ids, baby.config)[1], baby.config.n_ctx)[:]
    assert baby.loss(x, y) == pytest.approx(run.report.best_valid_loss, rel=1e-5)


def test_the_same_seed_writes_the_same_weights(home, run):
    again = lb.train("tale", path=home, seed=1, **TINY)
    a, b = lb.load(run.guid, home), lb.load(again.guid, home)
    assert np.array_equal(a.flat, b.flat) and run.completion.text == again.completion.text


def test_stopped_and_resumed_is_never_stopped(home, run):
    """Also with the checkpoint read back from the disk, and the report's rows as if nothing had happened"""
    count = iter(range(100))
    half = lb.train("tale", path=home, seed=1, stop=lambda: next(count) == 16, **TINY)
    assert half.report.stop_reason == "interrupted" and half.completion is None
    assert Workspace(home).path("checkpoint", half.guid).exists()
    whole = lb.train(resume=half.guid, path=home, progress=False)
    assert np.array_equal(lb.load(whole.guid, home).flat, lb.load(run.guid, home).flat)
    assert whole.report.stop_reason == "finished" and not Workspace(home).path("checkpoint", half.guid).exists()
    key = lambda report: [(row.step, row.train_loss, row.valid_loss, row.sample) for row in report.evaluations]
    assert key(whole.report) == key(run.report)
    with pytest.raises(lb.BadInput, match="has no checkpoint"):
        lb.train(resume=whole.guid, path=home)


def test_a_resumed_run_keeps_the_scale_of_half_precision(home, monkeypatch):
    """It doubles after five good steps here, and a run stopped between two doublings counts on"""
    from littlebaby.training import loop
    monkeypatch.setattr(loop, "GROW_AFTER", 5)
    half = dict(TINY, d_type="fp16", n_steps=20)
    run, count = lb.train("tale", path=home, **half), iter(range(100))
    stopped = lb.train("tale", path=home, stop=lambda: next(count) == 12, **half)
    scale = Workspace(home).load_checkpoint(stopped.guid)[1]["state"]
    assert (scale["step"], scale["scale"], scale["steady"]) == (13, 4 * loop.FIRST_SCALE, 3)
    whole = lb.train(resume=stopped.guid, path=home, progress=False)
    assert np.array_equal(lb.load(whole.guid, home).flat, lb.load(run.guid, home).flat)
    assert [row.train_loss for row in whole.report.evaluations] == [row.train_loss for row in run.report.evaluations]


def test_resume_refuses_another_text_and_other_settings(home):
    count = iter(range(100))
    half = lb.train("tale", path=home, stop=lambda: next(count) == 5, **TINY)
    with pytest.raises(lb.BadInput, match="sha256 differs"):
        lb.train("greek", resume=half.guid, path=home)
    with pytest.raises(lb.BadInput, match="keeps its own settings"):
        lb.train(resume=half.guid, path=home, n_layers=2)


def test_inference(home, run):
    ask = dict(path=home, prompt="Ada was", max_tokens=40, seed=3)
    a, b = lb.inference(run.guid, **ask), lb.inference(run.guid[:6], **ask)
    assert a.text == b.text and len(a.text) == 40 and a.tokens == 40 and a.prompt_tokens == 7
    pieces = []
    assert lb.inference(run.guid, stream=pieces.append, **ask).text == "".join(pieces) == a.text
    stop = a.text[10:12]
    assert lb.inference(run.guid, stop=stop, **ask).text == a.text[:a.text.index(stop)]
    three = lb.inference(run.guid, samples=3, **ask)
    assert len(set(three.samples)) == 3 and three.text == three.samples[0]
    assert lb.inference(run.guid, path=home, max_tokens=5).seed != lb.inference(run.guid, path=home, max_tokens=5).seed
    files = [f.path.name for f in Workspace(home).files(run.guid) if f.path.name.startswith("completion")]
    assert len(files) >= 7 and all(json.loads((home / "outputs" / f).read_text())["guid"] == run.guid for f in files)


def test_a_draft_changes_nothing_but_the_time(home, run):
    draft = lb.train("tale", path=home, **{**TINY, "n_emb": 16, "n_steps": 10, "n_completion": 0})
    alone, helped = (lb.inference(run.guid, "Ada", 100, temperature=0, seed=1, path=home, draft=d) for d in (None, draft.guid))
    assert helped.text == alone.text and helped.tokens == 100
    assert len(lb.inference(run.guid, "Ada", 33, seed=1, path=home, draft=draft.guid).text) == 33
    with pytest.raises(lb.BadInput, match="^samples is 2; allowed with a draft is 1; did you mean 1"):
        lb.inference(run.guid, samples=2, draft=draft.guid, path=home)
    other = lb.train("greek", path=home, **{**TINY, "n_steps": 1, "n_completion": 0})
    with pytest.raises(lb.BadInput, match="whose tokenizer differs from that of"):
        lb.inference(run.guid, draft=other.guid, path=home)


def test_without_validation_the_newest_weights_are_kept(home, run):
    whole = lb.train("tale", path=home, **{**TINY, "r_split": 1.0})
    assert whole.report.best_valid_loss is None and whole.report.best_step == 30 and whole.report.evaluations[-1].valid_loss is None
    seen = iter(range(100))
    half = lb.train("tale", path=home, stop=lambda: next(seen) == 14, **{**TINY, "r_split": 1.0})
    again = lb.train(resume=half.guid, path=home, progress=False)
    assert np.array_equal(lb.load(again.guid, home).flat, lb.load(whole.guid, home).flat)


def test_finetune_goes_half_as_long(home, run):
    """In steps where the base was told steps, in epochs where it was told epochs"""
    by_epochs = lb.train("tale", path=home, **{**TINY, "n_steps": 0, "n_epochs": 4, "n_ctx": 96, "batch_size": 64, "n_completion": 0})
    assert by_epochs.report.evaluations[-1].step == 12
    assert lb.finetune(by_epochs.guid, "tale", path=home, progress=False).report.evaluations[-1].step == 6
    by_steps = lb.finetune(run.guid, "tale", path=home, progress=False)
    assert by_steps.report.evaluations[-1].step == 15
    lb.delete(by_steps.guid, yes=True, path=home)


def test_unknown_characters_are_told_and_handled(home, run):
    written = lb.inference(run.guid, path=home, prompt="Zoë’s β", max_tokens=5, seed=1)
    assert written.replaced["ë"] == "e" and written.prompt == "Zoë’s β"
    with pytest.raises(lb.BadInput, match="knows no character of the prompt"):
        lb.inference(run.guid, path=home, prompt="ββ")


def test_finetune_appends_and_moves_nothing(home, run):
    """Old rows bit-identical before the first step, the old text's loss unchanged; afterwards the new text is learned"""
    from littlebaby import plans
    old = lb.load(run.guid, home)
    text = (home / "inputs" / "greek.txt").read_text()
    tokenizer, new = old.tokenizer.extend(text)
    fresh = plans.grow_vocabulary(old, old.config.replace(n_vocab=tokenizer.size), tokenizer)
    assert len(new) == len(set(text) - set(old.tokenizer.vocabulary)) > 10
    assert tokenizer.vocabulary[:old.config.n_vocab] == old.tokenizer.vocabulary
    for name, w in old.weights().items():
        assert np.array_equal(fresh.weights()[name][tuple(map(slice, w.shape))], w), name
    ids = old.encode((home / "inputs" / "tale.txt").read_text()[:33])
    assert np.array_equal(tokenizer.encode(old.decode(ids)), ids)
    assert fresh.loss(ids[:-1], ids[1:]) == pytest.approx(old.loss(ids[:-1], ids[1:]), abs=1e-6)

    tuned = lb.finetune(run.guid, "greek", path=home, progress=False, n_steps=60, r_learn=1e-2)
    assert tuned.guid == f"{run.guid}_finetuned" and tuned.report.base == run.guid
    assert tuned.report.base_evaluations == run.report.evaluations
    assert tuned.report.evaluations[-1].valid_loss < tuned.report.evaluations[0].valid_loss < 40
    assert lb.finetune(run.guid, "greek", path=home, progress=False, n_steps=2).guid == f"{run.guid}_finetuned_2"
    assert np.array_equal(lb.load(run.guid, home).flat, old.flat)


def test_greek_speaks_greek(home):
    tuned = lb.train("greek", path=home, **{**TINY, "n_steps": 60})
    written = lb.inference(tuned.guid, path=home, prompt="ΚΆΔΜΟΥ", max_tokens=30, seed=0)
    assert set(written.text) <= set((home / "inputs" / "greek.txt").read_text()) and written.prompt == "ΚΆΔΜΟΥ"


@pytest.mark.parametrize("tokenizer", ["word", "bpe"])
def test_other_tokenizers(home, tokenizer):
    done = lb.train("tale", path=home, c_tokenizer=tokenizer, s_vocabulary=400, **TINY)
    rows = done.report.evaluations
    characters = done.report.input.characters / (done.report.train_tokens + done.report.valid_tokens)
    assert characters > 1.5 and rows[-1].bits_per_character == pytest.approx(rows[-1].valid_loss / np.log(2) / characters, rel=0.1)
    assert lb.inference(done.guid, path=home, prompt="Ada", max_tokens=10).text


def test_info_and_delete(home):
    done = lb.train("tale", path=home, **TINY)
    tuned = lb.finetune(done.guid, "greek", path=home, progress=False, n_steps=2)
    card = lb.info(done.guid, home)
    assert card["guid"] == done.guid and card["report"]["figures"]["parameters"]["total"] == lb.load(done.guid, home).flat.size
    before = {f for f in home.rglob("*") if f.is_file()}
    asked = []
    assert lb.delete(done.guid, path=home, ask=lambda q: asked.append(q) or "n") == [] and done.guid in asked[0]
    gone = set(lb.delete(done.guid, path=home, yes=True))
    after = {f for f in home.rglob("*") if f.is_file()}
    assert {str(f) for f in before - after if ".lock" not in f.name} == gone and all(tuned.guid not in f for f in gone)
    assert tuned.guid in [r.name for r in lb.list(home)]
    lb.delete(tuned.guid, path=home, yes=True)
    with pytest.raises(lb.BadInput, match="there is no run"):
        lb.info(done.guid, home)


def test_last_is_the_newest_run_that_can_do_what_is_asked(tmp_path):
    (tmp_path / "tale.txt").write_text(nursery.corpus(20_000, 1)[0])
    source, steps = str(tmp_path / "tale.txt"), iter(range(100))
    whole = lb.train(source, path=tmp_path, **TINY)
    newest = lb.train(source, path=tmp_path, stop=lambda: next(steps) == 11, **TINY)
    Workspace(tmp_path).path("model", newest.guid).unlink()
    assert lb.info("last", tmp_path)["guid"] == newest.guid
    assert lb.inference("last", max_tokens=3, path=tmp_path).guid == whole.guid and lb.microscope("last", path=tmp_path).name == whole.guid
    assert lb.finetune("last", source, path=tmp_path, **TINY | dict(n_steps=1)).report.base == whole.guid
    sentence = (f"{newest.guid} has no model yet: it has not finished; `littlebaby train --resume {newest.guid[:8]} --path {tmp_path}` "
                "continues the run from step 12")
    for plan in (lb.inference, lb.load, lb.export, lb.microscope):
        with pytest.raises(lb.BadInput) as told:
            plan(newest.guid, path=tmp_path)
        assert str(told.value) == sentence


def test_nursery_sizes(tmp_path):
    path = lb.nursery("20kB", seed=7, path=tmp_path)
    assert 19_000 < path.stat().st_size <= 20_000 and path.read_text() == nursery.corpus(20_000, 7)[0]
    for bad in ("much", "-1MB", "nan"):
        with pytest.raises(lb.BadInput, match="300kB, 10MB or 1GB"):
            lb.nursery(bad, path=tmp_path)


@pytest.mark.parametrize("call, sentence", [
    (dict(input="missing.txt"), "there is no file 'missing.txt'"), (dict(input="empty.txt"), "is empty"),
    (dict(input="bare"), "bare is a folder with"), (dict(input="short.txt"), "n_ctx"),
    (dict(input="latin.txt"), "offset 3.*--encoding"), (dict(c_attention="mah"), "did you mean mha"),
    (dict(n_layer_s=3), "did you mean n_layers"), (dict(preset="nursry"), "did you mean nursery"), (dict(config="none.json"), "none.json"),
    (dict(c_device="gpu"), "no GPU was found"), (dict(resume="abcd"), "there is no run")])
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, call, sentence):
    if call.get("c_device") == "gpu" and backend.gpu_module():
        pytest.skip("there is a GPU here")
    (tmp_path / "inputs" / "bare").mkdir(parents=True)
    for name, data in dict(empty=b"", short=b"abc", latin=b"caf\xe9 noir").items():
        (tmp_path / "inputs" / f"{name}.txt").write_bytes(data)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(lb.BadInput, match=sentence):
        lb.train(**{**dict(path=tmp_path, progress=False), **call})
    assert sorted(tmp_path.rglob("*")) == before


def test_several_wrong_settings_are_told_at_once(tmp_path):
    with pytest.raises(lb.BadInput) as error:
        lb.train(path=tmp_path, n_layers=0, r_dropout=2.0, c_network="mpl")
    assert len(str(error.value).splitlines()) == 3


def test_a_damaged_model_is_told(home, run):
    path = Workspace(home).path("model", run.guid)
    whole = path.read_text()
    try:
        path.write_text(whole[:len(whole) // 2])
        with pytest.raises(lb.BadInput, match=path.name):
            lb.load(run.guid, home)
    finally:
        path.write_text(whole)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_the_step_and_saves(home, number):
    """A training in its own process hears the signal, saves itself and ends with 130"""
    command = [sys.executable, "-m", "littlebaby", "train", "--input", "tale", "--path", str(home), "--n_steps", "100000", "--n_ctx", "32",
               "--n_layers", "1", "--n_emb", "32", "--s_eval", "20"]
    known = {r.name for r in lb.list(home)}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(Workspace(home).path("checkpoint", r.name).exists() for r in lb.list(home)
                                                  if r.name not in known):
        time.sleep(0.1)
    child.send_signal(number)
    child.communicate(timeout=60)
    name = next(r.name for r in lb.list(home) if r.name not in known)
    assert child.returncode == 130 and lb.info(name, home)["report"]["stop_reason"] == "interrupted"
    assert lb.inference(name, path=home, max_tokens=5, seed=0).tokens == 5
    lb.delete(name, path=home, yes=True)


@pytest.mark.parametrize("steps, told", [(800, True), (400, False)])
def test_many_passes_over_a_text_are_told(steps, told, tmp_path, capsys):
    (tmp_path / "tale.txt").write_text("A small text that is learned by heart. " * 60)
    tiny = dict(n_layers=1, n_emb=16, n_heads=2, n_ctx=16, batch_size=4, s_eval=10**6, n_sample=0, n_completion=0)
    lb.train(tmp_path / "tale.txt", path=tmp_path, n_steps=steps, stop=lambda: True, **tiny)
    said = capsys.readouterr().err                               # 2,106 training tokens, 64 of them a step
    assert ("the training makes 24 passes over the text, which will be learned by heart: --n_steps 329 or a longer text" in said) is told
