"""Interventions and attributions obey their laws, for every attention and every network."""
from collections import Counter
from random import Random

import numpy as np
import pytest
from strict import strict

import littlebaby as lb
from littlebaby.arrays import backend
from littlebaby.arrays.backend import xp
from littlebaby.check import causes, interventions, laws
from littlebaby.check.interventions import Patch, run
from littlebaby.errors import BadInput
from littlebaby.model import gpt
from littlebaby.model.context import Context, variant, variants
from littlebaby.text import overlap

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


# attribution

def terms(found):
    return [found.embedding, *found.heads.ravel(), *found.networks, *found.attention_biases, *found.norm_offsets, found.head_bias]


@every
@orders
def test_the_contributions_sum_to_the_logit(folder, name, order):
    for more in (dict(c_norm="layernorm", b_norm_last=True), dict(c_norm="rmsnorm", c_bias="none", b_tied=True), dict(c_bias="all")):
        it = baby(folder, name, c_sequence=order, **more)
        z = it.logits(CLEAN)[0, -1]
        for wrong, total in ((None, z[4]), (5, z[4] - z[5])):
            found = causes.attribute(it, CLEAN, 4, wrong)
            assert found.total == total and abs(sum(terms(found)) - total) < 1e-10
        assert found.heads.shape == (2, 4) and found.heads.any(1).all() and found.networks.all() and found.embedding
        assert len(found.norm_offsets) == 4 * (order == "post") + ("norm" in it.p)
        assert bool(found.head_bias) == ("b" in it.p.head) and found.attention_biases.all() == (it.config.c_bias != "none")
        assert found.norm_offsets.any() == (it.config.c_norm == "layernorm")


@pytest.mark.parametrize("name", variants("norms"))
def test_every_norm_can_be_frozen(name):
    """At its own point the linear function is the norm; it adds up over parts, and other points do not change its scale"""
    it = baby("norms", name)
    norm, x, parts = variant("norms", name), np.arange(8.0) ** 2, np.random.default_rng(0).standard_normal((3, 8))
    weights = it.p.blocks[0].norm1
    scaled, offset = causes.frozen_norm(it.config, weights, x)
    assert np.allclose(scaled(x) + offset, norm.forward(weights, x[None, None], Context(it.config))[0][0, 0], rtol=0, atol=1e-12)
    assert np.allclose(sum(scaled(part) for part in parts), scaled(parts.sum(0)), rtol=0, atol=1e-12)


def test_a_head_adds_what_its_output_times_the_unembedding_says():
    it = baby(c_norm="rmsnorm")
    _, values = run(it, CLEAN)
    x, w = values[1, "block"][0, -1], it.weights()
    direction = w["norm.w"] * (w["head.w"][:, 4] - w["head.w"][:, 5]) / np.sqrt((x ** 2).mean() + it.config.norm_eps)
    head = values[0, "heads"][0, -1, 2:4] @ w["blocks.0.att.wo"][2:4]
    assert causes.attribute(it, CLEAN, 4, 5).heads[0, 1] == pytest.approx(head @ direction, abs=1e-12)


# head scores

WITH_WEIGHTS = {"diff", "gqa", "hybrid", "mha", "mla", "moh", "swa", "swh"}


@pytest.mark.parametrize("name", variants("attentions"))
def test_every_attention_has_head_scores_or_a_reason(name):
    it = baby(name=name, n_ctx=16)
    found = causes.head_scores(it)
    assert (found.previous is not None) == (found.induction is not None) == (name in WITH_WEIGHTS)
    assert (found.copying is None) == (name in ("gla", "hybrid", "mla"))
    assert set(found.reasons) == {score for score in ("previous", "induction", "copying") if getattr(found, score) is None}
    for score in (found.previous, found.induction, found.copying):
        assert score is None or score.shape == (2, 4) and ((score >= 0) & (score <= 1) | np.isnan(score)).all()
    if name == "hybrid":
        assert np.isnan(found.previous[:, :2]).all() and np.isfinite(found.previous[:, 2:]).all()
    if "previous" in found.reasons:
        assert found.reasons["previous"] == f"{name} has no attention weights"
    if "copying" in found.reasons:
        assert found.reasons["copying"] == f"no single matrix computes the values of {name}"


def made_by_hand():
    """Attention weights (1, 1, 4, 8, 8): head 0 attends to the token before, head 1 to the token 3 before, the other heads to none"""
    weights = np.zeros((1, 1, 4, 8, 8))
    for t in range(8):
        weights[0, 0, 0, t, max(t - 1, 0)] = 1
        weights[0, 0, 1, t, t - 3 if t > 3 else 0] = 1
    return weights


