"""Tables of all variants, tokenizers, presets and settings, made from their files: docstrings, parameter specs and descriptions.

A page has a table between two marks, <!-- catalog: NAME --> and <!-- end -->; `fill` renews the text between them.
"""
import re
from importlib import import_module
from inspect import cleandoc

import numpy as np

from .. import text
from ..arrays import tree
from ..check.laws import KEYS
from ..check.preflight import memory_of, mixing_flops, products
from ..errors import BadInput, nearest
from ..model import gpt
from ..model.context import variant
from ..runs.presets import preset, presets
from ..runs.settings import HERE, Config, allowed, module_of, prefixes_in_words, sections
from ..runs.shipped import alias
from ..runs.store import Workspace
from ..text.stories import SENTENCE_END
from ..training.schedules import multiplier
from .formatting import format_number, percent, setting_value

MARK = re.compile(r"(<!-- catalog: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
CITED = re.compile(r"((?:Kimi )?[A-Z][\w'-]+(?: et al\.| & [A-Z][\w'-]+)? (?:19|20)\d\d)(?: \([^)]*\))?(?:,? arXiv[: ](\d{4}\.\d{4,5}))?")
STANDARD = dict(n_vocab=256)            # the config's defaults and a vocabulary of 256 tokens
LAYER = "One layer with n_emb 128, n_heads 4 and n_ctx 256; FLOPs of forward and backward. B is the batch size, T n_ctx, D n_emb"
HEADS = dict(config=prefixes_in_words())
ATTENTIONS = (f"{LAYER}, H head_size, h n_heads, d H / h, n n_kv_heads, K s_kernel, W s_window, M n_latents. In mla c is mla_rank, "
              f"r mla_rope, n mla_nope and v mla_v.")
NETWORKS = f"{LAYER}, F the hidden width, G n_groups_ggl, r network_rank, E n_experts, k n_active."
NOTES = dict(attentions=ATTENTIONS, networks=NETWORKS, 
             babies="Bits per character of 60,000 characters of new stories; the others of 200 texts at temperature 0.8. "
                    "`python benchmarks/ages.py` trains the babies.",
             presets="Parameters with a vocabulary of 256 tokens, unless the preset sets n_vocab.",
             schedules="Learning rate as a fraction of r_learn in a run of 1,000 steps, 20 of them warm-up.")


def tables():
    """{name: a markdown table}"""
    return {name: markdown_table(name, rows) for name, rows in catalog().items()}


def catalog():
    """{name: rows as dicts}: attentions, networks, norms, positions, optimizers, schedules, tokenizers, presets, config"""
    folders = {folder: [layer(folder, name) for name in allowed(KEYS[folder])] for folder in KEYS}
    return folders | dict(
        optimizers=[optimizer(name) for name in allowed("c_optimizer")], schedules=[schedule(name) for name in shapes()],
        tokenizers=[tokenizer(kind) for kind in sorted(text.KINDS)], presets=[preset_row(name) for name in presets()],
        **(dict(babies=[baby_row(baby) for baby in babies]) if (babies := Workspace(HERE).babies()) else {}),
        config=[setting(key, title) for title, members in sections().items() for key in members])


def fill(page):
    """The page with every table between its marks renewed. BadInput: a mark that names no table"""
    made = tables()

    def renew(match):
        if match[2] not in made:
            raise BadInput(nearest("the table", match[2], made))
        return f"{match[1]}{made[match[2]]}\n{match[3]}"

    return MARK.sub(renew, page)


def markdown_table(name, rows):
    """Rows of the same keys as markdown, with the table's notes before and after it; an empty column is left out"""
    heads = [head for head in rows[0] if any(row[head] for row in rows)]
    line = lambda cells: f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    before = [HEADS[name], ""] if name in HEADS else []
    return "\n".join([*before, line(heads), line("---" for _ in heads), *(line(row[head] for head in heads) for row in rows),
                      *(["", NOTES[name]] if name in NOTES else [])])


# one row each

def layer(folder, name):
    """The row of a file of model/: parts of its docstring, and the figures of one layer of standard size"""
    module = variant(folder, name)
    title, idea, cost, cache, papers = reading(module)
    cfg = Config(**STANDARD, **{KEYS[folder]: name})
    row = {"name": f"`{name}`", "full name": title}
    if folder not in ("attentions", "networks"):
        return row | {"idea": idea, "cost": cost, "paper": papers}
    spec = module.params(cfg)
    spent = sum(products(spec, cfg))
    row |= {"cost": cost, "parameters": format_number(tree.size(spec))}
    if folder == "attentions":
        _, growth, state = memory_of(cfg)
        spent += 3 * mixing_flops(cfg)
        here = " and ".join(format_number(n) for n in (growth, state) if n)
        row["cache per token"] = f"{cache}, here {here}" if here else cache
    return row | {"FLOPs per token": format_number(spent), "paper": papers}


def optimizer(name):
    module = module_of("c_optimizer", name)
    title, idea, _, _, papers = reading(module)
    state = module.state(dict(w=tree.matrix(10, 10)), np.dtype("float32"))
    return {"name": f"`{name}`", "full name": title, "idea": idea,
            "numbers per weight": format_number(sum(getattr(a, "size", 0) for a in state.values()) / 100), "paper": papers}


def shapes():
    return [dict(c_schedule=name) for name in allowed("c_schedule") if name != "wsd"] + [
        dict(c_schedule="wsd", c_schedule_decay=name) for name in allowed("c_schedule_decay")]


def schedule(settings):
    """The learning rate as a fraction of r_learn at some steps of a run of 1,000 steps, 20 of them warm-up"""
    cfg = Config(**settings, s_warmup=20)
    at = {f"at {share:.0%}": f"{multiplier(round(1000 * share), 1000, cfg):.2f}" for share in (0.01, 0.25, 0.5, 0.75, 0.9, 1)}
    return {"schedule": ", ".join(f"`{name}`" for name in settings.values()), **at}


def tokenizer(kind):
    title, idea, *_ = reading(import_module(f"littlebaby.text.{kind}"))
    return {"name": f"`{kind}`", "what it does": f"{title[:1].upper()}{title[1:]}. {idea}".strip()}


def preset_row(name):
    """The row of a preset, with its parameters for its own n_vocab, else for that of STANDARD"""
    cfg = Config(**{**STANDARD, **preset(name)})
    return {"name": f"`{name}`", "what it is": presets()[name], "parameters": format_number(tree.size(gpt.params(cfg)))}


def baby_row(run):
    """The row of a baby that comes with littlebaby"""
    report, marks = run.report, run.report.judged.marks
    first = SENTENCE_END.split(next((text for text in report.judged.texts if text.strip()), ""))[0].strip()
    return {"baby": f"`{alias(run.name)}`", "parameters": format_number(report.figures.parameters.total),
            "bits per character": f"{report.figures.bits_per_character:.3f}", "words it uses": str(marks.vocabulary),
            "correct sentences": percent(marks.sentences), "correct stories": percent(marks.stories),
            "sentences before a mistake": f"{marks.before_mistake:.1f}", "its first words": f"{first[:60]} ..."}


def setting(key, title):
    return {"group": title, "key": f"`{key.name}`", "default": setting_value(key.default), "allowed": key.allowed, "unit": key.unit,
            "meaning": key.meaning}


# reading a docstring

def reading(module):
    """(full name, idea, cost, cache, papers) from a docstring: `xyz: full name.`, a paragraph whose first sentence is the idea,
    formulas, `Cost ...`, `Cache per token ...`, papers"""
    doc = cleandoc(module.__doc__)
    head, _, rest = doc.partition("\n")
    title = head.partition(": ")[2].rstrip(".")
    idea = sentence(rest.strip("\n").partition("\n\n")[0])
    cost = re.search(r"^Cost (.+?)\.(?=\s|$)", doc, re.MULTILINE | re.DOTALL)
    cache = re.search(r"Cache (?:per token )?(.+?)\.(?=\s|$)", doc, re.DOTALL)
    papers = CITED.findall(re.sub(r"\s+", " ", doc.rpartition("\n\n")[2]))
    linked = [f"[{name}](https://arxiv.org/abs/{number})" if number else name for name, number in papers]
    return title, idea, *(re.sub(r"\s+", " ", found[1]) if found else "" for found in (cost, cache)), ", ".join(dict.fromkeys(linked))


def sentence(paragraph):
    """The first sentence of a paragraph, without the indented lines"""
    prose = []
    for line in paragraph.splitlines():
        if line.startswith(" "):
            break
        prose.append(line)
    joined = " ".join(prose)
    first = re.match(r"(.+?)(?:\.\s|[.:]?$)", joined)
    return f"{first[1]}." if first else ""
