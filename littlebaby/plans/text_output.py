"""Text for the command line: settings by section, cards, lists and tables."""
from pathlib import Path
from typing import Any

from ..errors import BadInput, nearest
from ..runs import disk
from ..runs.aliases import ALIASES
from ..runs.presets import default_preset, preset, presets
from ..runs.records import VERSION, Completion, Direction
from ..runs.settings import FOLDERS, Config, allowed, prefixes_in_words, sections
from ..runs.store import brief, command
from ..show import card as cards
from ..show.card import baby_list, run_list
from ..show.estimate_tables import bench_table, preflight_table
from ..show.formatting import align_columns, align_pairs, format_bytes, plural, setting_value, unknown_in, unknown_parts
from .estimates import check
from .manage import info
from .process_control import open_workspace
from .school import defaults as school_defaults
from .training_data import make_config

__all__ = ["ALIASES", "Config", "FOLDERS", "VERSION", "align_columns", "align_pairs", "allowed", "baby_list", "bench_table", "card",
           "catalog_tables", "chat_note", "check_every_variant", "completion_note", "default_preset", "direction", "format_bytes",
           "make_config", "next_steps", "plural", "prefixes_in_words", "preflight_table", "preset", "presets", "renew_tables", "run_list",
           "school_defaults", "sections", "setting_value", "unknown_in"]


def card(guid: str = "last", path: str | Path | None = None) -> str:
    """The card of a run as text; see `plans.info`"""
    return cards.card(info(guid, path), open_workspace(path).root)


def next_steps(name: str, path: str | Path | None = None) -> str:
    """What can be done with a trained run, and where its picture is"""
    workspace = open_workspace(path)
    commands = [f"`{command(f'{word} {brief(name)}', workspace.root)}`" for word in ("inference", "microscope")]
    return f"{commands[0]} generates more, {commands[1]} shows how; the picture of the training is {workspace.path('chart', name)}"


def completion_note(done: Completion) -> str:
    """What is to be said of a completion: what of the prompt is not in the vocabulary, whether it was cut, and its file"""
    lines = [note] if (note := unknown_parts(done.replaced, done.spelled)) else []
    if done.tokens >= done.settings.max_tokens:
        lines.append(f"cut after {plural(done.tokens, 'token')}; `--max_tokens {2 * done.tokens}` generates more")
    return "\n".join([*lines, *([f"saved as {done.file}"] if done.file else [])])


def direction(found: Direction, path: str | Path | None = None) -> str:
    """A direction in one line, and the command that steers with it"""
    steer = command(f"inference {brief(found.guid)} --steer {found.name}:1", open_workspace(path).root)
    return f"{found.name}: layer {found.layer}, length {found.norm:.3g}\n`{steer}` steers with it"


def chat_note(guid: str, path: str | Path | None = None) -> str:
    """Why the model of a run cannot answer, "" where it can or nobody knows: trained here on a text, it has never seen a conversation"""
    workspace = open_workspace(path)
    name = ancestor = workspace.resolve(guid, "model")
    while ancestor:
        report = workspace.load_report(ancestor) if workspace.existing("report", ancestor).exists() else None
        if not report or report.origin or not report.input or report.input.name.endswith(".jsonl"):
            return ""
        ancestor = report.base
    return (f"{name[:8]} was trained on a text, not on conversations, so it continues the text instead of answering; "
            f"`littlebaby finetune` with --chat makes a run that answers")


def catalog_tables(name: str | None = None) -> tuple[dict[str, list[dict]], str]:
    """({table: rows}, the same as markdown) of all tables or of the named one. Raises errors.BadInput for an unknown name"""
    from ..show import catalog

    tables = catalog.catalog()
    if name is not None:
        if name not in tables:
            raise BadInput(nearest("the table", name, tables))
        tables = {name: tables[name]}
    return tables, "\n\n".join(f"## {each}\n\n{catalog.markdown_table(each, rows)}" for each, rows in tables.items())


def renew_tables(page: str | Path) -> None:
    """Rewrite a page whose tables stand between <!-- catalog: NAME --> and <!-- end -->. Raises errors.BadInput for an unknown name"""
    from ..show import catalog

    disk.write_file(Path(page), [catalog.fill(disk.read_bytes(Path(page)).decode()).encode()])


def check_every_variant(page: str | Path | None = None, on_start=lambda name: None) -> tuple[list[dict[str, Any]], list[tuple]]:
    """Measure the laws of every variant; with `page`, count the planted mistakes of the tests, too, and write the report there.

    Returns (rows, mistakes): a row per variant, their totals last; (family, number, files) of the planted mistakes, [] without `page`.
    on_start: called with each variant's name before it is measured
    """
    from ..show import laws_report

    planted = laws_report.mistakes() if page else []
    rows = laws_report.verdict_rows(check, on_start)
    if page:
        disk.write_file(Path(page), [laws_report.laws_page(rows, planted).encode()])
    return rows, planted
