"""The same model in PyTorch, written from its own parts: fifty steps on real text must give the same losses."""
import numpy as np
import pytest

from littlebaby.arrays.tree import matrix, size, vector, views
from littlebaby.inference.baby import Baby
from littlebaby.runs.settings import Config
from littlebaby.text.char import Char
from littlebaby.training.data import Batches, windows
from littlebaby.training.loop import Step, begin, train
from littlebaby.training.optimizers import adafactor

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[peers]'")
from pytorch_peer import Peer  # noqa: E402  after the check above


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


def test_adafactor_equals_torch():
    """Steps that are clipped and not, weights that are smaller than r_factor_least, and a row without a gradient"""
    rng, shapes = np.random.default_rng(0), dict(a=(7, 5), b=(5,), c=(3, 9))
    spec = {name: matrix(*shape) if len(shape) == 2 else vector(*shape) for name, shape in shapes.items()}
    start = {name: rng.standard_normal(shape) * size for (name, shape), size in zip(shapes.items(), (1, 1e-5, 0.02))}
    theirs = {name: torch.nn.Parameter(torch.tensor(w)) for name, w in start.items()}
    cfg = Config(r_weight_decay=0.1)
    optimizer = torch.optim.Adafactor([dict(params=[theirs["a"], theirs["c"]], weight_decay=0.1), dict(params=[theirs["b"]])], lr=0.4,
                                      eps=(adafactor.LEAST, cfg.r_factor_least))
    flat, grad, state = np.empty(size(spec)), np.empty(size(spec)), adafactor.state(spec, "f8")
    p, g = views(spec, flat), views(spec, grad)
    for name in shapes:
        p[name][:] = start[name]
    for t in range(8):
        for name, shape in shapes.items():
            g[name][:] = rng.standard_normal(shape) * (10 if t == 4 else 1)
            if name == "a":
                g[name][2] = 0
            theirs[name].grad = torch.tensor(np.array(g[name]))
        optimizer.step()
        adafactor.step(flat, grad, state, spec, cfg, 0.4)
        for name in shapes:
            np.testing.assert_allclose(p[name], theirs[name].detach().numpy(), rtol=1e-12, atol=1e-15)
    assert not np.allclose(p["a"], start["a"]) and state["t"] == 8 and state["rows"].shape == (10,) and state["v"].shape == (5,)
