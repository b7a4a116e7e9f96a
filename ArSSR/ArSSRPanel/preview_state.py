"""What the live preview has asked, what it shows, and what it asks next. It knows no Qt, no node and no clock.

While the user scrolls, every new target is asked for at once, quickly. When the view rests, the target on display is
asked for once more, exactly. Answers may be missing, since the worker drops questions that a newer one follows.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Target:
    """What a lens looks at.

    Attributes:
        view: Name of the slice view.
        origin: Center of the first pixel, in LPS mm of the volume.
        columnStep: From a pixel to the next one in its row, in LPS mm.
        rowStep: From a pixel to the one in the next row, in LPS mm.
        size: Number of columns and rows.
        scale: Factors along i, j, k, unitless.
        ijkToRAS: Where the pixels are shown, from (column, row, 0, 1) to the world in RAS mm, row by row.
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
    """A question to the worker: which number it has, for what, and whether exactly."""

    number: int
    target: Target
    exact: bool


class Phase(enum.Enum):
    """How far a preview is."""

    OFF = "off"
    STARTING = "starting"
    ON = "on"


class PreviewState:
    """The state of one live preview; see the head of this file.

    Attributes:
        phase: How far it is.
        shown: The question whose answer is on display, None while nothing is.
    """

    def __init__(self) -> None:
        """Begin switched off."""
        self.phase = Phase.OFF
        self.shown: Question | None = None
        self._wanted: Target | None = None
        self._asked: Target | None = None
        self._open: dict[int, Question] = {}
        self._number = 0

    def start(self) -> None:
        """Wait for a new worker; what was asked of another one is void."""
        self.stop()
        self.phase = Phase.STARTING

    def ready(self) -> None:
        """Take note that the worker takes questions."""
        if self.phase == Phase.STARTING:
            self.phase = Phase.ON

    def stop(self) -> None:
        """Want nothing, show nothing."""
        self.phase = Phase.OFF
        self._wanted = self._asked = self.shown = None
        self._open.clear()

    def want(self, target: Target | None) -> None:
        """Look at something else; None where there is nothing to see."""
        if self.phase == Phase.OFF:
            return
        self._wanted = target
        if target is None or (self.shown is not None and self.shown.target.view != target.view):
            self.shown = None
        if target is None:
            self._asked = None

    def next(self) -> Question | None:
        """Return the question that is due, None where what is wanted was asked for."""
        if self.phase != Phase.ON or self._wanted is None or self._wanted == self._asked:
            return None
        self._asked = self._wanted
        return self._new(self._wanted, exact=False)

    def rest(self) -> Question | None:
        """Return the exact question once the view rests, None where it has an answer, or one is on its way."""
        if self.phase != Phase.ON or self.shown is None or self.shown.target != self._wanted or self.shown.exact:
            return None
        if any(question.exact and question.target == self._wanted for question in self._open.values()):
            return None
        return self._new(self._wanted, exact=True)

    def answered(self, number: int, *, exact: bool) -> Question | None:
        """Take an answer; returns the question if the answer is to be shown.

        Args:
            number: Of the question.
            exact: Whether the answer is; a quick question may get an exact one.
        """
        question = self._close(number)
        if question is None or self._wanted is None or question.target.view != self._wanted.view:
            return None
        self.shown = Question(number, question.target, exact)
        return self.shown

    def refused(self, number: int) -> bool:
        """Take a refusal; returns whether it concerns what is wanted."""
        question = self._close(number)
        return question is not None and question.target == self._wanted

    def _new(self, target: Target, *, exact: bool) -> Question:
        self._number += 1
        self._open[self._number] = Question(self._number, target, exact)
        return self._open[self._number]

    def _close(self, number: int) -> Question | None:
        """Return an open question; the older ones were dropped by the worker."""
        question = self._open.get(number)
        if question is not None:
            self._open = {key: value for key, value in self._open.items() if key > number}
        return question
