"""What is said about the curves of a training: on curves that are made to have a property or not, and on short trainings."""
from math import log

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.check import curves
from littlebaby.check.curves import Curve, remarks
from littlebaby.runs.records import Evaluation
from littlebaby.runs.settings import Config
from littlebaby.text import nursery
from littlebaby.training.data import windows

N, NOISE = 1000, 0.03
STEPS = np.arange(1, N + 1)
POWER = 2 + 2 * STEPS ** -0.5                                    # falls to 2.06, by 1.3% in the second half
STEEP = 4 * STEPS ** -0.15                                       # falls to 1.42, by 10% in the second half
COSINE = 1e-3 * (1 + np.cos(np.pi * STEPS / N)) / 2


def curve(loss, valid=None, rate=COSINE, norm=0.5, evaluations=20, **more):
    """A Curve with noisy losses (N,); valid: (N,) validation losses, those of training without their noise if they are not given"""
    rng = np.random.default_rng(0)
    noisy = loss + NOISE * rng.standard_normal(N)
    every = N // evaluations
    rows = [Evaluation(step=s, tokens=s, train_loss=np.mean(noisy[s - every:s]), valid_loss=(loss if valid is None else valid)[s - 1])
            for s in range(every, N + 1, every)]
    steps = np.stack([STEPS, noisy, np.broadcast_to(rate, N), np.broadcast_to(norm, N)], 1)
    cfg = Config(n_steps=N, **more.pop("settings", {}))
    return Curve(rows, steps, cfg, **{**dict(vocabulary=60, frequencies=3.3), **more})


def only(found, *words):
    """The one remark of a curve has all these words"""
    sentence, = remarks(found)
    assert all(word in sentence for word in words), sentence
    assert sentence[0].isupper() and sentence.endswith(".")


def test_nothing_is_said_where_nothing_is_remarkable():
    assert remarks(curve(POWER)) == []


# one property after the other, and a curve that nearly has it

def test_a_text_learned_by_heart():
    valid = np.where(STEPS <= 400, STEEP, STEEP[399] * (1 + 0.2 * (STEPS - 400) / 600))
    only(curve(STEEP, valid), "Since step 400", "by heart", "r_dropout 0.1", "n_patience 3",
         f"rose from {valid[399]:.2f} to {valid[-1]:.2f}")
    only(curve(STEEP, valid, settings=dict(n_patience=9, r_dropout=0.2)), "more text, r_dropout 0.3 or fewer steps would help")
    both_rise = curve(np.where(STEPS <= 400, POWER, POWER[399] * (1 + 0.03 * (STEPS - 400) / 600)))
    assert curves.learned_by_heart(both_rise) == "" and curves.learned_by_heart(curve(STEEP)) == ""
    assert curves.learned_by_heart(curve(STEEP, np.where(STEPS <= 400, STEEP, STEEP[399] * 1.01))) == ""


def test_the_gap_to_the_training_loss():
    only(curve(STEEP, 1.7 + 0.4 * STEEP ** 0.5), "begins to learn its text by heart", "more than further steps")
    assert curves.gap_widens(curve(STEEP, 1.2 * STEEP)) == ""


def test_a_loss_that_still_falls_is_read_by_its_schedule():
    only(curve(STEEP, rate=1e-3), "still falling", "n_steps 2000",
         f"fell from {STEEP[499]:.2f} at step 500 to {STEEP[-1]:.2f} at step 1,000")
    eased = np.where(STEPS <= 900, STEEP, STEEP[899] * (1 - 1e-3 * (STEPS - 900) / 100))
    only(curve(eased), "flat there because the learning rate has decayed", "does not mean that it has converged", "n_steps 2000")
    assert "still falling" not in remarks(curve(eased))[0]
    only(curve(STEEP, rate=1e-3, reason="time limit", settings=dict(r_minutes=2.5)), "r_minutes 5")
    only(curve(STEEP, rate=1e-3, floor=1.0), "(the lowest possible loss is 1.00) and is still falling")
    assert remarks(curve(STEEP, rate=1e-3, reason="interrupted")) == []
    assert curves.still_falling(curve(POWER, rate=1e-3)) == ""


def test_doubling_the_steps_of_a_power_law():
    assert curves.gain_of_doubling(curve(3 - 0.1 * np.log(STEPS))) == pytest.approx(0.1 * log(2))


def test_a_loss_that_rises_and_comes_back_or_does_not():
    spike = POWER + 0.8 * ((STEPS > 600) & (STEPS <= 610))
    only(curve(spike), "unstable", "to 2.89 at step 609", "came back by step 614", "a lower r_learn, 0.001", "s_warmup")
    assert "came back" not in remarks(curve(POWER + 0.8 * (STEPS > 600)))[0]
    assert curves.unstable(curve(POWER + 0.8 * (STEPS == 600))) == ""          # one batch of another kind of text
    assert curves.unstable(curve(POWER + 0.04 * np.sin(STEPS / 9))) == ""
    from_the_start = curve(np.minimum(4 + STEPS, 40) / (1 + STEPS / 100))
    assert "unstable: its loss rose from 4" in remarks(from_the_start)[0]


def test_an_epoch_of_other_windows_is_not_unstable():
    known = 1 + 0.4 * ((STEPS > 600) & (STEPS <= 700))
    assert curves.unstable(curve(known, np.full(N, 2.0))) == "" and curves.unstable(curve(known))


