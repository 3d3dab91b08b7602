"""The microscope, the walk and the diary say the truth: every number that they show is held against another way to it."""
import json
import re
import xml.etree.ElementTree as xml
from types import SimpleNamespace

import numpy as np
import pytest
from strict import strict

import littlebaby as lb
from littlebaby import cli, plans, text
from littlebaby.arrays import backend, tree
from littlebaby.check import inspect_model, laws, mistakes, trace
from littlebaby.errors import BadInput
from littlebaby.evaluation import finetune_change
from littlebaby.model import gpt
from littlebaby.model.context import Context, variant, variants
from littlebaby.runs.settings import Config
from littlebaby.runs.store import Workspace
from littlebaby.show import diary, html, microscope, walk
from littlebaby.text import overlap
from littlebaby.training import data

TALE = "Ada the owl met Gus the elk at the old inn.\nGus had a red & blue <kite>.\n\n" * 40
SENTENCE = "Gus met <Ada> & a kite."
ATTENTIONS = variants("attentions")
SCORED = {"diff", "gqa", "hybrid", "mha", "mla", "moh", "swa", "swh"}


def baby(attention="mha", **more):
    """A small one away from its first weights, so that heads and layers differ"""
    tokenizer = text.train("char", TALE)
    small = dict(c_attention=attention, n_emb=16, n_ctx=48, n_layers=2, n_heads=4, s_window=4, n_latents=3, c_position="none")
    cfg = Config(**{**small, **more})
    made = lb.Baby(cfg, tokenizer=tokenizer, seed=1)
    made.flat += backend.xp.asarray(0.1 * np.random.default_rng(2).standard_normal(made.flat.size).astype("f4"))
    return made


def well_formed(page):
    """A whole page as a tree; it fetches nothing and runs nothing"""
    root = xml.fromstring(page)
    tags = {node.tag for node in root.iter()}
    words = re.sub(r"base64,[^\"]*", "", page)
    assert not tags & {"script", "link", "iframe", "object"} and "http:" not in words and "https:" not in words and "@import" not in words
    assert all(node.get("src").startswith("data:image/png;base64,") for node in root.iter("img"))
    return root


# the microscope

@pytest.mark.parametrize("order", ["pre", "post"])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_microscope_sees_every_attention(attention, order):
    it = baby(attention, c_sequence=order, c_network="moe" if order == "post" else "mlp", n_active=2 if order == "post" else 0)
    m = microscope.examine(it, SENTENCE, "a" * 36)
    ids = m.ids
    assert m.loss == pytest.approx(it.loss(ids[:-1], ids[1:])) and m.losses.mean() == pytest.approx(m.loss, rel=1e-5)
    assert "".join(m.tokens) == it.tokenizer.begin + SENTENCE

    # the last layer's guess is the model's own
    recorded = {}
    gpt.forward(it.p, it.checked_ids(ids), Context(it.config, recorder=recorded))
    logits = it.logits(ids)
    assert np.allclose(inspect_model.logits_after(it, recorded[1, "block"]), logits, atol=1e-6)
    chances = np.exp(logits[0] - np.logaddexp.reduce(logits[0], -1, keepdims=True))
    assert (m.top_ids[-1, :, 0] == chances.argmax(-1)).all() and np.allclose(m.probabilities[-1, :, 0], chances.max(-1), atol=1e-6)
    assert np.allclose(m.target_probabilities[-1], chances[np.arange(len(ids) - 1), ids[1:]], atol=1e-6)

    # shares of the past, and of nothing else
    assert (set(m.attention) == {0, 1}) == (attention in SCORED)
    for a in (*m.attention.values(), m.mixing):
        assert np.allclose(a.sum(-1), 1, atol=1e-5) and not np.triu(a, 1).any() and (a >= 0).all()
    if order == "post":
        assert all(m.expert_loads[i].sum() == 2 * len(ids) == (m.chosen_experts[i] >= 0).sum() for i in (0, 1))
    well_formed(html.html_document("microscope", microscope.body(m)))


