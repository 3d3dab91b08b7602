"""Typical mistakes in a hand-written backward pass, planted in copies of this package's files, to test that the laws detect them.

tests/test_laws_bite.py requires that a law detects each of them; `walk(NAME).break_(MISTAKE)` shows which arrays it makes wrong.
"""
import ast
from collections.abc import Iterable
from importlib import import_module
from inspect import getmodule, getsource
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from ..arrays import kernels, tree
from ..errors import BadInput, nearest
from ..model.context import variant
from . import laws

SMALL_BLOCK, SMALL_SAFE = 2, 1.0      # values of BLOCK and SAFE in kernels.py with which five tokens use every branch of its code


class Mistake(NamedTuple):
    """A replacement of source code that makes a layer wrong"""
    name: str
    where: str                # the file: attentions.mha, or kernels
    old: str                  # the correct source code
    new: str                  # the wrong code in its place
    by: str                   # the laws that detect it, separated by spaces: formula, gradient, decoding, causality, life
    about: str                # explanation
    tensors: str = ""         # arrays whose gradients become wrong, separated by spaces
    settings: dict = {}       # settings that are necessary for it to have an effect


PLANTED = [
    Mistake("lost temperature", "attentions.mha", "ctx.cfg.head_width ** -0.5 / ctx.cfg.r_temp", "ctx.cfg.head_width ** -0.5", "formula",
            "Forward and backward agree on a wrong formula, which no gradient check can detect.", settings=dict(r_temp=1.7)),
    Mistake("rotation not undone", "attentions.mha", "back_rq(dq), back_rk(dk), dv)", "dq, back_rk(dk), dv)", "gradient",
            "Forward rotates the queries to their positions; backward does not rotate their gradient back.", "x wq",
            dict(c_position="rope")),
    Mistake("queries for keys", "attentions.mha", "merge_heads(back_rq(dq), back_rk(dk), dv)", "merge_heads(back_rk(dk), back_rq(dq), dv)",
            "gradient", "Two gradients of the same shape are exchanged.", "x wq wk"),
    Mistake("scaled keys", "attentions.mha", "split_heads(qkv[..., H:H + K], h * K // H)",
            "split_heads(qkv[..., H:H + K] * 0.99, h * K // H)", "formula gradient",
            "Forward has a factor of 0.99 that backward lacks: the gradient is one percent too large.", "x wk"),
    Mistake("dropout in forward only", "attentions.mha", "back_y(back_drop(dy))", "back_y(dy)", "gradient",
            "The gradient passes through the activations that dropout set to 0 in forward.", "x wq wk wv wo bo", dict(r_dropout=0.3)),
    Mistake("short cache", "attentions.mha", "ctx.extend(last=last, k=k, v=v)", "ctx.extend(last=4, k=k, v=v)", "decoding",
            "Training is right; in decoding the cache keeps only the last four tokens."),
    Mistake("forgotten weight", "attentions.mha", "g.add(wo=dwo, bo=dbo)", "g.add(bo=dbo)", "gradient life",
            "A weight without a gradient keeps its random initial values, and no error is raised.", "wo"),
    Mistake("half the gradient", "attentions.mha", "return dx\n", "return dx * 0.5\n", "gradient",
            "The weights of this layer get the right gradient, those of all layers below half of it.", "x"),
    Mistake("missing softmax term", "kernels", "da -= mean[..., i:j, :]", "da -= 0", "gradient",
            "Softmax weights sum to 1, so raising one lowers the others: ds = a (da - sum a da). Here the sum is missing.", "x wq wk"),
    Mistake("lost scale", "kernels", "dq *= scale\n        return", "return", "gradient",
            "Forward divides the queries by sqrt(d); backward does not divide their gradient.", "x wq"),
    Mistake("no mask", "kernels", "s[..., past + i:] += causal_mask(j - i, q.dtype)",
            "s[..., past + i:] += 0 * causal_mask(j - i, q.dtype)", "causality",
            "Every token attends to later ones too: the loss becomes very low, and generated text is nonsense."),
    Mistake("mask off by one", "kernels", "np.triu(np.full((n, n), MASKED, dtype), 1)", "np.triu(np.full((n, n), MASKED, dtype), 2)",
            "causality", "A token attends to the next one, which it is to predict."),
    Mistake("values without dropout", "kernels", "a = s * keep", "a = s", "gradient",
            "The gradient of the values is computed with the attention weights before dropout.", "x wv", dict(r_dropout=0.3)),
    Mistake("scores without dropout", "kernels", "da *= keep", "pass", "gradient",
            "The gradient of an attention weight that dropout set to 0 must be 0 too.", "x wq wk", dict(r_dropout=0.3)),
    Mistake("overwritten", "kernels", "out[..., :stop, :] += d", "out[..., :stop, :] = d", "gradient",
            "The gradient of a key is a sum over many queries; here = replaces +=.", "x wk wv"),
    Mistake("bound from later keys", "kernels", "np.maximum.accumulate(np.vecdot(k5, k5), -1)",
            "np.broadcast_to(np.vecdot(k5, k5).max(-1, keepdims=True), k5.shape[:-1])", "causality",
            "Only the last bit changes: the rounding of a row depends on later keys."),
    Mistake("activation forgotten", "networks.mlp", "back_up(back_act(da))", "back_up(da)", "gradient",
            "Backward goes through the two matrices and omits the activation between them.", "x up b1"),
    Mistake("counted twice", "networks.mlp", "b1=db1, ", "b1=2 * db1, ", "gradient",
            "The gradient of one bias is doubled.", "b1"),
    Mistake("one half for both", "networks.swi", "gated(z[..., :F], z[..., F:]", "gated(z[..., :F], z[..., :F]", "gradient",
            "The same slice is used twice: gate and value are the same half.", "x gate up bgate bup", dict(c_bias="all")),
    Mistake("wrong weight", "norms.layernorm", "g.b += db", "g.b += dw", "gradient", "The shift b gets the gradient of the scale w.", "b"),
    Mistake("neighbours", "norms.rmsnorm", "rmsnorm(x, p.w", "rmsnorm(x + 1e-3 * x[:, ::-1], p.w", "causality",
            "A norm must use each token by itself; here a small part of another token is added.", "x"),
    Mistake("gradient of one row", "positions.learned", "back(dy.sum(0))", "back(dy[0])", "gradient",
            "The gradient of the positions is a sum over all rows of the batch; here only the first row is used."),
    Mistake("always position 0", "positions.learned", "ctx.start, ctx.start + x.shape[1]", "0, x.shape[1]", "decoding",
            "In decoding every new token gets the position of the first."),
    Mistake("no rotation in decoding", "positions.rope", "slice(ctx.start, ctx.start + T)", "slice(0, T)", "decoding",
            "In decoding every new token is rotated as if it were the first of the text."),
]


