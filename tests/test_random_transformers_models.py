"""Models of other sizes and settings than the reference's, made by transformers at random: the same logits, the same greedy text."""
import json

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.errors import BadInput

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[peers]'")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[peers]'")
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

SMALL = dict(vocab_size=53, hidden_size=32, intermediate_size=44, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64)
ODD = dict(hidden_size=30, num_attention_heads=3, num_key_value_heads=1, head_dim=10, intermediate_size=17, vocab_size=7,
           num_hidden_layers=1)
KINDS = dict(
    Llama=SMALL, Mistral=SMALL, Qwen2=SMALL, GPT2=dict(vocab_size=53, n_embd=32, n_layer=2, n_head=4, n_positions=64),
    Mixtral=dict(SMALL, num_local_experts=5, num_experts_per_tok=2),
    DeepseekV3=dict(SMALL, num_key_value_heads=4, moe_intermediate_size=12, num_hidden_layers=3, n_routed_experts=6, num_experts_per_tok=2,
                    n_shared_experts=1, n_group=3, topk_group=2, first_k_dense_replace=1, kv_lora_rank=8, q_lora_rank=10,
                    qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=7, routed_scaling_factor=1.7))
stretched = lambda kind, **more: dict(rope_parameters=dict(dict(rope_type=kind, rope_theta=5e3, factor=4.0,
                                                                original_max_position_embeddings=16), **more))
LLAMA3, YARN = stretched("llama3", low_freq_factor=1.0, high_freq_factor=4.0), stretched("yarn")
SIBLINGS = dict(
    Llama=[{}, ODD, dict(tie_word_embeddings=True), dict(attention_bias=True, mlp_bias=True), dict(attention_bias=True),
           dict(head_dim=6, num_key_value_heads=4), dict(head_dim=16, num_key_value_heads=1), dict(rms_norm_eps=1e-3), LLAMA3, YARN,
           stretched("linear"), stretched("default", rope_theta=777.0), stretched("yarn", mscale=0.7, mscale_all_dim=0.5),
           stretched("yarn", attention_factor=1.3, beta_fast=16, beta_slow=2)],
    Mistral=[dict(sliding_window=5), dict(sliding_window=None, head_dim=10), dict(sliding_window=4096, tie_word_embeddings=True)],
    Qwen2=[{}, dict(tie_word_embeddings=True, num_key_value_heads=4), YARN,
           dict(use_sliding_window=True, sliding_window=5, max_window_layers=0),
           dict(use_sliding_window=True, sliding_window=5, max_window_layers=2)],
    GPT2=[{}, dict(n_inner=50, n_embd=30, n_head=3, vocab_size=11), dict(tie_word_embeddings=False, activation_function="gelu"),
          dict(activation_function="relu", layer_norm_epsilon=1e-3), dict(scale_attn_weights=False, activation_function="silu")],
    Mixtral=[{}, dict(num_local_experts=3, num_experts_per_tok=1, router_aux_loss_coef=0.0), dict(num_experts_per_tok=5, head_dim=6),
             dict(sliding_window=5, tie_word_embeddings=True), dict(num_local_experts=1, num_experts_per_tok=1)],
    DeepseekV3=[{}, dict(q_lora_rank=None, first_k_dense_replace=0), dict(first_k_dense_replace=2, n_group=1, topk_group=1),
                dict(n_routed_experts=8, n_group=4, topk_group=2, num_experts_per_tok=3, n_shared_experts=2), dict(norm_topk_prob=False),
                dict(rope_interleave=False, tie_word_embeddings=True), dict(num_experts_per_tok=1, n_shared_experts=0),
                dict(first_k_dense_replace=3), dict(num_attention_heads=3, v_head_dim=5, qk_nope_head_dim=3, qk_rope_head_dim=2), YARN,
                stretched("yarn", mscale=1.0, mscale_all_dim=1.0), stretched("yarn", mscale=0.7, mscale_all_dim=0.5)])
CASES = [(kind, more) for kind, each in SIBLINGS.items() for more in each]


def made(kind, more):
    """A model with every weight away from where it starts, in float64"""
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**KINDS[kind], **more})
    model = getattr(transformers, "GPT2LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM")(config).double().eval()
    if kind in ("Mixtral", "DeepseekV3"):
        model.set_experts_implementation("eager")                # the fast ones know no float64
    with torch.no_grad():
        for w in model.parameters():
            w += 0.15 * torch.randn_like(w)
        for name, w in model.named_buffers():
            if name.endswith("correction_bias"):
                w += 0.1 * torch.randn_like(w)
    return model


def logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor(ids)).logits.double().numpy()


@pytest.mark.parametrize("kind, more", CASES, ids=[f"{kind}-{i}" for each in SIBLINGS.items() for kind, i in
                                                   zip([each[0]] * len(each[1]), range(len(each[1])))])
def test_a_sibling(kind, more, tmp_path):
    """theirs turns and normalises in float32 whatever the weights are, but for GPT-2"""
    model = made(kind, more)
    model.save_pretrained(tmp_path)
    baby = lb.load(tmp_path, d_type="fp64")
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, (2, 40))
    assert np.abs(baby.logits(ids) - logits(model, ids)).max() < (1e-10 if kind == "GPT2" else 5e-6)
    model.generation_config.eos_token_id, seen = None, torch.tensor(ids[:1, :7])
    theirs = model.generate(seen, attention_mask=torch.ones_like(seen), max_new_tokens=24, do_sample=False, pad_token_id=0)[0, 7:]
    assert baby.generate(ids[0, :7], 24, temperature=0).tolist() == theirs.tolist()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_shards_and_short_numbers(dtype, tmp_path):
    """Many files, of numbers of 16 bits: each is read as the float32 that it is"""
    model = made("Llama", {}).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path, max_shard_size="10kB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    baby, ids = lb.load(tmp_path), np.arange(30)[None]
    wide = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert baby.flat.dtype == np.float32 and np.abs(baby.logits(ids) - logits(wide, ids)).max() < 2e-5
    held = {name: w.float().numpy() for name, w in model.state_dict().items()}
    assert np.array_equal(baby.weights()["blocks.1.net.down"], held["model.layers.1.mlp.down_proj.weight"].T)


@pytest.mark.parametrize("kind, more", [("Llama", LLAMA3), ("Llama", YARN), ("Llama", stretched("linear")), ("Qwen2", YARN),
                                        ("DeepseekV3", YARN), ("DeepseekV3", dict(norm_topk_prob=False))])
def test_and_back(kind, more, tmp_path):
    """What came from transformers goes back as the same model"""
    model = made(kind, more)
    model.save_pretrained(tmp_path / "theirs")
    run = lb.import_(tmp_path / "theirs", path=tmp_path, progress=False)
    done = lb.export(run.guid, path=tmp_path)
    assert done.to == "huggingface" and not done.notes
    again = transformers.AutoModelForCausalLM.from_pretrained(done.folder, dtype=torch.float64).eval()
    if kind == "DeepseekV3":
        again.set_experts_implementation("eager")
    ids = np.arange(2 * 40).reshape(2, 40) % 53
    assert np.abs(logits(again, ids) - logits(model, ids)).max() < 1e-9


@pytest.mark.parametrize("kind, more, said", [
    ("Llama", dict(hidden_act="gelu"), "hidden_act is 'gelu'"),
    ("Llama", stretched("dynamic"), "scaled by the rule 'dynamic'"),
    ("Llama", stretched("yarn", truncate=False), "truncate is False"),
    ("Mistral", dict(sliding_window=1), "s_window is 1"),
    ("Qwen2", dict(use_sliding_window=True, sliding_window=5, max_window_layers=1), "only some layers have a sliding window"),
    ("GPT2", dict(activation_function="quick_gelu"), "activation_function is 'quick_gelu'"),
    ("GPT2", dict(scale_attn_by_inverse_layer_idx=True), "scale_attn_by_inverse_layer_idx is True"),
    ("Mixtral", dict(hidden_act="gelu"), "hidden_act is 'gelu'"),
    ("DeepseekV3", dict(attention_bias=True), "attention_bias is True")])
def test_what_is_refused(kind, more, said, tmp_path):
    made(kind, more).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match=said) as error:
        lb.load(tmp_path)
    assert "\n" not in str(error.value)


def test_an_older_config(tmp_path):
    """rope as transformers 4 wrote it: the base at the top, the rest in rope_scaling with a 'type'"""
    model = made("Llama", YARN)
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["rope_parameters"]
    path.write_text(json.dumps(config | dict(rope_theta=5e3, rope_scaling=dict(type="yarn", factor=4.0,
                                                                               original_max_position_embeddings=16))))
    ids = np.arange(40)[None]
    assert np.abs(lb.load(tmp_path, d_type="fp64").logits(ids) - logits(model, ids)).max() < 5e-6
