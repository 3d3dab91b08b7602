"""KodaLite as Flax keeps it: kernels (in, out), rope's pairs side by side. After its own conversion it is a llama of Hugging Face's."""
from .huggingface import ConfigReader, rows_of
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


def recognizes(config):
    return "embed_dim" in config and "num_blocks" in config


def keys(c, theirs):
    """How many heads of keys there are, by the width of their matrix"""
    wide = theirs[name].shape[-1] if (name := "['blocks'][0]['attention']['k_proj']['kernel'].value") in theirs else 0
    return max(1, wide * c.integer("num_heads") // max(1, c.integer("embed_dim")))


def read_weights(config, theirs, where):
    """(Config, weights one after the other)"""
    c = ConfigReader(config, where)
    rows_of(theirs, gate := "['blocks'][0]['ffn']['gate']['kernel'].value", c)
    return import_weights(KODA, dict(
        n_ctx=c.integer("maxlen"), n_vocab=rows_of(theirs, "['token_emb']['embedding'].value", c), n_emb=c.integer("embed_dim"),
        n_heads=c.integer("num_heads"), n_kv_heads=c.integer("num_kv_heads", keys(c, theirs)), n_layers=count(theirs, "['blocks'][#]"),
        c_attention="gqa", c_network="swi", s_hidden=theirs[gate].shape[-1], c_norm="rmsnorm", norm_eps=1e-6, c_position="rope",
        rope_base=float(c.number("rope_base", c.number("rope_theta", 10000.0))), rope_layout="interleaved", c_bias="none"), theirs, where)
