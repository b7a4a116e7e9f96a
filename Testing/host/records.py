"""Problems and messages during a run of the module, for tests, and for the checks of the `scene` fixture.

Nothing here depends on Qt or Slicer.
"""

from __future__ import annotations

import sys
import traceback
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    """A message that a user would have seen.

    Attributes:
        kind: "info", "warning", "error", "confirm", "status", "box" (any other message box), "dialog" or "url".
        text: The text.
        title: Title of the window, if any.
    """

    kind: str
    text: str
    title: str = ""


@dataclass(frozen=True)
class Install:
    """A package that the module requested; nothing is ever installed."""

    requirements: tuple[str, ...]
    options: tuple[tuple[str, object], ...] = ()


@dataclass
class Records:
    """Everything that the host has recorded since the last `clear`.

    Attributes:
        slot_errors: Exceptions in a slot, a timer or an observer, which PythonQt only prints.
        bad_connections: Nonexistent signals, such as "QPushButton.nosuch()"; PythonQt prints them and returns False.
        qt_warnings: Warnings of Qt.
        messages: Messages that the user would have seen.
        installs: Packages that would have been installed.
        answers: Answers for the next dialogs, in order.
    """

    slot_errors: list[BaseException] = field(default_factory=list)
    bad_connections: list[str] = field(default_factory=list)
    qt_warnings: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    installs: list[Install] = field(default_factory=list)
    answers: deque[object] = field(default_factory=deque)

    def clear(self) -> None:
        """Discard all records, keeping the lists that tests refer to."""
        for entries in (self.slot_errors, self.bad_connections, self.qt_warnings, self.messages, self.installs):
            entries.clear()
        self.answers.clear()

    def slot_failed(self, error: BaseException) -> None:
        """Print an exception as PythonQt does, and record it."""
        traceback.print_exception(error, file=sys.stderr)
        self.slot_errors.append(error)

    def complaints(self) -> list[str]:
        """Return the problems that a test must not leave behind, one line each."""
        return [
            *(f"a slot raised {type(error).__name__}: {error}" for error in self.slot_errors),
            *(f"a signal that does not exist was connected: {signal}" for signal in self.bad_connections),
            *(f"Qt warned: {warning}" for warning in self.qt_warnings),
        ]


records = Records()
