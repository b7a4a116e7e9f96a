"""Progress as a bar, as JSON, or not at all."""

from __future__ import annotations

import io
import json

import pytest

from ArSSRLib.commands.progress import Reporter


class Terminal(io.StringIO):
    def isatty(self):
        return True


def work(reporter):
    reporter.stage("read", "brain.nii")
    for fraction in (0.0, 0.25, 1.0):
        reporter.fraction(fraction)
    reporter.done({"output": "sharp.nii"}, "sharp.nii: done")
    reporter.close()


def test_json_output_is_only_one_object_per_line(capsys):
    work(Reporter("json"))

    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [line["fraction"] for line in lines if "fraction" in line] == [0.0, 0.25, 1.0]
    assert lines[0] == {"stage": "read", "input": "brain.nii"}
    assert lines[-1] == {"stage": "done", "input": "brain.nii", "output": "sharp.nii"}
    assert printed.err == ""


@pytest.mark.parametrize("mode", ["auto", "none"])
def test_without_a_terminal_only_the_closing_line_is_printed(mode, capsys):
    work(Reporter(mode))

    printed = capsys.readouterr()
    assert printed.out == "sharp.nii: done\n"
    assert printed.err == ""


def test_a_terminal_gets_a_bar_on_stderr(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    work(Reporter("auto"))

    assert "100%" in terminal.getvalue()
    assert capsys.readouterr().out == "sharp.nii: done\n"


def test_a_failure_is_reported_as_json_and_as_text(capsys):
    Reporter("json").failed("brain.nii", "brain.nii: is empty.")

    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"stage": "failed", "input": "brain.nii", "message": "brain.nii: is empty."}
    assert printed.err == "arssr: error: brain.nii: is empty.\n"
