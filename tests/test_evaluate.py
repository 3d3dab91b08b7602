"""Evaluation: on fixed logits every figure equals the one worked out here, and lm-eval's through the adapter."""
import json
import re
import sys
from math import exp, log, sqrt
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import littlebaby as lb
from littlebaby import cli
from littlebaby.errors import BadInput
from littlebaby.evaluation import tasks
from littlebaby.evaluation.tasks import Accuracy, Item, score_items
from littlebaby.evaluation.text_scores import likelihoods, score_text
from littlebaby.inference import generate as decoding
from littlebaby.inference.baby import Baby
from littlebaby.runs.fetch import HUB_TASKS
from littlebaby.runs.settings import Config, allowed
from littlebaby.text import char, nursery
from littlebaby.text.tokenizer_helpers import jsonl_rows

TASKS = Path(__file__).parent / "tasks"


def read_items(text):
    return [item for _, item in tasks.numbered(jsonl_rows(text))]


def baby(**more):
    tokenizer = char.Char([*"\n abcdefgh"], "\n")
    cfg = Config(**{**dict(n_ctx=16, n_emb=16, n_heads=4, n_layers=2, d_type="fp64", n_kv_heads=2), **more})
    b = Baby(cfg, seed=3, tokenizer=tokenizer)
    b.flat += 0.4 * np.random.default_rng(0).standard_normal(b.flat.size)
    return b


def surprise(b, text):
    """Nats of each token but the first, one full pass"""
    ids = b.encode(text)
    z = b.logits(ids[:-1])[0]
    return np.log(np.exp(z).sum(-1)) - z[np.arange(len(ids) - 1), ids[1:]]


# a text

def test_every_token_of_a_text_counts_once():
    b, text = baby(n_ctx=64), "abc dab\nhgf eda b"
    nats = surprise(b, "\n" + text).sum()
    found = score_text(b, text)
    assert (found.tokens, found.words, found.characters, found.bytes) == (17, 5, 17, 17)
    assert found.nats == pytest.approx(nats, rel=1e-12)
    assert found.perplexity_per_token == pytest.approx(exp(nats / 17), rel=1e-12)
    assert found.perplexity_per_word == pytest.approx(exp(nats / 5), rel=1e-12)
    assert found.bits_per_byte == found.bits_per_character == pytest.approx(nats / 17 / log(2), rel=1e-12)


def test_bytes_are_not_characters():
    b = Baby(Config(n_ctx=8, n_emb=4, n_heads=1), tokenizer=char.Char([*"\nάβ "], "\n"))
    b.flat[...] = 0                                                  # all four tokens alike: log 4 each
    found = score_text(b, "άβ ββ")
    assert (found.characters, found.bytes, found.words) == (5, 9, 2) and found.perplexity_per_token == pytest.approx(4, rel=1e-6)
    assert found.bits_per_character == pytest.approx(2, rel=1e-6) and found.bits_per_byte == pytest.approx(10 / 9, rel=1e-6)
    assert found.perplexity_per_word == pytest.approx(4 ** 2.5, rel=1e-5)


@pytest.mark.parametrize("overlap, views", [(0.0, [0, 4, 8]), (0.5, [0, 2, 4, 6, 8])])
def test_long_texts_are_read_in_windows(overlap, views):
    """12 tokens through a window of 4, and what begins a document first: each token judged once, in the window that says it first"""
    b, text = baby(n_ctx=4), "abc dab\nhgfe"
    whole, seen, nats = "\n" + text, set(), 0.0
    for first in views:
        each = surprise(b, whole[first:first + 5])
        for i, value in enumerate(each, first + 1):
            nats += 0 if i in seen else value
            seen.add(i)
    assert seen == set(range(1, 13)) and score_text(b, text, overlap).nats == pytest.approx(nats, rel=1e-12)


def test_what_begins_a_document_is_no_target():
    b = baby(n_ctx=64)
    b.tokenizer.begin = "\n\n"
    assert score_text(b, "abc").nats == pytest.approx(surprise(b, "\n\nabc")[1:].sum(), rel=1e-12) and score_text(b, "abc").tokens == 3


# a context and what may follow

@pytest.mark.parametrize("attention", allowed("c_attention"))
def test_a_shared_context_changes_nothing(attention):
    """Whatever stands beside it, a continuation has the likelihood of a pass of its own; what is too long loses its oldest ids"""
    b = baby(c_attention=attention)
    for context, answers in (("abc d", ["ab", "h", "gfe dcb", "ab"]), ("abc dab hgf eda", ["a", "bcdefgh", "ab" * 8])):
        found = likelihoods(b, b.encode(context), [b.encode(answer) for answer in answers])
        for answer, (logp, likeliest) in zip(answers, found):
            each = surprise(b, (context + answer)[-17:])[-len(answer):]
            np.testing.assert_allclose(-logp, each, rtol=1e-10, atol=1e-12)
            greedy = b.logits(b.encode((context + answer)[-17:-1]))[0, -len(answer):].argmax(-1)
            assert likeliest.tolist() == (greedy == b.encode(answer)).tolist()


