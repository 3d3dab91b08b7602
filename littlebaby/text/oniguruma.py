r"""oniguruma: the pre-tokenizer patterns of a tokenizer.json, which are written for Oniguruma, as patterns of Python's `regex` module.

The two languages look alike and differ in silence: `&&` and `[` inside a class, `^` and `$` at every line, `\h` for a hexadecimal
digit, `(?m:.)` for a dot that takes new lines, `{1,3}+` for a repetition of `{1,3}`, `\w` and `[[:punct:]]` by other Unicode
properties. So a pattern is parsed and written anew; what has no certain counterpart raises BadInput that names it.

The parser also keeps which characters can stand side by side inside a match or under a lookaround (the follow set of Glushkov's
construction). From that `Pattern.parts` knows where a text can be cut in two without changing how the pattern cuts it.

Kosako, Oniguruma regular expressions, doc/RE (syntax Oniguruma). Glushkov 1961, The abstract theory of automata.
"""
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import regex

from littlebaby.errors import BadInput

ANY = r"[\s\S]"
PROBES = "aA1 _\n\u6f22\xe9\u0301\xb2!+"
WORD = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}"
WORD_ALONE = WORD + r"\xb2\xb3\xb9\xbc-\xbe"           # outside of a class, \w and \b take ² and ½ for letters
CLASSES = dict(d=r"\p{Nd}", s=r"\p{White_Space}", w=WORD, h="0-9A-Fa-f")
POSIX = {
    "alnum": r"\p{Alphabetic}\p{Nd}", "alpha": r"\p{Alphabetic}", "ascii": r"\x00-\x7f", "blank": r"\p{Zs}\t", "cntrl": r"\p{Cc}",
    "digit": r"\p{Nd}", "lower": r"\p{Lowercase}", "punct": r"\p{P}\p{S}", "space": r"\p{White_Space}", "upper": r"\p{Uppercase}",
    "word": WORD, "xdigit": "0-9A-Fa-f"}
CATEGORIES = {
    "other": "C", "control": "Cc", "format": "Cf", "unassigned": "Cn", "privateuse": "Co", "surrogate": "Cs", "letter": "L",
    "casedletter": "LC", "lowercaseletter": "Ll", "modifierletter": "Lm", "otherletter": "Lo", "titlecaseletter": "Lt",
    "uppercaseletter": "Lu", "mark": "M", "combiningmark": "M", "spacingmark": "Mc", "enclosingmark": "Me", "nonspacingmark": "Mn",
    "number": "N", "decimalnumber": "Nd", "letternumber": "Nl", "othernumber": "No", "punctuation": "P",
    "connectorpunctuation": "Pc", "dashpunctuation": "Pd", "closepunctuation": "Pe", "finalpunctuation": "Pf",
    "initialpunctuation": "Pi", "otherpunctuation": "Po", "openpunctuation": "Ps", "symbol": "S", "currencysymbol": "Sc",
    "modifiersymbol": "Sk", "mathsymbol": "Sm", "othersymbol": "So", "separator": "Z", "lineseparator": "Zl",
    "paragraphseparator": "Zp", "spaceseparator": "Zs"}
CATEGORIES |= {short.lower(): short for short in CATEGORIES.values()}
BINARY = {"alphabetic": "Alphabetic", "lowercase": "Lowercase", "uppercase": "Uppercase", "whitespace": "White_Space",
          "ideographic": "Ideographic", "math": "Math", "hexdigit": "Hex_Digit", "cased": "Cased"}
CASED = ("Lu", "Ll", "Lt", "LC", "M", "Mn", "lowercase", "uppercase", "lower", "upper", "cased")      # not alike for both cases
TWO_FOR_ONE = ("ss", "ff", "fi", "fl", "st")             # letters that one letter stands for where case is ignored: ß, ﬀ, ﬁ, ﬂ, ﬆ
CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b"}
LINE_START, LINE_END = r"(?:\A|(?<=\n)(?!\Z))", r"(?=\n|\Z)"
QUANTIFIER = regex.compile(r"[*+?]|\{(\d*),(\d*)\}|\{(\d+)\}")
OPTIONS = regex.compile(r"\?([im]*)(?:-([imx]*))?([:)])")
NAMED = regex.compile(r"\?(?:<[A-Za-z_]\w*>|'[A-Za-z_]\w*')")
CODE = regex.compile(r"x\{([0-9A-Fa-f]{1,8})\}|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|(0[0-7]{0,2})")
BRACKET = regex.compile(r"\[:(\^?)(\w+):\]")


