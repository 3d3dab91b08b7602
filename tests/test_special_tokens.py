"""Special tokens of models from elsewhere: kept on their way in and out, obeyed where a prompt is read and where a text ends.

And the keys of a GGUF, each of which is obeyed, refused or noted.
"""
import json
from uuid import UUID

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.errors import BadInput
from littlebaby.inference.baby import Baby
from littlebaby.inference.chat import Conversation
from littlebaby.inference.sampling import Sampling
from littlebaby.plans.generation import generate_completion
from littlebaby.runs.formats import gguf, gguf_keys, huggingface, tokenizers
from littlebaby.runs.settings import Config
from littlebaby.runs.store import Workspace
from littlebaby.text import from_json, train
from littlebaby.text.bpe import CHARACTER_OF
from littlebaby.text.special_tokens import SpecialTokens, prompt_ids, with_special_tokens

LETTERS = sorted(CHARACTER_OF.values())
LLAMA = dict(c_attention="gqa", n_kv_heads=2, c_network="swi", c_norm="rmsnorm", c_position="rope", rope_layout="half", c_bias="none",
             b_tied=False, n_layers=1, n_emb=32, n_heads=4, head_size=32, n_ctx=64)
TEXTS = ("Hi", "", " two  words\n", "αβγ <|b|> x", "<|e|>", "don't 123")


def installed(name):
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install -e '.[peers]'")


def token(content, i, **more):
    return dict(id=i, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True) | more


def template(*parts, ids):
    part = lambda name: dict(Sequence=dict(id=name, type_id=0)) if name in ("A", "B") else dict(SpecialToken=dict(id=name, type_id=0))
    table = {name: dict(id=name, ids=[ids[name]], tokens=[name]) for name in parts if name not in ("A", "B")}
    return dict(type="TemplateProcessing", single=[*map(part, parts)], pair=[*map(part, parts), part("B")], special_tokens=table)


def model_folder(folder, special, config, generation=None, about=None, processor=None):
    """A folder of llama's with a byte-level tokenizer.json whose first tokens are `special`"""
    vocab = {token: i for i, token in enumerate([*special, *LETTERS])}
    baby = Baby(Config(**LLAMA), vocab_size=len(vocab), seed=1)
    folder.mkdir(parents=True, exist_ok=True)
    for name, pieces in huggingface.huggingface_files(baby.config, baby.weights(), None, "fp32").items():
        (folder / name).write_bytes(b"".join(map(bytes, pieces)))
    said = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps(said))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    pre = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    record = dict(version="1.0", added_tokens=[token(each, i) for i, each in enumerate(special)], normalizer=None, pre_tokenizer=pre,
                  post_processor=processor, decoder=pre, model=dict(type="BPE", vocab=vocab, merges=[]))
    (folder / "tokenizer.json").write_text(json.dumps(record))
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(tokenizer_class="PreTrainedTokenizerFast") | (about or {})))
    return folder


MARKS = ("<|b|>", "<|e|>", "<|turn|>", "<|pad|>", "<|unk|>")
IDS = {name: i for i, name in enumerate(MARKS)}
ROLES = dict(bos_token="<|b|>", eos_token="<|e|>", pad_token="<|pad|>", unk_token="<|unk|>")
LISTS = dict(bos_token_id=0, eos_token_id=[1, 2], pad_token_id=3)
CASES = dict(
    smollm2=dict(config=dict(bos_token_id=0, eos_token_id=1),
                 about=dict(bos_token="<|b|>", eos_token="<|e|>", chat_template="{{ messages }}")),
    llama3=dict(config=LISTS, generation=LISTS, about=ROLES | dict(chat_template="{{ bos_token }}"),
                processor=template("<|b|>", "A", ids=IDS)),
    more_in_generation=dict(config=dict(bos_token_id=0, eos_token_id=1), generation=LISTS, about=ROLES),
    tokenizer_says_otherwise=dict(config=dict(eos_token_id=1), generation=dict(eos_token_id=[1, 4]),
                                  about=ROLES | dict(eos_token="<|turn|>")),
    only_the_tokenizer=dict(config={}, about=ROLES),
    both_sides=dict(config=LISTS, about=ROLES, processor=dict(type="Sequence", processors=[
        dict(type="ByteLevel", add_prefix_space=True, trim_offsets=False, use_regex=True), template("<|b|>", "A", "<|e|>", ids=IDS)])),
    templates=dict(config=LISTS, about=ROLES | dict(chat_template=[dict(name="default", template="a"), dict(name="tools", template="b")])))
