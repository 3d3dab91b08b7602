"""train and finetune: train a model and write all files of its run. An interrupted run resumes from its checkpoint and computes the same
numbers as without the interruption."""
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from .. import text as texts
from ..errors import BadInput
from ..inference.baby import Baby
from ..runs import records
from ..runs.aliases import renamed
from ..runs.settings import Config
from ..runs.store import Workspace
from ..training import lora
from ..training.checkpoint import state_from_arrays
from ..training.rewards import Reward
from .model_io import baby_for, changed_functions, check_size, grow_vocabulary, load, require_same_weights, use_device
from .process_control import (
    newest_interrupted,
    on_all_ranks,
    open_workspace,
    print_to_stderr,
)
from .school_data import school_source
from .training_data import (
    finetune_config,
    input_record,
    is_complete,
    load_input,
    make_config,
    recall_input,
    remember_input,
    with_own_tokenizer,
)
from .training_run import Run, run_training


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
        preset: Name of a preset; `littlebaby catalog presets` lists them [nursery for the nursery, characters for
            another text; none if config is given].
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
    cfg = make_config(preset, config, settings, input)
    if cfg.lora_rank:
        raise BadInput(f"lora_rank is {cfg.lora_rank}; allowed is 0 in train, because adapters are added to a trained model by finetune; "
                       f"did you mean 0?")
    workspace.require_writable()
    return train_as(workspace, workspace.new(), cfg, input or "nursery", encoding, progress, stop)


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
    return run_training(workspace, workspace.locked_derived(base, "finetuned"), baby, source, report, origin, progress, stop)


def train_as(workspace: Workspace, name: str, cfg: Config, input: Any, encoding: str = "utf-8",
             progress: bool | Callable[[Any], object] = True, stop: Callable[[], bool] | None = None) -> Run:
    """Train a new run of this name; the other arguments are those of `train`"""
    source, tokenizer = load_input(workspace, input, cfg, None, encoding, progress)
    cfg = cfg.replace(c_tokenizer=tokenizer.kind) if cfg.c_tokenizer in texts.KINDS else cfg
    use_device(cfg)
    baby = Baby(cfg, seed=cfg.seed, tokenizer=tokenizer)
    origin = remember_input(workspace, input, encoding)
    report = records.Report(guid=name, tokenizer=tokenizer.kind, vocabulary=tokenizer.size, input=input_record(source, origin))
    return run_training(workspace, workspace.lock(name), baby, source, report, origin, progress, stop)


def resume_run(workspace: Workspace, guid: str, input: str | Path | list[str] | None, progress: bool | Callable[[Any], object],
               stop: Callable[[], bool] | None, reward: Reward | None = None) -> Run:
    """Resume an interrupted run with the same batches and dropout masks as without the interruption; reward: the function of a run of
    `school` whose reward is one"""
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
        if origin.get("school"):
            base = load(workspace.resolve(report.base, "model"), workspace.root)
            source: Any = school_source(workspace, base, workspace.load_report(report.base), cfg, reward, origin)
        else:
            where, is_chat = input or recall_input(workspace, origin, report.input), origin.get("chat", False)
            source, _ = load_input(workspace, where, with_own_tokenizer(cfg, workspace.existing("tokenizer", name)),
                                   tokenizer if report.base else None, origin["encoding"], progress, is_chat)
            origin = remember_input(workspace, where, origin["encoding"], is_chat)
        if report.input and source.sha256 != report.input.sha256:
            raise BadInput(f"{source.name} is not the training text of {name} (its sha256 differs); give the original text with --input")
        check_size(cfg.replace(lora_rank=0), arrays["flat"].size if "flat" in arrays else 0, f"the checkpoint of {name}", tokenizer)
        use_device(cfg)
        baby = baby_for(cfg, tokenizer)
        state = state_from_arrays(baby, arrays, meta["state"])
        for sentence in wrong:
            print_to_stderr(f"{sentence}; resuming from the checkpoint before it, of step {state.step:,}")
        return run_training(workspace, nullcontext(name), baby, source, report, origin, progress, stop, state,
                            map(tuple, arrays["steps"].tolist()))
