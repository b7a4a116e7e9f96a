"""Fixtures for the tests of single rooms."""

from __future__ import annotations

import numpy as np
import pytest
from derived_series import as_scanned, write_to
from dicom_series import write_series
from pydicom.dataset import Dataset

from ArSSRLib.io import read_volume
from ArSSRLib.volume import Volume


@pytest.fixture
def source(tmp_path, oblique_geometry) -> Volume:
    """A scanned series, in the folder "source"."""
    noise = np.random.default_rng(3).integers(-500, 3000, oblique_geometry.shape)
    write_series(tmp_path / "source", Volume(noise.astype(np.int16), oblique_geometry), edit=as_scanned)
    return read_volume(tmp_path / "source")


@pytest.fixture
def result(source) -> Volume:
    """A finer volume like a result of the engine, with the header of the source but other intensities."""
    geometry = source.geometry.upsampled((2, 2, 3))
    noise = np.random.default_rng(4).integers(-32768, 32768, geometry.shape)
    return source.with_array(noise.astype(np.int16), geometry)


@pytest.fixture
def written(tmp_path, result) -> list[Dataset]:
    """The finer volume as a derived series, in the folder "out"."""
    return write_to(tmp_path, result)
