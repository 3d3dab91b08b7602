"""The architecture keys of a GGUF header: read, without effect on what the model computes, or refused. Plain data, after
src/llama-model.cpp of llama.cpp and the constants of gguf-py.

A key in no list here is refused as well; tests/test_special_tokens.py compares the lists with the package gguf.
"""
from pathlib import Path
from typing import Any

from ...errors import BadInput, quoted
from .config_reader import ConfigReader

READ = frozenset("""
    context_length embedding_length attention.head_count attention.head_count_kv attention.key_length attention.layer_norm_epsilon
    attention.layer_norm_rms_epsilon attention.sliding_window attention.scale expert_used_count rope.dimension_count rope.freq_base
    rope.scaling.type rope.scaling.factor rope.scale_linear""".split())

# sizes that are read from the shapes of the tensors, bookkeeping, and keys that have an effect only beside a key that is refused
HARMLESS = frozenset("""
    vocab_size block_count feed_forward_length expert_feed_forward_length expert_count tensor_data_layout pooling_type
    rope.scaling.finetuned rope.scaling.original_context_length rope.scaling.yarn_log_multiplier rope.scaling.yarn_ext_factor
    rope.scaling.yarn_attn_factor rope.scaling.yarn_beta_fast rope.scaling.yarn_beta_slow rope.scaling.alpha
    expert_group_used_count attention.temperature_length decoder_start_token_id""".split())

OFF, ONE, YES = (0, False, None), (0, 1), (True,)     # llama.cpp takes 0 for "missing" where 1 changes nothing

# keys that change what the model computes, with the values that change nothing
REFUSED = {
    "attention.causal": YES, "expert_weights_norm": YES, "expert_gating_func": ONE, "expert_group_count": ONE, "moe_every_n_layers": ONE,
    "interleave_moe_layer_step": ONE, "attention.sliding_window_pattern": ONE, "full_attention_interval": ONE,
    "rope.scaling.attn_factor": ONE, "expert_weights_scale": ONE, "expert_group_scale": ONE, "logit_scale": ONE, "residual_scale": ONE,
    "embedding_scale": ONE, "attention.output_scale": ONE, "activation_sparsity_scale": ONE,
    **dict.fromkeys("""
        use_parallel_residual leading_dense_block_count expert_shared_count expert_shared_feed_forward_length
        expert_chunk_feed_forward_length experts_per_group moe_latent_size nextn_predict_layers n_deepstack_layers
        attn_logit_softcapping router_logit_softcapping final_logit_softcapping swin_norm rescale_every_n_layers time_mix_extra_dim
        time_decay_extra_dim token_shift_count altup.active_idx altup.num_inputs embedding_length_per_layer_input swiglu_clamp_exp
        swiglu_clamp_shexp decoder_block_count embedding_length_out features_length attention.max_alibi_bias attention.clamp_kqv
        attention.group_norm_epsilon attention.group_norm_groups attention.q_lora_rank attention.kv_lora_rank
        attention.decay_lora_rank attention.iclr_lora_rank attention.value_residual_mix_lora_rank attention.gate_lora_rank
        attention.relative_buckets_count attention.key_length_mla attention.value_length_mla attention.key_length_swa
        attention.value_length_swa attention.shared_kv_layers attention.temperature_scale rope.dimension_count_swa
        rope.dimension_sections rope.freq_base_swa""".split(), OFF)}


class GGUFReader(ConfigReader):
    """The values of a header, those of the architecture `kind` without the namespace before their names

    values: {key: value}      architecture_keys: the names of the latter, without the namespace
    """

    def __init__(self, values: dict[str, Any], kind: str, where: Path | str) -> None:
        super().__init__({name.removeprefix(f"{kind}."): value for name, value in values.items()}, where)
        self.architecture_keys = [name.removeprefix(f"{kind}.") for name in values if name.startswith(f"{kind}.")]


def check_keys(c: GGUFReader, kind: str, width: int) -> None:
    """BadInput for a key that changes what the model computes in a way that littlebaby does not support

    c: the header      kind: the architecture, which errors put before a key      width: how many columns the keys of a head have
    """
    for key, allowed in REFUSED.items():
        value = c.data.get(key, allowed[0])
        if isinstance(value, list) or value not in allowed:
            raise BadInput(f"{c.where}: {kind}.{key} is {quoted(value)}, which changes what the model computes; littlebaby reads "
                           f"{' or '.join(str(each).lower() for each in allowed if each is not None)}")
    if c.integer("attention.value_length", width) != width:
        raise BadInput(f"{c.where}: {kind}.attention.value_length is {c.data['attention.value_length']} and attention.key_length is "
                       f"{width}; littlebaby reads values as wide as keys")
    if kind != "gpt2" and c.integer("rope.dimension_count", width) != width:
        raise BadInput(f"{c.where}: {kind}.rope.dimension_count is {c.data['rope.dimension_count']}, which rotates only a part of each "
                       f"head; littlebaby rotates all {width} columns")
    if kind == "gpt2" and c.get("attention.sliding_window", 0):
        raise BadInput(f"{c.where}: gpt2.attention.sliding_window is {c.data['attention.sliding_window']}; gpt2 is read without a window")
    known = READ | HARMLESS | REFUSED.keys() | {"attention.value_length"}
    if unknown := [key for key in c.architecture_keys if key not in known]:
        raise BadInput(f"{c.where}: {kind}.{unknown[0]} is {quoted(c.data[unknown[0]])}, a key that littlebaby does not know and that may "
                       f"change what the model computes")


def rope_settings(c: GGUFReader) -> dict[str, Any]:
    """c_rope_scale and r_rope_factor of a header; like llama.cpp, a missing rule means linear, and a factor of 0 means none"""
    rule = c.get("rope.scaling.type", "linear")
    if rule not in ("none", "linear"):
        raise BadInput(f"{c.where}: rope is scaled by the rule {quoted(rule)}; littlebaby reads none and linear from a GGUF")
    factor = float(c.number("rope.scaling.factor", c.number("rope.scale_linear", 0)))
    if rule == "none" or factor in (0, 1):
        return {}
    return dict(c_rope_scale="linear", r_rope_factor=factor)


def window(c: GGUFReader, n_ctx: int) -> dict[str, Any]:
    """c_attention and s_window of a header with a sliding window shorter than the context length; both are counted in tokens"""
    size = c.integer("attention.sliding_window", 0)
    return dict(c_attention="swa", s_window=size) if 0 < size < n_ctx else {}


def temperature(c: GGUFReader, width: int) -> dict[str, Any]:
    """r_temp of a header that scales the attention scores by another number than 1 / sqrt(width)"""
    scale = float(c.number("attention.scale", 0))
    return dict(r_temp=width ** -0.5 / scale) if scale else {}
