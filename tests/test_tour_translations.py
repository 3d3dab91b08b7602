"""No cell of a translated lesson is older than the English cell that it was made from."""
import pytest
from tour_translations import TOUR, outdated, record_lessons

pytest.importorskip("jupytext", reason="jupytext is not installed: pip install -e '.[test]'")

LANGUAGES = sorted({path.parent.name for path in TOUR.glob("*/*.py")} - {"en"})


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_translated_cell_is_older_than_its_original(language):
    old = outdated(TOUR / language)
    assert not old, "\n".join([f"translate these cells, then run: python tests/tour_translations.py {language} --record LESSON", *old])


LESSON = "01_a_model_is_a_guess.py"
FIFTEENTH = "# %% [markdown]\n# ## The second model: what follows what?\n"


@pytest.fixture
def tour(tmp_path):
    """A copy of the first lesson in English and in Greek"""
    for language in ("en", "el"):
        (tmp_path / language).mkdir()
        (tmp_path / language / LESSON).write_bytes((TOUR / language / LESSON).read_bytes())
    record_lessons(tmp_path / "el", [1])
    assert not outdated(tmp_path / "el")
    return tmp_path


@pytest.mark.parametrize("there, then, lines", [
    ("how often each character really follows", "how often a character really follows",
     ['lesson 1, cell 9, "In this lesson we begin on": its translation is older']),
    ("single = -np.log", "single = - np.log", ['lesson 1, cell 12, "uniform = -np.log(1 / V) no": its translation is older']),
    ('# %% tags=["exercise"]\nsize = None', "# %%\nsize = None",
     ['lesson 1, cell 29, "size = None check(size)": its translation is older']),
    (FIFTEENTH, "# %% [markdown]\n# A new cell.\n\n" + FIFTEENTH, ['lesson 1, cell 15, "A new cell.": it has no translation']),
    ('# %% tags=["exercise"]\nsize = None\n\ncheck(size)\n\n', "",
     ["lesson 1, cell 29 of the translation: its English cell is gone"]),
    (FIFTEENTH, "# ## The second model: what follows what?\n",
     ['lesson 1, cell 14, "z = np.log(p) print(f"largest difference between": its translation is older',
      "lesson 1, cell 15 of the translation: its English cell is gone"])])
def test_a_changed_english_cell_is_named_in_one_line(tour, there, then, lines):
    lesson = tour / "en" / LESSON
    text = lesson.read_text("utf-8")
    assert text.count(there) == 1
    lesson.write_text(text.replace(there, then), "utf-8")
    assert outdated(tour / "el") == lines
    record_lessons(tour / "el", [1])
    assert not outdated(tour / "el")
