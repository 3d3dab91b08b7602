"""A walk through one layer, forth and back: each line of its file with what it computed on a small batch, and beside it the way back.

The lines are run as they stand, one by one, under Python's own tracer (sys.settrace): nothing in a variant knows of it. `break_` walks
through a copy with a planted mistake in it and holds the laws against it; the tensor at fault goes red.
"""
import ast
import re
import sys
import textwrap
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from .. import model
from ..arrays import backend, tree
from ..check import laws, mistakes
from ..errors import BadInput, nearest
from ..model.context import Context, variant, variants
from . import html
from .charts import FLOOR, GRAY, VALID
from .formatting import align_columns, align_pairs
from .html import section, tint

FOLDERS = ("attentions", "networks", "norms")
HOME = Path(model.__file__).parent
THREADS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#7a5cc0", "#8c6d31")      # Okabe & Ito's, two darkened
CODE, LETTER, ROW, SMALL, GAP, WIDE, BETWEEN = 62, 6.93, 17, 15, 7, 452, 64      # letters of a row, and pixels
NUMBERS = 4          # of a tensor that are shown


@dataclass(frozen=True)
class Value:
    """What a name meant after a line; `array` is a copy"""
    name: str
    array: np.ndarray
    norm: float
    off: bool = False        # another than without the mistake


@dataclass
class Line:
    """A statement, or a comment of its own, with what it computed the first time"""
    first: int
    last: int
    code: str
    comment: bool
    binds: list              # the back_x that it binds
    calls: list              # the back_x that it calls
    targets: list            # expressions that it writes to
    values: list             # of Value
    ran: bool = False


@dataclass
class Part:
    """A function that goes both ways: its lines, and those of the backward inside it"""
    name: str
    file: str
    back: str                # the name of its backward
    forward: list
    backward: list


# what a file says

@lru_cache(None)
def ways(file, text):
    """{(name, line) of every function in a file that defines another inside it: (its lines, the inner one's name and line, its lines)}"""
    found, source = {}, text.splitlines()
    for node in ast.parse(text).body:
        inner = [each for each in getattr(node, "body", []) if isinstance(each, ast.FunctionDef)]
        if isinstance(node, ast.FunctionDef) and inner:
            back = inner[0]
            found[node.name, node.lineno] = source_lines(node, source, set()), (back.name, back.lineno), source_lines(back, source,
                                                                                                                      bound(node))
    return found


def bound(function):
    """The back_x that a function binds"""
    names = [each for node in statements(function.body) if not isinstance(node, ast.FunctionDef) for each in ast.walk(node)]
    return {each.id for each in names if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store) and each.id.startswith("back")}


def source_lines(function, source, backs):
    """The lines of a function's own, without its docstring and what is defined inside it"""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    out, at = [], dict[int, Any]()
    for node in statements(body):
        inner = isinstance(node, ast.FunctionDef)
        last = node.body[0].lineno - 1 if hasattr(node, "body") and not inner else node.end_lineno
        at.update(dict.fromkeys(range(node.lineno, last + 1), None if inner else node))
        if inner:
            at.update(dict.fromkeys(range(node.lineno, node.end_lineno + 1)))
    done = set()
    for number in range(body[0].lineno if body else 0, function.end_lineno + 1):
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
                            [n.id for n in names if isinstance(n.ctx, ast.Load) and n.id in backs], written(node), []))
    return out


def statements(body):
    """Every statement, those inside others after them; what is defined inside is not entered"""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef):
            for branch in ("body", "orelse"):
                yield from statements(getattr(node, branch, []))


def written(node):
    """The expressions that a statement writes to; `g.add(wo=dwo)` writes to g.wo"""
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


def dedent(text, function):
    return text[function.col_offset + 4:] if text.startswith(" " * (function.col_offset + 4)) else text.strip()


# a run, watched

