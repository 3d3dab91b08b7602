"""What a command returns, and the lines that a process prints: the answer to stdout, progress and errors to stderr."""
import json as jsons
import sys
from contextlib import suppress
from typing import Any, NamedTuple

from .. import plans
from ..errors import BadInput


class Answer(NamedTuple):
    data: Any           # of plain types: what --json prints
    text: str           # what people read
    code: int = 0


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
        return plans.launched_ranks().first
    return True


def plain(record):
    return record.model_dump(mode="json")
