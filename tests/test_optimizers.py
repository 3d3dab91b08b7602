"""Optimizers and clipping: torch's numbers, and the same bits however the vector is shared."""
import json
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from littlebaby.arrays.tree import Leaf, fused_matrices, init, matrix, named, size, vector, views
from littlebaby.training.clip import clip
from littlebaby.training.optimizers import adafactor, adamw, lion, muon, sgd

CFG = SimpleNamespace(r_beta1=0.9, r_beta2=0.95, r_adam_eps=1e-8, r_weight_decay=0.1, r_momentum=0.9, b_nesterov=False,
                      r_factor_decay=0.8, r_factor_clip=1.0, r_factor_least=1e-3)


class Threads:
    n = 3

    def run(self, work):
        threads = [Thread(target=work, args=(i,)) for i in range(self.n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_adamw_and_clipping_equal_torch(reference):
    folder = reference("optimisers_a")
    arrays, given = np.load(folder / "reference.npz"), json.loads((folder / "config.json").read_text())["adamw"]
    names = given["decayed"] + given["not_decayed"]
    spec = {name: Leaf(arrays[f"adamw/grad/0/{name}"].shape, "matrix" if name in given["decayed"] else "vector") for name in names}
    flat, grad = np.empty(size(spec)), np.empty(size(spec))
    p, g = views(spec, flat), views(spec, grad)
    start = load_file(folder / "weights.safetensors")
    for name in names:
        p[name][:] = start[f"adamw/{name}"]
    memory = adamw.state(spec, "f8")
    clipped = []
    for t, lr in enumerate(given["lr_per_step"]):
        for name in names:
            g[name][:] = arrays[f"adamw/grad/{t}/{name}"]
        norm, coefficient = clip(grad, given["clip_global_norm"])
        clipped.append(coefficient < 1)
        assert norm == pytest.approx(arrays["adamw/grad_norm_before_clip"][t], rel=1e-14)
        adamw.step(flat, grad, memory, spec, CFG, lr)
        for name in names:
            np.testing.assert_allclose(p[name], arrays[f"adamw/after/{t}/{name}"], rtol=0, atol=1e-15)
    assert any(clipped) and not all(clipped) and memory["t"] == given["steps"]
    for name in names:
        np.testing.assert_allclose(views(spec, memory["m"])[name], arrays[f"adamw/exp_avg/{name}"], rtol=0, atol=1e-15)
        np.testing.assert_allclose(views(spec, memory["v"])[name], arrays[f"adamw/exp_avg_sq/{name}"], rtol=0, atol=1e-15)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_by_its_formula(nesterov):
    cfg = SimpleNamespace(**{**vars(CFG), "b_nesterov": nesterov})
    spec = dict(w=Leaf((2,), "matrix"), b=vector(2))
    flat, memory = np.array([1.0, -2.0, 3.0, 4.0]), sgd.state(spec, "f8")
    p, m = flat.copy(), np.zeros(4)
    for g in np.array([[1.0, -1.0, 0.5, 2.0], [0.5, 3.0, -1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]):
        sgd.step(flat, g, memory, spec, cfg, 0.1)
        m = 0.9 * m + g
        p = p * [0.99, 0.99, 1, 1] - 0.1 * (g + 0.9 * m if nesterov else m)
        np.testing.assert_allclose(flat, p, rtol=1e-15)


@pytest.mark.parametrize("optimizer", [adafactor, adamw, lion, sgd, muon])
def test_shared_among_workers_bit_for_bit_and_frozen_leaves_stay(optimizer):
    """Leaves that begin and end inside chunks, one frozen among them, float32 throughout"""
    spec = dict(a=matrix(100, 301), gain=vector(77), cold=matrix(9, 9, train=False), b=matrix(211, 173), c=matrix(5, 7),
                bias=vector(40000))
    rng = np.random.default_rng(0)
    flat = init(spec, rng, "f4")
    n = size(spec, train=True)
    flat[:n] += rng.standard_normal(n).astype("f4")
    alone, shared, whole = flat.copy(), flat.copy(), flat.copy()
    memories = [optimizer.state(spec, "f4") for _ in range(3)]
    for _ in range(3):
        grad = rng.standard_normal(n).astype("f4")
        grad.flags.writeable = False
        optimizer.step(alone, grad, memories[0], spec, CFG, 1e-2)
        optimizer.step(shared[:n], grad, memories[1], spec, CFG, 1e-2, Threads())
        shrunk = {name: leaf for name, leaf in views(spec, whole).items() if name in "abc"}
        for leaf in shrunk.values():
            leaf *= 1 - 1e-2 * CFG.r_weight_decay
        optimizer.step(whole, grad, memories[2], spec, SimpleNamespace(**{**vars(CFG), "r_weight_decay": 0.0}), 1e-2)
    assert np.array_equal(alone, shared)
    if optimizer is not adafactor:                               # its step depends on the size of the weights before weight decay
        assert np.array_equal(alone, whole)
    assert np.array_equal(alone[n:], flat[n:]) and not np.array_equal(alone[:n], flat[:n])
    for name, value in memories[0].items():
        assert np.array_equal(value, memories[1][name])
        assert np.ndim(value) == 0 or value.dtype == np.float32


def test_clip_cuts_length_and_only_length():
    grad = np.random.default_rng(0).standard_normal(100_000).astype("f4")
    length = np.linalg.norm(grad.astype("f8"))
    norm, coefficient = clip(grad, 1.0)
    assert norm == pytest.approx(length, rel=1e-6) and coefficient == pytest.approx(1 / length, rel=1e-5)
    assert grad.dtype == np.float32 and np.linalg.norm(grad.astype("f8")) == pytest.approx(1, rel=1e-5)
    assert clip(np.array([3.0, 4.0]), 0) == (5, 1) == clip(np.array([3.0, 4.0]), 5.1)
    for bad in (np.nan, np.inf):
        assert not np.isfinite(clip(np.array([1.0, bad]), 0.0)[0])


def test_muon_equals_its_reference(reference):
    folder = reference("optimisers_a")
    arrays, given = np.load(folder / "reference.npz"), json.loads((folder / "config.json").read_text())["muon"]
    names = sorted({key.split("/")[3] for key in arrays.files if key.startswith("muon/grad/0/")})
    spec = {name: matrix(*arrays[f"muon/grad/0/{name}"].shape) for name in names}
    flat, grad = np.empty(size(spec)), np.empty(size(spec))
    p, g = views(spec, flat), views(spec, grad)
    start = load_file(folder / "weights.safetensors")
    for name in names:
        p[name][:] = start[f"muon/{name}"]
    cfg = SimpleNamespace(**{**vars(CFG), "r_momentum": given["momentum"], "r_weight_decay": given["weight_decay"]})
    memory = muon.state(spec, "f8")
    for t, lr in enumerate(given["lr_per_step"]):
        for name in names:
            g[name][:] = arrays[f"muon/grad/{t}/{name}"]
        muon.step(flat, grad, memory, spec, cfg, lr, Threads())
        for name in names:
            np.testing.assert_allclose(p[name], arrays[f"muon/after/{t}/{name}"], rtol=0, atol=1e-9)


def test_muon_takes_matrices_apart_and_leaves_the_rest_to_adamw():
    """A fused leaf is orthogonalised part by part; what is no hidden matrix moves exactly as under AdamW"""
    spec = dict(wqkv=fused_matrices(6, wq=6, wk=3, wv=3), table=Leaf((5, 6), "table"), head=Leaf((6, 5), "head"), gain=vector(6))
    rng = np.random.default_rng(0)
    flat = rng.standard_normal(size(spec))
    grad, other, cfg = rng.standard_normal(flat.size), flat.copy(), SimpleNamespace(**{**vars(CFG), "r_weight_decay": 0.0})
    before = flat.copy()
    muon.step(flat, grad, muon.state(spec, "f8"), spec, cfg, 0.01)
    adamw.step(other, grad, adamw.state(spec, "f8"), spec, cfg, 0.01)
    new, adam, moved, g = (named(spec, a) for a in (flat, other, flat - before, grad))
    assert all(np.array_equal(new[name], adam[name]) for name in ("table", "head", "gain"))
    for name, width in (("wq", 6), ("wk", 3), ("wv", 3)):
        values = np.linalg.svd(moved[name] / (0.01 * 0.2 * 6 ** 0.5), compute_uv=False)
        assert len(values) == width and 0.3 < values.min() and values.max() < 1.3
        assert (moved[name] * g[name]).sum() < 0
