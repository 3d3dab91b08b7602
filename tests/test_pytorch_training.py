"""The same model in PyTorch, written from its own parts: fifty steps on real text must give the same losses."""
import numpy as np
import pytest

from littlebaby.inference.baby import Baby
from littlebaby.runs.settings import Config
from littlebaby.text.char import Char
from littlebaby.training.data import Batches, windows
from littlebaby.training.loop import Step, begin, train

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

    def forward(self, ids, targets):
        f = torch.nn.functional
        (B, T), h = ids.shape, self.h
        x = self.token(ids) + self.place(torch.arange(T))
        for b in self.blocks:
            q, k, v = (z.view(B, T, h, -1).transpose(1, 2) for z in b["qkv"](b["norm1"](x)).chunk(3, -1))
            x = x + b["out"](f.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, -1))
            x = x + b["down"](f.gelu(b["up"](b["norm2"](x)), approximate="tanh"))
        return f.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())

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


def test_fifty_steps_equal_pytorch(data):
    text = data("tinyshakespeare.txt").read_text()[:100_000]
    tokenizer = Char.train(text)
    cfg = Config(n_ctx=64, n_emb=64, n_heads=4, n_layers=2, batch_size=8, c_bias="all", n_steps=50, s_eval=50, r_learn=1e-3, s_warmup=5,
                 c_schedule="constant", r_clip=1.0, r_weight_decay=0.1, n_vocab=tokenizer.size, n_sample=0)
    baby = Baby(cfg, tokenizer=tokenizer)
    peer = Peer(baby.config)
    peer.take(baby)
    ids = tokenizer.encode(text)
    batches = Batches(ids, baby.config, cfg.seed)
    decayed = [w for w in peer.parameters() if w.ndim > 1]
    plain = [w for w in peer.parameters() if w.ndim == 1]
    optimizer = torch.optim.AdamW([dict(params=decayed, weight_decay=0.1), dict(params=plain, weight_decay=0.0)], lr=1e-3,
                                  betas=(cfg.r_beta1, cfg.r_beta2), eps=cfg.r_adam_eps)
    theirs, mine = [], []
    steps = [e for e in train(baby, begin(baby, 50), batches, windows(ids[:65], 64)) if isinstance(e, Step)]
    for i, step in enumerate(steps):
        x, t = (torch.tensor(np.asarray(a), dtype=torch.long) for a in batches.batch(i))
        loss = peer(x, t)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), cfg.r_clip)
        for group in optimizer.param_groups:
            group["lr"] = step.rate
        optimizer.step()
        theirs.append(loss.item())
        mine.append(step.loss)
    assert len(mine) == 50 and mine[-1] < mine[0] - 1
    assert np.abs(np.subtract(mine, theirs)).max() < 1e-5