# bos, eos, what the tokenizer calls eos, pad, unk
EXPECTED = dict(smollm2=(0, [1], 1, None, None), llama3=(0, [1, 2], 1, 3, 4), more_in_generation=(0, [1, 2], 1, 3, 4),
                tokenizer_says_otherwise=(0, [1, 4], 2, 3, 4), only_the_tokenizer=(0, [1], 1, 3, 4), both_sides=(0, [1, 2], 1, 3, 4),
                templates=(0, [1, 2], 1, 3, 4))


@pytest.mark.parametrize("case", CASES)
def test_through_hugging_face_and_gguf(case, tmp_path):
    transformers, reader = installed("transformers"), installed("gguf").GGUFReader
    first = model_folder(tmp_path / "first", MARKS, **CASES[case])
    bos, eos, end, pad, unk = EXPECTED[case]
    original = transformers.AutoTokenizer.from_pretrained(first)
    run = lb.import_(str(first), path=tmp_path, progress=False)
    outward = lb.export(run.guid, path=tmp_path).folder
    through = lb.import_(str(lb.export(run.guid, to="gguf", path=tmp_path).folder / "model.gguf"), path=tmp_path, progress=False)
    for folder in (outward, lb.export(through.guid, path=tmp_path).folder):
        theirs = transformers.AutoTokenizer.from_pretrained(folder)
        config, generation = json.loads((folder / "config.json").read_text()), transformers.GenerationConfig.from_pretrained(folder)
        for said in (config, generation.to_dict()):
            found = said.get("eos_token_id")
            assert (said.get("bos_token_id"), found if isinstance(found, list) else [found], said.get("pad_token_id")) == (bos, eos, pad)
        assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id, theirs.unk_token_id) == (bos, end, pad, unk)
        assert theirs.chat_template == original.chat_template
        for each in TEXTS:
            assert theirs(each)["input_ids"] == original(each)["input_ids"], each
    baby = lb.load(run.guid, path=tmp_path)
    for each in TEXTS:
        assert baby.encode(each).tolist() == original(each)["input_ids"], each
        assert baby.decode(baby.encode(each)) == each
    fields = reader(str(tmp_path / "exports" / f"{run.guid}_gguf" / "model.gguf")).fields
    get = lambda name: fields[f"tokenizer.{name}"].contents() if f"tokenizer.{name}" in fields else None
    named = [get(f"ggml.{name}_token_id") for name in ("bos", "eos", "padding", "unknown")]
    assert named == [bos, end, pad, unk]
    assert {get(f"ggml.{name}_token_id") for name in ("eos", "eot", "eom")} - {None} == {*eos, end}
    read = original("x")["input_ids"]
    assert (get("ggml.add_bos_token"), get("ggml.add_eos_token")) == (read[0] == 0, read[-1] == 1)
    wanted = original.chat_template or None
    assert (wanted["default"] if isinstance(wanted, dict) else wanted) == get("chat_template")
    assert get("chat_template.tools") == (wanted["tools"] if isinstance(wanted, dict) else None)



