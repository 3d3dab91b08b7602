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
from ...text.bpe import BPE, GPT2, LETTER_OF, lacks_bytes
from ...text.marks import Marks
from ...text.tokenizer_helpers import MAX_VOCABULARY
from .. import disk
from ..records import quoted
from . import huggingface, plain, rewrite, tensors, tokenizers
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
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",)
QWEN2 = (LLAMA3[0].replace("{1,3}", ""),)
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
    check_keys(values, kind, path)
    c = ConfigReader({name.removeprefix(f"{kind}."): value for name, value in values.items()}, path)
    chosen = settings(c, theirs, kind) | (dict(d_type=d_type) if d_type else {})
    cfg, weights = import_weights(TABLES[kind], chosen, theirs, path)
    tokenizer, note = tokenizer_of(c, cfg.n_vocab)
    if tokenizer and tokenizer.size == cfg.n_vocab - 1:
        cfg, weights = cfg.replace(n_vocab=tokenizer.size), without_end(weights)
    if tokenizer:
        cfg = cfg.replace(c_tokenizer=tokenizer.kind)
    return cfg, weights, tokenizer, note


# what an architecture's own part of a header may say: read by `settings`, or without effect on the numbers
READ = frozenset("""
    context_length embedding_length block_count feed_forward_length attention.head_count attention.head_count_kv attention.key_length
    attention.value_length attention.layer_norm_rms_epsilon attention.layer_norm_epsilon attention.scale attention.sliding_window
    attention.causal rope.freq_base rope.dimension_count expert_count expert_used_count vocab_size""".split())
HARMLESS = frozenset({"tensor_data_layout", "expert_feed_forward_length", "rope.scaling.original_context_length",
                      "rope.scaling.finetuned", "rope.scaling.yarn_log_multiplier"})
# what changes the numbers, and the values with which it does not
NEUTRAL = {"rope.scaling.type": ("none",), "rope.scaling.factor": (1, 0), "rope.scale_linear": (1, 0),
           "rope.scaling.attn_factor": (1, 0), "attention.max_alibi_bias": (0,), "attention.clamp_kqv": (0,), "logit_scale": (0, 1),
           "residual_scale": (0, 1), "embedding_scale": (0, 1), "expert_weights_scale": (0, 1), "expert_shared_count": (0,),
           "use_parallel_residual": (False,), "attn_logit_softcapping": (0,), "final_logit_softcapping": (0,)}


def check_keys(values, kind, where):
    """BadInput names a key of an architecture's part of the header that is not obeyed here and may change the model's numbers"""
    for name, value in values.items():
        key = name.removeprefix(f"{kind}.")
        if key == name or key in READ or key in HARMLESS or key in NEUTRAL and value in NEUTRAL[key]:
            continue
        allowed = f"; allowed is {' or '.join(map(str, NEUTRAL[key]))}" if key in NEUTRAL else ", which is not known here"
        raise BadInput(f"{where}: {name} is {quoted(value)}{allowed}; it may change the model's numbers")


