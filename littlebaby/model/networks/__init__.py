"""Feed-forward networks, (B, T, D) -> (B, T, D): each token is computed by itself (except in nft).

Each file defines `params(cfg)` and `forward(p, x, ctx)`. The caller may overwrite the y of a forward and the dx of a backward. A new file
here is a new value of `c_network`, and is checked by the laws.
"""
