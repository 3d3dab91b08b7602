"""A trace of one layer, forward and backward: each line of its file with the values that it computed on a small random batch.

The lines run unchanged under Python's own tracer (sys.settrace), so no variant contains code for it. A trace can also run a copy of the
layer with a planted mistake and mark every value that the mistake changes.
"""
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import model
from ..arrays import backend, tree
from ..errors import BadInput, nearest
from ..model.context import Context, variant, variants
from . import laws, mistakes
from .mistakes import Mistake

FOLDERS = ("attentions", "networks", "norms")
HOME = Path(model.__file__).parent
VALUES = 6           # at most so many values of a line are recorded


@dataclass(frozen=True)
class Value:
    """The value of a variable after a line; `array` is a copy"""
    name: str
    array: np.ndarray
    norm: float
    changed: bool = False    # whether the planted mistake changes it


@dataclass
class Line:
    """A statement or a comment line, with the values that the statement computed when it first ran"""
    first: int
    last: int
    code: str
    comment: bool
    binds: list[str]         # the back_x that it binds
    calls: list[str]         # the back_x that it calls
    targets: list[str]       # the expressions that it assigns to
    values: list[Value]
    ran: bool = False


@dataclass
class Part:
    """A function that defines its backward inside it: the lines of both"""
    name: str
    file: str
    back: str                # the name of the inner function, its backward
    forward: list[Line]
    backward: list[Line]


# the lines of a file

@lru_cache(None)
def two_way_functions(text: str) -> dict:
    """{(name, line number) of each top-level function that defines another inside it: (its lines, (name, line number) of the inner one,
    the inner one's lines)}, from a file's text"""
    found, source = {}, text.splitlines()
    for node in ast.parse(text).body:
        inner = [each for each in getattr(node, "body", []) if isinstance(each, ast.FunctionDef)]
        if isinstance(node, ast.FunctionDef) and inner:
            back = inner[0]
            forward_lines, backward_lines = source_lines(node, source, set()), source_lines(back, source, bound_backs(node))
            found[node.name, node.lineno] = forward_lines, (back.name, back.lineno), backward_lines
    return found


def bound_backs(function: ast.FunctionDef) -> set[str]:
    """The names that a function assigns to and that begin with `back`: the backward functions of the operations that it calls"""
    names = [each for node in statements(function.body) if not isinstance(node, ast.FunctionDef) for each in ast.walk(node)]
    return {each.id for each in names if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store) and each.id.startswith("back")}


def source_lines(function: ast.FunctionDef, source: list[str], backs: set[str]) -> list[Line]:
    """A function's own lines, without its docstring and without the functions defined inside it; `backs`: names that count as calls"""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    out, at = list[Line](), dict[int, Any]()
    for node in statements(body):
        inner = isinstance(node, ast.FunctionDef)
        last = node.body[0].lineno - 1 if hasattr(node, "body") and not inner else node.end_lineno
        at.update(dict.fromkeys(range(node.lineno, last + 1), None if inner else node))
        if inner:
            at.update(dict.fromkeys(range(node.lineno, node.end_lineno + 1)))
    done = set()
    for number in range(body[0].lineno if body else 0, (function.end_lineno or 0) + 1):
        text = source[number - 1]
        if number not in at and text.strip().startswith("#"):
            out.append(Line(number, number, dedent(text, function), True, [], [], [], []))
        elif (node := at.get(number)) is not None and id(node) not in done:
            done.add(id(node))
            last = node.body[0].lineno - 1 if hasattr(node, "body") else node.end_lineno
            whole = getattr(node, "iter", getattr(node, "test", node)) if hasattr(node, "body") else node
            names = [each for each in ast.walk(whole) if isinstance(each, ast.Name)]
            code = "\n".join(re.sub(r"\s{2,}#.*$", "", dedent(source[i - 1], function)) for i in range(number, last + 1)).rstrip()
            out.append(Line(number, last, code, False,
                            [n.id for n in names if isinstance(n.ctx, ast.Store) and n.id.startswith("back")],
                            [n.id for n in names if isinstance(n.ctx, ast.Load) and n.id in backs], assigned(node), []))
    return out


def statements(body: list[ast.stmt]) -> Iterator[Any]:
    """Every statement, each followed by those nested in it; the bodies of inner functions are left out"""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef):
            for branch in ("body", "orelse"):
                yield from statements(getattr(node, branch, []))


def assigned(node: Any) -> list[str]:
    """The expressions that a statement assigns to, as text; `g.add(wo=dwo)` assigns to g.wo"""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func).endswith(".add"):
        return [f"{ast.unparse(node.value.func.value)}.{each.arg}" for each in node.value.keywords]
    targets = getattr(node, "targets", [node.target] if isinstance(node, ast.AugAssign) else [])
    flat = []
    while targets:
        target, *targets = targets
        if isinstance(target, ast.Tuple | ast.List):
            targets = [*target.elts, *targets]
        elif isinstance(target, ast.Starred):
            targets = [target.value, *targets]
        else:
            flat.append(target.value if isinstance(target, ast.Subscript) else target)
    return [ast.unparse(each) for each in flat]


