"""The plans: train, finetune, inference, delete, info and their companions. Each reads, acts and writes; only here the rooms meet.

The shell, Python and a notebook call these same functions. `path` is the workspace (None: LITTLEBABY_HOME or the current folder).
"""
import platform
import secrets
import signal
import sys
import threading
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import wraps
from inspect import signature
from math import isfinite, log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import text as texts
from .arrays import backend, tree
from .errors import BadInput, RunFailed, nearest
from .learning import lora
from .learning.baby import Baby
from .learning.checkpoint import freeze, thaw
from .learning.conversation import Conversation
from .learning.data import Batches, Mixture, held_out, split
from .learning.dialogue import Dialogues, Filled, divide, rows
from .learning.generate import generate, until
from .learning.measure import foresight, score
from .learning.parallel import how_many, threads, threads_for_a_row
from .learning.ranks import together
from .learning.sampling import Sampling
from .learning.speculate import speculate
from .learning.train import Checkpoint, Done, Evaluation, Step, begin
from .learning.train import train as events
from .model import gpt
from .runs import corpus, disk, formats, records, sources
from .runs import prepare as preparing
from .runs.fetch import HUB_TASKS, questions
from .runs.fetch import fetch as download
from .runs.store import Workspace, brief
from .show import bench as benches
from .show import charts
from .show import diary as diaries
from .show import microscope as scope
from .show import walk as walks
from .show.laws import verdicts
from .show.modelcard import modelcard
from .show.preflight import preflight as predict
from .show.preflight import warnings
from .show.progress import Began, Counter, Watcher, counted
from .text import chat as talk
from .text import nursery as grammar
from .text import tasks
from .text.overlap import longest, recited


@dataclass(frozen=True)
class Run:
    """What a training leaves: its name, and its files as records"""
    guid: str
    config: records.Config
    report: records.Report
    completion: records.Completion | None
    root: Path

    def chart(self):
        """The path of the run's picture"""
        return Workspace(self.root).path("chart", self.guid)


# processes that train together: the first one carries a plan out, and it alone reads, writes and speaks; the others compute with it

class Task(NamedTuple):
    """What all ranks begin with"""
    name: str
    config: records.Config
    arrays: dict           # weights and state, as `freeze` gives them
    numbers: dict
    batches: Any
    valid: Any


def by_all_ranks(plan):
    """The plan, under mpiexec too: all ranks return the same Run, or raise the same error"""
    @wraps(plan)
    def shared(*words, **settings):
        ranks = together()
        if ranks.n == 1:
            return plan(*words, **settings)
        if not ranks.first:
            return follow(ranks, signature(plan).bind(*words, **settings).arguments.get("stop"))
        try:
            return ranks.from_first(plan(*words, **settings))
        except (Exception, KeyboardInterrupt) as error:
            ranks.from_first(error)
            raise

    return shared


def follow(ranks, stop):
    """Train along with the first rank, for as many runs as it calls for, until it says what came of them"""
    while isinstance(order := ranks.from_first(), Task):
        with all_or_none(ranks, order.name), interruptible(stop, patient=True) as stopped, suppress(RunFailed):
            device(order.config)
            baby = baby_for(order.config)
            state = thaw(baby, order.arrays, order.numbers)
            for _ in events(baby, state, order.batches, order.valid, stopped, ranks=ranks):
                pass
    if isinstance(order, BaseException):
        raise order
    return order


@contextmanager
def all_or_none(ranks, name):
    """Within, ranks work in step, and what ends one of them ends all, with one sentence. A RunFailed has come to each of them."""
    try:
        yield
    except RunFailed:
        raise
    except BaseException as error:
        if ranks.n > 1:
            if not isinstance(error, KeyboardInterrupt):
                where = "" if ranks.first else f"rank {ranks.number} of {ranks.n}, on {platform.node()}: "
                what = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
                say(f"{where}{what}" + ("" if ranks.first else f"; {how_to_go_on(name)} its last checkpoint"))
            ranks.abort(2 if isinstance(error, BadInput) else 130 if isinstance(error, KeyboardInterrupt) else 1)
        raise


def how_to_go_on(name):
    return f"`littlebaby train --resume {brief(name)}` goes on from"


# train and finetune

@by_all_ranks
def train(input=None, preset=None, config=None, path=None, resume=None, encoding="utf-8", progress=True, stop=None, **settings):
    """Train a baby and keep it: any config key is a setting, `train(input="my.txt", n_layers=6)`; with none, the nursery's preset.

    config: a JSON file of settings      stop: asked after each step
    resume: a GUID or "last", the newest interrupted run: it goes on as if it had never stopped
    progress: a bar, or a function that is called with a `Began` and every event of learning.train; False for none
    Interrupted (Ctrl-C, SIGTERM, a closed terminal, stop) the run finishes its step and saves itself; `report.stop_reason` says so.
    """
    workspace = Workspace(path)
    if resume is not None:
        if preset or config or settings:
            raise BadInput("a resumed run keeps its own settings: give --resume alone, or train anew")
        return go_on(workspace, resume, input, progress, stop)
    cfg = configured(preset, config, settings)
    if cfg.lora_rank:
        raise BadInput(f"lora_rank is {cfg.lora_rank}: adapters sit on a trained model, so they are for finetune; train takes lora_rank 0")
    source, tokenizer = material(workspace, input or "nursery", cfg, None, encoding, progress)
    cfg = cfg.replace(c_tokenizer=tokenizer.kind) if cfg.c_tokenizer in texts.KINDS else cfg
    device(cfg)
    baby = Baby(cfg, seed=cfg.seed, tokenizer=tokenizer)
    name = workspace.new()
    report = records.Report(guid=name, tokenizer=tokenizer.kind, vocabulary=tokenizer.size, input=describe(source))
    origin = dict(input=words(input or "nursery"), encoding=encoding)
    return learn(workspace, workspace.lock(name), baby, source, report, origin, progress, stop)


