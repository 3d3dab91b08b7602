"""Attentions, (B, T, D) -> (B, T, D): the layers in which the output of a token depends on earlier tokens.

Each file defines `params(cfg)` and `forward(p, x, ctx)`. The caller may overwrite the y of a forward and the dx of a backward. A new file
here is a new value of `c_attention`, and is checked by the laws.
"""
