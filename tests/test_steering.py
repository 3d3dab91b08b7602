"""Steering: the same numbers with and without a cache, directions are what their formula says."""
import json
import shutil
from zipfile import ZipFile

import numpy as np
import pytest

import littlebaby as lb
from littlebaby import cli
from littlebaby import text as texts
from littlebaby.errors import BadInput
from littlebaby.inference.baby import Baby
from littlebaby.inference.generate import Reader
from littlebaby.inference.sampling import Sampling
from littlebaby.inference.speculative import speculate
from littlebaby.inference.steering import adding, block_outputs, difference, mean_output
from littlebaby.model import gpt
from littlebaby.model.context import Context
from littlebaby.runs.settings import Config, allowed
from littlebaby.runs.store import Workspace

TOKENIZER = texts.train("char", "abcdefgh .\n\n")


def baby(**more):
    cfg = Config(**{**dict(n_ctx=12, n_emb=16, n_heads=4, n_layers=2, n_vocab=17, d_type="fp64", n_kv_heads=2), **more})
    b = Baby(cfg, seed=3)
    b.flat += 0.4 * np.random.default_rng(0).standard_normal(b.flat.size)
    return b


def reading(**more):
    """A baby that knows the letters of TOKENIZER"""
    return Baby(Config(**{**dict(n_ctx=12, n_emb=16, n_heads=4, n_layers=2, d_type="fp64"), **more}), seed=3, tokenizer=TOKENIZER)


@pytest.mark.parametrize("attention", allowed("c_attention"))
def test_steering_gives_the_same_numbers_with_and_without_a_cache(attention):
    """The logits of 30 tokens through a window of 12, read one by one and in pieces, by a reader and by its fork"""
    b, rng = baby(c_attention=attention), np.random.default_rng(1)
    steer = adding({0: rng.standard_normal(16), 1: rng.standard_normal(16)})
    ids = rng.integers(0, 17, (2, 30))
    with_cache, without, free = Reader(b.p, b.config, True, steer), Reader(b.p, b.config, False, steer), Reader(b.p, b.config)
    for T in (3, 4, 5, 9, *range(10, 31)):
        z, expected = with_cache.read(ids[:, :T]), without.read(ids[:, :T])
        assert np.abs(z - expected).max() < 1e-9
        assert np.abs(z - free.read(ids[:, :T])).max() > 1e-3, "the direction reaches the logits"
        if T == 9:
            with_cache = with_cache.fork()
    alone = Reader(b.p, b.config, True, steer)                  # one token of one text, which otherwise the decoder would read
    for T in range(3, 13):
        z = alone.read(ids[:1, :T])[0, 0]
    assert np.abs(z - gpt.forward(b.p, ids[:1, :12], Context(b.config, replace_value=steer))[0][0, -1]).max() < 1e-9


def test_a_replacement_reaches_every_way_of_generating():
    b, draft = baby(), baby(n_layers=1)
    steer, prompt = adding({1: 8 * np.random.default_rng(2).standard_normal(16)}), np.array([[1, 2, 3]])
    steered = b.generate(prompt, 20, temperature=0, replace_value=steer)
    assert steered.tolist() == b.generate(prompt, 20, temperature=0, replace_value=steer, cached=False).tolist()
    assert steered.tolist() != b.generate(prompt, 20, temperature=0).tolist()
    checked = speculate((b.p, b.config), (draft.p, draft.config), prompt, 20, Sampling(temperature=0), np.random.default_rng(0),
                        replace_value=steer)
    assert list(checked) == steered[0].tolist()


def test_only_the_output_of_the_named_layer_is_moved():
    b, ids, shift = baby(), np.array([[1, 2, 3, 4]]), np.arange(16.0)
    plain, moved = ({}, {})
    gpt.forward(b.p, ids, Context(b.config, recorder=plain))
    gpt.forward(b.p, ids, Context(b.config, recorder=moved, replace_value=adding({0: shift})))
    assert np.abs(moved[0, "block"] - plain[0, "block"] - shift).max() < 1e-12
    assert all(np.array_equal(moved[0, name], plain[0, name]) for name in ("embedding", "attention", "network"))
    assert np.array_equal(block_outputs(b, ids, 0), plain[0, "block"]) and np.array_equal(block_outputs(b, ids, 1), plain[1, "block"])


def test_a_direction_is_the_difference_of_two_means_over_tokens():
    """By hand: every text after the beginning of a document, a text longer than the window in pieces, the beginning not counted"""
    b = reading()
    begin, long = TOKENIZER.encode(TOKENIZER.begin), TOKENIZER.encode("abcdefgh abcdefgh")
    n = 12 - len(begin)
    rows = [TOKENIZER.encode("cab"), long[:n], long[n:]]
    outputs = [block_outputs(b, np.concatenate([begin, row])[None], 1)[0, len(begin):] for row in rows]
    mean = mean_output(b, ["cab", "abcdefgh abcdefgh"], 1)
    assert np.abs(mean - np.concatenate(outputs).mean(0)).max() < 1e-12
    assert np.abs(difference(b, ["cab", "abcdefgh abcdefgh"], ["dead"], 1) - (mean - mean_output(b, ["dead"], 1))).max() < 1e-12


def test_directions_keep_the_type_of_the_weights():
    b = reading(d_type="fp32")
    direction = difference(b, ["cab"], ["dead"], 0)
    assert direction.dtype == np.float32
    seen: dict = {}
    gpt.forward(b.p, np.array([[1, 2]]), Context(b.config, recorder=seen, replace_value=adding({0: direction.astype(float)})))
    assert seen[0, "block"].dtype == np.float32


