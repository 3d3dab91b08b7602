"""The tables of what there is, made from the files themselves: a docstring's first line, its Cost, its Cache and its paper."""
import re
from inspect import getdoc

from ..arrays import tree
from ..model.context import variant, variants
from ..runs import records
from .preflight import flops

STANDARD = dict(n_layers=1, n_emb=128, n_heads=4, n_ctx=256, n_vocab=256)      # the size at which the tables count
FOLDERS = dict(attentions="c_attention", networks="c_network", norms="c_norm", positions="c_position")
MARKS = re.compile(r"(<!-- catalog: (\w+) -->\n).*?(<!-- end -->)", re.S)


def tables():
    """{name: markdown table}: attentions, networks, norms, positions, optimizers, presets, config"""
    return {**{folder: of_folder(folder) for folder in FOLDERS},
            "optimizers": table(("name", "what it is", "paper"), [(f"`{name}`", title, paper) for name, title, _, _, paper in optimizers()]),
            "presets": table(("preset", "what it is"), [(f"`{name}`", about) for name, about in records.presets().items()]),
            "config": "\n\n".join(of_group(group) for group in records.GROUPS)}


def of_folder(folder):
    rows = []
    for name in variants(folder):
        module = variant(folder, name)
        title, cost, cache, paper = about(module)
        if folder in ("attentions", "networks"):
            cfg = records.Config(**STANDARD, **{FOLDERS[folder]: name})
            spec = module.params(cfg)
            own = flops(cfg, spec) if folder == "attentions" else flops(cfg.replace(n_ctx=2), spec) - 12 * cfg.head_size
            rows.append((f"`{name}`", title, f"{tree.size(spec):,}", f"{own:,}", cost, cache, paper))
        else:
            rows.append((f"`{name}`", title, cost, paper))
    if folder in ("attentions", "networks"):
        return table((f"`{FOLDERS[folder]}`", "what it is", "parameters", "FLOPs per token", "cost", "cache per token", "paper"), rows)
    return table((f"`{FOLDERS[folder]}`", "what it is", "cost", "paper"), rows)


def about(module):
    """(title, cost, cache, paper) of a variant's docstring"""
    text = getdoc(module)
    find = lambda pattern: (re.search(pattern, text) or [None, ""])[1].strip()
    return (find(r"^\w+: (.*?)\."), find(r"Cost (.*?)\.(?:\s|$)"), find(r"Cache per token (.*?)\.(?:\s|$)"),
            find(r"(\w[^\n]*?\d{4}, arXiv:[\d.]+)").rstrip("."))


def optimizers():
    from importlib import import_module
    for name in records.allowed("c_optimizer"):
        module = import_module(f"littlebaby.learning.optimizers.{name}")
        text = getdoc(module)
        papers = re.findall(r"^([A-Z][^\n]*\d{4}, (?:arXiv|kellerjordan)[^\n]*)", text, re.M)
        yield name, re.match(r"\w+: (.*?)\.(?:\s|$)", text)[1], "", "", " ".join(papers).rstrip(".")


def of_group(group):
    rows = [(f"`{key.name}`", str(key.default), key.allowed, key.meaning) for key in records.keys() if key.group == group]
    return f"### {group}\n\n" + table(("key", "default", "allowed", "meaning"), rows)


def table(head, rows):
    """A markdown table"""
    line = lambda cells: "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
    return "\n".join([line(head), line("---" for _ in head), *map(line, rows)])


def filled(page):
    """A page with everything between its catalog marks made anew"""
    made = tables()
    return MARKS.sub(lambda mark: f"{mark[1]}{made[mark[2]]}\n{mark[3]}", page)
