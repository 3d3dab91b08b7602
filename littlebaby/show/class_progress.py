"""The progress of all learners of a class in the tour: text, an HTML page and CSV."""
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import readable
from ..runs import disk
from ..runs.records import ExerciseProgress
from . import html
from .charts import FLOOR, VALID
from .formatting import align_columns, plural
from .lessons import LESSONS
from .tour_progress import LEGEND, Exercise, all_exercises

FORMULA = ("=", "+", "-", "@")          # a spreadsheet would compute a cell that begins with one of these


class Difficulty(NamedTuple):
    """How a class has done in one exercise"""
    name: str                           # lesson and number, such as 2.1
    title: str
    solved: int                         # learners who have solved it
    tried: int                          # learners who have answered it
    attempts: float                     # answers, the mean over the learners who tried


@dataclass(frozen=True)
class ClassProgress:
    """What every learner has done in every exercise; in a notebook it shows a page

    folder      the folder that holds the workspaces
    learners    {learner: all exercises, in their order}
    not_begun   folders in `folder` in which there is no progress
    skipped     a sentence for each file that could not be read
    """
    folder: Path
    learners: Mapping[str, Sequence[Exercise]]
    not_begun: Sequence[str]
    skipped: Sequence[str]

    @cached_property
    def difficulties(self) -> list[Difficulty]:
        """Every exercise, the hardest first: the smallest share solved of those who tried, then the most attempts; untried ones last"""
        found = []
        for column in zip(all_exercises([]), *self.learners.values()):
            exercise, tried = column[0], [each for each in column[1:] if each.progress]
            attempts = sum(each.progress.attempts for each in tried) / max(len(tried), 1)
            found.append(Difficulty(exercise.name, exercise.title, sum(each.solved for each in tried), len(tried), attempts))
        return sorted(found, key=lambda each: (not each.tried, each.solved / max(each.tried, 1), -each.attempts))

    def hardest_first(self, learner: str) -> list[Exercise]:
        """The exercises of a learner in the order of `difficulties`"""
        by_name = {each.name: each for each in self.learners[learner]}
        return [by_name[each.name] for each in self.difficulties]

    def data(self) -> dict[str, Any]:
        """For JSON"""
        learners = [dict(learner=learner, solved=solved(exercises), attempts=attempts(exercises),
                         exercises=[each.data() for each in exercises if each.progress]) for learner, exercises in self.learners.items()]
        return dict(folder=str(self.folder), learners=learners, exercises=[each._asdict() for each in self.difficulties],
                    not_begun=list(self.not_begun), skipped=list(self.skipped))

    def notes(self) -> list[str]:
        """A line on those who have not begun, and the sentences on the files that were skipped"""
        waiting = [f"no progress in: {', '.join(self.not_begun)}"] if self.not_begun else []
        return [*waiting, *(f"skipped: {sentence}" for sentence in self.skipped)]

    def __str__(self) -> str:
        lessons = [str(lesson.number) for lesson in LESSONS]
        learners = [("learner", "solved", "attempts", "last solved", *lessons)]
        for learner, exercises in self.learners.items():
            signs = ["".join(each.sign for each in exercises if each.lesson == lesson) for lesson in LESSONS]
            learners.append((learner, f"{solved(exercises)} of {len(exercises)}", str(attempts(exercises)), last_solved(exercises), *signs))
        tables = [align_columns(learners), LEGEND, align_columns(difficulty_rows(self.difficulties))]
        return "\n\n".join([*tables, *(["\n".join(self.notes())] if self.notes() else [])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html.html_fragment(body(self))

    def save(self, path: str | Path) -> Path:
        """Write the page; returns its path"""
        return html.save(path, f"class {self.folder.name}", body(self))

    def save_csv(self, path: str | Path) -> Path:
        """Write a line for every exercise, the hardest first, and every learner; returns its path"""
        text = StringIO(newline="")
        table = csv.writer(text)
        table.writerow(["lesson", "exercise", "title", "learner", "solved", "attempts", "first_solved", "version"])
        for column in zip(*map(self.hardest_first, self.learners)):
            for learner, each in zip(self.learners, column):
                about = each.data()
                name = f"'{learner}" if learner.startswith(FORMULA) else learner
                table.writerow([each.lesson.number, each.number, each.title, name, int(each.solved), about["attempts"],
                                about["time"] or "", about["version"] or ""])
        # spreadsheets recognize UTF-8 by its byte-order mark
        disk.write_file(Path(path), [text.getvalue().encode("utf-8-sig", "backslashreplace")])
        return Path(path)


def merged(found: Sequence[ExerciseProgress]) -> list[ExerciseProgress]:
    """The progress of a learner who has several workspaces: attempts add up, and the first correct answer counts"""
    entries: dict[tuple[int, int], ExerciseProgress] = {}
    for new in found:
        old = entries.setdefault((new.lesson, new.number), new)
        if old is not new:
            times = [each.time for each in (old, new) if each.time]
            entries[new.lesson, new.number] = new.model_copy(update=dict(
                attempts=old.attempts + new.attempts, solved=old.solved or new.solved, time=min(times, default=None)))
    return list(entries.values())


def solved(exercises: Sequence[Exercise]) -> int:
    return sum(each.solved for each in exercises)


def attempts(exercises: Sequence[Exercise]) -> int:
    return sum(each.progress.attempts for each in exercises if each.progress)


def last_solved(exercises: Sequence[Exercise]) -> str:
    """The local date and time of the newest solution, "-" where there is none"""
    times: list[datetime] = [each.progress.time for each in exercises if each.progress and each.progress.time]
    return f"{max(times).astimezone():%Y-%m-%d %H:%M}" if times else "-"


def difficulty_rows(found: Sequence[Difficulty]) -> list[tuple[str, ...]]:
    """The table of the exercises that somebody tried, the first row the heading"""
    return [("hardest exercises first", "tried", "solved", "share", "attempts each"),
            *((f"{each.name} {each.title}", str(each.tried), str(each.solved), f"{each.solved / each.tried:.0%}", f"{each.attempts:.1f}")
              for each in found if each.tried)]


def body(found: ClassProgress) -> str:
    """The body of the page"""
    order, learners = [each for each in found.difficulties if each.tried], found.learners
    head, *rows = difficulty_rows(order)
    hardest = [[*head, ""], *([*map(escape, row), html.bar(each.solved / each.tried, FLOOR) if each.solved else ""]
                              for row, each in zip(rows, order))]
    grid = [["learner", "solved", "last solved", *(f'<span title="{escape(each.title)}">{each.name}</span>' for each in order)]]
    for learner, exercises in learners.items():
        cells = found.hardest_first(learner)[:len(order)]
        grid.append([escape(learner), f"{solved(exercises)} of {len(exercises)}", last_solved(exercises), *map(grid_cell, cells)])
    notes = "".join(f"<p>{escape(note)}</p>" for note in found.notes())
    return "".join([
        html.head(f"Class {readable(found.folder.name)}",
                  f"The tour: {plural(len(learners), 'learner')}, {len(found.difficulties)} exercises"),
        html.section("Exercises", "The hardest first: the smallest share solved of those who tried, then the most attempts. An attempt is "
                     "an answer that was checked, up to and including the first correct one.", html.html_table(hardest)),
        html.section("Learners", "Each exercise with the learner's attempts, in the order of the table above; ✓ solved, ✗ not solved yet, "
                     "empty: not tried.", html.html_table(grid)),
        html.section("Notes", "", notes) if notes else ""])


def grid_cell(exercise: Exercise) -> str:
    """The sign and the attempts of a learner in one exercise"""
    if exercise.progress is None:
        return ""
    colour = html.tint(0.4, FLOOR if exercise.solved else VALID)
    return f'<span style="background: {colour}; padding: 1px 4px">{exercise.sign} {exercise.progress.attempts}</span>'