def test_the_context_is_read_once(monkeypatch):
    b, calls = baby(), []
    forward = decoding.gpt.forward
    monkeypatch.setattr(decoding.gpt, "forward", lambda p, ids, ctx: calls.append(ids.shape[1]) or forward(p, ids, ctx))
    monkeypatch.setattr(decoding, "on_cpu", lambda: False)       # without the fast decoder
    likelihoods(b, b.encode("abc dab"), [b.encode(answer) for answer in ("abcd", "h", "gf")])
    assert calls == [7, 3, 1]


def test_an_answer_has_tokens_and_fits():
    for answer in ("", "a" * 17):
        with pytest.raises(BadInput, match=f"an answer has {len(answer)} tokens; allowed are 1 to n_ctx, 16"):
            likelihoods(baby(), baby().encode("a"), [baby().encode(answer) if answer else np.array([], int)])


# fixed logits: a table of what follows what

SYMBOLS = "\n abcd"
FOLLOWS = {"a": "2 1 0 3 1 0", "b": "0 1 2 0 0 1", "c": "1 1 0 2 0 5", "d": "0 3 1 1 2 0", " ": "0 0 4 1 2 1", "\n": "1 0 0 0 0 2"}
TABLE = np.array([[float(z) for z in FOLLOWS[symbol].split()] for symbol in SYMBOLS])
LOGP = TABLE - np.log(np.exp(TABLE).sum(-1, keepdims=True))


def by_hand(before, text):
    return [LOGP[SYMBOLS.index(a), SYMBOLS.index(b)] for a, b in zip(before + text, text)]


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(decoding.gpt, "forward", lambda p, ids, ctx: (TABLE[ids], None))
    monkeypatch.setattr(decoding, "on_cpu", lambda: False)       # without the fast decoder
    return Baby(Config(n_ctx=32, n_emb=4, n_heads=1), tokenizer=char.Char([*SYMBOLS], "\n"))


# what is likeliest in all is not so by the token, and by the character (the space that leads in is none) again another
QUESTIONS = [Item("d", ["d", "aadd", " b"], 0), Item("ad", ["dcd", "b", " aa"], 0), Item("c", ["a", " cb", "ccad"], 1),
             Item("b c", [" dcd", "a", "dddd"], 2), Item("", ["d", "\nd"], 1)]


def test_multiple_choice_on_fixed_logits(toy):
    right = dict(raw=[], per_token=[], per_character=[])
    for context, choices, answer in QUESTIONS:
        each = [by_hand((context or "\n")[-1], choice) for choice in choices]
        scores = dict(raw=[sum(p) for p in each], per_token=[sum(p) / len(p) for p in each],
                      per_character=[sum(p) / len(choice.lstrip(" \n")) for p, choice in zip(each, choices)])
        for way, values in scores.items():
            right[way].append(values.index(max(values)) == answer)
    assert len({tuple(each) for each in right.values()}) == 3              # the three ways differ on these questions
    found, none = score_items(toy, QUESTIONS)
    assert none is None and found.questions == 5 and found.chance == pytest.approx((4 / 3 + 1 / 2) / 5, rel=1e-15)
    for way, each in right.items():
        share = sum(each) / 5
        assert getattr(found, way) == Accuracy(share, sqrt(share * (1 - share) / 5))


LAST = [Item("a", [" a"], 0), Item("ab", ["a"], 0), Item("c", ["dcd"], 0), Item("b a", ["bab"], 0)]


def test_cloze_on_fixed_logits(toy):
    nats = [-sum(by_hand(context[-1], choices[0])) for context, choices, _ in LAST]
    likeliest = lambda before, text: all(p == LOGP[SYMBOLS.index(a)].max() for a, p in zip(before + text, by_hand(before, text)))
    exact = [likeliest(context[-1], choices[0]) for context, choices, _ in LAST]
    assert exact == [False, True, False, True]
    none, found = score_items(toy, LAST)
    assert none is None and found.questions == 4 and found.exact == Accuracy(0.5, 0.25)
    assert found.perplexity_per_token == pytest.approx(exp(sum(nats) / 9), rel=1e-12)
    assert found.perplexity_per_word == pytest.approx(exp(sum(nats) / 4), rel=1e-12)


# lm-eval

@pytest.fixture
def harness():
    pytest.importorskip("lm_eval", reason="no package lm-eval: pip install lm-eval")
    from littlebaby.evaluation.lm_eval import LMEvalModel
    return LMEvalModel


