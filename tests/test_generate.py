"""Writing: the cache changes nothing, the window moves by its rule, stop strings never show."""
import numpy as np
import pytest

from littlebaby.errors import BadInput
from littlebaby.inference import speculative as speculation
from littlebaby.inference.baby import Baby
from littlebaby.inference.decoder import decoder
from littlebaby.inference.generate import Reader, generate, possible_stop_length, until_stop
from littlebaby.inference.sampling import Sampling, probabilities
from littlebaby.model import gpt
from littlebaby.model.context import Context, variant
from littlebaby.runs.settings import Config, allowed


def baby(**more):
    cfg = Config(**{**dict(n_ctx=12, n_emb=16, n_heads=4, n_layers=2, n_vocab=17, d_type="fp64", n_kv_heads=2), **more})
    b = Baby(cfg, seed=3)
    b.flat += 0.4 * np.random.default_rng(0).standard_normal(b.flat.size)
    return b


@pytest.mark.parametrize("attention, position", [(a, p) for a in allowed("c_attention") for p in allowed("c_position")
                                                 if p != "alibi" or hasattr(variant("attentions", a), "SCORE_BIAS")])
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
        assert "".join(until_stop(pieces, stops)) == shown


def test_what_may_become_a_stop_string_is_held_back():
    out = list(until_stop(iter(["Hi <", "|en", "d", "x", "<|end|>", "after"]), ["<|end|>"]))
    assert "".join(out) == "Hi <|endx" and "<|" not in out[0]
    assert possible_stop_length("abc<|e", ["<|end|>"]) == 3 and possible_stop_length("abc", ["<|end|>"]) == 0


@pytest.mark.parametrize("ids, sentence", [([17], "between 17 and 17; allowed are 0 to 16"),
                                           ([[1, 2], [3, -1]], "between -1 and 3; allowed are 0 to 16"), ([], "at least one"),
                                           ([1.5], "allowed are integers"), (np.zeros((1, 13), int), "allowed are at most n_ctx, 12")])
def test_bad_ids_are_told(ids, sentence):
    with pytest.raises(BadInput, match=sentence):
        baby().logits(ids)


@pytest.mark.parametrize("attention", ["mha", "gqa"])
@pytest.mark.parametrize("position", allowed("c_position"))
@pytest.mark.parametrize("more", [dict(c_sequence="post"), dict(c_sequence="post", b_norm_last=True),
                                  dict(c_network="swi", c_norm="rmsnorm", c_bias="none"),
                                  dict(c_network="swi", c_gate_activation="relu"), dict(c_bias="all", b_tied=True),
                                  dict(rope_layout="half", c_activation="relu2")],
                         ids=lambda more: "-".join(map(str, more.values())))
@pytest.mark.parametrize("B", [1, 3])
def test_the_lean_decoder_equals_the_model(attention, position, more, B):
    """Five tokens of one text or of three at once, then one at a time, with either in turn on the same cache"""
    b, ids, cache = baby(c_attention=attention, c_position=position, **more), np.random.default_rng(1).integers(0, 17, (B, 12)), {}
    whole = gpt.forward(b.p, ids, Context(b.config))[0]          # (B, T, V)
    gpt.forward(b.p, ids[:, :5], Context(b.config, cache=cache))
    decode, token = decoder(b.p, b.config, B > 1), lambda t: ids[:, t] if B > 1 else ids[0, t]
    for t in range(5, 12):
        step = decode(token(t), t, cache) if t % 3 else gpt.forward(b.p, ids[:, t:t + 1], Context(b.config, start=t, cache=cache))[0][:, 0]
        assert np.abs(step - whole[:, t]).max() < 1e-10
    small = baby(c_attention=attention, c_position=position, d_type="fp32", **more)
    cache = {}
    gpt.forward(small.p, ids[:, :1], Context(small.config, cache=cache))
    assert decoder(small.p, small.config, B > 1)(token(1), 1, cache).dtype == np.float32


# prompts of different lengths, side by side

@pytest.mark.parametrize("attention", allowed("c_attention"))
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_side_by_side_is_what_each_gives_alone(attention, temperature):
    """Lengths below, at and beyond the window of 12, two of them equal, 20 tokens across window moves"""
    b = baby(c_attention=attention)
    prompts = [np.random.default_rng(i).integers(0, 17, n) for i, n in enumerate((5, 1, 12, 5, 30))]
    together = b.generate_each(prompts, 20, temperature=temperature, repetition_penalty=1.1, seed=7)
    for i, prompt in enumerate(prompts):
        assert together[i].tolist() == b.generate(prompt, 20, temperature=temperature, repetition_penalty=1.1, seed=7 + i).tolist()
    assert [row.shape for row in b.generate_each(prompts, 0)] == [(0,)] * 5


