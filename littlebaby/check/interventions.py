"""Interventions: a model runs on a text while values inside it are replaced, and its output is compared with that of the unchanged run.

    ablation    a part's output is replaced by a value that says nothing about the text; the change of the output is the part's effect
    patching    a value of another run is put into this one: the output shows whether that value carries the difference between the
                two runs (Vig et al. 2020, arXiv:2004.12265; Meng et al. 2022, arXiv:2202.05262)

A part is a head, the attention, the network or the layer; a layer here is its attention and its network together. The output that is
compared is the logit difference: the logit of one next token minus that of another one, after the last token of the text.

L layers, h heads, T tokens, D n_emb, H the width of all heads together. aft and gla have no heads: there a head is one of n_heads groups
of equally many channels; in diff, where a pair of heads has one output, it is half the channels of its pair.
"""
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..arrays import cross_entropy
from ..arrays.backend import to_numpy, xp
from ..errors import BadInput, nearest
from ..inference.baby import Baby
from ..model import gpt
from ..model.context import Context

ABLATIONS = ("zero", "mean", "resample")
PATCHED = ("block", "attention", "network")          # the places at which single positions are patched
Values = dict[tuple[int, str], Any]                  # {(layer, name): value}, as Context.observe records them
Steps = Callable[[Sequence], Iterable]               # wraps a list of steps, for example with a progress bar


class Patch(NamedTuple):
    """A new value for one place: of layer `layer`, what is observed as `name`, (1, T, width), at `positions` and `channels`"""
    layer: int
    name: str
    value: Any                          # broadcasts to (1, T, width)
    positions: slice = slice(None)
    channels: slice = slice(None)


@dataclass(frozen=True)
class Ablation:
    """What changes if one part is ablated. The changes are {"heads": (L, h), "attention", "network", "layer": (L,)}, the number with the
    part ablated minus the number without ablation"""
    kind: str                           # zero, mean or resample
    loss: float                         # of the text, nats per token, without ablation
    difference: float                   # logit difference without ablation
    loss_changes: dict[str, np.ndarray]
    difference_changes: dict[str, np.ndarray]


@dataclass(frozen=True)
class Patching:
    """The fraction of the clean logit difference that one value of the clean run restores in the corrupted run: 0 nothing, 1 all"""
    clean: float                        # logit difference of the clean run
    corrupted: float                    # of the corrupted run
    first: int                          # the first position at which the texts differ; before it all fractions are 0
    positions: dict[str, np.ndarray]    # {"block", "attention", "network": (L, T)}: one position of one layer is patched
    heads: np.ndarray                   # (L, h): one head is patched at all positions


def run(baby: Baby, ids: Any, patches: Sequence[Patch] = ()) -> tuple[Any, Values]:
    """The logits (B, T, V) of ids (B, T) with some values replaced, and all values that were used"""
    recorded: Values = {}

    def replace_value(layer: int, name: str, value: Any) -> Any:
        for patch in patches:
            if (patch.layer, patch.name) == (layer, name):
                value = value.copy()
                place = slice(None), patch.positions, patch.channels
                value[place] = xp.broadcast_to(patch.value, value.shape)[place]
        return value

    logits, _ = gpt.forward(baby.p, ids, Context(baby.config, recorder=recorded, replace_value=replace_value if patches else None))
    return logits, recorded


def head_channels(cfg: Any, width: int, head: int) -> slice:
    """The channels of one head in the concatenation of all heads, which is `width` wide"""
    d = width // cfg.n_heads
    return slice(head * d, (head + 1) * d)


# ablation

def ablation_values(baby: Baby, kind: str, texts: Sequence[Any]) -> Values:
    """The values that replace those of an ablated part, for every layer's heads (H), attention and network (D).

    zero: zeros. mean: the mean over all positions of the texts [(1, T'), ...]. resample: the values of the first text, position by
    position. BadInput: another kind.
    """
    if kind not in ABLATIONS:
        raise BadInput(nearest("ablation", kind, ABLATIONS))
    kept = lambda recorded: {place: v for place, v in recorded.items() if place[1] in ("heads", "attention", "network")}
    runs = [kept(run(baby, ids)[1]) for ids in (texts[:1] if kind != "mean" else texts)]
    if kind == "resample":
        return runs[0]
    if kind == "zero":
        return {place: xp.zeros_like(value[:1, :1]) for place, value in runs[0].items()}
    rows = sum(ids.size for ids in texts)
    return {place: sum(each[place].sum((0, 1)) for each in runs) / rows for place in runs[0]}          # (width)


