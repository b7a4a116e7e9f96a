"""The worker process: start, communication, cancellation, and guaranteed end.

It runs in PythonSlicer with Slicer's environment, which has PyTorch. With an event loop, it uses the signals of
QProcess; without one, `WorkerProcess.wait`. Nothing here depends on nodes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import qt

import ArSSRLib
from ArSSRLib import errors
from ArSSRLib.errors import ArSSRError, DependencyError, MemoryLimitError, OutputError

Event = dict[str, Any]

# The worker stops by itself within a second; after that, it is killed.
PATIENCE = 1.3
# Seconds for killed child processes to end, which usually takes a few ms.
GRACE = 0.3
# Interval of a blocking wait between checks of the time, in ms.
POLL = 50
START_TIMEOUT = 30_000
# Number of lines of the standard error kept for the log.
TAIL = 40
# Exit codes of a process that the system killed for lack of memory: two representations of SIGKILL.
_KILLED = (9, 137)
# Message of PythonSlicer, a launcher, if its interpreter was killed or crashed. Its own exit code is then 1, which is
# not informative.
_LAUNCHER = "exit abnormally - Report the problem"
# Start of the last message of an interpreter that crashed or failed; a killed one leaves no message.
_CRASHES = ("Fatal Python error", "Traceback (most recent call last)")
WORKER = "ArSSRLib.worker"


class WorkerProcess:
    """One job in a separate process.

    Args:
        folder: Folder for files, and working directory of the worker; `abandon` removes it.
        onEvent: Called with every message except the last.
        onEnd: Called once after the process has ended: with the message "done" or "cancelled", or with an exception
            that says what happened and what to do next.
    """

    def __init__(
        self,
        folder: Path,
        *,
        onEvent: Callable[[Event], object],
        onEnd: Callable[[Event | Exception], object],
    ) -> None:
        self.folder = folder
        self._onEvent: Any = onEvent
        self._onEnd: Any = onEnd
        self._process: Any = None  # a QProcess while one runs
        self._unread = b""
        self._last: Event | None = None
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._deadline: float | None = None
        self._ended = False

    @property
    def running(self) -> bool:
        """Whether the process was started and its end is not yet reported."""
        return self._process is not None and not self._ended

    def start(self, job: Mapping[str, Any]) -> None:
        """Start the process with the content of a job file; messages are received by the event loop, or by `wait`.

        Raises:
            OutputError: If the job file cannot be written.
            DependencyError: If there is no PythonSlicer, or it does not start.
        """
        program, path = pythonExecutable(), self.folder / "job.json"
        try:
            path.write_text(json.dumps(job), encoding="utf-8")
        except OSError as error:
            msg = f"{path} cannot be written ({error.strerror}); free some space on the disk."
            raise OutputError(msg) from error
        process = qt.QProcess()
        process.setProcessEnvironment(_environment())
        process.setWorkingDirectory(str(self.folder))  # the first place in which `python -m` looks for packages
        process.start(program, ["-m", WORKER, str(path)])
        if not process.waitForStarted(START_TIMEOUT):
            msg = f"{program} could not be started ({process.errorString()}); reinstall Slicer."
            raise DependencyError(msg)
        self._process = process
        process.connect("readyReadStandardOutput()", self._onReadyRead)
        process.connect("readyReadStandardError()", self._onReadyRead)
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)

    def wait(self) -> None:
        """Process messages until the end of the process is reported; needs no event loop.

        Exceptions of callbacks and Ctrl+C are raised here; then call `abandon`.
        """
        if self.running:
            self._process.blockSignals(True)  # a single receiver is enough, and its exceptions are not swallowed
        while self.running:
            if not self._process.waitForReadyRead(POLL):
                self._process.waitForFinished(POLL)
            if self._process.state() == qt.QProcess.NotRunning:
                self._end()
                return
            if self._deadline is not None and time.monotonic() > self._deadline:
                self._kill()
            self._read()

    def send(self, table: Mapping[str, Any]) -> None:
        """Send one line of JSON to the worker; returns immediately."""
        if self.running:
            self._process.write(json.dumps(table).encode("ascii") + b"\n")

    def cancel(self) -> None:
        """Request the worker to stop; returns immediately. Its end is reported within 2 s."""
        if not self.running or self._deadline is not None:
            return
        self._process.closeWriteChannel()  # the end of its input is the signal to stop
        self._deadline = time.monotonic() + PATIENCE
        qt.QTimer.singleShot(int(1000 * PATIENCE), self._onPatienceOver)

    def abandon(self) -> None:
        """End the process and its children immediately, and remove the folder; there are no further callbacks.

        Files that another program has open are left to `ArSSRPanel.exchange.sweepLeftOvers`.
        """
        if self.running:
            self._ended = True
            self._process.blockSignals(True)
            self._kill()
            self._process.waitForFinished(2000)
            self._release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _onPatienceOver(self) -> None:
        if self.running:
            self._kill()

    def _onReadyRead(self) -> None:
        self._guarded(self._read)

    def _onFinished(self, *_: object) -> None:
        self._guarded(self._end)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run a step in a slot, where exceptions would only be printed."""
        try:
            step()
        except Exception as error:
            logging.exception("A run of ArSSR was ended by an error in Slicer.")
            if self.running:
                onEnd = self._onEnd
                self.abandon()
                onEnd(error)

    def _read(self) -> None:
        """Process the new output of the process."""
        if self._ended:
            return
        self._tail.extend(self._process.readAllStandardError().data().decode("utf-8", "replace").splitlines())
        *lines, self._unread = (self._unread + self._process.readAllStandardOutput().data()).split(b"\n")
        for line in lines:
            event = _parse(line)
            if event is None:
                continue
            if event["event"] in ("done", "error", "cancelled"):
                self._last = event
            else:
                self._onEvent(event)
            if not self.running:  # a callback may have abandoned the run
                return

    def _end(self) -> None:
        """Report the end, once."""
        self._read()
        if self._ended:
            return
        self._ended = True
        last, code, onEnd = self._last, self._process.exitCode(), self._onEnd
        self._release()
        if last is not None and last["event"] == "error":
            if self._tail:
                logging.info("The ArSSR worker wrote:\n%s", "\n".join(self._tail))
            onEnd(_errorFromEvent(last))
        elif last is not None:
            onEnd(last)
        elif self._deadline is not None:  # killed because it did not stop by itself
            onEnd({"event": "cancelled"})
        else:
            logging.error("The ArSSR worker ended with code %d and wrote:\n%s", code, "\n".join(self._tail))
            onEnd(_errorFromExit(code, list(self._tail)))

    def _release(self) -> None:
        """Release the process and the callbacks: a slot would keep them, and their nodes, forever."""
        self._process.deleteLater()
        self._process = self._onEvent = self._onEnd = None

    def _kill(self) -> None:
        """End the process and its children: PythonSlicer starts the interpreter as a child process."""
        with contextlib.suppress(Exception):  # psutil is missing, or the process has ended; handled below
            import psutil  # noqa: PLC0415

            root = psutil.Process(self._process.processId())
            children = root.children(recursive=True)
            for process in [*children, root]:
                process.kill()
            # A killed process needs a moment to end. QProcess itself waits for the parent.
            psutil.wait_procs(children, timeout=GRACE)
        self._process.kill()


