"""The house keeps its walls: imports only go down the stairs, `xp` comes only from backend, only the store writes, nothing is too long."""
import ast
import re
from itertools import takewhile
from pathlib import Path

import pytest

import littlebaby
from littlebaby.runs import store

HOUSE = Path(__file__).parents[1] / "littlebaby"
FILES = sorted(HOUSE.rglob("*.py"))
# text and runs stand beside the stairs: text knows only arrays; runs knows arrays, model and text
STAIRS = ["errors", "arrays", "model", "inference", "training", "evaluation", "runs", "check", "show", "plans", "cli", "__main__"]
BESIDE = dict(text=("text", "arrays", "errors"), runs=("runs", "model", "text", "arrays", "errors"))
ROOMS = dict(
    arrays=["backend", "tree", "erfc", "ops", "kernels", "scans", "__init__"],
    model=["context", "attentions", "networks", "norms", "positions", "gpt"],
    inference=["decoder", "sampling", "generate", "speculative", "baby", "chat"],
    training=["flat", "optimizers", "schedules", "clip", "data", "chat_data", "mpi", "parallel", "evaluate",
              "lora", "loop", "checkpoint"],
    evaluation=["text_scores", "tasks", "lm_eval", "finetune_change"],
    check=["laws", "mistakes", "trace", "variant_measures", "inspect_model", "preflight", "bench"],
    plans=["model_io", "training_data", "process_control", "generation", "training", "manage", "interchange", "inspection", "prepare_text",
           "estimates", "documents", "text_output"],
    cli=["answers", "help", "options", "run_commands", "tool_commands", "main"],
)


def name(path):
    return ".".join(("littlebaby", *path.relative_to(HOUSE).with_suffix("").parts)).removesuffix(".__init__")


def imports(path):
    """(module, names) of everything of ours that a file imports, at any depth, relative ones resolved"""
    package = name(path) if path.name == "__init__.py" else name(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("littlebaby"))
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[:len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            if module.startswith("littlebaby"):
                files = {name(f) for f in FILES}
                yield from {f"{module}.{a.name}" if f"{module}.{a.name}" in files else module for a in node.names}


@pytest.mark.parametrize("path", [f for f in FILES if f.parent != HOUSE or f.name != "__init__.py"], ids=name)
def test_imports_go_down_the_stairs(path):
    me = name(path).split(".")[1:]
    for module in imports(path):
        it = module.split(".")[1:]
        if me[0] in BESIDE:
            assert it[0] in BESIDE[me[0]], f"{me[0]} may know {', '.join(BESIDE[me[0]])}, not {module}"
        elif it and it[0] != "text" and me[0] in STAIRS:
            assert STAIRS.index(it[0]) <= STAIRS.index(me[0]), f"{name(path)} imports {module}, which stands above it"
        if me[0] in ("arrays", "model") and it:
            assert it[0] != "text", f"{name(path)} must not know texts"
        order = ROOMS.get(me[0]) if it and it[0] == me[0] and len(it) > 1 and len(me) > 1 else None
        if order and me[1] != it[1]:
            assert order.index(it[1]) < order.index(me[1]), f"{name(path)} imports {module}, which is listed below it"


def test_the_command_line_uses_plans_alone():
    for path in HOUSE.glob("cli/*.py"):
        rooms = {module.split(".")[1] for module in imports(path)}
        assert rooms <= {"cli", "plans", "errors"}, f"{path.name} imports {rooms}"


@pytest.mark.parametrize("folder", ["attentions", "networks", "norms", "positions", "optimizers"])
def test_variants_know_only_what_is_below(folder):
    """A network may use a network and an attention another attention's halves; otherwise never sideways"""
    for path in HOUSE.rglob(f"{folder}/*.py"):
        for module in imports(path):
            sideways = [f for f in ("attentions", "networks", "norms", "positions", "optimizers") if f in module.split(".") and f != folder]
            assert not sideways, f"{path.name} imports {module}"


def test_arrays_choose_the_library_in_one_place():
    for path in FILES:
        text = path.read_text()
        if path.name != "backend.py":
            assert "import cupy" not in text and "xp = " not in text, path
        if "model" in path.parts:
            assert "import numpy" not in text, f"{path.name} must use xp"


def test_only_the_store_writes():
    writers = ("write_text", "write_bytes", ".unlink(", "os.replace", "os.remove", "rmtree", "mkdir(", ', "w"', ', "wb"', "savefig(")
    for path in FILES:
        if path.name not in ("store.py", "disk.py"):
            found = [w for w in writers if w in path.read_text()]
            if path.name == "charts.py":
                found = [w for w in found if w != "savefig("]    # into memory: the bytes go to the store
            assert not found, f"{path.name}: {found}"


def test_the_maths_stays_small():
    """House rule: arrays/ and model/ without kernels stay under 2,500 lines, blank ones not counted"""
    maths = [f for f in FILES if f.relative_to(HOUSE).parts[0] in ("arrays", "model") and f.name != "kernels.py"]
    assert 500 < sum(bool(line.strip()) for f in maths for line in f.read_text().splitlines()) < 2500


LONGER = {"runs/store.py": "one class, the only one that writes", "text/nursery.py": "its grammar is data",
          "text/oniguruma.py": "one parser"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_file_has_more_than_400_lines_without_a_reason(path):
    long = len(path.read_text("utf-8").splitlines()) > 400
    assert long == (path.relative_to(HOUSE).as_posix() in LONGER)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_file_is_empty_or_undocumented(path):
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


def test_functions_hide_rooms_of_their_name():
    """`lb.inference` and `lb.check` are plans, though rooms have the same names: a room that is first imported later would hide them"""
    assert callable(littlebaby.check) and callable(littlebaby.inference)


def test_the_map_in_the_readme_shows_every_file_and_folder():
    """A line for each file of the first four rooms, and every folder that git keeps or that a run writes"""
    plan = (HOUSE.parent / "README.md").read_text("utf-8").partition("## The map")[2]
    for room in ("arrays", "model", "inference", "training"):
        lines = plan.partition(f"  {room}/ ")[2].splitlines()[1:]
        listed = [line.split()[0] for line in takewhile(lambda line: line.startswith("    "), lines)]
        files = {path.name for path in (HOUSE / room).glob("*.py")} - {"__init__.py"}
        assert {each for each in listed if each.endswith(".py")} == files and len(listed) == len(set(listed)), room
    kept = {path.name for path in HOUSE.iterdir() if (path / "__init__.py").exists()}
    written = {place.partition("/")[0] for place in store.PLACES.values()} | {"tokens"}
    top = {"tests", "benchmarks", "docs", "notebooks", "inputs", ".ci"}
    assert all(re.search(rf"^ *{re.escape(folder)}/ ", plan, re.MULTILINE) for folder in kept | written | top)
