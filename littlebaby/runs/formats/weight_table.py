"""Weight tables: which weight of a foreign model corresponds to which of ours; one table per architecture, for import and export.

Each line of a table holds our name, the foreign name and, where the two arrays differ, the conversion between them (CONVERSIONS). In a name
{i} is the number of a layer, {e} that of an expert, and {*} means all experts together. "a+b" are several of our weights that are parts of
one foreign array; commas separate several foreign arrays that are parts of one of ours. A line is used only if our model has the weight, so
one table serves dense layers and mixtures of experts, tied and separate heads, and models with and without biases.
"""
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...arrays import tree
from ...errors import BadInput
from ...model import gpt
from ..settings import Config
from .tensors import Arrays

Shape = tuple[int, ...]


class Conversion(NamedTuple):
    """How foreign arrays become ours, and the inverse"""
    # foreign arrays, shapes of ours, config -> our arrays
    inward: Callable[[list[np.ndarray], list[Shape], Config], list[np.ndarray]]
    # our arrays, config -> foreign arrays; None where the format is only read
    outward: Callable[[list[np.ndarray], Config], list[np.ndarray]] | None = None


class Line(NamedTuple):
    """One line of a table, with its placeholders"""
    own: str
    foreign: str
    conversion: Conversion


class Row(NamedTuple):
    """One line of a table for one layer or expert of one model: full names"""
    own: tuple[str, ...]
    foreign: tuple[str, ...]
    conversion: Conversion


def split_columns(whole: np.ndarray, shapes: Iterable[Shape]) -> list[np.ndarray]:
    """Split an array along its last axis into parts as wide as these shapes; the caller checks the shapes of the parts"""
    return np.split(whole, np.cumsum([shape[-1] for shape in shapes])[:-1], -1)


