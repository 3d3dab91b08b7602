"""Norms, (..., D) -> (..., D): they scale the vector of a token to a constant size.

Each file defines `params(cfg)` and `forward(p, x, ctx)`. A new file here is a new value of `c_norm`, and is checked by the laws.
"""
