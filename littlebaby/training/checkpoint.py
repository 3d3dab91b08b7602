"""The contents of a checkpoint: weights and State as named arrays and plain numbers, and back, exact to the last bit.

No file is used here. All fields of State are saved and restored; they are defined in loop.py only.
"""
from dataclasses import fields
from typing import Any

from ..arrays.backend import to_numpy, xp
from ..errors import BadInput
from ..inference.baby import Baby
from .loop import State, begin


def state_to_arrays(baby: Baby, state: State) -> tuple[dict, dict]:
    """({name: NumPy array}, {field: value that JSON can hold}): the weights are "flat", an array of the state is named by its path, such as
    "optimizer.m", and its value is {"array": path}"""
    arrays = {"flat": to_numpy(baby.flat)}

    def plain(value, path):
        if isinstance(value, dict):
            return {key: plain(each, f"{path}.{key}") for key, each in value.items()}
        if not hasattr(value, "dtype"):
            return value
        if not value.ndim:
            return value.item()
        arrays[path] = to_numpy(value)
        return {"array": path}

    return arrays, {field.name: plain(getattr(state, field.name), field.name) for field in fields(State)}


def state_from_arrays(baby: Baby, arrays: dict, numbers: dict) -> State:
    """The State of what `state_to_arrays` returned; the weights are copied into `baby`. A field that the checkpoint lacks, because it was
    added in a later version, gets its default.

    Raises:
        BadInput: They belong to another model, another optimizer or a newer version.
    """
    state = begin(baby, numbers.get("total", 0))
    if unknown := numbers.keys() - vars(state).keys():
        raise BadInput(f"the checkpoint holds {sorted(unknown)[0]}, which this version does not know; a newer littlebaby wrote it")

    def array(path, like):
        held = arrays.get(path) if isinstance(path, str) else None
        if held is None or held.shape != like.shape or held.dtype != like.dtype:
            found = "missing" if held is None else f"{held.dtype} of shape {held.shape}"
            raise BadInput(f"the checkpoint does not fit its config: {path} is {found}; allowed is {like.dtype} of shape {like.shape}")
        return xp.asarray(held)

    def filled(value: Any, like: Any) -> Any:
        """A restored value of the state; `like` is the value at the beginning of a run"""
        if isinstance(value, dict) and value.keys() == {"array"} and (like is None or hasattr(like, "shape")):
            return array(value["array"], baby.flat if like is None else like)
        free = isinstance(value, dict) and isinstance(like, dict) and not like   # any numbers by name
        if free and all(isinstance(each, int | float) for each in value.values()):
            return value
        if isinstance(value, dict) and isinstance(like, dict):
            if value.keys() != like.keys():
                raise BadInput(f"the checkpoint does not fit its config: it holds {', '.join(value)}; allowed are {', '.join(like)}")
            return {key: filled(each, like[key]) for key, each in value.items()}
        if not isinstance(value, int | float if isinstance(like, float) else type(like)):
            raise BadInput(f"the checkpoint is damaged: it holds {value!r:.60} in place of a value of type {type(like).__name__}")
        return value

    baby.flat[...] = array("flat", baby.flat)
    for name, value in numbers.items():
        setattr(state, name, filled(value, getattr(state, name)))
    return state
