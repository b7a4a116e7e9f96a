"""`Volume`: what it refuses, and what it keeps."""

from __future__ import annotations

import numpy as np
import pytest

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import FileHeader, Volume

GEOMETRY = VolumeGeometry((5, 4, 3), (1.0, 1.0, 2.0))


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", ">i2", "i8", "f2", "f4", "f8"])
def test_every_real_type_is_accepted(dtype):
    assert Volume(np.zeros((3, 4, 5), dtype), GEOMETRY).array.dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["c8", "c16", "U3", "O", "V4", "M8[s]"])
def test_an_array_of_complex_numbers_is_refused(dtype):
    with pytest.raises(InputError, match=r"real numbers.*pass a single 3-D") as error:
        Volume(np.zeros((3, 4, 5), dtype), GEOMETRY)

    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(), (3,), (4, 5), (1, 3, 4, 5), (3, 4, 5, 3)])
def test_an_array_without_three_axes_is_refused(shape):
    with pytest.raises(InputError, match=f"got {len(shape)} axes"):
        Volume(np.zeros(shape, np.float32), GEOMETRY)


@pytest.mark.parametrize("array", [None, [[[1.0]]], np.ma.masked_less(np.zeros((3, 4, 5)), 1)])
def test_anything_but_a_plain_array_is_refused(array):
    with pytest.raises(InputError, match=rf"NumPy array, got {type(array).__name__}; convert it first"):
        Volume(array, GEOMETRY)


@pytest.mark.parametrize(("geometry", "header"), [(None, FileHeader()), ((5, 4, 3), FileHeader()), (GEOMETRY, None)])
def test_anything_but_a_grid_and_a_header_is_refused(geometry, header):
    with pytest.raises(
        InputError, match=r"A volume needs a (VolumeGeometry|FileHeader), got (NoneType|tuple); see the"
    ):
        Volume(np.zeros((3, 4, 5)), geometry, header)


def test_an_array_in_ijk_order_is_refused():
    with pytest.raises(InputError, match=r"\(5, 4, 3\).*\(3, 4, 5\)"):
        Volume(np.zeros((5, 4, 3), np.float32), GEOMETRY)


def test_with_another_array_the_header_is_kept():
    header = FileHeader(dtype=np.dtype(np.int16), description="knee", metadata={"Modality": "MR"})
    volume = Volume(np.zeros((3, 4, 5), np.int16), GEOMETRY, header)

    fine = volume.with_array(np.ones((6, 8, 10), np.int16), GEOMETRY.upsampled(2))

    assert fine.header is header
    assert fine.geometry.size == (10, 8, 6)


def test_with_another_array_the_grid_is_kept_unless_given():
    volume = Volume(np.zeros((3, 4, 5), np.int16), GEOMETRY)

    assert volume.with_array(np.ones((3, 4, 5))).geometry is GEOMETRY


def test_with_another_array_the_original_is_not_changed():
    array = np.zeros((3, 4, 5), np.int16)
    volume = Volume(array, GEOMETRY)

    volume.with_array(np.ones((3, 4, 5)))

    assert volume.array is array
    assert not array.any()


def test_volumes_are_equal_only_to_themselves():
    # An array has no single truth value, so comparing fields would raise.
    first, second = (Volume(np.zeros((3, 4, 5)), GEOMETRY) for _ in range(2))

    assert first == first  # noqa: PLR0124
    assert first != second