def test_head_scores_of_attention_weights_that_are_known(monkeypatch):
    it = baby(n_ctx=8)
    monkeypatch.setattr(causes, "all_attention_weights", lambda baby, values: made_by_hand())
    found = causes.head_scores(it)
    assert found.previous[0, 0] == 1 and found.induction[0, 1] == 1 and found.induction[0, 0] == 0 and not found.previous[0, 2]


def test_a_head_that_always_attends_to_the_same_distance_has_no_high_induction_score(monkeypatch):
    def at_distance_7(baby, values):
        T = values[0, "embedding"].shape[1]
        weights = np.zeros((1, 1, 4, T, T))
        weights[..., np.arange(T), np.maximum(np.arange(T) - 7, 0)] = 1
        return weights

    monkeypatch.setattr(causes, "all_attention_weights", at_distance_7)
    assert np.allclose(causes.head_scores(baby(n_ctx=64)).induction, 1 / 4)      # it is right for one of the four lengths


@pytest.mark.parametrize("name", ["mha", "gqa", "aft", "decay", "latent"])
def test_a_head_whose_values_are_the_token_itself_copies_and_its_opposite_does_not(name):
    it = baby(name=name, n_emb=16, head_size=64, n_heads=4, n_kv_heads=4 if name == "gqa" else 0, c_norm="rmsnorm", b_tied=True)
    it.p.norm.w[...] = it.p.blocks[0].norm1.w[...] = 1
    w, att = it.weights(), it.p.blocks[0].att
    w["blocks.0.att.wv"][...] = np.tile(np.eye(16), 4)
    att.wo[...] = np.concatenate([np.eye(16), -np.eye(16)] * 2)
    found = causes.head_scores(it).copying[0]
    own = (it.p.token ** 2).sum(-1) > it.p.token @ it.p.token.mean(0)
    assert found[0] == found[2] == own.mean() > 0.9 and found[1] == found[3] == pytest.approx(1 - own.mean())


@pytest.mark.parametrize("name", ["mha", "swa", "hybrid", "aft"])
def test_the_device_finds_the_same(name):
    def found(it):
        ids, other = xp.asarray(CLEAN), xp.asarray(CORRUPTED)
        effects = interventions.ablate(it, ids, "mean", interventions.ablation_values(it, "mean", [ids, other]), 4, 5)
        patched, scores = interventions.patch_everywhere(it, ids, other, 4, 5), causes.head_scores(it)
        return [effects.loss, *effects.difference_changes.values(), *patched.positions.values(), patched.heads,
                *terms(causes.attribute(it, ids, 4, 5)), *(score for score in (scores.previous, scores.copying) if score is not None)]

    here = found(baby(name=name))
    try:
        backend.use(strict)
        there = found(baby(name=name))
    finally:
        backend.use("cpu")
    assert all(isinstance(each, float | np.ndarray) for each in there)
    assert all(np.allclose(a, b, atol=1e-8, equal_nan=True) for a, b in zip(here, there, strict=True))


# passages

def test_the_longest_passages_of_a_text_in_another_one():
    source = "Ada hid a ball. Ben found a kite near the lake. Ben found a cup."
    found = overlap.passages("Zoe said: Ben found a kite. Ada hid a cup.", source, least=4, context=3)
    first = found[0]
    assert first == overlap.Passage(" Ben found a kite", 9, 15, 1, "ll.", " ne")
    assert [each.text for each in found[1:]] == ["Ada hid a ", "d a cup."]
    assert first.text == overlap.longest("Zoe said: Ben found a kite. Ada hid a cup.", source)
    assert all(source[each.position:].startswith(each.text) for each in found)
    assert overlap.passages("xyz", source) == [] == overlap.passages("", source)


@pytest.mark.parametrize("seed", range(5))
def test_passages_are_all_maximal_ones(seed):
    rng = np.random.default_rng(seed)
    text, source = ("".join(rng.choice(list("abc"), n)) for n in (30, 60))
    spans = [(i, j) for i in range(30) for j in range(i + 3, 31) if text[i:j] in source]
    maximal = {(i, j) for i, j in spans if not any((a <= i and j <= b) and (a, b) != (i, j) for a, b in spans)}
    assert {(each.start, each.start + len(each.text)) for each in overlap.passages(text, source, 99, 3)} == maximal


def test_the_longest_copy_is_that_of_a_plain_search(monkeypatch):
    rng = Random(1)
    for _ in range(300):
        letters = "abé😀"[:rng.randint(1, 4)]
        text, source = ("".join(rng.choices(letters, k=rng.randint(0, most))) for most in (60, 200))
        monkeypatch.setattr(overlap, "CHUNK", rng.choice([7, 50, 1000]))
        found = [text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1) if text[i:j] in source]
        assert overlap.longest(text, source) == max(found, key=len, default="")
        begins = {i for i in range(len(text) - 2) if text[i:i + 3] in source}
        assert overlap.copied(text, source, 3) == [not begins.isdisjoint(range(at - 2, at + 1)) for at in range(len(text))]
