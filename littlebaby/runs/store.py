"""The workspace: which file of which run lies where. Nothing else knows the names of folders, and nothing else writes.

    inputs/NAME.txt, inputs/NAME.tok         texts to learn from, and token files
    tokens/NAME_KEY.tok                      what a training made of a text too large for memory, for the next one
    configs/config_GUID.json                 tokenizers/tokenizer_GUID.json
    models/model_GUID.json (.safetensors)    models/checkpoint_GUID/
    models/adapters_GUID.safetensors         what a finetune with adapters has learned, apart
    outputs/report_GUID.json                 outputs/completion_GUID[_time].json        outputs/chart_GUID.png
    outputs/chat_GUID_time.jsonl             conversations that were kept
    exports/GUID_huggingface/ ...            models for other programs; they stay when the run is deleted
    outputs/microscope_GUID.html             outputs/diary_GUID.html                    outputs/walk_VARIANT.html, of no run
    outputs/archive_GUID.zip                 all of these in one file, to be taken elsewhere
A finetuned run is GUID_finetuned, the next one GUID_finetuned_2. Older files that misspell a name are found all the same.
"""
import atexit
import os
import re
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4
from zipfile import ZIP_DEFLATED, ZipFile

from ..errors import BadInput, quoted
from . import disk, encodings, tokens, weights
from .records import FILES, NAME, VERSION, Completion, ConfigFile, ModelFile, Report, TokenizerFile, now, parse_record
from .settings import HERE, Config

PLACES = dict(
    config="configs/config_{}.json", tokenizer="tokenizers/tokenizer_{}.json", model="models/model_{}.json",
    weights="models/model_{}.safetensors", adapters="models/adapters_{}.safetensors", checkpoint="models/checkpoint_{}",
    lock="models/.lock_{}", queue="outputs/.lock_{}", report="outputs/report_{}.json", completion="outputs/completion_{}.json",
    chart="outputs/chart_{}.png", chat="outputs/chat_{}.jsonl", archive="outputs/archive_{}.zip", export="exports/{}",
    microscope="outputs/microscope_{}.html", diary="outputs/diary_{}.html", walk="outputs/walk_{}.html")
FOLDERS = sorted({place.split("/")[0] for place in PLACES.values()} - {"exports"})     # what was exported is no longer the run's

# a run's file, finished or left behind half-written, under its right name or an old spelling
OF_A_RUN = re.compile(
    r"\.?(?:config|tokenizer|model|adapters|checkpoint|report|completion|complation|chart|chat|archive|microscope|diary)"
    rf"_({NAME.replace('tuned', 't?uned')})"
    rf"(?:_\d{{14}}(?:_\d+)?)?(?:\.jsonl?|\.safetensors|\.png|\.zip|\.html)?(?:\.[0-9a-f]{{8}}\{disk.TEMPORARY})?")
OLD_SPELLINGS = [("completion_", "complation_"), ("_finetuned", "_fineuned")]

SAFETENSORS_FROM = 8_000_000            # parameters
KEPT_CHECKPOINTS = 2
NURSERY = "nursery.txt"
BUILT_IN_NURSERY = [HERE.parent / "text" / NURSERY, HERE.parents[1] / "inputs" / NURSERY]


class File(NamedTuple):
    path: Path
    bytes: int


class Run(NamedTuple):
    name: str
    time: datetime
    bytes: int
    config: Config | None
    report: Report | None
    damaged: list[str]                  # a sentence for each file that cannot be read
    checkpoint: int | None = None       # the step that its newest checkpoint was written after
    in_use: bool = False                # a process works on it

    @property
    def resumable(self):
        """Whether it was cut short and can go on"""
        over = self.report and self.report.stop_reason in ("finished", "early stop")
        return self.checkpoint is not None and not self.in_use and not over


class Text(NamedTuple):
    name: str
    text: str
    bytes: int
    sha256: str


def workspace_from_environment():
    """LITTLEBABY_HOME as an absolute path, "same" or "". A relative one is made absolute in the environment, where child processes find
    it, so that a later change of the current folder does not move the workspace."""
    home = os.path.expanduser(os.environ.get("LITTLEBABY_HOME", ""))
    if home and home != "same" and not os.path.isabs(home):
        home = os.environ["LITTLEBABY_HOME"] = os.path.abspath(home)
    return home


with suppress(OSError):                 # there is no current folder; whoever uses the workspace is told
    workspace_from_environment()        # a relative one is named when the program starts


