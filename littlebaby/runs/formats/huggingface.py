"""Hugging Face folders: config.json, safetensors in one file or many, tokenizer.json. A table and two functions per architecture.

Read are llama, mistral, qwen2, gpt2, starcoder2, mixtral and deepseek_v3 (kimi_k2); the same are written, as transformers loads them
with AutoModelForCausalLM. transformers 5 keeps rope's base in rope_parameters, older files as rope_theta: both are read.
"""
from collections.abc import Callable
from math import log
from typing import Any, NamedTuple

import numpy as np

from ...errors import BadInput, nearest, quoted
from ..disk import indented_json
from . import rewrite, tensors, tokenizers
from .transformers_configs import ROPE_BASE, completed, passed_over
from .weight_table import count, export_weights, import_weights, parse_weight_table

# whose weight is whose

LLAMA_ATTENTION = """
token                         model.embed_tokens.weight
blocks.{i}.norm1.w            model.layers.{i}.input_layernorm.weight
blocks.{i}.att.wq             model.layers.{i}.self_attn.q_proj.weight               turned
blocks.{i}.att.wk             model.layers.{i}.self_attn.k_proj.weight               turned
blocks.{i}.att.wv             model.layers.{i}.self_attn.v_proj.weight               turned
blocks.{i}.att.wo             model.layers.{i}.self_attn.o_proj.weight               turned
blocks.{i}.att.bq             model.layers.{i}.self_attn.q_proj.bias
blocks.{i}.att.bk             model.layers.{i}.self_attn.k_proj.bias
blocks.{i}.att.bv             model.layers.{i}.self_attn.v_proj.bias
blocks.{i}.att.bo             model.layers.{i}.self_attn.o_proj.bias
blocks.{i}.norm2.w            model.layers.{i}.post_attention_layernorm.weight
norm.w                        model.norm.weight
head.w                        lm_head.weight                                         turned
"""

LLAMA = parse_weight_table(LLAMA_ATTENTION + """
blocks.{i}.net.gate           model.layers.{i}.mlp.gate_proj.weight                  turned
blocks.{i}.net.up             model.layers.{i}.mlp.up_proj.weight                    turned
blocks.{i}.net.down           model.layers.{i}.mlp.down_proj.weight                  turned
blocks.{i}.net.bgate          model.layers.{i}.mlp.gate_proj.bias
blocks.{i}.net.bup            model.layers.{i}.mlp.up_proj.bias
blocks.{i}.net.bdown          model.layers.{i}.mlp.down_proj.bias
""")

MIXTRAL = parse_weight_table(LLAMA_ATTENTION + """
blocks.{i}.net.router               model.layers.{i}.block_sparse_moe.gate.weight             turned
blocks.{i}.net.experts.{e}.gate     model.layers.{i}.block_sparse_moe.experts.{e}.w1.weight   turned
blocks.{i}.net.experts.{e}.up       model.layers.{i}.block_sparse_moe.experts.{e}.w3.weight   turned
blocks.{i}.net.experts.{e}.down     model.layers.{i}.block_sparse_moe.experts.{e}.w2.weight   turned
""")

STARCODER2 = parse_weight_table(LLAMA_ATTENTION + """
blocks.{i}.norm1.b            model.layers.{i}.input_layernorm.bias
blocks.{i}.norm2.b            model.layers.{i}.post_attention_layernorm.bias
blocks.{i}.net.up             model.layers.{i}.mlp.c_fc.weight                       turned
blocks.{i}.net.b1             model.layers.{i}.mlp.c_fc.bias
blocks.{i}.net.down           model.layers.{i}.mlp.c_proj.weight                     turned
blocks.{i}.net.b2             model.layers.{i}.mlp.c_proj.bias
norm.b                        model.norm.bias
""")

