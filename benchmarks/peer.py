"""The contenders' model in PyTorch: GPT-2's shape (norm first, learned positions, tanh GELU, biases) with a head of its own."""
import torch
from torch import nn
from torch.nn import functional as f


class Block(nn.Module):
    def __init__(self, D, h):
        super().__init__()
        self.h = h
        self.norm1, self.qkv, self.out = nn.LayerNorm(D), nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.norm2, self.up, self.down = nn.LayerNorm(D), nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def forward(self, x, cache, start):
        B, T, D = x.shape
        q, k, v = (z.view(B, T, self.h, -1).transpose(1, 2) for z in self.qkv(self.norm1(x)).chunk(3, -1))
        if cache is not None:                                    # (2, B, h, n_ctx, d): the keys and the values so far
            cache[0, :, :, start:start + T], cache[1, :, :, start:start + T] = k, v
            k, v = cache[:, :, :, :start + T]
        o = f.scaled_dot_product_attention(q, k, v, is_causal=cache is None)
        x = x + self.out(o.transpose(1, 2).reshape(B, T, D))
        return x + self.down(f.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, n_layers, n_heads, n_emb, n_ctx, n_vocab):
        super().__init__()
        self.token, self.place = nn.Embedding(n_vocab, n_emb), nn.Embedding(n_ctx, n_emb)
        self.blocks = nn.ModuleList(Block(n_emb, n_heads) for _ in range(n_layers))
        self.norm, self.head = nn.LayerNorm(n_emb), nn.Linear(n_emb, n_vocab, bias=False)
        for w in self.parameters():
            if w.ndim > 1:
                nn.init.normal_(w, std=0.02)

    def forward(self, ids, caches=None, start=0):
        """ids (B, T) -> logits (B, T, V). caches: (L, 2, B, h, n_ctx, d), filled on the way; then T is 1"""
        x = self.token(ids) + self.place(torch.arange(start, start + ids.shape[1]))
        for i, block in enumerate(self.blocks):
            x = block(x, None if caches is None else caches[i], start)
        return self.head(self.norm(x))

    def size(self):
        return sum(w.numel() for w in self.parameters())
