"""Whole models of other implementations, through the front door: logits and every gradient against their own numbers."""
import json

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.arrays import tree
from littlebaby.model import gpt
from littlebaby.model.context import Context, variant
from littlebaby.runs import formats

# (the case's folder, its logits and loss, its gradients, whether the layers' own loss is in them)
PLAIN = ("gpt2_a", "llama_a", "mixtral_a", "deepseek_v3_a", "nanokimi_a", "nanokimi_k2_a", "koda_a", "thelittlebaby_a")
CASES = [(case, "", "grad/", False) for case in PLAIN]
CASES += [("kilat_a", "_exact_z", "grad_exact_z/", False), ("nanokimi_k2_a", "", "grad_total/", True)]


def under_our_names(folder, theirs):
    """{our name: array} of {their name: array}: the tables are linear, so gradients take them too"""
    config = json.loads((folder / "config.json").read_text())
    kind = next(each for each in formats.FORMATS if each.recognizes(config))
    return dict(kind.read_weights(config, theirs, folder)[1])


def training(baby, ids, targets, balanced):
    """The loss and all gradients of a training step without dropout, the layers' own losses in them where `balanced`"""
    cfg = baby.config if balanced else baby.config.replace(r_aux=0.0)
    grad = np.zeros(tree.size(baby.spec, train=True), baby.flat.dtype)
    loss = gpt.loss_and_grad(baby.p, tree.views(baby.spec, grad), ids, targets, Context(cfg, np.random.default_rng(0)))
    return loss, tree.named(baby.spec, grad)


@pytest.mark.parametrize("case, suffix, prefix, balanced", CASES, ids=[f"{c[0]}-{c[2][:-1]}" for c in CASES])
@pytest.mark.parametrize("dtype, near, steep", [("fp64", 1e-10, 1e-9), ("fp32", 5e-5, 5e-5)])
def test_logits_and_gradients(case, suffix, prefix, balanced, dtype, near, steep, reference):
    folder = reference(case)
    ref, baby = np.load(folder / "reference.npz"), lb.load(folder, d_type=dtype)
    logits = baby.logits(ref["ids"])
    assert logits.dtype == baby.flat.dtype == dict(fp64="f8", fp32="f4")[dtype]
    assert np.abs(logits - ref["logits" + suffix]).max() < near
    loss, grads = training(baby, ref["ids"], ref["targets"], balanced)
    assert abs(loss - ref["loss" + suffix]) < near               # the cross-entropy alone, whatever the layers add
    wanted = under_our_names(folder, {key[len(prefix):]: ref[key] for key in ref.files if key.startswith(prefix)})
    assert grads.keys() == wanted.keys()
    for name, got in grads.items():
        largest = 1 if dtype == "fp64" else max(np.abs(wanted[name]).max(), 1e-3)
        assert np.abs(got - wanted[name]).max() < steep * largest, name


def test_koda_after_its_own_conversion(reference, tmp_path):
    """The same weights as a llama: the other layout of rope, the base of rope on its older place"""
    folder = reference("koda_a")
    for name, theirs in (("config.json", "hf_config.json"), ("model.safetensors", "hf_weights.safetensors")):
        (tmp_path / name).symlink_to(folder / theirs)
    ref, baby = np.load(folder / "reference.npz"), lb.load(tmp_path, d_type="fp64")
    assert baby.config.rope_layout == "half" and np.abs(baby.logits(ref["ids"]) - ref["logits"]).max() < 1e-10


def test_the_little_baby_from_its_own_json(reference):
    """model_GUID.json with its config and its tokenizer beside it"""
    path = next(reference("thelittlebaby_a").glob("model_*.json"))
    ref, baby = np.load(path.parent / "reference.npz"), lb.load(path, d_type="fp64")
    assert np.abs(baby.logits(ref["ids"]) - ref["logits"]).max() < 1e-10
    for length in (1, 5, 16):
        assert np.abs(baby.logits(ref[f"ctx{length}/ids"]) - ref[f"ctx{length}/logits"]).max() < 1e-10
    assert baby.tokenizer.kind == "char" and baby.decode(baby.encode("A cat")) == "A cat"


def test_kilat_writes_what_it_wrote(reference):
    ref, baby = np.load(reference("kilat_a") / "reference.npz"), lb.load(reference("kilat_a"), d_type="fp64")
    assert (baby.generate(ref["greedy_prompt"].reshape(-1), 12, temperature=0) == ref["greedy_new_ids"].reshape(-1)[-12:]).all()


def test_mixtral_with_its_auxiliary_loss(reference, monkeypatch):
    """Theirs is one loss over all layers' tokens, E sum_i f_i P_i with f and P the means of the layers': ours with their f in each layer"""
    folder = reference("mixtral_a")
    ref, baby = np.load(folder / "reference.npz"), lb.load(folder, d_type="fp64")
    L = baby.config.n_layers
    chosen = [ref[f"router/{i}/indices"] for i in range(L)]
    f = np.bincount(np.concatenate(chosen).reshape(-1), minlength=6) / len(np.concatenate(chosen))
    monkeypatch.setattr(variant("networks", "moe"), "expert_fractions", lambda *_: f / L)
    grad, ctx = np.zeros_like(baby.flat), Context(baby.config, np.random.default_rng(0))
    loss = gpt.loss_and_grad(baby.p, tree.views(baby.spec, grad), ref["ids"], ref["targets"], ctx)
    said = {key: value for key, (_, value) in ctx.stats.items()}
    aux = sum(said[i, "aux.balance"] for i in range(L))
    assert abs(loss - ref["loss"]) < 1e-12 and abs(aux - 0.02 * ref["aux"]) < 1e-12 and abs(loss + aux - ref["loss_total"]) < 1e-12
    assert all((said[i, "load"] == np.bincount(chosen[i].reshape(-1), minlength=6)).all() for i in range(L))
    wanted = under_our_names(folder, {key[len("grad_total/"):]: ref[key] for key in ref.files if key.startswith("grad_total/")})
    for name, got in tree.named(baby.spec, grad).items():
        assert np.abs(got - wanted[name]).max() < 1e-9, name
    alone = ref["grad/model.layers.0.block_sparse_moe.gate.weight"].T
    assert np.abs(tree.named(baby.spec, grad)["blocks.0.net.router"] - alone).max() > 1e-4
