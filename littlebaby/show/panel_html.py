"""HTML and PNGs for the panel: the cost of a run, the architecture, the loss curve."""
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..check.preflight import GOOD_RATIO, Preflight, parameters_by_part
from ..model import gpt
from ..runs.settings import Config
from ..training.loop import Step
from .card import CURVE, facts, shape, state
from .charts import FLOOR, GRAY, INK, PALE, TRAIN, VALID, plainly, png, scale
from .formatting import format_bytes, format_duration, format_number, plural
from .progress import marks_in_words

PARTS = dict(embedding="#7a9e9f", attention="#3f7fb5", network="#e0a458", norms="#b8b8b8", head="#8e6c8a")
QUIET = "color:var(--jp-ui-font-color2,#66727f)"
ROUND = "round,pad=0,rounding_size=0.2"
WRONG = "color:#c8442b"
# a widget of ipywidgets is as wide as the longest line that it can have, unless it is told that it may be narrower
STYLE = ("<style>.lb-panel .widget-html,.lb-panel .widget-html-content{min-width:0;max-width:100%}"
         # ipywidgets writes the number of files behind the words on a button of FileUpload: "upload a file (0)"; the empty text after the
         # slash keeps the words from being read aloud twice
         ".lb-upload{font-size:0 !important}.lb-upload i{font-size:var(--jp-widgets-font-size)}"
         ".lb-upload::after{content:'upload a file';content:'upload a file'/'';font-size:var(--jp-widgets-font-size)}</style>")
SHADED = "background:rgba(63,127,181,0.22);border-radius:3px;padding:1px 2px"
READ = ("font-family:var(--jp-content-font-family,system-ui,sans-serif);font-size:14px;line-height:1.55;white-space:pre-wrap;"
        "overflow-wrap:break-word;max-width:76ch;margin:4px 0 10px")


# the cost of a training

def cost_tiles(about: Preflight, busy: str = "") -> str:
    """A Preflight as tiles. busy: what is still being measured"""
    time, speed, note = "not measured", about.tokens_per_second, ""
    if about.seconds is not None and speed is not None:
        time, note = format_duration(about.seconds), f"at {format_number(speed)} tokens/s"
    elif busy:
        time, note = "…", busy
    epochs = about.tokens / about.train_tokens
    times = f"{epochs:,.1f}" if epochs >= 0.05 else "less than 0.1"
    tiles = [("parameters", format_number(about.total), f"{about.frozen:,} of them frozen" if about.frozen else f"{about.total:,}"),
             ("estimated time", time, note),
             ("memory", format_bytes(about.memory), f"{format_bytes(about.memory_parts['activations'])} of it for activations"),
             ("compute", f"{format_number(about.flops)} FLOPs", f"{format_number(about.flops_per_token)} per token"),
             ("steps", f"{about.steps:,}", f"of {about.tokens_per_step:,} tokens; {times} times the text"),
             ("tokens per parameter", format_number(about.tokens_per_parameter),
              f"large models are best for their compute with about {GOOD_RATIO}")]
    boxes = "".join(f'<div style="border:1px solid var(--jp-border-color2,{PALE});border-radius:6px;padding:6px 10px;line-height:1.35">'
                    f'<div style="font-size:11px;{QUIET}">{name}</div><div style="font-size:17px;font-weight:600">{value}</div>'
                    f'<div style="font-size:11px;{QUIET}">{note or "&nbsp;"}</div>{data_ratio_bar(about) if "per" in name else ""}</div>'
                    for name, value, note in tiles)
    notes = "".join(f'<div style="{WRONG};font-size:12px;line-height:1.4">{escape(line)}</div>' for line in about.warnings)
    return (f'<div style="display:grid;grid-template-columns:1fr 1fr;gap:6px">{boxes}</div>{parameter_bar(about.parts)}'
            f'<div style="font-size:11px;{QUIET}">{escape(about.device)}</div>{notes}')


