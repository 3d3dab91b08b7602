"""Directions in the outputs of layers: found between texts, or the features of an autoencoder; saved, and added in inference."""
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import BadInput, number, quoted
from ..inference.steering import adding, difference
from ..runs import records
from ..runs.store import Workspace
from .model_io import load
from .process_control import keep_result, open_workspace

STRONGEST = 1000.0     # the largest strength of a direction


def direction(guid: str, name: str, more: str | Sequence[str], less: str | Sequence[str], layer: int | None = None,
              path: str | Path | None = None) -> records.Direction:
    """Find the direction in a layer's output from some texts to others, and save it as outputs/direction_NAME_GUID.json.

    It is the mean output of the layer over the tokens of the texts `more`, minus that of the texts `less`. `inference` adds it, times a
    strength, to the output of the layer, so that the model writes more like `more` (Turner et al. 2023; Rimsky et al. 2024).

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or "last".
        name: Name of the direction: a small letter, then small letters, digits and hyphens. A direction of the same name is replaced.
        more: Text or texts of which the model shall write more.
        less: Text or texts of which it shall write less: like `more`, but without what is wanted.
        layer: The layer, from 0 to n_layers - 1, as in the names of the weights [the middle one].
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].

    Returns:
        A record with the layer, the texts, the vector and its length.

    Raises:
        BadInput: There is no such run or layer, the name is not allowed, or the tokenizer knows no character of the texts.

    >>> found = lb.direction("last", "ada", more="Ada hid a ball.", less="Ben hid a ball.")
    >>> len(found.vector) == lb.load("last").config.n_emb, lb.inference("last", steer={"ada": 2}).steering[0].strength
    (True, 2.0)
    """
    if not re.fullmatch(records.DIRECTION, name) or is_feature(name):
        raise BadInput(f"the name of the direction is {quoted(name)}; allowed are up to 40 small letters, digits and hyphens that begin "
                       f"with a letter, but not feature with a number")
    more, less = ([texts] if isinstance(texts, str) else [*texts] for texts in (more, less))
    workspace = open_workspace(path)
    run = workspace.resolve(guid, "model")
    baby = load(run, workspace.root)
    layer = checked_layer(layer, baby.config)
    vector = difference(baby, more, less, layer)
    found = records.Direction(guid=run, name=name, layer=layer, more=more, less=less, norm=float(np.linalg.norm(vector)),
                              vector=vector.tolist())
    keep_result(lambda: workspace.save_direction(found))
    return found


def checked_layer(layer: int | None, cfg: records.Config) -> int:
    """The number of a layer; the middle one for None. BadInput: there is no such layer"""
    return (cfg.n_layers - 1) // 2 if layer is None else number("layer", layer, 0, cfg.n_layers - 1, whole=True)


def is_feature(name: str) -> bool:
    """Whether a name of a direction means a feature of an autoencoder, such as feature12"""
    return bool(re.fullmatch(r"feature\d+", name))


def steered(workspace: Workspace, run: str, steer: Mapping[str, float]) -> tuple[Callable | None, list[records.Steering]]:
    """(the replace_value of `Context` that adds these directions of a run, the record of them); steer: {name: strength}. None for none"""
    shifts: dict[int, np.ndarray] = {}
    record = []
    for name, given in steer.items():
        strength = number(f"the strength of {quoted(name)}", given, -STRONGEST, STRONGEST)
        layer, vector = feature_direction(workspace, name, run) if is_feature(name) else saved_direction(workspace, name, run)
        shifts[layer] = shifts.get(layer, 0) + strength * vector
        record.append(records.Steering(name=name, layer=layer, strength=strength))
    return adding(shifts) if shifts else None, record


def saved_direction(workspace: Workspace, name: str, run: str) -> tuple[int, np.ndarray]:
    """(layer, vector (D,)) of a direction that `direction` has saved"""
    found = workspace.load_direction(name, run)
    return found.layer, np.array(found.vector)


def feature_direction(workspace: Workspace, name: str, run: str) -> tuple[int, np.ndarray]:
    """(layer, vector (D,)) of a feature that `features` has found: its direction, as long as its mean activation where it is active"""
    arrays, layer = workspace.load_features(run)
    i = number("the feature", name.removeprefix("feature"), 0, len(arrays["means"]) - 1, whole=True)
    return layer, arrays["down"][i] * arrays["means"][i]
