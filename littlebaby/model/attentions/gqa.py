"""gqa: grouped-query attention.

As mha, but with n = `n_kv_heads` heads of keys and values for `n_heads` heads of queries: each group of h / n query heads shares one head
of keys and values. The cache is h / n times smaller, at a small loss of quality. n = 1 is multi-query attention; n = h is mha. The gradient
of a shared head is the sum over its group.
    s_i = q_i k_g(i)' / (sqrt(d) tau)        a = softmax(s), later tokens masked        y = merge(a_i v_g(i)) wo
Only the widths of wk and wv differ from mha. Forward and backward are the same functions, since the `attention` primitive supports groups.

Cost O(B T^2 H + B T D (H + n d)).  Cache per token 2 n d numbers.
Ainslie et al. 2023, arXiv:2305.13245.
"""
from ...errors import not_a_divisor
from .mha import forward, post_step, weights

__all__ = ["post_step", "forward", "params"]

OPTIONS = dict(n_kv_heads=(0, "Number of key and value heads, each shared by a group of query heads: fewer make a smaller cache; 0 means a "
                              "quarter of n_heads.", (0, 1024)))
SCORE_BIAS = True


def params(cfg):
    return weights(cfg, cfg.n_kv_heads * cfg.head_size // cfg.n_heads)


def defaults(cfg):
    h = cfg.n_heads
    return dict(n_kv_heads=max(n for n in range(1, h + 1) if h % n == 0 and n <= max(1, h // 4)))


def check(cfg):
    if cfg.n_heads % cfg.n_kv_heads:
        yield not_a_divisor("n_kv_heads", cfg.n_kv_heads, "n_heads", cfg.n_heads)


CASES = [dict(n_kv_heads=1), dict(n_kv_heads=2, c_position="rope"), dict(n_kv_heads=4, c_bias="all"),
         dict(n_kv_heads=2, c_bias="none", b_bias_attention_in=True), dict(n_kv_heads=2, c_position="alibi")]
