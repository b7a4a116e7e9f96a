"""The fuzzed targets: each accepts any bytes, and either reads them or refuses them like the engine.

Any other exception, a crash of a library, excessive memory or a hang is a finding.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ArSSRLib.errors import ArSSRError

# The first byte of an input selects the suffix for reading the remainder.
SUFFIXES = (".nii", ".nii.gz", ".hdr", ".mgh", ".mgz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", "")
_FOLDER = tempfile.TemporaryDirectory(prefix="arssr-fuzz-")


@contextlib.contextmanager
def _file(name: str, data: bytes) -> Iterator[Path]:
    path = Path(_FOLDER.name) / name
    path.write_bytes(data)
    try:
        yield path
    finally:
        path.unlink()


def files(data: bytes) -> bool:
    """Read a volume; return whether it was valid."""
    from ArSSRLib.io import read_volume  # noqa: PLC0415 - each target loads what it needs

    suffix = SUFFIXES[data[0] % len(SUFFIXES)] if data else ""
    with _file(f"volume{suffix}", data[1:]) as path:
        return _understood(lambda: read_volume(path))


def jobs(data: bytes) -> bool:
    """Read a job file of the worker."""
    from ArSSRLib.worker.job import read_job  # noqa: PLC0415

    with _file("job.json", data) as path:
        return _understood(lambda: read_job(path))


def weights(data: bytes) -> bool:
    """Read a file of weights, in either format."""
    from ArSSRLib.checkpoint import load_model  # noqa: PLC0415

    with _file("weights.bin", data) as path:
        return _understood(lambda: load_model(path))


def records(data: bytes) -> bool:
    """Read the record of a result."""
    from ArSSRLib.record import read_record  # noqa: PLC0415

    with _file("result.arssr.json", data) as path:
        return _understood(lambda: read_record(path))


TARGETS: dict[str, Callable[[bytes], bool]] = {"files": files, "jobs": jobs, "weights": weights, "records": records}


def _understood(action: Callable[[], object]) -> bool:
    logging.disable(logging.CRITICAL)
    try:
        action()
    except ArSSRError as error:
        message = str(error)
        if "\n" in message or not message:
            msg = f"A refusal must be one line: {message!r}"
            raise AssertionError(msg) from error
        return False
    finally:
        logging.disable(logging.NOTSET)
    return True
