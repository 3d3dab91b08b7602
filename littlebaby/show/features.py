"""The features of a layer as a page: how well they rebuild its outputs, and for each the texts in which it is active and what it raises."""
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..check.features import Example, Feature, Features
from . import html
from .charts import INK, TRAIN, VALID, plainly
from .formatting import align_columns, align_pairs
from .html import bar, html_table, picture, section, shaded, tint, visible


class FeaturesPage(Features):
    """Features that show themselves in a notebook; `save(path)` writes a page"""

    def _repr_html_(self) -> str:
        return html.html_fragment(body(self))

    def save(self, path: str | Path) -> Path:
        """Write the page; returns its path"""
        return html.save(path, f"features {self.name[:8]}", body(self))

    def __str__(self) -> str:
        return summary(self)

    def data(self) -> dict[str, Any]:
        """Everything but the config as lists, dicts, texts and numbers"""
        found = {key: value for key, value in vars(self).items() if key not in ("config", "described")}
        return found | dict(shares=self.shares.tolist(), means=self.means.tolist(), described=[asdict(each) for each in self.described])


# as text

def summary(found: Features) -> str:
    """The features as plain text"""
    lines = [("layer", f"{found.layer} of 0 to {found.config.n_layers - 1}"),
             ("features", f"{found.n_features}, of which {found.dead} are never active; {found.active:.1f} are active per token"),
             ("explained variance", f"{found.explained:.1%} of held-out outputs"),
             ("loss", f"{found.loss:.3f} nats per token; {found.rebuilt_loss:.3f} with the rebuilt outputs, {found.mean_loss:.3f} with "
                      f"their mean")]
    rows = [("feature", "active in", "mean", "raises", "most active at the token in brackets")]
    rows += [(f"feature{each.number}", f"{each.share:.1%}", f"{each.mean:.2f}", " ".join(visible(token) for token, _ in each.raised),
              in_brackets(each.examples[0]) if each.examples else "") for each in found.described]
    return f"{found.name}\n\n{align_pairs(lines)}\n\n{align_columns(rows)}"


def in_brackets(example: Example) -> str:
    """The text of an example before its most active token, which stands in brackets"""
    words = [visible(token) for token in example.tokens]
    return "".join([*words[max(0, example.peak - 24):example.peak], f"[{words[example.peak]}]"])


# as a page

def body(found: Features) -> str:
    """The page's HTML"""
    cfg = found.config
    line = (f"{found.name}: {cfg.c_attention} + {cfg.c_network}, n_layers {cfg.n_layers}, n_emb {cfg.n_emb}; a sparse autoencoder of the "
            f"outputs of layer {found.layer} for {found.tokens:,} tokens, {found.steps:,} steps")
    first = found.described[0].number if found.described else 0
    about = (f"Raises: the tokens whose logits the direction of a feature raises most, and by how much, if it is as active as its mean; "
             f"the layers after this one are left out. Texts: the darker a token, the more active the feature; the frame marks where it is "
             f"most active. inference --steer feature{first}:4 adds four times the mean of a feature to every token.")
    return "".join([html.head("Features", line), fidelity(found), frequencies(found),
                    section("The most active features", about, *(feature(each) for each in found.described))])


def fidelity(found: Features) -> str:
    """How well the autoencoder rebuilds the outputs"""
    most = max(found.loss, found.rebuilt_loss, found.mean_loss)
    rows = [["loss of the model on held-out text, nats per token", "", ""]]
    rows += [[name, f"{loss:.3f}", bar(loss / most, colour)] for name, loss, colour in (
        ("with the outputs of the layer", found.loss, TRAIN), ("with the rebuilt outputs", found.rebuilt_loss, TRAIN),
        ("with the mean output at every token", found.mean_loss, VALID))]
    return section("How much of the layer the features hold",
                   f"The autoencoder explains {found.explained:.1%} of the variance of held-out outputs. {found.active:.1f} of "
                   f"{found.n_features} features are active per token, {found.n_active} at most; {found.dead} are never active.",
                   html_table(rows))


def frequencies(found: Features) -> str:
    """In how many tokens the features are active"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 1.9), facecolor="white", layout="constrained")
    axes = figure.subplots()
    live = found.shares[found.shares > 0]
    axes.hist(np.log10(live), bins=40, color=tint(1))
    ticks = range(int(np.floor(np.log10(live.min()))), 1) if len(live) else [0]
    axes.set_xticks([*ticks], [f"{10.0 ** tick:.{max(0, -tick - 2)}%}" for tick in ticks])
    plainly(axes, "features by the share of tokens in which they are active")
    return section("How often features are active", "", picture(figure, "histogram of how often features are active"))


def feature(it: Feature) -> str:
    """One feature: its numbers, what it raises and its texts"""
    most = max(it.raised[0][1], 1e-9)
    cell = lambda token, rise: (f'<span class="mono" style="background: {tint(rise / most)}; padding: 1px 6px; color: {INK}">'
                                f"{escape(visible(token))}</span> {rise:+.2f}")
    raised = [cell(token, rise) for token, rise in it.raised]
    strongest = max((max(each.activations) for each in it.examples), default=1.0)
    return (f'<h3 style="font-size: 13px; margin: 18px 0 2px">feature{it.number}</h3><p class="pale">active in {it.share:.1%} of the '
            f'tokens, mean {it.mean:.2f}; raises {" &#160; ".join(raised)}</p>' + "".join(marked(each, strongest) for each in it.examples))


def marked(example: Example, most: float) -> str:
    """A text, each token darker the more active the feature is; a frame around the most active one. most: the activation of the darkest"""
    return shaded([visible(token) for token in example.tokens], [each / most for each in example.activations],
                  notes=[f"{each:.2f}" for each in example.activations], small=True, framed=example.peak)
