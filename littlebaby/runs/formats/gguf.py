"""GGUF, the files of llama.cpp: llama (with experts, too), qwen2, gpt2 and starcoder2, in both directions.

llama's rope turns neighbours there, the others' halves. Quantised weights are unpacked by the package gguf, which also writes the file;
its reader trusts every count in a header, so the header is read here. A tokenizer of characters or words is spelled in bytes, with the
merges that make characters of bytes; llama.cpp wants an end, so a model that has none gets a token that it never says.
"""
import json
import struct
from importlib import import_module
from math import prod

import numpy as np

from ... import text
from ...errors import BadInput, nearest
from ...text.bpe import BPE, GPT2, LETTER_OF, LLAMA3, QWEN2, lacks_bytes
from ...text.special_tokens import SpecialTokens, checked_template, with_special_tokens
from ...text.tokenizer_helpers import MAX_VOCABULARY
from .. import disk
from . import huggingface, plain, rewrite, tensors, tokenizers
from .gguf_keys import check_keys, rope_settings, temperature, window
from .huggingface import ConfigReader, rows_of
from .weight_table import count, export_weights, import_weights, parse_weight_table

FRAME = """
token                               token_embd.weight
blocks.{i}.norm1.w                  blk.{i}.attn_norm.weight
blocks.{i}.att.wo                   blk.{i}.attn_output.weight         turned
blocks.{i}.att.bo                   blk.{i}.attn_output.bias
blocks.{i}.norm2.w                  blk.{i}.ffn_norm.weight
norm.w                              output_norm.weight
head.w                              output.weight                      turned
"""
ATTENTION = FRAME + """
blocks.{i}.att.wq                   blk.{i}.attn_q.weight              turned
blocks.{i}.att.wk                   blk.{i}.attn_k.weight              turned
blocks.{i}.att.wv                   blk.{i}.attn_v.weight              turned
blocks.{i}.att.bq                   blk.{i}.attn_q.bias
blocks.{i}.att.bk                   blk.{i}.attn_k.bias
blocks.{i}.att.bv                   blk.{i}.attn_v.bias
"""
BIASED = """
blocks.{i}.norm1.b                  blk.{i}.attn_norm.bias
blocks.{i}.norm2.b                  blk.{i}.ffn_norm.bias
blocks.{i}.net.up                   blk.{i}.ffn_up.weight              turned
blocks.{i}.net.b1                   blk.{i}.ffn_up.bias
blocks.{i}.net.down                 blk.{i}.ffn_down.weight            turned
blocks.{i}.net.b2                   blk.{i}.ffn_down.bias
norm.b                              output_norm.bias
"""
LLAMA = parse_weight_table(ATTENTION + """
blocks.{i}.net.gate                 blk.{i}.ffn_gate.weight            turned
blocks.{i}.net.up                   blk.{i}.ffn_up.weight              turned
blocks.{i}.net.down                 blk.{i}.ffn_down.weight            turned
blocks.{i}.net.bgate                blk.{i}.ffn_gate.bias
blocks.{i}.net.bup                  blk.{i}.ffn_up.bias
blocks.{i}.net.bdown                blk.{i}.ffn_down.bias
blocks.{i}.net.router               blk.{i}.ffn_gate_inp.weight        turned
blocks.{i}.net.experts.{*}.gate     blk.{i}.ffn_gate_exps.weight       turned,experts
blocks.{i}.net.experts.{*}.up       blk.{i}.ffn_up_exps.weight         turned,experts
blocks.{i}.net.experts.{*}.down     blk.{i}.ffn_down_exps.weight       turned,experts
""")
STARCODER2 = parse_weight_table(ATTENTION + BIASED)
QKV = parse_weight_table(FRAME + BIASED + """
position.table                      position_embd.weight
blocks.{i}.att.wq+wk+wv             blk.{i}.attn_qkv.weight            turned,beside
blocks.{i}.att.bq+bk+bv             blk.{i}.attn_qkv.bias              beside
""")
TABLES = dict(llama=LLAMA, qwen2=LLAMA, gpt2=QKV, starcoder2=STARCODER2)

