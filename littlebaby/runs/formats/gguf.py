"""GGUF, the files of llama.cpp: llama (also with experts), qwen2, gpt2 and starcoder2, in both directions.

There the rope of llama rotates pairs of neighbouring columns, that of the others columns of the two halves. A char or word tokenizer is
written as byte-level BPE whose merges join the bytes of each character. llama.cpp requires an end-of-text token, so a model without one
gets an additional token that it never generates. The package gguf writes the file.
"""
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ... import text
from ...errors import BadInput, nearest
from ...text import Tokenizer
from ...text.bpe import BPE, CHARACTER_OF, GPT2, LLAMA3, QWEN2, lacks_bytes
from ...text.special_tokens import SpecialTokens, checked_template, with_special_tokens
from .. import disk
from ..settings import Config
from . import huggingface, plain, rewrite, tensors, tokenizers
from .config_reader import MAX_CONTEXT, rows_of
from .gguf_header import Header, package
from .gguf_keys import GGUFReader, check_keys, rope_settings, temperature, window
from .huggingface_settings import kv_heads
from .tensors import Arrays
from .weight_table import count, export_weights, import_weights, parse_weight_table

SHARED = """
token                               token_embd.weight
blocks.{i}.norm1.w                  blk.{i}.attn_norm.weight
blocks.{i}.att.wo                   blk.{i}.attn_output.weight         transposed
blocks.{i}.att.bo                   blk.{i}.attn_output.bias
blocks.{i}.norm2.w                  blk.{i}.ffn_norm.weight
norm.w                              output_norm.weight
head.w                              output.weight                      transposed
"""
ATTENTION = SHARED + """
blocks.{i}.att.wq                   blk.{i}.attn_q.weight              transposed
blocks.{i}.att.wk                   blk.{i}.attn_k.weight              transposed
blocks.{i}.att.wv                   blk.{i}.attn_v.weight              transposed
blocks.{i}.att.bq                   blk.{i}.attn_q.bias
blocks.{i}.att.bk                   blk.{i}.attn_k.bias
blocks.{i}.att.bv                   blk.{i}.attn_v.bias
"""
BIASED = """
blocks.{i}.norm1.b                  blk.{i}.attn_norm.bias
blocks.{i}.norm2.b                  blk.{i}.ffn_norm.bias
blocks.{i}.net.up                   blk.{i}.ffn_up.weight              transposed
blocks.{i}.net.b1                   blk.{i}.ffn_up.bias
blocks.{i}.net.down                 blk.{i}.ffn_down.weight            transposed
blocks.{i}.net.b2                   blk.{i}.ffn_down.bias
norm.b                              output_norm.bias
"""
LLAMA = parse_weight_table(ATTENTION + """
blocks.{i}.net.gate                 blk.{i}.ffn_gate.weight            transposed
blocks.{i}.net.up                   blk.{i}.ffn_up.weight              transposed
blocks.{i}.net.down                 blk.{i}.ffn_down.weight            transposed
blocks.{i}.net.bgate                blk.{i}.ffn_gate.bias
blocks.{i}.net.bup                  blk.{i}.ffn_up.bias
blocks.{i}.net.bdown                blk.{i}.ffn_down.bias
blocks.{i}.net.router               blk.{i}.ffn_gate_inp.weight        transposed
blocks.{i}.net.experts.{*}.gate     blk.{i}.ffn_gate_exps.weight       transposed,experts
blocks.{i}.net.experts.{*}.up       blk.{i}.ffn_up_exps.weight         transposed,experts
blocks.{i}.net.experts.{*}.down     blk.{i}.ffn_down_exps.weight       transposed,experts
""")
STARCODER2 = parse_weight_table(ATTENTION + BIASED)
QKV = parse_weight_table(SHARED + BIASED + """
position.table                      position_embd.weight
blocks.{i}.att.wq+wk+wv             blk.{i}.attn_qkv.weight            transposed,fused
blocks.{i}.att.bq+bk+bv             blk.{i}.attn_qkv.bias              fused
""")
TABLES = dict(llama=LLAMA, qwen2=LLAMA, gpt2=QKV, starcoder2=STARCODER2)

