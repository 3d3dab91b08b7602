"""One job in a process, what a panel says of it and of its result, and how generation is steered; without a browser."""
import threading
from time import sleep

from panel_tools import TINY, choose, shown, text, wait

import littlebaby as lb
from littlebaby import plans
from littlebaby.runs.store import Workspace
from littlebaby.show.panel_job import JOBS


def begin_a_long_training(panel):
    """Press Run; returns when the first step is done"""
    choose(panel, n_steps=100_000, s_eval=50_000)
    panel.run.click()
    until(lambda: panel.outcome.live.step > 0)


def until(done, patience=60):
    for _ in range(100 * patience):
        if done():
            return
        sleep(0.01)
    raise AssertionError("it did not happen")


def stop(panel):
    panel.stop.click()
    wait(panel)


def test_a_new_panel_shows_and_stops_the_job_that_runs(panel, home):
    begin_a_long_training(panel)
    other = lb.panel(home)
    message = text(other.outcome.message)
    assert "1 layer of width 32" in message and "the lowest possible loss on this text is" in message
    assert other.outcome is panel.outcome and other.slot.children == (panel.own.view,)
    assert shown(other.stop) and not other.stop.disabled and other.run.disabled and other.resume.disabled
    assert text(other.reason).strip() == "wait for the end of the training, or press Stop" == other.run.tooltip
    before = other.outcome.live.step
    until(lambda: other.outcome.live.step > before)
    other.run.click()
    stop(other)
    run, = lb.list(home)
    assert run.report.stop_reason == "interrupted" and "Resume continues" in text(other.outcome.message)
    for each in (panel, other):
        assert run.name in dict(each.guid.options).values() and not each.run.disabled and each.stop.disabled
        assert not text(each.reason).strip()


def test_the_curve_of_a_stopped_training_is_there_when_its_plan_is_chosen_again(panel, home):
    begin_a_long_training(panel)
    stop(panel)
    live, said = panel.outcome.live, text(panel.outcome.message)
    curve = live.curve.value
    panel.plan.value = "info"
    assert not shown(live.view) and not shown(live.bar) and not live.curve.value and not text(panel.outcome.message)
    panel.plan.value = "train"
    assert shown(live.view) and shown(live.bar) and live.curve.value[:4] == curve[:4] == b"\x89PNG" and len(live.curve.value) > 5000
    assert "Resume continues" in said == text(panel.outcome.message)
    panel.folder.value = str(home / "elsewhere")
    assert not shown(live.view) and not live.curve.value
    panel.plan.value = "info"
    panel.plan.value = "train"
    assert not shown(live.view)


def test_a_job_of_a_new_panel_is_shown_in_the_older_ones(panel, home):
    new = lb.panel(home)
    begin_a_long_training(new)
    wait_name = text(panel.reason)
    stop(panel)
    assert "the training" in wait_name and panel.outcome is new.own and new.outcome is new.own
    panel.plan.value = "info"
    assert panel.outcome is panel.own and new.outcome is new.own and "Resume" in text(new.outcome.message)


def test_stop_and_its_reason_are_shown_for_all_plans_while_a_job_runs(panel, home):
    lb.train("tale", path=home, progress=False, **TINY)
    panel.plan.value = "delete"
    assert not shown(panel.stop) and not panel.run.disabled and (panel.run.icon, panel.run.description) == ("trash", "Delete …")
    panel.plan.value = "info"
    assert not shown(panel.stop) and panel.run.icon == "eye"
    panel.plan.value = "train"
    assert panel.run.icon == "play"
    begin_a_long_training(panel)
    for plan in ("finetune", "inference", "info", "delete", "train"):
        panel.plan.value = plan
        assert shown(panel.stop) and not panel.stop.disabled and panel.run.disabled and "press Stop" in text(panel.reason)
    assert panel.fields.values["n_steps"] == 100_000
    stop(panel)
    assert not panel.run.disabled and not text(panel.reason).strip()


def test_a_choice_during_a_job_is_estimated_after_it(panel, home):
    panel.estimate.thread.join(60)
    architecture, costs = panel.estimate.architecture.value, panel.estimate.costs.value
    assert architecture and "parameters" in costs
    begin_a_long_training(panel)
    panel.plan.value = "info"
    panel.plan.value = "train"
    choose(panel, n_layers=2)
    assert "the cost of this choice is estimated after the training" in text(panel.estimate.costs)
    assert not shown(panel.estimate.architecture)
    stop(panel)
    panel.estimate.thread.join(60)
    assert panel.estimate.architecture.value not in (b"", architecture) and "parameters" in text(panel.estimate.costs)


