"""train and finetune: train a model and write all files of its run. An interrupted run resumes from its checkpoint and computes the same
numbers as without the interruption."""
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from math import isfinite, log
from pathlib import Path
from typing import Any

import numpy as np

from .. import text as texts
from ..arrays import backend, tree
from ..check.preflight import preflight as predict
from ..check.preflight import warnings
from ..errors import BadInput, RunFailed
from ..inference.baby import Baby
from ..inference.sampling import Sampling
from ..runs import records
from ..runs.aliases import renamed
from ..runs.corpus import Corpus
from ..runs.settings import Config
from ..runs.store import Workspace
from ..show import charts
from ..show.formatting import plural
from ..show.progress import Began, Watcher
from ..text import nursery as grammar
from ..text.overlap import copied_share, longest
from ..training import lora
from ..training.checkpoint import state_from_arrays, state_to_arrays
from ..training.loop import Checkpoint, Done, Evaluation, State, Step, begin
from ..training.loop import train as events
from ..training.mpi import Ranks, launched_ranks
from ..training.parallel import threads
from .generation import generate_completion
from .model_io import baby_for, changed_functions, check_size, grow_vocabulary, load, require_same_weights, save_weights, use_device
from .process_control import (
    Task,
    all_or_none,
    environment,
    interruptible,
    newest_interrupted,
    on_all_ranks,
    open_workspace,
    print_to_stderr,
    resume_hint,
)
from .training_data import (
    Conversations,
    TrainingData,
    conversation_data,
    finetune_config,
    input_record,
    is_complete,
    load_input,
    make_config,
    recall_input,
    remember_input,
    text_data,
    with_own_tokenizer,
)


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


@on_all_ranks
def train(input: str | Path | list[str] | None = None, preset: str | None = None, config: str | Path | None = None,
          path: str | Path | None = None, resume: str | None = None, encoding: str = "utf-8",
          progress: bool | Callable[[Any], object] = True, stop: Callable[[], bool] | None = None, **settings: Any) -> Run:
    """Train a baby on a text and save the run. Without arguments: on the nursery, with the preset "nursery".

    Ctrl-C, SIGTERM, a closed terminal and `stop` end the training after the current step. The run is then saved with the stop_reason
    "interrupted" and can be resumed.

    Args:
        input: Training text: a text or token file, a name in inputs/, a folder, a pattern, or a list of these; each may have a weight,
            as in "a.tok:0.7" [the nursery].
        preset: Name of a preset; `littlebaby catalog presets` lists them ["nursery", or none if config is given].
        config: JSON file of settings, applied over the preset.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        resume: GUID of an interrupted run to continue, or "last" for the newest of them. Its batches and dropout masks are the same as
            without the interruption.
        encoding: Encoding of the text files.
        progress: True shows a progress bar, False shows nothing. A function is called with a `Began`, then with every event of
            `training.loop.train`.
        stop: Function that is called after every step; training ends when it returns True.
        settings: Settings of `Config`, applied over preset and config.

    Returns:
        The saved run.

    Raises:
        BadInput: An input or a setting cannot be used, the workspace is read-only, or settings are given together with resume.
        RunFailed: 10 steps in a row had no finite loss or gradient, or a worker thread was lost. The run up to there is saved.

    >>> run = lb.train("nursery_5kB_0.txt", n_layers=1, n_emb=16, n_ctx=16, batch_size=4, n_steps=3, n_completion=0, progress=False)
    >>> run.report.stop_reason, run.report.figures.tokens
    ('finished', 192)
    """
    workspace = open_workspace(path)
    if resume is not None:
        if preset or config or settings:
            raise BadInput("a resumed run keeps its own settings: give --resume without settings, or start a new training")
        return resume_run(workspace, resume, input, progress, stop)
    cfg = make_config(preset, config, settings)
    if cfg.lora_rank:
        raise BadInput(f"lora_rank is {cfg.lora_rank}; allowed is 0 in train, because adapters are added to a trained model by finetune; "
                       f"did you mean 0?")
    workspace.require_writable()
    source, tokenizer = load_input(workspace, input or "nursery", cfg, None, encoding, progress)
    cfg = cfg.replace(c_tokenizer=tokenizer.kind) if cfg.c_tokenizer in texts.KINDS else cfg
    use_device(cfg)
    baby = Baby(cfg, seed=cfg.seed, tokenizer=tokenizer)
    name = workspace.new()
    origin = remember_input(workspace, input or "nursery", encoding)
    report = records.Report(guid=name, tokenizer=tokenizer.kind, vocabulary=tokenizer.size, input=input_record(source, origin))
    return run_training(workspace, workspace.lock(name), baby, source, report, origin, progress, stop)


