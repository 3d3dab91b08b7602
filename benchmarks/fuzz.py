"""Every reader of files, fed with broken ones: what is refused in no sentence, takes long or much memory or leaves the workspace is found.

    python benchmarks/fuzz.py --inputs 1000000 --write

A broken file is a valid one with bytes changed, or with what it holds changed and its lengths and checksums made right again, so that
the reader gets as far as it can. All happens in one process. Each found case goes to tests/fuzzed/, which tests/test_fuzz.py replays.
"""
import argparse
import json
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from random import Random

import numpy as np
from safetensors.numpy import load
from tqdm import tqdm

import littlebaby as lb
from littlebaby import plans
from littlebaby import text as texts
from littlebaby.errors import BadInput
from littlebaby.inference.baby import Baby
from littlebaby.plans import training, training_run
from littlebaby.runs import corpus, formats, tokens, weights
from littlebaby.runs.settings import Config
from littlebaby.runs.store import Workspace

MOST_MEMORY = 2**28              # bytes that reading a file of a few kB may take
MOST_SECONDS = 10                # of the processor, for one file
CHUNK = 200                      # files that a reader gets before the next one has its turn
FOUND = Path(__file__).parents[1] / "tests" / "fuzzed"
TINY = dict(n_layers=1, n_emb=4, n_heads=2, n_ctx=8, batch_size=2, n_steps=2, s_eval=1, n_sample=0, n_completion=2, n_eval_windows=1,
            c_device_cpu_cores=1, b_keep_last=True)
WORDS = "the cat sat on the mat and the dog sat by it. " * 12
LLAMA = dict(n_emb=8, n_layers=1, n_heads=2, n_ctx=16, c_network="swi", c_norm="rmsnorm", c_bias="none", c_position="rope", s_hidden=8)


# what must not happen

class Hang(BaseException):
    """It took too long"""


class Escape(BaseException):
    """It touched what is none of its business"""


TOUCHES = {"open": (0,), "os.remove": (0,), "os.rename": (0, 1), "os.rmdir": (0,), "os.mkdir": (0,), "os.symlink": (0, 1),
           "os.link": (0, 1), "os.truncate": (0,),
           "shutil.rmtree": (0,), "subprocess.Popen": (0,), "os.system": (0,), "socket.connect": (1,)}
guarded: list = []               # the folder that nobody may leave at the moment
hooked: list = []


def watch(event, args):
    if not guarded or event not in TOUCHES:
        return
    for place in TOUCHES[event]:
        if place < len(args) and isinstance(args[place], str | bytes | os.PathLike):
            path = os.path.abspath(os.fsdecode(args[place]))
            reading = event == "open" and not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            known = reading and path.startswith((sys.prefix, sys.base_prefix, str(Path(lb.__file__).parent), "/proc", "/sys", "/dev/"))
            if not path.startswith(guarded[0]) and not known:
                raise Escape(f"{event} {path}")


def too_long(*_):
    raise Hang(f"more than {MOST_SECONDS} s")


@contextmanager
def bounds(home):
    """Within, time and memory are short, and outside of home nothing may be touched"""
    if not hooked:
        hooked.append(sys.addaudithook(watch))
    old, limit = signal.signal(signal.SIGVTALRM, too_long), resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MOST_MEMORY, limit[1]))
    guarded.append(str(home))
    try:
        yield
    finally:
        guarded.clear()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, limit)
        signal.signal(signal.SIGVTALRM, old)


def verdict(read):
    """"read", "refused", or (what went wrong, where), of one call of a reader; for use within `bounds`"""
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
    try:
        read()
        return "read"
    except BadInput as error:
        said = str(error)
        if 10 < len(said) < 4000 and said.count("\n") < 40 and said.replace("\n", "").isprintable():
            return "refused"
        return "a sentence that is none", repr(said[:300])
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
        ours = [(code, line) for code, line in frames if "littlebaby" in Path(code.co_filename).parts] or frames
        code, line = ours[-1]
        return f"{type(error).__name__}: {str(error)[:200]}", f"{Path(code.co_filename).name}:{line} {code.co_name}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


