"""What keeps a token's numbers at a steady size: (..., D) -> (..., D). One file each: `params(cfg)`, `forward(p, x, ctx)`.

A new file here is a new value of `c_norm`, proved by the laws.
"""
