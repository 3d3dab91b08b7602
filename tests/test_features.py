"""The sparse autoencoder: its gradients, what it finds, what is said of its features, and steering with them."""
import json
import shutil
import signal
import xml.etree.ElementTree as xml

import numpy as np
import pytest
from strict import strict

import littlebaby as lb
from littlebaby import cli
from littlebaby.arrays import backend, tree
from littlebaby.check import features
from littlebaby.inference.steering import adding, block_outputs
from littlebaby.model import gpt
from littlebaby.model.context import Context
from littlebaby.plans import inspection
from littlebaby.runs.store import Workspace
from littlebaby.show import html
from littlebaby.training import sparse_autoencoder as sae


def weights(D, F, seed=0):
    """(flat, weights, their spec) of an autoencoder with random weights in float64"""
    spec, rng = sae.params(D, F), np.random.default_rng(seed)
    flat = rng.standard_normal(tree.size(spec))
    return flat, tree.views(spec, flat), spec


@pytest.mark.parametrize("n_active", [1, 3, 12])
def test_the_gradients_agree_with_finite_differences(n_active):
    flat, p, spec = weights(5, 12)
    x = np.random.default_rng(1).standard_normal((7, 5))
    grad = np.zeros_like(flat)
    loss, f, errors = sae.loss_and_grad(p, tree.views(spec, grad), x, n_active)
    assert loss == pytest.approx((errors ** 2).sum() / 7) and ((f > 0).sum(1) <= n_active).all() and f.any()
    dx = np.zeros_like(x)
    dx += sae.forward(p, x, n_active)[2](errors * (2 / 7), tree.views(spec, np.zeros_like(flat))) - errors * (2 / 7)

    def differences(array):
        found = np.zeros(array.size)
        for i in range(array.size):
            old, both = array.flat[i], []
            for step in (1e-6, -1e-6):
                array.flat[i] = old + step
                y, _, _ = sae.forward(p, x, n_active)
                both.append(((y - x) ** 2).sum() / 7)
            array.flat[i] = old
            found[i] = (both[0] - both[1]) / 2e-6
        return found.reshape(array.shape)

    for analytic, array in ((grad, flat), (dx, x)):
        numeric = differences(array)
        assert np.abs(analytic - numeric).max() / np.abs(numeric).max() < 1e-7


def test_only_the_largest_positive_numbers_stay():
    u = np.array([[3.0, -1, 2, 5], [-1, -2, -3, 4]])
    f, back = sae.largest(u, 2)
    assert f.tolist() == [[3, 0, 0, 5], [0, 0, 0, 4]] and back(np.ones((2, 4))).tolist() == [[1, 0, 0, 1], [0, 0, 0, 1]]


def test_it_finds_the_directions_that_made_the_outputs():
    """24 directions in 32 dimensions, two of which are active in each token, in an unusual unit and away from 0"""
    rng = np.random.default_rng(0)
    true = rng.standard_normal((24, 32))
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    code = np.zeros((4096, 24))
    for row in code:
        row[rng.choice(24, 2, replace=False)] = rng.uniform(1, 2, 2)
    x = (50 * (code @ true) + 7).astype(np.float32)
    *_, (p, _) = sae.fit(x, 32, 2, 400, rng)
    y, f, _ = sae.forward(p, x, 2)
    assert p.down.dtype == np.float32 and np.abs(np.linalg.norm(p.down, axis=1) - 1).max() < 1e-5
    assert 1 - ((x - y) ** 2).sum() / ((x - x.mean(0)) ** 2).sum() > 0.9
    assert (np.max(true @ p.down.T, axis=1) > 0.95).mean() > 0.8, "most directions are found"


def test_features_without_a_token_start_again(monkeypatch):
    """Features that begin far from all outputs are never active, unless they start again"""
    x = np.random.default_rng(0).standard_normal((2048, 8)).astype(np.float32)
    usual = sae.restart

    def lost(p, which, directions, *more):
        usual(p, which, directions, *more)
        if not more:
            p.b[:16] = -100

    monkeypatch.setattr(sae, "restart", lost)
    dead = {}
    for revivals in (1, 10):
        monkeypatch.setattr(sae, "REVIVALS", revivals)
        *_, (p, _) = sae.fit(x, 32, 4, 60, np.random.default_rng(1))
        dead[revivals] = int((sae.forward(p, x, 4)[1] == 0).all(0).sum())
    assert dead[1] >= 16 and dead[10] == 0


# what is measured

