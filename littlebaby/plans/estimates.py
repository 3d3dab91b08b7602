"""Before a run, and about the code: what a training would cost, what this machine makes of it, whether the laws hold; and the panel."""
from importlib import import_module

from ..check import bench as benches
from ..check.laws import verdicts
from ..check.preflight import preflight as predict
from ..errors import BadInput, nearest
from ..runs.settings import Config
from ..show.progress import counted
from ..training.data import split
from .model_io import use_device
from .process_control import open_workspace
from .training_data import load_input, make_config


def preflight(input=None, preset=None, config=None, path=None, encoding="utf-8", probe=True, **settings):
    """What a training would cost, before it begins: parameters, FLOPs, memory, tokens per parameter, minutes on this machine.

    Where the settings name a vocabulary, as the published presets do, `published` counts the parameters with it; everything else is as
    the training would be, with the vocabulary of its text.
    """
    named = make_config(preset, config, settings).n_vocab
    return predict(*config_and_tokens(input, preset, config, path, encoding, settings), probe, named)


def config_and_tokens(input=None, preset=None, config=None, path=None, encoding="utf-8", settings=(), progress=True) -> tuple[Config, int]:
    """The Config of a training with the vocabulary that its text has, and the number of tokens to learn from"""
    cfg = make_config(preset, config, settings)
    source, tokenizer = load_input(open_workspace(path), input or "nursery", cfg, None, encoding, progress)
    use_device(cfg)
    begins = tokenizer.encode(tokenizer.begin)
    trained = sum(len(split(part.ids(tokenizer), cfg, begins)[0]) for part in source.parts)
    return cfg.replace(n_vocab=tokenizer.size), trained


def bench(sizes=None, progress=True):
    """What this machine makes of models of four sizes, S0 to S3 or those of `sizes`: [Bench]"""
    unknown = [name for name in sizes or () if name not in benches.SIZES]
    if unknown:
        raise BadInput(nearest("size", unknown[0], benches.SIZES))
    found = []
    for name in counted(list(sizes or benches.SIZES), "measuring", progress):
        cfg = benches.config(name)
        use_device(cfg)
        found.append(benches.bench(name, cfg))
    return found


def check(variant):
    """The laws of one attention, network, norm or position: a row of numbers for every option it is tried with"""
    return verdicts(variant)


def panel(path=None):
    """All of this with buttons, for a notebook; it needs ipywidgets, `pip install 'littlebaby[notebook]'`"""
    try:
        from ..show.panel import Panel
    except ModuleNotFoundError as error:
        raise BadInput(f"the panel needs {error.name}: pip install 'littlebaby[notebook]'") from None
    return Panel(import_module(__package__), open_workspace(path).root)
