"""The plans from a shell. Every setting is an option; progress goes to stderr, results to stdout, with --json as one object.

Exit codes: 0 done, 1 failed run, 2 wrong use, 130 interrupted with everything saved.
"""
import json as js
import sys
from dataclasses import asdict
from inspect import Parameter as Argument
from inspect import signature
from pathlib import Path
from typing import Annotated, Optional

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CycloptsError

from . import plans
from .errors import BadInput, RunFailed
from .runs import records
from .show import card, catalog, preflight

app = App("littlebaby", version=records.VERSION, help="A whole GPT, forward and backward, written by hand: train one, take it apart.\n\n"
          "`littlebaby train` learns the embedded nursery and writes stories; `littlebaby COMMAND --help` tells more.")

Path_ = Annotated[Optional[str], Parameter(name="--path", help="The workspace: where inputs, models and outputs lie.")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print one machine-readable object and nothing else.")]
Quiet = Annotated[bool, Parameter(name="--quiet", negative=(), help="No progress.")]


def with_settings(command):
    """The command with every config key as an option, under its name with underscores or dashes, grouped and explained"""
    own = [p for p in signature(command).parameters.values() if p.kind != Argument.VAR_KEYWORD]
    groups = {name: Group(f"Settings: {name}", sort_key=1 + i) for i, name in enumerate(records.GROUPS)}
    options = [Argument(key.name, Argument.KEYWORD_ONLY, default=None, annotation=Annotated[Optional[str], Parameter(
        name=(f"--{key.name}", f"--{key.name.replace('_', '-')}"), group=groups[key.group], show_default=False,
        help=f"{key.meaning} {key.allowed}; {key.default}.")]) for key in records.keys()]
    command.__signature__ = signature(command).replace(parameters=own + options)
    return command


def show(json, record, text):
    """The result on stdout, as an object or as text"""
    print(js.dumps(record, ensure_ascii=False) if json else text)


def summary(run):
    """What a script wants to know of a run"""
    report = run.report
    return dict(guid=run.guid, stop_reason=report.stop_reason, best_step=report.best_step, best_valid_loss=report.best_valid_loss,
                nursery_floor=report.nursery_floor, tokens=report.figures.tokens, seconds=report.figures.seconds,
                completion=run.completion.text if run.completion else "")


def ended(run, json):
    """A finished run's card, or how to go on with an interrupted one"""
    show(json, summary(run), card.card(plans.info(run.guid, run.root)))
    if run.report.stop_reason == "interrupted":
        print(f"interrupted and saved; go on with: littlebaby train --resume {run.guid}", file=sys.stderr)
        return 130
    return 0


@app.command
@with_settings
def train(*, input: Optional[str] = None, preset: Optional[str] = None, config: Optional[str] = None, resume: Optional[str] = None,
          encoding: str = "utf-8", path: Path_ = None, json: Json = False, quiet: Quiet = False, **settings):
    """Train a baby on a text and keep it.

    Parameters
    ----------
    input
        A text file, or the name of one in inputs/; without it the nursery.
    preset
        A named set of settings; `littlebaby catalog` lists them.
    config
        A JSON file of settings.
    resume
        The GUID of an interrupted run, or last.
    encoding
        Of the text file.
    """
    return ended(plans.train(input, preset, config, path, resume, encoding, not quiet, **given(settings)), json)


@app.command
@with_settings
def finetune(guid: str, *, input: Optional[str] = None, encoding: str = "utf-8", path: Path_ = None, json: Json = False, quiet: Quiet = False,
             **settings):
    """Go on training a run's baby on another text, under a new name.

    Parameters
    ----------
    guid
        The run: its GUID, the first 4 or more characters of it, or last.
    input
        A text file, or the name of one in inputs/.
    encoding
        Of the text file.
    """
    return ended(plans.finetune(guid, input, path, encoding, not quiet, **given(settings)), json)


@app.command
def inference(guid: str = "last", *, prompt: str = "", max_tokens: int = 200, temperature: float = 0.8, top_k: int = 0, top_p: float = 1.0,
              min_p: float = 0.0, repetition_penalty: float = 1.0, stop: Optional[list[str]] = None, seed: Optional[int] = None,
              samples: int = 1, stream: bool = True, path: Path_ = None, json: Json = False):
    """Let a run's baby write.

    Parameters
    ----------
    guid
        The run: its GUID, the first 4 or more characters of it, or last.
    prompt
        What to go on from; empty begins a document.
    max_tokens
        Most tokens to write.
    temperature
        Below 1 surer, above 1 wilder, 0 always the likeliest.
    top_k
        Choose among that many; 0 among all.
    top_p
        Choose among the likeliest that together have this chance.
    min_p
        Choose among those at least this likely, measured by the likeliest.
    repetition_penalty
        Above 1 repeats less.
    stop
        A text that ends the writing; may be given several times.
    seed
        The same seed writes the same text.
    samples
        How many texts.
    stream
        Show the text as it comes.
    """
    live = stream and samples == 1 and not json
    tell = (lambda piece: print(piece, end="", flush=True)) if live else None
    if live:
        print(prompt, end="", flush=True)
    done = plans.inference(guid, prompt, max_tokens, temperature, top_k, top_p, min_p, repetition_penalty, stop or (), seed, samples, tell,
                           path)
    if done.replaced:
        said = ", ".join(f"{symbol!r} read as {by!r}" if by else f"{symbol!r} left out" for symbol, by in done.replaced.items())
        print(f"unknown to this baby: {said}", file=sys.stderr)
    texts = done.samples or [done.text]
    show(json, done.model_dump(mode="json"), "" if live else "\n\n---\n\n".join(prompt + text for text in texts))


@app.command
def delete(guid: str, *, finetuned: bool = False, yes: Annotated[bool, Parameter(negative=())] = False, path: Path_ = None, json: Json = False):
    """Remove all files of a run and of no other.

    Parameters
    ----------
    guid
        The run: its GUID, the first 4 or more characters of it, or last.
    finetuned
        Its finetunes too.
    yes
        Do not ask.
    """
    gone = plans.delete(guid, path, finetuned, yes, ask=lambda question: (print(question, end="", file=sys.stderr), input())[1])
    show(json, dict(deleted=gone), "\n".join(f"deleted {file}" for file in gone) or "nothing deleted")


@app.command
def info(guid: str = "last", *, path: Path_ = None, json: Json = False):
    """The card of a run: what it is, what it came to, what it writes.

    Parameters
    ----------
    guid
        The run: its GUID, the first 4 or more characters of it, or last.
    """
    record = plans.info(guid, path)
    show(json, record, card.card(record))


@app.command(name="list")
def list_(*, path: Path_ = None, json: Json = False):
    """All runs of a workspace."""
    runs = plans.runs(path)
    show(json, dict(runs=[dict(guid=run.name, time=run.time.isoformat(), bytes=run.bytes, damaged=run.damaged,
                               best_valid_loss=run.report and run.report.best_valid_loss) for run in runs]), card.listing(runs))


@app.command
def fetch(name: str, *, path: Path_ = None, json: Json = False):
    """Bring a text into inputs/.

    Parameters
    ----------
    name
        tinyshakespeare, or the URL of a text.
    """
    where = plans.fetch(name, path)
    show(json, dict(path=str(where)), str(where))


@app.command
def nursery(*, size: str = "300kB", seed: int = 0, path: Path_ = None, json: Json = False):
    """Write nursery stories, a text whose entropy is known, into inputs/.

    Parameters
    ----------
    size
        300kB, 10MB, 1GB.
    seed
        Other seeds tell other stories.
    """
    where = plans.nursery(size, seed, path)
    show(json, dict(path=str(where)), str(where))


@app.command(name="preflight")
@with_settings
def preflight_(*, input: Optional[str] = None, preset: Optional[str] = None, config: Optional[str] = None, encoding: str = "utf-8",
               path: Path_ = None, json: Json = False, **settings):
    """What a training would cost: parameters, minutes on this machine, memory, arithmetic.

    Parameters
    ----------
    input
        A text file, or the name of one in inputs/; without it the nursery.
    preset
        A named set of settings.
    config
        A JSON file of settings.
    encoding
        Of the text file.
    """
    plan = plans.preflight(input, preset, config, path, encoding, **given(settings))
    show(json, asdict(plan), preflight.table(plan))


@app.command
def check(variant: str, *, json: Json = False):
    """Run the laws on an attention, a network, a norm or a position and show the numbers.

    Parameters
    ----------
    variant
        Its file's name, such as mha.
    """
    rows = plans.check(variant)
    show(json, dict(variant=variant, rows=rows), card.verdict(variant, rows))
    return 0 if all(row["kept"] for row in rows) else 1


@app.command(name="catalog")
def catalog_(*, write: Optional[Path] = None, json: Json = False):
    """The tables of everything there is, made from the files themselves.

    Parameters
    ----------
    write
        A page whose catalog marks to fill, such as README.md.
    """
    tables = catalog.tables()
    if write:
        plans.refill(write)
    show(json, tables, "\n\n".join(f"## {name}\n\n{table}" for name, table in tables.items()) if not write else f"{write} is up to date")


def given(settings):
    """The settings that were typed"""
    return {key: value for key, value in settings.items() if value is not None}


def main(arguments=None):
    """Run a command and leave with its code; whatever goes wrong is one sentence"""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        sys.exit(app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0)
    except (CycloptsError, BadInput) as error:
        complain(arguments, str(error), 2)
    except RunFailed as error:
        complain(arguments, str(error), 1)
    except MemoryError:
        complain(arguments, "the memory is full: a smaller batch_size, n_ctx or n_emb needs less", 1)
    except KeyboardInterrupt:
        complain(arguments, "interrupted", 130)
    except BrokenPipeError:
        sys.exit(1)


def complain(arguments, sentence, code):
    """The sentence on stderr, and on stdout as an object where one was asked for"""
    if "--json" in arguments:
        print(js.dumps(dict(error=sentence)))
    print(f"littlebaby: {sentence}", file=sys.stderr)
    sys.exit(code)
