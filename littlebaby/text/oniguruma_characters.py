r"""oniguruma_characters: Oniguruma's classes and properties of characters in the notation of Python's `regex` module, and letter case."""
from functools import lru_cache

import regex

ANY = r"[\s\S]"
PROBES = "aA1 _\n\u6f22\xe9\u0301\xb2!+"
WORD = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}"
WORD_ALONE = WORD + r"\xb2\xb3\xb9\xbc-\xbe"           # outside a class, \w and \b count ² and ½ as letters
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
CASED = ("Lu", "Ll", "Lt", "LC", "M", "Mn", "lowercase", "uppercase", "lower", "upper", "cased")      # differ between the two cases
TWO_FOR_ONE = ("ss", "ff", "fi", "fl", "st")             # equal to one letter where case is ignored: ß, ﬀ, ﬁ, ﬂ, ﬆ
CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b"}
LINE_START, LINE_END = r"(?:\A|(?<=\n)(?!\Z))", r"(?=\n|\Z)"


@lru_cache(4096)
def regex_of(pattern: str) -> regex.Pattern:
    """A Python pattern in the V1 notation, compiled"""
    return regex.compile(pattern, regex.V1)


def one_of(class_: str, character: str) -> bool:
    """Whether a class of characters contains this one"""
    return bool(regex_of(class_).fullmatch(character))


def literal(character: str) -> str:
    """One character as it is written in a Python pattern and inside a class"""
    if character.isalnum() or character in " '\"" or ord(character) > 0x7f and not character.isspace():
        return character
    return f"\\{character}" if character.isprintable() and character.isascii() else f"\\U{ord(character):08x}"


@lru_cache(1)
def forms() -> dict[str, str]:
    """{casefolded letter: all letters that casefold to it}"""
    found: dict = {}
    for character in map(chr, range(0x20000)):                   # no letter beyond has a case
        if character.casefold() != character:
            found.setdefault(character.casefold(), []).append(character)
    return {letter: "".join([letter, *others]) for letter, others in found.items() if len(letter) == 1}


def alike(character: str) -> str:
    """This character and all that differ from it in case only"""
    return forms().get(character.casefold(), character)


def folded(character: str) -> str:
    """The pattern of a character where case is ignored"""
    return f"[{''.join(map(literal, alike(character)))}]" if len(alike(character)) > 1 else literal(character)


def border(is_one: bool) -> str:
    r"""The pattern of \b, the border of a word, or of \B, a place that is no border"""
    here = f"(?<=[{WORD_ALONE}])(?![{WORD_ALONE}])|(?<![{WORD_ALONE}])(?=[{WORD_ALONE}])"
    return f"(?:{here})" if is_one else f"(?!{here})"


def is_script(name: str) -> bool:
    """Whether Unicode has a script of this name"""
    try:
        return bool(regex.compile(rf"\p{{Script={name}}}"))
    except regex.error:
        return False