# pre-tokenizer patterns by the names that llama.cpp gives them
CUTS = {"gpt-2": GPT2, "smollm": (r"\p{N}", *GPT2), "qwen2": QWEN2, "llama-bpe": LLAMA3}
NORMAL, CONTROL, USER = 1, 3, 4          # types of tokens


# reading

def read_gguf(path: Path, d_type: str | None = None) -> tuple[Config, Iterator[tuple[str, np.ndarray]], Tokenizer | None, str]:
    """(config, pairs of our name and array, tokenizer or None, a note on a tokenizer that was not imported or "")

    d_type: fp32 or fp64, in which the model computes; None: fp32
    BadInput where the file is damaged, or holds a model that littlebaby does not support.
    """
    header = Header(path)
    values, foreign = header.values, header.tensors
    kind = values.get("general.architecture")
    if not isinstance(kind, str) or kind not in TABLES:
        raise BadInput(f"{path}: " + nearest("general.architecture", kind, TABLES))
    c = GGUFReader(values, kind, path)
    check_keys(c, kind, head_width(c))
    chosen = settings(c, foreign, kind) | (dict(d_type=d_type) if d_type else {})
    cfg, weights = import_weights(TABLES[kind], chosen, foreign, path)
    tokenizer, note = tokenizer_of(c, cfg.n_vocab)
    if tokenizer and tokenizer.size == cfg.n_vocab - 1:
        cfg, weights = cfg.replace(n_vocab=tokenizer.size), without_end(weights)
    if tokenizer:
        cfg = cfg.replace(c_tokenizer=tokenizer.kind)
    return cfg, weights, tokenizer, note


