"""config.json as transformers reads it: defaults of its classes, keys left out, keys that it passes over, tokenizers of exports."""
import dataclasses
import json

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.errors import BadInput
from littlebaby.runs import formats
from littlebaby.runs.formats.huggingface import ARCHITECTURES
from littlebaby.runs.formats.transformers_configs import ALIASES, DEFAULTS, HARMLESS, ROPE_BASE, SIZES

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[peers]'")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[peers]'")

LLAMA = dict(vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64)
SMALL = dict(
    llama=("Llama", LLAMA | dict(attention_bias=True, mlp_bias=True)), mistral=("Mistral", LLAMA | dict(sliding_window=8)),
    qwen2=("Qwen2", LLAMA | dict(use_sliding_window=True, sliding_window=8, max_window_layers=0)),
    mixtral=("Mixtral", LLAMA | dict(num_local_experts=4, num_experts_per_tok=3, sliding_window=8, rms_norm_eps=1e-3)),
    starcoder2=("Starcoder2", LLAMA | dict(use_bias=True, tie_word_embeddings=False, sliding_window=8)),
    gpt2=("GPT2", dict(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=64, activation_function="relu",
                       scale_attn_weights=False)),
    deepseek_v3=("DeepseekV3", LLAMA | dict(
        num_key_value_heads=4, moe_intermediate_size=16, n_routed_experts=8, n_shared_experts=1, num_experts_per_tok=3, n_group=4,
        topk_group=2, first_k_dense_replace=1, kv_lora_rank=16, q_lora_rank=16, qk_rope_head_dim=4, qk_nope_head_dim=8, v_head_dim=8,
        routed_scaling_factor=1.5, norm_topk_prob=False, rope_interleave=False)))
IDS = np.random.default_rng(1).integers(0, 97, (2, 40))


def config_class(kind):
    return getattr(transformers, f"{SMALL[kind][0]}Config")


def saved(kind, folder, **settings):
    """A small model of random weights as transformers saves it"""
    torch.manual_seed(0)
    name, small = SMALL[kind]
    model = getattr(transformers, f"{name}{'LMHeadModel' if kind == 'gpt2' else 'ForCausalLM'}")(config_class(kind)(**small | settings))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
    model.save_pretrained(folder)
    return json.loads((folder / "config.json").read_text())


def distance(folder):
    """The largest difference of logits, relative to the largest logit"""
    with torch.no_grad():
        theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()(torch.tensor(IDS)).logits.numpy()
    return np.abs(lb.load(str(folder)).logits(IDS) - theirs).max() / np.abs(theirs).max()


def test_every_kind_is_compared():
    assert {*SMALL, "kimi_k2"} == ARCHITECTURES.keys() == DEFAULTS.keys()


@pytest.mark.parametrize("kind", SMALL)
def test_every_default_is_the_librarys(kind):
    fields = {field.name: field.default for field in dataclasses.fields(config_class(kind))}
    assert {key: fields[key] for key in DEFAULTS[kind]} == DEFAULTS[kind]
    assert not fields.keys() - DEFAULTS[kind].keys() - {*SIZES, *HARMLESS}
    assert ROPE_BASE.get(kind, 1e4) == config_class(kind).default_theta
    their_aliases = {old: new for old, new in config_class(kind).attribute_map.items() if new in fields}
    if "num_mtp_layers" in fields:                               # a field there, under the name that files have
        their_aliases["num_nextn_predict_layers"] = "num_mtp_layers"
    assert ALIASES.get(kind, {}) == their_aliases


@pytest.mark.parametrize("kind", SMALL)
def test_a_key_left_out_means_what_it_means_there(kind, tmp_path):
    """The same logits as transformers, or a refusal: never other numbers"""
    whole, equal = saved(kind, tmp_path), {}
    assert distance(tmp_path) < 1e-5
    for key in whole.keys() - HARMLESS - {*SIZES}:
        (tmp_path / "config.json").write_text(json.dumps({name: value for name, value in whole.items() if name != key}))
        try:
            lb.load(str(tmp_path))
        except BadInput as refused:
            assert len(str(refused).splitlines()) == 1
            continue
        try:
            equal[key] = distance(tmp_path)
        except (RuntimeError, ValueError, TypeError, IndexError):           # transformers cannot load it at all
            continue
    assert len(equal) >= 5 and {key: far for key, far in equal.items() if far > 1e-5} == {}