# breaking things

NUMBERS = (0, 1, -1, 2, 7, 8, 255, 256, 65535, 2**31 - 1, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -2**63, 10**40, 0.5,
           -0.0, 1e-320, 1e308, 3.0)
SNIPPETS = (b"NaN", b"Infinity", b"1e999", b"null", b"{}", b"[]", b'"', b"\\u0000", b"\\ud800", b"[" * 3000, b'{"a":' * 3000, b"9" * 5000,
            b"\xff\xfe", b"\xef\xbb\xbf", b"-", b"\x00" * 8, b"\xff" * 8, b"..", b"/")


def odd(rng, outside):
    """A value that nobody expects"""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice(NUMBERS)
    if kind == 1:
        return rng.choice(["", "x", "x" * 3000, "\ud800", "\0", "é🙂", str(outside), "../outside/secret.json", "/etc/passwd", "last", "mha",
                           "fp16"])
    if kind == 2:
        return rng.choice([None, True, False])
    if kind == 3:
        return [odd(rng, outside) for _ in range(rng.randrange(4))]
    if kind == 4:
        return {str(odd(rng, outside))[:40]: odd(rng, outside) for _ in range(rng.randrange(3))}
    nested: object = 1
    for _ in range(rng.randrange(60)):
        nested = [nested]
    return nested


def places(tree, path=()):
    """Every (container, key) in nested dicts and lists"""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield tree, key
        yield from places(value)


def shaken(data, rng, outside):
    """What JSON holds, with one to three things changed"""
    data = json.loads(json.dumps(data))
    for _ in range(rng.randrange(1, 4)):
        spots = list(places(data))
        if not spots:
            return odd(rng, outside)
        box, key = rng.choice(spots)
        what = rng.randrange(6)
        if what == 0:
            del box[key]
        elif what == 1 and isinstance(box, dict):
            box[rng.choice([key + "_", str(odd(rng, outside))[:60], key[:-1]])] = box.pop(key)
        elif what == 2:
            other, name = rng.choice(spots)
            box[key] = json.loads(json.dumps(other[name])) if name in other or isinstance(other, list) and name < len(other) else None
        elif what == 3 and isinstance(box[key], int | float):
            box[key] = box[key] * rng.choice([-1, 2, 10**6]) + rng.choice([0, 1, -1])
        else:
            box[key] = odd(rng, outside)
    return data


def bitten(data, rng):
    """Bytes, with one to four stretches changed"""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at, what = rng.randrange(len(data) + 1), rng.randrange(7)
        if rng.random() < 0.5:
            at = min(at, rng.randrange(1, 129))                  # heads are worth more
        if what == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif what == 1:
            del data[at:]
        elif what == 2:
            del data[at:at + rng.randrange(1, 20)]
        elif what == 3:
            data[at:at] = rng.choice(SNIPPETS)
        elif what == 4:
            data[at:at + 8] = struct.pack("<Q", int(rng.choice(NUMBERS[:18])) % 2**64)
        elif what == 5:
            data[at:at + 4] = struct.pack("<I", int(rng.choice(NUMBERS[:18])) % 2**32)
        else:
            data[at:at] = data[at:at + rng.randrange(1, 60)]
    return bytes(data[:20_000])


def as_json(data):
    return json.dumps(data).encode("utf-8", "surrogatepass")


# containers: what a file holds changed, its lengths and checksums right

def json_file(data, rng, outside):
    return as_json(shaken(json.loads(data), rng, outside))


def header_of(data, rng, outside):
    """A .safetensors file with another header"""
    size = int.from_bytes(data[:8], "little")
    head = as_json(shaken(json.loads(data[8:8 + size]), rng, outside))
    return len(head).to_bytes(8, "little") + head + data[8 + size:]


