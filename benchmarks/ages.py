"""The five babies that come with littlebaby: `python benchmarks/ages.py [3 6 12 24 48]` trains them and puts them into this clone.

Each is an ordinary run: the commands are printed. Its files get the name of the baby, its weights are stored in half precision, and two
figures of its report, the loss and the bits per character, are those of new stories, which are the same for all five.
"""
import argparse
import tempfile
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import littlebaby as lb
from littlebaby.evaluation.text_scores import score_text
from littlebaby.plans.judgement import JUDGED, judgement, nursery_texts
from littlebaby.runs.settings import Config
from littlebaby.runs.shipped import SHIPPED
from littlebaby.runs.store import Workspace
from littlebaby.show import charts
from littlebaby.text import nursery

CLONE = Path(__file__).parents[1]
NEW, NEW_SEED = 60_000, 1001       # characters and seed of the new stories


class Age(NamedTuple):
    size: str                      # of the nursery
    settings: dict[str, Any]       # of train
    school: dict[str, Any]         # of school; {}: none


BABIES = {
    3: Age("30kB", dict(preset="characters", n_layers=1, n_emb=64, n_heads=4, n_ctx=256, n_steps=150, s_eval=15), {}),
    6: Age("100kB", dict(preset="characters", n_layers=2, n_emb=96, n_heads=6, n_steps=500, s_eval=50, r_dropout=0.1), {}),
    # rope_base as in the preset nursery at the time of their training
    12: Age("300kB", dict(preset="nursery", rope_base=10_000, n_layers=2, n_emb=96, n_heads=6, n_steps=700, s_eval=70), {}),
    24: Age("1MB", dict(preset="nursery", rope_base=10_000), {}),
    48: Age("3MB", dict(preset="nursery-grown"), dict(n_steps=150)),
}


def train(age: int, root: Path) -> lb.Run:
    """The run of a baby in the workspace `root`, printed as commands"""
    size, settings, school = BABIES[age]
    text = lb.nursery(size, seed=age, path=root)
    said = lambda options: "".join(f" --{name} {value}" for name, value in options.items())
    print(f"littlebaby nursery --size {size} --seed {age}\nlittlebaby train {text.name}{said(settings)} --seed {age}", flush=True)
    run = lb.train(text, path=root, seed=age, **settings)
    if school:
        print(f"littlebaby school last{said(school)}", flush=True)
        run = lb.school(run.guid, path=root, s_eval=school["n_steps"] // 10, **school)
    return run


def ship(age: int, run: lb.Run) -> None:
    """Write the run into the folders of the clone under the name of its baby"""
    name, home, baby = SHIPPED[f"{age}-months"], Workspace(CLONE), lb.load(run.guid, path=run.root)
    half = {weight: np.float16(array) for weight, array in baby.weights().items()}
    for weight, view in baby.weights().items():
        view[...] = half[weight]                                 # judged is what is shipped
    scores = score_text(baby, nursery.corpus(NEW, NEW_SEED)[0])
    judged = judgement(nursery_texts(baby, "stories", JUDGED), "stories", Workspace(run.root).read_text(run.report.input.name).text)
    held_out = dict(bits_per_character=scores.bits_per_character, valid_loss=scores.nats / scores.tokens)
    home.save_config(name, Config(**{**run.config.model_dump(exclude_unset=True), "c_snapshot": "safetensors"}))
    home.save_tokenizer(name, baby.tokenizer.to_json())
    manifest = Workspace(run.root).load_model(run.guid)[1]
    kinds = {weight: tensor.kind for weight, tensor in manifest.tensors.items()}
    home.save_model(name, half, kinds, {weight: True for weight in kinds}, "safetensors")
    home.save_completion(name, run.completion.model_copy(update=dict(guid=name)), final=True)
    if run.report.base:                                          # of the training and the school together
        first = Workspace(run.root).load_report(run.report.base).figures
        held_out |= {each: getattr(first, each) + getattr(run.report.figures, each) for each in ("tokens", "flops", "seconds")}
        held_out["tokens_per_parameter"] = held_out["tokens"] / run.report.figures.parameters.trainable
    report = run.report.model_copy(update=dict(guid=name, base="", judged=judged, figures=run.report.figures.model_copy(update=held_out)))
    home.save_report(name, report)
    home.save_chart(name, charts.chart(report))
    print(f"{age} months: {scores.bits_per_character:.3f} bits per character, {scores.nats / scores.tokens / log(2):.3f} bits per token, "
          f"{judged.marks}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ages", nargs="*", type=int, choices=[*BABIES, []], default=list(BABIES), metavar="AGE", help="of 3, 6, 12, 24, 48")
    parser.add_argument("--root", type=Path, help="workspace of the trainings [a temporary one]")
    chosen = parser.parse_args()
    for age in chosen.ages:
        with tempfile.TemporaryDirectory() as folder:
            ship(age, train(age, chosen.root or Path(folder)))


if __name__ == "__main__":
    main()
