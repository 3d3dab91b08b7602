"""Who looks at whom: (B, T, D) -> (B, T, D), the only place where tokens meet. One file each: `params(cfg)`, `forward(p, x, ctx)`.

The y of a forward and the dx of a backward belong to the caller. A new file here is a new value of `c_attention`, proved by the laws.
"""
