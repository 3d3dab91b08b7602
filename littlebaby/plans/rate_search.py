"""find_rate: one short training with an exponentially growing learning rate, and the r_learn that its losses suggest."""
from pathlib import Path
from typing import Any

from ..errors import BadInput, NotFinite, number
from ..evaluation.learning_rates import growing_rate, has_diverged
from ..inference.baby import Baby
from ..show.progress import counted
from ..show.rate_search import RateSearch
from ..training.loop import Step, begin
from ..training.loop import train as events
from .model_io import use_device
from .process_control import interruptible, open_workspace
from .training_data import load_input, make_config, text_data

FEWEST = 20          # steps; the running mean of fewer says nothing


def find_rate(input: str | Path | list[str] | None = None, preset: str | None = None, config: str | Path | None = None,
              path: str | Path | None = None, encoding: str = "utf-8", n_steps: int = 150, least: float = 1e-4, most: float = 1.0,
              progress: bool = True, **settings: Any) -> RateSearch:
    """Suggest a learning rate: one short training in which the rate grows by the same factor in every step, until it diverges.

    No run is saved. The suggestion is a third of the rate with the lowest running mean of the loss. Ctrl-C ends the search with the steps
    so far.

    Args:
        input: Training text, as in `train` [the nursery].
        preset: As in `train`.
        config: As in `train`.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        encoding: Encoding of the text files.
        n_steps: Number of steps, at least 20.
        least: Learning rate of the first step.
        most: Learning rate of the last step.
        progress: Whether to show a progress bar.
        settings: Settings of `Config`, as in `train`.

    Returns:
        A page: it displays itself in a notebook, has `rate`, `reason`, `rates` and `losses`, and `save(path)` writes it as HTML.

    Raises:
        BadInput: As in `train`, or a number is out of range.

    >>> tiny = dict(n_layers=1, n_emb=16, n_heads=2, n_ctx=16, batch_size=4)
    >>> found = lb.find_rate("nursery_5kB_0.txt", n_steps=30, least=0.001, most=0.1, progress=False, **tiny)
    >>> found.rates[0], round(found.rates[-1], 6), 0 < found.rate < 0.1
    (0.001, 0.1, True)
    """
    n_steps = number("n_steps", n_steps, FEWEST, 10**6, whole=True)
    least, most = number("least", least, 1e-9, 100), number("most", most, 1e-9, 100)
    if most <= least:
        raise BadInput(f"most is {most:g}; allowed is a rate above least, {least:g}")
    chosen = dict(n_steps=n_steps, s_eval=n_steps, n_sample=0, r_minutes=0.0, s_checkpoint=0, r_checkpoint_minutes=0.0)
    cfg = make_config(preset, config, settings | chosen, input)
    source, tokenizer = load_input(open_workspace(path), input or "nursery", cfg, None, encoding, progress)
    use_device(cfg)
    baby = Baby(cfg, seed=cfg.seed, tokenizer=tokenizer)
    data = text_data(source, baby.config, tokenizer)
    rates, losses = list[float](), list[float]()
    schedule = lambda step, total, cfg: growing_rate(step, total, least, most) / cfg.r_learn
    with interruptible(None) as stopped:
        trained = events(baby, begin(baby, n_steps), data.batches, (), lambda: stopped() or has_diverged(losses), schedule=schedule)
        steps = (event for event in trained if isinstance(event, Step))
        try:
            for event in counted(steps, "trying learning rates", progress, n_steps):
                rates.append(event.rate)
                losses.append(event.loss)
        except NotFinite:                                        # the rate is far too high: that is what was to be found
            pass
    return RateSearch(source.name, rates, losses)