def mistakes_of(name: str, folder: str) -> dict[str, Mistake]:
    """{name: mistake} of all mistakes that can be planted in a variant: those in PLANTED for its file, and those of `generic_mistakes`"""
    home = getmodule(variant(folder, name).forward)
    assert home is not None
    where = ".".join(home.__name__.split(".")[-2:])
    files = (where, "kernels") if where == "attentions.mha" else (where,)
    spec = variant(folder, name).params(laws.config(folder, name))
    return {each.name: each for each in [*(each for each in PLANTED if each.where in files), *generic_mistakes(home, where, spec)]}


def generic_mistakes(home: ModuleType, where: str, spec: Any) -> Iterable[Mistake]:
    """Two mistakes that are possible in any file, made from its source: the gradient of a weight is not added, that of x is doubled"""
    source = getsource(home)
    lines, found = source.splitlines(), dict[str, Mistake]()
    forward = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "forward")
    backward = next(node for node in forward.body if isinstance(node, ast.FunctionDef))
    trainable = {path: " ".join(part for part, _ in leaf.parts) or path for path, leaf in tree.leaves(spec) if leaf.train}
    for node in (node for node in ast.walk(backward) if isinstance(node, ast.stmt)):
        text = "\n".join(lines[node.lineno - 1:node.end_lineno])
        if source.count(text) > 1:
            continue
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Attribute) and node.target.attr in trainable:
            found.setdefault("no gradient", missing_gradient(where, text, text.replace(text.strip(), "pass"), node.target.attr, trainable))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "g.add":
            for each in node.value.keywords:
                if each.arg and each.arg in trainable:
                    rest = ", ".join(ast.unparse(other) for other in node.value.keywords if other is not each)
                    new = text.replace(text.strip(), f"g.add({rest})")
                    found.setdefault("no gradient", missing_gradient(where, text, new, each.arg, trainable))
        elif isinstance(node, ast.Return) and node.value and (value := ast.get_source_segment(source, node.value)):
            found["twice"] = Mistake("twice", where, text, text.replace(value, f"2 * ({value})"), "gradient",
                                     "The gradient for the layer below is doubled.", "x")
    return found.values()


def missing_gradient(where: str, old: str, new: str, leaf: str, trainable: dict[str, str]) -> Mistake:
    """The mistake that the gradient of `leaf` is not added to g"""
    return Mistake("no gradient", where, old, new, "gradient life", f"The gradient of {leaf} is computed and never added.", trainable[leaf])


def find_mistake(name: str, folder: str, mistake: str) -> Mistake:
    """The mistake with this name that can be planted in a variant. BadInput: there is no such mistake"""
    known = mistakes_of(name, folder)
    if mistake not in known:
        raise BadInput(nearest(f"the mistake in {name}", mistake, known))
    return known[mistake]


def broken_copy(module: Any, old: str = "", new: str = "") -> ModuleType:
    """A copy of a module with `old` replaced by `new` in its source, which is its attribute `text`; BadInput if `old` does not occur"""
    source = getsource(module)
    if old not in source:
        raise BadInput(f"{module.__name__} does not contain {old!r}: update the mistake in check/mistakes.py")
    copy = ModuleType(f"{module.__name__}_broken")
    copy.__package__, copy.__file__ = module.__package__, f"{module.__file__}, broken"
    copy.text = source.replace(old, new, 1)
    exec(compile(copy.text, copy.__file__, "exec"), copy.__dict__)
    return copy


def planted(mistake: Mistake) -> ModuleType:
    """A copy of the module of a mistake, with the mistake in it"""
    copy = broken_copy(kernels if mistake.where == "kernels" else import_module(f"littlebaby.model.{mistake.where}"), mistake.old,
                       mistake.new)
    if mistake.where == "kernels":
        copy.BLOCK, copy.SAFE = SMALL_BLOCK, SMALL_SAFE
    return copy


def wrong_and_right_layer(mistake: Mistake, name: str, folder: str) -> tuple[Any, Any, ModuleType]:
    """(a variant with the mistake, the variant without it, the module that contains the forward of the former)"""
    right = variant(folder, name)
    layer = lambda module: SimpleNamespace(params=right.params, forward=module.forward)
    if mistake.where != "kernels":
        module = planted(mistake)
        return layer(module), right, module
    modules = []
    for each in (mistake, mistake._replace(old="", new="")):     # both use a copy of the kernels with small blocks
        modules.append(broken_copy(getmodule(right.forward)))
        modules[-1].attention = planted(each).attention
    return layer(modules[0]), layer(modules[1]), modules[0]
