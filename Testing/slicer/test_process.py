"""The worker as a process: its output is read, its exit is explained, and it always ends.

The workers here are a few lines in a package that `python -m` finds first; `test_run` uses the actual worker.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import textwrap
import time

import psutil
import pytest

from ArSSRLib.errors import ArSSRError, DependencyError, DeviceError, InputError, MemoryLimitError, OutputError

pytestmark = pytest.mark.usefixtures("scene")

# The promise is two seconds; one more allows for other load on a test machine.
PROMPT = 3.0
DONE = 'print(json.dumps({"event": "done", "seconds": 1}))'


class Listener:
    """The messages and the end of a worker process."""

    def __init__(self):
        self.events = []
        self.ends = []


@pytest.fixture
def start(tmp_path):
    """Start a worker that runs some lines of Python; return the process and its record."""
    from ArSSRPanel.process import WorkerProcess

    started = []

    def start(code: str, *, onEvent=None):
        package = tmp_path / "ArSSRLib"
        package.mkdir()
        (package / "__init__.py").touch()
        head = "import json, os, sys, time\nwrite = sys.stdout.buffer.write\n"
        (package / "worker.py").write_text(head + textwrap.dedent(code), encoding="utf-8")
        listener = Listener()
        process = WorkerProcess(tmp_path, onEvent=onEvent or listener.events.append, onEnd=listener.ends.append)
        process.start({"format": 1})
        started.append(process)
        return process, listener

    yield start
    for process in started:
        process.abandon()


def test_messages_are_complete_however_they_are_split(start):
    process, listener = start(
        """
        text = json.dumps({"event": "log", "message": "Größe 2 µm \\U0001f9e0"}, ensure_ascii=False).encode() + b"\\n"
        for byte in text:
            write(bytes([byte])); sys.stdout.flush(); time.sleep(0.002)
        write(text + text); sys.stdout.flush()
        print(json.dumps({"event": "done"}))
        """
    )
    process.wait()

    assert listener.events == [{"event": "log", "message": "Größe 2 µm \U0001f9e0"}] * 3
    assert listener.ends == [{"event": "done"}]


def test_a_last_message_without_a_line_end_is_ignored(start):
    process, listener = start("""write(b'{"event": "done"}')""")
    process.wait()

    assert isinstance(listener.ends[0], ArSSRError)


def test_output_of_libraries_is_logged_and_otherwise_ignored(start, caplog):
    with caplog.at_level(logging.INFO):
        process, listener = start(
            f"""
            print("Warning: something odd")
            print("[1, 2]")
            print('{{"no": "event"}}')
            {DONE}
            """
        )
        process.wait()

    assert listener.events == []
    assert listener.ends == [{"event": "done", "seconds": 1}]
    assert "something odd" in caplog.text


@pytest.mark.parametrize(
    "kind", [InputError, OutputError, MemoryLimitError, DeviceError, DependencyError], ids=lambda kind: kind.__name__
)
def test_an_error_of_the_engine_is_raised_with_its_own_class(start, kind):
    process, listener = start(
        f"""
        print(json.dumps({{"event": "error", "kind": "{kind.__name__}", "message": "Found; expected; do."}}))
        sys.exit(2)
        """
    )
    process.wait()

    assert [type(end) for end in listener.ends] == [kind]
    assert str(listener.ends[0]) == "Found; expected; do."


@pytest.mark.parametrize("kind", ["ZeroDivisionError", "annotations", "__doc__"])
def test_any_other_error_is_raised_as_an_error_of_the_engine(start, kind):
    process, listener = start(f'print(json.dumps({{"event": "error", "kind": "{kind}", "message": "m"}}))')
    process.wait()

    assert type(listener.ends[0]) is ArSSRError


def test_a_crash_is_reported_with_the_next_step_and_the_last_output(start):
    process, listener = start('sys.stderr.write("Fatal: no way\\n"); sys.stderr.flush(); os.abort()')
    process.wait()

    assert type(listener.ends[0]) is ArSSRError
    assert "ended unexpectedly" in str(listener.ends[0])
    assert "Start it again, on the CPU" in str(listener.ends[0])
    assert "Fatal: no way" in str(listener.ends[0])


def test_the_message_for_a_killed_worker_suggests_a_lack_of_memory(start):
    process, listener = start("os.kill(os.getpid(), 9)")
    process.wait()

    assert type(listener.ends[0]) is MemoryLimitError
    assert "smaller memory limit" in str(listener.ends[0])


def test_a_worker_that_exits_without_a_message_is_an_error(start):
    process, listener = start("sys.exit(0)")
    process.wait()

    assert type(listener.ends[0]) is ArSSRError


def test_cancel_closes_the_input_of_the_worker(start):
    process, listener = start(
        """
        print(json.dumps({"event": "ready"}), flush=True)
        sys.stdin.read()
        print(json.dumps({"event": "cancelled"}))
        sys.exit(130)
        """,
    )
    began = time.monotonic()
    process.cancel()
    process.wait()

    assert listener.ends == [{"event": "cancelled"}]
    assert time.monotonic() - began < PROMPT


def test_a_worker_that_does_not_stop_is_ended_with_its_children(start):
    children = []

    def onEvent(event):
        children.append(event["child"])
        process.cancel()
        began.append(time.monotonic())

    began = []
    process, listener = start(
        """
        import signal, subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(json.dumps({"event": "ready", "child": child.pid}), flush=True)
        time.sleep(60)
        """,
        onEvent=onEvent,
    )
    process.wait()

    assert listener.ends == [{"event": "cancelled"}]
    assert time.monotonic() - began[0] < PROMPT
    assert not alive(children[0])


def test_the_worker_is_ended_without_psutil_too(start, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    process, listener = start("time.sleep(60)")
    process.cancel()
    process.wait()

    assert listener.ends == [{"event": "cancelled"}]


def test_an_abandoned_worker_ends_and_its_messages_are_ignored(start):
    process, listener = start('print(json.dumps({"event": "ready", "pid": os.getpid()}), flush=True); time.sleep(60)')
    while not listener.events:
        process._process.waitForReadyRead(50)

    process.abandon()

    assert not alive(listener.events[0]["pid"])
    assert listener.ends == []
    assert not process.running


def test_a_worker_can_run_in_the_event_loop(start, slicerHost):
    _process, listener = start(f'print(json.dumps({{"event": "log"}}), flush=True); time.sleep(0.2); {DONE}')

    assert slicerHost.wait_until(lambda: listener.ends, timeout=20)
    assert listener.events == [{"event": "log"}]
    assert listener.ends == [{"event": "done", "seconds": 1}]


def test_the_event_loop_ends_a_worker_that_does_not_stop(start, slicerHost):
    process, listener = start("time.sleep(60)")
    began = time.monotonic()
    process.cancel()

    assert slicerHost.wait_until(lambda: listener.ends, timeout=20)
    assert time.monotonic() - began < PROMPT
    assert listener.ends == [{"event": "cancelled"}]


def test_an_exception_in_a_callback_in_the_event_loop_ends_the_worker_and_is_reported(start, slicerHost, caplog):
    def onEvent(event):
        raise ZeroDivisionError("in the panel")

    process, listener = start('print(json.dumps({"event": "log"}), flush=True); time.sleep(60)', onEvent=onEvent)

    assert slicerHost.wait_until(lambda: listener.ends, timeout=20)
    assert [type(end) for end in listener.ends] == [ZeroDivisionError]
    assert not process.running


def test_an_exception_in_a_callback_is_raised_by_the_wait(start):
    def onEvent(event):
        raise ZeroDivisionError("in the script")

    process, _ = start('print(json.dumps({"event": "log"}), flush=True); time.sleep(60)', onEvent=onEvent)

    with pytest.raises(ZeroDivisionError):
        process.wait()


def test_ctrl_c_is_raised_by_the_wait(start):
    process, _ = start("time.sleep(60)")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            process.wait()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_worker_finds_the_engine_and_speaks_utf8():
    from ArSSRPanel.process import _environment

    environment = _environment()

    engine = environment.value("PYTHONPATH").split(os.pathsep)[0]
    assert os.path.isfile(os.path.join(engine, "ArSSRLib", "__init__.py"))
    assert environment.value("PYTHONUTF8") == "1"


def test_the_search_path_of_slicer_is_kept(monkeypatch):
    from ArSSRPanel.process import _environment

    monkeypatch.setenv("PYTHONPATH", "/opt/slicer/python")

    assert _environment().value("PYTHONPATH").split(os.pathsep)[1:] == ["/opt/slicer/python"]


def test_pythonslicer_is_preferred_wherever_it_is(monkeypatch, tmp_path):
    from ArSSRPanel.process import pythonExecutable

    launcher = tmp_path / "PythonSlicer"
    shutil.copy(sys.executable, launcher)
    monkeypatch.setenv("PATH", str(tmp_path))
    onPath = pythonExecutable()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "SlicerApp-real"))

    assert [onPath, pythonExecutable()] == [str(launcher)] * 2


def test_slicer_itself_is_never_started_a_second_time(monkeypatch, tmp_path):
    from ArSSRPanel.process import pythonExecutable

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "SlicerApp-real"))

    with pytest.raises(DependencyError, match=r"PythonSlicer was not found.*reinstall Slicer"):
        pythonExecutable()


def test_a_python_that_does_not_start_is_reported(monkeypatch, tmp_path):
    from ArSSRPanel import process

    monkeypatch.setattr(process, "pythonExecutable", lambda: str(tmp_path / "gone"))
    worker = process.WorkerProcess(tmp_path, onEvent=print, onEnd=print)

    with pytest.raises(DependencyError, match="gone could not be started"):
        worker.start({})


def alive(pid: int) -> bool:
    """Return whether a process is running; zombies do not count."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
