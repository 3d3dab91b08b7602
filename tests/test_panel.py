"""The panel without a browser: values are set, buttons clicked, and what the widgets hold and the files are is looked at."""
import json
import threading
import zipfile

import pytest
from panel_tools import TINY, choose, shown, text, wait, widgets

import littlebaby as lb
from littlebaby import plans
from littlebaby.runs import records
from littlebaby.runs.presets import preset, presets
from littlebaby.runs.settings import Config, allowed, keys, limits
from littlebaby.runs.store import Workspace
from littlebaby.show import panel as panels
from littlebaby.show import panel_estimate
from littlebaby.show.panel_fields import Fields
from littlebaby.show.panel_html import LossHistory
from littlebaby.show.panel_job import JOBS
from littlebaby.training.loop import Step


def test_every_setting_has_a_control_a_meaning_and_its_range():
    fields = Fields(lambda: None)
    assert list(fields.values) == list(Config.model_fields) and not fields.controls
    offered = [key for key in keys() if key.group != "school"]           # these are not settings of train and finetune
    assert sorted(key.name for members in fields.members for key in members) == sorted(key.name for key in offered)
    for key in offered:
        said, control = text(fields.row(key.name).children[2]), fields.control(key.name)
        assert key.meaning in said and f"default {key.default}".lower() in said.lower()
        assert control.value == (str(key.default) if isinstance(control, widgets.Text) else key.default)
        if words := allowed(key.name):
            assert list(control.options) == words
        elif limits(key.name) != (None, None):
            assert key.allowed in said


def test_settings_are_found_by_their_words():
    fields = Fields(lambda: None)
    fields.search.value = "WARM rate"
    assert fields.matching() == [fields.row("c_schedule"), fields.row("s_warmup")]
    fields.search.value = "no such thing"
    assert "no setting contains these words" in fields.matching()[0].value


def test_presets_fill_the_settings_and_changes_are_counted_from_them():
    calls = []
    fields = Fields(lambda: calls.append(1))
    for name in presets():
        fields.fill(preset(name))
        assert fields.changes() == {} and fields.values == {**{key.name: key.default for key in keys()}, **preset(name)}
    assert not calls
    fields.fill({})
    fields.row("n_layers"), fields.row("n_emb")
    fields.control("n_layers").value, fields.control("s_warmup").value = 7, "0.1"
    assert fields.changes() == dict(n_layers=7, s_warmup=0.1) and len(calls) == 2
    assert panels.panel_html.WRONG in fields.names["n_layers"].value and panels.panel_html.WRONG not in fields.names["n_emb"].value


def test_the_cost_follows_the_choice(panel, home):
    panel.estimate.thread.join(60)
    said = " ".join(text(panel.estimate.costs).split())
    assert f"{lb.preflight('tale', path=home, probe=False, **TINY).total:,}" in said and "steps 30 of 128 tokens" in said
    assert panel.estimate.architecture.value[:4] == b"\x89PNG" and shown(panel.estimate.architecture)
    before = panel.estimate.architecture.value
    choose(panel, n_layers=3)
    panel.estimate.thread.join(60)
    assert f"{lb.preflight('tale', path=home, probe=False, **TINY | dict(n_layers=3)).total:,}" in text(panel.estimate.costs)
    assert panel.estimate.architecture.value != before
    choose(panel, n_heads=5)
    panel.estimate.thread.join(60)
    assert "n_heads is 5; allowed are divisors of head_size, 32; did you mean 4?" in text(panel.estimate.costs)
    assert not shown(panel.estimate.architecture)


def test_a_run_is_trained_watched_and_carded(panel, home):
    panel.run.click()
    assert panel.run.disabled and not panel.stop.disabled
    wait(panel)
    run, = lb.list(home)
    assert run.report.stop_reason == "finished" and run.config.n_layers == 1 and run.report.input.name == "tale.txt"
    assert panel.outcome.live.bar.value == panel.outcome.live.bar.max == 30 and panel.outcome.live.curve.value[:4] == b"\x89PNG"
    assert [row.step for row in panel.outcome.live.history.rows] == [10, 20, 30]
    said = text(panel.outcome.live.samples)
    assert said.index("step 30") < said.index("step 20") < said.index("step 10")
    assert run.name in text(panel.outcome.card) and "validation" in text(panel.outcome.card)
    assert panel.outcome.chart.value == (home / f"outputs/chart_{run.name}.png").read_bytes()
    assert not panel.run.disabled and panel.stop.disabled and panel.resume.disabled


