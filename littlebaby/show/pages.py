"""A page for every variant: the docstring of its file, its picture, the results of the laws, the settings that it reads, its code.

`littlebaby catalog --all` writes the pages that are out of date, and renews their index between the marks <!-- pages: FOLDER --> and
<!-- end -->. Of every error a page shows the power of ten, because the digits differ between machines; the errors are measured again
with `--measure`, or where the options of a variant have changed.
"""
import ast
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import cleandoc, getsource, ismodule
from math import ceil, log10
from typing import Any

from ..check import laws
from ..errors import BadInput, nearest
from ..runs.settings import allowed, keys, module_of
from . import catalog
from .variant_pictures import variant_picture

FOLDERS = dict(laws.KEYS, optimizers="c_optimizer")
MARK = re.compile(r"(<!-- pages: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
DERIVED = dict(hidden=("s_hidden", "r_hidden"), head_width=("head_size", "n_heads"), drop=("r_dropout",), dropout=("r_dropout",))
FLOOR = 5e-13        # smaller errors are rounding, and are shown as below 1e-12
LAW_HEADS = ("settings", "gradient", "decoding", "causality", "leaves without gradient", "laws")
SHOWN = ("parameters", "cache per token", "FLOPs per token")
CAPTIONS = dict(
    attentions="Measured on one layer with random weights, 64 tokens and `s_window` 16: how much the output of each token changes with "
               "the input of each token, as a share of the row, and the mean share by distance.",
    networks="Measured on one layer with random weights: how much each dimension of the output y changes with each dimension of the input "
             "x, and y for one random token that is scaled from -4 to 4.",
    norms="Measured on one layer: how much each dimension of the output y changes with each dimension of the input x, and y for one random "
          "token that is scaled from -4 to 4.",
    positions="Measured on a norm and mha with random weights and 64 equal tokens, so that only the positions differ: how much the output "
              "of each token changes with the input of each token, as a share of the row, and the mean share by distance.",
    optimizers="The loss of fitting one matrix whose rows differ by a factor of 30 in their weight; the other optimizers are gray.")


def variants() -> list[tuple[str, str]]:
    """(folder, name) of all variants and optimizers"""
    return [(folder, name) for folder, key in FOLDERS.items() for name in allowed(key)]


def pages(verdicts: Callable = laws.verdicts, written: dict[str, str] | None = None) -> dict[str, str]:
    """{file name: text}. verdicts: measures a variant, like laws.verdicts. written: existing pages, whose measured errors are kept"""
    return {f"{name}.md": variant_page(folder, name, verdicts, (written or {}).get(f"{name}.md", "")) for folder, name in variants()}


def pictures() -> dict[str, bytes]:
    """{file name: PNG bytes}"""
    return {f"pictures/{name}.png": variant_picture(folder, name) for folder, name in variants()}


def index(text: str) -> str:
    """The text of the index with new tables between its marks. BadInput: a mark that names no folder"""
    def renew(match):
        if match[2] not in FOLDERS:
            raise BadInput(nearest("pages", match[2], FOLDERS))
        lines = [f"| [`{name}`]({name}.md) | {summary(folder, name)} | <img src=\"pictures/{name}.png\" width=\"360\" alt=\"{name}\"> |"
                 for folder, name in variants() if folder == match[2]]
        return "\n".join([match[1] + "| name | idea | measured |", "| --- | --- | --- |", *lines, match[3]])

    return MARK.sub(renew, text)


def summary(folder: str, name: str) -> str:
    """A variant's full name and the first lines of its docstring"""
    title, idea, *_ = catalog.reading(module(folder, name))
    return f"{title[0].upper()}{title[1:]}. {idea}".strip().replace("|", "\\|")


def module(folder: str, name: str) -> Any:
    return module_of(FOLDERS[folder], name)


# one page

def variant_page(folder: str, name: str, verdicts: Callable, written: str = "") -> str:
    """The page of one variant; arguments as for `pages`"""
    it = module(folder, name)
    path = "/".join(it.__name__.split(".")) + ".py"
    head, _, doc = cleandoc(it.__doc__).partition("\n")
    code = getsource(it)
    parts = [f"# {head.rstrip('.')}", f"`{FOLDERS[folder]} = \"{name}\"`, the file [{path}](../../{path}), [all variants](README.md)",
             prose(doc), f"![{name}](pictures/{name}.png)", CAPTIONS[folder]]
    if folder in ("attentions", "networks"):
        row = catalog.layer(folder, name)
        parts += [markdown_grid([SHOWN, [row.get(each) or "0" for each in SHOWN]]), catalog.LAYER]
    parts += ["## Settings", settings(it)] if settings(it) else []
    if folder != "optimizers":
        parts += ["## The laws", kept_rows(name, written) or checked(verdicts(name)),
                  f"In float64 with dropout; `littlebaby check {name}` measures again. Gradient: the largest relative error, compared with "
                  "finite differences; 1e-6 is allowed. Decoding: token by token with a cache, compared with one pass over all tokens. "
                  "Causality: the largest change that a later token causes in earlier ones."]
    parts += ["## Code", f"```python\n{without_docstring(code)}\n```"]
    return "\n\n".join(parts) + "\n"


def prose(doc: str) -> str:
    """A docstring as markdown; its indented lines are formulas"""
    out, formula = [], False
    for line in doc.strip("\n").splitlines():
        if line.startswith("    ") != formula and (line or formula):
            formula = not formula
            out += ["", "```text"] if formula else ["```"]
        out.append(line[4:] if formula else line)
    return "\n".join(out + ["```"] * formula)


def settings(it: Any) -> str:
    """The settings that a file reads, itself or in files of its folder that it uses, as a table; "" where there are none"""
    words = re.findall(r"c(?:fg|tx)\.(?!cfg)(\w+)", "".join(getsource(import_module(each)) for each in used_modules(it)))
    named = {key for word in words for key in DERIVED.get(word, [word])}
    rows = [catalog.setting(key, key.group) for key in keys() if key.name in named]
    heads = ("key", "default", "allowed", "meaning")
    return markdown_grid([heads, *([row[head] for head in heads] for row in rows)]) if rows else ""


def used_modules(it: Any) -> list[str]:
    """The names of a module and of those in its folder that it uses"""
    found = [it.__name__]
    for each in vars(it).values():
        other = each.__name__ if ismodule(each) else getattr(each, "__module__", None)
        if other and other.startswith(it.__package__ + ".") and other not in found:
            found += used_modules(import_module(other))
    return list(dict.fromkeys(found))


def kept_rows(name: str, written: str) -> str | None:
    """The table of results of an existing page if its options are the current ones and all keep the laws, else None"""
    rows = re.findall(r"(?m)^\| (.+?) (\| < 1e.* \| kept \|)$", written.partition("## The laws")[2].partition("## ")[0])
    options = [settings_in_words(more) for _, each, more in laws.cases() if each == name]
    if [settings for settings, _ in rows] != options:
        return None
    return "\n".join([markdown_grid([LAW_HEADS]), *(f"| {settings} {numbers}" for settings, numbers in rows)])


def checked(rows: list[dict]) -> str:
    """The verdicts of the laws as a table"""
    return markdown_grid([LAW_HEADS, *(
        (settings_in_words(row["settings"]), bound(row["gradient"]), bound(row["decoding"]), bound(row["causality"], 0),
         ", ".join(row["life"]) or "none", "kept" if row["kept"] else "BROKEN") for row in rows)])


def settings_in_words(settings: dict) -> str:
    """{"r_temp": 1.7} as `r_temp=1.7` in markdown"""
    return " ".join(f"`{key}={value}`" for key, value in settings.items()) or "defaults"


def bound(number: float, floor: float = FLOOR) -> str:
    """The power of ten below which a number lies: 2e-10 as < 1e-9"""
    return f"< 1e{ceil(log10(max(number, floor)) + 1e-9)}" if max(number, floor) else "0"


def without_docstring(code: str) -> str:
    """A file's code without its docstring"""
    return "\n".join(code.splitlines()[ast.parse(code).body[0].end_lineno:]).strip()


def markdown_grid(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts as a markdown table, the first the heading"""
    line = lambda cells: f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    return "\n".join([line(rows[0]), line(["---"] * len(rows[0])), *map(line, rows[1:])])