def test_lm_eval_counts_the_same(toy, harness, tmp_path, monkeypatch):
    """Its own evaluator on the same questions: acc is raw, acc_norm per character; on targets, acc and perplexity per word"""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets
    import lm_eval
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    questions = [Item(context, [" " + choice.lstrip() for choice in choices], answer) for context, choices, answer in QUESTIONS if context]
    lie = dict(choice=[dict(q=q, c=[choice[1:] for choice in choices], a=a) for q, choices, a in questions],
               cloze=[dict(q=q, c=c[0], a=0) for q, c, _ in LAST])
    for name, rows in lie.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    metrics = lambda *names: [dict(metric=name, aggregation="perplexity" if name == "perplexity" else "mean", higher_is_better=True)
                              for name in names]
    lies = lambda name: dict(data_files=dict(test=str(tmp_path / f"{name}.jsonl")))
    task = lambda name, **more: dict(task=name, dataset_path="json", dataset_kwargs=lies(name), test_split="test", doc_to_text="{{q}}",
                                     **more)
    found = lm_eval.simple_evaluate(model=harness(toy), bootstrap_iters=0, tasks=[
        task("choice", output_type="multiple_choice", doc_to_choice="c", doc_to_target="a", metric_list=metrics("acc", "acc_norm")),
        task("cloze", output_type="loglikelihood", doc_to_target="{{c}}", target_delimiter="", metric_list=metrics("acc", "perplexity"))])
    choices, _ = score_items(toy, questions)
    _, cloze = score_items(toy, LAST)
    theirs = found["results"]
    assert theirs["choice"]["acc,none"] == choices.raw.accuracy and theirs["choice"]["acc_norm,none"] == choices.per_character.accuracy
    assert theirs["cloze"]["acc,none"] == cloze.exact.accuracy
    assert theirs["cloze"]["perplexity,none"] == pytest.approx(cloze.perplexity_per_word, rel=1e-12)


def test_the_adapter_answers_every_kind_of_request(harness):
    b = baby(n_ctx=64)
    model, ask = harness(b), lambda *args: SimpleNamespace(args=args)
    found = model.loglikelihood([ask("abc", " da"), ask("abc", "h"), ask("", "ab"), ask("abc ", "d")], disable_tqdm=True)
    spelled = [("abc", " da"), ("abc", "h"), ("\n", "ab"), ("abc", " d")]
    for (logp, greedy), (context, text) in zip(found, spelled):
        assert logp == pytest.approx(-surprise(b, context + text)[-len(text):].sum(), rel=1e-10)
        z = b.logits(b.encode(context + text)[:-1])[0, -len(text):]
        assert greedy == (z.argmax(-1) == b.encode(text)).all()
    assert model.loglikelihood_rolling([ask("abc dab")]) == [pytest.approx(-surprise(b, "\nabc dab").sum(), rel=1e-12)]
    free = b.decode(b.generate(b.encode("abc"), 20, temperature=0))
    assert model.generate_until([ask("abc", dict(until=[], max_gen_toks=20))]) == [free]
    stop = free[4:6]
    assert model.generate_until([ask("abc", dict(until=[stop], max_gen_toks=20))]) == [free[:free.index(stop)]]


# tasks as they are published

SPELLED = dict(
    hellaswag=("A girl breaks two eggs. she ", "beats them with a fork.", 4, 0),
    arc_easy=("Question: Which of these is a liquid at room temperature?\nAnswer:", " iron", 4, 1),
    arc_challenge=("Question: A stone sinks in a pond. Why?\nAnswer:", " It is denser than water.", 4, 0),
    winogrande=("The cup did not fit into the box because the ", "cup was too large.", 2, 0),
    piqa=("Question: dry wet shoes\nAnswer:", " Stuff them with paper.", 2, 0),
    boolq=("The moon is about a quarter as wide as the earth.\nQuestion: is the moon larger than the earth?\nAnswer:", " no", 2, 0),
    openbookqa=("Ice that is warmed becomes", " stone", 4, 1),
    lambada=("She looked for her dog everywhere, and at the river she heard him bark. There sat her", " dog", 1, 0))


@pytest.mark.parametrize("name", HUB_TASKS)
def test_rows_are_read_as_published(name):
    items = read_items((TASKS / f"{name}.jsonl").read_text())
    first = items[0]
    assert (first.context, first.choices[0], len(first.choices), first.answer) == SPELLED[name]
    assert all(0 <= item.answer < len(item.choices) for item in items)


def test_plain_rows():
    assert read_items('{"context": "a", "choices": ["b", "c"], "answer": 1}\n\n{"context": "x", "target": " y"}') == [
        Item("a", ["b", "c"], 1), Item("x", [" y"], 0)]


