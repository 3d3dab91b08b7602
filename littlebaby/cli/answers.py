"""The answer of a command, and the lines that it prints: the answer to stdout, progress and errors to stderr."""
import json as jsons
import sys
from contextlib import suppress
from typing import Any, NamedTuple

from .. import plans
from ..errors import BadInput


class Answer(NamedTuple):
    data: Any           # lists, dicts, texts and numbers, which --json prints
    text: str           # printed without --json
    code: int = 0
    note: str = ""      # printed to stderr after the text


def print_error(sentence, code, machine):
    """Print an error; machine: also as JSON. Returns the exit code"""
    print_line(sentence)
    if machine and is_first_process():
        print(jsons.dumps(dict(error=sentence, code=code)))
    return code


def print_line(line):
    if is_first_process():
        print(line, file=sys.stderr)


def is_first_process():
    """Whether this process is the one that prints: a single process, or rank 0"""
    with suppress(BadInput):
        return plans.launched_ranks().first
    return True


def plain(record):
    """A record as a dict of JSON values"""
    return record.model_dump(mode="json")


def with_path(page, path):
    """A page as text, and the path of its file if it was saved"""
    return f"{page}\n\n{path}" if path else str(page)
