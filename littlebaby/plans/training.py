"""train and finetune: a run from its first file to its last, and on from its checkpoint as if it had never stopped."""
import platform
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from math import isfinite, log
from pathlib import Path

import numpy as np

from .. import text as texts
from ..arrays import backend, tree
from ..check.preflight import preflight as predict
from ..check.preflight import warnings
from ..errors import BadInput, RunFailed
from ..inference.baby import Baby
from ..inference.sampling import Sampling
from ..runs import records
from ..runs.settings import Config
from ..runs.store import Workspace
from ..show import charts
from ..show.progress import Began, Watcher
from ..text import nursery as grammar
from ..text.overlap import longest, recited
from ..training import lora
from ..training.checkpoint import state_from_arrays, state_to_arrays
from ..training.loop import Checkpoint, Done, Evaluation, Step, begin
from ..training.loop import train as events
from ..training.mpi import launched_ranks
from ..training.parallel import threads
from .generation import generate_completion
from .model_io import baby_for, check_size, grow_vocabulary, load, save_weights, use_device
from .process_control import Task, all_or_none, interruptible, on_all_ranks, open_workspace, print_to_stderr, resume_hint
from .training_data import (
    Conversations,
    conversation_data,
    finetune_config,
    input_record,
    load_input,
    make_config,
    recall_input,
    remember_input,
    text_data,
)


@dataclass(frozen=True)
class Run:
    """What a training leaves: its name, and its files as records"""
    guid: str
    config: Config
    report: records.Report
    completion: records.Completion | None
    root: Path

    def chart(self):
        """The path of the run's picture"""
        return Workspace(self.root).path("chart", self.guid)


@on_all_ranks
def train(input=None, preset=None, config=None, path=None, resume=None, encoding="utf-8", progress=True, stop=None, **settings):
    """Train a baby and keep it: any config key is a setting, `train(input="my.txt", n_layers=6)`; with none, the nursery's preset.

    config: a JSON file of settings      stop: asked after each step
    resume: a GUID or "last", the newest interrupted run: it goes on as if it had never stopped
    progress: a bar, or a function that is called with a `Began` and every event of learning.train; False for none
    Interrupted (Ctrl-C, SIGTERM, a closed terminal, stop) the run finishes its step and saves itself; `report.stop_reason` says so.
    """
    workspace = open_workspace(path)
    if resume is not None:
        if preset or config or settings:
            raise BadInput("a resumed run keeps its own settings: give --resume alone, or train anew")
        return resume_run(workspace, resume, input, progress, stop)
    cfg = make_config(preset, config, settings)
    if cfg.lora_rank:
        raise BadInput(f"lora_rank is {cfg.lora_rank}: adapters sit on a trained model, so they are for finetune; train takes lora_rank 0")
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
def finetune(guid, input=None, path=None, encoding="utf-8", progress=True, stop=None, chat=None, **settings):
    """Go on training a run's baby on another text, or on conversations, under a new name GUID_finetuned; the old run stays as it is.

    chat: a JSONL file of conversations (`text.chat.conversations` says of which kinds); c_template says how they are spelled, and
    only what the assistant says is learned. r_split, c_shuffle and n_epochs then count conversations.

    Characters that the baby does not know yet are appended: no learned row moves, and before the first step the loss of the old text
    is what it was, to 3e-7 nats. For that a head without a bias gets one (b_bias_head); with b_bias_head=False it stays without, and each
    new token may take up to 1 / n_vocab of the probability. Behind an rmsnorm no other program's format has room for that bias: such a
    model is exported as plain safetensors only. The learning rate starts at a fifth of the
    base's and half as many steps are made, unless r_learn, n_steps or n_epochs say otherwise.

    With lora_rank only adapters learn, at the base's own learning rate; the model is saved with the adapters merged in, and they
    once more apart. A frozen table cannot learn new tokens, so a text that has some is refused.
    """
    workspace = open_workspace(path)
    base = workspace.resolve(guid)
    old = load(base, workspace.root)
    if (input is None) == (chat is None):
        raise BadInput("a finetune needs a text, --input FILE or the name of one in inputs/, or conversations, --chat FILE.jsonl; one of "
                       "the two")
    cfg = finetune_config(old.config, settings)
    workspace.require_writable()
    source, tokenizer = load_input(workspace, input or chat, cfg, old.require_tokenizer(), encoding, progress, bool(chat))
    new = tokenizer.tokens()[old.tokenizer.size:]
    cfg = cfg.replace(n_vocab=tokenizer.size)
    if new and cfg.c_bias != "out" and "b_bias_head" not in settings:
        cfg = cfg.replace(b_bias_head=True)
    if cfg.lora_rank and new:
        raise BadInput(f"{len(new)} tokens of {source.name} are new to this baby ({' '.join(map(repr, new[:10]))}), and with lora_rank "
                       f"its tables stay frozen: finetune without lora_rank")
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


