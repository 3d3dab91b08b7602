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
from math import log
from pathlib import Path

import numpy as np

from . import text as texts
from .arrays import backend, tree
from .errors import BadInput, RunFailed
from .learning import lora
from .learning.baby import Baby
from .learning.checkpoint import freeze, thaw
from .learning.data import Batches, split, windows
from .learning.generate import generate, until
from .learning.parallel import how_many
from .learning.sampling import Sampling
from .learning.train import Checkpoint, Done, Evaluation, Step, begin
from .learning.train import train as events
from .runs import disk, records
from .runs.fetch import fetch as download
from .runs.store import Workspace, brief
from .show import charts
from .show.laws import verdicts
from .show.preflight import preflight as predict
from .show.progress import Watcher
from .text import nursery as grammar
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


# train and finetune

def train(input=None, preset=None, config=None, path=None, resume=None, encoding="utf-8", progress=True, stop=None, **settings):
    """Train a baby and keep it: any config key is a setting, `train(input="my.txt", n_layers=6)`; with none, the nursery's preset.

    config: a JSON file of settings      stop: asked after each step
    resume: a GUID or "last", the newest interrupted run: it goes on as if it had never stopped
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
    source = workspace.read_text(input or "nursery", encoding)
    device(cfg)
    tokenizer = tokenizer_for(cfg, source.text)
    baby = Baby(cfg, seed=cfg.seed, tokenizer=tokenizer)
    name = workspace.new()
    report = records.Report(guid=name, tokenizer=tokenizer.kind, vocabulary=tokenizer.size, input=describe(source))
    origin = dict(input=str(input or "nursery"), encoding=encoding)
    return learn(workspace, workspace.lock(name), baby, source, report, origin, progress, stop)


def finetune(guid, input=None, path=None, encoding="utf-8", progress=True, stop=None, **settings):
    """Go on training a run's baby on another text, under a new name GUID_finetuned; the old run stays as it is.

    Characters that the baby does not know yet are appended: no learned row moves. The learning rate starts at a fifth of the
    base's and half as many steps are made, unless r_learn, n_steps or n_epochs say otherwise.

    With lora_rank only adapters learn, at the base's own learning rate; the model is saved with the adapters merged in, and they
    once more apart. A frozen table cannot learn new symbols, so a text that has some is refused.
    """
    workspace = Workspace(path)
    base = workspace.resolve(guid)
    old = load(base, path)
    if input is None:
        raise BadInput("a finetune needs a text: --input FILE or the name of one in inputs/")
    source = workspace.read_text(input, encoding)
    tokenizer, new = old.tokenizer.extend(source.text)
    settings = records.renamed(settings)
    half = dict(n_steps=max(1, old.config.n_steps // 2)) if "n_epochs" not in settings else dict(n_steps=0)
    cfg = old.config.replace(**{"lora_rank": 0, "lora_alpha": 0.0, **half, **settings, "n_vocab": tokenizer.size})
    if "r_learn" not in settings and not cfg.lora_rank:
        cfg = cfg.replace(r_learn=old.config.r_learn / 5)
    if cfg.lora_rank and new:
        raise BadInput(f"{len(new)} symbols of {source.name} are new to this baby ({' '.join(map(repr, new[:10]))}), and with lora_rank "
                       f"its tables stay frozen: finetune without lora_rank")
    device(cfg)
    baby = grown(old, cfg, tokenizer)
    if cfg.lora_rank:
        baby = lora.with_adapters(baby)
    before = workspace.load_report(base)
    if new and progress:
        say(f"{len(new)} new symbols appended: {' '.join(map(repr, new[:20]))}{' ...' if len(new) > 20 else ''}")
    report = records.Report(guid=base, base=base, tokenizer=tokenizer.kind, vocabulary=tokenizer.size, input=describe(source),
                            base_evaluations=before.evaluations)
    origin = dict(input=str(input), encoding=encoding)
    return learn(workspace, workspace.locked_finetune(base), baby, source, report, origin, progress, stop)


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


def tokenizer_for(cfg, text):
    """A tokenizer trained on the text, or read from the file that c_tokenizer names"""
    if cfg.c_tokenizer in texts.KINDS:
        return texts.train(cfg.c_tokenizer, text, cfg.s_vocabulary, cfg.c_unknown)
    return texts.from_json(disk.read_json(Path(cfg.c_tokenizer)))


def describe(source):
    return records.Input(name=source.name, bytes=source.bytes, characters=len(source.text), sha256=source.sha256)


UNBORN = 15.0      # nats below the least likely old symbol: no old loss changes in float32, and a few hundred steps lift it
SMALL = 2**24       # weights below which one thread multiplies a single row faster than several that must meet after every product


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


def learn(workspace, lock, baby, source, report, origin, progress, stop, state=None, steps=()):
    """Train a baby from `state` (None: from the start) and write all its files

    lock: keeps a run to oneself and says its name      steps: (step, loss, rate, norm) of those that were made before
    Nothing of what a killed run needs goes before all else is written.
    """
    cfg, tokenizer = baby.config, baby.tokenizer
    ids = tokenizer.encode(source.text)
    trained, held_out = split(ids, cfg, tokenizer.encode(tokenizer.begin))
    saved = state and state.step                                 # the step of the checkpoint on the disk
    batches, valid = Batches(trained, cfg, cfg.seed), windows(held_out, cfg.n_ctx, cfg.n_eval, cfg.r_overlap)
    state = state or begin(baby, cfg.n_steps or max(1, batches.steps(cfg.n_epochs) // cfg.n_accumulate))
    heard = tokenizer.decode(held_out)
    length = len(heard) / max(len(held_out), 1)                  # characters per token
    known = grammar.floor(heard)
    floor = known * length if known else None
    report = report.model_copy(update=dict(train_tokens=len(trained), valid_tokens=len(held_out), nursery_floor=floor,
                                           environment=environment(cfg)))
    with lock as name, interruptible(stop) as stopped:
        report = report.model_copy(update=dict(guid=name))
        if not state.step:
            workspace.save_config(name, cfg, report.base)
            workspace.save_tokenizer(name, tokenizer.to_json())
        workspace.save_report(name, report)
        watch = Watcher(state, floor) if progress else lambda event: None
        if progress:
            say(opening(name, baby, report, state))
        rows, steps, reason = list(report.evaluations), list(steps), ""
        hint = lambda: "" if saved is None else f"; `littlebaby train --resume {brief(name)}` goes on from step {saved:,}"
        try:
            for event in events(baby, state, batches, valid, stopped, opener(tokenizer)):
                watch(event)
                if isinstance(event, Step):
                    steps.append((event.step, event.loss, event.rate, event.norm))
                elif isinstance(event, Evaluation):
                    rows.append(records.Evaluation(**row(event, length)))
                    report = report.model_copy(update=dict(evaluations=rows))
                elif isinstance(event, Done):
                    reason = event.reason
                if isinstance(event, Checkpoint) or isinstance(event, Done) and state.step != saved:
                    save_state(workspace, name, baby, state, report, steps, origin)
                    saved = state.step
            done = finish(workspace, name, baby, state, report, reason, steps, source)
        except RunFailed as failure:
            save_state(workspace, name, baby, state, report, steps, origin)
            finish(workspace, name, baby, state, report, "not finite", steps, source)
            raise RunFailed(f"{failure}; the run {name} is saved up to its last good step") from None
        except BadInput as failure:                              # a disk that is full, or gone
            raise BadInput(f"{failure}{hint()}") from None
        except KeyboardInterrupt:                                # a second Ctrl-C, in the middle of a step or of the last files
            if saved is not None:
                say(f"stopped at once{hint()}")
            raise
        finally:
            if progress:
                watch.close()
        if reason != "interrupted" and not cfg.b_keep_last:
            workspace.remove_checkpoint(name)
        return done


def finish(workspace, name, baby, state, report, reason, steps, source):
    """The best weights, the closing text, the report and the picture"""
    cfg, last = baby.config, baby.flat.copy()
    if state.best_flat is not None:
        baby.flat[...] = state.best_flat
    kept = lora.merged(baby) if cfg.lora_rank else baby
    if cfg.lora_rank:
        about = dict(base=report.base, lora_rank=cfg.lora_rank, lora_alpha=cfg.lora_alpha, lora_targets=cfg.lora_targets)
        workspace.save_adapters(name, lora.adapters(baby), about)
    leaves = dict(tree.leaves(kept.spec))
    of = {part: leaf for path, leaf in leaves.items() for part in parts_of(path, leaf)}
    workspace.save_model(name, {n: backend.to_numpy(w) for n, w in kept.weights().items()}, {n: leaf.kind for n, leaf in of.items()},
                         {n: leaf.train for n, leaf in of.items()}, cfg.c_snapshot)
    completion = None
    if cfg.n_completion and reason in ("finished", "early stop"):
        completion = write(kept, name, "", Sampling(temperature=0.8), cfg.n_completion, seed=cfg.seed)
        workspace.save_completion(name, completion, final=True)
    right = grammar.grammatical(completion.text) if completion and report.nursery_floor else None
    report = report.model_copy(update=dict(
        marks=right and records.Marks(**right._asdict()), ended=records.now(), environment=environment(cfg),
        stop_reason=reason, best_step=state.best_step,
        best_valid_loss=state.best_loss if state.best_step else None, figures=figures(baby, state, report, completion, source)))
    workspace.save_chart(name, charts.chart(report, steps))
    workspace.save_report(name, report)                          # the last of all: it says that the rest is there
    baby.flat[...] = last
    return Run(name, cfg, report, completion, workspace.root)


def parts_of(path, leaf):
    """The names under which a leaf's parts go: itself, or wq, wk, wv of wqkv"""
    return [path[:path.rfind(".") + 1] + part for part, _ in leaf.parts] or [path]