class Tracer:
    """Runs a block under sys.settrace and keeps, of every function that goes both ways, its first call: Parts in the order of the calls"""

    def __init__(self, texts):
        self.texts, self.parts, self.backs = texts, [], {}

    def __enter__(self):
        self.old = sys.gettrace()
        sys.settrace(self.enter)
        return self

    def __exit__(self, *error):
        sys.settrace(self.old)

    def enter(self, frame, _event, _arg):
        code = frame.f_code
        text = self.texts.get(code.co_filename) or source_of(code.co_filename)
        if not text:
            return None
        if (key := (code.co_name, code.co_firstlineno)) in (known := ways(code.co_filename, text)):
            if any((part.name, part.file) == (code.co_name, code.co_filename) for part in self.parts):
                return None
            forward, inner, backward = known[key]
            part = Part(code.co_name, code.co_filename, inner[0], fresh(forward), fresh(backward))
            self.parts.append(part)
            self.backs.setdefault((code.co_filename, *inner), []).append((part, frame))
            return self.follow(part.forward, part)
        for part, outer in self.backs.get((code.co_filename, *key), []):
            # the backward of this very call: what it closes over is what that call had
            own, whole = frame.f_locals, outer.f_locals
            if all(own.get(name) is whole.get(name) for name in code.co_freevars):
                return None if any(line.values for line in part.backward) else self.follow(part.backward)
        return None

    def follow(self, lines, part=None):
        """A tracer of one frame: after each line, what it wrote; `part`: it is a forward's"""
        before: list = []

        def local(frame, event, arg):
            if event in ("line", "return"):
                for line in before:
                    line.ran = True
                    record_values(line, frame.f_locals)
                before[:] = [line for line in lines if line.first <= frame.f_lineno <= line.last and not line.comment]
            if event == "return" and part and not (isinstance(arg, tuple) and getattr(arg[-1], "__name__", "") == part.back):
                self.parts.remove(part)                          # it went another way, without its backward: the next call counts
            if event == "return" and arg is not None and before:
                value = arg[0] if isinstance(arg, tuple) else arg
                before[-1].values, before[-1].ran = [made("→", value)] if isinstance(value, np.ndarray) else [], True
            return local

        return local


def source_of(file):
    path = Path(file)
    return text_of(file) if path.parent.parent == HOME and path.parent.name in FOLDERS and path.suffix == ".py" else None


@lru_cache(None)
def text_of(file):
    return Path(file).read_text("utf-8")


def fresh(lines):
    return [replace(line, values=[]) for line in lines]


def record_values(line, names):
    """What the targets of a line mean now; only numbers are of interest"""
    values = []
    for target in line.targets:
        if not target.startswith("back"):
            node = names
            for i, word in enumerate(target.split(".")):
                node = names.get(word) if not i else getattr(node, "get", lambda word: None)(word)
            if isinstance(node, list | tuple):
                values += [made(f"{target}[{i}]", each) for i, each in enumerate(node) if is_number(each)]
            elif is_number(node) and "xp.empty" not in line.code:            # what is not filled yet says nothing
                values.append(made(target, node))
    line.values = values[:6]


def is_number(value):
    return isinstance(value, np.ndarray | np.floating | float) or isinstance(value, int) and not isinstance(value, bool)


def made(name, value):
    array = np.array(value)
    return Value(name, array, float(np.sqrt((array.astype(float) ** 2).sum())))


# a walk

@dataclass(frozen=True)
class Walk:
    """A layer gone through forth and back; shows itself in a notebook, `save(path)` writes a page.

    >>> w = walk("mha")
    >>> broken = w.break_("lost scale")
    >>> broken.wrong(), broken.fix().wrong()
    (['x', 'wq'], [])
    """
    name: str
    folder: str
    config: Any
    parts: list              # of Part, in the order in which they were called
    y: np.ndarray            # what forward gave
    dx: np.ndarray           # what backward gave
    gradients: dict          # {leaf: array}
    checks: dict             # {"gradient of x": (error, allowed), ..., "decoding", "causality", "same as before"}
    settings: dict
    mistake: Any = None      # the Mistake in it

    @property
    def mistakes(self):
        """The names of the mistakes that can be planted here"""
        return list(mistakes.mistakes_of(self.name, self.folder))

    def break_(self, mistake):
        """The same walk through a copy with this mistake in it, under the settings with which it shows"""
        planted = mistakes.named(self.name, self.folder, mistake)
        return run_walk(self.name, self.folder, self.settings, planted)

    def fix(self):
        """The same walk without any mistake"""
        return run_walk(self.name, self.folder, self.settings)

    def wrong(self):
        """The tensors whose gradient is wrong, and the laws that are broken"""
        return [name for name, (error, allowed) in self.checks.items() if not error <= allowed]

    def _repr_html_(self):
        return html.html_fragment(body(self))

    def save(self, path):
        """Write the page; returns its path"""
        return html.save(path, f"walk {self.name}", body(self))

    def __str__(self):
        return summary(self)


