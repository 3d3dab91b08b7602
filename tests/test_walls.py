"""The structure of the package: a package imports only from those below it, only backend chooses the array library, only the store writes
files, and the mathematics stays small."""
import ast
import re
from itertools import takewhile
from pathlib import Path

import pytest

import littlebaby
from littlebaby.runs import store

PACKAGE = Path(__file__).parents[1] / "littlebaby"
FILES = sorted(PACKAGE.rglob("*.py"))
# the packages in order: each may import those before it; text and runs may import only the packages in ALLOWED
ORDER = ["errors", "arrays", "model", "inference", "training", "evaluation", "runs", "check", "show", "plans", "cli", "__main__"]
ALLOWED = dict(text=("text", "arrays", "errors"), runs=("runs", "model", "text", "arrays", "errors"))
# the modules of a package in order: each may import those before it
MODULES = dict(
    arrays=["backend", "tree", "erfc", "ops", "kernels", "scans", "__init__"],
    model=["context", "attentions", "networks", "norms", "positions", "gpt"],
    inference=["decoder", "sampling", "generate", "speculative", "baby", "steering", "chat"],
    training=["flat", "optimizers", "school", "schedules", "clip", "data", "chat_data", "mpi", "objectives", "parallel", "evaluate",
              "lora", "loop", "checkpoint", "rewards", "rollouts", "sparse_autoencoder"],
    evaluation=["text_scores", "tasks", "lm_eval", "finetune_change", "search", "run_statistics", "learning_rates"],
    check=["laws", "mistakes", "trace", "variant_measures", "inspect_model", "interventions", "causes", "features", "curves",
           "preflight", "bench"],
    plans=["model_io", "training_data", "process_control", "judgement", "steering", "school_data", "generation", "training_run",
           "training", "school", "manage", "comparison", "sweep_plan", "sweep_runs", "sweep", "rate_search", "interchange", "inspection",
           "causes", "prepare_text", "estimates", "documents", "lessons", "text_output"],
    cli=["answers", "help", "options", "run_commands", "steering_commands", "sweep_commands", "tool_commands", "main"],
)


def name(path):
    """The name of the module in a file"""
    return ".".join(("littlebaby", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def imports(path):
    """Yield the full names of the modules of littlebaby that a file imports, also inside functions"""
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


@pytest.mark.parametrize("path", [f for f in FILES if f.parent != PACKAGE or f.name != "__init__.py"], ids=name)
def test_a_package_imports_only_from_those_below_it(path):
    own = name(path).split(".")[1:]
    for module in imports(path):
        imported = module.split(".")[1:]
        if own[0] in ALLOWED:
            assert imported[0] in ALLOWED[own[0]], f"{own[0]} may import {', '.join(ALLOWED[own[0]])}, not {module}"
        elif imported and imported[0] != "text" and own[0] in ORDER:
            assert ORDER.index(imported[0]) <= ORDER.index(own[0]), f"{name(path)} imports {module}, which comes after it in ORDER"
        if own[0] in ("arrays", "model") and imported:
            assert imported[0] != "text", f"{name(path)} must not import text"
        order = MODULES.get(own[0]) if imported and imported[0] == own[0] and len(imported) > 1 and len(own) > 1 else None
        if order and own[1] != imported[1]:
            assert order.index(imported[1]) < order.index(own[1]), f"{name(path)} imports {module}, which comes after it in MODULES"


def test_the_command_line_imports_only_plans():
    for path in PACKAGE.glob("cli/*.py"):
        packages = {module.split(".")[1] for module in imports(path)}
        assert packages <= {"cli", "plans", "errors"}, f"{path.name} imports {packages}"


@pytest.mark.parametrize("folder", ["attentions", "networks", "norms", "positions", "optimizers"])
def test_a_variant_imports_no_variant_of_another_folder(folder):
    """A network may import a network and an attention an attention, but neither may import the other"""
    for path in PACKAGE.rglob(f"{folder}/*.py"):
        for module in imports(path):
            others = [f for f in ("attentions", "networks", "norms", "positions", "optimizers") if f in module.split(".") and f != folder]
            assert not others, f"{path.name} imports {module}"


def test_only_backend_chooses_the_array_library():
    for path in FILES:
        text = path.read_text()
        if path.name != "backend.py":
            assert "import cupy" not in text and "xp = " not in text, path
        if "model" in path.parts:
            assert "import numpy" not in text, f"{path.name} must use xp"


def test_only_the_store_writes_files():
    writers = ("write_text", "write_bytes", ".unlink(", "os.replace", "os.remove", "rmtree", "mkdir(", ', "w"', ', "wb"', "savefig(")
    for path in FILES:
        if path.name not in ("store.py", "disk.py"):
            found = [w for w in writers if w in path.read_text()]
            if path.name == "charts.py":
                found = [w for w in found if w != "savefig("]    # it writes into memory, and the store writes the file
            assert not found, f"{path.name}: {found}"


def test_the_mathematics_stays_small():
    """What all models share, arrays/ and model/ without kernels and variants, has fewer than 1,300 lines that are not blank, and a variant
    has about 50 in the mean; together they have fewer than 2,600"""
    lines = lambda file: sum(bool(line.strip()) for line in file.read_text().splitlines())
    files = [f for f in FILES if f.relative_to(PACKAGE).parts[0] in ("arrays", "model") and f.name != "kernels.py"]
    kinds = ("attentions", "networks", "norms", "positions")
    variants = [f for f in files if f.parent.name in kinds and f.name != "__init__.py"]
    assert 500 < sum(lines(f) for f in files if f.parent.name not in kinds) < 1300 and sum(map(lines, files)) < 2600
    assert len(variants) > 20 and sum(map(lines, variants)) / len(variants) < 60


LONGER = {"runs/store.py": "one class, the only one that writes", "runs/settings.py": "half of it is data: the settings of all models",
          "runs/records.py": "data: the fields of all files", "text/oniguruma.py": "one parser"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_file_has_more_than_400_lines_without_a_reason(path):
    long = len(path.read_text("utf-8").splitlines()) > 400
    assert long == (path.relative_to(PACKAGE).as_posix() in LONGER)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_file_has_a_docstring(path):
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


def test_plans_hide_packages_with_the_same_name():
    """`lb.inference` and `lb.check` are plans; packages with these names would hide them if they were first imported later"""
    assert callable(littlebaby.check) and callable(littlebaby.inference)


def test_the_map_in_the_readme_shows_every_file_and_folder():
    """There is a line for each file of the first four packages, and for every folder that git keeps or that a run writes"""
    readme_map = (PACKAGE.parent / "README.md").read_text("utf-8").partition("## The map")[2]
    for package in ("arrays", "model", "inference", "training"):
        lines = readme_map.partition(f"  {package}/ ")[2].splitlines()[1:]
        listed = [line.split()[0] for line in takewhile(lambda line: line.startswith("    "), lines)]
        files = {path.name for path in (PACKAGE / package).glob("*.py")} - {"__init__.py"}
        assert {each for each in listed if each.endswith(".py")} == files and len(listed) == len(set(listed)), package
    kept = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    written = {place.partition("/")[0] for place in store.PLACES.values()} | {"tokens"}
    top = {"tests", "benchmarks", "docs", "notebooks", "inputs", ".ci"}
    assert all(re.search(rf"^ *{re.escape(folder)}/ ", readme_map, re.MULTILINE) for folder in kept | written | top)
