"""The requests of the live preview: sent, displayed and next; independent of Qt, nodes and time.

While the user scrolls, every new target is requested immediately with a quick answer. When the view is at rest, an
exact answer is requested for the target on display. Answers may be missing, because the worker discards all but the
newest request.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Target:
    """The pixels of a lens.

    Attributes:
        view: Name of the slice view.
        origin: Center of the first pixel, in LPS mm of the volume.
        columnStep: Step from a pixel to the next one in its row, in LPS mm.
        rowStep: Step from a pixel to the one in the next row, in LPS mm.
        size: Number of columns and rows.
        scale: Factors along i, j, k, unitless.
        ijkToRAS: Position of the pixels on display, from (column, row, 0, 1) to the world in RAS mm, row by row.
    """

    view: str
    origin: Vector
    columnStep: Vector
    rowStep: Vector
    size: tuple[int, int]
    scale: Vector
    ijkToRAS: tuple[float, ...]


@dataclass(frozen=True)
class Question:
    """A request to the worker: its number, its target, and whether it is exact."""

    number: int
    target: Target
    exact: bool


class Phase(enum.Enum):
    """The phase of a preview."""

    OFF = "off"
    STARTING = "starting"
    ON = "on"


class PreviewState:
    """The state of one live preview; see the module docstring.

    Attributes:
        phase: The phase.
        shown: The request whose answer is on display; None if there is none.
    """

    def __init__(self) -> None:
        self.phase = Phase.OFF
        self.shown: Question | None = None
        self._wanted: Target | None = None
        self._asked: Target | None = None
        self._open: dict[int, Question] = {}
        self._number = 0

    def start(self) -> None:
        """Wait for a new worker; requests to an earlier one are void."""
        self.stop()
        self.phase = Phase.STARTING

    def ready(self) -> None:
        """Note that the worker is ready for requests."""
        if self.phase == Phase.STARTING:
            self.phase = Phase.ON

    def stop(self) -> None:
        """Stop requesting and showing."""
        self.phase = Phase.OFF
        self._wanted = self._asked = self.shown = None
        self._open.clear()

    def want(self, target: Target | None) -> None:
        """Change the target; None if there is nothing to see."""
        if self.phase == Phase.OFF:
            return
        self._wanted = target
        if target is None or (self.shown is not None and self.shown.target.view != target.view):
            self.shown = None
        if target is None:
            self._asked = None

    def next(self) -> Question | None:
        """Return the next request, or None if the target was already requested."""
        if self.phase != Phase.ON or self._wanted is None or self._wanted == self._asked:
            return None
        self._asked = self._wanted
        return self._new(self._wanted, exact=False)

    def rest(self) -> Question | None:
        """Return the exact request once the view is at rest, or None if it was answered or is pending."""
        if self.phase != Phase.ON or self.shown is None or self.shown.target != self._wanted or self.shown.exact:
            return None
        if any(question.exact and question.target == self._wanted for question in self._open.values()):
            return None
        return self._new(self._wanted, exact=True)

    def answered(self, number: int, *, exact: bool) -> Question | None:
        """Process an answer by its number, exact or quick; return its request if the answer should be displayed."""
        question = self._close(number)
        if question is None or self._wanted is None or question.target.view != self._wanted.view:
            return None
        self.shown = Question(number, question.target, exact)
        return self.shown

    def refused(self, number: int) -> bool:
        """Process a refusal; return whether it concerns the current target."""
        question = self._close(number)
        return question is not None and question.target == self._wanted

    def _new(self, target: Target, *, exact: bool) -> Question:
        self._number += 1
        self._open[self._number] = Question(self._number, target, exact)
        return self._open[self._number]

    def _close(self, number: int) -> Question | None:
        """Return an open request; the worker has discarded older ones."""
        question = self._open.get(number)
        if question is not None:
            self._open = {key: value for key, value in self._open.items() if key > number}
        return question
