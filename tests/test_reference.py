"""Whole models against the numbers of other implementations: logits and every gradient, in float64."""
import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from littlebaby.arrays import tree
from littlebaby.learning.baby import Baby
from littlebaby.model import gpt
from littlebaby.model.context import Context, variant
from littlebaby.runs.records import Config


def gpt2(n_layers):
    """our name -> (their name, transposed): GPT-2 stores (in, out)"""
    names = {"token": "wte.weight", "position.table": "wpe.weight", "norm.w": "ln_f.weight", "norm.b": "ln_f.bias"}
    inside = {"norm1.w": "ln_1.weight", "norm1.b": "ln_1.bias", "norm2.w": "ln_2.weight", "norm2.b": "ln_2.bias",
              "att.wqkv": "attn.c_attn.weight", "att.bqkv": "attn.c_attn.bias", "att.wo": "attn.c_proj.weight",
              "att.bo": "attn.c_proj.bias", "net.up": "mlp.c_fc.weight", "net.b1": "mlp.c_fc.bias",
              "net.down": "mlp.c_proj.weight", "net.b2": "mlp.c_proj.bias"}
    names |= {f"blocks.{i}.{ours}": f"h.{i}.{theirs}" for i in range(n_layers) for ours, theirs in inside.items()}
    return {ours: (f"transformer.{theirs}", False) for ours, theirs in names.items()}


def llama(n_layers):
    """our name -> (their name, transposed): Llama stores (out, in)"""
    names = {"token": ("model.embed_tokens.weight", False), "norm.w": ("model.norm.weight", False), "head.w": ("lm_head.weight", True)}
    inside = {"norm1.w": "input_layernorm", "norm2.w": "post_attention_layernorm", "att.wq": "self_attn.q_proj",
              "att.wk": "self_attn.k_proj", "att.wv": "self_attn.v_proj", "att.wo": "self_attn.o_proj",
              "net.gate": "mlp.gate_proj", "net.up": "mlp.up_proj", "net.down": "mlp.down_proj"}
    return names | {f"blocks.{i}.{ours}": (f"model.layers.{i}.{theirs}.weight", "norm" not in theirs)
                    for i in range(n_layers) for ours, theirs in inside.items()}


def nanokimi(n_layers):
    """our name -> (their name, transposed): nanoKimi stores (out, in), and gate above up in one matrix"""
    names = {"token": ("embed.tok_emb.weight", False), "position.table": ("embed.pos_emb.weight", False),
             "norm.w": ("ln_f.weight", False), "norm.b": ("ln_f.bias", False), "head.w": ("lm_head.weight", True)}
    inside = {"norm1.w": "ln1.weight", "norm1.b": "ln1.bias", "norm2.w": "ln2.weight", "norm2.b": "ln2.bias",
              "att.wq": "attn.to_q.weight", "att.wk": "attn.to_k.weight", "att.wv": "attn.to_v.weight", "att.wo": "attn.to_out.weight",
              "net.wide": "ffn.w1.weight", "net.bwide": "ffn.w1.bias", "net.down": "ffn.w2.weight", "net.bdown": "ffn.w2.bias"}
    return names | {f"blocks.{i}.{ours}": (f"blocks.{i}.{theirs}", theirs.endswith("weight") and "norm" not in ours)
                    for i in range(n_layers) for ours, theirs in inside.items()}


def mixtral(n_layers, n_experts=6):
    names = {ours: theirs for ours, theirs in llama(n_layers).items() if ".net." not in ours}
    for i in range(n_layers):
        moe = f"model.layers.{i}.block_sparse_moe"
        names[f"blocks.{i}.net.router"] = f"{moe}.gate.weight", True
        names |= {f"blocks.{i}.net.experts.{e}.{ours}": (f"{moe}.experts.{e}.{theirs}.weight", True)
                  for e in range(n_experts) for ours, theirs in dict(gate="w1", up="w3", down="w2").items()}
    return names


FUSED = {".wqkv": ("wq", "wk", "wv"), ".bqkv": ("bq", "bk", "bv"), ".wide": ("gate", "up"), ".bwide": ("bgate", "bup")}


def pieces(name):
    """The names of a fused leaf's parts: views side by side, in this order"""
    stem, dot, leaf = name.rpartition(".")
    return [f"{stem}.{part}" for part in FUSED.get(dot + leaf, ())] or [name]


def parts(arrays):
    """The fused leaves too, as GPT-2 stores wq wk wv in its c_attn"""
    fused = {name.rpartition(".")[0] + leaf for name in arrays for leaf, names in FUSED.items() if name.endswith("." + names[0])}
    return arrays | {name: np.concatenate([arrays[piece] for piece in pieces(name)], -1) for name in fused}


def llama_settings(c):
    return dict(n_ctx=c["max_position_embeddings"], n_emb=c["hidden_size"], n_heads=c["num_attention_heads"],
                n_kv_heads=c["num_key_value_heads"], n_layers=c["num_hidden_layers"], c_bias="none", c_attention="gqa",
                s_hidden=c["intermediate_size"], c_norm="rmsnorm", norm_eps=c["rms_norm_eps"], c_position="rope", rope_layout="half",
                rope_base=c["rope_parameters"]["rope_theta"])


