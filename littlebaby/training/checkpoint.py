"""What a run goes on from: weights and State as arrays by name and plain numbers, and back, exact to the last bit.

It touches no file. Whatever a State holds is taken along by itself; what it holds is written down in train.py alone.
"""
from dataclasses import fields

from ..arrays.backend import to_numpy, xp
from ..errors import BadInput
from .loop import State, begin


def state_to_arrays(baby, state) -> tuple[dict, dict]:
    """({name: NumPy array}, what JSON can hold): the weights under "flat", arrays of the state under their path, "optimizer.m" """
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


def state_from_arrays(baby, arrays, numbers):
    """The State, and into `baby` the weights, of what `freeze` made. A field that a younger littlebaby added keeps its default.

    BadInput: they belong to another model or another optimizer.
    """
    state = begin(baby, numbers.get("total", 0))
    if unknown := numbers.keys() - vars(state).keys():
        raise BadInput(f"the checkpoint holds {sorted(unknown)[0]}, which this version does not know: a newer littlebaby wrote it")

    def array(path, like):
        held = arrays.get(path) if isinstance(path, str) else None
        if held is None or held.shape != like.shape or held.dtype != like.dtype:
            found = "missing" if held is None else f"{held.dtype} of shape {held.shape}"
            raise BadInput(f"the checkpoint does not fit its config: {path} is {found} and should be {like.dtype} of shape {like.shape}")
        return xp.asarray(held)

    def filled(value, like):
        """`value` as `freeze` left it; `like`: what stands there at the beginning of a run"""
        if isinstance(value, dict) and value.keys() == {"array"} and (like is None or hasattr(like, "shape")):
            return array(value["array"], baby.flat if like is None else like)
        if isinstance(value, dict) and isinstance(like, dict):
            if value.keys() != like.keys():
                raise BadInput(f"the checkpoint does not fit its config: it holds {', '.join(value)} and should hold {', '.join(like)}")
            return {key: filled(each, like[key]) for key, each in value.items()}
        if not isinstance(value, int | float if isinstance(like, float) else type(like)):
            raise BadInput(f"the checkpoint is damaged: it holds {value!r:.60} where {type(like).__name__} belongs")
        return value

    baby.flat[...] = array("flat", baby.flat)
    for name, value in numbers.items():
        setattr(state, name, filled(value, getattr(state, name)))
    return state
