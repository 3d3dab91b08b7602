"""Other names of settings and of their values, which old files and other people use."""
from typing import Any

from ..errors import BadInput

# names of the same setting elsewhere, where it means the same in the same unit (nanoGPT's min_lr is a rate, r_learn_min a fraction)
ALIASES = dict(
    # The Little Baby, and littlebaby 0.1
    s_head="head_size", s_batch="batch_size", s_emb="n_emb", s_ctx="n_ctx", num_epochs="n_epochs", c_tokeniser="c_tokenizer",
    lr="r_learn", r_decay="r_weight_decay", s_decay="s_schedule_decay", c_decay="c_schedule_decay", r_eps="r_adam_eps",
    r_overlap="r_eval_overlap", n_eval="n_eval_windows", r_checkpoint="r_checkpoint_minutes", n_groups="n_expert_groups",
    n_active_groups="n_active_expert_groups", lor_rank="network_rank", lor_alpha="network_alpha", b_gate="b_network_gate",
    c_gate="c_hybrid_gate",
    # nanoGPT
    n_embd="n_emb", block_size="n_ctx", vocab_size="n_vocab", n_head="n_heads", n_layer="n_layers", dropout="r_dropout",
    learning_rate="r_learn", weight_decay="r_weight_decay", grad_clip="r_clip", beta1="r_beta1", beta2="r_beta2", max_iters="n_steps",
    warmup_iters="s_warmup", eval_interval="s_eval", gradient_accumulation_steps="n_accumulate",
    # litgpt
    n_query_groups="n_kv_heads", n_expert="n_experts", n_expert_per_token="n_active", sliding_window_size="s_window", epochs="n_epochs",
    micro_batch_size="batch_size", max_norm="r_clip", lr_warmup_steps="s_warmup", lora_r="lora_rank",
    # transformers: models
    hidden_size="n_emb", intermediate_size="s_hidden", max_position_embeddings="n_ctx", n_positions="n_ctx", num_hidden_layers="n_layers",
    num_attention_heads="n_heads", n_kv_head="n_kv_heads", num_key_value_heads="n_kv_heads", rms_norm_eps="norm_eps",
    layer_norm_eps="norm_eps", layer_norm_epsilon="norm_eps", rope_theta="rope_base", sliding_window="s_window",
    tie_word_embeddings="b_tied", num_experts="n_experts", num_local_experts="n_experts", n_routed_experts="n_experts",
    num_experts_per_tok="n_active", n_shared_experts="n_shared", moe_intermediate_size="s_expert", n_group="n_expert_groups",
    topk_group="n_active_expert_groups", routed_scaling_factor="r_route_scale", first_k_dense_replace="n_dense_layers",
    kv_lora_rank="mla_rank", q_lora_rank="mla_q_rank", qk_nope_head_dim="mla_nope", qk_rope_head_dim="mla_rope", v_head_dim="mla_v",
    # transformers: training
    num_train_epochs="n_epochs", max_steps="n_steps", per_device_train_batch_size="batch_size", warmup_steps="s_warmup",
    warmup_ratio="s_warmup", adam_beta1="r_beta1", adam_beta2="r_beta2", adam_epsilon="r_adam_eps", max_grad_norm="r_clip",
    minutes="r_minutes", eval_steps="s_eval", save_steps="s_checkpoint")

# names of variants in older systems
OLD_VALUES = dict(c_attention=dict(lda="gla"), c_network=dict(lin="gln"))


def renamed(settings: dict[str, Any]) -> dict[str, Any]:
    """The same settings under their present names. Raises errors.BadInput if one is given under two names"""
    new: dict[str, Any] = {}
    for name, value in settings.items():
        right = ALIASES.get(name, name)
        if right in new:
            raise BadInput(f"{right} is given twice: as {' and '.join(n for n in settings if ALIASES.get(n, n) == right)}")
        new[right] = value
    return new
