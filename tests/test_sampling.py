"""Sampling: transformers' probabilities, and draws that follow them."""
import inspect
import json

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.errors import BadInput
from littlebaby.inference.sampling import ALLOWED, Sampling, draw, probabilities


@pytest.mark.parametrize("case", range(12))
def test_equals_transformers(reference, case):
    folder = reference("sampling_a")
    arrays = np.load(folder / "reference.npz")
    sampling = Sampling(**json.loads((folder / "config.json").read_text())["settings"][case])
    logits = arrays["logits"].copy()
    logits.flags.writeable = False
    ours = probabilities(logits, arrays["previous_ids"], sampling)
    assert ours.dtype == np.float64 and np.array_equal(ours > 0, arrays["kept"][case])
    np.testing.assert_allclose(ours, arrays["probs"][case], rtol=0, atol=1e-15)


def test_temperature_zero_takes_the_likeliest_after_the_penalty():
    logits = np.array([[1.0, 2.0, 1.5], [-1.0, -3.0, -1.4]], "f4")
    assert probabilities(logits, [[], []], Sampling(temperature=0.0)).tolist() == [[0, 1, 0], [1, 0, 0]]
    greedy = Sampling(temperature=0.0, top_k=2, top_p=0.3, min_p=0.5, repetition_penalty=2.0)
    assert probabilities(logits, [[1, 1], [0]], greedy).tolist() == [[0, 0, 1], [0, 0, 1]]
    assert probabilities(logits, [[], []], Sampling(temperature=1e-300)).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_previous_may_be_ragged_and_rows_are_independent():
    rng = np.random.default_rng(0)
    logits, previous = rng.standard_normal((3, 20)) * 3, [[], [4, 4, 7], [1]]
    sampling = Sampling(repetition_penalty=1.4, temperature=0.8, top_k=9, top_p=0.9, min_p=0.02)
    together = probabilities(logits, previous, sampling)
    for row in range(3):
        np.testing.assert_array_equal(together[row:row + 1], probabilities(logits[row:row + 1], previous[row:row + 1], sampling))
    assert np.array_equal(probabilities(logits, previous, Sampling(top_k=20)), probabilities(logits, previous, Sampling(top_k=99)))


def test_a_forbidden_token_stays_forbidden():
    probs = probabilities(np.array([[0.0, -np.inf, 1.0]]), [[1]], Sampling(repetition_penalty=1.5))
    assert probs[0, 1] == 0 and probs.sum() == pytest.approx(1, abs=1e-15)


def test_draws_follow_the_probabilities():
    probs = np.tile([0.0, 0.5, 0.0, 0.3, 0.2, 0.0], (20_000, 1))
    ids = draw(probs, np.random.default_rng(0))
    shares = np.bincount(ids, minlength=6) / len(ids)
    assert ids.shape == (20_000,) and set(ids) == {1, 3, 4}
    np.testing.assert_allclose(shares, probs[0], atol=0.015)      # more than four standard deviations
    assert np.array_equal(ids, draw(probs, np.random.default_rng(0)))


def test_a_draw_at_either_end_is_a_token_that_can_be_drawn():
    class Ends:
        def random(self, shape):
            return np.array([[0.0], [1 - 2.0 ** -53]])

    assert draw(np.array([[0, 0.1, 0.9, 0], [0, 0.1, 0.9, 0]]), Ends()).tolist() == [1, 2]


@pytest.mark.parametrize("wrong, words", [
    (dict(temperature=-0.5), "temperature is -0.5; allowed is a number from 0"), (dict(temperature=float("nan")), "temperature is nan"),
    (dict(top_k=-1), "top_k is -1"), (dict(top_k=2.5), "top_k is 2.5"), (dict(top_p=0.0), "top_p is 0.0; allowed is a number from 1e-06"),
    (dict(top_p=1.2), "top_p is 1.2"), (dict(min_p=1.5), "min_p is 1.5"), (dict(repetition_penalty=0), "repetition_penalty is 0"),
    (dict(temperature=-1, min_p=-1), "temperature is -1.*; min_p is -1"),
])
def test_what_is_out_of_range_is_named(wrong, words):
    with pytest.raises(BadInput, match=words):
        Sampling(**wrong)


@pytest.mark.parametrize("it", [Sampling, lb.inference, lb.chat, lb.Baby.generate, lb.Baby.generate_each, lb.Baby.speculate])
def test_every_signature_lists_the_settings_in_the_order_in_which_they_apply(it):
    """By keyword only, so that a number can never be taken for another setting"""
    parameters = [each for each in inspect.signature(it).parameters.values() if each.name in ALLOWED]
    assert [each.name for each in parameters] == ["repetition_penalty", "temperature", "top_k", "top_p", "min_p"] == list(ALLOWED)
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in parameters)


def test_the_settings_apply_in_the_order_in_which_they_are_listed():
    """Step by step; top-p before top-k would keep one token more"""
    z, previous = np.log(np.array([[0.4, 0.3, 0.2, 0.1]])), [[0]]
    penalized = z / [[0.5, 1, 1, 1]]                             # the logits are negative, so a penalty of 2 doubles the first one
    settings = dict(repetition_penalty=2.0, temperature=2.0, top_k=3, top_p=0.7, min_p=0.8)
    w = np.exp(penalized / 2)                                    # penalty, then temperature
    w[w < np.sort(w)[:, -3]] = 0                                 # top-k
    order = np.argsort(-w[0])
    before = np.cumsum(w[0][order]) - w[0][order]
    w[0][order[before >= 0.7 * w.sum()]] = 0                     # top-p of what top-k left
    w[w < 0.8 * w.max()] = 0                                     # min-p
    np.testing.assert_allclose(probabilities(z, previous, Sampling(**settings)), w / w.sum(), rtol=1e-12)
