"""Estimates and checks: the cost of a training before it begins, the speed of this machine, the checks of a variant; and the panel."""
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ..check import bench as benches
from ..check.laws import verdicts
from ..check.preflight import Preflight
from ..check.preflight import preflight as predict
from ..errors import BadInput, nearest
from ..runs.settings import Config
from ..show.progress import counted
from ..training.data import split
from .model_io import use_device
from .process_control import open_workspace
from .training_data import load_input, make_config


def preflight(input: str | Path | list[str] | None = None, preset: str | None = None, config: str | Path | None = None,
              path: str | Path | None = None, encoding: str = "utf-8", probe: bool = True, **settings: Any) -> Preflight:
    """Estimate the cost of a training before it begins: parameters, FLOPs, memory, tokens per parameter and time on this machine.

    If the settings name a vocabulary, as the published presets do, `published` counts the parameters with it; all other figures are
    those of the training, with the vocabulary of its text.

    Args:
        input: Training text, as in `train` [the nursery].
        preset: As in `train`.
        config: As in `train`.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        encoding: Encoding of the text files.
        probe: Whether to measure the speed, by 2 seconds of real training steps; otherwise there is no estimate of the time.
        settings: Settings of `Config`, as in `train`.

    Returns:
        Parameters, FLOPs, memory in bytes, steps, tokens, and with `probe` seconds.

    Raises:
        BadInput: As in `train`.

    >>> about = lb.preflight("nursery_5kB_0.txt", probe=False, n_layers=2, n_emb=32, n_ctx=64, batch_size=4, n_steps=100)
    >>> about.tokens_per_step, about.tokens                      # batch_size * n_ctx, and that of all steps
    (256, 25600)
    """
    named = make_config(preset, config, settings, input).n_vocab
    return predict(*config_and_tokens(input, preset, config, path, encoding, settings), probe, named)


def config_and_tokens(input: str | Path | list[str] | None = None, preset: str | None = None, config: str | Path | None = None,
                      path: str | Path | None = None, encoding: str = "utf-8", settings: Mapping[str, Any] | tuple = (),
                      progress: bool = True) -> tuple[Config, int]:
    """The Config of a training with the vocabulary size of its text, and the number of tokens of the training split"""
    cfg = make_config(preset, config, settings, input)
    source, tokenizer = load_input(open_workspace(path), input or "nursery", cfg, None, encoding, progress)
    use_device(cfg)
    begins = tokenizer.encode(tokenizer.begin)
    trained = sum(len(split(part.ids(tokenizer), cfg, begins)[0]) for part in source.parts)
    return cfg.replace(n_vocab=tokenizer.size), trained


def bench(sizes: Sequence[str] | None = None, progress: bool = True) -> list[benches.Bench]:
    """Measure the speed of this machine with models of four sizes: a training step, its matrix products alone, and generation.

    Args:
        sizes: Names of the sizes, S0, S1, S2 or S3; their settings are `check.bench.SIZES` [all].
        progress: Whether to show a progress bar.

    Returns:
        One Bench for each size: seconds, tokens per second and FLOPs per second.

    Raises:
        BadInput: There is no such size.

    >>> [result] = lb.bench(["S0"], progress=False)
    >>> result.parameters, result.step > 0                       # seconds of a training step
    (818176, True)
    """
    unknown = [name for name in sizes or () if name not in benches.SIZES]
    if unknown:
        raise BadInput(nearest("size", unknown[0], benches.SIZES))
    found = []
    for name in counted(list(sizes or benches.SIZES), "measuring", progress):
        cfg = benches.config(name)
        use_device(cfg)
        found.append(benches.bench(name, cfg))
    return found


def check(variant: str) -> list[dict[str, Any]]:
    """Check one attention, network, norm or position: gradients against finite differences, cached decoding, and causality.

    Args:
        variant: Its name, such as "mha", "mlp", "rmsnorm" or "rope".

    Returns:
        One dict for every option that it was tried with: settings, gradient (relative error), decoding and causality (absolute errors),
        life (names of weights without a gradient), kept (whether all checks passed).

    Raises:
        BadInput: There is no such variant.

    >>> [row["kept"] for row in lb.check("rmsnorm")]
    [True]
    """
    return verdicts(variant)


def panel(path: str | Path | None = None) -> Any:
    """The plans with buttons, for a notebook. It needs ipywidgets: pip install 'littlebaby[notebook]'.

    Args:
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].

    Returns:
        A panel, which displays itself as the last line of a notebook cell.

    Raises:
        BadInput: ipywidgets is not installed.

    >>> panel = lb.panel()
    >>> type(panel).__name__
    'Panel'
    """
    try:
        from ..show.panel import Panel
    except ModuleNotFoundError as error:
        raise BadInput(f"the panel needs {error.name}: pip install 'littlebaby[notebook]'") from None
    return Panel(import_module(__package__), open_workspace(path).root)
