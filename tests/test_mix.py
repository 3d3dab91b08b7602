"""Every attention with every network, before and after the norm: trained, kept, found again, written with, taught another text."""
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import littlebaby as lb
from littlebaby.runs.settings import allowed
from littlebaby.show import charts

TEXT = (Path(__file__).parents[1] / "inputs" / "nursery.txt").read_text("utf-8")
TINY = dict(n_emb=16, n_heads=4, n_layers=2, n_ctx=16, s_window=6, batch_size=4, c_position="sinusoidal", d_type="fp64", s_warmup="none",
            r_learn=0.02, s_eval=10, n_eval_windows=2, n_sample=0, n_completion=8, c_device="cpu", c_device_cpu_cores=1)
MIXES = list(product(allowed("c_attention"), allowed("c_network"), ("pre", "post")))


@pytest.mark.parametrize("attention, network, sequence", MIXES, ids=["-".join(mix) for mix in MIXES])
def test_a_mix_lives(attention, network, sequence, tmp_path, monkeypatch):
    monkeypatch.setattr(charts, "chart", lambda report, steps: b"")          # the picture is the same for all, and slow
    (tmp_path / "inputs").mkdir()
    for name, part in (("one.txt", TEXT[:4000]), ("other.txt", TEXT[4000:6000].upper())):
        (tmp_path / "inputs" / name).write_text(part, "utf-8")
    quiet = dict(path=tmp_path, progress=False)

    # it learns
    run = lb.train("one.txt", n_steps=20, c_attention=attention, c_network=network, c_sequence=sequence, **TINY, **quiet)
    first, last = run.report.evaluations
    assert first.step == 10 and last.step == 20 and last.valid_loss < first.valid_loss < np.log(run.config.n_vocab)
    assert len(run.completion.text) == 8 and run.config.c_attention == attention and run.config.c_network == network

    # it is found again as it was, and writes beyond its window with memory as without
    baby = lb.load(run.guid, tmp_path)
    ids = baby.encode(TEXT[:5])
    written, anew = (baby.generate(ids, 24, seed=3, cached=cached) for cached in (True, False))
    assert np.array_equal(written, anew) and len(set(written.tolist())) > 1
    again = lb.load(run.guid, tmp_path)
    assert np.array_equal(again.flat, baby.flat) and np.array_equal(again.logits(ids), baby.logits(ids))

    # it learns another text, with letters that it has never seen
    tuned = lb.finetune(run.guid, "other.txt", n_steps=10, s_eval=5, r_learn=0.02, **quiet)
    before, after = tuned.report.evaluations
    assert after.valid_loss < before.valid_loss and tuned.config.n_vocab > run.config.n_vocab
    assert np.array_equal(lb.load(run.guid, tmp_path).flat, baby.flat)
