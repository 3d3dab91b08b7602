"""A training with all files of its run: the loop, checkpoints, the report, and what is written at the end."""
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from math import isfinite, log
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import backend, tree
from ..check import curves
from ..check.preflight import preflight as predict
from ..check.preflight import warnings
from ..errors import BadInput, RunFailed
from ..inference.baby import Baby
from ..inference.sampling import Sampling
from ..runs import records
from ..runs.corpus import Corpus
from ..runs.settings import Config
from ..runs.store import Workspace, resume_hint
from ..show import charts
from ..show.formatting import plural
from ..show.progress import Began, Watcher
from ..text.overlap import copied_share, longest
from ..training import lora
from ..training.checkpoint import state_to_arrays
from ..training.loop import Checkpoint, Done, Evaluation, State, Step, begin
from ..training.loop import train as events
from ..training.mpi import Ranks, launched_ranks
from ..training.parallel import threads
from .generation import generate_completion
from .judgement import FEWER, JUDGED, judgement, marks, nursery_texts
from .model_io import save_weights
from .process_control import (
    Task,
    all_or_none,
    environment,
    interruptible,
    print_to_stderr,
)
from .school_data import Schooling, school_data
from .training_data import (
    Conversations,
    TrainingData,
    conversation_data,
    text_data,
)

MOST_PASSES = 20         # over the training text, without a warning


@dataclass(frozen=True)
class Run:
    """A finished, interrupted or imported run: its name and the contents of its files.

    Attributes:
        guid: Name of the run.
        config: All settings.
        report: Losses, sizes, times and the stop_reason.
        completion: Text that the model generated at the end; None if there is none.
        root: Folder of the workspace.

    >>> run = lb.train("nursery_5kB_0.txt", n_layers=1, n_emb=16, n_ctx=16, n_steps=3, n_completion=20, progress=False)
    >>> run.config.n_layers, len(run.completion.text)
    (1, 20)
    """
    guid: str
    config: Config
    report: records.Report
    completion: records.Completion | None
    root: Path

    def chart(self) -> Path:
        """Path of the picture of the losses, outputs/chart_GUID.png.

        >>> run = lb.train("nursery_5kB_0.txt", n_layers=1, n_emb=16, n_ctx=16, n_steps=3, n_completion=0, progress=False)
        >>> run.chart().suffix
        '.png'
        """
        return Workspace(self.root).path("chart", self.guid)