def test_after_a_training_the_story_comes_first_and_the_paths_are_folded_away(panel, home):
    panel.run.click()
    wait(panel)
    run, = lb.list(home)
    outcome, story = panel.outcome, Workspace(home).load_completion(run.name).text
    assert text(outcome.text).strip() == story.strip() and "max-height" not in outcome.text.value
    order = outcome.view.children
    assert order.index(outcome.text) < order.index(outcome.live.view) < order.index(outcome.card)
    assert outcome.live.view.children[0] is outcome.chart and shown(outcome.chart) and shown(outcome.live.view)
    assert not shown(outcome.live.curve) and "step 30" in text(outcome.live.samples) and not outcome.message.value
    before, folded = outcome.card.value.split("<details")
    assert str(home) not in before and "validation loss" in before and "report_" in folded and "</details>" in folded


def test_what_the_curve_means_stands_under_it(panel, home):
    choose(panel, r_learn=1e-9)
    panel.run.click()
    wait(panel)
    outcome, (remark,) = panel.outcome, Workspace(home).load_report(lb.list(home)[0].name).remarks
    assert text(outcome.live.caption).strip() == remark and "learned nothing" in remark and remark not in text(outcome.card)
    assert outcome.live.view.children[-1] is outcome.live.caption and shown(outcome.live.view)


def test_info_shows_the_same(panel, home):
    run = lb.train("tale", path=home, progress=False, **TINY)
    panel.plan.value = "info"
    panel.run.click()
    wait(panel)
    assert text(panel.outcome.text).strip() == run.completion.text.strip() and shown(panel.outcome.chart)
    assert panel.outcome.chart.value == run.chart().read_bytes() and "step 10" in text(panel.outcome.live.samples)


def test_an_error_vanishes_when_its_cause_is_mended(panel, home):
    panel.input.value = "tail"
    panel.run.click()
    wait(panel)
    assert panel.outcome.wrong and "did you mean tale.txt?" in text(panel.outcome.message)
    panel.input.value = "tale"
    assert not panel.outcome.wrong and not panel.outcome.message.value
    choose(panel, n_emb=33)
    panel.run.click()
    wait(panel)
    assert "divisors" in text(panel.outcome.message)
    choose(panel, n_emb=32)
    assert not panel.outcome.message.value
    panel.run.click()
    wait(panel)
    panel.plan.value = "inference"
    panel.generation.sampling["temperature"].value = -1
    panel.run.click()
    wait(panel)
    assert "temperature is -1" in text(panel.outcome.message)
    panel.generation.sampling["temperature"].value = 1
    assert not panel.outcome.message.value


def test_a_fraction_is_refused_where_a_whole_number_belongs(panel):
    choose(panel, n_layers=2.5)
    panel.estimate.thread.join(60)
    sentence = "n_layers is 2.5; allowed is a whole number from 1 to 1,024; did you mean 2?"
    assert sentence in text(panel.estimate.costs) and panel.fields.values["n_layers"] == 2.5
    panel.run.click()
    wait(panel)
    assert sentence in text(panel.outcome.message)
    choose(panel, n_layers=2.0)
    assert panel.fields.changes()["n_layers"] == 2 and isinstance(panel.fields.values["n_layers"], int)


def test_deleting_a_run_in_use_is_refused_before_the_question(panel, home):
    run, other = (lb.train("tale", path=home, progress=False, **TINY) for _ in range(2))
    asked = []
    with Workspace(home).lock(run.guid):
        try:
            plans.delete(run.guid, home, ask=lambda question: asked.append(question) or "no")
            raise AssertionError("it was not refused")
        except lb.BadInput as error:
            assert "is in use" in str(error)
        panel.plan.value, panel.guid.value = "delete", run.guid
        panel.run.click()
        assert "is in use" in text(panel.outcome.message)
        assert not shown(panel.confirm) and not panel.outcome.text.value
    assert not asked and Workspace(home).files(run.guid)
    panel.guid.value = other.guid
    assert not panel.outcome.message.value


def test_a_run_that_is_being_trained_elsewhere_cannot_be_deleted_or_used(panel, home):
    stopping = threading.Event()
    began = []
    elsewhere = threading.Thread(target=lambda: lb.train("tale", path=home, progress=began.append, stop=stopping.is_set,
                                                         **TINY | dict(n_steps=10**6)))
    elsewhere.start()
    until(lambda: began)
    for plan in ("delete", "inference", "finetune"):
        panel.plan.value = plan
        assert panel.run.disabled and "is being trained by another process" in text(panel.reason)
    panel.plan.value = "info"
    assert not panel.run.disabled
    panel.plan.value = "inference"
    assert panel.run.disabled
    stopping.set()
    elsewhere.join()
    until(lambda: not panel.run.disabled)                # without another look at the plan


