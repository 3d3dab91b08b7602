"""prepare: text of any size -> token file, as a stream and on all cores.

One process reads and writes; the others turn blocks of text into ids. Blocks end where the tokenizer certainly parts two tokens
(`parts`) and come back in their order, so the file is the same, byte for byte, whatever the number of processes, and the same as the
whole text encoded at once.
"""
import json
import os
import signal
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue

from .. import text as texts
from ..errors import RunFailed
from . import sources, tokens

SAMPLE = 16 * 2**20      # characters that word and bpe learn their tokens from, evenly spread over the text
FEW = 8                  # blocks (of a million characters) that are encoded before processes have started


def survey(blocks, progress=lambda n: None):
    """(a sample, the characters that occur, the length): what a tokenizer for a text of any size can be trained on.

    The sample is the whole text up to SAMPLE characters, beyond that every second block, every fourth, ... of it.
    """
    kept, every, characters, length = [], 1, set(), 0
    for number, block in enumerate(blocks):
        characters.update(block)
        length += len(block)
        if number % every == 0:
            kept.append(block)
            while sum(map(len, kept)) > SAMPLE and len(kept) > 1:
                kept, every = kept[::2], 2 * every
        progress(len(block))
    return "".join(kept), characters, length


def tokenizer_of(kind, blocks, size, unknown="replace", progress=lambda n: None):
    """A tokenizer of this kind for a text that comes in blocks: the one that `text.train` makes of it where a sample is all of it.
    char and word know every character even where the sample lacks some."""
    sample, characters, _ = survey(blocks, progress)
    missing = "" if kind == "bpe" else "".join(sorted(characters - set(sample)))
    return texts.train(kind, sample + missing, size, unknown)


def encode(blocks, tokenizer, workers=1, progress=lambda n: None):
    """The ids of blocks of text as bytes, in order, from so many processes (1: this one); progress is told in characters"""
    dtype = tokens.token_dtype(tokenizer.size)
    first = []
    for block in blocks:
        first.append(block)
        if len(first) > FEW:
            break
    else:
        workers = 1
    if workers == 1:
        for block in chained(first, blocks):
            yield tokenizer.encode(block).astype(dtype).tobytes()
            progress(len(block))
        return
    waiting: deque = deque()
    with encoders(tokenizer, workers) as encoded, ThreadPoolExecutor(workers) as threads:
        try:
            for block in chained(first, blocks):
                waiting.append((threads.submit(encoded, block), len(block)))
                if len(waiting) > 2 * workers:
                    yield taken(waiting, progress)
            while waiting:
                yield taken(waiting, progress)
        finally:
            for future, _ in waiting:
                future.cancel()


def chained(first, rest):
    """The blocks that were looked at, none of which is kept, then the others"""
    while first:
        yield first.pop(0)
    yield from rest


def taken(waiting, progress):
    future, length = waiting.popleft()
    data = future.result()
    progress(length)
    return data


@contextmanager
def encoders(tokenizer, n):
    """The function encoded(block) that has one of n processes turn a block into ids, as bytes; threads may call it at once

    The processes are started clean, not forked: this one may have threads. RunFailed where one of them dies.
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
            raise RunFailed("a process that was turning text into ids has died, which usually means that memory ran out; nothing was "
                            "written. Fewer --workers need less") from None
        finally:
            idle.put(process)

    try:
        with suppress(OSError):                                  # one that died already is told by `encoded`
            for process in processes:
                send(process.stdin, json.dumps(tokenizer.to_json()).encode("utf-8", "surrogatepass"))
        for process in processes:
            idle.put(process)
        yield encoded
    finally:
        for process in processes:
            process.kill()
            with suppress(OSError):
                process.communicate()                            # closes both pipes and waits


def serve():
    """What such a process does: its first message is the tokenizer, each other one a block of text"""
    signal.signal(signal.SIGINT, signal.SIG_IGN)                 # Ctrl-C reaches all processes of a terminal: the first one decides
    line, out, sys.stdout = sys.stdin.buffer, sys.stdout.buffer, sys.stderr      # what is printed must not stand between the ids
    with suppress(EOFError, BrokenPipeError):
        tokenizer = texts.from_json(json.loads(received(line)))
        dtype = tokens.token_dtype(tokenizer.size)
        while True:
            send(out, tokenizer.encode(received(line).decode("utf-8", "surrogatepass")).astype(dtype).tobytes())


def send(line, message):
    line.write(len(message).to_bytes(8, "little") + message)
    line.flush()


def received(line):
    """The next message. EOFError: there is none"""
    length = line.read(8)
    message = line.read(int.from_bytes(length, "little")) if len(length) == 8 else b""
    if len(length) < 8 or len(message) < int.from_bytes(length, "little"):
        raise EOFError
    return message


def prepare(workspace, paths, output, kind, size=4096, unknown="replace", encoding="utf-8", field="text", most=None, workers=0,
            progress=lambda what, n: None):
    """A token file of these texts; returns its path.

    kind      char, word or bpe, learned from the text, `size` and `unknown` as for text.train; or a tokenizer that exists
    most      characters after which no document is begun (None: read all)
    progress  told what is being done, and how many characters more have been
    """
    learned = isinstance(kind, str)
    end = ends(kind) if learned else kind.begin
    read = lambda parts: sources.text_blocks(sources.text(paths, end, encoding, field, most), parts)
    tokenizer = tokenizer_of(kind, read(sources.anywhere), size, unknown, lambda n: progress("reading", n)) if learned else kind
    seen = dict(characters=0)

    def counted(n):
        seen["characters"] += n
        progress("writing tokens", n)

    blocks = encode(read(tokenizer.parts), tokenizer, workers or os.cpu_count() or 1, counted)
    workspace.save_tokens(output, blocks, tokenizer.to_json(), tokenizer.size, lambda: seen)
    return output


def ends(kind):
    """What stands between documents, before a tokenizer of this kind has learned its own `begin` from it"""
    return "<|endoftext|>" if kind == "bpe" else "\n\n"
