"""Many runs in one table: means over seeds, best compromises, and how much each setting matters; as text, as an HTML page and as CSV."""
import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any

from ..evaluation.run_statistics import MEASURES, Cell, Importance, importance, pareto_front, share_of_seeds
from ..runs import disk
from . import comparison_pictures, html
from .formatting import align_columns, format_bytes, format_number, percent, plural, setting_value

COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = dict(
    valid_loss=("validation loss", lambda x: f"{x:.4f}"), bits_per_character=("bits per character", lambda x: f"{x:.4f}"),
    correct_texts=("correct texts", percent), tokens_per_second=("tokens/s", lambda x: f"{x:,.0f}"),
    seconds=("seconds", lambda x: f"{x:.1f}"), memory=("memory of a step", format_bytes),
    parameters=("parameters", format_number), flops=("FLOPs", format_number))
SETTINGS_ONLY = ("memory", "parameters", "flops")        # hardly differ between seeds: their deviation is not shown
COSTS = dict(seconds="seconds of training", parameters="parameters")


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, those that differ only by the seed in one cell; shows itself in a notebook, `save(path)` writes a page

    name      GUID of the sweep or of the first run
    title     heading of the page
    about     a sentence below it
    cells     in the order of their numbers
    finished  whether all runs of a sweep have ended
    files     the files in which it was saved
    """
    name: str
    title: str
    about: str
    cells: Sequence[Cell]
    finished: bool = True
    files: Sequence[Path] = ()

    @property
    def guids(self) -> list[str]:
        """The names of all runs, those of the first cell first"""
        return [run.guid for cell in self.cells for run in cell.runs]

    @property
    def best(self) -> Cell | None:
        """The cell with the lowest mean validation loss; None where no run has one"""
        ranked = self.ranked
        return ranked[0] if ranked and ranked[0].mean("valid_loss") is not None else None

    @property
    def ranked(self) -> list[Cell]:
        """The cells, the lowest mean validation loss first, those without a loss last"""
        loss = lambda cell: cell.mean("valid_loss")
        return sorted(self.cells, key=lambda cell: (loss(cell) is None, loss(cell) or 0.0))

    @property
    def settings(self) -> list[str]:
        """The settings in which the cells differ"""
        return list(dict.fromkeys(name for cell in self.cells for name in cell.settings))

    def front(self, cost: str) -> list[Cell]:
        """The cells of the Pareto front: no other has at most their cost and their loss, and less of one. cost: seconds, parameters, ..."""
        known = [cell for cell in self.cells if cell.mean("valid_loss") is not None and cell.mean(cost) is not None]
        return [known[i] for i in pareto_front([(cell.mean(cost) or 0.0, cell.mean("valid_loss") or 0.0) for cell in known])]

    def importance(self) -> list[Importance]:
        """How much the choice of each setting matters; of a successive halving over the first round, where all cells have equally many
        steps"""
        return importance([cell for cell in self.cells if cell.round == 1])

    def table(self) -> list[dict[str, Any]]:
        """A dict for every cell: number, round, settings, seeds, GUIDs, errors, and the mean and the standard deviation of each measure"""
        return [dict(cell=cell.number, round=cell.round, settings=dict(cell.settings), seeds=[run.seed for run in cell.runs],
                     guids=[run.guid for run in cell.runs], errors=[run.error for run in cell.failed],
                     **{each: dict(mean=cell.mean(each), std=cell.std(each)) for each in MEASURES}) for cell in self.cells]

    def data(self) -> dict[str, Any]:
        """For JSON"""
        return dict(guid=self.name, best=self.best and self.best.number, cells=self.table(),
                    pareto={cost: [cell.number for cell in self.front(cost)] for cost in COSTS},
                    importance=[each._asdict() for each in self.importance()], finished=self.finished,
                    files=[str(file) for file in self.files])

    def _repr_html_(self) -> str:
        return html.html_fragment(body(self))

    def save(self, path: str | Path) -> Path:
        """Write the page; returns its path"""
        return html.save(path, f"{self.title} {self.name[:8]}", body(self))

    def save_csv(self, path: str | Path) -> Path:
        """Write a line for every cell: its settings, runs, and the mean and the standard deviation of each measure; returns the path"""
        text = StringIO(newline="")
        out = csv.writer(text)
        columns = [f"{each}_{what}" for each in MEASURES for what in ("mean", "std")]
        out.writerow(["cell", "round", *self.settings, "seeds", "failed", *columns, "guids"])
        empty = lambda value: "" if value is None else value
        for cell in self.cells:
            numbers = [empty(number) for each in MEASURES for number in (cell.mean(each), cell.std(each))]
            out.writerow([cell.number, cell.round, *(setting_value(cell.settings.get(name, "")) for name in self.settings), len(cell.runs),
                          len(cell.failed), *numbers, " ".join(run.guid for run in cell.runs)])
        disk.write_file(Path(path), [text.getvalue().encode("utf-8", "backslashreplace")])
        return Path(path)

    def __str__(self) -> str:
        return "\n\n".join([self.about, align_columns(rows(self)), *importance_lines(self), *failures(self)])

    __repr__ = __str__


def rows(found: Comparison) -> list[list[str]]:
    """The table, the first row the heading, the best cell first"""
    several = max((cell.round for cell in found.cells), default=1) > 1
    shown = [each for each in MEASURES if any(cell.values(each) for cell in found.cells)]
    out = [["cell", *["round"] * several, *found.settings, "runs", *(COLUMNS[each][0] for each in shown)]]
    for cell in found.ranked:
        settings = [setting_value(cell.settings.get(name, "")) for name in found.settings]
        numbers = [measured(cell, each) for each in shown]
        out.append([str(cell.number), *[str(cell.round)] * several, *settings, runs_in_words(cell), *numbers])
    return out


def runs_in_words(cell: Cell) -> str:
    """How many runs a cell has, and how many of them failed"""
    return f"{len(cell.runs)}" + (f", {len(cell.failed)} failed" if cell.failed else "")


def measured(cell: Cell, measure: str) -> str:
    """The mean of a measure and, where several runs have it, its standard deviation"""
    form, mean, std = COLUMNS[measure][1], cell.mean(measure), cell.std(measure)
    if mean is None:
        return "-"
    return form(mean) if std is None or measure in SETTINGS_ONLY else f"{form(mean)} ± {form(std)}"


def importance_lines(found: Comparison) -> list[str]:
    """How much each setting matters, a sentence for each, in one text; [] where that is unknown"""
    lines = [importance_sentence(each) for each in found.importance()]
    return ["\n".join(lines + seeds_sentence(found))] if lines else []


def importance_sentence(each: Importance) -> str:
    """The importance of a setting and the mean loss of each of its values"""
    means = ", ".join(f"{loss:.4f} with {value}" for value, loss in sorted(each.means.items(), key=lambda item: item[1]))
    return (f"the choice of {each.setting} explains {each.share:.0%} of the variance of the validation loss (by chance about "
            f"{each.chance:.0%}); mean loss {means}")


def seeds_sentence(found: Comparison) -> list[str]:
    share = share_of_seeds([cell for cell in found.cells if cell.round == 1])
    return [] if share is None else [f"the seeds explain {share:.0%} of the variance: that much is between runs with the same settings"]


def failures(found: Comparison) -> list[str]:
    """The errors of the runs that failed, in one text; [] where none did"""
    lines = [f"cell {cell.number}, seed {run.seed} failed: {run.error}" for cell in found.cells for run in cell.failed]
    return ["\n".join(lines)] if lines else []


# as a page

def body(found: Comparison) -> str:
    """The page's HTML"""
    best = found.best
    parts = [html.head(found.title, found.about)]
    if best:
        settings = ", ".join(f"{name} {setting_value(value)}" for name, value in best.settings.items())
        parts.append(f"<p>The lowest validation loss has cell {best.number}{': ' + escape(settings) if settings else ''}.</p>")
    parts.append(html.section("Results", "For every cell the mean ± the standard deviation over its seeds, the lowest validation loss "
                              "first. The loss is in nats per token.", html.html_table([list(map(escape, row)) for row in rows(found)])))
    if best:
        parts += [compromises(found), curves(found)]
    parts += [settings_section(found), runs_section(found)]
    return "".join(parts)


