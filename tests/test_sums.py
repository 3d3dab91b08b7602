"""The sums of the nursery: their entropy, their parser and their judge agree with what counting by hand and brute force find."""
import re
from collections import Counter
from itertools import product
from math import exp, inf, log
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import littlebaby as lb
from littlebaby.runs import records
from littlebaby.show.card import card
from littlebaby.text import nursery, sums

RIGHT = "4+7+2+9? 11+2+9 13+9=22."


def solutions(terms):
    """[(text, probability)] of all solutions of a problem, found by recursion"""
    jump = f"={sum(terms)}.\n\n"
    if len(terms) == 2:
        return [(jump, 1.0)]
    rest = [terms[0] + terms[1], *terms[2:]]
    return [(jump, 1 / 3)] + [(" " + "+".join(map(str, rest)) + text, p * 2 / 3) for text, p in solutions(rest)]


@pytest.fixture(scope="module")
def told():
    """[(text, nats)] of 3,000 documents"""
    rng = Random(3)
    return [sums.document(rng) for _ in range(3000)]


def test_documents_counted_by_hand():
    for text, nats in ((f"{RIGHT}\n\n", log(4 * 9**4 * 9 / 4)), ("4+7+2+9? 11+2+9=22.\n\n", log(4 * 9**4 * 9 / 2)),
                       ("4+7+2+9?=22.\n\n", log(4 * 9**4 * 3)), ("4+7?=11.\n\n", log(4 * 9**2))):
        assert sums.parse(text)[:3] == (1, pytest.approx(nats, rel=1e-12), len(text))


def test_probabilities_sum_to_one():
    """Over all documents of up to three terms, which a half of all problems have"""
    total = 0.0
    for n in (2, 3):
        for terms in product(range(1, 10), repeat=n):
            for text, p in solutions(list(terms)):
                nats = sums.parse("+".join(map(str, terms)) + "?" + text).nats
                assert exp(-nats) == pytest.approx(p / 4 / 9**n, rel=1e-12)
                total += exp(-nats)
    assert total == pytest.approx(1 / 2, rel=1e-9)


def test_documents_happen_as_often_as_their_probability_says(told):
    """Within five standard deviations"""
    chances = {r"^\d\+\d\?": 1 / 4, r"^(\d\+){4}\d\?": 1 / 4, r"^7": 1 / 9, r"^\d\+\d\+\d\?=": 1 / 4 / 3, r"^\d\+\d\+\d\? ": 1 / 4 * 2 / 3,
               r"^(\d\+){4}\d\?( [^ ]+){3}=": 1 / 4 * 8 / 27}
    for pattern, chance in chances.items():
        found = sum(bool(re.match(pattern, text)) for text, _ in told)
        assert abs(found - chance * len(told)) < 5 * (chance * (1 - chance) * len(told)) ** 0.5, (pattern, found)
    assert Counter(text.count(" ") for text, _ in told).keys() == {0, 1, 2, 3}


def test_the_entropy_is_the_exact_expectation():
    """Of 2 to 5 terms: choice i happens after i thoughts"""
    choice = log(3) - 2 / 3 * log(2)
    expected = sum(log(4) + n * log(9) + sum((2 / 3)**i for i in range(n - 2)) * choice for n in range(2, 6)) / 4
    text, nats = nursery.corpus(1_000_000, 1, "sums")
    assert nats / text.count("\n\n") == pytest.approx(expected, rel=0.005)
    assert nursery.recognize(text).kind == "sums" and 0.55 < nursery.floor(text) < 0.57


def test_reading_back_a_corpus_gives_its_nats_to_the_last_bit(told):
    text = "".join(document for document, _ in told)
    assert nursery.nats_of(text, "sums") == sum(nats for _, nats in told)
    assert "".join(document for document, _ in nursery.pieces(20_000, 7, "sums")) == nursery.corpus(20_000, 7, "sums")[0]
    assert set(text) == set("0123456789+?= .\n")
    with pytest.raises(lb.BadInput) as error:
        nursery.nats_of(text)
    assert str(error.value).startswith("the text is not from the nursery's stories from character 0: ...")


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_every_document_is_parsed_judged_and_recognized(seed, count):
    rng = Random(seed)
    told = [sums.document(rng) for _ in range(count)]
    for text, nats in told:
        assert sums.parse(text)[:3] == (1, nats, len(text))
        steps = text.count(" ") + 1
        assert sums.judge(text) == sums.judge(text.rstrip()) == (True, steps, steps)
        for end in range(len(text)):
            assert sums.parse(text[:end])[:3] == (0, inf, end)
    assert nursery.nats_of("".join(text for text, _ in told), "sums") == sum(nats for _, nats in told)


@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(0, 20))
def test_a_slice_counts_its_whole_documents(seed, begin, end):
    rng = Random(seed)
    told = [sums.document(rng) for _ in range(14)]
    text = "".join(document for document, _ in told)
    assume(text[begin - 1:begin + 1] != "\n\n")                  # half a blank line does not tell that a document follows
    ends = [sum(len(document) for document, _ in told[:i + 1]) for i in range(14)]
    whole = [(b - a, nats) for a, b, (_, nats) in zip([0, *ends], ends, told) if begin <= a and b <= len(text) - end]
    assert nursery.floor(text[begin:len(text) - end]) == pytest.approx(sum(nats for _, nats in whole) / sum(n for n, _ in whole), rel=1e-12)