def test_stop_saves_and_resume_goes_on_as_if_it_had_never_stopped(panel, home):
    choose(panel, n_steps=200, s_eval=100)
    watch, seen = panel.watch, []

    def listen(event):
        watch(event)
        seen.append(getattr(event, "step", 0))
        if seen[-1] == 17:
            panel.stop.click()

    panel.watch = listen
    panel.run.click()
    wait(panel)
    assert max(seen) == 17
    run, = lb.list(home)
    assert run.report.stop_reason == "interrupted" and panel.guid.value == run.name and not panel.resume.disabled
    assert f"{run.name} is saved at step 17" in text(panel.outcome.message)
    panel.watch = watch
    panel.resume.click()
    wait(panel)
    whole = lb.train("tale", path=home, progress=False, **TINY | dict(n_steps=200, s_eval=100))
    resumed = Workspace(home).load_report(run.name)
    assert resumed.stop_reason == "finished" and resumed.best_valid_loss == whole.report.best_valid_loss
    assert (lb.load(run.name, home).flat == lb.load(whole.guid, home).flat).all()
    assert panel.resume.disabled and panel.outcome.live.bar.value == 200


def test_it_writes_finetunes_looks_and_forgets(panel, home):
    panel.run.click()
    wait(panel)
    guid = lb.list(home)[0].name
    panel.plan.value = "inference"
    card = text(panel.run_summary)
    assert "1 layer of 32" in card and "tale.txt" in card and f"{lb.list(home)[0].report.best_valid_loss:.4f}" in card
    panel.generation.prompt.value, sampling = "The bear <b>", panel.generation.sampling
    sampling["max_tokens"].value, sampling["temperature"].value = 40, 0.0
    panel.run.click()
    wait(panel)
    done, = [json.loads(p.read_text()) for p in home.glob(f"outputs/completion_{guid}_*.json")]
    assert done["prompt"] == "The bear <b>" and done["tokens"] == 40 and "<b>" not in panel.outcome.text.value
    assert "unknown characters: < > were dropped" in text(panel.outcome.message)

    panel.microscope.click()
    wait(panel)
    assert f"a text of {len('The bear <b>')} tokens" in panel.outcome.page.value and panel.outcome.page.value.count("<img") >= 2

    panel.generation.prompt.value = "The bear w"
    panel.why.click()
    wait(panel)
    assert panel.outcome.page.value.count(" and not ") == 1 and "12 tokens" in text(panel.outcome.page)

    panel.plan.value = "finetune"
    assert not panel.outcome.page.value
    half = plans.finetune_config(lb.load(guid, home).config)
    assert panel.fields.values["n_steps"] == half.n_steps == 15 and panel.fields.values["r_learn"] == half.r_learn
    choose(panel, n_steps=4)
    panel.run.click()
    wait(panel)
    assert lb.list(home)[-1].name == panel.guid.value == f"{guid}_finetuned"
    assert Workspace(home).load_config(f"{guid}_finetuned").n_steps == 4

    panel.plan.value = "info"
    panel.run.click()
    wait(panel)
    assert f"{guid}_finetuned" in text(panel.outcome.card)
    panel.diary.click()
    wait(panel)
    assert guid in panel.outcome.page.value and f"{guid}_finetuned" in panel.outcome.page.value
    panel.zip.click()
    packed = home / f"outputs/archive_{guid}_finetuned.zip"
    assert packed.name in panel.outcome.text.value and "base64," in panel.outcome.text.value and zipfile.is_zipfile(packed)

    panel.plan.value, panel.guid.value = "delete", guid
    before = {path for path in home.rglob("*") if path.is_file()}
    panel.run.click()
    assert shown(panel.confirm) and f"Delete these {len(lb.info(guid, home)['files'])} files?" in text(panel.outcome.text)
    panel.keep_files.click()
    assert not shown(panel.confirm) and {path for path in home.rglob("*") if path.is_file()} == before
    panel.run.click()
    panel.delete_files.click()
    assert [run.name for run in lb.list(home)] == [f"{guid}_finetuned"] and "files deleted" in text(panel.outcome.message)


