"""The proof in one place: what the laws measured of every variant with every option, and how many planted mistakes they caught.

`littlebaby catalog --all --measure` measures everything anew, and `littlebaby check --all --write PAGE` this page alone. As
on the variants' pages, the power of ten is what is kept.
"""
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from ..check import laws
from ..errors import BadInput
from .pages import bound, markdown_grid, settings_in_words

TESTS = Path(__file__).parents[2] / "tests"
PLANTED = re.compile(r"(\w+\.py)::test_a_broken_(\w+)_is_caught\[(?:\w+\.)?(\w+)?")
HEADS = ("variant", "tried with", "cases", "entries", "gradient", "decoding", "causality", "leaves without gradient", "laws")
HEAD = """# The laws, all of them

Every attention, network, norm and position, alone and with each option it has, in float64 with dropout: what `littlebaby check --all
--write docs/laws.md` measured. A variant's own page has a row for each option.

- *cases*: gradients checked, of ordinary and of large inputs and of a single token, with each option; *entries*: the numbers in them, of
  inputs and of weights, each held against differences of the forward pass
- *gradient*: the worst relative error, allowed is 1e-6; *decoding*: token by token against all at once, allowed is 1e-10
- *causality*: what a later token changes in earlier ones, allowed is 0, and where tokens are routed rounding
"""
MIDDLE = """## Mistakes planted, and caught

A law that lets a mistake pass is worth nothing. So the tests break a copy of a file in one place, a lost scale, a lost path, a mask off by
one, and require that a law which the right file keeps fails on the broken one; `pytest -k "broken and caught"` does it again.
"""


def verdict_rows(verdicts=laws.verdicts, on_start=lambda name: None):
    """Rows of the variants, their totals last: {"folder", "name", "settings", "cases", "entries", worst numbers, "life", "kept"}

    heard: called with every variant's name before it is measured
    """
    rows = []
    for folder, name in dict.fromkeys((folder, name) for folder, name, _ in laws.cases()):
        on_start(name)
        found = verdicts(name)
        rows.append(dict(folder=folder, name=name, settings=[row["settings"] for row in found],
                         cases=len(found) * len(laws.OPTION_SETTINGS),
                         entries=sum(laws.entries(folder, name, row["settings"]) for row in found), **worst(found)))
    total = dict(folder="", name=f"all {len(rows)}", settings=[more for row in rows for more in row["settings"]])
    return [*rows, total | {each: sum(row[each] for row in rows) for each in ("cases", "entries")} | worst(rows)]


def worst(rows):
    """The worst of several verdicts"""
    return dict({law: max(row[law] for row in rows) for law in ("gradient", "decoding", "causality")},
                life=sorted({leaf for row in rows for leaf in row["life"]}), kept=all(row["kept"] for row in rows))


def mistakes(tests=TESTS):
    """[(family, how many planted mistakes, {test file: how many of them}), ...], as pytest collects them. BadInput: there are no tests"""
    if not tests.is_dir():
        raise BadInput(f"the planted mistakes are counted in {tests}, which is not there: write the page from a clone of the repository")
    files = [path for path in sorted(tests.glob("test_*.py")) if "_is_caught(" in path.read_text("utf-8")]
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-n0", "-k", "broken and caught", *map(str, files)]
    output = subprocess.run(collect, capture_output=True, text=True, check=True, cwd=tests.parent).stdout
    families = {name: folder for folder, name, _ in laws.cases()}
    found = Counter((family(kind, first, families), file) for file, kind, first in PLANTED.findall(output))
    order = [*laws.KEYS, "primitives"]
    where = {each: {file: n for (of, file), n in sorted(found.items()) if of == each} for each in order}
    return [(each, sum(files.values()), files) for each, files in where.items() if files]


def family(kind, first, families):
    """Whose mistake it is: that of the variant its name begins with, else that of a primitive, which many share"""
    return "primitives" if kind == "primitive" else families.get(first, "primitives")


def laws_page(rows, planted):
    """docs/laws.md"""
    laid = markdown_grid([HEADS, *(table_row(row) for row in rows)])
    linked = lambda files: ", ".join(f"[{file}](../tests/{file}) {n}" for file, n in files.items())
    caught = markdown_grid([("what was broken", "mistakes", "where they stand"),
                            *([each, str(n), linked(files)] for each, n, files in planted),
                            ("**all**", str(sum(n for _, n, _ in planted)), "")])
    return "\n".join([HEAD, laid, "", MIDDLE, caught, ""])


def table_row(row):
    """A row's cells under HEADS"""
    name, tried = f"[`{row['name']}`](variants/{row['name']}.md)", "<br>".join(map(settings_in_words, row["settings"]))
    if not row["folder"]:
        name, tried = f"**{row['name']}**", f"{len(row['settings'])} settings"
    return [name, tried, f"{row['cases']:,}", f"{row['entries']:,}", bound(row["gradient"]), bound(row["decoding"]),
            bound(row["causality"], 0), ", ".join(row["life"]) or "none", "kept" if row["kept"] else "BROKEN"]
