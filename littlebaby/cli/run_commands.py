"""The commands that create and use runs: train, finetune, inference, chat, evaluate, delete, info, list."""
import sys
from dataclasses import asdict

from .. import plans
from ..errors import BadInput, nearest
from ..plans import text_output
from .answers import Answer, plain, print_line
from .options import Chosen, Common, Everywhere, Others, Real, Settings, Text, Whole, app, given_settings


@app.command
def train(input: list[str] | None = None, *, preset: str | None = None, config: str | None = None, resume: str | None = None,
          encoding: str = "utf-8", quiet: bool = False, settings: Chosen = Settings(), common: Everywhere = Common(), **others: Others):
    """Train a baby on a text and save it; without arguments, on the nursery.

    Args:
        input: The training text: a text or token file, a name in inputs/, a folder, or a pattern such as a*.txt; several are
            separated by commas and may have weights, a.tok:0.7,b.tok:0.3 [nursery].
        preset: A named set of settings; `littlebaby catalog presets` lists them [nursery; characters for another text].
        config: A JSON file of settings. With it, no preset is used; with --preset, its settings override the preset's.
        resume: Resume an interrupted run: its GUID, or last for the newest interrupted run.
        encoding: Encoding of the text.
        quiet: No progress bar and no samples during training.
    """
    run = plans.train(input, preset, config, common.path, resume, encoding, not quiet, **given_settings(settings, others))
    return trained(run, common)


@app.command
def finetune(guid: str, input: list[str] | None = None, *, chat: str | None = None, encoding: str = "utf-8", quiet: bool = False,
             settings: Chosen = Settings(), common: Everywhere = Common(), **others: Others):
    """Finetune a run's baby on another text or on conversations. The result is a new run; the old run is kept.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        input: The training text, as for train; it may also be given after GUID without --input.
        chat: A JSONL file of conversations instead of a text; the loss counts only the assistant's tokens.
        encoding: Encoding of the text.
        quiet: No progress bar and no samples during training.
    """
    return trained(plans.finetune(guid, input, common.path, encoding, not quiet, chat=chat, **given_settings(settings, others)), common)


@app.command
def school(guid: str = "last", *, reward: str | None = None, prompts: str | None = None, pairs: str | None = None,
           encoding: str = "utf-8", quiet: bool = False, settings: Chosen = Settings(), common: Everywhere = Common(), **others: Others):
    """Train a run's baby on its own samples, which a reward judges, or on pairs of texts. The result is a new run; the old run is kept.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        reward: The same as --c_reward, nursery, sums, format or length, or the GUID of a reward model [nursery].
        prompts: A file with a prompt in each line, with which the samples begin [every sample begins a new document].
        pairs: A JSONL file of pairs instead of a reward, {"prompt": ..., "chosen": ..., "rejected": ...} in each line, for dpo; with
            --c_school reward_model a model learns from them to judge.
        encoding: Encoding of the files.
        quiet: No progress bar and no samples during training.
    """
    run = plans.school(guid, reward, prompts or (), pairs, common.path, None, encoding, not quiet, **given_settings(settings, others))
    return trained(run, common)


def trained(run, common):
    """The answer of train and finetune: the run's card, or after an interruption how to resume"""
    data = dict(guid=run.guid, workspace=str(run.root), config=plain(run.config), report=plain(run.report),
                completion=run.completion and plain(run.completion))
    if run.report.stop_reason == "interrupted":
        print_line(f"interrupted and saved; {plans.resume_hint(run.guid, run.root)}")
        return Answer(data, "", 130)
    return Answer(data, "" if common.json else f"{text_output.card(run.guid, run.root)}\n\n{text_output.next_steps(run.guid, run.root)}")


