"""Stopping the worker: the kinds of requests, and work that does not respond to them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import psutil
import pytest
from worker_events import Told, events_in

from ArSSRLib.worker import cancellation
from ArSSRLib.worker.cancellation import Cancellation, CancelledError
from ArSSRLib.worker.events import Events


@pytest.fixture
def told(tmp_path):
    return Told(tmp_path / "told")


@pytest.fixture
def pipe():
    """A pipe as standard input: the worker's end, and the end of its parent process."""
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with contextlib.suppress(OSError):  # closed by the test
            os.close(descriptor)


class Process:
    """A cancellation that listens in a thread, and records the end of the process instead of ending it."""

    def __init__(self, events, stdin: int, monkeypatch) -> None:
        self.codes: list[int] = []
        self.left = threading.Event()
        monkeypatch.setattr(cancellation, "_end_children", lambda: None)
        self.cancellation = Cancellation(events, stdin=stdin, leave=self._leave)
        # Not `watch`, which would replace the signal handlers of the tests.
        self.thread = threading.Thread(target=self.cancellation._listen, daemon=True)
        self.thread.start()

    def _leave(self, code: int) -> None:
        self.codes.append(code)
        self.left.set()

    def asked(self, seconds: float = 5) -> bool:
        """Return whether the work is requested to stop within a number of seconds."""
        return self.cancellation._asked.wait(seconds)

    def end(self) -> None:
        """End the work and its listening thread."""
        self.cancellation.end()
        os.write(self.cancellation._wake_end, b"\0")
        self.thread.join(5)


@pytest.fixture
def process(told, pipe, monkeypatch):
    process = Process(told.events, pipe[0], monkeypatch)
    yield process
    process.end()


@pytest.mark.parametrize("message", [b"cancel\n", b"cancel\r\n", b"hello\ncancel\n", b"x" * 10_000 + b"\ncancel\n"])
def test_the_line_cancel_requests_cancellation(process, pipe, message):
    os.write(pipe[1], message)

    assert process.asked()
    with pytest.raises(CancelledError):
        process.cancellation.check()


def test_a_line_may_arrive_in_pieces(process, pipe):
    os.write(pipe[1], b"can")
    assert not process.asked(0.1)

    os.write(pipe[1], b"cel\n")

    assert process.asked()


def test_other_lines_do_not_cancel_the_work(process, pipe):
    os.write(pipe[1], b"cancellation\nhello\n")

    assert not process.asked(0.2)
    process.cancellation.check()


def test_the_end_of_the_input_cancels_the_work_because_the_parent_has_ended(process, pipe):
    os.close(pipe[1])

    assert process.asked()


def test_a_signal_cancels_the_work(process):
    os.write(process.cancellation._wake_end, b"\x0f")  # as Python does when one arrives

    assert process.asked()


def test_work_that_stops_in_time_is_not_killed(process, pipe, monkeypatch):
    monkeypatch.setattr(cancellation, "SECONDS_OF_GRACE", 0.2)
    os.write(pipe[1], b"cancel\n")
    assert process.asked()
    process.cancellation.end()
    process.thread.join(5)

    assert process.codes == []


def test_work_that_does_not_stop_is_killed_and_leaves_nothing_behind(process, pipe, told, tmp_path, monkeypatch):
    monkeypatch.setattr(cancellation, "SECONDS_OF_GRACE", 0.1)
    monkeypatch.setattr(cancellation, "SECONDS_TO_SAY_SO", 30)
    folder = tmp_path / ".arssr-1"
    process.cancellation.remove_if_left(folder)
    process.cancellation.remove_if_left(tmp_path / "never made")
    folder.mkdir()
    (folder / "half.nrrd").write_bytes(b"half")

    os.write(pipe[1], b"cancel\n")

    assert process.left.wait(5)
    assert process.codes == [130]
    assert not folder.exists()
    assert told.lines() == [{"event": "cancelled"}]


def test_a_stalled_reader_cannot_block_cancellation(pipe, monkeypatch):
    monkeypatch.setattr(cancellation, "SECONDS_OF_GRACE", 0.1)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while True:  # no process reads, so the pipe is full
        try:
            os.write(writing, b"\n" * 65536)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    process = Process(Events(writing), pipe[0], monkeypatch)

    os.write(pipe[1], b"cancel\n")

    assert process.left.wait(5)
    os.set_blocking(reading, False)
    while process.thread.is_alive():  # release the thread of this test
        os.read(reading, 10**6)
        process.thread.join(0.1)
    os.close(reading)
    os.close(writing)


def test_the_work_cannot_be_canceled_while_results_are_renamed(process, pipe, monkeypatch):
    monkeypatch.setattr(cancellation, "SECONDS_OF_GRACE", 0.1)
    process.cancellation.disable()

    os.write(pipe[1], b"cancel\n")

    process.thread.join(5)

    assert process.codes == []
    assert not process.thread.is_alive()


def test_a_cancellation_before_renaming_takes_effect(process):
    process.cancellation.request()

    with pytest.raises(CancelledError):
        process.cancellation.disable()


@pytest.mark.parametrize("kind", ["file", "/dev/null", "closed"])
def test_an_input_that_is_not_a_pipe_is_ignored(told, tmp_path, monkeypatch, kind):
    (tmp_path / "input").write_text("cancel\n")
    descriptor = os.open(os.devnull if kind == "/dev/null" else tmp_path / "input", os.O_RDONLY)
    if kind == "closed":
        os.close(descriptor)
    process = Process(told.events, descriptor, monkeypatch)

    assert not process.asked(0.2)

    process.end()
    if kind != "closed":
        os.close(descriptor)


def test_a_cancellation_is_not_caught_as_an_exception():
    assert not issubclass(CancelledError, Exception)


def test_the_children_of_the_process_are_ended():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    cancellation._end_children()

    assert child.wait(5) != 0
    assert psutil.Process().is_running()


# --- Windows, where it is impossible to wait for a pipe


@pytest.fixture
def windows(monkeypatch):
    """Return the list of the pipe's contents at each check: a number of bytes, or None once it is closed."""
    looks: list[int | None] = []

    def peek(_handle: int, _size: int) -> tuple[int, int]:
        if not looks:
            return 0, 0
        count = looks.pop(0)
        if count is None:
            raise BrokenPipeError
        return count, 0

    monkeypatch.setattr(cancellation.sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "_winapi", SimpleNamespace(PeekNamedPipe=peek))
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(get_osfhandle=lambda descriptor: descriptor))
    monkeypatch.setattr(cancellation, "SECONDS_BETWEEN_LOOKS", 0.01)
    return looks


@pytest.mark.parametrize("message", [b"cancel\n", None])
def test_on_windows_the_pipe_is_read_only_if_it_has_content(told, pipe, windows, monkeypatch, message):
    process = Process(told.events, pipe[0], monkeypatch)
    time.sleep(0.05)
    assert not process.asked(0.05)

    os.write(pipe[1], message or b"")
    windows.extend([0, len(message) if message else None])

    assert process.asked()
    process.end()
    assert events_in(told.path.read_bytes()) == []
