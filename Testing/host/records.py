"""What went wrong, or was shown, while the module ran: the tests read it, and the `scene` fixture judges it.

Nothing here knows about Qt or Slicer.
"""

from __future__ import annotations

import sys
import traceback
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Message:
    """What a user would have seen.

    Attributes:
        kind: "info", "warning", "error", "confirm", "status", "box" (any other message box), "dialog" or "url".
        text: The words.
        title: Title of the window, if one was given.
    """

    kind: str
    text: str
    title: str = ""


@dataclass(frozen=True)
class Install:
    """A package that the module asked for; nothing is ever installed."""

    requirements: tuple[str, ...]
    options: tuple[tuple[str, object], ...] = ()


@dataclass
class Records:
    """Everything that the host noticed since the last `clear`.

    Attributes:
        slot_errors: Exceptions that left a slot, a timer or an observer; PythonQt prints and forgets them.
        bad_connections: Signals that do not exist, as "QPushButton.nosuch()"; PythonQt prints and returns False.
        qt_warnings: What Qt itself complained about.
        messages: What the user would have seen.
        installs: Packages that would have been installed.
        answers: What the next dialogs answer, first one first.
    """

    slot_errors: list[BaseException] = field(default_factory=list)
    bad_connections: list[str] = field(default_factory=list)
    qt_warnings: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    installs: list[Install] = field(default_factory=list)
    answers: deque[object] = field(default_factory=deque)

    def clear(self) -> None:
        """Forget everything, keeping the lists that tests already hold."""
        for entries in (self.slot_errors, self.bad_connections, self.qt_warnings, self.messages, self.installs):
            entries.clear()
        self.answers.clear()

    def slot_failed(self, error: BaseException) -> None:
        """Print an exception as PythonQt does, and keep it."""
        traceback.print_exception(error, file=sys.stderr)
        self.slot_errors.append(error)

    def complaints(self) -> list[str]:
        """Say what a test must not leave behind, one line each."""
        return [
            *(f"a slot raised {type(error).__name__}: {error}" for error in self.slot_errors),
            *(f"a signal that does not exist was connected: {signal}" for signal in self.bad_connections),
            *(f"Qt warned: {warning}" for warning in self.qt_warnings),
        ]


records = Records()