def run_training(workspace: Workspace, lock: AbstractContextManager[str], baby: Baby, source: Corpus | Conversations | Schooling,
                 report: records.Report, origin: dict, progress: bool | Callable[[Any], object], stop: Callable[[], bool] | None,
                 state: State | None = None, steps: Iterable[tuple] = ()) -> Run:
    """Train a baby from `state` (None: from the start) and write all files of its run.

    The checkpoint is removed last, because a killed run needs it to resume.

    Args:
        lock: Context manager that reserves the run's files for this process; it yields the run's name.
        origin: The input as `remember_input` describes it.
        steps: (step, loss, learning rate, gradient norm) of the steps before `state`.
    """
    cfg, tokenizer, ranks = baby.config, baby.tokenizer, launched_ranks()
    if cfg.batch_size < ranks.n:
        raise BadInput(f"batch_size is {cfg.batch_size}; allowed is at least {ranks.n}, one row for each of the {ranks.n} ranks; did you "
                       f"mean {ranks.n}?")
    saved = state.step if state else None                        # step of the checkpoint on disk, None if there is none
    prepared = {Conversations: conversation_data, Schooling: school_data}
    data = prepared.get(type(source), text_data)(source, cfg, tokenizer)
    state = state or begin(baby, cfg.n_steps or max(1, data.batches.steps(cfg.n_epochs) // cfg.n_accumulate))
    batches = data.batches(baby, state) if callable(data.batches) else data.batches
    report = report.model_copy(update=dict(train_tokens=data.train_tokens, valid_tokens=data.valid_tokens, nursery_floor=data.nats_floor,
                                           environment=environment(cfg)))
    with lock as name, all_or_none(ranks, name), interruptible(stop) as stopped:
        report = report.model_copy(update=dict(guid=name))
        if not state.step:
            workspace.save_config(name, cfg, report.base)
            workspace.save_tokenizer(name, tokenizer.to_json())
        workspace.save_report(name, report)
        watch = progress if callable(progress) else Watcher() if progress else lambda event: None
        watch(Began(name, state.step, state.total, data.nats_floor, start_message(name, baby, report, state, data, ranks),
                    cfg.r_minutes))
        rows, steps, reason = list(report.evaluations), list(steps), ""
        hint = lambda: "" if saved is None else f"; {resume_hint(name, workspace.root, saved)}"
        if ranks.n > 1:
            ranks.broadcast(Task(name, cfg, *state_to_arrays(baby, state), batches, data.valid))
        try:
            if data.judged and not state.step:
                report = with_judgement(report, "before", data.judged(baby))
            for event in events(baby, state, batches, data.valid, stopped, data.start[None], ranks, data.objective):
                if isinstance(event, Evaluation) and data.nursery and cfg.n_sample:
                    found = marks(nursery_texts(baby, data.nursery, FEWER), data.nursery)
                    event = replace(event, marks=found.model_dump() if found else None)
                watch(event)
                if isinstance(event, Step):
                    steps.append((event.step, event.loss, event.rate, event.norm))
                elif isinstance(event, Evaluation):
                    rows.append(records.Evaluation(**report_row(event, data.characters_per_token)))
                    report = report.model_copy(update=dict(evaluations=rows))
                elif isinstance(event, Done):
                    reason = event.reason
                if isinstance(event, Checkpoint) or isinstance(event, Done) and state.step != saved:
                    save_state(workspace, name, baby, state, report, steps, origin)
                    saved = state.step
            done = finish(workspace, name, baby, state, report, reason, steps, source, data)
        except RunFailed as failure:
            if getattr(failure, "whole", True):
                save_state(workspace, name, baby, state, report, steps, origin)
                saved = state.step
            finish(workspace, name, baby, state, report, failure.reason, steps, source, data)
            raise type(failure)(f"{failure}; the run {name} is saved up to step {saved or 0:,}") from None
        except BadInput as failure:                              # the disk is full or was removed
            raise BadInput(f"{failure}{hint()}") from None
        except KeyboardInterrupt:                                # a second Ctrl-C
            if saved is not None:
                print_to_stderr(f"stopped immediately{hint()}")
            raise
        finally:
            if isinstance(watch, Watcher):
                watch.close()
            if isinstance(source, Schooling):
                batches.close()
        if reason != "interrupted" and not cfg.b_keep_last:
            workspace.remove_checkpoint(name)
        return done


def finish(workspace: Workspace, name: str, baby: Baby, state: State, report: records.Report, reason: str, steps: list[tuple],
           source: Corpus | Conversations | Schooling, data: TrainingData) -> Run:
    """Write the best weights, a completion, the picture and the report; the baby keeps its last weights"""
    cfg, last = baby.config, baby.flat.copy()
    if state.best_flat is not None:
        baby.flat[...] = state.best_flat
    kept = lora.merged(baby) if cfg.lora_rank else baby
    if cfg.lora_rank:
        about = dict(base=report.base, lora_rank=cfg.lora_rank, lora_alpha=cfg.lora_alpha, lora_targets=cfg.lora_targets)
        workspace.save_adapters(name, lora.adapters(baby), about)
    save_weights(workspace, name, kept)
    completion = None
    if cfg.n_completion and reason in records.COMPLETE:
        completion = generate_completion(kept, name, data.prompt, Sampling(temperature=0.8), cfg.n_completion, cfg.seed, data.stops,
                                         start=data.start)
        workspace.save_completion(name, completion, final=True)
    if data.judged and reason in records.COMPLETE:
        report = with_judgement(report, "after", data.judged(kept))
    if data.nursery and completion:
        texts = nursery_texts(kept, data.nursery, JUDGED)
        report = report.model_copy(update=dict(judged=judgement(texts, data.nursery, source.text)))
    report = report.model_copy(update=dict(
        ended=records.now(), environment=environment(cfg),
        stop_reason=reason, best_step=state.best_step, remarks=curve_remarks(report, steps, cfg, reason, data),
        best_valid_loss=state.best_loss if isfinite(state.best_loss) else None,
        figures=final_figures(baby, state, report, completion, source)))
    workspace.save_chart(name, charts.chart(report, steps))
    workspace.save_report(name, report)                          # last: a report with a stop_reason means that all other files are complete
    baby.flat[...] = last
    return Run(name, cfg, report, completion, workspace.root)


def curve_remarks(report: records.Report, steps: list[tuple], cfg: Config, reason: str, data: TrainingData) -> list[str]:
    """What the curves of a training mean; [] for school, whose loss is no cross-entropy"""
    if report.school:
        return []
    return curves.remarks(curves.Curve(report.evaluations, np.array(steps, float).reshape(-1, 4), cfg, reason, report.vocabulary,
                                       data.nats_floor, curves.loss_by_frequency(data.valid)))


def with_judgement(report: records.Report, moment: str, judgement: records.Judgement) -> records.Report:
    """A report of a run of school with judged samples; moment: "before" or "after" """
    assert report.school
    return report.model_copy(update=dict(school=report.school.model_copy(update={moment: judgement})))


def report_row(event: Evaluation, characters_per_token: float) -> dict[str, Any]:
    """The fields of a `records.Evaluation`: the fields of the event, and the validation loss in bits per character"""
    bits = None if event.valid_loss is None else event.valid_loss / log(2) / characters_per_token
    row = dict(asdict(event), bits_per_character=bits)
    return row | dict(measures=None) if not event.measures else row | dict(train_loss=None)      # the loss of school is no cross-entropy


def final_figures(baby: Baby, state: State, report: records.Report, completion: records.Completion | None,
                  source: Corpus | Conversations | Schooling) -> records.Figures:
    """Sizes, losses, times and overlap with the training text, for the report of a run that ended"""
    about = predict(baby.config, report.train_tokens, probe=False)
    best = next((row for row in report.evaluations if row.step == state.best_step), None)
    generated = completion.text if completion else ""
    trainable, frozen = tree.size(baby.spec, train=True), tree.size(baby.spec, train=False)
    return records.Figures(
        parameters=records.Parameters(trainable=trainable, frozen=frozen, total=trainable + frozen),
        embedding=about.parts.get("embedding", 0), parts=about.parts, flops_per_token=about.flops_per_token,
        flops=about.flops_per_token * state.tokens, memory=about.memory, tokens=state.tokens,
        tokens_per_parameter=state.tokens / max(trainable, 1),
        train_loss=report.evaluations[-1].train_loss if report.evaluations else None,
        valid_loss=best.valid_loss if best else None, bits_per_character=best.bits_per_character if best else None,
        seconds=state.seconds, tokens_per_second=state.tokens / max(state.seconds, 1e-9),
        longest_overlap=len(longest(generated, source.text)) if generated and source.text else None,
        copied_share=copied_share(generated, source.text) if generated and source.text else None)


def start_message(name: str, baby: Baby, report: records.Report, state: State, data: TrainingData, ranks: Ranks) -> str:
    """The lines that are printed before the first step: name, device, model, text, steps and warnings"""
    cfg, n, trained = baby.config, tree.size(baby.spec), tree.size(baby.spec, train=True)
    counts = f"{n:,} parameters" + (f", {trained:,} of them trained" if trained < n else "")
    return (f"run {name}\n{backend.describe()}\n"
            f"{cfg.c_attention} + {cfg.c_network}, {plural(cfg.n_layers, 'layer')} of width {cfg.n_emb}, {counts}\n"
            f"{data.about or text_in_words(cfg, report, state)}"
            + (f"\n{ranks.n} ranks train together, with {plural(threads(cfg), 'thread')} in the first; if one of them dies, "
               f"{resume_hint(name, None)}" if ranks.n > 1 else "")
            + (f"\nthe lowest possible loss on this text is {report.nursery_floor:.4f} nats per token" if report.nursery_floor else "")
            + "".join(f"\n{line}" for line in [*warnings(cfg, baby.spec), *many_passes(cfg, report, state)])
            + (f"\nan evaluation computes {len(data.valid):,} windows, more than 4 times as many as the training between two evaluations; "
               f"n_eval_windows 200 reduces that to 200"
               if len(data.valid) > 4 * (cfg.s_eval or max(1, state.total // 20)) * cfg.batch_size * cfg.n_accumulate else ""))


def many_passes(cfg: Config, report: records.Report, state: State) -> list[str]:
    """A warning before a training that sees a text so often that it will be learned by heart; none for the nursery, whose baby is judged"""
    per_pass = max(report.train_tokens / (cfg.batch_size * cfg.n_ctx * cfg.n_accumulate), 1)
    passes = state.total / per_pass
    if report.school or report.nursery_floor or not report.train_tokens or passes < MOST_PASSES:
        return []
    return [f"the training makes {passes:,.0f} passes over the text, which will be learned by heart: --n_steps "
            f"{max(1, round(MOST_PASSES / 2 * per_pass)):,} or a longer text avoids that"]


def text_in_words(cfg: Config, report: records.Report, state: State) -> str:
    """The training text and the number of steps, in two lines"""
    assert report.input is not None
    return (f"{report.input.name}: {report.train_tokens:,} training and {report.valid_tokens:,} validation tokens; tokenizer "
            f"{report.tokenizer}, vocabulary of {report.vocabulary}\n"
            f"{plural(state.total, 'step')} of {plural(cfg.batch_size * cfg.n_ctx * cfg.n_accumulate, 'token')}")


def save_state(workspace: Workspace, name: str, baby: Baby, state: State, report: records.Report, steps: list[tuple],
               origin: dict) -> None:
    """Write a checkpoint, then the report so far"""
    arrays, numbers = state_to_arrays(baby, state)
    arrays["steps"] = np.array(steps, np.float64).reshape(-1, 4)
    workspace.save_checkpoint(name, state.step, arrays, dict(state=numbers, report=report.model_dump(mode="json"), origin=origin))
    workspace.save_report(name, report)