CASES = {
    "gpt2_a": (gpt2, lambda c: dict(n_ctx=c["n_positions"], n_emb=c["n_embd"], n_heads=c["n_head"], n_layers=c["n_layer"],
                                    c_bias="all", b_tied=True, norm_eps=c["layer_norm_epsilon"])),
    "llama_a": (llama, lambda c: dict(llama_settings(c), c_network="swi")),
    "mixtral_a": (mixtral, lambda c: dict(llama_settings(c), c_network="moe", c_expert="swi", n_experts=c["num_local_experts"],
                                          n_active=c["num_experts_per_tok"], r_aux=c["router_aux_loss_coef"], c_aux="share",
                                          c_balance="batch")),
    "nanokimi_a": (nanokimi, lambda c: dict(n_ctx=c["block_size"], n_emb=c["d_model"], head_size=c["latent_dim"], n_heads=1,
                                            n_layers=c["n_layers"], c_network="swi", r_hidden=c["ff_mult"], c_bias="none",
                                            b_bias_network=True)),
}


def load(folder, dtype):
    names, settings = CASES[folder.name]
    config = json.loads((folder / "config.json").read_text())
    theirs = load_file(folder / "weights.safetensors")
    baby = Baby(Config(d_type=dtype, **settings(config)), vocab_size=config["vocab_size"])
    names = names(baby.config.n_layers)
    mine = baby.weights()
    for ours, (name, transposed) in names.items():
        value = theirs[name].T if transposed else theirs[name]
        for piece, part in zip(pieces(ours), np.split(value, len(pieces(ours)), -1)):
            mine[piece][...] = part
    return baby, names


@pytest.mark.parametrize("case", CASES)
def test_logits_and_gradients(case, reference):
    folder = reference(case)
    baby, names = load(folder, "fp64")
    ref = np.load(folder / "reference.npz")
    assert np.abs(baby.logits(ref["ids"]) - ref["logits"]).max() < 1e-10
    loss, grads = baby.loss_and_grads(ref["ids"], ref["targets"])
    assert abs(loss - ref["loss"]) < 1e-12
    grads = parts(grads)
    for ours, (name, transposed) in names.items():
        want = ref[f"grad/{name}"]
        assert np.abs((grads[ours].T if transposed else grads[ours]) - want).max() < 1e-9, ours
    assert {f"grad/{name}" for name, _ in names.values()} == {k for k in ref.files if k.startswith("grad/")}


@pytest.mark.parametrize("case", CASES)
def test_float32(case, reference):
    folder = reference(case)
    baby, names = load(folder, "fp32")
    ref = np.load(folder / "reference.npz")
    logits = baby.logits(ref["ids"])
    assert logits.dtype == np.float32 and np.abs(logits - ref["logits_float32"]).max() < 5e-5
    grads = parts(baby.loss_and_grads(ref["ids"], ref["targets"])[1])
    for ours, (name, transposed) in names.items():
        want = ref[f"grad/{name}"]
        assert np.abs((grads[ours].T if transposed else grads[ours]) - want).max() < 5e-5 * max(np.abs(want).max(), 1e-3), ours


def test_mixtral_with_its_auxiliary_loss(reference, monkeypatch):
    """Theirs is one loss over all layers' tokens, E sum_i f_i P_i with f and P the means of the layers': ours with their f in each layer"""
    folder = reference("mixtral_a")
    baby, names = load(folder, "fp64")
    ref, L = np.load(folder / "reference.npz"), baby.config.n_layers
    chosen = [ref[f"router/{i}/indices"] for i in range(L)]
    f = np.bincount(np.concatenate(chosen).reshape(-1), minlength=6) / len(np.concatenate(chosen))
    monkeypatch.setattr(variant("networks", "moe"), "choices", lambda *_: f / L)
    grad, ctx = np.zeros_like(baby.flat), Context(baby.config, np.random.default_rng(0))
    loss = gpt.loss_and_grad(baby.p, tree.views(baby.spec, grad), ref["ids"], ref["targets"], ctx)
    said = {key: value for key, (_, value) in ctx.book.items()}
    aux = sum(said[i, "aux.balance"] for i in range(L))
    assert abs(loss - ref["loss"]) < 1e-12 and abs(aux - 0.02 * ref["aux"]) < 1e-12 and abs(loss + aux - ref["loss_total"]) < 1e-12
    assert all((said[i, "load"] == np.bincount(chosen[i].reshape(-1), minlength=6)).all() for i in range(L))
    grads = tree.named(baby.spec, grad)
    for ours, (name, transposed) in names.items():
        want = ref[f"grad_total/{name}"]
        assert np.abs((grads[ours].T if transposed else grads[ours]) - want).max() < 1e-9, ours
    assert np.abs(grads["blocks.0.net.router"].T - ref["grad/model.layers.0.block_sparse_moe.gate.weight"]).max() > 1e-4
