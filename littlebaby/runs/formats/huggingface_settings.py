"""The settings of the architectures of Hugging Face, in both directions: config.json -> our settings, and our Config -> config.json.

The readers llama, mixtral, starcoder2, gpt2 and deepseek take (c, foreign): the config with every default of its class (see
transformers_configs), and {name: array} of the weights, from whose shapes every size is read that they contain. They return our settings.
The writers llama_json, qwen2_json, ... take our Config and return the keys of a config.json.
"""
from typing import Any

from ...errors import BadInput
from ..settings import Config
from .config_reader import MAX_CONTEXT, ConfigReader, aux_loss_setting, rows_of, yarn_temperature
from .tensors import Arrays
from .weight_table import count

ACTIVATION_NAMES = dict(gelu="gelu_pytorch_tanh", gelu_exact="gelu", relu="relu", silu="silu")
SILU = ("silu", "swish")
OTHER_ACTIVATION = "which is another activation of the gate"


# config.json -> our settings

def rope_model(c: ConfigReader, foreign: Arrays) -> dict[str, Any]:
    """The settings that all architectures with rope share"""
    heads, width = c.integer("num_attention_heads"), c.integer("hidden_size")
    c.require("partial_rotary_factor", (1, 1.0), "which rotates only a part of each head")
    return dict(n_ctx=min(c.integer("max_position_embeddings"), MAX_CONTEXT), n_vocab=rows_of(foreign, "model.embed_tokens.weight", c),
                n_emb=width, n_heads=heads, n_layers=c.integer("num_hidden_layers", count(foreign, "model.layers.#.")), c_bias="none",
                c_position="rope", rope_layout="half", b_tied="lm_head.weight" not in foreign) | c.rope()


