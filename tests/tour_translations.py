"""Which cells of a translated lesson are older than the English cells that they were made from.

    python tests/tour_translations.py el                    # one line for each such cell
    python tests/tour_translations.py el --record 2 7       # after translating: lessons 2 and 7 agree with the English ones of now

The file translated.json of a language has for every lesson the hash of each English cell from which its translation was made.
"""
import argparse
import hashlib
import json
from difflib import SequenceMatcher
from pathlib import Path

TOUR = Path(__file__).parents[1] / "notebooks" / "tour"


def cells_of(lesson: Path) -> list:
    import jupytext  # which a clone without the tests' packages lacks

    return jupytext.read(lesson, fmt="py:percent").cells


def fingerprint(cell) -> str:
    """A hash of the type, the metadata and the text of a cell"""
    return hashlib.sha256(json.dumps([cell.cell_type, cell.metadata, cell.source], sort_keys=True).encode()).hexdigest()[:12]


def first_words(cell) -> str:
    return " ".join(cell.source.replace("#", " ").split()[:6])


def recorded(folder: Path) -> dict[str, list[str]]:
    """{name of a translated lesson: the hash of each English cell then}"""
    path = folder / "translated.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def outdated(folder: Path) -> list[str]:
    """One line for each cell of the language in `folder` whose English cell has changed since, is new, or is gone"""
    record, lines = recorded(folder), []
    for lesson in sorted(folder.glob("*.py")):
        number, cells, then = int(lesson.name[:2]), cells_of(folder.parent / "en" / lesson.name), record.get(lesson.stem, [])
        for kind, a, b, c, d in SequenceMatcher(None, then, [fingerprint(cell) for cell in cells], autojunk=False).get_opcodes():
            if kind == "equal":
                continue
            lines += [f"lesson {number}, cell {i + 1}, \"{first_words(cells[i])}\": "
                      f"{'its translation is older' if a + i - c < b else 'it has no translation'}" for i in range(c, d)]
            lines += [f"lesson {number}, cell {i + 1} of the translation: its English cell is gone" for i in range(a + d - c, b)]
    return lines


def record_lessons(folder: Path, numbers: list[int]) -> None:
    """Write into translated.json that these lessons agree with the English ones of now"""
    record = recorded(folder) | {lesson.stem: [fingerprint(cell) for cell in cells_of(folder.parent / "en" / lesson.name)]
                                 for lesson in folder.glob("*.py") if int(lesson.name[:2]) in numbers}
    (folder / "translated.json").write_text(json.dumps(dict(sorted(record.items())), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    languages = sorted({path.parent.name for path in TOUR.glob("*/*.py")} - {"en"})
    parser.add_argument("language", choices=languages, help="the folder of the translation")
    parser.add_argument("--record", nargs="+", type=int, metavar="LESSON", help="numbers of lessons whose translation is now up to date")
    given = parser.parse_args()
    if given.record:
        record_lessons(TOUR / given.language, given.record)
    print("\n".join(outdated(TOUR / given.language)) or "every translated cell agrees with its English cell")
