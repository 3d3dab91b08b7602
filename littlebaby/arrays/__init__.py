"""Package 1: numbers. Every primitive operation with its gradient: a plain version in ops, a faster one in kernels.

backend   NumPy or CuPy, devices, threads, memory
tree      weights as named views of one flat vector
erfc      the complementary error function, for gelu_exact
ops       the primitives in plain form: y, back = op(x, ...)
kernels   faster versions of some of them for the CPU, tested to be equal; `from ..arrays import linear` gives the faster one
scans     primitives along the sequence: running sums and means, filters, windows
"""
from .kernels import attention, cross_entropy, embedding, gelu, layernorm, linear, rmsnorm, rotate, swiglu
from .ops import (
    dropout,
    full_matrix,
    gelu_exact,
    glu,
    log_likelihood,
    matmul,
    merge_heads,
    proportions,
    relu,
    relu2,
    sigmoid,
    silu,
    softmax,
    split_heads,
    weight_heads,
)
from .scans import (
    causal_filter,
    discounted_mean,
    elu_plus_one,
    exp_clip,
    linear_attention,
    log_sigmoid,
    max_scores,
    running_mean,
    running_sum,
    window_attention,
)

__all__ = ["attention", "cross_entropy", "dropout", "embedding", "full_matrix", "gelu", "gelu_exact", "glu", "layernorm", "linear",
           "log_likelihood", "matmul", "merge_heads", "proportions", "relu", "relu2", "rmsnorm", "rotate", "sigmoid", "silu", "softmax",
           "split_heads", "swiglu", "weight_heads"]
__all__ += ["causal_filter", "discounted_mean", "elu_plus_one", "exp_clip", "linear_attention", "log_sigmoid", "max_scores",
            "running_mean", "running_sum", "window_attention"]