PROCESSORS = dict(
    none=None, bytes=dict(type="ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True),
    bos=template("<|b|>", "A", ids=IDS), eos=template("A", "<|e|>", ids=IDS), two=template("<|b|>", "<|turn|>", "A", "<|e|>", ids=IDS),
    bert=dict(type="BertProcessing", sep=["<|e|>", 1], cls=["<|b|>", 0]),
    roberta=dict(type="RobertaProcessing", sep=["<|e|>", 1], cls=["<|b|>", 0], trim_offsets=True, add_prefix_space=False),
    nested=dict(type="Sequence", processors=[dict(type="Sequence", processors=[]), template("<|b|>", "A", "<|e|>", ids=IDS)]))


@pytest.mark.parametrize("name", PROCESSORS)
def test_post_processors_as_in_the_library(name, tmp_path):
    library = installed("tokenizers")
    folder = model_folder(tmp_path, MARKS, {}, processor=PROCESSORS[name])
    theirs = library.Tokenizer.from_file(str(folder / "tokenizer.json"))
    mine = lb.load(str(folder))
    again = library.Tokenizer.from_str(json.dumps(tokenizers.to_object(mine.tokenizer) | dict(
        post_processor=tokenizers.post_processor(mine.tokenizer))))
    for each in TEXTS:
        assert mine.encode(each).tolist() == theirs.encode(each).ids == again.encode(each).ids, each
    assert again.encode("a", "b").ids == again.encode("a").ids + again.encode("b").ids


@pytest.mark.parametrize("processor, said", [
    (dict(type="Other"), "its post_processor is 'Other'"), (template("<|b|>", ids=IDS), "the text 0 times"),
    (template("A", "B", ids=IDS), "the text 2 times"), (template("<|b|>", "A", ids={"<|b|>": 999}), "that the vocabulary lacks"),
    (dict(type="Sequence", processors=[template("<|b|>", "A", ids=IDS)] * 2), "adds tokens to every text 2 times"),
    (dict(type="TemplateProcessing", single=[7]), "neither a token nor the text")])
def test_a_post_processor_that_cannot_be_followed(processor, said, tmp_path):
    folder = model_folder(tmp_path, MARKS, {}, processor=processor)
    tokenizer, note = tokenizers.in_folder(folder, 5 + 256, {})
    assert tokenizer is None and said in note


def two_files(folder, kind, **files):
    """vocab.json and merges.txt with more files beside them; the vocabulary has the bytes and one merge"""
    folder.mkdir(exist_ok=True)
    vocab = {letter: i for i, letter in enumerate([*LETTERS, "12"])}
    made = dict(vocab=vocab, tokenizer_config=dict(tokenizer_class=kind), config=dict(model_type="llama")) | files
    for name, record in made.items():
        (folder / f"{name}.json").write_text(json.dumps(record))
    (folder / "merges.txt").write_text("#version: 0.2\n1 2\n")
    return folder


ADDED = {"<|e|>": 257, "<tool>": 258}
PLACES = dict(
    alone=dict(added_tokens=ADDED),
    beside_a_map=dict(added_tokens=ADDED, special_tokens_map=dict(eos_token="<|e|>", bos_token=token("<|e|>", 0))),
    decoder=dict(tokenizer_config={"added_tokens_decoder": {str(i): token(name, i) for name, i in ADDED.items()}, "eos_token": "<|e|>"}),
    only_named=dict(special_tokens_map=dict(eos_token="<|e|>", additional_special_tokens=["<tool>"])))


@pytest.mark.parametrize("kind", ["GPT2Tokenizer", "Qwen2Tokenizer"])
@pytest.mark.parametrize("place", PLACES)
def test_added_tokens_beside_the_vocabulary(place, kind, tmp_path):
    files = PLACES[place] | dict(tokenizer_config=dict(PLACES[place].get("tokenizer_config", {}), tokenizer_class=kind))
    folder = two_files(tmp_path, kind, **files)
    tokenizer, note = tokenizers.in_folder(folder, 259, dict(model_type="llama"))
    assert not note and tokenizer.size == 259
    ids = tokenizer.encode("a<tool>12 12\n\nb<|e|>").tolist()
    assert 258 in ids and 257 in ids and tokenizer.decode(ids) == "a<tool>12 12\n\nb<|e|>"
    if place != "alone":
        assert tokenizer.special_tokens.stops == (257,)
    library = installed("transformers")
    if place != "only_named":                                    # there the class names <|endoftext|>, which takes the first free id
        theirs = getattr(library, kind).from_pretrained(folder)
        for each in ("a<tool>12 12\n\nb<|e|>", " don't  12\n\n x", "é<|e|><tool>12a"):
            if all(known not in theirs.get_vocab() or i == theirs.get_vocab()[known] for known, i in ADDED.items()):
                assert tokenizer.encode(each).tolist() == theirs(each)["input_ids"], each


def test_two_files_with_a_bos(tmp_path):
    folder = two_files(tmp_path, "GPT2Tokenizer", added_tokens=ADDED,
                       tokenizer_config=dict(tokenizer_class="GPT2Tokenizer", bos_token="<|e|>", eos_token="<|e|>", unk_token="<|e|>",
                                             add_bos_token=True))
    tokenizer, _ = tokenizers.in_folder(folder, 259, {})
    assert prompt_ids(tokenizer, "a").tolist() == [257, *tokenizer.encode("a")]
    theirs = installed("transformers").GPT2Tokenizer.from_pretrained(folder)
    assert theirs("a")["input_ids"] == prompt_ids(tokenizer, "a").tolist()


def test_two_files_of_another_class(tmp_path):
    tokenizer, note = tokenizers.in_folder(two_files(tmp_path, "CLIPTokenizer"), 257, {})
    assert tokenizer is None and "GPT2 and Qwen2" in note


def test_added_tokens_beside_a_tokenizer_json(tmp_path):
    """One that tokenizer.json lacks, in each of the places"""
    folder = model_folder(tmp_path, MARKS, {}, about=dict(added_tokens_decoder={"1": token("<|e|>", 1), "256": token("z", 256)}))
    record = json.loads((folder / "tokenizer.json").read_text())
    tokenizer, note = tokenizers.in_folder(folder, len(record["model"]["vocab"]), {})
    assert not note and "z" in tokenizer.special and len(tokenizer.special) == len(MARKS) + 1


# where a text ends, and how it begins

def test_it_goes_on_as_in_transformers(tmp_path):
    torch, transformers = installed("torch"), installed("transformers")
    folder = model_folder(tmp_path / "m", MARKS, **CASES["llama3"])
    run = lb.import_(str(folder), path=tmp_path, progress=False)
    baby, ids = lb.load(run.guid, tmp_path), transformers.AutoTokenizer.from_pretrained(folder)("Hi")["input_ids"]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    theirs = model.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False, eos_token_id=None)[0][len(ids):].tolist()
    assert ids[0] == 0 and baby.generate(baby.encode("Hi"), 8, temperature=0).tolist() == theirs
    assert lb.inference(run.guid, "Hi", max_tokens=3, path=tmp_path).prompt_tokens == 3


