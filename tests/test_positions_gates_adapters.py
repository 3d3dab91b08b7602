"""Positions alibi and sinusoidal, lion, the gated networks, adapters and presets: by formula, by kinship, by other implementations."""
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import lying
from safetensors.numpy import load_file
from strict import strict
from test_laws import small_blocks  # noqa: F401
from test_optimizers import CFG, Threads

import littlebaby as lb
from littlebaby.arrays import backend, kernels, ops, tree
from littlebaby.check import laws
from littlebaby.check.mistakes import broken_copy as broken
from littlebaby.errors import BadInput
from littlebaby.inference.baby import Baby
from littlebaby.model import gpt
from littlebaby.model.context import Context, variant
from littlebaby.model.positions.alibi import head_slopes
from littlebaby.runs import weights
from littlebaby.runs.formats import huggingface
from littlebaby.runs.formats.weight_table import rows, shapes
from littlebaby.runs.presets import preset
from littlebaby.runs.settings import Config, allowed
from littlebaby.runs.store import Workspace
from littlebaby.text import nursery
from littlebaby.training import lora
from littlebaby.training.optimizers import lion

# positions


def test_alibi_slopes_are_the_papers():
    """Eight heads 1/2, 1/4, ... 1/256; sixteen begin at 2^-0.5; twelve are eight and every other one of sixteen"""
    assert head_slopes(8) == [2.0 ** -i for i in range(1, 9)] and head_slopes(1) == [2.0 ** -8]
    assert head_slopes(16) == pytest.approx([2.0 ** (-i / 2) for i in range(1, 17)], rel=1e-15)
    assert head_slopes(12) == pytest.approx(head_slopes(8) + [2.0 ** -0.5, 2.0 ** -1.5, 2.0 ** -2.5, 2.0 ** -3.5], rel=1e-15)


