"""What the files hold: every setting of a run with type, range, default, unit and meaning, and all that a run leaves behind.

Config is what a run is made from; it knows its own ranges and tells all that is wrong with it at once. The other records are the
contents of a run's files. `littlebaby catalog --all` writes schemas/ from them.
"""
import json
from datetime import datetime, timezone
from difflib import get_close_matches
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from math import isfinite, log
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import SEEDS, TOKENS, BadInput, nearest, out_of_range, parsed, quoted

HERE = Path(__file__).parent
STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
NAME = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:_finetuned(?:_[0-9]{1,4})?)?"     # of a run
PRICED = ("gqa", "mha", "mla", "moh", "swa", "swh")      # attentions with scores that alibi can lower
GROUPS = ("model", "training", "data", "device", "output")

# where the folder is the registry: a file there is a value here
FOLDERS = dict(c_attention="model/attentions", c_network="model/networks", c_norm="model/norms", c_position="model/positions",
               c_optimizer="training/optimizers")

# names of the same setting elsewhere, where it means the same in the same unit (nanoGPT's min_lr is a rate, r_learn_min a fraction)
ALIASES = dict(
    # The Little Baby, and littlebaby 0.1
    s_head="head_size", s_batch="batch_size", s_emb="n_emb", s_ctx="n_ctx", num_epochs="n_epochs", c_tokeniser="c_tokenizer",
    lr="r_learn", r_decay="r_weight_decay", s_decay="s_schedule_decay", c_decay="c_schedule_decay", r_eps="r_adam_eps",
    r_overlap="r_eval_overlap", n_eval="n_eval_windows", r_checkpoint="r_checkpoint_minutes", n_groups="n_expert_groups",
    n_active_groups="n_active_expert_groups", lor_rank="network_rank", lor_alpha="network_alpha", b_gate="b_network_gate",
    c_gate="c_hybrid_gate",
    # nanoGPT
    n_embd="n_emb", block_size="n_ctx", vocab_size="n_vocab", n_head="n_heads", n_layer="n_layers", dropout="r_dropout",
    learning_rate="r_learn", weight_decay="r_weight_decay", grad_clip="r_clip", beta1="r_beta1", beta2="r_beta2", max_iters="n_steps",
    warmup_iters="s_warmup", eval_interval="s_eval", gradient_accumulation_steps="n_accumulate",
    # litgpt
    n_query_groups="n_kv_heads", n_expert="n_experts", n_expert_per_token="n_active", sliding_window_size="s_window", epochs="n_epochs",
    micro_batch_size="batch_size", max_norm="r_clip", lr_warmup_steps="s_warmup", lora_r="lora_rank",
    # transformers: models
    hidden_size="n_emb", intermediate_size="s_hidden", max_position_embeddings="n_ctx", n_positions="n_ctx", num_hidden_layers="n_layers",
    num_attention_heads="n_heads", n_kv_head="n_kv_heads", num_key_value_heads="n_kv_heads", rms_norm_eps="norm_eps",
    layer_norm_eps="norm_eps", layer_norm_epsilon="norm_eps", rope_theta="rope_base", sliding_window="s_window",
    tie_word_embeddings="b_tied", num_experts="n_experts", num_local_experts="n_experts", n_routed_experts="n_experts",
    num_experts_per_tok="n_active", n_shared_experts="n_shared", moe_intermediate_size="s_expert", n_group="n_expert_groups",
    topk_group="n_active_expert_groups", routed_scaling_factor="r_route_scale", first_k_dense_replace="n_dense_layers",
    kv_lora_rank="mla_rank", q_lora_rank="mla_q_rank", qk_nope_head_dim="mla_nope", qk_rope_head_dim="mla_rope", v_head_dim="mla_v",
    # transformers: training
    num_train_epochs="n_epochs", max_steps="n_steps", per_device_train_batch_size="batch_size", warmup_steps="s_warmup",
    warmup_ratio="s_warmup", adam_beta1="r_beta1", adam_beta2="r_beta2", adam_epsilon="r_adam_eps", max_grad_norm="r_clip",
    eval_steps="s_eval", save_steps="s_checkpoint")
OLD_VALUES = dict(c_attention=dict(lda="gla"), c_network=dict(lin="gln"))

try:
    VERSION = version("littlebaby")
except PackageNotFoundError:
    VERSION = "not installed"


def key(group, default, meaning, least=None, most=None, unit=""):
    """One setting: its default, what it does, and where it can be measured the range, both ends included"""
    return Field(default, ge=least, le=most, description=meaning, json_schema_extra={"group": group, "unit": unit})


model, training, data, device, output = (partial(key, group) for group in GROUPS)