@cache
def temporary_workspace():
    """A folder that is the workspace of this process from now on and goes with it; the same one when it is asked for again"""
    folder = tempfile.TemporaryDirectory(prefix="littlebaby_")
    atexit.register(folder.cleanup)
    root = Path(folder.name).resolve()
    (root / "inputs").mkdir()
    os.environ["LITTLEBABY_HOME"] = str(root)
    return root


def enclosing_workspace(folder):
    """The nearest of a folder and its parents that is a clone of littlebaby or holds files of runs; the folder itself where none does.

    Folders that everything lies below (the root, the home folder, the one for temporary files) are no workspace for what lies below them
    because a run was once left there.
    """
    shared = {Path(folder.anchor), Path(os.path.expanduser("~")), Path(tempfile.gettempdir())}
    shared |= {each.resolve() for each in shared}
    return next((each for each in (folder, *folder.parents) if is_clone(each) or each not in shared and holds_runs(each)), folder)


def is_clone(folder):
    """Whether a folder is the repository of littlebaby"""
    with suppress(OSError, UnicodeDecodeError):
        if (folder / "littlebaby" / "__init__.py").is_file():
            return bool(re.search(r"(?m)^name *= *[\"']littlebaby[\"']", (folder / "pyproject.toml").read_text(encoding="utf-8")))
    return False


def holds_runs(folder):
    """Whether a file of a run lies where workspaces have it: its config, tokenizer, model or report, named by its GUID"""
    with suppress(OSError):
        return any(OF_A_RUN.fullmatch(path.name) for place in FOLDERS if (folder / place).is_dir() for path in (folder / place).iterdir())
    return False