def dedent(text: str, function: ast.FunctionDef) -> str:
    return text[function.col_offset + 4:] if text.startswith(" " * (function.col_offset + 4)) else text.strip()


# the values of a run

class Tracer:
    """Runs a block under sys.settrace and records the first call of every function that has a forward and a backward.

    `parts`: a Part for each, in the order of the calls      texts: {file: source} of modules that are not files of model/
    """

    def __init__(self, texts: dict[str, str]):
        self.texts = texts
        self.parts = list[Part]()
        self.forward_frames = dict[tuple, list]()                # {(file, name and line of a backward): [(part, frame of its forward)]}

    def __enter__(self) -> "Tracer":
        self.old = sys.gettrace()
        sys.settrace(self.trace_call)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(self.old)

    def trace_call(self, frame, _event, _arg):
        """The tracer of a new frame, None where it is not recorded"""
        code = frame.f_code
        text = self.texts.get(code.co_filename) or variant_source(code.co_filename)
        if not text:
            return None
        if (key := (code.co_name, code.co_firstlineno)) in (known := two_way_functions(text)):
            if any((part.name, part.file) == (code.co_name, code.co_filename) for part in self.parts):
                return None
            forward, inner, backward = known[key]
            part = Part(code.co_name, code.co_filename, inner[0], without_values(forward), without_values(backward))
            self.parts.append(part)
            self.forward_frames.setdefault((code.co_filename, *inner), []).append((part, frame))
            return self.trace_lines(part.forward, part)
        for part, outer in self.forward_frames.get((code.co_filename, *key), []):
            # a frame does not know its function object: it is the backward of the recorded call if every variable that it takes from
            # the enclosing function is the same object there
            own, enclosing = frame.f_locals, outer.f_locals
            if all(own.get(name) is enclosing.get(name) for name in code.co_freevars):
                return None if any(line.values for line in part.backward) else self.trace_lines(part.backward)
        return None

    def trace_lines(self, lines: list[Line], forward_of: Part | None = None):
        """The tracer of one frame: after each line it records the values that the line assigned; `forward_of`: the frame is the forward
        of this part"""
        before: list[Line] = []

        def trace_line(frame, event, arg):
            if event in ("line", "return"):
                for line in before:
                    line.ran = True
                    record_values(line, frame.f_locals)
                before[:] = [line for line in lines if line.first <= frame.f_lineno <= line.last and not line.comment]
            if event == "return" and forward_of and not (isinstance(arg, tuple) and getattr(arg[-1], "__name__", "") == forward_of.back):
                self.parts.remove(forward_of)                    # it returned without its backward: the next call is recorded instead
            if event == "return" and arg is not None and before:
                value = arg[0] if isinstance(arg, tuple) else arg
                before[-1].values, before[-1].ran = [copied("→", value)] if isinstance(value, np.ndarray) else [], True
            return trace_line

        return trace_line


def variant_source(file: str) -> str | None:
    """The text of a variant's file, None for any other file"""
    path = Path(file)
    return text_of(file) if path.parent.parent == HOME and path.parent.name in FOLDERS and path.suffix == ".py" else None


@lru_cache(None)
def text_of(file: str) -> str:
    return Path(file).read_text("utf-8")


def without_values(lines: list[Line]) -> list[Line]:
    return [replace(line, values=[]) for line in lines]


def record_values(line: Line, variables: dict) -> None:
    """Record copies of the numbers that the line's targets hold now"""
    values = []
    for target in line.targets:
        if not target.startswith("back"):
            node: Any = variables
            for i, word in enumerate(target.split(".")):
                node = variables.get(word) if not i else getattr(node, "get", lambda word: None)(word)
            if isinstance(node, list | tuple):
                values += [copied(f"{target}[{i}]", each) for i, each in enumerate(node) if is_number(each)]
            elif is_number(node) and "xp.empty" not in line.code:            # an array that is not filled yet holds arbitrary numbers
                values.append(copied(target, node))
    line.values = values[:VALUES]


def is_number(value: object) -> bool:
    return isinstance(value, np.ndarray | np.floating | float) or isinstance(value, int) and not isinstance(value, bool)


def copied(name: str, value: Any) -> Value:
    array = np.array(value)
    return Value(name, array, float(np.sqrt((array.astype(float) ** 2).sum())))


# a layer's trace