def walk(name, **settings):
    """A Walk through an attention, a network or a norm on two texts of five tokens, in float64; `settings` as for a training.

    BadInput: there is no such variant
    """
    folders = {each: folder for folder in FOLDERS for each in variants(folder)}
    if name not in folders:
        raise BadInput(nearest("variant", name, folders))
    return run_walk(name, folders[name], settings)


def run_walk(name, folder, settings, mistake=None):
    """The walk itself, on the CPU wherever the babies live"""
    device = backend.use.module
    backend.use("cpu")
    try:
        return walk_on_cpu(name, folder, settings, mistake)
    finally:
        backend.use(device)


def walk_on_cpu(name, folder, settings, mistake):
    cfg = laws.config(folder, name, **{**settings, **(mistake.settings if mistake else {})})
    layer, right, home = mistakes.layers(mistake, name, folder) if mistake else (variant(folder, name), None, None)
    parts, y, dx, gradients = trace_layer(layer, cfg, home)
    checks = {leaf: (float(error), laws.EXACT) for leaf, error in laws.gradients(layer, cfg).items()}
    checks["decoding"] = decoded(layer, cfg), laws.EQUAL
    checks["causality"] = leaked(layer, cfg), laws.leeway(layer)
    if mistake:
        before, y_right, *_ = trace_layer(right, cfg, home if mistake.where == "kernels" else None)
        checks["y as before"] = float(laws.relative(y, y_right, 0)), laws.EXACT
        parts = [mark_changes(part, old) for part, old in zip(parts, before)]
    return Walk(name, folder, cfg, parts, y, dx, gradients, checks, settings, mistake)


def trace_layer(layer, cfg, home=None):
    """(Parts, y, dx, {leaf: gradient}) of one way forth and back over laws.start's batch; `home`: a planted copy of the layer's file"""
    s = laws.random_layer(layer, cfg)
    gradient = np.zeros(tree.size(s.spec, train=True))
    with Tracer({home.__file__: home.text} if home else {}) as traced:
        y, backward = layer.forward(s.p, s.x, Context(cfg, np.random.default_rng(7)))
        dx = backward(s.dy, tree.views(s.spec, gradient))
    return traced.parts, y, dx, tree.named(s.spec, gradient)


def mark_changes(part, before):
    """A part whose values are marked where they are others than before the mistake"""
    for lines, old in ((part.forward, before.forward), (part.backward, before.backward)):
        for line, twin in zip(lines, old):
            right = {value.name: value.array for value in twin.values}
            line.values = [replace(value, off=value.name not in right or value.array.shape != right[value.name].shape
                                   or not np.allclose(value.array, right[value.name], 1e-9, 1e-12)) for value in line.values]
    return part


def decoded(layer, cfg):
    """The largest difference between all tokens at once and three, two and then single ones"""
    s, cache, cut = laws.random_layer(layer, cfg, T=9), dict[str, Any](), (0, 3, 5, 6, 7, 8, 9)
    full, _ = layer.forward(s.p, s.x, Context(cfg))
    parts = [layer.forward(s.p, s.x[:, a:b], Context(cfg, start=a, cache=cache))[0] for a, b in zip(cut, cut[1:])]
    return float(np.abs(np.concatenate(parts, 1) - full).max())


def leaked(layer, cfg):
    """The largest change before token 5 when it and later ones change; large numbers too"""
    worst = 0.0
    for large in (1.0, 4.0):
        s = laws.random_layer(layer, cfg, T=9, x_size=large)
        other = s.x.copy()
        other[:, 5:] *= -2
        a, b = (layer.forward(s.p, x, Context(cfg))[0][:, :5] for x in (s.x, other))
        worst = max(worst, float(np.abs(a - b).max()))
    return worst


# in words

def value_in_words(value):
    """A tensor in a line: its name, its shape, its length and its first numbers"""
    if not value.array.ndim:
        return f"{value.name} = {value.array.item():.4g}"
    if not value.array.size:
        return f"{value.name} {shape(value)}"
    some = " ".join(f"{number:d}" if value.array.dtype.kind in "iu" else f"{float(number):.2f}"
                    for number in value.array.reshape(-1)[:NUMBERS])
    return f"{value.name} {shape(value)} |{value.norm:.3g}| {some}{' …' if value.array.size > NUMBERS else ''}"


