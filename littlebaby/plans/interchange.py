"""Import of models from other programs, and export for other programs."""
from dataclasses import dataclass
from pathlib import Path

from ..arrays import backend, tree
from ..check.preflight import preflight as predict
from ..runs import disk, formats, records
from ..show.modelcard import modelcard
from ..show.progress import counted
from .manage import info
from .model_io import baby_from_model, load, save_weights
from .process_control import environment, open_workspace, print_to_stderr
from .training_run import Run


def import_(where: str | Path, path: str | Path | None = None, progress: bool = True) -> Run:
    """Import a model of another program as a new run, which can be used, finetuned and exported like any other.

    Args:
        where: Hugging Face folder, GGUF file, model of Kilat, NANO-KIMI-K2, nanoKimi, KodaLite or The Little Baby, or a folder or file
            that `export` wrote.
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].
        progress: Whether to show a progress bar and notes.

    Returns:
        The saved run; its report has the stop_reason "imported".

    Raises:
        BadInput: The files are of no known format, are damaged, or use what littlebaby cannot compute.

    >>> done = lb.export("last", "safetensors")
    >>> lb.import_(done.folder, progress=False).report.stop_reason
    'imported'
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


def export(guid: str = "last", to: str = "huggingface", d_type: str | None = None, out: str | Path | None = None,
           path: str | Path | None = None) -> "Export":
    """Write a run's model for other programs. A model that no architecture of transformers can compute is written as plain safetensors.

    Args:
        guid: Run: its GUID, the first 4 or more characters of it, or "last".
        to: "huggingface" for transformers, "gguf" for llama.cpp, "safetensors" or "npz" with littlebaby's names of the weights.
        d_type: Type of the numbers: fp32, fp16, bf16 or fp64; for gguf fp32, fp16 or q8_0 [the model's own].
        out: Folder to write to [exports/GUID_TO in the workspace].
        path: Folder of the workspace [LITTLEBABY_HOME, else the nearest from the current folder up].

    Returns:
        An Export: the format, the files and notes.

    Raises:
        BadInput: There is no such run, format or type, or the folder cannot be written.

    >>> [file.name for file in lb.export("last", "npz").files]
    ['config.json', 'tokenizer.json', 'model.npz', 'README.md']
    """
    workspace = open_workspace(path)
    name = workspace.resolve(guid, "model")
    chosen_folder = Path(out).expanduser().absolute() if out else None
    try:
        disk.require_writable(chosen_folder or workspace.path("export", name))
    except disk.CannotWrite as error:
        raise disk.CannotWrite(f"{error}; give another folder with --out") from None
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
    """Result of `export`.

    Attributes:
        guid: Name of the run.
        to: Format that was written; it can differ from the requested one.
        d_type: Type of the numbers.
        folder: Folder of the files.
        files: Paths of the files.
        notes: Sentences about what was changed or left out.

    >>> done = lb.export("last", "safetensors", "fp16")
    >>> done.to, done.d_type
    ('safetensors', 'fp16')
    """
    guid: str
    to: str
    d_type: str
    folder: Path
    files: tuple[Path, ...]
    notes: tuple[str, ...]