def data_ratio_bar(about: Preflight) -> str:
    """A bar of tokens per parameter, full at the compute-optimal ratio"""
    share = min(1, about.tokens_per_parameter / GOOD_RATIO)
    return (f'<div style="height:4px;border-radius:2px;background:{PALE};margin-top:3px"><div style="height:4px;border-radius:2px;'
            f'width:{share:.0%};background:{FLOOR if share == 1 else PARTS["network"]}"></div></div>')


def parameter_bar(counts: dict[str, int]) -> str:
    """Parameters by part as one bar, and its legend"""
    total = sum(counts.values()) or 1
    bar = "".join(f'<div style="width:{n / total:.2%};background:{PARTS[part]}"></div>' for part, n in counts.items())
    legend = " ".join(f'<span style="white-space:nowrap"><span style="color:{PARTS[part]}">■</span> {part} {format_number(n)}</span>'
                      for part, n in counts.items() if n)
    return (f'<div style="display:flex;height:8px;border-radius:4px;overflow:hidden;margin-top:9px">{bar}</div>'
            f'<div style="font-size:11px;line-height:1.5;{QUIET}">{legend}</div>')


# the architecture

def architecture(cfg: Config) -> bytes:
    """The architecture from bottom to top, PNG bytes: a block with its residual stream, the number of blocks, the name of each part"""
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle, FancyBboxPatch

    counts = parameters_by_part(gpt.params(cfg))
    figure = Figure(figsize=(2.5, 4.1), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 10), ylim=(0, 16.4))
    axes.set_axis_off()

    def box(y, part, name, more=""):
        axes.add_patch(FancyBboxPatch((2.7, y), 6.5, 1.0, ROUND, fc=PARTS[part], ec="none", zorder=2))
        axes.text(5.95, y + 0.47, f"{name}  {more}".strip(), ha="center", va="center", fontsize=7, zorder=3,
                  color=INK if part == "norms" else "white")

    def line(*points, tip=False):
        x, y = zip(*points)
        axes.plot(x, y, color=GRAY, lw=0.9, zorder=1, solid_joinstyle="round")
        if tip:
            axes.annotate("", (x[-1], y[-1]), (x[-1], y[-1] - 0.1), arrowprops=dict(arrowstyle="-|>", color=GRAY, lw=0.9))

    def plus(y):
        axes.add_patch(Circle((1.5, y), 0.36, fc="white", ec=GRAY, lw=0.9, zorder=3))
        line((1.28, y), (1.72, y))
        axes.plot([1.28, 1.72], [y, y], color=GRAY, lw=0.9, zorder=4)
        axes.plot([1.5, 1.5], [y - 0.22, y + 0.22], color=GRAY, lw=0.9, zorder=4)

    def sublayer(y, part, name, more):
        """A part beside the residual stream, added to it; the norm is before the part (pre) or after the sum (post)"""
        if cfg.c_sequence == "pre":
            box(y, "norms", cfg.c_norm)
            box(y + 1.5, part, name, more)
            line((1.5, y - 0.45), (5.95, y - 0.45), (5.95, y + 3.0), (1.9, y + 3.0))
            plus(y + 3.0)
        else:
            box(y, part, name, more)
            line((1.5, y - 0.45), (5.95, y - 0.45), (5.95, y + 1.45), (1.9, y + 1.45))
            plus(y + 1.45)
            axes.add_patch(FancyBboxPatch((0.6, y + 2.2), 1.8, 0.8, ROUND, fc=PARTS["norms"], ec="none", zorder=3))
            axes.text(1.5, y + 2.58, "norm", ha="center", va="center", fontsize=6, color=INK, zorder=4)

    axes.text(5.95, 0.4, f"context of {cfg.n_ctx:,} tokens", ha="center", va="center", fontsize=7, color=GRAY)
    box(1.0, "embedding", "embedding", f"{format_number(cfg.n_vocab)} × {cfg.n_emb}")
    where = "" if cfg.c_position == "none" else f"positions: {cfg.c_position}"
    axes.text(5.95, 2.35, where, ha="center", va="center", fontsize=6.5, color=GRAY)
    axes.add_patch(FancyBboxPatch((0.5, 2.75), 9.1, 8.75, ROUND, fc="#f5f7f9", ec=PALE, lw=0.8, zorder=0))
    sublayer(3.8, "attention", cfg.c_attention, plural(cfg.n_heads, "head"))
    sublayer(8.0, "network", cfg.c_network, plural(cfg.n_experts, "expert") if cfg.c_network == "moe" else "")
    axes.text(9.35, 11.15, f"× {cfg.n_layers}", ha="right", va="center", fontsize=9, color=INK, weight="bold")
    line((2.7, 1.5), (1.5, 1.5), (1.5, 12.6), (2.7, 12.6))
    if cfg.c_sequence == "pre" or cfg.b_norm_last:
        box(12.1, "norms", cfg.c_norm)
    else:
        line((2.7, 12.6), (5.95, 12.6), (5.95, 13.6))
    line((5.95, 13.1), (5.95, 15.3), tip=True)
    box(13.6, "embedding" if cfg.b_tied else "head", "head",
        "= embedding" if cfg.b_tied else f"{cfg.n_emb} × {format_number(cfg.n_vocab)}")
    axes.text(5.95, 15.7, "logits of the next token", ha="center", va="center", fontsize=7, color=GRAY)
    axes.text(0.5, 16.0, f"{format_number(sum(counts.values()))}", ha="left", va="center", fontsize=8, color=INK, weight="bold")
    axes.text(0.5, 15.5, "parameters", ha="left", va="center", fontsize=5.5, color=GRAY)
    return png(figure, 200)