def ablate(baby: Baby, ids: Any, kind: str, values: Values, answer: int, wrong: int, steps: Steps = iter) -> Ablation:
    """The effect of every head, attention, network and layer on the loss of a text and on the logit difference of two next tokens.

    ids (1, T); values: from `ablation_values`; answer, wrong: token ids. BadInput: resample has values of another number of tokens.
    """
    cfg = baby.config
    T, rows = ids.shape[1], values[0, "heads"].shape[1] if kind == "resample" else ids.shape[1]
    if rows != T:
        raise BadInput(f"the text to resample from has {rows} tokens; allowed is the number of tokens of the text, {T}")
    whole = lambda i, *names: [Patch(i, name, values[i, name]) for name in names]
    head = lambda i, j: [Patch(i, "heads", values[i, "heads"], channels=head_channels(cfg, values[i, "heads"].shape[-1], j))]
    parts = [(part, (i, *which), patches) for i in range(cfg.n_layers) for part, which, patches in
             [*(("heads", (j,), head(i, j)) for j in range(cfg.n_heads)), ("attention", (), whole(i, "attention")),
              ("network", (), whole(i, "network")), ("layer", (), whole(i, "attention", "network"))]]
    shapes = dict(heads=(cfg.n_layers, cfg.n_heads), attention=cfg.n_layers, network=cfg.n_layers, layer=cfg.n_layers)
    losses, differences = ({part: np.zeros(shape) for part, shape in shapes.items()} for _ in range(2))

    def measured(patches: Sequence[Patch]) -> tuple[float, float]:
        logits, _ = run(baby, ids, patches)
        return text_loss(logits, ids), logit_difference(logits, answer, wrong)

    loss, difference = measured(())
    for part, which, patches in steps(parts):
        new_loss, new_difference = measured(patches)
        losses[part][which], differences[part][which] = new_loss - loss, new_difference - difference
    return Ablation(kind, loss, difference, losses, differences)


def text_loss(logits: Any, ids: Any) -> float:
    """The mean cross-entropy of tokens 1 to T - 1, nats; logits (1, T, V), ids (1, T)"""
    return float(cross_entropy(logits[:, :-1].copy(), ids[:, 1:])[0]) if ids.shape[1] > 1 else 0.0


def logit_difference(logits: Any, answer: int, wrong: int) -> float:
    """logit of `answer` - logit of `wrong`, after the last token; logits (1, T, V)"""
    return float(logits[0, -1, answer] - logits[0, -1, wrong])


# patching

def patch_everywhere(baby: Baby, clean: Any, corrupted: Any, answer: int, wrong: int, steps: Steps = iter) -> Patching:
    """Put every value of the clean run into the corrupted run, one after the other, and measure how much of the logit difference returns.

    clean, corrupted (1, T) ids; answer, wrong: the token ids that the clean and the corrupted text should continue with.
    BadInput: the texts differ in length, or their logit differences are equal.
    """
    cfg = baby.config
    if clean.shape != corrupted.shape:
        raise BadInput(f"the corrupted text has {corrupted.shape[1]} tokens; allowed is the number of tokens of the text, "
                       f"{clean.shape[1]}, because values are exchanged position by position")
    (clean_logits, values), (other_logits, _) = run(baby, clean), run(baby, corrupted)
    high, low = (logit_difference(logits, answer, wrong) for logits in (clean_logits, other_logits))
    if high == low:
        raise BadInput("the text and the corrupted text have the same logit difference, so there is nothing to restore; allowed are two "
                       "texts after which the model predicts differently")
    T, first = clean.shape[1], int(np.flatnonzero(to_numpy(clean != corrupted)[0])[0])
    maps = {name: np.zeros((cfg.n_layers, T)) for name in PATCHED} | dict(heads=np.zeros((cfg.n_layers, cfg.n_heads)))
    channels = lambda i, j: head_channels(cfg, values[i, "heads"].shape[-1], j)
    tasks = [(name, (i, t), Patch(i, name, values[i, name], slice(t, t + 1)))
             for name in PATCHED for i in range(cfg.n_layers) for t in range(first, T)]
    tasks += [("heads", (i, j), Patch(i, "heads", values[i, "heads"], channels=channels(i, j)))
              for i in range(cfg.n_layers) for j in range(cfg.n_heads)]
    for name, which, patch in steps(tasks):
        maps[name][which] = (logit_difference(run(baby, corrupted, [patch])[0], answer, wrong) - low) / (high - low)
    heads = maps.pop("heads")
    return Patching(high, low, first, maps, heads)