GPT2 = parse_weight_table("""
token                         transformer.wte.weight
position.table                transformer.wpe.weight
blocks.{i}.norm1.w            transformer.h.{i}.ln_1.weight
blocks.{i}.norm1.b            transformer.h.{i}.ln_1.bias
blocks.{i}.att.wq+wk+wv       transformer.h.{i}.attn.c_attn.weight                   beside
blocks.{i}.att.bq+bk+bv       transformer.h.{i}.attn.c_attn.bias                     beside
blocks.{i}.att.wo             transformer.h.{i}.attn.c_proj.weight
blocks.{i}.att.bo             transformer.h.{i}.attn.c_proj.bias
blocks.{i}.norm2.w            transformer.h.{i}.ln_2.weight
blocks.{i}.norm2.b            transformer.h.{i}.ln_2.bias
blocks.{i}.net.up             transformer.h.{i}.mlp.c_fc.weight
blocks.{i}.net.b1             transformer.h.{i}.mlp.c_fc.bias
blocks.{i}.net.down           transformer.h.{i}.mlp.c_proj.weight
blocks.{i}.net.b2             transformer.h.{i}.mlp.c_proj.bias
norm.w                        transformer.ln_f.weight
norm.b                        transformer.ln_f.bias
head.w                        lm_head.weight                                         turned
""")

DEEPSEEK = parse_weight_table("""
token                               model.embed_tokens.weight
blocks.{i}.norm1.w                  model.layers.{i}.input_layernorm.weight
blocks.{i}.att.wq                   model.layers.{i}.self_attn.q_proj.weight                       turned
blocks.{i}.att.wdq                  model.layers.{i}.self_attn.q_a_proj.weight                     turned
blocks.{i}.att.norm_wdq.w           model.layers.{i}.self_attn.q_a_layernorm.weight
blocks.{i}.att.wuq                  model.layers.{i}.self_attn.q_b_proj.weight                     turned
blocks.{i}.att.wdk+wkr              model.layers.{i}.self_attn.kv_a_proj_with_mqa.weight           turned,beside
blocks.{i}.att.norm_wdk.w           model.layers.{i}.self_attn.kv_a_layernorm.weight
blocks.{i}.att.wuk+wuv              model.layers.{i}.self_attn.kv_b_proj.weight                    turned,by_head
blocks.{i}.att.wo                   model.layers.{i}.self_attn.o_proj.weight                       turned
blocks.{i}.norm2.w                  model.layers.{i}.post_attention_layernorm.weight
blocks.{i}.net.gate                 model.layers.{i}.mlp.gate_proj.weight                          turned
blocks.{i}.net.up                   model.layers.{i}.mlp.up_proj.weight                            turned
blocks.{i}.net.down                 model.layers.{i}.mlp.down_proj.weight                          turned
blocks.{i}.net.router               model.layers.{i}.mlp.gate.weight                               turned
blocks.{i}.net.bias                 model.layers.{i}.mlp.gate.e_score_correction_bias
blocks.{i}.net.shared.gate          model.layers.{i}.mlp.shared_experts.gate_proj.weight           turned
blocks.{i}.net.shared.up            model.layers.{i}.mlp.shared_experts.up_proj.weight             turned
blocks.{i}.net.shared.down          model.layers.{i}.mlp.shared_experts.down_proj.weight           turned
blocks.{i}.net.experts.{e}.gate     model.layers.{i}.mlp.experts.{e}.gate_proj.weight              turned
blocks.{i}.net.experts.{e}.up       model.layers.{i}.mlp.experts.{e}.up_proj.weight                turned
blocks.{i}.net.experts.{e}.down     model.layers.{i}.mlp.experts.{e}.down_proj.weight              turned
norm.w                              model.norm.weight
head.w                              lm_head.weight                                                 turned
""")

# masks and tables that are computed: no weights
IGNORED = r".*\.attn\.(masked_)?bias|.*rotary_emb\.inv_freq"

ACTIVATIONS = dict(gelu_new="gelu", gelu_pytorch_tanh="gelu", gelu_fast="gelu", gelu="gelu_exact", relu="relu", relu2="relu2",
                   silu="silu", swish="silu")
MOST_CONTEXT = 2**20
TORCH = dict(fp64="float64", fp32="float32", fp16="float16", bf16="bfloat16")


# their settings in ours

