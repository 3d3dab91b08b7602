"""Interventions and attributions obey their laws, for every attention and every network."""
from collections import Counter

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.arrays.backend import xp
from littlebaby.check import interventions, laws
from littlebaby.check.interventions import Patch, run
from littlebaby.errors import BadInput
from littlebaby.model import gpt
from littlebaby.model.context import Context, variants

CLEAN, CORRUPTED = np.array([[1, 2, 3, 4, 5, 6, 7]]), np.array([[1, 2, 8, 4, 5, 9, 7]])
KINDS = [("attentions", name) for name in variants("attentions")] + [("networks", name) for name in variants("networks")]
every = pytest.mark.parametrize("folder, name", KINDS, ids=[name for _, name in KINDS])
orders = pytest.mark.parametrize("order", ["pre", "post"])


def baby(folder="attentions", name="mha", **more):
    """A small one in float64, with weights so large that every part has an effect"""
    made = lb.Baby(laws.config(folder, name, **{"n_active": 2, **more} if name == "moe" else more), seed=1)
    made.flat += xp.asarray(0.3 * np.random.default_rng(2).standard_normal(made.flat.size))
    return made


@every
@orders
def test_every_attention_shows_its_heads_once_per_layer_and_its_output_is_a_product_with_them(folder, name, order):
    it, seen = baby(folder, name, c_sequence=order, c_bias="all"), Counter()

    def count(layer, site, value):
        seen[layer, site] += 1
        return value

    gpt.forward(it.p, CLEAN, Context(it.config, replace_value=count))
    sites = [(i, site) for i in range(2) for site in ("heads", "attention", "network", "block")] + [(0, "embedding")]
    assert all(seen[site] == 1 for site in sites)
    _, values = run(it, CLEAN)
    for i, block in enumerate(it.p.blocks):
        y = values[i, "heads"] @ block.att.wo + block.att.bo
        assert np.allclose(values[i, "attention"], y, rtol=0, atol=1e-12) and np.abs(y).max() > 0.1
        assert values[i, "heads"].shape[-1] % it.config.n_heads == 0


@every
@orders
def test_a_run_patched_with_itself_is_itself(folder, name, order):
    it = baby(folder, name, c_sequence=order)
    logits, values = run(it, CLEAN)
    assert np.array_equal(logits, it.logits(CLEAN))
    for i, site in [(0, "embedding"), *((i, site) for i in range(2) for site in ("heads", "attention", "network", "block"))]:
        assert np.array_equal(run(it, CLEAN, [Patch(i, site, values[i, site])])[0], logits)
        assert np.array_equal(run(it, CLEAN, [Patch(i, site, values[i, site], slice(2, 3), slice(1, 4))])[0], logits)


@every
@orders
def test_patching_all_blocks_gives_the_other_run(folder, name, order):
    it = baby(folder, name, c_sequence=order)
    logits, values = run(it, CLEAN)
    other, _ = run(it, CORRUPTED)
    assert not np.allclose(logits, other)
    assert np.array_equal(run(it, CORRUPTED, [Patch(i, "block", values[i, "block"]) for i in range(2)])[0], logits)
    assert np.array_equal(run(it, CORRUPTED, [Patch(0, "embedding", values[0, "embedding"])])[0], logits)


@every
def test_ablating_with_the_own_values_does_nothing(folder, name):
    it = baby(folder, name)
    kept = interventions.ablation_values(it, "resample", [CLEAN])
    effects = interventions.ablate(it, CLEAN, "resample", kept, 4, 5)
    assert effects.loss == pytest.approx(it.loss(CLEAN[:, :-1], CLEAN[:, 1:]))
    for changes in (effects.loss_changes, effects.difference_changes):
        assert {part: change.shape for part, change in changes.items()} == dict(heads=(2, 4), attention=(2,), network=(2,), layer=(2,))
        assert not any(change.any() for change in changes.values())


