"""The plans from a shell: `littlebaby PLAN --any_config_key VALUE ...`, each command a few lines around the function of the same name.

A command returns an Answer: what --json prints, and what people read. Progress and complaints go to stderr. Exit codes: 0 done,
1 failed, 2 wrong use, 130 interrupted.
"""
import json as jsons
import os
import sys
import textwrap
from contextlib import suppress
from dataclasses import asdict, dataclass, make_dataclass
from difflib import get_close_matches
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Any, NamedTuple

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from . import plans
from .errors import BadInput, RunFailed, nearest, parsed, quoted
from .runs import disk, records
from .runs.store import brief
from .show.formatting import align_columns, align_pairs, format_bytes
from .training.mpi import launched_ranks

WELCOME = """littlebaby: a whole GPT, forward and backward, written by hand.

  littlebaby train                              learn the nursery's stories, in about two minutes
  littlebaby train --input my.txt --n_layers 6  learn a text of yours
  littlebaby inference last --prompt "Once"     let the newest one write
  littlebaby info last                          see what it came to
  littlebaby list                               all of them

`littlebaby --help` names every command, `littlebaby train --help` every setting."""


class Answer(NamedTuple):
    data: Any           # of plain types: what --json prints
    text: str           # what people read
    code: int = 0


# options: those of every command, and one for every setting

def show(console, _options, panel):
    """A group of options or commands in the help: name and meaning in two columns"""
    wide = 26
    if panel.entries:
        print(f"{panel.title}:", file=console.file)
    for entry in panel.entries:
        name = entry.positional_label or next(iter(entry.positive_names + entry.positive_shorts), "")
        meaning = "".join(segment.text for segment in console.render(entry.description or ""))
        default = f" [{entry.default}]" if entry.default else ""
        lines = textwrap.wrap(f"{' '.join(meaning.split())}{default}", max(30, get_terminal_size().columns - wide - 4))
        gap = [""] if len(name) >= wide else []
        print(f"  {name:<{wide}}" + f"\n{'':<{wide + 2}}".join(gap + lines), file=console.file)
    print(file=console.file)


flat = Parameter(name="*")
groups = {name: Group(f"Settings: {name}", sort_key=i + 1) for i, name in enumerate(records.GROUPS)}


def option(key):
    """A setting as an option, under its own name and with hyphens; what it may be is checked where all settings are"""
    default = str(key.default).lower() if isinstance(key.default, bool) else key.default
    return Annotated[str | None, Parameter(name=(f"--{key.name}", f"--{key.name.replace('_', '-')}"), group=groups[key.group],
                                           help=f"{key.meaning} [{default}]", show_default=False)]


Settings = make_dataclass("Settings", [(key.name, option(key), None) for key in records.keys()], kw_only=True,
                          namespace=dict(__module__=__name__))


@dataclass(kw_only=True)
class Common:
    path: Annotated[str | None, Parameter(help="The workspace; same: the current folder [LITTLEBABY_HOME, else the nearest folder from the "
                                                    "current one up that is a clone or has runs, else the current one].")] = None
    json: Annotated[bool, Parameter(help="Print one JSON object and nothing else.")] = False


Chosen = Annotated[Settings, flat]  # type: ignore[valid-type]  # made from the records, which mypy cannot follow
Everywhere = Annotated[Common, flat]
Others = Annotated[str, Parameter(show=False)]        # names that are no option's: older names of settings, and mistakes
Text = Annotated[str, Parameter(allow_leading_hyphen=True)]
Whole = Annotated[Any, Parameter(converter=lambda _, tokens: tokens[0].value)]      # a number is checked by the plan, `errors.number`
Real = Annotated[Any, Parameter(converter=lambda _, tokens: tokens[0].value)]
OPTIONS = ("input", "chat", "preset", "config", "resume", "encoding", "quiet", "path", "json")

app = App(name="littlebaby", help=WELCOME.splitlines()[0], version=records.VERSION, help_formatter=show, help_format="plaintext",
          suppress_keyboard_interrupt=False,
          default_parameter=Parameter(negative=(), name_transform=str,
                                    show_default=lambda value: "" if value is False or value == "" else value))