@on_all_ranks
def finetune(guid: str, input: str | Path | list[str] | None = None, path: str | Path | None = None, encoding: str = "utf-8",
             progress: bool | Callable[[Any], object] = True, stop: Callable[[], bool] | None = None, chat: str | Path | None = None,
             **settings: Any) -> Run:
    """Train a run's model further on another text or on conversations, as a new run GUID_finetuned; the old run does not change.

    Defaults are the settings of the base with a fifth of its r_learn and half its n_steps or n_epochs.

    Characters that are new to the tokenizer become new tokens at the end of its vocabulary. No learned weight changes by that, and before
    the first step the loss of the old text rises by at most 3e-7 nats. This needs a bias of the head, so a head without one gets one
    (b_bias_head), which only the export to safetensors supports if the norm is rmsnorm. With b_bias_head=False no bias is added, and
    each new token may take up to 1 / n_vocab of the probability.

    With lora_rank above 0 only adapters are trained, at the base's full r_learn. The model is saved with the adapters merged in, and the
    adapters are saved in a file of their own. New tokens are then not allowed, because the token table is frozen.

    Args:
        guid: Run to start from: its GUID, the first 4 or more characters of it, or "last".
        input: Training text, as in `train`. Exactly one of input and chat is needed.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        encoding: Encoding of the text files.
        progress: As in `train`.
        stop: As in `train`.
        chat: JSONL file of conversations (formats: `text.chat.conversations`), formatted with c_template. The loss counts only the
            assistant's tokens; r_split, c_shuffle and n_epochs count conversations.
        settings: Settings of `Config` that differ from the base's, without those that change the tokenizer or the shapes of weights.

    Returns:
        The saved run.

    Raises:
        BadInput: There is no such run, an input or a setting cannot be used, or a setting changes the shapes of the weights.
        RunFailed: As in `train`.

    >>> run = lb.finetune("last", "nursery_5kB_0.txt", n_steps=2, n_completion=0, progress=False)
    >>> run.guid == run.report.base + "_finetuned"
    True
    """
    workspace = open_workspace(path)
    base = workspace.resolve(guid, "model")
    old = load(base, workspace.root)
    if (input is None) == (chat is None):
        raise BadInput("finetune needs either a text, --input FILE or the name of a file in inputs/, or conversations, "
                       "--chat FILE.jsonl")
    cfg = finetune_config(old.config, settings)
    if cfg.c_tokenizer not in (old.config.c_tokenizer, old.require_tokenizer().kind):
        raise BadInput(f"c_tokenizer is {cfg.c_tokenizer!r}; allowed in finetune is the tokenizer of the base, "
                       f"{old.config.c_tokenizer!r}; did you mean {old.config.c_tokenizer}?")
    require_same_weights(old.config, cfg, renamed(settings))
    for sentence in changed_functions(old.config, cfg):
        print_to_stderr(sentence)
    workspace.require_writable()
    source, tokenizer = load_input(workspace, input or chat, cfg, old.require_tokenizer(), encoding, progress, bool(chat))
    new = tokenizer.tokens()[old.tokenizer.size:]
    cfg = cfg.replace(n_vocab=tokenizer.size)
    if new and cfg.c_bias != "out" and "b_bias_head" not in settings:
        cfg = cfg.replace(b_bias_head=True)
    if cfg.lora_rank and new:
        raise BadInput(f"{len(new)} tokens of {source.name} are not in this model's vocabulary ({' '.join(map(repr, new[:10]))}), and "
                       f"with lora_rank its token table is frozen: finetune without lora_rank")
    use_device(cfg)
    baby = grow_vocabulary(old, cfg, tokenizer)
    if cfg.lora_rank:
        baby = lora.with_adapters(baby)
    before = workspace.load_report(base)
    if new and progress is True:
        print_to_stderr(f"{len(new)} new tokens appended: {' '.join(map(repr, new[:20]))}{' ...' if len(new) > 20 else ''}")
    origin = remember_input(workspace, input or chat, encoding, bool(chat))
    report = records.Report(guid=base, base=base, tokenizer=tokenizer.kind, vocabulary=tokenizer.size, input=input_record(source, origin),
                            base_evaluations=before.evaluations)
    return run_training(workspace, workspace.locked_finetune(base), baby, source, report, origin, progress, stop)


