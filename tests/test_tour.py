"""Every lesson of the tour runs from top to bottom and is what its source says; every exercise has a solution that its check accepts."""
import re
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed: pip install -e '.[test]'")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install -e '.[test]'")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install -e '.[test]'")

TOUR = Path(__file__).parents[1] / "notebooks" / "tour"
LESSONS = sorted(TOUR.glob("*/*.py"))
lessons = pytest.mark.parametrize("source", LESSONS, ids=lambda path: f"{path.parent.name}-{path.stem}")


def tags(cell):
    return cell.metadata.get("tags", [])


def said(cell):
    return "".join(out.get("text", "") for out in cell.get("outputs", []))


def solution(cell):
    """The code that a folded cell hides"""
    return re.search(r"<details>.*```python\n(.*?)```\n\n</details>", cell.source, re.DOTALL).group(1)


def solved(book):
    """The book with every solution as a cell of its own behind its exercise: both run, one after the other"""
    cells = []
    for cell in book.cells:
        cells.append(cell)
        if "solution" in tags(cell):
            cells.append(nbformat.v4.new_code_cell(solution(cell), metadata=dict(tags=["solved"])))
        if "parameters" in tags(cell):
            cells.append(nbformat.v4.new_code_cell(cell.metadata["small"]))
    book.cells = cells
    return book


@lessons
def test_a_notebook_is_its_source_without_outputs(source):
    cells, sources = nbformat.read(source.with_suffix(".ipynb"), 4).cells, jupytext.read(source).cells
    assert [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in cells] \
        == [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in sources]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@lessons
def test_it_runs_and_every_exercise_tells_unsolved_from_solved(source, tmp_path, monkeypatch):
    monkeypatch.setenv("LITTLEBABY_HOME", str(tmp_path))
    book = solved(nbformat.read(source.with_suffix(".ipynb"), 4))
    nbclient.NotebookClient(book, timeout=300, resources=dict(metadata=dict(path=str(tmp_path)))).execute()
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    open_, done = ([said(cell) for cell in code if tag in tags(cell)] for tag in ("exercise", "solved"))
    assert 2 <= len(open_) == len(done) <= 4
    for text in open_:                                           # one sentence of the check's own, no error of Python's
        assert re.fullmatch(r"✗ (?!\w+(Error|Exception):)[^\n]{20,250}\.\n", text), text
    for text in done:
        assert re.fullmatch(r"✓ [^\n]{10,}\n", text), text
    assert any("image/png" in out.get("data", {}) for cell in code for out in cell.get("outputs", []))


@lessons
def test_a_translation_has_the_cells_of_the_original(source):
    original = TOUR / "en" / source.name
    kinds = lambda path: [(cell.cell_type, tags(cell)) for cell in jupytext.read(path).cells]
    assert kinds(source) == kinds(original)
