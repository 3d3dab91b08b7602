"""lora: adapters of low rank on the matrices of any model, at finetuning.

    y = x w + s (x a) b        w (I, O) frozen, a (I, r) drawn with variance 1 / I, b (r, O) zero, s = `lora_alpha` / `lora_rank`
The first step sees the base as it was; training changes a and b alone, r (I + O) numbers in place of I O, and what has been learned
folds back into w at the end. In a fused matrix every targeted part has an adapter of its own.

`adapt` rewrites the spec: a variant meets its matrices through `linear` (or `whole`), which knows what a Lora is, and is never touched.
Hu et al. 2021, arXiv:2106.09685.  Deviation: the paper draws a from any Gaussian; ours gives x a the spread of x.
"""
from dataclasses import replace
from fnmatch import fnmatchcase

from ..arrays import full_matrix, tree
from ..arrays.backend import to_numpy, xp
from ..arrays.tree import Leaf, Lora
from ..errors import BadInput
from ..inference.baby import Baby
from ..model import gpt


def adapt(spec, targets, rank, alpha):
    """The spec with adapters on every matrix whose name, such as blocks.0.att.wq, fits one of `targets`; all else is frozen.

    BadInput for a target that fits none.
    """
    unused, names = set(targets), []

    def fits(name):
        names.append(name)
        found = {target for target in targets if fnmatchcase(name, target)}
        unused.difference_update(found)
        return bool(found)

    def build(node, path):
        if isinstance(node, Leaf):
            return adapted(node, path)
        below = lambda name, child: build(child, f"{path}.{name}" if path else str(name))
        if isinstance(node, dict):
            return {name: below(name, child) for name, child in node.items()}
        return [below(i, child) for i, child in enumerate(node)]

    def adapted(leaf, path):
        frozen = replace(leaf, train=False)
        if leaf.kind not in ("matrix", "head") or len(leaf.shape) != 2:
            return frozen
        stem, (wide, out) = path[:path.rfind(".") + 1], leaf.shape
        parts, columns, at = leaf.parts or ((path[len(stem):], out),), {}, 0
        for part, width in parts:
            if fits(stem + part):
                columns[part] = at, at + width
            at += width
        if not columns:
            return Lora(frozen)
        named = lambda letter, widths: tuple((f"{part}_lora_{letter}", n) for part, n in widths) if leaf.parts else ()
        widths = [(part, last - first) for part, (first, last) in columns.items()]
        a = Leaf((wide, rank * len(columns)), "lora", std=wide ** -0.5, parts=named("a", [(part, rank) for part in columns]))
        b = Leaf((rank, sum(n for _, n in widths)), "lora", parts=named("b", widths))
        return Lora(frozen, a, b, alpha / rank, tuple(columns.values()))

    new = build(spec, "")
    if unused:
        raise BadInput(f"lora_targets asks for {', '.join(sorted(unused))}, which fits no matrix; "
                       f"there are {', '.join(dict.fromkeys(names[:12]))}{', ...' if len(names) > 12 else ''}")
    return new


def with_adapters(baby):
    """The baby as its config's lora_ settings ask: fresh adapters over its weights, which stay as they are"""
    cfg = baby.config
    spec = adapt(baby.spec, cfg.lora_targets.replace(",", " ").split(), cfg.lora_rank, cfg.lora_alpha)
    new = Baby(cfg, seed=cfg.seed, tokenizer=baby.tokenizer, spec=spec)
    weights = new.weights()
    for name, w in baby.weights().items():
        weights[name][...] = w
    return new


def merged(baby):
    """The plain baby that computes the same: w + s a b in every matrix's place, in the precision of the weights"""
    n = tree.size(gpt.params(baby.config))
    new = Baby(baby.config, tokenizer=baby.tokenizer, flat=xp.empty(n, baby.flat.dtype))

    def fold(p, into):
        for name, child in p.items() if isinstance(p, dict) else enumerate(p):
            if isinstance(child, (dict, list)):
                fold(child, into[name])
            else:
                into[name][...] = full_matrix(child)[0]

    fold(baby.p, new.p)
    return new


def adapters(baby):
    """The adapters by name: {"blocks.0.att.wq_lora_a": array, ...}"""
    return {name: to_numpy(w) for name, w in tree.named(baby.spec, baby.flat).items() if name.endswith(("_lora_a", "_lora_b"))}
