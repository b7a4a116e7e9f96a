"""QProcess in the host: blocking without an event loop, and by signals."""

from __future__ import annotations

import sys

import pytest
import qt

ECHO = "import sys\nfor line in sys.stdin:\n    print('got', line.strip(), flush=True)\nprint('end', file=sys.stderr)"


def start(script: str, *arguments: str):
    process = qt.QProcess()
    process.start(sys.executable, ["-c", script, *arguments])
    assert process.waitForStarted(10000)
    return process


def test_a_process_can_be_read_and_written_without_an_event_loop():
    process = start(ECHO)
    process.write(b"h\xc3\xa4llo\n")
    while not process.canReadLine():
        assert process.waitForReadyRead(10000)

    assert process.readLine().data() == b"got h\xc3\xa4llo\n"
    process.closeWriteChannel()
    assert process.waitForFinished(10000)
    assert process.readAllStandardError().data() == b"end\n"
    assert (process.exitStatus(), process.exitCode()) == (qt.QProcess.NormalExit, 0)


def test_a_process_reports_by_signals(slicerHost):
    process, seen = qt.QProcess(), []
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: seen.append((code, status)))
    process.readyReadStandardOutput.connect(lambda: seen.append(process.readAllStandardOutput().data()))
    process.start(sys.executable, ["-c", "print('x', end=''); raise SystemExit(3)"])

    assert slicerHost.wait_until(lambda: len(seen) == 2)
    assert seen == [b"x", (3, qt.QProcess.NormalExit)]


def test_a_program_that_does_not_exist_is_an_error_not_an_exception(slicerHost):
    process, errors = qt.QProcess(), []
    process.errorOccurred.connect(errors.append)
    process.start("/no/such/program", [])

    assert slicerHost.wait_until(lambda: errors)
    assert errors == [qt.QProcess.FailedToStart]


def test_the_environment_is_passed_on():
    environment = qt.QProcessEnvironment.systemEnvironment()
    environment.insert("ARSSR_TEST", "ä b")
    process = qt.QProcess()
    process.setProcessEnvironment(environment)
    process.start(sys.executable, ["-X", "utf8", "-c", "import os; print(os.environ['ARSSR_TEST'])"])
    process.waitForFinished(10000)

    assert process.readAllStandardOutput().data().decode().strip() == "ä b"


def test_a_process_can_be_killed():
    process = start("import time; time.sleep(60)")
    process.kill()

    assert process.waitForFinished(10000)
    assert process.exitStatus() == qt.QProcess.CrashExit


def test_bytes_of_qt_can_only_be_read_with_data():
    with pytest.raises(TypeError):
        bytes(qt.QByteArray(b"x"))