@pytest.mark.parametrize("name, n", [("mha", 4), ("gqa", 2)])
def test_alibi_is_its_formula(name, n):
    """Law 8: a loop over tokens and heads, from s = q k' / (sqrt(d) tau) - m_i (t - j)"""
    cfg = laws.config("attentions", name, n_kv_heads=n, c_position="alibi", r_temp=1.3)
    s = laws.random_layer(variant("attentions", name), cfg, T=7)
    w, d, want = tree.named(s.spec, s.flat), 2, np.zeros_like(s.x)
    for b in range(2):
        q, k, v = (s.x[b] @ w[each] for each in ("wq", "wk", "wv"))
        for t in range(7):
            heads = []
            for i in range(4):
                mine, shared = slice(i * d, (i + 1) * d), slice(i * n // 4 * d, (i * n // 4 + 1) * d)
                e = np.exp([q[t, mine] @ k[j, shared] / (d ** 0.5 * 1.3) - 2.0 ** (-8 * (i + 1) / 4) * (t - j) for j in range(t + 1)])
                heads.append(sum(a * v[j, shared] for j, a in enumerate(e / e.sum())))
            want[b, t] = np.concatenate(heads) @ w["wo"] + w["bo"]
    y, _ = variant("attentions", name).forward(s.p, s.x, Context(cfg))
    assert np.abs(y - want).max() < 1e-12


@pytest.mark.parametrize("T, size", [(6, 1), (6, 9), (2, 1), (1, 1)])
def test_attention_with_slopes_equals_the_plain_primitive(T, size, small_blocks):  # noqa: F811
    r = np.random.default_rng(0).standard_normal
    arrays = [size * r((2, 4, T, 4)), size * r((2, 2, 6, 4)), r((2, 2, 6, 3))]
    (y, back), (want, want_back) = (module.attention(*arrays, 0.5, slopes=np.array([2.0, 0.5, 0.1, 0.0])) for module in (kernels, ops))
    dy = r(y.shape)
    assert np.abs(y - want).max() < 1e-12 and all(np.abs(a - b).max() < 1e-12 for a, b in zip(back(dy), want_back(dy)))
    assert np.abs(y - kernels.attention(*arrays, 0.5)[0]).max() > 1e-3


def test_alibi_needs_scores():
    """Every attention that the config lets alibi stand beside listens to it"""
    for name in allowed("c_attention"):
        try:
            priced = laws.config("attentions", name, c_position="alibi")
        except BadInput as refused:
            assert f"c_attention is '{name}'" in str(refused)
            continue
        _, _, p, rng = laws.model(priced)
        ids = rng.integers(0, 11, (2, 8))
        plain, sloped = (gpt.forward(p, ids, Context(cfg))[0] for cfg in (priced.replace(c_position="none"), priced))
        assert np.abs(plain - sloped).max() > 1e-3


@pytest.mark.parametrize("D", [8, 7])
def test_sinusoidal_is_its_formula(D):
    cfg = laws.config("positions", "sinusoidal", n_emb=D)
    x = np.random.default_rng(0).standard_normal((2, 5, D))
    y, _ = variant("positions", "sinusoidal").forward({}, x, Context(cfg, start=3))
    want = [[[D ** 0.5 * x[b, t, i] + (np.cos if i % 2 else np.sin)((t + 3) / 10000 ** ((i - i % 2) / D)) for i in range(D)]
             for t in range(5)] for b in range(2)]
    assert np.abs(y - want).max() < 1e-12


@pytest.mark.parametrize("old, new, law", [
    ("s -= deep_slopes", "s += deep_slopes", "formula"),
    ("ops.distance(past + i, past + j, past + j)", "abs(ops.distance(past + i, past + j, past + j) - 1)", "formula"),
    ("slopes.reshape(n, h // n, 1) *", "slopes.reshape(n, h // n, 1)[::-1] *", "decoding")])
def test_a_broken_price_is_caught(old, new, law, monkeypatch):
    if law == "decoding":
        cfg = laws.config("attentions", "gqa", n_kv_heads=2, c_position="alibi")
        measure = lambda: laws.decoding(cfg)
    else:
        r = np.random.default_rng(0).standard_normal
        q, k, v = (r((2, 4, 6, 3)) for _ in "qkv")
        slopes = np.array([0.5, 0.25, 0.125, 0.0])
        measure = lambda: np.abs(import_module("littlebaby.model.attentions.mha").attention(q, k, v, 1.0, slopes=slopes)[0]
                                 - ops.attention(q, k, v, 1.0, slopes=slopes)[0]).max()
    assert measure() < 1e-10
    monkeypatch.setattr(import_module("littlebaby.model.attentions.mha"), "attention", broken(kernels, old, new).attention)
    assert measure() > 1e-6


# lion


def test_lion_by_its_formula():
    """A zero gradient at the start moves nothing; a direction may differ from the memory's; vectors do not decay"""
    spec = dict(w=tree.Leaf((2,), "matrix"), b=tree.vector(2))
    flat, memory = np.array([1.0, -2.0, 3.0, 4.0]), lion.state(spec, "f8")
    p, m = flat.copy(), np.zeros(4)
    turned = 0
    for g in np.array([[1.0, -1.0, 0.5, 0.0], [-8.0, 3.0, -0.1, 2.0], [0.0, 0.0, 0.0, -0.1]]):
        lion.step(flat, g, memory, spec, CFG, 0.1)
        direction = np.sign(0.9 * m + 0.1 * g)
        turned += (direction * m < 0).sum()
        p = p * [0.99, 0.99, 1, 1] - 0.1 * direction
        m = 0.95 * m + 0.05 * g
        np.testing.assert_allclose(flat, p, rtol=1e-15)
        np.testing.assert_allclose(memory["m"], m, rtol=1e-14)
    assert turned == 2 and list(memory) == ["m"]


def test_lion_shared_among_workers_bit_for_bit_and_frozen_leaves_stay():
    spec = dict(a=tree.matrix(100, 301), gain=tree.vector(77), cold=tree.matrix(9, 9, train=False), bias=tree.vector(40000))
    rng = np.random.default_rng(0)
    n = tree.size(spec, train=True)
    start = rng.standard_normal(tree.size(spec)).astype("f4")
    alone, shared = start.copy(), start.copy()
    memories = [lion.state(spec, "f4") for _ in range(2)]
    for _ in range(3):
        grad = rng.standard_normal(n).astype("f4")
        grad.flags.writeable = False
        lion.step(alone, grad, memories[0], spec, CFG, 1e-2)
        lion.step(shared[:n], grad, memories[1], spec, CFG, 1e-2, Threads())
    assert np.array_equal(alone, shared) and np.array_equal(memories[0]["m"], memories[1]["m"])
    assert np.array_equal(alone[n:], start[n:]) and memories[0]["m"].dtype == np.float32
    moved = np.abs(tree.views(spec, alone)["gain"] - tree.views(spec, start)["gain"]) / 1e-2
    assert np.abs(moved - np.round(moved)).max() < 1e-3 and set(np.round(moved)) <= {1.0, 3.0}


# networks


def logistic(x):
    return 1 / (1 + np.exp(-x))


def test_gln_is_its_formula():
    cfg = laws.config("networks", "gln")
    s = laws.random_layer(variant("networks", "gln"), cfg)
    y, _ = variant("networks", "gln").forward(s.p, s.x, Context(cfg))
    assert np.abs(y - (s.x @ s.p.w + s.p.b) * logistic(s.x @ s.p.u + s.p.c)).max() < 1e-12


def test_ggl_is_its_formula():
    """A loop over groups and numbers: number i of group g lands at place i G + g"""
    cfg = laws.config("networks", "ggl", n_emb=6, n_groups_ggl=3)
    s = laws.random_layer(variant("networks", "ggl"), cfg)
    w, want = tree.named(s.spec, s.flat), np.zeros_like(s.x)
    for g in range(3):
        part = s.x[..., 2 * g:2 * g + 2]
        out = (part @ w[f"a{g}"]) * logistic(part @ w[f"u{g}"])
        for i in range(2):
            want[..., i * 3 + g] = out[..., i]
    y, _ = variant("networks", "ggl").forward(s.p, s.x, Context(cfg))
    assert np.abs(y - want).max() < 1e-12


def test_ggl_of_one_group_is_gln_without_biases():
    """Law 9"""
    one, other = laws.config("networks", "ggl", n_groups_ggl=1), laws.config("networks", "gln", c_bias="none")
    s = laws.random_layer(variant("networks", "ggl"), one)
    y, _ = variant("networks", "gln").forward(tree.views(variant("networks", "gln").params(other), s.flat), s.x, Context(other))
    assert np.abs(y - variant("networks", "ggl").forward(s.p, s.x, Context(one))[0]).max() < 1e-12


def test_groups_divide_the_width():
    with pytest.raises(BadInput, match="n_groups_ggl is 3; allowed are divisors of n_emb, 8; did you mean 2"):
        laws.config("networks", "ggl", n_groups_ggl=3)


MISTAKES = [
    ("gln", "return dx_a + dx\n", "return dx_a\n"), ("gln", "c=dc", "c=2 * dc"),
    ("ggl", "back_z(dz)", "back_z(da)"), ("ggl", ".reshape(B * T, n, G).transpose(2, 0, 1)", ".reshape(B * T, G, n).swapaxes(0, 1)")]


@pytest.mark.parametrize("name, old, new", MISTAKES, ids=[f"{name}: {new[:40]}" for name, _, new in MISTAKES])
def test_a_broken_network_is_caught(name, old, new):
    layer = import_module(f"littlebaby.model.networks.{name}")
    cfg = laws.config("networks", name, n_emb=6, n_groups_ggl=2)
    assert laws.gradient(layer, cfg) < 1e-6 < laws.gradient(broken(layer, old, new), cfg)


# adapters


def llama_names(cfg):
    """{their name: our name}"""
    return {row.foreign[0]: row.own[0] for row in rows(huggingface.LLAMA, cfg, shapes(cfg))}


@pytest.fixture(scope="module")
def lora_a():
    """Another implementation's adapted llama in float64: the baby, its reference numbers, {our name: their name} of the adapters"""
    folder = lying("reference", "lora_a")
    theirs, ref = load_file(folder / "adapter_model.safetensors"), np.load(folder / "reference.npz")
    base = lb.load(lying("reference", "llama_a"), d_type="fp64")
    cfg = base.config.replace(lora_rank=4, lora_alpha=8)
    baby = lora.with_adapters(Baby(cfg, flat=base.flat))
    names = {f"{ours}_lora_{letter}": f"base_model.model.{name.removesuffix('weight')}lora_{letter.upper()}.weight"
             for name, ours in llama_names(cfg).items() if ".att." in ours for letter in "ab"}
    for ours, name in names.items():
        baby.weights()[ours][...] = theirs[name].T
    return SimpleNamespace(base=base, baby=baby, ref=ref, names=names)


def grads_are(case, baby, targets, key, loss):
    mean, grads = baby.loss_and_grads(case.ref["ids"], targets)
    assert abs(mean - case.ref[loss]) < 1e-12 and grads.keys() == case.names.keys()
    return max(np.abs(grads[ours].T - case.ref[f"{key}/{name}"]).max() for ours, name in case.names.items())


def test_lora_equals_its_reference(lora_a):
    assert np.abs(lora_a.base.logits(lora_a.ref["ids"]) - lora_a.ref["logits_base"]).max() < 1e-10
    assert np.abs(lora_a.baby.logits(lora_a.ref["ids"]) - lora_a.ref["logits"]).max() < 1e-10
    assert grads_are(lora_a, lora_a.baby, lora_a.ref["targets"], "grad", "loss") < 1e-9


def test_lora_under_a_masked_loss_equals_its_reference(lora_a):
    targets = np.where(lora_a.ref["loss_mask"] > 0, lora_a.ref["targets"], -1)
    assert (targets < 0).any()
    assert grads_are(lora_a, lora_a.baby, targets, "grad_masked", "masked_loss") < 1e-9


def test_lora_begins_as_the_base(lora_a):
    """With every b zero: the base's logits to the last bit, and gradients in b alone"""
    fresh = Baby(lora_a.baby.config, spec=lora_a.baby.spec, flat=lora_a.baby.flat.copy())
    for name, w in fresh.weights().items():
        if name.endswith("_lora_b"):
            w[...] = 0
    assert np.array_equal(fresh.logits(lora_a.ref["ids"]), lora_a.base.logits(lora_a.ref["ids"]))
    _, grads = fresh.loss_and_grads(lora_a.ref["ids"], lora_a.ref["targets"])
    for ours, name in lora_a.names.items():
        assert np.abs(grads[ours].T - lora_a.ref[f"grad_B0/{name}"]).max() < 1e-9
        assert grads[ours].any() == ours.endswith("_lora_b")


def test_merged_lora_equals_its_reference(lora_a):
    plain = lora.merged(lora_a.baby)
    w, ours = plain.weights(), llama_names(plain.config)
    merged = [key for key in lora_a.ref.files if key.startswith("merged/")]
    assert len(merged) == 8
    for key in merged:
        assert np.abs(w[ours[key.removeprefix("merged/")]].T - lora_a.ref[key]).max() < 1e-14
    assert np.abs(plain.logits(lora_a.ref["ids"]) - lora_a.ref["logits"]).max() < 1e-10


def adapted(cfg, seed=0):
    """A baby whose adapters are away from zero"""
    baby = lora.with_adapters(Baby(cfg, seed=seed))
    rng = np.random.default_rng(seed)
    baby.flat += (0.2 * rng.standard_normal(baby.flat.size)).astype(baby.flat.dtype)
    return baby, rng


EVERYWHERE = [dict(c_attention=a) for a in allowed("c_attention")] + [dict(c_network=n) for n in allowed("c_network")]


@pytest.mark.parametrize("settings", EVERYWHERE, ids=[next(iter(s.values())) for s in EVERYWHERE])
@pytest.mark.parametrize("tied", [False, True])
def test_every_variant_wears_adapters(settings, tied):
    """Gradients against differences, decoding, and merged equal to unmerged, with adapters on every matrix of every variant"""
    cfg = laws.config(**settings, b_tied=tied, c_position="none", c_bias="all", lora_rank=2, lora_targets="*")
    baby, rng = adapted(cfg)
    n = tree.size(baby.spec, train=True)
    ids, targets = rng.integers(0, 11, (2, 2, 6))
    grad, held = np.zeros(n), {}
    gpt.loss_and_grad(baby.p, tree.views(baby.spec, grad), ids, targets, Context(cfg, decisions=held))
    at = rng.choice(n, 60, replace=False)
    loss = lambda: gpt.loss(baby.p, ids, targets, Context(cfg, decisions=held))
    want = [laws.differences(loss, baby.flat[i:i + 1])[0] for i in at]
    assert np.abs(grad[at] - want).max() < 1e-6 * np.abs(want).max()
    assert np.abs(lora.merged(baby).logits(ids) - baby.logits(ids)).max() < 1e-12
    cache: dict = {}
    parts = [gpt.forward(baby.p, ids[:, a:b], Context(cfg, start=a, cache=cache))[0] for a, b in ((0, 3), (3, 5), (5, 6))]
    assert np.abs(np.concatenate(parts, 1) - baby.logits(ids)).max() < 1e-10


def test_adapters_in_float32_merge_to_rounding():
    cfg = laws.config(n_emb=64, head_size=64, d_type="fp32", lora_rank=8)
    baby, rng = adapted(cfg)
    ids = rng.integers(0, 11, (4, 16))
    plain, worn = lora.merged(baby).logits(ids), baby.logits(ids)
    assert plain.dtype == worn.dtype == np.float32 and np.abs(plain - worn).max() < 1e-5 * np.abs(worn).max()
    assert np.abs(worn - Baby(cfg, flat=baby.flat[tree.size(baby.spec, train=True):].copy()).logits(ids)).max() > 0.1


def test_adapters_sit_where_they_are_asked_to():
    cfg = Config(n_vocab=11, n_emb=8, n_heads=2, n_layers=2, lora_rank=3, lora_targets="*.wq blocks.1.att.wv, *.down")
    baby = lora.with_adapters(Baby(cfg))
    shapes = {name: w.shape for name, w in lora.adapters(baby).items()}
    both = {f"blocks.{i}.{name}": s for i in (0, 1) for name, s in {
        "att.wq_lora_a": (8, 3), "att.wq_lora_b": (3, 8), "net.down_lora_a": (32, 3), "net.down_lora_b": (3, 8)}.items()}
    assert shapes == both | {"blocks.1.att.wv_lora_a": (8, 3), "blocks.1.att.wv_lora_b": (3, 8)}
    assert cfg.lora_alpha == 6 and tree.size(baby.spec, train=True) == sum(a * b for a, b in shapes.values())
    assert all(kind == "lora" for kind in (leaf.kind for _, leaf in tree.leaves(baby.spec) if leaf.train))
    with pytest.raises(BadInput, match=r"lora_targets contains '\*\.wx', which matches no matrix; allowed are blocks.0.att.wq, "):
        lora.with_adapters(Baby(cfg.replace(lora_targets="*.wq,*.wx")))


def test_adapters_on_another_device():
    cfg = laws.config(c_network="ggl", lora_rank=2, lora_targets="*", c_bias="all")
    baby, rng = adapted(cfg)
    ids, targets = rng.integers(0, 11, (2, 2, 6))
    n = tree.size(baby.spec, train=True)
    grad = np.zeros(n)
    want = gpt.loss_and_grad(baby.p, tree.views(baby.spec, grad), ids, targets, Context(cfg))
    try:
        backend.use(strict)
        flat, there = strict.asarray(baby.flat), strict.asarray(np.zeros(n))
        got = gpt.loss_and_grad(tree.views(baby.spec, flat), tree.views(baby.spec, there), strict.asarray(ids), strict.asarray(targets),
                                Context(cfg))
    finally:
        backend.use("cpu")
    assert abs(got - want) < 1e-12 and np.abs(there.a - grad).max() < 1e-12


def test_the_adapters_of_kodalite_are_counted():
    """Rank 16 on q, k, v, o of 24 layers: 5,111,808, nothing allocated"""
    cfg = Config(n_vocab=50257, n_ctx=1024, n_emb=2048, n_heads=32, n_kv_heads=8, n_layers=24, c_attention="gqa", c_network="swi",
                 s_hidden=5504, c_norm="rmsnorm", c_position="rope", c_bias="none")
    spec = gpt.params(cfg)
    worn = lora.adapt(spec, ["*.att.*"], 16, 32.0)
    assert tree.size(worn, train=True) == 5_111_808 and tree.size(worn, train=False) == tree.size(spec) == 1_269_209_088


TALE = dict(n_layers=1, n_emb=32, n_heads=2, n_ctx=32, batch_size=4, n_steps=30, n_completion=20, n_sample=0, progress=False)


def test_finetune_with_adapters(tmp_path):
    """Only targets move, by exactly what the file of adapters says; stopped and resumed is never stopped; the next finetune is free"""
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "tale.txt").write_text(nursery.corpus(20_000, 1)[0])
    base = lb.train("tale", path=tmp_path, **TALE)
    tuned = lb.finetune(base.guid, "tale", path=tmp_path, progress=False, n_steps=20, lora_rank=4, lr=1e-2)
    old, new = (lb.load(run.guid, tmp_path).weights() for run in (base, tuned))
    arrays, about = weights.load_safetensors(Workspace(tmp_path).path("adapters", tuned.guid))
    assert about == dict(base=base.guid, lora_rank=4, lora_alpha=8.0, lora_targets="*.att.*")
    for name, w in old.items():
        if f"{name}_lora_a" in arrays:
            moved = 2.0 * arrays[f"{name}_lora_a"] @ arrays[f"{name}_lora_b"]
            assert np.abs(new[name] - w - moved).max() < 1e-6 and np.abs(moved).max() > 1e-3
        else:
            assert np.array_equal(new[name], w), name
    assert len(arrays) == 8 and tuned.report.figures.parameters.trainable == sum(a.size for a in arrays.values())
    assert tuned.report.figures.parameters.frozen == sum(w.size for w in old.values())
    assert tuned.report.best_valid_loss < base.report.best_valid_loss and tuned.config.r_learn == 1e-2
    count = iter(range(100))
    half = lb.finetune(base.guid, "tale", path=tmp_path, progress=False, n_steps=20, lora_rank=4, lr=1e-2, stop=lambda: next(count) == 9)
    again = lb.train(resume=half.guid, path=tmp_path, progress=False)
    assert np.array_equal(lb.load(again.guid, tmp_path).flat, lb.load(tuned.guid, tmp_path).flat)
    free = lb.finetune(tuned.guid, "tale", path=tmp_path, progress=False, n_steps=2)
    assert free.config.lora_rank == 0 and free.config.r_learn == pytest.approx(2e-3)
    assert not Workspace(tmp_path).path("adapters", free.guid).exists()
    assert str(Workspace(tmp_path).path("adapters", tuned.guid)) in lb.delete(tuned.guid, path=tmp_path, yes=True)