def token_file(data, rng, outside):
    """A .tok file with another record, or other counts"""
    magic, version, wide, many, size, tail, digest = tokens.HEAD.unpack(data[:tokens.HEAD.size])
    body, record = data[tokens.HEAD.size:len(data) - tail], json.loads(data[len(data) - tail:])
    if rng.random() < 0.3:
        wide, many, size = rng.choice([(2, many, 1), (4, many // 2, size), (2, 0, size), (wide, many, rng.choice(NUMBERS[:12]) % 2**24)])
    else:
        record = shaken(record, rng, outside)
    if isinstance(record, dict) and isinstance(record.get("tokenizer"), dict):
        digest = tokens.fingerprint(record["tokenizer"])
    end = as_json(record)
    return tokens.HEAD.pack(magic, version, wide, many, size, len(end), digest) + body + end


def checkpoint(data, rng, outside):
    """A checkpoint with other contents and the right seal"""
    head = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    arrays, meta = load(data), json.loads(head["__metadata__"]["meta"])
    if rng.random() < 0.7:
        meta = shaken(meta, rng, outside)
    else:
        name = rng.choice(sorted(arrays))
        change = rng.choice([lambda a: a[:-1], lambda a: a.astype(np.float64), lambda a: a * np.nan, lambda a: a.reshape(-1, 1),
                             lambda a: a[:0]])
        arrays = arrays | {name: np.ascontiguousarray(change(arrays[name]))}
        if rng.random() < 0.3:
            arrays.pop(rng.choice(sorted(arrays)))
    return b"".join(bytes(piece) for piece in weights.safetensors(arrays, meta))


def npy_file(data, rng, outside):
    """An .npy file with another header"""
    head = rng.choice(["{'descr': '%s', 'fortran_order': %s, 'shape': %s, }"]) % (
        rng.choice(["<i4", "<u2", "|O", ">i8", "<f4", "|V99", "('<i4',3)", "O"]), rng.choice(["False", "True", "0"]),
        rng.choice(["(16,)", "(-1,)", "(2,8)", "()", f"({2**62},)", "(16,(3,))", "'x'", "(1.5,)", "(True,)"]))
    return b"\x93NUMPY" + bytes([rng.choice([1, 2, 3]), 0]) + struct.pack("<H", len(head)) + head.encode() + data[-64:]


# the readers: what lies in the workspace, which file is broken, and how it is read

class Reader:
    """`path` is the file that is broken, `valid` its contents, `deep` breaks what it holds, `read()` reads it"""

    def __init__(self, path, read, deep=json_file):
        self.path, self.read, self.deep, self.valid = path, read, deep, path.read_bytes()

    def broken(self, rng, outside):
        for _ in range(5):
            try:
                return bitten(self.valid, rng) if rng.random() < 0.4 else self.deep(self.valid, rng, outside)
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError, struct.error, UnicodeError):
                continue                                         # this breakage cannot even be written down
        return bitten(self.valid, rng)

    def __call__(self, data):
        self.path.write_bytes(data)
        return verdict(self.read)

    def mend(self):
        self.path.write_bytes(self.valid)


class Names(Reader):
    """Words in the place of a run's GUID: nothing is broken but the word"""

    def __init__(self, name, home):
        self.valid, self.home, self.read = name.encode(), home, lambda: None
        self.deep = lambda data, rng, outside: str(odd(rng, outside)).encode("utf-8", "replace")
        self.path = home / "no file"

    def __call__(self, data):
        word = data.decode("utf-8", "replace")
        return verdict(lambda: Workspace(self.home).files_to_delete(Workspace(self.home).resolve(word), True))

    def mend(self):
        pass


def readers(home):
    """{name: Reader}, each with a folder of its own in home, of which none may leave its own"""
    training_run.charts.chart = lambda report, steps: b"\x89PNG"
    found = {}
    folder = lambda name: (made := home / name / "workspace").mkdir(parents=True) or made
    outside = home / "outside"
    outside.mkdir()
    for name in ("secret.json", "secret.safetensors"):
        (outside / name).write_text("{}")

    def run(name, **more):
        place = folder(name)
        Workspace(place).write_input("tale.txt", [WORDS])
        guid = lb.train("tale", path=place, progress=False, **TINY | more).guid
        return place, guid, Workspace(place)

    mine = folder("config") / "my.json"
    mine.write_text(json.dumps(dict(n_layers=2, n_emb=16, n_heads=2, r_learn=1e-3, n_steps=5)))
    found["config"] = Reader(mine, lambda: plans.make_config(config=mine))
    place2, guid, space = run("run")
    for kind in ("config", "tokenizer", "report", "completion"):
        file = space.path(kind, guid)
        read = {"tokenizer": lambda: texts.from_json(space.load_tokenizer(guid)).encode("the cat"),
                "config": lambda: lb.load(guid, place2)}.get(kind, lambda kind=kind: getattr(space, f"load_{kind}")(guid))
        found[f"run's {kind}"] = Reader(file, read)
    place3, guid3, space3 = run("model")
    found["model"] = Reader(space3.path("model", guid3), lambda: lb.load(guid3, place3))
    place4, guid4, space4 = run("weights", c_snapshot="safetensors")
    found["weights"] = Reader(space4.path("weights", guid4), lambda: lb.load(guid4, place4), header_of)
    found["weights' manifest"] = Reader(space4.path("model", guid4), lambda: lb.load(guid4, place4))
    place5, guid5, space5 = run("checkpoint", c_optimizer="muon")
    newest = sorted(space5.path("checkpoint", guid5).iterdir())
    for path in newest[:-1]:
        path.unlink()

    def resumed():
        learn, training.run_training = training.run_training, lambda *given: None
        try:
            plans.train(resume=guid5, path=place5, progress=False, input="tale")
        finally:
            training.run_training = learn

    found["checkpoint"] = Reader(newest[-1], resumed, checkpoint)
    for kind in texts.KINDS:
        place = folder(kind)
        (place / "t.json").write_bytes(as_json(texts.train(kind, WORDS, 300).to_json()))
        found[f"{kind} tokenizer"] = Reader(place / "t.json",
                                            lambda file=place / "t.json": said_and_heard(corpus.tokenizer_from_file(file)))
    bpe = texts.train("bpe", WORDS, 300)
    bare = folder("tokens")
    Workspace(bare).write_input("tale.txt", [WORDS])
    tok = plans.prepare("tale", path=bare, progress=False, workers=1)
    found["token file"] = Reader(Path(tok), lambda: corpus.read_corpus(Workspace(bare), str(tok), Config(**TINY)), token_file)
    np.save(bare / "t.npy", np.arange(16, dtype="<i4"))
    found["npy"] = Reader(bare / "t.npy", lambda: tokens.check_ids(tokens.read_token_file(bare / "t.npy"), 50), npy_file)
    (bare / "t.bin").write_bytes(np.arange(16, dtype="<u2").tobytes())
    found["bin"] = Reader(bare / "t.bin", lambda: tokens.check_ids(tokens.read_token_file(bare / "t.bin"), 50), lambda data, rng,
                          _: bitten(data, rng))
    baby = Baby(Config(**LLAMA, n_vocab=bpe.size), tokenizer=bpe)
    for to, broken in (("huggingface", {"config.json": json_file, "tokenizer.json": json_file, "model.safetensors": header_of}),
                       ("npz", {"model.npz": None}), ("gguf", {"model.gguf": None})):
        place = folder(to)
        for file, pieces in formats.write_model(baby.config, baby.weights(), bpe, to, "fp32").files.items():
            if callable(pieces):
                pieces(place / file)
            else:
                (place / file).write_bytes(b"".join(bytes(piece) for piece in pieces))
        for file, deep in broken.items():
            where = place / file if to == "gguf" else place
            found[file if deep else to] = Reader(place / file, lambda where=where: lb.load(where),
                                                 deep or (lambda data, rng, _: bitten(data, rng)))
    place = folder("little baby")
    made = lambda *shape: np.round(np.random.default_rng(0).normal(size=shape), 2).tolist()
    old = dict(wte_weight=made(5, 4), wpe_weight=made(4, 4), ln_f_gamma=made(4), ln_f_beta=made(4), lm_head_weight=made(4, 5),
               lm_head_bias=made(5))
    old |= {f"block_0_{name}": made(*shape) for name, shape in dict(
        ln1_gamma=(4,), ln1_beta=(4,), ln2_gamma=(4,), ln2_beta=(4,), mha_q_weight=(4, 4), mha_k_weight=(4, 4), mha_v_weight=(4, 4),
        mha_c_weight=(4, 4),mha_c_bias=(4,), mlp_proj_up_weight=(4, 8), mlp_proj_up_bias=(8,), mlp_proj_dn_weight=(8, 4),
        mlp_proj_dn_bias=(4,)).items()}
    (place / "model_x.json").write_text(json.dumps(old))
    (place / "config_x.json").write_text(json.dumps(dict(c_sequence="pre", c_attention="mha", c_network="mlp", n_ctx=4, n_emb=4,
                                                         head_size=4, n_heads=2, n_layers=1)))
    (place / "tokenizer_x.json").write_text(json.dumps(dict(vocab=list("abcde"))))
    for what in ("model", "config", "tokenizer"):
        found[f"The Little Baby's {what}"] = Reader(place / f"{what}_x.json", lambda place=place: lb.load(place / "model_x.json"))
    found["GUID"] = Names(guid3, place3)
    return found


def said_and_heard(tokenizer):
    return tokenizer.decode(tokenizer.encode("the cat, é"))


# many of them

def campaign(total, seed=0, only=None, keep=FOUND, progress=True):
    """({reader: Counter}, {what and where: (reader, bytes)}) of so many inputs, spread evenly; Ctrl-C ends it early"""
    counts, cases = {}, {}
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        home = Path(folder).resolve()
        found = {name: reader for name, reader in readers(home).items() if not only or name in only}
        for reader in found.values():
            reader.read()
        bar = tqdm(total=total, disable=None if progress else True, unit="input", mininterval=5)
        each = -(-total // len(found))
        try:
            for first in range(0, each, CHUNK):
                for name, reader in found.items():
                    mine = counts.setdefault(name, Counter())
                    with bounds(home_of(reader, home)):
                        for i in range(first, min(first + CHUNK, each)):
                            data = reader.broken(Random(f"{seed}/{name}/{i}"), home / "outside" / "secret.json")
                            clock = time.process_time()
                            came = reader(data)
                            mine["slowest"] = max(mine["slowest"], round(1000 * (time.process_time() - clock)))
                            mine["inputs"] += 1
                            mine[came if isinstance(came, str) else "wrong"] += 1
                            if not isinstance(came, str):
                                what = (name, came[0].split(":")[0], came[1])
                                if what not in cases or len(data) < len(cases[what][1]):
                                    cases[what] = came[0], data
                        reader.mend()
                    bar.update(min(CHUNK, each - first))
        except KeyboardInterrupt:
            pass
        bar.close()
    for (name, *_), (_, data) in cases.items():
        if keep and len(data) < 20_000:
            keep.mkdir(exist_ok=True)
            (keep / f"{name.replace(' ', '_')}-{sha256(data).hexdigest()[:8]}").write_bytes(data)
    return counts, cases


def home_of(reader, home):
    """The folder that a reader may not leave"""
    return home / reader.path.relative_to(home).parts[0]


def rows(counts):
    for name, each in counts.items():
        yield f"{name} | {each['inputs']:,} | {each['read']:,} | {each['refused']:,} | {each['wrong']:,} | {each['slowest']:,}"
    total = sum(counts.values(), Counter())
    yield f"**all** | **{total['inputs']:,}** | {total['read']:,} | {total['refused']:,} | **{total['wrong']:,}** | " \
          f"{max(each['slowest'] for each in counts.values()):,}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="in all [10,000]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", nargs="*", help="only these")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md, too")
    asked = parser.parse_args()
    counts, cases = campaign(asked.inputs, asked.seed, asked.readers)
    import turns
    turns.publish("fuzz", "reader | inputs | read | refused with a message | anything else | slowest, CPU ms",
                  rows(counts), asked.write)
    for (name, _, where), (said, data) in cases.items():
        print(f"{name}: {said} in {where}, {len(data)} bytes", file=sys.stderr)
    sys.exit(bool(cases))


if __name__ == "__main__":
    main()
