"""prepare: text of any size -> token file, as a stream and on all cores.

One process reads and writes; the others encode blocks of text. A block ends where the tokenizer certainly ends a token (`can_split`), and
the encoded blocks keep their order, so the file is the same, byte for byte, for every number of processes, and the same as that of the
whole text encoded at once.
"""
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from .. import text as texts
from ..errors import RunFailed
from . import sources, tokens
from .store import Workspace

SAMPLE = 16 * 2**20      # characters on which word and bpe are trained, evenly spread over the text
FEW = 8                  # blocks (of a million characters); a text of at most so many is encoded in this process


def survey(blocks: Iterable[str], progress: Callable[[int], None] = lambda n: None) -> tuple[str, set[str], int]:
    """(a sample, the set of all characters, the number of characters) of a text of any size, for training a tokenizer

    The sample is the whole text up to SAMPLE characters; of a longer text it is every second block, every fourth, ...
    progress: called with the number of characters of each block
    """
    kept, every, characters, length = list[str](), 1, set[str](), 0
    for number, block in enumerate(blocks):
        characters.update(block)
        length += len(block)
        if number % every == 0:
            kept.append(block)
            while sum(map(len, kept)) > SAMPLE and len(kept) > 1:
                kept, every = kept[::2], 2 * every
        progress(len(block))
    return "".join(kept), characters, length


def tokenizer_of(kind: str, blocks: Iterable[str], size: int, unknown: str = "replace",
                 progress: Callable[[int], None] = lambda n: None) -> texts.Tokenizer:
    """A tokenizer trained on a text that comes in blocks: on its sample, see `survey`, and for char and word on all its characters

    kind, size, unknown: as for `text.train`. BadInput as there.
    """
    sample, characters, _ = survey(blocks, progress)
    missing = "" if kind == "bpe" else "".join(sorted(characters - set(sample)))
    return texts.train(kind, sample + missing, size, unknown)


def encode(blocks: Iterable[str], tokenizer: texts.Tokenizer, workers: int = 1,
           progress: Callable[[int], None] = lambda n: None) -> Iterator[bytes]:
    """The ids of blocks of text as bytes, in order

    workers: how many processes encode them; 1: only this one, as for a text of at most FEW blocks
    progress: called with the number of characters of each encoded block
    RunFailed where a process dies.
    """
    dtype, blocks = tokens.token_dtype(tokenizer.size), iter(blocks)
    first = list(islice(blocks, FEW + 1))
    if len(first) <= FEW:
        workers = 1
    if workers == 1:
        for block in chained(first, blocks):
            yield tokenizer.encode(block).astype(dtype).tobytes()
            progress(len(block))
        return
    waiting: deque[tuple[Future[bytes], int]] = deque()
    with encoders(tokenizer, workers) as encoded, ThreadPoolExecutor(workers) as threads:
        try:
            for block in chained(first, blocks):
                waiting.append((threads.submit(encoded, block), len(block)))
                if len(waiting) > 2 * workers:
                    yield next_result(waiting, progress)
            while waiting:
                yield next_result(waiting, progress)
        finally:
            for future, _ in waiting:
                future.cancel()


def chained(first: list[str], rest: Iterable[str]) -> Iterator[str]:
    """The blocks of a list, each removed from it before it is used so that its memory can be freed, then the others"""
    while first:
        yield first.pop(0)
    yield from rest


def next_result(waiting: deque[tuple[Future[bytes], int]], progress: Callable[[int], None]) -> bytes:
    """The ids of the block that has been waiting longest, removed from `waiting`"""
    future, length = waiting.popleft()
    data = future.result()
    progress(length)
    return data