@dataclass(frozen=True)
class LayerTrace:
    """A layer's forward and backward, line by line, with the results of the laws"""
    name: str
    folder: str
    config: Any
    parts: list[Part]        # in the order in which they were called
    y: np.ndarray            # the output of forward
    dx: np.ndarray           # the output of backward
    gradients: dict          # {leaf: array}
    checks: dict             # {"x" or a leaf: (error of its gradient, allowed), ..., "decoding", "causality", "y unchanged"}
    settings: dict
    mistake: Mistake | None = None     # planted in it

    @property
    def mistakes(self) -> list[str]:
        """The names of the mistakes that can be planted in this layer"""
        return list(mistakes.mistakes_of(self.name, self.folder))

    def wrong(self) -> list[str]:
        """The tensors whose gradient is wrong, and the laws that are broken"""
        return [name for name, (error, allowed) in self.checks.items() if not error <= allowed]


def trace(name: str, settings: dict, mistake: str | None = None) -> LayerTrace:
    """The trace of an attention, a network or a norm on two texts of five tokens, in float64 and on the CPU.

    settings: as for a training      mistake: the name of a mistake to plant in a copy; its own settings are added to `settings`
    BadInput: there is no such variant, or no such mistake in it
    """
    folders = {each: folder for folder in FOLDERS for each in variants(folder)}
    if name not in folders:
        raise BadInput(nearest("variant", name, folders))
    planted = None if mistake is None else mistakes.find_mistake(name, folders[name], mistake)
    device = backend.use.module
    backend.use("cpu")
    try:
        return trace_on_cpu(name, folders[name], settings, planted)
    finally:
        backend.use(device)


def trace_on_cpu(name: str, folder: str, settings: dict, mistake: Mistake | None) -> LayerTrace:
    cfg = laws.config(folder, name, **{**settings, **(mistake.settings if mistake else {})})
    layer, right, home = mistakes.wrong_and_right_layer(mistake, name, folder) if mistake else (variant(folder, name), None, None)
    parts, y, dx, gradients = trace_layer(layer, cfg, home)
    checks = {leaf: (float(error), laws.EXACT) for leaf, error in laws.gradients(layer, cfg).items()}
    checks["decoding"] = decoding_error(layer, cfg), laws.EQUAL
    checks["causality"] = causality_error(layer, cfg), laws.allowed_change(layer)
    if mistake:
        correct, y_right, *_ = trace_layer(right, cfg, home if mistake.where == "kernels" else None)
        checks["y unchanged"] = float(laws.relative(y, y_right, 0)), laws.EXACT
        parts = [mark_changes(*both) for both in zip(parts, correct)]
    return LayerTrace(name, folder, cfg, parts, y, dx, gradients, checks, settings, mistake)


def trace_layer(layer: Any, cfg: Any, home: Any = None) -> tuple[list[Part], np.ndarray, np.ndarray, dict]:
    """([Part, ...], y, dx, {leaf: gradient}) of one forward and backward of `laws.random_layer`

    home: the copy of the layer's module with the mistake, None if the layer is a file of model/
    """
    s = laws.random_layer(layer, cfg)
    gradient = np.zeros(tree.size(s.spec, train=True))
    with Tracer({home.__file__: home.text} if home else {}) as traced:
        y, backward = layer.forward(s.p, s.x, Context(cfg, np.random.default_rng(7)))
        dx = backward(s.dy, tree.views(s.spec, gradient))
    return traced.parts, y, dx, tree.named(s.spec, gradient)


def mark_changes(part: Part, correct: Part) -> Part:
    """The part, with every value marked that differs from its value in the correct layer"""
    for lines, correct_lines in ((part.forward, correct.forward), (part.backward, correct.backward)):
        for line, correct_line in zip(lines, correct_lines):
            right = {value.name: value.array for value in correct_line.values}
            line.values = [replace(value, changed=value.name not in right or value.array.shape != right[value.name].shape
                                   or not np.allclose(value.array, right[value.name], 1e-9, 1e-12)) for value in line.values]
    return part


def decoding_error(layer: Any, cfg: Any) -> float:
    """`laws.decoding` of one layer: the largest difference between one pass over nine tokens and passes over parts with a cache"""
    s = laws.random_layer(layer, cfg, T=9)
    return float(laws.cached_difference(lambda x, ctx: layer.forward(s.p, x, ctx)[0], s.x, cfg))


def causality_error(layer: Any, cfg: Any) -> float:
    """`laws.causality` of one layer: the largest change of the output before token 5 if token 5 and all later ones change"""
    worst = 0.0
    for x_size in (1.0, 4.0):
        s = laws.random_layer(layer, cfg, T=9, x_size=x_size)
        other = s.x.copy()
        other[:, 5:] *= -2
        worst = max(worst, float(laws.earlier_change(lambda x, ctx: layer.forward(s.p, x, ctx)[0], s.x, other, cfg)))
    return worst