@by_all_ranks
def finetune(guid, input=None, path=None, encoding="utf-8", progress=True, stop=None, chat=None, **settings):
    """Go on training a run's baby on another text, or on conversations, under a new name GUID_finetuned; the old run stays as it is.

    chat: a JSONL file of conversations (`text.chat.conversations` says of which kinds); c_template says how they are spelled, and
    only what the assistant says is learned. r_split, c_shuffle and n_epochs then count conversations.

    Characters that the baby does not know yet are appended: no learned row moves. The learning rate starts at a fifth of the
    base's and half as many steps are made, unless r_learn, n_steps or n_epochs say otherwise.

    With lora_rank only adapters learn, at the base's own learning rate; the model is saved with the adapters merged in, and they
    once more apart. A frozen table cannot learn new symbols, so a text that has some is refused.
    """
    workspace = Workspace(path)
    base = workspace.resolve(guid)
    old = load(base, path)
    if (input is None) == (chat is None):
        raise BadInput("a finetune needs a text, --input FILE or the name of one in inputs/, or conversations, --chat FILE.jsonl; one of "
                       "the two")
    cfg = succeeding(old.config, settings)
    source, tokenizer = material(workspace, input or chat, cfg, old.speech(), encoding, progress, bool(chat))
    new = tokenizer.tokens()[old.tokenizer.size:]
    cfg = cfg.replace(n_vocab=tokenizer.size)
    if cfg.lora_rank and new:
        raise BadInput(f"{len(new)} symbols of {source.name} are new to this baby ({' '.join(map(repr, new[:10]))}), and with lora_rank "
                       f"its tables stay frozen: finetune without lora_rank")
    device(cfg)
    baby = grown(old, cfg, tokenizer)
    if cfg.lora_rank:
        baby = lora.with_adapters(baby)
    before = workspace.load_report(base)
    if new and progress is True:
        say(f"{len(new)} new symbols appended: {' '.join(map(repr, new[:20]))}{' ...' if len(new) > 20 else ''}")
    report = records.Report(guid=base, base=base, tokenizer=tokenizer.kind, vocabulary=tokenizer.size, input=describe(source),
                            base_evaluations=before.evaluations)
    origin = dict(input=words(input or chat), encoding=encoding, chat=bool(chat))
    return learn(workspace, workspace.locked_finetune(base), baby, source, report, origin, progress, stop)