def run_training(workspace, lock, baby, source, report, origin, progress, stop, state=None, steps=()):
    """Train a baby from `state` (None: from the start) and write all its files

    lock: keeps a run to oneself and says its name      steps: (step, loss, rate, norm) of those that were made before
    Nothing of what a killed run needs goes before all else is written.
    """
    cfg, tokenizer, ranks = baby.config, baby.tokenizer, launched_ranks()
    if cfg.batch_size < ranks.n:
        raise BadInput(f"batch_size is {cfg.batch_size} and {ranks.n} ranks train together; each needs a row: batch_size {ranks.n} or "
                       f"more, or fewer ranks")
    saved = state and state.step                                 # the step of the checkpoint on the disk
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
        hint = lambda: "" if saved is None else f"; {resume_hint(name)} step {saved:,}"
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
        except BadInput as failure:                              # a disk that is full, or gone
            raise BadInput(f"{failure}{hint()}") from None
        except KeyboardInterrupt:                                # a second Ctrl-C, in the middle of a step or of the last files
            if saved is not None:
                print_to_stderr(f"stopped at once{hint()}")
            raise
        finally:
            if isinstance(watch, Watcher):
                watch.close()
        if reason != "interrupted" and not cfg.b_keep_last:
            workspace.remove_checkpoint(name)
        return done


def finish(workspace, name, baby, state, report, reason, steps, source, data):
    """The best weights, the closing text, the report and the picture"""
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
    workspace.save_report(name, report)                          # the last of all: it says that the rest is there
    baby.flat[...] = last
    return Run(name, cfg, report, completion, workspace.root)


def report_row(event, length):
    """An evaluation as a report keeps it"""
    bits = None if event.valid_loss is None else event.valid_loss / log(2) / length
    return dict(asdict(event), bits_per_character=bits)


def final_figures(baby, state, report, completion, source):
    """What a run came to"""
    about = predict(baby.config, report.train_tokens, probe=False)
    best = next((row for row in report.evaluations if row.step == state.best_step), None)
    written = completion.text if completion else ""
    trainable, frozen = tree.size(baby.spec, train=True), tree.size(baby.spec, train=False)
    return records.Figures(
        parameters=records.Parameters(trainable=trainable, frozen=frozen, total=trainable + frozen),
        embedding=about.parts.get("embedding", 0), parts=about.parts, flops_per_token=about.flops_per_token,
        flops=about.flops_per_token * state.tokens, memory=about.memory, tokens=state.tokens,
        tokens_per_parameter=state.tokens / max(trainable, 1),
        train_loss=report.evaluations[-1].train_loss if report.evaluations else None,
        valid_loss=best and best.valid_loss, bits_per_character=best and best.bits_per_character,
        seconds=state.seconds, tokens_per_second=state.tokens / max(state.seconds, 1e-9),
        longest_overlap=len(longest(written, source.text)) if written and source.text else None,
        overlap_share=recited(written, source.text) if written and source.text else None)


def environment(cfg):
    libraries = {name: records.version(name) for name in ("numpy", "threadpoolctl", "regex", "pydantic")}
    return records.Environment(device=backend.describe(), python=platform.python_version(), platform=platform.platform(),
                               libraries=libraries, threads=threads(cfg), ranks=launched_ranks().n, peak_memory=backend.peak_memory())


