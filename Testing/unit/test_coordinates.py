"""Cell-centered positions: -1 and +1 are outer faces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from ArSSRLib.coordinates import (
    QueryGrid,
    cell_centers,
    coordinate_of,
    grown,
    index_of,
    linear_taps,
    shrunk,
    whole_box,
    whole_grid,
)

COUNTS = st.integers(1, 400)


@given(count=COUNTS)
def test_the_outer_faces_are_half_a_cell_beyond_the_outermost_centers(count):
    centers = cell_centers(count)

    assert centers.shape == (count,)
    assert float(centers[0]) - 1 / count == pytest.approx(-1)
    assert float(centers[-1]) + 1 / count == pytest.approx(1)


@given(count=COUNTS)
def test_all_cells_have_the_same_width(count):
    torch.testing.assert_close(cell_centers(count).diff(), torch.full((count - 1,), 2 / count, dtype=torch.float64))


@given(count=COUNTS)
def test_the_index_of_a_voxel_center_is_the_index_of_the_voxel(count):
    torch.testing.assert_close(index_of(cell_centers(count), count), torch.arange(count, dtype=torch.float64))


@given(count=COUNTS, index=st.floats(-3, 403))
def test_index_and_coordinate_are_inverse(count, index):
    position = torch.tensor([index], dtype=torch.float64)

    torch.testing.assert_close(index_of(coordinate_of(position, count), count), position)


@given(count=st.integers(1, 40), factor=st.integers(1, 5))
def test_an_integer_factor_places_fine_centers_evenly_in_each_coarse_voxel(count, factor):
    position = whole_grid((count, 1, 1), (count * factor, 1, 1)).sampling[0]
    inside = (torch.arange(factor, dtype=torch.float64) + 0.5) / factor - 0.5

    expected = (torch.arange(count, dtype=torch.float64)[:, None] + inside).flatten()

    torch.testing.assert_close(position, expected)


def test_a_grid_of_the_whole_volume_has_the_fine_shape():
    grid = whole_grid((3, 4, 5), (6, 9, 13))

    assert grid.shape == (6, 9, 13)
    assert [len(axis) for axis in grid.query] == [6, 9, 13]


def test_the_shape_of_a_grid_consists_of_the_lengths_of_its_axes():
    axes = tuple(torch.zeros(n, dtype=torch.float64) for n in (2, 3, 4))

    assert QueryGrid(axes, axes).shape == (2, 3, 4)


@given(count=st.integers(1, 20), position=st.floats(-0.5, 19.5))
def test_linear_weights_sum_to_1(count, position):
    _, weight = linear_taps(torch.tensor([min(position, count - 0.5)], dtype=torch.float64), count)

    assert float(weight.sum()) == pytest.approx(1)


@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_linear_taps_equal_grid_sample(count, padding):
    values = torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    position = torch.linspace(-0.5, count - 0.5, 83, dtype=torch.float64)

    index, weight = linear_taps(position, count, padding=padding)

    coordinate = (2 * position + 1) / count - 1
    grid = torch.stack([coordinate, torch.zeros_like(coordinate)], dim=-1)[None, None]
    expected = functional.grid_sample(
        values[None, None, None], grid, padding_mode=padding, align_corners=False
    ).flatten()
    torch.testing.assert_close((values[index] * weight).sum(-1), expected, rtol=0, atol=1e-12)


@given(count=st.integers(1, 9), position=st.floats(-4, 12))
def test_linear_taps_never_leave_the_axis(count, position):
    index, _ = linear_taps(torch.tensor([position], dtype=torch.float64), count)

    assert 0 <= int(index.min()) <= int(index.max()) < count


def test_linear_taps_have_the_shape_of_the_positions():
    index, weight = linear_taps(torch.zeros(2, 3, 5), 4)

    assert index.shape == weight.shape == (2, 3, 5, 2)


def test_a_box_shrinks_only_at_faces_inside_the_grid():
    shape = (5, 6, 7)

    assert shrunk(whole_box(shape), 1, shape) == whole_box(shape)
    assert shrunk((slice(1, 5), slice(0, 5), slice(2, 6)), 1, shape) == (slice(2, 5), slice(0, 4), slice(3, 5))


@given(starts=st.tuples(*[st.integers(0, 4)] * 3), lengths=st.tuples(*[st.integers(1, 4)] * 3))
def test_shrinking_inverts_growing_except_at_the_edge_of_the_grid(starts, lengths):
    box = tuple(slice(start, start + length) for start, length in zip(starts, lengths, strict=True))
    shape = (20, 20, 20)

    inner = shrunk(grown(box, 1, shape), 1, shape)

    # At the edge of the grid, there is nothing to take away.
    assert inner == tuple(slice(s.start if s.start > 1 else 0, s.stop) for s in box)