def succeeding(cfg, settings=()):
    """The Config of a finetune: that of its base with half as many steps, unless told otherwise at a fifth of the rate"""
    settings = records.renamed(dict(settings))
    if "n_epochs" in settings or not cfg.n_steps:
        half = dict(n_steps=0, n_epochs=max(1, cfg.n_epochs // 2))
    else:
        half = dict(n_steps=max(1, cfg.n_steps // 2))
    new = cfg.replace(**{"lora_rank": 0, "lora_alpha": 0.0, **half, **settings})
    return new if "r_learn" in settings or new.lora_rank else new.replace(r_learn=cfg.r_learn / 5)


def configured(preset=None, config=None, settings=()):
    """A Config from a preset, over it a file, over that single settings; the nursery's preset where neither of the first two is given"""
    chosen = records.preset(preset or "nursery") if preset or not config else {}
    if config:
        data = disk.read_json(Path(config))
        if not isinstance(data, dict):
            raise BadInput(f"{config} is no config: settings by name belong there, {{\"n_layers\": 4}}")
        chosen |= {key: value for key, value in data.items() if key not in ("version", "guid", "base", "time")}
    settings = records.renamed(dict(settings))
    if "n_epochs" in settings and "n_steps" not in settings:
        chosen.pop("n_steps", None)
    return records.Config(**{**chosen, **settings})


def device(cfg):
    """Make the run's device the one that arrays live on"""
    backend.use(cfg.c_device, cfg.c_device_gpu_core, cfg.c_device_gpu_tensor)
    backend.keep_memory()


def material(workspace, where, cfg, tokenizer=None, encoding="utf-8", progress=True, chat=False):
    """(source, tokenizer): what an input means, a Corpus, or with `chat` the Dialogue of a JSONL file, and what its ids are made with.

    tokenizer: the one of a baby that goes on learning, which the source extends      BadInput: see corpus.read and chat.conversations
    """
    if not chat:
        with Counter(progress is True) as counter:
            return corpus.read(workspace, where, cfg, tokenizer, encoding, counter)
    file = workspace.read_text(where, encoding)
    try:
        found = talk.conversations(file.text)
    except BadInput as error:
        raise BadInput(f"{file.name}: {error}") from None
    form = talk.template(cfg.c_template)
    text = "\n".join(talk.spelled(talk.pieces(messages, form)) for messages in found)
    return Dialogue(file.name, file.bytes, file.sha256, len(text), text, found), tokenizer.extend(text)[0]


class Dialogue(NamedTuple):
    """Conversations to learn from"""
    name: str
    bytes: int
    sha256: str
    characters: int
    text: str                # what they spell
    conversations: list


def words(input):
    """An input as a checkpoint can remember it"""
    return [str(each) for each in input] if isinstance(input, list | tuple) else str(input)


def describe(source):
    return records.Input(name=source.name, bytes=source.bytes, characters=source.characters, sha256=source.sha256)


HEARD = 2**20       # tokens of the validation split from which its characters per token are counted
UNBORN = 15.0      # nats below the least likely old symbol: no old loss changes in float32, and a few hundred steps lift it
SENTENCE = 160      # tokens, or characters, that a baby is shown of its own writing


def grown(old, cfg, tokenizer):
    """The old baby with a larger vocabulary: every learned row is copied as it is, new symbols start fresh and, where the head has a
    bias (c_bias out), unexpected: then no loss on old text changes"""
    baby = Baby(cfg, seed=cfg.seed, tokenizer=tokenizer)
    new = baby.weights()
    for name, w in old.weights().items():
        new[name][tuple(slice(n) for n in w.shape)] = w
    known = old.config.n_vocab
    if "head.b" in new:
        if "head.w" in new:
            new["head.w"][:, known:] = 0
        new["head.b"][known:] = new["head.b"][:known].min() - UNBORN
    return baby


class Lesson(NamedTuple):
    """What a run learns from, how it is measured, and what it goes on from when it shows what it can"""
    batches: Any
    valid: Any             # windows for `evaluate`
    trained: int           # tokens
    held_out: int
    length: float          # characters per token that counts
    floor: float | None    # nats per token
    start: Any             # ids (t)
    prompt: str = ""
    stops: tuple = ()


def prose(source, cfg, tokenizer):
    """The lesson of texts: every token counts"""
    begins = tokenizer.encode(tokenizer.begin)
    trained, held = zip(*(split(part.ids(tokenizer), cfg, begins) for part in source.parts))
    each = [Batches(ids, cfg, cfg.seed, tuple(begins)) for ids in trained]
    batches = Mixture(each, [part.weight or len(ids) for part, ids in zip(source.parts, trained)], cfg.seed) if len(each) > 1 else each[0]
    sample = np.concatenate([ids[:HEARD // len(held)] for ids in held])
    heard = tokenizer.decode(sample)
    length = len(heard) / max(len(sample), 1)
    known = grammar.floor(heard)
    return Lesson(batches, held_out(held, cfg, begins), sum(map(len, trained)), sum(map(len, held)), length,
                  known * length if known else None, begins)


def dialogue(source, cfg, tokenizer):
    """The lesson of conversations: what the assistant says counts"""
    form = talk.template(cfg.c_template)
    cut = lambda part: [row for messages in part for row in rows(messages, form, tokenizer, cfg.n_ctx)]
    trained, held = map(cut, divide(source.conversations, cfg))
    valid = Filled(held[:cfg.n_eval or None])
    _, y = valid[:]
    heard = tokenizer.decode(y[y >= 0])
    first = source.conversations[0]
    asked = talk.question(first[:next(i for i, message in enumerate(first) if message["role"] == "assistant")], form)
    size = lambda part: sum(len(ids) for ids, _ in part)
    return Lesson(Dialogues(trained, cfg, cfg.seed), valid, size(trained), size(held), len(heard) / max(int((y >= 0).sum()), 1), None,
                  talk.ids_of(asked, tokenizer)[0], talk.spelled(asked), form.stops)


def learn(workspace, lock, baby, source, report, origin, progress, stop, state=None, steps=()):
    """Train a baby from `state` (None: from the start) and write all its files

    lock: keeps a run to oneself and says its name      steps: (step, loss, rate, norm) of those that were made before
    Nothing of what a killed run needs goes before all else is written.
    """
    cfg, tokenizer, ranks = baby.config, baby.tokenizer, together()
    if cfg.batch_size < ranks.n:
        raise BadInput(f"batch_size is {cfg.batch_size} and {ranks.n} ranks train together; each needs a row: batch_size {ranks.n} or "
                       f"more, or fewer ranks")
    saved = state and state.step                                 # the step of the checkpoint on the disk
    lesson = (dialogue if isinstance(source, Dialogue) else prose)(source, cfg, tokenizer)
    state = state or begin(baby, cfg.n_steps or max(1, lesson.batches.steps(cfg.n_epochs) // cfg.n_accumulate))
    report = report.model_copy(update=dict(train_tokens=lesson.trained, valid_tokens=lesson.held_out, nursery_floor=lesson.floor,
                                           environment=environment(cfg)))
    with lock as name, all_or_none(ranks, name), interruptible(stop) as stopped:
        report = report.model_copy(update=dict(guid=name))
        if not state.step:
            workspace.save_config(name, cfg, report.base)
            workspace.save_tokenizer(name, tokenizer.to_json())
        workspace.save_report(name, report)
        watch = progress if callable(progress) else Watcher() if progress else lambda event: None
        watch(Began(name, state.step, state.total, lesson.floor, opening(name, baby, report, state, lesson, ranks)))
        rows, steps, reason = list(report.evaluations), list(steps), ""
        hint = lambda: "" if saved is None else f"; {how_to_go_on(name)} step {saved:,}"
        if ranks.n > 1:
            ranks.from_first(Task(name, cfg, *freeze(baby, state), lesson.batches, lesson.valid))
        try:
            for event in events(baby, state, lesson.batches, lesson.valid, stopped, lesson.start[None], ranks):
                watch(event)
                if isinstance(event, Step):
                    steps.append((event.step, event.loss, event.rate, event.norm))
                elif isinstance(event, Evaluation):
                    rows.append(records.Evaluation(**row(event, lesson.length)))
                    report = report.model_copy(update=dict(evaluations=rows))
                elif isinstance(event, Done):
                    reason = event.reason
                if isinstance(event, Checkpoint) or isinstance(event, Done) and state.step != saved:
                    save_state(workspace, name, baby, state, report, steps, origin)
                    saved = state.step
            done = finish(workspace, name, baby, state, report, reason, steps, source, lesson)
        except RunFailed as failure:
            save_state(workspace, name, baby, state, report, steps, origin)
            finish(workspace, name, baby, state, report, "not finite", steps, source, lesson)
            raise RunFailed(f"{failure}; the run {name} is saved up to its last good step") from None
        except BadInput as failure:                              # a disk that is full, or gone
            raise BadInput(f"{failure}{hint()}") from None
        except KeyboardInterrupt:                                # a second Ctrl-C, in the middle of a step or of the last files
            if saved is not None:
                say(f"stopped at once{hint()}")
            raise
        finally:
            if isinstance(watch, Watcher):
                watch.close()
        if reason != "interrupted" and not cfg.b_keep_last:
            workspace.remove_checkpoint(name)
        return done


def finish(workspace, name, baby, state, report, reason, steps, source, lesson):
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
        completion = write(kept, name, lesson.prompt, Sampling(temperature=0.8), cfg.n_completion, cfg.seed, lesson.stops,
                           start=lesson.start)
        workspace.save_completion(name, completion, final=True)
    right = grammar.grammatical(completion.text) if completion and report.nursery_floor else None
    report = report.model_copy(update=dict(
        marks=right and records.Marks(**right._asdict()), ended=records.now(), environment=environment(cfg),
        stop_reason=reason, best_step=state.best_step,
        best_valid_loss=state.best_loss if isfinite(state.best_loss) else None, figures=figures(baby, state, report, completion, source)))
    workspace.save_chart(name, charts.chart(report, steps))
    workspace.save_report(name, report)                          # the last of all: it says that the rest is there
    baby.flat[...] = last
    return Run(name, cfg, report, completion, workspace.root)


def save_weights(workspace, name, baby):
    of = {part: leaf for path, leaf in tree.leaves(baby.spec) for part in parts_of(path, leaf)}
    workspace.save_model(name, {n: backend.to_numpy(w) for n, w in baby.weights().items()}, {n: leaf.kind for n, leaf in of.items()},
                         {n: leaf.train for n, leaf in of.items()}, baby.config.c_snapshot)


def parts_of(path, leaf):
    """The names under which a leaf's parts go: itself, or wq, wk, wv of wqkv"""
    return [path[:path.rfind(".") + 1] + part for part, _ in leaf.parts] or [path]


def row(event, length):
    """An evaluation as a report keeps it"""
    bits = None if event.valid_loss is None else event.valid_loss / log(2) / length
    return dict(asdict(event), bits_per_character=bits)


def figures(baby, state, report, completion, source):
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
                               libraries=libraries, threads=threads(cfg), ranks=together().n, peak_memory=backend.peak_memory())


def say(line):
    with suppress(OSError):                                      # a terminal that is gone must not end a run
        print(line, file=sys.stderr)


def opening(name, baby, report, state, lesson, ranks):
    """What a run says of itself before it begins"""
    cfg, n, trained = baby.config, tree.size(baby.spec), tree.size(baby.spec, train=True)
    counts = f"{n:,} parameters" + (f", {trained:,} of them trained" if trained < n else "")
    return (f"{name}\n{backend.describe()}\n"
            f"{cfg.c_attention} + {cfg.c_network}, {cfg.n_layers} layers of {cfg.n_emb}, {counts}; {report.input.name}, "
            f"{report.train_tokens:,} + {report.valid_tokens:,} {report.tokenizer} tokens of {report.vocabulary}; {state.total:,} steps of "
            f"{cfg.batch_size * cfg.n_ctx * cfg.n_accumulate:,}"
            + (f"\n{ranks.n} ranks train together, {threads(cfg)} threads in the first; should one die, {how_to_go_on(name)} the last "
               f"checkpoint" if ranks.n > 1 else "")
            + (f"\nthe floor of this text is {report.nursery_floor:.4f} nats per token" if report.nursery_floor else "")
            + "".join(f"\n{line}" for line in warnings(cfg))
            + (f"\nan evaluation reads {len(lesson.valid):,} windows, far more than a training reads between two: n_eval 200 takes so many"
               if len(lesson.valid) > 4 * (cfg.s_eval or max(1, state.total // 20)) * cfg.batch_size * cfg.n_accumulate else ""))


@contextmanager
def interruptible(stop, patient=False):
    """A question "stop now?" that Ctrl-C, SIGTERM and a closed terminal answer with yes; a second Ctrl-C interrupts at once, unless
    `patient`"""
    asked = threading.Event()

    def hear(number, _frame):
        if asked.is_set() and number == signal.SIGINT and not patient:
            raise KeyboardInterrupt
        asked.set()

    old = {}
    if threading.current_thread() is threading.main_thread():
        known = [getattr(signal, word) for word in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, word)]
        ignored = [number for number in known if signal.getsignal(number) == signal.SIG_IGN]         # as nohup does
        old = {number: signal.signal(number, hear) for number in known if number not in ignored}
    try:
        yield lambda: asked.is_set() or bool(stop and stop())
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


# checkpoints

def save_state(workspace, name, baby, state, report, steps, origin):
    """All that a run needs to go on, then the report so far"""
    arrays, numbers = freeze(baby, state)
    arrays["steps"] = np.array(steps, np.float64).reshape(-1, 4)
    workspace.save_checkpoint(name, state.step, arrays, dict(state=numbers, report=report.model_dump(mode="json"), origin=origin))
    workspace.save_report(name, report)


def go_on(workspace, guid, input, progress, stop):
    """Resume an interrupted run: the same batches, the same dropout, as if it had never stopped"""
    name = newest_interrupted(workspace) if str(guid) == "last" else workspace.resolve(guid)
    with workspace.lock(name):
        workspace.sweep(name)
        saved = workspace.load_checkpoint(name)
        if saved is None:
            raise BadInput(f"{name} has no checkpoint: it ended, or was interrupted before its first one")
        arrays, meta, wrong = saved
        if not complete(meta) or arrays.get("steps", np.empty(0)).shape[1:] != (4,):
            raise BadInput(f"the checkpoint of {name} was written by another version of littlebaby, which alone can go on with it")
        cfg, report = workspace.load_config(name), records.read(records.Report, meta["report"], f"the checkpoint of {name}")
        tokenizer, origin = texts.from_json(workspace.load_tokenizer(name)), meta["origin"]
        source, _ = material(workspace, input or origin["input"], cfg, tokenizer if report.base else None, origin["encoding"], progress,
                             origin.get("chat", False))
        if not report.input or source.sha256 != report.input.sha256:
            raise BadInput(f"{source.name} is not the text that {name} learns from (its sha256 differs); give that one with --input")
        fits(cfg.replace(lora_rank=0), arrays["flat"].size if "flat" in arrays else 0, f"the checkpoint of {name}", tokenizer)
        device(cfg)
        baby = baby_for(cfg, tokenizer)
        state = thaw(baby, arrays, meta["state"])
        for sentence in wrong:
            say(f"{sentence}; going on from the one before it, of step {state.step:,}")
        steps = map(tuple, arrays["steps"].tolist())
        return learn(workspace, nullcontext(name), baby, source, report, origin, progress, stop, state, steps)


def complete(meta):
    """Whether a checkpoint says all that a run goes on from"""
    origin = meta.get("origin") if isinstance(meta, dict) else None
    inputs = isinstance(origin, dict) and origin.get("input")
    words = inputs if isinstance(inputs, list) else [inputs]
    return bool(inputs) and all(isinstance(word, str) for word in [*words, origin.get("encoding")]) \
        and isinstance(meta.get("state"), dict) and "report" in meta


def baby_for(cfg, tokenizer=None):
    """One for a run's weights to be put into"""
    baby = Baby(cfg, tokenizer=tokenizer)
    return lora.with_adapters(baby) if cfg.lora_rank else baby


def newest_interrupted(workspace):
    """The name of the run that was begun last of all that can go on"""
    found = [run.name for run in workspace.list() if run.resumable]
    if not found:
        raise BadInput(f"there is no interrupted run in {workspace.root} that could go on; `littlebaby list` shows all runs")
    return found[-1]


# use

def load(guid="last", path=None, d_type=None):
    """A run's baby: config, tokenizer and weights in one hand. Or one out of other people's files: `guid` is then their path.

    d_type: another type of numbers than the run's or the file's own, such as "fp64"
    """
    if formats.is_foreign(guid):
        return baby_of(formats.read(guid, d_type))
    workspace = Workspace(path)
    name = workspace.resolve(guid)
    cfg = workspace.load_config(name)
    cfg = cfg.replace(d_type=d_type) if d_type else cfg
    tokenizer = texts.from_json(workspace.load_tokenizer(name)) if workspace.has_tokenizer(name) else None
    arrays, _ = workspace.load_model(name)
    fits(cfg, sum(a.size for a in arrays.values()), f"the model of {name}", tokenizer)
    baby = empty(cfg.replace(n_vocab=tokenizer.size) if tokenizer else cfg, tokenizer)
    for weight, view in baby.weights().items():
        if weight not in arrays or arrays[weight].shape != view.shape:
            found = f"has shape {arrays[weight].shape}" if weight in arrays else "is missing"
            raise BadInput(f"the model of {name}: {weight} {found}, and its config asks for {view.shape}")
        view[...] = backend.xp.asarray(arrays[weight])
    if extra := arrays.keys() - baby.weights().keys():
        raise BadInput(f"the model of {name} holds {sorted(extra)[0]}, which its config does not ask for")
    return baby


def fits(cfg, held, what, tokenizer=None):
    """BadInput where a config asks for more numbers than were `held`: found before any memory is taken for them"""
    asked = tree.size(gpt.params(cfg.replace(n_vocab=tokenizer.size) if tokenizer else cfg))
    if asked > held:
        raise BadInput(f"{what} holds {held:,} numbers, and its config asks for {asked:,}")


def empty(cfg, tokenizer):
    """A baby on its device for weights to be put into, which are all 0 so far"""
    device(cfg)
    spec = gpt.params(cfg)
    flat = backend.xp.zeros(tree.size(spec), backend.dtype(cfg.d_type))
    return Baby(cfg, vocab_size=cfg.n_vocab, tokenizer=tokenizer, flat=flat, spec=spec)


def baby_of(model):
    """A baby of a Model out of a foreign file"""
    baby = empty(model.config, model.tokenizer)
    views = baby.weights()
    for name, weight in model.weights:
        views[name][...] = backend.xp.asarray(weight)
    return baby


# other people's files

def import_(where, path=None, progress=True):
    """Make a run of a model out of other people's files: a Hugging Face folder, a GGUF, Kilat, NANO-KIMI-K2, nanoKimi, KodaLite, The
    Little Baby, or one that `export` wrote. It can then be finetuned, asked and exported as any other.
    """
    workspace = Workspace(path)
    model = formats.read(where)
    if model.note and progress:
        say(model.note)
    baby = baby_of(model._replace(weights=counted(model.weights, "reading", progress)))
    name, tokenizer = workspace.new(), model.tokenizer
    about, size = predict(baby.config, baby.config.n_ctx + 1, probe=False), tree.size(baby.spec)
    trainable = tree.size(baby.spec, train=True)
    report = records.Report(
        guid=name, origin=str(where), ended=records.now(), stop_reason="imported", environment=environment(baby.config),
        tokenizer=tokenizer.kind if tokenizer else "", vocabulary=baby.config.n_vocab, figures=records.Figures(
            parameters=records.Parameters(trainable=trainable, frozen=size - trainable, total=size), parts=about.parts,
            embedding=about.parts.get("embedding", 0), flops_per_token=about.flops_per_token, memory=about.memory))
    with workspace.lock(name):
        workspace.save_config(name, baby.config)
        if tokenizer:
            workspace.save_tokenizer(name, tokenizer.to_json())
        save_weights(workspace, name, baby)
        workspace.save_report(name, report)
    return Run(name, baby.config, report, None, workspace.root)


def export(guid="last", to="huggingface", d_type=None, out=None, path=None):
    """Write a run's model for other programs into a folder (None: exports/GUID_TO in the workspace); returns an Export.

    to: huggingface (transformers), gguf (llama.cpp), safetensors or npz (littlebaby's own names)
    d_type: fp32, fp16, bf16, fp64, for gguf fp32, fp16, q8_0; None: as the model is
    A model that no architecture of huggingface computes is written as plain safetensors, and the Export says why.
    """
    workspace = Workspace(path)
    name = workspace.resolve(guid)
    baby = load(name, path)
    chosen = formats.written_as(to, d_type or baby.config.d_type)
    weights = {n: backend.to_numpy(w) for n, w in baby.weights().items()}
    made = formats.write(baby.config, weights, baby.tokenizer, to, chosen)
    folder = Path(out).expanduser() if out else workspace.path("export", name).with_name(f"{name}_{made.to}")
    card = modelcard(info(name, path), made.to, chosen, made.notes)
    files = {**made.files, "README.md": [card.encode()]}
    for file, pieces in files.items():
        workspace.write_export(folder, file, pieces)
    return Export(name, made.to, chosen, folder, tuple(folder / file for file in files), made.notes)


@dataclass(frozen=True)
class Export:
    """What `export` wrote"""
    guid: str
    to: str
    d_type: str
    folder: Path
    files: tuple
    notes: tuple            # what had to be changed or could not be kept, a sentence each


def inference(guid="last", prompt="", max_tokens=200, temperature=0.8, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, stop=(),
              seed=None, samples=1, stream=None, path=None, draft=None):
    """What a run's baby writes after a prompt, kept as a Completion; an empty prompt begins a document.

    stream: called with every piece of text as it comes (one sample only)      seed: None draws one, which the Completion names
    draft: a smaller run of the same tokenizer that guesses ahead: less time, the same text at temperature 0, the same chances above
    """
    workspace = Workspace(path)
    name = workspace.resolve(guid)
    if samples < 1 or max_tokens < 1:
        raise BadInput(f"samples is {samples} and max_tokens {max_tokens}; both are 1 or more")
    if (stream or draft) and samples > 1:
        raise BadInput(f"samples is {samples}; only a single one can be streamed or guessed by a draft")
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    stops = [stop] if isinstance(stop, str) else [s for s in stop if s]
    baby, quick = load(name, path), draft and load(draft, path)
    if quick and quick.tokenizer.to_json() != baby.tokenizer.to_json():
        raise BadInput(f"the draft {draft} has another tokenizer than {name}; both must have the same")
    completion = write(baby, name, prompt, sampling, max_tokens, secrets.randbelow(2 ** 31) if seed is None else seed, stops, samples,
                       stream, draft=quick)
    workspace.save_completion(name, completion)
    return completion


def write(baby, name, prompt, sampling, max_tokens, seed, stops=(), samples=1, stream=None, start=None, draft=None):
    """A Completion: the prompt read (or its ids `start`), `samples` rows written side by side, each cut at its first stop string"""
    tokenizer, rng = baby.speech(), np.random.default_rng(seed)
    replaced = tokenizer.unknown_in(prompt)
    start = tokenizer.encode(prompt or tokenizer.begin) if start is None else start
    if not len(start):
        raise BadInput(f"nothing of the prompt {prompt!r} is known to this model's tokenizer")
    if draft:
        columns = ([x] for x in speculate((baby.p, baby.config), (draft.p, draft.config), start[None], max_tokens, sampling, rng))
    else:
        columns = generate(baby.p, baby.config, np.repeat(start[None], samples, 0), max_tokens, sampling, rng)
    with backend.blas_threads(threads_for_a_row(baby.flat)):
        if samples == 1:
            written = []

            def ids():
                for column in columns:
                    written.append(int(column[0]))
                    yield written[-1]

            pieces = []
            for piece in until(texts.stream(tokenizer, ids()), stops):
                pieces.append(piece)
                if stream:
                    stream(piece)
            done, count = ["".join(pieces)], len(written)
        else:
            rows = np.stack(list(columns), 1)
            done, count = ["".join(until([tokenizer.decode(row)], stops)) for row in rows], rows.shape[1]
    settings = records.Settings(**asdict(sampling), max_tokens=max_tokens, stop=list(stops))
    return records.Completion(guid=name, prompt=prompt, replaced=replaced, text=done[0], samples=done if samples > 1 else [],
                              prompt_tokens=len(start), tokens=count, seed=seed, settings=settings)


def chat(guid="last", system="", template=None, max_tokens=200, temperature=0.8, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0,
         seed=None, path=None):
    """A conversation with a run's baby: `talk = chat(guid)`, then `talk("Hi")` answers and `talk.stream("Hi")` answers piece by piece.

    template: how messages are spelled for it; None takes the run's own c_template      seed: None draws one
    """
    workspace = Workspace(path)
    name = workspace.resolve(guid)
    baby = load(name, path)
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    keep = lambda record: workspace.save_chat(records.Chat(guid=name, **record))
    seed = secrets.randbelow(2 ** 31) if seed is None else seed
    return Conversation(baby, template or baby.config.c_template, sampling, max_tokens, seed, system, keep)


def evaluate(guid="last", input=None, task=None, path=None, encoding="utf-8", limit=0, overlap=None, progress=True):
    """What a run's baby foresees of a text, and how it answers a task: dict(text=Foresight, choices=Choices, cloze=Cloze), None for what
    was not asked.

    task: a JSONL file of questions (`text.tasks` says of which kinds), or the name of one of the eight that `datasets` can bring
    limit: only the first questions, 0 for all      overlap: the share of a window that is only read; None is the run's r_overlap
    """
    if input is None and task is None:
        raise BadInput("an evaluation needs a text, --input FILE, or questions, --task FILE.jsonl, or both")
    if limit < 0 or overlap is not None and not 0 <= overlap <= 0.95:
        raise BadInput(f"limit is {limit} and overlap {overlap}; allowed are limit 0 (all) or more, and overlap from 0 to 0.95")
    workspace = Workspace(path)
    items, source = asked(workspace, task, encoding, limit), input and workspace.read_text(input, encoding)
    baby = load(guid, path)
    watch = lambda parts: counted(parts, "evaluating", progress)
    with backend.blas_threads(1 if how_many(baby.config) > 1 else None):
        text = foresight(baby, source.text, overlap, watch) if source else None
    with backend.blas_threads(threads_for_a_row(baby.flat)):
        choices, cloze = score(baby, items, watch) if items else (None, None)
    return dict(text=text, choices=choices, cloze=cloze)


def asked(workspace, task, encoding, limit):
    """The items of a task, a file's or one that datasets brings"""
    if task is None:
        return []
    try:
        if str(task) in HUB_TASKS:
            return tasks.of(enumerate(questions(str(task))[:limit or None], 1))
        return tasks.read(workspace.read_text(task, encoding).text)[:limit or None]
    except BadInput as error:
        raise BadInput(f"{task}: {error}") from None


def info(guid="last", path=None):
    """The card of a run: what it is, what it came to, which files it has"""
    workspace = Workspace(path)
    name = workspace.resolve(guid)
    cfg = workspace.load_config(name)
    report = workspace.load_report(name) if workspace.existing("report", name).exists() else None
    written = workspace.load_completion(name).text if workspace.existing("completion", name).exists() else ""
    run = workspace.run(name)
    return dict(guid=name, config=cfg.model_dump(), report=report and report.model_dump(mode="json"), completion=written,
                resumable=run.resumable, in_use=run.in_use, checkpoint=run.checkpoint,
                files=[dict(path=str(file.path), bytes=file.bytes) for file in workspace.files(name)])


# a closer look: pages that show themselves in a notebook, `save(path)` writes them

def microscope(guid="last", text=None, path=None):
    """A run's baby while it reads a text of yours: losses, attention, guesses by layer, gradients, memory. None: what it wrote itself"""
    workspace = Workspace(path)
    name = workspace.resolve(guid)
    baby = load(name, path)
    if text is None:
        final = workspace.existing("completion", name).exists()
        written = workspace.load_completion(name).text if final else write(baby, name, "", Sampling(0.8), SENTENCE, seed=0).text
        text = written.strip()[:SENTENCE]
    return scope.look(baby, text, name)


def walk(variant, **settings):
    """An attention, network or norm line by line, forth and back, with its numbers; `break_` plants a mistake in a copy of it"""
    return walks.walk(variant, **settings)


def diary(*guids, prompts=(), path=None):
    """Runs side by side: losses, samples, cards, what they know by heart; what a finetune changed, with the texts that both write
    after `prompts` (none: nothing, and how its old and its new text begin). None given: the newest run"""
    workspace = Workspace(path)
    return diaries.Diary([told(workspace, workspace.resolve(guid), prompts) for guid in guids or ["last"]])


def told(workspace, name, prompts):
    """A run's entry in a diary"""
    about, report = info(name, workspace.root), None
    if about["report"]:
        report = workspace.load_report(name)
    source = text_of(workspace, report)
    base = report and report.base
    known = bool(base) and base in workspace.names() and workspace.existing("model", base).exists()
    return diaries.Entry(name, about, report, source, tuned(workspace, base, name, report, source, prompts) if known else None)


def text_of(workspace, report):
    """The text that a run learned from, None where it is gone or has changed"""
    try:
        source = workspace.read_text(report.input.name) if report and report.input else None
    except BadInput:
        return None
    return source.text if source and source.sha256 == report.input.sha256 else None


def tuned(workspace, base, name, after, source, prompts):
    """What a finetune changed. Reads and writes with both babies, which takes seconds"""
    old, new = load(base, workspace.root), load(name, workspace.root)
    first = workspace.load_report(base) if workspace.existing("report", base).exists() else None
    sources = {title: text for title, text in ((titled(first, "old"), text_of(workspace, first)), (titled(after, "new"), source)) if text}
    begins = dict.fromkeys(["", *(" ".join(text.split(" ")[:4]) for text in sources.values())])
    wrote = lambda baby, prompt: write(baby, name, prompt, Sampling(0.8), diaries.TOKENS, seed=0).text
    hosts = [{each: backend.to_numpy(w) for each, w in baby.weights().items()} for baby in (old, new)]
    return diaries.Change(base, diaries.difference(*hosts),
                          [(title, diaries.loss_on(old, text), diaries.loss_on(new, text)) for title, text in sources.items()],
                          [(prompt, wrote(old, prompt), wrote(new, prompt)) for prompt in prompts or begins])


def titled(report, age):
    return f"{report.input.name}, the {age} text" if report and report.input else f"the {age} text"


def kept(page, kind, name, path=None):
    """Write a page into outputs/; returns its path"""
    return page.save(Workspace(path).path(kind, name))


def delete(guid, path=None, finetuned=False, yes=False, ask=input):
    """Remove all files of a run and of no other, its finetunes only if asked; returns the paths that went.

    ask: a question to which "y" or "yes" agrees; `yes` asks nothing
    """
    workspace = Workspace(path)
    name = workspace.resolve(guid)
    going = workspace.going(name, finetuned)
    listing = "\n".join(f"  {file.path}  {file.bytes:,} bytes" for file in going)
    if not yes and ask(f"{listing}\nDelete these {len(going)}? [y/N] ").strip().lower() not in ("y", "yes"):
        return []
    return [str(file.path) for file in workspace.delete(name, finetuned)]


def pack(guid="last", path=None):
    """All files of a run in one zip, outputs/archive_GUID.zip, to take it elsewhere; returns its path"""
    workspace = Workspace(path)
    name = workspace.resolve(guid)
    with workspace.lock(name):
        return workspace.pack(name)


def runs(path=None):
    """Every run of a workspace, the oldest first"""
    return Workspace(path).list()


# texts

def fetch(name, path=None, progress=True):
    """Bring a text into inputs/ by its name or URL, or a data set by datasets:NAME; returns its path"""
    with Counter(progress) as counter:
        return download(name, Workspace(path), counter)


def nursery(size="300kB", seed=0, path=None):
    """Write a nursery of this size into inputs/; returns its path"""
    name = f"nursery_{size}_{seed}.txt"
    return Workspace(path).write_input(name, (story for story, _ in grammar.pieces(in_bytes(size), seed)))


def prepare(input, output=None, tokenizer="char", s_vocabulary=4096, c_unknown="replace", encoding="utf-8", field="text", size=None,
            workers=0, path=None, progress=True):
    """Turn texts of any size into a token file, from which a training reads only what it needs; returns its path.

    output     a path, or None: inputs/NAME.tok      tokenizer  char, word or bpe, which learn from the text (s_vocabulary, c_unknown);
    a tokenizer.json; a GUID or last, the tokenizer of that run      field  of .jsonl and .parquet
    size       read no further than that many characters, 300kB, 1GB (None: everything)      workers  processes (0: one a core)
    A text whose symbols are to be learned is read twice. Interrupted, it leaves nothing behind.
    """
    workspace = Workspace(path)
    found = sources.find(workspace, input)
    if len(found) > 1 or found[0].kind == "tokens" or found[0].weight is not None:
        raise BadInput("prepare makes one token file of texts: give it no token files and no weights, those are for train")
    if workers < 0:
        raise BadInput(f"workers is {workers}; allowed is a whole number from 0, one a core")
    stem = Path(found[0].name.split(" and ")[0].removeprefix(sources.DATASET).replace("/", "_")).name.split(".")[0]
    lies = Path(output).expanduser() if output else workspace.root / "inputs" / f"{stem}.tok"
    if lies.suffix != ".tok":
        raise BadInput(f"output is {str(output)!r}; a token file's name ends in .tok; did you mean {lies.with_suffix('.tok')}?")
    if lies.exists():
        raise BadInput(f"{lies} exists already; choose another name or delete it first")
    if tokenizer in texts.KINDS:
        records.Config(c_tokenizer=tokenizer, s_vocabulary=s_vocabulary, c_unknown=c_unknown)
        kind = tokenizer
    elif str(tokenizer).endswith(".json"):
        kind = corpus.named(tokenizer)
    elif str(tokenizer) == "last" or set(str(tokenizer).lower()[:8]) <= set("0123456789abcdef-"):
        kind = texts.from_json(workspace.load_tokenizer(workspace.resolve(tokenizer)))
    else:
        raise BadInput(records.nearest("tokenizer", tokenizer, texts.KINDS) + "; or a tokenizer.json, or a run's GUID")
    with Counter(progress) as counter:
        return preparing.prepare(workspace, found[0].paths, lies, kind, s_vocabulary, c_unknown, encoding, field,
                                 size and in_bytes(size), workers, counter)


def in_bytes(size):
    """300kB, 10MB, 1GB or a number, in bytes"""
    words = dict(gb=10 ** 9, mb=10 ** 6, kb=10 ** 3, b=1)
    word = str(size).strip().lower()
    unit = next((u for u in words if word.endswith(u)), "")
    try:
        value = float(word.removesuffix(unit)) * words.get(unit, 1)
    except ValueError:
        value = float("nan")
    if not 1000 <= value <= 10 ** 12:
        raise BadInput(f"size is {size!r}; allowed is a number of bytes from 1kB to 1000GB, such as 300kB, 10MB or 1GB")
    return int(value)


# before a run, and about the code

def preflight(input=None, preset=None, config=None, path=None, encoding="utf-8", probe=True, **settings):
    """What a training would cost, before it begins: parameters, FLOPs, memory, tokens per parameter, minutes on this machine"""
    return predict(*sized(input, preset, config, path, encoding, settings), probe)


def sized(input=None, preset=None, config=None, path=None, encoding="utf-8", settings=(), progress=True):
    """The Config of a training with the vocabulary that its text has, and the number of tokens to learn from"""
    cfg = configured(preset, config, settings)
    source, tokenizer = material(Workspace(path), input or "nursery", cfg, None, encoding, progress)
    device(cfg)
    begins = tokenizer.encode(tokenizer.begin)
    trained = sum(len(split(part.ids(tokenizer), cfg, begins)[0]) for part in source.parts)
    return cfg.replace(n_vocab=tokenizer.size), trained


def panel(path=None):
    """All of this with buttons, for a notebook; it needs ipywidgets, `pip install 'littlebaby[notebook]'`"""
    try:
        from .show.panel import Panel
    except ModuleNotFoundError as error:
        raise BadInput(f"the panel needs {error.name}: pip install 'littlebaby[notebook]'") from None
    return Panel(sys.modules[__name__], path)


def bench(sizes=None, progress=True):
    """What this machine makes of models of four sizes, S0 to S3 or those of `sizes`: [Bench]"""
    unknown = [name for name in sizes or () if name not in benches.SIZES]
    if unknown:
        raise BadInput(nearest("size", unknown[0], benches.SIZES))
    found = []
    for name in counted(list(sizes or benches.SIZES), "measuring", progress):
        cfg = benches.config(name)
        device(cfg)
        found.append(benches.bench(name, cfg))
    return found


def check(variant):
    """The laws of one attention, network, norm or position: a row of numbers for every option it is tried with"""
    return verdicts(variant)
