"""Positions: how the model knows the position of a token.

Each file defines `params(cfg)` and `forward(p, x, ctx)`, which is applied after the embedding. A file that rotates queries and keys also
defines `rotate(x, ctx)`, and one that lowers scores by distance `slopes(q)`. A new file here is a new value of `c_position`, and is
checked by the laws.
"""
