"""Every lesson of the tour runs from top to bottom and agrees with its source; the check of every exercise accepts the solution."""
import ast
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from conftest import changed_files
from tour_wrong_answers import WRONG

jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed: pip install -e '.[test]'")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install -e '.[test]'")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install -e '.[test]'")

TOUR = Path(__file__).parents[1] / "notebooks" / "tour"
LESSONS = sorted(TOUR.glob("*/*.py"))
lesson_name = lambda path: f"{path.parent.name}-{path.stem}"
lessons = pytest.mark.parametrize("source", LESSONS, ids=lesson_name)


def tags(cell):
    return cell.metadata.get("tags", [])


def printed(cell):
    return "".join(out.get("text", "") for out in cell.get("outputs", []))


def solution(cell):
    """The code in a folded solution cell"""
    return re.search(r"<details>.*```python\n(.*?)```\n\n</details>", cell.source, re.DOTALL).group(1)


def without_words(cell):
    """The syntax tree of a cell without comments and with every string emptied; the values in f-strings stay, with their formats"""
    source = solution(cell) if cell.cell_type == "markdown" else cell.source
    tree = ast.parse(re.sub(r"(?m)^\s*%.*\n", "", source))                         # %pip is not Python
    formats = {id(part) for node in ast.walk(tree) if getattr(node, "format_spec", None) for part in ast.walk(node.format_spec)}
    texts = [node for node in ast.walk(tree) if id(node) not in formats]
    for node in texts:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    for node in texts:
        if isinstance(node, ast.JoinedStr):                                         # a translation may print its numbers in another order
            node.values = sorted((part for part in node.values if isinstance(part, ast.FormattedValue)), key=ast.dump)
    return ast.dump(tree)


def answered(book, lesson):
    """The notebook with the wrong answers to every exercise and its solution in code cells after it, and with the small parameters"""
    cells, exercise = [], 0
    for cell in book.cells:
        cells.append(cell)
        if "exercise" in tags(cell):
            exercise += 1
            for answer in WRONG[lesson, exercise]:
                call = cell.source.splitlines()[-1]
                cells.append(nbformat.v4.new_code_cell(f"{answer}\n\n{call}", metadata=dict(tags=["wrong"])))
        if "solution" in tags(cell):
            cells.append(nbformat.v4.new_code_cell(solution(cell), metadata=dict(tags=["solved"])))
        if "parameters" in tags(cell):
            cells.append(nbformat.v4.new_code_cell(cell.metadata["small"]))
    book.cells = cells
    return book


@lessons
def test_a_notebook_is_its_source_without_outputs(source):
    cells, sources = nbformat.read(source.with_suffix(".ipynb"), 4).cells, jupytext.read(source, fmt="py:percent").cells
    assert [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in cells] \
        == [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in sources]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@lessons
def test_it_runs_and_every_check_helps_with_wrong_answers_and_accepts_the_solution(source, in_clone):
    """Run in its place in a clone, in which no file changes"""
    place, lesson = in_clone / "notebooks" / "tour" / source.parent.name, int(source.stem[:2])
    book = answered(nbformat.read(place / f"{source.stem}.ipynb", 4), lesson)
    nbclient.NotebookClient(book, timeout=300, resources=dict(metadata=dict(path=str(place)))).execute()
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    open_, wrong, done = ([printed(cell) for cell in code if tag in tags(cell)] for tag in ("exercise", "wrong", "solved"))
    assert 2 <= len(open_) == len(done) <= 4
    answers = [pair for number in range(len(done)) for pair in WRONG[lesson, number + 1].items()]
    assert len(wrong) == len(answers) >= 3 * len(done)
    if source.parent.name == "en":
        assert not [(answer, text) for text, (answer, line) in zip(wrong, answers) if line not in text]
    for text in open_ + wrong:                                   # one sentence from the check, not an error from Python
        assert re.fullmatch(r"✗ (?!\w+(Error|Exception):)[^\n]{20,250}\.\n", text), text
    for text in done:
        assert re.fullmatch(r"✓ [^\n]{10,}\n", text), text
    assert any("image/png" in out.get("data", {}) for cell in code for out in cell.get("outputs", []))
    assert not changed_files(in_clone)
    trains = [line for cell in code for line in printed(cell).splitlines() if line.startswith("workspace: ")]
    assert bool(trains) == ("lb.train(" in source.read_text(encoding="utf-8")) and str(in_clone) not in "".join(trains)


