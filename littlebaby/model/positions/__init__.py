"""How a token knows where it stands. One file each: `params(cfg)` and `forward(p, x, ctx)` after the embedding, and, where
queries and keys are turned, `rotate(x, ctx)`, where scores pay for distance, `slopes(q)`.

A new file here is a new value of `c_position`, proved by the laws.
"""
