"""The Little Baby, v0.0.9 to v0.1: one flat JSON of nested lists, or the same names in safetensors; matrices (in, out), as here.

Read are mha, gqa, moh, swh, aft, gla and rfa with mlp, swi, moe, gln, nft and lor, and their older names. There moh and swh summed their
heads and multiplied the sum (d) with one small matrix (d, D); here that matrix is repeated for every head (divided by the number of heads
in moh, whose head weights have mean 1 here). rfa is read as mha, because it never read its memory. A bias that is null, or that was not
saved (that of aft), is 0.
"""
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput, nearest
from .. import disk
from ..aliases import renamed
from ..settings import Config
from .config_reader import ConfigReader
from .tensors import Arrays, json_object
from .weight_table import count, import_weights, parse_weight_table

BABY = """
token                               wte_weight
position.table                      wpe_weight
blocks.{i}.norm1.w                  block_{i}_ln1_gamma
blocks.{i}.norm1.b                  block_{i}_ln1_beta
blocks.{i}.att.wq                   block_{i}_ATT_q_weight
blocks.{i}.att.wk                   block_{i}_ATT_k_weight
blocks.{i}.att.wv                   block_{i}_ATT_v_weight
blocks.{i}.att.wg                   block_{i}_ATT_g_weight
blocks.{i}.att.w                    block_{i}_ATT_norm_gamma
blocks.{i}.att.b                    block_{i}_ATT_norm_beta
blocks.{i}.att.f                    block_{i}_ATT_conv_weight
blocks.{i}.att.wo                   block_{i}_ATT_c_weight
blocks.{i}.att.bo                   block_{i}_ATT_c_bias
blocks.{i}.norm2.w                  block_{i}_ln2_gamma
blocks.{i}.norm2.b                  block_{i}_ln2_beta
norm.w                              ln_f_gamma
norm.b                              ln_f_beta
head.w                              lm_head_weight
head.b                              lm_head_bias
"""
NETWORKS = dict(
    mlp="""
blocks.{i}.net.up                   block_{i}_mlp_proj_up_weight
blocks.{i}.net.b1                   block_{i}_mlp_proj_up_bias
blocks.{i}.net.down                 block_{i}_mlp_proj_dn_weight
blocks.{i}.net.b2                   block_{i}_mlp_proj_dn_bias
""", swi="""
blocks.{i}.net.up                   block_{i}_swi_proj_up_weight
blocks.{i}.net.bup                  block_{i}_swi_proj_up_bias
blocks.{i}.net.gate                 block_{i}_swi_proj_gt_weight
blocks.{i}.net.bgate                block_{i}_swi_proj_gt_bias
blocks.{i}.net.down                 block_{i}_swi_proj_dn_weight
blocks.{i}.net.bdown                block_{i}_swi_proj_dn_bias
""", moe="""
blocks.{i}.net.router               block_{i}_moe_g_weight
blocks.{i}.net.experts.{e}.up       block_{i}_moe_expert_{e}_up_weight
blocks.{i}.net.experts.{e}.b1       block_{i}_moe_expert_{e}_up_bias
blocks.{i}.net.experts.{e}.down     block_{i}_moe_expert_{e}_dn_weight
blocks.{i}.net.experts.{e}.b2       block_{i}_moe_expert_{e}_dn_bias
""", gln="""
blocks.{i}.net.w                    block_{i}_gln_c_weight
blocks.{i}.net.b                    block_{i}_gln_c_bias
blocks.{i}.net.u                    block_{i}_gln_g_weight
blocks.{i}.net.c                    block_{i}_gln_g_bias
""", nft="""
blocks.{i}.net.wk                   block_{i}_nft_k_weight
blocks.{i}.net.wv                   block_{i}_nft_v_weight
blocks.{i}.net.wq                   block_{i}_nft_q_weight
blocks.{i}.net.wo                   block_{i}_nft_c_weight
blocks.{i}.net.bo                   block_{i}_nft_c_bias
""", lor="""
blocks.{i}.net.w0                   block_{i}_lor_proj_weight
blocks.{i}.net.b0                   block_{i}_lor_proj_bias
blocks.{i}.net.a                    block_{i}_lor_proj_dn_weight
blocks.{i}.net.b                    block_{i}_lor_proj_up_weight
""")
ATTENTIONS = ("mha", "gqa", "moh", "swh", "aft", "gla")
OLD_VARIANTS = dict(rfa="mha", lda="gla", lin="gln")
OLD_NAMES = OLD_VARIANTS | dict(net_nft="nft", c_proj="proj")          # in the names of weights
BIASES = r"(lm_head|block_\d+_(\w+_[cm]|\w+_(up|gt|dn)|lor_c_proj|(gln|lin)_g))_bias"
COUNTS = r"block_\d+_(moe_expansion|moe_n_experts|gla_kernel_size|lor_rank|lor_alpha)"     # in safetensors; from JSON only alpha is read
SETTINGS = ("c_sequence", "c_attention", "c_network", "n_ctx", "n_emb", "head_size", "n_heads", "n_layers", "r_temp")