class Node(NamedTuple):
    """A part of a pattern. The classes in `first` and `last` are patterns of one character each.

    python    the pattern in Python's language      nullable  whether it matches without a character
    first     classes that can begin it             last      classes that can end it
    plain     whether it has no lookaround, anchor or atomic group, so that more text never makes a match fail
    one       the class of all that it matches, if that is one character      ahead  of a lookahead, what that of its inside is
    """
    python: str
    first: frozenset
    last: frozenset
    nullable: bool
    plain: bool
    one: str = ""
    ahead: str = ""


class Pattern(NamedTuple):
    """A translated pattern"""
    compiled: regex.Pattern
    follow: frozenset        # of pairs of classes that can match neighbours
    covering: tuple          # alternatives that match wherever they match a single character
    nullable: bool           # whether it can match nothing

    def matches(self, text):
        """The matches from left to right; after an empty one the search goes on behind the next character"""
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

    def separates(self, left, right):
        """Whether no match and no lookaround reaches over these two neighbours, whatever the text around them is"""
        return not self.nullable and not any(one_of(a, left) and one_of(b, right) for a, b in self.follow)

    def begins(self, right):
        """Whether a match certainly begins at this character where none reaches over the place before it"""
        return any(regex_of(alternative).fullmatch(right) for alternative in self.covering)


@lru_cache(4096)
def regex_of(pattern):
    return regex.compile(pattern, regex.V1)


def one_of(class_, character):
    return bool(regex_of(class_).fullmatch(character))


@lru_cache(256)
def translated(pattern):
    """The Pattern of an Oniguruma pattern; BadInput names what has no counterpart"""
    parser = Parser(pattern)
    whole, alternatives = parser.alternatives(False, False)
    if parser.at < len(pattern):
        raise parser.refused("a closing parenthesis without an opening one")
    if any((folded(a), folded(b)) in parser.follow for a, b in TWO_FOR_ONE):
        raise parser.refused("two letters side by side that one letter stands for where case is ignored, such as ß for ss")
    try:
        compiled = regex.compile(whole.python, regex.V1)
    except (regex.error, RecursionError, OverflowError) as error:
        raise BadInput(f"the tokenizer cuts texts by the pattern {pattern!r:.120}, which is none: {error}") from None
    return Pattern(compiled, frozenset(parser.follow), tuple(each.python for each in alternatives if each.plain),
                   whole.nullable)