def concatenated(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [np.concatenate(arrays, -1)]


def transposed(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [a.T for a in arrays]


def by_head(heads: Callable[[Config], int]) -> tuple[Callable, Callable]:
    """(fold, unfold): fold puts the columns of several matrices (c, h d) side by side head by head, giving (c, h (d1 + d2 + ...))

    heads: config -> h
    """
    def fold(arrays, cfg):
        c, h = len(arrays[0]), heads(cfg)
        return [np.concatenate([a.reshape(c, h, -1) for a in arrays], -1).reshape(c, -1)]

    def unfold(arrays, shapes, cfg):
        c, h = len(arrays[0]), heads(cfg)
        parts = split_columns(arrays[0].reshape(c, h, -1), [(shape[-1] // h,) for shape in shapes])
        return [part.reshape(c, -1) for part in parts]

    return fold, unfold


fold_heads, unfold_heads = by_head(lambda cfg: cfg.n_heads)
fold_mla_heads, _ = by_head(lambda cfg: int(cfg.n_heads * cfg.r_recall))

CONVERSIONS = {
    "": Conversion(lambda foreign, shapes, cfg: foreign, lambda own, cfg: own),
    # foreign (out, in), own (in, out)
    "transposed": Conversion(lambda foreign, shapes, cfg: transposed(foreign), lambda own, cfg: transposed(own)),
    # several of ours side by side in one foreign array
    "fused": Conversion(lambda foreign, shapes, cfg: split_columns(foreign[0], shapes), lambda own, cfg: concatenated(own)),
    "transposed,fused": Conversion(lambda foreign, shapes, cfg: split_columns(foreign[0].T, shapes),
                                   lambda own, cfg: transposed(concatenated(own))),
    # the same, head by head
    "transposed,fused_by_head": Conversion(lambda foreign, shapes, cfg: unfold_heads(transposed(foreign), shapes, cfg),
                                           lambda own, cfg: transposed(fold_heads(own, cfg))),
    # several foreign arrays in one of ours
    "transposed,columns_joined": Conversion(lambda foreign, shapes, cfg: concatenated(transposed(foreign))),
    "transposed,rows_joined": Conversion(lambda foreign, shapes, cfg: [np.concatenate(transposed(foreign), 0)]),
    "transposed,joined_by_head": Conversion(lambda foreign, shapes, cfg: fold_mla_heads(transposed(foreign), cfg)),
    # one foreign array (experts, out, in), own (in, out) for each expert
    "transposed,experts": Conversion(lambda foreign, shapes, cfg: [expert.T for expert in foreign[0]],
                                     lambda own, cfg: [np.stack([a.T for a in own])]),
}


def parse_weight_table(text: str) -> list[Line]:
    """The lines of a table that is written as text"""
    lines = [line.split() for line in text.strip().splitlines() if line.strip()]
    return [Line(own, foreign, CONVERSIONS[conversion[0] if conversion else ""]) for own, foreign, *conversion in lines]


def split_names(name: str) -> list[str]:
    """att.wq+wk -> att.wq, att.wk"""
    stem, dot, last = name.rpartition(".")
    return [stem + dot + part for part in last.split("+")]


def count(names: Iterable[str], pattern: str) -> int:
    """How many different numbers replace # in the names that begin with `pattern`. BadInput: they are not 0, 1, 2, ..."""
    numbered = re.compile(re.escape(pattern).replace(r"\#", r"(\d{1,9})"))
    found = {int(match[1]) for name in names if (match := numbered.match(name))}
    if found and max(found) != len(found) - 1:
        missing = next(i for i in range(len(found) + 1) if i not in found)
        raise BadInput(f"the weights go up to {pattern.replace('#', str(max(found)))} and lack {pattern.replace('#', str(missing))}")
    return len(found)


def shapes(cfg: Config) -> dict[str, Shape]:
    """{our name: shape} of every weight of a model; a fused leaf is listed by its parts"""
    found = {}
    for path, leaf in tree.leaves(gpt.params(cfg)):
        for part, width in leaf.parts or ((path.rpartition(".")[2], leaf.shape[-1]),):
            found[path[:path.rfind(".") + 1] + part] = (*leaf.shape[:-1], width)
    return found


def rows(lines: Iterable[Line], cfg: Config, own: Collection[str], foreign: Collection[str] = ()) -> Iterator[Row]:
    """A Row for each line, layer and expert whose weights the model has

    own: the names of the model's weights      foreign: the names in the file, among which {*} of a foreign name is counted
    """
    for line in lines:
        for i in range(cfg.n_layers) if "{i}" in line.own else [0]:
            for e in range(cfg.n_experts) if "{e}" in line.own else [0]:
                numbered = lambda name: name.replace("{i}", str(i)).replace("{e}", str(e))
                own_name, foreign_name = numbered(line.own), numbered(line.foreign)
                own_names = [own_name.replace("{*}", str(k)) for k in range(cfg.n_experts)] if "{*}" in own_name else split_names(own_name)
                if own_names[0] not in own:
                    continue
                foreign_names = [foreign_name.replace("{*}", str(k)) for k in range(count(foreign, foreign_name.replace("{*}", "#")))] \
                    if "{*}" in foreign_name else foreign_name.split(",")
                yield Row(tuple(own_names), tuple(foreign_names), line.conversion)


def import_weights(lines: Iterable[Line], settings: Mapping[str, Any], foreign: Arrays, where: Path | str,
                   ignored: str | None = None) -> tuple[Config, Iterator[tuple[str, np.ndarray]]]:
    """(config, pairs of our name and array) from a table, our settings and {foreign name: array}

    where    the file that the errors name
    ignored  a regular expression for foreign names that are not weights
    BadInput before anything is allocated: the settings are invalid, the file contains too few numbers, or its names do not match. BadInput
    while the arrays are read: one has a wrong shape or a number that is not finite.
    """
    cfg = checked(settings, foreign, where)
    return cfg, matched(list(rows(lines, cfg, shapes(cfg), foreign)), cfg, foreign, where, ignored)


def matched(chosen: list[Row], cfg: Config, foreign: Arrays, where: Path | str,
            ignored: str | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Pairs of our name and array. BadInput: the rows do not use every foreign array, or do not give every weight of the model"""
    own_shapes = shapes(cfg)
    required = {name for row in chosen for name in row.foreign}
    if missing := sorted(required - foreign.keys()) or [name for row in chosen if not row.foreign for name in row.own]:
        raise BadInput(f"{where} lacks {missing[0]}, which its config requires" + and_more(missing))
    if unknown := sorted(name for name in foreign.keys() - required if not (ignored and re.fullmatch(ignored, name))):
        raise BadInput(f"{where} holds {unknown[0]}, which a model with its config does not have" + and_more(unknown))
    if uncovered := sorted(own_shapes.keys() - {name for row in chosen for name in row.own}):
        raise BadInput(f"{where} holds no array for the weight {uncovered[0]}" + and_more(uncovered))
    return converted(chosen, cfg, own_shapes, foreign, where)


def and_more(names: list[str]) -> str:
    """The end of a sentence that names only the first of `names`"""
    return f", and {len(names) - 1} more" if len(names) > 1 else ""


def checked(settings: Mapping[str, Any], foreign: Arrays, where: Path | str) -> Config:
    """The Config of these settings. BadInput: they are invalid, or the file contains fewer numbers than a model with this Config has"""
    double = any(array.dtype == np.float64 for array in foreign.values())
    try:
        cfg = Config(**{**dict(d_type="fp64" if double else "fp32"), **settings})
    except BadInput as error:
        raise BadInput(f"{where}: {' And '.join(str(error).splitlines())}") from None
    available = sum(prod(array.shape) for array in foreign.values())
    least = cfg.n_vocab * cfg.n_emb + cfg.n_layers * cfg.n_emb * (cfg.n_experts if cfg.c_network == "moe" else 1)
    if least > available or tree.size(gpt.params(cfg)) > available:      # `least` first: the spec of a huge config needs much memory
        raise BadInput(f"{where} holds {available:,} numbers, fewer than a model with its config has: it is truncated, or the config "
                       f"belongs to another model")
    return cfg


def converted(chosen: list[Row], cfg: Config, own_shapes: Mapping[str, Shape], foreign: Arrays,
              where: Path | str) -> Iterator[tuple[str, np.ndarray]]:
    """Pairs of our name and array, one row of the table in memory at a time. BadInput: a wrong shape, NaN or Infinity"""
    for row in chosen:
        given = [np.asarray(foreign[name]) for name in row.foreign]
        expected = [own_shapes[name] for name in row.own]
        try:
            made: list[np.ndarray] = row.conversion.inward(given, expected, cfg)
        except ValueError:                                       # NumPy cannot split or concatenate arrays with these shapes
            made = []
        for name, shape, a in zip(row.own, expected, [*made, *[None] * len(expected)]):
            if a is None or a.shape != shape:
                raise BadInput(f"{where}: {' and '.join(row.foreign[:3])} {'has' if len(row.foreign) == 1 else 'have'} shape "
                               f"{', '.join(str(list(g.shape)) for g in given[:3])}, which does not give {name} the shape {list(shape)} "
                               f"that the config requires")
            if not np.isfinite(a).all():
                raise BadInput(f"{where}: {' and '.join(row.foreign[:3])} holds NaN or Infinity")
            yield name, a


def export_weights(lines: Iterable[Line], cfg: Config, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{foreign name: array} from a table and {our name: array}"""
    exported = dict[str, np.ndarray]()
    for row in rows(lines, cfg, shapes(cfg)):
        assert row.conversion.outward, "this conversion is for import only"
        exported |= zip(row.foreign, row.conversion.outward([weights[name] for name in row.own], cfg))
    return exported
