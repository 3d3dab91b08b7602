"""Hugging Face folders: config.json, safetensors in one file or several, tokenizer.json.

Read are llama, mistral, qwen2, gpt2, starcoder2, mixtral and deepseek_v3 (kimi_k2); all but kimi_k2 are also written, so that
AutoModelForCausalLM of transformers loads them. The weight tables are in huggingface_tables, the settings in huggingface_settings.
"""
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import BadInput, nearest
from ...text import Tokenizer
from ..disk import indented_json
from ..settings import Config
from . import rewrite, tensors, tokenizers
from .config_reader import ConfigReader
from .huggingface_settings import (
    ACTIVATION_NAMES,
    deepseek,
    deepseek_json,
    gpt2,
    gpt2_json,
    llama,
    llama_json,
    mixtral,
    mixtral_json,
    qwen2_json,
    starcoder2,
    starcoder2_json,
)
from .huggingface_tables import DEEPSEEK, GPT2, IGNORED, LLAMA, MIXTRAL, STARCODER2
from .tensors import Arrays
from .transformers_configs import completed, unknown_keys
from .weight_table import Line, export_weights, import_weights

DTYPE_NAMES = dict(fp64="float64", fp32="float32", fp16="float16", bf16="bfloat16")       # torch_dtype of a config.json


class Architecture(NamedTuple):
    """One architecture of transformers; `json`, `allowed` and `biases` are for writing"""
    table: list[Line]
    settings: Callable[[ConfigReader, Arrays], dict[str, Any]]       # config, foreign arrays -> our settings
    name: str = ""                                                   # of its class in transformers
    json: Callable[[Config], dict[str, Any]] | None = None           # our Config -> config.json; None: read only
    allowed: Mapping[str, tuple] = {}                                # {our setting: the values that it supports}
    biases: Mapping[str, Any] = {}                                   # our settings that create every bias its files must have


NORMAL = dict(c_sequence=("pre",), r_temp=(1.0,))
ROPE = NORMAL | dict(c_position=("rope",), c_norm=("rmsnorm",))
GATED = ROPE | dict(c_network=("swi",), c_gate_activation=("silu",), c_bias=("none", "all"))
MLP = NORMAL | dict(c_norm=("layernorm",), c_network=("mlp",), c_activation=tuple(ACTIVATION_NAMES))
NO_BIAS = dict(c_bias=("none",), b_bias_attention_in=(False,), b_bias_attention_out=(False,), b_bias_network=(False,))

ARCHITECTURES = dict(
    llama=Architecture(LLAMA, llama, "LlamaForCausalLM", llama_json, GATED | dict(c_attention=("mha", "gqa"))),
    mistral=Architecture(LLAMA, llama, "MistralForCausalLM", llama_json, GATED | NO_BIAS | dict(c_attention=("swa", "mha", "gqa"))),
    qwen2=Architecture(LLAMA, llama, "Qwen2ForCausalLM", qwen2_json, GATED | dict(
        c_attention=("mha", "gqa", "swa"), c_bias=("none",), b_bias_attention_out=(False,), b_bias_network=(False,)),
        dict(b_bias_attention_in=True)),
    gpt2=Architecture(GPT2, gpt2, "GPT2LMHeadModel", gpt2_json, MLP | dict(c_attention=("mha",), c_position=("learned",)),
                      dict(c_bias="all")),
    starcoder2=Architecture(STARCODER2, starcoder2, "Starcoder2ForCausalLM", starcoder2_json, MLP | dict(
        c_attention=("mha", "gqa", "swa"), c_position=("rope",)), dict(c_bias="all")),
    mixtral=Architecture(MIXTRAL, mixtral, "MixtralForCausalLM", mixtral_json, ROPE | NO_BIAS | dict(
        c_attention=("mha", "gqa", "swa"), c_network=("moe",), c_expert=("swi",), c_gate_activation=("silu",), c_router=("softmax_topk",),
        n_shared=(0,), n_dense_layers=(0,), n_expert_groups=(1,), r_route_scale=(1.0,), r_bias_update=(0.0,))),
    deepseek_v3=Architecture(DEEPSEEK, deepseek, "DeepseekV3ForCausalLM", deepseek_json, ROPE | NO_BIAS | dict(
        c_attention=("mla",), c_network=("moe",), c_expert=("swi",), c_gate_activation=("silu",), c_router=("sigmoid", "sigmoid_raw"),
        mla_latent=("joint",), mla_norm=("rmsnorm",)), dict(r_bias_update=1e-3)),
    kimi_k2=Architecture(DEEPSEEK, deepseek))