def pythonExecutable() -> str:
    """Return the Python interpreter of this Slicer.

    Raises:
        DependencyError: If it is not found.
    """
    own = Path(sys.executable or "")
    found = shutil.which("PythonSlicer") or shutil.which("PythonSlicer", path=str(own.parent))
    if found:
        return found
    if own.stem.lower().startswith("python"):  # never Slicer itself, which would open a second window
        return str(own)
    msg = "PythonSlicer was not found beside Slicer's program files; reinstall Slicer."
    raise DependencyError(msg)


def _environment() -> qt.QProcessEnvironment:
    """Return Slicer's environment, completed so that the worker finds the engine and uses UTF-8."""
    environment = qt.QProcessEnvironment.systemEnvironment()
    engine = str(Path(ArSSRLib.__file__).resolve().parents[1])
    before = environment.value("PYTHONPATH", "")
    environment.insert("PYTHONPATH", f"{engine}{os.pathsep}{before}" if before else engine)
    environment.insert("PYTHONUTF8", "1")
    environment.insert("PYTHONUNBUFFERED", "1")
    return environment


def _parse(line: bytes) -> Event | None:
    """Return the message in a line, or None for output of libraries."""
    try:
        event = json.loads(line)
        return event if isinstance(event["event"], str) else None
    except (ValueError, TypeError, KeyError):
        if line.strip():
            logging.info("ArSSR worker: %s", line.decode("utf-8", "replace").strip())
        return None


def _errorFromEvent(event: Event) -> Exception:
    kind = getattr(errors, str(event.get("kind")), errors.ArSSRError)
    if not (isinstance(kind, type) and issubclass(kind, errors.ArSSRError)):
        kind = errors.ArSSRError
    return kind(str(event.get("message") or "The worker failed and did not say why; see the application log."))


def _errorFromExit(code: int, said: list[str]) -> Exception:
    """Return the exception for a worker that ended without a last message, from its exit code and its last lines."""
    launcher = any(_LAUNCHER in line for line in said)
    words = [line.strip() for line in said if line.strip() and _LAUNCHER not in line]
    crash = next((line for line in words if line.startswith(_CRASHES)), "")
    if code in _KILLED or (launcher and not crash):
        return MemoryLimitError(
            "The ArSSR worker was ended from outside, most likely because the machine ran out of memory. Close other "
            "programs, or choose a smaller memory limit, scale or region, and try again."
        )
    last = crash if crash.startswith(_CRASHES[0]) else words[-1] if words else ""
    told = f" Its last words: {last[:200]}" if last else ""
    return ArSSRError(
        f"The ArSSR worker ended unexpectedly (code {code}). Start it again, on the CPU if it was on another device; "
        f"if it happens again, report it with the application log.{told}"
    )