@every
def test_zero_ablation_equals_a_model_with_zeroed_weights(folder, name):
    """A head without its rows of wo, an attention without wo and its bias"""
    it = baby(folder, name, c_bias="all")
    effects = interventions.ablate(it, CLEAN, "zero", interventions.ablation_values(it, "zero", [CLEAN]), 4, 5)
    for part, which in (("heads", (1, 2)), ("attention", (0,))):
        other = lb.Baby(it.config, flat=it.flat.copy())
        att = other.p.blocks[which[0]].att
        d = att.wo.shape[0] // 4
        if part == "heads":
            att.wo[2 * d:3 * d] = 0
        else:
            att.wo[...] = att.bo[...] = 0
        change = other.loss(CLEAN[:, :-1], CLEAN[:, 1:]) - effects.loss
        assert effects.loss_changes[part][which] == pytest.approx(change, abs=1e-12) and abs(change) > 1e-6
        z = other.logits(CLEAN)[0, -1]
        assert effects.difference_changes[part][which] == pytest.approx(z[4] - z[5] - effects.difference, abs=1e-12)


def test_mean_ablation_takes_the_mean_over_all_positions_of_all_texts():
    it, texts = baby(), [CLEAN, CORRUPTED[:, :4]]
    values = interventions.ablation_values(it, "mean", texts)
    rows = np.concatenate([run(it, ids)[1][1, "network"][0] for ids in texts])
    assert len(rows) == 11 and np.allclose(values[1, "network"], rows.mean(0))
    effects = interventions.ablate(it, CLEAN, "mean", values, 4, 5)
    assert all(change.all() for change in effects.loss_changes.values())


def test_a_skipped_layer_is_a_model_without_it():
    it = baby()
    effects = interventions.ablate(it, CLEAN, "zero", interventions.ablation_values(it, "zero", [CLEAN]), 4, 5)
    short = it.config.replace(n_layers=1)
    x = gpt.forward(dict_without_layer(it.p, 1), CLEAN, Context(short))[0]
    assert effects.difference_changes["layer"][1] == pytest.approx(x[0, -1, 4] - x[0, -1, 5] - effects.difference, abs=1e-12)


def dict_without_layer(p, i):
    kept = type(p)(p)
    dict.__setitem__(kept, "blocks", [block for j, block in enumerate(p.blocks) if j != i])
    return kept


@every
@orders
def test_patching_restores_nothing_before_the_texts_differ_and_all_at_the_last_position(folder, name, order):
    it = baby(folder, name, c_sequence=order)
    found = interventions.patch_everywhere(it, CLEAN, CORRUPTED, 4, 5)
    assert found.first == 2 and found.positions["block"].shape == (2, 7) and found.heads.shape == (2, 4)
    assert not any(each[:, :2].any() for each in found.positions.values())
    assert found.positions["block"][1, -1] == pytest.approx(1, abs=1e-12)       # the last position of the last block decides the logits
    assert not found.positions["block"][1, :-1].any()                            # no later layer can read its other positions
    _, values = run(it, CLEAN)
    early = run(it, CORRUPTED, [Patch(0, "block", values[0, "block"], slice(0, 2))])[0]
    assert np.allclose(early, run(it, CORRUPTED)[0], rtol=0, atol=1e-12)         # what the skipped positions would have given


def test_wrong_questions_are_refused_in_one_sentence():
    it = baby()
    with pytest.raises(BadInput) as error:
        interventions.ablation_values(it, "men", [CLEAN])
    assert str(error.value) == "ablation is 'men'; allowed are zero, mean, resample; did you mean mean?"
    with pytest.raises(BadInput) as error:
        interventions.ablate(it, CLEAN, "resample", interventions.ablation_values(it, "resample", [CLEAN[:, :5]]), 4, 5)
    assert str(error.value) == "the text to resample from has 5 tokens; allowed is the number of tokens of the text, 7"
    with pytest.raises(BadInput) as error:
        interventions.patch_everywhere(it, CLEAN, CORRUPTED[:, :5], 4, 5)
    assert str(error.value) == ("the corrupted text has 5 tokens; allowed is the number of tokens of the text, 7, because values are "
                                "exchanged position by position")
    with pytest.raises(BadInput) as error:
        interventions.patch_everywhere(it, CLEAN, CLEAN, 4, 5)
    assert str(error.value) == ("the text and the corrupted text have the same logit difference, so there is nothing to restore; allowed "
                                "are two texts after which the model predicts differently")
