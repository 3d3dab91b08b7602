"""docs/laws.md names every variant with every option that exists, counts every planted mistake, and its numbers can be had again."""
from pathlib import Path

import pytest
from test_pages import kept, stable

from littlebaby.check import laws
from littlebaby.errors import BadInput
from littlebaby.show import laws_report

PAGE = Path(__file__).parents[1] / "docs" / "laws.md"
ADVICE = "docs/laws.md is out of date; run: littlebaby catalog --all --measure"


def test_the_page_is_current():
    planted = laws_report.mistakes()
    assert stable(PAGE.read_text("utf-8")) == stable(laws_report.laws_page(laws_report.verdict_rows(kept), planted)), ADVICE
    assert dict((family, n) for family, n, _ in planted)["attentions"] >= 70 and sum(n for _, n, _ in planted) >= 150


def test_no_option_is_left_out():
    """Every case of the laws stands in the page's rows once, and the last row adds them up"""
    *rows, total = laws_report.verdict_rows(kept)
    assert [(row["folder"], row["name"], more) for row in rows for more in row["settings"]] == laws.cases()
    assert len(total["settings"]) == len(laws.cases()) and total["cases"] == 3 * len(laws.cases())
    assert total["entries"] == sum(row["entries"] for row in rows) > 10 * total["cases"]


def test_the_worst_is_what_a_row_shows():
    verdicts = lambda name: [dict(row, gradient=0.1 * i, life=["wq"] * i, kept=not i) for i, row in enumerate(kept(name))]
    row = next(row for row in laws_report.verdict_rows(verdicts) if row["name"] == "gqa")
    assert row["gradient"] == pytest.approx(0.1 * (len(row["settings"]) - 1)) and row["life"] == ["wq"] and not row["kept"]
    assert "| wq | BROKEN |" in laws_report.laws_page([row], [])


def test_entries_are_those_that_are_compared():
    """rmsnorm at width 8: inputs (2, 5, 8) twice and (2, 1, 8) once, and 8 weights each time"""
    assert laws.entries("norms", "rmsnorm", {}) == 2 * 80 + 16 + 3 * 8


def test_a_row_can_be_had_again():
    """The cheapest one, measured: its numbers lie below the bounds that the page states, a power of ten granted to another machine"""
    [row] = laws.verdicts("rmsnorm")
    said = next(line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| [`rmsnorm`]"))
    gradient, decoding, causality = said.split(" | ")[4:7]
    assert 0 < row["gradient"] < 10 * float(gradient[2:]) and row["decoding"] < 10 * float(decoding[2:])
    assert row["causality"] == float(causality) == 0 and row["kept"] and said.endswith("| none | kept |")


def test_without_a_clone_there_is_nothing_to_count(tmp_path):
    with pytest.raises(BadInput, match="from a clone of the repository"):
        laws_report.mistakes(tmp_path / "tests")
