"""Systems with experts and latents against their own numbers: logits, every gradient, with and without the loss for equal loads."""
import json
from math import ceil

import numpy as np
import pytest
from safetensors.numpy import load_file

from littlebaby.arrays import tree
from littlebaby.learning.baby import Baby
from littlebaby.model import gpt
from littlebaby.model.context import Context
from littlebaby.runs.records import Config, preset

# each system: its config in our settings, and its tensors under our names; the map is linear, so gradients take it too


def kilat(c):
    hidden = 64 * ceil(c["n_embd"] * c["ff_mult"] / 64)
    return dict(preset("babykilat"), n_ctx=64, n_vocab=c["vocab_size"], n_emb=c["n_embd"], n_heads=c["n_head"], n_layers=c["n_layer"],
                mla_rank=c["latent_dim"], mla_q_rank=c["latent_dim"], n_experts=c["num_experts"], n_active=c["active_experts"],
                s_expert=hidden, r_aux=c["aux_loss_coef"])


def of_kilat(w, cfg):
    out = {"token": w["wte.weight"], "norm.w": w["ln_f.weight"]}
    for i in range(cfg.n_layers):
        theirs, att, net = f"layers.{i}.attn.", f"blocks.{i}.att.", f"blocks.{i}.net."
        out |= {f"blocks.{i}.norm{n}.w": w[f"layers.{i}.rms{n}.weight"] for n in (1, 2)}
        out |= {att + "decay.l": w[theirs + "log_lambda"], att + "decay.wv": w[theirs + "v_proj_global.weight"].T,
                att + "wo": w[theirs + "c_proj.weight"].T, att + "mla.wuq": w[theirs + "q_b_proj.weight"].T}
        for ours, name in (("wdq", "q_a"), ("wdk", "kv_a")):
            out[att + "mla." + ours] = w[f"{theirs}{name}_proj.weight"].T
            out |= {f"{att}mla.norm_{ours}.{k}": w[f"{theirs}{name}_norm.{name2}"] for k, name2 in (("w", "weight"), ("b", "bias"))}
        out[att + "mla.wuk"], out[att + "mla.wuv"] = np.split(w[theirs + "kv_b_proj.weight"].T, 2, 1)
        for ours, name in ((1, 0), (2, 2)):
            out[f"{att}w{ours}"], out[f"{att}b{ours}"] = w[f"{theirs}gamma_net.{name}.weight"].T, w[f"{theirs}gamma_net.{name}.bias"]
        theirs = f"layers.{i}.mlp.layer."
        out[net + "router"] = w[theirs + "router.weight"].T
        for part in ("gate", "up", "down"):
            out |= {f"{net}experts.{e}.{part}": w[f"{theirs}routed_experts.{e}.{part}.weight"].T for e in range(cfg.n_experts)}
            shared = [w[f"{theirs}shared_experts.{e}.{part}.weight"].T for e in range(2)]
            out[f"{net}shared.{part}"] = np.concatenate(shared, 0 if part == "down" else 1)
    return out


def nano_kimi_k2(c):
    return dict(preset("nano-kimi-k2"), n_ctx=c["max_seq_length"], n_vocab=c["vocab_size"], n_emb=c["dim"], n_heads=c["n_heads"],
                n_layers=c["n_layers"], mla_rank=c["kv_lora_rank"], mla_nope=c["qk_nope_head_dim"], mla_rope=c["qk_rope_head_dim"],
                mla_v=c["v_head_dim"], n_experts=c["n_routed_experts"], n_active=c["n_activated_experts"], n_shared=c["n_shared_experts"],
                s_expert=c["moe_inter_dim"], s_hidden=c["inter_dim"], n_dense_layers=c["n_dense_layers"], r_aux=c["aux_loss_coeff"])


def of_nano_kimi_k2(w, cfg):
    out = {"token": w["embed.table.weight"], "head.w": w["head.weight"].T, "norm.w": w["norm.weight"]}
    for i in range(cfg.n_layers):
        theirs, att, net, ffn = f"layers.{i}.attn.", f"blocks.{i}.att.", f"blocks.{i}.net.", f"layers.{i}.ffn."
        out[f"blocks.{i}.norm1.w"], out[f"blocks.{i}.norm2.w"] = w[f"layers.{i}.attn_norm.weight"], w[f"layers.{i}.ffn_norm.weight"]
        out[att + "wdk"], out[att + "wkr"] = np.split(w[theirs + "wk_compress.weight"].T, [cfg.mla_rank], 1)
        out |= {att + ours: w[f"{theirs}{name}.weight"].T for ours, name in
                dict(wq="wq", wdv="wv_compress", wuk="wk_up", wuv="wv_up", wo="c_v_linear").items()}
        out[att + "bo"] = w[theirs + "c_v_linear.bias"]
        for part, name in dict(gate="w1", up="w3", down="w2").items():
            if i < cfg.n_dense_layers:
                out[net + part] = w[f"{ffn}{name}.weight"].T
            else:
                out[f"{net}shared.{part}"] = w[f"{ffn}shared_experts.{name}.weight"].T
                out |= {f"{net}experts.{e}.{part}": w[f"{ffn}experts.{e}.{name}.weight"].T for e in range(cfg.n_experts)}
        if i >= cfg.n_dense_layers:
            out[net + "router"] = w[ffn + "gate.weight"].T
    return out