def taught(eos_place=3, **roles):
    """A baby of characters, and what it writes after "ab" at temperature 0; the id at `eos_place` is one of its eos"""
    tokenizer = train("char", "abcdefghij klmno\n")
    baby = Baby(Config(n_layers=1, n_emb=16, n_heads=2, n_ctx=32), tokenizer=tokenizer, seed=4)
    baby.flat[...] = np.random.default_rng(0).normal(0, 0.7, baby.flat.shape)
    free = baby.generate(tokenizer.encode("ab"), 12, temperature=0)
    at = next(i for i in range(eos_place, 12) if free[i] not in free[:i])
    baby.tokenizer = with_special_tokens(tokenizer, SpecialTokens(eos=(16, int(free[at])), **roles))
    return baby, free, at


@pytest.mark.parametrize("samples, draft", [(1, False), (3, False), (1, True)])
def test_any_eos_ends_a_text(samples, draft):
    baby, free, at = taught()
    done = generate_completion(baby, str(UUID(int=0)), "ab", Sampling(temperature=0), 12, 0, samples=samples, draft=baby if draft else None)
    assert done.text == baby.tokenizer.decode(free[:at]) and done.tokens == (at + 1 if samples > 1 else at)
    assert not done.samples or done.samples == [done.text] * 3


def test_any_eos_ends_an_answer():
    baby, _, _ = taught()
    unended = Baby(baby.config, tokenizer=with_special_tokens(baby.tokenizer, SpecialTokens()), flat=baby.flat)
    talk = lambda baby: Conversation(baby, "plain", Sampling(temperature=0), 12, 0)
    long = "".join(talk(unended).stream("ab"))
    ids = baby.tokenizer.encode(long)
    baby.tokenizer = with_special_tokens(baby.tokenizer, SpecialTokens(eos=(int(ids[2]),)))
    short = "".join(talk(baby).stream("ab"))
    assert len(long) > 3 and short == long[:int(np.flatnonzero(ids == ids[2])[0])]


def test_a_conversation_begins_with_bos():
    baby, _, _ = taught(bos=5, prefix=(5,), suffix=(6,))
    talk = Conversation(baby, "plain", Sampling(temperature=0), 4, 0)
    talk.messages.append(dict(role="user", content="ab"))
    ids = talk.visible_ids().tolist()
    assert ids[0] == 5 and ids[1:] == baby.tokenizer.encode("User: ab\n\nAssistant: ").tolist()
    assert prompt_ids(baby.tokenizer, "").tolist() == [5]
    assert prompt_ids(baby.tokenizer, "ab").tolist() == baby.encode("ab").tolist() == [5, *baby.tokenizer.encode("ab"), 6]


def test_chat_spells_chatml_where_the_model_does(tmp_path):
    for name, template_, spelled in (("a", "{{ '<|im_start|>' + role }}", "chatml"), ("b", "{{ role }}", "kodalite")):
        folder = model_folder(tmp_path / name, MARKS, {}, about=dict(chat_template=template_))
        run = lb.import_(str(folder), path=tmp_path, progress=False)
        assert run.config.c_template == spelled and lb.chat(run.guid, path=tmp_path).name == spelled


