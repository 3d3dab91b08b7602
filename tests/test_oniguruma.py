"""Patterns of tokenizer.json files: Oniguruma's language in Python's, compared with the tokenizers library, and where a text parts"""
import random
import unicodedata

import pytest

from littlebaby.errors import BadInput
from littlebaby.text.bpe import split_by_pattern
from littlebaby.text.oniguruma import translated

UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{SPACES}"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
WORDS = (r"[^\r\n\p{{L}}\p{{N}}]?[{u}]*[{l}]+{s}?|[^\r\n\p{{L}}\p{{N}}]?[{u}]+[{l}]*{s}?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|"
         + SPACES)
SHIPPED = dict(
    gpt2=[GPT2], llama3=[LLAMA3], qwen2=[LLAMA3.replace("{1,3}", "")], starcoder=[r"\p{N}", GPT2], falcon=["[0-9][0-9][0-9]"],
    cl100k=[r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"],
    o200k=[WORDS.format(u=UPPER, l=LOWER, s=SHORT)],
    kimi=[r"[\p{Han}]+|" + WORDS.format(u=f"{UPPER}&&[^\\p{{Han}}]", l=f"{LOWER}&&[^\\p{{Han}}]", s=SHORT)],
    tekken=[WORDS.format(u=UPPER, l=LOWER, s="").replace("{1,3}", "").replace("]+?", "]+").replace("]*?", "]*")],
    deepseek3=[r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
               rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{SPACES}"],
    deepseek_coder=[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥가-퟿]+", r"\p{N}"],
    bloom=[r" ?[^(\s|[.,!?…。，、।۔،])]+"], poro=[r" ?[^(\s|.,!?…。，、।۔،)]+"],
    gpt4o=[r"[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+(?:'[sS]|'[tT])?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"
           + SPACES],
    hunyuan=[r"\p{N}{1,3}(?=(?:\p{N}{3})*(?:\P{N}|$))", r"[^\r\n]"])
ODD = dict(
    lines=[r"^\s+|\S+$|\w+|\W"], borders=[r"\b\w+\b|\B.|\s"], brackets=[r"[[:alpha:]]+|[[:digit:]]+|[[:punct:]]+|[[:^alpha:]_]+"],
    hexadecimal=[r"\h+|[\H&&\S]+"], looks=[r"(?<=\n)[ \t]+|(?<!\S)#\w+|\S+?(?=[.,]|\s|\z)|\s"], ends=[r"\w+\Z|\A\w|\s+\z"],
    atomic=[r"(?>\d+)(?!\.)|\d+\.\d+|\R|\S+|[^\S\n\r]+"], options=[r"(?i)'s|ab+|[k-m]+|[^\r\nx\p{L}]+|\p{Lu}+"], dots=[r"<(?m:.*?)>|t.|\N"],
    empty=[r"(?=\p{Lu})|\s*"], optional=[r"x*|\d*"], first_empty=["|ab"], twice=[r"a{,2}|\d{2}?|\w{1,2}+|\s{2,}|(?:b+)*?c"],
    nested=[r"[a-c[x-z]]+|[a-z&&[^aeiou]]+|[^a-z&&\S]+|[]-]"], until_the_end_of_the_group=[r"(?:a(?i)b|c)|C"])
COMMON = [*"  \n\n\r\t'.,!?abcdstvelmrxSTABZ0123456789()-_/#<>|", "\r\n", "\n\n", "'s", "'LL", "\u0301", "é", "ß", "ſ", "\u212a", "İ",
          "漢字", "かな", "한", "。", "，", "\u00a0", "\u3000", "\u2028", "\x85", "🙂", "²", "½", "Ⅷ", "ع", "\u0345", "ι", "ǅ"]


def texts(seed, lengths):
    rng = random.Random(seed)

    def character():
        drawn = chr(rng.randrange(0x110000)) if rng.random() < 0.15 else "\ud800"
        # what no version of Unicode has assigned, and ʕ, which one of them has moved, are not for comparing versions
        return rng.choice(COMMON) if unicodedata.category(drawn) in ("Cn", "Cs") or drawn == "\u0295" else drawn

    return ["".join(character() for _ in range(n)) for n in lengths]


def pieces(patterns, text):
    found = [text]
    for pattern in patterns:
        found = [part for piece in found for part in split_by_pattern(translated(pattern), piece)]
    return found


@pytest.mark.parametrize("name", [*SHIPPED, *ODD])
def test_a_pattern_cuts_as_in_the_tokenizers_library(name):
    library = pytest.importorskip("tokenizers", reason="compares with the tokenizers library")
    patterns = (SHIPPED | ODD)[name]
    cut = library.pre_tokenizers
    theirs = cut.Sequence([cut.Split(library.Regex(pattern), "isolated") for pattern in patterns])
    for text in texts(name, [3, 10, 10, 30, 100, 300, 1000] * 4):
        assert pieces(patterns, text) == [text[a:b] for _, (a, b) in theirs.pre_tokenize_str(text)]


@pytest.mark.parametrize("pattern,text,expected", [
    (r"[a-z&&[^b]]+", "abca&", ["a", "b", "ca", "&"]), (r"[a-c[x-z]]+", "abcxyz lazy", ["abcxyz", " l", "azy"]),
    (r"^\w+", "one two\nthree four", ["one", " two\n", "three", " four"]), (r"\s+$", "one  \ntwo", ["one", "  ", "\ntwo"]),
    (r"\h+", "face 12 gold", ["face", " ", "12", " gol", "d"]), (r"(?m:a.)", "a\nb", ["a\n", "b"]), (r"a.", "a\nab", ["a\n", "ab"]),
    (r"\p{N}{1,3}+", "x1234567", ["x", "1234567"]), (r"a\z", "a\na", ["a\n", "a"]), (r"a\Z", "aa\n", ["a", "a", "\n"]),
    (r"(?i:'s)", "x'ſ'S", ["x", "'ſ", "'S"]), (r"(?i:\p{Lu})+", "abCD", ["ab", "CD"]), (r"[[:punct:]]", "a+b", ["a", "+", "b"])])
def test_what_reads_otherwise_in_python(pattern, text, expected):
    assert pieces([pattern], text) == expected


@pytest.mark.parametrize("pattern,named", [
    (r"(a)\1", r"\1"), (r"a\Kb", r"\K"), (r"\X", r"\X"), (r"\y", r"\y"), (r"(?~ab)", "(?~"), (r"(?x)a b", "(?x"), (r"(?<n>a)\k<n>", r"\k"),
    (r"(?(1)a|b)", "(?("), (r"(*FAIL)", "(*F"), (r"\p{In_Greek}", "In_Greek"), (r"[[:foo:]]", "[:foo:]"), (r"[a&&]", "&&"),
    (r"(?i:ss)", "ß"), (r"(?i:ß)", "'ß'"), (r"(?i:[\p{Lu}])", "Lu"), (r"\xC3\xA9", r"\xC3"), (r"a{2,1}", "{2,1}"), (r"(a", "group"),
    (r"a)", "parenthesis"), (r"(?<=a*+)b", "lookbehind"), (r"(?<=\R)b", "lookbehind"), (r"[^a[^\p{L}][\p{L}]]", "negated class of all"),
    (r"(?i:[a-z&&\w])", "&&"), (r"(?i:[a[^b]])", "negated class in a class"), (r"[\p{Any}]", "Any"),
    (r"[a", "class"), (r"*a", "quantifier *"), ("a\\", "escape"), ("(" * 200, "hundred"), ("[" * 200, "hundred"), (r"\Qa\E", r"\Q")])
def test_what_has_no_counterpart_is_refused_by_name(pattern, named):
    with pytest.raises(BadInput) as refused:
        translated(pattern)
    assert named in str(refused.value) and "the tokenizer splits texts by a pattern with" in str(refused.value)


def test_case_is_ignored_one_letter_for_one():
    assert pieces([r"(?i:k)+"], "kK\u212ax") == ["kK\u212a", "x"] and pieces([r"(?i:[i-k])"], "iİı") == ["i", "İı"]