def test_a_loss_that_does_not_fall():
    only(curve(np.full(N, 4.09)), "learned nothing", f"4.09, and a blind guess among 60 tokens has {log(60):.2f}", "raise r_learn, to 0.03")
    only(curve(np.full(N, 4.09), settings=dict(r_learn=1e-9)), "raise r_learn, to 0.001")
    only(curve(np.full(N, 3.25)), "only how frequent each token is", "3.25", "3.30")
    assert curves.flat(curve(np.full(N, 3.0))) == "" and curves.flat(curve(np.linspace(4.3, 4.0, N))) == ""


def test_clipped_steps_matter_where_they_are_too_large():
    """Of the optimizers only sgd makes a smaller step for a smaller gradient"""
    adam = dict(settings=dict(c_optimizer="adamw"))
    uneven = np.where(STEPS % 10 == 0, 12.0, 2.0)
    only(curve(POWER, norm=uneven, **adam), "clipped in 100% of the steps of the second half", "r_clip is 1", "a lower r_learn")
    assert curves.clipped(curve(POWER, norm=2.0, **adam)) == ""
    only(curve(POWER, norm=2.0, settings=dict(c_optimizer="sgd")), "clipped in 100%")
    assert curves.clipped(curve(POWER, norm=np.where(STEPS % 10 == 0, 12.0, 0.5), **adam)) == ""
    assert curves.clipped(curve(POWER, norm=uneven, settings=dict(r_clip=0.0))) == ""


def test_skipped_steps():
    norm = np.where(STEPS % 100 == 0, np.nan, 0.5)
    only(curve(POWER, norm=norm), "not finite, 10 of 1,000", "s_warmup")
    assert remarks(curve(POWER, norm=norm, settings=dict(d_type="fp16"))) == []
    only(curve(POWER, norm=np.where(STEPS % 10 == 0, np.nan, 0.5), settings=dict(d_type="fp16")), "not finite, 100 of 1,000")


def test_the_best_step_was_long_ago():
    loss = np.where(STEPS <= 400, POWER, POWER[399] * 1.003)
    only(curve(loss), "lowest validation loss was at step 400", "the 600 steps after it", "n_patience 3")
    assert curves.best_long_ago(curve(np.where(STEPS <= 800, POWER, POWER[799] * 1.003))) == ""


def test_a_loss_close_to_the_lowest_possible_one():
    only(curve(STEEP, floor=STEEP[-1] / 1.02), "Little is left to learn", "2.0% above")
    assert curves.close_to_floor(curve(STEEP, floor=STEEP[-1] / 1.1)) == ""


def test_a_level_loss_at_a_high_rate():
    only(curve(POWER, rate=1e-3), "level in the second half", "c_schedule cosine")
    assert curves.level(curve(POWER)) == "" and curves.level(curve(STEEP, rate=1e-3)) == ""


def test_without_validation_text_the_training_loss_is_judged():
    made = curve(STEEP, np.full(N, np.nan), rate=1e-3)
    only(made, "The training loss fell", "still falling")


def test_trouble_comes_first_and_says_nothing_about_the_length():
    broken = curve(STEEP + 0.8 * ((STEPS > 600) & (STEPS <= 620)), rate=1e-3, norm=np.where(STEPS == 5, np.nan, 0.5))
    assert [sentence.split()[0] for sentence in remarks(broken)] == ["Steps", "The"] and "unstable" in remarks(broken)[1]


@pytest.mark.parametrize("n", [0, 1, 5, 19])
def test_a_few_steps_say_nothing(n):
    made = curve(STEEP)
    assert remarks(Curve(made.rows[:n // 5], made.steps[:n], made.cfg, vocabulary=60)) == []


def test_the_loss_of_a_guess_by_frequency():
    ids = np.random.default_rng(0).choice(4, 40_001, p=[0.7, 0.1, 0.1, 0.1]).astype(np.int32)
    entropy = -0.7 * log(0.7) - 0.3 * log(0.1)
    assert curves.loss_by_frequency(windows(ids, 32)) == pytest.approx(entropy, abs=0.01)
    assert curves.loss_by_frequency(windows(ids[:1], 32)) is None
    alike = np.arange(64, dtype=np.int32) * 7 % 64               # 63 targets that all differ: of a larger vocabulary
    assert curves.loss_by_frequency(windows(alike, 32)) == pytest.approx(log(63) + 62 / 126)


# short trainings

@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("home")
    (path / "inputs").mkdir()
    text = nursery.corpus(200_000, 1)[0]
    (path / "inputs" / "long.txt").write_text(text)
    (path / "inputs" / "short.txt").write_text(text[:1500])
    return path


SMALL = dict(preset="little-baby", n_layers=1, n_emb=48, n_heads=2, n_ctx=32, batch_size=8, n_eval_windows=40, n_completion=0, n_sample=0,
             c_device_cpu_cores=1, progress=False)


@pytest.mark.parametrize("input, settings, words", [
    ("short", dict(n_steps=300, r_learn=1e-2, n_emb=64, c_position="rope"), ["by heart", "validation loss rose"]),
    ("long", dict(n_steps=120, r_learn=1.0), ["unstable", "lower r_learn, 0.3"]),
    ("long", dict(n_steps=80, r_learn=1e-9), ["learned nothing", "raise r_learn, to 0.001"]),
    ("long", dict(n_steps=150, c_schedule="constant"), ["still falling", "n_steps 300"]),
    ("long", dict(n_steps=150, r_learn_min=0.0), ["because the learning rate has decayed", "n_steps 300"])])
def test_trainings(home, input, settings, words):
    run = lb.train(input, path=home, **SMALL | settings)
    assert all(word in run.report.remarks[0] for word in words), run.report.remarks
