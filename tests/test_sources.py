"""Texts of every form, as a stream: found, read, cut where no tokenizer notices, and turned into token files whatever the workers."""
import gzip
import json
import random
import struct

import numpy as np
import pytest
from test_oniguruma import SHIPPED

import littlebaby as lb
from littlebaby import text as texts
from littlebaby.errors import BadInput, RunFailed
from littlebaby.runs import corpus, prepare, sources, tokens
from littlebaby.runs.store import Workspace
from littlebaby.text import nursery
from littlebaby.text.bpe import BPE, CHARACTER_OF

TINY = dict(n_layers=1, n_emb=16, n_heads=2, n_ctx=32, batch_size=4, n_steps=8, n_completion=20, n_sample=0, s_eval=4, r_eval_overlap=0.0,
            n_eval_windows=8, progress=False)
STORIES = nursery.corpus(30_000, 5)[0]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "tale.txt").write_text(STORIES)
    return Workspace(tmp_path)


def sentence(call, *args, **named):
    with pytest.raises(BadInput) as caught:
        call(*args, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def put(home, name, data):
    path = home.root / "inputs" / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def whole(home, where, end="|", **named):
    return ["".join(sources.text(source.paths, end, **named)) for source in sources.find(home, where)]


# --- finding and reading ---

def test_every_form_of_text(home):
    rows = '{"text": "a\\r\\nb", "n": 1}\n\n{"text": ""}\n{"text": "ü"}\n'
    put(home, "all/1.txt", "\ufefföne\r\ntwo\rthree")
    put(home, "all/2.md", "# md")
    put(home, "all/3.jsonl", rows)
    put(home, "all/4.txt.gz", gzip.compress(b"gz\r\nx"))
    put(home, "all/5.jsonl.gz", gzip.compress(rows.encode()))
    put(home, "all/deeper/6.TXT", "six")
    put(home, "all/.hidden.txt", "no")
    put(home, "all/picture.png", "no")
    assert whole(home, "all") == ["öne\ntwo\nthree|# md|a\nb||ü|gz\nx|a\nb||ü|six"]
    assert whole(home, "all/*.md,all/1.txt") == ["# md|öne\ntwo\nthree"] == whole(home, ["all/*.md", "all/1.txt"])
    assert whole(home, str(home.root / "inputs/all/*.t*")) == ["öne\ntwo\nthree|gz\nx"]
    assert whole(home, "all/1.txt:0.2, all/2.md:3") == ["öne\ntwo\nthree", "# md"]
    assert [s.weight for s in sources.find(home, "all/1.txt:0.2, all/2.md:3")] == [0.2, 3.0]
    put(home, "a,b:1.txt", "odd name")
    assert whole(home, "a,b:1.txt") == ["odd name"]
    assert whole(home, "all/3.jsonl", size=2) == ["a\nb"]


def test_parquet_and_data_sets(home):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as parquet
    path = home.root / "inputs" / "set" / "train.parquet"
    path.parent.mkdir()
    parquet.write_table(arrow.table(dict(text=[f"row {i}" for i in range(3000)], n=range(3000))), path)
    expected = ["|".join(f"row {i}" for i in range(3000))]
    assert whole(home, "set") == whole(home, "set/train.parquet") == expected
    assert "row 1, has 0 in 'n'; it must hold a text" in sentence(whole, home, "set", field="n")
    assert "has no column 'txt'; its columns are text, n; give the name of one as --c_field" in sentence(whole, home, "set", field="txt")
    put(home, "bad.parquet", "PAR1 nothing")
    assert "bad.parquet is not a readable .parquet file" in sentence(whole, home, "bad.parquet")
    pytest.importorskip("datasets", reason="datasets is not installed")
    assert whole(home, f"datasets:{path.parent}") == expected
    assert whole(home, f"datasets:{path.parent}", size=10) == ["row 0|row 1"]
    said = sentence(whole, home, f"datasets:{home.root / 'nowhere'}")
    assert "cannot read datasets:" in said and "without a network give local files" in said


def test_what_cannot_be_read_is_said_in_one_sentence(home):
    put(home, "latin.txt", b"x" * 2_000_000 + b"caf\xe9 noir")
    assert "byte 0xe9 at offset 2000003 is invalid; give --encoding, for example --encoding latin-1" in sentence(whole, home, "latin")
    assert whole(home, "latin.txt", encoding="latin-1")[0].endswith("café noir")
    put(home, "cut.txt", "ab€".encode()[:-1])
    assert "byte 0xe2 at offset 2 is invalid" in sentence(whole, home, "cut")
    put(home, "wide.txt", "ä".encode("utf-16"))
    assert whole(home, "wide", encoding="utf-16") == ["ä"] and "--encoding utf-16" in sentence(whole, home, "wide")
    assert "is not an encoding; common ones are" in sentence(whole, home, "tale", encoding="klingon")
    for name, data, says in [
            ("a.jsonl", '{"text": "x"}\n{"text"', "a.jsonl, line 2, is not JSON"), ("b.jsonl", "[" * 100_000, "line 1, is not JSON"),
            ("c.jsonl", '{"txt": "x"}', "line 1, has no field 'text'; there are txt; give the name of one as "
                                          "--c_field, or in prepare as --field"),
            ("d.jsonl", '{"text": 3}', "has 3 in 'text'; it must hold a text"), ("e.jsonl", "[1]", "line 1, holds a value of type list"),
            ("f.txt.gz", gzip.compress(STORIES.encode())[:-900], "f.txt.gz is truncated or damaged"),
            ("g.txt.gz", "no gzip", "cannot read"), ("h.txt.gz", gzip.compress(STORIES.encode())[:90] + bytes(200), "h.txt.gz")]:
        put(home, name, data)
        assert says in sentence(whole, home, name)
    (home.root / "inputs" / "bare").mkdir()
    assert "is a folder without readable files; readable are files that end in .txt, .md" in sentence(whole, home, "bare")
    assert "nothing matches 'no*.txt'" in sentence(whole, home, "no*.txt")
    assert "there is no file 'tail'" in sentence(whole, home, "tail") and "input is empty" in sentence(whole, home, " , ")
    assert "'tale' has no weight and others have" in sentence(whole, home, "tale,latin.txt:2")
    assert "the weight of tale is 0; allowed is a number from 1e-09" in sentence(whole, home, "tale:0,latin.txt:2")
    assert "the weight of tale is 0" in sentence(whole, home, "tale:0")
    assert "less than a thousandth of the sum of all weights, 1.0001" in sentence(whole, home, "tale:0.0001,latin.txt:1")


# --- blocks ---

LETTERS = "ab é’'1٣. ,\n\n\n \t\u3000\u2028\u00a0\x85<|endoftext|>中"


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
def test_no_tokenizer_notices_where_blocks_end(kind):
    rng = random.Random(1)
    for _ in range(60):
        text = "".join(rng.choice([*LETTERS, "ab ba", "\n\n", "can't", "<|endoftext|>", "\r\n", "  "]) for _ in range(400))
        tokenizer = texts.train(kind, text[:rng.choice([20, 400])], 300)         # of a part: some characters are unknown
        cut = list(sources.text_blocks([text[i:i + 7] for i in range(0, len(text), 7)], tokenizer.can_split, rng.choice([5, 20, 60])))
        assert "".join(cut) == text and len(cut) > 2
        assert np.array_equal(np.concatenate([tokenizer.encode(block) for block in cut]), tokenizer.encode(text))


def test_blocks_of_a_text_without_a_place_to_cut():
    can_split = texts.train("bpe", "a b a b", 300).can_split
    assert [len(block) for block in sources.text_blocks(["a" * 23], sources.anywhere, 5)] == [5, 5, 5, 5, 3]
    assert "".join(sources.text_blocks(["a" * 39, " b" * 99], can_split, 5)) == "a" * 39 + " b" * 99
    assert [len(block) for block in sources.text_blocks([*"a" * 39, *" b" * 3], can_split, 5)] == [39, 4, 2]
    assert list(sources.text_blocks([], can_split, 5)) == list(sources.text_blocks([""], can_split, 5)) == []
    text = sources.text_blocks(["b b b b b", " " + "a" * 90], can_split, 5)
    assert "91 characters, from character 9 on, without a position" in sentence(list, text)


# tokenizers of others: {name: (patterns, merges, added tokens, form, whole)}, each with a token or a piece over a border that looks safe
ENDS = [("!", "Ċ"), ("e", "Ġ")]
OTHERS = dict(llama3=([SHIPPED["llama3"]], ENDS, [], "", True), qwen2=([SHIPPED["qwen2"]], ENDS, [], "NFC", False),
              deepseek=([SHIPPED["deepseek3"]], ENDS, [], "", False), bloom=([SHIPPED["bloom"]], ENDS, [], "", False),
              digits=([[r"\p{N}"]], ENDS, [], "NFKC", False), no_cut=([], ENDS, [], "", False),
              added=([SHIPPED["gpt2"]], [], ["<a\nb>", "<|start header|>", "e e"], "", False))


@pytest.mark.parametrize("name", OTHERS)
def test_blocks_of_tokenizers_of_others(name):
    cuts, merges, added, form, whole = OTHERS[name]
    symbols = [*CHARACTER_OF.values(), *(a + b for a, b in merges), *added]
    tokenizer = BPE(symbols, merges, "\n", added, True, [cut for patterns in cuts for cut in patterns], form, whole)
    rng = random.Random(2)
    for _ in range(20):
        parts = [*"ab ee!1.\n\n\u0301=\u0338가\u11a8中。", "x<a\nb>", "<|start header|>", "Yes!\n", "the "]
        text = "".join(rng.choice(parts) for _ in range(200))
        cut = list(sources.text_blocks([text], tokenizer.can_split, 10))
        assert "".join(cut) == text and len(cut) > 5
        assert np.concatenate([tokenizer.encode(block) for block in cut]).tolist() == tokenizer.encode(text).tolist()


def test_prepare_is_exact_for_a_pattern_that_takes_line_ends(home, monkeypatch):
    tokenizer = BPE([*CHARACTER_OF.values(), "!Ċ"], [("!", "Ċ")], "\n", [], True, SHIPPED["llama3"])
    monkeypatch.setattr(sources.text_blocks, "__defaults__", (700,))
    (home.root / "t.json").write_text(json.dumps(tokenizer.to_json()))
    put(home, "yes.txt", "Yes!\n" * 700)
    found = tokens.read_token_file(lb.prepare("yes.txt", tokenizer=str(home.root / "t.json"), path=home.root, progress=False, workers=1))
    assert found.ids.tolist() == tokenizer.encode("Yes!\n" * 700).tolist() and len(found.ids) == 4 * 700


# --- token files ---

@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
def test_prepare_is_the_text_encoded_whatever_the_workers(home, monkeypatch, kind):
    monkeypatch.setattr(sources.text_blocks, "__defaults__", (700,))
    one = lb.prepare("tale", home.root / "one.tok", kind, 400, workers=1, path=home.root, progress=False)
    three = lb.prepare("tale", home.root / "three.tok", kind, 400, workers=3, path=home.root, progress=False)
    assert one.read_bytes() == three.read_bytes()
    found = tokens.read_token_file(one)
    tokenizer = texts.train(kind, STORIES, 400)
    assert np.array_equal(found.ids, tokenizer.encode(STORIES)) and found.ids.dtype == np.uint16
    assert found.tokenizer == tokenizer.to_json() and found.vocabulary == tokenizer.size and found.characters == len(STORIES)
    assert isinstance(found.ids, np.memmap) and found.ids.offset == 64


def test_documents_end_with_the_end_token(home):
    put(home, "a.jsonl", "\n".join(json.dumps(dict(text=t)) for t in ("one two", "three", "one")))
    found = tokens.read_token_file(lb.prepare("a.jsonl", tokenizer="bpe", s_vocabulary=300, path=home.root, progress=False))
    tokenizer = texts.from_json(found.tokenizer)
    assert tokenizer.begin == "<|endoftext|>" and tokenizer.decode(found.ids) == "one two<|endoftext|>three<|endoftext|>one"
    assert found.path == home.root / "inputs" / "a.tok" and (found.ids == 0).sum() == 2
    char = tokens.read_token_file(lb.prepare("a.jsonl", home.root / "c.tok", path=home.root, progress=False))
    assert texts.from_json(char.tokenizer).decode(char.ids) == "one two\n\nthree\n\none"


def test_large_vocabularies_take_four_bytes(tmp_path):
    assert tokens.token_dtype(65_536) == np.uint16 and tokens.token_dtype(65_537) == np.uint32
    letters = "".join(chr(0x20000 + i) for i in range(40_000)) + "".join(chr(0x4E00 + i) for i in range(20_000)) + \
        "".join(chr(0xAC00 + i) for i in range(10_000))
    (tmp_path / "x.txt").write_text(letters)
    found = tokens.read_token_file(lb.prepare(tmp_path / "x.txt", tmp_path / "x.tok", path=tmp_path, progress=False))
    assert found.ids.dtype == np.uint32 and found.vocabulary == 70_000 and len(set(found.ids.tolist())) == 70_000


def test_a_large_text_is_sampled_and_no_character_is_lost(monkeypatch):
    monkeypatch.setattr(prepare, "SAMPLE", 10_000)
    blocks = [*sources.text_blocks([STORIES], sources.anywhere, 500), "\n\nÄ rare ö."]
    kept, characters, length = prepare.survey(blocks)
    assert 5000 <= len(kept) <= 10_000 and length == len(STORIES) + 11 and {"Ä", "ö"} <= characters
    for kind in ("char", "word"):
        tokenizer = prepare.tokenizer_of(kind, iter(blocks), 400)
        assert tokenizer.unknown_in(STORIES + "Äö") == {} and tokenizer.begin == "\n\n"


def test_what_prepare_refuses(home):
    ask = lambda *args, **named: sentence(lb.prepare, *args, path=home.root, progress=False, **named)
    assert "did you mean" in ask("tale", tokenizer="bpee") and "there is no run abcd" in ask("tale", tokenizer="abcd")
    assert "s_vocabulary is 1;" in ask("tale", tokenizer="bpe", s_vocabulary=1)
    assert "allowed are names that end in .tok; did you mean" in ask("tale", "x.bin") and "workers is -1" in ask("tale", workers=-1)
    assert "size is 'much'" in ask("tale", size="much") and "there is no file" in ask("none")
    assert "c_unknown is 'drop'" in ask("tale", c_unknown="drop")
    put(home, "empty.txt", "")
    assert "empty" in ask("empty")
    lb.prepare("tale", path=home.root, progress=False)
    assert "did you mean bpe?" in ask("tale", tokenizer="bpee") and "size is 'much'" in ask("tale", size="much")
    assert "tale.tok exists already" in ask("tale") and "token files and weights are allowed in train only" in ask("tale.tok", "y.tok")
    assert sorted(p.name for p in home.root.rglob("*") if p.is_file()) == ["empty.txt", "tale.tok", "tale.txt"]


def test_an_interrupted_prepare_leaves_nothing(home, monkeypatch):
    monkeypatch.setattr(sources.text_blocks, "__defaults__", (700,))

    def interrupted(what, n):
        if what == "writing tokens":
            raise KeyboardInterrupt

    for workers in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            prepare.prepare(home, [home.root / "inputs" / "tale.txt"], home.root / "x.tok", "char", workers=workers, progress=interrupted)
    assert [p.name for p in home.root.rglob("*") if p.is_file()] == ["tale.txt"]


def test_a_dead_process_ends_prepare_with_a_sentence_and_leaves_none(home, monkeypatch):
    monkeypatch.setattr(sources.text_blocks, "__defaults__", (700,))
    begun, real = [], prepare.subprocess.Popen

    def popen(*given, **settings):
        begun.append(real(*given, **settings))
        return begun[-1]

    monkeypatch.setattr(prepare.subprocess, "Popen", popen)

    def kill(what, n):
        if what == "writing tokens":
            begun[0].kill()

    with pytest.raises(RunFailed, match="a process that was encoding text has died.*Fewer --workers need less memory$"):
        prepare.prepare(home, [home.root / "inputs" / "tale.txt"], home.root / "x.tok", "char", workers=2, progress=kill)
    assert len(begun) == 2 and all(process.returncode is not None for process in begun)
    assert [p.name for p in home.root.rglob("*") if p.is_file()] == ["tale.txt"]


def changed(path, edit):
    data = bytearray(path.read_bytes())
    new = edit(data)
    path.write_bytes(data if new is None else new)
    return sentence(tokens.read_token_file, path)


@pytest.mark.parametrize("edit, says", [
    (lambda d: d[:-1], "is truncated"), (lambda d: d + b"x", "is longer than its header says"),
    (lambda d: d[:40], "is truncated in its header: it has 40 bytes and a header has 64"), (lambda d: b"", "is empty: there is nothing"),
    (lambda d: b"GGUF" + d[4:], "is not a token file: it does not begin with LBTOKENS"), (lambda d: d[:3], "is truncated in its header"),
    (lambda d: struct.pack_into("<I", d, 8, 7), "is a token file of version 7; this littlebaby reads version 1"),
    (lambda d: struct.pack_into("<I", d, 12, 3), "its header says 3 bytes per token"),
    (lambda d: struct.pack_into("<Q", d, 16, 2**63), "is truncated"),
    (lambda d: struct.pack_into("<I", d, 24, 0), "a vocabulary of 0"), (lambda d: struct.pack_into("<I", d, 28, 2**31), "a record of"),
    (lambda d: struct.pack_into("<I", d, 32, 1), "its tokenizer is not the one that its header's sha256 names"),
    (lambda d: d.__setitem__(slice(-1, None), b"!"), "is damaged"),
])
def test_damaged_token_files(home, edit, says):
    assert says in changed(lb.prepare("tale", path=home.root, progress=False), edit)


@pytest.mark.parametrize("array, says", [
    (np.zeros((3, 4), "i4"), "holds numbers of shape (3, 4)"), (np.zeros(9, "f4"), "type float32"), (np.zeros(9, "i8"), "type int64"),
    (np.zeros(0, "i4"), "holds no tokens"), (np.array([None]), "type object")])
def test_arrays_that_are_no_tokens(home, array, says):
    np.save(home.root / "x.npy", array, allow_pickle=True)
    assert says in sentence(tokens.read_token_file, home.root / "x.npy")


def test_damaged_arrays(home):
    path = home.root / "x.npy"
    np.save(path, np.arange(100, dtype="i4"))
    assert changed(path, lambda d: d[:-3]).endswith("a file of 100 tokens has 528 bytes and this one has 525")
    assert "is not a readable .npy file" in changed(path, lambda d: d[:20])
    assert "is not a readable .npy file" in changed(path, lambda d: b"nothing")
    put(home, "odd.bin", b"abc")
    assert "has 3 bytes, an odd number" in sentence(tokens.read_token_file, home.root / "inputs" / "odd.bin")


# --- training from them ---

def weights(run, home):
    return lb.load(run.guid, home.root).flat


def test_a_token_file_trains_as_its_text_does(home):
    text = lb.train("tale", path=home.root, seed=1, **TINY)
    lb.prepare("tale", path=home.root, progress=False)
    mapped = lb.train("tale.tok", path=home.root, seed=1, **TINY)
    assert np.array_equal(weights(text, home), weights(mapped, home))
    assert text.report.evaluations[-1].valid_loss == mapped.report.evaluations[-1].valid_loss
    assert mapped.report.input.characters == len(STORIES) and mapped.report.nursery_floor == text.report.nursery_floor
    assert mapped.config.c_tokenizer == "char" and mapped.completion.text == text.completion.text


def test_bare_tokens_of_other_systems_train_once_their_tokenizer_is_named(home):
    tokenizer = texts.train("bpe", STORIES, 400)
    ids = tokenizer.encode(STORIES)
    (home.root / "tokenizer.json").write_text(json.dumps(tokenizer.to_tokenizer_json()))
    ids.astype("<u2").tofile(home.root / "inputs" / "train.bin")
    np.save(home.root / "inputs" / "train.npy", ids)
    named = dict(c_tokenizer=str(home.root / "tokenizer.json"), path=home.root, seed=1)
    runs = [lb.train(f"train.{form}", **named, **TINY) for form in ("bin", "npy")]
    assert np.array_equal(*(weights(run, home) for run in runs)) and runs[0].report.vocabulary == 400
    assert "does not name their tokenizer, and c_tokenizer is 'char': give the path" in sentence(
        lb.train, "train.bin", path=home.root, **TINY)
    np.save(home.root / "inputs" / "train.npy", np.append(ids, 400).astype("i4"))
    assert "holds the token 400, and the vocabulary goes from 0 to 399" in sentence(lb.train, "train.npy", **named, **TINY)
    np.save(home.root / "inputs" / "train.npy", np.append(ids, -1).astype("i4"))
    assert "holds the token -1" in sentence(lb.train, "train.npy", **named, **TINY)


def test_token_files_of_different_tokenizers_do_not_mix(home):
    put(home, "other.txt", "Ω" * 1000)
    for name in ("tale", "other"):
        lb.prepare(name, path=home.root, progress=False)
    assert "other.tok was made with another tokenizer (char, 1 tokens) than the rest (char," in sentence(
        lb.train, "tale.tok,other.tok", path=home.root, **TINY)
    run = lb.train("tale.tok", path=home.root, **TINY)
    assert "was made with another tokenizer" in sentence(lb.finetune, run.guid, "other.tok", home.root, **TINY)
    assert lb.finetune(run.guid, "tale.tok", home.root, **TINY).report.vocabulary == run.report.vocabulary
    refused = sentence(lb.train, "tale.tok", path=home.root, c_shuffle="windows", **TINY)
    assert "c_shuffle is 'windows'; allowed with a token file, which is memory-mapped, is none" in refused


@pytest.mark.parametrize("where, named", [
    ("tale.tok", {}), ("tale.txt:0.7,more.txt:0.3", {}), ("tale.tok:0.7,more.tok:0.3", dict(r_dropout=0.1)),
    ("books", dict(c_pack="within")), ("a.jsonl", dict(c_pack="within", n_accumulate=2)), ("tale.tok,more.txt", {})])
def test_every_source_resumes_bit_for_bit(home, where, named):
    put(home, "more.txt", STORIES[:9000][::-1])
    put(home, "books/1.txt", STORIES[:5000])
    put(home, "books/2.md", STORIES[5000:9000])
    put(home, "a.jsonl", "\n".join(json.dumps(dict(text=t)) for t in STORIES.split("\n\n")))
    (home.root / "t.json").write_text(json.dumps(texts.train("char", STORIES).to_json()))
    for name in ("tale", "more"):
        lb.prepare(name, tokenizer=str(home.root / "t.json"), path=home.root, progress=False)
    settings = {**TINY, "n_steps": 12, **named}
    through = lb.train(where, path=home.root, seed=2, **settings)
    calls = []
    broken = lb.train(where, path=home.root, seed=2, stop=lambda: calls.append(1) or len(calls) == 5, **settings)
    assert broken.report.stop_reason == "interrupted"
    done = lb.train(resume=broken.guid, path=home.root, progress=False)
    assert done.report.stop_reason == "finished" and np.array_equal(weights(done, home), weights(through, home))


def test_a_text_too_large_for_memory_is_prepared_once(home, monkeypatch):
    small = lb.train("tale", path=home.root, seed=1, **TINY)
    monkeypatch.setattr(corpus, "IN_MEMORY", 10_000)
    large = lb.train("tale", path=home.root, seed=1, **TINY)
    made = list((home.root / "tokens").iterdir())
    assert np.array_equal(weights(small, home), weights(large, home)) and len(made) == 1 and made[0].name.startswith("tale_")
    before = made[0].stat().st_mtime_ns
    lb.train("tale", path=home.root, seed=1, **TINY)
    assert [p.stat().st_mtime_ns for p in (home.root / "tokens").iterdir()] == [before]
    put(home, "tale.txt", STORIES[:20_000])
    lb.train("tale", path=home.root, **TINY)
    assert len(list((home.root / "tokens").iterdir())) == 2
    put(home, "greek.txt", "ὦ τέκνα, Κάδμου τοῦ πάλαι νέα τροφή.\n" * 900)
    grown = lb.finetune(large.guid, "greek", home.root, **TINY)
    assert grown.report.vocabulary > large.report.vocabulary and grown.report.input.characters == 900 * 37


# --- encodings ---

ROWS = [dict(text=text) for text in ("Été à Málaga", "naïve café", "plain")]
JSONL = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
ENCODINGS = ("utf-8", "UTF8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_encoding_is_obeyed_in_every_form(home, encoding):
    expected = "|".join(row["text"] for row in ROWS)
    put(home, "a.jsonl", JSONL.encode(encoding))
    put(home, "b.jsonl.gz", gzip.compress(JSONL.replace("\n", "\r\n").encode(encoding)))
    put(home, "c.txt", expected.encode(encoding))
    put(home, "d.txt.gz", gzip.compress(expected.encode(encoding)))
    assert [whole(home, name, encoding=encoding) for name in ("a.jsonl", "b.jsonl.gz", "c.txt", "d.txt.gz")] == [[expected]] * 4
    assert home.read_text("a.jsonl", encoding).text == JSONL
    found = tokens.read_token_file(lb.prepare("a.jsonl", encoding=encoding, path=home.root, progress=False))
    assert texts.from_json(found.tokenizer).decode(found.ids) == expected.replace("|", "\n\n")


def test_lines_that_reads_cut(home, monkeypatch):
    monkeypatch.setattr("littlebaby.runs.encodings.PIECE", 7)
    put(home, "a.jsonl", "\n\n" + JSONL + "\n")
    assert whole(home, "a.jsonl") == ["|".join(row["text"] for row in ROWS)]
    monkeypatch.setattr(sources, "MOST_LINE", 12)
    assert "a.jsonl, line 3, is longer than" in sentence(whole, home, "a.jsonl")
    put(home, "b.jsonl", JSONL.encode("cp1252"))
    assert "line 1, is not UTF-8: byte 0xc9 at offset 10 is invalid" in sentence(whole, home, "b.jsonl")


@pytest.mark.parametrize("data,encoding,says", [
    (JSONL.replace("Été à Málaga", "Ete a Malaga").encode("latin-1"), "utf-8",
     "line 2, is not UTF-8: byte 0xef at offset 37 is invalid; give --encoding, for example --encoding latin-1"),
    ('{"text": "a"}\n{"text": "“no”"}'.encode("cp1252"), "utf-8", "line 2, is not UTF-8: byte 0x93 at offset 24 is invalid; "
     "give --encoding, for example --encoding cp1252"),
    (JSONL.encode("utf-16"), "utf-8", "line 1, is not UTF-8: byte 0xff at offset 0 is invalid; give --encoding, for example "
     "--encoding utf-16"),
    ('{"text": "abc"}'.encode("utf-16-le"), "utf-8", "is not UTF-8: from offset 1 on every other byte is zero; give --encoding, for "
     "example --encoding utf-16-le"),
    (JSONL.encode("utf-16-be"), "latin-1", "--encoding utf-16-be"), (JSONL.encode("utf-16-le"), "utf-8", "--encoding utf-16-le"),
    (JSONL.encode("utf-32"), "utf-8", "--encoding utf-32"),
    (JSONL.encode(), "ascii", "line 1, is not ASCII: byte 0xc3 at offset 10 is invalid; give --encoding, for example --encoding utf-8"),
    (JSONL.encode("utf-16-le"), "utf-16", "there is no byte-order mark at offset 0; give --encoding, for example --encoding utf-16-le"),
    (b'{"text": "abcdef"}', "utf-16-le", "is not JSON: a .jsonl file holds one object on every line; it was read as UTF-16-LE, and "
     "its bytes are UTF-8: try --encoding utf-8"), (b"\xef\xbb\xbf" + b'{"text": "a\xe9"}', "utf-8", "byte 0xe9 at offset 14"),
    (b"{}", "hex", "'hex' is not an encoding"), (b"{}", "", "is not an encoding")])
def test_what_an_encoding_does_not_fit_is_said_with_its_place(home, data, encoding, says):
    put(home, "a.jsonl", data)
    put(home, "b.jsonl.gz", gzip.compress(data))
    assert says in sentence(whole, home, "a.jsonl", encoding=encoding) and says in sentence(whole, home, "b.jsonl.gz", encoding=encoding)
    if "is not JSON" not in says:
        assert says in sentence(home.read_text, "a.jsonl", encoding)
