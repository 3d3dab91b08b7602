"""The workspace: reads, writes and finds the files of runs, whose names and folders are in run_files, and the texts in inputs/.

Only the class Workspace writes files. Its methods raise BadInput where a file cannot be read, and CannotWrite (a BadInput) where a file
cannot be written.
"""
import atexit
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from pydantic import BaseModel

from ..errors import BadInput, nearest, quoted
from . import disk, encodings, shipped, tokens, weights
from .records import (
    COMPLETE,
    DERIVED,
    FILES,
    NAME,
    VERSION,
    Chat,
    Completion,
    ConfigFile,
    Direction,
    ExerciseProgress,
    ModelFile,
    ProgressFile,
    Report,
    SweepFile,
    TokenizerFile,
    now,
    parse_record,
)
from .run_files import (
    FOLDERS,
    OLD_SPELLINGS,
    PLACES,
    File,
    brief,
    checkpoints,
    enclosing_workspace,
    files_of_runs,
    inside,
    sized,
    stat_of,
    step_of,
    unused_path,
)
from .settings import HERE, Config

__all__ = ["PLACES", "Run", "Text", "Workspace", "brief", "checkpoints", "command", "lasting_workspace", "resume_command", "resume_hint",
           "temporary_workspace"]

SAFETENSORS_FROM = 8_000_000            # parameters; smaller models are saved as JSON
KEPT_CHECKPOINTS = 2
MOST_PROGRESS = 10**6                   # bytes of progress.json; that of the whole tour has a few thousand
NURSERY = "nursery.txt"
BUILT_IN_NURSERY = [HERE.parent / "text" / NURSERY, HERE.parents[1] / "inputs" / NURSERY]


class Run(NamedTuple):
    """The summary of a run"""
    name: str
    time: datetime                      # start of the run
    bytes: int
    config: Config | None
    report: Report | None
    damaged: list[str]                  # a sentence for each file that cannot be read
    checkpoint: int | None = None       # the step after which the newest checkpoint was written
    in_use: bool = False                # whether a process has locked it
    has_model: bool = False             # a run that has not finished has none

    @property
    def resumable(self) -> bool:
        """Whether it was interrupted and can be resumed"""
        complete = self.report and self.report.stop_reason in COMPLETE
        return self.checkpoint is not None and not self.in_use and not complete


class Text(NamedTuple):
    """The text of an input file, with the size and the sha256 of the file"""
    name: str
    text: str
    bytes: int
    sha256: str


# Workspace has a method named list, so its annotations need other names for these types
Names = list[str]
Files = list[File]
Paths = list[Path]
Runs = list[Run]
Completions = list[Completion]
Exercises = list[ExerciseProgress]


def workspace_from_environment() -> str:
    """LITTLEBABY_HOME as an absolute path, "same" or ""

    A relative path is made absolute in the environment too, so that neither a later change of the current folder nor a child process moves
    the workspace.
    """
    home = os.path.expanduser(os.environ.get("LITTLEBABY_HOME", ""))
    if home and home != "same" and not os.path.isabs(home):
        home = os.environ["LITTLEBABY_HOME"] = os.path.abspath(home)
    return home


with suppress(OSError):                 # without a current folder, the first use of the workspace raises an error
    workspace_from_environment()        # a relative path is relative to the current folder when the program starts


LASTING: list[Path] = []                # the workspace before `temporary_workspace`, once that was called


def lasting_workspace() -> "Workspace":
    """The workspace of this process, or the one that it had before `temporary_workspace`. BadInput: it cannot be used"""
    return Workspace(*LASTING)


def command(words: str, root: Path | None) -> str:
    """`littlebaby WORDS`, with --path if the workspace `root` is not that of the current folder; None: the workspace is not known"""
    with suppress(BadInput):                                     # no current folder, or an unusable LITTLEBABY_HOME
        if root is None or Workspace().root == root:
            return f"littlebaby {words}"
    return f"littlebaby {words} --path {shlex.quote(str(root))}"


def resume_command(name: str, root: Path | None) -> str:
    """The command that resumes a run of the workspace `root`; None: as in `command`"""
    return command(f"train --resume {brief(name)}", root)


