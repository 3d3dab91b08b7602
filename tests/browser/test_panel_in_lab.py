"""The notebook in a real JupyterLab, driven as a person would: what the page shows, and what lies on the disk.

LITTLEBABY_PICTURES=docs/pictures pytest tests/browser -n0      renews the pictures of the panel
"""
import os
import zipfile
from pathlib import Path

import pytest
from conftest import copied_clone
from lab import PATIENCE, lab, missing, open_notebook, page, run_all

import littlebaby as lb
from littlebaby.runs.presets import preset
from littlebaby.runs.store import Workspace

BOOK = Path(__file__).parents[2] / "notebooks" / "littlebaby.ipynb"
TINY = "\nsettings = dict(n_layers=1, n_emb=32, n_ctx=64, n_steps=20, s_eval=10, n_completion=60, n_sample=20)"
STEPS = 1200
reason = missing()
pytestmark = pytest.mark.skipif(bool(reason), reason=reason)


@pytest.fixture
def looked(tmp_path, monkeypatch):
    """The notebook where it lies in a fresh clone, run to its end with a small model in its own training, and its panel"""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install -e '.[test]'")
    home = copied_clone(tmp_path / "home")
    book = nbformat.read(home / "notebooks" / BOOK.name, 4)
    next(cell for cell in book.cells if "parameters" in cell.metadata.get("tags", [])).source += TINY
    book.cells.append(nbformat.v4.new_code_cell("count = globals().get('count', 0) + 1; print('usable', count)"))
    (tmp_path / "server").mkdir()
    nbformat.write(book, home / "notebooks" / BOOK.name)
    monkeypatch.delenv("LITTLEBABY_HOME", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(home))
    with lab(home, tmp_path / "server") as url, page(1280, 1400) as looked:
        open_notebook(looked, url.format(f"notebooks/{BOOK.name}"))
        run_all(looked)
        looked.wait_for_selector("text=usable 1")
        yield looked


