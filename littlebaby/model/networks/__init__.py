"""What a token makes of what it has gathered: (B, T, D) -> (B, T, D), each token for itself.

One file each: `params(cfg)`, `forward(p, x, ctx)`.

The y of a forward and the dx of a backward belong to the caller. A new file here is a new value of `c_network`, proved by the laws.
"""