# a run's own file

def test_records_with_and_without(tmp_path):
    plain = train("bpe", "one text, two texts " * 9, 300)
    special = SpecialTokens(1, (2, 3), 4, 5, 6, (1, 2), (3,), "{{ x }}")
    for tokenizer in (plain, train("char", "abcdefghi"), train("word", "one two " * 9)):
        again = from_json(with_special_tokens(tokenizer, special).to_json())
        assert again.special_tokens == special and "special_tokens" not in tokenizer.to_json()
        assert from_json(tokenizer.to_json()).special_tokens == SpecialTokens()
        assert again.extend("new ζ")[0].special_tokens == special
    home = Workspace(tmp_path)
    name = home.new()
    home.save_tokenizer(name, with_special_tokens(plain, special).to_json())
    assert from_json(home.load_tokenizer(name)).special_tokens == special


@pytest.mark.parametrize("record, said", [
    ([1], "is not an object"), (dict(boss=1), "names 'boss'"), (dict(bos=[1]), "'bos' of 'special_tokens'"), (dict(eos=1), "'eos'"),
    (dict(eos=[999]), "allowed are ids from 0 to"), (dict(bos=True), "'bos'"), (dict(prefix=[-1]), "'prefix'"),
    (dict(chat_template=7), "chat template")])
def test_a_record_that_is_wrong(record, said):
    tokenizer = train("char", "abc").to_json()
    with pytest.raises(BadInput, match=said.replace("[", r"\[")):
        from_json({**tokenizer, "special_tokens": record})


# the keys of a GGUF

WIDTH, VOCABULARY = 8, 300


def header(path, more=lambda w: None, kind="llama"):
    package = installed("gguf")
    w, rng, D, F = package.GGUFWriter(str(path), kind), np.random.default_rng(0), 4 * WIDTH, 64
    for name, value in (("context_length", 64), ("embedding_length", D), ("block_count", 1), ("feed_forward_length", F), ("head_count", 4),
                        ("head_count_kv", 4), ("layer_norm_rms_eps", 1e-5), ("rope_freq_base", 10000.0)):
        getattr(w, f"add_{name}")(value)
    w.add_tokenizer_model("gpt2")
    w.add_token_list(["<|b|>", "<|e|>", "<|turn|>", *LETTERS, *[f"[PAD{i}]" for i in range(VOCABULARY - 259)]])
    w.add_token_types([3, 3, 3] + [1] * 256 + [5] * (VOCABULARY - 259))
    w.add_bos_token_id(0)
    w.add_eos_token_id(1)
    more(w)
    shapes = {"token_embd": (VOCABULARY, D), "output_norm": (D,), "output": (VOCABULARY, D)}
    shapes |= {f"blk.0.{name}": shape for name, shape in dict(
        attn_norm=(D,), ffn_norm=(D,), attn_q=(D, D), attn_k=(D, D), attn_v=(D, D), attn_output=(D, D), ffn_gate=(F, D), ffn_up=(F, D),
        ffn_down=(D, F)).items()}
    for name, shape in shapes.items():
        w.add_tensor(f"{name}.weight", rng.normal(0, 0.3, shape).astype("f4"))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return str(path)


OBEYED = dict(
    linear=(lambda w: w.add_float32("llama.rope.scale_linear", 4.0), dict(c_rope_scale="linear", r_rope_factor=4.0)),
    scaling=(lambda w: (w.add_rope_scaling_factor(2.0), w.add_string("llama.rope.scaling.type", "linear")),
             dict(c_rope_scale="linear", r_rope_factor=2.0)),
    unnamed_rule=(lambda w: w.add_rope_scaling_factor(2.0), dict(c_rope_scale="linear", r_rope_factor=2.0)),
    no_rule=(lambda w: (w.add_rope_scaling_factor(2.0), w.add_string("llama.rope.scaling.type", "none")), dict(c_rope_scale="none")),
    window=(lambda w: w.add_sliding_window(8), dict(c_attention="swa", s_window=8)),
    wide_window=(lambda w: w.add_sliding_window(64), dict(c_attention="gqa")),
    scale=(lambda w: w.add_attention_scale(0.5), dict(r_temp=WIDTH ** -0.5 / 0.5)),
    whole_rope=(lambda w: w.add_rope_dimension_count(WIDTH), dict(c_rope_scale="none", r_temp=1.0)))


