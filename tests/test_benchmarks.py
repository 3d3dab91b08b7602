"""What the benchmarks stand on: equal sizes, runs that are kept, memory that is counted right. No time is asserted anywhere."""
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from littlebaby.check.preflight import memory_of
from littlebaby.runs.settings import Config, allowed
from littlebaby.show.charts import png

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import cores  # noqa: E402
import cost  # noqa: E402
import curves  # noqa: E402
import mpi  # noqa: E402
import turns  # noqa: E402

TEXT = "the cat sat on the mat, and the dog sat by it. " * 60


# curves

@pytest.mark.parametrize("pair", curves.pairs(), ids="-".join)
def test_all_curves_have_as_many_parameters(pair):
    goal = curves.size(Config(**curves.MODEL, n_vocab=65))
    cfg = curves.fitted(pair, 65)
    assert (cfg.c_attention, cfg.c_network) == pair and abs(curves.size(cfg) / goal - 1) < 0.02


def test_the_reference_is_what_it_is():
    assert curves.fitted(("mha", "mlp"), 65) == Config(**curves.MODEL, n_vocab=65)
    assert [curves.name_of(pair) for pair in (("mha", "mlp"), ("mha", "swi"), ("aft", "mlp"))] == ["mha", "swi", "aft"]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(curves.MODEL, "n_emb", 16)
    monkeypatch.setitem(curves.MODEL, "n_ctx", 16)
    monkeypatch.setitem(curves.MODEL, "n_layers", 1)


def test_a_run_is_kept_and_found_again(small, tmp_path):
    pair, symbols = ("aft", "mlp"), len(set(TEXT))
    assert curves.kept(tmp_path, pair, 1, 8, symbols) is None
    made = curves.run(pair, 1, 8, TEXT)
    curves.keep(tmp_path, made)
    found = curves.kept(tmp_path, pair, 1, 8, symbols)
    assert found == json.loads(json.dumps(made)) and len(found["losses"]) == 8 and found["loss"] == found["losses"][-1]
    assert found["tokens"] == [8 * 16 * i for i in range(1, 9)] and found["losses"][-1] < found["losses"][0] < 4
    assert curves.kept(tmp_path, pair, 1, 9, symbols) is None            # other settings, another run
    assert curves.kept(tmp_path, pair, 2, 8, symbols) is None


def result(pair, seed, loss):
    return dict(pair=pair, seed=seed, settings=curves.fitted(pair, 65).model_dump(), parameters=1000, seconds=9.0, tokens=[10, 20, 40],
                losses=[loss + 1, loss + 0.5, loss], loss=loss)


def test_the_table_and_the_picture_of_curves():
    runs = [result(("mha", "mlp"), 0, 2.0), result(("aft", "mlp"), 0, 2.5), result(("mha", "swi"), 0, 1.5), result(("mha", "mlp"), 1, 2.2)]
    rows = list(curves.rows(runs))
    assert rows[0].startswith("`mha` | `swi` | **1.5000** | 0.0000 | 1 | 1,000 | s_hidden 256 | 40 | 9")
    assert rows[1].startswith("`mha` | `mlp` | **2.1000** | 0.1414 | 2 | 1,000 |  | 40") and rows[2].startswith("`aft` | `mlp`")
    figure = curves.draw(runs)
    left, right = figure.axes
    assert [np.allclose(line.get_ydata()[-1], want) for line, want in zip(left.lines, (2.1, 2.5))] == [True, True]
    assert [text.get_text() for text in right.texts] == ["swi 1.500", "mlp 2.100"] and png(figure)[:4] == b"\x89PNG"


# cost

T = 1024


@pytest.mark.parametrize("name", allowed("c_attention"))
def test_only_those_that_must_hold_an_array_of_all_scores(name):
    """What looks back at every row may grow with the square of the text; all others grow with its length, and hold no (T, T)"""
    rows, growth, _ = memory_of(Config(**{**cost.MODEL, "n_ctx": 2 * T}, c_attention=name))
    if growth and rows == (2 * T + 1) / 2:
        pytest.skip("it looks back at every token")
    short, long = (cost.peak(name, n, n_emb=16, s_window=32) for n in (T, 2 * T))
    assert long < 2.2 * short and long < (2 * T) ** 2 * 4