# how texts are cut into pieces, by llama.cpp's names
CUTS = {"gpt-2": GPT2, "smollm": (r"\p{N}", *GPT2), "qwen2": QWEN2, "llama-bpe": LLAMA3}
NORMAL, CONTROL, USER = 1, 3, 4          # kinds of tokens

# a header's types of values, and the types of tensors that need no unpacking
SCALARS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?"))) | {10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
STORED = {0: "F32", 1: "F16", 28: "F64", 30: "BF16"}
MOST_TENSORS = 2**20


# the header

class Header:
    """The values and the list of tensors at the head of a file; every count is compared with the bytes that are left"""

    def __init__(self, path):
        self.path, self.values, self.tensors = path, {}, {}
        with disk.explain_os_errors("read", path):
            if path.stat().st_size < 24:
                raise BadInput(f"{path} is truncated: a GGUF has 24 bytes at least")
            self.data = np.memmap(path, np.uint8, "r")
        self.at = 0
        if bytes(self.take(4)) != b"GGUF":
            raise BadInput(f"{path} is no GGUF: it does not begin with these letters")
        if (version := self.scalar("<I")) not in (2, 3):
            raise BadInput(f"{path} is GGUF version {version}; 2 and 3 are read")
        n_tensors, n_values = self.scalar("<Q"), self.scalar("<Q")
        if n_tensors > MOST_TENSORS or n_values > MOST_TENSORS:
            raise BadInput(f"{path} is damaged: it claims {n_tensors:,} tensors and {n_values:,} values")
        for _ in range(n_values):
            name = self.string()
            self.values[name] = self.value(self.scalar("<I"))
        places = [self.place() for _ in range(n_tensors)]
        step = self.values.get("general.alignment", 32)
        if not isinstance(step, int) or step < 1 or step & (step - 1):
            raise BadInput(f"{path} is damaged: its alignment is {step!r:.40}")
        self.at += -self.at % step
        for name, shape, kind, offset in places:
            if name in self.tensors:
                raise BadInput(f"{path} holds {name} twice")
            self.tensors[name] = self.tensor(name, shape, kind, self.at + offset)

    def take(self, n):
        if n > len(self.data) - self.at:
            left = len(self.data) - self.at
            raise BadInput(f"{self.path} is truncated or damaged: at byte {self.at:,} it claims {n:,} more, and {left:,} are left")
        self.at += n
        return self.data[self.at - n:self.at]

    def scalar(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def string(self):
        return bytes(self.take(self.scalar("<Q"))).decode(errors="replace")

    def value(self, kind, inside=False):
        if kind in SCALARS:
            return self.scalar(SCALARS[kind])
        if kind == STRING:
            return self.string()
        if kind != ARRAY or inside:
            raise BadInput(f"{self.path} is damaged: there is no value of type {kind}")
        kind, n = self.scalar("<I"), self.scalar("<Q")
        if n > 4 * MAX_VOCABULARY:
            raise BadInput(f"{self.path} claims a list of {n:,} values; at most {4 * MAX_VOCABULARY:,} are read")
        if kind in SCALARS:
            form = np.dtype(SCALARS[kind])
            return self.take(n * form.itemsize).view(form).tolist()
        return [self.value(kind, True) for _ in range(n)]

    def place(self):
        name, n = self.string(), self.scalar("<I")
        if n > 4:
            raise BadInput(f"{self.path}: {name} has {n} axes; at most 4 are read")
        return name, tuple(self.scalar("<Q") for _ in range(n))[::-1], self.scalar("<I"), self.scalar("<Q")

    def tensor(self, name, shape, kind, offset):
        """An array at its place in the file, unpacked when it is asked for"""
        block, size = (1, np.dtype(tensors.TYPES[STORED[kind]]).itemsize) if kind in STORED else packed(kind, name, self.path)
        n = prod(shape)
        if not shape or not n or shape[-1] % block or offset + n // block * size > len(self.data):
            raise BadInput(f"{self.path} is truncated or damaged: {name} of shape {list(shape)} does not lie inside its {len(self.data):,} "
                           f"bytes")
        if kind in STORED:
            return tensors.stored(self.path, name, STORED[kind], shape, offset)
        values = self.data[offset:offset + n // block * size].reshape(-1, shape[-1] // block * size)
        return tensors.Lazy(shape, lambda: unpacked(values, kind).reshape(shape))


def package(what):
    try:
        return import_module("gguf")
    except ModuleNotFoundError:
        raise BadInput(f"{what} needs the package gguf: pip install 'littlebaby[formats]'") from None


def packed(kind, name, path):
    """(numbers, bytes) of a block of a quantised type"""
    gguf = package(f"{name} of {path}, which is quantised,")
    try:
        return gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
    except (ValueError, KeyError):
        raise BadInput(f"{path}: {name} is of a type {kind} that is not known") from None


def unpacked(values, kind):
    gguf = package("a quantised tensor")
    try:
        return gguf.quants.dequantize(values, gguf.GGMLQuantizationType(kind))
    except NotImplementedError:
        raise BadInput(f"tensors of type {gguf.GGMLQuantizationType(kind).name} are not read") from None


# inward

def read_gguf(path, d_type=None):
    """(Config, weights one after the other, tokenizer or None, what was left behind)"""
    header = Header(path)
    values, theirs = header.values, header.tensors
    kind = values.get("general.architecture")
    if not isinstance(kind, str) or kind not in TABLES:
        raise BadInput(f"{path}: " + nearest("general.architecture", kind, TABLES))
    c = GGUFReader(values, kind, path)
    check_keys(c, kind, head_width(c))
    chosen = settings(c, theirs, kind) | (dict(d_type=d_type) if d_type else {})
    cfg, weights = import_weights(TABLES[kind], chosen, theirs, path)
    tokenizer, note = tokenizer_of(c, cfg.n_vocab)
    if tokenizer and tokenizer.size == cfg.n_vocab - 1:
        cfg, weights = cfg.replace(n_vocab=tokenizer.size), without_end(weights)
    if tokenizer:
        cfg = cfg.replace(c_tokenizer=tokenizer.kind)
    return cfg, weights, tokenizer, note


class GGUFReader(ConfigReader):
    """A header's values, those of its architecture without their namespace; `own` names the latter"""

    def __init__(self, values, kind, where):
        super().__init__({name.removeprefix(f"{kind}."): value for name, value in values.items()}, where)
        self.own = [name.removeprefix(f"{kind}.") for name in values if name.startswith(f"{kind}.")]


def head_width(c):
    return c.integer("attention.key_length", c.integer("embedding_length") // max(c.integer("attention.head_count"), 1))


def settings(c, theirs, kind):
    """Our settings of a header's"""
    n_emb, heads = c.integer("embedding_length"), c.integer("attention.head_count")
    width = head_width(c)
    found = dict(n_ctx=min(c.integer("context_length"), huggingface.MOST_CONTEXT), n_vocab=rows_of(theirs, "token_embd.weight", c),
                 n_emb=n_emb, n_heads=heads, n_layers=count(theirs, "blk.#."), b_tied="output.weight" not in theirs,
                 head_size=heads * width)
    if kind in ("gpt2", "starcoder2"):
        found |= dict(norm_eps=c.number("attention.layer_norm_epsilon"), s_hidden=rows_of(theirs, "blk.0.ffn_up.weight", c), c_bias="all")
    if kind == "gpt2":
        return found | dict(n_ctx=rows_of(theirs, "position_embd.weight", c)) | temperature(c, width)
    found |= dict(c_attention="gqa", n_kv_heads=c.integer("attention.head_count_kv", heads), c_position="rope",
                  rope_layout="interleaved" if kind == "llama" else "half", rope_base=float(c.number("rope.freq_base", 10000.0)))
    found |= rope_settings(c) | window(c, found["n_ctx"]) | temperature(c, width)
    if kind == "starcoder2":
        return found
    found |= dict(c_norm="rmsnorm", norm_eps=c.number("attention.layer_norm_rms_epsilon"), c_bias="none", c_network="swi",
                  b_bias_attention_in="blk.0.attn_q.bias" in theirs, b_bias_attention_out="blk.0.attn_output.bias" in theirs,
                  b_bias_network="blk.0.ffn_up.bias" in theirs)
    if "blk.0.ffn_gate_exps.weight" not in theirs:
        return found | dict(s_hidden=rows_of(theirs, "blk.0.ffn_gate.weight", c))
    shape = theirs["blk.0.ffn_gate_exps.weight"].shape           # (experts, hidden, width)
    return found | dict(c_network="moe", c_expert="swi", n_experts=shape[0], s_expert=shape[-2] if len(shape) > 1 else 0,
                        n_active=c.integer("expert_used_count"), r_aux=0.01, c_aux="share", c_balance="batch")


def without_end(weights):
    """Without the token that `with_end` has added"""
    for name, w in weights:
        yield name, w[:-1] if name == "token" else w[..., :-1] if name == "head.w" else w


def tokenizer_of(c, size):
    """(a tokenizer or None, a sentence where there is one that nobody here can follow)"""
    try:
        if isinstance(own := c.get(f"{plain.MARK}.tokenizer", None), str):
            return text.from_json(disk.parse(own.encode(), c.where)), ""
        if (kind := c.get("tokenizer.ggml.model", "none")) != "gpt2":
            return None, "" if kind == "none" else f"the tokenizer was left behind: it is {kind!r:.40}, and byte-level BPE (gpt2) is read"
        tokens, merges, kinds = (c.get(f"tokenizer.ggml.{name}", []) for name in ("tokens", "merges", "token_type"))
        cut = c.get("tokenizer.ggml.pre", "gpt-2")
        if cut not in CUTS:
            return None, "the tokenizer was left behind: " + nearest("how it cuts texts", cut, CUTS)
        special = [token for token, kind in zip(tokens, kinds) if kind in (CONTROL, USER)]
        roles = special_tokens(c, cut, len(tokens))
        first = next((tokens[i] for i in (roles.bos, *roles.eos) if i is not None), None)
        begin = first if first in special else next(iter(special), "\n")
        record = dict(kind="bpe", begin=begin, special=special, special_in_text=True, vocabulary=tokens, merges=merges,
                      cuts=list(CUTS[cut]), form="", whole=cut == "llama-bpe", gaps=lacks_bytes(tokens))
        return with_special_tokens(tokenizers.fitted(BPE.from_json(record), size), roles), ""
    except BadInput as error:
        return None, f"the tokenizer was left behind: {error}"


ENDS = ("eos", "eot", "eom")             # ids that end what a model writes: of a text, a turn, a message
BOS_FIRST = ("llama-bpe",)               # cuts with which llama.cpp puts bos before a text unless add_bos_token says otherwise


def special_tokens(c, cut, size):
    """SpecialTokens of a header; an id outside the vocabulary is nobody's, as in llama.cpp"""
    def ids(*names):
        said = [c.integer(f"tokenizer.ggml.{name}_token_id", -1) for name in names]
        return tuple(dict.fromkeys(i for i in said if 0 <= i < size))

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


# outward

def gguf_files(cfg, weights, tokenizer, d_type):
    """({file name: a function that writes to a path}, notes); BadInput where llama.cpp has no architecture for it"""
    package("writing a GGUF")
    if tokenizer is None:
        raise BadInput("this model has no tokenizer, and llama.cpp reads none without; export it for huggingface or as safetensors")
    try:
        name = huggingface.pick_architecture(cfg, ("llama", "qwen2", "mixtral", "gpt2", "starcoder2"))
    except BadInput as misfit:
        raise BadInput(f"For llama.cpp {misfit}") from None
    bent = name in ("gpt2", "starcoder2") and cfg.c_activation != "gelu"
    for wrong, setting, right in ((bent, "c_activation", "gelu"), (cfg.c_attention == "swa", "c_attention", "mha or gqa"),
                                  (cfg.c_position == "rope" and cfg.c_rope_scale not in ("none", "linear"), "c_rope_scale",
                                   "none or linear")):
        if wrong:
            raise BadInput(f"For llama.cpp no architecture fits; the nearest is {name}: {setting} is {getattr(cfg, setting)} and would "
                           f"have to be {right}")
    end, notes = tokenizers.end_id(tokenizer), []
    if end is None:
        cfg, weights = rewrite.with_end(cfg, weights)
        notes.append("llama.cpp needs a token that ends a text: <|endoftext|> was added, which this model never says.")
    cfg, weights = huggingface.renamed(cfg, weights, name)
    name = "llama" if name == "mixtral" else name
    if name == "llama":
        cfg, weights = rewrite.pairs(cfg, weights, "interleaved")
    spelled, more = spelling(tokenizer, end)
    theirs = export_weights(TABLES[name], cfg, weights)
    return {"model.gguf": lambda path: write_gguf(path, name, cfg, theirs, tokenizer, spelled, d_type)}, (*notes, *more)


def write_gguf(path, name, cfg, theirs, tokenizer, spelled, d_type):
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
    w.add_head_count_kv(huggingface.kv_heads(cfg))
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
    w.add_tokenizer_pre(spelled["pre"])
    w.add_token_list(spelled["tokens"])
    w.add_token_types(spelled["types"])
    w.add_token_merges(spelled["merges"])
    add_special_tokens(w, tokenizer.special_tokens, spelled["end"])
    w.add_string(f"{plain.MARK}.tokenizer", json.dumps(tokenizer.to_json()))
    for tensor, a in theirs.items():
        a = np.ascontiguousarray(a, np.float32)
        if a.ndim > 1 and d_type == "q8_0" and a.shape[-1] % 32 == 0:
            w.add_tensor(tensor, gguf.quants.quantize(a, gguf.GGMLQuantizationType.Q8_0), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:                                                    # vectors stay as they are: llama.cpp adds them in fp32
            w.add_tensor(tensor, tensors.as_type(a, "fp16") if a.ndim > 1 and d_type != "fp32" else a)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def add_special_tokens(w, special, end):
    """Who begins and ends a text; a model without a bos begins with what ends its texts"""
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


def inexpressible(special, end):
    """A sentence for each thing that a GGUF has no key for"""
    if len(special.stops) > len(ENDS):
        yield f"llama.cpp has keys for {len(ENDS)} ids that end a text; this model has {len(special.stops)}: {list(special.stops)}."
    for where, ids, one in (("before", special.prefix, special.bos), ("after", special.suffix, end)):
        if ids and ids != (one,):
            yield f"this model's tokenizer puts the ids {list(ids)} {where} every text; llama.cpp has no key for that and leaves them out."


def spelling(tokenizer, end):
    """({"tokens", "types", "merges", "pre", "end"}, notes) of a tokenizer as llama.cpp reads it"""
    if tokenizer.kind == "bpe":
        tokens, merges, special = list(tokenizer.vocabulary), [" ".join(pair) for pair in tokenizer.merges], set(tokenizer.special)
        pre = next((name for name, cuts in CUTS.items() if cuts == tokenizer.cuts), None)
        notes = [] if pre else ["llama.cpp has no name for how this tokenizer cuts texts: there it cuts as GPT-2."]
    else:
        tokens, special, notes = [as_visible_letters(token) for token in tokenizer.tokens()], set(), []
        characters = [token for token, symbol in zip(tokens, tokenizer.tokens()) if len(symbol) == 1]
        merges = list(dict.fromkeys(f"{token[:i]} {token[i]}" for token in characters for i in range(1, len(token))))
        pre = "gpt-2" if tokenizer.kind == "char" else "llama-bpe"
        if tokenizer.kind == "word":
            notes = ["llama.cpp finds whole words, and spells a word that the vocabulary knows without the space before it."]
    notes += inexpressible(tokenizer.special_tokens, end)
    if end is None:
        tokens, special, end = [*tokens, "<|endoftext|>"], special | {"<|endoftext|>"}, len(tokens)
    return dict(tokens=tokens, types=[CONTROL if token in special else NORMAL for token in tokens], pre=pre or "gpt-2",
                merges=merges or [f"{tokens[0]} {tokens[0]}"], end=end), notes      # an empty list is refused there


def as_visible_letters(token):
    """A token with one visible letter a byte"""
    return "".join(LETTER_OF[byte] for byte in token.encode())
