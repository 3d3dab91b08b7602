"""Kilat (BabyKilat): config.json and safetensors with PyTorch names. Fading heads come first, recalling heads after; the head is tied.

The number of experts is counted in the names of the weights, because Kilat ignores num_shared_experts of its config.
"""
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..settings import Config
from .config_reader import ConfigReader, aux_loss_setting, rows_of
from .tensors import Arrays
from .weight_table import count, import_weights, parse_weight_table

KILAT = """
token                               wte.weight
blocks.{i}.norm1.w                  layers.{i}.rms1.weight
blocks.{i}.att.decay.l              layers.{i}.attn.log_lambda
blocks.{i}.att.decay.wv             layers.{i}.attn.v_proj_global.weight                  transposed
blocks.{i}.att.mla.wdq              layers.{i}.attn.q_a_proj.weight                       transposed
blocks.{i}.att.mla.norm_wdq.w       layers.{i}.attn.q_a_norm.weight
blocks.{i}.att.mla.norm_wdq.b       layers.{i}.attn.q_a_norm.bias
blocks.{i}.att.mla.wdk              layers.{i}.attn.kv_a_proj.weight                      transposed
blocks.{i}.att.mla.norm_wdk.w       layers.{i}.attn.kv_a_norm.weight
blocks.{i}.att.mla.norm_wdk.b       layers.{i}.attn.kv_a_norm.bias
blocks.{i}.att.mla.wuk+wuv          layers.{i}.attn.kv_b_proj.weight                      transposed,fused
blocks.{i}.att.w1                   layers.{i}.attn.gamma_net.0.weight                    transposed
blocks.{i}.att.b1                   layers.{i}.attn.gamma_net.0.bias
blocks.{i}.att.w2                   layers.{i}.attn.gamma_net.2.weight                    transposed
blocks.{i}.att.b2                   layers.{i}.attn.gamma_net.2.bias
blocks.{i}.att.wo                   layers.{i}.attn.c_proj.weight                         transposed
blocks.{i}.norm2.w                  layers.{i}.rms2.weight
blocks.{i}.net.gate                 layers.{i}.mlp.layer.gate.weight                      transposed
blocks.{i}.net.up                   layers.{i}.mlp.layer.up.weight                        transposed
blocks.{i}.net.down                 layers.{i}.mlp.layer.down.weight                      transposed
blocks.{i}.net.router               layers.{i}.mlp.layer.router.weight                    transposed
blocks.{i}.net.experts.{e}.gate     layers.{i}.mlp.layer.routed_experts.{e}.gate.weight   transposed
blocks.{i}.net.experts.{e}.up       layers.{i}.mlp.layer.routed_experts.{e}.up.weight     transposed
blocks.{i}.net.experts.{e}.down     layers.{i}.mlp.layer.routed_experts.{e}.down.weight   transposed
blocks.{i}.net.shared.gate          layers.{i}.mlp.layer.shared_experts.{*}.gate.weight   transposed,columns_joined
blocks.{i}.net.shared.up            layers.{i}.mlp.layer.shared_experts.{*}.up.weight     transposed,columns_joined
blocks.{i}.net.shared.down          layers.{i}.mlp.layer.shared_experts.{*}.down.weight   transposed,rows_joined
norm.w                              ln_f.weight
"""
PLAIN = parse_weight_table(KILAT + """
blocks.{i}.att.mla.wuq              layers.{i}.attn.q_b_proj.weight                       transposed
""")
ROTARY = parse_weight_table(KILAT + """
blocks.{i}.att.mla.wuq              layers.{i}.attn.q_b_proj.weight,layers.{i}.attn.q_rope_proj.weight     transposed,joined_by_head
blocks.{i}.att.mla.wkr              layers.{i}.attn.k_rope_proj.weight                    transposed
""")
UNUSED = r".*\.attn\.((q|kv)_[ab]_(proj|norm)|[qk]_rope_proj)\..*"
N_CTX = 2048                             # Kilat has no limit of its own


def recognizes(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of this format"""
    return str(config.get("model_type", "")).startswith("kilat") or "recall_ratio" in config and "n_embd" in config


def read_weights(config: dict[str, Any], foreign: Arrays, where: Path | str) -> tuple[Config, Iterator[tuple[str, np.ndarray]]]:
    """(config, pairs of our name and array). BadInput where the model cannot be read"""
    foreign = {name: a for name, a in foreign.items() if name != "lm_head.weight"}
    rotary = "layers.0.attn.q_rope_proj.weight" in foreign
    c = ConfigReader(config, where)
    no_recall = not int(c.integer("n_head") * c.number("recall_ratio", 0.5))    # without recalling heads the latents are not used
    return import_weights(ROTARY if rotary else PLAIN, settings(c, foreign, rotary), foreign, where, UNUSED if no_recall else None)


def settings(c: ConfigReader, foreign: Arrays, rotary: bool) -> dict[str, Any]:
    """Our settings. rotary: whether the recalling heads use rope"""
    width, heads, layers = c.integer("n_embd"), c.integer("n_head"), count(foreign, "layers.#.")
    head, ratio, latent = width // max(heads, 1), c.number("recall_ratio", 0.5), "layers.0.attn.kv_a_proj.weight"
    found = dict(n_ctx=c.integer("max_position_embeddings", N_CTX), n_vocab=rows_of(foreign, "wte.weight", c), n_emb=width, n_heads=heads,
                 n_layers=layers, c_attention="hybrid", r_recall=ratio, c_norm="rmsnorm", norm_eps=1e-6, c_position="none", c_bias="none",
                 b_tied=True, mla_norm="layernorm", mla_nope=head, mla_v=head)
    if int(heads * ratio):
        found |= dict(mla_rank=rows_of(foreign, latent, c), mla_q_rank=rows_of(foreign, "layers.0.attn.q_a_proj.weight", c))
    if rotary:
        found |= dict(c_position="rope", rope_layout="half", rope_base=float(c.number("rope_base", 10000.0)),
                      mla_rope=rows_of(foreign, "layers.0.attn.k_rope_proj.weight", c))
    expert = "layers.0.mlp.layer.routed_experts.#.gate.weight"
    if not (experts := count(foreign, expert)):
        return found | dict(c_network="swi", s_hidden=rows_of(foreign, "layers.0.mlp.layer.gate.weight", c))
    active = c.integer("active_experts", 2)
    return found | dict(c_network="moe", c_expert="swi", n_experts=experts, n_active=active,
                        n_shared=count(foreign, "layers.0.mlp.layer.shared_experts.#.gate.weight"),
                        s_expert=rows_of(foreign, expert.replace("#", "0"), c), c_router="softmax_topk",
                        r_aux=aux_loss_setting(c.number("aux_loss_coef", 0.01), active), c_aux="share", c_balance="batch")
