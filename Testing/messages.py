"""What every error of the engine looks like."""

import pytest


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    """Return the message of an error, once it is known to be one sentence or more on one line."""
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message