def test_adapters_refuse_what_they_cannot_do(tmp_path):
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "tale.txt").write_text(nursery.corpus(20_000, 1)[0])
    (tmp_path / "inputs" / "greek.txt").write_text("ὦ τέκνα, Κάδμου τοῦ πάλαι νέα τροφή. " * 200)
    with pytest.raises(BadInput, match="allowed is 0 in train, because adapters are added to a trained model by finetune"):
        lb.train("tale", path=tmp_path, lora_rank=4, **TALE)
    base = lb.train("tale", path=tmp_path, **{**TALE, "n_steps": 2})
    with pytest.raises(BadInput, match="not in this model's vocabulary.*without lora_rank"):
        lb.finetune(base.guid, "greek", path=tmp_path, progress=False, lora_rank=4)
    assert len(lb.list(tmp_path)) == 1


@pytest.mark.parametrize("old, new", [
    ("du *= w.scale\n", "pass\n"), ("dx += du @ w.a.T", "pass"), ("rows(x).T @ du, db", "rows(x).T @ u, db"),
    ("du[:, a_columns] = dy[:, w_columns] @ w.b[:, b_columns].T", "du[:, a_columns] = dy[:, b_columns] @ w.b[:, b_columns].T"),
    ("u *= w.scale", "u *= 1")])
