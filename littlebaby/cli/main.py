"""The entry point: runs a command line and returns an exit code: 0 success, 1 failure, 2 wrong input, 130 interrupted."""
import json as jsons
import os
import sys
from difflib import get_close_matches

from cyclopts import CycloptsError
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from ..errors import BadInput, RunFailed, nearest, quoted
from . import run_commands, steering_commands, sweep_commands, tool_commands  # noqa: F401  # importing them adds their commands to `app`
from .answers import Answer, is_first_process, print_error, print_line
from .help import Help, help_of_command
from .options import WELCOME, app

for place, command in enumerate(app):
    app[command].sort_key = place


def main(words=None):
    """Run a command line (None: this process's own) and return its exit code"""
    words = sys.argv[1:] if words is None else list(words)
    machine = "--json" in words
    help_of_command.set(Help(words))
    if not words:
        print(WELCOME)
        return 0
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")     # a character that the console cannot show becomes a question mark
    try:
        answer = app(words, exit_on_error=False, print_error=False, verbose=False, result_action="return_value")
        if isinstance(answer, Answer):
            if not is_first_process():
                return answer.code
            if machine:
                print(jsons.dumps(answer.data, default=str))
            elif answer.text:
                print(answer.text)
            if answer.note:
                print_line(answer.note)
            return answer.code
        return 0
    except CycloptsError as error:
        return print_error(parse_error(error), 2, machine)
    except BadInput as error:
        return print_error(str(error), 2, machine)
    except RunFailed as error:
        return print_error(str(error), 1, machine)
    except MemoryError:
        return print_error("there is not enough memory: lower batch_size, n_ctx, n_emb or n_layers; `littlebaby preflight` estimates how "
                           "much a training needs", 1, machine)
    except KeyboardInterrupt:
        return print_error("interrupted", 130, machine)
    except BrokenPipeError:                          # the reader, such as head, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parse_error(error):
    """The sentence for a command line that cannot be parsed"""
    chain = " ".join(error.command_chain or ())
    see = f"; `littlebaby {chain} --help` lists its options" if chain else "; `littlebaby --help` lists the commands"
    extra = (error.unused_tokens or [""])[0]
    match error:
        case UnknownCommandError():
            return nearest("the command", extra, [name for name in app if not name.startswith("-")])
        case UnknownOptionError():
            return unknown_option(error.token.keyword or error.token.value, error.argument_collection, see)
        case UnusedCliTokensError():
            if extra.startswith("-"):
                return unknown_option(extra, error.argument_collection if hasattr(error, "argument_collection") else (), see)
            return f"{quoted(extra)} is one argument too many for `littlebaby {chain}`{see}"
        case MissingArgumentError():
            name = error.argument.name.lstrip("-").upper() if error.argument else "an argument"
            return (f"{error.keyword} needs a value" if error.keyword else f"`littlebaby {chain}` needs {name}") + see
        case RepeatArgumentError():
            return f"{error.token.keyword} is given twice; allowed is once"
        case CoercionError():
            token, name = error.token, (error.token and error.token.keyword) or (error.argument and error.argument.name) or "an option"
            allowed = "true or false" if error.target_type is bool else "a text"
            return f"{name} is {quoted(token.value) if token else 'missing'}; allowed is {allowed}{see}"
    return f"{str(error).rstrip('.')}{see}"


def unknown_option(word, arguments, see):
    """The sentence for an option that a command does not have; it ends with the nearest option, or with `see` if none is near"""
    word = word.split("=")[0]
    near = get_close_matches(word, [name for argument in arguments for name in argument.names], 1, 0.6)
    return f"{word} is not an option" + (f"; did you mean {near[0]}?" if near else see)