# the losses

class LossHistory:
    """The losses of a run so far, of `school` its rewards, and their picture; of a long run every n-th step is kept, at most MOST points.

    floor: the lowest possible loss, where it is known      rows: evaluations that the report of a resumed run already has
    """
    MOST = 2000

    def __init__(self, floor: float | None = None, rows: Iterable = ()) -> None:
        self.floor, self.rows, self.every = floor, list(rows), 1
        self.points = list[tuple[int, float, float]]()           # (step, loss, running mean)
        self.mean: float | None = None
        self.what = "loss"

    def step(self, event: Step) -> None:
        if event.skipped:
            return
        self.what = "reward" if "reward" in event.measures else "loss"
        value = event.measures.get("reward", event.loss)
        self.mean = value if self.mean is None else 0.95 * self.mean + 0.05 * value
        if event.step % self.every == 0:
            self.points.append((event.step, value, self.mean))
        if len(self.points) > self.MOST:
            self.every *= 2
            self.points = [point for point in self.points if point[0] % self.every == 0]

    def picture(self, total: int) -> bytes:
        """PNG bytes; `total`: steps of the whole run"""
        return png(self.draw(total), 110)

    def draw(self, total: int) -> Any:
        """The picture as a matplotlib Figure"""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.6, 3.1), facecolor="white", layout="constrained")
        axes = figure.subplots()
        step, loss, mean = np.array(self.points or np.zeros((0, 3)), float).T
        at = np.array([row.step for row in self.rows], float)
        valid = np.array([np.nan if row.valid_loss is None else row.valid_loss for row in self.rows], float)
        axes.plot(step, loss, color=TRAIN, lw=0.6, alpha=0.35)
        axes.plot(step, mean, color=TRAIN, lw=1.6)
        axes.plot(at, valid, "o-", color=VALID, lw=1.6, ms=3.5)
        line_name(axes, "training" if self.what == "loss" else "mean over steps", TRAIN, "center")
        if len(valid) and np.isfinite(valid[-1]):
            line_name(axes, f"validation, now {valid[-1]:.3f}", VALID, "right")
        if self.floor:
            axes.axhline(self.floor, color=FLOOR, lw=1.2, ls=(0, (6, 3)))
            axes.annotate(f"lowest possible loss, {self.floor:.3f}", (0.01, self.floor), xycoords=("axes fraction", "data"),
                          xytext=(0, 4), textcoords="offset points", color=FLOOR, fontsize=9)
        if self.what == "loss":
            scale(axes, np.concatenate([mean, valid, loss, [self.floor or np.nan]]))
        axes.set_xlim(0, max(total, 1))
        axes.xaxis.set_major_formatter(lambda value, _: format_number(value) if value else "0")
        axes.set_xlabel("step", color=GRAY, fontsize=9)
        plainly(axes, "loss (nats per token)" if self.what == "loss" else "reward")
        return figure


