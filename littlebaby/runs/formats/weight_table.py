"""Whose weight is whose: a table for each architecture, read in both directions.

A line says our name, their name, and what lies between (nothing: the two are alike). {i} is a layer, {e} an expert, {*} all of them
at once; a+b are neighbours in one array of theirs; commas part several of theirs. A line counts where our model has the weight, so
that one table serves dense layers and mixtures, tied heads and heads of their own, biases and none.
"""
import re
from collections.abc import Callable
from math import prod
from typing import NamedTuple

import numpy as np

from ...arrays import tree
from ...errors import BadInput
from ...model import gpt
from ..settings import Config


class Conversion(NamedTuple):
    """What lies between their arrays and ours: two functions, each the other's inverse"""
    inward: Callable        # their arrays, the shapes of ours, config -> our arrays
    outward: Callable | None = None         # our arrays, config -> their arrays; None where nobody writes that format


class Row(NamedTuple):
    ours: tuple
    theirs: tuple
    how: Conversion


def split_columns(whole, shapes):
    """One array into neighbours along its last axis, as wide as these shapes; what does not fit is left to the caller's check"""
    return np.split(whole, np.cumsum([shape[-1] for shape in shapes])[:-1], -1)


def concatenated(arrays):
    return [np.concatenate(arrays, -1)]


def transposed(arrays):
    return [a.T for a in arrays]


