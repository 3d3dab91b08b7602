"""The Little Baby, v0.0.9 to v0.1: one flat JSON of nested lists, or the same names in safetensors; matrices (in, out), as here.

Read are mha, gqa, moh, swh, aft, gla and rfa with mlp, swi, moe, gln, nft and lor, under their older names, too. moh and swh added their
heads up in one head's width and had one small matrix for the sum: it becomes a matrix for each head (divided by their number in moh,
whose weights have mean 1 here). rfa computed what mha does, for nobody read its memory. A bias that is null, or was forgotten when it was
saved (aft's), is 0.
"""
import re

import numpy as np

from ...errors import BadInput, nearest
from .. import disk
from ..aliases import renamed
from .huggingface import ConfigReader
from .tensors import json_object
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
OLDER = dict(rfa="mha", lda="gla", lin="gln")
NAMES = OLDER | dict(net_nft="nft", c_proj="proj")
BIASED = r"(lm_head|block_\d+_(\w+_[cm]|\w+_(up|gt|dn)|lor_c_proj|(gln|lin)_g))_bias"
COUNTS = r"block_\d+_(moe_expansion|moe_n_experts|gla_kernel_size|lor_rank|lor_alpha)"         # in safetensors; of JSON only alpha is read
MODEL = ("c_sequence", "c_attention", "c_network", "n_ctx", "n_emb", "head_size", "n_heads", "n_layers", "r_temp")


def recognizes(config):
    return "version" not in config and ("n_emb" in config or "c_attention" in config)


def arrays(data, where):
    """{name: array} of what a model_GUID.json holds; its counts are left out, a bias that is null is 0"""
    found = {}
    for name, value in data.items():
        if value is None and re.fullmatch(BIASED, name):
            weight = data.get(name.removesuffix("bias") + "weight")
            value = [0.0] * len(weight[0]) if isinstance(weight, list) and weight and isinstance(weight[0], list) else None
        if not isinstance(value, list) and not (name.endswith("_lor_alpha") and isinstance(value, int | float)):
            continue
        try:
            found[name] = np.array(value, np.float64)
        except (ValueError, TypeError):
            raise BadInput(f"{where}: {name} is no table of numbers") from None
    return found


def beside(model):
    """The config of a model_GUID.json: configs/config_GUID.json, or the same beside it"""
    name = re.sub("^model", "config", model.name)
    folders = [model.parent, model.parent.parent / "configs"]
    found = next((folder / name for folder in folders if (folder / name).exists()), None)
    if found is None:
        raise BadInput(f"{model} needs {name} beside it or in configs/")
    return found


def tokenizer_beside(model):
    """The path of its tokenizer, None where there is none"""
    name = re.sub("^model", "tokenizer", model.name)
    return next((f / name for f in (model.parent, model.parent.parent / "tokenizers") if (f / name).exists()), None)


def read_weights(config, theirs, where):
    """(Config, weights one after the other)"""
    chosen = {name: value for name, value in renamed(config).items() if name in MODEL}
    for name, allowed, oldest in (("c_attention", ATTENTIONS, "mha"), ("c_network", tuple(NETWORKS), "mlp")):
        said = chosen.get(name, oldest)                          # before v0.0.8 there was no other
        chosen[name] = OLDER.get(said, said) if isinstance(said, str) else said
        if chosen[name] not in allowed:
            raise BadInput(f"{where}: " + nearest(name, said, [*allowed, *(old for old, new in OLDER.items() if new in allowed)]))
    theirs = {re.sub(rf"(?<=_)({'|'.join(NAMES)})(?=_)", lambda old: NAMES[old[0]], name): a for name, a in theirs.items()}
    attention, network, n = chosen["c_attention"], chosen["c_network"], count(theirs, "block_#_")
    first = f"block_0_{attention}_{'k' if attention in ('aft', 'gla') else 'q'}_weight"
    if missing := [name for name in ("wte_weight", "wpe_weight", first) if name not in theirs]:
        raise BadInput(f"{where} lacks {missing[0]}, which its config asks for")
    chosen |= dict(n_layers=n, n_vocab=theirs["wte_weight"].shape[0], n_ctx=theirs["wpe_weight"].shape[0],
                   b_norm_last=chosen.get("c_sequence") == "post", d_type="fp64" if theirs["wte_weight"].dtype == np.float64 else "fp32")
    heads = ConfigReader(chosen, where).integer("n_heads", 4)
    if not chosen.get("head_size") and len(theirs[first].shape) == 2:
        chosen["head_size"] = theirs[first].shape[1]
    chosen |= inside(theirs, attention, network, heads)
    if attention == "gla":
        theirs = filtered(theirs, ConfigReader(chosen, where).number("r_temp", 1.0), where)
    unused = COUNTS + (r"|block_\d+_aft_q_weight" if attention == "aft" else "")         # aft has queries and never asks them
    theirs = {name: a for name, a in spread(theirs, attention, heads).items() if not re.fullmatch(unused, name)}
    if attention == "aft":                                       # its bias was forgotten when models were saved
        theirs = {f"block_{i}_aft_c_bias": np.zeros(theirs["wte_weight"].shape[-1]) for i in range(n)} | theirs
    lines = parse_weight_table((BABY + NETWORKS[network]).replace("_ATT_", f"_{attention}_"))
    return import_weights(lines, chosen, theirs, where)