def test_a_run_without_a_model_says_so_and_offers_resume(panel, home):
    whole = lb.train("tale", path=home, progress=False, **TINY)
    killed = lb.train("tale", path=home, progress=False, stop=stop_after(12), **TINY | dict(n_steps=24))
    store = Workspace(home)
    store.path("model", killed.guid).unlink()
    panel.plan.value = "inference"
    assert panel.guid.value == whole.guid and not panel.run.disabled
    panel.guid.value = killed.guid
    assert panel.run.disabled and shown(panel.resume) and not panel.resume.disabled and panel.microscope.disabled
    sentence = "this run has not finished and has no model yet; Resume continues it from step 12"
    assert text(panel.reason).strip() == sentence
    panel.run.click()
    wait(panel)
    assert "has no model yet: it has not finished" in text(panel.outcome.message)
    panel.resume.click()
    wait(panel)
    assert store.load_report(killed.guid).stop_reason == "finished" and panel.guid.value == killed.guid
    assert not panel.run.disabled and not shown(panel.resume) and not text(panel.reason).strip()


def stop_after(step):
    steps = iter(range(1, step + 1))
    return lambda: next(steps) == step


def test_the_prompt_and_the_completion_differ_and_a_seed_repeats(panel, home):
    lb.train("tale", path=home, progress=False, **TINY)
    panel.plan.value = "inference"
    generation = panel.generation
    assert list(generation.sampling) == ["max_tokens", "repetition_penalty", "temperature", "top_k", "top_p", "min_p"]
    generation.prompt.value, generation.seed.value = "Ada", "7"
    for name, value in dict(max_tokens=30, top_k=5, top_p=0.9, min_p=0.01, repetition_penalty=1.1).items():
        generation.sampling[name].value = value
    for _ in range(2):
        panel.run.click()
        wait(panel)
        assert 'class="lb-given"' in panel.outcome.text.value and ">Ada</span>" in panel.outcome.text.value
    first, second = Workspace(home).completions(lb.list(home)[0].name)[-2:]
    assert first.text == second.text and first.seed == second.seed == 7 and "seed 7" in text(panel.outcome.live.status)
    used = second.settings
    assert (used.top_k, used.top_p, used.min_p, used.repetition_penalty) == (5, 0.9, 0.01, 1.1)
    generation.seed.value = "seven"
    panel.run.click()
    wait(panel)
    assert "seed is 'seven'" in text(panel.outcome.message)


def test_a_prompt_that_is_longer_than_the_window_says_so(panel, home):
    lb.train("tale", path=home, progress=False, **TINY)
    panel.plan.value = "inference"
    panel.generation.prompt.value = "Ada hid a ball. "
    assert not panel.generation.note.value
    panel.generation.prompt.value *= 3
    sentence = "the prompt has 48 tokens and the window of this model 32: the model sees only the last 32"
    assert sentence in text(panel.generation.note)
    panel.generation.sampling["max_tokens"].value = 5
    panel.run.click()
    wait(panel)
    assert sentence in text(panel.generation.note) and not panel.outcome.wrong
    panel.generation.prompt.value = "Ada"
    assert not panel.generation.note.value


def test_main_settings_have_help_where_the_pointer_or_the_focus_is(panel):
    for name in ("c_attention", "n_layers", "n_ctx", "n_steps", "n_emb", "n_heads", "c_network", "preset", "text"):
        sentence = panel.help.sentences[name]
        assert len(sentence) > 40 and f"lb-on-{name}" in panel.help.view.value
        assert f":has(.lb-for-{name}:focus-within)" in panel.help.view.value and f":has(.lb-for-{name}:hover)" in panel.help.view.value
    tooltip = lambda control: control.tooltip if control.has_trait("tooltip") else control.description_tooltip      # ipywidgets 8, 7
    assert tooltip(panel.fields.control("n_emb")) == panel.help.sentences["n_emb"]
    assert "from 1 to 65,536" in panel.help.sentences["n_emb"] and "grow" in panel.help.sentences["n_emb"]
    for name, each in panel.generation.sampling.items():
        assert tooltip(each) == panel.generation.help.sentences[name] and "default" in tooltip(each)


def test_the_chosen_attention_and_network_have_a_sentence_and_a_picture(panel):
    choose(panel, c_attention="gqa", c_network="swi")
    attention, network = panel.about["attentions"], panel.about["networks"]
    assert "grouped-query attention. As mha, but with" in text(attention.view) and "SwiGLU" in text(network.view)
    until(lambda: "base64," in attention.view.value and "base64," in network.view.value)
    assert len(attention.view.value) > 1000
    first = attention.view.value
    choose(panel, c_attention="swa")
    assert "sliding-window" in text(attention.view)
    until(lambda: "base64," in attention.view.value)
    assert attention.view.value != first


def test_one_is_singular():
    from littlebaby.show.formatting import format_duration, plural

    assert [format_duration(s) for s in (0.2, 0.7, 1.2, 2, 89.4, 90, 3600)] == [
        "less than a second", "1 second", "1 second", "2 seconds", "89 seconds", "2 minutes", "60 minutes"]
    assert [plural(n, "layer") for n in (0, 1, 2, 1000)] == ["0 layers", "1 layer", "2 layers", "1,000 layers"]


def test_jobs_end(panel):
    assert not JOBS.running