def deepseek(c):
    return dict(c_attention="mla", c_network="moe", c_norm="rmsnorm", norm_eps=c["rms_norm_eps"], c_position="rope",
                rope_layout="interleaved", rope_base=c["rope_parameters"]["rope_theta"], c_bias="none",
                n_ctx=c["max_position_embeddings"], n_vocab=c["vocab_size"], n_emb=c["hidden_size"], n_heads=c["num_attention_heads"],
                n_layers=c["num_hidden_layers"], mla_rank=c["kv_lora_rank"], mla_q_rank=c["q_lora_rank"],
                mla_nope=c["qk_nope_head_dim"], mla_rope=c["qk_rope_head_dim"], mla_v=c["v_head_dim"], c_expert="swi",
                n_experts=c["n_routed_experts"], n_active=c["num_experts_per_tok"], n_shared=c["n_shared_experts"],
                s_expert=c["moe_intermediate_size"], s_hidden=c["intermediate_size"], n_dense_layers=c["first_k_dense_replace"],
                c_router="sigmoid", r_route_scale=c["routed_scaling_factor"], r_aux=0, r_bias_update=1e-3)


def of_deepseek(w, cfg):
    h, n, v = cfg.n_heads, cfg.mla_nope, cfg.mla_v
    out = {"token": w["model.embed_tokens.weight"], "head.w": w["lm_head.weight"].T, "norm.w": w["model.norm.weight"]}
    for i in range(cfg.n_layers):
        theirs, att, net = f"model.layers.{i}.", f"blocks.{i}.att.", f"blocks.{i}.net."
        out[f"blocks.{i}.norm1.w"] = w[theirs + "input_layernorm.weight"]
        out[f"blocks.{i}.norm2.w"] = w[theirs + "post_attention_layernorm.weight"]
        mlp, theirs = theirs + "mlp.", theirs + "self_attn."
        out[att + "wdk"], out[att + "wkr"] = np.split(w[theirs + "kv_a_proj_with_mqa.weight"].T, [cfg.mla_rank], 1)
        out |= {att + ours: w[f"{theirs}{name}.weight"].T for ours, name in dict(wdq="q_a_proj", wuq="q_b_proj", wo="o_proj").items()}
        out |= {att + "norm_wdk.w": w[theirs + "kv_a_layernorm.weight"], att + "norm_wdq.w": w[theirs + "q_a_layernorm.weight"]}
        unfold = w[theirs + "kv_b_proj.weight"].T.reshape(-1, h, n + v)                      # a head's keys beside its values
        out[att + "wuk"], out[att + "wuv"] = (part.reshape(len(part), -1) for part in np.split(unfold, [n], 2))
        for part in ("gate", "up", "down"):
            if i < cfg.n_dense_layers:
                out[net + part] = w[f"{mlp}{part}_proj.weight"].T
            else:
                out[f"{net}shared.{part}"] = w[f"{mlp}shared_experts.{part}_proj.weight"].T
                out |= {f"{net}experts.{e}.{part}": w[f"{mlp}experts.{e}.{part}_proj.weight"].T for e in range(cfg.n_experts)}
        if i >= cfg.n_dense_layers:
            out[net + "router"] = w[mlp + "gate.weight"].T
            if mlp + "gate.e_score_correction_bias" in w:        # a buffer: it has no gradient
                out[net + "bias"] = w[mlp + "gate.e_score_correction_bias"]
    return out


# (case, settings, names, the case's logits, loss and gradients, whether its loss for equal loads is on)
CASES = [("kilat_a", kilat, of_kilat, "logits_exact_z", "loss_exact_z", "grad_exact_z/", False),
         ("nanokimi_k2_a", nano_kimi_k2, of_nano_kimi_k2, "logits", "loss", "grad/", False),
         ("nanokimi_k2_a", nano_kimi_k2, of_nano_kimi_k2, "logits", "loss", "grad_total/", True),
         ("deepseek_v3_a", deepseek, of_deepseek, "logits", "loss", "grad/", False)]


def load(folder, settings, names, dtype, **more):
    theirs = load_file(folder / "weights.safetensors")
    chosen = settings(json.loads((folder / "config.json").read_text()))
    baby = Baby(Config(**{key: value for key, value in chosen.items() if key != "c_optimizer"} | dict(d_type=dtype) | more))
    mine, given = baby.weights(), names(theirs, baby.config)
    assert set(mine) == set(given)
    for name, view in mine.items():
        view[...] = given[name]
    return baby


def training(baby, ids, targets):
    """The loss and all gradients of a training step, where the layers' own losses count; without dropout"""
    grad = np.zeros(tree.size(baby.spec, train=True), baby.flat.dtype)
    loss = gpt.loss_and_grad(baby.p, tree.views(baby.spec, grad), ids, targets, Context(baby.config, np.random.default_rng(0)))
    return loss, tree.named(baby.spec, grad)


@pytest.mark.parametrize("case, settings, names, logits, loss, grad, balanced", CASES, ids=[f"{c[0]}-{c[5][:-1]}" for c in CASES])
@pytest.mark.parametrize("dtype, near, steep", [("fp64", 1e-10, 1e-9), ("fp32", 5e-5, 5e-5)])
def test_logits_and_gradients(case, settings, names, logits, loss, grad, balanced, dtype, near, steep, reference):
    folder = reference(case)
    baby = load(folder, settings, names, dtype, **({} if balanced else dict(r_aux=0)))
    ref = np.load(folder / "reference.npz")
    assert np.abs(baby.logits(ref["ids"]) - ref[logits]).max() < near
    value, grads = training(baby, ref["ids"], ref["targets"])
    assert abs(value - ref[loss]) < near                         # the cross-entropy alone, whatever the layers add
    given = {key[len(grad):]: ref[key] for key in ref.files if key.startswith(grad)}
    wanted = names(given, baby.config)
    assert set(grads) == set(wanted)
    for name, got in grads.items():
        largest = 1 if dtype == "fp64" else max(np.abs(wanted[name]).max(), 1e-3)
        assert np.abs(got - wanted[name]).max() < steep * largest, name