def start_message(name, baby, report, state, data, ranks):
    """What a run says of itself before it begins"""
    cfg, n, trained = baby.config, tree.size(baby.spec), tree.size(baby.spec, train=True)
    counts = f"{n:,} parameters" + (f", {trained:,} of them trained" if trained < n else "")
    return (f"{name}\n{backend.describe()}\n"
            f"{cfg.c_attention} + {cfg.c_network}, {cfg.n_layers} layers of {cfg.n_emb}, {counts}; {report.input.name}, "
            f"{report.train_tokens:,} + {report.valid_tokens:,} {report.tokenizer} tokens of {report.vocabulary}; {state.total:,} steps of "
            f"{cfg.batch_size * cfg.n_ctx * cfg.n_accumulate:,}"
            + (f"\n{ranks.n} ranks train together, {threads(cfg)} threads in the first; should one die, {resume_hint(name)} the last "
               f"checkpoint" if ranks.n > 1 else "")
            + (f"\nthe floor of this text is {report.nursery_floor:.4f} nats per token" if report.nursery_floor else "")
            + "".join(f"\n{line}" for line in warnings(cfg))
            + (f"\nan evaluation reads {len(data.valid):,} windows, far more than training reads between two; n_eval_windows 200 "
               f"reads 200"
               if len(data.valid) > 4 * (cfg.s_eval or max(1, state.total // 20)) * cfg.batch_size * cfg.n_accumulate else ""))


def save_state(workspace, name, baby, state, report, steps, origin):
    """All that a run needs to go on, then the report so far"""
    arrays, numbers = state_to_arrays(baby, state)
    arrays["steps"] = np.array(steps, np.float64).reshape(-1, 4)
    workspace.save_checkpoint(name, state.step, arrays, dict(state=numbers, report=report.model_dump(mode="json"), origin=origin))
    workspace.save_report(name, report)


def resume_run(workspace, guid, input, progress, stop):
    """Resume an interrupted run: the same batches, the same dropout, as if it had never stopped"""
    name = newest_interrupted(workspace) if str(guid) == "last" else workspace.resolve(guid)
    with workspace.lock(name):
        workspace.sweep(name)
        saved = workspace.load_checkpoint(name)
        if saved is None:
            raise BadInput(f"{name} has no checkpoint: it ended, or was interrupted before its first one")
        arrays, meta, wrong = saved
        if not is_complete(meta) or arrays.get("steps", np.empty(0)).shape[1:] != (4,):
            raise BadInput(f"the checkpoint of {name} was written by another version of littlebaby, which alone can go on with it")
        cfg, report = workspace.load_config(name), records.parse_record(records.Report, meta["report"], f"the checkpoint of {name}")
        tokenizer, origin = texts.from_json(workspace.load_tokenizer(name)), meta["origin"]
        where, is_chat = input or recall_input(workspace, origin, report.input), origin.get("chat", False)
        source, _ = load_input(workspace, where, with_own_tokenizer(cfg, workspace.existing("tokenizer", name)),
                               tokenizer if report.base else None, origin["encoding"], progress, is_chat)
        if not report.input or source.sha256 != report.input.sha256:
            raise BadInput(f"{source.name} is not the text that {name} learns from (its sha256 differs); give that one with --input")
        origin = remember_input(workspace, where, origin["encoding"], is_chat)
        check_size(cfg.replace(lora_rank=0), arrays["flat"].size if "flat" in arrays else 0, f"the checkpoint of {name}", tokenizer)
        use_device(cfg)
        baby = baby_for(cfg, tokenizer)
        state = state_from_arrays(baby, arrays, meta["state"])
        for sentence in wrong:
            print_to_stderr(f"{sentence}; going on from the one before it, of step {state.step:,}")
        steps = map(tuple, arrays["steps"].tolist())
        return run_training(workspace, nullcontext(name), baby, source, report, origin, progress, stop, state, steps)


def with_own_tokenizer(cfg, path):
    """The settings with the run's own copy of a tokenizer that came from a file, which need not lie anywhere else any more"""
    return cfg if cfg.c_tokenizer in texts.KINDS else cfg.replace(c_tokenizer=str(path))


def is_complete(meta):
    """Whether a checkpoint says all that a run goes on from"""
    origin = meta.get("origin") if isinstance(meta, dict) else None
    origin = origin if isinstance(origin, dict) else {}
    inputs = origin.get("input")
    words = inputs if isinstance(inputs, list) else [inputs]
    return bool(inputs) and all(isinstance(word, str) for word in [*words, origin.get("encoding")]) \
        and isinstance(meta.get("state"), dict) and "report" in meta


def newest_interrupted(workspace):
    """The name of the run that was begun last of all that can go on"""
    found = [run.name for run in workspace.list() if run.resumable]
    if not found:
        raise BadInput(f"there is no interrupted run in {workspace.root} that could go on; `littlebaby list` shows all runs")
    return found[-1]