class ConfigReader:
    """A config.json, asked for one thing at a time: what is missing or of another type is said in a sentence"""

    def __init__(self, data, where):
        self.data, self.where = data, where

    def get(self, key, default: Any = ...):
        value = self.data.get(key)
        if value is None:
            value = default
        if value is ...:
            raise BadInput(f"{self.where} lacks {key!r}")
        return value

    def integer(self, key, default: Any = ...):
        return self.typed(key, default, int, "a whole number")

    def number(self, key, default: Any = ...):
        return self.typed(key, default, (int, float), "a number")

    def typed(self, key, default, kind, words):
        value = self.get(key, default)
        if value is not default and (isinstance(value, bool) or not isinstance(value, kind) or abs(value) > 2**40):
            raise BadInput(f"{self.where}: {key} is {quoted(value)} and should be {words}")
        return value

    def require(self, key, right, meaning, default: Any = ...):
        """Refuse another value than those in `right`, a missing one being the first of them"""
        value = self.data.get(key, right[0] if default is ... else default)
        if value not in right:
            raise BadInput(f"{self.where}: {key} is {quoted(value)}, {meaning}; what littlebaby has is {key} "
                           f"{' or '.join(str(each).lower() for each in right)}")

    def activation(self, key):
        """c_activation"""
        value = self.get(key)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise BadInput(f"{self.where}: " + nearest(key, value, ACTIVATIONS))
        return ACTIVATIONS[value]

    def rope(self):
        """Our settings of how rope turns, wherever this version of transformers keeps them"""
        default = ROPE_BASE.get(self.data.get("model_type"), 10000.0)
        for key in ("rope_parameters", "rope_scaling"):
            scaling = self.get(key, {})
            if not isinstance(scaling, dict):
                raise BadInput(f"{self.where}: {key} is {quoted(scaling)} and should be an object")
            if scaling:
                inside = ConfigReader(scaling, f"{self.where}, {key}")
                return dict(rope_base=float(inside.number("rope_theta",
                                                          self.number("rope_theta", default)))) | rope_scaling_settings(inside, self)
        return dict(rope_base=float(self.number("rope_theta", default)))


STRETCHED = ("linear", "llama3", "yarn")


def rope_scaling_settings(c, whole):
    """Our settings of how rope is slowed, from the object that says it; `whole` is all of the config"""
    kind = c.get("rope_type", c.get("type", "default"))
    if kind == "default":
        return {}
    if kind not in STRETCHED:
        raise BadInput(f"{c.where}: rope is stretched by the rule {quoted(kind)}; what littlebaby has is default, "
                       f"{', '.join(STRETCHED)}")
    most = whole.integer("max_position_embeddings")
    learned = c.integer("original_max_position_embeddings", whole.integer("original_max_position_embeddings", most))
    factor = float(c.number("factor", most / max(learned, 1)))
    found = dict(c_rope_scale=kind, r_rope_factor=factor, n_rope_ctx=min(learned, MOST_CONTEXT), r_rope_gain=1.0)
    if kind == "llama3":
        return found | dict(r_rope_slow=float(c.number("low_freq_factor")), r_rope_fast=float(c.number("high_freq_factor")))
    if kind == "yarn":
        c.require("truncate", (True,), "which leaves pairs between two speeds")
        # as the paper's, 1 + ln f / 10; DeepSeek puts one weight on that logarithm here and another into the softmax
        gain = lambda weight: 1 + 0.1 * weight * log(max(factor, 1))
        here, all_ = c.number("mscale", 0), c.number("mscale_all_dim", 0)
        usual = gain(here) / gain(all_) if here and all_ else gain(1)
        return found | dict(r_rope_slow=float(c.number("beta_slow", 1) or 1), r_rope_fast=float(c.number("beta_fast", 32) or 32),
                            r_rope_gain=float(c.number("attention_factor", usual)))
    return found


def yarn_temperature(c):
    """What DeepSeek's softmax is divided by where rope is slowed by yarn"""
    for key in ("rope_parameters", "rope_scaling"):
        scaling = c.get(key, {})
        if isinstance(scaling, dict) and scaling.get("mscale_all_dim") and scaling.get("rope_type",
                                                                                       scaling.get("type", "default")) != "default":
            inside = ConfigReader(scaling, f"{c.where}, {key}")
            return (1 + 0.1 * inside.number("mscale_all_dim") * log(max(inside.number("factor"), 1))) ** -2
    return 1.0