def chosen(settings, others):
    """The settings that were given, numbers as numbers. BadInput: a name that is nearly an option's"""
    others = {name.replace("-", "_"): value for name, value in others.items()}
    for name in others:
        near = get_close_matches(name, [*OPTIONS, *records.Config.model_fields, *records.ALIASES], 1, 0.6)
        if near and near[0] in OPTIONS:
            raise BadInput(f"--{name} is not an option; did you mean --{near[0]}?")
    given = {name: value for name, value in vars(settings).items() if value is not None}
    return {name: number(name, value) for name, value in (given | others).items()}


def number(name, value):
    """A setting's text as a number where it is to be one; what is none stays as it is, for Config to refuse"""
    field = records.Config.model_fields.get(records.ALIASES.get(name, name))
    found = parsed(value) if field and field.annotation is not str else None
    return value if found is None else found


# the five plans

@app.command
def train(input: list[str] | None = None, *, preset: str | None = None, config: str | None = None, resume: str | None = None,
          encoding: str = "utf-8", quiet: bool = False, settings: Chosen = Settings(), common: Everywhere = Common(), **others: Others):
    """Train a baby on a text and keep it; with no argument at all, on the nursery.

    Args:
        input: What to learn from: a text or token file, a name in inputs/, a folder, a pattern; several with commas, as a mixture with
            weights: a.tok:0.7,b.tok:0.3 [nursery].
        preset: A named set of settings; `littlebaby catalog presets` lists them [nursery].
        config: A JSON file of settings, applied over the preset.
        resume: An interrupted run to go on with: its GUID, or last for the newest of them.
        encoding: Text encoding.
        quiet: No progress bar and no samples during training.
    """
    run = plans.train(input, preset, config, common.path, resume, encoding, not quiet, **chosen(settings, others))
    return trained(run, common)


@app.command
def finetune(guid: str, input: list[str] | None = None, *, chat: str | None = None, encoding: str = "utf-8", quiet: bool = False,
             settings: Chosen = Settings(), common: Everywhere = Common(), **others: Others):
    """Finetune a run's baby on another text or on conversations, as a new run; the old run stays.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        input: What to learn from, as for train; its name alone does, after the run's.
        chat: A JSONL file of conversations in place of a text; only what the assistant says is learned.
        encoding: Text encoding.
        quiet: No progress bar and no samples during training.
    """
    return trained(plans.finetune(guid, input, common.path, encoding, not quiet, chat=chat, **chosen(settings, others)), common)


def trained(run, common):
    """What train and finetune answer: the card, or how to go on"""
    data = dict(guid=run.guid, workspace=str(run.root), config=plain(run.config), report=plain(run.report),
                completion=run.completion and plain(run.completion))
    if run.report.stop_reason == "interrupted":
        print_line(f"interrupted, and saved: `littlebaby train --resume {brief(run.guid)}` goes on")
        return Answer(data, "", 130)
    return Answer(data, "" if common.json else card(run.guid, run.root))


def card(guid, path):
    from .show.card import card

    return card(plans.info(guid, path))


@app.command
def inference(guid: str = "last", *, prompt: Text = "", max_tokens: Whole = 200, repetition_penalty: Real = 1.0, temperature: Real = 0.8,
              top_k: Whole = 0, top_p: Real = 1.0, min_p: Real = 0.0, stop: list[Text] | None = None, seed: Whole | None = None,
              samples: Whole = 1, stream: bool = False, draft: str | None = None, common: Everywhere = Common()):
    """Generate text with a run's baby. The settings from repetition_penalty to min_p are applied in the order of this list.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        prompt: The prompt to continue; empty starts a new document.
        max_tokens: Maximum number of tokens to generate.
        repetition_penalty: Repetition penalty: lowers the logits of tokens that occurred before; 1 changes nothing.
        temperature: Temperature: logits are divided by it; below 1 favours likely tokens, above 1 unlikely ones; 0 always takes the
            likeliest.
        top_k: Top-k sampling: keep only the k likeliest tokens; 0 keeps all.
        top_p: Nucleus sampling: keep the smallest set of tokens whose probabilities sum to at least p.
        min_p: Min-p sampling: keep tokens with at least this fraction of the likeliest token's probability.
        stop: A string that ends generation; may be given several times.
        seed: Random seed: the same seed gives the same text; drawn at random if not given.
        samples: Number of texts to generate.
        stream: Print the text while it is generated.
        draft: Speculative decoding: a smaller run with the same tokenizer that drafts tokens; changes the time, not the distribution.
    """
    pieces = stream and not common.json and (lambda piece: print(piece, end="", flush=True))
    if pieces:
        pieces(prompt)
    done = plans.inference(guid, prompt, max_tokens, repetition_penalty=repetition_penalty, temperature=temperature, top_k=top_k,
                           top_p=top_p, min_p=min_p, stop=stop or (), seed=seed, samples=samples, stream=pieces or None, path=common.path,
                           draft=draft)
    if pieces:
        pieces("\n")
    if done.replaced:
        print_line(unknown_characters_note(done.replaced))
    texts = done.samples or [done.text]
    return Answer(plain(done), "" if pieces else "\n\n---\n\n".join(prompt + text for text in texts))


