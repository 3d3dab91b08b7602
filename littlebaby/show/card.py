"""Runs as text: the card of one run, which `info` and the end of a training show, and the list of all runs."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..arrays.tree import size
from ..check.preflight import GOOD_RATIO
from ..model import gpt
from ..runs.shipped import alias
from ..runs.store import resume_hint
from ..text.overlap import SPAN
from . import formatting, school
from .formatting import format_bytes, format_duration, format_number, percent, plural

SAMPLES = 5          # evaluations that a card shows
CURVE = "curve"      # name of the line on what the curves mean


def card(info: dict[str, Any], root: Path | None = None) -> str:
    """The card of a run. info: from plans.info, {"guid", "config", "report", "completion", "resumable", "in_use", "checkpoint", "files"}

    root: the folder of its workspace, if it is known
    """
    cfg, report = info["config"], info["report"] or {}
    lines = facts(report, report["figures"]) if report else []
    lines.append(("files", "\n".join(f"{format_bytes(file['bytes']):>8}  {file['path']}" for file in info["files"])))
    head = f"{info['guid']}  {state(report, info['in_use'], info['resumable'])}\n{shape(cfg)}"
    if info["resumable"]:
        head += f"\n{resume_hint(info['guid'], root, info['checkpoint'])}"
    tail = f"completion\n\n{info['completion'].strip()}" if info["completion"] else ""
    return "\n\n".join(filter(None, [head, formatting.align_pairs(lines), loss_history(report.get("evaluations", [])), tail]))


def state(report: dict[str, Any], in_use: bool, resumable: bool) -> str:
    """The state of a run in words: "finished", "interrupted, resumable", "killed, resumable", "running", ..."""
    reason = "running" if in_use else report.get("stop_reason") or ("killed" if report else "")
    return f"{reason}, resumable" if resumable else reason


def shape(cfg: dict[str, Any]) -> str:
    """The model in one line"""
    return (f"{cfg['c_attention']} + {cfg['c_network']}, n_layers {cfg['n_layers']}, n_emb {cfg['n_emb']}, n_heads {cfg['n_heads']}, "
            f"n_ctx {cfg['n_ctx']}, norm {cfg['c_norm']} ({cfg['c_sequence']}), position {cfg['c_position']}")


def facts(report: dict[str, Any], figures: dict[str, Any] | None) -> list[tuple[str, str]]:
    """(name, value) lines of a report: training text, results, cost"""
    lines = []
    if text := report["input"]:
        lines.append(("text", f"{text['name']}, {format_bytes(text['bytes'])}: {report['train_tokens']:,} training tokens, "
                              f"{report['valid_tokens']:,} validation tokens; {report['tokenizer']} tokenizer, vocabulary of "
                              f"{report['vocabulary']:,}"))
    if report["base"]:
        lines.append(("base", report["base"]))
    if report["origin"]:
        tokenizer = f"{report['tokenizer']} tokenizer, vocabulary of {report['vocabulary']:,}" if report["tokenizer"] else "no tokenizer"
        lines.append(("imported", f"from {report['origin']}; {tokenizer}"))
    return lines + results(report, figures) if figures else lines


def results(report: dict[str, Any], figures: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, value) lines of the final figures"""
    counts, loss, floor, environment = figures["parameters"], figures["valid_loss"], report["nursery_floor"], report["environment"]
    learned = school.facts(report) if report.get("school") else []
    frozen = f", {counts['frozen']:,} of them frozen" if counts["frozen"] else ""
    parts = ", ".join(f"{part} {format_number(n)}" for part, n in figures["parts"].items() if n)
    lines = [*learned, ("parameters", f"{counts['total']:,}{frozen}: {parts}")]
    if figures["train_loss"] is not None:
        lines.append(("training loss", f"{figures['train_loss']:.4f} nats per token at the end of training"))
    if loss is not None:
        above = f"; {loss / floor:.2f} times the lowest possible loss, {floor:.4f}" if floor else ""
        lines.append(("validation loss", f"{loss:.4f} nats per token at the best step, {report['best_step']:,}; "
                                         f"{figures['bits_per_character']:.3f} bits per character{above}"))
    if report["remarks"]:
        lines.append((CURVE, "\n".join(report["remarks"])))
    if report["evaluations"][-1:] and (load := report["evaluations"][-1]["load"]):
        lines.append(("experts", "share of the latest tokens that each expert received, by layer: "
                      + "; ".join(expert_shares(layer) for layer in load)))
    if not figures["tokens"]:
        return [*lines, ("compute", f"{format_number(figures['flops_per_token'])} FLOPs per token")]
    lines += [("tokens", f"{figures['tokens']:,} in training, {format_number(figures['tokens_per_parameter'])} per parameter; large "
                         f"models are best for their compute with about {GOOD_RATIO}"),
              ("compute", f"{format_number(figures['flops_per_token'])} FLOPs per token, {format_number(figures['flops'])} in total"),
              ("time", f"{format_duration(figures['seconds'])} at {figures['tokens_per_second']:,.0f} tokens/s")]
    if environment:
        peak = f", {format_bytes(environment['peak_memory'])} peak memory of the process" if environment["peak_memory"] else ""
        lines += [("memory", f"about {format_bytes(figures['memory'])} for a step (estimate){peak}"),
                  ("device", f"{environment['device']}, {plural(environment['threads'], 'worker thread')}")]
    if figures["longest_overlap"] is not None:
        lines.append(("memorized", memorized(figures["longest_overlap"], figures["copied_share"])))
    if (judged := report["judged"]) and judged["marks"]:
        name, value = nursery_marks(judged["marks"])
        lines.append((name, f"of {judged['samples']} texts at temperature {judged['temperature']:g}, {percent(judged['distinct'])} of them "
                            f"distinct: {value}"))
    elif marks := report["marks"]:
        lines.append(nursery_marks(marks))
    return lines