def test_a_broken_adapter_is_caught(old, new):
    """By differences, or by the matrix it stands for"""
    r = np.random.default_rng(0).standard_normal
    x, a, b = r((4, 5)), r((5, 4)), r((2, 5))
    w = tree.Lora(r((5, 8)), a, b, 0.7, ((0, 2), (5, 8)))

    def verdict(module):
        y, back = module.adapted(x, w)
        dy = r(y.shape)
        f = lambda: (module.adapted(x, w)[0] * dy).sum()
        dx, (da, db), _ = back(dy)
        errors = [laws.relative(d, laws.differences(f, z), 0) for d, z in ((dx, x), (da, a), (db, b))]
        return max(*errors, np.abs(y - x @ ops.full_matrix(w)[0]).max())

    assert verdict(ops) < 1e-8 and verdict(broken(ops, old, new)) > 1e-4


# presets


@pytest.mark.parametrize("name, n_vocab, parameters", [
    ("gpt2", 50257, 124_439_808), ("smollm2-135m", 49152, 134_515_008), ("kodalite-1.3b", 50257, 1_269_209_088),
    ("little-baby", 99, 833_635), ("nanogpt", 65, 10_750_080), ("babykilat", 50257, 140_850_208), ("babykilat-card", 50257, 106_243_104),
    ("nano-kimi-k2", 49152, 243_263_104), ("nanokimi", 50257, 167_755_776)])