@app.command
def chat(guid: str = "last", *, system: Text = "", template: str | None = None, max_tokens: Whole = 200,
         repetition_penalty: Real = 1.0, temperature: Real = 0.8, top_k: Whole = 0, top_p: Real = 1.0, min_p: Real = 0.0,
         seed: Whole | None = None,
         common: Everywhere = Common()):
    """Chat with a run's baby, best one finetuned with --chat. Commands: /reset, /save, /temp 0.5, /quit; Ctrl-C ends an answer.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        system: The system message.
        template: Chat template: kodalite, chatml or plain [the run's own].
        max_tokens: Maximum number of tokens of an answer.
        repetition_penalty: Repetition penalty: lowers the logits of tokens that occurred before; 1 changes nothing. It is applied
            first, then the next four in this order.
        temperature: Temperature: logits are divided by it; below 1 favours likely tokens, above 1 unlikely ones; 0 always takes the
            likeliest.
        top_k: Top-k sampling: keep only the k likeliest tokens; 0 keeps all.
        top_p: Nucleus sampling: keep the smallest set of tokens whose probabilities sum to at least p.
        min_p: Min-p sampling: keep tokens with at least this fraction of the likeliest token's probability.
        seed: Random seed: the same seed gives the same answers; drawn at random if not given.
    """
    talk = plans.chat(guid, system, template, max_tokens, repetition_penalty=repetition_penalty, temperature=temperature, top_k=top_k,
                      top_p=top_p, min_p=min_p, seed=seed, path=common.path)
    at_a_desk = sys.stdin.isatty()
    if at_a_desk:
        print_line(f"{', '.join(COMMANDS)}; an empty line is nothing, Ctrl-C ends an answer")
    while (line := read_line(at_a_desk)) is not None and line != "/quit":
        if line.startswith("/"):
            print_line(run_command(talk, line))
        elif line:
            print_answer(talk, line, common.json)
    return Answer(dict(talk.record(), guid=guid), "")


COMMANDS = ("/reset", "/save", "/temp NUMBER", "/quit")


def read_line(at_a_desk):
    """The next line without its end, a command also without what stands before it; None where there is none"""
    if not at_a_desk:
        line = sys.stdin.readline()
        if not line:
            return None
    else:
        try:
            line = input("> ")
        except EOFError:
            print_line("")
            return None
    return line.strip() if line.strip().startswith("/") else line.rstrip()


def run_command(talk, line):
    """What to say after a command, or why it is none"""
    word, _, rest = line.partition(" ")
    try:
        if word == "/reset":
            talk.reset()
            return "forgotten"
        if word == "/save":
            return f"saved as {talk.save()}; `littlebaby finetune --chat` reads it"
        if word == "/temp":
            talk.set_temperature(rest)
            return f"temperature {talk.sampling.temperature}"
        return nearest("the command", word, [each.split()[0] for each in COMMANDS])
    except BadInput as error:
        return str(error)


def print_answer(talk, line, silent):
    """Print the answer as it comes; Ctrl-C ends it, and what was said until then stays said"""
    if unknown := talk.baby.tokenizer.unknown_in(line):
        print_line(unknown_characters_note(unknown))
    pieces = talk.stream(line)
    try:
        for piece in pieces:
            if not silent:
                print(piece, end="", flush=True)
    except KeyboardInterrupt:
        pieces.close()
        print_line(" ...")
    if not silent:
        print(flush=True)
    if talk.forgotten:
        print_line(f"({talk.forgotten} messages are out of view)")


def unknown_characters_note(replaced):
    return "unknown to this baby: " + ", ".join(f"{old!r} read as {new!r}" if new else f"{old!r} left out" for old, new in replaced.items())