class Workspace:
    """A root folder, always absolute, and what lies in it.

    path: the folder; "same": the current one; None: LITTLEBABY_HOME or, where that is not set, `enclosing_workspace` of the current folder
    found: whether it is a parent of the current folder that nobody named
    """

    def __init__(self, path=None):
        with disk.explain_os_errors("use", path or "the current folder"):
            chosen = os.path.expanduser(str(path or workspace_from_environment()))
            here = Path(chosen) if os.path.isabs(chosen) else Path.cwd()
        self.root = enclosing_workspace(here) if not chosen else here if chosen == "same" else here / chosen
        self.found = not chosen and self.root != here
        with disk.explain_os_errors("use", self.root):
            if self.root.exists() and not self.root.is_dir():
                raise BadInput(f"{self.root} is a file; a workspace is a folder")

    def require_writable(self):
        """CannotWrite where no file can be written into this workspace; asked before a long computation"""
        for folder in FOLDERS:
            disk.require_writable(self.root / folder)

    # names of runs

    def new(self):
        """The name of a run that does not exist yet"""
        return str(uuid4())

    def finetuned(self, name, taken=()):
        """The name of the next finetune of a run, none of `taken`: GUID_finetuned, GUID_finetuned_2, ..."""
        taken, base = self.names().union(taken), name[:36]
        return next(n for i in count(1) if (n := f"{base}_finetuned" + (f"_{i}" if i > 1 else "")) not in taken)

    @contextmanager
    def locked_finetune(self, base):
        """The name of the next finetune of a run, which no other process gets meanwhile"""
        others = set()
        with ExitStack() as kept:
            while True:
                name = self.finetuned(base, others)
                try:
                    kept.enter_context(self.lock(name))
                except disk.InUse:
                    others.add(name)
                    continue
                if name not in self.names():
                    break
                kept.close()
            yield name

    def names(self):
        """Every run that left a file here"""
        return set(self.scan())

    def resolve(self, word):
        """The name of a run from its whole name, a unique beginning of 4 or more characters, or `last`"""
        word = str(word)
        if word == "last":
            runs = self.list()
            if not runs:
                raise BadInput(f"there is no run in {self.root} yet; `littlebaby train` makes one")
            return runs[-1].name
        if re.search(r"[/\\\0]|\.\.", word):
            raise BadInput(f"{quoted(word)} has a path in it; a GUID is a name such as {uuid4()}")
        head, _, tail = word.lower().partition("_")
        if not re.fullmatch(f"{NAME}|[0-9a-f-]{{1,35}}(_finetuned(_[0-9]{{1,4}})?)?", word.lower()):
            raise BadInput(f"{quoted(word)} is no GUID: that is a uuid, the first 4 or more of its characters, or last")
        if len(head) < 4:
            raise BadInput(f"{quoted(word)} is too short: give 4 or more characters of the GUID")
        names = sorted(self.names())
        found = [name for name in names if name.startswith(head) and name[37:] == tail]
        if len(found) > 1:
            raise BadInput(f"{word} fits {len(found)} runs: {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}; "
                           f"give more of its characters")
        if not found:
            near = get_close_matches(word, names, 3, 0) if names else []
            raise BadInput(f"there is no run {word} in {self.root}; " + (f"the nearest are {', '.join(near)}" if near else
                                                                         "there is none at all yet"))
        return found[0]

    # files of runs

    def path(self, kind, name):
        """Where a file of this kind lies; PLACES names the kinds"""
        return self.root / PLACES[kind].format(name)

    def existing(self, kind, name):
        """The same, or a file under an old spelling where only that exists"""
        right = self.path(kind, name)
        spellings = [right.name]
        for good, bad in OLD_SPELLINGS:
            spellings += [spelling.replace(good, bad) for spelling in spellings]
        return next((p for s in spellings if (p := right.with_name(s)).exists()), right)

    def scan(self):
        """{run: paths of all that it left}"""
        found = {}
        for folder in FOLDERS:
            with disk.explain_os_errors("read", self.root / folder):
                paths = sorted((self.root / folder).iterdir()) if (self.root / folder).is_dir() else []
            for path in paths:
                if match := OF_A_RUN.fullmatch(path.name):
                    found.setdefault(match[1].replace("_fineuned", "_finetuned"), []).append(path)
        return found

    def files(self, name):
        """Every file and folder of one run with its size, and of no other"""
        return [sized(path) for path in self.scan().get(name, [])]

    def list(self):
        """Every run, the oldest first; a damaged file does not hide its run"""
        return sorted((self.run(name, paths) for name, paths in self.scan().items()), key=lambda run: (run.time, run.name))

    def run(self, name, paths=None):
        """One run in short; `paths`: its files where they are known"""
        paths, damaged = paths or self.scan()[name], []

        def attempt(load):
            try:
                return load(name)
            except BadInput as error:
                damaged.append(str(error))

        head = attempt(self.load_config_file) if self.existing("config", name).exists() else None
        report = attempt(self.load_report) if self.existing("report", name).exists() else None
        begun = min((about.st_mtime for p in paths if (about := looked_at(p))), default=0.0)
        time = head.time if head and head.time else datetime.fromtimestamp(begun, timezone.utc)
        saved = checkpoints(self.path("checkpoint", name))
        in_use = not (report and report.ended) and disk.is_locked(self.path("lock", name))
        return Run(name, time, sum(sized(p).bytes for p in paths), head and head.config, report, damaged,
                   step_of(saved[-1]) if saved else None, in_use)

    def going(self, name, finetuned=False):
        """What `delete` would remove"""
        return [file for each in self.family(name, finetuned) for file in self.files(each)]

    def delete(self, name, finetuned=False):
        """Removes all files of a run and of no other, its finetunes too if asked; returns what went"""
        family = self.family(name, finetuned)
        going = self.going(name, finetuned)
        with ExitStack() as locks:
            for each in family:
                locks.enter_context(self.lock(each))
            for file in going:
                disk.remove(file.path)
        for each in family:
            disk.remove(self.path("lock", each))
            disk.remove(self.path("queue", each))
        return going

    def family(self, name, finetuned):
        return [name] + [each for each in sorted(self.names()) if finetuned and each.startswith(f"{name}_finetuned")]

    @contextmanager
    def lock(self, name):
        """Keeps a run to oneself; BadInput where another process has it"""
        with disk.locked(self.path("lock", name), f"{name} is in use by another process; wait for its end or stop it"):
            yield name

    # what the files hold

    def save_config(self, name, config, base=""):
        head = dict(version=VERSION, guid=name, base=base, time=now())
        self.write("config", name, ConfigFile(**config.model_dump(), **head), first=[*head])

    def load_config_file(self, name):
        """The settings with the version that wrote them, the base and the time"""
        return self.load("config", name)

    def load_config(self, name):
        return self.load_config_file(name).config

    def save_tokenizer(self, name, record):
        """`record`: a tokenizer's own to_json"""
        self.write("tokenizer", name, TokenizerFile(guid=name, **record))

    def has_tokenizer(self, name):
        """False for a model that was imported without one"""
        return self.existing("tokenizer", name).exists() or self.path("report", name).exists() and self.load_report(name).tokenizer != ""

    def load_tokenizer(self, name):
        """The record that text.from_json reads; files of other systems are handed on as they are"""
        path = self.existing("tokenizer", name)
        data = disk.read_json(path)
        if isinstance(data, dict) and "vocabilary" in data:
            data["vocabulary"] = data.pop("vocabilary")
        return parse_record(TokenizerFile, data, path).model_dump() if isinstance(data, dict) and "kind" in data else data

    def save_model(self, name, tensors, kinds, trainable, snapshot="auto"):
        """The weights {name: array}, with {name: kind} and {name: trainable or not}; `snapshot` as c_snapshot"""
        arrays = {n: weights.plain(a) for n, a in tensors.items()}
        about = weights.describe(arrays, kinds, trainable)
        if snapshot == "auto":
            snapshot = "json" if about["parameters"].total < SAFETENSORS_FROM else "safetensors"
        if snapshot == "json":
            about["blocks"] = weights.base64_blocks(arrays)
        elif snapshot == "lists":
            about["lists"] = {n: a.tolist() for n, a in arrays.items()}
        else:
            path = self.path("weights", name)
            disk.write_file(path, weights.safetensors(arrays, dict(guid=name)))
            about["file"] = path.name
        self.write("model", name, ModelFile(guid=name, **about))

    def load_model(self, name):
        """({name: array}, manifest)"""
        path = self.existing("model", name)
        data = disk.read_json(path)
        if isinstance(data, dict) and "format" not in data:
            old = "a model of The Little Baby v0" if "wte_weight" in data else "no model that littlebaby wrote"
            raise BadInput(f"{path} is {old}: it has no manifest, and this version cannot read it")
        manifest = parse_record(ModelFile, data, path)
        if not manifest.file:
            load = weights.from_lists if manifest.lists else weights.from_blocks
            return load(manifest, path), manifest
        if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", manifest.file):
            raise BadInput(f"{path} names its weights {quoted(manifest.file)}; only a file beside it is read, never a path")
        beside = path.with_name(manifest.file)
        with disk.explain_os_errors("read", beside):
            return weights.from_safetensors(manifest, beside), manifest

    def save_adapters(self, name, arrays, meta):
        """{name: array} and a JSON-able meta: what was merged into the run's model, for those who have the base"""
        disk.write_file(self.path("adapters", name), weights.safetensors({n: weights.plain(a) for n, a in arrays.items()}, meta))

    def load_adapters(self, name):
        """(arrays, meta)"""
        path = self.path("adapters", name)
        with disk.explain_os_errors("read", path):
            return weights.load_safetensors(path)

    def save_report(self, name, report):
        self.write("report", name, report)

    def load_report(self, name):
        return self.load("report", name)

    def save_completion(self, name, completion, final=False):
        """The text at the end of a training (`final`), or one of any number of others, named by its time; returns its path"""
        path, data = self.path("completion", name), completion.model_dump(mode="json")
        if final:
            disk.write_json(path, data)
            return path
        with self.alone_writing(name):
            path = timed(path, completion.time)
            disk.write_json(path, data)
        return path

    def alone_writing(self, name):
        """Keeps other processes from writing completions or conversations of a run meanwhile"""
        return disk.locked(self.path("queue", name), f"another process writes what {name} said, and does not end; stop it", 10)

    def load_completion(self, name):
        """The text at the end of a training"""
        return self.load("completion", name)

    def completions(self, name):
        """Every text that a run has written, the oldest first; damaged files are left out"""
        found = []
        for file in self.files(name):
            if file.path.name.startswith(("completion_", "complation_")):
                try:
                    found.append(parse_record(Completion, disk.read_json(file.path), file.path))
                except BadInput:
                    continue
        return sorted(found, key=lambda completion: completion.time)

    def save_chat(self, chat):
        """A conversation in one line, in a file named by its time; returns its path"""
        with self.alone_writing(chat.guid):
            path = timed(self.path("chat", chat.guid), chat.time)
            disk.write_file(path, [chat.model_dump_json().encode("utf-8", "backslashreplace"), b"\n"])
        return path

    def save_chart(self, name, png):
        """`png`: the bytes of a picture"""
        disk.write_file(self.path("chart", name), [png])

    def pack(self, name):
        """All files of a run in one zip, under their places in a workspace: unpacked in another one the run is there; returns its path"""
        path = self.path("archive", name)
        with disk.replacing(path) as temporary, ZipFile(temporary, "w", ZIP_DEFLATED) as archive:
            for place, _ in self.files(name):
                for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
                    if file.is_file() and file not in (path, temporary) and not file.name.startswith("."):
                        archive.write(file, file.relative_to(self.root))
        return path

    def write(self, kind, name, record, first=()):
        data = record.model_dump(mode="json")
        disk.write_json(self.path(kind, name), {key: data[key] for key in [*first, *data]})

    def load(self, kind, name):
        path = self.existing(kind, name)
        return parse_record(FILES[kind], disk.read_json(path), path)

    # checkpoints: what an interrupted run goes on from

    def save_checkpoint(self, name, step, arrays, meta):
        """{name: array} and a JSON-able meta, after a step; this one and the one before it are kept.

        One of a later step can only be damaged, or the run would have gone on from there: it goes, too.
        """
        folder = self.path("checkpoint", name)
        path = folder / f"state_{step:09d}.safetensors"
        disk.write_file(path, weights.safetensors({n: weights.plain(a) for n, a in arrays.items()}, meta))
        kept = [each for each in checkpoints(folder) if step_of(each) <= step][-KEPT_CHECKPOINTS:]
        for each in checkpoints(folder):
            if each not in kept:
                disk.remove(each)

    def load_checkpoint(self, name):
        """(arrays, meta, sentences) of the newest checkpoint that is whole, None where there is none; BadInput where all are damaged

        sentences: what is wrong with those that were passed over
        """
        wrong = []
        for path in reversed(checkpoints(self.path("checkpoint", name))):
            try:
                with disk.explain_os_errors("read", path):
                    return *weights.load_safetensors(path), wrong
            except BadInput as error:
                wrong.append(str(error))
        if wrong:
            raise BadInput(wrong[0])
        return None

    def sweep(self, name):
        """Removes what a killed process left half-written; for who holds the run's lock"""
        folder = self.path("checkpoint", name)
        with self.alone_writing(name):
            for path in [*self.scan().get(name, []), *(folder.iterdir() if folder.is_dir() else [])]:
                if path.suffix == disk.TEMPORARY:
                    disk.remove(path)

    def remove_checkpoint(self, name):
        disk.remove(self.path("checkpoint", name))

    def write_export(self, folder, name, pieces):
        """A file of an exported model: pieces of bytes as they come, or a function that writes to a path"""
        if callable(pieces):
            with disk.replacing(folder / name) as temporary:
                pieces(temporary)
        else:
            disk.write_file(folder / name, pieces)

    # texts

    def inputs(self):
        """The names that lie in inputs/"""
        folder = self.root / "inputs"
        return sorted(p.name for p in folder.iterdir() if p.is_file() and p.name[0] != ".") if folder.is_dir() else []

    def candidates(self, where):
        """The paths that an input may mean: as it is, in the workspace, in inputs/ with or without .txt; or the built-in nursery"""
        word, inside = os.path.expanduser(str(where)), self.root / "inputs"
        built_in = BUILT_IN_NURSERY if str(where) in (NURSERY, Path(NURSERY).stem) else []
        return [Path(word), self.root / word, inside / word, inside / f"{word}.txt", *built_in]

    def locate(self, where):
        """The file or folder that an input means, see `candidates`"""
        with disk.explain_os_errors("read", where):
            found = sorted((p for p in self.candidates(where) if p.exists()), key=lambda p: p.is_dir())
        if not found:
            names, inside = self.inputs(), self.root / "inputs"
            near = get_close_matches(str(where), names, 1, 0.5)
            raise BadInput(f"there is no file {quoted(str(where))}, neither as a path nor in {inside}"
                           + (f"; there are {', '.join(names[:10])}" if names else "")
                           + (f"; did you mean {near[0]}?" if near else ""))
        return found[0]

    def portable(self, path):
        """A path as a run remembers it: relative to the workspace, with slashes, where it lies inside; absolute otherwise"""
        path = Path(path).absolute()
        if path in BUILT_IN_NURSERY:
            return NURSERY
        plain = ".." not in path.parts
        for inner, outer in [(path, self.root)] * plain + [(path.resolve(), self.root.resolve())]:
            if inner.is_relative_to(outer):
                return inner.relative_to(outer).as_posix()
        return str(path)

    def fingerprint(self, path):
        """What a run remembers of an input file: dict(path, bytes, sha256)"""
        return dict(path=self.portable(path), bytes=path.stat().st_size, sha256=content_sha256(path))

    def recall(self, path, size, sha256):
        """The input file that a run remembers: where it lay, or any file of inputs/ with the same bytes, wherever the workspace lies now.

        path: as `portable` or an older version wrote it      size, sha256: as `fingerprint`
        Where no file has these contents, the one at that path, if there is any, which the caller then refuses. BadInput: there is none.
        """
        name, inputs = re.split(r"[/\\]", path)[-1], self.root / "inputs"
        named = [self.root / path, *self.candidates(path), inputs / name, *self.candidates(name)]
        with disk.explain_os_errors("read", path):
            lying = [p for p in dict.fromkeys(named) if p.is_file()]
            same_size = [p for p in dict.fromkeys([*lying, *sorted(inside(inputs))]) if p.is_file() and p.stat().st_size == size]
        found = next((p for p in same_size if has_content(p, sha256)), None) or next(iter(lying), None)
        if found is None:
            raise BadInput(f"the text that the run learns from, {quoted(path)}, is gone, and no file in {inputs} has its contents; put it "
                           f"there or give it with --input")
        return found.absolute()

    def input_path(self, where):
        """The same, a file and no folder"""
        path = self.locate(where)
        if path.is_dir():
            raise BadInput(f"{path} is a folder; give one text file in it")
        return path

    def read_text(self, where, encoding="utf-8"):
        """The text of an input, with its name, size and sha256; a byte-order mark goes and line ends become \\n"""
        path = self.input_path(where)
        data = disk.read_bytes(path)
        if not data:
            raise BadInput(f"{path} is empty: there is nothing to learn from")
        text = "".join(encodings.decoded(BytesIO(data), path, encoding))
        return Text(path.name, text.replace("\r\n", "\n").replace("\r", "\n"), len(data), sha256(data).hexdigest())

    def write_input(self, name, pieces):
        """inputs/NAME from pieces of text or bytes as they come; an input that is there already is never overwritten"""
        if not re.fullmatch(r"[^/\\:*?\"<>|\0-\x1f.][^/\\:*?\"<>|\0-\x1f]{0,199}", name):
            raise BadInput(f"{quoted(name)} is no name for a file in inputs/")
        path = self.root / "inputs" / name
        if path.exists():
            raise BadInput(f"{path} exists already; choose another name or delete it first")
        disk.write_file(path, (piece.encode() if isinstance(piece, str) else piece for piece in pieces))
        return path

    def save_tokens(self, path, blocks, tokenizer, size, text):
        """A token file of the ids' bytes as they come, see tokens.write; returns the number of tokens"""
        with disk.replacing(path) as temporary, open(temporary, "xb") as file:
            return tokens.write_token_file(file, blocks, tokenizer, size, text)