# guessing ahead

@pytest.mark.parametrize("attention", allowed("c_attention"))
@pytest.mark.parametrize("ahead", [1, 3, 8])
def test_speculation_writes_the_greedy_text(attention, ahead):
    """A draft of another kind and window, and one that agrees always: the target's own text both times, across its window's moves"""
    target = baby(c_attention=attention, c_position="sinusoidal")
    draft = baby(n_layers=1, n_emb=8, n_heads=2, n_ctx=9)
    for prompt in ([3], np.arange(12), np.arange(30) % 17):
        alone = target.generate(prompt, 40, temperature=0).tolist()
        for other in (draft, target):
            assert target.speculate(other, prompt, 40, ahead, temperature=0).tolist() == alone


def test_speculation_asks_the_target_less_often(monkeypatch):
    target, calls, read = baby(n_ctx=64), [], Reader.read
    monkeypatch.setattr(Reader, "read", lambda self, *args: calls.append(self.p is target.p) or read(self, *args))
    twin = Baby(target.config, flat=target.flat.copy())
    target.speculate(twin, [1], 30, ahead=4, temperature=0)
    assert sum(calls) == 6 and len(calls) == 6 + 24                # five tokens a call


def test_a_verdict_keeps_the_distribution():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p, q = rng.dirichlet(np.full(6, 0.5), 2) * (rng.random((2, 6)) < 0.7)
        if p.sum() and q.sum():
            p, q = p / p.sum(), q / q.sum()
            out = np.zeros(6)
            for guess in np.flatnonzero(q):
                stays, rest = speculation.acceptance(p, q, guess)
                out += q[guess] * (1 - stays) * rest
                out[guess] += q[guess] * stays
            np.testing.assert_allclose(out, p, atol=1e-15)


@pytest.mark.parametrize("settings", [dict(), dict(temperature=0.7, top_p=0.8, repetition_penalty=1.3)])
@pytest.mark.parametrize("attention", ["mha", "decay"])
def test_speculation_keeps_the_distribution(monkeypatch, attention, settings):
    """Every way the dice can fall, enumerated: the chance of each text of 4 tokens equals the target's, window moves included"""
    target = baby(c_attention=attention, n_vocab=3, n_ctx=4, n_emb=8, n_heads=2)
    draft = baby(n_vocab=3, n_ctx=3, n_emb=4, n_heads=2, n_layers=1)
    exact, sampling = {(): 1.0}, Sampling(**settings)
    for _ in range(4):
        exact = {(*text, x): chance * p[x] for text, chance in exact.items() for x in range(3)
                 for p in [probabilities(next_logits(target, [1, 2, *text], 2), [[1, 2, *text]], sampling)[0]] if p[x]}

    found, paths = dict.fromkeys(exact, 0.0), [()]
    while paths:                                                   # each run follows a script, then takes the first way left open
        script, weight, at = paths.pop(), 1.0, 0

        def decide(probs, rng):
            nonlocal weight, at, script
            open_ways = [i for i, chance in enumerate(probs[0]) if chance]
            if at == len(script):
                paths.extend((*script, way) for way in open_ways[1:])
                script = (*script, open_ways[0])
            weight, at = weight * probs[0, script[at]], at + 1
            return np.array([script[at - 1]])

        monkeypatch.setattr(speculation, "draw", decide)
        text = tuple(speculation.speculate((target.p, target.config), (draft.p, draft.config), np.array([[1, 2]]), 4, sampling, None, 2))
        found[text] += weight
    assert sum(found.values()) == pytest.approx(1, abs=1e-12)
    for text, chance in exact.items():
        assert found[text] == pytest.approx(chance, abs=1e-12)


def next_logits(b, ids, start):
    """(1, V) by the window rule, recomputed by hand for ids that grew from the first `start`"""
    first = max(0, start - b.config.n_ctx)
    for T in range(start, len(ids) + 1):
        if T - first > b.config.n_ctx:
            first = T - b.config.n_ctx // 2
    return b.logits(ids[first:])[:, -1]


def test_a_draft_of_other_symbols_is_refused():
    with pytest.raises(BadInput, match="^the vocabulary of the draft has 5 tokens; allowed is that of this baby, 17"):
        baby().speculate(baby(n_vocab=5), [1], 4)
