"""The GPT of the presets in PyTorch, from its own parts, with the weights of a baby"""
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[peers]'")


class Peer(torch.nn.Module):
    def __init__(self, cfg):
        super().__init__()
        nn, D, self.h = torch.nn, cfg.n_emb, cfg.n_heads
        self.token, self.place = nn.Embedding(cfg.n_vocab, D), nn.Embedding(cfg.n_ctx, D)
        self.blocks = nn.ModuleList([nn.ModuleDict(dict(
            norm1=nn.LayerNorm(D), qkv=nn.Linear(D, 3 * D), out=nn.Linear(D, D), norm2=nn.LayerNorm(D),
            up=nn.Linear(D, 4 * D), down=nn.Linear(4 * D, D))) for _ in range(cfg.n_layers)])
        self.norm, self.head = nn.LayerNorm(D), nn.Linear(D, cfg.n_vocab, bias=False)

    def logits(self, ids):
        f = torch.nn.functional
        (B, T), h = ids.shape, self.h
        x = self.token(ids) + self.place(torch.arange(T))
        for b in self.blocks:
            q, k, v = (z.view(B, T, h, -1).transpose(1, 2) for z in b["qkv"](b["norm1"](x)).chunk(3, -1))
            x = x + b["out"](f.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, -1))
            x = x + b["down"](f.gelu(b["up"](b["norm2"](x)), approximate="tanh"))
        return self.head(self.norm(x))

    def forward(self, ids, targets):
        return torch.nn.functional.cross_entropy(self.logits(ids).flatten(0, 1), targets.flatten())

    def take(self, baby):
        """The baby's weights, transposed as PyTorch keeps them"""
        put = lambda module, w, b=None: (module.weight.data.copy_(torch.tensor(np.ascontiguousarray(w))),
                                         b is not None and module.bias.data.copy_(torch.tensor(np.ascontiguousarray(b))))
        p = baby.p
        put(self.token, p.token)
        put(self.place, p.position.table)
        for b, pb in zip(self.blocks, p.blocks):
            put(b["norm1"], pb.norm1.w, pb.norm1.b)
            put(b["norm2"], pb.norm2.w, pb.norm2.b)
            put(b["qkv"], pb.att.wqkv.T, pb.att.bqkv)
            put(b["out"], pb.att.wo.T, pb.att.bo)
            put(b["up"], pb.net.up.T, pb.net.b1)
            put(b["down"], pb.net.down.T, pb.net.b2)
        put(self.norm, p.norm.w, p.norm.b)
        put(self.head, p.head.w.T)

    def gradients(self):
        """{name of the weight in littlebaby: its gradient, in littlebaby's layout}"""
        found = {"token": self.token.weight, "position.table": self.place.weight, "norm.w": self.norm.weight, "norm.b": self.norm.bias,
                 "head.w": self.head.weight}
        for i, b in enumerate(self.blocks):
            for name, module in (("norm1", b["norm1"]), ("norm2", b["norm2"])):
                found |= {f"blocks.{i}.{name}.w": module.weight, f"blocks.{i}.{name}.b": module.bias}
            found |= {f"blocks.{i}.att.wo": b["out"].weight, f"blocks.{i}.net.up": b["up"].weight,
                      f"blocks.{i}.net.down": b["down"].weight}
        linear = ("head.w", "att.wo", "net.up", "net.down")      # PyTorch keeps their matrices transposed
        return {name: w.grad.T.numpy() if name.endswith(linear) else w.grad.numpy() for name, w in found.items()}
