"""The plan of a sweep: read from a file or from arguments, checked, and expanded to its cells."""
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import BadInput, nearest, number, parsed, quoted, seeded
from ..evaluation import search
from ..runs import disk, presets
from ..runs.aliases import renamed
from ..runs.settings import Config, unknown_setting
from .training_data import combined

KEYS = ("input", "preset", "settings", "grid", "list", "random", "seeds", "halving")
EXAMPLE = '{"grid": {"r_learn": [0.01, 0.02]}, "seeds": 3}'
MOST_BYTES = 10**6       # of a plan file
MOST_RUNS = 100_000      # of a sweep
YAML = (".yaml", ".yml")


class Halving(NamedTuple):
    """Successive halving: rounds of more and more steps for fewer and fewer cells"""
    n_steps: list[int]           # of each round
    keep: float                  # share of the cells that go on to the next round


class Plan(NamedTuple):
    """A checked plan"""
    given: dict[str, Any]        # as it was given
    input: Any
    settings: dict[str, Any]     # those of the preset and those that all cells share
    choices: list[dict[str, Any]]        # the settings in which the cells differ
    seeds: list[int]
    halving: Halving | None


def read_plan(file: str | Path) -> dict[str, Any]:
    """The contents of a plan file, JSON or YAML. BadInput: it is damaged or holds no object, or it is YAML and pyyaml is missing"""
    path = Path(file).expanduser()
    data = disk.read_bytes(path)
    if len(data) > MOST_BYTES:
        raise BadInput(f"{path} has {len(data):,} bytes; allowed in a plan are at most {MOST_BYTES:,}")
    found = parse_yaml(data, path) if path.suffix.lower() in YAML else disk.parse(data, path)
    if not isinstance(found, dict):
        raise BadInput(f"{path} is not a plan: it must hold an object such as {EXAMPLE}")
    return found


