"""Every generated file of the repository is what `littlebaby catalog --all` would write, and that command renews what is not."""
import json
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from test_pages import kept
from test_records import plain

from littlebaby import plans
from littlebaby.check import laws
from littlebaby.errors import BadInput
from littlebaby.show import generated, laws_report

jupytext = pytest.importorskip("jupytext", reason="jupytext is not installed: pip install -e '.[test]'")
ROOT = Path(__file__).parents[1]


def never(name):
    raise AssertionError(f"{name} was measured")


def same(path, there, made):
    """Equal bytes; schemas may be written otherwise by another version of pydantic"""
    return plain(json.loads(there)) == plain(json.loads(made)) if path.endswith(".schema.json") else there == made


def test_no_generated_file_is_out_of_date():
    made = generated.generated(ROOT, verdicts=kept)
    stale = [path for path, data in made.items() if not (ROOT / path).exists() or not same(path, (ROOT / path).read_bytes(), data)]
    assert not stale, f"out of date: {', '.join(stale)}; run: littlebaby catalog --all"
    assert {"README.md", "docs/catalog.md", "docs/variants/mha.md", "docs/variants/README.md", "notebooks/littlebaby.ipynb",
            "notebooks/tour/en/01_a_model_is_a_guess.ipynb", "littlebaby/runs/schemas/config.schema.json"} <= set(made)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The generated files and what they are made from, all of them current; nothing is measured"""
    for folder in ("docs", "notebooks", "littlebaby/runs/schemas"):
        copytree(ROOT / folder, tmp_path / folder, ignore=ignore_patterns("*.png", "__pycache__"))
    (tmp_path / "README.md").write_bytes((ROOT / "README.md").read_bytes())
    monkeypatch.setattr(laws, "verdicts", never)
    plans.renew_generated(root=tmp_path)
    return tmp_path


DAMAGE = {
    "littlebaby/runs/schemas/config.schema.json": ('"n_layers"', '"n_leyers"'),
    "README.md": ("| `mha` | multi-head attention |", "| `mha` | many-headed attention |"),
    "docs/catalog.md": ("| `tiny-gpt2` |", "| `tiny-gpt3` |"),
    "docs/variants/README.md": ("[`gqa`](gqa.md)", "[`gqa`](gqu.md)"),
    "docs/variants/mha.md": ("def forward(p, x, ctx):", "def forward(p, x):"),
    "docs/variants/muon.md": ("# muon", "# moon"),
    "notebooks/littlebaby_notebook.py": ('["", "aft", ', '["", '),
    "notebooks/littlebaby.ipynb": ("lb.panel()", "lb.pannel()"),
    "notebooks/tour/en/05_a_block.ipynb": ("# 5 · A block", "# 5 · Ablock"),
    "notebooks/tour/en/04_attention_by_hand.ipynb": ('"execution_count": null', '"execution_count": 7')}


def test_what_is_out_of_date_is_written_anew_and_named(clone):
    before = {path: (clone / path).read_text("utf-8") for path in DAMAGE}
    for path, (right, wrong) in DAMAGE.items():
        assert right in before[path]
        (clone / path).write_text(before[path].replace(right, wrong, 1), "utf-8")
    written, total = plans.renew_generated(root=clone)
    assert sorted(written) == sorted(DAMAGE) and total > 50
    for path, was in before.items():
        now = (clone / path).read_text("utf-8")
        if path.endswith(".ipynb"):
            assert generated.cells(jupytext.reads(now, "ipynb")) == generated.cells(jupytext.reads(was, "ipynb"))
            assert '"execution_count": 7' not in now
        else:
            assert now == was, path
    assert plans.renew_generated(root=clone) == ([], total)


def test_what_is_missing_is_written(clone):
    before = (clone / "notebooks/tour/en/05_a_block.ipynb").read_text("utf-8")
    (clone / "notebooks/tour/en/05_a_block.ipynb").unlink()
    (clone / "littlebaby/runs/schemas/config.schema.json").unlink()
    assert plans.renew_generated(root=clone)[0] == ["littlebaby/runs/schemas/config.schema.json", "notebooks/tour/en/05_a_block.ipynb"]
    made = jupytext.reads((clone / "notebooks/tour/en/05_a_block.ipynb").read_text("utf-8"), "ipynb")
    assert generated.cells(made) == generated.cells(jupytext.reads(before, "ipynb"))


@pytest.mark.parametrize("damage", [lambda page: page.replace("`c_position=alibi` | <", "`c_position=rope` | <"),
                                    lambda page: page.replace("none | kept |", "wq | BROKEN |", 1), lambda page: ""])
def test_a_variant_is_measured_where_its_page_lacks_an_option(clone, damage):
    page = clone / "docs/variants/gqa.md"
    page.write_text(damage(page.read_text("utf-8")), "utf-8")
    measured = []
    made = generated.generated(clone, verdicts=lambda name: measured.append(name) or kept(name))
    assert measured == ["gqa"] and "| `n_kv_heads=2` `c_position=alibi` | < 1e-10 |" in made["docs/variants/gqa.md"].decode()


def test_everything_is_measured_once_where_it_is_asked_for(clone, monkeypatch):
    monkeypatch.setattr(laws_report, "mistakes", lambda: [("norms", 3, {"test_laws_bite.py": 3})])
    measured = []
    made = generated.generated(clone, measure=True, verdicts=lambda name: measured.append(name) or kept(name))
    assert sorted(measured) == sorted({name for _, name, _ in laws.cases()})
    assert "| norms | 3 |" in made["docs/laws.md"].decode() and "| defaults | < 1e-10 |" in made["docs/variants/mha.md"].decode()


def test_what_is_no_clone_is_said(tmp_path):
    with pytest.raises(BadInput, match="is no clone of the repository"):
        plans.renew_generated(root=tmp_path)