@pytest.mark.parametrize("kind, more", [("llama", dict(sliding_window=8)), ("llama", dict(final_logit_softcapping=3.0)),
                                        ("mistral", dict(use_sliding_window=False)), ("qwen2", dict(use_mrope=True))])
def test_what_transformers_passes_over_is_passed_over_and_told(kind, more, tmp_path):
    whole = saved(kind, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(whole | more))
    assert distance(tmp_path) < 1e-5
    note = formats.read_model(tmp_path).note
    assert (next(iter(more)) in note) == (more != dict(use_sliding_window=False))
    (tmp_path / "config.json").write_text(json.dumps(whole))
    assert "ignored, as" not in formats.read_model(tmp_path).note


def test_a_model_type_with_a_tokenizer_of_its_own_is_told(tmp_path):
    """A sliding window beside biases on queries, keys and values fits qwen2 alone"""
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "t.txt").write_text(TEXT)
    run = lb.train("t.txt", path=tmp_path, progress=False, n_layers=1, n_emb=32, n_heads=2, n_ctx=32, n_steps=3, n_completion=0,
                   n_eval_windows=2,
                   **SHAPES["mistral"], b_bias_attention_in=True)
    done, baby = lb.export(run.guid, path=tmp_path), lb.load(run.guid, tmp_path)
    assert len(done.notes) == 1 and "PreTrainedTokenizerFast.from_pretrained" in done.notes[0]
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(done.folder)
    assert theirs.encode(TEXT, add_special_tokens=False) == baby.encode(TEXT).tolist()


TEXT = "It's 12 o'clock, 3456 times.\n\nTwo  spaces. Done! " * 40
SHAPES = dict(
    llama=dict(c_attention="gqa", n_kv_heads=1, c_network="swi", c_norm="rmsnorm", c_position="rope", c_bias="none"),
    qwen2=dict(c_attention="gqa", n_kv_heads=1, c_network="swi", c_norm="rmsnorm", c_position="rope", c_bias="none",
               b_bias_attention_in=True),
    mistral=dict(c_attention="swa", s_window=8, c_network="swi", c_norm="rmsnorm", c_position="rope", c_bias="none"),
    gpt2=dict(c_bias="all", b_tied=True), starcoder2=dict(c_position="rope", c_bias="all"),
    mixtral=dict(c_attention="gqa", c_network="moe", c_expert="swi", n_experts=2, c_norm="rmsnorm", c_position="rope", c_bias="none"))


@pytest.mark.parametrize("tokenizer", ["char", "word", "bpe"])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_export_has_the_same_ids_and_logits_there(shape, tokenizer, tmp_path):
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "t.txt").write_text(TEXT)
    run = lb.train("t.txt", path=tmp_path, progress=False, n_layers=1, n_emb=32, n_heads=2, n_ctx=32, n_steps=3, n_completion=0,
                   n_eval_windows=2,
                   c_tokenizer=tokenizer, s_vocabulary=300 if tokenizer == "bpe" else 60, **SHAPES[shape])
    done, baby = lb.export(run.guid, path=tmp_path), lb.load(run.guid, tmp_path)
    assert done.to == "huggingface" and not done.notes
    theirs = transformers.AutoTokenizer.from_pretrained(done.folder)
    ids = theirs.encode(TEXT, add_special_tokens=False)
    assert ids == baby.encode(TEXT).tolist()
    with torch.no_grad():
        logits = transformers.AutoModelForCausalLM.from_pretrained(done.folder).eval()(torch.tensor([ids[:32]])).logits.numpy()
    assert np.abs(baby.logits(np.array(ids[:32])) - logits).max() < 1e-4 * max(1, np.abs(logits).max())
