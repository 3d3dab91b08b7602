"""The generated files of a clone, and their current contents. `littlebaby catalog --all` writes those that are out of date.

    littlebaby/runs/schemas/*.schema.json    from the records in runs/records.py
    README.md, docs/**/*.md                  the tables between <!-- catalog: NAME --> or <!-- pages: NAME --> and <!-- end -->
    docs/variants/*.md                       from each variant's file
    notebooks/**/*.ipynb                     from their .py files, of which one has a form whose choices are renewed
    docs/variants/pictures/*.png             only with `pictures`: their bytes differ between machines
    docs/laws.md                             only with `measure`, which takes minutes, as do the errors in docs/variants/*.md
"""
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ..check import laws
from ..errors import BadInput
from ..runs import disk, records
from ..runs.presets import presets
from ..runs.settings import allowed
from . import catalog, laws_report, pages

VARIANTS = "docs/variants"
FORM = "notebooks/littlebaby_notebook.py"
NOTEBOOKS = {FORM: "notebooks/littlebaby.ipynb"}         # every other notebook has the name of its source


def generated(root: Path, pictures: bool = False, measure: bool = False, verdicts: Callable = laws.verdicts) -> dict[str, bytes]:
    """{path below `root`, a clone: the current contents}

    pictures: also the pictures of the variants. measure: measure all errors again, also for docs/laws.md; otherwise a page keeps its errors
    while its options are the current ones. verdicts: measures a variant, like laws.verdicts.
    BadInput: `root` is no clone, a mark names no table, or jupytext is missing.
    """
    if not (root / VARIANTS / "README.md").exists() or not (root / FORM).exists():
        raise BadInput(f"{root} is no clone of the repository: it lacks docs/ or notebooks/")
    verdicts = cache(verdicts)
    made = schemas() | tables(root) | variant_pages(root, verdicts, measure) | notebooks(root)
    if pictures:
        made |= {f"{VARIANTS}/{name}": png for name, png in pages.pictures().items()}
    if measure:
        made["docs/laws.md"] = laws_report.laws_page(laws_report.verdict_rows(verdicts), laws_report.mistakes()).encode()
    return made


def schemas() -> dict[str, bytes]:
    return {f"littlebaby/runs/schemas/{name}.schema.json": disk.indented_json(schema).encode()
            for name, schema in records.schemas().items()}


def tables(root: Path) -> dict[str, bytes]:
    """Every page that has a mark, with new tables"""
    texts = {path: path.read_text("utf-8") for path in (root / "README.md", *sorted((root / "docs").rglob("*.md")))}
    return {path.relative_to(root).as_posix(): pages.index(catalog.fill(text)).encode() for path, text in texts.items()
            if catalog.MARK.search(text) or pages.MARK.search(text)}


def variant_pages(root: Path, verdicts: Callable, measure: bool) -> dict[str, bytes]:
    written = {} if measure else {path.name: path.read_text("utf-8") for path in (root / VARIANTS).glob("*.md")}
    return {f"{VARIANTS}/{name}": text.encode() for name, text in pages.pages(verdicts, written).items()}


# notebooks

def notebooks(root: Path) -> dict[str, bytes]:
    """The source of the form with the current choices, and every notebook; one that agrees with its source keeps its bytes"""
    sources = {path.relative_to(root).as_posix(): path.read_text("utf-8")
               for path in (root / FORM, *sorted((root / "notebooks" / "tour").glob("*/*.py")))}
    sources[FORM] = with_choices(sources[FORM])
    made = {FORM: sources[FORM].encode()}
    for source, text in sources.items():
        path = NOTEBOOKS.get(source, source.removesuffix(".py") + ".ipynb")
        made[path] = notebook(text, (root / path).read_text("utf-8") if (root / path).exists() else None).encode()
    return made


def with_choices(source: str) -> str:
    """The source with a form that offers all presets, attentions and networks"""
    choices = dict(preset=list(presets()), attention=["", *allowed("c_attention")],
                   network=["", *allowed("c_network")])
    for name, values in choices.items():
        source = re.sub(rf"(?m)^({name} = .*# @param )\[.*\]$", lambda match: match[1] + json.dumps(values), source)
    return source


def notebook(source: str, written: str | None) -> str:
    """A notebook without outputs, made from its source by jupytext; `written`: the existing one. BadInput: jupytext is missing"""
    try:
        import jupytext
        from jupytext.combine import combine_inputs_with_outputs
    except ImportError:
        raise BadInput("making the notebooks needs jupytext: pip install -e '.[test]'") from None
    new = marked_for_nbgrader(jupytext.reads(source, fmt="py:percent"))
    if written is not None:
        old = jupytext.reads(written, fmt="ipynb")
        if cells(old) == cells(new) and not any(cell.get("outputs") or cell.get("execution_count") for cell in old.cells):
            return written
        new = combine_inputs_with_outputs(new, old, "py:percent")
    for cell in new.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    new.metadata.pop("jupytext", None)                           # a notebook is not paired with its source
    return jupytext.writes(new, fmt="ipynb")


def marked_for_nbgrader(book: Any) -> Any:
    """The same notebook, with the cells that are tagged "solution" marked so that `nbgrader generate_assignment` replaces their text

    nbgrader allows a solution in a text cell only if the cell is graded; it has 0 points, so that there is nothing to grade by hand.
    """
    solutions = [cell for cell in book.cells if "solution" in cell.metadata.get("tags", [])]
    for number, cell in enumerate(solutions, 1):
        cell.metadata["nbgrader"] = dict(schema_version=3, grade_id=f"solution_{number}", grade=True, points=0, solution=True,
                                         locked=False, task=False)
    return book


def cells(book: Any) -> list[tuple]:
    return [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in book.cells]