def grouped_query_model(c: ConfigReader, foreign: Arrays, bias_in: bool = False, bias_out: bool = False) -> dict[str, Any]:
    """The settings that llama and its relatives share: grouped-query attention, with a sliding window in some

    bias_in, bias_out: whether queries, keys and values have biases, and whether the output has one
    """
    found = rope_model(c, foreign)
    heads = found["n_heads"]
    width = c.integer("head_dim", found["n_emb"] // max(heads, 1))
    found |= dict(c_attention="gqa", head_size=heads * width, n_kv_heads=c.integer("num_key_value_heads", heads), c_norm="rmsnorm",
                  b_bias_attention_in=bias_in, b_bias_attention_out=bias_out)
    window, kinds = c.integer("sliding_window", None), layer_kinds(c, found["n_layers"])
    if window is not None and window < found["n_ctx"] and "sliding_attention" in kinds:
        if len(kinds) > 1:
            raise BadInput(f"{c.where}: only some layers have a sliding window; littlebaby supports one for all layers, or for none")
        found |= dict(c_attention="swa", s_window=window)
    return found


def layer_kinds(c: ConfigReader, n_layers: int) -> set[str]:
    """The kinds of attention that occur: full_attention, sliding_attention or both"""
    if c.data["model_type"] == "llama":                          # its class ignores sliding_window
        return {"full_attention"}
    if c.data["model_type"] != "qwen2":
        return {"sliding_attention"}
    if not c.get("use_sliding_window"):
        return {"full_attention"}
    if isinstance(layer_types := c.get("layer_types", None), list):
        return set(map(str, layer_types))
    n_full = c.integer("max_window_layers")
    return {"sliding_attention"} if n_full <= 0 else {"full_attention"} if n_full >= n_layers else {"full_attention", "sliding_attention"}


def llama(c: ConfigReader, foreign: Arrays) -> dict[str, Any]:
    """llama, mistral and qwen2"""
    c.require("hidden_act", SILU, OTHER_ACTIVATION)
    biased = bool(c.get("attention_bias", False))                # mistral has no such key; qwen2 always has biases on its inputs
    return grouped_query_model(c, foreign, biased or c.data["model_type"] == "qwen2", biased) | dict(
        c_network="swi", s_hidden=rows_of(foreign, "model.layers.0.mlp.gate_proj.weight", c), norm_eps=c.number("rms_norm_eps"),
        b_bias_network=bool(c.get("mlp_bias", False)))


def mixtral(c: ConfigReader, foreign: Arrays) -> dict[str, Any]:
    c.require("hidden_act", SILU, OTHER_ACTIVATION)
    expert = "model.layers.0.block_sparse_moe.experts.#.w1.weight"
    width, active = rows_of(foreign, expert.replace("#", "0"), c), c.integer("num_experts_per_tok")
    return grouped_query_model(c, foreign) | dict(
        norm_eps=c.number("rms_norm_eps"),
        c_network="moe", c_expert="swi", n_experts=count(foreign, expert), s_expert=width, n_active=active, c_aux="share",
        r_aux=aux_loss_setting(c.number("router_aux_loss_coef"), active), c_balance="batch")


def starcoder2(c: ConfigReader, foreign: Arrays) -> dict[str, Any]:
    biased = bool(c.get("use_bias"))
    found = grouped_query_model(c, foreign, biased, biased)
    c.require("mlp_type", ("default",), "which is another network")
    return found | dict(c_norm="layernorm", norm_eps=c.number("norm_epsilon"), c_network="mlp",
                        s_hidden=rows_of(foreign, "model.layers.0.mlp.c_fc.weight", c), c_activation=c.activation("hidden_act"),
                        b_bias_network=biased)


def gpt2(c: ConfigReader, foreign: Arrays) -> dict[str, Any]:
    width, heads = c.integer("n_embd"), c.integer("n_head")
    for key in ("add_cross_attention", "scale_attn_by_inverse_layer_idx"):
        c.require(key, (False,), "which is another attention")
    scaled = c.get("scale_attn_weights")
    return dict(n_ctx=rows_of(foreign, "transformer.wpe.weight", c), n_vocab=rows_of(foreign, "transformer.wte.weight", c), n_emb=width,
                n_heads=heads, n_layers=c.integer("n_layer", count(foreign, "transformer.h.#.")), c_bias="all",
                b_tied="lm_head.weight" not in foreign, norm_eps=c.number("layer_norm_epsilon"),
                c_activation=c.activation("activation_function"),
                s_hidden=rows_of(foreign, "transformer.h.0.mlp.c_fc.bias", c),
                r_temp=1.0 if scaled else max(width // max(heads, 1), 1) ** -0.5)


def deepseek(c: ConfigReader, foreign: Arrays) -> dict[str, Any]:
    """deepseek_v3 and kimi_k2"""
    c.require("hidden_act", SILU, OTHER_ACTIVATION)
    c.require("attention_bias", (False,), "which gives the latents biases")
    found = rope_model(c, foreign) | dict(
        c_attention="mla", c_norm="rmsnorm", norm_eps=c.number("rms_norm_eps"), mla_rank=c.integer("kv_lora_rank"),
        mla_q_rank=c.integer("q_lora_rank", None) or 0, mla_nope=c.integer("qk_nope_head_dim"), mla_rope=c.integer("qk_rope_head_dim"),
        mla_v=c.integer("v_head_dim"), head_size=c.integer("num_attention_heads") * c.integer("v_head_dim"), r_temp=yarn_temperature(c),
        rope_layout="interleaved" if c.get("rope_interleave") else "half", s_hidden=0)
    layers, mlp = found["n_layers"], "model.layers.#.mlp."
    dense = next((i for i in range(layers) if f"{mlp}gate.weight".replace("#", str(i)) in foreign), layers)
    if dense:
        found |= dict(s_hidden=rows_of(foreign, "model.layers.0.mlp.gate_proj.weight", c))
    if dense == layers:
        return found | dict(c_network="swi")
    first_moe, active = mlp.replace("#", str(dense)), c.integer("num_experts_per_tok")
    width = rows_of(foreign, f"{first_moe}experts.0.gate_proj.weight", c)
    shared = f"{first_moe}shared_experts.gate_proj.weight"
    return found | dict(
        c_network="moe", c_expert="swi", c_router="sigmoid" if c.get("norm_topk_prob") else "sigmoid_raw",
        n_experts=count(foreign, f"{first_moe}experts.#.gate_proj.weight"), n_active=active, s_expert=width,
        n_shared=foreign[shared].shape[0] // width if shared in foreign else 0, n_dense_layers=dense, n_expert_groups=c.integer("n_group"),
        n_active_expert_groups=c.integer("topk_group"), r_route_scale=c.number("routed_scaling_factor"),
        r_aux=aux_loss_setting(0.0, active), r_bias_update=1e-3 if f"{first_moe}gate.e_score_correction_bias" in foreign else 0.0)


# our Config -> config.json

def common_json(cfg: Config, **more: Any) -> dict[str, Any]:
    """The keys that every config.json has, and `more`"""
    return dict(vocab_size=cfg.n_vocab, tie_word_embeddings=cfg.b_tied, use_cache=True, initializer_range=0.02) | more


def rope_json(cfg: Config) -> dict[str, Any]:
    """The keys of rope and of its scaling"""
    if cfg.c_rope_scale == "none":
        return dict(rope_theta=cfg.rope_base)
    scaling = dict(rope_type=cfg.c_rope_scale, factor=cfg.r_rope_factor, original_max_position_embeddings=cfg.n_rope_ctx)
    if cfg.c_rope_scale == "llama3":
        scaling |= dict(low_freq_factor=cfg.r_rope_slow, high_freq_factor=cfg.r_rope_fast)
    if cfg.c_rope_scale == "yarn":
        scaling |= dict(beta_slow=cfg.r_rope_slow, beta_fast=cfg.r_rope_fast, attention_factor=cfg.r_rope_gain)
    return dict(rope_theta=cfg.rope_base, rope_scaling=scaling)


def grouped_query_json(cfg: Config, **more: Any) -> dict[str, Any]:
    """The keys that llama and its relatives share, and `more`"""
    return common_json(cfg, hidden_size=cfg.n_emb, num_hidden_layers=cfg.n_layers, num_attention_heads=cfg.n_heads,
                       num_key_value_heads=kv_heads(cfg), head_dim=cfg.head_width, max_position_embeddings=cfg.n_ctx,
                       sliding_window=cfg.s_window if cfg.c_attention == "swa" else None, **rope_json(cfg), **more)


def kv_heads(cfg: Config) -> int:
    """How many heads the keys and values have"""
    return cfg.n_heads if cfg.c_attention == "mha" else cfg.n_kv_heads


def llama_json(cfg: Config) -> dict[str, Any]:
    return grouped_query_json(cfg, rms_norm_eps=cfg.norm_eps, intermediate_size=cfg.hidden, hidden_act="silu",
                              attention_bias=cfg.c_bias == "all" or cfg.b_bias_attention_in, mlp_bias=cfg.network_bias)


def qwen2_json(cfg: Config) -> dict[str, Any]:
    return grouped_query_json(cfg, rms_norm_eps=cfg.norm_eps, intermediate_size=cfg.hidden, hidden_act="silu",
                              use_sliding_window=cfg.c_attention == "swa",
                              max_window_layers=0 if cfg.c_attention == "swa" else cfg.n_layers)


def mixtral_json(cfg: Config) -> dict[str, Any]:
    return grouped_query_json(cfg, rms_norm_eps=cfg.norm_eps, intermediate_size=cfg.s_expert, hidden_act="silu",
                              num_local_experts=cfg.n_experts, num_experts_per_tok=cfg.n_active, router_aux_loss_coef=cfg.r_aux)


def starcoder2_json(cfg: Config) -> dict[str, Any]:
    return grouped_query_json(cfg, norm_epsilon=cfg.norm_eps, intermediate_size=cfg.hidden, hidden_act=ACTIVATION_NAMES[cfg.c_activation],
                              use_bias=True, residual_dropout=0.0, embedding_dropout=0.0, attention_dropout=0.0)


def gpt2_json(cfg: Config) -> dict[str, Any]:
    return common_json(cfg, n_positions=cfg.n_ctx, n_embd=cfg.n_emb, n_layer=cfg.n_layers, n_head=cfg.n_heads, n_inner=cfg.hidden,
                       activation_function=ACTIVATION_NAMES[cfg.c_activation], layer_norm_epsilon=cfg.norm_eps, resid_pdrop=0.0,
                       embd_pdrop=0.0, attn_pdrop=0.0)


def deepseek_json(cfg: Config) -> dict[str, Any]:
    return common_json(cfg, hidden_size=cfg.n_emb, num_hidden_layers=cfg.n_layers, num_attention_heads=cfg.n_heads,
                       num_key_value_heads=cfg.n_heads, max_position_embeddings=cfg.n_ctx,
                       rope_interleave=cfg.rope_layout == "interleaved", rms_norm_eps=cfg.norm_eps, kv_lora_rank=cfg.mla_rank,
                       q_lora_rank=cfg.mla_q_rank or None, qk_nope_head_dim=cfg.mla_nope, qk_rope_head_dim=cfg.mla_rope,
                       v_head_dim=cfg.mla_v, n_routed_experts=cfg.n_experts, num_experts_per_tok=cfg.n_active,
                       n_shared_experts=cfg.n_shared, moe_intermediate_size=cfg.s_expert, intermediate_size=cfg.hidden,
                       first_k_dense_replace=cfg.n_dense_layers, n_group=cfg.n_expert_groups, topk_group=cfg.n_active_expert_groups,
                       routed_scaling_factor=cfg.r_route_scale, norm_topk_prob=cfg.c_router == "sigmoid",
                       hidden_act="silu", attention_bias=False, num_nextn_predict_layers=0, **rope_json(cfg))
