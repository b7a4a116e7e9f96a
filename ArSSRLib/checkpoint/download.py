"""Optional weights from the network, when the user asks for them: the only room that ever opens a connection.

pooch does it, through requests: the proxies and certificates of the environment (HTTPS_PROXY, NO_PROXY,
REQUESTS_CA_BUNDLE) apply. What arrives is compared with the checksum in the registry before it gets its name.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import IO, Any

from ArSSRLib.checkpoint.bundled import MAXIMUM_FILE_BYTES, RegistryEntry, verify
from ArSSRLib.checkpoint.store import existing_models_folder, keep
from ArSSRLib.errors import CheckpointError, DependencyError, InputError, OutputError
from ArSSRLib.leftovers import hidden_name

# How long a silent server is waited for.
SECONDS_OF_SILENCE = 30


def fetch_model(entry: RegistryEntry) -> Path:
    """Download the weights of an optional model, unless they are there already.

    A download that broke off starts again from its beginning; nothing of it is kept.

    Returns:
        The weights file.

    Raises:
        InputError: If the model comes with ArSSR, or was imported.
        DependencyError: If pooch is not installed.
        CheckpointError: If the download fails, or brings anything but what was published.
        OutputError: If the models folder cannot be written to.
    """
    if not entry.url:
        msg = f'"{entry.name}" is on this computer already; only optional models are fetched.'
        raise InputError(msg)
    if entry.path.is_file():
        return verify(entry)
    temporary = existing_models_folder() / hidden_name()
    try:
        temporary.mkdir()
        keep(entry, _download(entry, temporary))
    except (CheckpointError, DependencyError, OutputError):
        raise
    except OSError as error:
        msg = f"{temporary.parent}: cannot be written ({error.strerror or error}); check the folder and its space."
        raise OutputError(msg) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return entry.path


def _download(entry: RegistryEntry, folder: Path) -> Path:
    """Return the downloaded file, which is what was published."""
    try:
        import pooch  # noqa: PLC0415 - nobody else needs the network
        import requests  # noqa: PLC0415
    except ImportError as error:
        msg = (
            f"Fetching a model needs pooch, and {error.name} is not installed: pip install pooch. Or fetch {entry.url} "
            "in a browser, then: arssr models import FILE"
        )
        raise DependencyError(msg) from error
    pooch.get_logger().setLevel(logging.WARNING)

    def receive(url: str, file: str, caller: Any) -> None:  # noqa: ANN401 - pooch has no types
        """Receive a file of limited size."""
        with open(file, "wb") as target:
            pooch.HTTPDownloader(timeout=SECONDS_OF_SILENCE)(url, _Limited(target), caller)

    try:
        path = pooch.retrieve(entry.url, f"sha256:{entry.sha256}", fname="weights", path=folder, downloader=receive)
        return Path(path)
    except requests.RequestException as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
    except ValueError as error:  # how pooch says that the checksum differs; ours is shorter
        reason = "what arrived is not what was published, by its SHA-256" if "hash" in str(error) else str(error)[:200]
    msg = (
        f"The weights of {entry.name} could not be fetched ({reason}). Check the connection and the proxy "
        f"(HTTPS_PROXY), or fetch {entry.url} on another computer, then: arssr models import FILE"
    )
    raise CheckpointError(msg)


class _Limited:
    """A file that refuses to grow beyond what weights can be."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = MAXIMUM_FILE_BYTES

    def write(self, data: bytes) -> int:
        """Write a block.

        Raises:
            ValueError: If the file would be larger than any weights.
        """
        self._left -= len(data)
        if self._left < 0:
            msg = f"the server sent more than {MAXIMUM_FILE_BYTES / 1e9:g} GB"
            raise ValueError(msg)
        return self._file.write(data)

    def flush(self) -> None:
        """Hand on what was written."""
        self._file.flush()
