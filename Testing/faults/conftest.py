"""The process from which all faults and watched runs are forked."""

import pytest


@pytest.fixture(scope="module")
def server():
    from faults.server import Server  # noqa: PLC0415 - its tests are skipped on systems without fork

    server = Server()
    yield server
    server.close()