def test_other_text_is_not_recognized():
    text = nursery.corpus(2_000, 1, "sums")[0]
    assert nursery.recognize(nursery.corpus(5_000, 1)[0]).kind == "stories"
    for other in ("", "1+1?=2", "To be, or not to be\n\nthat is the question\n\n", text[:900] + "x" + text[900:], text.replace("+", " ")):
        assert nursery.recognize(other) is None and nursery.floor(other) is None
    with pytest.raises(lb.BadInput) as error:
        nursery.corpus(2_000, 1, "sum")
    assert str(error.value) == "kind is 'sum'; allowed are stories, sums; did you mean sums?"


@given(st.integers(0, 2**32), st.data())
def test_a_wrong_digit_is_found_where_it_is(seed, data):
    """Every other digit of a solution makes the document impossible there or later; the judge finds the wrong step"""
    text, _ = sums.document(Random(seed))
    at = data.draw(st.sampled_from([i for i in range(text.index("?"), len(text)) if text[i].isdigit()]))
    wrong = text[:at] + data.draw(st.sampled_from([digit for digit in "0123456789" if digit != text[at]])) + text[at + 1:]
    assert sums.parse(wrong).ways == 0 and at <= sums.parse(wrong).end < len(text)
    judged = sums.judge(wrong)
    assert judged.right_steps < judged.steps == text.count(" ") + 1
    assert judged.correct == ("=" in text[at:])                  # only a wrong digit of the answer makes the answer wrong


@pytest.mark.parametrize("wrong, end", [("4+7?=12.", 6), ("4+?", 2), ("44+", 1), ("5?=5.", 1), ("0+1?=1.", 0), ("4+7+2? 11+3=14.", 10),
                                        ("1+1+1+1+1+1?=6.", 9), ("4+7?=11.\n4", 9), ("4+7? 11=11.", 4), ("x", 0)])
def test_a_departure_is_found_where_it_is(wrong, end):
    before = "1+1?=2.\n\n"
    assert sums.parse(wrong)[:3] == (0, inf, end)
    assert sums.parse(before + wrong, len(before))[:3] == (0, inf, len(before) + end)


@pytest.mark.parametrize("document, judged", [
    (RIGHT, (True, 3, 3)), ("4+7+2+9?=22.", (True, 1, 1)), ("4+7+2+9?=21.", (False, 1, 0)),
    ("4+7+2+9? 12+2+9 13+9=22.", (True, 3, 1)),                  # the answer is right in spite of two wrong steps
    ("4+7+2+9? 12+2+9 14+9=23.", (False, 3, 2)),                 # one slip, and all that follows from it
    ("4+7+2+9?=22", (False, 1, 0)), ("4+7? 11+0=11.", (True, 2, 1)), ("4+7? 11=11.", (True, 2, 0)), ("4+7?=011.", (False, 1, 0)),
    ("4+7?=12.=11.", (False, 2, 0)), ("4+7? 4+7", (False, 1, 0)),
    ("12+30+1+1+1+1?=46.", (True, 1, 1)),                        # a longer problem than the nursery has
    ("4+7?=12.\n\n4+7?=11.", (False, 1, 0)), ("4?=4.", (False, 1, 0)), ("", (False, 0, 0)), ("x?=1.", (False, 1, 0)),
    ("4+7?=" + 5000 * "1" + ".", (False, 1, 0)), ("1" * 5000 + "+1?=2.", (False, 1, 0))])
def test_the_judge(document, judged):
    assert sums.judge(document) == judged


def test_marks_of_a_baby():
    assert sums.marks(f"\n\n{RIGHT}\n\n4+7+2+9?=21.\n\nnonsense\n\n1+1") == (1 / 3, 3 / 4, 4 / 3)
    assert sums.marks("1+1?=2.") is None and sums.marks("nonsense\n\n") is None


def test_training_on_sums_shows_their_floor_and_marks(tmp_path):
    with pytest.raises(lb.BadInput) as error:
        lb.nursery("20kB", path=tmp_path, kind="sum")
    assert str(error.value) == "kind is 'sum'; allowed are stories, sums; did you mean sums?"
    file = lb.nursery("20kB", 1, tmp_path, kind="sums")
    assert file.read_text() == nursery.corpus(20_000, 1, "sums")[0]
    run = lb.train(file, preset="sums", path=tmp_path, progress=False, n_layers=1, n_emb=64, n_ctx=32, batch_size=32, n_steps=60,
                   n_completion=400)
    text = file.read_text()
    assert run.report.nursery_floor == nursery.floor(text[round(0.9 * len(text)):])
    marks = run.report.judged.marks
    assert isinstance(marks, records.SumMarks) and 0 <= marks.answers < 1 and run.report.judged.samples == 200
    assert [row.marks.answers for row in run.report.evaluations] and run.report.marks is None
    assert records.Report.model_validate_json(run.report.model_dump_json()) == run.report
    assert "of the answers are right, " in card(lb.info(run.guid, path=tmp_path))
    assert "".join(lb.cause(run.guid, path=tmp_path, progress=False).tokens) in "\n\n" + text    # not a question about a name


def test_old_reports_have_the_marks_of_stories():
    old = records.Report(guid="0b2f8a52-0000-4000-8000-000000000000").model_dump(mode="json")
    old["marks"] = dict(words=1, sentences=0.5, stories=0)
    assert records.Report.model_validate(old).marks == records.Marks(words=1, sentences=0.5, stories=0)