@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace with a small run"""
    path = tmp_path_factory.mktemp("home")
    lb.nursery("10kB", path=path)
    lb.train("nursery_10kB_0.txt", path=path, n_layers=2, n_emb=16, n_heads=2, n_ctx=32, batch_size=4, n_steps=20, n_completion=0,
             n_sample=0, c_device="cpu", progress=False)
    return path


def mirror(D):
    """The weights of an autoencoder that rebuilds everything: a feature for each direction of each of the D axes"""
    _, p, _ = weights(D, 2 * D)
    p.down[...] = np.concatenate([np.eye(D), -np.eye(D)])
    p.up[...], p.b[...], p.shift[...] = p.down.T, 0, 0
    return p


def test_an_autoencoder_that_rebuilds_everything_changes_nothing(home):
    b, p = lb.load("last", home, d_type="fp64"), mirror(16)
    rows, held_out = features.pieces(b, (home / "inputs/nursery_10kB_0.txt").read_text(), np.random.default_rng(0))
    assert rows.shape[1] == held_out.shape[1] == 33
    x = features.outputs(b, rows[:3, :-1], 1)
    found = features.inspect_features(b, p, 16, 1, rows[:3, :-1], x, held_out, 0)
    assert found.explained == pytest.approx(1) and found.rebuilt_loss == pytest.approx(found.loss, abs=1e-9)
    assert found.loss == pytest.approx(b.loss(held_out[:, :-1], held_out[:, 1:])) and found.mean_loss > found.loss + 0.02
    assert found.active == pytest.approx(16) and found.shares[:16] + found.shares[16:] == pytest.approx(1)
    first = found.described[0]
    axis, sign = first.number % 16, 1 if first.number < 16 else -1
    positive = np.maximum(sign * x[..., axis], 0)
    assert first.mean == pytest.approx(positive[positive > 0].mean()) and first.share == pytest.approx((positive > 0).mean())
    shown = first.examples[0]
    assert shown.activations[shown.peak] == pytest.approx(positive.max())
    row, place = np.unravel_index(positive.argmax(), positive.shape)
    assert shown.tokens == [b.decode([i]) for i in rows[row, max(0, place - 40):place + 12][:33 - 1 - max(0, place - 40)]]


@pytest.mark.parametrize("more", [dict(c_norm="layernorm"), dict(c_norm="rmsnorm"), dict(c_sequence="post"), dict(b_tied=False)],
                         ids=lambda more: "-".join(map(str, more.values())))
def test_what_a_direction_raises_is_the_norm_and_the_head_without_the_divisor(more):
    """A direction that leaves the divisor as it is raises the logits exactly so: where all tokens have the same output"""
    b = lb.Baby(lb.Config(**dict(n_layers=2, n_emb=8, n_heads=2, n_ctx=6, n_vocab=11, d_type="fp64") | more), seed=0)
    b.flat += 0.3 * np.random.default_rng(1).standard_normal(b.flat.size)
    ids = np.array([[3]])
    x = block_outputs(b, ids, 1)[0, 0]
    d = np.random.default_rng(2).standard_normal(8)
    if "norm" in b.p:                                           # small, and without a part along x, on which the divisor depends
        centred = x - x.mean() if "b" in b.p.norm else x
        d = 1e-6 * (d - centred * (d @ centred) / (centred @ centred))
    logits = lambda shift: gpt.forward(b.p, ids, Context(b.config, replace_value=adding({1: shift})))[0][0, -1]
    raised = features.raised_logits(b, d[None], ids)[0]
    assert np.abs(logits(d) - logits(0 * d) - raised).max() < 1e-5 * np.abs(raised).max()


# the plan

def test_a_feature_steers_with_its_direction(home, tmp_path):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    found = lb.features("last", layer=0, n_features=24, n_active=3, n_steps=30, path=tmp_path, progress=False)
    assert (found.n_features, found.layer, found.steps, found.dead) == (24, 0, 30, int((found.shares == 0).sum()))
    assert 0.2 < found.explained < 1 and found.loss < found.rebuilt_loss < found.mean_loss + 1
    number = found.described[0].number
    b, (arrays, layer) = lb.load("last", tmp_path), Workspace(tmp_path).load_features(found.name)
    shift = 5 * found.means[number] * arrays["down"][number]
    done = lb.inference("last", "Ada", 20, temperature=0, path=tmp_path, steer={f"feature{number}": 5})
    assert layer == 0 and done.text == b.decode(b.generate(b.encode("Ada"), 20, temperature=0, replace_value=adding({0: shift})))
    assert [tuple(vars(each).values()) for each in done.steering] == [(f"feature{number}", 0, 5.0)]
    lb.delete(found.name, tmp_path, yes=True)
    assert not [*tmp_path.rglob("*features*")]


def test_interrupted_features_are_those_of_the_steps_so_far(home, tmp_path, monkeypatch):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)

    def interrupting(*args):
        for step, each in enumerate(sae.fit(*args), 1):
            if step == 7:
                signal.raise_signal(signal.SIGINT)
            yield each

    monkeypatch.setattr(inspection, "fit", interrupting)
    found = lb.features("last", n_features=24, n_active=3, n_steps=1000, path=tmp_path, progress=False)
    assert found.steps == 7 and json.loads((tmp_path / f"outputs/features_{found.name}.json").read_text())["steps"] == 7


def test_a_page_and_json_from_a_shell(home, tmp_path, capsys):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    words = ["features", "last", "--n_features", "24", "--n_active", "3", "--n_steps", "10", "--path", str(tmp_path)]
    assert cli.main([*words, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    saved = json.loads((tmp_path / f"outputs/features_{data['name']}.json").read_text())
    assert saved | dict(path=data["path"]) == data and len(data["shares"]) == 24
    page = (tmp_path / f"outputs/features_{data['name']}.html").read_text()
    xml.fromstring(page.replace("<!DOCTYPE html>", "").replace("&#160;", " "))
    for each in data["described"]:
        assert f">feature{each['number']}<" in page
    assert page.count("outline: 1px solid") == sum(len(each["examples"]) for each in data["described"])
    assert cli.main([*words, "--quiet"]) == 0
    assert f"feature{data['described'][0]['number']} " in capsys.readouterr().out


@pytest.mark.parametrize("more, sentence", [
    (["--layer", "2"], "layer is 2; allowed is a whole number from 0 to 1; did you mean 1?"),
    (["--n_features", "1"], "n_features is 1; allowed is a whole number from 2 to 1,048,576; did you mean 2?"),
    (["--n_active", "99"], "n_active is 99; allowed is a whole number from 1 to 64; did you mean 64?"),
    (["--n_steps", "0"], "n_steps is 0; allowed is a whole number from 1 to 10,000,000; did you mean 1?")])
def test_wrong_numbers_are_told(home, capsys, more, sentence):
    assert cli.main(["features", "last", *more, "--path", str(home)]) == 2
    assert capsys.readouterr().err.strip() == sentence


def test_what_is_missing_is_told(home, tmp_path):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    guid = lb.list(tmp_path)[-1].name
    with pytest.raises(lb.BadInput, match=f"^{guid} has no features yet; `littlebaby features {guid[:8]} --path {tmp_path}` finds them$"):
        lb.inference("last", path=tmp_path, steer=dict(feature3=1))
    (tmp_path / "inputs/nursery_10kB_0.txt").unlink()
    with pytest.raises(lb.BadInput, match=f"^the training text of {guid} does not exist any more, or is no text file; give a text with "):
        lb.features("last", path=tmp_path)


def test_a_framed_word():
    assert html.shaded(["a", "b"], [0, 1], framed=1).count("outline") == 1 and "outline" not in html.shaded(["a", "b"], [0, 1])


def test_the_device_finds_the_same(home):
    """Training, measures and steering on the strict stand-in of a device"""
    found = []
    try:
        for device in ("cpu", strict):
            b, rng = lb.load("last", home), np.random.default_rng(0)
            backend.use(device)
            b = lb.Baby(b.config, tokenizer=b.tokenizer, flat=backend.xp.asarray(backend.to_numpy(b.flat)))
            rows, held_out = features.pieces(b, (home / "inputs/nursery_10kB_0.txt").read_text(), rng)
            rows = rows[:8, :-1]
            x = features.outputs(b, rows, 1)
            *_, (p, _) = sae.fit(x.reshape(-1, 16), 32, 4, 20, rng)
            steer = adding({1: 9 * backend.to_numpy(p.down)[0]})
            found.append((features.inspect_features(b, p, 4, 1, rows, x, held_out, 20),
                          b.generate([1, 2, 3], 20, temperature=0, replace_value=steer)))
    finally:
        backend.use("cpu")
    (here, text), (there, text_there) = found
    for name in ("explained", "loss", "rebuilt_loss", "mean_loss", "means", "shares"):
        assert np.allclose(getattr(here, name), getattr(there, name), atol=1e-3), name
    assert text.tolist() == text_there.tolist()