class Config(BaseModel):
    """Every setting of a run. Where 0 stands for a rule, the rule is applied at once: a Config holds final values.

    >>> Config(n_emb=64, n_heads=2).head_size
    64
    """
    model_config = STRICT

    # model
    c_sequence: Literal["pre", "post"] = model("pre", "Normalise before each sublayer (steady training) or after it, as in 2017.")
    c_attention: str = model("mha", "Attention: a file in model/attentions.")
    c_network: str = model("mlp", "Feed-forward network of a block: a file in model/networks; it holds most of the parameters.")
    c_norm: str = model("layernorm", "Normalisation: a file in model/norms; rmsnorm is a little faster.")
    c_position: str = model("learned", "Position encoding: a file in model/positions.")
    n_vocab: int = model(0, "Size of the vocabulary; 0 takes the tokenizer's.", 0, 2**24, "tokens")
    n_ctx: int = model(256, "Context length; the cost and memory of attention grow with its square.", 2, 2**20, "tokens")
    n_emb: int = model(128, "Embedding width; parameters and time grow with its square.", 1, 2**16)
    head_size: int = model(0, "Width of all attention heads together; 0 means n_emb.", 0, 2**17)
    n_heads: int = model(4, "Attention heads, which share head_size among them; hardly any effect on the number of parameters.", 1, 1024)
    n_kv_heads: int = model(0, "Key and value heads of gqa and swa; 0 means a quarter of n_heads; fewer make a smaller cache.", 0, 1024)
    n_layers: int = model(4, "Blocks on top of each other; parameters and time grow in proportion.", 1, 1024)
    r_hidden: float = model(4.0, "Hidden width of a network as a multiple of n_emb; two thirds of a block at 4.", 0.01, 64)
    s_hidden: int = model(0, "Hidden width of a network in numbers, in place of r_hidden; 0 leaves it to r_hidden.", 0, 2**20)
    c_activation: Literal["gelu", "gelu_exact", "relu", "relu2", "silu"] = model("gelu",
                                                                                 "Activation function of an mlp; relu is the fastest.")
    n_experts: int = model(4, "Experts of moe; parameters grow with them, time with n_active alone.", 1, 4096)
    n_active: int = model(0, "Active experts per token in moe (top-k); 0 means all: no routing, and the most time.", 0, 4096)
    n_shared: int = model(0, "Shared experts of moe, used by every token, as one network of their joint width.", 0, 256)
    c_expert: Literal["mlp", "swi"] = model("mlp", "What an expert of moe is.")
    s_expert: int = model(0, "Hidden width of an expert of moe; 0 means that of a whole network.", 0, 2**20)
    c_router: Literal["softmax_topk", "softmax", "sigmoid", "sigmoid_raw"] = model(
        "softmax_topk", "How moe weighs answers: chances among the experts asked, chances among all, shares of sigmoids, or sigmoids.")
    n_expert_groups: int = model(1, "Groups of moe's experts, divisors of n_experts; a token asks inside its best groups only.", 1, 4096)
    n_active_expert_groups: int = model(0, "Groups of moe that a token may be routed to; 0 means all.", 0, 4096)
    r_route_scale: float = model(1.0, "Multiplies the outputs of moe's routed experts.", 0.001, 1000)
    r_aux: float = model(0.01, "Weight of moe's load-balancing loss; without it (0) few experts may receive all tokens.", 0, 100)
    c_aux: Literal["share", "topk"] = model("topk", "Equal loads cost r_aux (topk), or r_aux times n_active (share).")
    c_balance: Literal["sequence", "batch"] = model(
        "sequence", "Where moe wants equal loads: in every window, the same on any number of threads, or over each thread's batch.")
    r_bias_update: float = model(0.0, "Step of moe's selection bias, which favours experts with few tokens, beside or in place of r_aux.",
                                 0, 1)
    n_dense_layers: int = model(0, "First layers that have one expert of a whole network's width in place of moe.", 0, 1023)
    network_rank: int = model(4, "Width of what lor learns beside its frozen matrix.", 1, 2**16)
    network_alpha: float = model(0.0, "Strength of what lor learns, in proportion to network_rank; 0 means twice network_rank.", 0, 10**6)
    c_bias: Literal["none", "out", "all"] = model(
        "out", "Which products add a bias: none, output projections and head, or all as in GPT-2; next to no cost.")
    b_bias_attention_in: bool = model(False, "Biases on queries, keys and values even where c_bias is not all, as in Qwen 2.")
    b_bias_attention_out: bool = model(False, "A bias on the attention's output even where c_bias is none.")
    b_norm_last: bool = model(False, "A norm before the head even where c_sequence is post; where it is pre, there is one anyway.")
    norm_eps: float = model(0.0, "Added to a variance before its root; 0 means 1e-5 for layernorm and 1e-6 for rmsnorm.", 0, 0.1)
    rope_base: float = model(10000.0, "The slowest wavelength of rope; larger ones reach further back.", 1, 10**9)
    rope_layout: Literal["half", "interleaved"] = model("half", "What rope turns together: halves, as llama, or neighbours.")
    c_rope_scale: Literal["none", "linear", "llama3", "yarn"] = model(
        "none", "How rope turns slower than it learned, for a longer context: not, all pairs, or the slow ones by either rule.")
    r_rope_factor: float = model(1.0, "How many times slower, and the context longer, c_rope_scale makes it.", 1, 2**16)
    n_rope_ctx: int = model(0, "The context before c_rope_scale; 0 means n_ctx / r_rope_factor.", 0, 2**20, "tokens")
    r_rope_slow: float = model(1.0, "Pairs with fewer turns in n_rope_ctx tokens are slowed by the whole r_rope_factor.", 0.001, 2**16)
    r_rope_fast: float = model(0.0, "Pairs with more turns keep their speed; 0 means 4 for llama3 and 32 for yarn.", 0, 2**16)
    r_rope_gain: float = model(0.0, "Multiplies what rope turns; 0 means 1, for yarn 1 + ln(r_rope_factor) / 10.", 0, 100)
    b_tied: bool = model(False, "Use the token table as the head too; saves n_vocab x n_emb parameters.")
    r_temp: float = model(1.0, "Temperature of attention: above 1 it looks at more tokens, below 1 at fewer.", 0.01, 100)
    s_window: int = model(64, "Window of swa and rfa in tokens, the token itself included.", 2, 2**20, "tokens")
    s_kernel: int = model(8, "How many tokens the filters of gla mix.", 1, 1024, "tokens")
    n_latents: int = model(16, "Learned queries per head of latent; its state grows with them.", 2, 2**12)
    mla_latent: Literal["joint", "split"] = model("joint", "One latent for keys and values of mla, or one for each: twice the cache.")
    mla_rank: int = model(0, "Width of the latents that mla keeps, which are its cache; 0 means a quarter of n_emb.", 0, 2**16)
    mla_q_rank: int = model(0, "Width of a latent for the queries of mla; 0 makes them from the token itself.", 0, 2**16)
    mla_norm: Literal["none", "rmsnorm", "layernorm"] = model("rmsnorm", "How mla normalises its latents.")
    mla_nope: int = model(0, "Width of a head's queries and keys in mla, without what rope turns; 0 means head_size / n_heads.", 0, 2**16)
    mla_rope: int = model(0, "Width of what rope turns in mla, one key for all heads; 0 means none, with rope half a head.", 0, 2**16)
    mla_v: int = model(0, "Width of a head's values in mla; 0 means head_size / n_heads.", 0, 2**16)
    r_recall: float = model(0.5, "Share of the heads of hybrid that recall, as mla's, rounded down; the others fade, as decay's.", 0, 1)
    c_hybrid_gate: Literal["channel", "head"] = model("channel", "What the gate of hybrid opens and closes: each channel, or each head.")
    b_bias_head: bool = model(False, "A bias on the head even where c_bias is not out; a finetune on new tokens adds it.")
    b_bias_network: bool = model(False, "Biases in the network even where c_bias is none.")
    qk_clip: float = training(100.0, "Largest score that muonclip leaves to a head's queries and keys.", 0.01, 10**6)
    d_type: Literal["fp16", "fp32", "fp64"] = model(
        "fp32", "Type of numbers; fp64 is twice as large and half as fast; fp16 trains with matrices in half precision, for a GPU, and "
                "keeps weights and sums in fp32.")

    # training
    n_epochs: int = training(1, "Epochs: passes over the training tokens; time grows in proportion.", 1, 10**6)
    n_steps: int = training(0, "Updates of the weights, in place of n_epochs; 0 leaves it to n_epochs.", 0, 10**9, "steps")
    batch_size: int = training(8, "Windows per step; a larger one steadies the gradient and needs more time and memory.", 1, 2**16)
    n_accumulate: int = training(1, "Batches summed into one step: a larger batch without its memory.", 1, 2**16)
    r_dropout: float = training(0.0, "Dropout: fraction of activations set to 0 in training; helps where a text is read for many epochs.",
                                0, 0.99)
    c_optimizer: str = training("adamw", "Optimizer: a file in training/optimizers.")
    r_learn: float = training(3e-3, "Peak learning rate; too high diverges, too low is slow.", 1e-9, 100)
    c_schedule: Literal["constant", "linear", "cosine", "wsd"] = training("cosine", "Learning-rate schedule after the warm-up.")
    r_learn_min: float = training(0.1, "Final learning rate, as a fraction of r_learn.", 0, 1)
    s_warmup: Literal["none", "auto"] | int | float = training(
        "auto", "Steps in which the rate rises: none, auto (2%, at least 10), a number, or a fraction of all.", unit="steps")
    s_schedule_decay: int = training(0, "Steps in which wsd falls at the end; 0 means a fifth of all.", 0, 10**9, "steps")
    c_schedule_decay: Literal["linear", "1-sqrt"] = training("linear", "The shape of wsd's fall.")
    r_beta1: float = training(0.9, "Memory of adamw's mean gradient, of lion's direction: 0.9 looks back about 10 steps.", 0, 0.99999)
    r_beta2: float = training(0.99, "Memory of adamw's mean square, of lion's mean gradient: 0.99 looks back about 100 steps.", 0, 0.999999)
    r_adam_eps: float = training(1e-8, "Epsilon of adamw, added to the root of the mean square.", 1e-16, 1)
    r_weight_decay: float = training(0.1, "Weight decay of matrices and tables: shrinks weights towards 0, against overfitting.", 0, 10)
    r_momentum: float = training(0.9, "Memory of sgd's mean gradient.", 0, 0.99999)
    b_nesterov: bool = training(False, "Nesterov momentum for sgd.")
    r_clip: float = training(1.0, "Gradient clipping: largest norm of the gradient; larger ones are scaled down; 0 never clips.", 0, 10**9)
    n_patience: int = training(0, "Evaluations in a row without a better loss after which training stops; 0 never does.", 0, 10**6)
    n_eval_windows: int = training(0, "Windows per evaluation; 0 means the whole validation split, exact and slower.", 0, 10**9, "windows")
    r_eval_overlap: float = training(0.0, "Share of an evaluation window that is only read: at 0.5 no token is judged with less than "
                           "half a window in view, at twice the time; 0 is what most reports do; without meaning where c_pack is within.",
                           0, 0.95)
    s_eval: int = training(0, "Steps between evaluations; 0 means twenty evaluations in all.", 0, 10**9, "steps")
    s_checkpoint: int = training(0, "Steps between checkpoints; 0 means one at each evaluation.", 0, 10**9, "steps")
    r_checkpoint_minutes: float = training(10.0, "Minutes after which a checkpoint is due in any case; 0 never.", 0, 10**6, "minutes")
    b_network_gate: bool = model(True, "The gate of gln and nft; without it gln is one matrix.")
    n_groups_ggl: int = model(4, "Groups of ggl, divisors of n_emb; more are cheaper and know less of each other.", 1, 2**16)
    lora_rank: int = training(0, "Finetune adapters of this rank alone, the base frozen; 0 finetunes all weights.", 0, 2**16)
    lora_alpha: float = training(0.0, "Strength of adapters, in proportion to lora_rank; 0 means twice lora_rank.", 0, 10**6)
    lora_targets: str = training("*.att.*", "Matrices that get adapters: names or wildcards, separated by commas or spaces.")
    seed: int = training(0, "Random seed: the same seed gives the same run.", 0, SEEDS)

    # data
    c_tokenizer: str = data("char", "How text becomes tokens: char, word, bpe, or the path of a tokenizer.json.")
    s_vocabulary: int = data(4096, "Vocabulary size for word and bpe; more means shorter texts and a slower head.", 2, 2**24, "tokens")
    c_unknown: Literal["replace", "error"] = data("replace", "Unknown characters become their nearest known form, or an error.")
    c_field: str = data("text", "The field of .jsonl lines, and the column of .parquet rows, that holds the text.")
    c_shuffle: Literal["none", "documents", "windows"] = data(
        "none", "What is shuffled before the split: nothing, documents, or stretches of 10 n_ctx.")
    c_pack: Literal["across", "within"] = data(
        "across", "Whether windows run over the ends of documents, or stay within one, the rest of a window being lost to short ones.")
    r_split: float = data(0.9, "Share of the text that is trained on; the rest validates.", 0.01, 1)
    c_template: Literal["kodalite", "chatml", "plain"] = data(
        "kodalite", "How a conversation is spelled: marks such as <|user|>, ChatML's, or plain names, for small vocabularies.")
    stride: int = data(0, "From one window to the next; 0 means n_ctx, 1 shows each token n_ctx times.", 0, 2**20, "tokens")

    # device
    c_device: Literal["cpu", "gpu", "auto"] = device("auto", "Where to compute; auto takes a GPU if there is one.")
    c_device_cpu_cores: int = device(0, "Processor cores to use; 0 means all.", 0, 4096)
    c_device_gpu_core: int = device(0, "Number of the GPU to use, counted from 0.", 0, 1023)
    c_device_gpu_tensor: bool = device(False, "Let a GPU multiply in tf32: faster, with about three digits.")

    # output
    c_snapshot: Literal["auto", "json", "safetensors", "lists"] = output(
        "auto", "Form of the model file: auto is json below 8 million parameters, safetensors from there on.")
    b_keep_last: bool = output(False, "Keep the checkpoint with the last weights when a run ends well.")
    n_sample: int = output(80, "Tokens of the sample at each evaluation; 0 for none.", 0, 10**6, "tokens")
    n_completion: int = output(1000, "Tokens written at the end of training; 0 for none.", 0, TOKENS, "tokens")

    def __init__(self, /, **settings: Any):
        try:
            super().__init__(**renamed(settings))
        except ValidationError as error:
            raise BadInput("\n".join(dict.fromkeys(error_sentence(each) for each in error.errors()))) from None

    @field_validator("*", mode="before")
    @classmethod
    def is_a_number(cls, value, info):
        kind = cls.model_fields[info.field_name].annotation
        if kind in (int, float) or (kind is not bool and isinstance(value, bool)):
            value = parsed(value)
            if value is None:
                raise ValueError
        return value

    @field_validator(*FOLDERS)
    @classmethod
    def lies_in_its_folder(cls, value, info):
        value = OLD_VALUES.get(info.field_name, {}).get(value, value)
        if value not in allowed(info.field_name):
            raise ValueError
        return value

    @field_validator("c_tokenizer")
    @classmethod
    def is_a_kind_or_a_file(cls, value):
        if value not in allowed("c_tokenizer") and not value.endswith(".json"):
            raise ValueError
        return value

    @field_validator("s_warmup")
    @classmethod
    def is_steps_or_a_fraction(cls, value):
        if isinstance(value, str) or 0 < value < 1:
            return value
        if value != int(value) or not 0 <= value <= 10**9:
            raise ValueError
        return int(value)

    @model_validator(mode="after")
    def fits_together(self):
        self.fill("head_size", self.n_emb)
        self.fill("n_kv_heads", max(n for n in divisors(self.n_heads) if n <= max(1, self.n_heads // 4)))
        self.fill("norm_eps", 1e-5 if self.c_norm == "layernorm" else 1e-6)
        self.fill("lora_alpha", 2.0 * self.lora_rank)
        self.fill("mla_rank", max(1, self.n_emb // 4))
        self.fill("mla_nope", max(1, self.head_width))
        self.fill("mla_v", max(1, self.head_width))
        self.fill("n_rope_ctx", max(1, round(self.n_ctx / self.r_rope_factor)))
        self.fill("r_rope_fast", 32.0 if self.c_rope_scale == "yarn" else 4.0)
        self.fill("r_rope_gain", 1 + log(self.r_rope_factor) / 10 if self.c_rope_scale == "yarn" else 1.0)
        if self.c_position == "rope":
            self.fill("mla_rope", 2 * max(1, round(self.head_width / 4)))
        self.fill("network_alpha", 2.0 * self.network_rank)
        self.fill("s_expert", self.hidden)
        self.fill("n_active", self.n_experts)
        self.fill("n_active_expert_groups", self.n_expert_groups)
        wrong = []
        if self.head_size % self.n_heads:
            wrong.append(f"n_heads is {self.n_heads}; allowed are divisors of head_size, {self.head_size}; "
                         f"did you mean {closest(self.n_heads, divisors(self.head_size))}?")
        elif self.c_position == "rope" and self.head_width % 2 and self.c_attention not in ("mla", "hybrid"):
            pair = 2 * self.n_heads
            wrong.append(f"head_size is {self.head_size}, which makes heads {self.head_width} wide, and rope turns pairs; "
                         f"allowed are multiples of {pair}; did you mean {max(1, round(self.head_size / pair)) * pair}?")
        if self.c_position == "rope" and self.mla_rope % 2:
            wrong.append(f"mla_rope is {self.mla_rope}, and rope turns pairs; allowed are even numbers; did you mean {self.mla_rope + 1}?")
        if self.r_rope_fast <= self.r_rope_slow:
            wrong.append(f"r_rope_fast is {self.r_rope_fast:g}; allowed is a number above r_rope_slow, {self.r_rope_slow:g}; "
                         f"did you mean {4 * self.r_rope_slow:g}?")
        if self.c_rope_scale == "yarn" and self.rope_base == 1:
            wrong.append("rope_base is 1.0, at which all pairs turn alike and yarn finds no slow ones; did you mean 10000?")
        if self.c_attention == "hybrid" and self.mla_v != self.head_width:
            wrong.append(f"mla_v is {self.mla_v}; allowed in hybrid, whose heads are all of one width, is head_size / n_heads, "
                         f"{self.head_width}; did you mean {self.head_width}?")
        if self.c_network == "ggl" and self.n_emb % self.n_groups_ggl:
            wrong.append(f"n_groups_ggl is {self.n_groups_ggl}; allowed are divisors of n_emb, {self.n_emb}; "
                         f"did you mean {closest(self.n_groups_ggl, divisors(self.n_emb))}?")
        if self.c_position == "alibi" and self.c_attention not in PRICED:
            wrong.append(f"c_attention is '{self.c_attention}', and alibi prices the scores of {', '.join(PRICED)} only; "
                         f"did you mean c_position none?")
        if self.c_attention in ("moh", "swh") and self.n_heads == 1:
            wrong.append(f"n_heads is 1, and {self.c_attention} weighs heads against each other; allowed are 2 and more; "
                         f"did you mean c_attention mha?")
        if self.n_heads % self.n_kv_heads:
            wrong.append(f"n_kv_heads is {self.n_kv_heads}; allowed are divisors of n_heads, {self.n_heads}; "
                         f"did you mean {closest(self.n_kv_heads, divisors(self.n_heads))}?")
        if self.c_network == "moe":
            wrong += self.wrong_with_experts()
        if wrong:
            raise BadInput("\n".join(wrong))
        return self

    def wrong_with_experts(self):
        """What is wrong with a moe's numbers, a sentence each"""
        E, k, G, open_groups = self.n_experts, self.n_active, self.n_expert_groups, self.n_active_expert_groups
        if E % G:
            yield f"n_expert_groups is {G}; allowed are divisors of n_experts, {E}; did you mean {closest(G, divisors(E))}?"
        elif open_groups > G:
            yield f"n_active_expert_groups is {open_groups}; allowed is a whole number from 1 to n_expert_groups, {G}; did you mean {G}?"
        elif k > (most := open_groups * E // G):
            where = f"n_experts, {E}" if open_groups == G else f"{most}, the experts of {open_groups} of {G} groups"
            yield f"n_active is {k}; allowed is a whole number from 1 to {where}; did you mean {most}?"
        if k == 1 < E and self.c_router in ("softmax_topk", "sigmoid") and not self.r_aux:
            yield (f"n_active is 1, where c_router {self.c_router} gives every answer the weight 1: with r_aux 0 the router would learn "
                   f"from rounding alone; allowed are c_router softmax, r_aux above 0 or n_active from 2; did you mean r_aux 0.01?")
        if self.n_dense_layers >= self.n_layers:
            yield (f"n_dense_layers is {self.n_dense_layers}, which leaves none of {self.n_layers} layers to moe; allowed is a whole "
                   f"number from 0 to {self.n_layers - 1}; did you mean {self.n_layers - 1}?")

    def fill(self, name, value):
        """Put a rule's value where 0 asks for it; the field then counts as not chosen, so that `replace` applies the rule anew"""
        if not getattr(self, name):
            self.__dict__[name] = value
            self.__pydantic_fields_set__.discard(name)

    def replace(self, **changes: Any):
        """The same settings but for these, checked; what a rule has filled in follows what it depends on"""
        return Config(**self.model_dump(exclude_unset=True) | renamed(changes))

    @property
    def hidden(self):
        """F, the hidden width of a network"""
        return self.s_hidden or max(1, round(self.r_hidden * self.n_emb))

    @property
    def network_bias(self):
        """Whether the products of a network add a bias"""
        return self.c_bias != "none" or self.b_bias_network

    @property
    def head_width(self):
        """d, the width of one head"""
        return self.head_size // self.n_heads


# the files of a run: what each holds

def note(default, meaning, unit=""):
    """One field of a file: its default (... where there must be one), what it says, in which unit"""
    return Field(default, description=meaning, json_schema_extra={"unit": unit})


# a number that was measured: null in the file where it came out as no number
Number = Annotated[float | None, BeforeValidator(lambda v: None if hasattr(v, "__float__") and not isfinite(v) else v)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=f"^{NAME}$")]


def now():
    return datetime.now(timezone.utc)


class ConfigFile(Config):
    """configs/config_GUID.json: the settings, defaults included, and where they come from"""
    version: str = note("", "The littlebaby that wrote the file.")
    guid: str = note("", "The run.")
    base: str = note("", "The run whose weights this one started from, empty for a training from scratch.")
    time: AwareDatetime | None = note(None, "When the run began.")

    @property
    def config(self):
        return Config(**self.model_dump(include=set(Config.model_fields)))


class TokenizerFile(BaseModel):
    """tokenizers/tokenizer_GUID.json; what else it holds is the kind's own"""
    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    version: str = note(VERSION, "The littlebaby that wrote the file.")
    guid: Name = note(..., "The run.")
    kind: Literal["char", "word", "bpe"] = note(..., "What a token is.")
    begin: str = note(..., "What stands before a document.")
    vocabulary: list[str] = note(..., "The tokens in the order of their ids.")
    merges: list[str] = note([], "bpe: pairs that become one token, in the order in which they are joined.")
    special: list[str] = note([], "bpe: tokens that are never spelled out.")
    special_tokens: dict[str, Any] = note({}, "A model from elsewhere: the ids of bos, eos (all of them), pad and unk, those that its "
                                              "tokenizer puts around a prompt, and its chat template.")


class Tensor(BaseModel):
    """Where a weight lies in the stream of bytes, and what it is"""
    model_config = STRICT
    shape: list[Count] = note(..., "Its shape; matrices are (in, out).")
    dtype: Literal["float16", "float32", "float64"] = note(..., "Type of its numbers, little-endian.")
    kind: str = note(..., "What an optimizer may do with it: matrix, table, head, vector, ...")
    trainable: bool = note(..., "Whether training changes it.")
    offset: Count = note(..., "Where it begins in the stream.", "bytes")


class Parameters(BaseModel):
    model_config = STRICT
    trainable: Count = note(..., "How many numbers training changes.")
    frozen: Count = note(..., "How many it leaves alone.")
    total: Count = note(..., "Both together.")


class ModelFile(BaseModel):
    """models/model_GUID.json: the manifest and, unless `file` names another place, the weights"""
    model_config = STRICT
    format: Literal[1] = note(1, "Version of this layout.")
    version: str = note(VERSION, "The littlebaby that wrote the file.")
    guid: Name = note(..., "The run.")
    time: AwareDatetime = Field(default_factory=now, description="When it was written.")
    parameters: Parameters = note(..., "Counts.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of all weights' bytes, one after the other in this order.")
    tensors: dict[str, Tensor] = note(..., "The weights by name, in the order of the stream.")
    file: str = note("", "safetensors: the file beside this one that holds the weights.")
    blocks: list[str] = note([], "json: the stream in base64, in pieces.")
    lists: dict[str, Any] = note({}, "lists: the weights as nested lists of numbers.")


class Evaluation(BaseModel):
    """One row of a report"""
    model_config = STRICT
    step: Count = note(..., "Updates so far.", "steps")
    tokens: Count = note(..., "Training targets so far.", "tokens")
    train_loss: Number = note(None, "Mean cross-entropy of the batches since the last row, with dropout.", "nats")
    valid_loss: Number = note(None, "Cross-entropy over the validation windows, without dropout.", "nats")
    aux_loss: Number = note(None, "moe: what unequal loads cost besides, the mean since the last row; in neither of the two.", "nats")
    load: list[list[Count]] = note([], "moe: tokens routed to each expert since the last row, per layer; [] for a dense layer.",
                                   "tokens")
    bits_per_character: Number = note(None, "The validation loss in bits, divided among characters.", "bits")
    rate: Number = note(None, "Learning rate.")
    norm: Number = note(None, "Length of the last step's gradient before clipping.")
    clipped: Share = note(0.0, "Share of the steps since the last row whose gradient was shortened.")
    skipped: Count = note(0, "Steps so far without a finite loss or gradient.", "steps")
    tokens_per_second: Number = note(None, "Speed since the last row.", "tokens/s")
    seconds: Number = note(None, "Time spent in steps so far.", "s")
    best: bool = note(False, "Whether no earlier row had a lower validation loss.")
    sample: str = note("", "What the model wrote at this point.")


class Input(BaseModel):
    model_config = STRICT
    name: str = note(..., "Name of the file.")
    bytes: Count = note(..., "Its size.", "bytes")
    characters: Count = note(..., "Its length.", "characters")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of the file's bytes.")
    path: str = note("", "Where the file lies, relative to the workspace; empty where it lies outside, and for several files.")


class Environment(BaseModel):
    model_config = STRICT
    device: str = note(..., "Where it ran, in words.")
    python: str = note(..., "Version of Python.")
    platform: str = note("", "The system, in words.")
    libraries: dict[str, str] = note({}, "Versions of the libraries it stands on.")
    threads: Count = note(0, "Processor cores that shared a step, on each rank.")
    ranks: Count = note(1, "Processes that trained together.")
    peak_memory: Count | None = note(None, "Most memory in use at a time.", "bytes")


class Figures(BaseModel):
    """What a run comes to"""
    model_config = STRICT
    parameters: Parameters = note(..., "Counts.")
    embedding: Count = note(0, "Parameters of the token and position tables.")
    parts: dict[str, Count] = note({}, "Parameters by part of the model.")
    flops_per_token: Number = note(None, "Arithmetic of one token, forward and backward.", "FLOPs")
    flops: Number = note(None, "Arithmetic of the whole run.", "FLOPs")
    memory: Count | None = note(None, "Estimated memory of a step.", "bytes")
    tokens: Count = note(0, "Training targets.", "tokens")
    tokens_per_parameter: Number = note(None, "About 20 is a good use of arithmetic.")
    train_loss: Number = note(None, "At the end.", "nats")
    valid_loss: Number = note(None, "Of the weights that were kept.", "nats")
    bits_per_character: Number = note(None, "Of the weights that were kept.", "bits")
    seconds: Number = note(None, "Time spent in steps.", "s")
    tokens_per_second: Number = note(None, "Over the whole run.", "tokens/s")
    longest_overlap: Count | None = note(None, "Longest stretch of the completion found word for word in the input.", "characters")
    overlap_share: Number = note(None, "Share of the completion's stretches of 50 characters found in the input.")


class Marks(BaseModel):
    """How much of the completion is right, where the text's grammar is known"""
    model_config = STRICT
    words: Share = note(..., "Share of its words that the nursery knows.")
    sentences: Share = note(..., "Share of its sentences that stand where the story so far allows them.")
    stories: Share = note(..., "Share of its stories that are right from beginning to end.")


class Report(BaseModel):
    """outputs/report_GUID.json"""
    model_config = STRICT
    version: str = note(VERSION, "The littlebaby that wrote the file.")
    guid: Name = note(..., "The run.")
    base: str = note("", "The run whose weights this one started from.")
    origin: str = note("", "The file or folder that an imported model came from.")
    started: AwareDatetime = Field(default_factory=now, description="When the run began.")
    ended: AwareDatetime | None = note(None, "When it ended.")
    input: Input | None = note(None, "The text.")
    tokenizer: str = note("", "Kind of tokenizer.")
    vocabulary: Count = note(0, "Its size.", "tokens")
    train_tokens: Count = note(0, "Size of the training split.", "tokens")
    valid_tokens: Count = note(0, "Size of the validation split.", "tokens")
    evaluations: list[Evaluation] = note([], "How it went.")
    base_evaluations: list[Evaluation] = note([], "How it had gone for the base.")
    best_step: Count = note(0, "The step whose weights were kept.", "steps")
    best_valid_loss: Number = note(None, "Their validation loss.", "nats")
    stop_reason: str = note("", "finished, early stop, interrupted, not finite, worker lost, failed, or imported.")
    nursery_floor: Number = note(None, "Entropy of the input where it is known: no model can have a lower loss.", "nats per token")
    marks: Marks | None = note(None, "How much of the completion is right, where the input is the nursery's.")
    environment: Environment | None = note(None, "Where it ran.")
    figures: Figures | None = note(None, "What it came to.")


class Settings(BaseModel):
    """How a text was sampled"""
    model_config = STRICT
    max_tokens: Count = note(200, "Maximum number of tokens to generate.", "tokens")
    repetition_penalty: float = note(1.0, "Repetition penalty: lowers the logits of tokens that occurred before; 1 changes nothing.")
    temperature: float = note(1.0, "Temperature: logits are divided by it; below 1 favours likely tokens, above 1 unlikely ones; 0 always "
                                   "takes the likeliest.")
    top_k: Count = note(0, "Top-k sampling: keep only the k likeliest tokens; 0 keeps all.")
    top_p: float = note(1.0, "Nucleus sampling: keep the smallest set of tokens whose probabilities sum to at least p.")
    min_p: float = note(0.0, "Min-p sampling: keep tokens with at least this fraction of the likeliest token's probability.")
    stop: list[str] = note([], "Strings that end generation.")


class Completion(BaseModel):
    """outputs/completion_GUID.json at the end of a training, outputs/completion_GUID_yyyymmddhhmmss.json for each inference"""
    model_config = STRICT
    version: str = note(VERSION, "The littlebaby that wrote the file.")
    guid: Name = note(..., "The run whose model wrote it.")
    time: AwareDatetime = Field(default_factory=now, description="When.")
    prompt: str = note("", "The prompt, as it was typed.")
    replaced: dict[str, str] = note({}, "Characters of the prompt that the tokenizer does not know, and their replacements.")
    text: str = note(..., "The generated text, without the prompt.")
    samples: list[str] = note([], "All texts, where more than one was asked for.")
    prompt_tokens: Count = note(0, "Length of the prompt.", "tokens")
    tokens: Count = note(0, "Length of the text.", "tokens")
    seed: int = note(0, "Where its randomness started.")
    settings: Settings = note(Settings(), "How it was sampled.")


class Message(BaseModel):
    model_config = STRICT
    role: Literal["system", "user", "assistant"] = note(..., "Who says it.")
    content: str = note(..., "What is said.")


class Chat(BaseModel):
    """outputs/chat_GUID_yyyymmddhhmmss.jsonl: a conversation in one line, as finetune --chat reads it"""
    model_config = STRICT
    version: str = note(VERSION, "The littlebaby that wrote the file.")
    guid: Name = note(..., "The run whose model answered.")
    time: AwareDatetime = Field(default_factory=now, description="When.")
    template: str = note("", "How the conversation was spelled for the model.")
    messages: list[Message] = note(..., "What was said, in order.")
    seed: int = note(0, "Where its randomness started.")
    settings: Settings = note(Settings(), "How the answers were sampled.")


FILES = dict(config=ConfigFile, tokenizer=TokenizerFile, model=ModelFile, report=Report, completion=Completion, chat=Chat)


def schemas():
    """{name: JSON Schema} of every kind of file, the same whatever version writes it"""
    made = {name: record.model_json_schema() for name, record in FILES.items()}
    for schema in made.values():
        schema["properties"].get("version", {}).pop("default", None)
    return made


def parse_record(record, data, where):
    """A record from what a JSON file held; BadInput names the file and every wrong place in it"""
    if not isinstance(data, dict):
        raise BadInput(f"{where} holds {'a list' if isinstance(data, list) else quoted(data)} where an object belongs")
    try:
        return record(**data)
    except BadInput as error:
        raise BadInput("\n".join(f"{where}: {line}" for line in str(error).splitlines())) from None
    except ValidationError as error:
        raise BadInput("\n".join(f"{where}: {field_path(each['loc'])} is {quoted(each['input'])}: {each['msg'].lower()}"
                                 for each in error.errors()[:5])) from None


def field_path(keys):
    """Where in a record something stands, as it is written where that can be shown"""
    word = ".".join(map(str, keys))
    return word if word.isprintable() and len(word) < 100 else quoted(word)


# what is told about settings, right or wrong

class Key(NamedTuple):
    name: str
    group: str       # one of GROUPS
    default: Any
    allowed: str     # in words
    unit: str
    meaning: str


def keys():
    """Every setting, for tables, help texts and panels"""
    fields = Config.model_fields
    extra = lambda name: fields[name].json_schema_extra
    return [Key(name, extra(name)["group"], fields[name].default, allowed_in_words(name), extra(name)["unit"], fields[name].description)
            for name in fields]


def allowed(name):
    """The words that a setting may be, [] where it is no choice between words: allowed("c_attention") -> ["gqa", "mha"]"""
    if name in FOLDERS:
        return sorted(module.name for module in iter_modules([str(HERE.parent / FOLDERS[name])]))
    if name == "c_tokenizer":
        return ["bpe", "char", "word"]
    kind = Config.model_fields[name].annotation
    return list(get_args(kind)) if get_origin(kind) is Literal else []


def limits(name):
    """The smallest and the largest value of a number, (None, None) for what is none"""
    found = {end: getattr(m, end) for m in Config.model_fields[name].metadata for end in ("ge", "le") if hasattr(m, end)}
    return found.get("ge"), found.get("le")


def allowed_in_words(name):
    """What a setting may be, said in words"""
    if name == "s_warmup":
        return "none, auto, a number of steps or a fraction between 0 and 1"
    if name == "c_tokenizer":
        return "bpe, char, word or the path of a tokenizer.json"
    if name == "c_field":
        return "a name"
    if name == "lora_targets":
        return "names or wildcards such as *.att.*, blocks.0.net.up"
    if words := allowed(name):
        return ", ".join(words)
    kind = Config.model_fields[name].annotation
    if kind is bool:
        return "true or false"
    least, most = limits(name)
    return f"{'a whole number' if kind is int else 'a number'} from {least:,} to {most:,}"


def error_sentence(error):
    """One line for one of pydantic's errors: the key, the value, what is allowed, the nearest right one"""
    if not error["loc"]:
        return str(error.get("ctx", {}).get("error", error["msg"]))
    name, value = error["loc"][0], error["input"]
    if error["type"] == "extra_forbidden":
        return unknown(name)
    if name not in Config.model_fields:
        return f"{name} is {quoted(value)}: {error['msg'].lower()}"
    if allowed(name) and name != "c_tokenizer":
        return nearest(name, value, allowed(name))
    least, most = limits(name)
    if least is not None:
        return out_of_range(name, value, least, most, Config.model_fields[name].annotation is int)
    near = get_close_matches(value, allowed(name) or ["none", "auto"], 1, 0.5) if isinstance(value, str) else []
    return f"{name} is {quoted(value)}; allowed is {allowed_in_words(name)}" + (f"; did you mean {near[0]}?" if near else "")


def unknown(name):
    near = get_close_matches(name, [*Config.model_fields, *ALIASES], 1, 0.5)
    return f"{quoted(name)} is no setting" + (f"; did you mean {ALIASES.get(near[0], near[0])}?" if near
                                              else "; `littlebaby catalog` lists them all")


def renamed(settings):
    """The same settings under their present names; both an old and the present name of one is refused"""
    new = {}
    for name, value in settings.items():
        right = ALIASES.get(name, name)
        if right in new:
            raise BadInput(f"{right} is given twice: as {' and '.join(n for n in settings if ALIASES.get(n, n) == right)}")
        new[right] = value
    return new


def divisors(n):
    return [i for i in range(1, n + 1) if n % i == 0]


def closest(value, choices):
    return min(choices, key=lambda each: (abs(each - value), each))


# presets: presets/*.json, an "about" and the settings that differ from the defaults

def presets():
    """{name: what it is}"""
    return {path.stem: json.loads(path.read_text("utf-8"))["about"] for path in sorted((HERE / "presets").glob("*.json"))}


def preset(name):
    """The settings of a preset; `Config(**preset("gpt2"))` is the whole of it. BadInput for a name that is none"""
    if name not in presets():
        raise BadInput(nearest("preset", name, presets()))
    settings = json.loads((HERE / "presets" / f"{name}.json").read_text("utf-8"))
    del settings["about"]
    return settings
