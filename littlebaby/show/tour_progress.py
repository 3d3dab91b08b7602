"""How far a learner has come in the tour: a line for each lesson, as text and as HTML."""
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from ..runs.records import ExerciseProgress
from . import html
from .formatting import align_columns
from .lessons import LESSONS, Lesson

SOLVED, TRIED, OPEN = "✓", "✗", "·"
LEGEND = f"{SOLVED} solved   {TRIED} tried, not solved yet   {OPEN} not tried"


class Exercise(NamedTuple):
    """An exercise of the tour, and what a learner has done in it"""
    lesson: Lesson
    number: int
    title: str
    progress: ExerciseProgress | None   # None: not tried

    @property
    def solved(self) -> bool:
        return self.progress is not None and self.progress.solved

    @property
    def sign(self) -> str:
        return SOLVED if self.solved else TRIED if self.progress else OPEN

    @property
    def name(self) -> str:
        """Lesson and number, such as 2.1"""
        return f"{self.lesson.number}.{self.number}"

    def data(self) -> dict[str, Any]:
        """For JSON"""
        about = self.progress.model_dump(mode="json") if self.progress else dict(attempts=0, solved=False, time=None, version=None)
        return about | dict(lesson=self.lesson.number, number=self.number, title=self.title)


def all_exercises(progress: Iterable[ExerciseProgress]) -> Iterator[Exercise]:
    """Yield every exercise of the tour, in its order. Progress in exercises that this version does not have is ignored"""
    known = {(each.lesson, each.number): each for each in progress}
    for lesson in LESSONS:
        for number, title in enumerate(lesson.exercises, 1):
            yield Exercise(lesson, number, title, known.get((lesson.number, number)))


@dataclass(frozen=True)
class Tour:
    """The lessons with the progress of one workspace; in a notebook it shows a table

    exercises      all exercises, in their order
    progress_file  outputs/progress.json of the workspace; it does not exist before the first answer
    notebooks      the folder of the lessons; None where only the package is installed
    """
    exercises: list[Exercise]
    progress_file: Path
    notebooks: Path | None

    @property
    def solved(self) -> int:
        """Number of solved exercises"""
        return sum(each.solved for each in self.exercises)

    @property
    def next(self) -> Exercise | None:
        """The first exercise that is not solved; None: all are"""
        return next((each for each in self.exercises if not each.solved), None)

    def lessons(self) -> list[tuple[Lesson, list[Exercise]]]:
        """Every lesson with its exercises"""
        return [(lesson, [each for each in self.exercises if each.lesson == lesson]) for lesson in LESSONS]

    def data(self) -> dict[str, Any]:
        """For JSON"""
        lessons = [dict(lesson=lesson.number, title=lesson.title, notebook=f"{lesson.notebook}.ipynb", total=len(exercises),
                        solved=sum(each.solved for each in exercises), exercises=[each.data() for each in exercises])
                   for lesson, exercises in self.lessons()]
        return dict(progress=str(self.progress_file), notebooks=self.notebooks and str(self.notebooks), solved=self.solved,
                    total=len(self.exercises), next=self.next and self.next.data(), lessons=lessons)

    def summary(self) -> str:
        """How many exercises are solved, and which one is the next"""
        count = f"{self.solved} of {len(self.exercises)} exercises solved"
        if self.next is None:
            return f"{count}: the tour is complete"
        return f"{count}; next: {self.next.name} {self.next.title}, in {self.next.lesson.notebook}.ipynb"

    def where(self) -> str:
        """Where the notebooks are, and how to open the one with the next exercise"""
        if self.notebooks is None:
            return "notebooks: not part of the installed package; they are in notebooks/tour/en of the repository"
        lesson = self.next.lesson if self.next else LESSONS[0]
        return f'notebooks: {self.notebooks}\nto open:   jupyter lab "{self.notebooks / lesson.notebook}.ipynb"'

    def rows(self) -> list[tuple[str, str, str]]:
        """(lesson, solved of all, its exercises) of every lesson, the first row the heading"""
        return [("lesson", "solved", "exercises"), *(
            (f"{lesson.number} · {lesson.title}", f"{sum(each.solved for each in exercises)} of {len(exercises)}",
             "   ".join(f"{each.sign} {each.title}" for each in exercises)) for lesson, exercises in self.lessons())]

    def __str__(self) -> str:
        return f"{align_columns(self.rows())}\n\n{LEGEND}\n\n{self.summary()}\n{self.where()}\nprogress:  {self.progress_file}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        places = f"{self.where()}\nprogress:  {self.progress_file}"
        return html.html_fragment(html.head("The tour", self.summary())
                                  + html.html_table([[escape(cell) for cell in row] for row in self.rows()], long=(2,))
                                  + f'<p class="pale">{escape(LEGEND)}</p><pre>{escape(places)}</pre>')
