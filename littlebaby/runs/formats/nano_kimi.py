"""NANO-KIMI-K2 and nanoKimi: their state dicts as safetensors beside a config.json of their settings.

NANO-KIMI-K2: separate latents for keys and values, the shared rotated key in one matrix with the keys' latent, dense first layers.
nanoKimi: one narrow head (it reads n_heads and does not use it), gate and up in one matrix.
"""
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput
from ..settings import Config
from .config_reader import ConfigReader, aux_loss_setting, rows_of
from .tensors import Arrays
from .weight_table import count, import_weights, parse_weight_table

K2 = parse_weight_table("""
token                               embed.table.weight
blocks.{i}.norm1.w                  layers.{i}.attn_norm.weight
blocks.{i}.att.wq                   layers.{i}.attn.wq.weight                         transposed
blocks.{i}.att.wdk+wkr              layers.{i}.attn.wk_compress.weight                transposed,fused
blocks.{i}.att.wdv                  layers.{i}.attn.wv_compress.weight                transposed
blocks.{i}.att.wuk                  layers.{i}.attn.wk_up.weight                      transposed
blocks.{i}.att.wuv                  layers.{i}.attn.wv_up.weight                      transposed
blocks.{i}.att.wo                   layers.{i}.attn.c_v_linear.weight                 transposed
blocks.{i}.att.bo                   layers.{i}.attn.c_v_linear.bias
blocks.{i}.norm2.w                  layers.{i}.ffn_norm.weight
blocks.{i}.net.gate                 layers.{i}.ffn.w1.weight                          transposed
blocks.{i}.net.up                   layers.{i}.ffn.w3.weight                          transposed
blocks.{i}.net.down                 layers.{i}.ffn.w2.weight                          transposed
blocks.{i}.net.router               layers.{i}.ffn.gate.weight                        transposed
blocks.{i}.net.shared.gate          layers.{i}.ffn.shared_experts.w1.weight           transposed
blocks.{i}.net.shared.up            layers.{i}.ffn.shared_experts.w3.weight           transposed
blocks.{i}.net.shared.down          layers.{i}.ffn.shared_experts.w2.weight           transposed
blocks.{i}.net.experts.{e}.gate     layers.{i}.ffn.experts.{e}.w1.weight              transposed
blocks.{i}.net.experts.{e}.up       layers.{i}.ffn.experts.{e}.w3.weight              transposed
blocks.{i}.net.experts.{e}.down     layers.{i}.ffn.experts.{e}.w2.weight              transposed
norm.w                              norm.weight
head.w                              head.weight                       transposed
""")

NANOKIMI = parse_weight_table("""
token                               embed.tok_emb.weight
position.table                      embed.pos_emb.weight
blocks.{i}.norm1.w                  blocks.{i}.ln1.weight
blocks.{i}.norm1.b                  blocks.{i}.ln1.bias
blocks.{i}.att.wq                   blocks.{i}.attn.to_q.weight                       transposed
blocks.{i}.att.wk                   blocks.{i}.attn.to_k.weight                       transposed
blocks.{i}.att.wv                   blocks.{i}.attn.to_v.weight                       transposed
blocks.{i}.att.wo                   blocks.{i}.attn.to_out.weight                     transposed
blocks.{i}.norm2.w                  blocks.{i}.ln2.weight
blocks.{i}.norm2.b                  blocks.{i}.ln2.bias
blocks.{i}.net.gate+up              blocks.{i}.ffn.w1.weight                          transposed,fused
blocks.{i}.net.bgate+bup            blocks.{i}.ffn.w1.bias                            fused
blocks.{i}.net.down                 blocks.{i}.ffn.w2.weight                          transposed
blocks.{i}.net.bdown                blocks.{i}.ffn.w2.bias
norm.w                              ln_f.weight
norm.b                              ln_f.bias
head.w                              lm_head.weight                                    transposed
""")
IGNORED = r".*(freqs_cis|_cache|causal_mask|\.mask)"     # no weights: computed tables and caches


