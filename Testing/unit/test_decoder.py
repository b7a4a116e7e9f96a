"""The decoder's two stages, and interpolation against closed forms."""

from __future__ import annotations

import pytest
import torch

from ArSSRLib.coordinates import cell_centers, index_of, linear_taps
from ArSSRLib.interpolation import combine_taps
from ArSSRLib.model.decoder import Decoder, sample_features


def test_the_decoder_has_the_number_of_parameters_of_the_published_checkpoints():
    assert sum(p.numel() for p in Decoder(131, 4, 256).parameters()) == 364_676


def test_the_second_stage_receives_the_input_and_the_first_stage():
    decoder = Decoder(5, 2, 7)
    points = torch.rand(3, 5)

    with torch.no_grad():
        expected = decoder.stage_two(points + decoder.stage_one(points))[:, 0]
        found = decoder(points)

    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("leading", [(), (4,), (2, 3, 4)])
def test_the_decoder_accepts_points_in_any_arrangement(leading):
    assert Decoder(5, 2, 7)(torch.rand(*leading, 5)).shape == leading


def test_features_at_voxel_centers_equal_those_of_the_voxels():
    feature_map = torch.rand(1, 3, 4, 5, 6)
    axes = [cell_centers(n) for n in (4, 5, 6)]
    coordinates = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).float().view(1, -1, 3)

    found = sample_features(feature_map, coordinates)

    torch.testing.assert_close(found, feature_map.flatten(2).transpose(1, 2), atol=1e-5, rtol=0)


def test_coordinates_are_read_in_the_order_k_j_i():
    ramps = torch.stack(torch.meshgrid(*[torch.arange(n).float() for n in (4, 5, 6)], indexing="ij"))[None]
    coordinates = torch.tensor([[[0.2, -0.3, 0.5]]])

    found = sample_features(ramps, coordinates)[0, 0]

    expected = torch.stack([index_of(c, n) for c, n in zip(coordinates[0, 0], (4, 5, 6), strict=True)])
    torch.testing.assert_close(found, expected)


def test_features_at_the_outer_face_have_half_their_value():
    found = sample_features(torch.ones(1, 1, 4, 4, 4), torch.tensor([[[-1.0, 0.0, 0.0]]]))

    assert found.item() == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(4, 3), (1, 4, 2), (2, 4, 3)])
def test_coordinates_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(1, K, 3\)"):
        sample_features(torch.ones(1, 1, 4, 4, 4), torch.zeros(shape))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_combining_taps_interpolates_a_ramp_exactly_along_one_axis(axis):
    shape = (5, 6, 7)
    ramp = torch.arange(shape[axis]).double().view([-1 if n == axis else 1 for n in range(3)]).expand(shape)
    positions = torch.linspace(0, shape[axis] - 1, 11, dtype=torch.float64)

    found = combine_taps(ramp.contiguous(), axis, *linear_taps(positions, shape[axis]))

    expected = positions.view([-1 if n == axis else 1 for n in range(3)]).expand_as(found)
    torch.testing.assert_close(found, expected)


def test_taps_of_half_precision_features_are_combined_in_single_precision():
    index, weight = linear_taps(torch.tensor([0.25]), 2)

    assert combine_taps(torch.rand(2, 3).bfloat16(), 0, index, weight.float()).dtype == torch.float32