def row(event, length):
    """An evaluation as a report keeps it"""
    bits = None if event.valid_loss is None else event.valid_loss / log(2) / length
    return dict(asdict(event), bits_per_character=bits)


def opener(tokenizer):
    """What stands before a document, as ids (1, T): where a text without a prompt begins"""
    return np.atleast_2d(tokenizer.encode(tokenizer.begin))


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
        longest_overlap=len(longest(written, source.text)) if written else None,
        overlap_share=recited(written, source.text) if written else None)


def environment(cfg):
    libraries = {name: records.version(name) for name in ("numpy", "threadpoolctl", "regex", "pydantic")}
    return records.Environment(device=backend.describe(), python=platform.python_version(), platform=platform.platform(),
                               libraries=libraries, threads=how_many(cfg), peak_memory=backend.peak_memory())


def say(line):
    with suppress(OSError):                                      # a terminal that is gone must not end a run
        print(line, file=sys.stderr)


def opening(name, baby, report, state):
    """What a run says of itself before it begins"""
    cfg, n, trained = baby.config, tree.size(baby.spec), tree.size(baby.spec, train=True)
    counts = f"{n:,} parameters" + (f", {trained:,} of them trained" if trained < n else "")
    return (f"{name}\n{backend.describe()}\n"
            f"{cfg.c_attention} + {cfg.c_network}, {cfg.n_layers} layers of {cfg.n_emb}, {counts}; {report.input.name}, "
            f"{report.train_tokens:,} + {report.valid_tokens:,} {report.tokenizer} tokens of {report.vocabulary}; {state.total:,} steps of "
            f"{cfg.batch_size * cfg.n_ctx * cfg.n_accumulate:,}"
            + (f"\nthe floor of this text is {report.nursery_floor:.4f} nats per token" if report.nursery_floor else ""))