def recognizes(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of one of these two formats"""
    return "qk_nope_head_dim" in config and "dim" in config or "d_model" in config and ("latent_dim" in config or "moe_experts" in config)


def read_weights(config: dict[str, Any], foreign: Arrays, where: Path | str) -> tuple[Config, Iterator[tuple[str, np.ndarray]]]:
    """(config, pairs of our name and array). BadInput where the model cannot be read"""
    foreign = {name.removeprefix("_orig_mod."): a for name, a in foreign.items()}        # the prefix of a compiled module
    c = ConfigReader(config, where)
    if "d_model" in config:
        return import_weights(NANOKIMI, nanokimi(c, foreign), foreign, where, IGNORED)
    return import_weights(K2, k2(c, foreign), foreign, where, IGNORED)


def k2(c: ConfigReader, foreign: Arrays) -> dict[str, Any]:
    """Our settings of a NANO-KIMI-K2"""
    for name in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "kv_lora_rank"):
        if not c.integer(name):
            raise BadInput(f"{c.where}: {name} is 0; littlebaby's mla needs 1 or more")
    layers, router = count(foreign, "layers.#."), "layers.{}.ffn.gate.weight"
    dense = next((i for i in range(layers) if router.format(i) in foreign), layers)
    found = dict(n_ctx=c.integer("max_seq_length"), n_vocab=rows_of(foreign, "embed.table.weight", c), n_emb=c.integer("dim"),
                 n_heads=c.integer("n_heads"), n_layers=layers, c_norm="rmsnorm", norm_eps=1e-5, c_position="rope",
                 rope_layout="interleaved", c_bias="none", b_bias_attention_out=True, c_attention="mla",
                 mla_latent="split", mla_norm="none", mla_rank=c.integer("kv_lora_rank"),
                 mla_nope=c.integer("qk_nope_head_dim"), mla_rope=c.integer("qk_rope_head_dim"),
                 mla_v=c.integer("v_head_dim"), head_size=c.integer("n_heads") * c.integer("v_head_dim"),
                 s_hidden=rows_of(foreign, "layers.0.ffn.w1.weight", c) if dense else 0)
    if dense == layers:
        return found | dict(c_network="swi")
    first_moe = f"layers.{dense}.ffn."
    width, shared = rows_of(foreign, f"{first_moe}experts.0.w1.weight", c), f"{first_moe}shared_experts.w1.weight"
    score = c.get("score_func", "softmax")
    if score not in ("softmax", "sigmoid"):
        raise BadInput(f"{c.where}: score_func is {score!r}; allowed are softmax, sigmoid")
    groups, active = c.integer("n_expert_groups", 1), c.integer("n_activated_experts", 2)
    active_groups = min(groups, max(1, active // max(groups, 1)))
    return found | dict(c_network="moe", c_expert="swi", n_experts=count(foreign, f"{first_moe}experts.#.w1.weight"), n_active=active,
                        n_shared=foreign[shared].shape[0] // max(width, 1) if shared in foreign else 0, s_expert=width,
                        n_dense_layers=dense, c_router=score, n_expert_groups=groups, n_active_expert_groups=active_groups,
                        r_route_scale=c.number("route_scale", 1.0), r_aux=aux_loss_setting(c.number("aux_loss_coeff", 0.01), active),
                        c_aux="topk", c_balance="batch")


def nanokimi(c: ConfigReader, foreign: Arrays) -> dict[str, Any]:
    """Our settings of a nanoKimi"""
    c.require("moe_experts", (0, None), "a mixture of experts whose router has a bias", 0)
    return dict(n_ctx=rows_of(foreign, "embed.pos_emb.weight", c), n_vocab=rows_of(foreign, "embed.tok_emb.weight", c),
                n_emb=c.integer("d_model"), head_size=rows_of(foreign, "blocks.0.attn.to_q.weight", c), n_heads=1,
                n_layers=count(foreign, "blocks.#."), c_network="swi", s_hidden=rows_of(foreign, "blocks.0.ffn.w2.weight", c) and
                foreign["blocks.0.ffn.w2.weight"].shape[-1], c_bias="none", b_bias_network=True)
