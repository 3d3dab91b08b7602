"""Babies from files and into files: those of runs, imported ones, and copies with a larger vocabulary."""
from collections.abc import Iterable
from math import log
from pathlib import Path
from typing import Any

from .. import text as texts
from ..arrays import backend, tree
from ..errors import BadInput
from ..inference.baby import Baby
from ..model import gpt
from ..runs import formats
from ..runs.run_files import brief
from ..runs.settings import Config, keys
from ..runs.store import Workspace, command
from ..training import lora

UNSEEN = 15.0      # nats: new tokens together get at most exp(-15) of the probability; a few hundred training steps raise it


def load(guid: str | Path = "last", path: str | Path | None = None, d_type: str | None = None, reward_model: bool = False) -> Baby:
    """Load the model of a run, or a model of another program, without making a run of it.

    Args:
        guid: Run: its GUID, the first 4 or more characters of it, or "last". Or the path of files that `import_` accepts.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        d_type: Type of the numbers: fp16, fp32 or fp64 [the model's own].
        reward_model: Whether a reward model is wanted, whose `logits` (B, T, 1) are the reward after every token.

    Returns:
        The baby: config, tokenizer and weights.

    Raises:
        BadInput: There is no such run or file, it is damaged, or only one of it and `reward_model` is a reward model.

    >>> baby = lb.load("last", d_type="fp64")
    >>> baby.weights()["token"].dtype
    dtype('float64')
    """
    if formats.is_foreign(guid):
        return baby_from_model(formats.read_model(guid, d_type))
    workspace = Workspace(path)
    name = workspace.resolve(str(guid), "model")
    cfg = workspace.load_config(name)
    cfg = cfg.replace(d_type=d_type) if d_type else cfg
    if cfg.b_scalar_head != reward_model:
        words = f"{brief(name)} --pairs FILE --c_school reward_model" if reward_model else f"GUID --reward {brief(name)}"
        school = f"`{command(f'school {words}', workspace.root)}`"
        raise BadInput(f"{name} is no reward model; {school} makes one of it" if reward_model else
                       f"{name} is a reward model: it gives a text a number and generates none; {school} learns from it")
    tokenizer = texts.from_json(workspace.load_tokenizer(name)) if workspace.has_tokenizer(name) else None
    arrays, _ = workspace.load_model(name)
    check_size(cfg, sum(a.size for a in arrays.values()), f"the model of {name}", tokenizer)
    baby = zeroed_baby(cfg.replace(n_vocab=tokenizer.size) if tokenizer else cfg, tokenizer)
    for weight, view in baby.weights().items():
        if weight not in arrays or arrays[weight].shape != view.shape:
            found = f"has shape {arrays[weight].shape}" if weight in arrays else "is missing"
            raise BadInput(f"the model of {name}: {weight} {found}; its config requires {view.shape}")
        view[...] = backend.xp.asarray(arrays[weight])
    if extra := arrays.keys() - baby.weights().keys():
        raise BadInput(f"the model of {name} holds {sorted(extra)[0]}, which its config does not have")
    return baby


def baby_from_model(model: Any) -> Baby:
    """A baby with the config, tokenizer and weights of a `formats.Model`"""
    baby = zeroed_baby(model.config, model.tokenizer)
    views = baby.weights()
    for name, weight in model.weights:
        views[name][...] = backend.xp.asarray(weight)
    return baby


def zeroed_baby(cfg: Config, tokenizer: Any) -> Baby:
    """A baby on its device with all weights 0"""
    use_device(cfg)
    spec = gpt.params(cfg)
    flat = backend.xp.zeros(tree.size(spec), backend.dtype(cfg.d_type))
    return Baby(cfg, vocab_size=cfg.n_vocab, tokenizer=tokenizer, flat=flat, spec=spec)


def baby_for(cfg: Config, tokenizer: Any = None) -> Baby:
    """A baby with the weights, and adapters if lora_rank is above 0, into which a checkpoint is copied"""
    baby = Baby(cfg, tokenizer=tokenizer)
    return lora.with_adapters(baby) if cfg.lora_rank else baby


def check_size(cfg: Config, held: int, what: str, tokenizer: Any = None) -> None:
    """Raise BadInput if a config has more weights than the `held` numbers of a file; found before memory is allocated"""
    required = tree.size(gpt.params(cfg.replace(n_vocab=tokenizer.size) if tokenizer else cfg))
    if required > held:
        raise BadInput(f"{what} holds {held:,} numbers; its config requires {required:,}")