def settings(c, theirs, kind):
    """Our settings of a header's"""
    n_emb, heads = c.integer("embedding_length"), c.integer("attention.head_count")
    width = c.integer("attention.key_length", n_emb // max(heads, 1))
    turned, value_width = c.integer("rope.dimension_count", width), c.integer("attention.value_length", width)
    if turned != width or value_width != width:
        raise BadInput(f"{c.where}: rope.dimension_count is {turned} and attention.value_length {value_width}; what littlebaby has is the "
                       f"width of a head, {width}")
    window = c.integer("attention.sliding_window", 0)
    if 0 < window < c.integer("context_length"):
        raise BadInput(f"{c.where}: attention.sliding_window is {window}; allowed here is 0, or the context_length and more")
    if c.get("attention.causal", True) is not True:
        raise BadInput(f"{c.where}: attention.causal is false, and a littlebaby never sees later tokens")
    found = dict(n_ctx=min(c.integer("context_length"), huggingface.MOST_CONTEXT), n_vocab=rows_of(theirs, "token_embd.weight", c),
                 n_emb=n_emb, n_heads=heads, n_layers=count(theirs, "blk.#."), b_tied="output.weight" not in theirs,
                 head_size=heads * width)
    if scale := c.number("attention.scale", 0):
        found |= dict(r_temp=width ** -0.5 / scale)
    if kind in ("gpt2", "starcoder2"):
        found |= dict(norm_eps=c.number("attention.layer_norm_epsilon"), s_hidden=rows_of(theirs, "blk.0.ffn_up.weight", c), c_bias="all")
    if kind == "gpt2":
        return found | dict(n_ctx=rows_of(theirs, "position_embd.weight", c))
    found |= dict(c_attention="gqa", n_kv_heads=c.integer("attention.head_count_kv", heads), c_position="rope",
                  rope_layout="interleaved" if kind == "llama" else "half", rope_base=float(c.number("rope.freq_base", 10000.0)))
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
        mark = c.integer("tokenizer.ggml.bos_token_id", c.integer("tokenizer.ggml.eos_token_id", -1))
        begin = tokens[mark] if 0 <= mark < len(tokens) and tokens[mark] in special else next(iter(special), "\n")
        record = dict(kind="bpe", begin=begin, special=special, special_in_text=True, vocabulary=tokens, merges=merges,
                      cuts=list(CUTS[cut]), form="", whole=cut == "llama-bpe", gaps=lacks_bytes(tokens))
        return tokenizers.fitted(BPE.from_json(record), size).with_marks(marks_in(c, tokens, cut)), ""
    except BadInput as error:
        return None, f"the tokenizer was left behind: {error}"


def marks_in(c, tokens, cut):
    """The Marks of a header; where it does not say whether bos is put before a text, llama.cpp does so for Llama 3's kind of cutting"""
    token = lambda name: tokens[i] if 0 <= (i := c.integer(f"tokenizer.ggml.{name}_token_id", -1)) < len(tokens) else ""
    ends = tuple(dict.fromkeys(filter(None, map(token, ("eos", "eot", "eom")))))
    before = (token("bos"),) if c.get("tokenizer.ggml.add_bos_token", cut == "llama-bpe") and token("bos") else ()
    after = (token("eos"),) if c.get("tokenizer.ggml.add_eos_token", False) and token("eos") else ()
    template = c.get("tokenizer.chat_template", "")
    return Marks(token("bos"), ends, token("padding"), token("unknown"), before, after, template if isinstance(template, str) else "")


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
                                  (cfg.c_position == "rope" and cfg.c_rope_scale != "none", "c_rope_scale", "none")):
        if wrong:
            raise BadInput(f"For llama.cpp no architecture fits; the nearest is {name}: {setting} is {getattr(cfg, setting)} and would "
                           f"have to be {right}")
    end, notes = tokenizers.end_of(tokenizer), []
    if not end:
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
    if cfg.c_network == "moe":
        w.add_expert_count(cfg.n_experts)
        w.add_expert_used_count(cfg.n_active)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(spelled["pre"])
    w.add_token_list(spelled["tokens"])
    w.add_token_types(spelled["types"])
    w.add_token_merges(spelled["merges"])
    marks, place = tokenizers.marks_out(tokenizer), spelled["tokens"].index
    w.add_bos_token_id(place(marks.bos) if marks.bos else spelled["end"])
    w.add_eos_token_id(place(marks.eos[0]) if marks.eos else spelled["end"])
    for add, token in ((w.add_eot_token_id, marks.eos[1:2]), (w.add_eom_token_id, marks.eos[2:3])):
        if token:
            add(place(*token))
    if marks.pad:
        w.add_pad_token_id(place(marks.pad))
    if marks.unk:
        w.add_unk_token_id(place(marks.unk))
    w.add_add_bos_token(bool(marks.before))
    w.add_add_eos_token(bool(marks.after))
    if marks.chat_template:
        w.add_chat_template(marks.chat_template)
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
    if not end:
        tokens, special, end = [*tokens, "<|endoftext|>"], special | {"<|endoftext|>"}, "<|endoftext|>"
    return dict(tokens=tokens, types=[CONTROL if token in special else NORMAL for token in tokens], pre=pre or "gpt-2",
                merges=merges or [f"{tokens[0]} {tokens[0]}"], end=tokens.index(end)), notes      # an empty list is refused there


def as_visible_letters(token):
    """A token with one visible letter a byte"""
    return "".join(LETTER_OF[byte] for byte in token.encode())