def compromises(found: Comparison) -> str:
    """The Pareto fronts"""
    fronts = "".join(f"<p>{escape(about)}: {', '.join(f'cell {cell.number}' for cell in found.front(cost))}</p>"
                     for cost, about in COSTS.items())
    return html.section("Loss and cost", "Numbers are those of the cells. The line joins the best compromises, the Pareto front: no other "
                        "cell has both a lower loss and a lower cost. Its cells, the cheapest first, by cost:", fronts,
                        html.picture(comparison_pictures.fronts(found.cells, {cost: found.front(cost) for cost in COSTS}, COSTS),
                                     "loss against cost, with the Pareto fronts"))


def curves(found: Comparison) -> str:
    """The losses during training"""
    if not any(len(run.curve) for cell in found.cells for run in cell.runs):
        return ""
    coloured = found.ranked[:comparison_pictures.COLOURED]
    rest = "; the others are gray" if len(found.cells) > len(coloured) else ""
    picture = comparison_pictures.curves(found.cells, coloured)
    return html.section("Loss during training", f"Validation loss, the mean over the seeds of each cell; shaded: one standard deviation. "
                        f"The best {plural(len(coloured), 'cell')} in colour{rest}.",
                        html.picture(picture, "validation losses against tokens, seconds and FLOPs"))


def settings_section(found: Comparison) -> str:
    """How much each setting matters"""
    known = found.importance()
    if not known:
        return ""
    table = [["setting", "explains", "", "by chance", "mean loss by value"]]
    for each in known:
        means = ", ".join(f"{value}: {loss:.4f}" for value, loss in sorted(each.means.items(), key=lambda item: item[1]))
        table.append([f"<code>{escape(each.setting)}</code>", f"{each.share:.0%}", html.bar(each.share), f"{each.chance:.0%}",
                      escape(means)])
    about = ("The share of the variance of the validation loss that the choice of one setting explains: all runs are grouped by its value, "
             "and the variance of the groups' means is divided by that of all runs. At 100% this setting alone decides the loss, at 0% its "
             "choice changes nothing on average. By chance: the mean share if the values had been dealt out to the cells at random; less "
             "says nothing. Many values of a number are put into three groups of equal size.")
    seeds = "".join(f"<p>{escape(line[0].upper() + line[1:])}.</p>" for line in seeds_sentence(found))
    return html.section("What the settings change", about, html.html_table(table, long=(4,)), seeds)


def runs_section(found: Comparison) -> str:
    """Every run with its loss or its error"""
    table = [["cell", "seed", "run", "validation loss", ""]]
    for cell in found.cells:
        for run in cell.runs:
            loss = run.measures.get("valid_loss")
            table.append([str(cell.number), str(run.seed), run.guid, "-" if loss is None else f"{loss:.4f}", escape(run.error)])
    return html.section("Runs", "`littlebaby info GUID` shows the card of a run.", html.html_table(table, long=(4,)))
