"""The pages of the variants say what the files say today, and their pictures measure what they claim."""
import re
from pathlib import Path

import numpy as np
import pytest

from littlebaby.check import laws, variant_measures
from littlebaby.errors import BadInput
from littlebaby.runs.settings import allowed
from littlebaby.show import pages, variant_pictures

HERE = Path(__file__).parents[1] / "docs" / "variants"


def kept(name):
    """Verdicts as they are to be, without the minutes that the real ones take; that they are so, test_laws proves"""
    return [dict(settings=more, gradient=5e-11, decoding=1e-15, causality=0, life=[], kept=True)
            for _, each, more in laws.cases() if each == name]


def stable(text):
    """Without the powers of ten, which differ from machine to machine; to routed variants causality grants rounding"""
    return re.sub(r"\| (<|0) \| none", "| none", re.sub(r"< 1e-\d+", "<", text))


@pytest.fixture(scope="module")
def made():
    return pages.pages(kept)


def test_there_is_a_page_and_a_picture_of_every_variant_and_nothing_else():
    index = (HERE / "README.md").read_text("utf-8")
    names = {name for _, name in pages.variants()}
    assert {path.stem for path in HERE.glob("*.md")} == names | {"README"}
    assert {path.stem for path in HERE.glob("pictures/*.png")} >= names, "run: littlebaby catalog --all --pictures"
    assert all(f"[`{name}`]({name}.md)" in index for name in names) and len(names) == len(pages.variants())
    with pytest.raises(BadInput, match="did you mean norms"):
        pages.index("<!-- pages: nroms -->\n<!-- end -->")


def test_a_page_tells_the_truth(made):
    page = made["mha.md"]
    assert page.startswith("# mha: multi-head attention\n") and "```text\ns = q k' / (sqrt(d) tau)" in page
    assert "    return dx\n" in page and '"""mha' not in page and "| `r_temp` | 1.0 |" in page and "| `r_dropout` |" in page
    assert "| `c_position=alibi` | < 1e-10 | < 1e-12 | 0 | none | kept |" in page
    assert "| `n_kv_heads` |" in made["gqa.md"] and "| `r_temp` |" in made["gqa.md"]       # gqa's forward is mha's
    assert "| `s_hidden` |" in made["mlp.md"] and "| `r_momentum` |" in made["muon.md"] and "## The laws" not in made["muon.md"]


def test_a_broken_law_is_seen():
    said = pages.checked([dict(settings=dict(a=1, b=2), gradient=0.3, decoding=2.0, causality=1e-17, life=["wq"], kept=False)])
    assert said.splitlines()[-1] == "| `a=1` `b=2` | < 1e0 | < 1e1 | < 1e-16 | wq | BROKEN |"


@pytest.mark.parametrize("number, said", [(0, "< 1e-12"), (1e-13, "< 1e-12"), (2e-10, "< 1e-9"), (9.9e-10, "< 1e-9"), (1.1e-9, "< 1e-8")])
def test_bounds(number, said):
    assert pages.bound(number) == said and float(said[2:]) > number and pages.bound(0, 0) == "0"


# pictures

@pytest.mark.parametrize("name", allowed("c_attention"))
def test_influence_never_comes_from_later(name):
    shares = variant_measures.influence("attentions", name, T=24)
    assert not np.triu(shares, 1).any() and np.allclose(shares.sum(1), 1) and np.diag(shares).all()


def test_influence_is_what_the_formulas_say():
    fading = variant_measures.influence("attentions", "decay")
    assert np.allclose(fading[40, 1:40] / fading[40, 2:41], 0.9)           # sigmoid(ln 9) at birth
    d = np.subtract.outer(np.arange(64), np.arange(64))
    for name, window in (("swa", 16), ("gla", 8)):
        assert np.array_equal(variant_measures.influence("attentions", name) > 0, (d >= 0) & (d < window))
    still = variant_measures.influence("positions", "none")
    assert np.allclose(still[9, :10], 0.1)                                 # nothing tells the tokens apart
    near = variant_measures.influence("positions", "alibi")[50, :51]
    assert (np.diff(near) > 0).all()


def test_bends_and_dimensions_are_what_the_formulas_say():
    own = np.kron(np.eye(4), np.ones((8, 8)))                              # ggl: groups of 8, then dealt out
    assert np.array_equal(variant_measures.jacobian("networks", "ggl") > 0, own.reshape(4, 8, 32).swapaxes(0, 1).reshape(32, 32) > 0)
    size, y = variant_measures.response("norms", "rmsnorm")
    away = np.abs(size) > 0.5
    assert np.abs(y[away] - np.sign(size[away])[:, None] * y[-1]).max() < 1e-4
    size, y = variant_measures.response("networks", "gln")                 # a gate and its mirror image make 1
    both = y - y[::-1]
    assert np.abs(both - size[:, None] / 4 * both[-1]).max() < 1e-12 and np.abs(y + y[::-1]).max() > 1


@pytest.mark.parametrize("name", allowed("c_optimizer"))
def test_every_optimizer_finds_its_way_down(name):
    rate, losses = variant_measures.best_descent(name)
    assert losses[0] == pytest.approx(1, rel=0.2) and losses[-1] < 0.01 and variant_measures.RATES[0] < rate <= variant_measures.RATES[-1]


@pytest.mark.parametrize("folder, name", [("attentions", "rfa"), ("networks", "nft"), ("norms", "layernorm"), ("positions", "rope"),
                                          ("optimizers", "sgd")])
def test_portraits_are_pictures(folder, name):
    png = variant_pictures.variant_picture(folder, name)
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and len(png) > 10_000
