"""The nursery counts its own choices: what it says of a text must be what reading it, sampling it and counting by hand find."""
import re
from collections import Counter
from math import inf, log
from pathlib import Path
from random import Random

import pytest

from littlebaby.errors import BadInput
from littlebaby.text import nursery, stories

INPUTS = Path(__file__).parents[1] / "inputs" / "nursery.txt"
HATTED = ('Once there was a shy fox named Zoe. Zoe crept to the inn with a tiny brown key. There Zoe met Ben, an old cat. '
          '"Where is my red hat?" Zoe asked Ben. Zoe and Ben looked near the gate, but saw only a soft pink pin. '
          'Then Zoe saw the hat under the oak. Zoe was glad. Then it was night, and Zoe slept in her blue bed.\n\n')


@pytest.fixture(scope="module")
def told():
    """[(text, nats)] of 800 stories"""
    rng = Random(3)
    return [stories.document(rng) for _ in range(800)]


@pytest.fixture(scope="module")
def text(told):
    return "".join(story for story, _ in told)


def test_every_story_has_one_derivation_and_it_is_the_one_that_wrote_it(told):
    for story, nats in told:
        assert stories.parse(story)[:3] == (1, nats, len(story))


def test_a_story_counted_by_hand():
    lines = 3 * 2 * 2 * 4 * 2 * 3 * 2 * 2 * 3    # once, day, meets, plot, lost, search, found, night or none, which
    cast = 8 * 7 * 2 * 15 * 14    # hero, friend, the one of them who finds it, a fox, another animal
    scene = 15 ** 2 * 6 * 12 * 4 ** 2 * 12 ** 2 * 4    # two looks, crept, inn, twice where and by what, glad
    things = 11 ** 2 * 9 ** 4 * 12 ** 2 * 16    # touches, colors, things, a toy
    assert nursery.nats_of(HATTED) == pytest.approx(log(lines * cast * scene * things), rel=1e-12)


def test_roles_take_what_the_others_leave():
    """The friend is one of seven, who finds it one of two, and nobody eats what was given away"""
    cast = {"hero": "Zoe", "friend": "Ben"}
    assert len(stories.candidates("hero", {})) == 8
    assert sorted(stories.candidates("friend", {"hero": "Zoe"})) == sorted(set(stories.candidates("hero", {})) - {"Zoe"})
    assert stories.candidates("finder", cast) == ["Zoe", "Ben"]
    assert "fig" not in stories.candidates("treat", {"food": "fig"}) and len(stories.candidates("treat", {"food": "fig"})) == 15


def test_things_happen_as_often_as_their_probability_says():
    """Within five standard deviations, over some 3,600 stories"""
    generated = nursery.corpus(1_000_000, 11)[0].split("\n\n")[:-1]
    chances = {
        "^Once there was": 1 / 3,
        "^Once there was an? (eager|old|happy) ": 1 / 3 * 3 / 15,
        "^Zoe ": 2 / 3 / 8,
        "^[^.]*[.] One (cold|dry) Friday [A-Z][a-z]+ (walked|crept) ": 1 / 2 * 2 / 8 / 8 * 2 / 6,
        "et us race to the": 1 / 4 / 2,
        "fell over a (red|blue) ": 1 / 4 / 2 * 2 / 9,
        "birthday": 1 / 4 / 2,
    }
    for pattern, chance in chances.items():
        found = sum(bool(re.search(pattern, story)) for story in generated)
        spread = (chance * (1 - chance) * len(generated)) ** 0.5
        assert abs(found - chance * len(generated)) < 5 * spread, (pattern, found, chance * len(generated))


def test_the_floor_is_the_surprise_of_any_sample():
    one, two = (nats / len(text) for text, nats in (nursery.corpus(300_000, seed) for seed in (1, 2)))
    assert one == pytest.approx(two, rel=0.01)
    assert 0.19 < one < 0.21


def test_reading_back_a_corpus_gives_its_nats_to_the_last_bit(told, text):
    assert nursery.nats_of(text) == sum(nats for _, nats in told)
    assert nursery.floor(text) == sum(nats for _, nats in told) / len(text)
    assert nursery.nats_of("") == 0


