"""What every error of the engine looks like."""

import tracemalloc

import pytest


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    """Return the message of an error, once it is known to be one sentence or more on one line."""
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def refusal(read, path, error, *, most_bytes) -> str:
    """Return the one line in which a file is refused, with less memory taken for it than ``most_bytes``."""
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