def head_width(c: GGUFReader) -> int:
    """How many columns a head has"""
    return c.integer("attention.key_length", c.integer("embedding_length") // max(c.integer("attention.head_count"), 1))


def settings(c: GGUFReader, foreign: Arrays, kind: str) -> dict[str, Any]:
    """Our settings of a model of the architecture `kind`"""
    n_emb, heads = c.integer("embedding_length"), c.integer("attention.head_count")
    width = head_width(c)
    found = dict(n_ctx=min(c.integer("context_length"), MAX_CONTEXT), n_vocab=rows_of(foreign, "token_embd.weight", c),
                 n_emb=n_emb, n_heads=heads, n_layers=count(foreign, "blk.#."), b_tied="output.weight" not in foreign,
                 head_size=heads * width)
    if kind in ("gpt2", "starcoder2"):
        found |= dict(norm_eps=c.number("attention.layer_norm_epsilon"), s_hidden=rows_of(foreign, "blk.0.ffn_up.weight", c), c_bias="all")
    if kind == "gpt2":
        return found | dict(n_ctx=rows_of(foreign, "position_embd.weight", c)) | temperature(c, width)
    found |= dict(c_attention="gqa", n_kv_heads=c.integer("attention.head_count_kv", heads), c_position="rope",
                  rope_layout="interleaved" if kind == "llama" else "half", rope_base=float(c.number("rope.freq_base", 10000.0)))
    found |= rope_settings(c) | window(c, found["n_ctx"]) | temperature(c, width)
    if kind == "starcoder2":
        return found
    found |= dict(c_norm="rmsnorm", norm_eps=c.number("attention.layer_norm_rms_epsilon"), c_bias="none", c_network="swi",
                  b_bias_attention_in="blk.0.attn_q.bias" in foreign, b_bias_attention_out="blk.0.attn_output.bias" in foreign,
                  b_bias_network="blk.0.ffn_up.bias" in foreign)
    if "blk.0.ffn_gate_exps.weight" not in foreign:
        return found | dict(s_hidden=rows_of(foreign, "blk.0.ffn_gate.weight", c))
    shape = foreign["blk.0.ffn_gate_exps.weight"].shape           # (experts, hidden, width)
    return found | dict(c_network="moe", c_expert="swi", n_experts=shape[0], s_expert=shape[-2] if len(shape) > 1 else 0,
                        n_active=c.integer("expert_used_count"), r_aux=0.01, c_aux="share", c_balance="batch")


def without_end(weights: Iterator[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
    """Pairs of our name and array without the token that `rewrite.with_end` added"""
    for name, w in weights:
        yield name, w[:-1] if name == "token" else w[..., :-1] if name == "head.w" else w


def tokenizer_of(c: GGUFReader, size: int) -> tuple[Tokenizer | None, str]:
    """(tokenizer or None, a note where the file has one that is not imported, else ""). size: that of the model's vocabulary"""
    try:
        if isinstance(own := c.get(f"{plain.MARK}.tokenizer", None), str):
            return text.from_json(disk.parse(own.encode(), c.where)), ""
        if (kind := c.get("tokenizer.ggml.model", "none")) != "gpt2":
            return None, "" if kind == "none" else f"the tokenizer was not imported: it is {kind!r:.40}; byte-level BPE (gpt2) is read"
        tokens, merges, types = (c.get(f"tokenizer.ggml.{name}", []) for name in ("tokens", "merges", "token_type"))
        cut = c.get("tokenizer.ggml.pre", "gpt-2")
        if cut not in CUTS:
            return None, "the tokenizer was not imported: " + nearest("tokenizer.ggml.pre", cut, CUTS)
        special = [token for token, type_ in zip(tokens, types) if type_ in (CONTROL, USER)]
        roles = special_tokens(c, cut, len(tokens))
        first = next((tokens[i] for i in (roles.bos, *roles.eos) if i is not None), None)
        begin = first if first in special else next(iter(special), "\n")
        record = dict(kind="bpe", begin=begin, special=special, special_in_text=True, vocabulary=tokens, merges=merges,
                      cuts=list(CUTS[cut]), form="", whole=cut == "llama-bpe", gaps=lacks_bytes(tokens))
        return with_special_tokens(tokenizers.fitted(BPE.from_json(record), size), roles), ""
    except BadInput as error:
        return None, f"the tokenizer was not imported: {error}"


ENDS = ("eos", "eot", "eom")             # ids that end a generation: of a text, of a turn, of a message
BOS_FIRST = ("llama-bpe",)               # pre-tokenizers with which llama.cpp puts bos before a text unless add_bos_token is false


def special_tokens(c: GGUFReader, cut: str, size: int) -> SpecialTokens:
    """SpecialTokens of a header; an id outside the vocabulary is ignored, as by llama.cpp. cut: a key of CUTS"""
    def ids(*names):
        found = [c.integer(f"tokenizer.ggml.{name}_token_id", -1) for name in names]
        return tuple(dict.fromkeys(i for i in found if 0 <= i < size))

    bos, eos = ids("bos"), ids(*ENDS)
    prefix = bos if c.get("tokenizer.ggml.add_bos_token", cut in BOS_FIRST) is True else ()
    suffix = ids("eos") if c.get("tokenizer.ggml.add_eos_token", False) is True else ()
    named = [dict(name=name.removeprefix("tokenizer.chat_template."), template=value) for name, value in c.data.items()
             if name.startswith("tokenizer.chat_template.")]
    template = c.get("tokenizer.chat_template", "")
    if named:
        template = [*([dict(name="default", template=template)] if template else []), *named]
    first = lambda found: next(iter(found), None)
    return SpecialTokens(first(bos), eos, None, first(ids("padding")), first(ids("unknown")), prefix, suffix, checked_template(template))


# writing

def gguf_files(cfg: Config, weights: Mapping[str, np.ndarray], tokenizer: Tokenizer | None,
               d_type: str) -> tuple[dict[str, Callable[[Path], None]], tuple[str, ...]]:
    """({file name: a function that writes to a path}, notes)

    weights: {our name: array}      d_type: fp32, fp16 or q8_0
    BadInput where there is no tokenizer, or llama.cpp has no architecture for the model.
    """
    package("writing a GGUF")
    if tokenizer is None:
        raise BadInput("this model has no tokenizer, and llama.cpp requires one; export it for huggingface or as safetensors")
    try:
        name = huggingface.pick_architecture(cfg, ("llama", "qwen2", "mixtral", "gpt2", "starcoder2"))
    except BadInput as error:
        raise BadInput(f"For llama.cpp {error}") from None
    other_activation = name in ("gpt2", "starcoder2") and cfg.c_activation != "gelu"
    for wrong, setting, allowed in ((other_activation, "c_activation", "gelu"), (cfg.c_attention == "swa", "c_attention", "mha or gqa"),
                                    (cfg.c_position == "rope" and cfg.c_rope_scale not in ("none", "linear"), "c_rope_scale",
                                     "none or linear")):
        if wrong:
            raise BadInput(f"For llama.cpp no architecture fits; the nearest is {name}: {setting} is {getattr(cfg, setting)} and would "
                           f"have to be {allowed}")
    end, notes = tokenizers.end_id(tokenizer), []
    if end is None:
        cfg, weights = rewrite.with_end(cfg, weights)
        notes.append("llama.cpp requires an end-of-text token: <|endoftext|> was added, which this model never generates.")
    cfg, weights = huggingface.adapted(cfg, weights, name)
    name = "llama" if name == "mixtral" else name
    if name == "llama":
        cfg, weights = rewrite.pairs(cfg, weights, "interleaved")
    vocabulary, tokenizer_notes = vocabulary_of(tokenizer, end)
    foreign = export_weights(TABLES[name], cfg, weights)
    return {"model.gguf": lambda path: write_gguf(path, name, cfg, foreign, tokenizer, vocabulary, d_type)}, (*notes, *tokenizer_notes)


def write_gguf(path: Path, name: str, cfg: Config, foreign: Mapping[str, np.ndarray], tokenizer: Tokenizer, vocabulary: dict[str, Any],
               d_type: str) -> None:
    """Write a GGUF. name: the architecture      foreign: {name: array}      vocabulary: from `vocabulary_of`"""
    gguf = package("writing a GGUF")
    w = gguf.GGUFWriter(path, name)
    kinds = dict(fp32=gguf.LlamaFileType.ALL_F32, fp16=gguf.LlamaFileType.MOSTLY_F16, q8_0=gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_name("littlebaby")
    w.add_file_type(kinds[d_type])
    w.add_context_length(cfg.n_ctx)
    w.add_embedding_length(cfg.n_emb)
    w.add_block_count(cfg.n_layers)
    w.add_feed_forward_length(cfg.s_expert if cfg.c_network == "moe" else cfg.hidden)
    w.add_head_count(cfg.n_heads)
    w.add_head_count_kv(kv_heads(cfg))
    w.add_vocab_size(cfg.n_vocab)
    if cfg.c_norm == "rmsnorm":
        w.add_layer_norm_rms_eps(cfg.norm_eps)
    else:
        w.add_layer_norm_eps(cfg.norm_eps)
    if cfg.c_position == "rope":
        w.add_rope_freq_base(cfg.rope_base)
        w.add_rope_dimension_count(cfg.head_width)
        w.add_key_length(cfg.head_width)
        w.add_value_length(cfg.head_width)
    if cfg.c_position == "rope" and cfg.c_rope_scale == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(cfg.r_rope_factor)
    if cfg.c_network == "moe":
        w.add_expert_count(cfg.n_experts)
        w.add_expert_used_count(cfg.n_active)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(vocabulary["pre"])
    w.add_token_list(vocabulary["tokens"])
    w.add_token_types(vocabulary["types"])
    w.add_token_merges(vocabulary["merges"])
    add_special_tokens(w, tokenizer.special_tokens, vocabulary["end"])
    w.add_string(f"{plain.MARK}.tokenizer", json.dumps(tokenizer.to_json()))
    for tensor, a in foreign.items():
        a = np.ascontiguousarray(a, np.float32)
        if a.ndim > 1 and d_type == "q8_0" and a.shape[-1] % 32 == 0:
            w.add_tensor(tensor, gguf.quants.quantize(a, gguf.GGMLQuantizationType.Q8_0), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:                                                    # vectors stay fp32: llama.cpp adds them in that type
            w.add_tensor(tensor, tensors.as_type(a, "fp16") if a.ndim > 1 and d_type != "fp32" else a)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def add_special_tokens(w: Any, special: SpecialTokens, end: int) -> None:
    """Write the ids of the special tokens with the GGUFWriter w; a model without bos gets `end`, its end-of-text id, as bos"""
    w.add_bos_token_id(end if special.bos is None else special.bos)
    for name, i in zip(ENDS, (end, *(i for i in special.stops if i != end))):
        getattr(w, f"add_{name}_token_id")(i)
    if special.pad is not None:
        w.add_pad_token_id(special.pad)
    if special.unk is not None:
        w.add_unk_token_id(special.unk)
    w.add_add_bos_token(bool(special.prefix) and special.prefix == (special.bos,))
    w.add_add_eos_token(bool(special.suffix) and special.suffix == (end,))
    if special.chat_template:
        w.add_chat_template(special.chat_template)


def inexpressible(special: SpecialTokens, end: int | None) -> Iterator[str]:
    """A sentence for each role of the special tokens for which a GGUF has no key. end: the end-of-text id"""
    if len(special.stops) > len(ENDS):
        yield f"llama.cpp has keys for {len(ENDS)} ids that end a text; this model has {len(special.stops)}: {list(special.stops)}."
    for where, ids, expressible in (("before", special.prefix, special.bos), ("after", special.suffix, end)):
        if ids and ids != (expressible,):
            yield f"this model's tokenizer puts the ids {list(ids)} {where} every text; llama.cpp has no key for that and leaves them out."


def vocabulary_of(tokenizer: Tokenizer, end: int | None) -> tuple[dict[str, Any], list[str]]:
    """({"tokens", "types", "merges", "pre", "end"}, notes) of a tokenizer as llama.cpp reads it

    end: the end-of-text id; None: a token <|endoftext|> is added for it
    """
    if tokenizer.kind == "bpe":
        tokens, merges, special = list(tokenizer.vocabulary), [" ".join(pair) for pair in tokenizer.merges], set(tokenizer.special)
        pre = next((name for name, cuts in CUTS.items() if cuts == tokenizer.cuts), None)
        notes = [] if pre else ["llama.cpp has no name for the pre-tokenizer of this model: there texts are split as by GPT-2."]
    else:
        tokens, special, notes = [as_visible_characters(token) for token in tokenizer.tokens()], set(), []
        characters = [token for token, symbol in zip(tokens, tokenizer.tokens()) if len(symbol) == 1]
        merges = list(dict.fromkeys(f"{token[:i]} {token[i]}" for token in characters for i in range(1, len(token))))
        pre = "gpt-2" if tokenizer.kind == "char" else "llama-bpe"
        if tokenizer.kind == "word":
            notes = ["llama.cpp looks up each word together with the space before it; a word that the vocabulary has only without that "
                     "space becomes single characters there."]
    notes += inexpressible(tokenizer.special_tokens, end)
    if end is None:
        tokens, special, end = [*tokens, "<|endoftext|>"], special | {"<|endoftext|>"}, len(tokens)
    return dict(tokens=tokens, types=[CONTROL if token in special else NORMAL for token in tokens], pre=pre or "gpt-2",
                merges=merges or [f"{tokens[0]} {tokens[0]}"], end=end), notes      # llama.cpp refuses an empty list


def as_visible_characters(token: str) -> str:
    """A token with one visible character for each of its bytes"""
    return "".join(CHARACTER_OF[byte] for byte in token.encode())