@app.command
def evaluate(guid: str = "last", *, input: str | None = None, task: str | None = None, limit: Whole = 0, overlap: Real | None = None,
             encoding: str = "utf-8", quiet: bool = False, common: Everywhere = Common()):
    """Evaluate a run's baby: perplexity and bits of a text, and accuracy on a task.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        input: A text file, or the name of one in inputs/.
        task: A JSONL file of questions, or one that the package datasets brings: arc_challenge, arc_easy, boolq, hellaswag, lambada,
            openbookqa, piqa, winogrande.
        limit: Maximum number of questions; 0 means all.
        overlap: Fraction of a window that is context only, not scored [the run's r_eval_overlap].
        encoding: Text encoding.
        quiet: No progress.
    """
    found = plans.evaluate(guid, input, task, common.path, encoding, limit, overlap, not quiet)
    return Answer({name: part and asdict(part) for name, part in found.items()}, "\n\n".join(
        align_pairs([(key.replace("_", " "), figure(value)) for key, value in asdict(part).items()]) for part in found.values() if part))


def figure(value):
    """A number of an evaluation, or an accuracy with its standard error, in words"""
    if isinstance(value, dict):
        return f"{value['accuracy']:.4f} ± {value['error']:.4f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


@app.command
def delete(guid: str, *, finetuned: bool = False, yes: bool = False, common: Everywhere = Common()):
    """Remove all files of a run, and of no other.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        finetuned: Its finetunes, too.
        yes: Ask nothing.
    """
    gone = plans.delete(guid, common.path, finetuned, yes, ask)
    return Answer(dict(deleted=gone), f"{len(gone)} files deleted" if gone else "nothing deleted")