def shape(value):
    return "(" + ", ".join(map(str, value.array.shape)) + ")"


def summary(w):
    broken = f", broken: {w.mistake.name}. {w.mistake.about}" if w.mistake else ""
    out = [f"{w.name}: {w.folder[:-1]}, B 2, T 5, D {w.config.n_emb}{broken}"]
    for part in w.parts:
        for way, lines in (("forward", part.forward), ("backward", part.backward)):
            pairs = [(line.code.strip().splitlines()[0][:70], "\n".join(map(value_in_words, line.values)) or "-")
                     for line in lines if not line.comment]
            out.append(f"{title(part)}, {way}\n{textwrap.indent(align_pairs(pairs), '  ')}")
    rows = [("check", "error", "allowed", "")]
    rows += [(label(name), f"{error:.1e}", f"{allowed:.0e}", "right" if error <= allowed else "WRONG")
             for name, (error, allowed) in w.checks.items()]
    out.append(align_columns(rows))
    if not w.mistake:
        out.append("mistakes that can be planted: " + ", ".join(w.mistakes))
    return "\n\n".join(out)


def title(part):
    return f"{Path(part.file).stem}.{part.name}"


def label(name):
    return name if name in ("decoding", "causality", "y as before") else f"gradient of {name}"


# as a page

def body(w):
    about = f"{w.folder[:-1]} {w.name}, two texts of five tokens, n_emb {w.config.n_emb}, {w.config.n_heads} heads, float64"
    out = [html.head(f"A walk through {w.name}, forth and back", about)]
    if w.mistake:
        out.append(f'<p><span class="wrong">✗ broken on purpose: {escape(w.mistake.name)}.</span> {escape(w.mistake.about)}</p>')
        out.append(changed(w.mistake))
    out.append(checked(w))
    legend = ("Left the way forth, right the way back. Under each line what it computed: name, shape, |length|, first numbers. A colour "
              "joins the line that binds a back_x to the one that calls it; gray lines were not run."
              + (" Red numbers are others than without the mistake." if w.mistake else ""))
    out += [section(title(part), "" if i else legend, side_by_side(part, w.mistake)) for i, part in enumerate(w.parts)]
    if not w.mistake:
        out.append(section("Break it", "Each of these is one call away, as walk(…).break_(name); fix() mends it again.",
                           html.html_table([["mistake", "what it is", "noticed by"], *(
                               [f"<code>{escape(each.name)}</code>", escape(each.about), each.by.replace(" ", ", ").replace("formula", "y")]
                               for each in mistakes.mistakes_of(w.name, w.folder).values())], long=(1,))))
    return "".join(out)


def changed(mistake):
    """What stood there and what stands there now"""
    where = "arrays/kernels.py" if mistake.where == "kernels" else f"model/{mistake.where.replace('.', '/')}.py"
    old, new = (" ".join(each.split()) for each in (mistake.old, mistake.new))
    return (f'<pre style="border-left: 3px solid {VALID}; padding-left: 10px">{escape(where)}\n'
            f'<span class="right">− {escape(old)}</span>\n<span class="wrong">+ {escape(new)}</span></pre>')


def checked(w):
    """The laws' verdicts, with a bar for each error on a scale of powers of ten"""
    rows = [["", "error", "", "", "allowed"]]
    for name, (error, allowed) in w.checks.items():
        fine = error <= allowed
        power = np.log10(max(error, 1e-16)) if np.isfinite(error) else 0
        mark = '<span class="right">✓ right</span>' if fine else '<span class="wrong">✗ wrong</span>'
        rows.append([f'<span class="{"" if fine else "wrong"}">{escape(label(name))}</span>', f"{error:.1g}",
                     html.bar(min(1, (power + 16) / 16), FLOOR if fine else VALID, 150), mark, f"{allowed:.1g}"])
    verdict = "every check is green" if not w.wrong() else f"at fault: {', '.join(w.wrong())}"
    return section("The laws", "Every gradient against differences of the forward; decoding, token by token against all at once; "
                   f"causality, what a later token changes in earlier ones. Here {verdict}.", html.html_table(rows))


