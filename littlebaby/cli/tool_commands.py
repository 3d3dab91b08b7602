"""All other commands: training texts, estimates, files of other programs, checks, pages, tables."""
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from .. import plans
from ..errors import BadInput
from ..plans import text_output
from .answers import Answer, plain, print_line, with_path
from .options import Chosen, Common, Everywhere, Others, Settings, Text, Whole, app, given_settings


@app.command
def fetch(name: str, *, common: Everywhere = Common()):
    """Download a text into inputs/.

    Args:
        name: tinyshakespeare, tinystories, tinystories_valid, fineweb_edu, a URL (a #sha256=... at its end is checked), datasets:NAME, or
            the name of a text file in the data of NLTK or Kaggle on this machine.
    """
    return file_answer(plans.fetch(name, common.path))


@app.command
def nursery(text_size: Annotated[str, Parameter(name=("--size",))] = "300kB", *, seed: Whole = 0, kind: str = "stories",
            common: Everywhere = Common()):
    """Generate a training text of known entropy in inputs/: stories from a grammar, or sums.

    Args:
        text_size: Size of the text: 300kB, 10MB, 1GB.
        seed: Random seed: the same seed gives the same text.
        kind: stories, or sums: sums of one-digit numbers, solved step by step or at once.
    """
    return file_answer(plans.nursery(text_size, seed, common.path, kind))


@app.command
def pack(guid: str = "last", *, common: Everywhere = Common()):
    """Pack all files of a run into one zip file; unzip it in another workspace to use the run there.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
    """
    return file_answer(plans.pack(guid, common.path))


@app.command
def prepare(input: list[str], *, output: str | None = None, tokenizer: str = "char", s_vocabulary: Whole = 4096, c_unknown: str = "replace",
            encoding: str = "utf-8", field: str = "text", text_size: Annotated[str | None, Parameter(name=("--size",))] = None,
            workers: Whole = 0, quiet: bool = False, common: Everywhere = Common()):
    """Tokenize texts of any size into a token file, which train reads as a memory map.

    Args:
        input: Text files, folders or patterns, several separated by commas; .txt .md .jsonl .parquet .gz, or datasets:NAME.
        output: Path of the token file [inputs/NAME.tok].
        tokenizer: char, word or bpe, made from the text; the path of a tokenizer.json; or the GUID of a run.
        s_vocabulary: Vocabulary size for word and bpe.
        c_unknown: Unknown characters: replace them by the nearest known form, or stop with an error.
        encoding: Encoding of the text.
        field: The field of .jsonl lines or column of .parquet rows that holds the text.
        text_size: Read at most this much text: 300kB, 1GB.
        workers: Number of processes; 0 means one per core.
        quiet: No progress bar.
    """
    return file_answer(plans.prepare(input, output, tokenizer, s_vocabulary, c_unknown, encoding, field, text_size, workers, common.path,
                                      not quiet))


def file_answer(path):
    """The answer of a command that makes a file"""
    return Answer(dict(path=str(path), bytes=path.stat().st_size), f"{path}  {text_output.format_bytes(path.stat().st_size)}")


@app.command
def preflight(input: list[str] | None = None, *, preset: str | None = None, config: str | None = None, encoding: str = "utf-8",
              quick: bool = False, settings: Chosen = Settings(), common: Everywhere = Common(), **others: Others):
    """Estimate the cost of a training: parameters, FLOPs, memory, and time on this machine. Takes the settings of train.

    Args:
        input: The training text, as for train [nursery].
        preset: A named set of settings; `littlebaby catalog presets` lists them [nursery; characters for another text].
        config: A JSON file of settings. With it, no preset is used; with --preset, its settings override the preset's.
        encoding: Encoding of the text.
        quick: Do not run trial steps; there is then no estimate of the time.
    """
    about = plans.preflight(input, preset, config, common.path, encoding, not quick, **given_settings(settings, others))
    return Answer(asdict(about) | dict(total=about.total), text_output.preflight_table(about))


@app.command
def bench(*sizes: str, quiet: bool = False, common: Everywhere = Common()):
    """Measure this machine: a training step, its matrix products alone, and generation. All four sizes take about half a minute.

    Args:
        sizes: S0, S1, S2 or S3, the sizes of docs/benchmarks.md [all].
        quiet: No progress bar.
    """
    found = plans.bench(sizes, not quiet and not common.json)
    return Answer([asdict(each) for each in found], text_output.bench_table(found))


