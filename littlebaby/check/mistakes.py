"""Mistakes that a hand-written backward invites, planted in copies of our own files: to see the laws find them, and the tensors at fault.

One list for two readers: tests/test_laws_bite.py demands that a law notices each, `walk(NAME).break_(MISTAKE)` shows where.
"""
import ast
from importlib import import_module
from inspect import getmodule, getsource
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

from ..arrays import kernels, tree
from ..errors import BadInput, nearest
from ..model.context import variant
from . import laws

ROWS, BOUND = 2, 1.0      # kernels' BLOCK and SAFE, so small that a text of five tokens meets all of its ways


class Mistake(NamedTuple):
    name: str
    where: str                # the file: attentions.mha, or kernels
    old: str                  # the text as it stands
    new: str                  # and as it is mistaken
    by: str                   # the laws that notice: formula, gradient, decoding, causality, life
    about: str                # what it is
    tensors: str = ""         # whose gradients go wrong
    settings: dict = {}       # with which it shows


PLANTED = [
    Mistake("lost temperature", "attentions.mha", "ctx.cfg.head_width ** -0.5 / ctx.cfg.r_temp", "ctx.cfg.head_width ** -0.5", "formula",
            "Forward and backward agree, on another formula: no gradient check can see that.", settings=dict(r_temp=1.7)),
    Mistake("not turned back", "attentions.mha", "back_rq(dq), back_rk(dk), dv)", "dq, back_rk(dk), dv)", "gradient",
            "Forward turned the queries to their positions, backward forgot to turn their gradient back.", "x wq",
            dict(c_position="rope")),
    Mistake("queries for keys", "attentions.mha", "merge_heads(back_rq(dq), back_rk(dk), dv)", "merge_heads(back_rk(dk), back_rq(dq), dv)",
            "gradient", "Two gradients of the same shape changed places.", "x wq wk"),
    Mistake("short keys", "attentions.mha", "split_heads(qkv[..., H:H + K], h * K // H)",
            "split_heads(qkv[..., H:H + K] * 0.99, h * K // H)", "formula gradient",
            "A factor that forward has and backward lacks: its gradient is one percent too long.", "x wk"),
    Mistake("dropped on one way only", "attentions.mha", "back_y(back_drop(dy))", "back_y(dy)", "gradient",
            "What forward dropped, backward lets through.", "x wq wk wv wo bo", dict(r_dropout=0.3)),
    Mistake("short memory", "attentions.mha", "ctx.extend(last=last, k=k, v=v)", "ctx.extend(last=4, k=k, v=v)", "decoding",
            "All is well while training; in decoding, tokens farther back than four are forgotten."),
    Mistake("forgotten weight", "attentions.mha", "g.add(wo=dwo, bo=dbo)", "g.add(bo=dbo)", "gradient life",
            "A weight that no gradient reaches stays as it was drawn, and nothing crashes.", "wo"),
    Mistake("half the way", "attentions.mha", "return dx\n", "return dx * 0.5\n", "gradient",
            "This layer's own weights learn rightly, all below it at half their gradient.", "x"),
    Mistake("missing softmax term", "kernels", "da -= mean[..., i:e, :]", "da -= 0", "gradient",
            "Weights sum to 1, so raising one lowers the others: ds = a (da - sum a da). Here the sum is gone.", "x wq wk"),
    Mistake("lost scale", "kernels", "dq *= scale\n        return", "return", "gradient",
            "Forward divides the queries by sqrt(d), backward forgets to.", "x wq"),
    Mistake("no mask", "kernels", "s[..., past + i:] += causal_mask(e - i, q.dtype)",
            "s[..., past + i:] += 0 * causal_mask(e - i, q.dtype)", "causality",
            "Every token sees those after it: the loss will be wonderful, and the writing nonsense."),
    Mistake("mask off by one", "kernels", "np.triu(np.full((n, n), MASKED, dtype), 1)", "np.triu(np.full((n, n), MASKED, dtype), 2)",
            "causality", "A token sees the one after it, which is the answer."),
    Mistake("values undropped", "kernels", "a = s * keep", "a = s", "gradient",
            "Dropout falls on the weights; the values' gradient takes them as they were before.", "x wv", dict(r_dropout=0.3)),
    Mistake("scores undropped", "kernels", "da *= keep", "pass", "gradient",
            "The gradient of a weight that was dropped must be dropped, too.", "x wq wk", dict(r_dropout=0.3)),
    Mistake("overwritten", "kernels", "out[..., :stop, :] += d", "out[..., :stop, :] = d", "gradient",
            "A key is met by many queries, and its gradient is a sum: += is written =.", "x wk wv"),
    Mistake("peeking bound", "kernels", "np.maximum.accumulate(np.vecdot(k5, k5), -1)",
            "np.broadcast_to(np.vecdot(k5, k5).max(-1, keepdims=True), k5.shape[:-1])", "causality",
            "Only the last bit changes: how a row is rounded depends on keys that come later."),
    Mistake("activation forgotten", "networks.mlp", "back_up(back_act(da))", "back_up(da)", "gradient",
            "Backward goes through the two matrices and skips the activation between them.", "x up b1"),
    Mistake("counted twice", "networks.mlp", "b1=db1, ", "b1=2 * db1, ", "gradient",
            "One bias learns at twice its rate.", "b1"),
    Mistake("one half for both", "networks.swi", "swiglu(w[..., :F], w[..., F:])", "swiglu(w[..., :F], w[..., :F])", "gradient",
            "A slice that is written twice: gate and value are the same half.", "x gate up bgate bup", dict(c_bias="all")),
    Mistake("wrong leaf", "norms.layernorm", "g.b += db", "g.b += dw", "gradient", "The shift is given the scale's gradient.", "b"),
    Mistake("neighbours", "norms.rmsnorm", "rmsnorm(x, p.w", "rmsnorm(x + 1e-3 * x[:, ::-1], p.w", "causality",
            "A norm belongs to one token; here a little of other tokens leaks in.", "x"),
    Mistake("one text's gradient", "positions.learned", "back(dy.sum(0))", "back(dy[0])", "gradient",
            "Every text of the batch stands at these positions, only the first one's gradient arrives."),
    Mistake("always at the start", "positions.learned", "ctx.start, ctx.start + x.shape[1]", "0, x.shape[1]", "decoding",
            "In decoding every new token is told that it is the first."),
    Mistake("never turning", "positions.rope", "slice(ctx.start, ctx.start + T)", "slice(0, T)", "decoding",
            "In decoding every new token is turned as the first."),
]


