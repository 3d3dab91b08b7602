"""Decoding: read the prompt, then one token a call. The caches live here, not in the layers.

The window rule: when `n_ctx` tokens are in view and one more is wanted, the view shrinks to its newest half and grows again. It is the
same with and without a cache, so the two write the same text, always; and the cache is refilled once in n_ctx / 2 tokens.
"""
from ..arrays.backend import on_cpu, to_numpy, xp
from ..model import gpt
from ..model.context import Context
from ..model.decoder import decoder
from .sampling import draw, probabilities


def generate(p, cfg, ids, max_tokens, sampling, rng, cached=True):
    """Yield up to max_tokens columns of new ids (B,) after ids (B, T); equal prompts in the B rows give B samples"""
    first, cache, seen = max(0, ids.shape[1] - cfg.n_ctx), {}, 0
    one = decoder(p, cfg) if on_cpu() and len(ids) == 1 else None
    for _ in range(max_tokens):
        if ids.shape[1] - first > cfg.n_ctx:                     # the window is full: go on with its newer half
            first, cache, seen = ids.shape[1] - max(1, cfg.n_ctx // 2), {}, 0
        if cached and seen and one:                              # a single row: the lean twin of what stands below
            last = one(ids[0, -1], seen, cache)[None]            # (1, V)
        else:
            ctx = Context(cfg, start=seen, cache=cache) if cached else Context(cfg)
            last = gpt.forward(p, xp.asarray(ids[:, first + ctx.start:]), ctx)[0][:, -1]         # (B, T, V) -> (B, V)
        seen = ids.shape[1] - first
        chosen = draw(probabilities(to_numpy(last), ids, sampling), rng)
        ids = append(ids, chosen)
        yield chosen


def append(ids, column):
    """(B, T), (B,) -> (B, T + 1)"""
    return to_numpy(xp.concatenate([xp.asarray(ids), xp.asarray(column)[:, None]], 1))


def until(pieces, stops):
    """The text of `pieces` up to the first stop string, which is left out; what may yet become one is held back"""
    held = ""
    for piece in pieces:
        held += piece
        found = [held.index(stop) for stop in stops if stop in held]
        if found:
            yield held[:min(found)]
            return
        ready = len(held) - longest_start(held, stops)
        if ready:
            yield held[:ready]
            held = held[ready:]
    yield held


def longest_start(text, stops):
    """How many characters at the end of `text` could begin a stop string"""
    longest = max((len(stop) for stop in stops), default=1) - 1
    return next((n for n in range(min(longest, len(text)), 0, -1) if any(stop.startswith(text[-n:]) for stop in stops)), 0)
