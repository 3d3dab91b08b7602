"""Runs as text: the card of one run, which `info` and the end of a training show, and the list of all runs."""
from collections.abc import Sequence
from typing import Any

from ..check.preflight import GOOD_RATIO
from ..runs.store import brief
from ..text.overlap import SPAN
from . import formatting
from .formatting import format_bytes, format_duration, format_number

SAMPLES = 5          # evaluations in the history of losses


def card(info: dict[str, Any]) -> str:
    """The card of a run. info: from plans.info, {"guid", "config", "report", "completion", "resumable", "in_use", "checkpoint", "files"}"""
    cfg, report = info["config"], info["report"] or {}
    lines = facts(report, report["figures"]) if report else []
    lines.append(("files", "\n".join(f"{format_bytes(file['bytes']):>8}  {file['path']}" for file in info["files"])))
    head = f"{info['guid']}  {state(report, info['in_use'], info['resumable'])}\n{shape(cfg)}"
    if info["resumable"]:
        head += f"\n`littlebaby train --resume {brief(info['guid'])}` continues from step {info['checkpoint']:,}"
    tail = f"completion\n\n{info['completion'].strip()}" if info["completion"] else ""
    return "\n\n".join(filter(None, [head, formatting.align_pairs(lines), loss_history(report.get("evaluations", [])), tail]))


def state(report: dict[str, Any], in_use: bool, resumable: bool) -> str:
    """The state of a run in words: "finished", "interrupted, resumable", "killed, resumable", "running", ..."""
    reason = "running" if in_use else report.get("stop_reason") or ("killed" if report else "")
    return f"{reason}, resumable" if resumable else reason


def shape(cfg: dict[str, Any]) -> str:
    """The model in one line"""
    return (f"{cfg['c_attention']} + {cfg['c_network']}, {cfg['n_layers']} layers of {cfg['n_emb']}, {cfg['n_heads']} heads, "
            f"context of {cfg['n_ctx']} tokens, {cfg['c_norm']} ({cfg['c_sequence']}), positions {cfg['c_position']}")


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
    frozen = f", {counts['frozen']:,} of them frozen" if counts["frozen"] else ""
    parts = ", ".join(f"{part} {format_number(n)}" for part, n in figures["parts"].items() if n)
    lines = [("parameters", f"{counts['total']:,}{frozen}: {parts}")]
    if figures["train_loss"] is not None:
        lines.append(("training loss", f"{figures['train_loss']:.4f} nats per token at the end"))
    if loss is not None:
        above = f"; {loss / floor:.2f} x the lowest possible loss, {floor:.4f}" if floor else ""
        lines.append(("validation loss", f"{loss:.4f} nats per token at its lowest, step {report['best_step']:,}; "
                                         f"{figures['bits_per_character']:.3f} bits per character{above}"))
    if report["evaluations"][-1:] and (load := report["evaluations"][-1]["load"]):
        lines.append(("experts", "share of the latest tokens, by layer: " + "; ".join(expert_shares(layer) for layer in load)))
    if not figures["tokens"]:
        return [*lines, ("compute", f"{format_number(figures['flops_per_token'])} FLOPs per token")]
    lines += [("tokens", f"{figures['tokens']:,} in training, {format_number(figures['tokens_per_parameter'])} per parameter; about "
                         f"{GOOD_RATIO} are compute-optimal"),
              ("compute", f"{format_number(figures['flops_per_token'])} FLOPs per token, {format_number(figures['flops'])} in total"),
              ("time", f"{format_duration(figures['seconds'])} at {figures['tokens_per_second']:,.0f} tokens/s")]
    if environment:
        peak = f", {format_bytes(environment['peak_memory'])} at most in the whole process" if environment["peak_memory"] else ""
        lines += [("memory", f"about {format_bytes(figures['memory'])} for a step{peak}"),
                  ("device", f"{environment['device']}, {environment['threads']} worker threads")]
    if figures["longest_overlap"] is not None:
        share = figures["overlap_share"]
        verbatim = f"; {share:.0%} of all stretches of {SPAN} characters are verbatim" if share is not None else ""
        lines.append(("memorized", f"longest verbatim copy from the training text {figures['longest_overlap']:,} characters{verbatim}"))
    if marks := report["marks"]:
        lines.append(("grammar", nursery_marks(**marks)))
    return lines


def nursery_marks(words: float, sentences: float, stories: float) -> str:
    """How much of a completion follows the nursery's grammar"""
    return (f"correct in the completion: {words:.1%} of the words, {sentences:.0%} of the sentences where they occur, "
            f"{stories:.0%} of the stories as a whole")


def expert_shares(load: Sequence[int]) -> str:
    """The share of a layer's tokens that each expert received"""
    return " ".join(f"{n / max(sum(load), 1):.0%}" for n in load) or "dense"


def loss_history(rows: Sequence[dict[str, Any]]) -> str:
    """Losses and samples of SAMPLES evaluations of a run, including the first and the last"""
    if not rows:
        return ""
    number = lambda value: "-" if value is None else f"{value:.3f}"
    shown = [rows[i * (len(rows) - 1) // max(1, min(SAMPLES, len(rows)) - 1)] for i in range(min(SAMPLES, len(rows)))]
    return formatting.align_columns([("step", "train loss", "valid loss", "sample"), *(
        (f"{row['step']:,}", number(row["train_loss"]), number(row["valid_loss"]), " ".join(row["sample"].split())[:80]) for row in shown)])


def run_list(runs: Sequence[Any]) -> str:
    """All runs, one line each. runs: from Workspace.list"""
    if not runs:
        return "no runs yet; `littlebaby train` makes one"
    rows = [("name", "begun", "model", "text", "parameters", "valid loss", "state", "files")]
    for run in runs:
        cfg, report = run.config, run.report
        figures = report and report.figures
        loss = report and report.best_valid_loss
        rows.append((run.name, f"{run.time.astimezone():%Y-%m-%d %H:%M}", f"{cfg.c_attention} + {cfg.c_network}" if cfg else "?",
                     report.input.name if report and report.input else "", format_number(figures.parameters.total) if figures else "-",
                     "-" if loss is None else f"{loss:.3f}",
                     "damaged" if run.damaged else state(vars(report) if report else {}, run.in_use, run.resumable),
                     format_bytes(run.bytes)))
    return "\n".join([formatting.align_columns(rows), *(line for run in runs for line in run.damaged)])
