"""The ``arssr`` command: arguments, exit codes, and the conversion of errors into text.

The actions are in `commands`, which is only imported when a command is called, so that ``arssr --help`` needs neither
PyTorch nor numpy. Training and evaluation also load their packages only when called.

Exit codes: 0 success; 1 some volumes of a folder or cells of a table failed, or an internal error; 2 the request cannot
be fulfilled; 130 interrupted; 129 terminal closed; 143 terminated.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import FrameType
from typing import NoReturn

from ArSSRLib.commands.arguments import EXIT_REFUSED, build_parser, join_numbers
from ArSSRLib.errors import ArSSRError, one_line, printable
from ArSSRLib.process import (
    ending_signals,
    engine_log_to,
    ignore_hangups,
    let_threads_sleep,
    return_freed_memory,
    use_large_pages,
)
from ArSSRLib.streams import forgiving_streams, lead_nowhere, open_standard_streams

EXIT_DEFECT, EXIT_INTERRUPTED = 1, 130

logger = logging.getLogger("ArSSRLib.cli")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``arssr`` command.

    Args:
        argv: Arguments after the name of the program; those of the process if None.

    Returns:
        The exit code; see the module docstring.
    """
    open_standard_streams()
    use_large_pages()
    return_freed_memory()
    with forgiving_streams() as output:
        code = _main(sys.argv[1:] if argv is None else argv)
    if output.error is not None:
        reason = output.error.strerror or output.error
        print_error(f"cannot write to standard output ({reason}); the result files are complete")
    return code if output.error is None else max(code, EXIT_DEFECT)


def _main(argv: Sequence[str]) -> int:
    arguments = join_numbers(argv)
    try:
        args = build_parser(arguments[0] if arguments else "").parse_args(arguments)
        let_threads_sleep()
        with logging_to_stderr(args.verbose), termination_as_exit():
            return run(args)
    except KeyboardInterrupt:
        print("arssr: interrupted; nothing was left behind", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        lead_nowhere(sys.stdout)  # the reader of a pipe, such as head, has closed it
        return EXIT_DEFECT


def run(args: argparse.Namespace) -> int:
    """Run a parsed command, and convert exceptions into one line and an exit code."""
    try:
        module, function = args.action
        return int(getattr(import_module(module), function)(args))
    except BrokenPipeError:
        raise
    except (ArSSRError, OSError, MemoryError) as error:
        logger.debug("Refused because of:", exc_info=True)
        print_error(error)
        return EXIT_REFUSED
    except Exception as error:  # the last resort: users see no traceback unless requested
        logger.debug("Failed because of:", exc_info=True)
        print_error(
            f"unexpected {type(error).__name__}: {error}; this is a defect; run again with -v, and report the output"
        )
        return EXIT_DEFECT


def print_error(error: Exception | str) -> None:
    """Print an error on stderr as one line."""
    print(f"arssr: error: {one_line(str(error)) or type(error).__name__}", file=sys.stderr)


@contextlib.contextmanager
def logging_to_stderr(verbose: bool) -> Iterator[None]:
    """Print the log of the engine: warnings, or everything if ``verbose``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LowerCaseLevel("arssr: %(levelname)s: %(message)s"))
    with engine_log_to(handler, logging.DEBUG if verbose else logging.WARNING):
        yield


@contextlib.contextmanager
def termination_as_exit() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack, as Ctrl-C does, so that partially written files are removed."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        """Exit as sys.exit does."""
        ignore_hangups()
        raise SystemExit(128 + number)

    try:
        previous = {number: signal.signal(number, leave) for number in ending_signals()}
    except ValueError:  # not the main thread, which handles signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _LowerCaseLevel(logging.Formatter):
    """Writes "warning" as argparse writes "error", without terminal escape sequences."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        record = copy.copy(record)
        record.levelname = record.levelname.lower()
        return printable(super().format(record))