def inside(theirs, attention, network, h):
    """Settings that only the shapes tell, and two numbers"""
    columns = lambda name: theirs[name].shape[-1] if name in theirs and theirs[name].shape else 0
    found = dict(s_hidden=columns(f"block_0_{network}_proj_up_weight")) if network in ("mlp", "swi") else {}
    if network == "moe":
        found = dict(n_experts=count(theirs, "block_0_moe_expert_#_"), s_expert=columns("block_0_moe_expert_0_up_weight"), n_active=0,
                     r_aux=0.0)
    if network == "lor":
        alpha = theirs.get("block_0_lor_alpha", np.ones(1))
        found = dict(network_rank=columns("block_0_lor_proj_dn_weight"), network_alpha=float(alpha.flat[0]) if alpha.size == 1 else 0.0)
    if network in ("gln", "nft"):
        found = dict(b_network_gate=f"block_0_{network}_{'g' if network == 'gln' else 'q'}_weight" in theirs)
    if attention == "gqa":
        wide = columns("block_0_gqa_q_weight") // max(1, h)
        found |= dict(n_kv_heads=columns("block_0_gqa_k_weight") // max(1, wide))
    if attention in ("aft", "gla"):
        found |= dict(head_size=columns(f"block_0_{attention}_k_weight"))
    if attention == "gla":
        found |= dict(s_kernel=columns("block_0_gla_conv_weight"))
    return found


def filtered(theirs, temperature, where):
    """gla's filters as taps, the newest token's first: (H, K), the oldest first -> (K, H); its keys were divided by a temperature"""
    out = {}
    for name, a in theirs.items():
        if name.endswith("_gla_conv_weight"):
            out[name] = np.ascontiguousarray(a[..., ::-1].T) if a.shape else a
        elif name.endswith("_gla_k_weight"):
            out[name] = np.asarray(a, np.float64) / (temperature or 1.0)
        elif not name.endswith("_gla_conv_bias"):
            out[name] = a
        elif np.any(a):
            raise BadInput(f"{where}: {name} is not 0, and the filters of gla have no bias here")
    return out


def spread(theirs, attention, h):
    """The one small output matrix (d, D) of moh and swh, once for every head: (H, D)"""
    if attention not in ("moh", "swh"):
        return theirs
    if not 0 < h <= 1024:
        return theirs
    out = {}
    for name, a in theirs.items():
        if name.endswith("_m_weight"):                         # divided in fp64: the file's own type may be fp16
            out[name[:-len("m_weight")] + "c_weight"] = np.tile(np.asarray(a, np.float64), (h, 1)) / (h if attention == "moh" else 1)
        else:
            out[name.replace(f"_{attention}_m_", f"_{attention}_c_")] = a
    return out


def load(path):
    """({name: array}, config, config's path) of a model_GUID.json"""
    data = disk.read_json(path)
    if isinstance(data, dict) and {"guid", "tensors"} <= data.keys():
        raise BadInput(f"{path} is the model of a run of littlebaby's own: give its name, and --path with the folder above models/")
    if not isinstance(data, dict) or "wte_weight" not in data:
        raise BadInput(f"{path} is no model of The Little Baby: it has no wte_weight")
    return arrays(data, path), json_object(beside(path)), beside(path)
