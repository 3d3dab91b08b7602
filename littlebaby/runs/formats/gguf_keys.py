"""What a GGUF's header says of its architecture, key by key: obeyed, without effect on a number, or refused. Plain data, as llama.cpp's
src/llama-model.cpp and gguf-py's constants name them.

A key that stands in no list here is refused, too; tests/test_special_tokens.py compares the lists with the package gguf.
"""
from ...errors import BadInput, quoted

READ = frozenset("""
    context_length embedding_length attention.head_count attention.head_count_kv attention.key_length attention.layer_norm_epsilon
    attention.layer_norm_rms_epsilon attention.sliding_window attention.scale expert_used_count rope.dimension_count rope.freq_base
    rope.scaling.type rope.scaling.factor rope.scale_linear""".split())

# sizes that the shapes of the tensors say, too, and what is bookkeeping or has an effect only where another key is refused
HARMLESS = frozenset("""
    vocab_size block_count feed_forward_length expert_feed_forward_length expert_count tensor_data_layout pooling_type
    rope.scaling.finetuned rope.scaling.original_context_length rope.scaling.yarn_log_multiplier rope.scaling.yarn_ext_factor
    rope.scaling.yarn_attn_factor rope.scaling.yarn_beta_fast rope.scaling.yarn_beta_slow rope.scaling.alpha
    expert_group_used_count attention.temperature_length decoder_start_token_id""".split())

OFF, ONE, YES = (0, False, None), (0, 1), (True,)     # llama.cpp takes 0 for "not said" where 1 changes nothing

# keys that change numbers, with the values that change none
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


def check_keys(c, kind, width):
    """BadInput for a key of the architecture `kind` that changes numbers and cannot be obeyed

    c: the header as a ConfigReader, its architecture's keys without their namespace      width: of a head's keys
    """
    for key, allowed in REFUSED.items():
        value = c.data.get(key, allowed[0])
        if isinstance(value, list) or value not in allowed:
            raise BadInput(f"{c.where}: {kind}.{key} is {quoted(value)}, which changes the model's numbers; littlebaby reads "
                           f"{' or '.join(str(each).lower() for each in allowed if each is not None)}")
    if c.integer("attention.value_length", width) != width:
        raise BadInput(f"{c.where}: {kind}.attention.value_length is {c.data['attention.value_length']}, and a head's keys have {width}; "
                       f"littlebaby reads values as wide as keys")
    if kind != "gpt2" and c.integer("rope.dimension_count", width) != width:
        raise BadInput(f"{c.where}: {kind}.rope.dimension_count is {c.data['rope.dimension_count']}, which turns a part of each head only; "
                       f"littlebaby turns all {width} of its numbers")
    if kind == "gpt2" and c.get("attention.sliding_window", 0):
        raise BadInput(f"{c.where}: gpt2.attention.sliding_window is {c.data['attention.sliding_window']}; gpt2 is read without a window")
    known = READ | HARMLESS | REFUSED.keys() | {"attention.value_length"}
    if strange := [key for key in c.own if key not in known]:
        raise BadInput(f"{c.where}: {kind}.{strange[0]} is {quoted(c.data[strange[0]])}, which is not known here; it may change the "
                       f"model's numbers")


def rope_settings(c):
    """c_rope_scale and r_rope_factor of a header: llama.cpp's rule is linear where none is named, and a factor of 0 is none"""
    rule = c.get("rope.scaling.type", "linear")
    if rule not in ("none", "linear"):
        raise BadInput(f"{c.where}: rope is stretched by the rule {quoted(rule)}; littlebaby reads none and linear from a GGUF")
    factor = float(c.number("rope.scaling.factor", c.number("rope.scale_linear", 0)))
    if rule == "none" or factor in (0, 1):
        return {}
    return dict(c_rope_scale="linear", r_rope_factor=factor)


def window(c, n_ctx):
    """c_attention and s_window of a header whose window is shorter than all that its model sees"""
    seen = c.integer("attention.sliding_window", 0)
    return dict(c_attention="swa", s_window=seen) if 0 < seen < n_ctx else {}


def temperature(c, width):
    """r_temp of a header that scales the scores by another number than 1 / sqrt(width)"""
    scale = float(c.number("attention.scale", 0))
    return dict(r_temp=width ** -0.5 / scale) if scale else {}