def test_mha_holds_the_scores_of_every_head():
    assert 4 * 4 * T * T / 2 < cost.peak("mha", T, n_emb=16) < 4 * 4 * T * T


def test_a_peak_is_what_was_held_at_once(monkeypatch):
    def layer(name, T):
        def step():
            a = np.ones(T, np.float32)
            b = np.ones(3 * T, np.float32)
            del a
            return b, np.ones(T, np.float32)
        return step
    monkeypatch.setattr(cost, "layer", layer)
    assert 16 * 10 ** 5 <= cost.peak("any", 10 ** 5) < 16 * 10 ** 5 + 10 ** 4


def test_the_table_and_the_picture_of_costs(monkeypatch, capsys):
    monkeypatch.setattr(cost, "seconds", lambda name, T: 1e-6 * T * (T if name == "mha" else 2))
    monkeypatch.setattr(cost, "peak", lambda name, T: 3000 * T)
    monkeypatch.setattr(turns, "wait", lambda minutes: None)
    chosen = SimpleNamespace(names=["aft", "mha"], lengths=[128, 256, 512], wait=0, costs={})
    rows = list(cost.measured(chosen))
    assert rows[0].startswith("`aft` | 2.0, 3 kB | 2.0, 3 kB | 2.0, 3 kB | 1.00, 1.00 |")
    assert rows[1].startswith("`mha` | 128.0, 3 kB | 256.0, 3 kB | 512.0, 3 kB | 2.00, 1.00 |")
    left, _ = (figure := cost.draw(chosen.costs, chosen.lengths)).axes
    assert np.allclose(left.lines[1].get_ydata(), [128, 256, 512]) and png(figure)[:4] == b"\x89PNG"


def test_a_table_goes_to_its_place(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- cost -->\nold\n<!-- end -->\nb\n<!-- curves -->\n<!-- end -->\n")
    turns.publish("cost", "x | y", ["1 | 2"], True, page, "![a picture](x.png)")
    text = page.read_text()
    assert "old" not in text and text.endswith("<!-- end -->\nb\n<!-- curves -->\n<!-- end -->\n")
    assert "| x | y |\n|---|---|\n| 1 | 2 |\n\n![a picture](x.png)\n<!-- end -->" in text
    for name in ("cost", "curves"):
        assert f"<!-- {name} -->\n" in turns.VARIANTS.read_text()


# ranks

def test_the_model_of_many_ranks():
    """Two ranks exchange the vector once, many send it nearly twice; latency counts the exchanges, work the rows of the fullest rank"""
    assert mpi.allreduce(2, 1000, 0, 1000) == 1 and mpi.allreduce(64, 1000, 0, 1000) == 2 * 63 / 64
    assert mpi.allreduce(8, 0, 1, 1) == 6 and mpi.allreduce(9, 0, 1, 1) == 8
    assert np.allclose(mpi.line([16, 8, 4], [3.6, 2.0, 1.2]), (0.4, 0.2)) and mpi.line([2, 1], [2.0, 0.9])[0] == 0
    assert mpi.predicted(4, 10, 0.5, 0.1, 4000, (0.001, 1e6)) == pytest.approx(0.5 + 0.3 + 0.004 + 0.006 + 0.016)


# cores

@pytest.mark.parametrize("one, two, share", [(10, 5, 0), (10, 10, 1), (10, 6, 0.2), (10, 4, 0), (10, 12, 1)])
def test_two_cores_tell_the_share_for_one(one, two, share):
    assert cores.alone(one, two) == pytest.approx(share)


def test_more_cores_on_paper():
    assert cores.faster(0.2, 4, 16) == pytest.approx(2.5) and cores.faster(0.0, 16, 12) == pytest.approx(12)
    assert cores.faster(1.0, 16, 16) == 1 and cores.doublings(6) == [1, 2, 4] and cores.doublings(1) == [1]
