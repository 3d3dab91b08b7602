r"""oniguruma: the pre-tokenizer patterns of a tokenizer.json, which are written for Oniguruma, as patterns of Python's `regex` module.

The two notations look alike, but the same pattern can mean different things: `&&` and `[` inside a class, `^` and `$` at every line, `\h`
for a hexadecimal digit, `(?m:.)` for a dot that matches new lines, `{1,3}+` for a repetition of `{1,3}`, other Unicode properties for `\w`
and `[[:punct:]]`. So a pattern is parsed and written in the other notation; BadInput names what has no certain counterpart there.

The parser also records which characters can be neighbours inside a match or under a lookaround (the follow set of Glushkov's
construction). From that `Pattern.separates` tells where a text can be split in two without a change of the matches.

Kosako, Oniguruma regular expressions, doc/RE (syntax Oniguruma). Glushkov 1961, The abstract theory of automata.
"""
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import regex

from littlebaby.errors import BadInput
from littlebaby.text import oniguruma_characters as chars
from littlebaby.text.oniguruma_characters import alike, border, folded, is_script, literal, one_of, regex_of

QUANTIFIER = regex.compile(r"[*+?]|\{(\d*),(\d*)\}|\{(\d+)\}")
OPTIONS = regex.compile(r"\?([im]*)(?:-([imx]*))?([:)])")
NAMED = regex.compile(r"\?(?:<[A-Za-z_]\w*>|'[A-Za-z_]\w*')")
CODE = regex.compile(r"x\{([0-9A-Fa-f]{1,8})\}|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|(0[0-7]{0,2})")
BRACKET = regex.compile(r"\[:(\^?)(\w+):\]")


class Node(NamedTuple):
    """A part of a pattern. The classes in `first` and `last` are patterns of one character each.

    python    the pattern in Python's notation
    first     classes of the characters that can begin a match
    last      classes of the characters that can end a match
    nullable  whether it matches the empty text
    plain     whether it has no lookaround, anchor or atomic group, so that more text never makes a match fail
    one       the class of the characters that it matches, if every match is one character, else ""
    ahead     of a lookahead, `one` of its inside
    """
    python: str
    first: frozenset[str]
    last: frozenset[str]
    nullable: bool
    plain: bool
    one: str = ""
    ahead: str = ""

    def grouped(self) -> "Node":
        """The same in a group that captures nothing"""
        return self._replace(python=f"(?:{self.python})")


class Pattern(NamedTuple):
    """A translated pattern"""
    compiled: regex.Pattern
    follow: frozenset[tuple[str, str]]       # pairs of classes that can match neighbours
    covering: tuple[str, ...]                # alternatives that match wherever they match a single character
    nullable: bool                           # whether it matches the empty text

    def matches(self, text: str) -> Iterator[regex.Match]:
        """The matches from left to right; after an empty match the search continues behind the next character"""
        if not self.nullable:
            yield from self.compiled.finditer(text)
            return
        at, end = 0, -1
        while at <= len(text) and (match := self.compiled.search(text, at)):
            at = match.end()
            if match.start() == at == end:
                at += 1
            else:
                end = at
                yield match

    def separates(self, left: str, right: str) -> bool:
        """Whether no match and no lookaround covers both of these neighbouring characters, whatever the text around them is"""
        return not self.nullable and not any(one_of(a, left) and one_of(b, right) for a, b in self.follow)

    def begins(self, right: str) -> bool:
        """Whether a match certainly begins at this character if no match covers both it and the character before it"""
        return any(regex_of(alternative).fullmatch(right) for alternative in self.covering)


