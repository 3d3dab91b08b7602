"""lora: adapters of low rank on the matrices of any model, for finetuning.

    y = x w + s (x a) b        w (I, O) frozen, a (I, r) random with variance 1 / I, b (r, O) zero, s = `lora_alpha` / `lora_rank`
Since b is zero, the first step computes the base's results. Training changes only a and b, r (I + O) numbers in place of I O, and at the
end s a b is added to w. In a fused matrix every targeted part has an adapter of its own.

`adapt` rewrites the spec. The variants need no change, because they use their matrices through `linear` (or `full_matrix`), which
supports Lora.
Hu et al. 2021, arXiv:2106.09685.  Deviation: the paper leaves the variance of a open; ours gives x a the standard deviation of x.
"""
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from ..arrays import full_matrix, tree
from ..arrays.backend import to_numpy, xp
from ..arrays.tree import Leaf, Lora
from ..errors import BadInput
from ..inference.baby import Baby
from ..model import gpt


def adapt(spec: Any, targets: Iterable[str], rank: int, alpha: float) -> Any:
    """The spec with adapters on every matrix whose name, such as blocks.0.att.wq, matches one of `targets`; all other weights are frozen.

    Raises:
        BadInput: A target matches no matrix.
    """
    unused, names = set(targets), list[str]()

    def matches(name):
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
        columns: dict[str, tuple[int, int]] = {}
        parts, at = leaf.parts or ((path[len(stem):], out),), 0
        for part, width in parts:
            if matches(stem + part):
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
        verb = "matches" if len(unused) == 1 else "match"
        raise BadInput(f"lora_targets contains {', '.join(map(repr, sorted(unused)))}, which {verb} no matrix; "
                       f"allowed are {', '.join(dict.fromkeys(names[:12]))}{', ...' if len(names) > 12 else ''}")
    return new


def with_adapters(baby: Baby) -> Baby:
    """A copy of the baby with new adapters, as lora_rank, lora_alpha and lora_targets say, and the same weights"""
    cfg = baby.config
    spec = adapt(baby.spec, cfg.lora_targets.replace(",", " ").split(), cfg.lora_rank, cfg.lora_alpha)
    new = Baby(cfg, seed=cfg.seed, tokenizer=baby.tokenizer, spec=spec)
    weights = new.weights()
    for name, w in baby.weights().items():
        weights[name][...] = w
    return new


def merged(baby: Baby) -> Baby:
    """An equivalent baby without adapters: every matrix is w + s a b, in the precision of the weights"""
    n = tree.size(gpt.params(baby.config))
    new = Baby(baby.config, tokenizer=baby.tokenizer, flat=xp.empty(n, baby.flat.dtype))

    def merge(p, into):
        for name, child in p.items() if isinstance(p, dict) else enumerate(p):
            if isinstance(child, (dict, list)):
                merge(child, into[name])
            else:
                into[name][...] = full_matrix(child)[0]

    merge(baby.p, new.p)
    return new


def adapters(baby: Baby) -> dict[str, np.ndarray]:
    """The adapters by name: {"blocks.0.att.wq_lora_a": array, ...}"""
    return {name: to_numpy(w) for name, w in tree.named(baby.spec, baby.flat).items() if name.endswith(("_lora_a", "_lora_b"))}
