"""docs/laws.md: the results of the laws for every variant with every option, and the number of planted mistakes that they detect.

`littlebaby catalog --all --measure` measures everything again, `littlebaby check --all --write PAGE` this page alone. As on the pages of
the variants, only the power of ten of an error is shown.
"""
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..check import laws
from ..errors import BadInput
from .pages import bound, markdown_grid, settings_in_words

TESTS = Path(__file__).parents[2] / "tests"
PLANTED = re.compile(r"(\w+\.py)::test_a_broken_(\w+)_is_caught\[(?:\w+\.)?(\w+)?")
HEADS = ("variant", "settings", "cases", "entries", "gradient", "decoding", "causality", "leaves without gradient", "laws")
HEAD = """# The results of all laws

Every attention, network, norm and position, with its default settings and with each of its options, in float64 with dropout, as measured by
`littlebaby check --all --write docs/laws.md`. The page of a variant has a row for each option.

- *cases*: gradients checked, with each option for ordinary inputs, for large inputs and for a single token; *entries*: their elements, of
  inputs and of weights, each compared with finite differences of the forward pass
- *gradient*: the largest relative error; 1e-6 is allowed
- *decoding*: the largest difference between token by token with a cache and all tokens in one pass; 1e-10 is allowed
- *causality*: the largest change that a later token causes in earlier ones; 0 is allowed, and rounding where tokens are routed
"""
MIDDLE = """## Planted mistakes

A law is useful only if it detects mistakes. The tests change a copy of a file in one place, for instance by a lost scale, a lost path or a
mask that is off by one, and require that a law that the correct file keeps fails for the copy: `pytest -k "broken and caught"`.
"""


def verdict_rows(verdicts: Callable = laws.verdicts, on_start: Callable[[str], object] = lambda name: None) -> list[dict]:
    """A row for each variant, then their total: {"folder", "name", "settings", "cases", "entries", the worst errors, "life", "kept"}

    verdicts: measures a variant, like laws.verdicts      on_start: called with the name of every variant before it is measured
    """
    rows: list[dict[str, Any]] = []
    for folder, name in dict.fromkeys((folder, name) for folder, name, _ in laws.cases()):
        on_start(name)
        found = verdicts(name)
        rows.append(dict(folder=folder, name=name, settings=[row["settings"] for row in found],
                         cases=len(found) * len(laws.INPUTS),
                         entries=sum(laws.entries(folder, name, row["settings"]) for row in found), **worst(found)))
    total = dict(folder="", name=f"all {len(rows)}", settings=[more for row in rows for more in row["settings"]])
    return [*rows, total | {each: sum(row[each] for row in rows) for each in ("cases", "entries")} | worst(rows)]


def worst(rows: list[dict]) -> dict:
    """The largest errors of several verdicts, and all leaves without a gradient"""
    return dict({law: max(row[law] for row in rows) for law in ("gradient", "decoding", "causality")},
                life=sorted({leaf for row in rows for leaf in row["life"]}), kept=all(row["kept"] for row in rows))


def mistakes(tests: Path = TESTS) -> list[tuple[str, int, dict[str, int]]]:
    """[(family, number of planted mistakes, {test file: how many of them}), ...], as pytest collects them. BadInput: there are no tests"""
    if not tests.is_dir():
        raise BadInput(f"the planted mistakes are counted in {tests}, which does not exist: write the page from a clone of the repository")
    files = [path for path in sorted(tests.glob("test_*.py")) if "_is_caught(" in path.read_text("utf-8")]
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-n0", "-k", "broken and caught", *map(str, files)]
    output = subprocess.run(collect, capture_output=True, text=True, check=True, cwd=tests.parent).stdout
    families = {name: folder for folder, name, _ in laws.cases()}
    found = Counter((family(kind, first, families), file) for file, kind, first in PLANTED.findall(output))
    order = [*laws.KEYS, "primitives"]
    where = {each: {file: n for (of, file), n in sorted(found.items()) if of == each} for each in order}
    return [(each, sum(files.values()), files) for each, files in where.items() if files]


def family(kind: str, first: str, families: dict[str, str]) -> str:
    """The folder of the variant with which a test's name begins, else "primitives" """
    return "primitives" if kind == "primitive" else families.get(first, "primitives")


def laws_page(rows: list[dict], planted: list[tuple[str, int, dict[str, int]]]) -> str:
    """The text of docs/laws.md, from `verdict_rows` and `mistakes`"""
    table = markdown_grid([HEADS, *(table_row(row) for row in rows)])
    linked = lambda files: ", ".join(f"[{file}](../tests/{file}) {n}" for file, n in files.items())
    detected = markdown_grid([("changed files", "mistakes", "tests"),
                              *([each, str(n), linked(files)] for each, n, files in planted),
                              ("**all**", str(sum(n for _, n, _ in planted)), "")])
    return "\n".join([HEAD, table, "", MIDDLE, detected, ""])


def table_row(row: dict) -> list[str]:
    """A row's cells under HEADS"""
    name, settings = f"[`{row['name']}`](variants/{row['name']}.md)", "<br>".join(map(settings_in_words, row["settings"]))
    if not row["folder"]:
        name, settings = f"**{row['name']}**", f"{len(row['settings'])} settings"
    return [name, settings, f"{row['cases']:,}", f"{row['entries']:,}", bound(row["gradient"]), bound(row["decoding"]),
            bound(row["causality"], 0), ", ".join(row["life"]) or "none", "kept" if row["kept"] else "BROKEN"]
