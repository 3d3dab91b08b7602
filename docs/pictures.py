"""The pictures of docs/pictures.md, made anew: python docs/pictures.py WORKSPACE

Trains a baby on the nursery in WORKSPACE if there is no run yet, sends it to school, finetunes it, makes each page with
littlebaby's own functions and photographs it with a Chromium without a window.
"""
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import littlebaby as lb

HERE = Path(__file__).parent / "pictures"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
SENTENCE = "Once there was a shy mole named Ada. Ada hopped to the lake with a round red kite."
STORY = "Once there was a shy mole named {}. One hot day "
WIDE, TALL = 1060, 5000      # of the window, in pixels


def photograph(page, name, tall=TALL):
    """A page as HERE/NAME.png, cut where it ends or after `tall` pixels"""
    with tempfile.TemporaryDirectory() as folder:
        html, png = page.save(Path(folder) / "page.html"), Path(folder) / "page.png"
        subprocess.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WIDE},{tall}",
                        f"--screenshot={png}", html.as_uri()], check=True, capture_output=True)
        picture = Image.open(png).convert("RGB")
    end = np.flatnonzero((np.asarray(picture) < 255).any((1, 2)))[-1] + 24
    picture.crop((0, 0, WIDE, end)).quantize(256).save(HERE / f"{name}.png", optimize=True)


def main(workspace):
    if BROWSER is None:
        sys.exit("no Chromium was found; install one (Debian: apt-get install chromium)")
    runs = lb.list(workspace)
    first = next((run.name for run in runs if "_" not in run.name), None) or lb.train(path=workspace).guid
    taught = next((run.name for run in runs if run.name.startswith(f"{first}_school")), None)
    taught = taught or lb.school(first, path=workspace, n_steps=150).guid
    for run, name in ((first, "first-run"), (taught, "school")):
        shutil.copy(Path(workspace) / "outputs" / f"chart_{run}.png", HERE / f"{name}.png")
    photograph(lb.microscope(first, SENTENCE, workspace), "microscope")
    photograph(lb.cause(first, STORY.format("Ada"), STORY.format("Ben"), path=workspace), "cause")
    photograph(lb.features(first, path=workspace), "features", 1400)
    photograph(lb.walk("mha"), "walk")
    photograph(lb.walk("mha").break_("queries for keys"), "walk-broken")
    tuned = next((run.name for run in runs if run.name.startswith(f"{first}_finetuned")), None)
    if tuned is None:
        other = Path(workspace) / "inputs" / "indeed.txt"
        other.parent.mkdir(parents=True, exist_ok=True)
        nursery = Path(lb.__file__).parents[1] / "inputs" / "nursery.txt"
        other.write_text(nursery.read_text("utf-8")[:60000].replace("Once", "Long ago").replace(".", " indeed."), "utf-8")
        tuned = lb.finetune(first, other, workspace, n_steps=120).guid
    photograph(lb.diary(first, tuned, path=workspace), "diary")


if __name__ == "__main__":
    main(sys.argv[1])