@contextmanager
def interruptible(stop):
    """A question "stop now?" that Ctrl-C, SIGTERM and a closed terminal answer with yes; a second Ctrl-C interrupts at once"""
    asked = threading.Event()

    def hear(number, _frame):
        if asked.is_set() and number == signal.SIGINT:
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
        if not {"state", "report", "origin"} <= meta.keys() or "steps" not in arrays:
            raise BadInput(f"the checkpoint of {name} was written by another version of littlebaby, which alone can go on with it")
        cfg, report = workspace.load_config(name), records.read(records.Report, meta["report"], f"the checkpoint of {name}")
        source = workspace.read_text(input or meta["origin"]["input"], meta["origin"]["encoding"])
        if source.sha256 != report.input.sha256:
            raise BadInput(f"{source.name} is not the text that {name} learns from (its sha256 differs); give that one with --input")
        device(cfg)
        baby = Baby(cfg, tokenizer=texts.from_json(workspace.load_tokenizer(name)))
        if cfg.lora_rank:
            baby = lora.with_adapters(baby)
        state = thaw(baby, arrays, meta["state"])
        for sentence in wrong:
            say(f"{sentence}; going on from the one before it, of step {state.step:,}")
        steps = map(tuple, arrays["steps"].tolist())
        return learn(workspace, nullcontext(name), baby, source, report, meta["origin"], progress, stop, state, steps)


