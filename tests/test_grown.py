"""A vocabulary that grows: before the first step of a finetune the loss of the old text is what it was."""
import numpy as np
import pytest

import littlebaby as lb
from littlebaby import plans
from littlebaby.runs.store import Workspace

TINY = dict(n_layers=1, n_emb=16, n_heads=2, n_ctx=16, batch_size=4, n_steps=60, r_learn=1e-2, n_completion=0, n_sample=0, d_type="fp64")
OLD = "the cat sat on the mat and the dog sat on the log. " * 40
NEW = OLD[:400] + "".join(map(chr, range(0x3b1, 0x3b1 + 25))) * 20         # more new letters than old ones
HEADS = [dict(b_tied=tied, c_bias=bias) for tied in (False, True) for bias in ("none", "out", "all")]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("grown")
    (path / "inputs").mkdir()
    (path / "inputs" / "old.txt").write_text(OLD)
    (path / "inputs" / "new.txt").write_text(NEW)
    return path


@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("head", HEADS, ids=lambda head: " ".join(map(str, head.values())))
def test_the_old_loss_stays_for_every_head(home, head, norm):
    run = lb.train("old", path=home, progress=False, c_norm=norm, **head, **TINY)
    old = lb.load(run.guid, home)
    tuned = lb.finetune(run.guid, "new", path=home, progress=False, n_steps=1, r_learn=1e-9, s_warmup="none", c_schedule="constant")
    assert tuned.config.b_bias_head == (head["c_bias"] != "out") and tuned.config.n_vocab > 2 * old.config.n_vocab
    new = lb.load(tuned.guid, home)
    ids = old.encode(OLD[:17 * 20]).reshape(20, 17)
    before, after = (baby.loss(ids[:, :-1], ids[:, 1:]) for baby in (old, new))
    assert abs(after - before) < 1e-6 and before < 2
    z = new.logits(ids[:, :-1])
    odds = np.exp(z - z.max(-1, keepdims=True))
    unseen = odds[..., old.config.n_vocab:].sum(-1) / odds.sum(-1)
    assert 0 < unseen.max() < 3.1e-7                                             # exp(-15), wherever the text stands


@pytest.mark.parametrize("tied", [False, True])
def test_a_head_that_is_to_stay_without_a_bias_keeps_new_tokens_below_an_equal_share(home, tied):
    run = lb.train("old", path=home, progress=False, c_norm="rmsnorm", c_bias="none", b_tied=tied, **TINY)
    tuned = lb.finetune(run.guid, "new", path=home, progress=False, n_steps=1, r_learn=1e-9, b_bias_head=False)
    new, V = lb.load(tuned.guid, home), run.config.n_vocab or lb.load(run.guid, home).config.n_vocab
    z = new.logits(new.encode(OLD[:16]))
    odds = np.exp(z - z.max(-1, keepdims=True))
    assert not tuned.config.b_bias_head and (odds[..., V:].max(-1) / odds.sum(-1)).max() <= 1 / V


def test_the_bound_holds_where_all_old_logits_are_low(home):
    """A constant in all logits changes no probability; new tokens have to follow it down"""
    run = lb.train("old", path=home, progress=False, c_bias="out", b_tied=False, **TINY)
    old = lb.load(run.guid, home)
    old.weights()["head.w"][...] += 20 * np.random.default_rng(0).normal(size=(16, 1))
    tokenizer, _ = old.tokenizer.extend(NEW)
    new = plans.grow_vocabulary(old, old.config.replace(n_vocab=tokenizer.size), tokenizer)
    ids = old.encode(OLD[:17])
    assert old.logits(ids[:-1]).max(-1).min() < -50
    assert new.loss(ids[:-1], ids[1:]) - old.loss(ids[:-1], ids[1:]) < 1e-6


def test_the_new_letters_are_learned_and_the_model_leaves_the_house(home):
    from littlebaby.runs import formats

    run = lb.train("old", path=home, progress=False, c_bias="none", b_tied=True, **TINY)
    tuned = lb.finetune(run.guid, "new", path=home, progress=False, n_steps=120, r_learn=1e-2)
    assert tuned.report.best_valid_loss < 3.2                                    # of 25 new letters alone; ln 40 = 3.69
    done = lb.export(tuned.guid, to="huggingface", path=home)
    assert done.to == "huggingface"                                              # behind a layernorm the bias fits into the matrix
    back, ours = plans.model_io.baby_from_model(formats.read_model(done.folder)), lb.load(tuned.guid, home)
    ids = ours.encode(OLD[:16])
    theirs = back.logits(ids)[..., :ours.config.n_vocab]
    z = ours.logits(ids)
    assert np.abs((theirs - theirs.mean(-1, keepdims=True)) - (z - z.mean(-1, keepdims=True))).max() < 1e-3
    assert Workspace(home).load_config(tuned.guid).b_bias_head


def test_behind_an_rmsnorm_the_bias_has_no_place_elsewhere_and_the_export_says_so(home):
    run = lb.train("old", path=home, progress=False,
                   c_norm="rmsnorm", c_bias="none", c_position="rope", c_network="swi", **TINY | dict(d_type="fp32"))
    tune = lambda **more: lb.finetune(run.guid, "new", path=home, progress=False, n_steps=1, **more).guid
    for to in ("huggingface", "gguf"):
        plain = lb.export(tune(b_bias_head=False), to=to, path=home)
        assert plain.to == to
    done = lb.export(tune(), path=home)
    assert done.to == "safetensors" and any("b_bias_head is True and would have to be False" in note for note in done.notes)
    with pytest.raises(lb.BadInput, match="b_bias_head is True"):
        lb.export(tune(), to="gguf", path=home)