def parse_yaml(data: bytes, path: Path) -> Any:
    """The value of YAML in UTF-8"""
    try:
        import yaml
    except ModuleNotFoundError:
        raise BadInput(f"a plan in YAML, {path}, needs pyyaml: pip install 'littlebaby[sweep]'; a plan in JSON works without it") from None
    try:
        return yaml.safe_load(data.decode("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{path} is no YAML: {' '.join(str(error).split())}") from None


def checked_plan(given: Mapping[str, Any]) -> Plan:
    """A plan, checked and expanded. BadInput: a key, a setting or a number is not allowed, or there is nothing to search over"""
    given = {key: value for key, value in given.items() if value is not None}
    for key in given:
        if key not in KEYS:
            raise BadInput(nearest("the key of a plan", key, KEYS))
    for key in ("settings", "grid", "random", "halving"):
        if not isinstance(given.get(key, {}), Mapping):
            raise BadInput(f"{key} is {quoted(given[key])}; allowed in a plan is an object such as {EXAMPLES[key]}")
    preset = presets.preset(str(given.get("preset") or presets.default_preset(given.get("input"))))
    settings = combined(preset | dict(c_device_cpu_cores=1), known(given.get("settings", {}), "settings"))
    halving = checked_halving(given["halving"]) if "halving" in given else None
    choices = search.without_repetitions(expanded(given))
    seeds = checked_seeds(given.get("seeds", 1), int(settings.pop("seed", 0)))
    for choice in choices:
        if "seed" in choice:
            raise BadInput('seed stands among the searched settings; allowed is only the key seeds of the plan, such as "seeds": 3')
        if halving and {"n_steps", "n_epochs"} & set(choice):
            raise BadInput("n_steps and n_epochs stand among the searched settings; in a successive halving the key halving gives n_steps")
    require_few(len(choices) * len(seeds))
    return Plan(dict(given), given.get("input"), settings, choices, seeds, halving)


EXAMPLES = dict(settings='{"n_steps": 300}', grid='{"r_learn": [0.01, 0.02], "n_layers": [2, 3]}',
                random='{"r_learn": [0.001, 0.1], "n": 10}', halving='{"n_steps": [100, 300, 900], "keep": 0.5}')


def known(settings: Any, where: str) -> dict[str, Any]:
    """Settings under their present names, numbers in text as numbers. BadInput: no object, or a name that is no setting"""
    if not isinstance(settings, Mapping):
        raise BadInput(f"{where} is {quoted(settings)}; allowed are settings such as {{\"r_learn\": 0.01}}")
    found = renamed({str(name): value for name, value in settings.items()})
    for name in found:
        if name not in Config.model_fields:
            raise BadInput(unknown_setting(name))
    return {name: plain_number(name, value) for name, value in found.items()}


def plain_number(name: str, value: Any) -> Any:
    """A text such as 1e-3, which YAML does not take for a number, as a number, if the setting is one"""
    if isinstance(value, list | tuple):
        return [plain_number(name, each) for each in value]
    found = parsed(value) if isinstance(value, str) and Config.model_fields[name].annotation in (int, float) else None
    return value if found is None else found


def expanded(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of grid, list and random, one after the other; a single empty one where there is none of them"""
    choices: list[dict[str, Any]] = []
    if given.get("grid"):
        values = values_of(given["grid"], "grid")
        require_few(prod(map(len, values.values())))
        choices += search.grid(values)
    listed = given.get("list", [])
    if not isinstance(listed, list | tuple):
        raise BadInput(f"list is {quoted(listed)}; allowed in a plan is a list of settings, such as [{{\"r_learn\": 0.01}}]")
    choices += [known(each, "an entry of list") for each in listed]
    if given.get("random"):
        about = dict(given["random"])
        n = number("n of random", about.pop("n", 10), 1, MOST_RUNS, whole=True)
        rng = np.random.default_rng(seeded(about.pop("seed", 0)))
        choices += search.random_choices(values_of(about, "random"), n, rng)
    return choices or [{}]


def require_few(runs: int) -> None:
    """BadInput where a plan has more than MOST_RUNS runs"""
    if runs > MOST_RUNS:
        raise BadInput(f"the plan has {runs:,} runs; allowed are 1 to {MOST_RUNS:,}")


def values_of(settings: Mapping[str, Any], where: str) -> dict[str, list[Any]]:
    """{setting: its values} of grid or random. BadInput: one has no list of values"""
    for name, values in settings.items():
        if not isinstance(values, list | tuple) or not values:
            raise BadInput(f"{name} in {where} is {quoted(values)}; allowed is a list of values, such as {EXAMPLES[where]}")
    return {name: list(values) for name, values in known(settings, where).items()}


def checked_seeds(seeds: Any, first: int) -> list[int]:
    """The seeds of a plan: `seeds` of them from `first` on, or a list of them"""
    if not isinstance(seeds, list | tuple):
        return list(range(first, first + number("seeds", seeds, 1, 10_000, whole=True)))
    if not seeds or len(set(map(str, seeds))) < len(seeds):
        raise BadInput(f"seeds is {quoted(seeds)}; allowed are a number of seeds, or a list of different seeds such as [0, 1, 2]")
    return [seeded(seed) for seed in seeds]


def checked_halving(given: Mapping[str, Any]) -> Halving:
    """The rounds of a successive halving"""
    for key in given:
        if key not in Halving._fields:
            raise BadInput(nearest("the key of halving", key, Halving._fields))
    steps: Sequence[Any] = given.get("n_steps", ())
    if not isinstance(steps, list | tuple) or len(steps) < 2:
        raise BadInput(f"n_steps of halving is {quoted(steps)}; allowed is a list of at least two growing numbers, such as [100, 300, 900]")
    rounds = [number("n_steps of halving", each, 1, 10**9, whole=True) for each in steps]
    if sorted(set(rounds)) != rounds:
        raise BadInput(f"n_steps of halving is {quoted(rounds)}; allowed are growing numbers; did you mean {sorted(set(rounds))}?")
    return Halving(rounds, number("keep of halving", given.get("keep", 0.5), 0.01, 0.99))
