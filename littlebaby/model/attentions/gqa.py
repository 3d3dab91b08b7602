"""gqa: grouped-query attention.

As mha, but `n_kv_heads` keys and values serve all `n_heads` queries, each shared by a group of h / n: the cache shrinks by that factor
and little is lost. n = 1 is multi-query attention; n = h is mha. A shared head's gradient is the sum over its group.
    s_i = q_i k_g(i)' / (sqrt(d) tau)        a = softmax(s), the future masked        y = merge(a_i v_g(i)) wo
Only the widths of wk and wv differ, so forward and backward are mha's: its `attention` primitive knows groups.

Cost O(B T^2 H + B T D (H + n d)).  Cache per token 2 n d numbers.
Ainslie et al. 2023, arXiv:2305.13245.
"""
from .mha import forward, post_step, weights

__all__ = ["post_step", "forward", "params"]


def params(cfg):
    return weights(cfg, cfg.n_kv_heads * cfg.head_size // cfg.n_heads)
