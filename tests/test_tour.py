"""Every lesson of the tour runs from top to bottom and agrees with its source; the check of every exercise accepts the solution."""
import ast
import re
import unicodedata
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from conftest import changed_files
from tour_wrong_answers import WRONG

from littlebaby.runs.store import Workspace
from littlebaby.show.generated import marked_for_nbgrader
from littlebaby.show.lessons import LESSONS as KNOWN
from littlebaby.show.progress import Began
from littlebaby.show.tour import TrainingBar
from littlebaby.training.loop import Done, Step

jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed: pip install -e '.[test]'")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install -e '.[test]'")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install -e '.[test]'")

TOUR = Path(__file__).parents[1] / "notebooks" / "tour"
LESSONS = sorted(TOUR.glob("*/*.py"))
lesson_name = lambda path: f"{path.parent.name}-{path.stem}"
lessons = pytest.mark.parametrize("source", LESSONS, ids=lesson_name)
# of a translation the first lesson runs, the others with -m slow: their code is compared with the English code, which runs
runs = [pytest.param(path, id=lesson_name(path), marks=pytest.mark.slow if path.parent.name != "en" and path.name[:2] != "01" else ())
        for path in LESSONS]
NEXT = dict(en="**Next:**", el="**Συνέχεια:**")          # begins the line that leads to the next lesson
END = dict(en="**The end", el="**Το τέλος")              # begins the last words of the tour


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
    cells = nbformat.read(source.with_suffix(".ipynb"), 4).cells
    sources = marked_for_nbgrader(jupytext.read(source, fmt="py:percent")).cells
    assert [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in cells] \
        == [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in sources]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.parametrize("source", runs)
def test_it_runs_and_every_check_helps_with_wrong_answers_and_accepts_the_solution(source, in_clone):
    """Run in its place in a clone, in which no file changes that git does not ignore; the wrong answers and the first correct one count"""
    place, lesson = in_clone / "notebooks" / "tour" / source.parent.name, int(source.stem[:2])
    in_clone.joinpath("outputs/progress.json").unlink(missing_ok=True)
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
    assert [(each.lesson, each.number, each.attempts, each.solved) for each in Workspace(in_clone).progress()] \
        == [(lesson, number + 1, len(WRONG[lesson, number + 1]) + 1, True) for number in range(len(done))]
    trains = [line for cell in code for line in printed(cell).splitlines() if line.startswith("workspace: ")]
    assert bool(trains) == ("lb.train(" in source.read_text(encoding="utf-8")) and str(in_clone) not in "".join(trains)


def test_the_bar_of_a_training_leaves_the_same_line_every_time(tmp_path, capsys):
    """In a notebook; elsewhere it shows nothing"""
    lines = ["import littlebaby as lb", "from littlebaby.show.tour import TrainingBar", "bar = TrainingBar()",
             "lb.train('nursery', path='.', n_layers=1, n_emb=16, n_heads=1, n_ctx=16, batch_size=2, n_steps=20, n_sample=0,"
             " n_completion=0, n_eval_windows=2, progress=bar)",
             "lb.finetune('last', 'nursery', path='.', n_steps=3, progress=bar);"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("\n".join(lines))])
    nbclient.NotebookClient(book, timeout=300, resources=dict(metadata=dict(path=str(tmp_path)))).execute()
    assert [out.get("data") for out in book.cells[0].outputs] == [{"text/plain": f"{'█' * 20} {n} / {n}"} for n in (20, 3)]
    bar = TrainingBar()
    for event in (Began("", 5, 20, None, ""), Step(6, 1.0, 0.1, 1.0, False, 10.0), Done("finished", 6)):
        bar(event)
    assert bar.line(5, 20) == {"text/plain": f"{'█' * 5}{'░' * 15} 5 / 20"} and capsys.readouterr().out == ""


