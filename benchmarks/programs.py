"""The same greedy text in other people's programs: transformers, and llama.cpp through node-llama-cpp.

    pip install -e '.[peers]'
    npm i --ignore-scripts --omit=optional node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1     NODE_LLAMA_CPP: its folder
"""
import json
import os
import subprocess
from pathlib import Path

LLAMA_CPP = """
import {getLlama} from "node-llama-cpp"; import fs from "fs";
const llama = await getLlama({gpu: false, build: "never", maxThreads: 1, skipDownload: true, logLevel: "disabled"});
const [model, prompts, n, out] = JSON.parse(fs.readFileSync(process.argv[2])), told = [];
const loaded = await llama.loadModel({modelPath: model, gpuLayers: 0});
for (const prompt of prompts) {
  const ids = loaded.tokenize(prompt, true), context = await loaded.createContext({contextSize: 512, threads: 1}), got = [];
  for await (const id of context.getSequence().evaluate(ids, {temperature: 0, yieldEogToken: true})) {
    got.push(id);
    if (got.length >= n) break;
  }
  told.push([ids, got, loaded.detokenize(got, true)]);
  await context.dispose();
}
fs.writeFileSync(out, JSON.stringify(told));
process.exit(0);
"""


def in_littlebaby(baby, prompts, n):
    """[(ids of the prompt, n new ids, their text), ...], the likeliest id every time"""
    told = []
    for prompt in prompts:
        ids = baby.encode(prompt)
        new = baby.generate(ids, n, temperature=0)
        told.append((ids.tolist(), new.tolist(), baby.decode(new)))
    return told


def in_transformers(folder, prompts, n):
    """The same of a folder that transformers loads, its model and its tokenizer, in fp32"""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer, told = transformers.AutoTokenizer.from_pretrained(folder), []
    model.generation_config.eos_token_id = None
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            new = model.generate(ids, max_new_tokens=n, do_sample=False)[0][ids.shape[1]:].tolist()
        told.append((ids[0].tolist(), new, tokenizer.decode(new)))
    return told


def logits_in_transformers(folder, ids):
    """(1, T, V) of a list of ids"""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(torch.tensor([ids])).logits.numpy()


def llama_cpp():
    """The folder in which node-llama-cpp is installed, None where there is none"""
    home = Path(os.environ.get("NODE_LLAMA_CPP", "node-llama-cpp"))
    return home.resolve() if (home / "node_modules" / "node-llama-cpp").is_dir() else None


def in_llama_cpp(file, prompts, n, folder):
    """The same of a GGUF; `folder` is for the script and what it says"""
    script, job, out = (folder / name for name in ("ask.mjs", "job.json", "told.json"))
    script.write_text(LLAMA_CPP)
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(llama_cpp() / "node_modules")
    job.write_text(json.dumps([str(file), prompts, n, str(out)]))
    subprocess.run(["node", str(script), str(job)], check=True, cwd=folder, timeout=1800)
    return [tuple(each) for each in json.loads(out.read_text())]
