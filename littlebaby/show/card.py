"""A run in words: the card that `info` shows and with which a training ends; and all runs in a list."""
from ..check.preflight import GOOD_RATIO
from ..runs.store import brief
from . import formatting
from .formatting import format_bytes, format_duration, format_number

SAMPLES = 5


def card(info):
    """`info`: what plans.info tells of a run, {"guid", "config", "report", "completion", "resumable", "in_use", "checkpoint", "files"}"""
    cfg, report = info["config"], info["report"] or {}
    lines = story(report, report["figures"]) if report else []
    lines.append(("files", "\n".join(f"{format_bytes(file['bytes']):>8}  {file['path']}" for file in info["files"])))
    head = f"{info['guid']}  {state(report, info['in_use'], info['resumable'])}\n{shape(cfg)}"
    if info["resumable"]:
        head += f"\n`littlebaby train --resume {brief(info['guid'])}` goes on from step {info['checkpoint']:,}"
    tail = f"what it writes\n\n{info['completion'].strip()}" if info["completion"] else ""
    return "\n\n".join(filter(None, [head, formatting.align_pairs(lines), loss_history(report.get("evaluations", [])), tail]))


def state(report, in_use, resumable):
    """finished; interrupted, resumable; killed, resumable; at work ..."""
    reason = "at work" if in_use else report.get("stop_reason") or ("killed" if report else "")
    return f"{reason}, resumable" if resumable else reason


def shape(cfg):
    """The model in a line"""
    return (f"{cfg['c_attention']} + {cfg['c_network']}, {cfg['n_layers']} layers of {cfg['n_emb']}, {cfg['n_heads']} heads, "
            f"{cfg['n_ctx']} tokens of context, {cfg['c_norm']} ({cfg['c_sequence']}), positions {cfg['c_position']}")


def story(report, figures):
    """Training data, results, cost"""
    lines = []
    if text := report["input"]:
        lines.append(("text", f"{text['name']}, {format_bytes(text['bytes'])}: {report['train_tokens']:,} tokens to learn from, "
                              f"{report['valid_tokens']:,} to validate; {report['tokenizer']}, {report['vocabulary']:,} tokens"))
    if report["base"]:
        lines.append(("base", report["base"]))
    if report["origin"]:
        lines.append(("imported", f"from {report['origin']}" + (f"; {report['tokenizer']}, {report['vocabulary']:,} tokens" if
                                                                report["tokenizer"] else "; it came without a tokenizer")))
    return lines + results(report, figures) if figures else lines


def results(report, figures):
    """The final figures in lines"""
    counts, loss, floor, around = figures["parameters"], figures["valid_loss"], report["nursery_floor"], report["environment"]
    frozen = f", {counts['frozen']:,} of them frozen" if counts["frozen"] else ""
    parts = ", ".join(f"{part} {format_number(n)}" for part, n in figures["parts"].items() if n)
    lines = [("parameters", f"{counts['total']:,}{frozen}: {parts}")]
    if figures["train_loss"] is not None:
        lines.append(("training", f"{figures['train_loss']:.4f} nats per token at the end"))
    if loss is not None:
        above = f"; {loss / floor:.2f} x the floor, {floor:.4f}" if floor else ""
        lines.append(("validation", f"{loss:.4f} at its best, step {report['best_step']:,}, {figures['bits_per_character']:.3f} bits "
                                    f"per character{above}"))
    if report["evaluations"][-1:] and (load := report["evaluations"][-1]["load"]):
        lines.append(("experts", "the last answers, by layer: " + "; ".join(expert_shares(layer) for layer in load)))
    if not figures["tokens"]:
        return [*lines, ("arithmetic", f"{format_number(figures['flops_per_token'])} FLOPs per token")]
    lines += [("tokens", f"{figures['tokens']:,} seen, {format_number(figures['tokens_per_parameter'])} per parameter; about {GOOD_RATIO} "
                         f"make the best use of arithmetic"),
              ("arithmetic", f"{format_number(figures['flops_per_token'])} FLOPs per token, {format_number(figures['flops'])} in all"),
              ("time", f"{format_duration(figures['seconds'])} at {figures['tokens_per_second']:,.0f} tokens/s")]
    if around:
        peak = f", {format_bytes(around['peak_memory'])} at most in all" if around["peak_memory"] else ""
        lines += [("memory", f"about {format_bytes(figures['memory'])} for a step{peak}"),
                  ("device", f"{around['device']}, {around['threads']} cores at work")]
    if figures["longest_overlap"] is not None:
        share = f"; of its stretches of 50, {figures['overlap_share']:.0%} do" if figures["overlap_share"] is not None else ""
        lines.append(("by heart", f"{figures['longest_overlap']:,} characters in one piece stand word for word in its text{share}"))
    if marks := report["marks"]:
        lines.append(("right", nursery_marks(**marks)))
    return lines


def nursery_marks(words, sentences, stories):
    """How much of a completion follows the nursery's grammar"""
    return (f"of what it writes {words:.1%} of the words, {sentences:.0%} of the sentences where they stand, "
            f"{stories:.0%} of the stories from beginning to end")


def expert_shares(load):
    """The share of a layer's tokens that each expert received"""
    return " ".join(f"{n / max(sum(load), 1):.0%}" for n in load) or "dense"


def loss_history(rows):
    """The losses and samples of a run"""
    if not rows:
        return ""
    number = lambda value: "-" if value is None else f"{value:.3f}"
    shown = [rows[i * (len(rows) - 1) // max(1, min(SAMPLES, len(rows)) - 1)] for i in range(min(SAMPLES, len(rows)))]
    return formatting.align_columns([("step", "train", "valid", "sample"), *(
        (f"{row['step']:,}", number(row["train_loss"]), number(row["valid_loss"]), " ".join(row["sample"].split())[:80]) for row in shown)])


def run_list(runs):
    """All runs, a line each. `runs`: what the store lists"""
    if not runs:
        return "no runs yet; `littlebaby train` makes one"
    rows = [("name", "began", "model", "text", "parameters", "valid", "state", "files")]
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