def unsupported_settings(cfg: Config, architecture: Architecture) -> list[str]:
    """A sentence for each setting that an architecture does not support"""
    settings = cfg.model_dump()
    if cfg.c_attention not in ("mha", "gqa", "swa"):             # the others have no such biases, whatever the setting is
        settings |= dict(b_bias_attention_in=False)
    wrong = [f"{name} is {settings[name]} and would have to be {' or '.join(map(str, allowed))}"
             for name, allowed in architecture.allowed.items() if settings[name] not in allowed]
    if cfg.b_bias_head and cfg.c_norm != "layernorm":            # only behind a layernorm can the matrix of the head absorb its bias
        wrong.append("b_bias_head is True and would have to be False")
    if not wrong and architecture.name in ("GPT2LMHeadModel", "Starcoder2ForCausalLM") and cfg.head_size != cfg.n_emb:
        wrong.append(f"head_size is {cfg.head_size} and would have to be n_emb, {cfg.n_emb}")
    if not wrong and architecture.name == "DeepseekV3ForCausalLM":
        if not cfg.n_shared:
            wrong.append("n_shared is 0 and would have to be 1 or more")
        if cfg.n_expert_groups > 1 and not cfg.r_bias_update:
            wrong.append("r_bias_update is 0 and would have to be more, because it selects among groups of experts")
    return wrong


def pick_architecture(cfg: Config, among: Iterable[str] | None = None) -> str:
    """The name of an architecture that computes what this config describes

    among: the names to choose from; None: all that can be written
    BadInput names the nearest architecture and the settings that it does not support.
    """
    choices = {name: a for name, a in ARCHITECTURES.items() if a.json and (among is None or name in among)}
    if cfg.c_attention != "swa":                                 # mistral is for models with a window only
        choices.pop("mistral", None)
    if not cfg.b_bias_attention_in or among is None and cfg.c_attention != "swa":
        choices.pop("qwen2", None)                               # transformers forces a tokenizer on qwen2; llama computes the same
    elif "qwen2" in choices:                                     # the first of several that fit is taken
        choices = {"qwen2": choices["qwen2"], **choices}
    wrong = {name: unsupported_settings(cfg, a) for name, a in choices.items()}
    best = min(wrong, key=lambda name: len(wrong[name]))
    if wrong[best]:
        raise BadInput(f"no architecture fits; the nearest is {best}: {'; '.join(wrong[best])}")
    return best


def adapted(cfg: Config, weights: Mapping[str, np.ndarray], name: str) -> tuple[Config, Mapping[str, np.ndarray]]:
    """(config, {our name: array}) of the same model in the form that the architecture `name` requires: its rope layout, its biases"""
    if "head.b" in weights:
        cfg, weights = rewrite.without_head_bias(cfg, weights)
    if cfg.c_position == "rope" and cfg.c_attention != "mla":
        cfg, weights = rewrite.pairs(cfg, weights, "half")
    biases = ARCHITECTURES[name].biases
    if name == "llama" and (cfg.b_bias_attention_in or cfg.b_bias_attention_out):
        biases = dict(b_bias_attention_in=True, b_bias_attention_out=True)
    return rewrite.biased(cfg, weights, **biases)