def memorized(longest: int, share: float | None) -> str:
    """How much of a completion was copied from the training text; share: of its characters in passages of SPAN or more"""
    longer = f"; {share:.0%} of the completion lies in copied passages of {SPAN} or more characters" if share is not None else ""
    return f"longest passage copied from the training text: {plural(longest, 'character')}{longer}"


def nursery_marks(marks: dict[str, Any]) -> tuple[str, str]:
    """(name, value) line: how much of generated texts is correct. marks: a records.Marks or records.SumMarks as a dict"""
    if "answers" in marks:
        return "arithmetic", (f"{percent(marks['answers'])} of the answers are right, {percent(marks['steps'])} of the steps, "
                              f"{marks['mean_steps']:.1f} steps on average")
    return "grammar", (f"correct by the grammar: {percent(marks['words'])} of words, {percent(marks['sentences'])} of sentences, "
                       f"{percent(marks['stories'])} of stories" + first_mistakes(marks.get("mistakes") or {}))


def first_mistakes(mistakes: dict[str, int]) -> str:
    """In how many stories the first mistake is of each kind, the most frequent kind first; "" where there is none"""
    what = dict(who="wrong name or animal", what="wrong toy or food", color="wrong colour", other="something else")
    found = [f"{what[kind]} {n}" for kind, n in sorted(mistakes.items(), key=lambda each: -each[1]) if n]
    return f"; first mistakes in the others: {', '.join(found)}" if found else ""


def expert_shares(load: Sequence[int]) -> str:
    """The share of a layer's tokens that each expert received"""
    return " ".join(f"{n / max(sum(load), 1):.0%}" for n in load) or "dense"


def loss_history(rows: Sequence[dict[str, Any]]) -> str:
    """Losses and samples at SAMPLES evaluations of a run, the first and the last among them"""
    if not rows:
        return ""
    number = lambda value: "-" if value is None else f"{value:.3f}"
    shown = [rows[i * (len(rows) - 1) // max(1, min(SAMPLES, len(rows)) - 1)] for i in range(min(SAMPLES, len(rows)))]
    if any(row.get("measures") for row in rows):
        return formatting.align_columns([("step", "reward", "KL", "entropy", "sample"), *(
            (f"{row['step']:,}", *(number(row["measures"][name]) for name in ("reward", "kl", "entropy")),
             " ".join(row["sample"].split())[:80]) for row in shown if row["measures"])])
    mark = next((name for name in ("stories", "answers") if name in (rows[-1].get("marks") or {})), "")
    correct = lambda row: (percent(row["marks"][mark]) if row["marks"] else "-",) if mark else ()
    return formatting.align_columns([("step", "train loss", "valid loss", *(mark and [f"correct {mark}"]), "sample"), *(
        (f"{row['step']:,}", number(row["train_loss"]), number(row["valid_loss"]), *correct(row), " ".join(row["sample"].split())[:80])
        for row in shown)])


def parameters(run: Any) -> str:
    """The number of parameters of a run: that of its report, or of one that has not ended that of its config; "-" if it is unknown"""
    if run.report and run.report.figures:
        return format_number(run.report.figures.parameters.total)
    if run.config and run.report and run.report.vocabulary:
        return format_number(size(gpt.params(run.config.replace(n_vocab=run.report.vocabulary))))
    return "-"


def baby_list(babies: Sequence[Any]) -> str:
    """The babies that come with littlebaby, one line each after an empty line and a heading; "" if there are none"""
    rows = [(alias(baby.name), f"{parameters(baby)} parameters", f"{percent(baby.report.judged.marks.stories)} of stories correct")
            for baby in babies]
    return "\n\nbabies that come with littlebaby:\n" + formatting.align_columns(rows) if rows else ""


def run_list(runs: Sequence[Any]) -> str:
    """All runs, one line each. runs: from Workspace.list"""
    if not runs:
        return "no runs yet; `littlebaby train` trains one"
    rows = [("name", "started", "model", "text", "parameters", "nats per token", "bits per character", "state", "files")]
    for run in runs:
        cfg, report = run.config, run.report
        loss, bits = report and report.best_valid_loss, report and report.figures and report.figures.bits_per_character
        rows.append((run.name, f"{run.time.astimezone():%Y-%m-%d %H:%M}", f"{cfg.c_attention} + {cfg.c_network}" if cfg else "?",
                     report.input.name if report and report.input else "", parameters(run),
                     "-" if loss is None else f"{loss:.3f}", "-" if bits is None else f"{bits:.3f}",
                     "damaged" if run.damaged else state(vars(report) if report else {}, run.in_use, run.resumable),
                     format_bytes(run.bytes)))
    return "\n".join([formatting.align_columns(rows), *(line for run in runs for line in run.damaged)])
