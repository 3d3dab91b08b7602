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


class Theirs:
    """DiffLlamaAttention of transformers with the weights of a layer of ours, and its gradients in our layout. The two heads of a pair are
    neighbours in ours; theirs has all first heads, then all second ones: their head i is our head `heads[i]`"""

    def __init__(self, cfg, s, layer_index):
        transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[peers]'")
        from transformers.models.diffllama.modeling_diffllama import DiffLlamaAttention

        bias = cfg.c_bias == "all"
        config = transformers.DiffLlamaConfig(
            hidden_size=cfg.n_emb, num_attention_heads=cfg.n_heads, num_key_value_heads=cfg.n_heads, head_dim=cfg.head_width,
            rms_norm_eps=cfg.norm_eps, attention_bias=bias, attn_implementation="sdpa")      # eager has a softmax in float32
        self.layer = DiffLlamaAttention(config, layer_index).double()
        self.heads, self.d = [*range(0, cfg.n_heads, 2), *range(1, cfg.n_heads, 2)], cfg.head_width
        at = self.layer
        self.of = dict(wq=at.q_proj.weight, wk=at.k_proj.weight, wv=at.v_proj.weight, wo=at.o_proj.weight)
        self.of |= dict(bq=at.q_proj.bias, bk=at.k_proj.bias, bv=at.v_proj.bias, bo=at.o_proj.bias) if bias else {}
        w = tree.named(s.spec, s.flat)
        with torch.no_grad():
            for name, theirs in self.of.items():
                theirs.copy_(torch.tensor(w[name].T if name in ("wo", "bo") else self.sorted(w[name], self.heads).T))
            for i, (q, k) in enumerate(((at.lambda_q1, at.lambda_k1), (at.lambda_q2, at.lambda_k2))):
                q.copy_(torch.tensor(w["lq"][i]))
                k.copy_(torch.tensor(w["lk"][i]))

    def sorted(self, a, heads):
        """The columns of a in the order of these heads"""
        return a.reshape(*a.shape[:-1], len(heads), self.d)[..., heads, :].reshape(a.shape)

    def gradients(self):
        back, at = np.argsort(self.heads), self.layer
        found = {name: w.grad.numpy().T for name, w in self.of.items()}
        found = {name: a if name in ("wo", "bo") else self.sorted(a, back) for name, a in found.items()}
        return found | dict(lq=torch.stack([at.lambda_q1.grad, at.lambda_q2.grad]).numpy(),
                            lk=torch.stack([at.lambda_k1.grad, at.lambda_k2.grad]).numpy())


@pytest.mark.parametrize("layer_index", [0, 1, 9])
@pytest.mark.parametrize("h, H, bias", [(2, 8, "none"), (4, 16, "all"), (6, 24, "none")])
def test_diff_is_that_of_diffllama(h, H, bias, layer_index, monkeypatch):
    """theirs computes lambda in float32 whatever the weights are: here in float64"""
    cfg = laws.config("attentions", "diff", n_heads=h, head_size=H, n_emb=10, c_bias=bias, c_position="rope", n_ctx=128)
    s = laws.random_layer(variant("attentions", "diff"), cfg, T=80)
    theirs = Theirs(cfg, s, layer_index)
    total = torch.sum
    monkeypatch.setattr(torch, "sum", lambda a, dim, dtype: total(a, dim))
    x = torch.tensor(s.x, requires_grad=True)
    angles = torch.outer(torch.arange(80).double(), 1e4 ** (-torch.arange(0, H // h, 2).double() / (H // h))).repeat(1, 2)[None]
    later = torch.triu(torch.full((80, 80), -torch.inf, dtype=torch.double), 1)
    y, _ = theirs.layer(x, (angles.cos(), angles.sin()), later[None, None])
    y.backward(torch.tensor(s.dy))
    agree(mine(cfg, s, layer_index), dict(y=y.detach().numpy(), dx=x.grad.numpy(), **theirs.gradients()))
