"""`lb.cause`: its questions, its record, its page and its command."""
import json
import xml.etree.ElementTree as xml
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

import littlebaby as lb
from littlebaby import cli
from littlebaby.errors import BadInput
from littlebaby.plans import causes as questions
from littlebaby.runs.store import Workspace
from littlebaby.show import html
from littlebaby.text import nursery, stories
from littlebaby.text import train as train_tokenizer


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace with a run on the nursery and one on another text, both hardly trained"""
    path = tmp_path_factory.mktemp("home")
    (path / "inputs").mkdir()
    (path / "inputs" / "tale.txt").write_text(nursery.corpus(20_000, 1)[0])
    (path / "inputs" / "sums.txt").write_text("".join(f"{a} plus {b} is {a + b}.\n" for a in range(30) for b in range(30)))
    small = dict(path=path, n_layers=2, n_emb=16, n_heads=2, n_ctx=72, batch_size=4, n_steps=20, n_completion=0, n_sample=0,
                 c_device="cpu", progress=False)
    return SimpleNamespace(path=path, nursery=lb.train("tale", **small).guid, sums=lb.train("sums", c_attention="aft", **small).guid)


def well_formed(page):
    root = xml.fromstring(page)
    assert not {node.tag for node in root.iter()} & {"script", "link", "iframe", "object"} and "http" not in page
    return " ".join("".join(root.itertext()).split())


def test_a_nursery_run_is_asked_about_a_name(home, tmp_path):
    why = lb.cause(home.nursery, path=home.path, progress=False)
    pairs = list(islice(stories.name_questions(0), 12))
    texts = ["".join(why.tokens[2:]), "".join(why.corrupted[2:])]
    assert why.tokens[:2] == ["\n", "\n"] and any(texts == [text, other] and (why.answer, why.wrong) == (answer[0], wrong[0])
                                                  for text, other, answer, wrong in pairs)
    assert why.patching.positions["block"].shape == (2, len(why.tokens)) and why.attended.shape == (2, 2, len(why.tokens))
    z = lb.load(home.nursery, home.path).logits(lb.load(home.nursery, home.path).encode("\n\n" + texts[0]))[0, -1]
    vocabulary = lb.load(home.nursery, home.path).tokenizer.encode(why.answer + why.wrong)
    assert why.ablation.difference == pytest.approx(z[vocabulary[0]] - z[vocabulary[1]], abs=1e-5)
    assert why.passages and why.passages[0].occurrences >= 1 and why.reference == "taken from the training text"
    page = well_formed(why.save(tmp_path / "why.html").read_text("utf-8"))
    assert f"Why {why.answer} and not {why.wrong}?" in page and "restored" in page and "Not searched" not in page
    assert why.strongest()[0].difference == max([*why.ablation.difference_changes["heads"].ravel(),
                                                 *why.ablation.difference_changes["network"]], key=abs)
    assert f"{why.strongest()[0].difference:+.2f}" in str(why) and "text       ⏎⏎" in str(why)


def test_another_run_is_asked_about_the_last_line(home):
    why = lb.cause(home.sums, path=home.path, progress=False)
    baby = lb.load(home.sums, home.path)
    assert "".join(why.tokens).strip("\n") == "29 plus 29 is " and why.corrupted is why.patching is why.attended is None
    order = np.argsort(-baby.logits(baby.tokenizer.encode("".join(why.tokens)))[0, -1])
    assert [why.answer, why.wrong] == [baby.decode([i]) for i in order[:2]]
    page = well_formed(html.html_document("why", why._repr_html_()))
    assert "Not measured, because aft has no attention weights." in page and "Where the information is" not in page


def test_continuations_are_compared_where_they_differ(home):
    ask = lambda text, **more: lb.cause(home.nursery, text, path=home.path, progress=False, **more)
    why = ask("Ada hid a bl", answer="ack", wrong="anket")
    assert "".join(why.tokens).strip() == "Ada hid a bla" and (why.answer, why.wrong) == ("c", "n")
    assert (why := ask("Ada hid", wrong=" a")).wrong == " " and why.answer != " "
    with pytest.raises(BadInput) as error:
        ask("Ada hid", answer=" a", wrong=" a ball")
    assert str(error.value) == ("answer is ' a' and wrong ' a ball', and one begins with the other; allowed are two continuations that "
                                "differ in a token")
    with pytest.raises(BadInput) as error:
        ask("Ada hid", corrupted="Ada hid")
    assert str(error.value) == "the corrupted text has the tokens of the text; allowed is one that differs from it"
    with pytest.raises(BadInput) as error:
        ask(None, answer="a")
    assert str(error.value) == "corrupted, answer and wrong belong to a text; give it as text"
    with pytest.raises(BadInput) as error:
        ask("Ada hid", ablation="meen")
    assert str(error.value) == "ablation is 'meen'; allowed are zero, mean, resample; did you mean mean?"


@pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])
def test_every_ablation_has_its_values(home, ablation):
    why = lb.cause(home.nursery, "Ada hid a ball. A", "Ben hid a ball. B", ablation=ablation, path=home.path, progress=False)
    assert why.ablation.kind == ablation and all(change.any() for change in why.ablation.loss_changes.values())
    if ablation == "resample":                       # the corrupted text ends in another letter, so all of the last block is another
        assert why.reference == "the corrupted text"


def test_the_command_prints_the_strongest_causes_and_writes_a_page_of_the_run(home, capsys):
    words = ["cause", home.nursery[:8], "--text", "Ada hid a ball. A", "--corrupted", "Ben hid a ball. B", "--path", str(home.path)]
    assert cli.main([*words, "--quiet"]) == 0
    shown = capsys.readouterr().out
    path = home.path / "outputs" / f"cause_{home.nursery}.html"
    assert "block 1, head" in shown and shown.endswith(f"{path}\n") and "Most of what decides" in shown
    well_formed(path.read_text("utf-8"))
    assert path in {file.path for file in Workspace(home.path).files(home.nursery)}
    assert cli.main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["strongest"]) == 5 and told["path"] == str(path) and set(told["strongest"][0]) == {"name", "difference", "loss",
                                                                                                   "direct", "remark"}


def test_questions_about_names_are_beginnings_of_stories():
    for text, corrupted, answer, wrong in islice(stories.name_questions(3), 30):
        assert stories.parse(text + answer).end == len(text + answer) and len(text) == len(corrupted)
        assert text.count(answer) == 1 == corrupted.count(wrong) and answer not in corrupted and wrong not in text
        assert stories.parse(corrupted + wrong).end == len(corrupted + wrong) and answer[0] != wrong[0]


@pytest.mark.parametrize("kind", ["bpe", "word", "char"])
def test_every_tokenizer_can_be_asked(kind):
    """The compared tokens begin where the two whole texts differ, so that a token may span the end of the text"""
    source = nursery.corpus(30_000, 0)[0]
    it = lb.Baby(lb.Config(n_layers=1, n_emb=16, n_heads=2, n_ctx=64), tokenizer=train_tokenizer(kind, source, 400), seed=0)
    whole = lambda ids, token: it.tokenizer.decode([*ids[0], token])
    asked = questions.question(it, "Ada hid a ball. Then ", "Zoe hid a ball. Then ", "Ada", "Zoe")
    texts = [whole(asked.ids, asked.answer), whole(asked.ids, asked.wrong), whole(asked.corrupted, asked.wrong)]
    goal = ["\n\nAda hid a ball. Then Ada", "\n\nAda hid a ball. Then Zoe", "\n\nZoe hid a ball. Then Zoe"]
    assert all(full.startswith(text) and len(full) - len(text) <= 2 * (kind == "char") for text, full in zip(texts, goal))
    one = questions.question(it, "Ada hid a ball. Then ", answer="Ada")
    assert one.answer == asked.answer and one.wrong not in (asked.answer, None) and one.corrupted is None
    assert questions.nursery_question(it).ids.shape == questions.nursery_question(it).corrupted.shape