def by_head(heads):
    """Columns of several matrices, one head after the other, each head's beside each other"""
    def fold(arrays, cfg):
        c, h = len(arrays[0]), heads(cfg)
        return [np.concatenate([a.reshape(c, h, -1) for a in arrays], -1).reshape(c, -1)]

    def unfold(arrays, shapes, cfg):
        c, h = len(arrays[0]), heads(cfg)
        parts = split_columns(arrays[0].reshape(c, h, -1), [(shape[-1] // h,) for shape in shapes])
        return [part.reshape(c, -1) for part in parts]

    return fold, unfold


fold_heads, unfold_heads = by_head(lambda cfg: cfg.n_heads)
fold_recalling, _ = by_head(lambda cfg: int(cfg.n_heads * cfg.r_recall))

CONVERSIONS = {
    "": Conversion(lambda theirs, shapes, cfg: theirs, lambda ours, cfg: ours),
    # (out, in) there, (in, out) here
    "turned": Conversion(lambda theirs, shapes, cfg: transposed(theirs), lambda ours, cfg: transposed(ours)),
    # several of ours side by side in one of theirs
    "beside": Conversion(lambda theirs, shapes, cfg: split_columns(theirs[0], shapes), lambda ours, cfg: concatenated(ours)),
    "turned,beside": Conversion(lambda theirs, shapes, cfg: split_columns(theirs[0].T, shapes), lambda ours,
                                cfg: transposed(concatenated(ours))),
    # the same, one head of each after the other
    "turned,by_head": Conversion(lambda theirs, shapes, cfg: unfold_heads(transposed(theirs), shapes, cfg),
                                 lambda ours, cfg: transposed(fold_heads(ours, cfg))),
    # several of theirs in one of ours
    "turned,joined": Conversion(lambda theirs, shapes, cfg: concatenated(transposed(theirs))),
    "turned,stacked": Conversion(lambda theirs, shapes, cfg: [np.concatenate(transposed(theirs), 0)]),
    "turned,heads_joined": Conversion(lambda theirs, shapes, cfg: fold_recalling(transposed(theirs), cfg)),
    # all experts in one array: (experts, out, in) there, (in, out) each here
    "turned,experts": Conversion(lambda theirs, shapes, cfg: [each.T for each in theirs[0]],
                                 lambda ours, cfg: [np.stack([a.T for a in ours])]),
}


def parse_weight_table(text):
    """The lines of a table as [(our names, their names, how)]"""
    lines = [line.split() for line in text.strip().splitlines() if line.strip()]
    return [(ours, theirs, CONVERSIONS[how[0] if how else ""]) for ours, theirs, *how in lines]


def neighbours(name):
    """att.wq+wk -> att.wq, att.wk"""
    stem, dot, last = name.rpartition(".")
    return [stem + dot + part for part in last.split("+")]


def count(names, pattern):
    """How many different numbers stand at # in the names that begin with `pattern`; they must be 0, 1, 2, ..."""
    place = re.compile(re.escape(pattern).replace(r"\#", r"(\d{1,9})"))
    found = {int(match[1]) for name in names if (match := place.match(name))}
    if found and max(found) != len(found) - 1:
        missing = next(i for i in range(len(found) + 1) if i not in found)
        raise BadInput(f"the weights go up to {pattern.replace('#', str(max(found)))} and lack {pattern.replace('#', str(missing))}")
    return len(found)


def shapes(cfg):
    """{our name: shape} of a model, fused leaves by their parts"""
    found = {}
    for path, leaf in tree.leaves(gpt.params(cfg)):
        for part, width in leaf.parts or ((path.rpartition(".")[2], leaf.shape[-1]),):
            found[path[:path.rfind(".") + 1] + part] = (*leaf.shape[:-1], width)
    return found


def rows(lines, cfg, mine, theirs=()):
    """The lines of a table for one model: every Row whose weights it has. {*} in a name of theirs is looked up among `theirs`."""
    for ours, name, how in lines:
        for i in range(cfg.n_layers) if "{i}" in ours else [0]:
            for e in range(cfg.n_experts) if "{e}" in ours else [0]:
                at = lambda text: text.replace("{i}", str(i)).replace("{e}", str(e))
                mixed = [at(ours).replace("{*}", str(k)) for k in range(cfg.n_experts)] if "{*}" in ours else neighbours(at(ours))
                if mixed[0] not in mine:
                    continue
                many = [at(name).replace("{*}", str(k)) for k in range(count(theirs, at(name).replace("{*}", "#")))] \
                    if "{*}" in name else at(name).split(",")
                yield Row(tuple(mixed), tuple(many), how)


def import_weights(lines, settings, theirs, where, ignored=None):
    """(Config, (our name, array) one after the other) from a table, our settings and {their name: array}.

    BadInput, before anything is allocated, where the settings ask for more than the file holds, or for something else; later, where
    an array turns out to have another shape. `ignored`: a pattern of their names that carry no weight.
    """
    cfg = checked(settings, theirs, where)
    return cfg, matched(list(rows(lines, cfg, shapes(cfg), theirs)), cfg, theirs, where, ignored)


def matched(chosen, cfg, theirs, where, ignored=None):
    """(our name, array) one after the other, of Rows that must use up all arrays of theirs and give all of ours"""
    mine = shapes(cfg)
    asked = {name for row in chosen for name in row.theirs}
    if missing := sorted(asked - theirs.keys()) or [name for row in chosen if not row.theirs for name in row.ours]:
        raise BadInput(f"{where} lacks {missing[0]}, which its config asks for" + bias_names(missing))
    if unknown := sorted(name for name in theirs.keys() - asked if not (ignored and re.fullmatch(ignored, name))):
        raise BadInput(f"{where} holds {unknown[0]}, which its config does not ask for" + bias_names(unknown))
    if untold := sorted(mine.keys() - {name for row in chosen for name in row.ours}):
        raise BadInput(f"{where} says nothing of {untold[0]}" + bias_names(untold))
    return arrays(chosen, cfg, mine, theirs, where)


def bias_names(names):
    return f", and {len(names) - 1} more" if len(names) > 1 else ""


def checked(settings, theirs, where):
    """The Config of these settings, if the file has as many numbers as such a model"""
    double = any(each.dtype == np.float64 for each in theirs.values())
    try:
        cfg = Config(**{**dict(d_type="fp64" if double else "fp32"), **settings})
    except BadInput as error:
        raise BadInput(f"{where}: {' And '.join(str(error).splitlines())}") from None
    held = sum(prod(each.shape) for each in theirs.values())
    least = cfg.n_vocab * cfg.n_emb + cfg.n_layers * cfg.n_emb * (cfg.n_experts if cfg.c_network == "moe" else 1)
    if least > held or tree.size(gpt.params(cfg)) > held:
        raise BadInput(f"{where} holds {held:,} numbers, and a model of its config has more: it is truncated, or its config is of another")
    return cfg


def arrays(chosen, cfg, mine, theirs, where):
    for row in chosen:
        given = [np.asarray(theirs[name]) for name in row.theirs]
        wanted = [mine[name] for name in row.ours]
        try:
            made = row.how.inward(given, wanted, cfg)
        except ValueError:                                       # what does not fit cannot be cut or joined either
            made = []
        for name, shape, a in zip(row.ours, wanted, [*made, *[None] * len(wanted)]):
            if a is None or a.shape != shape:
                raise BadInput(f"{where}: {' and '.join(row.theirs[:3])} {'has' if len(row.theirs) == 1 else 'have'} shape "
                               f"{', '.join(str(list(g.shape)) for g in given[:3])}, which does not make the {name} {list(shape)} "
                               f"that the config asks for")
            if not np.isfinite(a).all():
                raise BadInput(f"{where}: {' and '.join(row.theirs[:3])} holds NaN or Infinity")
            yield name, a


def export_weights(lines, cfg, weights):
    """{their name: array} from a table and {our name: array}"""
    out, mine = dict[str, np.ndarray](), shapes(cfg)
    for row in rows(lines, cfg, mine):
        out |= zip(row.theirs, row.how.outward([weights[name] for name in row.ours], cfg))
    return out
