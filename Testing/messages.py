"""Checks for the form of error messages of the engine."""

import tracemalloc

import pytest


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    """Return the message of an error after verifying that it is one line of complete sentences."""
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def refusal(read, path, error, *, most_bytes) -> str:
    """Return the one-line refusal of a file, after verifying that it needed less memory than ``most_bytes``."""
    tracemalloc.start()
    try:
        with pytest.raises(error) as caught:
            read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most_bytes
    assert "\n" not in str(caught.value)
    return str(caught.value)