def test_the_notebook_from_opening_to_deleting(looked, tmp_path):
    from playwright.sync_api import expect
    expect.set_options(timeout=PATIENCE)

    home = tmp_path / "home"
    store, before = Workspace(home), {run.name for run in lb.list(home)}
    panel = looked.locator(".lb-panel")
    panel.scroll_into_view_if_needed()
    button = lambda name: panel.locator("button.jupyter-button", has_text=name).first
    message, status = panel.locator(".lb-message"), panel.locator(".lb-status")

    # a file of one's own, then the nursery
    (tmp_path / "mine.txt").write_text("one two three " * 100)
    with looked.expect_file_chooser() as chooser:
        button("upload a file").click()
    chooser.value.set_files(tmp_path / "mine.txt")
    text = panel.locator(".lb-input input")
    expect(text).to_have_value("mine.txt")
    assert (home / "inputs/mine.txt").read_text().startswith("one two three")
    text.fill("nursery")
    text.press("Enter")

    # preset and variant; the cost follows
    for name in ("tiny-gpt2", "nursery"):
        panel.locator(".lb-preset select").select_option(name)
        expect(panel.locator(".lb-n_emb input").first).to_have_value(str(preset(name)["n_emb"]))
    panel.locator(".lb-c_attention select").first.select_option("gqa")
    panel.locator(".lb-c_network select").first.select_option("swi")
    for name, value in dict(n_layers=1, n_emb=32, n_heads=2, n_ctx=64, n_steps=STEPS).items():
        control = panel.locator(f".lb-{name} input").first
        control.fill(str(value))
        control.press("Enter")
    looked.wait_for_function(f"document.body.innerText.includes('of {16 * 64:,} tokens')")
    looked.wait_for_function("/estimated time\\n\\d+ (second|minute)s?/.test(document.body.innerText)")
    picture(looked, panel, "panel-choose", tmp_path)

    # train: the curve moves, the kernel answers, Stop is heard
    button("Run").click()
    source = lambda: panel.locator(".lb-curve").get_attribute("src")
    looked.wait_for_selector(".lb-curve[src^=blob]")
    first = source()
    looked.wait_for_function("first => document.querySelector('.lb-curve').src !== first", arg=first)
    last = looked.locator(".jp-Cell").last
    last.locator(".cm-content").click()
    looked.keyboard.press("Shift+Enter")
    looked.wait_for_selector("text=usable 2")
    assert button("Stop").is_enabled() and "tokens/s" in status.inner_text()
    panel.scroll_into_view_if_needed()
    button("Stop").click()
    looked.wait_for_selector(".lb-message:has-text('Resume continues')")
    run, = [run for run in lb.list(home) if run.name not in before]
    step = int(message.inner_text().split("step ")[1].split(";")[0].replace(",", ""))
    assert run.report.stop_reason == "interrupted" and 0 < step < STEPS
    assert (run.config.c_attention, run.config.c_network, run.config.n_layers) == ("gqa", "swi", 1)
    assert store.load_checkpoint(run.name)[1]["state"]["step"] == step

    # resume to the end
    button("Resume").click()
    looked.wait_for_selector(".lb-growing:has-text('step 750')")
    picture(looked, panel, "panel-train", tmp_path)
    looked.wait_for_selector(f".lb-card:has-text('{run.name}')")
    report = store.load_report(run.name)
    assert report.stop_reason == "finished" and report.evaluations[-1].step == STEPS
    assert report.best_valid_loss < report.evaluations[0].valid_loss
    assert f"{report.best_valid_loss:.4f}" in panel.locator(".lb-card").inner_text()

    # write
    button("inference").click()
    panel.locator(".lb-prompt textarea").fill("The bear")
    button("Run").click()
    looked.wait_for_selector(".lb-status:has-text('saved in outputs')")
    written = store.completions(run.name)[-1]
    assert written.prompt == "The bear" and panel.locator(".lb-printed").inner_text().strip() == ("The bear" + written.text).strip()
    picture(looked, panel, "panel-write", tmp_path)

    # look inside, on the same words
    button("Microscope").click()
    looked.wait_for_selector(".lb-panel .littlebaby:has-text('Under the microscope')")
    expect(panel.locator(".littlebaby .text").first).to_contain_text("The·bear")
    assert panel.locator(".littlebaby img").count() >= 2
    picture(looked, panel, "panel-inside", tmp_path)

    # take it along
    button("info").click()
    button("Zip").click()
    with looked.expect_download() as loaded:
        panel.locator("a.lb-zip").click()
    with zipfile.ZipFile(loaded.value.path()) as archive:
        assert f"models/model_{run.name}.json" in archive.namelist()

    # delete asks
    button("delete").click()
    button("Delete …").click()
    looked.wait_for_selector(".lb-question:has-text('Delete these')")
    button("Keep").click()
    looked.wait_for_selector(".lb-question", state="detached")
    assert store.files(run.name)
    button("Delete …").click()
    panel.locator("button.mod-danger").click()
    looked.wait_for_selector(".lb-message:has-text('files deleted')")
    assert not store.files(run.name) and {run.name for run in lb.list(home)} == before
    assert not looked.errors


def picture(looked, panel, name, tmp_path):
    """The panel as it is seen, and where pictures are asked for also there"""
    looked.screenshot(path=tmp_path / f"{name}.png")
    if folder := os.environ.get("LITTLEBABY_PICTURES"):
        from PIL import Image

        panel.locator(".lb-folder input").evaluate("box => box.value = '~/baby'")
        panel.evaluate("panel => panel.scrollIntoView(true)")
        looked.mouse.move(0, 0)
        box, view = panel.bounding_box(), looked.locator(".jp-WindowedPanel-outer").bounding_box()
        box["height"] = min(box["y"] + box["height"], view["y"] + view["height"]) - box["y"]
        looked.screenshot(path=tmp_path / f"{name}-alone.png", clip=box)
        Image.open(tmp_path / f"{name}-alone.png").convert("RGB").quantize(256).save(Path(folder) / f"{name}.png", optimize=True)