class Parser:
    """Reads a pattern once from left to right. `fold` and `dotall` are the options i and m where the reader stands."""

    def __init__(self, pattern):
        self.pattern, self.at, self.follow, self.depth, self.atomic = pattern, 0, set(), 0, 0

    def refused(self, what):
        return BadInput(f"the tokenizer cuts texts by a pattern with {what}, which is not supported: {self.pattern!r:.120}")

    def sees(self, text):
        return self.pattern.startswith(text, self.at)

    def take(self, text):
        """Whether `text` comes next; then it is read"""
        found = self.sees(text)
        self.at += len(text) if found else 0
        return found

    def character(self, inside):
        if self.at >= len(self.pattern):
            raise self.refused(f"{inside} that does not end")
        self.at += 1
        return self.pattern[self.at - 1]

    # --- alternatives, sequences, repetitions ---

    def alternatives(self, fold, dotall) -> tuple:
        """(one node for all, [a node for each]) up to a closing parenthesis or the end"""
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

    def sequence(self, fold, dotall):
        whole, ahead, parts = EMPTY, "", 0
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            node, parts = self.repeated(fold, dotall), parts + 1
            if ahead and node.one:                               # (?=A)B is one character that is both
                both = f"[{ahead}&&{node.one}]"
                node = node._replace(first=frozenset([both]), last=frozenset([both]), one=both)
            ahead, whole = node.ahead, self.then(whole, node)
        return whole._replace(one=node.one) if parts == 1 else whole

    def then(self, a, b):
        """`b` after `a`"""
        self.follow |= set(product(a.last, b.first))
        return Node(a.python + b.python, a.first | b.first if a.nullable else a.first, a.last | b.last if b.nullable else b.last,
                    a.nullable and b.nullable, a.plain and b.plain)

    def repeated(self, fold, dotall):
        """An atom with its quantifiers, of which Oniguruma allows several"""
        node, quantified = self.atom(fold, dotall), False
        while found := QUANTIFIER.match(self.pattern, self.at):
            if found[0] == "{,}":
                break
            self.at = found.end()
            if not node.first and not node.last:
                raise self.refused(f"the quantifier {found[0]} behind nothing that it could repeat")
            low, high = found[1] or 0, found[2]
            if high and int(low) > int(high):
                raise self.refused(f"the quantifier {found[0]} from more to less")
            sign = f"{{{low},{high}}}" if found[1] is not None else found[0]
            # {2}? and {1,3}+ are repetitions of a repetition here; only ?, *, + have a possessive form, all but {2} a lazy one
            lazy = "" if found[3] or not self.take("?") else "?"
            possessive = "" if lazy or found[0] not in ("?", "*", "+") or not self.take("+") else "+"
            self.atomic += len(possessive)
            body = f"(?:{node.python})" if quantified or len(node.python) > 1 else node.python
            self.follow |= set(product(node.last, node.first))
            once = found[0] == "+" or found[3] not in (None, "0") or found[1] not in (None, "", "0")
            node = Node(body + sign + lazy + possessive, node.first, node.last, node.nullable or not once, node.plain and not possessive)
            quantified = True
        return node

    # --- what stands for one character, or for none ---

    def atom(self, fold, dotall):
        sign = self.character("a pattern")
        if sign == "(":
            return self.group(fold, dotall)
        if sign == "[":
            return self.one(self.set(fold))
        if sign == ".":
            return self.one(ANY if dotall else r"[^\n]")
        if sign == "^":
            return Node(LINE_START, frozenset([ANY]), frozenset([ANY]), True, False)
        if sign == "$":
            return Node(LINE_END, frozenset([ANY]), frozenset(), True, False)
        if sign in "*+?":
            raise self.refused(f"the quantifier {sign} behind nothing that it could repeat")
        if sign == "\\":
            return self.escape(fold)
        return self.one(self.spelled(sign, fold))

    def one(self, class_):
        """A node of one character"""
        return Node(class_, frozenset([class_]), frozenset([class_]), False, True, class_)

    def escape(self, fold):
        sign = self.character("an escape")
        if sign in "AzZbB":
            return {"A": Node(r"\A", frozenset(), frozenset([ANY]), True, False),
                    "z": Node(r"\Z", frozenset([ANY]), frozenset(), True, False),
                    "Z": self.before_the_end(),
                    "b": Node(border(True), frozenset([ANY]), frozenset([ANY]), True, False),
                    "B": Node(border(False), frozenset([ANY]), frozenset([ANY]), True, False)}[sign]
        if sign == "R":
            self.atomic += 1
            ends = r"[\n-\r\x85\u2028\u2029]"
            self.follow.add((r"\r", r"\n"))
            return Node(rf"(?>\r\n|{ends})", frozenset([ends]), frozenset([ends]), False, False)
        if sign in "NO":
            return self.one(r"[^\n]" if sign == "N" else ANY)
        if sign in "wW":
            return self.one(f"[{'^' if sign == 'W' else ''}{WORD_ALONE}]")
        self.at -= 1
        return self.one(self.escaped(fold, False))

    def before_the_end(self):
        self.follow.add((r"\n", ANY))
        return Node(r"(?=\n?\Z)", frozenset([ANY]), frozenset(), True, False)

    def group(self, fold, dotall):
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
            node = self.alternatives(fold, dotall)[0]            # without a colon: up to the end of the group it stands in
            return in_group(self.closed(node) if options[3] == ":" else node)
        name = NAMED.match(self.pattern, self.at)
        if not name and (self.sees("?") or self.sees("*")):
            raise self.refused(f"the group ({self.pattern[self.at:self.at + 3]}")
        self.at = name.end() if name else self.at
        return in_group(self.closed(self.alternatives(fold, dotall)[0]))          # nobody asks what a group has captured

    def closed(self, node):
        if not self.take(")"):
            raise self.refused("a group that does not end")
        return node

    # --- classes ---

    def set(self, fold):
        """The inside of [...] behind its opening bracket, in Python's V1 notation"""
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
            raise self.refused("a class with nothing at one side of its &&")
        self.depth -= 1
        inside = "&&".join(f"[{''.join(side)}]" for side in sides) if len(sides) > 1 else "".join(sides[0])
        if negated and any(one_of(f"[{inside}]", each) == one_of(f"[^{inside}]", each) for each in PROBES):
            raise self.refused("a negated class of all characters")                # the regex module takes some of these for any character
        return f"[{'^' if negated else ''}{inside}]"

    def member(self, fold):
        """A character, a range, or a class of a class"""
        if bracket := BRACKET.match(self.pattern, self.at):
            self.at = bracket.end()
            if bracket[2] not in POSIX or fold and bracket[2] in CASED:
                raise self.refused(f"the bracket {bracket[0]}{' where case is ignored' * fold}")
            return f"[{bracket[1]}{POSIX[bracket[2]]}]"
        if self.take("["):
            if fold and self.sees("^"):
                raise self.refused("a negated class in a class where case is ignored")
            return self.set(fold)
        first = self.single(fold)
        if not self.sees("-") or self.sees("-]") or self.sees("-&&"):
            return first if len(first) > 1 else self.spelled(first, fold)
        self.at += 1
        last = "" if len(first) > 1 or self.sees("[") else self.single(fold)
        if len(last) != 1:
            raise self.refused("a range between classes")
        return self.range(first, last, fold)

    def range(self, first, last, fold):
        between = map(chr, range(ord(first), ord(last) + 1)) if fold else ()
        changed = [each for each in between if len(alike(each)) > 1 or len(each.casefold()) > 1]
        if not all(map(str.isascii, changed)):
            raise self.refused(f"the range {first}-{last} where case is ignored")
        return f"{literal(first)}-{literal(last)}" + "".join(literal(each) for letter in changed for each in alike(letter))

    def single(self, fold):
        """One character as it is, or the pattern of a class"""
        sign = self.character("a class")
        return sign if sign != "\\" else "\b" if self.take("b") else self.escaped(fold, True)

    def spelled(self, character, fold):
        """The pattern of one character; where case is ignored, of all forms of it"""
        if fold and len(character.casefold()) > 1:
            raise self.refused(f"{character!r}, which is several letters where case is ignored")
        return folded(character) if fold else literal(character)

    def escaped(self, fold, inside):
        r"""What stands behind a backslash for one character: the pattern of \d or \p{L}; of \x{41} and \[ outside of a class the
        pattern, inside the character itself"""
        sign = self.character("an escape")
        as_one = (lambda character: character) if inside else lambda character: self.spelled(character, fold)
        if sign in "dswhDSWH":
            return f"[{'^' if sign.isupper() else ''}{CLASSES[sign.lower()]}]"
        if sign in "pP" and self.sees("{"):
            return self.property(sign == "P", fold and inside)
        if sign in CONTROLS:
            return as_one(CONTROLS[sign])
        if number := CODE.match(self.pattern, self.at - 1):
            self.at = number.end()
            code = int(number[1] or number[2] or number[3] or number[4], 8 if number[4] else 16)
            if number[2] and code > 0x7f:
                raise self.refused(rf"\x{number[2]} (a byte; the character is \x{{{number[2]}}})")
            if code > 0x10ffff or 0xd800 <= code < 0xe000:
                raise self.refused(rf"\{number[0]} (no character)")
            return as_one(chr(code))
        if sign.isascii() and sign.isalnum():
            raise self.refused(rf"\{sign}")
        return as_one(sign)

    def property(self, negated, fold):
        end = self.pattern.find("}", self.at)
        name = self.pattern[self.at + 1:end] if end > 0 else ""
        self.at = end + 1
        negated ^= name.startswith("^")
        plain = regex.sub(r"[ _-]", "", name.removeprefix("^")).lower()
        if fold and (negated and plain in ("l", "letter") or CATEGORIES.get(plain, plain) in CASED):
            raise self.refused(rf"the property \p{{{name}}} where case is ignored")
        if plain in CATEGORIES:
            inside = rf"\p{{General_Category={CATEGORIES[plain]}}}"
            inside += "\u0345" * (fold and plain in ("l", "letter"))        # a mark that is the other case of ι
        elif plain in BINARY:
            inside = rf"\p{{{BINARY[plain]}}}"
        elif plain == "punct":
            inside = r"\p{P}"
        elif plain == "word":
            inside = WORD if fold else WORD_ALONE
        elif plain in POSIX:
            inside = POSIX[plain]
        elif plain.isalnum() and is_script(plain):
            inside = rf"\p{{Script={plain}}}"
        else:
            raise self.refused(rf"the property \p{{{name}}}")
        return f"[{'^' if negated else ''}{inside}]"