@pytest.mark.parametrize("name", OBEYED)
def test_keys_that_are_obeyed(name, tmp_path):
    more, settings = OBEYED[name]
    plain, other = lb.load(header(tmp_path / "plain.gguf")), lb.load(header(tmp_path / "other.gguf", more))
    expected = Baby(plain.config.replace(**settings), vocab_size=VOCABULARY, flat=plain.flat)
    ids = np.arange(40)[None]
    assert {key: getattr(other.config, key) for key in settings} == settings
    assert np.abs(other.logits(ids) - expected.logits(ids)).max() < 1e-5
    assert np.array_equal(other.logits(ids), plain.logits(ids)) == (name in ("no_rule", "wide_window", "whole_rope"))


@pytest.mark.parametrize("key, value", [
    ("rope.dimension_count", 4), ("attention.value_length", 4), ("attention.max_alibi_bias", 8.0), ("attention.clamp_kqv", 2.0),
    ("attn_logit_softcapping", 50.0), ("final_logit_softcapping", 30.0), ("logit_scale", 0.5), ("residual_scale", 0.2),
    ("embedding_scale", 12.0), ("attention.causal", False), ("expert_gating_func", 2), ("rope.scaling.type", "yarn"),
    ("rope.scaling.attn_factor", 1.3), ("nextn_predict_layers", 1), ("use_parallel_residual", True),
    ("something.new", 1)])
def test_keys_that_are_refused(key, value, tmp_path):
    add = dict(int="add_uint32", float="add_float32", bool="add_bool", str="add_string")[type(value).__name__]
    with pytest.raises(BadInput, match=key.removeprefix("rope.scaling.type") or "scaled by the rule 'yarn'"):
        lb.load(header(tmp_path / "x.gguf", lambda w: getattr(w, add)(f"llama.{key}", value)))


def test_every_key_of_the_package_has_its_place():
    """Those of its classes for language models' shapes, attentions and ropes; whatever a newer package adds shows here"""
    keys = installed("gguf").constants.Keys
    named = {value.removeprefix("{arch}.") for part in (keys.LLM, keys.Attention, keys.Rope) for value in vars(part).values()
             if isinstance(value, str) and value.startswith("{arch}.")}
    known = gguf_keys.READ | gguf_keys.HARMLESS | gguf_keys.REFUSED.keys() | {"attention.value_length"}
    assert not {key for key in named - known if "{" not in key}
    assert not gguf_keys.READ & gguf_keys.HARMLESS and not (gguf_keys.READ | gguf_keys.HARMLESS) & gguf_keys.REFUSED.keys()


@pytest.mark.parametrize("pre, add, ids", [("gpt-2", None, []), ("gpt-2", True, [0]), ("llama-bpe", None, [0]), ("llama-bpe", False, [])])
def test_bos_of_a_gguf(pre, add, ids, tmp_path):
    def more(w):
        w.add_tokenizer_pre(pre)
        if add is not None:
            w.add_add_bos_token(add)
        w.add_add_eos_token(True)
        w.add_eot_token_id(2)
        w.add_pad_token_id(258)
        w.add_chat_template("{{ messages }}")

    path = header(tmp_path / "x.gguf", more)
    baby = lb.load(path)
    special = baby.tokenizer.special_tokens
    assert baby.encode("Hi").tolist() == [*ids, *baby.tokenizer.encode("Hi"), 1]
    assert (special.bos, special.stops, special.pad, special.chat_template) == (0, (1, 2), 258, "{{ messages }}")
    run = lb.import_(path, path=tmp_path, progress=False)
    assert lb.inference(run.guid, "Hi", max_tokens=1, path=tmp_path).prompt_tokens == len(ids) + 3
    theirs = json.loads((lb.export(run.guid, path=tmp_path).folder / "generation_config.json").read_text())
    assert theirs == dict(bos_token_id=0, eos_token_id=[1, 2], pad_token_id=258)


def test_what_a_gguf_has_no_key_for():
    special = SpecialTokens(0, (1, 2, 3, 4), prefix=(0, 5), suffix=(1,))
    assert [*gguf.inexpressible(special, 1)] == [
        "llama.cpp has keys for 3 ids that end a text; this model has 4: [1, 2, 3, 4].",
        "this model's tokenizer puts the ids [0, 5] before every text; llama.cpp has no key for that and leaves them out."]
    assert not [*gguf.inexpressible(SpecialTokens(0, (1, 2), prefix=(0,), suffix=(1,)), 1)]
