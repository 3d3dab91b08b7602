"""Single attentions in PyTorch, with the same weights: the same outputs and the same gradients of the input and of every weight."""
import numpy as np
import pytest

from littlebaby.arrays import tree
from littlebaby.check import laws
from littlebaby.model.context import Context, variant

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[peers]'")


def mine(cfg, s, layer_index=0):
    """{"y", "dx", and every weight by name: output and gradients}"""
    g = tree.views(s.spec, grad := np.zeros_like(s.flat))
    y, backward = variant("attentions", cfg.c_attention).forward(s.p, s.x, Context(cfg, layer_index=layer_index))
    return dict(y=y, dx=backward(s.dy, g), **tree.named(s.spec, grad))


def agree(got, want):
    assert got.keys() == want.keys()
    for name, a in want.items():
        assert np.abs(got[name] - a).max() < 1e-9 * max(1, np.abs(a).max()), name


def quadratic(x, w, cfg):
    """lin as all pairs of tokens: the kernel of every query and key, later keys set to 0, each row divided by its sum"""
    (B, T, _), h = x.shape, cfg.n_heads
    q, k, v = ((x @ w["w" + c] + w["b" + c]).view(B, T, h, -1).transpose(1, 2) for c in "qkv")
    elu = torch.nn.functional.elu
    a = torch.tril((elu(q) + 1) @ (elu(k) + 1).transpose(-1, -2))                # (B, h, T, T)
    o = (a / (a.sum(-1, keepdim=True) + 1e-6)) @ v
    return o.transpose(1, 2).reshape(B, T, -1) @ w["wo"] + w["bo"]


@pytest.mark.parametrize("h, H", [(1, 8), (4, 8), (3, 30)])
def test_lin_is_the_quadratic_form(h, H):
    """Three blocks of the real size"""
    cfg = laws.config("attentions", "lin", n_heads=h, head_size=H, n_emb=6, c_bias="all", n_ctx=256)
    s = laws.random_layer(variant("attentions", "lin"), cfg, T=150)
    w = {name: torch.tensor(a, requires_grad=True) for name, a in tree.named(s.spec, s.flat).items()}
    x = torch.tensor(s.x, requires_grad=True)
    y = quadratic(x, w, cfg)
    y.backward(torch.tensor(s.dy))
    agree(mine(cfg, s), dict(y=y.detach().numpy(), dx=x.grad.numpy(), **{name: a.grad.numpy() for name, a in w.items()}))