def recognizes(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of this format"""
    return "version" not in config and ("n_emb" in config or "c_attention" in config)


def arrays(data: Mapping[str, Any], where: Path | str) -> dict[str, np.ndarray]:
    """{name: array} of the object of a model_GUID.json, without its counts; a bias that is null becomes 0. BadInput: no table of numbers"""
    found = {}
    for name, value in data.items():
        if value is None and re.fullmatch(BIASES, name):
            weight = data.get(name.removesuffix("bias") + "weight")
            value = [0.0] * len(weight[0]) if isinstance(weight, list) and weight and isinstance(weight[0], list) else None
        if not isinstance(value, list) and not (name.endswith("_lor_alpha") and isinstance(value, int | float)):
            continue
        try:
            found[name] = np.array(value, np.float64)
        except (ValueError, TypeError):
            raise BadInput(f"{where}: {name} is not a table of numbers") from None
    return found


def config_path_of(model: Path) -> Path:
    """The path of the config of a model_GUID.json: config_GUID.json beside it, or in configs/. BadInput where there is none"""
    name = re.sub("^model", "config", model.name)
    folders = [model.parent, model.parent.parent / "configs"]
    found = next((folder / name for folder in folders if (folder / name).exists()), None)
    if found is None:
        raise BadInput(f"{model} needs {name} beside it or in configs/")
    return found


def tokenizer_path_of(model: Path) -> Path | None:
    """The path of the tokenizer of a model_GUID.json, None where there is none"""
    name = re.sub("^model", "tokenizer", model.name)
    return next((f / name for f in (model.parent, model.parent.parent / "tokenizers") if (f / name).exists()), None)


def read_weights(config: dict[str, Any], foreign: Arrays, where: Path | str) -> tuple[Config, Iterator[tuple[str, np.ndarray]]]:
    """(config, pairs of our name and array). BadInput where the model cannot be read"""
    chosen = {name: value for name, value in renamed(config).items() if name in SETTINGS}
    for name, allowed, oldest in (("c_attention", ATTENTIONS, "mha"), ("c_network", tuple(NETWORKS), "mlp")):
        variant = chosen.get(name, oldest)                       # before v0.0.8 there was no other
        chosen[name] = OLD_VARIANTS.get(variant, variant) if isinstance(variant, str) else variant
        if chosen[name] not in allowed:
            old_names = [old for old, new in OLD_VARIANTS.items() if new in allowed]
            raise BadInput(f"{where}: " + nearest(name, variant, [*allowed, *old_names]))
    foreign = {re.sub(rf"(?<=_)({'|'.join(OLD_NAMES)})(?=_)", lambda old: OLD_NAMES[old[0]], name): a for name, a in foreign.items()}
    attention, network, n = chosen["c_attention"], chosen["c_network"], count(foreign, "block_#_")
    first = f"block_0_{attention}_{'k' if attention in ('aft', 'gla') else 'q'}_weight"
    if missing := [name for name in ("wte_weight", "wpe_weight", first) if name not in foreign]:
        raise BadInput(f"{where} lacks {missing[0]}, which its config requires")
    chosen |= dict(n_layers=n, n_vocab=foreign["wte_weight"].shape[0], n_ctx=foreign["wpe_weight"].shape[0],
                   b_norm_last=chosen.get("c_sequence") == "post", d_type="fp64" if foreign["wte_weight"].dtype == np.float64 else "fp32")
    heads = ConfigReader(chosen, where).integer("n_heads", 4)
    if not chosen.get("head_size") and len(foreign[first].shape) == 2:
        chosen["head_size"] = foreign[first].shape[1]
    chosen |= settings_from_shapes(foreign, attention, network, heads)
    if attention == "gla":
        foreign = with_converted_filters(foreign, ConfigReader(chosen, where).number("r_temp", 1.0), where)
    unused = COUNTS + (r"|block_\d+_aft_q_weight" if attention == "aft" else "")         # aft saved queries and never used them
    foreign = {name: a for name, a in repeated_for_heads(foreign, attention, heads).items() if not re.fullmatch(unused, name)}
    if attention == "aft":                                       # its bias was not saved with the model
        foreign = {f"block_{i}_aft_c_bias": np.zeros(foreign["wte_weight"].shape[-1]) for i in range(n)} | foreign
    lines = parse_weight_table((BABY + NETWORKS[network]).replace("_ATT_", f"_{attention}_"))
    return import_weights(lines, chosen, foreign, where)


def settings_from_shapes(foreign: Arrays, attention: str, network: str, h: int) -> dict[str, Any]:
    """The settings that are read from the shapes of the weights, and those with one value in all such models. h: the number of heads"""
    columns = lambda name: foreign[name].shape[-1] if name in foreign and foreign[name].shape else 0
    found = dict(s_hidden=columns(f"block_0_{network}_proj_up_weight")) if network in ("mlp", "swi") else {}
    if network == "moe":
        found = dict(n_experts=count(foreign, "block_0_moe_expert_#_"), s_expert=columns("block_0_moe_expert_0_up_weight"), n_active=0,
                     r_aux=0.0)
    if network == "lor":
        alpha = np.asarray(foreign.get("block_0_lor_alpha", 1.0))
        found = dict(network_rank=columns("block_0_lor_proj_dn_weight"), network_alpha=float(alpha.flat[0]) if alpha.size == 1 else 0.0)
    if network in ("gln", "nft"):
        found = dict(b_network_gate=f"block_0_{network}_{'g' if network == 'gln' else 'q'}_weight" in foreign)
    if attention == "gqa":
        width = columns("block_0_gqa_q_weight") // max(1, h)
        found |= dict(n_kv_heads=columns("block_0_gqa_k_weight") // max(1, width))
    if attention in ("aft", "gla"):
        found |= dict(head_size=columns(f"block_0_{attention}_k_weight"))
    if attention == "gla":
        found |= dict(s_kernel=columns("block_0_gla_conv_weight"))
    return found


def with_converted_filters(foreign: Arrays, temperature: float, where: Path | str) -> Arrays:
    """The arrays of gla with filters (H, K), oldest token first, as (K, H), newest token first, and with the temperature in the keys

    BadInput where a filter has a bias other than 0.
    """
    out = dict(foreign)
    for name, a in foreign.items():
        if name.endswith("_gla_conv_weight"):
            out[name] = np.ascontiguousarray(np.asarray(a)[..., ::-1].T) if a.shape else a
        elif name.endswith("_gla_k_weight"):
            out[name] = np.asarray(a, np.float64) / (temperature or 1.0)
        elif name.endswith("_gla_conv_bias"):
            if np.any(np.asarray(a)):
                raise BadInput(f"{where}: {name} is not 0, and the filters of gla have no bias here")
            del out[name]
    return out


def repeated_for_heads(foreign: Arrays, attention: str, h: int) -> Arrays:
    """The arrays with the one small output matrix (d, D) of moh and swh repeated for every head: (H, D). h: the number of heads"""
    if attention not in ("moh", "swh"):
        return foreign
    if not 0 < h <= 1024:
        return foreign
    out = dict[str, Any]()
    for name, a in foreign.items():
        if name.endswith("_m_weight"):                         # divided in fp64: the file's own type may be fp16
            out[name[:-len("m_weight")] + "c_weight"] = np.tile(np.asarray(a, np.float64), (h, 1)) / (h if attention == "moh" else 1)
        else:
            out[name.replace(f"_{attention}_m_", f"_{attention}_c_")] = a
    return out


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any], Path]:
    """({name: array}, config, path of the config) of a model_GUID.json. BadInput where it is none, or has no config"""
    data = disk.read_json(path)
    if isinstance(data, dict) and {"guid", "tensors"} <= data.keys():
        raise BadInput(f"{path} is the model of a run of littlebaby: give the name of the run, and --path with the folder above models/")
    if not isinstance(data, dict) or "wte_weight" not in data:
        raise BadInput(f"{path} is not a model of The Little Baby: it has no wte_weight")
    config_path = config_path_of(path)
    return arrays(data, path), json_object(config_path), config_path
