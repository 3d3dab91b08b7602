"""How well babies learn, and how fast tokenizers are: `python benchmarks/quality.py [nursery school grown shakespeare ...]`.

Trainings are the product's own, `littlebaby.train`, and stay in the workspace as any run does: `littlebaby info last` shows it.
"""
import argparse
from pathlib import Path
from statistics import median
from time import perf_counter

import turns

import littlebaby as lb
from littlebaby import text as texts
from littlebaby.plans import make_config

REPEATS = 5          # of each tokenizer
MINUTES = 5          # of school


def trained(chosen, input=None, preset=None, **settings):
    """A run's report, the seconds from call to return, the last cell of its row"""
    if chosen.steps:
        settings["n_steps"] = chosen.steps
    turns.wait(chosen.wait)
    before, own = turns.moment(), turns.spent()
    run = lb.train(input=input, preset=preset, **settings)
    after = turns.moment()
    return run.report, after[0] - before[0], turns.load(turns.others([(before, after, turns.spent() - own)]))


def progress(report):
    """Cells that every training has: parameters, steps, seconds spent in them"""
    return f"{report.figures.parameters.total:,} | {report.evaluations[-1].step:,} | {report.figures.seconds:.0f}"


def nursery(chosen, *what):
    """The default run of every seed; `what` else to learn, and with which preset"""
    yield ("seed | parameters | steps | s in steps | s in all | validation loss | floor | ratio | known words | right sentences | "
           "right stories | first mistakes: who, what, color, other | distinct | longest overlap, characters | cores used by others")
    for seed in chosen.seeds:
        report, seconds, load = trained(chosen, *what, seed=seed)
        judged, marks = report.judged, report.judged.marks
        cells = [f"{marks.words:.1%}", f"{marks.sentences:.1%}", f"**{marks.stories:.1%}**", ", ".join(map(str, marks.mistakes.values())),
                 f"{judged.distinct:.0%}", f"{judged.longest_overlap}"]
        loss, floor = report.best_valid_loss, report.nursery_floor
        yield (f"{seed} | {progress(report)} | {seconds:.0f} | {loss:.4f} | {floor:.4f} | **{loss / floor:.3f}** | "
               f"{' | '.join(cells)} | {load}")


def grown(chosen):
    """The preset nursery-grown on three times the text"""
    text = Path("inputs/nursery_3MB_1.txt")
    yield from nursery(chosen, text if text.exists() else lb.nursery("3MB", seed=1), "nursery-grown")


def school(chosen):
    """The default run of every seed, which may exist already, then five minutes of school"""
    yield ("seed | steps of school | right sentences before | after | right stories before | after | most frequent plot before | after | "
           "KL | entropy | distinct | longest overlap before, characters | after | cores used by others")
    for seed in chosen.seeds:
        default = make_config(settings=dict(seed=seed)).model_dump()
        done = [run.name for run in lb.list() if run.has_model and run.config.model_dump() | dict(n_vocab=0) == default]
        base = done[-1] if done else lb.train(seed=seed).guid
        turns.wait(chosen.wait)
        before, own = turns.moment(), turns.spent()
        report = lb.school(base, r_minutes=MINUTES).report
        load = turns.load(turns.others([(before, turns.moment(), turns.spent() - own)]))
        was, now, rows = report.school.before, report.school.after, report.evaluations
        last = rows[max(len(rows) - 2, 0)].measures              # the last row is the mean of few steps
        plots = " | ".join(f"{max(each.marks.plots.values()) / each.samples:.0%}" for each in (was, now))
        yield (f"{seed} | {rows[-1].step:,} | {was.marks.sentences:.1%} | **{now.marks.sentences:.1%}** | {was.marks.stories:.1%} | "
               f"**{now.marks.stories:.1%}** | {plots} | {last.kl:.3f} | {last.entropy:.3f} | {now.distinct:.0%} | {was.longest_overlap} | "
               f"{now.longest_overlap} | {load}")


def shakespeare(chosen):
    """nanoGPT's run for a laptop, of every seed"""
    yield "seed | parameters | steps | s in steps | validation loss | at step | after the last step | cores used by others"
    for seed in chosen.seeds:
        report, _, load = trained(chosen, chosen.data / "tinyshakespeare.txt", "nanogpt-cpu", seed=seed)
        yield (f"{seed} | {progress(report)} | **{report.best_valid_loss:.4f}** | {report.best_step:,} | "
               f"{report.evaluations[-1].valid_loss:.4f} | {load}")


def tokenizers(chosen):
    """Every kind of tokenizer on Tiny Shakespeare"""
    yield "tokenizer | tokens | characters per token | training, s | encode, MB/s | decode, MB/s | cores used by others"
    text = (chosen.data / "tinyshakespeare.txt").read_text()
    megabytes = len(text.encode()) / 1e6
    for kind in texts.KINDS:
        turns.wait(chosen.wait)
        before, own, taken = turns.moment(), turns.spent(), []
        for _ in range(REPEATS):
            clocks = [perf_counter()]
            tokenizer = texts.train(kind, text, 4096)
            clocks.append(perf_counter())
            ids = tokenizer.encode(text)
            clocks.append(perf_counter())
            tokenizer.decode(ids)
            clocks.append(perf_counter())
            taken.append([b - a for a, b in zip(clocks, clocks[1:])])
        train, encode, decode = map(median, zip(*taken))
        load = turns.load(turns.others([(before, turns.moment(), turns.spent() - own)]))
        yield (f"{kind} | {tokenizer.size:,} | {len(text) / len(ids):.2f} | {train:.2f} | {megabytes / encode:.1f} | "
               f"{megabytes / decode:.1f} | {load}")


def sophocles(chosen):
    """Greek, by characters and by pieces of words: 500 steps of the default"""
    yield ("tokenizer | tokens | tokens to learn from | parameters | steps | s in steps | validation loss | bits per character | "
           "at step | bits after the last step | cores used by others")
    for settings in (dict(c_tokenizer="char"), dict(c_tokenizer="bpe", s_vocabulary=1024)):
        report, _, load = trained(chosen, chosen.data / "sophocles.txt", "characters", n_steps=500, s_eval=50, **settings)
        yield (f"{report.tokenizer} | {report.vocabulary:,} | {report.train_tokens:,} | {progress(report)} | "
               f"{report.figures.valid_loss:.3f} | **{report.figures.bits_per_character:.3f}** | {report.best_step:,} | "
               f"{report.evaluations[-1].bits_per_character:.3f} | {load}")


BENCHMARKS = dict(nursery=nursery, school=school, grown=grown, shakespeare=shakespeare, tokenizers=tokenizers, sophocles=sophocles)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(BENCHMARKS), metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where tinyshakespeare.txt and sophocles.txt lie")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of nursery, grown and shakespeare; default 0 1 2")
    parser.add_argument("--steps", type=int, default=0, help="to try this file: so few steps; not for the page")
    chosen = turns.publishing(parser)
    for name in chosen.names:
        rows = BENCHMARKS[name](chosen)
        turns.publish(name, next(rows), rows, chosen.write and not chosen.steps)


if __name__ == "__main__":
    main()
