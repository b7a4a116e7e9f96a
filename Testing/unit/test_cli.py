"""The entry of the command line: exit codes, and errors in one line."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import SimpleNamespace

import pytest

from ArSSRLib import __version__, cli
from ArSSRLib.errors import InputError


def run_action(action, monkeypatch, arguments=()):
    """Run ``arssr info FILE`` with a replaced action."""
    monkeypatch.setitem(sys.modules, "fake_action", SimpleNamespace(run=action))
    real = cli.build_parser

    def build(called):
        parser = real(called)
        parse = parser.parse_args

        def parse_args(argv):
            args = parse(argv)
            args.action = ("fake_action", "run")
            return args

        parser.parse_args = parse_args
        return parser

    monkeypatch.setattr(cli, "build_parser", build)
    return cli.main(["info", "x.nii", *arguments])


def raising(error):
    def action(_args):
        raise error

    return action


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as leaving:
        cli.main(["--version"])

    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"arssr {__version__}\n"


def test_the_code_of_the_action_is_returned(monkeypatch):
    assert run_action(lambda _args: 1, monkeypatch) == 1


@pytest.mark.parametrize(
    "error",
    [InputError("The volume is\n  flat."), OSError(28, "No space left on device"), MemoryError()],
    ids=["engine", "system", "memory"],
)
def test_a_refusal_is_one_line_on_stderr_and_exit_code_2(error, monkeypatch, capsys):
    code = run_action(raising(error), monkeypatch)

    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert printed.err.startswith("arssr: error: ")
    assert len(printed.err.splitlines()) == 1
    assert len(printed.err.split("error: ")[1]) > 1


def test_a_defect_shows_no_traceback_and_exits_with_1(monkeypatch, capsys):
    code = run_action(raising(KeyError("spacing")), monkeypatch)

    error = capsys.readouterr().err
    assert code == 1
    assert "Traceback" not in error
    assert "KeyError" in error
    assert len(error.splitlines()) == 1


def test_verbose_shows_the_traceback(monkeypatch, capsys):
    run_action(raising(InputError("The volume is flat.")), monkeypatch, ["-v"])

    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.splitlines()[-1] == "arssr: error: The volume is flat."


def test_an_interruption_exits_with_130(monkeypatch, capsys):
    code = run_action(raising(KeyboardInterrupt()), monkeypatch)

    assert code == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_termination_and_a_closed_terminal_unwind_the_stack(monkeypatch, name, code):
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip("this system has no such signal")
    unwound = []

    def action(_args):
        try:
            os.kill(os.getpid(), number)
        finally:
            if name == "SIGHUP":  # the shell and the system both send it
                os.kill(os.getpid(), number)
            unwound.append(True)

    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as leaving:
        run_action(action, monkeypatch)

    assert leaving.value.code == code
    assert unwound == [True]
    assert signal.getsignal(number) == before


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs a system with SIGHUP")
def test_a_command_under_nohup_continues_after_its_terminal_was_closed(monkeypatch):
    def action(_args):
        os.kill(os.getpid(), signal.SIGHUP)
        return 0

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run_action(action, monkeypatch) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_warnings_of_the_engine_are_shown_and_details_are_not(monkeypatch, capsys):
    def action(_args):
        logging.getLogger("ArSSRLib.upsampling").warning("3 voxels are not finite.")
        logging.getLogger("ArSSRLib.upsampling").info("12 tiles")
        return 0

    run_action(action, monkeypatch)

    assert capsys.readouterr().err == "arssr: warning: 3 voxels are not finite.\n"


def test_logging_is_left_as_it_was(monkeypatch):
    engine = logging.getLogger("ArSSRLib")
    before = (engine.level, engine.propagate, list(engine.handlers))
    run_action(lambda _args: 0, monkeypatch)

    assert (engine.level, engine.propagate, list(engine.handlers)) == before


def test_train_has_the_options_of_the_training_package(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])

    assert "--resume" in capsys.readouterr().out