def test_mistakes_are_sentences(panel, home, monkeypatch):
    panel.input.value = "tail"
    panel.estimate.thread.join(60)
    assert "did you mean tale.txt?" in text(panel.estimate.costs)
    panel.run.click()
    wait(panel)
    assert "there is no file 'tail'" in text(panel.outcome.message) and not lb.list(home)
    panel.input.value = "tale"
    choose(panel, n_emb=33)
    panel.run.click()
    wait(panel)
    assert "n_heads is 2; allowed are divisors of head_size, 33" in text(panel.outcome.message)
    panel.plan.value = "delete"
    panel.run.click()
    assert "there is no run in this folder yet" in text(panel.outcome.message)
    monkeypatch.setattr(plans, "train", lambda *_, **__: 1 / 0)
    panel.plan.value = "train"
    panel.run.click()
    wait(panel)
    assert "ZeroDivisionError" in text(panel.outcome.message) and "Traceback" not in text(panel.outcome.message)


def test_stop_ends_the_writing(panel, home):
    panel.run.click()
    wait(panel)
    panel.plan.value = "inference"
    panel.generation.sampling["max_tokens"].value = 10 ** 6
    panel.run.click()
    panel.stop.click()
    wait(panel)
    assert "stopped; not saved" in text(panel.outcome.live.status) and not list(home.glob("outputs/completion_*_*.json"))


