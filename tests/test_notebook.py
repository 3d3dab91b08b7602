"""The notebook runs from top to bottom, and agrees with its source."""
import ast
import json
import re
from pathlib import Path

import pytest
from conftest import changed_files

from littlebaby.runs.presets import presets
from littlebaby.runs.settings import allowed

jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed: pip install -e '.[test]'")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install -e '.[test]'")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install -e '.[test]'")

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
BOOK, SOURCE = NOTEBOOKS / "littlebaby.ipynb", NOTEBOOKS / "littlebaby_notebook.py"


def test_the_notebook_is_its_source_without_outputs():
    cells, source = nbformat.read(BOOK, 4).cells, jupytext.read(SOURCE, fmt="py:percent").cells
    assert [(cell.cell_type, cell.source) for cell in cells] == [(cell.cell_type, cell.source) for cell in source]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_no_source_is_imported_in_place_of_a_package():
    """Python looks for a module beside the notebook first"""
    for source in sorted(NOTEBOOKS.rglob("*.py")):
        tree = ast.parse(re.sub(r"(?m)^\s*%.*\n", "", source.read_text(encoding="utf-8")))
        names = {name for node in ast.walk(tree) for name in
                 ([alias.name for alias in node.names] if isinstance(node, ast.Import) else
                  [node.module] if isinstance(node, ast.ImportFrom) and not node.level else [])}
        imported = {name.split(".")[0] for name in names}
        beside = {path.name.split(".")[0] for path in source.parent.iterdir() if path.is_dir() or path.suffix == ".py"}
        assert "littlebaby" in imported and not imported & beside, source


@pytest.mark.parametrize("book", sorted(BOOK.parent.rglob("*.ipynb")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_notebook_is_paired_with_its_source(book):
    """Where JupyterLab has jupytext, a paired notebook that was changed is refused, or what a learner tries lands in the source"""
    assert "jupytext" not in nbformat.read(book, 4).metadata


def test_the_form_offers_what_there_is():
    form = next(cell.source for cell in jupytext.read(SOURCE, fmt="py:percent").cells if "parameters" in cell.metadata.get("tags", []))
    offered = {name: json.loads(words) for name, words in re.findall(r"^(\w+) = .*# @param (\[.*\])$", form, re.MULTILINE)}
    assert offered == dict(preset=list(presets()), attention=["", *allowed("c_attention")],
                           network=["", *allowed("c_network")])


def test_it_runs_where_it_lies_in_a_clone_and_leaves_the_clone_clean(in_clone):
    book = nbformat.read(in_clone / "notebooks" / BOOK.name, 4)
    choice = next(cell for cell in book.cells if "parameters" in cell.metadata.get("tags", []))
    choice.source += "\nsettings = dict(n_layers=1, n_emb=32, n_ctx=64, n_steps=60, s_eval=20, n_completion=100)"
    nbclient.NotebookClient(book, timeout=300, resources=dict(metadata=dict(path=str(in_clone / "notebooks")))).execute()
    printed = "\n".join(out.get("text", "") for cell in book.cells for out in cell.get("outputs", []))
    backward, difference = map(float, re.search(r"backward pass (-?[\d.]+), finite difference (-?[\d.]+)", printed).groups())
    assert abs(backward) > 1e-3 and difference == pytest.approx(backward, rel=0.02)
    assert any("application/vnd.jupyter.widget-view+json" in out.get("data", {}) for cell in book.cells for out in cell.get("outputs", []))
    first = next(out["text"] for cell in book.cells for out in cell.get("outputs", []) if out.get("text"))
    assert first.splitlines()[0] == f"workspace: {in_clone}" and not changed_files(in_clone)
    assert len(list(in_clone.glob("outputs/archive_*.zip"))) == 1
    assert len(list(in_clone.glob("models/model_*.json"))) == 1 + 5 and "files deleted; remaining runs: ['" in printed
    assert any("image/png" in out.get("data", {}) for cell in book.cells for out in cell.get("outputs", []))