EMPTY = Node("", frozenset(), frozenset(), True, True)


def in_group(node):
    return node._replace(python=f"(?:{node.python})")


def literal(character):
    """One character as it is written in a Python pattern and in a class of one"""
    if character.isalnum() or character in " '\"" or ord(character) > 0x7f and not character.isspace():
        return character
    return f"\\{character}" if character.isprintable() and character.isascii() else f"\\U{ord(character):08x}"


@lru_cache(1)
def forms():
    """{letter as it is compared where case is ignored: all its forms}"""
    found: dict = {}
    for character in map(chr, range(0x20000)):                   # no letter beyond has a case
        if character.casefold() != character:
            found.setdefault(character.casefold(), []).append(character)
    return {letter: "".join([letter, *others]) for letter, others in found.items() if len(letter) == 1}


def alike(character):
    """All characters that differ from this one in case only, itself among them"""
    return forms().get(character.casefold(), character)


def folded(character):
    return f"[{''.join(map(literal, alike(character)))}]" if len(alike(character)) > 1 else literal(character)


def border(is_one):
    """A border of a word, or a place that is none"""
    here = f"(?<=[{WORD_ALONE}])(?![{WORD_ALONE}])|(?<![{WORD_ALONE}])(?=[{WORD_ALONE}])"
    return f"(?:{here})" if is_one else f"(?!{here})"


def is_script(name):
    try:
        return bool(regex.compile(rf"\p{{Script={name}}}"))
    except regex.error:
        return False
