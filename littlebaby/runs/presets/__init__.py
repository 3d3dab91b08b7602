"""Presets: one JSON file each in this folder, with "about", a sentence, and the settings that differ from the defaults."""
import json
from pathlib import Path
from typing import Any

from ...errors import BadInput, nearest

HERE = Path(__file__).parent
DEFAULTS = "nursery", "characters"      # the presets that are used where none is given: for the nursery, and for another text


def presets() -> dict[str, str]:
    """{name: what it is}"""
    return {path.stem: json.loads(path.read_text("utf-8"))["about"] for path in sorted(HERE.glob("*.json"))}


def default_preset(input: Any = None) -> str:
    """The name of the preset of a training for which none is given. input: as in `train`; None for the nursery"""
    given = input if isinstance(input, list | tuple) else [input or "nursery"]
    nursery, own = DEFAULTS
    return nursery if {str(each) for each in given} <= {"nursery", "nursery.txt"} else own


def preset(name: str) -> dict[str, Any]:
    """The settings of a preset, those that differ from the defaults: `Config(**preset("gpt2"))`. Raises BadInput for an unknown name"""
    if name not in (known := presets()):
        raise BadInput(nearest("preset", name, known))
    settings = json.loads((HERE / f"{name}.json").read_text("utf-8"))
    del settings["about"]
    return settings