def mistakes_of(name, folder):
    """The mistakes that can be planted in a variant, by name: those listed for its file, and two that any file invites"""
    home = getmodule(variant(folder, name).forward)
    assert home is not None
    where = ".".join(home.__name__.split(".")[-2:])
    files = (where, "kernels") if where == "attentions.mha" else (where,)
    spec = variant(folder, name).params(laws.config(folder, name))
    return {each.name: each for each in [*(each for each in PLANTED if each.where in files), *generic_mistakes(home, where, spec)]}


def generic_mistakes(home, where, spec):
    """Two mistakes that are read off a file: the gradient of a leaf forgotten, and what goes further down doubled"""
    source = getsource(home)
    lines, found = source.splitlines(), dict[str, Mistake]()
    forward = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "forward")
    backward = next(node for node in forward.body if isinstance(node, ast.FunctionDef))
    learning = {path: " ".join(part for part, _ in leaf.parts) or path for path, leaf in tree.leaves(spec) if leaf.train}
    for node in (node for node in ast.walk(backward) if isinstance(node, ast.stmt)):
        text = "\n".join(lines[node.lineno - 1:node.end_lineno])
        if source.count(text) > 1:
            continue
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Attribute) and node.target.attr in learning:
            found.setdefault("no gradient", forgotten(where, text, text.replace(text.strip(), "pass"), node.target.attr, learning))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "g.add":
            for each in node.value.keywords:
                if each.arg in learning:
                    rest = ", ".join(ast.unparse(other) for other in node.value.keywords if other is not each)
                    new = text.replace(text.strip(), f"g.add({rest})")
                    found.setdefault("no gradient", forgotten(where, text, new, each.arg, learning))
        elif isinstance(node, ast.Return) and node.value and (value := ast.get_source_segment(source, node.value)):
            found["twice"] = Mistake("twice", where, text, text.replace(value, f"2 * ({value})"), "gradient",
                                     "What goes on to the layer below is doubled.", "x")
    return found.values()


def forgotten(where, old, new, leaf, learning):
    return Mistake("no gradient", where, old, new, "gradient life", f"The gradient of {leaf} is computed and never added.", learning[leaf])


def named(name, folder, mistake):
    """The mistake of this name. BadInput: there is none, or not here"""
    known = mistakes_of(name, folder)
    if mistake not in known:
        raise BadInput(nearest(f"the mistake in {name}", mistake, known))
    return known[mistake]


def broken_copy(module, old="", new=""):
    """A copy of a module with one place broken; its text is its `text`. BadInput: the place is no longer there"""
    source = getsource(module)
    if old not in source:
        raise BadInput(f"{module.__name__} no longer says {old!r}: plant the mistake anew")
    copy = ModuleType(f"{module.__name__}_broken")
    copy.__package__, copy.__file__ = module.__package__, f"{module.__file__}, broken"
    copy.text = source.replace(old, new, 1)
    exec(compile(copy.text, copy.__file__, "exec"), copy.__dict__)
    return copy


def planted(mistake):
    """The mistaken file as a module of its own"""
    copy = broken_copy(kernels if mistake.where == "kernels" else import_module(f"littlebaby.model.{mistake.where}"), mistake.old,
                       mistake.new)
    if mistake.where == "kernels":
        copy.BLOCK, copy.SAFE = ROWS, BOUND
    return copy


def layers(mistake, name, folder):
    """(a variant with the mistake, the same without, the module that its forward comes from): what differs is the mistake alone"""
    right = variant(folder, name)
    layer = lambda module: SimpleNamespace(params=right.params, forward=module.forward)
    if mistake.where != "kernels":
        home = planted(mistake)
        return layer(home), right, home
    homes = []
    for each in (mistake, mistake._replace(old="", new="")):
        homes.append(broken_copy(getmodule(right.forward)))
        homes[-1].attention = planted(each).attention
    return layer(homes[0]), layer(homes[1]), homes[0]
