'''The nursery: tiny stories from a grammar that counts its own choices, so that the entropy of its text is known.

A story is told by choosing, line by line and word by word, among equally likely possibilities. Every text has exactly one
such derivation, so reading it back gives its probability: the sum of ln(possibilities) over the choices, in nats. Nobody who
knows only the text before can, on average, predict the next character better: this is the floor of the loss, and the distance of a
trained baby from it is exactly what the baby has not learned.

How to read BOOK, where everything the nursery can say is written down:

    look: brave, shy        a list of words
    once                    a rule, and below it its lines; one of them is told
        {hero} was ...
    (ran|walked)            one of these
    <look>                  one of that list or rule, chosen anew every time
    {hero}                  a role: cast where it is first named and the same to the end of the story
    <a look> {his hero}     a form of the word (see `form`): "an old", "her"

    friend = name except hero    a role, the list it is cast from, and the roles it must differ from
    finder = hero or friend      a role played by one of those who are in the story already
    (a role named like its list needs no such line)
'''
from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from math import inf, log
from os.path import commonprefix
from random import Random
from typing import NamedTuple

from littlebaby.errors import BadInput

GIRLS = frozenset("Ada Dot Pia Zoe".split())
UNCOUNTED = frozenset("honey jam rice".split())  # some honey, but a bun

END = "\n\n"
SENTENCE_END = re.compile(r'[.!?]"?(?=\s)')

# In most lists no two words begin alike: who remembers a word can spell it from its first letter.
BOOK = """
name: Ada, Ben, Dot, Eli, Gus, Pia, Sam, Zoe
animal: bear, cat, duck, elk, fox, goat, hare, lamb, mole, owl, pig, rat, seal, toad, yak
look: big, calm, eager, funny, happy, jolly, kind, little, merry, neat, old, quick, shy, tiny, wise
touch: clean, fine, heavy, little, new, odd, pretty, round, soft, tiny, warm
color: black, blue, brown, gold, green, pink, red, white, yellow
toy: ball, cup, drum, flag, hat, jug, kite, lamp, mask, net, pen, ring, sled, top, vest, wig
food: apple, bun, cake, date, egg, fig, honey, jam, kiwi, lime, melon, nut, pear, rice, tart, yam
thing: acorn, bean, coin, feather, key, leaf, mitten, pin, rag, shell, twig, worm
place: barn, cave, dock, farm, hill, inn, lake, mill, park, river, tower, well
where: behind, beside, near, under
mark: arch, bush, cart, door, fence, gate, log, oak, rock, stump, tent, wall
fun: baking, dancing, fishing, jumping, painting, reading, singing, walking
weather: cold, dry, foggy, hot, rainy, snowy, sunny, windy
when: day, evening, Friday, Monday, morning, Saturday, Sunday, Tuesday
went: crept, hopped, marched, raced, skipped, walked
said: called, laughed, said, sang
sad: gloomy, sad, upset, worried
glad: glad, happy, merry, proud
number: two, three, four, five, six, seven, eight, nine, ten
hour: bedtime, dark, noon, supper

hero = name
friend = name except hero
finder = hero or friend
kind = animal
other = animal except kind
shade = color
treat = food except food

story
    <once> <day> <meets> <plot>(| <night>)

once
    Once there was <a look> {kind} named {hero}.
    {hero} was <a look> {kind} who liked <fun>.
    {hero} the {kind} lived <where> a <color> <mark>.

day
    One <weather> <when> {hero} <went> to the {place}.
    {hero} <went> to the {place} with <a touch> <color> <thing>.

meets
    There {hero} met {friend}, <a look> {other}.
    There {hero} met {friend} the {other} with <some food>.

plot
    <lost> <search> <found>
    <lunch> <hungry> <gives>
    <race> <run> <win>
    <party> <wraps> <opens>

lost
    {hero} had {a shade} {toy}, but the wind took the {toy}.
    "Where is my {shade} {toy}?" {hero} asked {friend}.

search
    {hero} and {friend} looked <where> the <mark>, but saw only <a touch> <color> <thing>.
    {hero} and {friend} asked <a look> <animal> and <a look> <animal>.
    "I will help you," {friend} <said>.

found
    Then {finder} saw the {toy} <where> the <mark>. {finder} was <glad>.
    At last {finder} found the {shade} {toy} <where> a <color> <mark>.

lunch
    {hero} had {some food} and {some treat} in a <color> bag.
    "I have {some food} and {some treat}," {hero} <said>.

hungry
    "<A look> <animal> took my lunch," {friend} said.
    {friend} was hungry and <sad>.

gives
    {hero} gave {friend} the {food} and ate the {treat}. {friend} was <glad>.
    {hero} ate the {food} and gave {friend} the {treat}. {hero} and {friend} <went> home.
    {hero} gave {friend} the {food}, the {treat} and <a touch> <color> <toy>.

race
    "Let us race to the <place>!" {friend} <said>.
    {friend} wanted to race to the <place>.

run
    {hero} jumped over <a touch> <color> <thing>, and {friend} over <number>.
    {hero} and {friend} ran past <a look> <animal> and <a look> <animal>.

win
    {finder} was first and won <a touch> <color> <toy>.
    But {finder} fell over <a color> <thing> and was <sad>.

party
    It was the birthday of {friend}.
    {friend} was <number> that <when>.

wraps
    {hero} had {a shade} {toy} for {friend} in a <color> (bag|box).
    {hero} hid {a shade} {toy} <where> a <color> <mark>.

opens
    "{A shade} {toy}!" {friend} <said>. {hero} and {friend} played until <hour>.
    {friend} liked the {toy} and gave {hero} <some food>.

night
    That night {hero} dreamed of <a look> <animal> and <a touch> <color> <toy>.
    At night {hero} told <a look> <animal> about {friend}.
    Then it was night, and {hero} slept in {his hero} <color> bed.
"""