def samples_so_far(rows: Sequence) -> str:
    """The sample of each evaluation, the newest first"""
    samples = "".join(f'<div style="margin-bottom:7px"><span style="font-size:11px;{QUIET}">step {row.step:,} · {judged(row)}</span>'
                      f'<div style="font-family:monospace;font-size:12px;line-height:1.4;overflow-wrap:break-word">'
                      f'{escape(" ".join(row.sample.split()))}</div></div>' for row in reversed(rows))
    return f'<div class="lb-growing" style="max-height:340px;overflow-y:auto">{samples or hint("samples will appear here")}</div>'


def judged(row: Any) -> str:
    """An evaluation in a few words: its loss, with a star if it is the best, and the share of correct stories; of school the reward"""
    measures = dict(row.measures or {})                          # of an event or of a record
    if measures.get("reward") is not None:
        return f"reward {measures['reward']:.3f}" + (f" · KL {measures['kl']:.3f}" if measures.get("kl") is not None else "")
    loss, marks = row.train_loss if row.valid_loss is None else row.valid_loss, dict(row.marks or {})
    correct = f" · {marks_in_words(marks)}" if "stories" in marks else ""
    return ("" if loss is None else f"loss {loss:.3f}") + " ★" * row.best + correct


def run_summary(run: Any) -> str:
    """The chosen run in a few lines: model, results, last sample"""
    if not run.config or not run.report:
        return hint("; ".join(run.damaged) or "there is no report yet")
    cfg, report = run.config, run.report
    last_sample = next((row.sample for row in reversed(report.evaluations) if row.sample), "")
    lines = [f"{plural(cfg.n_layers, 'layer')} of {cfg.n_emb}"
             + (f", {format_number(report.figures.parameters.total)} parameters" if report.figures else ""),
             f"{report.input.name if report.input else 'no text'}, {run.time.astimezone():%d %B %Y, %H:%M}",
             f"validation loss {report.best_valid_loss:.4f} at step {report.best_step:,}" if report.best_valid_loss else ""]
    sample = f'<div style="font-family:monospace;font-size:11px;line-height:1.35">{escape(" ".join(last_sample.split())[:120])}</div>'
    return hint(" · ".join(filter(None, lines))) + (sample if last_sample else "")


# a run that ended

def story(text: str) -> str:
    """The completion at the end of a training, as text to be read"""
    if not text.strip():
        return ""
    return f'<div class="lb-story" style="{READ}">{escape(text.strip())}</div>'


def completion(prompt: str, text: str) -> str:
    """A prompt, shaded, and its completion"""
    legend = f'<div style="font-size:11px;{QUIET}"><span style="{SHADED}">prompt</span> completion</div>' if prompt else ""
    shaded = f'<span class="lb-given" style="{SHADED}">{escape(prompt)}</span>' if prompt else ""
    return f'{legend}<div class="lb-printed" style="{READ};max-height:600px;overflow:auto">{shaded}{escape(text)}</div>'


