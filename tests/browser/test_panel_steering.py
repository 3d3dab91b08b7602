"""What only a browser shows of the panel: what is typed, where the pointer is, a panel that is run again."""
import re

import pytest
from lab import PATIENCE, button, fill, missing, panel_alone
from panel_tools import TINY

import littlebaby as lb
from littlebaby.runs.store import Workspace
from littlebaby.text import nursery

reason = missing()
pytestmark = pytest.mark.skipif(bool(reason), reason=reason)
LONG = TINY | dict(n_steps=200_000, s_eval=100_000)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace with a run, and a newer one that was killed before its model was written"""
    path = tmp_path_factory.mktemp("home")
    (path / "inputs").mkdir()
    (path / "inputs" / "tale.txt").write_text(nursery.corpus(20_000, 1)[0])
    lb.train("tale", path=path, progress=False, **TINY)
    steps = iter(range(1, 100))
    killed = lb.train("tale", path=path, progress=False, stop=lambda: next(steps) == 12, **TINY | dict(n_steps=24))
    Workspace(path).path("model", killed.guid).unlink()
    return path


@pytest.fixture(scope="module")
def looked(home, tmp_path_factory):
    with panel_alone(tmp_path_factory.mktemp("server"), home) as looked:
        yield looked


@pytest.fixture(autouse=True)
def patience():
    if not reason:
        from playwright.sync_api import expect
        expect.set_options(timeout=PATIENCE)


def expect(found):
    from playwright.sync_api import expect
    return expect(found)


def test_a_fraction_in_a_whole_number_is_refused_in_a_sentence(looked):
    layers = looked.panel.locator(".lb-n_layers input").first
    layers.fill("")
    layers.press_sequentially("2.5")
    layers.press("Enter")
    sentence = "n_layers is 2.5; allowed is a whole number from 1 to 1,024; did you mean 2?"
    expect(looked.panel).to_contain_text(sentence)
    expect(layers).to_have_value("2.5")
    button(looked, "Run").click()
    message = looked.panel.locator(".lb-message", has_text=sentence)
    expect(message).to_have_count(2)                                 # beside the cost, and of Run
    fill(looked, n_layers=1)
    expect(message).to_have_count(0)


@pytest.mark.parametrize("width", [700, 1280])
def test_a_button_does_not_move_while_it_is_pressed(looked, width):
    """The press itself ends the typing, and the answer to what was typed comes before the button is released"""
    looked.set_viewport_size(dict(width=width, height=1600))         # the button is in view
    looked.wait_for_function("/estimated time\\n\\d+ (second|minute)s?/.test(document.body.innerText)")
    text, run = looked.panel.locator(".lb-input input").first, button(looked, "Run")
    wrong = looked.panel.locator(".lb-message", has_text="there is no file 'tail'")
    text.fill("tail")
    looked.mouse.move(*(run.bounding_box()[side] + 9 for side in "xy"))
    looked.mouse.down()
    expect(wrong).to_have_count(1)                                   # beside the cost
    looked.mouse.up()
    expect(wrong).to_have_count(2)                                   # and of Run
    fill(looked, input="tale")
    expect(wrong).to_have_count(0)
    looked.set_viewport_size(dict(width=1280, height=1400))


def test_help_follows_the_pointer_and_the_focus(looked):
    panel = looked.panel
    sentence = panel.locator(".lb-sentence:visible, .lb-nothing:visible")
    looked.mouse.move(0, 0)
    panel.locator(".lb-folder input").focus()
    expect(sentence).to_have_text("Point at a setting, or click into it, to read what it does.")
    panel.locator(".lb-n_heads input").first.focus()
    expect(sentence).to_contain_text("n_heads Number of attention heads")
    panel.locator(".lb-n_ctx input").first.hover()
    expect(sentence).to_contain_text("n_ctx Context length")
    looked.mouse.move(0, 0)
    expect(sentence).to_contain_text("n_heads")
    assert "Number of attention heads" in panel.locator(".lb-for-n_heads div[title]").first.get_attribute("title")
    panel.locator(".lb-c_attention select").first.select_option("swa")
    expect(panel).to_contain_text("swa, sliding-window attention. As gqa, but a token attends to the last W = s_window tokens only")
    looked.wait_for_function("document.querySelectorAll('.lb-about').length == 2 && "
                             "[...document.querySelectorAll('.lb-about')].every(image => image.naturalWidth > 100)")
    panel.locator(".lb-c_attention select").first.select_option("mha")


def test_each_plan_keeps_what_was_typed(looked):
    fill(looked, n_layers=1, n_emb=32, n_heads=2, n_ctx=32, n_steps=77, input="tale")
    for plan in ("finetune", "inference", "train"):
        button(looked, plan).click()
    for name, value in dict(n_layers=1, n_emb=32, n_heads=2, n_ctx=32, n_steps=77, input="tale").items():
        expect(looked.panel.locator(f".lb-{name} input").first).to_have_value(str(value))


def test_a_run_without_a_model_offers_resume(looked):
    button(looked, "inference").click()
    panel, store = looked.panel, Workspace(looked.panel.locator(".lb-folder input").input_value())
    killed = next(run for run in store.list() if not run.has_model)
    expect(panel.locator(".lb-guid option", has_text="48-months")).to_be_attached()      # the runs of this plan are listed now
    expect(button(looked, "Resume")).to_be_hidden()
    panel.locator(".lb-guid select").select_option(label=panel.locator(".lb-guid option", has_text=killed.name[:8]).inner_text())
    expect(panel.locator(".lb-reason")).to_have_text("this run has not finished and has no model yet; Resume continues it from step 12")
    expect(button(looked, "Run")).to_be_disabled()
    button(looked, "Resume").click()
    looked.wait_for_selector(".lb-card")
    expect(button(looked, "Run")).to_be_enabled()
    assert store.load_report(killed.name).stop_reason == "finished"


def test_the_prompt_looks_different_from_the_completion(looked):
    button(looked, "inference").click()
    panel = looked.panel
    panel.locator(".lb-prompt textarea").fill("Ada hid a ball. " * 3)
    expect(panel.locator(".lb-notice")).to_contain_text("the prompt has 48 tokens and the window of this model 32")
    for name, value in dict(seed=7, top_k=5, top_p=0.9, min_p=0.01, repetition_penalty=1.1, max_tokens=40).items():
        control = panel.locator(f".lb-for-{name} input")
        control.fill(str(value))
        control.press("Enter")
    texts = []
    for _ in range(2):
        button(looked, "Run").click()
        looked.wait_for_selector(".lb-status:has-text('saved in outputs/; seed 7')")
        texts.append(panel.locator(".lb-printed").inner_text())
        panel.locator(".lb-prompt textarea").focus()
    assert texts[0] == texts[1]
    colour = lambda selector: panel.locator(selector).last.evaluate("text => getComputedStyle(text).backgroundColor")
    assert panel.locator(".lb-given").last.inner_text() == "Ada hid a ball. " * 3 and colour(".lb-given") != colour(".lb-printed")


def test_after_a_training_the_story_comes_first(looked):
    button(looked, "train").click()
    fill(looked, input="tale", n_layers=1, n_emb=32, n_heads=2, n_ctx=32, n_steps=40)
    button(looked, "Run").click()
    looked.wait_for_selector(".lb-status:has-text('finished')")
    looked.wait_for_selector(".lb-card")
    panel = looked.panel
    story, card, files = (panel.locator(f".lb-{name}") for name in ("story", "card", "files"))
    top = lambda part: part.bounding_box()["y"]
    chart = panel.locator("img.widget-image:visible").last
    assert top(button(looked, "Run")) < top(story) < top(chart) < top(card)
    assert story.evaluate("story => story.scrollHeight <= story.clientHeight") and len(story.inner_text()) > 500
    assert files.evaluate("files => !files.open") and not panel.locator(".lb-files div").first.is_visible()


def test_a_panel_that_is_run_again_shows_and_stops_the_training(looked):
    fill(looked, input="tale", **{name: LONG[name] for name in ("n_layers", "n_emb", "n_heads", "n_ctx", "n_steps")})
    button(looked, "Run").click()
    step = lambda: int(re.search(r"step ([\d,]+) of 200,000", looked.locator(".lb-status").last.inner_text())[1].replace(",", ""))
    looked.wait_for_selector(".lb-status:has-text('of 200,000')")
    old = looked.panel.element_handle()
    looked.locator(".jp-Cell .cm-content").first.click()
    looked.keyboard.press("Control+Enter")
    looked.wait_for_function("old => !old.isConnected && document.querySelector('.lb-panel .lb-status')?.innerText.includes('200,000')",
                             arg=old)
    assert "not found" not in looked.locator("body").inner_text() and looked.panel.count() == 1
    first = step()
    looked.wait_for_function("first => +document.querySelector('.lb-status').innerText.match(/step ([\\d,]+)/)[1].replace(',', '') > first",
                             arg=first)
    for plan in ("delete", "info", "inference", "finetune", "train"):
        button(looked, plan).click()
        expect(button(looked, "Stop")).to_be_enabled()
        expect(looked.panel.locator(".lb-reason")).to_have_text("wait for the end of the training, or press Stop")
    expect(button(looked, "Run")).to_be_disabled()
    button(looked, "Stop").click()
    looked.wait_for_selector(".lb-message:has-text('Resume continues')")
    expect(button(looked, "Run")).to_be_enabled()
    expect(button(looked, "Resume")).to_be_enabled()
    assert not looked.errors