# ---------------------------------------------------------------------------------------------------- from the book to choices

class Choice(NamedTuple):
    options: tuple    # of tuples of pieces (texts, choices and roles), all equally likely
    nats: float       # ln(how many)


class Role(NamedTuple):
    name: str
    how: str          # its form


@cache
def form(word, how):
    """The word as the sentence needs it: a/an, some, he, him, his, or capitalised: A, He …

    >>> form("old", "a"), form("Zoe", "His"), form("honey", "some"), form("bun", "some")
    ('an old', 'Her', 'some honey', 'a bun')
    """
    small = how.lower()
    if how != small:
        said = form(word, small)
        return said[0].upper() + said[1:]
    if small == "":
        return word
    if small == "some" and word in UNCOUNTED:
        return f"some {word}"
    if small in ("a", "some"):
        return f"an {word}" if word[0] in "aeiou" else f"a {word}"
    return {"he": "she", "him": "her", "his": "her"}[small] if word in GIRLS else small


@cache
def grammar():
    """The book compiled: (the first link of a story, {role: (words, played by, unlike)})"""
    lists: dict = {}
    rules: dict = {}
    roles: dict = {}
    rule = ""
    for line in BOOK.splitlines():
        if line.startswith("    "):
            rules[rule].append(line.strip())
        elif ": " in line:
            name, words = line.split(": ")
            lists[name] = words.split(", ")
        elif " = " in line:
            (name, pool, unlike), = re.findall(r"^(.+) = (.+?)(?: except (.+))?$", line)
            roles[name] = pool.split(" or "), unlike.split()
        elif line:
            rule = line
            rules[rule] = []

    @cache
    def choice(name, how=""):
        if name in rules:
            return equally([compiled(line) for line in rules[name]])
        return equally([(form(word, how),) for word in lists[name]])

    def equally(options):
        return Choice(tuple(options), log(len(options)))

    def compiled(line):
        tokens = re.findall(r"[{<][\w ]+[}>]|[(|)]|[^{<(|)]+", line)
        return options(iter([*tokens, ")"]))[0]

    def options(tokens):
        """What stands before the closing bracket: one tuple of pieces for every side of the bars"""
        sides: list = [[]]
        for token in tokens:
            how, _, name = token[1:-1].rpartition(" ")
            if token == ")":
                break
            elif token == "|":
                sides.append([])
            elif token == "(":
                sides[-1].append(equally(options(tokens)))
            elif token[0] == "<":
                sides[-1].append(choice(name, how))
            elif token[0] == "{":
                sides[-1].append(Role(name, how))
            else:
                sides[-1].append(token)
        return [tuple(side) for side in sides]

    cast = {name: (lists[name], (), ()) for name in lists}
    for name, (pool, unlike) in roles.items():
        cast[name] = (lists[pool[0]], (), unlike) if len(pool) == 1 else ((), pool, unlike)
    return link((choice("story"), END), None), cast


def link(pieces, rest):
    """The pieces as a chain (piece, (piece, … rest)): what is still to be told"""
    for piece in reversed(pieces):
        rest = piece, rest
    return rest


def candidates(role, cast):
    """The words that may still take the role"""
    words, players, unlike = grammar()[1][role]
    taken = [cast.get(other) for other in unlike]
    return [word for word in words or [cast[player] for player in players] if word not in taken]


# ---------------------------------------------------------------------------------------------------------------------- telling

def tell(rng):
    """One story with its blank line, and its nats; `rng` is a random.Random"""
    text, cast, nats = [], dict[str, str](), 0.0
    rest = grammar()[0]
    while rest:
        piece, rest = rest
        if isinstance(piece, str):
            text.append(piece)
        elif isinstance(piece, Choice):
            rest = link(piece.options[int(rng.random() * len(piece.options))], rest)
            nats += piece.nats
        else:
            if piece.name not in cast:
                words = candidates(piece.name, cast)
                cast[piece.name] = words[int(rng.random() * len(words))]
                nats += log(len(words))
            text.append(form(cast[piece.name], piece.how))
    return "".join(text), nats