def remarks(report: dict[str, Any] | None) -> str:
    """What the curves of a run mean, a line for each sentence"""
    lines = "".join(f"<div>{escape(remark)}</div>" for remark in (report or {}).get("remarks", []))
    return f'<div class="lb-remarks" style="font-size:13px;line-height:1.45;max-width:76ch">{lines}</div>' if lines else ""


def card(info: dict[str, Any]) -> str:
    """The card of a run, its files folded away. info: from plans.info"""
    report = info["report"] or {}
    pairs = facts(report, report["figures"]) if report else []
    rows = "".join(f'<div style="{QUIET}">{escape(name)}</div><div style="min-width:0">{escape(value)}</div>' for name, value in pairs
                   if name != CURVE)                             # the remarks stand under the picture
    next_step = f"Resume continues from step {info['checkpoint']:,}. " if info["resumable"] else ""
    size = format_bytes(sum(file["bytes"] for file in info["files"]))
    return (f'<div class="lb-card" style="font-size:12px;line-height:1.45;overflow-wrap:break-word;max-width:860px">'
            f'<div style="font-size:13px"><b>{escape(info["guid"])}</b>, {escape(state(report, info["in_use"], info["resumable"]))}</div>'
            f'<div>{next_step}{escape(shape(info["config"]))}</div>'
            f'<div style="display:grid;grid-template-columns:max-content minmax(0,1fr);gap:2px 14px;margin:6px 0">{rows}</div>'
            f'<details class="lb-files"><summary style="cursor:pointer">{plural(len(info["files"]), "file")}, {size}</summary>'
            f"{file_list((file['path'], file['bytes']) for file in info['files'])}</details></div>")


def file_list(files: Iterable[tuple[Any, int]]) -> str:
    """(path, bytes) of files as lines; a long path may break after a slash"""
    rows = "".join(f'<div style="text-align:right;{QUIET}">{format_bytes(size)}</div>'
                   f'<div style="min-width:0">{breaking(str(path))}</div>' for path, size in files)
    return (f'<div style="display:grid;grid-template-columns:max-content minmax(0,1fr);gap:0 12px;font-family:monospace;font-size:11px;'
            f'line-height:1.5">{rows}</div>')


def breaking(text: str) -> str:
    """A text in which a path may break after a slash"""
    return re.sub(r"([/\\])", r"\1<wbr/>", escape(text))


def question(text: str, files: Sequence) -> str:
    """A question before files are deleted. files: with path and bytes"""
    return f'<div class="lb-question" style="margin:2px 0 4px">{escape(text)}</div>{file_list((each.path, each.bytes) for each in files)}'


# texts

def hint(text: str) -> str:
    """A text in small gray letters"""
    return f'<div style="font-size:12px;line-height:1.4;{QUIET}">{escape(text)}</div>'


def notice(text: str) -> str:
    """A small text that is no error, but must be seen"""
    return f'<div class="lb-notice" style="font-size:12px;line-height:1.4;font-weight:600">{escape(text)}</div>' if text else ""


def message_html(text: str, wrong: bool = False) -> str:
    """A message, its line breaks kept; `wrong`: an error"""
    lines, colour = "<br/>".join(map(breaking, text.splitlines())), WRONG if wrong else ""
    return f'<div class="lb-message" style="line-height:1.45;overflow-wrap:break-word;{colour}">{lines}</div>' if text else ""


def download(path: Path, content: str) -> str:
    """A link that contains a zip's bytes in base64, for a browser on another machine"""
    return (f'<a class="lb-zip" download="{escape(path.name)}" href="data:application/zip;base64,{content}" style="text-decoration:'
            f'underline">download {breaking(path.name)}</a><div style="font-size:12px;line-height:1.4;{QUIET}">'
            f"{format_bytes(len(content) * 3 // 4)}, also at {breaking(str(path))}</div>")


def line_name(axes: Any, text: str, color: str, where: str) -> None:
    """Write the name of a line in its colour above the axes, so that it covers neither lines nor ticks. where: center or right"""
    axes.set_title(text, loc=where, fontsize=9, color=color)