@app.command
def inference(guid: str = "last", prompt: Text = "", *, max_tokens: Whole = 200, repetition_penalty: Real = 1.0, temperature: Real = 0.8,
              top_k: Whole = 0, top_p: Real = 1.0, min_p: Real = 0.0, stop: list[Text] | None = None, seed: Whole | None = None,
              samples: Whole = 1, stream: bool = False, draft: str | None = None, steer: list[Text] | None = None,
              common: Everywhere = Common()):
    """Generate text with a run's baby.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        prompt: The prompt to continue; empty starts a new document.
        max_tokens: Maximum number of tokens to generate.
        repetition_penalty: Repetition penalty: lowers the logits of tokens that occurred before; 1 changes nothing. This and the next
            four settings are applied in this order.
        temperature: Temperature: logits are divided by it; below 1 favours likely tokens, above 1 unlikely ones; 0 always takes the
            most likely token.
        top_k: Top-k sampling: keep only the k most likely tokens; 0 keeps all.
        top_p: Nucleus sampling: keep the smallest set of the most likely tokens whose probabilities sum to at least top_p.
        min_p: Min-p sampling: keep tokens with at least this fraction of the highest probability.
        stop: A string that ends generation; may be given several times.
        seed: Random seed: the same seed gives the same text; drawn at random if not given.
        samples: Number of texts to generate.
        stream: Print the text while it is generated.
        draft: Speculative decoding: a smaller run with the same tokenizer that drafts tokens. This changes the speed, not the
            distribution of the text.
        steer: NAME:STRENGTH: a saved direction, see `littlebaby direction`, and its factor, such as red:2; may be given several times.
    """
    pieces = stream and not common.json and (lambda piece: print(piece, end="", flush=True))
    if pieces:
        pieces(prompt)
    done = plans.inference(guid, prompt, max_tokens, repetition_penalty=repetition_penalty, temperature=temperature, top_k=top_k,
                           top_p=top_p, min_p=min_p, stop=stop or (), seed=seed, samples=samples, stream=pieces or None, path=common.path,
                           draft=draft, steer=strengths(steer or ()))
    if pieces:
        pieces("\n")
    texts = done.samples or [done.text]
    return Answer(plain(done), "" if pieces else "\n\n---\n\n".join(prompt + text for text in texts),
                  note=text_output.completion_note(done))


def strengths(words):
    """{name: strength} of words NAME:STRENGTH"""
    pairs = [word.rpartition(":") for word in words]
    for word, (name, _, strength) in zip(words, pairs):
        if not name or not strength:
            raise BadInput(f"--steer is {word!r}; allowed is NAME:STRENGTH, such as red:2")
    return {name: strength for name, _, strength in pairs}


@app.command
def chat(guid: str = "last", *, system: Text = "", template: str | None = None, max_tokens: Whole = 200,
         repetition_penalty: Real = 1.0, temperature: Real = 0.8, top_k: Whole = 0, top_p: Real = 1.0, min_p: Real = 0.0,
         seed: Whole | None = None, common: Everywhere = Common()):
    """Chat with a run's baby, preferably one finetuned with --chat. Commands: /reset, /save, /temp 0.5, /quit; Ctrl-C ends an answer.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        system: The system message at the beginning of the conversation.
        template: Chat template: kodalite, chatml, plain or line [the run's own].
        max_tokens: Maximum number of tokens of an answer.
        repetition_penalty: Repetition penalty: lowers the logits of tokens that occurred before; 1 changes nothing. This and the next
            four settings are applied in this order.
        temperature: Temperature: logits are divided by it; below 1 favours likely tokens, above 1 unlikely ones; 0 always takes the
            most likely token.
        top_k: Top-k sampling: keep only the k most likely tokens; 0 keeps all.
        top_p: Nucleus sampling: keep the smallest set of the most likely tokens whose probabilities sum to at least top_p.
        min_p: Min-p sampling: keep tokens with at least this fraction of the highest probability.
        seed: Random seed: the same seed gives the same answers; drawn at random if not given.
    """
    talk = plans.chat(guid, system, template, max_tokens, repetition_penalty=repetition_penalty, temperature=temperature, top_k=top_k,
                      top_p=top_p, min_p=min_p, seed=seed, path=common.path)
    interactive = sys.stdin.isatty()
    if note := text_output.chat_note(guid, common.path):
        print_line(note)
    if interactive:
        print_line(f"commands: {', '.join(COMMANDS)}; Ctrl-C ends an answer")
    while (line := read_line(interactive)) is not None and line != "/quit":
        if line.startswith("/"):
            print_line(run_command(talk, line))
        elif line:
            print_answer(talk, line, common.json)
    return Answer(dict(talk.record(), guid=guid), "")