def require_same_weights(old: Config, new: Config, given: Iterable[str]) -> None:
    """Raise BadInput if a finetune with the config `new` cannot start from the weights of the config `old`; given: the changed settings"""
    if weights_fit(old, new):
        return
    fits_alone = {name: weights_fit(old, old.replace(**{name: getattr(new, name)})) for name in given}
    name = next((name for name, fits in fits_alone.items() if not fits), "")
    was = getattr(old, name, None)
    raise BadInput(f"{name} is {getattr(new, name)!r}; allowed in finetune is {was!r}, as in the base, whose weights depend on it; did you "
                   f"mean {was}?" if name else "these settings together need other weights than those of the base; finetune without them")


def changed_functions(old: Config, new: Config) -> list[str]:
    """A sentence for every model setting with another value in `new`, with which the same weights compute another function"""
    extended = ("n_vocab", "n_ctx", "n_rope_ctx", "b_bias_head", "d_type")              # what a finetune may extend without that
    return [f"{key.name} is {getattr(new, key.name)}, but the weights of the base were trained with {getattr(old, key.name)}"
            for key in keys() if key.group == "model" and key.name not in extended and getattr(old, key.name) != getattr(new, key.name)]


def weights_fit(old: Config, new: Config) -> bool:
    """Whether every weight of `old` exists in `new` with the same shape, and every other weight of `new` starts at 0.

    The vocabularies are not compared, and a table may become longer, as that of the positions does with n_ctx.
    """
    has, needs = (dict(tree.leaves(gpt.params(cfg.replace(n_vocab=1)))) for cfg in (old, new))
    same = lambda a, b: a.parts == b.parts and (a.shape == b.shape or a.kind == "table" and a.shape[0] < b.shape[0]
                                                and a.shape[1:] == b.shape[1:])
    return all(path in needs and same(leaf, needs[path]) for path, leaf in has.items()) and all(
        leaf.fill == leaf.std == 0 for path, leaf in needs.items() if path not in has)


def grow_vocabulary(old: Baby, cfg: Config, tokenizer: Any) -> Baby:
    """A copy of the old baby with a larger vocabulary: every learned weight is copied, and new tokens start with a low probability.

    The head column of a new token is the mean of the old columns, so its logit is the mean m of the old logits plus its bias. For V old
    logits m <= logsumexp - log V (Jensen). The bias is the old mean less UNSEEN + max(0, log(n / V)), so at every position the n new
    tokens together get at most exp(-UNSEEN) of the probability: the loss of old text rises by at most exp(-UNSEEN) = 3e-7 nats.
    Without a bias of the head (b_bias_head false and c_bias not "out") each new token gets at most 1 / V.
    """
    baby = Baby(cfg, seed=cfg.seed, tokenizer=tokenizer)
    new = baby.weights()
    for name, w in old.weights().items():
        new[name][tuple(slice(n) for n in w.shape)] = w
    V, n = old.config.n_vocab, cfg.n_vocab - old.config.n_vocab
    if not n:
        return baby
    if "head.w" in new:
        new["head.w"][:, V:] = new["head.w"][:, :V].mean(1, keepdims=True)
    else:
        new["token"][V:] = new["token"][:V].mean(0)
    if "head.b" in new:
        new["head.b"][V:] = new["head.b"][:V].mean() - UNSEEN - max(0, log(n / V))
    return baby


def use_device(cfg: Config) -> None:
    """Compute on the device that the config names from now on"""
    backend.use(cfg.c_device, cfg.c_device_gpu_core, cfg.c_device_gpu_tensor)
    backend.tune_malloc()


def save_weights(workspace: Workspace, name: str, baby: Baby) -> None:
    """Write the model file of a run"""
    leaf_of = {part: leaf for path, leaf in tree.leaves(baby.spec) for part in part_names(path, leaf)}
    workspace.save_model(name, {n: backend.to_numpy(w) for n, w in baby.weights().items()},
                         {n: leaf.kind for n, leaf in leaf_of.items()}, {n: leaf.train for n, leaf in leaf_of.items()},
                         baby.config.c_snapshot)


def part_names(path: str, leaf: tree.Leaf) -> list[str]:
    """Names of a leaf's weights: its path, or those of the parts of a fused matrix (wq, wk and wv of wqkv)"""
    return [path[:path.rfind(".") + 1] + part for part, _ in leaf.parts] or [path]
