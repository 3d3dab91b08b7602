"""A page for every variant: what its file says of itself, its picture, the laws' verdicts, the settings it reads, the file itself.

`littlebaby catalog --all` writes those that are out of date, and renews the index beside them between its marks <!-- pages: FOLDER -->
and <!-- end -->. Of the verdicts' numbers a page keeps the power of ten, for the rest differs from machine to machine; they are measured
anew with `--measure`, or where a variant's options have changed.
"""
import ast
import re
from importlib import import_module
from inspect import cleandoc, getsource, ismodule
from math import ceil, log10

from ..check import laws
from ..errors import BadInput, nearest
from ..model.context import variant
from ..runs.settings import allowed, keys
from . import catalog
from .variant_pictures import variant_picture

FOLDERS = dict(laws.KEYS, optimizers="c_optimizer")
MARK = re.compile(r"(<!-- pages: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
DERIVED = dict(hidden=("s_hidden", "r_hidden"), head_width=("head_size", "n_heads"), drop=("r_dropout",), dropout=("r_dropout",))
FLOOR = 5e-13        # smaller numbers are rounding, and said to be below 1e-12
LAW_HEADS = ("settings", "gradient", "decoding", "causality", "leaves without gradient", "laws")
SHOWN = ("parameters", "cache per token", "FLOPs per token")
CAPTIONS = dict(
    attentions="Measured on one layer with random weights, 64 tokens and `s_window` 16: how much of what moves a token's y comes from "
               "which token's x.",
    networks="Measured on one layer with random weights: which dimension of x moves which of y, and y along a straight line of x.",
    norms="Measured on one layer: which dimension of x moves which of y, and y along a straight line of x.",
    positions="Measured on a norm and mha with random weights over 64 times the same token, so that only positions tell: how much of what "
              "moves a token's y comes from which token's x.",
    optimizers="Measured on one matrix under a load whose directions differ thirtyfold in strength; gray are the other optimizers.")


def variants():
    """(folder, name) of all that have a page"""
    return [(folder, name) for folder, key in FOLDERS.items() for name in allowed(key)]


def pages(verdicts=laws.verdicts, written=None):
    """{file name: its text}; `written`: {file name: text} of pages that are there, whose measured numbers are kept"""
    return {f"{name}.md": variant_page(folder, name, verdicts, (written or {}).get(f"{name}.md", "")) for folder, name in variants()}


def pictures():
    """{file name: PNG bytes}"""
    return {f"pictures/{name}.png": variant_picture(folder, name) for folder, name in variants()}


def index(text):
    """The index with the tables between its marks renewed. BadInput: a mark that names no folder"""
    def renew(match):
        if match[2] not in FOLDERS:
            raise BadInput(nearest("pages", match[2], FOLDERS))
        lines = [f"| [`{name}`]({name}.md) | {summary(folder, name)} | <img src=\"pictures/{name}.png\" width=\"360\" alt=\"{name}\"> |"
                 for folder, name in variants() if folder == match[2]]
        return "\n".join([match[1] + "| name | idea | measured |", "| --- | --- | --- |", *lines, match[3]])

    return MARK.sub(renew, text)


def summary(folder, name):
    title, idea, *_ = catalog.reading(module(folder, name))
    return f"{title[0].upper()}{title[1:]}. {idea}".strip().replace("|", "\\|")


def module(folder, name):
    return import_module(f"littlebaby.training.optimizers.{name}") if folder == "optimizers" else variant(folder, name)


# one page

def variant_page(folder, name, verdicts, written=""):
    it = module(folder, name)
    path = "/".join(it.__name__.split(".")) + ".py"
    head, _, doc = cleandoc(it.__doc__).partition("\n")
    code = getsource(it)
    parts = [f"# {head.rstrip('.')}", f"`{FOLDERS[folder]} = \"{name}\"`, the file [{path}](../../{path}), [all variants](README.md)",
             prose(doc), f"![{name}](pictures/{name}.png)", CAPTIONS[folder]]
    if folder in ("attentions", "networks"):
        row = catalog.layer(folder, name)
        parts += [markdown_grid([SHOWN, [row.get(each) or "0" for each in SHOWN]]), catalog.LAYER]
    parts += ["## Settings it reads", settings(it)] if settings(it) else []
    if folder != "optimizers":
        parts += ["## The laws", kept_rows(name, written) or checked(verdicts(name)),
                  f"Float64, dropout on; `littlebaby check {name}` measures anew. Gradient: the worst relative error against differences, "
                  "allowed is 1e-6. Decoding: token by token against all at once. Causality: what a later token changes in earlier ones."]
    parts += ["## The file, below its docstring", f"```python\n{below(code)}\n```"]
    return "\n\n".join(parts) + "\n"


def prose(doc):
    """A docstring as markdown: what is indented is a formula"""
    out, formula = [], False
    for line in doc.strip("\n").splitlines():
        if line.startswith("    ") != formula and (line or formula):
            formula = not formula
            out += ["", "```text"] if formula else ["```"]
        out.append(line[4:] if formula else line)
    return "\n".join(out + ["```"] * formula)


def settings(it):
    """The settings that a file names, or those of its folder that it uses, as a table; empty where there are none"""
    words = re.findall(r"c(?:fg|tx)\.(?!cfg)(\w+)", "".join(getsource(import_module(each)) for each in kin(it)))
    named = {key for word in words for key in DERIVED.get(word, [word])}
    rows = [catalog.setting(key, key.group) for key in keys() if key.name in named]
    heads = ("key", "default", "allowed", "meaning")
    return markdown_grid([heads, *([row[head] for head in heads] for row in rows)]) if rows else ""


def kin(it):
    """The names of a file's module and of those of its folder that it is made of"""
    found = [it.__name__]
    for each in vars(it).values():
        other = each.__name__ if ismodule(each) else getattr(each, "__module__", None)
        if other and other.startswith(it.__package__ + ".") and other not in found:
            found += kin(import_module(other))
    return list(dict.fromkeys(found))


def kept_rows(name, written):
    """The table of verdicts with the rows of a page, where they are of today's options and all kept the laws; else None"""
    rows = re.findall(r"(?m)^\| (.+?) (\| < 1e.* \| kept \|)$", written.partition("## The laws")[2].partition("## ")[0])
    options = [settings_in_words(more) for _, each, more in laws.cases() if each == name]
    if [settings for settings, _ in rows] != options:
        return None
    return "\n".join([markdown_grid([LAW_HEADS]), *(f"| {settings} {numbers}" for settings, numbers in rows)])


def checked(rows):
    """The laws' verdicts as a table"""
    return markdown_grid([LAW_HEADS, *(
        (settings_in_words(row["settings"]), bound(row["gradient"]), bound(row["decoding"]), bound(row["causality"], 0),
         ", ".join(row["life"]) or "none", "kept" if row["kept"] else "BROKEN") for row in rows)])


def settings_in_words(settings):
    """Settings as they are written down"""
    return " ".join(f"`{key}={value}`" for key, value in settings.items()) or "defaults"


def bound(number, floor=FLOOR):
    """The power of ten below which a number lies"""
    return f"< 1e{ceil(log10(max(number, floor)) + 1e-9)}" if max(number, floor) else "0"


def below(code):
    """A file's code without its docstring"""
    first = ast.parse(code).body[0]
    return "\n".join(code.splitlines()[first.end_lineno:]).strip()


def markdown_grid(rows):
    """Rows of texts as a markdown table, the first the heading"""
    line = lambda cells: f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    return "\n".join([line(rows[0]), line(["---"] * len(rows[0])), *map(line, rows[1:])])
