"""What people look at says the truth: counts, FLOPs, cache sizes, pictures, tables and cards."""
import re
from types import SimpleNamespace

import numpy as np
import pytest

from littlebaby import plans
from littlebaby.arrays import tree
from littlebaby.check import bench, preflight
from littlebaby.errors import BadInput
from littlebaby.model import gpt
from littlebaby.runs.presets import preset, presets
from littlebaby.runs.records import Evaluation, Input, Report
from littlebaby.runs.settings import Config, allowed
from littlebaby.show import catalog, charts, estimate_tables, formatting
from littlebaby.show.card import card, loss_history, memorized, nursery_marks, parameters
from littlebaby.show.formatting import unknown_in, unknown_parts
from littlebaby.show.panel_html import LossHistory
from littlebaby.text.word import Word

GUID = "0b2f8a52-7b0c-4f7e-9d3c-5a1f6f2f7c11"


def row(step, **more):
    return Evaluation(**{**dict(step=step, tokens=100 * step, train_loss=4 / step, valid_loss=4.1 / step, rate=1e-3, norm=0.5), **more})


def report(rows, **more):
    return Report(guid=GUID, input=Input(name="tale.txt", bytes=10, characters=10, sha256="0" * 64), evaluations=rows, **more)


# preflight

def test_gpt2_is_counted_as_published():
    about = preflight.preflight(Config(**preset("gpt2")), 10**7, probe=False)
    assert about.total == about.trainable == 124_439_808
    assert about.parts == dict(embedding=39_383_808, attention=28_348_416, network=56_669_184, norms=38_400, head=0)
    # 6 N + 12 L H (T + 1) / 2, N the numbers of all matrices, the tied head among them
    n = 12 * (768 * 3 * 768 + 768 * 768 + 2 * 768 * 3072) + 50257 * 768
    assert about.flops_per_token == 6 * n + 12 * 12 * 768 * 1025 / 2 and about.flops_forward * 3 == about.flops_per_token
    assert about.tokens == 600_000 * 12 * 40 * 1024 and about.flops == about.flops_per_token * about.tokens


def test_grouped_queries_cost_what_all_heads_look_at():
    cfg = Config(n_vocab=60, c_attention="gqa", n_kv_heads=1, n_ctx=64, n_emb=32, n_layers=3)
    rows, growth, state = preflight.memory_of(cfg)
    assert (rows, growth, state) == (65 / 2, 2 * 8, 0)
    assert preflight.mixing_flops(cfg) == 4 * 32 * 65 / 2


def test_frozen_weights_cost_no_gradient():
    spec = dict(a=tree.matrix(10, 20), b=tree.matrix(10, 20, train=False), c=tree.vector(7))
    assert preflight.products(spec, Config()) == (800, 1200)