def ask(question):
    print(question, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        print_line("")
        raise BadInput("nobody answered; --yes deletes without asking")
    return answer


@app.command
def info(guid: str = "last", *, common: Everywhere = Common()):
    """Show the card of a run: model, training data, results and files.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
    """
    return Answer(plans.info(guid, common.path), "" if common.json else card(guid, common.path))


# companions

@app.command(name="list")
def list_(*, common: Everywhere = Common()):
    """Every run of the workspace, the oldest first."""
    from .show.card import run_list

    runs = plans.runs(common.path)
    rows = [dict(guid=run.name, time=run.time.isoformat(), bytes=run.bytes, config=run.config and plain(run.config),
                 stop_reason=run.report and run.report.stop_reason, best_valid_loss=run.report and run.report.best_valid_loss,
                 resumable=run.resumable, in_use=run.in_use, damaged=run.damaged) for run in runs]
    return Answer(dict(runs=rows), run_list(runs))


@app.command
def fetch(name: str, *, common: Everywhere = Common()):
    """Bring a text into inputs/.

    Args:
        name: tinyshakespeare, tinystories, tinystories_valid, fineweb_edu, a URL (#sha256=... at its end is checked), datasets:NAME, or a
            text file of NLTK's or Kaggle's on this machine.
    """
    return brought_file(plans.fetch(name, common.path))


@app.command
def nursery(text_size: Annotated[str, Parameter(name=("--size",))] = "300kB", *, seed: Whole = 0, common: Everywhere = Common()):
    """Generate stories of known entropy into inputs/.

    Args:
        text_size: How much: 300kB, 10MB, 1GB.
        seed: Which stories.
    """
    return brought_file(plans.nursery(text_size, seed, common.path))


@app.command
def pack(guid: str = "last", *, common: Everywhere = Common()):
    """Pack all files of a run into one zip; unzip it in another workspace to have the run there.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
    """
    return brought_file(plans.pack(guid, common.path))


@app.command
def prepare(input: list[str], *, output: str | None = None, tokenizer: str = "char", s_vocabulary: Whole = 4096, c_unknown: str = "replace",
            encoding: str = "utf-8", field: str = "text", text_size: Annotated[str | None, Parameter(name=("--size",))] = None,
            workers: Whole = 0, quiet: bool = False, common: Everywhere = Common()):
    """Turn texts of any size into a token file, from which train reads only what it needs.

    Args:
        input: Text files, folders, patterns, several with commas; .txt .md .jsonl .parquet .gz, or datasets:NAME.
        output: Where the token file goes [inputs/NAME.tok].
        tokenizer: char, word or bpe, which learn from the text, a tokenizer.json, or the GUID of a run.
        s_vocabulary: Vocabulary size for word and bpe.
        c_unknown: Unknown characters become their nearest known form (replace), or an error.
        encoding: Text encoding.
        field: The field of .jsonl lines, the column of .parquet rows.
        text_size: Read no further than this: 300kB, 1GB.
        workers: Processes; 0 means one a core.
        quiet: No progress.
    """
    return brought_file(plans.prepare(input, output, tokenizer, s_vocabulary, c_unknown, encoding, field, text_size, workers, common.path,
                                      not quiet))


def brought_file(path):
    return Answer(dict(path=str(path), bytes=path.stat().st_size), f"{path}  {format_bytes(path.stat().st_size)}")


@app.command
def preflight(input: list[str] | None = None, *, preset: str | None = None, config: str | None = None, encoding: str = "utf-8",
              quick: bool = False, settings: Chosen = Settings(), common: Everywhere = Common(), **others: Others):
    """Estimate what a training would cost: parameters, FLOPs, memory, and minutes on this machine. It takes the options of train.

    Args:
        input: What to learn from, as for train [nursery].
        preset: A named set of settings [nursery].
        config: A JSON file of settings, applied over the preset.
        encoding: Text encoding.
        quick: Skip the trial steps, and with them the time estimate.
    """
    from .show.estimate_tables import preflight_table

    about = plans.preflight(input, preset, config, common.path, encoding, not quick, **chosen(settings, others))
    return Answer(asdict(about) | dict(total=about.total), preflight_table(about))


@app.command
def bench(*sizes: str, quiet: bool = False, common: Everywhere = Common()):
    """Measure this machine: a training step, its matrix products alone, and generation, in half a minute.

    Args:
        sizes: S0, S1, S2 or S3, the sizes of docs/benchmarks.md [all].
        quiet: No progress.
    """
    from .show.estimate_tables import bench_table

    found = plans.bench(sizes, not quiet and not common.json)
    return Answer([asdict(each) for each in found], bench_table(found))


@app.command(name="import")
def import_(where: str, *, common: Everywhere = Common()):
    """Import a model from files of another program as a run.

    Args:
        where: A Hugging Face folder, a .gguf, a .safetensors beside its config.json, a model_GUID.json of The Little Baby.
    """
    run = plans.import_(where, common.path, not common.json)
    return Answer(dict(guid=run.guid, workspace=str(run.root), config=plain(run.config)), "" if common.json else card(run.guid, run.root))


@app.command
def export(guid: str = "last", *, to: str = "huggingface", d_type: str | None = None, out: str | None = None,
           common: Everywhere = Common()):
    """Write a run's model for other programs.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        to: huggingface for transformers, gguf for llama.cpp, safetensors or npz for littlebaby.
        d_type: Type of the numbers: fp32, fp16, bf16, fp64; for gguf fp32, fp16, q8_0 [the model's own].
        out: The folder [exports/GUID_TO in the workspace].
    """
    done = plans.export(guid, to, d_type, out, common.path)
    for note in done.notes:
        print_line(note)
    sizes = [(str(file), format_bytes(file.stat().st_size)) for file in done.files]
    return Answer(dict(guid=done.guid, to=done.to, d_type=done.d_type, folder=str(done.folder), files=[file for file, _ in sizes],
                       notes=list(done.notes)), "\n".join(f"{file}  {bytes_}" for file, bytes_ in sizes))


@app.command
def check(variant: str | None = None, *, all: bool = False, write: str | None = None, common: Everywhere = Common()):
    """Check the laws for one attention, network, norm or position, or for all: gradient, decoding, causality, life.

    Args:
        variant: Its name: mha, mlp, rmsnorm, rope.
        all: Every one of them; this takes minutes.
        write: A page for all of them, the planted mistakes counted, too; docs/laws.md is made so.
    """
    if all or write:
        return check_all(write)
    if variant is None:
        raise BadInput("check asks for a variant, such as mha, or for --all")
    rows = plans.check(variant)
    table = align_columns([("settings", *LAWS), *(
        (" ".join(f"{key}={value}" for key, value in row["settings"].items()) or "defaults", *law_numbers(row)) for row in rows)])
    return judged(dict(variant=variant), rows, table)


def check_all(write):
    from .show import laws_report

    planted = laws_report.mistakes() if write else []
    rows = laws_report.verdict_rows(plans.check, print_line)
    if write:
        disk.write_file(Path(write), [laws_report.laws_page(rows, planted).encode()])
    table = align_columns([("variant", "options", "entries", *LAWS), *(
        (row["name"], str(len(row["settings"])), f"{row['entries']:,}", *law_numbers(row)) for row in rows)])
    return judged(dict(mistakes=dict((family, n) for family, n, _ in planted)), rows, table)


LAWS = ("gradient", "decoding", "causality", "without gradient", "")


def law_numbers(row):
    """A row's numbers under LAWS"""
    return (f"{row['gradient']:.1e}", f"{row['decoding']:.1e}", f"{row['causality']:.1e}", ", ".join(row["life"]) or "none",
            "kept" if row["kept"] else "BROKEN")


def judged(about, rows, table):
    kept = all(row["kept"] for row in rows)
    return Answer(dict(about, kept=kept, rows=rows), f"{table}\n\n{MEANING}", 0 if kept else 1)


MEANING = """gradient: the worst relative error against differences, in float64; below 1e-6
decoding: token by token against all at once; below 1e-10
causality: what a later token changes in earlier ones; 0, and rounding where tokens are routed"""


@app.command
def microscope(guid: str = "last", *, text: Text | None = None, common: Everywhere = Common()):
    """Show what happens inside a run's baby on a text: losses, attention, predictions by layer, gradients, memory, as a page in outputs/.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        text: What it is to read; without it, the beginning of what it wrote itself.
    """
    print_line("reading, a few seconds")
    seen = plans.microscope(guid, text, common.path)
    path = plans.save_page(seen, "microscope", seen.name, common.path)
    data = dict(guid=seen.name, path=path and str(path), tokens=seen.tokens, loss=seen.loss, losses=seen.losses.tolist(),
                next=[dict(token=token, chance=float(p)) for token, p in zip(seen.spell(seen.top[-1, -1]), seen.odds[-1, -1])],
                memory=seen.memory)
    return Answer(data, with_path(seen, path))


def with_path(page, path):
    """A page in words and where it was kept, if it was"""
    return f"{page}\n\n{path}" if path else str(page)


@app.command
def walk(variant: str, *, break_: Annotated[str | None, Parameter(name="--break")] = None, settings: Chosen = Settings(),
         common: Everywhere = Common(), **others: Others):
    """Trace an attention, network or norm line by line, forward and backward, with its numbers, as a page in outputs/.

    Args:
        variant: Its name: mha, mlp, rmsnorm.
        break_: A mistake to plant in a copy of it; the walk without one lists them.
    """
    gone = plans.walk(variant, **chosen(settings, others))
    gone = gone if break_ is None else gone.break_(break_)
    path = plans.save_page(gone, "walk", variant if break_ is None else f"{variant}_{break_.replace(' ', '_')}", common.path)
    checks = {name: dict(error=error, allowed=allowed) for name, (error, allowed) in gone.checks.items()}
    data = dict(variant=variant, path=path and str(path), mistake=break_, mistakes=gone.mistakes, wrong=gone.wrong(), checks=checks)
    return Answer(data, with_path(gone, path))


@app.command
def diary(*guids: str, prompt: list[Text] | None = None, common: Everywhere = Common()):
    """Compare runs: losses, samples, cards, memorised text, what a finetune changed, as a page in outputs/.

    Args:
        guids: The runs: their GUIDs, the first 4 or more characters of each, or last.
        prompt: What a finetuned baby and its base are both to go on from; may be given several times.
    """
    print_line("looking through the runs, some seconds for each finetune")
    told = plans.diary(*guids, prompts=prompt or (), path=common.path)
    path = plans.save_page(told, "diary", told.entries[0].name, common.path)
    return Answer(dict(path=path and str(path), runs=[entry.info for entry in told.entries]), with_path(told, path))


@app.command
def catalog(name: str | None = None, *, write: str | None = None, all: bool = False, pictures: bool = False, measure: bool = False,
            common: Everywhere = Common()):
    """List what can be chosen, as tables: variants, tokenizers, presets, settings.

    Args:
        name: One table alone: attentions, networks, norms, positions, optimizers, schedules, tokenizers, presets or config.
        write: A page whose tables, between <!-- catalog: NAME --> and <!-- end -->, are to be renewed.
        all: Write every generated file of a clone that is out of date: schemas, tables of all pages, the variants' pages, notebooks.
        pictures: With --all: the variants' pictures, too.
        measure: With --all: measure the laws of every variant anew, for their pages and docs/laws.md; this takes minutes.
    """
    from .show import catalog as made

    if all:
        return renewed(pictures, measure)
    if pictures or measure:
        raise BadInput(f"--{'pictures' if pictures else 'measure'} belongs to --all: littlebaby catalog --all --"
                       f"{'pictures' if pictures else 'measure'}")
    if write:
        page = Path(write)
        disk.write_file(page, [made.fill(disk.read_bytes(page).decode()).encode()])
        return Answer(dict(path=write), f"{write} is current")
    tables = made.catalog()
    if name is not None:
        if name not in tables:
            raise BadInput(records.nearest("catalog", name, tables))
        tables = {name: tables[name]}
    return Answer(tables, "\n\n".join(f"## {each}\n\n{made.markdown_table(each, rows)}" for each, rows in tables.items()))


def renewed(pictures, measure):
    written, total = plans.renew_generated(pictures, measure)
    return Answer(dict(written=written, files=total),
                  "\n".join([*(f"wrote {path}" for path in written), f"{len(written)} of {total} generated files were out of date"]))


for place, command in enumerate(app):
    app[command].sort_key = place


# from a shell's words to an exit code

def main(words=None):
    """Run a command line (None: this process's own) and return its exit code"""
    words = sys.argv[1:] if words is None else list(words)
    machine = "--json" in words
    if not words:
        print(WELCOME)
        return 0
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")     # a console that lacks a letter shows a question mark
    try:
        answer = app(words, exit_on_error=False, print_error=False, verbose=False, result_action="return_value")
        if isinstance(answer, Answer):
            if not is_first_process():
                return answer.code
            if machine:
                print(jsons.dumps(answer.data, default=str))
            elif answer.text:
                print(answer.text)
            return answer.code
        return 0
    except CycloptsError as error:
        return print_error(misread(error), 2, machine)
    except BadInput as error:
        return print_error(str(error), 2, machine)
    except RunFailed as error:
        return print_error(str(error), 1, machine)
    except MemoryError:
        return print_error("there is not enough memory: lower batch_size, n_ctx, n_emb or n_layers; `littlebaby preflight` tells what a "
                           "training needs", 1, machine)
    except KeyboardInterrupt:
        return print_error("interrupted", 130, machine)
    except BrokenPipeError:                          # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def misread(error):
    """The sentence for words that are no command line of ours"""
    chain = " ".join(error.command_chain or ())
    see = f"; `littlebaby {chain} --help` lists what there is" if chain else "; `littlebaby --help` lists what there is"
    extra = (error.unused_tokens or [""])[0]
    match error:
        case UnknownCommandError():
            return nearest("the command", extra, [name for name in app if not name.startswith("-")])
        case UnknownOptionError():
            return stranger(error.token.keyword or error.token.value, error.argument_collection) + see
        case UnusedCliTokensError():
            if extra.startswith("-"):
                return stranger(extra, error.argument_collection if hasattr(error, "argument_collection") else ()) + see
            return f"{quoted(extra)} is one word too many: `littlebaby {chain}` takes no further one without an option before it{see}"
        case MissingArgumentError():
            name = error.argument.name.lstrip("-").upper() if error.argument else "an argument"
            return (f"{error.keyword} needs a value" if error.keyword else f"`littlebaby {chain}` needs {name}") + see
        case RepeatArgumentError():
            return f"{error.token.keyword} is given twice; once is allowed"
        case CoercionError():
            token, name = error.token, (error.token and error.token.keyword) or (error.argument and error.argument.name) or "an option"
            allowed = "true or false" if error.target_type is bool else "a text"
            return f"{name} is {quoted(token.value) if token else 'missing'}; allowed is {allowed}{see}"
    return f"{str(error).rstrip('.')}{see}"


def stranger(word, arguments):
    """The sentence for an option that a command does not have"""
    word = word.split("=")[0]
    near = get_close_matches(word, [name for argument in arguments for name in argument.names], 1, 0.6)
    return f"{word} is not an option" + (f"; did you mean {near[0]}?" if near else "")


def print_error(sentence, code, machine):
    print_line(sentence)
    if machine and is_first_process():
        print(jsons.dumps(dict(error=sentence, code=code)))
    return code


def print_line(line):
    if is_first_process():
        print(line, file=sys.stderr)


def is_first_process():
    """Whether this process prints: a single process, or rank 0"""
    with suppress(BadInput):
        return launched_ranks().first
    return True


def plain(record):
    return record.model_dump(mode="json")