def test_without_threads_it_runs_where_it_stands(home, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    panel = lb.panel(home)
    panel.estimate.thread.join(60)
    monkeypatch.setattr(panel_estimate, "PATIENCE", 0)
    monkeypatch.setattr(panel_estimate, "preflight", lambda cfg, tokens, probe=True: lb.preflight("tale", path=home, probe=False))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    panel.input.value = "tale"
    choose(panel, **TINY, c_device_cpu_cores=1)
    panel.run.click()
    assert not JOBS.running and lb.list(home)[0].report.stop_reason == "finished"


def test_a_file_can_be_brought(panel, home):
    eight = (dict(name="mine.txt", type="text/plain", size=13, content=memoryview(b"one two three"), last_modified=records.now()),)
    seven = {"mine.txt": dict(content=b"one two three")}
    assert panels.uploaded_file(seven) == panels.uploaded_file(eight) == [("mine.txt", b"one two three")]
    panel.upload = type("Upload", (), dict(value=seven))
    panel.upload_file()
    assert (home / "inputs/mine.txt").read_bytes() == b"one two three" and panel.input.value == "mine.txt"


def test_only_what_a_plan_needs_is_shown(panel):
    for plan in panels.PLANS:
        panel.plan.value = plan
        assert shown(panel.generation.prompt) or plan != "inference"
        assert shown(panel.preset) == (plan == "train") and shown(panel.all_settings) == (plan in ("train", "finetune"))
        assert (shown(panel.with_finetunes), shown(panel.zip)) == (plan == "delete", plan == "info")
        assert shown(panel.microscope) == shown(panel.why) == (plan == "inference")


def test_a_long_course_keeps_a_thousand_points():
    course = LossHistory(0.3)
    for step in range(1, 10_001):
        course.step(Step(step, 4.0 / step ** 0.2, 1e-3, 1.0, step % 100 == 0, 1000.0))
    steps = [step for step, *_ in course.points]
    assert 900 <= len(steps) <= LossHistory.MOST and steps[-1] > 9_980
    assert {b - a for a, b in zip(steps, steps[1:])} <= {8, 16}          # every eighth; the hundredth of them has no finite loss
    assert course.picture(10_000)[:4] == b"\x89PNG" and LossHistory().picture(10)[:4] == b"\x89PNG"


def test_a_packed_run_is_there_where_it_is_unpacked(panel, home, tmp_path_factory):
    run = lb.train("tale", path=home, progress=False, **TINY, b_keep_last=True)
    packed = lb.pack(run.guid, home)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with zipfile.ZipFile(lb.pack(run.guid, home)) as archive:
        assert archive.testzip() is None and not [name for name in archive.namelist() if name.endswith(".zip")]
        archive.extractall(elsewhere)
    assert (lb.load(run.guid, elsewhere).flat == lb.load(run.guid, home).flat).all()
    assert Workspace(elsewhere).load_checkpoint(run.guid)[1]["state"]["step"] == 30
    assert str(packed) in lb.delete(run.guid, home, yes=True) and not packed.exists()


def test_each_plan_keeps_its_choices(panel, home):
    first, second = (lb.train("tale", path=home, progress=False, **TINY | dict(n_steps=n)) for n in (4, 6))
    (home / "inputs" / "other.txt").write_text("one two three " * 200)
    panel.preset.value = "nursery"                               # not the one that a text of one's own gets
    choose(panel, **TINY)
    panel.plan.value = "finetune"
    assert panel.guid.value == second.guid and panel.fields.values["n_steps"] == 3
    panel.guid.value, panel.input.value = first.guid, "other.txt"
    choose(panel, n_steps=7, r_learn=0.5)
    for plan in ("inference", "info", "delete"):
        panel.plan.value = plan
    panel.guid.value = second.guid
    panel.plan.value = "train"
    assert panel.input.value == "tale" and panel.preset.value == "nursery"
    assert {name: panel.fields.values[name] for name in TINY} == TINY
    assert panel.fields.changes().items() == TINY.items() - preset("nursery").items()
    assert {name: panel.fields.control(name).value for name in TINY} == TINY
    panel.plan.value = "finetune"
    assert (panel.guid.value, panel.input.value) == (first.guid, "other.txt")
    assert panel.fields.changes() == dict(n_steps=7, r_learn=0.5) and panel.fields.filled["n_steps"] == 2
    panel.plan.value = "delete"
    assert panel.guid.value == second.guid


def test_the_settings_are_filled_in_again_when_the_preset_or_the_base_changes(panel, home):
    first, second = (lb.train("tale", path=home, progress=False, **TINY | dict(n_steps=n)) for n in (4, 6))
    panel.preset.value = "tiny-gpt2"
    assert panel.fields.changes() == {} and panel.fields.values["n_emb"] == preset("tiny-gpt2")["n_emb"]
    choose(panel, n_layers=3)
    panel.folder.value = str(home / "elsewhere")
    assert panel.fields.changes() == dict(n_layers=3)
    panel.folder.value, panel.plan.value = str(home), "finetune"
    choose(panel, n_steps=9)
    panel.guid.value = first.guid
    assert panel.fields.changes() == {} and panel.fields.values["n_steps"] == 2


def test_a_form_that_is_not_opened_sends_few_messages(home):
    made = []
    widgets.Widget.on_widget_constructed(made.append)
    panel = lb.panel(home)
    assert len(panel.fields.controls) == len(panels.MAIN) and 50 < len(made) < 270
    panel.fields.groups.selected_index = 0
    widgets.Widget.on_widget_constructed(None)
    assert set(panel.fields.rows) == {key.name for key in panel.fields.members[0]} and len(made) < 250 + 6 * len(panel.fields.rows)


def test_the_preset_follows_the_text_until_another_one_is_chosen(panel):
    panel.input.value = "nursery"
    choose(panel, n_layers=5)
    assert panel.preset.value == "nursery" and panel.fields.values["c_tokenizer"] == "word"
    panel.input.value = "tale"
    assert panel.preset.value == "characters"
    values = panel.fields.values
    assert (values["c_tokenizer"], values["s_eval"], values["n_layers"]) == ("char", TINY["s_eval"], 5)
    panel.preset.value = "gpt2"
    panel.input.value = "nursery"
    assert panel.preset.value == "gpt2"


def test_school_learns_from_a_reward(panel, home):
    base = lb.train("tale", path=home, progress=False, **TINY)
    panel.plan.value = "school"
    assert shown(panel.school.view) and panel.guid.value == base.guid and not shown(panel.generation.view)
    assert panel.school.settings() == dict(reward="nursery", c_school="grpo", r_minutes=5.0)
    panel.school.controls["c_reward"].value, panel.school.controls["r_minutes"].value = "length", 0.01
    panel.run.click()
    wait(panel)
    run = lb.list(home)[-1]
    assert run.name == f"{base.guid}_school" and run.report.school.reward == "length" and run.report.stop_reason == "time limit"
    assert panel.guid.value == run.name and "reward length" in text(panel.outcome.card)
    assert panel.outcome.live.history.what == "reward" and panel.outcome.live.bar.max == 0.6
    rewards = [value for _, value, _ in panel.outcome.live.history.points]
    assert sum(rewards) / len(rewards) == pytest.approx(panel.outcome.live.history.rows[0].measures["reward"])