COMMANDS = ("/reset", "/save", "/temp NUMBER", "/quit")


def read_line(interactive):
    """The next line of input, without spaces around a command; None at the end of the input"""
    if not interactive:
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
    """Carry out a chat command; returns the line to print"""
    word, _, rest = line.partition(" ")
    try:
        if word == "/reset":
            talk.reset()
            return "a new conversation begins"
        if word == "/save":
            return f"saved as {talk.save()}; `littlebaby finetune --chat` reads it"
        if word == "/temp":
            talk.set_temperature(rest)
            return f"temperature {talk.sampling.temperature}"
        return nearest("the command", word, [each.split()[0] for each in COMMANDS])
    except BadInput as error:
        return str(error)


def print_answer(talk, line, silent):
    """Print the answer while it is generated; Ctrl-C ends it, and the part generated so far stays in the conversation"""
    if note := text_output.unknown_in(talk.baby.tokenizer, line):
        print_line(note)
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
        print_line(f"({talk.forgotten} earlier messages no longer fit the context)")


@app.command
def evaluate(guid: str = "last", input: str | None = None, *, task: str | None = None, limit: Whole = 0, overlap: Real | None = None,
             encoding: str = "utf-8", quiet: bool = False, common: Everywhere = Common()):
    """Evaluate a run's baby: perplexity and bits per byte of a text, accuracy on a task.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        input: A text file, or the name of one in inputs/.
        task: A JSONL file of questions, or a task of the package datasets: arc_challenge, arc_easy, boolq, hellaswag, lambada,
            openbookqa, piqa, winogrande.
        limit: Maximum number of questions; 0 means all.
        overlap: Fraction of a window that is context only, not scored [the run's r_eval_overlap].
        encoding: Encoding of the text.
        quiet: No progress bar.
    """
    found = plans.evaluate(guid, input, task, common.path, encoding, limit, overlap, not quiet)
    parts = {name: part and asdict(part) for name, part in found.items()}
    return Answer(parts, "\n\n".join(text_output.align_pairs([(key.replace("_", " "), figure(value)) for key, value in part.items()])
                                      for part in parts.values() if part))


def figure(value):
    """A number of an evaluation, or an accuracy with its standard error, as text"""
    if isinstance(value, dict):
        return f"{value['accuracy']:.4f} ± {value['error']:.4f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"


@app.command
def delete(guid: str, *, finetuned: bool = False, yes: bool = False, common: Everywhere = Common()):
    """Delete all files of a run.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
        finetuned: Also delete the runs that were finetuned from it.
        yes: Delete without asking.
    """
    gone = plans.delete(guid, common.path, finetuned, yes, ask)
    return Answer(dict(deleted=gone), f"{text_output.plural(len(gone), 'file')} deleted" if gone else "nothing deleted")


def ask(question):
    print(question, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        print_line("")
        raise BadInput("no answer; --yes deletes without asking")
    return answer


@app.command
def info(guid: str = "last", *, common: Everywhere = Common()):
    """Show the card of a run: model, training data, results and files.

    Args:
        guid: The run: its GUID, the first 4 or more characters of it, or last.
    """
    return Answer(plans.info(guid, common.path), "" if common.json else text_output.card(guid, common.path))


@app.command(name="list")
def list_(*, common: Everywhere = Common()):
    """List the runs of the workspace, the oldest first, and the trained babies that come with littlebaby."""
    runs, babies = plans.runs(common.path), plans.babies(common.path)
    row = lambda run: dict(guid=run.name, time=run.time.isoformat(), bytes=run.bytes, config=run.config and plain(run.config),
                           stop_reason=run.report and run.report.stop_reason, best_valid_loss=run.report and run.report.best_valid_loss,
                           resumable=run.resumable, in_use=run.in_use, damaged=run.damaged)
    return Answer(dict(runs=[row(run) for run in runs], babies=[row(run) for run in babies]),
                  text_output.run_list(runs) + text_output.baby_list(babies))