def newest_interrupted(workspace):
    """The name of the run that was begun last of all that can go on"""
    found = [run.name for run in workspace.list() if run.resumable]
    if not found:
        raise BadInput(f"there is no interrupted run in {workspace.root} that could go on; `littlebaby list` shows all runs")
    return found[-1]


# use

def load(guid="last", path=None):
    """A run's baby: config, tokenizer and weights in one hand"""
    workspace = Workspace(path)
    name = workspace.resolve(guid)
    cfg = workspace.load_config(name)
    tokenizer = texts.from_json(workspace.load_tokenizer(name))
    arrays, _ = workspace.load_model(name)
    device(cfg)
    baby = Baby(cfg, tokenizer=tokenizer)
    for weight, view in baby.weights().items():
        if weight not in arrays or arrays[weight].shape != view.shape:
            found = f"has shape {arrays[weight].shape}" if weight in arrays else "is missing"
            raise BadInput(f"the model of {name}: {weight} {found}, and its config asks for {view.shape}")
        view[...] = backend.xp.asarray(arrays[weight])
    if extra := arrays.keys() - baby.weights().keys():
        raise BadInput(f"the model of {name} holds {sorted(extra)[0]}, which its config does not ask for")
    return baby


def inference(guid="last", prompt="", max_tokens=200, temperature=0.8, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, stop=(),
              seed=None, samples=1, stream=None, path=None):
    """What a run's baby writes after a prompt, kept as a Completion; an empty prompt begins a document.

    stream: called with every piece of text as it comes (one sample only)      seed: None draws one, which the Completion names
    """
    workspace = Workspace(path)
    name = workspace.resolve(guid)
    if samples < 1 or max_tokens < 1:
        raise BadInput(f"samples is {samples} and max_tokens {max_tokens}; both are 1 or more")
    if stream and samples > 1:
        raise BadInput(f"samples is {samples}; only a single one can be streamed")
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    stops = [stop] if isinstance(stop, str) else [s for s in stop if s]
    completion = write(load(name, path), name, prompt, sampling, max_tokens, secrets.randbelow(2 ** 31) if seed is None else seed,
                       stops, samples, stream)
    workspace.save_completion(name, completion)
    return completion


def write(baby, name, prompt, sampling, max_tokens, seed, stops=(), samples=1, stream=None):
    """A Completion: the prompt read, `samples` rows written side by side, each cut at its first stop string"""
    tokenizer, rng = baby.tokenizer, np.random.default_rng(seed)
    replaced = tokenizer.unknown_in(prompt)
    start = tokenizer.encode(prompt) if prompt else tokenizer.encode(tokenizer.begin)
    if not len(start):
        raise BadInput(f"nothing of the prompt {prompt!r} is known to this model's tokenizer")
    columns = generate(baby.p, baby.config, np.repeat(start[None], samples, 0), max_tokens, sampling, rng)
    with backend.blas_threads(1 if backend.on_cpu() and baby.flat.size < SMALL else None):
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


def runs(path=None):
    """Every run of a workspace, the oldest first"""
    return Workspace(path).list()


# texts

def fetch(name, path=None):
    """Bring a text into inputs/ by its name or URL; returns its path"""
    return download(name, Workspace(path))


def nursery(size="300kB", seed=0, path=None):
    """Write a nursery of this size into inputs/; returns its path"""
    name = f"nursery_{size}_{seed}.txt"
    return Workspace(path).write_input(name, (story for story, _ in grammar.pieces(in_bytes(size), seed)))


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
    cfg = configured(preset, config, settings)
    source = Workspace(path).read_text(input or "nursery", encoding)
    device(cfg)
    tokenizer = tokenizer_for(cfg, source.text)
    trained, _ = split(tokenizer.encode(source.text), cfg, tokenizer.encode(tokenizer.begin))
    return predict(cfg.replace(n_vocab=tokenizer.size), len(trained), probe)


def check(variant):
    """The laws of one attention, network, norm or position: a row of numbers for every option it is tried with"""
    return verdicts(variant)