@pytest.mark.parametrize("row, sentence", [
    ('{"a": 1}', "line 1 has the field 'a'; allowed are rows with context, choices, answer"),
    ("[]", "line 1 holds a value of type list"), ("", "no rows"),
    ('{"ctx": "x", "endings": ["a", "b"], "label": ""}', "line 1 has ctx, endings, label with values that are not allowed"),
    ('{"context": "x", "choices": ["a"], "answer": 1}', "texts and not empty, and the correct one of them"),
    ('{"text": "word"}', "line 1 has text with values that are not allowed"),
    ('{"context": 3, "target": "x"}', "values that are not allowed"),
    ('{"context": "x", "choices": ["a", ""], "answer": 0}', "values that are not allowed")])
def test_what_is_no_task_is_told(row, sentence):
    with pytest.raises(BadInput, match=re.escape(sentence)):
        read_items(row)


@pytest.mark.parametrize("row", [
    dict(context="a", target=""), dict(question="Q", choices=dict(text=["a", ""], label=["A", "B"]), answerKey="A"),
    dict(question_stem="Q", choices=dict(text=[" ", "b"], label=["A", "B"]), answerKey="A"), dict(goal="g", sol1="", sol2="b", label=1),
    dict(sentence="a _ b", option1="x", option2="", answer="1"), dict(ctx="a", endings=["b", ""], label=0), dict(text="once upon ")])
def test_an_empty_answer_is_told_with_its_line(row):
    with pytest.raises(BadInput, match="^line 3 has .* with values that are not allowed; allowed are choices that are texts and not "):
        read_items('{"context": "a", "target": "b"}\n\n' + json.dumps(row))


# from end to end

@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("home")
    (path / "inputs").mkdir()
    (path / "inputs" / "tale.txt").write_text(nursery.corpus(5_000, 1)[0])
    return path


@pytest.fixture(scope="module")
def run(home):
    return lb.train("tale", path=home, progress=False, n_layers=1, n_emb=16, n_heads=2, n_ctx=64, batch_size=2, n_steps=4, n_completion=0,
                    n_sample=0)


def test_an_answer_without_tokens_is_told_with_its_line(home, run):
    task = home / "strange.jsonl"
    for answer, tokens in (("\u6f22", 0), ("a" * 65, 65)):
        task.write_text(json.dumps(dict(context="a", target="b")) + "\n\n" + json.dumps(dict(context="a", target=answer)))
        with pytest.raises(BadInput, match=rf"strange.jsonl: line 3 has the answer '{answer[:9]}.* with {tokens} tokens; allowed"):
            lb.evaluate(run.guid, task=str(task), path=home, progress=False)


def test_evaluate_from_a_shell(home, run, capsys):
    for name in HUB_TASKS:
        words = ["evaluate", run.guid, "--path", str(home), "--task", str(TASKS / f"{name}.jsonl"), "--limit", "1", "--json"]
        assert cli.main(words) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["text"] is None and (found["cloze"] if name == "lambada" else found["choices"])["questions"] == 1
    assert cli.main(["evaluate", run.guid, "--path", str(home), "--input", "tale", "--task", str(TASKS / "piqa.jsonl")]) == 0
    out = capsys.readouterr().out
    text = lb.evaluate(run.guid, "tale", path=home, progress=False)["text"]
    assert f"bits per byte         {text.bits_per_byte:.4f}\n" in out and "chance         0.5000" in out and "±" in out
    assert text.tokens == (home / "inputs" / "tale.txt").stat().st_size


def test_tasks_come_from_datasets_where_it_is(home, run, monkeypatch):
    rows, asked = [json.loads(line) for line in (TASKS / "piqa.jsonl").read_text().splitlines()], []
    fake = SimpleNamespace(load_dataset=lambda place, name, split: asked.append((place, name, split)) or rows)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    assert lb.evaluate(run.guid, task="piqa", path=home, progress=False)["choices"].questions == 2
    assert asked == [("ybisk/piqa", None, "validation")]

    def away(place, name, split):
        raise ConnectionError("nobody\nthere")

    fake.load_dataset = away
    with pytest.raises(BadInput, match="piqa: cannot download ybisk/piqa: nobody there; a JSONL"):
        lb.evaluate(run.guid, task="piqa", path=home)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BadInput, match="needs the package datasets"):
        lb.evaluate(run.guid, task="piqa", path=home)


@pytest.mark.parametrize("wrong, sentence", [
    (dict(), "needs a text"), (dict(input="tale", overlap=2), "overlap is 2"), (dict(task="tale"), "tale: line 1 is not JSON"),
    (dict(task="hellaswga"), "there is no file 'hellaswga'")])
def test_wrong_use_of_evaluate(home, run, wrong, sentence):
    with pytest.raises(BadInput, match=sentence):
        lb.evaluate(run.guid, path=home, **wrong)
