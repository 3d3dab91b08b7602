"""Which files of a clone are made from others, and what belongs into each of them today. `littlebaby catalog --all` writes them.

    littlebaby/runs/schemas/*.schema.json    from the records in runs/records.py
    README.md, docs/**/*.md                  the tables between <!-- catalog: NAME --> or <!-- pages: NAME --> and <!-- end -->
    docs/variants/*.md                       from each variant's file
    notebooks/**/*.ipynb                     from their .py files, in which the choices of the form are renewed
    docs/variants/pictures/*.png             only if asked for: their bytes differ from machine to machine
    docs/laws.md                             only if asked for: it takes minutes to measure, as do the numbers in docs/variants/*.md
"""
import json
import re
from functools import cache

from ..check import laws
from ..errors import BadInput
from ..runs import disk, records
from ..runs.presets import presets
from ..runs.settings import allowed
from . import catalog, laws_report, pages

VARIANTS = "docs/variants"
FORM = "notebooks/littlebaby_notebook.py"
NOTEBOOKS = {FORM: "notebooks/littlebaby.ipynb"}         # every other source has the name of its notebook


def generated(root, pictures=False, measure=False, verdicts=laws.verdicts):
    """{path below `root`, a clone: bytes that belong there}

    pictures: the variants' pictures, too. measure: every number of the laws anew, docs/laws.md with them; otherwise a page keeps the
    numbers it has as long as it lists the options of today. verdicts: what measures a variant.
    BadInput: `root` is no clone, a mark names no table, or jupytext is missing.
    """
    if not (root / VARIANTS / "README.md").exists() or not (root / FORM).exists():
        raise BadInput(f"{root} is no clone of the repository: its docs/ and notebooks/ are not there")
    verdicts = cache(verdicts)
    made = schemas() | tables(root) | variant_pages(root, verdicts, measure) | notebooks(root)
    if pictures:
        made |= {f"{VARIANTS}/{name}": png for name, png in pages.pictures().items()}
    if measure:
        made["docs/laws.md"] = laws_report.laws_page(laws_report.verdict_rows(verdicts), laws_report.mistakes()).encode()
    return made


def schemas():
    return {f"littlebaby/runs/schemas/{name}.schema.json": disk.indented_json(schema).encode()
            for name, schema in records.schemas().items()}


def tables(root):
    """Every page with a mark, its tables renewed"""
    texts = {path: path.read_text("utf-8") for path in (root / "README.md", *sorted((root / "docs").rglob("*.md")))}
    return {path.relative_to(root).as_posix(): pages.index(catalog.fill(text)).encode() for path, text in texts.items()
            if catalog.MARK.search(text) or pages.MARK.search(text)}


def variant_pages(root, verdicts, measure):
    written = {} if measure else {path.name: path.read_text("utf-8") for path in (root / VARIANTS).glob("*.md")}
    return {f"{VARIANTS}/{name}": text.encode() for name, text in pages.pages(verdicts, written).items()}


# notebooks

def notebooks(root):
    """The source of the form with today's choices, and every notebook; one that already is what its source says keeps its bytes"""
    sources = {path.relative_to(root).as_posix(): path.read_text("utf-8")
               for path in (root / FORM, *sorted((root / "notebooks" / "tour").glob("*/*.py")))}
    sources[FORM] = with_choices(sources[FORM])
    made = {FORM: sources[FORM].encode()}
    for source, text in sources.items():
        path = NOTEBOOKS.get(source, source.removesuffix(".py") + ".ipynb")
        made[path] = notebook(text, (root / path).read_text("utf-8") if (root / path).exists() else None).encode()
    return made


def with_choices(source):
    """The notebook's source, its form offering every preset, attention and network there is"""
    choices = dict(preset=list(presets()), attention=["", *allowed("c_attention")],
                   network=["", *allowed("c_network")])
    for name, values in choices.items():
        source = re.sub(rf"(?m)^({name} = .*# @param )\[.*\]$", lambda match: match[1] + json.dumps(values), source)
    return source


def notebook(source, written):
    """A notebook without outputs from its source, as jupytext makes it; `written`: the one that is there, or None"""
    try:
        import jupytext
        from jupytext.combine import combine_inputs_with_outputs
    except ImportError:
        raise BadInput("making the notebooks needs jupytext: pip install -e '.[test]'") from None
    new = jupytext.reads(source, fmt="py:percent")
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


def cells(book):
    return [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in book.cells]