def content_sha256(path):
    """The digest by which an input file is known again: of a text its bytes', of a token file its header's and record's"""
    return tokens.read_token_file(path).sha256 if path.name.lower().endswith(tokens.SUFFIXES) else disk.digest(path)


def has_content(path, digest):
    """Whether a file can be read and has this digest"""
    with suppress(BadInput):
        return content_sha256(path) == digest
    return False


def timed(path, time):
    """A name beside `path` that no file has yet, for what was made at this time; for who is alone writing"""
    stem = f"{path.stem}_{time:%Y%m%d%H%M%S}"
    return next(p for i in count(1) if not (p := path.with_name(f"{stem}_{i}{path.suffix}" if i > 1 else f"{stem}{path.suffix}")).exists())


def sized(path):
    """A file or folder with all its bytes; what another process has just removed or renamed has none"""
    files = inside(path) if path.is_dir() and not path.is_symlink() else [path]
    return File(path, sum(about.st_size for each in files if (about := looked_at(each))))


def inside(folder):
    """Everything in a folder, nothing where it has just gone"""
    with suppress(FileNotFoundError):
        return list(folder.rglob("*"))
    return []


def looked_at(path):
    with suppress(FileNotFoundError):
        return path.lstat()


def checkpoints(folder):
    """The checkpoints in a folder, the oldest first"""
    return sorted((path for path in inside(folder) if re.fullmatch(r"state_\d+\.safetensors", path.name)), key=step_of)


def step_of(checkpoint):
    return int(checkpoint.stem[6:])


def brief(name):
    """A run's name as short as it is still understood: 0b2f8a52, 0b2f8a52_finetuned_2"""
    return name[:8] + name[36:]
