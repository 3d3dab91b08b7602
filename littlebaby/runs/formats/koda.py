"""KodaLite as Flax stores it: matrices (in, out), rope rotates neighbouring columns. Its own converter makes a Hugging Face llama of it."""
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..settings import Config
from .config_reader import ConfigReader, rows_of
from .tensors import Arrays
from .weight_table import count, import_weights, parse_weight_table

KODA = parse_weight_table("""
token                         ['token_emb']['embedding'].value
blocks.{i}.norm1.w            ['blocks'][{i}]['norm1']['scale'].value
blocks.{i}.att.wq             ['blocks'][{i}]['attention']['q_proj']['kernel'].value
blocks.{i}.att.wk             ['blocks'][{i}]['attention']['k_proj']['kernel'].value
blocks.{i}.att.wv             ['blocks'][{i}]['attention']['v_proj']['kernel'].value
blocks.{i}.att.wo             ['blocks'][{i}]['attention']['o_proj']['kernel'].value
blocks.{i}.norm2.w            ['blocks'][{i}]['norm2']['scale'].value
blocks.{i}.net.gate           ['blocks'][{i}]['ffn']['gate']['kernel'].value
blocks.{i}.net.up             ['blocks'][{i}]['ffn']['up']['kernel'].value
blocks.{i}.net.down           ['blocks'][{i}]['ffn']['down']['kernel'].value
norm.w                        ['norm_final']['scale'].value
head.w                        ['output_layer']['kernel'].value
""")


def recognizes(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of this format"""
    return "embed_dim" in config and "num_blocks" in config


def kv_heads(c: ConfigReader, foreign: Arrays) -> int:
    """How many heads the keys have, from the width of their matrix"""
    width = foreign[name].shape[-1] if (name := "['blocks'][0]['attention']['k_proj']['kernel'].value") in foreign else 0
    return max(1, width * c.integer("num_heads") // max(1, c.integer("embed_dim")))


def read_weights(config: dict[str, Any], foreign: Arrays, where: Path | str) -> tuple[Config, Iterator[tuple[str, np.ndarray]]]:
    """(config, pairs of our name and array). BadInput where the model cannot be read"""
    c = ConfigReader(config, where)
    rows_of(foreign, gate := "['blocks'][0]['ffn']['gate']['kernel'].value", c)
    return import_weights(KODA, dict(
        n_ctx=c.integer("maxlen"), n_vocab=rows_of(foreign, "['token_emb']['embedding'].value", c), n_emb=c.integer("embed_dim"),
        n_heads=c.integer("num_heads"), n_kv_heads=c.integer("num_kv_heads", kv_heads(c, foreign)),
        n_layers=count(foreign, "['blocks'][#]"), c_attention="gqa", c_network="swi",
        s_hidden=foreign[gate].shape[-1], c_norm="rmsnorm", norm_eps=1e-6, c_position="rope",
        rope_base=float(c.number("rope_base", c.number("rope_theta", 10000.0))), rope_layout="interleaved", c_bias="none"), foreign, where)
