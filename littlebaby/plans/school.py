"""school: train a run's model further on its own samples, judged by a reward, or on pairs of texts of which one is preferred."""
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import BadInput, nearest, not_a_divisor
from ..inference.baby import Baby
from ..runs import records
from ..runs.aliases import renamed
from ..runs.settings import Config, keys, module_of
from ..training import lora
from ..training.mpi import launched_ranks
from ..training.rewards import PROMPTS, REWARDS, Reward, name_of
from .model_io import load, require_same_weights, use_device
from .process_control import open_workspace
from .school_data import school_source, with_longest_answer
from .training import resume_run
from .training_run import Run, run_training

# of a run of school, where nothing else is given; all other settings are those of the base
DEFAULTS = dict(c_optimizer="adamw", r_learn=5e-4, r_weight_decay=0.0, c_schedule="constant", s_warmup="none", r_clip=1.0, r_dropout=0.0,
                batch_size=16, n_accumulate=4, n_steps=100, s_eval=5, s_checkpoint=0, lora_rank=0, lora_alpha=0.0, r_minutes=0.0)
# of grpo: many samples, a leash, and advantages that are not divided by a small standard deviation where most samples are right; with less
# of a leash the baby soon tells only the plot in which it makes the fewest mistakes
OF_GRPO = dict(r_learn=1e-3, r_kl=0.1, b_group_std=False, batch_size=32)
ENOUGH = 100_000      # steps of a run that r_minutes ends


def school(guid: str = "last", reward: str | Reward | None = None, prompts: str | Path | Sequence[str] = (),
           pairs: str | Path | None = None, path: str | Path | None = None, resume: str | None = None, encoding: str = "utf-8",
           progress: bool | Callable[[Any], object] = True, stop: Callable[[], bool] | None = None, **settings: Any) -> Run:
    """Train a run's model on its own samples, which a reward judges, or on pairs of texts, as a new run GUID_school; the old run does not
    change.

    Every step the model writes batch_size * n_accumulate texts; the reward judges them, and the method c_school makes good ones more
    likely. The report holds 200 samples, judged before and after. Ctrl-C ends the run after the current step, as in `train`, and
    `lb.train(resume=...)`, or for a function as reward `lb.school(resume=..., reward=...)`, resumes it.

    Args:
        guid: Run to start from: its GUID, the first 4 or more characters of it, or "last".
        reward: Name of a reward, as the setting c_reward; or the GUID of a reward model; or a function of (prompt, text) that returns a
            number ["nursery"].
        prompts: Prompts that begin the texts, or a text file with a prompt in each line [every text begins a new document].
        pairs: JSONL file of pairs, {"prompt": ..., "chosen": ..., "rejected": ...} a line, in place of a reward; for dpo, or with
            c_school="reward_model" for a model that learns to judge.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        resume: GUID of an interrupted run of `school` to continue, or "last".
        encoding: Encoding of the files.
        progress: As in `train`; the events have the reward and other measures in `measures`.
        stop: As in `train`.
        settings: Settings of `Config` that differ from the base's and from the defaults of `school`: adamw with r_learn 5e-4, constant,
            without weight decay, batch_size 16, n_accumulate 4, n_steps 100, and for the reward sums n_per_prompt 8. With r_minutes alone
            the number of steps has no limit.

    Returns:
        The saved run; `report.school` has the samples before and after.

    Raises:
        BadInput: There is no such run or reward, the pairs or a setting cannot be used, or a setting changes the shapes of the weights.
        RunFailed: As in `train`.

    >>> run = lb.school("last", reward=lambda prompt, text: -len(text), n_steps=2, batch_size=4, n_accumulate=1, n_answer=20,
    ...                 n_completion=0, progress=False)
    >>> run.report.school.method, run.report.school.after.samples
    ('grpo', 200)
    """
    if launched_ranks().n > 1:
        raise BadInput(f"school was started with {launched_ranks().n} MPI processes; allowed is 1")
    workspace = open_workspace(path)
    function = reward if callable(reward) else None
    if resume is not None:
        if prompts or pairs or settings:
            raise BadInput("a resumed run keeps its own settings: give resume without settings, or start a new run")
        return resume_run(workspace, resume, None, progress, stop, function)
    named = renamed(dict(settings))
    reward_model = ""
    if reward is not None:
        if isinstance(reward, str) and re.fullmatch(r"[0-9a-f-]{4,}\S*|last", reward):
            reward_model = workspace.resolve(reward, "model")
        elif isinstance(reward, str) and reward not in REWARDS:
            raise BadInput(nearest("reward", reward, [*REWARDS]) + "; the GUID of a reward model is allowed too, and in Python a function "
                                                                   "of (prompt, text)")
        named["c_reward"] = "function" if function else "model" if reward_model else reward
    base = workspace.resolve(guid, "model")
    old = load(base, workspace.root)
    old.require_tokenizer()
    cfg = school_config(old.config, named, pairs is not None)
    require_same_weights(old.config, cfg.replace(b_scalar_head=False), named)
    workspace.require_writable()
    begins = read_prompts(workspace, prompts, encoding)
    cfg = with_longest_answer(cfg, old.tokenizer, begins)
    use_device(cfg)
    before = workspace.load_report(base)
    file = str(pairs) if pairs else ""
    origin = dict(input=[file], encoding=encoding, chat=False, sources=[], school=True, prompts=begins, pairs=file,
                  reward_model=reward_model)
    source = school_source(workspace, old, before, cfg, function, origin)
    baby = Baby(cfg, tokenizer=old.tokenizer)                    # the head of a reward model is new
    for weight, view in baby.weights().items():
        if weight in old.weights() and view.shape == old.weights()[weight].shape:
            view[...] = old.weights()[weight]
    if cfg.lora_rank:
        baby = lora.with_adapters(baby)
    about = records.Input(name=source.name, bytes=source.bytes, characters=source.characters, sha256=source.sha256)
    report = records.Report(guid=base, base=base, tokenizer=old.tokenizer.kind, vocabulary=old.tokenizer.size,
                            input=before.input if source.reward else about, base_evaluations=before.evaluations,
                            school=records.School(method=cfg.c_school, reward=name_of(source.reward) if source.reward else "",
                                                  pairs=len(source.pairs)))
    return run_training(workspace, workspace.locked_derived(base, "school"), baby, source, report, origin, progress, stop)


