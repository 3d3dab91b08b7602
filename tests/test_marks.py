"""The tokens that begin and end a text, and conversations' templates: kept through every format, obeyed where a prompt is read."""
import json

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.errors import BadInput
from littlebaby.text import from_json
from littlebaby.text.bpe import BPE, LETTER_OF
from littlebaby.text.marks import Marks, prompt_ids, stop_ids

SPECIAL = ["<|unk|>", "<|bos|>", "<|eos|>", "<|eot|>", "<|pad|>"]
MARKS = Marks("<|bos|>", ("<|eos|>", "<|eot|>"), "<|pad|>", "<|unk|>", ("<|bos|>",), (), "{{ messages }}")
GUID = "0b2f8a52-0000-4000-8000-000000000000"
SHAPE = dict(c_attention="gqa", n_kv_heads=1, c_network="swi", c_norm="rmsnorm", c_position="rope", c_bias="none", n_layers=1, n_emb=32,
             n_heads=2, n_ctx=64)


def tokenizer(marks=MARKS):
    return BPE([*SPECIAL, *LETTER_OF.values()], [], "<|bos|>", SPECIAL, marks=marks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small llama as transformers saves it, with marks of all kinds"""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[peers]'")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[peers]'")
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed: pip install -e '.[test]'")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("llama")
    own = tokenizers.Tokenizer.from_str(json.dumps(tokenizer().to_tokenizer_json()))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=own, bos_token="<|bos|>", eos_token="<|eos|>", pad_token="<|pad|>", unk_token="<|unk|>",
        chat_template="{{ messages }}").save_pretrained(folder)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=261, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64,
        bos_token_id=1, eos_token_id=[2, 3], pad_token_id=4))
    model.save_pretrained(folder)
    return folder


def test_marks_survive_their_own_file():
    again = from_json(json.loads(json.dumps(tokenizer().to_json())))
    assert again.marks == MARKS and "marks" not in BPE.train("hello world " * 9, 260).to_json()
    assert prompt_ids(again, "Hi").tolist() == [1, 5 + list(LETTER_OF.values()).index("H"), 5 + list(LETTER_OF.values()).index("i")]
    assert stop_ids(again) == {2, 3}
    for wrong, said in ((dict(bos="<|none|>"), "which the vocabulary lacks"), (dict(eos="<|eos|>"), "something else than tokens"),
                        (dict(end="x"), "must be an object with bos"), ([], "must be an object")):
        with pytest.raises(BadInput, match=said):
            from_json(dict(tokenizer().to_json(), marks=wrong))


def test_into_a_run_and_out_for_transformers(folder, tmp_path):
    import transformers
    run = lb.import_(str(folder), path=tmp_path, progress=False)
    assert lb.load(run.guid, tmp_path).tokenizer.marks == MARKS
    done = lb.export(run.guid, path=tmp_path)
    there = transformers.AutoTokenizer.from_pretrained(done.folder)
    config, generation = (kind.from_pretrained(done.folder) for kind in (transformers.AutoConfig, transformers.GenerationConfig))
    assert (there.bos_token, there.eos_token, there.pad_token, there.unk_token) == ("<|bos|>", "<|eos|>", "<|pad|>", "<|unk|>")
    assert there.chat_template == "{{ messages }}" and there("Hi")["input_ids"] == lb.load(run.guid, tmp_path).encode("Hi").tolist()
    for each in (config, generation):
        assert (each.bos_token_id, each.eos_token_id, each.pad_token_id) == (1, [2, 3], 4)
    assert lb.load(str(done.folder)).tokenizer.marks == MARKS


def test_out_for_llama_cpp_and_in_again(folder, tmp_path):
    gguf = pytest.importorskip("gguf", reason="gguf is not installed: pip install 'littlebaby[formats]'")
    run = lb.import_(str(folder), path=tmp_path, progress=False)
    file = lb.export(run.guid, to="gguf", path=tmp_path).folder / "model.gguf"
    fields = gguf.GGUFReader(str(file)).fields
    value = lambda name: fields[f"tokenizer.ggml.{name}"].contents()
    assert [value(f"{name}_token_id") for name in ("bos", "eos", "eot", "padding", "unknown")] == [1, 2, 3, 4, 0]
    assert value("add_bos_token") is True and value("add_eos_token") is False
    assert fields["tokenizer.chat_template"].contents() == "{{ messages }}"
    assert lb.load(str(file)).tokenizer.marks == MARKS


def test_it_goes_on_as_in_transformers(folder, tmp_path):
    import torch
    import transformers
    ids = transformers.AutoTokenizer.from_pretrained(folder)("Hi")["input_ids"]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    theirs = model.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False, eos_token_id=None)[0][len(ids):].tolist()
    run = lb.import_(str(folder), path=tmp_path, progress=False)
    baby = lb.load(run.guid, tmp_path)
    assert baby.encode("Hi").tolist() == ids and baby.generate(baby.encode("Hi"), 8, temperature=0).tolist() == theirs
    assert lb.inference(run.guid, "Hi", max_tokens=3, path=tmp_path).prompt_tokens == 3


def test_every_end_stops_what_is_generated(monkeypatch):
    """A model whose third token is an end: neither text nor count goes beyond it"""
    from littlebaby.inference.sampling import Sampling
    from littlebaby.plans import generation
    baby = lb.Baby(lb.Config(**SHAPE), tokenizer=tokenizer())
    for end in (2, 3):
        columns = np.array([[80, 90], [81, 91], [end, 92], [82, end]])
        monkeypatch.setattr(generation, "generate", lambda *given: iter(columns[:, :given[2].shape[0]]))
        one = generation.generate_completion(baby, GUID, "Hi", Sampling(), 4, 0)
        assert one.text == baby.decode([80, 81]) and one.tokens == 2
        two = generation.generate_completion(baby, GUID, "Hi", Sampling(), 4, 0, samples=2)
        assert two.samples == [baby.decode([80, 81]), baby.decode([90, 91, 92])]


def test_the_two_older_files_keep_their_added_tokens(folder, tmp_path):
    """vocab.json and merges.txt, beside them added_tokens.json, special_tokens_map.json and tokenizer_config.json"""
    from littlebaby.runs.formats.tokenizers import in_folder
    plain = {letter: i for i, letter in enumerate(LETTER_OF.values())}
    (tmp_path / "vocab.json").write_text(json.dumps(plain))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<|im_start|>": 256, "<|im_end|>": 257}))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(dict(eos_token="<|im_end|>", additional_special_tokens=["<|im_start|>"])))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(dict(
        eos_token=dict(content="<|im_end|>"), bos_token="<|im_start|>", add_bos_token=True,
        added_tokens_decoder={"258": dict(content="<|tool|>", special=True)})))
    found, note = in_folder(tmp_path, 259, {})
    assert note == "" and found.encode("<|im_start|>a<|tool|><|im_end|>").tolist() == [256, plain["a"], 258, 257]
    assert found.marks == Marks("<|im_start|>", ("<|im_end|>",), before=("<|im_start|>",))
    assert prompt_ids(found, "a").tolist() == [256, plain["a"]]


@pytest.mark.parametrize("key, value, said", [
    ("rope.dimension_count", 4, "rope.dimension_count is 4 .* the width of a head, 8"),
    ("rope.scale_linear", 4.0, "rope.scale_linear is 4.0; allowed is 1"),
    ("rope.scaling.type", "yarn", "allowed is none"), ("attention.sliding_window", 8, "attention.sliding_window is 8"),
    ("final_logit_softcapping", 30.0, "allowed is 0"), ("some.new_thing", 3, "some.new_thing is 3, which is not known here"),
    ("attention.scale", 0.5, ""), ("rope.dimension_count", 8, ""), ("attention.sliding_window", 64, ""), ("vocab_size", 300, "")])
def test_a_header_is_obeyed_or_refused(key, value, said, tmp_path):
    gguf = pytest.importorskip("gguf", reason="gguf is not installed: pip install 'littlebaby[formats]'")
    rng, D, F, V = np.random.default_rng(0), 32, 64, 300

    def written(name, *more):
        w = gguf.GGUFWriter(str(tmp_path / name), "llama")
        for add, number in ((w.add_context_length, 64), (w.add_embedding_length, D), (w.add_block_count, 1), (w.add_feed_forward_length, F),
                            (w.add_head_count, 4), (w.add_head_count_kv, 4), (w.add_layer_norm_rms_eps, 1e-5)):
            add(number)
        for name_, number in more:
            add = w.add_string if isinstance(number, str) else w.add_float32 if isinstance(number, float) else w.add_uint32
            add(f"llama.{name_}", number)
        shapes = dict(attn_norm=(D,), ffn_norm=(D,), attn_q=(D, D), attn_k=(D, D), attn_v=(D, D), attn_output=(D, D), ffn_gate=(F, D),
                      ffn_up=(F, D), ffn_down=(D, F))
        arrays = {f"blk.0.{n}.weight": s for n, s in shapes.items()} | {"token_embd.weight": (V, D), "output_norm.weight": (D,)}
        for n, s in arrays.items():
            w.add_tensor(n, np.random.default_rng(len(n)).normal(0, 0.3, s).astype("f4"))
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()
        return str(tmp_path / name)

    file, ids = written("changed.gguf", (key, value)), rng.integers(0, V, (1, 40))
    if said:
        with pytest.raises(BadInput, match=said):
            lb.load(file)
        return
    plain, changed = lb.load(written("plain.gguf")), lb.load(file)
    assert np.array_equal(plain.logits(ids), changed.logits(ids)) == (key != "attention.scale")
    if key == "attention.scale":                                 # scores times 0.5 in place of 1 / sqrt 8
        assert changed.config.r_temp == pytest.approx(8 ** -0.5 / 0.5)