def test_a_preset_counts_exactly(name, n_vocab, parameters):
    """Nothing of the model's size is allocated. nanoGPT's own count, 10,745,088, is without the thirteen norms' shifts"""
    cfg = Config(**preset(name))
    spec = gpt.params(cfg.replace(n_vocab=n_vocab))
    shifts = sum(leaf.shape[0] for path, leaf in tree.leaves(spec) if "norm" in path and path.endswith(".b"))
    assert tree.size(spec) == parameters and cfg.n_vocab in (0, n_vocab)
    assert name != "nanogpt" or parameters - shifts == 10_745_088


@pytest.mark.slow
def test_babykilat_writes_at_its_full_size():
    """In a process of its own, within a twelfth of 24 GB"""
    code = ("import numpy as np, littlebaby as lb\nfrom littlebaby.arrays.backend import peak_memory\n"
            "from littlebaby.runs.records import preset\n"
            "baby = lb.Baby(lb.Config(**preset('babykilat')))\nids = baby.generate(np.arange(16), 64)\n"
            "print(baby.flat.size, baby.flat.dtype, len(ids), len(set(ids.tolist())), max(ids), peak_memory())")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    size, kind, count, different, largest, peak = said
    assert (int(size), kind, int(count)) == (140_850_208, "float32", 64) and int(different) > 32 and int(largest) < 50257
    assert 4 * int(size) < int(peak) < 2e9


