"""Other people's files: models come in as runs and go out for other programs."""
from dataclasses import dataclass
from pathlib import Path

from ..arrays import backend, tree
from ..check.preflight import preflight as predict
from ..runs import disk, formats, records
from ..show.modelcard import modelcard
from ..show.progress import counted
from .manage import info
from .model_io import baby_from_model, load, save_weights
from .process_control import open_workspace, print_to_stderr
from .training import Run, environment


def import_(where, path=None, progress=True):
    """Make a run of a model out of other people's files: a Hugging Face folder, a GGUF, Kilat, NANO-KIMI-K2, nanoKimi, KodaLite, The
    Little Baby, or one that `export` wrote. It can then be finetuned, asked and exported as any other.
    """
    workspace = open_workspace(path)
    workspace.require_writable()
    model = formats.read_model(where)
    if model.note and progress:
        print_to_stderr(model.note)
    baby = baby_from_model(model._replace(weights=counted(model.weights, "reading", progress)))
    name, tokenizer = workspace.new(), model.tokenizer
    about, size = predict(baby.config, baby.config.n_ctx + 1, probe=False), tree.size(baby.spec)
    trainable = tree.size(baby.spec, train=True)
    report = records.Report(
        guid=name, origin=str(where), ended=records.now(), stop_reason="imported", environment=environment(baby.config),
        tokenizer=tokenizer.kind if tokenizer else "", vocabulary=baby.config.n_vocab, figures=records.Figures(
            parameters=records.Parameters(trainable=trainable, frozen=size - trainable, total=size), parts=about.parts,
            embedding=about.parts.get("embedding", 0), flops_per_token=about.flops_per_token, memory=about.memory))
    with workspace.lock(name):
        workspace.save_config(name, baby.config)
        if tokenizer:
            workspace.save_tokenizer(name, tokenizer.to_json())
        save_weights(workspace, name, baby)
        workspace.save_report(name, report)
    return Run(name, baby.config, report, None, workspace.root)


def export(guid="last", to="huggingface", d_type=None, out=None, path=None):
    """Write a run's model for other programs into a folder (None: exports/GUID_TO in the workspace); returns an Export.

    to: huggingface (transformers), gguf (llama.cpp), safetensors or npz (littlebaby's own names)
    d_type: fp32, fp16, bf16, fp64, for gguf fp32, fp16, q8_0; None: as the model is
    A model that no architecture of huggingface computes is written as plain safetensors, and the Export says why.
    """
    workspace = open_workspace(path)
    name = workspace.resolve(guid)
    chosen_folder = Path(out).expanduser().absolute() if out else None
    try:
        disk.require_writable(chosen_folder or workspace.path("export", name))
    except disk.CannotWrite as error:
        raise disk.CannotWrite(f"{error}; --out names another folder") from None
    baby = load(name, workspace.root)
    chosen = formats.checked_type(to, d_type or baby.config.d_type)
    weights = {n: backend.to_numpy(w) for n, w in baby.weights().items()}
    made = formats.write_model(baby.config, weights, baby.tokenizer, to, chosen)
    folder = chosen_folder or workspace.path("export", name).with_name(f"{name}_{made.to}")
    card = modelcard(info(name, workspace.root), made.to, chosen, made.notes)
    files = {**made.files, "README.md": [card.encode()]}
    for file, pieces in files.items():
        workspace.write_export(folder, file, pieces)
    return Export(name, made.to, chosen, folder, tuple(folder / file for file in files), made.notes)


@dataclass(frozen=True)
class Export:
    """What `export` wrote"""
    guid: str
    to: str
    d_type: str
    folder: Path
    files: tuple
    notes: tuple            # what had to be changed or could not be kept, a sentence each