def resume_hint(name: str, root: Path | None, step: int | None = None) -> str:
    """The words that tell how to resume a run of the workspace `root` from the checkpoint of `step`; None: from its last one"""
    return f"`{resume_command(name, root)}` continues the run from {'its last checkpoint' if step is None else f'step {step:,}'}"


@cache
def temporary_workspace() -> Path:
    """A new folder, the workspace of this process from now on, which is deleted at its end; later calls return the same folder"""
    with suppress(BadInput):
        LASTING.append(Workspace().root)
    folder = tempfile.TemporaryDirectory(prefix="littlebaby_")
    atexit.register(folder.cleanup)
    root = Path(folder.name).resolve()
    (root / "inputs").mkdir()
    os.environ["LITTLEBABY_HOME"] = str(root)
    return root


class Workspace:
    """A root folder and the files in it

    path   the folder; "same": the current folder; None: LITTLEBABY_HOME or, where that is not set, `enclosing_workspace` of the current one
    root   the absolute path of the folder
    found  whether the user did not name the folder and it is a parent of the current one
    """

    def __init__(self, path: Path | str | None = None) -> None:
        with disk.explain_os_errors("use", path or "the current folder"):
            chosen = os.path.expanduser(str(path or workspace_from_environment()))
            here = Path(chosen) if os.path.isabs(chosen) else Path.cwd()
        self.root = enclosing_workspace(here) if not chosen else here if chosen == "same" else here / chosen
        self.found = not chosen and self.root != here
        with disk.explain_os_errors("use", self.root):
            if self.root.exists() and not self.root.is_dir():
                raise BadInput(f"{self.root} is a file; a workspace is a folder")

    def require_writable(self) -> None:
        """CannotWrite where no file can be written into this workspace, to be checked before a long computation"""
        for folder in FOLDERS:
            disk.require_writable(self.root / folder)

    # names of runs

    def new(self) -> str:
        """The name of a run that does not exist yet"""
        return str(uuid4())

    def derived(self, name: str, how: str, taken: Collection[str] = ()) -> str:
        """The name of the next run that starts from a run; how: "finetuned" or "school". The first of GUID_finetuned, GUID_finetuned_2, ...
        that is neither used nor in `taken`"""
        used, base = self.names().union(taken), name[:36]
        return next(n for i in count(1) if (n := f"{base}_{how}" + (f"_{i}" if i > 1 else "")) not in used)

    @contextmanager
    def locked_derived(self, base: str, how: str) -> Iterator[str]:
        """The name of `derived`, locked so that no other process gets the same one"""
        taken = set[str]()
        with ExitStack() as kept:
            while True:
                name = self.derived(base, how, taken)
                try:
                    kept.enter_context(self.lock(name))
                except disk.InUse:
                    taken.add(name)
                    continue
                if name not in self.names():
                    break
                kept.close()
            yield name

    def names(self) -> set[str]:
        """The names of all runs that have a file here"""
        return set(self.scan())

    def resolve(self, word: str, needs: str = "") -> str:
        """The name of a run from its whole name, a unique prefix of 4 or more characters, `last`, or the alias of one that comes with
        littlebaby, such as `24-months`

        needs: "model" or "tokenizer", a file that the run must have; `last` then means the newest run that has it
        BadInput: no run or several runs have such a name, or the run lacks the file.
        """
        known = {name for name in shipped.SHIPPED.values() if shipped.home(name)}
        word = str(word)
        if shipped.SHIPPED.get(word.lower()) in known:
            return self.require(needs, shipped.SHIPPED[word.lower()]) if needs else shipped.SHIPPED[word.lower()]
        if word == "last":
            runs = self.list()
            if not runs:
                babies = f", and {', '.join(map(shipped.alias, sorted(known)))} come with littlebaby" if known else ""
                raise BadInput(f"there is no run in {self.root} yet; `{command('train', self.root)}` makes one{babies}")
            able = [run for run in runs if not needs or self.existing(needs, run.name).exists()]
            return able[-1].name if able else self.require(needs, runs[-1].name)
        if re.search(r"[/\\\0]|\.\.", word):
            raise BadInput(f"{quoted(word)} contains a path; a GUID is a name such as {uuid4()}")
        prefix, _, suffix = word.lower().partition("_")
        if not re.fullmatch(f"{NAME}|[0-9a-f-]{{1,35}}{DERIVED}", word.lower()):
            words = ["a uuid", "the first 4 or more of its characters", "last", *map(shipped.alias, sorted(known))]
            near = get_close_matches(word.lower(), words[3:], 1, 0.5)
            raise BadInput(f"{quoted(word)} is not a GUID; allowed are {', '.join(words)}" + (f"; did you mean {near[0]}?" if near else ""))
        if len(prefix) < 4:
            raise BadInput(f"{quoted(word)} is too short: give 4 or more characters of the GUID")
        names = sorted(self.names())
        found = [name for name in sorted({*names, *known}) if name.startswith(prefix) and name[37:] == suffix]
        if not found and not suffix and len(prefix) < 36:        # the base of these finetunes was deleted
            found = [name for name in names if name.startswith(prefix)]
        if len(found) > 1:
            raise BadInput(f"{len(found)} runs begin with {word}: {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}; "
                           f"give more characters")
        if not found:
            near = get_close_matches(word, names, 3, 0) if names else []
            verb = "is" if len(near) == 1 else "are"
            raise BadInput(f"there is no run {word} in {self.root}; " + (f"the nearest {verb} {', '.join(near)}" if near else
                                                                         "there is none at all yet"))
        return self.require(needs, found[0]) if needs else found[0]

    def require(self, kind: str, name: str) -> str:
        """The name of a run that has a file of this kind. BadInput where it has none, with what can be done about it"""
        if self.existing(kind, name).exists():
            return name
        run = self.run(name)
        if run.in_use:
            raise BadInput(f"{name} has no {kind} yet: it is being trained; wait for its end")
        if run.resumable:
            raise BadInput(f"{name} has no {kind} yet: it has not finished; {resume_hint(name, self.root, run.checkpoint)}")
        raise BadInput(f"{name} has no {kind}, and no checkpoint from which it could be continued")

    def require_unused(self, names: Iterable[str]) -> None:
        """InUse where a process works on one of these runs"""
        for name in names:
            if disk.is_locked(self.path("lock", name)):
                raise disk.InUse(in_use_sentence(name))

    # files of runs

    def path(self, kind: str, name: str) -> Path:
        """The path of a file of a run. kind: a key of PLACES"""
        return self.root / PLACES[kind].format(name)

    def existing(self, kind: str, name: str) -> Path:
        """The path of a file of a run; if only a file with an old spelling of its name exists, or one that comes with littlebaby, the path
        of that one"""
        right = self.path(kind, name)
        spellings = [right.name]
        for good, bad in OLD_SPELLINGS:
            spellings += [spelling.replace(good, bad) for spelling in spellings]
        found = next((p for s in spellings if (p := right.with_name(s)).exists()), right)
        home = None if found.exists() else shipped.home(name)
        return home / PLACES[kind].format(name) if home and (home / PLACES[kind].format(name)).exists() else found

    def scan(self) -> dict[str, Paths]:
        """{run: the paths of all its files and folders in this workspace}"""
        return files_of_runs(self.root)

    def files(self, name: str) -> Files:
        """All files and folders of this run, with their sizes; of one that comes with littlebaby also those outside the workspace"""
        own, home = self.scan().get(name, []), shipped.home(name)
        return [sized(path) for path in dict.fromkeys([*own, *(shipped.shipped_files(home)[name] if home else [])])]

    def list(self) -> Runs:
        """All runs but those that come with littlebaby, the oldest first; a run with a damaged file is listed too"""
        own = {name: paths for name, paths in self.scan().items() if not shipped.alias(name)}
        return sorted((self.run(name, paths) for name, paths in own.items()), key=lambda run: (run.time, run.name))

    def babies(self) -> Runs:
        """The runs that come with littlebaby, the youngest baby first"""
        return [self.run(name) for name in shipped.SHIPPED.values() if shipped.home(name)]

    def run(self, name: str, paths: Paths | None = None) -> Run:
        """The summary of one run. paths: those of its files; None: they are searched for"""
        paths, damaged = paths or [file.path for file in self.files(name)], Names()

        def attempt(load):
            try:
                return load(name)
            except BadInput as error:
                damaged.append(str(error))

        config_file = attempt(self.load_config_file) if self.existing("config", name).exists() else None
        report = attempt(self.load_report) if self.existing("report", name).exists() else None
        first_change = min((stat.st_mtime for p in paths if (stat := stat_of(p))), default=0.0)
        time = config_file.time if config_file and config_file.time else datetime.fromtimestamp(first_change, timezone.utc)
        saved = checkpoints(self.path("checkpoint", name))
        in_use = not (report and report.ended) and disk.is_locked(self.path("lock", name))
        return Run(name, time, sum(sized(p).bytes for p in paths), config_file and config_file.config, report, damaged,
                   step_of(saved[-1]) if saved else None, in_use, self.existing("model", name).exists())

    def files_to_delete(self, name: str, finetuned: bool = False) -> Files:
        """The files that `delete` would remove, all of them in this workspace"""
        return [file for each in self.family(name, finetuned) for file in self.files(each) if file.path.is_relative_to(self.root)]

    def delete(self, name: str, finetuned: bool = False) -> Files:
        """Delete all files of a run, and of its finetunes if `finetuned`; returns them. InUse where another process uses one of the runs"""
        family = self.family(name, finetuned)
        deleted = self.files_to_delete(name, finetuned)
        with ExitStack() as locks:
            for each in family:
                locks.enter_context(self.lock(each))
            for file in deleted:
                disk.remove(file.path)
        for each in family:
            disk.remove(self.path("lock", each))
            disk.remove(self.path("queue", each))
        return deleted

    def family(self, name: str, finetuned: bool) -> Names:
        """[name], and if `finetuned` the names of the runs that start from it"""
        return [name] + [each for each in sorted(self.names()) if finetuned and each.startswith((f"{name}_finetuned", f"{name}_school"))]

    @contextmanager
    def lock(self, name: str) -> Iterator[str]:
        """Lock a run against other processes. InUse where another process has it"""
        with disk.locked(self.path("lock", name), in_use_sentence(name)):
            yield name

    # the contents of the files

    def save_config(self, name: str, config: Config, base: str = "") -> None:
        """Save the settings of a run. base: the name of the run that was finetuned, or "" """
        head = dict(version=VERSION, guid=name, base=base, time=now())
        self.write("config", name, ConfigFile(**config.model_dump(), **head), first=[*head])

    def load_config_file(self, name: str) -> ConfigFile:
        """The settings with the version that wrote them, the base and the time"""
        return self.load("config", name)

    def load_config(self, name: str) -> Config:
        return self.load_config_file(name).config

    def save_tokenizer(self, name: str, record: dict[str, Any]) -> None:
        """Save a tokenizer. record: the result of its `to_json`"""
        self.write("tokenizer", name, TokenizerFile(guid=name, **record))

    def has_tokenizer(self, name: str) -> bool:
        """Whether a run has a tokenizer; False for a model that was imported without one"""
        has_report = self.existing("report", name).exists()
        return self.existing("tokenizer", name).exists() or has_report and self.load_report(name).tokenizer != ""

    def load_tokenizer(self, name: str) -> Any:
        """The record for `text.from_json`; that of a foreign file is returned unchanged"""
        path = self.existing("tokenizer", name)
        data = disk.read_json(path)
        if isinstance(data, dict) and "vocabilary" in data:
            data["vocabulary"] = data.pop("vocabilary")
        return parse_record(TokenizerFile, data, path).model_dump() if isinstance(data, dict) and "kind" in data else data

    def save_model(self, name: str, tensors: Mapping[str, np.ndarray], kinds: Mapping[str, str], trainable: Mapping[str, bool],
                   snapshot: str = "auto") -> None:
        """Save the weights

        tensors, kinds, trainable: {name: array}, {name: kind} and {name: whether training changes it}      snapshot: as c_snapshot
        RunFailed for a weight that is not finite.
        """
        arrays = {n: weights.plain(a) for n, a in tensors.items()}
        manifest = weights.describe(arrays, kinds, trainable)
        if snapshot == "auto":
            snapshot = "json" if manifest["parameters"].total < SAFETENSORS_FROM else "safetensors"
        if snapshot == "json":
            manifest["blocks"] = weights.base64_blocks(arrays)
        elif snapshot == "lists":
            manifest["lists"] = {n: a.tolist() for n, a in arrays.items()}
        else:
            path = self.path("weights", name)
            disk.write_file(path, weights.safetensors(arrays, dict(guid=name)))
            manifest["file"] = path.name
        self.write("model", name, ModelFile(guid=name, **manifest))

    def load_model(self, name: str) -> tuple[dict[str, np.ndarray], ModelFile]:
        """({name: array}, manifest)"""
        path = self.existing("model", name)
        data = disk.read_json(path)
        if isinstance(data, dict) and "format" not in data:
            kind = "a model of The Little Baby v0" if "wte_weight" in data else "not a model that littlebaby wrote"
            raise BadInput(f"{path} is {kind}: it has no manifest, and this version cannot read it")
        manifest = parse_record(ModelFile, data, path)
        if not manifest.file:
            load = weights.from_lists if manifest.lists else weights.from_blocks
            return load(manifest, path), manifest
        if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", manifest.file):
            raise BadInput(f"{path} names its weights {quoted(manifest.file)}; only a file beside it is read, never a path")
        weights_path = path.with_name(manifest.file)
        with disk.explain_os_errors("read", weights_path):
            return weights.from_safetensors(manifest, weights_path), manifest

    def save_adapters(self, name: str, arrays: Mapping[str, np.ndarray], meta: Any) -> None:
        """Save the adapters that are merged into the model of a run

        arrays: {name: array}      meta: any value that JSON can hold
        """
        disk.write_file(self.path("adapters", name), weights.safetensors({n: weights.plain(a) for n, a in arrays.items()}, meta))

    def save_report(self, name: str, report: Report) -> None:
        self.write("report", name, report)

    def load_report(self, name: str) -> Report:
        return self.load("report", name)

    def save_completion(self, name: str, completion: Completion, final: bool = False) -> Path:
        """Save the text generated at the end of a training (`final`), or a further one, with its time in the file name; returns its path"""
        path, data = self.path("completion", name), completion.model_dump(mode="json")
        if final:
            disk.write_json(path, data)
            return path
        with self.locked_texts(name):
            path = unused_path(path, completion.time)
            disk.write_json(path, data)
        return path

    def locked_texts(self, name: str) -> AbstractContextManager[None]:
        """Lock the completions and conversations of a run against other writers. InUse: another process keeps them locked for 10 seconds"""
        return disk.locked(self.path("queue", name), f"another process is still writing the texts of {name} after 10 seconds; stop it", 10)

    def load_completion(self, name: str) -> Completion:
        """The text generated at the end of a training"""
        return self.load("completion", name)

    def completions(self, name: str) -> Completions:
        """All texts that a run has generated, the oldest first; damaged files are omitted"""
        found = []
        for file in self.files(name):
            if file.path.name.startswith(("completion_", "complation_")):
                try:
                    found.append(parse_record(Completion, disk.read_json(file.path), file.path))
                except BadInput:
                    continue
        return sorted(found, key=lambda completion: completion.time)

    def save_chat(self, chat: Chat) -> Path:
        """Save a conversation as one line, in a file with its time in the name; returns its path"""
        with self.locked_texts(chat.guid):
            path = unused_path(self.path("chat", chat.guid), chat.time)
            disk.write_file(path, [chat.model_dump_json().encode("utf-8", "backslashreplace"), b"\n"])
        return path

    def save_direction(self, direction: Direction) -> None:
        """A direction of the same name is replaced"""
        self.write("direction", f"{direction.name}_{direction.guid}", direction)

    def load_direction(self, name: str, run: str) -> Direction:
        """A direction of a run. BadInput: the run has none of this name"""
        found = self.directions(run)
        if name not in found:
            raise BadInput(nearest("the direction", name, found) if found else
                           f"{run} has no direction {quoted(name)}; `{command(f'direction {brief(run)} NAME', self.root)}` makes one")
        return self.load("direction", f"{name}_{run}")

    def directions(self, run: str) -> Names:
        """The names of the directions of a run"""
        return [file.path.stem.split("_")[1] for file in self.files(run) if file.path.name.startswith("direction_")]

    def save_features(self, run: str, arrays: Mapping[str, np.ndarray], data: dict[str, Any]) -> None:
        """Save the autoencoder of a layer, and what is known of its features; those of an earlier one are replaced

        arrays: {name: array} of the autoencoder      data: any values that JSON can hold, among them "layer"
        """
        disk.write_file(self.path("autoencoder", run), weights.safetensors({n: weights.plain(a) for n, a in arrays.items()}, data["layer"]))
        disk.write_json(self.path("features_data", run), data)

    def load_features(self, run: str) -> tuple[dict[str, np.ndarray], int]:
        """({name: array} of the autoencoder of a run, its layer). BadInput: there is none"""
        path = self.path("autoencoder", run)
        if not path.exists():
            raise BadInput(f"{run} has no features yet; `{command(f'features {brief(run)}', self.root)}` finds them")
        with disk.explain_os_errors("read", path):
            return weights.load_safetensors(path)

    def save_sweep(self, sweep: SweepFile) -> None:
        self.write("sweep", sweep.guid, sweep)

    def load_sweep(self, word: str) -> SweepFile:
        """A sweep by its name, the first 4 or more characters of it, or `last`, the newest. BadInput: there is none, or several"""
        paths = sorted(self.root.glob(PLACES["sweep"].format("*")), key=lambda path: path.stat().st_mtime)
        names = [path.stem.removeprefix("sweep_") for path in paths]
        if not names:
            raise BadInput(f"there is no sweep in {self.root} yet; `littlebaby sweep PLAN` makes one")
        found = names[-1:] if word == "last" else [name for name in names if name.startswith(word.lower())]
        if len(found) > 1:
            raise BadInput(f"{len(found)} sweeps begin with {word}: {', '.join(sorted(found)[:5])}; give more characters")
        if not found or len(word) < 4:
            raise BadInput(nearest("the sweep", word, [*names, "last"]))
        return self.load("sweep", found[0])

    def lock_sweep(self, name: str) -> AbstractContextManager[None]:
        """Lock a sweep against other processes. InUse where another process has it"""
        return disk.locked(self.path("sweep_lock", name),
                           f"another process is working on the sweep {brief(name)}; wait for its end or stop it")

    def save_chart(self, name: str, png: bytes) -> None:
        """Save the picture of the losses. png: its bytes"""
        disk.write_file(self.path("chart", name), [png])

    def pack(self, name: str) -> Path:
        """Write all files of a run to a zip, with their paths in a workspace, to be unpacked in another one; returns the path of the zip"""
        path = self.path("archive", name)
        with disk.replacing(path) as temporary, ZipFile(temporary, "w", ZIP_DEFLATED) as archive:
            for place, _ in self.files(name):
                for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
                    if file.is_file() and file not in (path, temporary) and not file.name.startswith("."):
                        archive.write(file, f"{place.parent.name}/{file.relative_to(place.parent)}")
        return path

    def write(self, kind: str, name: str, record: BaseModel, first: Iterable[str] = ()) -> None:
        """Write a record as JSON, beginning with the keys `first`"""
        data = record.model_dump(mode="json")
        disk.write_json(self.path(kind, name), {key: data[key] for key in [*first, *data]})

    def load(self, kind: str, name: str) -> Any:
        """The record of a file, of the class that FILES names for its kind"""
        path = self.existing(kind, name)
        return parse_record(FILES[kind], disk.read_json(path), path)

    # progress in the tour

    def progress(self) -> Exercises:
        """The exercises of the tour that were tried in this workspace. BadInput: progress.json is damaged"""
        path = self.path("progress", "")
        with disk.explain_os_errors("read", path):
            if not path.exists():
                return []
            if path.stat().st_size > MOST_PROGRESS:
                raise BadInput(f"{path} is larger than {MOST_PROGRESS:,} bytes; the progress in the tour has a few thousand")
        return self.load("progress", "").exercises

    def record_attempt(self, lesson: int, number: int, solved: bool) -> None:
        """Count an answer to an exercise of the tour; after the first correct one the entry does not change any more

        BadInput: progress.json is damaged and therefore not replaced. CannotWrite, InUse
        """
        path = self.path("progress", "")
        with disk.locked(self.path("progress_lock", ""), f"another process is still writing {path} after 10 seconds; stop it", 10):
            entries = {(each.lesson, each.number): each for each in self.progress()}
            old = entries.get((lesson, number), ExerciseProgress(lesson=lesson, number=number, version=VERSION))
            if old.solved:
                return
            news = dict(attempts=old.attempts + 1, solved=solved, time=now() if solved else None, version=VERSION)
            entries[lesson, number] = old.model_copy(update=news)
            self.write("progress", "", ProgressFile(exercises=[entries[key] for key in sorted(entries)]))

    # checkpoints, from which an interrupted run is resumed

    def save_checkpoint(self, name: str, step: int, arrays: Mapping[str, np.ndarray], meta: Any) -> None:
        """Save the state after a step; this checkpoint and the one before it are kept

        arrays: {name: array}      meta: any value that JSON can hold
        A checkpoint of a later step is deleted too: it must be damaged, or the run would have been resumed from it.
        """
        folder = self.path("checkpoint", name)
        path = folder / f"state_{step:09d}.safetensors"
        disk.write_file(path, weights.safetensors({n: weights.plain(a) for n, a in arrays.items()}, meta))
        kept = [each for each in checkpoints(folder) if step_of(each) <= step][-KEPT_CHECKPOINTS:]
        for each in checkpoints(folder):
            if each not in kept:
                disk.remove(each)

    def load_checkpoint(self, name: str) -> tuple[dict[str, np.ndarray], Any, Names] | None:
        """({name: array}, meta, sentences) of the newest intact checkpoint; None where there is no checkpoint. BadInput: all are damaged

        sentences: the errors of newer ones that are damaged
        """
        damaged = Names()
        for path in reversed(checkpoints(self.path("checkpoint", name))):
            try:
                with disk.explain_os_errors("read", path):
                    return *weights.load_safetensors(path), damaged
            except BadInput as error:
                damaged.append(str(error))
        if damaged:
            raise BadInput(damaged[0])
        return None

    def remove_partial_files(self, name: str) -> None:
        """Delete the incomplete files that a killed process left; the caller must have locked the run"""
        folder = self.path("checkpoint", name)
        with self.locked_texts(name):
            for path in [*self.scan().get(name, []), *(folder.iterdir() if folder.is_dir() else [])]:
                if path.suffix == disk.TEMPORARY:
                    disk.remove(path)

    def remove_checkpoint(self, name: str) -> None:
        disk.remove(self.path("checkpoint", name))

    def write_export(self, folder: Path, name: str, pieces: Iterable[Any] | Callable[[Path], None]) -> None:
        """Write a file of an exported model. pieces: pieces of bytes, or a function that writes to a path"""
        if callable(pieces):
            with disk.replacing(folder / name) as temporary:
                pieces(temporary)
        else:
            disk.write_file(folder / name, pieces)

    # texts

    def inputs(self) -> Names:
        """The names of the files in inputs/"""
        folder = self.root / "inputs"
        return sorted(p.name for p in folder.iterdir() if p.is_file() and p.name[0] != ".") if folder.is_dir() else []

    def candidates(self, where: Path | str) -> Paths:
        """The possible paths of an input: as given, in the workspace, in inputs/ with or without .txt, the built-in nursery"""
        word, folder = os.path.expanduser(str(where)), self.root / "inputs"
        built_in = BUILT_IN_NURSERY if str(where) in (NURSERY, Path(NURSERY).stem) else []
        return [Path(word), self.root / word, folder / word, folder / f"{word}.txt", *built_in]

    def locate(self, where: Path | str) -> Path:
        """The existing file or folder among `candidates`, files first. BadInput: there is none"""
        with disk.explain_os_errors("read", where):
            found = sorted((p for p in self.candidates(where) if p.exists()), key=lambda p: p.is_dir())
        if not found:
            names, folder = self.inputs(), self.root / "inputs"
            near = get_close_matches(str(where), names, 1, 0.5)
            raise BadInput(f"there is no file {quoted(str(where))}, neither as a path nor in {folder}"
                           + (f"; there are {', '.join(names[:10])}" if names else "")
                           + (f"; did you mean {near[0]}?" if near else ""))
        return found[0]

    def portable(self, path: Path | str) -> str:
        """A path in the form that runs record: relative to the workspace, with slashes, for a path inside it; absolute for all others"""
        path = Path(path).absolute()
        if path in BUILT_IN_NURSERY:
            return NURSERY
        without_dots = ".." not in path.parts
        for inner, outer in [(path, self.root)] * without_dots + [(path.resolve(), self.root.resolve())]:
            if inner.is_relative_to(outer):
                return inner.relative_to(outer).as_posix()
        return str(path)

    def fingerprint(self, path: Path) -> dict[str, Any]:
        """What a run records about an input file: dict(path, bytes, sha256)"""
        return dict(path=self.portable(path), bytes=path.stat().st_size, sha256=content_sha256(path))

    def recall(self, path: str, size: int, sha256: str) -> Path:
        """The input file that a run has recorded: the file at the same path, or any file of inputs/ with the same contents

        path: from `portable`, or from an older version      size (bytes), sha256: from `fingerprint`
        If no file has these contents, the file at that path; the caller then raises an error. BadInput: that does not exist either.
        """
        name, inputs = re.split(r"[/\\]", path)[-1], self.root / "inputs"
        candidates = [self.root / path, *self.candidates(path), inputs / name, *self.candidates(name)]
        with disk.explain_os_errors("read", path):
            existing = [p for p in dict.fromkeys(candidates) if p.is_file()]
            same_size = [p for p in dict.fromkeys([*existing, *sorted(inside(inputs))]) if p.is_file() and p.stat().st_size == size]
        found = next((p for p in same_size if has_content(p, sha256)), None) or next(iter(existing), None)
        if found is None:
            raise BadInput(f"the training text of the run, {quoted(path)}, does not exist any more, and no file in {inputs} has its "
                           f"contents; put it there or give it with --input")
        return found.absolute()

    def input_path(self, where: Path | str) -> Path:
        """The existing file among `candidates`. BadInput: there is none, or it is a folder"""
        path = self.locate(where)
        if path.is_dir():
            raise BadInput(f"{path} is a folder; give one text file in it")
        return path

    def read_text(self, where: Path | str, encoding: str = "utf-8") -> Text:
        """The text of an input file; a byte-order mark is removed and line ends become \\n. BadInput: empty, or not in this encoding"""
        path = self.input_path(where)
        data = disk.read_bytes(path)
        if not data:
            raise BadInput(f"{path} is empty; give a text of at least one character")
        text = "".join(encodings.decoded(BytesIO(data), path, encoding))
        return Text(path.name, text.replace("\r\n", "\n").replace("\r", "\n"), len(data), sha256(data).hexdigest())

    def write_input(self, name: str, pieces: Iterable[str | bytes]) -> Path:
        """Write inputs/NAME from pieces of text or bytes; returns its path. BadInput: the file exists, or the name is not allowed"""
        if not re.fullmatch(r"[^/\\:*?\"<>|\0-\x1f.][^/\\:*?\"<>|\0-\x1f]{0,199}", name):
            raise BadInput(f"{quoted(name)} cannot be the name of a file in inputs/")
        path = self.root / "inputs" / name
        if path.exists():
            raise BadInput(f"{path} exists already; choose another name or delete it first")
        disk.write_file(path, (piece.encode() if isinstance(piece, str) else piece for piece in pieces))
        return path

    def save_tokens(self, path: Path, blocks: Iterable[bytes], tokenizer: dict[str, Any], size: int,
                    facts: Callable[[], dict[str, Any]]) -> int:
        """Write a token file, see `tokens.write_token_file`; returns the number of tokens"""
        with disk.replacing(path) as temporary, open(temporary, "xb") as file:
            return tokens.write_token_file(file, blocks, tokenizer, size, facts)


def in_use_sentence(name: str) -> str:
    """The sentence for a run on which a process works"""
    return f"{name} is in use by another process; wait for its end or stop it"


def content_sha256(path: Path) -> str:
    """The sha256 that identifies an input file: of all bytes of a text, of the header and record of a token file"""
    return tokens.read_token_file(path).sha256 if path.name.lower().endswith(tokens.SUFFIXES) else disk.digest(path)


def has_content(path: Path, digest: str) -> bool:
    """Whether a file can be read and has this sha256, see `content_sha256`"""
    with suppress(BadInput):
        return content_sha256(path) == digest
    return False
