"""Weights: named views into one flat vector. Gradients, moments and shards: the same names on another vector.

`params(cfg)` of a layer gives a spec: nested dicts and lists of leaves. `views(spec, flat)` gives the arrays.
Trainable leaves come first in the vector, frozen ones after them. A vector as long as the trainable stretch (a gradient,
Adam's moments) is enough for `views`: what is frozen answers `+=` there and forgets it.
"""
from dataclasses import dataclass
from math import prod

import numpy

from .backend import xp

PIECE = 2**20      # weights that are drawn at a time


@dataclass(frozen=True)
class Leaf:
    shape: tuple
    kind: str          # matrix | table | head | router | vector | lora: what an optimizer may do with it
    fill: float = 0.0  # where it starts
    std: float = 0.0   # and how far it is scattered around that
    train: bool = True
    parts: tuple = ()  # ((name, width), ...): several matrices side by side, so that one product serves them all


def matrix(i, o, std=0.02, kind="matrix", train=True): return Leaf((i, o), kind, 0.0, std, train)
def table(n, d): return Leaf((n, d), "table", 0.0, 0.02)
def vector(n, fill=0.0, train=True): return Leaf((n,), "vector", fill, train=train)


def fused_matrices(i, std=0.02, **widths):
    """Matrices (i, width) side by side: `columns(D, wq=H, wk=H, wv=H)` is one (D, 3H) leaf, seen as wq, wk, wv by name"""
    return Leaf((i, sum(widths.values())), "matrix", 0.0, std, parts=tuple(widths.items()))


def fused_vectors(**widths):
    """Vectors end to end: the biases of `columns`"""
    return Leaf((sum(widths.values()),), "vector", parts=tuple(widths.items()))


class Tree(dict):
    """A dict read as attributes: p.blocks[0].att.wqkv. Leaves change only in place."""
    __getattr__ = dict.__getitem__

    def __setattr__(self, name, value):
        if self.get(name) is not value:
            raise TypeError(f"write g.{name} += ..., not g.{name} = ...")


    def add(self, **grads):
        """`g.add(wo=dwo, bo=dbo)` is g.wo += dwo and g.bo += dbo; None, the gradient of a bias that is not there, is passed over"""
        for name, grad in grads.items():
            if grad is not None:
                self[name] += grad


class Lora:
    """A frozen matrix w (I, O), with or without a trainable correction of low rank, w + scale a b, in some of its columns.

    In a spec it holds leaves, in p arrays, in g their gradients; only `ops.linear` and `ops.whole` look inside. `columns`: the stretches
    ((first, last), ...) of w that have an adapter of their own; a (I, r each) and b (r, widths) hold them side by side.
    """

    def __init__(self, w, a=None, b=None, scale=0.0, columns=()):
        self.w, self.a, self.b, self.scale, self.columns = w, a, b, scale, columns

    @property
    def shape(self):
        return self.w.shape

    def parts(self):
        """For each adapter its columns in w, in a and in b"""
        at, r = 0, self.b.shape[0] if self.columns else 0
        for i, (first, last) in enumerate(self.columns):
            yield slice(first, last), slice(i * r, i * r + r), slice(at, at + last - first)
            at += last - first

    def __iadd__(self, grads):                                   # g.wq += dwq, as every variant writes it
        if self.columns:
            self.a += grads[0]
            self.b += grads[1]
        return self


class Sink:
    """The gradient of what is frozen"""

    def __iadd__(self, grad):
        return self


def leaves(spec, path=""):
    """(path, leaf) in the order of declaration"""
    if isinstance(spec, Leaf):
        yield path, spec
    elif isinstance(spec, Lora):
        yield path, spec.w
        if spec.columns:
            yield f"{path}_lora_a", spec.a
            yield f"{path}_lora_b", spec.b
    else:
        pairs = spec.items() if isinstance(spec, dict) else enumerate(spec)
        for name, child in pairs:
            yield from leaves(child, f"{path}.{name}" if path else str(name))


def size(spec, train=None):
    """How many numbers: all of them, the trainable (True) or the frozen (False)"""
    return sum(prod(leaf.shape) for _, leaf in leaves(spec) if train in (None, leaf.train))


def offsets(spec):
    """path -> (first, last) in the flat vector"""
    at, out = {True: 0, False: size(spec, train=True)}, {}
    for path, leaf in leaves(spec):
        n = prod(leaf.shape)
        out[path] = at[leaf.train], at[leaf.train] + n
        at[leaf.train] += n
    return out


HALF_PRECISION_KINDS = ("matrix", "head")  # kinds whose products lose little in half precision; all else decides, adds up or is small


def views(spec, flat, half=None):
    """The tree of views that `spec` names over `flat`; leaves of the HALVED kinds over `half`, the same numbers in half precision"""
    at = offsets(spec)

    def build(node, path):
        if isinstance(node, Leaf):
            first, last = at[path]
            seen = half if half is not None and node.kind in HALF_PRECISION_KINDS else flat
            return seen[first:last].reshape(node.shape) if last <= flat.size else Sink()
        if isinstance(node, Lora):
            factors = [build(each, f"{path}_lora_{name}") for name, each in (("a", node.a), ("b", node.b)) if node.columns]
            a, b = factors or (None, None)
            return Lora(build(node.w, path), a, b, node.scale, node.columns)
        below = lambda name, child: build(child, f"{path}.{name}" if path else str(name))
        if isinstance(node, dict):
            return Tree((name, below(name, child)) for name, child in node.items())
        return [below(i, child) for i, child in enumerate(node)]

    return build(spec, "")


def named(spec, flat):
    """path -> view, with fused leaves split into their parts: {"blocks.0.att.wq": (D, H), ...}"""
    out, at = {}, offsets(spec)
    for path, leaf in leaves(spec):
        first, last = at[path]
        if last > flat.size:
            continue
        whole, start = flat[first:last].reshape(leaf.shape), 0
        if not leaf.parts:
            out[path] = whole
        for name, width in leaf.parts:
            out[path[:path.rfind(".") + 1] + name] = whole[..., start:start + width]
            start += width
    return out


def init(spec, rng, dtype):
    """A fresh flat vector: every leaf drawn by its own law, in the order of declaration, on the host, so that a seed means the same
    weights on every device. A leaf is drawn in pieces, which need little memory of their own"""
    flat, at = numpy.zeros(size(spec), dtype), offsets(spec)
    for path, leaf in leaves(spec):
        first, last = at[path]
        for begin in range(first, last, PIECE):
            piece = flat[begin:min(begin + PIECE, last)]
            piece[...] = leaf.fill + leaf.std * rng.standard_normal(len(piece)) if leaf.std else leaf.fill
    return xp.asarray(flat)
