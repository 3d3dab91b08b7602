"""The README.md of an exported model: its architecture, its training and how to load it, all from the files of the run."""
from collections.abc import Sequence
from typing import Any

from .card import shape
from .formatting import format_number

LOADS = dict(
    huggingface="""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = AutoModelForCausalLM.from_pretrained("."), AutoTokenizer.from_pretrained(".")
```""",
    gguf="```sh\nllama-cli -m model.gguf -p \"Once\"\n```",
    safetensors="```python\nimport littlebaby as lb\n\nbaby = lb.load(\".\")\n```",
    npz="```python\nimport littlebaby as lb\n\nbaby = lb.load(\".\")\n```")


def modelcard(info: dict[str, Any], to: str, d_type: str, notes: Sequence[str] = ()) -> str:
    """Markdown. info: what plans.info returns; to: the format of the export; notes: sentences about changes made by the export"""
    report, cfg = info["report"] or {}, info["config"]
    figures = report.get("figures") or {}
    rows = [("run", info["guid"]), ("model", shape(cfg)), ("number format", d_type)]
    if figures:
        rows.append(("parameters", f"{figures['parameters']['total']:,}"))
    if report.get("tokenizer"):
        rows.append(("tokenizer", f"{report['tokenizer']}, {report['vocabulary']:,} tokens"))
    if text := report.get("input"):
        rows.append(("training text", f"{text['name']}, {text['bytes']:,} bytes, sha256 {text['sha256']}"))
    for key, what in (("base", "finetuned from"), ("origin", "imported from")):
        rows += [(what, report[key])] if report.get(key) else []
    if figures.get("tokens"):
        rows.append(("training tokens", f"{figures['tokens']:,} in {format_number(figures['seconds'])} s"))
    if (loss := report.get("best_valid_loss")) is not None:
        floor = report.get("nursery_floor")
        rows.append(("validation loss", f"{loss:.4f} nats per token" + (f"; the lowest possible is {floor:.4f}" if floor else "")))
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    written = f"\n\n## A sample\n\n```text\n{info['completion'].strip()[:1000]}\n```" if info["completion"].strip() else ""
    return (f"---\nlibrary_name: {'transformers' if to == 'huggingface' else 'littlebaby'}\ntags: [littlebaby, text-generation]\n---\n\n"
            f"# A model of littlebaby\n\n{table}\n\n" + "".join(f"{note}\n\n" for note in notes)
            + f"## Loading\n\n{LOADS[to]}{written}\n")