@lru_cache(256)
def translated(pattern: str) -> Pattern:
    """The Pattern of an Oniguruma pattern. BadInput names the part of it that has no counterpart"""
    parser = Parser(pattern)
    whole, alternatives = parser.alternatives(False, False)
    if parser.at < len(pattern):
        raise parser.refused("a closing parenthesis without an opening one")
    if any((folded(two[0]), folded(two[1])) in parser.follow for two in chars.TWO_FOR_ONE):
        raise parser.refused("two neighbouring letters that equal one letter where case is ignored, as ss equals ß")
    try:
        compiled = regex.compile(whole.python, regex.V1)
    except (regex.error, RecursionError, OverflowError) as error:
        raise BadInput(f"the tokenizer splits texts by an invalid pattern, {pattern!r:.120}: {error}") from None
    return Pattern(compiled, frozenset(parser.follow), tuple(each.python for each in alternatives if each.plain),
                   whole.nullable)


class Parser:
    """Reads a pattern once from left to right; every method raises BadInput for what has no counterpart

    at      index of the next character      follow  pairs of classes that can match neighbours
    depth   how deep groups and classes are nested      atomic  how many atomic groups and possessive quantifiers have been read
    In the methods `fold` and `dotall` are the options i (ignore case) and m (a dot matches new lines) at this place.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern, self.at, self.depth, self.atomic = pattern, 0, 0, 0
        self.follow = set[tuple[str, str]]()

    def refused(self, what: str) -> BadInput:
        """The error for a part of the pattern that has no counterpart"""
        return BadInput(f"the tokenizer splits texts by a pattern with {what}, which is not supported: {self.pattern!r:.120}")

    def sees(self, text: str) -> bool:
        """Whether `text` comes next"""
        return self.pattern.startswith(text, self.at)

    def take(self, text: str) -> bool:
        """Read `text` if it comes next; returns whether it did"""
        found = self.sees(text)
        self.at += len(text) if found else 0
        return found

    def character(self, inside: str) -> str:
        """Read one character. inside: what would be unfinished if there is none, for the error"""
        if self.at >= len(self.pattern):
            raise self.refused(f"{inside} that does not end")
        self.at += 1
        return self.pattern[self.at - 1]

    # --- alternatives, sequences, repetitions ---

    def alternatives(self, fold: bool, dotall: bool) -> tuple[Node, list[Node]]:
        """(one node for all alternatives, [a node for each]) up to a closing parenthesis or the end"""
        self.depth += 1
        if self.depth > 100:
            raise self.refused("groups nested more than a hundred deep")
        found = [self.sequence(fold, dotall)]
        while self.take("|"):
            found.append(self.sequence(fold, dotall))
        self.depth -= 1
        if len(found) == 1:
            return found[0], found
        return Node("|".join(each.python for each in found), frozenset().union(*(each.first for each in found)),
                    frozenset().union(*(each.last for each in found)), any(each.nullable for each in found),
                    all(each.plain for each in found)), found

    def sequence(self, fold: bool, dotall: bool) -> Node:
        """One alternative"""
        whole, ahead, parts = EMPTY, "", 0
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            node, parts = self.repeated(fold, dotall), parts + 1
            if ahead and node.one:                               # (?=A)B matches a character that is in both classes
                both = f"[{ahead}&&{node.one}]"
                node = node._replace(first=frozenset([both]), last=frozenset([both]), one=both)
            ahead, whole = node.ahead, self.then(whole, node)
        return whole._replace(one=node.one) if parts == 1 else whole

    def then(self, a: Node, b: Node) -> Node:
        """A node of `a` followed by `b`"""
        self.follow |= set(product(a.last, b.first))
        return Node(a.python + b.python, a.first | b.first if a.nullable else a.first, a.last | b.last if b.nullable else b.last,
                    a.nullable and b.nullable, a.plain and b.plain)

    def repeated(self, fold: bool, dotall: bool) -> Node:
        """An atom with its quantifiers, of which Oniguruma allows several"""
        node, quantified = self.atom(fold, dotall), False
        while found := QUANTIFIER.match(self.pattern, self.at):
            if found[0] == "{,}":
                break
            self.at = found.end()
            if not node.first and not node.last:
                raise self.refused(f"the quantifier {found[0]} after nothing that it could repeat")
            low, high = found[1] or 0, found[2]
            if high and int(low) > int(high):
                raise self.refused(f"the quantifier {found[0]}, whose minimum is above its maximum")
            quantifier = f"{{{low},{high}}}" if found[1] is not None else found[0]
            # in Oniguruma {2}? and {1,3}+ are repetitions of a repetition; only ?, *, + have a possessive form, all but {2} a lazy one
            lazy = "" if found[3] or not self.take("?") else "?"
            possessive = "" if lazy or found[0] not in ("?", "*", "+") or not self.take("+") else "+"
            self.atomic += len(possessive)
            body = f"(?:{node.python})" if quantified or len(node.python) > 1 else node.python
            self.follow |= set(product(node.last, node.first))
            once = found[0] == "+" or found[3] not in (None, "0") or found[1] not in (None, "", "0")
            node = Node(body + quantifier + lazy + possessive, node.first, node.last, node.nullable or not once,
                        node.plain and not possessive)
            quantified = True
        return node

    # --- what matches one character, or none ---

    def atom(self, fold: bool, dotall: bool) -> Node:
        """A group, a class, an anchor, an escape or a character"""
        symbol = self.character("a pattern")
        if symbol == "(":
            return self.group(fold, dotall)
        if symbol == "[":
            return self.one(self.set(fold))
        if symbol == ".":
            return self.one(chars.ANY if dotall else r"[^\n]")
        if symbol == "^":
            return Node(chars.LINE_START, frozenset([chars.ANY]), frozenset([chars.ANY]), True, False)
        if symbol == "$":
            return Node(chars.LINE_END, frozenset([chars.ANY]), frozenset(), True, False)
        if symbol in "*+?":
            raise self.refused(f"the quantifier {symbol} after nothing that it could repeat")
        if symbol == "\\":
            return self.escape(fold)
        return self.one(self.character_pattern(symbol, fold))

    def one(self, class_: str) -> Node:
        """A node that matches one character of a class"""
        return Node(class_, frozenset([class_]), frozenset([class_]), False, True, class_)

    def escape(self, fold: bool) -> Node:
        """What follows a backslash outside a class"""
        symbol = self.character("an escape")
        if symbol in "AzZbB":
            return {"A": Node(r"\A", frozenset(), frozenset([chars.ANY]), True, False),
                    "z": Node(r"\Z", frozenset([chars.ANY]), frozenset(), True, False),
                    "Z": self.before_the_end(),
                    "b": Node(border(True), frozenset([chars.ANY]), frozenset([chars.ANY]), True, False),
                    "B": Node(border(False), frozenset([chars.ANY]), frozenset([chars.ANY]), True, False)}[symbol]
        if symbol == "R":
            self.atomic += 1
            ends = r"[\n-\r\x85\u2028\u2029]"
            self.follow.add((r"\r", r"\n"))
            return Node(rf"(?>\r\n|{ends})", frozenset([ends]), frozenset([ends]), False, False)
        if symbol in "NO":
            return self.one(r"[^\n]" if symbol == "N" else chars.ANY)
        if symbol in "wW":
            return self.one(f"[{'^' if symbol == 'W' else ''}{chars.WORD_ALONE}]")
        self.at -= 1
        return self.one(self.escaped(fold, False))

    def before_the_end(self) -> Node:
        r"""\Z, the end of the text or before a new line there"""
        self.follow.add((r"\n", chars.ANY))
        return Node(r"(?=\n?\Z)", frozenset([chars.ANY]), frozenset(), True, False)

    def group(self, fold: bool, dotall: bool) -> Node:
        """What follows an opening parenthesis: a comment, a lookaround, an atomic group, options, or a group"""
        if self.take("?#"):
            end = self.pattern.find(")", self.at)
            if end < 0:
                raise self.refused("a comment that does not end")
            self.at = end + 1
            return EMPTY
        for opening, looks_back in (("?=", False), ("?!", False), ("?<=", True), ("?<!", True)):
            if self.take(opening):
                before = self.atomic
                node = self.closed(self.alternatives(fold, dotall)[0])
                if looks_back and self.atomic > before:
                    raise self.refused("an atomic group, a possessive quantifier or \\R in a lookbehind")
                return Node(f"({opening}{node.python})", frozenset() if looks_back else node.first,
                            node.last if looks_back else frozenset(), True, False, ahead=node.one if opening == "?=" else "")
        if self.take("?>"):
            self.atomic += 1
            node = self.closed(self.alternatives(fold, dotall)[0])
            return node._replace(python=f"(?>{node.python})", plain=False, one="")
        options = OPTIONS.match(self.pattern, self.at)
        if options and not self.sees("?)"):
            self.at = options.end()
            on, off = options[1], options[2] or ""
            fold, dotall = ("i" in on or fold) and "i" not in off, ("m" in on or dotall) and "m" not in off
            node = self.alternatives(fold, dotall)[0]            # without a colon: up to the end of the enclosing group
            return (self.closed(node) if options[3] == ":" else node).grouped()
        name = NAMED.match(self.pattern, self.at)
        if not name and (self.sees("?") or self.sees("*")):
            raise self.refused(f"the group ({self.pattern[self.at:self.at + 3]}")
        self.at = name.end() if name else self.at
        return self.closed(self.alternatives(fold, dotall)[0]).grouped()          # captures are not needed

    def closed(self, node: Node) -> Node:
        """The node, after its closing parenthesis is read"""
        if not self.take(")"):
            raise self.refused("a group that does not end")
        return node

    # --- classes ---

    def set(self, fold: bool) -> str:
        """A class [...] from behind its opening bracket, in Python's V1 notation"""
        self.depth += 1
        if self.depth > 100:
            raise self.refused("classes nested more than a hundred deep")
        negated, sides, items = self.take("^"), [], []
        if self.sees("]") and "]" not in self.pattern[self.at + 1:]:
            raise self.refused("an empty class []")
        if self.take("]"):
            items.append(r"\]")
        while not self.take("]"):
            if self.take("&&"):
                if fold:
                    raise self.refused("&& where case is ignored")
                sides.append(items)
                items = []
            else:
                items.append(self.member(fold))
        sides.append(items)
        if not all(sides):
            raise self.refused("a class with nothing on one side of its &&")
        self.depth -= 1
        inside = "&&".join(f"[{''.join(side)}]" for side in sides) if len(sides) > 1 else "".join(sides[0])
        if negated and any(one_of(f"[{inside}]", each) == one_of(f"[^{inside}]", each) for each in chars.PROBES):
            raise self.refused("a negated class of all characters")                # in the regex module some of these match any character
        return f"[{'^' if negated else ''}{inside}]"

    def member(self, fold: bool) -> str:
        """A character, a range, or a class inside a class"""
        if bracket := BRACKET.match(self.pattern, self.at):
            self.at = bracket.end()
            if bracket[2] not in chars.POSIX or fold and bracket[2] in chars.CASED:
                raise self.refused(f"the bracket {bracket[0]}{' where case is ignored' * fold}")
            return f"[{bracket[1]}{chars.POSIX[bracket[2]]}]"
        if self.take("["):
            if fold and self.sees("^"):
                raise self.refused("a negated class in a class where case is ignored")
            return self.set(fold)
        first = self.single(fold)
        if not self.sees("-") or self.sees("-]") or self.sees("-&&"):
            return first if len(first) > 1 else self.character_pattern(first, fold)
        self.at += 1
        last = "" if len(first) > 1 or self.sees("[") else self.single(fold)
        if len(last) != 1:
            raise self.refused("a range between classes")
        return self.range(first, last, fold)

    def range(self, first: str, last: str, fold: bool) -> str:
        """The range from `first` to `last`, with the other forms of its letters where case is ignored"""
        between = map(chr, range(ord(first), ord(last) + 1)) if fold else ()
        changed = [each for each in between if len(alike(each)) > 1 or len(each.casefold()) > 1]
        if not all(map(str.isascii, changed)):
            raise self.refused(f"the range {first}-{last} where case is ignored")
        return f"{literal(first)}-{literal(last)}" + "".join(literal(each) for letter in changed for each in alike(letter))

    def single(self, fold: bool) -> str:
        """One character as it is, or the pattern of a class (longer than one character)"""
        symbol = self.character("a class")
        return symbol if symbol != "\\" else "\b" if self.take("b") else self.escaped(fold, True)

    def character_pattern(self, character: str, fold: bool) -> str:
        """The pattern of one character; where case is ignored, of all its forms"""
        if fold and len(character.casefold()) > 1:
            raise self.refused(f"{character!r}, which equals several letters where case is ignored")
        return folded(character) if fold else literal(character)

    def escaped(self, fold: bool, inside: bool) -> str:
        r"""What follows a backslash and matches one character. inside: whether it is inside a class

        Of \d or \p{L} the pattern; of \x{41} or \[ the character itself if `inside`, else its pattern.
        """
        symbol = self.character("an escape")
        as_one = (lambda character: character) if inside else lambda character: self.character_pattern(character, fold)
        if symbol in "dswhDSWH":
            return f"[{'^' if symbol.isupper() else ''}{chars.CLASSES[symbol.lower()]}]"
        if symbol in "pP" and self.sees("{"):
            return self.property(symbol == "P", fold and inside)
        if symbol in chars.CONTROLS:
            return as_one(chars.CONTROLS[symbol])
        if number := CODE.match(self.pattern, self.at - 1):
            self.at = number.end()
            code = int(number[1] or number[2] or number[3] or number[4], 8 if number[4] else 16)
            if number[2] and code > 0x7f:
                raise self.refused(rf"\x{number[2]} (a byte; the character is \x{{{number[2]}}})")
            if code > 0x10ffff or 0xd800 <= code < 0xe000:
                raise self.refused(rf"\{number[0]} (no character)")
            return as_one(chr(code))
        if symbol.isascii() and symbol.isalnum():
            raise self.refused(rf"\{symbol}")
        return as_one(symbol)

    def property(self, negated: bool, fold: bool) -> str:
        r"""The class of \p{...} or \P{...}, from its opening brace"""
        end = self.pattern.find("}", self.at)
        name = self.pattern[self.at + 1:end] if end > 0 else ""
        self.at = end + 1
        negated ^= name.startswith("^")
        plain = regex.sub(r"[ _-]", "", name.removeprefix("^")).lower()
        if fold and (negated and plain in ("l", "letter") or chars.CATEGORIES.get(plain, plain) in chars.CASED):
            raise self.refused(rf"the property \p{{{name}}} where case is ignored")
        if plain in chars.CATEGORIES:
            inside = rf"\p{{General_Category={chars.CATEGORIES[plain]}}}"
            inside += "\u0345" * (fold and plain in ("l", "letter"))        # a mark that is the other case of ι
        elif plain in chars.BINARY:
            inside = rf"\p{{{chars.BINARY[plain]}}}"
        elif plain == "punct":
            inside = r"\p{P}"
        elif plain == "word":
            inside = chars.WORD if fold else chars.WORD_ALONE
        elif plain in chars.POSIX:
            inside = chars.POSIX[plain]
        elif plain.isalnum() and is_script(plain):
            inside = rf"\p{{Script={plain}}}"
        else:
            raise self.refused(rf"the property \p{{{name}}}")
        return f"[{'^' if negated else ''}{inside}]"


EMPTY = Node("", frozenset(), frozenset(), True, True)
