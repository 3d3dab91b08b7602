"""Panel, card and pages at three widths, in the light and the dark theme: nothing is cut off, no word is broken.

LITTLEBABY_SHOTS=FOLDER pytest tests/browser/test_widths.py -n0      also saves what was seen
"""
import os
from pathlib import Path

import pytest
from lab import CLIPPING, button, fill, missing, panel_alone, theme
from panel_tools import TINY

import littlebaby as lb
from littlebaby.text import nursery

WIDTHS = (700, 800, 1280)
reason = missing()
pytestmark = pytest.mark.skipif(bool(reason), reason=reason)
# a line of the coloured text of the microscope ends at a blank, a line break or the end of the text
ENDS = """text => {
    const spans = [...text.children].filter(e => e.matches("span"));
    return spans.filter((e, i) => spans[i + 1] && spans[i + 1].getBoundingClientRect().top > e.getBoundingClientRect().top + 4)
                .map(e => e.textContent.trim()).filter(end => !/[·⏎]$/.test(end)); }"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace with a run, a finetune of it, one with experts and one that was interrupted"""
    path = tmp_path_factory.mktemp("home")
    (path / "inputs").mkdir()
    (path / "inputs" / "tale.txt").write_text(nursery.corpus(20_000, 1)[0])
    more = TINY | dict(n_layers=3, n_ctx=96, n_completion=400, n_sample=80, progress=False)
    run = lb.train("tale", path=path, **more)
    lb.train("tale", path=path, c_network="moe", **more)
    steps = iter(range(1, 100))
    lb.train("tale", path=path, stop=lambda: next(steps) == 12, **more | dict(n_steps=24))
    lb.finetune(run.guid, "tale", path=path, progress=False, n_steps=5)
    return path


@pytest.fixture(scope="module")
def looked(home, tmp_path_factory):
    with panel_alone(tmp_path_factory.mktemp("server"), home) as looked:
        yield looked


def readable(looked, name):
    """Check the panel at all widths in both themes"""
    wrong = []
    for colours in ("Light", "Dark"):
        theme(looked, colours)
        for width in WIDTHS:
            looked.set_viewport_size(dict(width=width, height=1400))
            looked.wait_for_timeout(400)
            wrong += [f"{name}, {colours}, {width}: {each}" for each in looked.panel.evaluate(CLIPPING)]
            for text in looked.panel.locator(".littlebaby .text").all():
                wrong += [f"{name}, {colours}, {width}: a line ends after {end!r}" for end in text.evaluate(ENDS)]
            save(looked, f"{name}-{colours.lower()}-{width}")
    assert not wrong, "\n".join(dict.fromkeys(wrong))


def save(looked, name):
    if folder := os.environ.get("LITTLEBABY_SHOTS"):
        looked.screenshot(path=Path(folder) / f"{name}.png")


def choose_run(looked, words):
    picker = looked.panel.locator(".lb-guid select")
    picker.select_option(label=picker.locator("option", has_text=words).first.inner_text())


def test_the_choices_of_a_training(looked):
    looked.wait_for_function("/estimated time\\s+\\d+/.test(document.body.innerText)")
    looked.panel.locator(".lb-n_emb input").first.focus()
    upload = "e => [getComputedStyle(e).fontSize, getComputedStyle(e, '::after').content.split('/')[0].trim(), e.offsetWidth > 80]"
    assert looked.panel.locator(".lb-upload").evaluate(upload) == ["0px", '"upload a file"', True]      # the words, and no number
    readable(looked, "train")
    button(looked, "finetune").click()
    readable(looked, "finetune")


def test_all_settings(looked):
    button(looked, "train").click()
    looked.panel.locator("text=all settings, with meaning and range").click()
    for title in ("model, ", "training, "):
        looked.panel.locator(f"text=/^{title}\\d+ settings/").click()
        readable(looked, f"settings-{title[:5]}")
    looked.panel.locator("text=all settings, with meaning and range").click()


def test_errors_and_a_training_with_its_card(looked):
    fill(looked, input="tail", n_layers=1, n_emb=32, n_heads=2, n_ctx=64, n_steps=40)
    looked.panel.locator(".lb-n_emb input").first.focus()
    upload = "e => [getComputedStyle(e).fontSize, getComputedStyle(e, '::after').content.split('/')[0].trim(), e.offsetWidth > 80]"
    assert looked.panel.locator(".lb-upload").evaluate(upload) == ["0px", '"upload a file"', True]      # the words, and no number
    button(looked, "Run").click()
    looked.wait_for_selector(".lb-message:has-text('there is no file')")
    readable(looked, "error")
    fill(looked, input="tale", n_steps=40)
    button(looked, "Run").click()
    looked.wait_for_selector(".lb-card")
    readable(looked, "trained")


def test_the_card_and_the_diary(looked):
    button(looked, "info").click()
    choose_run(looked, "_finetuned")
    button(looked, "Show").click()
    looked.wait_for_selector(".lb-card")
    looked.panel.locator("summary").click()
    readable(looked, "card")
    button(looked, "Diary").click()
    looked.wait_for_selector(".lb-panel .littlebaby")
    readable(looked, "diary")
    button(looked, "Zip").click()
    looked.wait_for_selector(".lb-zip")
    readable(looked, "zip")


@pytest.mark.parametrize("network", ["mlp", "moe"])
def test_a_long_prompt_and_the_microscope(looked, network):
    button(looked, "inference").click()
    choose_run(looked, f"+ {network}")
    looked.panel.locator(".lb-prompt textarea").fill("Ada hid a ball. The bear asked the extraordinarily quick fox. " * 3)
    button(looked, "Run").click()
    looked.wait_for_selector(".lb-status:has-text('saved in outputs')")
    readable(looked, f"inference-{network}")
    button(looked, "Microscope").click()
    looked.wait_for_selector(".lb-panel .littlebaby:has-text('Under the microscope')")
    readable(looked, f"microscope-{network}")


def test_a_question_before_deleting(looked):
    button(looked, "delete").click()
    choose_run(looked, "interrupted")
    button(looked, "Delete …").click()
    looked.wait_for_selector(".lb-question")
    readable(looked, "delete")
    button(looked, "Keep").click()


def test_saved_pages(looked, home, tmp_path):
    """The pages that the shell saves, in a browser of each width"""
    runs = {run.config.c_network: run.name for run in lb.list(home) if run.report.stop_reason == "finished"}
    finetune = next(run.name for run in lb.list(home) if run.name.endswith("_finetuned"))
    pages = dict(microscope=lb.microscope(runs["mlp"], path=home), experts=lb.microscope(runs["moe"], path=home),
                 cause=lb.cause(runs["mlp"], path=home, progress=False), diary=lb.diary(finetune, path=home))
    wrong = []
    for name, made in pages.items():
        sheet = looked.context.browser.new_page()
        sheet.goto(made.save(tmp_path / f"{name}.html").as_uri())
        for width in WIDTHS:
            sheet.set_viewport_size(dict(width=width, height=1400))
            wrong += [f"{name}, {width}: {each}" for each in sheet.locator("body").evaluate(CLIPPING)]
            save(sheet, f"page-{name}-{width}")
        sheet.close()
    assert not wrong, "\n".join(wrong)
