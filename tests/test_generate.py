"""Writing: the cache changes nothing, the window moves by its rule, stop strings never show."""
import numpy as np
import pytest

from littlebaby.errors import BadInput
from littlebaby.learning.baby import Baby
from littlebaby.learning.generate import generate, longest_start, until
from littlebaby.learning.sampling import Sampling
from littlebaby.model import gpt
from littlebaby.model.context import Context
from littlebaby.model.decoder import decoder
from littlebaby.runs.records import PRICED, Config, allowed


def baby(**more):
    cfg = Config(**{**dict(n_ctx=12, n_emb=16, n_heads=4, n_layers=2, n_vocab=17, d_type="fp64", n_kv_heads=2), **more})
    b = Baby(cfg, seed=3)
    b.flat += 0.4 * np.random.default_rng(0).standard_normal(b.flat.size)
    return b


@pytest.mark.parametrize("attention, position", [(a, p) for a in allowed("c_attention") for p in allowed("c_position")
                                                 if p != "alibi" or a in PRICED])
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_cached_equals_uncached_across_windows(attention, position, temperature):
    """50 tokens through a window of 12, from prompts shorter and longer than it"""
    b = baby(c_attention=attention, c_position=position)
    for length in (1, 5, 12, 30):
        ids = np.random.default_rng(length).integers(0, 17, (2, length))
        with_cache, without = (b.generate(ids, 50, temperature=temperature, seed=1, cached=c) for c in (True, False))
        assert with_cache.shape == (2, 50) and np.array_equal(with_cache, without)


def test_the_window_rule():
    """Greedy text, recomputed by hand: the view grows to n_ctx, then shrinks to its newest half"""
    b, ids, first = baby(), [1, 2, 3], 0
    for _ in range(40):
        if len(ids) - first > 12:
            first = len(ids) - 6
        ids.append(int(b.logits(ids[first:])[0, -1].argmax()))
    assert b.generate([1, 2, 3], 40, temperature=0).tolist() == ids[3:]


def test_rows_are_independent_and_seeds_repeat():
    b = baby()
    three = b.generate(np.ones((3, 2), int), 30, seed=5)
    assert len({tuple(row) for row in three}) == 3 and np.array_equal(three, b.generate(np.ones((3, 2), int), 30, seed=5))
    alone = b.generate(np.array([[4, 1], [2, 9]]), 30, temperature=0)
    assert np.array_equal(alone[1], b.generate([2, 9], 30, temperature=0))


def test_sampling_settings_reach_the_draw():
    b = baby()
    free = {tuple(b.generate([1], 8, seed=s)) for s in range(20)}
    assert len(free) == 20
    assert len({tuple(b.generate([1], 8, top_k=1, seed=s)) for s in range(5)}) == 1
    drawn = [int(next(generate(b.p, b.config, np.array([[1]]), 1, Sampling(top_p=0.5), np.random.default_rng(s)))[0]) for s in range(200)]
    z = b.logits([1])[0, -1]
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    order = np.argsort(-p)
    allowed_ids = order[:np.searchsorted(np.cumsum(p[order]), 0.5) + 1]
    assert set(drawn) == set(allowed_ids.tolist())


@pytest.mark.parametrize("stops, shown", [
    (["\n\n"], "One."), (["zzz"], "One.\n\nTwo"), (["."], "One"), (["\n\nTwo!", "e"], "On"), ([], "One.\n\nTwo")])
def test_stop_strings_are_never_shown(stops, shown):
    for size in (1, 2, 3, 9):
        text = "One.\n\nTwo"
        pieces = [text[i:i + size] for i in range(0, len(text), size)]
        assert "".join(until(pieces, stops)) == shown


def test_what_may_become_a_stop_string_is_held_back():
    out = list(until(iter(["Hi <", "|en", "d", "x", "<|end|>", "after"]), ["<|end|>"]))
    assert "".join(out) == "Hi <|endx" and "<|" not in out[0]
    assert longest_start("abc<|e", ["<|end|>"]) == 3 and longest_start("abc", ["<|end|>"]) == 0


@pytest.mark.parametrize("ids, sentence", [([17], "between 0 and 16"), ([[1, 2], [3, -1]], "between 0 and 16"), ([], "at least one"),
                                           ([1.5], "whole numbers"), (np.zeros((1, 13), int), "more than n_ctx = 12")])
def test_bad_ids_are_told(ids, sentence):
    with pytest.raises(BadInput, match=sentence):
        baby().logits(ids)


@pytest.mark.parametrize("attention", ["mha", "gqa"])
@pytest.mark.parametrize("position", allowed("c_position"))
@pytest.mark.parametrize("more", [dict(c_sequence="post"), dict(c_network="swi", c_norm="rmsnorm", c_bias="none"),
                                  dict(c_bias="all", b_tied=True), dict(rope_layout="half", c_activation="relu2")],
                         ids=lambda more: "-".join(map(str, more.values())))
def test_the_lean_decoder_equals_the_model(attention, position, more):
    """Seven tokens read at once, then one at a time, with either in turn on the same cache"""
    b, ids, cache = baby(c_attention=attention, c_position=position, **more), np.random.default_rng(1).integers(0, 17, (1, 12)), {}
    whole = gpt.forward(b.p, ids, Context(b.config))[0][0]       # (T, V)
    gpt.forward(b.p, ids[:, :5], Context(b.config, cache=cache))
    one = decoder(b.p, b.config)
    for t in range(5, 12):
        step = one(ids[0, t], t, cache) if t % 3 else gpt.forward(b.p, ids[:, t:t + 1], Context(b.config, start=t, cache=cache))[0][0, 0]
        assert np.abs(step - whole[t]).max() < 1e-10
    small = baby(c_attention=attention, c_position=position, d_type="fp32", **more)
    cache = {}
    gpt.forward(small.p, ids[:, :1], Context(small.config, cache=cache))
    assert decoder(small.p, small.config)(ids[0, 1], 1, cache).dtype == np.float32