@pytest.mark.parametrize("source", [path for path in LESSONS if path.parent.name != "en"], ids=lesson_name)
def test_a_translation_computes_what_the_original_does(source):
    mine, theirs = (jupytext.read(path, fmt="py:percent").cells for path in (source, TOUR / "en" / source.name))
    assert [(cell.cell_type, cell.metadata) for cell in mine] == [(cell.cell_type, cell.metadata) for cell in theirs]
    pairs = [(a, b) for a, b in zip(mine, theirs) if a.cell_type == "code" or "solution" in tags(a)]
    for a, b in pairs:
        assert without_words(a) == without_words(b)
    assert any(a.source != b.source for a, b in pairs)
    assert not [a.source for a, b in zip(mine, theirs) if a.cell_type == "markdown" and a.source == b.source]


@pytest.mark.parametrize("there, same", [
    ("print(f'κόστος {n:.3f}')        # ένα σχόλιο", True), ("print(f'{n:.2f} nats')", False), ("print(f'{m:.3f} nats')", False)])
def test_only_words_may_be_translated(there, same):
    code = nbformat.v4.new_code_cell
    assert (without_words(code(there)) == without_words(code("print(f'{n:.3f} nats')"))) == same


def test_every_lesson_of_the_map_is_there_and_leads_to_the_next():
    english = [path for path in LESSONS if path.parent.name == "en"]
    texts = [path.read_text(encoding="utf-8") for path in english]
    assert [path.name[:2] for path in english] == [f"{known.number:02}" for known in KNOWN]
    assert [(f"# # {known.number} · {known.title}" in text, list(known.exercises)) for known, text in zip(KNOWN, texts)] \
        == [(True, re.findall(r"(?m)^# ### \d\. (.*)$", text)) for text in texts]
    assert [known.notebook for known in KNOWN] == [path.stem for path in english]
    readme = (TOUR / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\((\w+/\w+\.ipynb)\)", readme)
    assert sorted(linked) == [f"{path.parent.name}/{path.stem}.ipynb" for path in LESSONS]
    for path, following in zip(LESSONS, LESSONS[1:]):
        language = path.parent.name
        if following.parent.name == language:
            assert f"]({following.stem}.ipynb)" in path.read_text(encoding="utf-8").rsplit(NEXT[language], 1)[1]


@cache
def prose(source):
    """(heading, text) of every section of a lesson, without solutions and without the line that leads to the next lesson"""
    cells = jupytext.read(source, fmt="py:percent").cells
    ends = "|".join(re.escape(words[source.parent.name]) for words in (NEXT, END))
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown" and "solution" not in tags(cell))
    parts = re.split(r"(?m)^#+ (.*)$", re.sub(rf"(?s)({ends}).*", "", text))
    return list(zip(parts[1::2], parts[2::2]))


def without_accents(word):
    return "".join(letter for letter in unicodedata.normalize("NFD", word.lower()) if not unicodedata.combining(letter))


def glossary(language="en"):
    """{term in lower case: (lesson, heading)}, from the table in glossary.md; that of a translation is in its folder"""
    page, folder = (TOUR / "glossary.md", "en/") if language == "en" else (TOUR / language / "glossary.md", "")
    rows = re.findall(rf"(?m)^\| ([^|]+) \| .+ \| \[[^|]*\]\({folder}([^#|/]+)\.ipynb#([^|]+)\) \|$", page.read_text("utf-8"))
    assert rows == sorted(rows, key=lambda row: without_accents(row[0]))
    assert not [anchor for *_, anchor in rows if "%3F" in anchor]        # JupyterLab looks for a heading with the anchor as it is written
    return {term.lower(): (TOUR / language / f"{lesson}.py", unquote(anchor)) for term, lesson, anchor in rows}


@pytest.mark.parametrize("language", NEXT)
def test_every_term_is_introduced_once_where_the_glossary_says(language):
    places = {}
    for source in sorted(TOUR.glob(f"{language}/*.py")):
        for heading, text in prose(source):
            for term in re.findall(r"\*\*([^*]+)\*\*", text):
                places.setdefault(" ".join(term.lower().split()), []).append((source, heading.replace(" ", "-")))
    terms = glossary(language)
    singular = {bold: bold if bold in terms else bold.removesuffix("s") for bold in places}
    assert {singular[bold]: where for bold, where in places.items()} == {term: [where] for term, where in terms.items()}
    assert len(singular) == len(terms) > 90


@pytest.mark.parametrize("language", [language for language in NEXT if language != "en"])
def test_a_translated_glossary_has_every_term_of_its_lessons_where_the_english_one_has_it(language):
    rows = re.findall(r"(?m)^\| ([^|]+) \| ([^|]+) \| .+ \|$", (TOUR / language / "glossary.md").read_text("utf-8"))
    english = {translated.lower(): term.lower() for translated, term in rows}
    theirs = {term: place for term, place in glossary().items() if (TOUR / language / place[0].name).exists()}
    mine = {english[term]: place for term, place in glossary(language).items()}
    assert mine.keys() == theirs.keys()

    def order(place):
        """(name of the lesson, which of its sections)"""
        source, heading = place
        return source.name, [title.replace(" ", "-") for title, _ in prose(source)].index(heading)

    assert {term: order(place) for term, place in mine.items()} == {term: order(place) for term, place in theirs.items()}


# words that also have an everyday meaning, and parts that are announced before they are built
EVERYDAY = """attention bias block context expert gradient head key law layer load margin merge network probability rank score step token
              training value weight""".split()


@pytest.mark.parametrize("term, place", [(term, place) for term, place in glossary().items() if term not in EVERYDAY])
def test_no_term_is_used_before_it_is_introduced(term, place):
    word = re.compile(rf"\b{re.escape(term)}s?\b".replace(r"\ ", r"\s+"), re.IGNORECASE)
    sections = [(source, heading.replace(" ", "-"), text) for source in sorted(TOUR.glob("en/*.py")) for heading, text in prose(source)]
    index = [(source, heading) for source, heading, _ in sections].index(place)
    early = [f"{source.stem}, {heading}" for source, heading, text in sections[:index] if word.search(text)]
    assert not early


# nbgrader

def cleared_by_the_rule(book):
    """What nbgrader's documentation says of a cell marked as a solution that has no other marks: its text is replaced"""
    for cell in book.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = "YOUR ANSWER HERE"
    return book


def cleared_by_nbgrader(book):
    """The notebook after nbgrader's check of the marks, and its preprocessor"""
    reason = "nbgrader is not installed: pip install -e '.[peers]' with Python 3.11 or newer"
    preprocessors = pytest.importorskip("nbgrader.preprocessors", reason=reason)
    pytest.importorskip("nbgrader.nbgraderformat", reason=reason).MetadataValidator().validate_nb(book)
    return preprocessors.ClearSolutions().preprocess(book, {})[0]


@lessons
@pytest.mark.parametrize("clear", [cleared_by_the_rule, cleared_by_nbgrader])
def test_nbgrader_takes_the_solutions_out_and_nothing_else(source, clear):
    path = source.with_suffix(".ipynb")
    before, after = nbformat.read(path, 4).cells, clear(nbformat.read(path, 4)).cells
    kept = [(a, b) for a, b in zip(before, after) if "solution" not in tags(a)]
    assert len(before) == len(after) and all(a == b for a, b in kept)
    solutions = [b for a, b in zip(before, after) if "solution" in tags(a)]
    assert {cell.source for cell in solutions} == {"YOUR ANSWER HERE"}
    marks = [cell.metadata["nbgrader"] for cell in solutions]
    assert len(marks) == len({each["grade_id"] for each in marks}) == sum("exercise" in tags(cell) for cell in after)
    assert all((each["points"], each["schema_version"]) == (0, 3) for each in marks)          # nothing has to be graded by hand


@pytest.mark.parametrize("clear", [cleared_by_the_rule, cleared_by_nbgrader])
def test_without_solutions_a_lesson_runs_up_to_each_exercise_and_shows_its_hint(clear, in_clone):
    place = in_clone / "notebooks" / "tour" / "en"
    book = clear(nbformat.read(place / "05_a_block.ipynb", 4))
    nbclient.NotebookClient(book, timeout=300, resources=dict(metadata=dict(path=str(place)))).execute()
    assert [printed(cell) for cell in book.cells if "exercise" in tags(cell)] == [
        "✗ count returns None: return a formula of D and L.\n",
        "✗ backward returns None: call back_n, then add both paths.\n",
        "✗ put two sets of positions in place of None, such as {0, 1, 2}.\n"]
