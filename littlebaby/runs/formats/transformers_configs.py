"""The defaults of the config classes of transformers 5, for the keys that a config.json omits, as plain data.

A key that a class knows is read, or does not change a forward pass (HARMLESS), or must have the value given here (REFUSED). A key that a
class does not know is ignored by transformers and by littlebaby; `unknown_keys` lists it. tests/test_peers_configs.py compares every
default with the installed library.
"""
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import BadInput, quoted

SHARED = dict(hidden_act="silu", tie_word_embeddings=False, rms_norm_eps=1e-6, rope_parameters=None)
DEEPSEEK = SHARED | dict(
    num_key_value_heads=128, max_position_embeddings=4096, routed_scaling_factor=2.5, kv_lora_rank=512, q_lora_rank=1536,
    qk_rope_head_dim=64, v_head_dim=128, qk_nope_head_dim=128, n_group=8, topk_group=4, num_experts_per_tok=8, norm_topk_prob=True,
    rope_interleave=True, attention_bias=False, num_mtp_layers=1)

DEFAULTS: dict[str, dict[str, Any]] = dict(
    llama=SHARED | dict(num_key_value_heads=None, max_position_embeddings=2048, attention_bias=False, mlp_bias=False, head_dim=None),
    mistral=SHARED | dict(num_key_value_heads=8, max_position_embeddings=131072, head_dim=None, sliding_window=4096),
    qwen2=SHARED | dict(num_key_value_heads=32, max_position_embeddings=32768, use_sliding_window=False, sliding_window=4096,
                        max_window_layers=28, layer_types=None),
    mixtral=SHARED | dict(num_key_value_heads=8, max_position_embeddings=131072, head_dim=None, rms_norm_eps=1e-5, sliding_window=None,
                          num_experts_per_tok=2, router_aux_loss_coef=0.001),
    starcoder2=dict(num_key_value_heads=2, hidden_act="gelu_pytorch_tanh", max_position_embeddings=4096, norm_epsilon=1e-5,
                    rope_parameters=None, sliding_window=None, use_bias=True, tie_word_embeddings=True),
    gpt2=dict(activation_function="gelu_new", layer_norm_epsilon=1e-5, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False,
              add_cross_attention=False, tie_word_embeddings=True),
    deepseek_v3=DEEPSEEK, kimi_k2=DEEPSEEK)

ROPE_BASE = dict(mixtral=1e6)            # 10,000 for all others

# sizes have no default here: it would describe another model, and most are read from the shapes of the weights
SIZES = ("vocab_size", "hidden_size", "intermediate_size", "moe_intermediate_size", "num_hidden_layers", "num_attention_heads",
         "num_local_experts", "n_routed_experts", "n_shared_experts", "first_k_dense_replace", "n_positions", "n_embd", "n_layer", "n_head",
         "n_inner")

# older name of a key -> its present name, by class
ALIASES: dict[str, dict[str, str]] = dict(
    gpt2=dict(hidden_size="n_embd", max_position_embeddings="n_positions", num_attention_heads="n_head", num_hidden_layers="n_layer"),
    mixtral=dict(num_experts="num_local_experts"),
    deepseek_v3=dict(num_local_experts="n_routed_experts", num_nextn_predict_layers="num_mtp_layers"),
    kimi_k2=dict(num_local_experts="n_routed_experts", num_nextn_predict_layers="num_mtp_layers"))

# keys of training, of bookkeeping, of special tokens (read elsewhere), or of another order of the same sums
HARMLESS = frozenset("""
    architectures model_type transformers_version torch_dtype dtype _name_or_path use_cache initializer_range pretraining_tp id2label
    label2id is_encoder_decoder problem_type return_dict output_hidden_states output_attentions chunk_size_feed_forward auto_map
    pad_token_id bos_token_id eos_token_id tokenizer_class task_specific_params unsloth_version unsloth_fixed
    attention_dropout resid_pdrop embd_pdrop attn_pdrop residual_dropout embedding_dropout
    output_router_logits router_jitter_noise router_aux_loss_coef aux_loss_alpha seq_aux ep_size
    summary_type summary_use_proj summary_activation summary_proj_to_labels summary_first_dropout
    reorder_and_upcast_attn _attn_implementation attn_implementation n_ctx""".split())

# keys that no class above knows but that change the computation in code that follows them: other values than these are refused
REFUSED: dict[str, tuple] = dict(quantization_config=(None,), scoring_func=("sigmoid",), topk_method=("noaux_tc",), moe_layer_freq=(1,))

READ_ELSEWHERE = frozenset({"rope_theta", "rope_scaling", "original_max_position_embeddings", "partial_rotary_factor", "head_dim",
                            "mlp_type"})


def completed(config: Mapping[str, Any], kind: str, where: Path | str) -> dict[str, Any]:
    """A config.json with every default of its class, each key under its present name. BadInput names a key with an unsupported value

    kind: its model_type, a key of DEFAULTS      where: the file that the error names
    """
    renamed = {ALIASES.get(kind, {}).get(key, key): value for key, value in config.items()}
    for key, allowed in REFUSED.items():
        if renamed.get(key, allowed[0]) not in allowed:
            raise BadInput(f"{where}: {key} is {quoted(renamed[key])}, which changes what the model computes; littlebaby reads "
                           f"{' or '.join('none' if each is None else str(each) for each in allowed)}")
    return DEFAULTS[kind] | renamed


def unknown_keys(config: Mapping[str, Any], kind: str) -> list[str]:
    """The keys of a config.json that the class of transformers does not know and ignores, as littlebaby does"""
    known = {*DEFAULTS[kind], *SIZES, *HARMLESS, *REFUSED, *READ_ELSEWHERE, *ALIASES.get(kind, {})}
    return [key for key, value in config.items() if key not in known and value not in (None, False, [], {}, "")]
