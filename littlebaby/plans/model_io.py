"""Babies from files and into files: a run's own, imported ones, and one with a larger vocabulary made from another."""
from math import log

from .. import text as texts
from ..arrays import backend, tree
from ..errors import BadInput
from ..inference.baby import Baby
from ..model import gpt
from ..runs import formats
from ..runs.store import Workspace
from ..training import lora

UNSEEN = 15.0      # nats: new tokens together get at most exp(-15) of the probability; a few hundred steps lift them


def load(guid="last", path=None, d_type=None):
    """A run's baby: config, tokenizer and weights in one hand. Or one out of other people's files: `guid` is then their path.

    d_type: another type of numbers than the run's or the file's own, such as "fp64"
    """
    if formats.is_foreign(guid):
        return baby_from_model(formats.read_model(guid, d_type))
    workspace = Workspace(path)
    name = workspace.resolve(guid)
    cfg = workspace.load_config(name)
    cfg = cfg.replace(d_type=d_type) if d_type else cfg
    tokenizer = texts.from_json(workspace.load_tokenizer(name)) if workspace.has_tokenizer(name) else None
    arrays, _ = workspace.load_model(name)
    check_size(cfg, sum(a.size for a in arrays.values()), f"the model of {name}", tokenizer)
    baby = zeroed_baby(cfg.replace(n_vocab=tokenizer.size) if tokenizer else cfg, tokenizer)
    for weight, view in baby.weights().items():
        if weight not in arrays or arrays[weight].shape != view.shape:
            found = f"has shape {arrays[weight].shape}" if weight in arrays else "is missing"
            raise BadInput(f"the model of {name}: {weight} {found}, and its config asks for {view.shape}")
        view[...] = backend.xp.asarray(arrays[weight])
    if extra := arrays.keys() - baby.weights().keys():
        raise BadInput(f"the model of {name} holds {sorted(extra)[0]}, which its config does not ask for")
    return baby


def baby_from_model(model):
    """A baby of a Model out of a foreign file"""
    baby = zeroed_baby(model.config, model.tokenizer)
    views = baby.weights()
    for name, weight in model.weights:
        views[name][...] = backend.xp.asarray(weight)
    return baby


def zeroed_baby(cfg, tokenizer):
    """A baby on its device for weights to be put into, which are all 0 so far"""
    use_device(cfg)
    spec = gpt.params(cfg)
    flat = backend.xp.zeros(tree.size(spec), backend.dtype(cfg.d_type))
    return Baby(cfg, vocab_size=cfg.n_vocab, tokenizer=tokenizer, flat=flat, spec=spec)


def baby_for(cfg, tokenizer=None):
    """One for a run's weights to be put into"""
    baby = Baby(cfg, tokenizer=tokenizer)
    return lora.with_adapters(baby) if cfg.lora_rank else baby


def check_size(cfg, held, what, tokenizer=None):
    """BadInput where a config asks for more numbers than were `held`: found before any memory is taken for them"""
    asked = tree.size(gpt.params(cfg.replace(n_vocab=tokenizer.size) if tokenizer else cfg))
    if asked > held:
        raise BadInput(f"{what} holds {held:,} numbers, and its config asks for {asked:,}")


def grow_vocabulary(old, cfg, tokenizer):
    """The old baby with a larger vocabulary: every learned weight is copied as it is, and new tokens start improbable.

    A new token's head column is the mean of the old ones, so its logit is the mean m of the old logits plus its bias. For V old logits
    m <= logsumexp - log V (Jensen); with the bias UNSEEN + max(0, log(n / V)) below the old mean, the n new tokens together get at most
    exp(-UNSEEN) of the probability wherever the text stands: the loss of old text rises by at most exp(-UNSEEN) = 3e-7 nats.
    Without a bias on the head (cfg.b_bias_head false, c_bias not out) each of them gets at most 1 / V, and no more is promised.
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


def use_device(cfg):
    """Make the run's device the one that arrays live on"""
    backend.use(cfg.c_device, cfg.c_device_gpu_core, cfg.c_device_gpu_tensor)
    backend.tune_malloc()


def save_weights(workspace, name, baby):
    of = {part: leaf for path, leaf in tree.leaves(baby.spec) for part in part_names(path, leaf)}
    workspace.save_model(name, {n: backend.to_numpy(w) for n, w in baby.weights().items()}, {n: leaf.kind for n, leaf in of.items()},
                         {n: leaf.train for n, leaf in of.items()}, baby.config.c_snapshot)


def part_names(path, leaf):
    """The names under which a leaf's parts go: itself, or wq, wk, wv of wqkv"""
    return [path[:path.rfind(".") + 1] + part for part, _ in leaf.parts] or [path]