def rotary(c, theirs):
    """What all architectures with rope share"""
    heads, width = c.integer("num_attention_heads"), c.integer("hidden_size")
    c.require("partial_rotary_factor", (1, 1.0), "which turns a part of each head only")
    return dict(n_ctx=min(c.integer("max_position_embeddings"), MOST_CONTEXT), n_vocab=rows_of(theirs, "model.embed_tokens.weight", c),
                n_emb=width, n_heads=heads, n_layers=c.integer("num_hidden_layers", count(theirs, "model.layers.#.")), c_bias="none",
                c_position="rope", rope_layout="half", b_tied="lm_head.weight" not in theirs) | c.rope()


def grouped(c, theirs, bias_in=False, bias_out=False):
    """llama and its kin: grouped queries, some of them in a sliding window"""
    found = rotary(c, theirs)
    heads = found["n_heads"]
    width = c.integer("head_dim", found["n_emb"] // max(heads, 1))
    found |= dict(c_attention="gqa", head_size=heads * width, n_kv_heads=c.integer("num_key_value_heads", heads), c_norm="rmsnorm",
                  b_bias_attention_in=bias_in, b_bias_attention_out=bias_out)
    window, kinds = c.integer("sliding_window", None), layer_kinds(c, found["n_layers"])
    if window is not None and window < found["n_ctx"] and "sliding_attention" in kinds:
        if len(kinds) > 1:
            raise BadInput(f"{c.where}: only some layers have a sliding window; what littlebaby has is one for all of them, or for none")
        found |= dict(c_attention="swa", s_window=window)
    return found


def layer_kinds(c, n_layers):
    """Which attentions there are: {"full_attention", "sliding_attention"} or one of the two"""
    if c.data["model_type"] == "llama":                          # its class knows no window
        return {"full_attention"}
    if c.data["model_type"] != "qwen2":
        return {"sliding_attention"}
    if not c.get("use_sliding_window"):
        return {"full_attention"}
    if isinstance(named := c.get("layer_types", None), list):
        return set(map(str, named))
    full = c.integer("max_window_layers")
    return {"sliding_attention"} if full <= 0 else {"full_attention"} if full >= n_layers else {"full_attention", "sliding_attention"}


def llama(c, theirs):
    c.require("hidden_act", ("silu", "swish"), "which bends the gate in another way")
    biased = bool(c.get("attention_bias", False))                # mistral has none, qwen2 always some
    return grouped(c, theirs, biased or c.data["model_type"] == "qwen2", biased) | dict(
        c_network="swi", s_hidden=rows_of(theirs, "model.layers.0.mlp.gate_proj.weight", c), norm_eps=c.number("rms_norm_eps"),
        b_bias_network=bool(c.get("mlp_bias", False)))


def mixtral(c, theirs):
    c.require("hidden_act", ("silu", "swish"), "which bends the gate in another way")
    expert = "model.layers.0.block_sparse_moe.experts.#.w1.weight"
    width, active = rows_of(theirs, expert.replace("#", "0"), c), c.integer("num_experts_per_tok")
    return grouped(c, theirs) | dict(
        norm_eps=c.number("rms_norm_eps"),
        c_network="moe", c_expert="swi", n_experts=count(theirs, expert), s_expert=width, n_active=active, c_aux="share",
        r_aux=aux_loss_setting(c.number("router_aux_loss_coef"), active), c_balance="batch")


def starcoder2(c, theirs):
    biased = bool(c.get("use_bias"))
    found = grouped(c, theirs, biased, biased)
    c.require("mlp_type", ("default",), "which is another network")
    return found | dict(c_norm="layernorm", norm_eps=c.number("norm_epsilon"), c_network="mlp",
                        s_hidden=rows_of(theirs, "model.layers.0.mlp.c_fc.weight", c), c_activation=c.activation("hidden_act"),
                        b_bias_network=biased)


def gpt2(c, theirs):
    width, heads = c.integer("n_embd"), c.integer("n_head")
    for key in ("add_cross_attention", "scale_attn_by_inverse_layer_idx"):
        c.require(key, (False,), "which is another attention")
    scaled = c.get("scale_attn_weights")
    return dict(n_ctx=rows_of(theirs, "transformer.wpe.weight", c), n_vocab=rows_of(theirs, "transformer.wte.weight", c), n_emb=width,
                n_heads=heads, n_layers=c.integer("n_layer", count(theirs, "transformer.h.#.")), c_bias="all",
                b_tied="lm_head.weight" not in theirs, norm_eps=c.number("layer_norm_epsilon"),
                c_activation=c.activation("activation_function"),
                s_hidden=rows_of(theirs, "transformer.h.0.mlp.c_fc.bias", c),
                r_temp=1.0 if scaled else max(width // max(heads, 1), 1) ** -0.5)


def deepseek(c, theirs):
    c.require("hidden_act", ("silu", "swish"), "which bends the gate in another way")
    c.require("attention_bias", (False,), "which puts biases beside the latents")
    found = rotary(c, theirs) | dict(
        c_attention="mla", c_norm="rmsnorm", norm_eps=c.number("rms_norm_eps"), mla_rank=c.integer("kv_lora_rank"),
        mla_q_rank=c.integer("q_lora_rank", None) or 0, mla_nope=c.integer("qk_nope_head_dim"), mla_rope=c.integer("qk_rope_head_dim"),
        mla_v=c.integer("v_head_dim"), head_size=c.integer("num_attention_heads") * c.integer("v_head_dim"), r_temp=yarn_temperature(c),
        rope_layout="interleaved" if c.get("rope_interleave") else "half", s_hidden=0)
    layers, mlp = found["n_layers"], "model.layers.#.mlp."
    dense = next((i for i in range(layers) if f"{mlp}gate.weight".replace("#", str(i)) in theirs), layers)
    if dense:
        found |= dict(s_hidden=rows_of(theirs, "model.layers.0.mlp.gate_proj.weight", c))
    if dense == layers:
        return found | dict(c_network="swi")
    first, active = mlp.replace("#", str(dense)), c.integer("num_experts_per_tok")
    width = rows_of(theirs, f"{first}experts.0.gate_proj.weight", c)
    shared = f"{first}shared_experts.gate_proj.weight"
    return found | dict(
        c_network="moe", c_expert="swi", c_router="sigmoid" if c.get("norm_topk_prob") else "sigmoid_raw",
        n_experts=count(theirs, f"{first}experts.#.gate_proj.weight"), n_active=active, s_expert=width,
        n_shared=theirs[shared].shape[0] // width if shared in theirs else 0, n_dense_layers=dense, n_expert_groups=c.integer("n_group"),
        n_active_expert_groups=c.integer("topk_group"), r_route_scale=c.number("routed_scaling_factor"), r_aux=aux_loss_setting(0.0,
                                                                                                                                active),
        r_bias_update=1e-3 if f"{first}gate.e_score_correction_bias" in theirs else 0.0)


def aux_loss_setting(r_aux, n_active):
    """r_aux; where a token asks one expert alone, a router has nothing else to learn from"""
    return r_aux or (0.01 if n_active == 1 else 0.0)


def rows_of(theirs, name, c):
    """The first number of a shape"""
    if name not in theirs:
        raise BadInput(f"{c.where} is of an architecture with {name}, which the weights lack")
    return theirs[name].shape[0] if theirs[name].shape else 0


# our settings in theirs

def shared(cfg, **more):
    """What every config.json says"""
    return dict(vocab_size=cfg.n_vocab, tie_word_embeddings=cfg.b_tied, use_cache=True, initializer_range=0.02) | more


def rope_scaling_json(cfg):
    """What a config.json says of rope"""
    if cfg.c_rope_scale == "none":
        return dict(rope_theta=cfg.rope_base)
    scaling = dict(rope_type=cfg.c_rope_scale, factor=cfg.r_rope_factor, original_max_position_embeddings=cfg.n_rope_ctx)
    if cfg.c_rope_scale == "llama3":
        scaling |= dict(low_freq_factor=cfg.r_rope_slow, high_freq_factor=cfg.r_rope_fast)
    if cfg.c_rope_scale == "yarn":
        scaling |= dict(beta_slow=cfg.r_rope_slow, beta_fast=cfg.r_rope_fast, attention_factor=cfg.r_rope_gain)
    return dict(rope_theta=cfg.rope_base, rope_scaling=scaling)


def as_grouped(cfg, **more):
    return shared(cfg, hidden_size=cfg.n_emb, num_hidden_layers=cfg.n_layers, num_attention_heads=cfg.n_heads,
                  num_key_value_heads=kv_heads(cfg), head_dim=cfg.head_width, max_position_embeddings=cfg.n_ctx,
                  sliding_window=cfg.s_window if cfg.c_attention == "swa" else None, **rope_scaling_json(cfg), **more)


def kv_heads(cfg):
    return cfg.n_heads if cfg.c_attention == "mha" else cfg.n_kv_heads


def as_llama(cfg):
    return as_grouped(cfg, rms_norm_eps=cfg.norm_eps, intermediate_size=cfg.hidden, hidden_act="silu",
                      attention_bias=cfg.c_bias == "all" or cfg.b_bias_attention_in, mlp_bias=cfg.network_bias)


def as_qwen2(cfg):
    return as_grouped(cfg, rms_norm_eps=cfg.norm_eps, intermediate_size=cfg.hidden, hidden_act="silu",
                      use_sliding_window=cfg.c_attention == "swa", max_window_layers=0 if cfg.c_attention == "swa" else cfg.n_layers)


def as_mixtral(cfg):
    return as_grouped(cfg, rms_norm_eps=cfg.norm_eps, intermediate_size=cfg.s_expert, hidden_act="silu",
                      num_local_experts=cfg.n_experts, num_experts_per_tok=cfg.n_active, router_aux_loss_coef=cfg.r_aux)


def as_starcoder2(cfg):
    return as_grouped(cfg, norm_epsilon=cfg.norm_eps, intermediate_size=cfg.hidden, hidden_act=ACTIVATION_NAMES[cfg.c_activation],
                      use_bias=True,
                      residual_dropout=0.0, embedding_dropout=0.0, attention_dropout=0.0)


def as_gpt2(cfg):
    return shared(cfg, n_positions=cfg.n_ctx, n_embd=cfg.n_emb, n_layer=cfg.n_layers, n_head=cfg.n_heads, n_inner=cfg.hidden,
                  activation_function=ACTIVATION_NAMES[cfg.c_activation], layer_norm_epsilon=cfg.norm_eps, resid_pdrop=0.0, embd_pdrop=0.0,
                  attn_pdrop=0.0)


def as_deepseek(cfg):
    return shared(cfg, hidden_size=cfg.n_emb, num_hidden_layers=cfg.n_layers, num_attention_heads=cfg.n_heads,
                  num_key_value_heads=cfg.n_heads, max_position_embeddings=cfg.n_ctx,
                  rope_interleave=cfg.rope_layout == "interleaved", rms_norm_eps=cfg.norm_eps, kv_lora_rank=cfg.mla_rank,
                  q_lora_rank=cfg.mla_q_rank or None, qk_nope_head_dim=cfg.mla_nope, qk_rope_head_dim=cfg.mla_rope,
                  v_head_dim=cfg.mla_v, n_routed_experts=cfg.n_experts, num_experts_per_tok=cfg.n_active, n_shared_experts=cfg.n_shared,
                  moe_intermediate_size=cfg.s_expert, intermediate_size=cfg.hidden, first_k_dense_replace=cfg.n_dense_layers,
                  n_group=cfg.n_expert_groups, topk_group=cfg.n_active_expert_groups, routed_scaling_factor=cfg.r_route_scale,
                  norm_topk_prob=cfg.c_router == "sigmoid",
                  hidden_act="silu", attention_bias=False, num_nextn_predict_layers=0, **rope_scaling_json(cfg))


ACTIVATION_NAMES = dict(gelu="gelu_pytorch_tanh", gelu_exact="gelu", relu="relu", silu="silu")


class Architecture(NamedTuple):
    table: list
    settings: Callable       # (their config, their arrays) -> our settings
    name: str = ""           # of the class in transformers
    config: Any = None       # our Config -> their config
    needs: Any = None        # {our setting: the values that it has room for}
    biases: Any = None       # settings with which it has all the biases that its files have


NORMAL = dict(c_sequence=("pre",), r_temp=(1.0,))
ROPE = NORMAL | dict(c_position=("rope",), c_norm=("rmsnorm",))
GATED = ROPE | dict(c_network=("swi",), c_bias=("none", "all"))
BENT = NORMAL | dict(c_norm=("layernorm",), c_network=("mlp",), c_activation=tuple(ACTIVATION_NAMES))
NO_BIAS = dict(c_bias=("none",), b_bias_attention_in=(False,), b_bias_attention_out=(False,), b_bias_network=(False,))

ARCHITECTURES = dict(
    llama=Architecture(LLAMA, llama, "LlamaForCausalLM", as_llama, GATED | dict(c_attention=("mha", "gqa"))),
    mistral=Architecture(LLAMA, llama, "MistralForCausalLM", as_llama, GATED | NO_BIAS | dict(c_attention=("swa", "mha", "gqa"))),
    qwen2=Architecture(LLAMA, llama, "Qwen2ForCausalLM", as_qwen2, GATED | dict(
        c_attention=("mha", "gqa", "swa"), c_bias=("none",), b_bias_attention_out=(False,), b_bias_network=(False,)),
        dict(b_bias_attention_in=True)),
    gpt2=Architecture(GPT2, gpt2, "GPT2LMHeadModel", as_gpt2, BENT | dict(c_attention=("mha",), c_position=("learned",)),
                      dict(c_bias="all")),
    starcoder2=Architecture(STARCODER2, starcoder2, "Starcoder2ForCausalLM", as_starcoder2, BENT | dict(
        c_attention=("mha", "gqa", "swa"), c_position=("rope",)), dict(c_bias="all")),
    mixtral=Architecture(MIXTRAL, mixtral, "MixtralForCausalLM", as_mixtral, ROPE | NO_BIAS | dict(
        c_attention=("mha", "gqa", "swa"), c_network=("moe",), c_expert=("swi",), c_router=("softmax_topk",), n_shared=(0,),
        n_dense_layers=(0,), n_expert_groups=(1,), r_route_scale=(1.0,), r_bias_update=(0.0,))),
    deepseek_v3=Architecture(DEEPSEEK, deepseek, "DeepseekV3ForCausalLM", as_deepseek, ROPE | NO_BIAS | dict(
        c_attention=("mla",), c_network=("moe",), c_expert=("swi",), c_router=("sigmoid", "sigmoid_raw"), mla_latent=("joint",),
        mla_norm=("rmsnorm",)), dict(r_bias_update=1e-3)),
    kimi_k2=Architecture(DEEPSEEK, deepseek))


def unsupported_settings(cfg, architecture):
    """A sentence for each setting that an architecture has no room for"""
    about = cfg.model_dump()
    if cfg.c_attention not in ("mha", "gqa", "swa"):
        about |= dict(b_bias_attention_in=False)
    wrong = [f"{name} is {about[name]} and would have to be {' or '.join(map(str, allowed))}"
             for name, allowed in architecture.needs.items() if about[name] not in allowed]
    if cfg.b_bias_head and cfg.c_norm != "layernorm":            # only behind a layernorm a bias fits into the head's matrix
        wrong.append("b_bias_head is True and would have to be False")
    if not wrong and architecture.name in ("GPT2LMHeadModel", "Starcoder2ForCausalLM") and cfg.head_size != cfg.n_emb:
        wrong.append(f"head_size is {cfg.head_size} and would have to be n_emb, {cfg.n_emb}")
    if not wrong and architecture.name == "DeepseekV3ForCausalLM":
        if not cfg.n_shared:
            wrong.append("n_shared is 0 and would have to be 1 or more")
        if cfg.n_expert_groups > 1 and not cfg.r_bias_update:
            wrong.append("r_bias_update is 0 and would have to be more, as groups are chosen by it")
    return wrong


def pick_architecture(cfg, among=None):
    """The name of an architecture that computes what this config says. BadInput names the nearest one and what does not fit"""
    choices = {name: a for name, a in ARCHITECTURES.items() if a.config and (among is None or name in among)}
    if cfg.c_attention != "swa":                                 # its place is the model with windows
        choices.pop("mistral", None)
    if not cfg.b_bias_attention_in or among is None and cfg.c_attention != "swa":
        choices.pop("qwen2", None)                               # transformers forces a tokenizer on qwen2: llama says the same
    elif "qwen2" in choices:                                     # among equals the first one is taken
        choices = {"qwen2": choices["qwen2"], **choices}
    wrong = {name: unsupported_settings(cfg, a) for name, a in choices.items()}
    best = min(wrong, key=lambda name: len(wrong[name]))
    if wrong[best]:
        raise BadInput(f"no architecture fits; the nearest is {best}: {'; '.join(wrong[best])}")
    return best


def renamed(cfg, weights, name):
    """(Config, {our name: array}) in the form of an architecture"""
    architecture = ARCHITECTURES[name]
    if "head.b" in weights:
        cfg, weights = rewrite.without_head_bias(cfg, weights)
    if cfg.c_position == "rope" and cfg.c_attention != "mla":
        cfg, weights = rewrite.pairs(cfg, weights, "half")
    more = architecture.biases or {}
    if name == "llama" and (cfg.b_bias_attention_in or cfg.b_bias_attention_out):
        more = dict(b_bias_attention_in=True, b_bias_attention_out=True)
    return rewrite.biased(cfg, weights, **more)


def huggingface_files(cfg, weights, tokenizer, d_type):
    """{file name: pieces of bytes} of a folder that transformers loads; BadInput where no architecture fits"""
    name = pick_architecture(cfg)
    cfg, weights = renamed(cfg, weights, name)
    roles = tokenizers.ids_for_others(tokenizer)
    config: dict[str, Any] = dict(architectures=[ARCHITECTURES[name].name], model_type=name, torch_dtype=TORCH[d_type], **roles,
                                  **ARCHITECTURES[name].config(cfg))
    made = {"config.json": [indented_json(config).encode()],
            "model.safetensors": tensors.as_safetensors(export_weights(ARCHITECTURES[name].table, cfg, weights), d_type,
                                                        (("format", "pt"),))}
    if said := {key: value for key, value in roles.items() if value is not None}:
        made["generation_config.json"] = [indented_json(said).encode()]
    return made | (tokenizers.tokenizer_files(tokenizer, cfg.n_ctx) if tokenizer else {})


def export_notes(cfg, tokenizer):
    """What a user of the files that huggingface_files makes must know"""
    if tokenizer is None or pick_architecture(cfg) != "qwen2":
        return ()
    return ("AutoTokenizer of transformers 5 gives a qwen2 model a tokenizer of its own, with other ids; load this one with "
            "PreTrainedTokenizerFast.from_pretrained.",)


def recognizes(config):
    """Whether a config.json is of this kind"""
    return "model_type" in config or "architectures" in config


def without_later_layers(theirs, first, n):
    """Without the n layers that DeepSeek trains to guess the tokens after the next one: they follow the model's own"""
    gone = tuple(f"model.layers.{i}." for i in range(first, min(first + n, first + 64)))
    return {name: a for name, a in theirs.items() if not name.startswith(gone)}


def same_as_token_table(theirs, lines):
    """Whether a head is a copy of the token table. transformers 5 ties the two only where the file has no other head"""
    token, head = (theirs.get(name) for ours in ("token", "head.w") for mine, name, _ in lines if mine == ours)
    return head is None or token is not None and np.array_equal(np.asarray(token), np.asarray(head))


def notes(config):
    """A sentence on the keys that transformers passes over, as littlebaby does; "" where there are none"""
    kind = config.get("model_type")
    unknown = passed_over(config, kind) if isinstance(kind, str) and kind in ARCHITECTURES else []
    return f"passed over, as transformers does for {kind}: {', '.join(unknown[:8])}{' ...' if len(unknown) > 8 else ''}" if unknown else ""


def read_weights(config, theirs, where):
    """(Config, weights one after the other) of a model of Hugging Face's"""
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise BadInput(f"{where}: " + nearest("model_type", kind, ARCHITECTURES))
    if kind == "gpt2" and "wte.weight" in theirs:
        theirs = {name if name == "lm_head.weight" else f"transformer.{name}": a for name, a in theirs.items()}
    architecture, config = ARCHITECTURES[kind], completed(config, kind, where)
    if config["tie_word_embeddings"] is True and same_as_token_table(theirs, architecture.table):
        theirs = {name: a for name, a in theirs.items() if name != "lm_head.weight"}
    if later := ConfigReader(config, where).integer("num_mtp_layers", 0):
        theirs = without_later_layers(theirs, ConfigReader(config, where).integer("num_hidden_layers"), later)
    return import_weights(architecture.table, architecture.settings(ConfigReader(config, where), theirs), theirs, where, IGNORED)