@app.command(name="import")
def import_(where: str, *, common: Everywhere = Common()):
    """Import a model of another program as a run.

    Args:
        where: A Hugging Face folder, a .gguf file, a .safetensors file beside its config.json, or a model_GUID.json of The Little Baby.
    """
    run = plans.import_(where, common.path, not common.json)
    data = dict(guid=run.guid, workspace=str(run.root), config=plain(run.config))
    return Answer(data, "" if common.json else text_output.card(run.guid, run.root))


@app.command
def export(guid: str = "last", *, to: str = "huggingface", d_type: str | None = None, out: str | None = None,
           common: Everywhere = Common()):
    """Export a run's model for other programs.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        to: huggingface for transformers, gguf for llama.cpp, safetensors or npz for littlebaby.
        d_type: Number type: fp32, fp16, bf16, fp64; for gguf fp32, fp16, q8_0 [the model's own].
        out: Folder to write to [exports/GUID_TO in the workspace].
    """
    done = plans.export(guid, to, d_type, out, common.path)
    for note in done.notes:
        print_line(note)
    sizes = [(str(file), text_output.format_bytes(file.stat().st_size)) for file in done.files]
    return Answer(dict(guid=done.guid, to=done.to, d_type=done.d_type, folder=str(done.folder), files=[file for file, _ in sizes],
                       notes=list(done.notes)), "\n".join(f"{file}  {bytes_}" for file, bytes_ in sizes))


@app.command
def check(variant: str | None = None, *, all: bool = False, write: str | None = None, common: Everywhere = Common()):
    """Check the laws for one attention, network, norm or position, or for all: gradients, decoding, causality, unused weights.

    Args:
        variant: Name of the variant, such as mha, mlp, rmsnorm or rope.
        all: Check every variant; this takes minutes.
        write: Path of a page to write, such as docs/laws.md: check every variant, and count the mistakes that the tests plant.
    """
    if all or write:
        return check_all(write)
    if variant is None:
        raise BadInput("check needs a variant, such as mha, or --all")
    rows = plans.check(variant)
    table = text_output.align_columns([("settings", *LAWS), *(
        (" ".join(f"{key}={value}" for key, value in row["settings"].items()) or "defaults", *law_numbers(row)) for row in rows)])
    return verdict(dict(variant=variant), rows, table)


def check_all(write):
    rows, planted = text_output.check_every_variant(write, print_line)
    table = text_output.align_columns([("variant", "options", "entries", *LAWS), *(
        (row["name"], str(len(row["settings"])), f"{row['entries']:,}", *law_numbers(row)) for row in rows)])
    return verdict(dict(mistakes=dict((family, n) for family, n, _ in planted)), rows, table)


LAWS = ("gradient", "decoding", "causality", "without gradient", "")


def law_numbers(row):
    """A row's numbers under LAWS"""
    return (f"{row['gradient']:.1e}", f"{row['decoding']:.1e}", f"{row['causality']:.1e}", ", ".join(row["life"]) or "none",
            "kept" if row["kept"] else "BROKEN")


def verdict(about, rows, table):
    kept = all(row["kept"] for row in rows)
    return Answer(dict(about, kept=kept, rows=rows), f"{table}\n\n{MEANING}", 0 if kept else 1)


MEANING = """gradient: largest relative error against finite differences, in float64; must be below 1e-6
decoding: largest difference between the outputs of decoding token by token and of all tokens at once; must be below 1e-10
causality: largest change of an output when a later token changes; must be 0, or rounding error if tokens are routed to experts
without gradient: trainable weights whose gradient is always 0; there must be none"""


@app.command
def microscope(guid: str = "last", text: Text | None = None, *, common: Everywhere = Common()):
    """Show what a run's baby computes on a text: losses, attention, predictions by layer, gradients, memory. Writes a page to outputs/.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        text: The text [the beginning of the run's completion].
    """
    print_line("running the model; this takes a few seconds")
    seen = plans.microscope(guid, text, common.path)
    path = plans.save_page(seen, "microscope", seen.name, common.path)
    data = dict(guid=seen.name, path=path and str(path), tokens=seen.tokens, loss=seen.loss, losses=seen.losses.tolist(),
                next=[dict(token=token, probability=float(p))
                      for token, p in zip(seen.visible_tokens(seen.top_ids[-1, -1]), seen.probabilities[-1, -1])],
                memory=seen.memory)
    return Answer(data, with_path(seen, path))