def run_training(workspace: Workspace, lock: AbstractContextManager[str], baby: Baby, source: Corpus | Conversations,
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
    saved = state and state.step                                 # step of the checkpoint on disk, None if there is none
    data = (conversation_data if isinstance(source, Conversations) else text_data)(source, cfg, tokenizer)
    state = state or begin(baby, cfg.n_steps or max(1, data.batches.steps(cfg.n_epochs) // cfg.n_accumulate))
    report = report.model_copy(update=dict(train_tokens=data.train_tokens, valid_tokens=data.valid_tokens, nursery_floor=data.nats_floor,
                                           environment=environment(cfg)))
    with lock as name, all_or_none(ranks, name), interruptible(stop) as stopped:
        report = report.model_copy(update=dict(guid=name))
        if not state.step:
            workspace.save_config(name, cfg, report.base)
            workspace.save_tokenizer(name, tokenizer.to_json())
        workspace.save_report(name, report)
        watch = progress if callable(progress) else Watcher() if progress else lambda event: None
        watch(Began(name, state.step, state.total, data.nats_floor, start_message(name, baby, report, state, data, ranks)))
        rows, steps, reason = list(report.evaluations), list(steps), ""
        hint = lambda: "" if saved is None else f"; {resume_hint(name, workspace.root)} step {saved:,}"
        if ranks.n > 1:
            ranks.broadcast(Task(name, cfg, *state_to_arrays(baby, state), data.batches, data.valid))
        try:
            for event in events(baby, state, data.batches, data.valid, stopped, data.start[None], ranks):
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
        if reason != "interrupted" and not cfg.b_keep_last:
            workspace.remove_checkpoint(name)
        return done


def finish(workspace: Workspace, name: str, baby: Baby, state: State, report: records.Report, reason: str, steps: list[tuple],
           source: Corpus | Conversations, data: TrainingData) -> Run:
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
    if cfg.n_completion and reason in ("finished", "early stop"):
        completion = generate_completion(kept, name, data.prompt, Sampling(temperature=0.8), cfg.n_completion, cfg.seed, data.stops,
                                         start=data.start)
        workspace.save_completion(name, completion, final=True)
    right = grammar.grammatical(completion.text) if completion and report.nursery_floor else None
    report = report.model_copy(update=dict(
        marks=right and records.Marks(**right._asdict()), ended=records.now(), environment=environment(cfg),
        stop_reason=reason, best_step=state.best_step,
        best_valid_loss=state.best_loss if isfinite(state.best_loss) else None,
        figures=final_figures(baby, state, report, completion, source)))
    workspace.save_chart(name, charts.chart(report, steps))
    workspace.save_report(name, report)                          # last: a report with a stop_reason means that all other files are complete
    baby.flat[...] = last
    return Run(name, cfg, report, completion, workspace.root)


def report_row(event: Evaluation, characters_per_token: float) -> dict[str, Any]:
    """The fields of a `records.Evaluation`: the fields of the event, and the validation loss in bits per character"""
    bits = None if event.valid_loss is None else event.valid_loss / log(2) / characters_per_token
    return dict(asdict(event), bits_per_character=bits)


def final_figures(baby: Baby, state: State, report: records.Report, completion: records.Completion | None,
                  source: Corpus | Conversations) -> records.Figures:
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
    assert report.input is not None
    counts = f"{n:,} parameters" + (f", {trained:,} of them trained" if trained < n else "")
    return (f"{name}\n{backend.describe()}\n"
            f"{cfg.c_attention} + {cfg.c_network}, {plural(cfg.n_layers, 'layer')} of width {cfg.n_emb}, {counts}\n"
            f"{report.input.name}: {report.train_tokens:,} training and {report.valid_tokens:,} validation tokens; tokenizer "
            f"{report.tokenizer}, vocabulary of {report.vocabulary}\n"
            f"{plural(state.total, 'step')} of {plural(cfg.batch_size * cfg.n_ctx * cfg.n_accumulate, 'token')}"
            + (f"\n{ranks.n} ranks train together, with {plural(threads(cfg), 'thread')} in the first; if one of them dies, "
               f"{resume_hint(name)} the last checkpoint" if ranks.n > 1 else "")
            + (f"\nthe lowest possible loss on this text is {report.nursery_floor:.4f} nats per token" if report.nursery_floor else "")
            + "".join(f"\n{line}" for line in warnings(cfg))
            + (f"\nan evaluation computes {len(data.valid):,} windows, over 4 times as many as the training between two evaluations; "
               f"n_eval_windows 200 reduces that to 200"
               if len(data.valid) > 4 * (cfg.s_eval or max(1, state.total // 20)) * cfg.batch_size * cfg.n_accumulate else ""))


def save_state(workspace: Workspace, name: str, baby: Baby, state: State, report: records.Report, steps: list[tuple],
               origin: dict) -> None:
    """Write a checkpoint, then the report so far"""
    arrays, numbers = state_to_arrays(baby, state)
    arrays["steps"] = np.array(steps, np.float64).reshape(-1, 4)
    workspace.save_checkpoint(name, state.step, arrays, dict(state=numbers, report=report.model_dump(mode="json"), origin=origin))
    workspace.save_report(name, report)


def resume_run(workspace: Workspace, guid: str, input: str | Path | list[str] | None, progress: bool | Callable[[Any], object],
               stop: Callable[[], bool] | None) -> Run:
    """Resume an interrupted run with the same batches and dropout masks as without the interruption"""
    name = newest_interrupted(workspace) if str(guid) == "last" else workspace.resolve(guid)
    with workspace.lock(name):
        workspace.remove_partial_files(name)
        saved = workspace.load_checkpoint(name)
        if saved is None:
            raise BadInput(f"{name} has no checkpoint: the run has finished, or it was interrupted before its first checkpoint")
        arrays, meta, wrong = saved
        if not is_complete(meta) or arrays.get("steps", np.empty(0)).shape[1:] != (4,):
            raise BadInput(f"the checkpoint of {name} was written by another version of littlebaby; only that version can resume it")
        cfg, report = workspace.load_config(name), records.parse_record(records.Report, meta["report"], f"the checkpoint of {name}")
        tokenizer, origin = texts.from_json(workspace.load_tokenizer(name)), meta["origin"]
        where, is_chat = input or recall_input(workspace, origin, report.input), origin.get("chat", False)
        source, _ = load_input(workspace, where, with_own_tokenizer(cfg, workspace.existing("tokenizer", name)),
                               tokenizer if report.base else None, origin["encoding"], progress, is_chat)
        if not report.input or source.sha256 != report.input.sha256:
            raise BadInput(f"{source.name} is not the training text of {name} (its sha256 differs); give the original text with --input")
        origin = remember_input(workspace, where, origin["encoding"], is_chat)
        check_size(cfg.replace(lora_rank=0), arrays["flat"].size if "flat" in arrays else 0, f"the checkpoint of {name}", tokenizer)
        use_device(cfg)
        baby = baby_for(cfg, tokenizer)
        state = state_from_arrays(baby, arrays, meta["state"])
        for sentence in wrong:
            print_to_stderr(f"{sentence}; resuming from the checkpoint before it, of step {state.step:,}")
        return run_training(workspace, nullcontext(name), baby, source, report, origin, progress, stop, state,
                            map(tuple, arrays["steps"].tolist()))