@pytest.mark.parametrize("source", [path for path in LESSONS if path.parent.name != "en"], ids=lesson_name)
def test_a_translation_computes_what_the_original_does(source):
    mine, theirs = (jupytext.read(path, fmt="py:percent").cells for path in (source, TOUR / "en" / source.name))
    assert [(cell.cell_type, tags(cell)) for cell in mine] == [(cell.cell_type, tags(cell)) for cell in theirs]
    pairs = [(a, b) for a, b in zip(mine, theirs) if a.cell_type == "code" or "solution" in tags(a)]
    for a, b in pairs:
        assert without_words(a) == without_words(b)
    assert any(a.source != b.source for a, b in pairs)


@pytest.mark.parametrize("there, same", [
    ("print(f'κόστος {n:.3f}')        # ένα σχόλιο", True), ("print(f'{n:.2f} nats')", False), ("print(f'{m:.3f} nats')", False)])
def test_only_words_may_be_translated(there, same):
    code = nbformat.v4.new_code_cell
    assert (without_words(code(there)) == without_words(code("print(f'{n:.3f} nats')"))) == same


def test_every_lesson_of_the_map_is_there_and_leads_to_the_next():
    english = [path for path in LESSONS if path.parent.name == "en"]
    assert [path.name[:2] for path in english] == [f"{n:02}" for n in range(1, 12)]
    readme = (TOUR / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\((\w+/\w+\.ipynb)\)", readme)
    assert sorted(linked) == [f"{path.parent.name}/{path.stem}.ipynb" for path in LESSONS]
    for path, following in zip(english, english[1:]):
        assert f"]({following.stem}.ipynb)" in path.read_text(encoding="utf-8").rsplit("**Next:**", 1)[1]


def prose(source):
    """(heading, text) of every section of a lesson, without solutions and without the line that leads to the next lesson"""
    cells = jupytext.read(source, fmt="py:percent").cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown" and "solution" not in tags(cell))
    parts = re.split(r"(?m)^#+ (.*)$", re.sub(r"(?s)\*\*(Next:|The end).*", "", text))
    return list(zip(parts[1::2], parts[2::2]))


def glossary():
    """{term in lower case: (lesson, heading)}, from the table in glossary.md"""
    rows = re.findall(r"(?m)^\| ([^|]+) \| [^|]+ \| \[[^|]*\]\((en/[^#|]+)\.ipynb#([^|]+)\) \|$", (TOUR / "glossary.md").read_text("utf-8"))
    assert rows == sorted(rows, key=lambda row: row[0].lower())
    assert not [anchor for _, _, anchor in rows if "%3F" in anchor]      # JupyterLab looks for a heading with the anchor as it is written
    return {term.lower(): (TOUR / f"{lesson}.py", unquote(anchor)) for term, lesson, anchor in rows}


def test_every_term_is_introduced_once_where_the_glossary_says():
    places = {}
    for source in sorted(TOUR.glob("en/*.py")):
        for heading, text in prose(source):
            for term in re.findall(r"\*\*([^*]+)\*\*", text):
                places.setdefault(" ".join(term.lower().split()), []).append((source, heading.replace(" ", "-")))
    terms = glossary()
    singular = {bold: bold if bold in terms else bold.removesuffix("s") for bold in places}
    assert {singular[bold]: where for bold, where in places.items()} == {term: [where] for term, where in terms.items()}
    assert len(singular) == len(terms) > 90


# words that also have an everyday meaning, and parts that are announced before they are built
EVERYDAY = """attention bias block context expert gradient head key law layer load merge network probability rank score step token training
              value weight""".split()


@pytest.mark.parametrize("term, place", [(term, place) for term, place in glossary().items() if term not in EVERYDAY])
def test_no_term_is_used_before_it_is_introduced(term, place):
    word = re.compile(rf"\b{re.escape(term)}s?\b".replace(r"\ ", r"\s+"), re.IGNORECASE)
    sections = [(source, heading.replace(" ", "-"), text) for source in sorted(TOUR.glob("en/*.py")) for heading, text in prose(source)]
    index = [(source, heading) for source, heading, _ in sections].index(place)
    early = [f"{source.stem}, {heading}" for source, heading, text in sections[:index] if word.search(text)]
    assert not early