@app.command
def cause(guid: str = "last", text: Text | None = None, *, corrupted: Text | None = None, answer: Text | None = None,
          wrong: Text | None = None, ablation: str = "mean", quiet: bool = False, common: Everywhere = Common()):
    """Show why a run's baby predicts one continuation rather than another: what every head and network does. Writes a page to outputs/.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        text: The text [a story of the nursery up to a name; for other runs the end of the training text].
        corrupted: A text of as many tokens that is continued in another way, such as the text with another name.
        answer: The continuation that is explained [the most likely token].
        wrong: The continuation that it is compared with [the most likely token of the corrupted text, or the second likeliest one].
        ablation: What replaces the output of a part: zero, mean or resample.
        quiet: No progress bar.
    """
    found = plans.cause(guid, text, corrupted, answer, wrong, ablation, common.path, not quiet and not common.json)
    path = plans.save_page(found, "cause", found.name, common.path)
    data = dict(guid=found.name, path=path and str(path), tokens=found.tokens, corrupted=found.corrupted, answer=found.answer,
                wrong=found.wrong, probabilities=found.probabilities, difference=found.ablation.difference,
                strongest=[part._asdict() for part in found.strongest()])
    return Answer(data, with_path(found, path))


@app.command
def walk(variant: str, *, break_: Annotated[str | None, Parameter(name="--break")] = None, settings: Chosen = Settings(),
         common: Everywhere = Common(), **others: Others):
    """Trace an attention, network or norm line by line, forward and backward, with its numbers. Writes a page to outputs/.

    Args:
        variant: Name of the variant, such as mha, mlp or rmsnorm.
        break_: Name of a mistake to plant in a copy of the file; a walk without it lists the names.
    """
    traced = plans.walk(variant, **given_settings(settings, others))
    traced = traced if break_ is None else traced.break_(break_)
    path = plans.save_page(traced, "walk", variant if break_ is None else f"{variant}_{break_.replace(' ', '_')}", common.path)
    checks = {name: dict(error=error, allowed=allowed) for name, (error, allowed) in traced.checks.items()}
    data = dict(variant=variant, path=path and str(path), mistake=break_, mistakes=traced.mistakes, wrong=traced.wrong(), checks=checks)
    return Answer(data, with_path(traced, path))


@app.command
def diary(*guids: str, prompt: list[Text] | None = None, common: Everywhere = Common()):
    """Compare runs: losses, samples, cards, memorized text, and what a finetune changed. Writes a page to outputs/.

    Args:
        guids: The runs: their GUIDs, the first 4 or more characters of each, or last [last].
        prompt: A prompt that a finetuned baby and its base both continue; may be given several times.
    """
    print_line("comparing the runs; this takes some seconds for each finetune")
    found = plans.diary(*guids, prompts=prompt or (), path=common.path)
    path = plans.save_page(found, "diary", found.entries[0].name, common.path)
    return Answer(dict(path=path and str(path), runs=[entry.info for entry in found.entries]), with_path(found, path))


@app.command
def tour(*, class_: Annotated[str | None, Parameter(name=("--class",))] = None, common: Everywhere = Common()):
    """Show the lessons of the tour, which of their exercises are solved, and where the notebooks are.

    Args:
        class_: A folder that contains the learners' folders: show the progress of all of them, and write it to outputs/ as HTML and CSV.
    """
    if class_ is None:
        progress = plans.tour(common.path)
        return Answer(progress.data(), str(progress))
    print_line(f"reading the progress of every learner in {class_}")
    found = plans.class_progress(class_)
    saved = plans.save_class(found, common.path)
    files = [str(file) for file in saved]
    return Answer(found.data() | dict(files=files), "\n".join([str(found), "", *files]).rstrip())


@app.command
def catalog(name: str | None = None, *, write: str | None = None, all: bool = False, pictures: bool = False, measure: bool = False,
            common: Everywhere = Common()):
    """List all variants, tokenizers, presets and settings, as tables.

    Args:
        name: Show only this table: attentions, networks, norms, positions, optimizers, schedules, tokenizers, presets or config.
        write: Path of a page whose tables between <!-- catalog: NAME --> and <!-- end --> are renewed.
        all: Rewrite every generated file of a clone that is out of date: schemas, tables, the variants' pages, notebooks.
        pictures: With --all: also draw the pictures of the variants.
        measure: With --all: measure the laws of every variant again, for their pages and docs/laws.md; this takes minutes.
    """
    if all:
        return renewed(pictures, measure)
    if pictures or measure:
        raise BadInput(f"--{'pictures' if pictures else 'measure'} belongs to --all: littlebaby catalog --all --"
                       f"{'pictures' if pictures else 'measure'}")
    if write:
        text_output.renew_tables(write)
        return Answer(dict(path=write), f"the tables of {write} are up to date")
    return Answer(*text_output.catalog_tables(name))


def renewed(pictures, measure):
    written, total = plans.renew_generated(pictures, measure)
    return Answer(dict(written=written, files=total),
                  "\n".join([*(f"wrote {path}" for path in written), f"{len(written)} of {total} generated files were out of date"]))
