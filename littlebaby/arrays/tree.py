"""Weights as named views of one flat vector; gradients and optimizer states are vectors with the same names.

`params(cfg)` of a layer returns a spec: nested dicts and lists of leaves. `views(spec, flat)` returns the arrays.
Trainable leaves come first in the vector, frozen ones after them. A vector may also hold the trainable part only (a gradient, an optimizer
state); the frozen leaves of its views are then Sinks, which ignore `+=`.
"""
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy

from .backend import xp

PIECE = 2**20      # number of random weights generated at a time


@dataclass(frozen=True)
class Leaf:
    """The description of one weight array"""
    shape: tuple
    kind: str          # matrix, table, head, router, vector, lora or taps (a filter): decides how an optimizer treats it
    fill: float = 0.0  # mean of the initial values
    std: float = 0.0   # their standard deviation
    train: bool = True
    parts: tuple = ()  # ((name, width), ...) of several matrices side by side, for one product with all of them


def matrix(i: int, o: int, std: float = 0.02, kind: str = "matrix", train: bool = True) -> Leaf: return Leaf((i, o), kind, 0.0, std, train)
def table(n: int, d: int) -> Leaf: return Leaf((n, d), "table", 0.0, 0.02)
def vector(n: int, fill: float = 0.0, train: bool = True) -> Leaf: return Leaf((n,), "vector", fill, train=train)


def fused_matrices(i: int, std: float = 0.02, **widths: int) -> Leaf:
    """Matrices (i, width) side by side: fused_matrices(D, wq=H, wk=H, wv=H) is one (D, 3H) leaf with the parts wq, wk and wv"""
    return Leaf((i, sum(widths.values())), "matrix", 0.0, std, parts=tuple(widths.items()))


def fused_vectors(**widths: int) -> Leaf:
    """Vectors end to end: the biases of `fused_matrices`"""
    return Leaf((sum(widths.values()),), "vector", parts=tuple(widths.items()))


class Tree(dict):
    """A dict whose entries are attributes too, p.blocks[0].att.wqkv. Arrays can only be changed in place."""
    __getattr__ = dict.__getitem__

    def __setattr__(self, name: str, value: Any) -> None:
        if self.get(name) is not value:
            raise TypeError(f"write g.{name} += ..., not g.{name} = ...")

    def add(self, **grads: Any) -> None:
        """`g.add(wo=dwo, bo=dbo)` is g.wo += dwo and g.bo += dbo; None, the gradient of a missing bias, is ignored"""
        for name, grad in grads.items():
            if grad is not None:
                self[name] += grad


class Lora:
    """A frozen matrix w (I, O), with or without trainable adapters of rank r in some of its columns: w + scale a b.

    In a spec it holds leaves, in p arrays, in g their gradients; only `ops.linear` and `ops.full_matrix` use its parts. `columns`: the
    ranges ((first, last), ...) of columns of w with an adapter; a (I, r for each) and b (r, all widths) hold the adapters side by side.
    """

    def __init__(self, w: Any, a: Any = None, b: Any = None, scale: float = 0.0, columns: tuple = ()) -> None:
        self.w, self.a, self.b, self.scale, self.columns = w, a, b, scale, columns

    @property
    def shape(self) -> tuple:
        """(I, O)"""
        return self.w.shape

    def parts(self) -> Iterator[tuple[slice, slice, slice]]:
        """The columns of each adapter in w, in a and in b"""
        at, r = 0, self.b.shape[0] if self.columns else 0
        for i, (first, last) in enumerate(self.columns):
            yield slice(first, last), slice(i * r, i * r + r), slice(at, at + last - first)
            at += last - first

    def __iadd__(self, grads: Any) -> "Lora":                    # g.wq += dwq, as in every variant
        if self.columns:
            self.a += grads[0]
            self.b += grads[1]
        return self


class Sink:
    """The gradient of a frozen leaf: it ignores `+=`"""

    def __iadd__(self, grad: Any) -> "Sink":
        return self


def leaves(spec: Any, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """Yield (path, leaf) in the order of declaration"""
    if isinstance(spec, Leaf):
        yield path, spec
    elif isinstance(spec, Lora):
        yield path, spec.w
        if spec.columns:
            yield f"{path}_lora_a", spec.a
            yield f"{path}_lora_b", spec.b
    else:
        pairs: Iterable = spec.items() if isinstance(spec, dict) else enumerate(spec)
        for name, child in pairs:
            yield from leaves(child, f"{path}.{name}" if path else str(name))


def size(spec: Any, train: bool | None = None) -> int:
    """Number of weights: all of them, the trainable (True) or the frozen ones (False)"""
    return sum(prod(leaf.shape) for _, leaf in leaves(spec) if train in (None, leaf.train))


def offsets(spec: Any) -> dict[str, tuple[int, int]]:
    """{path: (first, last)}, the range of every leaf in the flat vector"""
    at, out = {True: 0, False: size(spec, train=True)}, dict[str, tuple[int, int]]()
    for path, leaf in leaves(spec):
        n = prod(leaf.shape)
        out[path] = at[leaf.train], at[leaf.train] + n
        at[leaf.train] += n
    return out


HALF_PRECISION_KINDS = ("matrix", "head")  # kinds whose products lose little in half precision; routers, norms and biases need more


def views(spec: Any, flat: Any, half: Any = None) -> Any:
    """The tree of views of `flat` (n,) in the structure of `spec`. If `half` (n,) is given, which holds the same numbers in half precision,
    the leaves of HALF_PRECISION_KINDS are views of `half`"""
    at = offsets(spec)

    def build(node, path):
        if isinstance(node, Leaf):
            first, last = at[path]
            source = half if half is not None and node.kind in HALF_PRECISION_KINDS else flat
            return source[first:last].reshape(node.shape) if last <= flat.size else Sink()
        if isinstance(node, Lora):
            factors = [build(each, f"{path}_lora_{name}") for name, each in (("a", node.a), ("b", node.b)) if node.columns]
            a, b = factors or (None, None)
            return Lora(build(node.w, path), a, b, node.scale, node.columns)
        build_child = lambda name, child: build(child, f"{path}.{name}" if path else str(name))
        if isinstance(node, dict):
            return Tree((name, build_child(name, child)) for name, child in node.items())
        return [build_child(i, child) for i, child in enumerate(node)]

    return build(spec, "")


def named(spec: Any, flat: Any) -> dict[str, Any]:
    """{path: view}, with fused leaves split into their parts: {"blocks.0.att.wq": (D, H), ...}"""
    out, at = dict[str, Any](), offsets(spec)
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


def init(spec: Any, rng: numpy.random.Generator, dtype: Any) -> Any:
    """A new flat vector (n,) of random weights. They are generated on the CPU, so that a seed gives the same weights on every device, in
    the order of declaration, and in pieces, to save memory"""
    flat, at = numpy.zeros(size(spec), dtype), offsets(spec)
    for path, leaf in leaves(spec):
        first, last = at[path]
        for begin in range(first, last, PIECE):
            piece = flat[begin:min(begin + PIECE, last)]
            piece[...] = leaf.fill + leaf.std * rng.standard_normal(len(piece)) if leaf.std else leaf.fill
    return xp.asarray(flat)