def school_config(cfg: Config, named: dict[str, Any], pairs: bool) -> Config:
    """The Config of a run of `school`: that of the base with DEFAULTS and with the given settings"""
    unlimited = dict(n_steps=ENOUGH, s_eval=20) if named.get("r_minutes") and "n_steps" not in named else {}
    of_pairs = dict(c_school="dpo", n_accumulate=1) if pairs else {}
    groups = dict(n_per_prompt=8) if named.get("c_reward") in PROMPTS else {}    # one prompt a step would teach one problem
    method = named.get("c_school", of_pairs.get("c_school", "grpo"))
    new = cfg.replace(**DEFAULTS | dict(c_school=method) | (OF_GRPO if method == "grpo" else {}) | of_pairs | groups | unlimited | named)
    method, N = module_of("c_school", new.c_school), new.batch_size * new.n_accumulate
    if hasattr(method, "rank_loss"):
        new = new.replace(b_scalar_head=True, n_sample=0, n_completion=0)
        if not pairs:
            raise BadInput("c_school is reward_model, which learns from pairs: give --pairs FILE.jsonl")
    elif pairs and not hasattr(method, "pair_loss"):
        raise BadInput(f"c_school is {new.c_school}; allowed with pairs are dpo and reward_model; did you mean dpo?")
    if not pairs and new.n_per_prompt and N % new.n_per_prompt:
        raise BadInput(not_a_divisor("n_per_prompt", new.n_per_prompt, "batch_size * n_accumulate", N))
    return new


def defaults() -> dict[str, Any]:
    """{setting: value} of a run of `school` for which nothing is given, for the help; all other settings are those of the base"""
    return {key.name: key.default for key in keys() if key.group == "school"} | DEFAULTS | OF_GRPO


def read_prompts(workspace: Any, prompts: str | Path | Sequence[str], encoding: str) -> list[str]:
    """The prompts of a list, or of the lines of a file"""
    if not isinstance(prompts, str | Path):
        return [str(prompt) for prompt in prompts]
    return [line for line in workspace.read_text(prompts, encoding).text.splitlines() if line.strip()]