def test_texts_of_unknown_characters_have_no_direction():
    b = reading()
    b.tokenizer = texts.train("char", "ab\n\n", unknown="replace")
    with pytest.raises(BadInput, match="^the model's tokenizer knows no token of the texts of a direction; give texts with at least one"):
        mean_output(b, [""], 0)


# directions of runs

@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace with a tiny run"""
    path = tmp_path_factory.mktemp("home")
    lb.nursery("5kB", path=path)
    lb.train("nursery_5kB_0.txt", path=path, n_layers=3, n_emb=16, n_heads=2, n_ctx=32, batch_size=4, n_steps=5, n_completion=0,
             n_sample=0, c_device="cpu", progress=False)
    return path


def test_a_saved_direction_steers_and_the_completion_tells(home):
    red = lb.direction("last", "red", ["Ada hid a red ball.", "a red kite"], "a kite", path=home)
    assert red.layer == 1 and red.less == ["a kite"] and red.norm == pytest.approx(np.linalg.norm(red.vector))
    low = lb.direction("last", "low", "gold", "mole", layer=0, path=home)
    assert low.layer == 0 and Workspace(home).directions(red.guid) == ["low", "red"]
    text = lambda steer: lb.inference("last", "Ada", 20, temperature=0, path=home, steer=steer)
    steered = text(dict(red=40, low=-3.5))
    b = lb.load("last", home)
    moved = adding({1: 40 * np.array(red.vector), 0: -3.5 * np.array(low.vector)})
    assert steered.text == b.decode(b.generate(b.encode("Ada"), 20, temperature=0, replace_value=moved)) != text(None).text
    saved = Workspace(home).completions(red.guid)[0]
    assert [tuple(vars(each).values()) for each in saved.steering] == [("red", 1, 40.0), ("low", 0, -3.5)]
    assert text(dict(red=0)).text == text(None).text and text(None).steering == []


def test_two_directions_in_one_layer_are_added(home):
    lb.direction("last", "one", "gold", "mole", path=home)
    lb.direction("last", "other", "kite", "ball", path=home)
    shift = sum(np.array(Workspace(home).load_direction(each, lb.list(home)[-1].name).vector) for each in ("one", "other"))
    b = lb.load("last", home)
    expected = b.generate(b.encode("Ada"), 20, temperature=0, replace_value=adding({1: 30 * shift}))
    assert lb.inference("last", "Ada", 20, temperature=0, path=home, steer=dict(one=30, other=30)).text == b.decode(expected)


def test_a_direction_is_a_file_of_its_run(home, tmp_path):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    red = lb.direction("last", "red", "gold", "mole", path=tmp_path)
    file = tmp_path / f"outputs/direction_red_{red.guid}.json"
    assert json.loads(file.read_text())["vector"] == red.vector
    with ZipFile(lb.pack(red.guid, tmp_path)) as archive:
        assert f"outputs/direction_red_{red.guid}.json" in archive.namelist()
    lb.delete(red.guid, tmp_path, yes=True)
    assert not file.exists()


@pytest.mark.parametrize("words, sentence", [
    (["direction", "last", "Red", "--more", "a", "--less", "b"], "the name of the direction is 'Red'; allowed are up to 40 small letters, "
     "digits and hyphens that begin with a letter, but not feature with a number"),
    (["direction", "last", "feature3", "--more", "a", "--less", "b"], "the name of the direction is 'feature3'; allowed are up to 40 small "
     "letters, digits and hyphens that begin with a letter, but not feature with a number"),
    (["direction", "last", "red", "--more", "a", "--less", "b", "--layer", "3"],
     "layer is 3; allowed is a whole number from 0 to 2; did you mean 2?"),
    (["inference", "last", "--steer", "red"], "--steer is 'red'; allowed is NAME:STRENGTH, such as red:2"),
    (["inference", "last", "--steer", "rde:2"], "the direction is 'rde'; allowed are red; did you mean red?"),
    (["inference", "last", "--steer", "red:x"], "the strength of 'red' is 'x'; allowed is a number from -1,000.0 to 1,000.0")])
def test_wrong_directions_are_told_in_a_sentence(home, tmp_path, capsys, words, sentence):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    for file in (tmp_path / "outputs").glob("direction_*"):
        file.unlink()
    lb.direction("last", "red", "gold", "mole", path=tmp_path)
    assert cli.main([*words, "--path", str(tmp_path)]) == 2
    assert capsys.readouterr().err.strip() == sentence


def test_a_run_without_directions_says_how_to_make_one(home, tmp_path):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    for file in (tmp_path / "outputs").glob("direction_*"):
        file.unlink()
    guid = lb.list(tmp_path)[-1].name
    with pytest.raises(BadInput) as error:
        lb.inference("last", path=tmp_path, steer=dict(red=1))
    assert str(error.value) == f"{guid} has no direction 'red'; `littlebaby direction {guid[:8]} NAME --path {tmp_path}` makes one"
    with pytest.raises(BadInput, match=f"`littlebaby features {guid[:8]} --path {tmp_path}` finds them$"):
        lb.inference("last", path=tmp_path, steer=dict(feature1=1))


def test_the_command_that_steers_names_the_workspace_unless_it_is_the_current_one(home, capsys, monkeypatch):
    words, guid = ["direction", "last", "red", "--more", "gold", "--less", "mole", "--path", str(home)], lb.list(home)[-1].name
    assert cli.main(words) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"`littlebaby inference {guid[:8]} --steer red:1 --path {home}` steers with it"
    monkeypatch.setenv("LITTLEBABY_HOME", str(home))
    assert cli.main(words) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"`littlebaby inference {guid[:8]} --steer red:1` steers with it"