def test_memory_adds_up_and_follows_the_optimizer():
    adam, sgd = (preflight.preflight(Config(n_vocab=60, c_optimizer=name, c_device_cpu_cores=1), 10**5, probe=False)
                 for name in ("adamw", "sgd"))
    size = 4 * adam.total
    assert adam.memory_parts["optimizer"] == 2 * size and sgd.memory_parts["optimizer"] == size
    assert adam.memory_parts["weights"] == adam.memory_parts["gradients"] == size and adam.memory == sum(adam.memory_parts.values())
    half = preflight.preflight(Config(n_vocab=60, d_type="fp16", c_device_cpu_cores=1), 10**5, probe=False)
    assert half.memory_parts == {**adam.memory_parts, "weights": size + size // 2}


def test_activations_are_about_what_a_step_allocates():
    import tracemalloc

    from littlebaby.inference.baby import Baby
    from littlebaby.training.parallel import Workers, gradient, shard_gradient
    cfg = Config(n_vocab=60, n_layers=2, n_ctx=64, c_device_cpu_cores=1)
    baby, workers = Baby(cfg), Workers(1)
    ids = np.random.default_rng(0).integers(0, 60, (2, 8, 64))
    grads = [np.zeros(baby.flat.size, np.float32)]
    tracemalloc.start()
    gradient(workers, grads, shard_gradient(workers, grads, baby.spec, baby.p, cfg), [(ids[0], ids[1])], (0, 0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.7 < preflight.bytes_of(cfg, baby.spec)["activations"] / peak < 1.4


def test_the_probe_times_real_steps(monkeypatch):
    monkeypatch.setattr(preflight, "PROBE_SECONDS", 0.1)
    cfg = Config(n_vocab=20, n_layers=1, n_emb=16, n_ctx=16, n_steps=1000, n_eval_windows=1, s_eval=1000)
    about = preflight.preflight(cfg, 10_000)
    evaluation = 16 * about.flops_forward / about.flops_per_token
    assert about.tokens_per_second > 0 and about.seconds == pytest.approx((128_000 + evaluation) / about.tokens_per_second)
    assert about.steps == 1000 and about.tokens_per_parameter == 128_000 / about.trainable


def test_a_large_model_is_probed_smaller():
    sizes = [preflight.step_flops(each) for each in preflight.smaller(Config(**preset("gpt2")))]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 1e14 and sizes[-1] < preflight.PROBE_FLOPS


def test_slow_kernels_are_told(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    about = preflight.preflight(Config(n_vocab=60), 10**5, probe=False)
    assert about.warnings == [] and "note" not in estimate_tables.preflight_table(about)
    assert "time        not estimated: " in estimate_tables.preflight_table(about)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "OPENBLAS_CORETYPE=Haswell" in estimate_tables.preflight_table(preflight.preflight(Config(n_vocab=60), 10**5, probe=False))
    monkeypatch.delenv("OPENBLAS_CORETYPE")
    [line] = preflight.preflight(Config(n_vocab=60, d_type="fp16"), 10**5, probe=False).warnings
    assert line.startswith("d_type fp16 is made for a GPU") and "fp32" in line


def test_a_step_that_is_too_large_or_too_slow_is_told(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    warned = lambda **settings: preflight.warnings(Config(n_vocab=60, c_device_cpu_cores=1, **settings))
    monkeypatch.setattr(preflight.backend, "total_memory", lambda: 8 * 10**9)
    assert warned() == []
    large, slow = warned(n_ctx=100_000)
    cfg = Config(n_vocab=60, c_device_cpu_cores=1, n_ctx=100_000)
    needed = sum(preflight.bytes_of(cfg, gpt.params(cfg)).values())
    assert large.startswith(f"a step needs about {needed / 1e9:.3g} GB of memory, and this machine has 8 GB: lower n_ctx") and needed > 8e9
    # 6 FLOPs for each of about 0.8 M weights, and 12 L H T / 2, for each of 800,000 tokens, at 4e10 FLOPs per second
    hours = 8e5 * (6 * 0.81e6 + 12 * 4 * 128 * 5e4) / 4e10 / 3600
    assert slow.startswith(f"a single step takes about {hours:.0f} hours") and "lower n_ctx, now 100,000, or batch_size" in slow
    monkeypatch.setattr(preflight.backend, "total_memory", lambda: None)
    assert warned(n_ctx=100_000) == [slow] and preflight.preflight(cfg, 10**6, probe=False).warnings == [slow]


def test_the_memory_of_this_machine_is_known():
    assert (preflight.backend.peak_memory() or 0) < (preflight.backend.total_memory() or 10**18)


# charts

def test_the_picture_shows_the_numbers():
    rows = [row(s) for s in (1, 10, 20, 40)] + [row(50, valid_loss=0.2)]
    steps = [(s, 4 / s, 1e-3, 0.5) for s in range(1, 51)]
    losses, rates, norms = charts.draw(report(rows, nursery_floor=0.07), steps).axes
    noise, mean, valid, best, floor = losses.lines
    assert np.allclose(noise.get_ydata(), [4 / s for s in range(1, 51)]) and np.allclose(noise.get_xdata(), 100 * np.arange(1, 51))
    assert np.allclose(valid.get_ydata(), [4.1, 0.41, 0.205, 0.1025, 0.2]) and best.get_ydata()[0] == 0.1025
    assert floor.get_ydata()[0] == 0.07 and len(rates.lines[0].get_xdata()) == 50 == len(norms.lines[0].get_xdata())
    said = " ".join(text.get_text() for text in losses.texts)
    assert "best 0.102" in said and "training" in said
    name = next(text for text in losses.texts if text.get_text() == "training")
    assert name.xy == (mean.get_xdata()[-1], mean.get_ydata()[-1])               # the name stands where its curve ends
    assert [charts.beside(*each) for each in ((0.8, 0.79), (0.7, 0.79), (0.3, 0.79), (0.8, np.nan))] == [24, -24, 0, 0]
    assert "lowest possible loss, 0.070" in said and losses.get_yscale() == "log"


def live(steps, rows):
    """The picture of the panel after so many steps of 8,000"""
    course = LossHistory(0.07, rows)
    for s in range(1, steps + 1):
        course.step(SimpleNamespace(step=s, loss=4 / s ** 0.3, skipped=False, measures={}))
    return course.draw(8000)


FEW, MANY = [row(s) for s in (1, 10, 20, 40)], [row(s) for s in range(1, 51)]


REMARKS = ["The validation loss rose from 2.06 at step 150 to 2.41 and so on, in so many words that the line must be broken. " * 2] * 3


@pytest.mark.parametrize("draw", [lambda: charts.draw(report(MANY, remarks=REMARKS)),
                                  lambda: charts.draw(report(MANY, nursery_floor=0.07), [(s, 4 / s) for s in range(1, 51)]),
                                  lambda: charts.draw(report(FEW, nursery_floor=0.07)), lambda: charts.draw(report(FEW[:1])),
                                  lambda: live(20, []),
                                  lambda: live(300, [row(100, valid_loss=2.0)]),
                                  lambda: live(0, [row(100, valid_loss=2.0), row(7000, valid_loss=1.5)])])
def test_no_text_of_a_picture_is_cut_off_or_covers_another(draw):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    figure = draw()
    FigureCanvasAgg(figure).draw()
    boxes = {text.get_text(): text.get_window_extent() for text in figure.findobj(Text) if text.get_text() and text.get_visible()
             and not any(text in (tick.label2, tick.label1) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)
                         for tick in axis.get_major_ticks())}
    assert len(boxes) >= 3
    for text, box in boxes.items():
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1, f"{text!r} is cut off"
        assert not [other for other in boxes if other != text and box.overlaps(boxes[other])], text


@pytest.mark.parametrize("rows, steps", [([], []), ([], [(1, 4.0)]), ([row(1)], []),
                                         ([row(3, valid_loss=None)], [(1, 4.0), (2, np.nan), (3, 3.0)])])
def test_a_picture_of_little_is_a_picture(rows, steps):
    png = charts.chart(report(rows).model_copy(update=dict(input=None)), steps)
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and len(png) > 5000


def test_the_running_mean_passes_over_what_is_no_number():
    assert np.allclose(charts.running([2.0] * 50), 2) and np.allclose(charts.running([np.nan, 2.0, np.nan, 2.0])[1:], 2)


# catalog

def test_every_file_is_in_the_catalog():
    tables = catalog.catalog()
    for folder, key in (("attentions", "c_attention"), ("networks", "c_network"), ("norms", "c_norm"), ("positions", "c_position"),
                        ("optimizers", "c_optimizer")):
        assert [row["name"].strip("`") for row in tables[folder]] == allowed(key)
        for row in tables[folder]:
            assert row["full name"] and (row["paper"] or row["name"] == "`rfa`"), row       # rfa has no paper: it is The Little Baby's own
    assert sorted(row["key"].strip("`") for row in tables["config"]) == sorted(Config.model_fields)
    assert {row["name"].strip("`") for row in tables["presets"]} == set(presets())
    for row in tables["attentions"] + tables["networks"]:
        assert row["cost"].startswith("O("), row


def test_the_numbers_of_mha():
    mha = next(row for row in catalog.catalog()["attentions"] if row["name"] == "`mha`")
    assert mha["full name"] == "multi-head attention" and mha["cache per token"] == "2 H numbers, here 256"
    cfg = Config(n_vocab=256)
    assert mha["parameters"] == formatting.format_number(tree.size(gpt.params(cfg)["blocks"][0]["att"]))
    assert mha["FLOPs per token"] == formatting.format_number(6 * 4 * 128 * 128 + 12 * 128 * 257 / 2)
    assert mha["paper"] == "[Vaswani et al. 2017](https://arxiv.org/abs/1706.03762)"


def test_filling_a_page():
    page = "# A\n\n<!-- catalog: networks -->\nold\n<!-- end -->\n\nkept | as it is\n<!-- catalog: norms -->\n<!-- end -->"
    full = catalog.fill(page)
    assert "old" not in full and "| `mlp` | multilayer perceptron |" in full and "`rmsnorm`" in full and "kept | as it is" in full
    assert catalog.fill(full) == full
    with pytest.raises(BadInput, match="did you mean norms"):
        catalog.fill("<!-- catalog: nroms -->\n<!-- end -->")


# words and cards

def test_numbers_in_few_words():
    assert [formatting.format_number(n) for n in (0, 7, 999, 1000, 124_439_808, 999_999, 2.5e15)] == ["0", "7", "999", "1k", "124M", "1M",
                                                                                                      "2.5P"]
    assert [formatting.format_bytes(n) for n in (7, 1234, 5e9)] == ["7 B", "1.23 kB", "5 GB"]
    assert [formatting.format_duration(s) for s in (5, 600, 9000, 864_000)] == ["5 seconds", "10 minutes", "2.5 hours", "10 days"]


def test_columns_stand_straight():
    lines = formatting.align_columns([("name", "size"), ("a", "7"), ("long one", "1,234")]).splitlines()
    assert lines == ["name       size", "a             7", "long one  1,234"]


def test_a_card_of_a_run_that_has_not_begun_and_one_that_failed_early():
    cfg = Config(n_vocab=60).model_dump()
    empty = dict(guid=GUID, config=cfg, report=None, completion="", resumable=False, in_use=False, checkpoint=None,
                 files=[dict(path="configs/a.json", bytes=900)])
    assert "mha + mlp, n_layers 4, n_emb 128" in card(empty) and "configs/a.json" in card(empty)
    begun = dict(empty, report=report([row(1, valid_loss=None)]).model_dump(mode="json"))
    assert "tale.txt" in card(begun) and re.search(r"step +train loss +valid loss +sample\n +1 +4\.000 +-", card(begun))
    lines = lambda **more: card(dict(begun, guid=f"{GUID}_finetuned_2", **more)).splitlines()
    assert lines()[0].endswith("_finetuned_2  killed") and lines(in_use=True)[0].endswith("  running")
    assert lines(resumable=True, checkpoint=4200)[0].endswith("  killed, resumable")
    assert lines(resumable=True, checkpoint=4200)[2] == "`littlebaby train --resume 0b2f8a52_finetuned_2` continues the run from step 4,200"


def test_the_list_counts_the_parameters_of_a_run_that_has_not_ended():
    about = SimpleNamespace(figures=None, vocabulary=60)
    running = SimpleNamespace(report=about, config=Config(n_layers=1, n_emb=32, n_heads=2, n_ctx=16))
    block, rest = 4 * 32 * 32 + 2 * 4 * 32 * 32 + 2 * 64 + 32 + 128 + 32, 60 * 32 + 16 * 32 + 64 + 32 * 60 + 60      # of c_bias out
    assert parameters(running) == formatting.format_number(block + rest)
    assert parameters(SimpleNamespace(report=None, config=running.config)) == "-"


def test_a_card_judges_what_a_baby_writes():
    marks = dict(words=0.999, sentences=0.471, stories=0.0)
    assert nursery_marks(marks) == ("grammar", "correct by the grammar: 99% of words, 47% of sentences, 0% of stories")
    marks["mistakes"] = dict(who=3, what=0, color=12, other=1)
    assert nursery_marks(marks)[1].endswith("0% of stories; first mistakes in the others: wrong colour 12, wrong name or animal 3, "
                                            "something else 1")
    marks = dict(answers=0.929, steps=0.9799, mean_steps=2.06)
    assert nursery_marks(marks) == ("arithmetic", "92% of the answers are right, 97% of the steps, 2.1 steps on average")


def test_the_remarks_are_in_card_and_chart(tmp_path):
    run = plans.train("nursery", n_layers=1, n_emb=16, n_heads=1, n_ctx=16, batch_size=2, n_steps=30, r_learn=1e-9, n_completion=0,
                      n_sample=0, n_eval_windows=10, progress=False, path=tmp_path)
    remark, = run.report.remarks
    assert remark.startswith("The model has learned nothing: its loss stayed at")
    assert re.search(rf"\ncurve +{re.escape(remark)}\n", card(plans.info(run.guid, tmp_path)))
    caption = charts.draw(run.report)._supxlabel.get_text()
    assert caption.replace("\n", " ").startswith(f"{remark} training: a running mean") and max(map(len, caption.splitlines())) <= 125


def test_a_card_says_how_much_was_copied():
    assert memorized(52, 0.05) == ("longest passage copied from the training text: 52 characters; 5% of the completion lies in copied "
                                   "passages of 50 or more characters")
    assert memorized(1, None) == "longest passage copied from the training text: 1 character"


def test_what_of_a_prompt_is_unknown_is_told_in_one_sentence_each():
    assert unknown_parts({"1": "", "2": "", "ë": "e"}, []) == "unknown characters: 1 2 were dropped; ë was read as e"
    assert unknown_parts({"Γ": ""}, ["upon", "time"]) == ("unknown characters: Γ was dropped\n"
                                                          "not in the vocabulary, so read letter by letter: upon, time")
    words = Word.train("Ada met Bob. Ada met Bob. Once upon a time there was Ada")
    assert unknown_in(words, "Ada upon met  Bobby 7, Ada!") == ("unknown characters: ! , 7 y were dropped\n"
                                                                "not in the vocabulary, so read letter by letter: Ada, upon, Bobb")
    assert unknown_in(words, " Ada met Bob.") == ""


def test_the_course_shows_first_and_last():
    rows = [row(s, sample=f"sample {s}").model_dump() for s in range(1, 21)]
    lines = loss_history(rows).splitlines()
    assert len(lines) == 6 and lines[1].split()[0] == "1" and lines[-1].split()[0] == "20" and lines[-1].endswith("sample 20")


# bench

def test_a_bench_is_of_the_size_it_names(monkeypatch):
    monkeypatch.setattr(bench, "SECONDS", 0.0)
    monkeypatch.setitem(bench.SIZES, "S0", dict(n_layers=1, n_heads=2, n_emb=8, n_ctx=16, n_vocab=20, batch_size=4))
    found, = plans.bench(["S0"], progress=False)
    blocks = 8 * 24 + 24 + 8 * 8 + 8 + 2 * 8 * 32 + 32 + 8 + 4 * 8
    assert found.parameters == 20 * 8 + 16 * 8 + blocks + 2 * 8 + 8 * 20
    forward = 2 * (8 * 24 + 8 * 8 + 2 * 8 * 32 + 8 * 20) + 4 * 8 * 8.5
    assert found.flops == pytest.approx(3 * forward * found.learned) and found.learned == pytest.approx(64 / found.step)
    assert found.floor > 0 and found.written > 0
    line, row, *_ = estimate_tables.bench_table([found]).splitlines()
    assert line.split()[:2] == ["size", "parameters"] and row.split()[:2] == ["S0", f"{found.parameters:,}"]
    with pytest.raises(BadInput, match="size is 'S9'; allowed are S0, S1, S2, S3"):
        plans.bench(["S9"])