SHAPE = ("c_attention", "c_network", "c_norm", "c_position", "c_bias", "c_activation", "b_tied", "c_sequence", "rope_layout", "c_schedule")


@pytest.mark.parametrize("tiny, large", [
    ("tiny-nanogpt", "nanogpt"), ("tiny-gpt2", "gpt2"), ("tiny-smollm2", "smollm2-135m"), ("tiny-kodalite", "kodalite-1.3b"),
    ("tiny-babykilat", "babykilat"), ("tiny-nano-kimi-k2", "nano-kimi-k2"),
    ("tiny-nanokimi", "nanokimi")])
def test_a_tiny_preset_is_its_large_one_made_small(tiny, large, tmp_path):
    """The same parts and the same ratio of query to key heads; five steps of it learn"""
    small, whole = Config(**preset(tiny)), Config(**preset(large))
    assert [getattr(small, key) for key in SHAPE] == [getattr(whole, key) for key in SHAPE]
    assert whole.c_attention != "gqa" or small.n_heads / small.n_kv_heads == whole.n_heads / whole.n_kv_heads
    assert tree.size(gpt.params(small.replace(n_vocab=512))) < 800_000
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "tale.txt").write_text(nursery.corpus(20_000, 1)[0])
    run = lb.train("tale", preset=tiny, path=tmp_path, n_steps=5, s_eval=1, n_eval_windows=4, n_sample=0, n_completion=0, progress=False)
    losses = [row.valid_loss for row in run.report.evaluations]
    assert losses[-1] < losses[0] - 0.1 and run.report.stop_reason == "finished"