def stories(rng: Random) -> Iterator[tuple[str, float]]:
    """Stories without end, each with its blank line, and the nats of each"""
    while True:
        yield tell(rng)


def pieces(size: int, seed: int) -> Iterator[tuple[str, float]]:
    """The stories of a corpus, one by one, for as long as they fit into `size` characters"""
    for text, nats in stories(Random(seed)):
        size -= len(text)
        if size < 0:
            return
        yield text, nats


def corpus(size: int, seed: int) -> tuple[str, float]:
    """At most `size` characters of whole stories, and their nats"""
    told = list(pieces(size, seed))
    return "".join(text for text, _ in told), sum(nats for _, nats in told)


# ---------------------------------------------------------------------------------------------------------------------- reading

class Reading(NamedTuple):
    ways: int         # how many derivations the story has: 1, or 0 where it is none of the nursery's
    nats: float       # −ln(its probability); infinite where it is none
    end: int          # where the story ends, or the first character that no story could have here


def parse_story(text: str, start: int = 0) -> Reading:
    """The story that begins at `start`: every derivation is followed as far as the text agrees

    A text that stops inside a story is none either; then `end` is len(text).
    """
    found, refused = [], []
    paths: list = [(grammar()[0], start, {}, 0.0)]
    while paths:
        rest, at, cast, nats = paths.pop()
        while rest:
            piece, rest = rest
            if isinstance(piece, str):
                if not text.startswith(piece, at):
                    refused.append((at, piece))
                    break
                at += len(piece)
            elif isinstance(piece, Choice):
                paths += [(link(option, rest), at, cast, nats + piece.nats) for option in piece.options]
                break
            elif piece.name in cast:
                rest = form(cast[piece.name], piece.how), rest
            else:
                words = candidates(piece.name, cast)
                paths += [((form(word, piece.how), rest), at, {**cast, piece.name: word}, nats + log(len(words))) for word in words]
                break
        else:
            found.append((nats, at))
    if found:
        return Reading(len(found), *found[0])
    return Reading(0, inf, max(at + len(commonprefix((piece, text[at:at + len(piece)]))) for at, piece in refused))


def story_nats(text: str) -> float:
    """The nats of a text of whole stories; BadInput says where another text leaves the nursery"""
    at, nats = 0, 0.0
    while at < len(text):
        story = parse_story(text, at)
        if not story.ways:
            around = text[max(at, story.end - 30):story.end + 10]
            raise BadInput(f"the text leaves the nursery at character {story.end}: ...{around!r}")
        at, nats = story.end, nats + story.nats
    return nats


def floor(text: str) -> float | None:
    """Nats per character of the whole stories in a text that may begin and end inside one; None where it is not the nursery's"""
    begin = 0 if parse_story(text).ways else text.find(END) + len(END)
    at, nats = begin, 0.0
    while at < len(text):
        story = parse_story(text, at)
        if not story.ways:
            if story.end < len(text):
                return None
            break
        at, nats = story.end, nats + story.nats
    return nats / (at - begin) if at > begin else None


class Marks(NamedTuple):
    words: float      # share of the words that the nursery knows
    sentences: float  # share of the sentences that stand where the story so far allows them
    stories: float    # share of the stories that are right from beginning to end


def grammatical(text: str) -> Marks | None:
    """How much of a baby's writing is right, counted over the stories that were brought to an end; None where none was

    A story is right up to where it departs from every story that the nursery could tell, so a forgotten name counts as a mistake.
    """
    told = [story + END for story in text.split(END)[:-1] if story.strip()]
    readings = [parse_story(story) for story in told]
    ends = [[mark.end() for mark in SENTENCE_END.finditer(story)] for story in told]
    spelled = [word in known_words() for story in told for word in words_of(story)]
    right = [end <= reading.end for reading, story in zip(readings, ends) for end in story]
    if not spelled or not right:
        return None
    return Marks(sum(spelled) / len(spelled), sum(right) / len(right), sum(reading.ways for reading in readings) / len(told))


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case"""
    return re.findall("[a-z]+", text.lower())


@cache
def known_words() -> frozenset[str]:
    """Every word that the nursery can write, in lower case"""
    known, waiting = set(), [grammar()[0][0]]
    while waiting:
        piece = waiting.pop()
        if isinstance(piece, str):
            known.update(words_of(piece))
        elif isinstance(piece, Choice):
            waiting += [part for option in piece.options for part in option]
        else:
            options, players, _ = grammar()[1][piece.name]
            names = options or [word for player in players for word in grammar()[1][player][0]]
            known.update(word for name in names for word in words_of(form(name, piece.how)))
    return frozenset(known)
