"""prepare: text of any size -> token file, as a stream and on all cores.

One process reads and writes; the others turn blocks of text into ids. Blocks end where the tokenizer certainly parts two tokens
(`parts`) and come back in their order, so the file is the same, byte for byte, whatever the number of processes, and the same as the
whole text encoded at once.
"""
import os
import signal
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from .. import text as texts
from ..errors import RunFailed
from . import sources, tokens

SAMPLE = 16 * 2**20      # characters that word and bpe learn their symbols from, evenly spread over the text
FEW = 4                  # blocks that are not worth starting processes for


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
    dtype = tokens.width(tokenizer.size)
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
    waiting = deque()
    with ProcessPoolExecutor(workers, initializer=ready, initargs=(tokenizer.to_json(),)) as pool:
        try:
            for block in chained(first, blocks):
                waiting.append((pool.submit(ids_of, block), len(block)))
                if len(waiting) > 2 * workers:
                    yield taken(waiting, progress)
            while waiting:
                yield taken(waiting, progress)
        except BrokenProcessPool:
            raise RunFailed("a process that was turning text into ids has died, which usually means that memory ran out; nothing was "
                            "written. Fewer --workers need less; a script on Windows or a Mac needs its `if __name__ == \"__main__\":`"
                            ) from None
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


def ready(record):
    """A worker's beginning: its own tokenizer, and Ctrl-C left to the process that it works for"""
    global worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = texts.from_json(record)


def ids_of(block):
    return worker.encode(block).astype(tokens.width(worker.size)).tobytes()


def prepare(workspace, paths, output, kind, size=4096, unknown="replace", encoding="utf-8", field="text", most=None, workers=0,
            progress=lambda what, n: None):
    """A token file of these texts; returns its path.

    kind      char, word or bpe, learned from the text, `size` and `unknown` as for text.train; or a tokenizer that exists
    most      characters after which no document is begun (None: read all)
    progress  told what is being done, and how many characters more have been
    """
    learned = isinstance(kind, str)
    end = ends(kind) if learned else kind.begin
    read = lambda parts: sources.blocks(sources.text(paths, end, encoding, field, most), parts)
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