def huggingface_files(cfg: Config, weights: Mapping[str, np.ndarray], tokenizer: Tokenizer | None,
                      d_type: str) -> dict[str, Iterable[bytes | memoryview]]:
    """{file name: pieces of bytes} of a folder that transformers loads. BadInput where no architecture fits

    weights: {our name: array}      tokenizer: or None      d_type: fp64, fp32, fp16 or bf16
    """
    name = pick_architecture(cfg)
    cfg, weights = adapted(cfg, weights, name)
    token_ids = tokenizers.ids_for_others(tokenizer)
    architecture = ARCHITECTURES[name]
    assert architecture.json, "pick_architecture takes none that cannot be written"
    config = dict(architectures=[architecture.name], model_type=name, torch_dtype=DTYPE_NAMES[d_type], **token_ids,
                  **architecture.json(cfg))
    exported = export_weights(architecture.table, cfg, weights)
    files: dict[str, Iterable[bytes | memoryview]] = {
        "config.json": [indented_json(config).encode()],
        "model.safetensors": tensors.as_safetensors(exported, d_type, (("format", "pt"),))}
    if known_ids := {key: value for key, value in token_ids.items() if value is not None}:
        files["generation_config.json"] = [indented_json(known_ids).encode()]
    return files | (tokenizers.tokenizer_files(tokenizer, cfg.n_ctx) if tokenizer else {})


def export_notes(cfg: Config, tokenizer: Tokenizer | None) -> tuple[str, ...]:
    """Sentences that a user of the files of `huggingface_files` must know"""
    if tokenizer is None or pick_architecture(cfg) != "qwen2":
        return ()
    return ("AutoTokenizer of transformers 5 gives a qwen2 model a tokenizer of its own, with other ids; load this one with "
            "PreTrainedTokenizerFast.from_pretrained.",)


def recognizes(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of this format"""
    return "model_type" in config or "architectures" in config


def without_later_layers(foreign: Arrays, first: int, n: int) -> Arrays:
    """The arrays without those of n layers from `first` on, with which DeepSeek predicts the tokens after the next one"""
    removed = tuple(f"model.layers.{i}." for i in range(first, min(first + n, first + 64)))
    return {name: a for name, a in foreign.items() if not name.startswith(removed)}


def same_as_token_table(foreign: Arrays, table: list[Line]) -> bool:
    """Whether the head is missing or a copy of the token table. transformers 5 keeps a head that differs, though its config ties the two"""
    token, head = (foreign.get(line.foreign) for own in ("token", "head.w") for line in table if line.own == own)
    return head is None or token is not None and np.array_equal(np.asarray(token), np.asarray(head))


def notes(config: Mapping[str, Any]) -> str:
    """A sentence on the keys of a config.json that transformers, and so littlebaby, ignores; "" where there are none"""
    kind = config.get("model_type")
    unknown = unknown_keys(config, kind) if isinstance(kind, str) and kind in ARCHITECTURES else []
    return f"ignored, as transformers does for {kind}: {', '.join(unknown[:8])}{' ...' if len(unknown) > 8 else ''}" if unknown else ""


def read_weights(config: Mapping[str, Any], foreign: Arrays, where: Path | str) -> tuple[Config, Iterator[tuple[str, np.ndarray]]]:
    """(config, pairs of our name and array) of a model

    config: the object of its config.json      foreign: {name: array}      where: the file that the errors name
    BadInput where the model cannot be read, see `weight_table.import_weights`.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise BadInput(f"{where}: " + nearest("model_type", kind, ARCHITECTURES))
    if kind == "gpt2" and "wte.weight" in foreign:
        foreign = {name if name == "lm_head.weight" else f"transformer.{name}": a for name, a in foreign.items()}
    architecture, config = ARCHITECTURES[kind], completed(config, kind, where)
    if config["tie_word_embeddings"] is True and same_as_token_table(foreign, architecture.table):
        foreign = {name: a for name, a in foreign.items() if name != "lm_head.weight"}
    c = ConfigReader(config, where)
    if n_later := c.integer("num_mtp_layers", 0):
        foreign = without_later_layers(foreign, c.integer("num_hidden_layers"), n_later)
    return import_weights(architecture.table, architecture.settings(c, foreign), foreign, where, IGNORED)