def side_by_side(part, mistake):
    """Two columns of a known height, and between them a curve from each back to its call"""
    names = list(dict.fromkeys(name for line in part.forward for name in line.binds))
    colours = {name: THREADS[i % len(THREADS)] for i, name in enumerate(names)}
    left, height_left, binds = column(part.forward, colours, "binds", mistake)
    right, height_right, calls = column(part.backward, colours, "calls", mistake)
    height, whole, curves = max(height_left, height_right), 2 * WIDE + BETWEEN, ""
    for name, starts in binds.items():
        for to in calls.get(name, []):
            at, y = starts[-1]
            edge, end = min(8 + at * LETTER, WIDE) + 6, WIDE + BETWEEN
            path = f"M {edge:.0f} {y} L {WIDE} {y} C {WIDE + BETWEEN / 2} {y}, {WIDE + BETWEEN / 2} {to[1]}, {end - 2} {to[1]}"
            curves += (f'<path d="{path}" fill="none" stroke="{colours[name]}" stroke-width="1.8" opacity="0.7"/>'
                       f'<circle cx="{edge:.0f}" cy="{y}" r="2.5" fill="{colours[name]}"/>'
                       f'<circle cx="{end - 2}" cy="{to[1]}" r="3" fill="{colours[name]}"/>')
    style = f"flex: 0 0 {WIDE}px; width: {WIDE}px; height: {height}px; overflow: hidden"
    return (f'<div class="wide"><div class="mono" style="position: relative; display: flex; gap: {BETWEEN}px; width: {whole}px; '
            f'line-height: {ROW}px; font-size: 11.5px"><div style="{style}">{left}</div><div style="{style}">{right}</div>'
            f'<svg width="{whole}" height="{height}" style="position: absolute; left: 0; top: 0; pointer-events: none">{curves}</svg>'
            "</div></div>")


def column(lines, colours, which, mistake):
    """(HTML, its height, {back: [(letters of its row, the row's middle)]})"""
    out, y, places = [], 0, dict[str, list]()
    for line in lines:
        rows = wrapped(re.split("[ ]{3,}", line.code.strip())[0] if line.comment else line.code)
        values = [(value_in_words(value)[:CODE + 8], value) for value in line.values]
        height = ROW * len(rows) + SMALL * len(values)
        for name in getattr(line, which):
            row = next((i for i, each in enumerate(rows) if re.search(rf"\b{name}\b", each)), 0)
            places.setdefault(name, []).append((len(rows[row]), y + ROW * row + ROW / 2))
        out.append(block(line, rows, values, colours, mistake, height))
        y += height + (0 if line.comment else GAP)
    return "".join(out), y, places


def block(line, rows, values, colours, mistake, height):
    """A line with its values, of a known height; a comment of its own, without its shapes, which the values tell"""
    if line.comment:
        return f'<div style="height: {height}px; padding-left: 8px; white-space: pre; color: {GRAY}">{escape(chr(10).join(rows))}</div>'
    fault = mistake and any(mark_mistake(line.code, each) for each in mistake.new.splitlines() if each.strip())
    edge = f"border-left: 3px solid {VALID}; padding-left: 5px; background: {tint(0.13, VALID)}" if fault else "padding-left: 8px"
    code = "\n".join(color_row(row, colours) for row in rows)
    small = "\n".join(f'<span class="wrong">{escape(text)}</span>' if value.off else escape(text) for text, value in values)
    return (f'<div style="{edge}; height: {height}px; margin-bottom: {GAP}px; white-space: pre; overflow: hidden">'
            f'<span{"" if line.ran else f""" style="color: {GRAY}" """}>{code}</span>'
            f'<div style="color: {GRAY}; font-size: 10.5px; line-height: {SMALL}px">{small}</div></div>')


def mark_mistake(code, new):
    squeeze = lambda text: "".join(text.split())
    return squeeze(new) in squeeze(code)


def wrapped(code):
    """Code in rows of at most CODE letters"""
    rows = []
    for line in code.splitlines():
        deep = len(line) - len(line.lstrip())
        rows += textwrap.wrap(line.strip(), CODE, initial_indent=" " * deep, subsequent_indent=" " * (deep + 4), break_on_hyphens=False)
    return rows


def color_row(row, colours):
    """A row of code, its backs on their colours"""
    for_each = lambda match: (f'<span style="background: {tint(0.4, colours[match[0]])}; border-radius: 2px">{match[0]}</span>'
                              if match[0] in colours else match[0])
    return re.sub(r"\bback\w*", for_each, escape(row))