def test_a_slice_counts_its_whole_stories(told):
    parts = [story for story, _ in told[:12]]
    whole = sum(nats for _, nats in told[1:11]) / sum(map(len, parts[1:11]))
    text = "".join(parts)
    for begin in (1, len(parts[0]) // 2, len(parts[0]) - 2):
        for end in (1, len(parts[11]) // 2, len(parts[11]) - 1):
            assert nursery.floor(text[begin:len(text) - end]) == pytest.approx(whole, rel=1e-12)
    assert nursery.floor(text[5:40]) is None


def test_other_text_has_no_floor(text):
    assert nursery.floor("To be, or not to be\n\nthat is the question\n\n") is None
    assert nursery.floor(text[:900] + " xyz" + text[900:]) is None
    assert nursery.floor("") is None


def test_a_departure_is_found_where_it_is():
    at = HATTED.index("red hat")
    for wrong, place in (("rad hat", at + 1), ("red hut", at + 5), ("hat", at)):
        story = HATTED.replace("red hat", wrong)
        assert stories.parse(story)[:3] == (0, inf, place)
        with pytest.raises(BadInput, match=f"character {len(HATTED) + place}:"):
            nursery.nats_of(HATTED + story)


def test_what_a_story_said_must_stay_so():
    for told, forgotten in (("Zoe was", "She was"), ("her blue", "his blue"), ("asked Ben", "asked Sam"), ("the hat", "the kite"),
                            ("an old", "a old")):
        assert stories.parse(HATTED.replace(told, forgotten)).ways == 0, forgotten


def test_marks_of_a_baby():
    right, wrong = HATTED, HATTED.replace("slept", "zlept")
    none = dict(who=0, what=0, color=0, other=0)
    different = len(set(stories.words_of(right)))
    assert stories.marks(right) == stories.marks("\n" + right) == (1, 1, 1, none, different, 9, dict(lost=1, lunch=0, race=0, party=0))
    words, sentences, whole, *more = stories.marks("\n\n" + right + wrong + "Once there was a sh")
    assert more == [none | dict(other=1), different, 17 / 2, dict(lost=2, lunch=0, race=0, party=0)]
    count = len(stories.words_of(right))
    assert (words, whole) == ((2 * count - 1) / (2 * count), 1 / 2)
    assert sentences == 17 / 18
    assert stories.marks("Once there was a sh") is None


BEGINNING = "Ada the elk lived near a red oak. Ada raced to the lake with a new red pin. There Ada met Ben, a big fox. "


@pytest.mark.parametrize("right, wrong, kind", [
    ("There Ada met", "There Zoe met", "who"), ("met Ben", "met Ada", "who"), ("asked Ben", "asked Zoe", "who"),
    ("the kite near", "the ball near", "what"), ("the blue kite", "the pink kite", "color"),
    ("raced", "ran", "other"), ("in her red bed", "in his red bed", "other")])
def test_the_first_mistake_has_a_kind(right, wrong, kind):
    story = BEGINNING + ('"Where is my blue kite?" Ada asked Ben. "I will help you," Ben said. '
                         + ("Then Ada saw the kite near the gate. Ada was glad." if "near" in right else
                            "At last Ada found the blue kite near a red gate.")
                         + " Then it was night, and Ada slept in her red bed.\n\n")
    assert stories.parse(story).ways == 1 and right in story
    told = story.replace(right, wrong)
    assert stories.mistake(told, stories.parse(told)) == kind
    assert stories.marks(story + told).mistakes[kind] == 1


def test_every_story_has_one_plot_and_all_are_equally_frequent(told):
    found = [[plot for plot, pattern in stories.PLOTS.items() if pattern.search(story)] for story, _ in told]
    assert all(len(plots) == 1 for plots in found)
    assert all(150 < n < 250 for n in Counter(plots[0] for plots in found).values())


def test_words_are_closed_and_few(text):
    assert set(stories.words_of(nursery.corpus(400_000, 5)[0])) == stories.known_words()
    assert 200 <= len(stories.known_words()) <= 450


def test_a_story_reads_like_one(told, text):
    for story, _ in told:
        assert re.fullmatch(r'[A-Z][^\n]*[.!?]"?\n\n', story), story
        assert story.count('"') % 2 == 0
        assert 4 <= len(stories.SENTENCE_END.findall(story)) <= 25
        assert 150 < len(story) < 600
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ,.!?\"\n")
    assert not re.search(r"  | [,.!?]|\b[Aa] [aeiou]|\b[Aa]n [^aeiou]|\b(\w+) \1\b", text)
    assert len(Counter(story for story, _ in told)) == 800


def test_every_role_and_rule_is_told():
    defined = re.findall(r"^(\w+)", stories.BOOK, re.M)
    used = set(re.findall(r"[{<](?:\w+ )?(\w+)[}>]", stories.BOOK)) | {"story"}
    pools = set(re.findall(r" = (\w+)", stories.BOOK))
    assert set(defined) <= used | pools
    assert used <= set(defined)


def test_a_seed_is_a_corpus():
    once, again, other = (nursery.corpus(20_000, seed) for seed in (7, 7, 8))
    assert once == again != other
    assert 19_000 < len(once[0]) <= 20_000
    assert nursery.corpus(50_000, 7)[0].startswith(once[0])
    assert "".join(story for story, _ in nursery.pieces(20_000, 7)) == once[0]


def test_the_embedded_corpus_is_seed_0():
    assert INPUTS.read_text(encoding="ascii") == nursery.corpus(1_000_000, 0)[0]