@contextmanager
def encoders(tokenizer: texts.Tokenizer, n: int) -> Iterator[Callable[[str], bytes]]:
    """The function encoded(block), which lets one of n processes encode a block; several threads may call it at the same time

    The processes are started anew, not forked, because this process may have threads. RunFailed where one of them dies.
    """
    begin = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from littlebaby.runs.prepare import serve; serve()"
    command = [sys.executable, "-c", begin, json.dumps(sys.path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(n)]
    idle: SimpleQueue = SimpleQueue()

    def encoded(block):
        process = idle.get()
        try:
            send(process.stdin, block.encode("utf-8", "surrogatepass"))
            return received(process.stdout)
        except (OSError, EOFError):
            raise RunFailed("a process that was encoding text has died, probably because memory ran out; nothing was written. Fewer "
                            "--workers need less memory") from None
        finally:
            idle.put(process)

    try:
        with suppress(OSError):                                  # `encoded` reports a process that has already died
            for process in processes:
                assert process.stdin
                send(process.stdin, json.dumps(tokenizer.to_json()).encode("utf-8", "surrogatepass"))
        for process in processes:
            idle.put(process)
        yield encoded
    finally:
        for process in processes:
            process.kill()
            with suppress(OSError):
                process.communicate()                            # closes both pipes and waits


def serve() -> None:
    """The main function of such a process: its first message is the tokenizer, each further one a block of text"""
    signal.signal(signal.SIGINT, signal.SIG_IGN)                 # Ctrl-C reaches all processes of a terminal; the parent handles it
    requests, answers, sys.stdout = sys.stdin.buffer, sys.stdout.buffer, sys.stderr      # printed text must not get between the answers
    with suppress(EOFError, BrokenPipeError):
        tokenizer = texts.from_json(json.loads(received(requests)))
        dtype = tokens.token_dtype(tokenizer.size)
        while True:
            send(answers, tokenizer.encode(received(requests).decode("utf-8", "surrogatepass")).astype(dtype).tobytes())


def send(pipe: IO[bytes], message: bytes) -> None:
    """Write a message: 8 bytes with its length, then its bytes. OSError where the other process is dead"""
    pipe.write(len(message).to_bytes(8, "little") + message)
    pipe.flush()


def received(pipe: IO[bytes]) -> bytes:
    """The next message. EOFError where the pipe is at its end"""
    length = pipe.read(8)
    message = pipe.read(int.from_bytes(length, "little")) if len(length) == 8 else b""
    if len(length) < 8 or len(message) < int.from_bytes(length, "little"):
        raise EOFError
    return message


def prepare(workspace: Workspace, paths: Iterable[Any], output: Path, kind: str | texts.Tokenizer, size: int = 4096,
            unknown: str = "replace", encoding: str = "utf-8", field: str = "text", most: int | None = None, workers: int = 0,
            progress: Callable[[str, int], None] = lambda what, n: None) -> Path:
    """Write a token file of these texts; returns its path, `output`

    paths            as in `sources.Source`; encoding, field: as for `sources.text`
    kind             char, word or bpe, which is trained on the text with `size` and `unknown` as for `text.train`; or a tokenizer
    most             characters after which no further document is read; None: all are
    workers          how many processes encode; 0: as many as there are CPU cores
    progress         called with what is being done and how many more characters are done
    BadInput where a file cannot be read, CannotWrite, RunFailed where a process dies.
    """
    end = separator(kind) if isinstance(kind, str) else kind.begin
    read = lambda can_split: sources.text_blocks(sources.text(paths, end, encoding, field, most), can_split)
    tokenizer = tokenizer_of(kind, read(sources.anywhere), size, unknown, lambda n: progress("reading", n)) if isinstance(kind, str) \
        else kind
    facts = dict(characters=0)

    def count(n):
        facts["characters"] += n
        progress("writing tokens", n)

    blocks = encode(read(tokenizer.can_split), tokenizer, workers or os.cpu_count() or 1, count)
    workspace.save_tokens(output, blocks, tokenizer.to_json(), tokenizer.size, lambda: facts)
    return output


def separator(kind: str) -> str:
    """The text between documents while a tokenizer of this kind is trained, before it has a `begin` of its own"""
    return "<|endoftext|>" if kind == "bpe" else "\n\n"