@pytest.mark.parametrize("attention, more", [("mha", {}), ("gqa", dict(n_kv_heads=2)), ("swa", {}), ("mha", dict(c_position="alibi"))])
def test_attention_is_what_the_formula_says(attention, more):
    it = baby(attention, **more)
    m = microscope.examine(it, SENTENCE)
    w, cfg, T = it.weights(), it.config, len(m.ids)
    x = w["token"][m.ids].astype(float)
    n = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + cfg.norm_eps) * w["blocks.0.norm1.w"] + w["blocks.0.norm1.b"]
    q, k = (np.moveaxis((n @ w[f"blocks.0.att.{name}"]).reshape(T, -1, 4), 1, 0) for name in ("wq", "wk"))     # heads are 4 wide
    k = np.repeat(k, len(q) // len(k), 0)
    far = np.subtract.outer(np.arange(T), np.arange(T))
    s = q @ k.swapaxes(-1, -2) / 2
    if cfg.c_position == "alibi":
        s = s - (2.0 ** -np.arange(2, 10, 2))[:, None, None] * far
    s[:, (far < 0) | (far >= (cfg.s_window if cfg.c_attention == "swa" else T))] = -np.inf
    e = np.exp(s - s.max(-1, keepdims=True))
    assert np.allclose(m.attention[0], e / e.sum(-1, keepdims=True), atol=1e-5)


def test_what_backward_keeps_is_counted_array_by_array():
    it = baby(c_network="mlp", c_norm="rmsnorm", c_bias="none")
    m = microscope.examine(it, SENTENCE)
    T, D, F, h = len(m.ids), 16, 64, 4
    # attention: its input, q scaled, the fused qkv for k and v, o, the sums, the weights. network: its input, the two ways of the bend, a
    attention = T * D + T * D + 3 * T * D + T * D + h * T + h * T * T
    network = T * D + 2 * T * F
    norms = 2 * (T * D + T)
    kept = {name: n / 4 for name, n in m.memory[0].items()}
    # one more of each may be held on to for no more than its shape
    assert kept["attention"] == attention and kept["network"] in (network, network + T * F) and m.memory[0] == m.memory[1]
    assert kept["norms"] in (norms, norms + T * D)


def test_a_recorder_changes_no_number():
    it, recorded = baby("mha", c_network="moe", n_active=2), {}
    ids = it.checked_ids(np.arange(9))
    observed, _ = gpt.forward(it.p, ids, Context(it.config, recorder=recorded))
    assert np.array_equal(observed, gpt.forward(it.p, ids, Context(it.config))[0])
    names = "scores", "heads", "attention", "chosen", "network", "block"
    assert recorded.keys() == {(0, "embedding"), *((i, name) for i in (0, 1) for name in names)}


def test_an_array_counts_once_however_it_is_held():
    a, b, flat = np.zeros(10), np.zeros((4, 5)), np.zeros(100)

    def op(x, weights):
        parts = [x[2:], x[::2][:, None], weights]
        late = [lambda: (x, parts)]
        return lambda dy: late

    retained = inspect_model.retained_arrays([op(a, flat[:3]), op(b.T[1], flat[7:])], {id(flat)})
    assert retained == {id(a): ("", a.nbytes), id(b): ("", b.nbytes)}


def test_a_long_text_is_cut_and_said_to_be_and_nothing_is_refused():
    m = microscope.examine(baby(), TALE)
    assert len(m.ids) == 48 and m.token_count == len(TALE) + 2 and "the first 48 of" in microscope.body(m)
    with pytest.raises(BadInput, match="has no tokenizer"):
        microscope.examine(lb.Baby(Config(n_emb=8, n_heads=2, n_vocab=9)), "a")


def test_distances():
    a = np.zeros((1, 3, 3))
    a[0, 0, 0] = a[0, 1, 0] = a[0, 2, 0] = 1
    assert microscope.mean_distances(a)[0] == pytest.approx((0 + 1 + 2) / 3)


@pytest.mark.parametrize("attention, network", [("mha", "moe"), ("swa", "mlp"), ("hybrid", "mlp"), ("swh", "mlp"), ("aft", "swi")])
def test_the_device_sees_the_same(attention, network):
    here = microscope.examine(baby(attention, c_network=network, n_active=2), SENTENCE)
    try:
        backend.use(strict)
        there = microscope.examine(baby(attention, c_network=network, n_active=2), SENTENCE)
        assert lb.walk("rmsnorm").wrong() == [] and backend.use.module is strict
    finally:
        backend.use("cpu")
    for name in ("losses", "probabilities", "mixing"):
        assert np.allclose(getattr(here, name), getattr(there, name), atol=1e-5)
    for name in ("attention", "chosen_experts", "chosen_heads", "expert_loads"):
        mine, others = getattr(here, name), getattr(there, name)
        assert mine.keys() == others.keys() and all(np.allclose(mine[i], others[i], atol=1e-5) for i in mine)


# the walk

@pytest.mark.parametrize("name", [name for folder in trace.FOLDERS for name in variants(folder)])
def test_a_walk_ends_where_the_layer_does(name):
    w = lb.walk(name)
    layer, s = variant(w.folder, name), laws.random_layer(variant(w.folder, name), w.config)
    y, backward = layer.forward(s.p, s.x, laws.Context(w.config, np.random.default_rng(7)))
    gradient = np.zeros(tree.size(s.spec, train=True))
    dx = backward(s.dy, tree.views(s.spec, gradient))
    assert np.array_equal(w.y, y) and np.array_equal(w.dx, dx) and w.wrong() == []
    first = w.parts[0]
    assert first.name == "forward" and np.array_equal(first.backward[-1].values[-1].array, dx)
    named = tree.named(s.spec, gradient)
    assert w.gradients.keys() == named.keys() and all(np.array_equal(w.gradients[leaf], named[leaf]) for leaf in named)
    for part in w.parts:
        # every back that is bound is called, and every line that ran and writes numbers tells them
        bound = {each for line in part.forward for each in line.binds}
        assert bound >= {each for line in part.backward for each in line.calls}
        assert any(line.ran for line in part.backward)
    root = well_formed(html.html_document("walk", walk.body(w)))
    assert len(list(root.iter("path"))) >= len(first.backward[-1].calls)


def test_a_line_tells_what_it_computed():
    w = lb.walk("mlp")
    part, = w.parts
    said = {value.name: value for line in part.forward for value in line.values}
    u = said["u"].array
    s = laws.random_layer(variant("networks", "mlp"), w.config)
    assert np.allclose(u, s.x @ s.p.up + s.p.b1) and said["u"].norm == pytest.approx(np.linalg.norm(u))
    assert said["a"].array.shape == (2, 5, 12) and part.forward[0].binds == ["back_up"]
    told = [(line.code, line.calls) for line in part.backward if line.calls]
    assert told == [("da, ddown, db2 = back_down(back_drop(dy))", ["back_down", "back_drop"]),
                    ("dx, dup, db1 = back_up(back_act(da))", ["back_up", "back_act"])]


def tensors(w):
    """The tensors whose gradient is wrong"""
    return {name for name in w.wrong() if name not in ("decoding", "causality", "y unchanged")}


@pytest.mark.parametrize("name, mistake", [(each.where.split(".")[-1].replace("kernels", "mha"), each) for each in mistakes.PLANTED
                                           if not each.where.startswith("positions")], ids=lambda each: getattr(each, "name", each))
def test_each_mistake_is_found_in_the_right_tensor(name, mistake):
    broken = lb.walk(name).break_(mistake.name)
    assert tensors(broken) == set(mistake.tensors.split())
    laws_said = {"formula": "y unchanged", "decoding": "decoding", "causality": "causality"}
    assert all(laws_said[law] in broken.wrong() for law in mistake.by.split() if law in laws_said)
    assert broken.fix().wrong() == []
    page = html.html_document("walk", walk.body(broken))
    well_formed(page)
    assert "planted mistake" in page and page.count("✗ wrong") == len(broken.wrong())


@pytest.mark.parametrize("name", [name for folder in trace.FOLDERS for name in variants(folder)])
def test_every_file_can_be_broken(name):
    w = lb.walk(name)
    assert "twice" in w.mistakes and tensors(w.break_("twice")) == {"x"}
    if "no gradient" in w.mistakes:
        broken = w.break_("no gradient")
        assert tensors(broken) == set(broken.mistake.tensors.split()) and not any(broken.gradients[leaf].any() for leaf in tensors(broken))


def test_what_a_mistake_spoils_is_red_from_there_on():
    w = lb.walk("mha").break_("forgotten weight")
    heads = next(part for part in w.parts if part.name == "head_outputs")
    assert not any(value.changed for part in w.parts for line in part.forward for value in line.values)
    assert not any(value.changed for line in heads.backward for value in line.values)
    wrong = lb.walk("mha").break_("queries for keys")
    qkv = next(part for part in wrong.parts if part.name == "queries_keys_values")
    assert {value.name for line in qkv.backward for value in line.values if value.changed} == {"dx", "dwqkv", "g.wqkv", "→"}


def test_a_walk_leaves_no_tracer_behind_and_refuses_what_is_none():
    import sys

    before = sys.gettrace()
    with pytest.raises(ZeroDivisionError), trace.Tracer({}):
        raise ZeroDivisionError
    assert sys.gettrace() is before
    with pytest.raises(BadInput, match="did you mean mha"):
        lb.walk("mah")
    with pytest.raises(BadInput, match="did you mean lost scale"):
        lb.walk("mha").break_("lost scales")


# the diary, and all three from a shell

@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    root = tmp_path_factory.mktemp("diaries")
    (root / "inputs").mkdir()
    (root / "inputs" / "tale.txt").write_text(TALE, encoding="utf-8")
    (root / "inputs" / "other.txt").write_text(TALE.upper(), encoding="utf-8")
    small = dict(n_layers=2, n_emb=16, n_heads=2, n_ctx=24, n_steps=30, n_completion=120, n_sample=20, batch_size=4, seed=3)
    first = lb.train("tale", config=None, preset="tiny-nanogpt", path=root, progress=False, **small)
    second = lb.finetune(first.guid, "other", root, progress=False, n_steps=20)
    return SimpleNamespace(root=root, first=first, second=second)


def test_the_diary_of_a_finetune(workspace):
    told = lb.diary(workspace.second.guid, path=workspace.root)
    change = told.entries[0].change
    old, new = (lb.load(run.guid, workspace.root) for run in (workspace.first, workspace.second))
    before, moved = change.weights["blocks.1.att.wq"]
    assert np.allclose(before + moved, new.weights()["blocks.1.att.wq"]) and np.array_equal(before, old.weights()["blocks.1.att.wq"])
    assert finetune_change.relative_change((before, moved)) == pytest.approx(np.linalg.norm(moved) / np.linalg.norm(before)) and moved.any()
    assert change.weights["token"][0].shape == old.weights()["token"].shape != new.weights()["token"].shape       # new tokens
    assert [name for name, _, _ in change.losses] == ["tale.txt, the old text", "other.txt, the new text"]
    (_, kept, lost), (_, unknown, learned) = change.losses
    assert unknown is None and kept != lost                      # capitals it cannot spell
    assert [kept, lost] == [finetune_change.held_out_loss(each, TALE) for each in (old, new)]
    ids = new.encode(TALE.upper())
    held_out = ids[max(round(0.9 * len(ids)), 25):]
    tables = data.windows(held_out, 24, finetune_change.WINDOWS, 0.5)
    x, y = tables[:]
    n = (y >= 0).sum(1)
    each = [new.loss(*pair) for pair in zip(x, y)]
    assert learned == pytest.approx(np.average(each, weights=n), rel=1e-4)
    assert {prompt for prompt, _, _ in change.completions} == {"", "Ada the owl met", "ADA THE OWL MET"}
    page = html.html_document("diary", diary.body(told))
    well_formed(page)
    assert "What the finetune changed" in page and f"{learned:.3f}" in page


def test_diaries_side_by_side(workspace):
    told = lb.diary(workspace.first.guid, workspace.second.guid, path=workspace.root)
    page = html.html_document("diary", diary.body(told))
    root = well_formed(page)
    words = " ".join(root.itertext())
    assert words.count(workspace.first.guid[:8]) > 4 and "The settings in which they differ" in words and "r_learn" in words
    figure = diary.loss_curves(told)
    losses = [line.get_ydata() for line in figure.axes[0].lines]
    assert [len(each) for each in losses] == [len([row for row in run.report.evaluations if row.valid_loss is not None])
                                              for run in (workspace.first, workspace.second)]
    assert "24 kB" not in str(told) and workspace.second.guid in str(told)


def test_what_is_memorized():
    source = "x" * 10 + "the quick brown fox jumps over the lazy dog and sleeps until noon" + "y" * 10
    written = "So it went: " + source[10:70] + "; and then"
    mark = overlap.copied(written, source)
    assert sum(mark) == 60 and mark[12] and mark[71] and not mark[11] and not mark[72]
    assert overlap.copied_share(written, source) == 60 / len(written) and overlap.copied_share("", source) is None
    assert overlap.copied_share(source[10:59], source) == 0          # shorter than a passage that counts


def test_a_run_whose_text_is_gone_has_a_diary(workspace):
    path = workspace.root / "inputs" / "tale.txt"
    kept = path.read_bytes()
    path.write_text("something else " * 20)
    try:
        told = lb.diary(workspace.first.guid, path=workspace.root)
        assert told.entries[0].source is None and "training text no longer exists" in diary.body(told)
    finally:
        path.write_bytes(kept)


def test_pages_from_a_shell_are_the_runs_and_go_with_it(workspace, capsys):
    name, home = workspace.first.guid, ["--path", str(workspace.root)]
    assert cli.main(["microscope", name[:8], "--text", SENTENCE, "--json", *home]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert np.mean(seen["losses"]) == pytest.approx(seen["loss"], rel=1e-5) and len(seen["next"]) == 5
    assert cli.main(["diary", name[:8], "--json", *home]) == 0
    told = json.loads(capsys.readouterr().out)
    assert cli.main(["walk", "rmsnorm", "--break", "neighbours", "--json", *home]) == 0
    gone = json.loads(capsys.readouterr().out)
    assert "causality" in gone["wrong"] and gone["mistakes"] == ["neighbours", "no gradient", "twice"]
    for page in (seen, told, gone):
        well_formed(open(page["path"], encoding="utf-8").read())
    files = {str(file.path) for file in Workspace(workspace.root).files(name)}
    assert {seen["path"], told["path"]} <= files and gone["path"] not in files
    assert cli.main(["microscope", name[:8], *home]) == 0        # no text: what it wrote itself
    assert "nats per token" in capsys.readouterr().out
    assert cli.main(["walk", "mha", *home]) == 0 and "lost scale" in capsys.readouterr().out
    assert cli.main(["walk", "mha", "--break", "nothing", *home]) == 2 and "allowed are" in capsys.readouterr().err
    assert plans.microscope(name, None, workspace.root).tokens[0] == "\n"


# paper

def test_colours_stay_readable():
    assert html.tint(0) == "#ffffff" == html.tint(-1) and html.tint(1, "#000000") == "#474747" == html.tint(7, "#000000")


def test_what_cannot_be_seen_is_made_visible():
    assert [html.visible(token) for token in ("\n", " a", "\x07", "", "ab\n")] == ["⏎", "·a", "\\x07", "∅", "ab⏎"]


def test_every_mistake_of_a_walk_is_a_button():
    w = lb.walk("rmsnorm")
    label, row, page = walk.buttons(w).children
    *planted, correct = row.children
    assert [each.description for each in planted] == w.mistakes and correct.layout.display == "none"
    planted[0].click()
    assert f"planted mistake: {w.mistakes[0]}." in page.value and correct.layout.display == ""
    correct.click()
    assert page.value == "" and correct.layout.display == "none"
