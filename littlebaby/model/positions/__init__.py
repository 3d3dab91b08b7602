"""Positions: how the model knows the position of a token.

Each file defines `params(cfg)` and `forward(p, x, ctx)`, which is applied after the embedding. A file that rotates queries and keys also
defines `rotate(x, ctx)`; a file that lowers scores in proportion to the distance also defines `slopes(q)`. A new file here is a new value
of `c_position`, and is checked by the laws.
"""
