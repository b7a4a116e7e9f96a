"""Voxel types in memory and in files."""

from __future__ import annotations

import numpy as np
import pytest

from ArSSRLib.io import voxels
from ArSSRLib.volume import FileHeader


def block(values, dtype=np.float32) -> np.ndarray:
    return np.array(values, dtype=dtype).reshape(1, 1, -1)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", ">u2", "<i4", ">u4", ">i8", "<u8"])
def test_integers_keep_their_type_and_get_native_byte_order(dtype):
    info = np.iinfo(np.dtype(dtype))

    read = voxels.in_memory(block([info.min, 1, info.max], dtype))

    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    assert read.dtype.isnative
    assert read.ravel().tolist() == [info.min, 1, info.max]


@pytest.mark.parametrize("dtype", [">f4", "<f8", np.float16, np.longdouble])
def test_floating_point_numbers_become_single_precision(dtype):
    read = voxels.in_memory(block([-1.5, np.nan, np.inf, 1000.5], dtype))

    assert read.dtype == np.float32
    np.testing.assert_array_equal(read.ravel(), [-1.5, np.nan, np.inf, 1000.5])


@pytest.mark.parametrize("values", [[1e30, 1e39], [0, -1e300], [1e-60, 2e-60]])
def test_numbers_beyond_single_precision_remain_double(values):
    read = voxels.in_memory(block(values, np.float64))

    assert read.dtype == np.float64
    assert read.ravel().tolist() == values


def test_one_large_number_within_range_needs_no_double_precision():
    assert voxels.in_memory(block([0.0, 1e30], np.float64)).dtype == np.float32


def test_slope_and_intercept_are_applied_in_double_precision():
    read = voxels.in_memory(block([2**31 - 1, 7], np.int32), slope=0.5, intercept=-(2.0**30))

    # In single precision, 2**31 - 1 becomes 2**31, and the first voxel would become 0.
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read.ravel(), np.float32([-0.5, 3.5 - 2.0**30]))


def test_a_slope_that_leaves_single_precision_gives_double():
    assert voxels.in_memory(block([1, 2], np.int16), slope=1e39).dtype == np.float64


def test_the_read_array_is_a_copy():
    stored = block([1, 2, 3], np.int16)

    voxels.in_memory(stored)[...] = 0

    assert stored.any()


def test_results_are_rounded_half_to_even_and_clipped_to_the_stored_type():
    array = block([-40000.0, -1.5, -0.5, 0.5, 1.5, 2.5, 2.51, 40000.0, np.inf, -np.inf, np.nan])

    stored = voxels.for_storage(array, FileHeader(dtype=np.dtype(np.int16)))

    assert stored.dtype == np.int16
    assert stored.ravel().tolist() == [-32768, -2, 0, 0, 2, 2, 3, 32767, 32767, -32768, 0]


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_clipping_does_not_wrap_around_if_the_limit_has_no_exact_float(dtype, precision):
    info = np.iinfo(dtype)

    stored = voxels.for_storage(block([-1e30, 1e30], precision), FileHeader(dtype=np.dtype(dtype))).ravel()

    assert stored[0] == info.min
    assert 0.999 * info.max < int(stored[1]) <= info.max


@pytest.mark.parametrize(("given", "wanted"), [(np.int32, np.uint8), (np.uint64, np.int16), (np.int8, np.uint16)])
def test_integers_are_clipped_to_another_integer_type(given, wanted):
    own, info = np.iinfo(given), np.iinfo(wanted)

    stored = voxels.for_storage(block([own.min, 5, own.max], given), FileHeader(dtype=np.dtype(wanted)))

    assert stored.dtype == wanted
    assert stored.ravel().tolist() == [max(own.min, info.min), 5, min(own.max, info.max)]


@pytest.mark.parametrize(
    ("header", "given", "stored"),
    [
        (FileHeader(), np.float64, np.float32),
        (FileHeader(), np.float16, np.float32),
        (FileHeader(), np.longdouble, np.float32),
        (FileHeader(), np.bool_, np.uint8),
        (FileHeader(), np.int64, np.int32),
        (FileHeader(), np.uint16, np.uint16),
        (FileHeader(dtype=np.dtype(np.float64)), np.float32, np.float32),
        (FileHeader(dtype=np.dtype(np.longdouble)), np.float32, np.float32),
        (FileHeader(dtype=np.dtype(np.int16), scaled=True), np.float32, np.float32),
        (FileHeader(dtype=np.dtype(np.bool_)), np.float32, np.uint8),
    ],
)
def test_the_stored_type_depends_on_the_header_and_the_array(header, given, stored):
    assert voxels.for_storage(block([0, 1, 1], given), header).dtype == stored


def test_large_64_bit_integers_are_stored_as_64_bit_integers():
    values = [-(2**40), 2**62 + 1]

    stored = voxels.for_storage(block(values, np.int64), FileHeader())

    assert stored.ravel().tolist() == values


def test_values_beyond_single_precision_are_stored_in_double_precision():
    assert voxels.for_storage(block([1e300], np.float64), FileHeader()).dtype == np.float64


def test_an_array_that_needs_no_conversion_is_not_copied():
    array = block([1.0, 2.0])

    assert voxels.for_storage(array, FileHeader()) is array
